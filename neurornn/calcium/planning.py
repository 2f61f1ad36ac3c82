"""How long to record for an interval of a wanted width: the Cramer-Rao bound of the decay."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter
from scipy.stats import poisson

from neurornn._core.checks import (
    check_confidence_level,
    check_number,
    check_positive,
    check_rng,
    check_sampling_rate,
)
from neurornn._core.confidence import Estimate, normal_quantile, to_dataset
from neurornn._core.errors import DataError, UnitError
from neurornn._core.report import Reported, Table
from neurornn._core.rng import RNG, generator
from neurornn._core.status import Status
from neurornn._core.units import format_number, format_quantity
from neurornn.calcium.decay_fit import MIN_EVENTS
from neurornn.calcium.kernel import Kernel

_METHOD = "Cramer-Rao bound, event times, sizes and baseline free, averaged over Poisson trains"
#: Spacing of the baseline's knots, s: what `Kinetics` uses.
_KNOTS = 60.0
#: Simulated events and frames at which the average over trains ends.
_ENOUGH_EVENTS = 6000
_MOST_FRAMES = 3_000_000
#: Information on log(tau) per second (1/s), at a signal-to-noise of 1, that counts as none.
_LEAST_INFORMATION = 1e-8
_TRAINS = (8, 200)
#: Below this signal-to-noise ratio events go unseen, and no method reaches the bound.
_LEAST_SNR = 3.0
_RELIABLE_SNR = 5.0
#: Probability that the planned recording holds the fewest events an interval needs.
_EVENTS_LIKELY = 0.95


@dataclass(frozen=True, kw_only=True)
class Plan(Reported):
    """How long to record, and what other durations would give.

    Attributes
    ----------
    duration : s
        Recorded time per cell at which the interval of tau_decay is expected to be as narrow as
        was asked.
    n_events : expected number of events in it.
    relative_width : full width of the interval over tau_decay that was asked for.
    confidence_level : of the interval.
    widths : DataArray (duration,)
        Expected full relative width at other durations (s).
    limited_by : ``"width"``, or ``"events"`` where the fewest events of an interval take longer.
    parameters : Dataset
        ``duration`` (s), whose ``_ci`` is the error of the average over simulated trains.
    status : how far the bound can be reached: ok, too_noisy, decay_not_resolved.
    settings : what was asked: tau, tau_rise (s), rate (Hz), snr, sampling_rate (Hz).
    information : what a second of recording tells about log tau_decay.
    """

    duration: float
    n_events: float
    relative_width: float
    confidence_level: float
    widths: xr.DataArray
    limited_by: str
    parameters: xr.Dataset
    status: str
    settings: dict[str, float]
    information: float

    def expected_width(self, duration: ArrayLike) -> NDArray[np.float64]:
        """Full width of the interval of tau_decay over tau_decay after a recorded time.

        Parameters
        ----------
        duration : s, any shape.

        Returns
        -------
        array, the shape of `duration`
        """
        seconds = np.asarray(duration, dtype=float)
        if not (np.isfinite(seconds).all() and (seconds > 0).all()):
            raise DataError(
                f"duration is {seconds}",
                "Finite times above 0 in s were needed",
                "Check duration",
            )
        return _width(self.information * seconds, self.confidence_level)

    def _report_table(self) -> Table:
        s = self.settings
        low, high = self.parameters["duration_ci"].values
        rows = [
            [format_number(float(t)), format_number(float(t) * s["rate"]), _percent(float(w))]
            for t, w in zip(self.widths["duration"].values, self.widths.values, strict=True)
        ]
        head = [
            f"record {format_quantity(self.duration, 's', float(low), float(high))} per cell for "
            f"a {100 * self.confidence_level:g} % interval {_percent(self.relative_width)} wide "
            f"in all (about {format_number(self.n_events)} events)",
            f"tau {s['tau']:g} s, rise {s['tau_rise']:g} s, {s['rate']:g} Hz, SNR {s['snr']:g}, "
            f"{s['sampling_rate']:g} frames per s",
        ]
        if self.status != Status.OK:
            head.append(f"{self.status}: {Status(self.status).remedy}")
        notes = [_METHOD + "; the duration's interval is the error of that average."]
        if self.limited_by == "events":
            notes.append(
                f"The width alone would need less: an interval needs {MIN_EVENTS} events, and "
                f"this duration holds them with a probability of {_EVENTS_LIKELY:g}."
            )
        if s["snr"] < _RELIABLE_SNR:
            notes.append(
                f"Below SNR {_RELIABLE_SNR:g} the times of events are themselves uncertain: take "
                "this for a lower limit of the duration."
            )
        return Table(
            title="Plan: how long to record",
            columns=["duration (s)", "events", "width of the interval"],
            rows=rows,
            head=head,
            notes=notes,
        )

    def _methods_sentence(self) -> str:
        s = self.settings
        rise = f"a rise of {s['tau_rise']:g} s" if s["tau_rise"] else "an instant rise"
        return (
            f"The recorded time per cell was planned with neurornn for a "
            f"{100 * self.confidence_level:g} % interval of the decay that is "
            f"{_percent(self.relative_width)} wide in all, at a decay of {s['tau']:g} s, {rise}, "
            f"events at {s['rate']:g} Hz, a signal-to-noise ratio of {s['snr']:g} and "
            f"{s['sampling_rate']:g} frames per s, from the {_METHOD}"
        )


def plan(
    *,
    tau: float,
    rate: float,
    snr: float,
    sampling_rate: float,
    tau_rise: float = 0.0,
    relative_width: float = 0.05,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> Plan:
    """Duration of a recording from which tau_decay is known to a wanted width.

    Parameters
    ----------
    tau : s
        Time constant of the decay that is expected.
    rate : Hz, of events.
    snr : peak of the response to one event over the noise sd of one frame.
    sampling_rate : Hz.
    tau_rise : s
        Time constant of the rise, of the double exponential; 0 for an instant one, which is then
        taken as known.
    relative_width : full width of the interval, upper less lower bound, over tau; 0.05 for 5 %.
    confidence_level : of the interval.
    rng : of the simulated event trains; the same plan every time unless changed.

    Returns
    -------
    Plan
        ``duration`` (s), ``widths`` for a grid of durations, ``report()``.

    Raises
    ------
    DataError, UnitError
        A number at or below zero, or one that looks like another unit.

    See Also
    --------
    Kinetics : the estimator that is planned for.

    Notes
    -----
    Events form a Poisson process, have one size and white noise on top. Between two events the
    trace is a level times ``exp(-t / tau)`` plus, with a rise, another level times
    ``exp(-t / tau_rise)``; free sizes and times make both levels of every stretch
    free. What the slope of the trace in tau keeps after these levels, a piecewise linear baseline
    with knots 60 s apart, and the slope in tau_rise are projected out, squared and over the noise
    variance, is the information on tau (Kay 1993, chapter 3). It is averaged over simulated
    trains per second; the variance of tau falls as one over information times duration. The
    interval is formed in log(tau), so its width is ``2 sinh(z sd / tau)``. The bound assumes that
    every event is seen: below a signal-to-noise ratio of 5 recordings need longer than this.

    References
    ----------
    Kay 1993, Fundamentals of Statistical Signal Processing: Estimation Theory, Prentice Hall.

    Examples
    --------
    >>> import neurornn as nr
    >>> found = nr.calcium.plan(tau=0.5, rate=0.5, snr=5.0, sampling_rate=30.0)
    >>> bool(300 < found.duration < 500)
    True
    """
    tau = check_positive(tau, "tau", "s")
    rate = check_positive(rate, "rate", "Hz")
    snr = check_number(snr, "snr", least=1e-3, most=1e6)
    sampling_rate = check_sampling_rate(sampling_rate)
    if rate > sampling_rate:
        raise UnitError(
            f"rate is {rate:g} Hz at {sampling_rate:g} frames per s",
            "A rate of events below the frame rate was needed",
            "Pass events per second",
        )
    rise = check_number(tau_rise, "tau_rise", "s", least=0.0)
    relative_width = check_number(relative_width, "relative_width", least=1e-6)
    if tau > 20 or rise > 20:
        raise UnitError(
            f"tau is {tau:g} s and tau_rise {rise:g} s",
            "Time constants in s, at most 20, were needed",
            f"Are these ms? Then pass tau={tau / 1000:g}"
            + (f", tau_rise={rise / 1000:g}" if rise else ""),
        )
    if rise >= tau:
        raise DataError(
            f"tau_rise is {rise:g} s and tau {tau:g} s",
            "A rise shorter than the decay was needed",
            "Exchange the two, or look them up: the slower exponential is the decay",
        )
    if relative_width >= 2:
        raise DataError(
            f"relative_width is {relative_width:g}",
            "The full width of the interval over tau, below 2, was needed",
            f"Is this a number of percent? Then pass {relative_width / 100:g}",
        )
    confidence_level = check_confidence_level(confidence_level)
    per_train = _informations(tau, rise, rate, sampling_rate, generator(check_rng(rng)))
    # Relative to tau squared, so that 1 / sqrt(information * duration) is the sd of log(tau).
    information = float(per_train.mean()) * tau**2 * snr**2
    stderr = float(per_train.std(ddof=1) / np.sqrt(len(per_train)) / per_train.mean())
    needed = _needed(relative_width, confidence_level) / information
    enough = _seconds_for_events(rate)
    duration = max(needed, enough)
    spread = [duration, duration]
    if needed >= enough:
        z = normal_quantile(confidence_level)
        spread = [max(duration * np.exp(-z * stderr), enough), duration * np.exp(z * stderr)]
    settings = {
        "tau": tau,
        "tau_rise": rise,
        "rate": rate,
        "snr": snr,
        "sampling_rate": sampling_rate,
    }
    grid = duration * np.array([0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0])
    return Plan(
        duration=duration,
        n_events=duration * rate,
        relative_width=relative_width,
        confidence_level=confidence_level,
        widths=_grid(grid, _width(information * grid, confidence_level)),
        limited_by="width" if needed >= enough else "events",
        parameters=to_dataset(
            [
                Estimate(
                    name="duration",
                    value=duration,
                    ci=np.array(spread),
                    units="s",
                    long_name="recorded time per cell",
                    method=_METHOD,
                )
            ],
            confidence_level=confidence_level,
        ),
        status=str(_judge(tau, snr, sampling_rate)),
        settings=settings,
        information=information,
    )


def _percent(share: float) -> str:
    return f"{format_number(100 * share)} %"


def _grid(durations: NDArray[np.float64], widths: NDArray[np.float64]) -> xr.DataArray:
    return xr.DataArray(
        widths,
        dims="duration",
        coords={"duration": ("duration", durations, {"units": "s"})},
        attrs={"units": "1", "long_name": "expected full width over tau_decay", "method": _METHOD},
        name="relative_width",
    )


def _judge(tau: float, snr: float, sampling_rate: float) -> Status:
    if tau < 0.5 / sampling_rate:
        return Status.DECAY_NOT_RESOLVED
    return Status.TOO_NOISY if snr < _LEAST_SNR else Status.OK


def _width(information: NDArray[np.float64], confidence_level: float) -> NDArray[np.float64]:
    """Full relative width of an interval that is formed in log(tau)."""
    return 2 * np.sinh(normal_quantile(confidence_level) / np.sqrt(information))


def _needed(relative_width: float, confidence_level: float) -> float:
    """Information on log(tau) at which the interval is as wide as that."""
    return float((normal_quantile(confidence_level) / np.arcsinh(relative_width / 2)) ** 2)


def _seconds_for_events(rate: float) -> float:
    """Time after which the fewest events of an interval have very probably occurred (s)."""
    expected = np.linspace(MIN_EVENTS, 6 * MIN_EVENTS, 1000)
    likely = poisson.sf(MIN_EVENTS - 1, expected)
    return float(expected[np.argmax(likely >= _EVENTS_LIKELY)] / rate)


def _informations(
    tau: float, rise: float, rate: float, sampling_rate: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Information on tau per second (1/s^3) of simulated trains, at a signal-to-noise of 1."""
    dt = 1 / sampling_rate
    # Ten pieces of baseline, ten decays: the ends weigh little.
    seconds = max(10 * _KNOTS, 10 * tau)
    n_frames = round(seconds * sampling_rate)
    n_trains = min(_ENOUGH_EVENTS / (rate * seconds), _MOST_FRAMES / n_frames)
    n_trains = int(np.clip(np.ceil(n_trains), *_TRAINS))
    found = [_information(tau, rise, rate, dt, n_frames, rng) for _ in range(n_trains)]
    found_array = np.array(found) / (n_frames * dt)
    # Relative to tau squared; below this even a signal-to-noise ratio of 100 takes a year.
    if not found_array.mean() * tau**2 > _LEAST_INFORMATION:
        raise DataError(
            f"With tau {tau:g} s, rise {rise:g} s and {rate:g} Hz at {sampling_rate:g} frames per "
            "s no recording determines tau",
            "A decay that spans frames between events was needed",
            "Record faster, or check that tau is in s",
        )
    return found_array


