"""A seal behind a netCDF file of ours: checksums that are compared before anything is parsed.

HDF5 takes no notice of what stands behind the end that its own header states, so every netCDF
program reads a sealed file as before.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from neurornn.io.headers import damaged

#: The file ends with this word and the length of the seal in ten digits.
_WORD = b"neurornn-seal"
_TAIL = len(_WORD) + 10
_STEP = 2**22
#: A seal holds a few numbers per variable; more than this is not one.
_LONGEST = 2**26

#: (first, one past last) byte of what belongs to a table.
Ranges = Sequence[tuple[int, int]]


def seal(path: Path, tables: Sequence[str]) -> None:
    """Append checksums of the whole file and of each table.

    Parameters
    ----------
    path : a netCDF file that is being made.
    tables : names of its groups.
    """
    ranges = _ranges(path, tables)
    size = path.stat().st_size
    parts = {
        name: {"ranges": list(where), "sha256": _digest(path, where)}
        for name, where in ranges.items()
    }
    text = json.dumps({"size": size, "sha256": _digest(path, [(0, size)]), "parts": parts})
    with path.open("ab") as file:
        file.write(text.encode() + _WORD + b"%010d" % len(text))


def check_seal(path: Path) -> bool:
    """Compare a file with its seal.

    Parameters
    ----------
    path : netCDF file.

    Returns
    -------
    bool
        False where there is no seal.

    Raises
    ------
    FileFormatError
        The file is not what was sealed; the table is named where it can be told.
    """
    text = _seal_of(path)
    if text is None:
        return False
    try:
        content = json.loads(text)
        size, whole, parts = content["size"], content["sha256"], content["parts"]
        right = size + len(text) + _TAIL == path.stat().st_size
    except (ValueError, KeyError, TypeError):
        raise damaged(path, "its checksum") from None
    if not right:
        raise damaged(path, "its length")
    if _digest(path, [(0, size)]) == whole:
        return True
    changed = [name for name, part in parts.items() if _differs(path, part)]
    if changed:
        raise damaged(path, "the table " + " and the table ".join(changed))
    raise damaged(path, "its settings, labels or text")


def _seal_of(path: Path) -> bytes | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read(_TAIL)
        if not tail.startswith(_WORD) or not tail[len(_WORD) :].isdigit():
            return None
        length = int(tail[len(_WORD) :])
        if length > min(_LONGEST, size - _TAIL):
            return b""
        file.seek(size - _TAIL - length)
        return file.read(length)


def _differs(path: Path, part: Any) -> bool:
    try:
        return _digest(path, part["ranges"]) != part["sha256"]
    except (KeyError, TypeError, ValueError, OSError):
        return False


def _digest(path: Path, ranges: Ranges) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start, stop in ranges:
            file.seek(start)
            while start < stop:
                read = file.read(min(_STEP, stop - start))
                if not read:
                    break
                digest.update(read)
                start += len(read)
    return digest.hexdigest()


def _ranges(path: Path, tables: Sequence[str]) -> dict[str, Ranges]:
    """Bytes in which the values of each table lie."""
    import h5py

    with h5py.File(path, "r") as file:
        return {name: sorted(_of_group(file[name])) for name in tables}


def _of_group(group: Any) -> Iterator[tuple[int, int]]:
    for item in group.values():
        offset = item.id.get_offset() if hasattr(item, "dtype") else None
        if offset is not None and item.id.get_storage_size():
            yield offset, offset + item.id.get_storage_size()
