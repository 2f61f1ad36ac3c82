"""Do functions move linearly among themselves? What a step of their map leaves, and its memory."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from neurornn.koopman.lifted import Lifted

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Fewest stretches of which an interval, or a test, is made.
MIN_PARTS = 8
#: Steps after which noise of a frame, which two steps share, is forgotten.
_FORGOTTEN = 2
#: More than this share of a mode's own change in a step, and its rate is not to be read.
MOST_MISSED = 0.1
#: Level of the test, for all modes together.
_LEVEL = 0.01
TOO_FEW = "too few frames, or none with two frames before it"


class Closure(NamedTuple):
    """What one step of a map leaves of every mode.

    Attributes
    ----------
    residual : (mode,), root mean square of what is left, over that of the eigenfunction.
    missed : (mode,), the part of it that is still known two steps later, over the change that the
        mode itself makes in a step; its ends are `missed_ci`, (mode, 2).
    is_open : (mode,), True where so much is missed that it is neither noise nor small.
    is_shrunk : (mode,), True where noise of the frames makes the eigenvalue too small, as much.
    """

    residual: Array
    missed: Array
    missed_ci: Array
    is_open: NDArray[np.bool_]
    is_shrunk: NDArray[np.bool_]


def pieces_of(lifted: list[Array]) -> list[tuple[int, slice]]:
    """Trajectories that stand for themselves, or stretches of them where there are few.

    Parameters
    ----------
    lifted : functions of each trajectory, (time, term).

    Returns
    -------
    list of (number of the trajectory, its rows)
    """
    pieces = [(k, slice(0, len(x))) for k, x in enumerate(lifted)]
    if len(pieces) >= MIN_PARTS:
        return pieces
    n_cut = -(-4 * MIN_PARTS // len(pieces))
    return [
        (k, slice(int(a[0]), int(a[-1]) + 1))
        for k, x in enumerate(lifted)
        for a in np.array_split(np.arange(len(x)), min(n_cut, max(len(x) // 3, 1)))
        if len(a) > 2
    ]


def closure_of(
    whole: Lifted,
    steps: Complex,
    weights: Complex,
    lifted: list[Array],
    fed: list[Array] | None,
    noise: str,
    confidence_level: float,
) -> Closure | None:
    """Look at what a step leaves of every mode.

    Parameters
    ----------
    whole : the map.
    steps : (mode,), eigenvalues of a step.
    weights : (term, mode), of the eigenfunctions.
    lifted, fed : functions of each trajectory (time, term), and its inputs or None.
    noise : how that of the frames was treated, see `EDMD`.
    confidence_level : of the interval.

    Returns
    -------
    Closure, or None where there are too few frames.

    Notes
    -----
    The residual is that of Colbrook & Townsend 2024, Comm. Pure Appl. Math. 77:221,
    doi:10.1002/cpa.22125, of an eigenpair. Noise has one too, and so it says nothing alone. But
    what noise adds in a step is new: where functions close, what one step leaves has nothing to
    do with what is left two steps later. Where they do not close, it is a function of the state,
    which has hardly changed by then. Every stretch counts alike, by its share of what is left
    there. The errors of a fitted map make such a covariance smaller, not larger (Box & Pierce
    1970, J. Am. Stat. Assoc. 65:1509, doi:10.1080/01621459.1970.10481180): many functions raise
    no alarm of their own.

    Noise of the frames, shared by neighbouring steps, turns their covariance negative, by what it
    takes from the eigenvalue: that is told apart.
    """
    next_: list[Complex] = []
    later: list[Complex] = []
    left: list[Array] = []
    size: list[Array] = []
    n_steps = 0
    for k, rows in pieces_of(lifted):
        f = lifted[k][rows]
        rest = _left(whole, f, None if fed is None else fed[k][rows][:-1], weights)
        good = np.asarray(np.isfinite(rest).all(axis=1))
        if not good.any():
            continue
        square = np.abs(rest[good]) ** 2
        left.append(square.sum(axis=0))
        size.append((np.abs(f[:-1][good] @ weights) ** 2).sum(axis=0))
        n_steps += int(good.sum())
        power = np.maximum(square.mean(axis=0), 1e-300)
        next_.append(_covariance(rest, good, 1) / power)
        later.append(_covariance(rest, good, _FORGOTTEN) / power)
    told = np.isfinite(later).all(axis=1) if later else np.zeros(0, dtype=bool)
    free = n_steps - len(weights)
    if told.sum() < MIN_PARTS or free < 1 or not len(steps):
        return None
    # As many steps as there are functions are met by any map.
    square = np.sum(left, axis=0) / np.maximum(np.sum(size, axis=0), 1e-300) * n_steps / free
    # No trajectory tells a slower change than that over its length.
    change = np.maximum(np.abs(1 - steps), 1 / max(map(len, lifted)))
    scale = np.sqrt(square) / change
    shares, neighbours = np.array(later)[told], np.array(next_)[told]
    real = steps.imag == 0
    ends = np.sqrt(_ends(shares, real, 1 - confidence_level)) * scale[:, None]
    sure = np.sqrt(_ends(shares, real, 2 * _LEVEL / len(steps))[:, 0]) * scale
    mean, se = _mean(shares)
    # The size of what is nothing but noise is not 0 by itself.
    middle = np.sqrt(np.sqrt(np.clip(_size(mean) ** 2 - se**2, 0.0, 1.0))) * scale
    turned = -neighbours * np.conj(steps) / np.abs(steps)
    shrunk = _ends(turned.real, np.ones_like(real), 2 * _LEVEL / len(steps))[:, 0]
    return Closure(
        np.sqrt(square),
        middle,
        ends,
        sure > MOST_MISSED,
        (noise == "ignored") & (shrunk * square / change > MOST_MISSED),
    )


def _left(one: Lifted, f: Array, u: Array | None, weights: Complex) -> Complex:
    """What a step of a map leaves of every mode, (step, mode)."""
    rest = f[1:] - f[:-1] @ one.transition
    if u is not None and one.input_weight is not None:
        rest = rest - u @ one.input_weight
    return np.asarray(rest @ weights)


def _covariance(rest: Complex, good: NDArray[np.bool_], lag: int) -> Complex:
    """Mean product of what is left and what was so many steps before, (mode,)."""
    both = good[lag:] & good[:-lag]
    if not both.any():
        return np.full(rest.shape[1], np.nan + 0j)
    return np.asarray((rest[lag:][both] * rest[:-lag][both].conj()).mean(axis=0))


def _mean(shares: NDArray[Any]) -> tuple[NDArray[Any], Array]:
    """Mean over stretches and its standard error, (mode,); of both parts where it is complex."""
    mean, n = shares.mean(axis=0), len(shares)
    return mean, np.sqrt((np.abs(shares - mean) ** 2).sum(axis=0) / (n - 1) / n)


def _size(mean: NDArray[Any]) -> Array:
    """Size of a covariance; a fitted map turns it negative, which is nothing that is missed."""
    return np.asarray(np.hypot(np.maximum(mean.real, 0.0), mean.imag))


def _ends(shares: NDArray[Any], real: NDArray[np.bool_], level: float) -> Array:
    """Interval of the size of a mean over stretches, (mode, 2), within 0 and 1."""
    mean, se = _mean(shares)
    n = len(shares)
    # Of two parts, an ellipse that both lie in: half the level, as their size has one side.
    reach = np.where(
        real, stats.t.ppf(1 - level / 2, n - 1), np.sqrt(stats.f.ppf(1 - level / 2, 2, n - 1))
    )
    size = _size(mean)
    return np.clip(np.stack([size - reach * se, size + reach * se], axis=-1), 0.0, 1.0)
