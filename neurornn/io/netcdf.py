"""netCDF (through h5netcdf) and Zarr: recordings as they are, lazy where asked."""

import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.checks import check_frame_times
from neurornn._core.errors import FileFormatError, KindError, ShapeError, UnitError
from neurornn._core.files import atomic_path
from neurornn._core.targets import check_target
from neurornn._core.units import seconds_per
from neurornn.io.clocks import agreed_rate, is_frame_rate, is_interval, one_rate, statement
from neurornn.io.folder_limits import check_chunks, check_zarr
from neurornn.io.hdf5 import check_written
from neurornn.io.lazy import open_lazily
from neurornn.io.limits import check_hdf5, check_size, hard_items
from neurornn.io.netcdf_classic import check_classic
from neurornn.io.seals import check_seal, seal
from neurornn.io.sources import check_source, explained, stamped

#: Marks attributes that netCDF has no type for (None, bool, lists, dicts), kept as JSON.
_JSON = "json:"

#: Tables up to this size (bytes) are put together in memory.
_IN_MEMORY = 2**28


def read_netcdf(
    path: str | os.PathLike[str],
    *,
    chunks: Mapping[str, int] | str | None = None,
    group: str | None = None,
    sampling_rate: float | None = None,
) -> xr.Dataset:
    """Read a recording from a netCDF file.

    Parameters
    ----------
    path : netCDF 3 or 4.
    chunks : for example ``{"time": 10_000}`` or ``"auto"``: values stay on disk until they are
        used. By default everything is read and the file closed.
    group : group inside the file.
    sampling_rate : Hz; only for a recording without a time axis, or to confirm one.

    Raises
    ------
    FileFormatError, UnitError
        A damaged file, or one of ours that changed since it was written; a time axis of dates, of
        frame numbers, or in a unit that is not a time;
        rates that differ by more than 2 %.
    """
    source = check_source(path)
    rate = None if sampling_rate is None else one_rate(sampling_rate, "sampling_rate=")
    with source.open("rb") as file:
        classic = file.read(3) == b"CDF"
    if chunks is None:
        # A file that write_netcdf has made is compared with its checksum; others have none.
        check_seal(source)
    with explained(source, "netCDF"):
        if classic:
            check_classic(source)
        else:
            import h5py

            with h5py.File(source, "r") as whole:
                check_hdf5(whole, source.name, everything=chunks is None and group is None)
                _check_written(whole if group is None else whole[group], source.name)
        engine = "scipy" if classic else "h5netcdf"
        options = {"group": group, "decode_timedelta": False}
        opened = open_lazily(source, engine, "netCDF", chunks=chunks, **options)
        if chunks is None:
            with opened:
                check_size(opened.nbytes, "Everything", source.name)
                opened = opened.load()
        opened = restore(opened)
    if "neurornn_saved" in opened.attrs:
        opened.close()
        raise FileFormatError(
            f"{source.name} holds a saved result, not a recording",
            "A recording was needed",
            f'Load it with nr.load("{source.name}")',
        )
    return stamped(_on_seconds(opened, source.name, rate), source, "netCDF", rate)


def read_zarr(
    path: str | os.PathLike[str],
    *,
    chunks: Mapping[str, int] | str | None = None,
    sampling_rate: float | None = None,
) -> xr.Dataset:
    """Read a recording from a Zarr folder.

    Parameters
    ----------
    path : folder of format 2 or 3.
    chunks : as in `read_netcdf`; ``{}`` takes the chunks of the store.
    sampling_rate : as in `read_netcdf`.
    """
    source = check_source(path, folder=True)
    rate = None if sampling_rate is None else one_rate(sampling_rate, "sampling_rate=")
    with explained(source, "Zarr"):
        check_zarr(source, everything=chunks is None)
        check_chunks(source, source.name)
        options = {"decode_timedelta": False, "consolidated": is_consolidated(source)}
        opened = open_lazily(source, "zarr", "Zarr", chunks=chunks, **options)
        if chunks is None:
            check_size(opened.nbytes, "Everything", source.name)
            opened = opened.load()
        opened = restore(opened)
    return stamped(_on_seconds(opened, source.name, rate), source, "Zarr", rate)


