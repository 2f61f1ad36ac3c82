"""Imaging planes of one session on one `unit` axis."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import NameUnknownError, ShapeError, UnitError
from neurornn.io.clocks import TOLERANCE


def joined_planes(
    traces: Mapping[str, xr.Dataset], planes: Sequence[str], source: str
) -> xr.Dataset:
    """Join the traces of several planes, labelled by plane; one alone stays as it is.

    Parameters
    ----------
    traces : label of the series -> its recording.
    planes : name of the plane of each.
    source : name of the file, for messages.

    Returns
    -------
    Dataset on the clock of the first plane, with ``plane``, ``roi`` and ``plane_offset`` (s) on
    ``unit``. A plane that ends earlier is NaN there.

    Raises
    ------
    NameUnknownError, UnitError, ShapeError
        Two series of one plane, or dF/F beside fluorescence; rates that differ by more than 2 %;
        clocks that differ by more than a frame.
    """
    labels = list(traces)
    first = traces[labels[0]]
    if len(labels) == 1:
        return first
    name = str(next(iter(first.data_vars)))
    for k, label in enumerate(labels):
        other = str(next(iter(traces[label].data_vars)))
        if planes[k] in planes[:k] or other != name:
            before = labels[planes.index(planes[k])] if planes[k] in planes[:k] else labels[0]
            raise NameUnknownError(
                f"{before} and {label} of {source} are "
                + (f"both of {planes[k]}" if other == name else f"{name} and {other}"),
                "One series of each plane, all of one kind, was needed to join planes",
                f"Name them: nr.open({source!r}, series=[{before!r}, ...])",
            )
    longest = max(labels, key=lambda label: traces[label].sizes["time"])
    rate = float(first[name].attrs["sampling_rate"])
    n_time = traces[longest].sizes["time"]
    # The clock of the first plane; where another is longer, its last stamps go on from there.
    time = first["time"].values
    if len(time) < n_time:
        rest = traces[longest]["time"].values
        time = np.concatenate([time, time[-1] + rest[len(time) :] - rest[len(time) - 1]])
    columns, offsets = [], []
    for label in labels:
        part = traces[label]
        own = float(part[name].attrs["sampling_rate"])
        if abs(own / rate - 1) > TOLERANCE:
            raise UnitError(
                f"{label} of {source} has {own:g} Hz and {labels[0]} {rate:g} Hz",
                "Planes with one frame rate, the same to 2 %, were needed to join them",
                f'Open them one by one: nr.open("{source}", series={label!r})',
            )
        apart = part["time"].values - time[: part.sizes["time"]]
        # Planes are scanned one after the other, within the time of one frame of each.
        if np.max(np.abs(apart)) > 1.5 / rate:
            worst = float(apart[np.argmax(np.abs(apart))])
            raise ShapeError(
                f"Frames of {label} and {labels[0]} of {source} with the same number are up to "
                f"{worst:g} s apart, {worst * rate:.1f} frames",
                "Planes whose frames keep step, to one frame, were needed to join them",
                f'Open them one by one: nr.open("{source}", series={label!r})',
            )
        values = np.full((n_time, part.sizes["unit"]), np.nan)
        values[: part.sizes["time"]] = part[name].values
        columns.append(values)
        offsets.append(np.full(part.sizes["unit"], float(np.median(apart))))
    rois = np.concatenate([traces[label]["unit"].values for label in labels])
    plane = np.repeat(np.array(planes), [traces[label].sizes["unit"] for label in labels])
    unit: Any = np.array([f"{p}/{r}" for p, r in zip(plane, rois, strict=True)])
    return xr.Dataset(
        {name: (("time", "unit"), np.concatenate(columns, axis=1), first[name].attrs)},
        coords={
            "time": ("time", time, first["time"].attrs),
            "unit": unit,
            "plane": ("unit", plane),
            "roi": ("unit", rois),
            "plane_offset": (
                "unit",
                np.concatenate(offsets),
                {"units": "s", "long_name": "by which the plane's frames are later than time"},
            ),
        },
        attrs=first.attrs,
    )
