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
