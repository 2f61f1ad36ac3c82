"""Score an estimator on splits that do not leak, windows included."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.metrics import accuracy_score, get_scorer, r2_score
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut
from threadpoolctl import threadpool_limits

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_finite_or_missing,
    check_labels,
    check_rng,
    check_rows,
)
from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.errors import KindError, NameUnknownError, ShapeError, SplitError, nearest
from neurornn._core.old_names import renamed
from neurornn._core.rng import RNG, generator
from neurornn.data.recording import sampling_rate_of
from neurornn.data.rows import as_samples
from neurornn.data.samples import check_window, history, whole_windows
from neurornn.data.sequence_sets import SequenceSet
from neurornn.data.splitters import BlockedSplit, RandomSplit

SPLITS = ("blocked", "random", "grouped", "leave-group-out")


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
        Rows with NaN are left out. Or sequences, a SequenceSet or a list of strings, for an
        estimator that takes them: `groups` are passed on to a ``fit`` that asks for ``species``
        or ``groups``, and its own ``score`` counts.
    y : as many rows, one or several outputs.
    split : ``"blocked"``, ``"grouped"``, ``"leave-group-out"``, ``"random"``, or a splitter with
        ``split(X, y, groups)``. ``"leave-group-out"`` holds every group out once, by itself.
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
    if _is_sequences(X):
        if n_lags is not None or trials is not None:
            raise KindError(
                "Sequences came with n_lags or trials",
                "Rows of a recording were needed for windows of time",
                "Leave n_lags and trials out",
            )
        return _score_sequences(
            estimator, X, y, split, groups, n_splits, scoring, confidence_level, rng
        )
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
    if split == "leave-group-out":
        _check_groups(groups)
        return LeaveOneGroupOut(), "leave-group-out"
    if isinstance(split, str) or not hasattr(split, "split"):
        raise NameUnknownError(
            f"split is {split!r}",
            "'blocked', 'grouped', 'leave-group-out', 'random' or a splitter with .split(X, y, "
            "groups) was needed",
            nearest(str(split), SPLITS),
        )
    return split, type(split).__name__


def _check_groups(groups: ArrayLike | None) -> None:
    """Raise where no group can be held out by itself."""
    if groups is None:
        raise SplitError(
            "split='leave-group-out' came without groups",
            "The group of each row was needed",
            "Pass groups=species",
        )
    labels, sizes = np.unique(check_labels(groups, "groups"), return_counts=True)
    if len(labels) < 2:
        raise SplitError(
            f"All {sizes.sum()} rows are of one group, {labels[0]}",
            "At least two groups were needed, one to train on when the other is held out",
            "Add rows of another group, or pass split='random' for a score within this one",
        )
    if sizes.min() < 2:
        raise SplitError(
            f"Group {labels[sizes.argmin()]} has one member",
            "At least two were needed to score a group that is held out by itself",
            "Leave that row out, or pass split='grouped', which joins groups into folds",
        )


def _is_sequences(X: Any) -> bool:
    if isinstance(X, SequenceSet):
        return True
    values = list(X[:1]) if isinstance(X, list | tuple | np.ndarray) and len(X) else []
    return bool(values) and isinstance(values[0], str)


def _score_sequences(
    estimator: Any, X: Any, y: Any, split: Any, groups: ArrayLike | None, n_splits: int,
    scoring: str | Callable[..., float] | None, confidence_level: float, rng: RNG,
) -> xr.Dataset:  # fmt: skip
    """Score an estimator that takes sequences."""
    check_confidence_level(confidence_level)
    draw = generator(check_rng(rng))
    targets = check_rows(y, "y")
    labels = None if groups is None else check_labels(groups, "groups")
    for name, other in (("y", targets), ("groups", labels)):
        if other is not None and len(other) != len(X):
            raise ShapeError(
                f"{len(X)} sequences came and {name} has {len(other)} rows",
                "One for each sequence was needed",
                "Select the same rows of all of them",
            )
    sequences = X if isinstance(X, SequenceSet) else np.asarray(X, dtype=object)
    splitter, name = _as_splitter(split, groups, n_splits, 0, 1, draw)
    asked = inspect.signature(estimator.fit).parameters
    takes = [k for k in ("species", "groups") if k in asked][:1] if labels is not None else []
    named = getattr(estimator, "score_name", None) if scoring is None else None
    scores, sizes = [], []
    for train, test in splitter.split(targets, targets, labels):
        given = {} if labels is None else dict.fromkeys(takes, labels[train])
        parts = [sequences[rows] for rows in (train, test)]
        if not isinstance(X, SequenceSet):
            parts = [p.tolist() for p in parts]
        with threadpool_limits(1):
            fitted = clone(estimator).fit(parts[0], targets[train], **given)
            score = scorer_of(estimator, scoring) if scoring is not None or not hasattr(
                fitted, "score"
            ) else (lambda model, a, b: model.score(a, b))  # fmt: skip
            scores.append(float(score(fitted, parts[1], targets[test])))
        sizes.append([len(train), len(test)])
    what = named or (None if scoring is not None else "score of the estimator")
    table = _as_table(
        scores, sizes, name, what if scoring is None else scoring, estimator, 1,
        confidence_level, draw,
    )  # fmt: skip
    if name == "leave-group-out" and labels is not None:
        table = table.assign_coords(group=("fold", np.unique(labels)))
    return table


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
