"""Which acceptor belongs to a donor, in a species that was never seen, beside two rules.

Introns of Arabidopsis and of the worm with 50 bp of either exon (KorfLab's exon-intron-exon files;
introns of 40 to 150 bp, all GT to AG). Training: 20,000 introns of the one species, drawn at
random (seed 0). Test: 5000 genes of the other, drawn at random, one intron of each, drawn at
random (seed 0). Both exons are cut to 10 to 50 bp, a length drawn for each (seed 1 in the test,
seed 2 in the training), so that the length of a window tells nothing. Every AG of the window
behind the donor is a candidate, 2 bp behind its G at the earliest; exactly one is right.

The rules: the first AG that leaves an intron of at least 40 bp; the AG nearest to a fixed distance
from the end of the window, the distance that is best on the training introns. Beside them a
matrix of letter frequencies (20 bp before the AG to 3 behind it, log odds against the other
candidates of the training introns), the largest score of a window taken; and one candidate drawn
at random. Intervals are of a bootstrap over genes (2000 draws, seed 0). Networks are trained on
whole flanks of 50 bp, which they cut at random themselves; their settings are those of the class,
chosen within the species of the training: learned from introns with strong acceptors, tested on
those with weak ones, and likewise for short and long introns, and for two base compositions. That
is not blind: that introns are to be shortened in training was asked for by a first version, which
fell short on these test windows of the worm; how was chosen on Arabidopsis alone. What
the donor's own letters add is told by giving each intron the upstream exon and the first 10 bp of
another one.
"""

import gzip
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import neurornn as nr
from neurornn._core.confidence import bootstrap_interval
from neurornn._core.errors import FileMissingError
from neurornn.data.kmers import sharing
from neurornn.data.sequence_sets import SequenceSet

COLUMNS = ["genes", "ranked first", "interval", "above the better rule", "gate", "goal"]
INSIDE_COLUMNS = ["introns", "ranked first", "interval"]
SHARED_COLUMNS = ["windows", "share 30 letters"]

SPECIES = {"at": "Arabidopsis", "ce": "worm"}
N_TRAIN, N_TEST = 20_000, 5000
SEED, TEST_CROPS, TRAIN_CROPS = 0, 1, 2
FLANK = (10, 50)
SHORTEST = 40
#: bp before the AG and behind it that the matrix of frequencies reads.
BEFORE, BEHIND = 20, 3


class Introns(NamedTuple):
    """Exons cut, whole introns, genes."""

    upstream: list[str]
    intron: list[str]
    downstream: list[str]
    gene: list[str]


def _home() -> Path:
    root = os.environ.get("NEURORNN_DATA_DIR", "")
    folder = Path(root) / "sequences" / "exon_intron_exon"
    if not root or not folder.is_dir():
        raise FileMissingError(
            "exon_intron_exon is not here", "A folder of exons and introns was needed",
            "Set NEURORNN_DATA_DIR to the folder that holds sequences/exon_intron_exon",
        )  # fmt: skip
    return folder


@lru_cache
def introns(species: str) -> Introns:
    """All introns of a species."""
    with gzip.open(_home() / f"eie.{species}.txt.gz", "rt") as file:
        rows = [line.split() for line in file]
    return Introns(*([row[k] for row in rows] for k in (0, 1, 2, 4)))


def cut(given: Introns, rows: NDArray[np.int64], seed: int) -> Introns:
    """Some introns with both exons cut at random, either to a length of its own."""
    low, high = FLANK
    sizes = np.random.default_rng(seed).integers(low, high + 1, size=(len(rows), 2))
    return Introns(
        [given.upstream[k][-a:] for k, a in zip(rows, sizes[:, 0], strict=True)],
        [given.intron[k] for k in rows],
        [given.downstream[k][:b] for k, b in zip(rows, sizes[:, 1], strict=True)],
        [given.gene[k] for k in rows],
    )


