"""Real cells with known spikes: the inferred rate against the recorded spikes.

Settings fixed before our numbers were looked at. The cells of ``real_tau`` (at least 20 spikes,
brought to 30 frames a second). Convention: bin and frame k stand for ``((k - 1)·dt, k·dt]``; what
a method says about frame k is spread evenly over that interval, events are counted where they are.
Correlation is Pearson's over all bins of a cell, stretches joined; no rate at all counts as 0.
Stretches are joined for the peers, which have no notion of one. Peers are also shown shifted by
the one constant number of frames that suits them best over all cells, which takes the truth to
know.
"""

import time as clock
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage

import neurornn as nr
from neurornn._core.checks import find_blocks
from tests.benchmarks.real_tau import LITERATURE, cells

FINE = 1 / 25.0
COARSE = 1 / 7.5
#: Width (s) of the Gaussian that both sides are smoothed with in coarse bins.
SIGMA = 0.2
#: Shifts (frames) of which the best constant one is shown; lags (fine bins) of the diagnostic.
SHIFTS = (-3, -2, -1, 0, 1)
LAGS = range(-6, 7)
GATES = {"25 Hz": (0.60, 0.68), "7.5 Hz": (0.86, 0.90)}
#: The default of Suite2p for an indicator that it has no number for, s; its baseline, s.
TYPED_TAU = 1.0
BASELINE_SIGMA, BASELINE_WINDOW = 10.0, 60.0
#: Smoothing (s) of the trivial baseline before its differences are taken.
DERIVATIVE_SIGMA = 0.05
COLUMNS = [
    "cells", "25 Hz", "7.5 Hz", "best shift", "25 Hz shifted", "7.5 Hz shifted",
    "25 Hz best lag", "lag ms", "ms per 30k frames",
]  # fmt: skip


class Cell(NamedTuple):
    """One cell, its spikes in bins whose ends are `fine` and `coarse` (s)."""

    group: str
    time: np.ndarray
    values: np.ndarray
    dt: float
    fine: np.ndarray
    coarse: np.ndarray
    fine_counts: np.ndarray
    coarse_counts: np.ndarray


#: Rate in bins with these ends and of this width, after a shift by so many frames.
Rate = Callable[[np.ndarray, float, int], np.ndarray]


def prepared(group, time, values, rate, spikes) -> Cell:
    """Count the spikes of a cell."""
    recording = nr.data.from_traces(values, time=time, sampling_rate=rate)
    stretches = nr.data.support(recording)
    bins = []
    for width in (FINE, COARSE):
        ends = [a + width * (1 + np.arange(int((b - a) / width + 1e-6))) for a, b in stretches]
        bins.append(np.concatenate(ends))
    counts = [nr.data.bin_spikes([spikes], time=b).values[:, 0].astype(float) for b in bins]
    return Cell(group, time, values, 1 / rate, *bins, *counts)


def ours(cell: Cell, **options) -> Rate:
    """Kinetics, events found blind."""
    recording = nr.data.from_traces(cell.values, time=cell.time, sampling_rate=1 / cell.dt)
    kinetics = nr.calcium.Kinetics(**options).fit(recording["dff"])

    def rate(ends, width, shift):
        # Bins that lie earlier see what happened then: the rate moves the other way.
        seen = kinetics.predict_rate(time=ends - shift * cell.dt)
        return np.nan_to_num(seen.values[:, 0])

    return rate


def spread(cell: Cell, activity) -> Rate:
    """Rate of what is given per frame, spread evenly over the frame."""
    blocks = find_blocks(cell.time, cell.dt)
    edges = np.concatenate([np.r_[cell.time[a] - cell.dt, cell.time[a:b]] for a, b in blocks])
    steps = np.concatenate([np.r_[0.0, activity[a:b]] for a, b in blocks])
    total = np.cumsum(steps)

    def rate(ends, width, shift):
        at = edges + shift * cell.dt
        return (np.interp(ends, at, total) - np.interp(ends - width, at, total)) / width

    return rate


def oasis(cell: Cell, **options) -> Rate:
    """oasis-deconv with its own estimate of the constants."""
    from oasis.functions import deconvolve

    return spread(cell, deconvolve(cell.values, **options).s)


def like_suite2p(cell: Cell) -> Rate:
    """Maximin baseline, then non-negative deconvolution with the constant of the literature."""
    from oasis.functions import deconvolve

    flat = ndimage.gaussian_filter1d(cell.values, BASELINE_SIGMA / cell.dt)
    window = round(BASELINE_WINDOW / cell.dt)
    flat = ndimage.maximum_filter1d(ndimage.minimum_filter1d(flat, window), window)
    tau = LITERATURE.get(cell.group, TYPED_TAU)
    found = deconvolve(cell.values - flat, tau_d=tau, framerate=1 / cell.dt, penalty=None)
    return spread(cell, found.s)


