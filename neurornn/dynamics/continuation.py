"""Fixed points as an input or a parameter moves: a diagram whose points are counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_count, check_numbers, check_rng
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import (
    ConvergenceWarning,
    KindError,
    NameUnknownError,
    ShapeError,
    nearest,
)
from neurornn._core.jobs import progress_bar
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.report import Table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn._core.units import counted, format_number
from neurornn._core.warning import warn_user
from neurornn.dynamics.enumeration import MOST_UNITS
from neurornn.dynamics.fixed_points import points_of, search_options
from neurornn.dynamics.latent import in_few_numbers
from neurornn.dynamics.linear_sheets import LinearSheets, can_be_solved
from neurornn.dynamics.maps import StateMap, as_map
from neurornn.dynamics.point_table import frequency_unit
from neurornn.dynamics.sheets import Sheets
from neurornn.dynamics.tracing import Family
from neurornn.io.shell import TableResult

Array = NDArray[np.float64]

#: Values at which a search of its own looks for what no sheet has reached.
N_SEARCHES = 5
#: Searches more where the index sum is not 1.
_RESCUES = 8
_NO_INTERVAL = "a property of these weights; their own uncertainty is not carried over"


class BifurcationDiagram(TableResult):
    """Fixed points over an input or a parameter; made by `continue_fixed_points`.

    Attributes
    ----------
    parameters : Dataset over ``bifurcation`` and ``hidden``
        ``value``, of the parameter where the set of points changes; ``kind``: ``"fold"``, two
        points meet and vanish; ``"pitchfork"`` and ``"transcritical"``, curves cross; ``"Hopf"``,
        a pair of modes begins to grow and a cycle is born, with its ``frequency``; ``"flip"``, a
        mode turns sign in every step and grows; ``"border collision"``, of ReLU networks, a unit
        switches and with it the number of modes that grow; ``state (bifurcation, hidden)``;
        ``status``.
    points : Dataset over ``value``, ``sheet`` and ``hidden``
        ``state (sheet, value, hidden)``, NaN where a sheet has no point: along a sheet one point
        is followed from fold to fold; ``n_unstable (sheet, value)``, -1 where there is none;
        ``leading_real`` and ``leading_imag``, eigenvalue of the slowest or fastest growing mode;
        ``n_points``, ``n_stable`` and ``index_sum (value)``.
    settings : how it was made; ``completeness`` with ``reason``.
    """

    _papers = ("keller_1977", "kantorovich_1948", "sussillo_2013")
    _packages = ("numpy", "scipy")
    _tables = ("parameters", "points")
    _whole = "points"
    _quantities = (
        Quantity(
            name="value", units="1", dims=("bifurcation",), reason=_NO_INTERVAL,
            long_name="value of the parameter", method="where the sign of a test function changes",
        ),
        Quantity(
            name="frequency", units=OF_DATA, dims=("bifurcation",), reason=_NO_INTERVAL,
            long_name="frequency of the cycle that is born",
            method="angle of the eigenvalue / (2 pi dt)",
        ),
    )  # fmt: skip
    points: xr.Dataset

    @property
    def bifurcations(self) -> xr.Dataset:
        """The table of bifurcations."""
        return self.parameters

    @property
    def completeness(self) -> str:
        """``"proved"``, ``"consistent"``, ``"incomplete"`` or ``"unknown"``."""
        return str(self.settings["completeness"])

    def _report_table(self) -> Table:
        t, p, s = self.parameters, self.points, self.settings
        rows = []
        for k in range(t.sizes["bifurcation"]):
            turning = float(t["frequency"][k])
            rows.append([
                str(t["kind"].values[k]), format_number(float(t["value"][k]), 6),
                f"{format_number(turning)} {frequency_unit(s['time_unit'])}" if turning else "-",
                str(t["status"].values[k]),
            ])  # fmt: skip
        n, values = p["n_points"].values, p["value"].values
        head = [
            f"{len(values)} values of {s['parameter']} from {format_number(values[0])} to "
            f"{format_number(values[-1])}, of {s['model']} ({p.sizes['hidden']} states): "
            f"{counted(int(n[0]), 'point')} at the first, {n[-1]} at the last, on "
            f"{counted(p.sizes['sheet'], 'sheet')}",
            f"completeness: {self.completeness}; {s['reason']}",
        ]
        return Table(
            title="Bifurcation diagram",
            columns=["kind", "at", "frequency", "status"],
            rows=rows,
            head=head,
            notes=[f"no interval of value, frequency: {_NO_INTERVAL}"],
        )

    def __repr__(self) -> str:
        kinds = self.parameters["kind"].values.tolist()
        told = ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds)) or "none"
        return (
            f"BifurcationDiagram({self.points.sizes['sheet']} sheets over "
            f"{self.points.sizes['value']} values; bifurcations: {told}; {self.completeness})"
        )

    def _methods_sentence(self) -> str:
        s = self.settings
        how = (
            f"by pseudo-arclength continuation from those found by Newton steps at "
            f"{s['n_searches']} values, and bifurcations located by the sign of test functions"
        )
        if not s["n_searches"]:
            how = "by solving every linear piece of the network, from border to border"
        return (
            f"Fixed points were followed over {s['parameter']} {how}; the diagram is "
            f"{s['completeness']} ({s['reason']})"
        )


def continue_fixed_points(
    model: Any,
    inputs: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    parameter: tuple[float, float] | None = None,
    n_values: int = 201,
    n_searches: int = N_SEARCHES,
    search: Mapping[str, Any] | None = None,
    n_hidden: int | None = None,
    dt: float | None = None,
    rng: RNG = 0,
    progress: bool | Callable[[int, int], None] = False,
) -> BifurcationDiagram:
    """Follow every fixed point as an input or a parameter moves, and find where they meet.

    Parameters
    ----------
    model : FitResult, recurrent model of `neurornn.models`, ``torch.nn.RNN``, ``GRU`` or ``LSTM``
        With `parameter` a function of states (number, hidden) and of values of the parameter
        (number, 1) to the states a step later, of tensors or arrays.
    inputs : ((input,), (input,)), the inputs at both ends; between them they move on a line, and
        the value is the share of the way, 0 to 1. Where one input alone moves it is its own value.
    parameter : values of the parameter of a function at both ends.
    n_values : of the grid on which points are returned.
    n_searches : values at which a search of its own looks for points on no sheet.
    search : arguments of `find_fixed_points` for these: ``method``, ``n_starts``, ``max_starts``,
        ``max_seconds``.

    Other Parameters
    ----------------
    n_hidden : size of the state of a function.
    dt : s, length of a step of a function or a layer of torch; without it time is in steps.
    rng : int, Generator or None.
    progress : show a bar in a terminal or a notebook, or a callable.

    Returns
    -------
    BifurcationDiagram

    Raises
    ------
    KindError, ShapeError, DataError, NameUnknownError
        A model, inputs or values that cannot be read; an argument of a search that there is not.

    Warns
    -----
    ConvergenceWarning
        Points are missing at some value.

    Notes
    -----
    Steps along the curve of points and Newton steps across it (Keller 1977) pass folds, at which
    the parameter turns back. Where curves cross, the branches are taken up; where the index sum
    (see `find_fixed_points`) is not 1, a search looks for what is missing there, and what it finds
    is followed too.

    In a network with ReLU units, up to 20 of them, the point of every linear piece moves on a line
    as the input does, from border to border of the piece: all are solved, nothing is searched, and
    the set is proved. At a border two points meet and vanish (a fold) where ``det(1 - J)`` has two
    signs on its sides, and else go on as one (di Bernardo et al. 2008, Piecewise-smooth Dynamical
    Systems).

    Examples
    --------
    A unit that excites itself holds two states where it is pushed by little:

    >>> step = lambda h, u: np.tanh(2 * h + u)
    >>> diagram = continue_fixed_points(step, parameter=(0.0, 1.0), n_hidden=1)
    >>> diagram.points["n_points"].values[[0, -1]].tolist()
    [3, 1]
    >>> marks = diagram.bifurcations
    >>> marks["kind"].values.tolist(), marks["value"].values.round(4).tolist()
    (['fold'], [0.5328])
    """
    rng = generator(check_rng(rng))
    n_values = check_count(n_values, "n_values", 2)
    n_searches = check_count(n_searches, "n_searches", 2)
    options = {"quiet": True, **_options_of(search)}
    at, scale, told = _family_of(model, inputs, parameter, n_hidden, dt)
    first = at(np.zeros(1))
    values = np.linspace(0.0, 1.0, n_values)
    if "relu" in (getattr(first.cell, "nonlinearity", ""), getattr(first.cell, "kind", "")):
        return _solved_in_pieces(at, scale, told, values)

    def cell_at(s: Array) -> Any:
        cell = at(s).cell
        return in_few_numbers(cell) or cell

    family = Family(cell_at, cell_at(np.zeros(1)).n_state)

    def found_at(value: float) -> Array:
        state_map = at(np.array([value]))
        points = points_of(_of_one(state_map), rng, prove=False, **options)
        ok = points.parameters["status"].values == str(Status.OK)
        return np.asarray(cell_at(np.array([value])).inner(points.states.values[ok]))

    sheets, n_late = Sheets(family, values), 0
    with progress_bar(n_searches, 0, progress, "searches") as tick:
        for k, value in enumerate(_ordered(values, n_searches)):
            new = sheets.add(found_at(value), value)
            n_late += new if k > 1 else 0
            tick()
    bounded = cell_at(np.zeros(1)).box is not None
    points, n_rescues = _on_grid(sheets), 0
    while bounded and n_rescues < _RESCUES:
        wrong = np.flatnonzero(points["index_sum"] != 1)
        if not len(wrong):
            break
        value = values[rng.choice(wrong)]
        n_rescues += 1
        if sheets.add(found_at(value), value):
            points = _on_grid(sheets)
    completeness, reason = _judged(points, sheets, bounded, n_searches, n_late)
    settings = {
        **told, "completeness": completeness, "reason": reason, "model": first.name,
        "dt": float(first.dt), "time_unit": first.time_unit,
        "n_searches": n_searches + n_rescues,
    }  # fmt: skip
    if completeness == "incomplete":
        warn_user(
            f"The diagram is incomplete: {reason}. Pass a larger n_searches, or "
            "search={'n_starts': 4096}.",
            ConvergenceWarning,
        )
    return _diagram(sheets, values, scale, points, settings)


def _solved_in_pieces(
    at: Callable[[Array], StateMap],
    scale: Callable[[Array], Array],
    told: dict[str, Any],
    values: Array,
) -> BifurcationDiagram:
    """The diagram of a ReLU network, whose pieces are solved for all values at once."""
    first = at(np.zeros(1))
    if not can_be_solved(first.cell):
        raise KindError(
            f"{first.name} has ReLU units in {first.cell.n_state} states",
            f"Up to {MOST_UNITS} units in one layer, without substeps, were needed: every linear "
            "piece is solved",
            "Call find_fixed_points for each input",
        )
    sheets = LinearSheets(lambda s: at(s).cell, values)
    points = _on_grid(sheets)
    wrong = int((points["index_sum"] != 1).sum()) if first.cell.box is not None else 0
    completeness, reason = sheets.judged(wrong)
    settings = {
        **told, "completeness": completeness, "reason": reason, "model": first.name,
        "dt": float(first.dt), "time_unit": first.time_unit, "n_searches": 0,
    }  # fmt: skip
    return _diagram(sheets, values, scale, points, settings)


def _options_of(search: Any) -> dict[str, Any]:
    """What a search takes, checked before anything is searched."""
    if search is None:
        return {}
    if not isinstance(search, Mapping):
        raise KindError(
            f"search is a {type(search).__name__}",
            "A dict of arguments of find_fixed_points was needed",
            'For example search={"n_starts": 4096}',
        )
    known = list(search_options())
    unknown = [name for name in search if name not in known]
    if unknown:
        raise NameUnknownError(
            f"search has {', '.join(map(repr, unknown))}",
            f"Arguments that say how to search were needed: {', '.join(known)}",
            nearest(unknown[0], known),
        )
    return search_options(**search)


def _family_of(
    model: Any,
    inputs: Any,
    parameter: Any,
    n_hidden: int | None,
    dt: float | None,
) -> tuple[Callable[[Array], StateMap], Callable[[Array], Array], dict[str, Any]]:
    """The map at shares of the way, their values, and what is told of the parameter."""
    if (inputs is None) == (parameter is None):
        came = "Neither inputs nor parameter" if inputs is None else "inputs and parameter"
        raise KindError(
            f"{came} came",
            "One of them was needed, with two ends",
            "Pass inputs=(u0, u1) with a network, or parameter=(0.5, 2.0) with a function of the "
            "state and the parameter",
        )
    ends = inputs if parameter is None else parameter
    name = "inputs" if parameter is None else "parameter"
    if not isinstance(ends, Sequence | np.ndarray) or len(ends) != 2:
        raise ShapeError(
            f"{name} is {type(ends).__name__} of {np.size(ends)} values",
            "Both ends were needed",
            f"Pass {name}=(first, last)",
        )
    if parameter is not None:
        p0, p1 = (float(check_numbers(p, "parameter", missing=False)) for p in ends)
        if not callable(model) or n_hidden is None:
            raise KindError(
                f"parameter came with a {type(model).__name__}, n_hidden={n_hidden}",
                "A function of the state and the parameter, and the size of the state, were "
                "needed",
                "continue_fixed_points(lambda h, g: np.tanh(g * h), parameter=(0, 2), n_hidden=3)",
            )

        def of_function(s: Array) -> StateMap:
            column = (p0 + s * (p1 - p0))[:, None]
            found = as_map(_held(model, column), n_hidden=n_hidden, dt=dt)
            return found._replace(name=getattr(model, "__name__", "function"))

        return of_function, lambda s: p0 + s * (p1 - p0), {"parameter": "the parameter"}
    whole = as_map(model, ends[0], n_hidden=n_hidden, dt=dt)
    u0, u1 = whole.inputs, whole.under(ends[1]).inputs
    make = whole.cell_at
    assert make is not None
    moves = np.flatnonzero(u0 != u1)
    if not len(moves):
        raise KindError(
            "inputs has the same values at both ends",
            "Two inputs were needed, between which it moves",
            "Pass inputs=(u0, u1)",
        )

    def of_input(s: Array) -> StateMap:
        u = u0 + s[:, None] * (u1 - u0)
        return whole._replace(cell=make(u), inputs=u)

    if len(moves) == 1:
        k = int(moves[0])
        return of_input, lambda s: u0[k] + s * (u1[k] - u0[k]), {"parameter": f"input {k}"}
    return of_input, lambda s: s, {"parameter": "the share of the way between the inputs"}


def _held(function: Any, column: Array) -> Callable[[Any], Any]:
    """A function of the state alone, each with its own value of the parameter."""
    import torch

    def step(h: Any) -> Any:
        rows = column if len(column) in (1, len(h)) else column[:1]
        return function(h, torch.from_numpy(rows) if isinstance(h, torch.Tensor) else rows)

    return step


def _of_one(state_map: StateMap) -> StateMap:
    """The map at one share, whose inputs are those of all states."""
    if state_map.cell_at is None:
        return state_map
    u = state_map.inputs[0]
    return state_map._replace(cell=state_map.cell_at(u), inputs=u)


def _ordered(values: Array, n: int) -> Array:
    """Values for searches: both ends, then between them, each far from those before."""
    between = np.linspace(0.0, 1.0, n)[1:-1]
    picked = [0.0, 1.0, *between[np.argsort(np.abs(between - 0.5), kind="stable")]]
    return np.array([values[np.argmin(np.abs(values - p))] for p in picked])


def _on_grid(sheets: Sheets | LinearSheets) -> dict[str, Array]:
    """What is told of the points on the grid, by sheet and value."""
    states = np.array([s.states for s in sheets.sheets]).reshape(
        -1, len(sheets.values), sheets.family.n_state
    )
    there = ~np.isnan(states).any(axis=2)
    n_unstable = np.full(there.shape, -1)
    leading = np.full(there.shape, np.nan, dtype=complex)
    index = np.zeros(there.shape, dtype=int)
    where = np.nonzero(there)
    if len(where[0]):
        h, s = states[where], sheets.values[where[1]]
        cell = sheets.family.cell_at(s)
        found = sheets.family.eigenvalues(np.column_stack([h, s]))
        n_unstable[where] = (np.abs(found) > 1).sum(axis=1)
        leading[where] = found[:, 0]
        _, jacobian = cell.step_and_jacobian(h)
        index[where] = np.linalg.slogdet(np.eye(h.shape[1]) - jacobian)[0]
    return {
        "states": states, "n_unstable": n_unstable, "leading": leading,
        "n_points": there.sum(axis=0), "n_stable": (n_unstable == 0).sum(axis=0),
        "index_sum": index.sum(axis=0),
    }  # fmt: skip


def _judged(
    points: dict[str, Array], sheets: Sheets, bounded: bool, n_searches: int, n_late: int
) -> tuple[str, str]:
    """Completeness and its reason."""
    wrong = int((points["index_sum"] != 1).sum())
    n = len(sheets.values)
    if bounded and wrong:
        return "incomplete", f"the index sum is not +1 at {wrong} of {n} values"
    if not len(sheets.sheets):
        return "unknown", "no search found a point"
    lost = f"; {sheets.n_lost} curves could not be followed to their end" if sheets.n_lost else ""
    late = f"{n_searches} searches found what the sheets hold"
    if n_late:
        late = f"{n_late} points that only a search inside the range found were followed too"
    if not bounded:
        word = "unknown" if lost else "consistent"
        return word, f"{late}; the index theorem does not apply{lost}"
    return "consistent", f"the index sum is +1 at all {n} values, and {late}{lost}"


def _diagram(
    sheets: Sheets | LinearSheets,
    values: Array,
    scale: Callable[[Array], Array],
    points: dict[str, Array],
    settings: dict[str, Any],
) -> BifurcationDiagram:
    """The two tables."""
    family, unit = sheets.family, settings["time_unit"]
    marks = sorted(sheets.bifurcations, key=lambda b: b.x[-1])
    at = np.array([b.x for b in marks]).reshape(-1, family.n_state + 1)
    turning = np.array([b.turn for b in marks]) / (2 * np.pi * settings["dt"])

    n_hidden = family.cell_at(np.zeros(1)).lift(np.zeros((1, family.n_state))).shape[1]

    def lifted(h: Array, s: Array) -> Array:
        return np.asarray(family.cell_at(s).lift(h)) if len(h) else np.zeros((0, n_hidden))

    told = {"value": (scale(at[:, -1]), ""), "frequency": (turning, frequency_unit(unit))}
    table = to_dataset(
        [q.of(told[q.name][0], units=told[q.name][1]) for q in BifurcationDiagram._quantities],
        confidence_level=0.95,
        coords={"bifurcation": np.arange(len(marks)), "hidden": np.arange(n_hidden)},
        status=np.full(len(marks), str(Status.OK)),
        status_dims=("bifurcation",),
    ).assign(
        kind=("bifurcation", np.array([b.kind for b in marks], dtype=str),
              {"long_name": "what happens"}),
        state=(("bifurcation", "hidden"), lifted(at[:, :-1], at[:, -1]),
               {"units": "1", "long_name": "state of the network"}),
    )  # fmt: skip
    states = np.full((*points["states"].shape[:2], n_hidden), np.nan)
    where = np.nonzero(points["n_unstable"] >= 0)
    if len(where[0]):
        states[where] = lifted(points["states"][where], values[where[1]])
    both, one = ("sheet", "value"), {"units": "1"}
    grid = xr.Dataset(
        {
            "state": ((*both, "hidden"), states, {**one, "long_name": "state of the network"}),
            "n_unstable": (both, points["n_unstable"], {**one, "long_name": "modes that grow"}),
            "leading_real": (both, points["leading"].real,
                             {**one, "long_name": "real part of the leading eigenvalue"}),
            "leading_imag": (both, points["leading"].imag,
                             {**one, "long_name": "imaginary part of the leading eigenvalue"}),
            "n_points": ("value", points["n_points"], {**one, "long_name": "fixed points"}),
            "n_stable": ("value", points["n_stable"], {**one, "long_name": "stable points"}),
            "index_sum": ("value", points["index_sum"],
                          {**one, "long_name": "sum of the signs of det(1 - J)"}),
        },
        coords={"value": ("value", scale(values), {**one, "long_name": settings["parameter"]}),
                "sheet": np.arange(len(states)), "hidden": np.arange(n_hidden)},
    )  # fmt: skip
    return BifurcationDiagram(table, settings, points=grid)
