"""Tasks of different channels brought to one width, with a channel that names the task."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.checks import check_numbers
from neurornn._core.errors import DataError, KindError


def cue_tasks(tasks: Sequence[Any]) -> list[xr.Dataset]:
    """Bring tasks to one width, so that one network can learn them all.

    Parameters
    ----------
    tasks : Datasets with ``inputs`` and ``targets`` as `nr.simulate` and `nr.data.windows` make
        them, (trial, time, ...).

    Returns
    -------
    list of Dataset
        Inputs are filled up with channels of 0 to those of the widest task; behind them stands one
        channel for each task, 1 through all trials of that task and 0 in the others. Targets are
        filled up with outputs that do not count (``mask`` is False).

    Raises
    ------
    KindError, DataError
        Fewer than two tasks, or what is no Dataset with inputs and targets.

    Notes
    -----
    The channel that names the task is the rule input of Yang et al. 2019, Nature Neuroscience
    22:297, doi:10.1038/s41593-018-0310-2. Without it a network can learn in sequence only what the
    inputs themselves tell apart.

    Examples
    --------
    >>> import neurornn as nr
    >>> a = nr.simulate.line_integrator(4, 0.5, rng=0)
    >>> b = nr.simulate.ring_memory(4, delay=0.5, rng=0)
    >>> [dict(t["inputs"].sizes)["input"] for t in cue_tasks([a, b])]
    [5, 5]
    """
    given = _checked(tasks)
    n_inputs, n_outputs = (max(t[part].shape[2] for t in given) for part in ("inputs", "targets"))
    return [_widened(t, k, len(given), n_inputs, n_outputs) for k, t in enumerate(given)]


def _checked(tasks: Any) -> list[xr.Dataset]:
    if not isinstance(tasks, list | tuple) or len(tasks) < 2:
        came = f"{len(tasks)} task" if isinstance(tasks, list | tuple) else type(tasks).__name__
        raise DataError(
            f"tasks is {came}",
            "A list of at least two tasks was needed",
            "For example [nr.simulate.ring_memory(), nr.simulate.delayed_match()]",
        )
    for k, task in enumerate(tasks):
        if not isinstance(task, xr.Dataset) or not {"inputs", "targets"} <= set(task.data_vars):
            raise KindError(
                f"Task {k} is a {type(task).__name__}",
                "A Dataset with inputs and targets was needed",
                "Take one of nr.simulate, or cut a recording with nr.data.windows",
            )
    return [t.transpose("trial", "time", ...) for t in tasks]


def _widened(task: xr.Dataset, k: int, n_tasks: int, n_inputs: int, n_outputs: int) -> xr.Dataset:
    x = check_numbers(task["inputs"], "inputs", missing=False)
    y = check_numbers(task["targets"], "targets")
    cue = np.zeros((*x.shape[:2], n_tasks))
    cue[..., k] = 1.0
    empty = np.zeros((*x.shape[:2], n_inputs - x.shape[2]))
    unused = np.zeros((*y.shape[:2], n_outputs - y.shape[2]))
    counts = np.ones(y.shape, dtype=bool)
    if "mask" in task:
        given = task["mask"].transpose("trial", "time", ...).values.astype(bool)
        counts &= given if given.ndim == 3 else given[..., None]
    axis = task["inputs"].dims[2]
    names = [str(v) for v in task[axis].values] if axis in task.coords else []
    names = names or [f"input_{i}" for i in range(x.shape[2])]
    names += [f"unused_{i}" for i in range(n_inputs - x.shape[2])]
    coords = {c: task.coords[c] for c in ("time",) if c in task.coords}
    return xr.Dataset(
        {
            "inputs": (
                ("trial", "time", "input"), np.concatenate([x, empty, cue], 2), {"units": "1"},
            ),
            "targets": (
                ("trial", "time", "output"), np.concatenate([y, unused], 2), {"units": "1"},
            ),
            "mask": (
                ("trial", "time", "output"), np.concatenate([counts, unused.astype(bool)], 2),
            ),
        },
        coords={**coords, "input": [*names, *(f"task_{i}" for i in range(n_tasks))]},
        attrs=dict(task.attrs),
    )  # fmt: skip
