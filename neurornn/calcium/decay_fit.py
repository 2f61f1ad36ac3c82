"""Kinetics of one trace: events, then the profile likelihood of decay and rise, in turn."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.status import Status
from neurornn.calcium.alternation import (
    MAX_ROUNDS,
    Round,
    best_starts,
    decay_bounds,
    lag_bounds,
    plain_kernel,
    residual_autocorrelation,
)
from neurornn.calcium.busy_fit import (
    WHITE,
    by_size,
    count_events,
    dense_in_frame,
    fit_busy,
    is_multiple,
    missed_in_frame,
    of_multiples,
)
from neurornn.calcium.clipping import goes_down, is_clipped, is_noise_free
from neurornn.calcium.decay_intervals import interval_of_decay, sd_of_choice, widened
from neurornn.calcium.kernel import Kernel
from neurornn.calcium.overlap import Count, strung_together, unit_size
from neurornn.calcium.rise_choice import fit_kinetics
from neurornn.calcium.rise_estimate import RiseEstimate, estimate_rise
from neurornn.calcium.trace_model import BROAD, Array, Frames, Settings, TraceModel

#: Fewest events for an interval: below it the robust scale of the interval means little.
MIN_EVENTS = 5

#: Where the residual is autocorrelated it is not the noise of a true model. What the model lacks
#: adds an error to the logarithm of tau: this sd (the constant told from recorded spikes is itself
#: no better on 71 real cells), and this share of what the choice of the smallest event changes.
MODEL_FLOOR = 0.07

CHOICE_SHARE = 0.8

#: Events of a smaller median size (noise sd) are as likely sums of smaller ones that merged.
_FAINT = 1.8

#: Decays shorter than this (frames) leave one frame or two above the noise.
_FEWEST_FRAMES = 1.5

#: And shorter than this they are known only where sizes are not broad: with a smaller share of
#: small ones than this.
_FEW, _RATHER_BROAD = 3.0, 0.09

#: Sizes that are whole multiples of one still count them a little below.
_FEW_SEVERAL = 2.5

#: Sd of tau, frames, where many events merge with another of the same frame or the next.
_MERGED = 0.045

#: Sd of tau, frames, where events of several spikes were fitted as if these were simultaneous.
_BURST_SPREAD = 0.05

#: Noise that a trace without any is given, as a share of its range.
_ADDED = 1e-5

#: Relative step of tau from which an alternation that has not ended is not trusted.
_WANDERING = 0.02


class TraceFit(NamedTuple):
    """What is known about one trace after the fit; sizes in the unit of the trace.

    `heights` are those of the baseline at its knots; `jumps` and `rises` what every start adds to
    the decaying and to the rising part of the calcium, `sizes` the peak of the response. `rise` is
    None where none was resolved.
    """

    status: Status
    kernel: Kernel
    tau_ci: tuple[float, float]
    rise: RiseEstimate | None
    covariance: Array
    noise_sd: float
    dof: int
    heights: Array
    starts: Frames
    jumps: Array
    rises: Array
    sizes: Array
    delays: Array
    probabilities: Array
    is_event: NDArray[np.bool_]
    rounds: int
    autocorrelation: float
    n_events: Count
    is_single: NDArray[np.bool_]


def fit_trace(y: Array, time: Array, blocks: Frames, settings: Settings) -> TraceFit:
    """Fit one trace.

    Parameters
    ----------
    y : (n,); NaN where a frame is missing.
    time : (n,), s.
    blocks : (block, 2), the gapless stretches.
    settings : see `Settings`.

    Returns
    -------
    TraceFit

    Notes
    -----
    Alternates (a) the best partition into events, over the frames that local filters propose, for
    the kinetics, noise and baseline at hand,
    (b) the profile over the kinetics with the sizes of every event and the baseline eliminated,
    until the events repeat; with a rise, and without one where little speaks for it. Where nothing
    does, the fit without it stands; where little does, it is modelled but not called resolved.
    The deviance of the profile is divided by the ratio of the empirical to the assumed variance of
    the score of the stretches where that ratio exceeds 1, so that misspecified decays widen the
    interval (the sandwich of White 1982, doi:10.2307/1912526).
    """
    seen = y[~np.isnan(y)]
    if not len(seen):
        return nothing_fitted(Status.NO_DATA)
    if np.ptp(seen) == 0:
        return nothing_fitted(Status.CONSTANT, seen[0])
    if len(seen) < 20:
        return nothing_fitted(Status.TOO_SHORT, float(np.median(seen)))
    noise_free = is_noise_free(y, blocks)
    if noise_free:
        # Rounding is no noise: a little white one keeps every sum of squares well above it.
        y = y + _ADDED * np.ptp(seen) * np.random.default_rng(0).standard_normal(len(y))
    model = TraceModel(y, time, blocks, settings)
    found, resolved, shift, shift_sd = fit_kinetics(model, *best_starts(y, time, blocks, settings))
    busy = fit_busy(model, found)
    if busy is not None:
        found, resolved, shift, shift_sd = busy
    fine = found.kernel.tau
    again = of_multiples(model, found)
    if again is not None:
        found, resolved, shift, shift_sd = again
    several, most = is_multiple(model, found), by_size(model, found)
    if found.small_share > BROAD and not several:
        # No unimodal distribution of sizes has so many small ones: they come from tails and bursts
        # that one exponential does not describe, and would take the tails from the decay.
        model.coarse = True
        tau, heights = found.kernel.tau, found.heights
        found, resolved, shift, shift_sd = fit_kinetics(
            model,
            plain_kernel(tau, settings),
            Kernel(tau, max(found.kernel.lag, 1.5 * settings.dt)),
            heights,
        )
    model.heights = found.heights
    status = _judge(model, found)
    broad = model.coarse or (found.small_share > _RATHER_BROAD and not several)
    fewest = _FEW if broad else _FEW_SEVERAL if several else 0.0
    if status == Status.OK and found.kernel.tau < fewest * settings.dt:
        status = Status.DECAY_NOT_RESOLVED
    if status == Status.OK and is_clipped(y):
        status = Status.CLIPPED
    if goes_down(y, blocks) and status not in (Status.CLIPPED, Status.TOO_SHORT):
        status = Status.NEGATIVE_GOING
    if noise_free and status == Status.OK:
        status = Status.NOISE_FREE
    dense = None
    if status in (Status.OK, Status.RISE_TOO_LONG, Status.DECAY_NOT_RESOLVED):
        # Sums of events can look like one with a long rise, or like a decay of a frame.
        dense = dense_in_frame(model, found)
    if (
        dense is None
        and status == Status.OK
        and strung_together(found.starts[found.is_event], model.n_seen)
    ):
        dense = by_size(model, found) / model.n_seen
    if dense is None and status == Status.OK:
        dense = missed_in_frame(model, found)
    if dense is not None:
        status = Status.EVENTS_OVERLAP
    plain = found
    if shift and status == Status.OK:
        found = found._replace(kernel=Kernel(found.kernel.tau * float(np.exp(-shift))))
    sizes, delays = model.events_seen(found.kernel, found.starts)
    unit = unit_size(sizes[found.is_event]) if several else np.nan
    jumps, rises, calcium, _ = model.sizes(found.kernel, found.starts)
    autocorrelation = residual_autocorrelation(model.flat - calcium, blocks)
    tau_ci, covariance = (np.nan, np.nan), np.full((2, 2), np.nan)
    risen = RiseEstimate(found.kernel) if resolved else None
    if autocorrelation > WHITE and found.kernel.tau < _FEW * settings.dt:
        # A few large events of a busy cell, the rest taken for noise.
        status = Status.DECAY_NOT_RESOLVED if status == Status.OK else status
    if status == Status.OK:
        known = interval_of_decay(model, plain)
        if known is None or np.isnan(known[0]).any():
            status = Status.DECAY_NOT_RESOLVED
        else:
            log_sd = np.hypot(shift_sd, sd_of_choice(model, plain))
            if model.is_crowded(found.is_event):
                log_sd = np.hypot(log_sd, _MERGED * settings.dt / plain.kernel.tau)
            if several:
                log_sd = np.hypot(log_sd, _BURST_SPREAD * settings.dt / plain.kernel.tau)
            if autocorrelation > 3 / np.sqrt(model.n_seen):
                log_sd = np.hypot(log_sd, CHOICE_SHARE * np.log(fine / plain.kernel.tau))
                log_sd = np.hypot(log_sd, MODEL_FLOOR)
            ratio = found.kernel.tau / plain.kernel.tau
            tau_ci = known[0][0] * ratio, known[0][1] * ratio
            tau_ci = widened(tau_ci, found.kernel.tau, float(log_sd), settings.confidence_level)
            log_sd = float(np.hypot(log_sd, known[1]))
            covariance[0, 0] = (log_sd * found.kernel.tau) ** 2
            risen = estimate_rise(model, found, log_sd) if resolved else None
            if risen is not None and risen.covariance is not None:
                values = np.array([risen.kernel.tau, risen.kernel.rise])
                covariance = risen.covariance * np.outer(values, values)
    return TraceFit(
        status=status,
        kernel=found.kernel,
        tau_ci=tau_ci,
        rise=risen,
        covariance=covariance,
        noise_sd=found.noise * model.scale,
        dof=model.squares(found.kernel, found.starts)[2],
        heights=model.heights * model.scale,
        starts=found.starts,
        jumps=jumps * model.scale,
        rises=rises * model.scale,
        sizes=sizes * model.scale,
        delays=delays,
        probabilities=model.probabilities(found.kernel, found.starts, found.is_event, found.noise),
        is_event=found.is_event,
        rounds=found.rounds,
        autocorrelation=autocorrelation,
        n_events=count_events(model, sizes[found.is_event], several, most, dense, status),
        is_single=found.is_event & (sizes < 1.5 * unit) if several else found.is_event,
    )


def _judge(model: TraceModel, found: Round) -> Status:
    settings, tau = model.settings, found.kernel.tau
    if int(found.is_event.sum()) < MIN_EVENTS:
        return Status.TOO_FEW_EVENTS
    if model.squares(found.kernel, found.starts)[2] < 10:
        return Status.TOO_SHORT
    low, high = decay_bounds(settings)
    if tau < 1.01 * low or tau > 0.99 * high or tau < _FEWEST_FRAMES * settings.dt:
        return Status.DECAY_NOT_RESOLVED
    sizes, _ = model.events_seen(found.kernel, found.starts)
    if float(np.median(sizes[found.is_event])) < _FAINT * found.noise:
        return Status.TOO_NOISY
    if settings.rise and found.kernel.lag > min(tau, 0.99 * lag_bounds(model)[1]):
        return Status.RISE_TOO_LONG
    # Events that go back and forth without end while the kinetics stand are no reason to refuse.
    wandering = found.rounds >= MAX_ROUNDS and found.moved > _WANDERING
    return Status.NOT_CONVERGED if wandering else Status.OK


def nothing_fitted(status: Status, level: float = np.nan) -> TraceFit:
    """What is returned for a trace that could not be fitted."""
    return TraceFit(
        status=status,
        kernel=Kernel(np.nan, 0.0),
        tau_ci=(np.nan, np.nan),
        rise=None,
        covariance=np.full((2, 2), np.nan),
        noise_sd=np.nan,
        dof=0,
        heights=np.full(1, level),
        starts=np.empty(0, np.int64),
        jumps=np.empty(0),
        rises=np.empty(0),
        sizes=np.empty(0),
        delays=np.empty(0),
        probabilities=np.empty(0),
        is_event=np.empty(0, bool),
        rounds=0,
        autocorrelation=np.nan,
        n_events=Count(0.0, 0.0, 0.0),
        is_single=np.empty(0, bool),
    )
