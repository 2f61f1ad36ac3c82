"""GeneStructure: known truth recovered, always legal, files that other readers agree with."""

import itertools

import numpy as np
import pytest
from Bio.Seq import Seq

import neurornn as nr
from neurornn._core.errors import DataError, FileWriteError, KindError
from neurornn.data import SequenceSet, extract, features_from_records
from neurornn.sequences import structure_strands
from neurornn.sequences.structure_adapting import _levelled
from neurornn.sequences.structure_annotation import annotated_isoforms, lessons_of
from neurornn.sequences.structure_model import WEIGHTS
from neurornn.sequences.structure_statistics import (
    BETWEEN,
    CLASSES,
    _interpolated,
    count,
    known_marginals,
    length_densities,
    moved,
    site_scores,
)
from neurornn.sequences.structure_strands import Structure, stretch_of
from neurornn.simulate import simulate_spliced_genome


@pytest.fixture(scope="module")
def genome():
    return simulate_spliced_genome(80_000, n_contigs=3, rng=0)


@pytest.fixture(scope="module")
def model(genome):
    return nr.sequences.GeneStructure(max_iterations=12).fit(genome)


@pytest.fixture(scope="module")
def other():
    """Another genome of the same species."""
    return simulate_spliced_genome(60_000, rng=1)


@pytest.fixture(scope="module")
def found(model, other):
    return model.predict(other)


def faults(found, genome):
    """Genes that are not legal, by Biopython on the letters of the table of exons."""
    out = []
    letters = dict(zip(genome.names.tolist(), genome, strict=True))
    e = found.exons
    rows = list(
        zip(*(e[k].values for k in ("gene", "contig", "start", "end", "strand", "phase")),
            strict=True)
    )  # fmt: skip
    for gene, group in itertools.groupby(rows, key=lambda r: r[0]):
        parts = [tuple(r[1:]) for r in group]
        whole, done = "", 0
        for contig, a, b, strand, phase in parts:
            piece = Seq(letters[contig][a:b].upper())
            whole += str(piece.reverse_complement() if strand < 0 else piece)
            if phase != -done % 3 or b - a < 3:
                out.append((gene, "phase"))
            done += b - a
        protein = str(Seq(whole).translate()) if len(whole) % 3 == 0 else ""
        if not protein.startswith("M") or protein.find("*") != len(protein) - 1:
            out.append((gene, "frame"))
        for one, two in itertools.pairwise(parts):
            left, right = (one, two) if one[3] > 0 else (two, one)
            gap = Seq(letters[one[0]][left[2] : right[1]].upper())
            gap = str(gap.reverse_complement() if one[3] < 0 else gap)
            if gap[:2] not in ("GT", "GC") or gap[-2:] != "AG" or len(gap) < 30:
                out.append((gene, "intron"))
    return out


def test_probabilities_of_genes_and_exons_fit_together(found):
    t, e = found.parameters, found.exons
    n = t["n_exons"].values
    ends = np.cumsum(n)
    by_gene = np.split(e["probability"].values, ends[:-1])
    whole, stop = t["structure_probability"].values, t["probability"].values
    for k, chances in enumerate(by_gene):
        # All exons at once are no more probable than any of them.
        assert whole[k] <= chances.min() + 1e-9
        # Its stop ends the last exon of any structure that has it.
        assert stop[k] >= chances[-1] - 1e-9
    assert (whole < stop - 1e-6).any()
    wanted = np.where(stop < 0.5, "contested", "ok")
    np.testing.assert_array_equal(t["status"].values, wanted)
    np.testing.assert_array_equal(e["gene"].values, np.repeat(t["gene"].values, n))


def test_a_doubtful_gene_is_called_contested(model):
    # Genes of another species, as it was trained: some are less probable than not.
    strange = simulate_spliced_genome(90_000, gc=0.5, usage=7, mean_intron=250.0, rng=2)
    model.set_params(adapt=False)
    found = model.predict(strange)
    model.set_params(adapt=True)
    stop = found.parameters["probability"].values
    assert (stop < 0.5).any()
    wanted = np.where(stop < 0.5, "contested", "ok")
    np.testing.assert_array_equal(found.status.values, wanted)
    assert "Less probable than not" in found.report()


