"""Every coding sequence of three real genomes, beside biopython and the annotation's own words."""

import gzip
from functools import cache

import numpy as np
import pytest
from Bio import SeqIO

from neurornn.data import SequenceSet, extract, pick_features, translate
from neurornn.io import fetch, read_card, write_gff3
from neurornn.io import open as open_file

pytestmark = pytest.mark.realdata

#: File -> bp, coding sequences, genetic code, circular, exceptions that are translated otherwise.
GENOMES = {
    "NC_000913.gbk.gz": (4_641_652, 4319, 11, True, 3),
    "mycoplasma_mycoides_GCF_000023685.gbff.gz": (1_084_586, 861, 4, True, 0),
    "streptococcus_pyogenes_M1_GAS.gb.gz": (1_852_441, 1853, 11, False, 0),
}


@cache
def both(path):
    """Ours, and the record of biopython."""
    with gzip.open(path, "rt") as file:
        return open_file(path), SeqIO.read(file, "genbank")


@pytest.fixture(params=GENOMES)
def genome(request, realdata):
    ours, theirs = both(realdata(f"sequences/bacteria/{request.param}"))
    return ours, theirs, GENOMES[request.param]


def test_the_files_are_those_of_the_card(realdata):
    realdata("sequences/bacteria/NC_000913.gbk.gz")
    folder = fetch("bacterial_genomes")
    assert {p.name for p in folder.iterdir()} >= set(read_card("bacterial_genomes").files)


def test_size_and_features(genome):
    ours, theirs, (length, n_cds, code, circular, _) = genome
    assert ours.lengths.tolist() == [length] and ours.circular.tolist() == [circular]
    assert ours[0] == str(theirs.seq) and ours.names[0] == theirs.id
    assert ours.features.sizes["feature"] == len(theirs.features)
    cds = pick_features(ours)
    assert cds.sizes["feature"] == n_cds
    assert np.unique(cds["genetic_code"]).tolist() == [code]


def test_letters_and_places_are_those_of_biopython(genome):
    ours, theirs, _ = genome
    cds = pick_features(ours)
    read = extract(ours, cds)
    features = [f for f in theirs.features if f.type == "CDS"]
    for k, feature in enumerate(features):
        assert read[k] == str(feature.extract(theirs.seq)), cds["name"].values[k]
        assert int(cds["strand"][k]) == feature.location.strand
        if not ours.circular[0] or len(feature.location.parts) == 1:
            assert int(cds["start"][k]) == int(feature.location.start)
            assert int(cds["end"][k]) == int(feature.location.end)


def test_every_protein_is_the_one_that_the_annotation_states(genome):
    ours, theirs, (*_, n_exceptions) = genome
    cds = pick_features(ours)
    read = extract(ours, cds)
    stated = [f.qualifiers.get("translation", [""])[0] for f in theirs.features if f.type == "CDS"]
    checked, other = 0, []
    for k, protein in enumerate(stated):
        if not protein:
            # Pseudogenes have none, and in E. coli insertion elements that slip.
            continue
        own = translate(
            read[k][int(cds["phase"][k]) :],
            int(cds["genetic_code"][k]),
            first_codon_is_start=not bool(cds["is_partial_5"][k]),
        ).removesuffix("*")
        checked += 1
        if own != protein:
            other.append(k)
    assert checked > 0.95 * len(stated)
    # What differs says so: three selenocysteines, at stop codons.
    assert len(other) == n_exceptions and cds["translation_exception"].values[other].all()
    for k in other:
        own = translate(read[k], int(cds["genetic_code"][k]), first_codon_is_start=True)
        assert own.removesuffix("*").replace("*", "U") == stated[k]


def test_all_of_it_through_gff3_and_fasta(genome, tmp_path):
    ours, _, _ = genome
    annotation = write_gff3(ours, tmp_path / "a.gff3")
    letters = ours[0]
    lines = "\n".join(letters[k : k + 80] for k in range(0, len(letters), 80))
    (tmp_path / "a.fa").write_text(f">{ours.names[0]}\n{lines}\n")
    for lazy in (False, True):
        again = open_file(tmp_path / "a.fa", annotation=annotation, lazy=lazy)
        assert again.circular.tolist() == ours.circular.tolist()
        a, b = pick_features(ours), pick_features(again)
        for name in a:
            if name not in ("name", "part_strand"):
                assert np.array_equal(a[name], b[name]), name
        assert list(extract(again, b)) == list(extract(ours, a))


def test_the_other_strand_of_a_whole_genome(genome):
    ours, _, _ = genome
    cds = pick_features(ours)
    turned = ours.reverse_complement()
    assert list(extract(turned, pick_features(turned))) == list(extract(ours, cds))


@pytest.mark.slow
def test_biopython_on_all_letters_at_once(genome):
    ours, theirs, (*_, code, _, _) = genome
    # All three frames of both strands, stop codons and N included.
    for strand in (ours, ours.reverse_complement()):
        text = SequenceSet.from_sequences(["x"], [strand[0]])
        other = theirs.seq if strand is ours else theirs.seq.reverse_complement()
        for frame in range(3):
            whole = (len(other) - frame) // 3 * 3
            own = translate(text.fetch("x", frame, as_bytes=True), code)
            assert own == str(other[frame : frame + whole].translate(code))
