"""From arrays with names, as they lie in npz, MATLAB and HDF5 files, to a recording."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import SLOWEST_FRAME
from neurornn._core.errors import (
    FileFormatError,
    NameUnknownError,
    ShapeError,
    UnitError,
    nearest,
)
from neurornn.data.recording import add_spikes, from_traces, join_trials
from neurornn.io.clocks import (
    TOLERANCE,
    agreed_rate,
    is_beside,
    is_counting,
    is_rate,
    is_single_time,
    is_time,
    mean_rate,
    rates_in,
    refuse_clock,
    seconds_in,
    statement,
    unit_in_name,
)
from neurornn.io.spike_folders import trains_by_name
from neurornn.io.spike_lists import find_spikes, is_owner, is_spike_times, refuse_spikes

#: Variable names (lower case) that are known to hold traces: what they hold, and whether they are
#: known to be stored (unit, time).
TRACES = {
    "dff": ("dff", None),
    "df_f": ("dff", None),
    "df_over_f": ("dff", None),
    "df_traces": ("dff", True),
    "f_dff": ("dff", True),
    "fluorescence": ("fluorescence", None),
    "traces": ("fluorescence", None),
    "activity_matrix": ("fluorescence", True),
}
#: Arrays of Suite2p and of CaImAn, all (ROI, frame): those that no one else writes, and those that
#: are known by one of the others beside them, of the same shape.
_ROI_FIRST = (
    (("Fneu", "spks", "F_chan2", "Fneu_chan2"), ("F",)),
    (("YrA", "F_dff"), ("C", "S")),
)
#: Spellings of indicators in file and folder names, the more specific first.
_INDICATORS = (
    (r"j?gcamp[-_]?8([fsm])", "jGCaMP8{}"),
    (r"j?gcamp[-_]?7([fsbc])", "jGCaMP7{}"),
    (r"gcamp[-_]?6([fsm])", "GCaMP6{}"),
    (r"gcamp[-_]?5([gk])", "GCaMP5{}"),
    (r"(?<![a-z])gc6([fsm])", "GCaMP6{}"),
    (r"jr?geco[-_]?1a", "jRGECO1a"),
    (r"r[-_]?camp[-_]?1\.07", "R-CaMP1.07"),
    (r"xcamp[-_]?gf", "XCaMP-Gf"),
    (r"ogb[-_]?1?", "OGB-1"),
    (r"cal[-_]?520", "Cal-520"),
)


def indicator_of(*texts: str) -> str | None:
    """Find the calcium indicator that a text (file name, folder name, field) names.

    Parameters
    ----------
    texts : looked at in order; the first that names an indicator decides.

    Examples
    --------
    >>> indicator_of("CAttached_jGCaMP8s_472181_1.npz"), indicator_of("session.mat")
    ('jGCaMP8s', None)
    """
    for text in texts:
        for pattern, name in _INDICATORS:
            found = re.search(pattern, text.lower())
            if found:
                return name.format(*found.groups())
    return None


def trace_name(*texts: str) -> str:
    """Return ``"dff"`` where a text says that it holds dF/F, else ``"fluorescence"``."""
    joined = " ".join(texts).lower()
    said = r"(?<![a-z])(d_?f[_/ -]?(over[_/ -]?)?f|delta[_ ]?f|d_?f[_ ]traces?)(?![a-z])"
    return "dff" if re.search(said, joined) else "fluorescence"


@dataclass(frozen=True, kw_only=True)
class TrialTraces:
    """One trial on its own clock, as it came out of a file.

    Attributes
    ----------
    time : (time,), s.
    values : (time,) or (time, unit), dF/F.
    spike_times : s, one unit, or None where spikes were not recorded.
    extra : further sampled variables: name to (array like `values`, unit of its values).
    """

    time: NDArray[np.float64]
    values: NDArray[Any]
    spike_times: NDArray[np.float64] | None = None
    extra: Mapping[str, tuple[NDArray[Any], str]] = field(default_factory=dict)


def recording_from_trials(
    trials: Sequence[TrialTraces],
    *,
    indicator: str | None = None,
    gap: float = 1.0,
    rates: Mapping[str, Any] | None = None,
    source: str = "the file",
) -> xr.Dataset:
    """Join trials of simultaneous imaging and spikes into one recording.

    Parameters
    ----------
    trials : each on its own clock.
    indicator : for the attrs of ``dff``.
    gap : s, at least this much lies between two trials. Electrophysiology often runs on after
        the last frame; the gap grows by the longest such overhang, so that a spike from after
        one trial never falls into the next.
    rates : what states the frame rate of all trials -> value; each trial must agree to 2 %.
    source : name of the file, for messages.

    Returns
    -------
    Dataset with ``dff (time, unit)``, ``spike_times (spike)`` and one ``interval`` per trial.

    Raises
    ------
    UnitError
        Trials of different frame rates, or one that contradicts what is stated.
    """
    recordings, before, after = [], 0.0, 0.0
    common: float | None = None
    for k, trial in enumerate(trials):
        mean_rate(trial.time)
        title = f"time of trial {k + 1}"
        rate = agreed_rate(rates or {}, trial.time, source=source, time_name=title) or np.nan
        common = common or rate
        if abs(rate / common - 1) > TOLERANCE:
            raise UnitError(
                f"The first trial of {source} has {common:g} Hz and trial {k + 1} {rate:g} Hz",
                "One frame rate for all trials was needed, the same to 2 %",
                "Save the trials of each rate in a file of their own",
            )
        recording = from_traces(
            trial.values, time=trial.time, sampling_rate=rate, name="dff", indicator=indicator
        )
        for name, (values, units) in trial.extra.items():
            recording[name] = (
                recording["dff"].dims,
                np.asarray(values).reshape(recording["dff"].shape),
                {"units": units, "sampling_rate": rate},
            )
        if trial.spike_times is not None:
            recording = add_spikes(recording, [trial.spike_times])
            if len(trial.spike_times):
                first = float(trial.time[0]) - 1 / rate
                before = max(before, first - float(np.min(trial.spike_times)))
                after = max(after, float(np.max(trial.spike_times)) - float(trial.time[-1]))
        recordings.append(recording)
    return join_trials(recordings, gap=gap + before + after)


def numeric(bag: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the members of a bag that are arrays of real numbers with at least one value."""
    arrays = {k: np.asarray(v) for k, v in bag.items() if isinstance(v, np.ndarray | np.generic)}
    return {k: v for k, v in arrays.items() if v.dtype.kind in "biuf" and v.size}


