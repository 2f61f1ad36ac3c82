"""The JSON header of a saved object: format number, kind, versions, settings."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurornn._core.errors import FileFormatError, KindError, NameUnknownError
from neurornn._core.report import versions

#: Grows when older versions cannot read what is written; earlier numbers stay readable.
FORMAT = 1

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NEEDED = frozenset({"format", "kind", "settings", "tables"})


def make_header(
    kind: str,
    settings: Mapping[str, Any],
    tables: Sequence[str],
    checksums: Mapping[str, str] | None = None,
) -> str:
    """Write the header as JSON text, with a checksum of itself.

    Parameters
    ----------
    kind : name of the class.
    settings : see `write_saved`.
    tables : names of the tables beside it.
    checksums : file beside it -> SHA-256 of its bytes.
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
        "versions": versions("numpy", "xarray"),
        "settings": plain(dict(settings), "settings"),
        "tables": list(tables),
        "checksums": dict(checksums or {}),
    }
    content["checksum"] = _own_checksum(content)
    return json.dumps(content, indent=1, allow_nan=False)


def _own_checksum(header: Mapping[str, Any]) -> str:
    rest = {k: v for k, v in header.items() if k != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


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
        written = json.loads(text, object_pairs_hook=_each_once)
        header = json.loads(text, object_hook=unplain)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(
            f"The settings of {source.name} are damaged: {error}",
            "Valid JSON was needed",
            "Copy the file again, or save it again",
        ) from error
    if not isinstance(header, dict):
        raise not_saved(source)
    # Files of the first development versions have no checksums at all.
    sealed = "checksum" in header or "checksums" in header
    if not (sealed or set(header) >= _NEEDED):
        raise not_saved(source)
    names = header.get("tables")
    names = names if isinstance(names, list) else [names]
    if not all(isinstance(n, str) and _NAME.fullmatch(n) for n in names):
        raise FileFormatError(
            f"{source.name} names tables {names}",
            "Table names of letters, digits, _ . - were needed",
            "The file is damaged or was changed by hand: save it again",
        )
    # Of a later format only the number is known to mean the same.
    if isinstance(header.get("format"), int) and header["format"] > FORMAT:
        stated = header.get("versions")
        version = stated.get("neurornn") if isinstance(stated, dict) else None
        raise FileFormatError(
            f"{source.name} is of format {header['format']}, written by neurornn "
            f"{version or 'of a later version'}",
            f"Format {FORMAT} or older was needed",
            "Update the package: pip install --upgrade neurornn",
        )
    if sealed and written.get("checksum") != _own_checksum(written):
        raise damaged(source, "its settings")
    if not isinstance(header["format"], int) or not isinstance(header["settings"], dict):
        raise not_saved(source)
    return header


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Object hook of JSON that refuses a key that comes twice: the checksum would not see it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def not_saved(source: Path) -> FileFormatError:
    """Make the error for a file that save() did not write."""
    return FileFormatError(
        f"{source.name} is not a saved result",
        "A folder or .nc file written by save() was needed",
        f'For a recording use nr.open("{source.name}")',
    )


def damaged(source: Path, what: str) -> FileFormatError:
    """Make the error for a saved result that is not as it was written.

    Parameters
    ----------
    source : the file or folder.
    what : the part of it, for example ``"the table parameters"``.
    """
    return FileFormatError(
        f"{source.name} is damaged: {what} changed after it was saved",
        "A saved result as save() had written it was needed",
        "Copy it again from where it was made, or move it away and save it again",
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
