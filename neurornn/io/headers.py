"""The JSON header of a saved object: format number, kind, versions, settings."""

import importlib.metadata
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurornn._core.errors import FileFormatError, KindError, NameUnknownError

#: Grows when older versions cannot read what is written; earlier numbers stay readable.
FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PACKAGES = ("neurornn", "numpy", "xarray")


def make_header(kind: str, settings: Mapping[str, Any], tables: Sequence[str]) -> str:
    """Write the header as JSON text.

    Parameters
    ----------
    kind : name of the class.
    settings : see `write_saved`.
    tables : names of the tables beside it.
    """
    for name in tables:
        if not _NAME.fullmatch(name):
            raise NameUnknownError(
                f"A table is called {name!r}",
                "A name of letters, digits, _ . - was needed",
                "Rename it",
            )
    content = {
        "format": FORMAT,
        "kind": kind,
        "versions": {package: _version(package) for package in _PACKAGES},
        "settings": plain(dict(settings), "settings"),
        "tables": list(tables),
    }
    return json.dumps(content, indent=1, allow_nan=False)


def parse_header(text: str, source: Path) -> dict[str, Any]:
    """Read a header back and check that this version can go on.

    Parameters
    ----------
    text : JSON.
    source : the file, for messages.

    Raises
    ------
    FileFormatError
        Damaged, of another kind of file, or of a newer format.
    """
    try:
        header = json.loads(text, object_hook=unplain)
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"The settings of {source.name} are damaged: {error}",
            "Valid JSON was needed",
            "Copy the file again, or save it again",
        ) from error
    if not isinstance(header, dict) or not {"format", "kind", "settings", "tables"} <= set(header):
        raise not_saved(source)
    if not all(isinstance(n, str) and _NAME.fullmatch(n) for n in header["tables"]):
        raise FileFormatError(
            f"{source.name} names tables {header['tables']}",
            "Table names of letters, digits, _ . - were needed",
            "The file is damaged or was changed by hand: save it again",
        )
    if int(header["format"]) > FORMAT:
        raise FileFormatError(
            f"{source.name} is of format {header['format']}, written by neurornn "
            f"{header.get('versions', {}).get('neurornn', 'of a later version')}",
            f"Format {FORMAT} or older was needed",
            "Update the package: pip install --upgrade neurornn",
        )
    return header


def not_saved(source: Path) -> FileFormatError:
    """Make the error for a file that save() did not write."""
    return FileFormatError(
        f"{source.name} is not a saved result",
        "A folder or .nc file written by save() was needed",
        f'For a recording use nr.open("{source.name}")',
    )


def plain(value: Any, where: str = "settings") -> Any:
    """Return what JSON can hold; numbers that are not finite are marked for `unplain`."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"__float__": repr(value)}
    if isinstance(value, list | tuple):
        return [plain(v, f"{where}[{k}]") for k, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {str(k): plain(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, Path):
        return str(value)
    raise KindError(
        f"{where} is a {type(value).__name__}",
        "Numbers, text, None, and lists and dicts of them were needed",
        "Store what describes it instead; objects are not pickled",
    )


def unplain(value: dict[str, Any]) -> Any:
    """Object hook of JSON that reads what `plain` has marked."""
    return float(value["__float__"]) if set(value) == {"__float__"} else value


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
