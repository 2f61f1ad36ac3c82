"""How much of a score is leakage: the same model under a random and under honest splits."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier
from threadpoolctl import threadpool_limits

from neurornn._core.checks import check_count, check_number, check_rng, check_rows
from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.errors import SplitError
from neurornn._core.old_names import renamed
from neurornn._core.rng import RNG, generator
from neurornn._core.units import format_number
from neurornn.data.audit_report import NOTABLE, AuditReport, AuditStatus
from neurornn.data.baselines import linear_model
from neurornn.data.cross_scoring import cross_score, scorer_of
from neurornn.data.rows import as_samples
from neurornn.data.samples import history, whole_windows


@renamed(gap="gap_rows", window="n_lags")
def leakage_report(
    X: Any,
    y: Any,
    *,
    estimator: Any = None,
    n_lags: int = 10,
    gap_rows: int | None = None,
    test_fraction: float = 0.15,
    n_splits: int = 5,
    trials: ArrayLike | None = None,
    confidence_level: float = 0.95,
    rng: RNG = 0,
) -> AuditReport:
    """Score one window model under a random split and under honest ones.

    Parameters
    ----------
    X : (row, feature), or DataArray (time, unit) or (trial, time, unit); rows in time order.
    y : (row,) or (row, output), on the same rows.
    estimator : any scikit-learn estimator; by default a light ridge, a Wiener filter.
    n_lags : rows of history the estimator sees, the present one included.
    gap_rows : dropped on both sides of a test block; by default `n_lags`.
    test_fraction : share of the rows in the last block.

    Other Parameters
    ----------------
    n_splits : folds of the cross-validations.
    trials : (row,), label of the trial of each row; windows never span two.
    confidence_level : of the intervals over folds.
    rng : int, Generator or None.

    Returns
    -------
    AuditReport
        ``score_random`` and ``score_blocked`` (mean over folds), ``score_last_block``,
        ``inflation`` (random less blocked), ``inflation_last_block``, and ``score_shifted``: the
        random split after y was rotated by half the recording, when nothing is left to be learned.

    Notes
    -----
    A random split inflates a score in two ways: the model remembers rows next to the test rows,
    and it has seen every stage of a recording that changes. The rotated target leaves only the
    first: where ``score_shifted`` is at or below 0, the inflation is of the second kind. The last
    block suffers most from change; blocked K-fold averages over it.
    """
    model = linear_model("regression") if estimator is None else estimator
    rng = generator(check_rng(rng))
    n_lags = check_count(n_lags, "n_lags")
    keep_gap = n_lags if gap_rows is None else check_count(gap_rows, "gap_rows", 0)
    test_fraction = check_number(test_fraction, "test_fraction", above=0.0, below=1.0)
    common: dict[str, Any] = {"n_splits": n_splits, "n_lags": n_lags, "trials": trials,
                              "confidence_level": confidence_level, "rng": rng}  # fmt: skip
    random = cross_score(model, X, y, split="random", **common)
    blocked = cross_score(model, X, y, split="blocked", gap_rows=keep_gap, **common)
    shifted = cross_score(model, X, _rotated(y), split="random", **common)
    last, n_test = _last_block(model, X, y, trials, n_lags, keep_gap, test_fraction)
    pairs = np.stack([random["score"].values, blocked["score"].values], axis=1)
    inflation = float(np.mean(pairs[:, 0] - pairs[:, 1]))
    ci = bootstrap_interval(
        pairs, lambda p: float(np.mean(p[:, 0] - p[:, 1])),
        confidence_level=confidence_level, rng=rng,
    )  # fmt: skip
    what = "accuracy" if is_classifier(model) else "R2"
    folds = f"{n_splits} folds, bootstrap over folds"
    single = "there is one last block"
    scores = [
        ("score_random", random, f"{what}, random split"),
        ("score_blocked", blocked, f"{what}, purged blocks"),
        ("score_shifted", shifted, f"{what}, random split, target rotated by half the recording"),
    ]
    few = "fewer than 3 folds"
    estimates = [
        Estimate(name=n, value=float(t["score_mean"]), ci=t["score_mean_ci"].values, units="1",
                 long_name=label, method=folds, reason=few)
        for n, t, label in scores
    ]  # fmt: skip
    estimates += [
        Estimate(name="score_last_block", value=last, units="1", reason=single,
                 long_name=f"{what}, last {100 * test_fraction:.0f} %",
                 method=f"{n_test} test rows"),
        Estimate(name="inflation", value=inflation, ci=ci, units="1", reason=few, method=folds,
                 long_name=f"{what}, random less purged blocks"),
        Estimate(name="inflation_last_block", value=float(random["score_mean"]) - last, units="1",
                 long_name=f"{what}, random less last block", method=folds, reason=single),
    ]  # fmt: skip
    table = to_dataset(estimates, confidence_level=confidence_level)
    findings = _findings(table, what)
    status = AuditStatus.LEAKS if len(findings) > 1 else AuditStatus.CLEAN
    return AuditReport(
        title=f"Leakage in {int(random['n_test'].sum())} rows, windows of {n_lags}",
        parameters=table,
        status=status,
        statuses=(status,),
        findings=tuple(findings),
        split="blocked",
        honest_split=(
            f"data.BlockedSplit(gap_rows={keep_gap}, purge={n_lags}) or data.split_blocks, "
            "because neighbouring rows of a recording are nearly copies of one another."
        ),
        settings={"n_lags": n_lags, "gap_rows": keep_gap, "n_splits": n_splits,
                  "test_fraction": test_fraction, "estimator": type(model).__name__},
    )  # fmt: skip


def _rotated(y: Any) -> NDArray[Any]:
    """Rotate the targets by half the rows, or by half the trials."""
    targets = check_rows(y, "y")
    return np.roll(targets, len(targets) // 2, axis=0)


def _last_block(
    model: Any, X: Any, y: Any, trials: ArrayLike | None, window: int, gap: int, fraction: float
) -> tuple[float, int]:
    rows = as_samples(X, y, trials)
    assert rows.targets is not None
    n = len(rows.values)
    first = n - round(n * fraction)
    test = np.arange(n) >= first
    train = np.arange(n) < first - gap - window + 1
    features = history(rows.values, window)
    train &= whole_windows(train & rows.usable, rows.run, window) & rows.scored
    test &= whole_windows(test & rows.usable, rows.run, window) & rows.scored
    if train.sum() < 2 or test.sum() < 2:
        raise SplitError(
            f"{train.sum()} training and {test.sum()} test rows hold a whole window of {window}",
            "At least 2 rows of each were needed",
            "Use shorter windows, a shorter gap or a larger test_fraction",
        )
    with threadpool_limits(1):
        fitted = clone(model).fit(features[train], rows.targets[train])
        score = scorer_of(model, None)(fitted, features[test], rows.targets[test])
    return float(score), int(test.sum())


def _findings(table: xr.Dataset, what: str) -> list[str]:
    value = {n: float(table[n]) for n in table.data_vars if table[n].ndim == 0}
    text = {n: format_number(v) for n, v in value.items()}
    findings = [
        f"{what} is {text['score_random']} under a random split, {text['score_blocked']} over "
        f"purged blocks and {text['score_last_block']} on the last block."
    ]
    # A score no better than a guess has nothing in it that could be inflated.
    if value["inflation"] > NOTABLE and value["score_random"] > 0:
        findings.append(
            f"A random split inflates {what} by {text['inflation']}: "
            f"report {text['score_blocked']}."
        )
    if what == "R2" and value["score_shifted"] > NOTABLE:
        findings.append(
            f"With the target rotated by half the recording a random split still gives {what} "
            f"{text['score_shifted']}: that comes from neighbours in time, not from the features."
        )
    elif what == "R2" and len(findings) > 1:
        findings.append(
            f"With the target rotated by half the recording a random split gives {what} "
            f"{text['score_shifted']}: this model does not remember neighbours. The inflation is "
            "change over the recording, which only a random split gets to see in training."
        )
    drift = value["score_blocked"] - value["score_last_block"]
    if drift > 0.1 and len(findings) > 1:
        findings.append(
            f"The last block scores {format_number(drift)} below the blocks on average: the "
            "recording or the behaviour changed, which is not leakage."
        )
    return findings
