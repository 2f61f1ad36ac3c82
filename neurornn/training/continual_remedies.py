"""Remedies against forgetting: what is kept of a task, and how it takes part in later steps."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.rng import derived_seed
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.continual_activity import columns_of, linear_maps, second_moments
from neurornn.training.objectives import Objective, draw_targets
from neurornn.training.run import Run
from neurornn.training.scores import trial_scores

#: What is kept of earlier tasks, by name: plain arrays, that travel and are saved.
Memory = dict[str, NDArray[Any]]
REMEDIES = ("none", "ewc", "projection", "replay")
#: Trials on which the curvature of a task is measured at most, and draws of targets for each.
_FISHER_TRIALS, _FISHER_DRAWS = 128, 2


class Remedy(Protocol):
    """What was kept of earlier tasks takes part in the steps of later ones."""

    def before(self, run: Run) -> None:
        """Add to the gradients."""

    def after(self, run: Run) -> None:
        """Correct the weights that have moved."""


def remedy_named(
    name: str, memory: Memory, model: RecurrentModel, options: Mapping[str, Any], seed: int
) -> Remedy | None:
    """Return what takes part in learning the next task; None where nothing was kept.

    Parameters
    ----------
    name : one of `REMEDIES`.
    memory : what was kept.
    model : that learns.
    options : ``penalty``, ``projection``, of `fit_sequence`.
    seed : of what is drawn.
    """
    if not memory or name == "none":
        return None
    if name == "ewc":
        return _Consolidation(memory, options["penalty"])
    if name == "projection":
        return _Projection(memory, model, options["projection"])
    return _Replay(memory, seed)


def remember(
    name: str,
    memory: Memory,
    model: RecurrentModel,
    data: TrainingData,
    objective: Objective,
    options: Mapping[str, Any],
    seed: int,
) -> Memory:
    """Return what is kept after a task was learned: of it, and of those before it.

    Parameters
    ----------
    name : one of `REMEDIES`.
    memory : what was kept of earlier tasks.
    model : that has learned the task.
    data : trials of the task.
    objective : observation model.
    options : ``n_kept`` of `fit_sequence`.
    seed : of what is drawn.
    """
    if name == "ewc":
        fisher, weights = fisher_diagonal(model, data, objective, seed), _flat(model)
        older = (memory.get("fisher", 0.0), memory.get("pull", 0.0))
        return {"fisher": older[0] + fisher, "pull": older[1] + fisher * weights}
    if name == "projection":
        found = {f"moment {k}": m.numpy() for k, m in enumerate(second_moments(model, data))}
        return {k: memory.get(k, 0.0) + m for k, m in found.items()}
    if name == "replay":
        n = min(int(options["n_kept"]), len(data.inputs))
        picked = torch.from_numpy(np.sort(np.random.default_rng(seed).permutation(
            len(data.inputs))[:n]))  # fmt: skip
        task = len([k for k in memory if k.startswith("inputs ")])
        kept = data.pick(picked)
        return {
            **memory,
            **{f"{f} {task}": getattr(kept, f).numpy() for f in TrainingData._fields},
        }
    return {}


def _flat(model: RecurrentModel) -> NDArray[np.float64]:
    """Free weights in one row."""
    parts = [p.detach().double().flatten() for p in model.parameters() if p.requires_grad]
    return torch.cat(parts).numpy()


def fisher_scores(
    model: RecurrentModel, data: TrainingData, objective: Objective, seed: int
) -> Tensor:
    """Gradients of the loss of single trials under targets that the model itself draws.

    Parameters
    ----------
    model : that has learned the task.
    data : at most 128 of its trials are looked at, twice.
    objective : observation model, of unit variance where it has one.
    seed : of the targets.

    Returns
    -------
    (sample, weight)
        So that the mean of their outer products is the curvature of the mean loss over targets.
    """
    n_trials = len(data.inputs)
    pick = np.random.default_rng(derived_seed(seed, 1)).permutation(n_trials)[:_FISHER_TRIALS]
    some = data.pick(torch.from_numpy(np.sort(pick)))
    draw = torch.Generator().manual_seed(derived_seed(seed, 2))
    with torch.no_grad():
        output = model(some.inputs).output
    variance = torch.ones(output.shape[2])
    scores = []
    for _ in range(_FISHER_DRAWS):
        drawn = draw_targets(objective, output, variance, draw)
        pull = torch.where(some.mask, drawn - objective.mean(output), 0.0)
        scores.append(trial_scores(model, some.inputs, pull))
    # Entries of a trial are independent given the output: the score of a trial is a sum over them.
    per_trial = float(some.mask.sum()) / len(some.inputs)
    return torch.cat(scores) / per_trial**0.5


def fisher_diagonal(
    model: RecurrentModel, data: TrainingData, objective: Objective, seed: int
) -> NDArray[np.float64]:
    """Curvature of the mean loss by each weight, (weight,)."""
    scores = fisher_scores(model, data, objective, seed).double()
    return (scores**2).mean(0).numpy()


class _Consolidation:
    """Elastic weight consolidation: a spring to each weight, as stiff as earlier tasks need it.

    The penalties of all earlier tasks are one: ``sum_j F_j (w - w_j)^2`` has the derivative
    ``2 (w sum_j F_j - sum_j F_j w_j)``.
    """

    def __init__(self, memory: Memory, penalty: float) -> None:
        self.penalty = penalty
        self.fisher, self.pull = (torch.from_numpy(memory[k]) for k in ("fisher", "pull"))
        self.parts: list[tuple[Tensor, Tensor]] = []

    def before(self, run: Run) -> None:
        """Add the derivative of the penalty."""
        if not self.parts:
            sizes = [p.numel() for p in run.weights]
            fisher, pull = (self.penalty * x.to(run.dtype) for x in (self.fisher, self.pull))
            self.parts = [
                (f.reshape(p.shape), b.reshape(p.shape))
                for f, b, p in zip(
                    fisher.split(sizes), pull.split(sizes), run.weights, strict=True
                )
            ]
        with torch.no_grad():
            for p, (fisher, pull) in zip(run.weights, self.parts, strict=True):
                assert p.grad is not None
                p.grad.addcmul_(fisher, p).sub_(pull)

    def after(self, run: Run) -> None:
        """Nothing is left to do."""


class _Projection:
    """Steps without what earlier tasks would see: projected away from their activity.

    Each map's step D becomes ``D P``, ``P = (I + S / a)^-1``, with S the second moment of the
    activity that the map acted on in earlier tasks. What is no map of an activity, a time constant
    say, is held.
    """

    def __init__(self, memory: Memory, model: RecurrentModel, strength: float) -> None:
        self.maps = linear_maps(model)
        self.projections = []
        for k in range(len(self.maps)):
            moment = torch.from_numpy(memory[f"moment {k}"])
            keep = torch.linalg.inv(torch.eye(len(moment)).double() + moment / strength)
            self.projections.append(keep.to(next(model.parameters()).dtype))
        self.old: dict[str, Tensor] = {}

    def before(self, run: Run) -> None:
        """Note where the step begins."""
        self.old = {n: p.detach().clone() for n, p in run.model.named_parameters()}

    def after(self, run: Run) -> None:
        """Put in the projected step for the step."""
        with torch.no_grad():
            now = dict(run.model.named_parameters())
            step = {n: p - self.old[n] for n, p in now.items()}
            for n, p in now.items():
                p.copy_(self.old[n])
            for each, keep in zip(self.maps, self.projections, strict=True):
                moved = columns_of(each, step) @ keep
                for name, part in _parts(each.weights, now, moved):
                    # Weights that are held fixed stay so.
                    if now[name].requires_grad:
                        now[name][each.rows] += part


def _parts(
    names: tuple[str, ...], shapes: Mapping[str, Tensor], joined: Tensor
) -> Iterator[tuple[str, Tensor]]:
    begin = 0
    for name in names:
        width = 1 if shapes[name].ndim == 1 else shapes[name].shape[1]
        part = joined[:, begin : begin + width]
        yield name, part[:, 0] if shapes[name].ndim == 1 else part
        begin += width


class _Replay:
    """Trials of earlier tasks beside those of the new one, every earlier task as heavy as it."""

    def __init__(self, memory: Memory, seed: int) -> None:
        n_tasks = len([k for k in memory if k.startswith("inputs ")])
        self.kept = [
            TrainingData(*(torch.from_numpy(memory[f"{f} {k}"]) for f in TrainingData._fields))
            for k in range(n_tasks)
        ]
        self.draw = torch.Generator().manual_seed(seed)
        self.is_ready = False

    def before(self, run: Run) -> None:
        """Add the gradient on a batch of each earlier task."""
        if not self.is_ready:
            self.kept = [k.to(run.dtype, str(run.device)) for k in self.kept]
            self.is_ready = True
        assert run.settings.batch_size is not None
        n = max(1, -(-run.settings.batch_size // len(self.kept)))
        for task in self.kept:
            picked = torch.randperm(len(task.inputs), generator=self.draw)[:n]
            run.loss_on(task.pick(picked)).backward()

    def after(self, run: Run) -> None:
        """Nothing is left to do."""
