"""How much a file may declare and where it may point: asked before anything is read.

A few bytes can declare more than any machine holds, and a link can lead to a file that nobody
meant to open. Both are asked about first; `neurornn.io.open` takes the answers as ``max_size=``
and ``follow_links=``.
"""

import io
import json
import math
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurornn._core.checks import check_positive
from neurornn._core.errors import FileFormatError, KindError

#: Arrays, in lower case, that are never zero in a whole chunk.
_MEASURED = (
    *("dff", "fluorescence", "f", "fneu", "neuropil", "yra", "traces", "raw"),
    *("time", "spike_times", "frame"),
)

#: Bytes that a file may take in memory before it is asked about.
MAX_SIZE = 8 * 2**30


@dataclass(frozen=True)
class _Limits:
    max_size: float = MAX_SIZE
    follow_links: bool = False


_USUAL = _Limits()
_CURRENT: ContextVar[_Limits] = ContextVar("limits", default=_USUAL)


@contextmanager
def reading_limits(
    *, max_size: float | None = None, follow_links: bool | None = None
) -> Iterator[None]:
    """Read within other limits than the usual ones.

    Parameters
    ----------
    max_size : bytes
        That what is read may take in memory; 8 GiB by default.
    follow_links : whether links out of a file or a folder are followed; by default they are
        named in an error.

    Examples
    --------
    >>> from neurornn.io.limits import reading_limits
    >>> with reading_limits(max_size=2**36):  # doctest: +SKIP
    ...     recording = read_npz("large.npz")
    """
    now = _CURRENT.get()
    size = now.max_size if max_size is None else check_positive(max_size, "max_size")
    follow = now.follow_links if follow_links is None else follow_links
    if not isinstance(follow, bool):
        raise KindError(
            f"follow_links is {follow!r}", "True or False was needed", "Pass follow_links=True"
        )
    token = _CURRENT.set(_Limits(size, follow))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def follows_links() -> bool:
    """Whether links out of a file or a folder are followed."""
    return _CURRENT.get().follow_links


def check_size(size: int, what: str, source: str) -> None:
    """Raise where something would take more bytes than the caller has allowed.

    Parameters
    ----------
    size : bytes, as the file declares.
    what : what would take them.
    source : name of the file, for messages.
    """
    most = _CURRENT.get().max_size
    if size > most:
        raise FileFormatError(
            f"{what} of {source} would take {in_words(size)}",
            f"At most {in_words(most)} were needed, the limit for one file",
            "If it is meant to be so large and the memory is there: "
            f'nr.open("{source}", max_size={size})',
        )


def in_words(size: float) -> str:
    """Print a number of bytes.

    Examples
    --------
    >>> in_words(512), in_words(8 * 2**30)
    ('512 bytes', '8.0 GiB')
    """
    for unit, step in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size:g} bytes"


# ------------------------------------------------------------------ compressed files and npy


class _Counted(io.RawIOBase):
    """Reads a decompressed stream and counts what comes out of it."""

    def __init__(self, stream: io.BufferedIOBase, source: str) -> None:
        self._stream, self._source, self._total = stream, source, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        self._total += len(block)
        most = _CURRENT.get().max_size
        if self._total > most:
            raise FileFormatError(
                f"{self._source} unpacks to more than {in_words(most)}",
                "A file within the limit was needed",
                "If it is meant to be so large and the memory is there: "
                f'nr.open("{self._source}", max_size={int(8 * most)})',
            )
        buffer[: len(block)] = block
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()


def counted(stream: io.BufferedIOBase, source: str) -> io.BufferedReader:
    """Return a decompressed stream that stops at the limit.

    Parameters
    ----------
    stream : as opened by ``gzip.open``; it is closed with what is returned.
    source : name of the file, for messages.
    """
    return io.BufferedReader(_Counted(stream, source), 2**18)


def check_npy(handle: Any, available: int, what: str, source: str) -> None:
    """Compare what the header of an npy array declares with what is there.

    Parameters
    ----------
    handle : stream at the start of the array.
    available : bytes from there to its end.
    what : name of the array, for messages.
    source : name of the file, for messages.
    """
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(np.lib.format.read_magic(handle))
    if read is None:
        return
    shape, _, dtype = read(handle)
    if dtype.hasobject:
        return
    declared, left = math.prod(shape) * dtype.itemsize, available - handle.tell()
    if declared != left or min(shape, default=0) < 0:
        raise FileFormatError(
            f"{what} of {source} declares {dtype} {shape}, {in_words(declared)}, and "
            f"{in_words(left)} are there",
            "As many bytes as are declared were needed",
            "It is cut short or damaged: copy it again",
        )
    check_size(declared, f"{what} {shape}", source)


