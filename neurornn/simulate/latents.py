"""Populations that spike by hidden variables with known time constants."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter

from neurornn._core.checks import check_choice, check_count, check_numbers, check_positive
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn.simulate.systems import simulate_system

LINKS = ("exp", "softplus", "square")


def simulate_latent_population(
    n_units: int = 20,
    duration: float = 120.0,
    *,
    tau: ArrayLike = 0.2,
    rate: ArrayLike = 8.0,
    log_gain_sd: float = 0.8,
    link: str = "exp",
    n_trials: int = 1,
    bin_size: float = 0.01,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate units that fire by hidden Ornstein-Uhlenbeck processes of known time constants.

    Parameters
    ----------
    n_units : units.
    duration : s, of a trial.
    tau : (latent,) or scalar, s, in which the memory of each latent falls to 1/e.
    rate : Hz, mean rate, scalar or (unit,).
    log_gain_sd : sd over time of the log rate with the exponential link, alike for all units; each
        unit shares it out among the latents at random. With other links, of what goes into them,
        over their mean.
    link : ``"exp"``, ``"softplus"`` or ``"square"``.
    n_trials : trials, each from a fresh draw of the latents.
    bin_size : s.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        ``counts (trial, time, unit)``, or (time, unit) for one trial, with ``bin_size`` in its
        attrs; the truth as ``latents`` (sd 1), ``rate_true`` (Hz), ``weight_true (unit, latent)``
        and ``tau_true (latent)``, s.

    Raises
    ------
    DataError, ShapeError
        Time constants or rates that are not above 0, or for another number of units.

    Notes
    -----
    Counts are Poisson given the rate in the middle of each bin. The latents move at the step of
    the bins, exactly: ``z' = exp(-bin_size / tau) z + noise``.

    Examples
    --------
    >>> rec = simulate_latent_population(5, 60.0, rng=0)
    >>> rec["counts"].shape
    (6000, 5)
    """
    draw = generator(rng)
    n_units, n_trials = check_count(n_units, "n_units"), check_count(n_trials, "n_trials")
    check_choice(link, "link", LINKS)
    check_positive(bin_size, "bin_size", "s")
    n_steps = round(check_positive(duration, "duration", "s") / bin_size)
    taus = np.atleast_1d(check_numbers(tau, "tau", missing=False))
    level = check_numbers(rate, "rate", missing=False)
    if level.shape not in ((), (n_units,)):
        raise ShapeError(
            f"rate has shape {level.shape}", f"One number, or ({n_units},), was needed",
            "Pass rate=8.0",
        )  # fmt: skip
    if taus.ndim != 1 or np.any(taus <= 0) or np.any(level <= 0) or log_gain_sd < 0:
        raise DataError(
            f"tau goes down to {taus.min():g} s, rate to {level.min():g} Hz, log_gain_sd is "
            f"{log_gain_sd:g}",
            "Time constants and rates above 0, and an sd of 0 or more, were needed",
            "Check their signs",
        )
    keep = np.exp(-bin_size / taus)
    noise = draw.standard_normal((n_trials, n_steps, len(taus)))
    latents = np.empty_like(noise)
    for k, a in enumerate(keep):
        # From the stationary law: the first step counts as much as all before it.
        noise[:, 1:, k] *= np.sqrt(1 - a**2)
        latents[:, :, k] = lfilter([1.0], [1.0, -a], noise[:, :, k], axis=1)
    weight = draw.standard_normal((n_units, len(taus)))
    weight *= log_gain_sd / np.linalg.norm(weight, axis=1, keepdims=True)
    rates = _linked(latents @ weight.T, np.broadcast_to(level, (n_units,)), log_gain_sd, link)
    return spiking(
        rates, latents, bin_size, draw,
        {"tau_true": ("latent", taus, {"units": "s"}),
         "weight_true": (("unit", "latent"), weight, {"units": "1"})},
        "simulate_latent_population",
    )  # fmt: skip


