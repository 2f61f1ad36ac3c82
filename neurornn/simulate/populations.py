"""Populations that spike by networks and areas whose slow time constants are known."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from neurornn._core.checks import (
    check_bin_size,
    check_count,
    check_interval,
    check_number,
    check_numbers,
    check_positive,
)
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn.simulate.latents import spiking
from neurornn.simulate.linear_noise import sampled_paths, stationary_covariance
from neurornn.simulate.rate import log_normal

Array = NDArray[np.float64]


def simulate_low_rank_spikes(
    n_units: int = 60,
    duration: float = 120.0,
    *,
    tau: ArrayLike = (0.4, 0.8),
    unit_tau: ArrayLike | None = None,
    unit_tau_range: tuple[float, float] = (0.01, 0.2),
    rate: float = 8.0,
    log_rate_sd: float = 0.8,
    private_share: float = 0.2,
    n_trials: int = 1,
    bin_size: float = 0.01,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate spikes of a low-rank network whose units have time constants of their own.

    Parameters
    ----------
    n_units : units.
    duration : s, of a trial.
    tau : (latent,), s, time constants of the slow modes; as many as the connectivity has ranks.
        Each is longer than that of every unit.
    unit_tau : s, scalar or (unit,)
        Of the units. By default log-normal: two standard deviations to each side reach from one
        end of `unit_tau_range` to the other, and what lies beyond is drawn again.
    unit_tau_range : (lower, upper), s.
    rate : Hz, mean rate of every unit.
    log_rate_sd : sd over time of the log rate of every unit.
    private_share : share of the variance of a unit, on average, that noise of its own makes; the
        rest comes by noise that all share.
    n_trials : trials, each from a fresh draw of the state.
    bin_size : s.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        As `simulate_latent_population` returns it. ``tau_true (latent)``, s, are the time
        constants of the slow modes and ``latents`` (sd 1) the network along them: each is an
        Ornstein-Uhlenbeck process with its time constant. ``weight_true (unit, latent)`` is what
        they do to the log rates. Beside them ``unit_tau_true (unit)``, s, and ``jacobian_true
        (unit, unit_)``, 1/s.

    Raises
    ------
    DataError, ShapeError
        Slow modes no slower than a unit, or more of them than units; sizes that cannot be.

    Notes
    -----
    ``tau_i x_i' = -x_i + sum_j (m n')_ij x_j + noise``, and ``rate exp(g_i x_i - sd**2 / 2)`` is
    the rate of unit i. With units of different time constants the connectivity that has a slow
    mode of rate ``-1/T`` along v is ``m = (1 - tau / T) v``, with n the dual of the v: the
    eigenvalues asked for are exact. The log rate of a unit remembers as the slow modes do only
    at lags beyond the time constants of units. Samples are exact at any bin size.

    Examples
    --------
    >>> rec = simulate_low_rank_spikes(30, 20.0, tau=[0.5], rng=0)
    >>> slow = -1 / np.linalg.eigvals(rec["jacobian_true"].values).real.max()
    >>> round(float(slow), 6)
    0.5
    """
    draw = generator(rng)
    n_units, n_trials = check_count(n_units, "n_units"), check_count(n_trials, "n_trials")
    bin_size, n_steps = _steps(bin_size, duration)
    share = check_number(private_share, "private_share", least=0.0, most=1.0)
    sd = check_positive(log_rate_sd, "log_rate_sd")
    slow = np.atleast_1d(check_numbers(tau, "tau", missing=False))
    if unit_tau is None:
        own = log_normal(check_interval(unit_tau_range, "unit_tau_range", "s"), n_units, draw)
    else:
        own = np.array(np.broadcast_to(check_numbers(unit_tau, "unit_tau"), n_units))
    if slow.ndim != 1 or len(slow) > n_units or np.any(own <= 0) or slow.min() <= own.max():
        raise DataError(
            f"tau of the slow modes is {slow.tolist()} s for {n_units} units, whose own go from "
            f"{own.min():g} to {own.max():g} s",
            "No more slow modes than units, each slower than every unit, were needed",
            "Pass longer tau, or a unit_tau_range that ends below them",
        )
    axes = draw.standard_normal((n_units, len(slow)))
    dual = axes @ np.linalg.inv(axes.T @ axes)
    onto = axes * (1 - own[:, None] / slow)
    jacobian = (onto @ dual.T - np.eye(n_units)) / own[:, None]
    # Of shared noise each slow mode gets as much as makes an sd of 1, of its own each unit.
    shared = axes * np.sqrt(2 / slow)
    private = np.diag(np.sqrt(2 / own))
    parts = [np.mean(np.diag(stationary_covariance(jacobian, n))) for n in (shared, private)]
    noise = np.hstack(
        [shared * np.sqrt((1 - share) / parts[0]), private * np.sqrt(share / parts[1])]
    )
    covariance = stationary_covariance(jacobian, noise)
    states = sampled_paths(jacobian, noise, bin_size, n_steps, n_trials, draw)
    gain = sd / np.sqrt(np.diag(covariance))
    spread = np.sqrt(np.diag(dual.T @ covariance @ dual))
    rates = check_positive(rate, "rate", "Hz") * np.exp(gain * states - sd**2 / 2)
    return spiking(
        rates, states @ dual / spread, bin_size, draw,
        {
            "tau_true": ("latent", slow, {"units": "s"}),
            "weight_true": (("unit", "latent"), gain[:, None] * axes * spread, {"units": "1"}),
            "unit_tau_true": ("unit", own, {"units": "s"}),
            "jacobian_true": (("unit", "unit_"), jacobian, {"units": "1/s"}),
        },
        "simulate_low_rank_spikes",
    )  # fmt: skip


