"""Damped oscillations seen by several units: a linear system whose eigenvalues are known."""

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from neurornn._core.checks import check_count, check_numbers, check_positive
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, generator


def simulate_oscillators(
    n_units: int = 16,
    duration: float = 4.0,
    dt: float = 0.02,
    *,
    time_constants: ArrayLike = (2.0, 1.5, 0.8),
    frequencies: ArrayLike = (0.0, 0.8, 2.2),
    n_trials: int = 1,
    noise_sd: float = 0.0,
    missing: float = 0.0,
    min_duration: float | None = None,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate units that see damped oscillations, each with a weight and a phase of its own.

    Parameters
    ----------
    n_units : units.
    duration : s, of a trial.
    dt : s, between frames.
    time_constants : (mode,), s; negative for a mode that grows.
    frequencies : (mode,), Hz; 0 for a mode that decays without swinging.
    n_trials : trials, which share the modes and start from amplitudes of their own.
    noise_sd : sd of the measurement noise over the sd of all values.
    missing : share of the frames that are NaN.
    min_duration : s; trials end anywhere between this and `duration`. By default all are as long.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        ``series (trial, time, unit)`` as observed, NaN where a frame is missing or a trial is
        over; ``states`` without noise; the truth as ``time_constant (mode)`` and
        ``frequency (mode)``; ``mode_shape (mode, unit)``, complex numbers as their real and
        imaginary parts on ``part``.

    Raises
    ------
    DataError, ShapeError
        Shares outside 0 to 1; time constants and frequencies that are not pairs.

    Examples
    --------
    >>> simulate_oscillators(rng=0)["series"].sizes["time"]
    200
    """
    draw = generator(rng)
    tau = np.atleast_1d(check_numbers(time_constants, "time_constants", missing=False))
    frequency = np.atleast_1d(check_numbers(frequencies, "frequencies", missing=False))
    if tau.shape != frequency.shape or tau.ndim != 1 or np.any(tau == 0):
        raise ShapeError(
            f"time_constants has shape {tau.shape}, frequencies {frequency.shape}",
            "One time constant other than 0 and one frequency for each mode were needed",
            "Pass frequency 0 for a mode that does not swing",
        )
    if not 0 <= missing < 1 or not noise_sd >= 0:
        raise DataError(
            f"missing is {missing} and noise_sd {noise_sd}",
            "A share from 0 to below 1, and an sd of 0 or more, were needed",
            "Pass 0 for none",
        )
    check_positive(dt, "dt", "s")
    n_steps = round(check_positive(duration, "duration", "s") / dt)
    n_units, n_trials = check_count(n_units, "n_units"), check_count(n_trials, "n_trials")
    time = np.arange(n_steps) * dt
    shape = draw.standard_normal((len(tau), n_units)) + 1j * draw.standard_normal(
        (len(tau), n_units)
    )
    shape = np.where(frequency[:, None] == 0, shape.real, shape) / np.sqrt(n_units)
    size = draw.uniform(0.5, 1.5, (n_trials, len(tau)))
    phase = 2 * np.pi * draw.uniform(size=size.shape)
    turn = np.where(frequency == 0, 1.0, np.exp(1j * phase))
    if n_trials == 1:
        size, turn = np.ones_like(size), np.ones_like(turn)
    waves = np.exp((-1 / tau + 2j * np.pi * frequency) * time[:, None])
    states = np.einsum("jm,tm,mu->jtu", size * turn, waves, shape).real
    series = states + noise_sd * states.std() * draw.standard_normal(states.shape)
    series[draw.uniform(size=series.shape[:2]) < missing] = np.nan
    if min_duration is not None:
        first = round(check_positive(min_duration, "min_duration", "s") / dt)
        ends = draw.integers(min(first, n_steps), n_steps + 1, n_trials)
        series[np.arange(n_steps) >= ends[:, None]] = np.nan
    dims = ("trial", "time", "unit")
    parts = np.stack([shape.real, np.imag(shape)], axis=-1)
    return xr.Dataset(
        {
            "series": (dims, series, {"sampling_rate": 1 / dt}),
            "states": (dims, states, {"sampling_rate": 1 / dt}),
            "time_constant": ("mode", tau, {"units": "s"}),
            "frequency": ("mode", frequency, {"units": "Hz"}),
            "mode_shape": (("mode", "unit", "part"), parts),
        },
        coords={"time": ("time", time + dt, {"units": "s"}), "part": ["real", "imaginary"]},
        attrs={"dt": dt, "noise_sd": noise_sd},
    )
