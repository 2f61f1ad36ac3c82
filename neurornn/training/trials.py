"""Trials as users hand them over: lists of unequal lengths, and arrays with time first."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.checks import check_numbers
from neurornn._core.errors import AxisWarning, DataError, ShapeError

#: Correlation of neighbours that is that of a smooth signal, and one that is not; so many of
#: each axis at least.
_SMOOTH, _ROUGH, _FEWEST = 0.5, 0.2, 10


class Padded(NamedTuple):
    """Trials filled up to the longest one with zeros that do not count."""

    inputs: Any  # (trial, time, input), or None
    targets: NDArray[np.float64]  # (trial, time, output)
    mask: NDArray[np.float64]  # (trial, time, output)
    recorded: NDArray[np.bool_]  # (trial, time), False where a trial was over


def is_list_of_trials(values: Any) -> bool:
    """Return True for a list or tuple with an array (time, unit) of every trial."""
    return (
        isinstance(values, list | tuple)
        and len(values) > 0
        and all(getattr(v, "ndim", None) == 2 for v in values)
    )


def pad_trials(inputs: Any, targets: Any, mask: Any, name: str) -> Padded:
    """Bring lists of trials to arrays.

    Parameters
    ----------
    inputs : list with (time, input) of each trial, or None.
    targets : list with (time, output) of each trial.
    mask : None, or a list with (time,) or (time, output) of each trial.
    name : what the data are called in messages.

    Raises
    ------
    ShapeError
        Lists of different lengths, or trials whose parts have different lengths or units.
    """
    n = len(targets if is_list_of_trials(targets) else inputs)
    for what, part in (("inputs", inputs), ("targets", targets), ("mask", mask)):
        if part is not None and not (isinstance(part, list | tuple) and len(part) == n):
            came = f"{len(part)} trials" if isinstance(part, list | tuple) else "no list"
            raise ShapeError(
                f"{name} {what} are {came}, and the others a list of {n} trials",
                "A list with one array (time, ...) for each trial was needed in all of them",
                "Pass ([x1, x2, ...], [y1, y2, ...]), or arrays (trial, time, ...)",
            )
    y = [_rows(v, f"{name} targets", k) for k, v in enumerate(targets)]
    x = None if inputs is None else [_rows(v, f"{name} inputs", k) for k, v in enumerate(inputs)]
    seen = _seen(mask, y, name)
    for k, rows in enumerate(y):
        if x is not None and len(x[k]) != len(rows):
            raise ShapeError(
                f"Trial {k} of {name} has {len(x[k])} steps of inputs and {len(rows)} of targets",
                "One target for each step of each trial was needed",
                "Bring both onto one clock with nr.data.resample_to",
            )
    for what, part in (("inputs", inputs), ("targets", targets)):
        _check_units(part, f"{name} {what}")
    ends = np.array([len(rows) for rows in y])
    return Padded(
        None if x is None else _filled(x, f"{name} inputs"),
        _filled(y, f"{name} targets"),
        _filled(seen, f"{name} mask"),
        np.arange(ends.max()) < ends[:, None],
    )


def labels_of(part: Any) -> NDArray[Any] | None:
    """Labels of the units of an array, or of the first of a list; None where it has none."""
    first = part[0] if isinstance(part, list | tuple) and len(part) else part
    if not isinstance(first, xr.DataArray):
        return None
    axis = next((d for d in ("input", "unit", "output") if d in first.dims), None)
    return None if axis is None or axis not in first.coords else np.asarray(first[axis].values)


def _check_units(trials: Any, name: str) -> None:
    """Refuse trials whose units are not those of the first, or in another order."""
    first = None if trials is None else labels_of(trials)
    for k, trial in enumerate(trials if first is not None else ()):
        check_same_units(first, labels_of(trial), f"{name} of trial {k}", "the first trial")


def check_same_units(
    wanted: NDArray[Any] | None, found: NDArray[Any] | None, name: str, of: str
) -> None:
    """Refuse units that are not those wanted, in their order; without labels nothing is known.

    Raises
    ------
    DataError
    """
    if wanted is None or found is None or np.array_equal(wanted, found):
        return
    raise DataError(
        f"The units of {name} are {found.tolist()}, those of {of} {wanted.tolist()}",
        "The same units in the same order were needed",
        "Select and order them alike, for example trial.sel(unit=first['unit'])",
    )


def _rows(trial: Any, name: str, k: int) -> NDArray[np.float64]:
    """One trial as (time, unit)."""
    if isinstance(trial, xr.DataArray) and "time" in trial.dims:
        trial = trial.transpose("time", ...)
    return check_numbers(trial, f"{name} of trial {k}", missing=True)


def _seen(mask: Any, targets: Sequence[NDArray[Any]], name: str) -> list[NDArray[np.float64]]:
    """What counts of each trial, (time, output)."""
    if mask is None:
        return [np.ones(t.shape) for t in targets]
    found = []
    for k, (given, y) in enumerate(zip(mask, targets, strict=True)):
        rows = check_numbers(given, f"mask of trial {k}", missing=True)
        rows = rows[:, None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or len(rows) != len(y) or rows.shape[1] not in (1, y.shape[1]):
            raise ShapeError(
                f"The mask of trial {k} of {name} has shape {np.shape(given)}",
                f"A mask (time,) or (time, output) of {y.shape} was needed",
                "Pass one entry for each target of the trial",
            )
        found.append(np.broadcast_to(rows, y.shape))
    return found


def _filled(trials: Sequence[NDArray[Any]], name: str) -> NDArray[np.float64]:
    """Trials below one another, zeros behind the shorter ones."""
    sizes = sorted({t.shape[1] for t in trials})
    if len(sizes) > 1:
        raise ShapeError(
            f"The trials of {name} have {', '.join(map(str, sizes))} columns",
            "The same units in every trial were needed",
            "Select the units they share",
        )
    out = np.zeros((len(trials), max(map(len, trials)), sizes[0]))
    for row, trial in zip(out, trials, strict=True):
        row[: len(trial)] = trial
    return out


def warn_of_time_first(targets: Tensor, mask: Tensor, name: str) -> None:
    """Say so where arrays look like (time, trial, ...), the order of torch.nn.

    Parameters
    ----------
    targets, mask : (trial, time, output), as they were taken.

    Warns
    -----
    AxisWarning
        Where targets are smooth from trial to trial and jump from step to step.
    """
    if min(targets.shape[:2]) < _FEWEST or not bool(mask.all()):
        return
    along = [_smoothness(targets, axis) for axis in (0, 1)]
    if along[0] > _SMOOTH and along[1] < _ROUGH:
        warnings.warn(
            f"{name} targets of shape {tuple(targets.shape)} were taken as (trial, time, output), "
            f"but neighbours correlate by {along[0]:.2f} along the first axis and by "
            f"{along[1]:.2f} along the second. If time comes first, as in torch.nn, pass "
            "x.swapaxes(0, 1); a DataArray with dims (time, trial, ...) is turned by itself.",
            AxisWarning,
            stacklevel=5,
        )


def _smoothness(values: Tensor, axis: int) -> float:
    """Correlation of neighbours along an axis, their mean along it taken out.

    The mean over what is no neighbour is not: what all trials share changes with time, and what
    all steps share with the trial.
    """
    rest = values - values.mean(axis, keepdim=True)
    rest = rest - rest.mean(1 - axis, keepdim=True)
    n = rest.shape[axis]
    a, b = rest.narrow(axis, 0, n - 1), rest.narrow(axis, 1, n - 1)
    size = float(torch.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0
