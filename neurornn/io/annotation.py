"""Annotation beside sequences: which features belong to which, and what does not match."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurornn._core.errors import KindError, NameUnknownError, nearest
from neurornn._core.warning import warn_user
from neurornn.data.contigs import matched_names
from neurornn.data.feature_tables import check_columns, lost_contigs, take_features
from neurornn.io.sources import check_source

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

#: Formats that hold features.
_WITH_FEATURES = ("gff", "genbank", "bed")


def annotated(
    sequences: "SequenceSet",
    annotation: "str | os.PathLike[str] | xr.Dataset | SequenceSet | None" = None,
    *,
    contig_names: Mapping[str, str] | str | None = None,
    circular: bool | Sequence[str] | None = None,
    source: str = "",
) -> "SequenceSet":
    """Return sequences with the features of an annotation.

    Parameters
    ----------
    sequences : without features, or with some that are replaced.
    annotation : file (GFF3, GTF, BED, GenBank), Dataset over ``feature``, or sequences that have
        features.
    contig_names : name in the annotation -> name of the sequence; ``"match"`` finds other
        spellings (chr1 and 1, chrM and MT, with and without version).
    circular : bool for all, or names of those that are. What the annotation says is kept too.
    source : name of the file of the annotation, for messages.

    Raises
    ------
    NameUnknownError
        No feature lies on one of the sequences, or some do by another spelling.
    DataError
        A feature beyond the end of its sequence.

    Warns
    -----
    UserWarning
        Features of contigs that are not among the sequences; they are left out.
    """
    flags = _circular(sequences, circular)
    if annotation is None:
        return sequences.with_features(sequences.features, flags)
    if isinstance(annotation, str | os.PathLike):
        source = os.path.basename(os.fspath(annotation))
        annotation = _features_of(annotation)
    if not isinstance(annotation, xr.Dataset):
        if getattr(annotation, "features", None) is None:
            raise KindError(
                f"A {type(annotation).__name__} without features came as annotation",
                "A file, a Dataset over `feature`, or sequences with features were needed",
                "Open the annotation first, and look at it",
            )
        turned = annotation.names[annotation.circular].tolist()
        annotation = annotation.features.assign_attrs(circular=turned)  # type: ignore[union-attr]
    features = check_columns(annotation)
    names = [str(name) for name in sequences.names]
    contigs = features["contig"].values
    stated = [str(name) for name in features.attrs.get("circular", [])]
    asked = list(dict.fromkeys([*contigs.tolist(), *stated]))
    renamed = renamed_contigs(asked, names, contig_names)
    if renamed:
        contigs = np.array([renamed.get(c, c) for c in contigs.tolist()], dtype=str)
        features = features.assign(contig=("feature", contigs, features["contig"].attrs))
        stated = [renamed.get(c, c) for c in stated]
    found = np.isin(contigs, names)
    if not found.all():
        lost = np.unique(contigs[~found]).tolist()
        if not found.any() or matched_names(lost, names):
            raise lost_contigs(lost, names)
        warn_user(
            f"{int((~found).sum())} features{' of ' + source if source else ''} lie on "
            f"{len(lost)} contigs that are not among the sequences, {lost[0]!r} for one: they are "
            "left out.",
            UserWarning,
        )
        features = take_features(features, found)
    flags = flags | np.isin(sequences.names, stated)
    rest = {name: value for name, value in features.attrs.items() if name != "circular"}
    return sequences.with_features(features.drop_attrs(deep=False).assign_attrs(rest), flags)


def _circular(sequences: "SequenceSet", circular: bool | Sequence[str] | None) -> Any:
    if circular is None:
        return sequences.circular
    if isinstance(circular, bool):
        return np.full(len(sequences), circular)
    names = [circular] if isinstance(circular, str) else list(circular)
    for name in names:
        if name not in sequences.names:
            raise NameUnknownError(
                f"circular names {name!r}, which is not among the {len(sequences)} sequences",
                "True, False, or names of sequences were needed",
                nearest(str(name), sequences.names.tolist()),
            )
    return np.isin(sequences.names, names)


def renamed_contigs(
    asked: Sequence[str], names: Sequence[str], contig_names: Mapping[str, str] | str | None
) -> dict[str, str]:
    """Return which contigs of another file are called otherwise among the sequences.

    Parameters
    ----------
    asked : names in the other file.
    names : of the sequences.
    contig_names : dict, ``"match"``, or None; see `annotated`.
    """
    if contig_names is None:
        return {}
    if isinstance(contig_names, str):
        if contig_names != "match":
            raise NameUnknownError(
                f"contig_names is {contig_names!r}",
                'A dict of names, or "match", was needed',
                "Pass {name in the annotation: name of the sequence}",
            )
        return matched_names(asked, names)
    if not isinstance(contig_names, Mapping):
        raise KindError(
            f"contig_names is a {type(contig_names).__name__}",
            'A dict of names, or "match", was needed',
            "Pass {name in the annotation: name of the sequence}",
        )
    return {str(k): str(v) for k, v in contig_names.items()}


def _features_of(path: str | os.PathLike[str]) -> "xr.Dataset | SequenceSet":
    from neurornn.io.open_file import detect_format
    from neurornn.io.open_file import open as open_file

    source = check_source(path)
    format = detect_format(source)
    if format not in _WITH_FEATURES:
        variants = format == "vcf"
        raise KindError(
            f"{source.name} came as annotation, which holds "
            + ("variants" if variants else f"no features but {format}"),
            "A GFF3, GTF, BED or GenBank file was needed",
            f'Open it beside the sequences: nr.open("{source.name}", reference=sequences)'
            if variants
            else "Open it by itself, and look what is in it",
        )
    return open_file(source)
