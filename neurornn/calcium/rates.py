"""Event rates in bins: what jumps from frame to frame, or the events that stand out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_positive, find_blocks
from neurornn._core.errors import DataError
from neurornn._kernels.pools import upward_jumps
from neurornn.calcium.fitted import FittedKinetics
from neurornn.calcium.fitted_traces import check_match
from neurornn.calcium.trace_source import TraceSource
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


def rise_delay(rise: float) -> float:
    """Time (s) after which half of a rise is over, at most so much; 0 without a rise."""
    return float(min(np.log(2) * rise, LONGEST_RISE_DELAY)) if rise > 0 else 0.0


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


def rate_of_events(kinetics: FittedKinetics, where: Mapping[str, Any]) -> xr.DataArray:
    """`Kinetics.predict_rate` from its events alone.

    Parameters
    ----------
    where : ``bin_size`` or ``time``, for `neurornn.data.bin_spikes`.
    """
    events = xr.Dataset(
        {
            "spike_times": ("spike", kinetics.events_["event_time"].values),
            "spike_unit": ("spike", kinetics.events_["event_unit"].values),
            "spike_weight": ("spike", _event_weights(kinetics)),
        },
        coords={"unit": kinetics.parameters_["unit"].values},
    )
    counts = bin_spikes(set_intervals(events, *_stretches(kinetics).T), **where)
    return _rate(counts, kinetics, "events by size")


def rate_of_jumps(
    kinetics: FittedKinetics, trace: Any, where: Mapping[str, Any], exponent: float
) -> xr.DataArray:
    """`Kinetics.predict_rate` from what every frame of the trace adds.

    Parameters
    ----------
    trace : what was fitted; None where it is not at hand, which is refused.
    where : ``bin_size`` or ``time``, for `neurornn.data.bin_spikes`.
    exponent : of what a frame adds.
    """
    if trace is None:
        raise DataError(
            "The fit was loaded from a file, which does not hold its trace",
            "The trace was needed, which the rate is read from",
            "Pass trace=, what was passed to fit, or events_only=True to count events_ alone",
        )
    exponent = check_positive(exponent, "exponent")
    source = TraceSource(trace, kinetics.sampling_rate_, kinetics.chunk_size, min_frames=20)
    table = kinetics.parameters_
    check_match(
        source.traces.clock,
        source.traces.unit,
        kinetics.segments_["time"].values,
        table["unit"].values,
    )
    clock, dt = source.traces.clock, 1 / kinetics.sampling_rate_
    owner, weights = kinetics.events_["event_unit"].values, _event_weights(kinetics)
    rises = kinetics.segments_["kernel_rise"].values
    columns = []
    for chunk in source:
        flat = chunk.values - kinetics.drawn(
            "baseline", chunk.first_unit + np.arange(chunk.values.shape[1])
        )
        for j in range(flat.shape[1]):
            k = chunk.first_unit + j
            tau, noise = float(table["tau_decay"][k]), float(table["noise_sd"][k])
            total = float(np.sum(weights[slice(*np.searchsorted(owner, [k, k + 1]))]))
            jumps = np.zeros(len(clock))
            if total > 0 and tau > 0 and noise > 0:
                jumps = jumps_of(
                    flat[:, j].values, source.traces.blocks, np.exp(-dt / tau), noise, exponent
                )
                jumps *= total / max(float(jumps.sum()), 1e-300)
            delay = kinetics._frame_delay + rise_delay(float(rises[k]))
            columns.append(binned_jumps(jumps, clock, dt, delay, _stretches(kinetics), where))
    counts = xr.concat(columns, "unit", combine_attrs="override")
    counts = counts.transpose("time", "unit").assign_coords(unit=table["unit"].values)
    return _rate(counts, kinetics, f"jumps of every frame to the power of {exponent:g}")


def _rate(counts: xr.DataArray, kinetics: FittedKinetics, method: str) -> xr.DataArray:
    """Counts in bins as a rate; NaN where the trace of a cell could not be used."""
    width = counts.attrs["bin_size"]
    usable = np.isfinite(kinetics.parameters_["noise_sd"].values)
    rate = (counts / width).where(xr.DataArray(usable, dims="unit"))
    kept = {k: counts.attrs[k] for k in ("bin_size", "convention")}
    return rate.rename("rate").assign_attrs(
        units="Hz", long_name="event rate", method=method, **kept
    )


def _event_weights(kinetics: FittedKinetics) -> NDArray[np.float64]:
    """Size of every event over the amplitude of its cell."""
    amplitude, events = kinetics.parameters_["amplitude"].values, kinetics.events_
    own = np.where(amplitude > 0, amplitude, np.nan)[events["event_unit"].values]
    return np.asarray(events["event_size"].values / own)


def _stretches(kinetics: FittedKinetics) -> NDArray[np.float64]:
    """Recorded stretches, (stretch, 2), s."""
    time, dt = kinetics.segments_["time"].values, 1 / kinetics.sampling_rate_
    blocks = find_blocks(time, dt)
    return np.stack([time[blocks[:, 0]] - dt, time[blocks[:, 1] - 1]], axis=1)
