"""Intervals: profile, delta, bootstrap, conformal; and one way to carry them with a value.

A result is an `xarray.Dataset`: each ``name`` stands beside ``name_ci`` with the extra dimension
``ci_bound = [lower, upper]``. A missing interval is NaN, with the reason in the attrs.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn._core.status import status_variable
from neurornn._core.units import check_unit

CI_BOUND = "ci_bound"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with its interval, unit and origin.

    Parameters
    ----------
    name : its name in the table.
    value : array over `dims`.
    ci : array over `dims` plus two bounds; None where there is no interval.
    units : symbol, for example ``"s"``.
    long_name : what it is, for people.
    method : how value and interval were obtained.
    dims : names of the axes of `value`.
    reason : why the interval is missing, where it is.
    attrs : more of them.
    of_data : the unit is that of a user's data, whatever it is.

    Raises
    ------
    UnitError
        A unit that is none of the package's symbols, nor made of them.
    """

    name: str
    value: ArrayLike
    units: str
    long_name: str
    method: str
    ci: ArrayLike | None = None
    dims: tuple[str, ...] = ()
    reason: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    of_data: bool = False

    def __post_init__(self) -> None:
        if not self.of_data:
            check_unit(self.units, self.name)


def to_dataset(
    estimates: Sequence[Estimate],
    *,
    confidence_level: float,
    coords: Mapping[Hashable, Any] | None = None,
    status: ArrayLike | None = None,
    status_dims: tuple[str, ...] = (),
    remedies: Mapping[str, str] | None = None,
    covariance: NDArray[np.float64] | None = None,
    covariance_names: Sequence[str] = (),
    covariance_dims: tuple[str, ...] = (),
) -> xr.Dataset:
    r"""Put estimates into the one table form that every result has.

    Parameters
    ----------
    estimates : the values, in the order of the columns.
    confidence_level : of the intervals, for example 0.95.
    coords : coordinates of the dims, for example the labels of the units.
    status : code per entry of `status_dims`; what to do stands in the attrs of the variable.
    remedies : code -> what to do, for codes that a room has of its own.
    covariance : (\*covariance_dims, parameter, parameter_)
        Kept beside the intervals, over `covariance_names`.
    """
    variables: dict[str, Any] = {}
    for e in estimates:
        value = np.asarray(e.value)
        common = {"units": e.units, "long_name": e.long_name, "method": e.method}
        variables[e.name] = (e.dims, value, {**common, **e.attrs})
        missing = e.ci is None
        bounds = np.full((*value.shape, 2), np.nan) if missing else np.asarray(e.ci, dtype=float)
        reason = e.reason or ("no interval is formed for this quantity" if missing else "")
        variables[f"{e.name}_ci"] = (
            (*e.dims, CI_BOUND),
            bounds,
            {
                **common,
                "long_name": f"interval of {e.long_name}",
                "ci_kind": "confidence",
                "ci_prob": float(confidence_level),
                "reason": reason,
            },
        )
    given: dict[Hashable, Any] = {**(coords or {}), CI_BOUND: ["lower", "upper"]}
    if status is not None:
        variables["status"] = status_variable(status_dims, status, remedies)
    if covariance is not None:
        variables["covariance"] = (
            (*covariance_dims, "parameter", "parameter_"),
            covariance,
            {"long_name": "covariance of the parameters named on its axes", "units": "mixed"},
        )
        given |= {"parameter": list(covariance_names), "parameter_": list(covariance_names)}
    # At once: xarray aligns anew for every variable that is added later.
    return xr.Dataset(variables, given)


def normal_quantile(confidence_level: float) -> float:
    """Two-sided quantile of the standard normal, 1.96 for 0.95."""
    if not 0 < confidence_level < 1:
        raise DataError(
            f"confidence_level is {confidence_level}",
            "A number between 0 and 1 was needed",
            "Pass 0.95 for a 95 % interval",
        )
    return float(stats.norm.ppf(0.5 + confidence_level / 2))


