import csv

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    ConvergenceWarning,
    DataError,
    FileWriteError,
    KindError,
    NameUnknownError,
    ResumeError,
    ShapeError,
)
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences import mutate_all, variant_effects
from neurornn.sequences.splice_network import SiteReader

LETTERS = "ACGT"
HEAD = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
CELL = {"dt": 1.0, "time_unit": "bp"}


def drawn(n, seed=0):
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), n))


def turned(text):
    return text[::-1].translate(str.maketrans("ACGTacgt", "TGCAtgca"))


def genome_of(*texts, names=("chr1", "chr2", "chr3"), **options):
    return SequenceSet.from_sequences(names[: len(texts)], list(texts), **options)


def calls_of(*rows):
    """Table of (contig, position from 0, ref, alt)."""
    columns = list(zip(*rows, strict=True))
    names = ("contig", "position", "ref", "alt")
    return xr.Dataset({n: ("variant", np.array(c)) for n, c in zip(names, columns, strict=True)})


def matrix(n, seed=1):
    return np.random.default_rng(seed).normal(size=(n, 4))


def weighted(pwm):
    return lambda x: (x * pwm).sum(axis=(1, 2))


def score(pwm, text):
    """Score of a window by hand; N adds nothing."""
    return sum(pwm[k, LETTERS.index(c)] for k, c in enumerate(text.upper()) if c in LETTERS)


def untrained_sites(site="donor", place=10, length=24, n_seeds=2):
    """A `SpliceSites` of random networks: what it says is known, and nothing is trained."""
    model = nr.sequences.SpliceSites(site, n_seeds=n_seeds, reach=9)
    model.position_, model.n_positions_, model.alphabet_ = place, length, "dna"
    # Random networks say little: a low temperature makes it more.
    model.parameters_ = xr.Dataset({"temperature": 0.05, "auprc_constant": 0.5})
    first, stop = model._edges()
    model._networks = [
        SiteReader(4, 3, 1, site=place - first, length=stop - first, n_channels=6, rng=k).eval()
        for k in range(n_seeds)
    ]
    return model


def test_windows_are_those_that_are_cut_by_hand():
    text, pwm, w = drawn(28) + "ACGTTGCAACTG" + drawn(20, 1), matrix(11), 11
    # ref, alt, what changes: from, to, new letters; the letter that VCF puts before is left out.
    cases = {
        ("G", "A"): (30, 31, "A"),
        ("GTT", "AAC"): (30, 33, "AAC"),
        ("GTTG", "G"): (31, 34, ""),
        ("G", "GATTA"): (31, 31, "ATTA"),
        ("GT", "GACA"): (31, 32, "ACA"),
        ("GTTG", "GTAG"): (32, 33, "A"),
    }
    rows = [("chr1", 30, *pair) for pair in cases]
    found = variant_effects(weighted(pwm), genome_of(text), calls_of(*rows), window=w)
    for k, (start, stop, new) in enumerate(cases.values()):
        begin = start - (w - max(stop - start, len(new))) // 2
        whole = text[:start] + new + text[stop:]
        expected = [score(pwm, t[begin : begin + w]) for t in (text, whole)]
        np.testing.assert_allclose(found["score_ref"][k], expected[0], atol=1e-5)
        np.testing.assert_allclose(found["score_alt"][k], expected[1], atol=1e-5)
        np.testing.assert_allclose(found["effect"][k], expected[1] - expected[0], atol=1e-5)
    assert (found["status"] == "ok").all() and found.attrs["window"] == w


