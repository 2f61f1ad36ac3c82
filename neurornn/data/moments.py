"""Lagged moments: second moments of histories and targets, and the ridge regressions they give.

Histories are made piece by piece and never stored whole. Moments of two sets of rows add up, and
those of a part are those of all less the rest: a fit of every fold costs one pass over the data.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from neurornn.data.samples import history

#: Rows of histories that are held at a time.
CHUNK = 4096
#: What keeps the row of the constant solvable where no target is known.
_FREE = 1e-12


class Moments(NamedTuple):
    """Second moments of histories and targets, sums over rows.

    Attributes
    ----------
    gram : (history + 1, history + 1); the last row and column are of the constant.
    cross : (history + 1, output).
    n_rows : number of rows summed.
    squares : (output,), of the targets.
    """

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    n_rows: int
    squares: NDArray[np.float64]

    def plus(self, other: "Moments") -> "Moments":
        """Moments of both sets of rows."""
        return Moments(
            self.gram + other.gram,
            self.cross + other.cross,
            self.n_rows + other.n_rows,
            self.squares + other.squares,
        )

    def less(self, other: "Moments") -> "Moments":
        """Moments of the rows that the other ones leave."""
        return Moments(
            self.gram - other.gram,
            self.cross - other.cross,
            self.n_rows - other.n_rows,
            self.squares - other.squares,
        )

    def last(self, size: int) -> "Moments":
        """Moments of the last `size` entries of the histories: of fewer lags."""
        return self._replace(
            gram=self.gram[-size - 1 :, -size - 1 :], cross=self.cross[-size - 1 :]
        )

    def squared_error(self, weights: NDArray[np.float64]) -> float:
        """Sum over rows and outputs of the squared error of weights (history + 1, output)."""
        explained = 2 * np.sum(weights * self.cross) - np.sum(weights * (self.gram @ weights))
        return float(self.squares.sum() - explained)


class Histories:
    """Histories of rows, oldest first and a 1 at the end, made as they are asked for.

    Parameters
    ----------
    parts : (row, unit) of each gapless run; before the first row of a run everything is 0.
    n_lags : rows of a history, the present one included.
    """

    def __init__(self, parts: Sequence[NDArray[np.float64]], n_lags: int) -> None:
        self.parts, self.n_lags = parts, n_lags
        self.starts = np.concatenate([[0], np.cumsum([len(p) for p in parts])])

    @property
    def size(self) -> int:
        """Length of a history with its constant."""
        return int(self.n_lags * self.parts[0].shape[1] + 1)

    def chunks(
        self, rows: NDArray[np.intp]
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
        """Yield some of the rows and their histories (row, lag * unit + 1), in order."""
        wanted = np.zeros(self.starts[-1], dtype=bool)
        wanted[rows] = True
        for values, first in zip(self.parts, self.starts, strict=False):
            for a in range(0, len(values), CHUNK):
                b = min(a + CHUNK, len(values))
                picked = np.flatnonzero(wanted[first + a : first + b])
                if not len(picked):
                    continue
                begin = max(0, a - self.n_lags + 1)
                h = history(values[begin:b], self.n_lags)[a - begin :][picked]
                yield first + a + picked, np.column_stack([h, np.ones(len(h))])


def lagged_moments(
    histories: Histories, targets: NDArray[np.float64], used: NDArray[np.bool_]
) -> Moments:
    """Sum the moments of histories and targets over the rows used.

    Parameters
    ----------
    targets : (row, output), finite where used.
    used : (row,).
    """
    size, n_out = histories.size, targets.shape[1]
    gram, cross, squares = np.zeros((size, size)), np.zeros((size, n_out)), np.zeros(n_out)
    for rows, h in histories.chunks(np.flatnonzero(used)):
        y = targets[rows]
        gram += h.T @ h
        cross += h.T @ y
        squares += np.sum(y**2, axis=0)
    return Moments(gram, cross, int(used.sum()), squares)


def fold_moments(
    histories: Histories,
    targets: NDArray[np.float64],
    used: NDArray[np.bool_],
    folds: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]],
) -> tuple[Moments, Iterator[Moments]]:
    """Moments of all rows, and one after the other of the training rows of every fold.

    The blocks of test are summed once; a training part is the sum of all, less its block and the
    few rows beside it.
    """
    blocks = []
    for _, test in folds:
        inside = np.zeros_like(used)
        inside[test] = used[test]
        blocks.append(lagged_moments(histories, targets, inside))
    total = blocks[0]
    for block in blocks[1:]:
        total = total.plus(block)

    def rests() -> Iterator[Moments]:
        for (train, test), block in zip(folds, blocks, strict=True):
            near = used.copy()
            near[train] = near[test] = False
            yield total.less(block).less(lagged_moments(histories, targets, near))

    return total, rests()


def ridge_weights(sums: Moments, penalty: float) -> NDArray[np.float64]:
    """Minimise ``|y - h w|^2 / n + penalty |w|^2``; the constant is free.

    Returns
    -------
    (history + 1, output), the constant last.

    References
    ----------
    Hoerl & Kennard 1970, Technometrics 12:55, doi:10.1080/00401706.1970.10488634.
    """
    penalised = _penalised(sums, penalty)
    try:
        found: NDArray[np.float64] = linalg.cho_solve(
            linalg.cho_factor(penalised, lower=True), sums.cross
        )
        return found
    except linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(penalised, sums.cross, rcond=None)[0], dtype=np.float64)


def two_penalty_weights(
    sums: Moments, others: float, penalties: Sequence[float], own: NDArray[np.intp]
) -> Iterator[NDArray[np.float64]]:
    """Ridge with one penalty for what belongs to an output itself and another for the others.

    Parameters
    ----------
    others : penalty of the entries of the history that are not an output's own.
    penalties : of its own, each in turn.
    own : (output, entry), where the own entries of each output stand in the history.

    Yields
    ------
    (history + 1, output) for each of `penalties`.

    Notes
    -----
    One inverse serves all penalties of an output's own: they differ from it in few rows (Woodbury
    1950, Inverting modified matrices). Two penalties are the prior of Litterman 1986,
    doi:10.1080/07350015.1986.10509491.
    """
    factor = linalg.cho_factor(_penalised(sums, others), lower=True)
    inverse = linalg.cho_solve(factor, np.eye(len(sums.gram)))
    plain = inverse @ sums.cross
    block = inverse[own[:, :, None], own[:, None, :]]
    across = inverse[:, own]
    first = plain[own, np.arange(len(own))[:, None]]
    for penalty in penalties:
        d = (penalty - others) * sums.n_rows
        kept = np.eye(own.shape[1]) + d * block
        solved = np.linalg.solve(kept, first[:, :, None])[:, :, 0]
        yield plain - d * np.einsum("hol,ol->ho", across, solved)


def _penalised(sums: Moments, penalty: float) -> NDArray[np.float64]:
    gram = sums.gram.copy()
    n = len(gram) - 1
    gram[np.arange(n), np.arange(n)] += penalty * max(sums.n_rows, 1)
    gram[n, n] += _FREE
    return gram
