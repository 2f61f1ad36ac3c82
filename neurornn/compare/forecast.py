"""What every model of a league can do: outputs at a horizon from every step, and a free run."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import Objective

#: Numbers of states that are held at a time: 32 MB in float64.
MAX_STATES = 2**22
#: From the output of a step (point, 1, output), and what is known of the inputs of the next one
#: (point, 1, known), to the inputs that a model takes there.
Feed = Callable[[Tensor, Tensor], Tensor]


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


def reaches(model: Any, n_ahead: int) -> bool:
    """Whether a model forecasts so many steps after the first one, as most do without end.

    Those that do not have the number of steps as `farthest`, and do not run on by themselves.
    """
    farthest = getattr(model, "farthest", None)
    return farthest is None or n_ahead <= farthest


class NetworkForecaster:
    """A model from `nr.models`, which goes on by its own states.

    Parameters
    ----------
    model : fitted, in evaluation mode.
    objective : its mean turns an output into the next input, where the model feeds itself.
    fill : (input,), stands for inputs that are not known; None where the model feeds itself.
    n_known : how many of the inputs, the last ones, are known ahead where it does.
    """

    def __init__(
        self, model: RecurrentModel, objective: Objective, fill: Tensor | None, n_known: int = 0
    ) -> None:
        self.model, self.objective, self.fill, self.n_known = model, objective, fill, n_known

    @property
    def n_weights(self) -> int:
        """Numbers that were fitted."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def at(self, data: TrainingData, n_ahead: int) -> Tensor:
        """Outputs (trial, time, output), see `Forecaster`."""
        return outputs_at(self.model, data, self.objective, n_ahead, self.fill, self.n_known)

    def run(self, data: TrainingData, first: int, n_steps: int) -> Tensor:
        """Expected outputs (trial, step, output), see `Forecaster`."""
        x = data.inputs
        known = x[:, first + 1 : first + n_steps, x.shape[2] - self.n_known :]
        found = run_on(self.model, x[:, : first + 1], known, feeding_itself(self.objective))
        return self.objective.mean(torch.cat(found, dim=1))


def feeding_itself(objective: Objective) -> Feed:
    """Return what makes the next input of the expected output, and of what is known beside it."""
    return lambda output, known: torch.cat([objective.mean(output), known], dim=2)


def outputs_at(
    model: RecurrentModel,
    data: TrainingData,
    objective: Objective,
    n_ahead: int,
    fill: Tensor | None,
    n_known: int = 0,
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
    n_known : how many of the inputs, the last ones, are known ahead all the same.

    Returns
    -------
    (trial, time, output) : entry t is made from the inputs up to t, and from what is known ahead,
        alone; it stands for the target `n_ahead` steps after the one that the model was trained to
        give at t.
    """
    x = data.inputs
    if fill is None:
        known = x[..., x.shape[2] - n_known :]
        return carried_on(model, x, ahead_of(known, 1, n_ahead), feeding_itself(objective))
    filled = fill
    return carried_on(
        model, x, ahead_of(x[..., :0], 1, n_ahead),
        lambda output, _: filled.to(output.dtype).expand(len(output), 1, -1),
    )  # fmt: skip


def ahead_of(known: Tensor, first: int, n_steps: int) -> Tensor:
    """What is known at the steps after every point, a view (trial, time, known, step).

    Parameters
    ----------
    known : (trial, time, known).
    first : step after the point that comes first.
    n_steps : how many; 0 where they lie beyond the trial, whose targets do not count.
    """
    n_trials, n_time, n_known = known.shape
    if not n_steps or not n_known:
        return known.new_zeros(n_trials, n_time, n_known, n_steps)
    behind = known.new_zeros(n_trials, first + n_steps, n_known)
    return torch.cat([known, behind], dim=1).unfold(1, n_steps, 1)[:, first : first + n_time]


def carried_on(model: RecurrentModel, inputs: Tensor, ahead: Tensor, feed: Feed) -> Tensor:
    """Run a model over inputs, and from every point on as far as something is known.

    Parameters
    ----------
    model : fitted, in evaluation mode.
    inputs : (trial, time, input).
    ahead : (trial, time, known, step), see `ahead_of`.
    feed : makes the inputs of a step.

    Returns
    -------
    (trial, time, output) : of the last step.

    Notes
    -----
    A model of a finite past has as its state the past itself, shared between steps until a
    forecast copies it: points go through in chunks, so that the copies stay small.
    """
    with torch.no_grad():
        n_trials, n_time, _ = inputs.shape
        n_state = model.start(1).shape[1]
        found = inputs.new_empty(n_trials, n_time, model.n_output)
        for trials in _chunks(n_trials, max(1, MAX_STATES // max(1, n_time * n_state))):
            out = model(inputs[trials])
            found[trials] = out.output
            size = out.states.shape[-1]
            per_piece = max(1, MAX_STATES // max(1, size * len(out.output)))
            for steps in _chunks(n_time if ahead.shape[3] else 0, per_piece):
                output, known = out.output[:, steps], ahead[trials, steps]
                n_points = output.shape[0] * output.shape[1]
                # Each point is a trial of its own.
                last = _going_on(
                    model,
                    output.reshape(n_points, 1, -1),
                    out.states[:, steps].reshape(n_points, -1),
                    known.reshape(n_points, *known.shape[2:]).transpose(1, 2),
                    feed,
                )[-1]
                found[trials, steps] = last.reshape(output.shape)
        return found


def run_on(model: RecurrentModel, inputs: Tensor, known: Tensor, feed: Feed) -> list[Tensor]:
    """Outputs of the last step of the inputs, and of as many further steps as are known.

    Parameters
    ----------
    inputs : (trial, time, input).
    known : (trial, step, known), of the steps that follow.
    feed : makes the inputs of a step.

    Returns
    -------
    list of (trial, 1, output)
    """
    with torch.no_grad():
        out = model(inputs)
        state = out.states[:, -1].reshape(len(out.states), -1)
        return _going_on(model, out.output[:, -1:], state, known, feed)


def _going_on(
    model: RecurrentModel, output: Tensor, state: Tensor, known: Tensor, feed: Feed
) -> list[Tensor]:
    """The output that came, and that of each further step."""
    found = [output]
    for k in range(known.shape[1]):
        step = feed(output, known[:, k : k + 1])
        states, state = model.scan(step, state)
        output = model.read(states, step)
        found.append(output)
    return found


def _chunks(n: int, size: int) -> Iterator[slice]:
    return (slice(k, min(n, k + size)) for k in range(0, n, size))


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
