"""Spike times into counts.

Bin k stands for ``((k - 1)·dt, k·dt]`` and is stamped by its end. Bins exist only where something
was recorded: a gap is an absent bin, never a row of zeros.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import (
    check_bin_size,
    check_choice,
    check_frame_times,
    check_number,
    find_blocks,
)
from neurornn._core.errors import DataError, KindError, UnitError
from neurornn.data.intervals import intersect
from neurornn.data.observation import seen, start_of_clock, united
from neurornn.data.spike_table import (
    EDGE_SLACK,
    Spikes,
    as_spikes,
    bin_of,
    check_grid,
    count_attrs,
    grid_start,
    laid,
    time_attrs,
)
from neurornn.data.stamps import rate_of_stamps
from neurornn.data.trial_binning import as_trials, count_trials


def bin_spikes(
    spikes: xr.Dataset | Sequence[ArrayLike] | Mapping[Any, ArrayLike] | Any,
    bin_size: float | None = None,
    *,
    time: ArrayLike | None = None,
    t_start: float | None = None,
    t_stop: float | None = None,
    trials: ArrayLike | xr.Dataset | bool | None = None,
    ragged: bool = False,
    closed: Literal["right", "left"] = "right",
) -> xr.DataArray:
    """Count the spikes of each unit in bins.

    Parameters
    ----------
    spikes : a recording with ``spike_times``, one 1-D array of times (s) per unit, or a dict of
        them, whose keys are the labels. TsGroup, Ts, and lists or dicts of Ts or of neo
        SpikeTrains are taken as `from_spikes` takes them. Events with a size are summed by it
        where the recording has ``spike_weight (spike)``.
    bin_size : s
        Width of a bin; the last, partial bin of every recorded stretch is dropped.
    time : (time,), s
        Ends of the bins instead of `bin_size`, for example the frames of a movie. Their mean step
        is the bin size; where a step is longer by half, frames are missing and the spikes in
        between are not counted.
    t_start, t_stop : s
        Count only in ``(t_start, t_stop]``. By default the recorded stretches of a recording; for
        a list, from 0 to the bin of the last spike. Times at or before 0, or a clock that cannot
        have begun at 0 (see `from_spikes`), start it with the bin of the first spike.
    trials : (trial, 2), s
        Count in each ``(start, stop]`` on its own clock. True takes the ``interval``s of the
        recording, a Dataset with ``start`` and ``stop``, or an IntervalSet, its own. Trials may
        overlap.

    Other Parameters
    ----------------
    ragged : bool
        Accept trials of unequal length or with bins that were not recorded. The counts are then
        padded with 0, and the coordinate ``mask (trial, time)`` is False there; so it is where no
        unit was observed, and the counts are NaN.
    closed : which end belongs to a bin
        ``"right"``, ``(a, b]``, is the convention of this package. ``"left"``, ``[a, b)``, is that
        of NumPy and pynapple: a spike within half a nanosecond of an edge is in the bin behind.

    Returns
    -------
    DataArray ``counts (time, unit)`` or ``(trial, time, unit)``, int64 (float64 with weights)
        ``time`` (s) is the end of each bin, for trials since the start of the trial. Attrs:
        ``bin_size`` (s), ``units``, ``convention`` and ``spikes_outside``, the number of spikes
        that fell into no bin; for a list without `t_start` also ``start_chosen``. Where a
        recording says when its units were observed (``observed_start``, see
        `neurornn.data.observation`), a bin that was not observed throughout is NaN and the
        counts are float64; so ``counts.mean("time")`` divides by the time seen.

    Raises
    ------
    UnitError, DataError, ShapeError, KindError
        No bin size, times in ms, stretches shorter than a bin, trials of unequal length.

    Examples
    --------
    >>> counts = bin_spikes([[0.1, 0.4], [0.3]], 0.2)
    >>> counts.values.tolist(), counts["time"].values.tolist()
    ([[1, 0], [1, 1]], [0.2, 0.4])
    """
    check_choice(closed, "closed", ("right", "left"))
    if t_start is not None:
        t_start = check_number(t_start, "t_start", "s")
    if t_stop is not None:
        t_stop = check_number(t_stop, "t_stop", "s")
    within = None
    if t_start is not None and t_stop is not None and time is None and trials is None:
        within = (t_start, t_stop)
    table = as_spikes(spikes, within)
    if bin_size is not None:
        bin_size = check_bin_size(bin_size)
    if time is not None:
        if trials is not None:
            raise KindError(
                "Both time= and trials= came",
                "One of them was needed: the ends of all bins, or trials cut into equal bins",
                "Pass trials= with bin_size=, or select the frames of the trials from time",
            )
        edges, width = _edges_of_frames(time, bin_size)
        if t_start is not None or t_stop is not None:
            low = -np.inf if t_start is None else t_start
            high = np.inf if t_stop is None else t_stop
            edges = [e[(e >= low - EDGE_SLACK) & (e <= high + EDGE_SLACK)] for e in edges]
            if all(len(e) < 2 for e in edges):
                raise DataError(
                    f"No whole frame of time lies between {low:g} and {high:g} s",
                    "At least one was needed",
                    "Check t_start and t_stop",
                )
        return _count(table, edges, width, closed)
    if bin_size is None:
        raise UnitError(
            "Neither bin_size nor time came",
            "The width of a bin in s, or the ends of the bins in s, were needed",
            "Pass bin_size=0.02 for bins of 20 ms",
        )
    width = bin_size
    if trials is not None and trials is not False:
        return count_trials(table, as_trials(trials, spikes), width, ragged, closed)
    if table.stretches is None and table.observed is not None:
        table = table._replace(stretches=united(table.observed))
    counts = _count(table, _edges_of_stretches(table, width, t_start, t_stop), width, closed)
    if table.stretches is None and t_start is None:
        counts.attrs["start_chosen"] = start_of_clock(table.times)[1]
    return counts


def _edges_of_frames(
    time: ArrayLike, bin_size: float | None
) -> tuple[list[NDArray[np.float64]], float]:
    stamps = check_frame_times(time)
    if len(stamps) < 2:
        raise DataError(
            f"time has {len(stamps)} stamps",
            "At least two frames were needed: the bin size is the step between them",
            "Pass bin_size= with t_start= and t_stop= for a single bin",
        )
    width = 1 / rate_of_stamps(stamps)
    if bin_size is not None and abs(bin_size / width - 1) > 0.02:
        raise UnitError(
            f"bin_size is {bin_size:g} s and the frames are {width:g} s apart",
            "One bin size was needed, the same to 2 %",
            "Leave bin_size out: the frames set it",
        )
    blocks = find_blocks(stamps, width)
    return [np.concatenate([[stamps[a] - width], stamps[a:b]]) for a, b in blocks], width


def _edges_of_stretches(
    table: Spikes, width: float, t_start: float | None, t_stop: float | None
) -> list[NDArray[np.float64]]:
    if table.stretches is None:
        times = table.times
        first, last = (float(times[0]), float(times[-1])) if len(times) else (0.0, 0.0)
        # A spike at 0 or before belongs to the bin that ends there, so that none is lost.
        late = start_of_clock(times)[0] != 0.0
        low = width * (np.ceil(first / width) - 1) if late or first <= 0 else 0.0
        low = low if t_start is None else t_start
        n_wide = max(1.0, np.ceil((last - low - EDGE_SLACK) / width))
        stretches = np.array([[low, low + n_wide * width if t_stop is None else t_stop]])
    else:
        stretches = table.stretches
        wanted = [
            stretches.min() if t_start is None else t_start,
            stretches.max() if t_stop is None else t_stop,
        ]
        if np.any(stretches[1:, 0] < stretches[:-1, 1] - EDGE_SLACK):
            raise DataError(
                "The intervals of the recording overlap or are not in order",
                "Stretches that follow one another were needed to bin on one clock",
                "Pass trials=True to bin each interval on its own clock",
            )
        stretches = intersect(stretches, [wanted])
    # A millionth of a bin of slack: 0.3 s is three bins of 0.1 s although 0.3 / 0.1 < 3.
    begins = np.array([grid_start(table.times, float(a)) for a in stretches[:, 0]])
    bins = np.floor((stretches[:, 1] - begins) / width + 1e-6)
    told = t_start is not None and t_stop is not None
    check_grid(float(np.maximum(bins, 0.0).sum()), table, told=told)
    n_bins = bins.astype(np.int64)
    if not np.any(n_bins > 0):
        longest = float(np.max(stretches[:, 1] - stretches[:, 0], initial=0.0))
        raise DataError(
            f"The longest recorded stretch is {longest:g} s and a bin {width:g} s",
            "At least one whole bin was needed",
            "Choose smaller bins; check t_start, t_stop and the unit of the times (s)",
        )
    return [
        laid(table.times, float(a), float(b), width * np.arange(n + 1))
        for (a, b), n in zip(stretches, n_bins, strict=True)
        if n
    ]


class Placed(NamedTuple):
    """Spikes and the bins that they fall into; bins without a spike take no room but their stamp.

    Attributes
    ----------
    row : (spike,), bin of each spike; those that fell into none are left out.
    owner : (spike,), position of its unit.
    times : (spike,), s.
    weights : (spike,), what each counts for; None for 1.
    starts, stamps : (row,), s, where each bin begins and ends.
    run : (row,), number of the gapless stretch of each bin.
    known : (row, unit), whether the unit was observed throughout; None where nothing limits that.
    unit : (unit,), labels.
    width : s, of a bin.
    n_outside : spikes that fell into no bin, or into one that was not observed.
    """

    row: NDArray[np.int64]
    owner: NDArray[np.int64]
    times: NDArray[np.float64]
    weights: NDArray[np.float64] | None
    starts: NDArray[np.float64]
    stamps: NDArray[np.float64]
    run: NDArray[np.int64]
    known: NDArray[np.bool_] | None
    unit: NDArray[Any]
    width: float
    n_outside: int


def place_spikes(
    spikes: Any, bin_size: float, *, t_start: float | None = None, t_stop: float | None = None
) -> Placed:
    """Find the bin of every spike, without counting: for bins so small that most are empty.

    Parameters
    ----------
    spikes, bin_size, t_start, t_stop : as `bin_spikes` takes them, with the same bins.

    Raises
    ------
    UnitError, DataError, ShapeError, KindError
        As `bin_spikes`.

    Examples
    --------
    >>> placed = place_spikes([[0.1, 0.4], [0.3]], 0.2)
    >>> placed.row.tolist(), placed.owner.tolist(), placed.stamps.tolist()
    ([0, 1, 1], [0, 1, 0], [0.2, 0.4])
    """
    table, width = as_spikes(spikes), check_bin_size(bin_size)
    if table.stretches is None and table.observed is not None:
        table = table._replace(stretches=united(table.observed))
    return _placed(table, _edges_of_stretches(table, width, t_start, t_stop), width, "right")


def _placed(table: Spikes, edges: list[NDArray[np.float64]], width: float, closed: str) -> Placed:
    flat = np.concatenate(edges) if edges else np.empty(0)
    # Bin j of the flat list lies between edges j and j + 1; between two stretches there is none.
    number = np.full(len(flat) + 1, -1, dtype=np.int64)
    is_bin = np.ones(len(flat), dtype=bool)
    is_bin[np.cumsum([len(e) for e in edges]) - 1] = False
    number[1:][is_bin] = np.arange(is_bin.sum())
    row = number[bin_of(flat, table.times, closed)]
    hit = row >= 0
    starts = np.concatenate([np.empty(0), *(e[:-1] for e in edges)])
    stamps = np.concatenate([np.empty(0), *(e[1:] for e in edges)])
    outside, known = int(np.sum(~hit)) + table.n_beyond, None
    if table.observed is not None and edges:
        known = seen(table.observed, starts, stamps)
        outside += int(np.sum(~known[row[hit], table.owner[hit]]))
        known = None if known.all() else known
    sizes = [max(len(e) - 1, 0) for e in edges]
    run = np.repeat(np.arange(len(edges)), sizes) if edges else row[:0]
    return Placed(
        row=row[hit], owner=table.owner[hit], times=table.times[hit],
        weights=None if table.weights is None else table.weights[hit],
        starts=starts, stamps=stamps, run=run, known=known, unit=table.unit, width=width,
        n_outside=outside,
    )  # fmt: skip


def _count(
    table: Spikes, edges: list[NDArray[np.float64]], width: float, closed: str
) -> xr.DataArray:
    placed = _placed(table, edges, width, closed)
    n_time, n_units = len(placed.stamps), len(table.unit)
    cells = np.bincount(
        placed.row * n_units + placed.owner, weights=placed.weights, minlength=n_time * n_units
    )
    kind = np.int64 if table.weights is None else np.float64
    grid = cells.reshape(n_time, n_units).astype(kind, copy=False)
    grid = grid if placed.known is None else np.where(placed.known, grid, np.nan)
    return xr.DataArray(
        grid,
        dims=("time", "unit"),
        coords={
            "time": ("time", placed.stamps, time_attrs("end of the bin", closed)),
            "unit": table.unit,
        },
        name="counts",
        attrs=count_attrs(width, placed.n_outside, closed),
    )
