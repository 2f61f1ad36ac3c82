"""From arrays with names, as they lie in npz, MATLAB and HDF5 files, to a recording."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import find_blocks
from neurornn._core.errors import (
    DataError,
    FileFormatError,
    NameUnknownError,
    ShapeError,
    UnitError,
    nearest,
)
from neurornn.data.recording import add_spikes, from_spikes, from_traces, join_trials

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
_TIMES = ("time", "time_s", "t", "t_s", "timestamps", "frame_times", "fluo_time")
_RATES = ("sampling_rate", "fs", "fs_hz", "frame_rate", "framerate", "fps", "rate")

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
    trials: Sequence[TrialTraces], *, indicator: str | None = None, gap: float = 1.0
) -> xr.Dataset:
    """Join trials of simultaneous imaging and spikes into one recording.

    Parameters
    ----------
    trials : each on its own clock.
    indicator : for the attrs of ``dff``.
    gap : s, at least this much lies between two trials. Electrophysiology often runs on after
        the last frame; the gap grows by the longest such overhang, so that a spike from after
        one trial never falls into the next.

    Returns
    -------
    Dataset with ``dff (time, unit)``, ``spike_times (spike)`` and one ``interval`` per trial.
    """
    recordings, before, after = [], 0.0, 0.0
    for trial in trials:
        rate = mean_rate(trial.time)
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


def mean_rate(time: NDArray[np.float64]) -> float:
    """Frame rate in Hz over all frames; stamps rounded to a clock tick do not bias it.

    Parameters
    ----------
    time : (time,), s; where frames are missing, the median step decides instead.
    """
    if len(time) < 2:
        raise DataError(
            f"A trial has {len(time)} frame(s)",
            "At least two frames were needed to know the frame rate",
            "Drop that trial from the file",
        )
    step = float(np.median(np.diff(time)))
    if step <= 0 or len(find_blocks(time, step)) > 1:
        return 1 / step if step > 0 else np.nan
    return float((len(time) - 1) / (time[-1] - time[0]))


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

    Returns
    -------
    Dataset with ``name (time, unit)``, or with spikes where the file holds only ``spike_times``
    and ``spike_unit``.
    """
    arrays = numeric(bag)
    if not arrays:
        inside = ", ".join(f"{type(v).__name__} {k}" for k, v in bag.items()) or "nothing"
        raise FileFormatError(
            f"{source} holds no numeric array, but: {inside}",
            "At least one array of numbers was needed",
            "Cells and structs of an unknown layout are not searched: save the traces as a plain "
            "matrix, or the spikes as spike_times and spike_unit",
        )
    lower = {k.lower(): k for k in arrays}
    if variable is None and {"spike_times", "spike_unit"} <= set(lower):
        times, owner = (arrays[lower[k]].ravel() for k in ("spike_times", "spike_unit"))
        labels = np.unique(owner)
        return from_spikes([times[owner == u] for u in labels], unit=labels)
    key = _choose(arrays, variable, source)
    last = key.split("/")[-1]
    kind, units_first = TRACES.get(last.lower(), (None, None))
    name = name or kind or (last if last.isidentifier() else trace_name(last))
    time = next((arrays[lower[k]].ravel() for k in _TIMES if k in lower and lower[k] != key), None)
    rate = next((arrays[lower[k]].ravel() for k in _RATES if k in lower and lower[k] != key), None)
    if rate is not None and len(np.unique(rate)) == 1:
        sampling_rate = float(rate[0])
    if axes is None and units_first and arrays[key].ndim == 2:
        axes = ("unit", "time")
    values = oriented(arrays[key], key, axes=axes, n_frames=None if time is None else len(time))
    if time is None and sampling_rate is None:
        raise no_rate(source, f"{key} ({values.shape[0]} frames of {values.shape[1]} units)")
    if time is not None and len(time) != len(values):
        time = None
    if time is not None and len(time) > 1:
        sampling_rate = mean_rate(np.asarray(time, dtype=float))
    recording = from_traces(
        values, sampling_rate=sampling_rate, time=time, name=name, indicator=indicator
    )
    if name == "counts":
        attrs = {"units": "1", "bin_size": 1 / recording["counts"].attrs["sampling_rate"]}
        recording["counts"].attrs = attrs
    return recording


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
        if variable not in arrays:
            raise NameUnknownError(
                f"{source} has no numeric variable {variable!r}",
                f"One of its numeric variables was needed: {listing}",
                nearest(variable, arrays),
            )
        return variable
    known = [k for k in arrays if k.lower() in TRACES]
    if len(known) == 1:
        return known[0]
    clocks = {*_TIMES, *_RATES}
    rest = [
        k for k, v in arrays.items() if k.lower() not in clocks and v.ndim in (1, 2) and v.size > 3
    ]
    if not known and len(rest) == 1:
        return rest[0]
    raise NameUnknownError(
        f"{source} holds these numeric variables: {listing}",
        "The name of the one that holds the traces was needed",
        f'Pass it: nr.open("{source}", variable="{(known or rest or ["NAME"])[0]}")',
    )
