"""The columns of a regression on spikes: stimulus, time in a trial, and what was fired before."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from neurornn._kernels.point_process import add_past
from neurornn.spikes.bases import raised_cosines, steps_in_trial
from neurornn.spikes.binned import BinnedSpikes

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Bytes of a design that is held, in numbers of 8 bytes or of 4; a larger one is made anew in
#: every pass.
_HELD = 600e6
#: Rows of a block: small enough to stay in the cache of a core while it is worked on.
BLOCK = 4096


class Part(NamedTuple):
    """Columns that belong together.

    Attributes
    ----------
    kind : ``"stimulus"``, ``"trial"``, ``"coupling"`` or ``"history"``.
    source : name of a feature, or label of a unit.
    position : of the feature, or of the unit.
    basis : (lag, column).
    columns : where they stand in the design.
    """

    kind: str
    source: str
    position: int
    basis: Array
    columns: slice


class Layout(NamedTuple):
    """What the columns of a design are; the first one is 1.

    Attributes
    ----------
    parts : in order.
    n_columns : of the design.
    """

    parts: tuple[Part, ...]
    n_columns: int

    def of(self, kind: str) -> list[Part]:
        """Parts of a kind."""
        return [p for p in self.parts if p.kind == kind]


def lay_out(
    *,
    bin_size: float,
    features: list[str],
    stimulus_duration: float,
    n_stimulus: int,
    n_trial: int,
    n_trial_bins: int,
    sources: list[tuple[int, str]],
    coupling_duration: float,
    n_coupling: int,
    own: tuple[int, str] | None,
    history: float,
    n_history: int,
) -> Layout:
    """Lay the columns of one unit out.

    Parameters
    ----------
    bin_size : s.
    features : names of what is shown.
    stimulus_duration, coupling_duration, history : s, longest lags.
    n_stimulus, n_coupling, n_history : bumps of each filter.
    n_trial : bumps over the time in a trial; 0 for none.
    n_trial_bins : bins of the longest trial.
    sources : position and label of the units that may drive this one.
    own : position and label of the unit, where its own past is a filter; else None.
    """
    parts: list[Part] = []
    at = 1

    def add(kind: str, source: str, position: int, basis: Array) -> None:
        nonlocal at
        parts.append(Part(kind, source, position, basis, slice(at, at + basis.shape[1])))
        at += basis.shape[1]

    if n_trial > 1:
        # They add up to 1, as the first column does.
        add("trial", "time in the trial", 0, steps_in_trial(n_trial, n_trial_bins)[:, 1:])
    for k, name in enumerate(features):
        basis = raised_cosines(n_stimulus, stimulus_duration, bin_size, first_lag=0)
        add("stimulus", name, k, basis.values)
    for position, label in sources:
        add(
            "coupling", label, position,
            raised_cosines(n_coupling, coupling_duration, bin_size).values,
        )  # fmt: skip
    if own is not None:
        add("history", own[1], own[0], raised_cosines(n_history, history, bin_size).values)
    return Layout(tuple(parts), at)


class Design:
    """Rows of a regression, made block by block.

    Parameters
    ----------
    layout : of the columns.
    bins : of the spikes.
    stimulus : (row, feature), or None.
    rows : (chosen,), bins that count, rising; all by default.
    shared : columns of the stimulus over all bins by part, kept from unit to unit.
    """

    def __init__(
        self,
        layout: Layout,
        bins: BinnedSpikes,
        stimulus: Array | None,
        rows: Rows | None = None,
        shared: dict[str, Array] | None = None,
    ) -> None:
        self.layout, self.bins, self.stimulus = layout, bins, stimulus
        self.rows = np.arange(bins.n_rows) if rows is None else rows
        self._first = bins.first_row
        self._shared = {} if shared is None else shared
        size = len(self.rows) * layout.n_columns
        self._held: NDArray[Any] | None = None
        if size * 8 <= _HELD:
            self._held = self._block(0, len(self.rows))
        elif size * 4 <= 1.25 * _HELD:
            # Seven digits of a bump are more than its shape is known to.
            held = np.empty((len(self.rows), layout.n_columns), dtype=np.float32)
            for begin in range(0, len(self.rows), BLOCK):
                end = min(begin + BLOCK, len(self.rows))
                held[begin:end] = self._block(begin, end)
            self._held = held

    @property
    def n_rows(self) -> int:
        """Rows that count."""
        return len(self.rows)

    @property
    def begins(self) -> NDArray[np.bool_]:
        """Rows that do not follow the row before them in time, (row,)."""
        first = self._first[self.rows]
        out = np.ones(len(self.rows), dtype=bool)
        out[1:] = (np.diff(self.rows) > 1) | (first[1:] != first[:-1])
        return out

    def blocks(self, step: int = 1) -> Iterator[tuple[slice, Array]]:
        """Give the rows block by block, every `step`-th block alone.

        Yields
        ------
        Where the rows stand among those that count, and (row, column).
        """
        for begin in range(0, self.n_rows, BLOCK * step):
            where = slice(begin, min(begin + BLOCK, self.n_rows))
            yield where, self.block(where)

    def block(self, where: slice) -> Array:
        """Rows that stand together, (row, column)."""
        if self._held is not None:
            return self._held[where].astype(np.float64, copy=False)
        return self._block(where.start, where.stop)

    def times(self, weights: Array) -> Array:
        """Sum of the columns under weights, (row,)."""
        out = np.empty(self.n_rows)
        for where, x in self.blocks():
            out[where] = x @ weights
        return out

    def _block(self, begin: int, end: int) -> Array:
        rows = self.rows[begin:end]
        out = np.zeros((end - begin, self.layout.n_columns))
        out[:, 0] = 1.0
        for part in self.layout.parts:
            if part.kind in ("coupling", "history"):
                first = self._first[rows]
                view = np.zeros((len(rows), part.basis.shape[1]))
                spikes = self.bins.rows[part.position]
                if len(rows):
                    # Only spikes that can reach these rows.
                    low = np.searchsorted(spikes, rows[0] - len(part.basis))
                    high = np.searchsorted(spikes, rows[-1])
                    add_past(rows, first, spikes[low:high], part.basis, view)
                out[:, part.columns] = view
            elif part.kind == "stimulus":
                out[:, part.columns] = self._shown(part)[rows]
            else:
                since = np.minimum(rows - self._first[rows], len(part.basis) - 1)
                out[:, part.columns] = part.basis[since]
        return out

    def _shown(self, part: Part) -> Array:
        """Columns of one feature over all bins; a run begins as if nothing had been shown."""
        found = self._shared.get(part.source)
        if found is None:
            assert self.stimulus is not None
            found = np.empty((self.bins.n_rows, part.basis.shape[1]))
            values = self.stimulus[:, part.position]
            edges = np.append(np.unique(self._first), self.bins.n_rows)
            for a, b in pairwise(edges):
                taps = part.basis[: b - a]
                found[a:b] = oaconvolve(values[a:b, None], taps, axes=0)[: b - a]
            self._shared[part.source] = found
        return found


def columns_sd(design: Design) -> Array:
    """Standard deviation of each column, (column,), 1 where it does not vary."""
    total = np.zeros((2, design.layout.n_columns))
    for _, x in design.blocks():
        total += [x.sum(axis=0), (x**2).sum(axis=0)]
    mean, square = total / max(design.n_rows, 1)
    sd = np.sqrt(np.maximum(square - mean**2, 0.0))
    return np.where(sd > 1e-12, sd, 1.0)
