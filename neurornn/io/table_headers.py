"""The first lines of a table: what separates its cells, and which of them are names."""

import csv
import re

import numpy as np

from neurornn._core.errors import FileFormatError
from neurornn.io.clocks import is_time
from neurornn.io.spike_lists import is_spike_times

#: A comment that states something: ``# fs: 30``.
STATEMENT = re.compile(r"^[#%\s]*([A-Za-z][\w ()]*?)\s*[:=]\s*(\S.*?)\s*$")
#: What spreadsheets write into a cell that could not be computed.
ERROR_CELLS = (
    "#N/A", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!",
    "#NV", "#WERT!", "#BEZUG!", "#ZAHL!", "#VALEUR!", "#NOMBRE!", "#NOM?", "#NUL!",
)  # fmt: skip
#: Cells without a value, in lower case.
_MISSING = ("", "na", "n/a", "nan", "null", "none", "<na>", *(c.lower() for c in ERROR_CELLS))
#: What Inscopix writes below the name of a cell.
STATES = ("accepted", "rejected", "undecided")


def separator_of(first: list[str]) -> str:
    """Return what separates the cells of the first lines; ``" "`` stands for any blanks."""
    counts = {s: [line.count(s) for line in first] for s in "\t;,"}
    same = [s for s, c in counts.items() if c[0] and len(set(c)) == 1 and len(c) > 1]
    best = same[0] if same else max("\t;,", key=first[0].count)
    if first[0].count(best):
        return best
    return " " if len(first[0].split()) > 1 else ","


def has_decimal_commas(first: list[str], separator: str) -> bool:
    """Whether numbers in the first lines are written with a comma."""
    if separator == ";":
        return any("," in line for line in first[1:] or first)
    if separator not in "\t ":
        return False
    cells = [
        c.strip() for line in first[1:] or first for c in re.split(r"[\t ]", line.replace('"', ""))
    ]
    plain = all(re.fullmatch(r"-?\d*(,\d+)?(e[-+]?\d+)?", c, re.IGNORECASE) for c in cells)
    # 1,234 might be a thousand, and more.
    return plain and any(re.match(r"-?0?,\d|-?\d+,(\d{1,2}|\d{4,})$", c) for c in cells)


def has_row_names(cells: list[str], below: list[str], separator: str, source: str) -> bool:
    """Whether rows begin with a number of their own above which no name stands, as R writes."""
    rows = [cells_of(line, separator, k + 2, source) for k, line in enumerate(below)]
    if not rows or any(len(r) != len(cells) + 1 or not r[-1].strip() for r in rows):
        return False
    numbers = [number_in(r[0]) for r in rows]
    return numbers == [k + 1 for k in range(len(rows))]


def names_in_comment(remark: str, separator: str, n: int) -> list[str] | None:
    """Return the names of the columns from the comment right above them, as NumPy writes it."""
    cells = [
        c.strip()
        for c in remark.lstrip("#").strip().split(None if separator == " " else separator)
    ]
    if len(cells) != n or len(set(cells)) < n or STATEMENT.match(remark):
        return None
    if not all(cells) or any(number_in(c) is not None for c in cells):
        return None
    sure = any(is_time(c) or is_spike_times(c) for c in cells)
    return cells if sure or (n > 1 and separator != " ") else None


def cells_of(line: str, separator: str, number: int, source: str) -> list[str]:
    """Return the cells of a line; `number` and `source` are for messages."""
    if '"' not in line:
        return line.split() if separator == " " else line.split(separator)
    try:
        text = " ".join(line.split()) if separator == " " else line
        return next(csv.reader([text], delimiter=separator, strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise FileFormatError(
            f"Line {number} of {source} has quotes that do not close: {error}",
            "Both quotes of a cell in one line were needed",
            "Was the file cut? Export it without quotes",
        ) from error


def is_header(
    cells: list[str], first: list[str], separator: str, decimal: str, source: str
) -> bool:
    """Tell names from numbers; ``,0,1,2`` and ``0,1,2`` above other numbers are names."""
    if not all(number_in(c, decimal) is not None for c in cells if c):
        return True
    if not any(cells):
        return False
    counted = [c for c in cells if c]
    counts = counted == [str(k) for k in range(len(counted))]
    if not cells[0] and (
        counts or (len(counted) > 2 and _rise([float(c.replace(decimal, ".")) for c in counted]))
    ):
        return True
    if not counts or len(first) < 2:
        return False
    below = [cells_of(line, separator, 2, source) for line in first[1:]]
    if len(cells) >= 3 and not all(re.fullmatch(r"\s*-?\d+\s*", c) for c in below[0]):
        return True
    # Five numbers in a row that count are names; fewer may be a row, if those below are alike.
    if len(cells) >= 5 or not _continues([float(c) for c in cells], below, decimal):
        return True
    whole = any(re.fullmatch(r"\s*-?\d+\s*", c) for line in below for c in line)
    if len(cells) == 2 and not whole:
        # Two first samples that are 0 and 1, and none below them that is whole.
        return True
    if len(cells) < 3 and whole:
        return False
    raise FileFormatError(
        f"The first line of {source} is {separator.join(cells)[:40]!r}: names of columns, or a "
        "row of numbers",
        "A statement of which was needed",
        "Pass header=True or header=False, or give the columns names that are not numbers",
    )


def second_header(
    cells: list[str], below: list[str], separator: str, decimal: str, source: str
) -> list[str]:
    """Return a second line of names: states of cells (Inscopix), units, or names once more."""
    found = [[c.strip() for c in cells_of(line, separator, 2, source)] for line in below]
    names, numbers = found
    if len(names) != len(cells) or len(numbers) != len(cells):
        return []
    said = [c for c in names if c.lower() not in _MISSING]
    if 2 * len(said) < len(cells) or any(number_in(c, decimal) is not None for c in said):
        return []
    if all(number_in(c, decimal) is None for c in numbers if c.lower() not in _MISSING):
        return []
    states = all(c.lower() in STATES for c in names[1:])
    unit = re.fullmatch(r"[(\[]?(s|ms|us|µs|secs?|seconds?|min)[)\]]?", names[0], re.IGNORECASE)
    levels = len(set(cells)) < len(cells) and len(set(names)) == len(names)
    return names if states or unit or levels else []


def _continues(row: list[float], below: list[list[str]], decimal: str) -> bool:
    """Whether a row of numbers may be the first of those below it, by its size."""
    rows = [[number_in(c, decimal) for c in line] for line in below]
    for k, value in enumerate(row):
        column = [r[k] for r in rows if k < len(r)]
        known = [v for v in column if v is not None]
        if not known:
            continue
        # Names of columns are far below a fluorescence of hundreds that hardly changes.
        spread = max(known) - min(known)
        if min(abs(v - value) for v in known) > max(10 * spread, 0.5 * max(map(abs, known))):
            return False
    return True


def _rise(values: list[float]) -> bool:
    """Whether numbers rise in steps that hardly differ, as rounded frame times do."""
    steps = np.diff(values)
    most = 2.0 if len(steps) > 8 else 1.1
    return bool(len(steps) and np.all(steps > 0) and steps.max() <= most * np.median(steps))


def number_in(cell: str, decimal: str = ".") -> float | None:
    """Return the number in a cell, or None."""
    text = cell.strip().strip('"')
    try:
        return float(text.replace(decimal, "."))
    except ValueError:
        return None
