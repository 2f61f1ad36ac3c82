"""Time ranges: which stretches a recording covers, and cutting a recording to one of them."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import find_blocks
from neurornn._core.errors import DataError
from neurornn.data.recording import sampling_rate_of


def support(recording: xr.Dataset) -> NDArray[np.float64]:
    """Return the stretches that were recorded without a gap.

    Parameters
    ----------
    recording : Dataset with a ``time`` axis, or with ``interval``s.

    Returns
    -------
    (stretch, 2), s : each is ``(start, stop]``; joins between trials are stretch edges too.
    """
    stretches = None
    sampled = [v for v in recording.data_vars.values() if "time" in v.dims]
    if "time" in recording.coords and sampled:
        time = recording["time"].values
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
    first, second = np.asarray(a, dtype=float).reshape(-1, 2), np.asarray(b, dtype=float).reshape(-1, 2)
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


def restrict(recording: xr.Dataset, start: float, stop: float) -> xr.Dataset:
    """Cut a recording to the range ``(start, stop]`` on every clock it has.

    Parameters
    ----------
    recording : Dataset; frames on ``time``, spikes on ``spike``, behaviour on any other axis with a
        ``<axis>_time`` variable, ranges on ``interval``.
    start, stop : s.

    Returns
    -------
    Dataset with the times unchanged (the clock of the whole recording).
    """
    # Half a nanosecond of slack, so that a frame stamp that went through a sum is not lost.
    slack = 5e-10
    out = recording
    if "time" in out.coords:
        time = out["time"].values
        out = out.isel(time=np.flatnonzero((time > start + slack) & (time <= stop + slack)))
    for axis in [str(d) for d in out.dims if f"{d}_time" in out.variables]:
        clock = out[f"{axis}_time"].values
        out = out.isel({axis: np.flatnonzero((clock > start + slack) & (clock <= stop + slack))})
    if "spike_times" in out:
        times = out["spike_times"].values
        out = out.isel(spike=np.flatnonzero((times > start) & (times <= stop)))
        counts = np.bincount(out["spike_unit"].values, minlength=out.sizes["unit"])
        out = out.assign(spike_count=("unit", counts, recording["spike_count"].attrs))
    if "start" in out and "stop" in out:
        begin, end = out["start"].values, out["stop"].values
        keep = np.flatnonzero((end > start) & (begin < stop))
        out = out.isel(interval=keep)
        clipped: dict[str, Any] = {
            "start": ("interval", np.maximum(begin[keep], start), recording["start"].attrs),
            "stop": ("interval", np.minimum(end[keep], stop), recording["stop"].attrs),
        }
        out = out.assign(clipped)
    return out
