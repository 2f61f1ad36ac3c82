"""Spike trains with a known truth: neurons with a past, renewal processes, driven Poisson."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_choice, check_count, check_numbers, check_positive
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn._kernels.spiking import draw_spikes
from neurornn.data.recording import from_spikes

#: Mean rate, Hz, above which a simulated neuron has run away.
_RUNAWAY = 2000.0
_PER_UNIT = {"rate": "Hz", "dead_time": "s", "recovery": "1", "tau_recovery": "s",
             "adaptation": "1", "tau_adaptation": "s"}  # fmt: skip


def simulate_spike_trains(
    n_units: int = 1,
    duration: float = 300.0,
    *,
    rate: ArrayLike = 30.0,
    dead_time: ArrayLike = 0.003,
    recovery: ArrayLike = -4.0,
    tau_recovery: ArrayLike = 0.005,
    adaptation: ArrayLike = -0.6,
    tau_adaptation: ArrayLike = 0.1,
    stimulus: ArrayLike | None = None,
    stimulus_filter: ArrayLike | None = None,
    coupling: ArrayLike | None = None,
    tau_coupling: float = 0.02,
    dt: float = 0.001,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate neurons that know their past: dead time, recovery, adaptation, stimulus, coupling.

    Parameters
    ----------
    n_units : units.
    duration : s.
    rate : Hz, scalar or (unit,), of a neuron that has never fired and sees no stimulus.
    dead_time : s, scalar or (unit,), after every spike without a second one.
    recovery, adaptation : log gain at the time of a spike, scalar or (unit,); each fades with its
        time constant, and those of all past spikes add up. Negative after a spike that hinders.
    tau_recovery, tau_adaptation : s, scalar or (unit,).
    stimulus : (time,), one value for each step of `dt`.
    stimulus_filter : (lag,) or (unit, lag), log gain per unit of stimulus so many steps ago, the
        present step first.
    coupling : (target, source), log gain at the step after a spike of the source, which fades with
        `tau_coupling`; the diagonal counts too.
    tau_coupling : s.
    dt : s, step of stimulus and coupling; spikes themselves fall anywhere.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        A recording: ``spike_times``, ``spike_unit``, ``spike_count``, one interval; with a
        stimulus ``stimulus (sample)`` and ``sample_time (sample)``, the end of each step; and the
        truth as ``rate_true``, ``dead_time_true``, ... over ``unit``.

    Raises
    ------
    ShapeError, DataError
        Values for another number of units; spikes that feed themselves without end.

    Notes
    -----
    The rate of unit i at time t is ``rate * exp(k * stimulus + sum over past spikes of recovery *
    exp(-age / tau_recovery) + adaptation * exp(-age / tau_adaptation) + coupling)``, and 0 within
    the dead time; spikes are drawn by thinning (Lewis & Shedler 1979, Nav. Res. Logist. 26:403),
    in exact time.

    Examples
    --------
    >>> rec = simulate_spike_trains(duration=20.0, rng=0)
    >>> bool(np.diff(rec["spike_times"]).min() > 0.003)
    True
    """
    draw = generator(rng)
    n_units = check_count(n_units, "n_units")
    check_positive(dt, "dt", "s")
    n_steps = round(check_positive(duration, "duration", "s") / dt)
    given = {"rate": rate, "dead_time": dead_time, "recovery": recovery,
             "tau_recovery": tau_recovery, "adaptation": adaptation,
             "tau_adaptation": tau_adaptation}  # fmt: skip
    truth = {k: _per_unit(v, k, n_units) for k, v in given.items()}
    for name in ("rate", "tau_recovery", "tau_adaptation"):
        if np.any(truth[name] <= 0):
            raise DataError(
                f"{name} is {truth[name].min():g} {_PER_UNIT[name]}",
                "A number above 0 was needed",
                f"Check {name}",
            )
    drive = np.log(truth["rate"])[None] + np.zeros((n_steps, n_units))
    variables: dict[str, Any] = {}
    if stimulus is not None:
        shown = check_numbers(stimulus, "stimulus", missing=False)
        if shown.shape != (n_steps,):
            raise ShapeError(
                f"stimulus has shape {shown.shape}",
                f"One value for each step, ({n_steps},), was needed",
                f"Repeat or average it onto steps of dt={dt:g} s",
            )
        taps = check_numbers(
            np.ones(1) if stimulus_filter is None else stimulus_filter, "stimulus_filter",
            missing=False,
        )  # fmt: skip
        for i, k in enumerate(np.broadcast_to(np.atleast_2d(taps), (n_units, taps.shape[-1]))):
            drive[:, i] += np.convolve(shown, k)[:n_steps]
        variables |= {
            "stimulus": ("sample", shown, {"units": "1"}),
            "sample_time": ("sample", dt * np.arange(1, n_steps + 1), {"units": "s"}),
            "stimulus_filter_true": (
                ("unit", "lag"), np.broadcast_to(np.atleast_2d(taps), (n_units, taps.shape[-1]))
            ),
        }  # fmt: skip
    filters = np.zeros((n_units, n_units, 0))
    if coupling is not None:
        gains = check_numbers(coupling, "coupling", missing=False)
        if gains.shape != (n_units, n_units):
            raise ShapeError(
                f"coupling has shape {gains.shape}",
                f"(target, source), ({n_units}, {n_units}), was needed",
                "Pass a row for every unit that is driven",
            )
        n_lags = max(round(6 * check_positive(tau_coupling, "tau_coupling", "s") / dt), 1)
        filters = gains[:, :, None] * np.exp(-np.arange(n_lags) * dt / tau_coupling)
        variables["coupling_true"] = (("unit", "source"), gains, {"units": "1"})
    times, owner = draw_spikes(
        drive, filters,
        np.stack([truth["recovery"], truth["adaptation"]], axis=1),
        np.stack([truth["tau_recovery"], truth["tau_adaptation"]], axis=1),
        truth["dead_time"], np.full(n_units, -np.inf), np.zeros((n_units, 2)),
        np.zeros((filters.shape[2], n_units)), float(dt), _most(n_units, n_steps * dt), draw,
    )  # fmt: skip
    check_runaway(len(times), n_units, n_steps * dt)
    rec = _recording([times[owner == i] for i in range(n_units)], n_steps * dt)
    variables |= {f"{k}_true": ("unit", v, {"units": _PER_UNIT[k]}) for k, v in truth.items()}
    return rec.assign(variables).assign_attrs(
        source="simulated by neurornn.simulate.simulate_spike_trains"
    )


