"""One checker for the whole package, so that the same mistake reads the same everywhere."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import (
    DataError,
    KindError,
    ShapeError,
    UnitError,
    UnitWarning,
)
from neurornn._core.values import (
    check_choice,
    check_confidence_level,
    check_count,
    check_finite_or_missing,
    check_interval,
    check_labels,
    check_number,
    check_numbers,
    check_positive,
    check_rng,
    check_rows,
)

#: What the rooms take from here; numbers and arrays are looked at in `values`.
__all__ = [
    "FASTEST_RATE",
    "LONGEST_BIN",
    "SLOWEST_FRAME",
    "Traces",
    "as_traces",
    "check_bin_size",
    "check_choice",
    "check_clock",
    "check_confidence_level",
    "check_count",
    "check_finite_or_missing",
    "check_frame_times",
    "check_interval",
    "check_labels",
    "check_number",
    "check_numbers",
    "check_positive",
    "check_ranges",
    "check_rng",
    "check_rows",
    "check_sampling_rate",
    "check_spike_times",
    "check_spike_trains",
    "find_blocks",
    "wrapped_around",
]

#: A frame every two seconds or slower is taken for a time axis in milliseconds or in frames.
SLOWEST_FRAME = 2.0
#: A rate above this, Hz, is in another unit.
FASTEST_RATE = 1e6
#: Rates of microscopes, Hz, whose frame interval in ms is no rate that is common; 33.3 stands for
#: 33.333 up to so large a share.
_USUAL_RATES, _ROUNDED = (60.0, 30.0, 15.0, 7.5), 0.0025
#: A bin longer than a day, s, is no bin.
LONGEST_BIN = 86400.0
#: A median interspike interval, s, beyond which times are not in s; beyond which they may not be.
_SLOWEST_CELL, _RESTING = 100.0, 3.0
#: An interval, s, that is short for such a cell; so many are to be expected of irregular firing,
#: and less than so large a share of them found.
_SHORT, _EXPECTED, _MISSING = 1.0, 20.0, 0.1


class Traces(NamedTuple):
    """Traces as every estimator takes them.

    Attributes
    ----------
    values : (time, unit), float64, C order; NaN where a frame is missing.
    time : (time,), s; the end of each frame.
    sampling_rate : Hz, the rate within a block.
    blocks : (block, 2); first and one-past-last frame of each gapless stretch.
    unit : (unit,); the labels of the units.
    """

    values: NDArray[np.float64]
    time: NDArray[np.float64]
    sampling_rate: float
    blocks: NDArray[np.int64]
    unit: NDArray[Any]


def check_sampling_rate(sampling_rate: Any) -> float:
    """Return a frame rate in Hz, or raise where it looks like a frame interval or kHz."""
    rate = check_positive(sampling_rate, "sampling_rate", "Hz")
    if rate <= 1 / SLOWEST_FRAME:
        raise UnitError(
            f"sampling_rate is {rate:g} Hz, one frame every {1 / rate:g} s",
            f"A rate above {1 / SLOWEST_FRAME:g} Hz was needed",
            f"Is this a frame interval or a rate in kHz? Then pass {1 / rate:g} or "
            f"{1000 * rate:g} Hz",
        )
    if rate > FASTEST_RATE:
        raise UnitError(
            f"sampling_rate is {rate:g} Hz, above 1 MHz",
            f"A rate of at most {FASTEST_RATE:g} Hz was needed",
            f"Is this in mHz, or a number of frames? In mHz it is {rate / 1000:g} Hz",
        )
    return rate


def check_bin_size(bin_size: Any) -> float:
    """Return a bin width in s; warn where it looks like milliseconds."""
    width = check_positive(bin_size, "bin_size", "s")
    if not 1 / FASTEST_RATE <= width <= LONGEST_BIN:
        raise UnitError(
            f"bin_size is {width:g} s",
            f"A width from {1 / FASTEST_RATE:g} s to a day, {LONGEST_BIN:g} s, was needed",
            "Pass the width in s, for example 0.02 for 20 ms",
        )
    if width > 1:
        warnings.warn(
            f"bin_size is {width:g} s. Are these ms? Then pass {width / 1000:g}.",
            UnitWarning,
            stacklevel=3,
        )
    return width


def check_clock(time: Any, name: str = "time") -> NDArray[np.float64]:
    """Return time stamps, one for each frame, that are finite and increase, or raise."""
    stamps = check_numbers(time, name)
    if stamps.ndim != 1:
        raise ShapeError(
            f"{name} has shape {stamps.shape}",
            "One time stamp for each frame, in one dimension, was needed",
            f"Pass {name} as a 1-D array",
        )
    if not np.isfinite(stamps).all():
        raise DataError(
            f"{name} holds {np.sum(~np.isfinite(stamps))} values that are not finite",
            "A finite time stamp for every frame was needed",
            "Drop those frames; a missing frame needs no time stamp",
        )
    check_finite_or_missing(stamps, name)
    steps = np.diff(stamps)
    if len(steps) and np.any(steps <= 0):
        first = int(np.argmax(steps <= 0))
        remedy = "Sort the frames, or put trials on one clock with data.join_trials"
        if np.all(steps >= 0):
            n = int(np.sum(steps == 0))
            remedy = (
                f"{n} stamps stand twice: drop the doubled frames, x.drop_duplicates('time'), or "
                "keep the stamps in double precision if they are times of day"
            )
        raise DataError(
            f"{name} does not increase: stamp {first + 1} is {stamps[first + 1]:.9g} after "
            f"{stamps[first]:.9g}",
            "Time stamps in s that increase from frame to frame were needed",
            remedy,
        )
    return stamps


def check_frame_times(time: Any, name: str = "time") -> NDArray[np.float64]:
    """Return time stamps in s, increasing, or raise where they look like ms or frame numbers."""
    stamps = check_clock(time, name)
    if len(stamps) > 1:
        step = float(np.median(np.diff(stamps)))
        if step >= SLOWEST_FRAME:
            raise UnitError(
                f"{name} advances by {step:g} from frame to frame",
                f"Time stamps in s, less than {SLOWEST_FRAME:g} s apart, were needed",
                f"Are these ms or frame numbers? Divide {name} by 1000 or by the frame rate",
            )
        if step < 1 / FASTEST_RATE:
            raise UnitError(
                f"{name} advances by {step:g} s from frame to frame",
                f"Steps of at least {1 / FASTEST_RATE:g} s, a rate of 1 MHz, were needed",
                f"Are these hours or days? Multiply {name} by 3600 or 86400",
            )
    return stamps


def check_ranges(
    start: Any, stop: Any, names: tuple[str, str] = ("start", "stop")
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return starts and stops of ranges in s, (range,) each, or raise."""
    begin, end = (
        np.atleast_1d(check_numbers(x, name, missing=False))
        for x, name in zip((start, stop), names, strict=True)
    )
    if begin.shape != end.shape or begin.ndim != 1 or np.any(end < begin):
        raise DataError(
            f"{names[0]} holds {begin.size} and {names[1]} {end.size} times, or a stop lies "
            "before its start",
            "As many starts as stops, each stop at or after its start, were needed",
            "Check the order of the arguments: start, then stop",
        )
    return begin, end


