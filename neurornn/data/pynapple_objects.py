"""Objects of pynapple to recordings, and back, without depending on pynapple.

pynapple counts in bins ``[a, b)`` and stamps them at their centres; here a bin is ``(a, b]`` and
is stamped by its end. Counts are handed over as they are: only the stamp moves, by half a bin,
and no spike changes its bin.
"""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_number, find_blocks
from neurornn._core.errors import (
    DataError,
    KindError,
    MissingDependencyError,
    NameUnknownError,
    ShapeError,
    nearest,
)
from neurornn._core.old_names import renamed
from neurornn.data.foreign import is_trains, kept_columns, kind_of, values_of
from neurornn.data.intervals import intersect, support
from neurornn.data.labelled import (
    as_labelled,
    is_even,
    sampled_stretches,
    tensor_refused,
)
from neurornn.data.observation import just_before, observed_ranges, set_observed
from neurornn.data.recording import (
    from_spikes,
    from_traces,
    sampling_rate_of,
    set_intervals,
    spike_trains,
)
from neurornn.data.spike_table import count_attrs, grid_start, time_attrs
from neurornn.data.stamps import rate_of_stamps
from neurornn.data.trains import half_open, refuse, support_of

_NEEDED = (
    "An object of pynapple was needed: TsGroup, Ts, a dict or a list of Ts, Tsd, TsdFrame or "
    "IntervalSet"
)


@renamed(units="value_unit")
def from_pynapple(
    obj: Any,
    *,
    name: str | None = None,
    value_unit: str = "1",
    bins: bool | None = None,
    trials: Any = None,
) -> xr.Dataset:
    """Make a recording of an object of pynapple, which need not be installed.

    Parameters
    ----------
    obj : TsGroup, Ts, dict or list of Ts, Tsd, TsdFrame or IntervalSet
        Known by their attributes. Keys and columns become the labels of ``unit``, metadata its
        coordinates; the time support becomes the ``interval``s and, for spikes and counts, what
        was observed.
    name : of the values of a Tsd or TsdFrame; by default ``"counts"`` for whole numbers in bins,
        by their type or with ``bins=True``, else ``"signal"``: floats in bins, as those of
        ``count(0.1) / 0.1``, are rates or means.
    value_unit : of those values.
    bins : whether the times of a Tsd or TsdFrame are the centres of bins, as ``count`` makes
        them. By default the object tells: the first time of each range of its support then lies
        half a bin behind the start of the range, and otherwise on it.
    trials : IntervalSet, or (trial, 2), s; becomes the ``interval``s in place of the support.

    Returns
    -------
    Dataset
        Spikes: ``spike_times (spike)`` in s, as `from_spikes` gives them; members of a group that
        are Tsd leave their values in ``spike_value (spike)``; ``rate (unit)``, in Hz, is that of
        pynapple. Values in bins: ``name (time, unit)`` with ``bin_size`` (s), ``time`` the end of
        the bin, and NaN in a bin that reaches beyond the support. Samples: ``name (time, unit)``
        at their times; where these are not those of frames, ``name (sample, channel)`` with
        ``sample_time (sample)``. IntervalSet: ``start``, ``stop (interval)``, with its metadata.

    Raises
    ------
    KindError, ShapeError, DataError
        Another kind of object; a TsdTensor; whole numbers of which nothing says whether they are
        bins.

    See Also
    --------
    to_pynapple : the way back. bin_spikes : ``closed="left"`` counts as pynapple does.

    Notes
    -----
    Ranges of pynapple are closed, ``[start, end]``, and ours ``(start, stop]``: where a spike
    stands at the very start of the support, the interval begins 1 ns earlier, so that the spike
    is in it. Ranges that touch are parted by 1 us in pynapple; here they touch again.

    Examples
    --------
    >>> import pynapple as nap  # doctest: +SKIP
    >>> group = nap.load_file("spikes.nwb")["units"]  # doctest: +SKIP
    >>> recording = from_pynapple(group)  # doctest: +SKIP
    """
    kind = kind_of(obj)
    if kind == "tensor":
        raise tensor_refused(obj)
    if kind == "intervals":
        return _of_intervals(obj)
    if kind in ("tsd", "frame"):
        recording = _of_series(obj, name, value_unit, bins)
    elif kind in ("group", "ts") or (kind is None and is_trains(obj)):
        recording = from_spikes(obj)
    else:
        raise refuse(obj, _NEEDED)
    if trials is None:
        return recording
    ranges = support_of(trials) if kind_of(trials) == "intervals" else np.asarray(trials, float)
    times = recording["spike_times"].values if "spike_times" in recording else np.empty(0)
    ranges = half_open(ranges, times)
    return set_intervals(recording, ranges[:, 0], ranges[:, 1])


