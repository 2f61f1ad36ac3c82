"""The league: accounts are fitted inside on one split and scored on the same test data."""

import copy
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate, bootstrap_interval, to_dataset
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, nearest
from neurornn._core.jobs import progress_bar
from neurornn._core.report import Reported, Table
from neurornn._core.rng import derived_seed
from neurornn._core.status import remedies
from neurornn._core.units import format_quantity
from neurornn.compare.forecast import outputs_at, shifted
from neurornn.data.recording import sampling_rate_of
from neurornn.data.windowing import windows
from neurornn.io.saved import Saved
from neurornn.models.accounts import LinearStateSpace, Memoryless
from neurornn.models.base import RecurrentModel
from neurornn.training.batches import TrainingData, as_training_data
from neurornn.training.loop import fit
from neurornn.training.objectives import log_likelihood, objective_named

#: Accounts that go by name.
NAMED = ("linear", "memoryless")
#: Modes of the linear account.
N_MODES = 4
FRACTIONS = (0.7, 0.15, 0.15)


class _Task(NamedTuple):
    """Training, validation and test data of one split, and what horizons mean for them."""

    train: TrainingData
    validation: TrainingData
    test: TrainingData
    dt: float
    first_horizon: int
    feeds_itself: bool
    time_unit: str


class League(Reported, Saved):
    """A league table; made by `league`.

    Attributes
    ----------
    parameters : Dataset over ``account`` and ``horizon``
        ``r2`` and ``log_likelihood`` (nats per value above the training mean), each with ``_ci``
        over blocks and seeds; ``r2_seed_sd``, ``n_weights``; ``status (account)``.
    settings : how it was made.
    """

    def __init__(self, parameters: xr.Dataset, settings: Mapping[str, Any]) -> None:
        self.parameters = parameters
        self.settings = dict(settings)

    @property
    def status(self) -> xr.DataArray:
        """How the fits of each account ended, (account,)."""
        return self.parameters["status"]

    def _report_table(self) -> Table:
        table = self.parameters
        rows = []
        for i, name in enumerate(table["account"].values):
            row = [str(name), str(int(table["n_weights"][i]))]
            for j in range(table.sizes["horizon"]):
                for score in ("r2", "log_likelihood"):
                    low, high = table[f"{score}_ci"].values[i, j]
                    row.append(format_quantity(float(table[score][i, j]), "1", low, high))
            rows.append([*row, str(table["status"].values[i])])
        columns = ["account", "weights"]
        for h in table["horizon"].values:
            columns += [f"R2, horizon {h}", f"log-likelihood, horizon {h}"]
        s = self.settings
        head = [
            f"same split {s['split']}, {s['n_seeds']} seeds; test scores, "
            f"{100 * s['confidence_level']:g} % intervals over {s['n_blocks']} blocks and seeds",
            f"one horizon step is {s['dt']:.4g} {s['time_unit']}; log-likelihood in nats per "
            "value above the training mean (the row 'mean')",
        ]
        codes = [str(s) for s in table["status"].values]
        told = [f"{code}: {text}" for code, text in remedies(codes).items()]
        return Table(title="League", columns=[*columns, "status"], rows=rows, head=[*head, *told])

    def __repr__(self) -> str:
        return f"League of {', '.join(map(str, self.parameters['account'].values))}"

    def _methods_sentence(self) -> str:
        return (
            f"Accounts were compared on one split {self.settings['split']} with "
            f"{self.settings['n_seeds']} seeds each; no setting was chosen on the test part"
        )

    def _citations(self) -> list[str]:
        return ["Efron & Tibshirani 1993, An Introduction to the Bootstrap (intervals)"]

    def _to_saved(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "tables": {"parameters": self.parameters},
            "weights": None,
        }

    @classmethod
    def _from_saved(cls, content: Any) -> Self:
        return cls(content.tables["parameters"], content.settings)


