"""When each unit was observed: what was not seen is not silence."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.errors import DataError, ShapeError

#: A clock that starts at 0 has few spikes' worth of silence before the first of them. By chance
#: alone, at the mean rate of all units, a silence of a hundred mean intervals never comes; where
#: units are driven it can, so it must also be a tenth of what follows.
_SILENT_INTERVALS, _SILENT_SHARE = 100.0, 0.1
#: A single spike says nothing of a rate; no recording is silent for its first eleven days.
_LONGEST_SILENCE = 1e6

_ABOUT = {
    "observed_start": {"units": "s", "long_name": "start of a range in which a unit was observed"},
    "observed_stop": {"units": "s", "long_name": "end of a range in which a unit was observed"},
    "observed_unit": {"long_name": "position of the range's unit on `unit`"},
}


def set_observed(recording: xr.Dataset, ranges: ArrayLike | Sequence[ArrayLike]) -> xr.Dataset:
    """Return the recording with the time ranges in which its units were observed.

    Parameters
    ----------
    recording : Dataset with a ``unit`` axis.
    ranges : (range, 2), s, for all units; or a list with such an array for each unit. Each range
        is ``(start, stop]``; ranges that touch or overlap become one.

    Returns
    -------
    Dataset with ``observed_start``, ``observed_stop`` (s) and ``observed_unit``, the position on
    ``unit``, on the axis ``observed``. Counts of bins that lie outside are NaN, never 0.

    Raises
    ------
    ShapeError, DataError
        Another number of lists than of units; a range that stops before it starts.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.data.from_spikes([[0.5, 2.5]], t_start=0, t_stop=3)
    >>> rec = set_observed(rec, [[0.0, 1.0], [2.0, 3.0]])
    >>> nr.data.bin_spikes(rec, 1.0).values[:, 0].tolist()
    [1.0, nan, 1.0]
    """
    n_units = recording.sizes.get("unit", 0)
    if isinstance(ranges, list | tuple) and len(ranges) and np.ndim(ranges[0]) == 2:
        listed: Sequence[Any] = ranges
        each = [_merged(r, f"ranges of unit {k}") for k, r in enumerate(listed)]
        if len(each) != n_units:
            raise ShapeError(
                f"Observed ranges of {len(each)} units came for {n_units} units",
                "A list with the ranges (range, 2) of every unit, or one array, was needed",
                "Pass np.empty((0, 2)) for a unit that was never observed",
            )
    else:
        each = [_merged(np.asarray(ranges, dtype=float), "ranges")] * n_units
    flat = np.concatenate([*each, np.empty((0, 2))])
    owner = np.repeat(np.arange(n_units, dtype=np.int64), [len(r) for r in each])
    columns = {"observed_start": flat[:, 0], "observed_stop": flat[:, 1], "observed_unit": owner}
    out = recording.drop_dims("observed", errors="ignore")
    return out.assign({k: ("observed", v, _ABOUT[k]) for k, v in columns.items()})


def observed_ranges(recording: xr.Dataset) -> list[NDArray[np.float64]] | None:
    """Return when each unit was observed, or None where nothing limits it.

    Parameters
    ----------
    recording : Dataset.

    Returns
    -------
    A list with (range, 2), s, for each unit: sorted, disjoint.

    Raises
    ------
    DataError
        Units that were selected without their ranges.
    """
    if "observed_start" not in recording:
        return None
    owner = recording["observed_unit"].values
    n_units = recording.sizes["unit"]
    if len(owner) and owner.max() >= n_units:
        raise DataError(
            f"The observed ranges belong to units up to position {owner.max()} of {n_units} units",
            "Ranges that were selected together with their units were needed",
            "Select units with nr.data.select_units(recording, labels), not with isel or sel",
        )
    flat = np.stack([recording["observed_start"].values, recording["observed_stop"].values], 1)
    return [_merged(flat[owner == k], f"observed ranges of unit {k}") for k in range(n_units)]


def without_ranges(ranges: ArrayLike, holes: ArrayLike) -> NDArray[np.float64]:
    """Cut holes out of time ranges.

    Parameters
    ----------
    ranges, holes : (range, 2), s, in any order.

    Returns
    -------
    (range, 2), s : sorted, disjoint.

    Examples
    --------
    >>> without_ranges([[0.0, 10.0]], [[2.0, 3.0], [9.0, 12.0]]).tolist()
    [[0.0, 2.0], [3.0, 9.0]]
    """
    out: list[tuple[float, float]] = []
    cut = _merged(holes, "holes")
    for start, stop in _merged(ranges, "ranges"):
        at = float(start)
        for a, b in cut:
            if b <= at or a >= stop:
                continue
            if a > at:
                out.append((at, float(a)))
            at = max(at, float(b))
        if at < stop:
            out.append((at, float(stop)))
    return np.array(out, dtype=float).reshape(-1, 2)


def united(each: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the ranges in which at least one unit was observed, (range, 2), s."""
    return _merged(np.concatenate([*each, np.empty((0, 2))]), "ranges")


