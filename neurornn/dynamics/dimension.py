"""The dimension of an attractor, from its Lyapunov exponents."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate
from neurornn._core.quantities import Quantity
from neurornn.dynamics.block_means import interval

Array = NDArray[np.float64]

_NO_DIMENSION = {
    "undecided": "it follows from the exponents once the regime is known",
    "few": "more exponents are needed: the sum of those computed is not yet negative",
}


def dimension_of(
    quantity: Quantity,
    rows: Array,
    exponent: Array,
    zero: NDArray[np.bool_],
    settings: dict[str, Any],
) -> Estimate:
    """Dimension after Kaplan and Yorke, and its interval from the same blocks.

    Parameters
    ----------
    quantity : as which it is told.
    rows : (trajectory, block, order), what was measured of each exponent.
    exponent : (order,). zero : (order,), whether it is 0 for all that can be told.
    settings : of the spectrum, with its regime.
    """
    regime = settings["regime"]
    if regime == "undecided":
        return quantity.of(np.nan, reason=_NO_DIMENSION["undecided"])
    if regime == "fixed point" or (regime == "limit cycle" and settings["period"]):
        return quantity.of(0.0, [0.0, 0.0])
    if settings["turn"]:
        # A closed curve that was found, whatever is known of its other exponents.
        return quantity.of(1.0, [1.0, 1.0])
    # A direction along the attractor has the exponent 0, whatever is left of it.
    value = np.where(zero, 0.0, exponent)
    sums = np.concatenate([[0.0], np.cumsum(value)])
    held = np.flatnonzero(sums >= 0)
    j = int(held[-1]) if len(held) else 0
    if j == len(value):
        if j < settings["n_state"]:
            return quantity.of(np.nan, reason=_NO_DIMENSION["few"])
        return quantity.of(float(j), [float(j), float(j)])
    following = float(value[j])
    dimension = j + (sums[j] / -following if np.isfinite(following) else 0.0)
    if not (sums[j] and np.isfinite(following)):
        return quantity.of(dimension, [dimension, dimension])
    away = np.where(zero, 0.0, rows - exponent)
    parts = away[..., :j].sum(axis=2) / -following + sums[j] / following**2 * away[..., j]
    return quantity.of(
        dimension, dimension + interval(parts, settings["confidence_level"], settings["dt"])[0]
    )
