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
        columns.append(np.exp(-(time - dt) / rise)[:, None])
    wanted = [slope(lambda h: kernels(tau + h, rise)) @ sizes]
    if rise > 0:
        wanted.append(slope(lambda h: kernels(tau, rise + h)) @ sizes)
    nuisance = np.concatenate(columns, axis=1)
    target = np.stack(wanted, axis=1)
    left = target - nuisance @ np.linalg.lstsq(nuisance, target, rcond=1e-10)[0]
    covariance = noise**2 * np.linalg.inv(left.T @ left)
    sd = np.sqrt(np.diag(covariance))
    return float(sd[0]), float(sd[1]) if rise > 0 else float("nan")


COLUMNS = [
    "ok %",
    "rms / bound",
    "bias %",
    "coverage",
    "width / bound's",
    "rise resolved %",
    "slope baseline %",
]


def rows(n_traces: int = N_TRACES):
    """One row per kind of cell; what is not ok counts as an error of 1 and as not covered."""
    pooled: list[bool] = []
    for number, c in enumerate(cells()):
        errors, covered, widths, ok, resolved, bounds, plain = [], [], [], [], [], [], []
        for trace in range(n_traces):
            recording = simulate(number, trace)
            kinetics = nr.calcium.Kinetics().fit(recording["dff"])
            p = kinetics.parameters_.isel(unit=0)
            low, high = p["tau_decay_ci"].values
            errors.append(float(p["tau_decay"]) / c.tau - 1)
            covered.append(bool(low <= c.tau <= high))
            widths.append((high - low) / c.tau)
            ok.append(p["status"].item() == "ok")
            resolved.append(p["rise_status"].item() == "ok")
            plain.append(_slope(recording) / c.tau - 1)
            if trace < 4:
                # The bound hardly moves between spike trains of one rate; four are averaged.
                bounds.append(bound(recording)[0] / c.tau)
        pooled += covered
        e, limit = np.array(errors), float(np.mean(bounds))
        rms = float(np.sqrt(np.mean(np.nan_to_num(e, nan=1.0) ** 2)))
        yield [
            f"tau {c.tau:g} rise {c.rise:g} s, {c.rate:g} Hz, SNR {c.snr:g}, "
            f"CV {c.size_cv:g}, drift {c.drift:g}",
            f"{100 * np.mean(ok):.0f}",
            f"{rms / limit:.2f}",
            f"{100 * np.nanmean(e):+.2f}",
            f"{np.mean(covered):.2f}",
            # A 95 % interval of an efficient estimator is 3.92 of its standard deviations wide.
            f"{np.nanmedian(widths) / (3.92 * limit):.2f}",
            f"{100 * np.mean(resolved):.0f}",
            f"{100 * np.median(np.abs(plain)):.0f}",
        ]
    yield [f"all, {n_traces} traces each", "", "", "", f"{np.mean(pooled):.3f}", "", "", ""]


def _slope(recording) -> float:
    """Trivial baseline: the slope of the autocovariance (s)."""
    from neurornn.calcium.alternation import first_tau
    from neurornn.calcium.trace_model import Settings

    y = recording["dff"].values[:, 0]
    settings = Settings(1 / SAMPLING_RATE, 4.0, (0.005, 20.0), 60.0, 0.95)
    return first_tau(y, np.array([[0, len(y)]]), settings)
