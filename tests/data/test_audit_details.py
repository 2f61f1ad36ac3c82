"""What an audit says, word by word and number by number, where the data leave no choice."""

import numpy as np
import pytest
import xarray as xr
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neurornn._core.confidence import binomial_interval
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.units import format_number
from neurornn.data import (
    BlockedSplit,
    RandomSplit,
    SequenceSet,
    audit,
    audit_baselines,
    audit_copies,
)
from neurornn.data.audit_baselines import read_labels, score_features, score_labels
from neurornn.data.audit_ledger import Ledger
from neurornn.data.audit_report import AuditStatus


def words(n, length=60, seed=0):
    letters = np.random.default_rng(seed).choice(list("ACGT"), (n, length))
    return ["".join(row) for row in letters]


def ledger(seed=3):
    return Ledger(confidence_level=0.95, rng=np.random.default_rng(seed))


def made(book):
    return {e.name: e for e in book.estimates}


# ------------------------------------------------------------------ copies


def test_copies_are_counted_and_told_in_full():
    # Ten rows: 0 stands three times, 4 twice, and the other five once.
    X = np.array([0, 1, 2, 0, 4, 5, 0, 7, 4, 9], dtype=float)[:, None]
    report = audit(X)
    assert report.title == "Audit of 10 rows"
    assert report.findings == (
        "3 of 10 rows repeat an earlier row (5 rows in 2 sets of equal rows): a random split "
        "tests on training data.",
    )
    assert report.status == AuditStatus.COPIES and report.statuses == (AuditStatus.COPIES,)
    assert report.split == "clusters"
    assert report.honest_split == (
        "data.split_groups(X, report.clusters), because rows repeat one another, whole or in part."
    )
    assert np.array_equal(np.equal.outer(report.clusters, report.clusters), X == X.T)
    assert report.settings == {"kmer": 40, "n_splits": 5}
    table = report.parameters
    assert set(table.data_vars) == {
        "duplicate_rows", "duplicate_rows_ci", "duplicate_sets", "duplicate_sets_ci",
    }  # fmt: skip
    assert (float(table["duplicate_rows"]), float(table["duplicate_sets"])) == (3, 2)
    said = table["duplicate_rows"].attrs
    assert said["long_name"] == "rows that repeat an earlier row"
    assert (said["kind"], said["units"], said["method"]) == ("count", "1", "counted")
    assert table["duplicate_rows_ci"].attrs["reason"] == "a count is exact"
    assert np.isnan(table["duplicate_rows_ci"]).all()


def test_sets_with_different_labels_are_told_and_only_of_classes():
    X = np.array([0, 0, 1, 1, 2, 2, 3, 4, 5, 6], dtype=float)[:, None]
    y = np.array(list("ababaabbab"))
    report = audit(X, y)
    assert float(report.parameters["conflicting_sets"]) == 2
    assert report.findings[0] == (
        "2 of the 3 sets of equal rows carry different labels: no model can get them right."
    )
    assert "conflicting_sets" not in audit(X, np.arange(10.0)).parameters
    agreed = audit(X, np.array(list("aabbaababb")))
    assert float(agreed.parameters["conflicting_sets"]) == 0
    assert not any("carry different labels" in f for f in agreed.findings)


def test_equal_bins_of_a_recording_are_no_copies():
    counts = xr.DataArray(np.array([0, 0, 1, 2, 0])[:, None], dims=("time", "unit"))
    report = audit(counts)
    assert report.title == "Audit of 5 bins"
    assert report.findings == (
        "2 of 5 bins equal an earlier bin: usual for sparse counts, and no leak in themselves.",
    )
    assert report.clusters is None and report.statuses == (AuditStatus.CLEAN,)
    assert report.split == "blocked"
    assert report.honest_split == (
        "consecutive stretches with a gap, data.split_blocks or data.BlockedSplit, because rows "
        "follow one another in time."
    )
    # Time along another axis than the first does not put the rows in order.
    other = audit(counts.rename(time="row", unit="time"))
    assert other.title == "Audit of 5 rows" and other.split == "clusters"


