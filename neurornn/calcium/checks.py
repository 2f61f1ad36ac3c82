"""What a fit of kinetics leaves over: residual checks, and the published ranges."""

from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from neurornn._core.confidence import CI_BOUND, normal_quantile
from neurornn.calcium.fitted import FittedKinetics
from neurornn.calcium.fitted_traces import (
    Array,
    FittedTrace,
    FittedTraces,
    around,
    offsets_of,
    poles,
    stretches,
    weighted,
)
from neurornn.calcium.indicators import indicator

_MAX_ACF_LAGS = 100
_MAX_WINDOWS = 40
_FEWEST_IN_WINDOW = 30
_N_QUANTILES = 199
_N_FITTED_BINS = 12
_FEWEST_IN_BIN = 10

#: What each residual check looks for, and what to do where it fails.
CHECKS = {
    "steadiness": (
        "the sd of the residual over time",
        "The noise changes over time: leave out moving or bleached stretches.",
    ),
    "normality": (
        "the distribution of the residual",
        "The noise is not normal: look for artefacts, photon noise or clipping.",
    ),
    "autocorrelation": (
        "the autocorrelation of the residual",
        "The residual is not white: the noise is filtered, or a drift is left; "
        "try a smaller knot_spacing, and do not smooth the traces before.",
    ),
    "around_events": (
        "the mean residual around events",
        "The kernel does not have the shape of the events: look for a second decay or a rise.",
    ),
    "curvature": (
        "the residual against the fitted calcium",
        "Large events do not have the shape of small ones: the indicator may saturate.",
    ),
}


def residual_table(kinetics: FittedKinetics, trace: Any, unit: Any = None) -> xr.Dataset:
    """Check what the fit of one cell leaves over: steady, normal, white, without structure.

    Parameters
    ----------
    kinetics : fitted `Kinetics`.
    trace : DataArray or array (time, unit)
        What was passed to ``fit``.
    unit : label of the unit; by default the first.

    Returns
    -------
    Dataset
        Residuals in units of the cell's ``noise_sd``: ``residual (time)``;
        ``running_mean`` and ``running_sd (window)`` with ``window_time`` (s);
        ``quantile (probability)`` beside ``normal_quantile`` with its interval;
        ``autocorrelation (delay)`` with ``white_limit``;
        ``event_residual (lag)`` around events; ``fitted_residual (bin)`` against
        ``fitted_value`` (unit of the trace). Each ``_ci`` is pointwise. Over ``check``:
        ``value``, ``limit``, ``passed`` and ``remedy``.

    Notes
    -----
    ``value`` is the largest deviation that a check sees and ``limit`` the one that white normal
    noise around a true model exceeds in 5 % of cells: with Sidak's correction over windows,
    delays and lags, Lilliefors' limit for the distribution, and the score
    test of the square of the fitted calcium. A long recording shows misfits too small to matter:
    look at the size of a deviation, not only at ``passed``.

    References
    ----------
    Lilliefors 1967, JASA 62:399, doi:10.2307/2283970.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_calcium(1, 120.0, 30.0, tau_decay=0.5, snr=10, rng=0)
    >>> kin = nr.calcium.Kinetics().fit(rec["dff"])
    >>> table = nr.calcium.residual_table(kin, rec["dff"])
    >>> bool(table["passed"].sel(check="autocorrelation"))
    True
    """
    return residuals_of(
        FittedTraces(kinetics, trace).of(unit), confidence_level=float(kinetics.confidence_level)
    )


def residuals_of(one: FittedTrace, *, confidence_level: float) -> xr.Dataset:
    """Check the residual of one trace; see `residual_table`."""
    z = one.residual / float(one.row["noise_sd"])
    found: dict[str, tuple[float, float]] = {}
    parts = [
        _over_time(one, z, found),
        _quantiles(z, confidence_level, found),
        _autocorrelation(one, z, confidence_level, found),
        _around_events(one, z, confidence_level, found),
        _against_fitted(one, z, confidence_level, found),
    ]
    table = xr.merge(parts, combine_attrs="drop", join="exact", compat="equals")
    value, limit = np.array([found[c] for c in CHECKS]).T
    passed = ~(value > limit)
    table["value"] = ("check", value, {"units": "1", "long_name": "largest deviation"})
    table["limit"] = (
        "check",
        limit,
        {"units": "1", "long_name": "exceeded by 5 % of cells with white noise, true kernel"},
    )
    table["passed"] = ("check", passed)
    table["remedy"] = (
        "check",
        [("" if ok else CHECKS[c][1]) for c, ok in zip(CHECKS, passed, strict=True)],
    )
    for name in table.data_vars:
        if str(name).endswith("_ci"):
            table[name].attrs.update(ci_kind="confidence", ci_prob=confidence_level)
    return table.assign_coords({"check": list(CHECKS), CI_BOUND: ["lower", "upper"]}).assign_attrs(
        unit=str(one.label),
        noise_sd=float(one.row["noise_sd"]),
        noise_units=one.units,
        status=str(one.row["status"].item()),
    )


