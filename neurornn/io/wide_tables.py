"""Tables of one row per frame: the traces, the clocks, and what goes with the frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import FASTEST_RATE, SLOWEST_FRAME
from neurornn._core.errors import DataError, FileFormatError, NameUnknownError, nearest
from neurornn.io.clocks import is_counting, is_frame_rate, is_time, rises_evenly, seconds_in
from neurornn.io.table_columns import (
    clock_unit,
    flags_among,
    is_beside,
    is_clock_without_name,
    is_index,
    is_row_number,
    is_unnamed,
    may_be_clock,
    measures_among,
    rises,
)
from neurornn.io.table_headers import STATES, number_in
from neurornn.io.text_tables import Layout, Rows, first_rows, read_parts

#: So many columns without names, and few rows, are frames.
_WIDE = 30
#: A column of fewer rows is not taken for one that numbers them.
_LEAST_ROWS = 10


@dataclass
class Table:
    """The columns of a table.

    Attributes
    ----------
    values : (time, unit).
    labels : of the units; their place in the file where there are no names.
    others : name -> column that is no trace, in the order of the file.
    lines : (time,), number of the line of each row.
    not_read : columns that were left out.
    place : of the first unit in the file.
    """

    values: NDArray[Any]
    labels: list[str]
    others: dict[str, NDArray[Any]]
    lines: NDArray[np.int64]
    not_read: tuple[str, ...] = ()
    place: int = 0

    def rows_with(self, rows: Mapping[str, float], source: str) -> NDArray[np.bool_]:
        """Keep the rows in which columns have given values, and return where they are.

        Parameters
        ----------
        rows : column -> value.
        source : name of the file, for messages.
        """
        keep = np.ones(len(self.values), dtype=bool)
        for column, value in rows.items():
            if column not in self.others:
                raise NameUnknownError(
                    f"rows names the column {column!r}, and the columns of {source} that are no "
                    f"traces are {', '.join(map(repr, self.others)) or 'none'}",
                    "One of these was needed",
                    nearest(column, self.others),
                )
            keep &= self.others[column] == value
            if not keep.any():
                known = np.unique(self.others[column])[:8]
                raise DataError(
                    f"No row of {source} has {value!r} in the column {column!r}",
                    f"One of its values was needed: {', '.join(f'{v:g}' for v in known)}",
                    f"Pass rows={{{column!r}: {known[0]:g}}}",
                )
        self.values, self.lines = self.values[keep], self.lines[keep]
        self.others = {c: v[keep] for c, v in self.others.items()}
        return keep

    def states(self, layout: Layout) -> list[str]:
        """Return what a second line of names says of each unit, or nothing."""
        if not layout.second or not self.labels:
            return []
        said = dict(zip(layout.columns, layout.second, strict=True))
        found = [said.get(label, "").lower() for label in self.labels]
        return found if all(s in STATES for s in found) else []


def read_columns(source: Path, layout: Layout) -> Table:
    """Read all rows of a table.

    Parameters
    ----------
    source : the file.
    layout : of its cells.

    Raises
    ------
    FileFormatError
        No rows, or text in place of a number.
    """
    apart: list[int] = []
    if layout.named:
        names = list(enumerate(layout.columns))
        apart = [k for k, c in names if may_be_clock(c) or is_index(c) or is_frame_rate(c)]
        beside = [k for k, c in names if k not in set(apart) and is_beside(c)]
        # A table of nothing else holds these as its traces.
        if len(apart) + len(beside) < len(names):
            apart = sorted([*apart, *beside])
    gone = set(apart)
    kept = [k for k in range(len(layout.columns)) if k not in gone]
    rows = Rows(len(kept), layout.room)
    pieces: dict[int, list[NDArray[Any]]] = {k: [] for k in apart}
    lines = [np.empty(0, np.int64)]
    for part, numbers in read_parts(source, layout, frozenset()):
        rows.add(part[kept])
        for k in apart:
            pieces[k].append(part[k].to_numpy(dtype=float))
        lines.append(numbers)
    values = rows.finish()
    if not len(values):
        raise FileFormatError(
            f"{source.name} has 0 rows below {', '.join(map(repr, layout.columns[:8]))}",
            "A table of numbers, one row per frame and one column per unit, was needed",
            "Export it again",
        )
    others: dict[str, NDArray[Any]] = {}
    for k in apart:
        column = np.concatenate(pieces[k])
        # A separator at the end of every line makes a second column without a name.
        if layout.columns[k] not in others or not np.isnan(column).all():
            others[layout.columns[k]] = column
    labels = [layout.columns[k] for k in kept]
    moved = flags_among(values, labels) if layout.named else _first_column(values)
    for k in moved:
        others[labels[k] if layout.named else ""] = values[:, k].astype(float)
    left = measures_among(labels)
    if moved or left:
        values = np.delete(values, [*moved, *left], axis=1)
        labels = [c for k, c in enumerate(labels) if k not in {*moved, *left}]
    if moved and not layout.named:
        labels = [str(k) for k in range(len(labels))]
    place = {c: k for k, c in enumerate(layout.columns)}
    others = dict(sorted(others.items(), key=lambda item: place.get(item[0], -1)))
    return Table(
        values,
        labels,
        others,
        np.concatenate(lines),
        not_read=tuple(layout.columns[kept[k]] for k in left),
        place=0 if layout.named else len(moved),
    )


def _first_column(values: NDArray[Any]) -> list[int]:
    """Return the first column of a table without names where it is a clock, or counts the rows."""
    if values.shape[1] < 2 or len(values) < _LEAST_ROWS:
        return []
    first = values[:, 0].astype(float)
    is_clock = is_clock_without_name(first) and rises_evenly(first)
    return [0] if is_clock or is_row_number(first) else []


def choose_clocks(table: Table, layout: Layout, time_unit: str | None) -> list[str]:
    """Return the columns that hold frame times, the one to take first.

    Parameters
    ----------
    table : as read.
    layout : of its cells.
    time_unit : as the caller states it.
    """
    clocks = [
        c
        for c, v in table.others.items()
        if may_be_clock(c) and (is_time(c) or clock_unit(c) is not None or rises(v))
    ]
    if layout.second:
        below = layout.second
        timed = [
            c
            for c, s in zip(layout.columns, below, strict=True)
            if s and may_be_clock(s.split("/")[0])
        ]
        clocks += [c for c in timed if c in table.others and c not in clocks]
    if not clocks:
        # The index of a table of pandas, which it writes without a name.
        nameless = [c for c in table.others if is_unnamed(c)]
        return [c for c in nameless if is_clock_without_name(table.others[c])][:1]
    if time_unit is not None or len(clocks) == 1:
        return clocks

    def is_unlikely(column: str) -> bool:
        steps = np.diff(table.others[column][:1000]) * seconds_in(clock_unit(column) or "s")
        step = float(np.median(steps)) if len(steps) else 0.0
        counts = is_counting(table.others[column]) and clock_unit(column) is None
        return counts or not 1 / FASTEST_RATE <= step < SLOWEST_FRAME

    return sorted(clocks, key=is_unlikely)


def unit_labels(labels: list[str]) -> Any:
    """Return labels as whole numbers where all are such."""
    digits = all(map(str.isdigit, labels)) and len(set(map(int, labels))) == len(labels)
    return np.array([int(c) for c in labels]) if digits else labels


def with_columns(recording: xr.Dataset, columns: Mapping[str, NDArray[Any]]) -> xr.Dataset:
    """Put columns that are no traces beside the traces, on their clock and under their names.

    Parameters
    ----------
    recording : of the traces.
    columns : name -> (time,). Without a name, and of frame rates, they are left out.
    """
    rate = next(iter(recording.data_vars.values())).attrs.get("sampling_rate")
    for column, values in columns.items():
        if is_unnamed(column) or is_frame_rate(column) or np.isnan(values).all():
            continue
        whole = bool(np.isfinite(values).all() and np.all(values == np.round(values)))
        own = {"units": "as in the file", "long_name": f"column {column} of the table"}
        recording[free_name(column, recording)] = (
            "time",
            values.astype(np.int64) if whole and np.abs(values).max() < 2**53 else values,
            own | ({"sampling_rate": rate} if rate else {}),
        )
    return recording


def free_name(column: str, recording: xr.Dataset) -> str:
    """Return the name of a column, changed where the recording has that name."""
    taken = {*map(str, recording.variables), *map(str, recording.dims)}
    return f"{column}_column" if column in taken else column


def refuse_rows_of_units(source: Path, layout: Layout) -> None:
    """Raise where every row begins with a name: the units lie in the rows.

    Parameters
    ----------
    source : the file.
    layout : of its cells.

    Raises
    ------
    FileFormatError
        It says how to turn the table.
    """
    rows = first_rows(source, layout, 2)
    above = layout.columns if layout.has_header else []
    if above and _is_named_row(above, layout.decimal) and above[0] and rows:
        # The first row was taken for names since one stands in it.
        numbers = [number_in(c, layout.decimal) for c in above[1:]]
        counts = numbers == [float(k) for k in range(len(numbers))]
        rise = bool(np.all(np.diff(np.array(numbers, dtype=float)) > 0))
        if not counts and not rise:
            rows = [above, *rows]
            above = []
    if len(rows) < 2 or not all(_is_named_row(r, layout.decimal) for r in rows):
        return
    names = [r[0].strip().strip('"') for r in rows]
    if len(set(names)) < len(names) or any(":" in n for n in names):
        return
    numbers = [number_in(c, layout.decimal) for c in above[1:]]
    option = "index_col=0" if above else "index_col=0, header=None"
    turned = ".T" if numbers and None not in numbers else ".T.reset_index(drop=True)"
    raise FileFormatError(
        f"{source.name} has a name at the start of its rows ({', '.join(map(repr, names[:2]))}, "
        f"...) and {len(rows[0]) - 1} numbers behind it: the units seem to lie in the rows",
        "One row per frame and one column per unit were needed",
        f"Transpose it: pandas.read_csv(path, {option}){turned}.to_csv(...); if the names are no "
        "units, remove that column",
    )


def _is_named_row(cells: list[str], decimal: str) -> bool:
    first = cells[0].strip().strip('"') if cells else ""
    rest = cells[1:]
    return (
        bool(first)
        and number_in(first, decimal) is None
        and len(rest) >= 3
        and all(number_in(c, decimal) is not None or not c.strip() for c in rest)
    )


def refuse_wide(values: NDArray[Any], labels: list[str], layout: Layout, source: str) -> None:
    """Raise where the units lie in the rows: the frame times, or numbers, stand above them.

    Parameters
    ----------
    values : (row, column).
    labels : of the columns.
    layout : of the table.
    source : name of the file, for messages.
    """
    n_rows, n_columns = values.shape
    if n_rows >= n_columns:
        return
    if layout.named:
        try:
            head = np.array([float(c.replace(layout.decimal, ".")) for c in labels])
        except ValueError:
            return
        shown = "names that rise evenly"
    else:
        head, shown = values[0].astype(float), "a first row that rises evenly"
    known = head[1:] if not layout.named and np.isnan(head[0]) else head
    if rises_evenly(known) or (layout.named and _is_short_clock(known)):
        raise FileFormatError(
            f"{source} has {n_rows} rows of {n_columns} columns and {shown}, "
            f"{known[0]:g}, {known[1]:g}, ... to {known[-1]:g}: the units seem to lie in the rows",
            "One row per frame and one column per unit were needed",
            "Transpose it: pandas.read_csv(path, index_col=0).T.to_csv(...); if the columns are "
            "units after all, pass header=True",
        )
    if not layout.named and n_columns >= _WIDE and n_columns > 3 * n_rows:
        raise FileFormatError(
            f"{source} has {n_rows} rows of {n_columns} columns without names: the units seem to "
            "lie in the rows",
            "One row per frame and one column per unit were needed",
            "Transpose it: numpy.savetxt(path, traces.T); if the columns are units after all, "
            "write their names into the first line",
        )


def _is_short_clock(head: NDArray[np.float64]) -> bool:
    steps = np.diff(head)
    whole = bool(np.all(head == np.round(head)))
    return len(head) > 2 and not whole and bool(np.all(steps > 0) and np.ptp(steps) < steps.max())


def check_row_numbers(
    count: NDArray[Any], column: str, has_time: bool, lines: NDArray[np.int64], source: str
) -> None:
    """Raise where a column that numbers the rows shows that some are missing or doubled.

    Parameters
    ----------
    count : (time,), the column.
    column : its name.
    has_time : whether there are frame times, so that rows may be missing.
    lines : (time,), number of the line of each row.
    source : name of the file, for messages.
    """
    if np.isnan(count).all() and is_unnamed(column):
        # A separator at the end of every line.
        return
    steps = np.diff(count)
    if np.all(steps == 1) or (has_time and np.all(steps > 0)):
        return
    k = int(np.argmax(~(steps == 1)))
    title = f"column {column!r}" if column else "column without a name"
    raise DataError(
        f"The {title} of {source}, which numbers the rows, goes from {count[k]:g} to "
        f"{count[k + 1]:g} in line {lines[k + 1]}",
        "Rows numbered one after the other were needed",
        "If rows are missing, give frame times in s in a column `time`; if the column holds "
        "something else, name it so",
    )
