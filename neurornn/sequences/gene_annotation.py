"""Coding sequences of an annotation as frames and starts that were found."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError
from neurornn.data.contigs import contig_rows
from neurornn.data.feature_tables import take_features
from neurornn.data.features import pick_features
from neurornn.sequences.open_frames import SHORTEST, OpenFrames

Index = NDArray[np.int64]


class Annotated(NamedTuple):
    """What an annotation says of the frames of a genome.

    Attributes
    ----------
    label : (frame,), 1 where a gene ends, 0 where none does, -1 where it cannot be told.
    start : (frame,), candidate at its start; -1 where there is none.
    """

    label: NDArray[np.int8]
    start: Index


def whole_genes(features: xr.Dataset | None) -> xr.Dataset:
    """Coding sequences that a gene finder can be held to: whole, of one part, no pseudogenes.

    Parameters
    ----------
    features : of a genome.

    Raises
    ------
    DataError
        There are no coding sequences.
    """
    coding = None if features is None else pick_features(features, "CDS")
    if coding is None or not coding.sizes["feature"]:
        raise DataError(
            "The genome has no coding sequences in its annotation",
            "Features of type CDS were needed",
            'Open a GenBank file, or nr.open("genome.fa", annotation="genes.gff3")',
        )
    return take_features(coding, np.flatnonzero(_is_whole(coding)))


def _is_whole(coding: xr.Dataset) -> NDArray[np.bool_]:
    """Whether a coding sequence is whole, in one piece, no pseudogene, and long enough."""
    partial = coding["is_partial_5"].values | coding["is_partial_3"].values
    size = coding["end"].values - coding["start"].values
    return np.asarray(
        ~(partial | coding["is_pseudo"].values)
        & (coding["part_count"].values == 1)
        & (coding["strand"].values != 0)
        & (size >= SHORTEST)
    )


def annotated_frames(frames: OpenFrames, features: xr.Dataset) -> Annotated:
    """Find the frames and starts of annotated genes.

    Parameters
    ----------
    frames : the candidates of a genome.
    features : its features.

    Notes
    -----
    Pseudogenes, genes of several parts and partial ones can be told neither right nor wrong.
    """
    coding = pick_features(features, "CDS")
    layout = frames.layout
    row = contig_rows(layout.names, coding["contig"].values)
    start, end = coding["start"].values, coding["end"].values
    turned = layout.turned[row]
    left = layout.first[row] + np.where(turned, layout.length[row] - end, start)
    right = left + end - start
    strand = np.where((coding["strand"].values == 1) != turned, 0, 1)
    whole = _is_whole(coding)
    # A gene round the origin, and those at the beginning, are read again behind the end.
    again = np.flatnonzero(layout.extra[row] > 0)
    shift = layout.length[row][again]
    left = np.concatenate([left, left[again] + shift, left[again] - shift])
    right = np.concatenate([right, right[again] + shift, right[again] - shift])
    again = np.concatenate([np.arange(len(row)), again, again])
    strand, whole = strand[again], whole[again]
    first = np.where(strand == 0, left, layout.size - right)
    stop = np.where(strand == 0, right, layout.size - left)
    key = frames.frame_strand * layout.size + frames.frames[:, 1]
    order = np.argsort(key)
    wanted = strand * layout.size + stop
    at = np.minimum(np.searchsorted(key[order], wanted), max(len(key) - 1, 0))
    label, begun = np.zeros(len(key), np.int8), np.full(len(key), -1, np.int64)
    if not len(key):
        return Annotated(label, begun)
    found = key[order][at] == wanted
    for k in np.flatnonzero(found):
        f = order[at[k]]
        if not whole[k]:
            label[f] = -1 if label[f] == 0 else label[f]
            continue
        label[f] = 1
        a, b = frames.frames[f, 2], frames.frames[f, 3]
        hit = np.flatnonzero(frames.start[a:b] == first[k])
        begun[f] = a + hit[0] if len(hit) else -1
    shortest = frames.frames[:, 2]
    counted = layout.is_counted(frames.left[shortest], frames.right[shortest])
    label[~counted] = -1
    return Annotated(label, begun)
