"""Sampled series of NWB files: their clocks, their values, and behaviour as variables."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.units import symbol

#: Series of more values than this (raw voltage, movies) are named in the attrs and not read.
_MOST_VALUES = 50_000_000
_LENGTHS = {"meters": "m", "meter": "m", "centimeters": "cm", "pixels": "px", "pixel": "px"}


def clock_of(item: Any, n: int) -> NDArray[np.float64] | None:
    """Return the time stamps (s) of the `n` samples of a series, or None where it states none."""
    if item.timestamps is not None:
        return np.asarray(item.timestamps[:], dtype=float)[:n]
    if item.rate:
        return float(item.starting_time or 0.0) + np.arange(n) / float(item.rate)
    return None


def values_of(item: Any) -> NDArray[Any]:
    """Return the values of a series in the unit that it states."""
    raw = np.asarray(item.data[:])
    scale, shift = float(item.conversion or 1.0), float(getattr(item, "offset", 0.0) or 0.0)
    return raw if scale == 1 and shift == 0 else raw * scale + shift


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
