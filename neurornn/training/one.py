"""What every fit comes to, from whatever room: one model, tensors, settings that were checked."""

import os
from collections.abc import Callable
from typing import Any

import torch

from neurornn._core.checks import check_count
from neurornn._core.errors import DataError, KindError
from neurornn._core.jobs import progress_bar
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import check_targets, objective_named
from neurornn.training.passes import Passes, make_passes
from neurornn.training.regimes import RegimeGuard
from neurornn.training.result import FitResult
from neurornn.training.run import Run
from neurornn.training.settings import FitSettings

#: What looks on: number of the epoch, a copy of the model, loss and validation loss.
Callback = Callable[[int, RecurrentModel, dict[str, float]], Any]


def fit_one(
    model: RecurrentModel,
    train: TrainingData,
    watch: TrainingData | None,
    settings: FitSettings,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    progress: bool | Callable[[int, int], None] = False,
    callback: Callback | None = None,
    strict: bool = False,
) -> FitResult:
    """Fit one model to training data: what every fit comes to, from whatever room.

    Parameters
    ----------
    model : not changed; a copy is trained.
    train, watch : training and validation data as tensors (`as_training_data`).
    settings : how.
    checkpoint, checkpoint_every, progress, callback, strict : as in `nr.fit`.

    Returns
    -------
    FitResult
    """
    settings, passes = prepared(model, train, watch, settings)
    look_every = check_callback(callback)
    guard = callback if isinstance(callback, RegimeGuard) else None
    if guard is not None:
        guard.begin(model, train, settings.optimizer)
        callback = None
    goal = objective_named(settings.objective)
    run = Run(model, train, watch, goal, passes, settings, guard=guard)
    if checkpoint is not None:
        run.resume(checkpoint)
    with (
        torch.random.fork_rng(devices=[]),
        progress_bar(settings.max_epochs, run.epoch, progress, "epochs") as tick,
    ):
        while run.status is None:
            run.one_epoch()
            if guard is not None and (run.status is not None or run.epoch % look_every == 0):
                # Before the state is written, which holds what was seen and done.
                run.be_guarded()
            if checkpoint is not None and (
                run.status is not None or run.epoch % max(1, checkpoint_every) == 0
            ):
                run.save(checkpoint)
            if callback is not None and (run.status is not None or run.epoch % look_every == 0):
                # What it is given is a copy, and every epoch seeds its own draws.
                callback(*run.seen())
            tick()
    return run.result(strict, progress is True)


def check_callback(callback: Any, n_seeds: int = 1) -> int:
    """Return after how many epochs a callback is called, or refuse what is none.

    Raises
    ------
    KindError, DataError
        It cannot be called, its ``every`` is no number from 1 on, or fits of several seeds were
        asked for.
    """
    if callback is None:
        return 1
    if not callable(callback):
        raise KindError(
            f"callback is a {type(callback).__name__}",
            "A callable of the epoch, the model and the losses was needed",
            "For example callback=nr.dynamics.DynamicsMonitor()",
        )
    if n_seeds > 1:
        raise KindError(
            f"callback came with n_seeds={n_seeds}",
            "A single fit was needed: many run side by side, in processes of their own",
            "Fit the seeds one by one, each with a callback of its own",
        )
    return check_count(getattr(callback, "every", 1), "every")


def prepared(
    model: RecurrentModel, train: TrainingData, watch: TrainingData | None, settings: FitSettings
) -> tuple[FitSettings, Passes]:
    """Settle what was left open for these data, and refuse what cannot be fitted."""
    n_trials, n_steps = train.targets.shape[:2]
    settings = settings.for_data(model, n_trials)
    goal = objective_named(settings.objective)
    assert settings.batch_size is not None
    passes = make_passes(
        model,
        n_trials if settings.optimizer == "lbfgs" else settings.batch_size,
        n_steps,
        truncation=settings.truncation,
        segment_duration=settings.segment_duration,
        teacher_forcing=settings.teacher_forcing,
        forcing_interval=settings.forcing_interval,
    )
    for name, part in (("data", train), ("validation", watch)):
        if part is not None:
            check_targets(goal, part.targets, part.mask, name)
    if settings.teacher_forcing and not bool(train.mask[:, 1:].any()):
        raise DataError(
            "No target after the first step counts",
            "Targets of later steps were needed: the first one finds the state",
            "Check the mask, or leave teacher_forcing out",
        )
    return settings, passes
