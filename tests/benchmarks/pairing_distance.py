"""Donors and acceptors far apart: who still pairs them, and how far gradients reach.

Sequences of `simulate_splice_pairs`, four acceptors of which one is of the donor's kind; chance is
.25. Distances from 12 to 20,000 bp, two seeds from rng 0, 512 new sequences for each accuracy
(256 from 5000 bp on). Every network reads the same number of letters in training at each
distance, 4 million or 8192 sequences, whichever is less, after it has learned at 6 bp, and goes
on from the distance before; one that does not pair at two distances running is tested further and
no longer trained. The interval is Student's over two seeds, and therefore wide; the sd
stands beside. The horizon is that of the gradient, followed over the distance that was last
paired; `reach` is the distance at which the accuracy falls half-way to chance. Peers are the CNN
with a window of 256 bp, the plain network, and a Transformer, which is trained up to 300 bp;
beyond, the processor time of one sequence forward and back is measured, up to a window of 4200 bp.

Bacterial motifs: promoters of Umarov and Solovyev, 81 bp, against the decoys of the set (E. coli
839 and 3000, B. subtilis 373 and 1000), five folds of groups that share 30 letters (seed 0), area
under precision and recall; a CNN of width 11 with a maximum over places against a GRU of 32 units
read at the end, 10 passes each at .005. There what is looked for is short and may lie anywhere.
"""

import os
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from torch import nn

import neurornn as nr
from neurornn._core.confidence import bootstrap_interval
from neurornn._core.errors import FileMissingError
from neurornn.data.kmers import cluster_by_kmers
from neurornn.data.sequence_sets import SequenceSet

DISTANCES = (12, 30, 100, 300, 1000, 3000, 10_000, 20_000)
N_SEEDS, SEED = 2, 0
COLUMNS = ["bp", "accuracy", "sd over seeds", "interval", "s per sequence", "gate", "goal"]
HORIZON_COLUMNS = ["reach, bp", "horizon, bp", "ratio", "gate"]
MOTIF_COLUMNS = ["windows", "auPRC", "interval", "constant"]
N_FOLDS, N_PASSES, RATE, BATCH, SHARED = 5, 10, 5e-3, 64, 30


@lru_cache
def table() -> xr.Dataset:
    """All cells; networks that are finished are kept where NEURORNN_BENCHMARK_DIR says."""
    folder = os.environ.get("NEURORNN_BENCHMARK_DIR")
    return nr.sequences.memory_against_distance(
        distances=DISTANCES, n_seeds=N_SEEDS, rng=SEED, progress=True,
        checkpoint=None if folder is None else os.path.join(folder, "pairing_distance"),
    )  # fmt: skip


def rows() -> Iterator[list[str]]:
    """Accuracy of every cell at every distance."""
    found = table()
    for cell in found["cell"].values.tolist():
        for distance in DISTANCES:
            one = found.sel(cell=cell, distance=distance)
            low, high = one["accuracy_ci"].values
            gated = cell in ("lstm", "gru") and distance >= 10_000
            yield [
                cell, str(distance), f"{float(one['accuracy']):.3f}",
                f"{float(one['accuracy_sd']):.3f}", f"{low:.3f}-{high:.3f}",
                f"{float(one['seconds_per_step']):.4f}",
                ".95" if gated and distance == 10_000 else "-",
                ".95" if gated and distance == 20_000 else "-",
            ]  # fmt: skip


def horizon_rows() -> Iterator[list[str]]:
    """The distance at which pairing fails beside the horizon of the gradient."""
    found = table()
    for cell in found["cell"].values.tolist():
        reach, horizon = (float(found[n].sel(cell=cell)) for n in ("reach", "horizon"))
        both = np.isfinite([reach, horizon]).all()
        ratio = f"{horizon / reach:.2f}" if both else "-"
        yield [cell, f"{reach:.0f}", f"{horizon:.0f}", ratio, ".5 to 2"]


def promoters(species: str) -> tuple[SequenceSet, NDArray[np.int64]]:
    """Promoters and decoys of 81 bp."""
    root = os.environ.get("NEURORNN_DATA_DIR", "")
    folder = Path(root) / "sequences" / "promoters_umarov"
    if not root or not folder.is_dir():
        raise FileMissingError(
            "promoters_umarov is not here", "A folder of promoters was needed",
            "Set NEURORNN_DATA_DIR to the folder that holds sequences/promoters_umarov",
        )  # fmt: skip
    found: list[list[str]] = []
    for kind in ("prom", "non_prom"):
        found.append(list(nr.io.read_fasta(folder / f"{species}_{kind}.fa.gz")))
    both = found[0] + found[1]
    names = [f"w{k}" for k in range(len(both))]
    return SequenceSet.from_sequences(names, both), np.repeat([1, 0], list(map(len, found)))


def motif_cnn(x: Any, labels: Any, test: Any) -> NDArray[np.float64]:
    """Log odds by convolutions and a maximum over places."""
    torch.manual_seed(SEED)
    x, test = (torch.from_numpy(v).transpose(1, 2).contiguous() for v in (x, test))
    y = torch.from_numpy(labels.astype(np.float32))
    net = nn.Sequential(
        nn.Conv1d(4, 32, 11, padding=5), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(),
        nn.Linear(32, 1),
    )  # fmt: skip
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(N_PASSES):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(net(x[rows])[:, 0], y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        return np.asarray(net(test)[:, 0].double().numpy())


def motif_gru(x: Any, labels: Any, test: Any) -> NDArray[np.float64]:
    """Log odds by a GRU of 32 units, read at the end."""
    targets = np.full((*x.shape[:2], 1), np.nan, np.float32)
    targets[:, -1, 0] = labels
    model = nr.models.GRU(4, 32, 1, dt=1.0, time_unit="bp", tau=np.geomspace(2, 160, 32), rng=SEED)
    with warnings.catch_warnings():
        # Ten passes; there is no more to converge to.
        warnings.simplefilter("ignore")
        fitted = nr.fit(
            model, (x, targets), objective="bernoulli", optimizer="adam", max_epochs=N_PASSES,
            learning_rate=RATE, batch_size=BATCH, refine=False, intervals=False, rng=SEED,
        )  # fmt: skip
    with torch.no_grad():
        return np.asarray(fitted.model(test).output[:, -1, 0].double().numpy())


def motif_rows() -> Iterator[list[str]]:
    """Short motifs that may lie anywhere: convolutions against a recurrent state."""
    for species, name in (("Ecoli", "E. coli"), ("Bacillus", "B. subtilis")):
        windows, labels = promoters(species)
        group = cluster_by_kmers(windows, SHARED)
        fold = np.random.default_rng(SEED).integers(N_FOLDS, size=group.max() + 1)[group]
        x = np.asarray(windows.one_hot(layout="base_last").values, np.float32)
        for method, learn in (("CNN", motif_cnn), ("GRU", motif_gru)):
            odds = np.empty(len(labels))
            for k in range(N_FOLDS):
                train, test = fold != k, fold == k
                odds[test] = learn(x[train], labels[train], x[test])
            table = np.stack([odds, labels], axis=1)
            low, high = bootstrap_interval(
                table, lambda r: average_precision_score(r[:, 1], r[:, 0]), n_resamples=300, rng=0
            )
            value = average_precision_score(labels, odds)
            yield [
                f"{name}, {method}", str(len(labels)), f"{value:.3f}", f"{low:.3f}-{high:.3f}",
                f"{labels.mean():.3f}",
            ]  # fmt: skip
