"""Busy cells and bursts: fits that start from what most frames do, and what their events count."""

from collections.abc import Iterator

import numpy as np

from neurornn._core.status import Status
from neurornn.calcium.alternation import (
    Round,
    alternate,
    first_tau,
    plain_kernel,
    residual_autocorrelation,
)
from neurornn.calcium.increments import Decays, decays_of
from neurornn.calcium.kernel import Kernel
from neurornn.calcium.overlap import (
    Count,
    apart,
    dense_events,
    has_floor,
    shot_noise,
    unit_size,
)
from neurornn.calcium.rise_choice import (
    LESS_NOISE,
    deviance_of_rise,
    fit_kinetics,
    with_or_without,
)
from neurornn.calcium.trace_model import (
    BROAD,
    FIRST_THRESHOLD,
    SMALLEST,
    Array,
    TraceModel,
)

#: Autocorrelation of the residual below which the events describe the trace.
WHITE = 0.1

#: What was found in such a trace are not its events.
_UNCOUNTED = (
    Status.RISE_TOO_LONG,
    Status.NEGATIVE_GOING,
    Status.DECAY_NOT_RESOLVED,
    Status.TOO_NOISY,
)

#: Events are looked for with at most so many times the noise that the steps of most frames show.
_MOST_NOISE = 1.15

#: How many times the noise of the steps the fit of a crowded cell may leave: more where a decay
#: has so many frames, which the events share.
_FEW_FRAMES, _ALIKE, _ABOVE = 4.0, 1.15, 1.4

#: Lower quartile of the sizes (noise sd) from which small events would show, were there any.
_CLEAR_SIZE = 6.5


