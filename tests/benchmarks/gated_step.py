"""A training step of GRU beside torch's own layer.

One forward pass from inputs to hidden states and one backward pass to all weights, one thread, the
two interleaved in one process; medians of ratios. The floor is what the multiplications of a step
cost alone, at the rate of the quicker of NumPy's and torch's products of the same sizes: one for
all steps from inputs to gates, two chained ones per step and two for the gradients of the weights.
"""

import time as clock
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

import neurornn as nr
from tests.benchmarks.leaky_step import step_of

#: Trials, steps, inputs, hidden units.
SHAPES = (
    (32, 40, 95, 64),
    (32, 100, 95, 64),
    (64, 100, 95, 64),
    (64, 40, 95, 128),
    (32, 100, 200, 128),
    (64, 100, 200, 128),
    (1, 1000, 95, 64),
)
#: Time of ours over that of torch: a floor of its own where products are most of the work.
GATES = (0.5, 0.5, 0.5, 0.65, 0.65, 0.65, 0.15)
REPEATS = 25
SEED = 0
COLUMNS = ["GRU ms", "nn.GRU ms", "ours / nn.GRU", "gate", "floor / nn.GRU", "ours / floor"]


def floor(n_trials: int, n_steps: int, n_input: int, n_hidden: int) -> float:
    """Seconds of the matrix products alone."""
    n_rows, n_gates = n_trials * n_steps, 3 * n_hidden
    x, deltas = np.ones((n_rows, n_input), np.float32), np.ones((n_rows, n_gates), np.float32)
    states = np.ones((n_rows, n_hidden), np.float32)
    input_weight = np.ones((n_input, n_gates), np.float32)
    ahead, back = (
        np.ones((n_hidden, n_gates), np.float32),
        np.ones((n_gates, n_hidden), np.float32),
    )
    begin = clock.perf_counter()
    np.dot(x, input_weight)
    for t in range(n_steps):
        np.dot(states[t * n_trials : (t + 1) * n_trials], ahead)
        np.dot(deltas[t * n_trials : (t + 1) * n_trials], back)
    np.dot(deltas.T, x)
    np.dot(deltas.T, states)
    return clock.perf_counter() - begin


def rows() -> Iterator[list[str]]:
    """One row per shape."""
    for shape, gate in zip(SHAPES, GATES, strict=True):
        n_trials, n_steps, n_input, n_hidden = shape
        rng = torch.Generator().manual_seed(SEED)
        inputs = torch.randn(n_trials, n_steps, n_input, generator=rng)
        model = nr.models.GRU(n_input, n_hidden, 1, dt=0.01, rng=SEED)
        theirs = nn.GRU(n_input, n_hidden, batch_first=True)
        theirs.load_state_dict(model.layers[0].state_dict())
        runs = {
            "ours": (lambda x, m=model: m.scan(x, m.start(len(x)))[0], model.layers),
            "torch": (lambda x, m=theirs: m(x)[0], theirs),
        }
        times: dict[str, list[float]] = {name: [] for name in (*runs, "floor")}
        for repeat in range(REPEATS + 1):
            for name, (run, layers) in runs.items():
                times[name].append(step_of(run, inputs, list(layers.parameters())))
            times["floor"].append(floor(*shape))
            if repeat == 0:
                # The first round warms caches up.
                times = {name: [] for name in times}
        t = {name: np.array(v) for name, v in times.items()}
        yield [
            f"{n_trials} trials, {n_steps} steps, {n_input} inputs, {n_hidden} units",
            *(f"{1000 * np.median(t[name]):.1f}" for name in ("ours", "torch")),
            f"{np.median(t['ours'] / t['torch']):.2f}",
            f"<= {gate:g}",
            f"{np.median(t['floor'] / t['torch']):.2f}",
            f"{np.median(t['ours'] / t['floor']):.2f}",
        ]
