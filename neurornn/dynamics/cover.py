"""Proof that no fixed point of a small network was missed: boxes that cover all states.

Every box is shown to hold no fixed point, or lies in one that is shown to hold exactly one. All
bounds are rounded outward, so that what is shown holds for the network in real numbers.
"""

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.dynamics.cells import Gated, Leaky
from neurornn.dynamics.latent import LowRank
from neurornn.dynamics.search import newton

Array = NDArray[np.float64]
#: Lower and upper bounds of numbers, of one shape.
Interval = tuple[Array, Array]

#: Equations up to which a cover is tried, boxes at most and at a time, and s of wall time.
MOST_NUMBERS, MOST_BOXES, _AT_A_TIME, SECONDS = 8, 1_000_000, 2048, 2.0
#: Size of a box that is cut no further.
_LEAST = 1e-9
#: Numbers of units that the boxes at a time may have in all.
_BLOCK = 500_000
#: Half widths of the boxes around a point that may be shown to hold it alone, the widest first.
_ROUND = 0.5 ** np.arange(2, 34)
_NARROW = _ROUND[[10, 20, 28]]
#: Relative error of the functions of numpy: a few of the last digit, and room.
_DIGITS = 64 * float(np.finfo(float).eps)
_EPS = float(np.finfo(float).eps)
#: Where a box is cut: not in the middle, where symmetric networks have their points.
_CUT = 0.4871


def _wide(x: Interval) -> Interval:
    """Numbers that were rounded, outward by one of the last digit."""
    return np.nextafter(x[0], -np.inf), np.nextafter(x[1], np.inf)


def _times(x: Interval, y: Interval) -> Interval:
    """Product, element by element."""
    ends = [a * b for a in x for b in y]
    return _wide((np.minimum.reduce(ends), np.maximum.reduce(ends)))


def _plus(x: Interval, y: Interval) -> Interval:
    return _wide((x[0] + y[0], x[1] + y[1]))


def _linear(matrix: Array, x: Interval, offset: Array) -> Interval:
    """``x matrix' + offset`` for boxes (n, k): middle and radius, and a bound of all rounding.

    A sum of k products in any order is off by at most ``k eps / (1 - k eps)`` of the sum of their
    sizes (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1).
    """
    middle, radius = (x[0] + x[1]) / 2, (x[1] - x[0]) / 2
    # The radius holds both ends though the middle was rounded.
    radius = radius + 4 * _EPS * (np.abs(x[0]) + np.abs(x[1])) + 1e-300
    size = np.abs(matrix)
    found = middle @ matrix.T + offset
    most = (np.abs(middle) + radius) @ size.T + np.abs(offset)
    spread = radius @ size.T
    room = spread * (1 + 4 * _EPS * (matrix.shape[1] + 4)) + 4 * _EPS * (
        (matrix.shape[1] + 4) * most
    ) + 1e-300  # fmt: skip
    return found - room, found + room


def _product(matrices: Array, x: Interval) -> Interval:
    """``matrices @ x`` for known matrices (n, i, j) and intervals (n, j, k)."""
    middle, radius = (x[0] + x[1]) / 2, (x[1] - x[0]) / 2
    radius = radius + 4 * _EPS * (np.abs(x[0]) + np.abs(x[1])) + 1e-300
    size, found = np.abs(matrices), matrices @ middle
    count = 4 * _EPS * (matrices.shape[2] + 4)
    room = (size @ radius) * (1 + count) + count * (size @ (np.abs(middle) + radius)) + 1e-300
    return found - room, found + room


class _Function(NamedTuple):
    """A nonlinearity that rises, on intervals.

    Attributes
    ----------
    value, slope : of an interval.
    """

    value: Any
    slope: Any


def _rising(f: Any, low: float, high: float) -> Any:
    def value(a: Interval) -> Interval:
        ends = [np.asarray(f(x)) for x in a]
        return (
            np.maximum(ends[0] - _DIGITS * np.abs(ends[0]) - 1e-300, low),
            np.minimum(ends[1] + _DIGITS * np.abs(ends[1]) + 1e-300, high),
        )

    return value


