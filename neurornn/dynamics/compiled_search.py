"""Newton steps of small networks in one compiled loop, where the package has it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.point_search import (
    CONVERGED,
    CURRENT,
    HIDDEN_OF_LSTM,
    LANES,
    RATE,
    newton_search,
    run_on,
)
from neurornn._kernels.recurrent_functions import FUNCTIONS
from neurornn.dynamics.cells import Gated, Leaky
from neurornn.dynamics.latent import HiddenAlone

Array = NDArray[np.float64]

#: Units up to which the loop is used; a library solves larger systems as fast.
MOST_UNITS = 64
#: Starts that run before a key that interrupts is seen.
_PIECE = 1024


class Compiled(NamedTuple):
    """What the loop takes of a cell; see `neurornn._kernels.point_search`."""

    kind: int
    function: int
    weights: Array
    across: Array
    drive: Array
    alpha: Array
    lower: Array
    upper: Array

    def converged(
        self,
        starts: Array,
        known: Array,
        reach: Array,
        *,
        n_steps: int,
        n_halvings: int,
        finest: float,
    ) -> Array:
        """The states in which Newton steps from some starts end, (state, hidden).

        Parameters
        ----------
        starts : (start, hidden).
        known, reach : (ball, state) and (ball,)
            Middles and radii of balls from which steps are known to end in a point that is known:
            starts that come there are left out.
        n_steps, n_halvings : steps, and how often one is shortened.
        finest : half the squared step below which a state has converged.
        """
        states, ended = np.array(starts, order="C"), np.zeros(len(starts), np.int8)
        squares = reach**2 - 1e-12
        for first in range(0, len(states), _PIECE):
            some = slice(first, first + _PIECE)
            newton_search(
                *self, np.ascontiguousarray(known), squares, n_steps, n_halvings, finest,
                states[some], ended[some],
            )  # fmt: skip
        return states[ended == CONVERGED]

    def later(self, states: Array, n_steps: NDArray[np.int64]) -> Array:
        """States after some steps of the network, (n, state), each after its own number of them.

        Parameters
        ----------
        states : (n, state), with the cells of an LSTM.
        n_steps : (n,).
        """
        n = len(self.lower)
        h = np.array(states[:, :n], order="C")
        cells = np.array(states[:, n:] if self.kind == HIDDEN_OF_LSTM else h[:0], order="C")
        run_on(self.kind, self.function, *self[3:6], n_steps, h, cells)
        return np.concatenate([h, cells], axis=1) if self.kind == HIDDEN_OF_LSTM else h


def compiled(cell: Any) -> Compiled | None:
    """What the loop takes of a cell, or None where it has no such cell or a large one.

    Parameters
    ----------
    cell : what is searched in; see `neurornn.dynamics.cells`.
    """
    if cell.n_state > MOST_UNITS:
        return None
    if isinstance(cell, HiddenAlone):
        i, f, g, o = np.split(cell.weights, 4)
        d_i, d_f, d_g, d_o = np.split(cell.drive, 4)
        # 1 - f is formed from what drives f with its sign turned.
        weights, drive = np.stack([i, o, -f, g]), np.stack([d_i, d_o, -d_f, d_g])
        return _packed(
            HIDDEN_OF_LSTM, FUNCTIONS["sigmoid"], weights, drive, np.ones(cell.n_state), cell.box
        )
    if isinstance(cell, Leaky) and cell.substeps == 1 and cell.drive.ndim == 1:
        kind = CURRENT if cell.form == "current" else RATE
        return _packed(
            kind, FUNCTIONS[cell.nonlinearity], cell.weights[None], cell.drive[None], cell.alpha,
            cell.box,
        )  # fmt: skip
    plain = isinstance(cell, Gated) and cell.kind in ("tanh", "relu") and len(cell.layers) == 1
    if plain and cell.inputs.ndim == 1:
        w_x, w_h, b_x, b_h = cell.layers[0]
        drive = w_x @ cell.inputs + b_x + b_h
        one = np.ones(cell.n_state)
        return _packed(RATE, FUNCTIONS[cell.kind], w_h[None], drive[None], one, cell.box)
    return None


def _packed(
    kind: int, function: int, weights: Array, drive: Array, alpha: Array, box: Any
) -> Compiled:
    """Rows filled up with zeros to whole groups of lanes."""
    n_gates, n, _ = weights.shape
    width = -(-n // LANES) * LANES
    rows, own, share = np.zeros((n_gates, n, width)), np.zeros((n_gates, width)), np.zeros(width)
    rows[:, :, :n], own[:, :n], share[:n] = weights, drive, alpha
    across = np.zeros((n, n_gates, width))
    across[:, :, :n] = weights.transpose(2, 0, 1)
    lower, upper = (np.full(n, -np.inf), np.full(n, np.inf)) if box is None else box
    return Compiled(
        kind, function, rows, across.reshape(n, -1), own.ravel(), share,
        np.ascontiguousarray(lower, dtype=float), np.ascontiguousarray(upper, dtype=float),
    )  # fmt: skip
