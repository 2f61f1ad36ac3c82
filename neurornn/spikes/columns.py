"""Poisson regression on columns that came as numbers: each unit's counts told from the same."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from neurornn.spikes.design import BLOCK, Layout
from neurornn.spikes.glm_fit import climb

Array = NDArray[np.float64]


class _Columns:
    """A design of an intercept and given columns, in the form that `climb` takes."""

    def __init__(self, x: Array) -> None:
        self.x = x
        self.layout = Layout((), x.shape[1])
        self.n_rows = len(x)

    def blocks(self, step: int = 1) -> Iterator[tuple[slice, Array]]:
        """Rows block by block, every `step`-th block alone."""
        for begin in range(0, self.n_rows, BLOCK * step):
            where = slice(begin, min(begin + BLOCK, self.n_rows))
            yield where, self.x[where]


def poisson_weights(x: Array, y: Array, penalty: float) -> Array:
    """Return the weights of log-linear rates of several units on the same columns.

    Parameters
    ----------
    x : (row, column), finite.
    y : (row, unit), counts; NaN where none was observed.
    penalty : nats, of half the squared weight of a column that is scaled to an sd of 1.

    Returns
    -------
    (1 + column, unit), the intercept first: ``exp(w[0] + x @ w[1:])`` is the expected count. A
    unit without a spike is told the constant rate of half a spike.
    """
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 1e-12 * np.maximum(np.abs(mean), 1.0), sd, np.inf)
    scaled = np.column_stack([np.ones(len(x)), (x - mean) / sd])
    ridge = np.full(scaled.shape[1], float(penalty))
    ridge[0] = 0.0
    out = np.zeros((scaled.shape[1], y.shape[1]))
    for k, own in enumerate(y.T):
        known = np.isfinite(own)
        n = float(own[known].sum())
        if n == 0:
            out[0, k] = np.log(0.5 / max(int(known.sum()), 1))
            continue
        rows = scaled if known.all() else scaled[known]
        found = climb(cast("Any", _Columns(rows)), own[known], penalty=ridge).weights
        out[1:, k] = found[1:] / sd
        out[0, k] = found[0] - mean @ out[1:, k]
    return out


def expected_counts(x: Array, weights: Array) -> Array:
    """Return the counts that weights expect of columns, (row, unit).

    Parameters
    ----------
    x : (row, column).
    weights : (1 + column, unit), of `poisson_weights`.
    """
    # A level of 20 is a rate of 5e8 spikes in a bin: a fit that ran away, not one to overflow.
    return np.asarray(np.exp(np.minimum(weights[0] + x @ weights[1:], 20.0)))
