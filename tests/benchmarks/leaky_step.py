"""A training step of LeakyRNN beside torch's own RNN and the loop over time that peers write.

One forward pass from inputs to hidden states and one backward pass to all weights, one thread, the
all interleaved in one process; medians of ratios. The floor is what the matrix products of a
step cost alone: two chained ones per time step and one for the gradient of the weights.

Against neuralrnn both sides are called as their users call them, whole models with a read-out of
one output. Of neuralrnn only the part that holds CTRNNModel is imported: its top level asks for
packages for reinforcement learning that take no part here.
"""

import importlib
import importlib.util
import sys
import time as clock
import types
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

import neurornn as nr

#: Trials, steps, hidden units.
SHAPES = ((32, 200, 64), (64, 500, 128), (16, 1000, 256), (1, 5000, 128))
GATES = ((0.5, 4.5), (0.75, 1.8), (0.7, 2.2), (0.2, 15.0))
#: Shape and gate of the comparison with neuralrnn.
PEER_SHAPE, PEER_GATE = (64, 500, 128), 1.3
N_INPUT = 10
REPEATS = 15
SEED = 0
COLUMNS = [
    "LeakyRNN ms", "nn.RNN ms", "loop ms", "ours / nn.RNN", "gate", "loop / ours", "gate",
    "ours / floor", "gate", "neuralrnn / ours", "gate",
]  # fmt: skip


def ours(n_hidden: int) -> nn.Module:
    """LeakyRNN with a learned time constant per unit."""
    return nr.models.LeakyRNN(N_INPUT, n_hidden, 1, dt=0.01, tau=0.1, rng=SEED)


def step_of(run: Callable[[torch.Tensor], torch.Tensor], inputs, weights) -> float:
    """Seconds of one pass forward and back; gradients of the weights alone."""
    begin = clock.perf_counter()
    states = run(inputs)
    torch.autograd.grad(states.square().mean(), weights)
    return clock.perf_counter() - begin


def naive(model) -> Callable[[torch.Tensor], torch.Tensor]:
    """The loop of peers: append every state, stack at the end."""

    def run(inputs):
        alpha, weights = model.alpha(), model.weights()
        state, states = torch.zeros(len(inputs), model.n_hidden), []
        for t in range(inputs.shape[1]):
            drive = inputs[:, t] @ model.input_weight.T + model.bias + state @ weights.T
            state = state * (1 - alpha) + torch.tanh(drive) * alpha
            states.append(state)
        return torch.stack(states, 1)

    return run


def peer(n_hidden: int) -> nn.Module | None:
    """CTRNNModel of neuralrnn with the same equation, or None where it is not installed."""
    found = importlib.util.find_spec("neuralrnn")
    if found is None:
        return None
    if "neuralrnn" not in sys.modules:
        bare = types.ModuleType("neuralrnn")
        bare.__path__ = list(found.submodule_search_locations)
        sys.modules["neuralrnn"] = bare
    ctrnn = importlib.import_module("neuralrnn.models.ctrnn")
    settings = ctrnn.CTRNNConfig(
        input_dim=N_INPUT, latent_dim=n_hidden, output_dim=1, alpha=0.1, activation="tanh"
    )
    return ctrnn.CTRNNModel(settings)


def floor(n_trials: int, n_steps: int, n_hidden: int) -> float:
    """Seconds of the matrix products alone, the quicker of NumPy's and torch's."""
    a = np.ones((n_trials, n_hidden), np.float32)
    w = np.ones((n_hidden, n_hidden), np.float32)
    out = np.empty_like(a)
    long = np.ones((n_trials * n_steps, n_hidden), np.float32)
    begin = clock.perf_counter()
    for _ in range(2 * n_steps):
        np.dot(a, w, out=out)
    chained = clock.perf_counter() - begin
    begin = clock.perf_counter()
    np.dot(long.T, long)
    return chained + clock.perf_counter() - begin


def rows() -> Iterator[list[str]]:
    """One row per shape."""
    for (n_trials, n_steps, n_hidden), (of_torch, of_loop) in zip(SHAPES, GATES, strict=True):
        rng = torch.Generator().manual_seed(SEED)
        inputs = torch.randn(n_trials, n_steps, N_INPUT, generator=rng)
        model, theirs = ours(n_hidden), nn.RNN(N_INPUT, n_hidden, batch_first=True)
        own = [model.unbounded_tau, model.recurrent_weight, model.input_weight, model.bias]
        runs = {
            "ours": (lambda x, m=model: m.scan(x, m.start(len(x)))[0], own),
            "torch": (lambda x, m=theirs: m(x)[0], list(theirs.parameters())),
            "loop": (naive(model), own),
        }
        compared = (n_trials, n_steps, n_hidden) == PEER_SHAPE
        rival = peer(n_hidden) if compared else None
        if rival is not None:
            theirs_all = [rival.h2h.weight, *rival.input2h.parameters()]
            runs["whole"] = (lambda x, m=model: m(x).states, own)
            runs["rival"] = (lambda x, m=rival: m(x).states, theirs_all)
        times: dict[str, list[float]] = {name: [] for name in (*runs, "floor")}
        for repeat in range(REPEATS + 1):
            for name, (run, weights) in runs.items():
                times[name].append(step_of(run, inputs, weights))
            times["floor"].append(floor(n_trials, n_steps, n_hidden))
            if repeat == 0:
                # The first round warms caches up.
                times = {name: [] for name in times}
        t = {name: np.array(v) for name, v in times.items()}
        against = "not installed" if compared else ""
        yield [
            f"{n_trials} trials, {n_steps} steps, {n_hidden} units",
            *(f"{1000 * np.median(t[name]):.1f}" for name in ("ours", "torch", "loop")),
            f"{np.median(t['ours'] / t['torch']):.2f}",
            f"<= {of_torch:g}",
            f"{np.median(t['loop'] / t['ours']):.1f}",
            f">= {of_loop:g}",
            f"{np.median(t['ours'] / t['floor']):.1f}",
            "<= 3",
            against if rival is None else f"{np.median(t['rival'] / t['whole']):.1f}",
            f">= {PEER_GATE:g}" if compared else "",
        ]
