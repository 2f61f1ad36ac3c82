"""The leaky recurrence over time and its adjoint, time along the first axis.

``h' = h + alpha (f(W h + u) - h)``, or, where the state is a current, ``x' = x + alpha (W f(x) + u
- x)``; ``u = U i + b`` is formed step by step from inputs i, or given. Shocks may be added to the
state after each step. Each pass is one compiled loop over time that calls no library and starts no
threads.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neurornn._kernels.recurrent_functions import FUNCTIONS, function_row, slope_row
from neurornn._kernels.recurrent_product import (
    GROUPS_OF,
    LANES,
    add_product,
    padded,
    widened,
)

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
    # The last group of columns of the last row is read whole.
    size = (n_steps + 1) * n_trials * n_hidden
    states = np.empty(size + LANES, dtype)
    states[size:] = 0
    states = states[:size].reshape(n_steps + 1, n_trials, n_hidden)
    states[0] = start
    kept = np.empty((n_steps, n_trials, n_hidden), dtype)
    together = _together(n_trials, n_hidden)
    rows = (-1, n_trials // together, together * n_hidden)
    none, flat = np.empty((0, 0, 0), dtype), np.empty((1, 0), dtype)
    fed = drive.given is None
    _run(
        FUNCTIONS[nonlinearity],
        form == "current",
        none if fed else drive.given.reshape(rows),
        drive.inputs if fed else none,
        widened(drive.input_weight.T) if fed else flat,
        np.tile(widened(drive.bias[None])[0], together) if fed else flat[0],
        widened(weights.T),
        np.tile(alpha, together),
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
    drive, weights, alpha, nonlinearity, form : as given.
    wanted : true values where a gradient is asked for.
    """
    _, n_trials, n_hidden = kept.shape
    dtype, width = kept.dtype, padded(n_hidden)

    n_inputs = drive.inputs.shape[2] if wanted.input_weight else 0
    none = np.empty((0, 0, 0), dtype)
    by_drive = np.empty(kept.shape, dtype) if wanted.drive else none
    by_shocks = np.empty(kept.shape, dtype) if wanted.shocks else none
    # Rows of sums: alpha, bias, input weights, recurrent weights.
    n_rows = (2, 2 + n_inputs, 2 + n_inputs + (n_hidden if wanted.weights else 0))
    sums = np.zeros((n_rows[2], width), dtype)
    carried = np.zeros((n_trials, width), dtype)
    together = _together(n_trials, n_hidden)
    rows = (-1, n_trials // together, together * n_hidden)
    _run_back(
        FUNCTIONS[nonlinearity],
        form == "current",
        grad if trials_first else grad.reshape(rows),
        trials_first,
        drive.inputs if n_inputs else none,
        widened(weights),
        np.tile(alpha, together),
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
        input_weight=sums[2 : n_rows[1]].T if wanted.input_weight else None,
        bias=sums[1] if wanted.bias else None,
        weights=sums[n_rows[1] :] if wanted.weights else None,
        alpha=sums[0],
        start=carried[:, :n_hidden],
        shocks=by_shocks if wanted.shocks else None,
    )


def _columns(dtype: Any) -> int:
    return LANES * GROUPS_OF[8 * dtype.itemsize]


def _together(n_trials: int, n_hidden: int) -> int:
    """Trials whose units lie end to end in one row of the loops over units."""
    if n_hidden % LANES:
        return 1
    most = max(1, min(n_trials, ROW_LENGTH // n_hidden))
    return next(n for n in range(most, 0, -1) if n_trials % n == 0)


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _run(
    kind, current, drive, inputs, input_across, bias, across, alpha, shocks, states, state_rows,
    kept, columns,
):  # fmt: skip
    """Fill states and kept; empty arrays stand for what is absent.

    Rows, of one or more trials, are (time, row, hidden); bias and alpha are as long as a row.
    """
    n_steps, n_rows, n = kept.shape
    n_trials, n_hidden, width = states.shape[1], states.shape[2], across.shape[1]
    total = np.zeros((n_trials, width), kept.dtype)
    value = np.empty((n_trials, n_hidden), kept.dtype)
    total_rows, value_rows = total.reshape(n_rows, -1), value.reshape(n_rows, n)
    keep = (1 - alpha).astype(kept.dtype)
    for t in range(n_steps):
        for i in range(n_rows):
            row = total_rows[i]
            from_outside = drive[t, i] if len(drive) > 0 else bias
            for j in range(len(from_outside)):
                row[j] = from_outside[j]
        if len(drive) == 0:
            add_product(inputs[t], input_across, total, columns)
        if current:
            for i in range(n_rows):
                function_row(kind, state_rows[t, i], value_rows[i])
            add_product(value, across, total, columns)
        else:
            add_product(states[t], across, total, columns)
        for i in range(n_rows):
            before, towards, after = state_rows[t, i], kept[t, i], state_rows[t + 1, i]
            if current:
                row = total_rows[i]
                for j in range(n):
                    towards[j] = row[j]
            else:
                function_row(kind, total_rows[i, :n], towards)
            for j in range(n):
                after[j] = keep[j] * before[j] + alpha[j] * towards[j]
        if len(shocks) > 0:
            for i in range(n_rows):
                after, pushed = state_rows[t + 1, i], shocks[t, i]
                for j in range(n):
                    after[j] += pushed[j]


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def _run_back(
    kind, current, grad, trials_first, inputs, weights, alpha, states, state_rows, kept,
    by_drive, by_shocks, sums, carried, chunk, columns,
):  # fmt: skip
    """Fill the gradients backward in time; empty arrays stand for those not wanted.

    Products for the gradients of weights wait until a chunk of steps has been passed; each chunk
    is summed by itself, which keeps the rounding of long sums small. Rows are as in `_run`.
    """
    n_steps, n_rows, n = kept.shape
    n_trials, n_hidden, width = states.shape[1], states.shape[2], weights.shape[1]
    together = n_trials // n_rows
    keep = (1 - alpha).astype(kept.dtype)
    delta = np.zeros((chunk * n_trials, width), kept.dtype)
    value = np.zeros((chunk * n_trials if current else 0, width), kept.dtype)
    back = np.zeros((n_trials if current else 0, width), kept.dtype)
    delta_rows = delta.reshape(chunk * n_rows, -1)
    slope, by_alpha = np.empty(n, kept.dtype), np.empty(n, kept.dtype)
    part = np.empty_like(sums)
    by_bias, n_inputs = part[1], inputs.shape[2]
    by_inputs, by_weights = part[2 : 2 + n_inputs], part[2 + n_inputs :]
    carried_rows = carried.reshape(n_rows, -1)
    stop = n_steps
    while stop > 0:
        first = max(0, stop - chunk)
        part[:] = 0
        by_alpha[:] = 0
        for t in range(stop - 1, first - 1, -1):
            step = t - first
            for i in range(n_rows):
                total, before, towards = carried_rows[i, :n], state_rows[t, i], kept[t, i]
                here = delta_rows[step * n_rows + i, :n]
                if trials_first:
                    for b in range(together):
                        arrived, one = grad[i * together + b, t], total[b * n_hidden :]
                        for j in range(n_hidden):
                            one[j] += arrived[j]
                else:
                    arrived = grad[t, i]
                    for j in range(n):
                        total[j] += arrived[j]
                for j in range(n):
                    by_alpha[j] += total[j] * (towards[j] - before[j])
                if len(by_shocks) > 0:
                    pushed = by_shocks[t, i]
                    for j in range(n):
                        pushed[j] = total[j]
                if current:
                    for j in range(n):
                        here[j] = alpha[j] * total[j]
                else:
                    slope_row(kind, towards, slope)
                    for j in range(n):
                        here[j] = slope[j] * alpha[j] * total[j]
                for j in range(n):
                    total[j] *= keep[j]
                if len(by_drive) > 0:
                    outside = by_drive[t, i]
                    for j in range(n):
                        outside[j] = here[j]
            sent = delta[step * n_trials : (step + 1) * n_trials, :n_hidden]
            if current:
                back[:] = 0
                add_product(sent, weights, back, columns)
                for b in range(n_trials):
                    total, product = carried[b], back[b]
                    a = value[step * n_trials + b, :n_hidden]
                    function_row(kind, states[t, b], a)
                    slope_row(kind, a, slope)
                    for j in range(n_hidden):
                        total[j] += slope[j] * product[j]
            else:
                add_product(sent, weights, carried, columns)
        n_passed = (stop - first) * n_trials
        passed = delta[:n_passed]
        if len(by_weights) > 0 and current:
            add_product(passed[:, :n_hidden].T, value[:n_passed], by_weights, columns)
        elif len(by_weights) > 0:
            seen = states[first:stop].reshape(n_passed, n_hidden)
            add_product(passed[:, :n_hidden].T, seen, by_weights, columns)
        if n_inputs > 0:
            fed = inputs[first:stop].reshape(n_passed, n_inputs)
            add_product(fed.T, passed, by_inputs, columns)
        for i in range(n_passed):
            here = passed[i]
            for j in range(width):
                by_bias[j] += here[j]
        for b in range(together):
            for j in range(n_hidden):
                part[0, j] += by_alpha[b * n_hidden + j]
        sums += part
        stop = first