def check_npz(path: Path) -> None:
    """Compare what the members of an npz archive declare with the limit, before unpacking.

    Parameters
    ----------
    path : npz file.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_size(sum(m.file_size for m in members), "What is unpacked", path.name)
        for member in members:
            with archive.open(member) as handle:
                if handle.read(6) == b"\x93NUMPY":
                    handle.seek(0)
                    check_npy(handle, member.file_size, member.filename, path.name)


# ------------------------------------------------------------------ HDF5


def check_hdf5(file: Any, source: str, *, everything: bool = False) -> None:
    """Look over an open HDF5 file: where it points to, and what it declares.

    Parameters
    ----------
    file : h5py.File.
    source : its name, for messages.
    everything : whether all of it will be read, so that all of it must fit.

    Raises
    ------
    FileFormatError
        A link, raw data or a virtual data set in another file, unless links are followed; more
        bytes than there can be, or than are allowed.
    """
    import h5py

    def is_link_out(name: bytes, info: Any) -> bytes | None:
        return name if info.type == h5py.h5l.TYPE_EXTERNAL else None

    link = None if follows_links() else file.id.links.visit(is_link_out, info=True)
    if link is not None:
        target, inside = file.id.links.get_val(link)
        _refuse_link(_word(link), f"{_word(target)}, {_word(inside)}", source)
    room = os.stat(file.filename).st_size if isinstance(file.filename, str) else 0
    total = 0

    def look_at_data(name: str, item: Any) -> None:
        nonlocal total
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            return
        total += _declared_by(item)
        check_dataset(item, source, room=room, only_place=True)

    file.visititems(look_at_data)
    if everything:
        check_size(total, "Everything", source)


def check_dataset(item: Any, source: str, *, room: int = 0, only_place: bool = False) -> None:
    """Look at a data set before it is read: where its values lie, and how many it declares.

    Parameters
    ----------
    item : h5py.Dataset.
    source : name of the file, for messages.
    room : bytes of the file, where known.
    only_place : bool
        Leave its size to later.
    """
    import h5py

    plan = item.id.get_create_plist()
    layout = plan.get_layout()
    declared = _declared_by(item)
    if layout == h5py.h5d.CONTIGUOUS:
        if plan.get_external_count():
            if not follows_links():
                _refuse_link(item.name, _word(plan.get_external(0)[0]), source)
        elif room and declared > room and item.id.get_storage_size():
            raise FileFormatError(
                f"{item.name} {item.shape} of {source} declares {in_words(declared)} in a file of "
                f"{in_words(room)}",
                "As many bytes as are declared were needed",
                "It is cut short or damaged: copy it again",
            )
    elif layout == h5py.h5d.VIRTUAL:
        for part in item.virtual_sources():
            if part.file_name == ".":
                continue
            if not follows_links():
                _refuse_link(item.name, f"{part.file_name}, {part.dset_name}", source)
            _check_source_of(item, part.file_name, source)
    if not only_place:
        check_size(declared, f"{item.name} {item.shape}", source)


def refuse_gaps(name: str, shape: tuple[int, ...], there: int, grid: int, source: str) -> None:
    """Raise for an array of which only some chunks are there.

    Parameters
    ----------
    name, shape : of the array.
    there, grid : chunks that are there, and that there should be.
    source : name of the file, for messages.
    """
    came = "was never written" if not there else f"has {there} of {grid} chunks"
    raise FileFormatError(
        f"{name} {shape} of {source} {came}",
        "All of its values were needed: what is missing would read as zeros",
        "Was the program that wrote it stopped, or the copy cut off? Write or copy it again; if "
        "the values that are missing are zeros, load it with that program and save it whole",
    )


def _check_source_of(item: Any, name: str, source: str) -> None:
    """Raise where a file that a virtual data set maps is gone: HDF5 would read fill values."""
    # A name with a % stands for many files, as many as there are.
    beside = os.path.join(os.path.dirname(os.fspath(item.file.filename)), name)
    if "%" not in name and not os.path.exists(beside) and not os.path.exists(name):
        raise FileFormatError(
            f"{item.name} of {source} maps a part of {name}, which is not there",
            "Every file that it maps was needed: the missing part would read as zeros",
            f"Copy {name} beside {source}",
        )


def _declared_by(item: Any) -> int:
    # Asked of HDF5, as NumPy does not know all of its types.
    return 0 if item.shape is None else int(item.size) * int(item.id.get_type().get_size())


def hard_items(group: Any) -> dict[str, Any]:
    """Return what lies in a group itself, not behind a link: name -> group or data set.

    Parameters
    ----------
    group : h5py.Group. Where links are followed, what they lead to is included.
    """
    import h5py

    found = {}
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.HardLink) or (
            follows_links() and isinstance(link, h5py.ExternalLink)
        ):
            found[name] = group[name]
    return found


def datasets(
    group: Any, path: str = "", seen: set[tuple[Any, ...]] | None = None
) -> Iterator[tuple[str, Any]]:
    """Go through the data sets of an HDF5 file in the order of their names, each once.

    Parameters
    ----------
    group : h5py.File, or a group.
    path : its name with a slash behind it.
    seen : groups and data sets that were met; one may lie in several groups, or in itself.
    """
    import h5py

    seen = set() if seen is None else seen
    for name, item in hard_items(group).items():
        about = h5py.h5o.get_info(item.id)
        if (item.file.filename, about.fileno, about.addr) in seen:
            continue
        seen.add((item.file.filename, about.fileno, about.addr))
        if isinstance(item, h5py.Dataset):
            yield path + name, item
        elif isinstance(item, h5py.Group):
            yield from datasets(item, f"{path}{name}/", seen)


def _word(text: Any) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def _refuse_link(name: str, target: str, source: str) -> None:
    raise FileFormatError(
        f"{name.lstrip('/')} of {source} is not in it but a link to {target}",
        "Data in the file or folder itself were needed",
        f'If you know where it leads: nr.open("{source}", follow_links=True)',
    )


# ------------------------------------------------------------------ folders


def check_folder(
    folder: Path, source: str, *, root: Path | None = None, deep: bool = True
) -> None:
    """Raise where a symbolic link in a folder leads out of it, unless links are followed.

    Parameters
    ----------
    folder : path.
    source : what the user has opened, for messages.
    root : folder that links may lead to, with all in it; by default `folder`. The folders between
        the two may be links too.
    deep : whether to look into the folders in it.
    """
    if follows_links():
        return
    root = root or folder
    between = [p for p in (folder, *folder.parents) if p != root and p.is_relative_to(root)]
    links = [str(p) for p in between if p.is_symlink()]
    links += [entry.path for entry in _entries(folder, deep) if entry.is_symlink()]
    for link in links:
        target = Path(os.path.realpath(link))
        if not target.is_relative_to(os.path.realpath(root)):
            _refuse_link(os.path.relpath(link, root), str(target), source)


def check_zarr(folder: Path, *, everything: bool = True) -> None:
    """Look over a Zarr folder: where it points to, and what its arrays declare.

    Parameters
    ----------
    folder : path.
    everything : whether all of it will be read, so that all of it must fit.
    """
    check_folder(folder, folder.name)
    if everything:
        total = sum(
            _declared(Path(entry.path))
            for entry in _entries(folder, True)
            if entry.name in ("zarr.json", ".zarray")
        )
        check_size(total, "Everything", folder.name)


def check_chunks(folder: Path, source: str) -> None:
    """Raise where chunks of a measured array of a Zarr folder are missing.

    Parameters
    ----------
    folder : group or array.
    source : what the user has opened, for messages.

    Raises
    ------
    FileFormatError
        Chunks of a trace, or of times, are missing, and would read as zeros.

    Notes
    -----
    Zarr leaves out chunks that hold nothing but the fill value. So a chunk of inferred activity,
    or of labels, may be missing; one of fluorescence, of frame times or of spike times may not.
    """
    for entry in _entries(folder, True):
        if entry.name not in ("zarr.json", ".zarray"):
            continue
        path = Path(entry.path).parent
        if path.name.removesuffix(".zarr").lower() not in _MEASURED:
            continue
        try:
            about = json.loads(Path(entry.path).read_text(encoding="utf-8"))
            shape = tuple(int(n) for n in about["shape"])
            grid = about.get("chunk_grid", {}).get("configuration", {})
            chunk = about.get("chunks") or grid.get("chunk_shape")
            steps = [-(-n // c) for n, c in zip(shape, chunk, strict=True)]
            filled = str(about.get("fill_value")).lower() == "nan"
        except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError):
            # A group, or metadata that the reader will complain about.
            continue
        if filled or not shape or math.prod(shape) < 2:
            continue
        there = _chunks_in(path, steps)
        if there < math.prod(steps):
            refuse_gaps(path.name, shape, there, math.prod(steps), source)


def _chunks_in(folder: Path, steps: list[int]) -> int:
    """Count the chunks of an array that are there: files called ``0.1``, ``0/1`` or ``c/0/1``."""
    found = 0
    for entry in _entries(folder, True):
        name = os.path.relpath(entry.path, folder).replace(os.sep, ".").removeprefix("c.")
        place = name.split(".")
        if len(place) == len(steps) and all(map(str.isdecimal, place)):
            inside = all(int(k) < n for k, n in zip(place, steps, strict=True))
            found += inside and not entry.is_dir()
    return found


def _declared(path: Path) -> int:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        kind = about.get("dtype", about.get("data_type"))
        size = np.dtype(kind).itemsize if isinstance(kind, str) else 8
        # A chunk is unpacked whole, however little of it the array covers.
        grid = about.get("chunk_grid", {}).get("configuration", {})
        chunk = about.get("chunks") or grid.get("chunk_shape") or []
        return max(math.prod(about["shape"]), math.prod(chunk)) * size
    except (ValueError, TypeError, KeyError, AttributeError):
        # A group, or metadata that the reader will complain about.
        return 0


def _entries(folder: Path, deep: bool) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if deep and entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path), True)
