"""Which state ends where in ReLU networks: against plain runs of the model itself.

Fixed before the method was tuned: LeakyRNN with ReLU units, 2 to 10 of them, dt .01 s, tau .05
s, exact step; self-excitation of 0 and other weights normal with mean -1 and sd .5 (inhibition,
so that units compete), drive 1 plus normal of sd .1. Seeds count up from 0 and the first three
networks of each size with two or more stable points are taken. 10,000 states from 0 to 2 in each
unit; the reference is the scan of the model in double precision for 20,000 steps, or until
nothing moves by more than 1e-15 in 200 of them, and its end the stable point within 1e-6, none
where there is no such.

*Proved* are verdicts for a point that rest on a ball; *steps saved* are those that the states of
all networks were not run, of 20,000 each; CPU s are of ``tell`` and of the plain runs of the same
cell without torch, for all networks of the row.
"""

import copy
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import neurornn as nr
from neurornn.dynamics.maps import as_map

SIZES, N_NETWORKS, N_STATES, N_STEPS = (2, 3, 4, 6, 8, 10), 3, 10_000, 20_000
COLUMNS = [
    "networks", "attractors", "agreement", "agreement, least", "proved share", "steps run (mean)",
    "steps saved", "CPU s", "CPU s, all for the full time", "ratio",
]  # fmt: skip


def competing(n: int, seed: int) -> Any:
    """A network of units that inhibit each other."""
    rng = np.random.default_rng([n, seed])
    weights = -1 + 0.5 * rng.standard_normal((n, n))
    np.fill_diagonal(weights, 0.0)
    model = nr.models.LeakyRNN(1, n, 1, dt=0.01, tau=0.05, nonlinearity="relu")
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(weights))
        model.bias.copy_(torch.tensor(1 + 0.1 * rng.standard_normal(n)))
    return model.requires_grad_(False)


def chosen(n: int, n_networks: int) -> Iterator[tuple[Any, Any]]:
    """Networks of n units with two stable points or more, and their points."""
    seed, found = 0, 0
    while found < n_networks:
        model = competing(n, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            points = nr.dynamics.find_fixed_points(model)
        if int(points.is_stable.sum()) >= 2:
            found += 1
            yield model, points
        seed += 1


def ends_of(model: Any, points: Any, states: np.ndarray, n_steps: int) -> np.ndarray:
    """Number of the stable point that the model itself comes to, -1 where to none."""
    own, block = copy.deepcopy(model).double(), 200
    ended = []
    # A thousand at a time: what a block of steps leaves then fits into the cache.
    for some in torch.from_numpy(states).split(1000):
        h = some
        u = torch.zeros(1, block, 1, dtype=torch.float64).expand(len(h), -1, -1)
        with torch.no_grad():
            for _ in range(n_steps // block):
                before, h = h, own.scan(u, h)[1]
                # What rests to the last digits for 200 steps is not run on.
                if float((h - before).abs().max()) < 1e-15:
                    break
        ended.append(h)
    last = torch.cat(ended).numpy()
    stable = np.flatnonzero(points.is_stable.values)
    at = points.states.values[stable]
    away = np.linalg.norm(last[:, None] - at, axis=2)
    return np.where(away.min(axis=1) < 1e-6, stable[away.argmin(axis=1)], -1)


class _Counted:
    """A cell that counts the states which it moves."""

    def __init__(self, cell: Any) -> None:
        self.cell, self.n = cell, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cell, name)

    def step(self, h: np.ndarray) -> np.ndarray:
        self.n += len(h)
        return np.asarray(self.cell.step(h))


def rows(
    sizes: tuple[int, ...] = SIZES, n_networks: int = N_NETWORKS, n_states: int = N_STATES
) -> Iterator[list[str]]:
    """One row a size."""
    from neurornn.dynamics.basin_map import told

    for n in sizes:
        same, n_points, proved, near, run, ours, plain = [], [], 0, 0, 0, 0.0, 0.0
        for model, points in chosen(n, n_networks):
            states = np.random.default_rng(n).uniform(0, 2, (n_states, n))
            found = nr.dynamics.basins(model, points, region=states)
            proved += int(found.parameters["n_proved"].sum())
            near += int(found.parameters["n_near"].sum())
            n_points.append(int(points.is_stable.sum()))
            begin = time.process_time()
            mine = found.tell(states)
            ours += time.process_time() - begin
            state_map = as_map(model)
            counted = _Counted(state_map.cell)
            at = points.states.values[points.is_stable.values]
            # The count does not fool isinstance: a wrapped cell goes by the same balls.
            told(state_map._replace(cell=counted), at, states, max_steps=N_STEPS)
            run += counted.n
            begin = time.process_time()
            h = states
            for _ in range(N_STEPS // 20):
                h = state_map.cell.step(h)
            plain += 20 * (time.process_time() - begin)
            same.append(float((mine == ends_of(model, points, states, N_STEPS)).mean()))
        all_steps = n_networks * n_states * N_STEPS
        yield [
            f"{n} units", str(n_networks), f"{min(n_points)} to {max(n_points)}",
            f"{100 * np.mean(same):.3f} %", f"{100 * min(same):.2f} %",
            f"{100 * proved / max(proved + near, 1):.2f} %", f"{run / n_networks / n_states:.0f}",
            f"{100 * (1 - run / all_steps):.2f} %", f"{ours:.2f}", f"{plain:.1f}",
            f"{plain / ours:.0f}",
        ]  # fmt: skip
