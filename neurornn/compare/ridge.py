"""Ridge regression on the last frames, in closed form; validation chooses how many, how hard."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from neurornn.compare.task import Task
from neurornn.data.moments import (
    Histories,
    Moments,
    lagged_moments,
    ridge_weights,
    two_penalty_weights,
)
from neurornn.models.ridge import LinearHistory
from neurornn.training.batches import TrainingData

#: Frames of history that are tried.
LAGS = (1, 2, 3, 5, 8, 12, 20)
#: More weights per output than this are not tried: the time grows with their cube.
MAX_WEIGHTS = 3000
#: Penalties per scored frame and squared weight, of inputs scaled to an sd of 1.
PENALTIES = (1e-4, 1e-3, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
#: The same for what a unit's own past weighs, where a series forecasts itself.
OWN_PENALTIES = (1e-4, 1e-3, 0.01, 0.1)


class _Fit(NamedTuple):
    """Weights of one choice, and their squared error on the validation part."""

    weights: NDArray[np.float64]  # (history + 1, output), the constant last
    own: float
    others: float
    error: float


def fit_linear_history(
    task: Task, n_context: int | None = None
) -> tuple[LinearHistory, dict[str, Any]]:
    """Fit a linear map of the last frames on the training part.

    Parameters
    ----------
    task : scaled; where it feeds itself, output i continues input i.
    n_context : frames
        How many; by default the best of `LAGS` on the validation part.

    Returns
    -------
    model : in float64 and evaluation mode.
    chosen : ``n_context``, ``penalty``, and ``penalty_others`` where the task feeds itself.

    Notes
    -----
    Minimises ``|y - X w|^2 / n + p |w|^2`` (Hoerl & Kennard 1970, Technometrics 12:55,
    doi:10.1080/00401706.1970.10488634). Where a series forecasts itself, a unit's own past has a
    smaller penalty p than the past of the others: hundreds of weak inputs must be held back
    without holding back the one that matters (Litterman 1986, doi:10.1080/07350015.1986.10509491).
    The choice with the smallest squared error of one step on the validation part is kept.
    """
    n_in, n_out = task.train.inputs.shape[2], task.train.targets.shape[2]
    n_steps = task.train.inputs.shape[1]
    longest = [k for k in LAGS if k <= n_steps and k * n_in <= MAX_WEIGHTS] or [1]
    lags = longest if n_context is None else [n_context]
    groups = _same_masks(task)
    sums = [
        [_sums(part, columns, max(lags)) for part in (task.train, task.validation)]
        for columns in groups
    ]
    best: tuple[float, int, list[_Fit]] | None = None
    for n_lags in lags:
        tried = [
            list(_paths(train, held, n_lags, n_in, columns if task.feeds_itself else None))
            for columns, (train, held) in zip(groups, sums, strict=True)
        ]
        for together in zip(*tried, strict=True):
            error = sum(f.error for f in together)
            if best is None or error < best[0]:
                best = (error, n_lags, list(together))
    assert best is not None
    _, n_lags, fits = best
    model = LinearHistory(n_in, n_out, dt=task.dt, context=n_lags * task.dt).double()
    with torch.no_grad():
        for columns, found in zip(groups, fits, strict=True):
            # Oldest first, as in the model.
            by_lag = found.weights[:-1].T.reshape(len(columns), n_lags, n_in)
            model.lag_weight[torch.from_numpy(columns)] = torch.from_numpy(by_lag.copy())
            model.output_bias[torch.from_numpy(columns)] = torch.from_numpy(found.weights[-1])
    chosen = {"n_context": n_lags, "penalty": fits[0].own}
    if task.feeds_itself:
        chosen["penalty_others"] = fits[0].others
    return model.eval(), chosen


def _same_masks(task: Task) -> list[NDArray[np.intp]]:
    """Outputs that count at the same frames of both parts, group by group."""
    parts = [part.mask.reshape(-1, part.mask.shape[2]).numpy() for part in task[:2]]
    _, group = np.unique(np.concatenate(parts), axis=1, return_inverse=True)
    group = group.reshape(-1)
    return [np.flatnonzero(group == g) for g in range(group.max() + 1)]


def _sums(data: TrainingData, columns: NDArray[np.intp], n_lags: int) -> Moments:
    """Moments over the scored frames of outputs that share a mask."""
    x, y, mask = (part.numpy() for part in data)
    used = mask[..., columns[0]].ravel()
    return lagged_moments(Histories(list(x), n_lags), y.reshape(len(used), -1)[:, columns], used)


def _paths(
    train: Moments, held: Moments, n_lags: int, n_in: int, own: NDArray[np.intp] | None
) -> Iterator[_Fit]:
    """Weights for every pair of penalties, with their error on the held-out sums."""
    train, held = train.last(n_lags * n_in), held.last(n_lags * n_in)
    for others in PENALTIES:
        smaller = [p for p in OWN_PENALTIES if p < others]
        if own is None or not smaller:
            found = [(others, ridge_weights(train, others))]
        else:
            # Where the own past of each output stands in its history, oldest first.
            rows = own[:, None] + n_in * np.arange(n_lags)
            found = list(
                zip(smaller, two_penalty_weights(train, others, smaller, rows), strict=True)
            )
        for penalty, weights in found:
            yield _Fit(weights, penalty, others, held.squared_error(weights))
