import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import average_precision_score

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.data.kmers import cluster_by_kmers
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences import SpliceSites
from neurornn.sequences.splice_network import SiteReader
from neurornn.sequences.splice_training import held_out_parts, temperature_of

LENGTH, PLACE, FALSE = 40, 12, 30
SMALL = {"n_seeds": 2, "n_hidden": 4, "n_channels": 12, "max_epochs": 8, "learning_rate": 5e-3}


def simulated(n=600, seed=0):
    """Windows with GT at two places; at the first, sites carry AG before it and AAGT behind it."""
    draw = np.random.default_rng(seed)
    letters = draw.choice(list("ACGT"), (n, LENGTH))
    labels = np.arange(n) % 2
    for row, label in zip(letters, labels, strict=True):
        for where in (PLACE, FALSE):
            row[where : where + 2] = list("GT")
        if label:
            for k, letter in zip((-2, -1, 2, 3, 4, 5), "AGAAGT", strict=True):
                # A quarter of the letters differ from site to site.
                if draw.random() < 0.75:
                    row[PLACE + k] = letter
    return ["".join(row) for row in letters], labels


@pytest.fixture(scope="module")
def learned():
    windows, labels = simulated()
    return SpliceSites("donor", position=PLACE, **SMALL).fit(windows, labels)


def test_a_motif_at_a_known_place_is_learned(learned):
    windows, labels = simulated(seed=1)
    # The best that anyone can do here: the number of letters of the motif.
    best = [sum(w[PLACE + k] == c for k, c in zip((-2, -1, 2, 3, 4, 5), "AGAAGT", strict=True))
            for w in windows]  # fmt: skip
    reached, possible = learned.score(windows, labels), average_precision_score(labels, best)
    assert possible > 0.95
    # Half of what separates a perfect score from the possible one is left for a small training.
    assert reached > possible - 0.03
    # A score says the same as its probabilities, and 0.5 parts the classes.
    chance = learned.predict_proba(windows)
    np.testing.assert_allclose(chance.sum(axis=1), 1)
    assert (learned.predict(windows) == (chance[:, 1] > 0.5)).all()
    assert np.mean(learned.predict(windows) == labels) > 0.85


@pytest.mark.slow
def test_a_state_read_at_another_place_knows_nothing():
    windows, labels = simulated()
    near, far = (
        SpliceSites("donor", position=where, reach=9, **SMALL).fit(windows, labels)
        for where in (PLACE, FALSE)
    )
    fresh, truth = simulated(seed=2)
    assert near.score(fresh, truth) > 0.9
    # Sites are half of the windows; sampling of 600 windows moves a blind score by .03.
    assert abs(far.score(fresh, truth) - 0.5) < 0.1


def test_the_site_is_found_where_all_sites_carry_its_letters():
    windows, labels = simulated()
    draw = np.random.default_rng(4)
    mixed = [
        w if y else "".join(draw.choice(list("ACGT"), LENGTH))
        for w, y in zip(windows, labels, strict=True)
    ]
    # Two places qualify; that nearer to the middle is taken.
    assert SpliceSites().locate(mixed, labels) == PLACE
    moved = [w[:FALSE] + "CC" + w[FALSE + 2 :] for w in mixed]
    assert SpliceSites().locate(moved, labels) == PLACE
    acceptors = [w.replace("GT", "AG") for w in moved]
    assert SpliceSites("acceptor").locate(acceptors, labels) == PLACE
    in_rna = SequenceSet.from_sequences(
        [f"w{k}" for k in range(len(moved))], [w.replace("T", "U") for w in moved], "rna"
    )
    assert SpliceSites().locate(in_rna, labels) == PLACE
    with pytest.raises(DataError, match="No place carries AG"):
        SpliceSites("acceptor").locate(moved, labels)


def test_windows_in_another_order_and_form_have_the_same_scores(learned):
    windows, _ = simulated(60, seed=3)
    odds = learned.decision_function(windows)
    # Products in another order differ in the last bits of single precision.
    np.testing.assert_allclose(learned.decision_function(windows[::-1])[::-1], odds, atol=1e-4)
    as_set = SequenceSet.from_sequences([f"s{k}" for k in range(60)], windows)
    np.testing.assert_array_equal(learned.decision_function(as_set), odds)
    lower = [w.lower() for w in windows]
    np.testing.assert_array_equal(learned.decision_function(lower), odds)
    assert np.isfinite(learned.decision_function(["N" * LENGTH])).all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_and_another_one_others(learned):
    windows, labels = simulated()
    again = clone(learned).fit(windows, labels)
    fresh, _ = simulated(50, seed=5)
    odds = learned.decision_function(fresh)
    np.testing.assert_array_equal(again.decision_function(fresh), odds)
    other = clone(learned).set_params(rng=1).fit(windows, labels)
    assert np.abs(other.decision_function(fresh) - odds).max() > 1e-3


