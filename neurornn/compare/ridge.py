"""Ridge regression on the last frames, in closed form; validation chooses how many, how hard."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurornn.compare.task import Task
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


class _Sums(NamedTuple):
    """Sums over the scored frames of outputs that share a mask, about the training means.

    Histories run over (lag, input), the present frame first: shorter ones are their beginning.
    """

    gram: Tensor  # (history, history)
    cross: Tensor  # (history, output)
    squares: float  # of the targets
    count: int
    history_mean: Tensor
    target_mean: Tensor


class _Fit(NamedTuple):
    """Weights of one choice, and their squared error on the validation part."""

    weights: Tensor  # (history, output)
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
        (columns, train, _sums(task.validation, columns, max(lags), train))
        for columns in groups
        for train in [_sums(task.train, columns, max(lags))]
    ]
    best: tuple[float, int, list[_Fit]] | None = None
    for n_lags in lags:
        tried = [
            list(_paths(train, held, n_lags * n_in, n_in, columns if task.feeds_itself else None))
            for columns, train, held in sums
        ]
        for fits in zip(*tried, strict=True):
            error = sum(f.error for f in fits)
            if best is None or error < best[0]:
                best = (error, n_lags, list(fits))
    assert best is not None
    _, n_lags, fits = best
    model = LinearHistory(n_in, n_out, dt=task.dt, context=n_lags * task.dt).double()
    with torch.no_grad():
        for (columns, train, _), found in zip(sums, fits, strict=True):
            by_lag = found.weights.T.reshape(len(columns), n_lags, n_in)
            model.lag_weight[columns] = by_lag.flip(1)
            known = train.history_mean[: n_lags * n_in] @ found.weights
            model.output_bias[columns] = train.target_mean - known
    chosen = {"n_context": n_lags, "penalty": fits[0].own}
    if task.feeds_itself:
        chosen["penalty_others"] = fits[0].others
    return model.eval(), chosen


def _same_masks(task: Task) -> list[Tensor]:
    """Outputs that count at the same frames of both parts, group by group."""
    parts = [part.mask.reshape(-1, part.mask.shape[2]).numpy() for part in task[:2]]
    _, group = np.unique(np.concatenate(parts), axis=1, return_inverse=True)
    group = group.reshape(-1)
    return [torch.from_numpy(np.flatnonzero(group == g)) for g in range(group.max() + 1)]


def _sums(data: TrainingData, columns: Tensor, n_lags: int, about: _Sums | None = None) -> _Sums:
    """Sum over the scored frames, trial by trial: a history is never stored whole."""
    n_in = data.inputs.shape[2]
    size = n_lags * n_in
    gram, cross = torch.zeros(size, size).double(), torch.zeros(size, len(columns)).double()
    mean_x, mean_y = torch.zeros(size).double(), torch.zeros(len(columns)).double()
    squares, count = 0.0, 0
    if about is None:
        for x, y in _rows(data, columns, n_lags):
            mean_x, mean_y, count = mean_x + x.sum(0), mean_y + y.sum(0), count + len(x)
        mean_x, mean_y, count = mean_x / max(count, 1), mean_y / max(count, 1), 0
    else:
        mean_x, mean_y = about.history_mean, about.target_mean
    for x, y in _rows(data, columns, n_lags):
        x, y = x - mean_x, y - mean_y
        gram.addmm_(x.T, x)
        cross.addmm_(x.T, y)
        squares, count = squares + float((y**2).sum()), count + len(x)
    return _Sums(gram, cross, squares, count, mean_x, mean_y)


def _rows(data: TrainingData, columns: Tensor, n_lags: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Histories (frame, lag x input) and targets of the scored frames of every trial."""
    for x, y, mask in zip(*data, strict=True):
        padded = torch.nn.functional.pad(x, (0, 0, n_lags - 1, 0))
        seen = mask[:, columns[0]]
        history = padded.unfold(0, n_lags, 1)[seen].flip(2).transpose(1, 2)
        yield history.reshape(len(history), n_lags * x.shape[1]), y[seen][:, columns]


def _paths(train: _Sums, held: _Sums, size: int, n_in: int, own: Tensor | None) -> Iterator[_Fit]:
    """Weights for every pair of penalties, with their error on the held-out sums.

    One inverse serves all penalties of the own past: they differ from it in as many rows as there
    are lags (Woodbury 1950).
    """
    gram, cross = train.gram[:size, :size], train.cross[:size]
    eye = torch.eye(size).double()
    for others in PENALTIES:
        inverse = torch.cholesky_inverse(
            torch.linalg.cholesky(gram + others * max(train.count, 1) * eye)
        )
        plain = inverse @ cross
        penalties: Sequence[float] = [others]
        if own is not None:
            penalties = [p for p in OWN_PENALTIES if p < others] or [others]
            # (output, lag): where the own past of each output stands in its history.
            rows = own[:, None] + n_in * torch.arange(size // n_in)
            block = inverse[rows[:, :, None], rows[:, None, :]]
            across = inverse[:, rows]
            first = plain[rows, torch.arange(len(own))[:, None]]
        for penalty in penalties:
            weights = plain
            if penalty != others:
                d = (penalty - others) * train.count
                kept = torch.eye(size // n_in).double() + d * block
                weights = plain - d * torch.einsum(
                    "hol,ol->ho", across, torch.linalg.solve(kept, first)
                )
            error = held.squares - 2 * float((weights * held.cross[:size]).sum())
            error += float((weights * (held.gram[:size, :size] @ weights)).sum())
            yield _Fit(weights, penalty, others, error)
