"""Features into a GFF3 file."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import KindError
from neurornn._core.files import atomic_path
from neurornn.data.feature_tables import check_columns, check_places
from neurornn.data.origin import sorted_parts

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

#: Characters that stand for something in column 9, and in the others.
_IN_ATTRIBUTES = re.compile(r"[\x00-\x1f\x7f%;=&,]")
_IN_COLUMNS = re.compile(r"[\x00-\x1f\x7f% ]|^[>#]")
_FIRST = "##gff-version 3"


class Contigs(Protocol):
    """What is said of contigs: sequences have it, and so may a table of them."""

    @property
    def names(self) -> NDArray[np.str_]:
        """Name of each, (sequence,)."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Length of each, (sequence,), bp."""

    @property
    def circular(self) -> NDArray[np.bool_]:
        """Whether each is circular, (sequence,)."""


def write_gff3(
    features: "xr.Dataset | SequenceSet",
    path: str | os.PathLike[str],
    *,
    sequences: Contigs | None = None,
    program: str = "neurornn",
    overwrite: bool = False,
) -> Path:
    """Write features as GFF3.

    Parameters
    ----------
    features : Dataset over ``feature``, or sequences that have them. A variable ``score`` goes
        into its column, and ``parent``, the ID of the feature above, into its attribute.
    path : file; nothing is replaced.
    sequences : that the features lie on: their lengths are written, and which are circular.
    program : what stands in column 2.
    overwrite : bool
        Replace a file, whatever it holds.

    Returns
    -------
    Path
        Of the file.

    Notes
    -----
    Places count from 1 and include the last base. Each part is a row; those of a feature share
    its ID, and each has the phase that reading has there. Across the origin of a circular
    sequence a row ends beyond its length, as the standard says. Parts in another order than that
    of their places are called ``exception=trans-splicing``, with their numbers.
    """
    if not isinstance(features, xr.Dataset):
        sequences = features if sequences is None else sequences
        if getattr(features, "features", None) is None:
            raise KindError(
                f"A {type(features).__name__} without features came to be written",
                "A Dataset over `feature`, or sequences with features, was needed",
                "Predict or read features first",
            )
        features = features.features  # type: ignore[assignment]
    table = check_columns(features)
    if sequences is not None:
        check_places(table, sequences.names, sequences.lengths, sequences.circular)
    lines = [_FIRST, *_regions(table, sequences, program), *_rows(table, sequences, program)]
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return Path(path)


def _escaped(text: str, pattern: re.Pattern[str] = _IN_ATTRIBUTES) -> str:
    return pattern.sub(lambda found: f"%{ord(found[0]):02X}", text)


def _regions(table: xr.Dataset, sequences: Contigs | None, program: str) -> list[str]:
    if sequences is None:
        return []
    contigs = [_escaped(str(name), _IN_COLUMNS) for name in sequences.names]
    sizes = sequences.lengths.tolist()
    lines = [f"##sequence-region {c} 1 {n}" for c, n in zip(contigs, sizes, strict=True) if n]
    stated = set(table["contig"].values[table["type"].values == "region"].tolist())
    for name, contig, size, turns in zip(
        sequences.names, contigs, sizes, sequences.circular, strict=True
    ):
        if turns and size and name not in stated:
            about = f"ID={_escaped(str(name))};Is_circular=true"
            lines.append(f"{contig}\t{program}\tregion\t1\t{size}\t.\t+\t.\t{about}")
    return lines


def _rows(table: xr.Dataset, sequences: Contigs | None, program: str) -> list[str]:
    one = {
        str(name): column.values.tolist()
        for name, column in table.items()
        if column.dims == ("feature",)
    }
    part = {
        name: table[name].values.tolist() for name in ("part_start", "part_end", "part_strand")
    }
    length = {}
    if sequences is not None:
        turning = zip(sequences.names, sequences.lengths, sequences.circular, strict=True)
        length = {str(name): int(n) for name, n, turns in turning if turns}
    ids = _ids(one["type"], one["name"])
    lines, at = [], 0
    for k, count in enumerate(one["part_count"]):
        parts = [
            (part["part_start"][j], part["part_end"][j], part["part_strand"][j])
            for j in range(at, at + count)
        ]
        at += count
        size = length.get(one["contig"][k])
        one_strand = len({strand for _, _, strand in parts}) < 2
        usual = count < 2 or (one_strand and sorted_parts(parts, size) == parts)
        about = _attributes({name: values[k] for name, values in one.items()}, ids[k], not usual)
        if size and one["type"][k] == "region" and one["end"][k] - one["start"][k] == size:
            about += ";Is_circular=true"
        score = one.get("score", [float("nan")] * (k + 1))[k]
        coded = -one["phase"][k]
        for j, (start, end, strand) in enumerate(parts):
            # Bases that the codon begun in the part before still lacks.
            phase = -coded % 3
            coded += end - start
            columns = [
                _escaped(one["contig"][k], _IN_COLUMNS),
                program,
                _escaped(one["type"][k], _IN_COLUMNS),
                str(start + 1),
                str(end),
                "." if np.isnan(score) else f"{score:.6g}",
                "." if one["strand"][k] == 0 and usual else "-" if strand < 0 else "+",
                str(phase) if one["type"][k] == "CDS" else ".",
                about + ("" if usual else f";part={j + 1}/{count}"),
            ]
            lines.append("\t".join(columns))
    return lines


def _ids(types: list[str], names: list[str]) -> list[str]:
    """One ID for each feature, made of its type and name."""
    wished = [f"{kind.lower()}-{name}" if name else kind.lower() for kind, name in
              zip(types, names, strict=True)]  # fmt: skip
    seen: Counter[str] = Counter()
    taken = set(wished)
    ids = []
    for wish in wished:
        seen[wish] += 1
        own = wish
        while seen[wish] > 1 and own in taken:
            own = f"{wish}-{seen[wish]}"
            seen[wish] += own in taken
        taken.add(own)
        ids.append(own)
    return ids


def _attributes(one: dict[str, Any], own: str, is_spliced: bool) -> str:
    said: dict[str, str] = {"ID": own}
    if one.get("parent"):
        said["Parent"] = one["parent"]
    if one["name"]:
        said["locus_tag"] = one["name"]
    for name in ("gene", "product"):
        if one[name]:
            said[name] = one[name]
    if one["genetic_code"]:
        said["transl_table"] = str(one["genetic_code"])
    if one["is_pseudo"]:
        said["pseudo"] = "true"
    backward = one["strand"] < 0
    low, high = one["is_partial_5"], one["is_partial_3"]
    low, high = (high, low) if backward else (low, high)
    text = ";".join(f"{name}={_escaped(value)}" for name, value in said.items())
    if low or high:
        text += ";partial=true"
        text += f";start_range=.,{one['start'] + 1}" if low else ""
        text += f";end_range={one['end']},." if high else ""
    if is_spliced:
        text += ";exception=trans-splicing"
        text += ";transl_except=stated elsewhere" if one["translation_exception"] else ""
    elif one["translation_exception"]:
        text += ";exception=stated elsewhere"
    return text
