"""What a reader of neo finds, in plain arrays: signals, spikes and events of each segment."""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import NameUnknownError, nearest
from neurornn.io.limits import check_size


@dataclass(frozen=True)
class Signal:
    """Channels with one rate, one unit and one clock.

    Attributes
    ----------
    name : of the stream.
    time : (sample,), s; a pause is a longer step.
    values : (sample, channel), in `units`.
    rate : Hz; NaN where the samples are not evenly spaced.
    channels : (channel,), names.
    """

    name: str
    time: NDArray[np.float64]
    values: NDArray[Any]
    rate: float
    units: str
    channels: list[str]


@dataclass(frozen=True)
class Train:
    """Spikes of one unit: ``kind`` is sorted, unsorted, noise, reserved or not stated."""

    label: str
    times: NDArray[np.float64]
    kind: str = "not stated"
    channel: str = ""


@dataclass(frozen=True)
class Part:
    """One segment of a recording: what was recorded from ``start`` to ``stop`` (s)."""

    start: float
    stop: float
    signals: list[Signal] = field(default_factory=list)
    trains: list[Train] = field(default_factory=list)
    events: list[tuple[str, NDArray[np.float64], NDArray[Any]]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def kind_of(reader: str, number: int | None) -> str:
    """Say what the number of a unit means to the system that wrote it.

    Examples
    --------
    >>> kind_of("BlackrockIO", 0), kind_of("BlackrockIO", 255), kind_of("TdtIO", 2)
    ('unsorted', 'noise', 'sorted')
    """
    if number is None or reader not in _NUMBERED:
        return "not stated"
    if number == 0:
        return "unsorted"
    if number in _NOISE.get(reader, ()):
        return "noise"
    return "reserved" if reader == "BlackrockIO" and number > 16 else "sorted"


#: Systems that write 0 for spikes that were not sorted.
_NUMBERED = ("BlackrockIO", "NeuralynxIO", "Plexon", "OpenEphysIO", "TdtIO")
#: What is no neuron: Blackrock's class for artefacts, TDT's code for outliers.
_NOISE = {"BlackrockIO": (255,), "TdtIO": (31,)}


#: s; longer than any recording, and few enough samples for 64 bits.
_LONGEST = 1e12


def wanted_streams(names: Sequence[str], stream: str | Sequence[str] | None) -> list[str]:
    """Return the streams to read, by their names; all where none is named.

    Raises
    ------
    NameUnknownError
        A name that no stream has.
    """
    if stream is None:
        return list(names)
    wanted = [stream] if isinstance(stream, str) else list(stream)
    if wanted == ["none"]:
        return []
    for name in wanted:
        if name not in names:
            raise NameUnknownError(
                f"stream is {name!r}",
                "The name of a stream of signals of the recording was needed, or 'none'",
                nearest(str(name), names),
            )
    return wanted


def parts_of_raw(
    reader: Any, name: str, block: int, stream: str | Sequence[str] | None, source: str
) -> list[Part]:
    """Read all segments of a reader with neo's raw interface.

    Parameters
    ----------
    reader : with its header parsed.
    name : of the reader in `neo.io`.
    block : 0-based.
    stream : name of the streams to read; all by default, none for ``"none"``.
    source : name of the file, for messages.
    """
    header = reader.header
    streams = [str(n) for n in header["signal_streams"]["name"]]
    chosen = wanted_streams(streams, stream)
    n_segments = reader.segment_count(block)
    total = 0
    for k, title in enumerate(streams):
        channels = _channels_of(header, k)
        for s in range(n_segments):
            if title in chosen:
                total += 8 * len(channels) * int(reader.get_signal_size(block, s, k))
    listing = f"The signals ({', '.join(chosen)})" if chosen else "The signals"
    if len(streams) > 1:
        listing = f"{listing}, of which stream= can choose,"
    check_size(total, listing, source)
    parts = [_part(reader, name, block, s, streams, chosen) for s in range(n_segments)]
    if name == "OpenEphysBinaryIO" and parts:
        parts[0].left.extend(_spikes_beside(Path(reader.dirname)))
    return parts


def _spikes_beside(folder: Path) -> list[str]:
    """Name the spikes of binary recordings of Open Ephys, which neo (0.14) does not read."""
    out = []
    for file in sorted(folder.glob("**/structure.oebin")):
        stated = json.loads(file.read_text(encoding="utf-8"))
        names = [
            str(entry.get("folder_name", "")).strip("/") for entry in stated.get("spikes", [])
        ]
        out += [f"spikes/{name}" for name in names]
    return out


def _channels_of(header: Any, stream_index: int) -> Any:
    channels = header["signal_channels"]
    return channels[channels["stream_id"] == header["signal_streams"]["id"][stream_index]]


def _part(
    reader: Any, name: str, block: int, segment: int, streams: list[str], chosen: list[str]
) -> Part:
    header = reader.header
    signals: list[Signal] = []
    for k, title in enumerate(streams):
        if title not in chosen or not int(reader.get_signal_size(block, segment, k)):
            continue
        channels = _channels_of(header, k)
        raw = reader.get_analogsignal_chunk(
            block_index=block, seg_index=segment, i_start=None, i_stop=None, stream_index=k
        )
        rate = float(channels["sampling_rate"][0])
        begin = float(reader.get_signal_t_start(block, segment, k))
        time = begin + np.arange(len(raw)) / rate
        units = np.array([_clean(u) for u in channels["units"]])
        for unit in dict.fromkeys(units.tolist()):
            of_unit = units == unit
            gain = channels["gain"][of_unit].astype(np.float64)
            shift = channels["offset"][of_unit].astype(np.float64)
            names = [_clean(n) for n in channels["name"][of_unit]]
            signals.append(Signal(title, time, raw[:, of_unit] * gain + shift, rate, unit, names))
    trains = _trains(reader, name, block, segment)
    events = []
    for k, channel in enumerate(header["event_channels"]):
        stamps, _, labels = reader.get_event_timestamps(
            block_index=block, seg_index=segment, event_channel_index=k
        )
        if len(stamps):
            moments = reader.rescale_event_timestamp(
                stamps, dtype="float64", event_channel_index=k
            )
            events.append((_clean(channel["name"]), np.asarray(moments, float), labels))
    ends = [(float(s.time[0]), float(s.time[-1])) for s in signals]
    if ends:
        # A spike in a pause would stretch what the reader says of the segment.
        start, stop = min(a for a, _ in ends), max(b for _, b in ends)
    else:
        start = float(reader.segment_t_start(block, segment))
        stop = float(reader.segment_t_stop(block, segment))
    return Part(start, stop, signals, trains, events)


def _trains(reader: Any, name: str, block: int, segment: int) -> list[Train]:
    inside = getattr(reader, "internal_unit_ids", None)
    found: list[tuple[str, str, int | None, NDArray[np.float64]]] = []
    # neo (0.14) takes the samples of the first and last spike of Open Ephys for s, and finds none.
    whole = {"t_start": 0.0, "t_stop": _LONGEST} if name == "OpenEphysIO" else {}
    again = _repeated(reader, inside) if name == "NeuralynxIO" else set()
    for k, channel in enumerate(reader.header["spike_channels"]):
        if k in again:
            continue
        stamps = reader.get_spike_timestamps(
            block_index=block, seg_index=segment, spike_channel_index=k, **whole
        )
        times = np.asarray(reader.rescale_spike_timestamp(stamps, dtype="float64"), float)
        title = _clean(channel["name"])
        number = title.rpartition("#")[2]
        store = ""
        if name == "TdtIO" and inside is not None:
            store = f"{_clean(inside[k][0])} "
        found.append((store + title, _clean(channel["id"]), _whole(number), times))
    labels = unique_labels([f[0] for f in found], [f[1] for f in found])
    return [
        Train(label, times, kind_of(name, number), title.rpartition("#")[0])
        for label, (title, _, number, times) in zip(labels, found, strict=True)
    ]


def _repeated(reader: Any, inside: Any) -> set[int]:
    """Return which units of Neuralynx are others once more.

    neo (0.14) lists each unit of a tetrode (``.ntt``) under each of its four channels.
    """
    files = getattr(reader, "nse_ntt_filenames", None)
    if not files or inside is None:
        return set()
    first: dict[tuple[str, int], int] = {}
    for k, (channel, number) in enumerate(inside):
        first.setdefault((str(files[channel]), int(number)), k)
    return set(range(len(inside))) - set(first.values())


def unique_labels(names: Sequence[str], ids: Sequence[str]) -> list[str]:
    """Return the names of units, told apart by their ids, or by a number, where several share one.

    Examples
    --------
    >>> unique_labels(["a", "b", "b"], ["0", "1", "2"])
    ['a', 'b#1', 'b#2']
    """
    out = [n if names.count(n) == 1 else f"{n}#{i}" for n, i in zip(names, ids, strict=True)]
    if len(set(out)) < len(out):
        out = [f"{n}#{k}" for k, n in enumerate(out)]
    return out


def _clean(text: Any) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return str(text).strip("\0 ")


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


# ------------------------------------------------------------------ readers of whole objects


def parts_of_block(block: Any, source: str) -> list[Part]:
    """Read the segments of a neo block, from readers without the raw interface (NIX).

    Parameters
    ----------
    block : loaded.
    source : name of the file, for messages.
    """
    return [_part_of_segment(segment, source) for segment in block.segments]


def _part_of_segment(segment: Any, source: str) -> Part:
    signals = []
    for signal in segment.analogsignals:
        # Rates may come as 1 per ms: all are converted.
        rate = float(signal.sampling_rate.rescale("Hz"))
        time = float(signal.t_start.rescale("s")) + np.arange(signal.shape[0]) / rate
        signals.append(_signal(signal, time, rate))
    for signal in segment.irregularlysampledsignals:
        time = np.asarray(signal.times.rescale("s").magnitude, dtype=float)
        signals.append(_signal(signal, time, math.nan))
    trains = segment.spiketrains
    names = [str(t.name or t.annotations.get("id", k)) for k, t in enumerate(trains)]
    ids = [str(t.annotations.get("id", k)) for k, t in enumerate(trains)]
    made = [
        Train(label, np.asarray(t.rescale("s").magnitude, dtype=float))
        for label, t in zip(unique_labels(names, ids), trains, strict=True)
    ]
    events = [
        (str(e.name or ""), np.asarray(e.rescale("s").magnitude, float), np.asarray(e.labels))
        for e in segment.events
        if len(e)
    ]
    ends = [(float(s.time[0]), float(s.time[-1])) for s in signals if len(s.time)]
    ends += [(float(t.t_start.rescale("s")), float(t.t_stop.rescale("s"))) for t in trains]
    start, stop = (min(a for a, _ in ends), max(b for _, b in ends)) if ends else (0.0, 0.0)
    left = [f"{type(e).__name__} {e.name or ''}".strip() for e in segment.epochs if len(e)]
    left += [f"{type(e).__name__} {e.name or ''}".strip() for e in segment.imagesequences]
    return Part(start, stop, signals, made, events, left)


def _signal(signal: Any, time: NDArray[np.float64], rate: float) -> Signal:
    names = signal.array_annotations.get("channel_names")
    if names is None or len(names) != signal.shape[1]:
        names = [str(k) for k in range(signal.shape[1])]
    unit = str(signal.dimensionality.string)
    return Signal(
        str(signal.name or ""),
        time,
        np.asarray(signal.magnitude),
        rate,
        "1" if unit == "dimensionless" else unit,
        [str(n) for n in names],
    )


# ------------------------------------------------------------------ several segments


def follow_each_other(parts: Sequence[Part]) -> bool:
    """Whether segments lie one after the other on one clock, so that pauses lie between them."""
    if any(p.stop < p.start for p in parts):
        return False
    return all(b.start >= a.stop - 1e-9 for a, b in itertools.pairwise(parts))


def in_one(parts: Sequence[Part]) -> Part | None:
    """Join segments that follow each other; None where their channels differ.

    Parameters
    ----------
    parts : segments on one clock, in order.
    """
    keys = [[(s.name, s.units, tuple(s.channels), s.rate) for s in p.signals] for p in parts]
    full = max(keys, key=len)
    if any(k not in ([], full) for k in keys):
        return None
    with_signals = [p for p, k in zip(parts, keys, strict=True) if k]
    signals = [
        replace(
            with_signals[0].signals[j],
            time=np.concatenate([p.signals[j].time for p in with_signals]),
            values=np.concatenate([p.signals[j].values for p in with_signals]),
        )
        for j in range(len(full))
    ]
    labels = list(dict.fromkeys(t.label for p in parts for t in p.trains))
    trains = []
    for label in labels:
        same = [t for p in parts for t in p.trains if t.label == label]
        trains.append(replace(same[0], times=np.concatenate([t.times for t in same])))
    events = [e for p in parts for e in p.events]
    left = list(dict.fromkeys(text for p in parts for text in p.left))
    return Part(parts[0].start, parts[-1].stop, signals, trains, events, left)
