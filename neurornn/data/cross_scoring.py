"""Score an estimator on splits that do not leak, windows included."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, get_scorer, r2_score
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_finite_or_missing,
    check_labels,
    check_numbers,
    check_rng,
    check_rows,
    find_blocks,
)
from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.errors import KindError, NameUnknownError, ShapeError, SplitError, nearest
from neurornn._core.rng import RNG, generator
from neurornn.data.recording import sampling_rate_of
from neurornn.data.splitters import BlockedSplit, RandomSplit

SPLITS = ("blocked", "random", "grouped")


class Rows(NamedTuple):
    """Features and targets row by row, in the order of time.

    Attributes
    ----------
    X : (row, feature). y : (row,) or (row, output).
    run : (row,), number of the gapless stretch of each row; a window never spans two.
    usable : (row,), False where a feature is missing (NaN).
    scored : (row,), False where the target is missing.
    """

    X: NDArray[Any]
    y: NDArray[Any]
    run: NDArray[np.int64]
    usable: NDArray[np.bool_]
    scored: NDArray[np.bool_]


def as_rows(X: Any, y: Any, trials: ArrayLike | None = None) -> Rows:
    """Bring features and targets to rows, and find the joins between them.

    Parameters
    ----------
    X : (row,), (row, feature), or DataArray (time, unit) or (trial, time, unit)
        A ``mask (trial, time)`` coordinate drops bins; a gap in ``time`` is a join.
    y : as many rows; (row,) or (row, output), or (trial, time[, output]).
    trials : (row,), label of the trial of each row; a change of label is a join.
    """
    features, targets = check_numbers(X, "X"), check_rows(y, "y")
    if features.ndim == 0 or features.size == 0 or targets.size == 0:
        raise ShapeError(
            f"X has shape {features.shape} and y {targets.shape}",
            "At least one row of one feature, with its target, was needed",
            "Check the selection",
        )
    run = np.zeros(len(features), dtype=np.int64)
    usable = np.ones(len(features), dtype=bool)
    dims = tuple(map(str, X.dims)) if isinstance(X, xr.DataArray) else ()
    if dims[:2] == ("trial", "time"):
        n_trials, n_time = features.shape[:2]
        if targets.shape[:2] != (n_trials, n_time):
            raise ShapeError(
                f"X has (trial, time) {features.shape[:2]} and y shape {targets.shape}",
                "One target for each bin of each trial was needed",
                "Bring y onto the same bins with data.resample_to",
            )
        usable = np.ones((n_trials, n_time), dtype=bool)
        if "mask" in X.coords:
            usable = np.asarray(X["mask"].values, dtype=bool)
        usable, run = usable.ravel(), np.repeat(np.arange(n_trials), n_time)
        features = features.reshape(n_trials * n_time, -1)
        targets = targets.reshape(n_trials * n_time, *targets.shape[2:])
    elif "time" in dims and dims[0] != "time":
        raise ShapeError(
            f"X has axes {dims}",
            "Time along the first axis, (time, unit), was needed",
            "Transpose it: X.transpose('time', 'unit')",
        )
    elif dims[:1] == ("time",) and "time" in X.coords and len(features) > 2:
        time = check_numbers(X["time"].values, "time", missing=False)
        joins = find_blocks(time, float(np.median(np.diff(time))))[1:, 0]
        run[joins] = 1
        run = np.cumsum(run)
    features = features.reshape(len(features), -1)
    if len(targets) != len(features) or targets.ndim > 2:
        raise ShapeError(
            f"X has {len(features)} rows and y shape {targets.shape}",
            "One target, or one row of outputs, for each row of X was needed",
            "Bring y onto the rows of X, for example with data.resample_to",
        )
    if trials is not None:
        labels = check_labels(trials, "trials")
        if labels.shape != (len(features),):
            raise ShapeError(
                f"trials has shape {labels.shape} for {len(features)} rows",
                "One trial label for each row was needed",
                "Repeat the label of each trial over its rows",
            )
        changes = np.concatenate([[False], labels[1:] != labels[:-1]])
        run = np.cumsum(changes | np.concatenate([[False], np.diff(run) != 0]))
    if features.dtype.kind == "f":
        usable = usable & np.isfinite(features).all(axis=1)
    scored = np.ones(len(targets), dtype=bool)
    if targets.dtype.kind == "f":
        scored = np.isfinite(targets.reshape(len(targets), -1)).all(axis=1)
    return Rows(features, targets, run, usable, scored)


def check_window(window: Any, n_rows: int) -> int:
    """Return the rows of a window, or raise where none of so many rows would hold it."""
    n_window = check_count(window, "window", 0)
    if not 1 <= n_window <= max(n_rows, 1):
        raise SplitError(
            f"window is {window} of {n_rows} rows",
            "At least 1 row, and no more than there are, was needed",
            "Pass window=10",
        )
    return n_window


def history(X: NDArray[Any], window: int) -> NDArray[Any]:
    """Return each row with the ``window - 1`` rows before it, (row, window·feature).

    Parameters
    ----------
    X : (row, feature).
    window : rows, the present one included; oldest first. Rows before the first are zeros: use
        `whole_windows` to know which rows to keep.
    """
    padded = np.concatenate([np.zeros((window - 1, X.shape[1]), dtype=X.dtype), X])
    views = sliding_window_view(padded, window, axis=0)
    return views.transpose(0, 2, 1).reshape(len(X), -1)


def whole_windows(
    inside: NDArray[np.bool_], run: NDArray[np.int64], window: int
) -> NDArray[np.bool_]:
    """Which rows end a window of `window` rows that are all `inside` and in one run.

    Parameters
    ----------
    inside : (row,), rows of one part of a split.
    run : (row,), number of the gapless stretch.
    """
    breaks = np.concatenate([[True], (run[1:] != run[:-1]) | ~inside[:-1]])
    position = np.arange(len(inside))
    since = position - np.maximum.accumulate(np.where(breaks, position, 0))
    return inside & (since >= window - 1)


def cross_score(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    split: Any = None,
    groups: ArrayLike | None = None,
    n_splits: int = 5,
    gap: int | None = None,
    scoring: str | Callable[..., float] | None = None,
    window: int | None = None,
    trials: ArrayLike | None = None,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> xr.Dataset:
    """Fit on each training part, score on the part held out; windows never cross an edge.

    Parameters
    ----------
    estimator : any scikit-learn estimator; a clone is fitted in each fold.
    X : (row, feature), or DataArray (time, unit) or (trial, time, unit)
        Rows with NaN are left out.
    y : as many rows, one or several outputs.
    split : ``"blocked"``, ``"grouped"``, ``"random"``, or a splitter with ``split(X, y, groups)``.
        By default ``"grouped"`` where `groups` came and ``"blocked"`` otherwise. ``"random"`` is
        there to show the inflation: it leaks wherever neighbouring rows are alike, and its windows
        are cut before the split, as is done by mistake.
    groups : (row,), label of what must stay in one part.
    n_splits : folds.
    gap : rows dropped on both sides of a test block; by default the rows of one window.
    scoring : name or callable of scikit-learn; by default R2, averaged over outputs, and for
        classifiers accuracy.

    Other Parameters
    ----------------
    window : rows
        Give the estimator the last `window` rows of X as features. The windows are cut inside
        each part, trial and gapless stretch; rows without a whole window are dropped.
    trials : (row,), label of the trial of each row.
    confidence_level : of the interval over folds.
    rng : int, Generator or None; for ``"random"`` and the bootstrap.

    Returns
    -------
    Dataset
        ``score (fold)`` with ``n_train`` and ``n_test``; ``score_mean`` with ``score_mean_ci``
        (bootstrap over folds) and ``score_sd``. Folds share training rows, so that the interval
        is rather too narrow.

    Raises
    ------
    SplitError
        No whole window fits into a part, for example because the splitter shuffles rows.
    """
    rows = as_rows(X, y, trials)
    rng = generator(check_rng(rng))
    check_confidence_level(confidence_level)
    n_window = 1 if window is None else check_window(window, len(rows.X))
    keep_gap = (n_window if n_window > 1 else 0) if gap is None else check_count(gap, "gap", 0)
    check_finite_or_missing(rows.X, "X")
    if rows.y.dtype.kind == "U" and not is_classifier(estimator):
        raise KindError(
            f"y holds words and the estimator is a {type(estimator).__name__}",
            "Numbers were needed, or a classifier",
            "Pass for example sklearn's LogisticRegression",
        )
    splitter, name = _as_splitter(split, groups, n_splits, keep_gap, n_window, rng)
    leaky = isinstance(splitter, RandomSplit)
    labels = None if groups is None else check_labels(groups, "groups")
    features = history(rows.X, n_window) if n_window > 1 else rows.X
    everything = whole_windows(rows.usable, rows.run, n_window) & rows.scored
    score = scorer_of(estimator, scoring)
    estimator = _with_bin_size(estimator, X)
    scores, sizes = [], []
    for train, test in splitter.split(rows.X, rows.y, labels):
        parts = []
        for picked, part in ((train, "training"), (test, "test")):
            inside = np.zeros(len(features), dtype=bool)
            inside[picked] = True
            # A random split keeps windows that were cut from the whole: that is its mistake.
            whole = inside if leaky else whole_windows(inside & rows.usable, rows.run, n_window)
            part_rows = np.flatnonzero(whole & everything)
            if len(part_rows) < 2:
                raise SplitError(
                    f"{len(part_rows)} of {len(picked)} {part} rows hold a whole window of "
                    f"{n_window} rows",
                    "Parts made of stretches longer than a window were needed",
                    "Use BlockedSplit or whole trials; a splitter that shuffles rows cuts every "
                    "window",
                )
            parts.append(part_rows)
        with threadpool_limits(1):
            fitted = clone(estimator).fit(features[parts[0]], rows.y[parts[0]])
            scores.append(float(score(fitted, features[parts[1]], rows.y[parts[1]])))
        sizes.append([len(parts[0]), len(parts[1])])
    return _as_table(scores, sizes, name, scoring, estimator, n_window, confidence_level, rng)


def _with_bin_size(estimator: Any, X: Any) -> Any:
    """Tell a decoder that takes the width of its bins from its counts: the parts have no clock."""
    asked = estimator.get_params().get("bin_size", 0) if hasattr(estimator, "get_params") else 0
    if asked is not None or not isinstance(X, xr.DataArray):
        return estimator
    width = X.attrs.get("bin_size")
    if width is None and ("time" in X.coords or X.attrs.get("sampling_rate") is not None):
        width = 1 / sampling_rate_of(X)
    return estimator if width is None else clone(estimator).set_params(bin_size=float(width))


def _as_splitter(
    split: Any,
    groups: ArrayLike | None,
    n_splits: int,
    gap: int,
    window: int,
    rng: np.random.Generator,
) -> tuple[Any, str]:
    if split is None:
        split = "blocked" if groups is None else "grouped"
    if split == "blocked":
        return BlockedSplit(n_splits, gap=gap, purge=window), "blocked"
    if split == "random":
        return RandomSplit(n_splits, rng), "random"
    if split == "grouped":
        if groups is None:
            raise SplitError(
                "split='grouped' came without groups",
                "The group of each row was needed",
                "Pass groups=species",
            )
        return GroupKFold(min(n_splits, len(np.unique(np.asarray(groups))))), "grouped"
    if isinstance(split, str) or not hasattr(split, "split"):
        raise NameUnknownError(
            f"split is {split!r}",
            "'blocked', 'grouped', 'random' or a splitter with .split(X, y, groups) was needed",
            nearest(str(split), SPLITS),
        )
    return split, type(split).__name__


def scorer_of(estimator: Any, scoring: str | Callable[..., float] | None) -> Callable[..., float]:
    """Return ``score(fitted, X, y)``: the one named, else accuracy or R2 averaged over outputs."""
    if callable(scoring):
        return scoring
    if scoring is not None:
        return get_scorer(scoring)
    metric = accuracy_score if is_classifier(estimator) else r2_score
    return lambda fitted, X, y: metric(y, fitted.predict(X))


def _as_table(
    scores: list[float],
    sizes: list[list[int]],
    name: str,
    scoring: Any,
    estimator: Any,
    window: int,
    confidence_level: float,
    rng: np.random.Generator,
) -> xr.Dataset:
    what = "accuracy" if is_classifier(estimator) else "R2"
    what = what if scoring is None else getattr(scoring, "__name__", str(scoring))
    values = np.array(scores)
    ci = bootstrap_interval(values, confidence_level=confidence_level, rng=rng)
    reason = "" if len(values) > 2 else "fewer than 3 folds"
    how = f"{len(values)}-fold {name} cross-validation"
    table = to_dataset(
        [
            Estimate(name="score_mean", value=values.mean(), ci=ci, units="1", long_name=what,
                     method=f"{how}; percentile bootstrap over folds", reason=reason),
            Estimate(name="score_sd", value=values.std(ddof=1) if len(values) > 1 else np.nan,
                     units="1", long_name=f"standard deviation of {what} over folds", method=how),
        ],
        confidence_level=confidence_level,
    )  # fmt: skip
    table["score"] = ("fold", values, {"units": "1", "long_name": what})
    for k, part in enumerate(("n_train", "n_test")):
        table[part] = ("fold", np.array(sizes)[:, k], {"units": "1", "long_name": "rows"})
    return table.assign_attrs(split=name, scoring=what, window=window)
