"""Where a folder may point and what its Zarr arrays declare: asked before anything is read."""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurornn.io.limits import check_size, follows_links, refuse_gaps, refuse_link

#: Arrays, in lower case, that are never zero in a whole chunk.
_MEASURED = (
    *("dff", "fluorescence", "f", "fneu", "neuropil", "yra", "traces", "raw"),
    *("time", "spike_times", "frame"),
)


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
            refuse_link(os.path.relpath(link, root), str(target), source)


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