def test_held_on_the_right_the_last_letters_stay():
    text, pwm, w, p = drawn(40), matrix(9), 9, 20
    rows = [("chr1", p, text[p : p + 3], text[p]), ("chr1", p, text[p], text[p] + "AC")]
    found = variant_effects(
        weighted(pwm), genome_of(text), calls_of(*rows), window=w, anchor="right"
    )
    # Deletion of two: three letters behind it. Nine letters of either end there.
    end = p + 3 + 3
    deleted = text[: p + 1] + text[p + 3 :]
    expected = score(pwm, deleted[end - 2 - w : end - 2]) - score(pwm, text[end - w : end])
    assert float(found["effect"][0]) == pytest.approx(expected, abs=1e-5)
    inserted, end = text[: p + 1] + "AC" + text[p + 1 :], p + 1 + 3
    expected = score(pwm, inserted[end + 2 - w : end + 2]) - score(pwm, text[end - w : end])
    # An insertion next to an equal letter has two places; this one has not.
    assert text[p + 1] != "A" or text[p] != "C"
    assert float(found["effect"][1]) == pytest.approx(expected, abs=1e-5)
    both = variant_effects(
        weighted(pwm), genome_of(text), calls_of(*rows), window=w, anchor="both"
    )
    left = variant_effects(weighted(pwm), genome_of(text), calls_of(*rows), window=w)
    np.testing.assert_allclose(both["effect"], (left["effect"] + found["effect"]) / 2)


@pytest.mark.parametrize("window", [12, 13])
def test_the_other_strand_of_the_genome_gives_the_same_table(window):
    text, n = drawn(80, 3), 80
    model = nr.models.GRU(4, 5, 1, **CELL)
    here, there = [], []
    for p, ref, alt in ((20, 1, "G"), (31, 2, "CCC"), (40, 4, ""), (50, 0, "ATT"), (2, 1, "C")):
        here.append(("chr1", p, text[p : p + ref] or "", alt))
        there.append(("chr1", n - p - ref, turned(text[p : p + ref]), turned(alt)))

    def padded(rows, letters):
        # VCF has a letter before what is deleted or inserted.
        return [
            (c, p - 1, letters[p - 1] + r, letters[p - 1] + a) if not (r and a) else (c, p, r, a)
            for c, p, r, a in rows
        ]  # fmt: skip

    tables = [
        variant_effects(
            model, genome_of(letters), calls_of(*padded(rows, letters)), window=window,
            anchor="both", both_strands=True,
        )
        for rows, letters in ((here, text), (there, turned(text)))
    ]  # fmt: skip
    for name in ("score_ref", "score_alt", "effect"):
        np.testing.assert_allclose(tables[0][name], tables[1][name], rtol=0, atol=1e-6)
    one_strand = variant_effects(
        model, genome_of(text), calls_of(*padded(here, text)), window=window, anchor="both"
    )
    assert np.abs(one_strand["effect"] - tables[0]["effect"]).max() > 1e-3


def test_a_single_letter_is_a_row_of_all_mutants():
    text, model, w = drawn(50), nr.models.LSTM(4, 5, 1, **CELL), 21
    rows = [("chr1", 25, text[25], c) for c in LETTERS if c != text[25]]
    found = variant_effects(model, genome_of(text), calls_of(*rows), window=w)
    every = mutate_all(model, text[15:36])["effect"].sel(position=10)
    for k, (*_, alt) in enumerate(rows):
        # Batches differ in size, and with them the last bits of float32.
        assert float(found["effect"][k]) == pytest.approx(float(every.sel(letter=alt)), abs=1e-6)


def test_beyond_the_ends_there_is_n_and_a_circle_goes_on():
    text, pwm = drawn(20), matrix(9)
    rows = [("chr1", 1, text[1], turned(text[1])), ("chr1", 19, text[19], turned(text[19]))]
    for circular in (False, True):
        genome = genome_of(text, circular=circular)
        found = variant_effects(weighted(pwm), genome, calls_of(*rows), window=9)
        ends = (text[-3:], text[:4]) if circular else ("NNN", "NNNN")
        whole = ends[0] + text + ends[1]
        for k, (_, p, _, alt) in enumerate(rows):
            before = whole[p - 1 : p + 8]
            after = before[:4] + alt + before[5:]
            assert float(found["score_ref"][k]) == pytest.approx(score(pwm, before), abs=1e-5)
            assert float(found["score_alt"][k]) == pytest.approx(score(pwm, after), abs=1e-5)


