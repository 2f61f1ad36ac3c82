"""Exact segmentation of a trace into stretches with a rise and a decay, over candidate frames.

Optimal partitioning: least squares in every stretch plus a penalty per stretch, with the pruning
of Killick, Fearnhead & Eckley 2012, JASA 107:1590, doi:10.1080/01621459.2012.737745. Stretches
start only at candidates, frames where a local test sees an event; silences then cost little.
"""

import numpy as np
from numba import njit

#: What has decayed to this counts as nothing, long before numbers lose digits and speed.
_NOTHING = 1e-100


# Sums may be taken in any order; what is not a number still counts as such.
@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def filter_response(y, shape, before):
    """Response of one filter around every frame.

    Parameters
    ----------
    y : (n,), in units of the noise sd; NaN where a frame is missing.
    shape : (length,), of unit norm.
    before : frames of the filter before the frame it speaks of.

    Returns
    -------
    score : (n,), in noise sd; NaN where the filter meets a missing frame, -inf where it reaches
        beyond the trace.
    """
    n, length = len(y), len(shape)
    score = np.full(n, -np.inf)
    for t in range(before, n - length + before + 1):
        total = 0.0
        for i in range(length):
            total += shape[i] * y[t - before + i]
        score[t] = total
    return score


@njit(cache=True, nogil=True)
def find_candidates(y, filters, before_frames, lengths, threshold):
    """Frames in which an event may start: beside a peak of the response of any filter.

    Parameters
    ----------
    y : (n,), in units of the noise sd; NaN where a frame is missing.
    filters : (filter, longest), each of unit norm, padded with 0.
    before_frames, lengths : (filter,), see `filter_response`.
    threshold : noise sd.

    Returns
    -------
    is_candidate : (n,), bool
    """
    n = len(y)
    is_candidate = np.zeros(n, np.bool_)
    for f in range(len(lengths)):
        score = filter_response(y, filters[f, : lengths[f]], before_frames[f])
        # A long filter sees an event from afar: its peak is looked for over more frames.
        reach = max(1, before_frames[f] // 3)
        for t in range(n):
            s = score[t]
            if not s > threshold:
                continue
            is_peak = True
            for u in range(max(t - reach, 0), min(t + reach + 1, n)):
                # Beside a missing frame there is no neighbour to be higher.
                if score[u] > s:
                    is_peak = False
                    break
            if is_peak:
                is_candidate[max(t - 1, 0) : t + 2] = True
    return is_candidate


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
    base, costs = np.zeros(cap), np.zeros(cap)
    # Per active start: p, q, pp, pq, qq, py, qy, yy.
    sums = np.zeros((cap, 8))
    parent = np.full(n + 1, -1, np.int64)
    n_active = 1
    base[0] = -penalty
    sums[0, 0] = 1.0
    sums[0, 1] = 1.0
    # Sums of the frames since the last candidate, for a decay and a rise of 1 at its first frame.
    p, q = 1.0, 1.0 if rho >= 0.0 else 0.0
    pp, pq, qq, py, qy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(n + 1):
        if t == n or (t > 0 and is_candidate[t]):
            best, who = np.inf, 0
            for j in range(n_active):
                one, two = sums[j, 0], sums[j, 1]
                sums[j, 2] += one * one * pp
                sums[j, 3] += one * two * pq
                sums[j, 4] += two * two * qq
                sums[j, 5] += one * py
                sums[j, 6] += two * qy
                sums[j, 7] += yy
                sums[j, 0] = one * p
                sums[j, 1] = two * q
                costs[j] = base[j] + _half_squares(sums[j], rho)
                if costs[j] < best:
                    best, who = costs[j], j
            p, q = 1.0, 1.0 if rho >= 0.0 else 0.0
            pp, pq, qq, py, qy, yy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            parent[t] = begin[who]
            value = best + penalty
            if t == n:
                break
            kept = 0
            for j in range(n_active):
                if costs[j] < value:
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
                costs = np.zeros(cap)
            begin[n_active] = t
            base[n_active] = value
            for c in range(8):
                sums[n_active, c] = 0.0
            sums[n_active, 0] = 1.0
            sums[n_active, 1] = 1.0
            n_active += 1
        value = y[t]
        if not np.isnan(value):
            pp += p * p
            py += p * value
            yy += value * value
            if q > 0.0:
                pq += p * q
                qq += q * q
                qy += q * value
        p = p * gamma if p > _NOTHING else 0.0
        q = q * rho if q > _NOTHING else 0.0
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
