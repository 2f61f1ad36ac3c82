"""How far what is stored in an attractor moves: along curves, or with the slow flow."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.manifolds import Curve, flowed, nearest
from neurornn.dynamics.slow_flow import Pieces, SlowFlow

Array = NDArray[np.float64]

#: States no further from a curve than this share of its length lie on it.
_ON = 1e-3


class Moved(NamedTuple):
    """How far values move, and what bounds that.

    Attributes
    ----------
    error : (delay, start), distance of the read-out from what it was.
    fastest : the most that the read-out moves in a step.
    distance : (start,), of states from where the values are stored.
    """

    error: Array
    fastest: float
    distance: Array


def moved_from(
    curves: list[Curve], flow: SlowFlow | None, states: Array, steps: Array, weights: Array | None
) -> Moved:
    """How far values move that states hold.

    Parameters
    ----------
    curves : lines and rings, the largest first.
    flow : the slow flow, where it is known.
    states : (start, state), that hold the values.
    steps : (delay,).
    weights : (output, state), of a read-out; without them it is the state that moves, or the
        position along a curve.
    """
    if curves:
        found = _along(curves, states, steps, weights)
        # A curve knows its drift better than any flow through scattered places.
        if flow is None or found.distance.max() <= _ON * curves[0].length:
            return found
    assert flow is not None
    return _with(flow, states, steps, weights)


def _with(flow: SlowFlow, states: Array, steps: Array, weights: Array | None) -> Moved:
    """Each state from what is nearest to it on the slow manifold."""
    readout = np.eye(states.shape[1]) if weights is None else weights
    times = np.concatenate([[0.0], steps / flow.stride])
    way = Pieces(flow).followed(states, times)
    speed = np.linalg.norm(flow.moved @ readout.T, axis=1) / flow.stride
    return Moved(
        np.linalg.norm((way[1:] - way[0]) @ readout.T, axis=2),
        float(speed.max()),
        np.linalg.norm(states - way[0], axis=1),
    )


def _along(curves: list[Curve], states: Array, steps: Array, weights: Array | None) -> Moved:
    """Each state on the line or ring that is nearest."""
    places = [nearest(curve, states) for curve in curves]
    off = np.array([distance for _, distance in places])
    mine = np.argmin(off, axis=0)
    error, fastest = np.empty((len(steps), len(states))), 0.0
    for k, (curve, (at, _)) in enumerate(zip(curves, places, strict=True)):
        here = mine == k
        if here.any():
            error[:, here], speed = _on_one(curve, at[here], steps, weights)
            fastest = max(fastest, speed)
    return Moved(error, fastest, off.min(axis=0))


def _on_one(curve: Curve, at: Array, steps: Array, weights: Array | None) -> tuple[Array, float]:
    """How far values stored along a curve move, (delay, start), and the most in a step."""
    order = np.argsort(steps, kind="stable")
    way = np.empty((len(steps), len(at)))
    way[order] = flowed(curve, at, steps[order])
    if weights is None:
        return np.abs(way - at), float(np.abs(curve.speed).max())
    values = curve.interpolated(curve.states @ weights.T)
    if curve.is_ring:
        way = np.mod(way, curve.length)
    fine = np.linspace(0.0, curve.position[-1], 4 * len(curve.position))
    speed = np.abs(curve.interpolated(curve.speed)(fine))
    fastest = float(np.max(speed * np.linalg.norm(values(fine, 1), axis=1)))
    return np.linalg.norm(values(way) - values(at), axis=2), fastest
