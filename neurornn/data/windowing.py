"""The one door from a recording to a model: labelled windows with a mask."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_clock,
    check_count,
    check_number,
    check_numbers,
    check_positive,
)
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn._core.old_names import renamed
from neurornn.data.binning import bin_spikes
from neurornn.data.intervals import support
from neurornn.data.recording import TIME_CONVENTION, sampling_rate_of
from neurornn.data.resampling import resample_to
from neurornn.data.samples import Samples
from neurornn.data.splitting import check_windows, split_blocks

#: Share of a window that only warms the state up, where the recording did not start at rest.
WARMUP_SHARE = 0.25

Source = str | xr.DataArray | Sequence[str | xr.DataArray]


@renamed(split="fractions")
def windows(
    recording: xr.Dataset,
    *,
    inputs: Source,
    targets: Source,
    duration: float,
    warmup: float | None = None,
    horizon: int = 0,
    fractions: Sequence[float] | None = None,
    gap: float = 1.0,
    trials: bool = False,
    bin_size: float | None = None,
) -> Any:
    """Cut a recording into windows of inputs and targets for a model.

    Parameters
    ----------
    recording : Dataset.
    inputs, targets : name of a variable, DataArray (time, ...), or a list of them
        ``"spikes"`` stands for the spike times binned onto the frames of the targets,
        ``"interval"`` for 1 inside the recording's intervals and 0 outside. A variable on another
        clock is brought onto the frames. Everything but ``time`` is laid out along one axis.
    duration : s
        Length of a window, warm-up included; the last window of a stretch may be shorter and is
        masked.
    warmup : s
        First part of every window, in which the model runs but is not scored, because the state it
        starts from is not known. Windows overlap by this much, so that every later frame is scored
        once. By default a quarter of `duration`, and 0 where `trials` is set.
    horizon : frames
        Targets are taken so many frames after the inputs: 1 asks for the next frame.
    fractions : of the recorded time
        Return one set of windows for each, cut from blocks that are `gap` s apart.
    gap : s
    bin_size : s, of the frames where ``"spikes"`` are the targets.
    trials : each interval of the recording is a trial that starts at rest.

    Returns
    -------
    Dataset, or a tuple of them where `fractions` are given
        ``inputs (trial, time, input)``, ``targets (trial, time, output)``,
        ``mask (trial, time, output)`` (True where a target counts: recorded, not NaN, after the
        warm-up), ``start (trial)`` in s on the recording's clock. NaN inputs and targets are 0 and
        masked. ``time`` is the end of each frame since the start of the window.

    Raises
    ------
    NameUnknownError, KindError, ShapeError, DataError, SplitError
        An unknown variable, inputs that miss frames, windows longer than the recording.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_calcium(1, 60.0, 30.0, rng=0)
    >>> win = nr.data.windows(rec, inputs="spikes", targets="dff", duration=20.0)
    >>> dict(win["inputs"].sizes)
    {'trial': 4, 'time': 600, 'input': 1}
    """
    if not isinstance(recording, xr.Dataset):
        raise KindError(
            f"recording is a {type(recording).__name__}",
            "A recording, an xarray.Dataset, was needed",
            "Open a file with nr.open, or make one with nr.data.from_traces",
        )
    if not isinstance(trials, bool | np.bool_):
        raise KindError(
            f"trials is a {type(trials).__name__}",
            "True or False was needed",
            "Set the trials with data.set_intervals, and pass trials=True",
        )
    horizon = check_count(horizon, "horizon", 0)
    gap = check_number(gap, "gap", "s")
    if fractions is not None:
        parts = split_blocks(recording, fractions=fractions, gap=gap)
        return tuple(
            windows(
                part,
                inputs=inputs,
                targets=targets,
                duration=duration,
                warmup=warmup,
                horizon=horizon,
                trials=trials,
                bin_size=bin_size,
            )
            for part in parts
        )
    length = check_positive(duration, "duration", "s")
    if isinstance(targets, str) and targets == "spikes" and targets not in recording:
        targets = bin_spikes(recording, bin_size)
    target = _stack(recording, targets, None, "targets")
    clock, rate = target["time"].values, sampling_rate_of(target)
    dt = 1 / rate
    source = _stack(recording, inputs, target, "inputs")
    # No window is longer than the recording, whatever was asked for.
    n_frames = round(min(length * rate, len(clock) + 1.0))
    share = 0.0 if trials else WARMUP_SHARE
    warm = (
        share * n_frames / rate if warmup is None else check_number(warmup, "warmup", "s", least=0)
    )
    n_warmup = round(min(warm * rate, len(clock) + 1.0))
    if not 0 <= n_warmup < n_frames:
        raise DataError(
            f"warmup is {n_warmup} and duration {n_frames} frames",
            "A warm-up shorter than the window was needed",
            "Pass warmup=0.0 for windows that start at rest",
        )
    ranges = _stretches(recording, clock, dt)
    rows = np.concatenate([np.arange(a, b) for a, b in ranges] or [np.empty(0, np.intp)])
    samples = Samples(
        values=source.values[rows],
        run=np.repeat(np.arange(len(ranges)), [b - a for a, b in ranges]),
        unit=source["feature"].values,
        targets=target.values[rows],
        output=target["feature"].values,
        time=clock[rows],
        sampling_rate=rate,
    )
    cut = samples.windows(n_frames, n_warmup, horizon, whole=trials)
    begin, end = cut.edges.T
    first, last = samples.clock[begin] - dt, samples.clock[end + horizon - 1]
    check_windows(first, last, [(clock[a] - dt, clock[b - 1]) for a, b in ranges])
    return xr.Dataset(
        {
            "inputs": (("trial", "time", "input"), cut.values, dict(source.attrs)),
            "targets": (("trial", "time", "output"), cut.targets, dict(target.attrs)),
            "mask": (
                ("trial", "time", "output"),
                cut.mask,
                {"long_name": "True where the target is scored"},
            ),
            "start": (
                "trial",
                first,
                {"units": "s", "long_name": "start on the recording's clock"},
            ),
        },
        coords={
            "time": (
                "time",
                (np.arange(cut.mask.shape[1]) + 1) * dt,
                {
                    "units": "s",
                    "long_name": "time since the start of the window",
                    "convention": TIME_CONVENTION,
                },
            ),
            "input": source["feature"].values,
            "output": target["feature"].values,
        },
        attrs={"dt": dt, "warmup": n_warmup * dt, "horizon": horizon},
    )


def _stack(
    recording: xr.Dataset, what: Source, onto: xr.DataArray | None, role: str
) -> xr.DataArray:
    """Bring one or several variables to (time, feature) on the frames of `onto`."""
    items: list[Any] = list(what) if isinstance(what, list | tuple) else [what]
    for item in items:
        if not isinstance(item, str | xr.DataArray):
            raise KindError(
                f"{role} holds a {type(item).__name__}",
                "Names of variables or DataArrays with a time axis were needed",
                "Add the array to the recording, and name it",
            )
    if not items:
        raise DataError(f"No {role} came", "At least one variable was needed", "Name one")
    flat = [_one(recording, item, onto, role) for item in items]
    if onto is None:
        lengths = {f.sizes["time"] for f in flat}
        if len(lengths) > 1:
            raise ShapeError(
                f"The {role} have {sorted(lengths)} frames",
                "Variables on one clock were needed",
                "Bring them onto one clock first with data.resample_to",
            )
    values = np.concatenate([f.values for f in flat], axis=1)
    labels = np.concatenate([f["feature"].values.astype(str) for f in flat])
    if len(set(labels)) < len(labels):
        names = [str(getattr(i, "name", i)) for i in items]
        labels = np.concatenate(
            [[f"{n} {v}" for v in f["feature"].values] for n, f in zip(names, flat, strict=True)]
        )
    attrs = {k: v for k, v in flat[0].attrs.items() if len(flat) == 1 or k == "sampling_rate"}
    return xr.DataArray(
        values,
        dims=("time", "feature"),
        coords={"time": flat[0]["time"].values, "feature": labels},
        attrs=attrs,
        name=role,
    )


def _one(
    recording: xr.Dataset, item: str | xr.DataArray, onto: xr.DataArray | None, role: str
) -> xr.DataArray:
    if isinstance(item, str) and item in ("spikes", "interval") and item not in recording:
        if onto is None:
            raise KindError(
                f"{item!r} came as {role}",
                "A variable with frames of its own was needed here",
                "Bin the spikes first: nr.data.bin_spikes(recording, bin_size=0.02)",
            )
        return _spikes_on(recording, onto) if item == "spikes" else _interval_on(recording, onto)
    if isinstance(item, str):
        if item not in recording:
            known = [*map(str, recording.data_vars), "spikes", "interval"]
            raise NameUnknownError(
                f"The recording has no variable {item!r}",
                f"The name of a variable was needed for {role}",
                nearest(item, known),
            )
        item = recording[item]
    clock = next((str(d) for d in item.dims if d == "time" or f"{d}_time" in recording), None)
    if clock is None:
        raise ShapeError(
            f"{item.name} has dims {tuple(map(str, item.dims))}",
            "A variable with a time axis was needed",
            "Spike times are named by inputs='spikes'",
        )
    if clock != "time":
        if onto is None:
            raise KindError(
                f"{item.name} is on its own clock",
                f"A variable on the frames was needed as {role}",
                "Bring it onto the frames first with data.resample_to",
            )
        item = resample_to(item, recording[f"{clock}_time"], onto["time"].values)
    elif "time" not in item.coords:
        raise ShapeError(
            f"{item.name or role} has a time axis without time stamps",
            "A time stamp in s for each frame was needed",
            "Make it with nr.data.from_traces(values, sampling_rate=...)",
        )
    elif onto is not None and not np.array_equal(item["time"].values, onto["time"].values):
        item = resample_to(item, item["time"], onto["time"].values)
    rest = [d for d in item.dims if d != "time"]
    item = item.transpose("time", *rest)
    check_clock(item["time"].values)
    values = check_numbers(item, str(item.name or role), missing=True)
    values = values.reshape(item.sizes["time"], int(np.prod(item.shape[1:])))
    single = len(rest) == 1 and rest[0] in item.coords
    labels = item[rest[0]].values if single else np.arange(values.shape[1])
    attrs = {**item.attrs, "sampling_rate": sampling_rate_of(item)}
    return xr.DataArray(
        values,
        dims=("time", "feature"),
        coords={"time": item["time"].values, "feature": labels},
        attrs=attrs,
    )


def _spikes_on(recording: xr.Dataset, onto: xr.DataArray) -> xr.DataArray:
    counts = bin_spikes(recording, time=onto["time"].values)
    return counts.rename(unit="feature").astype(np.float64)


def _interval_on(recording: xr.Dataset, onto: xr.DataArray) -> xr.DataArray:
    time = onto["time"].values
    inside = np.zeros(len(time))
    for start, stop in zip(recording["start"].values, recording["stop"].values, strict=True):
        inside[(time > start) & (time <= stop)] = 1.0
    return xr.DataArray(
        inside[:, None], dims=("time", "feature"), coords={"time": time, "feature": ["interval"]}
    )


def _stretches(
    recording: xr.Dataset, clock: NDArray[np.float64], dt: float
) -> list[tuple[int, int]]:
    """First and one-past-last frame of each gapless stretch."""
    edges = [np.searchsorted(clock, side + 0.5 * dt) for side in support(recording).T]
    return [(int(a), int(b)) for a, b in zip(*edges, strict=True) if b > a]
