"""The folders of a run of Suite2p: which planes there are, and what lies in each."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError, NameUnknownError, nearest
from neurornn.io.limits import check_npy
from neurornn.io.sources import check_source, explained
from neurornn.io.suite2p_runs import NOT_READ, Plane, plane_of, recorded_frames

#: Files of a plane; one of these names beside another of them lies in such a folder.
PLANE_FILES = ("F.npy", "Fneu.npy", "spks.npy", "iscell.npy", "stat.npy", "ops.npy",
               "settings.npy", "db.npy")  # fmt: skip
#: Files with settings; those of 1.x come first, so that ops.npy, written last, decides.
_SETTINGS = ("db.npy", "settings.npy", "ops.npy")
_PLANE = re.compile(r"plane\d+|combined")


def is_plane_file(path: Path) -> bool:
    """Whether a file is one of those that Suite2p writes into the folder of a plane."""
    if path.name not in PLANE_FILES:
        return False
    beside = [name for name in PLANE_FILES if name != path.name]
    return any((path.parent / name).is_file() for name in beside)


def plane_folders(source: Path, plane: int | str | None) -> list[Path]:
    """Return the folders of the planes that are meant.

    Parameters
    ----------
    source : folder of a plane, of a run, or the one that holds ``suite2p``.
    plane : number or name of one; None for all.

    Raises
    ------
    FileFormatError, NameUnknownError
        No traces in it, or no such plane.
    """
    wanted = None if plane is None else plane if isinstance(plane, str) else f"plane{plane}"
    if (source / "F.npy").is_file() and wanted in (None, source.name):
        return [source]
    top = source / "suite2p" if (source / "suite2p").is_dir() else source
    if (source / "F.npy").is_file():
        top = source.parent
    planes = sorted(
        (p for p in top.iterdir() if _PLANE.fullmatch(p.name) and (p / "F.npy").is_file()),
        key=lambda p: (len(p.name), p.name),
    )
    names = [p.name for p in planes]
    if not names:
        raise FileFormatError(
            f"{source.name} is a Suite2p folder without F.npy",
            "A folder with F.npy in it, or in its plane0, was needed",
            "Did Suite2p run to its end? F.npy is written after the ROIs are found",
        )
    if wanted is None:
        # What is combined is made of the planes, and pads the shorter ones.
        return [p for p in planes if p.name != "combined"] or planes
    if wanted not in names:
        raise NameUnknownError(
            f"plane is {plane!r}; {source.name} holds {', '.join(names)}",
            "One of its planes was needed, or no plane= for all",
            nearest(wanted, names),
        )
    return [top / wanted]


def load_plane(
    folder: Path,
    read_settings: Callable[[Path], dict[str, Any]],
    *,
    neuropil: float | None,
    only_cells: bool,
) -> Plane:
    """Load the traces, the cells and the settings of one folder.

    Parameters
    ----------
    folder : with ``F.npy``.
    read_settings : reader of a pickled dict.
    neuropil : share to subtract, or None; 0 where ``Fneu.npy`` is not needed.
    only_cells : whether to leave out what is marked as no cell.
    """
    traces = _array(folder, "F.npy")
    around = None
    if neuropil != 0 or (folder / "Fneu.npy").is_file():
        around = _array(folder, "Fneu.npy", "Pass neuropil=0 to read F alone")
    table = None
    if only_cells or (folder / "iscell.npy").is_file():
        table = _array(folder, "iscell.npy", "Pass only_cells=False to read every ROI")
    settings = settings_in(folder, read_settings)
    combined = folder.name == "combined"
    numbers, lengths = _planes_beside(folder, traces) if combined else (None, None)
    if combined and lengths is None:
        lengths = recorded_frames(traces, around)
    return plane_of(
        folder.name,
        traces,
        around,
        table,
        settings,
        only_cells=only_cells,
        not_read=tuple(f"{n}.npy" for n in NOT_READ if (folder / f"{n}.npy").is_file()),
        numbers=numbers,
        lengths=lengths,
        suffix=".npy",
        check_frames=not combined,
    )


def settings_in(
    folder: Path, read_settings: Callable[[Path], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what each file with settings in a folder states: file -> settings."""
    found = {}
    for name in _SETTINGS:
        file = folder / name
        if file.is_file():
            check_source(file)
            with explained(file, "settings of Suite2p"):
                found[name] = read_settings(file)
    return found


def _array(folder: Path, name: str, remedy: str = "") -> NDArray[Any]:
    file = folder / name
    if not file.is_file():
        raise FileFormatError(
            f"{folder.name} has no {name}",
            f"A Suite2p folder with {name} was needed",
            remedy or "Copy the whole folder again",
        )
    check_source(file)
    with explained(file, "npy"):
        with file.open("rb") as head:
            check_npy(head, file.stat().st_size, name, folder.name)
        array = np.asarray(np.load(file, allow_pickle=False))
        if array.dtype.kind not in "biuf":
            raise ValueError(f"it holds {array.dtype} in place of numbers")
    return array if array.dtype.kind == "f" else array.astype(float)


def _planes_beside(
    folder: Path, traces: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | tuple[None, None]:
    """Return the plane of each ROI of ``combined`` and its frames, from the planes beside it."""
    planes = [p for p in folder.parent.iterdir() if re.fullmatch(r"plane\d+", p.name)]
    numbers, lengths = [], []
    for path in sorted(planes, key=lambda p: (len(p.name), p.name)):
        file = path / "F.npy"
        if not file.is_file() or file.is_symlink() or path.is_symlink():
            continue
        with explained(file, "npy"):
            # Mapped, so that nothing but the shape is read.
            shape = np.load(file, mmap_mode="r", allow_pickle=False).shape
        if len(shape) != 2:
            return None, None
        numbers.append(np.full(shape[0], int(path.name.removeprefix("plane"))))
        lengths.append(np.full(shape[0], shape[1]))
    if not numbers:
        return None, None
    plane, length = np.concatenate(numbers), np.concatenate(lengths)
    # The planes may have been run again since, or curated into other ROIs.
    same = traces.ndim == 2 and len(plane) == len(traces) and length.max() == traces.shape[1]
    if not same or any(traces[k, n:].any() for k, n in enumerate(length)):
        return None, None
    return plane, length
