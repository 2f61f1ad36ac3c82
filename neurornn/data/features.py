"""Features of sequences: genes, coding sequences, exons, as one table with ragged parts.

Positions are 0-based and half-open, on the forward strand; see `neurornn.data.feature_tables`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, KindError, NameUnknownError, nearest
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.contigs import contig_rows, matched_names
from neurornn.data.feature_tables import (
    COLUMNS,
    LONG_NAMES,
    PARTS,
    check_columns,
    check_places,
    described,
    take_features,
)
from neurornn.data.sequence_sets import SequenceSet


def features_from_records(records: Iterable[Mapping[str, Any]]) -> xr.Dataset:
    """Make a table of features from one dict for each.

    Parameters
    ----------
    records : dicts
        ``contig``, and ``start`` and ``end`` or ``parts``; the rest of the columns where they are
        known (``type`` is ``"CDS"`` and ``strand`` 1 where nothing is said). ``parts`` lists
        (start, end) or (start, end, strand) in the order of reading.

    Returns
    -------
    Dataset over ``feature`` and ``part``
        ``contig``, ``type``, ``start``, ``end`` (bp), ``strand``, ``phase`` (bp),
        ``is_partial_5``, ``is_partial_3``, ``is_pseudo``, ``genetic_code``, ``name``, ``gene``,
        ``product``, ``translation_exception``; ``part_count`` (feature), ``part_start``,
        ``part_end`` (bp) and ``part_strand`` (part).

    Raises
    ------
    NameUnknownError
        A key that is no column.
    DataError
        A feature without place, with one that is no whole number, or one that ends before it
        starts; a strand or a phase that is none.

    Examples
    --------
    >>> table = features_from_records(
    ...     [{"contig": "c", "parts": [(60, 90), (10, 40)], "strand": -1, "name": "x"}]
    ... )
    >>> table["start"].values.tolist(), table["end"].values.tolist()
    ([10], [90])
    """
    rows: list[dict[str, Any]] = []
    parts: dict[str, list[int]] = {name: [] for name in PARTS}
    counts: list[int] = []
    known = (*COLUMNS, "parts")
    names = frozenset(known)
    for k, record in enumerate(records):
        if not names.issuperset(record):
            odd = next(key for key in record if key not in known)
            raise NameUnknownError(
                f"Feature {k} came with {odd!r}",
                f"Columns of a feature were needed: {', '.join(known)}",
                nearest(str(odd), known),
            )
        placed = _placed(k, record)
        rows.append(placed)
        own = placed["parts"]
        counts.append(len(own))
        for part in own:
            parts["part_start"].append(part[0])
            parts["part_end"].append(part[1])
            parts["part_strand"].append(
                (part[2] if len(part) > 2 else placed.get("strand", 1)) or 1
            )
    table = {}
    for name, (kind, usual) in COLUMNS.items():
        try:
            table[name] = np.asarray([row.get(name, usual) for row in rows], dtype=kind)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"{name} of a feature cannot be used: {error}",
                "Numbers were needed in strand, phase and genetic_code, and 1, -1 or 0 for a "
                "strand",
                "Write 1 for + and -1 for -",
            ) from None
    _check_values(table, parts["part_strand"])
    ragged = {n: np.asarray(parts[n], dtype=kind) for n, kind in PARTS.items()}
    return _as_dataset(table, np.asarray(counts, dtype=np.int64), ragged)


def _placed(k: int, record: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in parts from start and end, or start and end from parts."""
    placed = dict(record)
    who = f"Feature {k} ({record.get('name') or record.get('type') or 'without name'})"
    if not placed.get("parts"):
        if "start" not in placed or "end" not in placed:
            raise DataError(
                f"{who} has neither parts nor start and end",
                "A place on its contig was needed",
                "Give start and end, 0-based and half-open",
            )
        placed["parts"] = [(placed["start"], placed["end"])]
    for part in placed["parts"]:
        for place in part[:2]:
            if not isinstance(place, int | np.integer):
                raise DataError(
                    f"{who} lies at {part[0]!r} to {part[1]!r}",
                    "Whole numbers were needed, in bp",
                    "Count from 0, and leave the end out; text becomes a number by int()",
                )
    placed.setdefault("start", min(part[0] for part in placed["parts"]))
    placed.setdefault("end", max(part[1] for part in placed["parts"]))
    if placed["end"] < placed["start"] or any(part[1] < part[0] for part in placed["parts"]):
        raise DataError(
            f"{who} starts at {placed['start']} and ends at {placed['end']}",
            "An end that is not before the start was needed, on both strands",
            "Order the two, and say strand=-1; across the origin add the length to the end",
        )
    return placed


def _check_values(table: Mapping[str, NDArray], part_strand: Sequence[int]) -> None:
    """Raise for a strand or a phase that is none."""
    for name, values, known in (
        ("strand", table["strand"], (-1, 0, 1)),
        ("strand", np.asarray(part_strand), (-1, 1)),
        ("phase", table["phase"], (0, 1, 2)),
    ):
        odd = ~np.isin(values, known)
        if odd.any():
            raise DataError(
                f"The {name} of a feature is {values[odd][0]}",
                f"One of {', '.join(map(str, known))} was needed",
                "Strands are 1 and -1, 0 where it is not stated; a phase is the bases before the "
                "first whole codon",
            )


