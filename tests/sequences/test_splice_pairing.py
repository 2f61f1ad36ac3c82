import re

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.base import clone

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences import SplicePairing
from neurornn.sequences.pairing_network import CANDIDATE, PairReader
from neurornn.sequences.pairing_rules import best_distance, first_beyond, nearest_to_end
from neurornn.sequences.pairing_training import families, log_probabilities_of
from neurornn.sequences.pairing_windows import (
    BEFORE,
    aligned,
    as_pairs,
    as_windows,
    cropped,
    shortened,
    windows_of,
)

SMALL = {
    "n_seeds": 2, "n_hidden": 4, "n_channels": 8, "max_epochs": 5, "learning_rate": 0.01,
    "letter_dropout": 0.05, "flank": (10, 30),
}  # fmt: skip


def simulated(n=500, seed=0):
    """Introns of 45 to 90 bp; the acceptor alone has a tract of pyrimidines before it."""
    draw = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        size = int(draw.integers(45, 91))
        middle = "".join(draw.choice(list("ACGT"), size - 16))
        tract = "".join(draw.choice(list("TC"), 7))
        # Two AGs without a tract in every intron.
        for place in draw.integers(0, len(middle) - 2, 2):
            middle = middle[:place] + "AG" + middle[place + 2 :]
        exons = ["".join(draw.choice(list("ACGT"), 30)) for _ in range(2)]
        rows.append((exons[0], "GTAAGT" + middle + tract + "CAG", exons[1], f"gene{k // 2}"))
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    names = ("upstream_exon", "intron", "downstream_exon", "gene")
    return xr.Dataset({n: ("pair", c) for n, c in zip(names, columns, strict=True)})


def in_windows(table):
    """Windows, donors and acceptors of a table."""
    columns = [table[n].values.tolist() for n in ("upstream_exon", "intron", "downstream_exon")]
    windows = ["".join(row) for row in zip(*columns, strict=True)]
    donors = np.array([len(u) for u in columns[0]])
    return windows, donors, donors + np.array([len(i) for i in columns[1]]) - 2


@pytest.fixture(scope="module")
def learned():
    return SplicePairing(**SMALL).fit(simulated())


@pytest.mark.slow
def test_a_tract_before_the_acceptor_is_learned(learned):
    windows, donors, acceptors = in_windows(simulated(200, seed=1))
    # Seven pyrimidines and a C stand before a chance AG once in 500.
    assert learned.score(windows, donors, acceptors) > 0.9
    table = learned.parameters_
    rules = ("accuracy_first", "accuracy_end", "accuracy_chance")
    assert all(float(table["accuracy"]) > float(table[name]) + 0.2 for name in rules)
    for name in ("accuracy", *rules):
        low, high = table[f"{name}_ci"].values
        assert low <= float(table[name]) <= high


def test_the_other_strand_is_not_read(learned):
    windows, donors, acceptors = in_windows(simulated(200, seed=1))
    turned = [w[d:a][::-1] for w, d, a in zip(windows, donors, acceptors, strict=True)]
    flipped = [
        w[:d] + t + w[a:] for w, d, t, a in zip(windows, donors, turned, acceptors, strict=True)
    ]
    # The same letters in the other order: the tract is gone from the acceptor.
    assert learned.score(flipped, donors, acceptors) < 0.6


def test_every_ag_behind_the_donor_is_a_candidate_and_nothing_else(learned):
    windows, donors, _ = in_windows(simulated(40, seed=2))
    # The first possible AG follows on the GT, the last ends the window.
    windows[0], donors[0] = "AGAGGTAGCCAGCAG", 4
    table = learned.score_candidates(windows, donors)
    for k, (window, donor) in enumerate(zip(windows, donors, strict=True)):
        mine = table["window"].values == k
        wanted = [m.start() for m in re.finditer("AG", window) if m.start() >= donor + 2]
        assert table["position"].values[mine].tolist() == wanted
        assert table["intron_length"].values[mine].tolist() == [p + 2 - donor for p in wanted]
        chance = table["probability"].values[mine]
        assert chance.sum() == pytest.approx(1)
        assert (np.argsort(-chance, kind="stable") == np.argsort(table["rank"].values[mine])).all()
        best = wanted[int(chance.argmax())]
        assert learned.predict(windows, donors)[k] == best
    assert table["position"].values[:3].tolist() == [6, 10, 13]