def test_lower_case_and_n_in_the_window():
    text, pwm = drawn(30), matrix(9)
    masked = text[:12] + "N" + text[13:].lower()
    rows = [("chr1", 14, text[14].lower(), turned(text[14]).lower())]
    found = variant_effects(weighted(pwm), genome_of(masked), calls_of(*rows), window=9)
    window = masked[10:19]
    assert float(found["score_ref"][0]) == pytest.approx(score(pwm, window), abs=1e-5)
    shares = variant_effects(
        weighted(pwm), genome_of(masked), calls_of(*rows), window=9, ambiguous="fractions"
    )
    expected = score(pwm, window) + pwm[2].mean()
    assert float(shares["score_ref"][0]) == pytest.approx(expected, abs=1e-5)


def write_vcf(path, *lines):
    path.write_text(HEAD + "".join("\t".join(map(str, line)) + "\n" for line in lines))
    return path


def test_a_vcf_beside_a_fasta(tmp_path):
    text = drawn(60)
    (tmp_path / "genome.fa").write_text(f">1 first\n{text}\n")
    p = 30
    others = [c for c in LETTERS if c != text[p]]
    vcf = write_vcf(
        tmp_path / "calls.vcf",
        ("chr1", p + 1, "rs1", text[p], ",".join(others), ".", "PASS", "."),
        ("chr1", p + 1, ".", text[p], "<DEL>,*", ".", "PASS", "."),
        ("chr1", p + 3, ".", text[p + 2], ".", ".", "PASS", "."),
        ("chr1", p + 1, ".", text[p], text[p] + "A" * 12, ".", "PASS", "."),
    )
    found = variant_effects(weighted(matrix(9)), tmp_path / "genome.fa", vcf, window=9)
    # One row for each alternative allele; spellings of the contig are matched and told.
    assert found["alt"].values.tolist()[:5] == [*others, "<DEL>", "*"]
    assert found["record"].values.tolist() == [0, 0, 0, 1, 1, 2, 3]
    assert found.attrs["contig_names"] == "chr1 is 1" and set(found["contig"].values) == {"1"}
    status = ["ok"] * 3 + ["symbolic"] * 2 + ["no_alternative", "too_long"]
    assert found["status"].values.tolist() == status
    assert np.isnan(found["effect"].values[3:]).all() and found["effect"][:3].notnull().all()
    with pytest.raises(NameUnknownError, match="call it '1'"):
        variant_effects(
            weighted(matrix(9)), tmp_path / "genome.fa", vcf, window=9, contig_names=None
        )
    wrong = write_vcf(
        tmp_path / "wrong.vcf",
        ("1", 3, ".", text[2], others[0], ".", ".", "."),
        ("1", 9, ".", turned(text[8]), "A", ".", ".", "."),
    )
    with pytest.raises(DataError, match=r"1:9 is .* \(line 4 of the VCF file, record 2\)"):
        variant_effects(weighted(matrix(9)), tmp_path / "genome.fa", wrong, window=9)


def test_the_order_of_the_records_changes_nothing():
    text, draw = drawn(200), np.random.default_rng(0)
    places = draw.choice(np.arange(20, 180), 40, replace=False)
    rows = [("chr1", int(p), text[p], turned(text[p]) + "AC"[: p % 3]) for p in places]
    model = [nr.models.GRU(4, 4, 1, rng=k, **CELL) for k in range(3)]
    sites = untrained_sites()
    for given in ({"model": model, "window": 15}, {"model": sites, "distance": 12}):
        one = variant_effects(genome=genome_of(text), variants=calls_of(*rows), **given)
        order = draw.permutation(40)
        other = variant_effects(
            genome=genome_of(text), variants=calls_of(*[rows[k] for k in order]), **given
        )
        name = "effect" if "effect" in one else "gain"
        assert np.isfinite(one[f"{name}_ci"]).all()
        for n in (name, f"{name}_ci"):
            # Windows stand elsewhere in their batches: last bits of float32.
            np.testing.assert_allclose(one[n].values[order], other[n].values, rtol=0, atol=1e-5)


