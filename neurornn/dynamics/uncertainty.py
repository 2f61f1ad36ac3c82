"""How well time constants of fixed points are known: carried over from the weights of a fit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_confidence_level, check_count
from neurornn._core.confidence import draws_interval, to_dataset
from neurornn._core.errors import KindError, ShapeError
from neurornn._core.rng import RNG
from neurornn.dynamics.latent import in_few_numbers
from neurornn.dynamics.maps import as_map
from neurornn.dynamics.point_table import FixedPoints
from neurornn.training.draws import weight_draws

Array = NDArray[np.float64]

#: Share of draws in which a point may be gone before its interval is left out.
GONE = 0.02
_HOW = "quantiles over networks drawn around the fit"
_LOST = "the point is gone in some networks that the data cannot tell from this one"


def point_intervals(
    points: FixedPoints,
    result: Any,
    data: Any,
    *,
    n_draws: int = 200,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> FixedPoints:
    """Put intervals on the time constants of fixed points: the data do not settle the weights.

    Parameters
    ----------
    points : what `find_fixed_points` has found of the result.
    result : FitResult.
    data : what it was fitted to, as for `nr.fit`.
    n_draws : networks that are drawn around the fit.
    confidence_level : of the intervals.
    rng : int, Generator or None.

    Returns
    -------
    FixedPoints
        The same points; ``time_constant`` and ``frequency`` with intervals, and beside them ``kept
        (point)``, the share of networks in which a point is still there. Where that is below 98 %
        its intervals are missing. A mode that may grow or decay reaches to infinity.

    Raises
    ------
    KindError, ShapeError, DataError
        No FitResult, points of another model, more weights than the information is formed for.

    Notes
    -----
    Networks are drawn by `nr.training.weight_draws`; in each, Newton steps start from the points.
    Modes are compared by their rank: where two have nearly one time constant, intervals are those
    of the faster and of the slower, whichever they are. What another start of the training would
    have found is not part of it.
    """
    level = check_confidence_level(confidence_level)
    n_draws = check_count(n_draws, "n_draws", 20)
    if not hasattr(result, "provenance") or not hasattr(result, "model"):
        raise KindError(
            f"result is a {type(result).__name__}",
            "A FitResult was needed, whose weights the data have settled more or less",
            "Pass what nr.fit returned",
        )
    table, settings = points.parameters, dict(points.settings)
    inputs = np.asarray(settings["inputs"], dtype=float)
    states = table["state"].values
    own = as_map(result, inputs if inputs.size else None)
    moved = own.cell.step(states) - states if states.shape[1] == own.cell.n_state else np.inf
    if np.max(np.abs(moved), initial=0.0) > 1e-6:
        raise ShapeError(
            f"points of {states.shape[1]} numbers are no fixed points of the result",
            "Points of the same fit were needed",
            "Pass find_fixed_points(result, inputs)",
        )
    n_points, n_modes = table["time_constant"].shape
    rate = np.full((n_draws, n_points, n_modes), np.nan)
    turning = np.full((n_draws, n_points, n_modes), np.nan)
    reach = _half_way(states)
    for k, model in enumerate(weight_draws(result, data, n_draws, rng=rng)):
        whole = as_map(model, inputs if inputs.size else None).cell
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
    known = kept >= 1 - GONE
    ci = {"time_constant": np.full((n_points, n_modes, 2), np.nan),
          "frequency": np.full((n_points, n_modes, 2), np.nan)}  # fmt: skip
    for p in np.flatnonzero(known):
        here = np.isfinite(turning[:, p, 0])
        ci["time_constant"][p] = _as_times(draws_interval(rate[here, p], level))
        ci["frequency"][p] = draws_interval(turning[here, p], level)
    reason = "" if known.all() else _LOST
    made = to_dataset(
        [
            q.of(table[q.name].values, ci[q.name], units=table[q.name].attrs["units"],
                 method=f"{q.method}; {_HOW}", reason=reason)
            for q in FixedPoints._quantities
        ],
        confidence_level=level,
        coords={d: table[d].values for d in ("point", "mode", "hidden")},
        status=table["status"].values,
        status_dims=("point",),
    )  # fmt: skip
    rest = {n: v for n, v in table.data_vars.items() if n not in made}
    made = made.assign(rest).assign(
        kept=("point", kept, {"units": "1", "long_name": "share of drawn networks that have it"})
    )
    told = f"{n_draws} networks drawn around the fit"
    return FixedPoints(made, {**settings, "intervals": told, "no_intervals": reason})


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


def _as_times(rates: Array) -> Array:
    """Intervals of rates (..., 2) as intervals of time constants; to infinity past a rate of 0."""
    low, high = rates[..., 0], rates[..., 1]
    with np.errstate(divide="ignore"):
        first, last = -1 / low, -1 / high
    both = (low < 0) & (high >= 0)
    return np.stack([first, np.where(both, np.inf, last)], axis=-1)
