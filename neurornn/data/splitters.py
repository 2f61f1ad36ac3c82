"""Cross-validation for scikit-learn: blocks of time, and the random split that shows the leak."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator

from neurornn._core.checks import check_count
from neurornn._core.errors import SplitError
from neurornn._core.old_names import renamed
from neurornn._core.rng import RNG, generator


class BlockedSplit(BaseCrossValidator):
    """K-fold over consecutive blocks of rows, with the rows beside each test block purged.

    Parameters
    ----------
    n_splits : number of blocks.
    gap_rows : rows dropped from training on both sides of the test block, beyond `purge`.
    purge : rows that one window spans (0 or 1: rows are not windows). ``purge - 1`` more rows
        are dropped on both sides, so that no training window shares a row with a test window.

    Examples
    --------
    >>> train, test = next(iter(BlockedSplit(n_splits=3, purge=3).split(np.zeros(9))))
    >>> train.tolist(), test.tolist()
    ([5, 6, 7, 8], [0, 1, 2])
    """

    @renamed(gap="gap_rows")
    def __init__(self, n_splits: int = 5, gap_rows: int = 0, purge: int = 0) -> None:
        self.n_splits = n_splits
        self.gap_rows = gap_rows
        self.purge = purge

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield row numbers of train and test, block by block.

        Parameters
        ----------
        X : (row, ...); rows in the order of time.
        y, groups : ignored, as in sklearn's KFold.
        """
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        for name, value, least in (("n_splits", self.n_splits, 2), ("gap_rows", self.gap_rows, 0),
                                   ("purge", self.purge, 0)):  # fmt: skip
            check_count(value, name, least)
        if self.n_splits > n:
            raise SplitError(
                f"{n} rows came for {self.n_splits} blocks",
                "At least one row for each block was needed",
                "Use fewer blocks",
            )
        drop = self.gap_rows + max(self.purge - 1, 0)
        edges = np.linspace(0, n, self.n_splits + 1).round().astype(np.intp)
        rows = np.arange(n)
        for start, stop in pairwise(edges):
            train = np.concatenate([rows[: max(start - drop, 0)], rows[stop + drop :]])
            if stop == start or not len(train):
                raise SplitError(
                    f"{n} rows came for {self.n_splits} blocks, {drop} purged on each side",
                    "At least one row of training and of test in every fold was needed",
                    "Use fewer blocks, a shorter gap or shorter windows",
                )
            yield train, rows[start:stop]

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds; the arguments are ignored."""
        return self.n_splits


class RandomSplit(BaseCrossValidator):
    """K-fold over rows in random order: leaks wherever rows are alike. Only to show by how much.

    Parameters
    ----------
    n_splits : number of folds.
    rng : int, Generator or None.
    """

    def __init__(self, n_splits: int = 5, rng: RNG = None) -> None:
        self.n_splits = n_splits
        self.rng = rng

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Yield row numbers of train and test; `y` and `groups` are ignored."""
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        check_count(self.n_splits, "n_splits", 0)
        if n < self.n_splits or self.n_splits < 2:
            raise SplitError(
                f"{n} rows came for {self.n_splits} folds",
                "At least two folds and one row in each were needed",
                "Use fewer folds",
            )
        fold = generator(self.rng).permutation(np.arange(n) % self.n_splits)
        for k in range(self.n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds; the arguments are ignored."""
        return self.n_splits
