"""Splice sites beside logistic regression, a plain CNN and a plain bidirectional GRU: auPRC.

HS3D: 140 bp, the set's own training and test files (2200 + 2200 and 550 + 550 windows of each
kind). Human 602: the training files of 602 bp (6400 + 6400), five folds of groups that share a
60-mer (seed 0), scores of all folds pooled. Worm to Arabidopsis: 42 bp, 5000 sites and 5000 decoys
of the worm drawn at random (seed 0) to train, 10,000 and 10,000 of Arabidopsis to test;
an adapted model also sees 5000 and 5000 other windows of Arabidopsis, without labels. Decoys
carry GT or AG as sites do, so that the trivial score, that of a constant, is the share of sites.

Peers see the same windows (40 bp on either side of the site in the 602 set, all elsewhere):
logistic regression on one-hot letters (C = 0.1), a CNN (two layers of 48 channels, widths 9 and 5,
one dense layer of 64 units, dropout 0.3, 8 passes of Adam at 0.001), and a bidirectional GRU of
32 units read at the site by the training of this package (12 passes at 0.005), all from seed 0.
Ours has the settings of the class, which were chosen on parts of the training files and on other
species. Intervals are of a bootstrap over test windows.
"""

import gzip
import os
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from torch import nn

import neurornn as nr
from neurornn._core.confidence import bootstrap_interval
from neurornn._core.errors import FileMissingError
from neurornn.data.kmers import cluster_by_kmers, sharing
from neurornn.data.sequence_sets import SequenceSet

COLUMNS = ["n", "auPRC", "interval", "constant", "gate", "goal"]
LEAK_COLUMNS = ["windows", "exact copies", "share a k-mer", "k", "of these sites"]
CALIBRATION_COLUMNS = ["windows", "probability", "sites", "interval", "difference"]
#: k-mers that strangers do not share, of windows of 140, 602 and 42 bp.
SHARED = {"hs3d": 40, "602": 60, "42": 30}
N_FOLDS, SEED = 5, 0
GATES = {
    "HS3D donor": (".985", ".99"), "HS3D acceptor": (".975", ".985"),
    "human 602 donor": (".980", ".985"), "human 602 acceptor": ("-", "-"),
    "worm to Arabidopsis acceptor": (".87", ".92"),
}  # fmt: skip


class Task(NamedTuple):
    """Windows to learn from and to be tested on, in one or several rounds."""

    site: str
    rounds: list[tuple[SequenceSet, NDArray[np.int64], SequenceSet, NDArray[np.int64]]]
    k: int


def _home(name: str) -> Path:
    root = os.environ.get("NEURORNN_DATA_DIR", "")
    folder = Path(root) / "sequences" / name
    if not root or not folder.is_dir():
        raise FileMissingError(
            f"{name} is not here", "A folder of splice sites was needed",
            "Set NEURORNN_DATA_DIR to the folder that holds sequences/" + name,
        )  # fmt: skip
    return folder


def _letters(path: Path) -> list[str]:
    with gzip.open(path, "rt") as file:
        return [s.strip() for s in file if not s.startswith(">") and s.strip()]


def _set(yes: list[str], no: list[str]) -> tuple[SequenceSet, NDArray[np.int64]]:
    both = yes + no
    names = [f"w{k}" for k in range(len(both))]
    labels = np.repeat([1, 0], [len(yes), len(no)])
    return SequenceSet.from_sequences(names, both), labels


@lru_cache
def hs3d(site: str) -> Task:
    """Human sites of 140 bp, the set's own files."""
    parts: list[Any] = []
    for part in ("Train", "Test"):
        files = [
            _home("splice_hs3d") / f"{part}.{site.capitalize()}.{label}.txt.gz"
            for label in ("Positive", "Negative")
        ]
        parts += _set(*(_letters(f) for f in files))
    return Task(site, [tuple(parts)], SHARED["hs3d"])  # type: ignore[list-item]


@lru_cache
def human(site: str) -> Task:
    """Human sites of 602 bp, five folds of groups that share a 60-mer."""
    files = [
        _home("splice_602") / f"hs.Train.{site.capitalize()}.{label}.txt.gz"
        for label in ("Positive", "Negative")
    ]
    windows, labels = _set(*(_letters(f) for f in files))
    cluster = cluster_by_kmers(windows, SHARED["602"])
    fold = np.random.default_rng(SEED).integers(N_FOLDS, size=cluster.max() + 1)[cluster]
    rounds = []
    for k in range(N_FOLDS):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        rounds.append((windows[train], labels[train], windows[test], labels[test]))
    return Task(site, rounds, SHARED["602"])


