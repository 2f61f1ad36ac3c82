"""FASTA files left on disk: the same sequences, whatever the place, and what has no index."""

import gzip
import os
import pickle
import sys

import numpy as np
import pytest
from Bio import bgzf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurornn._core.errors import DataError, FileFormatError, MissingDependencyError, ShapeError
from neurornn.io import fasta_index, read_fasta
from neurornn.io import open as open_file
from neurornn.io.fasta_index import IndexedFasta

RECORDS = {"chr1": "ACGTNNacgtTTnnACGATTACAGG", "chr2": "GATTACA", "tail": "ACGT"}


def text(records, width=10, end="\n"):
    out = ""
    for name, letters in records.items():
        lines = [letters[k : k + width] for k in range(0, len(letters), width)]
        out += end.join([f">{name} words", *lines]) + end
    return out


def written(tmp_path, content, name="a.fa"):
    path = tmp_path / name
    if name.endswith(".bgz") or "bgzip" in name:
        with bgzf.open(path, "wb") as file:
            file.write(content.encode())
    else:
        path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["a.fa", "a.fa.bgz", "bgzip.fa.gz"])
def test_a_file_on_disk_is_the_file_in_memory(tmp_path, end, name):
    path = written(tmp_path, text(RECORDS, end=end), name)
    lazy, whole = open_file(path, lazy=True), open_file(path, lazy=False)
    assert isinstance(lazy.buffer, IndexedFasta) and isinstance(whole.buffer, np.ndarray)
    assert lazy.names.tolist() == whole.names.tolist() == list(RECORDS)
    assert list(lazy) == list(whole) == list(RECORDS.values())
    assert lazy.alphabet == "dna" and lazy.lengths.tolist() == whole.lengths.tolist()
    assert lazy.flat().tobytes() == whole.flat().tobytes()
    assert lazy.fetch("chr1", 8, 23) == RECORDS["chr1"][8:23]
    assert np.array_equal(lazy.codes(pad=True), whole.codes(pad=True))
    assert list(lazy.reverse_complement()) == list(whole.reverse_complement())
    assert list(lazy[[2, 0]].slice(1, 3)) == ["CG", "CG"]
    with pytest.raises(ShapeError, match="Stop at 7"):
        lazy.fetch("chr2", 0, 8)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text("ACGTNacgtn", min_size=1, max_size=40), min_size=1, max_size=3),
       st.integers(1, 12), st.data())  # fmt: skip
def test_any_stretch_at_any_line_length(tmp_path, sequences, width, data):
    for old in tmp_path.iterdir():
        old.unlink()
    records = {f"r{k}": s for k, s in enumerate(sequences)}
    path = written(tmp_path, text(records, width))
    genome = read_fasta(path, lazy=True, alphabet="dna")
    row = data.draw(st.integers(0, len(sequences) - 1))
    start = data.draw(st.integers(0, len(sequences[row])))
    stop = data.draw(st.integers(start, len(sequences[row])))
    assert genome.fetch(f"r{row}", start, stop) == sequences[row][start:stop]


def test_the_index_is_used_and_made_once(tmp_path):
    path = written(tmp_path, text(RECORDS))
    open_file(path, lazy=True)
    index = tmp_path / "a.fa.fai"
    assert index.read_text().splitlines()[1] == "chr2\t7\t52\t7\t8"
    before = index.stat().st_mtime_ns
    assert open_file(path, lazy=True)[1] == "GATTACA"
    assert index.stat().st_mtime_ns == before
    # An older index of another file is neither believed nor replaced.
    index.write_text("other\t5\t0\t5\t6\n")
    os.utime(index, ns=(0, 0))
    assert open_file(path, lazy=True).names.tolist() == list(RECORDS)
    assert index.read_text() == "other\t5\t0\t5\t6\n"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    path = written(tmp_path, text(RECORDS))

    def refuse(*args, **kwargs):
        raise PermissionError("no")

    monkeypatch.setattr(fasta_index, "atomic_path", refuse)
    assert list(open_file(path, lazy=True)) == list(RECORDS.values())
    assert sorted(os.listdir(tmp_path)) == ["a.fa"]


