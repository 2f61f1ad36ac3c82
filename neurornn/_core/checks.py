"""One checker for the whole package, so that the same mistake reads the same everywhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
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
from neurornn._core.warning import warn_user

#: What the rooms take from here; numbers and arrays are looked at in `values`.
__all__ = [
    "FASTEST_RATE",
    "LONGEST_BIN",
    "SLOWEST_FRAME",
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
]

#: A frame every two seconds or slower is taken for a time axis in milliseconds or in frames.
SLOWEST_FRAME = 2.0
#: A rate above this, Hz, is in another unit.
FASTEST_RATE = 1e6
#: A bin longer than a day, s, is no bin.
LONGEST_BIN = 86400.0
#: A median interspike interval, s, beyond which times are not in s; beyond which they may not be.
_SLOWEST_CELL, _RESTING = 100.0, 3.0
#: An interval, s, that is short for such a cell; so many are to be expected of irregular firing,
#: and less than so large a share of them found.
_SHORT, _EXPECTED, _MISSING = 1.0, 20.0, 0.1


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
        warn_user(
            f"bin_size is {width:g} s. Are these ms? Then pass {width / 1000:g}.",
            UnitWarning,
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
        warn_user(
            f"The median interspike interval of {name} is {typical:g} s"
            + (f", and only {found} intervals are under {_SHORT:g} s" if missing else "")
            + ". Are these ms? Then divide by 1000.",
            UnitWarning,
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
