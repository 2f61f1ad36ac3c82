"""Spikes as numbers for a regression: filtered past, time since spikes, pieces between them."""

import numpy as np
from numba import njit

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_LOOPS)
def add_past(rows, first_row, spikes, basis, out):
    """Add to rows what past spikes leave there.

    Parameters
    ----------
    rows : (row,), bins asked for, rising.
    first_row : (row,), first bin of the gapless run of each.
    spikes : (spike,), bins of the spikes of one source, rising.
    basis : (lag, value), what a spike leaves 1, 2, ... bins later.
    out : (row, value), added to.
    """
    n_lags, n_values = basis.shape
    low = high = 0
    for i in range(len(rows)):
        k = rows[i]
        oldest = max(k - n_lags, first_row[i])
        while high < len(spikes) and spikes[high] < k:
            high += 1
        while low < high and spikes[low] < oldest:
            low += 1
        for j in range(low, high):
            lag = k - spikes[j] - 1
            for m in range(n_values):
                out[i, m] += basis[lag, m]


@njit(**_LOOPS)
def traces_of(times, first_spike, at, n_before, taus, out):
    r"""Sum ``exp(-age / tau)`` over past spikes at given times, with derivatives by ``log tau``.

    Parameters
    ----------
    times : (spike,), s, rising.
    first_spike : (point,), first spike of the gapless run of each point.
    at : (point,), s, rising.
    n_before : (point,), spikes of the unit before each point.
    taus : (exponential,), s.
    out : (point, exponential, 3), the sum, its first and its second derivative; replaced.
    """
    n_exp = len(taus)
    sums = np.zeros((n_exp, 3))
    done, since, begun = 0, 0.0, -1
    for i in range(len(at)):
        if first_spike[i] != begun:
            begun = first_spike[i]
            done = begun
            sums[:] = 0.0
            since = at[i]
        # Age all to each spike in turn, then to the point.
        while True:
            more = done < n_before[i]
            then = times[done] if more else at[i]
            age = then - since
            for m in range(n_exp):
                x = age / taus[m]
                fade = np.exp(-x)
                zero, one, two = sums[m, 0], sums[m, 1], sums[m, 2]
                sums[m, 0] = zero * fade
                sums[m, 1] = (one + zero * x) * fade
                sums[m, 2] = (two + 2.0 * one * x + zero * x * x) * fade
            since = then
            if not more:
                break
            for m in range(n_exp):
                sums[m, 0] += 1.0
            done += 1
        for m in range(n_exp):
            out[i, m, 0] = sums[m, 0]
            out[i, m, 1] = sums[m, 1]
            out[i, m, 2] = sums[m, 2] - sums[m, 1]


@njit(**_LOOPS)
def cut_pieces(starts, stamps, run, spike_rows, times, dead_time, row, begin, end, n_before):
    """Cut bins at spikes and at ends of the dead time, and leave out what is dead.

    Parameters
    ----------
    starts, stamps : (row,), s, where each bin begins and ends.
    run : (row,), number of the gapless run of each bin.
    spike_rows, times : (spike,), bins and times (s) of the spikes of a unit, rising.
    dead_time : s, after every spike.
    row, begin, end, n_before : (piece,), room for bin, ends (s), and spikes before each piece.

    Returns
    -------
    n_pieces : that were written.
    """
    n = spike = 0
    dead_until = -np.inf
    for k in range(len(starts)):
        if k and run[k] != run[k - 1]:
            dead_until = -np.inf
        now = starts[k]
        while True:
            here = spike < len(times) and spike_rows[spike] == k
            until = times[spike] if here else stamps[k]
            alive = max(now, dead_until)
            if until > alive:
                row[n] = k
                begin[n] = alive
                end[n] = until
                n_before[n] = spike
                n += 1
            if not here:
                break
            now = until
            dead_until = until + dead_time
            spike += 1
    return n


