"""What is compared: one split of the data, scaled by its training part."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr

from neurornn._core.checks import check_count, check_numbers, check_positive
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.rng import derived_seed
from neurornn.data.recording import sampling_rate_of
from neurornn.data.samples import check_fractions, parts_in_order
from neurornn.data.windowing import windows
from neurornn.models.baselines import Memoryless
from neurornn.training.batches import TrainingData, as_training_data


class Task(NamedTuple):
    """Training, validation and test data of one split, and what horizons mean for them."""

    train: TrainingData
    validation: TrainingData
    test: TrainingData
    dt: float
    first_horizon: int
    feeds_itself: bool
    time_unit: str


def task_of(
    data: Any, fractions: Sequence[float], duration: float, rng: int, clock: tuple[float, str]
) -> Task:
    """Split first, cut windows inside each part after; arrays take the clock of the recipes."""
    shares = check_fractions(fractions)
    if len(shares) != 3:
        raise DataError(
            f"fractions has {len(shares)} parts, {shares[:5].tolist()}",
            "Three fractions above 0 with sum 1, for training, validation and test, were needed",
            "Pass fractions=(0.7, 0.15, 0.15)",
        )
    if isinstance(data, xr.DataArray) and "time" in data.dims and "trial" not in data.dims:
        name = str(data.name or "series")
        dt = 1 / sampling_rate_of(data)
        values = check_numbers(data, name, missing=True)
        parts = windows(
            xr.Dataset({name: data.copy(data=values)}),
            inputs=name,
            targets=name,
            duration=duration,
            horizon=1,
            fractions=fractions,
        )
        n = data.sizes.get("unit", 1)
        carrier = Memoryless(n, n, dt=dt)
        train, validation, test = (as_training_data(p, carrier) for p in parts)
        return Task(train, validation, test, dt, 1, True, "s")
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
            "A DataArray (time, unit), windows or a pair (inputs, targets) were needed",
            'Pass for example recording["dff"]',
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
        in_mean, in_sd = out_mean, out_sd
    in_sd, out_sd = (torch.where(s > 0, s, 1.0) for s in (in_sd, out_sd))
    if not gaussian:
        out_mean, out_sd = torch.zeros_like(out_mean), torch.ones_like(out_sd)

    def scaled(part: TrainingData) -> TrainingData:
        targets = torch.where(part.mask, (part.targets - out_mean) / out_sd, 0.0)
        return TrainingData((part.inputs - in_mean) / in_sd, targets, part.mask)

    parts = [scaled(p) for p in (task.train, task.validation, task.test)]
    return task._replace(train=parts[0], validation=parts[1], test=parts[2])
