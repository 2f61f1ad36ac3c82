"""Lost samples of Open Ephys recordings, which neo fills with 0 or closes."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurornn.io.neo_contents import Part, Signal

#: Of the legacy format: bytes of the header, samples of a record.
_HEADER, _SAMPLES = 1024, 1024
_RECORD = np.dtype(
    [
        *(("timestamp", "<i8"), ("n", "<u2"), ("recording", "<u2")),
        *(("samples", ">i2", _SAMPLES), ("marker", "u1", 10)),
    ]
)


def without_filling(parts: Sequence[Part], folder: Path) -> list[Part]:
    """Take out of a legacy recording what neo has filled: NaN, or absent where all channels are.

    Parameters
    ----------
    parts : segments as neo reads them.
    folder : with the ``.continuous`` files.
    """
    files = sorted(folder.glob("**/*.continuous"))
    out = []
    for k, part in enumerate(parts):
        signals = []
        for signal in part.signals:
            lost = np.zeros(signal.values.shape, dtype=bool)
            number = np.round(signal.time * signal.rate).astype(np.int64)
            for c, channel in enumerate(signal.channels):
                ending = f"_{channel}" + (f"_{k + 1}" if k else "")
                file = next((f for f in files if f.stem.endswith(ending)), None)
                if file is not None:
                    lost[:, c] = ~_recorded(file, number)
            signals.append(_less(signal, lost))
        out.append(replace(part, signals=signals))
    return out


def _recorded(file: Path, number: NDArray[np.int64]) -> NDArray[np.bool_]:
    n = (file.stat().st_size - _HEADER) // _RECORD.itemsize
    first = np.memmap(file, dtype=_RECORD, mode="r", offset=_HEADER, shape=(n,))["timestamp"]
    if np.all(np.diff(first) == _SAMPLES):
        return np.ones(len(number), dtype=bool)
    at = np.searchsorted(first, number, side="right") - 1
    return np.asarray((at >= 0) & (number < first[np.maximum(at, 0)] + _SAMPLES))


def _less(signal: Signal, lost: NDArray[np.bool_]) -> Signal:
    if not lost.any():
        return signal
    kept = ~lost.all(axis=1)
    values = np.where(lost, np.nan, signal.values)[kept]
    return replace(signal, time=signal.time[kept], values=values)


def with_pauses(parts: Sequence[Part], folder: Path) -> list[Part]:
    """Give samples of the binary format the times that the recording states for them.

    Parameters
    ----------
    parts : segments as neo reads them: without pauses, from the number of the first sample.
    folder : with ``structure.oebin`` in it, or below.

    Notes
    -----
    From version 0.6 on ``timestamps.npy`` holds s, on the clock that streams and events share
    where they were synchronised, and ``sample_numbers.npy`` the samples. Before, ``timestamps``
    were the samples.
    """
    streams = _stated_times(folder)
    out = []
    for part in parts:
        signals = []
        for signal in part.signals:
            alike = [s for s in streams if s[0] in signal.name and len(s[1]) == len(signal.time)]
            for k, (_, time, first) in enumerate(alike):
                # Each recording of a stream begins at a sample of its own.
                if len(alike) == 1 or round(float(signal.time[0]) * signal.rate) == first:
                    signal = replace(signal, time=time)
                    streams.remove(alike[k])
                    break
            signals.append(signal)
        start = min((float(s.time[0]) for s in signals), default=part.start)
        stop = max((float(s.time[-1]) for s in signals), default=part.stop)
        out.append(replace(part, signals=signals, start=start, stop=stop))
    return out


def _stated_times(folder: Path) -> list[tuple[str, NDArray[np.float64], int]]:
    """Return name, sample times (s) and first sample of each stream of each recording."""
    out = []
    for home in sorted(f.parent for f in folder.glob("**/structure.oebin")):
        stated = json.loads((home / "structure.oebin").read_text(encoding="utf-8"))
        for entry in stated.get("continuous", []):
            name = str(entry.get("folder_name", "")).strip("/")
            rate = float(entry["sample_rate"])
            found = {}
            for key in ("sample_numbers", "timestamps"):
                file = home / "continuous" / name / f"{key}.npy"
                if file.is_file():
                    found[key] = np.load(file, mmap_mode="r", allow_pickle=False)
            number, seconds = found.get("sample_numbers"), found.get("timestamps")
            if number is None and seconds is not None and seconds.dtype.kind in "iu":
                number, seconds = seconds, None
            if number is None and seconds is None:
                continue
            if number is None:
                assert seconds is not None
                time = np.asarray(seconds, dtype=float)
            else:
                time = np.asarray(number, dtype=float) / rate
                # Where the streams were not synchronised, -1 stands in place of a time.
                if seconds is not None and len(seconds) == len(time) and seconds[0] >= 0:
                    time = time - time[0] + float(seconds[0])
            first = int(number[0]) if number is not None and len(number) else 0
            if len(time):
                out.append((name, time, first))
    return out
