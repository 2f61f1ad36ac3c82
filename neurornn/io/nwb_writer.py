"""Writing to NWB: traces, events and fitted parameters, into a new file or beside a recording."""

import errno
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import (
    DataError,
    FileFormatError,
    KindError,
    NameUnknownError,
    nearest,
)
from neurornn._core.files import atomic_path
from neurornn._core.targets import check_target
from neurornn.data.recording import TIME_CONVENTION, sampling_rate_of
from neurornn.io.seals import check_seal, seal
from neurornn.io.sources import check_source, explained

_UNSTATED = "not stated"
#: Description of our processing module; a file without one is not replaced.
_WRITTEN = "Written by neurornn"

#: What an NWB file takes besides its values (bytes): the schema that is kept in it, and groups.
_OVERHEAD = 4 * 2**20


def write_nwb(
    traces: xr.Dataset | xr.DataArray | None,
    path: str | os.PathLike[str],
    *,
    parameters: xr.Dataset | None = None,
    events: xr.Dataset | None = None,
    template: str | os.PathLike[str] | None = None,
    session: Mapping[str, Any] | None = None,
    rois: str | None = None,
    module: str = "neurornn",
    overwrite: bool = False,
) -> None:
    """Write traces, parameters and events as one processing module, whole or not at all.

    Parameters
    ----------
    traces : variables (time, unit), for example ``kinetics.denoised()``
        Of a recording its traces are written, not its spikes, intervals or behaviour.
    path : NWB file to write. One that this function has written, and nothing was added to, is
        replaced.
    parameters : (unit, ...)
        For example ``kinetics.parameters_``. Every variable becomes a column with its unit in
        the description; an interval ``name_ci`` becomes ``name_ci_lower`` and ``name_ci_upper``.
    events : (event,)
        For example ``kinetics.events_``: ``event_time`` (s), ``event_size``, ``event_unit``
        (position on ``unit``, written as the label).
    template : NWB file of the recording
        It is copied whole and the module is added to the copy; the file itself is not changed.
    session : for a file without a template
        ``session_start_time`` (needed: a datetime, or text in ISO format), and where known
        ``session_description``, ``identifier``, ``subject`` (a dict) and other fields of NWB.
        What ``read_nwb`` put into the attributes of `traces` is taken where `session` is silent.
    rois : name of the ROI table of the template that `unit` refers to
        By default the one whose ids hold all labels; where none does, a table is made.
    module : name of the processing module.
    overwrite : replace a file there whatever wrote it.

    Raises
    ------
    DataError, KindError, NameUnknownError
        Nothing to write, no start time, tables of another shape, or a module or ROI table whose
        name is taken or unknown.
    FileMissingError, FileFormatError
        No such template, or a damaged one.
    FileWriteError
        Another file stands there; disk full or no permission. It is untouched.

    Notes
    -----
    A trace is a ``RoiResponseSeries`` with a rate where its frames are evenly spaced, else with
    time stamps; either way a stamp marks the end of its frame. `read_nwb` reads it back.
    """
    import pynwb

    source = None if template is None else check_source(template)
    allowed: dict[str, Any] = {"ours": _not_written, "overwrite": overwrite}
    check_target(path, **allowed)
    if source is not None and session is not None:
        raise DataError(
            "Both template= and session= came",
            "One of them was needed: a copy keeps the session of its template",
            "Leave session out",
        )
    variables = _trace_variables(traces)
    if not variables and parameters is None and events is None:
        raise DataError(
            "Neither traces (time, unit) nor parameters nor events came",
            "At least one of them was needed",
            "Pass kinetics.denoised(), parameters=kinetics.parameters_",
        )
    tables = []
    if parameters is not None:
        tables.append(_parameter_table(parameters))
    if events is not None:
        tables.append(_event_table(events))
    attrs = {} if traces is None else dict(traces.attrs)
    size = sum(v.nbytes for v in [*variables.values(), parameters, events] if v is not None)
    size += 0 if source is None else source.stat().st_size
    with atomic_path(path, **allowed) as temporary, _quiet():
        _check_room(temporary.parent, size)
        if source is None:
            content = _new_file(attrs, session or {})
            _add(content, variables, tables, rois, module)
            with pynwb.NWBHDF5IO(str(temporary), "w") as file:
                file.write(content)
            seal(temporary, [])
            return
        shutil.copyfile(source, temporary)
        with explained(source, "NWB"):
            file = pynwb.NWBHDF5IO(str(temporary), "r+", load_namespaces=True)
        with file:
            with explained(source, "NWB"):
                content = file.read()
            _add(content, variables, tables, rois, module)
            file.write(content)
        seal(temporary, [])