@lru_cache
def worm_to_plant(site: str) -> Task:
    """Worm sites to train, Arabidopsis sites to test, 42 bp."""
    draw = np.random.default_rng(SEED)
    short = {"donor": "don", "acceptor": "acc"}[site]
    parts: list[Any] = []
    for species, n in (("ce", 5000), ("at", 10_000)):
        files = [_home("splice_korf42") / f"{species}.{p}{short}.fa.gz" for p in ("", "n4")]
        chosen = []
        for path in files:
            found = _letters(path)
            chosen.append([found[j] for j in draw.permutation(len(found))[:n]])
        parts += _set(*chosen)
    return Task(site, [tuple(parts)], SHARED["42"])  # type: ignore[list-item]


def bare_plant(site: str) -> SequenceSet:
    """5000 sites and 5000 decoys of Arabidopsis that are no test windows, without labels."""
    short = {"donor": "don", "acceptor": "acc"}[site]
    tested = {s.upper() for s in worm_to_plant(site).rounds[0][2]}
    draw = np.random.default_rng(SEED + 1)
    chosen = []
    for p in ("", "n4"):
        found = [s for s in _letters(_home("splice_korf42") / f"at.{p}{short}.fa.gz")
                 if s.upper() not in tested]  # fmt: skip
        chosen += [found[j] for j in draw.permutation(len(found))[:5000]]
    return _set([chosen[j] for j in draw.permutation(len(chosen))], [])[0]


TASKS: dict[str, Callable[[], Task]] = {
    "HS3D donor": lambda: hs3d("donor"),
    "HS3D acceptor": lambda: hs3d("acceptor"),
    "human 602 donor": lambda: human("donor"),
    "human 602 acceptor": lambda: human("acceptor"),
    "worm to Arabidopsis acceptor": lambda: worm_to_plant("acceptor"),
}


def leak_rows() -> Iterator[list[str]]:
    """What tests share with training, before any score."""
    for name, make in TASKS.items():
        task = make()
        copied, shared, of_sites, n = 0, 0, 0, 0
        for train, _, test, labels in task.rounds:
            seen = {s.upper() for s in train}
            copied += sum(s.upper() in seen for s in test)
            flags = sharing(train, test, task.k)
            shared, n = shared + int(flags.sum()), n + len(test)
            of_sites += int(flags[labels == 1].sum())
        share = f"{shared} ({100 * shared / n:.1f} %)"
        yield [name, str(n), str(copied), share, str(task.k), str(of_sites)]


def _cropped(windows: SequenceSet) -> SequenceSet:
    """40 bp on either side of the site of a long window."""
    return windows.slice(260, 342) if windows.lengths[0] == 602 else windows


def _one_hot(windows: SequenceSet) -> NDArray[np.float32]:
    return np.asarray(windows.one_hot(layout="base_last").values)


def logistic(site: str, train: Any, labels: Any, test: Any) -> NDArray[np.float64]:
    """Log odds by logistic regression on one-hot letters."""
    x, t = (_one_hot(_cropped(w)).reshape(len(w), -1) for w in (train, test))
    fitted = LogisticRegression(C=0.1, max_iter=2000).fit(x, labels)
    return np.asarray(fitted.decision_function(t))


