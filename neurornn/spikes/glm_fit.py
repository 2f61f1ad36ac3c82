"""The likelihood of counts under a log-linear rate, climbed by Newton's method."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.linalg.blas import dsyrk

from neurornn.spikes.design import BLOCK, Design

Array = NDArray[np.float64]

#: Half the squared length of a Newton step, in nats, below which the top is reached.
_TOP = 1e-6
_MOST_STEPS = 60
#: Share of the information of a column below which others say all that it says.
_FLAT = 1e-10
#: Rows of a first climb on a part of the data: so many per column, and no fewer.
_FEW_PER_COLUMN, _FEW = 40, 40_000


class GLMFit(NamedTuple):
    """Where a climb ended.

    Attributes
    ----------
    weights : (column,).
    information : (column, column), penalty included.
    log_likelihood : nats, without the penalty and without factorials.
    converged : the top was reached.
    score_sum : (column, column), how much the score varies beyond the information, where rows
        were drawn; None where all count.
    """

    weights: Array
    information: Array
    log_likelihood: float
    converged: bool
    score_sum: Array | None = None

    @property
    def covariance(self) -> Array:
        """Covariance of the weights, (column, column)."""
        inverse = np.linalg.pinv(self.information, hermitian=True)
        if self.score_sum is None:
            return np.asarray(inverse)
        return np.asarray(inverse + inverse @ self.score_sum @ inverse)


def per_row(y: Array, level: Array, bernoulli: bool) -> tuple[Array, Array, Array]:
    """Log-likelihood of each row, its slope by the level, and the information of the level.

    Parameters
    ----------
    y : (row,), counts.
    level : (row,), log of the expected count, or of the hazard of a bin.
    bernoulli : a bin holds one spike at most, with probability ``1 - exp(-exp(level))``.
    """
    mean = np.exp(np.minimum(level, 50.0))
    if not bernoulli:
        return y * level - mean, y - mean, mean
    # One spike or none; small hazards by their series.
    small = mean < 1e-6
    fired = -np.expm1(-mean)
    log_fired = np.where(small, level - mean / 2, np.log(np.maximum(fired, 1e-300)))
    odds = np.where(small, 1.0 - mean / 2, mean * np.exp(-mean) / np.maximum(fired, 1e-300))
    information = np.where(small, mean, mean * odds)
    return (
        np.where(y > 0, log_fired, -mean),
        np.where(y > 0, odds, -mean),
        np.maximum(information, 1e-300),
    )


def climb(
    design: Design,
    y: Array,
    *,
    bernoulli: bool = False,
    penalty: Array | None = None,
    drawn: Array | None = None,
    start: Array | None = None,
) -> GLMFit:
    """Find the weights of largest likelihood.

    Parameters
    ----------
    design : rows and columns.
    y : (row,), counts.
    bernoulli : see `per_row`.
    penalty : (column,), of half the squared weights, in nats.
    drawn : (row,), how many rows each one without a spike stands for; None for one each.
    start : (column,).

    References
    ----------
    McCullagh & Nelder 1989, Generalized Linear Models, doi:10.1201/9780203753736.
    """
    p = design.layout.n_columns
    ridge = np.zeros(p) if penalty is None else penalty
    weights = np.zeros(p) if start is None else start.copy()
    if start is None:
        total = len(y) if drawn is None else drawn.sum()
        weights[0] = np.log(max(y.sum(), 0.5) / total)
    few = max(_FEW, _FEW_PER_COLUMN * p)
    step = max(1, design.n_rows // few) if design.n_rows >= 4 * few else 1
    if step > 1:
        weights, *_ = _climb(design, y, weights, ridge / step, bernoulli, drawn, step, 0.5)
    weights, information, top, done = _climb(design, y, weights, ridge, bernoulli, drawn, 1, _TOP)
    extra = None if drawn is None else _of_drawing(design, y, weights, drawn)
    return GLMFit(weights, information, top, done, extra)


def _climb(
    design: Design, y: Array, weights: Array, ridge: Array, bernoulli: bool,
    drawn: Array | None, step: int, enough: float,
) -> tuple[Array, Array, float, bool]:  # fmt: skip
    here, slope, information = _look(design, y, weights, bernoulli, drawn, step)
    for _ in range(_MOST_STEPS):
        full = information + np.diag(ridge)
        ahead = _solve(full, slope - ridge * weights)
        gain = float(ahead @ (slope - ridge * weights)) / 2
        if gain < enough:
            return weights + ahead, full, here, True
        before = here - 0.5 * float(ridge @ weights**2)
        size = 1.0
        while True:
            tried = weights + size * ahead
            there, slope, information = _look(design, y, tried, bernoulli, drawn, step)
            if there - 0.5 * float(ridge @ tried**2) >= before - 1e-9 * abs(before):
                break
            size /= 2
            if size < 1e-6:
                return weights, full, here, False
        weights, here = tried, there
    return weights, information + np.diag(ridge), here, False


def _solve(information: Array, slope: Array) -> Array:
    found = climbing_step(information, slope)
    if found is not None:
        return found
    return np.asarray(np.linalg.lstsq(information, slope, rcond=1e-12)[0])


def climbing_step(information: Array, slope: Array) -> Array | None:
    """Newton step; None where the information is that of no top.

    Columns that say nothing stay where they are, and those that say the same share what they say.

    Parameters
    ----------
    information : (column, column), minus second derivatives.
    slope : (column,).
    """
    size = np.diag(information)
    if np.any(size < 0):
        return None
    try:
        factor = linalg.cho_factor(information)
        if np.all(np.diag(factor[0]) ** 2 > _FLAT * size):
            return np.asarray(linalg.cho_solve(factor, slope))
    except linalg.LinAlgError:
        pass
    scale = np.where(size > 0, 1.0 / np.sqrt(np.where(size > 0, size, 1.0)), 0.0)
    values, axes = linalg.eigh(information * scale[:, None] * scale)
    if values[0] < -1e-8:
        return None
    kept = values > _FLAT
    along = axes[:, kept].T @ (scale * slope)
    return np.asarray(scale * (axes[:, kept] @ (along / values[kept])))


def _look(
    design: Design, y: Array, weights: Array, bernoulli: bool, drawn: Array | None, step: int
) -> tuple[float, Array, Array]:
    """Likelihood, its slope and the information at given weights."""
    p = design.layout.n_columns
    total, slope = 0.0, np.zeros(p)
    information = np.zeros((p, p), order="F")
    for where, x in design.blocks(step):
        own = y[where]
        value, rise, known = per_row(own, x @ weights, bernoulli)
        if drawn is not None:
            # A row that stands for others has no spike.
            times = drawn[where]
            value, rise, known = value * times, rise * times, known * times
        total += float(value.sum())
        slope += x.T @ rise
        scaled = x * np.sqrt(known)[:, None]
        information = dsyrk(1.0, scaled.T, beta=1.0, c=information, overwrite_c=1)
    upper = np.triu(information)
    return total, slope, upper + np.triu(upper, 1).T


def _of_drawing(design: Design, y: Array, weights: Array, drawn: Array) -> Array:
    """What the drawing of rows adds to the variance of the score."""
    p = design.layout.n_columns
    out = np.zeros((p, p), order="F")
    for where, x in design.blocks():
        _, rise, _ = per_row(y[where], x @ weights, False)
        size = np.abs(rise) * np.sqrt(np.maximum(drawn[where] * (drawn[where] - 1), 0.0))
        out = dsyrk(1.0, (x * size[:, None]).T, beta=1.0, c=out, overwrite_c=1)
    upper = np.triu(out)
    return np.asarray(upper + np.triu(upper, 1).T)


def log_likelihood_at(design: Design, y: Array, weights: Array, bernoulli: bool) -> float:
    """Log-likelihood of rows under given weights, nats, without factorials."""
    total = 0.0
    for begin in range(0, design.n_rows, BLOCK):
        where = slice(begin, min(begin + BLOCK, design.n_rows))
        total += float(per_row(y[where], design.block(where) @ weights, bernoulli)[0].sum())
    return total
