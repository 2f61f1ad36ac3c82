"""Trajectories from whatever a user brings: a series, trials, a list of trials; their clock."""

from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_finite_or_missing,
    check_frame_times,
    check_numbers,
    check_sampling_rate,
)
from neurornn._core.errors import DataError, KindError, ShapeError, UnitError
from neurornn.data.rows import is_list_of_trials
from neurornn.data.samples import Samples

#: Steps of a clock may differ by so large a share; a longer one than 1.5 begins a new trajectory.
_JITTER = 0.02


def as_trajectories(
    data: Any, dt: float | None, name: str = "states", *, timeless: bool = False
) -> Samples:
    """Bring states to rows in the order of time, one run for each trajectory.

    Parameters
    ----------
    data : array (time, unit) or (trial, time, unit), a list of arrays (time, unit), or a DataArray
        with dims (time, unit) or (trial, time, unit), whatever the last one is called. NaN marks
        what is missing. A gap in a time axis ends a trajectory.
    dt : s, between frames. A DataArray brings it in ``sampling_rate`` of its attrs or on its time
        axis; where several state it, they must agree.
    name : what the data are called in messages.
    timeless : only the order of frames matters; without a clock a step is 1.

    Returns
    -------
    Samples
        `time` from the start of each trajectory; frames at the end of a trial that are all NaN
        are left out.

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Each says what came, what was needed and what to do.
    """
    if isinstance(data, xr.Dataset):
        fitting = [str(v) for v in data.data_vars if "time" in data[v].dims and data[v].ndim > 1]
        raise KindError(
            f"A whole recording came, with variables {', '.join(map(str, data.data_vars))}",
            "One variable with dims (time, unit) was needed",
            f'Pass one of them, for example recording["{fitting[0]}"]'
            if fitting
            else "It holds none; bin spikes with data.bin_spikes first",
        )
    labels: NDArray[Any] | None = None
    units = str(data.attrs.get("units", "")) if isinstance(data, xr.DataArray) else ""
    parts: list[NDArray[Any]] = []
    clocks: list[NDArray[np.float64] | None] = []
    if is_list_of_trials(data):
        for k, trial in enumerate(data):
            array, clock, own, dt = _one(trial, dt, f"trial {k} of {name}")
            if parts and array.shape[1] != parts[0].shape[1]:
                raise ShapeError(
                    f"Trial {k} of {name} has {array.shape[1]} units, the first "
                    f"{parts[0].shape[1]}",
                    "The same units in every trial, in the same order, were needed",
                    "Select them alike",
                )
            labels = own if labels is None else labels
            parts.append(array)
            clocks.append(clock)
    else:
        array, clock, labels, dt = _one(data, dt, name)
        parts = list(array) if array.ndim == 3 else [array]
        clocks = [clock] * len(parts)
    if dt is None and timeless:
        dt = 1.0
    if dt is None:
        raise UnitError(
            f"{name} came without a clock",
            "The time between frames was needed, in s: without it no rate can be read",
            "Pass dt=0.02, or set .attrs['sampling_rate'] of the variable",
        )
    return _rows(parts, clocks, float(dt), labels, name)._replace(units=units)


def _one(
    data: Any, dt: float | None, name: str
) -> tuple[NDArray[Any], NDArray[np.float64] | None, NDArray[Any] | None, float | None]:
    """One array (time, unit) or (trial, time, unit), with its clock and labels."""
    clock = labels = None
    if isinstance(data, xr.DataArray):
        dims = [str(d) for d in data.dims]
        rest = [d for d in dims if d not in ("trial", "time")]
        if "time" not in dims or len(rest) > 1:
            raise ShapeError(
                f"{name} has dims {tuple(dims)}",
                "Dims (time, unit) or (trial, time, unit) were needed",
                "Rename or select: x.rename({'sample': 'time'}), x.isel(axis=0)",
            )
        if not rest:
            data, rest = data.expand_dims("unit"), ["unit"]
        data = data.transpose(*[d for d in ("trial", "time") if d in data.dims], rest[0])
        if rest[0] in data.coords:
            labels = np.atleast_1d(np.asarray(data[rest[0]].values))
        stated = data.attrs.get("sampling_rate")
        found = {} if dt is None else {"dt=": float(dt)}
        if stated is not None:
            found["attrs"] = 1 / check_sampling_rate(stated)
        if "time" in data.coords and data.sizes["time"] > 1:
            clock = check_frame_times(data["time"].values)
            found["the time axis"] = float(np.median(np.diff(clock)))
        values = list(found.values())
        if values and max(values) > (1 + _JITTER) * min(values):
            said = " and ".join(f"{v:g} s ({k})" for k, v in found.items())
            raise UnitError(
                f"Several steps came: {said}",
                "One time between frames was needed, the same to 2 %",
                "Correct the wrong one; is one of them in ms?",
            )
        dt = values[0] if values else None
    array = check_numbers(data, name, keep_single=True)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim not in (2, 3) or array.size == 0:
        raise ShapeError(
            f"{name} has shape {array.shape}",
            "An array (time, unit) or (trial, time, unit) was needed",
            "Average or select the other axes first",
        )
    if dt is not None:
        check_sampling_rate(1 / dt if dt else dt)
    return array, clock, labels, dt


