"""Conserved quantities: found, counted, refused; and eigenvalues of a slow manifold under noise.

Fixed before the runs: trajectories of 10 time units, .1 apart, from starts spread evenly over a
box (pendulum, Duffing, harmonic: -1.5 to 1.5 in both; Lotka-Volterra: .4 to 1.8; rigid body: .3 to
1.5 in size, either sign), noise as a share of the sd of each variable, streams [seed, 2026]. One
dictionary for all: polynomials to the fourth degree, sine and cosine of every variable, logarithm
of those that are positive; no constant. The first half of the gates has 40 trajectories.

The nine systems are of the kinds of arXiv 2603.20474 (Hamiltonian, dissipative, chaotic; its own
list and settings could not be read, and its two fields are left out): harmonic, pendulum,
Lotka-Volterra (one law each) and rigid body (two); van der Pol, FitzHugh-Nagumo, damped pendulum,
Lorenz and Rossler (none); 100 trajectories, noise .1, 20 seeds.

Damped systems lose a fifth of their energy along a trajectory, or more: damping -ln(.8) / 10 for
pendulum and harmonic, .05 for Duffing (whose speed is a smaller part of its energy: the loss is
printed). The trivial baseline is the least moving function of the whole dictionary without a test.
"""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import neurornn as nr

LAW_COLUMNS = [
    "noise", "|correlation|, median (least)", "EDMD's eigenfunction nearest 1", "found", "law",
    "s",
]  # fmt: skip
COUNT_COLUMNS = ["laws", "found: right number", "fewer", "more", "p, median", "s"]
NULL_COLUMNS = ["energy lost", "runs", "laws claimed", "share"]
SLOW_COLUMNS = ["error of mu", "of 2 mu", "of lambda", "coverage (mu, 2 mu, lambda)", "ms"]
N_LAW, N_NINE, N_NULL = 40, 20, 200
FIFTH = -np.log(0.8) / 10
ENERGY = {
    "pendulum": lambda s: s[..., 1] ** 2 / 2 - np.cos(s[..., 0]),
    "duffing": lambda s: s[..., 1] ** 2 / 2 - s[..., 0] ** 2 / 2 + s[..., 0] ** 4 / 4,
    "lotka_volterra": lambda s: (s - np.log(s)).sum(-1),
    "harmonic": lambda s: (s**2).sum(-1) / 2,
}
NINE = {
    "harmonic": 1, "pendulum": 1, "lotka_volterra": 1, "rigid_body": 2, "van_der_pol": 0,
    "fitzhugh_nagumo": 0, "damped pendulum": 0, "lorenz": 0, "rossler": 0,
}  # fmt: skip


def recording(name: str, seed: int, n: int, noise: float, **parameters: float) -> Any:
    """Trajectories of a system from a box of starts."""
    draw = np.random.default_rng([seed, 2026])
    duration, dt = 10.0, 0.1
    if name == "damped pendulum":
        name, parameters = "pendulum", {"damping": 0.2}
    if name == "lotka_volterra":
        start = draw.uniform(0.4, 1.8, (n, 2))
    elif name == "rigid_body":
        start = draw.uniform(0.3, 1.5, (n, 3)) * draw.choice([-1, 1], (n, 3))
    elif name == "lorenz":
        start, duration, dt = draw.uniform(-8, 8, (n, 3)) + [0, 0, 25], 4.0, 0.04
    elif name == "rossler":
        # Further out, some trajectories leave for good.
        start, duration, dt = draw.uniform(-4, 4, (n, 3)) * [1, 1, 0.1], 20.0, 0.2
    else:
        start = draw.uniform(-1.5, 1.5, (n, 2))
    return nr.simulate.simulate_system(
        name, duration, dt, n_trials=n, start=start, noise_sd=noise, rng=draw, **parameters
    )


def law_rows() -> Iterator[list[str]]:
    """Correlation with the true law on new trajectories, one dictionary for all."""
    for name in ("pendulum", "duffing", "lotka_volterra"):
        for noise in (0.05, 0.1):
            ours, peers, n_found, spent, laws = [], [], 0, [], None
            for seed in range(N_LAW):
                run = recording(name, seed, 40, noise)
                new = recording(name, 1000 + seed, 20, 0.0)["states"].values
                true = ENERGY[name](new).ravel()
                begin = time.process_time()
                laws = nr.koopman.conserved_quantities(run["series"])
                spent.append(time.process_time() - begin)
                n_found += laws.n_laws > 0
                value = laws.evaluate(new).values[..., 0].ravel()
                ours.append(abs(np.corrcoef(value, true)[0, 1]))
                if seed < 10:
                    peers.append(_least_squares(run["series"], new, true))
            yield [
                name, f"{noise:g}", f"{np.median(ours):.5f} ({min(ours):.5f})",
                f"{np.median(peers):.3f}", f"{n_found} of {N_LAW}", laws.expression[0],
                f"{np.median(spent):.2f}",
            ]  # fmt: skip


def _least_squares(series: Any, new: np.ndarray, true: np.ndarray) -> float:
    edmd = nr.koopman.EDMD(["polynomial", "trigonometric"], degree=4).fit(series)
    values, vectors = np.linalg.eig(edmd.transition_)
    order = np.argsort(np.abs(values - 1))
    # The constant has eigenvalue 1 to rounding.
    best = next(k for k in order if abs(values[k] - 1) > 1e-7)
    found = (edmd.dictionary_(new) @ vectors[:, best]).real.ravel()
    return float(abs(np.corrcoef(found, true)[0, 1]))


