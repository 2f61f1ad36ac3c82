"""Networks that are linear in pieces: their pieces, and what the units that switch go by."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.cells import Gated, Leaky

Array = NDArray[np.float64]


class Pieces(NamedTuple):
    """What drives the units of a ReLU network: ``slopes h + offset``, each active above 0.

    Attributes
    ----------
    slopes : (unit, state).
    offset : (unit,), or (n, unit) of n inputs.
    """

    slopes: Array
    offset: Array

    def drives(self, h: Array) -> Array:
        """What drives each unit in each state, (n, unit)."""
        return np.asarray(h @ self.slopes.T + self.offset)


def as_leaky(cell: Any) -> Leaky | None:
    """A ReLU network as leaky units, whatever holds it; None for all others."""
    if isinstance(cell, Leaky):
        return cell if cell.nonlinearity == "relu" and cell.substeps == 1 else None
    if isinstance(cell, Gated) and cell.kind == "relu" and len(cell.layers) == 1:
        w_x, w_h, b_x, b_h = cell.layers[0]
        drive = cell.inputs @ w_x.T + b_x + b_h
        return Leaky(w_h, drive, np.ones(cell.n_state), "relu")
    return None


def pieces_of(cell: Any) -> Pieces | None:
    """What the units of a ReLU network switch at; None for all others."""
    plain = as_leaky(cell)
    if plain is None:
        return None
    if plain.form == "current":
        return Pieces(np.eye(plain.n_state), np.zeros(plain.n_state))
    return Pieces(plain.weights, plain.drive)
