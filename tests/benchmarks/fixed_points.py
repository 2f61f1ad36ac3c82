"""Fixed points of networks trained on the 3-bit flip-flop: recall, and time against Adam.

Fixed before the method was tuned: 16 units, seeds 0 to 9, 150 epochs of Adam at .01 on 256 trials
of 64 steps with p = .2, the search at its defaults. What is to be found is the union of a search
from 16,384 other starts and of the points of the run itself; a point is false where the model of
torch, in double precision, moves it by more than 1e-9.

The peer is what finders of the field do (mattgolub/fixed-point-finder, and ports of it): Adam on
the mean of q over 1024 starts, states of the task with normal noise of sd .5, at most 5000 steps,
the rate lowered by 5 % whenever the loss has not fallen for two, until every q is below 1e-12;
points with q < 1e-12 that differ by more than 1e-3. Of the learning rates 1, .1 and .01 the
quickest of those with the best recall is taken. Beside it the finder of NeuralRNN 0.4.0 (a port
of the same to PyTorch, installed without what it asks for but does not need here) at its own
settings from the same 1024 starts: 10,000 steps of Adam at .001, speed below .1, points .01
apart. All run in one process on one thread; times are CPU times.

*Dense*: 64 tanh units, ``W = 2 (A + A') / sqrt(128)`` with A standard normal, seeds 0 to 2; ours
with max_seconds=20, then Adam in batches of 1024 starts for as much CPU time, at the rate that
finds most in one batch.
"""

import time
import types
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import neurornn as nr

N_UNITS, N_SEEDS, N_EPOCHS, N_STARTS = 16, 10, 150, 1024
RATES = (1.0, 0.1, 0.01)
TASK = {"n_bits": 3, "n_trials": 256, "duration": 0.64, "dt": 0.01, "p": 0.2, "rng": 0}
CELLS = {
    "tanh": (nr.models.VanillaRNN, {}, 8),
    "GRU": (nr.models.GRU, {}, 12),
    "LSTM": (nr.models.LSTM, {}, 10),
    "leaky": (nr.models.LeakyRNN, {"tau": 0.02}, None),
}
COLUMNS = [
    "runs with all points", "27 points", "false", "index sum +1", "certified",
    "called consistent", "CPU s (median)",
]  # fmt: skip
SPEED_COLUMNS = [
    "ours CPU s", "Adam CPU s", "ratio (median)", "ratio, least to most", "gate",
    "recall ours", "recall Adam", "learning rates of Adam", "NeuralRNN CPU s", "recall NeuralRNN",
    "false of NeuralRNN", "left frozen",
]  # fmt: skip
DENSE_COLUMNS = [
    "points", "index sum", "completeness", "CPU s", "Adam in the same time", "ratio",
]  # fmt: skip


def trained(name: str, seed: int) -> Any:
    """A network that has learned the task."""
    cls, more, _ = CELLS[name]
    model = cls(3, N_UNITS, 3, dt=TASK["dt"], rng=seed, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nr.fit(
            model, nr.simulate.flip_flop(**TASK), optimizer="adam", learning_rate=0.01,
            max_epochs=N_EPOCHS, rng=seed, intervals=False,
        ).model  # fmt: skip


def _search(model: Any, **options: Any) -> tuple[Any, float]:
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points = nr.dynamics.find_fixed_points(model, **options)
    return points, time.process_time() - begin


def _moved(model: Any, states: np.ndarray) -> np.ndarray:
    """How far the model itself moves states in a step, in double precision."""
    import copy

    own = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        h = torch.from_numpy(states)
        after = own.scan(torch.zeros(len(h), 1, 3, dtype=torch.float64), h)[1]
    return np.linalg.norm(after.numpy() - states, axis=1)


def _known(found: np.ndarray, wanted: np.ndarray, near: float) -> int:
    """How many of the wanted points lie near a found one."""
    if not len(found):
        return 0
    away = np.linalg.norm(wanted[:, None] - found, axis=2).min(axis=1)
    return int((away < near).sum())


def rows() -> Iterator[list[str]]:
    """One row a kind of network."""
    for name in CELLS:
        whole, cubes, false, index, shown, sure, taken, n = 0, 0, 0, 0, 0, 0, [], 0
        for seed in range(N_SEEDS):
            model = trained(name, seed)
            points, seconds = _search(model, rng=seed)
            reference, _ = _search(model, rng=1000 + seed, n_starts=16_384, max_starts=32_768)
            states, wanted = points.states.values, reference.states.values
            whole += _known(states, wanted, 1e-6) == len(wanted)
            cubes += len(states) == 27
            false += int((_moved(model, states) > 1e-9).sum())
            index += points.settings["index_sum"] == 1
            shown += int(points.parameters["certified"].sum())
            n += len(states)
            sure += points.completeness == "consistent"
            taken.append(seconds)
        yield [
            name, f"{whole} of {N_SEEDS}", str(cubes), str(false), f"{index} of {N_SEEDS}",
            f"{shown} of {n}", str(sure), f"{np.median(taken):.2f}",
        ]  # fmt: skip


def _adam(
    model: Any, starts: torch.Tensor, rate: float, n_inputs: int = 3, inputs: Any = None
) -> np.ndarray:
    """Points that Adam finds, as finders of the field do it."""
    h = starts.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([h], lr=rate)
    lower = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.95, patience=2)
    held = torch.zeros(n_inputs) if inputs is None else torch.tensor(inputs, dtype=h.dtype)
    inputs = held.expand(len(h), 1, -1)
    for _ in range(5000):
        optimizer.zero_grad()
        q = 0.5 * (model.scan(inputs, h)[1] - h).square().sum(1)
        if float(q.detach().max()) < 1e-12:
            break
        loss = q.mean()
        loss.backward()
        optimizer.step()
        lower.step(float(loss.detach()))
    with torch.no_grad():
        q = 0.5 * (model.scan(inputs, h)[1] - h).square().sum(1)
    left = h.detach()[q < 1e-12].double().numpy()
    kept: list[np.ndarray] = []
    while len(left):
        kept.append(left[0])
        left = left[np.linalg.norm(left - left[0], axis=1) > 1e-3]
    return np.array(kept).reshape(-1, starts.shape[1])


