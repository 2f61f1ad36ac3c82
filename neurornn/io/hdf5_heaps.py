"""Heaps of an HDF5 file, in which its texts lie, added up before the library goes through them.

The HDF5 library (2.0) trusts the sizes in a heap, and nothing can stop it where they mislead it.
"""

import mmap
import os
import struct
from functools import lru_cache
from pathlib import Path

from neurornn._core.errors import FileFormatError

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: Where a file may begin behind a block of the user's.
_STARTS = (0, 512, 1024, 2048)
_HEAP = b"GCOL\x01\0\0\0"
#: Index, count, padding and size of an object.
_OBJECT = struct.Struct("<HHIQ")
#: Bytes of a file that are looked at: texts are written with the attributes, at its beginning.
_LOOKED_AT = 2**26


def check_heaps(path: Path) -> None:
    """Raise where the objects in a heap of an HDF5 file do not lead to its end.

    Parameters
    ----------
    path : any file; of one that is not HDF5 nothing is looked at.

    Raises
    ------
    FileFormatError
        Reading it might never end.
    """
    about = os.stat(path)
    at = _broken_heap(str(path), about.st_size, about.st_mtime_ns)
    if at is not None:
        raise FileFormatError(
            f"{path.name} looks like HDF5 but could not be read: the heap of texts at byte {at} "
            "does not add up",
            "Objects that fill the heap were needed; with others, reading it may not end",
            "It is damaged: copy it again",
        )


@lru_cache(maxsize=64)
def _broken_heap(path: str, size: int, changed: int) -> int | None:
    """Return where a heap lies whose objects do not lead to its end, or None."""
    with open(path, "rb") as file:
        head = file.read(max(_STARTS) + 8)
        base = next((k for k in _STARTS if head[k : k + 8] == _SIGNATURE), None)
        if base is None:
            return None
        with mmap.mmap(file.fileno(), min(size, _LOOKED_AT), access=mmap.ACCESS_READ) as raw:
            at = raw.find(_HEAP)
            while at >= 0:
                # What is left of a heap that was given up has no address anywhere.
                if _is_broken(raw, at) and raw.find(struct.pack("<Q", at - base)) >= 0:
                    return at
                at = raw.find(_HEAP, at + 8)
    return None


def _is_broken(raw: mmap.mmap, at: int) -> bool:
    if at + 16 > len(raw):
        return False
    (size,) = struct.unpack_from("<Q", raw, at + 8)
    stop = at + size
    at += 16
    while at + _OBJECT.size <= min(stop, len(raw)):
        index, _, _, taken = _OBJECT.unpack_from(raw, at)
        # What is free has no number; its size counts its own head.
        if index == 0 and taken < _OBJECT.size:
            return True
        at += taken if index == 0 else _OBJECT.size + taken + -taken % 8
        if at > stop:
            return True
    return False
