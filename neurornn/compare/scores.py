"""Scores on the test part, and the table of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.rng import derived_seed, generator
from neurornn.compare.forecast import Forecaster, shifted
from neurornn.compare.task import Task
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import log_likelihood


def block_scores(model: Forecaster, task: Task, goal: Any, n_ahead: int) -> NDArray[np.float64]:
    """Per test block: squared error, deviation, log-likelihood, that of the mean, count."""
    residual_variance, mean_output = _noise(model, task.train, goal, n_ahead)
    output = model.at(task.test, n_ahead)
    target, mask = shifted(task.test, n_ahead)
    train_target, train_mask = shifted(task.train, n_ahead)
    n_train = train_mask.sum((0, 1)).clamp(min=1)
    centre = torch.where(train_mask, train_target, 0.0).sum((0, 1)) / n_train
    spread = torch.where(train_mask, (train_target - centre) ** 2, 0.0).sum((0, 1)) / n_train

    def total(values: torch.Tensor) -> NDArray[np.float64]:
        return torch.where(mask, values, 0.0).sum((1, 2)).numpy()

    ours = log_likelihood(goal, output, target, residual_variance)
    plain = log_likelihood(goal, mean_output.expand_as(output), target, spread.clamp(min=1e-12))
    return np.stack(
        [
            total((goal.mean(output) - target) ** 2),
            total((centre - target) ** 2),
            total(ours),
            total(plain),
            mask.sum((1, 2)).numpy(),
        ],
        axis=1,
    )


def _noise(
    model: Forecaster, train: TrainingData, goal: Any, n_ahead: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Variance of the training residuals, and the output that stands for the training mean."""
    output = model.at(train, n_ahead)
    target, mask = shifted(train, n_ahead)
    n = mask.sum((0, 1)).clamp(min=1)
    variance = torch.where(mask, (goal.mean(output) - target) ** 2, 0.0).sum((0, 1)) / n
    mean = torch.where(mask, target, 0.0).sum((0, 1)) / n
    links = {"poisson": lambda m: torch.log(m.clamp(min=1e-9)), "bernoulli": torch.logit}
    return variance.clamp(min=1e-12), links.get(goal.name, lambda m: m)(mean)


def _r2(rows: NDArray[np.float64]) -> float:
    """From (row, quantity): 1 - squared error / squared deviation."""
    return float(1 - rows[:, 0].sum() / max(rows[:, 1].sum(), 1e-300))


def _gap(best: NDArray[np.float64], rows: NDArray[np.float64]) -> float:
    """By how much R2 is below that of the best."""
    return _r2(best) - _r2(rows)


def _gain(rows: NDArray[np.float64]) -> float:
    """From (row, quantity): log-likelihood above that of the mean, per value."""
    return float((rows[:, 2] - rows[:, 3]).sum() / max(rows[:, 4].sum(), 1))


def interval_over_blocks(
    parts: Sequence[NDArray[np.float64]], statistic: Any, confidence_level: float, seed: int
) -> tuple[float, float]:
    """Interval of a statistic of the rows (row, quantity) of one or several models.

    Test blocks are resampled, the same for all models, and apart from them the seeds of each,
    from (seed, block, quantity). All seeds are scored on the same blocks: pairs of block and seed
    are not exchangeable, and to resample those would make more seeds look like more data.
    """
    draw = generator(derived_seed(seed, 1))
    n_seeds = [len(p) for p in parts]
    edges = np.cumsum(n_seeds)[:-1]

    def of(blocks: NDArray[np.float64]) -> float:
        picked = [
            p[:, draw.integers(n, size=n)].reshape(-1, p.shape[2])
            for p, n in zip(np.split(blocks, edges, axis=1), n_seeds, strict=True)
        ]
        return float(statistic(*picked))

    return bootstrap_interval(
        np.concatenate(parts).swapaxes(0, 1), of, confidence_level=confidence_level, rng=seed
    )


