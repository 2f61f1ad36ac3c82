"""The one format that results are saved in: JSON, netCDF and safetensors, never pickle.

On disk a saved object is a folder with ``settings.json``, ``tables/<name>.nc`` and, where it has
weights, ``weights.safetensors``; or, without weights, one netCDF file with a group per table.
"""

import hashlib
import importlib
import io
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import (
    FileFormatError,
    FileMissingError,
    KindError,
    NameUnknownError,
    nearest,
)
from neurornn._core.files import atomic_path, standing
from neurornn.io.headers import FORMAT, damaged, make_header, not_saved, parse_header
from neurornn.io.netcdf import prepare, restore, write_groups
from neurornn.io.replaceable import (
    HEADER,
    SETTINGS,
    TABLES,
    TRIES,
    WEIGHTS,
    check_save_target,
    header_text,
    identity,
    is_single,
    replaces,
    sha256,
)
from neurornn.io.seals import check_seal, seal
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

T = TypeVar("T")


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
        path : written whole or not at all. An older result of the same kind, as it was saved, is
            replaced; anything else that stands there is refused and stays.

        Raises
        ------
        FileWriteError
            Something else stands there, or the place cannot be written.
        """
        kind = type(self).__name__
        _class_of(kind, "this object")
        check_save_target(path, kind)
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
    target = check_save_target(path)
    ready = {name: prepare(table) for name, table in (tables or {}).items()}
    if is_single(path):
        if weights:
            raise KindError(
                f"{len(weights)} weights were to go into the single file {target.name}",
                "A folder was needed: weights are kept in a file of their own",
                f"Save to {target.with_suffix('')}",
            )
        root = xr.Dataset(attrs={HEADER: make_header(kind, settings, list(ready))})
        with atomic_path(path, ours=replaces()) as temporary:
            write_groups(temporary, {"/": root, **ready})
            seal(temporary, list(ready))
        return
    arrays = {k: np.ascontiguousarray(v) for k, v in (weights or {}).items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise KindError(
                f"The weight {name} has dtype {array.dtype}",
                "Real numbers were needed",
                "Convert it",
            )
    # Before the folder is made: settings that cannot be written are refused here.
    make_header(kind, settings, list(ready))
    with atomic_path(path, folder=True, ours=replaces()) as temporary:
        files = []
        if ready:
            (temporary / TABLES).mkdir()
        for name, table in ready.items():
            files.append(f"{TABLES}/{name}.nc")
            write_groups(temporary / files[-1], {"/": table})
        if arrays:
            from safetensors.numpy import save

            files.append(WEIGHTS)
            (temporary / WEIGHTS).write_bytes(save(arrays))
        checksums = {name: sha256(temporary / name) for name in files}
        header = make_header(kind, settings, list(ready), checksums)
        (temporary / SETTINGS).write_text(header, encoding="utf-8")


def read_saved(path: str | os.PathLike[str]) -> SavedContent:
    """Read a saved object without making its class.

    Parameters
    ----------
    path : folder, or ``.nc`` file
        Where a writer was killed while it replaced an older one, that one is read.

    Raises
    ------
    FileMissingError, FileFormatError
        Nothing there, a damaged file, another kind of file, or one of a newer format.
    """
    if not isinstance(path, str | os.PathLike) or "\0" in str(os.fspath(path)):
        raise KindError(
            f"{path!r} came, a {type(path).__name__}",
            "The path of a folder or .nc file written by save() was needed",
            "Put it in quotes",
        )

    def read() -> SavedContent:
        source = check_source(standing(path) or path, folder=True)
        with explained(source, "a saved result"):
            return _read_folder(source) if source.is_dir() else _read_file(source)

    return _steadily(path, read)


def _steadily(path: str | os.PathLike[str], read: Callable[[], T]) -> T:
    """Read again what another process replaced in the meantime."""
    for _ in range(TRIES):
        before = identity(path)
        try:
            found = read()
        except (FileFormatError, FileMissingError):
            if identity(path) == before:
                raise
        else:
            if identity(path) == before:
                return found
        time.sleep(0.01)
    return read()


def _read_folder(source: Path) -> SavedContent:
    settings = source / SETTINGS
    if not settings.is_file():
        raise not_saved(source)
    header = parse_header(settings.read_text(encoding="utf-8"), source)
    checksums = header.get("checksums")
    tables = {}
    for name in header["tables"]:
        image = _whole(source, f"{TABLES}/{name}.nc", f"the table {name}", checksums)
        with xr.open_dataset(
            io.BytesIO(image), engine="h5netcdf", decode_timedelta=False
        ) as table:
            tables[name] = restore(table.load())
    weights: dict[str, NDArray[Any]] = {}
    # A file of weights that the header does not know was not written by save().
    if WEIGHTS in checksums if checksums is not None else (source / WEIGHTS).is_file():
        from safetensors.numpy import load as load_tensors

        weights = load_tensors(_whole(source, WEIGHTS, "the file of weights", checksums))
    return _content(header, tables, weights)


def _whole(source: Path, name: str, what: str, checksums: Mapping[str, str] | None) -> bytes:
    """Return the bytes of a file of a saved folder, as they were written."""
    read = check_source(source / name).read_bytes()
    if checksums is not None and hashlib.sha256(read).hexdigest() != checksums.get(name):
        raise damaged(source, what)
    return read


def _read_file(source: Path) -> SavedContent:
    # Before the HDF5 library sees it: a damaged file can keep that busy for ever.
    sealed = check_seal(source)
    text = header_text(source)
    if text is None:
        raise not_saved(source)
    header = parse_header(text, source)
    if not sealed and "checksum" in header:
        raise damaged(source, "its end")
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
