"""Text tables (CSV, TSV): traces with or without a time column, or a list of spikes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import SLOWEST_FRAME
from neurornn._core.errors import (
    DataError,
    FileFormatError,
    KindError,
    NameUnknownError,
    UnitError,
)
from neurornn._core.files import atomic_path
from neurornn.data.recording import from_traces
from neurornn.io.arrays import indicator_of, no_rate, trace_name
from neurornn.io.clocks import (
    agreed_rate,
    is_counting,
    is_frame_rate,
    is_time,
    one_rate,
    plain,
    refuse_clock,
    rises_evenly,
    seconds_in,
    unit_in_name,
)
from neurornn.io.sources import check_source, explained, stamped
from neurornn.io.spike_lists import (
    is_spike_times,
    refuse_spikes,
    spike_time_unit,
)
from neurornn.io.spike_tables import read_spikes
from neurornn.io.text_tables import Layout, Rows, read_layout, read_parts

#: Columns that number the rows, blanks, marks and case aside; "" is one without a name.
_INDEX = ("", "index", "frame", "frames", "frameno", "framenumber", "frameindex", "frameid",
          "sample", "samples", "samplenumber", "sampleindex", "row", "unnamed0")  # fmt: skip

#: So many columns without names, and few rows, are frames.
_WIDE = 30


def read_delimited(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    time_unit: str | None = None,
    name: str | None = None,
    indicator: str | None = None,
    header: bool | None = None,
    unit_column: str | None = None,
) -> xr.Dataset:
    """Read a recording from a CSV or TSV file, plain or gzipped.

    Parameters
    ----------
    path : a table with one row per frame and one column per unit; or one row per spike with
        the columns ``spike_time`` and ``unit``.
    sampling_rate : Hz; needed where there is no time column.
    time_unit : ``"s"`` or ``"ms"`` where the header does not say (``time_ms``, ``time (s)``).
    name : ``"dff"`` or ``"fluorescence"``; by default read off the header and the file name.
    indicator : by default read off the file name.
    header : whether the first line holds names; needed where it might be numbers as well.
    unit_column : which column holds the unit of each spike; needed where names do not tell
        (``unit``, ``cluster_id``, ``neuron``, ``channel`` and the like do).

    Raises
    ------
    FileFormatError
        No table, columns of text, a damaged line; the line is named.
    UnitError
        Times that look like ms or frame numbers; neither times nor a rate, or several rates that
        differ by more than 2 %.
    NameUnknownError
        A list of spikes whose units cannot be told, or a `time_unit` that is none.
    DataError
        Rows that are missing, by a column that numbers them; a spike without a time or a unit.

    Notes
    -----
    The file is read in parts: what is held is its numbers. A comment above the table such as
    ``# sampling_rate: 30`` states the rate.
    """
    source = check_source(path)
    rate = None if sampling_rate is None else one_rate(sampling_rate, "sampling_rate=")
    factor = None if time_unit is None else seconds_in(time_unit)
    if header not in (None, True, False):
        raise KindError(
            f"header is {header!r}", "True, False or None was needed", "Pass header=True"
        )
    with explained(source, "a text table"):
        layout = read_layout(source, header)
    spikes = [c for c in layout.columns if is_spike_times(c)]
    if spikes:
        stated_unit = spike_time_unit(spikes[0]) if time_unit is None else time_unit
        recording = read_spikes(
            source,
            layout,
            index=frozenset(_INDEX),
            factor=None
            if stated_unit is None
            else _factor(spike_time_unit(spikes[0]), spikes[0], time_unit),
            unit_column=unit_column,
            rate=rate,
        )
        return stamped(recording, source, "text table (spikes)")
    clocks = [c for c in layout.columns if is_time(c)]
    if unit_column is not None or (factor is not None and not clocks):
        option = "unit_column" if unit_column is not None else "time_unit"
        raise NameUnknownError(
            f"{option} came for {source.name}, whose columns are {_listed(layout.columns)}",
            "A column of spike times was needed" if unit_column else "A time column was needed",
            f"Leave {option} out, or name the column " + ("spike_time" if unit_column else "time"),
        )
    with explained(source, "a text table"):
        values, labels, others, lines = _columns(source, layout)
    if not clocks and _is_float_clock(others.get("")):
        # The index of a table of pandas, which it writes without a name.
        clocks = [""]
    times = {c: others[c] * _factor(unit_in_name(c), c, time_unit) for c in clocks}
    stated: dict[str, Any] = {"sampling_rate=": rate, **layout.stated}
    stated |= {c: others[c] for c in others if is_frame_rate(c)}
    time = None
    for column, stamps in times.items():
        step = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
        if time is None:
            time = stamps
            _refuse_milliseconds(step, column, source.name, time_unit)
        elif 0 < step < SLOWEST_FRAME and not is_counting(stamps):
            stated[column] = 1 / step
    for column, count in others.items():
        if plain(column) in _INDEX and column not in times:
            _check_index(count, column, time is not None, lines, source.name)
    if not labels:
        raise FileFormatError(
            f"{source.name} has columns {_listed(layout.columns)} and nothing else",
            "At least one column of traces was needed",
            "Export the traces too; for spike times name the column spike_time",
        )
    if time is None and header is not True:
        _refuse_wide(values, labels, layout, source.name)
    for k, label in enumerate(labels):
        title = f"The column {label!r}" if layout.named else f"Column {int(label) + 1}"
        remedy = "If it is a clock, call it time (in s) or time_ms; if not, drop the column"
        refuse_clock(values[:, k], title, source.name, remedy)
        refuse_spikes(values[:, k], label, time, source.name)
    found = agreed_rate(
        stated,
        time,
        source=source.name,
        time_name=(clocks[0] or "the column without a name") if clocks else "time",
        in_seconds=time_unit is not None or bool(clocks and unit_in_name(clocks[0])),
    )
    if found is None:
        raise no_rate(source.name, f"{len(values)} rows of {len(labels)} columns")
    digits = all(map(str.isdigit, labels)) and len(set(map(int, labels))) == len(labels)
    recording = from_traces(
        values,
        sampling_rate=found,
        time=time,
        name=name or trace_name(source.stem, *labels),
        indicator=indicator or indicator_of(source.name, source.parent.name),
        unit=np.array([int(c) for c in labels]) if digits else labels,
    )
    return stamped(recording, source, "text table", rate)


def write_csv(
    table: xr.Dataset | xr.DataArray, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a table of results, or traces, as CSV.

    Parameters
    ----------
    table : Dataset of variables along one dimension, ``ci_bound`` beside it becoming the columns
        ``_ci_lower`` and ``_ci_upper``; or a DataArray (time, unit). Units stand in the header.
    path : written whole or not at all. A table of results of the same columns is replaced;
        traces are not, since others write those in the same form.
    overwrite : replace a file there whatever it holds.

    Raises
    ------
    FileWriteError
        Another file stands there; disk full or no permission; it is untouched.
    """
    frame = _frame(table)
    header = frame.head(0).to_csv(index=False)
    traces = isinstance(table, xr.DataArray) and table.ndim == 2

    def other(path: Path) -> str | None:
        if traces:
            return "is a file that may hold a recording"
        with path.open("rb") as file:
            same = file.read(len(header.encode())) == header.encode()
        return None if same else "is not a CSV file of these columns"

    with atomic_path(path, ours=other, overwrite=overwrite) as temporary:
        frame.to_csv(temporary, index=False)


