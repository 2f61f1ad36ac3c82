"""A sampled series, fluorescence say, as samples: its clock, its rate and its gaps checked."""

import warnings
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_finite_or_missing,
    check_frame_times,
    check_numbers,
    check_sampling_rate,
    find_blocks,
)
from neurornn._core.errors import DataError, KindError, ShapeError, UnitError, UnitWarning
from neurornn._core.warning import warn_user
from neurornn.data.samples import Samples, runs_of

#: Rates of microscopes, Hz, whose frame interval in ms is no rate that is common; 33.3 stands for
#: 33.333 up to so large a share.
_USUAL_RATES, _ROUNDED = (60.0, 30.0, 15.0, 7.5), 0.0025


def as_series(
    data: Any,
    *,
    sampling_rate: float | None = None,
    name: str = "fluorescence",
    min_frames: int = 4,
) -> Samples:
    """Check fluorescence (or any sampled trace) and bring it to one form.

    Parameters
    ----------
    data : DataArray with dims ``time`` and (optionally) ``unit``, or array (time,), (time, unit)
        NaN marks a missing frame.
    sampling_rate : Hz
        Needed for plain arrays; for a DataArray it is read from its attrs or its time axis, and
        must agree with them where given.
    name : what the data are called in messages.
    min_frames : fewest frames that are accepted.

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Each says what came, what was needed and what to do.
    """
    time: NDArray[np.float64] | None = None
    if isinstance(data, xr.Dataset):
        sampled = [str(v) for v in data.data_vars if {"time", "unit"} <= set(data[v].dims)]
        remedy = (
            f'Pass one of them, for example recording["{sampled[0]}"]'
            if sampled
            else (
                "It holds none: is this a recording of spikes, or are the traces in another file?"
            )
        )
        raise KindError(
            f"A whole recording came, with variables {', '.join(map(str, data.data_vars))}",
            "One variable with dims (time, unit) was needed",
            remedy,
        )
    if isinstance(data, xr.DataArray):
        array, time, labels, sampling_rate = _from_labelled(data, sampling_rate, name)
    else:
        array = check_numbers(data, name)
        _warn_of_interval(sampling_rate)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2:
            raise ShapeError(
                f"{name} has shape {array.shape}",
                "An array (time,) or (time, unit) was needed",
                "Average or select the other axes first",
            )
        labels = np.arange(array.shape[1])
        if 0 < array.shape[0] < min(array.shape[1], 500):
            raise ShapeError(
                f"{name} has {array.shape[0]} frames of {array.shape[1]} units",
                "Time along the first axis, (time, unit), was needed",
                f"If the axes are (unit, time), pass {name}.T; otherwise pass a DataArray with "
                "named dims",
            )
    if array.size == 0:
        raise DataError(
            f"{name} is empty, shape {array.shape}",
            f"At least {min_frames} frames of one unit were needed",
            "Check the selection of units and of time",
        )
    if sampling_rate is None:
        raise UnitError(
            f"{name} came without a sampling rate",
            "The frame rate in Hz was needed: a time constant in s cannot be read without it",
            "Pass sampling_rate=30.0, or set .attrs['sampling_rate'] of the variable",
        )
    rate = check_sampling_rate(sampling_rate)
    if array.shape[0] < min_frames:
        raise DataError(
            f"{name} has {array.shape[0]} frames",
            f"At least {min_frames} frames were needed",
            "Record for longer, or check that time is the first axis",
        )
    check_finite_or_missing(array, name)
    _warn_of_wrapping(array, getattr(data, "dtype", None), labels, name)
    if np.isnan(array).all():
        raise DataError(
            f"{name} is NaN in every frame of every unit",
            "At least one unit with measured frames was needed",
            "Check the reader and the selection",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        flat = np.nanmax(array, axis=0) - np.nanmin(array, axis=0)
    if np.all((flat == 0) | np.isnan(flat)):
        raise DataError(
            f"{name} is constant in every unit",
            "At least one unit that changes over time was needed",
            "Check the reader and the selection: was a mask or an index read for a trace?",
        )
    if time is None:
        time = (np.arange(array.shape[0]) + 1) / rate
    return Samples(
        values=np.ascontiguousarray(array, dtype=np.float64),
        run=runs_of(find_blocks(time, 1 / rate)),
        unit=labels,
        time=time,
        sampling_rate=rate,
    )


def wrapped_around(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[np.bool_]:
    """Whether the whole numbers of each unit ran over the limit of their type and came back.

    Parameters
    ----------
    values : (time, unit), as floats; NaN where a frame is missing.
    dtype : that they were stored in; floats never wrap.

    Returns
    -------
    array (unit,)
        True where the trace jumps up and down by more than half the range of the type from one
        frame to the next, which a signal inside the range hardly ever does.
    """
    if dtype.kind not in "iu" or len(values) < 2:
        return np.zeros(values.shape[1], dtype=bool)
    limits = np.iinfo(dtype)
    half = (float(limits.max) - float(limits.min)) / 2
    steps = np.diff(values, axis=0)
    steps = np.where(np.isnan(steps), 0.0, steps)
    return (steps.max(axis=0) > half) & (steps.min(axis=0) < -half)


def _warn_of_wrapping(
    array: NDArray[np.float64], dtype: Any, labels: NDArray[Any], name: str
) -> None:
    if not isinstance(dtype, np.dtype):
        return
    wrapped = wrapped_around(array, dtype)
    if wrapped.any():
        named = ", ".join(str(u) for u in labels[wrapped][:8])
        warn_user(
            f"{name} came as {dtype}, and {int(wrapped.sum())} of {len(wrapped)} units (units "
            f"{named}{', ...' if wrapped.sum() > 8 else ''}) jump up and down by more than half "
            "its range from frame to frame: whole numbers wrap around at their limit. Convert to "
            "float before adding, subtracting or scaling.",
            UserWarning,
        )


def _from_labelled(
    data: xr.DataArray, sampling_rate: float | None, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[Any], float | None]:
    if "time" not in data.dims or not set(map(str, data.dims)) <= {"time", "unit"}:
        raise ShapeError(
            f"{name} has dims {tuple(map(str, data.dims))}",
            "Dims ('time', 'unit') or ('time',) were needed",
            "Rename or select: x.rename({'cell': 'unit'}), x.isel(trial=0)",
        )
    if "unit" not in data.dims:
        data = data.expand_dims("unit", axis=1)
    data = data.transpose("time", "unit")
    array = check_numbers(data, name)
    labels = np.asarray(data["unit"].values) if "unit" in data.coords else np.arange(data.shape[1])
    labels = np.atleast_1d(labels)
    stated = data.attrs.get("sampling_rate")
    stated = None if stated is None else check_sampling_rate(stated)
    if sampling_rate is not None:
        sampling_rate = check_sampling_rate(sampling_rate)
    time = None
    if "time" in data.coords and data.sizes["time"] > 1:
        time = check_frame_times(data["time"].values)
        from_time = 1 / float(np.median(np.diff(time)))
        for source, rate in (("sampling_rate=", sampling_rate), ("attrs", stated)):
            if rate is not None and abs(rate / from_time - 1) > 0.02:
                raise UnitError(
                    f"Two rates came: {rate:g} Hz ({source}) and {from_time:g} Hz (time axis)",
                    "One frame rate was needed, the same to 2 %",
                    "Correct the wrong one; is the time axis in ms or in frames?",
                )
        if sampling_rate is None and stated is None and np.all(np.diff(time) == 1):
            raise UnitError(
                f"The time axis of {name} counts {time[0]:g}, {time[1]:g}, ... and no frame rate "
                "is stated",
                "Time stamps in s were needed",
                "Are these frame numbers? Divide them by the frame rate in Hz. If one frame was "
                "taken each second, set .attrs['sampling_rate'] = 1.0 of the variable",
            )
        sampling_rate = sampling_rate or stated or from_time
    elif stated is not None:
        if sampling_rate is not None and abs(sampling_rate / stated - 1) > 0.02:
            raise UnitError(
                f"Two rates came: {sampling_rate:g} Hz (sampling_rate=) and {stated:g} Hz (attrs)",
                "One frame rate was needed, the same to 2 %",
                "Correct the wrong one",
            )
        sampling_rate = stated
    return array, time, labels, sampling_rate


def _warn_of_interval(sampling_rate: Any) -> None:
    """Warn of a rate that is the frame interval in ms of a rate that microscopes have."""
    if not isinstance(sampling_rate, int | float | np.number):
        return
    for rate in _USUAL_RATES:
        if abs(float(sampling_rate) * rate / 1000 - 1) < _ROUNDED:
            warn_user(
                f"sampling_rate is {sampling_rate:g} Hz. Is this a frame interval of "
                f"{sampling_rate:g} ms? Then pass {rate:g}.",
                UnitWarning,
            )