def _as_dataset(
    table: Mapping[str, NDArray], counts: NDArray[np.int64], ragged: Mapping[str, NDArray]
) -> xr.Dataset:
    units = dict.fromkeys(("start", "end", "phase", "part_start", "part_end"), "bp")

    def attrs(name: str) -> dict[str, str]:
        said = {"units": units[name]} if name in units else {}
        return {**said, **({"long_name": LONG_NAMES[name]} if name in LONG_NAMES else {})}

    return xr.Dataset(
        {
            **{n: ("feature", v, attrs(n)) for n, v in table.items()},
            "part_count": ("feature", counts, attrs("part_count")),
            **{n: ("part", v, attrs(n)) for n, v in ragged.items()},
        },
        attrs={"convention": "0-based, half-open, on the forward strand; parts in reading order"},
    )


def pick_features(
    features: xr.Dataset | SequenceSet,
    type: str | Sequence[str] | None = "CDS",
    contig: str | None = None,
    strand: int | None = None,
) -> xr.Dataset:
    """Return the features of some type, contig or strand, with their parts.

    Parameters
    ----------
    features : Dataset over ``feature``, or a set of sequences that has them.
    type : ``"CDS"``, ``"gene"``, several of them, or None for all.
    contig : name; all by default.
    strand : 1 or -1; both by default.

    Raises
    ------
    NameUnknownError
        No feature is of this type or lies on this contig.
    """
    table = check_columns(getattr(features, "features", features))
    keep = np.ones(table.sizes["feature"], dtype=bool)
    wanted = [type] if isinstance(type, str) else type
    for column, asked in (("type", wanted), ("contig", None if contig is None else [contig])):
        if asked is None:
            continue
        there = table[column].values
        found = np.isin(there, list(asked))
        if len(there) and not found.any():
            known = np.unique(there).tolist()
            other = matched_names(asked, known) if column == "contig" else {}
            remedy = f"It is called {next(iter(other.values()))!r} here" if other else None
            raise NameUnknownError(
                f"No feature has the {column} {', '.join(map(repr, asked))}",
                f"A {column} that is there was needed",
                remedy or nearest(str(next(iter(asked))), known),
            )
        keep &= found
    if strand is not None:
        keep &= table["strand"].values == strand
    return take_features(table, keep)


def extract(sequences: SequenceSet, features: xr.Dataset | None = None) -> SequenceSet:
    """Return the letters of features, as they are read from 5' to 3'.

    Parameters
    ----------
    sequences : DNA or RNA.
    features : Dataset over ``feature``; those of the sequences by default, all types.

    Returns
    -------
    SequenceSet
        One sequence for each feature, its parts joined, reverse-complemented where they lie on the
        reverse strand, and read on across the origin. Named as the feature, or by its place where
        it has no name. Nothing is cut off for `phase`.

    Raises
    ------
    NameUnknownError, DataError
        A feature on no sequence, or beyond the end of its own.

    Examples
    --------
    >>> from neurornn.data import SequenceSet, features_from_records
    >>> genome = SequenceSet.from_sequences(["c"], ["AAACCCGGGT"])
    >>> gene = features_from_records([{"contig": "c", "parts": [(6, 9), (1, 4)], "strand": -1}])
    >>> extract(genome, gene)[0]
    'CCCGTT'
    """
    complement = ALPHABETS[sequences.alphabet].complement
    if complement is None:
        raise KindError(
            "extract was asked of proteins",
            "DNA or RNA was needed",
            "Use the nucleotide sequences",
        )
    table = check_columns(sequences.features if features is None else features)
    check_places(table, sequences.names, sequences.lengths, sequences.circular)
    rows = contig_rows(sequences.names, table["contig"].values)
    counts = table["part_count"].values
    owner = np.repeat(rows, counts)
    pieces = []
    strands = table["part_strand"].values
    starts, ends = table["part_start"].values, table["part_end"].values
    # A part behind the origin begins one turn before.
    turn = np.where(starts >= sequences.lengths[owner], sequences.lengths[owner], 0)
    turn = np.where(sequences.circular[owner], turn, 0)
    for k in range(len(owner)):
        start, end = int(starts[k] - turn[k]), int(ends[k] - turn[k])
        piece = sequences.bytes_of(int(owner[k]), start, end)
        pieces.append(complement[piece[::-1]] if strands[k] < 0 else piece)
    edges = np.concatenate([[0], np.cumsum([len(p) for p in pieces])]).astype(np.int64)
    last = np.cumsum(counts)
    names = [
        str(name) or described(table, k).partition("(")[2].rstrip(")")
        for k, name in enumerate(table["name"].values)
    ]
    buffer = np.concatenate(pieces) if pieces else np.empty(0, dtype=np.uint8)
    return SequenceSet(buffer, edges[last - counts], edges[last], names, sequences.alphabet)
