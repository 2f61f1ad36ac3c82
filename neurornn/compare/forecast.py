"""Forecasts of a fitted model at a horizon, from every step of every trial at once."""

import torch
from torch import Tensor

from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import Objective


def outputs_at(
    model: RecurrentModel,
    data: TrainingData,
    objective: Objective,
    n_ahead: int,
    fill: Tensor | None,
) -> Tensor:
    """Run a model over known inputs, then `n_ahead` further steps from every point.

    Parameters
    ----------
    model : fitted.
    data : inputs (trial, time, input).
    objective : its mean turns an output into the next input, where the model feeds itself.
    n_ahead : steps beyond the last known input.
    fill : (input,)
        Stands for inputs that are not known; None feeds the model its own expected output.

    Returns
    -------
    (trial, time, output) : entry t is made from the inputs up to t alone, and stands for the
        target `n_ahead` steps after the one that the model was trained to give at t.
    """
    with torch.no_grad():
        out = model(data.inputs)
        n_trials, n_steps, _ = out.output.shape
        output = out.output.reshape(n_trials * n_steps, 1, -1)
        state = out.states.reshape(n_trials * n_steps, -1)
        for _ in range(n_ahead):
            if fill is None:
                step = objective.mean(output)
            else:
                step = fill.expand(len(output), 1, -1)
            states, state = model.scan(step, state)
            output = model.read(states, step)
        return output.reshape(n_trials, n_steps, -1)


def shifted(data: TrainingData, n_ahead: int) -> tuple[Tensor, Tensor]:
    """Targets and mask moved `n_ahead` steps earlier, to stand beside `outputs_at`."""
    target = torch.zeros_like(data.targets)
    mask = torch.zeros_like(data.mask)
    end = data.targets.shape[1] - n_ahead
    if end > 0:
        target[:, :end] = data.targets[:, n_ahead:]
        # A target after a masked stretch counts as soon as the state has warmed up.
        mask[:, :end] = data.mask[:, n_ahead:] & data.mask[:, :end]
    return target, mask
