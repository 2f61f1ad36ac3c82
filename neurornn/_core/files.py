"""Atomic writing: a file or folder is whole or it is not there."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from neurornn._core.errors import FileWriteError


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, folder: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there once the block ends well.

    Parameters
    ----------
    path : where the file or folder is to stand in the end.
    folder : make a folder instead of leaving a file to be written.

    Raises
    ------
    FileWriteError
        Disk full, no permission, no such folder. What stood at `path` before still stands and
        nothing half-written is left behind.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        temporary = scratch / target.name
        if folder:
            temporary.mkdir()
        yield temporary
        _sync(temporary)
        _swap(temporary, target, scratch)
    except OSError as error:
        if isinstance(error, FileWriteError):
            raise
        raise _explain(error, target) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary.parent, ignore_errors=True)


def _sync(path: Path) -> None:
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())


def _swap(new: Path, target: Path, scratch: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        # A folder cannot be replaced in one step: move the old one aside first, so that at
        # every instant one whole copy exists beside the target.
        old = scratch / (target.name + ".old")
        os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:
            os.replace(old, target)
            raise
    else:
        os.replace(new, target)


def _explain(error: OSError, target: Path) -> FileWriteError:
    reasons = {
        errno.ENOSPC: ("the disk is full", "Free some space or choose another folder"),
        errno.EDQUOT: ("the disk quota is used up", "Free some space or choose another folder"),
        errno.EFBIG: ("the file would be too large for this place", "Choose another folder"),
        errno.EACCES: ("permission was denied", "Choose a folder you may write to"),
        errno.EPERM: ("permission was denied", "Choose a folder you may write to"),
        errno.EROFS: ("the file system is read-only", "Choose a folder you may write to"),
        errno.ENOTDIR: ("part of the path is a file", "Choose another folder"),
        errno.EEXIST: ("part of the path is a file", "Choose another folder"),
    }
    text = str(error)
    number = error.errno
    if number is None and "No space left" in text:
        number = errno.ENOSPC
    reason, remedy = reasons.get(number or 0, (text, "Look at the path and try again"))
    return FileWriteError(
        f"{target} could not be written: {reason}",
        "A path that can be written, with room for the whole file, was needed",
        f"{remedy}; nothing half-written was left, and an older file there is untouched",
    )


def fingerprint(*things: object) -> str:
    """Return a short hash of arrays, strings, numbers and nested containers of them.

    The hash depends on the values, dtypes and shapes alone, so it is the same in another
    process and on another day.
    """
    digest = hashlib.sha256()
    _feed(digest, things)
    return digest.hexdigest()[:32]


def _feed(digest: "hashlib._Hash", thing: object) -> None:
    if isinstance(thing, np.ndarray | np.generic):
        array = np.ascontiguousarray(thing)
        digest.update(f"array{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes() if array.dtype != object else repr(array.tolist()).encode())
    elif isinstance(thing, dict):
        digest.update(f"dict{len(thing)}".encode())
        for key in sorted(thing, key=str):
            _feed(digest, str(key))
            _feed(digest, thing[key])
    elif isinstance(thing, list | tuple):
        digest.update(f"list{len(thing)}".encode())
        for item in thing:
            _feed(digest, item)
    else:
        digest.update(f"{type(thing).__name__}{thing!r}".encode())