def test_genes_of_the_same_species_are_found(found, other):
    table = found.score_against(other)
    # 24 genes of 89 coding parts; of 20 seeds the lowest share found was .93.
    assert float(table["exon_sensitivity"]) > 0.9
    assert float(table["exon_precision"]) > 0.9
    assert float(table["letter_sensitivity"]) > 0.95
    assert int(table["n_annotated"]) == len({x.gene for x in annotated_isoforms(other, 1)})


def test_another_species_is_learned_from_its_bare_sequence(model):
    # Other usage of codons, other composition, longer introns.
    strange = simulate_spliced_genome(
        120_000, gc=0.5, usage=7, mean_intron=250.0, mean_exon=220.0, rng=2
    )
    bare = strange[:]
    bare.features = None
    adapted = model.predict(bare).score_against(strange)
    model.set_params(adapt=False)
    as_trained = model.predict(bare).score_against(strange)
    model.set_params(adapt=True)
    # As trained it finds a third; adapted nearly all. Half-way between is far from either.
    assert float(adapted["exon_sensitivity"]) > 0.85
    assert float(adapted["exon_precision"]) > 0.85
    assert float(adapted["exon_sensitivity"]) > float(as_trained["exon_sensitivity"]) + 0.1


def test_what_is_annotated_is_not_looked_at(model, other, found):
    bare = other[:]
    bare.features = None
    assert model.predict(bare).table.equals(found.table)


def test_every_gene_is_legal(found, other):
    assert len(found) > 10
    assert set(found.table["strand"].values.tolist()) == {-1, 1}
    assert faults(found, other) == []


@pytest.mark.parametrize("adapt", [True, False])
def test_genes_of_random_letters_are_legal(model, adapt):
    draw = np.random.default_rng(5)
    seqs = ["".join(draw.choice(list("ACGT"), 3000)) for _ in range(30)]
    # Gaps and unknown letters too.
    seqs[3] = seqs[3][:1000] + "N" * 50 + seqs[3][1050:]
    seqs[4] = "".join("N" if draw.random() < 0.01 else c for c in seqs[4])
    noise = SequenceSet.from_sequences([f"r{k}" for k in range(30)], seqs)
    model.set_params(adapt=adapt)
    genes = model.predict(noise)
    model.set_params(adapt=True)
    assert faults(genes, noise) == []


def test_the_reverse_complement_has_the_mirror_image(model, other, found):
    turned = model.predict(other.reverse_complement())
    size = int(other.lengths[0])
    mirror = sorted(
        zip(size - turned.exons["end"].values, size - turned.exons["start"].values,
            -turned.exons["strand"].values, strict=True)
    )  # fmt: skip
    mine = sorted(zip(*(found.exons[k].values for k in ("start", "end", "strand")), strict=True))
    assert mirror == mine
    one = np.sort(found.exons["probability"].values)
    # Contigs are laid in one direction whichever way they come.
    np.testing.assert_allclose(np.sort(turned.exons["probability"].values), one, atol=1e-9)


@pytest.mark.slow
def test_the_order_and_names_of_contigs_change_nothing(model, genome):
    found = model.predict(genome)
    again = model.predict(genome[[2, 0, 1]])
    for contig in genome.names:
        one = found.exons.isel(exon=np.flatnonzero(found.exons["contig"].values == contig))
        two = again.exons.isel(exon=np.flatnonzero(again.exons["contig"].values == contig))
        for name in ("start", "end", "strand"):
            np.testing.assert_array_equal(one[name].values, two[name].values)


