"""What scores mutants, one network of an ensemble at a time; any function of one-hot arrays."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tick = Callable[[], None]


class Network(Protocol):
    """What scores sequences: one network of an ensemble."""

    batch_size: int

    def scores(self, x: Array, place: int | None, tick: Tick) -> NDArray[np.float64]:
        """Score sequences.

        Parameters
        ----------
        x : (sequence, position, letter), one-hot.
        place : position that is read, or None for the mean over all.
        tick : called after every batch.
        """

    def mutants(
        self, wild: Array, where: NDArray[np.int64], rows: Array, place: int | None, tick: Tick
    ) -> tuple[float, NDArray[np.float64]]:
        """Score a sequence, and its mutants.

        Parameters
        ----------
        wild : (position, letter), one-hot.
        where : (mutant,), the position that is changed, never falling.
        rows : (mutant, letter), what stands there instead.
        place, tick : as for `scores`.
        """


class Batches:
    """Any function of one-hot arrays: every mutant from the first letter on, batch by batch.

    Parameters
    ----------
    function : (sequence, position, letter), place -> (sequence,).
    batch_size : sequences of a call.
    """

    def __init__(self, function: Callable[[Array, int | None], Any], batch_size: int) -> None:
        self.function, self.batch_size = function, batch_size

    def scores(self, x: Array, place: int | None, tick: Tick) -> NDArray[np.float64]:
        """Score sequences, see `Network`."""
        found = np.empty(len(x))
        for a in range(0, len(x), self.batch_size):
            b = min(a + self.batch_size, len(x))
            found[a:b] = self.function(x[a:b], place)
            tick()
        return found

    def mutants(
        self, wild: Array, where: NDArray[np.int64], rows: Array, place: int | None, tick: Tick
    ) -> tuple[float, NDArray[np.float64]]:
        """Score a sequence and its mutants, see `Network`."""
        found = np.empty(len(where))
        for a in range(0, len(where), self.batch_size):
            b = min(a + self.batch_size, len(where))
            x = np.repeat(wild[None], b - a, axis=0)
            x[np.arange(b - a), where[a:b]] = rows[a:b]
            found[a:b] = self.function(x, place)
            tick()
        return float(self.function(wild[None], place)[0]), found
