import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.data import SequenceSet, audit
from neurornn.data.audit_report import AuditStatus


def sequences(n, rng, length=80):
    return ["".join(row) for row in rng.choice(list("ACGT"), (n, length))]


def test_independent_rows_are_clean(rng):
    X = rng.normal(size=(300, 5))
    y = X[:, 0] + rng.normal(size=300)
    report = audit(X, y, groups={"batch": rng.integers(0, 6, 300)})
    assert report.status == AuditStatus.CLEAN
    assert report.split == "random"
    assert int(report.parameters["duplicate_rows"]) == 0
    # y is half signal, half noise: R2 0.5, known to 0.05 from 300 rows; four times that.
    assert abs(float(report.parameters["features_random_r2"]) - 0.5) < 0.2


def test_a_confounder_is_named_and_its_score_known(rng):
    # Ten species with means of spread 2 and noise 1: the label explains 4/5 of the variance.
    species = np.repeat(np.arange(10), 200)
    means = np.linspace(-1, 1, 10)
    means *= 2 / means.std()
    y = means[species] + rng.normal(size=2000)
    X = np.stack([species + rng.normal(size=2000), rng.normal(size=2000)], axis=1)
    report = audit(X, y, groups={"day": rng.integers(0, 5, 2000), "species": species})
    table = report.parameters
    assert report.status == AuditStatus.CONFOUNDED
    assert report.split == "species"
    assert "split_groups(X, species)" in report.honest_split
    # 2000 rows: the standard error of R2 is below 0.01.
    assert float(table["label_only_r2"].sel(group="species")) == pytest.approx(0.8, abs=0.03)
    assert abs(float(table["label_only_r2"].sel(group="day"))) < 0.02
    low, high = table["label_only_r2_ci"].sel(group="species").values
    assert low < 0.8 < high
    readable = table["label_readable"].sel(readable=["day", "species"]).values
    assert readable[0] < 0.3 < readable[1]
    assert any("can be read" in f for f in report.findings)


@pytest.mark.slow
def test_what_guesses_no_better_than_chance_is_no_leak():
    rng = np.random.default_rng(5)
    # Few rows, no relation: scores lie below 0 and differ by chance.
    for _ in range(5):
        report = audit(
            rng.normal(size=(40, 6)), rng.normal(size=40), groups={"a": list("xy") * 20}
        )
        if float(report.parameters["features_random_r2"]) <= 0:
            assert AuditStatus.LEAKS not in report.statuses


@pytest.mark.parametrize("rare", [1, 2])
def test_a_rare_class_is_no_obstacle(rng, rare):
    y = np.array(["a"] * (40 - rare) + ["b"] * rare)
    report = audit(rng.normal(size=(40, 2)), y)
    assert float(report.parameters["majority"]) == 1 - rare / 40


def test_copies_conflicts_and_clusters(rng):
    X = rng.normal(size=(50, 3))
    X = np.concatenate([X, X[:4], X[:1]])
    y = np.array(["a", "b"])[rng.integers(0, 2, 55)]
    y[50:] = y[[0, 1, 2, 3, 0]]
    y[51] = "b" if y[1] == "a" else "a"
    report = audit(X, y)
    table = report.parameters
    assert int(table["duplicate_rows"]) == 5
    assert int(table["duplicate_sets"]) == 4
    assert int(table["conflicting_sets"]) == 1
    assert report.split == "clusters"
    assert len(set(report.clusters[[0, 50, 54]])) == 1
    assert len(set(report.clusters)) == 50


def test_shared_stretches_between_train_and_test(rng):
    train = sequences(60, rng)
    test = sequences(20, rng)
    test[0] = train[7]
    test[1] = test[1][:20] + train[8][10:50] + test[1][60:]
    test[2] = test[2][:20] + train[9][10:49] + test[2][59:]
    report = audit(train, test=test, kmer=40)
    assert int(report.parameters["test_copies"]) == 1
    # Two share 40 letters; the third shares 39, and one more letter agrees by chance with 7/16.
    assert float(report.parameters["test_shared_kmer"]) in (2 / 20, 3 / 20)
    exact = audit(train, test=test, kmer=39).parameters["test_shared_kmer"]
    assert float(exact) == 3 / 20


def test_test_rows_as_a_mask_numbers_or_another_set(rng):
    X = rng.normal(size=(40, 2))
    X[30] = X[3]
    mask = np.arange(40) >= 25
    for test in (mask, np.flatnonzero(mask)):
        assert int(audit(X, test=test).parameters["test_copies"]) == 1
    assert int(audit(X[:25], test=X[25:]).parameters["test_copies"]) == 1


def test_length_alone_can_give_the_answer_away(rng):
    lengths = rng.integers(30, 300, 200)
    chains = ["".join(rng.choice(list("ACDEFGHIKL"), n)) for n in lengths]
    report = audit(chains, np.log(lengths) + 0.1 * rng.normal(size=200))
    assert report.title.endswith("protein sequences")
    # log length is the feature, noise 0.1 against a spread of 0.6: R2 of about 0.97.
    assert float(report.parameters["length_only_r2"]) > 0.9


