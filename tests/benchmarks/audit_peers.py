"""Our audit beside seqleak, in one process: what each flags in four public sets of DNA.

seqleak 0.4.1 lints DNA benchmarks for leaks: copies, near copies, windows, shortcuts, constructed
negatives. It is called by its own command line, with 200 draws of its bootstrap and no homology
search, and says PASS, WARN or FAIL of each check. Ours is `data.audit` with the test set and the
species, where there is one, as a group; no setting of either is changed for a set.

HS3D: the set's own training and test files, donor and acceptor. Human 602, splice42 (worm) and
promoters of four species (those of the section on splits of promoters): at most 2000 positives and
2000 negatives drawn at random (seed 0), a random fifth of which is the test. Scores there are of
that split alone; both see the same rows.
"""

import gzip
import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import neurornn as nr
from neurornn._core.errors import FileMissingError
from neurornn.data.sequence_sets import SequenceSet
from tests.benchmarks import promoter_splits

SEED, MOST = 0, 2000
COLUMNS = ["rows", "seqleak flags", "s", "ours says", "s ", "not flagged by ours"]


class Split(NamedTuple):
    """A set of DNA in two parts."""

    sequences: SequenceSet
    labels: NDArray[np.int64]
    is_test: NDArray[np.bool_]


def _letters(path: Path) -> list[str]:
    with gzip.open(path, "rt") as file:
        return [s.strip() for s in file if not s.startswith(">") and s.strip()]


def _whole(parts: list[tuple[Path, int, bool]]) -> Split:
    """All records of some files: path, label, whether they are the test."""
    letters, labels, test = [], [], []
    for path, label, is_test in parts:
        found = _letters(path)
        letters += found
        labels += len(found) * [label]
        test += len(found) * [is_test]
    names = [f"w{k}" for k in range(len(letters))]
    return Split(SequenceSet.from_sequences(names, letters), np.array(labels), np.array(test))


def _drawn(yes: Path, no: Path) -> Split:
    """Some records of two files, a random fifth of which is the test."""
    draw, letters, labels = np.random.default_rng(SEED), [], []
    for label, path in ((1, yes), (0, no)):
        found = _letters(path)
        letters += [found[k] for k in draw.permutation(len(found))[:MOST]]
        labels += [label] * min(MOST, len(found))
    names = [f"w{k}" for k in range(len(letters))]
    test = draw.permutation(len(letters)) % 5 == 0
    return Split(SequenceSet.from_sequences(names, letters), np.array(labels), test)


@lru_cache
def hs3d(site: str) -> Split:
    """The set's own files."""
    home = nr.fetch("splice_hs3d")
    return _whole([
        (home / f"{part}.{site}.{kind}.txt.gz", label, part == "Test")
        for part in ("Train", "Test") for kind, label in (("Positive", 1), ("Negative", 0))
    ])  # fmt: skip


@lru_cache
def human(site: str) -> Split:
    """Windows of 602 bp."""
    home = nr.fetch("splice_602")
    yes, no = (home / f"hs.Train.{site}.{kind}.txt.gz" for kind in ("Positive", "Negative"))
    return _drawn(yes, no)


@lru_cache
def worm(site: str) -> Split:
    """Windows of 42 bp."""
    home = nr.fetch("splice_korf42")
    return _drawn(home / f"ce.{site}.fa.gz", home / f"ce.n4{site}.fa.gz")


@lru_cache
def promoters() -> Split:
    """Windows of 81 bp of four species, with the species as a group."""
    sequences, labels = promoter_splits.windows()
    test = np.random.default_rng(SEED).permutation(len(labels)) % 5 == 0
    return Split(sequences, labels, test)


SETS = {
    "HS3D donor": lambda: hs3d("Donor"),
    "HS3D acceptor": lambda: hs3d("Acceptor"),
    "human 602 donor": lambda: human("Donor"),
    "human 602 acceptor": lambda: human("Acceptor"),
    "splice42 worm donor": lambda: worm("don"),
    "splice42 worm acceptor": lambda: worm("acc"),
    "promoters": promoters,
}


def _seqleak(split: Split) -> dict[str, str]:
    """Verdict of every check that is not passed or skipped."""
    from seqleak.cli import main

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Another package's warnings are its own affair.
        warnings.simplefilter("ignore")
        home = Path(folder)
        for name, rows in (("train", ~split.is_test), ("test", split.is_test)):
            lines = [
                f"{s},{label}"
                for s, label in zip(split.sequences[rows], split.labels[rows], strict=True)
            ]
            (home / f"{name}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
        main([
            "audit", "--train", str(home / "train.csv"), "--test", str(home / "test.csv"),
            "--homology", "off", "--n-boot", "200", "--threads", "1", "--quiet",
            "--out", str(home / "report.json"),
        ])  # fmt: skip
        report = json.loads((home / "report.json").read_text())
    found = report["checks"].items()
    return {name: c["status"] for name, c in found if c["status"] in ("WARN", "FAIL")}


#: What ours says where seqleak flags a check: a quantity that is above 0, or a word of a finding.
ANSWERS = {
    "overlap.exact": ("are copies of a training row",),
    "overlap.near": ("near copies", "share at least one"),
    "overlap.windows": ("share at least one", "near copies"),
    "overlap.homology": ("share at least one",),
    "shortcut.length": ("length alone",),
    "shortcut.composition": ("k-mer frequencies (1 to 3) alone",),
    "shortcut.kmer": ("k-mer frequencies (1 to 3) alone",),
    "shortcut.position_motif": ("Letters at fixed places",),
    "construction.segment": ("have a twin",),
    "construction.synthetic_negatives": ("have a twin",),
    "construction.unmatched_site": ("Letters at fixed places",),
}


def rows() -> Iterator[list[str]]:
    """One row per set."""
    for name, make in SETS.items():
        try:
            split = make()
        except FileMissingError:
            yield [name, "not here", "", "", "", "", ""]
            continue
        begun = time.perf_counter()
        flags = _seqleak(split)
        theirs = time.perf_counter() - begun
        begun = time.perf_counter()
        report = nr.data.audit(split.sequences, split.labels, test=split.is_test)
        ours = time.perf_counter() - begun
        said = " ".join(report.findings)
        missed = [c for c in flags if not any(w in said for w in ANSWERS.get(c, ("no answer",)))]
        confounder = ", species named" if "species" in said else ""
        yield [
            name, str(len(split.labels)), ", ".join(f"{c} {v}" for c, v in flags.items()) or "-",
            f"{theirs:.0f}", ", ".join(report.statuses) + confounder, f"{ours:.0f}",
            ", ".join(missed) or "none",
        ]  # fmt: skip
