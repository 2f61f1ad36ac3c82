"""Events and kinetics of one trace in turn, from one start, and where to start."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from neurornn.calcium.kernel import Kernel
from neurornn.calcium.trace_model import Array, Frames, Settings, TraceModel

MAX_ROUNDS = 30

#: Rounds in which the threshold of an event still follows their rate.
_WEIGHINGS = 3

#: Frames on which the start values compete.
_TRIAL_FRAMES = 3000

_TRIAL_ROUNDS = 3

#: Share of the first estimate of the noise from which alternations start. Events that are missed
#: raise the noise and hide themselves; events too many lower it and drop out one by one.
FIRST_NOISE = 0.7

#: Relative step of tau at which the alternation ends: a tenth of the narrowest interval seen.
_TOLERANCE = 1e-3

#: Newton steps of one search and of a rough one, the difference its derivatives are taken over
#: (of a logarithm: far above rounding, far below any interval), and the step at which it ends.
_MAX_NEWTON = 25

DIFFERENCE = 1e-3

_STEP_LEFT = 3e-5

#: A decay is at least so many times as long as a rise that is held.
_SLOWER = 1.05


class Round(NamedTuple):
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


def first_tau(y: Array, blocks: Frames, settings: Settings) -> float:
    """Start value from the decline of the autocovariance over eleven lags, which noise spares.

    An AR(1) process in white noise has autocovariance proportional to ``gamma**lag`` from lag 1
    on; the ratio of neighbouring lags is averaged by least squares.
    """
    centred = y - means_of(y, blocks)
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


def means_of(y: Array, blocks: Frames) -> Array:
    """Mean of every stretch, at each of its frames: stretches may stand at different heights."""
    means = np.zeros(len(y))
    for begin, end in blocks:
        seen = y[begin:end][~np.isnan(y[begin:end])]
        means[begin:end] = seen.mean() if len(seen) else 0.0
    return means


def best_starts(
    y: Array, time: Array, blocks: Frames, settings: Settings
) -> tuple[Kernel, Kernel]:
    """Where to start without a rise and with one: found on the liveliest stretch."""
    part, part_time, part_blocks = y, time, blocks
    if len(y) > _TRIAL_FRAMES:
        edges = np.arange(0, len(y) - _TRIAL_FRAMES + 1, _TRIAL_FRAMES // 2)
        squares = np.nan_to_num(y - means_of(y, blocks)) ** 2
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
        kernel = plain_kernel(float(np.clip(start, *settings.tau_bounds)), settings)
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
    noise: float = FIRST_NOISE,
    max_rounds: int = MAX_ROUNDS,
    most_noise: float = np.inf,
) -> Round:
    """Events and kinetics in turn from one start.

    `noise` is in units of the first estimate; events are looked for with at most `most_noise`:
    those that are missed are taken for noise, and by that noise others are missed.
    """
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
            model.weigh(kernel, starts, is_event, min(noise, most_noise))
        starts, is_event = model.events(kernel, min(noise, most_noise))
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
    return Round(
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
    with_rise = kernel.lag > 0 and model.settings.rise
    limits = [np.log(decay_bounds(model.settings))]
    if with_rise:
        limits.append(np.log(lag_bounds(model)))
    low, high = np.array(limits).T

    def square(x: Array) -> float:
        return model.squares(kernel_at(x, model.settings), starts)[0]

    x = np.log([kernel.tau, kernel.lag]) if with_rise else np.log([kernel.tau])
    return kernel_at(least(square, x, low, high, max_steps), model.settings)


def kernel_at(x: Array, settings: Settings, lag: float = 0.0) -> Kernel:
    """Kinetics from their logarithms; where there is one, with the rise held or of this lag."""
    if len(x) > 1:
        return Kernel(float(np.exp(x[0])), float(np.exp(x[1])))
    if settings.held_rise > 0:
        return plain_kernel(float(np.exp(x[0])), settings)
    return Kernel(float(np.exp(x[0])), lag)


def plain_kernel(tau: float, settings: Settings) -> Kernel:
    """Kinetics without a rise, or with the one that is held."""
    return Kernel.of_rise(max(tau, decay_bounds(settings)[0]), settings.held_rise)


def decay_bounds(settings: Settings) -> tuple[float, float]:
    """Bounds of the decay (s): it is the slower of the two, also where the rise is held."""
    low, high = settings.tau_bounds
    return max(low, _SLOWER * settings.held_rise), high


def least(
    f: Callable[[Array], float],
    x: Array,
    low: Array,
    high: Array,
    max_steps: int = _MAX_NEWTON,
) -> Array:
    """Minimum near x of a smooth function of one or two logarithms, inside bounds.

    Newton steps on differences; where they do not lead down, the simplex of Nelder and Mead.
    """
    margin = 2 * DIFFERENCE
    x = np.clip(x, low + margin, high - margin)
    value = f(x)
    for _ in range(max_steps):
        gradient, hessian = derivatives(f, x, value)
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


def lag_bounds(model: TraceModel) -> tuple[float, float]:
    """Shortest lag that leaves a trace between frames, and the longest that is searched (s)."""
    return model.settings.dt / 20, min(1.0, model.settings.tau_bounds[1])


def derivatives(f: Callable[[Array], float], x: Array, middle: float) -> tuple[Array, Array]:
    """Gradient and Hessian by central differences; `middle` is f(x)."""
    unit = DIFFERENCE * np.eye(len(x))
    ahead = np.array([f(x + u) for u in unit])
    behind = np.array([f(x - u) for u in unit])
    gradient = (ahead - behind) / (2 * DIFFERENCE)
    hessian = np.diag((ahead - 2 * middle + behind) / DIFFERENCE**2)
    if len(x) == 2:
        both = f(x + unit[0] + unit[1]) + f(x - unit[0] - unit[1])
        cross = (both - ahead.sum() - behind.sum() + 2 * middle) / (2 * DIFFERENCE**2)
        hessian[0, 1] = hessian[1, 0] = cross
    return gradient, hessian
