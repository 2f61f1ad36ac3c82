"""Suite2p folders: raw traces less neuropil, cell probabilities, and the frame rate of ops.npy.

``ops.npy`` is a pickle. It is read by the one restricted unpickler of the package, which knows a
short list of names and puts an inert stand-in for each of them: no class or function that a file
names is ever imported or called, NumPy's included.
"""

import io
import math
import os
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import (
    DataError,
    FileFormatError,
    NameUnknownError,
    ShapeError,
    nearest,
)
from neurornn.data.recording import from_traces
from neurornn.io.arrays import indicator_of, no_rate
from neurornn.io.clocks import OVERRIDE, agreed_rate, one_rate
from neurornn.io.limits import check_folder, check_npy
from neurornn.io.sources import check_source, explained, stamped

_PLANE = re.compile(r"plane\d+|combined")
_SETTINGS = ("db.npy", "settings.npy", "ops.npy")


def read_suite2p(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    neuropil: float = 0.7,
    only_cells: bool = True,
    plane: int | str | None = None,
    override_rate: bool = False,
) -> xr.Dataset:
    """Read the traces of a Suite2p folder, less a share of the neuropil.

    Parameters
    ----------
    path : folder ``suite2p/plane0``, or ``suite2p``, or the one that holds ``suite2p``.
    sampling_rate : Hz
        By default ``fs`` of ``ops.npy``, frames per s of one plane.
    neuropil : 1
        Share of the neuropil trace that is subtracted; 0 for none.
    only_cells : whether to leave out what ``iscell.npy`` marks as no cell.
    plane : number, or ``"combined"``; needed where there are several.
    override_rate : whether `sampling_rate` replaces another rate in the folder; by default two
        rates are an error.

    Returns
    -------
    Dataset
        ``fluorescence (time, unit)``, ``neuropil (time, unit)`` and
        ``is_cell_probability (unit)``; units are labelled with the row of the ROI in ``F.npy``.
        ``tau`` of Suite2p, which is what its user set and not an estimate, stands in the
        attribute ``suite2p_tau`` (s).

    Raises
    ------
    FileFormatError
        No Suite2p folder, a damaged file, or an ``ops.npy`` that names anything beyond numbers,
        text, arrays, containers, dates and paths.
    NameUnknownError, ShapeError, DataError, UnitError
        Several planes and no choice; arrays of different ROIs; no cell; no frame rate, or two
        that differ by more than 2 %.

    Notes
    -----
    ``fluorescence = F - neuropil * Fneu``. Suite2p writes 10 Hz into ``fs`` unless it is told
    otherwise, so compare it with the acquisition; where it is wrong, pass `sampling_rate` and
    ``override_rate=True``.
    """
    source = check_source(path, folder=True)
    passed = None if sampling_rate is None else one_rate(sampling_rate, "sampling_rate=")
    folder = _plane_folder(source, plane)
    root = source if folder.is_relative_to(source) else folder
    with explained(folder, "Suite2p"):
        check_folder(folder, source.name, root=root, deep=False)
    traces = _array(folder, "F.npy")
    _check_rois(traces, traces, "F.npy", 2)
    share = float(neuropil)
    if not 0 <= share <= 2:
        raise DataError(
            f"neuropil is {neuropil}",
            "The share of the neuropil trace to subtract, from 0 to 2, was needed",
            "Pass neuropil=0.7, or 0 for none",
        )
    around = _array(folder, "Fneu.npy", "Pass neuropil=0 to read F alone") if share else None
    if around is None and (folder / "Fneu.npy").is_file():
        around = _array(folder, "Fneu.npy")
    if around is not None:
        _check_rois(around, traces, "Fneu.npy", 2)
        if around.shape != traces.shape:
            raise _mismatch("Fneu.npy", around, traces)
    settings, rates = _settings(folder)
    if folder.name != "combined" and (folder / "ops.npy").is_file():
        _check_frames(settings, traces)
    chosen, probability = _cells(folder, traces, only_cells)
    rate = agreed_rate(
        {"sampling_rate=": passed, **({} if override_rate and passed is not None else rates)},
        source=folder.name,
        remedy=OVERRIDE,
    )
    if rate is None:
        raise no_rate(folder.name, f"{len(traces)} ROIs ({traces.shape[1]} frames)")
    values = traces[chosen].T
    if share and around is not None:
        values = values - values.dtype.type(share) * around[chosen].T
    indicator = indicator_of(source.name, source.parent.name)
    recording = from_traces(
        values,
        sampling_rate=rate,
        name="fluorescence",
        units="a.u.",
        indicator=indicator,
        unit=chosen,
    )
    recording["fluorescence"].attrs["neuropil_coefficient"] = share
    if around is not None:
        recording["neuropil"] = (
            ("time", "unit"),
            around[chosen].T,
            {"units": "a.u.", "sampling_rate": rate, "long_name": "neuropil, not subtracted"},
        )
    if probability is not None:
        recording["is_cell_probability"] = (
            "unit",
            probability[chosen],
            {"units": "1", "long_name": "probability that the ROI is a cell, of Suite2p"},
        )
    about: dict[str, Any] = {"plane": folder.name}
    about |= {
        name: float(settings[key])
        for name, key in (("suite2p_tau", "tau"), ("n_planes", "nplanes"))
        if _is_number(settings.get(key))
    }
    about["not_read"] = ", ".join(
        name for name in ("spks.npy", "stat.npy", "redcell.npy") if (folder / name).is_file()
    )
    return stamped(
        recording.assign_attrs({k: v for k, v in about.items() if v}), source, "Suite2p"
    )


