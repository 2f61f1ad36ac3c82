"""Annotation beside sequences: what matches, what does not, and bad input of both kinds."""

import gzip

import pytest

from neurornn._core.errors import DataError, FileFormatError, KindError, NameUnknownError
from neurornn.data import SequenceSet, extract, features_from_records, pick_features
from neurornn.io import annotated
from neurornn.io import open as open_file

FASTA = ">1 first\nAACCGGTTACGT\n>MT\nGGGATTACA\n"


def gff(*rows):
    return "##gff-version 3\n" + "".join("\t".join(r.split()) + "\n" for r in rows)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.fa").write_text(FASTA)
    (tmp_path / "a.gff3").write_text(
        gff("1 . CDS 2 4 . - 0 ID=x", "MT . gene 4 9 . + . ID=y;Name=nd")
    )
    return tmp_path


def test_features_beside_a_fasta_file(files):
    genome = open_file(files / "a.fa", annotation=files / "a.gff3")
    assert repr(genome) == "SequenceSet(2 dna sequences of 9 to 12 bp; 2 features)"
    assert list(extract(genome)) == ["GGT", "ATTACA"]
    table = open_file(files / "a.gff3")
    again = open_file(files / "a.fa", annotation=table)
    assert again.features.drop_attrs().identical(genome.features.drop_attrs())
    # Sequences that have features give theirs.
    bare = open_file(files / "a.fa")
    assert annotated(bare, genome).features.sizes["feature"] == 2
    # Nothing of the table that was passed has changed.
    assert "circular" in table.attrs and bare.features is None
    circular = open_file(files / "a.fa", circular="MT")
    assert circular.circular.tolist() == [False, True]
    assert open_file(files / "a.fa", circular=True).circular.all()


def test_other_spellings_of_contigs(files):
    (files / "b.gff3").write_text(gff("chr1 . CDS 2 4 . - 0 ID=x", "chrM . gene 4 9 . + . ID=y"))
    with pytest.raises(NameUnknownError, match=r"call it '1'\. Pass contig_names=\"match\""):
        open_file(files / "a.fa", annotation=files / "b.gff3")
    matched = open_file(files / "a.fa", annotation=files / "b.gff3", contig_names="match")
    assert matched.features["contig"].values.tolist() == ["1", "MT"]
    said = {"chr1": "1", "chrM": "MT"}
    named = open_file(files / "a.fa", annotation=files / "b.gff3", contig_names=said)
    assert list(extract(named)) == ["GGT", "ATTACA"]
    # One of the two is not enough.
    with pytest.raises(NameUnknownError, match="call it 'MT'"):
        open_file(files / "a.fa", annotation=files / "b.gff3", contig_names={"chr1": "1"})
    for wrong, error in (("same", NameUnknownError), (["1"], KindError)):
        with pytest.raises(error, match="contig_names is"):
            open_file(files / "a.fa", annotation=files / "b.gff3", contig_names=wrong)


def test_features_of_contigs_that_are_not_there(files):
    (files / "b.gff3").write_text(gff("1 . CDS 2 4 . - 0 ID=x", "other . CDS 2 4 . - 0 ID=y"))
    with pytest.warns(UserWarning, match=r"1 features of b\.gff3 lie on 1 contigs.*'other'"):
        genome = open_file(files / "a.fa", annotation=files / "b.gff3")
    assert genome.features["name"].values.tolist() == ["x"]
    (files / "c.gff3").write_text(gff("scaffold_9 . CDS 2 4 . - 0 ID=x"))
    with pytest.raises(NameUnknownError, match=r"'scaffold_9' for one.*Is it the annotation"):
        open_file(files / "a.fa", annotation=files / "c.gff3")


def test_a_feature_beyond_the_end(files):
    (files / "b.gff3").write_text(gff("1 . CDS 10 15 . + 0 ID=x"))
    with pytest.raises(DataError, match=r"CDS x \(1:9-15, \+\) ends at 15, and 1 has 12 bp"):
        open_file(files / "a.fa", annotation=files / "b.gff3")


def test_what_is_no_annotation(files):
    (files / "a.vcf").write_text("##fileformat=VCFv4.3\n#CHROM\tPOS\n")
    with pytest.raises(KindError, match=r"holds variants.*reference=sequences"):
        open_file(files / "a.fa", annotation=files / "a.vcf")
    with pytest.raises(KindError, match="no features but fasta"):
        open_file(files / "a.fa", annotation=files / "a.fa")
    bare = open_file(files / "a.fa")
    with pytest.raises(KindError, match="SequenceSet without features"):
        annotated(bare, bare)
    with pytest.raises(KindError, match="A int without features"):
        annotated(bare, 3)
    with pytest.raises(NameUnknownError, match=r"circular names 'chr1'"):
        open_file(files / "a.fa", circular=["chr1"])
    with pytest.raises(NameUnknownError, match="annotation"):
        open_file(files / "a.gff3", annotation=files / "a.gff3")


