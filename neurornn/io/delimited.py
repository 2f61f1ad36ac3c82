"""Text tables (CSV, TSV): traces with or without a time column, or a list of spikes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurornn._core.checks import SLOWEST_FRAME
from neurornn._core.errors import (
    DataError,
    FileFormatError,
    KindError,
    NameUnknownError,
    UnitError,
)
from neurornn._core.files import atomic_path
from neurornn._core.warning import warn_user
from neurornn.data.recording import from_traces
from neurornn.io.arrays import indicator_of, no_rate, trace_name
from neurornn.io.clocks import (
    agreed_rate,
    is_counting,
    is_frame_rate,
    one_rate,
    refuse_clock,
    seconds_in,
)
from neurornn.io.long_tables import LongTable, read_long
from neurornn.io.sources import check_source, explained, stamped
from neurornn.io.spike_lists import (
    is_spike_times,
    refuse_spikes,
    spike_time_unit,
)
from neurornn.io.spike_tables import read_spikes
from neurornn.io.table_columns import alternates, clock_unit, is_index, may_be_clock
from neurornn.io.text_tables import Layout, read_layout
from neurornn.io.wide_tables import (
    Table,
    check_row_numbers,
    choose_clocks,
    free_name,
    read_columns,
    refuse_rows_of_units,
    refuse_wide,
    unit_labels,
    with_columns,
)

#: Columns that number the rows, blanks, marks and case aside; "" is one without a name.
_INDEX = ("", "index", "frame", "frames", "frameno", "framenumber", "frameindex", "frameid",
          "sample", "samples", "samplenumber", "sampleindex", "row", "unnamed0")  # fmt: skip


def read_delimited(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    time_unit: str | None = None,
    name: str | None = None,
    indicator: str | None = None,
    header: bool | None = None,
    unit_column: str | None = None,
    rows: Mapping[str, float] | None = None,
    only_cells: bool = True,
) -> xr.Dataset:
    """Read a recording from a CSV or TSV file, plain or gzipped.

    Parameters
    ----------
    path : a table with one row per frame and one column per unit; or one row per spike with
        the columns ``spike_time`` and ``unit``; or one row per frame and cell, with a column of
        times (or frame numbers), one of cells and one of values.
    sampling_rate : Hz; needed where there is no time column.
    time_unit : ``"s"`` or ``"ms"`` where the header does not say (``time_ms``, ``time (s)``).
    name : ``"dff"`` or ``"fluorescence"``; by default read off the header and the file name.
    indicator : by default read off the file name.
    header : whether the first line holds names; needed where it might be numbers as well.
    unit_column : which column holds the unit of each spike; needed where names do not tell
        (``unit``, ``cluster_id``, ``neuron``, ``channel`` and the like do).
    rows : column -> value
        Read only the rows that have this value there: ``{"LedState": 2}`` takes the frames of one
        of two lights that are switched from frame to frame.
    only_cells : whether to leave out the cells that a second line of names calls ``rejected``, as
        Inscopix writes it.

    Returns
    -------
    Dataset
        ``name (time, unit)``. Columns that are known to be no cells (a frame counter,
        ``LedState``, ``TTL``, other times) stand beside it on ``time`` under their names. What
        Inscopix says of its cells is the coordinate ``cell_status (unit)``; the rejected ones
        are named in the attribute ``rejected_cells``.

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
    if unit_column is not None:
        raise NameUnknownError(
            f"unit_column came for {source.name}, whose columns are {_listed(layout.columns)}",
            "A column of spike times was needed",
            "Leave unit_column out, or name the column spike_time",
        )
    with explained(source, "a text table"):
        long = read_long(source, layout)
    if long is not None:
        return stamped(
            _from_long(long, layout, source, rate, time_unit, name, indicator),
            source,
            "text table (long)",
            rate,
        )
    with explained(source, "a text table"):
        refuse_rows_of_units(source, layout)
        table = read_columns(source, layout)
    clocks = choose_clocks(table, layout, time_unit)
    if factor is not None and not clocks:
        raise NameUnknownError(
            f"time_unit came for {source.name}, whose columns are {_listed(layout.columns)}",
            "A time column was needed",
            "Leave time_unit out, or name the column time",
        )
    times = {
        c: table.others[c] * _factor(_unit_of(c, layout), _shown(c), time_unit) for c in clocks
    }
    if rows is not None:
        keep = table.rows_with(rows, source.name)
        times = {c: t[keep] for c, t in times.items()}
    stated: dict[str, Any] = {"sampling_rate=": rate, **layout.stated}
    stated |= {c: table.others[c] for c in table.others if is_frame_rate(c)}
    time = None
    for column, stamps in times.items():
        step = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
        if time is None:
            time = stamps
            if _unit_of(column, layout) is None:
                _refuse_milliseconds(step, column, source.name, time_unit)
        elif 0 < step < SLOWEST_FRAME and not is_counting(stamps):
            stated[column] = 1 / step
    if rows is None:
        for column, count in table.others.items():
            if is_index(column) and column not in times:
                check_row_numbers(count, column, time is not None, table.lines, source.name)
    if not table.labels:
        raise FileFormatError(
            f"{source.name} has columns {_listed(layout.columns)} and nothing else",
            "At least one column of traces was needed",
            "Export the traces too; for spike times name the column spike_time",
        )
    if time is None and header is not True:
        refuse_wide(table.values, table.labels, layout, source.name)
    for k, label in enumerate(table.labels):
        title = f"The column {label!r}" if layout.named else f"Column {k + table.place + 1}"
        remedy = "If it is a clock, call it time (in s) or time_ms; if not, drop the column"
        refuse_clock(table.values[:, k], title, source.name, remedy)
        refuse_spikes(table.values[:, k], label, time, source.name)
    first = clocks[0] if clocks else ""
    found = agreed_rate(
        stated,
        time,
        source=source.name,
        time_name=_shown(first) if clocks else "time",
        in_seconds=time_unit is not None or bool(clocks and _unit_of(first, layout)),
    )
    if found is None:
        raise no_rate(source.name, f"{len(table.values)} rows of {len(table.labels)} columns")
    states = table.states(layout)
    kept = [k for k, s in enumerate(states) if not (only_cells and s == "rejected")]
    if states and not kept:
        raise DataError(
            f"{source.name} calls all of its {len(states)} cells rejected",
            "At least one other cell was needed",
            "Pass only_cells=False to read them",
        )
    labels = [table.labels[k] for k in kept] if states else table.labels
    recording = from_traces(
        table.values[:, kept] if len(kept) < len(states) else table.values,
        sampling_rate=found,
        time=time,
        name=name or trace_name(source.stem, *labels),
        indicator=indicator or indicator_of(source.name, source.parent.name),
        unit=unit_labels(labels),
    )
    if states:
        recording = recording.assign_coords(cell_status=("unit", [states[k] for k in kept]))
        left = [table.labels[k] for k in range(len(states)) if k not in set(kept)]
        recording = recording.assign_attrs({"rejected_cells": ", ".join(left)} if left else {})
    if table.not_read:
        recording = recording.assign_attrs({"not_read": ", ".join(table.not_read)})
    used = clocks[:1]
    recording = with_columns(recording, {c: v for c, v in table.others.items() if c not in used})
    if rows is None:
        _warn_of_turns(recording, table, source.name)
    return stamped(recording, source, "text table", rate)


