"""Recurrent networks along a genome beside torch's own layers, and what the memory holds.

Speed: `stream` end to end (letters to codes, states, a read-out of two outputs) against the
forward pass of ``torch.nn.LSTM`` and ``torch.nn.GRU`` alone, which are given one-hot letters; one
thread, float32, interleaved in one process, medians of ratios. Lanes are contigs that go through
together; torch gets them as a batch.

Memory and equality: a simulated genome of the length of that of E. coli, in fresh processes that
read the weights from a file; the peak of the process less that after its imports.
"""

import json
import subprocess
import sys
import tempfile
import time as clock
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

import neurornn as nr

#: Cell, hidden units, lanes, letters of a lane; how often faster than torch, gate and goal.
SHAPES = (
    ("LSTM", 64, 1, 50_000, "1", "2"),
    ("GRU", 64, 1, 20_000, "6", "10"),
    ("LSTM", 64, 8, 5_000, "", ""),
    ("GRU", 64, 8, 5_000, "", ""),
    ("LSTM", 128, 1, 10_000, "", ""),
    ("GRU", 128, 1, 10_000, "", ""),
    ("LSTM", 16, 1, 20_000, "", ""),
    ("GRU", 16, 1, 20_000, "", ""),
)
REPEATS = 15
SEED = 0
#: bp, the length of the genome of E. coli K-12.
LENGTH = 4_641_652
CHUNKS = (1_000, 7_000, 100_000, LENGTH)
COLUMNS = ["ours kb/s", "torch kb/s", "ours / torch", "gate", "goal"]
MEMORY_COLUMNS = ["chunk, kb", "MB above imports", "gate", "goal", "bits as in one piece"]

_ALONE = """
import hashlib, json, sys
import h5netcdf, numpy as np, xarray
import neurornn as nr, neurornn.sequences.streaming, neurornn.data.sequence_sets
def peak():
    # Of this process alone: ru_maxrss begins at the size of the one that started it.
    said = dict(line.split(":") for line in open("/proc/self/status"))
    return int(said["VmHWM"].split()[0]) / 1024
weights, letters, chunk, both, out = sys.argv[1:6]
genome = nr.data.SequenceSet(letters, [0], [{length}], ["chromosome"])
weights, before = nr.load(weights), peak()
found = nr.sequences.stream(
    weights, genome, chunk_size=int(chunk), bidirectional=both == "True", out=out)
after, told = peak(), hashlib.sha256()
for a in range(0, {length}, 100_000):
    told.update(np.ascontiguousarray(found[a : a + 100_000].values).tobytes())
print(json.dumps([after - before, told.hexdigest(), "torch" in sys.modules]))
"""


def letters_of(n: int) -> bytes:
    """Random letters, a thousandth of them N."""
    rng = np.random.default_rng(SEED)
    chances = (0.24975,) * 4 + (0.001,)
    return bytes(rng.choice(np.frombuffer(b"ACGTN", np.uint8), n, p=chances))


def speed_rows() -> Iterator[list[str]]:
    """One row per cell, size and number of lanes."""
    for name, n_hidden, n_lanes, length, gate, goal in SHAPES:
        model = getattr(nr.models, name)(4, n_hidden, 2, dt=1.0, time_unit="bp", rng=SEED)
        layer = getattr(nn, name)(4, n_hidden)
        layer.load_state_dict(model.layers[0].state_dict())
        text = letters_of(n_lanes * length).decode()
        texts = [text[k * length : (k + 1) * length] for k in range(n_lanes)]
        contigs = nr.data.SequenceSet.from_sequences([f"c{k}" for k in range(n_lanes)], texts)
        hot = contigs.one_hot().transpose("position", "sequence", "base").values
        inputs = torch.from_numpy(np.ascontiguousarray(hot))
        ours, theirs = [], []
        for _ in range(REPEATS + 1):
            begin = clock.perf_counter()
            nr.sequences.stream(model, contigs)
            ours.append(clock.perf_counter() - begin)
            begin = clock.perf_counter()
            with torch.no_grad():
                layer(inputs)
            theirs.append(clock.perf_counter() - begin)
        # The first round warms caches up.
        a, b = np.array(ours[1:]), np.array(theirs[1:])
        kb = n_lanes * length / 1000
        yield [
            f"{name}-{n_hidden}, {n_lanes} lane{'s' if n_lanes > 1 else ''}",
            f"{kb / np.median(a):.0f}",
            f"{kb / np.median(b):.0f}",
            f"{np.median(b / a):.1f}",
            f">= {gate}" if gate else "-",
            goal or "-",
        ]


def memory_rows() -> Iterator[list[str]]:
    """One row per model and chunk."""
    sizes = {"dt": 1.0, "rng": SEED}
    models = {
        "LSTM-64": (nr.models.LSTM(4, 64, 2, time_unit="bp", **sizes), False),
        "GRU-64, both ways": (nr.models.GRU(4, 64, 2, time_unit="bp", **sizes), True),
        "tied GRU-64": (
            nr.models.ReverseComplementTied(4, 64, 2, cell="GRU", swapped=[(0, 1)], **sizes),
            False,
        ),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "letters").write_bytes(letters_of(LENGTH))
        for label, (model, both) in models.items():
            weights = folder / label.replace(" ", "_")
            nr.sequences.StreamWeights.of(model).save(weights)
            found = {chunk: _alone(folder, weights, chunk, both) for chunk in CHUNKS}
            whole = found[LENGTH][1]
            for chunk, (peak, bits, torch_came) in found.items():
                assert not torch_came
                yield [
                    label,
                    f"{chunk / 1000:.0f}" if chunk < LENGTH else "all",
                    f"{peak:.0f}",
                    "< 200",
                    "100",
                    "all" if bits == whole else "NOT",
                ]


def _alone(folder: Path, weights: Path, chunk: int, both: bool) -> tuple[float, str, bool]:
    """Peak (MB), bits of the outputs, and whether torch was loaded, of a fresh process."""
    out = folder / f"{weights.name}_{chunk}.nc"
    given = [str(x) for x in (weights, folder / "letters", chunk, both, out)]
    code = _ALONE.replace("{length}", str(LENGTH))
    done = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, check=True
    )
    out.unlink()
    peak, bits, torch_came = json.loads(done.stdout)
    return peak, bits, torch_came
