"""One unit of a point process: which rows count, which penalty, what drifts."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import stats

from neurornn._core.errors import DataError
from neurornn._core.status import Status
from neurornn._kernels.point_process import follow
from neurornn.data.splitters import BlockedSplit
from neurornn.spikes.binned import BinnedSpikes
from neurornn.spikes.design import Design, Layout, columns_sd
from neurornn.spikes.exponential_fit import (
    ExponentialFit,
    fit_exponentials,
    shortest_interval,
)
from neurornn.spikes.glm_fit import GLMFit, climb, log_likelihood_at, per_row
from neurornn.spikes.glm_tables import Fitted

Array = NDArray[np.float64]

#: Fewest spikes of which anything is fitted.
FEWEST = 20
#: Fewest bins of a window of forgetting.
FEWEST_KEPT = 100
#: What is left out where it is not seen: recovery, adaptation.
_LEFT_OUT = {
    "no_past": (True, True), "no_recovery": (True, False), "no_adaptation": (False, True)
}  # fmt: skip
#: Level of the likelihood ratio at which a trace is seen though the error of its gain is large.
_SEEN = 0.99
#: Penalties that ``"auto"`` tries, nats.
PENALTIES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
#: Classes of the hazard of rescaled intervals, and spikes that each begins with.
N_CLASSES, _PRIOR = 40, 20.0
#: Precision, of weights in units of their columns, that is added to what is known of each.
_FAINT = 1e-2
#: Nothing more is forgotten once the variance is so many times that of the window.
_LARGEST = 5.0
#: Windows, s, that ``forgetting="auto"`` tries; None for weights that stay.
WINDOWS = (None, 200.0, 60.0, 30.0)


class FitSettings(NamedTuple):
    """Settings of a point process, checked; see `PointProcess`."""

    bin_size: float
    history: float | None
    exponential: bool
    bernoulli: bool
    penalty: float | None
    forgetting: float | str | None
    renewal: bool
    max_rows: int | None
    n_folds: int
    confidence_level: float


def check_in_bins(name: str, seconds: float, fewest: int, bin_size: float) -> None:
    """Refuse a time of fewer bins than that.

    Raises
    ------
    DataError
    """
    if seconds < fewest * bin_size * (1 - 1e-9):
        raise DataError(
            f"{name} is {seconds:g} s, with bins of {bin_size:g} s",
            f"{fewest} bins or more were needed",
            f"Pass a longer {name}, in s, or smaller bins",
        )


class Drift(NamedTuple):
    """Where the filter of drifting weights stands.

    Attributes
    ----------
    weights, covariance : (column,), (column, column); empty where nothing drifts.
    fired, passed : (class,), of the renewal correction; empty where there is none.
    forgetting : s; inf where nothing drifts.
    """

    weights: Array
    covariance: Array
    fired: Array
    passed: Array
    forgetting: float = np.inf


def fit_unit(
    bins: BinnedSpikes,
    position: int,
    layout: Layout,
    shown: Array | None,
    settings: FitSettings,
    shared: dict[str, Array],
    rng: np.random.Generator,
) -> Fitted:
    """Fit one unit.

    Parameters
    ----------
    bins, position : spikes of all units, and which is fitted.
    layout : of its columns.
    shown : (row, feature), the stimulus.
    settings : checked.
    shared : columns of the stimulus, kept from unit to unit.
    rng : for rows that are drawn.
    """
    usable, y = bins.usable(position), bins.counts(position)
    n_spikes = int(y[usable].sum())
    if n_spikes < FEWEST:
        code = Status.NO_DATA if n_spikes == 0 else Status.TOO_FEW_EVENTS
        return Fitted.nothing(layout, str(code), settings.penalty or 0.0)
    if settings.exponential and not np.isfinite(shortest_interval(bins, position)):
        # A spike in each of many trials, and never a second one: nothing is said of a past.
        return Fitted.nothing(layout, str(Status.TOO_FEW_EVENTS), settings.penalty or 0.0)
    rows, drawn = _rows(usable, y, settings.max_rows, rng)
    whole = len(rows) == bins.n_rows
    design = Design(layout, bins, shown, None if whole else rows, shared)
    inverse = 1.0 / columns_sd(design)
    inverse[0] = 0.0
    scale = np.where(inverse > 0, 1.0 / np.where(inverse > 0, inverse, 1.0) ** 2, 0.0)
    penalty = settings.penalty
    if penalty is None:
        penalty = _chosen(layout, bins, shown, rows, y, drawn, scale, settings, shared)
    glm = climb(
        design, y[rows], bernoulli=settings.bernoulli, penalty=penalty * scale, drawn=drawn
    )
    if settings.exponential:
        if not whole:
            design = Design(layout, bins, shown, None, shared)
        options: dict[str, Any] = {
            "history": float(settings.history or 0.0), "penalty": penalty * scale,
            "confidence_level": settings.confidence_level,
        }  # fmt: skip
        past = fit_exponentials(design, bins, position, glm.weights, **options)
        status = _status_of_past(past, layout.n_columns)
        if status in _LEFT_OUT:
            # What is not seen would trade against the dead time, and against what is seen. But
            # where it may be there all the same, the dead time is not known the better for it.
            plain = fit_exponentials(
                design, bins, position, glm.weights, **options, without=_LEFT_OUT[status]
            )
            left = np.array(_LEFT_OUT[status])
            gain = 2 * (past.log_likelihood - plain.log_likelihood)
            # A gain at the time of a spike is far from what is seen after the dead time, and its
            # error large: the likelihood has the last word.
            if gain > stats.chi2.ppf(_SEEN, 2 * left.sum()) and not past.at_bound[left].any():
                status = str(Status.OK)
            else:
                wide, ends = past.dead_time_interval, plain.dead_time_interval
                # What is seen is told as it is beside what may be there; the dead time as it is
                # without, in bounds that hold both. A climb towards what is not there may not end.
                past = plain if status == "no_past" or not past.converged else past
                past = past._replace(
                    dead_time=plain.dead_time,
                    dead_time_interval=(min(wide[0], ends[0]), max(wide[1], ends[1])),
                )
        return _told(layout, glm, past, penalty, settings, status)
    window = settings.forgetting
    if isinstance(window, str):
        window = _chosen_window(layout, bins, shown, rows, y, penalty, scale, settings, shared)
    drift = _learn_drift(design, y[rows], glm, scale, window, settings)
    told = _told(layout, glm, None, penalty, settings, str(Status.OK))
    return told._replace(
        drift_weights=drift.weights, drift_covariance=drift.covariance, fired=drift.fired,
        passed=drift.passed, forgetting=drift.forgetting,
    )  # fmt: skip


def _rows(
    usable: NDArray[np.bool_], y: Array, most: int | None, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Array | None]:
    """Rows that count; and how many each stands for, where some are drawn."""
    rows = np.flatnonzero(usable)
    silent = rows[y[rows] == 0]
    if most is None or len(silent) <= most:
        return rows, None
    # One out of each of so many equal stretches: closer to all than a draw at will.
    edges = np.linspace(0, len(silent), most + 1)
    picks = silent[(edges[:-1] + rng.random(most) * np.diff(edges)).astype(np.int64)]
    picks = np.unique(picks)
    kept = np.sort(np.concatenate([rows[y[rows] > 0], picks]))
    return kept, np.where(y[kept] > 0, 1.0, len(silent) / len(picks))


def _chosen(
    layout: Layout, bins: BinnedSpikes, shown: Array | None, rows: NDArray[np.int64], y: Array,
    drawn: Array | None, scale: Array, settings: FitSettings, shared: dict[str, Array],
) -> float:  # fmt: skip
    """Penalty by the likelihood of blocks of time that are held out."""
    reach = max((len(p.basis) for p in layout.parts), default=1)
    score = np.zeros(len(PENALTIES))
    folds = BlockedSplit(settings.n_folds, purge=reach).split(rows)
    for train, test in folds:
        inside = Design(layout, bins, shown, rows[train], shared)
        outside = Design(layout, bins, shown, rows[test], shared)
        start: Array | None = None
        for k in reversed(range(len(PENALTIES))):
            fit = climb(
                inside, y[rows[train]], bernoulli=settings.bernoulli,
                penalty=PENALTIES[k] * scale + 1e-8, start=start,
                drawn=None if drawn is None else drawn[train],
            )  # fmt: skip
            start = fit.weights
            score[k] += log_likelihood_at(outside, y[rows[test]], fit.weights, settings.bernoulli)
    return PENALTIES[int(np.argmax(score))]


def _told(
    layout: Layout, glm: GLMFit, past: ExponentialFit | None, penalty: float,
    settings: FitSettings, status: str,
) -> Fitted:  # fmt: skip
    weights, covariance, converged = glm.weights, glm.covariance, glm.converged
    if past is not None:
        weights = past.weights.copy()
        weights[0] += np.log(settings.bin_size)
        covariance, converged = past.covariance, past.converged
    if not converged:
        status = str(Status.NOT_CONVERGED)
    return Fitted(layout, weights, covariance, past, status, penalty)


def _status_of_past(past: ExponentialFit, n: int) -> str:
    """Which of the two exponentials the spikes show."""
    sd = np.sqrt(np.maximum(np.diag(past.covariance), 0.0))[[n, n + 2]]
    # Two standard errors, as an interval of 95 % has it.
    seen = (np.abs(past.gains) > 2 * sd) & ~past.at_bound
    if not seen.any():
        return "no_past"
    if not seen[0]:
        return "no_recovery"
    return "no_adaptation" if not seen[1] else str(Status.OK)


def _chosen_window(
    layout: Layout, bins: BinnedSpikes, shown: Array | None, rows: NDArray[np.int64], y: Array,
    penalty: float, scale: Array, settings: FitSettings, shared: dict[str, Array],
) -> float | None:  # fmt: skip
    """Window of the drift: the first half fits, and the second says what was forecast best."""
    half = len(rows) // 2
    inside = Design(layout, bins, shown, rows[:half], shared)
    ahead = Design(layout, bins, shown, rows[half:], shared)
    early, late = y[rows[:half]], y[rows[half:]]
    fit = climb(inside, early, bernoulli=settings.bernoulli, penalty=penalty * scale + 1e-8)
    best, chosen = -np.inf, None
    for window in WINDOWS:
        state = _learn_drift(inside, early, fit, scale, window, settings)
        mean, _ = followed(ahead, late, fit.weights, state, settings)
        level = np.log(np.maximum(mean, 1e-300))
        value = float(per_row(late, level, settings.bernoulli)[0].sum())
        if value > best:
            best, chosen = value, window
    return chosen


def _learn_drift(
    design: Design, y: Array, glm: GLMFit, scale: Array, window: float | None,
    settings: FitSettings,
) -> Drift:  # fmt: skip
    """Run over the data of the fit, and keep what the filter then knows."""
    none = np.empty(0)
    if window is None and not settings.renewal:
        return Drift(none, np.empty((0, 0)), none, none)
    covariance = np.empty((0, 0))
    if window is not None:
        # What a window of that length knows; and what no spike says a word of stays put.
        known = glm.information + np.diag(_FAINT * scale)
        duration = len(y) * settings.bin_size
        covariance = np.asarray(np.linalg.inv(known)) * max(duration / window, 1.0)
    begun = np.full(N_CLASSES if settings.renewal else 0, _PRIOR)
    state = Drift(glm.weights.copy(), covariance, begun, begun, window or np.inf)
    return followed(design, y, glm.weights, state, settings)[1]


def followed(
    design: Design, y: Array, weights: Array, state: Drift, settings: FitSettings,
    seen: NDArray[np.bool_] | None = None,
) -> tuple[Array, Drift]:  # fmt: skip
    """Return the hazard of each row given the rows before it, and where the filter then stands.

    Parameters
    ----------
    design, y : rows and counts.
    weights : (column,), where nothing drifts.
    state : where the filter stands.
    settings : checked.
    seen : (row,), whether the unit was observed; None for always.

    Notes
    -----
    What is learned goes on from run to run; the time since the last spike does not, and begins
    with the first spike of a run.
    """
    mean = np.empty(design.n_rows)
    kind = design.begins.astype(np.int64)
    if seen is not None:
        kind[~seen] = 2
    stretched = -1.0
    drifts = bool(np.isfinite(state.forgetting))
    own = state.weights.copy() if drifts else weights.copy()
    covariance = state.covariance.copy() if drifts else np.zeros((len(own), len(own)))
    fired, passed = state.fired.copy(), state.passed.copy()
    keep = fade = 1.0
    if drifts:
        keep = fade = float(np.exp(-settings.bin_size / state.forgetting))
    largest = _LARGEST * float(np.trace(covariance)) if drifts else 0.0
    for where, x in design.blocks():
        stretched = follow(
            np.ascontiguousarray(x), y[where], kind[where], own, covariance, keep, largest,
            settings.bernoulli, fired, passed, fade, stretched, mean[where],
        )  # fmt: skip
    return mean, Drift(own, covariance, fired, passed, state.forgetting)


def drift_state(weights: xr.Dataset, k: int) -> Drift:
    """Where the filter of fitted unit k stands, from the table of weights."""
    none = np.empty(0)
    own, covariance, fired, passed, window = none, np.empty((0, 0)), none, none, np.inf
    if "drift_weight" in weights and np.isfinite(weights["forgetting"].values[k]):
        window = float(weights["forgetting"].values[k])
        own = weights["drift_weight"].values[k].copy()
        covariance = weights["drift_covariance"].values[k].copy()
    if "fired" in weights:
        fired, passed = weights["fired"].values[k].copy(), weights["passed"].values[k].copy()
    return Drift(own, covariance, fired, passed, window)
