"""Cross-validated scores: what is told of them, the defaults, and what they cannot be made of."""

import numpy as np
import pytest
import xarray as xr
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import mean_absolute_error, r2_score

from neurornn._core.confidence import bootstrap_interval
from neurornn._core.errors import DataError, KindError, NameUnknownError, SplitError
from neurornn.data import BlockedSplit, RandomSplit, cross_score
from neurornn.data.cross_scoring import _as_splitter, _with_bin_size, scorer_of


def relation(n=100):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    return X, X[:, 0] + rng.normal(size=n)


def by_hand(X, y, folds, metric=r2_score):
    return [
        metric(y[test], LinearRegression().fit(X[train], y[train]).predict(X[test]))
        for train, test in folds
    ]


def test_five_blocks_without_a_gap_are_the_default_and_all_is_told():
    X, y = relation()
    table = cross_score(LinearRegression(), X, y)
    expected = by_hand(X, y, BlockedSplit(5).split(X))
    # Threads are limited, so that sums may differ in their last bits.
    assert table["score"].values == pytest.approx(expected, abs=1e-12)
    scores = table["score"].values
    assert float(table["score_mean"]) == scores.mean()
    assert float(table["score_sd"]) == scores.std(ddof=1)
    assert table["score_mean_ci"].values.tolist() == list(bootstrap_interval(scores, rng=0))
    assert table["score_mean"].attrs == {
        "units": "1", "long_name": "R2",
        "method": "5-fold blocked cross-validation; percentile bootstrap over folds",
    }  # fmt: skip
    assert table["score_sd"].attrs == {
        "units": "1", "long_name": "standard deviation of R2 over folds",
        "method": "5-fold blocked cross-validation",
    }  # fmt: skip
    assert table["score"].attrs == {"units": "1", "long_name": "R2"}
    assert table["n_train"].values.tolist() == [80] * 5
    assert table["n_test"].values.tolist() == [20] * 5
    said = {k: table.attrs[k] for k in ("split", "scoring")}
    assert said == {"split": "blocked", "scoring": "R2"} and 1 in table.attrs.values()
    assert table["score_mean_ci"].attrs["ci_prob"] == 0.95


def test_windows_put_a_gap_of_their_own_length_between_parts():
    X, y = relation()
    table = cross_score(LinearRegression(), X, y, n_lags=4)
    # 20 rows of test, the first three without a whole window; 4 of gap and 3 of overlap on
    # either side, and the windows of training begin three rows into each part.
    assert table["n_test"].values.tolist() == [17] * 5
    assert table["n_train"].values.tolist() == [80 - 7 - 3, 80 - 14 - 6, 80 - 14 - 6,
                                                80 - 14 - 6, 80 - 7 - 3]  # fmt: skip
    assert 4 in table.attrs.values()
    none = cross_score(LinearRegression(), X, y, n_lags=4, gap_rows=0)
    assert none["n_train"].values.tolist() == [80 - 3 - 3, *[80 - 6 - 6] * 3, 80 - 3 - 3]


def test_scores_by_name_and_by_call():
    X, y = relation()
    expected = by_hand(X, y, BlockedSplit(5).split(X), mean_absolute_error)
    table = cross_score(LinearRegression(), X, y, scoring="neg_mean_absolute_error")
    assert -table["score"].values == pytest.approx(expected, abs=1e-12)
    assert table["score"].attrs["long_name"] == "neg_mean_absolute_error"
    assert table.attrs["scoring"] == "neg_mean_absolute_error"

    def worst(fitted, X, y):
        return float(np.max(np.abs(y - fitted.predict(X))))

    table = cross_score(LinearRegression(), X, y, scoring=worst)
    worsts = by_hand(X, y, BlockedSplit(5).split(X), lambda a, b: np.abs(a - b).max())
    assert table["score"].values == pytest.approx(worsts, abs=1e-12)
    assert table.attrs["scoring"] == "worst"
    assert scorer_of(LinearRegression(), worst) is worst
    labels = np.where(X[:, 0] > 0, "a", "b")
    fitted = LogisticRegression().fit(X, labels)
    share = np.mean(fitted.predict(X) == labels)
    assert scorer_of(fitted, None)(fitted, X, labels) == share


