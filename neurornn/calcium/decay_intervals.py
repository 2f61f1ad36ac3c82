"""Interval of the decay: the profile likelihood, and what widens it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.confidence import normal_quantile, profile_interval
from neurornn.calcium.alternation import (
    DIFFERENCE,
    FIRST_NOISE,
    Round,
    alternate,
    decay_bounds,
    derivatives,
    kernel_at,
    lag_bounds,
    least,
)
from neurornn.calcium.trace_model import Array, TraceModel

#: Groups of neighbouring stretches whose scores are compared with white noise.
_GROUPS = 20

#: From this threshold (noise sd) on, which events there are is not a matter of choice.
_CLEAR = 3.9

#: By how much (noise sd) the threshold of a faint event might as well be another.
_CHOICE = 0.4


def sd_of_choice(model: TraceModel, found: Round) -> float:
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
        noise = min(found.noise, FIRST_NOISE)
        taus.append(alternate(model, found.kernel, found.heights, noise=noise).kernel.tau)
    model.threshold, model.threshold_held, model.heights = middle, False, found.heights
    return min(abs(float(np.log(taus[1] / taus[0]))) / 2, 0.5)


def widened(
    ci: tuple[float, float], value: float, log_sd: float, confidence_level: float
) -> tuple[float, float]:
    """Interval with an independent error of the logarithm added to each side."""
    reach = normal_quantile(confidence_level) * log_sd
    below = float(np.hypot(np.log(value / ci[0]), reach))
    above = float(np.hypot(np.log(ci[1] / value), reach))
    return value * float(np.exp(-below)), value * float(np.exp(above))


def interval_of_decay(model: TraceModel, found: Round) -> tuple[tuple[float, float], float] | None:
    """Profile interval of tau (s), formed in its logarithm, and the standard error of that.

    None where the squares have no minimum.
    """
    kernel, starts, settings = found.kernel, found.starts, model.settings
    # A rise at the shortest that is searched is held: there is nothing to either side of it.
    with_rise = settings.rise and kernel.lag > 1.5 * lag_bounds(model)[0]
    x = np.log([kernel.tau, kernel.lag]) if with_rise else np.log([kernel.tau])

    def square(v: Array) -> float:
        return model.squares(kernel_at(v, settings, kernel.lag), starts)[0]

    rss, _, dof = model.squares(kernel, starts)
    dof = max(dof - len(x), 1)
    sigma2 = rss / dof
    hessian = derivatives(square, x, rss)[1]
    # Without noise the squares that are left are rounding, and can come out below 0.
    if rss <= 0 or np.linalg.eigvalsh(hessian)[0] <= 0:
        return None
    inverse = np.linalg.inv(hessian)
    if not (np.diag(inverse) > 0).all():
        # Without noise the differences behind the Hessian are rounding errors.
        return None
    widen = _misfit(lambda v: model.scores(kernel_at(v, settings, kernel.lag), starts), x, sigma2)
    sd = float(np.sqrt(2 * sigma2 * inverse[0, 0] * widen))
    spreads = np.clip(np.sqrt(2 * sigma2 * np.diag(inverse)), 1e-3, 0.2)

    def deviance(value: float) -> float:
        if not with_rise:
            return dof * np.log(square(np.array([value])) / rss) / widen
        other = _other_profiled(square, x, 0, value, inverse, spreads[1])
        return dof * np.log(other / rss) / widen

    low, high = np.log(decay_bounds(settings))
    bounds = profile_interval(
        deviance,
        float(x[0]),
        step=sd,
        lower=float(low),
        upper=float(high),
        confidence_level=settings.confidence_level,
    )
    return (float(np.exp(bounds[0])), float(np.exp(bounds[1]))), sd


def _misfit(parts: Callable[[Array], Array], x: Array, sigma2: float) -> float:
    """By how much the variance of the first parameter exceeds that of a true model; at least 1.

    The scores of the stretches are compared with what white noise gives them, both with the
    baseline held, since a baseline that moves joins the stretches.
    """
    held = derivatives(lambda v: float(parts(v).sum()), x, float(parts(x).sum()))[1]
    if np.linalg.eigvalsh(held)[0] <= 0:
        return 1.0
    unit = DIFFERENCE * np.eye(len(x))
    scores = np.stack([(parts(x + u) - parts(x - u)) / (2 * DIFFERENCE) for u in unit], axis=1)
    inverse = np.linalg.inv(held)
    expected = float(2 * sigma2 * inverse[0, 0])
    widen = 1.0
    # Stretches that follow one another may err alike (a bout, a drift): groups are looked at too.
    n_groups = min(_GROUPS, len(scores))
    edges = np.linspace(0, len(scores), n_groups, endpoint=False).astype(int)
    for parted in (scores, np.add.reduceat(scores, edges, axis=0)):
        robust = inverse @ (parted.T @ parted) @ inverse
        widen = max(widen, float(robust[0, 0]) / expected)
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
    return at(least(at, np.array([guess]), low, high))