def score_table(
    scored: Mapping[str, NDArray[np.float64]],
    statuses: Mapping[str, str],
    n_weights: Mapping[str, int],
    horizons: Sequence[int],
    confidence_level: float,
    rng: int,
    remedies: Mapping[str, str] | None = None,
    clock: tuple[float, str] | None = None,
) -> xr.Dataset:
    """Lay out the scores of all models.

    Parameters
    ----------
    scored : (seed, horizon, block, quantity) per model, as `block_scores` gives them per block.
    remedies : status -> what to do, where that is not what `Status` says.
    clock : length of a frame and its unit; horizons are then told in both.
    """
    names = list(scored)
    shape = (len(names), len(horizons))
    r2, gain, sd = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    r2_ci, gain_ci = np.full((*shape, 2), np.nan), np.full((*shape, 2), np.nan)
    seed = derived_seed(rng, 7)
    for i, name in enumerate(names):
        for j in range(len(horizons)):
            # Blocks without a scored frame at this horizon say nothing.
            used = scored[name][0, j, :, 4] > 0
            per_seed = scored[name][:, j][:, used]
            if not used.any():
                continue
            rows = per_seed.reshape(-1, per_seed.shape[2])
            r2[i, j], gain[i, j] = _r2(rows), _gain(rows)
            r2_ci[i, j] = interval_over_blocks([per_seed], _r2, confidence_level, seed)
            gain_ci[i, j] = interval_over_blocks([per_seed], _gain, confidence_level, seed)
            if len(per_seed) > 1:
                each = np.array([_r2(s) for s in per_seed])
                # About the first: equal scores have an sd of 0, not of a rounding error.
                sd[i, j] = np.std(each - each[0], ddof=1)
    behind, behind_ci = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    for j in range(len(horizons)):
        if np.isnan(r2[:, j]).all():
            continue
        best = names[int(np.nanargmax(r2[:, j]))]
        used = scored[best][0, j, :, 4] > 0
        for i, name in enumerate(names):
            behind[i, j] = np.nanmax(r2[:, j]) - r2[i, j]
            both = [scored[n][:, j][:, used] for n in (best, name)]
            behind_ci[i, j] = (
                (0.0, 0.0)
                if name == best
                else interval_over_blocks(both, _gap, confidence_level, seed)
            )
    dims = ("model", "horizon")
    why = "fewer than 3 test blocks"
    method = "test part of one split; percentile bootstrap over test blocks and seeds"
    table = to_dataset(
        [
            Estimate(
                name="r2", value=r2, ci=r2_ci, units="1", long_name="R2", method=method,
                dims=dims, reason=why,
            ),
            Estimate(
                name="r2_behind_best", value=behind, ci=behind_ci, units="1",
                long_name="R2 of the best model less this one's", method=method,
                dims=dims, reason=why,
            ),
            Estimate(
                name="log_likelihood", value=gain, ci=gain_ci, units="nats",
                long_name="log-likelihood per value above the training mean", method=method,
                dims=dims, reason=why,
            ),
        ],
        confidence_level=confidence_level,
        coords={"model": names, "horizon": list(horizons)},
        status=[statuses[n] for n in names],
        status_dims=("model",),
        remedies=remedies,
    )  # fmt: skip
    if clock is not None:
        dt, unit = clock
        attrs = {"units": unit if unit in ("s", "ms", "bp") else "1", "long_name": "horizon"}
        table = table.assign_coords(horizon_time=("horizon", dt * np.array(horizons), attrs))
    attrs = {"units": "1", "long_name": "sd of R2 over seeds", "reason": "fewer than 2 seeds"}
    table["r2_seed_sd"] = (dims, sd, attrs)
    attrs = {"units": "1", "long_name": "weights that are fitted"}
    table["n_weights"] = ("model", [n_weights[n] for n in names], attrs)
    return table
