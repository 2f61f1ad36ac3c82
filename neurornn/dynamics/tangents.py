"""Trajectories of a map, and how fast it pulls apart what lies beside them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Blocks into which a trajectory is cut; a power of two, so that neighbours can be merged.
N_BLOCKS = 32
#: A state so many times further out than any start has left for good.
FAR = 1e9
#: Directions are made orthogonal again before they differ in length by so much, and what went
#: beyond the second figure is done again with a step at a time: of 16 digits, 10 and 5 are left.
_USUAL, _MOST = np.log(1e6), np.log(1e11)
_EPS = float(np.finfo(float).eps)


class Tangents(NamedTuple):
    """What became of some trajectories.

    Attributes
    ----------
    growth : (trajectory, block, exponent), mean log of what a direction grows by in a step; NaN
        where the trajectory left.
    end : (trajectory, state), the last states.
    moved_out : (trajectory,), how many times further out the end is than where measuring began.
    size : (trajectory,), how large the states are, by which what is small is judged.
    stayed : (trajectory,), whether it did.
    n_steps : that were measured.
    directions : (trajectory, state, exponent), as they stood at the end.
    """

    growth: Array
    end: Array
    moved_out: Array
    size: Array
    stayed: NDArray[np.bool_]
    n_steps: int
    directions: Array


def follow(
    cell_at: Callable[[int], Any],
    starts: Array,
    n_exponents: int,
    n_transient: int,
    n_steps: int,
    rng: np.random.Generator,
    tick: Callable[[], None],
    before: Tangents | None = None,
) -> Tangents:
    """Run trajectories on, with directions that are kept orthogonal.

    Parameters
    ----------
    cell_at : number of a step -> its cell; see `neurornn.dynamics.cells`.
    starts : (trajectory, state).
    n_exponents : directions that are followed.
    n_transient : steps before anything is measured. In the second half of them the directions,
        random at first and others for each trajectory, turn into those that grow most.
    n_steps : steps of all blocks together, a multiple of `N_BLOCKS`.
    rng : what the directions are drawn from.
    tick : called after each half of the transient, and after each block.
    before : what became of the same starts so far: they run on from there, with the directions in
        place, and without a transient.
    """
    n, m = len(starts), n_exponents
    growth = np.full((n, N_BLOCKS, m), np.nan)
    left = np.arange(n) if before is None else np.flatnonzero(before.stayed)
    bound = FAR * max(1.0, float(np.abs(starts).max(initial=0.0)))
    h, at, half = starts, 0, n_transient // 2
    if before is not None:
        h, half, n_transient = before.end[left], 0, 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        while at < half and len(left):
            h = cell_at(at).step(h)
            keep = _within(h, bound)
            h, left, at = h[keep], left[keep], at + 1
        tick()
        if before is None:
            q = np.linalg.qr(rng.standard_normal((n, starts.shape[1], m)))[0][left]
        else:
            q = before.directions[left]
        runner = _Runner(cell_at, bound, half)
        h, q, left, _ = runner.run(h, q, left, n_transient - half)
        tick()
        began, those = np.linalg.norm(h, axis=1), left
        for block in range(N_BLOCKS):
            h, q, left, found = runner.run(h, q, left, n_steps // N_BLOCKS)
            growth[left, block] = found
            tick()
    stayed = np.zeros(n, dtype=bool)
    stayed[left] = True
    growth[~stayed] = np.nan
    end, size, moved_out = np.full(starts.shape, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    end[left], last = h, np.linalg.norm(h, axis=1)
    size[left] = np.maximum(np.linalg.norm(starts[left], axis=1), last)
    moved_out[left] = last / np.maximum(began[np.isin(those, left)], 1e-300)
    directions = np.full((n, starts.shape[1], m), np.nan)
    directions[left] = q
    return Tangents(growth, end, moved_out, size, stayed, n_steps, directions)


def _within(h: Array, bound: float) -> NDArray[np.bool_]:
    # What is not a number is not below a bound either.
    return np.asarray((np.abs(h) < bound).all(axis=1))


class _Runner:
    """Steps of states and directions; how rarely these can be made orthogonal is learned."""

    def __init__(self, cell_at: Callable[[int], Any], bound: float, at: int) -> None:
        self.cell_at, self.bound, self.at = cell_at, bound, at
        self.every = 1

    def run(
        self, h: Array, q: Array, left: NDArray[np.int64], n_steps: int
    ) -> tuple[Array, Array, NDArray[np.int64], Array]:
        """Do so many steps; returns what stayed, and its mean log growth in a step."""
        total, done = np.zeros((len(left), q.shape[2])), 0
        while done < n_steps and len(left):
            many = min(self.every, n_steps - done)
            state, moved = h, q
            for k in range(many):
                state, jacobian = self.cell_at(self.at + done + k).step_and_jacobian(state)
                moved = jacobian @ moved
            keep = _within(state, self.bound) & np.isfinite(moved).all(axis=(1, 2))
            if many > 1 and not keep.all():
                self.every = 1
                continue
            state, moved, left, total = state[keep], moved[keep], left[keep], total[keep]
            if not len(left):
                return state, moved, left, total
            moved, r = np.linalg.qr(moved)
            size = np.abs(np.diagonal(r, axis1=1, axis2=2))
            longest = size.max(axis=1, keepdims=True)
            # What is left of a direction that is lost to rounding is rounding.
            log = np.log(np.where(size > 4 * _EPS * q.shape[1] * longest, size, 0.0))
            apart = float(max(np.abs(log).max(), (np.log(longest) - log).max()))
            if many > 1 and not apart < _MOST:
                self.every = 1
                continue
            if many == self.every and 2 * apart < _USUAL:
                self.every *= 2
            elif apart > _USUAL:
                self.every = max(1, self.every // 2)
            h, q, done = state, moved, done + many
            total = total + log
        self.at += n_steps
        return h, q, left, total / max(n_steps, 1)
