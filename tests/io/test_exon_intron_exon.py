import gzip

import pytest

from neurornn._core.errors import FileFormatError
from neurornn.io import read_exon_intron_exon

LINES = "ACGT GTAAG TTGC 12 gene_a\nAAAC\tGTCAG\tTTTT\t0\tgene_b\n"


def test_introns_are_read_as_they_stand(tmp_path):
    (tmp_path / "pairs.txt").write_text("# exons and introns\n" + LINES)
    with gzip.open(tmp_path / "pairs.txt.gz", "wt") as file:
        file.write(LINES)
    for name in ("pairs.txt", "pairs.txt.gz"):
        table = read_exon_intron_exon(tmp_path / name)
        assert dict(table.sizes) == {"pair": 2}
        assert table["upstream_exon"].values.tolist() == ["ACGT", "AAAC"]
        assert table["intron"].values.tolist() == ["GTAAG", "GTCAG"]
        assert table["downstream_exon"].values.tolist() == ["TTGC", "TTTT"]
        assert table["count"].values.tolist() == [12, 0]
        assert table["gene"].values.tolist() == ["gene_a", "gene_b"]


def test_count_and_gene_may_be_missing(tmp_path):
    (tmp_path / "pairs.txt").write_text("acgt guaag uugc\n")
    table = read_exon_intron_exon(tmp_path / "pairs.txt")
    assert set(table.data_vars) == {"upstream_exon", "intron", "downstream_exon"}


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ("# nothing\n", "holds no intron"),
        ("ACGT GTAG\n", "Line 1 of pairs.txt has 2 columns"),
        (LINES + "ACGT GTAG TTGC\n", "Line 3 of pairs.txt has 3 columns, those before it 5"),
        ("ACGT 12 TTGC\n", "Line 1 of pairs.txt has '12' as intron"),
        ("ACGT GTAG TTGC many\n", "Line 1 of pairs.txt has 'many' as count"),
    ],
)
def test_lines_that_cannot_be_read_are_named(tmp_path, lines, text):
    (tmp_path / "pairs.txt").write_text(lines)
    with pytest.raises(FileFormatError, match=text):
        read_exon_intron_exon(tmp_path / "pairs.txt")
