"""Which state ends where: shares of a region that come to each stable point, with proofs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_confidence_level, check_count, check_numbers, check_rng
from neurornn._core.confidence import binomial_interval, to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.jobs import progress_bar
from neurornn._core.quantities import Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn.dynamics.balls import Ball, balls_of
from neurornn.dynamics.fixed_points import points_of, starts_of
from neurornn.dynamics.maps import StateMap, as_map
from neurornn.dynamics.motion import in_time
from neurornn.dynamics.point_table import FixedPoints
from neurornn.io.shell import Result

Array = NDArray[np.float64]

#: States that are drawn, and steps that each is followed at most.
N_STATES, MAX_STEPS = 10_000, 20_000
#: A state is merely near a point where it is nearer than this, as a share of 1 and its size.
_NEAR = 1e-6
#: A state is at rest, or all but so, where a step moves it by less than this share.
_REST = 1e-6
#: Steps between two looks at most.
_EVERY = 16
#: Ends other than a point: codes of `told`, below 0.
MOVES, ON_THE_WAY, DIVERGED = -1, -2, -3
_ENDS = {MOVES: "moves on", ON_THE_WAY: "still on the way", DIVERGED: "diverged"}


class Basins(Result):
    """Which share of a region ends in each stable point; made by `basins`.

    Attributes
    ----------
    parameters : Dataset over ``end`` and ``hidden``
        ``share (end)`` with ``share_ci``; ``n_states``, ``n_proved`` and ``n_near (end)``, how
        many came there, how many of these by a proof and how many by being near; ``point (end)``,
        the number of the point in the table of fixed points, -1 of what is none; ``state (end,
        hidden)``, NaN there. The last ends are ``moves on``, ``still on the way`` and
        ``diverged``.
    settings : how it was made.
    """

    _papers = ("wilson_1927", "kantorovich_1948")
    _packages = ("numpy", "scipy")
    _quantities = (
        Quantity(
            name="share", units="1", dims=("end",), long_name="share of the states that end there",
            method="states followed to a ball that is shown to lie in the basin; Wilson interval",
        ),
    )  # fmt: skip
    _map: StateMap | None = None

    @property
    def shares(self) -> xr.DataArray:
        """Share of the states that end in each, (end,)."""
        return self.parameters["share"]

    @property
    def proved_share(self) -> float:
        """Of the verdicts for a point, the share that is a proof up to rounding."""
        proved, near = (float(self.parameters[n].sum()) for n in ("n_proved", "n_near"))
        return proved / (proved + near) if proved + near else float("nan")

    def tell(self, states: ArrayLike, model: Any = None) -> NDArray[np.int64]:
        """Say in which stable point each state ends.

        Parameters
        ----------
        states : (number, hidden).
        model : the model again, where the result was loaded from a file.

        Returns
        -------
        (number,)
            Number of the point in the table of fixed points; -1 where it comes to none of them.
        """
        if model is not None:
            is_function = not self.settings["inputs"] and callable(model)
            self._map = as_map(
                model, self.settings["inputs"] or None,
                n_hidden=self.parameters.sizes["hidden"] if is_function else None,
            )  # fmt: skip
        if self._map is None:
            raise KindError(
                "The basins were loaded from a file, which does not hold the model",
                "The model was needed to run states on",
                "Pass it: basins.tell(states, model)",
            )
        h = starts_of(states, self._map.cell.n_state)
        p = self.parameters
        points = p["state"].values[p["point"].values >= 0]
        found = told(self._map, points, h, max_steps=self.settings["max_steps"])[0]
        numbers = np.append(p["point"].values[p["point"].values >= 0], -1)
        return np.asarray(numbers[np.where(found < 0, len(points), found)], dtype=np.int64)

    def _report_table(self) -> Table:
        s, p = self.settings, self.parameters
        proved, near = int(p["n_proved"].sum()), int(p["n_near"].sum())
        head = [
            f"{s['n_states']} states {s['region']} of {s['model']} ({p.sizes['hidden']} states; "
            f"a step is {in_time(s['dt'], s['time_unit'])}), each followed for up to "
            f"{s['max_steps']} steps; intervals {100 * s['confidence_level']:g} %",
            f"{proved + near} came to a stable point: {proved} proved, {near} merely near it",
        ]
        return parameters_table(p, "Basins", head=head, notes=[s["points"]])

    def __repr__(self) -> str:
        n = int((self.parameters["point"] >= 0).sum())
        rest = float(self.shares[n:].sum())
        return f"Basins({n} stable points, {100 * rest:.3g} % of the states end in none of them)"

    def _methods_sentence(self) -> str:
        s = self.settings
        return (
            f"Basins of attraction were measured by following {s['n_states']} states "
            f"{s['region']} until they came into a ball around a stable point that is shown to be "
            f"in its basin, for up to {s['max_steps']} steps; "
            f"{int(self.parameters['n_proved'].sum())} verdicts are proved and "
            f"{int(self.parameters['n_near'].sum())} rest on nearness; "
            f"{100 * s['confidence_level']:g} % Wilson intervals"
        )


def basins(
    model: Any,
    points: FixedPoints | None = None,
    inputs: Any = None,
    *,
    n_states: int = N_STATES,
    max_steps: int = MAX_STEPS,
    region: Any = None,
    confidence_level: float = 0.95,
    n_hidden: int | None = None,
    dt: float | None = None,
    rng: RNG = 0,
    progress: bool | Callable[[int, int], None] = False,
) -> Basins:
    """Measure which share of the states ends in each stable point of a network.

    Parameters
    ----------
    model : FitResult, recurrent model of `neurornn.models`, ``torch.nn.RNN``, ``GRU`` or ``LSTM``
        (stacked too), or a function
        As `find_fixed_points` takes it. What is passed is not changed.
    points : what `find_fixed_points` found under the same input; by default it is called.
    inputs : (input,), held constant; by default those of `points`, or 0.
    n_states : states that are drawn.
    max_steps : steps that each is followed at most.
    region : where they are drawn: ``(low, high)``, numbers or (hidden,); or states (number,
        hidden) to follow instead. By default all over what can be reached, where that is bounded,
        and else a few times as far as weights and inputs carry.
    confidence_level : of the intervals of the shares.

    Other Parameters
    ----------------
    n_hidden : size of the state of a function.
    dt : s, length of a step of a function or a layer of torch.
    rng : int, Generator or None.
    progress : show a bar in a terminal or a notebook, or a callable ``(states, all)``.

    Returns
    -------
    Basins

    Raises
    ------
    KindError, ShapeError, DataError
        A model or inputs that cannot be read, points of another network or input, a region that
        is none.

    Notes
    -----
    Around a stable point p with Jacobian J there is a norm ``|h| = |S h|_2`` in which J contracts
    by some k < 1; S comes from a discrete Lyapunov equation. Where the second derivative is at
    most B, a step takes h to at most ``(k + b |h - p| / 2) |h - p|`` from p, with
    ``b = B |S| |S^-1|^2``, so that all states within ``2 (1 - k) / b`` come to p. A ReLU network
    is linear up to the next kink: the ball is as large as the piece allows. States are followed
    until they are in such a ball, which proves where they end, but for rounding; where there is no
    bound (stacked and other models, functions, more than 512 states), or no room for a ball, a
    state is only said to be near once it is within 1e-6.

    Shares are those of the region that is drawn from, and intervals (Wilson) say what drawn states
    leave open.

    Examples
    --------
    >>> import neurornn as nr
    >>> found = nr.dynamics.basins(lambda h: np.tanh(2 * h), n_hidden=1, region=(-1, 3), rng=0)
    >>> abs(float(found.shares[:2].max()) - 0.75) < 0.02
    True
    >>> found.tell([[-0.5], [0.5]]).tolist()
    [0, 1]
    """
    level = check_confidence_level(confidence_level)
    draw = generator(check_rng(rng))
    n_states = check_count(n_states, "n_states")
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
    h, where = _drawn(region, state_map.cell, draw, n_states)
    stable = np.flatnonzero(points.is_stable.values)
    at = points.states.values[stable]
    with progress_bar(len(h), 0, progress, "states") as tick:
        found, proved = told(state_map, at, h, max_steps=max_steps, tick=tick)
    result = _result(state_map, points, stable, found, proved, level)
    result.settings |= {"max_steps": int(max_steps), "region": where}
    result._map = state_map
    return result


def _check_points(points: FixedPoints, state_map: StateMap) -> None:
    n_state = state_map.cell.n_state
    if points.parameters.sizes["hidden"] != n_state:
        raise ShapeError(
            f"points has states of {points.parameters.sizes['hidden']} numbers",
            f"Points of this network, of {n_state} numbers, were needed",
            "Leave points out to have them found",
        )
    at = points.states.values
    if not np.array_equal(points.settings["inputs"], state_map.inputs):
        raise DataError(
            f"points were found under inputs {points.settings['inputs']}",
            f"Points under the same inputs, {state_map.inputs.tolist()}, were needed",
            "Leave inputs out to take those of the points, or points to have them found",
        )
    # Points have q < 1e-24, which other units of the same network raise a little.
    moved = np.abs(state_map.cell.step(at) - at).max(initial=0.0)
    if not moved <= 1e-8 * (1 + np.abs(at).max(initial=0.0)):
        raise DataError(
            f"The model moves the points by up to {moved:.3g} in a step",
            "Fixed points of this network were needed",
            "Leave points out to have them found",
        )


def _drawn(region: Any, cell: Any, rng: np.random.Generator, n: int) -> tuple[Array, str]:
    """States to follow, (number, state), and in words where they come from."""
    if region is None:
        return np.asarray(cell.spread(rng, n)), "all over"
    if not isinstance(region, tuple):
        return starts_of(region, cell.n_state), "that were given"
    if len(region) != 2:
        raise ShapeError(
            f"region is a tuple of {len(region)}",
            "(low, high), or an array of states (number, hidden), was needed",
            "Pass region=(-1, 1)",
        )
    low, high = (
        np.asarray(check_numbers(x, "region", missing=False), dtype=float) for x in region
    )
    if not {low.shape, high.shape} <= {(), (cell.n_state,)} or not (low < high).all():
        raise DataError(
            f"region reaches from {low} to {high}",
            f"A low bound below a high one was needed, one number or {cell.n_state} each",
            "Pass region=(-1, 1)",
        )
    return rng.uniform(low, high, (n, cell.n_state)), "between the bounds given"


def told(
    state_map: StateMap,
    points: Array,
    states: Array,
    *,
    max_steps: int = MAX_STEPS,
    tick: Callable[[], None] = lambda: None,
    balls: list[Ball] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Say where states end: number of the point, or a code of `_ENDS`; and what is proved.

    Parameters
    ----------
    state_map : the map.
    points : (point, state), stable.
    states : (number, state).
    max_steps : that each is followed.
    tick : called for each state once it is known.
    balls : of the points, where they are known.

    Returns
    -------
    end : (number,).
    proved : (number,), whether it is shown that the state comes to its point.
    """
    cell = state_map.cell
    balls = balls_of(cell, points) if balls is None else balls
    end, proved = np.full(len(states), MOVES), np.zeros(len(states), dtype=bool)
    left, h, before = np.arange(len(states)), np.array(states), np.array(states)
    anchor, at, next_anchor = h, 0, 64
    bound = 1e9 * max(1.0, float(np.abs(states).max(initial=0.0)))

    def take(rows: NDArray[np.bool_], where: Any, shown: Any = False) -> None:
        nonlocal left, h, anchor, before
        end[left[rows]], proved[left[rows]] = where, shown
        for _ in range(int(rows.sum())):
            tick()
        left, h, anchor, before = left[~rows], h[~rows], anchor[~rows], before[~rows]

    with np.errstate(all="ignore"):
        look = 0
        while len(left):
            if at >= look:
                take(~(np.abs(h) < bound).all(axis=1), DIVERGED)
                where, shown = _arrived(points, balls, h)
                rows = where >= 0
                take(rows, where[rows], shown[rows])
                look = at + min(max(at, 1), _EVERY)
            if at >= max_steps or not len(left):
                break
            before, h = h, cell.step(h)
            at += 1
            if at > 1024:
                # An orbit of whole steps has come back to a state that it left for others.
                size = 1e-10 * (1 + np.abs(h).max(axis=1))
                back = np.abs(h - anchor).max(axis=1) <= size
                take(back & (np.abs(h - before).max(axis=1) > 1e4 * size), MOVES)
            if at >= next_anchor:
                anchor, next_anchor = h, 2 * at
        if len(left):
            slow = np.abs(h - before).max(axis=1) <= _REST * (1 + np.abs(h).max(axis=1))
            take(slow, ON_THE_WAY)
            take(np.ones(len(left), dtype=bool), MOVES)
    return end, proved


