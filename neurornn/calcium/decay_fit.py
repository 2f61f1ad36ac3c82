"""The decay constant of one trace: exact L0 events, sizes and baseline eliminated, profile."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from neurornn._core.confidence import profile_interval
from neurornn._core.status import Status
from neurornn._kernels.projection import decay_sizes, project_decays
from neurornn._kernels.segmentation import find_jumps

Array = NDArray[np.float64]

#: Fewest events for an interval: below it the robust scale of the interval means little.
MIN_EVENTS = 5
_MAX_ROUNDS = 30
#: Frames on which the start values compete.
_TRIAL_FRAMES = 6000
#: Relative step of tau at which the alternation ends: a tenth of the narrowest interval seen.
_TOLERANCE = 1e-3


class Settings(NamedTuple):
    """What the fit of one trace depends on besides the trace."""

    dt: float
    penalty: float
    tau_bounds: tuple[float, float]
    knot_spacing: float
    confidence_level: float


class TraceFit(NamedTuple):
    """What is known about one trace after the fit; sizes in the unit of the trace."""

    status: Status
    tau: float
    tau_ci: tuple[float, float]
    tau_variance: float
    noise_sd: float
    dof: int
    baseline: Array
    starts: NDArray[np.int64]
    sizes: Array
    is_event: NDArray[np.bool_]
    rounds: int


def knots_of(time: Array, spacing: float) -> tuple[NDArray[np.int64], Array, int]:
    """Place the knots of the baseline.

    Parameters
    ----------
    time : (n,), s.
    spacing : s, about; infinite for a constant baseline.

    Returns
    -------
    knot, fraction : as `project_decays` takes them.
    n_knots
    """
    span = float(time[-1] - time[0])
    n_pieces = 0 if not np.isfinite(spacing) else int(span // spacing)
    if n_pieces < 1:
        return np.zeros(len(time), np.int64), np.zeros(len(time)), 1
    where = (time - time[0]) / span * n_pieces
    knot = np.minimum(where.astype(np.int64), n_pieces - 1)
    return knot, where - knot, n_pieces + 1


def baseline_trace(heights: Array, knot: NDArray[np.int64], fraction: Array) -> Array:
    """Baseline of every frame from its heights at the knots."""
    if len(heights) == 1:
        return np.full(len(knot), heights[0])
    return (1 - fraction) * heights[knot] + fraction * heights[knot + 1]


class _Trace:
    """One trace in units of its first noise estimate, with its blocks and baseline knots."""

    def __init__(self, y: Array, time: Array, blocks: NDArray[np.int64], settings: Settings):
        self.scale = first_noise(y, blocks)
        self.y = y / self.scale
        self.blocks = blocks
        self.settings = settings
        self.knot, self.fraction, self.n_knots = knots_of(time, settings.knot_spacing)
        self.n_seen = int(np.sum(~np.isnan(y)))
        self.missing = self.n_seen < len(y)
        self.heights = self._first_baseline()

    def _first_baseline(self) -> Array:
        # A low percentile near each knot, raised by what white noise alone would lower it.
        heights = np.empty(self.n_knots)
        nearest = self.knot + (self.fraction > 0.5)
        for k in range(self.n_knots):
            near = self.y[nearest == k] if self.n_knots > 1 else self.y
            near = near[~np.isnan(near)]
            heights[k] = np.percentile(near, 20) + 0.84 if len(near) > 10 else np.nan
        known = ~np.isnan(heights)
        return np.interp(np.arange(self.n_knots), np.flatnonzero(known), heights[known])

    def events(self, tau: float, noise: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Starts of all decays (block starts among them) and which of them are events."""
        gamma = float(np.exp(-self.settings.dt / tau))
        flat = (self.y - baseline_trace(self.heights, self.knot, self.fraction)) / noise
        starts, is_event = [], []
        for begin, end in self.blocks:
            jumps, _ = find_jumps(flat[begin:end], gamma, 0.5 * self.settings.penalty**2)
            jumps = self._on_seen_frames(begin + jumps, end)
            starts.append(np.concatenate([[begin], jumps]))
            is_event.append(np.concatenate([[False], np.ones(len(jumps), bool)]))
        return np.concatenate(starts).astype(np.int64), np.concatenate(is_event)

    def _on_seen_frames(self, jumps: NDArray[np.int64], end: int) -> NDArray[np.int64]:
        """Put a jump in a missing frame on the next one seen: the data cannot tell them apart."""
        if not self.missing:
            return jumps
        next_seen = np.flatnonzero(~np.isnan(self.y[:end]))
        where = np.searchsorted(next_seen, jumps)
        return np.unique(next_seen[where[where < len(next_seen)]]).astype(np.int64)

    def squares(self, tau: float, starts: NDArray[np.int64]) -> tuple[float, Array]:
        """Residual sum of squares with sizes and baseline at their best, and that baseline."""
        gamma = float(np.exp(-self.settings.dt / tau))
        # Around the last baseline, so that the sum does not lose digits to a large offset.
        base = baseline_trace(self.heights, self.knot, self.fraction)
        gram, cross, square = project_decays(
            self.y - base, starts, gamma, self.knot, self.fraction, self.n_knots
        )
        gram[np.diag_indices(self.n_knots)] += 1e-9 * (1 + np.trace(gram) / self.n_knots)
        step = np.linalg.solve(gram, cross)
        return float(square - cross @ step), self.heights + step

    def profile(self, tau: float, starts: NDArray[np.int64]) -> tuple[float, float]:
        """Best tau given the events, searched near `tau`; and its residual sum of squares."""
        low, high = np.log(self.settings.tau_bounds)
        near = np.clip([np.log(tau) - 1.0, np.log(tau) + 1.0], low, high)
        best = optimize.minimize_scalar(
            lambda x: self.squares(float(np.exp(x)), starts)[0],
            bounds=near,
            method="bounded",
            options={"xatol": 1e-6},
        )
        return float(np.exp(best.x)), float(best.fun)


