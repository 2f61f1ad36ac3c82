"""Curves of fixed points as a parameter moves: steps along them, and where they turn or branch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.cells import solved

Array = NDArray[np.float64]

#: Longest step along a curve, in states and in the whole way of the parameter, and the shortest
#: before a curve is given up.
LONGEST, SHORTEST = 0.1, 1e-9
#: Steps of one curve at most.
MOST_STEPS = 4000
#: Cosines of the angle between tangents: below the first a step is taken again, shorter; above the
#: second the next may be longer.
_TURNED, _STRAIGHT = 0.95, 0.995
#: Step of the difference quotient in the parameter, of the fourth order.
_NUDGE = 1e-4


class Family:
    """A map for every value of a parameter between 0 and 1.

    Parameters
    ----------
    cell_at : values (n,) -> the cell of n states, each under its own value.
    n_state : numbers of a state.
    """

    def __init__(self, cell_at: Callable[[Array], Any], n_state: int) -> None:
        self.cell_at, self.n_state = cell_at, n_state

    def parts(self, x: Array) -> tuple[Array, Array, Array]:
        """``F(h) - h``, its Jacobian in h, and its derivative in the parameter.

        Parameters
        ----------
        x : (n, state + 1), states with the value of the parameter behind.
        """
        h, s = x[:, :-1], x[:, -1]
        f, jacobian = self.cell_at(s).step_and_jacobian(h)
        index = np.arange(self.n_state)
        jacobian[:, index, index] -= 1.0
        there = [self.cell_at(s + k * _NUDGE).step(h) for k in (-2, -1, 1, 2)]
        slope = (there[0] - there[3] + 8 * (there[2] - there[1])) / (12 * _NUDGE)
        return f - h, jacobian, slope

    def bordered(self, x: Array, rows: Array) -> tuple[Array, Array]:
        """``F(h) - h``, and its derivatives with a last row (n, state + 1) below them."""
        r, jacobian, slope = self.parts(x)
        whole = np.concatenate([jacobian, slope[:, :, None]], axis=2)
        return r, np.concatenate([whole, rows[:, None, :]], axis=1)

    def eigenvalues(self, x: Array) -> NDArray[np.complex128]:
        """Eigenvalues of the step map, (n, mode), the largest first."""
        found = self.cell_at(x[:, -1]).eigenvalues(x[:, :-1])
        order = np.argsort(-np.abs(found), axis=1, kind="stable")
        return np.take_along_axis(found.astype(complex), order, axis=1)


class Arc(NamedTuple):
    """A piece of a curve on which the parameter rises, or falls, all along.

    Attributes
    ----------
    x : (step, state + 1), states and parameter.
    t : (step, state + 1), unit tangents in the direction of the walk.
    ended : ``"edge"`` of the range, ``"fold"`` where the curve turns back, or ``"lost"``.
    beyond : first point and tangent after the fold.
    """

    x: Array
    t: Array
    ended: str
    beyond: tuple[Array, Array] | None = None


def unit_tangents(family: Family, x: Array, before: Array) -> tuple[Array, Array]:
    """Unit tangents at points of a curve, on the side of those before, and a determinant.

    The determinant of the derivatives bordered by the tangent, scaled by the lengths of its rows,
    vanishes where another curve crosses, and not where this one turns back.
    """
    _, matrix = family.bordered(x, before)
    right = np.zeros_like(x)
    right[:, -1] = 1.0
    t = solved(matrix, right)
    t /= np.linalg.norm(t, axis=1, keepdims=True)
    matrix[:, -1] = t
    size = np.linalg.norm(matrix, axis=2)
    return t, np.linalg.det(matrix / np.maximum(size, 1e-300)[:, :, None])


def corrected(
    family: Family, guess: Array, rows: Array, n_steps: int = 8
) -> tuple[Array, NDArray[np.bool_]]:
    """Newton steps back onto a curve, across the direction of `rows`; which of them arrived."""
    x = guess.copy()
    arrived = np.zeros(len(x), dtype=bool)
    left = np.arange(len(x))
    for _ in range(n_steps):
        r, matrix = family.bordered(x[left], rows[left])
        off = np.einsum("ij,ij->i", rows[left], x[left] - guess[left])
        move = solved(matrix, -np.column_stack([r, off]))
        x[left] += move
        scale = 1.0 + np.linalg.norm(x[left], axis=1)
        near = np.linalg.norm(move, axis=1) < 1e-10 * scale
        arrived[left[near]] = np.linalg.norm(r[near], axis=1) < 1e-8
        left = left[~near & np.isfinite(move).all(axis=1)]
        if not len(left):
            break
    return x, arrived


def start_tangents(family: Family, x: Array, towards: float) -> Array:
    """Unit tangents at points where the parameter goes up (1) or down (-1)."""
    rows = np.zeros_like(x)
    rows[:, -1] = 1.0
    return towards * unit_tangents(family, x, rows)[0]


def trace(family: Family, x: Array, t: Array, tick: Callable[[], None] | None = None) -> list[Arc]:
    """Follow curves from points with tangents up to the edge of the range or the next fold.

    Parameters
    ----------
    family : the map.
    x, t : (curve, state + 1), points on the curves and unit tangents.
    tick : called after each round of steps.

    Returns
    -------
    list of Arc, one a curve

    Notes
    -----
    Pseudo-arclength continuation (Keller 1977): a step along the tangent, Newton steps across it.
    """
    n = len(x)
    walked = [([x[k]], [t[k]]) for k in range(n)]
    ended, beyond = ["lost"] * n, [None] * n  # type: ignore[var-annotated]
    at, heading, length = x.copy(), t.copy(), np.full(n, LONGEST / 10)
    left = np.arange(n)
    for _ in range(MOST_STEPS):
        if not len(left):
            break
        if tick is not None:
            tick()
        here, along, size = at[left], heading[left], length[left]
        guess, rows = here + size[:, None] * along, along.copy()
        # The last step ends at the edge itself.
        edge = (along[:, -1] > 0).astype(float)
        over = (guess[:, -1] - edge) * np.sign(along[:, -1]) >= 0
        share = (edge - here[:, -1])[over] / along[over, -1]
        guess[over] = here[over] + share[:, None] * along[over]
        rows[over], rows[over, -1] = 0.0, 1.0
        size = np.where(over, np.linalg.norm(guess - here, axis=1), size)
        new, arrived = corrected(family, guess, rows)
        turned, _ = unit_tangents(family, new, along)
        with np.errstate(invalid="ignore"):
            cosine = np.einsum("ij,ij->i", along, turned)
            near = np.linalg.norm(new - guess, axis=1) <= 0.3 * size + 1e-12
        good = arrived & near & (cosine > _TURNED)
        straight = good & (cosine > _STRAIGHT)
        length[left] = np.where(good, size, size / 3)
        length[left[straight]] = np.minimum(1.7 * size[straight], LONGEST)
        done = ~good & (length[left] < SHORTEST)
        for k in np.flatnonzero(good):
            one = left[k]
            if turned[k, -1] * along[k, -1] <= 0 and not over[k]:
                ended[one], beyond[one], done[k] = "fold", (new[k], turned[k]), True
                continue
            walked[one][0].append(new[k])
            walked[one][1].append(turned[k])
            if over[k]:
                ended[one], done[k] = "edge", True
        at[left[good]], heading[left[good]] = new[good], turned[good]
        left = left[~done]
    return [
        Arc(np.array(xs), np.array(ts), how, past)
        for (xs, ts), how, past in zip(walked, ended, beyond, strict=True)
    ]


def located(
    family: Family,
    x: Array,
    t: Array,
    length: Array,
    judge: Callable[[Array, Array], Array],
    n_steps: int = 60,
) -> tuple[Array, Array]:
    """Find where something changes its sign between two points of a curve.

    Parameters
    ----------
    family : the map.
    x, t : (place, state + 1), a point before it, and the tangent there.
    length : (place,), along the tangent to the point after it.
    judge : points and tangents -> what changes its sign, (place,).
    n_steps : at most.

    Returns
    -------
    points and tangents, (place, state + 1)

    Notes
    -----
    The Illinois variant of regula falsi (Dowell & Jarratt 1971, doi:10.1007/BF01934364).
    """

    def at(share: Array) -> tuple[Array, Array, Array]:
        points, _ = corrected(family, x + share[:, None] * t, t)
        along, _ = unit_tangents(family, points, t)
        return points, along, judge(points, along)

    low, high = np.zeros(len(x)), length.astype(float)
    points, along, below = at(low)
    _, _, above = at(high)
    side = np.zeros(len(x))
    for _ in range(n_steps):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (low * above - high * below) / (above - below)
        inside = np.isfinite(share) & (share >= low) & (share <= high)
        share = np.where(inside, share, (low + high) / 2)
        points, along, value = at(share)
        up = np.sign(value) == np.sign(above)
        # The end that stays twice is given half its weight.
        below = np.where(up & (side > 0), below / 2, np.where(up, below, value))
        above = np.where(~up & (side < 0), above / 2, np.where(up, value, above))
        side = np.where(up, 1.0, -1.0)
        low, high = np.where(up, low, share), np.where(up, share, high)
        if ((high - low < 1e-13) | (np.abs(value) < 1e-14)).all():
            break
    return points, along
