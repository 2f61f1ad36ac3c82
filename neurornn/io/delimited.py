"""Text tables (CSV, TSV): traces with or without a time column, or a list of spikes."""

import gzip
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurornn._core.checks import SLOWEST_FRAME
from neurornn._core.errors import FileFormatError, NameUnknownError, UnitError, nearest
from neurornn._core.files import atomic_path
from neurornn._core.units import seconds_per
from neurornn.data.recording import from_spikes, from_traces
from neurornn.io.arrays import indicator_of, mean_rate, no_rate, trace_name
from neurornn.io.sources import check_source, explained, stamped

_UNITS = r"(s|secs?|seconds?|ms|msec|milliseconds?|us|min)"
_TIME = re.compile(
    rf"^(time|times|t|timestamps?|time_?stamps?|frame_?times?|sample_?times?)"
    rf"(?:[ _]*[\(\[]?{_UNITS}[\)\]]?)?$",
    re.IGNORECASE,
)
_SPIKES = re.compile(rf"^spike_?times?(?:[ _]*[\(\[]?{_UNITS}[\)\]]?)?$", re.IGNORECASE)
_OWNERS = ("unit", "unit_id", "cluster", "cluster_id", "spike_unit", "neuron", "cell")
_INDEX = ("", "index", "frame", "frames", "sample", "unnamed: 0")


def read_delimited(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    time_unit: str | None = None,
    name: str | None = None,
    indicator: str | None = None,
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

    Raises
    ------
    FileFormatError
        No table, or columns of text.
    UnitError
        Times that look like ms or frame numbers; neither times nor a rate.
    """
    source = check_source(path)
    with explained(source, "a text table"):
        table = _load(source)
    text = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    spikes = next((c for c in table.columns if _SPIKES.match(str(c))), None)
    if spikes is not None:
        return stamped(_spike_list(table, spikes, time_unit), source, "text table (spikes)")
    if text or table.empty:
        shown = ", ".join(repr(str(c)) for c in text[:5])
        raise FileFormatError(
            f"{source.name} has {len(table)} rows and {len(text)} columns of text: {shown}",
            "A table of numbers, one row per frame and one column per unit, was needed",
            "Remove those columns, or use pandas.read_csv if this is not a recording",
        )
    clock = next((c for c in table.columns if _TIME.match(str(c))), None)
    time = None
    if clock is not None:
        time = table.pop(clock).to_numpy(dtype=float) * _factor(_TIME, str(clock), time_unit)
        _refuse_milliseconds(time, str(clock), source.name, time_unit)
    for column in list(table.columns):
        if str(column).strip().lower() in _INDEX and _counts_up(table[column].to_numpy()):
            table = table.drop(columns=column)
    if not table.shape[1]:
        raise FileFormatError(
            f"{source.name} has a time column and nothing else",
            "At least one column of traces was needed",
            "Export the traces too; for spike times name the column spike_time",
        )
    if time is None and sampling_rate is None:
        raise no_rate(source.name, f"{len(table)} rows of {table.shape[1]} columns")
    rate = sampling_rate
    if time is not None and len(time) > 1 and np.all(np.diff(time) > 0):
        rate = mean_rate(time)
    labels = [str(c) for c in table.columns]
    recording = from_traces(
        table.to_numpy(),
        sampling_rate=rate,
        time=time,
        name=name or trace_name(source.stem, *labels),
        indicator=indicator or indicator_of(source.name, source.parent.name),
        unit=np.array([int(c) for c in labels]) if all(map(str.isdigit, labels)) else labels,
    )
    return stamped(recording, source, "text table", sampling_rate)


def write_csv(
    table: xr.Dataset | xr.DataArray, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a table of results, or traces, as CSV.

    Parameters
    ----------
    table : Dataset of variables along one dimension, ``ci_bound`` beside it becoming the columns
        ``_ci_lower`` and ``_ci_upper``; or a DataArray (time, unit). Units stand in the header.
    path : written whole or not at all. A CSV file of the same columns is replaced.
    overwrite : replace a file there whatever it holds.

    Raises
    ------
    FileWriteError
        Another file stands there; disk full or no permission; it is untouched.
    """
    frame = _frame(table)
    header = frame.head(0).to_csv(index=False)

    def other(path: Path) -> str | None:
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


def _load(source: Path) -> pd.DataFrame:
    content = source.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    text = content.decode("utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    first = lines[0] if lines else ""
    separator = max("\t;,", key=first.count)
    if not first.count(separator):
        separator = r"\s+" if len(first.split()) > 1 else ","
    decimal = "," if separator == ";" and any("," in line for line in lines[1:3]) else "."
    cells = re.split(separator, first.strip()) if separator == r"\s+" else first.split(separator)
    return pd.read_csv(
        io.StringIO("\n".join(lines)),
        sep=separator,
        decimal=decimal,
        header=None if all(_is_number(c, decimal) for c in cells) else 0,
        skipinitialspace=True,
    )


def _is_number(cell: str, decimal: str) -> bool:
    try:
        float(cell.strip().strip('"').replace(decimal, ".") or "nan")
    except ValueError:
        return False
    return True


def _factor(pattern: re.Pattern[str], column: str, time_unit: str | None) -> float:
    found = pattern.match(column)
    stated = found.groups()[-1] if found else None
    if stated and time_unit and _seconds(stated) != _seconds(time_unit):
        raise UnitError(
            f"time_unit is {time_unit!r} but the column is called {column!r}",
            "One unit of time was needed",
            "Leave time_unit out, or correct the header",
        )
    return _seconds(stated or time_unit or "s")


def _seconds(unit: str) -> float:
    spelled = {"sec": "s", "secs": "s", "msec": "ms"}.get(unit.lower(), unit.lower())
    factor = seconds_per(spelled)
    if factor is None:
        raise NameUnknownError(
            f"The time unit is {unit!r}",
            "A unit of time was needed",
            nearest(unit, ["s", "ms", "min"]),
        )
    return factor


def _refuse_milliseconds(
    time: np.ndarray, column: str, source: str, time_unit: str | None
) -> None:
    step = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    if step >= SLOWEST_FRAME and time_unit is None:
        raise UnitError(
            f"The column {column!r} of {source} advances by {step:g} from row to row",
            f"Times in s, less than {SLOWEST_FRAME:g} s apart, were needed",
            'If these are ms, pass time_unit="ms" or call the column time_ms; if frame numbers, '
            "drop the column and pass sampling_rate=",
        )


def _counts_up(values: np.ndarray) -> bool:
    return len(values) > 1 and bool(np.all(np.diff(values) == 1))


def _spike_list(table: pd.DataFrame, column: Any, time_unit: str | None) -> xr.Dataset:
    times = table[column].to_numpy(dtype=float) * _factor(_SPIKES, str(column), time_unit)
    owner = next((c for c in table.columns if str(c).lower() in _OWNERS), None)
    if owner is None:
        return from_spikes([times])
    labels, place = np.unique(table[owner].to_numpy(), return_inverse=True)
    labels = labels if labels.dtype.kind in "biuf" else labels.astype(str)
    return from_spikes([times[place == k] for k in range(len(labels))], unit=labels)
