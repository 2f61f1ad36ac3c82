"""Smoothing of a linear state from evidence of each row, and what counts tell of it."""

import numpy as np
from numba import njit

from neurornn._kernels.filtering import kalman_covariance, kalman_mean, solve_in_place


@njit(cache=True, nogil=True)
def smooth(transition, process, information, evidence, edges):
    """Mean and covariance of a state of stationary covariance 1, given all rows of its run.

    Parameters
    ----------
    transition, process : (state, state), ``x' = A x + noise of covariance W``, ``A A' + W = I``.
    information : (row, state, state), ``H' R^-1 H`` of each row; zeros where nothing was seen.
    evidence : (row, state), ``H' R^-1 y``.
    edges : (run + 1,), first row of each run, and the number of rows.

    Returns
    -------
    mean (row, state), covariance (row, state, state), across (row, state, state): covariance of
    the state of a row with that of the row before, 0 in the first row of a run; and the log of
    the mean of exp(evidence x - x information x / 2) over the law of the states.

    Notes
    -----
    Rauch, Tung & Striebel 1965, AIAA J. 3:1445, on the filter of `kalman_covariance`.
    """
    n_rows, n = evidence.shape
    mean = np.zeros((n_rows, n))
    covariance = np.zeros((n_rows, n, n))
    across = np.zeros((n_rows, n, n))
    ahead = np.zeros((n_rows, n, n))
    work3 = np.empty((3, n, n))
    work2 = np.empty((2, n))
    zero = np.zeros(n)
    now = np.empty((n, n))
    state = np.empty(n)
    left = np.empty((n, n))
    right = np.empty((n, n))
    before = np.empty(n)
    total = 0.0
    for run in range(len(edges) - 1):
        for i in range(n):
            state[i] = 0.0
            for j in range(n):
                now[i, j] = 1.0 if i == j else 0.0
        for t in range(edges[run], edges[run + 1]):
            # Predicted covariance, which the way back needs.
            for i in range(n):
                for j in range(n):
                    s = 0.0
                    for k in range(n):
                        s += transition[i, k] * now[k, j]
                    left[i, j] = s
            for i in range(n):
                for j in range(n):
                    s = process[i, j]
                    for k in range(n):
                        s += left[i, k] * transition[j, k]
                    ahead[t, i, j] = s
            for i in range(n):
                s = 0.0
                for k in range(n):
                    s += transition[i, k] * state[k]
                before[i] = s
            kalman_covariance(transition, process, information[t], now, work3)
            kalman_mean(transition, zero, now, information[t], evidence[t], state, work2)
            # log of the mean of what the row says, over what was known before.
            for i in range(n):
                for j in range(n):
                    s = 1.0 if i == j else 0.0
                    for k in range(n):
                        s += ahead[t, i, k] * information[t, k, j]
                    left[i, j] = s
            total -= 0.5 * _log_determinant(left)
            for i in range(n):
                rest = evidence[t, i]
                for k in range(n):
                    rest -= information[t, i, k] * before[k]
                work2[0, i] = rest
            for i in range(n):
                total += 0.5 * before[i] * (evidence[t, i] + work2[0, i])
                for k in range(n):
                    total += 0.5 * work2[0, i] * now[i, k] * work2[0, k]
            for i in range(n):
                mean[t, i] = state[i]
                for j in range(n):
                    covariance[t, i, j] = now[i, j]
        for t in range(edges[run + 1] - 2, edges[run] - 1, -1):
            # right becomes (A S)' solved by the predicted covariance: the gain, transposed.
            for i in range(n):
                for j in range(n):
                    left[i, j] = ahead[t + 1, i, j]
                    s = 0.0
                    for k in range(n):
                        s += transition[i, k] * covariance[t, k, j]
                    right[i, j] = s
            solve_in_place(left, right)
            for i in range(n):
                s = mean[t + 1, i]
                for k in range(n):
                    s -= transition[i, k] * mean[t, k]
                before[i] = s
            for i in range(n):
                for k in range(n):
                    mean[t, i] += right[k, i] * before[k]
            for i in range(n):
                for j in range(n):
                    s = 0.0
                    for k in range(n):
                        s += covariance[t + 1, i, k] * right[k, j]
                    across[t + 1, i, j] = s
            for i in range(n):
                for j in range(n):
                    s = covariance[t, i, j]
                    for k in range(n):
                        s += right[k, i] * across[t + 1, k, j]
                        for m in range(n):
                            s -= right[k, i] * ahead[t + 1, k, m] * right[m, j]
                    left[i, j] = s
            for i in range(n):
                for j in range(n):
                    covariance[t, i, j] = 0.5 * (left[i, j] + left[j, i])
    return mean, covariance, across, total


@njit(cache=True, nogil=True)
def _log_determinant(a):
    """Log of the determinant, which is above 0, by elimination; a is used up."""
    n = len(a)
    out = 0.0
    for k in range(n):
        out += np.log(max(a[k, k], 1e-300))
        for i in range(k + 1, n):
            share = a[i, k] / a[k, k]
            for j in range(k + 1, n):
                a[i, j] -= share * a[k, j]
    return out


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def poisson_sites(counts, known, offset, base, loading, mean, covariance):
    """What counts tell of the state, to second order around its law.

    Parameters
    ----------
    counts : (row, unit). known : (row, unit), whether observed.
    offset : (row, unit), log of what is known of the rate beforehand; (0, 0) for nothing.
    base : (unit,), log mean count at a state of 0. loading : (unit, state).
    mean, covariance : (row, state), (row, state, state), of the state.

    Returns
    -------
    information (row, state, state), evidence (row, state); expected log-likelihood without
    factorials, nats; and sums over rows: of counts minus what is expected (unit,), the same times
    the state (unit, state), what is expected times the covariance and loading (unit, state).
    """
    n_rows, n_units = counts.shape
    n = loading.shape[1]
    information = np.zeros((n_rows, n, n))
    evidence = np.zeros((n_rows, n))
    rest_sum = np.zeros(n_units)
    rest_state = np.zeros((n_units, n))
    spread_sum = np.zeros((n_units, n))
    total = 0.0
    spread = np.empty(n)
    for t in range(n_rows):
        for u in range(n_units):
            if not known[t, u]:
                continue
            line = base[u]
            if len(offset):
                line += offset[t, u]
            half = 0.0
            for i in range(n):
                line += loading[u, i] * mean[t, i]
                s = 0.0
                for j in range(n):
                    s += covariance[t, i, j] * loading[u, j]
                spread[i] = s
                half += 0.5 * loading[u, i] * s
            rate = np.exp(min(line + half, 30.0))
            rest = counts[t, u] - rate
            total += counts[t, u] * line - rate
            rest_sum[u] += rest
            for i in range(n):
                evidence[t, i] += loading[u, i] * rest
                rest_state[u, i] += rest * mean[t, i]
                spread_sum[u, i] += rate * spread[i]
                for j in range(i + 1):
                    information[t, i, j] += rate * loading[u, i] * loading[u, j]
        for i in range(n):
            for j in range(i):
                information[t, j, i] = information[t, i, j]
        for i in range(n):
            for j in range(n):
                evidence[t, i] += information[t, i, j] * mean[t, j]
    return information, evidence, total, rest_sum, rest_state, spread_sum