def _of_intervals(ranges: Any) -> xr.Dataset:
    closed = support_of(ranges)
    out = half_open(closed, np.empty(0))
    recording = set_intervals(xr.Dataset(), out[:, 0], out[:, 1])
    columns, left = kept_columns(getattr(ranges, "metadata", None), len(closed))
    for name, column in columns.items():
        if name in recording.variables or name in recording.dims:
            left.append(name)
        else:
            recording = recording.assign_coords({name: ("interval", column)})
    return recording.assign_attrs(not_read=", ".join(left)) if left else recording


def _of_series(series: Any, name: str | None, units: str, bins: bool | None) -> xr.Dataset:
    array = as_labelled(series, bins=bins)
    if not array.size:
        raise DataError(
            f"A {type(series).__name__} of shape {array.shape} came",
            "At least one value was needed",
            "Check the epochs it was restricted to",
        )
    array = array if array.ndim == 2 else array.expand_dims("unit", axis=1)
    left = array.attrs.get("not_read")
    closed = support_of(series)
    if "bin_size" in array.attrs:
        # Rates can be whole numbers, too.
        counted = bool(bins) or np.asarray(values_of(series)).dtype.kind in "biu"
        name = name or ("counts" if counted and _are_counts(array.values) else "signal")
        recording = _of_bins(array, name, units, half_open(closed, np.empty(0)))
    else:
        recording = _of_samples(array, name or "signal", units, closed)
    return recording.assign_attrs(not_read=left) if left else recording


def _are_counts(values: NDArray[Any]) -> bool:
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return bool(np.all(known >= 0) and np.all(known == np.round(known)))


def _of_bins(
    array: xr.DataArray, name: str, units: str, ranges: NDArray[np.float64]
) -> xr.Dataset:
    width = array.attrs["bin_size"]
    about: dict[str, Any] = {"units": units, "bin_size": width}
    if name == "counts":
        # pynapple has counted them.
        about = count_attrs(width, closed="left")
    about |= {k: v for k, v in array.attrs.items() if k == "spikes_outside"}
    recording = xr.Dataset(
        {name: (("time", "unit"), array.values, about)},
        coords={
            "time": ("time", array["time"].values, time_attrs("end of the bin")),
            "unit": _labels(array),
        },
    )
    recording = _with_coords(recording, array)
    recording = set_intervals(recording, ranges[:, 0], ranges[:, 1])
    return set_observed(recording, ranges)


def _of_samples(
    array: xr.DataArray, name: str, units: str, closed: NDArray[np.float64]
) -> xr.Dataset:
    time = array["time"].values
    if not is_even(time):
        axes = ("sample", "channel")
        recording = xr.Dataset({name: (axes, array.values, {"units": units})})
        recording["sample_time"] = ("sample", time, {"units": "s"})
        return recording.assign_coords(channel=_labels(array))
    recording = from_traces(
        array.values, time=time, name=name, value_unit=units, unit=_labels(array)
    )
    recording = _with_coords(recording, array)
    stretches = sampled_stretches(time, 1 / rate_of_stamps(time), closed)
    if stretches is None:
        return recording
    return set_intervals(recording, stretches[:, 0], stretches[:, 1])


def _labels(array: xr.DataArray) -> NDArray[Any]:
    return array["unit"].values if "unit" in array.coords else np.arange(array.sizes["unit"])


def _with_coords(recording: xr.Dataset, array: xr.DataArray) -> xr.Dataset:
    extra = {k: v for k, v in array.coords.items() if v.dims == ("unit",) and k != "unit"}
    extra = {k: v for k, v in extra.items() if k not in recording.variables}
    return recording.assign_coords({k: ("unit", v.values) for k, v in extra.items()})


# ------------------------------------------------------------------ the way back


