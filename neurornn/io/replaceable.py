"""What may be replaced by a saved result: an older one of the same kind, as it was written."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from neurornn._core.errors import FileFormatError
from neurornn._core.targets import LITTER, check_target, folder_content, shortened
from neurornn.io.headers import parse_header
from neurornn.io.seals import check_seal

#: Attribute with the header of a single file; names of what is in a folder.
HEADER = "neurornn_saved"
#: How often something is read again that another process replaced while it was being read.
TRIES = 50
SETTINGS, TABLES, WEIGHTS = "settings.json", "tables", "weights.safetensors"


def is_single(path: Any) -> bool:
    """Whether a path names a single file rather than a folder."""
    return isinstance(path, str | os.PathLike) and Path(str(os.fspath(path))).suffix == ".nc"


def check_save_target(
    path: str | os.PathLike[str],
    *kinds: str,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> Path:
    """Return where a saved result may go, or raise before work is spent on it.

    Parameters
    ----------
    path : a folder, or a file where it ends in ``.nc``.
    kinds : names of the classes of which an older result may be replaced; by default any.
    inputs : files and folders that are read and must stay.

    Raises
    ------
    KindError, FileWriteError
        See `neurornn._core.targets.check_target`.
    """
    return check_target(path, folder=not is_single(path), ours=replaces(*kinds), inputs=inputs)


def replaces(*kinds: str) -> Callable[[Path], str | None]:
    """Recogniser for `targets.check_target`: says why no result of these kinds may stand there.

    Parameters
    ----------
    kinds : names of the classes of which an older result may be replaced; by default any.

    Returns
    -------
    function of a path that exists
        Its text is None where a saved result of such a kind stands there, just as ``save`` has
        written it, and nothing else.
    """

    def why_not(path: Path) -> str | None:
        for _ in range(TRIES):
            before = identity(path)
            said = None if before is None else _why_not(path, kinds)
            # Another writer may have replaced it meanwhile: then what was read is of two results.
            if identity(path) == before:
                return said
            time.sleep(0.01)
        return "is being written by others all the time"

    return why_not


def identity(path: str | os.PathLike[str]) -> tuple[int, ...] | None:
    """Return what changes when a file or folder is replaced; None where there is none."""
    try:
        found = os.stat(Path(path).expanduser())
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _why_not(path: Path, kinds: tuple[str, ...]) -> str | None:
    try:
        kind, others = _of_folder(path) if path.is_dir() else _of_file(path)
    except FileFormatError as error:
        return f"is a saved result that is no longer as it was written ({error.came})"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if kind is None and path.is_dir():
        return f"is {folder_content(path)}, not a saved result"
    if kind is None:
        return "is a file that save() did not write"
    if kinds and kind not in kinds:
        return f"is a saved {kind}, not a {' or a '.join(kinds)}"
    return f"holds {shortened(others)} besides a saved result" if others else None


def header_text(path: Path) -> str | None:
    """Return the header of a single file, or None where it is no saved result."""
    import h5py

    if not h5py.is_hdf5(path):
        return None
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get(HEADER)
    except OSError:
        return None
    return None if text is None else str(text)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_file(path: Path) -> tuple[str | None, list[str]]:
    sealed = check_seal(path)
    text = header_text(path)
    if text is None:
        return None, []
    header = parse_header(text, path)
    if not sealed and "checksum" in header:
        raise FileFormatError("it was changed by another program", "", "")
    return str(header["kind"]), []


def _of_folder(path: Path) -> tuple[str | None, list[str]]:
    settings = path / SETTINGS
    if not settings.is_file():
        return None, []
    text = settings.read_text(encoding="utf-8", errors="replace")
    if '"format"' not in text or '"kind"' not in text:
        return None, []
    header = parse_header(text, path)
    checksums = header.get("checksums")
    known = [f"{TABLES}/{name}.nc" for name in header["tables"]] + [WEIGHTS]
    if checksums is not None:
        known = list(checksums)
        changed = [
            n for n in known if not (path / n).is_file() or sha256(path / n) != checksums[n]
        ]
        if changed:
            raise FileFormatError(f"{shortened(changed)} changed", "", "")
    found = {p.relative_to(path).as_posix() for p in path.rglob("*") if not _is_plain_folder(p)}
    others = sorted(f for f in found - {SETTINGS, *known} if f.rpartition("/")[2] not in LITTER)
    return str(header["kind"]), others


def _is_plain_folder(path: Path) -> bool:
    return path.name == TABLES and path.is_dir() and not path.is_symlink()
