"""The rise of one trace, with the times of its events averaged over."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from neurornn._core.confidence import delta_interval, normal_quantile, profile_interval
from neurornn._kernels.event_times import marginal_likelihoods
from neurornn.calcium.alternation import DIFFERENCE, Round, lag_bounds
from neurornn.calcium.kernel import Kernel
from neurornn.calcium.trace_model import Array, TraceModel

#: A rise is at most this share of the decay: beyond, the two change places.
_ALIKE = 0.95
#: Relative precision of the rise: a tenth of the narrowest interval seen.
_PRECISION = 2e-3
#: A second event behind one that was found is so many times as likely as an event anywhere: on
#: simulated traces of .5 and 1 Hz the rise then is right at every signal-to-noise ratio.
_AS_LIKELY = 1.5
#: Difference of logarithms over which the curvature is taken, about a standard error.
_STEP = 0.03


class RiseEstimate(NamedTuple):
    """What is known of the rise of a cell.

    Attributes
    ----------
    kernel : with the decay of the fit.
    rise_ci, time_to_peak_ci, half_rise_ci : s.
    covariance : of the logarithms of decay and rise, (2, 2); None where there are no intervals.
    """

    kernel: Kernel
    rise_ci: tuple[float, float] = (np.nan, np.nan)
    time_to_peak_ci: tuple[float, float] = (np.nan, np.nan)
    half_rise_ci: tuple[float, float] = (np.nan, np.nan)
    covariance: Array | None = None


def estimate_rise(model: TraceModel, found: Round, log_sd_tau: float) -> RiseEstimate | None:
    """Rise of a trace whose events and decay were found; None where there is no maximum.

    Parameters
    ----------
    model, found : the trace, with the baseline of the fit, and the fit.
    log_sd_tau : standard error of the logarithm of its decay.

    Notes
    -----
    In the profile likelihood the time of every event is at its best, and events that the noise
    does not tell apart count as one. The first makes a rise within a frame short, the second a
    rise of a few frames long. Here the likelihood of every stretch is averaged over times within
    some frames of where its event was found, and over a second event behind it. The decay is held
    at its estimate, and its error carried over.
    """
    tau, starts = found.kernel.tau, found.starts
    is_free, dt = model.begins[starts], model.settings.dt
    size = float(np.median(model.sizes(found.kernel, starts)[0][found.is_event]))
    share = _AS_LIKELY * float(found.is_event.sum()) / model.n_seen
    low = float(np.log(Kernel(tau, lag_bounds(model)[0]).rise))
    high = float(np.log(_ALIKE * tau))

    def parts(log_rise: float, log_tau: float, factor: float = 1.0) -> Array:
        decay = float(np.exp(log_tau))
        rise = float(np.exp(np.clip(log_rise, low, high)))
        poles = Kernel.of_rise(decay, rise).poles(dt)
        prior = factor * share, size
        return marginal_likelihoods(model.flat, starts, is_free, *poles, found.noise, *prior)

    def deviance(log_rise: float) -> float:
        return -2 * float(parts(log_rise, np.log(tau)).sum())

    best = _least(deviance, float(np.clip(np.log(found.kernel.rise), low + 0.1, high - 0.1)))
    if not low + 0.05 < best < high - 0.05:
        return None
    unit = _STEP
    middle, ahead, behind = (parts(best + u, np.log(tau)) for u in (0.0, unit, -unit))
    curvature = float((2 * middle - ahead - behind).sum()) / unit**2
    if not curvature > 0:
        return None
    scores = (ahead - behind) / (2 * unit)
    # By how much the scores vary more than those of a true model would.
    widen = max(float(scores @ scores) / curvature, 1.0)

    def moved(log_tau: float, factor: float) -> float:
        """How far the best rise moves when something else does."""
        gained = parts(best + unit, log_tau, factor) - parts(best - unit, log_tau, factor)
        return (float(gained.sum()) / (2 * unit) - float(scores.sum())) / curvature

    slope = moved(np.log(tau) + unit, 1.0) / unit
    # The factor of the prior of a second event is itself in doubt.
    choice = moved(np.log(tau), _AS_LIKELY)
    level = model.settings.confidence_level
    sd = float(np.sqrt(widen / curvature))
    bounds = profile_interval(
        lambda v: deviance(v) / widen, best, step=sd, lower=low, upper=high,
        confidence_level=level,
    )  # fmt: skip
    reach = normal_quantile(level) * float(np.hypot(slope * log_sd_tau, choice))
    covariance = np.array([[1.0, slope], [slope, slope**2]]) * log_sd_tau**2
    covariance[1, 1] += sd**2 + choice**2
    kernel = Kernel.of_rise(tau, float(np.exp(best)))
    return RiseEstimate(
        kernel,
        (
            float(np.exp(best - np.hypot(best - bounds[0], reach))),
            float(np.exp(best + np.hypot(bounds[1] - best, reach))),
        ),
        _by_slopes(lambda k: k.time_to_peak, kernel, covariance, level),
        _by_slopes(lambda k: k.half_rise, kernel, covariance, level),
        covariance,
    )


def _least(f: Callable[[float], float], x: float) -> float:
    """Where a smooth function of a logarithm is least, near x."""
    found = minimize_scalar(f, bracket=(x - 0.05, x + 0.05), tol=_PRECISION)
    return float(found.x)


def _by_slopes(
    of: Callable[[Kernel], float], kernel: Kernel, covariance: Array, confidence_level: float
) -> tuple[float, float]:
    """Interval of a time of a kernel from the covariance of its logarithms, in its own."""
    value, slopes = of(kernel), []
    for decay, rise in ((DIFFERENCE, 0.0), (0.0, DIFFERENCE)):
        ahead, behind = (
            of(Kernel.of_rise(kernel.tau * float(np.exp(s * decay)),
                              kernel.rise * float(np.exp(s * rise))))
            for s in (1, -1)
        )  # fmt: skip
        slopes.append(np.log(ahead / behind) / (2 * DIFFERENCE))
    slope = np.array(slopes)
    log_sd = float(np.sqrt(slope @ covariance @ slope))
    low, high = delta_interval(value, value * log_sd, confidence_level, log=True)
    return float(low), float(high)