def to_pynapple(recording: xr.Dataset | xr.DataArray, variable: str | None = None) -> Any:
    """Make an object of pynapple of a recording, or of one of its variables.

    Parameters
    ----------
    recording : Dataset with spikes, traces, counts or intervals; or a DataArray (time, unit) or
        (time,).
    variable : which to take where there are several: a name, ``"spike_times"`` or ``"interval"``.

    Returns
    -------
    TsGroup of the spikes, whose support is what was recorded and observed and whose metadata are
    the coordinates of ``unit``; labels that are not whole numbers in rising order, as its keys
    must be, stand in the column ``unit``, where `from_pynapple` finds them. TsdFrame, or Tsd, of
    values over time: counts, and what else has a ``bin_size``, at the centres of their bins.
    IntervalSet of the intervals.

    Raises
    ------
    MissingDependencyError
        pynapple is not installed.
    KindError, NameUnknownError, ShapeError, DataError
        Several variables and no choice; trials on clocks of their own; units that were observed
        at different times, for which a TsGroup has no room.

    Notes
    -----
    Spikes outside the recorded stretches ``(start, stop]`` are left out, as pynapple would do.
    Stretches that touch are parted by 1 ns, at the end of the first where no spike stands there,
    so that pynapple lays its bins from where they were: by itself it takes 1 us from those that
    touch, and the spikes in it. Counts keep their numbers; counting again with pynapple puts a
    spike that stands exactly on an edge into the bin behind it, unlike `bin_spikes`.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.data.from_spikes({"a": [0.5, 2.5]}, t_start=0, t_stop=3)
    >>> to_pynapple(rec).count(1.0)  # doctest: +SKIP
    """
    if not isinstance(recording, xr.Dataset | xr.DataArray):
        raise KindError(
            f"A {type(recording).__name__} came",
            "A recording, or a variable of one, was needed",
            "Make one with nr.data.from_spikes or nr.data.from_traces",
        )
    nap = _pynapple()
    if isinstance(recording, xr.DataArray):
        return _series_of(nap, recording)
    wanted = _chosen(recording, variable)
    if wanted == "spike_times":
        return _group_of(nap, recording)
    if wanted == "interval":
        ranges = np.stack([recording["start"].values, recording["stop"].values], axis=1)
        return _interval_set(nap, ranges, _metadata(recording, "interval"))
    return _series_of(nap, recording[wanted])


def _pynapple() -> Any:
    try:
        import pynapple  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingDependencyError(
            f"pynapple could not be imported: {error}",
            "It was needed to make objects of it",
            "Run: python -m pip install pynapple",
        ) from error
    return pynapple


def _chosen(recording: xr.Dataset, variable: str | None) -> str:
    has = ["spike_times"] if "spike_times" in recording else []
    has += [str(k) for k, v in recording.data_vars.items() if "time" in v.dims]
    known = [*has, *(["interval"] if "start" in recording else [])]
    if variable is not None:
        wanted = "spike_times" if variable == "spikes" else variable
        if wanted not in known:
            raise NameUnknownError(
                f"variable is {variable!r}",
                "The name of something with times was needed",
                nearest(str(variable), known),
            )
        return wanted
    if len(has) == 1 or (not has and known):
        return (has or known)[0]
    raise KindError(
        f"The recording holds {', '.join(known) or 'nothing with times'}",
        "One of them was needed: an object of pynapple holds one thing",
        f"Pass variable={(known or ['spike_times'])[0]!r}",
    )


def _group_of(nap: Any, recording: xr.Dataset) -> Any:
    trains = spike_trains(recording)
    labels = recording["unit"].values if "unit" in recording.coords else np.arange(len(trains))
    table = _metadata(recording, "unit")
    rising = labels.dtype.kind in "iu" and bool(np.all(np.diff(labels) > 0))
    keys = labels.tolist() if rising else list(range(len(labels)))
    if not rising:
        table["unit"] = labels
    # The rate is pynapple's to say.
    table.pop("rate", None)
    ranges = _recorded(recording)
    ranges_of_nap = None
    if ranges is not None:
        trains = [t[_within(t, ranges)] for t in trains]
        ranges_of_nap = _interval_set(nap, ranges, {}, np.concatenate([*trains, np.empty(0)]))
    members = {
        k: nap.Ts(t=t, time_support=ranges_of_nap) for k, t in zip(keys, trains, strict=True)
    }
    return nap.TsGroup(members, time_support=ranges_of_nap, metadata=table or None)


