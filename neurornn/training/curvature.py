"""Intervals of physical parameters from the curvature of the likelihood."""

import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call, jvp, vmap

from neurornn._core.confidence import normal_quantile
from neurornn._core.status import Status
from neurornn.models.base import PhysicalParameter, RecurrentModel
from neurornn.models.recurrence import plain_torch
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import Objective
from neurornn.training.scores import MAX_SAMPLED, sampled_fisher, trial_scores

#: Beyond so many weights the Fisher matrix comes from scores that are drawn.
MAX_PARAMETERS = 1500
#: Up to so many weights it never does.
FEW_PARAMETERS = 200
#: Share of a parameter's direction in the null space from which it counts as not identified.
NULL_SHARE = 1e-3
#: Eigenvalues of the scaled Fisher matrix below this fraction of the largest count as zero: the
#: square of what survives of float64 in a product of Jacobians.
NULL_EIGENVALUE = 1e-10
#: The same for information from scores in single precision.
SINGLE_EIGENVALUE = 1e-7
#: Scores per weight: variances from them have a relative sd of sqrt(4 / 3 p), 3 % at p = 1,500.
SAMPLES_PER_WEIGHT = 2.5
#: And at least so many more than weights: a relative sd of 3 % for small models too.
MIN_SAMPLES = 2200
#: A smaller pivot of the scaled information cannot be trusted in single precision.
LEAST_PIVOT = 1e-5
#: Weights times steps of all trials up to which the full Jacobian is formed, a minute or so.
MAX_JACOBIAN = 2e7
#: Share of the range between the bounds, in the logarithm, beyond which an interval says nothing.
WHOLE_RANGE = 0.8

#: Entries of the Jacobian held at a time, 256 MB.
MAX_ENTRIES = 3.2e7
#: Trials, spread over the recording, from which `nuisance_shift` is measured.
SHIFT_TRIALS = 6
#: Standard errors beyond which a step of `nuisance_shift` is not first order and is not taken.
MAX_SHIFT = 3.0
#: Standard errors by which a Newton step may still move a parameter for its interval to hold.
MAX_STEP = 0.5
#: Change of an unbounded weight over which its derivative is taken: tau moves by 0.3 %.
SHIFT_STEP = 1e-3


class Intervals(NamedTuple):
    """Intervals of one physical parameter.

    Attributes
    ----------
    ci : (..., 2), in the unit of the parameter; NaN where there is none.
    variance : (...), of the parameter itself (delta method).
    status : (...), code per entry.
    reason : why intervals are missing.
    """

    ci: NDArray[np.float64]
    variance: NDArray[np.float64]
    status: NDArray[Any]
    reason: str