def check_spike_times(spike_times: Any, name: str = "spike_times") -> NDArray[np.float64]:
    """Return spike times in s; raise where not finite, warn where they look like ms."""
    times = _spike_times_of(spike_times, name)
    _warn_of_milliseconds([times], name)
    return times


def _spike_times_of(spike_times: Any, name: str) -> NDArray[np.float64]:
    times = check_numbers(spike_times, name)
    if sum(n > 1 for n in times.shape) > 1:
        raise ShapeError(
            f"{name} has shape {times.shape}",
            "The times of one unit, in one dimension, were needed",
            "Pass a list with one 1-D array for each unit",
        )
    times = times.ravel()
    if not np.isfinite(times).all():
        raise DataError(
            f"{name} holds {np.sum(~np.isfinite(times))} values that are not finite",
            "Finite spike times in s were needed",
            "Drop the NaN paddings before",
        )
    check_finite_or_missing(times, name)
    return times


def check_spike_trains(spike_times: Any, name: str = "spike_times") -> list[NDArray[np.float64]]:
    """Return one array of times (s) per unit from a list of them, or raise."""
    kind = getattr(spike_times, "dtype", None)
    may_be = not isinstance(spike_times, str | bytes | Mapping | Set | Iterator)
    if not (may_be and isinstance(spike_times, Iterable)) or (
        kind is not None and kind != np.dtype(object)
    ):
        raise KindError(
            f"{name} is one {type(spike_times).__name__}"
            + (f" of shape {np.shape(spike_times)}" if kind is not None else ""),
            "A list with one 1-D array of times (s) per unit was needed",
            "Pass [times] for a single unit",
        )
    trains = [_spike_times_of(t, f"{name}[{k}]") for k, t in enumerate(spike_times)]
    _warn_of_milliseconds(trains, name)
    return trains


