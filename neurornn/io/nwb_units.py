"""Units of NWB files: their spikes, their columns, and when each was observed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import ShapeError, UnitWarning
from neurornn._core.warning import warn_user
from neurornn.data.observation import set_observed, without_ranges
from neurornn.data.recording import add_spikes, spike_trains
from neurornn.io.nwb_series import loaded, split_at

#: A unit's spikes, or its ranges, that are written in another order by a clock tick or two are
#: only unsorted; a step back of this many s is a clock that began again.
_BACK = 1.0
#: Spikes that last so much longer, or shorter, than all else are in another unit: from s to ms
#: it is a thousand, from s to samples more, and trials may cover a third of a session.
_OTHER_UNIT = 300.0
#: Whole numbers beyond this, a day in s, are no seconds.
_WHOLE_BEYOND = 1e5
#: A spike so far outside its unit's ranges, s, is no matter of rounding.
_ROUNDING = 1e-3

_READ = ("spike_times", "obs_intervals", "electrodes")


def add_units(recording: xr.Dataset, units: Any) -> tuple[xr.Dataset, list[str]]:
    """Add the spikes of the units table, with its columns as coordinates of ``unit``.

    Parameters
    ----------
    recording : Dataset.
    units : the table.

    Returns
    -------
    The recording, and the columns that were not read.
    """
    trains, back = _trains(units)
    recording = add_spikes(recording, trains, unit=np.asarray(loaded(units.id.data)))
    left = []
    for name in units.colnames:
        column = column_values(units[name]) if name not in _READ else None
        if column is not None and name not in recording.variables:
            recording = recording.assign_coords({name: ("unit", column)})
        elif name not in _READ:
            left.append(f"units/{name}")
    if "electrodes" in units.colnames:
        recording = _add_electrodes(recording, units["electrodes"])
    if back:
        k, a, b = back[0]
        warn_user(
            f"The spike times of unit {recording['unit'].values[k]} go back from {a:.12g} to "
            f"{b:.12g} s"
            + (f", and those of {len(back) - 1} more units too" if len(back) > 1 else "")
            + ". Times of one clock, in order, were needed; they were sorted. Did the clock begin "
            "again, as in a second session? Then the two lie on top of each other: write them "
            "with the second clock shifted.",
            UnitWarning,
        )
    return recording, left


def _trains(
    units: Any,
) -> tuple[list[NDArray[np.float64]], list[tuple[int, float, float]]]:
    index = units["spike_times"]
    flat = np.asarray(loaded(index.target.data), dtype=float)
    stops = np.asarray(loaded(index.data), dtype=int)
    trains = split_at(flat, stops, "spike_times_index")
    back = []
    for k, train in enumerate(trains):
        steps = np.diff(train)
        if len(steps) and steps.min() < -_BACK:
            at = int(np.argmin(steps))
            back.append((k, float(train[at]), float(train[at + 1])))
    return trains, back


def add_observation(recording: xr.Dataset, units: Any, invalid: Any) -> xr.Dataset:
    """Add when each unit was observed: ``obs_intervals`` of the table less ``invalid_times``.

    Parameters
    ----------
    recording : Dataset with the units.
    units : the table.
    invalid : (range, 2), s, in which nothing counts; may be empty.

    Notes
    -----
    Without ``obs_intervals`` only the invalid times are taken out. A unit with spikes and no
    range of its own, where others have some, is taken as observed throughout.
    """
    always = np.array([[-np.inf, np.inf]])
    each = [always] * recording.sizes["unit"]
    stated = "obs_intervals" in units.colnames
    trains = spike_trains(recording)
    if stated:
        index = units["obs_intervals"]
        flat = np.asarray(loaded(index.target.data), dtype=float).reshape(-1, 2)
        stops = np.asarray(loaded(index.data), dtype=int)
        each = [
            always if not len(r) and len(t) else r
            for r, t in zip(split_at(flat, stops, "obs_intervals_index"), trains, strict=True)
        ]
    if not stated and not len(invalid):
        return recording
    inside = [without_ranges(r, invalid) for r in each]
    _compare_with_spikes(recording, each, trains)
    return set_observed(recording, inside)


def _compare_with_spikes(
    recording: xr.Dataset, each: list[NDArray[Any]], trains: list[NDArray[np.float64]]
) -> None:
    outside = []
    for k, (ranges, train) in enumerate(zip(each, trains, strict=True)):
        padded = ranges + np.array([-_ROUNDING, _ROUNDING])
        n = int(np.sum(~_within(train, padded)))
        if n:
            outside.append((k, n))
    if not outside:
        return
    k, n = max(outside, key=lambda pair: pair[1])
    own = each[k]
    said = f"from {own.min():.12g} to {own.max():.12g} s" if len(own) else "which are none"
    warn_user(
        f"{n} of {len(trains[k])} spikes of unit {recording['unit'].values[k]}, from "
        f"{trains[k].min():.12g} to {trains[k].max():.12g} s, lie outside its obs_intervals, "
        f"{said}; so it is in {len(outside)} of {len(trains)} units. Spikes within them were "
        "needed. Are both in s, on one clock? The spikes outside are not counted.",
        UnitWarning,
    )


def _within(times: NDArray[np.float64], ranges: NDArray[np.float64]) -> NDArray[np.bool_]:
    out = np.zeros(len(times), dtype=bool)
    for start, stop in ranges:
        out |= (times >= start) & (times <= stop)
    return out


def compare_clocks(recording: xr.Dataset, others: Mapping[str, tuple[float, float]]) -> None:
    """Warn where spike times are in another unit, or on another clock, than all else.

    Parameters
    ----------
    recording : Dataset with spikes.
    others : what else has times -> its first and last time, s.
    """
    times = recording["spike_times"].values
    if len(times) < 2:
        return
    first, last = float(times.min()), float(times.max())
    said = f"The {len(times)} spike times lie from {first:.12g} to {last:.12g} s"
    known = {k: v for k, v in others.items() if np.isfinite(v).all() and v[1] > v[0]}
    for name, (a, b) in known.items():
        # Both must be so much larger: how long it lasts, and the last time itself. A single
        # trial may be short, and two clocks may count from 1970.
        ratios = (last - first) / (b - a), abs(last) / max(abs(a), abs(b))
        other = min(ratios) > _OTHER_UNIT or max(ratios) < 1 / _OTHER_UNIT
        if not other and last >= a and first <= b:
            continue
        warn_user(
            f"{said}, and {name} from {a:.12g} to {b:.12g} s. Times in s on one clock were "
            "needed. "
            + (
                "Is one of them in ms, or in samples? "
                if other
                else "Does one of them count from another start? "
            )
            + "Correct the file; counts and trials do not fit.",
            UnitWarning,
        )
        return
    # A long median interval is told where any spike times are checked.
    if len(times) > 10 and last > _WHOLE_BEYOND and np.all(times == np.round(times)):
        warn_user(
            f"{said}, all whole numbers. Times in s were needed. Are they samples, or ms? Correct "
            "the file: divide them by the rate in Hz, or by 1000.",
            UnitWarning,
        )


def _add_electrodes(recording: xr.Dataset, column: Any) -> xr.Dataset:
    region = getattr(column, "target", column)
    rows = np.asarray(loaded(region.data), dtype=int)
    stops = (
        np.arange(1, len(rows) + 1) if region is column else np.asarray(loaded(column.data), int)
    )
    each = split_at(rows, stops, "electrodes_index")
    coords: dict[str, Any] = {}
    if all(len(r) == 1 for r in each):
        coords["electrode"] = (
            "unit",
            np.asarray(loaded(region.table.id.data))[np.concatenate(each)],
        )
    for name in ("location", "group_name"):
        if name in region.table.colnames and name not in recording.variables:
            texts = column_values(region.table[name])
            if texts is not None:
                joined = ["/".join(sorted(set(map(str, texts[r])))) for r in each]
                coords[name] = ("unit", np.array(joined))
    return recording.assign_coords(coords)


def column_values(column: Any) -> NDArray[Any] | None:
    """Return a table column as numbers or text, or None where it is neither."""
    if hasattr(column, "target"):
        inner = column_values(column.target)
        if inner is None or inner.dtype.kind != "U":
            return None
        parts = split_at(inner, np.asarray(loaded(column.data), dtype=int), str(column.name))
        return np.array([", ".join(p) for p in parts], dtype=str)
    values = list(loaded(column.data))
    if values and all(hasattr(v, "name") for v in values):
        return np.array([v.name for v in values], dtype=str)
    if all(isinstance(v, str | bytes) for v in values):
        return np.array([v.decode() if isinstance(v, bytes) else v for v in values], dtype=str)
    array = np.asarray(values)
    return array if array.ndim == 1 and array.dtype.kind in "biuf" else None


def first_times(recording: xr.Dataset, others: Mapping[str, tuple[float, float]]) -> float | None:
    """Return the first time (s) of anything in the recording but its spikes, or None."""
    firsts = [a for a, _ in others.values() if np.isfinite(a)]
    if "observed_start" in recording:
        starts = recording["observed_start"].values
        firsts += [float(t) for t in starts[np.isfinite(starts)][:1]]
    return min(firsts, default=None)


def check_lengths(values: NDArray[Any], time: NDArray[np.float64] | None, label: str) -> None:
    """Raise where a series has another number of time stamps than of frames."""
    if time is None or len(time) == len(values):
        return
    raise ShapeError(
        f"{label}: time has {len(time)} stamps and values {len(values)} frames",
        "One time stamp for each frame was needed",
        "Find out which stamps belong to no frame, or which frames have none, and write the "
        "file again",
    )
