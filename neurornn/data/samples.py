"""Samples: the one form that a fit takes, rows in the order of time and the joins between them.

Whatever a user brings (a series with gaps, trials under a mask, lists of trials of different
lengths, rows with the label of their trial) becomes rows, each with the number of the gapless run
that it is of. Windows, histories, splits and moments are views of that, and none crosses a join.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neurornn._core.checks import check_count
from neurornn._core.errors import DataError, SplitError


class Samples(NamedTuple):
    """Values and targets row by row, in the order of time.

    Attributes
    ----------
    values : (row, unit), float64; NaN where one was not recorded.
    run : (row,), number of the gapless run of each row, never falling; nothing crosses a join.
    unit : (unit,), labels.
    targets : (row, output), NaN where unknown; (row,) numbers or labels of classes; or None.
    output : (output,), labels.
    units : unit of the targets as a symbol; where they differ one per output, with commas.
    time : (row,), end of each step in `time_unit`; None where no clock came.
    sampling_rate : steps per `time_unit`, Hz where that is s; NaN where none was stated.
    time_unit : ``"s"`` or ``"bp"``.
    mask : (row,), False where a row does not count though it was handed over; None for all.
    units_named, outputs_named : whether units and outputs came with labels of their own.
    """

    values: NDArray[np.float64]
    run: NDArray[np.int64]
    unit: NDArray[Any]
    targets: NDArray[Any] | None = None
    output: NDArray[Any] = np.empty(0)
    units: str = ""
    time: NDArray[np.float64] | None = None
    sampling_rate: float = float("nan")
    time_unit: str = "s"
    mask: NDArray[np.bool_] | None = None
    units_named: bool = False
    outputs_named: bool = False

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.run)

    @property
    def clock(self) -> NDArray[np.float64]:
        """Time stamps, (row,), of samples that have them, as every series does."""
        assert self.time is not None
        return self.time

    @property
    def dt(self) -> float:
        """Length of a step in `time_unit`."""
        return 1 / self.sampling_rate

    @property
    def blocks(self) -> NDArray[np.int64]:
        """First and one-past-last row of each gapless run, (block, 2)."""
        return blocks_of(self.run)

    @property
    def stretches(self) -> list[slice]:
        """The gapless runs as slices."""
        return [slice(int(a), int(b)) for a, b in self.blocks]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows that count and in which every unit was recorded, (row,)."""
        found = np.isfinite(self.values).all(axis=1)
        return np.asarray(found if self.mask is None else found & self.mask)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Rows in which at least one unit was recorded, (row,)."""
        return np.asarray(~np.isnan(self.values).all(axis=1))

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Rows whose target is known, (row,)."""
        known = np.ones(self.n_rows, dtype=bool)
        if self.targets is not None and self.targets.dtype.kind == "f":
            known = np.isfinite(self.targets.reshape(self.n_rows, -1)).all(axis=1)
        return known

    def pick(self, keep: NDArray[np.bool_]) -> "Samples":
        """Return the rows kept, (row,) bool; where some are left out between two, a join is."""
        run = (self.run + np.cumsum(~keep))[keep]
        return self._replace(
            values=self.values[keep],
            run=run,
            targets=None if self.targets is None else self.targets[keep],
            time=None if self.time is None else self.time[keep],
            mask=None if self.mask is None else self.mask[keep],
        )

    def split(self, fractions: Sequence[float], gap: int = 0) -> tuple["Samples", ...]:
        """Cut into consecutive parts.

        Parameters
        ----------
        fractions : of the rows, in order; sum 1.
        gap : rows dropped between neighbours: at least what a window or a history spans.

        Raises
        ------
        SplitError
            A part would be empty.
        """
        starts = cut_points(self.n_rows, fractions, check_count(gap, "gap", 0))
        row = np.arange(self.n_rows)
        return tuple(self.pick((row >= a) & (row < b)) for a, b in starts)

    def windows(
        self, n_rows: int, n_warmup: int = 0, horizon: int = 0, *, whole: bool = False
    ) -> "Windows":
        """Cut every run into windows of values and targets.

        Parameters
        ----------
        n_rows : of a window, its warm-up included; the last one of a run may be shorter.
        n_warmup : first rows of every window, which are not scored. Windows overlap by so many.
        horizon : targets are taken so many rows after the values.
        whole : one window for each run, from its start, and no overlap.

        Raises
        ------
        DataError
            No run is longer than the warm-up.
        """
        assert self.targets is not None
        pieces = []
        for a, b in self.blocks:
            pieces += window_edges(int(a), int(b) - horizon, n_rows, n_warmup, whole=whole)
        if not pieces:
            raise DataError(
                f"No stretch of the recording is longer than the warm-up of {n_warmup} frames",
                f"Stretches of at least {n_warmup + 2} frames were needed",
                "Pass a shorter duration, or warmup=0.0",
            )
        longest = max(b - a for a, b in pieces)
        targets = self.targets.reshape(self.n_rows, -1)
        x = np.zeros((len(pieces), longest, self.values.shape[1]))
        y = np.zeros((len(pieces), longest, targets.shape[1]))
        mask = np.zeros(y.shape, dtype=bool)
        for k, (a, b) in enumerate(pieces):
            x[k, : b - a] = self.values[a:b]
            y[k, : b - a] = targets[a + horizon : b + horizon]
            mask[k, : b - a] = ~np.isnan(y[k, : b - a])
            # A missing input is 0; the row is not scored.
            mask[k, np.isnan(x[k]).any(axis=1)] = False
            mask[k, :n_warmup] = False
        edges = np.array(pieces, dtype=np.int64)
        return Windows(np.nan_to_num(x), np.nan_to_num(y), mask, edges)


