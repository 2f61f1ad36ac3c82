"""Windows of counts for a sequential autoencoder: cut, held out, and joined again."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError
from neurornn.data.samples import parts_in_order, stacked, window_edges
from neurornn.spikes.population import Population

Array = NDArray[np.float64]

#: A trial is cut where it is longer than so many windows.
_LONG = 1.5
#: Share of a window that it has in common with the next one.
_OVERLAP = 0.25
#: Parts of a recording from the end of each of which something is held out.
_PARTS = 4
#: Fewest trials of which whole ones are held out.
_MANY = 8


class Cut(NamedTuple):
    """Windows of rows.

    Attributes
    ----------
    edges : (window, 2), first and one-past-last row.
    """

    edges: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each window."""
        return np.asarray(self.edges[:, 1] - self.edges[:, 0])

    def of(self, rows: Array) -> Array:
        """Windows of (row, thing), (window, time, thing), NaN behind the shorter ones."""
        found = stacked([rows[a:b] for a, b in self.edges])
        for one, n in zip(found, self.lengths, strict=True):
            one[n:] = np.nan
        return found

    def join(self, windows: Array, n_rows: int) -> Array:
        """Rows (row, thing) of windows (window, time, thing); where two overlap, one fades out."""
        total, weight = np.zeros((n_rows, windows.shape[2])), np.zeros((n_rows, 1))
        for (a, b), one in zip(self.edges, windows, strict=True):
            step = np.arange(1.0, b - a + 1)
            share = np.minimum(step, step[::-1])[:, None]
            total[a:b] += share * one[: b - a]
            weight[a:b] += share
        return np.asarray(total / weight)


def cut(blocks: NDArray[np.int64], n_window: int) -> Cut:
    """Cut trials that are longer than one and a half windows; others stay whole.

    Parameters
    ----------
    blocks : (trial, 2), first and one-past-last row.
    n_window : rows.
    """
    edges: list[tuple[int, int]] = []
    overlap = int(_OVERLAP * n_window)
    for a, b in blocks.tolist():
        if b - a <= _LONG * n_window:
            edges.append((a, b))
            continue
        pieces = window_edges(a, b, n_window, overlap, whole=False)
        # The last one is as long as the others.
        edges += [*pieces[:-1], (max(a, b - n_window), b)]
    return Cut(np.array(edges, dtype=np.int64).reshape(-1, 2))


def cut_for_inference(
    blocks: NDArray[np.int64], seen: NDArray[np.bool_], n_window: int
) -> tuple[Cut, NDArray[np.int64]]:
    """Windows of all rows, and how many of the rows of each the encoder reads, (window,).

    What is missing at the end of a trial is not read, and is no part of how the trial is cut: the
    generator runs on through it from the last window.

    Parameters
    ----------
    blocks : (trial, 2), first and one-past-last row.
    seen : (row,), whether a count of any unit was observed.
    """
    edges, lengths = [], []
    for a, b in blocks.tolist():
        found = np.flatnonzero(seen[a:b])
        # A trial of which nothing was seen has a rate as well: that of the prior.
        last = a + (int(found[-1]) + 1 if len(found) else 1)
        pieces = cut(np.array([[a, last]]), n_window).edges
        lengths.append(np.diff(pieces, axis=1)[:, 0])
        pieces[-1, 1] = b
        edges.append(pieces)
    return Cut(np.concatenate(edges)), np.concatenate(lengths)


def observed(counts: Array) -> NDArray[np.bool_]:
    """Rows of (row, unit) in which a count of any unit was observed, (row,)."""
    return np.asarray(np.isfinite(counts).any(axis=1))


def hold_out(
    population: Population, fraction: float, n_window: int, rng: np.random.Generator
) -> tuple[Cut, Cut]:
    """Windows to train on, and windows of whole trials, or stretches, that are held out.

    Parameters
    ----------
    fraction : of the trials, or of the time where there are few.

    Raises
    ------
    DataError
        Too few trials, or too short ones, for both.
    """
    seen = observed(population.counts)
    blocks = np.array(
        [[s.start, s.stop] for s in population.trials if seen[s].any()], dtype=np.int64
    ).reshape(-1, 2)
    # What is missing at the end of a trial is padding.
    for block in blocks:
        block[1] = block[0] + np.flatnonzero(seen[block[0] : block[1]])[-1] + 1
    lengths = np.diff(blocks, axis=1)[:, 0]
    if not len(lengths) or lengths.max() < 2:
        raise DataError(
            f"{len(lengths)} trials came, the longest of {max(lengths, default=0)} bins",
            "Trials of at least 2 bins were needed: what they are told by is how rates change",
            "Count in smaller bins, or cut longer trials",
        )
    blocks = blocks[lengths >= 2]
    if len(blocks) >= _MANY:
        n_held = max(round(fraction * len(blocks)), 1)
        held = np.zeros(len(blocks), dtype=bool)
        held[rng.permutation(len(blocks))[:n_held]] = True
        return cut(blocks[~held], n_window), cut(blocks[held], n_window)
    train, watch = [], []
    parts = max(_PARTS // len(blocks), 1)
    for a, b in blocks.tolist():
        whole = [np.arange(b - a)]
        for part in parts_in_order(b - a, [1 / parts] * parts) if parts > 1 else whole:
            n_held = round(fraction * len(part))
            if min(n_held, len(part) - n_held) < 2:
                raise DataError(
                    f"{len(blocks)} trials of at most {lengths.max()} bins came",
                    f"{_MANY} trials, or one of at least {round(2 * _PARTS / fraction)} bins, "
                    "were needed: a part is held out",
                    "Record for longer, or count in smaller bins",
                )
            first, last = a + int(part[0]), a + int(part[-1]) + 1
            train.append([first, last - n_held])
            watch.append([last - n_held, last])
    return cut(np.array(train), n_window), cut(np.array(watch), n_window)
