"""BED and VCF: every column by hand, and lines that are none."""

import gzip
import math

import pytest
import xarray as xr

from neurornn._core.errors import DataError, FileFormatError, NameUnknownError
from neurornn.data import SequenceSet, extract
from neurornn.io import open as open_file
from neurornn.io import read_bed, read_vcf


def opened(tmp_path, text, name, **options):
    (tmp_path / name).write_text(text)
    return open_file(tmp_path / name, **options)


# ------------------------------------------------------------------ BED


@pytest.mark.parametrize("columns", [3, 4, 5, 6, 8, 9, 12])
def test_bed_of_three_to_twelve_columns(tmp_path, columns):
    rows = (
        "chr1\t2\t20\tgene a\t500\t-\t4\t9\t0\t2\t3,5,\t0,13,",
        "chr2\t0\t7\t.\t0\t+\t0\t0\t0\t1\t7\t0",
    )
    text = "browser position chr1:1-9\ntrack name=x\n# words\n\n"
    text += "\n".join("\t".join(row.split("\t")[:columns]) for row in rows)
    f = opened(tmp_path, text, "a.bed")
    assert isinstance(f, xr.Dataset) and f.attrs["format"] == "BED"
    assert f["type"].values.tolist() == ["region", "region"]
    assert f["contig"].values.tolist() == ["chr1", "chr2"]
    # BED counts as we do.
    assert f["start"].values.tolist() == [2, 0] and f["end"].values.tolist() == [20, 7]
    assert f["name"].values.tolist() == (["gene a", ""] if columns > 3 else ["", ""])
    assert f["strand"].values.tolist() == ([-1, 1] if columns > 5 else [0, 0])
    assert ("score" in f) == (columns > 4) and ("thick_start" in f) == (columns > 7)
    if columns > 7:
        assert f["thick_end"].values.tolist() == [9, 0]
    parts = list(zip(f["part_start"].values.tolist(), f["part_end"].values.tolist(), strict=True))
    # Blocks as they are read: the last one first on the reverse strand.
    assert parts == ([(15, 20), (2, 5), (0, 7)] if columns == 12 else [(2, 20), (0, 7)])


def test_bed_beside_its_sequences(tmp_path):
    (tmp_path / "a.fa").write_text(">chr1\nAACCGGTTACGT\n")
    (tmp_path / "a.bed.gz").write_bytes(gzip.compress(b"chr1 1 4 x 0 -\r\n"))
    genome = open_file(tmp_path / "a.fa", annotation=tmp_path / "a.bed.gz")
    assert extract(genome)["x"] == "GGT"
    assert read_bed(tmp_path / "a.bed.gz", type="peak")["type"].values.tolist() == ["peak"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chr1\t1\n", "Line 1 of a.bed has 2 columns"),
        ("chr1\t1\t5\nchr1\t1\t5\tx\n", "Line 2 of a.bed has 4 columns, those before it 3"),
        ("chrom\tstart\tend\n", "Line 1 of a.bed has 'start' where a place should be"),
        ("chr1\t9\t5\n", "Line 1 of a.bed starts at 9 and ends at 5"),
        ("chr1\t-1\t5\n", "starts at -1"),
        (
            "chr1\t0\t9\tx\t0\t+\t0\t9\t0\t2\t3\t0,5\n",
            "states 2 blocks, with 1 sizes and 2 starts",
        ),
        ("chr1\t0\t9\tx\t0\t+\t0\t9\t0\t1\t12\t0\n", "blocks from 0 to 12, and goes from 0 to 9"),
        ("# nothing\n", "holds no interval"),
    ],
)
def test_lines_that_are_no_bed(tmp_path, text, words):
    with pytest.raises(FileFormatError, match=words):
        opened(tmp_path, text, "a.bed")


# ------------------------------------------------------------------ VCF

HEAD = "##fileformat=VCFv4.3\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
LINES = (
    "chr1\t3\trs1\tC\tG,<DEL>\t50.5\tPASS\tDP=3\n"
    "chr1\t1\t.\tAC\tGT\t.\tq10;s50\t.\n"
    "chr1\t5\t.\tG\tGTT\t9\t.\t.\n"
    "chr1\t5\t.\tGGT\tG\t9\t.\t.\tGT\t0/1\n"
    "chr1\t5\t.\tGG\tATC\t9\t.\t.\n"
    "chr1\t5\t.\tg\t.\t9\t.\t.\n"
    "chr1\t5\t.\tG\t*,G]chr2:9],A\t9\t.\t.\n"
)


