"""2bit files, by hand, by property, on disk, and damaged."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurornn._core.errors import FileFormatError, ShapeError
from neurornn.data import extract
from neurornn.io import open as open_file
from neurornn.io import read_two_bit
from neurornn.io.two_bit import TwoBit
from tests.io.two_bit_file import two_bit

RECORDS = {"chr1": "ACGTNNacgtTTnnAC", "chrM": "GATTACA", "empty": "", "c3": "n"}


def test_bytes_by_hand(tmp_path):
    # One record "a" of 5 bases, TCAGA: 00 01 10 11 is 0x1b, and A with padding 10 00 00 00.
    (tmp_path / "a.2bit").write_bytes(
        bytes.fromhex("4327411a 00000000 01000000 00000000 01 61 16000000")
        + bytes.fromhex("05000000 01000000 01000000 02000000 00000000 00000000 1b 80")
    )
    genome = open_file(tmp_path / "a.2bit")
    assert genome.names.tolist() == ["a"] and genome[0] == "TNNGA"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("lazy", [True, False])
def test_records(tmp_path, order, version, lazy):
    # The content tells the format, whatever the name.
    (tmp_path / "genome").write_bytes(two_bit(RECORDS, order, version))
    genome = open_file(tmp_path / "genome", lazy=lazy)
    assert dict(zip(genome.names.tolist(), genome, strict=True)) == RECORDS
    assert isinstance(genome.buffer, np.ndarray) is not lazy
    assert genome.alphabet == "dna" and genome.lengths.tolist() == [16, 7, 0, 1]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text("ACGTNacgtn", max_size=30), min_size=1, max_size=4), st.data())
def test_any_stretch_of_any_record(tmp_path, sequences, data):
    records = {f"r{k}": s for k, s in enumerate(sequences)}
    (tmp_path / "x.2bit").write_bytes(two_bit(records))
    genome = read_two_bit(tmp_path / "x.2bit")
    row = data.draw(st.integers(0, len(sequences) - 1))
    start = data.draw(st.integers(0, len(sequences[row])))
    stop = data.draw(st.integers(start, len(sequences[row])))
    assert genome.fetch(f"r{row}", start, stop) == sequences[row][start:stop]
    # Over the edges of records, and everything.
    a, b = sorted(data.draw(st.tuples(*[st.integers(0, len(genome.buffer))] * 2)))
    assert genome.buffer[a:b].tobytes().decode() == "".join(sequences)[a:b]
    assert genome.flat().tobytes().decode() == "".join(sequences)
    assert np.asarray(genome.buffer).tobytes().decode() == "".join(sequences)


def test_what_a_set_on_disk_can_do(tmp_path):
    (tmp_path / "a.2bit").write_bytes(two_bit(RECORDS))
    genome = open_file(tmp_path / "a.2bit", circular=["chrM"])
    assert isinstance(genome[1:].buffer, TwoBit) and isinstance(genome.slice(0, 0).buffer, TwoBit)
    assert genome.fetch("chrM", 5, 9) == "CAGA"
    assert list(genome[:2].reverse_complement()) == ["GTnnAAacgtNNACGT", "TGTAATC"]
    assert genome[:2].slice(2, 6).codes().tolist() == [[2, 3, 14, 14], [3, 3, 0, 1]]
    assert genome[[1]].one_hot().values.sum() == 7
    with pytest.raises(ShapeError, match="Positions 10 to 20 of chr1 came, which has 16 bp"):
        genome.fetch("chr1", 10, 20)
    # To another process it goes by name.
    again = pickle.loads(pickle.dumps(genome.buffer))
    assert again[:7].tobytes() == b"ACGTNNa" and len(again) == 24 and again.shape == (24,)
    assert genome.buffer[::2].tobytes() == "".join(RECORDS.values())[::2].encode()


def test_annotation_beside_it(tmp_path):
    (tmp_path / "a.2bit").write_bytes(two_bit(RECORDS))
    (tmp_path / "a.bed").write_text("M\t1\t4\tx\t0\t-\n")
    genome = open_file(tmp_path / "a.2bit", annotation=tmp_path / "a.bed", contig_names="match")
    assert extract(genome)["x"] == "AAT"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b[:20], "ends at byte 20, inside its index"),
        (lambda b: b[:-1], "inside the record c3"),
        (lambda b: b[:70], "inside the record chr1"),
        (lambda b: b"#" + b, "begins with"),
        (lambda b: b[:4] + b"\x05" + b[5:], "version 0 or 1"),
        (lambda b: b[:10], "begins with|inside"),
    ],
)
def test_damaged_files_are_explained(tmp_path, change, words):
    (tmp_path / "a.2bit").write_bytes(change(two_bit(RECORDS)))
    with pytest.raises(FileFormatError, match=words):
        open_file(tmp_path / "a.2bit")