def league(
    data: Any,
    recipes: Sequence[RecurrentModel | str],
    *,
    split: Sequence[float] = FRACTIONS,
    horizons: Sequence[int] | None = None,
    duration: float = 5.0,
    n_seeds: int = 3,
    objective: str = "gaussian",
    max_epochs: int = 60,
    confidence_level: float = 0.95,
    rng: int = 0,
    progress: bool = False,
) -> League:
    """Fit accounts on the same split and score them on the same test data.

    Parameters
    ----------
    data : DataArray (time, unit), whose future is to be forecast from its past; or windows, or a
        pair (inputs, targets) of (trial, time, ...), whose targets are to be given.
    recipes : models, taken as recipes: each is built anew for every seed and fitted inside; and
        ``"linear"`` (a state space of four modes), ``"memoryless"`` (a map of the present input).
        The training mean always takes part.
    split : fractions for training, validation and test
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
    confidence_level : of the intervals.
    rng : seed.
    progress : show a progress bar in a terminal.

    Returns
    -------
    League

    Raises
    ------
    KindError, DataError
        Data or recipes of a wrong kind, too few test blocks.

    Notes
    -----
    Inputs and Gaussian targets are scaled by the mean and sd of the training part. A forecast of h
    steps is made by feeding a model its own expected output h - 1 times; where inputs and targets
    differ, unknown inputs are put at their training mean. R2 is 1 - (squared error) / (squared
    deviation from the training mean), pooled over outputs after scaling. Intervals resample pairs
    of test block and seed.
    """
    clock = next(
        ((r.dt, r.time_unit) for r in recipes if isinstance(r, RecurrentModel)), (1.0, "steps")
    )
    task = _task(data, split, duration, rng, clock)
    if horizons is None:
        horizons = (task.first_horizon, 10)
    goal = objective_named(objective)
    task = _scaled(task, gaussian=goal.name == "gaussian")
    named = _named(recipes, task)
    fill = None if task.feeds_itself else torch.zeros(task.train.inputs.shape[2]).double()
    if task.feeds_itself and goal.name != "gaussian":
        raise KindError(
            "A forecast of counts from their own past came with a Poisson objective",
            "objective='gaussian' for a forecast, or windows of inputs and counts, were needed",
            "Pass nr.data.windows(recording, inputs=..., targets=counts, ...)",
        )
    squares: dict[str, NDArray[np.float64]] = {}
    likelihoods: dict[str, NDArray[np.float64]] = {}
    statuses, weights = {}, {}
    steps = [h - task.first_horizon for h in horizons]
    if min(steps) < 0:
        raise DataError(
            f"horizons is {tuple(horizons)}",
            f"Horizons of at least {task.first_horizon} frames were needed",
            "A forecast starts at 1, a read-out of known inputs at 0",
        )
    with progress_bar(len(named) * n_seeds, 0, progress, "fits") as tick:
        for name, recipe in named.items():
            blocks = []
            codes = []
            for seed in range(n_seeds):
                model = _rebuilt(recipe, derived_seed(rng, seed))
                fitted, code = _fitted(model, task, objective, max_epochs, derived_seed(rng, seed))
                codes.append(code)
                blocks.append([_scores(fitted, task, goal, k, fill) for k in steps])
                tick()
            # (seed, horizon, block, quantity)
            scores = np.array(blocks)
            squares[name], likelihoods[name] = scores[..., :2], scores[..., 2:]
            statuses[name] = next((c for c in codes if c not in ("ok", "stopped_early")), "ok")
            weights[name] = sum(p.numel() for p in recipe.parameters())
    first = next(iter(squares))
    squares["mean"] = squares[first].copy()
    squares["mean"][..., 0] = squares["mean"][..., 1]
    likelihoods["mean"] = likelihoods[first].copy()
    likelihoods["mean"][..., 0] = likelihoods["mean"][..., 1]
    statuses["mean"], weights["mean"] = "ok", task.train.targets.shape[2]
    table = _as_table(squares, likelihoods, statuses, weights, horizons, confidence_level, rng)
    settings = {
        "split": [float(f) for f in split],
        "horizons": [int(h) for h in horizons],
        "n_seeds": int(n_seeds),
        "n_blocks": int(squares[first].shape[2]),
        "objective": objective,
        "max_epochs": int(max_epochs),
        "confidence_level": float(confidence_level),
        "dt": task.dt,
        "time_unit": task.time_unit,
        "rng": int(rng),
    }
    return League(table, settings)


