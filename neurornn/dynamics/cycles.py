"""Cycles of a map: orbits that come back after some steps, and curves that a flow's steps follow.

The step map of a differential equation rarely comes back to the same state: a turn takes no whole
number of steps. Its states lie on a closed curve all the same, and along the curve they move as
smoothly as the equation does, so that polynomials through neighbouring steps say where the state
is between two of them, and how a push has grown by then.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.maps import StateMap

Array = NDArray[np.float64]

#: Phases at which the states of a cycle are told.
N_PHASES = 200
#: Turns after which an orbit closes at most, and steps that are run in search of it.
MAX_PERIODS, MAX_STEPS = 16, 20_000
#: Longest orbit of whole steps that is looked for as such.
LONGEST_ORBIT = 256
#: Steps through which a polynomial is laid to tell what lies between two of them: order 9. At 50
#: steps a turn it misses a sine by 1e-12, at 8 steps by 1e-5.
_NODES = 10
#: Newton steps before a guess is given up.
_N_NEWTON = 12
#: Laps over which a curve must close; and by how much of its extent it may miss.
_LAPS, CLOSED = 8, 1e-3
#: How far Newton steps may lead from the trajectory, as a share of the extent of the cycle.
_NEAR = 0.2
#: Largest number of entries of Jacobians held at a time.
_HELD = 2_000_000
#: A state is at rest where it moves, or its trajectory extends, by less than this share.
_REST = 1e-9


class Cycle(NamedTuple):
    """A closed orbit, or the closed curve on which the steps of a flow lie.

    Attributes
    ----------
    period : steps of a turn; a whole number of them where the map itself comes back.
    states : (phase, state), at 200 phases that are equally far apart in time. An orbit of whole
        steps is nowhere between them: each of its states stands for the phases up to the next.
    multipliers : (state,), complex, what pushes grow by in a turn, the largest first.
    trivial : index of the multiplier along the curve, 1 but for rounding; None where the map comes
        back after whole steps, which has none.
    is_stable : whether all other multipliers are below 1 in size.
    residual : by how much of its extent the cycle misses itself, at worst over some turns.
    """

    period: float
    states: Array
    multipliers: NDArray[np.complex128]
    trivial: int | None
    is_stable: bool
    residual: float


def cycle_through(
    state_map: StateMap,
    start: Array,
    *,
    max_periods: int = MAX_PERIODS,
    max_steps: int = MAX_STEPS,
) -> Cycle | None:
    """Find the stable cycle to which a state comes; None where it comes to none.

    Parameters
    ----------
    state_map : see `neurornn.dynamics.maps`.
    start : (state,), near the cycle or on the way to it.
    max_periods : turns after which an orbit closes at most: after a period doubling it is two.
    max_steps : steps that are run to settle and to look for a return.

    Returns
    -------
    Cycle, or None
        None for a state that comes to rest, for chaos, for a torus, for a family of cycles side
        by side such as circles of a linear rotation, and for curves with fewer than about 6 steps
        a turn, between which nothing can be told.

    Notes
    -----
    A return of the trajectory to a plane across its direction is where Newton steps begin: on
    ``F^k(h) - h`` for whole k, and on ``h(T) - h`` for the period T and a state of the plane, with
    polynomials of order 9 between steps (shooting; Keller 1977). Multipliers are the eigenvalues
    of the product of the Jacobians of the steps, read at T by the same polynomials. A cycle is
    returned where the trajectory stays near it, it is stable, and it closes turn after turn.
    """
    cell, done = state_map.cell, 0
    h = np.array(start, dtype=float)[None]
    most = max(4 * _NODES, 20_000_000 // max(cell.n_state, 1))
    with np.errstate(all="ignore"):
        # First near the start, as it is said to be near; then ever later and longer.
        for n_steps in (600, 4_000, max_steps):
            n_steps = min(n_steps, max_steps - done, 2 * most)
            if n_steps < 8 * _NODES:
                return None
            for _ in range(n_steps // 2):
                h = cell.step(h)
            path = _path(cell, h[0], n_steps - n_steps // 2)
            done += n_steps
            h = path[-1:]
            if not np.isfinite(path).all():
                return None
            extent = _extent(path)
            if extent <= _REST * (1 + np.abs(path).max()):
                return None
            found = _closed(cell, path, extent, max_periods)
            if found is not None:
                return found
    return None


def _closed(cell: Any, path: Array, extent: float, max_periods: int) -> Cycle | None:
    """Look for a cycle near a trajectory, (step, state)."""
    for k in _returns_of_steps(path, extent, max_periods):
        orbit = _orbit(cell, path[0], k, extent)
        if orbit is not None:
            return orbit
    # With fewer than 6 steps a turn, polynomials lay a slow curve through what turns fast.
    if np.linalg.norm(np.diff(path, axis=0), axis=1).max() > extent:
        return None
    for guess in _returns_to_plane(path, extent, max_periods):
        curve = _curve(cell, path, guess, extent)
        if curve is not None:
            return curve
    return None


def _path(cell: Any, start: Array, n_steps: int) -> Array:
    """States of a trajectory, (step, state), the start first."""
    states, h = np.empty((n_steps + 1, len(start))), start[None]
    states[0] = start
    for k in range(n_steps):
        h = cell.step(h)
        states[k + 1] = h[0]
        if not np.isfinite(h).all():
            return states[: k + 2]
    return states


def _extent(path: Array) -> float:
    """How far states lie from their middle at most."""
    middle = (path.max(axis=0) + path.min(axis=0)) / 2
    return float(np.linalg.norm(path - middle, axis=1).max())


def _jacobians(cell: Any, path: Array) -> Iterator[Array]:
    """Jacobian of the step from each state, in their order."""
    size = max(1, _HELD // max(path.shape[1] ** 2, 1))
    for first in range(0, len(path), size):
        yield from cell.step_and_jacobian(path[first : first + size])[1]


def _returns_of_steps(path: Array, extent: float, most: int) -> list[int]:
    """Whole numbers of steps after which a trajectory is back about where it was."""
    away = np.linalg.norm(path[1 : LONGEST_ORBIT + 1] - path[0], axis=1)
    beside = np.minimum(np.append(away[1:], np.inf), np.insert(away[:-1], 0, np.inf))
    near = np.flatnonzero((away <= 0.1 * extent) & (away <= beside))
    return [int(k) + 1 for k in near[_records(away[near])][:most]]


def _records(away: Array) -> NDArray[np.bool_]:
    """Which of some returns, in their order, come clearly nearer than all before.

    After a period doubling the second return does; on a torus and in chaos few ever do, and no
    time is lost with the others.
    """
    before = np.minimum.accumulate(np.insert(away, 0, np.inf))[:-1]
    return np.asarray(away < 0.7 * before)


def _orbit(cell: Any, start: Array, k: int, extent: float) -> Cycle | None:
    """The stable orbit of k steps near a state, by Newton steps on ``F^k(h) - h``."""
    h, size = start, 1 + np.abs(start).max()
    # Where a flow nearly closes, nothing holds the state along the curve, and a step leads far.
    for _ in range(_N_NEWTON):
        path = _path(cell, h, k)
        product = _product(cell, path[:-1])
        d = _solved(np.eye(len(h)) - product, path[-1] - h)
        if not np.linalg.norm(h + d - start) <= _NEAR * extent:
            return None
        h = h + d
        if np.linalg.norm(d) <= 1e-11 * size:
            break
    path = _path(cell, h, k)
    away = np.linalg.norm(path - h, axis=1)
    own = _extent(path)
    if not away[-1] <= 1e-10 * size or not 0.5 * extent <= own <= 2 * extent:
        return None
    multipliers = _sorted(np.linalg.eigvals(_product(cell, path[:-1])))
    # Along the curve of a flow whose turn takes whole steps, every state is such an orbit.
    if np.abs(multipliers[0]) >= 1 - 1e-6:
        return None
    period = 1 + int(np.flatnonzero(away[1:] <= 1e-8 * own)[0])
    if period < k:
        return _orbit(cell, h, period, extent)
    states = path[np.arange(N_PHASES) * k // N_PHASES]
    return Cycle(float(k), states, multipliers, None, True, float(away[-1] / own))


def _product(cell: Any, path: Array) -> Array:
    whole = np.eye(path.shape[1])
    for jacobian in _jacobians(cell, path):
        whole = jacobian @ whole
    return whole


def _solved(a: Array, r: Array) -> Array:
    try:
        return np.asarray(np.linalg.solve(a, r))
    except np.linalg.LinAlgError:
        return np.full(r.shape, np.nan)


def _sorted(values: Array) -> NDArray[np.complex128]:
    return np.asarray(values[np.argsort(-np.abs(values), kind="stable")], dtype=complex)


def _weights(at: float) -> tuple[int, Array, Array]:
    """First step of the polynomial around a time, its weights, and those of its derivative."""
    first = max(int(np.floor(at)) - _NODES // 2 + 1, 0)
    return first, *_lagrange(at - first)


def _lagrange(at: float) -> tuple[Array, Array]:
    """Weights of the nodes 0, 1, ... in the polynomial through them and in its derivative."""
    nodes = np.arange(_NODES)
    apart = np.where(np.eye(_NODES, dtype=bool), 1, nodes[:, None] - nodes)
    value, slope = np.empty(_NODES), np.zeros(_NODES)
    for i in nodes:
        factors = np.delete(at - nodes, i) / np.delete(apart[i], i)
        value[i] = np.prod(factors)
        for k in range(_NODES - 1):
            slope[i] += np.prod(np.delete(factors, k)) / np.delete(apart[i], i)[k]
    return value, slope


def _between(path: Array, at: float) -> tuple[Array, Array]:
    """State at a time between steps, and how fast it moves a step."""
    first, value, slope = _weights(at)
    near = path[first : first + _NODES]
    return value @ near, slope @ near


def _returns_to_plane(path: Array, extent: float, most: int) -> list[tuple[int, float]]:
    """Where to begin, and times after which the trajectory crosses a plane there once more."""
    begin = _NODES // 2
    here, speed = _between(path, float(begin))
    along = (path[begin:] - here) @ speed
    cross = np.flatnonzero((along[:-1] < 0) & (along[1:] >= 0))
    share = along[cross] / (along[cross] - along[cross + 1])
    before, after = path[begin + cross], path[begin + cross + 1]
    # Closed curves may cross the plane elsewhere too.
    away = np.linalg.norm(before + share[:, None] * (after - before) - here, axis=1)
    near = (away <= 0.25 * extent) & (cross + share > 2)
    times = (cross + share)[near][:most]
    return [(begin, float(t)) for t in times[_records(away[near][:most])]]


def _curve(cell: Any, path: Array, guess: tuple[int, float], extent: float) -> Cycle | None:
    """The stable closed curve near a trajectory, by shooting for its period and a state of it."""
    begin, period = guess
    start, speed = path[begin], _between(path, float(begin))[1]
    n, h = len(start), path[begin]
    size, before = 1 + np.abs(start).max(), np.inf
    first = _weights(period)[0]
    for _ in range(_N_NEWTON):
        # The nodes stay where they are while the period moves little, so that what is solved
        # stays one and the same equation.
        if abs(period - first - _NODES / 2) > 1.5:
            first = _weights(period)[0]
        whole, end, speed_there = _after(cell, h, period, first)
        # Near a cycle what is missing falls fast; elsewhere it is not worth the steps.
        miss = float(np.linalg.norm(end - h))
        if not miss <= max(0.5 * before, 1e-10 * size):
            return None
        before = miss
        matrix = np.zeros((n + 1, n + 1))
        matrix[:n, :n], matrix[:n, n] = np.eye(n) - whole, -speed_there
        matrix[n, :n] = speed / np.linalg.norm(speed)
        d = _solved(matrix, np.append(end - h, 0.0))
        moved = np.linalg.norm(h + d[:n] - start)
        if not (moved <= _NEAR * extent and abs(d[n]) <= 0.2 * period):
            return None
        h, period = h + d[:n], period + float(d[n])
        if np.linalg.norm(d[:n]) <= 1e-11 * size and abs(d[n]) <= 1e-9 * period:
            break
    else:
        return None
    return _read(cell, h, period, path, extent)


def _after(cell: Any, h: Array, period: float, first: int) -> tuple[Array, Array, Array]:
    """Derivative of the state after a time, that state, and its speed; by nodes from `first`."""
    path = _path(cell, h, first + _NODES - 1)
    value, slope = _lagrange(period - first)
    product = np.eye(len(h))
    whole = np.zeros_like(product)
    for k, jacobian in enumerate(_jacobians(cell, path)):
        if k >= first:
            whole += value[k - first] * product
        product = jacobian @ product
    near = path[first : first + _NODES]
    return whole, value @ near, slope @ near


def _read(cell: Any, h: Array, period: float, path: Array, extent: float) -> Cycle | None:
    """Check a curve that was found, and read it."""
    # Newton steps leave a state a little off the curve where nodes lie on both sides of no step:
    # a turn brings it back. What is told comes after one.
    run = _path(cell, h, int((_LAPS + 1) * period) + 2 * _NODES)
    if not np.isfinite(run).all():
        return None
    own = _extent(run)
    here, speed = _between(run, period)
    ends = [_between(run, (lap + 1) * period)[0] for lap in range(1, _LAPS + 1)]
    # Along the curve too, so that a wrong period adds up from turn to turn.
    residual = max(float(np.linalg.norm(end - here)) for end in ends) / own
    if not (residual <= CLOSED and 0.5 * extent <= own <= 2 * extent):
        return None
    mean = period - float((ends[-1] - here) @ speed / (speed @ speed)) / _LAPS
    times = mean * (1 + np.arange(N_PHASES) / N_PHASES)
    states = np.array([_between(run, t)[0] for t in times])
    # The trajectory stays by the curve, up to what lies between two phases.
    gaps = np.linalg.norm(np.roll(states, -1, axis=0) - states, axis=1)
    late = path[-int(period) - 1 :]
    away = np.sqrt(np.min([np.sum((late - s) ** 2, axis=1) for s in states], axis=0))
    if away.max() > _NEAR * own + gaps.max():
        return None
    whole, *_ = _after(cell, here, mean, _weights(mean)[0])
    multipliers = _sorted(np.linalg.eigvals(whole))
    trivial = int(np.argmin(np.abs(multipliers - 1)))
    off = float(np.abs(multipliers[trivial] - 1))
    others = np.delete(multipliers, trivial)
    # One more of size 1: a torus or a family of curves, or a bifurcation; told from 1 as far as
    # the trivial one is.
    room = max(1e-6, 10 * off)
    if off > 0.01 or (len(others) and np.abs(others[0]) >= 1 - room):
        return None
    return Cycle(mean, states, multipliers, trivial, True, residual)