def simulate_hierarchy(
    n_units: int = 20,
    duration: float = 600.0,
    *,
    tau: ArrayLike = (0.05, 0.1, 0.2, 0.4),
    coupling: float = 0.0,
    rate: float = 8.0,
    log_rate_sd: float = 0.8,
    n_trials: int = 1,
    bin_size: float = 0.01,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate areas in a row, each with one hidden variable slower than that of the area before.

    Parameters
    ----------
    n_units : units of each area.
    duration : s, of a trial.
    tau : (area,), s, of the areas in their order.
    coupling : what an area gets of the one before it, as a share of its own drive: 0 for none.
        Each then follows the one before it as well, and its autocorrelation mixes their time
        constants; those of the modes stay what they are.
    rate : Hz, mean rate of every unit.
    log_rate_sd : sd over time of the log rate of every unit.
    n_trials : trials, each from a fresh draw of the state.
    bin_size : s.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        As `simulate_latent_population` returns it, with ``tau_true (latent)``, s, and ``latents``
        (sd 1) of the areas; ``area (unit)``, a coordinate, is the number of the area of a unit.

    Raises
    ------
    DataError, ShapeError
        Time constants that are not above 0, sizes that cannot be.

    Notes
    -----
    ``tau_k z_k' = -z_k + coupling z_(k-1) + noise``; ``rate exp(w z_k - sd**2 / 2)`` with w of
    `log_rate_sd` and either sign is the rate of a unit of area k.

    Examples
    --------
    >>> rec = simulate_hierarchy(3, 10.0, tau=[0.05, 0.4], rng=0)
    >>> rec["area"].values.tolist()
    [0, 0, 0, 1, 1, 1]
    """
    draw = generator(rng)
    n_units, n_trials = check_count(n_units, "n_units"), check_count(n_trials, "n_trials")
    bin_size, n_steps = _steps(bin_size, duration)
    taus = np.atleast_1d(check_numbers(tau, "tau", missing=False))
    if taus.ndim != 1 or np.any(taus <= 0):
        raise DataError(
            f"tau has shape {taus.shape} and goes down to {taus.min():g} s",
            "One time constant above 0 for each area was needed", "Pass tau=[0.05, 0.4]",
        )  # fmt: skip
    sd = check_positive(log_rate_sd, "log_rate_sd")
    feed = check_number(coupling, "coupling")
    jacobian = (np.diag(np.full(len(taus) - 1, feed), -1) - np.eye(len(taus))) / taus[:, None]
    noise = np.diag(np.sqrt(2 / taus))
    z = sampled_paths(jacobian, noise, bin_size, n_steps, n_trials, draw)
    z /= np.sqrt(np.diag(stationary_covariance(jacobian, noise)))
    area = np.repeat(np.arange(len(taus)), n_units)
    weight = np.zeros((len(area), len(taus)))
    weight[np.arange(len(area)), area] = sd * draw.choice([-1.0, 1.0], len(area))
    rates = check_positive(rate, "rate", "Hz") * np.exp(z @ weight.T - sd**2 / 2)
    found = spiking(
        rates, z, bin_size, draw,
        {"tau_true": ("latent", taus, {"units": "s"}),
         "weight_true": (("unit", "latent"), weight, {"units": "1"})},
        "simulate_hierarchy",
    )  # fmt: skip
    return found.assign_coords(area=("unit", area))


#: Height of a pulse over the memory: enough to turn a bit around in a tenth of a second.
_PUSH = 1.6


class _Bit(NamedTuple):
    """A group of units that holds one bit.

    Attributes
    ----------
    gain : (unit,), of each unit to what the group holds.
    weight : of the group onto itself.
    level : what it holds at its stable points, up to the sign.
    """

    gain: Array
    weight: float
    level: float


def simulate_flip_flop_spikes(
    n_units: int = 60,
    duration: float = 4.0,
    *,
    tau: ArrayLike = (0.15, 0.3, 0.5),
    n_hidden: int = 48,
    unit_tau: float = 0.05,
    pulse_rate: float = 0.5,
    pulse_duration: float = 0.1,
    noise: float = 0.15,
    rate: float = 8.0,
    log_rate_sd: float = 0.8,
    n_trials: int = 100,
    bin_size: float = 0.01,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate spikes of a network that solves the flip-flop task, with known slow modes.

    Parameters
    ----------
    n_units : units whose spikes are recorded.
    duration : s, of a trial.
    tau : (bit,), s, time constant at which the network goes back to each memory along each bit;
        longer than `unit_tau`. As many bits as there are.
    n_hidden : units of the network, dealt out over the bits.
    unit_tau : s, of the units of the network.
    pulse_rate : Hz, of pulses on each channel, each of a random sign. Trials begin at a memory.
    pulse_duration : s.
    noise : sd of each bit around its memory, as a share of the memory.
    rate : Hz, mean rate of every recorded unit.
    log_rate_sd : sd over time and trials of the log rate of every recorded unit.
    n_trials : trials.
    bin_size : s.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        As `simulate_latent_population` returns it. ``latents`` are the bits as the network holds
        them, about -1 and 1; ``inputs`` and ``targets (trial, time, bit)`` are the pulses and the
        sign of the last one. The truth: ``tau_true (latent)``, s, of the slowest modes of the
        Jacobian at the memories, which are alike at all of them; ``fixed_points_true (point,
        hidden)`` and ``eigenvalues_true (point, hidden)``, 1/s, slowest first.

    Raises
    ------
    DataError, ShapeError
        Time constants that are not longer than that of the units, sizes that cannot be.

    Notes
    -----
    ``unit_tau x' = -x + W tanh(x) + B u + noise``, where W is of rank 1 for each bit, over units
    of different gain. Weights are solved for so that the memories have the time constants asked
    for, which are read off the Jacobian of the whole network all the same. Log rates are weighted
    sums of the bits. The network is integrated by Heun's method, ten steps a bin and more.

    References
    ----------
    Sussillo & Barak 2013, Neural Comput. 25:626, doi:10.1162/NECO_a_00409 (the task).

    Examples
    --------
    >>> rec = simulate_flip_flop_spikes(10, 1.0, n_trials=3, rng=0)
    >>> rec["fixed_points_true"].shape
    (8, 48)
    >>> rec["tau_true"].values.round(6).tolist()
    [0.15, 0.3, 0.5]
    """
    draw = generator(rng)
    n_units, n_trials = check_count(n_units, "n_units"), check_count(n_trials, "n_trials")
    bin_size, n_steps = _steps(bin_size, duration)
    slow = np.atleast_1d(check_numbers(tau, "tau", missing=False))
    check_positive(unit_tau, "unit_tau", "s")
    if slow.ndim != 1 or slow.min() <= unit_tau or len(slow) > 10:
        raise DataError(
            f"tau is {slow.tolist()} s, the units' own {unit_tau:g} s",
            "Ten bits at most, each slower than the units, were needed",
            f"Pass tau above {unit_tau:g} s",
        )
    n_hidden = check_count(n_hidden, "n_hidden", len(slow))
    sd = check_positive(log_rate_sd, "log_rate_sd")
    owner = np.arange(n_hidden) * len(slow) // n_hidden
    bits = [
        _bit(np.exp(0.3 * draw.standard_normal(int((owner == k).sum()))), unit_tau / slow[k])
        for k in range(len(slow))
    ]
    gain = np.concatenate([b.gain for b in bits])
    into = np.zeros((n_hidden, len(slow)))
    into[np.arange(n_hidden), owner] = gain
    size = np.array([(owner == k).sum() for k in range(len(slow))])
    weights = into @ (into * [b.weight for b in bits] / size).T
    level = np.array([b.level for b in bits])
    points, eigenvalues = _memories(weights, into * level, unit_tau)
    known = np.empty(len(slow))
    known[np.argsort(-slow)] = -1 / eigenvalues[:, : len(slow)].mean(axis=0)
    pulses, targets = _pulses(
        n_trials, n_steps, len(slow), pulse_rate * bin_size, round(pulse_duration / bin_size), draw
    )
    # A bit that is held away from its memory goes back with its slow time constant: white noise of
    # this strength makes the sd asked for there.
    strength = check_number(noise, "noise", least=0.0) * level * unit_tau * np.sqrt(2 / slow)
    held = _run(
        weights, into, _PUSH * level * pulses, strength, unit_tau, bin_size, targets[:, 0] * level,
        draw,
    )  # fmt: skip
    latents = held / level
    mix = draw.standard_normal((n_units, len(slow)))
    drive = latents @ mix.T
    away = drive.std(axis=(0, 1))
    drive *= sd / away
    rates = check_positive(rate, "rate", "Hz") * np.exp(drive) / np.exp(drive).mean(axis=(0, 1))
    dims = ("trial", "time", "bit") if n_trials > 1 else ("time", "bit")
    inputs, last = (pulses, targets) if n_trials > 1 else (pulses[0], targets[0])
    return spiking(
        rates, latents, bin_size, draw,
        {
            "tau_true": ("latent", known, {"units": "s"}),
            "weight_true": (("unit", "latent"), mix * (sd / away)[:, None], {"units": "1"}),
            "inputs": (dims, inputs, {"units": "1"}),
            "targets": (dims, last, {"units": "1"}),
            "fixed_points_true": (("point", "hidden"), points, {"units": "1"}),
            "eigenvalues_true": (("point", "hidden"), eigenvalues, {"units": "1/s"}),
        },
        "simulate_flip_flop_spikes",
    )  # fmt: skip


def _steps(bin_size: float, duration: float) -> tuple[float, int]:
    width = check_bin_size(bin_size)
    n = round(check_positive(duration, "duration", "s") / width)
    if n < 1:
        raise DataError(
            f"duration is {duration:g} s, bin_size {width:g} s", "At least one bin was needed",
            "Pass a longer duration",
        )  # fmt: skip
    return width, n


def _bit(gain: Array, ratio: float) -> _Bit:
    """Weight and level of a group whose memory has a time constant of 1 / ratio of its units."""

    def excess(level: float) -> float:
        # Along the bit the Jacobian is -1 + weight mean(gain^2 / cosh^2), and the level is fixed
        # where it is the weight times mean(gain tanh).
        x = gain * level
        return float(
            level * np.mean(gain**2 / np.cosh(x) ** 2) / np.mean(gain * np.tanh(x)) - (1 - ratio)
        )

    level = float(optimize.brentq(excess, 1e-4, 30.0, xtol=1e-14, rtol=1e-14))
    return _Bit(gain, level / float(np.mean(gain * np.tanh(gain * level))), level)


def _memories(weights: Array, axes: Array, unit_tau: float) -> tuple[Array, Array]:
    """Fixed points beside every corner, (point, hidden), and eigenvalues there, 1/s."""
    n_bits = axes.shape[1]
    signs = 1.0 - 2.0 * ((np.arange(2**n_bits)[:, None] >> np.arange(n_bits)) & 1)
    points, values = [], []
    for sign in signs:
        found = optimize.root(
            lambda x: -x + weights @ np.tanh(x), axes @ sign,
            jac=lambda x: -np.eye(len(x)) + weights / np.cosh(x) ** 2, tol=1e-13,
        ).x  # fmt: skip
        jacobian = (-np.eye(len(found)) + weights / np.cosh(found) ** 2) / unit_tau
        points.append(found)
        values.append(np.sort(np.linalg.eigvals(jacobian).real)[::-1])
    return np.array(points), np.array(values)


def _pulses(
    n_trials: int, n_steps: int, n_bits: int, p: float, n_long: int, draw: np.random.Generator
) -> tuple[Array, Array]:
    """Pulses of -1 and 1, and the sign of the last one, (trial, time, bit)."""
    if not 0 <= p <= 1 or n_long < 1:
        raise DataError(
            f"A pulse comes with probability {p:g} in a bin and lasts {n_long} bins",
            "A probability from 0 to 1, and a bin or more, was needed",
            "Pass pulse_rate in Hz and pulse_duration in s",
        )
    begins = draw.random((n_trials, n_steps, n_bits)) < p
    # Each trial begins at a memory, as if a pulse had ended there.
    begins[:, 0] = False
    sign = np.where(begins, draw.choice([-1.0, 1.0], begins.shape), 0.0)
    sign[:, 0] = draw.choice([-1.0, 1.0], sign[:, 0].shape)
    at = np.maximum.accumulate(np.where(begins, np.arange(n_steps)[:, None], 0), axis=1)
    targets = np.take_along_axis(sign, at, axis=1)
    on = (at > 0) & (np.arange(n_steps)[:, None] - at < n_long)
    return np.where(on, targets, 0.0), targets


def _run(
    weights: Array, into: Array, drive: Array, strength: Array, unit_tau: float, bin_size: float,
    start: Array, draw: np.random.Generator,
) -> Array:  # fmt: skip
    """What each bit holds in the middle of each bin, (trial, time, bit), by Heun's method."""
    n_trials, n_steps, _ = drive.shape
    within = 2 * max(5, int(np.ceil(25 * bin_size / unit_tau)))
    dt = bin_size / within
    out = into / (into**2).sum(axis=0)
    x = start @ into.T
    held = np.empty(drive.shape)

    def slope(state: Array, u: Array) -> Array:
        return (-state + np.tanh(state) @ weights.T + u) / unit_tau

    for k in range(n_steps):
        u = drive[:, k] @ into.T
        for j in range(within):
            kick = draw.standard_normal((n_trials, len(strength))) * strength * np.sqrt(dt)
            shake = kick @ into.T / unit_tau
            here = slope(x, u)
            x = x + dt / 2 * (here + slope(x + dt * here + shake, u)) + shake
            if j == within // 2 - 1:
                held[:, k] = x @ out
    return held