def nine_rows() -> Iterator[list[str]]:
    """How many laws are found in systems with one, two or none, noise .1."""
    for name, n_true in NINE.items():
        found, p, spent = [], [], []
        for seed in range(N_NINE):
            run = recording(name, seed, 100, 0.1)
            begin = time.process_time()
            laws = nr.koopman.conserved_quantities(run["series"])
            spent.append(time.process_time() - begin)
            found.append(laws.n_laws)
            p.append(laws.p_value.values[0])
        found = np.array(found)
        yield [
            name, str(n_true), f"{np.sum(found == n_true)} of {N_NINE}",
            str(int(np.sum(found < n_true))), str(int(np.sum(found > n_true))),
            f"{np.median(p):.2g}", f"{np.median(spent):.2f}",
        ]  # fmt: skip


def null_rows() -> Iterator[list[str]]:
    """Laws claimed of systems that lose energy, and of the same without loss; noise .05."""
    damped = {
        "pendulum": {"damping": FIFTH}, "harmonic": {"damping": FIFTH}, "duffing": {"delta": 0.05},
    }  # fmt: skip
    for name, loss in damped.items():
        for parameters in (loss, {}):
            n_runs = N_NULL if parameters else N_NULL // 2
            claimed, lost = 0, []
            for seed in range(n_runs):
                run = recording(name, seed, 40, 0.05, **parameters)
                energy = ENERGY[name](run["states"].values)
                energy = energy - (ENERGY[name](np.array([[1.0, 0.0]]))[0] if name == "duffing"
                                   else ENERGY[name](np.zeros((1, 2)))[0])  # fmt: skip
                lost.append(1 - np.median(energy[:, -1] / energy[:, 0]))
                claimed += nr.koopman.conserved_quantities(run["series"]).n_laws > 0
            yield [
                name + (" damped" if parameters else ""), f"{100 * np.mean(lost):.0f} %",
                str(n_runs), str(claimed), f"{100 * claimed / n_runs:.1f} %",
            ]  # fmt: skip


def several_rows() -> Iterator[list[str]]:
    """Two laws of a rigid body, and the energy with functions of it; noise .05, 100 runs."""
    n_runs = 100
    found = []
    for seed in range(n_runs):
        laws = nr.koopman.conserved_quantities(recording("rigid_body", seed, 40, 0.05)["series"])
        found.append(laws.n_laws)
    counts = np.bincount(found, minlength=4)
    yield ["rigid body: energy and momentum", "2", f"{counts[2]} of {n_runs}",
           str(counts[:2].sum()), str(counts[3:].sum())]  # fmt: skip
    right, inside = 0, []
    for seed in range(n_runs):
        laws = nr.koopman.conserved_quantities(recording("harmonic", seed, 40, 0.05)["series"])
        right += laws.n_laws == 1
        inside.append(_left_out(laws, seed))
    yield ["harmonic: E, and E^2 in its subspace", "1", f"{right} of {n_runs}",
           f"of E and E^2 outside the subspace: {100 * np.median(inside):.2g} % (median)",
           f"{100 * np.max(inside):.2g} % (worst)"]  # fmt: skip


SEVERAL_COLUMNS = ["laws", "right number", "fewer", "more"]


def _left_out(laws: Any, seed: int) -> float:
    """Larger share of the variance of E and of its square that the subspace leaves."""
    x = recording("harmonic", 5000 + seed, 20, 0.0)["states"].values.reshape(-1, 2)
    values = laws._dictionary(x)
    inside = np.column_stack([values @ laws.subspace.values.T, np.ones(len(x))])
    basis = np.linalg.qr(inside)[0]
    worst = 0.0
    for true in (ENERGY["harmonic"](x), ENERGY["harmonic"](x) ** 2):
        true = true - true.mean()
        left = true - basis @ (basis.T @ true)
        worst = max(worst, float(left @ left / (true @ true)))
    return worst


def slow_rows() -> Iterator[list[str]]:
    """Eigenvalues of the slow manifold from 60 trajectories of 50 frames, noise .05, 100 seeds."""
    truth = np.array([-0.05, -0.1, -1.0])

    def square(x: np.ndarray) -> np.ndarray:
        return np.stack([x[..., 0], x[..., 1], x[..., 0] ** 2], axis=-1)

    for how in ("ignored", "instruments", "trajectories"):
        errors, hits, spent = [], [], []
        for seed in range(100):
            draw = np.random.default_rng([seed, 2026])
            run = nr.simulate.simulate_system(
                "slow_manifold", 5.0, 0.1, n_trials=60, start=draw.uniform(-1.5, 1.5, (60, 2)),
                noise_sd=0.05, rng=draw,
            )  # fmt: skip
            begin = time.process_time()
            edmd = nr.koopman.EDMD(square, measurement_noise=how).fit(run["series"])
            spent.append(time.process_time() - begin)
            errors.append(np.abs(edmd.parameters_["rate"].values / truth - 1))
            if seed < 20:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    edmd = nr.koopman.EDMD(
                        square, measurement_noise=how, n_bootstrap=40, rng=seed
                    ).fit(run["series"])
                low, high = edmd.parameters_["rate_ci"].values.T
                hits.append((low <= truth) & (truth <= high))
        median = np.median(errors, axis=0)
        name = {"ignored": "least squares (EDMD as it is)"}.get(how, how)
        yield [
            name, *(f"{100 * m:.2g} %" for m in median),
            ", ".join(f"{h} of 20" for h in np.sum(hits, axis=0)),
            f"{1000 * np.median(spent):.0f}",
        ]  # fmt: skip
