"""NWB files: sorted units, imaging traces, time ranges and behaviour."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError, NameUnknownError, ShapeError, nearest
from neurornn.data.observation import observed_ranges, start_of_clock, united, without_ranges
from neurornn.data.recording import from_traces, set_intervals
from neurornn.io.arrays import indicator_of, no_rate
from neurornn.io.clocks import agreed_rate, is_counting, one_rate
from neurornn.io.limits import check_hdf5
from neurornn.io.nwb_planes import joined_planes
from neurornn.io.nwb_series import add_behaviour, clock_of, label_of, loaded, values_of
from neurornn.io.nwb_tables import add_event_tables, add_ranges, unread
from neurornn.io.nwb_units import (
    add_observation,
    add_units,
    check_lengths,
    compare_clocks,
    first_times,
)
from neurornn.io.sources import check_source, explained, stamped


def read_nwb(
    path: str | os.PathLike[str],
    *,
    series: str | Sequence[str] | None = None,
    sampling_rate: float | None = None,
) -> xr.Dataset:
    """Read a recording from an NWB file.

    Parameters
    ----------
    path : NWB 2 file (HDF5).
    series : which imaging series to read where there are several (``"ophys/DfOverF/soma"``, or
        its last part), or ``"units"`` for the spikes alone. A list of names, or ``"all"``, joins
        the series of several planes on one ``unit`` axis.
    sampling_rate : Hz; only for an imaging series that states neither a rate nor time stamps.

    Returns
    -------
    Dataset with, as far as the file has them: ``spike_times (spike)`` with the columns of the
    units table as coordinates of ``unit``; ``dff`` or ``fluorescence (time, unit)``; trials on
    ``interval``; every other table of time ranges on an axis of its name, with
    ``<table>_start``, ``<table>_stop`` and ``<table>_<column>``; position and other behaviour on
    their own clock, ``sample_time (sample)``, or ``<name>_sample_time`` where clocks differ;
    tables of events as ``<table>_time`` and ``<table>_<column>``. Planes that were joined have
    the coordinates ``plane``, ``roi`` (the id in the file) and ``plane_offset`` (s, by which
    their frames are later than ``time``) on ``unit``.

    Notes
    -----
    Time stamps are taken as the file states them: a series with a rate has its first frame at
    its starting time. Without trials, ``interval`` is the stretch that spikes and time ranges
    cover, less what no unit was observed in. ``obs_intervals`` of the units, less
    ``invalid_times``, stand on ``observed`` (`neurornn.data.observation`), and counts outside
    are NaN. What was not read stands in the attribute ``not_read``.

    Spike times that go back by more than 1 s within a unit, or that are in another unit or on
    another clock than trials, behaviour and ranges, are said in a `UnitWarning`.

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


def _read(
    content: Any, series: str | Sequence[str] | None, rate: float | None, source: str
) -> xr.Dataset:
    from pynwb.ophys import RoiResponseSeries

    objects = list(content.objects.values())
    found = {label_of(o): o for o in objects if isinstance(o, RoiResponseSeries)}
    imaging = dict(sorted(found.items()))
    units = content.units if content.units is not None and len(content.units) else None
    if units is not None and "spike_times" not in units.colnames:
        units = None
    chosen = _choose(imaging, units, series, source)
    recording = xr.Dataset(attrs=_about(content))
    if chosen:
        traces = {label: _traces(item, rate, source) for label, item in chosen.items()}
        names = [_plane_of(item) for item in chosen.values()]
        recording = joined_planes(traces, names, source).assign_attrs(recording.attrs)
    left: list[str] = []
    spikes = units is not None and series in (None, "units")
    if spikes:
        recording, left = add_units(recording, units)
    recording, used = add_behaviour(recording, objects)
    recording, others, tables = add_ranges(recording, content)
    recording, events = add_event_tables(recording, objects)
    clocks = {**others, **_clocks_of(recording)}
    if spikes:
        invalid = np.empty((0, 2))
        if "invalid_times_start" in recording:
            ends = (
                recording["invalid_times_start"].values,
                recording["invalid_times_stop"].values,
            )
            invalid = np.stack(ends, axis=1)
        recording = add_observation(recording, units, invalid)
        # Invalid times may be a moment of a session, and are compared by nobody else.
        compare_clocks(recording, {k: v for k, v in clocks.items() if k != "invalid_times"})
        if "start" not in recording and "time" not in recording.coords:
            recording = _add_stretches(recording, clocks)
    read = [*chosen.values(), *used, *tables, *events, *([units] if spikes else [])]
    rest = sorted({*(label_of(o) for o in unread(objects, read)), *left})
    if not recording.data_vars:
        raise FileFormatError(
            f"{source} holds no units, imaging series, position or time ranges",
            "At least one of them was needed",
            f"It holds: {', '.join(rest) or 'nothing but metadata'}; sort or extract first",
        )
    return recording.assign_attrs({"not_read": ", ".join(rest)} if rest else {})


