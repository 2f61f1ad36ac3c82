import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError, SplitError
from neurornn.data import SequenceSet
from neurornn.data.audit_decoding import decodability
from neurornn.data.baselines import simple_features
from neurornn.data.residue_scales import MOST_STRETCHES, RESIDUES, SCALES, stretches
from neurornn.sequences.stability import as_proteins, within_species
from neurornn.sequences.stability_training import erasure, scores_within


def made(n=150, n_species=3, seed=0, **kwargs):
    table = nr.simulate.simulate_proteins(n, n_species, length=60, rng=seed, **kwargs)
    names = [f"p{k}" for k in range(n)]
    return (
        SequenceSet.from_sequences(names, table["letters"].values.tolist(), "protein"),
        table["tm"].values,
        table["species"].values,
    )


def small(**kwargs):
    return nr.sequences.StabilityModel(
        **{"n_seeds": 1, "n_hidden": 6, "max_epochs": 10, "learning_rate": 0.01, **kwargs}
    )


@pytest.fixture(scope="module")
def fitted():
    proteins, tm, species = made()
    return small(n_seeds=2, max_epochs=2).fit(proteins, tm, species=species), proteins, tm, species


@pytest.mark.slow
def test_an_effect_that_species_hide_is_found_in_a_species_never_seen():
    proteins, tm, species = made(450)
    held = nr.data.cross_score(
        small(), proteins, tm, split="leave-group-out", groups=species, scoring=None
    )
    # Half of the variance within a species is the effect, which a correlation of 0.7 would find
    # whole; letters that species differ in take some of it.
    assert float(held["score_mean"]) > 0.3
    assert held["group"].values.tolist() == ["species 1", "species 2", "species 3"]
    x, pooled = simple_features(proteins)[0], np.empty(len(tm))
    for name in np.unique(species):
        rest = species != name
        pooled[~rest] = Ridge(1e-3).fit(x[rest], tm[rest]).predict(x[~rest])
    number = np.unique(species, return_inverse=True)[1]
    # The same letters, with melting points of all species together, have the wrong sign where a
    # species has not been seen, and say less within it.
    assert spearmanr(pooled, tm)[0] < 0
    table = np.stack([pooled, tm, number], 1)
    assert float(held["score_mean"]) > within_species(table)


def test_how_hot_a_species_is_does_not_matter(fitted):
    model, proteins, tm, species = fitted
    warmer = tm + 9.0 * (species == "species 2")
    again = small(n_seeds=2, max_epochs=2).fit(proteins, warmer, species=species)
    assert np.array_equal(again.predict(proteins), model.predict(proteins))


def test_normal_scores_rank_within_a_species():
    tm, number = np.array([1.0, 5.0, 3.0, 90.0, 70.0]), np.array([0, 0, 0, 1, 1])
    found = scores_within(tm, number)
    # Ranks 1, 3, 2 of 3: the normal quantiles of 1/6, 5/6 and 1/2.
    assert found[:3] == pytest.approx([-0.96742, 0.96742, 0.0], abs=1e-4)
    assert found[3] == pytest.approx(-found[4])


def test_means_of_species_are_erased_and_little_else(rng):
    number = rng.integers(3, size=900)
    x = rng.normal(size=(900, 5)) @ rng.normal(size=(5, 5)) + 2.0 * rng.normal(size=(3, 5))[number]
    map_ = erasure(x, number)
    out = (x - map_[0]) @ map_[1:].T + map_[0]
    means = np.stack([out[number == k].mean(0) for k in range(3)])
    assert np.ptp(means, axis=0).max() < 1e-9
    # Two directions are taken out, three are left.
    assert np.linalg.matrix_rank(out - out.mean(0), tol=1e-6) == 3
    # What has nothing to do with species stays: erased twice is erased once.
    assert np.allclose((out - map_[0]) @ map_[1:].T + map_[0], out)
    assert decodability(x, number)[0] > 0.6 > 0.4 > decodability(out, number)[0]
    assert erasure(x, np.zeros(900, int)) is None


def test_nothing_linear_tells_the_species_of_the_training(fitted):
    model, proteins, _, species = fitted
    features = model.transform(proteins)
    # Three species of the training: five directions, of which two are taken out.
    assert features.shape == (150, 10)
    assert np.linalg.matrix_rank(features - features.mean(0), tol=1e-6) == 6
    # One third by chance; 150 proteins leave a standard error of 0.04.
    assert decodability(features, species)[0] < 0.47
    assert decodability(simple_features(proteins)[0], species)[0] > 0.6


