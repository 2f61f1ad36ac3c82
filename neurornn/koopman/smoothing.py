"""Trajectories freed from noise by local polynomials, and how much noise is left in them.

How far the polynomials reach is chosen for each variable by leaving each frame out in turn; all
trajectories choose together. What is left of the noise after smoothing is known from the weights,
so that whatever is computed from the smooth trajectories can be corrected for it.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Frames to each side that are tried, and degrees of the polynomials.
REACHES = (2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 26)
DEGREES = (3, 5)


class Smooth(NamedTuple):
    """One smoothed trajectory.

    Attributes
    ----------
    values : (time, variable).
    weights : of each variable, (time, time): smooth values are weights times frames.
    noise_sd : (variable,), sd of the noise of a frame.
    """

    values: Array
    weights: list[Array]
    noise_sd: Array


def smoothed(trajectories: list[Array], times: list[Array]) -> list[Smooth]:
    """Smooth trajectories, each variable with the reach and degree that predict it best.

    Parameters
    ----------
    trajectories : (time, variable) of each, complete frames alone.
    times : (time,), of each, in frames.

    References
    ----------
    Savitzky & Golay 1964, doi:10.1021/ac60214a047; Craven & Wahba 1979, doi:10.1007/BF01404567
    (cross-validation).
    """
    n = trajectories[0].shape[1]
    keys = [tuple(np.asarray(t, dtype=int).tolist()) for t in times]
    shortest = min(len(t) for t in times)
    best, least = [(0, 0)] * n, np.full(n, np.inf)
    sds = np.zeros(n)
    for degree in DEGREES:
        for reach in REACHES:
            if 2 * reach + 1 > shortest or 2 * reach < degree + 1:
                continue
            left, out, freedom = np.zeros(n), np.zeros(n), 0.0
            frames = 0
            for key, x in zip(keys, trajectories, strict=True):
                s = _weights(key, reach, degree)
                e = x - s @ x
                own = np.maximum(1 - np.diag(s), 1e-6)
                left += np.sum((e / own[:, None]) ** 2, axis=0)
                out += np.sum(e**2, axis=0)
                freedom += float(np.sum((np.eye(len(s)) - s) ** 2))
                frames += len(x)
            better = left / frames < least
            least = np.where(better, left / frames, least)
            for v in np.flatnonzero(better):
                best[v] = (reach, degree)
                sds[v] = np.sqrt(out[v] / max(freedom, 1e-12))
    found = []
    for key, x in zip(keys, trajectories, strict=True):
        weights = [_weights(key, *chosen) if chosen[0] else np.eye(len(x)) for chosen in best]
        values = np.stack([w @ x[:, v] for v, w in enumerate(weights)], axis=1)
        found.append(Smooth(values, weights, sds))
    return found


@lru_cache(maxsize=256)
def _weights(times: tuple[int, ...], reach: int, degree: int) -> Array:
    """Weights of a local polynomial at each of the times, of the frames nearest to it."""
    t = np.array(times, dtype=float)
    n, size = len(t), 2 * reach + 1
    out = np.zeros((n, n))
    known: dict[tuple[float, ...], Array] = {}
    for k in range(n):
        a = min(max(k - reach, 0), n - size)
        u = (t[a : a + size] - t[k]) / reach
        key = tuple(u.tolist())
        if key not in known:
            columns = np.vander(u, degree + 1, increasing=True)
            known[key] = np.linalg.pinv(columns)[0]
        out[k, a : a + size] = known[key]
    return out
