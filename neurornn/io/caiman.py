"""Results of CaImAn: dF/F or raw traces of the components, from its HDF5 file."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, FileFormatError, NameUnknownError, ShapeError, nearest
from neurornn.data.recording import from_traces
from neurornn.io.arrays import indicator_of, no_rate
from neurornn.io.clocks import OVERRIDE, agreed_rate, one_rate
from neurornn.io.hdf5 import check_written
from neurornn.io.limits import check_dataset, check_hdf5
from neurornn.io.sources import check_source, explained, stamped

#: Variable of the file -> name in the recording, unit, meaning.
_MEANINGS = {
    "F_dff": ("dff", "1", "dF/F of CaImAn"),
    "C+YrA": ("fluorescence", "a.u.", "denoised trace plus residual, as it was recorded"),
    "C": ("calcium", "a.u.", "denoised trace of CaImAn"),
    "S": ("events", "a.u.", "deconvolved activity of CaImAn"),
}

#: Quality of each component: name in the file -> name in the recording.
_QUALITY = {"SNR_comp": "snr", "r_values": "spatial_correlation", "cnn_preds": "cnn_prediction"}


def read_caiman(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    variable: str | None = None,
    only_cells: bool = True,
    override_rate: bool = False,
) -> xr.Dataset:
    """Read the traces of the components that CaImAn has found.

    Parameters
    ----------
    path : HDF5 file that CaImAn has saved.
    sampling_rate : Hz
        By default ``fr`` of the parameters in the file.
    variable : ``"F_dff"``, ``"C+YrA"``, ``"C"``, ``"S"``, or another array of ``estimates``
        By default ``F_dff``, else ``C+YrA``.
    only_cells : whether to leave out the components that CaImAn's evaluation has rejected.
    override_rate : whether `sampling_rate` replaces another rate in the file; by default two
        rates are an error.

    Returns
    -------
    Dataset with ``dff``, ``fluorescence``, ``calcium`` or ``events (time, unit)``; units are
    labelled with the number of the component, from 0; its ``snr``, ``spatial_correlation`` and
    ``cnn_prediction`` are coordinates of ``unit``.

    Raises
    ------
    FileFormatError, NameUnknownError, ShapeError, DataError, UnitError
        A damaged file or one without estimates; an unknown `variable`; arrays of different
        components; a damaged list of accepted components, or an empty one; no frame rate, or two
        that differ by more than 2 %.

    Notes
    -----
    ``C`` is a denoised trace: a decay time fitted to it is the one that CaImAn assumed. Fit
    ``C+YrA`` or ``F_dff``. CaImAn writes 30 Hz into ``fr`` unless it is told otherwise: then pass
    `sampling_rate` and ``override_rate=True``.
    """
    import h5py

    source = check_source(path)
    passed = None if sampling_rate is None else one_rate(sampling_rate, "sampling_rate=")
    with explained(source, "CaImAn HDF5"), h5py.File(source, "r") as file:
        check_hdf5(file, source.name)
        group = file.get("estimates")
        if not isinstance(group, h5py.Group):
            raise FileFormatError(
                f"{source.name} has no group `estimates`",
                "An HDF5 file that CaImAn has saved was needed",
                "Open other HDF5 files with read_hdf5",
            )
        chosen = _choose(group, variable, source.name)
        if chosen == "C+YrA":
            calcium, residual = _traces(group, "C"), _traces(group, "YrA")
            if calcium.shape != residual.shape:
                raise ShapeError(
                    f"C has shape {calcium.shape} and YrA {residual.shape}",
                    "Arrays of the same components were needed",
                    'Pass variable="C", or save the results again',
                )
            values = calcium + residual
        else:
            values = _traces(group, chosen)
        count = len(values)
        accepted = _accepted(group, count, source.name) if only_cells else None
        listed = _vector(group, "idx_components")
        quality = {new: _vector(group, old) for old, new in _QUALITY.items()}
        stated = _rate(file.get("params/data/fr"))
        decay = _number(file.get("params/data/decay_time"))
    units = np.arange(count, dtype=np.int64)
    if only_cells and accepted is not None:
        units = accepted
        if not len(units):
            raise DataError(
                f"idx_components accepts none of {count} components",
                "At least one component was needed",
                "Pass only_cells=False to read every component",
            )
    rate = agreed_rate(
        {
            "sampling_rate=": passed,
            "params/data/fr": None if override_rate and passed is not None else stated,
        },
        source=source.name,
        remedy=OVERRIDE,
    )
    if rate is None:
        raise no_rate(source.name, f"{chosen} ({values.shape[1]} frames of {count} components)")
    name, unit, meaning = _MEANINGS.get(chosen, (chosen, "a.u.", f"{chosen} of CaImAn"))
    recording = from_traces(
        np.ascontiguousarray(values[units].T),
        sampling_rate=rate,
        name=name,
        value_unit=unit,
        indicator=indicator_of(source.name, source.parent.name),
        unit=units,
    )
    recording[name].attrs["long_name"] = meaning
    coords = {
        k: ("unit", v[units]) for k, v in quality.items() if v is not None and len(v) == count
    }
    if listed is not None and not only_cells:
        coords["is_accepted"] = ("unit", np.isin(units, listed))
    about = {"variable": chosen} | ({"caiman_decay_time": decay} if decay else {})
    return stamped(recording.assign_coords(coords).assign_attrs(about), source, "CaImAn HDF5")


def _is_traces(item: Any) -> bool:
    import h5py

    return (
        isinstance(item, h5py.Dataset)
        and item.ndim == 2
        and item.dtype.kind in "biuf"
        and item.size > 0
    )


def _choose(group: Any, variable: str | None, source: str) -> str:
    arrays = [key for key, item in group.items() if _is_traces(item)]
    known = [*arrays, *(["C+YrA"] if {"C", "YrA"} <= set(arrays) else [])]
    if variable is not None:
        wanted = variable.replace(" ", "").removeprefix("/").removeprefix("estimates/")
        if wanted in known:
            return wanted
        raise NameUnknownError(
            f"variable is {variable!r}, which the estimates of {source} do not have",
            f"One of these was needed: {', '.join(known) or 'none'}",
            nearest(wanted, known),
        )
    for name in ("F_dff", "C+YrA"):
        if name in known:
            return name
    raise FileFormatError(
        f"The estimates of {source} have neither F_dff nor C and YrA, but: "
        f"{', '.join(known) or 'no traces'}",
        "Traces with their noise were needed: C alone is denoised with an assumed decay",
        'Save YrA or F_dff in CaImAn, or pass variable="C" to read the denoised traces',
    )


def _accepted(group: Any, count: int, source: str) -> NDArray[np.int64] | None:
    """Return the numbers of the accepted components, None where none were ever rejected."""
    lists = {}
    for name in ("idx_components", "idx_components_bad"):
        item = group.get(name)
        if item is None or _is_none(item):
            continue
        numbers = _vector(group, name)
        if numbers is None or numbers.dtype.kind not in "iuf" or item.ndim != 1:
            raise FileFormatError(
                f"{name} of {source} is {_kind(item)}",
                "A list of numbers of components was needed",
                "Pass only_cells=False to read every component, or save the results again",
            )
        problem = _problem(numbers, count)
        if problem:
            raise ShapeError(
                f"{name} of {source} {problem} for {count} components",
                "Whole numbers of components, from 0, each once, were needed",
                "Pass only_cells=False to read every component, or save the results again",
            )
        lists[name] = np.sort(numbers.astype(np.int64))
    accepted, rejected = lists.get("idx_components"), lists.get("idx_components_bad")
    if rejected is None or not len(rejected):
        return accepted
    contradiction = ""
    if accepted is None:
        contradiction = f"{len(rejected)} components, and idx_components is missing"
    elif len(both := np.intersect1d(accepted, rejected)):
        contradiction = f"{len(both)} components that idx_components accepts, {both[0]} first"
    if contradiction:
        raise FileFormatError(
            f"idx_components_bad of {source} rejects {contradiction}",
            "Components that are either accepted or rejected were needed",
            "Pass only_cells=False to read every component, or save the results again",
        )
    return accepted


def _problem(numbers: NDArray[Any], count: int) -> str:
    if numbers.dtype.kind == "f" and not np.all(numbers == np.round(numbers)):
        return f"holds {numbers[numbers != np.round(numbers)][0]:g}"
    if len(numbers) > count:
        return f"holds {len(numbers)} numbers"
    for k in numbers:
        if not 0 <= k < count:
            return f"reaches {k:g}"
    values, times = np.unique(numbers, return_counts=True)
    return f"holds {values[times > 1][0]:g} twice" if (times > 1).any() else ""


def _whole(item: Any) -> Any:
    check_dataset(item, Path(item.file.filename).name)
    return item[()]


def _is_none(item: Any) -> bool:
    """Whether CaImAn has written None, which it does as the text NoneType."""
    import h5py

    if not isinstance(item, h5py.Dataset) or item.shape != () or item.dtype.kind not in "SO":
        return False
    value = _whole(item)
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else value) in (
        "NoneType",
        "None",
    )


def _kind(item: Any) -> str:
    import h5py

    if not isinstance(item, h5py.Dataset):
        return "a group"
    return f"{item.dtype} {item.shape}"


def _traces(group: Any, name: str) -> NDArray[Any]:
    check_dataset(group[name], group.file.filename.rpartition("/")[2])
    check_written(group[name], name, group.file.filename.rpartition("/")[2])
    values = np.asarray(group[name][()])
    return values if values.dtype.kind == "f" else values.astype(float)


def _vector(group: Any, name: str) -> NDArray[Any] | None:
    import h5py

    item = group.get(name)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf" or item.ndim == 0:
        return None
    return np.asarray(_whole(item)).ravel()


def _rate(item: Any) -> Any:
    import h5py

    if item is None or _is_none(item):
        return None
    return np.asarray(_whole(item)) if isinstance(item, h5py.Dataset) else []


def _number(item: Any) -> float | None:
    import h5py

    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or item.size != 1:
        return None
    value = float(np.asarray(_whole(item)).ravel()[0])
    return value if np.isfinite(value) and value > 0 else None
