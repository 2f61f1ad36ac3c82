"""Balls around stable points all of whose states are shown to come to them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from neurornn.dynamics.cells import Leaky

Array = NDArray[np.float64]

#: Networks of more states get no balls: their shape is a matrix of this size squared.
MOST_STATES = 512
#: Radii within which the second derivative is bounded.
_RADII = (0.05, 0.25, 1.0, 4.0)
#: What is left of a radius for rounding.
_MARGIN = 1 - 1e-6


class Ball(NamedTuple):
    """States around a stable point all of which are shown to come to it.

    Attributes
    ----------
    shape : (state, state), S of the norm ``|S (h - point)|``; None where nothing is shown.
    radius : in that norm.
    reach : radius of the smallest round ball that holds it.
    """

    shape: Array | None
    radius: float
    reach: float


def balls_of(cell: Any, points: Array) -> list[Ball]:
    """Balls of states that are shown to come to each stable point.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    points : (point, state), stable and converged.
    """
    none = Ball(None, 0.0, 0.0)
    if cell.n_state > MOST_STATES or not len(points):
        return [none] * len(points)
    if isinstance(cell, Leaky) and cell.substeps > 1:
        # What one step of the equation brings nearer in a norm, several do too.
        given = (cell.drive, cell.alpha, cell.nonlinearity, cell.form)
        cell = Leaky(cell._given, *given)
    moved, jacobian = cell.step_and_jacobian(points)
    return [_ball(cell, points[k], moved[k], jacobian[k]) for k in range(len(points))]


def _ball(cell: Any, point: Array, moved: Array, jacobian: Array) -> Ball:
    """The largest ball of some shapes around a point."""
    best, largest = Ball(None, 0.0, 0.0), -np.inf
    if not np.isfinite(jacobian).all():
        return best
    n, slowest = len(point), float(np.abs(np.linalg.eigvals(jacobian)).max())
    bends = [(r, cell.curvature(point[None], r)) for r in _RADII]
    if slowest >= 1 - 1e-9 or bends[0][1] is None:
        return best
    for part in (0.1, 0.5, 0.9, 1.0):
        rate = slowest + part * (1 - slowest)
        try:
            # J' P J <= rate^2 P: in the norm of P no direction keeps more than the rate.
            p = linalg.solve_discrete_lyapunov(jacobian.T / rate, np.eye(n))
            shape = np.linalg.cholesky((p + p.T) / 2).T
            inverse = linalg.solve_triangular(shape, np.eye(n))
        except (np.linalg.LinAlgError, ValueError):
            continue
        sizes = np.linalg.svd(shape, compute_uv=False)
        most, least = float(sizes[0]), float(sizes[-1])
        # What was solved is not taken on trust: the norm of J is formed as it is, and with room.
        kept = float(np.linalg.norm(shape @ jacobian @ inverse, 2)) * (1 + 1e-9)
        if not (kept < 1 and least > 1e-8 * most):
            continue
        radius = _radius(cell, point, kept, shape, inverse, bends) * _MARGIN
        # The point is one but for rounding. Orbits come within this of it, where the step
        # contracts, so that what they come to is the point.
        error = float(np.linalg.norm(shape @ (moved - point))) + 1e-14 * most * (
            1 + float(np.linalg.norm(point))
        )
        if not 100 * error < (1 - kept) * radius:
            continue
        volume = n * np.log(radius) - float(np.log(sizes).sum())
        if volume > largest:
            best, largest = Ball(shape, radius, radius / least), volume
    return best


def _radius(
    cell: Any, point: Array, kept: float, shape: Array, inverse: Array, bends: list[Any]
) -> float:
    """Radius, in the norm of a shape, within which every step leads nearer to a point."""
    sizes = np.linalg.svd(shape, compute_uv=False)
    most, least = float(sizes[0]), float(sizes[-1])
    if cell.smooth_within(point[None]) is not None:
        # Up to the planes on which a unit switches, each as far as the norm says.
        if cell.form == "current":
            away, normal = np.abs(point), np.eye(len(point))
        else:
            away, normal = np.abs(cell.weights @ point + cell.drive), cell.weights
        lengths = np.linalg.norm(normal @ inverse, axis=1)
        return float(np.min(away / np.maximum(lengths, 1e-300)))

    def free(bend: Array) -> float:
        # Nine tenths of where a step would lead no nearer.
        return 0.9 * 2 * (1 - kept) / max(float(bend[0]) * most / least**2, 1e-300)

    first, last = bends[0][1], bends[-1][1]
    if first[0] == last[0]:
        # A bound that does not grow with the radius, as of plain networks, holds everywhere.
        return free(first)
    return max(min(free(bend), within * least) for within, bend in bends)