class _AsNeuralRNN(torch.nn.Module):
    """A model of ours with the methods that NeuralRNN's finder calls."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model
        self.config = types.SimpleNamespace(latent_dim=model.start(1).shape[1])

    def recurrence(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.inner.scan(x[:, None], z)[1]

    def jacobian(self, z: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        return torch.autograd.functional.jacobian(
            lambda h: self.recurrence(inputs[:1], h[None])[0], z
        )


def _neuralrnn(model: Any, starts: torch.Tensor, wanted: np.ndarray) -> tuple[float, float, int]:
    """CPU time, recall and false points of NeuralRNN's finder; nan where it is not installed."""
    try:
        from neuralrnn.analysis.fixed_points import NumericFixedPointFinder
    except ImportError:
        return np.nan, np.nan, 0
    wrapped = _AsNeuralRNN(model)
    begin = time.process_time()
    found = NumericFixedPointFinder().find(
        wrapped, task_input=torch.zeros(3), init_states=starts.float()
    )
    seconds = time.process_time() - begin
    states = found.coords().astype(float).reshape(-1, starts.shape[1])
    hits = _known(states, wanted, 1e-2)
    return seconds, hits / len(wanted), len(states) - _known(wanted, states, 1e-2)


def speed_rows() -> Iterator[list[str]]:
    """One row a kind of network: three networks each, ours and the peer in turn."""
    task = nr.simulate.flip_flop(**TASK)
    for name, (_, _, gate) in CELLS.items():
        if gate is None:
            continue
        taken, recall, rates, theirs_too, frozen = [], [], [], [], 0
        for seed in range(3):
            model = trained(name, seed)
            inputs = torch.tensor(task["inputs"].values[:64], dtype=torch.float32)
            with torch.no_grad():
                states = model(inputs).states.reshape(-1, model.start(1).shape[1])
            draw = torch.Generator().manual_seed(seed)
            rows_ = torch.randint(len(states), (N_STARTS,), generator=draw)
            noise = 0.5 * torch.randn(N_STARTS, states.shape[1], generator=draw)
            starts = states[rows_] + noise
            reference, _ = _search(model, rng=1000 + seed, n_starts=16_384, max_starts=32_768)
            wanted = reference.states.values
            points, ours = _search(model, rng=seed)
            frozen += not all(p.requires_grad for p in model.parameters())
            peers = []
            model.requires_grad_(False)
            for rate in RATES:
                begin = time.process_time()
                found = _adam(model, starts, rate)
                seconds = time.process_time() - begin
                peers.append((-_known(found, wanted, 1e-2), seconds, rate))
            missed, seconds, rate = min(peers)
            taken.append((ours, seconds))
            model.requires_grad_(True)
            theirs_too.append(_neuralrnn(model, starts, wanted))
            frozen_by_peer = not any(p.requires_grad for p in model.parameters())
            own = _known(points.states.values, wanted, 1e-6)
            recall.append((own / len(wanted), -missed / len(wanted)))
            rates.append(rate)
        ours_s, adam_s = np.array(taken).T
        ratio = adam_s / ours_s
        mine, theirs = np.mean(recall, axis=0)
        yield [
            name, f"{np.median(ours_s):.3f}", f"{np.median(adam_s):.2f}",
            f"{np.median(ratio):.0f}", f"{ratio.min():.0f} to {ratio.max():.0f}", f">= {gate}",
            f"{mine:.3f}", f"{theirs:.3f}", ", ".join(f"{r:g}" for r in rates),
            f"{np.median([t[0] for t in theirs_too]):.1f}",
            f"{np.mean([t[1] for t in theirs_too]):.3f}", str(sum(t[2] for t in theirs_too)),
            f"ours {'yes' if frozen else 'no'}, NeuralRNN {'yes' if frozen_by_peer else 'no'}",
        ]  # fmt: skip


def dense_rows() -> Iterator[list[str]]:
    """One row a network."""
    for seed in range(3):
        a = np.random.default_rng(seed).standard_normal((64, 64))
        model = nr.models.VanillaRNN(3, 64, 1, dt=0.01)
        with torch.no_grad():
            model.recurrent_weight.copy_(torch.tensor(2 * (a + a.T) / np.sqrt(128)))
            model.bias.zero_()
        model.requires_grad_(False)
        points, seconds = _search(model, rng=seed, max_seconds=20.0)
        begin, draw, known = time.process_time(), torch.Generator().manual_seed(seed), None
        first = 2 * torch.rand(1024, 64, generator=draw) - 1
        _, rate = max((len(_adam(model, first, r)), r) for r in RATES)
        begin = time.process_time()
        known = np.zeros((0, 64))
        while time.process_time() - begin < seconds:
            found = _adam(model, 2 * torch.rand(1024, 64, generator=draw) - 1, rate)
            new = np.array([f for f in found if not _known(known, f[None], 1e-2)]).reshape(-1, 64)
            known = np.concatenate([known, new])
        n = points.parameters.sizes["point"]
        yield [
            f"seed {seed}", str(n), str(points.settings["index_sum"]), points.completeness,
            f"{seconds:.0f}", str(len(known)), f"{n / max(len(known), 1):.1f}",
        ]  # fmt: skip
