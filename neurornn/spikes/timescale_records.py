"""What the fit of one set of counts comes to, as arrays that a table is made of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from neurornn._core.confidence import delta_interval
from neurornn._core.errors import DataError
from neurornn._core.status import Status
from neurornn.spikes.count_moments import expected_counts, log_covariance, pair_weights
from neurornn.spikes.latent_likelihood import CountRows
from neurornn.spikes.linear_latents import LinearLatents, LinearTop, start_of
from neurornn.spikes.timescale_fit import (
    NO_TOP,
    TOO_FAST,
    TOO_SLOW,
    TOO_WEAK,
    VAGUE,
    Found,
    fit_one,
)

Array = NDArray[np.float64]

#: Points of the curve that is shown, and how far it reaches, in time constants.
_N_LAGS, _REACH = 40, 4.0
#: Without a time constant the curve reaches so far, s.
_PLAIN_REACH = 1.0
#: Share of a bin that dead times leave in any case: spikes may be closer than they should.
_LEAST_LEFT = 0.05
#: Share of bins with spikes that may hold more than a dead time allows: sorting is not perfect.
_MOST_CROWDED = 0.05
#: Of the curve of the usual way, at lag 0 over that at the first lag, log.
_MOST_LOG = 20.0
#: Longest time constant, in lengths of the longest run.
_SLOWEST = 20.0


def fit_units(
    counts: Array, start: int, edges: NDArray[np.int64], dt: float, numbers: list[int],
    oscillation: bool, level: float, refractory_period: float, seed: int,
) -> dict[str, Array]:  # fmt: skip
    """Fit units one by one, (row, unit), as `fit_counts` does; `start` is the first's number."""
    found = [
        fit_counts(
            counts[:, [k]],
            edges,
            dt,
            numbers,
            oscillation,
            level,
            refractory_period,
            seed + start + k,
        )
        for k in range(counts.shape[1])
    ]
    return {name: np.concatenate([f[name] for f in found]) for name in found[0]}


def fit_counts(
    counts: Array, edges: NDArray[np.int64], dt: float, numbers: list[int], oscillation: bool,
    level: float, refractory_period: float, seed: int,
) -> dict[str, Array]:  # fmt: skip
    """Fit the time constants of counts, (row, unit), NaN where none was observed.

    Parameters
    ----------
    counts : (row, unit).
    edges : (run + 1,), first row of each run, and the number of rows.
    dt : s, of a row.
    numbers : of time constants, the best of which is taken.
    oscillation : two latents more, which turn into one another.
    level : confidence level.
    refractory_period : s, after each spike in which its unit cannot fire again.
    seed : of the draws.

    Returns
    -------
    Arrays with a leading axis of length 1, and room for the most time constants of `numbers`.
    """
    rows = as_rows(counts, edges, dt)
    if refractory_period > 0:
        rows = with_dead_time(rows, refractory_period)
    one = fit_one(rows, level=level, rng=np.random.default_rng(seed))
    n_most = max(numbers) + 2 * oscillation
    out = _of_one(one, n_most, rows.n_units)
    bic = np.full(max(numbers), np.nan)
    if one.status == Status.OK and (numbers != [1] or oscillation):
        out |= _of_several(one, numbers, oscillation, level, n_most, bic)
    known = np.isfinite(bic)
    weight = np.where(known, np.exp(-(bic - (bic[known].min() if known.any() else 0.0))), np.nan)
    out |= {"bic": bic, "weight": weight / np.nansum(weight) if known.any() else weight}
    out |= _curves(one, out, dt=dt, level=level, alone=rows.n_units == 1)
    return {name: np.asarray(value)[None] for name, value in out.items()}