def _arrived(
    points: Array, balls: list[Ball], h: Array
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Point at which each state has arrived, -1 where at none, and whether that is shown."""
    where, shown = np.full(len(h), -1), np.zeros(len(h), dtype=bool)
    for k, ball in enumerate(balls):
        away = h - points[k]
        near = np.sqrt(np.einsum("ij,ij->i", away, away))
        if ball.shape is not None:
            rows = np.flatnonzero(near <= ball.reach)
            inside = np.linalg.norm(away[rows] @ ball.shape.T, axis=1) <= ball.radius
            where[rows[inside]], shown[rows[inside]] = k, True
        else:
            rows = near <= _NEAR * (1 + np.linalg.norm(points[k]))
            where[rows & (where < 0)] = k
    return where, shown


def _result(
    state_map: StateMap,
    points: FixedPoints,
    stable: NDArray[np.int64],
    found: NDArray[np.int64],
    proved: NDArray[np.bool_],
    level: float,
) -> Basins:
    codes = [*range(len(stable)), *_ENDS]
    counts = np.array([(found == c).sum() for c in codes])
    shown = np.array([(proved & (found == c)).sum() for c in codes])
    n, n_stable = len(found), len(stable)
    ci = [binomial_interval(int(c), n, level) for c in counts]
    share = Basins._quantities[0]
    table = to_dataset(
        [share.of(counts / max(n, 1), np.array(ci))],
        confidence_level=level,
        coords={"end": [*(f"point {k}" for k in stable), *_ENDS.values()],
                "hidden": np.arange(state_map.cell.n_state)},
    )  # fmt: skip
    states = np.full((len(codes), state_map.cell.n_state), np.nan)
    states[:n_stable] = points.states.values[stable]
    is_point = np.arange(len(codes)) < n_stable
    number = np.append(stable, np.full(len(_ENDS), -1))
    beside: dict[str, Any] = {
        "state": (("end", "hidden"), states, "state of the point"),
        "point": ("end", number, "number in the table of fixed points"),
        "n_states": ("end", counts, "states that end there"),
        "n_proved": ("end", shown, "of these, shown to"),
        "n_near": ("end", np.where(is_point, counts - shown, 0), "of these, merely near"),
    }
    table = table.assign(
        {k: (dims, v, {"units": "1", "long_name": long}) for k, (dims, v, long) in beside.items()}
    )
    return Basins(
        table,
        {
            "model": state_map.name, "dt": float(state_map.dt),
            "time_unit": state_map.time_unit, "inputs": state_map.inputs.tolist(),
            "n_states": int(n), "confidence_level": level,
            "points": f"Of {points.parameters.sizes['point']} fixed points {n_stable} are stable; "
            f"the set is {points.completeness}.",
        },
    )  # fmt: skip
