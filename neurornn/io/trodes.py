"""Trodes position files, and a folder of them beside sorted spikes."""

import os
import re
from pathlib import Path

import numpy as np
import xarray as xr

from neurornn._core.errors import DataError, FileFormatError
from neurornn._core.units import format_number
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
    settings = dict(
        line.split(":", 1) for line in header.decode("latin-1").splitlines() if ":" in line
    )
    clock_rate = float(settings["clockrate"])
    fields = re.findall(r"<(\w+) (\w+)>", settings["Fields"])
    frame = np.dtype([(name, _TYPES[kind]) for name, kind in fields])
    table = np.frombuffer(body, frame, count=len(body) // frame.itemsize)
    if not len(table):
        raise FileFormatError(
            f"{source.name} holds a header and no frames",
            "At least one frame was needed",
            "Was tracking switched on?",
        )
    ticks = table["time"].astype(np.int64)
    # The counter has 32 bits and starts again at 0 after 40 hours at 30 kHz.
    ticks = ticks + np.concatenate([[0], np.cumsum(np.diff(ticks) < -(2**31))]) * 2**32
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
        {
            k.strip().replace(" ", "_"): v.strip()
            for k, v in settings.items()
            if k == "camera resolution"
        }
    )


def _read_folder(folder: Path) -> xr.Dataset:
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
