"""Spike trains under the names of their units: a struct, or a group, with one array for each."""

import posixpath
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn.data.recording import from_spikes
from neurornn.io.clocks import seconds_in
from neurornn.io.spike_lists import (
    is_owner,
    is_spike_times,
    refuse_samples,
    spike_time_unit,
)


def trains_by_name(bag: Mapping[str, Any], variable: str | None, source: str) -> xr.Dataset | None:
    """Make a recording of spike trains that lie under their labels, where a file holds them so.

    Parameters
    ----------
    bag : path -> array, or a dict of arrays: ``spike_times/a`` and ``spike_times/b``, or
        ``spike_times`` with ``a`` and ``b`` in it. The name may state the unit of time,
        ``spike_times_ms``.
    variable : what the caller has chosen.
    source : name of the file, for messages.

    Returns
    -------
    Dataset whose units bear those names; None where the file holds no such trains, or where they
        lie beside a list of spikes or something else was chosen.

    Raises
    ------
    UnitError
        Whole numbers that look like samples, in no stated unit.
    """
    found = {k: v for k, v in _folders(bag).items() if variable in (None, k)}
    if len(found) != 1:
        return None
    folder, trains = next(iter(found.items()))
    unit = spike_time_unit(folder)
    if unit is None:
        refuse_samples(np.concatenate(list(trains.values())), folder, source)
    factor = seconds_in(unit or "s")
    return from_spikes({k: factor * v.astype(float) for k, v in trains.items()})


def _folders(bag: Mapping[str, Any]) -> dict[str, dict[str, NDArray[Any]]]:
    """Return what lies in folders, or dicts, that are called spike times: folder -> trains."""
    inside: dict[str, dict[str, Any]] = {}
    for key, value in bag.items():
        if isinstance(value, Mapping) and is_spike_times(key):
            inside.setdefault(key, {}).update(value)
        folder = posixpath.dirname(key)
        if folder and is_spike_times(folder):
            inside.setdefault(folder, {})[posixpath.basename(key)] = value
    return {
        folder: {k: v.ravel() for k, v in trains.items()}
        for folder, trains in inside.items()
        # A folder that holds a list of spikes and their units is no dict of trains.
        if trains and not any(is_owner(k) and _of_spikes(k) for k in trains)
        if all(_is_train(v) for v in trains.values())
    }


def _of_spikes(name: str) -> bool:
    """Whether a name is that of the units of spikes, and not of one unit, such as ``unit3``."""
    return not any(c.isdigit() for c in name)


def _is_train(value: Any) -> bool:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        return False
    return value.size == max(value.shape, default=1) or value.size == 0
