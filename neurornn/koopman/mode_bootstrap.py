"""A second opinion on intervals: modes fitted again to residuals laid anew on the fit."""

import numpy as np

from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn.data.samples import Samples
from neurornn.koopman.exponentials import Array, Trajectory, functions_of
from neurornn.koopman.mode_fit import Axes, ModeFit, fit_rank


def bootstrapped(
    samples: Samples,
    axes: Axes,
    trajectories: list[Trajectory],
    fit: ModeFit,
    *,
    n_draws: int,
    stable: bool,
    rng: RNG,
) -> ModeFit:
    """Return the fit with the covariance of fits to blocks of its residuals.

    Blocks have the cube root of the number of frames, at least (Kuensch 1989,
    doi:10.1214/aos/1176347265), and longer ones where residuals remember longer.
    """
    draw = generator(rng)
    rank = len(fit.rates)
    basis = axes.axes[:, :rank]
    parts = []
    for j, (rows, values) in enumerate(trajectories):
        # In the axes of the fit: the noise outside them tells nothing of the rates.
        time = np.asarray(rows * samples.dt, dtype=np.float64)
        said = functions_of(time, fit.rates)[:, :rank] @ fit.coefficients[j] @ basis
        parts.append((rows, said, values[:, :rank] - said))
    n_frames = sum(len(p[0]) for p in parts)
    memory = max(fit.correlation, 0.0)
    length = max(round(n_frames ** (1 / 3)), round(3 * (1 + memory) / max(1 - memory, 0.05)))
    freedom = n_frames / max(n_frames - rank * len(trajectories) - 1, 1)
    rates, sizes = [], []
    for _ in range(n_draws):
        drawn = [
            Trajectory(rows, said + np.sqrt(freedom) * _laid_anew(left, length, draw))
            for rows, said, left in parts
        ]
        try:
            one = fit_rank(samples, axes, drawn, rank, n_delays=fit.n_delays, stable=stable)
        except DataError:
            continue
        if _same_kind(one.rates, fit.rates):
            order = _matched(one.rates, fit.rates)
            rates.append(one.rates[order])
            sizes.append(one.amplitude[order])
    if len(rates) < max(10, n_draws // 2):
        raise DataError(
            f"{len(rates)} of {n_draws} bootstrap fits found the same kinds of modes",
            "Modes that stay pairs, or stay real, in at least half of the fits were needed",
            "Pass a lower rank, or intervals='analytic'",
        )
    return fit._replace(
        covariance=np.cov(np.array(rates), rowvar=False).reshape(rank, rank),
        amplitude_sd=np.std(sizes, axis=0, ddof=1),
    )


def _laid_anew(left: Array, length: int, draw: np.random.Generator) -> Array:
    n = len(left)
    length = min(length, n)
    begins = draw.integers(0, n - length + 1, -(-n // length))
    return np.concatenate([left[b : b + length] for b in begins])[:n]


def _same_kind(rates: Array, of: Array) -> bool:
    n_pair = len(rates) // 2
    return int(np.sum(rates[1 : 2 * n_pair : 2] > 0)) == int(np.sum(of[1 : 2 * n_pair : 2] > 0))


def _matched(rates: Array, of: Array) -> np.ndarray:
    """Order of the blocks that brings each to the nearest of the fit."""
    n_pair = len(rates) // 2
    scale = np.maximum(np.abs(of), 1e-12)
    left, order = list(range(n_pair)), []
    for b in range(n_pair):
        wanted = of[2 * b : 2 * b + 2]
        best = min(
            left,
            key=lambda p: float(
                np.sum(((rates[2 * p : 2 * p + 2] - wanted) / scale[2 * b : 2 * b + 2]) ** 2)
            ),
        )
        left.remove(best)
        order += [2 * best, 2 * best + 1]
    return np.array([*order, *range(2 * n_pair, len(rates))])
