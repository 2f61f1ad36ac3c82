import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from neurornn._core.errors import NameUnknownError, ShapeError, SplitError
from neurornn.data import BlockedSplit, bin_spikes, cross_score
from neurornn.data.rows import as_samples
from neurornn.data.samples import history, whole_windows


class Recorder(RegressorMixin, BaseEstimator):
    """Keeps what it was given, to look at the windows."""

    seen = []  # noqa: RUF012

    def fit(self, X, y):
        self.seen.append((X.copy(), y.copy()))
        return self

    def predict(self, X):
        self.seen.append((X.copy(), None))
        return np.zeros(len(X))


@given(st.integers(2, 5), st.integers(2, 6), st.integers(60, 90))
@settings(max_examples=30, deadline=None)
def test_no_window_crosses_a_split_edge_or_a_join(n_splits, window, n):
    trials = np.repeat(np.arange(4), [n // 3, n // 3, 7, n - 2 * (n // 3) - 7])
    X = np.arange(float(n))[:, None]
    Recorder.seen.clear()
    y = X[:, 0]
    cross_score(Recorder(), X, y, n_splits=n_splits, n_lags=window, trials=trials, gap_rows=0)
    for (train, target), (test, _) in zip(Recorder.seen[::2], Recorder.seen[1::2], strict=True):
        for rows in (train, test):
            # The feature is the row number: a whole window counts up by one and stays in a trial.
            assert np.all(np.diff(rows, axis=1) == 1)
            assert np.all(trials[rows.astype(int)] == trials[rows[:, :1].astype(int)])
        assert np.array_equal(train[:, -1], target)
        assert not set(train.ravel()) & set(test.ravel())


def test_history_holds_the_past_oldest_first():
    X = np.arange(8.0).reshape(4, 2)
    rows = history(X, 3)
    assert rows[3].tolist() == [2, 3, 4, 5, 6, 7]
    assert rows[0].tolist() == [0, 0, 0, 0, 0, 1]
    whole = whole_windows(np.ones(6, bool), np.array([0, 0, 0, 1, 1, 1]), 2)
    assert whole.tolist() == [False, True, True, False, True, True]


def test_scores_equal_scikit_learn_without_windows(rng):
    X = rng.normal(size=(100, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=100)
    table = cross_score(LinearRegression(), X, y, gap_rows=0)
    expected = cross_val_score(LinearRegression(), X, y, cv=KFold(5))
    # The same folds; BLAS threads are limited, so sums may differ in their last bits.
    assert table["score"].values == pytest.approx(expected, abs=1e-12)
    assert float(table["score_mean"]) == pytest.approx(expected.mean())
    assert float(table["score_sd"]) == pytest.approx(expected.std(ddof=1))
    low, high = table["score_mean_ci"].values
    assert expected.min() <= low < expected.mean() < high <= expected.max()


def test_groups_and_classifiers(rng):
    X = rng.normal(size=(90, 2))
    y = np.where(X[:, 0] + rng.normal(size=90) > 0, "go", "stay")
    groups = rng.integers(0, 6, 90)
    table = cross_score(LogisticRegression(), X, y, groups=groups, n_splits=3)
    expected = cross_val_score(LogisticRegression(), X, y, groups=groups, cv=GroupKFold(3))
    assert table["score"].values == pytest.approx(expected)
    assert table.attrs["scoring"] == "accuracy"
    assert table.attrs["split"] == "grouped"


def test_r2_is_the_mean_over_outputs(rng):
    X = rng.normal(size=(200, 1))
    y = np.stack([X[:, 0], rng.normal(size=200)], axis=1)
    score = float(cross_score(LinearRegression(), X, y)["score_mean"])
    # One output is known (R2 1), the other noise (R2 0 less the cost of fitting, below 0.1).
    assert 0.4 < score < 0.5


def test_missing_rows_are_left_out_with_the_windows_that_hold_them(rng):
    X = rng.normal(size=(100, 1))
    X[50] = np.nan
    y = X[:, 0].copy()
    y[20] = np.nan
    table = cross_score(LinearRegression(), X, y, n_lags=3, gap_rows=0, n_splits=2)
    # Per half: 2 rows without history; NaN in X costs 3 windows (the first one of its half: no
    # more than those 2 and itself), NaN in y one row.
    assert table["n_test"].values.tolist() == [50 - 2 - 1, 50 - 3]
    assert float(table["score_mean"]) == pytest.approx(1.0)


def test_a_pause_in_time_is_a_join():
    time = np.concatenate([np.arange(50), np.arange(100, 150)]) / 10
    X = xr.DataArray(np.zeros((100, 1)), dims=("time", "unit"), coords={"time": time})
    rows = as_samples(X, np.zeros(100))
    assert np.flatnonzero(np.diff(rows.run)).tolist() == [49]


def test_trial_arrays_with_a_mask(rng):
    counts = bin_spikes([rng.uniform(0, 40, 800)], 0.1, ragged=True,
                        trials=[[k, k + 1 - 0.5 * (k % 2)] for k in range(0, 40, 2)]
                        + [[1, 1.5], [3, 3.5]])  # fmt: skip
    y = rng.normal(size=counts.shape[:2])
    table = cross_score(LinearRegression(), counts, y, n_lags=5, n_splits=2, gap_rows=0)
    # Every bin with 4 bins of its own trial before it: 6 in whole trials, 1 in the half ones;
    # the block edge at row 110 falls between two trials.
    assert int(table["n_test"].sum()) == 20 * 6 + 2 * 1


def test_a_split_that_shuffles_rows_cannot_hold_windows():
    X, y = np.zeros((60, 1)), np.zeros(60)
    with pytest.raises(SplitError, match="shuffles"):
        cross_score(
            LinearRegression(), X, y, split=KFold(5, shuffle=True, random_state=0), n_lags=9
        )


def test_names_and_shapes_are_checked():
    X, y = np.zeros((20, 1)), np.zeros(20)
    with pytest.raises(NameUnknownError, match="blocked"):
        cross_score(LinearRegression(), X, y, split="bloked")
    with pytest.raises(SplitError, match="groups="):
        cross_score(LinearRegression(), X, y, split="grouped")
    with pytest.raises(ShapeError, match="row"):
        cross_score(LinearRegression(), X, y[:5])
    with pytest.raises(ShapeError, match="transpose"):
        cross_score(LinearRegression(), xr.DataArray(X.T, dims=("unit", "time")), y)
    with pytest.raises(ShapeError, match="trial"):
        cross_score(LinearRegression(), X, y, trials=[1, 2])


def test_a_splitter_of_ones_own():
    X, y = np.arange(40.0)[:, None], np.arange(40.0)
    table = cross_score(LinearRegression(), X, y, split=BlockedSplit(4, gap_rows=3))
    assert table.attrs["split"] == "BlockedSplit"
    assert table["n_train"].values.tolist() == [27, 24, 24, 27]


@pytest.mark.parametrize("attrs", [{"bin_size": 0.04}, {"sampling_rate": 25.0}, {}])
def test_a_decoder_without_a_width_of_bins_takes_that_of_the_recording(attrs):
    from neurornn.decode import RidgeDecoder

    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (200, 4)).astype(float)
    coords = {} if attrs else {"time": (np.arange(200) + 1) * 0.04}
    given = xr.DataArray(counts, dims=("time", "unit"), coords=coords, attrs=attrs)
    goal = counts @ rng.normal(size=(4, 1))
    widths = []

    class Kept(RidgeDecoder):
        def fit(self, X, y, **more):
            widths.append(self.bin_size)
            return super().fit(X, y, **more)

    cross_score(Kept(n_lags=1, power=1.0), given, goal, n_splits=3)
    assert widths == pytest.approx([0.04] * len(widths)) and len(widths) > 1