def _clocks_of(recording: xr.Dataset) -> dict[str, tuple[float, float]]:
    """Return the first and last time (s) of everything that has times, but spikes."""
    out = {}
    for name, variable in recording.variables.items():
        axis = str(name).removesuffix("_time")
        if variable.dims not in ((name,), (axis,)) or variable.dtype.kind != "f":
            continue
        times = np.asarray(variable.values)
        if np.isfinite(times).any():
            on_it = [
                str(k) for k, v in recording.data_vars.items() if axis in v.dims and k != name
            ]
            title = on_it[0] if on_it else axis
            out[title] = _without_strays(times[np.isfinite(times)])
    return out


def _without_strays(times: NDArray[np.float64]) -> tuple[float, float]:
    """Return the first and last time but for stamps that nobody set: 0 on a clock of 1970, say."""
    low, high = np.percentile(times, [5, 95])
    # Ten times as far away as most of a recording is long, a stamp is of another clock.
    near = times[np.abs(times - (low + high) / 2) <= 10 * (high - low)]
    near = near if len(near) else times
    return float(near.min()), float(near.max())


def _add_stretches(recording: xr.Dataset, clocks: dict[str, tuple[float, float]]) -> xr.Dataset:
    """Put the stretches that spikes and all else cover on ``interval``, less what nobody saw."""
    times = recording["spike_times"].values
    each = observed_ranges(recording)
    ends = [b for _, b in clocks.values()] + [float(t) for t in times]
    if each is not None:
        stops = recording["observed_stop"].values
        ends += [float(t) for t in stops[np.isfinite(stops)]]
    start, reason = start_of_clock(times, first_times(recording, clocks))
    last = max([start, *ends])
    stretches = np.array([[start, last]])
    if each is not None:
        holes = without_ranges([[-np.inf, np.inf]], united(each))
        stretches = without_ranges(stretches, holes)
    out = set_intervals(recording, stretches[:, 0], stretches[:, 1])
    out["start"].attrs["chosen"] = reason
    return out


def _plane_of(item: Any) -> str:
    plane = getattr(item.rois.table, "imaging_plane", None)
    return str(getattr(plane, "name", "") or item.name)


def _choose(
    imaging: dict[str, Any], units: Any, series: str | Sequence[str] | None, source: str
) -> dict[str, Any]:
    """Return the imaging series to read, by label; none where the spikes are read alone."""
    if isinstance(series, str) and series == "units" and units is not None:
        return {}
    known = [*imaging, *(["units"] if units is not None else [])]
    if isinstance(series, str) and series == "all" and imaging:
        return imaging
    if series is not None:
        wanted = [series] if isinstance(series, str) else list(series)
        chosen: dict[str, Any] = {}
        for name in wanted:
            matches = [k for k in imaging if k == name or k.split("/")[-1] == name]
            if len(matches) != 1:
                raise NameUnknownError(
                    f"series is {name!r}, which names {len(matches)} series of {source}",
                    f"One of these was needed: {', '.join(known)}",
                    nearest(str(name), known),
                )
            chosen[matches[0]] = imaging[matches[0]]
        return chosen
    if not imaging:
        return {}
    only = next(iter(imaging.values()))
    if len(imaging) == 1 and (units is None or len(units) == len(only.rois.data)):
        return imaging
    listing = [f"{k} {tuple(s.data.shape)}" for k, s in imaging.items()]
    listing += [f"units ({len(units)})"] if units is not None else []
    planes = [_plane_of(item) for item in imaging.values()]
    also = ""
    if len(planes) > 1 and len(set(planes)) == len(planes):
        also = '; series="all" joins the planes, labelled by plane'
    raise NameUnknownError(
        f"{source} holds {len(known)} sets of units: {', '.join(listing)}",
        "The name of one was needed: a recording has one `unit` axis",
        f'Pass it: nr.open("{source}", series="{known[0]}"){also}',
    )


def _traces(item: Any, rate: float | None, source: str) -> xr.Dataset:
    rois = np.asarray(loaded(item.rois.data))
    values = values_of(item)
    values = values[:, None] if values.ndim == 1 else values
    if values.shape[1] != len(rois) and values.shape[0] == len(rois):
        values = values.T
    time = clock_of(item, len(values))
    check_lengths(values, time, label_of(item))
    plane = getattr(item.rois.table, "imaging_plane", None)
    label = label_of(item)
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
    ids = np.asarray(loaded(item.rois.table.id.data))
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
        value_unit=str(item.unit) if str(item.unit) not in ("n.a.", "NA", "") else "1",
        indicator=indicator_of(stated, source) or stated or None,
        unit=labels,
    )


def _about(content: Any) -> dict[str, str]:
    about = {"session_description": content.session_description, "session_id": content.session_id}
    about["session_start_time"] = content.session_start_time.isoformat()
    if content.subject is not None:
        about.update({k: getattr(content.subject, k, None) for k in ("species", "age", "sex")})
        about["subject"] = content.subject.subject_id
    return {k: str(v) for k, v in about.items() if v}
