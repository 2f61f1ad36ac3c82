"""The leaky integrator ``c_k = gamma c_{k-1} + u_k`` over many traces, and its adjoint."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def leaky_filter(drive, gamma, start):
    """Filter every trace; time along the first axis.

    Parameters
    ----------
    drive : (time, trace)
    gamma : (trace,)
    start : (trace,), the state before the first frame.

    Returns
    -------
    states : (time, trace), of the dtype of `drive`.
    """
    n, m = drive.shape
    out = np.empty_like(drive)
    state = start.copy()
    for t in range(n):
        for j in range(m):
            state[j] = gamma[j] * state[j] + drive[t, j]
            out[t, j] = state[j]
    return out


@njit(cache=True, nogil=True)
def leaky_adjoint(grad, states, gamma, start):
    """Gradient of `leaky_filter`: the same filter run backward in time.

    Parameters
    ----------
    grad : (time, trace), gradient with respect to the states.
    states : (time, trace), as returned by `leaky_filter`.

    Returns
    -------
    grad_drive : (time, trace)
    grad_gamma : (trace,)
    grad_start : (trace,)
    """
    n, m = grad.shape
    grad_drive = np.empty_like(grad)
    carried = np.zeros(m, grad.dtype)
    grad_gamma = np.zeros(m, grad.dtype)
    for t in range(n - 1, -1, -1):
        for j in range(m):
            carried[j] = grad[t, j] + gamma[j] * carried[j]
            grad_drive[t, j] = carried[j]
            before = states[t - 1, j] if t > 0 else start[j]
            grad_gamma[j] += carried[j] * before
    return grad_drive, grad_gamma, gamma * carried
