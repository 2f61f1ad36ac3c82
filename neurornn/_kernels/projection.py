"""Closed-form elimination of jump sizes and baseline: what is left depends on the decay alone."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def project_decays(y, starts, gamma, knot, fraction, n_knots):
    """Normal equations of the baseline once the size of every decay has been eliminated.

    Parameters
    ----------
    y : (n,); NaN where a frame is missing.
    starts : (m,), increasing, ``starts[0] == 0``
        First frame of each decay; each has a free size.
    gamma : decay of one frame.
    knot : (n,), int64
        The knot at or before each frame; the baseline is piecewise linear between knots.
    fraction : (n,)
        How far a frame lies towards the next knot, in [0, 1).
    n_knots : number of knots.

    Returns
    -------
    gram : (n_knots, n_knots)
    cross : (n_knots,)
    square : the residual sum of squares for a baseline of 0
        ``square - cross @ solve(gram, cross)`` is the profiled residual sum of squares.

    References
    ----------
    Golub & Pereyra 1973, SIAM J. Numer. Anal. 10:413, doi:10.1137/0710036 (variable projection).
    """
    n, m = len(y), len(starts)
    gram = np.zeros((n_knots, n_knots))
    cross = np.zeros(n_knots)
    square = 0.0
    shape = np.zeros(n_knots)
    for s in range(m):
        begin = starts[s]
        end = starts[s + 1] if s + 1 < m else n
        power, pp, py = 1.0, 0.0, 0.0
        k_first, k_last = knot[begin], min(knot[end - 1] + 1, n_knots - 1)
        for k in range(k_first, k_last + 1):
            shape[k] = 0.0
        for i in range(begin, end):
            if not np.isnan(y[i]):
                k, f, value = knot[i], fraction[i], y[i]
                square += value * value
                cross[k] += (1 - f) * value
                gram[k, k] += (1 - f) * (1 - f)
                shape[k] += (1 - f) * power
                if k + 1 < n_knots:
                    cross[k + 1] += f * value
                    gram[k + 1, k + 1] += f * f
                    gram[k, k + 1] += f * (1 - f)
                    gram[k + 1, k] += f * (1 - f)
                    shape[k + 1] += f * power
                pp += power * power
                py += power * value
            power *= gamma
        if pp > 0.0:
            square -= py * py / pp
            for k in range(k_first, k_last + 1):
                cross[k] -= shape[k] * py / pp
                for j in range(k_first, k_last + 1):
                    gram[k, j] -= shape[k] * shape[j] / pp
    return gram, cross, square


@njit(cache=True, nogil=True)
def decay_sizes(y, starts, gamma):
    """Size, trace and residual sum of squares of every decay, baseline removed before.

    Returns
    -------
    sizes : (m,), calcium in the first frame of each decay, least squares; 0 where none was seen.
    trace : (n,)
    squares : (m,), residual sum of squares within each decay.
    """
    n, m = len(y), len(starts)
    sizes, squares, trace = np.zeros(m), np.zeros(m), np.empty(n)
    for s in range(m):
        begin = starts[s]
        end = starts[s + 1] if s + 1 < m else n
        power, pp, py, yy = 1.0, 0.0, 0.0, 0.0
        for i in range(begin, end):
            if not np.isnan(y[i]):
                pp += power * power
                py += power * y[i]
                yy += y[i] * y[i]
            power *= gamma
        if pp > 0.0:
            sizes[s] = py / pp
            squares[s] = yy - py * py / pp
        power = sizes[s]
        for i in range(begin, end):
            trace[i] = power
            power *= gamma
    return sizes, trace, squares