def sites_by_hand(model, text, distance, at, length):
    """Probability of every site near (at, at + length), by strand and place."""
    found = {}
    size, first = model.n_positions_, model.position_
    for strand in (1, -1):
        letters = text if strand > 0 else turned(text)
        for k in range(first, len(letters) - size + first + 1):
            place = k if strand > 0 else len(text) - 1 - k
            if letters[k : k + 2] != "GT" or not at - distance <= place < at + length + distance:
                continue
            window = letters[k - first : k - first + size]
            found[strand, place] = float(model.predict_proba([window])[0, 1])
    return found


@pytest.mark.parametrize("both_strands", [None, False])
def test_gains_and_losses_are_those_of_all_sites_around(both_strands):
    model, text = untrained_sites(), drawn(300, 7)
    rows = []
    for p in (100, 117, 133, 150, 171):
        rows.append(("chr1", p, text[p], "GT"[text[p] == "G"]))
    found = variant_effects(
        model, genome_of(text), calls_of(*rows), distance=20, both_strands=both_strands
    )
    n_lost = 0
    for v, (_, p, _, alt) in enumerate(rows):
        mutant = text[:p] + alt + text[p + 1 :]
        before, after = (sites_by_hand(model, t, 20, p, 1) for t in (text, mutant))
        keys = [k for k in {*before, *after} if both_strands is None or k[0] > 0]
        delta = {k: after.get(k, 0.0) - before.get(k, 0.0) for k in keys}
        best = max(keys, key=delta.get)
        worst = min(keys, key=delta.get)
        assert float(found["gain"][v]) == pytest.approx(max(delta[best], 0), abs=1e-6)
        assert float(found["loss"][v]) == pytest.approx(max(-delta[worst], 0), abs=1e-6)
        if delta[best] > 0:
            told = (found["gain_strand"][v], found["gain_position"][v])
            assert tuple(map(int, told)) == best
            odds = float(found["gain_odds_alt"][v])
            assert 1 / (1 + np.exp(-odds)) == pytest.approx(after[best], abs=1e-6)
            assert np.isnan(found["gain_odds_ref"][v]) == (best not in before)
        if delta[worst] < 0:
            assert int(found["loss_position"][v]) == worst[1]
            n_lost += worst not in after
    # One of them takes the two letters of a site away.
    assert n_lost > 0 and found["gain"].attrs["units"] == "1"
    assert found["gain_position"].attrs["units"] == "bp"


def test_an_indel_moves_the_places_behind_it():
    model = untrained_sites()
    text = drawn(300, 11).replace("GT", "GA")
    text = text[:157] + "GT" + text[159:]
    rows = [("chr1", 150, text[150:154], text[150]), ("chr1", 150, text[150], text[150] + "CC")]
    found = variant_effects(
        model, genome_of(text), calls_of(*rows), distance=20, both_strands=False
    )
    for v, (_, p, ref, alt) in enumerate(rows):
        mutant = text[:p] + alt + text[p + len(ref) :]
        moved = 157 + len(alt) - len(ref)
        assert mutant[moved : moved + 2] == "GT"
        chance = [
            float(model.predict_proba([t[k - 10 : k + 14]])[0, 1])
            for t, k in ((text, 157), (mutant, moved))
        ]
        way = "gain" if chance[1] > chance[0] else "loss"
        assert float(found[way][v]) == pytest.approx(abs(chance[1] - chance[0]), abs=1e-6)
        assert int(found[f"{way}_position"][v]) == 157


