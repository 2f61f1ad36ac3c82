"""One task of a sequence learned by one network: what a worker does, in plain arrays."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurornn._core.rng import derived_seed
from neurornn._core.status import Status
from neurornn.io.headers import unplain
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData
from neurornn.training.continual_overlap import MEASURED, OverlapWatch, sensitive_subspace
from neurornn.training.continual_remedies import (
    Memory,
    fisher_scores,
    remedy_named,
    remember,
)
from neurornn.training.many import Packed, pack_model, unpack_model
from neurornn.training.objectives import objective_named
from neurornn.training.one import prepared
from neurornn.training.result import r2_where
from neurornn.training.run import Run
from neurornn.training.settings import FitSettings

#: Of the data of a task: which part an array is of.
PARTS = ("train", "test")


def pack_tasks(tasks: Sequence[tuple[TrainingData, TrainingData]]) -> Packed:
    """Trials learned and trials scored of every task, as arrays."""
    return {
        f"{k} {part} {f}": getattr(data, f).numpy()
        for k, pair in enumerate(tasks)
        for part, data in zip(PARTS, pair, strict=True)
        for f in TrainingData._fields
    }


def _unpack_task(packed: Mapping[str, NDArray[Any]], k: int, part: str) -> TrainingData:
    arrays = (np.array(packed[f"{k} {part} {f}"]) for f in TrainingData._fields)
    return TrainingData(*map(torch.from_numpy, arrays))


def learn_task(
    model: Packed,
    memory: Memory,
    plan: str,
    cls: type[RecurrentModel],
    data: Packed,
) -> dict[str, NDArray[Any]]:
    """Learn one task after others.

    Parameters
    ----------
    model : as `pack_model` made it.
    memory : what was kept of the tasks before.
    plan : JSON with ``task``, its number; ``alone``, whether it is the only one; ``remedy``,
        ``options``, ``fit``, settings of the fit; ``n_overlap``.
    cls : class of the model.
    data : of all tasks, see `pack_tasks`.

    Returns
    -------
    dict of arrays
        ``model head`` and ``model weights``, ``memory ...``, ``scores`` of all tasks so far,
        ``status``, ``loss`` of each epoch, ``overlap`` (step, task, column) and ``steps``.
    """
    given = json.loads(plan, object_hook=unplain)
    task, alone = int(given["task"]), bool(given["alone"])
    ready = unpack_model(model, cls).train()
    dtype = next(ready.parameters()).dtype
    train = _unpack_task(data, task, "train")
    settings, passes = prepared(ready, train, None, FitSettings(**given["fit"]))
    seed = derived_seed(settings.seed, 21)
    own = {k.removeprefix("kept "): v for k, v in memory.items() if k.startswith("kept ")}
    remedy = remedy_named(given["remedy"], own, ready, given["options"], seed)
    earlier = [] if alone else list(range(task))
    watch = None
    if earlier and given["n_overlap"]:
        assert settings.batch_size is not None
        n_steps = settings.max_epochs * -(-len(train.inputs) // settings.batch_size)
        at = np.unique(np.linspace(0, n_steps - 1, given["n_overlap"]).round().astype(int))
        learned_on, scored_on = (
            [_unpack_task(data, j, part).to(dtype) for j in earlier] for part in PARTS
        )
        bases = [memory[f"basis {j}"] for j in earlier]
        watch = OverlapWatch(remedy, learned_on, scored_on, bases, at.tolist())
    goal = objective_named(settings.objective)
    run = Run(ready, train, None, goal, passes, settings, watch or remedy)
    with torch.random.fork_rng(devices=[]):
        while run.status is None:
            run.one_epoch()
    if run.status is Status.DIVERGED:
        run.model.load_state_dict(run.best_weights)
    learned = run.model.eval()
    scores = [_score(learned, _unpack_task(data, j, "test"), goal) for j in (*earlier, task)]
    found = {f"model {k}": v for k, v in pack_model(learned).items()}
    found |= {
        "scores": np.array(scores),
        "status": np.array(str(run.status)),
        "loss": np.array(run.loss),
        "overlap": np.zeros((0, 0, len(MEASURED))) if watch is None else watch.table(),
        "steps": np.array([] if watch is None else sorted(watch.at)[: len(watch.rows)], dtype=int),
    }
    if alone:
        return found
    small = train.to(dtype)
    kept = remember(given["remedy"], own, learned, small, goal, given["options"], seed)
    found |= {f"memory kept {k}": np.asarray(v) for k, v in kept.items()}
    if given["n_overlap"]:
        basis = sensitive_subspace(fisher_scores(learned, small, goal, seed))
        found |= {f"memory {k}": v for k, v in memory.items() if k.startswith("basis ")}
        found[f"memory basis {task}"] = basis
    return found


def _score(model: RecurrentModel, data: TrainingData, goal: Any) -> float:
    with torch.no_grad():
        output = model(data.inputs.to(next(model.parameters()).dtype)).output.double()
    if not bool(output[data.mask].isfinite().all()):
        # Weights that have run away say nothing.
        return float("nan")
    return r2_where(goal.mean(output), data.targets, data.mask)
