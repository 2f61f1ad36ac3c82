"""Atomic writing: a file or folder is whole or it is not there, and nobody else's is touched."""

import contextlib
import ctypes
import errno
import functools
import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from neurornn._core.errors import FileWriteError
from neurornn._core.targets import SCRATCH, Recogniser, check_target
from neurornn._core.warning import warn_user

#: Scratch that cannot be locked (some network file systems) is left over after so many s.
_FORGOTTEN = 86_400.0
#: What a writer that is stopped between two steps keeps in its scratch, and what it was making.
_OLD, _NEW = "old", "new"
#: How often a step is tried again that another writer has spoilt.
_TRIES = 100
_AT_FDCWD, _EXCHANGE = -100, 2


def replace_any(path: Path) -> None:
    """Recogniser for files inside a folder that is known to be ours: all may be replaced."""


@contextmanager
def atomic_path(
    path: str | os.PathLike[str],
    *,
    folder: bool = False,
    ours: Recogniser | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
    overwrite: bool = False,
) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there once the block ends well.

    Parameters
    ----------
    path : where the file or folder is to stand in the end.
    folder : make a folder instead of leaving a file to be written.
    ours, inputs, overwrite : what may be replaced; see `targets.check_target`. By default
        nothing is.

    Raises
    ------
    FileWriteError
        A place where something else stands; disk full, no permission, no such folder. What stood
        at `path` before still stands and nothing half-written is left behind.

    Notes
    -----
    Everything is made in a scratch folder beside the target, which is locked while its writer
    lives. A file then takes its place in one step. So does a folder where the system can exchange
    two (Linux, macOS): at every instant either the old or the new one stands whole under its
    name. Elsewhere the old one is set aside in the scratch folder for the instant between two
    renames, where `standing` finds it. What a killed writer has left is cleared away by the next
    one to the same place.
    """
    target = check_target(path, folder=folder, ours=ours, inputs=inputs, overwrite=overwrite)
    scratch = _Scratch(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_scratch(target)
        temporary = scratch.make()
        if folder:
            temporary.mkdir()
        yield temporary
        _sync(temporary)
        # Once more: much can have happened while the result was made.
        check_target(path, folder=folder, ours=ours, inputs=inputs, overwrite=overwrite)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        if folder:
            _swap_folder(scratch)
        else:
            os.replace(temporary, target)
        scratch.check_set_aside(ours)
    except OSError as error:
        if isinstance(error, FileWriteError):
            raise
        raise _explain(error, target) from error
    finally:
        try:
            scratch.remove()
        except BaseException:
            # Ctrl-C came in the middle of it.
            scratch.remove()
            raise


def standing(path: str | os.PathLike[str]) -> Path | None:
    """Return where a folder or file stands: at its place, or set aside by a writer.

    Parameters
    ----------
    path : as it was passed to `atomic_path`.

    Returns
    -------
    path, or None where there is nothing
        A copy that was set aside is found where a writer was killed between two renames, on
        systems that cannot exchange two folders in one step.
    """
    place = Path(os.path.realpath(Path(path).expanduser()))
    for _ in range(2):
        if os.path.lexists(place):
            return place
        kept = [c for s in _scratch_of(place) for c in [s / _OLD / place.name] if c.exists()]
        if kept:
            return max(kept, key=_age_key)
    return None


def has_scratch(path: str | os.PathLike[str]) -> bool:
    """Whether a writer to this place lives, or was killed before it had finished."""
    return bool(_scratch_of(Path(os.path.realpath(Path(path).expanduser()))))


def clear_scratch(target: Path) -> None:
    """Remove what killed writers to this place have left; put back what they had set aside."""
    for scratch in _scratch_of(target):
        with _locked(scratch) as alone:
            if not alone:
                continue
            kept = scratch / _OLD / target.name
            if kept.exists() and not os.path.lexists(target):
                with contextlib.suppress(OSError):
                    os.rename(kept, target)
            if not kept.exists() or os.path.lexists(target):
                shutil.rmtree(scratch, ignore_errors=True)


def _scratch_of(target: Path) -> list[Path]:
    begin = _prefix(target)
    try:
        names = os.listdir(target.parent)
    except OSError:
        return []
    return [target.parent / name for name in sorted(names) if name.startswith(begin)]


def _prefix(target: Path) -> str:
    # Of one length for all names, so that a name that just fits can be written.
    return f"{SCRATCH}{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:12]}-"


def _age_key(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


class _Scratch:
    """A folder beside the target, locked as long as its writer lives."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder: Path | None = None
        self.old: Path | None = None
        self.lock: int | None = None

    def make(self) -> Path:
        """Make the folder; return the path in it at which the result is made."""
        for _ in range(_TRIES):
            self.folder = Path(
                tempfile.mkdtemp(prefix=_prefix(self.target), dir=self.target.parent)
            )
            # Another writer may be clearing it away before it is locked.
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                self.lock = _lock(self.folder)
                os.mkdir(self.folder / _NEW)
                break
        return self.new

    @property
    def new(self) -> Path:
        """Where the result is made."""
        return (self.folder or self.target.parent) / _NEW / self.target.name

    def place_for_old(self) -> Path:
        """Where the folder that stands at the target is set aside."""
        self.old = self.new.parents[1] / _OLD / self.target.name
        if self.old.exists():
            shutil.rmtree(self.old.parent)
        self.old.parent.mkdir(exist_ok=True)
        return self.old

    def check_set_aside(self, ours: Recogniser | None) -> None:
        """Keep a replaced folder into which something was put while it was being replaced."""
        replaced = self.old if self.old is not None else self.new
        if not replaced.is_dir() or ours is None:
            return
        reason = ours(replaced)
        if reason is not None:
            kept = self.target.with_name(f"{self.target.name}.kept-{secrets.token_hex(3)}")
            os.rename(replaced, kept)
            warn_user(
                f"{self.target.name} {reason} and was kept as {kept}: something was put into it "
                "while a new result was being written.",
                UserWarning,
            )

    def remove(self) -> None:
        """Leave nothing behind; what was set aside goes back where nothing took its place."""
        if self.folder is None:
            # Stopped before its name was known: it is not locked, so that anybody can clear it.
            clear_scratch(self.target)
            return
        if self.old is not None and not os.path.lexists(self.target):
            # Stopped between the two renames: the old one goes back.
            with contextlib.suppress(OSError):
                os.rename(self.old, self.target)
        if self.old is None or os.path.lexists(self.target):
            shutil.rmtree(self.folder, ignore_errors=True)
        self.__del__()

    def __del__(self) -> None:
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def _lock(folder: Path) -> int | None:
    """Lock a folder for this process, until it ends at the latest.

    Returns
    -------
    handle to close, or None where the system has no such locks

    Raises
    ------
    FileNotFoundError, BlockingIOError
        The folder is gone; another process has locked it.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)
    except (FileNotFoundError, BlockingIOError):
        os.close(handle)
        raise
    except OSError:
        os.close(handle)
        return None
    return handle


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether no living writer holds the scratch folder; it is held for the block."""
    handle = None
    try:
        handle = _lock(folder)
        alone = handle is not None or time.time() - _age_key(folder) > _FORGOTTEN
    except OSError:
        alone = False
    try:
        yield alone
    finally:
        if handle is not None:
            os.close(handle)