def first_noise(y: Array, blocks: NDArray[np.int64]) -> float:
    """Noise sd from the median absolute step, which the rare jumps hardly move."""
    steps = np.concatenate([np.diff(y[a:b]) for a, b in blocks])
    steps = steps[~np.isnan(steps)]
    if not len(steps):
        return float(np.nanstd(y)) or 1.0
    sd = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2)
    return sd if sd > 0 else float(np.std(steps)) or 1.0


def first_tau(y: Array, blocks: NDArray[np.int64], settings: Settings) -> float:
    """Start value from the decline of the autocovariance over ten lags, which noise spares.

    An AR(1) process in white noise has autocovariance proportional to ``gamma**lag`` from lag 1
    on; the ratio of neighbouring lags is averaged by least squares.
    """
    centred = y - np.nanmean(y)
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


def fit_trace(y: Array, time: Array, blocks: NDArray[np.int64], settings: Settings) -> TraceFit:
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
    Alternates (a) the exact L0 events for the tau, noise and baseline at hand, (b) the profile
    over tau with the size of every event and the baseline eliminated, until the events repeat.
    The deviance of the profile is divided by the ratio of the empirical to the assumed variance of
    the score of the decays where that ratio exceeds 1, so that misspecified decays widen the
    interval (the sandwich of White 1982, doi:10.2307/1912526).
    """
    seen = y[~np.isnan(y)]
    if not len(seen):
        return _nothing(Status.NO_DATA, y)
    if np.ptp(seen) == 0:
        return _nothing(Status.CONSTANT, y, seen[0])
    if len(seen) < 20:
        return _nothing(Status.TOO_SHORT, y, float(np.median(seen)))
    trace = _Trace(y, time, blocks, settings)
    tau = _best_start(y, time, blocks, settings)
    _, tau, noise, heights, starts, is_event, rounds = _alternate(trace, tau)
    trace.heights = heights
    status = _judge(trace, tau, noise, starts, is_event, rounds)
    sizes, _, _ = _sizes(trace, tau, starts)
    interval, variance = (np.nan, np.nan), np.nan
    if status == Status.OK:
        interval, variance = _interval(trace, tau, starts)
        if np.isnan(interval).any():
            status = Status.DECAY_NOT_RESOLVED
    base = baseline_trace(trace.heights, trace.knot, trace.fraction)
    return TraceFit(
        status=status,
        tau=tau,
        tau_ci=interval,
        tau_variance=variance,
        noise_sd=noise * trace.scale,
        dof=max(trace.n_seen - len(starts) - trace.n_knots - 1, 1),
        baseline=base * trace.scale,
        starts=starts,
        sizes=sizes * trace.scale,
        is_event=is_event,
        rounds=rounds,
    )


def _best_start(y: Array, time: Array, blocks: NDArray[np.int64], settings: Settings) -> float:
    """Start value of the alternation: the best of three, tried on the liveliest stretch."""
    part, part_time, part_blocks = y, time, blocks
    if len(y) > _TRIAL_FRAMES:
        edges = np.arange(0, len(y) - _TRIAL_FRAMES + 1, _TRIAL_FRAMES // 2)
        squares = np.nan_to_num(y - np.nanmean(y)) ** 2
        power = [float(squares[a : a + _TRIAL_FRAMES].sum()) for a in edges]
        a = int(edges[int(np.argmax(power))])
        b = a + _TRIAL_FRAMES
        part, part_time = y[a:b], time[a:b]
        inside = np.clip(blocks, a, b) - a
        part_blocks = inside[inside[:, 1] > inside[:, 0]]
    tau = first_tau(y, blocks, settings)
    trace = _Trace(part, part_time, part_blocks, settings)
    found = [
        _alternate(trace, float(np.clip(start, *settings.tau_bounds)))
        for start in (tau, tau / 2.5, tau * 2.5)
    ]
    return min(found, key=lambda f: f[0])[1]


def _alternate(
    trace: _Trace, tau: float
) -> tuple[float, float, float, Array, NDArray[np.int64], NDArray[np.bool_], int]:
    """Events and tau in turn from one start; the first value is the cost to compare starts by."""
    trace.heights = trace._first_baseline()
    noise = 1.0
    seen: set[bytes] = set()
    starts, is_event = trace.events(tau, noise)
    for rounds in range(1, _MAX_ROUNDS + 1):  # noqa: B007
        new_tau, rss = trace.profile(tau, starts)
        _, trace.heights = trace.squares(new_tau, starts)
        dof = max(trace.n_seen - len(starts) - trace.n_knots - 1, 1)
        noise = float(np.sqrt(max(rss, 1e-12) / dof))
        moved = abs(new_tau / tau - 1)
        tau = new_tau
        seen.add(starts.tobytes())
        starts, is_event = trace.events(tau, noise)
        # Events that were met before: a fixed point, or a cycle between near-equal optima.
        if starts.tobytes() in seen or moved < _TOLERANCE:
            break
    tau, _ = trace.profile(tau, starts)
    rss, trace.heights = trace.squares(tau, starts)
    # Costs of different starts are compared in one unit, that of the first noise estimate.
    cost = trace.n_seen / 2 * np.log(max(rss, 1e-12)) + 0.5 * trace.settings.penalty**2 * int(
        is_event.sum()
    )
    return cost, tau, noise, trace.heights.copy(), starts, is_event, rounds


def _sizes(trace: _Trace, tau: float, starts: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Jump of every decay over what was left of the one before, calcium trace, squares."""
    gamma = float(np.exp(-trace.settings.dt / tau))
    base = baseline_trace(trace.heights, trace.knot, trace.fraction)
    levels, calcium, squares = decay_sizes(trace.y - base, starts, gamma)
    jumps = levels.copy()
    first_of_block = np.isin(starts, trace.blocks[:, 0])
    inner = np.flatnonzero(~first_of_block)
    jumps[inner] -= gamma * calcium[starts[inner] - 1]
    return jumps, calcium, squares


