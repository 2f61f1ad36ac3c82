"""The leaky recurrence over time and its adjoint, time along the first axis.

``h_k = h_{k-1} + alpha (f(u_k + W h_{k-1}) - h_{k-1})``. A step is one matrix product and a few
passes over preallocated memory, both from NumPy, whose small products and hyperbolic tangent cost
a fraction of what a graph of tensor operations does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _tanh_slope(a: Array, out: Array) -> None:
    np.multiply(a, a, out=out)
    np.subtract(1, out, out=out)


def _relu(x: Array, out: Array) -> None:
    np.maximum(x, 0, out=out)


def _relu_slope(a: Array, out: Array) -> None:
    np.greater(a, 0, out=out, casting="unsafe")


def _copy(x: Array, out: Array) -> None:
    np.copyto(out, x)


def _one(a: Array, out: Array) -> None:
    out.fill(1)


def _sigmoid(x: Array, out: Array) -> None:
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    out += 1
    out *= 0.5


def _sigmoid_slope(a: Array, out: Array) -> None:
    np.subtract(1, a, out=out)
    out *= a


def _softplus(x: Array, out: Array) -> None:
    np.logaddexp(0, x, out=out)


def _softplus_slope(a: Array, out: Array) -> None:
    np.negative(a, out=out)
    np.expm1(out, out=out)
    np.negative(out, out=out)


#: Name -> function of the drive, and its slope as a function of the function's own value.
FUNCTIONS: dict[str, tuple[Callable[[Array, Array], Any], Callable[[Array, Array], Any]]] = {
    "tanh": (lambda x, out: np.tanh(x, out=out), _tanh_slope),
    "relu": (_relu, _relu_slope),
    "linear": (_copy, _one),
    "sigmoid": (_sigmoid, _sigmoid_slope),
    "softplus": (_softplus, _softplus_slope),
}


def leaky_recurrence(
    drive: Array, weights: Array, alpha: Array, start: Array, nonlinearity: str
) -> tuple[Array, Array]:
    """Run the recurrence.

    Parameters
    ----------
    drive : (time, trial, hidden), u.
    weights : (hidden, hidden_), W.
    alpha : (hidden,)
    start : (trial, hidden), the state before the first step.
    nonlinearity : key of `FUNCTIONS`.

    Returns
    -------
    states : (time + 1, trial, hidden), the start first.
    activity : (time, trial, hidden), f of every step.
    """
    n_steps, n_trials, n_hidden = drive.shape
    function, _ = FUNCTIONS[nonlinearity]
    across = np.ascontiguousarray(weights.T)
    states = np.empty((n_steps + 1, n_trials, n_hidden), drive.dtype)
    activity = np.empty_like(drive)
    states[0] = start
    total = np.empty((n_trials, n_hidden), drive.dtype)
    for t in range(n_steps):
        state, new = states[t], activity[t]
        np.dot(state, across, out=total)
        total += drive[t]
        function(total, new)
        np.subtract(new, state, out=total)
        total *= alpha
        np.add(state, total, out=states[t + 1])
    return states, activity


def recurrence_adjoint(
    grad: Array,
    states: Array,
    activity: Array,
    weights: Array,
    alpha: Array,
    nonlinearity: str,
) -> tuple[Array, Array, Array, Array]:
    """Gradient of `leaky_recurrence`.

    Parameters
    ----------
    grad : (time, trial, hidden), with respect to the states after the first.
    states, activity : as returned.

    Returns
    -------
    drive : (time, trial, hidden)
    weights : (hidden, hidden_)
    alpha : (hidden,)
    start : (trial, hidden)
    """
    n_steps, n_trials, n_hidden = activity.shape
    _, slope = FUNCTIONS[nonlinearity]
    keep = 1 - alpha
    drive = np.empty_like(activity)
    carried = np.zeros((n_trials, n_hidden), activity.dtype)
    moved, by_alpha = np.empty_like(carried), np.zeros_like(carried)
    back = np.ascontiguousarray(weights)
    for t in range(n_steps - 1, -1, -1):
        carried += grad[t]
        here = drive[t]
        np.subtract(activity[t], states[t], out=moved)
        moved *= carried
        by_alpha += moved
        slope(activity[t], here)
        here *= alpha
        here *= carried
        np.dot(here, back, out=moved)
        carried *= keep
        carried += moved
    flat = drive.reshape(-1, n_hidden)
    by_weights = flat.T @ states[:-1].reshape(-1, n_hidden)
    return drive, by_weights, by_alpha.sum(0), carried