def test_a_saved_model_says_the_same(learned, tmp_path):
    learned.save(tmp_path / "sites")
    again = nr.load(tmp_path / "sites")
    fresh, labels = simulated(50, seed=6)
    np.testing.assert_array_equal(again.decision_function(fresh), learned.decision_function(fresh))
    assert again.report() == learned.report()
    assert again.score(fresh, labels) == learned.score(fresh, labels)
    assert again.methods_text() == learned.methods_text()
    assert again.position_ == PLACE and again.classes_.tolist() == [0, 1]


def test_the_table_has_scores_with_intervals_beside_baselines(learned):
    table = learned.parameters_
    for name in ("auprc", "auprc_logistic", "auprc_constant", "temperature"):
        low, high = table[f"{name}_ci"].values
        assert low <= float(table[name]) <= high and low < high
    assert float(table["auprc_constant"]) == pytest.approx(0.5, abs=0.05)
    # Length constants are finite, and longer than what the start's shortest could fall to.
    assert (table["tau"].values > 0.5).all() and table["tau"].attrs["units"] == "bp"
    assert np.isnan(table["tau_ci"]).all() and "curvature" in table["tau_ci"].attrs["reason"]


@pytest.mark.slow
def test_only_letters_within_reach_count():
    windows, labels = simulated()
    model = SpliceSites("donor", position=PLACE, reach=6, **SMALL).fit(windows, labels)
    first, stop = model._edges()
    assert (first, stop) == (PLACE - 6, PLACE + 8)
    other = ["A" * first + w[first:stop] + "C" * (LENGTH - stop) for w in windows]
    np.testing.assert_array_equal(model.decision_function(other), model.decision_function(windows))


