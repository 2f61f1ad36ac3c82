"""Letters that stay in a file until they are asked for."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class LettersOnDisk(ABC):
    """The letters of all records of a file as one array of bytes, read piece by piece.

    Parameters
    ----------
    lengths : (record,), bp or aa.

    Notes
    -----
    Record k lies at ``starts[k]`` to ``stops[k]``. A slice is read when it is taken; nothing is
    kept. `numpy.asarray` reads everything.
    """

    dtype = np.dtype(np.uint8)
    ndim = 1

    def __init__(self, lengths: Sequence[int] | NDArray[np.int64]) -> None:
        edges = np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))])
        self._edges = edges.astype(np.int64)

    @property
    def starts(self) -> NDArray[np.int64]:
        """(record,)."""
        return self._edges[:-1]

    @property
    def stops(self) -> NDArray[np.int64]:
        """(record,)."""
        return self._edges[1:]

    @abstractmethod
    def read(self, record: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the ASCII letters of a stretch inside one record, (position,)."""

    def __len__(self) -> int:
        return int(self._edges[-1])

    @property
    def shape(self) -> tuple[int]:
        """Of the array that all letters would make."""
        return (len(self),)

    def __getitem__(self, key: slice) -> NDArray[np.uint8]:
        """Return the letters of a slice, over the edges of records too."""
        start, stop, step = key.indices(len(self))
        if step != 1:
            return self[:][key]
        pieces = []
        record = int(np.searchsorted(self._edges, start, side="right")) - 1
        while start < stop:
            first, last = int(self._edges[record]), int(self._edges[record + 1])
            here = min(stop, last)
            if here > start:
                pieces.append(self.read(record, start - first, here - first))
            start, record = here, record + 1
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.uint8)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything."""
        return np.asarray(self[:], dtype=dtype)
