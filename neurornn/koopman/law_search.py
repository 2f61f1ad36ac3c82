"""The search for functions that stay along trajectories: scatters, the simplest, the next one.

What a function does within trajectories is compared with how it differs over all states. Both are
quadratic in its weights; what noise adds to the first is known from the smoothing and taken away.
"""

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from neurornn.koopman.dictionaries import Dictionary
from neurornn.koopman.smoothing import Smooth

Array = NDArray[np.float64]

#: Largest number of functions of which all combinations are looked at, by how many are combined.
_ALL = {1: 2000, 2: 400, 3: 60, 4: 26}
#: Of those that weigh least, so many are tried in turn as the next to be left out.
_TRIED = 6
_RIDGE = 1e-9


class Scatters(NamedTuple):
    """What functions do within each trajectory and over all.

    Attributes
    ----------
    values : of each trajectory, (time, term); corrected for the curvature of the functions.
    within : (trajectory, term, term), sums of squares about the trajectory's mean, noise removed.
    """

    values: list[Array]
    within: Array

    def pick(
        self, trajectories: NDArray[np.intp], terms: Sequence[int] | None = None
    ) -> "Scatters":
        """Return some trajectories and terms."""
        chosen = slice(None) if terms is None else list(terms)
        within = self.within[trajectories]
        if terms is not None:
            within = within[:, chosen][:, :, chosen]
        return Scatters([self.values[j][:, chosen] for j in trajectories], within)

    @property
    def total(self) -> Array:
        """Sums of squares about the mean of all states, (term, term)."""
        rows = np.concatenate(self.values)
        rows = rows - rows.mean(axis=0)
        return rows.T @ rows


def scatters_of(smooth: list[Smooth], dictionary: Dictionary) -> Scatters:
    """Scatter of every function, with what is left of the noise taken away.

    The noise of a smooth state moves a function by its slope: its covariance along a trajectory
    follows from the weights of the smoothing. Its curvature shifts the function, which is
    corrected to second order.
    """
    size = len(dictionary)
    values, within = [], np.zeros((len(smooth), size, size))
    for j, (x, weights, noise_sd) in enumerate(smooth):
        found, noise = dictionary(x), np.zeros((size, size))
        for v, (w, sd) in enumerate(zip(weights, noise_sd, strict=True)):
            slope, bend = dictionary.slopes(x, v)
            left = np.sum(w**2, axis=1)
            found = found - sd**2 / 2 * left[:, None] * bend
            moved = w.T @ slope
            noise += sd**2 * ((slope * left[:, None]).T @ slope - moved.T @ moved / len(x))
        centred = found - found.mean(axis=0)
        values.append(found)
        within[j] = centred.T @ centred - noise
    return Scatters(values, within)


def least_moving(within: Array, total: Array) -> tuple[Array, Array]:
    """Ratios of what functions do within trajectories to their scatter, and weights.

    Returns
    -------
    (function,), the smallest first; below 0 where less is left than noise explains.
    (term, function), each of scatter 1.
    """
    size = np.sqrt(np.maximum(np.diag(total), 1e-300))
    scale = np.outer(size, size)
    ridge = _RIDGE * np.eye(len(size))
    ratios, weights = linalg.eigh(within / scale, total / scale + ridge)
    return ratios, weights / size[:, None]


def not_negative(within: Array, total: Array) -> Array:
    """Movement with what lies below 0, where noise was taken away, set to 0."""
    size = np.sqrt(np.maximum(np.diag(total), 1e-300))
    scale = np.outer(size, size)
    metric = total / scale + _RIDGE * np.eye(len(size))
    ratios, weights = linalg.eigh(within / scale, metric)
    back = metric @ weights
    return np.asarray((back * np.maximum(ratios, 0.0)) @ back.T * scale)


