"""Counts as the likelihood of one latent walks through them, and matrices for each kind of step.

A row is a step. Rows without a spike may be one step together: its matrix is a power of that of
one row. For one unit a spike is a step with the silent rows before it: as counts are few, so are
the matrices, and an hour of counts takes as many products as there are bins with spikes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Rows without a spike are taken together, so many at least and at most, where fewer than this
#: part of them are left.
_FEWEST, _MOST, _WORTH = 4, 32, 0.7
#: Different counts of one unit that may have matrices of their own.
_MOST_COUNTS = 12
#: Steps that each matrix should be met in.
_OFTEN = 10


class Steps(NamedTuple):
    """Rows as the likelihood walks through them.

    Attributes
    ----------
    last : (step,), last row of each: the one with the spikes.
    which : (step,), number of its matrix.
    edges : (run + 1,), first step of each run, and the number of steps.
    place : (step,), where each comes if they are sorted by `which`.
    ends : where each value of `which` begins then, and the number of steps.
    most : silent rows of the longest step; 1 if each row is a step.
    counts : what one unit's bins with spikes hold, from low to high, if each has matrices.
    """

    last: NDArray[np.int64]
    which: NDArray[np.int64]
    edges: NDArray[np.int64]
    place: NDArray[np.int64]
    ends: NDArray[np.int64]
    most: int
    counts: Array


def steps_of(
    counts: Array, edges: NDArray[np.int64], pattern: NDArray[np.int64], n_patterns: int, *,
    together: bool = True, own: bool = True,
) -> Steps:  # fmt: skip
    """Walk through rows.

    Parameters
    ----------
    counts : (row, unit).
    edges : (run + 1,), first row of each run, and the number of rows.
    pattern : (row,), of `n_patterns` patterns of units that were observed.
    together : take silent rows together.
    own : counts of one unit may have matrices of their own.

    Notes
    -----
    Matrices are numbered ``pattern * most`` and the number of silent rows less 1; behind those of
    one unit come, for each of `Steps.counts`, those of 0, 1, ... silent rows before it.
    """
    n_rows = len(counts)
    if not together:
        return _sorted(np.arange(n_rows), pattern, edges, n_patterns, 1, np.empty(0))
    busy = counts.any(axis=1)
    values = np.empty(0)
    if own and counts.shape[1] == 1 and n_patterns == 1:
        values = np.unique(counts[busy])
        # A matrix is worth its making if it is met often enough.
        few = busy.sum() < _OFTEN * _FEWEST * len(values)
        values = np.empty(0) if few or len(values) > _MOST_COUNTS else values
    new = np.ones(n_rows, dtype=bool)
    new[1:] = busy[:-1] | (pattern[1:] != pattern[:-1])
    if not len(values):
        new |= busy
    new[edges[:-1]] = True
    # Twice the rows between spikes; a longer stretch is of several steps.
    between = n_rows / max(int(busy.sum()), 1)
    most = int(np.clip(2 ** np.ceil(np.log2(2 * between)), _FEWEST, _MOST))
    at = np.arange(n_rows)
    first = np.flatnonzero((at - np.maximum.accumulate(np.where(new, at, 0))) % most == 0)
    if len(first) > _WORTH * n_rows or len(first) < _OFTEN * most:
        return steps_of(counts, edges, pattern, n_patterns, together=False)
    length = np.diff(np.append(first, n_rows))
    last = first + length - 1
    which = pattern[first] * most + length - 1
    if len(values):
        own = np.searchsorted(values, counts[last, 0])
        which = np.where(busy[last], (1 + own) * most + length - 1, which)
    n = (n_patterns + len(values)) * most
    return _sorted(last, which, np.searchsorted(first, edges), n, most, values)


def _sorted(
    last: NDArray[np.int64], which: NDArray[np.int64], edges: NDArray[np.int64], n: int,
    most: int, values: Array,
) -> Steps:  # fmt: skip
    order = np.argsort(which, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    ends = np.searchsorted(which[order], np.arange(n + 1))
    return Steps(last, which, edges, place, ends, most, values)


class Matrices(NamedTuple):
    """Matrices of all kinds of steps, and what they are made of.

    Attributes
    ----------
    all : (which, node, state, state), from the values before a step to those after it.
    silent : (pattern, node, state, state), of one row, without its counts.
    spiking : (count, state, state), of one row with a count of `Steps.counts`.
    """

    all: Array
    silent: Array
    spiking: Array


def matrices_of(steps: Steps, silent: Array, before: Array, after: Array) -> Matrices:
    """Make a matrix for each kind of step.

    Parameters
    ----------
    steps : the kinds.
    silent : (pattern, node, state, state), of one row, without its counts.
    before, after : (state,), what one spike multiplies the matrix by.
    """
    n = silent.shape[-1]
    spiking = np.array([before[:, None] ** c * silent[0, 0] * after**c for c in steps.counts])
    if steps.most == 1:
        return Matrices(silent, silent, spiking)
    powers = np.empty((len(silent), steps.most, *silent.shape[1:]))
    powers[:, 0] = silent
    for done in range(1, steps.most):
        powers[:, done] = powers[:, done - 1] @ silent
    every = [powers.reshape(-1, *silent.shape[1:])]
    for own in spiking:
        # After none, one, ... silent rows.
        every += [own[None, None], (powers[0, :-1, 0] @ own)[:, None]]
    return Matrices(np.concatenate(every).reshape(-1, silent.shape[1], n, n), silent, spiking)


def pairs_of(
    steps: Steps, drive: Array, before: Array, after: Array, matrices: Matrices, nodes: Array
) -> tuple[Array, Array, Array]:
    """Expected visits of pairs of values in single rows.

    Parameters
    ----------
    steps : as walked.
    drive : (step,), counts weighted by the loadings.
    before, after : (step, state), what counts tell, sorted as `Steps.place` says.
    matrices : of the steps.
    nodes : (node,), of the latent within a row.

    Returns
    -------
    Of silent rows, and of all rows where counts have no matrices of their own, (pattern, node,
    before, after); of rows with each of `Steps.counts`, (count, before, after); and the expected
    node of each step.
    """
    silent, most = matrices.silent, steps.most
    out = np.empty_like(silent)
    wander = np.zeros(len(drive))
    ordered = np.empty_like(drive)
    ordered[steps.place] = drive
    for p in range(len(silent)):
        for q, node in enumerate(nodes):
            by_power = np.zeros((most, *silent.shape[2:]))
            for m in range(most):
                at = slice(*steps.ends[p * most + m : p * most + m + 2])
                first = before[at]
                if node != 0:
                    first = first * np.exp(ordered[at] * node)[:, None]
                    wander[at] += node * np.einsum(
                        "ts,sr,tr->t", first, silent[p, q], after[at], optimize=True
                    )
                by_power[m] = first.T @ after[at]
            if p == q == 0 and len(steps.counts):
                spiking = _pairs_with_spikes(steps, before, after, matrices, by_power)
            # A power is the one before it, times the matrix.
            slope, along = np.zeros_like(silent[p, q]), np.zeros_like(silent[p, q])
            for m in range(most - 1, -1, -1):
                along += by_power[m]
                if m:
                    slope += matrices.all[p * most + m - 1, q].T @ along
                    along = along @ silent[p, q].T
            out[p, q] = (slope + along) * silent[p, q]
    if not len(steps.counts):
        spiking = np.empty((0, *silent.shape[2:]))
    return out, spiking, wander[steps.place]


def _pairs_with_spikes(
    steps: Steps, before: Array, after: Array, matrices: Matrices, by_power: Array
) -> Array:
    """The same of rows with spikes; what silent rows before them add goes into `by_power`."""
    out = np.empty_like(matrices.spiking)
    earlier = matrices.all[: steps.most - 1, 0].swapaxes(1, 2)
    for c, own in enumerate(matrices.spiking):
        here = np.zeros((steps.most, *own.shape))
        for m in range(steps.most):
            a, b = steps.ends[(1 + c) * steps.most + m : (1 + c) * steps.most + m + 2]
            if b > a:
                here[m] = before[a:b].T @ after[a:b]
        by_power[:-1] += here[1:] @ own.T
        out[c] = (here[0] + (earlier @ here[1:]).sum(axis=0)) * own
    return out
