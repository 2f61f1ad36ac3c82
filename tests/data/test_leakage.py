import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from neurornn._core.errors import SplitError
from neurornn.data import leakage_report
from neurornn.data.audit_report import AuditStatus


def slow_noise(n, n_features, tau, rng):
    """Independent autoregressive series of variance 1 with a time constant of `tau` rows."""
    a = np.exp(-1 / tau)
    noise = rng.normal(size=(n + 10 * tau, n_features)) * np.sqrt(1 - a * a)
    return lfilter([1], [1, -a], noise, axis=0)[10 * tau :]


@pytest.mark.parametrize("estimator", [None, KNeighborsRegressor(3)])
def test_slow_noise_that_knows_nothing_scores_only_under_a_random_split(estimator):
    noise = slow_noise(3000, 41, 100, np.random.default_rng(0))
    report = leakage_report(noise[:, 1:], noise[:, 0], estimator=estimator, n_lags=5)
    table = report.parameters
    # 3000 rows hold some 30 independent ones, and there are 40 features: a random split lets
    # every test row be read off its neighbours. Blocks far away say nothing, R2 0 or below.
    assert float(table["score_random"]) > 0.5
    assert float(table["score_blocked"]) < 0.1
    assert float(table["score_last_block"]) < 0.1
    assert float(table["inflation"]) > 0.5
    # The rotated target is as unrelated as the true one: the same leak.
    assert float(table["score_shifted"]) > 0.5
    assert report.status == AuditStatus.LEAKS
    assert any("neighbours" in f for f in report.findings)


def test_a_true_relation_without_memory_is_not_called_a_leak():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(2000, 3))
    y = X @ [1.0, 1.0, 1.0] + rng.normal(size=2000)
    report = leakage_report(X, y, n_lags=3)
    table = report.parameters
    assert report.status == AuditStatus.CLEAN
    # R2 of 3/4 by construction; 2000 rows tell it to 0.01.
    for name in ("score_random", "score_blocked", "score_last_block"):
        assert float(table[name]) == pytest.approx(0.75, abs=0.04)
    assert float(table["score_shifted"]) < 0.02
    assert abs(float(table["inflation"])) < 0.02


def test_drift_is_told_from_memory():
    # White features whose weight changes sign half-way: nothing to remember, much that changes.
    rng = np.random.default_rng(2)
    X = rng.normal(size=(2000, 2))
    y = np.where(np.arange(2000) < 1400, 1, -1) * X[:, 0] + 0.1 * rng.normal(size=2000)
    report = leakage_report(X, y, n_lags=2)
    assert float(report.parameters["score_shifted"]) < 0.05
    assert float(report.parameters["inflation"]) > 0.05
    assert any("change over the recording" in f for f in report.findings)
    assert float(report.parameters["inflation_last_block"]) > 1


def test_windows_and_gap_are_purged_before_the_last_block():
    X = np.arange(200.0)[:, None]
    report = leakage_report(X, X[:, 0], estimator=LinearRegression(), n_lags=4, gap_rows=6)
    # The last 15 % are 30 rows, 3 of which have no whole window inside the block.
    assert report.parameters["score_last_block"].attrs["method"] == "27 test rows"
    assert float(report.parameters["score_last_block"]) == pytest.approx(1.0)
    assert "gap_rows=6, purge=4" in report.honest_split
    with pytest.raises(SplitError, match="test_fraction"):
        leakage_report(X, X[:, 0], n_lags=4, test_fraction=0.01)


def test_trials_keep_their_windows():
    rng = np.random.default_rng(3)
    trials = np.repeat(np.arange(20), 30)
    X, y = rng.normal(size=(600, 2)), rng.normal(size=600)
    report = leakage_report(X, y, trials=trials, n_lags=10)
    assert report.title == "Leakage in 420 rows, windows of 10"


class Watcher(RegressorMixin, BaseEstimator):
    """Keeps the windows of its last fit and prediction."""

    fitted, asked = None, None

    def fit(self, X, y):
        Watcher.fitted = X
        return self

    def predict(self, X):
        Watcher.asked = X
        return np.zeros(len(X))


def test_training_ends_a_window_and_a_gap_before_the_last_block():
    X = np.arange(200.0)[:, None]
    leakage_report(X, X[:, 0], estimator=Watcher(), n_lags=4, gap_rows=6)
    # The feature is the row number and the last block is fitted last: it begins at row 170;
    # 6 rows of gap and 3 of overlap lie between.
    assert Watcher.asked.min() == 170
    assert Watcher.fitted.max() == 170 - 6 - 4


@pytest.mark.parametrize(("gap", "fits"), [(6, True), (7, False)])
def test_two_training_rows_are_enough_and_one_is_not(gap, fits):
    from neurornn.data.leakage import _last_block

    x = np.arange(10.0)[:, None]
    # 8 rows before the last block of 2; the gap leaves 2 or 1 of them.
    ask = (LinearRegression(), x, x[:, 0], None, 1, gap, 0.2)
    if fits:
        assert _last_block(*ask) == (pytest.approx(1.0), 2)
    else:
        with pytest.raises(SplitError, match="1 training and 2 test rows"):
            _last_block(*ask)
