"""Letters to one-hot: ours beside a NumPy table and tangermeme.

4.64 million random bases, the length of E. coli, from ASCII bytes in memory to one byte per value,
in the layout that each gives by itself; one thread, all interleaved in one process, medians of
the times and of their ratios in a round. The look-up table is what a user would write in one line.
The floor is to write an array of that size once, pages of memory included. tangermeme runs where
it is installed (its encoder alone needs no more than torch and numba).
"""

import time as clock
from collections.abc import Callable, Iterator

import numpy as np

from neurornn.data import SequenceSet

LENGTH = 4_641_652
#: Mbp per second, for ASCII bytes to uint8 (position, base).
GATE, GOAL = 500, 1000
REPEATS = 40
SEED = 0
COLUMNS = ["Mbp/s", "gate", "goal", "times as fast as np.take", "share of the floor"]
GATED = "ours, (position, base) uint8"


def runs() -> dict[str, Callable[[], object]]:
    """What is timed, by name."""
    rng = np.random.default_rng(SEED)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, LENGTH)]
    masked = np.where(rng.random(LENGTH) < 0.001, np.uint8(ord("N")), letters)
    genome, holes = (SequenceSet(x, [0], [LENGTH], ["chr"]) for x in (letters, masked))
    table = np.zeros((256, 4), np.uint8)
    for base, letter in enumerate(b"ACGT"):
        table[[letter, letter | 32], base] = 1

    def ours(sequences: SequenceSet, **how: object) -> Callable[[], object]:
        return lambda: sequences.one_hot(**how)

    found: dict[str, Callable[[], object]] = {
        GATED: ours(genome, dtype=np.uint8, layout="base_last"),
        "ours, (position, base) uint8, one letter in 1000 N": ours(
            holes, dtype=np.uint8, layout="base_last"
        ),
        "ours, (base, position) uint8": ours(genome, dtype=np.uint8),
        "ours, (base, position) uint8, one letter in 1000 N": ours(holes, dtype=np.uint8),
        "ours, (base, position) float32": ours(genome),
        "ours, convention of Helixer, float32": ours(holes, convention="helixer"),
        "np.take of a table, (position, base) uint8": lambda: np.take(table, letters, axis=0),
        "indexing a table, (position, base) uint8": lambda: table[letters],
        "floor: one write of (position, base) uint8": lambda: np.empty((LENGTH, 4), "u1").fill(1),
    }
    try:
        from tangermeme.utils import one_hot_encode
    except ImportError:
        return found
    text = letters.tobytes().decode("ascii")
    found["tangermeme one_hot_encode, (base, position) int8"] = lambda: one_hot_encode(text)
    return found


def rows() -> Iterator[list[str]]:
    """One row for each encoder."""
    timed = runs()
    order = np.random.default_rng(SEED)
    times: dict[str, list[float]] = {name: [] for name in timed}
    for repeat in range(REPEATS + 1):
        # In another order each time: what ran before leaves memory behind in its own way.
        for name in order.permutation(list(timed)):
            begin = clock.perf_counter()
            timed[name]()
            if repeat:
                # The first round compiles and warms caches up.
                times[name].append(clock.perf_counter() - begin)
    taken = {name: np.array(t) for name, t in times.items()}
    take = taken["np.take of a table, (position, base) uint8"]
    floor = taken["floor: one write of (position, base) uint8"]
    for name, t in taken.items():
        gated = name == GATED
        yield [
            name,
            f"{LENGTH / np.median(t) / 1e6:.0f}",
            f">= {GATE}" if gated else "",
            f"{GOAL}" if gated else "",
            f"{np.median(take / t):.2f}",
            f"{np.median(floor / t):.2f}",
        ]