def _task(
    data: Any, split: Sequence[float], duration: float, rng: int, clock: tuple[float, str]
) -> _Task:
    """Split first, cut windows inside each part after; arrays take the clock of the recipes."""
    if len(split) != 3:
        raise DataError(
            f"split has {len(split)} parts",
            "Three fractions, for training, validation and test, were needed",
            "Pass split=(0.7, 0.15, 0.15)",
        )
    if isinstance(data, xr.DataArray) and "time" in data.dims and "trial" not in data.dims:
        name = str(data.name or "series")
        dt = 1 / sampling_rate_of(data)
        parts = windows(
            xr.Dataset({name: data.astype(float)}),
            inputs=name,
            targets=name,
            duration=duration,
            horizon=1,
            split=split,
        )
        n = data.sizes.get("unit", 1)
        carrier = Memoryless(n, n, dt=dt)
        train, validation, test = (as_training_data(p, carrier) for p in parts)
        return _Task(train, validation, test, dt, 1, True, "s")
    if isinstance(data, xr.Dataset) and "inputs" in data:
        dt = float(data.attrs.get("dt", 1.0))
        n_in, n_out = data.sizes["input"], data.sizes["output"]
        unit = str(data.attrs.get("time_unit", "s"))
    elif isinstance(data, tuple | list) and len(data) in (2, 3):
        dt, unit = clock
        n_in, n_out = (np.shape(d)[-1] for d in data[:2])
    else:
        raise KindError(
            f"data is a {type(data).__name__}",
            "A DataArray (time, unit), windows or a pair (inputs, targets) were needed",
            'Pass for example recording["dff"]',
        )
    whole = as_training_data(data, Memoryless(n_in, n_out, dt=dt))
    n = len(whole.inputs)
    order = np.random.default_rng(derived_seed(rng, 99)).permutation(n)
    if isinstance(data, xr.Dataset) and "start" in data:
        # Windows of one recording stay in the order of time, with a window left out at each edge.
        order = np.arange(n)
    cuts = np.round(np.cumsum(split)[:2] * n).astype(int)
    skip = 1 if isinstance(data, xr.Dataset) and "start" in data else 0
    pieces = [order[: cuts[0]], order[cuts[0] + skip : cuts[1]], order[cuts[1] + skip :]]
    if min(map(len, pieces)) < 1:
        raise DataError(
            f"{n} trials came",
            "At least one trial for training, validation and test each was needed",
            "Pass more trials, or other fractions",
        )
    parts = [whole.pick(torch.from_numpy(p.copy())) for p in pieces]
    return _Task(parts[0], parts[1], parts[2], dt, 0, False, unit)


def _scaled(task: _Task, *, gaussian: bool) -> _Task:
    """Scale by the training part; counts are left as they are."""
    x, y, mask = task.train
    flat = x.reshape(-1, x.shape[2])
    in_mean, in_sd = flat.mean(0), flat.std(0)
    count = mask.sum((0, 1)).clamp(min=1)
    out_mean = torch.where(mask, y, 0.0).sum((0, 1)) / count
    out_sd = torch.sqrt(torch.where(mask, (y - out_mean) ** 2, 0.0).sum((0, 1)) / count)
    if task.feeds_itself:
        in_mean, in_sd = out_mean, out_sd
    in_sd, out_sd = (torch.where(s > 0, s, 1.0) for s in (in_sd, out_sd))
    if not gaussian:
        out_mean, out_sd = torch.zeros_like(out_mean), torch.ones_like(out_sd)

    def scaled(part: TrainingData) -> TrainingData:
        targets = torch.where(part.mask, (part.targets - out_mean) / out_sd, 0.0)
        return TrainingData((part.inputs - in_mean) / in_sd, targets, part.mask)

    parts = [scaled(p) for p in (task.train, task.validation, task.test)]
    return task._replace(train=parts[0], validation=parts[1], test=parts[2])


def _named(recipes: Sequence[Any], task: _Task) -> dict[str, RecurrentModel]:
    n_in, n_out = task.train.inputs.shape[2], task.train.targets.shape[2]
    named: dict[str, RecurrentModel] = {}
    for recipe in recipes:
        if isinstance(recipe, RecurrentModel):
            name = type(recipe).__name__
        elif isinstance(recipe, str) and recipe in NAMED:
            name = recipe
            if recipe == "linear":
                recipe = LinearStateSpace(n_in, N_MODES, n_out, dt=task.dt)
            else:
                recipe = Memoryless(n_in, n_out, dt=task.dt)
        else:
            raise KindError(
                f"A recipe is {recipe!r}",
                "A model from nr.models or a known name was needed",
                nearest(str(recipe), NAMED),
            )
        number = 2
        while name in named:
            name, number = f"{name.split(' ')[0]} {number}", number + 1
        named[name] = recipe
    if not named:
        raise DataError("No recipes came", "At least one was needed", "Pass ['linear']")
    return named


def _rebuilt(recipe: RecurrentModel, seed: int) -> RecurrentModel:
    """Build a recipe with fresh weights; its time constants start where the recipe's stand."""
    known = inspect.signature(type(recipe).__init__).parameters
    settings = {k: v for k, v in recipe.settings.items() if k in known}
    model = type(recipe)(**settings, rng=seed)
    for p in recipe.physical_parameters:
        setattr(model, p.name, getattr(recipe, p.name).detach().clone())
    return model.double()


def _fitted(
    model: RecurrentModel, task: _Task, objective: str, max_epochs: int, seed: int
) -> tuple[RecurrentModel, str]:
    with warnings.catch_warnings():
        # The table's status column says it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = fit(
            copy.deepcopy(model),
            tuple(task.train),
            validation=tuple(task.validation),
            objective=objective,
            max_epochs=max_epochs,
            patience=max(5, max_epochs // 5),
            tolerance=1e-6,
            rng=seed,
            intervals=False,
        )
    return result.model.double(), str(result.status)