def test_a_random_split_draws_from_the_seed_that_the_bootstrap_goes_on_with():
    X, y = relation()
    table = cross_score(LinearRegression(), X, y, split="random", n_splits=3, rng=8)
    rng = np.random.default_rng(8)
    expected = by_hand(X, y, list(RandomSplit(3, rng).split(X)))
    assert table["score"].values == pytest.approx(expected, abs=1e-12)
    ci = bootstrap_interval(table["score"].values, rng=rng)
    assert table["score_mean_ci"].values.tolist() == list(ci)
    assert table.attrs["split"] == "random"
    assert table["score_mean"].attrs["method"].startswith("3-fold random cross-validation")


def test_two_folds_have_no_interval_and_say_why():
    X, y = relation()
    table = cross_score(LinearRegression(), X, y, n_splits=2, confidence_level=0.5)
    assert np.isnan(table["score_mean_ci"]).all()
    assert table["score_mean_ci"].attrs["reason"] == "fewer than 3 folds"
    assert table["score_mean_ci"].attrs["ci_prob"] == 0.5
    three = cross_score(LinearRegression(), X, y, n_splits=3)
    assert three["score_mean_ci"].attrs["reason"] == ""


def test_groups_are_as_many_folds_as_there_are():
    labels = np.repeat([1, 2, 3], 10)
    splitter, name = _as_splitter(None, labels, 5, 0, 1, None)
    assert name == "grouped" and splitter.get_n_splits() == 3
    assert _as_splitter("grouped", labels, 2, 0, 1, None)[0].get_n_splits() == 2
    blocked, name = _as_splitter(None, None, 4, 6, 3, None)
    assert (name, blocked.n_splits, blocked.purge) == ("blocked", 4, 3)
    assert "6" in repr(blocked)
    own = BlockedSplit(3)
    assert _as_splitter(own, None, 5, 0, 1, None) == (own, "BlockedSplit")


class Binned(BaseEstimator):
    def __init__(self, bin_size=None):
        self.bin_size = bin_size


def test_a_width_of_bins_is_told_to_who_has_none():
    plain = LinearRegression()
    counts = xr.DataArray(np.zeros((4, 1)), dims=("time", "unit"), attrs={"bin_size": 0.5})
    assert _with_bin_size(plain, counts) is plain
    assert _with_bin_size(object, counts) is object
    asking = Binned()
    assert _with_bin_size(asking, counts).bin_size == 0.5 and asking.bin_size is None
    assert _with_bin_size(asking, counts.values) is asking
    own = Binned(0.1)
    assert _with_bin_size(own, counts) is own
    bare = xr.DataArray(np.zeros((4, 1)), dims=("time", "unit"))
    assert _with_bin_size(asking, bare) is asking
    rated = bare.assign_attrs(sampling_rate=4.0)
    assert _with_bin_size(asking, rated).bin_size == 0.25
    timed = bare.assign_coords(time=[0.2, 0.4, 0.6, 0.8])
    assert _with_bin_size(asking, timed).bin_size == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"split": "grouped"}, SplitError, "split='grouped' came without groups"),
        ({"split": 3}, NameUnknownError, "split is 3"),
        ({"confidence_level": 1.0}, DataError, "confidence_level is 1"),
        ({"n_lags": 101}, SplitError, "n_lags is 101 of 100 rows"),
        ({"gap_rows": -1}, DataError, "gap_rows is -1"),
    ],
)
def test_settings_that_are_none_are_named(settings, kind, said):
    X, y = relation()
    with pytest.raises(kind, match=said):
        cross_score(LinearRegression(), X, y, **settings)


def test_words_need_a_classifier_and_rows_no_infinite_value():
    X, y = relation()
    with pytest.raises(KindError, match="y holds words and the estimator is a LinearRegression"):
        cross_score(LinearRegression(), X, np.where(y > 0, "a", "b"))
    X[3, 0] = np.inf
    with pytest.raises(DataError, match="X holds 1 infinite"):
        cross_score(LinearRegression(), X, y)


def test_two_rows_of_a_part_are_enough():
    X, y = relation(10)
    assert cross_score(LinearRegression(), X, y)["n_test"].values.tolist() == [2] * 5
    with pytest.raises(SplitError, match="1 of 1 test rows hold a whole window of 1 rows"):
        cross_score(LinearRegression(), X[:5], y[:5])
