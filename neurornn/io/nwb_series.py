"""Sampled series of NWB files: their clocks, their values, and behaviour as variables."""

import math
import os
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import FASTEST_RATE
from neurornn._core.errors import ShapeError, UnitError
from neurornn._core.units import symbol
from neurornn.io.hdf5 import check_written
from neurornn.io.limits import check_dataset, check_size

#: Series of more values than this (raw voltage, movies) are named in the attrs and not read.
_MOST_VALUES = 50_000_000
_LENGTHS = {"meters": "m", "meter": "m", "centimeters": "cm", "pixels": "px", "pixel": "px"}


def label_of(item: Any) -> str:
    """Return the path of an object inside its file: ``"ophys/DfOverF/soma"``."""
    parts, parent = [item.name], item.parent
    while parent is not None and parent.parent is not None:
        parts.append(parent.name)
        parent = parent.parent
    return "/".join(reversed(parts))


def clock_of(item: Any, n: int) -> NDArray[np.float64] | None:
    """Return the time stamps (s) of a series, or None where it states none.

    Parameters
    ----------
    item : series.
    n : samples that a rate is spread over; stamps come as many as there are.

    Raises
    ------
    UnitError
        A rate or a starting time that is none.
    """
    if item.timestamps is not None:
        return np.asarray(loaded(item.timestamps), dtype=float)
    if item.rate is None:
        return None
    rate, start = float(item.rate), float(item.starting_time or 0.0)
    if not (0 < rate <= FASTEST_RATE and np.isfinite(start)):
        raise UnitError(
            f"{item.name} states a rate of {rate:g} Hz and starts at {start:g} s",
            f"A rate above 0 and up to {FASTEST_RATE:g} Hz, and a start in s, were needed",
            "Correct them in the file, or give time stamps in place of a rate",
        )
    return start + np.arange(n) / rate


def values_of(item: Any) -> NDArray[Any]:
    """Return the values of a series in the unit that it states."""
    raw = np.asarray(loaded(item.data))
    scale, shift = float(item.conversion or 1.0), float(getattr(item, "offset", 0.0) or 0.0)
    return raw if scale == 1 and shift == 0 else raw * scale + shift


def loaded(data: Any) -> Any:
    """Return what a data set holds, unless it declares more than is allowed."""
    import h5py

    shape, dtype = getattr(data, "shape", None), getattr(data, "dtype", None)
    if shape is not None and isinstance(dtype, np.dtype):
        path = getattr(getattr(data, "file", None), "filename", "the file")
        what = f"{getattr(data, 'name', 'A data set')} {tuple(shape)}"
        check_size(math.prod(shape) * dtype.itemsize, what, os.path.basename(str(path)))
        if isinstance(data, h5py.Dataset):
            check_dataset(data, os.path.basename(str(path)))
            check_written(data, str(data.name), os.path.basename(str(path)))
    return data[:]


def split_at(flat: NDArray[Any], stops: NDArray[Any], name: str) -> list[NDArray[Any]]:
    """Split a ragged column of a table at the index that stands beside it.

    Parameters
    ----------
    flat : all entries, one row after the other.
    stops : one past the last entry of each row.
    name : of the index, for messages.

    Raises
    ------
    ShapeError
        Rows that end before they start, or beyond the entries, or entries of no row.
    """
    steps = np.diff(stops, prepend=0)
    if np.any(steps < 0) or (len(stops) and stops[-1] != len(flat)):
        k = int(np.argmax(steps < 0)) if np.any(steps < 0) else len(stops) - 1
        raise ShapeError(
            f"{name} says that row {k} ends at entry {stops[k]} of {len(flat)}",
            "An index that never falls and ends at the last entry was needed",
            "The file is damaged: write it again",
        )
    return np.split(flat, stops[:-1])


def add_behaviour(recording: xr.Dataset, objects: list[Any]) -> tuple[xr.Dataset, list[Any]]:
    """Add position and other sampled behaviour, each on its own clock.

    Parameters
    ----------
    recording : Dataset.
    objects : everything in the file.

    Returns
    -------
    The recording, and the series that were read.
    """
    from pynwb import TimeSeries
    from pynwb.behavior import SpatialSeries

    found: list[tuple[str, Any, NDArray[np.float64], NDArray[Any]]] = []
    for item in objects:
        if not (isinstance(item, SpatialSeries) or type(item) is TimeSeries):
            continue
        size = int(np.prod(item.data.shape)) if hasattr(item.data, "shape") else len(item.data)
        if not 0 < size <= _MOST_VALUES:
            continue
        values = values_of(item)
        time = clock_of(item, len(values))
        if (
            time is None
            or len(time) != len(values)
            or values.dtype.kind not in "biuf"
            or values.ndim > 2
        ):
            continue
        taken = {f[0] for f in found} | set(map(str, recording.variables))
        found.append((_variable_name(item, taken), item, time, values))
    clocks: list[tuple[str, NDArray[np.float64]]] = []
    one_clock = all(np.array_equal(found[0][2], f[2]) for f in found)
    for name, item, time, values in found:
        axis = next((a for a, t in clocks if np.array_equal(t, time)), None)
        if axis is None:
            axis = "sample" if one_clock else f"{name}_sample"
            clocks.append((axis, time))
            recording[f"{axis}_time"] = (axis, time, {"units": "s"})
        unit = str(item.unit or "")
        attrs = {"units": _LENGTHS.get(unit.lower(), symbol(unit))}
        if item.description and item.description != "no description":
            attrs["long_name"] = str(item.description)
        dims = [axis]
        if values.ndim == 2:
            spatial = isinstance(item, SpatialSeries) and values.shape[1] <= 3
            across = "axis" if spatial else f"{name}_channel"
            if recording.sizes.get(across, values.shape[1]) != values.shape[1]:
                across = f"{name}_axis"
            if spatial and across not in recording.coords:
                recording = recording.assign_coords({across: list("xyz")[: values.shape[1]]})
            dims.append(across)
        recording[name] = (dims, values, attrs)
    return recording, [f[1] for f in found]


def _variable_name(item: Any, taken: set[str]) -> str:
    name = str(item.name)
    parent = item.parent.name if item.parent is not None else ""
    if name.lower() in ("spatialseries", "spatial_series", "timeseries", "data"):
        name = parent
    if name.lower() == "position":
        name = "position"
    name = name.replace("/", "_").replace(" ", "_")
    return name if name not in taken else f"{parent}_{name}".replace(" ", "_")