def _scores(
    model: RecurrentModel, task: _Task, goal: Any, n_ahead: int, fill: torch.Tensor | None
) -> NDArray[np.float64]:
    """Per test block: squared error, deviation, log-likelihood, that of the mean, count."""
    residual_variance, mean_output = _noise(model, task.train, goal, n_ahead, fill)
    output = outputs_at(model, task.test, goal, n_ahead, fill)
    target, mask = shifted(task.test, n_ahead)
    train_target, train_mask = shifted(task.train, n_ahead)
    n_train = train_mask.sum((0, 1)).clamp(min=1)
    centre = torch.where(train_mask, train_target, 0.0).sum((0, 1)) / n_train
    spread = torch.where(train_mask, (train_target - centre) ** 2, 0.0).sum((0, 1)) / n_train

    def total(values: torch.Tensor) -> NDArray[np.float64]:
        return torch.where(mask, values, 0.0).sum((1, 2)).numpy()

    ours = log_likelihood(goal, output, target, residual_variance)
    plain = log_likelihood(goal, mean_output.expand_as(output), target, spread.clamp(min=1e-12))
    return np.stack(
        [
            total((goal.mean(output) - target) ** 2),
            total((centre - target) ** 2),
            total(ours),
            total(plain),
            mask.sum((1, 2)).numpy(),
        ],
        axis=1,
    )


def _noise(
    model: RecurrentModel, train: TrainingData, goal: Any, n_ahead: int, fill: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Variance of the training residuals, and the output that stands for the training mean."""
    output = outputs_at(model, train, goal, n_ahead, fill)
    target, mask = shifted(train, n_ahead)
    n = mask.sum((0, 1)).clamp(min=1)
    variance = torch.where(mask, (goal.mean(output) - target) ** 2, 0.0).sum((0, 1)) / n
    mean = torch.where(mask, target, 0.0).sum((0, 1)) / n
    links = {"poisson": lambda m: torch.log(m.clamp(min=1e-9)), "bernoulli": torch.logit}
    return variance.clamp(min=1e-12), links.get(goal.name, lambda m: m)(mean)


def _as_table(
    squares: dict[str, NDArray[np.float64]],
    likelihoods: dict[str, NDArray[np.float64]],
    statuses: dict[str, str],
    weights: dict[str, int],
    horizons: Sequence[int],
    confidence_level: float,
    rng: int,
) -> xr.Dataset:
    names = list(squares)
    shape = (len(names), len(horizons))
    r2, ll, sd = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    r2_ci, ll_ci = np.full((*shape, 2), np.nan), np.full((*shape, 2), np.nan)

    def r2_of(rows: NDArray[np.float64]) -> float:
        return float(1 - rows[:, 0].sum() / max(rows[:, 1].sum(), 1e-300))

    def ll_of(rows: NDArray[np.float64]) -> float:
        return float((rows[:, 0] - rows[:, 1]).sum() / max(rows[:, 2].sum(), 1))

    for i, name in enumerate(names):
        for j in range(len(horizons)):
            # Blocks without a scored frame at this horizon say nothing.
            used = likelihoods[name][0, j, :, 2] > 0
            per_seed = squares[name][:, j][:, used]
            rows = per_seed.reshape(-1, 2)
            like = likelihoods[name][:, j][:, used].reshape(-1, 3)
            if not len(rows):
                continue
            r2[i, j], ll[i, j] = r2_of(rows), ll_of(like)
            sd[i, j] = float(np.std([r2_of(s) for s in per_seed]))
            seed = derived_seed(rng, 7)
            for bounds, values, statistic in ((r2_ci, rows, r2_of), (ll_ci, like, ll_of)):
                bounds[i, j] = bootstrap_interval(
                    values, statistic, confidence_level=confidence_level, rng=seed
                )
    dims = ("account", "horizon")
    why = "fewer than 3 test blocks"
    method = "test part of one split; percentile bootstrap over test blocks and seeds"
    table = to_dataset(
        [
            Estimate(
                name="r2", value=r2, ci=r2_ci, units="1", long_name="R2", method=method,
                dims=dims, reason=why,
            ),
            Estimate(
                name="log_likelihood", value=ll, ci=ll_ci, units="nats",
                long_name="log-likelihood per value above the training mean", method=method,
                dims=dims, reason=why,
            ),
        ],
        confidence_level=confidence_level,
        coords={"account": names, "horizon": list(horizons)},
        status=[statuses[n] for n in names],
        status_dims=("account",),
    )  # fmt: skip
    table["r2_seed_sd"] = (dims, sd, {"units": "1", "long_name": "sd of R2 over seeds"})
    table["n_weights"] = ("account", [weights[n] for n in names])
    return table