def test_a_window_says_the_same_alone_and_among_others(learned):
    windows, donors, _ = in_windows(simulated(30, seed=3))
    # One much longer than the others, so that all are padded.
    windows.append("ACGTA" * 4 + "GTAAGT" + "ACGTAG" * 60)
    donors = np.append(donors, 20)
    table = learned.score_candidates(windows, donors)
    for k in (0, 7, 30):
        alone = learned.score_candidates(windows[k : k + 1], donors[k : k + 1])
        # Products in another order differ in the last bits of single precision.
        mine = table["probability"].values[table["window"].values == k]
        np.testing.assert_allclose(alone["probability"].values, mine, atol=1e-5)


def test_letters_that_are_not_read_do_not_count(learned):
    windows, donors, _ = in_windows(simulated(5, seed=4))
    table = learned.score_candidates(windows, donors)
    longer = learned.score_candidates(["ACCA" * 5 + w for w in windows], donors + 20)
    np.testing.assert_allclose(longer["probability"], table["probability"], atol=1e-6)
    np.testing.assert_array_equal(longer["position"] - 20, table["position"])
    for other in (
        [w.lower() for w in windows],
        SequenceSet.from_sequences(list("abcde"), windows),
        SequenceSet.from_sequences(list("abcde"), [w.replace("T", "U") for w in windows], "rna"),
    ):
        same = learned.score_candidates(other, donors)
        np.testing.assert_array_equal(same["probability"], table["probability"])


def test_rank_is_the_window_from_the_donor_on(learned):
    windows, donors, _ = in_windows(simulated(1, seed=5))
    up, donor = windows[0][: donors[0]], windows[0][donors[0] :]
    table = learned.score_candidates(windows, donors)
    ranked = learned.rank(donor, upstream_exon=up)
    assert ranked["rank"].values.tolist() == list(range(1, table.sizes["candidate"] + 1))
    order = np.argsort(table["rank"].values)
    for name in ("probability", "acceptor", "intron_length"):
        np.testing.assert_array_equal(ranked[name], table[name].values[order])
    # Of some of them, the odds between two stay, and the rest is not there.
    some = ranked["acceptor"].values[[2, 0]]
    chosen = learned.rank(donor, some, upstream_exon=up)
    assert chosen["acceptor"].values.tolist() == ranked["acceptor"].values[[0, 2]].tolist()
    odds = [t["probability"].values[[0, -1]] for t in (chosen, ranked.isel(candidate=[0, 2]))]
    assert odds[0][0] / odds[0][1] == pytest.approx(odds[1][0] / odds[1][1], rel=1e-4)
    low, high = ranked["probability_ci"].values.T
    assert (low <= ranked["probability"].values).all()
    assert (high >= ranked["probability"].values).all()


def test_the_probability_is_the_mean_of_log_probabilities(learned):
    windows, donors, _ = in_windows(simulated(3, seed=6))
    found = aligned(as_windows(windows), donors)
    each = log_probabilities_of(learned._networks, found)
    assert np.exp(each).sum(axis=2) == pytest.approx(1, abs=1e-5)
    mean = np.exp(each.mean(axis=0))
    mean /= mean.sum(axis=1, keepdims=True)
    table = learned.score_candidates(windows, donors)
    np.testing.assert_allclose(table["probability"], mean[found.is_candidate], rtol=1e-6)
    one = clone(learned).set_params(n_seeds=1, max_epochs=1).fit(simulated(60))
    ci = one.score_candidates(windows, donors)["probability_ci"]
    assert np.isnan(ci).all() and "one network" in ci.attrs["reason"]


def test_the_loss_of_a_window_is_that_of_a_choice():
    windows, acceptors = windows_of(as_pairs(simulated(6)))
    model = PairReader(5, 3, n_channels=4).eval()
    x = torch.from_numpy(windows.inputs())
    with torch.no_grad():
        out = model(x).output[..., 0]
    target = torch.zeros_like(out)
    target[torch.arange(6), torch.from_numpy(acceptors)] = 1
    entries = torch.exp(out) - target * out
    loss = entries[torch.from_numpy(windows.is_candidate)].sum() / 6 - 1
    scores = out.masked_fill(x[..., 4] != CANDIDATE, -torch.inf)
    wanted = torch.nn.functional.cross_entropy(scores, torch.from_numpy(acceptors))
    # Single precision.
    assert float(loss) == pytest.approx(float(wanted), abs=1e-5)


def test_each_layer_starts_at_its_own_end_of_the_window():
    model = PairReader(5, 3, n_channels=4).eval()
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(list("ACGT"), n)) for n in (40, 61)]
    windows = aligned(as_windows(texts), np.array([10, 10]))
    x = torch.from_numpy(windows.inputs())
    with torch.no_grad():
        _, pairs = model.features(x)
        down, up = model.states(pairs, model.last(x))
        for k, n in enumerate((20, 31)):
            own = pairs[k : k + 1, :n]
            plain, _ = model.downstream.scan(own.contiguous(), model.downstream.start(1))
            turned, _ = model.upstream.scan(own.flip(1).contiguous(), model.upstream.start(1))
            np.testing.assert_allclose(down[k, :n], plain[0], atol=1e-6)
            np.testing.assert_allclose(up[k, :n], turned[0].flip(0), atol=1e-6)


