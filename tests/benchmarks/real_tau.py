"""Real cells with known spikes: tau found blind against tau found from the spikes.

Fixed before the blind method was tuned to real cells. Cells with at least 20 spikes, brought to 30
frames a second by averaging; reference: one double-exponential response of one size for every
recorded spike, least squares after a 30-s high pass, on the whole recording and on its two halves.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

import neurornn as nr
from neurornn._core.errors import FileMissingError
from tests.benchmarks.realdata import CALCIUM, files_of

RATE = 30.0
MIN_SPIKES = 20
HIGH_PASS = 30.0
COLUMNS = [
    "cells", "ok %", "median bias %", "median error %", "coverage", "half-width %", "literature %"
]  # fmt: skip
#: Decay (s) that the literature or a pipeline would have the user type in: the trivial baseline.
LITERATURE = {
    "ground_truth_DS01": 1.51,
    "ground_truth_DS08": 0.7,
    "ground_truth_DS09": 0.7,
    "ground_truth_DS11": 0.7,
    "ground_truth_DS14": 1.25,
    "ground_truth_DS30": 0.057,
    "ground_truth_DS32": 0.267,
}


class Reference(NamedTuple):
    """Spike-informed tau (s) and the sd of its logarithm from two halves."""

    tau: float
    log_sd: float


def resampled(recording, rate: float = RATE):
    """Average the frames of every stretch into bins of 1 / rate; (time, values, dt)."""
    rec = recording["dff"].isel(unit=0)
    own = nr.data.sampling_rate_of(recording["dff"])
    if own <= 1.2 * rate:
        return rec["time"].values, rec.values.astype(float), own
    times, values = [], []
    for start, stop in nr.data.support(recording):
        keep = (rec["time"].values > start) & (rec["time"].values <= stop + 1e-9)
        t, y = rec["time"].values[keep], rec.values[keep].astype(float)
        n = int(np.floor((stop - start) * rate))
        which = np.clip(np.ceil((t - start) * rate - 1e-6).astype(int) - 1, 0, n)
        total = np.bincount(which, np.nan_to_num(y), n + 1)[:n]
        count = np.bincount(which, ~np.isnan(y), n + 1)[:n]
        values.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
        times.append(start + (np.arange(n) + 1) / rate)
    return np.concatenate(times), np.concatenate(values), rate


def high_passed(x, dt):
    """Subtract the mean over 30 s around every frame."""
    n = max(3, round(HIGH_PASS / dt))
    pad = np.pad(x, (n // 2, n - 1 - n // 2), mode="reflect")
    sums = np.cumsum(np.concatenate([[0.0], pad]))
    return x - (sums[n:] - sums[:-n]) / n


def informed_tau(time, values, spikes, rate) -> float:
    """Tau (s) of the one response that, put at every spike, leaves the least squares."""
    seen = ~np.isnan(values)
    filled = np.interp(time, time[seen], values[seen])
    y = high_passed(filled, 1 / rate)

    def loss(x):
        tau, apart = np.exp(x)
        # One over the difference of the rates has no bound, and the rise stays the shorter one.
        rise = tau * apart / (tau + apart)
        lag = np.arange(0, min(8 * tau + 1, 20.0), 1 / rate)
        # The kernel is sampled in the middle of the frame; spikes are counted into frames.
        kernel = nr.simulate.calcium_kernel(lag + 0.5 / rate, tau, rise)
        counts = np.histogram(spikes, np.append(time - 1 / rate, time[-1]))[0]
        model = high_passed(np.convolve(counts, kernel)[: len(y)], 1 / rate)
        size = model @ y / max(model @ model, 1e-12)
        return float(np.sum((y - size * model) ** 2))

    starts = [(t, r) for t in (0.2, 0.6, 1.5) for r in (0.02, 0.1)]
    bounds = [(np.log(0.03), np.log(8.0)), (np.log(0.002), np.log(0.6))]
    fits = [
        minimize(loss, np.log(s), method="Nelder-Mead", bounds=bounds, options={"maxiter": 150})
        for s in starts
    ]
    return float(np.exp(min(fits, key=lambda f: f.fun).x[0]))


def reference(time, values, spikes, rate) -> Reference:
    """Tau of the whole, and how far the halves differ."""
    middle = len(time) // 2
    halves = [
        informed_tau(time[s], values[s], spikes, rate)
        for s in (slice(None, middle), slice(middle, None))
    ]
    # The mean of two halves has half the variance of one, and their difference twice.
    log_sd = abs(np.log(halves[0] / halves[1])) / 2
    return Reference(informed_tau(time, values, spikes, rate), log_sd)


def cells(limit: int | None = None):
    """Every cell that counts: (set, time, values, rate, spikes)."""
    for name in CALCIUM[:10]:
        try:
            files = files_of(name)
        except FileMissingError:
            continue
        for file in files[:limit]:
            recording = nr.open(file)
            spikes = nr.data.spike_trains(recording)[0]
            if len(spikes) >= MIN_SPIKES:
                yield (name, *resampled(recording), spikes)


def rows(limit: int | None = None, **options) -> Iterator[list[str]]:
    """One row per set and one for all."""
    found: dict[str, list[tuple[float, float, bool, bool, float]]] = {}
    for name, time, values, rate, spikes in cells(limit):
        known = reference(time, values, spikes, rate)
        trace = nr.data.from_traces(values, time=time, sampling_rate=rate)["dff"]
        p = nr.calcium.Kinetics(**options).fit(trace).parameters_.isel(unit=0)
        low, high = p["tau_decay_ci"].values
        error = float(np.log(p["tau_decay"] / known.tau))
        half = float(np.log(high / low) / 2)
        covered = abs(error) <= 1.96 * np.hypot(half / 1.96, known.log_sd)
        typed = np.log(LITERATURE[name] / known.tau) if name in LITERATURE else np.nan
        ok = p["status"].item() == "ok"
        found.setdefault(name, []).append((error, half, bool(covered and ok), ok, float(typed)))
    for name, group in [*found.items(), ("all", [c for g in found.values() for c in g])]:
        error, half, covered, ok, typed = map(np.array, zip(*group, strict=True))
        yield [
            name,
            str(len(group)),
            f"{100 * ok.mean():.0f}",
            f"{100 * np.expm1(np.nanmedian(error)):+.0f}",
            f"{100 * np.nanmedian(np.abs(np.expm1(error))):.0f}",
            f"{covered.mean():.2f}",
            f"{100 * np.expm1(np.nanmedian(half)):.0f}",
            f"{100 * np.nanmedian(np.abs(np.expm1(typed))):.0f}",
        ]