def _rows(
    parts: list[NDArray[Any]],
    clocks: list[NDArray[np.float64] | None],
    dt: float,
    labels: NDArray[Any] | None,
    name: str,
) -> Samples:
    kept, runs, times, number = [], [], [], 0
    for array, clock in zip(parts, clocks, strict=True):
        check_finite_or_missing(array, name)
        # What is all NaN at the end is no frame: the trial was over.
        n = len(array)
        while n and np.isnan(array[n - 1]).all():
            n -= 1
        stamps: NDArray[np.float64] = np.arange(n, dtype=np.float64) * dt
        if clock is not None:
            stamps = clock[:n]
        for a, b in _stretches(stamps, dt, name):
            kept.append(array[a:b])
            runs.append(np.full(b - a, number))
            times.append(stamps[a:b] - stamps[a])
            number += 1
    if not kept:
        raise DataError(
            f"{name} is NaN in every frame",
            "Frames that were recorded were needed",
            "Check the reader and the selection",
        )
    values = kept[0] if len(kept) == 1 else np.concatenate(kept)
    n_unit = values.shape[1]
    found = Samples(
        values=values,
        run=np.concatenate(runs),
        unit=np.arange(n_unit) if labels is None else labels,
        time=np.concatenate(times),
        sampling_rate=1 / dt,
        units_named=labels is not None,
    )
    _check_units(found, name)
    return found


def _stretches(stamps: NDArray[np.float64], dt: float, name: str) -> list[tuple[int, int]]:
    """First and one-past-last frame between gaps; frames within must be evenly spaced."""
    if len(stamps) < 2:
        return [(0, len(stamps))] if len(stamps) else []
    steps = np.diff(stamps)
    gaps = steps > 1.5 * dt
    odd = np.abs(steps[~gaps] / dt - 1) > 10 * _JITTER
    if odd.any():
        raise DataError(
            f"{name} is sampled unevenly: steps of {steps[~gaps].min():g} to "
            f"{steps[~gaps].max():g} s where {dt:g} s is usual",
            "Frames at even times were needed",
            "Bring them to even times first: data.resample_to(x, times)",
        )
    edges = np.concatenate([[0], np.flatnonzero(gaps) + 1, [len(stamps)]])
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def _check_units(found: Samples, name: str) -> None:
    """Refuse units that tell nothing: one of them would leave no frame complete."""
    values, labels = found.values, found.unit
    # A piece at a time: a mask of the whole would be as large as the data.
    missing = np.zeros(values.shape[1], dtype=np.int64)
    low, high = np.full(values.shape[1], np.inf), np.full(values.shape[1], -np.inf)
    for a in range(0, len(values), 4096):
        piece = values[a : a + 4096]
        missing += np.isnan(piece).sum(axis=0)
        low, high = np.fmin(low, np.fmin.reduce(piece)), np.fmax(high, np.fmax.reduce(piece))
    for bad, what, remedy in (
        (missing == len(values), "NaN in every frame", "Leave them out: x.dropna('unit', 'all')"),
        (low == high, "constant", "Leave them out: they hold no mode but a constant"),
    ):
        if bad.any():
            named = ", ".join(str(u) for u in labels[bad][:8])
            raise DataError(
                f"{int(bad.sum())} of {len(bad)} units of {name} are {what}: "
                f"{named}{', ...' if bad.sum() > 8 else ''}",
                "Units that were recorded and change over time were needed",
                remedy,
            )