def test_a_long_contig_is_read_in_stretches_as_if_it_were_whole(model, other, monkeypatch):
    model.set_params(adapt=False)
    whole = model.predict(other)
    monkeypatch.setattr(structure_strands, "STRETCH", 20_000)
    monkeypatch.setattr(structure_strands, "OVERLAP", 8_000)
    monkeypatch.setattr("neurornn.sequences.gene_structure.OVERLAP", 8_000)
    cut = model.predict(other)
    model.set_params(adapt=True)
    assert len(list(structure_strands.stretches_of(other, 1))) == 3
    for name in ("start", "end", "strand", "contig"):
        np.testing.assert_array_equal(whole.exons[name].values, cut.exons[name].values)
    # What lies beyond a stretch is out of sight: 8 kb hold two genes and more.
    np.testing.assert_allclose(
        whole.exons["probability"].values, cut.exons["probability"].values, atol=0.02
    )


def test_saved_and_loaded_it_finds_the_same(model, other, found, tmp_path):
    model.save(tmp_path / "model")
    again = nr.load(tmp_path / "model")
    assert again.predict(other).table.equals(found.table)
    np.testing.assert_array_equal(again.excluded_["reason"].values, model.excluded_["reason"])
    found.save(tmp_path / "genes")
    assert nr.load(tmp_path / "genes").exons.equals(found.exons)


def test_gff3_reads_back_as_the_same_genes(found, other, tmp_path):
    from neurornn.data import pick_features

    path = found.to_gff3(tmp_path / "genes.gff3")
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">{other.names[0]}\n{other[0]}\n")
    read = nr.open(fasta, annotation=path)
    coding = pick_features(read.features, "CDS")
    assert coding.sizes["feature"] == len(found)
    np.testing.assert_array_equal(coding["part_start"].values, found.exons["start"].values)
    np.testing.assert_array_equal(coding["part_end"].values, found.exons["end"].values)
    rows = [r.split("\t") for r in path.read_text().splitlines() if not r.startswith("#")]
    ids = {dict(p.split("=") for p in r[8].split(";"))["ID"]: r for r in rows}
    for row in rows:
        about = dict(p.split("=") for p in row[8].split(";"))
        above = {"mRNA": "gene", "CDS": "mRNA"}.get(row[2])
        if above is None:
            assert "Parent" not in about
        else:
            assert ids[about["Parent"]][2] == above
            assert ids[about["Parent"]][3] <= row[3] or int(ids[about["Parent"]][3]) <= int(row[3])
    # The column of phases, by what is left of a codon: not the frame that other formats have.
    phases = [int(r[7]) for r in rows if r[2] == "CDS"]
    assert phases == found.exons["phase"].values.tolist()
    assert set(phases) == {0, 1, 2}
    scores = {r[5] for r in rows if r[2] == "gene"}
    wanted = {f"{p:.6g}" for p in found.table["probability"].values}
    assert scores == wanted
    # Written here, so replaced; with a remark of somebody's, not.
    found.to_gff3(path)
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(FileWriteError, match="something was added"):
        found.to_gff3(path)


def test_proteins_are_those_of_biopython(found, other, tmp_path):
    letters = extract(other, found.features)
    wanted = [str(Seq(dna).translate(to_stop=True)) for dna in letters]
    assert list(found.proteins(tmp_path / "proteins.fa")) == wanted
    assert (tmp_path / "proteins.fa").read_text().count(">") == len(found)


def test_the_score_is_what_counting_by_hand_gives(found, other):
    isoforms = annotated_isoforms(other, 1)
    true = {(x.strand, int(a), int(b)) for x in isoforms for a, b in x.parts}
    e = found.exons
    mine = set(zip(e["strand"].values.tolist(), e["start"].values.tolist(),
                   e["end"].values.tolist(), strict=True))  # fmt: skip
    table = found.score_against(other)
    assert float(table["exon_sensitivity"]) == len(mine & true) / len(true)
    assert float(table["exon_precision"]) == len(mine & true) / len(mine)
    coding = np.zeros((2, 2, int(other.lengths[0])), bool)
    for k, keys in enumerate((true, mine)):
        for strand, a, b in keys:
            coding[k, int(strand > 0), a:b] = True
    both = (coding[0] & coding[1]).sum()
    assert float(table["letter_sensitivity"]) == both / coding[0].sum()
    assert float(table["letter_precision"]) == both / coding[1].sum()
    for name in ("exon_sensitivity", "exon_precision", "gene_sensitivity"):
        low, high = table[f"{name}_ci"].values
        assert low <= float(table[name]) <= high
    np.testing.assert_array_equal(
        found.is_right(other), [int(k in true) for k in zip(
            e["strand"].values.tolist(), e["start"].values.tolist(), e["end"].values.tolist(),
            strict=True)]
    )  # fmt: skip


