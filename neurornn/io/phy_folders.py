"""The files of a folder in phy's layout, as Kilosort 2 to 4 and phy write it."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError, FileFormatError, ShapeError, UnitError
from neurornn.io.clocks import agreed_rate
from neurornn.io.limits import follows_links, refuse_link
from neurornn.io.numpy_files import load_npy
from neurornn.io.sources import check_source, explained
from neurornn.io.text_files import encoding_of

#: A statement of its own line; what is indented, or computed, is no number that can be read.
_RATE = re.compile(r"sample_rate\s*=\s*([^#]*?)\s*(?:#.*)?")
_NUMBER = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: Bytes of params.py that are looked at; phy writes six lines.
_MOST_TEXT = 2**20


def own_file(folder: Path, name: str) -> Path | None:
    """Return the path of a file of the folder, or None where it has none of that name.

    Parameters
    ----------
    folder : path.
    name : of the file.

    Raises
    ------
    FileFormatError
        A link out of the folder, unless links are followed; an empty file.
    """
    file = folder / name
    if not file.is_file():
        return None
    if file.is_symlink() and not follows_links():
        target = Path(os.path.realpath(file))
        if not target.is_relative_to(os.path.realpath(folder)):
            refuse_link(name, str(target), str(folder))
    return check_source(file)


def array_in(folder: Path, name: str, *, on_disk: bool = False) -> NDArray[Any] | None:
    """Return an array of the folder, or None where it has none of that name.

    Parameters
    ----------
    folder : path.
    name : of the npy file.
    on_disk : whether its values stay on disk until they are used.

    Raises
    ------
    FileFormatError
        A damaged file, or something else than numbers.
    """
    file = own_file(folder, name)
    if file is None:
        return None
    array = load_npy(file, on_disk=on_disk)
    if array.dtype.kind not in "iuf":
        raise FileFormatError(
            f"{name} of {folder.name} holds {array.dtype}",
            "Numbers were needed",
            "It is damaged, or of another program: write the folder again",
        )
    return array


def whole_numbers(folder: Path, name: str) -> NDArray[np.integer[Any]] | None:
    """Return a list of whole numbers, (spike,), or None where the folder has none of that name.

    Parameters
    ----------
    folder : path.
    name : of the npy file; (spike,), or a column of it as MATLAB and phy write it.

    Raises
    ------
    FileFormatError, ShapeError, DataError
        A damaged file, several columns, fractions, or numbers that no 64 bits hold.
    """
    array = array_in(folder, name)
    if array is None:
        return None
    if array.size != max(array.shape, default=1) and array.size:
        raise ShapeError(
            f"{name} of {folder.name} has shape {array.shape}",
            "One number for each spike, in one row or column, was needed",
            "It is damaged, or of another program: write the folder again",
        )
    array = array.ravel()
    if array.dtype.kind == "f" and not np.all(array == np.round(array)):
        k = int(np.argmax(array != np.round(array)))
        raise DataError(
            f"{name} of {folder.name} holds {array[k]:g}, as number {k}, which is not whole",
            "Whole numbers were needed: in phy's layout spike_times.npy counts samples",
            "If they are times in s, pass them to nr.data.from_spikes; otherwise write the folder "
            "again",
        )
    # Up to here a float counts in steps of 1; beyond, uint64 is likely a negative number.
    if array.size and (float(array.max()) > 2.0**53 or float(array.min()) < -(2.0**53)):
        raise DataError(
            f"{name} of {folder.name} holds {array.max()}, and {array.min()} as its least number",
            "Numbers of samples or of clusters were needed",
            "Was a negative number stored without its sign? The file is damaged: sort again",
        )
    return array.astype(np.int64) if array.dtype.kind == "f" else array


def rate_of(folder: Path, sampling_rate: float | None) -> float:
    """Return the rate (Hz) of the samples that spikes are counted in.

    Parameters
    ----------
    folder : with ``params.py``, which is read as text and never run.
    sampling_rate : Hz, as the caller states it; it must agree with the file to 2 %.

    Raises
    ------
    UnitError
        Nothing states it, or two rates differ.
    """
    stated, said = _rate_in_params(folder)
    if stated is None and sampling_rate is None:
        raise UnitError(
            f"spike_times.npy of {folder.name} counts samples, and {said}",
            "The rate of the samples, in Hz, was needed",
            "Pass that of the recording: sampling_rate=30000.0",
        )
    rate = agreed_rate(
        {"sampling_rate=": sampling_rate, "sample_rate of params.py": stated},
        source=folder.name,
        remedy="Correct the wrong one: leave sampling_rate out, or change params.py",
    )
    assert rate is not None
    return rate


def _rate_in_params(folder: Path) -> tuple[float | None, str]:
    """Return the rate that ``params.py`` states, and what to say where it states none."""
    file = own_file(folder, "params.py")
    if file is None:
        return None, "there is no params.py beside it"
    found: dict[float, str] = {}
    with explained(file, "params.py"), file.open("rb") as handle:
        text = handle.read(_MOST_TEXT)
    # The path of the raw data may be in the encoding of any system; numbers are the same in all.
    lines = re.split(r"\r\n|\r|\n", text.decode(encoding_of(text) or "latin-1", "replace"))
    for number, line in enumerate(lines, start=1):
        known = _RATE.fullmatch(line)
        if known is None:
            continue
        if _NUMBER.fullmatch(known[1]) is None:
            return None, (
                f"line {number} of params.py says {line.strip()[:60]!r}, which is no plain "
                "number (params.py is read as text and never run)"
            )
        found[float(known[1])] = line.strip()
    if len(found) > 1:
        return None, f"params.py states several rates: {', '.join(found.values())}"
    if not found:
        return None, "no line of params.py is of the form sample_rate = 30000.0"
    return next(iter(found)), ""