def physical_intervals(
    model: RecurrentModel,
    data: TrainingData,
    objective: Objective,
    variance: Tensor,
    confidence_level: float = 0.95,
    *,
    rng: int = 0,
) -> dict[str, Intervals]:
    """Form an interval for every physical parameter, all other weights marginalised.

    Parameters
    ----------
    model : fitted, float64.
    data : the data of the fit.
    objective : observation model.
    variance : (output,), of the Gaussian noise; ones otherwise.
    confidence_level : for example 0.95.
    rng : seed of the scores that are drawn for models of more than `MAX_PARAMETERS` weights.

    Returns
    -------
    dict of name -> Intervals

    Notes
    -----
    The Fisher information ``J' W J`` of the outputs is formed by forward-mode derivatives, for
    models of more than `MAX_PARAMETERS` weights as the covariance of scores under targets drawn
    from the model (`sampled_fisher`); the covariance of all weights is its pseudo-inverse.
    Directions without information belong to weights that trade against one another (input against
    output scale, for one); a physical parameter with a share in them is reported as not
    identifiable. Intervals are formed in the unbounded twin and mapped. They are widened by the
    ratio of the empirical to the assumed variance of the score over trials, where that exceeds 1
    (White 1982, doi:10.2307/1912526).
    """
    wanted = model.physical_parameters
    weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    n_weights = sum(p.numel() for p in weights.values())
    if n_weights > MAX_SAMPLED:
        text = (
            f"the model has {n_weights} weights, more than the {MAX_SAMPLED} for which the Fisher "
            "matrix is formed; nr.training.bootstrap_intervals has no such limit"
        )
        return no_intervals(model, text)
    if not wanted:
        return {}
    if not by_jacobian(model, data, n_weights):
        plain_variance, wide_variance, null, step = _from_scores(
            model, data, objective, variance, n_weights, rng
        )
    else:
        fisher, meat, score = information(model, weights, data, objective, variance)
        covariance, null = pseudo_inverse(fisher)
        null = torch.where(fisher.diagonal() > 0, null, 1.0)
        plain_variance = covariance.diagonal()
        wide_variance = (covariance @ meat @ covariance).diagonal()
        step = covariance @ score
    quantile = normal_quantile(confidence_level)
    out, offset = {}, _offsets(weights)
    for p in wanted:
        if p.unbounded not in weights:
            out[p.name] = _none(model, p, "the parameter was held fixed", Status.OK)
            continue
        twin = weights[p.unbounded]
        where = slice(offset[p.unbounded], offset[p.unbounded] + twin.numel())
        plain, wide = plain_variance[where], wide_variance[where]
        spread = torch.sqrt(torch.maximum(plain, wide)).reshape(twin.shape)
        lost = (null[where] > NULL_SHARE).reshape(twin.shape)
        bounds = getattr(model, p.bounds)
        ends = torch.stack(
            [bounds(twin - quantile * spread), bounds(twin + quantile * spread)], -1
        )
        with torch.enable_grad():
            x = twin.clone().requires_grad_()
            (slope,) = torch.autograd.grad(bounds(x).sum(), x)
        covered = torch.log(ends[..., 1] / ends[..., 0]) / math.log(bounds.upper / bounds.lower)
        lost |= covered > WHOLE_RANGE
        ends[lost] = torch.nan
        status = np.where(lost.numpy(), str(Status.NOT_IDENTIFIABLE), str(Status.OK))
        value = bounds(twin)
        # Restricted likelihood has its maximum elsewhere, by intention.
        away = (step[where].reshape(twin.shape).abs() > MAX_STEP * spread) & ~lost
        if model.covariance_weights:
            away[...] = False
        status = np.where(away.numpy(), str(Status.NOT_CONVERGED), status)
        ends[away] = torch.nan
        edge = (value < 1.01 * bounds.lower) | (value > 0.99 * bounds.upper)
        status = np.where(edge.numpy(), str(Status.AT_BOUND), status)
        ends[edge] = torch.nan
        reason = ""
        if bool(lost.any() | edge.any()):
            reason = "the parameter trades against another one, or lies at its bound"
        if bool(away.any()):
            reason += "; or " if reason else ""
            reason += (
                "the fit ended away from the maximum of the likelihood, where an interval does "
                "not hold: leave refine on, fit without a validation part, or for more epochs"
            )
        out[p.name] = Intervals(
            ends.numpy(), ((slope * spread) ** 2).detach().numpy(), status, reason
        )
    return out


def by_jacobian(model: RecurrentModel, data: TrainingData, n_weights: int) -> bool:
    """Return True where the information is formed from the full Jacobian, not from scores."""
    work = n_weights * data.targets.shape[0] * data.targets.shape[1]
    long = n_weights > FEW_PARAMETERS and work > MAX_JACOBIAN and not model.observes_targets
    return n_weights <= MAX_PARAMETERS and not long


