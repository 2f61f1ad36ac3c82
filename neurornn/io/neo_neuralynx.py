"""Events of Neuralynx, of which neo (0.14) reads only files whose header numbers no channel."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn.io.neo_contents import Part

#: All Neuralynx files begin with a header of this many bytes.
_HEADER = 16384
_EVENT = np.dtype(
    [
        *(("reserved", "<i2", 3), ("timestamp", "<u8"), ("id", "<i2"), ("ttl", "<i2")),
        *(("crc", "<i2", 3), ("extra", "<i4", 8), ("text", "S128")),
    ]
)
Events = list[tuple[str, NDArray[np.float64], NDArray[Any]]]


def read_events(files: Sequence[Path]) -> Events:
    """Read ``.nev`` files: name of the file with the port's value, times (s), texts.

    Parameters
    ----------
    files : each with the header of Neuralynx.
    """
    out: Events = []
    for file in files:
        n = (file.stat().st_size - _HEADER) // _EVENT.itemsize
        if n < 1:
            continue
        found = np.fromfile(file, dtype=_EVENT, count=n, offset=_HEADER)
        texts = np.array([t.decode("latin-1").strip("\0 ") for t in found["text"].tolist()])
        for ttl in np.unique(found["ttl"]).tolist():
            mine = found["ttl"] == ttl
            # Stamps are in us.
            times = found["timestamp"][mine] / 1e6
            out.append((f"{file.stem} ttl={ttl & 0xFFFF}", times, texts[mine]))
    return out


def part_of_events(events: Events) -> Part:
    """Return a part that holds events alone."""
    times = np.concatenate([*(e[1] for e in events), np.empty(0)])
    ends = (float(times.min()), float(times.max())) if len(times) else (0.0, 0.0)
    return Part(*ends, events=events)


def with_events(parts: Sequence[Part], events: Events) -> list[Part]:
    """Share events out to the segments: each to the last that has begun, or else to the first.

    Parameters
    ----------
    parts : segments, in order of time.
    events : on the same clock.
    """
    starts = np.array([p.start for p in parts[1:]])
    out = []
    for k, part in enumerate(parts):
        mine = []
        for name, times, texts in events:
            inside = np.searchsorted(starts, times, side="right") == k
            if inside.any():
                mine.append((name, times[inside], texts[inside]))
        out.append(replace(part, events=[*part.events, *mine]))
    return out
