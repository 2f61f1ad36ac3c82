import json

import numpy as np
import pytest

import neurornn as nr
from neurornn.cli import main
from neurornn.simulate import simulate_genome, simulate_spliced_genome


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    genome = simulate_genome(24_000, n_contigs=2, rng=3)
    path = tmp_path_factory.mktemp("genome") / "draft.fa"
    path.write_text("".join(f">{n}\n{s}\n" for n, s in zip(genome.names, genome, strict=True)))
    return path


def test_genes_proteins_table_and_pictures(fasta, tmp_path, capsys):
    arguments = [
        "genes", str(fasta), "--out", str(tmp_path / "g.gff3"), "--proteins",
        str(tmp_path / "p.faa"), "--csv", str(tmp_path / "t.csv"), "--figures",
        str(tmp_path / "figures"), "--progress", "false",
    ]  # fmt: skip
    assert main(arguments) == 0
    said = capsys.readouterr().out
    genes = nr.sequences.BacterialGenes().predict(nr.open(fasta))
    assert f"{len(genes)} genes on 2 contigs of 24000 bp" in said
    assert "told from the sequence" in said
    back = nr.data.pick_features(nr.open(tmp_path / "g.gff3"), "CDS")
    assert np.array_equal(back["start"].values, genes.table["start"].values)
    assert np.array_equal(back["contig"].values, genes.table["contig"].values)
    assert list(nr.open(tmp_path / "p.faa")) == list(genes.proteins())
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert len(lines) == len(genes) + 1
    for name in ("genes.png", "start_codons.png"):
        assert (tmp_path / "figures" / name).stat().st_size > 5000
    # Its own results are replaced.
    assert main(arguments) == 0


def test_what_was_annotated_is_compared(tmp_path, capsys):
    genome = simulate_genome(24_000, rng=3)
    fasta, gff = tmp_path / "g.fa", tmp_path / "g.gff3"
    fasta.write_text(f">{genome.names[0]}\n{genome[0]}\n")
    from neurornn.io import write_gff3

    write_gff3(genome, gff)
    assert main(["genes", str(fasta), "--annotation", str(gff), "--progress", "false"]) == 0
    said = capsys.readouterr().out
    score = nr.sequences.BacterialGenes().predict(genome).score_against(genome)
    for name in ("sensitivity", "precision", "exact_starts"):
        low, high = score[f"{name}_ci"].values
        line = f"{name.replace('_', ' ')} against the annotation: {float(score[name]):.4f} "
        assert line + f"[{low:.4f}, {high:.4f}]" in said
    assert (
        main(["genes", str(fasta), "--annotation", str(gff), "--progress", "false", "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["genetic_code"] == 11
    assert told["scores"]["precision"]["values"] == pytest.approx(float(score["precision"]))
    assert len(told["genes"]["start"]["values"]) == int(score["n_genes"]) + int(
        np.sum(told["genes"]["is_partial"]["values"])
    )


def test_settings_reach_the_model(fasta, capsys):
    assert main(["genes", str(fasta), "--genetic_code", "4", "--progress", "false"]) == 0
    assert "4 (as given)" in capsys.readouterr().out
    assert main(["genes", str(fasta), "--min-probability", "0.95", "--progress", "false"]) == 0
    strict = nr.sequences.BacterialGenes(min_probability=0.95).predict(nr.open(fasta))
    assert f"{len(strict)} genes on 2 contigs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--genetic_code", "standard"], "number of NCBI"),
        (["--genetic_code", "7"], "genetic code 7"),
        (["--min_probability", "3"], "min_probability"),
    ],
)
def test_wrong_settings_are_explained(fasta, wrong, said, capsys):
    assert main(["genes", str(fasta), *wrong, "--progress", "false"]) != 0
    captured = capsys.readouterr()
    assert said in captured.err + captured.out


def test_what_is_no_genome_and_what_stands_elsewhere(fasta, tmp_path, capsys):
    recording = nr.fetch("sample_calcium")
    assert main(["genes", str(recording)]) != 0
    said = capsys.readouterr().err
    assert "holds a recording" in said and "A genome was needed" in said
    bare = tmp_path / "bare.gff3"
    bare.write_text("##gff-version 3\nc\tRefSeq\tgene\t1\t9\t.\t+\t.\tID=a\n")
    assert main(["genes", str(bare)]) != 0
    assert "--annotation bare.gff3" in capsys.readouterr().err
    mine = tmp_path / "mine.gff3"
    mine.write_text("##gff-version 3\nc\tRefSeq\tgene\t1\t9\t.\t+\t.\tID=a\n")
    before = mine.read_text()
    assert main(["genes", str(fasta), "--out", str(mine), "--progress", "false"]) != 0
    assert mine.read_text() == before
    said = capsys.readouterr().err
    # Only ways that there are on a command line.
    assert "Choose another name, or move away" in said and "overwrite" not in said
    protein = tmp_path / "p.faa"
    protein.write_text(">p\nMKLVWWDEHIKL\n")
    assert main(["genes", str(protein), "--progress", "false"]) != 0
    assert "protein" in capsys.readouterr().err


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    known = simulate_spliced_genome(50_000, rng=0)
    folder = tmp_path_factory.mktemp("structures") / "model"
    nr.sequences.GeneStructure(max_iterations=3, max_rounds=1).fit(known).save(folder)
    return folder


@pytest.mark.slow
def test_genes_with_introns_by_a_saved_model(structures, tmp_path, capsys):
    genome = simulate_spliced_genome(30_000, rng=1)
    fasta, gff = tmp_path / "g.fa", tmp_path / "known.gff3"
    fasta.write_text(f">{genome.names[0]}\n{genome[0]}\n")
    from neurornn.io import write_gff3

    write_gff3(genome, gff)
    arguments = [
        "genes", str(fasta), "--annotation", str(gff), "--weights", str(structures), "--out",
        str(tmp_path / "g.gff3"), "--proteins", str(tmp_path / "p.faa"), "--csv",
        str(tmp_path / "t.csv"), "--figures", str(tmp_path / "figures"), "--progress", "false",
    ]  # fmt: skip
    assert main(arguments) == 0
    said = capsys.readouterr().out
    genes = nr.load(structures).predict(genome)
    score = genes.score_against(genome)
    for name in ("exon_sensitivity", "exon_precision", "gene_sensitivity"):
        low, high = score[f"{name}_ci"].values
        line = f"{name.replace('_', ' ')} against the annotation: {float(score[name]):.4f} "
        assert line + f"[{low:.4f}, {high:.4f}]" in said
    back = nr.data.pick_features(nr.open(tmp_path / "g.gff3"), "CDS")
    assert np.array_equal(back["part_start"].values, genes.exons["start"].values)
    assert list(nr.open(tmp_path / "p.faa")) == list(genes.proteins())
    assert len((tmp_path / "t.csv").read_text().splitlines()) == len(genes) + 1
    assert (tmp_path / "figures" / "genes.png").stat().st_size > 5000
    # Its own results are replaced.
    assert main(arguments) == 0


def test_a_setting_of_bacteria_is_refused_with_introns(structures, fasta, capsys):
    arguments = ["genes", str(fasta), "--weights", str(structures), "--progress", "false"]
    assert main([*arguments, "--min_probability", "0.5"]) != 0
    assert "setting of bacterial genes" in capsys.readouterr().err
