"""Results of CaImAn: dF/F or raw traces of the components, from its HDF5 file."""

import os
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_sampling_rate
from neurornn._core.errors import DataError, FileFormatError, NameUnknownError, ShapeError, nearest
from neurornn.data.recording import from_traces
from neurornn.io.arrays import indicator_of, no_rate
from neurornn.io.sources import check_source, explained, stamped
from neurornn.io.suite2p import warn_of_rate

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

    Returns
    -------
    Dataset with ``dff``, ``fluorescence``, ``calcium`` or ``events (time, unit)``; units are
    labelled with the number of the component, from 0; its ``snr``, ``spatial_correlation`` and
    ``cnn_prediction`` are coordinates of ``unit``.

    Raises
    ------
    FileFormatError, NameUnknownError, ShapeError, DataError, UnitError
        A damaged file or one without estimates; an unknown `variable`; arrays of different
        components; no accepted component; no frame rate.

    Notes
    -----
    ``C`` is a denoised trace: a decay time fitted to it is the one that CaImAn assumed. Fit
    ``C+YrA`` or ``F_dff``. CaImAn writes 30 Hz into ``fr`` unless it is told otherwise;
    `sampling_rate`, where it is passed, is used, with a warning where it differs from the file.
    """
    import h5py

    source = check_source(path)
    with explained(source, "CaImAn HDF5"), h5py.File(source, "r") as file:
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
        accepted = _vector(group, "idx_components")
        quality = {new: _vector(group, old) for old, new in _QUALITY.items()}
        stated = _number(file.get("params/data/fr"))
        decay = _number(file.get("params/data/decay_time"))
    units = np.arange(count, dtype=np.int64)
    if only_cells and accepted is not None:
        units = np.unique(accepted.astype(np.int64))
        if len(units) and (units[0] < 0 or units[-1] >= count):
            raise ShapeError(
                f"idx_components reaches {units[-1]} for {count} components",
                "Numbers of components, from 0, were needed",
                "Pass only_cells=False, or save the results again",
            )
        if not len(units):
            raise DataError(
                f"idx_components accepts none of {count} components",
                "At least one component was needed",
                "Pass only_cells=False to read every component",
            )
    if stated is None and sampling_rate is None:
        raise no_rate(source.name, f"{chosen} ({values.shape[1]} frames of {count} components)")
    rate = check_sampling_rate(sampling_rate if sampling_rate is not None else stated or 0.0)
    if sampling_rate is not None and stated is not None:
        warn_of_rate(rate, stated, source.name)
    name, unit, meaning = _MEANINGS.get(chosen, (chosen, "a.u.", f"{chosen} of CaImAn"))
    recording = from_traces(
        np.ascontiguousarray(values[units].T),
        sampling_rate=rate,
        name=name,
        units=unit,
        indicator=indicator_of(source.name, source.parent.name),
        unit=units,
    )
    recording[name].attrs["long_name"] = meaning
    coords = {
        k: ("unit", v[units]) for k, v in quality.items() if v is not None and len(v) == count
    }
    if accepted is not None and not only_cells:
        coords["is_accepted"] = ("unit", np.isin(units, accepted.astype(np.int64)))
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


def _traces(group: Any, name: str) -> NDArray[Any]:
    values = np.asarray(group[name][()])
    return values if values.dtype.kind == "f" else values.astype(float)


def _vector(group: Any, name: str) -> NDArray[Any] | None:
    import h5py

    # CaImAn writes None as the text "NoneType".
    item = group.get(name)
    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf" or item.ndim == 0:
        return None
    return np.asarray(item[()]).ravel()


def _number(item: Any) -> float | None:
    import h5py

    if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf" or item.size != 1:
        return None
    value = float(np.asarray(item[()]).ravel()[0])
    return value if np.isfinite(value) and value > 0 else None
