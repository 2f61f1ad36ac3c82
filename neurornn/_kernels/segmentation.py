"""Exact segmentation of a trace into exponential decays that start with a jump upward.

Minimises ``1/2 sum (y_t - c_t)^2 + penalty * #{t : c_t > gamma c_{t-1}}`` over all calcium traces
with ``c_t >= gamma c_{t-1}`` and ``c_0 >= 0``. The dynamic programme keeps, for every frame, the
optimal cost as a function of the calcium in that frame, a piecewise quadratic.

References
----------
Jewell & Witten 2018, Annals of Applied Statistics 12:2457, doi:10.1214/18-AOAS1162;
Jewell, Hocking, Fearnhead & Witten 2020, Biostatistics 21:709, doi:10.1093/biostatistics/kxy083.
"""

import numpy as np
from numba import njit

# Calcium below this (in units of the noise sd) is treated as none: pieces of the cost function
# shrink by gamma in every frame and would underflow in a long silence.
_FLOOR = 1e-6


@njit(cache=True, nogil=True)
def find_jumps(y, gamma, penalty):
    """Frames at which the optimal trace jumps.

    Parameters
    ----------
    y : (n,), in units of the noise sd, baseline removed; NaN where a frame is missing.
    gamma : decay of one frame, ``exp(-dt / tau)``.
    penalty : cost of a jump, ``q**2 / 2`` for a jump that must stand out by q noise sd.

    Returns
    -------
    jumps : (m,), int64, increasing; frame 0 never counts.
    cost : the optimum.
    """
    n = len(y)
    cap = 64
    lo, hi = np.empty(cap), np.empty(cap)
    qa, qb, qc = np.empty(cap), np.empty(cap), np.empty(cap)
    label = np.empty(cap, np.int64)
    nlo, nhi = np.empty(cap), np.empty(cap)
    nqa, nqb, nqc = np.empty(cap), np.empty(cap), np.empty(cap)
    nlabel = np.empty(cap, np.int64)
    node_time = np.empty(4 * n + 64, np.int64)
    node_parent = np.empty(4 * n + 64, np.int64)
    n_nodes = 0

    first = 0.0 if np.isnan(y[0]) else y[0]
    weight = 0.0 if np.isnan(y[0]) else 0.5
    lo[0], hi[0] = 0.0, np.inf
    qa[0], qb[0], qc[0] = weight, -2 * weight * first, weight * first * first
    label[0] = -1
    n_pieces = 1

    for t in range(1, n):
        # Carry the cost over one frame of decay, joining all that has decayed to nothing.
        kept = 0
        floor_cost, floor_label = np.inf, -1
        for p in range(n_pieces):
            lo[p] *= gamma
            hi[p] *= gamma
            qa[p] /= gamma * gamma
            qb[p] /= gamma
            if hi[p] <= _FLOOR:
                cost, _ = _least(qa[p], qb[p], qc[p], lo[p], hi[p])
                if cost < floor_cost:
                    floor_cost, floor_label = cost, label[p]
                kept = p + 1
        if kept > 0:
            start = kept - 1
            lo[start], hi[start] = 0.0, _FLOOR
            qa[start], qb[start], qc[start] = 0.0, 0.0, floor_cost
            label[start] = floor_label
            if kept < n_pieces:
                lo[kept] = _FLOOR
        else:
            start = 0

        # Allow a jump: at any calcium the alternative is the least cost at less calcium + penalty.
        m, m_label = np.inf, -1
        jump_parent, jump_node = -2, -1
        k = 0
        for p in range(start, n_pieces):
            if k + 4 >= cap:
                cap *= 2
                lo, hi, nlo, nhi = _grow(lo), _grow(hi), _grow(nlo), _grow(nhi)
                qa, qb, qc = _grow(qa), _grow(qb), _grow(qc)
                nqa, nqb, nqc = _grow(nqa), _grow(nqb), _grow(nqc)
                label, nlabel = _grow_int(label), _grow_int(nlabel)
            a, b, c, left, right = qa[p], qb[p], qc[p], lo[p], hi[p]
            cost, where = _least(a, b, c, left, right)
            # Left of the vertex: too dear where it exceeds what was reached with less calcium.
            from_here = left
            if m < np.inf:
                limit = m + penalty
                if cost > limit:
                    from_here = right
                elif a * left * left + b * left + c > limit:
                    root = _root(a, b, c - limit, -1.0)
                    from_here = min(max(root, left), where)
                if from_here > left:
                    if jump_parent != m_label:
                        if n_nodes + 1 >= len(node_time):
                            node_time = _grow_int(node_time)
                            node_parent = _grow_int(node_parent)
                        node_time[n_nodes], node_parent[n_nodes] = t, m_label
                        jump_parent, jump_node = m_label, n_nodes
                        n_nodes += 1
                    if k > 0 and nlabel[k - 1] == jump_node and nqa[k - 1] == 0.0:
                        nhi[k - 1] = from_here
                    else:
                        nlo[k], nhi[k] = left, from_here
                        nqa[k], nqb[k], nqc[k] = 0.0, 0.0, limit
                        nlabel[k] = jump_node
                        k += 1
            if from_here >= right:
                continue
            if cost < m:
                m, m_label = cost, label[p]
            # Right of the vertex: too dear where it exceeds the least cost so far.
            limit = m + penalty
            until = right
            if a > 0.0:
                root = _root(a, b, c - limit, 1.0)
                until = min(max(root, max(where, from_here)), right)
            elif c > limit:
                until = from_here
            if until > from_here:
                nlo[k], nhi[k] = from_here, until
                nqa[k], nqb[k], nqc[k] = a, b, c
                nlabel[k] = label[p]
                k += 1
            if until < right:
                if jump_parent != m_label:
                    if n_nodes + 1 >= len(node_time):
                        node_time = _grow_int(node_time)
                        node_parent = _grow_int(node_parent)
                    node_time[n_nodes], node_parent[n_nodes] = t, m_label
                    jump_parent, jump_node = m_label, n_nodes
                    n_nodes += 1
                nlo[k], nhi[k] = until, right
                nqa[k], nqb[k], nqc[k] = 0.0, 0.0, limit
                nlabel[k] = jump_node
                k += 1

        # Add the cost of this frame, unless it is missing.
        if np.isnan(y[t]):
            w, value = 0.0, 0.0
        else:
            w, value = 0.5, y[t]
        for p in range(k):
            lo[p], hi[p] = nlo[p], nhi[p]
            qa[p] = nqa[p] + w
            qb[p] = nqb[p] - 2 * w * value
            qc[p] = nqc[p] + w * value * value
            label[p] = nlabel[p]
        n_pieces = k

    best, best_label = np.inf, -1
    for p in range(n_pieces):
        cost, _ = _least(qa[p], qb[p], qc[p], lo[p], hi[p])
        if cost < best:
            best, best_label = cost, label[p]
    count = 0
    node = best_label
    while node >= 0:
        count += 1
        node = node_parent[node]
    jumps = np.empty(count, np.int64)
    node = best_label
    for i in range(count - 1, -1, -1):
        jumps[i] = node_time[node]
        node = node_parent[node]
    return jumps, best


@njit(cache=True, nogil=True, inline="always")
def _least(a, b, c, left, right):
    """Least value of a quadratic on an interval, and where it is reached."""
    if a <= 0.0:
        return c + b * left, left
    where = min(max(-b / (2 * a), left), right)
    return a * where * where + b * where + c, where


@njit(cache=True, nogil=True, inline="always")
def _root(a, b, c, sign):
    """Root of ``a x^2 + b x + c`` on the side given, from the form without cancellation."""
    inside = b * b - 4 * a * c
    if inside <= 0.0 or a <= 0.0:
        return -b / (2 * a) if a > 0.0 else np.inf
    root = np.sqrt(inside)
    if sign > 0:
        return (-b + root) / (2 * a) if b <= 0 else 2 * c / (-b - root)
    return 2 * c / (-b + root) if b <= 0 else (-b - root) / (2 * a)


@njit(cache=True, nogil=True)
def _grow(array):
    bigger = np.empty(2 * len(array))
    bigger[: len(array)] = array
    return bigger


@njit(cache=True, nogil=True)
def _grow_int(array):
    bigger = np.empty(2 * len(array), np.int64)
    bigger[: len(array)] = array
    return bigger