def test_families_are_counted_with_their_share_and_their_largest():
    one, two, three, four, five = words(5)
    # A family of three by stretches of 20 letters, one of two, two strangers.
    rows = [one, one[:20] + two[20:], two[30:] + one[:20], three, four, five[:25] + four[25:50]]
    rows += words(1, seed=9)
    report = audit(rows, kmer=20)
    table = report.parameters
    assert report.title == "Audit of 7 dna sequences"
    assert float(table["shared_kmer"]) == 5 / 7
    assert table["shared_kmer_ci"].values.tolist() == list(binomial_interval(5, 7, 0.95))
    said = table["shared_kmer"].attrs
    assert said["long_name"] == "share of rows that share a 20-mer with another row"
    assert said["method"] == "Wilson interval" and said["units"] == "1"
    assert report.findings == (
        "5 of 7 sequences (71.4 %) share at least one 20-mer with another; the largest family "
        "has 3.",
    )
    assert report.settings == {"kmer": 20, "n_splits": 5}
    assert report.clusters.tolist() == [0, 0, 0, 1, 2, 2, 3]
    # Copies alone are told once.
    twice = audit([*words(4), words(4)[0]], kmer=20)
    assert len(twice.findings) == 1 and twice.findings[0].startswith("1 of 5 rows repeat")
    assert float(twice.parameters["shared_kmer"]) == 2 / 5


def test_too_many_letters_are_said_and_not_hashed(monkeypatch):
    monkeypatch.setattr(audit_copies, "MAX_LETTERS", 239)
    report = audit(words(4), kmer=20)
    assert report.findings == (
        "Shared 20-mers were not looked for: 240 letters are more than 239. Audit a part, "
        "sequences[:k].",
    )
    assert "shared_kmer" not in report.parameters and report.split == "random"
    monkeypatch.setattr(audit_copies, "MAX_LETTERS", 240)
    assert "shared_kmer" in audit(words(4), kmer=20).parameters


def test_test_rows_seen_in_training_are_told():
    train = np.array([[0.0], [1], [2], [3]])
    report = audit(train, test=np.array([[2.0], [9], [3], [2]]))
    assert report.findings == (
        "3 of 4 test rows are copies of a training row: drop them from the test set, or split "
        "again by cluster.",
    )
    assert float(report.parameters["test_copies"]) == 3
    said = report.parameters["test_copies"].attrs["long_name"]
    assert said == "test rows that are copies of a training row"
    assert report.status == AuditStatus.COPIES
    clean = audit(train, test=train + 10)
    assert clean.findings == () and clean.status == AuditStatus.CLEAN
    # Numbers of rows, the same as a mask: rows 2 and 3 against 0 and 1.
    rows = np.array([[5.0], [6], [5], [7]])
    assert float(audit(rows, test=[2, 3]).parameters["test_copies"]) == 1
    assert float(audit(rows, test=[False, False, True, True]).parameters["test_copies"]) == 1
    # One feature as whole numbers in two dimensions are rows, not numbers of rows.
    assert (
        float(audit(np.array([[0], [1]]), test=np.array([[1], [1]])).parameters["test_copies"])
        == 2
    )


def test_test_sequences_share_stretches_without_being_copies():
    train, other = words(3), words(4, seed=5)
    test = [other[0][:10] + train[1][10:40] + other[0][40:], *other[1:]]
    report = audit(train, test=test, kmer=25)
    assert float(report.parameters["test_copies"]) == 0
    assert float(report.parameters["test_shared_kmer"]) == 1 / 4
    assert report.findings == (
        "0 of 4 test rows are copies of a training row; 1 (25.0 %) share at least one 25-mer with "
        "training: drop them from the test set, or split again by cluster.",
    )
    said = report.parameters["test_shared_kmer"].attrs["long_name"]
    assert said == "share of test rows that share a 25-mer with training"
    assert audit(train, test=other, kmer=25).findings == ()
    # Case is soft-masking, not another letter.
    assert float(audit(train, test=[train[0].lower()], kmer=25).parameters["test_copies"]) == 1


@pytest.mark.parametrize(
    ("rows", "alphabet", "kmer"),
    [
        (["ACGT", "ACCA"], "dna", 40),
        (["ACGU", "ACCA"], "rna", 40),
        (["MKVL", "MKIL"], "protein", 10),
        (np.array([b"ACGT", b"ACCA"]), "dna", 40),
        (["acgt", "ACCA"], "dna", 40),
    ],
)
def test_the_alphabet_is_told_from_the_letters_and_the_stretch_from_the_alphabet(
    rows, alphabet, kmer
):
    report = audit(rows)
    assert report.title == f"Audit of 2 {alphabet} sequences"
    assert report.settings["kmer"] == kmer
    # Test rows have the letters of the training rows, whatever theirs alone look like.
    assert audit(rows, test=["CCAA", "AACC"]).title == report.title


