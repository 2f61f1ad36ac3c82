"""Two sessions of one network, or of two: are they told apart, and is the p-value honest?

Fixed before the runs: networks ``x' = x + .3 (tanh(W x) - x) + .1 z`` of 20 units, W normal of sd
.9 / sqrt(20), states seen with noise of sd .1; a session is 30 trials of 60 steps from normal
starts; `compare.similarity` at its defaults (rank 6, 4 frames, 199 permutations). Same: 200 pairs
of sessions of one network, another one for each pair; different: 200 pairs of sessions of two
networks. With the units in common, and read out by a rotation of the second session, where maps
are aligned and only the ceiling judges (20 pairs each). dsa-metric 2.0 with the same rank and
delays stands beside on the first 10 pairs, where it installs; it has no test.
"""

import contextlib
import io
import time
import warnings
from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy import stats

import neurornn as nr

COLUMNS = [
    "p < .01", "p < .05", "KS p of uniform", "distance, median", "ceiling, median (upper end)",
    "dsa-metric, median", "ms",
]  # fmt: skip
N_PAIRS, N_ROTATED, N_PEER = 200, 20, 10
UNITS_COLUMNS = ["distance beyond the ceiling", "spectra, p < .05", "KS p of uniform"]
N_UNITS = 40


def network(seed: int) -> np.ndarray:
    """Weights of a network."""
    return 0.9 * np.random.default_rng([seed, 1]).standard_normal((20, 20)) / np.sqrt(20)


def session(weights: np.ndarray, seed: int) -> np.ndarray:
    """Trials (trial, time, unit)."""
    draw = np.random.default_rng([seed, 2])
    x = draw.standard_normal((30, 20))
    out = np.empty((30, 60, 20))
    for t in range(60):
        x = x + 0.3 * (np.tanh(x @ weights.T) - x) + 0.1 * draw.standard_normal(x.shape)
        out[:, t] = x
    return out + 0.1 * draw.standard_normal(out.shape)


def _peer(a: np.ndarray, b: np.ndarray) -> float:
    """Angle by dsa-metric, NaN where it is not installed."""
    try:
        from DSA import DSA
    except ImportError:
        return float("nan")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return float(
            np.squeeze(
                DSA(a, b, n_delays=4, rank=6, iters=500, score_method="angular").fit_score()
            )
        )


def _named(values: np.ndarray, prefix: str) -> xr.DataArray:
    return xr.DataArray(
        values, dims=("trial", "time", "unit"),
        coords={"unit": [f"{prefix}{k}" for k in range(values.shape[2])]},
    )  # fmt: skip


def rows() -> Iterator[list[str]]:
    """One row a kind of pair."""
    for kind in ("same network", "different networks"):
        for rotated in (False, True):
            p, distance, ceiling, upper, peers, spent = [], [], [], [], [], []
            for k in range(N_ROTATED if rotated else N_PAIRS):
                a = session(network(k), 2 * k)
                b = session(network(k if kind == "same network" else 10_000 + k), 2 * k + 1)
                if rotated:
                    turn = np.linalg.qr(np.random.default_rng([k, 3]).standard_normal((20, 20)))[0]
                    a, b = _named(a, "a"), _named(b @ turn, "b")
                begin = time.process_time()
                found = nr.compare.similarity(a, b, rng=k)
                spent.append(time.process_time() - begin)
                p.append(found.p_value)
                distance.append(found.distance)
                ceiling.append(float(found.parameters["ceiling"]))
                upper.append(float(found.parameters["ceiling_ci"][1]))
                if k < N_PEER and not rotated:
                    peers.append(_peer(a, b))
            n = len(p)
            values = np.array(p)
            known = np.isfinite(values).all()
            beyond = int(np.sum(np.array(distance) > np.array(upper)))
            yield [
                kind + (", other units" if rotated else ""),
                f"{np.sum(values < 0.01)} of {n}" if known
                else f"no test; beyond the ceiling {beyond} of {n}",
                f"{np.sum(values < 0.05)} of {n}" if known else "-",
                f"{stats.kstest(values, 'uniform').pvalue:.2g}" if known else "-",
                f"{np.median(distance):.3g}",
                f"{np.median(ceiling):.3g} ({np.median(upper):.3g})",
                f"{np.nanmedian(peers):.3g}" if np.isfinite(peers).any() else "-",
                f"{1000 * np.median(spent):.0f}",
            ]  # fmt: skip


def _seen(states: np.ndarray, n_units: int, noise: float, draw: np.random.Generator) -> np.ndarray:
    """States (trial, time, state) through so many units of their own, with noise in each."""
    x = states @ draw.standard_normal((states.shape[2], n_units))
    return x + noise * x.std() * draw.standard_normal(x.shape)


def units_rows() -> Iterator[list[str]]:
    """One system seen by 16 units and by 12 others, noisier ones: does anything test it?

    Damped oscillators, 20 trials of 4 s each; or, for the second session, a system whose slowest
    time constant is 1.6 s in place of 2.
    """
    beyond, p = 0, {"same system": [], "different systems": []}
    for seed in range(N_UNITS):
        draw = np.random.default_rng(seed)
        same, other = (
            nr.simulate.simulate_oscillators(
                n_units=5, n_trials=40, noise_sd=0.0, time_constants=(tau, 1.5, 0.8), rng=seed
            )["series"].values
            for tau in (2.0, 1.6)
        )
        a = _seen(same[:20], 16, 0.2, draw)
        pairs = {"same system": same, "different systems": other}
        first = nr.koopman.fit_modes(a, dt=0.02, rank=5)
        for kind, states in pairs.items():
            b = _seen(states[20:], 12, 0.4, draw)
            second = nr.koopman.fit_modes(b, dt=0.02, rank=5)
            p[kind].append(nr.compare.spectra(first, second, n_draws=300).p_value)
            if kind == "same system":
                found = nr.compare.similarity(list(a), list(b), 0.02, rank=5, n_halves=40)
                beyond += found.distance > float(found.parameters["ceiling_ci"][1])
    for kind, values in p.items():
        yield [
            f"{kind}, other units",
            f"{beyond} of {N_UNITS}" if kind == "same system" else "-",
            f"{np.sum(np.array(values) < 0.05)} of {N_UNITS}",
            f"{stats.kstest(values, 'uniform').pvalue:.2g}",
        ]


if __name__ == "__main__":
    print(" | ".join(["", *UNITS_COLUMNS]))
    for row in units_rows():
        print(" | ".join(row), flush=True)