def test_the_states_are_those_of_a_bidirectional_layer_at_the_site():
    model = SiteReader(4, 3, site=8, length=20, n_channels=5, n_dense=6).eval()
    x = torch.eye(4)[torch.from_numpy(np.random.default_rng(0).integers(4, size=(7, 20)))]
    with torch.no_grad():
        features = model.features(x)
        both = torch.nn.GRU(5, 3, bidirectional=True, batch_first=True)
        for end, layer in (("", model.upstream), ("_reverse", model.downstream)):
            for name, value in layer.layers[0].named_parameters():
                getattr(both, name + end).copy_(value)
        states = both(features)[0][:, 8 // 2]
        halves = model.halves(features)
        own = [
            layer.scan(half, layer.start(7))[1]
            for layer, half in zip((model.upstream, model.downstream), halves, strict=True)
        ]
    # Two implementations in single precision.
    np.testing.assert_allclose(states, torch.cat(own, 1), atol=1e-5)
    out = model(x).output[..., 0]
    assert (out[:, 8] != 0).all() and not out[:, :8].any() and not out[:, 9:].any()


@pytest.mark.slow
def test_another_species_is_learned_from_bare_windows(learned):
    fresh, truth = simulated(1500, seed=7)
    # In the other species the motif has other letters at half of its places, and CC far away.
    draw = np.random.default_rng(8)
    rows = [list(w) for w in fresh]
    for row, label in zip(rows, truth, strict=True):
        row[PLACE + 4 : PLACE + 6] = draw.choice(list("ACGT"), 2)
        row[PLACE - 2 : PLACE] = draw.choice(list("ACGT"), 2)
        if label and draw.random() < 0.9:
            row[PLACE + 8 : PLACE + 12] = list("CCCC")
    other = ["".join(row) for row in rows]
    before = learned.score(other[1000:], truth[1000:])
    adapted = learned.adapt(other[:1000])
    assert before < 0.95 and adapted.score(other[1000:], truth[1000:]) > before + 0.02
    # Nothing is said that is not known, and the first model is as it was.
    table = adapted.parameters_
    assert np.isnan(table["auprc"]) and "not known" in table["auprc_ci"].attrs["reason"]
    assert float(table["temperature"]) == float(learned.parameters_["temperature"])
    assert "adapted" in adapted.report() and "adapted" not in learned.report()
    assert learned.score(other[1000:], truth[1000:]) == before
    with pytest.raises(DataError, match="At least 100 were needed"):
        learned.adapt(other[:50])
    with pytest.raises(DataError, match="share"):
        learned.adapt(other, share=1.5)


def test_parts_that_are_held_out_share_no_cluster_and_no_window():
    draw = np.random.default_rng(0)
    clusters = np.unique(draw.integers(300, size=1000), return_inverse=True)[1]
    labels = (clusters % 3 == 0).astype(np.int64)
    parts = held_out_parts(clusters, labels, 4, 0.2, draw)
    inside = [set(clusters[p]) for p in parts]
    for k, part in enumerate(parts):
        assert not inside[k] & set(np.delete(clusters, part))
        assert len(part) == pytest.approx(200, abs=15)
        # As many sites as in all, up to a cluster.
        assert labels[part].mean() == pytest.approx(labels.mean(), abs=0.03)
    everything = np.concatenate(parts)
    assert len(np.unique(everything)) == len(everything)


def test_near_copies_are_held_out_together():
    windows, labels = simulated(60)
    twins = [w[:-1] + "A" for w in windows]
    names = [f"w{k}" for k in range(120)]
    clusters = cluster_by_kmers(SequenceSet.from_sequences(names, windows + twins), 30)
    parts = held_out_parts(clusters, np.tile(labels, 2), 2, 0.3, np.random.default_rng(0))
    for part in parts:
        assert {(k + 60) % 120 for k in part.tolist()} == set(part.tolist())


def test_the_temperature_undoes_a_factor():
    draw = np.random.default_rng(0)
    odds = 2 * draw.standard_normal(20_000)
    labels = (draw.random(20_000) < 1 / (1 + np.exp(-odds))).astype(float)
    # Its standard error is about .02 here.
    assert temperature_of(odds, labels) == pytest.approx(1, abs=0.06)
    assert temperature_of(3 * odds, labels) == pytest.approx(3, abs=0.2)


WINDOWS, LABELS = simulated(80)


@pytest.mark.parametrize(
    ("windows", "labels", "settings", "error", "text"),
    [
        ([*WINDOWS[:-1], "ACGT"], LABELS, {}, ShapeError, "4 to 40 bp long"),
        (WINDOWS[0], [1], {}, KindError, "A str came as windows"),
        ([1, 2], [0, 1], {}, KindError, "no strings"),
        ([], [], {}, DataError, "No windows came"),
        (WINDOWS, LABELS[:-1], {}, ShapeError, r"shape \(79,\) for 80 windows"),
        (WINDOWS, LABELS + 1, {}, DataError, "1 for a site and 0 for a decoy"),
        (WINDOWS, ["yes", "no"] * 40, {}, DataError, "'no', 'yes'"),
        (WINDOWS, np.ones(80), {}, DataError, "All 80 windows are sites"),
        (WINDOWS, np.zeros(80), {}, DataError, "All 80 windows are decoys"),
        (WINDOWS, LABELS, {"site": "acceptor"}, DataError, "No place carries AG"),
        (WINDOWS, LABELS, {"position": 3}, DataError, "At position 3 of windows of 40 bp"),
        (WINDOWS, LABELS, {"position": 39}, DataError, "nothing carry GT"),
        (WINDOWS, LABELS, {"site": "donnor"}, NameUnknownError, "donor"),
        (WINDOWS, LABELS, {"n_seeds": 4, "validation_fraction": 0.5}, DataError, "overlap"),
        ([WINDOWS[0], WINDOWS[1]] * 40, [0, 1] * 40, {}, DataError, "without a window"),
    ],
)  # fmt: skip
def test_wrong_input_is_explained(windows, labels, settings, error, text):
    with pytest.raises(error, match=text):
        SpliceSites(**{"n_seeds": 1, "max_epochs": 1, **settings}).fit(windows, labels)


def test_proteins_and_windows_of_another_length_are_refused(learned):
    proteins = SequenceSet.from_sequences(["a", "b"], ["MKLV", "MKAV"], "protein")
    with pytest.raises(KindError, match="Proteins came"):
        SpliceSites().fit(proteins, [0, 1])
    with pytest.raises(ShapeError, match="Windows of 40 bp, the site at position 12"):
        learned.predict_proba(["ACGT" * 9])


def test_log_odds_are_those_of_the_networks_over_the_temperature(learned):
    draw = np.random.default_rng(5)
    n = learned.n_positions_
    some = ["".join(draw.choice(list("ACGT"), n)) for _ in range(8)]
    odds = learned.decision_function(some)
    # Twice the temperature, half the log odds; the networks stay.
    twice = copy.deepcopy(learned)
    twice.parameters_["temperature"] = 2 * twice.parameters_["temperature"]
    np.testing.assert_allclose(twice.decision_function(some), odds / 2, rtol=1e-12)