def plain_cnn(site: str, train: Any, labels: Any, test: Any) -> NDArray[np.float64]:
    """Log odds by a CNN of 48 channels."""
    torch.manual_seed(SEED)
    x = torch.from_numpy(_one_hot(_cropped(train))).transpose(1, 2).contiguous()
    t = torch.from_numpy(_one_hot(_cropped(test))).transpose(1, 2).contiguous()
    y = torch.from_numpy(np.asarray(labels, np.float32))
    net = nn.Sequential(
        nn.Conv1d(4, 48, 9, padding=4), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(48, 48, 5, padding=2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(48 * (x.shape[2] // 2), 64), nn.ReLU(), nn.Linear(64, 1),
    )  # fmt: skip
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(8):
        for rows in torch.randperm(len(x)).split(64):
            loss = nn.functional.binary_cross_entropy_with_logits(net(x[rows])[:, 0], y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    net.eval()
    with torch.no_grad():
        return torch.cat([net(part)[:, 0] for part in t.split(1024)]).double().numpy()


def plain_gru(site: str, train: Any, labels: Any, test: Any) -> NDArray[np.float64]:
    """Log odds by a bidirectional GRU of 32 units, read at the site."""
    x, t = _one_hot(_cropped(train)), _one_hot(_cropped(test))
    where = nr.sequences.SpliceSites(site, n_seeds=1).locate(_cropped(train), labels)
    targets = np.full((len(x), x.shape[1], 1), np.nan, np.float32)
    targets[:, where, 0] = labels
    model = nr.models.GRU(4, 32, 1, dt=1.0, time_unit="bp", bidirectional=True, rng=SEED)
    with warnings.catch_warnings():
        # Twelve passes on a schedule; there is no more to converge to.
        warnings.simplefilter("ignore")
        fitted = nr.fit(
            model, (x, targets), objective="bernoulli", optimizer="adam", max_epochs=12,
            learning_rate=5e-3, batch_size=64, refine=False, intervals=False, rng=SEED,
        )  # fmt: skip
    out = []
    with torch.no_grad():
        for k in range(0, len(t), 1024):
            out.append(fitted.model(t[k : k + 1024]).output[:, where, 0].double().numpy())
    return np.concatenate(out)


def ours(site: str, train: Any, labels: Any, test: Any) -> NDArray[np.float64]:
    """Log odds by `SpliceSites`, settings of the class."""
    return np.asarray(nr.sequences.SpliceSites(site).fit(train, labels).decision_function(test))


def adapted(site: str, train: Any, labels: Any, test: Any) -> NDArray[np.float64]:
    """Log odds by `SpliceSites` that adapted to bare windows of Arabidopsis, none of the test."""
    model = nr.sequences.SpliceSites(site).fit(train, labels).adapt(bare_plant(site))
    return np.asarray(model.decision_function(test))


METHODS = {
    "SpliceSites": ours, "SpliceSites, adapted": adapted, "one-hot logistic regression": logistic,
    "CNN, 48 channels": plain_cnn, "bidirectional GRU, 32": plain_gru,
}  # fmt: skip


@lru_cache
def scored(name: str, method: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Log odds and labels of all that was tested."""
    task = TASKS[name]()
    scores = [METHODS[method](task.site, a, y, b) for a, y, b, _ in task.rounds]
    return np.concatenate(scores), np.concatenate([r[3] for r in task.rounds])


def rows(*names: str, methods: tuple[str, ...] = tuple(METHODS)) -> Iterator[list[str]]:
    """Scores of every method on every task."""
    for name in names or TASKS:
        for method in methods:
            if method.endswith("adapted") and not name.startswith("worm"):
                continue
            scores, labels = scored(name, method)
            table = np.stack([scores, labels], 1)
            low, high = bootstrap_interval(
                table, lambda r: average_precision_score(r[:, 1], r[:, 0]), n_resamples=500, rng=0
            )
            value = average_precision_score(labels, scores)
            gate, goal = GATES[name] if method.startswith("SpliceSites") else ("-", "-")
            yield [
                f"{name}, {method}", str(len(labels)), f"{value:.4f}", f"{low:.4f}-{high:.4f}",
                f"{labels.mean():.3f}", gate, goal,
            ]  # fmt: skip


def hs3d_rows() -> Iterator[list[str]]:
    """Scores on HS3D."""
    return rows("HS3D donor", "HS3D acceptor")


def species_rows() -> Iterator[list[str]]:
    """Scores of worm to Arabidopsis."""
    return rows("worm to Arabidopsis acceptor")


def human_rows() -> Iterator[list[str]]:
    """Scores on the human windows of 602 bp."""
    return rows("human 602 donor", "human 602 acceptor")


def calibration_rows() -> Iterator[list[str]]:
    """Sites among the windows that were given a probability, on the tests of HS3D."""
    from neurornn._core.confidence import binomial_interval

    for name in ("HS3D donor", "HS3D acceptor"):
        scores, labels = scored(name, "SpliceSites")
        chance = 1 / (1 + np.exp(-scores))
        for low in np.arange(0.0, 1.0, 0.2):
            inside = (chance >= low) & ((chance < low + 0.2) | (low > 0.75))
            n, hits = int(inside.sum()), int(labels[inside].sum())
            if n < 20:
                continue
            a, b = binomial_interval(hits, n)
            mean = float(chance[inside].mean())
            yield [
                f"{name}, {low:.1f} to {low + 0.2:.1f}", str(n), f"{mean:.3f}", f"{hits / n:.3f}",
                f"{a:.3f}-{b:.3f}", f"{hits / n - mean:+.3f}",
            ]  # fmt: skip
