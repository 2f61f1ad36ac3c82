"""Steps of an audit that need a target: what a label, a length or a composition already scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from sklearn.naive_bayes import CategoricalNB

from neurornn._core.confidence import Estimate
from neurornn._core.units import format_number
from neurornn.data.audit_decoding import flag_label_noise
from neurornn.data.audit_ledger import WORDS, Ledger, Prediction
from neurornn.data.audit_report import NOTABLE, AuditStatus
from neurornn.data.baselines import (
    Folds,
    Metric,
    Task,
    linear_model,
    out_of_fold,
    pooled_score,
    predict_from_label,
    simple_features,
)
from neurornn.data.sequence_sets import SequenceSet
from neurornn.data.splitters import BlockedSplit, RandomSplit

#: Rows a model baseline is fitted on at most; label baselines use every row.
MAX_ROWS = 20_000

Groups = Mapping[str, NDArray[Any]]


def metrics_of(task: Task) -> tuple[Metric, ...]:
    """Return the scores of a task; the first decides."""
    return ("r2", "spearman") if task == "regression" else ("accuracy",)


def score_labels(
    ledger: Ledger, y: NDArray[Any], task: Task, groups: Groups, lengths: Any, n_splits: int
) -> None:
    """Score what the labels alone, and the length alone, say about the target.

    Parameters
    ----------
    y : (row,) or (row, output).
    groups : name -> (row,).
    lengths : (row,), bp or aa, or None where all are equal.
    """
    n, metrics = len(y), metrics_of(task)
    folds: Folds = list(RandomSplit(min(n_splits, n), ledger.rng).split(y))
    majority = 0.0
    if task == "classification":
        majority = float(np.unique(y, return_counts=True)[1].max() / n)
        ledger.exact("majority", majority, "share of the commonest class")
    if lengths is not None:
        feature = np.log(np.maximum(lengths, 1))[:, None]
        predicted = out_of_fold(linear_model(task), feature, y, folds)
        from_length = Prediction(y=y, predicted=predicted, folds=folds)
        ledger.scores("length_only", [from_length], metrics, "from the length alone")
    results = []
    for name, labels in groups.items():
        predicted = predict_from_label(labels, y, folds, task)
        results.append(Prediction(y=y, predicted=predicted, folds=folds))
        scores = {m: results[-1].score(m) for m in metrics}
        gain = scores[metrics[0]] - majority
        n_labels = len(np.unique(labels))
        if gain > NOTABLE and n_labels < n:
            told = ", ".join(f"{WORDS[m]} {format_number(v)}" for m, v in scores.items())
            told += f" (majority {format_number(majority)})" if task == "classification" else ""
            ledger.confounders.append((gain, name))
            ledger.finding(
                f"{name} alone ({n_labels} labels) predicts y with {told}: a pooled score up to "
                f"there needs no feature at all. Report scores within {name}, or hold whole "
                f"{name} labels out.",
                AuditStatus.CONFOUNDED,
            )
    if results:
        ledger.coords["group"] = list(groups)
        ledger.scores("label_only", results, metrics, "from the label alone", ("group",))


def score_features(
    ledger: Ledger,
    data: Any,
    y: NDArray[Any],
    task: Task,
    groups: Groups,
    n_splits: int,
    ordered: bool,
) -> None:
    """Score the simplest features under a random split and with groups or stretches held out.

    Parameters
    ----------
    data : SequenceSet or array (row, ...).
    y : (row,) or (row, output).
    ordered : whether rows follow one another in time.
    """
    keep = np.arange(len(data))
    if len(keep) > MAX_ROWS:
        ledger.finding(f"Feature baselines used {MAX_ROWS} of {len(keep)} rows.")
        # Consecutive bins stay consecutive: a gap of rows must remain a gap of time.
        keep = keep[:MAX_ROWS] if ordered else np.sort(ledger.rng.permutation(keep)[:MAX_ROWS])
    features, what = simple_features(data[keep])
    whole = np.isfinite(features).all(axis=1)
    features, y, keep = features[whole], y[keep][whole], keep[whole]
    model, metrics = linear_model(task), metrics_of(task)
    folds: Folds = list(RandomSplit(min(n_splits, len(y)), ledger.rng).split(features))

    def predict(held: Folds) -> Prediction:
        return Prediction(y=y, predicted=out_of_fold(model, features, y, held), folds=held)

    random = predict(folds)
    ledger.scores("features_random", [random], metrics, f"from {what}, random split")
    who = f"{what[0].upper()}{what[1:]} under a random split"
    flag_label_noise(ledger, f"features_random_{metrics[-1]}", who, task)
    if isinstance(data, SequenceSet):
        _score_shortcuts(ledger, data[keep], y, task, what, random, folds)
    splits: dict[str, Folds] = {}
    labelled = {**groups} if ledger.clusters is None else {**groups, "clusters": ledger.clusters}
    for name, labels in labelled.items():
        n_labels = len(np.unique(labels[keep]))
        if 2 <= n_labels < len(keep):
            grouped = GroupKFold(min(len(folds), n_labels))
            splits[name] = list(grouped.split(features, groups=labels[keep]))
    if ordered:
        gap = max(1, len(y) // 100)
        splits["blocks of time"] = list(BlockedSplit(len(folds), gap_rows=gap).split(features))
    results = {name: predict(held) for name, held in splits.items()}
    if results:
        ledger.coords["held_out"] = list(results)
        ledger.scores(
            "features_held_out", list(results.values()), metrics, f"from {what}, held out",
            ("held_out",),
        )  # fmt: skip
    base = random.score(metrics[0])
    # A score no better than a guess has nothing in it that could be inflated.
    floor = 0.0 if task == "regression" else np.unique(y, return_counts=True)[1].max() / len(y)
    for name, result in results.items():
        drop = base - result.score(metrics[0])
        if drop > NOTABLE and base > floor:
            ledger.finding(
                f"From {what}, {WORDS[metrics[0]]} is {format_number(base)} under a random split "
                f"and {format_number(base - drop)} when whole {name} are held out.",
                AuditStatus.LEAKS,
            )
            if name in groups and name not in [n for _, n in ledger.confounders]:
                ledger.confounders.append((drop, name))
    for name, result in results.items():
        _flag_constant(ledger, name, result, what, metrics[-1], task)
    read_labels(ledger, features, what, {k: v[keep] for k, v in groups.items()}, n_splits)


def _flag_constant(
    ledger: Ledger, name: str, result: Prediction, what: str, metric: Metric, task: Task
) -> None:
    """Write down where a score with whole labels held out is within noise of what a label says.

    Of a label that training has not seen the label alone says the same of every row.
    """
    if task != "regression" or name not in [n for _, n in ledger.confounders]:
        return
    value, (low, _) = pooled_score(
        result.y, result.predicted, result.folds, metric,
        confidence_level=ledger.confidence_level, rng=ledger.rng,
    )  # fmt: skip
    if (low if np.isfinite(low) else value) <= 0:
        ledger.finding(
            f"With whole {name} held out, {what} give {WORDS[metric]} {format_number(value)}: "
            "within noise of, or below, a constant, which is all that a new label says."
        )


def _score_shortcuts(
    ledger: Ledger, sequences: SequenceSet, y: NDArray[Any], task: Task, what: str,
    random: Prediction, folds: Folds,
) -> None:  # fmt: skip
    """Say what a composition tells about the target, and what letters at fixed places do."""
    metric = metrics_of(task)[-1]
    floor = 0.0
    if task == "classification":
        floor = float(np.unique(y, return_counts=True)[1].max() / len(y))
    beside = f" (majority {format_number(floor)})" if task == "classification" else ""
    score = random.score(metric)
    if score - floor > NOTABLE:
        ledger.finding(
            f"{what[0].upper()}{what[1:]} alone tell y with {WORDS[metric]} "
            f"{format_number(score)}{beside} under a random split: report them beside a model."
        )
    if task != "classification" or y.ndim > 1 or np.ptp(sequences.lengths) > 0:
        return
    codes = sequences.codes()
    model = CategoricalNB(min_categories=int(codes.max()) + 1)
    placed = Prediction(y=y, predicted=out_of_fold(model, codes, y, folds), folds=folds)
    ledger.scores(
        "places_random", [placed], (metric,), "from letters place by place, random split"
    )
    score = placed.score(metric)
    if score - floor > NOTABLE:
        ledger.finding(
            f"Letters at fixed places, each by itself, tell y with {WORDS[metric]} "
            f"{format_number(score)}{beside}: a motif, or how the windows were cut. Report the "
            "weights of places beside a model."
        )


def read_labels(
    ledger: Ledger, features: NDArray[np.float64], what: str, groups: Groups, n_splits: int
) -> None:
    """Say how well each label can be read from the features: a model can use what it can read."""
    names, values, bounds, majorities = [], [], [], []
    for name, labels in groups.items():
        _, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        rows = np.flatnonzero(sizes[member] >= max(n_splits, 5))
        truth = np.unique(member[rows], return_inverse=True)[1]
        if not 2 <= len(np.unique(truth)) <= 100:
            continue
        folds: Folds = list(RandomSplit(n_splits, ledger.rng).split(rows))
        read = out_of_fold(linear_model("classification"), features[rows], truth, folds)
        value, ci = pooled_score(
            truth, read, folds, "accuracy",
            confidence_level=ledger.confidence_level, rng=ledger.rng,
        )  # fmt: skip
        most = float(np.bincount(truth).max() / len(truth))
        names.append(name)
        values.append(value)
        bounds.append(ci)
        majorities.append(most)
        if value - most > NOTABLE:
            ledger.finding(
                f"{name} can be read from {what} with accuracy {format_number(value)} (majority "
                f"{format_number(most)}): a model can use it without being told."
            )
    if names:
        ledger.coords["readable"] = names
        ledger.estimates.append(
            Estimate(name="label_readable", value=values, ci=bounds, dims=("readable",), units="1",
                     long_name="accuracy of the label read from the features",
                     method=f"linear discriminant on {what}, out of fold",
                     reason="fewer than 3 folds")
        )  # fmt: skip
        ledger.exact("label_majority", majorities, "share of the commonest label", ("readable",))
