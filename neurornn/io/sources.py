"""What every reader does first and last: look at the path, and explain what went wrong."""

import difflib
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import xarray as xr

from neurornn._core.errors import (
    FileFormatError,
    FileMissingError,
    KindError,
    ThreePartError,
    UnitError,
)
from neurornn.io.hdf5_heaps import check_heaps

#: What `open` reads, for messages.
SUPPORTED = (
    "NWB, Suite2p, CaImAn, Minian, MATLAB (v5, v7.3), netCDF, Zarr, npy, npz, HDF5, CSV or TSV, "
    "Trodes position, FASTA, 2bit, GenBank, GFF3, GTF, BED, VCF, a folder of phy or Kilosort, or "
    "a vendor format known to neo"
)


def check_source(path: str | os.PathLike[str], *, folder: bool = False) -> Path:
    """Return the path of something that is there, is not empty and may be read.

    Parameters
    ----------
    path : file, or folder where `folder` is true.
    folder : whether a folder is accepted.

    Raises
    ------
    KindError
        No path: None, a number, bytes.
    FileMissingError
        Nothing there; the nearest name in that folder is offered.
    FileFormatError
        An empty file, a folder, no permission to read, or an HDF5 file in which reading would
        not end.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise KindError(
            f"A {type(path).__name__} came as a path: {path!r}"[:120],
            "The name of a file or folder, as text or a Path, was needed",
            'Pass text: nr.open("session.csv"); bytes become text by os.fsdecode',
        )
    if "\0" in os.fspath(path):
        raise FileMissingError(
            f"The name {os.fspath(path)!r} holds a NUL character"[:160],
            "A name that a file can have was needed",
            "Remove it; was a raw string or binary data passed as the name?",
        )
    source = Path(path)
    try:
        source = source.expanduser()
    except RuntimeError as error:
        raise FileMissingError(
            f"{source} names the home folder of a user who is not known",
            "A file or folder that exists was needed",
            "Write the whole path, or put ./ before a name that begins with ~",
        ) from error
    try:
        there, is_folder = source.exists(), source.is_dir()
        size = source.stat().st_size if there else 0
    except OSError as error:
        raise _cannot_read(source, error) from error
    if not there:
        raise FileMissingError(
            f"There is no file {source}",
            "A file or folder that exists was needed",
            _neighbours(source),
        )
    if is_folder and not folder:
        raise FileFormatError(
            f"{source} is a folder",
            "A single file was needed",
            "Pass the path of one file in it",
        )
    if not is_folder and size == 0:
        raise FileFormatError(
            f"{source.name} is empty (0 bytes)",
            "A file with data in it was needed",
            "Copy it again; was the transfer or the recording cut off?",
        )
    if not os.access(source, os.R_OK):
        raise _cannot_read(source, PermissionError("permission was denied"))
    if source.is_file():
        check_heaps(source)
    return source


def _cannot_read(source: Path, error: OSError) -> FileFormatError:
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError):
        reason = "permission was denied"
    return FileFormatError(
        f"{source} could not be read: {reason}",
        "A file that you may read was needed",
        "Ask its owner, or copy it to a folder of yours",
    )


def _neighbours(source: Path) -> str:
    folder = source.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist either; check the path"
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return f"The folder {folder} cannot be listed; check the path"
    close = difflib.get_close_matches(source.name, names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r} in the same folder?"
    return f"Check the spelling; {folder} holds {len(names)} other entries"


@contextmanager
def explained(path: Path, format: str) -> Iterator[None]:
    """Turn what a file library raises on a damaged file into one error in three parts.

    Parameters
    ----------
    path : the file that is being read.
    format : what it was taken for, for example ``"HDF5"``.

    Notes
    -----
    File libraries raise nearly every exception there is on damaged input, so all are caught
    here, and only here. The original stays attached as the cause.
    """
    try:
        yield
    except (ThreePartError, Warning):
        raise
    except MemoryError as error:
        raise FileFormatError(
            f"{path.name} asks for more memory than there is"
            + (f": {error}" if str(error) else ""),
            f"A {format} file that fits into memory was needed",
            "If it is meant to be so large, read a part of it; otherwise it is damaged: copy it "
            "again",
        ) from error
    except PermissionError as error:
        raise _cannot_read(path, error) from error
    except Exception as error:
        # What the library left half done would live on with the error, and hold its files and the
        # lock of h5py with it.
        traceback.clear_frames(error.__traceback__)
        text = str(error).strip().splitlines()
        detail = text[0][:160] if text else type(error).__name__
        raise FileFormatError(
            f"{path.name} looks like {format} but could not be read: {detail}",
            f"A whole {format} file was needed",
            "It is damaged, cut short, or of a layout not known here: copy it again, or open it "
            "in the program that wrote it",
        ) from error


def stamped(
    recording: xr.Dataset, path: Path, format: str, sampling_rate: float | None = None
) -> xr.Dataset:
    """Return the recording with the name of its file and its format in the attrs.

    Parameters
    ----------
    recording : as read.
    path : its file.
    format : as a person would call it.
    sampling_rate : Hz, as the caller stated it; it must not contradict the file.

    Raises
    ------
    UnitError
        The rate of the file and the one that was passed differ by more than 2 %.
    """
    for variable in recording.data_vars.values():
        own = variable.attrs.get("sampling_rate")
        if (
            sampling_rate
            and own
            and "time" in variable.dims
            and abs(sampling_rate / own - 1) > 0.02
        ):
            raise UnitError(
                f"sampling_rate is {sampling_rate:g} Hz but {path.name} states {own:g} Hz",
                "One frame rate was needed, the same to 2 %",
                "Leave sampling_rate out, or correct the file; are its times in s?",
            )
    stated = {"source": path.name, "format": format}
    return recording.assign_attrs({**stated, **recording.attrs})