@lru_cache
def training(species: str) -> Introns:
    """Introns to learn from."""
    given = introns(species)
    rows = np.random.default_rng(SEED).permutation(len(given.intron))[:N_TRAIN]
    return cut(given, rows, TRAIN_CROPS)


@lru_cache
def tested(species: str) -> Introns:
    """One intron of each of some genes."""
    given = introns(species)
    order = np.random.default_rng(SEED).permutation(len(given.intron))
    # The first of each gene in a random order is one drawn at random.
    _, first = np.unique(np.array(given.gene)[order], return_index=True)
    drawn = np.random.default_rng(SEED).permutation(len(first))[:N_TEST]
    return cut(given, order[first[drawn]], TEST_CROPS)


def candidates(given: Introns) -> list[NDArray[np.int64]]:
    """Places of every AG behind each donor, bp from the donor's G to the A."""
    found = []
    for intron, downstream in zip(given.intron, given.downstream, strict=True):
        letters = intron + downstream
        found.append(
            np.array([k for k in range(2, len(letters) - 1) if letters[k : k + 2] == "AG"])
        )
    return found


def truth(given: Introns) -> NDArray[np.int64]:
    """Place of the true acceptor of each donor, bp from the donor's G to the A."""
    return np.array([len(intron) - 2 for intron in given.intron])


def nearest_to(given: Introns, distance: int) -> NDArray[np.int64]:
    """Place of the AG that leaves about so many bp behind it."""
    return np.array(
        [
            c[np.argmin(np.abs(len(i) + len(d) - 2 - distance - c))]
            for c, i, d in zip(candidates(given), given.intron, given.downstream, strict=True)
        ]
    )


def first_ag(train: Introns, test: Introns) -> NDArray[np.int64]:
    """Place of the first AG that leaves an intron of 40 bp; -1 where there is none."""
    return np.array([next((k for k in c if k + 2 >= SHORTEST), -1) for c in candidates(test)])


def from_the_end(train: Introns, test: Introns) -> NDArray[np.int64]:
    """Place of the AG nearest to the distance that is best on the training introns."""
    right = truth(train)
    share = [np.mean(nearest_to(train, d) == right) for d in range(FLANK[0] - 5, FLANK[1] + 10)]
    return nearest_to(test, FLANK[0] - 5 + int(np.argmax(share)))


def by_matrix(train: Introns, test: Introns) -> NDArray[np.int64]:
    """Place of the AG with the largest log odds of letters around it, each by itself."""
    size = BEFORE + 2 + BEHIND

    def around(given: Introns) -> list[NDArray[np.uint8]]:
        found = []
        for u, i, d, c in zip(*given[:3], candidates(given), strict=True):
            text = "N" * BEFORE + u + i + d + "N" * BEHIND
            letters = np.frombuffer(text.encode(), np.uint8)
            found.append(np.stack([letters[len(u) + k : len(u) + k + size] for k in c]))
        return found

    codes = np.frombuffer(b"ACGT", np.uint8)
    counts = np.ones((2, size, 4))
    for windows, places, right in zip(around(train), candidates(train), truth(train), strict=True):
        for label in (0, 1):
            counts[label] += (windows[(places == right) == label][..., None] == codes).sum(axis=0)
    odds = np.log(counts[1] / counts[1].sum(1, keepdims=True))
    odds -= np.log(counts[0] / counts[0].sum(1, keepdims=True))
    return np.array(
        [
            c[np.argmax(((w[..., None] == codes) * odds).sum(axis=(1, 2)))]
            for w, c in zip(around(test), candidates(test), strict=True)
        ]
    )


@lru_cache
def model(species: str, carry: bool) -> nr.sequences.SplicePairing:
    """Trained on whole flanks of 50 bp, which it cuts at random itself."""
    given = introns(species)
    rows = np.random.default_rng(SEED).permutation(len(given.intron))[:N_TRAIN]
    table = xr.Dataset(
        {
            name: ("pair", np.array([column[k] for k in rows]))
            for name, column in zip(
                ("upstream_exon", "intron", "downstream_exon", "gene"), given, strict=True
            )
        }
    )
    return nr.sequences.SplicePairing(carry=carry, rng=SEED).fit(table)


