"""Rings and lines: kind, drift and the error of a memory after a delay, beside the network itself.

Fixed before the method was tuned, but for the kind of network and the 5 s of rest: a `VanillaRNN`
holds the value in states that swing from step to step, and values that are not yet on the line say
nothing of it.

*Ring*: 100 units on a circle, ``h' = h + .1 (tanh(W h) - h)``, dt .01 s, ``W = (3 / 100) cos`` of
the angle between two units; broken by 1 % noise in its weights (each times 1 + .01 z), 10 seeds.
Its stable points are counted again by running 64 states on it for 500,000 steps.

*Line*: a `LeakyRNN` of 32 units, tau .1 s, that learned to hold the area of a pulse for up to 1 s
(`line_integrator` with ``drive="pulse"``, dt .02 s, 1.7 s a trial, 256 trials; Adam at .003, 400
epochs), seeds 0 to 9, by which the slow flow was tuned, and 10 to 19, which nobody had looked at
before they were run. 33 values from -1 to 1 are loaded by a pulse each and left for 5 s, several
time constants of what dies out beside the line, and read out .5, 1, 2, 4 and 8 s later by the
network itself in double precision; the states at the end of the pulses are the starts. The error
is how far the read-out has moved since, its mean over the values beside what `memory_error` says
from the same states, whatever the network is called. `classify_attractor` is given the states at
the end of the pulses; the slow flow is read off trajectories that start beside these. The last
ratios are those of 32 values between the 33, of which it is given no state.
"""

import copy
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import neurornn as nr
from neurornn._core.errors import KindError

RING_COLUMNS = [
    "called", "dimension", "lifetime, s", "drift, turns/s", "stable points", "when run on",
    "error predicted / run, 100 s", "CPU s",
]  # fmt: skip
LINE_COLUMNS = [
    "called", "lifetime, s", "rate along / across", "predicted / measured error, .5 to 8 s",
    "within 10 %", "bound exceeded", "the same of values between", "CPU s",
]  # fmt: skip
DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0)


def ring(noise: float, seed: int) -> Any:
    """A step of the ring network."""
    angle = 2 * np.pi * np.arange(100) / 100
    weights = 3.0 / 100 * np.cos(angle[:, None] - angle)
    weights *= 1 + noise * np.random.default_rng(seed).standard_normal(weights.shape)
    return lambda h: h + 0.1 * (np.tanh(h @ weights.T) - h)


def _clusters(h: np.ndarray, apart: float) -> int:
    kept: list[np.ndarray] = []
    for one in h:
        if all(np.linalg.norm(one - k) > apart for k in kept):
            kept.append(one)
    return len(kept)


def ring_rows() -> Iterator[list[str]]:
    """One row for the exact ring, and one a broken one."""
    for noise, seed in [(0.0, 0), *((0.01, s) for s in range(10))]:
        step = ring(noise, seed)
        begin = time.process_time()
        found = nr.dynamics.classify_attractor(step, n_hidden=100, dt=0.01, rng=seed)
        seconds = time.process_time() - begin
        table = found.parameters.isel(attractor=0)
        again, ratio = "-", "-"
        if noise and found.kind == "ring":
            start = found.manifold["state"].values[0][::3][:64]
            predicted = found.memory_error([100.0], readout=np.eye(100), starts=start)
            h = start
            for _ in range(10_000):
                h = step(h)
            moved = np.linalg.norm(h - start, axis=1).mean()
            ratio = f"{float(predicted['mean_error'][0]) / moved:.3f}"
            for _ in range(490_000):
                h = step(h)
            again = str(_clusters(h, 0.1))
        least = "at least " if bool(table["at_least"]) else ""
        yield [
            f"broken, seed {seed}" if noise else "exact", found.kind, str(found.dimension),
            f"{least}{found.lifetime:.3g}", f"{found.drift:.2g}", str(int(table["n_points"])),
            again, ratio, f"{seconds:.1f}",
        ]  # fmt: skip


def line(seed: int) -> Any:
    """A network that holds a value for a second."""
    task = nr.simulate.line_integrator(256, 1.7, 0.02, drive="pulse", rng=seed)
    model = nr.models.LeakyRNN(1, 32, 1, dt=0.02, tau=0.1, rng=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nr.fit(
            model, task, optimizer="adam", learning_rate=0.003, max_epochs=400, rng=seed,
            intervals=False,
        ).model  # fmt: skip


def loaded(model: Any, n_values: int = 33) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """States after a pulse for each value, and 5 s later; the read-out; steps without input."""
    own = copy.deepcopy(model).double().eval().requires_grad_(False)
    u = torch.zeros(n_values, 10, 1, dtype=torch.float64)
    u[:, :, 0] = torch.linspace(-1, 1, n_values, dtype=torch.float64)[:, None] / 0.2
    _, h = own.scan(u, own.start(n_values).double())
    weights = own.output_weight.numpy()

    def run(states: np.ndarray, n_steps: int) -> np.ndarray:
        rest = torch.zeros(len(states), n_steps, 1, dtype=torch.float64)
        return np.array(own.scan(rest, torch.from_numpy(states))[1].numpy())

    pushed = np.array(h.numpy())
    return pushed, run(pushed, 250), weights, run


def line_rows() -> Iterator[list[str]]:
    """One row a network."""
    for seed in range(20):
        model = line(seed)
        pushed, states, weights, run = loaded(model, 65)
        begin = time.process_time()
        found = nr.dynamics.classify_attractor(model, starts=pushed[::2], rng=seed)
        seconds = time.process_time() - begin
        yield [
            f"seed {seed}" + (" (fresh)" if seed > 9 else ""), found.kind, f"{found.lifetime:.3g}",
            f"{float(found.parameters['rate_ratio'][0]):.3f}",
            *told_and_run(found, states[::2], weights, run),
            told_and_run(found, states[1::2], weights, run)[0], f"{seconds:.1f}",
        ]  # fmt: skip


def told_and_run(found: Any, states: np.ndarray, weights: np.ndarray, run: Any) -> list[str]:
    """Ratios of the errors that were predicted to those of the network; delays; the bound."""
    try:
        told = found.memory_error(DELAYS, readout=weights, starts=states)
    except KindError:
        # A miss: it says that nothing of the kind is there to tell an error by.
        return ["no prediction", f"0 of {len(DELAYS)}", "-"]
    ratios, over = [], 0
    for k, delay in enumerate(DELAYS):
        off = np.linalg.norm((run(states, round(delay / 0.02)) - states) @ weights.T, axis=1)
        ratios.append(float(told["mean_error"][k]) / off.mean())
        over += int((off > float(told["bound"][k])).sum())
    near = sum(abs(r - 1) <= 0.1 for r in ratios)
    return [
        ", ".join(f"{r:.2f}" for r in ratios), f"{near} of {len(DELAYS)}",
        f"{over} of {len(DELAYS) * len(states)}",
    ]  # fmt: skip
