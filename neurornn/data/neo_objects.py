"""Objects of neo to recordings, without depending on neo; units are converted to s and Hz."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import DataError, KindError, NameUnknownError
from neurornn.data.foreign import in_unit, kind_of
from neurornn.data.labelled import as_labelled
from neurornn.data.recording import from_spikes, set_intervals
from neurornn.data.trains import refuse

_NEEDED = (
    "An object of neo was needed: a Block, a Segment, a SpikeTrain, AnalogSignal, "
    "IrregularlySampledSignal, Event or Epoch, or a list of these"
)


def from_neo(obj: Any, *, segment: int | None = None) -> xr.Dataset:
    """Make a recording of an object of neo, which need not be installed.

    Parameters
    ----------
    obj : Block, Segment, SpikeTrain, AnalogSignal, IrregularlySampledSignal, Event or Epoch, or a
        list of the last five; known by their attributes. Times in ms, us or any other unit become
        s, rates in 1/ms become Hz.
    segment : 0-based; which segment of a block. Needed where it has several: each is a recording.

    Returns
    -------
    Dataset, as `neurornn.open` gives it of a file that neo reads
        ``spike_times (spike)`` in s, the names of the trains (else their ids) on ``unit`` and
        what all of them are annotated with as its coordinates; ``signal (sample, channel)`` on
        its own clock ``sample_time (sample)`` in s, numbered where there are several, the first
        sample at ``t_start``; ``event_time (event)`` in s with ``event_label`` and
        ``event_channel``, and ``event_duration`` (s), 0 but for epochs. The ``interval`` is what
        was recorded, from the first ``t_start`` to the last ``t_stop``; trains of other lengths
        were observed from their own to their own. The attrs list what was left out in
        ``not_read``.

    Raises
    ------
    NameUnknownError
        Several segments and no choice, or a number that no segment has.
    KindError, DataError, UnitError
        Another kind of object; nothing in it; times in no unit of time.

    See Also
    --------
    neurornn.open : reads the files. from_spikes : takes lists of SpikeTrains too.

    Examples
    --------
    >>> import neo, quantities as pq
    >>> train = neo.SpikeTrain([10.0, 20.0] * pq.ms, t_stop=1 * pq.s, name="a")
    >>> recording = from_neo([train])
    >>> recording["spike_times"].values.tolist(), recording["unit"].values.tolist()
    ([0.01, 0.02], ['a'])
    """
    kind = kind_of(obj)
    if kind == "block":
        return _of_parts(_parts(_segment_of(obj, segment)))
    if segment is not None and kind != "segment":
        raise KindError(
            f"segment={segment} came for {type(obj).__name__}",
            "Only a Block has segments",
            "Leave it out",
        )
    if kind == "segment":
        return _of_parts(_parts(obj))
    if kind in _TAKEN:
        return _of_parts({kind: [obj]})
    listed = kind is None and isinstance(obj, Iterable) and hasattr(obj, "__len__")
    things = list(obj) if listed and not isinstance(obj, str | bytes | dict) else []
    kinds = [kind_of(t) for t in things]
    if things and all(k == "segment" for k in kinds):
        raise _several(len(things), "them[0]")
    odd = next((t for t, k in zip(things, kinds, strict=True) if k not in _TAKEN), None)
    if not things or odd is not None:
        raise refuse(obj if odd is None else odd, _NEEDED)
    parts: dict[str, list[Any]] = {}
    for thing, k in zip(things, kinds, strict=True):
        parts.setdefault(str(k), []).append(thing)
    return _of_parts(parts)


_TAKEN = ("train", "analog", "irregular", "event", "epoch")


def _several(n: int, first: str) -> NameUnknownError:
    return NameUnknownError(
        f"{n} segments came and no choice of one",
        "One segment was needed: each is a recording, on a clock of its own or behind a pause",
        f"Pass one, nr.data.from_neo({first}); with signals on `time`, nr.data.join_trials puts "
        "several recordings on one clock",
    )


def _segment_of(block: Any, segment: int | None) -> Any:
    segments = list(block.segments)
    if not segments:
        raise DataError(
            f"The Block {getattr(block, 'name', None) or ''} has no segments".replace("  ", " "),
            "A Block with one segment was needed",
            "Was it read lazily, or saved without data?",
        )
    if segment is None and len(segments) > 1:
        raise _several(len(segments), "block, segment=0")
    number = segment or 0
    if not 0 <= number < len(segments):
        raise NameUnknownError(
            f"segment is {segment} and the Block has {len(segments)}",
            "The number of a segment, counted from 0, was needed",
            "Pass segment=0" + (f" ... {len(segments) - 1}" if len(segments) > 1 else ""),
        )
    return segments[number]


def _parts(segment: Any) -> dict[str, list[Any]]:
    names = {
        **{"train": "spiketrains", "analog": "analogsignals"},
        **{"irregular": "irregularlysampledsignals", "event": "events", "epoch": "epochs"},
        "image": "imagesequences",
    }
    return {kind: list(getattr(segment, name, ())) for kind, name in names.items()}


def _of_parts(parts: dict[str, list[Any]]) -> xr.Dataset:
    trains = parts.get("train", [])
    recording = from_spikes(trains) if trains else xr.Dataset()
    signals = [s for k in ("analog", "irregular") for s in parts.get(k, []) if len(s)]
    left = [_title(t) for t in parts.get("image", [])]
    for k, signal in enumerate(signals):
        recording = _with_signal(recording, signal, f"_{k}" if len(signals) > 1 else "")
    recording = _with_events(recording, [*parts.get("event", []), *parts.get("epoch", [])])
    if not recording.data_vars:
        raise DataError(
            "An object of neo came that holds no spike trains, signals or events"
            + (f", but {', '.join(left)}" if left else ""),
            "At least one of them was needed",
            "Was it read lazily? Then load it: segment.load()",
        )
    recording = _with_stretch(recording, signals)
    return recording.assign_attrs(not_read=", ".join(left)) if left else recording


def _title(thing: Any) -> str:
    return f"{type(thing).__name__} {getattr(thing, 'name', None) or ''}".strip()


def _with_signal(recording: xr.Dataset, signal: Any, suffix: str) -> xr.Dataset:
    array = as_labelled(signal)
    axis, across = f"sample{suffix}", f"channel{suffix}"
    attrs = dict(array.attrs)
    if getattr(signal, "name", None):
        attrs["long_name"] = str(signal.name)
    out = recording.assign(
        {
            f"{axis}_time": (axis, array["time"].values, {"units": "s"}),
            f"signal{suffix}": ((axis, across), array.values, attrs),
        }
    )
    return out.assign_coords({across: array["unit"].values.astype(str)})


def _with_events(recording: xr.Dataset, events: Sequence[Any]) -> xr.Dataset:
    """Add events and epochs; an epoch is an event with a duration."""
    found = [e for e in events if len(e)]
    if not found:
        return recording
    times = [in_unit(e, "s", "the times of an event") for e in found]
    spans = [_durations(e) for e in found]
    texts = [_texts(e) for e in found]
    sources = np.repeat(
        [str(getattr(e, "name", None) or "") for e in found], list(map(len, times))
    )
    moments = np.concatenate(times)
    order = np.argsort(moments, kind="stable")
    about = {"units": "s", "long_name": "duration of the event; 0 of a moment"}
    return recording.assign(
        event_time=("event", moments[order], {"units": "s"}),
        event_label=("event", np.concatenate(texts)[order]),
        event_channel=("event", sources[order]),
        event_duration=("event", np.concatenate(spans)[order], about),
    )


def _durations(event: Any) -> NDArray[np.float64]:
    if kind_of(event) != "epoch":
        return np.zeros(len(event))
    return np.broadcast_to(in_unit(event.durations, "s", "durations"), (len(event),)).copy()


def _texts(event: Any) -> NDArray[Any]:
    labels = np.asarray(event.labels).astype(str)
    # neo lets an event go without labels.
    return labels if len(labels) == len(event) else np.full(len(event), "")


def _with_stretch(recording: xr.Dataset, signals: Sequence[Any]) -> xr.Dataset:
    """Set what was recorded: one stretch, from the first time of all to the last."""
    ends: list[float] = []
    if "start" in recording:
        ends += [float(recording["start"].values.min()), float(recording["stop"].values.max())]
    for signal in signals:
        time = as_labelled(signal)["time"].values
        ends += [float(time[0]), float(time[-1])]
    return set_intervals(recording, [min(ends)], [max(ends)]) if ends else recording
