"""What a network comes to, by name: points, a line, a ring, a plane, a cycle, a torus, chaos."""

import warnings
from collections.abc import Callable, Sequence
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
from neurornn.dynamics.cycles import cycle_through
from neurornn.dynamics.fixed_points import frequency_unit, starts_of
from neurornn.dynamics.lyapunov import lyapunov_spectrum
from neurornn.dynamics.manifolds import (
    RELAX,
    Curve,
    Pace,
    curve_through,
    floor_of,
    flowed,
    nearest,
    parts,
    relaxed,
    settled,
    size_of,
    slow_modes,
    thinned,
)
from neurornn.dynamics.maps import StateMap, as_map
from neurornn.io.shell import TableResult

Array = NDArray[np.float64]

#: A state that moves by more than this share of the size of the cloud, in the time in which it
#: comes to a manifold, is under way and does not rest.
MOVING = 0.2
#: Share of what is stored that is lost after the lifetime of a memory.
LOST = float(1 - np.exp(-1))
#: Shares of the way at which states are looked at.
LOOKS = (0.01, 0.03, 0.1, 0.3, 1.0)
#: States whose eigenvalues are looked at at most.
_LOOKED_AT = 64
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
        """Say how far a value stored along a line or a ring will have moved after a delay.

        Parameters
        ----------
        delays : (delay,), in the time unit of the model.
        readout : (output, hidden), weights of a linear read-out; by default the position along
            the attractor.
        starts : (start, hidden), states that hold the values, each on the nearest line or ring; by
            default equally far apart along the largest.

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
            The attractor is no line and no ring.
        ShapeError, DataError
            Delays, weights or states of another form.
        """
        curves = self._curves()
        if not curves:
            raise KindError(
                f"The attractor is of the kind {self.kind}",
                "A line or a ring was needed, along which a value is stored",
                "In points nothing moves; see lifetime",
            )
        times = np.atleast_1d(check_numbers(delays, "delays", missing=False)).astype(float)
        if (times < 0).any():
            raise DataError(
                f"delays begins at {times.min():g}", "Times from 0 on were needed",
                "Pass delays after the moment in which the value was stored",
            )  # fmt: skip
        n_hidden = curves[0].states.shape[1]
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
        # Each value is stored on the line or ring that is nearest.
        places = [nearest(curve, states) for curve in curves]
        off = np.array([distance for _, distance in places])
        mine = np.argmin(off, axis=0)
        steps = times / self.settings["dt"]
        size = 0.0 if weights is None else float(np.linalg.norm(weights, 2))
        beside = size * float(off.min(axis=0).max()) if starts is not None else 0.0
        error, fastest = np.empty((len(times), len(states))), 0.0
        for k, (curve, (at, _)) in enumerate(zip(curves, places, strict=True)):
            here = mine == k
            if here.any():
                error[:, here], speed = _moved(curve, at[here], steps, weights)
                fastest = max(fastest, speed)
        return xr.Dataset(
            {
                "error": (("delay", "start"), error, {"units": "1"}),
                "mean_error": ("delay", error.mean(axis=1), {"units": "1"}),
                "bound": ("delay", fastest * steps + beside, {"units": "1"}),
                "distance": ("start", off.min(axis=0), {"units": "1"}),
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
    found = _read(state_map, begun[alive], seen, rng, exponents)
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
    return _result(state_map, found, settings)


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


def _read(
    state_map: StateMap,
    begun: Array,
    seen: list[tuple[int, Array]],
    rng: np.random.Generator,
    exponents: Callable[[Array], Any],
) -> list[dict[str, Any]]:
    """What trajectories came to, as rows of the table; `seen` are states after some steps."""
    ended = seen[-1][1]
    cell, n = state_map.cell, len(ended)
    pace = slow_modes(cell, ended[rng.permutation(n)[:_LOOKED_AT]])
    window = int(np.clip(np.ceil(pace.across), 50, 2000))
    # The farthest that a state gets from where it was, beside the size of all of them.
    size, h, far = size_of(ended), ended, np.zeros(n)
    low, high = ended.copy(), ended.copy()
    for _ in range(window):
        h = cell.step(h)
        far = np.maximum(far, np.linalg.norm(h - ended, axis=1))
        low, high = np.minimum(low, h), np.maximum(high, h)
    orbit = np.linalg.norm(high - low, axis=1)
    scale = max(size, float(np.median(orbit)), 1e-300)
    tiny = 1e-7 * (1 + np.abs(ended).max())
    moving = (far > MOVING * scale) & (far > tiny)
    found = []
    if (~moving).any():
        looks = [(k, states[~moving]) for k, states in seen]
        rows = _resting(state_map, begun[~moving], looks, n)
        # A cycle may be slow on a part of its way: states leave that part, and none a manifold.
        leaving = _leave(state_map, rows, ended[~moving])
        if leaving.mean() > 0.05:
            moving[:] = True
        else:
            found += rows
    if moving.any():
        found += _going(state_map, ended[moving], n, exponents)
    return sorted(found, key=lambda f: -f["share"])


def _leave(state_map: StateMap, rows: list[dict[str, Any]], ended: Array) -> NDArray[np.bool_]:
    """Whether states run off the lines and rings that they are said to have come to."""
    curves = [row["curve"] for row in rows if row["kind"] in ("line", "ring")]
    if not curves or len(curves) < len(rows):
        return np.zeros(len(ended), dtype=bool)
    pace = slow_modes(state_map.cell, ended[:_LOOKED_AT])
    h, gone = ended, np.zeros(len(ended), dtype=bool)
    before: Array | None = None
    # They may come back to it, at its other end: a look now and then.
    for _ in range(25):
        for _ in range(int(np.clip(pace.along / 5, 10, 200))):
            h = state_map.cell.step(h)
        found = [nearest(curve, h) for curve in curves]
        lengths = np.array([[curve.length] for curve in curves])
        share = np.array([off for _, off in found]) / lengths
        gone |= share.min(axis=0) > 0.1
        at = (np.array([position for position, _ in found]) / lengths)[
            share.argmin(axis=0), np.arange(len(h))
        ]
        if before is not None and not any(curve.is_ring for curve in curves):
            gone |= (np.abs(at - before) > 0.5) & (len(curves) == 1)
        before = at
    return gone


def _resting(
    state_map: StateMap, begun: Array, seen: list[tuple[int, Array]], n: int
) -> list[dict[str, Any]]:
    """Points, or manifolds along which states move slowly."""
    cell, ended = state_map.cell, seen[-1][1]
    # States may have come to a manifold and left it again, for points on it: the first look at
    # which they have had the time to come to what they lie on.
    for k, states in seen:
        pace = slow_modes(cell, states[:_LOOKED_AT])
        if not pace.dimension or k < RELAX * pace.across / 2:
            continue
        for looks in ((1, 1, 3), (RELAX,)):
            late = [states for steps, states in seen if steps >= RELAX * pace.across]
            cloud, size = _cloud(cell, begun, pace, looks, late)
            # Few places for many states: points, each with a slow mode of its own.
            if len(cloud) <= max(8, len(begun) // 8):
                break
            if size < 1e-6 * (1 + np.abs(cloud).max()):
                break
            made = []
            for part in parts(cell, cloud, pace):
                if len(part) >= max(8, len(cloud) // 50):
                    share = len(part) / len(cloud) * len(ended) / n
                    row = _manifold(state_map, part, pace, share)
                    made += [] if row is None else [row]
            if made:
                return made
    return [_points(state_map, ended, len(ended) / n)]


def _cloud(
    cell: Any, begun: Array, pace: Pace, looks: Sequence[float], late: list[Array]
) -> tuple[Array, float]:
    """States on the manifold to which trajectories come, none near another, and their size.

    Early looks show the ends that states leave for points on the manifold, late ones the points.
    """
    h, found = begun, []
    for wait in looks:
        h = relaxed(cell, h, int(np.ceil(wait * pace.across)))
        on, good = settled(cell, h, pace)
        found.append(on[good])
    cloud = np.concatenate(found)
    if not len(cloud):
        return cloud, 0.0
    size = size_of(found[-1] if len(found[-1]) else cloud)
    for h in late:
        on, good = settled(cell, thinned(h, 2e-3 * size), pace)
        cloud = np.concatenate([cloud, on[good]])
    return thinned(cloud, 2e-3 * size), size


def _points(state_map: StateMap, ended: Array, share: float) -> dict[str, Any]:
    """The row of points at which states come to rest."""
    stable = _stable_points(state_map.cell, ended)
    if not len(stable):
        return {"kind": "undecided", "share": share}
    slowest = np.abs(state_map.cell.eigenvalues(stable)).max()
    return {
        "kind": "point" if len(stable) == 1 else "points", "dimension": 0, "share": share,
        # One point tells nothing of where a state came from.
        "n_points": len(stable), "lifetime": np.inf if len(stable) > 1 else np.nan,
        "across": -state_map.dt / np.log(max(slowest, 1e-300)),
    }  # fmt: skip


def _stable_points(cell: Any, states: Array) -> Array:
    """Stable fixed points near states, by Newton steps that stay near."""
    at, scale = states, 1 + np.abs(states).max()
    for _ in range(30):
        moved, step = cell.newton(at)
        on = np.linalg.norm(moved, axis=1) > 1e-14 * (1 + np.linalg.norm(at, axis=1))
        at = np.where(on[:, None] & np.isfinite(step), at + step, at)
    near = np.linalg.norm(at - states, axis=1) < 0.1 * scale
    moved = np.linalg.norm(cell.step(at) - at, axis=1)
    distinct = thinned(at[near & (moved < 1e-11 * scale)], 1e-6 * scale)
    if not len(distinct):
        return distinct
    return np.asarray(distinct[np.abs(cell.eigenvalues(distinct)).max(axis=1) < 1])


def _manifold(
    state_map: StateMap, cloud: Array, pace: Pace, share: float
) -> dict[str, Any] | None:
    """The row of a line, a ring or a plane; None where one slow mode makes no curve."""
    cell, dt = state_map.cell, state_map.dt
    row: dict[str, Any] = {
        "share": share, "dimension": pace.dimension, "across": pace.across * dt,
    }  # fmt: skip
    if pace.dimension > 1:
        return row | _sheet(state_map, cloud, pace)
    curve = curve_through(cell, cloud, pace)
    if curve is None:
        return None
    slow = np.abs(curve.speed)
    floor = floor_of(cell, curve)
    # The rate along the manifold: how the drift changes from place to place.
    slope = curve.interpolated(curve.speed)(curve.position, 1)
    rate = max(float(np.sqrt(np.mean(slope**2))), floor / curve.length)
    lifetime, at_least = _lifetime(curve, floor)
    crossings = np.flatnonzero((curve.speed > 0) & (np.roll(curve.speed, -1) <= 0))
    if not curve.is_ring:
        crossings = crossings[crossings < len(curve.speed) - 1]
        # States that are driven against an end rest there.
        ends = int(curve.speed[0] < 0) + int(curve.speed[-1] > 0)
    else:
        ends = 0
    n_points = len(crossings) + ends if slow.max() > floor else 0
    return row | {
        "kind": "ring" if curve.is_ring else "line", "n_points": n_points,
        "lifetime": lifetime * dt, "at_least": at_least,
        "drift": float(np.sqrt(np.mean(slow**2))) / curve.length / dt,
        "fastest_drift": float(slow.max()) / curve.length / dt,
        "rate_ratio": rate * pace.across, "curve": curve,
    }  # fmt: skip


def _lifetime(curve: Curve, floor: float) -> tuple[float, bool]:
    """Steps after which 1 - 1/e of what is stored is gone, and whether it is only a least time."""
    at = curve.position
    spread = float(np.sqrt(np.mean((at - at.mean()) ** 2)))
    fastest = float(np.abs(curve.speed).max())
    if fastest <= floor:
        return LOST * spread / floor, True
    times = np.concatenate([[0.0], np.geomspace(0.01, 1e3, 80)]) * spread / fastest
    moved = np.sqrt(np.mean((flowed(curve, at, times) - at) ** 2, axis=1))
    # Where all have come to the points on it no more is lost; round a ring they may go on.
    wanted = LOST * (min(float(moved[-1]), spread) if curve.is_ring else float(moved[-1]))
    k = int(np.flatnonzero(moved >= wanted)[0])
    share = (wanted - moved[k - 1]) / (moved[k] - moved[k - 1])
    return float(times[k - 1] + share * (times[k] - times[k - 1])), False


def _sheet(state_map: StateMap, cloud: Array, pace: Pace) -> dict[str, Any]:
    """What is told of a manifold of more than one dimension, from states that run on along it."""
    cell, dt = state_map.cell, state_map.dt
    size = size_of(cloud)
    moved = np.linalg.norm(cell.step(cloud) - cloud, axis=1)
    h, steps, lifetime, at_least = cloud, 0, np.nan, True
    while steps < 20_000:
        h, steps = cell.step(h), steps + 1
        if np.sqrt(np.mean(np.sum((h - cloud) ** 2, axis=1))) >= LOST * size:
            at_least = False
            break
    lifetime = steps * dt
    speed = float(np.sqrt(np.mean(moved**2)))
    return {
        "kind": "plane", "lifetime": lifetime,
        "n_points": len(_stable_points(cell, h)),
        "at_least": at_least, "drift": speed / size / dt,
        "fastest_drift": float(moved.max()) / size / dt, "rate_ratio": pace.across / pace.along,
    }  # fmt: skip


def _going(
    state_map: StateMap, ended: Array, n: int, exponents: Callable[[Array], Any]
) -> list[dict[str, Any]]:
    """Cycles, tori and chaos: what does not come to rest."""
    found: list[dict[str, Any]] = []
    left = np.arange(len(ended))
    for _ in range(8):
        if not len(left):
            break
        cycle = cycle_through(state_map, ended[left[0]])
        if cycle is not None:
            others = np.abs(cycle.multipliers)
            if cycle.trivial is not None:
                others = np.delete(others, cycle.trivial)
            size = size_of(cycle.states)
            apart = float(np.linalg.norm(np.diff(cycle.states, axis=0), axis=1).max())
            near = max(2 * apart, 1e-3 * size)
            reach = np.linalg.norm(ended[left][:, None] - cycle.states, axis=2).min(axis=1)
            kept = float(others.max()) if len(others) else 0.0
            if (reach > near).any() and 0 < kept < 1:
                # Those that come to it slowly are given the time.
                n_more = int(min(cycle.period * np.ceil(-7 / np.log(kept)), 20_000))
                h = ended[left]
                for _ in range(n_more):
                    h = state_map.cell.step(h)
                ended = ended.copy()
                ended[left] = h
                reach = np.linalg.norm(h[:, None] - cycle.states, axis=2).min(axis=1)
            mine = reach < near
            mine[0] = True
            known = next((f for f in found if _same_cycle(f, cycle, state_map.dt)), None)
            left, share = left[~mine], mine.sum() / n
            if known is not None:
                known["share"] += share
                continue
            found.append({
                "kind": "limit cycle", "dimension": 1, "share": share, "n_points": 0,
                "period": cycle.period * state_map.dt,
                "floquet": float(others.max()) if len(others) else np.nan,
                "curve": _round(state_map.cell, cycle.states),
            })  # fmt: skip
            continue
        spectrum = exponents(ended[left])
        # What comes to a point slowly, turning as it does, is at rest in the end.
        resting = float(spectrum.exponents[0]) < 0 and spectrum.regime != "chaos"
        if resting and len(_stable_points(state_map.cell, ended[left])):
            found.append(_points(state_map, ended[left], len(left) / n))
            break
        # A cycle that does not come back is none.
        kind = spectrum.regime if spectrum.regime in ("quasi-periodic", "chaos") else "undecided"
        dimension = spectrum.kaplan_yorke_dimension
        found.append({
            "kind": kind, "share": len(left) / n, "n_points": 0,
            "dimension": round(dimension) if np.isfinite(dimension) else 0,
        })  # fmt: skip
        break
    return found


def _round(cell: Any, states: Array) -> Curve:
    """A cycle as a curve: places one after the other in time, and how far each moves in a step."""
    around = np.vstack([states, states[:1]])
    position = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(around, axis=0), axis=1))])
    speed = np.linalg.norm(cell.step(states) - states, axis=1)
    return Curve(states, position[:-1], speed, True, float(position[-1]))


