"""Exact segmentation of a trace into stretches with a rise and a decay, over candidate frames.

Optimal partitioning: least squares in every stretch plus a penalty per stretch, with the pruning
of Killick, Fearnhead & Eckley 2012, JASA 107:1590, doi:10.1080/01621459.2012.737745. Stretches
start only at candidates, frames where a local test sees an event; silences then cost little.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def local_evidence(y, filters, before_frames, lengths):
    """Largest response of several filters around every frame.

    Parameters
    ----------
    y : (n,), in units of the noise sd; NaN where a frame is missing (a filter that meets one gives
        nothing).
    filters : (filter, longest), each of unit norm, padded with 0.
    before_frames : (filter,), frames of each filter before the frame it speaks of.
    lengths : (filter,)

    Returns
    -------
    score : (n,), in noise sd; -inf where no filter fits.
    """
    n = len(y)
    score = np.full(n, -np.inf)
    for f in range(len(lengths)):
        before, length = before_frames[f], lengths[f]
        for t in range(before, n - length + before + 1):
            total = 0.0
            for i in range(length):
                total += filters[f, i] * y[t - before + i]
            if total > score[t]:
                score[t] = total
    return score


@njit(cache=True, nogil=True)
def find_rises(y, is_candidate, gamma, rho, penalty):
    """Frames at which the optimal trace starts a new stretch.

    Parameters
    ----------
    y : (n,), in units of the noise sd, baseline removed; NaN where a frame is missing.
    is_candidate : (n,), bool.
    gamma, rho : decay and rise of one frame; ``rho < 0`` for no rise.
    penalty : cost of a stretch.

    Returns
    -------
    starts : (m,), int64, increasing; frame 0 never counts.
    """
    n = len(y)
    cap = 256
    begin = np.zeros(cap, np.int64)
    base = np.zeros(cap)
    # Per active start: p, q, pp, pq, qq, py, qy, yy.
    sums = np.zeros((cap, 8))
    parent = np.full(n + 1, -1, np.int64)
    n_active = 1
    base[0] = -penalty
    sums[0, 0] = 1.0
    sums[0, 1] = 1.0
    for t in range(n + 1):
        if t == n or (t > 0 and is_candidate[t]):
            best, who = np.inf, 0
            for j in range(n_active):
                cost = base[j] + _half_squares(sums[j], rho)
                if cost < best:
                    best, who = cost, j
            parent[t] = begin[who]
            value = best + penalty
            if t == n:
                break
            kept = 0
            for j in range(n_active):
                if base[j] + _half_squares(sums[j], rho) < value:
                    if kept != j:
                        begin[kept] = begin[j]
                        base[kept] = base[j]
                        for c in range(8):
                            sums[kept, c] = sums[j, c]
                    kept += 1
            n_active = kept
            if n_active == cap:
                cap *= 2
                bigger_begin, bigger_base = np.zeros(cap, np.int64), np.zeros(cap)
                bigger = np.zeros((cap, 8))
                bigger_begin[:n_active] = begin[:n_active]
                bigger_base[:n_active] = base[:n_active]
                bigger[:n_active] = sums[:n_active]
                begin, base, sums = bigger_begin, bigger_base, bigger
            begin[n_active] = t
            base[n_active] = value
            for c in range(8):
                sums[n_active, c] = 0.0
            sums[n_active, 0] = 1.0
            sums[n_active, 1] = 1.0
            n_active += 1
        value = y[t]
        seen = not np.isnan(value)
        for j in range(n_active):
            p, q = sums[j, 0], sums[j, 1]
            if seen:
                sums[j, 2] += p * p
                sums[j, 3] += p * q
                sums[j, 4] += q * q
                sums[j, 5] += p * value
                sums[j, 6] += q * value
                sums[j, 7] += value * value
            sums[j, 0] = p * gamma
            sums[j, 1] = q * rho
    count, t = 0, n
    while parent[t] > 0:
        t = parent[t]
        count += 1
    starts = np.empty(count, np.int64)
    t = n
    for k in range(count - 1, -1, -1):
        t = parent[t]
        starts[k] = t
    return starts


@njit(cache=True, nogil=True, inline="always")
def _half_squares(s, rho):
    """Half the residual sum of squares of a stretch from its running sums."""
    if s[2] <= 0.0:
        return 0.0
    square = s[7] - s[5] * s[5] / s[2]
    if rho >= 0.0:
        rest = s[4] - s[3] * s[3] / s[2]
        if rest > 1e-10 * s[4]:
            ry = s[6] - s[3] / s[2] * s[5]
            square -= ry * ry / rest
    return 0.5 * square
