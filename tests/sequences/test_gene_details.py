"""Genes on rings, under other codes, in files, and what is refused."""

import numpy as np
import pytest
from Bio.Seq import Seq

import neurornn as nr
from neurornn._core.errors import DataError, FileWriteError, KindError
from neurornn.cli import main
from neurornn.data import SequenceSet
from neurornn.sequences import BacterialGenes, score_held_out_genomes
from neurornn.simulate import simulate_genome

FINDER = BacterialGenes(genetic_code=11)


@pytest.fixture(scope="module")
def chromosome():
    return simulate_genome(60_000, mean_codons=900, rng=2)[0]


@pytest.fixture(scope="module")
def draft():
    return simulate_genome(30_000, n_contigs=2, rng=4)


@pytest.fixture(scope="module")
def genes(draft):
    return FINDER.predict(draft)


def longest_gene(letters, at_most):
    table = FINDER.predict(SequenceSet.from_sequences(["a"], [letters])).table
    size = (table["end"] - table["start"]).values
    k = int(np.argmax(np.where(size < at_most, size, 0)))
    return int(table["start"][k]), int(table["end"][k])


@pytest.mark.parametrize("turned", [False, True])
def test_a_ring_may_be_one_gene_wherever_it_is_cut_open(chromosome, turned):
    start, end = longest_gene(chromosome, 6000)
    ring = chromosome[start - 60 : end + 40]
    for cut in (0, 1000, len(ring) // 2, len(ring) - 300):
        genome = SequenceSet.from_sequences(
            ["chromosome", "plasmid"], [chromosome, ring[cut:] + ring[:cut]],
            circular=[False, True],
        )  # fmt: skip
        genome = genome.reverse_complement() if turned else genome
        found = FINDER.predict(genome)
        rows = np.flatnonzero(found.table["contig"].values == "plasmid")
        assert len(rows) == 1
        k = rows[0]
        size = int(found.table["end"][k] - found.table["start"][k])
        # A ring cuts no gene; the start may be another of its frame.
        assert not found.table["is_partial"][k] and abs(size - (end - start)) < 200
        assert 0 <= found.table["start"][k] < len(ring)
        twice = Seq(genome["plasmid"] * 2)[int(found.table["start"][k]) :][:size]
        twice = twice if found.table["strand"][k] > 0 else twice.reverse_complement()
        assert found.proteins()[k] == str(twice.translate(table=11, cds=True))


def test_a_frame_without_stops_all_round_a_ring_is_no_gene(chromosome):
    # 600 letters are a whole number of codons; one more, and each turn reads another frame.
    for ring in ("ATGGCTGCAGAACTG" * 40, "ATGGCTGCAGAACTG" * 40 + "C"):
        genome = SequenceSet.from_sequences(
            ["chromosome", "ring"], [chromosome, ring], circular=[False, True]
        )
        found = BacterialGenes(genetic_code=11, min_probability=0).predict(genome)
        size = (found.table["end"] - found.table["start"]).values
        assert (size[found.table["contig"].values == "ring"] <= len(ring)).all()
        assert len(found.proteins()) == len(found)


@pytest.mark.parametrize("at", [9000, 51_000])
def test_a_giant_gene_near_the_origin_is_whole(at):
    genome = simulate_genome(80_000, rng=2)
    whole = nr.data.extract(genome, FINDER.predict(genome).features)
    inner = "".join(one[3:-3] for one in whole if len(one) > 600)[:12_000]
    giant = "AGGAGGTTTACTATG" + inner + "TAA"
    letters = genome[0][20_000 : 20_000 + at] + giant + genome[0][20_000 + at :]
    found = FINDER.predict(SequenceSet.from_sequences(["a"], [letters], circular=True)).table
    size = (found["end"] - found["start"]).values
    # Longer than what is read again on either side of the place where a ring is counted, 10 kb.
    assert (size > 11_500).sum() == 1
    assert not found["is_partial"].any()


def test_gff3_of_a_ring_is_read_beside_its_letters(chromosome, tmp_path):
    start, end = longest_gene(chromosome, 6000)
    middle = (start + end) // 2
    letters = chromosome[middle:] + chromosome[:middle]
    found = FINDER.predict(SequenceSet.from_sequences(["chr"], [letters], circular=True))
    assert (found.table["end"] > len(letters)).any()
    found.save(tmp_path / "genes.nc")
    (tmp_path / "a.fa").write_text(f">chr\n{letters}\n")
    nr.load(tmp_path / "genes.nc").to_gff3(tmp_path / "a.gff3")
    found.to_gff3(tmp_path / "a.gff3")
    genome = nr.open(tmp_path / "a.fa", annotation=tmp_path / "a.gff3")
    assert genome.circular.all()
    back = nr.data.pick_features(genome, "CDS")
    for name in ("start", "end", "strand"):
        assert np.array_equal(back[name].values, found.table[name].values)
    assert found.score_against(genome)["exact_starts"] == 1


@pytest.mark.parametrize("code", [1, 2, 6, 11, 27])
def test_proteins_begin_with_methionine_and_end_before_the_stop(draft, code):
    # NCBI's codes 1 and 6 have no GTG among their starts, 27 reads its stop TGA as W inside genes.
    found = BacterialGenes(genetic_code=code).predict(draft)
    letters, table = found.sequences(draft), found.table
    for k, protein in enumerate(found.proteins()):
        whole = not (table["is_partial_5"][k] or table["is_partial_3"][k])
        assert len(protein) == len(letters[k]) // 3 - (not table["is_partial_3"][k])
        if whole:
            assert protein[0] == "M" and "*" not in protein
            # Without TGA, code 27 is code 6, which biopython reads without a warning.
            assert protein[1:] == str(
                Seq(letters[k][3:-3]).translate(table={27: 6}.get(code, code))
            )


def test_contigs_of_one_name_are_refused(draft):
    twice = SequenceSet.from_sequences(["a", "a"], list(draft))
    with pytest.raises(DataError, match="'a' for one"):
        FINDER.predict(twice)


@pytest.mark.parametrize("name", ["#1", ">1", "two words", "a;b=c,d&e", "50%20", "\u00e9t\u00e9"])
def test_names_of_any_letters_go_into_files_and_come_back(draft, name, tmp_path):
    found = FINDER.predict(SequenceSet.from_sequences([name], [draft[0]]))
    found.to_gff3(tmp_path / "a.gff3")
    back = nr.data.pick_features(nr.open(tmp_path / "a.gff3"), "CDS")
    assert set(back["contig"].values.tolist()) == {name}
    assert back["name"].values.tolist() == found.table["gene"].values.tolist()
    found.proteins(tmp_path / "a.faa")
    proteins = nr.open(tmp_path / "a.faa", alphabet="protein")
    assert len(set(proteins.names.tolist())) == len(found)
    # Its own results are replaced, whatever the names.
    found.to_gff3(tmp_path / "a.gff3")
    found.proteins(tmp_path / "a.faa")


ROW = "c\tprodigal\tCDS\t1\t90\t.\t+\t0\tID=a\n"
OURS = "c\tneurornn\tCDS\t1\t90\t0.9\t+\t0\tID=cds-c_1;locus_tag=c_1;transl_table=11\n"
THEIRS = {
    "no line end": ROW.strip(),
    "many contigs": "".join(f"##sequence-region c{k} 1 9\n" for k in range(5000)) + ROW,
    "added behind": OURS * 2000 + ROW,
    "notes": "# what I found out by hand\n",
    "curated": OURS.replace("\n", ";product=beta-lactamase\n"),
    "written by write_gff3": OURS.replace("0.9", "."),
}


@pytest.mark.parametrize("text", THEIRS.values(), ids=THEIRS)
def test_gff3_with_the_work_of_others_is_left_alone(genes, tmp_path, text):
    path = tmp_path / "mine.gff3"
    path.write_text(f"##gff-version 3\n{text}")
    before = path.read_bytes()
    with pytest.raises(FileWriteError, match="something was added"):
        genes.to_gff3(path)
    assert path.read_bytes() == before
    genes.to_gff3(path, overwrite=True)
    genes.to_gff3(path)


def test_proteins_and_tables_of_others_are_left_alone(genes, draft, tmp_path):
    genes.proteins(tmp_path / "a.faa")
    with (tmp_path / "a.faa").open("a") as file:
        file.write(">mine\nMKLV\n")
    before = (tmp_path / "a.faa").read_bytes()
    with pytest.raises(FileWriteError):
        genes.proteins(tmp_path / "a.faa")
    assert (tmp_path / "a.faa").read_bytes() == before
    (tmp_path / "a.fa").write_text(f">c\n{draft[0]}\n")
    table = tmp_path / "a.csv"
    table.write_text("gene,probability,start_codon,notes\nc_1,1,ATG,seen by eye\n")
    assert main(["genes", str(tmp_path / "a.fa"), "--csv", str(table), "--progress", "false"]) == 1
    assert "seen by eye" in table.read_text()


def test_genes_of_another_version_of_the_genome_are_not_read(genes, draft):
    with pytest.raises(DataError, match="reverse complement"):
        genes.proteins(genome=draft.reverse_complement())


def test_a_genome_of_other_names_is_told(draft):
    one, other = (
        SequenceSet.from_sequences(names, list(draft)) for names in (["chr1", "chr2"], ["1", "2"])
    )
    with pytest.raises(DataError, match=r"calls it '1'.*contig_names"):
        FINDER.predict(one).score_against(other)


def test_what_is_no_genome_is_said_before_anything_is_trained(draft):
    quick = BacterialGenes(n_hidden=4, max_epochs=1)
    for wrong in ("genome.gbk", None, [draft, "b.gbk"]):
        with pytest.raises(KindError, match=r"nr\.open"):
            quick.fit(wrong)
    with pytest.raises(KindError, match="SequenceSet"):
        quick.coding_potential("ACGT")
    for wrong in ([draft, draft], {"a": draft, "b": "b.gbk"}):
        with pytest.raises(KindError, match=r"nr\.open"):
            score_held_out_genomes(wrong, quick)
    with pytest.raises(KindError, match="BacterialGenes"):
        score_held_out_genomes({"a": draft, "b": draft}, "quick")
    with pytest.raises(DataError, match="confidence_level"):
        score_held_out_genomes({"a": draft, "b": draft}, confidence_level=95)


def test_simulated_genes_of_a_code_with_double_meanings_have_one_stop():
    genome = simulate_genome(30_000, genetic_code=27, rng=1)
    code = nr.data.genetic_code(27)
    stops = {c for c, s in zip(nr.data.genetic_codes.CODONS, code.stops, strict=True) if s}
    for one in nr.data.extract(genome, nr.sequences.gene_annotation.whole_genes(genome.features)):
        codons = [one[k : k + 3] for k in range(0, len(one), 3)]
        assert codons[-1] in stops and not stops & set(codons[:-1])


@pytest.mark.parametrize(
    "wrong", [{"operon_share": 2}, {"binding_share": "a"}, {"codon_bias": float("nan")}]
)
def test_settings_of_a_simulated_genome_are_checked(wrong):
    with pytest.raises((DataError, KindError), match=next(iter(wrong))):
        simulate_genome(2000, **wrong)
