"""Recursions of the filters that track a hidden state bin by bin: Gaussian and discrete.

Written for a rig: every function works in the arrays it is given and allocates nothing.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def solve_in_place(a, b):
    """Solve ``a x = b`` by elimination with row exchange; x replaces b, a is used up.

    Parameters
    ----------
    a : (n, n). b : (n, column).
    """
    n, m = b.shape
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(a[i, k]) > abs(a[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(n):
                a[k, j], a[pivot, j] = a[pivot, j], a[k, j]
            for j in range(m):
                b[k, j], b[pivot, j] = b[pivot, j], b[k, j]
        for i in range(k + 1, n):
            share = a[i, k] / a[k, k]
            for j in range(k, n):
                a[i, j] -= share * a[k, j]
            for j in range(m):
                b[i, j] -= share * b[k, j]
    for k in range(n - 1, -1, -1):
        for j in range(m):
            for i in range(k + 1, n):
                b[k, j] -= a[k, i] * b[i, j]
            b[k, j] /= a[k, k]


@njit(cache=True, nogil=True)
def kalman_covariance(transition, process, information, covariance, work):
    """Take the covariance of the state over one step and one observation.

    Parameters
    ----------
    transition, process : (state, state), ``x' = A x + noise of covariance W``.
    information : (state, state), ``H' R^-1 H`` of the observation; zeros where nothing was seen.
    covariance : (state, state), of the state before; replaced by that after.
    work : (3, state, state), scratch.

    Returns
    -------
    float : largest change of an entry, relative to the largest entry.

    Notes
    -----
    ``P = A S A' + W`` and ``S = (I + P H' R^-1 H)^-1 P``: the update in information form, whose
    size is that of the state however many units are observed, without an inverse of P (Anderson &
    Moore 1979, Optimal Filtering, ISBN 978-0136381228, section 6.3).
    """
    n = len(covariance)
    left, ahead, half = work[0], work[1], work[2]
    for i in range(n):
        for j in range(n):
            total = 0.0
            for k in range(n):
                total += transition[i, k] * covariance[k, j]
            half[i, j] = total
    for i in range(n):
        for j in range(n):
            total = process[i, j]
            for k in range(n):
                total += half[i, k] * transition[j, k]
            ahead[i, j] = total
    for i in range(n):
        for j in range(n):
            total = 1.0 if i == j else 0.0
            for k in range(n):
                total += ahead[i, k] * information[k, j]
            left[i, j] = total
    solve_in_place(left, ahead)
    change, size = 0.0, 0.0
    for i in range(n):
        for j in range(n):
            value = 0.5 * (ahead[i, j] + ahead[j, i])
            change = max(change, abs(value - covariance[i, j]))
            size = max(size, abs(value))
            half[i, j] = value
    covariance[:] = half
    return change / size if size > 0 else 0.0


@njit(cache=True, nogil=True)
def kalman_mean(transition, offset, covariance, information, evidence, state, work):
    """Take the mean of the state over one step and one observation.

    Parameters
    ----------
    transition : (state, state). offset : (state,), ``x' = A x + b``.
    covariance : (state, state), after this observation (`kalman_covariance`).
    information : (state, state), ``H' R^-1 H``. evidence : (state,), ``H' R^-1 (y - d)``.
    state : (state,), before; replaced by the mean after.
    work : (2, state), scratch.
    """
    n = len(state)
    ahead, rest = work[0], work[1]
    for i in range(n):
        total = offset[i]
        for k in range(n):
            total += transition[i, k] * state[k]
        ahead[i] = total
    for i in range(n):
        total = evidence[i]
        for k in range(n):
            total -= information[i, k] * ahead[k]
        rest[i] = total
    for i in range(n):
        total = ahead[i]
        for k in range(n):
            total += covariance[i, k] * rest[k]
        state[i] = total


@njit(cache=True, nogil=True)
def kalman_gain(transition, process, information, tolerance=1e-15, max_steps=100_000):
    """Steady covariance of the state after an observation.

    Parameters
    ----------
    transition, process, information : (state, state), as for `kalman_covariance`.
    tolerance : of the largest change in a step, relative to the largest entry.

    Returns
    -------
    covariance : (state, state). n_steps : taken; `max_steps` where it did not settle.
    """
    n = len(transition)
    covariance = process.copy()
    work = np.empty((3, n, n))
    for k in range(max_steps):
        if kalman_covariance(transition, process, information, covariance, work) <= tolerance:
            return covariance, k + 1
    return covariance, max_steps


@njit(cache=True, nogil=True)
def posterior_step(starts, sources, chances, jump, log_likelihood, posterior, ahead):
    """Move a discrete posterior over one step and weigh it by what was observed.

    Parameters
    ----------
    starts : (state + 1,), sources, chances : (link,)
        The chance to come to state k from ``sources[j]``, j from ``starts[k]`` to
        ``starts[k + 1]``.
    jump : chance to go to any state at all, in a step.
    log_likelihood : (state,), of the observation; zeros where nothing was seen.
    posterior : (state,), before; replaced by that after.
    ahead : (state,), scratch.

    Returns
    -------
    float : log-likelihood of the observation given those before it.

    References
    ----------
    Rabiner 1989, Proc IEEE 77:257, doi:10.1109/5.18626 (forward recursion).
    """
    n = len(posterior)
    most = -np.inf
    for k in range(n):
        total = 0.0
        for j in range(starts[k], starts[k + 1]):
            total += chances[j] * posterior[sources[j]]
        total = (1 - jump) * total + jump / n
        ahead[k] = total
        if total > 0 and log_likelihood[k] > most:
            most = log_likelihood[k]
    total = 0.0
    for k in range(n):
        ahead[k] = ahead[k] * np.exp(log_likelihood[k] - most) if ahead[k] > 0 else 0.0
        total += ahead[k]
    for k in range(n):
        posterior[k] = ahead[k] / total
    return most + np.log(total)