def _frame(table: xr.Dataset | xr.DataArray) -> pd.DataFrame:
    if isinstance(table, xr.DataArray) and table.ndim == 2:
        rows, across = (str(d) for d in table.dims)
        columns: dict[str, Any] = {}
        if rows in table.coords:
            columns[_title(rows, table[rows].attrs)] = table[rows].values
        names = table[across].values if across in table.coords else range(table.sizes[across])
        for k, label in enumerate(names):
            columns[str(label)] = table.values[:, k]
        return pd.DataFrame(columns)
    data = (
        table.to_dataset(name=table.name or "value") if isinstance(table, xr.DataArray) else table
    )
    dims = [str(d) for d in data.sizes if d != "ci_bound"]
    if len(dims) > 1:
        raise FileFormatError(
            f"The table has axes {', '.join(dims)}",
            "A table along one axis was needed: CSV has rows and columns only",
            "Select one variable, or write netCDF with write_netcdf",
        )
    columns = {}
    for key, variable in [*data.coords.items(), *data.data_vars.items()]:
        if key == "ci_bound":
            continue
        if "ci_bound" in variable.dims:
            for k, bound in enumerate(("lower", "upper")):
                columns[_title(f"{key}_{bound}", variable.attrs)] = np.atleast_1d(
                    variable.isel(ci_bound=k).values
                )
        else:
            columns[_title(str(key), variable.attrs)] = np.atleast_1d(variable.values)
    return pd.DataFrame(columns)


