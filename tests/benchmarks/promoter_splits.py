"""Promoters of four species: the score that a split promises, and that in a species never seen.

CNNProm's promoters and non-promoters (Umarov & Solovyev 2017, doi:10.1371/journal.pone.0171410) of
E. coli, B. subtilis, Arabidopsis and mouse, each cut to the 81 bp from 60 before the start of
transcription to 20 behind it. Of each species at most 1000 promoters and as many non-promoters
are drawn (seed 0); Arabidopsis and mouse promoters are those with and without TATA together, as
far as the set holds them.

Three splits of the same windows. Random: five folds. Homology: five folds, windows that share 20
letters stay together. Species: each of the four is the test once. Scores are of windows that were
tested, each once: area under the ROC curve within each species, mean over the four; 0.5 is what a
constant reaches. Intervals are of a bootstrap over the windows of each species.

k-mers: logistic regression on frequencies of 1 to 4 letters, scaled (C = 1). Network: a
bidirectional GRU of 16 units read at the start of transcription, 12 passes of Adam at 0.005 in
batches of 64, seed 0. Positions: logistic regression on one-hot letters (C = 0.1).
"""

import gzip
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import neurornn as nr
from neurornn._core.confidence import bootstrap_interval
from neurornn.data.kmers import kmer_counts, sharing
from neurornn.data.sequence_sets import SequenceSet

SEED, N_FOLDS, MOST, KMER = 0, 5, 1000, 20
BEFORE, LENGTH = 60, 81
#: Where transcription starts in the files of a species; promoters, and other DNA.
FILES = {
    "E. coli": (60, ("Ecoli_prom",), ("Ecoli_non_prom",)),
    "B. subtilis": (60, ("Bacillus_prom",), ("Bacillus_non_prom",)),
    "Arabidopsis": (200, ("Arabidopsis_tata", "Arabidopsis_non_tata"), ("Arabidopsis_non_prom",)),
    "mouse": (200, ("Mouse_tata", "Mouse_tata_dbtss"), ("Mouse_nonprom",)),
}
COLUMNS = [
    "n", "auROC", "interval", "constant", *FILES, "copies in training", "share 20 letters",
]  # fmt: skip


def _letters(path: Path, start: int) -> list[str]:
    """Sequences of a FASTA file whose letters are all there, cut around the start."""
    with gzip.open(path, "rt") as file:
        records = file.read().split(">")[1:]
    whole = ["".join(r.split("\n")[1:]).strip().upper() for r in records]
    first = start - BEFORE
    cut = [s[first : first + LENGTH] for s in whole]
    return [s for s in cut if len(s) == LENGTH and not set(s) - set("ACGT")]


@lru_cache
def windows() -> tuple[SequenceSet, NDArray[np.int64]]:
    """Windows with their species, and whether each is a promoter."""
    home, draw = nr.fetch("promoters_umarov"), np.random.default_rng(SEED)
    letters, labels, species = [], [], []
    for name, (start, yes, no) in FILES.items():
        kinds = [[s for f in part for s in _letters(home / f"{f}.fa.gz", start)]
                 for part in (yes, no)]  # fmt: skip
        n = min(MOST, *map(len, kinds))
        for label, found in zip((1, 0), kinds, strict=True):
            letters += [found[k] for k in draw.permutation(len(found))[:n]]
            labels += n * [label]
            species += n * [name]
    names = [f"window {k}" for k in range(len(letters))]
    made = SequenceSet.from_sequences(names, letters, groups={"species": species})
    return made, np.array(labels)


def parts(split: str) -> list[NDArray[np.int64]]:
    """Rows that are tested in each round."""
    found, _ = windows()
    draw, n = np.random.default_rng(SEED), len(found)
    if split == "random":
        fold = draw.permutation(n) % N_FOLDS
    elif split == "homology":
        cluster = nr.data.cluster_by_kmers(found, KMER)
        rows = nr.data.split_groups(np.arange(n), cluster, [1 / N_FOLDS] * N_FOLDS, rng=SEED)
        return [np.asarray(r) for r in rows]
    else:
        return [np.flatnonzero(found.groups["species"] == name) for name in FILES]
    return [np.flatnonzero(fold == k) for k in range(N_FOLDS)]


