"""Steps of an audit that ask what features give away: groups, and scores that a label explains."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurornn._core.confidence import Estimate, bootstrap_interval
from neurornn._core.errors import KindError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn._core.units import format_number
from neurornn.data.audit_ledger import WORDS, Ledger, Prediction
from neurornn.data.audit_report import NOTABLE, AuditStatus
from neurornn.data.baselines import Folds, Task, out_of_fold

Probe = Literal["linear", "trees"]
PROBES: tuple[Probe, ...] = ("linear", "trees")
#: Rows a probe is fitted on at most, and labels that it tells apart at most.
_MAX_ROWS, _MAX_LABELS = 5000, 100
#: Boosted trees of an audit, for each label.
_TREES = 30

Groups = Mapping[str, NDArray[Any]]


def probe(kind: Probe, n_trees: int = 100) -> Any:
    """Return a classifier that counts every label alike: a logistic regression, or boosted trees.

    Parameters
    ----------
    kind : ``"linear"`` or ``"trees"``. n_trees : boosted, for each label.
    """
    if kind == "linear":
        model = LogisticRegression(class_weight="balanced", max_iter=2000)
        return make_pipeline(StandardScaler(), model)
    return HistGradientBoostingClassifier(
        max_iter=n_trees, class_weight="balanced", early_stopping=False, random_state=0
    )


def decodability(
    features: NDArray[Any],
    labels: NDArray[Any],
    kind: Probe = "linear",
    *,
    n_splits: int = 5,
    n_trees: int = 100,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> tuple[float, tuple[float, float]]:
    """Balanced accuracy of labels decoded from features, out of stratified folds.

    Parameters
    ----------
    features : (row, feature).
    labels : (row,), each with at least as many rows as there are folds.
    kind : of the probe. n_splits : folds. n_trees : of the second kind.

    Returns
    -------
    value, (lower, upper)
        Mean over labels of the share of their rows that is found, which is 1 over the number of
        labels by chance. The interval is of a bootstrap over folds.
    """
    draw = generator(rng)
    truth = np.unique(labels, return_inverse=True)[1]
    split = StratifiedKFold(n_splits, shuffle=True, random_state=int(draw.integers(2**31 - 1)))
    folds: Folds = list(split.split(features, truth))
    found = out_of_fold(probe(kind, n_trees), np.asarray(features, dtype=np.float64), truth, folds)
    n = truth.max() + 1
    # Of every fold: rows of each label, and how many of them were found.
    sums = np.stack([
        [np.bincount(truth[t], minlength=n),
         np.bincount(truth[t], truth[t] == found[t], minlength=n)] for _, t in folds
    ])  # fmt: skip

    def balanced(rows: NDArray[np.float64]) -> float:
        size, hits = rows.sum(axis=0)
        return float(np.mean(hits / size))

    ci = bootstrap_interval(
        sums, balanced, confidence_level=confidence_level, n_resamples=499, rng=draw
    )
    return balanced(sums), ci


def penultimate_features(model: Any, X: Any) -> NDArray[np.float64]:
    """Return what a fitted model hands to its last layer, (row, feature).

    Parameters
    ----------
    model : with ``transform(X)``, or a function of X.
    X : what it was fitted on, or other rows like them.
    """
    call = getattr(model, "transform", model)
    if not callable(call):
        raise KindError(
            f"model is a {type(model).__name__}, which has no transform",
            "A fitted model with transform(X), or a function of X, was needed",
            "Pass features=, an array (row, feature), instead",
        )
    return np.asarray(call(X), dtype=np.float64)


def check_features(features: Any, n: int, what: str) -> NDArray[np.float64]:
    """Return features as (row, feature), with finite numbers."""
    values = np.asarray(features, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != n or not np.isfinite(values).all():
        missing = int(np.sum(~np.isfinite(values)))
        raise ShapeError(
            f"{what} have shape {values.shape}, {missing} of them not finite, for {n} rows",
            "One row of finite numbers for each row was needed",
            "Pass features of all rows of X, in their order",
        )
    return values


def decode_groups(
    ledger: Ledger, sources: Mapping[str, NDArray[np.float64]], groups: Groups, n_splits: int
) -> None:
    """Say how well every group is decoded from features that a model uses, beside chance.

    Parameters
    ----------
    sources : what the features are called -> (row, feature).
    groups : name -> (row,).
    """
    names, values, bounds, chances = [], [], [], []
    for source, features in sources.items():
        for name, labels in groups.items():
            member, sizes = np.unique(labels, return_inverse=True, return_counts=True)[1:]
            rows = np.flatnonzero(sizes[member] >= max(n_splits, 5))
            n_labels = len(np.unique(member[rows]))
            if not 2 <= n_labels <= _MAX_LABELS:
                continue
            if len(rows) > _MAX_ROWS:
                rows = _some_of_each(member, rows, ledger.rng, n_splits)
            pairs = [
                decodability(
                    features[rows], member[rows], kind, n_splits=n_splits, n_trees=_TREES,
                    confidence_level=ledger.confidence_level, rng=ledger.rng,
                ) for kind in PROBES
            ]  # fmt: skip
            names.append(f"{name} from {source}")
            values.append([v for v, _ in pairs])
            bounds.append([ci for _, ci in pairs])
            chances.append(1 / n_labels)
            best = max(values[-1])
            if best - chances[-1] > NOTABLE:
                ledger.finding(
                    f"{name} is decoded from {source} with balanced accuracy "
                    f"{format_number(best)} (chance {format_number(chances[-1])}): what is read "
                    f"from them may be {name}."
                )
    if names:
        ledger.coords |= {"decoded": names, "probe": list(PROBES)}
        ledger.estimates.append(
            Estimate(name="group_decodable", value=values, ci=bounds, dims=("decoded", "probe"),
                     units="1", long_name="balanced accuracy of a group decoded",
                     method="logistic regression and boosted trees, stratified folds, out of "
                     "fold; bootstrap over folds", reason="fewer than 3 folds")
        )  # fmt: skip
        ledger.exact("decoded_chance", chances, "balanced accuracy by chance", ("decoded",))


def _some_of_each(
    member: NDArray[np.int64], rows: NDArray[np.int64], draw: np.random.Generator, least: int
) -> NDArray[np.int64]:
    """Rows of every label, fewer of the common ones."""
    share = _MAX_ROWS / len(rows)
    chosen = []
    for label in np.unique(member[rows]):
        own = draw.permutation(rows[member[rows] == label])
        chosen.append(own[: max(round(share * len(own)), least, 5)])
    return np.sort(np.concatenate(chosen))


def score_predictions(
    ledger: Ledger, predictions: NDArray[Any], y: NDArray[Any], task: Task, groups: Groups,
    n_splits: int,
) -> None:  # fmt: skip
    """Score a user's own predictions of rows held out, beside what a label alone gives.

    Parameters
    ----------
    predictions : the shape of `y`, of rows that the model had not seen.
    """
    if predictions.shape != y.shape:
        raise ShapeError(
            f"predictions have shape {predictions.shape} and y {y.shape}",
            "One prediction for each target was needed",
            "Pass the predictions of all rows, each by a model that had not seen it",
        )
    # Rows are resampled in parts as large as a fold.
    order = np.array_split(ledger.rng.permutation(len(y)), max(20, n_splits))
    folds: Folds = [(part, part) for part in order if len(part)]
    metrics: Any = ("r2", "spearman") if task == "regression" else ("accuracy",)
    result = Prediction(y=y, predicted=predictions, folds=folds)
    ledger.scores("predictions", [result], metrics, "of the predictions that came")
    flag_label_noise(ledger, f"predictions_{metrics[-1]}", "The predictions that came", task)
    for name, labels in groups.items():
        if task != "regression" or y.ndim > 1 or len(np.unique(labels)) < 2:
            continue
        within = _within(y, predictions, labels)
        if within is not None:
            ledger.coords.setdefault("within", []).append(name)
            ledger.within.append(within)
    if ledger.within:
        ledger.estimates.append(
            Estimate(name="predictions_within_spearman", value=[v for v, _ in ledger.within],
                     ci=[ci for _, ci in ledger.within], dims=("within",), units="1",
                     long_name="Spearman correlation within a label, mean over labels",
                     method="bootstrap over labels", reason="fewer than 3 labels")
        )  # fmt: skip


def _within(
    y: NDArray[Any], predicted: NDArray[Any], labels: NDArray[Any]
) -> tuple[float, tuple[float, float]] | None:
    """Mean over labels of the Spearman correlation within each, with its interval."""
    from scipy.stats import rankdata

    found = []
    for label in np.unique(labels):
        own = labels == label
        a, b = rankdata(y[own]), rankdata(predicted[own])
        if own.sum() >= 5 and np.ptp(a) > 0:
            # Predictions that are constant within a label say nothing there.
            found.append(np.corrcoef(a, b)[0, 1] if np.ptp(b) > 0 else 0.0)
    return (float(np.mean(found)), bootstrap_interval(found, rng=0)) if found else None


def flag_label_noise(ledger: Ledger, name: str, who: str, task: Task) -> None:
    """Write down where a score's interval reaches down to what a label alone scores.

    Parameters
    ----------
    name : of the score among the estimates. who : begins the sentence.
    """
    metric: Any = "spearman" if task == "regression" else "accuracy"
    known = {e.name: e for e in ledger.estimates}
    alone, score = known.get(f"label_only_{metric}"), known.get(name)
    if alone is None or score is None or not ledger.confounders:
        return
    values = dict(zip(ledger.coords["group"], np.ravel(alone.value), strict=True))
    label = max((n for _, n in ledger.confounders if n in values), key=values.__getitem__,
                default=None)  # fmt: skip
    if label is None:
        return
    low = float(np.ravel(score.ci)[0]) if score.ci is not None else float("nan")
    value, least = float(np.ravel(score.value)[0]), float(values[label])
    reached = low if np.isfinite(low) else value
    if reached <= least:
        ledger.finding(
            f"{who}: {WORDS[metric]} {format_number(value)} is within noise of, or below, what "
            f"{label} alone gives ({format_number(least)}): it shows nothing beyond {label}.",
            AuditStatus.CONFOUNDED,
        )