def test_sites_count_up_to_the_distance_and_no_further():
    model, text = untrained_sites(), drawn(300, 11).replace("GT", "GA")
    for site in (145, 157):
        whole = text[:site] + "GT" + text[site + 2 :]
        # Three letters from 150 on change, so that 5 bp away from them are 145 and 157.
        alt = "CCC" if whole[150:153] != "CCC" else "AAA"
        alt = "".join("A" if a == b else b for a, b in zip(whole[150:153], alt, strict=True))
        calls = calls_of(("chr1", 150, whole[150:153], alt))
        for distance, seen in ((5, True), (4, False)):
            found = variant_effects(
                model, genome_of(whole), calls, distance=distance, both_strands=False
            )
            places = [float(found[f"{w}_position"][0]) for w in ("gain", "loss")]
            assert (site in places) == seen


def test_sites_are_the_same_on_the_other_strand_of_the_genome():
    model, text = untrained_sites(), drawn(200, 5)
    p, back = 100, turned(text)
    here = calls_of(("chr1", p, text[p : p + 2], "GT"))
    there = calls_of(("chr1", 98, back[98:100], "AC"))
    one = variant_effects(model, genome_of(text), here, distance=30)
    other = variant_effects(model, genome_of(back), there, distance=30)
    for name in ("gain", "loss"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-6)
        assert float(one[name][0]) > 0
        assert float(one[f"{name}_position"][0]) == 199 - float(other[f"{name}_position"][0])
        assert float(one[f"{name}_strand"][0]) == -float(other[f"{name}_strand"][0])


def test_fewer_sites_are_less_probable():
    model, text = untrained_sites(), drawn(200, 5)
    calls = calls_of(("chr1", 100, text[100], turned(text[100])))
    usual, rare = (
        variant_effects(model, genome_of(text), calls, distance=30, share=s) for s in (None, 0.01)
    )
    # Log odds of 1 in 100 instead of even.
    moved = float(rare["loss_odds_ref"][0]), float(usual["loss_odds_ref"][0])
    if float(rare["loss_position"][0]) == float(usual["loss_position"][0]):
        assert moved[0] - moved[1] == pytest.approx(np.log(0.01 / 0.99), abs=1e-9)
    assert float(rare["gain"][0]) < float(usual["gain"][0]) or float(usual["gain"][0]) == 0
    assert rare.attrs["share"] == 0.01 and usual.attrs["share"] == 0.5


class Counted:
    """A score that counts its calls, and stops at one of them."""

    def __init__(self, pwm, stop=None):
        self.run, self.n, self.stop = weighted(pwm), 0, stop

    def __call__(self, x):
        self.n += len(x)
        if self.stop is not None and self.n > self.stop:
            raise RuntimeError("stopped")
        return self.run(x)


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("neurornn.sequences.variant_jobs._MOST", 5)
    text, pwm = drawn(120), matrix(9)
    rows = [("chr1", p, text[p], turned(text[p])) for p in range(20, 60)]
    out = tmp_path / "table.csv"
    given = {"genome": genome_of(text), "variants": calls_of(*rows), "window": 9, "out": out}
    with pytest.raises(RuntimeError, match="stopped"):
        variant_effects(Counted(pwm, stop=44), **given)
    assert not out.exists() and (tmp_path / "table.csv.partial").is_dir()
    with pytest.raises(ResumeError):
        variant_effects(weighted(2 * pwm), **given)
    again = Counted(pwm)
    found = variant_effects(again, **given)
    # 4 windows that tell the model, and the 4 chunks of 8 that were not done, 10 windows each.
    assert again.n == 4 + 4 * 10 and not (tmp_path / "table.csv.partial").exists()
    plain = variant_effects(weighted(pwm), **{**given, "out": None})
    np.testing.assert_array_equal(found["effect"], plain["effect"])
    with out.open() as file:
        table = list(csv.DictReader(file))
    assert [float(r["effect"]) for r in table] == pytest.approx(found["effect"].values.tolist())
    assert [int(r["position (bp)"]) for r in table] == list(range(20, 60))
    # A table of variants is replaced, and something else is not.
    variant_effects(weighted(pwm), **given)
    out.write_text("mine")
    with pytest.raises(FileWriteError):
        variant_effects(weighted(pwm), **given)
    tabs = tmp_path / "table.tsv"
    variant_effects(weighted(pwm), **{**given, "out": tabs})
    assert tabs.read_text().startswith("variant\tcontig\tposition (bp)\tref\talt\t")


