import gzip

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import FileFormatError, FileMissingError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "fasta").mkdir()
    records = ">sp|P1|A_B text > more\nMKV\nLL\n>tr|Q2|C_D\nMLEW\n>P3\nMAAC\n"
    with gzip.open(tmp_path / "fasta" / "one.fasta.gz", "wt") as file:
        file.write(records)
    (tmp_path / "fasta" / "two.fa").write_text(">sp|P9|X_Y\nMWWF\n")
    return tmp_path


def table(folder, text):
    (folder / "tm.csv").write_text(text)
    return nr.io.read_melting_points(folder, table="tm.csv")


def test_tables_and_proteomes_are_joined_by_accession(folder):
    found = table(
        folder,
        "accession,Tm,ogt,species\nP9,50,20,yeast\nP1,40,37,coli\nP1,42,37,coli\nP3,30,37,coli\n"
        "P1-2,99,37,coli\n",
    )
    # In the order of the proteomes; two measurements have their mean, an isoform is another.
    assert found.names.tolist() == ["P1", "P3", "P9"]
    assert list(found) == ["MKVLL", "MAAC", "MWWF"]
    assert found.labels["tm"].tolist() == [41, 30, 50]
    assert found.groups["species"].tolist() == ["coli", "coli", "yeast"]
    assert found.alphabet == "protein"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accession,tm,species\nP1,40,a\n", "Columns accession, Tm, species"),
        ("accession,Tm,species\nP1,hot,a\n", "Row 2 of tm.csv has Tm 'hot'"),
        ("accession,Tm,species\nP1,40,a\nP1,41,b\n", "P1 of tm.csv has several species"),
        ("accession,Tm,species\nX1,40,a\n", "None of the 1 accessions"),
    ],
)
def test_tables_that_do_not_fit_are_told(folder, text, words):
    with pytest.raises(FileFormatError, match=words):
        table(folder, text)


def test_a_missing_proteome_is_told(tmp_path):
    (tmp_path / "tm.csv").write_text("accession,Tm,species\nP1,40,a\n")
    with pytest.raises(FileMissingError, match="is no folder"):
        nr.io.read_melting_points(tmp_path, table="tm.csv")


def test_the_meltome_is_joined_as_counted():
    try:
        folder = nr.fetch("meltome")
    except FileMissingError:
        pytest.skip("the meltome is not here")
    found = nr.io.read_melting_points(folder)
    names, counts = np.unique(found.groups["species"], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "Bacillus subtilis": 1295, "Escherichia coli": 1556, "Saccharomyces cerevisiae": 1920,
    }  # fmt: skip
