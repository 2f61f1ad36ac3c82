"""What a trained model says: the last stretch, the noise, intervals, and the table of them."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.status import Status
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.curvature import no_intervals, nuisance_shift, physical_intervals
from neurornn.training.objectives import Objective
from neurornn.training.passes import Passes
from neurornn.training.refine import go_to_maximum
from neurornn.training.settings import FitSettings
from neurornn.training.table import parameter_table


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """What became of a trained model.

    Attributes
    ----------
    parameters : the table.
    status : how it ended after all.
    refined : whether the maximum of the likelihood was reached.
    precise : the model in float64, as it is used.
    """

    parameters: xr.Dataset
    status: Status
    refined: bool
    precise: RecurrentModel


def infer(
    model: RecurrentModel,
    train: TrainingData,
    objective: Objective,
    passes: Passes,
    settings: FitSettings,
    status: Status,
    *,
    watched: bool,
    progress: bool = False,
) -> Inferred:
    """Go the last stretch to the maximum and form intervals there.

    Parameters
    ----------
    model : trained, with its best weights; is moved to the maximum.
    train : in float64.
    status : how the training ended.
    watched : a validation part chose the weights: these are no maximum, and stay.
    progress : show a bar.
    """
    why = _why_no_intervals(model, passes, settings)
    refined: bool | None = False
    settled = status in (Status.OK, Status.NOT_CONVERGED) and not watched
    # Not for want of intervals: the estimate must not depend on whether they are asked for.
    smooth = not (passes.forcing or model.is_random)
    if model.physical_parameters and smooth and settled and settings.refine:
        refined = go_to_maximum(model, train, objective, settings.seed, progress)
        status = Status.OK if refined else status
    precise = copy.deepcopy(model).double().eval()
    variance, dof = noise_of(precise, train, objective)
    if objective.name == "gaussian" and bool(variance.isfinite().all()):
        shift = nuisance_shift(precise, train, variance)
        for one in (precise, model) if shift else ():
            with torch.no_grad():
                for name, p in one.named_parameters():
                    p.add_(shift.get(name, torch.zeros(())).to(p.dtype))
        if shift:
            variance, dof = noise_of(precise, train, objective)
    if not _is_finite(precise, train):
        status = Status.DIVERGED
    if status is Status.DIVERGED:
        why = "the loss, the noise or an output was not finite"
        intervals = no_intervals(precise, why, Status.DIVERGED)
    elif why:
        intervals = no_intervals(precise, why)
    elif not bool(variance.isfinite().all()):
        why = "there are no more data than weights"
        intervals = no_intervals(precise, why, Status.TOO_SHORT)
    else:
        intervals = physical_intervals(
            precise, train, objective, variance, settings.confidence_level, rng=settings.seed
        )
    table = parameter_table(
        precise, intervals, variance, dof, objective, settings.confidence_level
    )
    return Inferred(parameters=table, status=status, refined=bool(refined), precise=precise)


def noise_of(
    model: RecurrentModel, data: TrainingData, objective: Objective
) -> tuple[Tensor, NDArray[Any]]:
    """Variance of the residuals of every output, with its degrees of freedom."""
    with torch.no_grad():
        output = model(data.inputs).output
    variance = torch.ones(output.shape[2], dtype=torch.float64)
    dof = np.zeros(len(variance))
    if objective.name == "gaussian":
        # A linear read-out uses up one degree of freedom per weight and output.
        squares = torch.where(data.mask, (output - data.targets) ** 2, 0.0).sum((0, 1))
        count = data.mask.sum((0, 1)).double()
        weights = [p for p in model.parameters() if p.requires_grad]
        free = sum(p.numel() for p in weights) / output.shape[2]
        dof = (count - free).numpy()
        variance = squares / torch.where(count > free, count - free, torch.nan)
        # An output that is never observed says nothing, and takes nothing from the others.
        variance = torch.where(count > 0, torch.clamp(variance, min=1e-300), 1.0)
        dof[count.numpy() == 0] = np.nan
    return variance, dof


def _is_finite(model: RecurrentModel, data: TrainingData) -> bool:
    """Whether every output that counts, its error, and every weight is a finite number."""
    with torch.no_grad():
        away = (model(data.inputs).output - data.targets) ** 2
    weights = all(bool(p.isfinite().all()) for p in model.parameters())
    return weights and bool(torch.where(data.mask, away, 0.0).sum().isfinite())


def _why_no_intervals(model: RecurrentModel, passes: Passes, settings: FitSettings) -> str:
    """Say why no interval can be formed at all; empty where one can."""
    if not settings.intervals:
        return "intervals=False was asked for"
    if not model.physical_parameters:
        return "the model has no physical parameter"
    if passes.forcing:
        return "teacher forcing does not maximise the likelihood of the free model"
    if model.is_random:
        return "the model is fitted with noise or dropout, not by its likelihood"
    return ""
