"""Tables of measured protein variants: CSV or TSV, in the usual notations, with signs stated."""

import csv
import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurornn._core.checks import check_choice
from neurornn._core.errors import DataError, FileFormatError, NameUnknownError, nearest
from neurornn.data.substitutions import matching_start, place_substitutions, read_substitutions
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import text_lines

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

#: Factor to kcal/mol; one thermochemical calorie is 4.184 J.
_UNITS = {"kcal/mol": 1.0, "kJ/mol": 1 / 4.184, "J/mol": 1 / 4184.0, "cal/mol": 1e-3}
#: What the sign of a value may say, and the factor to ours.
_SIGNS = {"destabilising": 1.0, "stabilising": -1.0, "fitter": 1.0}
#: Further from 0 no single domain has been measured in kcal/mol; kJ/mol under a wrong name is.
_FAR = 25.0
#: What the sign of ``ddg`` says, in words.
SIGN = "above 0 the variant is less stable than the wild type"
_FITTER = "as measured: a higher value is a fitter variant"


def read_mutations(
    path: str | os.PathLike[str],
    wild_types: "SequenceSet | Mapping[str, str] | str",
    *,
    value: str,
    positive: str,
    units: str = "kcal/mol",
    mutation: str = "mutation",
    protein: str | None = None,
    first: int | str | Mapping[str, int] = 1,
) -> xr.Dataset:
    r"""Read measured variants of proteins, checked against the wild types.

    Parameters
    ----------
    path : .csv or .tsv, plain or gzipped, with a heading; columns are separated by commas,
        semicolons or tabs.
    wild_types : SequenceSet, name -> letters, or the letters of the one protein, or the name of
        the column that holds them.
    value : column of what was measured. Rows without a number there are left out, and counted in
        the attributes.
    positive : what a value above 0 says: ``"destabilising"``, ``"stabilising"``, or ``"fitter"``
        of a deep mutational scan, whose scores are no free energies
        There is no default: files of the field differ.
    units : ``"kcal/mol"``, ``"kJ/mol"``, ``"J/mol"`` or ``"cal/mol"`` of free energies.
    mutation : column of the variants: ``A123G``, ``p.Ala123Gly``, ``AB123G`` with a chain, several
        as ``A1G:L2C``, ``WT``.
    protein : column of the name of the protein; not needed of one protein.
    first : number of the first letter of the wild types, for all or by name (1 for those that are
        not named); ``"find"`` takes the one at which all variants of a protein fit.

    Returns
    -------
    Dataset over ``variant``
        ``ddg`` in kcal/mol, positive where the variant is less stable, or ``fitness`` as measured;
        ``mutation``, written as ``A1G:L2C`` and counted from 1 in the sequence; ``protein``,
        ``wild_type``, its letters, ``n_mutations`` and ``line``, the number of the line.

    Raises
    ------
    FileFormatError, NameUnknownError, DataError
        No table, a column or protein that is not there, a text that is no substitution, a residue
        that is not what stands in the sequence, or values that cannot be kcal/mol.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "toy.csv"
    >>> _ = path.write_text("mutation,dG\nM1A,-4.184\nK2R:T3S,2.092\n")
    >>> table = read_mutations(path, "MKT", value="dG", positive="stabilising", units="kJ/mol")
    >>> table["ddg"].values.tolist(), table["n_mutations"].values.tolist()
    ([1.0, -0.5], [1, 2])
    """
    check_choice(positive, "positive", tuple(_SIGNS))
    check_choice(units, "units", tuple(_UNITS))
    source = check_source(path)
    fitness = positive == "fitter"
    rows = list(_rows(source, (mutation, value, protein)))
    factor = 1.0 if fitness else _SIGNS[positive] * _UNITS[units]
    heading = rows[0][1] if rows else {}
    column = wild_types if isinstance(wild_types, str) and wild_types in heading else None
    lookup = None if column is not None else _letters(wild_types)
    kept, n_without = [], 0
    for line, row in rows:
        measured = _number(row[value], line, value, source.name)
        if measured is None:
            n_without += 1
            continue
        name = row[protein] if protein is not None else "protein"
        if column is not None:
            letters = row[column]
            name = row[protein] if protein is not None else letters[:12]
        else:
            assert lookup is not None
            letters = _wild_type(lookup, name if protein is not None else None, line)
        kept.append((line, name, letters.rstrip("*").upper(), row[mutation], measured * factor))
    starts = _starts(kept, first)
    texts, counts = [], []
    for line, name, letters, text, _ in kept:
        start = starts[(name, letters)]
        try:
            placed = place_substitutions(letters, text, first=start, name=name)
        except DataError as error:
            raise _with_advice(error, kept, name, letters, line, source.name) from None
        texts.append(":".join(f"{letters[at]}{at + 1}{to}" for at, to in sorted(placed)) or "WT")
        counts.append(len(placed))
    values = np.array([row[4] for row in kept], dtype=float)
    if not fitness and len(values) and np.median(np.abs(values)) > _FAR:
        raise DataError(
            f"Half of the values are further from 0 than {_FAR:g} kcal/mol",
            "Changes of folding free energy, a few kcal/mol, were needed",
            'Pass units="kJ/mol" or "J/mol", or positive="fitter" for scores of a scan',
        )
    attrs: dict[str, Any] = (
        {"units": "1", "long_name": "fitness", "sign": _FITTER}
        if fitness
        else {"units": "kcal/mol", "long_name": "change of folding free energy", "sign": SIGN}
    )
    return xr.Dataset(
        {
            "fitness" if fitness else "ddg": ("variant", values, attrs),
            "mutation": ("variant", np.array(texts, dtype=str)),
            "protein": ("variant", np.array([row[1] for row in kept], dtype=str)),
            "wild_type": ("variant", np.array([row[2] for row in kept], dtype=str)),
            "n_mutations": ("variant", np.array(counts, dtype=np.int64)),
            "line": ("variant", np.array([row[0] for row in kept], dtype=np.int64)),
        },
        attrs={
            "convention": "residues are counted from 1 in wild_type",
            "positive_in_file": positive, "units_in_file": "1" if fitness else units,
            "rows_without_value": n_without, "source": source.name,
        },
    )  # fmt: skip


