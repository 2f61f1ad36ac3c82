"""Spike trains of units, whatever holds them: keys are labels, units are converted.

pynapple says when something was recorded by closed intervals ``[start, end]``, neo by ``t_start``
and ``t_stop``; here a range is ``(start, stop]``. Where a spike stands at the very start of one,
the range begins 1 ns earlier, so that it is in it; bins are laid from the spike nevertheless.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_numbers, check_spike_trains
from neurornn._core.errors import KindError, NameUnknownError
from neurornn.data.foreign import (
    ONE_TRAIN,
    described,
    in_unit,
    kept_columns,
    kind_of,
    number_in,
)
from neurornn.data.observation import just_before, set_observed, united

#: What `as_trains` takes, for messages.
TAKEN = (
    "A list with one 1-D array of times (s) per unit was needed, or a dict {label: times}, a "
    "TsGroup or a Ts of pynapple, or a list or dict of Ts or of neo SpikeTrains"
)
#: pynapple cuts 1 us off an interval that touches the next; `to_pynapple` leaves 1 ns between.
_CUT, _TICK = 1e-6, 1e-9
#: Keys of one list of all spikes with their units, which is no dict of trains.
_FLAT = {"spike_times", "spike_time", "times", "time", "timestamps", "t"}
_FLAT_OWNERS = {
    *("spike_unit", "spike_units", "unit", "units", "unit_id", "unit_ids", "index", "labels"),
    *("spike_clusters", "clusters", "cluster", "cluster_id", "ids", "id", "start", "end"),
}


class Trains(NamedTuple):
    """Spike trains and what came with them.

    Attributes
    ----------
    times : one (spike,), s, per unit.
    unit : (unit,), labels; None where nothing names the units.
    stretches : (stretch, 2), s, that were recorded; None where that is not said.
    observed : (range, 2), s, of each unit; None where nothing limits it.
    coords : name -> (unit,), or with attrs behind it.
    values : one (spike,) per unit: a number that stands with each spike; None.
    left : names of what could not be kept.
    """

    times: list[NDArray[np.float64]]
    unit: NDArray[Any] | list[Any] | None = None
    stretches: NDArray[np.float64] | None = None
    observed: list[NDArray[np.float64]] | None = None
    coords: Mapping[str, Any] = {}
    values: list[NDArray[Any]] | None = None
    left: Sequence[str] = ()


def as_trains(spikes: Any, name: str = "spike_times") -> Trains:
    """Bring spike trains to one form.

    Parameters
    ----------
    spikes : a list with one 1-D array of times (s) per unit; a dict of them, whose keys are the
        labels; a TsGroup or a Ts; a list or a dict of Ts; a neo SpikeTrain, or a list or a dict
        of them. Arrays of the package quantities are converted to s; plain numbers never.
    name : what they are called in messages.

    Raises
    ------
    KindError, ShapeError, DataError, UnitError
        Something else; times that are not finite, or in no unit of time.
    """
    kind = kind_of(spikes)
    if kind == "group":
        return _of_group(spikes, name)
    if kind in ONE_TRAIN:
        return _of_each([spikes], None, name)
    if kind is not None or isinstance(spikes, xr.Dataset | xr.DataArray):
        raise KindError(f"{name} is {described(spikes)}", TAKEN, _way_out(kind, name))
    if isinstance(spikes, Mapping):
        return _of_dict(spikes, name)
    elements = list(spikes) if _is_list(spikes) else []
    if any(kind_of(v) in (*ONE_TRAIN, "tsd", "quantity", "column") for v in elements):
        return _of_each(elements, None, name)
    return Trains(check_spike_trains(spikes, name))


def _is_list(spikes: Any) -> bool:
    """Whether something is a list, or a list of neo's own kind; nothing is used up by looking."""
    if isinstance(spikes, str | bytes | np.ndarray):
        return isinstance(spikes, np.ndarray) and spikes.dtype.kind == "O"
    return isinstance(spikes, Iterable) and hasattr(spikes, "__len__")