def _bell(f: Any) -> Any:
    """A slope that is even, falls away from 0, and is no more than its value at 0."""

    def slope(a: Interval) -> Interval:
        far = np.maximum(np.abs(a[0]), np.abs(a[1]))
        near = np.where((a[0] <= 0) & (a[1] >= 0), 0.0, np.minimum(np.abs(a[0]), np.abs(a[1])))
        low, high = np.asarray(f(far)), np.asarray(f(near))
        return np.maximum(low * (1 - _DIGITS) - 1e-300, 0.0), high * (1 + _DIGITS) + 1e-300

    return slope


def _sigmoid(a: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(np.minimum(-a, 700.0))))


def _logistic_slope(a: Array) -> Array:
    # From what is small, so that no digits are lost where the unit is saturated.
    small = np.exp(-np.abs(a))
    return np.asarray(small / (1 + small) ** 2)


_FUNCTIONS = {
    "tanh": _Function(
        _rising(np.tanh, -1.0, 1.0), _bell(lambda a: 4 * _logistic_slope(2 * a))
    ),
    "sigmoid": _Function(_rising(_sigmoid, 0.0, 1.0), _bell(_logistic_slope)),
}  # fmt: skip


class Equations:
    """``x = into' f(out x + drive)``, whose solutions are the fixed points of leaky units.

    Parameters
    ----------
    out, into : (unit, number); in a network of full rank the weights, and the identity.
    drive : (unit,).
    name : of the nonlinearity.
    """

    def __init__(self, out: Array, into: Array, drive: Array, name: str) -> None:
        self.out, self.into, self.drive, self.f = out, into, drive, _FUNCTIONS[name]
        self.n = out.shape[1]
        self.full = into.shape[0] == into.shape[1] and bool((into == np.eye(self.n)).all())
        low = np.zeros(len(drive)) if name == "sigmoid" else -np.ones(len(drive))
        box = self._gathered((low[None], np.ones((1, len(drive)))))
        # A little more than all, so that a point at its very edge is inside.
        self.box = box[0][0] - 1e-9, box[1][0] + 1e-9

    def _gathered(self, f: Interval) -> Interval:
        return f if self.full else _linear(self.into.T, f, np.zeros(self.n))

    def image(self, x: Interval) -> Interval:
        """Bounds of ``into' f(out x + drive)`` over boxes (n, number)."""
        return self._gathered(self.f.value(_linear(self.out, x, self.drive)))

    def jacobian(self, x: Interval) -> Interval:
        """Bounds of its derivatives, (n, number, number)."""
        low, high = self.f.slope(_linear(self.out, x, self.drive))
        if self.full:
            return _times((low[:, :, None], high[:, :, None]), (self.out, self.out))
        flat = (self.into[:, :, None] * self.out[:, None, :]).reshape(len(self.drive), -1)
        # Each product of weights is rounded once: its slope reaches a little farther.
        slopes = np.maximum(low - 4 * _EPS * high, 0.0), high * (1 + 4 * _EPS)
        found = _linear(flat.T, slopes, np.zeros(flat.shape[1]))
        return tuple(e.reshape(-1, self.n, self.n) for e in found)  # type: ignore[return-value]