def _rows(source: Any, needed: tuple[str | None, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a table by the names of its columns, of which `needed` must be there."""
    heading: list[str] = []
    with explained(source, "table of variants"), text_lines(source) as lines:
        delimiter = ","
        for number, raw in lines:
            line = raw.rstrip("\r\n")
            if not line.strip():
                continue
            if not heading:
                delimiter = max(",;\t", key=line.count)
                # A heading used twice is taken at its first place, as a reader of the file would.
                heading = [
                    c.strip().lstrip("\ufeff")
                    for c in next(csv.reader([line], delimiter=delimiter))
                ]
                for name in needed:
                    if name is not None and name not in heading:
                        raise NameUnknownError(
                            f"{source.name} has no column {name!r}",
                            f"One of {', '.join(c for c in heading if c)[:200]} was needed",
                            nearest(name, heading),
                        )
                continue
            cells = next(csv.reader([line], delimiter=delimiter))
            if len(cells) != len(heading):
                raise FileFormatError(
                    f"Line {number} of {source.name} has {len(cells)} cells",
                    f"{len(heading)}, one for each name of the heading, were needed",
                    "Was the line cut, or a comma not quoted?",
                )
            row: dict[str, str] = {}
            for name, cell in zip(heading, cells, strict=True):
                row.setdefault(name, cell.strip())
            yield number, row
    if not heading:
        raise FileFormatError(
            f"{source.name} is empty", "A heading and rows were needed", "Is the file whole?"
        )


def _number(text: str, line: int, column: str, source: str) -> float | None:
    if text.lower() in ("", "na", "nan", "-", "null", "none"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileFormatError(
            f"Line {line} of {source} has {text[:30]!r} as {column}",
            "A number was needed",
            "Leave the cell empty where nothing was measured",
        )
    return value


def _letters(wild_types: Any) -> Mapping[str, str]:
    """Letters by the name of the protein; the empty name where there is one protein."""
    if isinstance(wild_types, str):
        return {"": wild_types}
    if isinstance(wild_types, Mapping):
        return {str(k): str(v) for k, v in wild_types.items()}
    return {str(n): s for n, s in zip(wild_types.names, wild_types, strict=True)}


def _wild_type(lookup: Mapping[str, str], name: str | None, line: int) -> str:
    if name is None or (len(lookup) == 1 and "" in lookup):
        if len(lookup) != 1:
            raise DataError(
                f"{len(lookup)} wild types came, and no column that names the protein",
                "One wild type, or the name of each row's protein, was needed",
                "Pass protein=, the name of that column",
            )
        return next(iter(lookup.values()))
    if name not in lookup:
        raise NameUnknownError(
            f"Line {line} names the protein {name!r}",
            "One of the wild types was needed",
            nearest(name, list(lookup)),
        )
    return lookup[name]


def _starts(kept: list[Any], first: Any) -> dict[tuple[str, str], int]:
    """Number of the first letter of each wild type."""
    proteins = dict.fromkeys((row[1], row[2]) for row in kept)
    if isinstance(first, Mapping):
        names = [key[0] for key in proteins]
        for name in first:
            if name not in names:
                raise NameUnknownError(
                    f"first= names the protein {name!r}",
                    "A protein of the table was needed",
                    nearest(str(name), names),
                )
        return {key: int(first.get(key[0], 1)) for key in proteins}
    if first != "find":
        return {key: int(first) for key in proteins}
    found = {}
    for key in proteins:
        texts = [row[3] for row in kept if (row[1], row[2]) == key]
        if not any(read_substitutions(t) for t in texts):
            found[key] = 1
            continue
        start = matching_start(key[1], texts)
        if start is None:
            raise DataError(
                f"The {len(texts)} variants of {key[0]} do not fit its sequence in one way alone",
                "One numbering at which all residues are those of the sequence was needed",
                "Pass first= as a number, or as a number for each protein",
            )
        found[key] = start
    return found


def _with_advice(
    error: DataError, kept: list[Any], name: str, letters: str, line: int, source: str
) -> DataError:
    """Return the error with its line, and with the numbering that would fit, if there is one."""
    what, needed, advice = error.came, error.needed, error.remedy
    texts = [row[3] for row in kept if (row[1], row[2]) == (name, letters)]
    try:
        start = matching_start(letters, texts)
    except DataError:
        start = None
    if start is not None:
        advice = f"With first={start} all {len(texts)} variants of {name} fit"
    return DataError(f"Line {line} of {source}: {what}", needed, advice)
