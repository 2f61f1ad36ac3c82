"""Lyapunov exponents: how fast a network pulls its own neighbours apart, with intervals."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_numbers,
    check_positive,
    check_rng,
)
from neurornn._core.confidence import to_dataset
from neurornn._core.errors import ConvergenceWarning, DataError, ShapeError
from neurornn._core.jobs import progress_bar
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.report import Table, parameters_table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status, status_variable
from neurornn._core.units import format_number
from neurornn._core.warning import warn_user
from neurornn.dynamics.block_means import interval, still_turning
from neurornn.dynamics.dimension import dimension_of
from neurornn.dynamics.fixed_points import starts_of
from neurornn.dynamics.maps import StateMap, as_map
from neurornn.dynamics.motion import (
    are_zero,
    driven_regime,
    in_time,
    per,
    periods_and_pace,
    read_at_rest,
    regime_of,
    returning,
)
from neurornn.dynamics.on_cycles import OnCycles, read_on_cycles
from neurornn.dynamics.tangents import N_BLOCKS, Tangents, follow
from neurornn.io.shell import TableResult

Array = NDArray[np.float64]

#: Steps of a trajectory, and those before it that are not counted.
N_STEPS, N_TRANSIENT, N_TRAJECTORIES = 1024, 512, 10
#: Most steps that are measured where nobody said how many.
MOST_STEPS = 16_384
#: States that grew so many times larger while they were measured grow for ever.
GROWN = 100
_REMEDIES = {
    str(Status.NOT_CONVERGED): (
        "The exponent still drifts: its halves differ by more than they scatter, and the interval "
        "reaches twice as far. Raise n_transient and n_steps."
    )
}
_LEFT = {
    str(Status.DIVERGED): (
        "The state left all bounds. Pass starts= within the basin of the attractor, or check the "
        "map."
    )
}
_LOST = "the step is singular: it maps a direction to 0, or so near that no digit is left"


class LyapunovSpectrum(TableResult):
    """How fast neighbours of a trajectory part or meet; made by `lyapunov_spectrum`.

    Attributes
    ----------
    parameters : Dataset over ``order`` and ``trajectory``
        ``exponent (order)`` with ``exponent_ci``, the largest first, 1/s, or 1 for a step where
        there is no clock; ``kaplan_yorke_dimension`` with its interval; ``status (order)``;
        ``trajectory_exponent (trajectory, order)`` and ``trajectory_status (trajectory)``.
    settings : how it was made; ``regime`` with ``reason``; ``period``, in steps, of an orbit that
        comes back to the same states, and ``turn``, how long a turn takes on a closed curve that
        was found; both 0 where there is none; ``read_on_cycles``, whether exponents were read from
        the multipliers of cycles. ``n_first``, steps after which the regime was
        undecided so that trajectories ran on; 0 where they did not.
    """

    _papers = ("benettin_1980", "geist_1990", "engelken_2023", "kaplan_1979", "flyvbjerg_1989")
    _packages = ("numpy", "scipy")
    _quantities = (
        Quantity(
            name="exponent", units=OF_DATA, dims=("order",), long_name="Lyapunov exponent",
            method="mean log growth of directions kept orthogonal by QR; Student's t over blocks, "
            "no narrower than the drift between halves",
        ),
        Quantity(
            name="kaplan_yorke_dimension", units="1", long_name="dimension of the attractor",
            method="Kaplan-Yorke formula; interval by its first derivative in the exponents",
        ),
    )  # fmt: skip

    @property
    def exponents(self) -> xr.DataArray:
        """The exponents, the largest first, (order,)."""
        return self.parameters["exponent"]

    @property
    def regime(self) -> str:
        """What the network does; ``"undecided"`` where the interval does not tell.

        ``"fixed point"``, ``"limit cycle"``, ``"quasi-periodic"`` or ``"chaos"``; under a series
        of inputs ``"driven: stable"`` or ``"driven: chaotic"``. `reason` says why.
        """
        return str(self.settings["regime"])

    @property
    def reason(self) -> str:
        """Why the regime is what it is, or why it is undecided."""
        return str(self.settings["reason"])

    @property
    def kaplan_yorke_dimension(self) -> float:
        """Dimension of the attractor after Kaplan and Yorke; NaN where it does not follow."""
        return float(self.parameters["kaplan_yorke_dimension"])

    def _report_table(self) -> Table:
        s = self.settings
        n, unit = s["n_trajectories"], s["time_unit"]
        head = [
            f"{self.regime}: {self.reason}",
            f"{s['model']} ({s['n_state']} states; a step is {in_time(s['dt'], unit)}), "
            f"{_under(s)}; {n} trajectories of {in_time(s['n_steps'] * s['dt'], unit)} after "
            f"{in_time(s['n_transient'] * s['dt'], unit)}; "
            f"intervals {100 * s['confidence_level']:g} %",
        ]
        if s.get("n_first"):
            head.append(
                f"{in_time(s['n_first'] * s['dt'], unit)} left the regime undecided: trajectories "
                "ran on, and what came before is left out"
            )
        if s.get("read_on_cycles"):
            head.append(
                "exponents were read from the Floquet multipliers of the cycles to which "
                "trajectories come"
            )
        if s["n_diverged"]:
            attrs = self.parameters["trajectory_status"].attrs
            remedy = attrs[f"remedy_of_{Status.DIVERGED}"]
            head.append(f"{s['n_diverged']} of {n} trajectories diverged. {remedy}")
        return parameters_table(self.parameters, "Lyapunov spectrum", head=head)

    def __repr__(self) -> str:
        first, last = (format_number(float(self.exponents[k])) for k in (0, -1))
        return (
            f"LyapunovSpectrum({self.regime}, {self.exponents.size} exponents from {first} to "
            f"{last}, dimension {format_number(self.kaplan_yorke_dimension)})"
        )

    def _methods_sentence(self) -> str:
        s, unit = self.settings, self.settings["time_unit"]
        n = s["n_trajectories"] - s["n_diverged"]
        rows = "blocks of time" if s["driven"] else "blocks of time and trajectories"
        return (
            f"Lyapunov exponents of a {s['model']} {_under(s)} were computed by QR decomposition "
            f"of products of its exact Jacobians along {n} trajectories of "
            f"{in_time(s['n_steps'] * s['dt'], unit)} each, after "
            f"{in_time(s['n_transient'] * s['dt'], unit)} that were left out, with "
            f"{100 * s['confidence_level']:g} % intervals over {rows} that were merged until they "
            "were uncorrelated"
            + (
                "; those of cycles were read from their Floquet multipliers"
                if s.get("read_on_cycles")
                else ""
            )
        )


def lyapunov_spectrum(
    model: Any,
    inputs: Any = None,
    *,
    n_exponents: int | None = None,
    n_steps: int | None = None,
    n_transient: int = N_TRANSIENT,
    n_trajectories: int = N_TRAJECTORIES,
    starts: ArrayLike | None = None,
    max_seconds: float | None = 60.0,
    confidence_level: float = 0.95,
    n_hidden: int | None = None,
    dt: float | None = None,
    rng: RNG = 0,
    progress: bool | Callable[[int, int], None] = False,
) -> LyapunovSpectrum:
    """Measure how fast a network pulls neighbouring states apart, and name what it does.

    Parameters
    ----------
    model : FitResult, recurrent model of `neurornn.models`, ``torch.nn.RNN``, ``GRU`` or ``LSTM``
        (stacked too), or a function
        A function takes states (number, hidden), as a tensor or an array, to those a step later.
        What is passed is not changed.
    inputs : (input,) held constant, by default 0; or (time, input), a row for each step
        A series is read once, from its first row. It is not repeated: a series in a circle is
        another input.
    n_exponents : how many, the largest first; by default as many as there are states.
    n_steps : steps of a trajectory that are measured, no more and no fewer
        By default what a series leaves; without one 1024, and where these leave the regime
        undecided, cycles are looked for, and then twice as many steps follow, up to 16,384.
    n_transient : steps before them, in whose second half the directions turn into place.
    n_trajectories : from random starts.
    starts : (trajectory, state), states to start from instead; rows that are equal count once.
    max_seconds : s, of wall time, which trajectories that run on by themselves may take; None for
        no limit.
    confidence_level : of the intervals.

    Other Parameters
    ----------------
    n_hidden : size of the state of a function.
    dt : s, length of a step of a function or a layer of torch; without it exponents are per step.
    rng : int, Generator or None.
    progress : show a bar in a terminal or a notebook, or a callable ``(done, all)``.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    KindError, ShapeError, DataError
        A model or inputs that cannot be read, weights that are not finite, a series that is too
        short, more exponents than states, trajectories that all diverge.

    Warns
    -----
    ConvergenceWarning
        Some trajectories diverged; the spectrum is that of the others.

    Notes
    -----
    Directions are carried along by the Jacobians and made orthogonal again before rounding mixes
    them; exponents are the mean logs of the diagonals of R (Benettin et al. 1980; Geist et al.
    1990; Engelken, Wolf & Abbott 2023 for networks). Each trajectory is cut into 32 blocks, and
    neighbours are merged until they are uncorrelated (Flyvbjerg & Petersen 1989), at last into
    whole trajectories, which start and turn independently. The interval is Student's over what is
    left. It reaches at least as far as the two halves of the time differ, twice as far where they
    clearly do, and as far as directions that still turn into place may miss: a transient falls as
    one over time and scatters little. At rest the exponents are read from the eigenvalues of the
    Jacobian. Under a series of inputs trajectories forget where they started and follow the same
    one: there they are averaged, and blocks of time alone count.

    The regime: the state comes back, at once or after up to 256 steps, up to what is left of an
    exponential approach (``fixed point``, or ``limit cycle`` with its ``period``); else the
    leading exponent is above 0 and a push grows more than a hundredfold in a trajectory
    (``chaos``); or intervals hold 0 and are so narrow that a push changes by less than 5 % while
    the state moves by its own size, with other exponents five times further from 0: one such, the
    direction along a closed curve, is a ``limit cycle`` of which the step map takes samples; two
    or more are ``quasi-periodic``, a torus, or circles side by side as of a linear rotation. What
    lies between is ``undecided``. Where no ``n_steps`` came and the regime is undecided or
    quasi-periodic, stable cycles are looked for by shooting (in networks of up to 256 states): a
    mean along a trajectory holds no whole number of turns, while the multipliers of a cycle give
    its exponents to many digits. Where there is no cycle and the regime is undecided,
    trajectories run on, and what was measured so far becomes part of their transient.

    Examples
    --------
    >>> import neurornn as nr
    >>> henon = lambda h: np.stack([1 - 1.4 * h[:, 0] ** 2 + h[:, 1], 0.3 * h[:, 0]], 1)
    >>> starts = np.random.default_rng(0).uniform(-0.1, 0.1, (10, 2))
    >>> spectrum = nr.dynamics.lyapunov_spectrum(henon, n_hidden=2, starts=starts)
    >>> spectrum.regime, round(float(spectrum.exponents.sum()), 6), round(float(np.log(0.3)), 6)
    ('chaos', -1.203973, -1.203973)
    """
    level = check_confidence_level(confidence_level)
    draw = generator(check_rng(rng))
    n_transient = check_count(n_transient, "n_transient", least=0)
    n_trajectories = check_count(n_trajectories, "n_trajectories")
    if n_steps is not None:
        n_steps = check_count(n_steps, "n_steps", least=2 * N_BLOCKS)
    if max_seconds is not None:
        max_seconds = check_positive(max_seconds, "max_seconds", "s")
    began, by_itself = time.monotonic(), n_steps is None
    state_map, series = _with_inputs(model, inputs, n_hidden, dt)
    n_state = state_map.cell.n_state
    m = n_state if n_exponents is None else check_count(n_exponents, "n_exponents")
    if m > n_state:
        raise ShapeError(
            f"n_exponents is {m}",
            f"At most {n_state} was needed, one for each number of the state",
            "Leave it out for all of them",
        )
    n_steps = _steps_of(series, n_steps, n_transient)
    # What does not fill the blocks is left out with the transient.
    n_transient, n_steps = n_transient + n_steps % N_BLOCKS, n_steps - n_steps % N_BLOCKS
    if starts is None:
        begin = state_map.cell.spread(draw, n_trajectories)
    else:
        begin = np.unique(starts_of(starts, n_state), axis=0)

    def cell_at(step: int) -> Any:
        return state_map.cell if series is None else state_map.under(series[step]).cell

    with progress_bar(N_BLOCKS + 2, 0, progress, "blocks") as tick:
        found = follow(cell_at, begin, m, n_transient, n_steps, draw, tick)
    _check_stayed(found)
    settings = {
        "model": state_map.name, "dt": float(state_map.dt), "time_unit": state_map.time_unit,
        "driven": series is not None,
        "inputs": state_map.inputs.tolist() if series is None else [],
        "n_state": int(n_state), "n_steps": int(n_steps), "n_transient": int(n_transient),
        "n_first": 0, "n_trajectories": len(begin), "confidence_level": level,
    }  # fmt: skip
    n_turned = n_transient // 2
    spectrum, open_end = _result(state_map, found, settings, n_turned)
    # A series ends where it ends.
    by_itself = by_itself and series is None
    cycles, goes_on = None, by_itself and spectrum.regime == "undecided"
    taken = time.monotonic() - began

    def fits(seconds: float) -> bool:
        return max_seconds is None or time.monotonic() - began + seconds <= max_seconds

    # Two exponents near 0 may be those of a cycle that is come to slowly.
    if by_itself and spectrum.regime in ("undecided", "quasi-periodic") and fits(0.0):
        cycles = read_on_cycles(state_map, found, m)
        if cycles is not None:
            spectrum, _ = _result(state_map, found, settings, n_turned, cycles)
    while goes_on and cycles is None and open_end and n_steps < MOST_STEPS and fits(2 * taken):
        # What was measured is part of the transient now: a slow approach falls as one over time
        # where it is averaged, and by a factor where it is left out.
        n_transient, n_turned, n_steps = n_transient + n_steps, n_turned + n_steps, 2 * n_steps
        settings["n_first"] = settings["n_first"] or settings["n_steps"]
        settings |= {"n_steps": n_steps, "n_transient": n_transient}
        at = time.monotonic()
        with progress_bar(N_BLOCKS, 0, progress, f"blocks of {n_steps} steps") as tick:
            after = follow(cell_at, begin, m, 0, n_steps, draw, tick, found)
        # How large states are is not told by those near their end alone.
        found = after._replace(size=np.maximum(after.size, found.size))
        taken = time.monotonic() - at
        _check_stayed(found)
        spectrum, open_end = _result(state_map, found, settings, n_turned, before=spectrum)
        goes_on = spectrum.regime == "undecided"
    n_diverged = int((~found.stayed).sum())
    if n_diverged:
        warn_user(
            f"{n_diverged} of {len(begin)} trajectories diverged; the spectrum is that of the "
            f"others. {_LEFT['diverged']}",
            ConvergenceWarning,
        )
    return spectrum


def _check_stayed(found: Tangents) -> None:
    if not found.stayed.any():
        raise DataError(
            f"All {len(found.stayed)} trajectories left all bounds",
            "A trajectory that stays was needed",
            "Pass starts= within the basin of the attractor; a map that grows for ever has none",
        )


def _with_inputs(
    model: Any, inputs: Any, n_hidden: int | None, dt: float | None
) -> tuple[StateMap, Array | None]:
    """A step of the model, under a constant input or the first row of a series."""
    state_map = as_map(model, n_hidden=n_hidden, dt=dt)
    if inputs is None:
        return state_map, None
    if isinstance(inputs, xr.DataArray) and set(inputs.dims) == {"time", "input"}:
        inputs = inputs.transpose("time", "input")
    if hasattr(inputs, "detach"):
        inputs = inputs.detach().cpu().numpy()
    if state_map.cell_at is None:
        # A function has no input: this says so.
        return state_map.under(inputs), None
    values = np.asarray(check_numbers(inputs, "inputs", missing=False), dtype=float)
    n_input = len(state_map.inputs)
    if values.ndim not in (1, 2) or values.shape[-1] != n_input:
        raise ShapeError(
            f"inputs has shape {values.shape}",
            f"One value for each of the {n_input} inputs was needed, ({n_input},), or a row of "
            f"them for each step, (time, {n_input})",
            "Pass a single trial, time first",
        )
    if values.ndim == 1:
        return state_map.under(values), None
    return state_map, values


def _steps_of(series: Array | None, n_steps: int | None, n_transient: int) -> int:
    """How many steps are measured."""
    if series is None:
        return N_STEPS if n_steps is None else n_steps
    rest = len(series) - n_transient
    if rest < (2 * N_BLOCKS if n_steps is None else n_steps):
        wanted = f"n_steps={n_steps}" if n_steps is not None else f"at least {2 * N_BLOCKS} more"
        raise DataError(
            f"inputs has {len(series)} steps",
            f"n_transient={n_transient} and {wanted} were needed; a series is not repeated",
            "Pass a longer series, or lower n_transient or n_steps",
        )
    return rest if n_steps is None else n_steps


def _result(
    state_map: StateMap,
    found: Tangents,
    settings: dict[str, Any],
    n_turned: int,
    cycles: OnCycles | None = None,
    before: LyapunovSpectrum | None = None,
) -> tuple[LyapunovSpectrum, bool]:
    """The spectrum; and whether more steps may tell what is undecided."""
    dt, unit, level = state_map.dt, state_map.time_unit, settings["confidence_level"]
    settings = settings | {
        "n_diverged": int((~found.stayed).sum()), "turn": 0.0, "read_on_cycles": False,
    }  # fmt: skip
    duration, at = settings["n_steps"] * dt, found.stayed
    growth = found.growth / dt
    periods, pace = None, 0.0
    if not settings["driven"]:
        periods, pace = periods_and_pace(state_map, found, growth[..., 0])
        if (periods == 1).any():
            read_at_rest(state_map, found, growth, periods == 1)
    order = np.argsort(-growth[at].mean(axis=(0, 1)), kind="stable")
    growth = growth[:, :, order]
    if cycles is not None:
        read = np.isfinite(cycles.errors)
        growth[np.ix_(at, np.ones(N_BLOCKS, dtype=bool), read)] = cycles.exponents[:, None, read]
    # A series of inputs is the same for all trajectories, and so is how they scatter.
    rows = growth[at]
    rows = rows.mean(axis=0, keepdims=True) if settings["driven"] else rows
    exponent = rows.mean(axis=(0, 1))
    turning = still_turning(exponent, n_turned * dt, duration)
    if periods is not None and (periods[at] == 1).all():
        turning[:] = 0.0
    if cycles is not None:
        turning = np.where(read, cycles.errors, turning)
    if before is not None:
        # What falls as one over time is as far from its end as it came since half that time.
        with np.errstate(invalid="ignore"):
            since = np.abs(exponent - before.exponents.values)
        turning = np.maximum(turning, np.nan_to_num(since, nan=0.0))
    ci, drifts = (
        np.array(x)
        for x in zip(
            *(interval(rows[..., k], level, dt, turning[k]) for k in range(len(order))),
            strict=True,
        )
    )
    by_trajectory = growth.mean(axis=1)
    lost = ~np.isfinite(exponent)
    zero = are_zero(ci, pace)
    open_end = False
    if periods is None:
        settings |= driven_regime(state_map, exponent, ci)
    elif cycles is not None:
        settings |= cycles.told | {"read_on_cycles": True}
    elif (periods[at] > 0).all():
        settings |= returning(periods[at], dt * by_trajectory[at, 0])
    else:
        leading_of = by_trajectory[at, 0]
        settings |= regime_of(state_map, found, periods[at], leading_of, exponent, ci, zero)
        one_alone = bool(zero[0]) and len(exponent) == 1 < settings["n_state"]
        open_end = not one_alone and bool(np.median(found.moved_out[at]) <= GROWN)
    status = np.where(drifts * duration > 1, str(Status.NOT_CONVERGED), str(Status.OK))
    leading, dimension = LyapunovSpectrum._quantities
    table = to_dataset(
        [
            leading.of(exponent, ci, units=per(unit), reason=_LOST if lost.any() else ""),
            dimension_of(dimension, rows, exponent, zero, settings),
        ],
        confidence_level=level,
        coords={"order": np.arange(1, len(order) + 1),
                "trajectory": np.arange(len(by_trajectory))},
    )  # fmt: skip
    ended = np.where(found.stayed, str(Status.OK), str(Status.DIVERGED))
    spectrum = LyapunovSpectrum(
        table.assign(
            status=status_variable(("order",), status, _REMEDIES),
            trajectory_exponent=(
                ("trajectory", "order"), by_trajectory,
                {"units": per(unit), "long_name": "exponent along one trajectory"},
            ),
            trajectory_status=status_variable(("trajectory",), ended, _LEFT),
        ),
        settings,
    )  # fmt: skip
    return spectrum, open_end


def _under(settings: dict[str, Any]) -> str:
    if settings["driven"]:
        return "under a series of inputs"
    return "under a constant input" if any(settings["inputs"]) else "without input"