def _from_long(
    long: LongTable,
    layout: Layout,
    source: Path,
    rate: float | None,
    time_unit: str | None,
    name: str | None,
    indicator: str | None,
) -> xr.Dataset:
    """Make a recording of a long table."""
    stated: dict[str, Any] = {"sampling_rate=": rate, **layout.stated}
    time = None
    unit = None if long.is_count else clock_unit(long.clock)
    if not long.is_count:
        time = long.stamps * _factor(unit, long.clock, time_unit)
        step = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
        if unit is None:
            _refuse_milliseconds(step, long.clock, source.name, time_unit)
    found = agreed_rate(
        stated,
        time,
        source=source.name,
        time_name=long.clock,
        in_seconds=time_unit is not None or unit is not None,
    )
    if found is None:
        raise no_rate(source.name, f"{len(long.stamps)} frames of {len(long.labels)} cells")
    (first, values), *others = long.values.items()
    recording = from_traces(
        values,
        sampling_rate=found,
        time=time,
        name=name or trace_name(source.stem, first),
        indicator=indicator or indicator_of(source.name, source.parent.name),
        unit=unit_labels(long.labels),
    )
    own = {"units": "as in the file", "sampling_rate": found}
    for column, grid in others:
        recording[free_name(column, recording)] = (("time", "unit"), grid, own)
    return recording