def _judge(
    trace: _Trace,
    tau: float,
    noise: float,
    starts: NDArray[np.int64],
    is_event: NDArray[np.bool_],
    rounds: int,
) -> Status:
    settings = trace.settings
    if int(is_event.sum()) < MIN_EVENTS:
        return Status.TOO_FEW_EVENTS
    if trace.n_seen - len(starts) - trace.n_knots - 1 < 10:
        return Status.TOO_SHORT
    low, high = settings.tau_bounds
    if tau < 1.01 * low or tau > 0.99 * high or tau < settings.dt / 2:
        return Status.DECAY_NOT_RESOLVED
    sizes, _, _ = _sizes(trace, tau, starts)
    if float(np.median(sizes[is_event])) < 1.5 * noise:
        return Status.TOO_NOISY
    return Status.NOT_CONVERGED if rounds >= _MAX_ROUNDS else Status.OK


def _interval(
    trace: _Trace, tau: float, starts: NDArray[np.int64]
) -> tuple[tuple[float, float], float]:
    """Profile interval of tau, formed in log tau, and the variance of tau (s^2)."""
    x = float(np.log(tau))
    rss, _ = trace.squares(tau, starts)
    dof = max(trace.n_seen - len(starts) - trace.n_knots - 1, 1)
    # Curvature and per-decay scores by central differences; 1e-3 in log tau is far above rounding
    # and far below the width of any interval worth having.
    h = 1e-3
    plus, minus = (trace.squares(float(np.exp(x + s * h)), starts)[0] for s in (1, -1))
    curvature = (plus - 2 * rss + minus) / h**2
    scores = (
        _sizes(trace, float(np.exp(x + h)), starts)[2]
        - _sizes(trace, float(np.exp(x - h)), starts)[2]
    ) / (2 * h)
    if curvature <= 0:
        return (np.nan, np.nan), np.nan
    sigma2 = rss / dof
    # Var(d RSS / d x) = 2 sigma^2 * (d2 RSS / d x2) where the model holds.
    widen = max(1.0, float(np.sum((scores - scores.mean()) ** 2)) / (2 * sigma2 * curvature))

    def deviance(value: float) -> float:
        return dof * np.log(trace.squares(float(np.exp(value)), starts)[0] / rss) / widen

    low, high = np.log(trace.settings.tau_bounds)
    step = float(np.sqrt(2 * sigma2 * widen / curvature))
    bounds = profile_interval(
        deviance,
        x,
        step=step,
        lower=low,
        upper=high,
        confidence_level=trace.settings.confidence_level,
    )
    return (float(np.exp(bounds[0])), float(np.exp(bounds[1]))), (tau * step) ** 2


def _nothing(status: Status, y: Array, level: float = np.nan) -> TraceFit:
    empty = np.empty(0)
    return TraceFit(
        status=status,
        tau=np.nan,
        tau_ci=(np.nan, np.nan),
        tau_variance=np.nan,
        noise_sd=np.nan,
        dof=0,
        baseline=np.full(len(y), level),
        starts=np.empty(0, np.int64),
        sizes=empty,
        is_event=np.empty(0, bool),
        rounds=0,
    )