@njit(**_LOOPS)
def draw_counts(log_mean, filters, pending, bernoulli, most, rng):
    """Draw counts bin by bin from ``exp(log_mean + filtered past)`` as mean, or as hazard.

    Parameters
    ----------
    log_mean : (bin, unit), log of the expected count without any past.
    filters : (target, source, lag), log gain so many bins after a spike, from the next bin on.
    pending : (lag, unit), what past spikes hold ready. Replaced.
    bernoulli : at most one spike in a bin.
    most : spikes after which drawing stops.
    rng : Generator.

    Returns
    -------
    row, owner : (spike,), in the order of bins; one entry for each spike.
    """
    n_bins, n_units = log_mean.shape
    n_lags = filters.shape[2]
    row = np.empty(1024, np.int64)
    owner = np.empty(1024, np.int64)
    n = 0
    for k in range(n_bins):
        slot = k % n_lags if n_lags else 0
        before = n
        for i in range(n_units):
            level = log_mean[k, i] + (pending[slot, i] if n_lags else 0.0)
            mean = np.exp(min(level, 20.0))
            if bernoulli:
                c = 1 if rng.random() < -np.expm1(-mean) else 0
            else:
                # Intervals of rate 1 until the mean is used up.
                c = 0
                used = rng.standard_exponential()
                while used < mean:
                    c += 1
                    used += rng.standard_exponential()
            for _ in range(c):
                if n == len(row):
                    row = np.concatenate((row, np.empty(n, np.int64)))
                    owner = np.concatenate((owner, np.empty(n, np.int64)))
                row[n] = k
                owner[n] = i
                n += 1
            if n >= most:
                return row[:n], owner[:n]
        if n_lags:
            for i in range(n_units):
                pending[slot, i] = 0.0
            for s in range(before, n):
                for lag in range(n_lags):
                    ahead = (slot + 1 + lag) % n_lags
                    for i in range(n_units):
                        pending[ahead, i] += filters[i, owner[s], lag]
    return row[:n], owner[:n]


@njit(**_LOOPS)
def follow(
    x, y, kind, weights, covariance, keep, largest, bernoulli, fired, passed, fade, stretched, mean
):
    """Expected counts row by row, each from what came before it alone, learning on the way.

    Parameters
    ----------
    x : (row, column); y : (row,), counts.
    kind : (row,), 0 for a row that follows the one before it, 1 for one that begins a run, 2 for
        one that nobody saw: nothing is learned of it.
    weights, covariance : (column,) and (column, column), where to begin. Replaced.
    keep : share of what is known that a row keeps; 1 for weights that stay as they are and are
        not learned.
    largest : trace of the covariance above which nothing more is forgotten.
    bernoulli : a bin holds one spike at most.
    fired, passed : (class,), spikes that fell into, and hazard that passed through, each class of
        the time since a spike, stretched by the rate. Replaced. Of length 0 for no correction.
    fade : share of both that a row keeps.
    stretched : time since the last spike, stretched by the rate; below 0 where no spike is known,
        which goes without correction.
    mean : (row,), the expected count, or the hazard of the bin. Replaced.

    Returns
    -------
    stretched : behind the last row.
    """
    n, p = x.shape
    n_classes = len(fired)
    px = np.empty(p)
    for k in range(n):
        level = 0.0
        for i in range(p):
            level += x[k, i] * weights[i]
        plain = np.exp(max(min(level, 4.0), -30.0))
        hazard = plain
        own = 0
        if kind[k] > 0:
            stretched = -1.0
        corrects = n_classes > 0 and stretched >= 0.0
        if corrects:
            own = int((1.0 - np.exp(-(stretched + 0.5 * plain))) * n_classes)
            own = min(own, n_classes - 1)
            hazard = plain * fired[own] / passed[own]
        mean[k] = hazard
        if kind[k] == 2:
            continue
        if corrects:
            # Spikes of a bin that fired, as many as are expected there (EM).
            came = y[k]
            if bernoulli and y[k] > 0:
                came = hazard / -np.expm1(-hazard)
            for m in range(n_classes):
                if fade < 1.0:
                    fired[m] *= fade
                    passed[m] *= fade
            fired[own] += came
            passed[own] += plain
            stretched += plain
        if y[k] > 0:
            stretched = 0.0
        if keep >= 1.0:
            continue
        score = y[k] - plain
        known = plain
        if bernoulli:
            known = plain * plain / np.expm1(plain) if plain > 1e-6 else plain
            score = known / plain if y[k] > 0 else -plain
        spread = 0.0
        for i in range(p):
            s = 0.0
            for j in range(p):
                s += covariance[i, j] * x[k, j]
            px[i] = s
            spread += x[k, i] * s
        gain = 1.0 / (1.0 + known * spread)
        # One bin moves its own level by a factor of e at most.
        move = abs(spread * gain * score)
        score = score / move if move > 1.0 else score
        trace = 0.0
        for i in range(p):
            trace += covariance[i, i]
        more = 1.0 / keep if trace < largest else 1.0
        for i in range(p):
            weights[i] += px[i] * gain * score
            for j in range(p):
                covariance[i, j] = (covariance[i, j] - known * gain * px[i] * px[j]) * more
    return stretched
