"""MATLAB files, v5 (through scipy) and v7.3 (HDF5), and the layouts known by their variables."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import ShapeError, UnitError
from neurornn.data.recording import join_trials
from neurornn.io.arrays import TRACES, indicator_of, numeric, recording_from_arrays
from neurornn.io.clocks import TOLERANCE, agreed_rate, is_beside, is_time, one_rate, rates_in
from neurornn.io.layouts import cell_attached, counts_and_movement, is_movement, nested_spikes
from neurornn.io.matlab_tree import (
    choose_array,
    find_arrays,
    gaps_in,
    leaves,
    load_matlab,
    rates_elsewhere,
    spelled,
    without_numbers,
)
from neurornn.io.sources import check_source, explained, stamped
from neurornn.io.spike_lists import is_spike_times
from neurornn.io.suite2p import read_settings
from neurornn.io.suite2p_folders import settings_in
from neurornn.io.suite2p_runs import is_complete, is_fall, plane_of_fall, recording_of

#: Arrays of binned spikes, where they hold whole numbers.
_COUNTS = ("spikes", "counts", "spike_counts", "spikecounts", "binned_spikes")


def read_matlab(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    variable: str | None = None,
    name: str | None = None,
    axes: Sequence[str] | None = None,
    indicator: str | None = None,
    neuropil: float | None = None,
    only_cells: bool = True,
    override_rate: bool = False,
    day: int | None = None,
    epoch: int | None = None,
    unit_variable: str | None = None,
) -> xr.Dataset:
    """Read a recording from a MATLAB file.

    Parameters
    ----------
    path : .mat file of any version since 4.
    sampling_rate : Hz; needed where the file states neither a rate nor frame times.
    variable : which matrix holds the traces; needed where the layout is not known.
        In structs and cells as MATLAB writes it: ``"exp.dff"``, ``"exp.trial{2}.dff"``; without
        the number, ``"exp.trial.dff"``, all trials are joined.
    name : what to call it (``"dff"``, ``"fluorescence"``, ``"counts"``).
    axes : as stored; by default the longer axis is time.
    indicator : by default read off the file and folder name.
    neuropil, only_cells, override_rate : of ``Fall.mat``, as in `read_suite2p`.
    day, epoch : 1-based; needed for nested spike cells with several.
    unit_variable : which array holds the unit of each of the ``spike_times``; needed where names
        do not tell.

    Notes
    -----
    Layouts known by their variables: ``Fall.mat`` of Suite2p, ``CAttached`` (trials of dF/F with
    cell-attached spikes), ``spikes{day}{epoch}{tetrode}{unit}.time``, ``X`` and ``Y`` (movement
    and spike counts, see `neurornn.io.layouts`), ``dF_traces`` and ``activity_matrix`` (unit by
    time). Of any other file the numeric matrices are named, those in structs and cells too, and
    `variable` chooses. A frame rate counts that stands beside the traces, or in a struct of
    nothing but single values and text, such as ``info.fs``; others are offered in the error.

    Raises
    ------
    FileFormatError, NameUnknownError, UnitError, ShapeError, DataError
        A damaged file; no or a wrong `variable`; no rate, or several that differ; arrays of other
        lengths than the traces or the spikes.
    """
    source = check_source(path)
    if sampling_rate is not None:
        sampling_rate = one_rate(sampling_rate, "sampling_rate=")
    with explained(source, "MATLAB"):
        bag = load_matlab(source)
        gaps = gaps_in(source)
    indicator = indicator or indicator_of(source.name, source.parent.name)
    if variable is None and "CAttached" in bag:
        with explained(source, "MATLAB (cell-attached)"):
            stated = {"sampling_rate=": sampling_rate, **rates_in(bag)}
            recording = cell_attached(bag["CAttached"], source.name, indicator, stated)
        return stamped(recording, source, "MATLAB (cell-attached)", sampling_rate)
    if variable is None and is_fall(bag):
        settings = {} if is_complete(bag) else settings_in(source.parent, read_settings)
        plane = plane_of_fall(bag, settings, only_cells=only_cells)
        recording = recording_of(
            [plane],
            source=source.name,
            sampling_rate=sampling_rate,
            neuropil=None if neuropil is None else float(neuropil),
            override_rate=override_rate,
            indicator=indicator,
        )
        return stamped(recording, source, "Suite2p (Fall.mat)")
    if variable is None and isinstance(bag.get("spikes"), list):
        with explained(source, "MATLAB (nested spikes)"):
            recording = nested_spikes(bag["spikes"], day, epoch, source.name)
        return stamped(recording, source, "MATLAB (nested spikes)")
    if variable is None and is_movement(bag):
        rate = agreed_rate({"sampling_rate=": sampling_rate, **rates_in(bag)}, source=source.name)
        recording = counts_and_movement(bag["X"], bag["Y"], rate, source.name)
        return stamped(recording, source, "MATLAB (counts and movement)")
    flat = leaves(bag, source.name)
    options: dict[str, Any] = {"indicator": indicator, "unit_variable": unit_variable}
    options |= {"source": source.name, "gaps": gaps}
    if variable is not None and is_spike_times(without_numbers(variable)):
        keys = []
        options |= {"variable": variable}
    elif variable is None:
        key = choose_array(flat, source.name)
        keys = [] if key is None else [key]
    else:
        keys = find_arrays(flat, variable, source.name)
    if keys:
        recording = _read_trials(flat, keys, source.name, sampling_rate, name, axes, options)
    else:
        # Lists of spikes, and files of matrices and nothing else.
        recording = recording_from_arrays(
            {**bag, **flat}, sampling_rate=sampling_rate, name=name, axes=axes, **options
        )
    places = bag.get("cell_coordinates")
    if isinstance(places, np.ndarray) and places.shape == (recording.sizes.get("unit"), 2):
        recording = recording.assign_coords(
            x=("unit", places[:, 0], {"units": "px"}), y=("unit", places[:, 1], {"units": "px"})
        )
    return stamped(recording, source, "MATLAB", sampling_rate)


def _read_trials(
    flat: Mapping[str, Any],
    keys: Sequence[str],
    source: str,
    sampling_rate: float | None,
    name: str | None,
    axes: Sequence[str] | None,
    options: Mapping[str, Any],
) -> xr.Dataset:
    """Read one array, or those of all trials, which are joined."""
    last = without_numbers(keys[0]).split("/")[-1]
    kind, units_first = TRACES.get(last.lower(), (None, None))
    group = without_numbers(keys[0])
    if axes is None and units_first:
        axes = ("unit", "time")
    elif axes is None:
        arrays = numeric(flat)
        alike = [v for k, v in arrays.items() if without_numbers(k) == group]
        axes = _axes_of(alike) or _axes_beside(arrays, keys[0])
    if name is None:
        counts = last.lower() in _COUNTS and all(_is_counts(flat[k]) for k in keys)
        name = kind or ("counts" if counts else last if last.isidentifier() else None)
    rate = _rate_elsewhere(flat, keys[0], source) if sampling_rate is None else sampling_rate
    trials = []
    for key in keys:
        trial = recording_from_arrays(
            _beside(flat, key),
            variable=key,
            sampling_rate=rate,
            name=name,
            axes=axes,
            **options,
        )
        trials.append(trial)
        if trial.sizes.get("unit") != trials[0].sizes.get("unit"):
            raise ShapeError(
                f"{spelled(keys[0])} of {source} has {trials[0].sizes['unit']} units and "
                f"{spelled(key)} {trial.sizes['unit']}",
                "Trials of the same units were needed",
                f'Open one: variable="{spelled(key)}"; or say how they are stored: '
                'axes=("unit", "time")',
            )
    return trials[0] if len(trials) == 1 else join_trials(trials)


def _axes_of(trials: Sequence[NDArray[Any]]) -> tuple[str, str] | None:
    """Tell the axes of trials by which of them differs in length; None where neither does."""
    if len(trials) < 2 or any(t.ndim != 2 for t in trials):
        return None
    rows, columns = ({t.shape[k] for t in trials} for k in (0, 1))
    if len(rows) == 1 and len(columns) > 1:
        return ("unit", "time")
    return ("time", "unit") if len(columns) == 1 and len(rows) > 1 else None


def _axes_beside(arrays: Mapping[str, NDArray[Any]], key: str) -> tuple[str, str] | None:
    """Tell the axes of one trial by the other arrays of that trial, or return None.

    What a struct or cell holds trial by trial are signals: a length that two of them share is
    that of the trial.
    """
    if not re.search(r"[({]\d+[)}]", key) or arrays[key].ndim != 2:
        return None
    shape = arrays[key].shape
    others = [v.shape for k, v in _beside(arrays, key).items() if k != key and v.ndim == 2]
    others = [s for s in others if s != shape]
    rows, columns = (any(n in s for s in others) for n in shape)
    if rows == columns:
        return None
    return ("time", "unit") if rows else ("unit", "time")


def _is_counts(values: NDArray[Any]) -> bool:
    return bool(np.all(values >= 0) and np.all(values == np.round(values)))


def _beside(flat: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return what lies beside an array, or above it; of cells what has the same number."""
    number = re.search(r"[({]\d+[)}]$", key)
    found = {}
    for k, value in flat.items():
        other = re.search(r"[({]\d+[)}]$", k)
        if k == key:
            found[k] = value
        elif not is_beside(k, key):
            continue
        elif other is None:
            found[k] = value
        elif number is not None and other[0] == number[0]:
            found[k[: other.start()]] = value
    return found


def _rate_elsewhere(flat: Mapping[str, Any], key: str, source: str) -> float | None:
    """Return the rate that another struct states, where nothing beside the traces does."""
    beside = _beside(flat, key)
    clocks = [k for k, v in beside.items() if is_time(k) and np.size(v) > 1]
    if clocks or rates_in(beside, near=key):
        return None
    sure, offered = rates_elsewhere(flat, key)
    rates = {k: one_rate(v, k, source) for k, v in sure.items()}
    if rates and max(rates.values()) <= (1 + TOLERANCE) * min(rates.values()):
        return next(iter(rates.values()))
    if not rates and not offered:
        return None
    said = ", ".join(f"{k} is {v:g}" for k, v in {**sure, **offered}.items())
    value = next(iter({**sure, **offered}.values()))
    raise UnitError(
        f"{spelled(key)} of {source} has no frame rate beside it; elsewhere in the file {said} Hz",
        "The frame rate of these traces was needed",
        f"If that is theirs, pass it: sampling_rate={value:g}",
    )
