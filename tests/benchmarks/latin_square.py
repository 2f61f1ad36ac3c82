"""Twenty-four kinds of cells, balanced over every factor; fixed before the method was written."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import neurornn as nr

SAMPLING_RATE = 30.0
DURATION = 300.0
N_TRACES = 400
KNOTS = 60.0

_LEVELS = {
    "tau": (0.25, 0.5, 1.0, 1.5),
    "rise": (0.0, 0.02, 0.045, 0.07),
    "rate": (0.2, 0.35, 0.6, 1.0),
    "snr": (3.0, 5.0, 8.0, 15.0),
    "size_cv": (0.0, 0.15, 0.3),
    "drift": (0.0, 0.1),
}


class Cell(NamedTuple):
    """One kind of cell: s, s, Hz, ratio, ratio, dF/F."""

    tau: float
    rise: float
    rate: float
    snr: float
    size_cv: float
    drift: float


def cells() -> list[Cell]:
    """Every level of a factor occurs equally often; factors are dealt out independently."""
    rng = np.random.default_rng(20261121)
    columns = [rng.permutation(np.repeat(v, 24 // len(v))) for v in _LEVELS.values()]
    return [Cell(*map(float, row)) for row in zip(*columns, strict=True)]


def simulate(number: int, trace: int):
    """One trace of a kind of cell."""
    c = cells()[number]
    return nr.simulate.simulate_calcium(
        1,
        DURATION,
        SAMPLING_RATE,
        tau_decay=c.tau,
        tau_rise=c.rise,
        rate=c.rate,
        snr=c.snr,
        size_cv=c.size_cv,
        drift=c.drift,
        rng=np.random.default_rng([number, trace]),
    )


def bound(recording) -> tuple[float, float]:
    """Cramer-Rao sd of tau_decay and tau_rise (s): times, sizes, baseline and drift all free.

    Where the true rise is 0 it is held there, and a time and a size are one unknown: within a
    frame a later spike is a larger one.
    """
    time = recording["time"].values
    dt = time[1] - time[0]
    tau = float(recording["tau_decay_true"][0])
    rise = float(recording["tau_rise_true"][0])
    noise = float(recording["noise_sd_true"][0])
    spikes, sizes = recording["spike_times"].values, recording["spike_size"].values
    n, step = len(time), 1e-5

    def kernels(tau_decay: float, tau_rise: float, shift: float = 0.0) -> NDArray[np.float64]:
        lag = time[:, None] - spikes[None, :] - shift
        return nr.simulate.calcium_kernel(
            np.where(lag >= -1e-9, np.maximum(lag, 0), -1.0), tau_decay, tau_rise
        )

    def slope(change) -> NDArray[np.float64]:
        return (change(step) - change(-step)) / (2 * step)

    columns = [kernels(tau, rise)]
    if rise > 0:
        columns.append(slope(lambda h: kernels(tau, rise, h)))
    where = np.linspace(0, DURATION / KNOTS, n)
    knots = np.arange(round(DURATION / KNOTS) + 1)
    columns.append(np.maximum(0, 1 - np.abs(where[:, None] - knots[None, :])))
    columns.append(np.exp(-(time - dt) / tau)[:, None])
    if rise > 0:
        columns.append(np.exp(-(time - dt) * (1 / tau + 1 / rise))[:, None])
    wanted = [slope(lambda h: kernels(tau + h, rise)) @ sizes]
    if rise > 0:
        wanted.append(slope(lambda h: kernels(tau, rise + h)) @ sizes)
    nuisance = np.concatenate(columns, axis=1)
    target = np.stack(wanted, axis=1)
    left = target - nuisance @ np.linalg.lstsq(nuisance, target, rcond=1e-10)[0]
    covariance = noise**2 * np.linalg.inv(left.T @ left)
    sd = np.sqrt(np.diag(covariance))
    return float(sd[0]), float(sd[1]) if rise > 0 else float("nan")