def _plane_folder(source: Path, plane: int | str | None) -> Path:
    if not source.is_dir():
        raise FileFormatError(
            f"{source.name} is a file",
            "A Suite2p folder, the one that holds F.npy, was needed",
            f'Pass its folder: "{source.parent}"',
        )
    wanted = None if plane is None else plane if isinstance(plane, str) else f"plane{plane}"
    if (source / "F.npy").is_file() and wanted in (None, source.name):
        return source
    top = source / "suite2p" if (source / "suite2p").is_dir() else source
    if (source / "F.npy").is_file():
        top = source.parent
    planes = sorted(
        (p for p in top.iterdir() if _PLANE.fullmatch(p.name) and (p / "F.npy").is_file()),
        key=lambda p: (len(p.name), p.name),
    )
    names = [p.name for p in planes]
    if not names:
        raise FileFormatError(
            f"{source.name} is a Suite2p folder without F.npy",
            "A folder with F.npy in it, or in its plane0, was needed",
            "Did Suite2p run to its end? F.npy is written after the ROIs are found",
        )
    if wanted is None and len(planes) == 1:
        return planes[0]
    if wanted not in names:
        came = f"no plane= came for {source.name}" if plane is None else f"plane is {plane!r}"
        raise NameUnknownError(
            f"{came}, which holds {', '.join(names)}"
            if plane is None
            else f"{came}; {source.name} holds {', '.join(names)}",
            "One plane was needed: a recording has one `unit` axis",
            f"Pass plane={names[0].removeprefix('plane')}"
            if plane is None
            else nearest(str(wanted), names),
        )
    return top / str(wanted)


def _array(folder: Path, name: str, remedy: str = "") -> NDArray[Any]:
    file = folder / name
    if not file.is_file():
        raise FileFormatError(
            f"{folder.name} has no {name}",
            f"A Suite2p folder with {name} was needed",
            remedy or "Copy the whole folder again",
        )
    check_source(file)
    with explained(file, "npy"):
        with file.open("rb") as head:
            check_npy(head, file.stat().st_size, name, folder.name)
        array = np.asarray(np.load(file, allow_pickle=False))
        if array.dtype.kind not in "biuf":
            raise ValueError(f"it holds {array.dtype} in place of numbers")
    return array if array.dtype.kind == "f" else array.astype(float)


