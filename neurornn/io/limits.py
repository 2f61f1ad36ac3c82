"""How much a file may declare and where it may point: asked before anything is read.

A few bytes can declare more than any machine holds, and a link can lead to a file that nobody
meant to open. Both are asked about first; `neurornn.io.open` takes the answers as ``max_size=``
and ``follow_links=``.
"""

import io
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

#: Bytes of a data set that may be declared and never written; they would be filled when read.
_UNWRITTEN = 2**28

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
        refuse_link(_word(link), f"{_word(target)}, {_word(inside)}", source)
    room = os.stat(file.filename).st_size if isinstance(file.filename, str) else 0
    total = 0
    large: list[Any] = []

    def look_at_data(name: str, item: Any) -> None:
        nonlocal total
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            return
        _check_scales(item, source)
        total += _declared_by(item)
        if _declared_by(item) > _UNWRITTEN and (everything or not _is_numeric(item)):
            large.append(item)
        check_dataset(item, source, room=room, only_place=True)

    file.visititems(look_at_data)
    if everything:
        check_size(total, "Everything", source)
    for item in large:
        check_dataset(item, source)


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
                refuse_link(item.name, _word(plan.get_external(0)[0]), source)
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
                refuse_link(item.name, f"{part.file_name}, {part.dset_name}", source)
            _check_source_of(item, part.file_name, source)
    if not only_place:
        check_size(declared, f"{item.name} {item.shape}", source)
        if layout == h5py.h5d.CHUNKED and declared > _UNWRITTEN:
            _check_chunks_of(item, declared, source)


def _check_chunks_of(item: Any, declared: int, source: str) -> None:
    """Raise where most of a large data set is in no chunk: a few bytes can declare any size."""
    there = item.id.get_num_chunks()
    written = there * math.prod(item.chunks) * (declared // max(1, int(item.size)))
    if declared - written > _UNWRITTEN:
        grid = math.prod(-(-n // c) for n, c in zip(item.shape, item.chunks, strict=True))
        refuse_gaps(item.name, tuple(item.shape), there, grid, source)


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


def _check_scales(item: Any, source: str) -> None:
    """Raise where the list of the axes of a data set is of another type than HDF5 takes it for."""
    import h5py

    if not h5py.h5a.exists(item.id, b"DIMENSION_LIST"):
        return
    stated = h5py.h5a.open(item.id, b"DIMENSION_LIST")
    kind = stated.get_type()
    lists = kind.get_class() == h5py.h5t.VLEN
    if (
        not lists
        or kind.get_super().get_class() != h5py.h5t.REFERENCE
        or (stated.shape != (item.ndim,))
    ):
        raise FileFormatError(
            f"The axes of {item.name} of {source} are given by something else than names of them",
            "A list of dimension scales for each axis was needed",
            "It is damaged, or was changed by hand: write it again",
        )


def _is_numeric(item: Any) -> bool:
    """Whether a data set holds plain numbers; text and names of objects are read by libraries."""
    import h5py

    return item.id.get_type().get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT)


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


def refuse_link(name: str, target: str, source: str) -> None:
    """Raise for data that lie behind a link out of what was opened.

    Parameters
    ----------
    name : of the link.
    target : what it leads to.
    source : what the user has opened.
    """
    raise FileFormatError(
        f"{name.lstrip('/')} of {source} is not in it but a link to {target}",
        "Data in the file or folder itself were needed",
        f'If you know where it leads: nr.open("{source}", follow_links=True)',
    )