class Windows(NamedTuple):
    """Windows of samples below one another, filled up to the longest one with zeros.

    Attributes
    ----------
    values : (window, row, unit); 0 where missing.
    targets : (window, row, output); 0 where unknown.
    mask : (window, row, output); True where a target counts.
    edges : (window, 2); first and one-past-last row of each among the samples.
    """

    values: NDArray[np.float64]
    targets: NDArray[np.float64]
    mask: NDArray[np.bool_]
    edges: NDArray[np.int64]


def blocks_of(run: NDArray[np.int64]) -> NDArray[np.int64]:
    """First and one-past-last row of each run, (block, 2)."""
    joins = np.flatnonzero(np.diff(run)) + 1
    edges = np.concatenate([[0], joins, [len(run)]]).astype(np.int64)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def runs_of(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the block of each row, (row,), from blocks that follow one another."""
    return np.repeat(np.arange(len(blocks)), np.diff(blocks, axis=1)[:, 0])


def joined(parts: Sequence[Samples]) -> Samples:
    """Lay samples one after the other; each begins a run of its own.

    Raises
    ------
    DataError
        Units, outputs or their unit are not those of the first part, in their order.
    """
    first = parts[0]
    for k, part in enumerate(parts):
        for what, a, b in (
            ("units", first.unit, part.unit),
            ("outputs", first.output, part.output),
            ("unit of the targets", first.units, part.units),
        ):
            if not np.array_equal(a, b):
                raise DataError(
                    f"The {what} of trial {k} are not those of the first: {b} and {a}",
                    "The same in every trial, in the same order, was needed",
                    "Select and order them alike, for example trial.sel(unit=first['unit'])",
                )
    shift = np.cumsum([0, *(p.run[-1] + 1 if p.n_rows else 0 for p in parts[:-1])])

    def all_of(name: str) -> Any:
        columns = [getattr(p, name) for p in parts]
        return None if any(c is None for c in columns) else np.concatenate(columns)

    return first._replace(
        values=all_of("values"),
        run=np.concatenate([p.run + k for p, k in zip(parts, shift, strict=True)]),
        targets=all_of("targets"),
        time=all_of("time"),
        mask=all_of("mask"),
    )


def cut_points(n: int, fractions: Sequence[float], gap: int = 0) -> list[tuple[int, int]]:
    """First and one-past-last of so many rows or trials for each part of a split in order.

    Raises
    ------
    SplitError
        A part would be empty.
    """
    ends = np.round(np.cumsum(np.asarray(fractions, dtype=float)) * n).astype(int)
    ends[-1] = n
    starts = np.concatenate([[0], ends[:-1] + gap])
    if (starts >= ends).any():
        raise SplitError(
            f"{n} rows or trials came for parts of {', '.join(f'{f:g}' for f in fractions)}, "
            f"{gap} left out between neighbours",
            "At least one in every part was needed",
            "Record for longer, choose a shorter gap, or fewer parts",
        )
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def window_edges(
    start: int, stop: int, n_rows: int, n_warmup: int, *, whole: bool
) -> list[tuple[int, int]]:
    """First and one-past-last row of the windows of one run; see `Samples.windows`."""
    if stop <= start:
        return []
    if whole:
        return [(start, min(stop, start + n_rows))]
    pieces = []
    while stop - start > n_warmup + 1:
        pieces.append((start, min(stop, start + n_rows)))
        if start + n_rows >= stop:
            break
        start += n_rows - n_warmup
    return pieces


def check_window(window: Any, n_rows: int) -> int:
    """Return the rows of a window, or raise where none of so many rows would hold it."""
    n_window = check_count(window, "window", 0)
    if not 1 <= n_window <= max(n_rows, 1):
        raise SplitError(
            f"window is {window} of {n_rows} rows",
            "At least 1 row, and no more than there are, was needed",
            "Pass window=10",
        )
    return n_window


def history(values: NDArray[Any], n_lags: int) -> NDArray[Any]:
    """Return each row with the ``n_lags - 1`` rows before it, (row, lag * unit).

    Parameters
    ----------
    values : (row, unit).
    n_lags : rows, the present one included; oldest first. Rows before the first are zeros: use
        `whole_windows` to know which rows to keep.
    """
    padded = np.concatenate([np.zeros((n_lags - 1, values.shape[1]), values.dtype), values])
    views = sliding_window_view(padded, n_lags, axis=0)
    return views.transpose(0, 2, 1).reshape(len(values), -1)


def whole_windows(
    inside: NDArray[np.bool_], run: NDArray[np.int64], window: int
) -> NDArray[np.bool_]:
    """Which rows end a window of `window` rows that are all `inside` and in one run.

    Parameters
    ----------
    inside : (row,), rows of one part of a split.
    run : (row,), number of the gapless run.
    """
    breaks = np.concatenate([[True], (run[1:] != run[:-1]) | ~inside[:-1]])
    position = np.arange(len(inside))
    since = position - np.maximum.accumulate(np.where(breaks, position, 0))
    return inside & (since >= window - 1)
