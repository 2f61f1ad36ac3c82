"""NWB files: sorted units, imaging traces, time ranges and behaviour."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError, NameUnknownError, ShapeError, nearest
from neurornn.data.recording import add_spikes, from_traces, set_intervals
from neurornn.io.arrays import indicator_of, no_rate
from neurornn.io.clocks import agreed_rate, is_counting, one_rate
from neurornn.io.limits import check_hdf5
from neurornn.io.nwb_series import add_behaviour, clock_of, loaded, split_at, values_of
from neurornn.io.sources import check_source, explained, stamped


def read_nwb(
    path: str | os.PathLike[str], *, series: str | None = None, sampling_rate: float | None = None
) -> xr.Dataset:
    """Read a recording from an NWB file.

    Parameters
    ----------
    path : NWB 2 file (HDF5).
    series : which imaging series to read where there are several (``"ophys/DfOverF/soma"``, or
        its last part), or ``"units"`` for the spikes alone.
    sampling_rate : Hz; only for an imaging series that states neither a rate nor time stamps.

    Returns
    -------
    Dataset with, as far as the file has them: ``spike_times (spike)`` with the columns of the
    units table as coordinates of ``unit``; ``dff`` or ``fluorescence (time, unit)``; trials on
    ``interval``; every other table of time ranges on an axis of its name, with
    ``<table>_start``, ``<table>_stop`` and ``<table>_<column>``; position and other behaviour on
    their own clock, ``sample_time (sample)``, or ``<name>_sample_time`` where clocks differ.

    Notes
    -----
    Time stamps are taken as the file states them: a series with a rate has its first frame at
    its starting time. Without trials, ``interval`` is the one stretch that spikes and time
    ranges cover. What was not read stands in the attribute ``not_read``.

    Raises
    ------
    FileFormatError, NameUnknownError
        A damaged file, one with links out of it or without anything to read; several series and
        no choice.
    UnitError, ShapeError
        Rates that differ by more than 2 %, frame numbers in place of time stamps, or more or
        fewer stamps than frames.
    """
    import h5py
    import pynwb

    source = check_source(path)
    if sampling_rate is not None:
        sampling_rate = one_rate(sampling_rate, "sampling_rate=")
    with explained(source, "NWB"), h5py.File(source, "r") as plain:
        check_hdf5(plain, source.name)
    with (
        explained(source, "NWB"),
        _quiet(),
        pynwb.NWBHDF5IO(str(source), "r", load_namespaces=True) as file,
    ):
        content = file.read()
        recording = _read(content, series, sampling_rate, source.name)
        version = str(file.nwb_version[0] or "")
    return stamped(recording, source, f"NWB {version}".strip(), sampling_rate)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what pynwb says about how an old file was written; it can still be read."""
    with warnings.catch_warnings():
        for text in (
            "Ignoring.*cached namespace",
            ".*starting_frame.*",
            ".*external_file.*",
            ".*deprecated.*",
            ".*data.*(dimension|shape|length).*",
        ):
            warnings.filterwarnings("ignore", message=f"(?s){text}")
        yield


def _read(content: Any, series: str | None, rate: float | None, source: str) -> xr.Dataset:
    from pynwb.ophys import RoiResponseSeries

    objects = list(content.objects.values())
    found = {_label(o): o for o in objects if isinstance(o, RoiResponseSeries)}
    imaging = dict(sorted(found.items()))
    units = content.units if content.units is not None and len(content.units) else None
    if units is not None and "spike_times" not in units.colnames:
        units = None
    chosen = _choose(imaging, units, series, source)
    recording = xr.Dataset(attrs=_about(content))
    if chosen is not None:
        recording = _traces(chosen, rate, source).assign_attrs(recording.attrs)
    if units is not None and series in (None, "units"):
        recording = _add_units(recording, units)
    recording, used = add_behaviour(recording, objects)
    recording = _add_ranges(recording, content)
    rest = sorted(
        {
            _label(o)
            for o in objects
            if hasattr(o, "timestamps") and o is not chosen and not any(o is u for u in used)
        }
    )
    if not recording.data_vars:
        raise FileFormatError(
            f"{source} holds no units, imaging series, position or time ranges",
            "At least one of them was needed",
            f"It holds: {', '.join(rest) or 'nothing but metadata'}; sort or extract first",
        )
    return recording.assign_attrs({"not_read": ", ".join(rest)} if rest else {})


def _label(item: Any) -> str:
    parts, parent = [item.name], item.parent
    while parent is not None and parent.parent is not None:
        parts.append(parent.name)
        parent = parent.parent
    return "/".join(reversed(parts))


def _choose(imaging: dict[str, Any], units: Any, series: str | None, source: str) -> Any:
    if series == "units" and units is not None:
        return None
    known = [*imaging, *(["units"] if units is not None else [])]
    if series is not None:
        matches = [k for k in imaging if k == series or k.split("/")[-1] == series]
        if len(matches) == 1:
            return imaging[matches[0]]
        raise NameUnknownError(
            f"series is {series!r}, which names {len(matches)} series of {source}",
            f"One of these was needed: {', '.join(known)}",
            nearest(series, known),
        )
    if not imaging:
        return None
    only = next(iter(imaging.values()))
    if len(imaging) == 1 and (units is None or len(units) == len(only.rois.data)):
        return only
    listing = [f"{k} {tuple(s.data.shape)}" for k, s in imaging.items()]
    listing += [f"units ({len(units)})"] if units is not None else []
    raise NameUnknownError(
        f"{source} holds {len(known)} sets of units: {', '.join(listing)}",
        "The name of one was needed: a recording has one `unit` axis",
        f'Pass it: nr.open("{source}", series="{known[0]}")',
    )


