"""Training data in one form, whatever came: windows, arrays, or a variable of a recording."""

from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.checks import check_finite_or_missing, check_numbers, check_positive
from neurornn._core.errors import DataError, KindError, ShapeError, UnitError
from neurornn.data.labelled import as_labelled
from neurornn.data.recording import sampling_rate_of
from neurornn.data.rows import is_list_of_trials
from neurornn.data.windowing import windows
from neurornn.models.base import RecurrentModel
from neurornn.training.trials import (
    check_same_units,
    labels_of,
    pad_trials,
    warn_of_time_first,
)

#: Length of the windows, s, into which a variable of a recording is cut for a forecast.
FORECAST_WINDOW = 20.0


class TrainingData(NamedTuple):
    """Inputs, targets and mask as tensors of one dtype.

    Attributes
    ----------
    inputs : (trial, time, input)
    targets : (trial, time, output)
    mask : (trial, time, output), bool; False where a target does not count.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor

    def to(self, dtype: torch.dtype, device: str = "cpu") -> "TrainingData":
        """Return the same on another dtype and device."""
        return TrainingData(
            self.inputs.to(device, dtype), self.targets.to(device, dtype), self.mask.to(device)
        )

    def pick(self, trials: Tensor) -> "TrainingData":
        """Return the trials named."""
        return TrainingData(self.inputs[trials], self.targets[trials], self.mask[trials])


def as_training_data(data: Any, model: RecurrentModel, name: str = "data") -> TrainingData:
    """Check data for a model and bring them to tensors (float64).

    Parameters
    ----------
    data : one of
        Dataset as made by `nr.data.windows`; a pair ``(inputs, targets)`` or a triple with a mask,
        each (trial, time, ...), as arrays, DataArrays or tensors, or each a list with (time, ...)
        of every trial, of any length; a DataArray (time, unit), which is cut into windows that ask
        for the next frame.
    model : gives the sizes and the clock.
    name : what the data are called in messages.

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Axes, sizes or clocks that do not fit; nothing to learn from.
    """
    data = as_labelled(data)
    if isinstance(data, xr.DataArray):
        if "trial" in data.dims or not data.sizes.get("time"):
            raise KindError(
                f"{name} is a DataArray over {', '.join(map(str, data.dims))}",
                "A series (time, unit) to be predicted from itself, or a pair of inputs and "
                "targets (trial, time, ...), was needed",
                "Pass (inputs, targets)",
            )
        table = xr.Dataset({str(data.name or "series"): data})
        length = min(FORECAST_WINDOW, data.sizes["time"] / sampling_rate_of(data))
        if model.observes_targets:
            # It looks one frame back by itself, and asks of each cell alone whether it was seen.
            filled = data.copy(data=np.nan_to_num(check_numbers(data, name, missing=True)))
            data = windows(table, inputs=filled, targets=data, duration=length)
        else:
            data = windows(table, inputs=data, targets=data, duration=length, horizon=1)
    inputs: Any
    targets: Any
    mask: Any = None
    recorded: NDArray[np.bool_] | None = None
    if isinstance(data, xr.Dataset):
        if "inputs" not in data or "targets" not in data:
            raise KindError(
                f"{name} is a Dataset with {', '.join(map(str, data.data_vars))}",
                "Windows with inputs and targets were needed",
                "Cut the recording with nr.data.windows(recording, inputs=..., targets=...)",
            )
        stated = data.attrs.get("dt")
        if stated is not None:
            stated = check_positive(stated, "dt of the windows", "s")
        if stated is not None and abs(float(stated) / model.dt - 1) > 0.01:
            raise UnitError(
                f"The windows have dt = {float(stated):g} s and the model {model.dt:g} s",
                "One clock was needed, the same to 1 %",
                f"Build the model with dt={float(stated):g}, or use model.with_dt",
            )
        if model.observes_targets and int(data.attrs.get("horizon", 0)):
            raise DataError(
                f"{name} was cut with horizon={data.attrs['horizon']}",
                "Targets of the same frames as the inputs were needed: the model predicts each "
                "frame from the frames before it",
                "Cut the windows with horizon=0",
            )
        inputs, targets, mask = data["inputs"], data["targets"], data.get("mask")
        if model.n_input == 0:
            inputs = None
    elif isinstance(data, tuple | list) and len(data) in (2, 3):
        inputs, targets = data[0], data[1]
        mask = data[2] if len(data) == 3 else None
        inputs, targets = (_each_labelled(part) for part in (inputs, targets))
        pairs = [(inputs, targets)]
        if is_list_of_trials(targets) or is_list_of_trials(inputs):
            padded = pad_trials(inputs, targets, mask, name)
            pairs = list(zip(inputs or [None] * len(targets), targets, strict=True))
            inputs, targets, mask, recorded = padded
        for pair in pairs:
            _check_clock([x for x in pair if isinstance(x, xr.DataArray)], model, name)
    else:
        raise KindError(
            f"{name} is a {type(data).__name__}",
            "Windows, a pair (inputs, targets) or a DataArray (time, unit) were needed",
            "Cut the recording with nr.data.windows",
        )
    y = _tensor(targets, f"{name} targets")
    if model.observes_targets:
        x = _beside(inputs, y, mask, model, name)
    elif model.n_input == 0 and inputs is None:
        x = y.new_zeros(*y.shape[:2], 0)
    else:
        x = _tensor(inputs, f"{name} inputs")
    if x.shape[2] != model.n_input or y.shape[2] != model.n_output:
        raise ShapeError(
            f"{name} has {x.shape[2]} inputs and {y.shape[2]} outputs",
            f"{model.n_input} inputs and {model.n_output} outputs were needed by the model",
            "Select units with nr.data.select_units, or build the model with other sizes",
        )
    if x.shape[:2] != y.shape[:2]:
        raise ShapeError(
            f"{name} inputs have (trial, time) {tuple(x.shape[:2])}, targets {tuple(y.shape[:2])}",
            "The same trials and steps were needed",
            "Pass trials of different lengths as lists, with one array (time, ...) for each",
        )
    seen = _seen(y, mask)
    if not isinstance(targets, xr.DataArray):
        warn_of_time_first(y, seen, name)
    # Where the targets are observed, NaN stands for what was not.
    given = x[..., : model.n_input - model.n_output] if model.observes_targets else x
    if torch.isnan(given).any():
        raise DataError(
            f"{name} inputs hold {int(torch.isnan(given).sum())} NaN",
            "Inputs without NaN were needed",
            "Fill them and mask the frames; nr.data.windows does both",
        )
    for part, values in (("inputs", x), ("targets", y)):
        check_finite_or_missing(values.numpy(), f"{name} {part}")
    empty = (~seen.any(2).any(1)).nonzero().flatten().tolist()
    if empty:
        raise DataError(
            f"{len(empty)} of {len(seen)} trials in {name} have no target that counts, the first "
            f"is number {empty[0]}",
            "At least one target that is not masked and not NaN was needed in each",
            "Leave those trials out; check the mask and the warm-up",
        )
    if model.looks_ahead and mask is not None:
        counted = _seen(torch.zeros_like(y), mask).any(2)
        x = _without_padding(x, counted if recorded is None else torch.from_numpy(recorded))
    return TrainingData(x, torch.nan_to_num(y), seen)


def check_same_labels(data: Any, other: Any, name: str) -> None:
    """Refuse data whose units, where they are labelled, are not those of the training data.

    Parameters
    ----------
    data, other : as `as_training_data` takes them.
    name : what the other is called in messages.
    """
    for what, mine, theirs in zip(("inputs", "targets"), _pair(data), _pair(other), strict=True):
        wanted, found = (labels_of(_each_labelled(part)) for part in (mine, theirs))
        check_same_units(wanted, found, f"{name} {what}", f"the training {what}")


def _pair(data: Any) -> tuple[Any, Any]:
    """Inputs and targets, None where there are none of their own."""
    if isinstance(data, xr.Dataset):
        return data.get("inputs"), data.get("targets")
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        return data[0], data[1]
    return data, data


def _each_labelled(part: Any) -> Any:
    """Bring tables, Tsd and signals, alone or in a list of trials, to labelled arrays."""
    if isinstance(part, list | tuple):
        return [as_labelled(trial) for trial in part]
    return as_labelled(part)


def _without_padding(x: Tensor, counted: Tensor) -> Tensor:
    """Put 0 in for the inputs of padding, so that a model that looks ahead does not read it.

    Where trials are masked to different lengths, what is masked at an end was not recorded. What
    is masked in all of them alike, as a warm-up is, has inputs that count.

    Parameters
    ----------
    x : (trial, time, input)
    counted : (trial, time), False where a step is masked.
    """
    before = ~_cumulated(counted)
    after = ~_cumulated(counted.flip(1)).flip(1)
    padding = torch.zeros_like(counted)
    for end in (before, after):
        n = end.sum(1)
        if int(n.max()) > int(n.min()):
            padding |= end
    return torch.where(padding[..., None], 0.0, x)


def _cumulated(flags: Tensor) -> Tensor:
    """Return True from the first True on, along time."""
    return flags.to(torch.uint8).cummax(1).values.bool()


def _check_clock(arrays: list[xr.DataArray], model: RecurrentModel, name: str) -> None:
    """Refuse labelled arrays on another clock than the model, or than one another."""
    clocks = []
    for array in arrays:
        time = array.coords.get("time")
        if time is None or time.size < 2 or time.dtype.kind != "f":
            continue
        unit = time.attrs.get("units", model.time_unit)
        steps = np.diff(time.values)
        stated = float(np.median(steps))
        if unit != model.time_unit or abs(stated / model.dt - 1) > 0.01:
            raise UnitError(
                f"The time axis of {name} has steps of {stated:g} {unit}, the model of "
                f"{model.dt:g} {model.time_unit}",
                "One clock was needed, the same to 1 %",
                f"Build the model with dt={stated:g}, or use model.with_dt",
            )
        if float(steps.max()) > 1.5 * stated:
            raise DataError(
                f"The time axis of {name} has a step of {float(steps.max()):g} {unit} among steps "
                f"of {stated:g} {unit}",
                "Trials without a pause were needed: a model takes each row for the next step",
                "Cut the recording with nr.data.windows, or pass what is before and after as two "
                "trials of a list",
            )
        clocks.append(time.values)
    if len(clocks) == 2 and len(clocks[0]) == len(clocks[1]):
        later = clocks[1] - clocks[0]
        away = float(np.abs(later).max())
        # Targets of the step after are those of a forecast.
        if min(away, float(np.abs(later - model.dt).max())) > 0.5 * model.dt:
            raise DataError(
                f"The time axes of {name} inputs and targets are up to {away:g} {model.time_unit} "
                "apart",
                "Rows of the same times, or targets of the next step, were needed",
                "Bring both onto one clock with nr.data.resample_to; for a forecast further ahead "
                "cut the recording with nr.data.windows(horizon=...)",
            )


def _seen(y: Tensor, mask: Any) -> Tensor:
    """Return True where a target counts: recorded, and not masked."""
    seen = ~torch.isnan(y)
    if mask is not None:
        # A tensor also has an attribute `values`, so only a DataArray is asked for it.
        if isinstance(mask, xr.DataArray):
            order = [d for d in ("trial", "time", "output", "unit") if d in mask.dims]
            mask = mask.transpose(*order, ...)
        # Neither true nor false: not counted.
        known = np.nan_to_num(check_numbers(mask, "mask"))
        if not np.isin(known, (0.0, 1.0)).all():
            raise DataError(
                f"mask holds {known[~np.isin(known, (0.0, 1.0))].flat[0]:g}",
                "True or False for each target was needed",
                "Pass mask > 0, say; targets have no weights",
            )
        given = torch.as_tensor(known.astype(bool))
        given = given[..., None] if given.ndim == 2 else given
        try:
            seen = seen & given.expand_as(y)
        except RuntimeError:
            raise ShapeError(
                f"The mask has shape {tuple(given.shape)}",
                f"A mask (trial, time) or (trial, time, output) of {tuple(y.shape)} was needed",
                "Make it with nr.data.windows",
            ) from None
    return seen


def _beside(inputs: Any, y: Tensor, mask: Any, model: RecurrentModel, name: str) -> Tensor:
    """Lay a stimulus and the targets side by side, NaN where a target was not observed."""
    n_stimulus = model.n_input - model.n_output
    # Windows turn NaN into 0 and mask it, and mask the warm-up too. A masked 0 was not observed;
    # should one be a measured 0 after all, it is left out of one correction and nothing else.
    observed = ~torch.isnan(y) & (_seen(y, mask) | (y != 0))
    flu = torch.where(observed, y, torch.nan)
    if inputs is None and n_stimulus == 0:
        return flu
    x = _tensor(inputs, f"{name} inputs")
    if x.shape[2] == n_stimulus + y.shape[2] and x.shape == (*y.shape[:2], x.shape[2]):
        own = x[..., n_stimulus:]
        differ = observed & ~torch.isnan(own) & (own != y)
        if bool(differ.any()):
            raise DataError(
                f"{int(differ.sum())} values among the last {y.shape[2]} {name} inputs differ "
                "from the targets",
                "The same frames of fluorescence as inputs and as targets were needed",
                "Pass the stimulus alone as inputs, or None where there is none",
            )
        x = x[..., :n_stimulus]
    if x.shape[2] != n_stimulus or x.shape[:2] != y.shape[:2] or y.shape[2] != model.n_output:
        raise ShapeError(
            f"{name} inputs have shape {tuple(x.shape)} and targets {tuple(y.shape)}",
            f"A stimulus (trial, time, {n_stimulus}) and fluorescence (trial, time, "
            f"{model.n_output}) of the same frames were needed by the model",
            "Select the cells, or build the model with another n_units or n_stimulus",
        )
    return torch.cat([x, flu], 2)


def _tensor(values: Any, name: str) -> Tensor:
    if isinstance(values, xr.DataArray):
        order = [d for d in ("trial", "time", "input", "unit", "output") if d in values.dims]
        values = values.transpose(*order, ...).values
    # A copy in one order: what came may be read-only, or run backwards.
    tensor = torch.from_numpy(np.array(check_numbers(values, name), order="C"))
    if tensor.ndim != 3 or 0 in tensor.shape[:2] or (tensor.numel() == 0 and "targets" in name):
        raise ShapeError(
            f"{name} have shape {tuple(tensor.shape)}",
            "A non-empty array (trial, time, input or output) was needed",
            "Add the missing axis: x[None] for one trial, x[..., None] for one channel",
        )
    return tensor
