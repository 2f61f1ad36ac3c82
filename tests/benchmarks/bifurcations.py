"""Bifurcation diagrams of networks trained on the 3-bit flip-flop, against searches.

Fixed before the method was tuned: the networks of `fixed_points` (tanh, GRU and LSTM, seeds 0 to
2), input 0 from 0 to .1 at 201 values, the other two at 0. A search for comparison is the Adam
search of `fixed_points` from 1024 starts at the quickest of its rates with the best recall at the
first value, timed at 6 values and taken times 201 / 6. What is to be found at these 6 values is a
search of ours from 16,384 other starts. Folds are solved again by scipy: ``F(h, u) = h`` and
``(J - 1) v = 0`` with ``|v| = 1`` for h, u and v, Jacobians by automatic differentiation.
"""

import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import optimize

import neurornn as nr
from tests.benchmarks.fixed_points import RATES, TASK, _adam, _known, _search, trained

COLUMNS = [
    "points, first to last value", "index sum +1", "points missed at 6 values", "folds",
    "folds, farthest from scipy's", "CPU s", "201 searches by Adam, CPU s", "ratio",
]  # fmt: skip
ENDS = ([0.0, 0.0, 0.0], [0.1, 0.0, 0.0])
N_VALUES, CHECKED = 201, (0, 40, 80, 120, 160, 200)


def _fold_again(model: Any, state: np.ndarray, value: float) -> float:
    """The value of a fold by scipy, from the one that was found."""
    own, n = copy.deepcopy(model).double().eval(), len(state)

    def step(z: torch.Tensor) -> torch.Tensor:
        u = torch.zeros(1, 1, 3, dtype=torch.float64)
        u[0, 0, 0] = z[-1]
        return own.scan(u, z[None, :-1])[1][0] - z[:-1]

    def system(z: np.ndarray) -> np.ndarray:
        x = torch.tensor(np.append(z[:n], z[-1]))
        with torch.no_grad():
            r = step(x).numpy()
        jacobian = torch.autograd.functional.jacobian(step, x)[:, :-1].numpy()
        v = z[n : 2 * n]
        return np.concatenate([r, jacobian @ v, [v @ v - 1]])

    x = torch.tensor(np.append(state, value))
    jacobian = torch.autograd.functional.jacobian(step, x)[:, :-1].numpy()
    v = np.linalg.svd(jacobian)[2][-1]
    answer = optimize.root(system, np.concatenate([state, v, [value]]), tol=1e-14)
    return float(answer.x[-1])


def rows() -> Iterator[list[str]]:
    """One row a network."""
    task = nr.simulate.flip_flop(**TASK)
    for name in ("tanh", "GRU", "LSTM"):
        for seed in range(3):
            model = trained(name, seed).requires_grad_(False)
            begin = time.process_time()
            diagram = nr.dynamics.continue_fixed_points(model, ENDS, n_values=N_VALUES, rng=seed)
            ours = time.process_time() - begin
            p, marks = diagram.points, diagram.bifurcations
            folds = marks.where(marks["kind"] == "fold", drop=True)
            off = [
                abs(_fold_again(model, h, u) - u)
                for h, u in zip(folds["state"].values, folds["value"].values, strict=True)
            ]
            inputs = torch.tensor(task["inputs"].values[:64], dtype=torch.float32)
            with torch.no_grad():
                states = model(inputs).states.reshape(-1, model.start(1).shape[1])
            draw = torch.Generator().manual_seed(seed)
            picked = torch.randint(len(states), (1024,), generator=draw)
            starts = states[picked] + 0.5 * torch.randn(1024, states.shape[1], generator=draw)
            missed, taken, rate = 0, 0.0, None
            for k in CHECKED:
                u = np.array([float(p["value"][k]), 0.0, 0.0])
                reference, _ = _search(model, inputs=u, rng=1000, n_starts=16_384,
                                       max_starts=32_768)  # fmt: skip
                wanted = reference.states.values
                there = p["state"].values[:, k]
                there = there[~np.isnan(there).any(axis=1)]
                missed += len(wanted) - _known(there, wanted, 1e-6)
                tries = []
                for one in RATES if rate is None else (rate,):
                    begin = time.process_time()
                    found = _adam(model, starts, one, inputs=u)
                    tries.append((-_known(found, wanted, 1e-2), time.process_time() - begin, one))
                _, seconds, rate = min(tries)
                taken += seconds
            adam = taken * N_VALUES / len(CHECKED)
            yield [
                f"{name}, seed {seed}", f"{int(p['n_points'][0])} to {int(p['n_points'][-1])}",
                f"{int((p['index_sum'] == 1).sum())} of {N_VALUES}", str(missed), str(len(off)),
                f"{max(off, default=np.nan):.0e}", f"{ours:.2f}", f"{adam:.0f}",
                f"{adam / ours:.0f}",
            ]  # fmt: skip
