"""Baselines that know next to nothing: a label, a length, a composition."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from neurornn._core.confidence import bootstrap_interval
from neurornn._core.errors import DataError, NameUnknownError, nearest
from neurornn._core.rng import RNG
from neurornn.data.kmers import kmer_counts
from neurornn.data.sequence_sets import SequenceSet

Task = Literal["regression", "classification"]
Metric = Literal["r2", "spearman", "accuracy"]
Folds = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]

#: More columns than these are summarised by their mean and spread.
MAX_FEATURES = 500


def task_of(y: NDArray[Any], task: str | None = None) -> Task:
    """Tell regression (floats) from classification (labels, few distinct integers).

    Parameters
    ----------
    y : (row,) or (row, output).
    task : ``"regression"`` or ``"classification"`` where you know better.
    """
    if task is not None:
        if task not in ("regression", "classification"):
            raise NameUnknownError(
                f"task is {task!r}",
                "'regression' or 'classification' was needed",
                nearest(task, ["regression", "classification"]),
            )
        return "regression" if task == "regression" else "classification"
    if y.dtype.kind == "f" or y.ndim > 1:
        return "regression"
    if y.dtype.kind in "iu" and len(np.unique(y)) > 20:
        return "regression"
    return "classification"


def linear_model(task: Task) -> Any:
    """Return the plainest model of a task: a light ridge, or a shrunken linear discriminant.

    The ridge is fixed: choosing it by leave-one-out would leak wherever rows are alike.
    """
    if task == "regression":
        return make_pipeline(StandardScaler(), Ridge(alpha=1.0))
    return make_pipeline(
        StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    )


def simple_features(X: Any) -> tuple[NDArray[np.float64], str]:
    """Return the simplest features of each row, (row, feature), and what they are called.

    Parameters
    ----------
    X : SequenceSet (k-mer frequencies up to 3 letters, or amino-acid composition and length), or
        array (row, ...): the columns themselves, averaged over all axes between the first and the
        last; mean and spread where there are more than 500.
    """
    if isinstance(X, SequenceSet):
        if X.alphabet == "protein":
            length = np.log(np.maximum(X.lengths, 1))[:, None]
            return np.hstack([kmer_counts(X, 1), length]), "composition and length"
        return np.hstack([kmer_counts(X, k) for k in (1, 2, 3)]), "k-mer frequencies (1 to 3)"
    values = np.asarray(X, dtype=np.float64)
    if values.ndim > 2:
        values = values.mean(axis=tuple(range(1, values.ndim - 1)))
    values = values.reshape(len(values), -1)
    if values.shape[1] > MAX_FEATURES:
        return np.stack(
            [values.mean(axis=1), values.std(axis=1)], axis=1
        ), "mean and spread of a row"
    return values, "columns"


def out_of_fold(estimator: Any, X: NDArray[Any], y: NDArray[Any], folds: Folds) -> NDArray[Any]:
    """Predict every row from folds in which it was held out, the shape of `y`.

    Parameters
    ----------
    estimator : cloned and fitted in each fold.
    X : (row, feature). y : (row,) or (row, output).
    folds : row numbers of train and test; a row in no test part raises.
    """
    predicted = np.empty(y.shape, dtype=y.dtype if y.dtype.kind not in "iub" else object)
    done = np.zeros(len(y), dtype=bool)
    for train, test in folds:
        predicted[test] = _fit_predict(estimator, X[train], y[train], X[test])
        done[test] = True
    if not done.all():
        raise DataError(
            f"{np.sum(~done)} rows are in no test part",
            "Folds in which every row is held out once were needed",
            "Use RandomSplit, BlockedSplit or GroupKFold",
        )
    return predicted.astype(y.dtype)


def _fit_predict(
    estimator: Any, X: NDArray[Any], y: NDArray[Any], X_new: NDArray[Any]
) -> NDArray[Any]:
    if y.ndim == 1 and y.dtype.kind != "f" and len(np.unique(y)) == 1:
        return np.repeat(y[:1], len(X_new))
    with threadpool_limits(1), warnings.catch_warnings():
        # Collinear k-mer columns and classes with one row are expected; shrinkage settles them.
        warnings.filterwarnings("ignore", message=".*(collinear|Ill-conditioned|Only one sample)")
        return clone(estimator).fit(X, y).predict(X_new)


def predict_from_label(
    labels: ArrayLike, y: NDArray[Any], folds: Folds, task: Task
) -> NDArray[Any]:
    """Predict every row from its label alone: its mean, or its commonest class, in training.

    Parameters
    ----------
    labels : (row,); a label that training has not seen gets the overall answer.
    y : (row,) or (row, output).
    """
    codes = pd.factorize(np.asarray(labels))[0]
    predicted = np.empty(y.shape, dtype=np.float64 if task == "regression" else y.dtype)
    for train, test in folds:
        table = pd.DataFrame(y[train])
        by_label = table.groupby(codes[train])
        if task == "regression":
            known, overall = by_label.mean(), table.mean().to_numpy()
        else:
            known = by_label.agg(lambda c: c.value_counts(sort=True).index[0])
            overall = table.agg(lambda c: c.value_counts(sort=True).index[0]).to_numpy()
        answer = known.reindex(codes[test]).to_numpy(copy=True)
        unseen = ~np.isin(codes[test], known.index)
        answer[unseen] = overall
        predicted[test] = answer.reshape(predicted[test].shape)
    return predicted


def pooled_score(
    y: NDArray[Any],
    predicted: NDArray[Any],
    folds: Folds,
    metric: Metric,
    *,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> tuple[float, tuple[float, float]]:
    """Score all out-of-fold predictions together, with a bootstrap interval over folds.

    Parameters
    ----------
    y, predicted : (row,) or (row, output); R2 and Spearman are averaged over outputs.
    metric : ``"r2"``, ``"spearman"`` (ranks over all rows) or ``"accuracy"``.

    Returns
    -------
    value, (lower, upper)
    """
    tests = [test for _, test in folds]
    statistic: Callable[[NDArray[Any]], float]
    if metric == "accuracy":
        sums = np.array([[len(t), np.sum(y[t] == predicted[t])] for t in tests], dtype=float)

        statistic = _accuracy
    else:
        a, b = y.reshape(len(y), -1).astype(float), predicted.reshape(len(y), -1).astype(float)
        if metric == "spearman":
            a, b = rankdata(a, axis=0), rankdata(b, axis=0)
        # Centred (ranks have the same mean on both sides), so that sums of squares do not cancel.
        shift = a.mean(axis=0)
        a, b = a - shift, b - shift
        sums = np.array([_moments(a[t], b[t]) for t in tests])
        statistic = _pearson if metric == "spearman" else _r2
    return statistic(sums), bootstrap_interval(
        sums, statistic, confidence_level=confidence_level, n_resamples=499, rng=rng
    )


def _accuracy(folds: NDArray[np.float64]) -> float:
    n, hits = folds.sum(axis=0)
    return float(hits / n)


def _moments(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the rows of a fold, (moment, output): n, a, b, aa, bb, ab, (a - b)²."""
    n = np.full(a.shape[1], len(a), dtype=float)
    products = (n, a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0), (a * b).sum(0))
    return np.stack([*products, ((a - b) ** 2).sum(0)])


def _r2(folds: NDArray[np.float64]) -> float:
    n, a, _, aa, _, _, residual = folds.sum(axis=0)
    total = aa - a * a / n
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(np.where(total > 0, 1 - residual / total, np.nan)))


def _pearson(folds: NDArray[np.float64]) -> float:
    n, a, b, aa, bb, ab, _ = folds.sum(axis=0)
    scale = np.sqrt(np.maximum(aa - a * a / n, 0) * np.maximum(bb - b * b / n, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(np.where(scale > 1e-9, (ab - a * b / n) / scale, 0.0)))
