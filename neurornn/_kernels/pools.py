"""Least squares over traces that jump up and decay: pools of frames, merged where they fall."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def upward_jumps(y, gamma):
    """Jumps of the best non-negative decaying trace, frame by frame.

    Minimises ``sum (y_t - c_t)^2`` over all ``c_t >= gamma c_{t-1}``, ``c_0 >= 0``, by pooling
    adjacent frames whose best decays would violate the order.

    Parameters
    ----------
    y : (n,); NaN where a frame is missing.
    gamma : decay of one frame.

    Returns
    -------
    jumps : (n,), ``c_t - gamma c_{t-1}``; that of the first frame is all it starts with.

    References
    ----------
    Barlow et al. 1972, Statistical Inference under Order Restrictions (pooling); Friedrich, Zhou &
    Paninski 2017, PLoS Comput Biol 13:e1005423, doi:10.1371/journal.pcbi.1005423 (for decays).
    """
    n = len(y)
    value, weight = np.empty(n), np.empty(n)
    start = np.empty(n + 1, np.int64)
    k = -1
    for t in range(n):
        if np.isnan(y[t]):
            continue
        k += 1
        value[k], weight[k], start[k] = y[t], 1.0, t
        while k > 0:
            decay = gamma ** (start[k] - start[k - 1])
            if value[k] >= decay * value[k - 1]:
                break
            total = weight[k - 1] + decay * decay * weight[k]
            value[k - 1] = (weight[k - 1] * value[k - 1] + decay * weight[k] * value[k]) / total
            weight[k - 1] = total
            k -= 1
    jumps = np.zeros(n)
    for j in range(k + 1):
        jumps[start[j]] = max(value[j], 0.0)
        if j > 0:
            jumps[start[j]] -= gamma ** (start[j] - start[j - 1]) * max(value[j - 1], 0.0)
    return jumps
