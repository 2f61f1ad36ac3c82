"""HDF5 files of no known layout: their datasets are named, and one is chosen."""

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import FileFormatError
from neurornn.io.arrays import indicator_of, is_roi_first, recording_from_arrays
from neurornn.io.clocks import is_interval, is_rate, is_time, one_rate
from neurornn.io.limits import check_dataset, check_hdf5, datasets, refuse_gaps
from neurornn.io.sources import check_source, explained, stamped
from neurornn.io.spike_lists import is_owner, is_spike_times

#: Arrays, in lower case, in which whole stretches of zeros are usual.
_INFERRED = ("s", "c", "spks", "events", "calcium", "counts", "spike_counts", "deconvolved")


def read_hdf5(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    variable: str | None = None,
    name: str | None = None,
    axes: Sequence[str] | None = None,
    indicator: str | None = None,
    unit_variable: str | None = None,
) -> xr.Dataset:
    """Read traces from a dataset of an HDF5 file.

    Parameters
    ----------
    path : HDF5 file.
    sampling_rate : Hz; needed where no dataset states a rate or frame times.
    variable : path of the dataset in the file, ``"results/dff"``; needed where names do not tell.
    name, axes, indicator, unit_variable : as in `read_npz`.

    Raises
    ------
    FileFormatError, NameUnknownError, UnitError, ShapeError, DataError
        A damaged file or one with links out of it; several datasets and no choice; no rate, or
        several that differ; frame times or units of spikes of another length.
    """
    import h5py

    source = check_source(path)
    if sampling_rate is not None:
        sampling_rate = one_rate(sampling_rate, "sampling_rate=")
    with explained(source, "HDF5"), h5py.File(source, "r") as file:
        check_hdf5(file, source.name)
        if "estimates" in file and variable is None:
            raise FileFormatError(
                f"{source.name} holds CaImAn estimates",
                "An HDF5 file of no known layout was needed",
                "Read it with read_caiman, or name the traces yourself: "
                'variable="estimates/F_dff", sampling_rate=...',
            )
        bag: dict[str, Any] = {}
        gaps: dict[str, FileFormatError] = {}
        attributes = {"": _rates(file)}
        shaped: dict[str, Any] = {}
        for key, item in datasets(file):
            named = is_rate(key) or is_time(key) or is_owner(key) or is_spike_times(key)
            if item.shape is None or item.ndim > 2:
                continue
            if not (named or item.dtype.kind in "biuf"):
                continue
            shaped[key] = item
            if item.ndim < 2 or variable in (None, key, key.split("/")[-1]):
                check_dataset(item, source.name)
                gaps |= gaps_of(item, key, source.name)
                bag[key] = np.asarray(item[()])
                attributes[key] = _rates(item)
                folder = key.rpartition("/")[0]
                while folder:
                    attributes[folder] = _rates(file[folder])
                    folder = folder.rpartition("/")[0]
        chosen = [k for k in shaped if variable in (k, k.split("/")[-1])]
        if axes is None and len(chosen) == 1 and shaped[chosen[0]].ndim == 2:
            # Of the arrays beside it only the names and shapes are known here.
            axes = ("unit", "time") if is_roi_first(shaped, chosen[0]) else None
    recording = recording_from_arrays(
        bag,
        source=source.name,
        variable=variable,
        name=name,
        sampling_rate=sampling_rate,
        axes=axes,
        indicator=indicator or indicator_of(source.name),
        unit_variable=unit_variable,
        attributes=attributes,
        gaps=gaps,
    )
    return stamped(recording, source, "HDF5", sampling_rate)


def _rates(item: Any) -> dict[str, Any]:
    return {
        str(name): item.attrs[name] for name in item.attrs if is_rate(name) or is_interval(name)
    }


def check_written(item: Any, name: str, source: str) -> None:
    """Raise where parts of a data set were never written: HDF5 would read them as zeros.

    Parameters
    ----------
    item : h5py.Dataset.
    name : what it is called in messages; arrays of inferred activity (``S``, ``C``, ``spks``) may
        lack chunks, for they may be silent.
    source : name of the file, for messages.

    Raises
    ------
    FileFormatError
        Chunks are missing, or all of it is, and its fill value is not NaN.
    """
    import h5py

    plan = item.id.get_create_plist()
    layout = plan.get_layout()
    if not item.size or item.dtype.kind not in "biuf" or np.isnan(np.asarray(item.fillvalue)):
        return
    if layout == h5py.h5d.CONTIGUOUS:
        if plan.get_external_count() or item.id.get_storage_size():
            return
        refuse_gaps(name, tuple(item.shape), 0, 1, source)
    elif layout == h5py.h5d.CHUNKED and not _may_be_silent(name):
        grid = math.prod(-(-n // c) for n, c in zip(item.shape, item.chunks, strict=True))
        there = item.id.get_num_chunks()
        if there < grid:
            refuse_gaps(name, tuple(item.shape), there, grid, source)


def gaps_of(item: Any, key: str, source: str) -> dict[str, FileFormatError]:
    """Return the error of `check_written`, to be raised where the data set is used: key -> it."""
    try:
        check_written(item, key, source)
    except FileFormatError as error:
        return {key: error}
    return {}


def _may_be_silent(name: str) -> bool:
    return name.rpartition("/")[2].lower() in _INFERRED
