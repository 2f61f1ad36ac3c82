"""Who takes part in a league: recipes, checked and named, and how each is fitted."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from neurornn._core.errors import (
    ConvergenceWarning,
    DataError,
    KindError,
    NameUnknownError,
    UnitError,
    nearest,
)
from neurornn._core.old_names import new_names
from neurornn._core.status import Status
from neurornn.compare.forecast import Forecaster, NetworkForecaster
from neurornn.compare.koopman_accounts import koopman_solvers, settings_told
from neurornn.compare.observer_accounts import ObserverForecaster, check_observer, observed
from neurornn.compare.ridge import fit_linear_history
from neurornn.compare.spike_accounts import (
    check_spike_account,
    fit_spikes,
    spike_settings_told,
)
from neurornn.compare.task import Task
from neurornn.koopman.edmd import EDMD
from neurornn.koopman.modes import Modes
from neurornn.models.base import RecurrentModel
from neurornn.models.baselines import LinearStateSpace, Memoryless
from neurornn.models.ridge import LinearHistory
from neurornn.spikes.account import SpikeAccount
from neurornn.spikes.recurrent import RecurrentPointProcess
from neurornn.training.loop import fit
from neurornn.training.many import redrawn
from neurornn.training.objectives import Objective
from neurornn.training.one import fit_one
from neurornn.training.settings import OLD_NAMES, FitSettings

#: Models that go by name.
NAMED = ("linear", "ridge", "modes", "memoryless", "persistence")
#: Modes of the linear model.
N_MODES = 4
#: Arguments of `nr.fit` that the league has itself, and those that it does not pass on.
_OWN = ("objective", "max_epochs", "rng", "progress", "n_seeds")
_NOT_PASSED = (
    "model", "data", "validation", "intervals", "strict", "confidence_level",
    "checkpoint", "checkpoint_every", "n_jobs", "client",
)  # fmt: skip


class Entry(NamedTuple):
    """One model.

    Attributes
    ----------
    recipe : built anew for every seed and fitted by `nr.fit`; None where `solve` is given.
    solve : gives the fitted model, the same for every seed, and what was chosen on the way.
    told : the recipe in words, where the name of the row leaves something open.
    solve_anew : as `solve`, with a seed, for what is drawn at random and not fitted by `nr.fit`.
    """

    recipe: RecurrentModel | None = None
    solve: Callable[[Task], tuple[Any, dict[str, Any]]] | None = None
    told: str = ""
    solve_anew: Callable[[Task, int], tuple[Any, dict[str, Any]]] | None = None


def options_of(
    given: Mapping[str, Any] | None, entries: Mapping[str, Entry]
) -> dict[str, dict[str, Any]]:
    """Return the options for `nr.fit` of every model, or raise where the league decides them.

    Parameters
    ----------
    given : options for all models alike, or options of each by its name.
    """
    options = dict(given or {})
    each = bool(options) and all(isinstance(v, Mapping) for v in options.values())
    for name in options if each else ():
        if name not in entries or entries[name].recipe is None:
            known = [n for n, a in entries.items() if a.recipe is not None]
            raise NameUnknownError(
                f"fit_options are given for {name!r}",
                f"Models that nr.fit fits were needed: {', '.join(known) or 'there is none'}",
                nearest(str(name), known),
            )
    per_entry = {
        n: new_names(options.get(n, {}) if each else options, OLD_NAMES, "nr.fit") for n in entries
    }
    for chosen in per_entry.values():
        _check_options(chosen)
    return per_entry


def _check_options(options: Mapping[str, Any]) -> None:
    known = [k for k in inspect.signature(fit).parameters if k not in (*_OWN, *_NOT_PASSED)]
    for name in options:
        if name in known:
            continue
        remedy = nearest(str(name), known)
        if name in _OWN:
            remedy = f"Pass {name} to the league itself"
        elif name in _NOT_PASSED:
            remedy = "Leave it out: the league decides it for all models alike"
        raise DataError(
            f"fit_options has the key {name!r}",
            f"Arguments of nr.fit that the league leaves open were needed: {', '.join(known)}",
            remedy,
        )


def with_baselines(recipes: Sequence[Any], task: Task) -> list[Any]:
    """Add the models that every table holds, where the user has not passed them."""
    found = list(recipes)
    names = [r for r in found if isinstance(r, str)]
    # Nothing at all is an error of the user, and stays one.
    if found and "memoryless" not in names and Memoryless not in map(type, found):
        found.append("memoryless")
    if found and task.feeds_itself and "persistence" not in names:
        found.append("persistence")
    return found


def named_entries(
    recipes: Sequence[Any],
    task: Task,
    *,
    gaussian: bool,
    looks_on: bool,
    ahead: Sequence[int] = (0,),
) -> dict[str, Entry]:
    """Check the recipes and name the models, in their order.

    Parameters
    ----------
    recipes : models, estimators of `nr.koopman` and `nr.spikes`, or names from `NAMED`.
    task : gives the sizes and the clock.
    gaussian : the objective is Gaussian; closed forms ask for it.
    looks_on : a score asks for a target after the last known input.
    ahead : steps after the first that are scored; a Koopman account chooses for them.
    """
    entries: dict[str, Entry] = {}
    for recipe in recipes:
        found: dict[str, Entry]
        if isinstance(recipe, RecurrentModel):
            found = {type(recipe).__name__: _from_model(recipe, task, gaussian, looks_on)}
        elif isinstance(recipe, EDMD | Modes) or (isinstance(recipe, str) and recipe == "modes"):
            told = settings_told(recipe, task.n_known)
            found = {
                name: Entry(solve=solve, told=told)
                for name, solve in koopman_solvers(recipe, task, ahead).items()
            }
        elif isinstance(recipe, SpikeAccount):
            found = {type(recipe).__name__: _from_spikes(recipe, task)}
        elif isinstance(recipe, str) and recipe in NAMED:
            found = {recipe: _from_name(recipe, task, gaussian)}
        else:
            raise KindError(
                f"A recipe is {recipe!r}",
                "A model from nr.models, an unfitted nr.koopman.EDMD or Modes, a model of spikes, "
                "or a known name was needed",
                nearest(str(recipe), NAMED),
            )
        for name, entry in found.items():
            # The two ways of an EDMD keep their words: "EDMD 2 (linear)".
            kind, _, way = name.partition(" ")
            label, number = name, 2
            while label in entries:
                label, number = f"{kind} {number} {way}".rstrip(), number + 1
            entries[label] = entry
    if not entries:
        raise DataError("No recipes came", "At least one was needed", "Pass ['linear']")
    return entries


def _from_name(name: str, task: Task, gaussian: bool) -> Entry:
    n_in, n_out = task.train.inputs.shape[2], task.train.targets.shape[2]
    if name == "linear":
        return Entry(LinearStateSpace(n_in, N_MODES, n_out, dt=task.dt))
    if name == "memoryless":
        return Entry(Memoryless(n_in, n_out, dt=task.dt))
    if name == "persistence":
        if not task.feeds_itself:
            raise KindError(
                "'persistence' came with inputs that are not the past of the targets",
                "A series that is forecast from its own past was needed to repeat its last frame",
                'Leave it out, or pass a DataArray (time, unit) such as recording["dff"]',
            )
        return Entry(solve=_persistence)
    _check_closed_form(name, gaussian)
    return Entry(solve=lambda given: fit_linear_history(given))


def _from_spikes(recipe: SpikeAccount, task: Task) -> Entry:
    check_spike_account(recipe, task)
    told = spike_settings_told(recipe, task)
    if isinstance(recipe, RecurrentPointProcess):
        return Entry(
            told=told, solve_anew=lambda given, seed: (fit_spikes(recipe, given, seed), {})
        )
    return Entry(told=told, solve=lambda given: (fit_spikes(recipe, given), {}))


def _from_model(recipe: RecurrentModel, task: Task, gaussian: bool, looks_on: bool) -> Entry:
    name = type(recipe).__name__
    if recipe.observes_targets:
        check_observer(recipe, task)
    if recipe.looks_ahead and (task.feeds_itself or looks_on):
        what = (
            "a series forecasts itself, so that later inputs are the targets"
            if task.feeds_itself
            else "the inputs stop before the target at a horizon above 0"
        )
        raise KindError(
            f"A recipe is a {name} that looks ahead, and {what}",
            "Models whose output depends on earlier inputs alone were needed",
            "Build it with bidirectional=False"
            + ("" if task.feeds_itself else ", or pass horizons=(0,)"),
        )
    if abs(recipe.dt / task.dt - 1) > 0.01:
        raise UnitError(
            f"The data have dt = {task.dt:g} {task.time_unit} and a {name} {recipe.dt:g}",
            "One clock was needed, the same to 1 %",
            f"Build the recipe with dt={task.dt:g}",
        )
    if isinstance(recipe, LinearHistory):
        _check_closed_form(name, gaussian)
        return Entry(solve=lambda given: fit_linear_history(given, recipe.n_context))
    return Entry(recipe)


def _check_closed_form(name: str, gaussian: bool) -> None:
    if not gaussian:
        raise KindError(
            f"{name!r} came with an objective that is not Gaussian",
            "objective='gaussian' was needed: its closed form is least squares",
            "Leave it out; 'linear' and 'memoryless' are fitted with any objective",
        )


def _persistence(task: Task) -> tuple[RecurrentModel, dict[str, Any]]:
    """Repeat the last frame; inputs and targets are scaled alike where a series feeds itself."""
    n_in, n_out = task.train.inputs.shape[2], task.train.targets.shape[2]
    model = Memoryless(n_in, n_out, dt=task.dt).double().requires_grad_(False)
    model.direct_weight.copy_(torch.eye(n_out, n_in))
    return model.eval(), {}


def fitted(
    entry: Entry, task: Task, seed: int, settings: Mapping[str, Any]
) -> tuple[Any, str, dict[str, Any]]:
    """Fit a model with one seed.

    Parameters
    ----------
    settings : arguments of `nr.fit`.

    Returns
    -------
    model : a network in float64 and evaluation mode, or what forecasts by itself.
    status : how the fit ended.
    chosen : on the validation part, by a model in closed form.
    """
    found: tuple[Any, dict[str, Any]] | None = None
    if entry.solve is not None:
        found = entry.solve(task)
    elif entry.solve_anew is not None:
        found = entry.solve_anew(task, seed)
    if found is not None:
        return found[0], str(getattr(found[0], "status", Status.OK)), found[1]
    assert entry.recipe is not None
    train, held = task.train, task.validation
    if entry.recipe.observes_targets:
        train, held = observed(task, train), observed(task, held)
    with warnings.catch_warnings():
        # The table's status column says it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = fit_one(
            redrawn(entry.recipe, seed),
            train,
            held,
            FitSettings(rng=seed, intervals=False, **settings),
        )
    return result.model.double().eval(), str(result.status), {}


def forecaster_of(model: Any, task: Task, objective: Objective) -> Forecaster:
    """Return a fitted model as a league scores it; what can forecast by itself stays as it is."""
    if not isinstance(model, RecurrentModel):
        found: Forecaster = model
        return found
    if model.observes_targets:
        return ObserverForecaster(model, task)
    # Where inputs and targets differ, unknown inputs are put at their training mean.
    fill = None if task.feeds_itself else torch.zeros(task.train.inputs.shape[2]).double()
    return NetworkForecaster(model, objective, fill, task.n_known)
