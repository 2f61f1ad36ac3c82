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

from neurornn._core.checks import check_count, check_numbers
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
        parts = parts_in_order(self.n_rows, fractions, check_count(gap, "gap", 0))
        return tuple(self.pick(np.isin(np.arange(self.n_rows), p)) for p in parts)

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
        targets = self.targets.reshape(self.n_rows, -1)
        x = stacked([self.values[a:b] for a, b in pieces])
        y = stacked([targets[a + horizon : b + horizon] for a, b in pieces])
        mask = stacked([np.ones((b - a, targets.shape[1])) for a, b in pieces]).astype(bool)
        # A missing input is 0; the row is not scored.
        mask &= ~np.isnan(y) & ~np.isnan(x).any(axis=2, keepdims=True)
        mask[:, :n_warmup] = False
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


def joined(parts: Sequence[Samples], names: tuple[str, str] = ("units", "outputs")) -> Samples:
    """Lay samples one after the other; each begins a run of its own.

    Parameters
    ----------
    names : what units and outputs are called in messages.

    Raises
    ------
    DataError
        Units, outputs or their unit are not those of the first part, in their order. Where one of
        two parts has no labels, nothing is known of them.
    """
    first = parts[0]
    for k, part in enumerate(parts):
        for what, known, a, b in (
            (names[0], first.units_named and part.units_named, first.unit, part.unit),
            (names[1], first.outputs_named and part.outputs_named, first.output, part.output),
            ("unit of the targets", True, first.units, part.units),
        ):
            if known and not np.array_equal(a, b):
                raise DataError(
                    f"The {what} of trial {k} are {np.asarray(b).tolist()}, "
                    f"those of the first {np.asarray(a).tolist()}",
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


def check_fractions(fractions: Any, name: str = "fractions") -> NDArray[np.float64]:
    """Return the fractions of a split, or raise where they are not above 0 with sum 1."""
    shares = check_numbers(fractions, name).reshape(-1)
    if len(shares) < 2 or np.any(~(shares > 0)) or abs(shares.sum() - 1) > 1e-6:
        raise SplitError(
            f"{name} is {tuple(shares[:5].tolist())}, {len(shares)} with sum {shares.sum():g}",
            "Two or more fractions above 0 with sum 1 were needed",
            "Pass (0.7, 0.15, 0.15)",
        )
    return np.asarray(shares / shares.sum())


def cut_points(n: int, shares: NDArray[np.float64], what: str) -> NDArray[np.intp]:
    """Where to cut `n` things in order so that no part is empty, (part - 1,).

    Raises
    ------
    SplitError
        Fewer things than parts.
    """
    if n < len(shares):
        raise SplitError(
            f"{n} {what} came for {len(shares)} parts",
            "At least one for each part was needed",
            "Ask for fewer parts, or split by time with data.split_blocks",
        )
    inner = np.arange(1, len(shares))
    cuts = np.round(np.cumsum(shares)[:-1] * n).astype(np.intp)
    # Every part keeps at least one: from the left, then from the right.
    cuts = np.maximum.accumulate(np.maximum(cuts, inner) - inner) + inner
    return np.minimum(cuts, n - (len(shares) - inner))


def parts_in_order(
    n: int, fractions: Any, gap: int = 0, what: str = "rows"
) -> list[NDArray[np.intp]]:
    """Numbers of the things in each part of a split in order, `gap` left out after each cut.

    Raises
    ------
    SplitError
        A part would be empty.
    """
    cuts = cut_points(n, check_fractions(fractions), what)
    parts = np.split(np.arange(n), cuts)
    parts = [parts[0], *(p[gap:] for p in parts[1:])]
    if not all(map(len, parts)):
        raise SplitError(
            f"{n} {what} came for {len(parts)} parts, {gap} left out between neighbours",
            "At least one in every part was needed",
            "Record for longer, choose a shorter gap, or fewer parts",
        )
    return parts


def stacked(parts: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Arrays (row, ...) below one another, (part, row, ...), zeros behind the shorter ones."""
    out = np.zeros((len(parts), max(map(len, parts)), *parts[0].shape[1:]))
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out


def window_edges(
    start: int, stop: int, n_rows: int, n_warmup: int, *, whole: bool
) -> list[tuple[int, int]]:
    """First and one-past-last row of the windows of one run; see `Samples.windows`."""
    if stop <= start:
        return []
    if whole:
        return [(start, min(stop, start + n_rows))]
    pieces = []
    # A run of one row past its warm-up is left out; the last row of a longer one is not.
    least = n_warmup + 1
    while stop - start > least:
        pieces.append((start, min(stop, start + n_rows)))
        # Where this was the last one, no more than a warm-up is left.
        start, least = start + n_rows - n_warmup, n_warmup
    return pieces


def check_window(window: Any, n_rows: int, name: str = "window") -> int:
    """Return the rows of a window, or raise where none of so many rows would hold it."""
    n_window = check_count(window, name, 0)
    if not 1 <= n_window <= max(n_rows, 1):
        raise SplitError(
            f"{name} is {window} of {n_rows} rows",
            "At least 1 row, and no more than there are, was needed",
            f"Pass {name}=10",
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