def _warn_of_turns(recording: xr.Dataset, table: Table, source: str) -> None:
    """Warn where a light is switched from frame to frame: one trace then mixes two signals."""
    for column, values in table.others.items():
        clock = is_index(column) or may_be_clock(column)
        turns = () if clock else alternates(values)
        if len(turns) > 1:
            shown = ", ".join(f"{v:g}" for v in turns)
            warn_user(
                f"The column {column!r} of {source} takes the values {shown} in turn, so its "
                "traces mix the frames of several lights or channels. Read those of one: "
                f"rows={{{column!r}: {turns[0]:g}}}",
            )


def write_csv(
    table: xr.Dataset | xr.DataArray, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a table of results, or traces, as CSV.

    Parameters
    ----------
    table : Dataset of variables along one dimension, ``ci_bound`` beside it becoming the columns
        ``_ci_lower`` and ``_ci_upper``; or a DataArray (time, unit). Units stand in the header.
        What has no dimension is repeated in every row, as by xarray's own ``to_dataframe``.
    path : written whole or not at all; columns stand apart by tabs where it ends in .tsv. A table
        of results of the same columns is replaced; traces are not, since others write those in
        the same form.
    overwrite : replace a file there whatever it holds.

    Raises
    ------
    FileWriteError
        Another file stands there; disk full or no permission; it is untouched.
    """
    frame = _frame(table)
    separator = "\t" if str(path).lower().endswith(".tsv") else ","
    header = frame.head(0).to_csv(index=False, sep=separator)
    traces = isinstance(table, xr.DataArray) and table.ndim == 2

    def other(path: Path) -> str | None:
        if traces:
            return "is a file that may hold a recording"
        with path.open("rb") as file:
            same = file.read(len(header.encode())) == header.encode()
        return None if same else "is not a CSV file of these columns"

    with atomic_path(path, ours=other, overwrite=overwrite) as temporary:
        frame.to_csv(temporary, index=False, sep=separator)


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
                column = variable.isel(ci_bound=k).values
                columns[_title(f"{key}_{bound}", variable.attrs)] = column
        else:
            columns[_title(str(key), variable.attrs)] = variable.values
    n_rows = data.sizes[dims[0]] if dims else 1
    return pd.DataFrame({k: np.broadcast_to(v, n_rows) for k, v in columns.items()})


def _title(name: str, attrs: Mapping[Any, Any]) -> str:
    units = str(attrs.get("units", "1"))
    return name if units in ("1", "") else f"{name} ({units})"


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


def _unit_of(column: str, layout: Layout) -> str | None:
    """Return the unit of a clock, from its name or from the second line of names."""
    unit = clock_unit(column)
    if unit is None and layout.second:
        below = layout.second[layout.columns.index(column)]
        unit = clock_unit(below.split("/")[0]) or clock_unit(f"time {below}")
    return unit


def _shown(column: str) -> str:
    return column or "the column without a name"


def _refuse_milliseconds(step: float, column: str, source: str, time_unit: str | None) -> None:
    if step >= SLOWEST_FRAME and time_unit is None:
        raise UnitError(
            f"The column {column!r} of {source} advances by {step:g} from row to row",
            f"Times in s, less than {SLOWEST_FRAME:g} s apart, were needed",
            'If these are ms, pass time_unit="ms" or call the column time_ms; if frame numbers, '
            "drop the column and pass sampling_rate=",
        )
