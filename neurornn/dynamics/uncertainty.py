"""How well time constants of fixed points are known: carried over from the weights of a fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_confidence_level, check_count, check_rng
from neurornn._core.confidence import delta_interval, draws_interval, to_dataset
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn.dynamics.latent import in_few_numbers
from neurornn.dynamics.maps import as_map
from neurornn.dynamics.over_seeds import LEAST, fits_again, modes_over_seeds
from neurornn.dynamics.point_table import FixedPoints
from neurornn.training.draws import weight_draws

Array = NDArray[np.float64]

#: Share of draws in which a point may be gone before its interval is left out.
GONE = 0.02
_HOW = "quantiles over networks drawn around the fit"
_LOST = "the point is gone in some networks that the data cannot tell from this one"
_HOW_SEEDS = "prediction interval of another start of the training, from fits of several seeds"
_NO_TWIN = "the point has no counterpart in some seeds"
_UNCLEAR = "another point has the same output, so that seeds cannot be compared"
_FEW = f"fewer than {LEAST} seeds"


def point_intervals(
    points: FixedPoints,
    result: Any,
    data: Any = None,
    *,
    seeds: Any = None,
    n_draws: int = 200,
    confidence_level: float = 0.95,
    rng: RNG = 0,
    n_jobs: int = 1,
) -> FixedPoints:
    """Put intervals on the time constants of fixed points: the data do not settle the weights.

    Parameters
    ----------
    points : what `find_fixed_points` has found of the result.
    result : FitResult.
    data : what it was fitted to, as for `nr.fit`; not asked for where fits come as `seeds`.
    seeds : fits of the same task from other starts, or True
        Intervals then say what another start of the training would find, instead of what the
        data leave open around this one. A list of FitResults, as `nr.training.fit_many` returns
        them, or models; True fits the seeds of ``nr.fit(n_seeds=...)`` again, for it keeps their
        numbers and not their networks.
    n_draws : networks that are drawn around the fit, without `seeds`.
    confidence_level : of the intervals.
    rng : int, Generator or None.
    n_jobs : processes for the fits of ``seeds=True``.

    Returns
    -------
    FixedPoints
        The same points; ``time_constant`` and ``frequency`` with intervals, and beside them ``kept
        (point)``, the share of networks in which a point is still there, and ``no_interval
        (point)``, why it has none. Where the share is below 98 % its intervals are missing. The
        interval of a mode that may grow or decay reaches to infinity.

    Raises
    ------
    KindError, ShapeError, DataError
        No FitResult, points of another model, more weights than the information is formed for;
        fits of another task, seeds that cannot be fitted again.

    Notes
    -----
    Networks are drawn by `nr.training.weight_draws`; in each, Newton steps start from the points.
    Modes are compared by their rank: where two have nearly one time constant, intervals are those
    of the faster and of the slower, whichever they are. What another start of the training would
    have found is not part of it.

    Over `seeds` points are told to be one by what the networks say in them under the same input:
    hidden units of two fits have nothing in common. The result counts as one of the seeds. From n
    rates per second (frequencies likewise) of mean m and standard deviation s the interval is
    ``m +- t s sqrt(1 + 1 / n)``, with Student's t of n - 1 degrees of freedom (Geisser 1993,
    Predictive Inference): with the stated probability the rate of one more seed lies in it, where
    rates are about normal. It is not the uncertainty of the data.
    """
    level = check_confidence_level(confidence_level)
    n_draws = check_count(n_draws, "n_draws", 20)
    if not hasattr(result, "provenance") or not hasattr(result, "model"):
        raise KindError(
            f"result is a {type(result).__name__}",
            "A FitResult was needed, whose weights the data have settled more or less",
            "Pass what nr.fit returned",
        )
    states, inputs = _states_of(points, result)
    if seeds is not None and seeds is not False:
        if seeds is True:
            seeds = fits_again(result, data, check_count(n_jobs, "n_jobs", least=-1_000_000))
        return _over_seeds(points, result, seeds, states, inputs, level, rng)
    if data is None:
        raise DataError(
            "data did not come",
            "What the result was fitted to was needed, to know how well the weights are known",
            "Pass it, or fits from other starts as seeds=",
        )
    table, settings = points.parameters, points.settings
    n_points, n_modes = table["time_constant"].shape
    rate = np.full((n_draws, n_points, n_modes), np.nan)
    turning = np.full((n_draws, n_points, n_modes), np.nan)
    reach = _half_way(states)
    for k, model in enumerate(weight_draws(result, data, n_draws, rng=rng)):
        whole = as_map(model, inputs).cell
        cell = in_few_numbers(whole) or whole
        at, there = _followed(cell, cell.inner(states))
        there &= np.linalg.norm(cell.lift(at) - states, axis=1) < reach
        if not there.any():
            continue
        values = cell.eigenvalues(at[there]).astype(complex)
        order = np.argsort(-np.abs(values), axis=1, kind="stable")
        values = np.take_along_axis(values, order, axis=1)[:, :n_modes]
        with np.errstate(divide="ignore"):
            rate[k, there] = np.log(np.abs(values)) / settings["dt"]
        turning[k, there] = np.abs(np.angle(values)) / (2 * np.pi * settings["dt"])
    kept = np.isfinite(turning[:, :, 0]).mean(axis=0)
    why = np.where(kept < 1 - GONE, _LOST, "")
    return _told(
        points, rate, turning, why, level,
        lambda draws: draws_interval(draws, level),
        how=_HOW, told=f"{n_draws} networks drawn around the fit",
    )  # fmt: skip


def _over_seeds(
    points: FixedPoints,
    result: Any,
    seeds: Any,
    states: Array,
    inputs: Array | None,
    level: float,
    rng: RNG,
) -> FixedPoints:
    """Intervals of what another start of the training would find."""
    table = points.parameters
    found = modes_over_seeds(
        states, table["n_unstable"].values, result, seeds, inputs, table.sizes["mode"],
        generator(check_rng(rng)),
    )  # fmt: skip
    n = len(found.rate)
    kept = np.isfinite(found.turn[:, :, 0]).mean(axis=0)
    why = np.select(
        [np.full(len(kept), n < LEAST), found.unclear, kept < 1 - GONE],
        [_FEW, _UNCLEAR, _NO_TWIN], "",
    )  # fmt: skip

    def interval(values: Array) -> Array:
        with np.errstate(invalid="ignore"):
            sd = values.std(axis=0, ddof=1) * np.sqrt(1 + 1 / len(values))
            return delta_interval(values.mean(axis=0), sd, level, dof=len(values) - 1)

    told = f"{n} fits from other starts"
    if found.n_left_out:
        told += f" ({found.n_left_out} more did not converge and were left out)"
    return _told(
        points, found.rate, found.turn, why, level, interval, how=_HOW_SEEDS, told=told,
        kind="what another start of the training gives, judged by",
    )  # fmt: skip


def _told(
    points: FixedPoints,
    rate: Array,
    turning: Array,
    why: NDArray[np.str_],
    level: float,
    interval: Callable[[Array], Array],
    *,
    how: str,
    told: str,
    kind: str = "quantiles over",
) -> FixedPoints:
    """The table with intervals of rates (network, point, mode) as those of time constants."""
    table = points.parameters
    n_points, n_modes = table["time_constant"].shape
    ci = {"time_constant": np.full((n_points, n_modes, 2), np.nan),
          "frequency": np.full((n_points, n_modes, 2), np.nan)}  # fmt: skip
    for p in np.flatnonzero(why == ""):
        here = np.isfinite(turning[:, p, 0])
        grows = table["time_constant"].values[p] < 0
        ci["time_constant"][p] = _as_times(interval(rate[here, p]), grows)
        ci["frequency"][p] = np.maximum(interval(turning[here, p]), 0.0)
    reason = "; ".join(dict.fromkeys(w for w in why.tolist() if w))
    made = to_dataset(
        [
            q.of(table[q.name].values, ci[q.name], units=table[q.name].attrs["units"],
                 method=f"{q.method}; {how}", reason=reason)
            for q in FixedPoints._quantities
        ],
        confidence_level=level,
        coords={d: table[d].values for d in ("point", "mode", "hidden")},
        status=table["status"].values,
        status_dims=("point",),
    )  # fmt: skip
    rest = {n: v for n, v in table.data_vars.items() if n not in made}
    kept = np.isfinite(turning[:, :, 0]).mean(axis=0)
    made = made.assign(rest).assign(
        kept=("point", kept, {"units": "1", "long_name": "share of the networks that have it"}),
        no_interval=("point", why, {"long_name": "why there is no interval"}),
    )
    beside = {"intervals": told, "intervals_are": kind, "no_intervals": reason}
    return FixedPoints(made, {**points.settings, **beside})


def _states_of(points: FixedPoints, result: Any) -> tuple[Array, Array | None]:
    """States of the points and the input that they belong to, where they are of this result."""
    states = points.parameters["state"].values
    inputs = np.asarray(points.settings["inputs"], dtype=float)
    own = as_map(result, inputs if inputs.size else None)
    moved = own.cell.step(states) - states if states.shape[1] == own.cell.n_state else np.inf
    if np.max(np.abs(moved), initial=0.0) > 1e-6:
        raise ShapeError(
            f"points of {states.shape[1]} numbers are no fixed points of the result",
            "Points of the same fit were needed",
            "Pass find_fixed_points(result, inputs)",
        )
    return states, inputs if inputs.size else None


def _half_way(states: Array) -> Array:
    """Half the distance of each point from the nearest other one."""
    if len(states) < 2:
        return np.full(len(states), np.inf)
    away = np.linalg.norm(states[:, None] - states, axis=2)
    np.fill_diagonal(away, np.inf)
    return np.asarray(away.min(axis=1) / 2)


def _followed(cell: Any, states: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Where Newton steps from states end, and whether they end in fixed points."""
    at = states.copy()
    for _ in range(30):
        _, step = cell.newton(at)
        at = np.where(np.isfinite(step), at + step, at)
    moved = np.linalg.norm(cell.step(at) - at, axis=1)
    return at, moved < 1e-9 * (1 + np.linalg.norm(at, axis=1))


def _as_times(rates: Array, grows: Any = False) -> Array:
    """Intervals of rates (..., 2) as intervals of time constants; to infinity past a rate of 0.

    Where a mode may grow or decay, that is the side on which it is said to be: `grows` or not.
    """
    low, high = rates[..., 0], rates[..., 1]
    with np.errstate(divide="ignore"):
        first, last = -1 / low, -1 / high
    both = (low < 0) & (high >= 0)
    up = both & grows
    return np.stack([np.where(up, -np.inf, first), np.where(both & ~up, np.inf, last)], axis=-1)
