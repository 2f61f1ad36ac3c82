"""What every model of a league can do: outputs at a horizon from every step, and a free run."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import Objective

#: Numbers of states that are held at a time: 32 MB in float64.
MAX_STATES = 2**22


class Forecaster(Protocol):
    """A fitted model as a league scores it, whatever it is inside."""

    @property
    def n_weights(self) -> int:
        """Numbers that were fitted."""
        ...

    def at(self, data: TrainingData, n_ahead: int) -> Tensor:
        """Outputs (trial, time, output): entry t is made from the inputs up to t alone.

        It stands for the target `n_ahead` steps after the one that a model is trained to give at
        t; NaN where the forecast has left all bounds.
        """
        ...

    def run(self, data: TrainingData, first: int, n_steps: int) -> Tensor:
        """Expected outputs (trial, step, output) from the inputs up to step `first` alone.

        Entry k stands for the target at ``first + k``; for series that forecast themselves.
        """
        ...


class NetworkForecaster:
    """A model from `nr.models`, which goes on by its own states.

    Parameters
    ----------
    model : fitted, in evaluation mode.
    objective : its mean turns an output into the next input, where the model feeds itself.
    fill : (input,), stands for inputs that are not known; None where the model feeds itself.
    """

    def __init__(self, model: RecurrentModel, objective: Objective, fill: Tensor | None) -> None:
        self.model, self.objective, self.fill = model, objective, fill

    @property
    def n_weights(self) -> int:
        """Numbers that were fitted."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def at(self, data: TrainingData, n_ahead: int) -> Tensor:
        """Outputs (trial, time, output), see `Forecaster`."""
        return outputs_at(self.model, data, self.objective, n_ahead, self.fill)

    def run(self, data: TrainingData, first: int, n_steps: int) -> Tensor:
        """Expected outputs (trial, step, output), see `Forecaster`."""
        with torch.no_grad():
            out = self.model(data.inputs[:, : first + 1])
            output, state = out.output[:, -1:], out.states[:, -1].reshape(len(out.states), -1)
            found = [output]
            for _ in range(n_steps - 1):
                step = self.objective.mean(output)
                states, state = self.model.scan(step, state)
                output = self.model.read(states, step)
                found.append(output)
            return self.objective.mean(torch.cat(found, dim=1))


def forecaster_of(model: Any, objective: Objective, fill: Tensor | None) -> Forecaster:
    """Return a fitted model as a league scores it; what can forecast by itself stays as it is."""
    if isinstance(model, RecurrentModel):
        return NetworkForecaster(model, objective, fill)
    found: Forecaster = model
    return found


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
    model : fitted, in evaluation mode.
    data : inputs (trial, time, input).
    objective : its mean turns an output into the next input, where the model feeds itself.
    n_ahead : steps beyond the last known input.
    fill : (input,)
        Stands for inputs that are not known; None feeds the model its own expected output.

    Returns
    -------
    (trial, time, output) : entry t is made from the inputs up to t alone, and stands for the
        target `n_ahead` steps after the one that the model was trained to give at t.

    Notes
    -----
    A model of a finite past has as its state the past itself, shared between steps until a
    forecast copies it: points go through in chunks, so that the copies stay small.
    """
    with torch.no_grad():
        n_trials, n_steps, _ = data.inputs.shape
        n_state = model.start(1).shape[1]
        found = data.targets.new_empty(n_trials, n_steps, model.n_output)
        for trials in _chunks(n_trials, max(1, MAX_STATES // max(1, n_steps * n_state))):
            out = model(data.inputs[trials])
            found[trials] = out.output
            size = out.states.shape[-1]
            per_piece = max(1, MAX_STATES // max(1, size * len(out.output)))
            for steps in _chunks(n_steps if n_ahead else 0, per_piece):
                found[trials, steps] = _carried_on(
                    model, out.output[:, steps], out.states[:, steps], objective, n_ahead, fill
                )
        return found


def _chunks(n: int, size: int) -> Iterator[slice]:
    return (slice(k, min(n, k + size)) for k in range(0, n, size))


def _carried_on(
    model: RecurrentModel,
    output: Tensor,
    states: Tensor,
    objective: Objective,
    n_ahead: int,
    fill: Tensor | None,
) -> Tensor:
    """Outputs `n_ahead` steps later, each point taken as a trial of its own."""
    shape = output.shape
    output = output.reshape(shape[0] * shape[1], 1, shape[2])
    state = states.reshape(len(output), -1)
    for _ in range(n_ahead):
        if fill is None:
            step = objective.mean(output)
        else:
            step = fill.to(output.dtype).expand(len(output), 1, -1)
        states, state = model.scan(step, state)
        output = model.read(states, step)
    return output.reshape(shape)


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
