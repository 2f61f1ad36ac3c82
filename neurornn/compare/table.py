"""The league: models are fitted inside on one split and scored on the same test data."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
)
from neurornn._core.errors import DataError, KindError
from neurornn._core.jobs import progress_bar
from neurornn._core.old_names import renamed
from neurornn._core.report import Table, latex_row, parameter_names
from neurornn._core.rng import derived_seed
from neurornn._core.status import Status, remedies_of
from neurornn._core.units import format_number, format_quantity
from neurornn.compare.entries import fitted, named_entries, options_of
from neurornn.compare.scores import block_scores, score_table
from neurornn.compare.task import scaled_task, task_of
from neurornn.io.saved import SavedContent
from neurornn.io.shell import Result
from neurornn.models.base import RecurrentModel
from neurornn.training.objectives import objective_named
from neurornn.training.settings import MOST_EPOCHS, MOST_SEEDS

FRACTIONS = (0.7, 0.15, 0.15)


class League(Result):
    """A league table; made by `league`.

    Attributes
    ----------
    parameters : Dataset over ``model`` and ``horizon``
        ``r2`` and ``log_likelihood`` (nats per value above the training mean), each with ``_ci``
        over blocks and seeds; ``r2_behind_best``, by how much R2 is below that of the best model
        of that horizon, with ``_ci`` over the same blocks; ``r2_seed_sd``, the sd of R2 over seeds
        (0 for a model in closed form, NaN where there is one seed); ``n_weights``,
        ``status (model)``.
    settings : how it was made; ``chosen`` holds what models in closed form chose on the
        validation part.
    """

    _papers = ("efron_1993",)

    @property
    def status(self) -> xr.DataArray:
        """How the fits of each model ended, (model,)."""
        return self.parameters["status"]

    def _report_table(self) -> Table:
        table = self.parameters
        rows = []
        for i, name in enumerate(table["model"].values):
            row = [str(name), str(int(table["n_weights"][i]))]
            for j in range(table.sizes["horizon"]):
                for score in ("r2", "log_likelihood"):
                    low, high = table[f"{score}_ci"].values[i, j]
                    row.append(format_quantity(float(table[score][i, j]), "1", low, high))
                row.insert(-1, format_number(float(table["r2_seed_sd"][i, j]), 2))
            rows.append([*row, str(table["status"].values[i])])
        columns = ["model", "weights"]
        for h in table["horizon"].values:
            columns += [f"R2, horizon {h}", "sd over seeds", f"log-likelihood, horizon {h}"]
        s = self.settings
        head = [
            f"same split {s['fractions']}, {s['n_seeds']} seeds; test scores, "
            f"{100 * s['confidence_level']:g} % intervals over {s['n_blocks']} blocks and seeds",
            f"one horizon step is {s['dt']:.4g} {s['time_unit']}; log-likelihood in nats per "
            "value above the training mean (the row 'mean')",
        ]
        for name, choice in s.get("chosen", {}).items():
            said = ", ".join(f"{k} {v:g}" for k, v in choice.items())
            head.append(f"{name}, chosen on the validation part: {said}")
        told = [f"{code}: {text}" for code, text in remedies_of(table["status"]).items()]
        return Table(title="League", columns=[*columns, "status"], rows=rows, head=[*head, *told])

    def to_latex(self) -> str:
        """Return one LaTeX row per score, model and horizon: name, value, interval, unit.

        The row of a model whose fits did not end well has its status in the comment.
        """
        table, lines = self.parameters, []
        for score in parameter_names(table):
            unit = str(table[score].attrs["units"])
            for i, entry in enumerate(table["model"].values):
                status = str(table["status"].values[i])
                remark = "interval" if status == Status.OK else f"interval; {status}"
                for j, horizon in enumerate(table["horizon"].values):
                    value, (low, high) = (
                        table[score].values[i, j],
                        table[f"{score}_ci"].values[i, j],
                    )
                    name = f"{score}, {entry}, horizon {horizon}"
                    lines.append(latex_row(name, value, low, high, unit, remark))
        return "\n".join(lines)

    @classmethod
    def _from_saved(cls, content: SavedContent) -> Self:
        table, settings = content.tables["parameters"], dict(content.settings)
        if "account" in table.dims:
            # Files of version 0.1 before its release.
            table = table.rename(account="model")
            settings["fractions"] = settings.pop("split")
        return cls(table, settings)

    def __repr__(self) -> str:
        return f"League of {', '.join(map(str, self.parameters['model'].values))}"

    def _methods_sentence(self) -> str:
        return (
            f"Models were compared on one split {self.settings['fractions']} with "
            f"{self.settings['n_seeds']} seeds each; no setting was chosen on the test part"
        )


@renamed(split="fractions")
def league(
    data: Any,
    recipes: Sequence[RecurrentModel | str],
    *,
    fractions: Sequence[float] = FRACTIONS,
    horizons: Sequence[int] | None = None,
    duration: float = 5.0,
    n_seeds: int = 3,
    objective: str = "gaussian",
    max_epochs: int = 60,
    fit_options: Mapping[str, Any] | None = None,
    confidence_level: float = 0.95,
    rng: int = 0,
    progress: bool = False,
) -> League:
    """Fit models on the same split and score them on the same test data.

    Parameters
    ----------
    data : DataArray (time, unit), whose future is to be forecast from its past; or windows, or a
        pair (inputs, targets) of (trial, time, ...), whose targets are to be given.
    recipes : models, taken as recipes: each is built anew for every seed and fitted inside; and

        - ``"linear"``, a state space of four modes; pass a `LinearStateSpace` for others;
        - ``"ridge"``, ridge regression on the last frames in closed form, how many and how hard
          chosen on the validation part; pass a `LinearHistory` to choose how many;
        - ``"memoryless"``, a linear map of the present input;
        - ``"persistence"``, the last frame repeated, where a series forecasts itself.

        The training mean always takes part.
    fractions : for training, validation and test
        Blocks in time for a recording; whole trials for windows.
    horizons : frames
        For a forecast the steps ahead, by default 1 and 10; otherwise how many steps the inputs
        stop before the target, by default 0 and 10.
    duration : s, length of the windows a recording is cut into.
    n_seeds : seeds of the initial weights and the order of the trials.

    Other Parameters
    ----------------
    objective : ``"gaussian"``, or ``"poisson"`` for counts.
    max_epochs : of every fit; the validation part stops it early.
    fit_options : more arguments of `nr.fit`, for every recipe or for each by its name
        For example ``{"optimizer": "adam", "learning_rate": 0.003, "weight_decay": 0.1}``, or
        ``{"LeakyRNN": {"learning_rate": 0.003}, "linear": {"weight_decay": 0.1}}``. By default
        ``patience`` is a fifth of `max_epochs` and ``tolerance`` 1e-6. Models in closed form do
        not use them.
    confidence_level : of the intervals.
    rng : seed.
    progress : show a progress bar in a terminal or a notebook.

    Returns
    -------
    League

    Raises
    ------
    KindError, UnitError, DataError
        Data or recipes of a wrong kind (one that looks ahead of what it is to forecast, say), of
        another clock; options that the league decides itself; too few test blocks.

    Notes
    -----
    Inputs and Gaussian targets are scaled by the mean and sd of the training part. A forecast of h
    steps is made by feeding a model its own expected output h - 1 times; where inputs and targets
    differ, unknown inputs are put at their training mean. R2 is 1 - (squared error) / (squared
    deviation from the training mean), pooled over outputs after scaling. Intervals resample test
    blocks and, apart from them, seeds.
    """
    n_seeds = check_count(n_seeds, "n_seeds", most=MOST_SEEDS)
    max_epochs = check_count(max_epochs, "max_epochs", most=MOST_EPOCHS)
    confidence_level = check_confidence_level(confidence_level)
    rng = check_count(rng, "rng", 0, 2**63)
    if isinstance(recipes, str) or not isinstance(recipes, Sequence):
        raise KindError(
            f"recipes is a {type(recipes).__name__}",
            "A list of models or their names was needed",
            "Pass for example ['ridge', 'linear']",
        )
    if horizons is not None:
        several = isinstance(horizons, Sequence) or np.ndim(horizons) == 1
        if not several or isinstance(horizons, str | bytes):
            raise KindError(
                f"horizons is a {type(horizons).__name__}",
                "Whole numbers of frames were needed",
                "Pass for example horizons=(1, 10)",
            )
        horizons = [check_count(h, "A horizon", 0) for h in horizons]
        if not horizons:
            raise DataError("horizons is empty", "At least one was needed", "Pass horizons=(1,)")
    clock = next(
        ((r.dt, r.time_unit) for r in recipes if isinstance(r, RecurrentModel)), (1.0, "steps")
    )
    task = task_of(data, fractions, duration, rng, clock)
    if horizons is None:
        horizons = (task.first_horizon, 10)
    goal = objective_named(objective)
    gaussian = goal.name == "gaussian"
    task = scaled_task(task, gaussian=gaussian)
    if task.feeds_itself and not gaussian:
        raise KindError(
            "A forecast of counts from their own past came with a Poisson objective",
            "objective='gaussian' for a forecast, or windows of inputs and counts, were needed",
            "Pass nr.data.windows(recording, inputs=..., targets=counts, ...)",
        )
    steps = [h - task.first_horizon for h in horizons]
    if min(steps) < 0:
        raise DataError(
            f"horizons is {tuple(horizons)}",
            f"Horizons of at least {task.first_horizon} frames were needed",
            "A forecast starts at 1, a read-out of known inputs at 0",
        )
    entries = named_entries(recipes, task, gaussian=gaussian, looks_on=max(steps) > 0)
    options = options_of(fit_options, entries)
    fill = None if task.feeds_itself else torch.zeros(task.train.inputs.shape[2]).double()
    fit_settings = {
        "objective": objective,
        "max_epochs": max_epochs,
        "patience": max(5, max_epochs // 5),
        "tolerance": 1e-6,
    }
    # (seed, horizon, block, quantity)
    scored: dict[str, NDArray[np.float64]] = {}
    statuses, n_weights, chosen = {}, {}, {}
    with progress_bar(len(entries) * n_seeds, 0, progress, "fits") as tick:
        for name, entry in entries.items():
            per_seed: list[Any] = []
            codes: list[str] = []
            for seed in range(n_seeds):
                # What is solved in closed form is the same for every seed.
                if not per_seed or entry.solve is None:
                    model, code, choice = fitted(
                        entry,
                        task,
                        derived_seed(rng, seed),
                        {**fit_settings, **options[name]},
                    )
                    found = [block_scores(model, task, goal, k, fill) for k in steps]
                per_seed.append(found)
                codes.append(code)
                tick()
            scored[name] = np.array(per_seed)
            statuses[name] = next((c for c in codes if c not in ("ok", "stopped_early")), "ok")
            if not np.isfinite(scored[name]).all():
                # No score is better than a wrong one; what belongs to the data alone stays.
                scored[name][..., [0, 2]] = np.nan
                statuses[name] = str(Status.DIVERGED)
            n_weights[name] = sum(p.numel() for p in model.parameters() if p.requires_grad)
            if choice:
                chosen[name] = choice
    # A model that always gives the mean: its error is the deviation, its likelihood the mean's.
    scored["mean"] = next(iter(scored.values()))[..., [1, 1, 3, 3, 4]]
    statuses["mean"], n_weights["mean"] = "ok", task.train.targets.shape[2]
    table = score_table(scored, statuses, n_weights, horizons, confidence_level, rng)
    settings = {
        "fractions": [float(f) for f in fractions],
        "horizons": [int(h) for h in horizons],
        "n_seeds": int(n_seeds),
        "n_blocks": int(scored["mean"].shape[2]),
        "objective": objective,
        "max_epochs": int(max_epochs),
        "fit_options": dict(fit_options or {}),
        "chosen": chosen,
        "confidence_level": float(confidence_level),
        "dt": task.dt,
        "time_unit": task.time_unit,
        "rng": int(rng),
    }
    return League(table, settings)