def simulate_renewal(
    n_units: int = 1,
    duration: float = 300.0,
    *,
    kind: str = "gamma",
    shape: float = 2.0,
    rate: ArrayLike = 20.0,
    dt: float = 0.001,
    rng: RNG = None,
) -> xr.Dataset:
    """Simulate spikes whose intervals are independent once time is stretched by the rate.

    Parameters
    ----------
    n_units : units.
    duration : s.
    kind : ``"gamma"``, or ``"inverse_gaussian"``.
    shape : of the intervals, whose coefficient of variation is ``shape ** -0.5``. With
        ``"gamma"`` and 1 the spikes are Poisson.
    rate : Hz, scalar, (time,) or (time, unit) with one value for each step of `dt`.
    dt : s, step of the rate.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        A recording of spikes, with ``rate_true (sample, unit)`` and ``sample_time``, the end of
        each step.

    Raises
    ------
    DataError, ShapeError
        A rate below 0, or of another length.

    Notes
    -----
    Intervals are drawn with mean 1 and laid out in ``integral of rate`` (Barbieri et al. 2001,
    J. Neurosci. Methods 105:25, doi:10.1016/S0165-0270(00)00344-7). The first begins as if the
    train had run for long.

    Examples
    --------
    >>> rec = simulate_renewal(duration=200.0, shape=4.0, rng=0)
    >>> intervals = np.diff(rec["spike_times"])
    >>> round(float(intervals.std() / intervals.mean()), 1)
    0.5
    """
    draw = generator(rng)
    check_choice(kind, "kind", ("gamma", "inverse_gaussian"))
    check_positive(shape, "shape")
    n_steps = round(check_positive(duration, "duration", "s") / check_positive(dt, "dt", "s"))
    n_units = check_count(n_units, "n_units")
    rates = _rates(rate, n_steps, n_units)

    def intervals(size: int) -> NDArray[np.float64]:
        if kind == "gamma":
            return draw.gamma(shape, 1 / shape, size)
        return draw.wald(1.0, shape, size)

    trains = []
    for i in range(n_units):
        stretched = np.concatenate([[0.0], np.cumsum(rates[:, i]) * dt])
        long = 50.0
        n = int(long + stretched[-1] + 8 * np.sqrt(stretched[-1] + long) + 50)
        at = np.cumsum(intervals(n)) - long
        while at[-1] < stretched[-1]:
            at = np.concatenate([at, at[-1] + np.cumsum(intervals(n))])
        at = at[(at > 0) & (at < stretched[-1])]
        trains.append(np.interp(at, stretched, dt * np.arange(n_steps + 1)))
    rec = _recording(trains, n_steps * dt).assign(
        rate_true=(("sample", "unit"), rates, {"units": "Hz"}),
        sample_time=("sample", dt * np.arange(1, n_steps + 1), {"units": "s"}),
    )
    return rec.assign_attrs(source="simulated by neurornn.simulate.simulate_renewal")


