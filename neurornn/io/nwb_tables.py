"""Tables of NWB files: time ranges, events, and the list of what was left unread."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurornn.data.recording import set_intervals
from neurornn.io.nwb_series import loaded
from neurornn.io.nwb_units import column_values


def add_ranges(
    recording: xr.Dataset, content: Any
) -> tuple[xr.Dataset, dict[str, tuple[float, float]], list[Any]]:
    """Add trials on ``interval`` and every other table of time ranges on an axis of its name.

    Parameters
    ----------
    recording : Dataset.
    content : the file.

    Returns
    -------
    The recording, the first and last time (s) of each table, and the tables.
    """
    tables = {str(k): v for k, v in (content.intervals or {}).items()}
    for name in ("trials", "epochs", "invalid_times"):
        if getattr(content, name, None) is not None:
            tables[name] = getattr(content, name)
    clocks = {}
    for name, table in tables.items():
        start = np.asarray(loaded(table["start_time"].data), dtype=float)
        stop = np.asarray(loaded(table["stop_time"].data), dtype=float)
        if np.isfinite(start).any() and np.isfinite(stop).any():
            clocks[name] = (float(np.nanmin(start)), float(stop[np.isfinite(stop)].max()))
        trials = name == "trials"
        axis = "interval" if trials else name
        if trials:
            recording = set_intervals(recording, start, stop)
        else:
            for end, values in (("start", start), ("stop", stop)):
                recording[f"{name}_{end}"] = (axis, values, {"units": "s"})
        for key in table.colnames:
            column = None if key in ("start_time", "stop_time") else column_values(table[key])
            if column is None:
                continue
            title = key if trials and key not in recording.variables else f"{name}_{key}"
            recording[title] = (axis, column, {"units": "s"} if key.endswith("_time") else {})
    return recording, clocks, list(tables.values())


def add_event_tables(
    recording: xr.Dataset, objects: Iterable[Any]
) -> tuple[xr.Dataset, list[Any]]:
    """Add tables of events (schema 2.11), each on an axis of its name, in order of time.

    Parameters
    ----------
    recording : Dataset.
    objects : everything in the file.

    Returns
    -------
    The recording with ``<table>_time`` (s) and ``<table>_<column>``, and the tables.
    """
    read = []
    for item in objects:
        # By its name: older releases of pynwb know the type only from the schema in the file.
        if not any(kind.__name__ == "EventsTable" for kind in type(item).__mro__):
            continue
        if "timestamp" not in item.colnames or str(item.name) in recording.variables:
            continue
        moments = np.asarray(loaded(item["timestamp"].data), dtype=float)
        order = np.argsort(moments, kind="stable")
        name = str(item.name)
        attrs = {"units": "s"}
        if item.description and item.description != "no description":
            attrs["long_name"] = str(item.description)
        recording[f"{name}_time"] = (name, moments[order], attrs)
        for key in item.colnames:
            column = None if key == "timestamp" else column_values(item[key])
            if column is not None:
                seconds = {"units": "s"} if key == "duration" else {}
                recording[f"{name}_{key}"] = (name, column[order], seconds)
        read.append(item)
    return recording, read


def unread(objects: Sequence[Any], read: Sequence[Any]) -> list[Any]:
    """Return what holds data and was not read: series, tables, images.

    Parameters
    ----------
    objects : everything in the file.
    read : what was.
    """
    from hdmf.common import DynamicTable, VectorData
    from pynwb import TimeSeries
    from pynwb.core import NWBDataInterface, NWBTable
    from pynwb.file import Subject

    kept = {id(item) for item in read}
    # The table of the cells of a series goes with the series, read or not.
    kept |= {id(getattr(getattr(item, "rois", None), "table", None)) for item in objects}
    inside = {id(item.parent) for item in objects if item.parent is not None}
    left = []
    for item in objects:
        if id(item) in kept or isinstance(item, Subject | VectorData):
            continue
        name = str(item.name)
        if isinstance(item, TimeSeries):
            left.append(item)
        elif isinstance(item, DynamicTable):
            if name not in ("electrodes", "units") or "spike_times" in item.colnames:
                left.append(item)
        elif isinstance(item, NWBTable) or (
            # A container is told by what lies in it.
            isinstance(item, NWBDataInterface) and id(item) not in inside
        ):
            left.append(item)
    return left
