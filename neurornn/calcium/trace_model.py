"""One trace under the model: baseline knots, events for given kinetics, residuals."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.projection import (
    baseline_sums,
    decay_sizes,
    profile_squares,
    refine_starts,
)
from neurornn._kernels.two_pole import find_candidates, find_rises
from neurornn.calcium.kernel import Kernel

Array = NDArray[np.float64]
Frames = NDArray[np.int64]

#: A frame may start an event where a local test exceeds this many noise sd, and this share of the
#: threshold of an event.
_EVIDENCE = 2.5
_EVIDENCE_SHARE = 0.75
#: How far (frames) an event is moved to where it fits better, and how often all are gone through.
_REACH, _SWEEPS = 3, 3
_MAX_PRUNINGS = 4
#: Log of the frames among which the place of an event is in effect chosen; on simulated traces of
#: a signal-to-noise ratio of 3 the probabilities then are the shares of true events.
_CHOSEN_PLACE = 1.5
#: Kinetics whose logarithms differ by less share their filters.
_FILTER_STEP = 0.05
#: Events smaller than this share of a typical one are not counted.
SMALLEST = 0.25
#: The share below which they are not counted where sizes are broad,
COARSE = 0.5
#: which is where more of the events than this are smaller: twice as many as sizes with a
#: coefficient of variation of 0.3 give.
BROAD = 0.15
#: Threshold of an event (noise sd) before anything is known about their rate.
FIRST_THRESHOLD = 3.5


#: Highest threshold where many frames hold an event: one that is missed there is taken for noise,
#: and by that noise the next one is missed.
BUSY_THRESHOLD = 3.0
#: The share of the frames which that is.
CROWDED = 0.06

#: Spacings of knots that a pause between frames is worth at most.
LONGEST_PAUSE = 10.0


class Settings(NamedTuple):
    """What the fit of one trace depends on besides the trace.

    Attributes
    ----------
    dt : s.
    penalty : noise sd by which an event must stand out; NaN to weigh it by the rate of events.
    tau_bounds : s.
    knot_spacing : s, of the baseline.
    confidence_level : of the intervals.
    rise : look for a rise.
    held_rise : s, of the rise where it is not looked for; 0 for none.
    """

    dt: float
    penalty: float
    tau_bounds: tuple[float, float]
    knot_spacing: float
    confidence_level: float
    rise: bool = True
    held_rise: float = 0.0


def first_noise(y: Array, blocks: Frames) -> float:
    """Noise sd from the median absolute step, which the rare jumps hardly move."""
    steps = np.concatenate([np.diff(y[a:b]) for a, b in blocks])
    steps = steps[~np.isnan(steps)]
    if not len(steps):
        return float(np.nanstd(y)) or 1.0
    sd = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2)
    # A trace without noise is measured with that of single precision.
    least = 1e-6 * float(np.nanmax(y) - np.nanmin(y))
    return max(sd, least) if sd > 0 else float(np.std(steps)) or 1.0


def knots_of(
    time: Array, spacing: float, blocks: Frames | None = None
) -> tuple[Frames, Array, int]:
    """Place the knots of the baseline.

    Parameters
    ----------
    time : (n,), s.
    spacing : s, about; infinite for a baseline that stays.
    blocks : (block, 2)
        Gapless stretches, each with knots of its own: nobody saw the baseline between them. None
        for one baseline through all; a pause of more than `LONGEST_PAUSE` spacings then counts as
        one of so many.

    Returns
    -------
    knot, fraction : as `project_decays` takes them.
    n_knots
    """
    if blocks is None:
        steps = np.diff(time)
        longest = LONGEST_PAUSE * spacing
        if (steps > longest).any():
            time = time[0] + np.concatenate([[0.0], np.cumsum(np.minimum(steps, longest))])
        blocks = np.array([[0, len(time)]], np.int64)
    knot, fraction, n_knots = np.zeros(len(time), np.int64), np.zeros(len(time)), 0
    for begin, end in blocks:
        own = time[begin:end]
        span = float(own[-1] - own[0])
        n_pieces = 0 if not np.isfinite(spacing) else int(span // spacing)
        if n_pieces >= 1:
            where = (own - own[0]) / span * n_pieces
            knot[begin:end] = np.minimum(where.astype(np.int64), n_pieces - 1)
            fraction[begin:end] = where - knot[begin:end]
        knot[begin:end] += n_knots
        n_knots += n_pieces + 1
    return knot, fraction, n_knots


class TraceModel:
    """One trace in units of its first noise estimate, with its blocks and baseline knots.

    Parameters
    ----------
    y : (n,); NaN where a frame is missing.
    time : (n,), s.
    blocks : (block, 2), the gapless stretches.
    settings : see `Settings`.
    """

    def __init__(self, y: Array, time: Array, blocks: Frames, settings: Settings) -> None:
        self.scale = first_noise(y, blocks)
        self.y = y / self.scale
        self.blocks = blocks
        self.settings = settings
        self.knot, self.fraction, self.n_knots = knots_of(time, settings.knot_spacing, blocks)
        self.n_seen = int(np.sum(~np.isnan(y)))
        self.missing = self.n_seen < len(y)
        self.coarse, self.small_share = False, 0.0
        #: Whether every frame may start an event, and not only where a filter sees one.
        self.every_frame = False
        #: Events smaller than this share of a typical one are not counted; how many were not.
        self.smallest, self.n_small = SMALLEST, 0
        self.begins = np.zeros(len(y), bool)
        self.begins[blocks[:, 0]] = True
        self.heights = self.first_baseline()
        self.threshold_held = not np.isnan(settings.penalty)
        self.threshold = settings.penalty if self.threshold_held else FIRST_THRESHOLD

    def weigh(
        self, kernel: Kernel, starts: Frames, is_event: NDArray[np.bool_], noise: float
    ) -> None:
        """Set the threshold of an event from how often one was found, and how large.

        A frame holds an event with probability pi, so an event must be log((1 - pi) / pi) more
        likely than none, and more by what a free size fits of the noise (the Occam factor of a
        size known beforehand to within about itself and afterwards to within an eighth). Where
        the typical event stands far out of the noise such a low threshold gains nothing, and
        what the model lacks would be fitted by tiny events: there, and where sizes are broad, the
        threshold is 4.
        """
        if self.threshold_held:
            return
        weighed = self.even_threshold(int(is_event.sum()))
        sizes, _ = self.events_seen(kernel, starts)
        stands_out = typical_size(np.where(is_event, sizes, 0.0)) / noise
        crowded = self.every_frame and self.is_crowded(is_event)
        at_most = BUSY_THRESHOLD if crowded else 4.0
        self.threshold = max(weighed, 4.0 if self.coarse else min(at_most, 0.8 * stands_out))

    def is_crowded(self, is_event: NDArray[np.bool_]) -> bool:
        """Whether so many frames hold an event that a missed one is taken for noise."""
        return int(is_event.sum()) >= CROWDED * self.n_seen

    def even_threshold(self, n_events: int) -> float:
        """Noise sd at which an event is as likely as none, were there so many in the trace."""
        share = np.clip((n_events + 0.5) / (self.n_seen + 1), 1e-6, 0.2)
        return float(np.sqrt(2 * (np.log((1 - share) / share) + 1.0)))

    def probabilities(
        self, kernel: Kernel, starts: Frames, is_event: NDArray[np.bool_], noise: float
    ) -> Array:
        """Probability that there is an event at every start, given all others.

        The odds are those of `weigh`: what an event gains in log likelihood against what it must
        gain to be as likely as none.
        """
        gains = np.zeros(len(starts))
        flat = self.flat / noise
        for begin, end in self.blocks:
            own = slice(*np.searchsorted(starts, [begin, end]))
            here = starts[own] - begin
            gains[own] = self._gains(flat[begin:end], here, ~is_event[own], kernel)
        # Its place was chosen, too: the best of some frames next to one another is a larger gain.
        odds = gains - 0.5 * self.even_threshold(int(is_event.sum())) ** 2 - _CHOSEN_PLACE
        return np.where(is_event, 1 / (1 + np.exp(-np.clip(odds, -500, 500))), 1.0)

    @property
    def heights(self) -> Array:
        """Heights of the knots of the baseline, (knot,), in units of `scale`."""
        return self._heights

    @heights.setter
    def heights(self, heights: Array) -> None:
        self._heights = heights
        self.flat = self.y - self.baseline()
        self._sums = baseline_sums(self.flat, self.knot, self.fraction, self.n_knots)

    def first_baseline(self) -> Array:
        """Heights of the baseline before anything is known about events.

        A low percentile near each knot, raised by what white noise alone would lower it.
        """
        heights = np.empty(self.n_knots)
        nearest = self.knot + (self.fraction > 0.5)
        edges = np.searchsorted(nearest, np.arange(self.n_knots + 1))
        for k in range(self.n_knots):
            near = self.y[edges[k] : edges[k + 1]]
            near = near[~np.isnan(near)]
            heights[k] = np.percentile(near, 20) + 0.84 if len(near) > 10 else np.nan
        known = ~np.isnan(heights)
        if not known.any():
            # Knots closer than the frames tell: one level for all.
            return np.full(self.n_knots, float(np.nanpercentile(self.y, 20)) + 0.84)
        return np.interp(np.arange(self.n_knots), np.flatnonzero(known), heights[known])

    def baseline(self) -> Array:
        """Baseline of every frame, (n,), in units of `scale`."""
        if self.n_knots == 1:
            return np.full(len(self.knot), self.heights[0])
        h = self.heights
        after = np.minimum(self.knot + 1, self.n_knots - 1)
        return (1 - self.fraction) * h[self.knot] + self.fraction * h[after]

    def events(self, kernel: Kernel, noise: float) -> tuple[Frames, NDArray[np.bool_]]:
        """Starts of all stretches (block starts among them) and which of them are events."""
        flat = self.flat / noise
        starts, is_event = [], []
        for begin, end in self.blocks:
            jumps = self._jumps(flat[begin:end], kernel)
            jumps = self._on_seen_frames(begin + jumps, int(end))
            starts.append(np.concatenate([[begin], jumps]))
            is_event.append(np.concatenate([[False], np.ones(len(jumps), bool)]))
        every, mask = np.concatenate(starts).astype(np.int64), np.concatenate(is_event)
        keep = ~mask | self._large_enough(kernel, every, mask)
        return every[keep], mask[keep]

    def _large_enough(
        self, kernel: Kernel, starts: Frames, is_event: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Events of at least a share of the size that carries half of the fluorescence.

        Where the noise is small, what a real indicator does besides one exponential (a slow tail,
        a saturating burst) is fitted by a string of tiny events; a spike is not that small.
        """
        sizes = np.where(is_event, self.sizes(kernel, starts)[0], 0.0)
        typical = typical_size(sizes)
        keep = sizes >= self.smallest * typical
        self.n_small = int(np.sum(is_event & ~keep))
        self.small_share = float(np.mean(sizes[keep] < COARSE * typical)) if keep.any() else 0.0
        return sizes >= COARSE * typical if self.coarse else keep

    def _jumps(self, flat: Array, kernel: Kernel) -> Frames:
        gamma, rho, phi = kernel.poles(self.settings.dt)
        q = self.threshold
        filters, before_frames, lengths = _filters_near(kernel, self.settings.dt)
        candidate = find_candidates(
            flat, filters, before_frames, lengths, max(_EVIDENCE, _EVIDENCE_SHARE * q)
        )
        # Near an edge or a missing frame no filter fits: any frame may start an event there.
        candidate |= _beside_nothing(flat) | self.every_frame
        # Two free sizes fit noise better than one: the threshold with the same false alarms.
        penalty = 0.5 * q**2 if rho < 0 else -np.log(_upper_tail(q))
        starts = find_rises(flat, candidate, gamma, rho, penalty)
        starts = np.concatenate([[0], starts])
        is_free = np.arange(len(starts)) == 0
        for _ in range(_MAX_PRUNINGS):
            starts = refine_starts(flat, starts, is_free, gamma, rho, phi, _REACH, _SWEEPS)
            keep = is_free | (self._gains(flat, starts, is_free, kernel) > 0.5 * q**2)
            if keep.all():
                break
            starts, is_free = starts[keep], is_free[keep]
        return starts[1:]

    def _gains(
        self, flat: Array, starts: Frames, is_free: NDArray[np.bool_], kernel: Kernel
    ) -> Array:
        """Half the squares that each event saves before the next one, its size as it stands."""
        gamma, rho, phi = kernel.poles(self.settings.dt)
        jumps, _, _, _ = decay_sizes(flat, starts, is_free, gamma, rho, phi)
        response = _response(kernel, self.settings.dt)
        # An event alone saves its size squared times the squares of the response before the next.
        lengths = np.minimum(np.diff(np.append(starts, len(flat))), len(response))
        energy = np.cumsum(response**2)[lengths - 1]
        return np.where(jumps > 0, 0.5 * jumps**2 * energy, 0.0)

    def _on_seen_frames(self, jumps: Frames, end: int) -> Frames:
        """Put a jump in a missing frame on the next one seen: the data cannot tell them apart."""
        if not self.missing:
            return jumps
        next_seen = np.flatnonzero(~np.isnan(self.y[:end]))
        where = np.searchsorted(next_seen, jumps)
        return np.unique(next_seen[where[where < len(next_seen)]]).astype(np.int64)

    def squares(self, kernel: Kernel, starts: Frames) -> tuple[float, Array, int]:
        """Residual sum of squares with sizes and baseline at their best.

        Returns
        -------
        square : in units of `scale` squared.
        heights : (knot,), the best baseline.
        dof : residual degrees of freedom but for the kinetics.
        """
        gamma, rho, phi = kernel.poles(self.settings.dt)
        # Around the last baseline, so that the sum does not lose digits to a large offset.
        square, step, lost = profile_squares(
            self.flat,
            starts,
            self.begins[starts],
            gamma,
            rho,
            phi,
            self.knot,
            self.fraction,
            self.n_knots,
            self.missing,
            *self._sums,
        )
        dof = max(self.n_seen - lost - self.n_knots, 1)
        return square, self.heights + step, dof

    def sizes(self, kernel: Kernel, starts: Frames) -> tuple[Array, Array, Array, Array]:
        """Fit every stretch: see `decay_sizes`."""
        gamma, rho, phi = kernel.poles(self.settings.dt)
        return decay_sizes(self.flat, starts, self.begins[starts], gamma, rho, phi)

    def scores(self, kernel: Kernel, starts: Frames) -> Array:
        """Residual sum of squares of every stretch alone, baseline held."""
        return self.sizes(kernel, starts)[3]

    def events_seen(self, kernel: Kernel, starts: Frames) -> tuple[Array, Array]:
        """Peak of the response of every start, and how long before its frame's end it began (s).

        With a rise, the two sizes tell when within the frame the event was; without one it is put
        in the middle.
        """
        dt = self.settings.dt
        jumps, rises, _, _ = self.sizes(kernel, starts)
        delay = np.full(len(starts), dt / 2)
        if kernel.lag > 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(jumps > 0, rises / jumps, np.exp(-dt / 2 / kernel.lag))
                delay = np.clip(-kernel.lag * np.log(np.maximum(ratio, 1e-300)), 0.0, dt)
        return jumps * np.exp(delay / kernel.tau) * kernel.peak, delay