def _title(name: str, attrs: Mapping[Any, Any]) -> str:
    units = str(attrs.get("units", "1"))
    return name if units in ("1", "") else f"{name} ({units})"


def _columns(
    source: Path, layout: Layout
) -> tuple[NDArray[Any], list[str], dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the traces, their labels, the columns that are none, and the line of each row."""
    apart = [
        k
        for k, c in enumerate(layout.columns)
        if is_time(c) or plain(c) in _INDEX or is_frame_rate(c)
    ]
    if not layout.named:
        apart = []
    kept = [k for k in range(len(layout.columns)) if k not in set(apart)]
    rows = Rows(len(kept), layout.room)
    pieces: dict[int, list[NDArray[Any]]] = {k: [] for k in apart}
    lines = [np.empty(0, np.int64)]
    for part, numbers in read_parts(source, layout, frozenset()):
        rows.add(part[kept])
        for k in apart:
            pieces[k].append(part[k].to_numpy(dtype=float))
        if apart:
            lines.append(numbers)
    values = rows.finish()
    if not len(values):
        raise FileFormatError(
            f"{source.name} has 0 rows below {_listed(layout.columns)}",
            "A table of numbers, one row per frame and one column per unit, was needed",
            "Export it again",
        )
    others = {layout.columns[k]: np.concatenate(pieces[k]) for k in apart}
    return values, [layout.columns[k] for k in kept], others, np.concatenate(lines)


def _listed(columns: list[str]) -> str:
    return ", ".join(map(repr, columns[:8])) + (", ..." if len(columns) > 8 else "")


def _factor(stated: str | None, column: str, time_unit: str | None) -> float:
    if stated and time_unit and seconds_in(stated) != seconds_in(time_unit):
        raise UnitError(
            f"time_unit is {time_unit!r} but the column is called {column!r}",
            "One unit of time was needed",
            "Leave time_unit out, or correct the header",
        )
    return seconds_in(stated or time_unit or "s")


def _refuse_milliseconds(step: float, column: str, source: str, time_unit: str | None) -> None:
    if step >= SLOWEST_FRAME and time_unit is None:
        raise UnitError(
            f"The column {column!r} of {source} advances by {step:g} from row to row",
            f"Times in s, less than {SLOWEST_FRAME:g} s apart, were needed",
            'If these are ms, pass time_unit="ms" or call the column time_ms; if frame numbers, '
            "drop the column and pass sampling_rate=",
        )


def _is_float_clock(count: NDArray[Any] | None) -> bool:
    """Whether a column without a name holds frame times: it rises in steps that are not whole."""
    if count is None or len(count) < 2 or not np.isfinite(count).all():
        return False
    steps = np.diff(count)
    return bool(np.all(steps > 0) and not np.all(count == np.round(count)))


def _refuse_wide(values: NDArray[Any], labels: list[str], layout: Layout, source: str) -> None:
    """Raise where the units lie in the rows: the frame times, or numbers, stand above them."""
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


def _check_index(
    count: NDArray[Any], column: str, has_time: bool, lines: NDArray[np.int64], source: str
) -> None:
    """Raise where a column that numbers the rows shows that some are missing or doubled."""
    if np.isnan(count).all() and not column:
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
