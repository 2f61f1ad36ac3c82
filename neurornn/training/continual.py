"""Tasks learned one after the other by one network: what it forgets, and what helps."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from neurornn._core.checks import (
    check_choice,
    check_confidence_level,
    check_count,
    check_number,
    check_positive,
    check_rng,
)
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError
from neurornn._core.files import fingerprint
from neurornn._core.jobs import progress_bar, run_chunks
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn._core.status import Status
from neurornn._core.targets import check_own_folder
from neurornn._core.warning import warn_user
from neurornn.io.headers import plain
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData, as_training_data
from neurornn.training.continual_activity import linear_maps
from neurornn.training.continual_remedies import REMEDIES
from neurornn.training.continual_result import (
    ContinualResult,
    continual_tables,
    overlap_table,
)
from neurornn.training.continual_stage import learn_task, pack_tasks
from neurornn.training.many import Packed, pack_model, redrawn, unpack_model
from neurornn.training.objectives import check_targets, objective_named
from neurornn.training.settings import MOST_SEEDS, FitSettings

#: Share of the trials of a task that is scored, the last ones, where no others are given.
_SCORED = 0.2


def fit_sequence(
    model: RecurrentModel,
    tasks: Sequence[Any] | Mapping[str, Any],
    *,
    remedy: str = "none",
    rng: RNG = 0,
    n_seeds: int = 5,
    test: Sequence[Any] | Mapping[str, Any] | None = None,
    max_epochs: int = 60,
    objective: str = "gaussian",
    penalty: float = 600.0,
    projection: float = 3e-3,
    n_kept: int = 32,
    alone: bool = False,
    n_overlap: int = 20,
    learning_rate: float | None = None,
    batch_size: int | None = None,
    schedule: str = "cosine",
    clip_norm: float | None = 1.0,
    weight_decay: float = 0.0,
    n_jobs: int = 1,
    client: Any = None,
    confidence_level: float = 0.95,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> ContinualResult:
    """Let one network learn tasks one after the other, and measure what is left of each.

    Parameters
    ----------
    model : RecurrentModel
        Not changed; the first seed starts from its weights, the others draw theirs.
    tasks : list, or mapping of names, of data as `nr.fit` takes them
        In the order in which they are learned; all of the widths of the model. Tasks of different
        channels are brought to one width by `cue_tasks`.
    remedy : ``"none"``, ``"ewc"``, ``"projection"`` or ``"replay"``; see Notes.
    rng : int, Generator or None; the same seed gives the same bits.
    n_seeds : networks, each with first weights and an order of trials of its own.
    test : the same as `tasks`, of trials that are scored and not learned
        By default the last fifth of the trials of each task is held out for that.
    max_epochs : passes over the trials of each task.
    objective : as in `nr.fit`.

    Other Parameters
    ----------------
    penalty : weight of the penalty of ``"ewc"``; at 1 it is the curvature of the earlier losses
        where weights do not act together.
    projection : mean square of an activity, in its own unit, of which half a step is taken away
        by ``"projection"``; smaller protects more and leaves less to learn with.
    n_kept : trials of each task that ``"replay"`` keeps.
    alone : let fresh networks learn each task alone as well, as long, for comparison.
    n_overlap : steps of the optimiser, evenly spread over each later task, at which the overlap
        with earlier tasks is measured; 0 for none.
    learning_rate, batch_size, schedule, clip_norm, weight_decay : of Adam, as in `nr.fit`. It
        starts anew with every task.
    n_jobs, client : processes, or a ``dask.distributed.Client``, for the seeds.
    confidence_level : of the intervals over seeds.
    checkpoint : folder of its own, in which each task of each seed is kept once it was learned.
        The same call goes on from there, to the same bits.
    progress : show a bar in a terminal or a notebook, or a callable ``(done, total)``.

    Returns
    -------
    ContinualResult

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Fewer than two tasks; tasks of another width than the model; nothing to replay; a model
        whose weights have no activity to project from.
    ResumeError
        The folder holds what another call left there.
    FileWriteError
        The folder holds anything else, or cannot be written.

    Warns
    -----
    ConvergenceWarning
        A loss diverged. One that still fell at the end of a task is said by the report alone: what
        counts are the scores.

    Notes
    -----
    *Elastic weight consolidation* (Kirkpatrick et al. 2017) pulls each weight back to where
    earlier tasks left it, as hard as the diagonal of their Fisher information asks for. It is
    measured from gradients of trials under targets that the network itself draws.

    *Projection* (after Duncker et al. 2020) takes from every step what earlier tasks would see:
    where a map W acts on activity z, its step D becomes ``D (I + S / a)^-1`` with S the second
    moment of z over earlier tasks and a = `projection`. Here the step of Adam is projected, not
    the gradient, since Adam's scaling of single weights would turn it back; and the side of z
    alone. Time constants and first states, which act on no such activity, are held after the first
    task.

    *Replay* adds to each step the gradient on some of `n_kept` trials of every earlier task.

    The *overlap* of a step w -> w + u with an earlier task of loss L is
    ``u . dL/dw + u . G u / 2``, G the curvature of L by the outputs (Gauss-Newton), at w: a step
    costs an earlier task what it moves along the directions that this task is sensitive to. It is
    formed from trials that were learned, and ``forgetting`` is the change of L across the step on
    the trials that are scored.

    References
    ----------
    Kirkpatrick et al. 2017, PNAS 114:3521, doi:10.1073/pnas.1611835114; Duncker, Driscoll, Shenoy,
    Sahani & Sussillo 2020, NeurIPS 33 (organizing recurrent network dynamics by task-computation
    to enable continual learning).

    Examples
    --------
    >>> import neurornn as nr
    >>> tasks = nr.training.cue_tasks([
    ...     nr.simulate.line_integrator(10, 0.4, rng=0),
    ...     nr.simulate.ready_set_go(10, 0.02, interval=0.2, gains=[1.0], rng=0),
    ... ])
    >>> model = nr.models.LeakyRNN(4, 8, 1, dt=0.02, tau=0.1, rng=0)
    >>> run = fit_sequence(model, tasks, remedy="replay", max_epochs=2, n_seeds=1)
    >>> dict(run.forgetting["score"].sizes)
    {'after': 2, 'task': 2}
    """
    if not isinstance(model, RecurrentModel):
        raise KindError(
            f"model is a {type(model).__name__}",
            "A model from nr.models was needed",
            "For example nr.models.LeakyRNN(n_input=4, n_hidden=64, n_output=1, dt=0.02)",
        )
    remedy = check_choice(remedy, "remedy", REMEDIES)
    if remedy == "projection":
        linear_maps(model)
    options = {
        "penalty": check_number(penalty, "penalty", least=0.0),
        "projection": check_positive(projection, "projection"),
        "n_kept": _kept(n_kept, remedy),
    }
    n_seeds = check_count(n_seeds, "n_seeds", most=MOST_SEEDS)
    level = check_confidence_level(confidence_level)
    seed = seed_of(check_rng(rng))
    names, data = _as_tasks(model, tasks, test)
    fit = FitSettings(
        optimizer="adam", objective=objective, max_epochs=max_epochs, rng=seed,
        learning_rate=learning_rate, batch_size=batch_size, schedule=schedule,
        clip_norm=clip_norm, weight_decay=weight_decay, segment_duration=None, refine=False,
        intervals=False, confidence_level=level,
    )  # fmt: skip
    goal = objective_named(objective)
    for name, pair in zip(names, data, strict=True):
        fit.for_data(model, len(pair[0].inputs))
        for part in pair:
            check_targets(goal, part.targets, part.mask, name)
    plan = {
        "remedy": remedy, "options": options, "fit": fit.as_dict(),
        "n_overlap": check_count(n_overlap, "n_overlap", 0),
    }  # fmt: skip
    if checkpoint is not None:
        check_own_folder(checkpoint, lambda name: name.startswith("task-"))
    jobs = _Jobs(model, pack_tasks(data), plan, n_seeds, seed, n_jobs, client, checkpoint)
    n_tasks = len(names)
    total = n_seeds * (n_tasks + (n_tasks - 1) * bool(alone))
    with progress_bar(total, 0, progress, "tasks") as tick:
        found = [jobs.learn(k, tick) for k in range(n_tasks)]
        single = [jobs.learn(k, tick, alone=True) for k in range(1, n_tasks)] if alone else []
    return _result(model, names, found, single if alone else None, plan, seed, level)


def _kept(n_kept: Any, remedy: str) -> int:
    n = check_count(n_kept, "n_kept", 0)
    if remedy == "replay" and not n:
        raise DataError(
            "n_kept is 0 with remedy='replay'",
            "At least one trial of each task to replay was needed",
            "Pass n_kept=32, or remedy='none'",
        )
    return n


def _as_tasks(
    model: RecurrentModel, tasks: Any, test: Any
) -> tuple[list[str], list[tuple[TrainingData, TrainingData]]]:
    """Names, and trials learned and scored, of each task."""
    if isinstance(tasks, Mapping) and not isinstance(tasks, xr.Dataset):
        names, given = [str(n) for n in tasks], list(tasks.values())
    elif isinstance(tasks, list | tuple):
        given = list(tasks)
        names = [f"task {k}" for k in range(len(given))]
    else:
        raise KindError(
            f"tasks is a {type(tasks).__name__}",
            "A list of tasks, or a mapping of names to tasks, was needed",
            "For example [task_a, task_b]",
        )
    if len(given) < 2:
        raise DataError(
            f"{len(given)} task came",
            "At least two were needed: the second is what the first may be forgotten for",
            "Pass two tasks, or use nr.fit for one",
        )
    others: list[Any] = [None] * len(given)
    if test is not None:
        others = list(test.values()) if isinstance(test, Mapping) else list(test)
        wanted = list(tasks) if isinstance(tasks, Mapping) else []
        if len(others) != len(given) or (isinstance(test, Mapping) and list(test) != wanted):
            raise ShapeError(
                f"test has {len(others)} tasks" + (f", {list(test)}" if wanted else ""),
                f"Trials to score of the same {len(given)} tasks, in the same order, were needed",
                "Leave test out: then the last fifth of the trials of each task is scored",
            )
    found = []
    for name, task, other in zip(names, given, others, strict=True):
        try:
            learned = as_training_data(task, model, name)
            scored = None if other is None else as_training_data(other, model, f"test of {name}")
        except ShapeError as error:
            raise ShapeError(
                error.came,
                error.needed,
                "All tasks go through one network: bring them to one width with "
                "nr.training.cue_tasks, and build the model with that",
            ) from None
        if scored is None:
            learned, scored = _cut(learned, name)
        found.append((learned, scored))
    return names, found


def _cut(data: TrainingData, name: str) -> tuple[TrainingData, TrainingData]:
    n = len(data.inputs)
    n_scored = max(1, round(_SCORED * n))
    if n - n_scored < 1 or n < 5:
        raise DataError(
            f"{name} has {n} trials",
            "At least 5 were needed, of which the last fifth is scored",
            "Pass more trials, or those to score as test=",
        )
    at = torch.arange(n)
    return data.pick(at[: n - n_scored]), data.pick(at[n - n_scored :])


class _Jobs:
    """The tasks of all seeds: each after the one before it, seeds side by side."""

    def __init__(
        self,
        model: RecurrentModel,
        data: Packed,
        plan: Mapping[str, Any],
        n_seeds: int,
        seed: int,
        n_jobs: int,
        client: Any,
        checkpoint: str | os.PathLike[str] | None,
    ) -> None:
        starts = [
            model if k == 0 else redrawn(model, derived_seed(seed, 500, k)) for k in range(n_seeds)
        ]
        self.fresh = [pack_model(m) for m in starts]
        self.seeds = [derived_seed(seed, 600, k) for k in range(n_seeds)]
        self.now, self.memory = list(self.fresh), [dict[str, Any]() for _ in starts]
        self.data, self.plan, self.cls = data, dict(plan), type(model)
        self.n_jobs, self.client, self.checkpoint = n_jobs, client, checkpoint
        self.data_key = fingerprint(data)

    def learn(
        self, task: int, tick: Callable[[], None], *, alone: bool = False
    ) -> list[dict[str, Any]]:
        """Let every seed learn a task, after those before it, or alone."""
        chunks = []
        for k, seed in enumerate(self.seeds):
            fit = {**self.plan["fit"], "rng": derived_seed(seed, task)}
            plan = json.dumps(plain({**self.plan, "fit": fit, "task": task, "alone": alone}))
            model, memory = (self.fresh[k], {}) if alone else (self.now[k], self.memory[k])
            chunks.append((model, memory, plan, self.cls))
        folder = None
        if self.checkpoint is not None:
            folder = Path(self.checkpoint).expanduser() / f"task-{task}{'-alone' if alone else ''}"
        done = run_chunks(
            learn_task, chunks, shared=(self.data,), n_jobs=self.n_jobs, client=self.client,
            progress=lambda *_: tick(), checkpoint=folder,
            key=fingerprint([list(c[:3]) for c in chunks], self.data_key),
        )  # fmt: skip
        if not alone:
            self.now = [_under("model ", d) for d in done]
            self.memory = [_under("memory ", d) for d in done]
        return done


def _under(prefix: str, packed: Mapping[str, Any]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in packed.items() if k.startswith(prefix)}


def _result(
    model: RecurrentModel,
    names: list[str],
    found: list[list[dict[str, Any]]],
    single: list[list[dict[str, Any]]] | None,
    plan: Mapping[str, Any],
    seed: int,
    level: float,
) -> ContinualResult:
    n_tasks, n_seeds = len(names), len(found[0])
    scores = np.full((n_seeds, n_tasks, n_tasks), np.nan)
    for k, of_task in enumerate(found):
        for s, one in enumerate(of_task):
            scores[s, k, : k + 1] = one["scores"]
    alone = None
    if single is not None:
        # The first task is learned alone in any case.
        each = [scores[:, 0, 0], *([float(o["scores"][-1]) for o in of] for of in single)]
        alone = np.array(each).T
    table, seeds = continual_tables(scores, alone, names, level, seed)
    status = [[str(of_task[s]["status"]) for of_task in found] for s in range(n_seeds)]
    loss = [[float(of_task[s]["loss"][-1]) for of_task in found] for s in range(n_seeds)]
    seeds["status"] = (("seed", "after"), status, {"long_name": "how learning the task ended"})
    seeds["loss"] = (("seed", "after"), loss, {"units": "1", "long_name": "training loss"})
    if alone is not None:
        seeds["alone"] = (("seed", "task"), alone, {"units": "1"})
    measured = {
        (s, k): (one["overlap"], one["steps"])
        for k, of_task in enumerate(found)
        for s, one in enumerate(of_task)
    }
    stages = [
        [unpack_model(_under("model ", of_task[s]), type(model)).eval() for of_task in found]
        for s in range(n_seeds)
    ]
    made = {
        "model": type(model).__name__, "remedy": plan["remedy"], "n_seeds": n_seeds, "rng": seed,
        **plan["options"],
        **{k: plan["fit"][k] for k in ("max_epochs", "objective", "learning_rate", "batch_size")},
        "n_overlap": plan["n_overlap"], "confidence_level": level,
    }  # fmt: skip
    result = ContinualResult(
        table, made, stages=stages, seeds=seeds, overlap=overlap_table(measured, n_seeds, names)
    )
    if result.status is Status.DIVERGED:
        warn_user(
            f"Learning ended with status {result.status}. {result._how_it_ended()}",
            ConvergenceWarning,
        )
    return result
