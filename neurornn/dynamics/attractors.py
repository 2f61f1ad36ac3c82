"""What a network comes to, by name: points, a line, a ring, a plane, a cycle, a torus, chaos."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_count, check_numbers, check_rng
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError
from neurornn._core.jobs import progress_bar
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.report import Table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn._core.units import counted, format_number
from neurornn._core.warning import warn_user
from neurornn.dynamics.destinations import rows_of
from neurornn.dynamics.fixed_points import starts_of
from neurornn.dynamics.lyapunov import lyapunov_spectrum
from neurornn.dynamics.manifolds import Curve
from neurornn.dynamics.maps import StateMap, as_map
from neurornn.dynamics.memory import moved_from
from neurornn.dynamics.point_table import frequency_unit
from neurornn.dynamics.slow_flow import SlowFlow, fit_slow_flow, flow_of
from neurornn.io.shell import TableResult

Array = NDArray[np.float64]

#: Shares of the way at which states are looked at.
LOOKS = (0.01, 0.03, 0.1, 0.3, 1.0)
#: What trajectories come to that is not known to move on for ever.
_RESTING = {"point", "points", "line", "ring", "plane", "undecided"}
_NO_INTERVAL = "a property of these weights; their own uncertainty is not carried over"


class Attractor(TableResult):
    """What a network comes to; made by `classify_attractor`.

    Attributes
    ----------
    parameters : Dataset over ``attractor``
        The largest first. ``kind``: ``"point"``, ``"points"``, ``"line"``, ``"ring"``,
        ``"plane"``, ``"limit cycle"``, ``"quasi-periodic"``, ``"chaos"`` or ``"undecided"``;
        ``dimension``; ``share`` of the trajectories that came to it; ``n_points``, stable points
        on it; ``lifetime``, how long what is stored along it lasts: until values are displaced by
        1 - 1/e of what they will be in the end (the time constant of a leak), on a ring at most
        of their spread; infinite in several points, NaN in a single one, which stores nothing;
        ``at_least``, whether the lifetime is only known to be no shorter; ``drift`` and
        ``fastest_drift``, how fast states move along it, as root
        mean square and at most, in its own lengths (of a ring: turns) per unit of time;
        ``across``, the time constant with which states come to it; ``rate_ratio``, of the slowest
        rate along it to that across; ``period`` of a cycle; ``floquet``, its largest multiplier
        but the one along it; ``status``.
    manifold : Dataset over ``attractor``, ``place`` and ``hidden``
        ``state`` along lines, rings and cycles, ``position`` and ``speed`` along them, in states
        and in states per unit of time; NaN for all else.
    settings : how it was made.
    """

    _papers = ("seung_1996", "sagodi_2024")
    _packages = ("numpy", "scipy")
    _tables = ("parameters", "manifold")
    _quantities = (
        Quantity(
            name="lifetime", units=OF_DATA, dims=("attractor",), reason=_NO_INTERVAL,
            long_name="lifetime of the memory",
            method="until the root mean square displacement along it is 1 - 1/e of the last",
        ),
        Quantity(
            name="drift", units=OF_DATA, dims=("attractor",), reason=_NO_INTERVAL,
            long_name="drift along it", method="root mean square speed over its length",
        ),
        Quantity(
            name="fastest_drift", units=OF_DATA, dims=("attractor",), reason=_NO_INTERVAL,
            long_name="fastest drift along it", method="largest speed over its length",
        ),
        Quantity(
            name="across", units=OF_DATA, dims=("attractor",), reason=_NO_INTERVAL,
            long_name="time constant towards it", method="-dt / log|eigenvalue|, median over it",
        ),
        Quantity(
            name="period", units=OF_DATA, dims=("attractor",), reason=_NO_INTERVAL,
            long_name="period", method="mean time of return",
        ),
    )  # fmt: skip
    manifold: xr.Dataset

    @property
    def kind(self) -> str:
        """Kind of the attractor; those of several, the largest first, joined by ``" and "``."""
        return " and ".join(dict.fromkeys(self.parameters["kind"].values.tolist()))

    @property
    def dimension(self) -> int:
        """Dimension of the attractor, the largest of several."""
        return int(self.parameters["dimension"].max())

    @property
    def drift(self) -> float:
        """Drift along the largest attractor, in its own lengths per unit of time."""
        return float(self.parameters["drift"][0])

    @property
    def lifetime(self) -> float:
        """Lifetime of a memory in the largest attractor, in the time unit of the model."""
        return float(self.parameters["lifetime"][0])

    def memory_error(
        self,
        delays: ArrayLike,
        readout: ArrayLike | None = None,
        starts: ArrayLike | None = None,
    ) -> xr.Dataset:
        """Say how far a stored value will have moved after a delay.

        Along a line or a ring; or, from starts off these and in attractors of other kinds, with
        the slow flow, which is known where `classify_attractor` was given starts.

        Parameters
        ----------
        delays : (delay,), in the time unit of the model.
        readout : (output, hidden), weights of a linear read-out; by default the position along
            the line or ring, or, with the slow flow, the state.
        starts : (start, hidden), states that hold the values, each on the nearest line or ring or
            on the slow manifold; by default equally far apart along the largest line or ring.

        Returns
        -------
        Dataset over ``delay`` and ``start``
            ``error (delay, start)``, distance of the read-out from what it was; ``mean_error
            (delay)``; ``bound (delay)``, which no error exceeds: the fastest that the read-out
            moves anywhere along the attractor, times the delay, and what the farthest start adds
            whose ``distance (start)`` from the attractor dies out meanwhile.

        Raises
        ------
        KindError
            The attractor is no line and no ring, and starts or the slow flow are missing.
        ShapeError, DataError
            Delays, weights or states of another form.
        """
        curves, flow = self._curves(), None if starts is None else flow_of(self.manifold)
        if not curves and flow is None:
            raise KindError(
                f"The attractor is of the kind {self.kind}",
                "A line or a ring was needed, along which a value is stored, or states that hold "
                "values and the slow flow beside those of the task",
                "Pass starts= here and to classify_attractor, of a network of more than 3 states; "
                "where that does not help, see lifetime",
            )
        times = np.atleast_1d(check_numbers(delays, "delays", missing=False)).astype(float)
        if (times < 0).any():
            raise DataError(
                f"delays begins at {times.min():g}", "Times from 0 on were needed",
                "Pass delays after the moment in which the value was stored",
            )  # fmt: skip
        n_hidden = self.manifold.sizes["hidden"]
        weights = None
        if readout is not None:
            weights = np.atleast_2d(check_numbers(readout, "readout", missing=False))
            if weights.shape[1] != n_hidden:
                raise ShapeError(
                    f"readout has shape {weights.shape}",
                    f"Weights of shape (output, {n_hidden}) were needed",
                    "For example result.model.output_weight",
                )
        if starts is None:
            states, curves = curves[0].states, curves[:1]
        else:
            states = starts_of(starts, n_hidden)
        steps = times / self.settings["dt"]
        found = moved_from(curves, flow, states, steps, weights)
        size = 1.0 if weights is None else float(np.linalg.norm(weights, 2))
        # The position along a curve is that of the curve, whatever lies beside it.
        along = starts is None or (weights is None and flow is None)
        beside = 0.0 if along else size * float(found.distance.max())
        return xr.Dataset(
            {
                "error": (("delay", "start"), found.error, {"units": "1"}),
                "mean_error": ("delay", found.error.mean(axis=1), {"units": "1"}),
                "bound": ("delay", found.fastest * steps + beside, {"units": "1"}),
                "distance": ("start", found.distance, {"units": "1"}),
            },
            coords={
                "delay": ("delay", times, {"units": self.settings["time_unit"]}),
                "start": np.arange(len(states)),
            },
        )

    def _curves(self) -> list[Curve]:
        """Lines and rings, the largest first."""
        m, dt, found = self.manifold, self.settings["dt"], []
        for k, kind in enumerate(self.parameters["kind"].values.tolist()):
            if kind in ("line", "ring"):
                found.append(Curve(
                    m["state"].values[k], m["position"].values[k], m["speed"].values[k] * dt,
                    kind == "ring", float(m["length"][k]),
                ))  # fmt: skip
        return found

    def _report_table(self) -> Table:
        t, s = self.parameters, self.settings
        unit = s["time_unit"]
        rows = []
        for k in range(t.sizes["attractor"]):
            kind = str(t["kind"].values[k])
            if kind == "points":
                kind = f"{int(t['n_points'][k])} points"
            rows.append([
                kind, str(int(t["dimension"][k])), f"{100 * float(t['share'][k]):.0f} %",
                _lasting(float(t["lifetime"][k]), bool(t["at_least"][k]), unit),
                _or_none(float(t["drift"][k]), frequency_unit(unit)),
                _or_none(float(t["across"][k]), "steps" if unit == "1" else unit),
                _or_none(float(t["period"][k]), "steps" if unit == "1" else unit),
                str(t["status"].values[k]),
            ])  # fmt: skip
        notes = [f"no interval of lifetime, drift, fastest_drift, across, period: {_NO_INTERVAL}"]
        for k in range(t.sizes["attractor"]):
            kind = str(t["kind"].values[k])
            if kind in ("line", "ring", "plane"):
                resting = counted(int(t["n_points"][k]), "stable point")
                notes.append(
                    f"States come to the {kind} {1 / float(t['rate_ratio'][k]):.0f} times as fast "
                    f"as they move along it; it has {resting}."
                )
            if kind == "limit cycle" and np.isfinite(t["floquet"][k]):
                notes.append(
                    f"In a period what lies beside the cycle keeps "
                    f"{format_number(float(t['floquet'][k]))} of its distance (largest Floquet "
                    "multiplier)."
                )
        if "node" in self.manifold.dims:
            notes.append(
                "The slow flow tells how far other trajectories move to within "
                f"{100 * float(self.manifold['flow_error']):.2g} %."
            )
        head = [
            f"{self.kind}, of {s['model']} ({self.manifold.sizes['hidden']} states; a step is "
            f"{format_number(s['dt'])} {'steps' if unit == '1' else unit})",
            f"{s['n_trajectories']} trajectories of {s['n_steps']} steps; {s['reason']}",
        ]
        return Table(
            title="Attractor",
            columns=["kind", "dimension", "share", "lifetime", "drift", "across", "period",
                     "status"],
            rows=rows, head=head, notes=notes,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"Attractor({self.kind}, dimension {self.dimension})"

    def _methods_sentence(self) -> str:
        s = self.settings
        return (
            f"{s['n_trajectories']} trajectories were run for {s['n_steps']} steps, and what they "
            f"came to was read by the spectra of the Jacobians along them: {self.kind} "
            f"({s['reason']})"
        )


def classify_attractor(
    model: Any,
    points: Any = None,
    inputs: Any = None,
    *,
    starts: ArrayLike | None = None,
    n_trajectories: int = 256,
    n_steps: int = 5000,
    n_hidden: int | None = None,
    dt: float | None = None,
    rng: RNG = 0,
    progress: bool | Callable[[int, int], None] = False,
) -> Attractor:
    """Name what a network comes to, and say how long a memory in it lasts.

    Parameters
    ----------
    model : FitResult, recurrent model of `neurornn.models`, ``torch.nn.RNN``, ``GRU`` or ``LSTM``,
        or a function of states (number, hidden).
    points : FixedPoints of the same model; trajectories are started beside them too.
    inputs : (input,), held constant; by default 0.
    starts : (start, hidden), states to start from, for example of a run of the task; by default
        all over what can be reached.
    n_trajectories : how many are run.
    n_steps : of each, before it is looked at.

    Other Parameters
    ----------------
    n_hidden : size of the state of a function.
    dt : s, length of a step of a function or a layer of torch; without it time is in steps.
    rng : int, Generator or None.
    progress : show a bar in a terminal or a notebook, or a callable.

    Returns
    -------
    Attractor

    Raises
    ------
    KindError, ShapeError, DataError
        A model, inputs or starts that cannot be read; every trajectory grows without end.

    Warns
    -----
    ConvergenceWarning
        Some trajectories did not settle on anything that has a name.

    Notes
    -----
    A line, a ring or a plane is a manifold along which states move slowly and to which they come
    quickly: its modes are at least 8 times slower than the next, and the ratio is told (a normally
    hyperbolic manifold; it lasts when weights change a little, though the points on it do not,
    Sagodi et al. 2024, arXiv:2408.00109). States are run for 12 time constants of what comes
    quickly, ordered along the curve on which they then lie, and their own steps are the drift.
    What moves on is a cycle where it returns, with its period and Floquet multipliers; else the
    Lyapunov exponents tell.

    With starts the slow flow is read too, in at most three dimensions, off 1024 trajectories that
    begin beside these; it is kept where it tells to within a fifth how far others move, that were
    left out. `Attractor.memory_error` follows values with it that are not on a line or a ring.

    Examples
    --------
    >>> attractor = classify_attractor(lambda h: np.tanh(2 * h), n_hidden=1)
    >>> attractor.kind, attractor.lifetime
    ('points', inf)
    """
    rng = generator(check_rng(rng))
    n_trajectories = check_count(n_trajectories, "n_trajectories", 8)
    n_steps = check_count(n_steps, "n_steps", 10)
    state_map = as_map(model, inputs, n_hidden=n_hidden, dt=dt)
    cell = state_map.cell
    begun = _begin(cell, points, starts, n_trajectories, rng)
    with progress_bar(n_steps, 0, progress, "steps") as tick:
        h, alive, on_the_way = begun.copy(), np.ones(len(begun), dtype=bool), []
        for k in range(1, n_steps + 1):
            h[alive] = cell.step(h[alive])
            alive &= np.isfinite(h).all(axis=1) & (np.abs(h) < 1e8).all(axis=1)
            if k in {max(round(share * n_steps), 1) for share in LOOKS}:
                on_the_way.append((k, h.copy()))
            tick()
    if not alive.any():
        raise DataError(
            f"All {len(h)} trajectories grew without end",
            "A network that stays within bounds was needed",
            "Lower its gain, or pass starts= from which it stays",
        )

    def exponents(states: Array) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return lyapunov_spectrum(
                model, inputs, n_exponents=min(4, cell.n_state), n_steps=4096, starts=states[:16],
                n_hidden=n_hidden, dt=dt, rng=rng,
            )  # fmt: skip

    seen = [(k, states[alive]) for k, states in on_the_way]
    found = rows_of(state_map, begun[alive], seen, rng, exponents)
    reason = f"{int((~alive).sum())} of {len(alive)} grew without end" if not alive.all() else (
        "all stayed within bounds"
    )  # fmt: skip
    settings = {
        "model": state_map.name, "dt": float(state_map.dt), "time_unit": state_map.time_unit,
        "inputs": np.asarray(state_map.inputs).tolist(), "n_trajectories": len(h),
        "n_steps": n_steps, "reason": reason,
    }  # fmt: skip
    if any(f["kind"] == "undecided" for f in found):
        warn_user(
            "Some trajectories did not settle on anything that has a name. Raise n_steps, or pass "
            "starts= of one kind.",
            ConvergenceWarning,
        )
    flow = None
    if starts is not None and {f["kind"] for f in found} <= _RESTING:
        flow = fit_slow_flow(cell, begun[alive], h[alive], n_steps, rng)
    return _result(state_map, found, settings, flow)


def _begin(cell: Any, points: Any, starts: Any, n: int, rng: np.random.Generator) -> Array:
    """States to run: those that were given, or all over, and beside fixed points."""
    if starts is not None:
        given = starts_of(starts, cell.n_state)
        return given[rng.integers(len(given), size=n)] if len(given) > n else given.copy()
    begun = cell.spread(rng, n)
    known = getattr(points, "states", None)
    if known is not None:
        if known.shape[1] != cell.n_state:
            raise ShapeError(
                f"points has states of {known.shape[1]} numbers",
                f"Points of the same model were needed, of {cell.n_state}",
                "Pass what find_fixed_points has found of it",
            )
        picked = known.values[rng.integers(len(known), size=n // 4)] if len(known) else None
        if picked is not None:
            beside = 0.01 * (1 + np.abs(picked)) * rng.standard_normal(picked.shape)
            begun[: len(picked)] = picked + beside
    return np.asarray(begun)


def _lasting(value: float, at_least: bool, unit: str) -> str:
    if np.isnan(value):
        return "-"
    if np.isinf(value):
        return "no end"
    told = f"{format_number(value)} {'steps' if unit == '1' else unit}"
    return f"at least {told}" if at_least else told


def _or_none(value: float, unit: str) -> str:
    return f"{format_number(value)} {unit}" if np.isfinite(value) else "-"


def _result(
    state_map: StateMap, found: list[dict[str, Any]], settings: dict[str, Any],
    flow: SlowFlow | None,
) -> Attractor:  # fmt: skip
    """The two tables."""
    unit, n, n_hidden = state_map.time_unit, len(found), state_map.cell.n_state

    def column(name: str, missing: float = np.nan) -> Array:
        return np.array([f.get(name, missing) for f in found], dtype=float)

    per = frequency_unit(unit)
    units = {"lifetime": unit, "drift": per, "fastest_drift": per, "across": unit, "period": unit}
    undecided = np.array([f["kind"] == "undecided" for f in found])
    table = to_dataset(
        [q.of(column(q.name), units=units[q.name]) for q in Attractor._quantities],
        confidence_level=0.95,
        coords={"attractor": np.arange(n)},
        status=np.where(undecided, str(Status.NOT_CONVERGED), str(Status.OK)),
        status_dims=("attractor",),
    )
    one = {"units": "1"}
    table = table.assign(
        kind=("attractor", np.array([f["kind"] for f in found], dtype=str),
              {"long_name": "what it is"}),
        dimension=("attractor", column("dimension", 0).astype(int),
                   {**one, "long_name": "dimension"}),
        share=("attractor", column("share"), {**one, "long_name": "share of the trajectories"}),
        n_points=("attractor", column("n_points", 0).astype(int),
                  {**one, "long_name": "stable points on it"}),
        at_least=("attractor", column("at_least", 0).astype(bool),
                  {"long_name": "the lifetime is only known to be no shorter"}),
        rate_ratio=("attractor", column("rate_ratio"),
                    {**one, "long_name": "rate along it over the rate towards it"}),
        floquet=("attractor", column("floquet"),
                 {**one, "long_name": "largest Floquet multiplier but that along the cycle"}),
    )  # fmt: skip
    n_places = max((len(_states_along(f, n_hidden)) for f in found), default=0)
    state = np.full((n, n_places, n_hidden), np.nan)
    position, speed = np.full((n, n_places), np.nan), np.full((n, n_places), np.nan)
    length = np.full(n, np.nan)
    for k, row in enumerate(found):
        along = _states_along(row, n_hidden)
        state[k, : len(along)] = along
        curve = row.get("curve")
        if curve is not None:
            position[k, : len(along)] = curve.position
            speed[k, : len(along)] = curve.speed / state_map.dt
            length[k] = curve.length
    manifold = xr.Dataset(
        {
            "state": (("attractor", "place", "hidden"), state,
                      {**one, "long_name": "state of the network"}),
            "position": (("attractor", "place"), position,
                         {**one, "long_name": "distance along it"}),
            "speed": (("attractor", "place"), speed,
                      {"units": per, "long_name": "drift along it"}),
            "length": ("attractor", length, {**one, "long_name": "length"}),
        },
        coords={"attractor": np.arange(n), "place": np.arange(n_places),
                "hidden": np.arange(n_hidden)},
    )  # fmt: skip
    if flow is not None:
        manifold = manifold.assign(flow.variables())
    return Attractor(table, settings, manifold=manifold)


def _states_along(row: dict[str, Any], n_hidden: int) -> Array:
    curve = row.get("curve")
    return np.zeros((0, n_hidden)) if curve is None else np.asarray(curve.states)