# ------------------------------------------------------------------ labels


def test_a_label_that_is_the_target_is_told_and_held_out():
    X = np.random.default_rng(0).normal(size=(40, 2))
    species = np.repeat(["a", "b"], 20)
    day = np.tile([1, 2, 3, 4], 10)
    report = audit(X, np.where(species == "a", 1.0, 5.0), groups={"day": day, "species": species})
    assert report.findings[0] == (
        "species alone (2 labels) predicts y with R2 1.00, Spearman correlation 1.00: a pooled "
        "score up to there needs no feature at all. Report scores within species, or hold whole "
        "species labels out."
    )
    assert report.split == "species" and report.statuses[0] == AuditStatus.CONFOUNDED
    assert report.honest_split == (
        "hold out whole labels of species, data.split_groups(X, species) or sklearn's GroupKFold, "
        "because species tells about y."
    )
    assert report.parameters["group"].values.tolist() == ["day", "species"]
    assert "length_only_r2" not in report.parameters and "majority" not in report.parameters
    said = report.parameters["label_only_r2"].attrs
    assert said["long_name"] == "R2 from the label alone"
    assert said["method"] == "out of fold, pooled; bootstrap over at most 5 folds"
    # Copies besides: they are kept together, too.
    X[3] = X[0]
    both = audit(X, np.where(species == "a", 1.0, 5.0), groups={"species": species})
    assert both.honest_split == report.honest_split + (
        " Keep copies together as well (report.clusters)."
    )


def test_a_label_that_is_the_class_is_told_with_the_majority():
    book = ledger()
    y = np.array(list("xxxy" * 10))
    score_labels(book, y, "classification", {"strain": y.copy()}, None, 5)
    assert book.findings == [
        "strain alone (2 labels) predicts y with accuracy 1.00 (majority 0.750): a pooled score "
        "up to there needs no feature at all. Report scores within strain, or hold whole strain "
        "labels out."
    ]
    assert book.found == [AuditStatus.CONFOUNDED] and book.confounders == [(0.25, "strain")]
    assert book.coords == {"group": ["strain"]}
    known = made(book)
    assert known["majority"].value == 0.75
    assert known["majority"].long_name == "share of the commonest class"
    assert known["majority"].reason == "it is exact" and known["majority"].units == "1"
    assert known["label_only_accuracy"].value == [1.0]
    assert known["label_only_accuracy"].ci == [(1.0, 1.0)]
    assert known["label_only_accuracy"].dims == ("group",)


def test_the_strongest_of_two_labels_is_the_one_to_hold_out():
    y = np.repeat([0.0, 1.0, 10.0, 11.0], 10)
    labels = {"fine": np.repeat([0, 1, 2, 3], 10), "coarse": np.repeat([0, 1], 20)}
    report = audit(y=y, groups=labels)
    assert report.split == "fine" and len(report.findings) == 2
    assert report.title == "Audit of 40 rows"
    assert audit(y=y, groups=dict(reversed(labels.items()))).split == "fine"


def test_a_label_counts_from_a_twentieth_of_the_variance_on():
    # Halves of a class 1 % and 9 % apart from the majority, in equal folds whatever the order.
    book = ledger()
    y = np.array(["x", "y"] * 30)
    score_labels(book, y, "classification", {"none": np.zeros(60, int)}, None, 6)
    # One label for all: the commonest class in training, which is half right at most.
    assert book.findings == [] and book.confounders == [] and book.found == []


def test_scores_of_a_length_are_those_of_a_ridge_on_its_logarithm():
    lengths = np.random.default_rng(1).integers(0, 300, 60)
    y = np.log(np.maximum(lengths, 1)) + np.random.default_rng(2).normal(size=60)
    book = ledger()
    score_labels(book, y, "regression", {}, lengths, 4)
    predicted = np.empty(60)
    feature = np.log(np.maximum(lengths, 1))[:, None]
    for train, test in RandomSplit(4, np.random.default_rng(3)).split(y):
        model = make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(feature[train], y[train])
        predicted[test] = model.predict(feature[test])
    known = made(book)
    assert list(known) == ["length_only_r2", "length_only_spearman"]
    # The same numbers in another order of summing.
    assert known["length_only_r2"].value == pytest.approx(r2_score(y, predicted), abs=1e-10)
    assert known["length_only_r2"].long_name == "R2 from the length alone"
    assert known["length_only_spearman"].long_name == "Spearman correlation from the length alone"
    assert "group" not in book.coords


