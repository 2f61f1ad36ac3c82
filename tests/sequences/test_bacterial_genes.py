import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone

import neurornn as nr
from neurornn._core.errors import DataError, FileWriteError, KindError, NameUnknownError
from neurornn.data.features import take_features
from neurornn.sequences import BacterialGenes
from neurornn.sequences.code_choice import choose_code
from neurornn.sequences.contig_layout import lay_out
from neurornn.sequences.gene_annotation import annotated_frames, whole_genes
from neurornn.sequences.gene_network import load_network, save_network
from neurornn.sequences.gene_training import FrameReader, lesson, loss_of
from neurornn.sequences.genome_adapting import adapt
from neurornn.sequences.open_frames import frames_of
from neurornn.simulate import simulate_genome

BACTERIA = "sequences/bacteria"
FILES = {
    "NC_000913.gbk.gz": 11,
    "streptococcus_pyogenes_M1_GAS.gb.gz": 11,
    "mycoplasma_mycoides_GCF_000023685.gbff.gz": 4,
}


def found_by(genes):
    t = genes.table
    return list(
        zip(
            t["contig"].values.tolist(), t["start"].values.tolist(), t["end"].values.tolist(),
            t["strand"].values.tolist(), t["probability"].values.tolist(),
            t["start_codon"].values.tolist(), strict=True,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def simulated():
    return simulate_genome(60_000, rng=1)


@pytest.fixture(scope="module")
def genes(simulated):
    return BacterialGenes().predict(simulated)


def test_simulated_genes_read_as_genes():
    genome = simulate_genome(60_000, n_contigs=12, rng=5)
    whole = whole_genes(genome.features)
    letters = nr.data.extract(genome, whole)
    assert whole.sizes["feature"] > 15
    for one in letters:
        protein = nr.data.translate(one, 11, first_codon_is_start=True)
        assert len(one) % 3 == 0 and protein[0] == "M" and protein.index("*") == len(protein) - 1
    partial = genome.features["is_partial_5"].values | genome.features["is_partial_3"].values
    # Eleven cuts, each through one gene at most, and the end; on either strand, at either end.
    assert 8 <= partial.sum() <= 23
    cut = genome.features["is_partial_5"].values
    assert set(genome.features["strand"].values[cut].tolist()) == {1, -1}
    for k in np.flatnonzero(partial):
        one = nr.data.extract(genome, take_features(genome.features, [k]))[0]
        phase = int(genome.features["phase"].values[k])
        # A frame that reads on: no stop but at the end of what is left of the gene.
        assert "*" not in nr.data.translate(one[phase:], 11)[:-1]


@pytest.mark.parametrize(
    ("code", "gc", "seed"), [(11, 0.5, 1), (11, 0.3, 2), (11, 0.66, 3), (4, 0.27, 4)]
)
def test_genes_and_code_of_a_simulated_genome(code, gc, seed):
    genome = simulate_genome(60_000, gc=gc, genetic_code=code, rng=seed)
    genes = BacterialGenes().predict(genome)
    assert genes.settings["genetic_code"] == code
    assert genes.settings["genetic_code_probability"] > 0.97
    score = genes.score_against(genome)
    # About 60 genes without the correlations between residues that real ones have: at most three
    # missed, two wrong, and one start in three wrong.
    assert score["sensitivity"] > 0.94
    assert score["precision"] > 0.95
    assert score["exact_starts"] > 0.66


def test_under_the_wrong_code_genes_are_lost():
    genome = simulate_genome(60_000, gc=0.27, genetic_code=4, rng=4)
    right = BacterialGenes(genetic_code=4).predict(genome).score_against(genome)
    wrong = BacterialGenes(genetic_code=11).predict(genome).score_against(genome)
    assert wrong["sensitivity"] < right["sensitivity"] - 0.2


def test_noise_has_hardly_any_genes():
    rng = np.random.default_rng(0)
    letters = "".join(rng.choice(list("ACGT"), 100_000))
    genome = nr.data.SequenceSet.from_sequences(["noise"], [letters])
    genes = BacterialGenes(genetic_code=11).predict(genome)
    # A genome has a hundred genes in so many letters, and Prodigal calls 124 on these (57 in its
    # meta mode): what is learned from noise looks like genes. Few are listed, and as unsure.
    assert len(genes) < 57
    assert float(genes.table["probability"].sum()) < 30
    # And it is said that they are too few for a genome.
    assert genes.covered < 0.4 and "Is this bacterial DNA" in genes.report()


def test_the_other_strand_has_the_mirror_image(simulated, genes):
    size = int(simulated.lengths[0])
    other = BacterialGenes().predict(simulated.reverse_complement())
    mirrored = sorted((c, size - e, size - s, -d, p, x) for c, s, e, d, p, x in found_by(other))
    assert sorted(found_by(genes)) == mirrored


def test_contigs_are_read_each_by_itself(simulated):
    draft = simulate_genome(60_000, n_contigs=6, rng=1)
    genes = BacterialGenes().predict(draft)
    own = [int((genes.table["contig"] == name).sum()) for name in draft.names]
    assert genes.contigs["n_genes"].values.tolist() == own and own != own[::-1]
    assert genes.contigs["length"].values.tolist() == draft.lengths.tolist()
    t = genes.table
    size = dict(zip(draft.names.tolist(), draft.lengths.tolist(), strict=True))
    length = np.array([size[c] for c in t["contig"].values])
    assert ((t["start"] >= 0) & (t["end"] <= length)).all()
    partial = t["is_partial"].values
    touch = (t["start"].values < 3) | (t["end"].values > length - 3)
    assert partial.any() and (touch[partial]).all()
    assert (genes.status.values[partial] == "partial").all()
    turned = draft[::-1]
    again = BacterialGenes().predict(turned)
    # Another order of contigs: sums in another order, and so other last digits.
    one = sorted(found_by(genes))
    other = sorted(found_by(again))
    assert [x[:4] for x in one] == [x[:4] for x in other]
    assert np.allclose([x[4] for x in one], [x[4] for x in other], atol=1e-6)


def test_a_gene_across_the_origin_is_found_once():
    genome = simulate_genome(60_000, rng=6)
    letters, known = genome[0], whole_genes(genome.features)
    middle = take_features(known, [30])
    cut = int((middle["start"].values[0] + middle["end"].values[0]) // 2)
    turned = letters[cut:] + letters[:cut]
    names = genome.names.tolist()
    line = nr.data.SequenceSet.from_sequences(names, [turned])
    ring = nr.data.SequenceSet.from_sequences(names, [turned], circular=True)
    found = BacterialGenes().predict(ring)
    # A ring has no ends that could cut a gene.
    assert not found.table["is_partial"].any()
    across = {(s, e) for _, s, e, *_ in found_by(found) if e > len(letters)}
    width = int(middle["end"].values[0] - middle["start"].values[0])
    assert len(across) == 1
    start, end = across.pop()
    # The same stop; the start may be another of its frame.
    assert abs((end - start) - width) < 120
    assert not any(e > len(letters) for _, _, e, *_ in found_by(BacterialGenes().predict(line)))
    # Where the ring is cut open does not matter elsewhere.
    whole = BacterialGenes().predict(
        nr.data.SequenceSet.from_sequences(names, [letters], circular=True)
    )
    size = len(letters)
    stops = [
        {((e if d > 0 else s) + shift) % size for _, s, e, d, *_ in found_by(found)}
        for found, shift in ((BacterialGenes().predict(ring), cut), (whole, 0))
    ]
    assert len(stops[0] & stops[1]) >= len(stops[0] | stops[1]) - 1


def test_case_and_letters_of_rna_do_not_matter(simulated, genes):
    lower = nr.data.SequenceSet.from_sequences(simulated.names.tolist(), [simulated[0].lower()])
    rna = nr.data.SequenceSet.from_sequences(
        simulated.names.tolist(), [simulated[0].replace("T", "U")], alphabet="rna"
    )
    assert found_by(BacterialGenes().predict(lower)) == found_by(genes)
    assert found_by(BacterialGenes().predict(rna)) == found_by(genes)


def test_no_letters_no_genes_and_wrong_input():
    make = nr.data.SequenceSet.from_sequences
    with pytest.raises(KindError, match="protein"):
        BacterialGenes().predict(make(["p"], ["MKLV"], alphabet="protein"))
    with pytest.raises(KindError, match=r"nr\.open"):
        BacterialGenes().predict("ACGT")
    with pytest.raises(DataError, match="none of them A, C, G"):
        BacterialGenes().predict(make(["n"], ["N" * 500]))
    for bad, kind in (
        ({"genetic_code": "standard"}, NameUnknownError),
        ({"genetic_code": 7}, NameUnknownError),
        ({"min_probability": 2.0}, DataError),
    ):
        with pytest.raises(kind):
            BacterialGenes(**bad).predict(make(["a"], ["ACGT" * 50]))
    tiny = BacterialGenes().predict(make(["a", "empty"], ["ACGTACGT", ""]))
    assert len(tiny) == 0 and tiny.contigs["n_genes"].values.tolist() == [0, 0]
    assert "no gene was found" in tiny.report()


def test_proteins_and_files(simulated, genes, tmp_path):
    from Bio.Seq import Seq

    proteins = genes.proteins()
    t = genes.table
    for k in range(len(genes)):
        a, b = int(t["start"].values[k]), int(t["end"].values[k])
        one = Seq(simulated[0][a:b])
        one = one if t["strand"].values[k] > 0 else one.reverse_complement()
        if not t["is_partial"].values[k]:
            assert one[:3] == t["start_codon"].values[k]
            # Second opinion: biopython's own translation of a whole coding sequence.
            assert proteins[k] == str(one.translate(table=11, cds=True))
    path = tmp_path / "p.faa"
    genes.proteins(path)
    again = nr.open(path)
    assert list(again) == list(proteins) and again.names.tolist() == proteins.names.tolist()
    # What was written here is replaced, what is somebody else's is not.
    genes.proteins(path)
    genes.to_gff3(tmp_path / "g.gff3")
    genes.to_gff3(tmp_path / "g.gff3")
    others = {
        "own.faa": ">mine\nMKLV\n",
        "own.gff3": "##gff-version 3\nc\tRefSeq\tCDS\t1\t9\t.\t+\t0\tID=a\n",
    }
    for name, text in others.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(FileWriteError):
        genes.proteins(tmp_path / "own.faa")
    with pytest.raises(FileWriteError):
        genes.to_gff3(tmp_path / "own.gff3")
    for name, text in others.items():
        assert (tmp_path / name).read_text() == text
    back = nr.data.pick_features(nr.open(tmp_path / "g.gff3"), "CDS")
    for name in ("start", "end", "strand"):
        assert np.array_equal(back[name].values, t[name].values)
    rows = [
        r.split("\t") for r in (tmp_path / "g.gff3").read_text().splitlines() if "\tCDS\t" in r
    ]
    # Written with some digits.
    assert np.allclose([float(r[5]) for r in rows], t["probability"].values, atol=1e-3)
    heads = [x for x in path.read_text().splitlines() if x.startswith(">")]
    for k, head in enumerate(heads):
        assert head.endswith(f"probability={float(t['probability'].values[k]):.3f}")


def test_saved_genes_are_the_same(genes, simulated, tmp_path):
    genes.save(tmp_path / "genes.nc")
    again = nr.load(tmp_path / "genes.nc")
    assert found_by(again) == found_by(genes)
    assert again.settings["genetic_code"] == 11
    with pytest.raises(DataError, match="genome="):
        again.proteins()
    assert list(again.proteins(genome=simulated)) == list(genes.proteins())
    assert "Hyatt" in again.methods_text()


def test_scores_by_hand(genes, simulated):
    score = genes.score_against(simulated)
    known = whole_genes(simulated.features)
    stop = lambda s, e, d: e if d > 0 else -s  # noqa: E731
    true = {
        stop(s, e, d): (s if d > 0 else e)
        for s, e, d in zip(
            known["start"].values, known["end"].values, known["strand"].values, strict=True
        )
    }
    whole = [
        x for x, p in zip(found_by(genes), genes.table["is_partial"].values, strict=True) if not p
    ]
    hits = [
        (s if d > 0 else e) == true[stop(s, e, d)]
        for _, s, e, d, *_ in whole
        if stop(s, e, d) in true
    ]
    assert score["sensitivity"] == pytest.approx(len(hits) / len(true))
    assert score["precision"] == pytest.approx(len(hits) / len(whole))
    assert score["exact_starts"] == pytest.approx(np.mean(hits))
    low, high = score["sensitivity_ci"].values
    assert low < score["sensitivity"] < high
    right = genes.is_right(simulated)
    assert (right == 1).sum() == len(hits)
    assert (right == -1).sum() == genes.table["is_partial"].sum()


def test_scores_of_what_is_all_right_and_of_another_genome(genes, simulated):
    own = nr.data.SequenceSet.from_sequences(
        simulated.names.tolist(), [simulated[0]], features=genes.features.drop_vars("score")
    )
    score = genes.score_against(own)
    assert score["sensitivity"] == score["precision"] == score["exact_starts"] == 1
    with pytest.raises(DataError, match="found on"):
        genes.score_against(simulate_genome(30_000, rng=2))
    bare = nr.data.SequenceSet.from_sequences(simulated.names.tolist(), [simulated[0]])
    with pytest.raises(DataError, match="annotation="):
        genes.score_against(bare)


def test_the_report_counts_what_the_table_holds(simulated, genes):
    inside = np.zeros(int(simulated.lengths[0]), bool)
    t = genes.table
    for start, end in zip(t["start"].values, t["end"].values, strict=True):
        inside[start:end] = True
    assert genes.covered == pytest.approx(inside.mean())
    said = genes.report()
    assert f"they cover {100 * inside.mean():.0f} % of the letters" in said
    assert "Is this bacterial DNA" not in said
    chance = t["probability"].values
    assert f"{int((chance >= 0.9).sum())} with a probability of 0.9 and more" in said
    assert f"{chance.sum():.1f} expected to be right" in said
    codons, count = np.unique(t["start_codon"].values, return_counts=True)
    for codon, n in zip(codons, count, strict=True):
        assert f"{codon or 'not seen'} {n}" in said
    # A gene across another counts its letters once.
    assert genes.covered < float((t["end"] - t["start"]).sum()) / len(inside)


def test_less_probable_genes_are_listed_where_they_are_asked_for(simulated, genes):
    many = BacterialGenes(min_probability=0.01).predict(simulated)
    few = BacterialGenes(min_probability=0.9).predict(simulated)
    assert len(few) < len(genes) < len(many)
    assert few.table["probability"].min() >= 0.9
    # The start is given the gene, and so may be sure where the gene is not.
    start, gene = many.table["start_probability"], many.table["probability"]
    assert (start <= 1).all() and (start > gene)[gene < 0.5].any()
    # Together no more than one gene is expected at a place: those listed do not lie in each other.
    t = many.table
    for k in range(1, len(many)):
        shared = int(t["end"].values[k - 1]) - int(t["start"].values[k])
        assert 2 * shared <= min(
            int(t["end"].values[j] - t["start"].values[j]) for j in (k - 1, k)
        )


def test_compiled_network_is_the_trained_one():
    genome = simulate_genome(12_000, rng=8)
    frames = frames_of(lay_out(genome), 11)
    adapted = adapt(frames)
    reader = FrameReader(12, seed=3)
    with torch.no_grad():
        for p in reader.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    one = lesson(frames, adapted, genome.features)
    from neurornn.sequences.gene_training import _batches, _tensors
    from neurornn.sequences.genome_adapting import NO_USAGE

    mine = reader.arrays(NO_USAGE, {}).scores(frames, adapted)
    seen = 0
    for rows in _batches(one, np.arange(len(frames.frames)), np.random.default_rng(0)):
        with torch.no_grad():
            scores = reader(*_tensors(one, rows)).numpy()
        for k, row in enumerate(rows):
            a, b = frames.frames[row, 2:]
            # Single precision, added up over hundreds of codons.
            assert np.allclose(scores[k, : b - a], mine[a:b], rtol=1e-4, atol=2e-3)
            seen += b - a
    assert seen == len(mine)


def test_loss_by_hand():
    scores = torch.tensor([[1.0, 2.0, -1e9], [0.5, -1.0, 0.3], [0.1, 0.2, 0.4]])
    found = loss_of(scores, torch.tensor([1, 0, 1]), torch.tensor([1, -1, -1]))
    weights = np.exp(scores.numpy().astype(float))
    whole = 1 + weights.sum(1)
    hand = [
        -np.log(weights[0, 1] / whole[0]),
        np.log(whole[1]),
        -np.log(weights[2].sum() / whole[2]),
    ]
    assert np.allclose(found.numpy(), hand, atol=1e-6)


def test_training_learns_and_is_saved(tmp_path):
    genomes = [simulate_genome(30_000, rng=k) for k in (11, 12)]
    model = BacterialGenes(n_hidden=8, max_epochs=3).fit(genomes)
    loss = model.history_["loss"].values
    assert loss[-1] < loss[0]
    assert model.parameters_["tau"].attrs["units"] == "bp"
    assert np.isnan(model.parameters_["tau_ci"]).all()
    other = simulate_genome(30_000, rng=13)
    found = model.predict(other)
    assert found.settings["engine"].endswith("fitted")
    assert model.score(other) > 0.6
    model.save(tmp_path / "model")
    again = nr.load(tmp_path / "model")
    assert found_by(again.predict(other)) == found_by(found)
    assert clone(model).get_params() == model.get_params()
    # As the shipped one is written and read.
    save_network(model._network, tmp_path / "network.safetensors")
    shipped = load_network(tmp_path / "network.safetensors")
    frames = frames_of(lay_out(other), 11)
    adapted = adapt(frames, shipped.typical)
    assert np.array_equal(shipped.scores(frames, adapted), model._network.scores(frames, adapted))
    assert shipped.about["genomes"] == model.genomes_
    same = BacterialGenes(n_hidden=8, max_epochs=3).fit(genomes)
    assert np.array_equal(same.parameters_["tau"], model.parameters_["tau"])
    with pytest.raises(DataError, match="CDS"):
        model.fit(nr.data.SequenceSet.from_sequences(["a"], ["ACGT" * 300]))


def test_annotated_genes_are_found_among_the_frames(simulated):
    frames = frames_of(lay_out(simulated), 11)
    found = annotated_frames(frames, simulated.features)
    n = whole_genes(simulated.features).sizes["feature"]
    assert (found.label == 1).sum() == n
    starts = found.start[found.start >= 0]
    assert len(starts) == n
    _, start, end, strand = frames.layout.places(
        frames.left[starts], frames.right[starts], frames.strand[starts]
    )
    known = whole_genes(simulated.features)
    assert set(zip(start.tolist(), end.tolist(), strand.tolist(), strict=True)) == set(
        zip(*(known[k].values.tolist() for k in ("start", "end", "strand")), strict=True)
    )


def test_annotated_genes_of_a_ring_count_once(simulated):
    known = whole_genes(simulated.features)
    ring = nr.data.SequenceSet.from_sequences(
        simulated.names.tolist(), [simulated[0]], features=known, circular=True
    )
    found = annotated_frames(frames_of(lay_out(ring), 11), ring.features)
    # The first 20 kb are read twice; what is read again is neither right nor wrong.
    assert (found.label == 1).sum() == known.sizes["feature"]
    assert (found.label == -1).sum() > 100


@pytest.mark.parametrize("code", [11, 4, 25])
def test_codes_of_simulated_pieces(code):
    gc = 0.28 if code == 4 else 0.45
    right = 0
    for seed in range(10):
        genome = simulate_genome(20_000, gc=gc, genetic_code=code, rng=seed)
        found = choose_code(lay_out(genome), load_network().typical)
        right += found.code == code
        assert sum(found.probability.values()) == pytest.approx(1)
    # Pieces of 20 genes each.
    assert right >= 9


def test_prediction_leaves_torch_alone(tmp_path):
    simulate_genome(12_000, rng=0)
    script = (
        "import sys, neurornn as nr\n"
        "g = nr.simulate.simulate_genome(12_000, rng=0)\n"
        "print(len(nr.sequences.BacterialGenes().predict(g)), 'torch' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    n, torch_loaded = said.stdout.split()
    assert int(n) > 2 and torch_loaded == "False"


@pytest.mark.realdata
@pytest.mark.parametrize("name", list(FILES)[1:])
def test_real_genomes(realdata, name):
    genome = nr.open(realdata(f"{BACTERIA}/{name}"))
    genes = BacterialGenes().predict(genome)
    assert genes.settings["genetic_code"] == FILES[name]
    score = genes.score_against(genome)
    # The network was trained on these genomes: a first look that nothing is broken, no score.
    assert score["sensitivity"] > 0.93 and score["precision"] > 0.95
    size = int(genome.lengths[0])
    other = BacterialGenes().predict(genome.reverse_complement())
    mirrored = {((size - e) % size, e - s, -d, p) for _, s, e, d, p, _ in found_by(other)}
    assert mirrored == {(s % size, e - s, d, p) for _, s, e, d, p, _ in found_by(genes)}


@pytest.mark.slow
@pytest.mark.realdata
def test_a_genome_that_was_never_seen(realdata):
    genomes = [nr.open(realdata(f"{BACTERIA}/{name}")) for name in FILES]
    model = BacterialGenes().fit(genomes[:2])
    score = model.predict(genomes[2]).score_against(genomes[2])
    # The gate of the benchmark: no mollicute among the genomes of the training.
    assert score["sensitivity"] > 0.95 and score["precision"] > 0.90


def test_genomes_are_scored_by_a_network_that_never_saw_them():
    one, two = simulate_genome(20_000, rng=21), simulate_genome(20_000, rng=22)
    quick = BacterialGenes(n_hidden=6, max_epochs=2)
    table = nr.sequences.score_held_out_genomes({"one": one, "two": two}, quick)
    assert not hasattr(quick, "parameters_")
    by_hand = clone(quick).fit([two]).predict(one).score_against(one)
    for name in ("sensitivity", "precision", "exact_starts"):
        assert table[name].sel(genome="one") == by_hand[name]
        assert np.array_equal(table[f"{name}_ci"].sel(genome="one"), by_hand[f"{name}_ci"])
    n = [whole_genes(g.features).sizes["feature"] for g in (one, two)]
    assert table["n_annotated"].values.tolist() == n
    assert table["n_related"].values.tolist() == [0, 0]
    # Counts come first.
    assert list(table.data_vars)[:2] == ["n_annotated", "n_related"]
    copied = nr.sequences.score_held_out_genomes(
        {"one": one, "again": one.reverse_complement()}, quick
    )
    assert copied["n_related"].values.tolist() == [n[0], n[0]]
    with pytest.raises(DataError, match="two were needed"):
        nr.sequences.score_held_out_genomes({"one": one})


def test_coding_potential_lies_in_the_frames_of_the_genes(simulated, genes):
    table = BacterialGenes().coding_potential(simulated)
    assert table["potential"].dims == ("frame", "position")
    size, t = int(simulated.lengths[0]), genes.table
    whole = np.flatnonzero(~t["is_partial"].values)
    for k in whole[:20]:
        start, end, strand = (int(t[v].values[k]) for v in ("start", "end", "strand"))
        frame = start % 3 + 1 if strand > 0 else -((size - end) % 3 + 1)
        own = table["potential"].sel(frame=frame).values[start:end]
        # Every codon but the stop, and nothing between them.
        assert np.isfinite(own).sum() == (end - start) // 3 - 1
        others = [
            table["potential"].sel(frame=f).values[start:end]
            for f in (-3, -2, -1, 1, 2, 3)
            if f != frame
        ]
        assert np.nanmean(own) > np.nanmean(np.concatenate(others))
    turned = BacterialGenes().coding_potential(simulated.reverse_complement())
    mirrored = turned["potential"].values[::-1, ::-1]
    # A mean over codons, summed from the other end.
    np.testing.assert_allclose(mirrored, table["potential"].values, atol=1e-9)
    ax = nr.plot.coding_potential(table, genes=genes, end=9000)
    assert len(ax.lines) >= 6 + 3
