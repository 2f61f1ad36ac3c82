"""Score an estimator on splits that do not leak, windows included."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, get_scorer, r2_score
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_finite_or_missing,
    check_labels,
    check_rng,
)
from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.errors import KindError, NameUnknownError, SplitError, nearest
from neurornn._core.old_names import renamed
from neurornn._core.rng import RNG, generator
from neurornn.data.recording import sampling_rate_of
from neurornn.data.rows import as_samples
from neurornn.data.samples import check_window, history, whole_windows
from neurornn.data.splitters import BlockedSplit, RandomSplit

SPLITS = ("blocked", "random", "grouped")


@renamed(gap="gap_rows", window="n_lags")
def cross_score(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    split: Any = None,
    groups: ArrayLike | None = None,
    n_splits: int = 5,
    gap_rows: int | None = None,
    scoring: str | Callable[..., float] | None = None,
    n_lags: int | None = None,
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
    gap_rows : dropped on both sides of a test block; by default as many as one window has.
    scoring : name or callable of scikit-learn; by default R2, averaged over outputs, and for
        classifiers accuracy.

    Other Parameters
    ----------------
    n_lags : rows of history, the present one included, as in the decoders
        Give the estimator the last `n_lags` rows of X as features. The windows are cut inside
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
    rows = as_samples(X, y, trials)
    targets = rows.targets
    assert targets is not None
    rng = generator(check_rng(rng))
    check_confidence_level(confidence_level)
    n_window = 1 if n_lags is None else check_window(n_lags, len(rows.values), "n_lags")
    keep_gap = (
        (n_window if n_window > 1 else 0)
        if gap_rows is None
        else check_count(gap_rows, "gap_rows", 0)
    )
    check_finite_or_missing(rows.values, "X")
    if targets.dtype.kind == "U" and not is_classifier(estimator):
        raise KindError(
            f"y holds words and the estimator is a {type(estimator).__name__}",
            "Numbers were needed, or a classifier",
            "Pass for example sklearn's LogisticRegression",
        )
    splitter, name = _as_splitter(split, groups, n_splits, keep_gap, n_window, rng)
    leaky = isinstance(splitter, RandomSplit)
    labels = None if groups is None else check_labels(groups, "groups")
    features = history(rows.values, n_window) if n_window > 1 else rows.values
    everything = whole_windows(rows.usable, rows.run, n_window) & rows.scored
    score = scorer_of(estimator, scoring)
    estimator = _with_bin_size(estimator, X)
    scores, sizes = [], []
    for train, test in splitter.split(rows.values, targets, labels):
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
            fitted = clone(estimator).fit(features[parts[0]], targets[parts[0]])
            scores.append(float(score(fitted, features[parts[1]], targets[parts[1]])))
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
        return BlockedSplit(n_splits, gap_rows=gap, purge=window), "blocked"
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
    return table.assign_attrs(split=name, scoring=what, n_lags=window)
