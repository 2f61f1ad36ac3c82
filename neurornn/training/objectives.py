"""What is made small: minus the log-likelihood of the targets, per entry."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from neurornn._core.errors import NameUnknownError, nearest


class Objective(NamedTuple):
    """An observation model with its canonical link.

    Attributes
    ----------
    name : as passed to `nr.fit`.
    loss : (output, target) -> loss of every entry, up to constants.
    mean : output -> expected target.
    information : output -> Fisher information of every entry with respect to the output, at unit
        noise variance where there is one.
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor]
    mean: Callable[[Tensor], Tensor]
    information: Callable[[Tensor], Tensor]


OBJECTIVES = {
    "gaussian": Objective(
        "gaussian", lambda o, t: 0.5 * (o - t) ** 2, lambda o: o, torch.ones_like
    ),
    # Output is the log of the expected count.
    "poisson": Objective("poisson", lambda o, t: torch.exp(o) - t * o, torch.exp, torch.exp),
    # Output is the log-odds.
    "bernoulli": Objective(
        "bernoulli",
        lambda o, t: torch.nn.functional.softplus(o) - t * o,
        torch.sigmoid,
        lambda o: torch.sigmoid(o) * torch.sigmoid(-o),
    ),
}


def objective_named(name: str) -> Objective:
    """Return an objective, or raise and offer the nearest name."""
    if name not in OBJECTIVES:
        raise NameUnknownError(
            f"objective is {name!r}",
            "The name of an objective was needed",
            nearest(name, OBJECTIVES),
        )
    return OBJECTIVES[name]


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