def as_rows(counts: Array, edges: NDArray[np.int64], dt: float) -> CountRows:
    """Counts as the likelihood takes them; what was not observed is a pattern of its own."""
    known = np.isfinite(counts)
    n_units = counts.shape[1]
    if known.all():
        pattern, patterns = np.zeros(len(counts), dtype=np.int64), np.ones((1, n_units))
    else:
        _, first, pattern = np.unique(
            np.packbits(known, axis=1), axis=0, return_index=True, return_inverse=True
        )
        patterns, pattern = known[first].astype(float), pattern.ravel().astype(np.int64)
        counts = np.where(known, counts, 0.0)
    return CountRows(
        np.ascontiguousarray(counts), np.asarray(edges, dtype=np.int64), dt, pattern, patterns,
        np.zeros_like(patterns),
    )  # fmt: skip


def with_dead_time(rows: CountRows, refractory_period: float) -> CountRows:
    """Say which part of each row its spikes, and those of the row before, leave to a unit.

    The likelihood of a dead time is that of a Poisson process over the time in which it could fire
    (Truccolo et al. 2005, doi:10.1152/jn.00697.2004). Where in a row its spikes were is not
    known: n of them share what the dead times between them leave as n even draws would, and of
    the last dead time a part reaches beyond the row.
    """
    counts = rows.counts
    crowded = (counts > 1) & ((counts - 1) * refractory_period >= rows.dt)
    share = crowded.sum(axis=0) / np.maximum((counts > 0).sum(axis=0), 1)
    if share.max() > _MOST_CROWDED:
        raise DataError(
            f"{100 * share.max():.0f} % of the bins in which a unit fired hold more spikes than "
            f"a dead time of {refractory_period:g} s allows in {rows.dt:g} s",
            f"At most {100 * _MOST_CROWDED:.0f} % were needed",
            "Pass a shorter refractory_period: intervals between spikes show how long it is",
        )
    free = np.maximum(rows.dt - np.maximum(counts - 1, 0) * refractory_period, 0.0)
    within = np.minimum(refractory_period, free)
    # Mean of what is left of the row after the last spike, and no more than a dead time of it.
    share = 1 - (1 - within / np.maximum(free, 1e-12)) ** (counts + 1)
    last = np.where(counts > 0, free / (counts + 1) * share, 0.0)
    lost = np.where(counts > 0, (counts - 1) * refractory_period + last, 0.0)
    beyond = np.where(counts > 0, refractory_period - last, 0.0)
    # What the last spike of a run blocks is not of the next run.
    beyond[rows.edges[1:] - 1] = 0.0
    lost[1:] += beyond[:-1]
    lost = np.minimum(lost / rows.dt, 1 - _LEAST_LEFT)
    if rows.n_units > 1:
        return rows._replace(lost=lost)
    # For one unit there are few kinds of rows.
    both, first, pattern = np.unique(
        np.stack([rows.pattern.astype(float), lost[:, 0].round(9)]), axis=1, return_index=True,
        return_inverse=True,
    )  # fmt: skip
    old = rows.pattern[first]
    return rows._replace(
        pattern=pattern.ravel(), known=rows.known[old],
        offset=rows.offset[old] + np.log1p(-both[1])[:, None], apart=True,
    )  # fmt: skip


def _of_one(one: Found, n_most: int, n_units: int) -> dict[str, Any]:
    def room(*more: int) -> Array:
        return np.full((n_most, *more), np.nan)

    out: dict[str, Any] = {
        "tau": room(), "tau_ci": room(2), "amplitude": room(), "amplitude_ci": room(2),
        "frequency": room(), "frequency_ci": room(2),
        "loading": np.full((n_units, n_most), np.nan),
        "covariance": np.full((n_most, n_most), np.nan),
    }  # fmt: skip
    out["tau"][0], out["tau_ci"][0] = one.tau, one.tau_ci
    out["amplitude"][0], out["amplitude_ci"][0] = one.amplitude, one.amplitude_ci
    out["loading"][:, 0] = one.loading
    out["covariance"][0, 0] = one.variance
    return out | {"naive_tau": one.naive_tau, "chance": one.chance, "status": one.status}


