"""Lists of spikes, one time and one unit each, as columns of a table or as arrays of a file."""

import posixpath
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, NameUnknownError, ShapeError, UnitError, nearest
from neurornn.data.recording import from_spikes
from neurornn.io.clocks import STATED_UNIT, is_rate, plain, seconds_in, stated_unit

_SPIKES = re.compile(rf"^spike[ _]?(?:times?|ts|time[ _]?stamps?){STATED_UNIT}$", re.IGNORECASE)

#: Whole numbers beyond this, or so far apart, are no seconds.
_LONGEST, _LONGEST_INTERVAL = 1e5, 100.0

#: What the unit of a spike is called, blanks, marks and case aside; the surer names first.
_OWNERS = re.compile(
    r"(?:spike|sorted)?(?:unit|cluster|clu|neuron|cell|roi|template|channel|chan|ch|electrode|elec)s?"
    r"(?:id|ids|index|idx|indices|no|nr|num|number|label|labels|name|names)?|ids?|labels?|spikeids?"
)


def is_spike_times(name: Any) -> bool:
    """Whether a column or an array of that name holds spike times."""
    return _SPIKES.match(posixpath.basename(str(name)).strip()) is not None


def spike_time_unit(name: Any) -> str | None:
    """Return the unit of time that the name of spike times states, or None."""
    found = _SPIKES.match(posixpath.basename(str(name)).strip())
    return stated_unit(found) if found else None


def refuse_samples(times: NDArray[Any], name: str, source: str) -> None:
    """Raise where spike times in no stated unit look like samples, frame numbers or ms.

    Parameters
    ----------
    times : (spike,), as they stand in the file.
    name : what they are called there.
    source : name of the file, for messages.

    Raises
    ------
    UnitError
        Whole numbers beyond 1e5, or more than ten of them that are mostly more than 100 apart.
    """
    if not len(times) or not np.all(times[:1000] == np.round(times[:1000])):
        return
    known = times[np.isfinite(times)].astype(float)
    if not len(known) or not np.all(known == np.round(known)):
        return
    last = float(np.max(np.abs(known)))
    step = float(np.median(np.diff(np.sort(known)))) if len(known) > 10 else 0.0
    if last <= _LONGEST and step <= _LONGEST_INTERVAL:
        return
    raise UnitError(
        f"The {len(times)} {name} of {source} are whole numbers, up to {last:g}"
        + (f", with a median of {step:g} between two" if step else "")
        + ", and nothing states their unit",
        "Spike times in s were needed",
        "If they are samples or frame numbers, divide them by the rate in Hz; otherwise put the "
        f"unit behind the name: {name}_ms, or {name}_s if they are s",
    )


def is_owner(name: Any) -> bool:
    """Whether a column or an array of that name holds the unit of each spike."""
    return _OWNERS.fullmatch(plain(name)) is not None


def choose_owner(
    columns: Mapping[str, NDArray[Any]], wanted: str | None, source: str, option: str
) -> str | None:
    """Return which column holds the unit of each spike, or None where there is no other column.

    Parameters
    ----------
    columns : everything beside the spike times: name -> (spike,).
    wanted : as the caller has stated it.
    source : name of the file, for messages.
    option : by which the caller states it: ``"unit_column"``.

    Raises
    ------
    NameUnknownError
        An unknown name; several columns and none, or more than one, that could be it.
    """
    listing = ", ".join(repr(c) for c in columns)
    if wanted is not None:
        near = [c for c in columns if c == wanted] or [
            c for c in columns if plain(c) == plain(wanted)
        ]
        if len(near) != 1:
            raise NameUnknownError(
                f"{option} is {wanted!r}; {source} has {listing or 'no column'} beside the spike "
                "times",
                "The column that holds the unit of each spike was needed",
                nearest(str(wanted), columns),
            )
        return near[0]
    if not columns:
        return None
    likely = [c for c in columns if is_owner(c)]
    if not likely:
        raise NameUnknownError(
            f"{source} has spike times and {listing}, none of which is known to be the unit",
            "The column that holds the unit of each spike was needed",
            f"Call it `unit`, or pass {option}={next(iter(columns))!r}; if all spikes are of one "
            "unit, leave the other columns out",
        )
    first = columns[likely[0]]
    for other in likely[1:]:
        if not _same_groups(first, columns[other]):
            raise NameUnknownError(
                f"{likely[0]!r} and {other!r} of {source} sort the spikes differently: "
                f"{len(_codes(first)[1])} and {len(_codes(columns[other])[1])} different values",
                "One column that holds the unit of each spike was needed",
                f"Pass {option}={likely[0]!r} or {option}={other!r}",
            )
    return likely[0]


