"""Sums of exponentials through trajectories: the likelihood of eigenvalues, and its maximum.

A trajectory of a linear system is ``x(t) = M exp(A t) s``: what the modes look like (M), their
rates (A), and where it starts (s). A is in blocks of two, ``[[a, 1], [-w, a]]``, with eigenvalues
``a +- sqrt(-w)``: a conjugate pair where w > 0, two real ones where w < 0, and nothing breaks in
between, so that conjugates are exact and a pair may part on the way. An odd one is left alone.

All sums over time are those of a few functions with themselves and with the data; what comes after
costs the same for a hundred frames and for a hundred thousand.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Below this |w t^2| the quotients of differences are taken from their series.
_SMALL = 1e-2
#: Growth over the longest trajectory beyond which a step is refused, and decay in a frame: a mode
#: that is gone in one would be fitted to the noise of the first.
_FAR, _FASTEST = 300.0, 5.0


class Trajectory(NamedTuple):
    """One trajectory, in the axes that are fitted.

    Attributes
    ----------
    rows : (row,), which entries of the grid of times were recorded.
    values : (row, axis).
    """

    rows: NDArray[np.int64]
    values: Array


class Sums(NamedTuple):
    """Sums over the frames of one trajectory, of functions of time at one set of rates.

    Attributes
    ----------
    gram : (function, function), of the functions with themselves.
    cross : (function, axis), of the functions with the data.
    """

    gram: Array
    cross: Array


def functions_of(time: Array, rates: Array) -> Array:
    """Functions of time that span the trajectories, and how they move with the rates.

    Parameters
    ----------
    time : (time,).
    rates : (rank,)
        a and w of each block of two in turn, and a of the last mode where the rank is odd.

    Returns
    -------
    (time, rank + rank + pairs * 2)
        ``exp(a t) cos(sqrt(w) t)`` and ``exp(a t) sin(sqrt(w) t) / sqrt(w)`` of each block; the
        same times t, their derivatives in a; and their derivatives in w.
    """
    n_pair, odd = divmod(len(rates), 2)
    t = time[:, None]
    a, w = rates[0 : 2 * n_pair : 2], rates[1 : 2 * n_pair : 2]
    size = np.sqrt(np.maximum(np.abs(w), 1e-300))
    swings = w > 0
    inner = np.where(swings, 0.0, size)
    up, down = np.exp((a + inner) * t), np.exp((a - inner) * t)
    turn = size * t
    c = np.where(swings, up * np.cos(turn), (up + down) / 2)
    s = np.where(swings, up * np.sin(turn), (up - down) / 2) / size
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (t * c - s) / (2 * w)
    z = w * t**2
    near = np.abs(z) < _SMALL
    if near.any():
        e = np.exp(a * t)
        s = np.where(near, e * t * (1 - z / 6 * (1 - z / 20 * (1 - z / 42))), s)
        c = np.where(near, e * (1 - z / 2 * (1 - z / 12 * (1 - z / 30))), c)
        slope = np.where(near, -e * t**3 / 6 * (1 - z / 10 * (1 - z / 28 * (1 - z / 54))), slope)
    n = len(time)
    basis = np.empty((n, 2 * n_pair + odd))
    basis[:, 0 : 2 * n_pair : 2], basis[:, 1 : 2 * n_pair : 2] = c, s
    if odd:
        basis[:, -1] = np.exp(rates[-1] * time)
    by_w = np.empty((n, 2 * n_pair))
    by_w[:, 0::2], by_w[:, 1::2] = -t * s / 2, slope
    return np.hstack([basis, t * basis, by_w])


def sums_of(functions: Array, trajectories: list[Trajectory]) -> list[Sums]:
    """Sums over the frames of each trajectory."""
    found = []
    for rows, values in trajectories:
        f = functions[rows]
        found.append(Sums(f.T @ f, f.T @ values))
    return found


def slopes_of(coefficients: Array, rank: int) -> Array:
    """How a trajectory moves with the rates, as coefficients of the functions.

    Parameters
    ----------
    coefficients : (rank, axis), of the functions that span the trajectory.

    Returns
    -------
    (rank, function, axis), one for each rate.
    """
    n_pair, odd = divmod(rank, 2)
    n_axis = coefficients.shape[1]
    slopes = np.zeros((rank, 2 * rank + 2 * n_pair, n_axis))
    for b in range(n_pair):
        pair = slice(2 * b, 2 * b + 2)
        slopes[2 * b, rank + 2 * b : rank + 2 * b + 2] = coefficients[pair]
        slopes[2 * b + 1, 2 * rank + 2 * b : 2 * rank + 2 * b + 2] = coefficients[pair]
    if odd:
        slopes[-1, 2 * rank - 1] = coefficients[-1]
    return slopes


def within_reach(rates: Array, time: Array) -> bool:
    """Whether no mode grows, decays or turns beyond what the times can tell.

    Parameters
    ----------
    rates : (rank,).
    time : (time,), the grid.
    """
    if not np.isfinite(rates).all():
        return False
    n_pair = len(rates) // 2
    a, w = rates[0 : 2 * n_pair : 2], rates[1 : 2 * n_pair : 2]
    apart = np.sqrt(np.maximum(-w, 0.0))
    top = np.concatenate([a + apart, rates[2 * n_pair :]])
    low = np.concatenate([a - apart, rates[2 * n_pair :]])
    step = float(time[1] - time[0])
    turn = np.sqrt(np.maximum(w, 0.0)) * step
    far = top * float(time[-1]) > _FAR
    return not (far.any() or (low * step < -_FASTEST).any() or (turn > np.pi).any())


def rates_of(eigenvalues: NDArray[np.complex128]) -> Array:
    """Rates of the blocks with these eigenvalues, which come as conjugates and real ones.

    Returns
    -------
    (rank,), see `functions_of`; real ones are paired in the order of their size.
    """
    values = np.asarray(eigenvalues, dtype=complex)
    level = 1e-9 * (1 + np.abs(values))
    upper = values[values.imag > level]
    real = np.sort(values[np.abs(values.imag) <= level].real)
    # A real one is left alone where they are odd; the pairs are of neighbours.
    pairs = [(u.real, u.imag**2) for u in upper]
    odd = len(real) % 2
    rest = real[odd:]
    pairs += [
        ((x + y) / 2, -(((y - x) / 2) ** 2)) for x, y in zip(rest[0::2], rest[1::2], strict=True)
    ]
    flat = [v for pair in pairs for v in pair]
    return np.array([*flat, *real[:odd]])


def eigenvalues_of(rates: Array) -> NDArray[np.complex128]:
    """Eigenvalues of the blocks, two of each in turn, and the odd one: (rank,)."""
    n_pair = len(rates) // 2
    a, w = rates[0 : 2 * n_pair : 2], rates[1 : 2 * n_pair : 2]
    root = np.sqrt((-w).astype(complex))
    found = np.empty(len(rates), dtype=complex)
    found[0 : 2 * n_pair : 2], found[1 : 2 * n_pair : 2] = a + root, a - root
    found[2 * n_pair :] = rates[2 * n_pair :]
    return found