def _way_out(kind: str | None, name: str) -> str:
    ways = {
        "tsd": "Its times are tsd.t; its values are taken by nr.data.from_pynapple",
        "frame": "Are these counts, or traces? nr.data.from_pynapple takes them",
        "intervals": "Trials are passed as trials=, or made with nr.data.from_pynapple",
        "segment": "Pass segment.spiketrains, or make a recording with nr.data.from_neo",
        "block": "Make a recording with nr.data.from_neo",
        "quantity": f"Pass [{name}] for a single unit",
        "table": "Make a dict: {unit: rows['time'] for unit, rows in table.groupby('unit')}",
        "column": "Pass [series] for a single unit; a column of arrays as dict(series)",
    }
    return ways.get(kind or "", "Make a recording of it with nr.data.from_pynapple or from_neo")


def _of_dict(spikes: Mapping[Any, Any], name: str) -> Trains:
    words = {str(k).lower() for k in spikes}
    if words & _FLAT and words & _FLAT_OWNERS:
        raise KindError(
            f"{name} is a dict with {', '.join(map(str, list(spikes)[:5]))}: one list of all "
            "spikes, and the unit of each",
            TAKEN,
            "Make trains of it: {u: times[unit == u] for u in numpy.unique(unit)}",
        )
    for key, value in spikes.items():
        kind = kind_of(value)
        known = kind in (*ONE_TRAIN, "tsd", "quantity", "column")
        if not known and (
            kind is not None
            or isinstance(value, Mapping | str | bytes)
            or not hasattr(value, "__len__")
        ):
            raise KindError(
                f"{name} is {described(spikes)}; {key!r} holds {described(value)}",
                TAKEN,
                "Pass one 1-D array of times (s) for each key",
            )
    return _of_each(list(spikes.values()), list(spikes), name)


def _of_each(values: Sequence[Any], labels: list[Any] | None, name: str) -> Trains:
    keys = range(len(values)) if labels is None else labels
    times = _all_times(values, keys, name)
    found = [_ranges(v, t) for v, t in zip(values, times, strict=True)]
    coords: dict[str, Any] = {}
    if any(kind_of(v) == "train" for v in values):
        if labels is None:
            labels = neo_labels(values)
        coords = _annotations(values)
    said = [r for r, stated in found if stated]
    if not said:
        # pynapple gives every Ts a support, from its first spike to its last: that says nothing.
        return Trains(times, labels, coords=coords)
    # Who says nothing was observed wherever anybody was.
    whole = united(said)
    observed = [r if stated else whole for r, stated in found]
    alike = all(np.array_equal(o, whole) for o in observed)
    # All begin early for the first spike of any, so that bins lie in the ranges of every unit.
    together = np.concatenate(times)
    stretches = half_open(whole, together)
    each = [half_open(o, together) for o in observed]
    each = [stretches] * len(each) if alike else each
    stated_by_all = len(said) == len(found)
    return Trains(times, labels, stretches if stated_by_all or alike else None, each, coords)


def _all_times(values: Sequence[Any], keys: Iterable[Any], name: str) -> list[NDArray[np.float64]]:
    """Return the times of each train, s; what states no unit is looked at as a whole."""
    out = [_times(v, f"{name}[{k!r}]") for k, v in zip(keys, values, strict=True)]
    plain = [k for k, v in enumerate(values) if kind_of(v) not in ("train", "quantity")]
    for k, checked in zip(plain, check_spike_trains([out[k] for k in plain], name), strict=True):
        out[k] = checked
    return out


def _times(value: Any, name: str) -> NDArray[np.float64]:
    kind = kind_of(value)
    if kind in ("train", "quantity"):
        return check_numbers(in_unit(value, "s", name).ravel(), name, missing=False)
    return check_numbers(value.t if kind in ("ts", "tsd") else value, name, missing=False)


