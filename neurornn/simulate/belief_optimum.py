"""The best that can be done on the exact belief: value iteration on a grid of beliefs."""

from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurornn._core.errors import DataError
from neurornn._kernels.belief_grid import backup, corners, lookahead

Array = NDArray[np.float64]
#: Numbers that a table of what follows may hold.
_MOST = 60_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """What the exact belief is worth, and what it asks for; made by ``task.optimum()``.

    Attributes
    ----------
    value : expected discounted return of an episode under the best policy, from above.
    resolution : parts of an edge of the grid.
    values : (step, corner), worth of each corner with so many steps left, 0 at first.
    """

    value: float
    resolution: int
    values: Array = field(repr=False)
    _problem: tuple[NDArray[Any], ...] = field(repr=False)
    _discount: float
    _live: NDArray[np.intp] = field(repr=False)

    def action_values(self, belief: ArrayLike, n_left: int | None = None) -> Array:
        """Return what each action is worth at beliefs, (belief, action).

        Parameters
        ----------
        belief : (belief, state).
        n_left : steps until the episode is cut, this one included; by default all.
        """
        longest = len(self.values) - 1
        left = longest if n_left is None else int(min(max(n_left, 1), longest))
        rows = np.ascontiguousarray(np.atleast_2d(np.asarray(belief, float))[:, self._live])
        rows = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-300)
        move, likelihood, gain, bonus, choose = self._problem
        found = np.empty((len(rows), likelihood.shape[0]))
        # A piece at a time: what follows takes memory.
        size = max(1, _MOST // (40 * likelihood.size))
        for k in range(0, len(rows), size):
            part = slice(k, k + size)
            ahead = lookahead(rows[part], move, likelihood, gain, bonus, self.resolution, choose)
            backup(self.values[left - 1], self._discount, *ahead, found[part])
        return found

    def act(self, belief: ArrayLike, n_left: int | None = None) -> NDArray[np.int64]:
        """Return the best action at beliefs, (belief,).

        Parameters
        ----------
        belief : (belief, state).
        n_left : steps until the episode is cut, this one included; by default all.
        """
        return np.argmax(self.action_values(belief, n_left), axis=1)


def solve(
    transition: Array,
    reward: Array,
    initial: Array,
    ending: NDArray[np.bool_],
    channel: tuple[Array, Array, Array],
    discount: float,
    n_steps: int,
    resolution: int,
) -> Optimum:
    """Solve a decision process on its beliefs, backwards from the last step.

    Parameters
    ----------
    transition, reward : (action, state, next). initial : (state,). ending : (state,).
    channel : likelihood (action, observation, state after), that of the first observation
        (observation, state), and bonus (observation,).
    discount : of a step. n_steps : of an episode.
    resolution : parts of an edge of the grid.

    Returns
    -------
    Optimum

    Raises
    ------
    DataError
        A grid that does not fit into memory.
    """
    live = np.flatnonzero(~ending)
    n = len(live)
    move = np.ascontiguousarray(transition[:, live][:, :, live])
    gain = np.ascontiguousarray((transition * reward).sum(axis=2)[:, live])
    # What is gained by the last observation of an episode.
    over = np.einsum("aon,o->an", channel[0][:, :, ending], channel[2])
    gain += np.einsum("asn,an->as", transition[:, live][:, :, ending], over)
    likelihood = np.ascontiguousarray(channel[0][:, :, live])
    n_corners = comb(resolution + n - 1, n - 1)
    if n_corners * likelihood.size * 2 > _MOST:
        raise DataError(
            f"A grid of {n_corners} beliefs over {n} states, with {likelihood.shape[0]} actions "
            f"and {likelihood.shape[1]} observations",
            f"At most {_MOST // (2 * likelihood.size)} beliefs were needed",
            "Pass a smaller resolution to optimum()",
        )
    choose = _binomials(resolution + n, n + 1)
    points = _points(resolution, n, choose)
    problem = (move, likelihood, gain, channel[2], choose)
    ahead = lookahead(points, move, likelihood, gain, channel[2], resolution, choose)
    values = np.zeros((n_steps + 1, n_corners))
    best = np.empty((n_corners, len(move)))
    for k in range(n_steps):
        backup(values[k], discount, *ahead, best)
        values[k + 1] = best.max(axis=1)
    value = 0.0
    index, weight = np.empty(n, np.int64), np.empty(n)
    for row in channel[1]:
        joint = initial[live] * row[live]
        if joint.sum() > 0:
            corners(joint / joint.sum(), resolution, choose, index, weight)
            value += joint.sum() * float(weight @ values[-1][index])
    return Optimum(
        value=value, resolution=resolution, values=values, _problem=problem, _discount=discount,
        _live=live,
    )  # fmt: skip


def _binomials(n: int, k: int) -> NDArray[np.int64]:
    return np.array([[comb(i, j) for j in range(k)] for i in range(n)], np.int64)


def _points(resolution: int, n: int, choose: NDArray[np.int64]) -> Array:
    """Corners of the grid, (corner, state), each at its rank."""
    tails = np.array(
        [row[::-1] for row in combinations_with_replacement(range(resolution + 1), n - 1)], int
    ).reshape(-1, n - 1)
    rank = np.zeros(len(tails), int)
    for i in range(1, n):
        rank += choose[tails[:, i - 1] + n - 1 - i, n - i]
    whole = np.column_stack([np.full(len(tails), resolution), tails, np.zeros(len(tails), int)])
    points = np.empty((len(tails), n))
    points[rank] = -np.diff(whole, axis=1) / resolution
    return points
