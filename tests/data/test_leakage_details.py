"""A report of leakage, word by word, and its numbers against those of the single scores."""

import numpy as np
import pytest
import xarray as xr
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurornn.data import RandomSplit, cross_score, leakage_report
from neurornn.data.audit_report import AuditStatus
from neurornn.data.leakage import _findings, _rotated


def told(random=0.5, blocked=0.5, last=0.5, shifted=0.0, what="R2"):
    values = {
        "score_random": random, "score_blocked": blocked, "score_last_block": last,
        "score_shifted": shifted, "inflation": random - blocked,
    }  # fmt: skip
    table = xr.Dataset({k: ((), v) for k, v in values.items()})
    # What has an axis (the interval of a score) is no score.
    return _findings(table.assign(score_random_ci=("ci_bound", [0.0, 1.0])), what)


FIRST = "R2 is {} under a random split, {} over purged blocks and {} on the last block."
INFLATED = "A random split inflates R2 by {}: report {}."
MEMORY = (
    "With the target rotated by half the recording a random split still gives R2 {}: that comes "
    "from neighbours in time, not from the features."
)
CHANGE = (
    "With the target rotated by half the recording a random split gives R2 {}: this model does "
    "not remember neighbours. The inflation is change over the recording, which only a random "
    "split gets to see in training."
)
DRIFT = (
    "The last block scores {} below the blocks on average: the recording or the behaviour "
    "changed, which is not leakage."
)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.5, 0.5, 0.5, 0.0), [FIRST.format("0.500", "0.500", "0.500")]),
        # A twentieth is no finding yet; binary fractions, so that differences are exact.
        ((0.5, 0.46875, 0.25, 0.0), [FIRST.format("0.500", "0.469", "0.250")]),
        ((0.5, 0.4375, 0.4375, 0.0), [FIRST.format("0.500", "0.438", "0.438"),
                                       INFLATED.format("0.0625", "0.438"), CHANGE.format("0")]),
        # Below a guess there is nothing to inflate.
        ((-0.125, -0.5, -0.5, -0.25), [FIRST.format("-0.125", "-0.500", "-0.500")]),
        ((0.0, -0.5, -0.5, -0.25), [FIRST.format("0", "-0.500", "-0.500")]),
        # What is left after the rotation comes from neighbours, inflated or not.
        ((0.5, 0.5, 0.5, 0.0625), [FIRST.format("0.500", "0.500", "0.500"),
                                   MEMORY.format("0.0625")]),
        ((0.75, 0.25, 0.25, 0.5), [FIRST.format("0.750", "0.250", "0.250"),
                                   INFLATED.format("0.500", "0.250"), MEMORY.format("0.500")]),
        # A last block that is worse matters beside another finding alone.
        ((0.75, 0.5, 0.25, 0.0), [FIRST.format("0.750", "0.500", "0.250"),
                                  INFLATED.format("0.250", "0.500"), CHANGE.format("0"),
                                  DRIFT.format("0.250")]),
        ((0.75, 0.5, 0.4375, 0.0), [FIRST.format("0.750", "0.500", "0.438"),
                                    INFLATED.format("0.250", "0.500"), CHANGE.format("0")]),
        ((0.75, 0.5, 0.5, 0.0), [FIRST.format("0.750", "0.500", "0.500"),
                                 INFLATED.format("0.250", "0.500"), CHANGE.format("0")]),
    ],
)  # fmt: skip
def test_each_finding_stands_where_its_numbers_ask_for_it(scores, expected):
    assert told(*scores) == expected


def test_of_an_accuracy_the_rotation_says_nothing():
    # Classes that are not balanced are guessed well whatever the rotation.
    found = told(0.75, 0.5, 0.5, 0.5, what="accuracy")
    assert found == [
        "accuracy is 0.750 under a random split, 0.500 over purged blocks and 0.500 on the last "
        "block.",
        "A random split inflates accuracy by 0.250: report 0.500.",
    ]


def test_targets_are_rotated_by_half_their_rows():
    assert _rotated([0, 1, 2, 3, 4]).tolist() == [3, 4, 0, 1, 2]
    assert _rotated(np.arange(8).reshape(4, 2))[:, 0].tolist() == [4, 6, 0, 2]


