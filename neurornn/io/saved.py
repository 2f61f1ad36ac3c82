"""The one format that results are saved in: JSON, netCDF and safetensors, never pickle.

On disk a saved object is a folder with ``settings.json``, ``tables/<name>.nc`` and, where it has
weights, ``weights.safetensors``; or, without weights, one netCDF file with a group per table.
"""

import hashlib
import importlib
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
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

#: Rooms whose public names may be loaded. Nothing else is ever imported because of a file.
ROOMS = (
    "calcium", "spikes", "sequences", "decode", "dynamics", "koopman", "training", "compare",
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SavedContent:
    """What a saved file holds, before its class makes an object of it.

    Attributes
    ----------
    kind : name of the class.
    settings : plain numbers, text, lists and dicts.
    tables : name -> Dataset.
    weights : name -> array.
    format : number of the format it was written in.
    versions : package -> version at the time of writing.
    classes : name -> class, that the caller of `load` admits beside those of the package.
    """

    kind: str
    settings: dict[str, Any]
    tables: dict[str, xr.Dataset] = field(default_factory=dict)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)
    format: int = FORMAT
    versions: dict[str, str] = field(default_factory=dict)
    classes: Mapping[str, type] = field(default_factory=dict)


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
        NameUnknownError
            Another class of the same name is one of this package's, which `load` would make of it.

        Notes
        -----
        A class of your own is loaded by ``nr.load(path, classes=[Mine])``.
        """
        kind = type(self).__name__
        check_kind(type(self))
        check_save_target(path, kind)
        write_saved(path, kind=kind, **self._to_saved())

    def _to_saved(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        raise NotImplementedError


def load(path: str | os.PathLike[str], *, classes: Sequence[type] = ()) -> Any:
    """Load what ``save`` has written.

    Parameters
    ----------
    path : folder, or ``.nc`` file.
    classes : of your own, which the file may name: models that were fitted, estimators and
        results. Nothing but these and the package's own is ever made.

    Returns
    -------
    The object: an estimator or a result.

    Raises
    ------
    FileMissingError, FileFormatError
        Nothing there, a damaged file, or one written by a newer version.
    NameUnknownError
        A kind that is neither the package's nor among `classes`.
    """
    admitted = _admitted(classes)
    content = replace(read_saved(path), classes=admitted)
    source = Path(path)
    cls = admitted.get(content.kind) or _class_of(content.kind, source.name)
    if not issubclass(cls, Saved):
        raise KindError(
            f"{cls.__name__} was admitted for {source.name}, a {content.kind}",
            "A class that saves itself was needed",
            "Derive it from Estimator or Result of neurornn.io",
        )
    with explained(source, f"a saved {content.kind}"):
        return cls._from_saved(content)


def _admitted(classes: Sequence[type]) -> dict[str, type]:
    """Classes by name, or an error for what is none."""
    if isinstance(classes, type):
        classes = [classes]
    for cls in classes:
        if not isinstance(cls, type):
            raise KindError(
                f"classes holds {cls!r}",
                "Classes were needed",
                "Pass classes=[Mine], not its name",
            )
    return {cls.__name__: cls for cls in classes}


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


def check_kind(cls: type) -> None:
    """Refuse to save an object of a class for which `load` would make another one."""
    own = saved_classes().get(cls.__name__)
    if own is not None and own() is not cls:
        raise NameUnknownError(
            f"This {cls.__name__} is of {cls.__module__}, and neurornn has a class of that name",
            "A name of its own was needed: load() would take it for the package's",
            "Give your class another name",
        )


def saved_classes() -> dict[str, Callable[[], type]]:
    """Return what may be loaded: kind -> a function that returns its class.

    These are the public names of the rooms; a room and its class are imported when asked for.
    """
    found: dict[str, Callable[[], type]] = {}
    for room in ROOMS:
        module = importlib.import_module(f"neurornn.{room}")
        for name in dir(module):
            # A constant in capitals is no class, and so refused as one that is not saved.
            if name[:1].isupper():
                found[name] = partial(_public, module, name)
    return found


def _public(module: ModuleType, name: str) -> type:
    try:
        found: type = getattr(module, name)
    except ImportError as error:
        raise FileFormatError(
            f"This installation cannot make a {name}: {error}",
            f"{module.__name__}.{name} was needed",
            "Install the whole package, of the version that wrote the file or a later one",
        ) from error
    return found


def _class_of(kind: str, what: str) -> type:
    known = saved_classes()
    cls = known[kind]() if kind in known else None
    if not (isinstance(cls, type) and issubclass(cls, Saved)):
        raise NameUnknownError(
            f"{what} is of kind {kind!r}, which is not one of this package's",
            f"One of {', '.join(_kinds())} was needed, or a class of your own",
            "Where it is a class of yours, pass it: nr.load(path, classes=[...]). "
            + nearest(kind, _kinds()),
        )
    return cls


def _kinds() -> list[str]:
    classes = {name: make() for name, make in saved_classes().items()}
    return sorted(n for n, c in classes.items() if isinstance(c, type) and issubclass(c, Saved))