def _of_several(
    one: Found, numbers: list[int], oscillation: bool, level: float, n_most: int, bic: Array
) -> dict[str, Any]:
    """Fit each number of time constants, take the best, and say so in `bic`."""
    rows, kept = one.rows, one.kept
    assert rows is not None and kept is not None
    counts = np.where(rows.known[rows.pattern] > 0, rows.counts, np.nan)
    slowest = _SLOWEST * float(np.diff(rows.edges).max()) * rows.dt
    offset = rows.offset[rows.pattern]
    if rows.lost is not None:
        offset = offset + np.log1p(-rows.lost)
    best: tuple[LinearLatents, LinearTop] | None = None
    least = np.inf
    for number in numbers:
        n = number + 2 * oscillation
        pairs = [(n - 1, n - 2)] if oscillation else []
        model = LinearLatents(counts, rows.edges, rows.dt, n, rotations=pairs, offset=offset)
        tau, level0, loading = start_of(counts, rows.edges, rows.dt, n)
        dynamics = np.concatenate([-np.log(tau), [2 * np.pi * _first_frequency(rows)]
                                   if oscillation else []])  # fmt: skip
        top = model.climb(dynamics, level0, loading, slowest=slowest)
        size = model.n_dynamics + model.n_units * (1 + n)
        bic[number - 1] = -top.bound + 0.5 * size * np.log(max(rows.counts.sum(), 2.0))
        if bic[number - 1] < least:
            least, best = bic[number - 1], (model, top)
    assert best is not None
    return _read(*best, level, n_most, kept, slowest)


def _first_frequency(rows: CountRows) -> float:
    """Frequency, Hz, at which power times frequency of the counts of all units is largest."""
    longest = int(np.argmax(np.diff(rows.edges)))
    part = slice(*rows.edges[longest : longest + 2].tolist())
    # What was not observed differs in nothing from what is expected.
    rest = (rows.counts - expected_counts(rows))[part]
    frequency, power = welch(rest, 1 / rows.dt, nperseg=min(len(rest), 1024), axis=0)
    power = power.sum(axis=1)
    # A slow latent has its power at 0: times the frequency, what turns stands out.
    return float(frequency[np.argmax(power * frequency)])


def _read(
    model: LinearLatents, top: LinearTop, level: float, n_most: int, kept: NDArray[np.bool_],
    slowest: float,
) -> dict[str, Any]:  # fmt: skip
    """Time constants from short to long, with intervals."""
    n, n_dynamics = model.n, model.n_dynamics
    covariance = model.covariance_of(top, model.wanted(top))
    drift = model.drift(top.dynamics)
    turning = sorted({i for pair in model.pairs for i in pair})
    rate, frequency = np.exp(top.dynamics[:n]), np.full(n, np.nan)
    slope = np.zeros((n, n_dynamics))
    slope[np.arange(n), np.arange(n)] = 1.0
    by_frequency = np.zeros((n, n_dynamics))
    if turning:
        rate[turning], frequency[turning] = _of_pair(drift[np.ix_(turning, turning)])
        h = 1e-5
        for m in range(n_dynamics):
            step = np.zeros(n_dynamics)
            step[m] = h * model.size_of(top.dynamics, m)
            ends = [
                _of_pair(model.drift(top.dynamics + a * step)[np.ix_(turning, turning)])
                for a in (1, -1)
            ]
            slope[turning, m] = (np.log(ends[0][0]) - np.log(ends[1][0])) / (2 * step[m])
            by_frequency[turning, m] = (ends[0][1] - ends[1][1]) / (2 * step[m])
    tau = 1 / rate
    whole = np.zeros((2 * n, n_dynamics + n))
    whole[:n, :n_dynamics] = -slope
    whole[n:, n_dynamics:] = np.eye(n)
    logs = whole @ covariance @ whole.T
    error = np.sqrt(np.maximum(np.diag(logs), 0.0))
    good = bool(np.isfinite(logs).all() and (np.diag(logs) > 0).all())
    amplitude = np.sqrt(np.mean(top.loading**2, axis=0))
    order = np.argsort(tau)
    out: dict[str, Any] = {
        name: np.full((n_most, *more), np.nan)
        for name, more in (("tau", ()), ("tau_ci", (2,)), ("amplitude", ()),
                           ("amplitude_ci", (2,)), ("frequency", ()), ("frequency_ci", (2,)))
    }  # fmt: skip
    out["tau"][:n], out["amplitude"][:n] = tau[order], amplitude[order]
    out["frequency"][:n] = frequency[order]
    if good:
        out["tau_ci"][:n] = delta_interval(tau, tau * error[:n], level, log=True)[order]
        out["amplitude_ci"][:n] = delta_interval(
            amplitude, amplitude * error[n:], level, log=True
        )[order]
        spread = by_frequency @ covariance[:n_dynamics, :n_dynamics] @ by_frequency.T
        out["frequency_ci"][:n] = delta_interval(
            frequency, np.sqrt(np.maximum(np.diag(spread), 0.0)), level
        )[order]
    out["loading"] = np.zeros((len(kept), n_most))
    out["loading"][np.ix_(kept, np.arange(n))] = top.loading[:, order]
    out["covariance"] = np.full((n_most, n_most), np.nan)
    own = logs[np.ix_(order, order)] * np.outer(tau[order], tau[order])
    out["covariance"][:n, :n] = own if good else np.nan
    status = str(Status.OK if top.done and good else NO_TOP)
    vague = out["tau_ci"][:, 1] > VAGUE * out["tau_ci"][:, 0]
    if vague.any():
        out["tau_ci"][vague] = np.nan
        status = TOO_WEAK
    if tau.max() > 0.98 * slowest:
        status = TOO_SLOW
    if tau.min() < model.dt / 4:
        status = TOO_FAST
    return out | {"status": status}


