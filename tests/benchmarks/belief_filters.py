"""Networks that learned to predict, against the exact filter: Kalman's, and the forward algorithm.

Settings fixed before: three linear-Gaussian systems (a slow random walk, a damped oscillator, a
system of three states of which one is seen), and a hidden Markov model of three states and four
symbols; 400 training sequences of 200 steps, 100 for validation, 400 for testing; a GRU of 32
units trained by `nr.fit` to predict the next observation, its decay of weights chosen on the
validation sequences of the hidden Markov model; every step counts. Memoryless is the
best map of the present observation: a regression, or a table of pairs of symbols, from the
training sequences. The gap is that of the network to the exact filter, in parts of that between
the exact filter and memoryless.
"""

import time
import warnings

import numpy as np
import torch
from scipy.special import log_softmax
from scipy.stats import norm

import neurornn as nr
from neurornn._kernels.filtering import kalman_covariance, kalman_mean

SIZES, N_STEPS = (400, 100, 400), 200
COLUMNS = ["exact filter (nat)", "network", "memoryless", "gap", "s of CPU"]
_TURN = 0.95 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
#: Transition, process noise, what is seen, noise of the observation.
SYSTEMS = {
    "slow random walk": ([[0.98]], [[0.04]], [[1.0]], 0.5),
    "damped oscillator": (_TURN, 0.1 * np.eye(2), [[1.0, 0.0]], 0.5),
    "one of three states seen": (
        [[0.9, 0.2, 0.0], [-0.2, 0.9, 0.1], [0.0, 0.0, 0.97]], 0.05 * np.eye(3),
        [[1.0, 0.0, 0.5]], 0.5,
    ),
}  # fmt: skip


def simulated(system, n, rng):
    """Observations (sequence, time), from a state of 0."""
    a, w, h, r = (np.asarray(v, float) for v in system)
    state, seen = np.zeros((n, len(a))), np.zeros((n, N_STEPS + 1))
    root = np.linalg.cholesky(w)
    for t in range(N_STEPS + 1):
        state = state @ a.T + rng.standard_normal(state.shape) @ root.T
        seen[:, t] = state @ h[0] + np.sqrt(r) * rng.standard_normal(n)
    return seen


def kalman_score(system, seen):
    """Mean log density of each next observation under the exact filter, nat."""
    a, w, h, r = (np.asarray(v, float) for v in system)
    n = len(a)
    information, total = h.T @ h / r, 0.0
    for row in seen:
        p, m = np.zeros((n, n)), np.zeros(n)
        for t in range(N_STEPS):
            kalman_covariance(a, w, information, p, np.empty((3, n, n)))
            kalman_mean(a, np.zeros(n), p, information, h[0] * row[t] / r, m, np.empty((2, n)))
            sd = np.sqrt((h @ (a @ p @ a.T + w) @ h.T)[0, 0] + r)
            total += norm.logpdf(row[t + 1], (h @ a @ m)[0], sd)
    return total / (len(seen) * N_STEPS)


def _learned(parts, objective):
    """A GRU that predicts the next observation, and its outputs on the test sequences."""
    width = parts[0].shape[2]
    model = nr.models.GRU(width, 32, width, dt=0.1, rng=0)
    (x, y), watch, (test, _) = ((p[:, :-1], p[:, 1:]) for p in parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = nr.fit(
            model, (x, y), validation=watch, objective=objective, optimizer="adam",
            max_epochs=60, patience=60, weight_decay=0.03, rng=0, refine=False, intervals=False,
        ).model.double()  # fmt: skip
    with torch.no_grad():
        return found(x).output.numpy(), found(test).output.numpy()


def _row(name, exact, network, memoryless, begin):
    gap = (exact - network) / (exact - memoryless)
    values = [f"{v:.4f}" for v in (exact, network, memoryless)]
    return [name, *values, f"{100 * gap:.1f} %", f"{time.process_time() - begin:.0f}"]


def gaussian_rows():
    """Linear-Gaussian systems against the Kalman filter."""
    for k, (name, system) in enumerate(SYSTEMS.items()):
        rng, begin = np.random.default_rng([3, k]), time.process_time()
        parts = [simulated(system, n, rng) for n in SIZES]
        train, test = parts[0], parts[2]
        on_train, on_test = _learned([p[..., None] for p in parts], "gaussian")
        sd = np.sqrt(np.mean((on_train[..., 0] - train[:, 1:]) ** 2))
        network = norm.logpdf(test[:, 1:], on_test[..., 0], sd).mean()
        x, y = train[:, :-1].ravel(), train[:, 1:].ravel()
        slope, level = np.polyfit(x, y, 1)
        spread = np.sqrt(np.mean((y - slope * x - level) ** 2))
        memoryless = norm.logpdf(test[:, 1:], slope * test[:, :-1] + level, spread).mean()
        yield _row(name, kalman_score(system, test), network, memoryless, begin)


def markov_row():
    """A hidden Markov model against the forward algorithm: a decision process with one action."""
    begin = time.process_time()
    move = np.array([[0.94, 0.04, 0.02], [0.03, 0.94, 0.03], [0.02, 0.05, 0.93]])
    emit = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1], [0.1, 0.1, 0.2, 0.6]])
    task = nr.simulate.BeliefTask(
        [move], [emit], np.zeros((1, 3)), np.full(3, 1 / 3), first_emission=emit,
        n_steps=N_STEPS,
    )  # fmt: skip
    parts, exact = [], 0.0
    for k, n in enumerate(SIZES):
        run, rows, likely = task.many(n), [], []
        rows.append(run.reset(100 + k))
        for _ in range(N_STEPS):
            ahead = run.belief @ move @ emit
            rows.append(run.step(np.zeros(n, int)).observation)
            likely.append(np.log((ahead * rows[-1]).sum(axis=1)))
        parts.append(np.stack(rows, axis=1))
        exact = float(np.mean(likely))
    _, on_test = _learned(parts, "categorical")
    network = (log_softmax(on_test, axis=-1) * parts[2][:, 1:]).sum(-1).mean()
    pairs = np.einsum("nta,ntb->ab", parts[0][:, :-1], parts[0][:, 1:])
    table = np.log(pairs / pairs.sum(axis=1, keepdims=True))
    memoryless = np.einsum("nta,ab,ntb->nt", parts[2][:, :-1], table, parts[2][:, 1:]).mean()
    yield _row("hidden Markov model", exact, network, memoryless, begin)


def rows():
    """All systems."""
    yield from markov_row()
    yield from gaussian_rows()
