"""Recordings of acquisition systems: Neuralynx, Open Ephys, SpikeGLX, TDT, Blackrock, Plexon, NIX.

The readers are neo's; what each wants to be called with stands in `neurornn.io.neo_readers`.
"""

import contextlib
import inspect
import io
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_number, find_blocks
from neurornn._core.errors import (
    FileFormatError,
    KindError,
    MissingDependencyError,
    NameUnknownError,
    nearest,
)
from neurornn.data.observation import just_before, start_of_clock, united, without_ranges
from neurornn.data.recording import add_spikes, set_intervals
from neurornn.io.hdf5_heaps import check_heaps
from neurornn.io.limits import check_hdf5
from neurornn.io.neo_contents import (
    Part,
    follow_each_other,
    in_one,
    parts_of_block,
    parts_of_raw,
)
from neurornn.io.neo_gaps import with_pauses, without_filling
from neurornn.io.neo_neuralynx import part_of_events, read_events, with_events
from neurornn.io.neo_plexon import read_plexon
from neurornn.io.neo_readers import EXTRAS, GAP_TOLERANCE, Source, shown_to_reader, sources_of
from neurornn.io.sources import SUPPORTED, check_source, explained, stamped

#: s; records of one channel that are further apart have a pause between them. Clock ticks and
#: the jitter of packets are below; what is lost of a recording is above.
GAP = 1e-3
#: What 0 s is, where it is not the first sample.
_CLOCKS = {
    "NeuralynxIO": "that of the acquisition system, which counts from when it was switched on",
    "BlackrockIO": "that of the acquisition system; 0 s is when the file was opened",
    "SpikeGLXIO": "that of the run; a sorter counts from the first sample of the file",
    "OpenEphysIO": "that of the acquisition system, which counts from its start",
    "OpenEphysBinaryIO": "that of the acquisition system, which counts from its start",
    "TdtIO": "0 s is the start of the first block",
    "Plexon": "that of the acquisition system; 0 s is the start of the session",
}


