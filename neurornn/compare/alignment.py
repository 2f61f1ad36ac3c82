"""Two linear maps laid on one another by a rotation: how alike what they do is, in any axes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Steps of one search, and the relative gain at which it ends.
_STEPS, _SETTLED = 200, 1e-9


class Aligned(NamedTuple):
    """The best rotation found.

    Attributes
    ----------
    rotation : (axis, axis), orthogonal: ``rotation @ a @ rotation.T`` is laid on b.
    angle : radians, between the maps as vectors.
    distance : Frobenius norm of the difference.
    """

    rotation: Array
    angle: float
    distance: float


def align(
    a: Array, b: Array, *, n_starts: int = 8, n_turned: int = 20, rng: np.random.Generator
) -> Aligned:
    """Lay one map on another by the orthogonal matrix that brings them closest.

    Parameters
    ----------
    a, b : (axis, axis).
    n_starts : starts of the search: axes in which both are sorted alike, and random ones.
    n_turned : more of them: eigenvectors laid on one another, each in a phase drawn for it.

    Notes
    -----
    Dynamical similarity analysis (Ostrow et al. 2023) minimises ``|C A C' - B|`` over orthogonal C
    by gradient descent. Here ``trace(C A C' B')`` is climbed by polar factors of its slope, with a
    shift that lets no step go down; there is no step size to choose.
    """
    best: Array | None = None
    most = -np.inf
    for start in [*_starts(a, b, n_starts, rng), *_turned(a, b, n_turned, rng)]:
        found, value = _climbed(start, a, b)
        if best is None or value > most:
            best, most = found, value
    assert best is not None
    norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
    cosine = most / max(float(norm_a * norm_b), 1e-300)
    distance = np.sqrt(max(float(norm_a**2 + norm_b**2) - 2 * most, 0.0))
    return Aligned(best, float(np.arccos(np.clip(cosine, -1, 1))), float(distance))


def _climbed(c: Array, a: Array, b: Array) -> tuple[Array, float]:
    # With so much added the quadratic form is convex, and then its polar step climbs.
    shift = 2 * float(np.linalg.norm(a, 2) * np.linalg.norm(b, 2))
    value = _agreement(c, a, b)
    for _ in range(_STEPS):
        slope = b @ c @ a.T + b.T @ c @ a
        better = None
        # A smaller shift goes further; it is taken where it climbs.
        for share in (0.0, 0.2, 1.0):
            u, _, v = np.linalg.svd(slope + share * shift * c)
            trial = u @ v
            found = _agreement(trial, a, b)
            if found > value:
                better = (trial, found)
                break
        if better is None:
            break
        gain, (c, value) = better[1] - value, better
        if gain < _SETTLED * max(abs(value), 1e-300):
            break
    return c, value


def _agreement(c: Array, a: Array, b: Array) -> float:
    return float(np.sum((c @ a @ c.T) * b))


def _starts(a: Array, b: Array, n: int, rng: np.random.Generator) -> list[Array]:
    size = len(a)
    found = [np.eye(size)]
    # Axes of the symmetric parts, and of what is left, in the order of their eigenvalues.
    for of in (lambda m: m + m.T, lambda m: m @ m.T, lambda m: m.T @ m):
        va, vb = np.linalg.eigh(of(a))[1], np.linalg.eigh(of(b))[1]
        found += [vb @ np.diag(_signs(k, size)) @ va.T for k in (0, 1)]
    while len(found) < n:
        found.append(np.linalg.qr(rng.standard_normal((size, size)))[0])
    return found[: max(n, 1)]


def _turned(a: Array, b: Array, n: int, rng: np.random.Generator) -> list[Array]:
    """Rotations that bring the eigenvectors of one map near those of the other.

    An eigenvector has a phase of its own, of which nothing is known: it is drawn.
    """
    (values_a, vectors_a), (values_b, vectors_b) = _upper(a), _upper(b)
    k = min(len(values_a), len(values_b))
    real = (values_a[:k].imag == 0) | (values_b[:k].imag == 0)
    found = []
    for _ in range(n):
        phase = np.exp(2j * np.pi * rng.uniform(size=k))
        phase = np.where(real, np.sign(phase.real), phase)
        u, _, v = np.linalg.svd(((vectors_b[:, :k] * phase) @ vectors_a[:, :k].conj().T).real)
        found.append(u @ v)
    return found


def _upper(m: Array) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Eigenvalues and vectors of a map, one of each pair, the slowest first."""
    values, vectors = np.linalg.eig(m)
    order = np.lexsort((-values.imag, -np.round(np.abs(values), 12)))
    order = order[values[order].imag >= 0]
    return values[order].astype(complex), vectors[:, order].astype(complex)


def _signs(k: int, size: int) -> Array:
    signs = np.ones(size)
    signs[0] = 1 - 2 * k
    return signs
