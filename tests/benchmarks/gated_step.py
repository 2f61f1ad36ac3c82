"""A training step of GRU and LSTM beside torch's own layers.

One forward pass from inputs to a read-out of one output and one backward pass to all weights, one
thread, the two interleaved in one process; medians of ratios. The floor is what the matrix
products of a step cost alone in NumPy: one for all steps from inputs to gates, two chained ones
per step and two for the gradients of the weights. Where units and trials are few, torch's time is
spent elsewhere, and there is most to gain.
"""

import itertools
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
#: Time of ours over that of torch.
GATES = {"GRU": (0.5, 0.5, 0.5, 0.65, 0.65, 0.65, 0.15), "LSTM": (1,) * len(SHAPES)}
#: Model, torch's layer, gates.
CELLS = {"GRU": (nr.models.GRU, nn.GRU, 3), "LSTM": (nr.models.LSTM, nn.LSTM, 4)}
REPEATS = 25
SEED = 0
COLUMNS = ["ours ms", "torch ms", "ours / torch", "gate", "floor / torch", "ours / floor"]


def floor(n_trials: int, n_steps: int, n_input: int, n_hidden: int, n_gates: int) -> float:
    """Seconds of the matrix products alone."""
    n_rows, n_gates = n_trials * n_steps, n_gates * n_hidden
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
    """One row per cell and shape."""
    for (name, cell), k in itertools.product(CELLS.items(), range(len(SHAPES))):
        shape = SHAPES[k]
        n_trials, n_steps, n_input, n_hidden = shape
        model_of, layer_of, n_gates = cell
        rng = torch.Generator().manual_seed(SEED)
        inputs = torch.randn(n_trials, n_steps, n_input, generator=rng)
        model = model_of(n_input, n_hidden, 1, dt=0.01, rng=SEED)
        layer = layer_of(n_input, n_hidden, batch_first=True)
        layer.load_state_dict(model.layers[0].state_dict())
        theirs = nn.ModuleList([layer, nn.Linear(n_hidden, 1)])
        runs = {
            "ours": (lambda x, m=model: m(x).output, model),
            "torch": (lambda x, m=theirs: m[1](m[0](x)[0]), theirs),
        }
        times: dict[str, list[float]] = {key: [] for key in (*runs, "floor")}
        for repeat in range(REPEATS + 1):
            for key, (run, module) in runs.items():
                times[key].append(step_of(run, inputs, list(module.parameters())))
            times["floor"].append(floor(*shape, n_gates))
            if repeat == 0:
                # The first round warms caches up.
                times = {key: [] for key in times}
        t = {key: np.array(v) for key, v in times.items()}
        yield [
            f"{name}, {n_trials} trials, {n_steps} steps, {n_input} inputs, {n_hidden} units",
            *(f"{1000 * np.median(t[key]):.1f}" for key in ("ours", "torch")),
            f"{np.median(t['ours'] / t['torch']):.2f}",
            f"<= {GATES[name][k]:g}",
            f"{np.median(t['floor'] / t['torch']):.2f}",
            f"{np.median(t['ours'] / t['floor']):.2f}",
        ]