def test_no_variants_give_an_empty_table():
    empty = xr.Dataset(
        {n: ("variant", np.array([], dtype=t)) for n, t in
         (("contig", str), ("position", int), ("ref", str), ("alt", str))}
    )  # fmt: skip
    for model, window in ((weighted(matrix(9)), 9), (untrained_sites(), None)):
        found = variant_effects(model, genome_of(drawn(30)), empty, window=window)
        assert found.sizes["variant"] == 0


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"genome": 3}, KindError, "genome holds int"),
        ({"variants": xr.Dataset()}, KindError, "without alt, contig, position, ref"),
        ({"variants": calls_of(("chrX", 3, "A", "C"))}, NameUnknownError, "chrX"),
        ({"variants": calls_of(("chr1", 400, "A", "C"))}, DataError, "goes from 1 to 30"),
        ({"anchor": "middle"}, NameUnknownError, "anchor is 'middle'"),
        ({"window": 0}, DataError, "window is 0"),
        ({"model": nr.models.LSTM(20, 3, 1, dt=1.0)}, ShapeError, "20 inputs"),
        ({"model": "LSTM"}, KindError, "model is a str"),
        ({"model": untrained_sites()}, KindError, "window came with a SpliceSites"),
        ({"model": untrained_sites(), "window": None, "share": 1.0}, DataError, "share is 1"),
        (
            {"model": untrained_sites(), "window": None, "distance": -1},
            DataError,
            "distance is -1",
        ),
    ],
)
def test_what_cannot_be_is_refused(given, error, said):
    text = drawn(30)
    usual = {
        "model": weighted(matrix(9)), "genome": genome_of(text), "window": 9,
        "variants": calls_of(("chr1", 3, text[3], "A")),
    }  # fmt: skip
    with pytest.raises(error, match=said):
        variant_effects(**{**usual, **given})


def test_the_command_writes_the_table_and_says_the_largest(tmp_path, capsys):
    from neurornn.cli import main

    text, draw = drawn(120), np.random.default_rng(0)
    (tmp_path / "g.fa").write_text(f">1\n{text}\n")
    lines = [
        ("chr1", p + 1, ".", text[p], turned(text[p]), ".", ".", ".")
        for p in draw.choice(np.arange(20, 100), 12, replace=False)
    ]
    write_vcf(tmp_path / "calls.vcf", *lines, ("chr1", 5, ".", text[4], "*", ".", ".", "."))
    x = np.eye(4, dtype=np.float32)[draw.integers(4, size=(4, 10))]
    with pytest.warns(ConvergenceWarning):
        fitted = nr.fit(
            nr.models.GRU(4, 3, 1, **CELL), (x, x[..., :1]), max_epochs=1, refine=False,
            intervals=False,
        )  # fmt: skip
    fitted.save(tmp_path / "model")
    places = [str(tmp_path / n) for n in ("model", "g.fa", "calls.vcf")]
    arguments = ["variants", *places, "--window", "15", "--out", str(tmp_path / "t.csv")]
    assert main([*arguments, "--progress", "false"]) == 0
    said = capsys.readouterr().out.splitlines()
    table = variant_effects(fitted, *places[1:], window=15)
    best = int(np.nanargmax(np.abs(table["effect"].values)))
    assert said[0] == "13 alleles, 12 scored" and said[1].endswith("chr1 is 1")
    assert said[2].startswith(f"1:{int(table['position'][best]) + 1} ")
    assert said[-2] == "... 2 smaller ones"
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 13 and rows[-1]["status"] == "symbolic" and rows[-1]["effect"] == ""
    (tmp_path / "t.csv").write_text("mine")
    assert main([*arguments, "--progress", "false"]) == 1
    assert "is not a table of variants" in capsys.readouterr().err