def simulate_poisson(
    rate: ArrayLike, *, duration: float | None = None, dt: float = 0.001, rng: RNG = None
) -> xr.Dataset:
    """Simulate spikes that know of their rate alone, in exact time.

    Parameters
    ----------
    rate : Hz; scalar with `duration`, or (time,) or (time, unit) with one value for each `dt`.
    duration : s; by default the length of `rate`.
    dt : s, step of the rate.
    rng : int, Generator or None.

    Returns
    -------
    Dataset
        A recording of spikes, with ``rate_true (sample, unit)`` and ``sample_time``, the end of
        each step.

    Raises
    ------
    DataError, ShapeError
        A rate below 0, or a scalar without a duration.

    Examples
    --------
    >>> rec = simulate_poisson(50.0, duration=100.0, rng=0)
    >>> abs(float(rec["spike_count"][0]) / 5000 - 1) < 0.05
    True
    """
    values = np.asarray(rate, dtype=float)
    if values.ndim == 0 and duration is None:
        raise ShapeError(
            "rate is a single number and no duration came",
            "A duration in s, or one rate for each step, was needed",
            "Pass duration=60.0",
        )
    length = len(values) * dt if duration is None else duration
    n_units = values.shape[1] if values.ndim == 2 else 1
    found = simulate_renewal(n_units, length, kind="gamma", shape=1.0, rate=rate, dt=dt, rng=rng)
    return found.assign_attrs(source="simulated by neurornn.simulate.simulate_poisson")


def check_runaway(n_spikes: int, n_units: int, duration: float) -> None:
    """Raise where a simulation was stopped because spikes fed themselves.

    Parameters
    ----------
    n_spikes, n_units : drawn, of so many.
    duration : s.

    Raises
    ------
    DataError
    """
    if n_spikes >= _most(n_units, duration):
        raise DataError(
            f"The simulated neurons fired {n_spikes} spikes, above {_RUNAWAY:g} Hz, and feed "
            "themselves",
            "Rates that stay finite were needed",
            "Lower the gains after a spike and of coupling, or the rate; a fitted model that runs "
            "away has gains which the data do not hold down: raise penalty",
        )


def _most(n_units: int, duration: float) -> int:
    return int(_RUNAWAY * n_units * duration) + 1000


def _per_unit(value: ArrayLike, name: str, n_units: int) -> NDArray[np.float64]:
    values = check_numbers(value, name, missing=False)
    if values.shape not in ((), (1,), (n_units,)):
        raise ShapeError(
            f"{name} has shape {values.shape}",
            f"One number, or one for each of {n_units} units, was needed",
            f"Pass {name} as a number",
        )
    return np.array(np.broadcast_to(values, (n_units,)))


def _rates(rate: ArrayLike, n_steps: int, n_units: int) -> NDArray[np.float64]:
    values = check_numbers(rate, "rate", missing=False)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim > 2 or (values.ndim and len(values) != n_steps):
        raise ShapeError(
            f"rate has shape {values.shape} for {n_steps} steps",
            f"A number, ({n_steps},) or ({n_steps}, {n_units}) was needed",
            "Pass one rate for each step of dt",
        )
    if np.any(values < 0):
        raise DataError(
            f"rate goes down to {values.min():g} Hz", "Rates of 0 or more were needed",
            "Check the sign",
        )  # fmt: skip
    return np.array(np.broadcast_to(values, (n_steps, n_units)))


def _recording(trains: list[NDArray[np.float64]], duration: float) -> xr.Dataset:
    return from_spikes(trains, t_start=0.0, t_stop=float(duration))