def test_whole_genes_are_those_with_all_their_parts_and_no_more(found, other):
    isoforms = annotated_isoforms(other, 1)
    wholes = {(x.strand, tuple(map(tuple, x.parts.tolist()))) for x in isoforms}
    e, n = found.exons, found.table["n_exons"].values
    rows = list(zip(e["start"].values.tolist(), e["end"].values.tolist(), strict=True))
    at = np.r_[0, np.cumsum(n)]
    mine = [
        (int(s), tuple(rows[at[k] : at[k + 1]]))
        for k, s in enumerate(found.table["strand"].values)
    ]
    hits = sum(g in wholes for g in mine)
    # One isoform of each gene here. Not all are right, or nothing could be told.
    assert 0 < hits < len(mine)
    table = found.score_against(other)
    assert float(table["gene_precision"]) == hits / len(mine)
    assert float(table["gene_sensitivity"]) == hits / len(wholes)


def test_parts_are_read_with_statistics_of_the_others(genome):
    from neurornn.sequences import structure_training

    lessons, _ = lessons_of(genome, 1, 30, np.random.default_rng(0))
    assert len({x.fold for x in lessons}) == 3
    run = {"least_intron": 30, "max_iterations": 1, "tick": lambda: None, "names": ["x"]}
    _, apart = structure_training.train(lessons, **run)
    _, together = structure_training.train([x._replace(fold=0) for x in lessons], **run)
    # What was counted on the letters themselves fits them better than it should.
    assert together[0] < apart[0]


def test_a_wrong_score_would_show(found, other):
    # Everything moved by one letter: no coding part is right.
    moved_on = nr.sequences.SplicedGenes(
        found.parameters, found.settings, contigs=found.contigs,
        exons=found.exons.assign(start=found.exons["start"] + 1),
    )  # fmt: skip
    table = moved_on.score_against(other)
    assert float(table["exon_sensitivity"]) == 0.0
    assert float(table["letter_precision"]) > 0.9


def test_the_report_tells_what_was_found(found, other):
    text = found.report()
    e = found.exons
    coding = float((e["end"] - e["start"]).sum()) / float(other.lengths.sum())
    sure = int((e["probability"] >= 0.9).sum())
    assert f"{len(found)} genes of {e.sizes['exon']} exons on 1 contig of 60000 bp" in text
    assert f"{sure} exons with a probability of 0.9 and more" in text
    assert f"{float(e['probability'].sum()):.1f} expected to be right" in text
    assert f"coding: {100 * coding:.1f} % of the letters" in text
    assert f"adapted in {found.settings['n_rounds']} rounds" in text
    assert len(found) >= 20
    assert "Fewer than 20 genes" not in text
    few = nr.sequences.SplicedGenes(
        found.parameters.isel(gene=slice(0, 19)), found.settings, contigs=found.contigs,
        exons=found.exons.isel(exon=slice(0, int(found.parameters["n_exons"][:19].sum()))),
    )  # fmt: skip
    assert "Fewer than 20 genes" in few.report()


def test_the_shell_of_the_estimator(model, genome):
    text = model.report()
    n = len({x.gene for x in annotated_isoforms(genome, 1)})
    assert f"{n} genes; 0 coding sequences left out" in text
    assert model.parameters_["feature"].values.tolist() == list(WEIGHTS)
    assert "semi-Markov" in model.methods_text()
    loss = model.history_["loss"].values
    assert f"{loss.min():.2f} nats per gene after {len(loss)} iterations" in text
    assert model.history_["loss"].values[-1] < model.history_["loss"].values[0]


