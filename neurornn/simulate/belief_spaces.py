"""Spaces of observations and actions in the manner of gymnasium, without depending on it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_count
from neurornn._core.rng import RNG, generator


class Discrete:
    """Whole numbers from 0 up to `n`.

    Parameters
    ----------
    n : how many.

    Examples
    --------
    >>> 2 in Discrete(3), 3 in Discrete(3)
    (True, False)
    """

    dtype = np.dtype(np.int64)
    shape: tuple[int, ...] = ()

    def __init__(self, n: int) -> None:
        self.n = check_count(n, "n")
        self._draw = generator()

    def seed(self, seed: RNG = None) -> None:
        """Set what is drawn from here on."""
        self._draw = generator(seed)

    def sample(self) -> int:
        """Draw one, all equally likely."""
        return int(self._draw.integers(self.n))

    def contains(self, x: Any) -> bool:
        """Whether x is one of them."""
        whole = isinstance(x, int | np.integer) and not isinstance(x, bool)
        return whole and 0 <= int(x) < self.n

    __contains__ = contains

    def __repr__(self) -> str:
        return f"Discrete({self.n})"


class Box:
    """Vectors of numbers between limits.

    Parameters
    ----------
    low, high : (channel,).
    """

    dtype = np.dtype(np.float64)

    def __init__(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        self.low, self.high = np.asarray(low, float), np.asarray(high, float)
        self.shape = self.low.shape
        self._draw = generator()

    def seed(self, seed: RNG = None) -> None:
        """Set what is drawn from here on."""
        self._draw = generator(seed)

    def sample(self) -> NDArray[np.float64]:
        """Draw one: uniform between limits, exponential or normal where there are none."""
        low, high = np.isfinite(self.low), np.isfinite(self.high)
        found = self._draw.standard_normal(self.shape)
        found = np.where(low, self.low + np.abs(found), found)
        return np.where(low & high, self._draw.uniform(0, 1, self.shape), found)

    def contains(self, x: Any) -> bool:
        """Whether x is one of them; NaN, a missing value, is within all limits."""
        values = np.asarray(x, dtype=float)
        if values.shape != self.shape:
            return False
        return bool((np.isnan(values) | ((values >= self.low) & (values <= self.high))).all())

    __contains__ = contains

    def __repr__(self) -> str:
        return f"Box{self.shape}"