def simulate_lorenz_population(
    n_units: int = 30,
    duration: float = 1.0,
    *,
    n_trials: int = 400,
    rate: float = 10.0,
    log_rate_sd: float = 0.8,
    speed: float = 1.0,
    bin_size: float = 0.01,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate units whose log rates are weighted sums of the three variables of Lorenz's system.

    Parameters
    ----------
    n_units : units.
    duration : s, of a trial.
    n_trials : trials, from starts spread over the attractor.
    rate : Hz, mean rate of every unit.
    log_rate_sd : sd over time and trials of the log rate of every unit.
    speed : time units of Lorenz's system in 1 s.
    bin_size : s.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        As `simulate_latent_population` returns it; ``latents`` are the three variables with mean
        0 and sd 1.

    Raises
    ------
    DataError
        Sizes that are not above 0.

    References
    ----------
    Pandarinath et al. 2018, Nat. Methods 15:805, doi:10.1038/s41592-018-0109-9 (the test).

    Examples
    --------
    >>> simulate_lorenz_population(4, 0.5, n_trials=3, rng=0)["counts"].shape
    (3, 50, 4)
    """
    draw = generator(rng)
    n_units = check_count(n_units, "n_units")
    check_positive(rate, "rate", "Hz")
    check_positive(log_rate_sd, "log_rate_sd")
    check_positive(bin_size, "bin_size", "s")
    n_steps = round(check_positive(duration, "duration", "s") / bin_size)
    step = check_positive(speed, "speed") * bin_size
    # Fifteen time units are more than it takes to the attractor.
    settle = round(15.0 / step)
    start = draw.uniform(-8, 8, (n_trials, 3)) + [0, 0, 25]
    run = simulate_system(
        "lorenz", (settle + n_steps) * step, step, n_trials=n_trials, start=start, rng=draw
    )
    states = run["states"].values
    states = states.reshape(n_trials, -1, 3)[:, -n_steps:]
    latents = (states - states.mean(axis=(0, 1))) / states.std(axis=(0, 1))
    weight = draw.standard_normal((n_units, 3))
    drive = latents @ weight.T
    drive *= log_rate_sd / drive.std(axis=(0, 1))
    rates = rate * np.exp(drive) / np.exp(drive).mean(axis=(0, 1))
    return spiking(
        rates, latents, bin_size, draw,
        {"weight_true": (("unit", "latent"), weight, {"units": "1"})},
        "simulate_lorenz_population",
    )  # fmt: skip


def _linked(
    drive: NDArray[np.float64], level: NDArray[np.float64], spread: float, link: str
) -> NDArray[np.float64]:
    """Rates, Hz, of the mean that was asked for."""
    if link == "exp":
        return np.asarray(level * np.exp(drive - spread**2 / 2))
    inside = 1.0 + drive
    found = np.logaddexp(0.0, 3.0 * inside) / 3.0 if link == "softplus" else inside**2
    # The mean over the stationary law of the latents, by a fine sum over a normal.
    grid = np.linspace(-6, 6, 4001)
    law = np.exp(-(grid**2) / 2)
    at = 1.0 + spread * grid
    shape = np.logaddexp(0.0, 3.0 * at) / 3.0 if link == "softplus" else at**2
    return np.asarray(level * found / (shape @ law / law.sum()))


def spiking(
    rates: NDArray[np.float64], latents: NDArray[np.float64], bin_size: float,
    draw: np.random.Generator, truth: dict[str, Any], name: str,
) -> xr.Dataset:  # fmt: skip
    """Draw Poisson counts of rates, and lay them out with the truth.

    Parameters
    ----------
    rates : (trial, time, unit), Hz.
    latents : (trial, time, latent).
    bin_size : s.
    draw : of the counts.
    truth : further variables of the Dataset.
    name : of the simulator.

    Returns
    -------
    Dataset, without the trial axis for one trial.
    """
    counts = draw.poisson(rates * bin_size)
    dims: tuple[str, ...] = ("trial", "time", "unit")
    if len(counts) == 1:
        counts, rates, latents, dims = counts[0], rates[0], latents[0], dims[1:]
    about = {"units": "1", "long_name": "spikes per bin", "bin_size": float(bin_size)}
    time = bin_size * np.arange(1, counts.shape[-2] + 1)
    return xr.Dataset(
        {
            "counts": (dims, counts, about),
            "rate_true": (dims, rates, {"units": "Hz"}),
            "latents": ((*dims[:-1], "latent"), latents, {"units": "1"}),
            **truth,
        },
        coords={
            "time": ("time", time, {"units": "s", "long_name": "end of the bin"}),
            "unit": np.arange(counts.shape[-1]),
        },
        attrs={"source": f"simulated by neurornn.simulate.{name}"},
    )  # fmt: skip
