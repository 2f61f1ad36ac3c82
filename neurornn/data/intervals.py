"""Time ranges: which stretches a recording covers, and cutting a recording to one of them."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_clock, check_numbers, check_ranges, find_blocks
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.data.observation import restricted_observed
from neurornn.data.recording import sampling_rate_of, set_intervals

# Half a nanosecond of slack, so that a frame stamp that went through a sum is not lost.
_SLACK = 5e-10


def support(recording: xr.Dataset) -> NDArray[np.float64]:
    """Return the stretches that were recorded without a gap.

    Parameters
    ----------
    recording : Dataset with a ``time`` axis, or with an ``interval`` axis.

    Returns
    -------
    (stretch, 2), s : each is ``(start, stop]``; joins between trials are stretch edges too.
    """
    if not isinstance(recording, xr.Dataset):
        raise KindError(
            f"recording is a {type(recording).__name__}",
            "A recording, an xarray.Dataset, was needed",
            "Make one with data.from_traces or data.from_spikes",
        )
    stretches = None
    sampled = [v for v in recording.data_vars.values() if "time" in v.dims]
    if "time" in recording.coords and sampled:
        time = check_clock(recording["time"].values)
        if not len(time):
            return np.empty((0, 2))
        dt = 1 / sampling_rate_of(sampled[0])
        blocks = find_blocks(time, dt)
        stretches = np.stack([time[blocks[:, 0]] - dt, time[blocks[:, 1] - 1]], axis=1)
    if "start" in recording and "stop" in recording:
        ranges = np.stack([recording["start"].values, recording["stop"].values], axis=1)
        stretches = ranges if stretches is None else intersect(stretches, ranges)
    if stretches is None:
        raise DataError(
            f"The recording has axes {', '.join(map(str, recording.sizes))}",
            "A time axis or intervals were needed",
            "Pass t_start and t_stop, or set them with data.set_intervals",
        )
    return stretches


def intersect(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersect two lists of ranges ``(start, stop]``; ranges of no length are dropped.

    Parameters
    ----------
    a, b : (range, 2), s; each list sorted, its ranges disjoint.
    """
    first, second = as_ranges(a, "a"), as_ranges(b, "b")
    out = []
    i = j = 0
    while i < len(first) and j < len(second):
        start = max(first[i, 0], second[j, 0])
        stop = min(first[i, 1], second[j, 1])
        if stop > start:
            out.append((start, stop))
        if first[i, 1] < second[j, 1]:
            i += 1
        else:
            j += 1
    return np.array(out, dtype=float).reshape(-1, 2)


def as_ranges(ranges: ArrayLike, name: str = "ranges") -> NDArray[np.float64]:
    """Check time ranges and return them as (range, 2), s; an empty list is no range."""
    found = check_numbers(ranges, name, missing=False)
    if found.size == 0:
        return np.empty((0, 2))
    if found.shape == (2,):
        found = found[None]
    if found.ndim != 2 or found.shape[1] != 2:
        raise ShapeError(
            f"{name} has shape {found.shape}",
            "An array (range, 2) of starts and stops in s was needed",
            "Stack them: np.stack([start, stop], axis=1)",
        )
    return found


def restrict(recording: xr.Dataset, start: ArrayLike, stop: ArrayLike) -> xr.Dataset:
    """Cut a recording to the range ``(start, stop]``, or to several, on every clock it has.

    Parameters
    ----------
    recording : Dataset; frames on ``time``, spikes on ``spike``, behaviour on any other axis with
        a ``<axis>_time`` variable, ranges on ``interval``.
    start, stop : s; numbers, or (range,) sorted and disjoint.

    Returns
    -------
    Dataset with the times unchanged (the clock of the whole recording). Where several ranges came
    for a recording without intervals, they become its intervals, so that the joins are known.
    """
    first, last = check_ranges(start, stop)
    if np.any(first[1:] < last[:-1] - _SLACK):
        raise DataError(
            f"{first.size} starts and {last.size} stops came, which overlap or run backwards",
            "Ranges (start, stop] in order, each stop at or after its start, were needed",
            "Sort the ranges and merge those that overlap",
        )
    out = recording
    if "time" in out.coords:
        out = out.isel(time=_inside(out["time"].values, first + _SLACK, last + _SLACK))
    for axis in [str(d) for d in out.dims if f"{d}_time" in out.variables]:
        out = out.isel({axis: _inside(out[f"{axis}_time"].values, first + _SLACK, last + _SLACK)})
    if "spike_times" in out:
        out = out.isel(spike=_inside(out["spike_times"].values, first, last))
        counts = np.bincount(out["spike_unit"].values, minlength=out.sizes["unit"])
        out = out.assign(spike_count=("unit", counts, recording["spike_count"].attrs))
    out = restricted_observed(out, first, last)
    if "start" in out and "stop" in out:
        begin, end = out["start"].values, out["stop"].values
        overlap = (end[:, None] > first) & (begin[:, None] < last)
        keep, where = np.nonzero(overlap)
        out = out.isel(interval=keep)
        clipped: dict[str, Any] = {
            "start": ("interval", np.maximum(begin[keep], first[where]), recording["start"].attrs),
            "stop": ("interval", np.minimum(end[keep], last[where]), recording["stop"].attrs),
        }
        out = out.assign(clipped)
    elif len(first) > 1:
        out = set_intervals(out, first, last)
    return out


def _inside(
    clock: NDArray[np.float64], start: NDArray[np.float64], stop: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Positions on a clock that lie in one of the ranges ``(start, stop]``."""
    if not len(start):
        return np.empty(0, dtype=np.intp)
    at = np.searchsorted(start, clock, side="left") - 1
    return np.flatnonzero((at >= 0) & (clock <= stop[np.maximum(at, 0)]))
