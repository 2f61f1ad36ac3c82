"""Rows from whatever a user brings: arrays, trials under a mask, series with gaps, lists."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_labels, check_numbers, check_rows, find_blocks
from neurornn._core.errors import ShapeError
from neurornn.data.foreign import is_trains
from neurornn.data.samples import Samples, runs_of


def as_samples(values: Any, targets: Any = None, trials: ArrayLike | None = None) -> Samples:
    """Bring values and targets to rows, and find the joins between them.

    Parameters
    ----------
    values : (row,), (row, unit), or DataArray (time, unit) or (trial, time, unit)
        A coordinate ``mask`` over (trial, time) or time says which bins count; a gap in ``time``
        is a join.
    targets : as many rows; (row,) or (row, output), or (trial, time[, output]); None for none.
    trials : (row,), label of the trial of each row; a change of label is a join.

    Raises
    ------
    KindError, ShapeError, DataError
        Each says what came, what was needed and what to do.
    """
    features = check_numbers(values, "X")
    known = None if targets is None else check_rows(targets, "y")
    if features.ndim == 0 or features.size == 0 or (known is not None and known.size == 0):
        raise ShapeError(
            f"X has shape {features.shape}" + ("" if known is None else f" and y {known.shape}"),
            "At least one row of one feature, with its target, was needed",
            "Check the selection",
        )
    n_rows = len(features)
    run = np.zeros(n_rows, dtype=np.int64)
    mask: NDArray[np.bool_] | None = None
    time: NDArray[np.float64] | None = None
    dims = tuple(map(str, values.dims)) if isinstance(values, xr.DataArray) else ()
    if dims[:2] == ("trial", "time"):
        n_trials, n_time = features.shape[:2]
        if known is not None and known.shape[:2] != (n_trials, n_time):
            raise ShapeError(
                f"X has (trial, time) {features.shape[:2]} and y shape {known.shape}",
                "One target for each bin of each trial was needed",
                "Bring y onto the same bins with data.resample_to",
            )
        n_rows, run = n_trials * n_time, np.repeat(np.arange(n_trials), n_time)
        features = features.reshape(n_rows, -1)
        if known is not None:
            known = known.reshape(n_rows, *known.shape[2:])
    elif "time" in dims and dims[0] != "time":
        raise ShapeError(
            f"X has axes {dims}",
            "Time along the first axis, (time, unit), was needed",
            "Transpose it: X.transpose('time', 'unit')",
        )
    elif dims[:1] == ("time",) and "time" in values.coords:
        time = check_numbers(values["time"].values, "time", missing=False)
        # A join is a gap, or a clock that was set back: another recording begins there.
        if n_rows > 2:
            run = runs_of(find_blocks(time, float(np.median(np.diff(time)))))
        run = run + np.cumsum(np.diff(time, prepend=-np.inf) <= 0)
    if isinstance(values, xr.DataArray) and "mask" in values.coords:
        mask = np.asarray(values["mask"].values, dtype=bool).ravel()
    features = features.reshape(n_rows, -1)
    if known is not None and (len(known) != n_rows or known.ndim > 2):
        raise ShapeError(
            f"X has {n_rows} rows and y shape {known.shape}",
            "One target, or one row of outputs, for each row of X was needed",
            "Bring y onto the rows of X, for example with data.resample_to",
        )
    if trials is not None:
        labels = check_labels(trials, "trials")
        if labels.shape != (n_rows,):
            raise ShapeError(
                f"trials has shape {labels.shape} for {n_rows} rows",
                "One trial label for each row was needed",
                "Repeat the label of each trial over its rows",
            )
        changes = np.concatenate([[False], labels[1:] != labels[:-1]])
        run = np.cumsum(changes | (np.diff(run, prepend=run[0]) != 0))
    return Samples(
        values=features,
        run=run,
        unit=np.arange(features.shape[1]),
        targets=known,
        output=np.arange(1 if known is None or known.ndim == 1 else known.shape[1]),
        time=time,
        mask=mask,
    )


def is_list_of_trials(values: Any) -> bool:
    """Whether values are a list with an array (time, unit) of each trial."""
    if not isinstance(values, list | tuple) or not len(values) or is_trains(values[0]):
        return False
    return all(n_dims(trial) == 2 for trial in values)


def n_dims(trial: Any) -> int:
    """Number of dimensions, 0 for what is no array of numbers; spike trains are counts to be."""
    if is_trains(trial):
        return 2
    if isinstance(getattr(trial, "ndim", None), int):
        return int(trial.ndim)
    try:
        return np.asarray(trial).ndim
    except (TypeError, ValueError):
        return 0
