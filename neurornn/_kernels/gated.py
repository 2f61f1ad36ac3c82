"""Gated recurrent units and long short-term memory over time, with their adjoints; time first.

GRU: ``h' = n + z (h - n)`` with ``r = sigmoid(W_r x + b_r + U_r h + d_r)``, z likewise, and ``n =
tanh(W_n x + b_n + r (U_n h + d_n))``. LSTM: ``c' = f c + i g`` and ``h' = o tanh(c')`` with ``i =
sigmoid(W_i x + b_i + U_i h + d_i)``, f and o likewise, and g with tanh. Weights are stacked as
torch stacks them: r, z, n, or i, f, g, o. Each pass is one compiled loop over time that calls no
library and starts no threads.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.gated_loops import run_gru, run_gru_back, run_lstm, run_lstm_back
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


class LSTMArrays(NamedTuple):
    """One entry for each argument of `lstm_recurrence`: the arguments, or their gradients.

    Attributes
    ----------
    inputs : (time, trial, input)
    start, cell_start : (trial, hidden), state and cell before the first step.
    input_weight : (4 x hidden, input), W.
    weights : (4 x hidden, hidden_), U.
    input_bias, bias : (4 x hidden,), b and d.
    """

    inputs: Any
    start: Any
    cell_start: Any
    input_weight: Any
    weights: Any
    input_bias: Any
    bias: Any


def gru_recurrence(given: GRUArrays, keep: bool = True) -> tuple[Array, Array]:
    """Run gated recurrent units.

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
    states, kept = _begun(given.start, given), _kept(given, keep)
    outside, inside = _gates(given.input_bias, given), _gates(given.bias, given)
    bias = np.stack([*(outside + inside)[:2], outside[2], inside[2]])
    run_gru(*_ahead(given, bias), states, kept, *_tiling(given))
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
    sums = _Sums(given, wanted)
    carried = np.zeros_like(states[0])
    run_gru_back(
        *_rows(grad), *_behind(given), states, kept, *sums.arrays, carried, *_tiling(given)
    )
    # The gate n sees what comes from outside and, through r, what comes from the state.
    rest = sums.gradients(outside=[0, 1, 2], inside=[0, 1, 3])
    return GRUArrays(start=sums.visible(carried) if wanted.start else None, **rest)


def lstm_recurrence(given: LSTMArrays, keep: bool = True) -> tuple[Array, Array, Array]:
    """Run long short-term memory.

    Parameters
    ----------
    given : arrays of one precision.
    keep : whether a gradient will be asked for.

    Returns
    -------
    states, cells : (time + 1, trial, padded hidden)
        The start first; units are filled up with zeros to a multiple of `LANES`.
    kept : (time, 4, trial, padded hidden)
        What the adjoint needs; of one step only where it is not kept.
    """
    states, cells = _begun(given.start, given), _begun(given.cell_start, given)
    kept = _kept(given, keep)
    bias = _gates(given.input_bias + given.bias, given)
    run_lstm(*_ahead(given, bias), states, cells, kept, *_tiling(given))
    return states, cells, kept


def lstm_adjoint(
    grad: Array | None,
    cell_grad: Array | None,
    states: Array,
    cells: Array,
    kept: Array,
    given: LSTMArrays,
    wanted: LSTMArrays,
) -> LSTMArrays:
    """Gradient of `lstm_recurrence`.

    Parameters
    ----------
    grad, cell_grad : (time, trial, hidden), or None for zeros
        With respect to states and cells after the first.
    states, cells, kept : as returned.
    given : as given.
    wanted : true values where a gradient is asked for.

    Returns
    -------
    Gradients; None where they were not asked for. That of the inputs lies in memory as they do.
    """
    sums = _Sums(given, wanted)
    carried, cell_carried = np.zeros_like(states[0]), np.zeros_like(states[0])
    none = np.empty((0, 0, 0), states.dtype)
    arrived = (*_rows(none if grad is None else grad),)
    arrived += (*_rows(none if cell_grad is None else cell_grad),)
    run_lstm_back(
        *arrived, *_behind(given), states, cells, kept, *sums.arrays, carried, cell_carried,
        *_tiling(given),
    )  # fmt: skip
    every = [0, 1, 2, 3]
    return LSTMArrays(
        start=sums.visible(carried) if wanted.start else None,
        cell_start=sums.visible(cell_carried) if wanted.cell_start else None,
        **sums.gradients(outside=every, inside=every),
    )