def _of_pair(drift: Array) -> tuple[float, float]:
    """Rate, 1/s, and frequency, Hz, of two latents that turn."""
    value = np.linalg.eigvals(drift)
    return float(value.real.mean()), float(np.abs(value.imag).max() / (2 * np.pi))


def _curves(
    one: Found, out: dict[str, Any], *, dt: float, level: float, alone: bool
) -> dict[str, Array]:
    """Covariance of log rates over lags: of the counts, of the fit, and what is usual."""
    found = np.isfinite(out["tau"])
    # Units that are fitted one by one share their lags.
    reach = _PLAIN_REACH if alone or not found.any() else _REACH * float(np.nanmax(out["tau"]))
    stride = max(1, round(reach / dt / _N_LAGS))
    if one.rows is not None:
        stride = min(stride, max(1, int(np.diff(one.rows.edges).max()) // 2 // _N_LAGS))
    lags = np.arange(_N_LAGS) * stride
    lag = lags * dt
    value, error = np.full(_N_LAGS, np.nan), np.full(_N_LAGS, np.nan)
    fitted, naive = np.full(_N_LAGS, np.nan), np.full(_N_LAGS, np.nan)
    if one.rows is not None and one.kept is not None:
        along = np.nan_to_num(out["loading"][one.kept])
        first = along[:, int(np.argmax(np.nan_to_num(out["amplitude"])))]
        if not np.any(first):
            first = np.ones(len(along))
        here = lags < int(np.diff(one.rows.edges).max()) - 1
        value[here], error[here], used = log_covariance(
            one.rows, first, lags[here], shared=one.shared
        )
        if found.any():
            weight = pair_weights(first[used], shared=one.shared)
            fitted = np.zeros(_N_LAGS)
            for k in np.flatnonzero(found):
                own = np.outer(along[used, k], along[used, k])
                turn = np.cos(2 * np.pi * np.nan_to_num(out["frequency"][k]) * lag)
                fitted += np.sum(own * weight) * np.exp(-lag / out["tau"][k]) * turn
        start = fitted[1] if found.any() else value[1]
        if np.isfinite(one.naive_tau):
            # Before the first lag that is fitted, a fast one would run over.
            naive = start * np.exp(np.minimum(-(lag - lag[1]) / one.naive_tau, _MOST_LOG))
    return {
        "lag": lag, "log_covariance": value, "fitted": fitted, "naive": naive,
        "log_covariance_ci": delta_interval(value, error, level),
    }  # fmt: skip