def read_vendor(
    path: str | os.PathLike[str],
    *,
    segment: int | None = None,
    block: int | None = None,
    stream: str | Sequence[str] | None = None,
    gap_tolerance: float | None = None,
    noise: bool = False,
    reader_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Read spikes, signals and events of an acquisition system.

    Parameters
    ----------
    path : a file, or the folder of a session
        A single ``.ncs`` or ``.continuous`` gives that channel; the folder gives all.
    segment : 0-based; one segment of several. Segments that follow each other on one clock are
        read as one recording by default, with the pauses between them left out.
    block : 0-based; needed where the recording holds several (experiments of Open Ephys).
    stream : names of the streams of signals to read, or ``"none"``; all by default.
    gap_tolerance : s
        Records of Neuralynx, Blackrock and Plexon that are further apart have a pause between
        them; by default 1 ms (Plexon: half a sample). Shorter gaps are closed.
    noise : read what the system itself calls noise (class 255 of Blackrock, code 31 of TDT) too.
    reader_options : passed as they are to the reader of neo.

    Returns
    -------
    Dataset with ``spike_times (spike)``; signals as ``signal (sample, channel)`` on their own
    clock ``sample_time (sample)`` in s, numbered where there are several; ``event_time (event)``
    with ``event_label`` and ``event_channel``. ``interval``s are the stretches that were
    recorded, and ``unit_kind (unit)`` is sorted, unsorted, noise, reserved or not stated: only
    the sorted ones are neurons. Units of one channel are told apart by their number. The attrs
    say what the clock is (``clock``) and what was left out (``not_read``).

    Raises
    ------
    FileFormatError
        No reader, or a file that its reader cannot read.
    MissingDependencyError
        The reader needs a package that is not installed.
    NameUnknownError
        Several recordings, blocks, or segments on clocks of their own, and no choice; an unknown
        stream or option.

    Notes
    -----
    neo is called with ``keep_original_times=True`` for Neuralynx, so that a file that is opened
    alone, its session and its video share one clock.
    """
    source = check_source(path, folder=True)
    tolerance = None
    if gap_tolerance is not None:
        tolerance = check_number(gap_tolerance, "gap_tolerance", "s", least=0)
    found = sources_of(source)
    if not found:
        raise FileFormatError(
            f"{source.name} is of a format that neither this package nor neo recognises",
            f"One of these was needed: {SUPPORTED}",
            "Export it to NWB, or to CSV with a time column",
        )
    failure: Exception | None = None
    for candidate in found:
        kind = candidate.reader.removesuffix("IO")
        try:
            with explained(source, kind), _quiet():
                parts, about = _parts(candidate, block, stream, tolerance, reader_options, source)
                parts = _chosen(parts, segment, source.name)
                recording = _dataset(parts, candidate.reader, noise, source.name)
                recording = recording.assign_attrs(about)
            return stamped(recording, source, f"neo {kind}" if kind != "Plexon" else "Plexon")
        except (FileFormatError, MissingDependencyError) as error:
            failure = failure or error
    assert failure is not None
    raise failure


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep what neo prints and warns about its own code from the user; errors come through."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        for kind in (DeprecationWarning, FutureWarning, PendingDeprecationWarning, UserWarning):
            warnings.simplefilter("ignore", kind)
        yield


# ------------------------------------------------------------------ calling the reader


def _parts(
    candidate: Source,
    block: int | None,
    stream: str | Sequence[str] | None,
    tolerance: float | None,
    options: Mapping[str, Any] | None,
    source: Path,
) -> tuple[list[Part], dict[str, Any]]:
    """Return the segments, and what there is to say of them in the attrs."""
    if candidate.reader == "Plexon":
        _check_options({}, options, "Plexon")
        return read_plexon(candidate.path, stream=stream, gap_tolerance=tolerance), {}
    if candidate.reader == "NixIO":
        _check_nix(candidate.path)
    events = read_events(candidate.events)
    if candidate.reader == "Neuralynx events":
        return [part_of_events(events)], {}
    with shown_to_reader(candidate) as path:
        reader, used = _opened(candidate, path, tolerance, options, source)
        about = {} if used is None else {"gap_tolerance": used}
        if not hasattr(reader, "get_analogsignal_chunk"):
            return _parts_of_objects(reader, block, stream, source.name), about
        try:
            number = _one_of(block, reader.block_count(), "block", source.name)
            parts = parts_of_raw(reader, candidate.reader, number, stream, source.name)
        finally:
            _close(reader)
        # The samples are in memory from here on: files may go.
        if candidate.reader == "OpenEphysIO":
            parts = without_filling(parts, path)
        elif candidate.reader == "OpenEphysBinaryIO":
            parts = with_pauses(parts, path)
        elif candidate.reader == "NeuralynxIO" and events:
            parts = with_events(parts, events)
        if candidate.reader == "BlackrockIO":
            parts = [_from_first_spike(p) for p in parts] if len(parts) == 1 else parts
    return parts, about


def _check_nix(path: Path) -> None:
    import h5py

    check_heaps(path)
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            check_hdf5(file, path.name, everything=True)


def _close(reader: Any) -> None:
    """Close the files that a reader of neo (0.14) leaves to the garbage collector."""
    for held in list(vars(reader).values()):
        for file in held.values() if isinstance(held, dict) else [held]:
            if isinstance(file, io.IOBase):
                file.close()


def _from_first_spike(part: Part) -> Part:
    """Start a part without signals where its clock starts, not with its first event."""
    if part.signals or not part.trains:
        return part
    times = np.concatenate([t.times for t in part.trains])
    return replace(part, start=min(part.start, start_of_clock(times)[0]))


def _opened(
    candidate: Source,
    path: Path,
    tolerance: float | None,
    options: Mapping[str, Any] | None,
    source: Path,
) -> tuple[Any, float | None]:
    """Return the reader, and the gap tolerance (s) it was called with where it needed one."""
    import neo.io

    kind = getattr(neo.io, candidate.reader)
    settings = dict(candidate.options)
    gaps = candidate.reader in GAP_TOLERANCE
    if tolerance is not None and gaps:
        settings["gap_tolerance_ms"] = 1e3 * tolerance
    elif tolerance is not None:
        raise NameUnknownError(
            f"gap_tolerance={tolerance:g} came for {source.name}, a recording of "
            f"{candidate.reader.removesuffix('IO')}",
            "It is an option of Neuralynx, Blackrock and Plexon; in others the times of the "
            "samples show the pauses",
            "Leave it out",
        )
    settings |= _check_options(_options_of(kind), options, candidate.reader)
    try:
        return _called(kind, candidate.reader, path, settings), tolerance
    except ValueError as error:
        # neo refuses pauses unless it is told what a pause is.
        if not (gaps and "gap_tolerance" in str(error) and tolerance is None):
            raise
    settings["gap_tolerance_ms"] = 1e3 * GAP
    return _called(kind, candidate.reader, path, settings), GAP


def _called(kind: Any, name: str, path: Path, settings: dict[str, Any]) -> Any:
    try:
        return kind(str(path), **settings)
    except (ImportError, AssertionError, AttributeError) as error:
        text = str(error)
        known = isinstance(error, ImportError) or re.search(
            r"install|not available|dateutil|No module|requires? ", text
        )
        if name not in EXTRAS or not known:
            raise
        raise MissingDependencyError(
            f"Files of {name.removesuffix('IO')} need a package that is not installed: {text}",
            "The package that neo reads them with was needed",
            f"Run: {EXTRAS[name]}",
        ) from error


def _options_of(kind: Any) -> dict[str, Any]:
    own: dict[str, Any] = {}
    for base in inspect.getmro(kind)[:2]:
        own |= dict(inspect.signature(base).parameters)
    skipped = ("self", "filename", "dirname", "kargs", "kwargs", "args")
    return {k: v for k, v in own.items() if k not in skipped}


def _check_options(
    known: Mapping[str, Any], options: Mapping[str, Any] | None, reader: str
) -> dict[str, Any]:
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise KindError(
            f"reader_options is a {type(options).__name__}",
            "A dict of options of the reader was needed",
            "Pass reader_options={'load_nev': False}",
        )
    for name in options:
        if name not in known:
            raise NameUnknownError(
                f"reader_options holds {name!r}, which {reader} does not have",
                f"Its options were needed: {', '.join(known) or 'none'}",
                nearest(str(name), known),
            )
    return dict(options)


def _parts_of_objects(
    reader: Any, block: int | None, stream: str | Sequence[str] | None, source: str
) -> list[Part]:
    try:
        blocks = reader.read_all_blocks() if hasattr(reader, "read_all_blocks") else None
        if blocks is None:
            blocks = [reader.read_block()]
    finally:
        if hasattr(reader, "close"):
            reader.close()
    if not blocks:
        raise FileFormatError(
            f"{source} holds no block that neo has written",
            "A recording of spikes or signals was needed",
            "Read it with nixio, and pass the arrays to nr.data.from_traces or from_spikes",
        )
    parts = parts_of_block(blocks[_one_of(block, len(blocks), "block", source)], source)
    if stream is None:
        return parts
    wanted = [stream] if isinstance(stream, str) else list(stream)
    return [replace(p, signals=[s for s in p.signals if s.name in wanted]) for p in parts]


def _one_of(number: int | None, n: int, what: str, source: str) -> int:
    if number is None and n == 1:
        return 0
    if number is None or not 0 <= number < n:
        raise NameUnknownError(
            f"{source} holds {n} {what}s and {what}={number} came",
            f"One {what} was needed: a recording has one clock",
            f"Pass {what}=0" + (f" ... {n - 1}" if n > 1 else ""),
        )
    return number


def _chosen(parts: list[Part], segment: int | None, source: str) -> list[Part]:
    if not parts:
        raise _empty(source)
    if segment is not None:
        return [parts[_one_of(segment, len(parts), "segment", source)]]
    if len(parts) == 1:
        return parts
    if follow_each_other(parts) and in_one(parts) is not None:
        return parts
    raise NameUnknownError(
        f"{source} holds {len(parts)} segments and segment={segment} came",
        "One segment was needed: they are on clocks of their own, or differ in their channels",
        f"Pass segment=0 ... {len(parts) - 1}; join trials with data.join_trials",
    )


# ------------------------------------------------------------------ the recording


def _dataset(parts: list[Part], reader: str, noise: bool, source: str) -> xr.Dataset:
    part = in_one(parts)
    assert part is not None
    recording = xr.Dataset()
    left = list(part.left)
    trains = part.trains
    if not noise:
        taken = [t for t in trains if t.kind == "noise"]
        trains = [t for t in trains if t.kind != "noise"]
        if taken:
            shown = ", ".join(f"{t.label} ({len(t.times)} spikes)" for t in taken)
            left.append(f"noise, which noise=True reads: {shown}")
    if trains:
        recording = add_spikes(
            recording, [t.times for t in trains], unit=[t.label for t in trains]
        )
        kinds = np.array([t.kind for t in trains])
        about = {"long_name": "what the acquisition system says of the unit"}
        recording = recording.assign_coords(unit_kind=("unit", kinds, about))
    for k, signal in enumerate(part.signals):
        suffix = f"_{k}" if len(part.signals) > 1 else ""
        axis, across = f"sample{suffix}", f"channel{suffix}"
        recording[f"{axis}_time"] = (axis, signal.time, {"units": "s"})
        attrs: dict[str, Any] = {"units": signal.units}
        if np.isfinite(signal.rate):
            attrs["sampling_rate"] = signal.rate
        if signal.name:
            attrs["long_name"] = signal.name
        recording[f"signal{suffix}"] = ((axis, across), signal.values, attrs)
        recording = recording.assign_coords({across: np.array(signal.channels, dtype=str)})
    events = [e for e in part.events if len(e[1])]
    if events:
        moments = np.concatenate([e[1] for e in events])
        texts = np.concatenate([np.asarray(e[2]).astype(str) for e in events])
        channels = np.repeat(np.array([e[0] for e in events]), [len(e[1]) for e in events])
        order = np.argsort(moments, kind="stable")
        recording["event_time"] = ("event", moments[order], {"units": "s"})
        recording["event_label"] = ("event", texts[order])
        recording["event_channel"] = ("event", channels[order])
    if not recording.data_vars:
        raise _empty(source, left)
    if trains or part.signals:
        stretches = _stretches(parts, part)
        recording = set_intervals(recording, stretches[:, 0], stretches[:, 1])
        begins = [float(s.time[0]) for s in part.signals]
        if begins and reader in _CLOCKS:
            clock = f"{_CLOCKS[reader]}; the first sample is at {min(begins):.12g} s"
            recording.attrs["clock"] = clock
        elif reader in _CLOCKS:
            recording.attrs["clock"] = _CLOCKS[reader]
        if len(stretches) > 1:
            gaps = stretches[1:, 0] - stretches[:-1, 1]
            recording.attrs["pauses"] = f"{len(gaps)}, together {gaps.sum():.6g} s"
    if left:
        recording.attrs["not_read"] = ", ".join(left)
    return recording


def _stretches(parts: list[Part], part: Part) -> NDArray[np.float64]:
    """Return what was recorded, (stretch, 2), s: all that has times, less the signals' pauses."""
    times = np.concatenate([*(t.times for t in part.trains), np.empty(0)])
    first = min(p.start for p in parts)
    last = max(p.stop for p in parts)
    if len(times):
        first = min(first, just_before(float(times.min())))
        last = max(last, float(times.max()))
    covered = [_covered(s.time, s.rate) for s in part.signals if np.isfinite(s.rate)]
    if not covered:
        covered = [np.array([[p.start, p.stop]]) for p in parts]
    inside = united(covered)
    if len(inside) < 2:
        return np.array([[first, last]])
    pauses = np.stack([inside[:-1, 1], inside[1:, 0]], axis=1)
    return without_ranges([[first, last]], pauses)


def _covered(time: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    blocks = find_blocks(time, 1 / rate)
    return np.stack([time[blocks[:, 0]], time[blocks[:, 1] - 1]], axis=1)


def _empty(source: str, left: Sequence[str] = ()) -> FileFormatError:
    return FileFormatError(
        f"{source} holds no spike trains, signals or events"
        + (f"; left out: {', '.join(left)}" if left else ""),
        "At least one of them was needed",
        "Is it the header of a recording whose data file is missing?",
    )