# --- annotations ---


def gene_of(letters, parts, strand=1, **more):
    record = {"contig": "c", "type": "CDS", "name": "x", "gene": "x", "strand": strand,
              "parts": parts, **more}  # fmt: skip
    return SequenceSet.from_sequences(["c"], [letters], features=features_from_records([record]))


INTRON = "GTAAGT" + "C" * 30 + "TTTCAG"
GENE = "CCCC" + "ATGGCAGCA" + INTRON + "GCAGCATAA" + "CCCC"
PARTS = [(4, 13), (13 + len(INTRON), 22 + len(INTRON))]


def excluded(genome, least_intron=30):
    try:
        return lessons_of(genome, 1, least_intron, np.random.default_rng(0))[1]
    except DataError as error:
        return str(error)


def test_a_legal_gene_is_learned_from_on_either_strand():
    genome = gene_of(GENE, PARTS)
    lessons, left = lessons_of(genome, 1, 30, np.random.default_rng(0))
    assert left == []
    assert len(lessons[0].structures) == 1
    turned = genome.reverse_complement()
    lessons, left = lessons_of(turned, 1, 30, np.random.default_rng(0))
    assert left == []
    assert (
        lessons[0].structures[0].exons[:, 1].sum() - lessons[0].structures[0].exons[:, 0].sum()
        == 18
    )


@pytest.mark.parametrize(
    ("letters", "parts", "why"),
    [
        (GENE, [PARTS[1], PARTS[0]], "out of order"),
        (GENE.replace("GTAAGT", "GAAAGT"), PARTS, "neither GT nor GC"),
        (GENE.replace("TTTCAG", "TTTCAC"), PARTS, "end with AG"),
        (GENE.replace("ATGGCA", "ACGGCA"), PARTS, "begin with ATG"),
        (GENE.replace("GCAGCATAA", "GCATAATAA"), PARTS, "stop in its frame"),
        (GENE.replace("GCATAA", "GCACAA"), PARTS, "end with a stop"),
        (GENE, [(4, 13), (PARTS[1][0] + 3, PARTS[1][1])], "end with AG"),
        (GENE, [(4, 13), (14, PARTS[1][1])], "shorter than 30 bp"),
        (GENE.replace("GCAGCATAA", "GCANCATAA"), PARTS, "not known"),
    ],
)
def test_why_a_coding_sequence_is_left_out_is_said(letters, parts, why):
    said = excluded(gene_of(letters, parts))
    assert why in str(said)
    assert "x" in str(said)


def test_a_gene_of_gtf_gets_its_stop():
    short = [PARTS[0], (PARTS[1][0], PARTS[1][1] - 3)]
    assert annotated_isoforms(gene_of(GENE, short), 1)[0].parts.tolist() == [
        list(p) for p in PARTS
    ]
    # On the other strand too, and never past a stop that is there.
    turned = gene_of(GENE, short).reverse_complement()
    assert annotated_isoforms(turned, 1)[0].parts[-1, 0] == 4
    assert annotated_isoforms(gene_of(GENE, PARTS), 1)[0].parts.tolist() == [
        list(p) for p in PARTS
    ]


def test_the_longest_legal_isoform_is_learned_from():
    records = [
        {"contig": "c", "type": "CDS", "name": name, "gene": "g", "strand": 1, "parts": parts}
        for name, parts in (
            ("short", PARTS), ("bad", [(4, 14), PARTS[1]]),
            ("long", [PARTS[0], (PARTS[1][0], PARTS[1][1])]),
        )
    ]  # fmt: skip
    genome = SequenceSet.from_sequences(["c"], [GENE], features=features_from_records(records))
    lessons, left = lessons_of(genome, 1, 30, np.random.default_rng(0))
    assert [name for name, _ in left] == ["bad"]
    assert len(lessons[0].structures) == 1