def _codes(cells: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    known = cells if cells.dtype.kind in "biuf" else cells.astype(str)
    labels, codes = np.unique(known, return_inverse=True)
    return codes.ravel(), labels


def _same_groups(a: NDArray[Any], b: NDArray[Any]) -> bool:
    first, second = _codes(a)[0], _codes(b)[0]
    pairs = len(np.unique(first * (int(second.max(initial=0)) + 1) + second))
    return pairs == len(np.unique(first)) == len(np.unique(second))


def spikes_by_unit(
    times: NDArray[np.float64],
    owner: NDArray[Any] | None,
    *,
    source: str,
) -> xr.Dataset:
    """Make a recording of spikes from a list of them.

    Parameters
    ----------
    times : (spike,), s.
    owner : (spike,), label of the unit of each; None where all are of one unit.
    source : name of the file, for messages.

    Raises
    ------
    DataError
        A time or a unit that is missing.
    """
    bad = ~np.isfinite(times)
    if bad.any():
        k = int(np.argmax(bad))
        raise DataError(
            f"Entry {k} of {source} has the spike time {times[k]}; {int(bad.sum())} of "
            f"{len(times)} are not finite",
            "A time in s for every spike was needed",
            "Remove those spikes, or restore their times",
        )
    if owner is None:
        return from_spikes([times])
    if owner.dtype.kind == "O":
        missing = np.array(
            [v is None or v != v or str(v).strip() == "" for v in owner], dtype=bool
        )
    elif owner.dtype.kind in "SU":
        missing = np.char.strip(owner.astype(str)) == ""
    else:
        missing = ~np.isfinite(owner.astype(float))
    if missing.any():
        k = int(np.argmax(missing))
        raise DataError(
            f"Entry {k} of {source} has no unit; {int(missing.sum())} of {len(times)} spikes have "
            "none",
            "The unit of every spike was needed",
            "Remove those spikes, or give them a unit",
        )
    if owner.dtype.kind not in "biuf":
        owner = np.array([_text(v) for v in owner], dtype=str)
    elif owner.dtype.kind == "f" and np.all(owner == np.round(owner)):
        owner = owner.astype(np.int64)
    labels, belongs = np.unique(owner, return_inverse=True)
    order = np.argsort(belongs, kind="stable")
    trains = np.split(times[order], np.cumsum(np.bincount(belongs, minlength=len(labels)))[:-1])
    return from_spikes(trains, unit=labels)


def _text(value: Any) -> str:
    return (
        value.decode("utf-8", "replace").strip()
        if isinstance(value, bytes)
        else str(value).strip()
    )


def refuse_spikes(values: NDArray[Any], name: str, time: NDArray[Any] | None, source: str) -> None:
    """Raise where what would be read as a trace is the units of a list of spikes.

    Parameters
    ----------
    values : (time,), the trace.
    name : what it is called.
    time : (time,), s.
    source : name of the file, for messages.
    """
    if time is None or len(time) < 3 or not is_owner(name) or values.dtype.kind not in "biuf":
        return
    steps = np.diff(time)
    uneven = float(np.mean(np.abs(steps - np.median(steps)) > 0.2 * np.median(steps))) > 0.3
    if uneven and np.all(values == np.round(values)):
        raise NameUnknownError(
            f"{source} has whole numbers called {name!r} at uneven times: a list of spikes",
            "Spike times called spike_time were needed, with their units beside them",
            "Rename the times; if it is a trace, rename that",
        )


def find_spikes(
    bag: Mapping[str, Any],
    variable: str | None,
    source: str,
    *,
    traces: bool = False,
    unit_variable: str | None = None,
    rates: Mapping[str, Any] | None = None,
) -> xr.Dataset | None:
    """Make a recording of spikes from the arrays of a file, where it holds spikes.

    Parameters
    ----------
    bag : name to array.
    variable : the array that the caller has chosen.
    source : name of the file, for messages.
    traces : whether the file also holds what is known to be traces.
    unit_variable : the array that holds the unit of each spike, as the caller states it.
    rates : what states a rate -> value; spike times that are whole numbers are then samples.

    Returns
    -------
    Dataset, or None where the file holds no spike times, or traces and no unit of a spike.

    Raises
    ------
    NameUnknownError, ShapeError, DataError, UnitError
        No unit or several to choose from; arrays of other lengths; missing values; times in
        samples.
    """
    cells = [k for k in bag if is_spike_times(k) and isinstance(bag[k], list) and bag[k]]
    if len(cells) == 1 and not traces and variable in (None, cells[0]):
        return _from_cells(bag, cells[0], source)
    keys = [k for k in bag if is_spike_times(k) and isinstance(bag[k], np.ndarray)]
    keys = [k for k in keys if variable in (None, k)]
    if not keys:
        return None
    text = next((k for k in keys if bag[k].dtype.kind not in "iuf"), None)
    if text is not None:
        raise UnitError(
            f"{text} of {source} holds {bag[text].dtype} values",
            "Spike times in s, as numbers, were needed",
            "Convert them to s since the start of the recording",
        )
    if len(keys) > 1:
        raise NameUnknownError(
            f"{source} holds several lists of spike times: {', '.join(keys)}",
            "The name of one was needed",
            f"Pass variable={keys[0]!r}",
        )
    key = keys[0]
    arrays = {k: _labels(v) for k, v in bag.items() if k != key and not is_rate(k)}
    folder = posixpath.dirname(key)
    beside = {k: v for k, v in arrays.items() if v is not None and posixpath.dirname(k) == folder}
    raw = bag[key]
    if raw.ndim > 1 and raw.size != max(raw.shape):
        raise ShapeError(
            f"{key} of {source} has shape {raw.shape}",
            "A list of spike times, one axis, was needed, and a list of their units beside it",
            "Save them as spike_times (spike,) and spike_unit (spike,)",
        )
    named = {k: v for k, v in beside.items() if is_owner(k) or k == unit_variable}
    equal = {
        k: v for k, v in beside.items() if len(v) == raw.size and (k in named or np.ndim(bag[k]))
    }
    if traces and variable is None and not any(k in equal for k in named):
        return None
    odd = [
        k
        for k, v in bag.items()
        if is_owner(k)
        and posixpath.dirname(k) == folder
        and arrays.get(k) is None
        and isinstance(v, np.ndarray | list)
    ]
    if odd and not any(k in equal for k in named):
        shape = np.shape(bag[odd[0]]) if isinstance(bag[odd[0]], np.ndarray) else "a cell"
        raise ShapeError(
            f"{key} of {source} has {raw.size} spikes and {odd[0]} is {shape}",
            "A list with the unit of every spike was needed",
            "Save it as spike_unit (spike,)",
        )
    if named and not any(k in equal for k in named):
        other = next(iter(named))
        raise ShapeError(
            f"{key} of {source} has {raw.size} spikes and {other} {len(named[other])} entries",
            "The unit of every spike, as many as spike times, was needed",
            "Save them again together; was one of them cut?",
        )
    times = raw.ravel().astype(float) * seconds_in(spike_time_unit(key) or "s")
    whole = len(times) > 1 and bool(np.all(times == np.round(times)))
    clock = next(
        (k for k, v in {**bag, **(rates or {})}.items() if is_rate(k) and v is not None), None
    )
    if whole and clock is not None and spike_time_unit(key) is None:
        raise UnitError(
            f"The {len(times)} {key} of {source} are whole numbers, up to {times.max():g}, and "
            f"{clock} states a rate",
            "Spike times in s were needed",
            "If they are samples, divide them by the rate in Hz; if they are s, remove the rate",
        )
    if spike_time_unit(key) is None:
        refuse_samples(times, key, source)
    owner = choose_owner(equal, unit_variable, source, "unit_variable")
    return spikes_by_unit(times, None if owner is None else equal[owner], source=source)


def _from_cells(bag: Mapping[str, Any], key: str, source: str) -> xr.Dataset:
    """Read a MATLAB cell with the spike times of one unit in each."""
    factor = seconds_in(spike_time_unit(key) or "s")
    trains = [v.ravel() if isinstance(v, np.ndarray) else np.asarray(v).ravel() for v in bag[key]]
    odd = next((k for k, t in enumerate(trains) if t.dtype.kind not in "iuf"), None)
    if odd is not None:
        raise UnitError(
            f"Cell {odd + 1} of {key} of {source} holds {trains[odd].dtype} values",
            "The spike times of one unit in each cell, as numbers in s, were needed",
            "Save them as spike_times (spike,) and spike_unit (spike,)",
        )
    if spike_time_unit(key) is None:
        refuse_samples(np.concatenate(trains), key, source)
    named = {k: v for k, v in ((k, _labels(bag[k])) for k in bag if is_owner(k)) if v is not None}
    fitting = {k: v for k, v in named.items() if len(v) == len(trains)}
    if named and not fitting:
        other = next(iter(named))
        raise ShapeError(
            f"{key} of {source} has {len(trains)} cells and {other} {len(named[other])} entries",
            "A label for every cell was needed",
            "Save them again together; was one of them cut?",
        )
    owner = choose_owner(fitting, None, source, "unit_variable")
    labels = None if owner is None else fitting[owner]
    return from_spikes([t.astype(float) * factor for t in trains], unit=labels)


def _labels(value: Any) -> NDArray[Any] | None:
    if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
        return np.array(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        texts = all(isinstance(v, str | bytes) for v in value.flat)
        return value.ravel() if texts and value.ndim == 1 else None
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufSU":
        return None
    return value.ravel() if value.size == max(value.shape, default=1) else None