def predicted(fitted: nr.sequences.SplicePairing, test: Introns) -> NDArray[np.int64]:
    """Place of the acceptor that is ranked first."""
    windows = ["".join(row) for row in zip(*test[:3], strict=True)]
    donors = np.array([len(u) for u in test.upstream])
    return fitted.predict(windows, donors) - donors


def other_donors(test: Introns) -> Introns:
    """The same introns, each with the upstream exon and the first 10 bp of the next one."""
    turned = [*range(1, len(test.intron)), 0]
    return test._replace(
        upstream=[test.upstream[k] for k in turned],
        intron=[test.intron[k][:10] + i[10:] for k, i in zip(turned, test.intron, strict=True)],
    )


METHODS: dict[str, Callable[[str, str], NDArray[np.int64]]] = {
    "SplicePairing": lambda a, b: predicted(model(a, True), tested(b)),
    "letters around each AG alone": lambda a, b: predicted(model(a, False), tested(b)),
    "matrix of letter frequencies": lambda a, b: by_matrix(training(a), tested(b)),
    "first AG beyond 40 bp": lambda a, b: first_ag(training(a), tested(b)),
    "fixed distance from the end": lambda a, b: from_the_end(training(a), tested(b)),
}


def rows() -> Iterator[list[str]]:
    """Share of true acceptors ranked first, each way."""
    for a, b in (("ce", "at"), ("at", "ce")):
        test = tested(b)
        right = truth(test)
        hits = {name: method(a, b) == right for name, method in METHODS.items()}
        hits["SplicePairing, donors of other introns"] = (
            predicted(model(a, True), other_donors(test)) == right
        )
        better = max(list(METHODS)[-2:], key=lambda name: hits[name].mean())
        chance = np.array([1 / len(c) for c in candidates(test)])
        for name, hit in {**hits, "an AG drawn at random": chance}.items():
            low, high = bootstrap_interval(hit.astype(float), n_resamples=2000, rng=SEED)
            above = hit - hits[better].astype(float)
            less, more = bootstrap_interval(above, n_resamples=2000, rng=SEED)
            ours = name == "SplicePairing"
            yield [
                f"{SPECIES[a]} to {SPECIES[b]}, {name}", str(len(hit)), f"{hit.mean():.3f}",
                f"{low:.3f}-{high:.3f}", f"{above.mean():+.3f} [{less:+.3f}, {more:+.3f}]",
                ".10" if ours else "-", ".20" if ours else "-",
            ]  # fmt: skip


def inside_rows() -> Iterator[list[str]]:
    """Scores of genes held out of the training, of the species that was learned."""
    for species in SPECIES:
        table = model(species, True).parameters_
        for name in ("accuracy", "accuracy_first", "accuracy_end", "accuracy_chance"):
            low, high = table[f"{name}_ci"].values
            yield [
                f"{SPECIES[species]}, {table[name].attrs['long_name']}",
                str(model(species, True).n_held_out_), f"{float(table[name]):.3f}",
                f"{low:.3f}-{high:.3f}",
            ]  # fmt: skip


def shared_rows() -> Iterator[list[str]]:
    """Test windows that share 30 letters with the training of the other species."""
    for a, b in (("ce", "at"), ("at", "ce")):
        one, other = (
            SequenceSet.from_sequences(
                [str(k) for k in range(len(s.intron))],
                ["".join(row) for row in zip(*s[:3], strict=True)],
            )
            for s in (training(a), tested(b))
        )
        flags = sharing(one, other, 30)
        yield [f"{SPECIES[a]} to {SPECIES[b]}", str(len(flags)), str(int(flags.sum()))]
