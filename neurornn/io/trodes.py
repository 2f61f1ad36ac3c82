"""Trodes position files, and a folder of them beside sorted spikes."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import DataError, FileFormatError
from neurornn._core.units import format_number
from neurornn.io.folder_limits import check_folder
from neurornn.io.matlab import read_matlab
from neurornn.io.sources import check_source, explained, stamped

_TYPES = {"uint8": "u1", "uint16": "<u2", "uint32": "<u4", "int16": "<i2", "int32": "<i4",
          "double": "<f8", "float": "<f4"}  # fmt: skip


def read_trodes(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read the position of an animal from a Trodes .videoPositionTracking file, or its folder.

    Parameters
    ----------
    path : the file, or a folder that holds it and ``spikes.mat``.

    Returns
    -------
    Dataset with ``position (sample, axis)`` in px on its own clock ``sample_time (sample)`` in s;
    for a folder also the spikes. A second light is ``position_2`` where it was tracked.

    Notes
    -----
    Time is the clock of the acquisition system divided by the clock rate of the header, the same
    clock as spike times exported from Trodes. Frames that repeat a time stamp are dropped, and
    NaN marks a light that was not seen (0, 0).

    Raises
    ------
    FileFormatError
        A damaged header or file.
    DataError
        Spikes and position that share no stretch of time.
    """
    source = check_source(path, folder=True)
    if source.is_dir():
        return _read_folder(source)
    with explained(source, "Trodes position"):
        recording = _read_position(source)
    return stamped(recording, source, "Trodes position")


def _read_position(source: Path) -> xr.Dataset:
    content = source.read_bytes()
    header, mark, body = content.partition(b"<End settings>\n")
    if not mark:
        raise FileFormatError(
            f"{source.name} has no end of its header",
            "A text header between <Start settings> and <End settings> was needed",
            "Copy the file again; it is cut short",
        )
    lines = header.decode("latin-1").splitlines()
    settings = {
        key.strip(): (number, value.strip())
        for number, line in enumerate(lines, start=1)
        for key, colon, value in [line.partition(":")]
        if colon
    }
    for key in ("clockrate", "Fields"):
        said = {line.partition(":")[2].strip() for line in lines if line.partition(":")[0] == key}
        if len(said) > 1:
            raise FileFormatError(
                f"The header of {source.name} says {key} twice: {', '.join(sorted(said))}",
                "One value was needed",
                "The header is damaged: copy the file again",
            )
    clock_rate = _clock_rate(settings, source.name)
    frame = _frame(settings, source.name)
    if len(body) % frame.itemsize:
        raise FileFormatError(
            f"{source.name} has {len(body)} bytes of frames of {frame.itemsize} bytes each, "
            f"{len(body) % frame.itemsize} too many",
            "Whole frames, as the Fields of the header describe them, were needed",
            "The file is cut short, or its header belongs to another: copy it again",
        )
    table = np.frombuffer(body, frame)
    if not len(table):
        raise FileFormatError(
            f"{source.name} holds a header and no frames",
            "At least one frame was needed",
            "Was tracking switched on?",
        )
    ticks = table["time"].astype(np.int64)
    # The counter has 32 bits and starts again at 0 after 40 hours at 30 kHz.
    ticks = ticks + np.concatenate([[0], np.cumsum(np.diff(ticks) < -(2**31))]) * 2**32
    if np.any(np.diff(ticks) < 0):
        k = int(np.argmax(np.diff(ticks) < 0)) + 1
        raise DataError(
            f"Frame {k} of {source.name} has the time stamp {ticks[k]} after {ticks[k - 1]}",
            "Time stamps that do not run backwards were needed",
            "The file is damaged, or its Fields do not describe it: copy it again",
        )
    keep = np.concatenate([[True], np.diff(ticks) > 0])
    time = ticks[keep] / clock_rate
    rate = float((len(time) - 1) / (time[-1] - time[0])) if len(time) > 1 else np.nan
    attrs = {"units": "px", "sampling_rate": rate}
    recording = xr.Dataset(coords={"axis": ["x", "y"]})
    recording["sample_time"] = (
        "sample",
        time,
        {"units": "s", "long_name": "time of a video frame"},
    )
    for name, columns in (("position", ("xloc", "yloc")), ("position_2", ("xloc2", "yloc2"))):
        if set(columns) <= set(frame.names or ()):
            place = np.stack([table[c][keep] for c in columns], axis=1).astype(float)
            place[(place == 0).all(axis=1)] = np.nan
            if name == "position" or not np.isnan(place).all():
                recording[name] = (("sample", "axis"), place, attrs)
    return recording.assign_attrs(
        {k.replace(" ", "_"): v for k, (_, v) in settings.items() if k == "camera resolution"}
    )