def published_ranges(name: str) -> dict[str, list[tuple[float, float]]]:
    """Published decay constants of an indicator by kind, as ranges to draw.

    Parameters
    ----------
    name : of the indicator, for example ``"GCaMP6f"``.

    Returns
    -------
    dict
        For each kind that is published (sensor, in vivo kernel, pipeline default) the ranges of
        tau_decay (s); a single number is a range of no width. ``plot.timescales`` takes it as
        ``expected``.

    Examples
    --------
    >>> published_ranges("jGCaMP8m")["in vivo kernel"]
    [(0.28, 0.42)]
    """
    ranges: dict[str, list[tuple[float, float]]] = {}
    for constant in indicator(name).constants:
        bounds = constant.tau_bounds()
        if bounds is not None:
            ranges.setdefault(constant.kind.replace("_", " "), []).append(bounds)
    return ranges


def _sidak(n: int, dof: float = np.inf) -> float:
    """Limit that the largest of n independent |t| exceeds in 5 % of cases."""
    return float(stats.t.isf(0.5 * (1 - 0.95 ** (1 / max(n, 1))), dof))


def _over_time(one: FittedTrace, z: Array, found: dict[str, tuple[float, float]]) -> xr.Dataset:
    seen = np.flatnonzero(~np.isnan(z))
    n_windows = int(np.clip(len(seen) // _FEWEST_IN_WINDOW, 1, _MAX_WINDOWS))
    windows = np.array_split(seen, n_windows)
    mean = np.array([z[w].mean() for w in windows])
    sd = np.array([z[w].std() for w in windows])
    length = np.array([len(w) for w in windows])
    typical = float(np.std(z[seen])) or 1.0
    # The sd of n normal values has a relative error of 1 / sqrt(2 n).
    strays = np.abs(sd / typical - 1) * np.sqrt(2 * length)
    found["steadiness"] = float(strays.max()), _sidak(n_windows)
    return xr.Dataset(
        {
            "residual": ("time", z, {"units": "1", "long_name": "residual over noise_sd"}),
            "running_mean": ("window", mean, {"units": "1"}),
            "running_sd": ("window", sd, {"units": "1"}),
            "n_frames": ("window", length, {"units": "1"}),
        },
        coords={
            "time": ("time", one.time, {"units": "s"}),
            "window_time": ("window", [one.time[w].mean() for w in windows], {"units": "s"}),
        },
    )


def _quantiles(
    z: Array, confidence_level: float, found: dict[str, tuple[float, float]]
) -> xr.Dataset:
    seen = np.sort(z[~np.isnan(z)])
    n = len(seen)
    rank = np.unique(np.round(np.linspace(1, n, min(_N_QUANTILES, n))).astype(int))
    # The extremes tell most about tails: every one of the outermost ten.
    outer = np.arange(min(10, n))
    rank = np.unique(np.concatenate([rank, 1 + outer, n - outer]))
    tail = (1 - confidence_level) / 2
    middle, low, high = (
        stats.norm.ppf(stats.beta.ppf(q, rank, n + 1 - rank)) for q in (0.5, tail, 1 - tail)
    )
    centred = (seen - seen.mean()) / (seen.std() or 1.0)
    distance = float(stats.kstest(centred, "norm").statistic)
    found["normality"] = distance, 0.895 / (np.sqrt(n) - 0.01 + 0.85 / np.sqrt(n))
    return xr.Dataset(
        {
            "quantile": ("probability", seen[rank - 1], {"units": "1"}),
            "normal_quantile": ("probability", middle, {"units": "1"}),
            "normal_quantile_ci": (("probability", CI_BOUND), np.stack([low, high], -1)),
        },
        coords={"probability": (rank - 0.5) / n},
    )


def _autocorrelation(
    one: FittedTrace, z: Array, confidence_level: float, found: dict[str, tuple[float, float]]
) -> xr.Dataset:
    tau = one.constants[0]
    wanted = 3 * tau / one.dt if np.isfinite(tau) else 20
    longest = int(np.max(one.blocks[:, 1] - one.blocks[:, 0]))
    n_lags = int(np.clip(wanted, 10, _MAX_ACF_LAGS))
    n_lags = max(1, min(n_lags, longest // 4))
    centred = z - np.nanmean(z)
    sums, counts = np.zeros(n_lags), np.zeros(n_lags)
    for begin, end in one.blocks:
        part = centred[begin:end]
        known = ~np.isnan(part)
        x = np.where(known, part, 0.0)
        for k in range(1, min(n_lags, len(x) - 1) + 1):
            sums[k - 1] += x[k:] @ x[:-k]
            counts[k - 1] += np.count_nonzero(known[k:] & known[:-k])
    counts = np.maximum(counts, 1)
    # Sizes fitted to noise leave a residual that is a little anticorrelated: give that back.
    r = (sums + _taken_up(one, z, n_lags)) / counts / (float(np.nanvar(z)) or 1.0)
    found["autocorrelation"] = float(np.max(np.abs(r) * np.sqrt(counts))), _sidak(n_lags)
    return xr.Dataset(
        {
            "autocorrelation": (
                "delay",
                r,
                {"units": "1", "long_name": "autocorrelation, less that of the fitted sizes"},
            ),
            "white_limit": (
                "delay",
                normal_quantile(confidence_level) / np.sqrt(counts),
                {"units": "1", "long_name": "pointwise limit of white noise"},
            ),
        },
        coords={"delay": ("delay", one.dt * (1 + np.arange(n_lags)), {"units": "s"})},
    )


def _around_events(
    one: FittedTrace, z: Array, confidence_level: float, found: dict[str, tuple[float, float]]
) -> xr.Dataset:
    offsets = offsets_of(one, None, None)
    rows, _, seen, delays = around(one, offsets, z)
    rows = np.where(seen, rows, np.nan)
    mean, ci, n = weighted(rows, np.ones(len(rows)), confidence_level)
    usable = n >= 5
    # Residuals in units of noise_sd: the mean of n of them strays by 1 / sqrt(n).
    strays = np.abs(mean[usable]) * np.sqrt(n[usable])
    found["around_events"] = (
        (float(strays.max()), _sidak(len(strays))) if len(strays) else (np.nan, np.nan)
    )
    lag = offsets * one.dt + (float(np.mean(delays)) if len(delays) else one.dt / 2)
    return xr.Dataset(
        {
            "event_residual": ("lag", mean, {"units": "1"}),
            "event_residual_ci": (("lag", CI_BOUND), ci, {"units": "1"}),
            "n_events": ("lag", n, {"units": "1"}),
        },
        coords={"lag": ("lag", lag, {"units": "s", "long_name": "time since the event"})},
    )


def _against_fitted(
    one: FittedTrace, z: Array, confidence_level: float, found: dict[str, tuple[float, float]]
) -> xr.Dataset:
    known = ~np.isnan(z)
    x, r = one.calcium[known], z[known]
    top = float(np.quantile(x, 0.995)) if len(x) else 0.0
    edges = np.linspace(min(float(x.min()), 0.0), max(top, 1e-12), _N_FITTED_BINS + 1)
    where = np.digitize(x, edges[1:-1])
    middle, mean, ci = [], [], []
    q = normal_quantile(confidence_level)
    for k in range(_N_FITTED_BINS):
        inside = where == k
        n = int(inside.sum())
        if n < _FEWEST_IN_BIN:
            continue
        middle.append(x[inside].mean())
        mean.append(r[inside].mean())
        half = q * r[inside].std(ddof=1) / np.sqrt(n)
        ci.append((mean[-1] - half, mean[-1] + half))
    found["curvature"] = _curvature(one, z)
    return xr.Dataset(
        {
            "fitted_value": ("bin", np.array(middle), {"units": one.units}),
            "fitted_residual": ("bin", np.array(mean), {"units": "1"}),
            "fitted_residual_ci": (
                ("bin", CI_BOUND),
                np.array(ci).reshape(-1, 2),
                {"units": "1"},
            ),
        }
    )


def _curvature(one: FittedTrace, z: Array) -> tuple[float, float]:
    """|z| of the square of the fitted calcium in the residual (score test), and its limit."""
    known = ~np.isnan(z)
    square = np.where(known, one.calcium**2, 0.0)
    n_poles = len(poles(one))
    slopes = np.zeros((n_poles + 1, len(z)))
    slopes[-1] = known
    # What sizes, time constants and the level can follow of it leaves no trace in the residual.
    for begin, powers, basis in stretches(one, known):
        inside = slice(begin, begin + len(basis))
        sizes = np.linalg.lstsq(powers, np.where(known, one.calcium, 0.0)[inside], rcond=None)[0]
        slopes[:-1, inside] = (np.arange(len(basis))[:, None] * powers * sizes).T
        square[inside] -= basis @ (basis.T @ square[inside])
        slopes[:, inside] -= (slopes[:, inside] @ basis) @ basis.T
    square -= np.linalg.lstsq(slopes.T, square, rcond=None)[0] @ slopes
    norm = float(np.sqrt(square @ square))
    if norm <= 1e-9 * float(np.sum(one.calcium**2)) ** 0.5:
        return np.nan, np.nan
    return abs(float(square[known] @ z[known])) / norm, _sidak(1)


def _taken_up(one: FittedTrace, z: Array, n_lags: int) -> Array:
    """Expected sum of products at each lag that the fitted sizes took from white noise."""
    taken = np.zeros(n_lags)
    for _, _, basis in stretches(one, ~np.isnan(z)):
        n = min(n_lags, len(basis) - 1)
        for k in range(1, n + 1):
            taken[k - 1] += np.sum(basis[k:] * basis[:-k])
    return taken
