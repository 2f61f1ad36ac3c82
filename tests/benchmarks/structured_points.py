"""Fixed points where the network has a structure: low rank, linear in pieces, a stored pattern.

Fixed before the methods were written. *Low rank*: ``W = M N' / n`` with two columns, M standard
normal, N = M diag(3, 2.2) + standard normal, tanh, tau .1 s, dt .01 s, no input; seeds 0 to 4.
What is to be found comes from scipy's ``root`` on the two latent equations, written out here, from
a grid of 41 x 41 states. The search in all units is the Adam search of `fixed_points` from 256
states near those of the task it never had: normal ones of sd 1, at its best of three rates; and
ours with the same weights given as a matrix, 64 starts. Memory is the growth of the peak of a
process of its own above what it held with the model built.

*Threshold-linear*: the combinatorial network of a random directed graph of 14 units (edges with
probability .5, epsilon .25, delta .5, theta 1; Morrison et al. 2016, arXiv:1605.04463), and
200 random ReLU networks of 6 to 12 units, normal weights of sd 1.2 / sqrt(n), normal drive. What
is to be found comes from solving each of the 2**n pieces in a plain loop. A generic search is
ours with ``method="search"``.

*Hopfield*: 100 units, 5 random patterns, ``tanh(3 W h)``, ``W = P P' / 100`` with zero diagonal,
seeds 0 to 9: all of the 10 states (each pattern and its mirror image) with an overlap above .9.
"""

import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import optimize

import neurornn as nr
from tests.benchmarks.fixed_points import RATES, _adam, _known, _search

LOW_RANK_COLUMNS = [
    "points found of those known", "false", "certified", "CPU s (median)",
    "Adam in all units, CPU s", "ratio", "ours in all units, CPU s", "ratio ",
    "memory above base, MB",
]  # fmt: skip
PIECES_COLUMNS = [
    "points", "found", "proved", "CPU s", "generic searches called consistent",
    "of these missing some",
]  # fmt: skip
HOPFIELD_COLUMNS = ["stored states found", "points", "completeness", "CPU s"]


def low_rank(n: int, seed: int, full: bool = False) -> Any:
    """A network of rank 2 with five fixed points, or the same with its weights as a matrix."""
    rng = np.random.default_rng(seed)
    out = rng.standard_normal((n, 2))
    into = out * [3.0, 2.2] + rng.standard_normal((n, 2))
    model = nr.models.LeakyRNN(1, n, 1, dt=0.01, tau=0.1, rank=None if full else 2)
    with torch.no_grad():
        model.bias.zero_()
        if full:
            model.recurrent_weight.copy_(torch.tensor(out @ into.T / n))
        else:
            model.rank_out.copy_(torch.tensor(out))
            model.rank_in.copy_(torch.tensor(into))
    return model.requires_grad_(False)


def latent_points(model: Any) -> np.ndarray:
    """States of the fixed points of a network of rank 2, by scipy, (point, hidden)."""
    out = model.rank_out.double().numpy()
    into = model.rank_in.double().numpy() / len(out)
    bias = model.bias.double().numpy()
    far = np.abs(into).sum(axis=0)
    found: list[np.ndarray] = []
    for a in np.linspace(-far[0], far[0], 41):
        for b in np.linspace(-far[1], far[1], 41):
            answer = optimize.root(
                lambda k: into.T @ np.tanh(out @ k + bias) - k, [a, b], tol=1e-13
            )
            if answer.success and all(np.linalg.norm(answer.x - k) > 1e-5 for k in found):
                found.append(answer.x)
    return np.tanh(np.array(found) @ out.T + bias)


_MEMORY = """
import sys, threading, time, warnings
warnings.simplefilter("ignore")
from tests.benchmarks.structured_points import low_rank
import neurornn as nr
import psutil
# What is loaded and compiled by the first call is not what the network takes.
nr.dynamics.find_fixed_points(low_rank(50, 0), rng=0)
model = low_rank(int(sys.argv[1]), 0)
me, most, on = psutil.Process(), 0, True
base = me.memory_info().rss
def watch():
    global most
    while on:
        most = max(most, me.memory_info().rss)
        time.sleep(0.002)
thread = threading.Thread(target=watch)
thread.start()
nr.dynamics.find_fixed_points(model, rng=0)
on = False
thread.join()
print((most - base) / 1e6)
"""


