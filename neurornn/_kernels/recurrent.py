"""The leaky recurrence over time and its adjoint, time along the first axis.

``h' = h + alpha (f(W h + u) - h)``, or, where the state is a current, ``x' = x + alpha (W f(x) + u
- x)``; ``u = U i + b`` is formed step by step from inputs i, or given. Shocks may be added to the
state after each step. Each pass is one compiled loop over time that calls no library and starts no
threads.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.recurrent_functions import FUNCTIONS
from neurornn._kernels.recurrent_loops import run_back, run_forward
from neurornn._kernels.recurrent_product import GROUPS_OF, LANES, padded, widened

Array = NDArray[Any]

#: Rows (steps times trials) whose share of a weight's gradient is summed in one product.
CHUNK_ROWS = 256
#: Numbers that loops over units take in one go: long enough to pay, short enough for the cache.
ROW_LENGTH = 256


class Drive(NamedTuple):
    """What comes in from outside: `given` (time, trial, hidden), or inputs with their weights.

    Attributes
    ----------
    given : (time, trial, hidden) or None
    inputs : (time, trial, input) or None
    input_weight : (hidden, input) or None
    bias : (hidden,) or None
    """

    given: Array | None = None
    inputs: Array | None = None
    input_weight: Array | None = None
    bias: Array | None = None


class Gradients(NamedTuple):
    """Gradients of `leaky_recurrence`; None where they were not asked for."""

    drive: Array | None
    input_weight: Array | None
    bias: Array | None
    weights: Array | None
    alpha: Array
    start: Array
    shocks: Array | None


def leaky_recurrence(
    drive: Drive,
    weights: Array,
    alpha: Array,
    start: Array,
    nonlinearity: str,
    form: str = "rate",
    shocks: Array | None = None,
) -> tuple[Array, Array]:
    """Run the recurrence.

    Parameters
    ----------
    drive : u, given or to be formed.
    weights : (hidden, hidden_), W.
    alpha : (hidden,)
    start : (trial, hidden), the state before the first step.
    nonlinearity : key of `FUNCTIONS`.
    form : ``"rate"`` or ``"current"``.
    shocks : (time, trial, hidden), added to the state after each step.

    Returns
    -------
    states : (time + 1, trial, hidden), the start first.
    kept : (time, trial, hidden), what the state moves towards in each step.
    """
    dtype = weights.dtype
    n_trials, n_hidden = start.shape
    n_steps = len(drive.inputs if drive.given is None else drive.given)
    states = np.empty((n_steps + 1, n_trials, n_hidden), dtype)
    states[0] = start
    kept = np.empty((n_steps, n_trials, n_hidden), dtype)
    together = _together(n_trials, n_hidden)
    rows = (-1, n_trials // together, together * n_hidden)
    none, flat = np.empty((0, 0, 0), dtype), np.empty((1, 0), dtype)
    fed = drive.given is None
    run_forward(
        FUNCTIONS[nonlinearity],
        form == "current",
        none if fed else drive.given.reshape(rows),
        drive.inputs if fed else none,
        widened(drive.input_weight.T) if fed else flat,
        _end_to_end(widened(drive.bias[None]), together) if fed else flat[0],
        widened(weights.T),
        _end_to_end(alpha, together),
        none if shocks is None else shocks.reshape(rows),
        states,
        states.reshape(rows),
        kept.reshape(rows),
        _columns(dtype),
    )
    return states, kept


def recurrence_adjoint(
    grad: Array,
    states: Array,
    kept: Array,
    drive: Drive,
    weights: Array,
    alpha: Array,
    nonlinearity: str,
    form: str,
    wanted: Gradients,
    trials_first: bool = False,
) -> Gradients:
    """Gradient of `leaky_recurrence`.

    Parameters
    ----------
    grad : (time, trial, hidden), with respect to the states after the first
        (trial, time, hidden) where `trials_first`.
    states, kept : as returned.
    drive, weights, alpha, nonlinearity, form : as given; shocks take no part.
    wanted : true values where a gradient is asked for.
    """
    _, n_trials, n_hidden = kept.shape
    dtype, width = kept.dtype, padded(n_hidden)
    n_inputs = drive.inputs.shape[2] if wanted.input_weight else 0
    none = np.empty((0, 0, 0), dtype)
    by_drive = np.empty(kept.shape, dtype) if wanted.drive else none
    by_shocks = np.empty(kept.shape, dtype) if wanted.shocks else none
    # Rows: alpha, bias, one for each input, one for each unit that sends.
    n_sending = n_hidden if wanted.weights else 0
    sums = np.zeros((2 + n_inputs + n_sending, width), dtype)
    carried = np.zeros((n_trials, width), dtype)
    together = _together(n_trials, n_hidden)
    rows = (-1, n_trials // together, together * n_hidden)
    run_back(
        FUNCTIONS[nonlinearity],
        form == "current",
        grad if trials_first else grad.reshape(rows),
        trials_first,
        drive.inputs if n_inputs else none,
        widened(weights),
        _end_to_end(alpha, together),
        states,
        states.reshape(rows),
        kept.reshape(rows),
        by_drive.reshape(rows) if wanted.drive else none,
        by_shocks.reshape(rows) if wanted.shocks else none,
        sums,
        carried,
        max(1, CHUNK_ROWS // max(1, n_trials)),
        _columns(dtype),
    )
    sums = sums[:, :n_hidden]
    return Gradients(
        drive=by_drive if wanted.drive else None,
        input_weight=sums[2 : 2 + n_inputs].T if wanted.input_weight else None,
        bias=sums[1] if wanted.bias else None,
        weights=sums[2 + n_inputs :].T if wanted.weights else None,
        alpha=sums[0],
        start=carried[:, :n_hidden],
        shocks=by_shocks if wanted.shocks else None,
    )


def _columns(dtype: Any) -> int:
    """Columns of a tile of a product."""
    return LANES * GROUPS_OF[8 * dtype.itemsize]


def _end_to_end(x: Array, n: int) -> Array:
    """Repeat a row n times within one, in a copy: numba compiles anew for what is read-only."""
    return np.tile(x.reshape(-1), n)


def _together(n_trials: int, n_hidden: int) -> int:
    """Trials whose units lie end to end in one row of the loops over units."""
    if n_hidden % LANES:
        return 1
    most = max(1, min(n_trials, ROW_LENGTH // n_hidden))
    return next(n for n in range(most, 0, -1) if n_trials % n == 0)
