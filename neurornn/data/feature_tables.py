"""What a table of features holds, and what is done to all of them at once.

Positions are 0-based and half-open, on the forward strand. A feature across the origin of a
circular sequence of length L starts in [0, L) and ends beyond L, and its parts lie in that range.
Parts come in the order of reading, from 5' to 3' of the product, on the reverse strand too.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn.data.contigs import contig_rows, matched_names

#: Name -> (type, what it is where nothing is stated), one value for each feature.
COLUMNS: dict[str, tuple[Any, Any]] = {
    "contig": (str, ""),
    "type": (str, "CDS"),
    "start": (np.int64, 0),
    "end": (np.int64, 0),
    "strand": (np.int8, 1),
    "phase": (np.int8, 0),
    "is_partial_5": (np.bool_, False),
    "is_partial_3": (np.bool_, False),
    "is_pseudo": (np.bool_, False),
    "genetic_code": (np.int16, 0),
    "name": (str, ""),
    "gene": (str, ""),
    "product": (str, ""),
    "translation_exception": (np.bool_, False),
}
#: Name -> type, one value for each part.
PARTS: dict[str, Any] = {"part_start": np.int64, "part_end": np.int64, "part_strand": np.int8}

LONG_NAMES = {
    "start": "first position on the forward strand, 0-based",
    "end": "position after the last one on the forward strand",
    "strand": "1 forward, -1 reverse, 0 not stated or mixed",
    "phase": "bases before the first whole codon, in the direction of reading",
    "is_partial_5": "begins before what is known, in the direction of reading",
    "is_partial_3": "goes on after what is known, in the direction of reading",
    "genetic_code": "number of NCBI; 0 where not stated",
    "translation_exception": "the product is not the plain translation",
    "part_count": "parts of the feature, in the order of reading",
}


def check_columns(features: Any) -> xr.Dataset:
    """Raise unless something is a table of features.

    Parameters
    ----------
    features : what came as one.
    """
    if not isinstance(features, xr.Dataset):
        raise KindError(
            f"A {type(features).__name__} came as features",
            "A Dataset over `feature` was needed",
            "Make it with nr.data.features_from_records, or nr.open an annotation file",
        )
    missing = [n for n in (*COLUMNS, "part_count", *PARTS) if n not in features]
    if missing:
        raise ShapeError(
            f"The features have no {', '.join(missing)}",
            "All columns of a table of features were needed",
            "Make it with nr.data.features_from_records, or nr.open an annotation file",
        )
    if int(features["part_count"].sum()) != features.sizes["part"]:
        raise ShapeError(
            f"The features count {int(features['part_count'].sum())} parts and have "
            f"{features.sizes['part']}",
            "Parts that go with their features were needed",
            "Pick features with nr.data.pick_features, which takes the parts along",
        )
    return features


def take_features(features: xr.Dataset, rows: Any) -> xr.Dataset:
    """Return some features with their parts.

    Parameters
    ----------
    features : Dataset over ``feature``.
    rows : numbers in any order, a slice, or a mask (feature,).
    """
    picked = np.arange(features.sizes["feature"])[rows]
    counts = features["part_count"].values
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    kept = counts[picked]
    # Part number within its feature, plus where the parts of the feature begin.
    within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    return features.isel(feature=picked, part=np.repeat(first[picked], kept) + within)


def check_places(
    features: xr.Dataset,
    names: NDArray[np.str_],
    lengths: NDArray[np.int64],
    circular: NDArray[np.bool_],
) -> None:
    """Raise for features that lie on no sequence, or beyond the end of theirs.

    Parameters
    ----------
    features : Dataset over ``feature``.
    names, lengths, circular : (sequence,), length in bp.
    """
    contigs = features["contig"].values
    rows = contig_rows(names, contigs)
    if np.any(rows < 0):
        raise lost_contigs(np.unique(contigs[rows < 0]).tolist(), [str(n) for n in names])
    start, end = features["start"].values, features["end"].values
    length, turns = lengths[rows], circular[rows]
    fits = (end <= length) | (turns & (start < length) & (end <= start + length))
    inside = fits & (start >= 0) & (start <= end)
    owner = np.repeat(np.arange(len(rows)), features["part_count"].values)
    stray = (features["part_start"].values < start[owner]) | (
        features["part_end"].values > end[owner]
    )
    if not inside.all():
        k = int(np.argmin(inside))
        raise DataError(
            f"{described(features, k)} ends at {end[k]}, and {contigs[k]} has {length[k]} bp"
            + (" and is linear" if not turns[k] else ""),
            "Features inside their sequence were needed; on a circular one an end of at most "
            "start + length, with a start inside it",
            "Is the annotation of another version of the sequence? If it is circular, say "
            "circular=True",
        )
    if stray.any():
        k = int(owner[np.argmax(stray)])
        raise DataError(
            f"A part of {described(features, k)} lies outside it",
            "Parts between start and end were needed",
            "Correct the annotation, or make start and end from the parts",
        )


def lost_contigs(
    lost: Sequence[str], names: Sequence[str], what: str = "Features"
) -> NameUnknownError:
    """Return the error for an annotation of contigs that are not there.

    Parameters
    ----------
    lost : contigs of the annotation that no sequence has.
    names : of the sequences.
    what : lies on them, for the message.
    """
    other = matched_names(lost, names)
    if other:
        theirs, ours = next(iter(other.items()))
        remedy = (
            f'The sequences call it {ours!r}. Pass contig_names="match" to nr.open, or say which '
            f"is which: contig_names={{{theirs!r}: {ours!r}}}"
        )
    else:
        remedy = f"{nearest(lost[0], names)} Is it the annotation of these sequences?"
    return NameUnknownError(
        f"{what} lie on {len(lost)} contigs that are not among the {len(names)} sequences, "
        f"{lost[0]!r} for one",
        "Names of the sequences were needed",
        remedy,
    )


def described(features: xr.Dataset, k: int) -> str:
    """Say which feature is meant, for messages.

    Parameters
    ----------
    features : Dataset over ``feature``.
    k : its number.
    """
    one = {n: features[n].values[k] for n in ("type", "name", "contig", "start", "end", "strand")}
    sign = {1: "+", -1: "-"}.get(int(one["strand"]), ".")
    name = f" {one['name']}" if one["name"] else ""
    return f"{one['type']}{name} ({one['contig']}:{one['start']}-{one['end']}, {sign})"


def move_features(
    features: xr.Dataset, move: Callable[[NDArray, NDArray, NDArray], tuple[NDArray, NDArray]]
) -> xr.Dataset:
    """Return features at other places.

    Parameters
    ----------
    features : Dataset over ``feature``.
    move : start, end, number of the feature -> start, end; taken of features and of parts.
    """
    every = np.arange(features.sizes["feature"])
    owner = np.repeat(every, features["part_count"].values)
    start, end = move(features["start"].values, features["end"].values, every)
    part = move(features["part_start"].values, features["part_end"].values, owner)
    new = {"start": start, "end": end, "part_start": part[0], "part_end": part[1]}
    return features.assign({n: (features[n].dims, v, features[n].attrs) for n, v in new.items()})


def turn_features(
    features: xr.Dataset, names: NDArray[np.str_], lengths: NDArray[np.int64]
) -> xr.Dataset:
    """Return features as they lie on the other strand.

    Parameters
    ----------
    features : Dataset over ``feature``.
    names, lengths : (sequence,), length in bp.

    Notes
    -----
    A position p of a sequence of length L becomes L - p, and strands change sign; reading order,
    phase and partial ends stay as they are. Across the origin L is added, so that starts lie in
    [0, L).
    """
    size = lengths[contig_rows(names, features["contig"].values)]
    over = np.where(features["end"].values > size, size, 0)
    turned = move_features(
        features, lambda a, b, k: (size[k] - b + over[k], size[k] - a + over[k])
    )
    return turned.assign({n: -turned[n] for n in ("strand", "part_strand")})
