"""Networks that are linear in pieces: every fixed point, by solving every piece."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.cells import Leaky

Array = NDArray[np.float64]

#: ReLU networks of more units have too many pieces to solve them one by one.
MOST_UNITS = 16
#: Pieces solved at a time.
_CHUNK = 4096


def is_enumerable(cell: Any) -> bool:
    """Whether all pieces of a network can be solved."""
    # Several steps in one leave cycles of the step where they are too.
    if not isinstance(cell, Leaky) or cell.substeps > 1:
        return False
    linear = cell.nonlinearity == "linear"
    return linear or (cell.nonlinearity == "relu" and cell.n_state <= MOST_UNITS)


def enumerated(cell: Leaky) -> tuple[Array, int]:
    """Solve every piece of a network that is linear in pieces.

    Parameters
    ----------
    cell : with ReLU or linear units, in either form.

    Returns
    -------
    states : (point, hidden), every fixed point that is alone.
    n_singular : pieces whose matrix is singular; each holds no point or a whole line of them.

    Notes
    -----
    In each piece the active units S are known and ``h_S = (1 - W_SS)^-1 u_S`` is the one candidate
    (Curto, Degeratu & Itskov 2013, doi:10.1162/NECO_a_00504). It is a fixed point where exactly
    the units of S are driven above 0.
    """
    n, weights, drive = cell.n_state, cell.weights, cell.drive
    if cell.nonlinearity == "linear":
        active = np.ones((1, n), dtype=bool)
    else:
        active = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    # In both forms what drives the units is a = W f(a) + u, and f(a) is the state of a rate.
    kept, n_singular = [], 0
    for first in range(0, len(active), _CHUNK):
        on = active[first : first + _CHUNK]
        matrix = np.eye(n) - weights * on[:, None, :]
        # Beside the largest determinant that rows of these lengths can have (Hadamard).
        largest = np.prod(np.linalg.norm(matrix, axis=2), axis=1)
        regular = np.abs(np.linalg.det(matrix)) > 1e-13 * largest
        n_singular += int((~regular).sum())
        if not regular.any():
            continue
        on, matrix = on[regular], matrix[regular]
        a = np.linalg.solve(matrix, np.broadcast_to(drive, (len(on), n))[:, :, None])[:, :, 0]
        right = np.ones(len(on), bool)
        if cell.nonlinearity != "linear":
            right = ((a > 0) == on).all(axis=1)
        f = np.where(on[right], a[right], 0.0)
        kept.append(f if cell.form == "rate" else a[right])
    return (np.concatenate(kept) if kept else np.zeros((0, n))), n_singular
