"""Fluorescence of cells with known kinetics, spikes and noise, exact in continuous time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_positive
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn.data.recording import add_spikes, from_traces, join_trials


def calcium_kernel(lag: ArrayLike, tau_decay: float, tau_rise: float = 0.0) -> NDArray[np.float64]:
    """Fluorescence after one spike at lag 0, with a peak of 1.

    Parameters
    ----------
    lag : s, any shape
        Time since the spike; 0 before it.
    tau_decay : s.
    tau_rise : s
        Time constant of the rise: the response is ``exp(-t/tau_decay) - exp(-t/tau_rise)``, the
        double exponential of the indicator literature; 0 for an instant rise.

    Returns
    -------
    array, the shape of `lag`

    Raises
    ------
    DataError
        A rise that is not shorter than the decay.
    """
    tau_decay = check_positive(tau_decay, "tau_decay", "s")
    _check_order(tau_decay, tau_rise)
    t = np.asarray(lag, dtype=float)
    after = np.maximum(t, 0.0)
    if tau_rise <= 0:
        return np.where(t >= 0, np.exp(-after / tau_decay), 0.0)
    # One over the difference of the rates, so that the first moments lose no digits.
    apart = tau_decay * tau_rise / (tau_decay - tau_rise)
    response = np.exp(-after / tau_decay) * -np.expm1(-after / apart)
    t_peak = apart * np.log1p(tau_decay / apart)
    peak = np.exp(-t_peak / tau_decay) * -np.expm1(-t_peak / apart)
    return np.where(t >= 0, response / peak, 0.0)


def _check_order(tau_decay: ArrayLike, tau_rise: ArrayLike) -> None:
    """Complain of a rise that is not shorter than its decay."""
    decay, rise = np.broadcast_arrays(np.asarray(tau_decay, float), np.asarray(tau_rise, float))
    wrong = rise >= decay
    if wrong.any():
        raise DataError(
            f"tau_rise is {rise[wrong].flat[0]:g} s and tau_decay {decay[wrong].flat[0]:g} s",
            "A rise shorter than the decay was needed: the slower exponential is the decay",
            "Exchange the two. A rise s of (1 - exp(-t / s)) exp(-t / tau_decay) is "
            "1 / (1 / s + 1 / tau_decay) here",
        )


def simulate_calcium(
    n_units: int = 1,
    duration: float = 300.0,
    sampling_rate: float = 30.0,
    *,
    tau_decay: ArrayLike = 0.5,
    tau_rise: ArrayLike = 0.0,
    rate: ArrayLike = 0.5,
    snr: ArrayLike = 10.0,
    amplitude: float = 1.0,
    size_cv: float = 0.0,
    baseline: float = 0.0,
    drift: float = 0.0,
    drift_time: float = 60.0,
    n_trials: int = 1,
    missing: float = 0.0,
    on_frames: bool = False,
    spike_times: Sequence[ArrayLike] | None = None,
    indicator: str | None = None,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate fluorescence: Poisson spikes, exact exponential kernel, white noise, slow drift.

    Parameters
    ----------
    n_units : cells.
    duration : s, of each trial.
    sampling_rate : Hz.
    tau_decay, tau_rise : s, scalar or one per unit
        Of the double exponential (`calcium_kernel`); the rise is the shorter one.
    rate : Hz, scalar or one per unit.
    snr : scalar or one per unit
        Peak of the response to one spike of mean size over the sd of the noise.
    amplitude : dF/F
        Mean peak of the response to one spike.
    size_cv : coefficient of variation of the event sizes (gamma distributed).
    baseline : dF/F.
    drift : dF/F
        Standard deviation of a slow drift of the baseline.
    drift_time : s
        Its correlation time (a sum of sinusoids slower than this).
    n_trials : trials, each starting after one decay of earlier activity, joined on one clock.
    missing : fraction of frames set to NaN at random.
    on_frames : every spike falls on the end of a frame, as in a discrete-time model.
    spike_times : one array per unit, s
        Use these instead of drawing them.
    indicator : kept in the attrs of the trace.
    rng : int, Generator or None

    Returns
    -------
    Dataset
        ``dff (time, unit)``, spikes, and the truth: ``calcium (time, unit)`` (noise-free, without
        baseline), ``tau_decay_true``, ``tau_rise_true``, ``noise_sd_true (unit)``,
        ``spike_size (spike)``.

    Notes
    -----
    ``c(t) = sum_j A_j k(t - t_j)`` with `calcium_kernel` k; frame k samples it at its end stamp.
    Before the trial the cell has already been firing for eight decay times, so that the first
    frame is not special.
    """
    rng = generator(rng)
    taus = _per_unit(tau_decay, n_units, "tau_decay")
    rises = _per_unit(tau_rise, n_units, "tau_rise")
    _check_order(taus, rises)
    rates = _per_unit(rate, n_units, "rate")
    snrs = _per_unit(snr, n_units, "snr")
    n_frames = round(duration * sampling_rate)
    trials = []
    for _ in range(n_trials):
        time = (np.arange(n_frames) + 1) / sampling_rate
        calcium = np.zeros((n_frames, n_units))
        trains, sizes = [], []
        for k in range(n_units):
            if spike_times is None:
                lead = 8 * taus[k]
                n = rng.poisson(rates[k] * (duration + lead))
                times = np.sort(rng.uniform(-lead, duration, n))
            else:
                times = np.sort(np.asarray(spike_times[k], dtype=float))
            if on_frames:
                times = np.ceil(times * sampling_rate - 1e-9) / sampling_rate
            size = np.full(len(times), amplitude, dtype=float)
            if size_cv > 0:
                shape = 1 / size_cv**2
                size = amplitude * rng.gamma(shape, 1 / shape, len(times))
            calcium[:, k] = _respond(time, times, size, taus[k], rises[k])
            inside = times > 0
            trains.append(times[inside])
            sizes.append(size[inside])
        noise = rng.standard_normal((n_frames, n_units)) * (amplitude / snrs)
        slow = drift * _slow(time, n_units, drift_time, rng) if drift else 0.0
        values = baseline + calcium + slow + noise
        if missing:
            values = np.where(rng.random(values.shape) < missing, np.nan, values)
        trial = from_traces(values, time=time, sampling_rate=sampling_rate, indicator=indicator)
        # A frame samples the moment of its stamp; a microscope averages, or scans, before it.
        trial["dff"].attrs["frame_delay"] = 0.0
        trial["calcium"] = (("time", "unit"), calcium, {"units": "1", "long_name": "true calcium"})
        trial = add_spikes(trial, trains)
        trial["spike_size"] = ("spike", np.concatenate(sizes), {"units": "1"})
        trials.append(trial)
    if n_trials > 1:
        recording = join_trials([t.drop_vars("spike_size") for t in trials])
    else:
        recording = trials[0]
    truth: dict[str, tuple[NDArray[Any], str]] = {
        "tau_decay_true": (taus, "s"),
        "tau_rise_true": (rises, "s"),
        "noise_sd_true": (amplitude / snrs, "1"),
    }
    for name, (values, unit) in truth.items():
        recording[name] = ("unit", values, {"units": unit})
    recording.attrs["source"] = "simulated by neurornn.simulate.simulate_calcium"
    return recording