def _sync(path: Path) -> None:
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())


def _swap_folder(scratch: _Scratch) -> None:
    new, target = scratch.new, scratch.target
    for _ in range(_TRIES):
        try:
            if not os.path.lexists(target):
                os.rename(new, target)
            elif not _exchange(new, target):
                os.rename(target, scratch.place_for_old())
                os.rename(new, target)
            return
        except (FileExistsError, FileNotFoundError, NotADirectoryError):
            again = True
        except OSError as error:
            again = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            if not again:
                raise
        # Another writer has put its own there, or set it aside: ours comes next.
        if not new.exists():
            raise FileNotFoundError(errno.ENOENT, "the scratch folder is gone", str(new))
    raise FileExistsError(errno.EBUSY, "others write to the same place", str(target))


@functools.cache
def _exchanger() -> Callable[[bytes, bytes], int] | None:
    """Return the call of this system that exchanges two folders in one step, if it has one."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform.startswith("linux"):
            call = library.renameat2
            return lambda a, b: call(_AT_FDCWD, a, _AT_FDCWD, b, _EXCHANGE)
        if sys.platform == "darwin":
            swap = library.renamex_np
            return lambda a, b: swap(a, b, _EXCHANGE)
    return None


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    call = _exchanger()
    if call is None:
        return False
    if call(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV):
        return False
    raise OSError(number, os.strerror(number), str(other))


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
        errno.ENAMETOOLONG: ("the name is too long", "Choose a shorter name"),
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
