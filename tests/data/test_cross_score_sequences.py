import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression

from neurornn._core.errors import KindError, ShapeError, SplitError
from neurornn.data import SequenceSet, cross_score


class Counter(BaseEstimator):
    """Predicts the number of K, and keeps what it was told."""

    score_name = "share of hits"
    seen = []  # noqa: RUF012

    def fit(self, X, y, *, species=None):
        self.seen.append((list(X), np.asarray(y), species))
        return self

    def score(self, X, y):
        return float(np.mean([s.count("K") == v for s, v in zip(X, y, strict=True)]))


LETTERS = ["MKK", "MAK", "AAA", "KKK", "MKA", "MMM"]
K = [2, 1, 0, 3, 1, 5]
SPECIES = ["b", "a", "b", "a", "c", "c"]


@pytest.mark.parametrize("as_set", [False, True])
def test_every_group_is_held_out_once_and_told_in_training(as_set):
    X = LETTERS
    if as_set:
        X = SequenceSet.from_sequences(list("uvwxyz"), LETTERS, "protein")
    Counter.seen.clear()
    table = cross_score(Counter(), X, K, split="leave-group-out", groups=SPECIES)
    # The last protein is wrong, one of the two of species c.
    assert table["score"].values.tolist() == [1, 1, 0.5]
    assert table["group"].values.tolist() == ["a", "b", "c"]
    assert table["n_train"].values.tolist() == [4, 4, 4]
    assert table.attrs["split"] == "leave-group-out"
    assert table.attrs["scoring"] == "share of hits"
    letters, y, species = Counter.seen[0]
    assert letters == ["MKK", "AAA", "MKA", "MMM"] and y.tolist() == [2, 0, 1, 5]
    assert species.tolist() == ["b", "b", "c", "c"]


def test_numbers_are_held_out_by_group_too():
    x = np.arange(12.0)[:, None]
    table = cross_score(
        LinearRegression(), x, 2 * x[:, 0], split="leave-group-out", groups=[0] * 5 + [1] * 7
    )
    assert table["score"].values == pytest.approx([1, 1])
    assert table["n_test"].values.tolist() == [5, 7]


def test_a_random_split_of_sequences_needs_no_groups():
    table = cross_score(Counter(), LETTERS, K, split="random", n_splits=3)
    assert table.sizes["fold"] == 3


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"groups": None}, SplitError, "without groups"),
        ({"groups": ["a"] * 6}, SplitError, "of one group"),
        ({"groups": ["a"] * 5 + ["b"]}, SplitError, "Group b has one member"),
        ({"groups": ["a", "b"]}, ShapeError, "groups has 2 rows"),
        ({"groups": SPECIES, "n_lags": 2}, KindError, "n_lags"),
    ],
)
def test_what_cannot_be_held_out_is_told(given, error, words):
    with pytest.raises(error, match=words):
        cross_score(Counter(), LETTERS, K, split="leave-group-out", **given)
