"""Scores on the test part, and the table of them."""

import math
from collections.abc import Callable, Mapping, Sequence
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

Statistic = Callable[[NDArray[np.float64]], float]


#: Least expected counts that are tried on the validation part, as shares of the training mean of
#: a unit, and the least of all, as in the Neural Latents Benchmark.
FLOORS = (0.0, 1e-3, 1e-2, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
LEAST_COUNT = 1e-9
#: Quantities of a block that a forecast of no number takes away.
OF_THE_MODEL = (0, 2, 5)
#: Quantities of a model that always gives the training mean, among those of any other.
OF_THE_MEAN = (1, 1, 3, 3, 4, 8, 6, 7, 8)


def block_scores(
    model: Forecaster, task: Task, goal: Any, n_ahead: int, floor: float = 0.0
) -> NDArray[np.float64]:
    """Per test block: squared error, deviation, log-likelihood, that of the mean, count.

    Where the data are counts also Poisson log-likelihoods: of the expected counts and of the mean
    of what is scored, the number of spikes, and the log-likelihood of the training mean. No
    expected count is below `floor` times the training mean of its unit, see `floor_of`.
    """
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
    found = [
        total((goal.mean(output) - target) ** 2),
        total((centre - target) ** 2),
        total(ours),
        total(plain),
        mask.sum((1, 2)).numpy(),
    ]
    if task.counts:
        n = as_counts(task, target)
        usual = task.scale * centre + task.centre
        expected = expected_counts(task, goal, output, floor * usual)
        scored = torch.where(mask, n, 0.0).sum((0, 1)) / mask.sum((0, 1)).clamp(min=1)
        found += [
            total(_poisson(expected, n)),
            total(_poisson(scored.clamp(min=LEAST_COUNT), n)),
            total(n),
            total(_poisson(usual.clamp(min=LEAST_COUNT), n)),
        ]
    return np.stack(found, axis=1)


def as_counts(task: Task, scaled: torch.Tensor) -> torch.Tensor:
    """Targets as the counts that they were before they were scaled."""
    return torch.round(scaled * task.scale + task.centre)


def expected_counts(
    task: Task, goal: Any, output: torch.Tensor, least: torch.Tensor
) -> torch.Tensor:
    """Counts that a model expects, none below what is least, (output,).

    A linear model knows no 0, and one spike that it gave less than no chance would be all that
    its likelihood tells.
    """
    expected: torch.Tensor = goal.mean(output) * task.scale + task.centre
    return torch.maximum(expected, least.clamp(min=LEAST_COUNT))


def floor_of(model: Forecaster, task: Task, goal: Any, n_ahead: int) -> float:
    """Share of the training mean below which an account expects no count; validation chooses."""
    train, train_mask = shifted(task.train, n_ahead)
    usual = torch.where(train_mask, train, 0.0).sum((0, 1)) / train_mask.sum((0, 1)).clamp(min=1)
    usual = usual * task.scale + task.centre
    target, mask = shifted(task.validation, n_ahead)
    output, n = model.at(task.validation, n_ahead), as_counts(task, target)
    best, most = 0.0, -math.inf
    for share in FLOORS:
        value = _poisson(expected_counts(task, goal, output, share * usual), n)
        sum_ = float(torch.where(mask, value, 0.0).sum())
        if sum_ > most:
            best, most = share, sum_
    return best


def _poisson(mean: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Poisson log-likelihood of every count, nats."""
    return counts * torch.log(mean) - mean - torch.lgamma(counts + 1)


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


def _bits(rows: NDArray[np.float64]) -> float:
    """From (row, quantity): bits per spike above a constant rate, NaN without a spike."""
    n = float(rows[:, 7].sum())
    return float((rows[:, 5] - rows[:, 6]).sum() / n / math.log(2)) if n else math.nan


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
    sd = np.full(shape, np.nan)
    seed = derived_seed(rng, 7)
    for i, name in enumerate(names):
        for j in range(len(horizons)):
            per_seed = _per_seed(scored, name, j)
            if len(per_seed) > 1 and per_seed.shape[1]:
                each = np.array([_r2(s) for s in per_seed])
                # About the first: equal scores have an sd of 0, not of a rounding error.
                sd[i, j] = np.std(each - each[0], ddof=1)
    dims = ("model", "horizon")
    why = "fewer than 3 test blocks"
    method = "test part of one split; percentile bootstrap over test blocks and seeds"
    told = [
        ("r2", "R2", _r2, "1", False),
        ("r2_behind_best", "R2 of the best model less this one's", _r2, "1", True),
        ("log_likelihood", "log-likelihood per value above the training mean", _gain, "nats",
         False),
    ]  # fmt: skip
    if next(iter(scored.values())).shape[3] > 5:
        told += [
            ("bits_per_spike", "Poisson log-likelihood per spike above a constant rate", _bits,
             "bits", False),
            ("bits_behind_best", "bits per spike of the best model less this one's", _bits,
             "bits", True),
        ]  # fmt: skip
    estimates = []
    for name, said, statistic, units, behind in told:
        value, ci = (_behind_best if behind else _scores)(
            scored, statistic, shape, confidence_level, seed
        )
        estimates.append(
            Estimate(
                name=name, value=value, ci=ci, units=units, long_name=said, method=method,
                dims=dims, reason=why,
            )
        )  # fmt: skip
    table = to_dataset(
        estimates,
        confidence_level=confidence_level,
        coords={"model": names, "horizon": list(horizons)},
        status=[statuses[n] for n in names],
        status_dims=("model",),
        remedies=remedies,
    )
    if clock is not None:
        dt, unit = clock
        attrs = {"units": unit if unit in ("s", "ms", "bp") else "1", "long_name": "horizon"}
        table = table.assign_coords(horizon_time=("horizon", dt * np.array(horizons), attrs))
    attrs = {"units": "1", "long_name": "sd of R2 over seeds", "reason": "fewer than 2 seeds"}
    table["r2_seed_sd"] = (dims, sd, attrs)
    attrs = {"units": "1", "long_name": "weights that are fitted"}
    table["n_weights"] = ("model", [n_weights[n] for n in names], attrs)
    return table


def _per_seed(
    scored: Mapping[str, NDArray[np.float64]], name: str, horizon: int
) -> NDArray[np.float64]:
    """Scores of one model, (seed, block, quantity).

    Blocks without a scored frame at this horizon say nothing.
    """
    found = scored[name][:, horizon]
    return found[:, found[0, :, 4] > 0]


def _scores(
    scored: Mapping[str, NDArray[np.float64]],
    statistic: Statistic,
    shape: tuple[int, int],
    confidence_level: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One score of all models with its intervals, (model, horizon)."""
    value, ci = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    for i, name in enumerate(scored):
        for j in range(shape[1]):
            per_seed = _per_seed(scored, name, j)
            if per_seed.shape[1]:
                value[i, j] = statistic(per_seed.reshape(-1, per_seed.shape[2]))
                ci[i, j] = interval_over_blocks([per_seed], statistic, confidence_level, seed)
    return value, ci


def _behind_best(
    scored: Mapping[str, NDArray[np.float64]],
    statistic: Statistic,
    shape: tuple[int, int],
    confidence_level: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By how much a score is below that of the best model of the horizon, (model, horizon)."""

    def gap(best: NDArray[np.float64], rows: NDArray[np.float64]) -> float:
        return statistic(best) - statistic(rows)

    names = list(scored)
    value, ci = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    for j in range(shape[1]):
        parts = [_per_seed(scored, n, j) for n in names]
        if not parts[0].shape[1]:
            continue
        each = np.array([statistic(p.reshape(-1, p.shape[2])) for p in parts])
        if np.isnan(each).all():
            continue
        best = int(np.nanargmax(each))
        for i in range(len(names)):
            value[i, j] = each[best] - each[i]
            both = [parts[best], parts[i]]
            ci[i, j] = (
                (0.0, 0.0)
                if i == best
                else interval_over_blocks(both, gap, confidence_level, seed)
            )
    return value, ci