def _clock_rate(settings: Mapping[str, tuple[int, str]], source: str) -> float:
    number, text = settings.get("clockrate", (0, ""))
    try:
        rate = float(text)
    except ValueError:
        rate = np.nan
    if not 0 < rate < np.inf:
        where = f"Line {number} of {source}, clockrate, says {text!r}" if number else ""
        raise FileFormatError(
            where or f"The header of {source} has no clockrate",
            "The rate of the clock, a number above 0 in Hz, was needed",
            "The header is damaged: copy the file again",
        )
    return rate


def _frame(settings: Mapping[str, tuple[int, str]], source: str) -> np.dtype[Any]:
    """Return the type of one frame, from ``<time uint32><xloc uint16>...``."""
    number, text = settings.get("Fields", (0, ""))
    if not number:
        raise FileFormatError(
            f"The header of {source} has no Fields",
            "A line such as Fields: <time uint32><xloc uint16><yloc uint16> was needed",
            "The header is damaged: copy the file again",
        )
    fields: list[tuple[str, str]] = []
    for piece in re.findall(r"<[^<>]*>|[^<>\s][^<]*|<[^<>]*", text):
        known = re.fullmatch(r"<(\w+) (\w+)>", piece)
        if known is None or known[2] not in _TYPES or known[1] in dict(fields):
            raise FileFormatError(
                f"Line {number} of {source} has the field {piece!r}",
                "Fields of the form <name type>, each name once, were needed, the type one of "
                f"{', '.join(_TYPES)}",
                "The header is damaged, or of a newer Trodes: copy the file again",
            )
        fields.append((known[1], _TYPES[known[2]]))
    missing = {"time", "xloc", "yloc"} - {name for name, _ in fields}
    if missing or dict(fields)["time"][-2] not in "ui":
        raise FileFormatError(
            f"Line {number} of {source} has {text!r}, "
            + (f"without {', '.join(sorted(missing))}" if missing else "whose time is no count"),
            "The fields time, xloc and yloc were needed, time as whole numbers",
            "The header is damaged, or this is no position file",
        )
    return np.dtype(fields)


def _read_folder(folder: Path) -> xr.Dataset:
    with explained(folder, "Trodes"):
        check_folder(folder, folder.name, deep=False)
    videos = sorted(folder.glob("*.videoPositionTracking"))
    if len(videos) != 1:
        raise FileFormatError(
            f"{folder.name} holds {len(videos)} .videoPositionTracking files",
            "Exactly one position file was needed",
            "Open the one you want by its path",
        )
    position = read_trodes(videos[0])
    spikes = folder / "spikes.mat"
    if not spikes.exists():
        return position
    units = read_matlab(spikes)
    clock = position["sample_time"].values
    start, stop = float(units["start"].values[0]), float(units["stop"].values[-1])
    if start >= clock[-1] or stop <= clock[0]:
        raise DataError(
            f"Spikes cover {format_number(start, 6)} to {format_number(stop, 6)} s and position "
            f"{format_number(clock[0], 6)} to {format_number(clock[-1], 6)} s",
            "Spikes and position on one clock were needed",
            "Are these files of the same session? Open them one by one",
        )
    attrs = {**position.attrs, "source": folder.name, "format": "Trodes position, MATLAB spikes"}
    return xr.merge(
        [units.drop_attrs(deep=False), position.drop_attrs(deep=False)], compat="no_conflicts"
    ).assign_attrs(attrs)