def recording_from_arrays(
    bag: Mapping[str, Any],
    *,
    source: str,
    variable: str | None = None,
    name: str | None = None,
    sampling_rate: float | None = None,
    axes: Sequence[str] | None = None,
    indicator: str | None = None,
    unit_variable: str | None = None,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    gaps: Mapping[str, FileFormatError] | None = None,
) -> xr.Dataset:
    """Make a recording from the arrays of a file.

    Parameters
    ----------
    bag : variable name to array.
    source : name of the file, for messages.
    variable : which array holds the traces; needed where their names do not tell.
    name : what the recording calls it: ``"dff"``, ``"fluorescence"``, ``"counts"``, ...
    sampling_rate : Hz; needed where the file states neither a rate nor frame times.
    axes : ``("time", "unit")`` or ``("unit", "time")`` as the array is stored; by default the
        axis that fits the frame times, else the longer one, is time.
    indicator : for the attrs of the traces.
    unit_variable : which array holds the unit of each of the ``spike_times``; needed where names
        do not tell.
    attributes : path of a variable or folder (``""`` is the file) -> its attributes, which may
        state the frame rate.
    gaps : variables of which parts were never written -> the error to raise where one is used.

    Returns
    -------
    Dataset with ``name (time, unit)``, or with spikes where the file holds ``spike_times`` and
    ``spike_unit``, spike times and no traces, or trains under the names of their units.

    Raises
    ------
    FileFormatError, NameUnknownError, ShapeError, UnitError, DataError
        Nothing to choose from, or too much; times or rates that contradict each other.
    """
    stated: dict[str, Any] = {"sampling_rate=": sampling_rate}
    arrays = numeric(bag)
    traces = any(k.split("/")[-1].lower() in TRACES for k in arrays)
    if unit_variable is None and not (traces and variable is None):
        named = trains_by_name(bag, variable, source)
        if named is not None:
            return named
    spikes = find_spikes(
        bag,
        variable,
        source,
        traces=traces,
        unit_variable=unit_variable,
        rates=stated,
    )
    for k, error in (gaps or {}).items():
        of_spikes = is_spike_times(k) or is_owner(k) or k == unit_variable
        if of_spikes if spikes is not None else is_time(k) or is_rate(k):
            raise error
    if spikes is not None:
        return spikes
    if not arrays:
        inside = ", ".join(f"{type(v).__name__} {k}" for k, v in bag.items()) or "nothing"
        raise FileFormatError(
            f"{source} holds no numeric array, but: {inside}",
            "At least one array of numbers was needed",
            "Cells and structs of an unknown layout are not searched: save the traces as a plain "
            "matrix, or the spikes as spike_times and spike_unit",
        )
    key = _choose(arrays, variable, source)
    if gaps and key in gaps:
        raise gaps[key]
    last = key.split("/")[-1]
    kind, units_first = TRACES.get(last.lower(), (None, None))
    name = name or kind or (last if last.isidentifier() else trace_name(last))
    if name in ("time", "unit"):
        raise NameUnknownError(
            f"The traces of {source} would be called {name!r}, which is one of their axes",
            "Another name was needed, and is this the variable that holds them?",
            'Choose another with variable=, or pass name="fluorescence"',
        )
    if axes is None and arrays[key].ndim == 2 and (units_first or is_roi_first(arrays, key)):
        axes = ("unit", "time")
    clocks = _clocks(bag, key)
    fitting = [k for k, t in clocks.items() if t.size in _lengths(arrays[key], axes)]
    n_frames = clocks[fitting[0]].size if fitting else None
    values = oriented(arrays[key], key, axes=axes, n_frames=n_frames)
    fitting = [k for k in fitting if clocks[k].size == len(values)]
    if clocks and not fitting:
        other = next(iter(clocks))
        raise ShapeError(
            f"{other} of {source} has {clocks[other].size} stamps and {key} {len(values)} frames",
            "One time stamp for each frame was needed",
            "If it belongs to another signal, rename it or leave it out of the file; otherwise "
            "find out which of the two was cut",
        )
    stated |= rates_in(bag, near=key, n_units=values.shape[1])
    for path, own in (attributes or {}).items():
        if path in ("", key) or key.startswith(path + "/"):
            for n, v in own.items():
                stated |= statement(n, v, f"attribute {n}")
    time = _seconds(clocks, fitting[0], source) if fitting else None
    title = key if values.shape[1] == 1 else f"The first column of {key}"
    refuse_clock(values[:, 0], title, source, "Save the times as an array `time` of their own")
    if values.shape[1] == 1:
        refuse_spikes(values[:, 0], key, time, source)
    for other in fitting[1:]:
        extra = _seconds(clocks, other, source)
        step = float(np.median(np.diff(extra))) if len(extra) > 1 else 0.0
        if 0 < step < SLOWEST_FRAME and not is_counting(extra):
            stated[other] = 1 / step
    rate = agreed_rate(
        stated,
        time,
        source=source,
        time_name=fitting[0] if fitting else "time",
        in_seconds=bool(fitting) and unit_in_name(fitting[0]) is not None,
    )
    if rate is None:
        raise no_rate(source, f"{key} ({values.shape[0]} frames of {values.shape[1]} units)")
    recording = from_traces(values, sampling_rate=rate, time=time, name=name, indicator=indicator)
    if name == "counts":
        attrs = {"units": "1", "bin_size": 1 / recording["counts"].attrs["sampling_rate"]}
        recording["counts"].attrs = attrs
    return recording


