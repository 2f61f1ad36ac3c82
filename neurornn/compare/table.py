"""The league: models are fitted inside on one split and scored on the same test data."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import xarray as xr

from neurornn._core.checks import (
    check_confidence_level,
    check_count,
    check_positive,
)
from neurornn._core.errors import DataError, KindError
from neurornn._core.old_names import renamed
from neurornn._core.report import Table, latex_row, parameter_names
from neurornn._core.status import Status, remedies_of
from neurornn._core.units import counted, format_number, format_quantity
from neurornn.compare.entries import named_entries, options_of, with_baselines
from neurornn.compare.free_runs import reference_of, runs_table
from neurornn.compare.played import play
from neurornn.compare.scores import score_table
from neurornn.compare.task import hold_counts, horizons_in_frames, scaled_task, task_of
from neurornn.compare.verdicts import bits_told, horizon_told, verdict
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
        of that horizon, with ``_ci`` over the same blocks; where the data are counts the same two
        of ``bits_per_spike``, and ``bits_behind_best``; ``r2_seed_sd``, the sd of R2 over seeds
        (0 for a model in closed form, NaN where there is one seed); ``n_weights``,
        ``status (model)``. ``horizon`` is in frames, ``horizon_time`` the same in s.
    runs : Dataset over ``model``
        ``seconds``, CPU time of all fits, which a report leaves out. Where a series forecasts
        itself, also what free runs from the start of every test window gave: ``valid_time`` (s),
        for which the error stays within 0.4 sd, with ``_ci`` over blocks and seeds;
        ``valid_lyapunov_times``, the same in Lyapunov times, where one was given;
        ``spectrum_distance``, of smoothed power spectra, 0 to 1; ``state_divergence``, of binned
        states, nats.
    verdict : which model is best at each horizon, and whether its lead is noise; one line each.
    settings : how it was made; ``chosen`` holds what models in closed form chose on the
        validation part, ``floors`` the least expected counts of each seed and horizon,
        ``reference`` what another stretch of the data scores in place of a free run.
    """

    _papers = ("efron_1993",)
    _tables = ("parameters", "runs")
    runs: xr.Dataset

    def __init__(
        self, parameters: xr.Dataset, settings: Mapping[str, Any], runs: xr.Dataset | None = None
    ) -> None:
        super().__init__(parameters, settings, runs=xr.Dataset() if runs is None else runs)

    @property
    def status(self) -> xr.DataArray:
        """How the fits of each model ended, (model,)."""
        return self.parameters["status"]

    @property
    def verdict(self) -> str:
        """Which model is best at each horizon and whether its lead is noise, one line each."""
        return verdict(self.parameters, self.settings)

    def _report_table(self) -> Table:
        table, runs = self.parameters, self.runs
        told = {
            "valid_time": ("valid time", True),
            "valid_lyapunov_times": ("in Lyapunov times", True),
            "spectrum_distance": ("spectrum distance", False),
            "state_divergence": ("state divergence", False),
        }
        # What the fits cost is in `runs` alone: no two reports would be the same.
        shown = [n for n in told if n in runs]
        counts = "bits_per_spike" in table
        scores = ("r2", "log_likelihood", *(("bits_per_spike",) if counts else ()))
        rows = []
        for i, name in enumerate(table["model"].values):
            row = [str(name), str(int(table["n_weights"][i]))]
            for j in range(table.sizes["horizon"]):
                for score in scores:
                    low, high = table[f"{score}_ci"].values[i, j]
                    row.append(format_quantity(float(table[score][i, j]), "1", low, high))
                row.insert(1 - len(scores), format_number(float(table["r2_seed_sd"][i, j]), 2))
            for n in shown:
                ends = runs[f"{n}_ci"].values[i] if told[n][1] else ()
                value = float(runs[n].values[i])
                row.append(format_quantity(value, "1", *ends))
            rows.append([*row, str(table["status"].values[i])])
        columns = ["model", "weights"]
        s = self.settings
        for h in table["horizon"].values:
            said = horizon_told(int(h), s)
            columns += [f"R2, {said}", "sd over seeds", f"log-likelihood, {said}"]
            columns += [f"bits per spike, {said}"] if counts else []
        for n in shown:
            unit = str(runs[n].attrs["units"])
            columns.append(told[n][0] if unit == "1" else f"{told[n][0]} ({unit})")
        head = [
            *self.verdict.splitlines(),
            f"same split {s['fractions']}, {s['n_seeds']} seeds; test scores, "
            f"{100 * s['confidence_level']:g} % intervals over {s['n_blocks']} blocks and seeds",
            f"one horizon step is {s['dt']:.4g} {s['time_unit']}; log-likelihood in nats per "
            "value above the training mean (the row 'mean')",
        ]
        if counts:
            head += bits_told(s.get("floors", {}))
        if "n_known" in s:
            head.append(f"{counted(s['n_known'], 'input')} known up to the frame that is forecast")
        if "longest_run" in s:
            head.append(
                f"free runs take at most {s['longest_run']:.4g} {s['time_unit']}, which no valid "
                "time exceeds"
            )
        if s.get("reference"):
            said = ", ".join(f"{told[k][0]} {format_number(v)}" for k, v in s["reference"].items())
            head.append(f"as many windows of the training part in place of free runs: {said}")
        for name, words in s.get("recipes", {}).items():
            head.append(f"{name}: {words}")
        for name, choice in s.get("chosen", {}).items():
            said = ", ".join(f"{k} {v:g}" for k, v in choice.items())
            head.append(f"{name}, chosen on the validation part: {said}")
        remedies = [f"{code}: {text}" for code, text in remedies_of(table["status"]).items()]
        return Table(
            title="League", columns=[*columns, "status"], rows=rows, head=[*head, *remedies]
        )

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
        runs = content.tables.get("runs")
        if "account" in table.dims:
            # Files of version 0.1 before its release.
            table = table.rename(account="model")
            settings["fractions"] = settings.pop("split")
        return cls(table, settings, runs)

    def _to_saved(self) -> dict[str, Any]:
        saved = super()._to_saved()
        if not self.runs.data_vars:
            # As in files from before there were any.
            del saved["tables"]["runs"]
        return saved

    def _papers_used(self) -> list[str]:
        runs = self.runs if "spectrum_distance" in self.runs else {}
        more = ["mikhaeil_2022"]
        if "state_divergence" in runs and np.isfinite(self.runs["state_divergence"]).any():
            more.append("koppe_2019")
        names = " ".join(map(str, self.parameters["model"].values)).lower()
        koopman = {"modes": "askham_2018", "edmd": "williams_2015"}
        used = [key for word, key in koopman.items() if word in names]
        spikes = {"pointprocess": "truccolo_2005", "renewal": "barbieri_2001"}
        used += [key for word, key in spikes.items() if word in names]
        used += ["pei_2021"] if "bits_per_spike" in self.parameters else []
        return [*self._papers, *used, *(more if len(runs) else [])]

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
    recipes: Sequence[Any],
    *,
    inputs: Any = None,
    fractions: Sequence[float] = FRACTIONS,
    horizons: Sequence[float] | None = None,
    duration: float = 5.0,
    n_seeds: int = 3,
    objective: str = "gaussian",
    max_epochs: int = 60,
    fit_options: Mapping[str, Any] | None = None,
    baselines: bool = True,
    statistics: bool = True,
    lyapunov_time: float | None = None,
    confidence_level: float = 0.95,
    rng: int = 0,
    progress: bool = False,
) -> League:
    """Fit models on the same split and score them on the same test data.

    Parameters
    ----------
    data : DataArray (time, unit) or (trial, time, unit), whose future is to be forecast from its
        past, counts such as `nr.data.bin_spikes` makes among them; or windows, or a pair (inputs,
        targets) of (trial, time, ...), whose targets are to be given.
    recipes : models, taken as recipes: each is built anew for every seed and fitted inside; and

        - ``"linear"``, a state space of four modes; pass a `LinearStateSpace` for others;
        - ``"ridge"``, ridge regression on the last frames in closed form, how many and how hard
          chosen on the validation part; pass a `LinearHistory` to choose how many;
        - ``"memoryless"``, a linear map of the present input;
        - ``"persistence"``, the last frame repeated, where a series forecasts itself;
        - an unfitted `nr.koopman.EDMD`, where a series forecasts itself. It is scored in both of
          its ways, in the rows ``"EDMD (linear)"`` and ``"EDMD (relifted)"``, and driven by
          `inputs` where there are some;
        - ``"modes"``, modes of a linear system whose rank, and the history that a forecast starts
          from, are chosen on the validation part; or an unfitted `nr.koopman.Modes`, for which
          the history alone is;
        - a `CalciumRNN`, where fluorescence forecasts itself: its calcium is corrected by every
          frame up to the present, and runs on from there;
        - an unfitted `nr.spikes.PointProcess`, `RecurrentPointProcess` or `RenewalProcess`, where
          counts forecast themselves: a bin ahead, and further where it knows no past. A
          ``bin_size`` that was left out is that of the counts.

        The training mean always takes part, and so do memoryless and persistence.
    inputs : DataArray (time, ...), such as a stimulus, on the clock of a series or another
        Known to all models up to the frame that is forecast, while the series itself is known up
        to the present. A network has them behind the units: ``n_input`` is the sum of both.
    fractions : for training, validation and test
        Blocks in time for a recording; whole trials for windows, and for a series in trials.
    horizons : whole numbers are frames, numbers with a decimal point s: ``(0.1, 1.0)``
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
    baselines : let memoryless and persistence take part where they are not among the recipes.
    statistics : let every model run on by itself from the start of each test window, where a
        series forecasts itself: valid times, distances of spectra and of states.
    lyapunov_time : s, of the system where it is known; valid times are then told in it too.
    confidence_level : of the intervals.
    rng : seed.
    progress : show a progress bar in a terminal or a notebook.

    Returns
    -------
    League

    Raises
    ------
    KindError, UnitError, DataError
        Data or recipes of a wrong kind (one that looks ahead of what it is to forecast, or a
        Koopman account or a `CalciumRNN` of inputs and targets, say, or a model of spikes of what
        are no counts), of another clock or size;
        options that the league decides itself; horizons that are no whole number of frames; too
        few test blocks.

    Notes
    -----
    Inputs and Gaussian targets are scaled by the mean and sd of the training part. A forecast of h
    steps is made by feeding a model its own expected output h - 1 times; a `CalciumRNN` takes no
    frame for those steps instead, so that nothing corrects it. Where inputs and targets differ,
    unknown inputs are put at their training mean. R2 is 1 - (squared error) / (squared
    deviation from the training mean), pooled over outputs after scaling. Intervals resample test
    blocks and, apart from them, seeds.

    Koopman accounts are fitted to the windows of the training part as trials, scaled as for all
    others (functions of an EDMD see the scaled series); frames that were not recorded are left out
    of the fit. A forecast of theirs that leaves all bounds has no score, and the status
    ``diverged``.

    Models of spikes are fitted to the training part by their own likelihood, window laid on window
    again, and see the counts of a window up to the present; a unit without a fit is given its
    mean. Where the data are counts, whole numbers of 0 or more, every model has bits per spike:
    the Poisson log-likelihood of its expected counts above that of the mean of what is scored, as
    `nr.spikes.bits_per_spike` has it. An expected count below a share of the training mean of its
    unit, or below 1e-9, counts as that. The share is chosen on the validation part for every model
    and horizon: a linear model gives less than no chance to spikes that then come, which would
    say no more than that it is linear. The verdict goes by bits, and names another model that
    leads in R2.

    In a series of trials each trial is a window: it begins anew, and its first quarter is history.

    Examples
    --------
    >>> import neurornn as nr
    >>> run = nr.simulate.simulate_system("van_der_pol", 200.0, 0.1, noise_sd=0.05, rng=0)
    >>> series = run["series"].isel(trial=0)
    >>> recipes = [nr.koopman.EDMD(degree=3), "ridge"]
    >>> found = league(series, recipes, horizons=(0.1, 1.0), n_seeds=1)
    >>> found.parameters["model"].values.tolist()[:3]
    ['EDMD (linear)', 'EDMD (relifted)', 'ridge']
    """
    n_seeds = check_count(n_seeds, "n_seeds", most=MOST_SEEDS)
    max_epochs = check_count(max_epochs, "max_epochs", most=MOST_EPOCHS)
    confidence_level = check_confidence_level(confidence_level)
    rng = check_count(rng, "rng", 0, 2**63)
    if lyapunov_time is not None:
        lyapunov_time = check_positive(lyapunov_time, "lyapunov_time", "s")
    for name, flag in (("baselines", baselines), ("statistics", statistics)):
        if not isinstance(flag, bool | np.bool_):
            raise KindError(
                f"{name} is a {type(flag).__name__}",
                "True or False was needed",
                f"Pass {name}=False to do without",
            )
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
                "Several whole numbers of frames, or numbers of s, were needed",
                "Pass for example horizons=(1, 10), or (0.1, 1.0)",
            )
        horizons = list(horizons)
        if not horizons:
            raise DataError("horizons is empty", "At least one was needed", "Pass horizons=(1,)")
    clock = next(
        ((r.dt, r.time_unit) for r in recipes if isinstance(r, RecurrentModel)), (1.0, "steps")
    )
    task = task_of(data, fractions, duration, rng, clock, inputs)
    frames = horizons_in_frames(horizons or (task.first_horizon, 10), task.dt, task.time_unit)
    longest = task.test.inputs.shape[1]
    if horizons is not None and max(frames) > longest:
        raise DataError(
            f"A horizon is {max(frames):.6g} frames, and windows or trials have {longest}",
            "Horizons that a window holds were needed",
            "Pass shorter horizons, or a longer duration of the windows",
        )
    goal = objective_named(objective)
    gaussian = goal.name == "gaussian"
    if task.feeds_itself or goal.name == "poisson":
        task = task._replace(counts=hold_counts(task))
    task = scaled_task(task, gaussian=gaussian)
    if task.feeds_itself and not gaussian:
        raise KindError(
            "A forecast of counts from their own past came with a Poisson objective",
            "objective='gaussian' for a forecast, or windows of inputs and counts, were needed",
            "Pass nr.data.windows(recording, inputs=..., targets=counts, ...)",
        )
    steps = [h - task.first_horizon for h in frames]
    if min(steps) < 0:
        raise DataError(
            f"horizons is {tuple(horizons or frames)}",
            f"Horizons of at least {task.first_horizon} frames were needed",
            "A forecast starts at 1, a read-out of known inputs at 0",
        )
    if baselines:
        recipes = with_baselines(recipes, task)
    entries = named_entries(recipes, task, gaussian=gaussian, looks_on=max(steps) > 0, ahead=steps)
    options = options_of(fit_options, entries)
    fit_settings = {
        "objective": objective,
        "max_epochs": max_epochs,
        "patience": max(5, max_epochs // 5),
        "tolerance": 1e-6,
    }
    played = play(
        entries, task, goal, steps, {n: {**fit_settings, **o} for n, o in options.items()},
        n_seeds=n_seeds, rng=rng, statistics=statistics and task.feeds_itself, progress=progress,
    )  # fmt: skip
    table = score_table(
        played.scored, played.statuses, played.n_weights, frames, confidence_level, rng,
        remedies=played.remedies, clock=(task.dt, task.time_unit),
    )  # fmt: skip
    runs = runs_table(
        played.runs, played.seconds, dt=task.dt, time_unit=task.time_unit,
        confidence_level=confidence_level, rng=rng, lyapunov_time=lyapunov_time,
    )  # fmt: skip
    settings = {
        "fractions": [float(f) for f in fractions],
        "horizons": frames,
        "n_seeds": int(n_seeds),
        "n_blocks": int(played.scored["mean"].shape[2]),
        "objective": objective,
        "max_epochs": int(max_epochs),
        "fit_options": dict(fit_options or {}),
        "recipes": {n: e.told for n, e in entries.items() if e.told},
        "chosen": played.chosen,
        "confidence_level": float(confidence_level),
        "dt": task.dt,
        "time_unit": task.time_unit,
        "rng": int(rng),
    }
    if task.counts:
        settings["floors"] = played.floors
    if task.n_known:
        settings["n_known"] = task.n_known
    if played.truth is not None:
        settings["longest_run"] = played.truth.values.shape[1] * task.dt
        settings["reference"] = reference_of(task, played.truth)
    return League(table, settings, runs)