def _not_written(path: Path) -> str | None:
    """Say why a file may not be replaced; None where it is as `write_nwb` has written it."""
    import h5py

    try:
        if not check_seal(path):
            return "is a file that neurornn did not write, or that was added to since"
        with h5py.File(path, "r") as file:
            rooms = file.get("processing", {}).values()
            ours = any(room.attrs.get("description") == _WRITTEN for room in rooms)
    except FileFormatError:
        return "was changed after neurornn wrote it"
    except OSError:
        ours = False
    return None if ours else "is a file that neurornn did not write"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what pynwb says about the order in which parts are put together."""
    with warnings.catch_warnings():
        for text in ("The linked table for DynamicTableRegion", "Ignoring.*cached namespace"):
            warnings.filterwarnings("ignore", message=text)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=PendingDeprecationWarning)
        warnings.filterwarnings("ignore", message=".*deprecated", category=FutureWarning)
        yield


def _check_room(folder: Path, size: int) -> None:
    # The HDF5 library ends the whole process when the disk fills up while it closes a file, so a
    # disk that is too full is noticed before the first byte.
    if shutil.disk_usage(folder).free < 1.1 * size + _OVERHEAD:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# ------------------------------------------------------------------------------ what came


def _trace_variables(traces: xr.Dataset | xr.DataArray | None) -> dict[str, xr.DataArray]:
    if traces is None:
        return {}
    if isinstance(traces, xr.DataArray):
        traces = traces.to_dataset(name=str(traces.name or "trace"))
    if not isinstance(traces, xr.Dataset):
        raise KindError(
            f"traces is a {type(traces).__name__}",
            "A Dataset or DataArray with axes time and unit was needed",
            "Make one with nr.data.from_traces",
        )
    found = {
        str(name): v.transpose("time", "unit")
        for name, v in traces.data_vars.items()
        if set(v.dims) == {"time", "unit"} and v.dtype.kind in "biuf"
    }
    if found and not {"time", "unit"} <= set(traces.coords):
        raise DataError(
            "The traces have no coordinate time or unit",
            "Time stamps in s and labels of the units were needed",
            "Make the recording with nr.data.from_traces",
        )
    return found


def _column(name: str, values: NDArray[Any], description: str) -> Any:
    from hdmf.common import VectorData

    if values.dtype.kind in "OUT":
        return VectorData(name=name, data=[str(v) for v in values], description=description)
    if values.dtype.kind not in "biuf":
        raise KindError(
            f"{name} holds {values.dtype}", "Numbers, booleans or text were needed", "Convert it"
        )
    return VectorData(name=name, data=np.ascontiguousarray(values), description=description)


def _described(variable: xr.DataArray, name: str) -> str:
    text = str(variable.attrs.get("long_name", name))
    units = variable.attrs.get("units")
    return f"{text}, in {units}" if units not in (None, "", "1") else text


def _parameter_table(parameters: xr.Dataset) -> Any:
    if "unit" not in parameters.coords:
        raise DataError(
            f"The parameters have the axes {', '.join(map(str, parameters.sizes)) or 'none'}",
            "Parameters on `unit`, with its labels, were needed",
            "Pass kinetics.parameters_",
        )
    labels = parameters["unit"].values
    columns = [_column("unit", labels, "label of the unit")]
    rest = dict(parameters.attrs)
    for key, variable in parameters.variables.items():
        name = str(key)
        item = parameters[name]
        if name == "unit" or (name in parameters.coords and item.dims != ("unit",)):
            continue
        if "unit" not in item.dims:
            rest[name] = item.values.tolist()
            continue
        item = item.transpose("unit", ...)
        text = _described(item, name)
        if not item.attrs.get("long_name") and name.endswith("_ci"):
            owner = name.removesuffix("_ci")
            text = f"interval of {_described(parameters.get(owner, item), owner)}"
        if variable.ndim == 2 and item.dims[1] == "ci_bound":
            for k, bound in enumerate(("lower", "upper")):
                columns.append(_column(f"{name}_{bound}", item.values[:, k], f"{text}: {bound}"))
            continue
        if variable.ndim > 1:
            axes = ", ".join(
                f"{d} ({', '.join(map(str, item[d].values))})" if d in item.coords else str(d)
                for d in item.dims[1:]
            )
            text = f"{text}; axes: {axes}"
        columns.append(_column(name, item.values, text))
    about = "; ".join(f"{k}: {v}" for k, v in rest.items())
    return _table(
        "parameters", "Parameters of each unit" + (f". {about}" if about else ""), columns
    )


def _event_table(events: xr.Dataset) -> Any:
    here = [str(n) for n, v in events.data_vars.items() if v.dims == ("event",)]
    if not {"event_time", "event_unit"} <= set(here) or "unit" not in events.coords:
        raise DataError(
            f"The events have the variables {', '.join(here) or 'none'}",
            "event_time (s) and event_unit on `event`, and the labels of `unit`, were needed",
            "Pass kinetics.events_",
        )
    labels, owner = events["unit"].values, events["event_unit"].values
    if owner.size and (owner.min() < 0 or owner.max() >= len(labels)):
        raise DataError(
            f"event_unit reaches {int(owner.max())} for {len(labels)} units",
            "Positions on `unit` were needed",
            "Select events together with their units",
        )
    columns = [_column("unit", labels[owner.astype(np.int64)], "label of the unit")]
    for name in here:
        if name != "event_unit":
            item = events[name]
            short = name.removeprefix("event_")
            columns.append(_column(short, item.values, _described(item, name)))
    about = str(events.attrs.get("convention", TIME_CONVENTION))
    return _table("events", f"Events inferred from the traces; {about}", columns)


def _table(name: str, description: str, columns: list[Any]) -> Any:
    from hdmf.common import DynamicTable

    return DynamicTable(name=name, description=description, columns=columns)


# ------------------------------------------------------------------------------ into the file


def _new_file(attrs: Mapping[str, Any], session: Mapping[str, Any]) -> Any:
    import pynwb

    known = ("session_start_time", "session_description", "session_id")
    fields = {k: attrs[k] for k in known if attrs.get(k)} | dict(session)
    subject = fields.pop("subject", None)
    start = fields.get("session_start_time")
    if isinstance(start, str):
        try:
            start = fields["session_start_time"] = datetime.fromisoformat(start)
        except ValueError:
            start = None
    if not isinstance(start, datetime):
        raise DataError(
            f"session_start_time is {fields.get('session_start_time')!r}",
            "NWB needs the date and time at which the recording started",
            'Pass session={"session_start_time": datetime(2024, 1, 31, 12, tzinfo=UTC)}, or '
            "template= with the NWB file of the recording",
        )
    fields.setdefault("session_description", _UNSTATED)
    fields.setdefault("identifier", str(uuid.uuid4()))
    if subject is None and "subject" in attrs:
        subject = {"subject_id": str(attrs["subject"])}
        subject |= {k: str(attrs[k]) for k in ("species", "age", "sex") if attrs.get(k)}
    try:
        made = None if subject is None else pynwb.file.Subject(**dict(subject))
        return pynwb.NWBFile(**fields, **({} if made is None else {"subject": made}))
    except (TypeError, ValueError) as error:
        raise KindError(
            f"The session was refused by NWB: {str(error).splitlines()[0][:160]}",
            "Fields of an NWB file, of the kind that NWB states, were needed",
            "Correct session=",
        ) from error


def _add(
    content: Any,
    variables: Mapping[str, xr.DataArray],
    tables: list[Any],
    rois: str | None,
    module: str,
) -> None:
    from pynwb.ophys import RoiResponseSeries

    if module in content.processing:
        raise NameUnknownError(
            f"The template has a processing module {module!r} already",
            "A new name was needed: what a file holds is never overwritten",
            f'Pass module="{module}_2", or a template without it',
        )
    room = content.create_processing_module(name=module, description=_WRITTEN)
    if variables:
        labels = next(iter(variables.values()))["unit"].values
        table, rows = _roi_table(content, room, variables, labels, rois)
    for name, variable in variables.items():
        units = str(variable.attrs.get("units", ""))
        series = RoiResponseSeries(
            name=name,
            data=np.ascontiguousarray(variable.values),
            unit="n.a." if units in ("", "1") else units,
            rois=table.create_roi_table_region(
                region=rows.tolist(), description="the units of this trace"
            ),
            description=_described(variable, name),
            comments=TIME_CONVENTION,
            **_clock(variable),
        )
        _place(room, name, units, series)
    for made in tables:
        room.add(made)


def _clock(variable: xr.DataArray) -> dict[str, Any]:
    time = variable["time"].values.astype(float)
    rate = sampling_rate_of(variable)
    even = time[0] + np.arange(len(time)) / rate if len(time) else time
    # A tenth of a frame at the end of the recording: beyond that the stated rate is not the true
    # one, or frames are missing.
    if len(time) and np.max(np.abs(time - even)) < 0.1 / rate:
        return {"rate": rate, "starting_time": float(time[0])}
    return {"timestamps": time}


def _place(room: Any, name: str, units: str, series: Any) -> None:
    from pynwb.ophys import DfOverF, Fluorescence

    if units not in ("", "1", "a.u."):
        room.add(series)
        return
    kind = DfOverF if "dff" in name.lower() or units == "1" else Fluorescence
    held = room.data_interfaces.get(kind.__name__)
    if held is None:
        room.add(kind(roi_response_series=series))
    else:
        held.add_roi_response_series(series)


def _roi_table(
    content: Any,
    room: Any,
    variables: Mapping[str, xr.DataArray],
    labels: NDArray[Any],
    wanted: str | None,
) -> tuple[Any, NDArray[np.int64]]:
    """Return the ROI table that the labels refer to, and their rows in it."""
    from pynwb.ophys import PlaneSegmentation

    tables = [o for o in content.objects.values() if isinstance(o, PlaneSegmentation)]
    names = [str(t.name) for t in tables]
    if wanted is not None and names.count(wanted) != 1:
        raise NameUnknownError(
            f"rois is {wanted!r}, which names {names.count(wanted)} ROI tables of the template",
            f"One of these was needed: {', '.join(names) or 'none, it has no ROI table'}",
            nearest(wanted, names),
        )
    fits = []
    for table in tables:
        places = {int(k): row for row, k in enumerate(table.id[:])}
        if wanted in (None, table.name) and all(k in places for k in labels.tolist()):
            fits.append((table, np.array([places[k] for k in labels.tolist()], dtype=np.int64)))
    if wanted is not None and not fits:
        raise DataError(
            f"The ROI table {wanted} has no ids for some of the units {labels.tolist()[:5]}",
            "Labels on `unit` that are ids of that table were needed",
            "Read the recording with read_nwb, which keeps the ids as labels, or leave rois out",
        )
    if len(fits) > 1:
        raise NameUnknownError(
            f"The units are found in {len(fits)} ROI tables of the template",
            f"The name of one was needed: {', '.join(str(t.name) for t, _ in fits)}",
            f'Pass rois="{fits[0][0].name}"',
        )
    if fits:
        return fits[0]
    return _new_rois(content, room, variables, labels), np.arange(len(labels), dtype=np.int64)


def _new_rois(
    content: Any, room: Any, variables: Mapping[str, xr.DataArray], labels: NDArray[Any]
) -> Any:
    from pynwb.ophys import ImageSegmentation, OpticalChannel, PlaneSegmentation

    first = next(iter(variables.values()))
    device = next(iter(content.devices.values()), None)
    if device is None:
        device = content.create_device(name="microscope", description=_UNSTATED)
    name = f"{room.name}_plane"
    plane = content.create_imaging_plane(
        name=name,
        description=_UNSTATED,
        device=device,
        optical_channel=OpticalChannel(
            name="channel", description=_UNSTATED, emission_lambda=float("nan")
        ),
        excitation_lambda=float("nan"),
        imaging_rate=sampling_rate_of(first),
        indicator=str(first.attrs.get("indicator") or _UNSTATED),
        location=_UNSTATED,
    )
    whole = labels.dtype.kind in "iu" and bool(np.all(labels >= 0))
    # NWB libraries read no ROI table without masks, so each unit has one pixel of unknown weight.
    mask = np.full((len(labels), 1, 1), np.nan)
    table = PlaneSegmentation(
        name="units",
        description="Units whose masks are not stated; `label` is their name in neurornn",
        imaging_plane=plane,
        id=labels.tolist() if whole else list(range(len(labels))),
        columns=[
            _column("image_mask", mask, "not stated"),
            _column("label", labels.astype(str), "label of the unit"),
        ],
    )
    room.add(ImageSegmentation(plane_segmentations=[table]))
    return table
