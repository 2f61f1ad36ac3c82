"""Files of acquisition systems (Neuralynx, Plexon, Blackrock, BrainVision, ...) through neo."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import FileFormatError, NameUnknownError
from neurornn.data.recording import add_spikes, set_intervals
from neurornn.io.sources import SUPPORTED, check_source, explained, stamped

#: Never used: a pickle runs code when opened, and the Elphy reader evaluates text of the file.
_REFUSED = ("PickleIO", "ElphyIO")


def vendor_readers(path: Path) -> list[Any]:
    """Return the neo readers that claim a file by its name.

    Parameters
    ----------
    path : the file.
    """
    import neo.io

    try:
        candidates = neo.io.list_candidate_ios(str(path))
    except (OSError, ValueError):  # no reader claims it
        return []
    return [io for io in candidates if io.__name__ not in _REFUSED]


def read_vendor(path: str | os.PathLike[str], *, segment: int | None = None) -> xr.Dataset:
    """Read spikes, signals and events from a file of an acquisition system.

    Parameters
    ----------
    path : a file that neo has a reader for.
    segment : 0-based; needed where the file holds several segments.

    Returns
    -------
    Dataset with ``spike_times (spike)``; signals as ``signal (sample, channel)`` on their own
    clock ``sample_time (sample)`` in s, numbered where there are several; ``event_time (event)``
    and ``event_label``.

    Raises
    ------
    FileFormatError
        No reader, or a file that its reader cannot read.
    NameUnknownError
        Several segments and no choice.
    """
    source = check_source(path)
    readers = vendor_readers(source)
    if not readers:
        raise FileFormatError(
            f"{source.name} is of a format that neither this package nor neo recognises",
            f"One of these was needed: {SUPPORTED}",
            "Export it to NWB, or to CSV with a time column",
        )
    failure: FileFormatError | None = None
    for reader in readers:
        kind = reader.__name__.removesuffix("IO")
        try:
            with explained(source, kind):
                block = reader(str(source)).read_block(lazy=False)
                return stamped(_from_block(block, segment, source.name), source, f"neo {kind}")
        except FileFormatError as error:
            failure = failure or error
    assert failure is not None
    raise failure


def _from_block(block: Any, segment: int | None, source: str) -> xr.Dataset:
    segments = block.segments
    if segment is None and len(segments) == 1:
        segment = 0
    if segment is None or not 0 <= segment < len(segments):
        raise NameUnknownError(
            f"{source} holds {len(segments)} segments and segment={segment} came",
            "One segment was needed: a recording has one clock",
            f"Pass segment=0 ... {len(segments) - 1}; join trials with data.join_trials",
        )
    content = segments[segment]
    recording = xr.Dataset()
    trains = content.spiketrains
    if len(trains):
        labels = [str(t.name or t.annotations.get("id", k)) for k, t in enumerate(trains)]
        labels = (
            labels if len(set(labels)) == len(labels) else [str(k) for k in range(len(trains))]
        )
        times = [np.asarray(t.rescale("s").magnitude, dtype=float) for t in trains]
        recording = add_spikes(recording, times, unit=labels)
        start = min(float(t.t_start.rescale("s")) for t in trains)
        stop = max(float(t.t_stop.rescale("s")) for t in trains)
        recording = set_intervals(recording, [start], [stop])
    signals = content.analogsignals
    for k, signal in enumerate(signals):
        suffix = f"_{k}" if len(signals) > 1 else ""
        rate = float(signal.sampling_rate.rescale("Hz"))
        time = float(signal.t_start.rescale("s")) + np.arange(signal.shape[0]) / rate
        axis, across = f"sample{suffix}", f"channel{suffix}"
        recording[f"{axis}_time"] = (axis, time, {"units": "s"})
        attrs = {"units": str(signal.dimensionality.string), "sampling_rate": rate}
        recording[f"signal{suffix}"] = ((axis, across), np.asarray(signal.magnitude), attrs)
        names = signal.array_annotations.get("channel_names")
        if names is not None:
            recording = recording.assign_coords({across: np.asarray(names, dtype=str)})
    events = [e for e in content.events if len(e)]
    if events:
        moments = np.concatenate(
            [np.asarray(e.rescale("s").magnitude, dtype=float) for e in events]
        )
        texts = np.concatenate([np.asarray(e.labels).astype(str) for e in events])
        order = np.argsort(moments, kind="stable")
        recording["event_time"] = ("event", moments[order], {"units": "s"})
        recording["event_label"] = ("event", texts[order])
    if not recording.data_vars:
        raise FileFormatError(
            f"{source} holds no spike trains, signals or events",
            "At least one of them was needed",
            "Is it the header of a recording whose data file is missing?",
        )
    return recording
