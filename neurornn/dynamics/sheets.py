"""Sheets of fixed points over a parameter: walked, joined at folds, branched, on a grid."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.tracing import (
    Arc,
    Family,
    corrected,
    located,
    start_tangents,
    trace,
    unit_tangents,
)

Array = NDArray[np.float64]
#: A point to walk from, the tangent there, and the bifurcation, with a tangent, that it came from.
Start = tuple[Array, Array, tuple[Array, Array] | None]

#: Two points at one value of the parameter are one below this distance, beside their size.
SAME = 1e-6
#: How far from a crossing a new branch is taken up.
_ASIDE = 1e-2


@dataclass
class Bifurcation:
    """Where the set of fixed points changes.

    Attributes
    ----------
    kind : ``"fold"``, ``"pitchfork"``, ``"transcritical"``, ``"Hopf"`` or ``"flip"``.
    x : (state + 1,), the point, with the value of the parameter behind.
    turn : angle per step of the modes that begin to grow; 0 but for Hopf points.
    """

    kind: str
    x: Array
    turn: float = 0.0


@dataclass
class Sheet:
    """Fixed points along which the parameter rises, or falls, all along: one for each value.

    Attributes
    ----------
    x, t : (step, state + 1), points in the order of the walk, with the bifurcations at its ends.
    states : (value, state), on the grid; NaN where the sheet does not reach.
    joined : made of two halves that began where the search found a point.
    """

    x: Array
    t: Array
    states: Array = field(default_factory=lambda: np.zeros((0, 0)))
    joined: bool = False

    def reaches(self, values: Array) -> NDArray[np.bool_]:
        """Whether the sheet has a point at each of some values of the parameter."""
        low, high = np.sort(self.x[[0, -1], -1])
        return np.asarray((values >= low - 1e-12) & (values <= high + 1e-12))

    def at(self, values: Array) -> Array:
        """Points near the sheet at values that it reaches, by cubics along the curve.

        Along its length a curve is smooth where it turns back, too.
        """
        way = np.sign(self.x[-1, -1] - self.x[0, -1]) or 1.0
        s, wanted = way * self.x[:, -1], way * values
        k = np.clip(np.searchsorted(s, wanted, side="right") - 1, 0, len(s) - 2)
        ends = self.x[k], self.x[k + 1]
        length = np.linalg.norm(ends[1] - ends[0], axis=1)[:, None]
        slopes = length * self.t[k], length * self.t[k + 1]
        low, high = np.zeros((len(values), 1)), np.ones((len(values), 1))
        for _ in range(40):
            u = (low + high) / 2
            found = (
                (1 + 2 * u) * (1 - u) ** 2 * ends[0] + u * (1 - u) ** 2 * slopes[0]
                + u**2 * (3 - 2 * u) * ends[1] + u**2 * (u - 1) * slopes[1]
            )  # fmt: skip
            short = way * found[:, -1:] < wanted[:, None]
            low, high = np.where(short, u, low), np.where(short, high, u)
        return np.column_stack([found[:, :-1], values])


class Sheets:
    """All sheets of a family that hang together with the points that were given.

    Parameters
    ----------
    family : the map for every value of the parameter, 0 to 1.
    values : (value,), the grid.
    tick : called after each round of steps.
    max_sheets : at most.
    """

    def __init__(
        self,
        family: Family,
        values: Array,
        tick: Callable[[], None] | None = None,
        max_sheets: int = 500,
    ) -> None:
        self.family, self.values, self.tick, self.max_sheets = family, values, tick, max_sheets
        self.sheets: list[Sheet] = []
        self.bifurcations: list[Bifurcation] = []
        self.n_lost = 0

    def add(self, states: Array, value: float) -> int:
        """Follow the curves through fixed points under one value, up and down.

        Parameters
        ----------
        states : (point, state).
        value : of the parameter.

        Returns
        -------
        number of points that lay on no sheet known before
        """
        new = states[~self._lie_on_sheets(states, value)]
        if not len(new):
            return 0
        x = np.column_stack([new, np.full(len(new), value)])
        ways = [w for w, limit in ((1.0, 1.0), (-1.0, 0.0)) if value != limit]
        walks = [(x, start_tangents(self.family, x, way)) for way in ways]
        found = [(one, along, None) for x, t in walks for one, along in zip(x, t, strict=True)]
        self._walk(found)
        self._join()
        return len(new)

    def _join(self) -> None:
        """Make one sheet of two that begin at one point and go opposite ways: no fold is there."""
        by_start: dict[bytes, int] = {}
        kept: list[Sheet] = []
        for sheet in self.sheets:
            key = sheet.x[0].tobytes()
            at = by_start.get(key)
            if at is None or kept[at].t[0] @ sheet.t[0] > -0.9 or kept[at].joined:
                by_start[key] = len(kept)
                kept.append(sheet)
                continue
            other = kept[at]
            kept[at] = Sheet(
                np.vstack([other.x[::-1], sheet.x[1:]]), np.vstack([-other.t[::-1], sheet.t[1:]]),
                np.where(np.isnan(other.states), sheet.states, other.states), True,
            )  # fmt: skip
        self.sheets = kept

    def _walk(self, starts: list[Start]) -> None:
        """Trace, go on behind folds whose other side nobody walks, and take up branches."""
        while starts and len(self.sheets) < self.max_sheets:
            x, t = (np.array([start[k] for start in starts]) for k in (0, 1))
            arcs = trace(self.family, x, t, self.tick)
            self.n_lost += sum(a.ended == "lost" for a in arcs)
            tips = iter(self._tips([a for a in arcs if a.ended == "fold"]))
            pieces, onward = [], []
            for arc, (_, _, begun) in zip(arcs, starts, strict=True):
                x, t = arc.x, arc.t
                if begun is not None:
                    x, t = np.vstack([begun[0], x]), np.vstack([begun[1], t])
                if arc.beyond is not None:
                    tip, along = next(tips)
                    x, t = np.vstack([x, tip]), np.vstack([t, along])
                    if self._note("fold", tip):
                        onward.append((*arc.beyond, (tip, along)))
                if len(x) > 1:
                    pieces.append((x, t))
            self._keep(pieces)
            starts = [s for s in onward + self._crossings(pieces) if not self._walked(s[0])]
        # Where there are too many sheets, what was not walked is told as lost.
        self.n_lost += len(starts)

    def _keep(self, pieces: list[tuple[Array, Array]]) -> None:
        """Put pieces on the grid, and keep those that are new."""
        made = [Sheet(x, t) for x, t in pieces]
        for sheet, states in zip(made, self._on_grid(made), strict=True):
            sheet.states = states
            if not any(_same_sheet(sheet, other) for other in self.sheets):
                self.sheets.append(sheet)

    def _on_grid(self, sheets: list[Sheet]) -> Array:
        """States of sheets at the values of the grid, (sheet, value, state)."""
        n_state = self.family.n_state
        states = np.full((len(sheets), len(self.values), n_state), np.nan)
        guesses, places = [], []
        for k, sheet in enumerate(sheets):
            inside = np.flatnonzero(sheet.reaches(self.values))
            if len(inside):
                guesses.append(sheet.at(self.values[inside]))
                places += [(k, int(i)) for i in inside]
        if not guesses:
            return states
        guess = np.concatenate(guesses)
        found, arrived = corrected(self.family, guess, _upright(guess))
        # What jumped to another sheet is no point of this one.
        arrived &= np.linalg.norm(found - guess, axis=1) < 0.05
        for (k, i), x, good in zip(places, found, arrived, strict=True):
            if good:
                states[k, i] = x[:-1]
        return states

    def _tips(self, folds: list[Arc]) -> list[tuple[Array, Array]]:
        """Where curves turn back."""
        if not folds:
            return []
        x = np.array([a.x[-1] for a in folds])
        t = np.array([a.t[-1] for a in folds])
        past = np.array([a.beyond[0] for a in folds if a.beyond is not None])
        length = np.einsum("ij,ij->i", past - x, t)
        tips, along = located(self.family, x, t, length, lambda _, t: t[:, -1])
        return list(zip(tips, along, strict=True))

    def _note(self, kind: str, x: Array, turn: float = 0.0) -> bool:
        """Write a bifurcation down; False where it is known."""
        for known in self.bifurcations:
            if np.linalg.norm(known.x - x) < 10 * SAME * (1 + np.linalg.norm(x)):
                if kind != "fold" and known.kind == "fold":
                    known.kind = kind
                return False
        self.bifurcations.append(Bifurcation(kind, x, turn))
        return True

    def _crossings(self, pieces: list[tuple[Array, Array]]) -> list[Start]:
        """Look for changes along pieces that are no folds; return what branches off there."""
        steps = [(x[k], t[k], x[k + 1]) for x, t in pieces for k in range(len(x) - 1)]
        if not steps:
            return []
        before, along, after = map(np.array, zip(*steps, strict=True))
        ends = np.concatenate([before, after])
        _, signs = unit_tangents(self.family, ends, np.concatenate([along, along]))
        values = self.family.eigenvalues(ends)
        n = len(before)
        counts = (np.abs(values) > 1).sum(axis=1)
        length = np.einsum("ij,ij->i", after - before, along)
        crossed = (signs[:n] * signs[n:] < 0) & (length > 1e-9)
        branches = self._branches(before[crossed], along[crossed], length[crossed])
        # A crossing changes the count by one too. A fold may fall on the end of a piece, where
        # one mode is at 1.
        border = np.minimum(
            np.abs(np.abs(values[:n]) - 1).min(1), np.abs(np.abs(values[n:]) - 1).min(1)
        )
        changed = (counts[:n] != counts[n:]) & ~crossed & (length > 1e-9) & (border > 1e-7)
        self._modes(before[changed], along[changed], length[changed],
                    np.minimum(counts[:n], counts[n:])[changed])  # fmt: skip
        return branches

    def _modes(self, x: Array, t: Array, length: Array, n_grow: NDArray[np.int64]) -> None:
        """Locate where modes begin to grow while no point is born: Hopf points, and flips."""
        if not len(x):
            return
        rows = np.arange(len(x))

        def judge(points: Array, _: Array) -> Array:
            return np.asarray(np.abs(self.family.eigenvalues(points))[rows, n_grow] - 1.0)

        points, _ = located(self.family, x, t, length, judge)
        values = self.family.eigenvalues(points)[rows, n_grow]
        for point, value in zip(points, values, strict=True):
            if abs(value.imag) > 1e-9:
                self._note("Hopf", point, float(abs(np.angle(value))))
            elif value.real < 0:
                self._note("flip", point, np.pi)

    def _branches(self, x: Array, t: Array, length: Array) -> list[Start]:
        """Locate crossings, and step onto the curves that cross there."""
        if not len(x):
            return []
        points, along = located(
            self.family, x, t, length, lambda p, t: unit_tangents(self.family, p, t)[1]
        )
        starts: list[Start] = []
        for point, heading in zip(points, along, strict=True):
            _, matrix = self.family.bordered(point[None], heading[None])
            _, size, right = np.linalg.svd(matrix[0, :-1])
            # The last direction has no row of its own: the one before it is the second in which
            # nothing changes to first order.
            aside = right[-2] - (right[-2] @ heading) * heading
            other = right[-1] - (right[-1] @ heading) * heading
            aside = max((aside, other), key=np.linalg.norm)
            aside /= np.linalg.norm(aside)
            if size[-1] > 1e-4 * max(size[0], 1.0):
                continue
            arms: list[Start] = []
            for way in (aside, -aside):
                there, arrived = corrected(self.family, (point + _ASIDE * way)[None], way[None])
                off = there[0] - point - _ASIDE * way
                if arrived[0] and np.linalg.norm(off) < 0.5 * _ASIDE:
                    turned, _ = unit_tangents(self.family, there, way[None])
                    arms.append((there[0], turned[0], (point, way)))
            # Both arms of a pitchfork lie on one side.
            sides = {bool(arm[0][-1] > point[-1]) for arm in arms}
            kind = "pitchfork" if len(sides) == 1 else "transcritical"
            if self._note(kind, point):
                starts += [arm for arm in arms if 0 <= arm[0][-1] <= 1]
        return starts

    def _lie_on_sheets(self, states: Array, value: float) -> NDArray[np.bool_]:
        """Which fixed points under a value lie on a sheet."""
        on = np.zeros(len(states), dtype=bool)
        if not self.sheets:
            return on
        at = int(np.argmin(np.abs(self.values - value)))
        if abs(self.values[at] - value) < 1e-12:
            known = np.array([s.states[at] for s in self.sheets])
            known = known[~np.isnan(known).any(axis=1)]
            for known_state in known:
                off = np.linalg.norm(states - known_state, axis=1)
                on |= off < SAME * (1 + np.linalg.norm(states, axis=1))
            return on
        x = np.column_stack([states, np.full(len(states), value)])
        return np.array([self._walked(one) for one in x], dtype=bool)

    def _walked(self, x: Array) -> bool:
        """Whether a point lies on a sheet."""
        for sheet in self.sheets:
            if not sheet.reaches(x[-1:])[0]:
                continue
            guess = sheet.at(x[-1:])
            if np.linalg.norm(guess[0] - x) > 0.05:
                continue
            found, arrived = corrected(self.family, guess, _upright(guess))
            if arrived[0] and np.linalg.norm(found[0] - x) < SAME * (1 + np.linalg.norm(x)):
                return True
        return False


def _upright(x: Array) -> Array:
    """Rows that hold the parameter while states are corrected."""
    rows = np.zeros_like(x)
    rows[:, -1] = 1.0
    return rows


def _same_sheet(one: Sheet, other: Sheet) -> bool:
    """Whether a sheet lies on another as far as it reaches."""
    mine = ~np.isnan(one.states[:, 0])
    both = mine & ~np.isnan(other.states[:, 0])
    if not both.any():
        return False
    off = np.linalg.norm(one.states[both] - other.states[both], axis=1)
    on = off < SAME * (1 + np.linalg.norm(one.states[both], axis=1))
    # At a single value two sheets may cross.
    return bool(
        on.all() and (both.sum() > 1 or mine.sum() == 1) and both.sum() >= 0.5 * mine.sum()
    )