def test_the_report_shows_plain_models_beside(fitted):
    model, *_ = fitted
    text = model.report()
    for name in ("ridge", "pairs", "trees", "label"):
        assert f"spearman_{name}" in text
    table = model.parameters_
    assert float(table["spearman_label"]) == 0
    assert table["species"].values.tolist() == ["species 1", "species 2", "species 3"]
    low, high = table["spearman_mean_ci"].values
    assert low <= float(table["spearman_mean"]) <= high
    assert float(table["decodable_chance"]) == pytest.approx(1 / 3)


def test_a_plain_model_that_predicts_as_well_is_named(fitted):
    from copy import copy

    model, *_ = fitted
    told = copy(model)
    told.parameters_ = model.parameters_.copy(deep=True)
    first = str(model.parameters_["species"].values[0])
    for name in ("ridge", "pairs", "trees"):
        told.parameters_[f"spearman_{name}"][:] = told.parameters_["spearman"].values - 0.1
    assert "NO BETTER" not in told.report()
    told.parameters_["spearman_ridge"][0] += 0.2
    assert f"NO BETTER than a ridge on composition and length in {first}\n" in told.report()


def test_it_is_saved_and_loaded(fitted, tmp_path):
    model, proteins, *_ = fitted
    model.save(tmp_path / "model")
    again = nr.load(tmp_path / "model")
    assert np.array_equal(again.predict(proteins), model.predict(proteins))
    assert np.array_equal(again.transform(proteins), model.transform(proteins))
    assert again.report() == model.report()


def test_a_protein_is_read_the_same_in_any_company(fitted):
    model, proteins, *_ = fitted
    some = [proteins[k] for k in (3, 40, 7)]
    together = model.predict(some)
    # Single precision: a batch adds up in another order.
    assert model.predict([some[0]]) == pytest.approx(together[:1], abs=1e-5)
    assert model.predict([s.lower() for s in some]) == pytest.approx(together, abs=1e-6)
    assert model.predict([s + "*" for s in some]) == pytest.approx(together, abs=1e-6)
    order = [2, 0, 1]
    assert model.predict([some[k] for k in order]) == pytest.approx(together[order], abs=1e-6)


def test_stretches_hold_shares_and_scales():
    x = stretches(SequenceSet.from_sequences(["a", "b"], ["K" * 16 + "A" * 8, "W"], "protein"))
    # 24 residues are two stretches of 12: all K, then 4 K and 8 A.
    k, a = RESIDUES.index("K"), RESIDUES.index("A")
    assert x[0, 0, k] == 1 and x[0, 1, k] == pytest.approx(1 / 3)
    assert x[0, 1, a] == pytest.approx(2 / 3)
    assert x.shape[1] == 2 and x[0, :, -1].all()
    assert x[1, 0, -1] == 1 and not x[1, 1].any()
    charge = np.array(SCALES["charge"])
    column = len(RESIDUES) + list(SCALES).index("charge")
    assert x[0, 0, column] == pytest.approx((1 - charge.mean()) / charge.std())
    # A letter that is not known counts as none, a protein of 5000 has as many stretches.
    odd = stretches(SequenceSet.from_sequences(["a", "b"], ["XBZU", "M" * 5000], "protein"))
    assert not odd[0, :, :20].any() and odd[0, 0, -1] == 1
    assert odd[1, :, -1].all() and odd.shape[1] == MOST_STRETCHES and not odd[0, 1:].any()