def test_bins_of_a_recording_are_split_by_time(rng):
    # Twenty slow wanderers: a smooth target is fitted by chance between neighbours.
    walk = np.cumsum(rng.normal(size=(600, 21)), axis=0)
    X = xr.DataArray(walk[:, 1:], dims=("time", "unit"), coords={"time": np.arange(600) / 10})
    report = audit(X, walk[:, 0])
    assert report.split == "blocked"
    assert AuditStatus.LEAKS in report.statuses
    held = report.parameters["features_held_out_r2"].sel(held_out="blocks of time")
    assert float(report.parameters["features_random_r2"]) - float(held) > 0.2
    counts = xr.DataArray(np.zeros((50, 2), int), dims=("time", "unit"))
    assert audit(counts).status == AuditStatus.CLEAN


def test_groups_of_a_sequence_set_are_used(rng):
    genes = SequenceSet.from_sequences(
        [str(k) for k in range(60)],
        sequences(60, rng),
        groups={"family": np.repeat([0, 1, 2], 20)},
    )
    y = np.repeat(["x", "y", "z"], 20)
    report = audit(genes, y)
    assert report.parameters["label_only_accuracy"].sel(group="family") == 1
    assert report.split == "family"


def test_targets_and_labels_are_enough(rng):
    species = np.repeat(["a", "b"], 100)
    report = audit(y=np.where(species == "a", 1.0, 5.0) + rng.normal(size=200),
                   groups={"species": species})  # fmt: skip
    # Means 4 apart, noise 1: the label explains 4 of 5 parts.
    assert float(report.parameters["label_only_r2"].squeeze()) == pytest.approx(0.8, abs=0.06)


def test_same_seed_same_report_and_every_form_shows_it(rng):
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    one, other = (audit(X, y, groups={"day": np.repeat([1, 2, 3], 20)}, rng=4) for _ in range(2))
    assert one.report() == other.report() == str(one)
    assert one.report().splitlines()[-1].startswith("Honest split: ")
    assert "<table>" in one._repr_html_()
    assert repr(one).startswith("AuditReport(Audit of 60 rows")
    for name in one.parameters.data_vars:
        if not name.endswith("_ci"):
            assert one.parameters[name].attrs["units"] == "1"
            assert f"{name}_ci" in one.parameters


def test_shuffling_rows_does_not_change_the_counts(rng):
    strings = sequences(30, rng)
    strings += strings[:6]
    order = rng.permutation(36)
    one = audit(strings).parameters
    other = audit([strings[k] for k in order]).parameters
    for name in ("duplicate_rows", "duplicate_sets", "shared_kmer"):
        assert float(one[name]) == float(other[name])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: audit(), ShapeError, "nothing"),
        (lambda: audit(np.zeros((4, 2)), np.zeros(3)), ShapeError, "X 4|y 3"),
        (lambda: audit(np.zeros(4)), ShapeError, "reshape"),
        (lambda: audit(xr.Dataset({"a": ("time", [1.0])})), KindError, "bin_spikes"),
        (lambda: audit(np.zeros((4, 2)), np.array([1, 2, np.nan, 3])), DataError, "keep"),
        (lambda: audit(np.zeros((4, 2)), np.zeros(4), task="regresion"), NameUnknownError,
         "'regression'"),
        (lambda: audit(["ACGT", "ACGA"], test=np.zeros((2, 2))), KindError, "flatnonzero"),
        (lambda: audit(y=np.zeros(4), test=["A"]), KindError, "X nothing"),
    ],
)  # fmt: skip
def test_mistakes_say_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_shares_in_the_findings_are_those_of_the_table(rng):
    train, test = sequences(60, rng), sequences(20, rng)
    test[0], test[1] = train[7], test[1][:20] + train[8][10:60] + test[1][70:]
    report = audit(train, test=test, kmer=40)
    share = float(report.parameters["test_shared_kmer"])
    assert share == 2 / 20
    said = [f for f in report.findings if "share at least one 40-mer with training" in f]
    assert said and said[0].startswith("1 of 20 test rows are copies") and "2 (10.0 %)" in said[0]
    alike = audit([*train, train[3], train[4][:70] + test[5][70:]], kmer=40)
    linked = float(alike.parameters["shared_kmer"])
    assert any(f"4 of 62 sequences ({100 * linked:.1f} %)" in f for f in alike.findings)
    assert linked == 4 / 62


def test_lengths_that_are_all_the_same_are_not_looked_at(rng):
    y = rng.normal(size=40)
    same = audit(sequences(40, rng), y).parameters
    assert not any("length" in str(v) for v in [*same.coords.get("label", []), *same])


def test_as_many_classes_as_half_the_rows_are_enough_and_more_are_too_many(rng):
    from neurornn._core.errors import DataError

    X = rng.normal(size=(12, 2))
    audit(X, np.array(list("aabbccddeeff")))
    with pytest.raises(DataError, match="7 different classes in 12 rows"):
        audit(X, np.array(list("aabbccddeefg")))