def _per_unit(value: ArrayLike, n_units: int, name: str) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=float)
    if array.ndim and array.shape != (n_units,):
        raise DataError(
            f"{name} has shape {array.shape}",
            f"One number, or one for each of the {n_units} units, was needed",
            "Check n_units",
        )
    return np.array(np.broadcast_to(array, n_units))


def _respond(
    time: NDArray[np.float64],
    spikes: NDArray[np.float64],
    sizes: NDArray[np.float64],
    tau_decay: float,
    tau_rise: float,
) -> NDArray[np.float64]:
    calcium = np.zeros(len(time))
    # 40 decay times: what is left of the kernel is below the rounding of a float64.
    reach = 40 * tau_decay
    for t, a in zip(spikes, sizes, strict=True):
        # A spike at the end of a frame belongs to that frame; a hair of slack for the rounding.
        i = np.searchsorted(time, t - 1e-9, side="left")
        j = np.searchsorted(time, t + reach, side="right")
        calcium[i:j] += a * calcium_kernel(np.maximum(time[i:j] - t, 0.0), tau_decay, tau_rise)
    return calcium


def _slow(
    time: NDArray[np.float64], n_units: int, drift_time: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Sum of eight sinusoids with periods from 2 pi drift_time up, unit variance."""
    span = 2 * np.pi * drift_time * np.geomspace(1, 4, 8)
    phase = rng.uniform(0, 2 * np.pi, (8, 1, n_units))
    waves = np.sin(2 * np.pi * time[None, :, None] / span[:, None, None] + phase)
    return np.sqrt(2 / 8) * waves.sum(axis=0)