@pytest.mark.parametrize(
    ("scale", "highest", "lowest"),
    [("hydropathy", "I", "R"), ("volume", "W", "G"), ("helix", "E", "G"), ("strand", "V", "E")],
)
def test_scales_are_in_the_order_of_the_letters(scale, highest, lowest):
    values = dict(zip(RESIDUES, SCALES[scale], strict=True))
    least = min(values.values())
    assert max(values, key=values.__getitem__) == highest
    assert values[lowest] == least


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda p, t, s: (p, t + 273.15, s), DataError, "Subtract 273.15"),
        (lambda p, t, s: (p, t[:-1], s), ShapeError, "One melting point for each"),
        (lambda p, t, s: (p, np.where(np.arange(len(t)) == 3, np.nan, t), s), ValueError, "y"),
        (lambda p, t, s: (p, t, s[:-1]), ShapeError, "One label for each"),
        (lambda p, t, s: (p, t, ["lonely", *s[1:]]), DataError, "lonely has 1 proteins"),
        (lambda p, t, s: ([*p[:-1], "MK-LV"], t, s), DataError, "gaps"),
        (lambda p, t, s: ([*p[:-1], "MK*LV"], t, s), DataError, "stop"),
        (lambda p, t, s: ([*p[:-1], "XXX"], t, s), DataError, "none of a known"),
        (lambda p, t, s: ("MKLV", t, s), KindError, "Pass \\[protein\\]"),
        (lambda p, t, s: (SequenceSet.from_sequences(["a"], ["ACGT"]), t, s), KindError, "DNA"),
    ],
)
def test_what_cannot_be_read_is_told(change, error, words):
    proteins, tm, species = made(60, 2)
    with pytest.raises(error, match=words):
        X, y, labels = change(list(proteins), tm, species.tolist())
        small(max_epochs=1).fit(X, y, species=labels)


def test_one_species_is_told():
    proteins, tm, _ = made(60, 1)
    with pytest.warns(UserWarning, match="one species"):
        model = small(max_epochs=1).fit(proteins, tm)
    assert np.isnan(model.parameters_["decodable"].values).all()
    with pytest.raises(SplitError, match="At least two groups"):
        nr.data.cross_score(model, proteins, tm, split="leave-group-out", groups=["a"] * 60)


def test_the_group_of_a_set_is_its_species():
    proteins, tm, species = made(60, 2)
    labelled = SequenceSet.from_sequences(
        proteins.names, list(proteins), "protein", groups={"species": species}
    )
    assert small(max_epochs=1).fit(labelled, tm).species_.tolist() == ["species 1", "species 2"]


def test_a_stop_at_the_end_is_cut():
    found = as_proteins(["MKV*", "MKV"])
    assert list(found) == ["MKV", "MKV"]


def test_a_constant_prediction_within_a_species_has_no_score(rng):
    tm = rng.normal(size=40)
    number = np.repeat([0.0, 1.0], 20)
    # The species alone, however well it tells the melting points of all together.
    assert within_species(np.stack([number, tm + 9 * number, number], 1)) == 0
    assert within_species(np.stack([tm, tm + 9 * number, number], 1)) == pytest.approx(1)


class Plain:
    """Counts K; knows what species it was told of."""

    told: list = []  # noqa: RUF012

    def get_params(self, deep=False):
        return {}

    def fit(self, X, y, species=None):
        self.told.append(sorted(set(species)))
        return self

    def score(self, X, y):
        return float(len(self.told[-1]))


def test_a_curve_learns_from_one_species_then_from_more():
    proteins, tm, species = made(80, 4)
    Plain.told.clear()
    table = nr.sequences.species_curve(Plain(), proteins, tm, species, most=2)
    # The score is the number of species: 1, 2, 3 for whichever is held out.
    assert table["score"].values.tolist() == [1, 2, 3]
    assert table["n_fits"].values.tolist() == [8, 8, 4]
    assert all(len(set(t)) == len(t) for t in Plain.told)
    with pytest.raises(SplitError, match="one species"):
        nr.sequences.species_curve(Plain(), proteins, tm, ["a"] * 80)


def test_simulated_species_hide_the_effect():
    table = nr.simulate.simulate_proteins(2000, 5, rng=1)
    tm, truth, species = (table[n].values for n in ("tm", "stability_true", "species"))
    means = [truth[species == s].mean() for s in np.unique(species)]
    assert np.abs(means).max() < 1e-9
    # Effect 3 and noise 3: half of the variance within a species.
    inside = [np.corrcoef(tm[species == s], truth[species == s])[0, 1] ** 2
              for s in np.unique(species)]  # fmt: skip
    assert np.mean(inside) == pytest.approx(0.5, abs=0.05)
    raising = np.array([sum(s.count(c) for c in "EKR") / len(s)
                        for s in table["letters"].values.tolist()])  # fmt: skip
    # Within a species it raises melting points; cold species have more of it.
    assert spearmanr(raising, truth)[0] > 0.2
    means = [raising[species == s].mean() for s in np.unique(species)]
    assert means[-1] > means[0] and tm[species == "species 1"].mean() > 50
