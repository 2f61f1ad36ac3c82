"""Event rates in bins: what jumps from frame to frame, or the events that stand out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._kernels.pools import upward_jumps
from neurornn.data.binning import bin_spikes
from neurornn.data.recording import set_intervals

#: Jumps below this share of the noise sd are noise; larger ones count with this power of their
#: size, since fluorescence grows faster than the number of spikes. Both, and what a rise is
#: counted for, were chosen on real cells with recorded spikes (`tests.benchmarks spike_rates`).
NOISE_SHARE = 0.25
EXPONENT = 0.7
#: Longest delay (s) that a rise is counted for: rises of bursts come out longer than that.
LONGEST_RISE_DELAY = 0.03
#: Places within a frame among which what it says is shared out.
_PLACES = 4


def rise_delay(tau: float, rise: float) -> float:
    """Time (s) from an event to half of its rise; 0 without a rise."""
    if not rise > 0:
        return 0.0
    return float(min(np.log(2) / (1 / tau + 1 / rise), LONGEST_RISE_DELAY))


def jumps_of(
    flat: NDArray[np.float64],
    blocks: NDArray[np.int64],
    gamma: float,
    noise_sd: float,
    exponent: float,
) -> NDArray[np.float64]:
    """What every frame adds to the calcium, noise taken off, (n,), in powers of noise sd.

    Parameters
    ----------
    flat : (n,), trace without its baseline; NaN where a frame is missing.
    blocks : (block, 2), the gapless stretches.
    """
    out = np.zeros(len(flat))
    for begin, end in blocks:
        jumps = upward_jumps(flat[begin:end] / noise_sd, gamma)
        # What the first frame seen shows came before it.
        seen = np.flatnonzero(~np.isnan(flat[begin:end]))
        jumps[: seen[0] + 1 if len(seen) else None] = 0.0
        out[begin:end] = np.maximum(jumps - NOISE_SHARE, 0.0) ** exponent
    return out


def binned_jumps(
    jumps: NDArray[np.float64],
    time: NDArray[np.float64],
    dt: float,
    delay: float,
    stretches: NDArray[np.float64],
    where: Mapping[str, Any],
) -> xr.DataArray:
    """Sum of what frames say, shared out evenly over each, in bins, (time, 1).

    Parameters
    ----------
    jumps : (n,)
    delay : s
        By how much the stamps lie behind what happened.
    stretches : (stretch, 2), s
    where : ``bin_size`` or ``time``, for `neurornn.data.bin_spikes`.
    """
    live = np.flatnonzero(jumps > 0)
    places = (np.arange(_PLACES) + 0.5) / _PLACES * dt
    when = (time[live, None] - dt - delay + places).ravel()
    share = np.repeat(jumps[live] / _PLACES, _PLACES)
    order = np.argsort(when, kind="stable")
    points = xr.Dataset(
        {
            "spike_times": ("spike", when[order]),
            "spike_unit": ("spike", np.zeros(len(when), np.int64)),
            "spike_weight": ("spike", share[order]),
        },
        coords={"unit": [0]},
    )
    return bin_spikes(set_intervals(points, *stretches.T), **where)