class _Sums:
    """Where the loops put gradients: sums by gate, and rows of the inputs."""

    def __init__(self, given: Any, wanted: Any) -> None:
        n_steps, n_trials, n_inputs = given.inputs.shape
        self.n_hidden, self.n_gates, self.wanted = *_sizes(given), wanted
        dtype, width = given.weights.dtype, padded(self.n_hidden)
        n_rows = n_steps * n_trials if wanted.inputs else 0
        self.rows = np.empty((n_rows, n_inputs), dtype)
        n = self.n_gates if wanted.input_weight else 0
        self.input_weight = np.zeros((n, n_inputs, width), dtype)
        n = self.n_gates if wanted.weights else 0
        self.weights = np.zeros((n, width, width), dtype)
        self.bias = np.zeros((4 if wanted.input_bias or wanted.bias else 0, width), dtype)
        self.shape, self.turned = (n_steps, n_trials, n_inputs), _turned(given.inputs)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """As the loops take them; empty where no gradient is wanted."""
        return self.rows, self.input_weight, self.weights, self.bias

    def visible(self, x: Array) -> Array:
        """Leave out the units that fill the last group up."""
        return x[..., : self.n_hidden]

    def gradients(self, *, outside: list[int], inside: list[int]) -> dict[str, Array | None]:
        """Gradients by name; which biases are those from outside, and from the state."""
        n_steps, n_trials, n = self.shape
        inputs = self.rows
        if self.wanted.inputs and self.turned:
            inputs = inputs.reshape(n_trials, n_steps, n).transpose(1, 0, 2)
        elif self.wanted.inputs:
            inputs = inputs.reshape(self.shape)
        bias = self.visible(self.bias)
        wanted = self.wanted
        return {
            "inputs": inputs if wanted.inputs else None,
            "input_weight": self._stacked(self.input_weight) if wanted.input_weight else None,
            "weights": self._stacked(self.weights[:, : self.n_hidden]) if wanted.weights else None,
            "input_bias": bias[outside].reshape(-1) if wanted.input_bias else None,
            "bias": bias[inside].reshape(-1) if wanted.bias else None,
        }

    def _stacked(self, x: Array) -> Array:
        """Stack (gate, other, padded hidden) as weights are: (gate x hidden, other)."""
        return self.visible(x).transpose(0, 2, 1).reshape(-1, x.shape[1])


def _sizes(given: Any) -> tuple[int, int]:
    """Hidden units and gates."""
    n_hidden = given.start.shape[1]
    return n_hidden, len(given.weights) // n_hidden


def _ahead(given: Any, bias: Array) -> tuple[Any, ...]:
    """What both loops forward begin with: inputs, transposed weights by gate, bias."""
    n_hidden, n_gates = _sizes(given)
    width, n_inputs = padded(n_hidden), given.inputs.shape[2]
    across = _gates(given.input_weight, given).transpose(0, 2, 1)
    return (
        *_rows(given.inputs),
        _filled(across, (n_gates, n_inputs, width)),
        _filled(_gates(given.weights, given).transpose(0, 2, 1), (n_gates, width, width)),
        _filled(bias, (4, width)),
    )


def _behind(given: Any) -> tuple[Any, ...]:
    """What both loops back take as it was given: inputs and weights by gate."""
    n_hidden, n_gates = _sizes(given)
    width, n_inputs = padded(n_hidden), given.inputs.shape[2]
    return (
        *_rows(given.inputs),
        _filled(_gates(given.input_weight, given), (n_gates, width, padded(n_inputs))),
        _filled(_gates(given.weights, given), (n_gates, width, width)),
    )


def _begun(start: Array, given: Any) -> Array:
    """States of every step, of which the first is set."""
    (n_steps, n_trials, _), width = given.inputs.shape, padded(start.shape[1])
    states = np.empty((n_steps + 1, n_trials, width), start.dtype)
    states[0] = _filled(start, (n_trials, width))
    return states


def _kept(given: Any, keep: bool) -> Array:
    n_steps, n_trials, _ = given.inputs.shape
    width = padded(given.start.shape[1])
    return np.empty((n_steps if keep else 1, 4, n_trials, width), given.weights.dtype)


def _tiling(given: Any) -> tuple[int, int]:
    """Steps that go through products over many steps together; columns of a tile."""
    chunk = max(1, CHUNK_ROWS // len(given.start))
    return chunk, LANES * GROUPS_OF[8 * given.weights.dtype.itemsize]


def _turned(x: Array) -> bool:
    """Return True where (time, trial, ...) lies in memory with the trials first."""
    return x.transpose(1, 0, 2).flags.c_contiguous and not x.flags.c_contiguous


def _rows(x: Array) -> tuple[Array, int, int]:
    """Rows of (time, trial, n) as they lie in memory; how far steps and trials are apart."""
    n_steps, n_trials, n = x.shape
    if _turned(x):
        return x.transpose(1, 0, 2).reshape(n_trials * n_steps, n), 1, n_steps
    return np.ascontiguousarray(x).reshape(n_steps * n_trials, n), n_trials, 1


def _gates(x: Array, given: Any) -> Array:
    """Part what is stacked: (gate, hidden, ...)."""
    n_hidden, n_gates = _sizes(given)
    return x.reshape(n_gates, n_hidden, *x.shape[1:])


def _filled(x: Array, shape: tuple[int, ...]) -> Array:
    """Copy into an array of a larger shape, with zeros behind."""
    if x.shape == shape:
        return np.ascontiguousarray(x)
    out = np.zeros(shape, x.dtype)
    out[tuple(slice(n) for n in x.shape)] = x
    return out