def delta_interval(
    value: ArrayLike,
    stderr: ArrayLike,
    confidence_level: float = 0.95,
    *,
    dof: float | None = None,
    log: bool = False,
) -> NDArray[np.float64]:
    """Interval from a standard error, optionally formed on the log scale.

    Parameters
    ----------
    value : any shape.
    stderr : same shape, same unit as `value`.
    dof : residual degrees of freedom; Student's t instead of the normal where given.
    log : form it for ``log(value)`` and map back, so that it stays positive and is lopsided.

    Returns
    -------
    array, the shape of `value` plus 2
        Lower and upper bound.
    """
    value = np.asarray(value, dtype=float)
    stderr = np.asarray(stderr, dtype=float)
    q = normal_quantile(confidence_level)
    if dof is not None:
        q = float(stats.t.ppf(0.5 + confidence_level / 2, max(dof, 1)))
    if log:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            half = q * stderr / value
            return np.stack([value * np.exp(-half), value * np.exp(half)], axis=-1)
    return np.stack([value - q * stderr, value + q * stderr], axis=-1)


def profile_interval(
    deviance: Callable[[float], float],
    best: float,
    *,
    step: float,
    lower: float = -np.inf,
    upper: float = np.inf,
    confidence_level: float = 0.95,
) -> tuple[float, float]:
    """Interval where a profile deviance stays below the chi-square threshold.

    Parameters
    ----------
    deviance : callable
        Minus twice the profile log-likelihood, up to a constant, of one parameter.
    best : where it is least.
    step : first step of the search; about one standard error.
    lower, upper : limits of the parameter. A side on which the deviance never rises enough is NaN:
        the data do not bound the parameter there.

    Returns
    -------
    lower bound, upper bound

    References
    ----------
    Venzon & Moolgavkar 1988, Applied Statistics 37:87, doi:10.2307/2347496.
    """
    least = deviance(best)
    root = float(np.sqrt(stats.chi2.ppf(confidence_level, 1)))
    known = {best: -root}

    def excess(x: float) -> float:
        # The root of a deviance is close to a straight line, whose zero takes few steps to find.
        if x not in known:
            known[x] = float(np.sqrt(max(deviance(x) - least, 0.0))) - root
        return known[x]

    bounds = []
    for sign, limit in ((-1.0, lower), (1.0, upper)):
        inner, reach = best, 1.05 * root * step
        found = np.nan
        for _ in range(60):
            outer = min(max(best + sign * reach, lower), upper)
            if excess(outer) > 0:
                a, b = min(inner, outer), max(inner, outer)
                # A thousandth of a standard error is far below anything an interval is read to.
                found = float(optimize.brentq(excess, a, b, xtol=1e-3 * step, rtol=1e-10))
                break
            if outer == limit:
                break
            inner, reach = outer, reach * 1.6
        bounds.append(found)
    return bounds[0], bounds[1]