def _same_cycle(row: dict[str, Any], cycle: Any, dt: float) -> bool:
    """Whether a cycle that was found before is the same, to which states come slowly."""
    if row["kind"] != "limit cycle" or abs(row["period"] / (cycle.period * dt) - 1) > 1e-3:
        return False
    there = row["curve"].states
    away = np.linalg.norm(cycle.states[:, None] - there, axis=2).min(axis=1).max()
    return bool(away < 0.05 * size_of(there))


def _moved(curve: Curve, at: Array, steps: Array, weights: Array | None) -> tuple[Array, float]:
    """How far values stored along a curve move, (delay, start), and the most in a step."""
    order = np.argsort(steps, kind="stable")
    way = np.empty((len(steps), len(at)))
    way[order] = flowed(curve, at, steps[order])
    if weights is None:
        return np.abs(way - at), float(np.abs(curve.speed).max())
    values = curve.interpolated(curve.states @ weights.T)
    if curve.is_ring:
        way = np.mod(way, curve.length)
    fine = np.linspace(0.0, curve.position[-1], 4 * len(curve.position))
    speed = np.abs(curve.interpolated(curve.speed)(fine))
    fastest = float(np.max(speed * np.linalg.norm(values(fine, 1), axis=1)))
    return np.linalg.norm(values(way) - values(at), axis=2), fastest


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
    state_map: StateMap, found: list[dict[str, Any]], settings: dict[str, Any]
) -> Attractor:
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
                      {"units": per if per != "1" else "1", "long_name": "drift along it"}),
            "length": ("attractor", length, {**one, "long_name": "length"}),
        },
        coords={"attractor": np.arange(n), "place": np.arange(n_places),
                "hidden": np.arange(n_hidden)},
    )  # fmt: skip
    return Attractor(table, settings, manifold=manifold)


def _states_along(row: dict[str, Any], n_hidden: int) -> Array:
    curve = row.get("curve")
    return np.zeros((0, n_hidden)) if curve is None else np.asarray(curve.states)
