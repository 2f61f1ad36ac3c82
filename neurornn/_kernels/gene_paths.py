"""Genes on both strands that may stand beside one another: the best set, and how sure each is.

Candidates come sorted by their right ends. A gene may overlap the one before it as far as the
tables of links allow; none lies within another.
"""

import numpy as np
from numba import njit

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}

#: Longest overlap that a table of links can hold, bp: its first entry.
OVERLAP = 200


@njit(**_LOOPS)
def _link(j, i, left, right, strand, links):
    """Log weight of candidate j behind candidate i, which reaches beyond no wall; -inf for no."""
    if left[i] >= left[j] or right[i] >= right[j]:
        return -np.inf
    at = left[j] - right[i] + OVERLAP
    if strand[i] == strand[j]:
        return links[0, at]
    return links[1, at] if strand[i] == 0 else links[2, at]


@njit(**_LOOPS)
def best_path(left, right, strand, score, links):
    """Mark the candidates of the set with the highest sum of scores and links.

    Parameters
    ----------
    left, right : (candidate,), half-open, in the order of right, then left.
    strand : (candidate,), 0 or 1. score : (candidate,), log odds against no gene.
    links : (3, distance), of neighbours on one strand, with ends that meet, and with starts that
        do; the first entry is an overlap of `OVERLAP`, -inf where it is forbidden. Beyond the
        last entry a link is 0.
    """
    n = len(left)
    chosen = np.zeros(n, np.bool_)
    if n == 0:
        return chosen
    reach = links.shape[1] - OVERLAP
    best, before = np.empty(n), np.full(n, -1)
    # Best sum among all up to here, and who ends it; -1 for no gene at all.
    top, who = np.empty(n), np.empty(n, np.int64)
    near, far = 0, 0
    for j in range(n):
        far = np.searchsorted(right, left[j] - reach, side="right")
        near = np.searchsorted(right, left[j] + OVERLAP, side="right")
        total, via = 0.0, -1
        if far > 0 and top[far - 1] > 0:
            total, via = top[far - 1], who[far - 1]
        for i in range(far, min(near, j)):
            x = best[i] + _link(j, i, left, right, strand, links)
            if x > total:
                total, via = x, i
        best[j], before[j] = total + score[j], via
        if j == 0 or best[j] > top[j - 1]:
            top[j], who[j] = best[j], j
        else:
            top[j], who[j] = top[j - 1], who[j - 1]
    if top[n - 1] <= 0:
        return chosen
    j = who[n - 1]
    while j >= 0:
        chosen[j] = True
        j = before[j]
    return chosen


@njit(**_LOOPS)
def sums_before(left, right, strand, score, links):
    """Log of the summed weights of all sets that end with each candidate, and of all sets.

    Parameters
    ----------
    left, right, strand, score, links : as for `best_path`.

    Returns
    -------
    before : (candidate,), with the candidate's own score.
    whole : log weight of all sets, the empty one with weight 1.
    """
    n = len(left)
    before, up_to = np.empty(n), np.empty(n)
    reach = links.shape[1] - OVERLAP
    for j in range(n):
        far = np.searchsorted(right, left[j] - reach, side="right")
        near = min(np.searchsorted(right, left[j] + OVERLAP, side="right"), j)
        most = up_to[far - 1] if far > 0 else 0.0
        for i in range(far, near):
            most = max(most, before[i] + _link(j, i, left, right, strand, links))
        total = np.exp((up_to[far - 1] if far > 0 else 0.0) - most)
        for i in range(far, near):
            total += np.exp(before[i] + _link(j, i, left, right, strand, links) - most)
        before[j] = score[j] + most + np.log(total)
        last = up_to[j - 1] if j > 0 else 0.0
        high = max(last, before[j])
        up_to[j] = high + np.log(np.exp(last - high) + np.exp(before[j] - high))
    return before, (up_to[n - 1] if n else 0.0)
