"""What a recording is: an `xarray.Dataset` with named axes, times in s and units in the attrs.

Time convention: frame or bin k stands for the interval ``((k - 1)·dt, k·dt]`` that ends at its
time stamp.

Spikes are a contiguous ragged array: ``spike_times (spike)`` in s, ``spike_unit (spike)``, the
position on ``unit``, and ``spike_count (unit)``. Where units were not observed throughout, the
ranges in which each was stand beside them in the same form, on the axis ``observed``:
``observed_start``, ``observed_stop`` in s and ``observed_unit``. A recording without that axis
was observed wherever it was recorded; see `neurornn.data.observation`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import (
    FASTEST_RATE,
    check_frame_times,
    check_labels,
    check_number,
    check_numbers,
    check_positive,
    check_ranges,
    check_sampling_rate,
)
from neurornn._core.errors import (
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
    UnitError,
    nearest,
)
from neurornn._core.old_names import renamed
from neurornn.data.foreign import kind_of
from neurornn.data.labelled import as_labelled, unit_of
from neurornn.data.observation import joined_observed, selected_observed, start_of_clock
from neurornn.data.stamps import rate_of_stamps as rate_of_stamps
from neurornn.data.trains import Trains, as_trains, in_order_of_names, same_order, with_what_came

TIME_CONVENTION = "frame k stands for the interval ((k-1)*dt, k*dt] that ends at its time stamp"
_TIME_ATTRS = {"units": "s", "long_name": "time", "convention": TIME_CONVENTION}


@renamed(units="value_unit")
def from_traces(
    values: ArrayLike,
    *,
    sampling_rate: float | None = None,
    time: ArrayLike | None = None,
    name: str = "dff",
    value_unit: str = "1",
    indicator: str | None = None,
    unit: ArrayLike | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Make a recording from an array of traces.

    Parameters
    ----------
    values : (time,) or (time, unit)
        Fluorescence, dF/F or any sampled signal; NaN where a frame is missing. A pandas DataFrame
        brings its columns as labels and its index, where that holds times, as `time`; a Tsd or
        TsdFrame of pynapple and a neo AnalogSignal bring their times, labels and units, and an
        array of the package quantities its unit.
    sampling_rate : Hz
        Needed unless `time` is given, or came with the values.
    time : (time,), s
        End of each frame; gaps between trials or missing stretches are simply absent.
    name : ``"dff"`` or ``"fluorescence"``.
    value_unit : of the values.
    indicator : for example ``"GCaMP6f"``.
    unit : (unit,), labels.
    attrs : more attributes of the recording (species, area, source).

    Returns
    -------
    Dataset with ``name (time, unit)``.

    Raises
    ------
    ShapeError, UnitError, DataError
        Axes that do not fit, a rate or times in another unit, or a rate other than that of the
        times which came with the values.
    """
    if kind_of(values) == "quantity":
        value_unit = unit_of(values) if value_unit == "1" else value_unit
        values = as_labelled(values)
    elif kind_of(values) is not None:
        found = as_labelled(values)
        value_unit = str(found.attrs.get("units", "1")) if value_unit == "1" else value_unit
        if time is None and "time" in found.coords:
            _check_rate_that_came(sampling_rate, found["time"].values)
            time = found["time"].values
        if sampling_rate is None:
            sampling_rate = found.attrs.get("sampling_rate")
        if unit is None and found.ndim == 2 and "unit" in found.coords:
            unit = found["unit"].values
        values = found.values
    kept = isinstance(values, np.ndarray) and values.dtype.kind in "biuf"
    if not kept or isinstance(values, np.ma.MaskedArray):
        array = check_numbers(values, "values")
    else:
        array = np.asarray(values)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ShapeError(
            f"values has shape {array.shape}",
            "An array (time,) or (time, unit) was needed",
            "Put trials on one clock with data.join_trials",
        )
    if time is not None:
        stamps = check_frame_times(time)
        if len(stamps) != len(array):
            raise ShapeError(
                f"time has {len(stamps)} stamps and values {len(array)} frames",
                "One time stamp for each frame was needed",
                "Is values (unit, time)? Then pass values.T",
            )
        if sampling_rate is None and len(stamps) > 1:
            sampling_rate = rate_of_stamps(stamps)
    if sampling_rate is not None:
        sampling_rate = check_sampling_rate(sampling_rate)
    if time is None:
        if sampling_rate is None:
            raise UnitError(
                "Neither a sampling rate nor frame times came",
                "The frame rate in Hz or the time stamps in s were needed",
                "Pass sampling_rate=30.0",
            )
        stamps = (np.arange(len(array)) + 1) / sampling_rate
    own: dict[str, Any] = {"units": value_unit, "sampling_rate": sampling_rate}
    if indicator:
        own["indicator"] = indicator
    labels = np.arange(array.shape[1]) if unit is None else _unit_labels(unit, array.shape[1])
    return xr.Dataset(
        {name: (("time", "unit"), array, own)},
        coords={"time": ("time", stamps, _TIME_ATTRS), "unit": labels},
        attrs=dict(attrs or {}),
    )


