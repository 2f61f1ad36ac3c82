import numpy as np
import pytest

from neurornn._core.errors import KindError, ShapeError
from neurornn.data import SequenceSet, audit
from neurornn.data.audit_decoding import decodability, penultimate_features
from neurornn.data.audit_report import AuditStatus
from neurornn.data.kmers import nearest_by_kmers

TURN = str.maketrans("ACGT", "TGCA")


def words(n, rng, length=60, letters="ACGT"):
    return ["".join(row) for row in rng.choice(list(letters), (n, length))]


def dna(sequences):
    return SequenceSet.from_sequences([str(k) for k in range(len(sequences))], sequences)


def test_a_label_that_is_written_down_is_decoded(rng):
    labels = rng.integers(3, size=300)
    noise = rng.normal(size=(300, 4))
    # One third by chance; 300 rows leave a standard error of 0.03.
    assert decodability(noise, labels)[0] == pytest.approx(1 / 3, abs=0.1)
    told, (low, high) = decodability(noise + 9 * np.eye(4)[labels], labels)
    assert told == 1 and low == high == 1


def test_every_label_counts_alike(rng):
    # A rare label: who always says the common one has an accuracy of .9, balanced .5.
    labels = (rng.random(1000) < 0.1).astype(int)
    assert decodability(rng.normal(size=(1000, 2)), labels)[0] == pytest.approx(0.5, abs=0.1)


def test_trees_find_what_no_line_does(rng):
    x = rng.normal(size=(600, 2))
    labels = (x[:, 0] * x[:, 1] > 0).astype(int)
    assert decodability(x, labels, "linear")[0] < 0.6
    assert decodability(x, labels, "trees")[0] > 0.85


def test_groups_are_decoded_from_features_and_from_a_model(rng):
    species = np.repeat(["a", "b"], 150)
    x = rng.normal(size=(300, 3))
    leaning = x + 4.0 * (species == "b")[:, None]

    class Model:
        def transform(self, X):
            return np.asarray(X)[:, :1] * (species == "b")[:, None]

    report = audit(x, x[:, 0], groups={"species": species}, features=leaning, model=Model())
    table = report.parameters["group_decodable"]
    assert table["decoded"].values.tolist() == [
        "species from the features", "species from the model's features",
    ]  # fmt: skip
    assert float(table.sel(decoded="species from the features", probe="linear")) > 0.95
    # What one half of the rows has as 0 is plain to trees and hard for a line.
    assert float(table.sel(decoded="species from the model's features", probe="trees")) > 0.95
    assert report.parameters["decoded_chance"].values.tolist() == [0.5, 0.5]
    assert any("is decoded from the features" in f for f in report.findings)


def test_predictions_that_only_know_the_label_are_flagged(rng):
    species = np.repeat(np.arange(6), 80)
    tm = 10.0 * species + rng.normal(size=480)
    x = rng.normal(size=(480, 2))
    by_label = 10.0 * species + 1e-6 * rng.normal(size=480)
    report = audit(x, tm, groups={"species": species}, predictions=by_label)
    assert AuditStatus.CONFOUNDED in report.statuses
    assert any(f.startswith("The predictions that came") for f in report.findings)
    within = report.parameters["predictions_within_spearman"].sel(within="species")
    # The noise of each says nothing about the other; 480 rows leave a standard error of 0.05.
    assert abs(float(within)) < 0.2
    good = audit(x, tm, groups={"species": species}, predictions=tm)
    assert not any(f.startswith("The predictions that came") for f in good.findings)
    assert float(good.parameters["predictions_within_spearman"][0]) == pytest.approx(1)


def test_a_score_below_a_label_and_one_below_a_constant_are_told(rng):
    # Within a species y falls with x, over species it rises.
    species = np.repeat(np.arange(5), 60)
    x = species + rng.normal(size=300)
    y = 4.0 * species - 1.5 * (x - species) + 0.1 * rng.normal(size=300)
    said = " ".join(audit(x[:, None], y, groups={"species": species}).findings)
    assert "within noise of, or below, what species alone gives" in said


def test_near_copies_are_found_on_either_strand(rng):
    train = words(30, rng)
    # Three quarters of the letters are those of row 4, on the other strand, and shifted by 15.
    near = train[4][15:].translate(TURN)[::-1] + words(1, rng, 15)[0]
    found = nearest_by_kmers(dna(train), dna([near, words(1, rng)[0]]), 21)
    # 45 letters hold 25 of the 40 21-mers.
    assert found.share.tolist() == pytest.approx([25 / 40, 0])
    assert found.row.tolist() == [4, -1]
    # Either holds half of the other.
    report = audit([*train, near], kmer=58)
    assert AuditStatus.COPIES in report.statuses
    assert float(report.parameters["near_copies"]) == pytest.approx(2 / 31)
    assert any("near cop" in f for f in report.findings)


def test_a_sequence_is_not_its_own_near_copy(rng):
    train = dna(words(20, rng))
    assert not nearest_by_kmers(train, train, 21, same=True).share.any()
    assert nearest_by_kmers(train, train, 21).row.tolist() == list(range(20))


def test_twins_of_another_class_stand_in_place(rng):
    yes = words(200, rng, 80)
    # Negatives made from positives: half of the letters of each stay where they are.
    no = [s[:40] + w for s, w in zip(yes, words(200, rng, 40), strict=True)]
    moved = [w + s[:40] for s, w in zip(yes, words(200, rng, 40), strict=True)]
    labels, test = np.repeat([1, 0], 200), rng.permutation(400) < 80
    made = audit(yes + no, labels, test=test)
    # Of the test 4 in 5 have their twin in the training.
    assert float(made.parameters["test_opposite_twins"]) > 0.6
    assert any("made from rows of the other" in f for f in made.findings)
    assert float(audit(yes + moved, labels, test=test).parameters["test_opposite_twins"]) == 0


def test_letters_at_fixed_places_are_told(rng):
    rows = words(200, rng, 40)
    yes = [s[:20] + "GTAAG" + s[25:] for s in rows[:100]]
    report = audit(yes + rows[100:], np.repeat([1, 0], 100))
    assert float(report.parameters["places_random_accuracy"]) > 0.9
    assert any(f.startswith("Letters at fixed places") for f in report.findings)


def test_what_is_no_model_or_no_feature_is_told(rng):
    x, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    groups = {"a": np.repeat([0, 1], 20)}
    with pytest.raises(KindError, match="has no transform"):
        penultimate_features(object(), x)
    with pytest.raises(ShapeError, match="for 40 rows"):
        audit(x, y, groups=groups, features=x[:30])
    with pytest.raises(ShapeError, match="not finite"):
        audit(x, y, groups=groups, features=np.full((40, 1), np.nan))
    with pytest.raises(ShapeError, match="One prediction for each"):
        audit(x, y, groups=groups, predictions=y[:-1])