def derivative(cell: Cell) -> Rate:
    """Trivial baseline: positive differences of the smoothed trace."""
    smooth = ndimage.gaussian_filter1d(cell.values, DERIVATIVE_SIGMA / cell.dt)
    return spread(cell, np.maximum(np.diff(smooth, prepend=smooth[0]), 0))


METHODS: dict[str, Callable[[Cell], Rate]] = {
    "Kinetics": ours,
    "oasis default": oasis,
    "oasis optimize_g=5": lambda cell: oasis(cell, optimize_g=5),
    "oasis AR(2)": lambda cell: oasis(cell, tau_r=None),
    "like Suite2p, literature tau": like_suite2p,
    "trivial: positive derivative": derivative,
}


class Score(NamedTuple):
    """Correlations of one cell at every shift, at every lag of fine bins, and ms."""

    fine: np.ndarray
    coarse: np.ndarray
    lagged: np.ndarray
    ms: float


def correlation(a, b) -> float:
    """Pearson's; 0 where one does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0


def smoothed(x, ends):
    """Gaussian of `SIGMA` within every stretch of coarse bins."""
    blocks = find_blocks(ends, COARSE)
    parts = [ndimage.gaussian_filter1d(x[a:b], SIGMA / COARSE) for a, b in blocks]
    return np.concatenate(parts)


def fine_score(cell: Cell, rate) -> float:
    """Correlation in 25 Hz bins at zero lag."""
    return correlation(rate, cell.fine_counts)


def coarse_score(cell: Cell, rate) -> float:
    """Correlation in 7.5 Hz bins, both sides smoothed."""
    return correlation(smoothed(rate, cell.coarse), smoothed(cell.coarse_counts, cell.coarse))


def score(cell: Cell, method: Callable[[Cell], Rate]) -> Score:
    """Run a method on a cell."""
    begin = clock.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rate = method(cell)
    ms = 1000 * (clock.perf_counter() - begin) * 30_000 / len(cell.time)
    fine = [fine_score(cell, rate(cell.fine, FINE, k)) for k in SHIFTS]
    coarse = [coarse_score(cell, rate(cell.coarse, COARSE, k)) for k in SHIFTS]
    at_zero = rate(cell.fine, FINE, 0)
    lagged = [correlation(*_overlap(at_zero, cell.fine_counts, k)) for k in LAGS]
    return Score(np.array(fine), np.array(coarse), np.array(lagged), ms)


def _overlap(a, b, lag):
    """The rate `lag` bins later than the spikes."""
    n = len(a) - abs(lag)
    return (a[lag:], b[:n]) if lag >= 0 else (a[:n], b[-lag:])


def row(name: str, scores: list[Score]) -> list[str]:
    """Medians over cells."""
    fine = np.median([s.fine for s in scores], axis=0)
    coarse = np.median([s.coarse for s in scores], axis=0)
    lagged = np.array([s.lagged for s in scores])
    zero, best = SHIFTS.index(0), int(np.argmax(fine))
    lag = np.array(LAGS)[np.argmax(lagged, axis=1)]
    return [
        name,
        str(len(scores)),
        f"{fine[zero]:.3f}",
        f"{coarse[zero]:.3f}",
        f"{SHIFTS[best]:+d}",
        f"{fine[best]:.3f}",
        f"{coarse[best]:.3f}",
        f"{np.median(lagged.max(axis=1)):.3f}",
        f"{1000 * FINE * np.median(lag):+.0f}",
        f"{np.median([s.ms for s in scores]):.0f}",
    ]


def rows(limit: int | None = None) -> Iterator[list[str]]:
    """One row per method over all cells, then one per set for each method."""
    found = [prepared(*c) for c in cells(limit)]
    # Compiled before anything is timed.
    ours(found[0])
    scores = {name: [score(c, method) for c in found] for name, method in METHODS.items()}
    for name, group in scores.items():
        yield row(name, group)
    blank = [""] * (len(COLUMNS) - 1)
    for name in ("Kinetics", "oasis AR(2)", "like Suite2p, literature tau"):
        for group in dict.fromkeys(c.group for c in found):
            pairs = zip(found, scores[name], strict=True)
            yield row(f"{name}, {group}", [s for c, s in pairs if c.group == group])
    for k, (label, (gate, goal)) in enumerate(GATES.items()):
        zero = SHIFTS.index(0)
        value = np.median([(s.fine, s.coarse)[k][zero] for s in scores["Kinetics"]])
        said = "goal met" if value >= goal else "gate met" if value >= gate else "missed"
        yield [f"{label}: gate {gate:g}, goal {goal:g}: {said}", f"{value:.3f}", *blank]