def test_the_numbers_are_those_of_the_single_scores():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 2))
    y = X[:, 0] + np.where(np.arange(240) < 200, 0.0, 0.7) + 0.5 * rng.normal(size=240)
    report = leakage_report(X, y)
    table = report.parameters
    # The three scores and the bootstraps draw from one generator, one after the other.
    rng = np.random.default_rng(0)
    model = make_pipeline(StandardScaler(), Ridge(alpha=1.0))
    common = {"n_lags": 10, "rng": rng}
    random = cross_score(model, X, y, split="random", **common)
    blocked = cross_score(model, X, y, split="blocked", gap_rows=10, **common)
    shifted = cross_score(model, X, np.roll(y, 120), split="random", **common)
    for name, one in (("random", random), ("blocked", blocked), ("shifted", shifted)):
        assert float(table[f"score_{name}"]) == float(one["score_mean"])
        assert np.array_equal(table[f"score_{name}_ci"], one["score_mean_ci"])
        assert table[f"score_{name}"].attrs["method"] == "5 folds, bootstrap over folds"
    differences = random["score"].values - blocked["score"].values
    # The mean of differences against a difference of means: rounding.
    assert float(table["inflation"]) == pytest.approx(differences.mean(), abs=1e-12)
    low, high = table["inflation_ci"].values
    # A percentile bootstrap of a mean stays within the values it is of.
    assert differences.min() <= low < differences.mean() < high <= differences.max()
    # By hand: the last 36 rows, whose first nine have no whole window, and before them ten rows
    # of gap and nine of overlap.
    windows = np.stack([X[k : 240 - 9 + k] for k in range(10)], axis=1)[:, ::-1].reshape(231, -1)
    train, test = slice(0, 240 - 36 - 10 - 9 - 9), slice(240 - 36, 231)
    fitted = model.fit(windows[train], y[9:][train])
    last = r2_score(y[9:][test], fitted.predict(windows[test]))
    # Columns in another order change the last digits.
    assert float(table["score_last_block"]) == pytest.approx(last, abs=1e-8)
    assert float(table["inflation_last_block"]) == pytest.approx(
        float(random["score_mean"]) - last, abs=1e-8
    )
    assert table["score_last_block"].attrs["long_name"] == "R2, last 15 %"
    assert table["score_last_block"].attrs["method"] == "27 test rows"
    assert table["score_last_block_ci"].attrs["reason"] == "there is one last block"
    assert table["inflation_last_block_ci"].attrs["reason"] == "there is one last block"
    names = {n: table[n].attrs["long_name"] for n in ("score_random", "score_blocked")}
    assert names == {"score_random": "R2, random split", "score_blocked": "R2, purged blocks"}
    said = table["score_shifted"].attrs["long_name"]
    assert said == "R2, random split, target rotated by half the recording"
    assert table["inflation"].attrs["long_name"] == "R2, random less purged blocks"
    assert table["inflation_last_block"].attrs["long_name"] == "R2, random less last block"
    assert {table[n].attrs["units"] for n in table if not str(n).endswith("_ci")} == {"1"}
    assert report.title == "Leakage in 231 rows, windows of 10"
    assert report.split == "blocked" and report.findings == tuple(_findings(table, "R2"))
    assert report.settings["n_splits"] == 5 and report.settings["test_fraction"] == 0.15
    assert report.settings["estimator"] == "Pipeline"
    assert report.honest_split.endswith(
        "or data.split_blocks, because neighbouring rows of a recording are nearly copies of one "
        "another."
    )
    assert table["score_random_ci"].attrs["ci_prob"] == 0.95


def test_status_and_level_follow_what_was_found_and_asked():
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(size=(200, 12)), axis=0)
    leaks = leakage_report(walk[:, 1:], walk[:, 0], n_splits=3, confidence_level=0.5)
    assert leaks.status == AuditStatus.LEAKS and leaks.statuses == (AuditStatus.LEAKS,)
    assert len(leaks.findings) > 1
    assert leaks.parameters["score_random_ci"].attrs["ci_prob"] == 0.5
    assert leaks.parameters["score_random"].attrs["method"] == "3 folds, bootstrap over folds"


def test_a_classifier_is_scored_by_its_accuracy():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(120, 1))
    y = np.where(X[:, 0] > 0, "up", "down")
    report = leakage_report(X, y, estimator=LogisticRegression(), n_lags=1, n_splits=3)
    table = report.parameters
    assert table["score_random"].attrs["long_name"] == "accuracy, random split"
    # A threshold at 0 is learned from 80 rows to a few in a hundred.
    assert float(table["score_blocked"]) > 0.9
    assert report.settings["estimator"] == "LogisticRegression"
    assert report.findings[0].startswith("accuracy is ")


def test_the_random_split_of_a_report_is_that_of_its_seed():
    X = np.random.default_rng(0).normal(size=(60, 1))
    y = X[:, 0] + np.random.default_rng(1).normal(size=60)
    model = LinearRegression()
    table = cross_score(model, X, y, split="random", rng=4)
    folds = RandomSplit(5, np.random.default_rng(4)).split(X)
    expected = [
        r2_score(y[test], model.fit(X[train], y[train]).predict(X[test])) for train, test in folds
    ]
    assert table["score"].values == pytest.approx(expected, abs=1e-12)
