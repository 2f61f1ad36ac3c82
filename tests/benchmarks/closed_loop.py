"""Closed loop with a simulated user: a plain Kalman filter, recalibrated, and ReFIT."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

import neurornn as nr

COLUMNS = [
    "time to target, s", "success", "path efficiency", "bit/s", "p against plain", "gate",
]  # fmt: skip
N_SEEDS, N_OPEN, N_FIRST, N_TEST = 20, 160, 80, 64
TIMEOUT = 5.0


def rows() -> Iterator[list[str]]:
    """One row per decoder; means over seeds of the mean over trials, a failed one counts 5 s."""
    found: dict[str, list[np.ndarray]] = {}
    for seed in range(N_SEEDS):
        for name, scores in _one(seed).items():
            found.setdefault(name, []).append(scores)
    plain = np.array(found["plain Kalman, fitted in open loop"])[:, 0]
    for name, scores in found.items():
        table = np.array(scores)
        middle = table.mean(axis=0)
        p = ""
        if not np.array_equal(table[:, 0], plain):
            p = f"{stats.wilcoxon(table[:, 0], plain, alternative='less').pvalue:.1e}"
        gate = "shorter time, p < .01" if name == "ReFIT" else ""
        yield [
            name, f"{middle[0]:.2f} +- {table[:, 0].std(ddof=1):.2f}", f"{middle[1]:.2f}",
            f"{middle[2]:.2f}", f"{middle[3]:.2f}", p, gate,
        ]  # fmt: skip


def _one(seed: int) -> dict[str, np.ndarray]:
    user = nr.simulate.CursorUser(60, bin_size=0.05, rng=seed)
    open_loop = user.observe(N_OPEN)
    plain = nr.decode.KalmanFilter(0.05).fit(open_loop["counts"], open_loop["velocity"])
    first = nr.decode.run_closed_loop(plain.stream(), user, n_trials=N_FIRST, rng=seed)
    again = nr.decode.KalmanFilter(0.05).fit(first["counts"], first["velocity"])
    meant = nr.decode.intended_velocity(first)
    refit = nr.decode.KalmanFilter(0.05).fit(first["counts"], meant)
    return {
        "plain Kalman, fitted in open loop": _scores(plain, user, seed),
        "fitted again on what it decoded": _scores(again, user, seed),
        "ReFIT": _scores(refit, user, seed),
    }


def _scores(decoder, user, seed: int) -> np.ndarray:
    trials = nr.decode.run_closed_loop(
        decoder.stream(), user, n_trials=N_TEST, timeout=TIMEOUT, rng=1000 + seed
    )
    taken = np.where(trials["success"], trials["time_to_target"], TIMEOUT)
    table = nr.decode.closed_loop_scores(trials)
    efficiency = float(trials["path_efficiency"].mean())
    rate = float(table["bit_rate"]) if "bit_rate" in table else np.nan
    return np.array([taken.mean(), float(trials["success"].mean()), efficiency, rate])
