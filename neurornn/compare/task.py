"""What is compared: one split of the data, scaled by its training part."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.checks import check_count, check_number, check_numbers, check_positive
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.rng import derived_seed
from neurornn.data.recording import sampling_rate_of
from neurornn.data.resampling import resample_to
from neurornn.data.rows import as_samples
from neurornn.data.samples import Windows, check_fractions, parts_in_order
from neurornn.data.windowing import WARMUP_SHARE, windows
from neurornn.models.baselines import Memoryless
from neurornn.training.batches import TrainingData, as_training_data


class Task(NamedTuple):
    """Training, validation and test data of one split, and what horizons mean for them.

    Attributes
    ----------
    seen : (trial, time, input), bool, of each part, where a series forecasts itself
        False where an input was not recorded, for models that leave such frames out.
    n_known : how many of the inputs, the last ones, are known ahead of a series that forecasts
        itself. At each step stands the input of the frame that is to be forecast.
    starts : (trial,), frame that each window of a part begins with, where it is one of a series
        that forecasts itself; None for trials, which begin anew.
    labels : (output,), of a series that forecasts itself.
    counts : the targets are counts, scored in bits per spike too.
    centre, scale : (output,), which the targets were scaled by.
    """

    train: TrainingData
    validation: TrainingData
    test: TrainingData
    dt: float
    first_horizon: int
    feeds_itself: bool
    time_unit: str
    seen: tuple[Tensor, ...] | None = None
    n_known: int = 0
    starts: tuple[Tensor, ...] | None = None
    labels: NDArray[Any] | None = None
    counts: bool = False
    centre: Tensor | float = 0.0
    scale: Tensor | float = 1.0

    def recorded(self, part: TrainingData) -> Tensor:
        """Where the inputs of a part were recorded, (trial, time, input); else everywhere."""
        which = self._which(part)
        if self.seen is None or which is None:
            return torch.ones_like(part.inputs, dtype=torch.bool)
        return self.seen[which]

    def begins(self, part: TrainingData) -> Tensor | None:
        """Frame that each window of a part begins with, (trial,); None for trials."""
        which = self._which(part)
        return None if self.starts is None or which is None else self.starts[which]

    def _which(self, part: TrainingData) -> int | None:
        """Number of a part; inputs of it may have been replaced."""
        return next((k for k, mine in enumerate(self[:3]) if mine.mask is part.mask), None)


def task_of(
    data: Any,
    fractions: Sequence[float],
    duration: float,
    rng: int,
    clock: tuple[float, str],
    known: Any = None,
) -> Task:
    """Split first, cut windows inside each part after; arrays take the clock of the recipes.

    Parameters
    ----------
    known : DataArray (time, ...), inputs that are known ahead of a series that forecasts itself.
    """
    shares = check_fractions(fractions)
    if len(shares) != 3:
        raise DataError(
            f"fractions has {len(shares)} parts, {shares[:5].tolist()}",
            "Three fractions above 0 with sum 1, for training, validation and test, were needed",
            "Pass fractions=(0.7, 0.15, 0.15)",
        )
    if isinstance(data, xr.DataArray) and "time" in data.dims and "trial" not in data.dims:
        name = "series" if data.name in (None, "known") else str(data.name)
        dt = 1 / sampling_rate_of(data)
        values = check_numbers(data, name, missing=True)
        also = {} if known is None else {"known": _ahead(known, data)}

        def cut(x: Any, also: dict[str, xr.DataArray]) -> Any:
            recording = xr.Dataset({name: data.copy(data=x), **also})
            return windows(
                recording, inputs=[name, *also], targets=name, duration=duration, horizon=1,
                fractions=fractions,
            )  # fmt: skip

        parts = cut(values, also)
        n_in, n_out = int(parts[0].sizes["input"]), int(parts[0].sizes["output"])
        carrier = Memoryless(n_in, n_out, dt=dt)
        train, validation, test = (as_training_data(p, carrier) for p in parts)
        # Windows hold 0 for what was not recorded, and so does the tail of the last one.
        finite = {k: u.copy(data=np.isfinite(u) * 1.0) for k, u in also.items()}
        there = cut(np.isfinite(values) * 1.0, finite)
        seen = tuple(torch.from_numpy(p["inputs"].values > 0) for p in there)
        starts = tuple(torch.from_numpy(np.rint(p["start"].values / dt)).long() for p in parts)
        return Task(
            train, validation, test, dt, 1, True, "s", seen, n_in - n_out, starts,
            _labels(data, n_out),
        )  # fmt: skip
    if known is not None:
        raise KindError(
            f"inputs came beside data that are a {type(data).__name__}"
            + (" of trials" if isinstance(data, xr.DataArray) else ""),
            "A series (time, unit) that forecasts itself was needed beside inputs known ahead",
            'Pass rec["dff"] with inputs=rec["stimulus"]; windows and pairs hold their own',
        )
    if isinstance(data, xr.DataArray) and {"trial", "time"} <= set(data.dims):
        return _task_of_trials(data, shares, rng)
    if isinstance(data, xr.Dataset) and "inputs" in data:
        dt = check_positive(data.attrs.get("dt", 1.0), "dt of the windows")
        n_in, n_out = data.sizes["input"], data.sizes["output"]
        unit = str(data.attrs.get("time_unit", "s"))
    elif isinstance(data, tuple | list) and len(data) in (2, 3):
        dt, unit = clock
        n_in, n_out = (
            _n_last(d, what) for d, what in zip(data, ("inputs", "targets"), strict=False)
        )
    else:
        raise KindError(
            f"data is a {type(data).__name__}",
            "A DataArray (time, unit) or (trial, time, unit), windows or a pair (inputs, targets) "
            "were needed",
            "Count its spikes: nr.data.bin_spikes(recording, bin_size=0.02)"
            if isinstance(data, xr.Dataset) and "spike_times" in data
            else 'Pass for example recording["dff"]',
        )
    whole = as_training_data(data, Memoryless(n_in, n_out, dt=dt))
    n = len(whole.inputs)
    # Windows of one recording stay in the order of time, with a window left out at each edge.
    in_time = isinstance(data, xr.Dataset) and "start" in data
    pieces = parts_in_order(n, shares, int(in_time), "trials")
    if not in_time:
        order = np.random.default_rng(derived_seed(rng, 99)).permutation(n)
        pieces = [order[p] for p in pieces]
    parts = [whole.pick(torch.from_numpy(p)) for p in pieces]
    return Task(parts[0], parts[1], parts[2], dt, 0, False, unit)


def _task_of_trials(data: xr.DataArray, shares: Any, rng: int) -> Task:
    """Split whole trials; each forecasts itself, and its first quarter is history alone."""
    name = str(data.name or "series")
    data = data.transpose("trial", "time", ...)
    dt = 1 / sampling_rate_of(data)
    rows = as_samples(data.copy(data=check_numbers(data, name, missing=True)))
    values = rows.values
    if rows.mask is not None:
        values = np.where(rows.mask[:, None], values, np.nan)
    n_frames = data.sizes["time"]
    warm = round(WARMUP_SHARE * n_frames)

    def cut(x: NDArray[np.float64]) -> Windows:
        return rows._replace(values=x, targets=x, mask=None).windows(n_frames, warm, 1, whole=True)

    x, y, mask, _ = cut(values)
    order = np.random.default_rng(derived_seed(rng, 99)).permutation(len(x))
    pieces = [torch.from_numpy(order[p]) for p in parts_in_order(len(x), shares, 0, "trials")]
    whole = TrainingData(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(mask))
    there = torch.from_numpy(cut(np.isfinite(values) * 1.0).values > 0)
    parts = [whole.pick(p) for p in pieces]
    return Task(
        parts[0], parts[1], parts[2], dt, 1, True, "s", tuple(there[p] for p in pieces),
        labels=_labels(data, values.shape[1]),
    )  # fmt: skip


def _labels(data: xr.DataArray, n: int) -> NDArray[Any]:
    """Labels of the units of a series, (unit,)."""
    rest = [d for d in data.dims if d not in ("trial", "time")]
    if len(rest) == 1 and rest[0] in data.coords:
        return np.asarray(data[rest[0]].values)
    return np.arange(n)


def hold_counts(task: Task) -> bool:
    """Whether all targets are whole numbers of 0 or more, and some are above 0."""
    seen = [torch.where(part.mask, part.targets, 0.0) for part in task[:3]]
    return all(bool(((y >= 0) & (y == y.round())).all()) for y in seen) and any(
        bool((y > 0).any()) for y in seen
    )


def _ahead(known: Any, series: xr.DataArray) -> xr.DataArray:
    """Inputs on the frames of a series, each moved to the frame before the one that it is of."""
    if not isinstance(known, xr.DataArray) or "time" not in known.dims:
        raise KindError(
            f"inputs is a {type(known).__name__}"
            + (
                f" over {', '.join(map(str, known.dims))}"
                if isinstance(known, xr.DataArray)
                else ""
            ),
            "A DataArray (time, channel) was needed",
            'Pass a variable of the recording, such as rec["stimulus"]',
        )
    if "time" in series.coords and "time" in known.coords:
        time = series["time"].values
        if not np.array_equal(known["time"].values, time):
            known = resample_to(known, known["time"], time)
    elif known.sizes["time"] != series.sizes["time"]:
        raise ShapeError(
            f"inputs has {known.sizes['time']} frames and the series {series.sizes['time']}",
            "An input for every frame was needed",
            "Bring the inputs onto the frames with data.resample_to",
        )
    values = check_numbers(known.transpose("time", ...), "inputs", missing=True)
    values = values.reshape(len(values), -1)
    # A frame stands for the interval that ends with it, so that its input acts on the way to it.
    late = np.concatenate([values[1:], np.full((1, values.shape[1]), np.nan)])
    coords = {"time": series["time"]} if "time" in series.coords else {}
    return xr.DataArray(late, dims=("time", "known_input"), coords=coords)


def _n_last(values: Any, name: str) -> int:
    shape = check_numbers(values, name).shape
    if len(shape) != 3:
        raise ShapeError(
            f"{name} have shape {shape}",
            "An array (trial, time, input or output) was needed",
            "Add the missing axis: x[None] for one trial, x[..., None] for one channel",
        )
    return check_count(shape[2], f"The size of the {name}")


def scaled_task(task: Task, *, gaussian: bool) -> Task:
    """Scale by the training part; counts are left as they are."""
    x, y, mask = task.train
    flat = x.reshape(-1, x.shape[2])
    in_mean, in_sd = flat.mean(0), flat.std(0)
    count = mask.sum((0, 1)).clamp(min=1)
    out_mean = torch.where(mask, y, 0.0).sum((0, 1)) / count
    out_sd = torch.sqrt(torch.where(mask, (y - out_mean) ** 2, 0.0).sum((0, 1)) / count)
    if task.feeds_itself:
        n = y.shape[2]
        in_mean, in_sd = torch.cat([out_mean, in_mean[n:]]), torch.cat([out_sd, in_sd[n:]])
    in_sd, out_sd = (torch.where(s > 0, s, 1.0) for s in (in_sd, out_sd))
    if not gaussian:
        out_mean, out_sd = torch.zeros_like(out_mean), torch.ones_like(out_sd)

    def scaled(part: TrainingData) -> TrainingData:
        targets = torch.where(part.mask, (part.targets - out_mean) / out_sd, 0.0)
        return TrainingData((part.inputs - in_mean) / in_sd, targets, part.mask)

    parts = [scaled(p) for p in (task.train, task.validation, task.test)]
    return task._replace(
        train=parts[0], validation=parts[1], test=parts[2], centre=out_mean, scale=out_sd
    )


def horizons_in_frames(horizons: Sequence[Any], dt: float, time_unit: str) -> list[int]:
    """Whole numbers are frames; numbers with a decimal point are in the unit of the clock.

    Parameters
    ----------
    horizons : as they came.
    dt : of a frame, in `time_unit`.

    Raises
    ------
    DataError
        A time that is no whole number of frames to 1 %, or a horizon that comes twice.
    """
    found = []
    for given in horizons:
        if not isinstance(given, float | np.floating):
            found.append(check_count(given, "A horizon", 0))
            continue
        frames = check_number(given, "A horizon", time_unit, least=0) / dt
        nearest = math.floor(frames + 0.5)
        if abs(frames - nearest) > 0.01 * nearest:
            raise DataError(
                f"A horizon is {given:g} {time_unit}, {frames:.4g} frames of {dt:.4g} {time_unit}",
                "A whole number of frames, to 1 %, was needed",
                f"Pass horizons=({max(nearest, 1)},) in frames, or "
                f"({max(nearest, 1) * dt:.6g},) in {time_unit}",
            )
        found.append(nearest)
    if len(set(found)) < len(found):
        raise DataError(
            f"horizons is {tuple(horizons)}, in frames {tuple(found)}",
            "Different horizons were needed",
            "Leave out the one that comes twice",
        )
    return found
