"""Models that observe what they forecast: calcium corrected frame by frame, then run on."""

import torch
from torch import Tensor

from neurornn._core.errors import KindError, ShapeError
from neurornn.compare.forecast import ahead_of, carried_on, run_on
from neurornn.compare.task import Task
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData


def check_observer(recipe: RecurrentModel, task: Task) -> None:
    """Refuse a model that observes its targets where they are not the past of what is asked for.

    Raises
    ------
    KindError, ShapeError
        Windows or pairs of inputs and targets; other numbers of cells or of stimulus channels.
    """
    name = type(recipe).__name__
    if not task.feeds_itself:
        raise KindError(
            f"A recipe is a {name}, which takes its targets as inputs, and they are not given",
            "A series that is forecast from its own past was needed",
            'Pass rec["dff"], and a stimulus as inputs=rec["stimulus"]',
        )
    n_units, n_stimulus = task.train.targets.shape[2], recipe.n_input - recipe.n_output
    if (recipe.n_output, n_stimulus) != (n_units, task.n_known):
        raise ShapeError(
            f"The data have {n_units} units and {task.n_known} inputs known ahead, the {name} "
            f"{recipe.n_output} and {n_stimulus}",
            "The same numbers were needed",
            f"Build it for {n_units} units and {task.n_known} channels of a stimulus, which the "
            "league takes as inputs=",
        )


class ObserverForecaster:
    """A model corrected by every frame up to the present, then run on without correction.

    Parameters
    ----------
    model : fitted, in evaluation mode.
    task : says which frames of its parts were recorded: one that was not corrects nothing.
    """

    def __init__(self, model: RecurrentModel, task: Task) -> None:
        self.model, self.task = model, task

    @property
    def n_weights(self) -> int:
        """Numbers that were fitted."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def at(self, data: TrainingData, n_ahead: int) -> Tensor:
        """Outputs (trial, time, output), see `Forecaster`."""
        # The model's own output at a frame was made before it saw the frame: one step more.
        ahead = ahead_of(self._stimulus(data), 0, n_ahead + 1)
        return carried_on(self.model, self._seen(data), ahead, self._blind)

    def run(self, data: TrainingData, first: int, n_steps: int) -> Tensor:
        """Expected outputs (trial, step, output), see `Forecaster`."""
        known = self._stimulus(data)[:, first : first + n_steps]
        found = run_on(self.model, self._seen(data)[:, : first + 1], known, self._blind)
        return torch.cat(found[1:], dim=1)

    def _stimulus(self, data: TrainingData) -> Tensor:
        """At each step that of the frame which comes next, (trial, time, channel)."""
        return data.inputs[..., data.inputs.shape[2] - self.task.n_known :]

    def _seen(self, data: TrainingData) -> Tensor:
        """What the model takes: the stimulus of each frame, and the frame; NaN where missing."""
        n = self.model.n_output
        frames = torch.where(self.task.recorded(data)[..., :n], data.inputs[..., :n], float("nan"))
        return torch.cat([_of_the_frame(self._stimulus(data))[:, :-1], frames], dim=2)

    def _blind(self, output: Tensor, known: Tensor) -> Tensor:
        return torch.cat([known, torch.full_like(output, float("nan"))], dim=2)


def observed(task: Task, part: TrainingData) -> TrainingData:
    """Lay a part out as a model that observes its targets is trained: the same frames count.

    Parameters
    ----------
    task : of a series that forecasts itself.
    part : one of its parts, whose targets are a frame later than its inputs.

    Returns
    -------
    TrainingData with one frame more: inputs and targets of the same frames.
    """
    x, y, mask = part
    n = y.shape[2]
    none = torch.full_like(y[:, :1], float("nan"))
    frames = torch.where(task.recorded(part)[..., :n], x[..., :n], float("nan"))
    # The frame after the last input is among the targets alone.
    later = torch.where(mask, y, float("nan"))
    frames = torch.cat([frames, none], dim=1)
    frames = torch.where(torch.isnan(frames), torch.cat([none, later], dim=1), frames)
    counted = torch.cat([torch.zeros_like(mask[:, :1]), mask], dim=1)
    stimulus = _of_the_frame(x[..., x.shape[2] - task.n_known :])
    return TrainingData(torch.cat([stimulus, frames], dim=2), torch.nan_to_num(frames), counted)


def _of_the_frame(ahead: Tensor) -> Tensor:
    """From the stimulus of the frame after each step to that of each frame, one frame more.

    That of the first frame is in no window; the one after it stands in.
    """
    return torch.cat([ahead[:, :1], ahead], dim=1)