def _ranges(value: Any, times: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Return when a train was observed, ``[start, end]`` (s), and whether anybody said so."""
    kind = kind_of(value)
    if kind == "train":
        ends = [number_in(getattr(value, e), "s", e) for e in ("t_start", "t_stop")]
        return np.array([ends]), True
    if kind not in ("ts", "tsd"):
        return np.empty((0, 2)), False
    ranges = support_of(value)
    alone = len(ranges) == 1 and len(times)
    drawn = alone and ranges[0, 0] == times.min() and ranges[0, 1] == times.max()
    return ranges, bool(len(ranges) and not drawn)


def neo_labels(trains: Sequence[Any]) -> list[str]:
    """Return names of SpikeTrains: their name, else their id, else their number, told apart."""
    ids = [str(getattr(t, "annotations", {}).get("id", k)) for k, t in enumerate(trains)]
    names = [str(getattr(t, "name", None) or i) for t, i in zip(trains, ids, strict=True)]
    out = [n if names.count(n) == 1 else f"{n}#{i}" for n, i in zip(names, ids, strict=True)]
    return out if len(set(out)) == len(out) else [f"{n}#{k}" for k, n in enumerate(names)]


def _annotations(trains: Sequence[Any]) -> dict[str, Any]:
    """Return what all trains of neo are annotated with, numbers or text, as coordinates."""
    notes = [getattr(t, "annotations", None) or {} for t in trains]
    shared = [k for k in notes[0] if all(k in n for n in notes)]
    table = {k: [n[k] for n in notes] for k in shared if k not in ("id", "unit")}
    kept, _ = kept_columns(table, len(trains))
    return kept


def support_of(thing: Any) -> NDArray[np.float64]:
    """Return the time support of a pynapple object, or an IntervalSet itself, (range, 2), s.

    Each range is closed, ``[start, end]``, as pynapple means it.
    """
    ranges = thing if kind_of(thing) == "intervals" else thing.time_support
    found = np.stack([np.asarray(ranges.start, float), np.asarray(ranges.end, float)], axis=1)
    return found[np.argsort(found[:, 0], kind="stable")]


def half_open(closed: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranges ``(start, stop]`` that hold the spikes of closed ones ``[start, end]``.

    Parameters
    ----------
    closed : (range, 2), s, sorted, disjoint.
    times : (spike,), s, in any order.

    Notes
    -----
    A range begins 1 ns before its start where a spike stands there, and not otherwise. Ranges
    that pynapple has parted by the 1 us that it takes from the first of two that touch, or that
    `to_pynapple` has parted by 1 ns, touch again.

    Examples
    --------
    >>> half_open(np.array([[0.0, 9.999999], [10.0, 20.0]]), np.array([3.0])).tolist()
    [[0.0, 10.0], [10.0, 20.0]]
    """
    out = closed.copy()
    ordered = np.sort(times)
    for k, (start, _) in enumerate(closed):
        blur = 2e-10 + 4 * float(np.spacing(abs(start)))
        gap = start - closed[k - 1, 1] if k else np.inf
        if abs(gap - _TICK) <= blur and _holds(ordered, out[k - 1, 1]):
            # Parted at the start of the second, for the sake of the last spike of the first.
            out[k, 0] = out[k - 1, 1]
            continue
        if _holds(ordered, start):
            at = int(np.searchsorted(ordered, start - _TICK / 2))
            out[k, 0] = just_before(min(start, float(ordered[at])))
        if min(abs(gap - _CUT), abs(gap - _TICK)) <= blur:
            out[k - 1, 1] = out[k, 0]
    return out


def _holds(ordered: NDArray[np.float64], time: float) -> bool:
    """Whether a spike stands at a time, to half a ns."""
    at = int(np.searchsorted(ordered, time - _TICK / 2))
    return at < len(ordered) and bool(ordered[at] <= time + _TICK / 2)


def _of_group(group: Any, name: str) -> Trains:
    keys = list(group.keys())
    members = [group[k] for k in keys]
    times = _all_times(members, keys, name)
    marks = [m for m in members if kind_of(m) == "tsd"]
    values = [np.asarray(m.values) for m in marks] if len(marks) == len(members) else None
    table = getattr(group, "metadata", None)
    columns, left = kept_columns(table, len(keys))
    rate = columns.pop("rate", getattr(group, "rates", None))
    coords: dict[str, Any] = dict(columns)
    if rate is not None and np.shape(rate) == (len(keys),):
        about = {"units": "Hz", "long_name": "spikes by the time of support, as pynapple has it"}
        coords["rate"] = (np.asarray(rate, dtype=float), about)
    labels: Any = keys
    # Keys of a TsGroup are whole numbers; `to_pynapple` keeps other labels in this column.
    named = coords.pop("unit", None)
    if named is not None and len(set(named.tolist())) == len(keys):
        labels = named
    elif named is not None:
        coords["unit_metadata"] = named
    closed = support_of(group)
    if not len(closed):
        return Trains(times, labels, coords=coords, values=values, left=left)
    ranges = half_open(closed, np.concatenate([*times, np.empty(0)]))
    return Trains(times, labels, ranges, [ranges] * len(keys), coords, values, left)


def with_what_came(recording: xr.Dataset, trains: Trains) -> xr.Dataset:
    """Add to a recording of spikes what came with its trains."""
    coords: dict[str, Any] = {}
    left = list(trains.left)
    for name, column in trains.coords.items():
        values, about = column if isinstance(column, tuple) else (column, {})
        if name in recording.variables or name in recording.dims:
            left.append(name)
        else:
            coords[name] = ("unit", values, about)
    out = recording.assign_coords(coords)
    if trains.values is not None:
        orders = [np.argsort(t, kind="stable") for t in trains.times]
        marks = [np.asarray(v)[o] for v, o in zip(trains.values, orders, strict=True)]
        about = {"long_name": "number that came with the spike"}
        out = out.assign(spike_value=("spike", np.concatenate([*marks, np.empty(0)]), about))
    if trains.observed is not None:
        out = set_observed(out, trains.observed)
    return out.assign_attrs(not_read=", ".join(left)) if left else out


def same_order(trains: Trains, labels: NDArray[Any]) -> Trains:
    """Bring trains that are named into the order of the units of a recording.

    Parameters
    ----------
    trains : with their labels.
    labels : (unit,), of the recording.

    Raises
    ------
    NameUnknownError
        Other names than those of the units.
    """
    named = list(trains.unit) if trains.unit is not None else []
    place = {label: k for k, label in enumerate(named)}
    missing = [u for u in labels.tolist() if u not in place]
    if missing or len(named) != len(labels):
        other = missing[0] if missing else next(k for k in named if k not in labels.tolist())
        raise NameUnknownError(
            f"Spike trains came for {', '.join(map(repr, named[:5]))}, the units of the recording "
            f"are {', '.join(map(repr, labels.tolist()[:5]))}; {other!r} is in one of them only",
            "One train for each unit, under its label, was needed",
            "Pass a dict {label of the unit: times}, with an empty array for a unit without "
            "spikes, or a list of plain arrays in the order of the units",
        )
    return _reordered(trains, [place[u] for u in labels.tolist()])._replace(unit=labels)


def in_order_of_names(trains: Trains, labels: NDArray[Any]) -> Trains:
    """Bring a list of trains whose names are those of the units into the order of these.

    Parameters
    ----------
    trains : of a list. SpikeTrains of neo have names, which are text; nothing else in a list has.
    labels : (unit,), of the recording.

    Raises
    ------
    NameUnknownError
        The trains have names and the units have, and they are not the same.
    """
    if trains.unit is None:
        return trains
    names, wanted = [str(u) for u in trains.unit], [str(u) for u in labels.tolist()]
    if sorted(names) == sorted(wanted):
        return _reordered(trains, [names.index(u) for u in wanted])
    numbers = [str(k) for k in range(max(len(names), len(wanted)))]
    if set(names) <= set(numbers) or set(wanted) <= set(numbers):
        # Numbers that are counted from 0 are no names: the order is all there is.
        return trains
    return same_order(trains, labels)


def _reordered(trains: Trains, order: list[int]) -> Trains:
    """Return trains in another order, and all that came with each of them."""
    coords = {}
    for name, column in trains.coords.items():
        values, about = column if isinstance(column, tuple) else (column, {})
        coords[name] = (np.asarray(values)[order], about)
    observed, marks = trains.observed, trains.values
    return trains._replace(
        times=[trains.times[k] for k in order],
        unit=None if trains.unit is None else [trains.unit[k] for k in order],
        observed=None if observed is None else [observed[k] for k in order],
        coords=coords,
        values=None if marks is None else [marks[k] for k in order],
    )


def refuse(thing: Any, needed: str) -> KindError:
    """Return the error for an object of a kind that is not taken; it names what came."""
    came = described(thing)
    return KindError(
        f"{came[:1].upper()}{came[1:]} came",
        needed,
        "Values over time are for nr.data.from_traces; lists and dicts of spike times for "
        "nr.data.from_spikes",
    )