def _from_scores(
    model: RecurrentModel,
    data: TrainingData,
    objective: Objective,
    variance: Tensor,
    n_weights: int,
    rng: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of every weight the variance, its robust form, its share in what is lost, a Newton step."""
    n_samples = max(int(SAMPLES_PER_WEIGHT * n_weights), n_weights + MIN_SAMPLES)
    for dtype in (torch.float32, torch.float64):
        single, some = copy.deepcopy(model).to(dtype), data.to(dtype)
        found = sampled_fisher(single, some, objective, variance, n_samples=n_samples, rng=rng)
        scale = 1 / torch.sqrt(found.fisher.diagonal().clamp(min=1e-300))
        used = found.fisher.diagonal() > 0
        # In place: at the largest size each of these matrices takes 3 GB.
        scaled = found.fisher.mul_(scale[:, None]).mul_(scale[None, :])
        scaled.diagonal()[~used] = 1.0
        lower, failed = torch.linalg.cholesky_ex(scaled)
        # A pivot is what is left of the information on a weight once those before it are known.
        if not int(failed) and float(lower.diagonal().min()) ** 2 > LEAST_PIVOT:
            break
    least = SINGLE_EIGENVALUE if dtype == torch.float32 else NULL_EIGENVALUE
    if int(failed):
        covariance, null = pseudo_inverse(scaled)
    else:
        covariance = torch.cholesky_inverse(lower)
        del lower
        # How many times the others inflate the variance of a weight; what lies in the null space
        # is inflated up to the inverse of the smallest eigenvalue that can be told from 0.
        null = (covariance.diagonal() * least).clamp(max=1.0)
    covariance.mul_(scale[:, None] * found.inverse_factor()).mul_(scale[None, :])
    with torch.no_grad():
        output = single(some.inputs).output
        pull = (some.targets - objective.mean(output)) / variance.to(dtype)
    scores = trial_scores(single, some.inputs, torch.where(some.mask, pull, 0.0)).double()
    # In blocks of trials: the product with the covariance is as large as the scores.
    raw, trace = torch.zeros(n_weights).double(), torch.zeros(()).double()
    for part in scores.split(64):
        through = part @ covariance
        raw += (through**2).sum(0)
        trace += (through * part).sum()
    wide = found.sandwich(raw, trace, covariance.diagonal())
    step = covariance @ scores.sum(0)
    return covariance.diagonal(), wide, torch.where(used, null, 1.0), step


def no_intervals(
    model: RecurrentModel, reason: str, status: Status = Status.OK
) -> dict[str, Intervals]:
    """NaN for every physical parameter, with the reason."""
    return {p.name: _none(model, p, reason, status) for p in model.physical_parameters}


def _none(
    model: RecurrentModel, p: PhysicalParameter, reason: str, status: Status = Status.OK
) -> Intervals:
    shape = tuple(model.physical_value(p).shape)
    return Intervals(
        np.full((*shape, 2), np.nan), np.full(shape, np.nan), np.full(shape, str(status)), reason
    )


def _offsets(weights: dict[str, Tensor]) -> dict[str, int]:
    offsets, k = {}, 0
    for name, p in weights.items():
        offsets[name] = k
        k += p.numel()
    return offsets


def nuisance_shift(
    model: RecurrentModel, data: TrainingData, variance: Tensor
) -> dict[str, Tensor]:
    """How far the weights that describe the mean have pulled those that describe the noise.

    Parameters
    ----------
    model : fitted, float64, with `covariance_weights`.
    data : the data of the fit.
    variance : (output,), of the Gaussian noise.

    Returns
    -------
    dict of name -> what is to be added to each of the covariance weights; empty where the model
    has none, or too many weights, or the step is too long to trust.

    Notes
    -----
    Every weight that shapes the mean of a correlated series takes a degree of freedom from its
    slow changes, which then look faster than they are: about half a per cent of tau for each
    weight per cell in five minutes. Maximising ``l - log|F| / 2`` instead of the likelihood l,
    with F the information on the weights of the mean, takes this out: restricted maximum
    likelihood (Patterson & Thompson 1971, doi:10.1093/biomet/58.3.545). F changes with the
    covariance weights through the whitening of the series alone; that a time constant also shapes
    the mean must not count, or the answer would depend on how the mean is written (Cox & Reid
    1987, doi:10.1111/j.2517-6161.1987.tb01422.x). One Newton step from the maximum of l is taken,
    measured on some trials: F is smooth.
    """
    weights = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    names = [n for n in model.covariance_weights if n in weights]
    total = sum(p.numel() for p in weights.values())
    if not names or total > MAX_PARAMETERS:
        return {}
    n_trials = len(data.inputs)
    every = torch.linspace(0, n_trials - 1, min(n_trials, SHIFT_TRIALS)).round().long()
    some = data.pick(every)
    offset = _offsets(weights)
    mean = torch.cat(
        [
            torch.arange(offset[n], offset[n] + p.numel())
            for n, p in weights.items()
            if n not in names
        ]
    )
    share = some.mask.sum() / data.mask.sum()
    fisher = torch.zeros(total, total).double()
    parts = []
    for part, jacobians, _ in _jacobians(model, weights, some, torch.arange(total)):
        jacobians = jacobians * part.mask
        flat = (jacobians / torch.sqrt(variance)).reshape(total, -1)
        fisher += flat @ flat.T
        # From the frames that count alone: the state that a window starts from is not the mean.
        parts.append((part, model.recolour(jacobians[mean], part.inputs)))
    inverse = pseudo_inverse(fisher / share)[0]

    def on_the_mean(of: RecurrentModel) -> Tensor:
        found = torch.zeros(len(variance), len(mean), len(mean)).double()
        for part, plain in parts:
            _add_information(found, of.whiten(plain, part.inputs), part.mask, variance)
        return found

    base = on_the_mean(model)
    nuisance = pseudo_inverse(base.sum(0))[0]
    score = torch.zeros(total).double()
    for name in names:
        moved = copy.deepcopy(model)
        with torch.no_grad():
            moved.get_parameter(name).add_(SHIFT_STEP)
        change = on_the_mean(moved) - base
        # The entries of a weight per output act on their own output alone.
        slope = -0.5 * torch.einsum("ij,oji->o", nuisance, change) / SHIFT_STEP
        where = slice(offset[name], offset[name] + weights[name].numel())
        score[where] = slope if weights[name].numel() > 1 else slope.sum()
    step = inverse @ score
    if bool((step.abs() > MAX_SHIFT * inverse.diagonal().clamp(min=0).sqrt()).any()):
        return {}
    return {
        n: step[offset[n] : offset[n] + weights[n].numel()].reshape(weights[n].shape)
        for n in names
    }


def _add_information(found: Tensor, jacobians: Tensor, seen: Tensor, variance: Tensor) -> None:
    """Add the Gaussian information of some trials, from each output alone, to (output, ., .)."""
    for k, mask in enumerate(seen):
        for o in range(len(variance)):
            jacobian = jacobians[:, k, :, o][:, mask[:, o]]
            found[o] += jacobian @ jacobian.T / variance[o]


def pseudo_inverse(fisher: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse on the directions that carry information, and each weight's share in the others."""
    scale = 1 / torch.sqrt(torch.clamp(fisher.diagonal(), min=1e-300))
    values, vectors = torch.linalg.eigh(fisher * scale[:, None] * scale[None, :])
    good = values > NULL_EIGENVALUE * values[-1]
    inverse = torch.where(good, 1 / torch.where(good, values, 1.0), 0.0)
    covariance = (vectors * inverse) @ vectors.T * scale[:, None] * scale[None, :]
    return covariance, (vectors**2 * ~good).sum(1)


def _jacobians(
    model: RecurrentModel, weights: dict[str, Tensor], data: TrainingData, which: Tensor
) -> Iterator[tuple[TrainingData, Tensor, Tensor]]:
    """Some trials, their Jacobian (weight, trial, time, output) and output, part by part.

    Trials go through together as far as memory allows: the time loop is what takes long.
    """
    offsets = _offsets(weights)
    n = sum(p.numel() for p in weights.values())
    together = max(1, int(MAX_ENTRIES / max(1, len(which) * data.targets[0].numel())))

    def unflatten(v: Tensor) -> dict[str, Tensor]:
        return {
            k: v[offsets[k] : offsets[k] + p.numel()].reshape(p.shape) for k, p in weights.items()
        }

    with plain_torch(), torch.no_grad():
        for trials in torch.arange(len(data.inputs)).split(together):
            some = data.pick(trials)

            def outputs(w: dict[str, Tensor], x: Tensor = some.inputs) -> Tensor:
                return functional_call(model, w, (x,)).output

            def push(v: Tensor, f: Any = outputs) -> Tensor:
                return jvp(f, (weights,), (unflatten(v),))[1]

            yield some, vmap(push, chunk_size=64)(torch.eye(n).double()[which]), outputs(weights)


def information(
    model: RecurrentModel,
    weights: dict[str, Tensor],
    data: TrainingData,
    objective: Objective,
    variance: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Fisher information, the sum over trials of outer products of scores, and their sum."""
    n = sum(p.numel() for p in weights.values())
    fisher, meat = torch.zeros(n, n).double(), torch.zeros(n, n).double()
    total = torch.zeros(n).double()
    for some, jacobians, output in _jacobians(model, weights, data, torch.arange(n)):
        info = objective.information(output) / variance
        if objective.name == "categorical":
            # Outputs are determined up to a constant: what they have in common says nothing.
            jacobians = jacobians - (jacobians * info).sum(-1, keepdim=True)
        residual = (some.targets - objective.mean(output)) / variance
        for k, mask in enumerate(some.mask):
            jacobian = jacobians[:, k][:, mask]
            fisher += (jacobian * info[k][mask]) @ jacobian.T
            score = jacobian @ residual[k][mask]
            meat += torch.outer(score, score)
            total += score
    return fisher, meat, total
