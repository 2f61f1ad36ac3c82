import gzip
import sys

import pytest

from neurornn._core.errors import DataError, FileFormatError, MissingDependencyError
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (">only a header\n", "the record 'only' without letters"),
        ("ACGT\n", "Line 1 of a.fa comes before the first record"),
        ("\n", "a.fa holds no record"),
    ],
)
def test_no_records(tmp_path, text, said):
    (tmp_path / "a.fa").write_text(text)
    with pytest.raises(FileFormatError, match=said):
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["a.fa", "a.txt", "a"])
def test_a_byte_order_mark_is_no_letter(tmp_path, encoding, name):
    (tmp_path / name).write_bytes(TEXT.encode(encoding))
    sequences = open_file(tmp_path / name)
    assert sequences.names.tolist() == ["one", "two"]
    assert sequences.alphabet == "dna"
    assert sequences["one"] == "ACGTNNAC"


def test_comments_before_the_first_record(tmp_path):
    (tmp_path / "a.fa").write_text("; made by hand\n# twice\n\n" + TEXT)
    assert read_fasta(tmp_path / "a.fa").names.tolist() == ["one", "two"]


@pytest.mark.parametrize("stray", ["X", "\u00b5", "1", " ", "hello\n", "ACGT\n"])
def test_text_before_the_first_record(tmp_path, stray):
    (tmp_path / "a.fa").write_text(stray + TEXT, encoding="utf-8")
    with pytest.raises(FileFormatError, match=r"Line 1 of a\.fa comes before the first record"):
        open_file(tmp_path / "a.fa")


@pytest.mark.parametrize("stray", ["1", "@", "\u00e9", ">", "\t", "~", "?", "'"])
def test_characters_that_are_no_letters(tmp_path, stray):
    (tmp_path / "a.fa").write_text(TEXT.replace("NNAC", f"NN{stray}AC"), encoding="utf-8")
    with pytest.raises(DataError, match=r"one of a\.fa holds .* at position 6"):
        open_file(tmp_path / "a.fa")


@pytest.mark.parametrize("stray", ["J", "e", "*", "F", "X", "z"])
def test_one_letter_does_not_make_a_protein(tmp_path, stray):
    (tmp_path / "a.fa").write_text(TEXT.replace("NNAC", f"NN{stray}AC"))
    with pytest.raises(DataError, match=r"one of a\.fa .*position 6.*alphabet=\"protein\""):
        open_file(tmp_path / "a.fa")
    assert read_fasta(tmp_path / "a.fa", alphabet="protein").alphabet == "protein"


def test_amino_acids_whose_letters_stand_for_bases_too(tmp_path):
    (tmp_path / "a.fa").write_text(">p\nMKVHSDSKVMKHRW\n")
    with pytest.raises(DataError, match=r"0 of the 14 letters.*alphabet=\"protein\""):
        open_file(tmp_path / "a.fa")
    assert open_file(tmp_path / "a.fa", alphabet="protein").alphabet == "protein"


def test_both_t_and_u(tmp_path):
    (tmp_path / "a.fa").write_text(TEXT.replace("NNAC", "NNUC"))
    with pytest.raises(DataError, match=r"one.*position 6|position 6.*one"):
        open_file(tmp_path / "a.fa")


def test_a_record_without_letters(tmp_path):
    (tmp_path / "a.fa").write_text(TEXT + ">three\n>four\nACGT\n")
    with pytest.warns(UserWarning, match=r"1 records of a\.fa have no letters, 'three'"):
        found = open_file(tmp_path / "a.fa")
    names = found.names.tolist()
    # Its row stays: tables beside the file count rows.
    assert names[-2:] == ["three", "four"] and found.lengths[-2:].tolist() == [0, 4]
    (tmp_path / "b.fa").write_text(">three\n>four\n")
    with pytest.raises(FileFormatError, match="'three' without letters"):
        open_file(tmp_path / "b.fa")


def test_names_that_occur_twice_are_said(tmp_path):
    (tmp_path / "a.fa").write_text(TEXT + ">one again\nACGTACGTACGT\n")
    with pytest.warns(UserWarning, match=r"1 names of a\.fa occur more than once, 'one'"):
        open_file(tmp_path / "a.fa")


def test_dna_masked_by_x_is_said(tmp_path):
    (tmp_path / "a.fa").write_text(">one\nACGTACGTACGTXXACGTACGT\n")
    with pytest.raises(DataError, match=r"2 of all 22 letters are X.*Replace X by N"):
        open_file(tmp_path / "a.fa")
    assert open_file(tmp_path / "a.fa", alphabet="protein").alphabet == "protein"


def test_a_peptide_of_letters_that_are_bases_is_said(tmp_path):
    (tmp_path / "a.fa").write_text(">tag\nGATTACA\n")
    with pytest.warns(UserWarning, match="Are these peptides"):
        assert open_file(tmp_path / "a.fa").alphabet == "dna"


def test_a_nul_byte_and_other_encodings(tmp_path):
    (tmp_path / "a.fa").write_text(TEXT.replace("NNAC", "NN\x00AC"))
    with pytest.raises(FileFormatError, match=r"Line 3 of a\.fa holds a NUL byte"):
        open_file(tmp_path / "a.fa")
    (tmp_path / "a.fa").write_bytes(TEXT.replace("NNAC", "\u00b5").encode("latin-1"))
    with pytest.raises(FileFormatError, match=r"Line 3 of a\.fa holds the byte 0xb5"):
        open_file(tmp_path / "a.fa")


def test_what_unpacks_to_more_than_the_limit(tmp_path):
    (tmp_path / "a.fa.gz").write_bytes(gzip.compress(TEXT.encode() * 500))
    with pytest.raises(FileFormatError, match=r"a\.fa\.gz unpacks to more than .*max_size="):
        open_file(tmp_path / "a.fa.gz", max_size=1000)