def typical_size(sizes: Array) -> float:
    """Size such that larger events carry half of all; 0 where there are none."""
    order = np.sort(np.maximum(sizes, 0.0))
    carried = np.cumsum(order)
    if not len(order) or carried[-1] <= 0:
        return 0.0
    return float(order[np.searchsorted(carried, 0.5 * carried[-1])])


def evidence_filters(kernel: Kernel, dt: float) -> tuple[Array, Frames, Frames]:
    """Filters that see an event against calcium that is merely decaying.

    Each is the response to one event after `before` quiet frames, made orthogonal to a decay and a
    rise that run through the whole window, of unit norm. Short and long windows serve bursts and
    lone events.
    """
    gamma, rho, _ = kernel.poles(dt)
    reach = int(np.clip(np.ceil(1.5 * kernel.tau / dt), 4, 60))
    risen = int(np.clip(np.ceil(2 * kernel.lag / dt), 1, reach))
    shapes = []
    for before in (2, 6, 15):
        for after in sorted({2 + risen, 3 * (2 + risen), reach}):
            i = np.arange(before + after)
            lag = np.maximum(i - before, 0) + 0.5
            event = np.where(i >= before, gamma**lag - np.maximum(rho, 0.0) ** lag, 0.0)
            whole = float(np.sqrt(event @ event))
            through = gamma**i
            event = event - through * (through @ event / (through @ through))
            norm = float(np.sqrt(event @ event))
            # What is left of rounding is no shape.
            if norm > 1e-6 * whole:
                shapes.append((before, event / norm))
    longest = max((len(s) for _, s in shapes), default=1)
    filters = np.zeros((len(shapes), longest))
    for row, (_, shape) in zip(filters, shapes, strict=True):
        row[: len(shape)] = shape
    before_frames = np.array([b for b, _ in shapes], np.int64)
    lengths = np.array([len(s) for _, s in shapes], np.int64)
    return filters, before_frames, lengths


