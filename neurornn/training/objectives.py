"""What is made small: minus the log-likelihood of the targets, per entry."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from neurornn._core.errors import DataError, NameUnknownError, nearest


class Objective(NamedTuple):
    """An observation model with its canonical link.

    Attributes
    ----------
    name : as passed to `nr.fit`.
    loss : (output, target) -> loss of every entry, up to constants.
    mean : output -> expected target.
    information : output -> Fisher information of every entry with respect to the output, at unit
        noise variance where there is one. For `categorical` that of the outputs less their mean
        under the model, which is taken off their derivatives first.
    is_valid : target -> True where a target can occur, and what is wanted.
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    information: Callable[[Tensor], Tensor]
    is_valid: Callable[[Tensor], Tensor]
    wanted: str


OBJECTIVES = {
    "gaussian": Objective(
        "gaussian",
        lambda o, t: 0.5 * (o - t) ** 2,
        lambda o: o,
        torch.ones_like,
        torch.isfinite,
        "finite numbers",
    ),
    # Output is the log of the expected count.
    "poisson": Objective(
        "poisson",
        lambda o, t: torch.exp(o) - t * o,
        torch.exp,
        torch.exp,
        lambda t: t >= 0,
        "counts of at least 0",
    ),
    # Output is the log-odds.
    "bernoulli": Objective(
        "bernoulli",
        lambda o, t: torch.nn.functional.softplus(o) - t * o,
        torch.sigmoid,
        lambda o: torch.sigmoid(o) * torch.sigmoid(-o),
        lambda t: (t >= 0) & (t <= 1),
        "0 or 1 (or a share between them)",
    ),
    # Outputs are log-odds up to a constant; targets one-hot, or shares that sum to 1.
    "categorical": Objective(
        "categorical",
        lambda o, t: -t * torch.log_softmax(o, -1),
        lambda o: torch.softmax(o, -1),
        lambda o: torch.softmax(o, -1),
        lambda t: (t >= 0) & (t <= 1) & ((t.sum(-1, keepdim=True) - 1).abs() < 1e-6),
        "one-hot classes, (trial, time, class)",
    ),
}


def start_at_the_mean(objective: Objective, bias: Tensor, targets: Tensor, mask: Tensor) -> None:
    """Let the read-out of a fresh model start at the mean of every output, in place.

    Parameters
    ----------
    objective : its link takes the mean to an output.
    bias : (output,), of the read-out. One that is not 0 throughout is of a fit and stays.
    targets, mask : (trial, time, output)

    Notes
    -----
    From a rate of one a bin a unit of 200 pulls a thousand times as hard as one of .2, and weights
    that both share are spent on the way there. Half an event stands for none at all. Gaussian
    outputs start at their mean where it is further from 0 than they spread.
    """
    if bool(bias.any()):
        return
    count = mask.sum((0, 1)).clamp(min=1)
    seen = torch.where(mask, targets, 0.0).double()
    mean = seen.sum((0, 1)) / count
    least = 0.5 / count
    if objective.name == "gaussian":
        spread = torch.sqrt((torch.where(mask, seen - mean, 0.0) ** 2).sum((0, 1)) / count)
        start = torch.where(mean.abs() > spread, mean, 0.0)
    elif objective.name == "bernoulli":
        start = torch.logit(mean.clamp(least, 1 - least))
    else:
        start = torch.log(torch.maximum(mean, least))
    with torch.no_grad():
        bias.copy_(torch.where(mask.any(0).any(0), start, 0.0))


def draw_targets(
    objective: Objective, output: Tensor, variance: Tensor, generator: torch.Generator
) -> Tensor:
    """Draw targets from the model.

    Parameters
    ----------
    output : (trial, time, output)
    variance : (output,), of the noise; used by the Gaussian alone.
    """
    if objective.name == "gaussian":
        noise = torch.randn(output.shape, generator=generator, dtype=output.dtype)
        return output + noise * torch.sqrt(variance).to(output.dtype)
    mean = objective.mean(output)
    if objective.name == "poisson":
        return torch.poisson(mean, generator=generator)
    if objective.name == "bernoulli":
        return torch.bernoulli(mean, generator=generator)
    flat = torch.multinomial(mean.reshape(-1, mean.shape[-1]), 1, generator=generator)
    one_hot = torch.zeros_like(mean).reshape(-1, mean.shape[-1]).scatter_(1, flat, 1.0)
    return one_hot.reshape(mean.shape)


def objective_named(name: str) -> Objective:
    """Return an objective, or raise and offer the nearest name."""
    if not isinstance(name, str) or name not in OBJECTIVES:
        raise NameUnknownError(
            f"objective is {name!r}",
            "The name of an objective was needed",
            nearest(str(name), OBJECTIVES),
        )
    return OBJECTIVES[name]


def check_targets(objective: Objective, targets: Tensor, mask: Tensor, name: str) -> None:
    """Refuse targets that cannot occur under the objective.

    Raises
    ------
    DataError
        For example negative counts, or classes that are not one-hot.
    """
    wrong = mask & ~objective.is_valid(targets)
    if bool(wrong.any()):
        first = float(targets[wrong][0])
        raise DataError(
            f"{int(wrong.sum())} {name} targets cannot come from a {objective.name} distribution, "
            f"for example {first:g}",
            f"{objective.wanted[0].upper()}{objective.wanted[1:]} were needed",
            "Choose another objective, or check the targets",
        )


def masked_mean(loss: Tensor, mask: Tensor) -> Tensor:
    """Mean over the entries that count."""
    return torch.where(mask, loss, 0.0).sum() / mask.sum()


def profiled_mean(loss: Tensor, mask: Tensor) -> Tensor:
    """Gaussian loss with the noise variance of every output at its best value.

    Parameters
    ----------
    loss : (trial, time, output), half squared errors.
    mask : of the same shape.

    Notes
    -----
    ``sum_i n_i log(s_i) / n`` with the root mean square error s_i of output i: minus the
    likelihood with all s_i eliminated. It does not depend on the scale of an output but for a
    constant.
    """
    count = mask.sum((0, 1))
    variance = 2 * torch.where(mask, loss, 0.0).sum((0, 1)) / torch.clamp(count, min=1)
    # An output that is all masked, or is met to the last bit, must not give log 0.
    return 0.5 * (count * torch.log(torch.clamp(variance, min=1e-300))).sum() / mask.sum()


def log_likelihood(
    objective: Objective, output: Tensor, target: Tensor, variance: Tensor
) -> Tensor:
    """Log-likelihood of every entry, nats.

    Parameters
    ----------
    variance : (output,), of the noise; used by the Gaussian alone.
    """
    if objective.name == "gaussian":
        return -0.5 * ((output - target) ** 2 / variance + torch.log(2 * math.pi * variance))
    if objective.name == "poisson":
        return target * output - torch.exp(output) - torch.lgamma(target + 1)
    return -objective.loss(output, target)
