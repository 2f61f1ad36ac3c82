"""Suite2p folders: raw traces less neuropil, cell probabilities, and the settings of the run.

``ops.npy``, ``settings.npy`` and ``db.npy`` are pickles. They are read by the one restricted
unpickler of the package, which knows a short list of names and puts an inert stand-in for each of
them: no class or function that a file names is ever imported or called, NumPy's included.
"""

import io
import os
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr

from neurornn._core.errors import FileFormatError
from neurornn.io.arrays import indicator_of
from neurornn.io.clocks import one_rate
from neurornn.io.folder_limits import check_folder
from neurornn.io.sources import check_source, explained, stamped
from neurornn.io.suite2p_folders import is_plane_file, load_plane, plane_folders
from neurornn.io.suite2p_runs import recording_of


def read_suite2p(
    path: str | os.PathLike[str],
    *,
    sampling_rate: float | None = None,
    neuropil: float | None = None,
    only_cells: bool = True,
    plane: int | str | None = None,
    override_rate: bool = False,
) -> xr.Dataset:
    """Read the traces of a Suite2p folder, less a share of the neuropil.

    Parameters
    ----------
    path : folder ``suite2p/plane0``, or ``suite2p``, or the one that holds ``suite2p``; or a file
        in the folder of a plane.
    sampling_rate : Hz
        By default ``fs`` of the settings, frames per s of one plane.
    neuropil : 1
        Share of the neuropil trace that is subtracted, 0 for none. By default what the run has
        taken for its own deconvolution: ``neuropil_coefficient`` of ``settings.npy`` (Suite2p
        1.x), or ``neucoeff`` of ``ops.npy``; where neither is stated 0.7, as Suite2p does.
    only_cells : whether to leave out what ``iscell.npy`` marks as no cell.
    plane : number, or ``"combined"``; by default all planes of the folder.
    override_rate : whether `sampling_rate` replaces another rate in the folder; by default two
        rates are an error.

    Returns
    -------
    Dataset
        ``fluorescence (time, unit)``, ``neuropil (time, unit)`` and
        ``is_cell_probability (unit)``; units are labelled with the row of the ROI in ``F.npy``.
        Of several planes the label is ``"plane.row"`` and ``plane`` and ``roi`` are coordinates.
        ``tau`` of Suite2p, which is what its user set and not an estimate, stands in the
        attribute ``suite2p_tau`` (s).

    Raises
    ------
    FileFormatError
        No Suite2p folder, a damaged file, or an ``ops.npy`` that names anything beyond numbers,
        text, arrays, containers, dates and paths.
    NameUnknownError, ShapeError, DataError, UnitError
        No such plane; arrays of different ROIs; no cell; two neuropil coefficients; no frame
        rate, or two that differ by more than 2 %.

    Notes
    -----
    ``fluorescence = F - neuropil * Fneu``. Suite2p writes 10 Hz into ``fs`` unless it is told
    otherwise, so compare it with the acquisition; where it is wrong, pass `sampling_rate` and
    ``override_rate=True``.

    All planes stand on the clock of the volume: when within it each one was scanned is not in the
    files. A plane that has fewer frames than another ends in NaN, in ``combined`` too, where
    Suite2p writes zeros. A second channel (``F_chan2``, ``redcell``) is named in ``not_read``.
    """
    source = check_source(path, folder=True)
    passed = None if sampling_rate is None else one_rate(sampling_rate, "sampling_rate=")
    share = None if neuropil is None else float(neuropil)
    if not source.is_dir():
        if not is_plane_file(source):
            raise FileFormatError(
                f"{source.name} is a file",
                "A Suite2p folder, the one that holds F.npy, was needed",
                f'Pass its folder: "{source.parent}"',
            )
        source = source.parent
    folders = plane_folders(source, plane)
    planes = []
    for folder in folders:
        root = source if folder.is_relative_to(source) else folder
        with explained(folder, "Suite2p"):
            check_folder(folder, source.name, root=root, deep=False)
        planes.append(load_plane(folder, read_settings, neuropil=share, only_cells=only_cells))
    one = folders[0].name if len(folders) == 1 else source.name
    recording = recording_of(
        planes,
        source=one,
        sampling_rate=passed,
        neuropil=share,
        override_rate=override_rate,
        indicator=indicator_of(source.name, source.parent.name),
    )
    return stamped(recording, source, "Suite2p")


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
    return _plain(content)


def _plain(content: dict[Any, Any]) -> dict[str, Any]:
    """Put numbers in the place of their stand-ins, in dicts within dicts too."""
    top: dict[str, Any] = {}
    waiting = [(content, top)]
    # Not by recursion, and each dict once: one of a damaged file may lie in itself.
    seen = {id(content)}
    while waiting:
        given, made = waiting.pop()
        for key, value in given.items():
            if not isinstance(key, str):
                continue
            if isinstance(value, _Scalar):
                value = value.value
            elif isinstance(value, dict):
                if id(value) in seen:
                    continue
                seen.add(id(value))
                waiting.append((value, {}))
                value = waiting[-1][1]
            made[key] = value
    return top


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
    **{("datetime", name): _Inert for name in ("datetime", "date", "timedelta", "timezone")},
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
