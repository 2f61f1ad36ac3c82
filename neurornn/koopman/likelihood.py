"""The likelihood of rates given trajectories with white noise, and the search for its maximum.

Two models: one trajectory, whose modes look like anything (`Free`), and several that share what
their modes look like and differ in where they start (`Shared`). What enters linearly is eliminated
in closed form (variable projection), and the rest climbed by Levenberg and Marquardt's steps.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.koopman.exponentials import (
    Array,
    Sums,
    Trajectory,
    functions_of,
    slopes_of,
    sums_of,
    within_reach,
)

#: Steps of the search, and the relative change at which it ends.
_MAX_STEPS, _SETTLED = 100, 1e-9
#: Relative size of what is added to a matrix of sums, so that two modes may meet on the way.
_RIDGE = 1e-14
#: Directions in which the likelihood is flat: a mode's size may move from its look to its start.
_FLAT = 1e-9


class State(NamedTuple):
    """What is known at one set of rates.

    Attributes
    ----------
    cost : squared residual, summed.
    sums : of each trajectory.
    coefficients : (rank, axis) of each trajectory, of the functions that span it.
    inverses : (linear, linear) of each trajectory: of the moments of what was eliminated.
    starts : (rank,) of each trajectory; none where its modes are free.
    """

    cost: float
    sums: list[Sums]
    coefficients: list[Array]
    inverses: list[Array]
    starts: list[Array]


class Free:
    """One trajectory or more, each with modes that look like anything.

    Parameters
    ----------
    time : (time,), the grid of times, in units of the longest trajectory.
    trajectories : on that grid.
    rank : modes, conjugates counted twice.
    """

    def __init__(self, time: Array, trajectories: list[Trajectory], rank: int) -> None:
        self.time, self.trajectories, self.rank = time, trajectories, rank
        self.total = float(sum(np.sum(t.values**2) for t in trajectories))

    def at(self, x: Array) -> State | None:
        """State at rates (rank,)."""
        if not within_reach(x[: self.rank], self.time):
            return None
        r = self.rank
        sums = sums_of(functions_of(self.time, x[:r]), self.trajectories)
        explained, found, inverses = 0.0, [], []
        for gram, cross in sums:
            inverse = _inverse(gram[:r, :r])
            b = inverse @ cross[:r]
            explained += float(np.sum(b * cross[:r]))
            found.append(b)
            inverses.append(inverse)
        return State(self.total - explained, sums, found, inverses, [])

    def normal(self, x: Array, state: State) -> tuple[Array, Array]:
        """Curvature and slope in the rates, what is linear eliminated."""
        r = self.rank
        curvature, slope = np.zeros((r, r)), np.zeros(r)
        for k, left, rest in self.influence(x, state):
            flat = k.reshape(r, -1)
            curvature += flat @ (left @ k).reshape(r, -1).T
            slope += flat @ rest.ravel()
        return curvature, slope

    def influence(self, x: Array, state: State) -> list[tuple[Array, Array, Array]]:
        """Per trajectory: slopes (rate, function, axis), moments left, and what is unexplained."""
        r, found = self.rank, []
        for (gram, cross), b, inverse in zip(
            state.sums, state.coefficients, state.inverses, strict=True
        ):
            left = gram - gram[:, :r] @ inverse @ gram[:r]
            found.append((slopes_of(b, r), left, cross - gram[:, :r] @ b))
        return found


class Shared:
    """Several trajectories that share what their modes look like.

    Parameters are the rates (rank,) and the looks (axis, rank), one after the other.
    """

    def __init__(self, time: Array, trajectories: list[Trajectory], rank: int) -> None:
        self.time, self.trajectories, self.rank = time, trajectories, rank
        self.total = float(sum(np.sum(t.values**2) for t in trajectories))

    def looks(self, x: Array) -> Array:
        """(axis, rank)."""
        return x[self.rank :].reshape(-1, self.rank)

    def spread(self, x: Array) -> Array:
        """How a start becomes coefficients of the functions: (rank, axis, rank)."""
        r, m = self.rank, self.looks(x)
        n_pair, odd = divmod(r, 2)
        out = np.zeros((r, len(m), r))
        for b in range(n_pair):
            i, j, w = 2 * b, 2 * b + 1, x[2 * b + 1]
            out[i, :, i], out[i, :, j] = m[:, i], m[:, j]
            out[j, :, j], out[j, :, i] = m[:, i], -w * m[:, j]
        if odd:
            out[-1, :, -1] = m[:, -1]
        return out

    def at(self, x: Array) -> State | None:
        """State at rates and looks."""
        r = self.rank
        if not np.isfinite(x).all() or not within_reach(x[:r], self.time):
            return None
        sums = sums_of(functions_of(self.time, x[:r]), self.trajectories)
        spread = self.spread(x)
        explained, found, inverses, starts = 0.0, [], [], []
        for gram, cross in sums:
            moved = np.tensordot(gram[:r, :r], spread, 1)
            inverse = _inverse(np.tensordot(spread, moved, ((0, 1), (0, 1))))
            right = np.tensordot(spread, cross[:r], ((0, 1), (0, 1)))
            start = inverse @ right
            explained += float(start @ right)
            found.append(spread @ start)
            inverses.append(inverse)
            starts.append(start)
        return State(self.total - explained, sums, found, inverses, starts)

    def normal(self, x: Array, state: State) -> tuple[Array, Array]:
        """Curvature and slope in rates and looks, the starts eliminated."""
        n = len(x)
        curvature, slope = np.zeros((n, n)), np.zeros(n)
        for k, gram, rest in self.influence(x, state):
            curvature += k.reshape(n, -1) @ (gram @ k).reshape(n, -1).T
            slope += k.reshape(n, -1) @ rest.ravel()
        return curvature, slope

    def influence(self, x: Array, state: State) -> list[tuple[Array, Array, Array]]:
        """Per trajectory: slopes, moments of the functions, and what is unexplained.

        Slopes are (parameter, function, axis), with the starts eliminated.
        """
        r, m = self.rank, self.looks(x)
        n_axis, n_pair = len(m), r // 2
        spread, found = self.spread(x), []
        for (gram, cross), b, inverse, start in zip(
            state.sums, state.coefficients, state.inverses, state.starts, strict=True
        ):
            n_function = len(gram)
            k = np.zeros((r + n_axis * r, n_function, n_axis))
            k[:r] = slopes_of(b, r)
            by_look = np.zeros((r, n_function))
            for p in range(n_pair):
                i, j, w = 2 * p, 2 * p + 1, x[2 * p + 1]
                k[j, j] -= m[:, j] * start[i]
                by_look[i, i], by_look[i, j] = start[i], start[j]
                by_look[j, i], by_look[j, j] = start[j], -w * start[i]
            if r % 2:
                by_look[-1, r - 1] = start[-1]
            for axis in range(n_axis):
                k[r + axis * r : r + (axis + 1) * r, :, axis] = by_look
            own = np.zeros((r, n_function, n_axis))
            own[:, :r] = spread.transpose(2, 0, 1)
            cross_own = k.reshape(len(k), -1) @ (gram @ own).reshape(r, -1).T
            k -= np.tensordot(cross_own @ inverse, own, 1)
            found.append((k, gram, cross - gram[:, :r] @ b))
        return found


class Climbed(NamedTuple):
    """Where a search ended.

    Attributes
    ----------
    x : parameters, the rates first.
    state : what is known there.
    settled : whether it stopped by itself.
    """

    x: Array
    state: State
    settled: bool


def climb(problem: Free | Shared, x: Array, *, stable: bool) -> Climbed | None:
    """Go to the maximum of the likelihood from a start; None where that cannot be computed."""
    x = kept_stable(x, problem.rank) if stable else x.copy()
    state = problem.at(x)
    if state is None:
        return None
    damping, settled = 1e-3, False
    total = problem.total
    for _ in range(_MAX_STEPS):
        curvature, slope = problem.normal(x, state)
        scale = np.diag(curvature) + 1e-12 * np.trace(curvature) / len(x)
        fixed = _at_bound(x, slope, problem.rank) if stable else np.zeros(len(x), dtype=bool)
        slope = np.where(fixed, 0.0, slope)
        better = False
        while damping < 1e12:
            try:
                step = np.linalg.solve(curvature + np.diag(damping * scale), slope)
            except np.linalg.LinAlgError:
                damping *= 10
                continue
            step = np.where(fixed, 0.0, step)
            moved = x + step
            if stable:
                moved = kept_stable(moved, problem.rank)
            found = problem.at(moved)
            if found is not None and found.cost <= state.cost + 1e-15 * total:
                better = True
                break
            damping *= 4
        if not better:
            settled = True
            break
        assert found is not None
        gain = state.cost - found.cost
        change = np.max(np.abs(moved - x)[: problem.rank] / (1 + np.abs(x[: problem.rank])))
        x, state = moved, found
        damping = max(damping / 10, 1e-12)
        if change < _SETTLED or (gain < 1e-10 * max(state.cost, 0.0) and change < 1e-4):
            settled = True
            break
    return Climbed(x, state, settled)


def covariance_of(problem: Free | Shared, found: Climbed, noise: Array) -> Array:
    """Covariance (parameter, parameter) under noise that is white in time.

    Parameters
    ----------
    noise : (axis, axis), covariance of the noise of a frame.
    """
    n = len(found.x)
    curvature, middle = np.zeros((n, n)), np.zeros((n, n))
    for k, left, _ in problem.influence(found.x, found.state):
        flat = (left @ k).reshape(n, -1)
        curvature += k.reshape(n, -1) @ flat.T
        middle += (k @ noise).reshape(n, -1) @ flat.T
    inverse = _pseudo_inverse(curvature)
    return inverse @ middle @ inverse


def _pseudo_inverse(curvature: Array) -> Array:
    scale = np.sqrt(np.maximum(np.diag(curvature), 1e-300))
    values, vectors = np.linalg.eigh(curvature / np.outer(scale, scale))
    keep = values > _FLAT * values[-1]
    inside = vectors[:, keep] / values[keep] @ vectors[:, keep].T
    return np.asarray(inside / np.outer(scale, scale))


def _inverse(moments: Array) -> Array:
    size = np.sqrt(np.maximum(np.diag(moments), 1e-300))
    scaled = moments / np.outer(size, size)
    scaled[np.diag_indices(len(scaled))] += _RIDGE
    try:
        found = np.linalg.inv(scaled)
    except np.linalg.LinAlgError:
        found = np.linalg.pinv(scaled, hermitian=True)
    return np.asarray(found / np.outer(size, size))


def kept_stable(x: Array, rank: int) -> Array:
    """Move rates of modes that grow to those of modes that stay."""
    out = x.copy()
    for b in range(rank // 2):
        # The larger real part of the two is at most 0.
        out[2 * b] = min(out[2 * b], -float(np.sqrt(max(-out[2 * b + 1], 0.0))))
    if rank % 2:
        out[rank - 1] = min(out[rank - 1], 0.0)
    return out


def _at_bound(x: Array, slope: Array, rank: int) -> NDArray[np.bool_]:
    """Which rates stand at the bound of stability and would go beyond it."""
    fixed = np.zeros(len(x), dtype=bool)
    for b in range(rank // 2):
        edge = x[2 * b] >= -np.sqrt(max(-x[2 * b + 1], 0.0)) - 1e-12
        fixed[2 * b] = edge and slope[2 * b] > 0
    if rank % 2:
        fixed[rank - 1] = x[rank - 1] >= -1e-12 and slope[rank - 1] > 0
    return fixed
