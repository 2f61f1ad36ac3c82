import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from neurornn._core.errors import DataError
from neurornn.data import RandomSplit, SequenceSet
from neurornn.data.baselines import (
    linear_model,
    out_of_fold,
    pooled_score,
    predict_from_label,
    simple_features,
    task_of,
)


def test_a_label_predicts_its_training_mean_and_an_unseen_one_the_overall_mean():
    labels, y = np.array(["a", "a", "b", "b", "c"]), np.array([1.0, 3.0, 10.0, 20.0, 99.0])
    folds = [(np.arange(4), np.array([4, 0])), (np.array([0, 4]), np.array([1, 2, 3]))]
    predicted = predict_from_label(labels, y, folds, "regression")
    # c is not in the first training part, b not in the second.
    assert predicted.tolist() == [2.0, 1.0, 50.0, 50.0, 8.5]


def test_a_label_predicts_its_commonest_class():
    labels, y = np.array([0, 0, 0, 1, 1, 1]), np.array(["x", "x", "y", "y", "y", "x"])
    everything = np.arange(6)
    predicted = predict_from_label(labels, y, [(everything, everything)], "classification")
    assert predicted.tolist() == ["x", "x", "x", "y", "y", "y"]


def test_pooled_scores_agree_with_scipy_and_scikit_learn(rng):
    y, predicted = rng.normal(size=(200, 2)) + 50, rng.normal(size=(200, 2)) + 50
    predicted += 0.5 * (y - 50)
    predicted[:, 0] = np.round(predicted[:, 0])
    folds = list(RandomSplit(5, rng=0).split(y))
    value, (low, high) = pooled_score(y, predicted, folds, "r2")
    # Sums instead of differences lose about three of sixteen digits.
    assert value == pytest.approx(r2_score(y, predicted), abs=1e-10)
    assert low < value < high
    expected = np.mean([spearmanr(y[:, k], predicted[:, k]).statistic for k in range(2)])
    assert pooled_score(y, predicted, folds, "spearman")[0] == pytest.approx(expected, abs=1e-10)


def test_tasks_are_told_from_the_targets():
    assert task_of(np.array([0.5, 1.5])) == "regression"
    assert task_of(np.arange(100)) == "regression"
    assert task_of(np.array([0, 1, 1])) == "classification"
    assert task_of(np.array(["a", "b"])) == "classification"
    assert task_of(np.array([0, 1, 1]), "regression") == "regression"


def test_simple_features_of_each_kind(rng):
    dna = SequenceSet.from_sequences(["a", "b"], ["ACGTT", "CC"])
    assert simple_features(dna)[0].shape == (2, 4 + 16 + 64)
    protein = SequenceSet.from_sequences(["a"], ["MKV"], "protein")
    assert simple_features(protein)[0][0, -1] == pytest.approx(np.log(3))
    movie = rng.normal(size=(3, 7, 2))
    assert simple_features(movie)[0] == pytest.approx(movie.mean(axis=1))
    assert simple_features(rng.normal(size=(3, 501)))[0].shape == (3, 2)


def test_every_row_must_be_held_out_once():
    X, y = np.zeros((4, 1)), np.zeros(4)
    with pytest.raises(DataError, match="2 rows"):
        out_of_fold(linear_model("regression"), X, y, [(np.array([0, 1]), np.array([2, 3]))])


def test_up_to_twenty_whole_numbers_are_classes_and_more_are_an_amount():
    assert task_of(np.arange(20).repeat(3)) == "classification"
    assert task_of(np.arange(21)) == "regression"
    assert task_of(np.arange(21), "classification") == "classification"
    assert task_of(np.array([0.0, 1.0])) == task_of(np.zeros((4, 2), int)) == "regression"
    assert task_of(np.array(["a"] * 30 + ["b"])) == "classification"