class GatedEquations:
    """``h = tanh(a + r (U h + b))``, ``r`` the reset: the fixed points of a layer of a GRU.

    Parameters
    ----------
    cell : one layer. The other gate says how fast a state moves, and not where it rests.
    """

    def __init__(self, cell: Gated) -> None:
        w_x, w_h, b_x, b_h = cell.layers[0]
        self.n = n = cell.n_hidden
        x = np.atleast_2d(cell.inputs)[0]
        # Rounded here: as wide as they may be.
        self.given = _linear(w_x, (x[None], x[None]), b_x)
        self.w_reset, self.b_reset = w_h[:n], b_h[:n]
        self.w_new, self.b_new = w_h[2 * n :], b_h[2 * n :]
        self.box = np.full(n, -1 - 1e-9), np.full(n, 1 + 1e-9)

    def _parts(self, h: Interval) -> tuple[Interval, Interval, Interval, Interval]:
        n = self.n
        first = tuple(e[:, :n] for e in self.given)
        third = tuple(e[:, 2 * n :] for e in self.given)
        drive = _plus(_linear(self.w_reset, h, self.b_reset), first)  # type: ignore[arg-type]
        sent = _linear(self.w_new, h, self.b_new)
        reset = _FUNCTIONS["sigmoid"].value(drive)
        total = _plus(_times(reset, sent), third)  # type: ignore[arg-type]
        return drive, sent, reset, total

    def image(self, h: Interval) -> Interval:
        """Bounds of what a state would come to, over boxes (n, number)."""
        return _FUNCTIONS["tanh"].value(self._parts(h)[3])  # type: ignore[no-any-return]

    def jacobian(self, h: Interval) -> Interval:
        """Bounds of its derivatives, (n, number, number)."""
        drive, sent, reset, total = self._parts(h)

        def rows(x: Interval) -> Interval:
            return x[0][:, :, None], x[1][:, :, None]

        by_reset = _times(sent, _FUNCTIONS["sigmoid"].slope(drive))
        inside = _plus(
            _times(rows(by_reset), (self.w_reset, self.w_reset)),
            _times(rows(reset), (self.w_new, self.w_new)),
        )
        return _times(rows(_FUNCTIONS["tanh"].slope(total)), inside)


def equations_of(cell: Any) -> Equations | GatedEquations | None:
    """The equations of the fixed points of a cell, where they can be covered; None where not."""
    if isinstance(cell, LowRank):
        if cell.full.nonlinearity not in _FUNCTIONS or cell.n_state > MOST_NUMBERS:
            return None
        assert cell.full.factors is not None
        return Equations(*cell.full.factors, cell.full.drive, cell.full.nonlinearity)
    if isinstance(cell, Leaky):
        if cell.nonlinearity not in _FUNCTIONS or cell.substeps > 1:
            return None
        if not 0 < cell.n_state <= MOST_NUMBERS or not (cell.alpha > 0).all():
            return None
        return Equations(cell.weights, np.eye(cell.n_state), cell.drive, cell.nonlinearity)
    one = isinstance(cell, Gated) and len(cell.layers) == 1 and cell.n_state <= MOST_NUMBERS
    if one and cell.kind == "gru":
        return GatedEquations(cell)
    if one and cell.kind == "tanh":
        w_x, w_h, b_x, b_h = cell.layers[0]
        return Equations(w_h, np.eye(cell.n_state), cell.inputs @ w_x.T + b_x + b_h, "tanh")
    return None


def numbers_of(cell: Any, states: Array) -> Array:
    """What the equations are solved for, of states of the cell, (n, number)."""
    if isinstance(cell, LowRank):
        assert cell.full.factors is not None
        return np.asarray(cell.f.value(states @ cell.out.T + cell.drive) @ cell.full.factors[1])
    if isinstance(cell, Leaky) and cell.form == "current":
        return np.asarray(cell.f.value(states))
    return states


def states_of(cell: Any, x: Array) -> Array:
    """States of the cell that belong to numbers of the equations."""
    if isinstance(cell, LowRank):
        assert cell.full.factors is not None
        a = x @ cell.full.factors[0].T + cell.drive
        return np.asarray(cell.f.value(a) @ cell.into)
    if isinstance(cell, Leaky) and cell.form == "current":
        return np.asarray(x @ cell.weights.T + cell.drive)
    return x


class Cover(NamedTuple):
    """What boxes that cover all states say of the points that are known.

    Attributes
    ----------
    proved : whether they are all.
    n_boxes : that were looked at.
    missed : (state, state), near points that are not among them.
    """

    proved: bool
    n_boxes: int
    missed: Array


