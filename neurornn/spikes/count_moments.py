"""Moments of counts: where a search for time constants begins, and whether there is one.

Covariances of counts become those of log rates by ``log(1 + cov / (mean mean))``, which undoes the
Poisson noise and the exponential link (Buesing, Macke & Sahani 2012).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import curve_fit
from scipy.signal import lfilter

from neurornn.spikes.latent_likelihood import CountRows

Array = NDArray[np.float64]

#: Time constants that are tried, and units that the test of a shared latent takes.
_N_TRIED, _MOST_UNITS = 7, 30
#: Units whose pairs make the curve that is shown.
_MOST_SHOWN = 40
#: Draws without dynamics that the largest eigenvalue is compared with.
_N_DRAWS = 400
#: Normal numbers that are drawn at once.
_NUMBERS_AT_ONCE = 1_000_000
#: Log covariances below this are noise; their log would be lost.
_LOWEST = -0.9
#: Lags that an exponential is fitted to.
_N_LAGS_FITTED = 100
#: Trials that a rate locked to their start is looked for in, and shifts that it is compared with.
_FEWEST_TRIALS, _N_SHIFTS = 10, 99


class Tried(NamedTuple):
    """What moments say of time constants.

    Attributes
    ----------
    tau : (tried,), s.
    shared : (unit, unit), loadings' products at the best time constant, converted.
    p_shared : chance of as large an eigenvalue without dynamics.
    p_own : (unit,), chance of as large an autocovariance of a unit.
    best, best_own : index of the time constant that stands out most, of all and of each unit.
    own : (unit,), converted autocovariance at lag 0 that the best of a unit gives.
    """

    tau: Array
    shared: Array
    p_shared: float
    p_own: Array
    best: int
    best_own: NDArray[np.int64]
    own: Array


def expected_counts(rows: CountRows) -> Array:
    """Counts of a constant rate, times what is known beforehand, (row, unit)."""
    share = rows.known * np.exp(rows.offset)
    mean = rows.counts.sum(axis=0) / np.maximum(rows.exposure, 1e-12)
    return np.asarray((share * mean)[rows.pattern])


def try_time_constants(rows: CountRows, rng: np.random.Generator) -> Tried:
    """Look for covariances of counts over time that counts without dynamics do not have."""
    mean = expected_counts(rows)
    safe = np.where(mean > 0, mean, 1.0)
    rest = np.where(mean > 0, (rows.counts - mean) / np.sqrt(safe), 0.0)
    lengths = np.diff(rows.edges)
    longest = int(lengths.max()) * rows.dt
    top = max(longest / 4, 4 * rows.dt)
    tau = np.geomspace(min(1.5 * rows.dt, top), top, _N_TRIED)
    keep = np.exp(-rows.dt / tau)
    n_units = rows.n_units
    moments = np.zeros((_N_TRIED, n_units, n_units))
    for a, b in zip(rows.edges[:-1], rows.edges[1:], strict=True):
        for k in range(_N_TRIED):
            past = lfilter([0.0, keep[k]], [1.0, -keep[k]], rest[a:b], axis=0)
            moments[k] += past.T @ rest[a:b]
    at_once = rest.T @ rest
    terms = _n_products(lengths, keep)
    n_rows = len(rows.counts)
    both = moments + moments.transpose(0, 2, 1) + at_once
    scaled = both / np.sqrt(2 * np.diag(terms) + n_rows)[:, None, None]
    own = np.diagonal(moments, axis1=1, axis2=2) / np.sqrt(np.diag(terms))[:, None]
    for k in range(_N_TRIED):
        # What a unit shares with itself speaks of no other.
        np.fill_diagonal(scaled[k], 0.0)
    used = np.argsort(-rows.counts.sum(axis=0))[:_MOST_UNITS]
    p_own, p_shared = np.ones((_N_TRIED, n_units)), np.ones(_N_TRIED)
    tops = np.array([np.linalg.eigvalsh(s[np.ix_(used, used)])[-1] for s in scaled])
    for k in range(_N_TRIED):
        p_own[k], p_shared[k] = _chances(rows, tau[k], own[k], float(tops[k]), len(used), rng)
    # Of the least of so many: Sidak's, careful as they hang together.
    p_own = 1 - (1 - p_own.min(axis=0)) ** _N_TRIED
    chance = float(1 - (1 - p_shared.min()) ** _N_TRIED) if len(used) > 1 else 1.0
    best = int(np.argmax(tops if len(used) > 1 else own.sum(axis=1)))
    best_own = np.argmax(own, axis=0)
    units = np.arange(n_units)
    size = np.sqrt(np.outer(rows.counts.sum(axis=0), rows.counts.sum(axis=0))) / n_rows
    weight = 2 * terms[best, best] + n_rows
    shared = _converted(both[best] / weight / np.maximum(size, 1e-12))
    raw = moments[best_own, units, units] / np.diag(terms)[best_own]
    alone = _converted(raw / np.maximum(np.diag(size), 1e-12))
    np.fill_diagonal(shared, np.maximum(alone, 0.0))
    return Tried(tau, shared, chance, p_own, best, best_own, np.maximum(alone, 0.0))


def _n_products(lengths: NDArray[np.int64], keep: Array) -> Array:
    """Sum over lags of (products at the lag) times both weights, (tried, tried)."""
    q = np.outer(keep, keep)
    out = np.zeros_like(q)
    # A sum of a geometric series and of its slope.
    for length, n in zip(*np.unique(lengths, return_counts=True), strict=True):
        rest = length - 1 + q**length - length * q
        out += n * q * rest / (1 - q) ** 2
    return np.maximum(out, 1e-300)


def _converted(ratio: Array) -> Array:
    return np.asarray(np.log1p(np.maximum(ratio, _LOWEST)))


def _chances(
    rows: CountRows, tau: float, own: Array, top: float, n_used: int, rng: np.random.Generator
) -> tuple[Array, float]:
    """Chances of as large an autocovariance, (unit,), and largest eigenvalue, without dynamics.

    Where the recording is long against tau, entries are normal and independent. Where it is not,
    counts without dynamics are drawn, in rows as coarse as tau allows.
    """
    n_samples = len(rows.counts) * rows.dt / (2 * tau)
    edge = 2 * np.sqrt(n_used)
    if n_samples > 20 and n_used == 1:
        return stats.norm.sf(own), 1.0
    if n_samples > 20 * n_used or (n_samples > 20 and top > 5 * edge):
        drawn = rng.standard_normal((_N_DRAWS, n_used, n_used))
        drawn = np.triu(drawn, 1) + np.triu(drawn, 1).transpose(0, 2, 1)
        tops = np.linalg.eigvalsh(drawn)[:, -1] if top < 5 * edge else np.full(_N_DRAWS, edge)
        return stats.norm.sf(own), float((1 + np.sum(tops >= top)) / (1 + _N_DRAWS))
    n = max(1, min(int(tau / rows.dt / 5), int(np.diff(rows.edges).min()) // 4))
    lengths = np.maximum(np.diff(rows.edges) // n, 1)
    keep = np.array([np.exp(-rows.dt * n / tau)])
    terms, total = float(_n_products(lengths, keep)[0, 0]), int(lengths.sum())
    ends = np.cumsum(lengths)
    all_own, tops = [], []
    # So many draws at once.
    many = int(np.clip(_NUMBERS_AT_ONCE // (total * n_used), 1, _N_DRAWS))
    for d in range(0, _N_DRAWS, many):
        noise = rng.standard_normal((total, min(many, _N_DRAWS - d), n_used))
        noise -= noise.mean(axis=0)
        moment = np.zeros((noise.shape[1], n_used, n_used))
        for a, b in zip(ends - lengths, ends, strict=True):
            past = lfilter([0.0, keep[0]], [1.0, -keep[0]], noise[a:b], axis=0)
            moment += np.einsum("tdi,tdj->dij", past, noise[a:b], optimize=True)
        at_once = np.einsum("tdi,tdj->dij", noise, noise, optimize=True)
        both = (moment + moment.transpose(0, 2, 1) + at_once) / np.sqrt(2 * terms + total)
        all_own.append(np.diagonal(moment, axis1=1, axis2=2) / np.sqrt(terms))
        both[:, np.arange(n_used), np.arange(n_used)] = 0.0
        tops.append(np.linalg.eigvalsh(both)[:, -1])
    flat = np.sort(np.concatenate(all_own).ravel())
    above = len(flat) - np.searchsorted(flat, own)
    return (1 + above) / (1 + len(flat)), float(
        (1 + np.sum(np.concatenate(tops) >= top)) / (1 + _N_DRAWS)
    )


def first_loadings(shared: Array) -> Array:
    """Loadings of one latent that converted covariances speak of, (unit,)."""
    if len(shared) == 1:
        return np.sqrt(np.maximum(shared[0], 0.01))
    value, vector = np.linalg.eigh(shared)
    found = vector[:, -1] * np.sqrt(max(float(value[-1]), 1e-2))
    return np.clip(found if found.sum() >= 0 else -found, -2.0, 2.0)


def merged(rows: CountRows, n: int) -> CountRows:
    """Add up every n rows of each run; what is left at its end is dropped.

    Rows of different patterns keep the pattern of their first where all have it known.
    """
    if n == 1:
        return rows
    starts, edges = [], [0]
    for a, b in zip(rows.edges[:-1], rows.edges[1:], strict=True):
        whole = (b - a) // n
        starts.append(a + n * np.arange(whole))
        edges.append(edges[-1] + whole)
    at = np.concatenate(starts)[:, None] + np.arange(n)
    counts = rows.counts[at].sum(axis=1)
    if len(rows.known) == 1:
        pattern, known, offset = np.zeros(len(at), np.int64), rows.known, rows.offset
    else:
        each, pattern = np.unique(rows.pattern[at], axis=0, return_inverse=True)
        pattern = pattern.ravel()
        known = rows.known[each].min(axis=1)
        offset = np.log(np.maximum(np.exp(rows.offset[each]).mean(axis=1), 1e-9))
        counts = counts * known[pattern]
    return rows._replace(
        counts=counts, edges=np.array(edges), dt=rows.dt * n, pattern=pattern, known=known,
        offset=offset, lost=None if rows.lost is None else rows.lost[at].mean(axis=1),
    )  # fmt: skip


def locked_rate(rows: CountRows, rng: np.random.Generator) -> tuple[float, Array]:
    """Whether the rate follows the time since the start of a trial, and how.

    Parameters
    ----------
    rows : in runs, each a trial.

    Returns
    -------
    Chance of as large a mean over trials if every trial was turned by a time of its own, 1 for
    too few trials; and the rate over its mean, (row of a trial, unit), smoothed by a Gaussian
    whose width is chosen between two halves of the trials.
    """
    lengths = np.diff(rows.edges)
    length = int(np.median(lengths))
    whole = np.flatnonzero(lengths >= length)
    if len(whole) < _FEWEST_TRIALS or length < 3:
        return 1.0, np.ones((int(lengths.max()), rows.n_units))
    at = rows.edges[:-1][whole][:, None] + np.arange(length)
    observed = rows.observed
    mean = np.maximum(rows.counts.sum(axis=0) / np.maximum(observed.sum(axis=0), 1), 1e-12)
    trials = np.where(observed[at] > 0, rows.counts[at] - mean, 0.0) / np.sqrt(mean)

    def power(of: Array) -> float:
        profile = of.mean(axis=0)
        return float(np.sum((profile - profile.mean(axis=0)) ** 2))

    def profile_of(which: NDArray[np.int64]) -> Array:
        n = observed[which].sum(axis=0)
        return np.where(n > 0, rows.counts[which].sum(axis=0) / np.maximum(n, 1), mean)

    seen, above = power(trials), 0
    for _ in range(_N_SHIFTS):
        turn = (np.arange(length) + rng.integers(length, size=len(trials))[:, None]) % length
        above += power(np.take_along_axis(trials, turn[:, :, None], axis=1)) >= seen
    halves = [profile_of(at[k::2]) for k in (0, 1)]
    best, cost = 0.0, np.inf
    for width in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
        rest = sum(
            float(np.sum((_smoothed(halves[k], width) - halves[1 - k]) ** 2 / mean))
            for k in (0, 1)
        )
        if rest < cost:
            best, cost = width, rest
    profile = _smoothed(profile_of(at), best) / mean
    profile = np.maximum(profile, 0.02)
    reach = np.minimum(np.arange(int(lengths.max())), length - 1)
    return (1 + above) / (1 + _N_SHIFTS), np.asarray(profile[reach])


def _smoothed(profile: Array, width: float) -> Array:
    return gaussian_filter1d(profile, width, axis=0, mode="nearest") if width else profile


def pair_weights(loading: Array, *, shared: bool = True) -> Array:
    """Weights of pairs of units, so that ``loading loading'`` adds up to its mean.

    Units that share a latent are weighted with each other alone; others, and one unit alone, with
    themselves.
    """
    weight = np.outer(loading, loading)
    if not shared or len(loading) == 1:
        weight = np.diag(np.diag(weight))
    else:
        np.fill_diagonal(weight, 0.0)
    size = float(np.mean(loading**2)) / max(float(np.sum(weight**2)), 1e-300)
    return np.asarray(weight * size)


def log_covariance(
    rows: CountRows, loading: Array, lags: NDArray[np.int64], n_blocks: int = 20, *,
    shared: bool = True,
) -> tuple[Array, Array, NDArray[np.int64]]:  # fmt: skip
    """Covariance of log rates over lags along loadings, and its error over blocks.

    Parameters
    ----------
    rows : counts.
    loading : (unit,). Products of counts of two units are weighted by both; for one unit alone
        its own products are taken, at lags above 0.
    lags : (lag,), rows.
    shared : else products of each unit with itself are taken, too.

    Returns
    -------
    value and error (lag,), of the mean unit, NaN at lag 0 of one unit; which units were used.
    """
    mean = expected_counts(rows)
    used = np.sort(np.argsort(-np.abs(loading) * rows.counts.sum(axis=0))[:_MOST_SHOWN])
    scale = mean[:, used]
    rest = np.where(scale > 0, rows.counts[:, used] / np.where(scale > 0, scale, 1.0) - 1, 0.0)
    alone = len(used) == 1 or not shared
    weight = pair_weights(loading[used], shared=shared)
    out = np.full((n_blocks, len(lags)), np.nan)
    products = np.zeros((n_blocks, len(lags), len(used), len(used)))
    shares = np.zeros_like(products)
    every = bool(rows.known.all())
    seen = rows.known[:, used][rows.pattern]
    runs = list(zip(rows.edges[:-1], rows.edges[1:], strict=True))
    if len(runs) < n_blocks:
        longest = max(1, len(rows.counts) // n_blocks)
        runs = [(c, min(c + longest, b)) for a, b in runs for c in range(a, b, longest)]
    for r, (a, b) in enumerate(runs):
        block = r * n_blocks // len(runs)
        for k, lag in enumerate(lags):
            if b - a > lag:
                products[block, k] += rest[a : b - lag].T @ rest[a + lag : b]
                shares[block, k] += (
                    b - a - lag if every else seen[a : b - lag].T @ seen[a + lag : b]
                )
    whole = products.sum(axis=0) / np.maximum(shares.sum(axis=0), 1)
    # Each pair is converted, and pairs are weighted as the loadings say.
    value = np.einsum("kij,ij->k", _converted(whole), weight)
    slope = weight / (1 + np.maximum(whole, _LOWEST))
    for block in range(n_blocks):
        own = products[block] / np.maximum(shares[block], 1)
        out[block] = np.einsum("kij,kij->k", np.where(shares[block], own - whole, 0.0), slope)
        out[block][~shares[block].any(axis=(1, 2))] = np.nan
    counted = np.maximum(np.sum(np.isfinite(out), axis=0), 2)
    spread = np.nansum((out - _mean_of_known(out)) ** 2, axis=0) / (counted - 1)
    error = np.where(np.isfinite(out).sum(axis=0) > 1, np.sqrt(spread / counted), np.nan)
    if alone:
        value[lags == 0], error[lags == 0] = np.nan, np.nan
    return value, error, used


def _mean_of_known(blocks: Array) -> Array:
    known = np.isfinite(blocks)
    return np.asarray(np.nansum(blocks, axis=0) / np.maximum(known.sum(axis=0), 1))


def naive_time_constants(rows: CountRows) -> Array:
    """What an exponential fitted to the autocorrelation of counts says, s, (unit,).

    The mean count is taken off, and the first lag on is fitted, as is usual.
    """
    lengths = np.diff(rows.edges)
    n_lags = int(min(max(lengths) - 1, _N_LAGS_FITTED))
    found = np.full(rows.n_units, np.nan)
    if n_lags < 4:
        return found
    lag = np.arange(1, n_lags + 1)
    for k in range(rows.n_units):
        seen = rows.observed[:, k]
        rest = seen * (rows.counts[:, k] - rows.counts[:, k].sum() / max(seen.sum(), 1))
        total, n = np.zeros(n_lags), np.zeros(n_lags)
        for a, b in zip(rows.edges[:-1], rows.edges[1:], strict=True):
            size = next_fast_len(b - a + n_lags, real=True)
            reach = min(n_lags, b - a - 1)
            whole = bool(seen[a:b].all())
            n[:reach] += (b - a - lag[:reach]) if whole else 0
            for out, of in ((total, rest),) if whole else ((total, rest), (n, seen)):
                power = irfft(np.abs(rfft(of[a:b], size)) ** 2, size)
                out[:reach] += power[1 : reach + 1]
        variance = max(float(np.sum(rest**2) / max(seen.sum(), 1)), 1e-12)
        curve = total / np.maximum(n, 1) / variance
        try:
            (_, tau), _ = curve_fit(
                lambda t, a, tau: a * np.exp(-t / tau), lag, curve,
                p0=(max(curve[0], 1e-3), 10.0), maxfev=2000,
                bounds=([0.0, 0.1], [2.0, 100.0 * n_lags]),
            )  # fmt: skip
        except (RuntimeError, ValueError):
            continue
        found[k] = tau * rows.dt
    return found
