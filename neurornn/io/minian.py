"""Results of Minian: traces of the units, from its folder of Zarr arrays or its netCDF file."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import FileFormatError, ShapeError
from neurornn.data.recording import from_traces
from neurornn.io.arrays import indicator_of, no_rate
from neurornn.io.clocks import agreed_rate, one_rate, statement
from neurornn.io.folder_limits import check_chunks, check_zarr
from neurornn.io.hdf5 import check_written
from neurornn.io.limits import check_dataset, check_hdf5
from neurornn.io.netcdf import is_consolidated
from neurornn.io.netcdf_classic import check_classic
from neurornn.io.sources import check_source, explained, stamped

_AXES = {"unit_id", "frame"}

#: Variable of Minian -> name in the recording, meaning.
_OTHERS = {
    "C": ("calcium", "denoised trace of Minian"),
    "S": ("events", "deconvolved activity of Minian"),
    "b0": ("baseline", "baseline of Minian"),
}


def read_minian(path: str | os.PathLike[str], *, sampling_rate: float | None = None) -> xr.Dataset:
    """Read the traces of the units that Minian has found.

    Parameters
    ----------
    path : folder with ``C.zarr``, ``YrA.zarr``, ..., one Zarr store, or netCDF file.
    sampling_rate : Hz
        Stored frames per s; Minian does not write it down, so it is always needed.

    Returns
    -------
    Dataset with ``fluorescence (time, unit)`` and, where they are there, ``calcium``,
    ``events`` and ``baseline``; the number of each frame in the movie is the coordinate
    ``frame (time)``, and a frame that is missing there is missing in time.

    Raises
    ------
    FileFormatError, ShapeError, UnitError
        A damaged file or one without traces; no frame rate.

    Notes
    -----
    ``YrA`` of Minian is already the sum of the trace and its residual (unlike the ``YrA`` of
    CaImAn, which is the residual alone), so it is the fluorescence, and ``C`` is not added
    again. Without it the fluorescence is ``C + b0``, which is denoised: its ``is_denoised`` is
    1, and a decay time fitted to it is the one that Minian assumed.
    """
    source = check_source(path, folder=True)
    passed = None if sampling_rate is None else one_rate(sampling_rate, "sampling_rate=")
    with explained(source, "Minian"):
        _check_place(source)
        found = _variables(source)
        if not {"C", "YrA"} & set(found):
            raise FileFormatError(
                f"{source.name} has no C and no YrA, but: {', '.join(found) or 'no traces'}",
                "Traces (unit_id, frame) were needed",
                "Has Minian run to its end? It saves them after the temporal update",
            )
        sizes = {k: dict(v.sizes) for k, v in found.items()}
        first = next(iter(found.values()))
        for name, item in found.items():
            same = all(np.array_equal(item[a].values, first[a].values) for a in sorted(_AXES))
            if not same:
                raise ShapeError(
                    f"{name} and {first.name} of {source.name} are of different units or "
                    f"frames: {sizes[str(name)]} and {sizes[str(first.name)]}",
                    "Arrays of the same units and frames were needed",
                    "Are they of one run? Save them again together",
                )
        arrays = {k: v.transpose("frame", "unit_id").values for k, v in found.items()}
        frames = np.asarray(first["frame"].values)
        labels = np.asarray(first["unit_id"].values)
        about = {str(k): _plain(v) for k, v in first.coords.items() if v.ndim == 0}
    stated: dict[str, Any] = {}
    for k, v in about.items():
        stated |= statement(k, v)
    rate = agreed_rate({"sampling_rate=": passed, **stated}, source=source.name)
    if rate is None:
        raise no_rate(source.name, f"traces ({len(frames)} frames of {len(labels)} units)")
    step = float(np.median(np.diff(frames))) if len(frames) > 1 else 1.0
    if frames.dtype.kind not in "iuf" or (len(frames) > 1 and not np.all(np.diff(frames) > 0)):
        raise ShapeError(
            f"The frames of {source.name} are not counted upward",
            "Numbers of frames, increasing, were needed",
            "Sort the arrays along `frame` and save them again",
        )
    if len(np.unique(labels)) < len(labels):
        raise ShapeError(
            f"{source.name} has {len(labels)} units and {len(np.unique(labels))} different labels",
            "A label of its own for every unit was needed",
            "Save the arrays of Minian again",
        )
    if "YrA" in arrays:
        values, meaning = arrays["YrA"], "denoised trace plus residual, as it was recorded"
    else:
        values = arrays["C"] + arrays.get("b0", np.zeros((), arrays["C"].dtype))
        meaning = "denoised trace of Minian, without its residual"
    recording = from_traces(
        values,
        sampling_rate=rate,
        time=(frames / step + 1) / rate,
        name="fluorescence",
        value_unit="a.u.",
        indicator=indicator_of(source.name, source.parent.name),
        unit=labels,
    )
    recording["fluorescence"].attrs |= {
        "long_name": meaning,
        "is_denoised": int("YrA" not in arrays),
    }
    for old, (new, text) in _OTHERS.items():
        if old in arrays:
            own = {"units": "a.u.", "sampling_rate": rate, "long_name": text}
            recording[new] = (("time", "unit"), arrays[old], own)
    return stamped(
        recording.assign_coords(frame=("time", frames)).assign_attrs(about), source, "Minian"
    )


def is_minian(folder: Path) -> bool:
    """Whether a folder holds traces of Minian: a store of each array, or one of them all."""
    if any((folder / f"{name}.zarr").is_dir() for name in ("C", "YrA")):
        return True
    return (folder / "unit_id").is_dir() and any((folder / n).is_dir() for n in ("C", "YrA"))


def _check_place(source: Path) -> None:
    import h5py

    if source.is_dir():
        check_zarr(source, everything=False)
        for name in ("YrA", *_OTHERS):
            for store in (source / f"{name}.zarr", source / name):
                if store.is_dir():
                    check_zarr(store)
                    check_chunks(store, source.name)
    elif h5py.is_hdf5(source):
        with h5py.File(source, "r") as file:
            check_hdf5(file, source.name)
            for name in ("YrA", *_OTHERS):
                if isinstance(file.get(name), h5py.Dataset):
                    check_dataset(file[name], source.name)
                    check_written(file[name], name, source.name)
    else:
        check_classic(source)


def _variables(source: Path) -> dict[str, xr.DataArray]:
    found: dict[str, xr.DataArray] = {}
    for name in ("YrA", *_OTHERS):
        store = source
        if source.is_dir() and (source / f"{name}.zarr").is_dir():
            store = source / f"{name}.zarr"
        elif source.is_dir() and not (source / name).is_dir():
            continue
        if store.is_dir():
            options: dict[str, Any] = {"engine": "zarr", "consolidated": is_consolidated(store)}
        else:
            with store.open("rb") as file:
                classic = file.read(3) == b"CDF"
            options = {"engine": "scipy" if classic else "h5netcdf"}
        with xr.open_dataset(store, decode_timedelta=False, **options) as opened:
            if name in opened and set(opened[name].dims) == _AXES:
                found[name] = opened[name].load()
    return found


def _plain(value: xr.DataArray) -> Any:
    item = value.values.item()
    return item if isinstance(item, int | float | str) else str(item)