def covered(cell: Any, states: Array, seconds: float = SECONDS) -> Cover | None:
    """Cover all states of a small network with boxes; None where it cannot be covered.

    Parameters
    ----------
    cell : see `neurornn.dynamics.cells`.
    states : (point, state), the fixed points that are known.
    seconds : s, of wall time, after which it is given up.

    Notes
    -----
    Krawczyk's operator (Krawczyk 1969, Computing 4:187, doi:10.1007/BF02234767; Moore 1977,
    doi:10.1137/0714040): with m the middle of a box X and Y about the inverse of the derivative,
    ``K = m - Y G(m) + (1 - Y G'(X)) (X - m)`` holds all solutions of ``G = 0`` that X holds. So a
    box that K misses holds none, and one that K lies inside of holds exactly one.
    """
    equations = equations_of(cell)
    if equations is None:
        return None
    known = _Known(equations, numbers_of(cell, states))
    nothing = states[:0]
    if not known.alone:
        return Cover(False, 0, nothing)
    began, n_boxes = time.monotonic(), 0
    some = max(min(_AT_A_TIME, _BLOCK // cell.lift(states[:1]).shape[-1]), 1)
    stack = [tuple(e[None] for e in equations.box)]
    while stack:
        low, high = stack.pop()
        if len(low) > some:
            stack.append((low[some:], high[some:]))
            low, high = low[:some], high[:some]
        n_boxes += len(low)
        if n_boxes > MOST_BOXES or time.monotonic() - began > seconds:
            return Cover(False, n_boxes, nothing)
        x = known.without((low, high))
        size = (x[1] - x[0]).max(axis=1)
        if size.min(initial=np.inf) < _LEAST:
            # At the edge of a box lies a point that was missed; or one that is not isolated, or
            # all but one.
            near = np.flatnonzero(size < 1e3 * _LEAST)
            return Cover(False, n_boxes, _new(cell, known, (x[0][near] + x[1][near]) / 2))
        for _ in range(2):
            x = _met(x, equations.image(x))
        if not len(x[0]):
            continue
        k = _krawczyk(equations, x)
        one = ((k[0] > x[0]) & (k[1] < x[1])).all(axis=1)
        left = one & ~known.has_one_inside(x)
        if left.any():
            # A box that holds a point, which may be one that is known, cut by its side.
            there = _new(cell, known, (x[0] + x[1])[left] / 2)
            if len(there):
                return Cover(False, n_boxes, there)
        x = tuple(e[~one | left] for e in x)  # type: ignore[assignment]
        x = _met(x, tuple(e[~one | left] for e in k))  # type: ignore[arg-type]
        if not len(x[0]):
            continue
        stack.append(_cut(x))
    return Cover(True, n_boxes, nothing)


def _new(cell: Any, known: "_Known", x: Array) -> Array:
    """States of fixed points near some numbers that are none of those known."""
    there = newton(cell, states_of(cell, x))
    return there[known.away(numbers_of(cell, there)) > 1e-6] if len(there) else there


def _met(x: Interval, y: Interval) -> Interval:
    """The boxes that two of each have in common, without those that are empty."""
    low, high = np.maximum(x[0], y[0]), np.minimum(x[1], y[1])
    some = (low <= high).all(axis=1)
    return low[some], high[some]


def _cut(x: Interval) -> Interval:
    """Boxes cut along their longest side."""
    low, high = x
    rows = np.arange(len(low))
    side = (high - low).argmax(axis=1)
    at = low[rows, side] + _CUT * (high - low)[rows, side]
    first, second = high.copy(), low.copy()
    first[rows, side], second[rows, side] = at, at
    return np.concatenate([low, second]), np.concatenate([first, high])


def _krawczyk(equations: Equations | GatedEquations, x: Interval) -> Interval:
    """Krawczyk's operator of boxes (n, number): all solutions in them lie in it too."""
    n = equations.n
    middle = (x[0] + x[1]) / 2
    reach = np.nextafter(np.maximum(x[1] - middle, middle - x[0]), np.inf)
    image = equations.image((middle, middle))
    off = _wide((middle - image[1], middle - image[0]))
    low, high = equations.jacobian(x)
    bend = _wide((np.eye(n) - high, np.eye(n) - low))
    try:
        inverse = np.linalg.inv((bend[0] + bend[1]) / 2)
    except np.linalg.LinAlgError:
        inverse = np.linalg.pinv((bend[0] + bend[1]) / 2)
    inverse = np.where(np.isfinite(inverse), inverse, 0.0)
    step = _product(inverse, (off[0][:, :, None], off[1][:, :, None]))
    rest = _product(inverse, bend)
    rest = _wide((np.eye(n) - rest[1], np.eye(n) - rest[0]))
    most = np.maximum(np.abs(rest[0]), np.abs(rest[1]))
    spread = np.einsum("nij,nj->ni", most, reach) * (1 + 4 * _EPS * (n + 4)) + 1e-300
    return _wide(_wide((middle - step[1][:, :, 0] - spread, middle - step[0][:, :, 0] + spread)))


class _Known:
    """Points that are known, each in a box that is shown to hold exactly one.

    Parameters
    ----------
    equations : that they solve.
    x : (point, number).

    Attributes
    ----------
    alone : whether every point has such a box, and no two of them can be one.
    """

    def __init__(self, equations: Equations | GatedEquations, x: Array) -> None:
        n = len(x)
        self.at, self.low, self.high = x, x.copy(), x.copy()
        self.inner: Interval = (x.copy(), x.copy())
        shown = np.zeros(n, dtype=bool)
        for half in _ROUND if n else ():
            # Until each has a box; narrow ones say best where a point is.
            if shown.all() and half not in _NARROW:
                continue
            boxes = x - half, x + half
            k = _krawczyk(equations, boxes)
            holds = ((k[0] > boxes[0]) & (k[1] < boxes[1])).all(axis=1)
            first = holds & ~shown
            self.low[first], self.high[first] = boxes[0][first], boxes[1][first]
            for mine, theirs in zip(self.inner, k, strict=True):
                mine[holds] = theirs[holds]
            shown |= holds
        self.alone = bool(shown.all())
        low, high = self.inner
        for p in range(n if self.alone else 0):
            others = np.arange(n) != p
            apart = ((low[p] > high[others]) | (high[p] < low[others])).any(axis=1)
            self.alone &= bool(apart.all())

    def away(self, x: Array) -> Array:
        """How far each is from the nearest point that is known."""
        if not len(self.at):
            return np.full(len(x), np.inf)
        return np.asarray(np.linalg.norm(x[:, None] - self.at, axis=2).min(axis=1))

    def has_one_inside(self, x: Interval) -> NDArray[np.bool_]:
        """Whether a known point lies in each box for certain."""
        low, high = self.inner
        found = np.zeros(len(x[0]), dtype=bool)
        for p in range(len(self.at)):
            found |= ((x[0] < low[p]) & (x[1] > high[p])).all(axis=1)
        return found

    def without(self, x: Interval) -> Interval:
        """Boxes without those that lie in one of a known point, and cut where one side does."""
        low, high = x[0].copy(), x[1].copy()
        rows = np.arange(len(low))
        gone = np.zeros(len(low), dtype=bool)
        for p in range(len(self.at)):
            below, above = low < self.low[p], high > self.high[p]
            out = (below | above).sum(axis=1)
            gone |= out == 0
            side = (below | above).argmax(axis=1)
            under, over = below[rows, side], above[rows, side]
            # What sticks out on one side alone is a box again.
            cut = (out == 1) & (under != over)
            first, second = cut & under, cut & over
            some, along = rows[first], side[first]
            high[some, along] = np.minimum(high[some, along], np.maximum(
                self.low[p][along], low[some, along]))  # fmt: skip
            some, along = rows[second], side[second]
            low[some, along] = np.maximum(low[some, along], np.minimum(
                self.high[p][along], high[some, along]))  # fmt: skip
        return low[~gone], high[~gone]