def test_another_annotation_of_a_genbank_file(files):
    (files / "a.gb").write_text(
        "LOCUS       X                         12 bp    DNA     linear   BCT 01-JAN-2020\n"
        "VERSION     NC_9.1\nFEATURES             Location/Qualifiers\n     gene            1..3\n"
        "ORIGIN\n        1 aaccggttac gt\n//\n"
    )
    (files / "b.gff3").write_text(gff("NC_9 . CDS 2 4 . - 0 ID=x"))
    own = open_file(files / "a.gb")
    assert own.features["type"].values.tolist() == ["gene"] and not own.circular[0]
    other = open_file(
        files / "a.gb", annotation=files / "b.gff3", contig_names="match", circular=True
    )
    assert extract(other)["x"] == "GGT" and other.circular[0]
    # The other way round: features of GenBank beside letters of a FASTA file.
    (files / "x.fa").write_text(">X\nAACCGGTTACGT\n")
    beside = open_file(files / "x.fa", annotation=files / "a.gb", contig_names={"NC_9.1": "X"})
    assert extract(beside)[0] == "AAC"


def test_a_table_as_annotation(files):
    genome = open_file(files / "a.fa", annotation=features_from_records(
        [{"contig": "1", "start": 0, "end": 3, "type": "gene"}]))  # fmt: skip
    assert pick_features(genome, "gene").sizes["feature"] == 1


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"a\.fa is empty"),
        (b">\n", "without letters"),
        (b">a\nMKLVWAAQELLK\n", None),
        (gzip.compress(FASTA.encode() * 300)[:-9], "FASTA"),
    ],
    # The bytes of a gzip hold the time: no name for a test, which must be the same in all workers.
    ids=["empty", "no letters", "protein", "cut"],
)
def test_fasta_files_that_are_none(tmp_path, content, words):
    (tmp_path / "a.fa").write_bytes(content)
    if words is None:
        # A protein where DNA is wanted says so where DNA is asked for.
        with pytest.raises(DataError, match=r"'L' came in a, position 2.*alphabet='protein'"):
            open_file(tmp_path / "a.fa", alphabet="dna")
        return
    with pytest.raises(FileFormatError, match=words):
        open_file(tmp_path / "a.fa")


@pytest.mark.parametrize("lazy", [False, True])
def test_rules_for_input_that_is_odd_but_whole(tmp_path, lazy):
    def made(text, **options):
        (tmp_path / "a.fa").write_bytes(text.encode())
        (tmp_path / "a.fa.fai").unlink(missing_ok=True)
        return open_file(tmp_path / "a.fa", lazy=lazy, **options)

    # Lower case is kept and read as upper case; N alone is DNA; U without T is RNA.
    masked = made(">a\nacgtacgtNNNN\n")
    assert masked[0] == "acgtacgtNNNN" and masked.codes()[0, :4].tolist() == [0, 1, 2, 3]
    unknown = made(">a\n" + "N" * 20 + "\n")
    assert (unknown.alphabet, unknown.lengths.tolist()) == ("dna", [20])
    assert unknown.one_hot().values.sum() == 0
    assert made(">a\nACGUACGUAC\n").alphabet == "rna"
    with pytest.raises(DataError, match=r"'U' came in a, position 3.*alphabet='rna'"):
        made(">a\nACGUACGUAC\n", alphabet="dna").codes()
    with pytest.raises(NameUnknownError, match="alphabet is"):
        made(">a\nACGUACGUAC\n", alphabet="DNA")


def test_mixed_line_ends(tmp_path):
    (tmp_path / "a.fa").write_bytes(b">a\r\nACGT\nACGT\r\nAC\r>b\nGGGGGGGGGG\n")
    assert list(open_file(tmp_path / "a.fa")) == ["ACGTACGTAC", "GGGGGGGGGG"]
    # There is no index of lines of two lengths.
    with pytest.raises(FileFormatError, match=r"no index.*lazy=False"):
        open_file(tmp_path / "a.fa", lazy=True)


def test_names_that_occur_twice_and_features(tmp_path):
    (tmp_path / "a.fa").write_text(">a\nACGTACGTAC\n>a\nACGTACGTAC\n")
    (tmp_path / "a.gff3").write_text(gff("a . CDS 2 4 . - 0 ID=x"))
    with pytest.warns(UserWarning, match="occur more than once"):
        assert len(open_file(tmp_path / "a.fa")) == 2
    with (
        pytest.warns(UserWarning, match="occur more than once"),
        pytest.raises(DataError, match="several are called 'a'"),
    ):
        open_file(tmp_path / "a.fa", annotation=tmp_path / "a.gff3")


def test_a_set_in_memory_takes_an_annotation_too(files):
    bare = SequenceSet.from_sequences(["1", "MT"], ["AACCGGTTACGT", "GGGATTACA"],
                                      labels={"y": [1, 2]}, groups={"g": ["a", "b"]})  # fmt: skip
    made = annotated(bare, files / "a.gff3")
    assert made.labels["y"].tolist() == [1, 2] and made.groups["g"].tolist() == ["a", "b"]
    assert made.buffer is bare.buffer
