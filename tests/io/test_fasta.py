import gzip
import sys

import pytest

from neurornn._core.errors import FileFormatError, MissingDependencyError
from neurornn.io import open as open_file
from neurornn.io import read_fasta
from neurornn.io.fasta import guess_alphabet

TEXT = ">one first record\nACGT\nNNAC\n>two\nggcc\n"


@pytest.mark.parametrize("zipped", [False, True])
def test_records_are_read(tmp_path, zipped):
    path = tmp_path / ("a.fa.gz" if zipped else "a.fa")
    path.write_bytes(gzip.compress(TEXT.encode()) if zipped else TEXT.encode())
    sequences = open_file(path)
    assert len(sequences) == 2
    assert sequences["one"] == "ACGTNNAC"
    assert str(sequences["two"]).upper() == "GGCC"


def test_the_alphabet_is_told_from_the_letters(tmp_path):
    assert guess_alphabet(["ACGTRYN"]) == "dna"
    assert guess_alphabet(["acgu"]) == "rna"
    assert guess_alphabet(["ACGT", "MKLE"]) == "protein"
    (tmp_path / "p.fasta").write_text(">p\nMKLV\n")
    assert read_fasta(tmp_path / "p.fasta").alphabet == "protein"


def test_a_wrong_alphabet_is_refused(tmp_path):
    (tmp_path / "p.fasta").write_text(">p\nMKLV\n")
    with pytest.raises(ValueError, match="p"):
        read_fasta(tmp_path / "p.fasta", alphabet="dna")


@pytest.mark.parametrize("text", [">only a header\n", "ACGT\n", "\n"])
def test_no_records(tmp_path, text):
    (tmp_path / "a.fa").write_text(text)
    with pytest.raises(FileFormatError):
        read_fasta(tmp_path / "a.fa")


def test_a_cut_gzip_is_explained(tmp_path):
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(TEXT.encode() * 500)[:-20])
    with pytest.raises(FileFormatError, match="FASTA"):
        read_fasta(tmp_path / "a.fa.gz")


def test_without_biopython_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.fa").write_text(TEXT)
    monkeypatch.setitem(sys.modules, "Bio.SeqIO.FastaIO", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "neurornn\[sequences\]"'):
        read_fasta(tmp_path / "a.fa")