def low_rank_rows() -> Iterator[list[str]]:
    """One row a size."""
    for n, n_seeds in ((1000, 5), (10_000, 3)):
        there, known, false, shown, count, taken, adam, dense = 0, 0, 0, 0, 0, [], [], []
        for seed in range(n_seeds):
            model = low_rank(n, seed)
            wanted = latent_points(model)
            points, seconds = _search(model, rng=seed)
            states = points.states.values
            known += len(wanted)
            there += _known(states, wanted, 1e-6)
            false += len(states) - _known(wanted, states, 1e-6)
            shown += int(points.parameters["certified"].sum())
            count += len(states)
            taken.append(seconds)
            if n > 1000:
                continue
            starts = torch.randn(256, n, generator=torch.Generator().manual_seed(seed))
            peers = []
            for rate in RATES:
                begin = time.process_time()
                found = _adam(model, starts, rate, n_inputs=1)
                peers.append((-_known(found, wanted, 1e-2), time.process_time() - begin))
            adam.append(min(peers)[1] / seconds)
            if seed == 0:
                same = low_rank(n, seed, full=True)
                slow = _search(same, rng=seed, n_starts=64, max_starts=64)[1]
                dense = [slow, slow / seconds]
        asked = [sys.executable, "-c", _MEMORY, str(n)]
        said = subprocess.run(asked, check=True, capture_output=True, text=True)
        yield [
            str(n), f"{there} of {known}", str(false), f"{shown} of {count}",
            f"{np.median(taken):.3f}",
            f"{np.median(adam) * np.median(taken):.1f}" if adam else "-",
            f"{np.median(adam):.0f}" if adam else "-",
            f"{dense[0]:.1f}" if dense else "-", f"{dense[1]:.0f}" if dense else "-",
            f"{float(said.stdout.split()[-1]):.0f}",
        ]  # fmt: skip


def threshold_linear(weights: np.ndarray, drive: np.ndarray) -> Any:
    """A ReLU network of given weights."""
    n = len(drive)
    model = nr.models.LeakyRNN(1, n, 1, dt=0.01, tau=0.05, nonlinearity="relu")
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(weights))
        model.bias.copy_(torch.tensor(drive))
    return model.requires_grad_(False)


def combinatorial(n: int, seed: int) -> Any:
    """The combinatorial threshold-linear network of a random directed graph."""
    edges = np.random.default_rng(seed).random((n, n)) < 0.5
    weights = np.where(edges, -1 + 0.25, -1 - 0.5)
    np.fill_diagonal(weights, 0.0)
    return threshold_linear(weights, np.ones(n))


def random_relu(seed: int) -> Any:
    """A random ReLU network."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 13))
    return threshold_linear(1.2 * rng.standard_normal((n, n)) / np.sqrt(n), rng.standard_normal(n))


def every_piece(model: Any) -> np.ndarray:
    """Fixed points of a ReLU network, piece by piece."""
    weights = model.recurrent_weight.double().numpy()
    drive = model.bias.double().numpy()
    n, found = len(drive), []
    for piece in range(2**n):
        on = np.array([piece >> k & 1 for k in range(n)], dtype=bool)
        h = np.zeros(n)
        if on.any():
            h[on] = np.linalg.solve(np.eye(on.sum()) - weights[np.ix_(on, on)], drive[on])
        if (h[on] > 0).all() and (weights[~on] @ h + drive[~on] <= 0).all():
            found.append(h)
    return np.array(found).reshape(-1, n)


def pieces_rows() -> Iterator[list[str]]:
    """A row for the combinatorial networks, and one for the random ones."""
    for name, models in (
        ("14 units, combinatorial, 3 graphs", [combinatorial(14, s) for s in range(3)]),
        ("6 to 12 units, random, 200", [random_relu(s) for s in range(200)]),
    ):
        known, there, proved, taken, sure, missing = 0, 0, 0, [], 0, 0
        for seed, model in enumerate(models):
            wanted = every_piece(model)
            points, seconds = _search(model, rng=seed)
            states = points.states.values
            known += len(wanted)
            whole = len(states) == len(wanted)
            there += _known(states, wanted, 1e-9) if whole else 0
            proved += points.completeness == "proved"
            taken.append(seconds)
            generic, _ = _search(model, rng=seed, method="search", max_seconds=20.0)
            if generic.completeness == "consistent":
                sure += 1
                missing += _known(generic.states.values, wanted, 1e-6) < len(wanted)
        yield [
            name, str(known), f"{there} of {known}", f"{proved} of {len(models)}",
            f"{np.median(taken):.3f}", f"{sure} of {len(models)}",
            f"{missing} ({100 * missing / max(sure, 1):.1f} %)",
        ]  # fmt: skip


def hopfield(seed: int) -> tuple[Any, np.ndarray]:
    """A network that stores patterns, and these, (pattern, unit)."""
    rng = np.random.default_rng(seed)
    patterns = rng.choice([-1.0, 1.0], (5, 100))
    weights = patterns.T @ patterns / 100
    np.fill_diagonal(weights, 0.0)
    model = nr.models.VanillaRNN(1, 100, 1, dt=0.01)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(3.0 * weights))
        model.bias.zero_()
    return model.requires_grad_(False), patterns


def hopfield_rows() -> Iterator[list[str]]:
    """One row a network."""
    for seed in range(10):
        model, patterns = hopfield(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            points, seconds = _search(model, rng=seed)
        states = points.states.values[points.is_stable.values]
        wanted = np.concatenate([patterns, -patterns])
        overlap = wanted @ np.sign(states).T / 100
        yield [
            f"seed {seed}", f"{int((overlap > 0.9).any(axis=1).sum())} of 10",
            str(len(points.states)), points.completeness, f"{seconds:.1f}",
        ]  # fmt: skip
