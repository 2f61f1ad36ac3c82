"""Trials as users hand them over: lists of unequal lengths, and arrays with time first."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.checks import check_numbers
from neurornn._core.errors import AxisWarning, DataError, ShapeError
from neurornn._core.warning import warn_user
from neurornn.data.rows import is_list_of_trials
from neurornn.data.samples import Samples, joined, stacked

#: Correlation of neighbours that is that of a smooth signal, and one that is not; so many of
#: each axis at least.
_SMOOTH, _ROUGH, _FEWEST = 0.5, 0.2, 10


class Padded(NamedTuple):
    """Trials filled up to the longest one with zeros that do not count."""

    inputs: Any  # (trial, time, input), or None
    targets: NDArray[np.float64]  # (trial, time, output)
    mask: NDArray[np.float64]  # (trial, time, output)
    recorded: NDArray[np.bool_]  # (trial, time), False where a trial was over


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
    for what, arrays in (("inputs", x), ("targets", y)):
        _check_columns(arrays or [], f"{name} {what}")
    trials = []
    for k, rows in enumerate(y):
        given = np.zeros((len(rows), 0)) if x is None else x[k]
        of = [None if part is None else labels_of(part[k]) for part in (inputs, targets)]
        trials.append(
            Samples(
                values=given,
                run=np.zeros(len(rows), dtype=np.int64),
                unit=np.arange(given.shape[1]) if of[0] is None else of[0],
                targets=rows,
                output=np.arange(rows.shape[1]) if of[1] is None else of[1],
                units_named=of[0] is not None,
                outputs_named=of[1] is not None,
            )
        )
    joined(trials, (f"units of {name} inputs", f"units of {name} targets"))
    ends = np.array([t.n_rows for t in trials])
    return Padded(
        None if x is None else stacked(x),
        stacked(y),
        stacked(seen),
        np.arange(ends.max()) < ends[:, None],
    )


def labels_of(part: Any) -> NDArray[Any] | None:
    """Labels of the units of an array, or of the first of a list; None where it has none."""
    first = part[0] if isinstance(part, list | tuple) and len(part) else part
    if not isinstance(first, xr.DataArray):
        return None
    axis = next((d for d in ("input", "unit", "output") if d in first.dims), None)
    return None if axis is None or axis not in first.coords else np.asarray(first[axis].values)


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


def _check_columns(trials: Sequence[NDArray[Any]], name: str) -> None:
    """Refuse trials of different numbers of units."""
    sizes = sorted({t.shape[1] for t in trials})
    if len(sizes) > 1:
        raise ShapeError(
            f"The trials of {name} have {', '.join(map(str, sizes))} columns",
            "The same units in every trial were needed",
            "Select the units they share",
        )


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
        warn_user(
            f"{name} targets of shape {tuple(targets.shape)} were taken as (trial, time, output), "
            f"but neighbours correlate by {along[0]:.2f} along the first axis and by "
            f"{along[1]:.2f} along the second. If time comes first, as in torch.nn, pass "
            "x.swapaxes(0, 1); a DataArray with dims (time, trial, ...) is turned by itself.",
            AxisWarning,
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
