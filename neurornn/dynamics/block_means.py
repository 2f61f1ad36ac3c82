"""Intervals of what was averaged along trajectories that remember, and that are still settling."""

import numpy as np
from numpy.typing import NDArray

from neurornn._core.confidence import delta_interval

Array = NDArray[np.float64]

#: Fewest blocks from which an interval is formed.
FEWEST = 8


def interval(rows: Array, level: float, dt: float, least: float = 0.0) -> tuple[Array, float]:
    """Interval of the mean over blocks, (trajectory, block); and its drift where that is clear.

    Parameters
    ----------
    rows : (trajectory, block), a power of two of them.
    level : of the interval.
    dt : length of a step, in the unit of time of the rows.
    least : how far it reaches at least.
    """
    mean = float(rows.mean())
    if not np.isfinite(mean):
        return np.full(2, np.nan), 0.0
    middle = rows.shape[1] // 2
    drift = abs(float(rows[:, middle:].mean() - rows[:, :middle].mean()))
    stderr, n = stderr_of(rows)
    low, high = delta_interval(mean, stderr, level, dof=n - 1)
    # What the drift itself adds to the scatter does not hide it.
    at = np.arange(rows.shape[1])
    trend = np.polyval(np.polyfit(at, rows.mean(axis=0), 2), at)
    clear = drift > 6 * stderr_of(rows - trend)[0]
    # What falls as one over time leaves more behind than the halves differ by. Logs of lengths are
    # good to ten digits.
    least = max(least, drift * (1 + clear), 1e-10 * max(abs(mean), 1 / dt))
    ends = np.array([min(low, mean - least), max(high, mean + least)])
    return ends, drift * clear


def stderr_of(rows: Array) -> tuple[float, int]:
    """Standard error of the mean of blocks, and how many of them it rests on."""
    rows, factor = uncorrelated(rows)
    return float(np.sqrt(factor * rows.var(ddof=1) / rows.size)), rows.size


def uncorrelated(rows: Array) -> tuple[Array, float]:
    """Merge blocks until they are uncorrelated; a factor of the variance where they stay so.

    Parameters
    ----------
    rows : (trajectory, block).
    """
    while True:
        n, k = rows.shape
        away = rows - rows.mean()
        squares = float(np.sum(away**2))
        if k == 1 or squares == 0:
            return rows, 1.0
        r = float(np.sum(away[:, 1:] * away[:, :-1])) / squares * k / (k - 1)
        # Of blocks that are not correlated, a third is merged for nothing, which does no harm.
        if abs(r) <= 1 / np.sqrt(n * (k - 1)):
            return rows, 1.0
        if n * k // 2 < FEWEST:
            r = min(max(r, 0.0), 0.9)
            return rows, (1 + r) / (1 - r)
        rows = rows.reshape(n, k // 2, 2).mean(axis=2)


def still_turning(exponent: Array, before: float, duration: float) -> Array:
    """Error that is left of directions turning into place, for each exponent.

    Two directions whose exponents differ by d mix as ``exp(-d t)``, from random angles at first
    (tangents of about 3 count as usual); the log of a length then misses
    ``log(1 + 9 exp(-2 d t)) / 2``, and what is measured is how that changes.

    Parameters
    ----------
    exponent : (order,).
    before, duration : time in which directions turned before anything was measured, and after.
    """
    with np.errstate(invalid="ignore"):
        apart = np.abs(exponent[:, None] - exponent)
    apart = np.where(np.isfinite(apart), apart, 1e300)
    missed = [0.5 * np.log1p(9 * np.exp(-2 * apart * t)) for t in (before, before + duration)]
    return np.asarray(np.sqrt(np.sum((missed[0] - missed[1]) ** 2, axis=1)) / duration)
