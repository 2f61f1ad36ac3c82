"""A Kalman filter that has lost units, against the textbook filter without their rows."""

from collections.abc import Iterator

import numpy as np

import neurornn as nr
from tests.decode.test_left_out import recording, textbook

COLUMNS = [
    "largest difference", "R2 ours", "R2 textbook", "R2 mean stand-in", "90 % interval covers",
    "its width / that of all units",
]  # fmt: skip
SHARES = (0.0, 0.25, 0.5, 0.75, 0.9)
SEEDS = range(5)


def _r2(y: np.ndarray, guess: np.ndarray) -> float:
    return float(1 - ((y - guess) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum())


def rows() -> Iterator[list[str]]:
    """One row per share of 40 units that is dead; means over seeds, 3000 bins of training."""
    for share in SHARES:
        found = []
        for seed in SEEDS:
            counts, velocity = recording(seed, n=5000)
            decoder = nr.decode.KalmanFilter(lag=0).fit(counts[:3000], velocity[:3000])
            fresh, y = counts[3000:], velocity[3000:]
            dead = np.random.default_rng([seed, 5]).permutation(40)[: round(40 * share)]
            seen = np.ones(fresh.shape, bool)
            seen[:, dead] = False
            given = np.where(seen, fresh, np.nan)
            ours, bounds = decoder.predict(given, return_interval=True)
            whole = decoder.predict(fresh, return_interval=True)[1]
            expected, _ = textbook(decoder, fresh, seen, 0)
            typical = np.where(seen, fresh, decoder._preparation.typical)
            inside = (bounds[..., 0] <= y) & (y <= bounds[..., 1])
            found.append(
                (
                    np.abs(ours - expected).max(),
                    _r2(y, ours),
                    _r2(y, expected),
                    _r2(y, decoder.stream().run(typical)),
                    inside.mean(),
                    np.ptp(bounds, axis=-1).mean() / np.ptp(whole, axis=-1).mean(),
                )
            )
        most, *means = np.max(found, axis=0)[0], *np.mean(found, axis=0)[1:]
        yield [f"{100 * share:.0f} % dead", f"{most:.1e}", *(f"{m:.3f}" for m in means)]