def seen(
    observed: Sequence[NDArray[np.float64]], start: NDArray[Any], stop: NDArray[Any]
) -> NDArray[np.bool_]:
    """Whether each bin ``(start, stop]`` lies wholly in an observed range, (bin, unit).

    Parameters
    ----------
    observed : one (range, 2), s, per unit, as `observed_ranges` returns them.
    start, stop : (bin,), s.
    """
    out = np.zeros((len(start), len(observed)), dtype=bool)
    if not len(start):
        return out
    # Edges come from sums of a width, on clocks of up to 1e9 s: a millionth of a bin, and what
    # the numbers themselves cannot tell apart.
    slack = 1e-6 * float(np.median(stop - start)) + 4 * float(
        np.spacing(max(abs(float(start[0])), abs(float(stop[-1]))))
    )
    known: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
    for k, ranges in enumerate(observed):
        # Units that share their ranges are the rule: look once.
        same = next((m for r, m in known if np.array_equal(r, ranges)), None)
        if same is None:
            at = np.searchsorted(ranges[:, 0], start + slack, side="right") - 1
            inside = at >= 0
            inside[inside] = stop[inside] <= ranges[at[inside], 1] + slack
            same = inside
            known.append((ranges, same))
        out[:, k] = same
    return out


def restricted_observed(
    recording: xr.Dataset, first: NDArray[np.float64], last: NDArray[np.float64]
) -> xr.Dataset:
    """Cut the observed ranges of a recording to ranges ``(first, last]`` (s)."""
    each = observed_ranges(recording)
    if each is None:
        return recording
    keep = np.stack([first, last], axis=1)
    outside = without_ranges([[-np.inf, np.inf]], keep)
    return set_observed(recording, [without_ranges(r, outside) for r in each])


def selected_observed(recording: xr.Dataset, where: NDArray[np.int64], out: xr.Dataset) -> Any:
    """Give `out`, units `where` of the recording, their observed ranges."""
    each = observed_ranges(recording)
    if each is None:
        return out
    return set_observed(out, [each[int(k)] for k in where])


def joined_observed(
    trials: Sequence[xr.Dataset],
    offsets: Sequence[float],
    ranges: Sequence[tuple[float, float]],
    joined: xr.Dataset,
) -> xr.Dataset:
    """Give trials that were joined on one clock the observed ranges of each.

    Parameters
    ----------
    trials : recordings before they were joined.
    offsets : s, added to the clock of each.
    ranges : s, of each trial on the new clock; where a trial limits nothing, all of it was seen.
    joined : the recording to add them to.
    """
    each = [observed_ranges(t) for t in trials]
    if all(e is None for e in each):
        return joined
    parts: list[list[NDArray[np.float64]]] = [[] for _ in range(joined.sizes["unit"])]
    for found, offset, whole in zip(each, offsets, ranges, strict=True):
        for k, part in enumerate(parts):
            part.append(np.array([whole]) if found is None else found[k] + offset)
    return set_observed(joined, [np.concatenate(p) for p in parts])


def start_of_clock(times: NDArray[np.float64], earliest: float | None = None) -> tuple[float, str]:
    """Where a recording begins of which only spike times are known.

    Parameters
    ----------
    times : (spike,), s, of all units.
    earliest : s, of anything else on the same clock.

    Returns
    -------
    start : float
        0 s, unless the clock says otherwise: times at or before 0, or silence before the first
        spike that is worth a hundred mean intervals and a tenth of what follows, as on a clock
        that was running for long, or counts from 1970. Then just before the first time.
    reason : str
    """
    known = [float(times.min())] if len(times) else []
    known += [] if earliest is None else [earliest]
    if not known:
        return 0.0, "0 s: there are no spikes"
    first = min(known)
    before = just_before(first) if len(times) and first == times.min() else first
    what = "first spike" if before != first else "first time on the clock"
    if first <= 0:
        if earliest is not None and before == first:
            return first, f"{what}, at {first:.12g} s"
        return before, f"{what}, at {first:.12g} s"
    span = float(np.max(times, initial=first)) - first
    if len(times) < 2 or span == 0:
        late = first > _LONGEST_SILENCE
    else:
        late = first > _SILENT_INTERVALS * span / (len(times) - 1) and first > _SILENT_SHARE * span
    if not late:
        return 0.0, "0 s: nothing says otherwise"
    return before, (
        f"{what}, at {first:.12g} s: on a clock from 0 the silence before it could not be"
    )


def just_before(time: float) -> float:
    """Return a start (s) that keeps a spike at `time`: ranges and bins are ``(start, stop]``."""
    # Bins have a slack of half a nanosecond at their edges.
    return float(min(np.nextafter(time, -np.inf), time - 1e-9))


def _merged(ranges: ArrayLike, name: str) -> NDArray[np.float64]:
    found = np.asarray(ranges, dtype=float) if np.size(ranges) else np.empty((0, 2))
    if found.ndim != 2 or found.shape[1] != 2:
        raise ShapeError(
            f"{name} has shape {found.shape}",
            "An array (range, 2) of starts and stops in s was needed",
            "Stack them: np.stack([start, stop], axis=1)",
        )
    # Open ends are allowed: a unit that was observed up to the end of the file. NaN is not.
    good = found[:, 1] >= found[:, 0]
    if not good.all():
        k = int(np.argmin(good))
        raise DataError(
            f"Range {k} of {name} runs from {found[k, 0]:g} to {found[k, 1]:g} s",
            "Ranges that stop at or after their start were needed",
            "Check the order of the columns: start, then stop",
        )
    found = found[np.argsort(found[:, 0], kind="stable")]
    found = found[found[:, 1] > found[:, 0]]
    if len(found) < 2:
        return found
    reach = np.maximum.accumulate(found[:, 1])
    opens = np.concatenate([[True], found[1:, 0] > reach[:-1]])
    closes = np.concatenate([np.flatnonzero(opens)[1:], [len(found)]]) - 1
    return np.stack([found[opens, 0], reach[closes]], axis=1)
