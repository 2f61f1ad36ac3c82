"""The one format that results are saved in: JSON, netCDF and safetensors, never pickle.

On disk a saved object is a folder with ``settings.json``, ``tables/<name>.nc`` and, where it has
weights, ``weights.safetensors``; or, without weights, one netCDF file with a group per table.
"""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError, KindError, NameUnknownError, nearest
from neurornn._core.files import atomic_path
from neurornn.io.headers import FORMAT, make_header, not_saved, parse_header
from neurornn.io.netcdf import prepare, restore, write_groups
from neurornn.io.sources import check_source, explained

#: What may be loaded: kind -> "module:Class". Nothing else is ever imported because of a file.
ALLOWED = {
    "Kinetics": "neurornn.calcium.kinetics:Kinetics",
    "FitResult": "neurornn.training.result:FitResult",
    "League": "neurornn.compare.table:League",
    "GradientFlow": "neurornn.training.gradients:GradientFlow",
    "WienerFilter": "neurornn.decode.wiener:WienerFilter",
    "RidgeDecoder": "neurornn.decode.wiener:RidgeDecoder",
    "WienerCascade": "neurornn.decode.cascade:WienerCascade",
    "KalmanFilter": "neurornn.decode.kalman:KalmanFilter",
    "PlaceDecoder": "neurornn.decode.place:PlaceDecoder",
    "TargetDecoder": "neurornn.decode.place:TargetDecoder",
    "RecurrentDecoder": "neurornn.decode.recurrent:RecurrentDecoder",
    "RecurrentClassifier": "neurornn.decode.recurrent:RecurrentClassifier",
    "Stream": "neurornn.decode.stream:Stream",
}

_HEADER = "neurornn_saved"


@dataclass(frozen=True, kw_only=True)
class SavedContent:
    """What a saved file holds, before its class makes an object of it.

    Attributes
    ----------
    kind : name in the allow-list.
    settings : plain numbers, text, lists and dicts.
    tables : name -> Dataset.
    weights : name -> array.
    format : number of the format it was written in.
    versions : package -> version at the time of writing.
    """

    kind: str
    settings: dict[str, Any]
    tables: dict[str, xr.Dataset] = field(default_factory=dict)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)
    format: int = FORMAT
    versions: dict[str, str] = field(default_factory=dict)