def kmers(train: SequenceSet, labels: Any, test: SequenceSet) -> NDArray[np.float64]:
    """Log odds by logistic regression on frequencies of 1 to 4 letters."""
    a, b = (np.hstack([kmer_counts(s, k) for k in (1, 2, 3, 4)]) for s in (train, test))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    return np.asarray(model.fit(a, labels).decision_function(b))


def places(train: SequenceSet, labels: Any, test: SequenceSet) -> NDArray[np.float64]:
    """Log odds by logistic regression on one-hot letters."""
    a, b = (s.one_hot(layout="base_last").values.reshape(len(s), -1) for s in (train, test))
    return np.asarray(LogisticRegression(C=0.1, max_iter=2000).fit(a, labels).decision_function(b))


def network(train: SequenceSet, labels: Any, test: SequenceSet) -> NDArray[np.float64]:
    """Log odds by a bidirectional GRU, read at the start of transcription."""
    x, t = (np.asarray(s.one_hot(layout="base_last").values) for s in (train, test))
    targets = np.full((len(x), LENGTH, 1), np.nan, np.float32)
    targets[:, BEFORE, 0] = labels
    model = nr.models.GRU(4, 16, 1, dt=1.0, time_unit="bp", bidirectional=True, rng=SEED)
    with warnings.catch_warnings():
        # Twelve passes on a schedule; there is no more to converge to.
        warnings.simplefilter("ignore")
        fitted = nr.fit(
            model, (x, targets), objective="bernoulli", optimizer="adam", max_epochs=12,
            learning_rate=5e-3, batch_size=64, refine=False, intervals=False, rng=SEED,
        )  # fmt: skip
    import torch

    with torch.no_grad():
        return np.asarray(fitted.model(t).output[:, BEFORE, 0].double().numpy())


METHODS: dict[str, Callable[[SequenceSet, Any, SequenceSet], NDArray[np.float64]]] = {
    "k-mers": kmers, "positions": places, "network": network,
}  # fmt: skip


def _mean_area(table: NDArray[np.float64]) -> float:
    """Area under the ROC curve within each species, mean over them; (score, label, species)."""
    return float(np.mean(_areas(table)))


def _areas(table: NDArray[np.float64]) -> list[float]:
    return [
        float(roc_auc_score(rows[:, 1], rows[:, 0]))
        for rows in (table[table[:, 2] == k] for k in range(len(FILES)))
    ]


def rows() -> Iterator[list[str]]:
    """One row per split and method."""
    found, labels = windows()
    species = np.array([list(FILES).index(s) for s in found.groups["species"]])
    for split in ("random", "homology", "species"):
        tested = parts(split)
        copied = near = 0
        for test in tested:
            rest = np.setdiff1d(np.arange(len(found)), test)
            seen = set(found[rest])
            copied += sum(s in seen for s in found[test])
            near += int(sharing(found[rest], found[test], KMER).sum())
        for name, method in METHODS.items():
            scores = np.full(len(found), np.nan)
            for test in tested:
                rest = np.setdiff1d(np.arange(len(found)), test)
                scores[test] = method(found[rest], labels[rest], found[test])
            if split != "species":
                # Log odds of several fits stand beside one another: each by its rank in its fold.
                for test in tested:
                    scores[test] = scores[test].argsort().argsort() / len(test)
            table = np.stack([scores, labels, species], 1)
            low, high = bootstrap_interval(table, _mean_area, n_resamples=500, rng=0)
            yield [
                f"{split}, {name}", str(len(found)), f"{_mean_area(table):.3f}",
                f"{low:.3f}-{high:.3f}", "0.500", *(f"{a:.3f}" for a in _areas(table)),
                str(copied), str(near),
            ]  # fmt: skip
