"""Kinetics of one trace: events, then the profile likelihood of decay and rise, in turn."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from neurornn._core.confidence import normal_quantile, profile_interval
from neurornn._core.status import Status
from neurornn.calcium.clipping import goes_down, is_clipped, is_noise_free
from neurornn.calcium.increments import decays_of
from neurornn.calcium.overlap import (
    Count,
    apart,
    dense_events,
    has_floor,
    strung_together,
    unit_size,
)
from neurornn.calcium.trace_model import (
    BROAD,
    FIRST_THRESHOLD,
    SMALLEST,
    Array,
    Frames,
    Kernel,
    Settings,
    TraceModel,
)

#: Fewest events for an interval: below it the robust scale of the interval means little.
MIN_EVENTS = 5
_MAX_ROUNDS = 30
#: Rounds in which the threshold of an event still follows their rate.
_WEIGHINGS = 3
#: Groups of neighbouring stretches whose scores are compared with white noise.
_GROUPS = 20
#: Frames on which the start values compete.
_TRIAL_FRAMES = 3000
_TRIAL_ROUNDS = 3
#: Where the residual is autocorrelated it is not the noise of a true model. What the model lacks
#: adds an error to the logarithm of tau: this sd (the constant told from recorded spikes is itself
#: no better on 71 real cells), and this share of what the choice of the smallest event changes.
MODEL_FLOOR = 0.07
CHOICE_SHARE = 0.8
#: Events of a smaller median size (noise sd) are as likely sums of smaller ones that merged.
_FAINT = 1.8
#: From this threshold (noise sd) on, which events there are is not a matter of choice.
_CLEAR = 3.9
#: By how much (noise sd) the threshold of a faint event might as well be another.
_CHOICE = 0.4
#: A rise of this share of a frame, the shortest that counts, must be expected to gain so much
#: deviance before a fit without one is believed.
_RISE_SHARE = 0.6
_RISE_POWER = 6.0
#: Where it is not, tau is moved part of the way to the fit with one, give or take this share; the
#: part is what the first frames gain by a free time over what they gain where a rise is certain.
_SHIFT_SD = 0.45
_CERTAIN_GAIN = 0.75
#: Decays shorter than this (frames) leave one frame or two above the noise.
_FEWEST_FRAMES = 1.5
#: And shorter than this they are known only from events that stand alone: not where sizes are
#: broad, nor where more than this share of the frames shows an event.
_FEW, _CROWDED = 3.0, 0.11
#: Sizes that are whole multiples of one still count them a little below.
_FEW_SEVERAL = 2.5
#: Decays shorter than this (frames) are looked for from several starts.
_FEW_FRAMES = 6.0
#: Share of the first estimate of the noise from which alternations start. Events that are missed
#: raise the noise and hide themselves; events too many lower it and drop out one by one.
_FIRST_NOISE = 0.7
#: Where the steps of most frames show less than this share of the noise that is left, events were
#: taken for noise.
_LESS_NOISE = 0.85
#: Autocorrelation of the residual below which the events describe the trace.
_WHITE = 0.1
#: What was found in such a trace are not its events.
_UNCOUNTED = (
    Status.RISE_TOO_LONG,
    Status.NEGATIVE_GOING,
    Status.DECAY_NOT_RESOLVED,
    Status.TOO_NOISY,
)
#: Noise that a trace without any is given, as a share of its range.
_ADDED = 1e-5
#: Lower quartile of the sizes (noise sd) from which small events would show, were there any.
_CLEAR_SIZE = 6.5
#: Relative step of tau at which the alternation ends: a tenth of the narrowest interval seen.
_TOLERANCE = 1e-3
#: Relative step of tau from which an alternation that has not ended is not trusted.
_WANDERING = 0.02
#: Newton steps of one search and of a rough one, the difference its derivatives are taken over
#: (of a logarithm: far above rounding, far below any interval), and the step at which it ends.
_MAX_NEWTON = 25
_ROUGH = 2
_DIFFERENCE = 1e-3
_STEP_LEFT = 3e-5
#: Deviance by which a rise must improve on none to count as resolved. Where there is none, the
#: free time within a frame takes up what noise would lend to it, and the deviance stays near 0.
RISE_DEVIANCE = 2.71
#: From here on there is no need to try without.
_RISE_CLEAR = 30.0
#: From here on the rise, resolved or not, is modelled, so that it does not lengthen the decay.
_RISE_HINT = 0.5
#: And from here on by event, in log likelihood: what the time within the frame as one more unknown
#: gains where there is no rise is 0.3 to 1.1.
_TIMING_GAIN = 1.2


class TraceFit(NamedTuple):
    """What is known about one trace after the fit; sizes in the unit of the trace.

    `heights` are those of the baseline at its knots; `jumps` and `rises` what every start adds to
    the decaying and to the rising part of the calcium, `sizes` the peak of the response.
    """

    status: Status
    kernel: Kernel
    rise_resolved: bool
    tau_ci: tuple[float, float]
    rise_ci: tuple[float, float]
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


class _Round(NamedTuple):
    """Where an alternation ended."""

    cost: float
    kernel: Kernel
    noise: float
    heights: Array
    starts: Frames
    is_event: NDArray[np.bool_]
    rounds: int
    small_share: float
    moved: float
    threshold: float


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
    found, resolved, shift, shift_sd = _fit(model, *_best_starts(y, time, blocks, settings))
    busy = _busy_fit(model, found)
    if busy is not None:
        found, resolved, shift, shift_sd = busy
    rise_ci, fine, several = (np.nan, np.nan), found.kernel.tau, False
    again = _of_multiples(model, found)
    if again is not None:
        found, resolved, shift, shift_sd = again
    several, most = _is_multiple(model, found), _by_size(model, found)
    if found.small_share > BROAD and not several:
        # No unimodal distribution of sizes has so many small ones: they come from tails and bursts
        # that one exponential does not describe, and would take the tails from the decay.
        model.coarse, several = True, False
        tau, heights = found.kernel.tau, found.heights
        found, resolved, shift, shift_sd = _fit(
            model,
            Kernel(tau, settings.held_rise),
            Kernel(tau, max(found.kernel.rise, 1.5 * settings.dt)),
            heights,
        )
    model.heights = found.heights
    status = _judge(model, found)
    fewest = _FEW if model.coarse else _FEW_SEVERAL if several else 0.0
    if status == Status.OK and found.kernel.tau < fewest * settings.dt:
        status = Status.DECAY_NOT_RESOLVED
    if status == Status.OK and is_clipped(y):
        status = Status.CLIPPED
    if goes_down(y, blocks) and status not in (Status.CLIPPED, Status.TOO_SHORT):
        status = Status.NEGATIVE_GOING
    if noise_free and status == Status.OK:
        status = Status.NOISE_FREE
    dense = _dense_events(model, found) if status == Status.OK else None
    if (
        dense is None
        and status == Status.OK
        and strung_together(found.starts[found.is_event], model.n_seen)
    ):
        dense = _by_size(model, found) / model.n_seen
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
    if autocorrelation > _WHITE and found.kernel.tau < _FEW * settings.dt:
        # A few large events of a busy cell, the rest taken for noise.
        status = Status.DECAY_NOT_RESOLVED if status == Status.OK else status
    if status == Status.OK:
        tau_ci, rise_ci, covariance = _intervals(model, plain)
        if np.isnan(tau_ci).any():
            status = Status.DECAY_NOT_RESOLVED
            tau_ci, rise_ci, covariance = (np.nan, np.nan), (np.nan, np.nan), covariance * np.nan
        else:
            log_sd = np.hypot(shift_sd, _sd_of_choice(model, plain))
            if autocorrelation > 3 / np.sqrt(model.n_seen):
                log_sd = np.hypot(log_sd, CHOICE_SHARE * np.log(fine / plain.kernel.tau))
                log_sd = np.hypot(log_sd, MODEL_FLOOR)
            ratio = found.kernel.tau / plain.kernel.tau
            tau_ci = tau_ci[0] * ratio, tau_ci[1] * ratio
            tau_ci = _widened(tau_ci, found.kernel.tau, float(log_sd), settings.confidence_level)
            covariance[0, 0] += (log_sd * found.kernel.tau) ** 2
    return TraceFit(
        status=status,
        kernel=found.kernel,
        rise_resolved=resolved,
        tau_ci=tau_ci,
        rise_ci=rise_ci if resolved else (np.nan, np.nan),
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
        n_events=_count(model, sizes[found.is_event], several, most, dense, status),
        is_single=found.is_event & (sizes < 1.5 * unit) if several else found.is_event,
    )


def _count(
    model: TraceModel,
    sizes: Array,
    several: bool,
    most: float,
    dense: float | None,
    status: Status,
) -> Count:
    """How many events there were, given that some fell together.

    Where sizes are whole multiples of one size, a larger one counts for several. Where events
    below half of the typical one were left out, how many there are is a choice, and reaches from
    those that were kept to what all of them are by size (`most`). Where events were not told
    apart, the skewness of the steps gives a number, and nothing an interval.
    """
    n, n_seen = len(sizes), model.n_seen
    if dense is not None:
        return Count(dense * n_seen, np.nan, np.nan)
    if several:
        by_size = float(sizes.sum()) / unit_size(sizes)
        return Count(by_size, by_size, by_size)
    best = apart(n, n_seen)
    if status in _UNCOUNTED:
        return Count(best, np.nan, np.nan)
    return Count(best, best, max(best, most) if model.coarse else best)


def _dense_events(model: TraceModel, found: _Round) -> float | None:
    """Events in a frame where filtered noise describes the trace far better than events do."""
    dt = model.settings.dt
    tau = first_tau(model.y, model.blocks, model.settings)
    decays = decays_of(model.y, model.blocks, tau, dt)
    tau = tau if decays is None else decays.tau
    return dense_events(model.flat, model.blocks, tau, found.noise, dt, _length(model, found))


def _of_multiples(model: TraceModel, found: _Round) -> tuple[_Round, bool, float, float] | None:
    """Fit with the small events kept where sizes are whole multiples of one; None where not.

    Bursts that fall into a frame are events of twice and three times the size: singles then are
    small beside the typical one, yet events. Sizes that are smeared down to what the noise lets
    pass are something else: tails that one exponential does not describe.
    """
    if found.small_share <= BROAD and model.n_small == 0:
        return None
    model.heights = found.heights
    sizes = model.events_seen(found.kernel, found.starts)[0][found.is_event]
    clear = len(sizes) > 0 and float(np.percentile(sizes, 25)) > _CLEAR_SIZE * found.noise
    if not clear and not has_floor(sizes, found.kernel.tau / model.settings.dt):
        return None
    before = model.threshold, model.small_share, model.n_small
    model.smallest = 0.0
    fit = _fit(
        model,
        Kernel(found.kernel.tau, model.settings.held_rise),
        Kernel(found.kernel.tau, max(found.kernel.rise, 1.5 * model.settings.dt)),
        found.heights,
        noise=found.noise,
    )
    if _is_multiple(model, fit[0]):
        return fit
    model.smallest, model.heights = SMALLEST, found.heights
    model.threshold, model.small_share, model.n_small = before
    return None


def _is_multiple(model: TraceModel, found: _Round) -> bool:
    """Whether sizes are whole multiples of one, in events that describe the trace."""
    model.heights = found.heights
    sizes = model.events_seen(found.kernel, found.starts)[0][found.is_event]
    if not has_floor(sizes, found.kernel.tau / model.settings.dt):
        return False
    frames = found.kernel.tau / model.settings.dt
    if float(np.mean(sizes > 1.5 * np.exp(0.5 / frames) * unit_size(sizes))) < BROAD:
        # When within its frame an event was smears its size by up to half a frame.
        return False
    left = model.flat - model.sizes(found.kernel, found.starts)[2]
    return residual_autocorrelation(left, model.blocks) < _WHITE


def _by_size(model: TraceModel, found: _Round) -> float:
    """Events by the sum of their sizes over the smallest kind; at least as many as were found."""
    model.heights = found.heights
    sizes = model.events_seen(found.kernel, found.starts)[0][found.is_event]
    best = apart(len(sizes), model.n_seen)
    return max(best, float(sizes.sum()) / unit_size(sizes)) if len(sizes) else best


def _busy_fit(model: TraceModel, found: _Round) -> tuple[_Round, bool, float, float] | None:
    """Fit of a cell that seldom comes to rest; None where it is no better than the one found.

    An alternation that misses events takes them for noise, and by that noise misses them again;
    and the lowest frames of such a trace are not its baseline. Where the steps of most frames
    show less noise than the fit has, it is tried again from what these steps say, and with every
    frame a candidate, since no filter sees an event among so many.
    """
    settings = model.settings
    offsets = _offsets(model)
    levelled = model.y - offsets
    first = first_tau(levelled, model.blocks, settings)
    decays = decays_of(levelled, model.blocks, first, settings.dt)
    if decays is None or decays.noise > _LESS_NOISE * found.noise:
        return None
    before = model.threshold, model.small_share, model.heights
    if not model.threshold_held:
        model.threshold = FIRST_THRESHOLD
    model.every_frame = True
    tau = float(np.clip(decays.tau, *settings.tau_bounds))
    # The last frame at or after a knot, and before the next, lies in its stretch.
    last = np.searchsorted(model.knot, np.arange(model.n_knots), side="right") - 1
    heights = decays.level + offsets[last]
    plain = alternate(model, Kernel(tau, settings.held_rise), heights, noise=decays.noise)
    fit = plain, False, 0.0, 0.0
    if settings.rise:
        # A rise makes neighbours one event: from too long a one the search does not come back.
        risen = [
            alternate(model, Kernel(plain.kernel.tau, rise), plain.heights, noise=plain.noise)
            for rise in (0.3 * settings.dt, 1.5 * settings.dt)
        ]
        best = min(risen, key=lambda f: f.cost)
        fit = _with_or_without(model, plain, best, _deviance_of_rise(model, best))
    again = fit[0]
    if again.small_share <= BROAD and _length(model, again) < _length(model, found):
        return fit
    model.every_frame = False
    model.threshold, model.small_share, model.heights = before
    return None


def _offsets(model: TraceModel) -> Array:
    """How high every stretch stands, (n,): 0 for a single one."""
    offsets = np.zeros(len(model.y))
    if len(model.blocks) > 1:
        for begin, end in model.blocks:
            seen = model.y[begin:end][~np.isnan(model.y[begin:end])]
            offsets[begin:end] = np.percentile(seen, 20) if len(seen) else 0.0
    return offsets


def _length(model: TraceModel, found: _Round) -> float:
    """Description length of the trace by a fit: its noise, and an event where it is as likely."""
    n_events = int(found.is_event.sum())
    odds = 0.5 * model.even_threshold(n_events) ** 2
    return float(model.n_seen * np.log(max(found.noise, 1e-12)) + n_events * odds)


def residual_autocorrelation(residual: Array, blocks: Frames) -> float:
    """Mean autocorrelation over lags of one to three frames; white noise has 0.

    Parameters
    ----------
    residual : (n,); NaN where a frame is missing.
    blocks : (block, 2), the gapless stretches.
    """
    left = np.nan_to_num(residual)
    total = float(left @ left)
    pairs = sum(
        float(left[a + k : b] @ left[a : b - k]) for a, b in blocks for k in (1, 2, 3) if b - a > k
    )
    return pairs / (3 * total) if total > 0 else 0.0


def _sd_of_choice(model: TraceModel, found: _Round) -> float:
    """Half of what log tau moves when events must stand out somewhat more or less.

    Faint events are a choice: some are missed, some are noise, and tau is what the rest says.
    Events that stand out of the noise are found either way.
    """
    if model.threshold_held or model.threshold >= _CLEAR:
        return 0.0
    model.threshold_held, middle = True, model.threshold
    taus = []
    for threshold in (middle - _CHOICE, middle + _CHOICE):
        model.threshold = threshold
        noise = min(found.noise, _FIRST_NOISE)
        taus.append(alternate(model, found.kernel, found.heights, noise=noise).kernel.tau)
    model.threshold, model.threshold_held, model.heights = middle, False, found.heights
    return min(abs(float(np.log(taus[1] / taus[0]))) / 2, 0.5)


def _widened(
    ci: tuple[float, float], value: float, log_sd: float, confidence_level: float
) -> tuple[float, float]:
    """Interval with an independent error of the logarithm added to each side."""
    reach = normal_quantile(confidence_level) * log_sd
    below = float(np.hypot(np.log(value / ci[0]), reach))
    above = float(np.hypot(np.log(ci[1] / value), reach))
    return value * float(np.exp(-below)), value * float(np.exp(above))


def _fit(
    model: TraceModel,
    start: Kernel,
    start_with_rise: Kernel,
    heights: Array | None = None,
    noise: float = _FIRST_NOISE,
) -> tuple[_Round, bool, float, float]:
    """Fit with a rise, and without one where little speaks for it.

    Returns
    -------
    found : the fit that stands.
    resolved : whether its rise is resolved.
    shift, shift_sd : by how much log tau is likely to be too long for want of a rise that the
        data could not have told, and how sure that is; 0 otherwise.
    """
    if not model.settings.rise:
        return alternate(model, start, heights, noise=noise), False, 0.0, 0.0
    dt = model.settings.dt
    found = alternate(model, start_with_rise, heights, noise=noise)
    gained = _deviance_of_rise(model, found)
    if gained > _RISE_CLEAR and found.kernel.tau > 2 * _FEW_FRAMES * dt:
        return found, True, 0.0, 0.0
    plain = alternate(model, start, heights, noise=noise)
    if found.noise < _LESS_NOISE * plain.noise and found.kernel.rise < 0.1 * dt:
        # A rise that short is none: a fit without one can be as good, and was only not found.
        filtered, model.every_frame = model.every_frame, True
        instant = Kernel(found.kernel.tau, start.rise)
        other = alternate(model, instant, found.heights, noise=found.noise)
        if other.cost < plain.cost:
            plain = other
        else:
            model.every_frame = filtered
    if plain.kernel.tau < _FEW_FRAMES * dt:
        # Few frames tell an event: a fit without a rise can be far from every one with a rise.
        tau = first_tau(model.y, model.blocks, model.settings)
        for factor in (0.7, 1.0, 1.4):
            other = alternate(model, Kernel(factor * tau, 0.3 * dt))
            found = min(found, other, key=lambda f: f.cost)
        gained = _deviance_of_rise(model, found)
    return _with_or_without(model, plain, found, gained)


def _with_or_without(
    model: TraceModel, plain: _Round, found: _Round, gained: float
) -> tuple[_Round, bool, float, float]:
    """Choose between the fit without a rise and the one with; returns what `_fit` does."""
    # A rise within the frame leaves its trace in the first frame of an event alone: that frame is
    # then fitted badly by a decay that is free in its size only.
    freedom = _freedom(model, plain, found)
    if freedom > -_TIMING_GAIN and (gained > _RISE_HINT or freedom > _TIMING_GAIN):
        return found, gained > RISE_DEVIANCE, 0.0, 0.0
    shift = 0.0
    if _expected_of_rise(model, plain) < _RISE_POWER:
        shift = float(np.clip(np.log(plain.kernel.tau / found.kernel.tau), 0.0, 0.5))
    # As much of it as the first frames speak for: all of it where they would free the time.
    return plain, False, shift * float(np.clip(freedom / _CERTAIN_GAIN, 0, 1)), _SHIFT_SD * shift


def _freedom(model: TraceModel, plain: _Round, found: _Round) -> float:
    """What the time within the frame, as one more unknown, gains by event in log likelihood.

    Two events in frames next to each other are one with a slow first frame. Where there is a rise
    nearly every event has such a neighbour; in a busy cell as many as fall there by chance, and
    these are no gain. An event costs the same in both fits.
    """
    n_plain, n_found = int(plain.is_event.sum()), int(found.is_event.sum())
    by_chance = min(n_plain**2 / max(model.n_seen, 1), max(n_plain - n_found, 0))
    price = 0.5 * found.threshold**2
    gained = plain.cost - 0.5 * plain.threshold**2 * n_plain + price * (n_plain - by_chance)
    return (gained - found.cost) / max(n_found, 1)


def _expected_of_rise(model: TraceModel, plain: _Round) -> float:
    """Deviance by which a short rise, were there one, would be expected to show.

    What a decay with a free size and a free time constant leaves of a response with a rise,
    averaged over when within the frame the event was, times the energy of the events.
    """
    dt = model.settings.dt
    tau, rise = plain.kernel.tau, _RISE_SHARE * dt
    n = int(np.clip(np.ceil(3 * tau / dt), 4, 300))
    i = np.arange(n - 1)
    plane, _ = np.linalg.qr(np.stack([np.exp(-i * dt / tau), i * np.exp(-i * dt / tau)], axis=1))
    left = []
    for phase in (0.1, 0.3, 0.5, 0.7, 0.9):
        lag = (np.arange(n) + phase) * dt
        shape = np.exp(-lag / tau) * -np.expm1(-lag / rise)
        # What the first frame shows may as well be a matter of when within it the event was.
        one = shape[1:]
        rest = one - plane @ (plane.T @ one)
        left.append(float(rest @ rest) / float(shape.max()) ** 2)
    model.heights = plain.heights
    sizes, _ = model.events_seen(plain.kernel, plain.starts)
    # An event that does not stand out by three sd in one frame hardly says in which it began.
    energy = float(np.sum(np.maximum((sizes[plain.is_event] / plain.noise) ** 2 - 9, 0)))
    return energy * float(np.mean(left))


def first_tau(y: Array, blocks: Frames, settings: Settings) -> float:
    """Start value from the decline of the autocovariance over eleven lags, which noise spares.

    An AR(1) process in white noise has autocovariance proportional to ``gamma**lag`` from lag 1
    on; the ratio of neighbouring lags is averaged by least squares.
    """
    centred = y - _means(y, blocks)
    n_lags = 12
    sums, counts = np.zeros(n_lags), np.zeros(n_lags)
    for begin, end in blocks:
        x = np.nan_to_num(centred[begin:end])
        for k in range(min(n_lags, len(x) - 1)):
            sums[k] += x[k + 1 :] @ x[: len(x) - k - 1]
            counts[k] += len(x) - k - 1
    cov = sums / np.maximum(counts, 1)
    before, after = cov[:-1], cov[1:]
    gamma = float(before @ after / (before @ before)) if before @ before > 0 else 0.5
    gamma = min(max(gamma, 0.05), 0.999)
    return float(np.clip(-settings.dt / np.log(gamma), *settings.tau_bounds))


def _means(y: Array, blocks: Frames) -> Array:
    """Mean of every stretch, at each of its frames: stretches may stand at different heights."""
    means = np.zeros(len(y))
    for begin, end in blocks:
        seen = y[begin:end][~np.isnan(y[begin:end])]
        means[begin:end] = seen.mean() if len(seen) else 0.0
    return means


def _best_starts(
    y: Array, time: Array, blocks: Frames, settings: Settings
) -> tuple[Kernel, Kernel]:
    """Where to start without a rise and with one: found on the liveliest stretch."""
    part, part_time, part_blocks = y, time, blocks
    if len(y) > _TRIAL_FRAMES:
        edges = np.arange(0, len(y) - _TRIAL_FRAMES + 1, _TRIAL_FRAMES // 2)
        squares = np.nan_to_num(y - _means(y, blocks)) ** 2
        edges = np.append(edges, len(y) - _TRIAL_FRAMES)
        power = [float(squares[a : a + _TRIAL_FRAMES].sum()) for a in edges]
        a = int(edges[int(np.argmax(power))])
        b = a + _TRIAL_FRAMES
        part, part_time = y[a:b], time[a:b]
        inside = np.clip(blocks, a, b) - a
        part_blocks = inside[inside[:, 1] > inside[:, 0]]
    tau = first_tau(y, blocks, settings)
    model = TraceModel(part, part_time, part_blocks, settings)
    found = []
    for start in (tau, tau / 2.5, tau * 2.5):
        kernel = Kernel(float(np.clip(start, *settings.tau_bounds)), settings.held_rise)
        found.append(alternate(model, kernel, max_rounds=_TRIAL_ROUNDS))
    plain = min(found, key=lambda f: f.cost).kernel
    if not settings.rise:
        return plain, plain
    with_rise = Kernel(plain.tau, 1.5 * settings.dt)
    return plain, alternate(model, with_rise, max_rounds=_TRIAL_ROUNDS + 1).kernel


def alternate(
    model: TraceModel,
    kernel: Kernel,
    heights: Array | None = None,
    *,
    noise: float = _FIRST_NOISE,
    max_rounds: int = _MAX_ROUNDS,
) -> _Round:
    """Events and kinetics in turn from one start; `noise` in units of the first estimate."""
    model.heights = model.first_baseline() if heights is None else heights.copy()
    seen: set[bytes] = set()
    starts, is_event = model.events(kernel, noise)
    rounds, moved = 0, 0.0
    while rounds < max_rounds:
        rounds += 1
        # While the events still move, one step does.
        new = profile(model, kernel, starts, 1)
        rss, model.heights, dof = model.squares(new, starts)
        noise = float(np.sqrt(max(rss, 1e-12) / dof))
        moved = abs(new.tau / kernel.tau - 1)
        kernel = new
        seen.add(starts.tobytes())
        if rounds <= _WEIGHINGS:
            # Only at first: a threshold that moves with the events could cycle for ever.
            model.weigh(kernel, starts, is_event, noise)
        starts, is_event = model.events(kernel, noise)
        # Events that were met before: a fixed point, or a cycle between near-equal optima.
        # At first the baseline moves as well, and kinetics that stand still say little.
        if starts.tobytes() in seen or (moved < _TOLERANCE and rounds > _WEIGHINGS):
            break
    kernel = profile(model, kernel, starts)
    rss, model.heights, dof = model.squares(kernel, starts)
    # Costs of different starts are compared in one unit, that of the first noise estimate.
    cost = model.n_seen / 2 * np.log(max(rss, 1e-12))
    cost += 0.5 * model.threshold**2 * int(is_event.sum())
    noise = float(np.sqrt(max(rss, 1e-12) / dof))
    return _Round(
        cost,
        kernel,
        noise,
        model.heights.copy(),
        starts,
        is_event,
        rounds,
        model.small_share,
        moved,
        model.threshold,
    )


def profile(
    model: TraceModel, kernel: Kernel, starts: Frames, max_steps: int = _MAX_NEWTON
) -> Kernel:
    """Best kinetics given the events, searched near `kernel`; a rise of 0 stays 0."""
    with_rise = kernel.rise > 0 and model.settings.rise
    limits = [np.log(model.settings.tau_bounds)]
    if with_rise:
        limits.append(np.log(_rise_bounds(model)))
    low, high = np.array(limits).T

    def square(x: Array) -> float:
        return model.squares(_kernel_at(x, kernel.rise), starts)[0]

    x = np.log([kernel.tau, kernel.rise]) if with_rise else np.log([kernel.tau])
    return _kernel_at(_least(square, x, low, high, max_steps), kernel.rise)


def _kernel_at(x: Array, rise: float = 0.0) -> Kernel:
    """Kinetics from their logarithms; where there is one entry the rise is held."""
    return Kernel(float(np.exp(x[0])), float(np.exp(x[1])) if len(x) > 1 else rise)


def _least(
    f: Callable[[Array], float],
    x: Array,
    low: Array,
    high: Array,
    max_steps: int = _MAX_NEWTON,
) -> Array:
    """Minimum near x of a smooth function of one or two logarithms, inside bounds.

    Newton steps on differences; where they do not lead down, the simplex of Nelder and Mead.
    """
    margin = 2 * _DIFFERENCE
    x = np.clip(x, low + margin, high - margin)
    value = f(x)
    for _ in range(max_steps):
        gradient, hessian = _derivatives(f, x, value)
        values, vectors = np.linalg.eigh(hessian)
        # A direction that curves down or hardly at all is walked down, not up.
        curved = np.maximum(np.abs(values), 1e-3 * np.abs(values).max() + 1e-12)
        step = -vectors @ (vectors.T @ gradient / curved)
        step *= min(1.0, 0.7 / max(float(np.abs(step).max()), 1e-300))
        for shrink in (1.0, 0.3, 0.05):
            new = np.clip(x + shrink * step, low + margin, high - margin)
            new_value = f(new)
            if new_value < value:
                break
        else:
            break
        moved = float(np.abs(new - x).max())
        x, value = new, new_value
        if moved < _STEP_LEFT:
            return x
    else:
        if max_steps == _MAX_NEWTON:
            best = optimize.minimize(
                lambda v: f(np.clip(v, low, high)),
                x,
                method="Nelder-Mead",
                options={"xatol": 1e-5},
            )
            if best.fun < value:
                return np.clip(best.x, low, high)
    return x


def _rise_bounds(model: TraceModel) -> tuple[float, float]:
    """Shortest rise that leaves a trace between frames, and the longest that is searched (s)."""
    return model.settings.dt / 20, min(1.0, model.settings.tau_bounds[1])


def _deviance_of_rise(model: TraceModel, found: _Round) -> float:
    """Deviance between the rise that was found and one too short to be seen, events the same."""
    model.heights = found.heights
    floor, _ = _rise_bounds(model)
    best, _, dof = model.squares(found.kernel, found.starts)
    low, high = (np.array([np.log(b)]) for b in model.settings.tau_bounds)

    def square(x: Array) -> float:
        return model.squares(Kernel(float(np.exp(x[0])), floor), found.starts)[0]

    without = square(_least(square, np.log([found.kernel.tau]), low, high))
    return float(dof * np.log(max(without, best) / best))


def _judge(model: TraceModel, found: _Round) -> Status:
    settings, tau = model.settings, found.kernel.tau
    if int(found.is_event.sum()) < MIN_EVENTS:
        return Status.TOO_FEW_EVENTS
    if model.squares(found.kernel, found.starts)[2] < 10:
        return Status.TOO_SHORT
    low, high = settings.tau_bounds
    if tau < 1.01 * low or tau > 0.99 * high or tau < _FEWEST_FRAMES * settings.dt:
        return Status.DECAY_NOT_RESOLVED
    sizes, _ = model.events_seen(found.kernel, found.starts)
    if float(np.median(sizes[found.is_event])) < _FAINT * found.noise:
        return Status.TOO_NOISY
    if tau < _FEW * settings.dt and int(found.is_event.sum()) > _CROWDED * model.n_seen:
        return Status.DECAY_NOT_RESOLVED
    if settings.rise and found.kernel.rise > min(tau, 0.99 * _rise_bounds(model)[1]):
        return Status.RISE_TOO_LONG
    # Events that go back and forth without end while the kinetics stand are no reason to refuse.
    wandering = found.rounds >= _MAX_ROUNDS and found.moved > _WANDERING
    return Status.NOT_CONVERGED if wandering else Status.OK


def _intervals(
    model: TraceModel, found: _Round
) -> tuple[tuple[float, float], tuple[float, float], Array]:
    """Profile intervals of tau and rise, formed in their logarithms, and covariance (s^2)."""
    kernel, starts = found.kernel, found.starts
    # A rise at the shortest that is searched is held: there is nothing to either side of it.
    with_rise = model.settings.rise and kernel.rise > 1.5 * _rise_bounds(model)[0]
    x = np.log([kernel.tau, kernel.rise]) if with_rise else np.log([kernel.tau])

    def square(v: Array) -> float:
        return model.squares(_kernel_at(v, kernel.rise), starts)[0]

    rss, _, dof = model.squares(kernel, starts)
    dof = max(dof - len(x), 1)
    sigma2 = rss / dof
    hessian = _derivatives(square, x, rss)[1]
    empty = (np.nan, np.nan), (np.nan, np.nan), np.full((2, 2), np.nan)
    # Without noise the squares that are left are rounding, and can come out below 0.
    if rss <= 0 or np.linalg.eigvalsh(hessian)[0] <= 0:
        return empty
    inverse = np.linalg.inv(hessian)
    if not (np.diag(inverse) > 0).all():
        # Without noise the differences behind the Hessian are rounding errors.
        return empty
    widen = _misfit(lambda v: model.scores(_kernel_at(v, kernel.rise), starts), x, sigma2)
    log_covariance = 2 * sigma2 * inverse * np.sqrt(np.outer(widen, widen))
    limits = [np.log(model.settings.tau_bounds), np.log(_rise_bounds(model))]
    spreads = np.clip(np.sqrt(2 * sigma2 * np.diag(inverse)), 1e-3, 0.2)
    bounds = []
    for k in range(len(x)):

        def deviance(value: float, k: int = k) -> float:
            if not with_rise:
                return dof * np.log(square(np.array([value])) / rss) / widen[k]
            other = _other_profiled(square, x, k, value, inverse, spreads[1 - k])
            return dof * np.log(other / rss) / widen[k]

        bounds.append(
            profile_interval(
                deviance,
                float(x[k]),
                step=float(np.sqrt(log_covariance[k, k])),
                lower=float(limits[k][0]),
                upper=float(limits[k][1]),
                confidence_level=model.settings.confidence_level,
            )
        )
    ci = [(float(np.exp(a)), float(np.exp(b))) for a, b in bounds]
    values = np.exp(x)
    covariance = np.full((2, 2), np.nan)
    covariance[: len(x), : len(x)] = log_covariance * np.outer(values, values)
    return ci[0], ci[1] if with_rise else (np.nan, np.nan), covariance


def _derivatives(f: Callable[[Array], float], x: Array, middle: float) -> tuple[Array, Array]:
    """Gradient and Hessian by central differences; `middle` is f(x)."""
    unit = _DIFFERENCE * np.eye(len(x))
    ahead = np.array([f(x + u) for u in unit])
    behind = np.array([f(x - u) for u in unit])
    gradient = (ahead - behind) / (2 * _DIFFERENCE)
    hessian = np.diag((ahead - 2 * middle + behind) / _DIFFERENCE**2)
    if len(x) == 2:
        both = f(x + unit[0] + unit[1]) + f(x - unit[0] - unit[1])
        cross = (both - ahead.sum() - behind.sum() + 2 * middle) / (2 * _DIFFERENCE**2)
        hessian[0, 1] = hessian[1, 0] = cross
    return gradient, hessian


def _misfit(parts: Callable[[Array], Array], x: Array, sigma2: float) -> Array:
    """By how much the variance of each parameter exceeds that of a true model; at least 1.

    The scores of the stretches are compared with what white noise gives them, both with the
    baseline held, since a baseline that moves joins the stretches.
    """
    held = _derivatives(lambda v: float(parts(v).sum()), x, float(parts(x).sum()))[1]
    if np.linalg.eigvalsh(held)[0] <= 0:
        return np.ones(len(x))
    unit = _DIFFERENCE * np.eye(len(x))
    scores = np.stack([(parts(x + u) - parts(x - u)) / (2 * _DIFFERENCE) for u in unit], axis=1)
    inverse = np.linalg.inv(held)
    expected = np.diag(2 * sigma2 * inverse)
    widen = np.ones(len(x))
    # Stretches that follow one another may err alike (a bout, a drift): groups are looked at too.
    n_groups = min(_GROUPS, len(scores))
    edges = np.linspace(0, len(scores), n_groups, endpoint=False).astype(int)
    for parted in (scores, np.add.reduceat(scores, edges, axis=0)):
        robust = inverse @ (parted.T @ parted) @ inverse
        widen = np.maximum(widen, np.diag(robust) / expected)
    return widen


def _other_profiled(
    square: Callable[[Array], float],
    x: Array,
    k: int,
    value: float,
    inverse: NDArray[Any],
    spread: float,
) -> float:
    """Residual squares at one parameter's value with the other one at its best.

    `spread` is about the standard error of the other one.
    """
    other = 1 - k
    # Along the ridge of the quadratic the other one moves in proportion; search from there.
    guess = x[other] + inverse[other, k] / inverse[k, k] * (value - x[k])

    def at(z: Array) -> float:
        v = np.empty(2)
        v[k], v[other] = value, z[0]
        return square(v)

    # Three points about a standard error apart hold a parabola, whose vertex is the best.
    h = spread
    middle, behind, ahead = (at(np.array([z])) for z in (guess, guess - h, guess + h))
    slope, curve = (ahead - behind) / 2, ahead - 2 * middle + behind
    if curve > 0 and abs(slope) < 2 * curve:
        return middle - slope**2 / (2 * curve)
    low, high = np.array([guess - 1.0]), np.array([guess + 1.0])
    return at(_least(at, np.array([guess]), low, high))


def nothing_fitted(status: Status, level: float = np.nan) -> TraceFit:
    """What is returned for a trace that could not be fitted."""
    return TraceFit(
        status=status,
        kernel=Kernel(np.nan, 0.0),
        rise_resolved=False,
        tau_ci=(np.nan, np.nan),
        rise_ci=(np.nan, np.nan),
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
