"""HDF5 files of no known layout: their datasets are named, and one is chosen."""

import os
from collections.abc import Sequence
from typing import Any

import xarray as xr

from neurornn._core.errors import FileFormatError
from neurornn.io.arrays import indicator_of, recording_from_arrays
from neurornn.io.sources import check_source, explained, stamped


def read_hdf5(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    variable: str | None = None,
    name: str | None = None,
    axes: Sequence[str] | None = None,
    indicator: str | None = None,
) -> xr.Dataset:
    """Read traces from a dataset of an HDF5 file.

    Parameters
    ----------
    path : HDF5 file.
    sampling_rate : Hz; needed where no dataset states a rate or frame times.
    variable : path of the dataset in the file, ``"results/dff"``; needed where names do not tell.
    name, axes, indicator : as in `read_npz`.

    Raises
    ------
    FileFormatError, NameUnknownError, UnitError
        A damaged file; several datasets and no choice; no rate.
    """
    import h5py

    source = check_source(path)
    with explained(source, "HDF5"), h5py.File(source, "r") as file:
        found: dict[str, Any] = {}

        def collect(key: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "biuf" and item.ndim <= 2:
                found[key] = item

        file.visititems(collect)
        if "estimates" in file and variable is None:
            raise FileFormatError(
                f"{source.name} holds CaImAn estimates",
                "An HDF5 file of no known layout was needed",
                "Read it with read_caiman, or name the traces yourself: "
                'variable="estimates/F_dff", sampling_rate=...',
            )
        last = [key.split("/")[-1] for key in found]
        short = {key: key.split("/")[-1] for key in found}
        keys = {k: (k if last.count(s) > 1 or k == variable else s) for k, s in short.items()}
        bag = {
            keys[k]: item[()]
            for k, item in found.items()
            if variable in (None, k) or item.ndim < 2
        }
    recording = recording_from_arrays(
        bag,
        source=source.name,
        variable=variable,
        name=name,
        sampling_rate=sampling_rate,
        axes=axes,
        indicator=indicator or indicator_of(source.name),
    )
    return stamped(recording, source, "HDF5", sampling_rate)
