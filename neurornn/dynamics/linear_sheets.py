"""Sheets of fixed points of networks that are linear in pieces: every piece solved, once for all.

In a piece the active units are known, and where the input moves on a line so does the point: it is
there from one border of the piece to another, which are known too. Nothing is walked.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from neurornn.dynamics.cells import Leaky
from neurornn.dynamics.enumeration import MOST_UNITS
from neurornn.dynamics.pieces import as_leaky
from neurornn.dynamics.sheets import Bifurcation, Sheet
from neurornn.dynamics.tracing import Family

Array = NDArray[np.float64]

#: Pieces solved at a time, and singular ones that are looked at one by one.
_CHUNK, _MOST_SINGULAR = 4096, 2000
#: Values of the parameter, and states beside their size, below which two are one.
_SAME = 1e-8
#: A point is not counted nearer than this to the value at which it meets another and vanishes.
_AT_FOLD = 1e-12


class _Segment(NamedTuple):
    """The point of one piece, ``first + s slope``, from one value of the parameter to another.

    Attributes
    ----------
    on : (unit,), which are active.
    first, slope : (state,).
    ends : lowest and highest value.
    units : that switch there, -1 at the edge of the range.
    index : sign of ``det(1 - J)``.
    """

    on: NDArray[np.bool_]
    first: Array
    slope: Array
    ends: tuple[float, float]
    units: tuple[int, int]
    index: int

    def at(self, value: float) -> Array:
        """The point at a value."""
        return self.first + value * self.slope


#: A segment, and 0 for its lower end or 1 for its upper one.
_End = tuple[int, int]


def can_be_solved(cell: Any) -> bool:
    """Whether every piece of a network can be solved."""
    plain = as_leaky(cell)
    return plain is not None and plain.n_state <= MOST_UNITS


class LinearSheets:
    """All sheets of a ReLU network whose drive moves on a line; stands for `Sheets`.

    Parameters
    ----------
    cell_at : values (n,) from 0 to 1 -> the cell of n states, each under its own value.
    values : (value,), the grid.

    Attributes
    ----------
    sheets, bifurcations : as of `Sheets`.
    n_lines : pieces that hold a line of points at some value, or may.
    n_lost : ends of segments that lie at no other one's.
    """

    def __init__(self, cell_at: Callable[[Array], Any], values: Array) -> None:
        cells = [as_leaky(cell_at(np.array([s]))) for s in (0.0, 1.0)]
        assert cells[0] is not None and cells[1] is not None
        self.family, self.values = Family(cell_at, cells[0].n_state), values
        self.n_pieces = 2 ** cells[0].n_state
        u0, u1 = (np.atleast_2d(c.drive)[0] for c in cells if c is not None)
        self.segments, self.n_lines = _solved(cells[0], u0, u1 - u0)
        self.bifurcations: list[Bifurcation] = []
        self.n_lost = 0
        onward, folded = self._joined()
        self.sheets = [self._sheet(chain, folded) for chain in _chains(len(self.segments), onward)]

    def judged(self, n_wrong: int) -> tuple[str, str]:
        """Completeness and its reason, where the index sum is wrong at so many values."""
        whole = f"all {self.n_pieces} linear pieces were solved over the whole range"
        if self.n_lines:
            why = f"{self.n_lines} linear pieces hold a line of points at some value, or may"
            return "unknown", f"{why}: these cannot be counted"
        if self.n_lost or n_wrong:
            why = f"{self.n_lost} curves end at no other, and the index sum is not +1 at {n_wrong}"
            return "unknown", f"{whole}, but {why} values: something is nearly degenerate"
        return "proved", whole

    def _joined(self) -> tuple[dict[int, int], set[_End]]:
        """Which segment goes on as which, and the ends at which points are born or vanish."""
        onward: dict[int, int] = {}
        folded: set[_End] = set()
        for node in self._nodes():
            below = [k for k, side in node if side == 1]
            above = [k for k, side in node if side == 0]
            if len(node) == 1:
                self.n_lost += 1
                continue
            for k in list(below):
                # Goes on as the one of the same index that bends the least.
                same = [j for j in above if self.segments[j].index == self.segments[k].index]
                if same:
                    way = self.segments[k].slope
                    j = min(same, key=lambda j: np.linalg.norm(self.segments[j].slope - way))
                    onward[k] = j
                    below.remove(k)
                    above.remove(j)
            folded |= {(k, 1) for k in below} | {(k, 0) for k in above}
            self._note(node, len(below) + len(above))
        return onward, folded

    def _nodes(self) -> list[list[_End]]:
        """Ends of segments inside the range, those together that lie at one point."""
        ends = [(k, side) for k, one in enumerate(self.segments) for side in (0, 1)
                if one.units[side] >= 0]  # fmt: skip
        by_piece = {one.on.tobytes(): k for k, one in enumerate(self.segments)}
        group = {end: end for end in ends}

        def top(end: _End) -> _End:
            while group[end] != end:
                end = group[end]
            return end

        ends.sort(key=self._value)
        at = np.array([self._value(e) for e in ends])
        points = np.array([self.segments[k].at(v) for (k, _), v in zip(ends, at, strict=True)])
        for i, end in enumerate(ends):
            # Behind the border is the piece in which the unit that switches has switched.
            on = self.segments[end[0]].on.copy()
            on[self.segments[end[0]].units[end[1]]] ^= True
            unit, other = self.segments[end[0]].units[end[1]], by_piece.get(on.tobytes(), -1)
            for partner in ((other, 0), (other, 1)):
                if partner not in group or self.segments[other].units[partner[1]] != unit:
                    continue
                if abs(self._value(partner) - at[i]) < 1e-6:
                    group[top(partner)] = top(end)
            j = i + 1
            while j < len(ends) and at[j] - at[i] < _SAME:
                if np.linalg.norm(points[j] - points[i]) < _SAME * (1 + np.linalg.norm(points[i])):
                    group[top(ends[j])] = top(end)
                j += 1
        together: dict[_End, list[_End]] = {}
        for end in ends:
            together.setdefault(top(end), []).append(end)
        return list(together.values())

    def _value(self, end: _End) -> float:
        return self.segments[end[0]].ends[end[1]]

    def _note(self, node: list[_End], n_loose: int) -> None:
        """Write down what happens at a border, where anything does."""
        n_below = sum(side for _, side in node)
        value = float(np.mean([self._value(end) for end in node]))
        x = np.append(self.segments[node[0][0]].at(value), value)
        if len(node) == 2 and n_loose == 2 and n_below in (0, 2):
            kind = "fold"
        elif len(node) == 2 and n_loose == 0:
            middles = [np.mean(self.segments[k].ends) for k, _ in node]
            inside = np.array([
                np.append(self.segments[k].at(m), m)
                for (k, _), m in zip(node, middles, strict=True)
            ])  # fmt: skip
            grow = (np.abs(self.family.eigenvalues(inside)) > 1).sum(axis=1)
            if grow[0] == grow[1]:
                return
            kind = "border collision"
        else:
            sides = {n_below, len(node) - n_below}
            kind = "pitchfork" if sides == {1, 3} else "border collision"
            kind = "transcritical" if sides == {2} else kind
        self.bifurcations.append(Bifurcation(kind, x))

    def _sheet(self, chain: list[int], folded: set[_End]) -> Sheet:
        """Segments one after the other as a sheet, on the grid."""
        states = np.full((len(self.values), self.family.n_state), np.nan)
        corners, slopes = [], []
        for k in chain:
            one = self.segments[k]
            low, high = (
                end + (1 - 2 * side) * (_AT_FOLD if (k, side) in folded else -1e-14)
                for side, end in enumerate(one.ends)
            )
            inside = (self.values >= low) & (self.values <= high)
            states[inside] = one.first + self.values[inside, None] * one.slope
            along = np.append(one.slope, 1.0)
            corners += [np.append(one.at(end), end) for end in one.ends]
            slopes += [along / np.linalg.norm(along)] * 2
        return Sheet(np.array(corners), np.array(slopes), states)


def _chains(n: int, onward: dict[int, int]) -> list[list[int]]:
    """Segments in the order in which they go on from one another."""
    firsts = set(range(n)) - set(onward.values())
    found = []
    for k in sorted(firsts):
        chain = [k]
        while chain[-1] in onward:
            chain.append(onward[chain[-1]])
        found.append(chain)
    return found


def _solved(cell: Leaky, drive: Array, move: Array) -> tuple[list[_Segment], int]:
    """The segments of all pieces under ``drive + s move``, and how many hold a line, or may."""
    n = cell.n_state
    found: list[_Segment] = []
    n_lines = 0
    both = np.column_stack([drive, move])
    for begin in range(0, 2**n, _CHUNK):
        numbers = np.arange(begin, min(begin + _CHUNK, 2**n))
        on = (numbers[:, None] >> np.arange(n)) & 1 == 1
        matrix = np.eye(n) - cell.weights * on[:, None, :]
        det = np.linalg.det(matrix)
        regular = np.abs(det) > 1e-13 * np.prod(np.linalg.norm(matrix, axis=2), axis=1)
        for k in np.flatnonzero(~regular):
            n_lines += n_lines >= _MOST_SINGULAR or _may_hold(matrix[k], on[k], drive, move)
        on, matrix, det = on[regular], matrix[regular], det[regular]
        if not len(on):
            continue
        a = np.linalg.solve(matrix, np.broadcast_to(both, (len(on), n, 2)))
        sign = np.where(on, 1.0, -1.0)
        first, slope = sign * a[:, :, 0], sign * a[:, :, 1]
        flat = np.abs(slope) <= 1e-13 * (np.abs(first) + np.abs(slope))
        with np.errstate(divide="ignore", invalid="ignore"):
            border = -first / slope
        lows = np.where(~flat & (slope > 0), border, -np.inf)
        highs = np.where(~flat & (slope < 0), border, np.inf)
        low, high = lows.max(axis=1), highs.min(axis=1)
        there = (np.maximum(low, 0.0) < np.minimum(high, 1.0)) & ~(flat & (first < 0)).any(axis=1)
        for k in np.flatnonzero(there):
            switch = (
                int(lows[k].argmax()) if low[k] > 0 else -1,
                int(highs[k].argmin()) if high[k] < 1 else -1,
            )
            # In a rate the state is what units send; else what drives them.
            kept = on[k] if cell.form == "rate" else np.ones(n, dtype=bool)
            found.append(_Segment(
                on[k], np.where(kept, a[k, :, 0], 0.0), np.where(kept, a[k, :, 1], 0.0),
                (max(float(low[k]), 0.0), min(float(high[k]), 1.0)), switch,
                int(np.sign(det[k])),
            ))  # fmt: skip
    return found, n_lines


def _may_hold(matrix: Array, on: NDArray[np.bool_], drive: Array, move: Array) -> bool:
    """Whether a piece with a singular matrix holds points at any value, or may."""
    sign = np.where(on, 1.0, -1.0)
    # matrix a = drive + s move, with sign a >= 0 and s from 0 to 1.
    answer = optimize.linprog(
        np.zeros(len(on) + 1), A_eq=np.column_stack([matrix * sign, -move]), b_eq=drive,
        bounds=[(0.0, None)] * len(on) + [(0.0, 1.0)],
    )  # fmt: skip
    return bool(answer.status != 2)