def _check_rois(array: NDArray[Any], traces: NDArray[Any], name: str, ndim: int) -> None:
    if array.ndim != ndim or not array.size or len(array) != len(traces):
        raise _mismatch(name, array, traces)


def _check_frames(settings: dict[str, Any], traces: NDArray[Any]) -> None:
    """Compare the frames of F.npy with those that Suite2p says it has registered."""
    n = settings.get("nframes")
    if n is None or not _is_number(n) or n == traces.shape[1] or n < 1:
        return
    turned = n == traces.shape[0]
    raise ShapeError(
        f"F.npy has shape {traces.shape} and nframes in the settings is {n:g}",
        "An array (ROI, frame) with a column for every frame was needed",
        "F.npy was stored transposed: save F.T, and Fneu.T, in their place"
        if turned
        else "Was F.npy cut, or is it of another run? Copy the folder again, or run the "
        "extraction again",
    )


def _mismatch(name: str, array: NDArray[Any], traces: NDArray[Any]) -> ShapeError:
    return ShapeError(
        f"{name} has shape {array.shape} and F.npy {traces.shape}",
        "Arrays of the same ROIs, each (ROI, frame), were needed",
        "Are the files of one run? Copy the folder again",
    )


def _cells(
    folder: Path, traces: NDArray[Any], only_cells: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    everything = np.arange(len(traces), dtype=np.int64)
    if not only_cells and not (folder / "iscell.npy").is_file():
        return everything, None
    table = _array(folder, "iscell.npy", "Pass only_cells=False to read every ROI")
    _check_rois(table, traces, "iscell.npy", table.ndim if table.ndim in (1, 2) else 2)
    table = table.reshape(len(table), -1)
    flags = table[:, 0]
    if not np.isin(flags, (0, 1)).all():
        k = int(np.argmax(~np.isin(flags, (0, 1))))
        raise DataError(
            f"iscell.npy marks ROI {k} with {flags[k]:g}",
            "1 for a cell and 0 for none were needed",
            "Curate the ROIs again, or rename iscell.npy and pass only_cells=False",
        )
    probability = table[:, 1].astype(float) if table.shape[1] > 1 else None
    chosen = everything[flags > 0] if only_cells else everything
    if not len(chosen):
        raise DataError(
            f"iscell.npy marks none of {len(table)} ROIs as a cell",
            "At least one cell was needed",
            "Pass only_cells=False to read every ROI, or curate them in Suite2p",
        )
    return chosen, probability


def _settings(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings, and what each file states about the frame rate."""
    settings: dict[str, Any] = {}
    rates: dict[str, Any] = {}
    for name in _SETTINGS:
        file = folder / name
        if file.is_file():
            check_source(file)
            with explained(file, "settings of Suite2p"):
                own = read_settings(file)
            settings |= own
            rates[f"fs in {name}"] = own.get("fs")
    return settings, rates


def _is_number(value: Any) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value)


# ------------------------------------------------------------------ the restricted unpickler


def read_settings(path: Path) -> dict[str, Any]:
    """Read the numbers, texts and lists of a dict that ``np.save`` has pickled.

    Parameters
    ----------
    path : npy file with one Python dict.

    Returns
    -------
    The dict; arrays, dates and paths in it are stand-ins without content.

    Raises
    ------
    FileFormatError
        The file names anything that is not on the list of inert names.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"its npy format is {version}")
        shape, _, dtype = read(file)
        if dtype.kind != "O" or shape != ():
            raise ValueError(f"it holds an array {shape} of {dtype} in place of one dict")
        body = file.read()
    for code, argument, _ in pickletools.genops(body):
        # The reader makes room for as many objects as the highest number it is told.
        if code.name.endswith("PUT") and isinstance(argument, int) and argument > len(body):
            raise ValueError(f"it numbers an object {argument} in {len(body)} bytes")
    try:
        found = _Restricted(io.BytesIO(body), path.name).load()
    except MemoryError as error:
        # A damaged length, not a machine that is too small: settings take a few megabytes.
        raise ValueError("a length in it is beyond all memory") from error
    content = found.content() if isinstance(found, _Array) else found
    if not isinstance(content, dict):
        raise ValueError("it holds no dict")
    return {
        str(k): v.value if isinstance(v, _Scalar) else v
        for k, v in content.items()
        if isinstance(k, str)
    }


class _Inert:
    """Stands for an object that a file names; takes what it is given and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


class _Dtype:
    """Stands for ``numpy.dtype``: keeps the name and the order of its bytes."""

    def __init__(self, name: Any = "", *args: Any) -> None:
        self.name = name if isinstance(name, str) else ""
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            self.order = ">"


class _Scalar:
    """Stands for ``numpy.core.multiarray.scalar``: a plain number, or None."""

    def __init__(self, dtype: Any = None, raw: Any = b"", *args: Any) -> None:
        self.value: Any = None
        name = dtype.name if isinstance(dtype, _Dtype) else ""
        if re.fullmatch(r"[fiu][248]|[iu]1|b1", name) and isinstance(raw, bytes):
            plain = np.dtype(dtype.order + name)
            if len(raw) == plain.itemsize:
                self.value = np.frombuffer(raw, plain)[0].item()

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """Stands for an array; an object array without axes hands over what is in it."""

    def __init__(self, *args: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def content(self) -> Any:
        last = self.state[-1] if isinstance(self.state, tuple) and self.state else None
        return last[0] if isinstance(last, list) and len(last) == 1 else None


def _encode(text: Any, *args: Any) -> bytes:
    """Stand for ``_codecs.encode``, by which old pickles write bytes."""
    return text.encode("latin-1") if isinstance(text, str) else b""


_NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric")
_NUMPY_NAMES = {
    "_reconstruct": _Array,
    "_frombuffer": _Array,
    "scalar": _Scalar,
    "dtype": _Dtype,
    "ndarray": _Inert,
    **dict.fromkeys(
        ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16")
        + ("uint32", "uint64", "bool_", "bool", "str_"),
        _Inert,
    ),
}

#: Everything that a file may name, and what stands for it.
_KNOWN: dict[tuple[str, str], Any] = {
    **{
        (module, name): stand_in
        for module in (*_NUMPY, "numpy._core.numeric", "numpy.dtypes")
        for name, stand_in in _NUMPY_NAMES.items()
    },
    **{
        (module, name): _Inert
        for module in ("builtins", "__builtin__")
        for name in ("set", "frozenset", "bytearray", "complex", "slice", "range", "object")
    },
    **{("datetime", name): _Inert for name in ("datetime", "date", "timedelta")},
    **{
        (module, name): _Inert
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")
    },
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
}


class _Restricted(pickle.Unpickler):
    """Reads numbers, text and containers; names outside `_KNOWN` are refused."""

    def __init__(self, file: BinaryIO, source: str) -> None:
        super().__init__(file, encoding="latin-1")
        self._source = source

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is None:
            raise FileFormatError(
                f"{self._source} names {module}.{name}, which settings have no need of",
                "Numbers, text, lists, dicts, arrays, dates and paths were needed: anything else "
                "in a pickle can run code, and none was run",
                "Do not open this file with other programs before you know where it comes from. "
                "If it is yours, delete or rename it and pass sampling_rate=",
            )
        return known

    def persistent_load(self, pid: Any) -> Any:
        raise FileFormatError(
            f"{self._source} refers to an object outside the file",
            "Settings that are whole were needed",
            "Delete or rename the file and pass sampling_rate=",
        )
