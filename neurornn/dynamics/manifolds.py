"""Slow manifolds: what states come to before they come to rest, as curves and sheets."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial.distance import cdist

from neurornn.dynamics.cells import solved

Array = NDArray[np.float64]

#: A mode is along a manifold where it is so many times slower than the next.
GAP = 8.0
#: Time constants of the fastest slow mode beside it that states are given to come to a manifold.
RELAX = 12.0
#: States of a network up to which its modes are taken apart.
MOST_SPLIT = 64
#: Places along a curve that are kept.
N_PLACES = 200
#: States of a cloud nearer than this share of its size are one place.
_ONE = 1e-3
_EPS = float(np.finfo(float).eps)


class Pace(NamedTuple):
    """Time constants of a manifold, in steps: towards it, and along it; and its dimension."""

    across: float
    along: float
    dimension: int


class Curve(NamedTuple):
    """A line or a ring of states.

    Attributes
    ----------
    states : (place, state), at equal distances along it.
    position : (place,), the distance from the first, along the curve.
    speed : (place,), how far a state moves along the curve in a step, with its sign.
    is_ring : whether the last place is followed by the first.
    length : of the whole curve.
    """

    states: Array
    position: Array
    speed: Array
    is_ring: bool
    length: float

    def interpolated(self, values: Array) -> CubicSpline:
        """Values at the places as a function of the position."""
        if not self.is_ring:
            return CubicSpline(self.position, values)
        closed = np.concatenate([values, values[:1]])
        return CubicSpline(np.append(self.position, self.length), closed, bc_type="periodic")


def relaxed(cell: Any, h: Array, n_steps: int) -> Array:
    """States after so many steps; those that leave all bounds are left out."""
    for _ in range(n_steps):
        h = cell.step(h)
    return np.asarray(h[np.isfinite(h).all(axis=1) & (np.abs(h) < 1e8).all(axis=1)])


def slow_modes(cell: Any, states: Array) -> Pace:
    """How many modes are along a manifold, and how slow these and the next are.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    states : (n, state), on or near what the network comes to.

    Returns
    -------
    Pace
        Of the first mode beyond the gap and of the slowest, by their medians; modes that grow
        slowly count as slow. The dimension is the number of modes that are `GAP` times slower than
        the next, 0 where there is no such gap.
    """
    size = np.sort(-np.abs(cell.eigenvalues(states)), axis=1) * -1
    with np.errstate(divide="ignore"):
        rate = np.median(np.abs(np.log(np.maximum(size, 1e-300))), axis=0)
    rate = np.maximum.accumulate(np.maximum(rate, 1e-16))
    most = min(3, len(rate) - 1)
    # What lasts for a few steps alone is no memory, however quick the rest is.
    ratio = np.minimum(rate[1 : most + 1], 1.0) / rate[:most]
    k = int(np.argmax(ratio)) if most else 0
    if not most or ratio[k] < GAP:
        return Pace(1 / rate[0], 1 / rate[0], 0)
    return Pace(1 / rate[k + 1], 1 / rate[0], k + 1)


def settled(cell: Any, states: Array, pace: Pace) -> tuple[Array, NDArray[np.bool_]]:
    """States on a slow manifold near those that are given, and which of them lie on it.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    states : (n, state), all of which stay within bounds.
    pace : of the manifold.

    Notes
    -----
    After two time constants most of what is left beside the manifold is taken away by Newton steps
    in all modes but the slowest: there the quick modes rest, which on a manifold that moves they
    nearly do; two time constants more bring them nearer. A state is on the manifold where the slow
    mode was still some times slower than the next, and the steps were short. In large networks,
    whose eigenvalues cost more than running on, and on planes, states are run for many time
    constants instead, while they move along the manifold by a part of its length at most.
    """
    if cell.n_state > MOST_SPLIT or pace.dimension > 1:
        least = RELAX * pace.across
        n_steps = _steps(max(least, min(3 * least, 0.3 * pace.along)))
        h = states
        for _ in range(n_steps):
            h = cell.step(h)
        return h, np.ones(len(h), dtype=bool)
    h = states
    for _ in range(_steps(2 * pace.across)):
        h = cell.step(h)
    begun, good = h, np.ones(len(h), dtype=bool)
    for _ in range(3):
        f, jacobian = cell.step_and_jacobian(h)
        with np.errstate(divide="ignore"):
            rate = np.log(np.abs(np.linalg.eigvals(jacobian)))
        # Those that are quick decay, and are quick beside the one that is slow.
        rate = np.take_along_axis(rate, np.argsort(np.abs(rate), axis=1), axis=1)
        if rate.shape[1] > 1:
            good &= (rate[:, 1:] < 0).all(axis=1)
            good &= -rate[:, 1] > GAP / 3 * np.abs(rate[:, 0])
        along, other = _slowest(jacobian)
        index = np.arange(cell.n_state)
        jacobian[:, index, index] -= 1.0
        step = _without(-solved(jacobian, _without(f - h, along, other)), along, other)
        good &= np.isfinite(step).all(axis=1)
        h = np.where(good[:, None], h + step, h)
    good &= np.linalg.norm(h - begun, axis=1) < 0.1 * (1 + np.linalg.norm(h, axis=1))
    good &= np.linalg.norm(step, axis=1) < 1e-6 * (1 + np.linalg.norm(h, axis=1))
    for _ in range(_steps(2 * pace.across)):
        h = cell.step(h)
    return h, good


def _slowest(jacobian: Array) -> tuple[Array, Array]:
    """Right and left eigenvectors of the mode next to 1, (n, state), by inverse iteration."""
    n = jacobian.shape[1]
    near = jacobian - (1.0 + 1e-7) * np.eye(n)
    found = []
    for matrix in (near, np.transpose(near, (0, 2, 1))):
        v = np.ones((len(jacobian), n)) + 0.1 * np.sin(np.arange(n))
        for _ in range(12):
            v = solved(matrix, v)
            v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300)
        found.append(v)
    return found[0], found[1]


def _without(x: Array, along: Array, other: Array) -> Array:
    """What is left of vectors without their part in one mode."""
    scale = np.einsum("ij,ij->i", other, along)
    scale = np.where(np.abs(scale) > 1e-9, scale, np.inf)
    return x - along * (np.einsum("ij,ij->i", other, x) / scale)[:, None]


def _steps(wanted: float) -> int:
    return int(np.clip(np.ceil(wanted), 1, 200_000))


def size_of(states: Array) -> float:
    """Root of the mean squared distance of states from their mean, and no less than rounding."""
    spread = np.sqrt(np.mean(np.sum((states - states.mean(axis=0)) ** 2, axis=1)))
    return float(max(spread, 1e3 * _EPS * (1 + np.abs(states).max(initial=0.0))))


def thinned(states: Array, apart: float) -> Array:
    """States of which none lie nearer than so far from one another."""
    kept: list[int] = []
    left = np.arange(len(states))
    while len(left):
        one = left[0]
        kept.append(int(one))
        left = left[np.linalg.norm(states[left] - states[one], axis=1) > apart]
    return states[kept]


def parts(cell: Any, states: Array, pace: Pace) -> list[Array]:
    """Split a cloud of states into manifolds that do not hang together.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    states : (n, state), on them.
    pace : of the manifolds.

    Returns
    -------
    the states of each part, (n, state)
    """
    if len(states) < 3:
        return [states]
    tree = minimum_spanning_tree(cdist(states, states)).tocoo()
    wide = tree.data > max(6 * float(np.median(tree.data)), 0.05 * size_of(states))
    if not wide.any():
        return [states]
    inside = _hang_together(cell, states[tree.row[wide]], states[tree.col[wide]], pace)
    keep = ~wide
    keep[wide] = inside
    tree.row, tree.col, tree.data = tree.row[keep], tree.col[keep], tree.data[keep]
    n, label = connected_components(tree, directed=False)
    return [states[label == k] for k in range(n)]


def _hang_together(cell: Any, a: Array, b: Array, pace: Pace) -> NDArray[np.bool_]:
    """Whether a manifold goes on between each two states, (n,).

    States within a hole in a manifold come to rest in the hole; of two between two manifolds one
    at least comes to one of them. The ends of the hole move along too meanwhile.
    """
    n = len(a)
    there, _ = settled(cell, np.concatenate([a, b, 0.6 * a + 0.4 * b, 0.4 * a + 0.6 * b]), pace)
    a, b, between = there[:n], there[n : 2 * n], (there[2 * n : 3 * n], there[3 * n :])
    reach = np.linalg.norm(a - b, axis=1)
    inside = np.ones(n, dtype=bool)
    for end in (a, b):
        for state in between:
            off = np.linalg.norm(state - end, axis=1)
            inside &= (off > 0.1 * reach) & (off < 0.9 * reach)
    return inside


def _along(states: Array) -> tuple[NDArray[np.int64], Array]:
    """Order states along the longest way through their tree; the lengths of its edges."""
    tree = minimum_spanning_tree(cdist(states, states))
    both = tree + tree.T
    start = 0
    for _ in range(2):
        order, before = breadth_first_order(both, start, directed=False)
        far = np.zeros(len(states))
        for k in order[1:]:
            far[k] = far[before[k]] + both[k, before[k]]
        start = int(np.argmax(far))
    way = [start]
    while before[way[-1]] >= 0:
        way.append(int(before[way[-1]]))
    path = np.array(way)
    return path, np.linalg.norm(np.diff(states[path], axis=0), axis=1)


def curve_through(cell: Any, states: Array, pace: Pace) -> Curve | None:
    """Make a line or a ring of a cloud of states; None where they lie on no curve.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    states : (n, state), on one slow manifold.
    pace : of the manifold.
    """
    size = size_of(states)
    for _ in range(4):
        states = thinned(states, _ONE * size)
        if len(states) < 8:
            return None
        path, edges = _along(states)
        # Beside a curve there is nothing: where many states hang on side branches it is no curve.
        off = cdist(states, states[path]).min(axis=1)
        if np.mean(off > max(2 * np.median(edges), 0.02 * size)) > 0.1:
            return None
        on = states[path]
        gap = float(np.linalg.norm(on[-1] - on[0]))
        wide = np.flatnonzero(edges > max(2 * np.median(edges), edges.sum() / N_PLACES))
        between = [(on[k] + on[k + 1]) / 2 for k in wide]
        closes = gap < 4 * edges.max() and gap < 0.3 * edges.sum()
        closes = bool(closes and _hang_together(cell, on[:1], on[-1:], pace)[0])
        if closes and gap > edges.sum() / N_PLACES:
            between.append((on[0] + on[-1]) / 2)
        if not between:
            break
        # Holes are filled with states that lie in them and come to the manifold again.
        filled, good = settled(cell, np.array(between), pace)
        states = np.concatenate([on, filled[good]])
    return _resampled(cell, on, closes)


def _resampled(cell: Any, on: Array, is_ring: bool) -> Curve:
    """Places at equal distances along a curve, and the speed there."""
    apart = np.linalg.norm(np.diff(on, axis=0), axis=1).sum() / (2 * N_PLACES)
    kept = [0]
    for k in range(1, len(on)):
        if np.linalg.norm(on[k] - on[kept[-1]]) >= apart:
            kept.append(k)
    if is_ring and np.linalg.norm(on[kept[-1]] - on[0]) < apart:
        kept.pop()
    on = on[kept]
    moved = cell.step(on) - on
    closed = np.vstack([on, on[:1]]) if is_ring else on
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    kind = "periodic" if is_ring else "not-a-knot"
    spline = CubicSpline(s, closed, bc_type=kind)
    if is_ring:
        moved = np.vstack([moved, moved[:1]])
    tangent = spline(s, 1)
    size = np.maximum(np.linalg.norm(tangent, axis=1), 1e-300)
    speed = CubicSpline(s, np.sum(moved * tangent, axis=1) / size, bc_type=kind)
    at = np.linspace(0.0, s[-1], N_PLACES + is_ring)[:N_PLACES]
    # Distance along the curve and along its chords differ by little, and are made one.
    places = spline(at)
    around = np.vstack([places, places[:1]]) if is_ring else places
    position = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(around, axis=0), axis=1))])
    return Curve(places, position[:N_PLACES], speed(at), is_ring, float(position[-1]))


def floor_of(cell: Any, curve: Curve) -> float:
    """Speed below which rounding alone moves a state."""
    return 64 * _EPS * cell.n_state * float(1 + np.linalg.norm(curve.states, axis=1).max())


def flowed(curve: Curve, start: Array, times: Array) -> Array:
    """Positions along a curve as time goes on, (time, start), by its own speed.

    Parameters
    ----------
    curve : the curve.
    start : (start,), positions.
    times : (time,), steps, from 0 on.
    """
    speed = curve.interpolated(curve.speed)
    ends = (0.0, curve.length)

    def rate(s: Array) -> Array:
        inside = np.mod(s, curve.length) if curve.is_ring else np.clip(s, *ends)
        found = speed(inside)
        if not curve.is_ring:
            # Nothing leaves the ends.
            found = np.where(
                ((s <= ends[0]) & (found < 0)) | ((s >= ends[1]) & (found > 0)), 0, found
            )
        return np.asarray(found)

    steepest = np.abs(speed(curve.position, 1)).max()
    fastest = np.abs(curve.speed).max() / curve.length
    found, s, now = np.empty((len(times), len(start))), np.array(start, dtype=float), 0.0
    for k, time in enumerate(times):
        n = int(np.clip(np.ceil((time - now) * max(steepest, fastest) * 4), 1, 2000))
        step = (time - now) / n
        for _ in range(n):
            a = rate(s)
            b = rate(s + step / 2 * a)
            c = rate(s + step / 2 * b)
            d = rate(s + step * c)
            s = s + step / 6 * (a + 2 * b + 2 * c + d)
            s = s if curve.is_ring else np.clip(s, *ends)
        now = float(time)
        found[k] = s
    return found


def nearest(curve: Curve, states: Array) -> tuple[Array, Array]:
    """Positions along a curve that are nearest to states, and how far off these are."""
    n = len(curve.states)
    k = np.argmin(cdist(states, curve.states), axis=1)
    found, best = curve.position[k].copy(), np.full(len(states), np.inf)
    for side in (-1, 1):
        other = (k + side) % n if curve.is_ring else np.clip(k + side, 0, n - 1)
        a, b = curve.states[k], curve.states[other]
        along = b - a
        squared = np.maximum(np.sum(along**2, axis=1), 1e-300)
        share = np.clip(np.sum((states - a) * along, axis=1) / squared, 0.0, 1.0)
        off = np.linalg.norm(states - a - share[:, None] * along, axis=1)
        better = off < best
        best = np.where(better, off, best)
        found = np.where(better, curve.position[k] + side * share * np.sqrt(squared), found)
    return (np.mod(found, curve.length) if curve.is_ring else found), best