def test_without_a_carried_state_only_letters_nearby_count():
    model = SplicePairing(**{**SMALL, "n_seeds": 1}, carry=False).fit(simulated())
    assert "tau" not in model.parameters_ and float(model.parameters_["accuracy"]) > 0.9
    windows, donors, acceptors = in_windows(simulated(1, seed=7))
    # 28 bp before an AG: beyond the 23 of the convolutions and the 5 of what they stand on.
    far = int(acceptors[0]) - 30
    other = windows[0][:far] + ("C" if windows[0][far] == "T" else "T") + windows[0][far + 1 :]
    two = [
        model.score_candidates([w], donors).set_index(candidate="position")["probability"]
        for w in (windows[0], other)
    ]
    some = [p for p in (int(acceptors[0]),) if p in two[1]["candidate"]]
    assert some == [int(acceptors[0])]
    carried = SplicePairing(**{**SMALL, "n_seeds": 1, "max_epochs": 1}).fit(simulated(80))
    inputs = [aligned(as_windows([w]), donors) for w in (windows[0], other)]
    for fitted, same in ((model, True), (carried, False)):
        with torch.no_grad():
            read = []
            for one in inputs:
                x = torch.from_numpy(one.inputs())
                network = fitted._networks[0]
                letters, pairs = network.features(x)
                place = int(acceptors[0] - donors[0] + BEFORE)
                here = [letters[0, :, place], pairs[0, place // 2]]
                if network.carry:
                    here += [s[0, place // 2] for s in network.states(pairs, network.last(x))]
                read.append(torch.cat(here))
        assert bool(torch.equal(*read)) is same


def test_rules_are_those_of_plain_text():
    table = simulated(60, seed=8)
    pairs = cropped(as_pairs(table), (10, 30), np.random.default_rng(0))
    windows, acceptors = windows_of(pairs)
    first, near = first_beyond(windows), nearest_to_end(windows, 18)
    for k, (intron, exon) in enumerate(zip(pairs.intron, pairs.downstream, strict=True)):
        text = intron + exon
        places = [m.start() for m in re.finditer("AG", text)]
        long = [p for p in places if p + 2 >= 40]
        assert first[k] - BEFORE == (long[0] if long else -1 - BEFORE)
        assert near[k] - BEFORE == min(places, key=lambda p: abs(len(text) - 2 - 18 - p))
        assert acceptors[k] - BEFORE == len(intron) - 2
    best = best_distance(windows, acceptors)
    share = np.mean(nearest_to_end(windows, best) == acceptors)
    assert all(share >= np.mean(nearest_to_end(windows, d) == acceptors) for d in range(61))


def test_exons_are_cut_to_lengths_that_are_drawn():
    pairs = as_pairs(simulated(300))
    cut = cropped(pairs, (10, 25), np.random.default_rng(0))
    for whole, part, side in (("upstream", "upstream", -1), ("downstream", "downstream", 1)):
        sizes = [len(v) for v in getattr(cut, part)]
        assert set(sizes) == set(range(10, 26))
        for a, b in zip(getattr(pairs, whole), getattr(cut, part), strict=True):
            assert a.endswith(b) if side < 0 else a.startswith(b)
    assert cut.intron == pairs.intron


def test_a_stretch_is_taken_out_of_the_middle_of_some_introns():
    pairs = as_pairs(simulated(400))
    short = shortened(pairs, 0.5, np.random.default_rng(0))
    changed = 0
    for whole, part in zip(pairs.intron, short.intron, strict=True):
        # What is left is a beginning and an end, with the sites in them.
        assert any(
            part == whole[:k] + whole[len(whole) - (len(part) - k) :]
            for k in range(8, len(part) - 29)
        )
        changed += part != whole
    # Half of 400, but for those of which nothing was taken; a binomial sd is 10.
    assert 150 < changed < 230
    assert min(map(len, short.intron)) < 45
    assert short.upstream == pairs.upstream and short.downstream == pairs.downstream
    assert shortened(pairs, 0.0, np.random.default_rng(0)).intron == pairs.intron
    tiny = as_pairs([("A" * 10, "GTAAGTTTTCAG", "C" * 10)])
    assert shortened(tiny, 1.0, np.random.default_rng(0)).intron == tiny.intron


def test_genes_and_copies_stay_together():
    draw = np.random.default_rng(0)
    letters = ["".join(draw.choice(list("ACGT"), 40)) + "AG" for _ in range(4)]
    rows = [("ACGT" * 5, letters[k], "TTGC" * 5) for k in (0, 1, 2, 3)]
    names = ("upstream_exon", "intron", "downstream_exon")
    rows.append(("GGCA" * 5, letters[2], "CATG" * 5))
    table = xr.Dataset({n: ("pair", np.array(c)) for n, c in zip(names, zip(*rows, strict=True),
                                                                 strict=True)})  # fmt: skip
    table["gene"] = "pair", np.array(["a", "b", "b", "c", "d"])
    family = families(as_pairs(table))
    # 1 and 2 are of one gene; 4 copies 2.
    assert family[1] == family[2] == family[4]
    assert len(np.unique(family)) == 3


def test_a_saved_model_says_the_same(learned, tmp_path):
    windows, donors, acceptors = in_windows(simulated(20, seed=9))
    learned.save(tmp_path / "pairs")
    again = nr.load(tmp_path / "pairs")
    np.testing.assert_array_equal(
        again.score_candidates(windows, donors)["probability"],
        learned.score_candidates(windows, donors)["probability"],
    )
    assert again.report() == learned.report() and again.flank == (10, 30)
    assert again.methods_text() == learned.methods_text()
    assert again.score(windows, donors, acceptors) == learned.score(windows, donors, acceptors)


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    small = SplicePairing(**{**SMALL, "max_epochs": 1, "n_seeds": 1})
    table = simulated(80)
    windows, donors, _ = in_windows(table)
    one, same, other = (
        clone(small).set_params(rng=seed).fit(table).score_candidates(windows, donors)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one["probability"], same["probability"])
    assert np.abs(one["probability"] - other["probability"]).max() > 1e-3


ROWS = [("ACGT" * 5, "GTAAGTCCCCCAG", "TTGC" * 5)] * 8


@pytest.mark.parametrize(
    ("given", "settings", "error", "text"),
    [
        ("GTAG", {}, KindError, "A str came as introns"),
        ([], {}, DataError, "No introns came"),
        ([("A", "GTAG")], {}, ShapeError, r"not \(exon, intron, exon\)"),
        ([("A", 3, "C")], {}, KindError, "intron holds what is no string"),
        ([*ROWS, ("ACGT", "GTAAGTAC", "ACGT")], {}, DataError, "Intron 8 ends in AC"),
        ([*ROWS, ("ACGT", "AG", "ACGT")], {}, DataError, "Intron 8 has 2 bp"),
        ([*ROWS, ("ACGT", "GTAAG", "")], {}, DataError, "Intron 8 has 5 bp, and 0 bp of exon"),
        (xr.Dataset({"intron": ("pair", ["GTAG"])}), {}, ShapeError, "The table has intron"),
        (ROWS, {}, DataError, "8 introns came in 1 families"),
        (ROWS, {"flank": (0, 5)}, DataError, "flank is"),
        (ROWS, {"flank": (9, 5)}, DataError, "flank is"),
        (ROWS, {"n_seeds": 4, "validation_fraction": 0.5}, DataError, "overlap"),
        (ROWS, {"letter_dropout": 1.0}, DataError, "letter_dropout"),
    ],
)
def test_wrong_introns_are_explained(given, settings, error, text):
    with pytest.raises(error, match=text):
        SplicePairing(**{**SMALL, "max_epochs": 1, **settings}).fit(given)


@pytest.mark.parametrize(
    ("windows", "donors", "error", "text"),
    [
        ("GTAAG", 0, KindError, "A str came as windows"),
        ([3], 0, KindError, "no strings"),
        ([], 0, DataError, "No windows came"),
        (["GTAAGT" * 3], [2, 3], ShapeError, r"donors has shape \(2,\)"),
        (["GTAAGT" * 3], [15], DataError, "donors is 15 in window 0, of 18 bp"),
        (["GTAAGT" * 3], [-1], DataError, "donors is -1"),
        (["GTAAGT", "GTCCCC"], 0, DataError, "Window 1 has no AG behind its donor"),
    ],
)
def test_wrong_windows_are_explained(learned, windows, donors, error, text):
    with pytest.raises(error, match=text):
        learned.score_candidates(windows, donors)


def test_wrong_candidates_are_explained(learned):
    with pytest.raises(DataError, match="Candidate 1, 4 bp from the donor, is no AG"):
        learned.rank("GTAGCCAGCC", [2, 4])
    with pytest.raises(KindError, match="donor is a list"):
        learned.rank(["GTAGCC"])
    proteins = SequenceSet.from_sequences(["a"], ["MKLV"], "protein")
    with pytest.raises(KindError, match="Proteins came"):
        learned.predict(proteins, 0)
