"""Spikes of neurons with a past: thinning in exact time, bin after bin."""

import numpy as np
from numba import njit

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_LOOPS)
def draw_spikes(
    log_rate, filters, amplitudes, taus, dead_time, last, traces, pending, bin_size, most, rng
):
    """Draw spikes whose rate in bin k is ``exp(log_rate + filters + exponentials)``.

    Parameters
    ----------
    log_rate : (bin, unit) or (1, unit), log of Hz without any past.
    filters : (target, source, lag), log gain so many bins after a spike, from the next bin on.
    amplitudes, taus : (unit, exponential): log gain at a spike of one's own, and s to 1/e of it.
    dead_time : (unit,), s after a spike without a second one.
    last : (unit,), s, of the last spike before the first bin; -inf for none. Replaced.
    traces : (unit, exponential), sum of ``exp(-age / tau)`` over past spikes at 0 s. Replaced.
    pending : (lag, unit), log gain that past spikes hold ready for the bins to come. Replaced.
    bin_size : s.
    most : spikes after which drawing stops: a gain that feeds itself.
    rng : Generator.

    Returns
    -------
    times (s), owner : (spike,), in the order of bins; fewer than `most` unless drawing stopped.
    """
    n_units, n_exp = amplitudes.shape
    n_lags = filters.shape[2]
    n_bins = log_rate.shape[0]
    times = np.empty(1024)
    owner = np.empty(1024, np.int64)
    count = np.zeros(n_units, np.int64)
    # Traces are held at the time of `since`, and decay from there.
    since = np.zeros(n_units)
    n = 0
    for k in range(n_bins):
        begin, end = k * bin_size, (k + 1) * bin_size
        slot = k % n_lags if n_lags else 0
        for i in range(n_units):
            base = log_rate[k, i]
            if n_lags:
                base += pending[slot, i]
            count[i] = 0
            now = begin
            while True:
                # A bound until the end of the bin: what excites only fades.
                ready = last[i] + dead_time[i]
                if ready > now:
                    now = ready
                if now >= end:
                    break
                bound = base
                for m in range(n_exp):
                    if amplitudes[i, m] > 0:
                        size = traces[i, m] * np.exp(-(now - since[i]) / taus[i, m])
                        bound += amplitudes[i, m] * size
                now += rng.standard_exponential() / np.exp(bound)
                if not now < end:
                    break
                level = base
                for m in range(n_exp):
                    size = traces[i, m] * np.exp(-(now - since[i]) / taus[i, m])
                    level += amplitudes[i, m] * size
                if rng.random() >= np.exp(level - bound):
                    continue
                for m in range(n_exp):
                    decayed = traces[i, m] * np.exp(-(now - since[i]) / taus[i, m])
                    traces[i, m] = decayed + 1.0
                since[i] = now
                last[i] = now
                count[i] += 1
                if n == len(times):
                    times = np.concatenate((times, np.empty(n)))
                    owner = np.concatenate((owner, np.empty(n, np.int64)))
                times[n] = now
                owner[n] = i
                n += 1
                if n >= most:
                    return times[:n], owner[:n]
        if n_lags:
            for i in range(n_units):
                pending[slot, i] = 0.0
            for j in range(n_units):
                if count[j]:
                    for lag in range(n_lags):
                        ahead = (slot + 1 + lag) % n_lags
                        for i in range(n_units):
                            pending[ahead, i] += count[j] * filters[i, j, lag]
    for i in range(n_units):
        for m in range(n_exp):
            traces[i, m] *= np.exp(-(n_bins * bin_size - since[i]) / taus[i, m])
    return times[:n], owner[:n]