def _information(
    tau: float, rise: float, rate: float, dt: float, n_frames: int, rng: np.random.Generator
) -> float:
    """Information on tau (1/s^2) of one train at a noise sd equal to the peak of one event."""
    n_lead = int(np.ceil(8 * tau / dt))
    span = (n_lead + n_frames) * dt
    events = rng.uniform(0, span, rng.poisson(rate * span))
    # Frame k stands for (k dt, (k + 1) dt] and samples the trace at its end.
    frame = np.minimum(np.ceil(events / dt).astype(np.int64) - 1, n_lead + n_frames - 1)
    frame = np.maximum(frame, 0)
    late = (frame + 1) * dt - events
    slow = _decaying(frame, late, tau, dt, n_lead + n_frames)[n_lead:]
    starts = np.unique(np.concatenate([[0], frame[frame >= n_lead] - n_lead]))
    lengths = np.diff(np.append(starts, n_frames))
    elapsed = (np.arange(n_frames) - np.repeat(starts, lengths)) * dt
    decays = [np.exp(-elapsed / tau)]
    if rise > 0:
        fast = _decaying(frame, late, rise, dt, n_lead + n_frames)[n_lead:]
        peak = Kernel.of_rise(tau, rise).peak
        decays.append(np.exp(-elapsed / rise))
        slopes = [elapsed * slow / (tau**2 * peak), -elapsed * fast / (rise**2 * peak)]
    else:
        slopes = [elapsed * slow / tau**2]
    where = np.linspace(0, n_frames * dt / _KNOTS, n_frames)
    knots = np.arange(max(round(n_frames * dt / _KNOTS), 1) + 1)
    baseline = np.maximum(0, 1 - np.abs(where[:, None] - knots))
    wanted, nuisance = slopes[0][:, None], np.column_stack([*slopes[1:], baseline])
    left = _without_decays(np.column_stack([wanted, nuisance]), decays, starts, lengths)
    target, rest = left[:, 0], left[:, 1:]
    size = np.sqrt(np.sum(rest**2, axis=0))
    rest = rest[:, size > 0] / size[size > 0]
    residual = target - rest @ np.linalg.lstsq(rest, target, rcond=1e-10)[0]
    return float(residual @ residual)