def is_roi_first(arrays: Mapping[str, Any], key: str) -> bool:
    """Whether an array is one of Suite2p or CaImAn, which are (ROI, frame) whatever their sizes.

    Parameters
    ----------
    arrays : path -> array of the same file, or data set with a shape.
    key : path of the one that is asked about.
    """
    folder, _, last = key.rpartition("/")
    beside = {
        k.rpartition("/")[2]
        for k, v in arrays.items()
        if k != key and k.rpartition("/")[0] == folder and v.shape == arrays[key].shape
    }
    for sure, others in _ROI_FIRST:
        if last in sure or (last in others and beside & {*sure, *others}):
            return True
    return False


def _clocks(bag: Mapping[str, Any], key: str) -> dict[str, NDArray[Any]]:
    """Return what is called a time beside the traces, whatever it holds."""
    found = {
        k: v
        for k, v in bag.items()
        if k != key and isinstance(v, np.ndarray | np.generic) and is_time(k) and is_beside(k, key)
    }
    # A single text is a date or a remark, and a single number called t is anything.
    return {
        k: np.asarray(v)
        for k, v in found.items()
        if v.size != 1 or (v.dtype.kind not in "OSUV" and is_single_time(k))
    }


def _seconds(clocks: Mapping[str, NDArray[Any]], key: str, source: str) -> NDArray[Any]:
    time = clocks[key].ravel()
    if time.dtype.kind in "mM":
        return time
    if time.dtype.kind not in "iuf":
        raise UnitError(
            f"{key} of {source} holds {time.dtype} values",
            "Frame times in s, as numbers, were needed",
            "Convert them to s since the start of the recording",
        )
    return time.astype(float) * seconds_in(unit_in_name(key) or "s")