class Saved:
    """Gives a class ``save``; the class gives ``_to_saved`` and ``_from_saved``.

    ``_to_saved()`` returns a dict with ``settings``, ``tables`` and ``weights``;
    ``_from_saved(content)`` is a class method that makes the object again.
    """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save to a folder, or to one ``.nc`` file where there are no weights.

        Parameters
        ----------
        path : written whole or not at all; an older one there is replaced.
        """
        kind = type(self).__name__
        _class_of(kind, "this object")
        write_saved(path, kind=kind, **self._to_saved())

    def _to_saved(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        raise NotImplementedError


def load(path: str | os.PathLike[str]) -> Any:
    """Load what ``save`` has written.

    Parameters
    ----------
    path : folder, or ``.nc`` file.

    Returns
    -------
    The object: an estimator or a result.

    Raises
    ------
    FileMissingError, FileFormatError
        Nothing there, a damaged file, or one written by a newer version.
    NameUnknownError
        A kind that is not in the allow-list.
    """
    content = read_saved(path)
    source = Path(path)
    module, _, name = _class_of(content.kind, source.name).partition(":")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FileFormatError(
            f"{source.name} holds a {content.kind}, which this installation cannot make: {error}",
            f"The class {module}.{name} was needed",
            "Install the whole package, of the version that wrote the file or a later one",
        ) from error
    with explained(source, f"a saved {content.kind}"):
        return cls._from_saved(content)


def write_saved(
    path: str | os.PathLike[str],
    *,
    kind: str,
    settings: Mapping[str, Any],
    tables: Mapping[str, xr.Dataset] | None = None,
    weights: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write settings, tables and weights as one saved object, whole or not at all.

    Parameters
    ----------
    path : a folder, or a file where it ends in ``.nc``.
    kind : name of the class.
    settings : numbers, text, None, and lists and dicts of them; NumPy scalars and arrays become
        numbers and lists, tuples become lists.
    tables : name -> Dataset.
    weights : name -> array.

    Raises
    ------
    KindError, NameUnknownError
        Something that cannot be written without pickle; weights in an ``.nc`` file; a name that
        is no file name.
    FileWriteError
        Disk full or no permission; nothing half-written is left.
    """
    target = Path(path)
    header = make_header(kind, settings, list(tables or {}))
    ready = {name: prepare(table) for name, table in (tables or {}).items()}
    if target.suffix == ".nc":
        if weights:
            raise KindError(
                f"{len(weights)} weights were to go into the single file {target.name}",
                "A folder was needed: weights are kept in a file of their own",
                f"Save to {target.with_suffix('')}",
            )
        with atomic_path(target) as temporary:
            write_groups(temporary, {"/": xr.Dataset(attrs={_HEADER: header}), **ready})
        return
    arrays = {k: np.ascontiguousarray(v) for k, v in (weights or {}).items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise KindError(
                f"The weight {name} has dtype {array.dtype}",
                "Real numbers were needed",
                "Convert it",
            )
    with atomic_path(target, folder=True) as temporary:
        (temporary / "settings.json").write_text(header, encoding="utf-8")
        if ready:
            (temporary / "tables").mkdir()
        for name, table in ready.items():
            write_groups(temporary / "tables" / f"{name}.nc", {"/": table})
        if arrays:
            from safetensors.numpy import save

            (temporary / "weights.safetensors").write_bytes(save(arrays))


def read_saved(path: str | os.PathLike[str]) -> SavedContent:
    """Read a saved object without making its class.

    Parameters
    ----------
    path : folder, or ``.nc`` file.

    Raises
    ------
    FileMissingError, FileFormatError
        Nothing there, a damaged file, another kind of file, or one of a newer format.
    """
    source = check_source(path, folder=True)
    with explained(source, "a saved result"):
        return _read_folder(source) if source.is_dir() else _read_file(source)


def _read_folder(source: Path) -> SavedContent:
    settings = source / "settings.json"
    if not settings.is_file():
        raise not_saved(source)
    header = parse_header(settings.read_text(encoding="utf-8"), source)
    tables = {}
    for name in header["tables"]:
        with xr.open_dataset(
            check_source(source / "tables" / f"{name}.nc"),
            engine="h5netcdf",
            decode_timedelta=False,
        ) as table:
            tables[name] = restore(table.load())
    weights: dict[str, NDArray[Any]] = {}
    if (source / "weights.safetensors").is_file():
        from safetensors.numpy import load_file

        weights = load_file(source / "weights.safetensors")
    return _content(header, tables, weights)


def _read_file(source: Path) -> SavedContent:
    import h5py

    if not h5py.is_hdf5(source):
        raise not_saved(source)
    with xr.open_dataset(source, engine="h5netcdf") as root:
        text = root.attrs.get(_HEADER)
    if text is None:
        raise not_saved(source)
    header = parse_header(str(text), source)
    tables = {}
    for name in header["tables"]:
        with xr.open_dataset(
            source, engine="h5netcdf", group=name, decode_timedelta=False
        ) as table:
            tables[name] = restore(table.load())
    return _content(header, tables, {})


def _content(
    header: dict[str, Any], tables: dict[str, xr.Dataset], weights: dict[str, NDArray[Any]]
) -> SavedContent:
    return SavedContent(
        kind=str(header["kind"]),
        settings=header["settings"],
        tables=tables,
        weights=weights,
        format=int(header["format"]),
        versions=header.get("versions", {}),
    )


def _class_of(kind: str, what: str) -> str:
    if kind not in ALLOWED:
        raise NameUnknownError(
            f"{what} is of kind {kind!r}, which is not one that can be saved and loaded",
            f"One of {', '.join(sorted(ALLOWED))} was needed",
            nearest(kind, ALLOWED),
        )
    return ALLOWED[kind]
