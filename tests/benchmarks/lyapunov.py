"""Lyapunov exponents of systems whose exponents are known, and of random networks.

Fixed before anything was run: the systems, the seeds, and how long each run is. Henon's map
(a = 1.4, b = .3) and the step of Lorenz's system (Runge and Kutta's fourth order, .01) have the
exponents of the literature (.41922; .9056, 0 and -14.5723 per unit of time), the sum of Henon's is
``ln b``. Networks are ``h' = h + .1 (W tanh(h) - h)`` with 200 units and normal weights of sd
``g / sqrt(200)``, seed 1: at g = .8 the state comes to rest at 0, where exponents are logs of
eigenvalues; at g = 1.5 the reference is a run ten times as long from other starts. The network at
g = 3 was added after the first run of this benchmark, which showed that the one at 1.5 is not
chaotic but comes slowly to a cycle. Since then n_steps is left out there, as a user would, and its
reference begins after 20,480 steps; given n_steps, the reference looks for no cycle. A reference
that is a run has an interval too: the interval of a run holds it where the two meet.

The first run of each system is a long one, by which the value is judged; the interval is judged in
40 shorter runs from other starts and with other directions. Times are CPU times of the long run.
"""

import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

import neurornn as nr

N_RUNS, N_UNITS = 40, 200
COLUMNS = [
    "found", "reference", "largest error", "regime", "regime of the reference",
    "interval holds it, of 40",
    "half-width (median)", "CPU s",
]  # fmt: skip


class _Case(NamedTuple):
    model: Any
    regime: str
    truth: np.ndarray
    own_error: float | np.ndarray
    starts: Any
    common: dict[str, Any]
    long: dict[str, Any]
    short: dict[str, Any]


def _henon(h: np.ndarray) -> np.ndarray:
    return np.stack([1 - 1.4 * h[:, 0] ** 2 + h[:, 1], 0.3 * h[:, 0]], 1)


def _lorenz_step(s: np.ndarray, dt: float = 0.01) -> np.ndarray:
    def flow(v: np.ndarray) -> np.ndarray:
        x, y, z = v.T
        return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], 1)

    a = flow(s)
    b = flow(s + dt / 2 * a)
    c = flow(s + dt / 2 * b)
    return s + dt / 6 * (a + 2 * b + 2 * c + flow(s + dt * c))


def network(g: float, seed: int) -> Any:
    """A random network whose weights are known."""
    model = nr.models.LeakyRNN(
        1, N_UNITS, 1, dt=0.1, tau=1.0, form="current", step="euler", nonlinearity="tanh",
        self_connections=True, tau_bounds=(0.1, 10.0),
    )  # fmt: skip
    draw = np.random.default_rng(seed).standard_normal((N_UNITS, N_UNITS))
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.as_tensor(g / np.sqrt(N_UNITS) * draw))
        model.bias.zero_()
    return model


def _run(model: Any, **options: Any) -> tuple[Any, float]:
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = nr.dynamics.lyapunov_spectrum(model, **options)
    return found, time.process_time() - begin


def cases() -> Iterator[tuple[str, _Case]]:
    """The systems, each with what is known of it."""
    b = np.log(0.3)
    yield "Henon", _Case(
        _henon, "chaos", np.array([0.41922, b - 0.41922]), 0.0,
        lambda rng, n: rng.uniform(-0.1, 0.1, (n, 2)), {"n_hidden": 2},
        {"n_trajectories": 100, "n_steps": 8192}, {"n_trajectories": 10},
    )  # fmt: skip
    yield "Lorenz, dt .01", _Case(
        _lorenz_step, "chaos", np.array([0.9056, 0.0, -14.5723]), 0.0,
        lambda rng, n: rng.standard_normal((n, 3)) * 5 + [0, 0, 25],
        {"n_hidden": 3, "dt": 0.01, "n_transient": 1000},
        {"n_trajectories": 400, "n_steps": 8192}, {"n_trajectories": 10, "n_steps": 2048},
    )  # fmt: skip
    normal = lambda rng, n: rng.standard_normal((n, N_UNITS))  # noqa: E731
    quiet = network(0.8, 1)
    w = quiet.weights().detach().double().numpy()
    values = np.log(np.abs(np.linalg.eigvals(0.9 * np.eye(N_UNITS) + 0.1 * w))) / 0.1
    yield "200 units, g = .8", _Case(
        quiet, "fixed point", np.sort(values)[::-1], 0.0, normal, {}, {"n_trajectories": 10},
        {"n_trajectories": 4, "n_exponents": 10},
    )  # fmt: skip
    for g, settled, steps in ((1.5, 20_480, {}), (3.0, 512, {"n_steps": 2048})):
        loud = network(g, 1)
        options = {
            "n_exponents": 5, "n_trajectories": 10, "n_steps": 20_480, "n_transient": settled,
        }  # fmt: skip
        reference, _ = _run(loud, starts=normal(np.random.default_rng(7), 10), rng=7, **options)
        half = np.diff(reference.parameters["exponent_ci"].values, axis=1)[:, 0] / 2
        yield f"200 units, g = {g:g}", _Case(
            loud, reference.regime, reference.exponents.values, half if g == 1.5 else 0.0, normal,
            {}, {"n_trajectories": 10, **steps},
            {"n_trajectories": 4, "n_exponents": 5, **steps},
        )  # fmt: skip


def _some(values: np.ndarray) -> str:
    shown = ", ".join(f"{v:.4g}" for v in values[:3])
    return shown + (", ..." if len(values) > 3 else "")


def rows() -> Iterator[list[str]]:
    """One row a system."""
    for name, case in cases():
        truth = case.truth
        starts = case.starts(np.random.default_rng(0), case.long["n_trajectories"])
        found, seconds = _run(case.model, starts=starts, rng=0, **case.common, **case.long)
        n = min(len(truth), found.exponents.size)
        errors = np.abs(found.exponents.values[:n] - truth[:n])
        worst = int(np.argmax(errors))
        share = errors[worst] / max(abs(truth[worst]), 1e-300)
        said = f"{errors[worst]:.2g}" + (f", {100 * share:.2g} %" if share < 1 else "")
        hits, halves = [], []
        for seed in range(N_RUNS):
            begin = case.starts(np.random.default_rng(100 + seed), case.short["n_trajectories"])
            one, _ = _run(case.model, starts=begin, rng=100 + seed, **case.common, **case.short)
            low, high = np.moveaxis(one.parameters["exponent_ci"].values, -1, 0)
            own = np.broadcast_to(case.own_error, truth.shape)[: len(low)]
            hits.append((low <= truth[: len(low)] + own) & (truth[: len(low)] - own <= high))
            halves.append((high - low)[0] / 2)
        counts = np.sum(hits, axis=0)
        held = (
            ", ".join(map(str, counts))
            if len(counts) < 6
            else f"at least {counts.min()} of {len(counts)} exponents"
        )
        yield [
            name, _some(found.exponents.values), _some(truth), said, found.regime, case.regime,
            held, f"{np.median(halves):.2g}", f"{seconds:.1f}",
        ]  # fmt: skip