def _check_rate_that_came(sampling_rate: Any, time: NDArray[np.float64]) -> None:
    """Raise where values that bring their times came with another rate, beyond 2 %."""
    if sampling_rate is None or len(time) < 2:
        return
    stated, rate = check_sampling_rate(sampling_rate), rate_of_stamps(check_frame_times(time))
    if abs(stated / rate - 1) > 0.02:
        raise UnitError(
            f"sampling_rate is {stated:g} Hz, and the times that came with the values are those "
            f"of {rate:g} Hz",
            "One rate was needed, the same to 2 %",
            "Leave sampling_rate out: the times set it; or pass the values without their times",
        )


def from_spikes(
    spike_times: Sequence[ArrayLike] | Mapping[Any, ArrayLike] | Any,
    *,
    unit: ArrayLike | None = None,
    t_start: float | None = None,
    t_stop: float | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Make a recording from one array of spike times per unit.

    Parameters
    ----------
    spike_times : one 1-D array per unit, s; or a dict of them, whose keys are the labels
        A TsGroup of pynapple, a dict or a list of Ts, and a dict or a list of neo SpikeTrains are
        taken with their labels, their units and the time in which they were recorded. What bears
        no unit is taken as s.
    unit : (unit,), labels; by default those of `spike_times`, else 0, 1, ...
    t_start, t_stop : s, the stretch that was recorded
        By default what the trains say themselves; else from 0 to the last spike.
        Times at or before 0 start it at the first spike. So does a clock that cannot have begun
        at 0, as that of a rig that was on for an hour, or Unix time: with at least two spikes, a
        silence before the first that is worth more than a hundred mean intervals between spikes
        of all units, and longer than a tenth of the time from the first spike to the last.
    attrs : more attributes of the recording.

    Returns
    -------
    Dataset with ``spike_times (spike)``, ``spike_unit (spike)`` and ``spike_count (unit)``; the
    recorded stretch stands on ``interval``, and how its start was chosen in the attribute
    ``chosen`` of ``start``.
    """
    if t_start is not None:
        t_start = check_number(t_start, "t_start", "s")
    if t_stop is not None:
        t_stop = check_number(t_stop, "t_stop", "s")
    trains = as_trains(spike_times)
    table = _add_trains(xr.Dataset(attrs=dict(attrs or {})), trains, unit)
    table = with_what_came(table, trains)
    times = table["spike_times"].values
    if trains.stretches is not None and t_start is None and t_stop is None:
        return set_intervals(table, trains.stretches[:, 0], trains.stretches[:, 1])
    first, reason = start_of_clock(times)
    last = float(times.max()) if len(times) else first
    if trains.stretches is not None and len(trains.stretches):
        first, last = float(trains.stretches[0, 0]), float(trains.stretches[-1, 1])
        reason = f"{first:.12g} s: the trains say so"
    out = set_intervals(
        table, [first if t_start is None else t_start], [last if t_stop is None else t_stop]
    )
    if t_start is None:
        out["start"].attrs["chosen"] = reason
    return out


def add_spikes(
    recording: xr.Dataset,
    spike_times: Sequence[ArrayLike] | Mapping[Any, ArrayLike] | Any,
    *,
    unit: ArrayLike | None = None,
) -> xr.Dataset:
    """Return the recording with spike times added as a contiguous ragged array.

    Parameters
    ----------
    recording : Dataset; where it has a ``unit`` axis, the list must be as long.
    spike_times : one 1-D array per unit, s; sorted here. Whatever else `from_spikes` takes is
        taken too: its times, when they were observed, and its labels, by which the trains of a
        dict, and SpikeTrains with names, find their units.
    unit : (unit,), labels where the recording has none.

    Raises
    ------
    NameUnknownError
        Trains under other labels than those of the units.
    """
    trains = as_trains(spike_times)
    if unit is None and "unit" in recording.coords:
        ordered = same_order if hasattr(spike_times, "keys") else in_order_of_names
        trains = ordered(trains, recording["unit"].values)
    return with_what_came(_add_trains(recording, trains, unit), trains)


def _add_trains(recording: xr.Dataset, came: Trains, unit: ArrayLike | None) -> xr.Dataset:
    trains = [np.sort(t) for t in came.times]
    n_units = recording.sizes.get("unit", len(trains))
    if n_units != len(trains):
        raise ShapeError(
            f"{len(trains)} spike trains came for {n_units} units",
            "One spike train per unit was needed",
            "Pass an empty array for a unit without spikes",
        )
    counts = np.array([len(t) for t in trains], dtype=np.int64)
    flat = np.concatenate(trains) if trains else np.empty(0)
    owner = np.repeat(np.arange(len(trains), dtype=np.int64), counts)
    out = recording.drop_vars(["spike_times", "spike_unit", "spike_count"], errors="ignore")
    out = out.assign(
        spike_times=("spike", flat, {"units": "s", "long_name": "spike time"}),
        spike_unit=("spike", owner, {"long_name": "position of the spike's unit on `unit`"}),
        spike_count=("unit", counts, {"sample_dimension": "spike", "long_name": "spikes"}),
    )
    if "unit" not in out.coords:
        n = len(trains)
        unit = came.unit if unit is None else unit
        out = out.assign_coords(unit=np.arange(n) if unit is None else _unit_labels(unit, n))
    return out


def _unit_labels(unit: Any, n_units: int) -> NDArray[Any]:
    labels = check_labels(unit, "unit")
    if labels.shape != (n_units,):
        raise ShapeError(
            f"unit has shape {labels.shape} for {n_units} units",
            "One label for each unit was needed",
            "Leave it out to number the units",
        )
    return labels


def spike_trains(recording: xr.Dataset) -> list[NDArray[np.float64]]:
    """Return one array of spike times (s) per unit of the recording."""
    if "spike_times" not in recording:
        raise NameUnknownError(
            "The recording has no spike_times",
            "A recording with spike times was needed",
            nearest("spike_times", map(str, recording.data_vars)),
        )
    check_spike_owners(recording)
    times, owner = recording["spike_times"].values, recording["spike_unit"].values
    return [times[owner == k] for k in range(recording.sizes["unit"])]


def check_spike_owners(recording: xr.Dataset) -> None:
    """Raise where units were selected without their spikes.

    Raises
    ------
    DataError
        ``spike_unit`` counts positions on ``unit``; ``recording.isel(unit=...)`` moves the units
        and leaves the spikes where they were.
    """
    owner = recording["spike_unit"].values
    n_units = recording.sizes["unit"]
    stated = recording.get("spike_count")
    tally = np.bincount(owner[owner >= 0], minlength=n_units)
    if len(tally) > n_units or (stated is not None and not np.array_equal(tally, stated.values)):
        raise DataError(
            f"The spikes belong to {len(np.unique(owner))} units in another order than the "
            f"{n_units} units of the recording",
            "Spikes that were selected together with their units were needed",
            "Select units with nr.data.select_units(recording, labels), not with isel or sel",
        )


def select_units(recording: xr.Dataset, units: ArrayLike) -> xr.Dataset:
    """Return the recording with some of its units, their spikes along with them.

    Parameters
    ----------
    recording : Dataset with a ``unit`` axis.
    units : labels on ``unit``, in the order wanted; or a boolean mask (unit,).

    Raises
    ------
    NameUnknownError
        A label that is not there.
    """
    if "unit" not in recording.coords or "unit" not in recording.dims:
        raise ShapeError(
            f"The recording has axes {', '.join(map(str, recording.sizes))}",
            "Labels on the axis unit were needed",
            "Set them: recording.assign_coords(unit=...)",
        )
    labels = recording["unit"].values
    wanted = np.atleast_1d(check_labels(units, "units"))
    if wanted.ndim != 1:
        raise ShapeError(
            f"units has shape {wanted.shape}",
            "Labels of units in one dimension were needed",
            "Pass a list of labels, or a boolean mask (unit,)",
        )
    if wanted.dtype == bool:
        if wanted.shape != labels.shape:
            raise ShapeError(
                f"The mask has shape {wanted.shape} for {len(labels)} units",
                "One truth value per unit was needed",
                "Pass labels instead",
            )
        where = np.flatnonzero(wanted)
    else:
        place = {label: k for k, label in enumerate(labels.tolist())}
        unknown = [w for w in wanted.tolist() if w not in place]
        if unknown:
            raise NameUnknownError(
                f"There is no unit {unknown[0]!r}",
                "Labels of units of the recording were needed",
                nearest(str(unknown[0]), map(str, labels)),
            )
        where = np.array([place[w] for w in wanted.tolist()], dtype=np.int64)
    if "spike_times" not in recording:
        return selected_observed(recording, where, recording.isel(unit=where))
    check_spike_owners(recording)
    owner = recording["spike_unit"].values
    picks = [np.flatnonzero(owner == k) for k in where]
    out = recording.isel(unit=where, spike=np.concatenate([*picks, np.empty(0, np.int64)]))
    counts = [len(p) for p in picks]
    out = out.assign(
        spike_unit=("spike", np.repeat(np.arange(len(where)), counts), out["spike_unit"].attrs),
        spike_count=("unit", np.array(counts, np.int64), {"sample_dimension": "spike"}),
    )
    return selected_observed(recording, where, out)


def set_intervals(recording: xr.Dataset, start: ArrayLike, stop: ArrayLike) -> xr.Dataset:
    """Return the recording with its time ranges (trials, stretches) on ``interval``.

    Parameters
    ----------
    start, stop : (interval,), s; each range is ``(start, stop]``.
    """
    begin, end = check_ranges(start, stop)
    out = recording.drop_dims("interval", errors="ignore")
    return out.assign(
        start=("interval", begin, {"units": "s", "long_name": "start of the time range"}),
        stop=("interval", end, {"units": "s", "long_name": "end of the time range"}),
    )


def join_trials(trials: Sequence[xr.Dataset], gap: float = 1.0) -> xr.Dataset:
    """Put trials, each on its own clock, on one clock with a gap between them.

    Parameters
    ----------
    trials : recordings with the same variables; each needs a ``time`` axis.
    gap : s, at least this much between the end of a trial and the first frame of the next.

    Returns
    -------
    Dataset whose ``interval``s are the trials; ``clock_offset (interval)`` (s) was added to the
    times of each trial.
    """
    gap = check_number(gap, "gap", "s", least=0)
    if not isinstance(trials, list | tuple):
        raise KindError(
            f"trials is a {type(trials).__name__}",
            "A list of recordings was needed",
            "Pass [recording, recording]",
        )
    if not trials:
        raise DataError("No trials came", "At least one trial was needed", "Check the file")
    for k, trial in enumerate(trials):
        if (
            not isinstance(trial, xr.Dataset)
            or not trial.sizes.get("time")
            or ("time" not in trial.coords)
        ):
            raise KindError(
                f"Trial {k} is a {type(trial).__name__} without frames",
                "Recordings with at least one time stamp on time were needed",
                "Make each with data.from_traces",
            )
        check_frame_times(trial["time"].values)
    shifted, trains = [], []
    starts: list[float] = []
    stops: list[float] = []
    offsets: list[float] = []
    clock = 0.0
    for trial in trials:
        time = trial["time"].values
        dt = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
        first, last = float(time[0]) - dt, float(time[-1])
        offset = clock - first if starts else 0.0
        moved = trial.drop_dims(["spike", "observed"], errors="ignore")
        moved = moved.drop_vars("spike_count", errors="ignore")
        shifted.append(moved.assign_coords(time=("time", time + offset, _TIME_ATTRS)))
        trains.append(
            [t + offset for t in spike_trains(trial)] if "spike_times" in trial else None
        )
        starts.append(first + offset)
        stops.append(last + offset)
        offsets.append(offset)
        clock = stops[-1] + max(gap, 2 * dt)
    joined = xr.concat(
        shifted,
        dim="time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
    if all(t is not None for t in trains):
        per_unit = [
            np.concatenate([t[k] for t in trains if t is not None])
            for k in range(joined.sizes["unit"])
        ]
        joined = add_spikes(joined, per_unit)
    joined = joined_observed(trials, offsets, list(zip(starts, stops, strict=True)), joined)
    joined = set_intervals(joined, starts, stops)
    return joined.assign(
        clock_offset=(
            "interval",
            offsets,
            {"units": "s", "long_name": "added to the trial's clock"},
        )
    )


def sampling_rate_of(variable: xr.DataArray) -> float:
    """Frame rate in Hz of a sampled variable: from its attrs, else from its time axis."""
    stated = variable.attrs.get("sampling_rate")
    if stated is not None:
        rate = check_positive(stated, "attrs['sampling_rate']", "Hz")
    elif variable.attrs.get("bin_size") is not None:
        rate = 1 / check_positive(variable.attrs["bin_size"], "attrs['bin_size']", "s")
    elif "time" in variable.coords and variable.sizes["time"] > 1:
        stamps = check_numbers(variable["time"].values, "time", missing=False)
        check_positive(np.median(np.diff(stamps)), "The median step of time", "s")
        rate = rate_of_stamps(stamps)
    else:
        rate = np.nan
    if 0 < rate <= FASTEST_RATE:
        return float(rate)
    if rate > FASTEST_RATE:
        raise UnitError(
            f"{variable.name} has a rate of {rate:g} Hz",
            f"A rate of at most {FASTEST_RATE:g} Hz was needed",
            "Is the time axis in hours or days, or the rate in mHz?",
        )
    raise UnitError(
        f"{variable.name} has neither a sampling_rate nor a time axis",
        "The rate in Hz was needed",
        "Set variable.attrs['sampling_rate'] = 30.0",
    )