def _filters_near(kernel: Kernel, dt: float) -> tuple[Array, Frames, Frames]:
    """Filters for kinetics within some per cent: they only propose where an event may be."""
    steps = [round(float(np.log(max(t, 1e-6))) / _FILTER_STEP) for t in kernel]
    tau, lag = (float(np.exp(s * _FILTER_STEP)) for s in steps)
    return _cached_filters(Kernel(tau, lag if kernel.lag > 0 else 0.0), dt)


@lru_cache(maxsize=256)
def _cached_filters(kernel: Kernel, dt: float) -> tuple[Array, Frames, Frames]:
    return evidence_filters(kernel, dt)


def _response(kernel: Kernel, dt: float) -> Array:
    """Response to one event in the middle of frame 0, for a decaying part of size 1."""
    gamma, rho, _ = kernel.poles(dt)
    lag = np.arange(int(np.clip(np.ceil(6 * kernel.tau / dt), 2, 5000))) + 0.5
    return gamma**lag - np.maximum(rho, 0.0) ** lag


def _beside_nothing(flat: Array) -> NDArray[np.bool_]:
    """Frames within three of an edge or of a missing frame."""
    lost = np.isnan(flat)
    near = lost.copy()
    for shift in (1, 2, 3):
        near[shift:] |= lost[:-shift]
        near[:-shift] |= lost[shift:]
    near[:3] = True
    near[-3:] = True
    return near & ~lost


def _upper_tail(z: float) -> float:
    """Probability that a standard normal exceeds z."""
    from scipy.stats import norm

    return float(norm.sf(z))
