"""Every model of a league fitted with every seed, and what each did."""

from collections.abc import Mapping, Sequence
from time import process_time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.jobs import progress_bar
from neurornn._core.rng import derived_seed
from neurornn._core.status import Status
from neurornn.compare.entries import Entry, fitted, forecaster_of
from neurornn.compare.forecast import reaches
from neurornn.compare.free_runs import Runs, Truth, run_from, truth_of
from neurornn.compare.koopman_accounts import REMEDY
from neurornn.compare.scores import OF_THE_MEAN, OF_THE_MODEL, block_scores, floor_of
from neurornn.compare.task import Task
from neurornn.models.base import RecurrentModel
from neurornn.training.objectives import Objective


class Played(NamedTuple):
    """What all models of a league did, by their name."""

    scored: dict[str, NDArray[np.float64]]  # (seed, horizon, block, quantity)
    statuses: dict[str, str]
    n_weights: dict[str, int]
    seconds: dict[str, float]
    chosen: dict[str, dict[str, Any]]
    runs: dict[str, list[Runs]]
    remedies: dict[str, str]
    truth: Truth | None
    floors: dict[str, list[list[float | None]]]  # (seed, horizon), where the data are counts


def play(
    entries: Mapping[str, Entry],
    task: Task,
    goal: Objective,
    steps: Sequence[int],
    options: Mapping[str, Mapping[str, Any]],
    *,
    n_seeds: int,
    rng: int,
    statistics: bool,
    progress: bool,
) -> Played:
    """Fit every model with every seed and score it; the training mean stands at the end.

    Parameters
    ----------
    entries : models by the name of their row.
    steps : after the first that are scored.
    options : arguments of `nr.fit` for each model.
    statistics : let every model run on by itself too.
    """
    truth = truth_of(task.test) if statistics else None
    told = Played({}, {}, {}, {}, {}, {}, {}, truth, {})
    reasons: set[str] = set()
    with progress_bar(len(entries) * n_seeds, 0, progress, "fits") as tick:
        for name, entry in entries.items():
            scores: list[Any] = []
            codes: list[str] = []
            runs: list[Runs] = []
            seconds = 0.0
            for seed in range(n_seeds):
                # What is solved in closed form is the same for every seed.
                if not scores or entry.solve is None:
                    begin = process_time()
                    model, code, choice = fitted(
                        entry, task, derived_seed(rng, seed), options[name]
                    )
                    seconds += process_time() - begin
                    one = forecaster_of(model, task, goal)
                    if task.counts:
                        floors = [
                            floor_of(one, task, goal, k) if reaches(one, k) else None
                            for k in steps
                        ]
                        found = [
                            block_scores(one, task, goal, k, f or 0.0)
                            for k, f in zip(steps, floors, strict=True)
                        ]
                        told.floors.setdefault(name, []).append(floors)
                    else:
                        found = [block_scores(one, task, goal, k) for k in steps]
                    ran = None if truth is None else run_from(one, task.test, truth)
                scores.append(found)
                codes.append(code)
                if ran is not None:
                    runs.append(ran)
                tick()
            scored = np.array(scores)
            ended = next((c for c in codes if c not in ("ok", "stopped_early")), "ok")
            # No score is better than a wrong one; what belongs to the data alone stays, and so do
            # horizons at which a forecast holds.
            lost = ~np.isfinite(scored).all(axis=(0, 2, 3))
            for quantity in OF_THE_MODEL:
                if quantity < scored.shape[3]:
                    scored[:, lost, :, quantity] = np.nan
            # A horizon that a model does not claim to reach is no divergence.
            if lost[[reaches(one, k) for k in steps]].any():
                ended = str(Status.DIVERGED)
                own = Status.DIVERGED.remedy if isinstance(model, RecurrentModel) else REMEDY
                reasons.add(getattr(one, "remedy", own))
            told.statuses[name] = ended
            told.scored[name], told.seconds[name] = scored, seconds
            told.n_weights[name], told.runs[name] = one.n_weights, runs
            if choice:
                told.chosen[name] = choice
    if reasons:
        told.remedies[str(Status.DIVERGED)] = " ".join(sorted(reasons))
    # A model that always gives the mean: its error is the deviation, its likelihood the mean's.
    any_ = next(iter(told.scored.values()))
    told.scored["mean"] = any_[..., OF_THE_MEAN[: any_.shape[3]]]
    told.statuses["mean"], told.n_weights["mean"] = "ok", task.train.targets.shape[2]
    told.seconds["mean"] = 0.0
    if truth is None:
        return told._replace(runs={})
    told.runs["mean"] = [run_from(None, task.test, truth)] * n_seeds
    return told
