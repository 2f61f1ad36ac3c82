"""MATLAB files, v5 (through scipy) and v7.3 (HDF5), and the layouts known by their variables."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurornn.io.arrays import indicator_of, recording_from_arrays
from neurornn.io.layouts import cell_attached, counts_and_movement, is_movement, nested_spikes
from neurornn.io.sources import check_source, explained, stamped


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

    Notes
    -----
    Layouts known by their variables: ``CAttached`` (trials of dF/F with cell-attached spikes),
    ``spikes{day}{epoch}{tetrode}{unit}.time``, ``X`` and ``Y`` (movement and spike counts, see
    `neurornn.io.layouts`), ``dF_traces`` and ``activity_matrix`` (unit by time). Of any other
    file the numeric matrices are named, and `variable` chooses.

    Raises
    ------
    FileFormatError, NameUnknownError, UnitError
        A damaged file; no or a wrong `variable`; no rate.
    """
    source = check_source(path)
    with explained(source, "MATLAB"):
        bag = load_matlab(source)
    indicator = indicator or indicator_of(source.name, source.parent.name)
    if variable is None and "CAttached" in bag:
        with explained(source, "MATLAB (cell-attached)"):
            recording = cell_attached(bag["CAttached"], source.name, indicator)
        return stamped(recording, source, "MATLAB (cell-attached)", sampling_rate)
    if variable is None and isinstance(bag.get("spikes"), list):
        with explained(source, "MATLAB (nested spikes)"):
            recording = nested_spikes(bag["spikes"], day, epoch, source.name)
        return stamped(recording, source, "MATLAB (nested spikes)")
    if variable is None and is_movement(bag):
        recording = counts_and_movement(bag["X"], bag["Y"], sampling_rate, source.name)
        return stamped(recording, source, "MATLAB (counts and movement)")
    recording = recording_from_arrays(
        bag,
        source=source.name,
        variable=variable,
        name=name,
        sampling_rate=sampling_rate,
        axes=axes,
        indicator=indicator,
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
            return {k: _from_hdf5(file, v) for k, v in file.items() if not k.startswith("#")}
    import scipy.io

    content = scipy.io.loadmat(path)
    return {k: _from_v5(v) for k, v in content.items() if not k.startswith("__")}


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
