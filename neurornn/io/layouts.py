"""Layouts that are known by the names of their variables, whatever file format carries them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_sampling_rate
from neurornn._core.errors import DataError, NameUnknownError, nearest
from neurornn.data.recording import from_spikes, from_traces, set_intervals
from neurornn.io.arrays import TrialTraces, no_rate, recording_from_trials

#: Spike times of the cell-attached layout are counted in ticks of the 10 kHz amplifier clock.
_TICK = 1e-4


def is_movement(bag: Mapping[str, Any]) -> bool:
    """Whether the variables are ``X (bin, 4)``, movement, and ``Y (bin, unit)``, counts."""
    x, y = bag.get("X"), bag.get("Y")
    return (
        isinstance(x, np.ndarray)
        and isinstance(y, np.ndarray)
        and x.ndim == y.ndim == 2
        and x.shape[1] == 4
        and len(x) == len(y)
        and bool(np.all(y >= 0) and np.all(y == np.round(y)))
    )


def counts_and_movement(
    movement: NDArray[Any], counts: NDArray[Any], sampling_rate: float | None, source: str
) -> xr.Dataset:
    """Read binned spikes with the position and velocity of a hand, trials end to end.

    Parameters
    ----------
    movement : (bin, 4); x, y, vx, vy. Where the velocity is exactly zero a trial starts.
    counts : (bin, unit).
    sampling_rate : bins per s.
    source : name of the file, for messages.

    Returns
    -------
    Dataset with ``counts (time, unit)``, ``position`` and ``velocity (time, axis)``; the trials
    are ``interval``s that touch.
    """
    if sampling_rate is None:
        raise no_rate(source, f"X and Y ({len(counts)} bins of {counts.shape[1]} units)")
    rate = check_sampling_rate(sampling_rate)
    recording = from_traces(counts, sampling_rate=rate, name="counts")
    recording["counts"].attrs = {"units": "1", "bin_size": 1 / rate}
    recording = recording.assign_coords(axis=["x", "y"])
    own = {"units": "as in the file", "sampling_rate": rate}
    recording["position"] = (("time", "axis"), movement[:, :2], own)
    recording["velocity"] = (("time", "axis"), movement[:, 2:], own)
    begins = np.flatnonzero((movement[:, 2:] == 0).all(axis=1))
    begins = np.unique(np.concatenate([[0], begins])).astype(int)
    ends = np.append(begins[1:], len(movement))
    return set_intervals(recording, begins / rate, ends / rate)


def cell_attached(
    trials: Any,
    source: str,
    indicator: str | None = None,
    rates: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Read trials of imaging with cell-attached spikes, the layout of the CASCADE database.

    Parameters
    ----------
    trials : one struct per trial with ``fluo_time`` (s), ``fluo_mean`` (dF/F), ``events_AP``
        (ticks of 1e-4 s) and, in newer files, ``fluo_raw``, ``neuropil``, ``cell_type``.
    source : name of the file, for messages.
    indicator : for the attrs.
    rates : what states the frame rate of all trials -> value; each trial must agree to 2 %.
    """
    structs = trials if isinstance(trials, list) else [trials]
    read = []
    cell_type = None
    for k, trial in enumerate(structs):
        missing = {"fluo_time", "fluo_mean", "events_AP"} - set(trial)
        if missing:
            raise NameUnknownError(
                f"Trial {k + 1} of {source} has no {', '.join(sorted(missing))}",
                "The fields fluo_time, fluo_mean and events_AP were needed in every trial",
                nearest(sorted(missing)[0], trial),
            )
        time = np.asarray(trial["fluo_time"], dtype=float).ravel()
        dff = np.asarray(trial["fluo_mean"]).ravel()
        if not len(dff):
            continue
        extra = {}
        for key, title in (("fluo_raw", "fluorescence"), ("neuropil", "neuropil")):
            raw = trial.get(key)
            if isinstance(raw, np.ndarray) and raw.size == dff.size:
                extra[title] = (raw.ravel(), "a.u.")
        spikes = np.asarray(trial["events_AP"], dtype=float).ravel() * _TICK
        read.append(TrialTraces(time=time, values=dff, spike_times=spikes, extra=extra))
        cell_type = trial.get("cell_type") or cell_type
    if not read:
        raise DataError(
            f"{source} holds {len(structs)} trials, all without frames",
            "At least one trial with fluorescence was needed",
            "Is this the right file?",
        )
    common = set.intersection(*(set(t.extra) for t in read))
    read = [
        TrialTraces(
            time=t.time,
            values=t.values,
            spike_times=t.spike_times,
            extra={k: v for k, v in t.extra.items() if k in common},
        )
        for t in read
    ]
    recording = recording_from_trials(read, indicator=indicator, rates=rates, source=source)
    if isinstance(cell_type, str):
        recording = recording.assign_coords(cell_type=("unit", np.array([cell_type])))
    return recording


def nested_spikes(days: list[Any], day: int | None, epoch: int | None, source: str) -> xr.Dataset:
    """Read cells ``spikes{day}{epoch}{tetrode}{unit}`` of structs with ``time`` in s.

    Parameters
    ----------
    days : the outermost cell.
    day, epoch : 1-based; needed where there are several.
    source : name of the file, for messages.

    Returns
    -------
    Dataset of spikes; units are labelled ``tetrode.cluster``. Clusters without a spike in the
    epoch are left out and named in the attribute ``clusters_without_spikes``.
    """
    epochs = _pick(days, day, "day", source)
    tetrodes = _pick(epochs if isinstance(epochs, list) else [epochs], epoch, "epoch", source)
    trains: list[NDArray[np.float64]] = []
    where: list[tuple[int, int]] = []
    silent: list[str] = []
    ranges: list[NDArray[np.float64]] = []
    for t, units in enumerate(_as_list(tetrodes), start=1):
        for u, unit in enumerate(_as_list(units), start=1):
            if not isinstance(unit, Mapping) or "time" not in unit:
                continue
            times = np.asarray(unit["time"], dtype=float).ravel()
            if len(times):
                trains.append(times)
                where.append((t, u))
            else:
                silent.append(f"{t}.{u}")
            extent = np.asarray(unit.get("timerange", []), dtype=float).ravel()
            if len(extent) == 2:
                ranges.append(extent)
    if not trains:
        raise DataError(
            f"{source} holds no unit with a field `time` and spikes in it",
            "Cells spikes{day}{epoch}{tetrode}{unit}.time were needed",
            "Choose another day= or epoch=",
        )
    start = min(float(r[0]) for r in ranges) if ranges else None
    stop = max(float(r[1]) for r in ranges) if ranges else None
    recording = from_spikes(
        trains, unit=np.array([f"{t}.{u}" for t, u in where]), t_start=start, t_stop=stop
    )
    return recording.assign_coords(
        tetrode=("unit", np.array([t for t, _ in where])),
        cluster=("unit", np.array([u for _, u in where])),
    ).assign_attrs({"clusters_without_spikes": ", ".join(silent)} if silent else {})


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _pick(cells: list[Any], number: int | None, name: str, source: str) -> Any:
    filled = [k for k, c in enumerate(cells, start=1) if isinstance(c, list | Mapping) and len(c)]
    if number is None and len(filled) == 1:
        return cells[filled[0] - 1]
    if number not in filled:
        raise NameUnknownError(
            f"{source} holds {name} {', '.join(map(str, filled)) or 'none'}; {name}={number} came",
            f"One {name} was needed: a recording has one clock",
            f"Pass {name}={filled[0] if filled else 1}",
        )
    return cells[number - 1]
