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
from neurornn._core.errors import FileFormatError, KindError, UnitError
from neurornn._core.files import atomic_path
from neurornn._core.report import versions
from neurornn._core.targets import check_target
from neurornn._core.units import seconds_per
from neurornn.io.sources import check_source, explained, stamped

#: Marks attributes that netCDF has no type for (None, bool, lists, dicts), kept as JSON.
_JSON = "json:"

#: Attribute of the files that `write_netcdf` makes: these it may replace.
_WRITTEN = "written_by_neurornn"

#: Tables up to this size (bytes) are put together in memory.
_IN_MEMORY = 2**28


def read_netcdf(
    path: str | os.PathLike[str],
    *,
    chunks: Mapping[str, int] | str | None = None,
    group: str | None = None,
) -> xr.Dataset:
    """Read a recording from a netCDF file.

    Parameters
    ----------
    path : netCDF 3 or 4.
    chunks : for example ``{"time": 10_000}`` or ``"auto"``: values stay on disk until they are
        used. By default everything is read and the file closed.
    group : group inside the file.

    Raises
    ------
    FileFormatError, UnitError
        A damaged file; a time axis of dates, or in a unit that is not a time.
    """
    source = check_source(path)
    with source.open("rb") as file:
        classic = file.read(3) == b"CDF"
    with explained(source, "netCDF"):
        opened = xr.open_dataset(
            source,
            engine="scipy" if classic else "h5netcdf",
            group=group,
            chunks=chunks,
            decode_timedelta=False,
        )
        if chunks is None:
            with opened:
                opened = opened.load()
    if "neurornn_saved" in opened.attrs:
        opened.close()
        raise FileFormatError(
            f"{source.name} holds a saved result, not a recording",
            "A recording was needed",
            f'Load it with nr.load("{source.name}")',
        )
    return stamped(_on_seconds(restore(opened), source.name), source, "netCDF")


def read_zarr(
    path: str | os.PathLike[str], *, chunks: Mapping[str, int] | str | None = None
) -> xr.Dataset:
    """Read a recording from a Zarr folder.

    Parameters
    ----------
    path : folder of format 2 or 3.
    chunks : as in `read_netcdf`; ``{}`` takes the chunks of the store.
    """
    source = check_source(path, folder=True)
    with explained(source, "Zarr"):
        opened = xr.open_dataset(
            source,
            engine="zarr",
            chunks=chunks,
            decode_timedelta=False,
            consolidated=is_consolidated(source),
        )
        if chunks is None:
            opened = opened.load()
    return stamped(_on_seconds(restore(opened), source.name), source, "Zarr")


def write_netcdf(
    recording: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a recording or any table as netCDF, whole or not at all.

    Parameters
    ----------
    recording : Dataset; attributes may be None, bool, numbers, text, or lists and dicts of them.
    path : ends in ``.nc``. A file that this function has written is replaced.
    overwrite : replace a file there whatever wrote it.

    Raises
    ------
    KindError
        Values that netCDF cannot hold.
    FileWriteError
        A file of another origin stands there; disk full or no permission; it is untouched.
    """
    check_target(path, ours=_not_written, overwrite=overwrite)
    ready = prepare(recording).assign_attrs({_WRITTEN: versions()["neurornn"]})
    with atomic_path(path, ours=_not_written, overwrite=overwrite) as temporary:
        write_groups(temporary, {"/": ready})


def _not_written(path: Path) -> str | None:
    """Say why a file may not be replaced; None where `write_netcdf` has made it."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            ours = _WRITTEN in file.attrs
    except OSError:
        ours = False
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
        path.write_bytes(image.getbuffer())
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
    table.attrs = {k: _decode(v) for k, v in table.attrs.items() if k != _WRITTEN}
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


def _on_seconds(recording: xr.Dataset, source: str) -> xr.Dataset:
    if "time" not in recording.coords or recording["time"].ndim != 1:
        return recording
    time = recording["time"]
    unit = str(time.attrs.get("units", "s"))
    factor = seconds_per(unit)
    if factor is None:
        raise UnitError(
            f"The time axis of {source} is in {unit!r}",
            "A time axis in s or ms was needed",
            "Convert it and set time.attrs['units'] = 's'",
        )
    stamps = check_frame_times(time.values if time.dtype.kind in "mM" else time.values * factor)
    recording = recording.assign_coords(time=("time", stamps, {**time.attrs, "units": "s"}))
    turned = [n for n, v in recording.data_vars.items() if v.dims == ("unit", "time")]
    return recording.assign({n: recording[n].transpose("time", "unit") for n in turned})


def is_consolidated(folder: Path) -> bool:
    """Whether a Zarr folder holds the metadata of all its arrays in one place."""
    if (folder / ".zmetadata").exists():
        return True
    root = folder / "zarr.json"
    return root.exists() and "consolidated_metadata" in json.loads(
        root.read_text(encoding="utf-8")
    )