def write_netcdf(
    recording: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a recording or any table as netCDF, whole or not at all.

    Parameters
    ----------
    recording : Dataset; attributes may be None, bool, numbers, text, or lists and dicts of them.
    path : ends in ``.nc``. A file that this function has written, and nobody has changed, is
        replaced.
    overwrite : replace a file there whatever wrote it.

    Raises
    ------
    KindError
        Values that netCDF cannot hold.
    FileWriteError
        A file of another origin stands there; disk full or no permission; it is untouched.
    """
    check_target(path, ours=_not_written, overwrite=overwrite)
    ready = prepare(recording)
    with atomic_path(path, ours=_not_written, overwrite=overwrite) as temporary:
        write_groups(temporary, {"/": ready})
        seal(temporary, [])


def _not_written(path: Path) -> str | None:
    """Say why a file may not be replaced; None where it is as `write_netcdf` has written it."""
    from neurornn.io.replaceable import header_text

    try:
        ours = check_seal(path) and header_text(path) is None
    except FileFormatError:
        return "was changed after neurornn wrote it"
    return None if ours else "is a file that neurornn did not write"


def write_groups(path: Path, groups: Mapping[str, xr.Dataset]) -> None:
    """Write one netCDF file with a table in each group.

    Parameters
    ----------
    path : a path inside `atomic_path`.
    groups : group -> table as `prepare` returns it; ``"/"`` is the root.

    Raises
    ------
    OSError
        What was written is then to be thrown away.

    Notes
    -----
    The HDF5 library ends the whole process when the disk fills up while it closes a file. So the
    image of a file of ordinary size is made in memory and written with plain file calls, whose
    errors can be handled; only larger ones are streamed.
    """
    import h5netcdf

    if sum(table.nbytes for table in groups.values()) <= _IN_MEMORY:
        image = io.BytesIO()
        with h5netcdf.File(image, "w") as file:
            for group, table in groups.items():
                store = xr.backends.H5NetCDFStore(file, group=group)
                table.compute().dump_to_store(store)
        # Not getbuffer: where the write fails, Python 3.12.1 ends while it collects that buffer.
        path.write_bytes(image.getvalue())
        return
    try:
        for k, (group, table) in enumerate(groups.items()):
            table.to_netcdf(path, mode="a" if k else "w", group=group, engine="h5netcdf")
    except RuntimeError as error:
        number = re.search(r"errno = (\d+)", str(error))
        raise OSError(int(number[1]) if number else None, str(error)) from error


def prepare(table: xr.Dataset) -> xr.Dataset:
    """Return a table whose attributes and variables netCDF can hold without loss.

    Parameters
    ----------
    table : Dataset.

    Raises
    ------
    KindError
        Timedeltas, a MultiIndex, or Python objects other than text.
    """
    table = table.copy(deep=False)
    for name, variable in table.variables.items():
        reason = None
        if variable.dtype.kind == "m":
            reason = "holds timedeltas", 'Convert them: x / np.timedelta64(1, "s")'
        elif name in table.indexes and table.indexes[name].nlevels > 1:
            reason = "is a MultiIndex", f'Turn it into plain axes: table.reset_index("{name}")'
        elif variable.dtype == object and not all(
            isinstance(v, str) for v in variable.values.flat
        ):
            reason = "holds Python objects", "Convert it to numbers or text"
        elif variable.dtype.kind == "c":
            reason = "holds complex numbers", "Store real and imaginary part as two variables"
        if reason:
            raise KindError(
                f"{name} {reason[0]}", "Numbers, booleans, text or dates were needed", reason[1]
            )
        variable = variable.copy(deep=False)
        variable.attrs = {str(k): _encode(v) for k, v in variable.attrs.items()}
        # What an older file said about chunks and compression does not bind the new one.
        variable.encoding = {}
        table[name] = variable
    table.attrs = {str(k): _encode(v) for k, v in table.attrs.items()}
    table.encoding = {}
    return table


def restore(table: xr.Dataset) -> xr.Dataset:
    """Undo `prepare`: attributes as they were, text as fixed-width NumPy strings."""
    table = table.copy(deep=False)
    table.attrs = {k: _decode(v) for k, v in table.attrs.items()}
    for name in list(table.variables):
        variable = table[name].variable
        attrs = {k: _decode(v) for k, v in variable.attrs.items()}
        if variable.dtype.kind in "OT" and variable.chunks is None:
            values = np.asarray(variable.values, dtype=object)
            if all(isinstance(v, str) for v in values.flat):
                variable = xr.Variable(variable.dims, values.astype(str))
        else:
            variable = variable.copy(deep=False)
        variable.attrs = attrs
        table[name] = variable
    return table


def _encode(value: Any) -> Any:
    if (
        isinstance(value, np.ndarray)
        and value.dtype.kind in "iuf"
        and value.ndim == 1
        and value.size > 1
    ):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) and not value.startswith(_JSON):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    try:
        return _JSON + json.dumps(value)
    except TypeError:
        return str(value)


def _decode(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value.startswith(_JSON):
        return json.loads(value[len(_JSON) :])
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(())[()]
    return value.item() if isinstance(value, np.generic) else value


def _check_written(group: Any, source: str) -> None:
    """Raise where a variable was never written, or not to its end."""
    import h5py

    for name, item in hard_items(group).items():
        # A dimension without a coordinate is kept as a data set that nobody writes.
        title = item.attrs.get("NAME", b"")
        text = title.decode("utf-8", "replace") if isinstance(title, bytes) else str(title)
        if isinstance(item, h5py.Dataset) and not text.startswith("This is a netCDF dimension"):
            check_written(item, name, source)


def _on_seconds(
    recording: xr.Dataset, source: str, sampling_rate: float | None = None
) -> xr.Dataset:
    stated: dict[str, Any] = {"sampling_rate=": sampling_rate}
    for name, variable in recording.data_vars.items():
        if "time" in variable.dims:
            stated[f"sampling_rate of {name}"] = variable.attrs.get("sampling_rate")
            width = variable.attrs.get("bin_size")
            if width is not None:
                number = isinstance(width, int | float) and width != 0
                stated[f"bin_size of {name}"] = 1 / width if number else width
        elif variable.ndim == 0 and (is_frame_rate(name) or is_interval(name)):
            stated |= statement(name, variable.values)
    for k, v in recording.attrs.items():
        if is_frame_rate(k) or is_interval(k):
            stated |= statement(k, v, f"attribute {k}")
    _refuse_doubled(recording, source)
    if "time" not in recording.coords or recording["time"].dims != ("time",):
        rate = agreed_rate(stated, source=source)
        if sampling_rate is None or rate is None or "time" not in recording.dims:
            return recording
        clock = (np.arange(recording.sizes["time"]) + 1) / rate
        return recording.assign_coords(time=("time", clock, {"units": "s"}))
    time = recording["time"]
    unit = str(time.attrs.get("units", "s"))
    factor = seconds_per(unit)
    if factor is None:
        raise UnitError(
            f"The time axis of {source} is in {unit!r}",
            "A time axis in s or ms was needed",
            "Convert it and set time.attrs['units'] = 's'",
        )
    numbers = time.dtype.kind in "iuf"
    stamps = check_frame_times(time.values * factor if numbers else time.values)
    agreed_rate(stated, stamps, source=source, in_seconds="units" in time.attrs)
    recording = recording.assign_coords(time=("time", stamps, {**time.attrs, "units": "s"}))
    turned = [n for n, v in recording.data_vars.items() if v.dims == ("unit", "time")]
    return recording.assign({n: recording[n].transpose("time", "unit") for n in turned})


def _refuse_doubled(recording: xr.Dataset, source: str) -> None:
    labels = recording.coords.get("unit")
    if labels is None or labels.dims != ("unit",):
        return
    if labels.dtype.kind == "V":
        raise KindError(
            f"The units of {source} are labelled by records {labels.dtype}",
            "Numbers or text were needed",
            "Was another variable written in their place? Save the recording again",
        )
    different = len(np.unique(labels.values.astype(str)))
    if different < labels.size:
        raise ShapeError(
            f"{source} has {labels.size} units and {different} different labels",
            "A label of its own for every unit was needed",
            "Was a part of the labels lost? Save the recording again, or give the units new "
            "labels",
        )


def is_consolidated(folder: Path) -> bool:
    """Whether a Zarr folder holds the metadata of all its arrays in one place."""
    if (folder / ".zmetadata").exists():
        return True
    root = folder / "zarr.json"
    return root.exists() and "consolidated_metadata" in json.loads(
        root.read_text(encoding="utf-8")
    )