def supports(within: Array, total: Array, degrees: Array) -> list[list[int]]:
    """Sets of functions, of which one combination hardly moves, from the largest to the smallest.

    All combinations of few functions are looked at where they are not too many; beyond, the
    function that is missed least is left out, one after the other.
    """
    size = np.sqrt(np.maximum(np.diag(total), 1e-300))
    w, b = within / np.outer(size, size), total / np.outer(size, size)
    n = len(size)
    chosen, found = list(range(n)), []
    while len(chosen) > 4 or (len(chosen) > 1 and n > _ALL[min(len(chosen), 4)]):
        found.append(list(chosen))
        part = np.ix_(chosen, chosen)
        weights = linalg.eigh(w[part], b[part] + _RIDGE * np.eye(len(chosen)))[1][:, 0]
        weakest = np.argsort(np.abs(weights))[:_TRIED]
        left = [[c for k, c in enumerate(chosen) if k != out] for out in weakest]
        chosen = left[int(np.argmin(_ratios(w, b, np.array(left))))]
    for k in (4, 3, 2, 1):
        if n > _ALL[k] or k > n:
            if k < len(chosen) + 1 and k <= n:
                found.append(list(chosen))
            continue
        sets = np.array(list(combinations(range(n), k)))
        ratios = _ratios(w, b, sets)
        # Of sets that do equally well the one of lower degree is taken.
        level = ratios + 1e-4 * degrees[sets].sum(axis=1) * max(abs(float(ratios.min())), 1e-6)
        found.append([int(c) for c in sets[int(np.argmin(level))]])
    return found


def _ratios(w: Array, b: Array, sets: NDArray[np.intp]) -> Array:
    """Smallest ratio of each of many sets of functions, all of one size."""
    rows, columns = sets[:, :, None], sets[:, None, :]
    factor = np.linalg.cholesky(b[rows, columns] + 1e-7 * np.eye(sets.shape[1]))
    inverse = np.linalg.inv(factor)
    inner = inverse @ w[rows, columns] @ np.swapaxes(inverse, 1, 2)
    return np.asarray(np.linalg.eigvalsh(inner)[:, 0], dtype=np.float64)


class HeldOut(NamedTuple):
    """A function on trajectories that did not choose it.

    Attributes
    ----------
    ratio, ratio_se : of what it does within trajectories to its scatter, squares.
    drift, drift_se : mean change along a trajectory, in sd of the function.
    """

    ratio: float
    ratio_se: float
    drift: float
    drift_se: float


def judge(scatters: Scatters, weights: Array) -> HeldOut:
    """Judge a function on trajectories, best on those that did not choose it.

    Parameters
    ----------
    weights : (term,).
    """
    values = [v @ weights for v in scatters.values]
    everything = np.concatenate(values)
    mean, sd = everything.mean(), everything.std()
    if not sd > 0:
        return HeldOut(np.inf, np.inf, np.inf, np.inf)
    a = np.einsum("k,jkl,l->j", weights, scatters.within, weights)
    b = np.array([np.sum((v - mean) ** 2) for v in values])
    n = len(a)
    ratio = float(a.sum() / b.sum())
    influence = (a - ratio * b) * n / b.sum()
    slopes = []
    for v in values:
        t = np.linspace(-0.5, 0.5, len(v))
        slopes.append(float(t @ v / (t @ t)) / sd)
    spread = [float(np.std(x, ddof=min(1, n - 1)) / np.sqrt(n)) for x in (influence, slopes)]
    return HeldOut(ratio, spread[0], float(np.mean(slopes)), spread[1])


def without(scatters: Scatters, laws: list[Array]) -> Scatters:
    """Take from every function what the laws found so far say of it.

    Parameters
    ----------
    laws : weights (term,) of each.

    Returns
    -------
    Scatters
        Values less their regression on the laws, their powers and products to the third degree;
        what functions do within trajectories stays as it is.
    """
    known = [np.stack([v @ w for w in laws], axis=1) for v in scatters.values]
    rows = np.concatenate(known)
    mean, sd = rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-300)
    columns = [np.ones((len(rows), 1))]
    z = (rows - mean) / sd
    for degree in range(1, 4):
        sets = list(combinations_with_replacement(range(len(laws)), degree))
        columns += [np.prod(z[:, list(s)], axis=1)[:, None] for s in sets]
    basis = np.linalg.qr(np.hstack(columns))[0]
    everything = np.concatenate(scatters.values)
    left = everything - basis @ (basis.T @ everything)
    edges = np.cumsum([len(v) for v in scatters.values])[:-1]
    return Scatters(np.split(left, edges), scatters.within)