def test_large_files_stay_on_disk(tmp_path, monkeypatch):
    plain, packed = written(tmp_path, text(RECORDS)), written(tmp_path, text(RECORDS), "b.fa.bgz")
    zipped = tmp_path / "c.fa.gz"
    zipped.write_bytes(gzip.compress(text(RECORDS).encode()))
    assert isinstance(open_file(plain).buffer, np.ndarray)
    monkeypatch.setattr(fasta_index, "LARGE", 10)
    monkeypatch.setattr(fasta_index, "LARGE_PACKED", 10)
    assert isinstance(open_file(plain).buffer, IndexedFasta)
    assert isinstance(open_file(packed).buffer, IndexedFasta)
    assert isinstance(open_file(plain, lazy=False).buffer, np.ndarray)
    # A file of one piece cannot, and one of unequal lines has no index: both are read.
    assert isinstance(open_file(zipped).buffer, np.ndarray)
    uneven = written(tmp_path, ">a\nACGTACGT\nAC\nACGTACGT\n", "d.fa")
    assert open_file(uneven)[0] == "ACGTACGTACACGTACGT"
    with pytest.raises(FileFormatError, match=r"d\.fa has no index.*line 3.*seqtk"):
        open_file(uneven, lazy=True)
    with pytest.raises(FileFormatError, match=r"c\.fa\.gz is compressed as one piece.*bgzip"):
        open_file(zipped, lazy=True)


def test_to_another_process(tmp_path):
    genome = open_file(written(tmp_path, text(RECORDS)), lazy=True)
    again = pickle.loads(pickle.dumps(genome.buffer))
    assert again[0:4].tobytes() == b"ACGT" and len(again) == 36


def test_what_is_told_of_files_on_disk(tmp_path, monkeypatch):
    protein = written(tmp_path, ">p\nMKLVMKLVWWAAQE\n", "p.fa")
    assert open_file(protein, lazy=True).alphabet == "protein"
    rna = written(tmp_path, ">r\nACGUACGUACGU\n", "r.fa")
    assert open_file(rna, lazy=True).alphabet == "rna"
    bad = written(tmp_path, ">x\n" + "ACGT" * 30_000 + "\n>y\nAC!T\n", "b.fa")
    monkeypatch.setattr(fasta_index, "_RECORDS", 1)
    late = open_file(bad, lazy=True)
    # A letter that nobody looked at yet is found when it is coded.
    with pytest.raises(DataError, match="'!' came in y, position 2"):
        late.codes([1])
    twice = written(tmp_path, ">a\nACGT\n>a\nACGT\n", "t.fa")
    with pytest.raises(FileFormatError, match=r"two records of one name.*lazy=False"):
        open_file(twice, lazy=True)
    none = written(tmp_path, ">a\n>b\n", "n.fa")
    with pytest.raises(FileFormatError, match=r"n\.fa"):
        open_file(none, lazy=True)
    monkeypatch.setitem(sys.modules, "pyfaidx", None)
    with pytest.raises(MissingDependencyError, match=r"neurornn\[sequences\].*lazy=False"):
        open_file(rna, lazy=True)


def test_a_file_that_changed_after_it_was_opened(tmp_path):
    path = written(tmp_path, text(RECORDS))
    genome = open_file(path, lazy=True)
    path.write_text(">chr1\nAC\n")
    with pytest.raises(FileFormatError, match="Was it changed after it was opened"):
        genome.fetch("tail", 0, 4)


def test_blank_lines_between_records_have_no_index(tmp_path, monkeypatch):
    path = written(tmp_path, ">a\nACGTACGT\n\n\n>b\nGGGGTTTT\n")
    with pytest.raises(FileFormatError, match=r"no blank ones.*lazy=False"):
        open_file(path, lazy=True)
    # A large file that has no index is read whole.
    monkeypatch.setattr(fasta_index, "LARGE", 1)
    monkeypatch.setattr(fasta_index, "LARGE_PACKED", 1)
    assert list(open_file(path)) == ["ACGTACGT", "GGGGTTTT"]


def test_an_index_that_is_none_is_named_and_left_alone(tmp_path):
    path = written(tmp_path, ">a\nACGTACGT\n")
    notes = tmp_path / "a.fa.fai"
    notes.write_text("my notes\n")
    with pytest.raises(FileFormatError, match=r"a\.fa\.fai, beside a\.fa, is no index.*away"):
        open_file(path, lazy=True)
    assert notes.read_text() == "my notes\n"