def _decaying(
    frame: NDArray[np.int64], late: NDArray[np.float64], tau: float, dt: float, n: int
) -> NDArray[np.float64]:
    """Sum of unit events decaying with `tau`, at the ends of the frames."""
    pulses = np.bincount(frame, weights=np.exp(-late / tau), minlength=n)
    return np.asarray(lfilter([1.0], [1.0, -np.exp(-dt / tau)], pulses))


def _without_decays(
    columns: NDArray[np.float64],
    decays: list[NDArray[np.float64]],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Project the decays of every stretch out of the columns, (time, column)."""

    def sums(x: NDArray[np.float64]) -> NDArray[Any]:
        return np.add.reduceat(x, starts, axis=0)

    left = columns
    done: list[NDArray[np.float64]] = []
    for decay in decays:
        direction = decay
        for other in done:
            direction = direction - other * np.repeat(sums(direction * other), lengths)
        square = sums(direction**2)
        # A stretch of one frame is used up by its first decay.
        usable = square > 1e-18 * sums(decay**2)
        norm = np.where(usable, np.sqrt(np.maximum(square, 1e-300)), np.inf)
        direction = direction / np.repeat(norm, lengths)
        done.append(direction)
        left = left - direction[:, None] * np.repeat(
            sums(left * direction[:, None]), lengths, axis=0
        )
    return left