def test_a_gene_within_another_is_left_out_and_listed():
    records = [
        {"contig": "c", "type": "CDS", "name": n, "gene": n, "strand": 1, "parts": PARTS}
        for n in ("one", "two")
    ]
    genome = SequenceSet.from_sequences(["c"], [GENE], features=features_from_records(records))
    lessons, left = lessons_of(genome, 1, 30, np.random.default_rng(0))
    assert len(lessons[0].structures) == 1
    assert left == [("two", "it overlaps another gene")]


def test_an_annotation_of_another_assembly_is_refused(genome):
    moved_on = genome[:]
    letters = [s[7:] + s[:7] for s in genome]
    moved_on = SequenceSet.from_sequences(genome.names, letters, features=genome.features)
    with pytest.raises(DataError, match="annotation of this assembly"):
        nr.sequences.GeneStructure().fit(moved_on)


def test_a_gene_beyond_the_end_names_itself():
    with pytest.raises(DataError, match="x"):
        gene_of(GENE, [PARTS[0], (PARTS[1][0], len(GENE) + 5)])


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (np.zeros(3), KindError, "SequenceSet of DNA"),
        ([], DataError, "No genomes"),
        (SequenceSet.from_sequences(["p"], ["MKLV"], "protein"), (KindError, DataError), "."),
        (SequenceSet.from_sequences(["c"], ["ACGT" * 50]), DataError, "no coding sequences"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(bad, error, match):
    with pytest.raises(error, match=match):
        nr.sequences.GeneStructure().fit(bad)


def test_what_cannot_be_predicted_is_refused(model):
    with pytest.raises(KindError, match="DNA was needed"):
        model.predict(SequenceSet.from_sequences(["p"], ["MKLV"], "protein"))
    with pytest.raises(DataError, match="own for each contig"):
        model.predict(SequenceSet.from_sequences(["a", "a"], ["ACGT" * 9, "ACGA" * 9]))
    with pytest.raises(DataError, match="known bases"):
        model.predict(SequenceSet.from_sequences(["a"], ["N" * 99]))
    with pytest.raises(ValueError, match="min_intron"):
        nr.sequences.GeneStructure(min_intron=2).fit(
            SequenceSet.from_sequences(["c"], ["ACGT" * 50])
        )


def test_very_short_contigs_have_no_genes(model):
    tiny = SequenceSet.from_sequences(["a", "b", "c"], ["A", "ACGTA", "N" * 40])
    found = model.predict(tiny)
    assert len(found) == 0
    assert found.exons.sizes["exon"] == 0
    assert "0 genes" in found.report()


def test_files_without_genes_read_back(model, tmp_path):
    tiny = SequenceSet.from_sequences(["a"], ["ACGTA"])
    path = model.predict(tiny).to_gff3(tmp_path / "none.gff3")
    assert nr.open(path).sizes["feature"] == 0


def test_files_do_as_well(model, other, found, tmp_path):
    fasta, gff = tmp_path / "g.fa", tmp_path / "g.gff3"
    fasta.write_text(f">{other.names[0]}\n{other[0].lower()}\n")
    from neurornn.io.gff_writer import write_gff3

    write_gff3(other.features, gff, sequences=other)
    # Soft-masked letters are letters.
    assert model.predict(fasta).table["start"].equals(found.table["start"])
    again = nr.sequences.GeneStructure(max_iterations=2).fit(fasta, gff)
    assert again.n_genes_ == len({x.gene for x in annotated_isoforms(other, 1)})


# --- statistics ---


def test_probabilities_sum_to_one(genome):
    stretch = stretch_of(genome, 1)
    bare = count(stretch, known_marginals(stretch, []))
    lessons, _ = lessons_of(genome, 1, 30, np.random.default_rng(0))
    own = [count(x.stretch, known_marginals(x.stretch, x.structures)) for x in lessons]
    whole = own[0]
    for one in own[1:]:
        whole = whole.with_prior(one, 1.0)
    for statistics in (whole, moved(whole, bare)):
        for k in range(len(CLASSES)):
            p = np.exp(_interpolated(statistics.letters[k])).sum(axis=1)
            np.testing.assert_allclose(p, 1.0, atol=1e-12)
    # All letters are counted once, with five known ones before them, on both strands.
    expected = sum(int((s.context >= 0).sum()) for x in lessons for s in x.stretch.strands)
    near = whole.letters.sum()
    assert near <= expected
    assert bare.letters[BETWEEN].sum() == sum(int((s.context >= 0).sum()) for s in stretch.strands)
    exons, introns = length_densities([g for x in lessons for g in x.structures])
    # Densities over lengths; what lies beyond 3 kb is cut off.
    assert np.exp(introns).sum() == pytest.approx(1.0, abs=0.05)
    assert np.exp(exons[1]).sum() == pytest.approx(1.0, abs=0.05)


def placed(genome, parts):
    """A stretch, and parts of a gene of the forward strand of its contig on it."""
    stretch = stretch_of(genome, 1)
    own = [stretch.own("c", a, b, 1) for a, b in parts]
    return stretch, Structure("x", own[0][0], np.array([p[1:] for p in own]))


@pytest.mark.parametrize("cut", [9, 10, 11])
def test_letters_are_counted_in_the_place_of_their_codon(cut):
    # The intron falls between codons, or splits one.
    coding = "ATGGCAGCAGCAGCATAA"
    letters = "CCCC" + coding[:cut] + INTRON + coding[cut:] + "CCCC"
    parts = [(4, 4 + cut), (4 + cut + len(INTRON), 22 + len(INTRON))]
    stretch, gene = placed(gene_of(letters, parts), parts)
    counted = count(stretch, known_marginals(stretch, [gene]))
    for place in range(3):
        # The first A has four known letters before it, and is not counted.
        wanted = coding[place::3][int(place == 0) :]
        np.testing.assert_array_equal(
            counted.letters[place].sum(axis=0), [wanted.count(c) for c in "ACGT"]
        )
    assert counted.letters[3].sum() == len(INTRON)
    # A site of each kind, and the letters around it.
    for kind in ("start", "donor", "acceptor", "stop"):
        assert counted.sites[kind].sum(axis=(1, 2)).max() == 1
    assert counted.sites["donor"][4].sum(axis=0).tolist() == [0, 0, 1, 0]


def test_of_a_long_intron_the_letters_near_its_ends_are_counted():
    long = "GTAAGT" + "C" * 900 + "TTTCAG"
    letters = GENE.replace(INTRON, long)
    parts = [PARTS[0], (13 + len(long), 22 + len(long))]
    stretch, gene = placed(gene_of(letters, parts), parts)
    counted = count(stretch, known_marginals(stretch, [gene]))
    assert counted.letters[3].sum() == 2 * 80
    first, last = long[:80], long[-80:]
    wanted = [(first + last).count(c) for c in "ACGT"]
    np.testing.assert_array_equal(counted.letters[3].sum(axis=0), wanted)


def test_moved_to_its_own_composition_odds_stay_what_they_are(genome):
    lessons, _ = lessons_of(genome, 1, 30, np.random.default_rng(0))
    whole = None
    for x in lessons:
        one = count(x.stretch, known_marginals(x.stretch, x.structures))
        whole = one if whole is None else whole.with_prior(one, 1.0)
    there = moved(whole, whole)
    for k in range(BETWEEN):
        # Contexts keep how often they occur; shrinkage alone moves odds, towards the mean.
        np.testing.assert_allclose(
            there.letters[k].sum(axis=1), whole.letters[k].sum(axis=1), rtol=1e-9
        )
        often = whole.letters[k].sum(axis=1) > 15
        assert often.sum() > 20
        one, two = whole.letter_odds()[k][often], there.letter_odds()[k][often]
        assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.95
    # On another composition letters that are rare there are rare in genes too.
    strange = simulate_spliced_genome(30_000, gc=0.7, rng=4)
    stretch = stretch_of(strange, 1)
    rich = moved(whole, count(stretch, known_marginals(stretch, [])))
    for k in range(3):
        share = rich.letters[k].sum(axis=0) / rich.letters[k].sum()
        before = whole.letters[k].sum(axis=0) / whole.letters[k].sum()
        assert share[1] + share[2] > before[1] + before[2]
        np.testing.assert_allclose(
            rich.letters[k].sum(axis=1), whole.letters[k].sum(axis=1), rtol=1e-9
        )


def test_adapting_counts_and_keeps_the_weights_but_one(model, other):
    from neurornn.sequences.structure_adapting import adapted

    ticks = []
    new, rounds = adapted(
        model._model, lambda: [stretch_of(other, 1)], least_intron=30, max_rounds=2,
        tick=lambda: ticks.append(1),
    )  # fmt: skip
    assert len(ticks) == len(rounds) <= 2
    wanted = model._model.weights.copy()
    wanted[WEIGHTS.index("coding odds")] *= 2
    np.testing.assert_array_equal(new.weights, wanted)
    n = len({x.gene for x in annotated_isoforms(other, 1)})
    assert rounds[-1].n_genes == pytest.approx(n, abs=3)
    assert rounds[-1].n_exons > rounds[-1].n_genes
    # Lengths are those of the genome, and not of the training, whose introns have 120 bp.
    long = simulate_spliced_genome(60_000, mean_intron=300.0, rng=5)
    new, _ = adapted(
        model._model, lambda: [stretch_of(long, 1)], least_intron=30, max_rounds=3,
        tick=lambda: None,
    )  # fmt: skip

    def mean(density):
        p = np.exp(density)
        return float((np.arange(len(p)) * p).sum() / p.sum())

    assert mean(model._model.statistics.introns) < 150
    # 300 bp, some of which mixed with lengths of all kinds.
    assert mean(new.statistics.introns) > 220


def test_sites_score_by_their_odds():
    stretch = stretch_of(gene_of(GENE, PARTS), 1)
    row = 1 if stretch.layout.turned[0] else 0
    strand = stretch.strands[row]
    odds = np.zeros((13, 4, 4))
    # One for a G behind a G at the first letter of the intron.
    odds[4, :, 2] = 1.0
    np.testing.assert_array_equal(site_scores(strand, "donor", odds), 1.0)


def test_levelled_lengths_have_the_mean_of_training(genome):
    lessons, _ = lessons_of(genome, 1, 30, np.random.default_rng(0))
    genes = [g for x in lessons for g in x.structures]
    whole = count(lessons[0].stretch, known_marginals(lessons[0].stretch, []))
    from dataclasses import replace

    exons, introns = length_densities(genes)
    trained = replace(whole, exons=exons, introns=introns)
    narrow = np.full(3001, -50.0)
    narrow[60:80] = -np.log(20)
    own = replace(trained, introns=narrow)
    levelled = _levelled(own, trained)

    def mean(density, scores):
        p = np.exp(density) / np.exp(density).sum()
        return float((p * scores).sum())

    assert mean(narrow, levelled.introns) == pytest.approx(mean(introns, introns), abs=1e-9)
    np.testing.assert_allclose(levelled.exons, exons, atol=1e-12)


@pytest.mark.realdata
@pytest.mark.slow
def test_worm_genes_by_a_model_of_arabidopsis():
    home = nr.fetch("gene_structure_1pct")
    one, two = (
        nr.open(home / f"{s}.fa.gz", annotation=home / f"{s}.gff3.gz")
        for s in ("athaliana", "celegans")
    )
    found = nr.sequences.GeneStructure().fit(one).predict(two)
    table = found.score_against(two)
    # AUGUSTUS with parameters of Arabidopsis: .325 and .406.
    assert float(table["exon_sensitivity"]) > 0.5
    assert float(table["exon_precision"]) > 0.5
    assert faults(found, two) == []