def _lengths(values: NDArray[Any], axes: Sequence[str] | None) -> tuple[int, ...]:
    if axes is None or sorted(axes) != ["time", "unit"] or values.ndim != 2:
        return values.shape
    return (values.shape[list(axes).index("time")],)


def oriented(
    values: NDArray[Any],
    key: str,
    *,
    axes: Sequence[str] | None = None,
    n_frames: int | None = None,
) -> NDArray[Any]:
    """Return an array as (time, unit), whichever way round it was stored.

    Parameters
    ----------
    values : 1-D or 2-D.
    key : what it is called in messages.
    axes : how it is stored, where known.
    n_frames : number of frame times, where known.
    """
    if values.ndim == 1 or (values.ndim == 2 and 1 in values.shape and axes is None):
        return values.reshape(-1, 1)
    if values.ndim != 2:
        raise ShapeError(
            f"{key} has shape {values.shape}",
            "Traces with two axes, time and unit, were needed",
            "Choose another variable with variable=, or take the mean over the other axes first",
        )
    if axes is not None:
        if sorted(axes) != ["time", "unit"]:
            raise NameUnknownError(
                f"axes is {tuple(axes)}",
                "The names 'time' and 'unit' were needed, in the order of the file",
                'Pass axes=("unit", "time") or axes=("time", "unit")',
            )
        return values if tuple(axes) == ("time", "unit") else values.T
    rows, columns = values.shape
    if n_frames is not None and (rows == n_frames) != (columns == n_frames):
        return values if rows == n_frames else values.T
    if rows == columns:
        raise ShapeError(
            f"{key} has shape {values.shape}: either axis could be time",
            "A statement of which axis is time was needed",
            'Pass axes=("time", "unit") or axes=("unit", "time")',
        )
    return values if rows > columns else values.T


def no_rate(source: str, what: str) -> UnitError:
    """Make the error for traces without a clock."""
    return UnitError(
        f"{source} holds {what} but states neither a frame rate nor frame times",
        "The frame rate in Hz was needed: without it no time can be given in s",
        "Look it up in the paper or the acquisition log and pass it: "
        f'nr.open("{source}", sampling_rate=30.0)',
    )


def _choose(arrays: Mapping[str, NDArray[Any]], variable: str | None, source: str) -> str:
    listing = ", ".join(f"{k} {v.shape} {v.dtype}" for k, v in arrays.items()) or "none"
    if variable is not None:
        alike = [k for k in arrays if k.split("/")[-1] == variable]
        if variable not in arrays and len(alike) == 1:
            return alike[0]
        if variable not in arrays:
            raise NameUnknownError(
                f"{source} has no numeric variable {variable!r}",
                f"One of its numeric variables was needed: {listing}",
                nearest(variable, arrays),
            )
        return variable
    known = [k for k in arrays if k.split("/")[-1].lower() in TRACES]
    if len(known) == 1:
        return known[0]
    spikes = any(map(is_spike_times, arrays))
    rest = [
        k
        for k, v in arrays.items()
        if not (is_time(k) or is_rate(k) or is_spike_times(k) or (spikes and is_owner(k)))
        and v.ndim in (1, 2)
        and v.size > 3
    ]
    if not known and len(rest) == 1:
        return rest[0]
    raise NameUnknownError(
        f"{source} holds these numeric variables: {listing}",
        "The name of the one that holds the traces was needed",
        f'Pass it: nr.open("{source}", variable="{(known or rest or ["NAME"])[0]}")',
    )
