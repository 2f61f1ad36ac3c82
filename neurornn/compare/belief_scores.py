"""Scores that add up over episodes, and their intervals over episodes and networks."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neurornn._core.confidence import draws_interval

Array = NDArray[np.float64]
#: Cuts of a probability for the area under the curve, and for calibration.
N_CUTS, N_BINS = 400, 10


def error_sums(true: Array, guess: Array) -> Array:
    """Sums that make an R2, (question, 4), of the rows of one episode (row, question)."""
    n = np.full(true.shape[1], float(len(true)))
    return np.stack(
        [((true - guess) ** 2).sum(0), true.sum(0), (true**2).sum(0), n], axis=-1
    )  # fmt: skip


def r2_of(sums: Array) -> Array:
    """R2 from sums (..., 4); of several channels, the last axis but one."""
    error, first, second, n = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - error / (second - first**2 / n))


def rank_sums(score: Array, label: NDArray[np.bool_]) -> Array:
    """Counts of those with and without the label in each cut of a probability, (cut, 2)."""
    place = np.clip((score * N_CUTS).astype(int), 0, N_CUTS - 1)
    return np.stack(
        [np.bincount(place[label == k], minlength=N_CUTS).astype(float) for k in (1, 0)], axis=-1
    )


def auroc_of(sums: Array) -> Array:
    """Area under the ROC curve from counts (..., cut, 2); ties within a cut count half."""
    yes, no = sums[..., 0], sums[..., 1]
    below = np.cumsum(no, axis=-1) - 0.5 * no
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((yes * below).sum(-1) / (yes.sum(-1) * no.sum(-1)))


def calibration_sums(score: Array, label: NDArray[np.bool_]) -> Array:
    """Sums of probability, of labels and of rows in each bin of a probability, (bin, 3)."""
    place = np.clip((score * N_BINS).astype(int), 0, N_BINS - 1)
    each = (score, label.astype(float), np.ones(len(score)))
    return np.stack([np.bincount(place, w, minlength=N_BINS) for w in each], axis=-1)


def calibration_error_of(sums: Array) -> Array:
    """Mean distance of what was said from what was, over bins (..., bin, 3)."""
    said, was, n = sums[..., 0], sums[..., 1], sums[..., 2]
    return np.asarray(np.abs(said - was).sum(-1) / n.sum(-1))


def with_interval(
    sums: Array, score: Callable[[Array], Array], level: float, draw: np.random.Generator,
    n_draws: int = 400,
) -> tuple[Array, Array]:  # fmt: skip
    """A score, the mean over networks, with its interval over episodes and networks.

    Parameters
    ----------
    sums : (network, episode, ...), which add up over episodes.
    score : of sums (..., ) that were added up.
    draw : for the draws: networks first, then episodes of each (a bootstrap in two levels).

    Returns
    -------
    value, interval : of the shape of the score, and with two bounds as the last axis.
    """
    n_networks, n_episodes = sums.shape[:2]
    flat = sums.reshape(n_networks, n_episodes, -1)
    value = np.mean([score(s.sum(axis=0)) for s in sums], axis=0)
    shape = sums.shape[2:]
    share = np.full(n_episodes, 1 / n_episodes)
    drawn = []
    for _ in range(n_draws):
        found = []
        for k in draw.integers(n_networks, size=(n_networks,)).tolist():
            weight = draw.multinomial(n_episodes, share)
            found.append(score((weight @ flat[k]).reshape(shape)))
        drawn.append(np.mean(found, axis=0))
    return value, draws_interval(np.array(drawn), level)


def sign_flip(differences: Array, n_permutations: int, draw: np.random.Generator) -> float:
    """Probability of so large a mean by chance, if each difference could have had either sign.

    Parameters
    ----------
    differences : (episode,), above 0 where the first is better.
    """
    seen = differences.mean()
    signs = draw.choice([-1.0, 1.0], (n_permutations, len(differences)))
    return float((1 + ((signs @ differences) / len(differences) >= seen).sum())
                 / (1 + n_permutations))  # fmt: skip


def chances_against_first(
    linear: Array, n_permutations: int, draw: np.random.Generator
) -> Array:  # fmt: skip
    """Probability, for each source, that it reads as well as the first; NaN for the first itself.

    Parameters
    ----------
    linear : (network, episode, source, question, 4), of `error_sums`.
    """
    error = linear[..., 0]
    total = linear[..., 2].sum(axis=(0, 1))
    # What never changes tells nobody apart: all errors are 0.
    error = error / np.where(total > 0, total, np.inf)
    error = error.sum(axis=-1).reshape(-1, linear.shape[2])
    return np.array(
        [np.nan]
        + [
            sign_flip(error[:, k] - error[:, 0], n_permutations, draw)
            for k in range(1, linear.shape[2])
        ]
    )
