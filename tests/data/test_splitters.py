import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score

from neurornn._core.errors import DataError, SplitError
from neurornn.data import BlockedSplit, RandomSplit


@given(st.integers(60, 200), st.integers(2, 6), st.integers(0, 4), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_blocks_cover_once_and_windows_never_share_a_row(n, n_splits, gap, purge):
    folds = list(BlockedSplit(n_splits, gap_rows=gap, purge=purge).split(np.zeros((n, 2))))
    assert len(folds) == n_splits
    assert np.concatenate([test for _, test in folds]).tolist() == list(range(n))
    reach = max(purge, 1)
    for train, test in folds:
        assert np.all(np.diff(test) == 1)
        seen = {r for t in test for r in range(t - reach + 1, t + 1)}
        used = {r for t in train for r in range(t - reach + 1, t + 1)}
        assert not seen & used
        distance = np.abs(train[:, None] - test[None]).min()
        assert distance == gap + max(purge - 1, 0) + 1


@given(st.integers(10, 60), st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_random_folds_are_disjoint_and_cover_once(n, n_splits, seed):
    folds = list(RandomSplit(n_splits, rng=seed).split(np.zeros(n)))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(n))
    assert all(not set(train) & set(test) for train, test in folds)
    again = list(RandomSplit(n_splits, rng=seed).split(np.zeros(n)))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again, strict=True))


def test_cross_val_score_and_grid_search_give_what_a_loop_gives(rng):
    X = rng.normal(size=(120, 4))
    y = X @ [1.0, -2.0, 0.5, 0.0] + rng.normal(size=120)
    cv = BlockedSplit(4, gap_rows=2, purge=3)
    by_hand = {}
    for alpha in (0.1, 10.0, 1000.0):
        model = Ridge(alpha=alpha)
        by_hand[alpha] = [clone(model).fit(X[a], y[a]).score(X[b], y[b]) for a, b in cv.split(X)]
    # The same arithmetic in the same order: equal to the last bit.
    assert cross_val_score(Ridge(alpha=10.0), X, y, cv=cv).tolist() == by_hand[10.0]
    search = GridSearchCV(Ridge(), {"alpha": [0.1, 10.0, 1000.0]}, cv=cv).fit(X, y)
    means = {a: np.mean(s) for a, s in by_hand.items()}
    assert search.cv_results_["mean_test_score"] == pytest.approx(list(means.values()), rel=1e-14)
    assert search.best_params_["alpha"] == max(means, key=means.get)
    assert cv.get_n_splits(X) == 4


@pytest.mark.parametrize(
    ("splitter", "error", "said"),
    [
        (BlockedSplit(1), DataError, "n_splits is 1"),
        (BlockedSplit(3, gap_rows=-1), DataError, "gap_rows is -1"),
        (BlockedSplit(3, gap_rows=0.5), DataError, "gap_rows is 0.5"),
        (BlockedSplit(2, gap_rows=30), SplitError, "20 rows .*2 blocks, 30 purged on each side"),
        (BlockedSplit(30), SplitError, "20 rows came for 30 blocks"),
        (RandomSplit(30), SplitError, "20 rows came for 30 folds"),
    ],
)
def test_impossible_splits_say_so(splitter, error, said):
    with pytest.raises(error, match=said):
        list(splitter.split(np.zeros(20)))
