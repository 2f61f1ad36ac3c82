"""Time of a default fit over that of one without the last stretch, interleaved in one process."""

import time
import warnings
from collections.abc import Iterator

import numpy as np

import neurornn as nr

COLUMNS = ["default s", "refine=False s", "ratio (median)", "ratio, least to most"]
N_ROUNDS = 3


def _trials(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """128 trials of 100 steps: two leaky integrators of a saturating input, in noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((128, 100, 2))
    y, state = np.zeros((128, 100, 2)), np.zeros((128, 2))
    for k in range(100):
        state = 0.9 * state + 0.3 * np.tanh(x[:, k])
        y[:, k] = state
    return x, y + 0.05 * rng.standard_normal(y.shape)


def rows() -> Iterator[list[str]]:
    """One row: a leaky network of 32 units, whose time constants trade against one another."""
    taken: list[tuple[float, float]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(N_ROUNDS):
            data, pair = _trials(k), []
            for refine in (True, False):
                model = nr.models.LeakyRNN(2, 32, 2, dt=0.01, rng=k)
                begin = time.perf_counter()
                nr.fit(model, data, rng=0, refine=refine)
                pair.append(time.perf_counter() - begin)
            taken.append((pair[0], pair[1]))
    whole, without = np.array(taken).T
    ratio = whole / without
    yield [
        "LeakyRNN of 32 units",
        f"{np.median(whole):.1f}",
        f"{np.median(without):.1f}",
        f"{np.median(ratio):.2f}",
        f"{ratio.min():.2f} to {ratio.max():.2f}",
    ]