def test_variants_by_hand(tmp_path):
    v = opened(tmp_path, HEAD + LINES, "a.txt")
    assert v["position"].values.tolist() == [2, 2, 0, 4, 4, 4, 4, 4, 4, 4]
    assert v["alt"].values.tolist() == ["G", "<DEL>", "GT", "GTT", "G", "ATC", ".", "*",
                                        "G]chr2:9]", "A"]  # fmt: skip
    assert v["ref"].values.tolist()[:6] == ["C", "C", "AC", "G", "GGT", "GG"]
    assert v["kind"].values.tolist() == [
        "snv", "symbolic", "mnv", "insertion", "deletion", "complex", "reference", "symbolic",
        "symbolic", "snv",
    ]  # fmt: skip
    assert v["is_symbolic"].values.tolist() == [k == "symbolic" for k in v["kind"].values]
    assert v["id"].values.tolist() == ["rs1", "rs1"] + [""] * 8
    assert v["filter"].values.tolist()[:4] == ["PASS", "PASS", "q10;s50", ""]
    assert v["quality"].values[0] == 50.5 and math.isnan(v["quality"].values[2])
    # Alleles of one line share its number.
    assert v["record"].values.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 6, 6]


def test_variants_are_compared_with_their_reference(tmp_path):
    genome = SequenceSet.from_sequences(["chr1"], ["acCGGGTT"])
    (tmp_path / "a.vcf.gz").write_bytes(gzip.compress((HEAD + LINES).encode()))
    with pytest.raises(DataError, match="chr1:5 is 'GGT', and the sequence has 'GGG'"):
        open_file(tmp_path / "a.vcf.gz", reference=SequenceSet.from_sequences(
            ["chr1"], ["ACCGGGGG"]))  # fmt: skip
    # chr1:5 is the fifth base.
    right = SequenceSet.from_sequences(["chr1"], ["acCGGGTT".replace("GGGTT", "TGGTT")])
    assert right[0][4:7] == "GGT"
    assert open_file(tmp_path / "a.vcf.gz", reference=right).sizes["variant"] == 10
    short = genome.slice(0, 4)
    with pytest.raises(DataError, match="the sequence goes from 1 to 4"):
        open_file(tmp_path / "a.vcf.gz", reference=short)
    other = SequenceSet.from_sequences(["1"], [right[0]])
    with pytest.raises(NameUnknownError, match=r"Variants lie on 1 contigs.*call it '1'"):
        open_file(tmp_path / "a.vcf.gz", reference=other)
    named = open_file(tmp_path / "a.vcf.gz", reference=other, contig_names="match")
    assert set(named["contig"].values) == {"1"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("##fileformat=VCFv4.3\nchr1\t1\t.\tA\tG\n", "Line 2 of a.vcf comes before the heading"),
        ("##fileformat=VCFv4.3\n", "holds no heading"),
        (HEAD + "chr1 1 . A G\n", "Line 4 of a.vcf has 1 columns"),
        (HEAD + "chr1\tx\t.\tA\tG\t.\t.\t.\n", "position 'x'"),
        (HEAD + "chr1\t1\t.\tA\tG\thigh\t.\t.\n", "quality 'high'"),
        (HEAD + "chr1\t1\t.\t<A>\tG\t.\t.\t.\n", "REF '<A>'"),
        (HEAD + "chr1\t1\t.\tA\tG,\t.\t.\t.\n", "comma too many"),
    ],
)
def test_lines_that_are_no_vcf(tmp_path, text, words):
    with pytest.raises(FileFormatError, match=words):
        opened(tmp_path, text, "a.vcf")


def test_a_file_of_no_variants_and_a_bcf(tmp_path):
    none = opened(tmp_path, HEAD, "a.vcf")
    assert none.sizes["variant"] == 0 and none["contig"].dtype.kind == "U"
    assert read_vcf(tmp_path / "a.vcf", reference=SequenceSet.from_sequences(["a"], ["AC"])).sizes[
        "variant"
    ] == 0  # fmt: skip
    (tmp_path / "a.bcf").write_bytes(gzip.compress(b"BCF\x02\x02" + bytes(40)))
    with pytest.raises(FileFormatError, match="bcftools view"):
        open_file(tmp_path / "a.bcf")
