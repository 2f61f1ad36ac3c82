"""Gated recurrent units over time and their adjoint, time along the first axis.

``h' = n + z (h - n)`` with ``r = sigmoid(W_r x + b_r + U_r h + d_r)``, z likewise, and ``n =
tanh(W_n x + b_n + r (U_n h + d_n))``. Weights are stacked as torch stacks them: r, z, n. Each pass
is one compiled loop over time that calls no library and starts no threads.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.gated_loops import run_gru, run_gru_back
from neurornn._kernels.recurrent import CHUNK_ROWS
from neurornn._kernels.recurrent_product import GROUPS_OF, LANES, padded

Array = NDArray[Any]


class GRUArrays(NamedTuple):
    """One entry for each argument of `gru_recurrence`: the arguments, or their gradients.

    Attributes
    ----------
    inputs : (time, trial, input)
    start : (trial, hidden), the state before the first step.
    input_weight : (3 x hidden, input), W.
    weights : (3 x hidden, hidden_), U.
    input_bias, bias : (3 x hidden,), b and d.
    """

    inputs: Any
    start: Any
    input_weight: Any
    weights: Any
    input_bias: Any
    bias: Any


def gru_recurrence(given: GRUArrays, keep: bool = True) -> tuple[Array, Array]:
    """Run the units.

    Parameters
    ----------
    given : arrays of one precision.
    keep : whether a gradient will be asked for.

    Returns
    -------
    states : (time + 1, trial, padded hidden)
        The start first; units are filled up with zeros to a multiple of `LANES`.
    kept : (time, 4, trial, padded hidden)
        What the adjoint needs; of one step only where it is not kept.
    """
    n_steps, n_trials, n_inputs = given.inputs.shape
    n_hidden, dtype = given.start.shape[1], given.weights.dtype
    width = padded(n_hidden)
    states = np.empty((n_steps + 1, n_trials, width), dtype)
    states[0] = _filled(given.start, (n_trials, width))
    kept = np.empty((n_steps if keep else 1, 4, n_trials, width), dtype)
    rows, by_step, by_trial = _rows(given.inputs)
    by_gate = given.input_bias.reshape(3, n_hidden), given.bias.reshape(3, n_hidden)
    bias = np.stack([*(by_gate[0] + by_gate[1])[:2], by_gate[0][2], by_gate[1][2]])
    run_gru(
        rows,
        by_step,
        by_trial,
        _filled(_gates(given.input_weight).transpose(0, 2, 1), (3, n_inputs, width)),
        _filled(_gates(given.weights).transpose(0, 2, 1), (3, width, width)),
        _filled(bias, (4, width)),
        states,
        kept,
        _chunk(n_trials),
        _columns(dtype),
    )
    return states, kept


def gru_adjoint(
    grad: Array, states: Array, kept: Array, given: GRUArrays, wanted: GRUArrays
) -> GRUArrays:
    """Gradient of `gru_recurrence`.

    Parameters
    ----------
    grad : (time, trial, hidden), with respect to the states after the first.
    states, kept : as returned.
    given : as given.
    wanted : true values where a gradient is asked for.

    Returns
    -------
    Gradients; None where they were not asked for. That of the inputs lies in memory as they do.
    """
    n_steps, n_trials, n_inputs = given.inputs.shape
    n_hidden, dtype, width = given.start.shape[1], kept.dtype, kept.shape[3]
    rows, by_step, by_trial = _rows(given.inputs)
    n_gates_in, n_gates = (3 if w else 0 for w in (wanted.input_weight, wanted.weights))
    by_inputs = np.empty((n_steps * n_trials if wanted.inputs else 0, n_inputs), dtype)
    by_input_weight = np.zeros((n_gates_in, n_inputs, width), dtype)
    by_weights = np.zeros((n_gates, width, width), dtype)
    by_bias = np.zeros((4 if wanted.input_bias or wanted.bias else 0, width), dtype)
    carried = np.zeros((n_trials, width), dtype)
    run_gru_back(
        *_rows(grad),
        rows,
        by_step,
        by_trial,
        _filled(_gates(given.input_weight), (3, width, padded(n_inputs))),
        _filled(_gates(given.weights), (3, width, width)),
        states,
        kept,
        by_inputs,
        by_input_weight,
        by_weights,
        by_bias,
        carried,
        _chunk(n_trials),
        _columns(dtype),
    )
    if wanted.inputs:
        shape, order = ((n_steps, n_trials), (0, 1, 2))
        if by_trial != 1:
            shape, order = (n_trials, n_steps), (1, 0, 2)
        by_inputs = by_inputs.reshape(*shape, n_inputs).transpose(order)
    by_bias = by_bias[:, :n_hidden]
    return GRUArrays(
        inputs=by_inputs if wanted.inputs else None,
        start=carried[:, :n_hidden] if wanted.start else None,
        input_weight=_stacked(by_input_weight, n_hidden) if wanted.input_weight else None,
        weights=_stacked(by_weights[:, :n_hidden], n_hidden) if wanted.weights else None,
        input_bias=by_bias[:3].reshape(-1) if wanted.input_bias else None,
        bias=by_bias[[0, 1, 3]].reshape(-1) if wanted.bias else None,
    )


def _rows(x: Array) -> tuple[Array, int, int]:
    """Rows of (time, trial, ...) as they lie in memory; how far steps and trials are apart."""
    n_steps, n_trials, n = x.shape
    turned = x.transpose(1, 0, 2)
    if turned.flags.c_contiguous and not x.flags.c_contiguous:
        return turned.reshape(-1, n), 1, n_steps
    return np.ascontiguousarray(x).reshape(-1, n), n_trials, 1


def _gates(x: Array) -> Array:
    """Part stacked weights: (gate, hidden, ...)."""
    return x.reshape(3, -1, x.shape[1])


def _stacked(x: Array, n_hidden: int) -> Array:
    """Stack (gate, other, padded hidden) as weights are: (gate x hidden, other)."""
    return x[..., :n_hidden].transpose(0, 2, 1).reshape(-1, x.shape[1])


def _filled(x: Array, shape: tuple[int, ...]) -> Array:
    """Copy into an array of a larger shape, with zeros behind."""
    if x.shape == shape:
        return np.ascontiguousarray(x)
    out = np.zeros(shape, x.dtype)
    out[tuple(slice(n) for n in x.shape)] = x
    return out


def _chunk(n_trials: int) -> int:
    """Steps that go through the products over many steps together."""
    return max(1, CHUNK_ROWS // n_trials)


def _columns(dtype: Any) -> int:
    """Columns of a tile of a product."""
    return LANES * GROUPS_OF[8 * dtype.itemsize]
