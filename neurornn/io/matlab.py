"""MATLAB files, v5 (through scipy) and v7.3 (HDF5), and the layouts known by their variables."""

import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import FileFormatError
from neurornn.io.arrays import indicator_of, recording_from_arrays
from neurornn.io.clocks import agreed_rate, one_rate, rates_in
from neurornn.io.hdf5 import gaps_of
from neurornn.io.layouts import cell_attached, counts_and_movement, is_movement, nested_spikes
from neurornn.io.limits import check_hdf5, check_size, hard_items
from neurornn.io.sources import check_source, explained, stamped

#: Tag of an element that is packed.
_COMPRESSED = 15
#: Bytes of one value of a MATLAB class.
_SIZES = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "single": 4}


def read_matlab(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    variable: str | None = None,
    name: str | None = None,
    axes: Sequence[str] | None = None,
    indicator: str | None = None,
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
    name : what to call it (``"dff"``, ``"fluorescence"``, ``"counts"``).
    axes : as stored; by default the longer axis is time.
    indicator : by default read off the file and folder name.
    day, epoch : 1-based; needed for nested spike cells with several.
    unit_variable : which array holds the unit of each of the ``spike_times``; needed where names
        do not tell.

    Notes
    -----
    Layouts known by their variables: ``CAttached`` (trials of dF/F with cell-attached spikes),
    ``spikes{day}{epoch}{tetrode}{unit}.time``, ``X`` and ``Y`` (movement and spike counts, see
    `neurornn.io.layouts`), ``dF_traces`` and ``activity_matrix`` (unit by time). Of any other
    file the numeric matrices are named, and `variable` chooses.

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
        gaps = _gaps(source)
    indicator = indicator or indicator_of(source.name, source.parent.name)
    if variable is None and "CAttached" in bag:
        with explained(source, "MATLAB (cell-attached)"):
            stated = {"sampling_rate=": sampling_rate, **rates_in(bag)}
            recording = cell_attached(bag["CAttached"], source.name, indicator, stated)
        return stamped(recording, source, "MATLAB (cell-attached)", sampling_rate)
    if variable is None and isinstance(bag.get("spikes"), list):
        with explained(source, "MATLAB (nested spikes)"):
            recording = nested_spikes(bag["spikes"], day, epoch, source.name)
        return stamped(recording, source, "MATLAB (nested spikes)")
    if variable is None and is_movement(bag):
        rate = agreed_rate({"sampling_rate=": sampling_rate, **rates_in(bag)}, source=source.name)
        recording = counts_and_movement(bag["X"], bag["Y"], rate, source.name)
        return stamped(recording, source, "MATLAB (counts and movement)")
    recording = recording_from_arrays(
        bag,
        source=source.name,
        variable=variable,
        name=name,
        sampling_rate=sampling_rate,
        axes=axes,
        indicator=indicator,
        unit_variable=unit_variable,
        gaps=gaps,
    )
    places = bag.get("cell_coordinates")
    if isinstance(places, np.ndarray) and places.shape == (recording.sizes.get("unit"), 2):
        recording = recording.assign_coords(
            x=("unit", places[:, 0], {"units": "px"}), y=("unit", places[:, 1], {"units": "px"})
        )
    return stamped(recording, source, "MATLAB", sampling_rate)


def load_matlab(path: Path) -> dict[str, Any]:
    """Load a MATLAB file into arrays, text, lists (cells) and dicts (structs).

    Parameters
    ----------
    path : .mat file, v4 to v7.3.
    """
    import h5py

    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            check_hdf5(file, path.name, everything=True)
            return {k: _from_hdf5(file, v) for k, v in file.items() if not k.startswith("#")}
    import scipy.io

    _check_v5(path)
    for name, shape, kind in scipy.io.whosmat(path):
        check_size(math.prod(shape) * _SIZES.get(kind, 8), f"{name} {tuple(shape)}", path.name)
    content = scipy.io.loadmat(path)
    return {k: _from_v5(v) for k, v in content.items() if not k.startswith("__")}


def _gaps(path: Path) -> dict[str, FileFormatError]:
    """Return the variables of a file of version 7.3 that were not written to their end."""
    import h5py

    if not h5py.is_hdf5(path):
        return {}
    found: dict[str, FileFormatError] = {}
    with h5py.File(path, "r") as file:
        for key, item in hard_items(file).items():
            if isinstance(item, h5py.Dataset) and "MATLAB_empty" not in item.attrs:
                found |= gaps_of(item, key, path.name)
    return found


def _check_v5(path: Path) -> None:
    """Add up what the variables of a file of version 5 unpack to, from the first bytes of each."""
    with path.open("rb") as file:
        head = file.read(128)
        if not head.startswith(b"MATLAB 5.0"):
            return
        order = "<" if head[126:128] == b"IM" else ">"
        total = 0
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(order + "II", tag)
            start = file.tell()
            if kind == _COMPRESSED:
                inner = zlib.decompressobj().decompress(file.read(min(size, 64)), 8)
                total += struct.unpack(order + "II", inner)[1] if len(inner) == 8 else 0
            else:
                total += size
            file.seek(start + size)
    check_size(total, "Everything", path.name)


def _from_v5(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.names is not None:
        structs = [
            {n: _from_v5(item[n]) for n in value.dtype.names} for item in value.ravel(order="F")
        ]
        return structs[0] if len(structs) == 1 else structs
    if value.dtype == object:
        return [_from_v5(item) for item in value.ravel(order="F")]
    if value.dtype.kind == "U":
        return str(value.ravel()[0]) if value.size else ""
    return value


def _from_hdf5(file: Any, item: Any) -> Any:
    import h5py

    if isinstance(item, h5py.Group):
        return {k: _from_hdf5(file, v) for k, v in item.items()}
    kind = item.attrs.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if item.attrs.get("MATLAB_empty", 0):
        return [] if kind == "cell" else "" if kind == "char" else np.empty((0, 0))
    if h5py.check_ref_dtype(item.dtype) is not None:
        return [_from_hdf5(file, file[reference]) for reference in item[()].ravel()]
    # HDF5 stores the axes of a MATLAB matrix in reverse order.
    value = np.asarray(item[()]).T
    if kind == "char":
        return "".join(chr(code) for code in value.ravel(order="C"))
    return value
