"""Plexon .plx files: spikes, events and slow channels on the clock that the file states.

neo (0.14) reads the spikes of these files, but of their slow channels leaves the last block 0,
puts the first sample at 0 s, closes every pause and scales by the bits of the spike channels. The
times and gains stand in the file, so it is read here.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError
from neurornn.io.limits import check_size
from neurornn.io.neo_contents import Part, Signal, Train, kind_of, unique_labels, wanted_streams

_SPIKE, _EVENT, _SLOW = 1, 4, 5
_BLOCK = struct.Struct("<HHIHHHH")
#: Event channel whose blocks carry a value, a word on the strobed input.
_STROBED = 257

_HEADER = np.dtype(
    [
        *(("magic", "<u4"), ("version", "<i4"), ("comment", "S128"), ("frequency", "<i4")),
        *(("n_spike", "<i4"), ("n_event", "<i4"), ("n_slow", "<i4"), ("wave", "<i4", (2,))),
        *(("date", "<i4", (6,)), ("fast_read", "<i4"), ("wave_frequency", "<i4")),
        *(("last", "<f8"), ("trodes", "u1", (2,)), ("spike_bits", "u1"), ("slow_bits", "u1")),
        *(("spike_mv", "<u2"), ("slow_mv", "<u2"), ("spike_gain", "<u2"), ("padding", "S46")),
        *(("spike_counts", "<i4", (650,)), ("wave_counts", "<i4", (650,))),
        ("event_counts", "<i4", (512,)),
    ]
)
#: Sizes of the headers of one channel, and what of them is read: name and number.
_SPIKE_HEADER = np.dtype([("name", "S32"), ("signal", "S32"), ("channel", "<i4"), ("", "V952")])
_EVENT_HEADER = np.dtype([("name", "S32"), ("channel", "<i4"), ("", "V260")])
_SLOW_HEADER = np.dtype(
    [
        *(("name", "S32"), ("channel", "<i4"), ("rate", "<i4"), ("gain", "<i4")),
        *(("enabled", "<i4"), ("preamp", "<i4"), ("", "V244")),
    ]
)


def read_plexon(
    path: Path, *, stream: Any = None, gap_tolerance: float | None = None
) -> list[Part]:
    """Read a .plx file as one part; pauses are longer steps of the samples' times.

    Parameters
    ----------
    path : the file.
    stream : names of the slow channels to read; all by default, none for ``"none"``.
    gap_tolerance : s; blocks that are so much apart, or less, are joined without a pause. By
        default half a sample.
    """
    data = np.memmap(path, dtype="u1", mode="r")
    if data[:4].tobytes() != b"PLEX":
        raise FileFormatError(
            f"{path.name} begins with {data[:4].tobytes()!r}",
            "A .plx file, which begins with b'PLEX', was needed",
            "Is it damaged or renamed? A .pl2 file is another format",
        )
    if len(data) < _HEADER.itemsize:
        raise _cut(path, f"{len(data)} bytes")
    head = data[: _HEADER.itemsize].view(_HEADER)[0]
    at = _HEADER.itemsize
    tables = []
    for n, kind in (
        (head["n_spike"], _SPIKE_HEADER),
        (head["n_event"], _EVENT_HEADER),
        (head["n_slow"], _SLOW_HEADER),
    ):
        size = int(n) * kind.itemsize
        if n < 0 or at + size > len(data):
            raise _cut(path, f"{len(data)} bytes, for {int(n)} channels of a kind")
        tables.append(data[at : at + size].view(kind))
        at += size
    frequency = float(head["frequency"])
    if not frequency > 0:
        raise FileFormatError(
            f"{path.name} states a clock of {frequency:g} Hz",
            "The frequency of its time stamps, above 0, was needed",
            "It is damaged: copy it again",
        )
    blocks, cut = _blocks(data, at)
    left = [f"{cut} bytes of a block that is cut short at the end of the file"] if cut else []
    check_size(4 * int(blocks[blocks["type"] == _SLOW]["size"].sum()), "Its signals", path.name)
    trains = _trains(blocks, tables[0], frequency)
    events = _events(blocks, tables[1], frequency)
    signals, refused = _signals(data, blocks, tables[2], head, stream, gap_tolerance)
    ends = [float(blocks["tick"].max()) / frequency] if len(blocks) else [0.0]
    # The header keeps the last tick of the session, in ticks too.
    ends += [float(head["last"]) / frequency] if np.isfinite(head["last"]) else []
    ends += [float(s.time[-1]) for s in signals]
    return [Part(0.0, max(ends), signals, trains, events, left + refused)]


def _cut(path: Path, what: str) -> FileFormatError:
    return FileFormatError(
        f"{path.name} ends inside its headers: {what}",
        "A whole .plx file was needed",
        "It is damaged or cut short: copy it again",
    )


def _blocks(data: NDArray[np.uint8], at: int) -> tuple[NDArray[Any], int]:
    """Return where each block lies and what it holds, and the bytes that are cut off."""
    rows = []
    size, take = len(data), _BLOCK.unpack_from
    view = memoryview(data)  # type: ignore[arg-type]  # numpy arrays are buffers
    while at + _BLOCK.size <= size:
        kind, upper, lower, channel, unit, n_waves, n_words = take(view, at)
        n = 2 * n_waves * n_words
        if at + _BLOCK.size + n > size:
            break
        rows.append((kind, (upper << 32) + lower, channel, unit, at + _BLOCK.size, n))
        at += _BLOCK.size + n
    names = ("type", "tick", "channel", "unit", "at", "size")
    return np.array(rows, dtype=[(name, np.int64) for name in names]), size - at


def _named(table: NDArray[Any]) -> dict[int, str]:
    return {
        int(row["channel"]): row["name"].split(b"\0")[0].decode("latin-1").strip() for row in table
    }


def _trains(blocks: NDArray[Any], table: NDArray[Any], frequency: float) -> list[Train]:
    names = _named(table)
    spikes = blocks[blocks["type"] == _SPIKE]
    pairs = np.unique(spikes[["channel", "unit"]]).tolist()
    titles = [f"{names.get(c) or f'ch{c}'}#{u}" for c, u in pairs]
    labels = unique_labels(titles, [str(c) for c, _ in pairs])
    out = []
    for label, (channel, unit) in zip(labels, pairs, strict=True):
        mine = spikes[(spikes["channel"] == channel) & (spikes["unit"] == unit)]
        times = mine["tick"] / frequency
        out.append(Train(label, times, kind_of("Plexon", unit), names.get(channel, "")))
    return out


def _events(
    blocks: NDArray[Any], table: NDArray[Any], frequency: float
) -> list[tuple[str, NDArray[np.float64], NDArray[Any]]]:
    names = _named(table)
    events = blocks[blocks["type"] == _EVENT]
    out = []
    for channel in np.unique(events["channel"]).tolist():
        mine = events[events["channel"] == channel]
        title = names.get(channel) or f"event {channel}"
        labels = np.array(
            [str(u) if channel == _STROBED else title for u in mine["unit"].tolist()]
        )
        out.append((title, mine["tick"] / frequency, labels))
    return out


def _signals(
    data: NDArray[np.uint8],
    blocks: NDArray[Any],
    table: NDArray[Any],
    head: Any,
    stream: Any,
    gap_tolerance: float | None,
) -> tuple[list[Signal], list[str]]:
    slow = blocks[blocks["type"] == _SLOW]
    filled = [row for row in table if np.any(slow["channel"] == row["channel"])]
    names = _named(np.array(filled, dtype=table.dtype)) if filled else {}
    wanted = wanted_streams(list(names.values()), stream)
    read: list[Signal] = []
    refused = []
    for row in filled:
        name, rate = names[int(row["channel"])], float(row["rate"])
        if name not in wanted:
            continue
        mine = slow[slow["channel"] == row["channel"]]
        gain = _gain(head, row)
        if not (rate > 0 and gain is not None):
            what = f"a rate of {rate:g} Hz" if rate <= 0 else "no gain that can be used"
            refused.append(f"{name} (its header states {what})")
            continue
        time = _sample_times(mine, float(head["frequency"]), rate, gap_tolerance)
        if time is None:
            refused.append(f"{name} (its blocks go back in time)")
            continue
        raw = np.concatenate([data[b["at"] : b["at"] + b["size"]].view("<i2") for b in mine])
        read.append(Signal(name, time, (raw * gain)[:, None], rate, "mV", [name]))
    return _grouped(read), refused


def _gain(head: Any, row: Any) -> float | None:
    """Return mV of one step of the converter, or None where the header does not give it."""
    version, gain, preamp = int(head["version"]), float(row["gain"]), float(row["preamp"])
    if version <= 101:
        preamp = 1000.0
    if gain <= 0 or preamp <= 0:
        return None
    if version <= 102:
        return 5000.0 / (2048 * gain * preamp)
    bits, most = int(head["slow_bits"]), float(head["slow_mv"])
    return most / (0.5 * 2**bits * gain * preamp) if bits and most else None


def _sample_times(
    blocks: NDArray[Any], frequency: float, rate: float, gap_tolerance: float | None
) -> NDArray[np.float64] | None:
    """Return the time of each sample (s); None where a block begins before the one before ends."""
    start = blocks["tick"] / frequency
    count = blocks["size"] // 2
    late = start[1:] - (start[:-1] + count[:-1] / rate)
    # A tick of the clock is finer than a sample; half a sample is neither lost nor made up.
    most = 0.5 / rate if gap_tolerance is None else max(gap_tolerance, 0.5 / rate)
    if np.any(late < -0.5 / rate):
        return None
    opens = np.concatenate([[True], late > most])
    run = np.cumsum(opens) - 1
    before = np.concatenate([[0], np.cumsum(count)[:-1]])
    origin, begin = start[opens][run], before[opens][run]
    within = np.arange(count.sum()) - np.repeat(begin, count)
    return np.asarray(np.repeat(origin, count) + within / rate)


def _grouped(signals: list[Signal]) -> list[Signal]:
    """Put channels on one clock into one table."""
    out: list[Signal] = []
    for one in signals:
        for k, other in enumerate(out):
            if other.rate == one.rate and np.array_equal(other.time, one.time):
                values = np.concatenate([other.values, one.values], axis=1)
                both = other.channels + one.channels
                out[k] = Signal(other.name, one.time, values, one.rate, one.units, both)
                break
        else:
            out.append(one)
    return out