def bootstrap_interval(
    samples: ArrayLike,
    statistic: Callable[[NDArray[Any]], Any] = np.mean,
    *,
    confidence_level: float = 0.95,
    n_resamples: int = 999,
    rng: RNG = None,
) -> tuple[float, float]:
    """Percentile interval of a statistic of exchangeable samples (blocks, trials, seeds, events).

    Parameters
    ----------
    samples : (sample, ...)
        One row per unit of resampling. Rows must be exchangeable: pass blocks, not frames.
    statistic : array of rows -> number.

    Returns
    -------
    lower, upper : NaN where there are fewer than 3 samples.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    rows = np.asarray(samples)
    if len(rows) < 3:
        return float("nan"), float("nan")
    rng = generator(rng)
    picks = rng.integers(len(rows), size=(n_resamples, len(rows)))
    draws = np.array([float(statistic(rows[p])) for p in picks])
    tail = (1 - confidence_level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def draws_interval(draws: ArrayLike, confidence_level: float = 0.95) -> NDArray[np.float64]:
    """Interval of what was drawn, between two of its quantiles.

    Parameters
    ----------
    draws : (draw, ...).
    confidence_level : for example 0.95.

    Returns
    -------
    (..., 2), NaN where a draw is.
    """
    tail = (1 - confidence_level) / 2
    found = np.quantile(np.asarray(draws, dtype=float), [tail, 1 - tail], axis=0)
    return np.moveaxis(found, 0, -1)


def median_interval(samples: ArrayLike, confidence_level: float = 0.95) -> tuple[float, float]:
    """Interval of the median of independent samples of any distribution, from their order.

    Parameters
    ----------
    samples : (sample,)

    Returns
    -------
    lower, upper : NaN where even the extremes do not reach the level (fewer than 6 samples at
        0.95).

    Notes
    -----
    The number of samples below the median is binomial with probability 1/2.

    References
    ----------
    Conover 1999, Practical Nonparametric Statistics, chapter 3.2.
    """
    ordered = np.sort(np.asarray(samples, dtype=float))
    n = len(ordered)
    below = int(stats.binom.ppf((1 - confidence_level) / 2, n, 0.5)) if n else 0
    if below < 1:
        return float("nan"), float("nan")
    return float(ordered[below - 1]), float(ordered[n - below])


def binomial_interval(
    n_success: int, n_trials: int, confidence_level: float = 0.95
) -> tuple[float, float]:
    """Wilson interval of a fraction, for example of a coverage."""
    if n_trials == 0:
        return float("nan"), float("nan")
    test = stats.binomtest(int(n_success), int(n_trials))
    low, high = test.proportion_ci(confidence_level, method="wilson")
    return float(low), float(high)


def scale_interval(
    sd: ArrayLike, dof: ArrayLike, confidence_level: float = 0.95
) -> NDArray[np.float64]:
    """Interval of a noise standard deviation from its residual degrees of freedom.

    Parameters
    ----------
    sd : any shape, the root of the residual mean square.
    dof : degrees of freedom of that mean square, same shape.

    Returns
    -------
    array, the shape of `sd` plus 2
    """
    sd, dof = np.asarray(sd, dtype=float), np.asarray(dof, dtype=float)
    tail = (1 - confidence_level) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        low = sd * np.sqrt(dof / stats.chi2.ppf(1 - tail, dof))
        high = sd * np.sqrt(dof / stats.chi2.ppf(tail, dof))
    return np.stack([low, high], axis=-1)


def rate_interval(
    n_events: ArrayLike, exposure: ArrayLike, confidence_level: float = 0.95
) -> NDArray[np.float64]:
    """Exact Poisson interval of a rate (Garwood 1936, Biometrika 28:437).

    Parameters
    ----------
    n_events : counts, any shape; NaN where it is not known, and then there is no interval.
    exposure : s, same shape.

    Returns
    -------
    array, the shape of `n_events` plus 2, Hz
    """
    n, seconds = np.asarray(n_events, dtype=float), np.asarray(exposure, dtype=float)
    tail = (1 - confidence_level) / 2
    low = np.where(n != 0, stats.chi2.ppf(tail, 2 * np.maximum(n, 1)) / 2, 0.0)
    high = stats.chi2.ppf(1 - tail, 2 * n + 2) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([low / seconds, high / seconds], axis=-1)


@dataclass(frozen=True, kw_only=True)
class RandomEffects:
    """Estimates of one quantity whose true value differs from group to group.

    Attributes
    ----------
    mean : of the true values.
    ci : of the mean.
    between_sd : sd of the true values.
    between_sd_ci : of that sd.
    shrunk : (group,), every true value given all estimates.
    shrunk_sd : (group,), its standard error.
    """

    mean: float
    ci: tuple[float, float]
    between_sd: float
    between_sd_ci: tuple[float, float]
    shrunk: NDArray[np.float64]
    shrunk_sd: NDArray[np.float64]


def random_effects(
    values: ArrayLike, variances: ArrayLike, confidence_level: float = 0.95
) -> RandomEffects:
    """Pool estimates that differ by more than their errors.

    Parameters
    ----------
    values : (group,), estimates on a scale on which their errors are about normal.
    variances : (group,), of their errors.
    confidence_level : of the intervals.

    Returns
    -------
    RandomEffects
        With one estimate the between-group sd and the interval of the mean are NaN.

    Notes
    -----
    ``x_i = m + u_i + e_i`` with ``u_i`` of variance ``b2`` between the groups. ``b2`` solves
    ``Q(b2) = n - 1`` (Paule & Mandel 1982, doi:10.6028/jres.087.022), its interval comes from the
    chi-square law of Q (Viechtbauer 2007, doi:10.1002/sim.2514); the interval of the mean is that
    of Hartung and Knapp (2001, doi:10.1002/sim.1009), never narrower than with known variances.
    Shrunk values are the empirical Bayes estimates of Morris (1983,
    doi:10.1080/01621459.1983.10477920), their variance with his allowance for an estimated `b2`.
    """
    normal_quantile(confidence_level)  # Refuses what is no probability.
    x, v = np.asarray(values, dtype=float), np.asarray(variances, dtype=float)
    n = len(x)
    if n < 2:
        nan = (float("nan"), float("nan"))
        mean = float(x[0]) if n else float("nan")
        return RandomEffects(
            mean=mean, ci=nan, between_sd=float("nan"), between_sd_ci=nan, shrunk=x.copy(),
            shrunk_sd=np.sqrt(v),
        )  # fmt: skip

    def spread(b2: float) -> float:
        w = 1 / (v + b2)
        m = (w @ x) / w.sum()
        return float(w @ (x - m) ** 2)

    def solve(target: float) -> float:
        if spread(0.0) <= target:
            return 0.0
        top = float(np.var(x, ddof=1)) + float(v.max())
        while spread(top) > target:
            top *= 4
        return float(optimize.brentq(lambda b: spread(b) - target, 0.0, top))

    tail = (1 - confidence_level) / 2
    b2 = solve(n - 1)
    low, high = (solve(float(stats.chi2.ppf(q, n - 1))) for q in (1 - tail, tail))
    w = 1 / (v + b2)
    mean = float(w @ x / w.sum())
    scale = max(float(w @ (x - mean) ** 2) / (n - 1), 1.0)
    variance = scale / float(w.sum())
    reach = float(stats.t.ppf(1 - tail, n - 1)) * np.sqrt(variance)
    keep = b2 / (b2 + v)
    shrunk = keep * x + (1 - keep) * mean
    # How well the spread is known matters to a group as far as it is as precise as the others.
    usual = float((w @ v) / w.sum()) + b2
    doubt = 2 / max(n - 3, 1) * (1 - keep) ** 2 * usual * w * (x - mean) ** 2
    return RandomEffects(
        mean=mean,
        ci=(mean - reach, mean + reach),
        between_sd=float(np.sqrt(b2)),
        between_sd_ci=(float(np.sqrt(low)), float(np.sqrt(high))),
        shrunk=shrunk,
        shrunk_sd=np.sqrt(keep * v + (1 - keep) ** 2 * variance + doubt),
    )


def conformal_halfwidth(residuals: ArrayLike, confidence_level: float = 0.9) -> float:
    """Half-width that covers a new value with the stated probability, whatever the noise.

    Parameters
    ----------
    residuals : (sample,)
        Absolute or signed errors on data that were not used for the fit.

    Returns
    -------
    half-width : same unit as the residuals; infinite where there are too few of them.

    References
    ----------
    Lei et al. 2018, JASA 113:1094, doi:10.1080/01621459.2017.1307116 (split conformal).
    """
    scores = np.sort(np.abs(np.asarray(residuals, dtype=float).ravel()))
    rank = int(np.ceil((len(scores) + 1) * confidence_level))
    return float(scores[rank - 1]) if rank <= len(scores) else float("inf")


def growing_halfwidth(
    residuals: ArrayLike, size: ArrayLike, confidence_level: float = 0.9
) -> tuple[float, float]:
    """Half-width that grows with the size of what is predicted, and covers as stated.

    Parameters
    ----------
    residuals : (sample,), errors on data that were not used for the fit.
    size : (sample,), 0 or more, on which the errors may depend.

    Returns
    -------
    growth, half-width
        The interval of a new value is its prediction give or take
        ``half-width * (1 + growth * size)``; infinite where there are too few residuals.

    Notes
    -----
    Conformal scores are ``|residual| / (1 + growth * size)``, with the growth from a least-squares
    line of the absolute residuals on the size, not below 0: two numbers from the same residuals,
    which thousands of them do not notice.

    References
    ----------
    Lei et al. 2018, JASA 113:1094, doi:10.1080/01621459.2017.1307116, section 5.2 (locally
    weighted split conformal).
    """
    away, at = np.abs(np.asarray(residuals, dtype=float)), np.asarray(size, dtype=float)
    growth = 0.0
    if len(away) > 2 and np.ptp(at) > 0:
        slope, level = np.polyfit(at, away, 1)
        # A line that starts at 0 or below would leave no width where the size is 0.
        growth = float(max(slope, 0.0) / max(level, 0.1 * float(away.mean()), 1e-300))
    return growth, conformal_halfwidth(away / (1 + growth * at), confidence_level)
