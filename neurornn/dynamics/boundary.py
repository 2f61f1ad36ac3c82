"""Where basins meet: how far states are from the border, and the manifolds that it is made of."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_count, check_positive, check_rng
from neurornn._core.errors import DataError, KindError
from neurornn._core.rng import RNG, generator
from neurornn.dynamics.balls import balls_of
from neurornn.dynamics.basin_map import MAX_STEPS, _check_points, told
from neurornn.dynamics.fixed_points import points_of, starts_of
from neurornn.dynamics.maps import StateMap, as_map
from neurornn.dynamics.pieces import Pieces, as_leaky, pieces_of
from neurornn.dynamics.point_table import FixedPoints

Array = NDArray[np.float64]

#: Lengths along a direction at which the end of a state is looked at, halvings of a stretch on
#: which it changes, and Newton steps from there onto the border.
_LENGTHS, _HALVINGS, _NEWTON = 32, 24, 6
#: Rounds in which the nearest states of the border found so far are improved, and how many.
_ROUNDS, _KEPT = 12, 8
#: Ways beside the best one that are looked along, and how often at most.
_BESIDES, _POLISHED = 256, 10
#: How far on both sides of the border, as a share of the push, is looked where states end.
_BESIDE = 1e-7
#: An orbit from the border passes a saddle by less than this share of its size.
_PASSES = 1e-2
#: What is left of a proved distance for rounding.
_MARGIN = 1 - 1e-9


class _Planes(NamedTuple):
    """The border beside some states, to first order.

    Attributes
    ----------
    normal : (state, state), of length 1; NaN where the orbit passes no saddle.
    saddle : (state,), number of the saddle, -1 for none.
    off : (state,), how far each state is from the plane, along its normal.
    steps : (state,), until the orbit is nearest to the saddle.
    """

    normal: Array
    saddle: NDArray[np.int64]
    off: Array
    steps: NDArray[np.int64]


def basin_boundary(
    model: Any,
    points: FixedPoints | None = None,
    inputs: Any = None,
    *,
    states: ArrayLike | None = None,
    reach: float | None = None,
    n_directions: int = 64,
    max_steps: int = MAX_STEPS,
    n_hidden: int | None = None,
    dt: float | None = None,
    rng: RNG = 0,
) -> xr.Dataset:
    """Say how long a push takes a state over the border of its basin, and which way it goes.

    Parameters
    ----------
    model : what `find_fixed_points` takes. It is not changed.
    points : what `find_fixed_points` found under the same input; by default it is called.
    inputs : (input,), held constant; by default those of `points`, or 0.
    states : (number, hidden), that are pushed; by default the stable points: how safe is each
        memory?
    reach : length of the longest push; by default twice the way to the farthest fixed point.
    n_directions : random ones in which the border is looked for from each state, besides those to
        all other fixed points.
    max_steps : steps that a state is followed at most.

    Other Parameters
    ----------------
    n_hidden : size of the state of a function.
    dt : s, length of a step of a function or a layer of torch.
    rng : int, Generator or None.

    Returns
    -------
    Dataset over ``number`` and ``hidden``
        ``distance (number)``, length of the shortest push that was found to change where the
        state ends, infinite where none within `reach` does; ``at_least (number)``, length below
        which no push does, NaN where nothing is shown; ``border (number, hidden)``, where that
        push leads, and its ``normal``; ``saddle (number)``, the point whose stable manifold the
        border is there, -1 where it is none of one unstable mode; ``exact (number)``, whether the
        border is a plane there, on which no state is nearer; ``ends`` and ``beyond (number)``, in
        which stable point a state ends on this side and on the other, -1 for none.

    Raises
    ------
    KindError, ShapeError, DataError
        As `basins`; a network with no stable point.

    Notes
    -----
    States of the border between two basins come to a saddle: the border is its stable manifold
    (Grebogi, Ott & Yorke 1987, Science 238:632, doi:10.1126/science.238.4827.632). The border is
    found by halving stretches between states that end in different points. Beside such a state it
    is the plane ``w A_k ... A_1 (h - border) = 0``, with the Jacobians A along its orbit to the
    saddle and w the left eigenvector there of the mode that grows; the nearest state is looked for
    along its normal, again and again. In a network that is linear in pieces that is no
    approximation as long as the pieces are the same, and one step ends it.

    The distance is an upper bound: another part of the border may be nearer. ``at_least`` is a
    lower one, up to rounding. A network that is linear in pieces moves all states near an orbit
    alike until one of them comes to another piece; then, or from the first, the ball of a stable
    point holds (see `basins`). A push over a kink need not change anything, so that the truth may
    be several times as far.

    Examples
    --------
    >>> import neurornn as nr
    >>> table = basin_boundary(lambda h: np.tanh(2 * h), n_hidden=1)
    >>> table["distance"].values.round(4).tolist()
    [0.9575, 0.9575]
    """
    draw = generator(check_rng(rng))
    n_directions = check_count(n_directions, "n_directions", 0)
    max_steps = check_count(max_steps, "max_steps")
    if points is not None and not isinstance(points, FixedPoints):
        raise KindError(
            f"points is a {type(points).__name__}",
            "What find_fixed_points returns was needed",
            "Leave it out to have them found; inputs= is the argument after it",
        )
    if points is not None and inputs is None:
        inputs = points.settings["inputs"] or None
    state_map = as_map(model, inputs, n_hidden=n_hidden, dt=dt)
    if points is None:
        points = points_of(state_map, draw)
    _check_points(points, state_map)
    at, unstable = points.states.values, points.parameters["n_unstable"].values
    stable = np.flatnonzero(unstable == 0)
    state_map = state_map._replace(cell=as_leaky(state_map.cell) or state_map.cell)
    if not len(stable):
        raise DataError(
            f"None of the {len(at)} fixed points is stable",
            "A stable point was needed, whose basin has a border",
            "classify_attractor says what the network comes to instead",
        )
    h = at[stable] if states is None else starts_of(states, state_map.cell.n_state)
    border = _Border(state_map, at, unstable, max_steps)
    if reach is None:
        reach = 2 * max(float(np.linalg.norm(h[:, None] - at, axis=2).max(initial=0.0)), 1e-3)
        reach = max(reach, 1.0) if len(at) < 2 else reach
    reach = check_positive(reach, "reach")
    ends = border.ends(h) if len(h) else np.zeros(0, dtype=int)
    found = [
        border.nearest(h[k], int(ends[k]), reach, _directions(draw, n_directions, h[k], at), draw)
        for k in range(len(h))
    ]
    pieces = pieces_of(state_map.cell)
    least = [
        border.at_least(h[k], int(ends[k]), pieces) if ends[k] >= 0 else np.nan
        for k in range(len(h))
    ]
    return _table(points, stable, h, ends, found, np.array(least), reach)


def _directions(rng: np.random.Generator, n: int, h: Array, points: Array) -> Array:
    """Unit vectors: to all points, and all over."""
    ways = np.concatenate([points - h, rng.standard_normal((n, len(h)))])
    size = np.linalg.norm(ways, axis=1)
    return np.asarray(ways[size > 1e-9] / size[size > 1e-9, None])


class _Found(NamedTuple):
    """Nearest state of the border; the distance is infinite where there is none."""

    distance: float
    border: Array
    normal: Array
    saddle: int
    exact: bool
    beyond: int


class _Border:
    """The border between the basins of a map.

    Parameters
    ----------
    state_map : the map.
    points : (point, state), its fixed points.
    unstable : (point,), how many modes grow.
    max_steps : that states are followed.
    """

    def __init__(
        self, state_map: StateMap, points: Array, unstable: NDArray[np.int64], max_steps: int
    ) -> None:
        self.map, self.cell, self.max_steps = state_map, state_map.cell, max_steps
        self.stable = points[unstable == 0]
        self.balls = balls_of(self.cell, self.stable)
        self.saddles = np.flatnonzero(unstable == 1)
        self.at = points[self.saddles]
        self.left = self._left_of(self.at)

    def _left_of(self, at: Array) -> Array:
        """Left eigenvectors of the one mode that grows, (saddle, state)."""
        if not len(at):
            return at
        values, vectors = np.linalg.eig(self.cell.step_and_jacobian(at)[1].transpose(0, 2, 1))
        k = np.argmax(np.abs(values), axis=1)
        left = vectors[np.arange(len(at)), :, k].real
        return np.asarray(left / np.linalg.norm(left, axis=1, keepdims=True))

    def ends(self, h: Array) -> NDArray[np.int64]:
        """Number of the stable point in which each state ends, or a code below 0."""
        return told(self.map, self.stable, h, max_steps=self.max_steps, balls=self.balls)[0]

    def crossings(self, h: Array, end: int, ways: Array, reach: float) -> Array:
        """A length along each way at which a state ends elsewhere, all but exact; or infinite.

        Parameters
        ----------
        h : (state,).
        end : where it ends.
        ways : (way, state), unit vectors.
        reach : length of the longest push.
        """
        length = reach * np.linspace(0, 1, _LENGTHS + 1)[1:]
        tried = h + length[:, None] * ways[:, None, :]
        changed = self.ends(tried.reshape(-1, len(h))).reshape(len(ways), -1) != end
        first = changed.argmax(axis=1)
        high = np.where(changed.any(axis=1), length[first], np.inf)
        some = np.argsort(high, kind="stable")[:_KEPT]
        some = some[np.isfinite(high[some])]
        found = np.full(len(ways), np.inf)
        found[some] = self.halved(h, end, ways[some], high[some] - length[0], high[some])
        return found

    def halved(self, h: Array, end: int, ways: Array, low: Array, high: Array) -> Array:
        """Halve stretches on which the end changes; the far ends of what is left."""
        low, high = low.copy(), high.copy()
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            same = self.ends(h + middle[:, None] * ways) == end
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return high

    def planes(self, border: Array) -> _Planes:
        """The border beside some of its states."""
        n, size = len(border), 1 + np.linalg.norm(self.at, axis=1)
        normal, off = np.full(border.shape, np.nan), np.full(n, np.nan)
        saddle, passed = np.full(n, -1), np.zeros(n, dtype=int)
        if not len(self.at) or not n:
            return _Planes(normal, saddle, off, passed)
        least, which, orbit = np.full(n, np.inf), np.zeros(n, dtype=int), [border]
        for k in range(self.max_steps):
            away = np.linalg.norm(orbit[-1][:, None] - self.at, axis=2) / size
            nearer = away.min(axis=1) < least
            least[nearer], passed[nearer] = away.min(axis=1)[nearer], k
            which[nearer] = away.argmin(axis=1)[nearer]
            gone = (least < _PASSES) & (away[np.arange(n), which] > 10 * least)
            if (gone | ~np.isfinite(away).all(axis=1) | (k > 2 * passed + 1000)).all():
                break
            with np.errstate(all="ignore"):
                orbit.append(self.cell.step(orbit[-1]))
        good = least < _PASSES
        row, scale = self.left[which], np.zeros(n)
        last = np.array([orbit[passed[i]][i] for i in range(n)])
        value = np.einsum("ij,ij->i", row, last - self.at[which])
        for k in range(int(passed[good].max(initial=0)) - 1, -1, -1):
            on = np.flatnonzero(good & (passed > k))
            jacobian = self.cell.step_and_jacobian(orbit[k][on])[1]
            new = np.einsum("ij,ijk->ik", row[on], jacobian)
            length = np.maximum(np.linalg.norm(new, axis=1), 1e-300)
            row[on], scale[on] = new / length[:, None], scale[on] + np.log(length)
        with np.errstate(over="ignore", invalid="ignore"):
            off[good] = (value * np.exp(-scale))[good]
        good &= np.isfinite(off) & np.isfinite(row).all(axis=1)
        normal[good], saddle[good] = row[good], self.saddles[which[good]]
        return _Planes(normal, saddle, off, passed)

    def onto(self, h: Array, ways: Array, length: Array) -> tuple[Array, _Planes]:
        """Lengths along ways at which states lie on the border, by Newton steps; planes there."""
        for _ in range(_NEWTON):
            planes = self.planes(h + length[:, None] * ways)
            with np.errstate(all="ignore"):
                step = planes.off / np.einsum("ij,ij->i", planes.normal, ways)
                # A longer step would leave what the plane holds for.
                step = np.where(np.abs(step) < 0.25 * length, step, 0.0)
            length = length - step
            if (np.abs(step) <= 1e-13 * length).all():
                break
        return length, planes

    def nearest(
        self, h: Array, end: int, reach: float, ways: Array, rng: np.random.Generator
    ) -> _Found:
        """The nearest state of the border that is found from a state."""
        nan = np.full(len(h), np.nan)
        best = _Found(np.inf, nan, nan, -1, False, end)
        length = self.crossings(h, end, ways, reach) if len(ways) else np.zeros(0)
        spread, left = 0.3, _POLISHED
        while True:
            some = np.isfinite(length)
            found = self._slid(h, end, ways[some], length[some])
            before = best.distance
            if found is not None and found.distance < before:
                best = found
            if best.distance > before * (1 - 1e-3):
                spread /= 3
            left -= 1
            if not np.isfinite(best.distance) or spread < 0.01 or not left:
                return best
            # Where pieces of the border meet the nearest state may lie on an edge, which no
            # normal leads to: ways beside it do.
            way = (best.border - h) / best.distance
            ways = way + spread * rng.standard_normal((_BESIDES, len(h))) / np.sqrt(len(h))
            ways /= np.linalg.norm(ways, axis=1, keepdims=True)
            tried = self.ends(h + best.distance * (1 - 1e-5) * ways)
            length = np.where(tried != end, best.distance, np.inf)
            length[np.flatnonzero(tried != end)[_KEPT:]] = np.inf
            if best.saddle < 0:
                # A state that was met on the way to another has not been slid along the border.
                ways[0], length[0] = way, best.distance

    def _slid(self, h: Array, end: int, ways: Array, length: Array) -> _Found | None:
        """The nearest of some states of the border and of those along their normals."""
        if not len(ways):
            return None
        length, planes = self.onto(h, ways, length)
        share = np.ones(len(ways))
        for _ in range(_ROUNDS):
            straight = planes.normal * np.sign(np.einsum("ij,ij->i", planes.normal, ways))[:, None]
            new = (1 - share)[:, None] * ways + share[:, None] * straight
            new /= np.linalg.norm(new, axis=1, keepdims=True)
            turn = np.einsum("ij,ij->i", new, ways)
            go = np.flatnonzero(turn < 1 - 1e-15)
            if not len(go):
                break
            # Where the new way meets the plane, and from there onto the border itself.
            ahead = np.einsum("ij,ij->i", planes.normal[go], ways[go])
            guess = length[go] * ahead / np.einsum("ij,ij->i", planes.normal[go], new[go])
            there, beside = self.onto(h, new[go], guess)
            nearer = (there < length[go] * (1 - 1e-13)) & (there > 0) & (beside.saddle >= 0)
            share[go] = np.where(nearer, np.minimum(1.0, 2 * share[go]), share[go] / 3)
            rows = go[nearer]
            ways[rows], length[rows] = new[rows], there[nearer]
            for mine, theirs in zip(planes, beside, strict=True):
                mine[rows] = theirs[nearer]
        best: _Found | None = None
        for k in np.argsort(length, kind="stable"):
            if best is not None and best.distance <= length[k]:
                break
            found = self._checked(h, end, ways[k], float(length[k]), planes.normal[k],
                                  int(planes.saddle[k]), int(planes.steps[k]))  # fmt: skip
            if found is not None and (best is None or found.distance < best.distance):
                best = found
        return best

    def _checked(
        self, h: Array, end: int, way: Array, length: float, normal: Array, saddle: int, steps: int
    ) -> _Found | None:
        """What was found, where a state ends elsewhere right behind it; None where not."""
        inside, beyond = self.ends(h + length * np.array([[1 - _BESIDE], [1 + _BESIDE]]) * way)
        if beyond == end:
            return None
        if inside != end:
            # The border is crossed before.
            first = self.crossings(h, end, way[None], length * (1 - _BESIDE))
            ahead, planes = self.onto(h, way[None], first)
            saddle = int(planes.saddle[0])
            length = float((ahead if saddle >= 0 else first)[0])
            normal, steps = planes.normal[0], int(planes.steps[0])
            beyond = self.ends((h + length * (1 + _BESIDE) * way)[None])[0]
        border = h + length * way
        exact = saddle >= 0 and abs(normal @ way) > 1 - 1e-9 and self._is_flat(border, steps)
        return _Found(length, border, normal, saddle, bool(exact), int(beyond))

    def _is_flat(self, border: Array, steps: int) -> bool:
        """Whether the border is a plane beside one of its states: no kink on the way."""
        pieces = pieces_of(self.cell)
        h, near = border[None], np.inf
        if pieces is None:
            return False
        for _ in range(steps):
            near = min(near, float(np.abs(pieces.drives(h)).min()))
            h = self.cell.step(h)
        return near > 1e-9

    def at_least(self, h: Array, end: int, pieces: Pieces | None) -> float:
        """Length of pushes none of which changes where a state ends; NaN where none is shown."""
        ball, point = self.balls[end], self.stable[end]
        if ball.shape is None:
            return float("nan")
        x, moved = h[None], np.eye(len(h))
        kinks, best = np.inf, np.nan
        for _ in range(self.max_steps):
            room = ball.radius - float(np.linalg.norm(ball.shape @ (x[0] - point)))
            if room > 0:
                # All that stays in the same pieces until now is in the ball now.
                spread = float(np.linalg.norm(ball.shape @ moved, 2))
                shown = min(kinks, room / max(spread, 1e-300))
                best = float(np.fmax(best, shown))
                if best >= kinks:
                    break
            if pieces is None:
                break
            drives, slopes = pieces.drives(x)[0], pieces.slopes @ moved
            away = np.abs(drives) / np.maximum(np.linalg.norm(slopes, axis=1), 1e-300)
            kinks = min(kinks, float(away.min()))
            if not kinks > best and np.isfinite(best):
                break
            x, jacobian = self.cell.step_and_jacobian(x)
            moved = jacobian[0] @ moved
        return best * _MARGIN


def _table(
    points: FixedPoints,
    stable: NDArray[np.int64],
    h: Array,
    ends: NDArray[np.int64],
    found: list[_Found],
    least: Array,
    reach: float,
) -> xr.Dataset:
    """What was found, labelled."""
    one = {"units": "1"}
    numbers = np.append(stable, -1)
    n = h.shape[1]

    def named(codes: Any) -> NDArray[np.int64]:
        codes = np.asarray(codes, dtype=int)
        return np.asarray(numbers[np.where(codes < 0, len(stable), codes)])

    rows = {name: [getattr(f, name) for f in found] for name in _Found._fields}
    wide = {k: np.array(rows[k]).reshape(-1, n) for k in ("border", "normal")}
    told_of: dict[str, tuple[Any, Any, str]] = {
        "state": (("number", "hidden"), h, "state that is pushed"),
        "distance": ("number", np.array(rows["distance"]), "shortest push found over the border"),
        "at_least": ("number", least, "no shorter push leads over the border"),
        "border": (("number", "hidden"), wide["border"], "state on the border"),
        "normal": (("number", "hidden"), wide["normal"], "normal of the border"),
        "saddle": ("number", np.array(rows["saddle"], dtype=int), "point on the border"),
        "exact": ("number", np.array(rows["exact"], dtype=bool), "the border is a plane there"),
        "ends": ("number", named(ends), "stable point in which the state ends"),
        "beyond": ("number", named(rows["beyond"]), "stable point beyond the border"),
    }
    return xr.Dataset(
        {k: (dims, v, {**one, "long_name": long}) for k, (dims, v, long) in told_of.items()},
        coords={"number": np.arange(len(h)), "hidden": np.arange(n)},
        attrs={"model": points.settings["model"], "inputs": points.settings["inputs"],
               "reach": float(reach), "points": points.completeness},
    )  # fmt: skip
