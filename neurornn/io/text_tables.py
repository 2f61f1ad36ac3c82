"""Tables in text files, in parts: what is held is the numbers, never the whole text."""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError
from neurornn.io.clocks import is_interval, is_rate, statement
from neurornn.io.spike_lists import is_spike_times
from neurornn.io.table_columns import may_be_clock
from neurornn.io.table_headers import (
    ERROR_CELLS,
    STATEMENT,
    cells_of,
    has_decimal_commas,
    has_row_names,
    is_header,
    names_in_comment,
    number_in,
    second_header,
    separator_of,
)
from neurornn.io.text_files import is_gzip, text_lines

#: Characters that are parsed at a time.
_PART = 2**21
#: A number with what may stand behind it in a statement of a rate or an interval.
_WITH_UNIT = re.compile(
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)[\s#]*"
    r"(?:hz|fps|1/s|s\^?-1|frames? ?(?:/|per) ?s(?:ec(?:ond)?)?|(s|ms|us|µs))?[,;]*",
    re.IGNORECASE,
)
_ERROR_START = re.compile(
    "(?:" + "|".join(map(re.escape, ERROR_CELLS)) + r")\s*(?:[\t;,\s]|$)", re.IGNORECASE
)
_EXCEL_LINE = re.compile(r"^\"?sep=(.)\"?\s*$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the cells of a table are laid out.

    Attributes
    ----------
    columns : names as in the header, without blanks around them; numbers where there is none.
    separator : between two cells; ``" "`` stands for any blanks.
    decimal : ``"."`` or ``","``.
    has_header : whether the first line that is no comment holds the names.
    named : whether the columns have names, from the first line or a comment right above it.
    stated : what comments state about the rate: where -> value, or text that is no number. Those
        below the first rows are added while the table is read.
    start : number of the first line that is neither blank nor a comment.
    room : rows that are expected.
    second : cells of a second line of names (states of the cells, units), or nothing.
    """

    columns: list[str]
    separator: str
    decimal: str
    has_header: bool
    named: bool
    stated: dict[str, Any]
    start: int
    room: int
    second: tuple[str, ...] = ()

    @property
    def n_headers(self) -> int:
        """Lines above the first row of numbers."""
        return int(self.has_header) + bool(self.second)


class Rows:
    """Grows by blocks of rows without ever holding them twice.

    Parameters
    ----------
    n_columns : int
    room : rows that are expected; memory that is not written to is not taken.
    """

    def __init__(self, n_columns: int, room: int) -> None:
        self._array = np.empty((max(room, 1), n_columns))
        self._n = 0
        self._whole = True

    def add(self, block: pd.DataFrame) -> None:
        """Append rows of numbers."""
        stop = self._n + len(block)
        if stop > len(self._array):
            # Resized in place by the system, without a copy.
            size = max(stop, int(1.2 * len(self._array)))
            self._array.resize((size, self._array.shape[1]), refcheck=False)
        self._array[self._n : stop] = block.to_numpy(dtype=np.float64)
        self._whole &= all(t.kind in "iub" for t in block.dtypes)
        self._n = stop

    def finish(self) -> NDArray[Any]:
        """Return all rows; as whole numbers where every one was written as such."""
        self._array.resize((self._n, self._array.shape[1]), refcheck=False)
        array = self._array
        if not self._whole or not array.size or max(array.max(), -array.min()) >= 2**53:
            return array
        counts = array.view(np.int64)
        for k in range(0, len(array), 2**16):
            counts[k : k + 2**16] = array[k : k + 2**16].astype(np.int64)
        return counts


def read_layout(path: Path, header: bool | None) -> Layout:
    """Look at the first lines of a table.

    Parameters
    ----------
    path : text file, plain or gzipped.
    header : whether the first line holds names; None to tell by its cells.

    Raises
    ------
    FileFormatError
        No table, a name twice, or a first line that may be names or numbers.
    """
    stated: dict[str, Any] = {}
    first: list[str] = []
    given, remark, start = "", "", 0
    with text_lines(path) as lines:
        for number, line in lines:
            told = _EXCEL_LINE.match(line) if number == 1 else None
            if told:
                given = told[1]
            elif _is_comment(line):
                if not first:
                    stated |= _stated(line, number, stated)
                    remark = line
            elif not _is_blank(line):
                first.append(line.rstrip("\r\n"))
                start = start or number
            if len(first) == 3:
                break
    if not first:
        raise FileFormatError(
            f"{path.name} has no line with text in it",
            "A table with one row per frame was needed",
            "Export it again",
        )
    separator = given or separator_of(first)
    decimal = "," if has_decimal_commas(first, separator) else "."
    cells = [cell.strip() for cell in cells_of(first[0], separator, 1, path.name)]
    named = header is not False
    if header is None:
        header = is_header(cells, first, separator, decimal, path.name)
        named = header
    columns = cells if header else [str(k) for k in range(len(cells))]
    second: list[str] = []
    if header and len(first) == 3:
        second = second_header(cells, first[1:], separator, decimal, path.name)
    if second and len(set(cells)) < len(cells):
        # Two levels of names, as pandas writes them: the lower one tells the columns apart.
        columns = [below or above for above, below in zip(cells, second, strict=True)]
    elif header and has_row_names(cells, first[1:], separator, path.name):
        columns = ["", *cells]
    elif not header and named is False:
        above = names_in_comment(remark, separator, len(cells))
        columns, named = (above, True) if above else (columns, False)
    names = [c for c in columns if c]
    twice = next((c for c in names if names.count(c) > 1), None) if len(names) < 5000 else None
    if twice is not None or len(set(names)) < len(names):
        raise FileFormatError(
            f"{path.name} has {names.count(twice) if twice else 'several'} columns of one name"
            + (f", {twice!r}" if twice else ""),
            "A name of its own for every column was needed",
            "Rename them",
        )
    size = path.stat().st_size * (4 if is_gzip(path) else 1)
    each = sum(map(len, first[1:])) / len(first[1:]) + 1 if len(first) > 1 else size
    return Layout(
        columns=columns,
        separator=separator,
        decimal=decimal,
        has_header=header,
        named=named,
        stated=stated,
        start=start,
        room=int(1.02 * size / each) + 2,
        second=tuple(second),
    )


def read_parts(
    path: Path, layout: Layout, text: frozenset[int]
) -> Iterator[tuple[pd.DataFrame, NDArray[np.int64]]]:
    """Go through a table part by part: its rows, and the number of the line of each.

    Parameters
    ----------
    path : text file, plain or gzipped.
    layout : as `read_layout` returns it.
    text : columns, by position, that are kept as text; all others must be numbers.

    Raises
    ------
    FileFormatError
        A row with more or fewer cells than the first line, or text in place of a number; the
        line is named.
    """
    n = len(layout.columns)
    waiting = layout.n_headers
    header_spaced, gaps, first_gap = not waiting, 0, 0
    last_blank, n_rows = 0, 0
    held: list[str] = []
    numbers: list[int] = []
    size = 0
    with text_lines(path) as lines:
        for number, line in _whole_rows(lines, layout):
            if number == 1 and _EXCEL_LINE.match(line):
                continue
            if _is_comment(line):
                _look_at_comment(line, number, layout, n_rows > 0, path.name)
                continue
            if _is_blank(line):
                last_blank = number
                continue
            if waiting:
                waiting, last_blank = waiting - 1, 0
                continue
            if last_blank and n_rows:
                if n == 1:
                    raise _ragged(last_blank, 0, n, path.name)
                gaps, first_gap = gaps + 1, first_gap or last_blank
            elif last_blank:
                header_spaced = True
            last_blank, n_rows = 0, n_rows + 1
            if '"' in line:
                found = len(cells_of(line.rstrip("\r\n"), layout.separator, number, path.name))
            elif layout.separator == " ":
                found = len(line.split())
            else:
                found = line.count(layout.separator) + 1
            if found != n:
                raise _ragged(number, found, n, path.name)
            held.append(line)
            numbers.append(number)
            size += len(line)
            if size >= _PART:
                yield _parse(held, numbers, layout, text, path.name)
                held, numbers, size = [], [], 0
    if held:
        yield _parse(held, numbers, layout, text, path.name)
    # Line ends that were doubled put a blank line behind every line.
    doubled = header_spaced and gaps == n_rows - 1 and n_rows > 2
    if gaps and not doubled and not _has_clock(layout):
        raise FileFormatError(
            f"Line {first_gap} of {path.name} is blank, one of {gaps} inside the table",
            "A row for every frame was needed: without it all later times would shift",
            "Where a frame is missing leave its cells empty but keep the separators; otherwise "
            "remove the blank lines, or add the frame times in a column `time`",
        )


def first_rows(path: Path, layout: Layout, n: int) -> list[list[str]]:
    """Return the cells of the first rows below the names.

    Parameters
    ----------
    path : text file, plain or gzipped.
    layout : as `read_layout` returns it.
    n : rows to return.
    """
    rows: list[list[str]] = []
    above = layout.n_headers
    with text_lines(path) as lines:
        for number, line in lines:
            excel = number == 1 and _EXCEL_LINE.match(line)
            if excel or _is_comment(line) or _is_blank(line):
                continue
            if above:
                above -= 1
                continue
            rows.append(cells_of(line.rstrip("\r\n"), layout.separator, number, path.name))
            if len(rows) == n:
                break
    return rows


def _has_clock(layout: Layout) -> bool:
    return any(may_be_clock(c) or is_spike_times(c) or not c for c in layout.columns)


def _whole_rows(lines: Iterator[tuple[int, str]], layout: Layout) -> Iterator[tuple[int, str]]:
    """Leave out rows of empty cells at the end of a table with a clock."""
    if layout.separator == " " or not any(map(may_be_clock, layout.columns)):
        yield from lines
        return
    nothing = f"{layout.separator} \r\n"
    waiting: list[tuple[int, str]] = []
    for number, line in lines:
        if not line.strip(nothing):
            waiting.append((number, line))
            continue
        yield from waiting
        waiting = []
        yield number, line


def _is_comment(line: str) -> bool:
    return line.startswith("#") and _ERROR_START.match(line) is None


def _stated(line: str, number: int, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a comment states about the rate, beside what others have stated."""
    found = STATEMENT.match(line)
    if not found or not (is_rate(found[1]) or is_interval(found[1])):
        return {}
    name = found[1].strip()
    where = f"{name} in line {number}" if {name, f"1/{name}"} & set(known) else name
    value = _WITH_UNIT.fullmatch(found[2])
    if value is None or (is_rate(name) and value[2]):
        number_alone = number_in(found[2])
        return statement(name, found[2] if number_alone is None else number_alone, where)
    if value[2] and is_interval(name):
        return statement(f"dt ({value[2].lower()})", float(value[1]), where)
    return statement(name, float(value[1]), where)


def _look_at_comment(line: str, number: int, layout: Layout, begun: bool, source: str) -> None:
    """Raise where a comment inside a table is a row that somebody has put aside."""
    if number < layout.start:
        return
    stated = _stated(line, number, layout.stated)
    layout.stated.update(stated)
    if stated or not begun:
        return
    n = len(layout.columns)
    rest = line[1:].strip()
    cells = rest.split() if layout.separator == " " else rest.split(layout.separator)
    numbers = [c for c in cells if c.strip() and number_in(c, layout.decimal) is not None]
    if len(cells) == n > 1 or (cells and len(numbers) == len(cells)):
        raise FileFormatError(
            f"Line {number} of {source} is a row behind a #",
            "Every frame in its row was needed: without one the times shift",
            "Remove the # or, if the frame is bad, leave its cells empty",
        )


def _parse(
    held: list[str], numbers: list[int], layout: Layout, text: frozenset[int], source: str
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    lines = np.array(numbers, dtype=np.int64)
    part = pd.read_csv(
        io.StringIO("".join(held)),
        sep=r"\s+" if layout.separator == " " else layout.separator,
        decimal=layout.decimal,
        header=None,
        names=list(range(len(layout.columns))),
        index_col=False,
        dtype=dict.fromkeys(text, object),
        skipinitialspace=True,
        skip_blank_lines=False,
        na_values=list(ERROR_CELLS),
        low_memory=False,
    )
    if len(part) != len(lines):
        raise FileFormatError(
            f"Lines {lines[0]} to {lines[-1]} of {source} hold {len(part)} rows",
            "One row per line was needed",
            "Are there quotes that span lines? Export the table without quotes",
        )
    for k, column in enumerate(layout.columns):
        if k in text or part.dtypes[k].kind in "biuf":
            continue
        values = part[k]
        wrong = pd.to_numeric(values, errors="coerce").isna() & values.notna()
        row = int(np.argmax(wrong.to_numpy())) if wrong.any() else 0
        title = f"the column {column!r}" if layout.named else f"column {k + 1}"
        raise FileFormatError(
            f"Line {lines[row]} of {source} has {str(values.iloc[row])[:40]!r} in {title}"
            + (", which is one of text" if wrong.all() and len(wrong) > 1 else ""),
            "Numbers, one row per frame and one column per unit, were needed, or an empty cell "
            "where a frame is missing",
            "Correct the line or remove the column; is this a recording? Others: pandas.read_csv",
        )
    return part, lines


def _ragged(number: int, found: int, n: int, source: str) -> FileFormatError:
    return FileFormatError(
        f"Line {number} of {source} has {found} cell{'s' * (found != 1)} and the first line {n}",
        "As many cells in every line were needed, empty where a value is missing",
        "Was the file cut, or are there separators inside a cell? Export it again",
    )


def _is_blank(line: str) -> bool:
    return not line.strip(" \r\n")