def _warn_of_milliseconds(trains: Sequence[NDArray[np.float64]], name: str) -> None:
    """Warn where trains hold no interval as short as the intervals of neurons that rest long.

    Irregular firing with a median interval m has a share of ``ln 2 / m`` of intervals below a
    second; in ms there are hardly any, for a refractory period is longer than 1 ms.
    """
    steps = [np.diff(np.sort(t)) for t in trains if len(t) > 10]
    if not steps:
        return
    medians = np.array([np.median(d) for d in steps])
    count = np.array([len(d) for d in steps])
    slow = medians > _RESTING
    expected = np.sum(count[slow] * _SHORT * np.log(2) / medians[slow])
    found = sum(int(np.sum(d < _SHORT)) for d in steps)
    typical = float(np.median(medians))
    missing = slow.any() and expected > _EXPECTED and found < _MISSING * expected
    if typical > _SLOWEST_CELL or missing:
        warnings.warn(
            f"The median interspike interval of {name} is {typical:g} s"
            + (f", and only {found} intervals are under {_SHORT:g} s" if missing else "")
            + ". Are these ms? Then divide by 1000.",
            UnitWarning,
            stacklevel=4,
        )


def find_blocks(time: NDArray[np.float64], dt: float, tolerance: float = 0.5) -> NDArray[np.int64]:
    """Return first and one-past-last index of each stretch whose steps are within tolerance·dt.

    Parameters
    ----------
    time : (time,), s.
    dt : s, the expected step.
    tolerance : a step longer than ``(1 + tolerance)·dt`` starts a new block.
    """
    joins = np.flatnonzero(np.diff(time) > (1 + tolerance) * dt) + 1
    edges = np.concatenate([[0], joins, [len(time)]])
    return np.stack([edges[:-1], edges[1:]], axis=1).astype(np.int64)


def _warn_of_interval(sampling_rate: Any) -> None:
    """Warn of a rate that is the frame interval in ms of a rate that microscopes have."""
    if not isinstance(sampling_rate, int | float | np.number):
        return
    for rate in _USUAL_RATES:
        if abs(float(sampling_rate) * rate / 1000 - 1) < _ROUNDED:
            warnings.warn(
                f"sampling_rate is {sampling_rate:g} Hz. Is this a frame interval of "
                f"{sampling_rate:g} ms? Then pass {rate:g}.",
                UnitWarning,
                stacklevel=4,
            )


def as_traces(
    data: Any,
    *,
    sampling_rate: float | None = None,
    name: str = "fluorescence",
    min_frames: int = 4,
) -> Traces:
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
    return Traces(
        np.ascontiguousarray(array, dtype=np.float64),
        time,
        rate,
        find_blocks(time, 1 / rate),
        labels,
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
        warnings.warn(
            f"{name} came as {dtype}, and {int(wrapped.sum())} of {len(wrapped)} units (units "
            f"{named}{', ...' if wrapped.sum() > 8 else ''}) jump up and down by more than half "
            "its range from frame to frame: whole numbers wrap around at their limit. Convert to "
            "float before adding, subtracting or scaling.",
            UserWarning,
            stacklevel=4,
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
