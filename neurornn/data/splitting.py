"""Splits that do not leak: stretches of time, whole trials, whole groups.

Neighbouring bins, frames and windows look alike, so a random split puts near-copies of the test
rows into training. What is dealt out here is always the larger thing.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_labels, check_number, check_numbers, check_rng
from neurornn._core.errors import KindError, NameUnknownError, ShapeError, SplitError, nearest
from neurornn._core.rng import RNG, generator
from neurornn.data.intervals import as_ranges, restrict, support
from neurornn.data.recording import sampling_rate_of
from neurornn.data.samples import check_fractions, cut_points

Recorded = TypeVar("Recorded", xr.Dataset, xr.DataArray)

#: Slack when times are compared, s: a stamp that went through a sum must not be lost.
SLACK = 5e-10


def split_blocks(
    recording: Recorded,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    gap: float = 1.0,
) -> tuple[Recorded, ...]:
    """Cut a recording into consecutive stretches of time, with a pause between neighbours.

    Parameters
    ----------
    recording : Dataset, or a variable of it with a ``time`` axis.
    fractions : of the recorded time (what was not recorded does not count), in order; sum 1.
    gap : s, recorded time dropped between neighbours. Take the longest memory of signal and
        model: several decay times of the indicator, or the duration of a window.

    Returns
    -------
    One recording per fraction, all on the clock of the whole; cuts fall on frame edges.

    Raises
    ------
    SplitError
        A part would be empty.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.data.from_traces(np.arange(2000.0).reshape(1000, 2), sampling_rate=10)
    >>> [part.sizes["time"] for part in split_blocks(rec, (0.5, 0.5), gap=2.0)]
    [490, 490]
    """
    shares = check_fractions(fractions)
    gap = check_number(gap, "gap", "s")
    if gap < 0:
        raise SplitError(f"gap is {gap} s", "A gap of 0 s or more was needed", "Pass gap=1.0")
    whole = _as_recording(recording)
    stretches = support(whole)
    if np.any(stretches[1:, 0] < stretches[:-1, 1] - SLACK):
        raise SplitError(
            "The intervals of the recording overlap or are not in order",
            "Intervals that follow one another were needed to cut by time",
            "Split by trial with data.split_trials",
        )
    lengths = stretches[:, 1] - stretches[:, 0]
    before = np.concatenate([[0.0], np.cumsum(lengths)])
    usable = before[-1] - gap * (len(shares) - 1)
    ends = np.cumsum(shares) * max(usable, 0.0) + gap * np.arange(len(shares))
    begins = ends - shares * max(usable, 0.0)

    def clock(recorded: NDArray[np.float64], side: str) -> NDArray[np.float64]:
        """Turn recorded time into a time on the clock of the recording, in s."""
        k = np.searchsorted(
            before[1:] + (-SLACK if side == "start" else SLACK), recorded, side="left"
        )
        k = np.minimum(k, len(lengths) - 1)
        return stretches[k, 0] + recorded - before[k]

    parts = []
    for k, (start, stop) in enumerate(
        zip(clock(begins, "start"), clock(ends, "stop"), strict=True)
    ):
        first, last = _on_frames(whole, start, stop)
        part = restrict(whole, first, last)
        if usable <= 0 or last <= first or ("time" in part.sizes and not part.sizes["time"]):
            raise SplitError(
                f"Part {k + 1} of {len(shares)} would be empty: {before[-1]:g} s were recorded, "
                f"fraction {shares[k]:g}, gaps of {gap:g} s",
                "At least one frame in every part was needed",
                "Record for longer, choose a shorter gap, or fewer parts",
            )
        parts.append(_like(part, recording))
    return tuple(parts)


def split_trials(
    recording: Recorded, fractions: Sequence[float] = (0.7, 0.15, 0.15), rng: RNG = None
) -> tuple[Recorded, ...]:
    """Deal whole trials out at random: no trial is cut, none is in two parts.

    Parameters
    ----------
    recording : Dataset whose ``interval``s are the trials, or a variable with a ``trial`` axis.
    fractions : of the trials; sum 1.
    rng : int, Generator or None.

    Returns
    -------
    One recording per fraction, its trials in their old order.

    Notes
    -----
    Trials of one session share its drift. Where the claim is about another day, split by session
    with `split_groups`.
    """
    shares = check_fractions(fractions)
    if not isinstance(recording, xr.Dataset | xr.DataArray):
        raise KindError(
            f"recording is a {type(recording).__name__}",
            "A recording whose intervals are the trials, or a variable with a trial axis, was "
            "needed",
            "Deal rows of anything else out with data.split_groups",
        )
    axis = "trial" if "trial" in recording.dims else "interval"
    if axis not in recording.dims or (axis == "interval" and "start" not in recording):
        raise SplitError(
            f"The recording has axes {', '.join(map(str, recording.sizes))}",
            "Trials were needed: an axis trial, or intervals with start and stop",
            "Set them with data.set_intervals, or split by time with data.split_blocks",
        )
    n = recording.sizes[axis]
    rows = generator(check_rng(rng)).permutation(n)
    picks = [np.sort(p) for p in np.split(rows, cut_points(n, shares, "trials"))]
    if axis == "trial":
        return tuple(recording.isel(trial=p) for p in picks)
    start, stop = recording["start"].values, recording["stop"].values
    if np.any(start[1:] < stop[:-1] - SLACK):
        raise SplitError(
            "Trials overlap or are not in order",
            "Trials that follow one another were needed, so that no frame is in two parts",
            "Cut them on their own clocks with data.bin_spikes(..., trials=True) and split that",
        )
    return tuple(restrict(recording, start[p], stop[p]) for p in picks)  # type: ignore[arg-type, misc]


def split_groups(
    data: Any,
    groups: ArrayLike | str,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    rng: RNG = None,
) -> tuple[Any, ...]:
    """Deal whole groups (species, family, animal, session) out: none is in two parts.

    Parameters
    ----------
    data : anything with rows along its first axis: array, DataArray, SequenceSet, list. Pass
        ``np.arange(n)`` to get row numbers. A Dataset of features or of variants is split along
        the axis of `groups`.
    groups : (row,), label of the group of each row
        Or the name of a column: ``"species"`` of the groups of a SequenceSet, ``"contig"`` of a
        table of features. Sequences that are near copies have one label by
        `cluster_by_kmers`.
    fractions : of the rows, met as nearly as whole groups allow; sum 1.
    rng : int, Generator or None.

    Returns
    -------
    One part per fraction, its rows in their old order.
    """
    shares = check_fractions(fractions)
    if isinstance(groups, str):
        groups = _column(data, groups)
    if isinstance(data, xr.Dataset):
        if not isinstance(groups, xr.DataArray) or groups.ndim != 1:
            raise KindError(
                "A Dataset came with groups that name none of its axes",
                "The name of a variable along one axis was needed, or a DataArray",
                'Pass groups="contig", for example',
            )
        dim = str(groups.dims[0])
        parts = split_groups(np.arange(groups.size), groups.values, fractions, rng)
        return tuple(data.isel({dim: rows}) for rows in parts)
    if not hasattr(data, "__getitem__") or isinstance(data, str | bytes | Mapping | Set):
        raise KindError(
            f"data is a {type(data).__name__}",
            "Something with rows was needed: an array, a DataArray, a SequenceSet or a list",
            "Pass np.arange(n) to get row numbers",
        )
    if hasattr(data, "iloc"):
        data = data.to_numpy()
    sparse = hasattr(data, "toarray") or getattr(data, "is_sparse", False)
    if sparse or getattr(data, "ndim", 1) == 0:
        raise KindError(
            f"data is a {type(data).__name__} without rows that can be counted",
            "A dense array with rows along its first axis was needed",
            "Pass np.arange(n) to get row numbers",
        )
    labels = check_labels(groups, "groups")
    if labels.ndim != 1 or len(labels) != len(data):
        raise ShapeError(
            f"groups has shape {labels.shape} for {len(data)} rows",
            "One label for each row was needed",
            "Select the same rows of both",
        )
    _, member, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(sizes) < len(shares):
        raise SplitError(
            f"{len(sizes)} groups came for {len(shares)} parts",
            "At least one group for each part was needed",
            "Ask for fewer parts, or leave one group out at a time (sklearn's LeaveOneGroupOut)",
        )
    mixed = generator(check_rng(rng)).permutation(len(sizes))
    missing = shares * len(labels)
    part_of = np.empty(len(sizes), dtype=np.int64)
    n_groups = np.zeros(len(shares), dtype=np.int64)
    for dealt, group in enumerate(mixed[np.argsort(-sizes[mixed], kind="stable")]):
        wanted = missing.copy()
        if len(sizes) - dealt <= np.sum(n_groups == 0):
            wanted[n_groups > 0] = -np.inf
        part = int(np.argmax(wanted))
        part_of[group] = part
        missing[part] -= sizes[group]
        n_groups[part] += 1
    rows = [np.flatnonzero(part_of[member] == k) for k in range(len(shares))]
    if isinstance(data, xr.DataArray):
        return tuple(data.isel({data.dims[0]: r}) for r in rows)
    if isinstance(data, list | tuple):
        return tuple([data[i] for i in r] for r in rows)
    return tuple(data[r] for r in rows)


def _column(data: Any, name: str) -> Any:
    """Labels that the data hold under a name."""
    if isinstance(data, xr.Dataset):
        known: dict[str, Any] = {str(k): v for k, v in data.variables.items() if v.ndim == 1}
        found = data[name] if name in known else None
    else:
        known = dict(getattr(data, "groups", {}))
        found = known.get(name)
    if found is None:
        raise NameUnknownError(
            f"groups is {name!r}",
            f"One of {', '.join(map(repr, known)) or 'no'} columns, or a label for each row, was "
            "needed",
            nearest(name, known) if known else "Pass the labels themselves",
        )
    return found


def check_windows(start: ArrayLike, stop: ArrayLike, stretches: ArrayLike) -> None:
    """Raise where a window is not wholly inside one stretch of a recording.

    Parameters
    ----------
    start, stop : (window,), s; each window is ``(start, stop]``.
    stretches : (stretch, 2), s
        For example ``data.support(train)``: split edges and joins between trials are their ends.

    Raises
    ------
    SplitError
        Says how many windows cross an edge, and which is the first.
    """
    begin, end = (
        np.atleast_1d(check_numbers(x, name, missing=False))
        for x, name in ((start, "start"), (stop, "stop"))
    )
    ranges = as_ranges(stretches, "stretches")
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    if begin.shape != end.shape or begin.ndim != 1 or np.any(end < begin) or not len(ranges):
        raise ShapeError(
            f"{begin.size} starts, {end.size} stops and {len(ranges)} stretches came",
            "As many starts as stops, each stop after its start, and one stretch were needed",
            "Pass data.support(recording) for the stretches",
        )
    at = np.searchsorted(ranges[:, 0], begin + SLACK, side="right") - 1
    inside = (at >= 0) & (end <= ranges[np.maximum(at, 0), 1] + SLACK)
    if not inside.all():
        k = int(np.argmin(inside))
        raise SplitError(
            f"{np.sum(~inside)} of {len(begin)} windows cross an edge of the split or a join "
            f"between trials; the first runs from {begin[k]:g} to {end[k]:g} s",
            "Windows inside one recorded stretch were needed",
            "Cut the windows after splitting, with data.windows on each part",
        )


def _as_recording(data: xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(data, xr.Dataset):
        return data
    if not isinstance(data, xr.DataArray) or "time" not in data.coords or "trial" in data.dims:
        dims = (
            f" with axes {', '.join(map(str, data.dims))}"
            if isinstance(data, xr.DataArray)
            else ""
        )
        raise KindError(
            f"A {type(data).__name__}{dims} came",
            "A recording, or a variable with time stamps in s and no trial axis, was needed",
            "Make one with data.from_traces; split rows with data.BlockedSplit, trials with "
            "data.split_trials",
        )
    return data.to_dataset(name="_values")


def _like(part: xr.Dataset, given: Recorded) -> Recorded:
    if isinstance(given, xr.Dataset):
        return part  # type: ignore[return-value]
    return part["_values"].rename(given.name)  # type: ignore[return-value]


def _on_frames(recording: xr.Dataset, start: float, stop: float) -> tuple[float, float]:
    """Move a range inward to whole frames, where the recording has frames."""
    sampled = [v for v in recording.data_vars.values() if "time" in v.dims]
    if "time" not in recording.coords or not sampled:
        return start, stop
    time, dt = recording["time"].values, 1 / sampling_rate_of(sampled[0])
    slack = 1e-6 * dt
    first = int(np.searchsorted(time - dt, start - slack, side="left"))
    last = int(np.searchsorted(time, stop + slack, side="right")) - 1
    if last < first:
        return start, start
    begin = time[first] - dt if first == 0 else max(time[first] - dt, time[first - 1])
    return float(begin), float(time[last])