def count_events(
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
    best = float(sizes.sum()) / unit_size(sizes) if several else apart(n, n_seen)
    if status in _UNCOUNTED:
        return Count(best, np.nan, np.nan)
    return Count(best, best, max(best, most) if model.coarse else best)


def dense_in_frame(model: TraceModel, found: Round) -> float | None:
    """Events in a frame where filtered noise describes the trace far better than events do."""
    dt = model.settings.dt
    # Without the baseline: parts that stand at different heights are no steps.
    tau = first_tau(model.flat, model.blocks, model.settings)
    decays = decays_of(model.flat, model.blocks, tau, dt)
    tau = tau if decays is None else decays.tau
    return dense_events(model.flat, model.blocks, tau, found.noise, dt, length_of(model, found))


def missed_in_frame(model: TraceModel, found: Round) -> float | None:
    """Events in a frame of a busy trace that leaves more noise than its steps have.

    None where it does not: there, no events were taken for noise.
    """
    if not model.is_crowded(found.is_event):
        return None
    decays, dt = _steps(model)[0], model.settings.dt
    few = found.kernel.tau < _FEW_FRAMES * dt
    if decays is None or found.noise < (_ALIKE if few else _ABOVE) * decays.noise:
        return None
    told = shot_noise(model.flat, model.blocks, decays.tau, decays.noise, dt)
    return max(told, by_size(model, found) / model.n_seen)


def of_multiples(model: TraceModel, found: Round) -> tuple[Round, bool, float, float] | None:
    """Fit with the small events kept where sizes are whole multiples of one; None where not.

    Bursts that fall into a frame are events of twice and three times the size: singles then are
    small beside the typical one, yet events. Sizes that are smeared down to what the noise lets
    pass are something else: tails that one exponential does not describe.
    """
    if (found.small_share <= BROAD and model.n_small == 0) or model.smallest == 0:
        return None
    model.heights = found.heights
    sizes = model.events_seen(found.kernel, found.starts)[0][found.is_event]
    clear = len(sizes) > 0 and float(np.percentile(sizes, 25)) > _CLEAR_SIZE * found.noise
    if not clear and not has_floor(sizes, found.kernel.tau / model.settings.dt):
        return None
    before = model.threshold, model.small_share, model.n_small
    model.smallest = 0.0
    fit = fit_kinetics(
        model,
        plain_kernel(found.kernel.tau, model.settings),
        Kernel(found.kernel.tau, max(found.kernel.lag, 1.5 * model.settings.dt)),
        found.heights,
        noise=found.noise,
    )
    if is_multiple(model, fit[0]):
        return fit
    model.smallest, model.heights = SMALLEST, found.heights
    model.threshold, model.small_share, model.n_small = before
    return None


def is_multiple(model: TraceModel, found: Round) -> bool:
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
    return residual_autocorrelation(left, model.blocks) < WHITE


def by_size(model: TraceModel, found: Round) -> float:
    """Events by the sum of their sizes over the smallest kind; at least as many as were found."""
    model.heights = found.heights
    sizes = model.events_seen(found.kernel, found.starts)[0][found.is_event]
    best = apart(len(sizes), model.n_seen)
    return max(best, float(sizes.sum()) / unit_size(sizes)) if len(sizes) else best


def fit_busy(model: TraceModel, found: Round) -> tuple[Round, bool, float, float] | None:
    """Fit of a cell that seldom comes to rest; None where it is no better than the one found.

    An alternation that misses events takes them for noise, and by that noise misses them again;
    and the lowest frames of such a trace are not its baseline. Where the steps of most frames
    show less noise than the fit has, it is tried again from what these steps say, and with every
    frame a candidate, since no filter sees an event among so many.
    """
    settings = model.settings
    decays, offsets = _steps(model)
    if decays is None or decays.noise > LESS_NOISE * found.noise:
        return None
    before = _state(model)
    tau = float(np.clip(decays.tau, *settings.tau_bounds))
    # The last frame at or after a knot, and before the next, lies in its stretch.
    last = np.searchsorted(model.knot, np.arange(model.n_knots), side="right") - 1
    start = plain_kernel(tau, settings), decays.level + offsets[last], decays.noise
    best, shortest = None, length_of(model, found)
    for fit in _fits_from(model, *start):
        model.heights = fit[0].heights
        many = model.smallest == 0 and is_multiple(model, fit[0])
        if (fit[0].small_share <= BROAD or many) and length_of(model, fit[0]) < shortest:
            best, shortest = (fit, _state(model)), length_of(model, fit[0])
    _put(model, before if best is None else best[1])
    return None if best is None else best[0]


def _fits_from(
    model: TraceModel, start: Kernel, heights: Array, noise: float
) -> Iterator[tuple[Round, bool, float, float]]:
    """Fits with every frame a candidate: of many events, with small ones too, or of few.

    Where events are few, a threshold as low as that of many would make events of what one
    exponential does not describe.
    """
    for smallest in (SMALLEST, 0.0):
        _begin(model, smallest)
        most = _MOST_NOISE * noise
        plain = alternate(model, start, heights, noise=noise, most_noise=most)
        if not model.is_crowded(plain.is_event):
            break
        yield plain, False, 0.0, 0.0
        if model.settings.rise:
            yield _with_rise(model, plain, most)
    else:
        return
    _begin(model, SMALLEST)
    plain = alternate(model, start, heights, noise=noise)
    yield _with_rise(model, plain) if model.settings.rise else (plain, False, 0.0, 0.0)


def _begin(model: TraceModel, smallest: float) -> None:
    if not model.threshold_held:
        model.threshold = FIRST_THRESHOLD
    model.every_frame, model.smallest = True, smallest


def _with_rise(
    model: TraceModel, plain: Round, most_noise: float = np.inf
) -> tuple[Round, bool, float, float]:
    """Fit with a rise where the data speak for one, else the one without."""
    # A rise makes neighbours one event: from too long a one the search does not come back.
    risen = [
        alternate(
            model, Kernel(plain.kernel.tau, lag), plain.heights, noise=plain.noise,
            most_noise=most_noise,
        )
        for lag in (0.3 * model.settings.dt, 1.5 * model.settings.dt)
    ]  # fmt: skip
    best = min(risen, key=lambda f: f.cost)
    return with_or_without(model, plain, best, deviance_of_rise(model, best))


def _state(model: TraceModel) -> tuple[float, float, int, float, bool, Array]:
    """What a fit leaves behind in a model besides its answer."""
    m = model
    return (
        m.threshold, m.small_share, m.n_small, m.smallest, m.every_frame, m.heights,
    )  # fmt: skip


def _put(model: TraceModel, state: tuple[float, float, int, float, bool, Array]) -> None:
    """Bring a model back to a state."""
    model.threshold, model.small_share, model.n_small = state[:3]
    model.smallest, model.every_frame, model.heights = state[3:]


def _steps(model: TraceModel) -> tuple[Decays | None, Array]:
    """What the steps of most frames say, and the height of every stretch that was taken off."""
    offsets = _offsets(model)
    levelled, settings = model.y - offsets, model.settings
    first = first_tau(levelled, model.blocks, settings)
    return decays_of(levelled, model.blocks, first, settings.dt), offsets


def _offsets(model: TraceModel) -> Array:
    """How high every stretch stands, (n,): 0 for a single one."""
    offsets = np.zeros(len(model.y))
    if len(model.blocks) > 1:
        for begin, end in model.blocks:
            seen = model.y[begin:end][~np.isnan(model.y[begin:end])]
            offsets[begin:end] = np.percentile(seen, 20) if len(seen) else 0.0
    return offsets


def length_of(model: TraceModel, found: Round) -> float:
    """Description length of the trace by a fit: its noise, and an event where it is as likely."""
    n_events = int(found.is_event.sum())
    odds = 0.5 * model.even_threshold(n_events) ** 2
    return float(model.n_seen * np.log(max(found.noise, 1e-12)) + n_events * odds)
