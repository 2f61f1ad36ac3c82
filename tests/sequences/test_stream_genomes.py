"""Real genomes in a stream: exact mirrors, one bit pattern for all chunks, bounded memory."""

import gzip
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest

import neurornn as nr
from neurornn.sequences import StreamWeights, stream

pytestmark = pytest.mark.realdata
GENOMES = (
    "NC_000913.gbk.gz",
    "streptococcus_pyogenes_M1_GAS.gb.gz",
    "mycoplasma_mycoides_GCF_000023685.gbff.gz",
)
SIZES = {"dt": 1.0, "time_unit": "bp", "rng": 0}
CELLS = ("LSTM", "GRU", "LeakyRNN")


def letters_of(path):
    """Letters of the first record of a GenBank file."""
    with gzip.open(path, "rt") as file:
        _, _, rest = file.read().partition("\nORIGIN")
    return re.sub("[^a-z]", "", rest.partition("\n//")[0]).upper()


def tied(cell):
    return nr.models.ReverseComplementTied(4, 32, 3, cell=cell, swapped=[(0, 1)], rng=0)


def is_mirror(model, text, **more):
    """Whether outputs on the other strand are the mirror, to the last bit."""
    other = nr.data.SequenceSet.from_sequences(["a"], [text]).reverse_complement()
    here, there = stream(model, text, **more), stream(model, other)
    return np.array_equal(there.values[::-1][:, [1, 0, 2]], here.values)


@pytest.mark.slow
@pytest.mark.parametrize("name", GENOMES)
def test_a_piece_of_every_genome_is_mirrored(name, realdata):
    text = letters_of(realdata(f"sequences/bacteria/{name}"))
    piece = text[300_000:500_000]
    assert len(piece) == 200_000
    # A run of N, as between the contigs of a draft.
    for given in (piece, piece[:1000] + 300 * "N" + piece[1000:2000] + "RYSWN"):
        assert is_mirror(tied("GRU"), given, chunk_size=7000), name


@pytest.mark.slow
@pytest.mark.parametrize("name", GENOMES)
@pytest.mark.parametrize("cell", CELLS)
def test_every_whole_genome_is_mirrored(name, cell, realdata):
    assert is_mirror(tied(cell), letters_of(realdata(f"sequences/bacteria/{name}")))


ALONE = """
import hashlib, json, sys
import h5netcdf, numpy as np, xarray
import neurornn as nr, neurornn.sequences.streaming, neurornn.data.sequence_sets
def peak():
    # Of this process alone: ru_maxrss begins at the size of the one that started it.
    said = dict(line.split(":") for line in open("/proc/self/status"))
    return int(said["VmHWM"].split()[0]) / 1024
weights, letters, n, chunk, both, out = sys.argv[1:]
genome = nr.data.SequenceSet(letters, [0], [int(n)], ["chromosome"])
weights, before = nr.load(weights), peak()
found = nr.sequences.stream(
    weights, genome, chunk_size=int(chunk), bidirectional=both == "True", out=out)
after, told = peak(), hashlib.sha256()
for a in range(0, int(n), 100_000):
    told.update(np.ascontiguousarray(found[a : a + 100_000].values).tobytes())
print(json.dumps([after - before, told.hexdigest(), "torch" in sys.modules]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("cell", "both"), [("LSTM", True), ("GRU", False), ("LeakyRNN", False)])
def test_a_whole_genome_in_chunks_has_the_same_bits_in_little_memory(
    cell, both, realdata, tmp_path
):
    text = letters_of(realdata(f"sequences/bacteria/{GENOMES[0]}"))
    assert len(text) == 4_641_652
    options = {"tau": 100.0} if cell == "LeakyRNN" else {}
    StreamWeights.of(getattr(nr.models, cell)(4, 64, 2, **SIZES, **options)).save(tmp_path / "w")
    (tmp_path / "letters").write_text(text)
    bits = set()
    for chunk in (1_000, 7_000, 100_000, len(text)):
        given = [tmp_path / "w", tmp_path / "letters", len(text), chunk, both]
        out = tmp_path / f"{chunk}.nc"
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ALONE, *map(str, [*given, out])],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        out.unlink()
        peak, told, torch_came = json.loads(done.stdout)
        assert not torch_came
        # MB; outputs alone are 37 and 74. The letters that were read are among them.
        assert 10 < peak < 200, (chunk, peak)
        bits.add(told)
    assert len(bits) == 1
    # Cut into contigs that go through side by side, the first of them is as it was.
    edges = [0, 1_000_000, 1_900_000, 2_100_000, len(text)]
    contigs = nr.data.SequenceSet.from_sequences(
        list("abcd"), [text[a:b] for a, b in itertools.pairwise(edges)]
    )
    weights = nr.load(tmp_path / "w")
    lanes = stream(weights, contigs, bidirectional=both)
    for name in "abcd":
        assert np.array_equal(lanes[name], stream(weights, contigs[name], bidirectional=both))