def _recorded(recording: xr.Dataset) -> NDArray[np.float64] | None:
    """Return what was recorded and observed of all units, (stretch, 2), s."""
    clocked = "start" in recording or "time" in recording.coords
    ranges = support(recording) if clocked else None
    each = observed_ranges(recording)
    if each is None or not each:
        return ranges
    if any(not np.array_equal(each[0], other) for other in each[1:]):
        raise DataError(
            "The units were observed at different times",
            "One time support for all was needed: a TsGroup has one",
            "Hand over those that share it: nr.data.select_units(recording, labels)",
        )
    if ranges is None:
        return each[0]
    ends = (float(ranges.min()), float(ranges.max())) if len(ranges) else (0.0, 0.0)
    return intersect(ranges, np.clip(each[0], *ends))


def _within(times: NDArray[np.float64], ranges: NDArray[np.float64]) -> NDArray[np.bool_]:
    if not len(ranges):
        return np.zeros(len(times), dtype=bool)
    at = np.searchsorted(ranges[:, 0], times, side="left") - 1
    return (at >= 0) & (times <= ranges[np.maximum(at, 0), 1])


def _interval_set(
    nap: Any,
    ranges: NDArray[np.float64],
    table: dict[str, NDArray[Any]],
    times: NDArray[np.float64] | None = None,
) -> Any:
    ordered = np.sort(np.empty(0) if times is None else times)
    starts = np.array([grid_start(ordered, float(a)) for a in ranges[:, 0]])
    ends = ranges[:, 1].copy()
    for k in range(1, len(ranges)):
        earlier = just_before(float(ends[k - 1]))
        if not earlier < starts[k] <= ends[k - 1]:
            continue
        held = ordered[(ordered > earlier) & (ordered <= ends[k - 1])]
        if len(held):
            # On a clock of whole ns, (a, b] holds the times of [a + 1 ns, b].
            starts[k] += 1e-9
        else:
            # Bins are laid from the start of a range: it stays where it is.
            ends[k - 1] = earlier
    return nap.IntervalSet(start=starts, end=ends, metadata=table or None)


def _metadata(recording: xr.Dataset, axis: str) -> dict[str, NDArray[Any]]:
    coords = {str(k): v for k, v in recording.coords.items() if v.dims == (axis,) and k != axis}
    return {k: v.values for k, v in coords.items() if v.dtype.kind in "biufU"}


def _series_of(nap: Any, array: xr.DataArray) -> Any:
    rest = [d for d in array.dims if d != "time"]
    if "time" not in array.dims or len(rest) > 1 or "time" not in array.coords:
        raise ShapeError(
            f"{array.name} has axes {', '.join(map(str, array.dims)) or 'none'}",
            "Values (time,) or (time, unit) with their times were needed: objects of pynapple "
            "have one clock",
            "Take one trial, array.sel(trial=0), or bin on one clock, without trials=",
        )
    array = array.transpose("time", *rest)
    time = np.asarray(array["time"].values, dtype=float)
    stated = array.attrs.get("bin_size")
    width = 0.0 if stated is None else check_number(stated, "bin_size", "s", above=0)
    step = width or (1 / sampling_rate_of(array) if len(time) > 1 else 0.0)
    blocks = find_blocks(time, step) if step else np.array([[0, len(time)]])
    starts = np.array([time[a] for a, _ in blocks]) - width
    ends = np.array([time[b - 1] for _, b in blocks])
    ranges = nap.IntervalSet(start=starts, end=ends) if np.all(ends > starts) else None
    moments = time - width / 2
    if not rest:
        return nap.Tsd(t=moments, d=array.values, time_support=ranges)
    labels = array[rest[0]].values if rest[0] in array.coords else np.arange(array.shape[1])
    extra = {str(k): v.values for k, v in array.coords.items() if v.dims == (rest[0],)}
    extra = {
        k: v for k, v in extra.items() if k not in (rest[0], "rate") and v.dtype.kind in "biufU"
    }
    return nap.TsdFrame(
        t=moments, d=array.values, columns=labels, time_support=ranges, metadata=extra or None
    )