def _traces(item: Any, rate: float | None, source: str) -> xr.Dataset:
    rois = np.asarray(item.rois.data[:])
    values = values_of(item)
    values = values[:, None] if values.ndim == 1 else values
    if values.shape[1] != len(rois) and values.shape[0] == len(rois):
        values = values.T
    time = clock_of(item, len(values))
    plane = getattr(item.rois.table, "imaging_plane", None)
    label = _label(item)
    own = {"sampling_rate=": rate, f"rate of {label}": item.rate}
    of_plane = getattr(plane, "imaging_rate", None)
    # The standard puts the rate of the series first: its plane may be scanned faster. Some
    # programs write NaN or 0 where they do not know it.
    silent = time is None or (not item.rate and is_counting(time))
    if of_plane and np.isfinite(of_plane) and silent:
        own["imaging_rate of its plane"] = of_plane
    found = agreed_rate(
        own,
        None if item.rate else time,
        source=source,
        time_name=f"timestamps of {label}",
    )
    if found is None:
        raise no_rate(source, f"{label} ({len(values)} frames)")
    stated = str(getattr(plane, "indicator", "") or "")
    ids = np.asarray(item.rois.table.id[:])
    if len(rois) and (rois.min() < 0 or rois.max() >= len(ids) or len(set(rois)) < len(rois)):
        raise ShapeError(
            f"The ROIs of {label} are rows {rois.min()} to {rois.max()}, "
            f"{len(set(rois.tolist()))} of them different, of a table of {len(ids)}",
            "Rows of the table of ROIs, each once, were needed",
            "The file is damaged: write it again",
        )
    labels = ids[rois]
    return from_traces(
        values,
        sampling_rate=found,
        time=time,
        name="dff" if "dfoverf" in label.lower() or "dff" in label.lower() else "fluorescence",
        units=str(item.unit) if str(item.unit) not in ("n.a.", "NA", "") else "1",
        indicator=indicator_of(stated, source) or stated or None,
        unit=labels,
    )


def _add_units(recording: xr.Dataset, units: Any) -> xr.Dataset:
    index = units["spike_times"]
    flat, stops = (
        np.asarray(loaded(index.target.data), dtype=float),
        np.asarray(loaded(index.data), dtype=int),
    )
    trains = split_at(flat, stops, "spike_times_index")
    recording = add_spikes(recording, trains, unit=np.asarray(units.id[:]))
    for name in units.colnames:
        column = _column(units[name]) if name not in ("spike_times", "electrodes") else None
        if column is not None and name not in recording.variables:
            recording = recording.assign_coords({name: ("unit", column)})
    if "electrodes" in units.colnames:
        recording = _add_electrodes(recording, units["electrodes"])
    return recording


def _add_electrodes(recording: xr.Dataset, column: Any) -> xr.Dataset:
    region = getattr(column, "target", column)
    rows = np.asarray(region.data[:], dtype=int)
    stops = np.arange(1, len(rows) + 1) if region is column else np.asarray(column.data[:], int)
    each = split_at(rows, stops, "electrodes_index")
    coords: dict[str, Any] = {}
    if all(len(r) == 1 for r in each):
        coords["electrode"] = ("unit", np.asarray(region.table.id[:])[np.concatenate(each)])
    for name in ("location", "group_name"):
        if name in region.table.colnames and name not in recording.variables:
            texts = _column(region.table[name])
            if texts is not None:
                joined = ["/".join(sorted(set(map(str, texts[r])))) for r in each]
                coords[name] = ("unit", np.array(joined))
    return recording.assign_coords(coords)


def _column(column: Any) -> NDArray[Any] | None:
    """Return a table column as numbers or text, or None where it is neither."""
    if hasattr(column, "target"):
        inner = _column(column.target)
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


def _add_ranges(recording: xr.Dataset, content: Any) -> xr.Dataset:
    tables = {str(k): v for k, v in (content.intervals or {}).items()}
    for name in ("trials", "epochs", "invalid_times"):
        if getattr(content, name, None) is not None:
            tables[name] = getattr(content, name)
    edges = [v for v in (recording.get("spike_times"),) if v is not None and v.size]
    last = max([float(e.max()) for e in edges], default=0.0)
    first = min([float(e.min()) for e in edges], default=0.0)
    for name, table in tables.items():
        start = np.asarray(table["start_time"].data[:], dtype=float)
        stop = np.asarray(table["stop_time"].data[:], dtype=float)
        last = max([last, *stop[np.isfinite(stop)]])
        trials = name == "trials"
        axis = "interval" if trials else name
        if trials:
            recording = set_intervals(recording, start, stop)
        else:
            for end, values in (("start", start), ("stop", stop)):
                recording[f"{name}_{end}"] = (axis, values, {"units": "s"})
        for key in table.colnames:
            column = None if key in ("start_time", "stop_time") else _column(table[key])
            if column is None:
                continue
            title = key if trials and key not in recording.variables else f"{name}_{key}"
            recording[title] = (axis, column, {"units": "s"} if key.endswith("_time") else {})
    if "start" not in recording and "spike_times" in recording and "time" not in recording.coords:
        recording = set_intervals(recording, [min(0.0, first)], [last])
    return recording


def _about(content: Any) -> dict[str, str]:
    about = {"session_description": content.session_description, "session_id": content.session_id}
    about["session_start_time"] = content.session_start_time.isoformat()
    if content.subject is not None:
        about.update({k: getattr(content.subject, k, None) for k in ("species", "age", "sex")})
        about["subject"] = content.subject.subject_id
    return {k: str(v) for k, v in about.items() if v}
