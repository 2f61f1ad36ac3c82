"""Two-pole calcium that corrects itself by what is observed, and its adjoint.

Time runs along the first axis; a trace is one cell in one trial.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def observe(observed, seen, rate, gamma, rho, gain_c, gain_d, into_c, into_d, start_c, start_d):
    """Run ``a' = gamma c + gain_c e``, ``b' = rho d + gain_d e`` with the error e of c - d.

    Parameters
    ----------
    observed : (time, trace)
    seen : (time, trace), 1 where observed, 0 where missing: no correction there.
    rate : (time, trace), drive; ``c = a + into_c rate``, ``d = b + into_d rate``.
    gamma, rho, gain_c, gain_d, into_c, into_d : (trace,)
    start_c, start_d : (trace,), a and b before the first frame.

    Returns
    -------
    c, d : (time, trace), before the correction by the same frame.
    a, b : (time, trace), carried to the next frame.
    """
    n, m = observed.shape
    c, d = np.empty_like(observed), np.empty_like(observed)
    a, b = np.empty_like(observed), np.empty_like(observed)
    for t in range(n):
        for j in range(m):
            before_a = a[t - 1, j] if t > 0 else start_c[j]
            before_b = b[t - 1, j] if t > 0 else start_d[j]
            cc = before_a + into_c[j] * rate[t, j]
            dd = before_b + into_d[j] * rate[t, j]
            error = seen[t, j] * (observed[t, j] - (cc - dd))
            c[t, j], d[t, j] = cc, dd
            a[t, j] = gamma[j] * cc + gain_c[j] * error
            b[t, j] = rho[j] * dd + gain_d[j] * error
    return c, d, a, b


@njit(cache=True, nogil=True)
def observe_adjoint(
    grad_p, grad_a, grad_b, c, d, observed, seen, rate, gamma, rho, gain_c, gain_d, into_c, into_d
):
    """Gradient of `observe`, backward in time.

    Parameters
    ----------
    grad_p : (time, trace), gradient with respect to the prediction c - d.
    grad_a, grad_b : (time, trace), with respect to what is carried.

    Returns
    -------
    grad_observed, grad_rate : (time, trace)
    grad_parameters : (8, trace)
        In the order of the arguments of `observe`, from gamma to start_d.
    """
    n, m = observed.shape
    grad_observed, grad_rate = np.empty_like(observed), np.empty_like(observed)
    grads = np.zeros((8, m), observed.dtype)
    carried_a, carried_b = np.zeros(m, observed.dtype), np.zeros(m, observed.dtype)
    for t in range(n - 1, -1, -1):
        for j in range(m):
            ga = grad_a[t, j] + carried_a[j]
            gb = grad_b[t, j] + carried_b[j]
            error = seen[t, j] * (observed[t, j] - (c[t, j] - d[t, j]))
            grad_error = seen[t, j] * (gain_c[j] * ga + gain_d[j] * gb)
            grad_observed[t, j] = grad_error
            whole = grad_p[t, j] - grad_error
            gc = gamma[j] * ga + whole
            gd = rho[j] * gb - whole
            grads[0, j] += ga * c[t, j]
            grads[1, j] += gb * d[t, j]
            grads[2, j] += ga * error
            grads[3, j] += gb * error
            grads[4, j] += gc * rate[t, j]
            grads[5, j] += gd * rate[t, j]
            grad_rate[t, j] = into_c[j] * gc + into_d[j] * gd
            carried_a[j], carried_b[j] = gc, gd
    grads[6], grads[7] = carried_a, carried_b
    return grad_observed, grad_rate, grads