def test_equal_lengths_are_no_feature_and_different_ones_are():
    y = np.random.default_rng(0).normal(size=12)
    assert "length_only_r2" not in audit(words(12), y).parameters
    rows = words(12)
    rows[0] = rows[0][:-1]
    assert "length_only_r2" in audit(rows, y).parameters


# ------------------------------------------------------------------ features


def drifting(n=120):
    rng = np.random.default_rng(4)
    animal = np.repeat(np.arange(6), n // 6)
    X = animal[:, None] + 0.3 * rng.normal(size=(n, 2))
    return X, 0.8 * np.array([3, -1, 2, -2, 0, 1.0])[animal] + 0.1 * rng.normal(size=n), animal


def by_hand(X, y, folds, model=None):
    model = make_pipeline(StandardScaler(), Ridge(alpha=1.0)) if model is None else model
    predicted = np.empty(y.shape, y.dtype)
    for train, test in folds:
        predicted[test] = model.fit(X[train], y[train]).predict(X[test])
    return predicted


def test_features_are_scored_at_random_by_group_and_by_block():
    X, y, animal = drifting()
    book = ledger()
    unique = np.arange(len(y))
    groups = {"animal": animal, "row": unique, "all": np.zeros(len(y), int)}
    score_features(book, X, y, "regression", groups, 5, ordered=True)
    known = made(book)
    folds = list(RandomSplit(5, np.random.default_rng(3)).split(X))
    random = r2_score(y, by_hand(X, y, folds))
    animals = r2_score(y, by_hand(X, y, GroupKFold(5).split(X, groups=animal)))
    blocks = r2_score(y, by_hand(X, y, BlockedSplit(5, 1).split(X)))
    # The same sums in another order.
    assert known["features_random_r2"].value == pytest.approx(random, abs=1e-10)
    assert known["features_random_r2"].long_name == "R2 from columns, random split"
    assert book.coords["held_out"] == ["animal", "blocks of time"]
    assert known["features_held_out_r2"].value == pytest.approx([animals, blocks], abs=1e-10)
    assert known["features_held_out_r2"].long_name == "R2 from columns, held out"
    assert known["features_held_out_r2"].dims == ("held_out",)
    told = [f for f in book.findings if f.startswith("From columns")]
    assert told == [
        f"From columns, R2 is {format_number(random)} under a random split and "
        f"{format_number(score)} when whole {name} are held out."
        for name, score in (("animal", animals), ("blocks of time", blocks))
        if random - score > 0.05 and random > 0
    ]
    assert len(told) == 2 and book.found == [AuditStatus.LEAKS] * 2
    ((drop, name),) = book.confounders
    assert name == "animal" and drop == pytest.approx(random - animals, abs=1e-10)


def test_a_label_that_confounds_already_is_not_named_twice():
    X, y, animal = drifting()
    book = ledger()
    book.confounders.append((0.9, "animal"))
    book.clusters = animal
    score_features(book, X, y, "regression", {"animal": animal}, 3, ordered=False)
    assert book.confounders == [(0.9, "animal")]
    # Families of copies are held out as well, and are no label of yours.
    assert book.coords["held_out"] == ["animal", "clusters"]
    held = made(book)["features_held_out_r2"]
    assert held.value[0] == held.value[1]
    assert held.method == "out of fold, pooled; bootstrap over at most 3 folds"


def test_blocks_of_time_are_a_hundredth_of_the_rows_apart():
    X = np.random.default_rng(0).normal(size=(300, 1))
    walk = np.cumsum(np.random.default_rng(1).normal(size=300))
    book = ledger()
    score_features(book, X, walk, "regression", {}, 4, ordered=True)
    expected = r2_score(walk, by_hand(X, walk, BlockedSplit(4, 3).split(X)))
    assert made(book)["features_held_out_r2"].value == pytest.approx([expected], abs=1e-10)


@pytest.mark.parametrize("ordered", [False, True])
def test_of_many_rows_some_are_used_and_it_is_said(monkeypatch, ordered):
    monkeypatch.setattr(audit_baselines, "MAX_ROWS", 50)
    X, y, _ = drifting()
    book = ledger()
    score_features(book, X, y, "regression", {}, 5, ordered=ordered)
    assert book.findings[0] == "Feature baselines used 50 of 120 rows."
    rng = np.random.default_rng(3)
    keep = np.arange(50) if ordered else np.sort(rng.permutation(120)[:50])
    folds = list(RandomSplit(5, rng).split(X[keep]))
    expected = r2_score(y[keep], by_hand(X[keep], y[keep], folds))
    assert made(book)["features_random_r2"].value == pytest.approx(expected, abs=1e-10)
    monkeypatch.setattr(audit_baselines, "MAX_ROWS", 120)
    whole = ledger()
    score_features(whole, X, y, "regression", {}, 5, ordered=ordered)
    assert not any("Feature baselines" in f for f in whole.findings)


def test_rows_with_a_missing_value_are_left_out_of_the_features():
    X, y, animal = drifting()
    holed = X.copy()
    holed[[3, 60], [0, 1]] = np.nan
    keep = np.isfinite(holed).all(axis=1)
    one, other = ledger(), ledger()
    score_features(one, holed, y, "regression", {"animal": animal}, 5, ordered=False)
    score_features(other, X[keep], y[keep], "regression", {"animal": animal[keep]}, 5, False)
    for name, estimate in made(other).items():
        assert np.array_equal(made(one)[name].value, estimate.value)


def test_classes_leak_only_where_they_score_above_the_majority():
    rng = np.random.default_rng(0)
    animal = np.repeat(np.arange(8), 15)
    X = rng.normal(size=(8, 6))[animal] + 0.01 * rng.normal(size=(120, 6))
    y = np.array(list("ppqpqqpq"))[animal]
    book = ledger()
    score_features(book, X, y, "classification", {"animal": animal}, 5, ordered=False)
    lda = make_pipeline(
        StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    )
    folds = list(RandomSplit(5, np.random.default_rng(3)).split(X))
    random = np.mean(by_hand(X, y, folds, lda) == y)
    held = np.mean(by_hand(X, y, GroupKFold(5).split(X, groups=animal), lda) == y)
    known = made(book)
    assert known["features_random_accuracy"].value == random > 0.5
    assert known["features_held_out_accuracy"].value == [held]
    assert random - held > 0.05
    assert book.findings[0] == (
        f"From columns, accuracy is {format_number(random)} under a random split and "
        f"{format_number(held)} when whole animal are held out."
    )


def test_labels_are_read_with_the_accuracy_of_a_discriminant():
    rng = np.random.default_rng(6)
    day = np.repeat([0, 1, 2], [40, 20, 4])
    X = np.stack([day + 0.2 * rng.normal(size=64), rng.normal(size=64)], axis=1)
    groups = {"day": day, "one": np.zeros(64, int), "batch": rng.permutation(64) % 2}
    book = ledger()
    read_labels(book, X, "columns", groups, 5)
    # The third day has four rows, fewer than folds; the two others are left.
    rng = np.random.default_rng(3)
    lda = make_pipeline(
        StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    )
    rows = np.arange(60)
    read = by_hand(X[:60], day[:60], list(RandomSplit(5, rng).split(rows)), lda)
    expected = np.mean(read == day[:60])
    assert expected > 0.9
    known = made(book)["label_readable"]
    assert book.coords["readable"] == ["day", "batch"]
    assert known.value[0] == expected and known.dims == ("readable",)
    assert known.long_name == "accuracy of the label read from the features"
    assert known.method == "linear discriminant on columns, out of fold"
    assert known.reason == "fewer than 3 folds" and known.units == "1"
    low, high = known.ci[0]
    assert low <= expected <= high
    majority = made(book)["label_majority"]
    assert majority.value == [40 / 60, 0.5] and majority.dims == ("readable",)
    assert majority.long_name == "share of the commonest label"
    assert book.findings == [
        f"day can be read from columns with accuracy {format_number(expected)} (majority 0.667): "
        "a model can use it without being told."
    ]
    assert book.found == []


@pytest.mark.parametrize(("n_labels", "asked"), [(100, True), (101, False)])
def test_more_than_a_hundred_labels_are_not_read(n_labels, asked):
    labels = np.repeat(np.arange(n_labels), 5)
    book = ledger()
    read_labels(book, labels[:, None].astype(float), "columns", {"cell": labels}, 2)
    assert ("readable" in book.coords) == asked


@pytest.mark.parametrize(("size", "asked"), [(5, True), (4, False)])
def test_labels_are_read_from_five_rows_each_on(size, asked):
    labels = np.repeat([0, 1], size)
    book = ledger()
    read_labels(book, labels[:, None] + np.arange(2.0 * size)[:, None] / 99, "x", {"a": labels}, 2)
    assert ("readable" in book.coords) == asked
    few = ledger()
    read_labels(few, np.arange(12.0)[:, None], "x", {"a": np.repeat([0, 1], 6)}, 7)
    assert "readable" not in few.coords


# ------------------------------------------------------------------ what came


def test_without_labels_a_random_split_will_do_and_with_them_it_is_said_for_whom():
    X = np.random.default_rng(0).normal(size=(30, 2))
    y = X[:, 0] + np.random.default_rng(1).normal(size=30)
    bare = audit(X, y)
    assert bare.split == "random" and bare.honest_split == (
        "a random split will do as far as these checks see; no groups were given."
    )
    rng = np.random.default_rng(5)
    groups = {"day": rng.permutation(30) % 3, "rig": rng.permutation(30) % 2}
    assert audit(X, groups=groups).honest_split == (
        "a random split will do as far as these checks see; for a claim about a new day or rig "
        "still hold whole labels out."
    )


def test_a_column_of_targets_is_the_same_as_its_values():
    X, y, _ = drifting(60)
    assert audit(X, y[:, None]).report() == audit(X, y).report()
    two = audit(X, np.stack([y, y], axis=1)).parameters["features_random_r2"]
    # Two equal outputs have the mean of two equal scores.
    assert float(two) == pytest.approx(float(audit(X, y).parameters["features_random_r2"]))


def test_the_defaults_are_five_folds_and_seed_0():
    X, y, animal = drifting(60)
    plain = audit(X, y, groups={"animal": animal})
    given = audit(X, y, groups={"animal": animal}, n_splits=5, confidence_level=0.95, rng=0)
    assert plain.report() == given.report()
    assert plain.parameters["features_random_r2_ci"].attrs["ci_prob"] == 0.95
    four = audit(X, y, n_splits=4, confidence_level=0.5)
    assert four.parameters["features_random_r2_ci"].attrs["ci_prob"] == 0.5
    assert four.settings == {"kmer": 40, "n_splits": 4}
    method = four.parameters["features_random_r2"].attrs["method"]
    assert method == "out of fold, pooled; bootstrap over at most 4 folds"


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: audit(np.zeros((4, 2)), np.zeros(3), groups={"day": [1, 2, 3, 4]}), ShapeError,
         "Lengths came as day 4, y 3, X 4. X, y and every group of one length, at least 2 rows"),
        (lambda: audit(np.zeros((1, 2))), ShapeError, "Lengths came as X 1"),
        (lambda: audit(), ShapeError, "Lengths came as nothing"),
        (lambda: audit(np.zeros((4, 2)), np.zeros((4, 1, 1))), ShapeError,
         r"y has shape \(4, 1, 1\)"),
        (lambda: audit(np.zeros((4, 2)), np.array([["a", "b"]] * 4)), ShapeError,
         r"y has shape \(4, 2\)"),
        (lambda: audit(np.zeros((4, 2)), np.zeros((4, 0))), ShapeError, r"y has shape \(4, 0\)"),
        (lambda: audit(np.zeros((4, 2)), np.array([1, np.nan, np.nan, 2])), DataError,
         "y holds 2 values that are not finite"),
        (lambda: audit(np.zeros((4, 0))), ShapeError, r"X has shape \(4, 0\) and type float64"),
        (lambda: audit(np.zeros(4)), ShapeError, r"X has shape \(4,\)"),
        (lambda: audit(np.zeros((4, 2)), test=["MK", "VL"]), KindError,
         "test holds protein sequences and X rows"),
        (lambda: audit(xr.Dataset({"a": ("x", [1.0]), "b": ("x", [1.0])})), KindError,
         "A whole recording came, with variables a, b"),
        (lambda: audit(np.zeros((6, 2)), np.array(list("abcdaa")), n_splits=2), DataError,
         "4 different classes in 6 rows"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_full(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_two_rows_are_enough():
    assert audit(np.array([[0.0], [1.0]])).title == "Audit of 2 rows"


def test_groups_of_a_sequence_set_are_used_unless_others_are_given():
    genes = SequenceSet.from_sequences(
        [str(k) for k in range(12)], words(12), groups={"family": np.repeat([0, 1], 6)}
    )
    y = np.random.default_rng(0).normal(size=12)
    assert audit(genes, y).parameters["group"].values.tolist() == ["family"]
    other = audit(genes, y, groups={"lab": np.tile([0, 1], 6)})
    assert other.parameters["group"].values.tolist() == ["lab"]
