"""Models of spikes in a league: fitted to counts by their own likelihood, a bin ahead."""

import warnings
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor

from neurornn._core.errors import ConvergenceWarning, DataError, KindError, UnitError
from neurornn._core.status import Status
from neurornn._core.units import counted, format_number
from neurornn.compare.observer_accounts import observed
from neurornn.compare.scores import as_counts
from neurornn.compare.task import Task
from neurornn.spikes.account import SpikeAccount
from neurornn.spikes.point_process import PointProcess
from neurornn.spikes.recurrent import RecurrentPointProcess
from neurornn.spikes.renewal import RenewalProcess
from neurornn.training.batches import TrainingData

Array = NDArray[np.float64]

#: Why an account whose rate follows from what was fired is not scored further ahead.
NEAR = (
    "scored a bin ahead alone: what it expects further on is a mean over all that may be fired "
    "on the way"
)
#: Numbers of a unit that exponentials have beside its columns: gains, time constants, dead time.
_OF_EXPONENTIALS = 5


class SpikeForecaster:
    """A model of spikes, whose expected counts are rates times the bin.

    Parameters
    ----------
    model : fitted.
    task : the counts, and how they were scaled.
    mean : (unit,), training mean of the counts; stands in for a unit that has no fit.
    status : how the fit ended.
    """

    #: What to do where a rate is no number.
    remedy = (
        "A rate is no number, and scores at that horizon are not given. Pass a larger penalty, "
        "fewer functions, or units that fire."
    )

    def __init__(self, model: SpikeAccount, task: Task, mean: Array, status: str) -> None:
        self.model, self.task, self.mean, self.status = model, task, mean, status
        #: Steps after the first one that can be told; None for all, where no past is known.
        self.farthest = 0 if knows_a_past(model) else None

    @property
    def n_weights(self) -> int:
        """Numbers that were fitted."""
        model = self.model
        if isinstance(model, PointProcess):
            own = int(np.isfinite(model.weights_["weight"].values).sum())
            exponential = model.history is not None and model.history_basis == "exponential"
            return own + (_OF_EXPONENTIALS * len(model.units_) if exponential else 0)
        if isinstance(model, RecurrentPointProcess):
            return sum(p.numel() for p in model._network.parameters())
        # Rate and shape.
        return 2 * len(model.units_)

    def at(self, data: TrainingData, n_ahead: int) -> Tensor:
        """Outputs (trial, time, output), see `Forecaster`; NaN further than it can be told."""
        found = torch.full(data.inputs.shape[:2] + data.targets.shape[2:], float("nan"))
        found = found.double()
        n_told = found.shape[1] - n_ahead
        if (self.farthest is None or n_ahead <= self.farthest) and n_told > 0:
            found[:, :n_told] = self._expected(data)[:, 1 + n_ahead :]
        return found

    def run(self, data: TrainingData, first: int, n_steps: int) -> Tensor:
        """Expected outputs (trial, step, output), of a model that knows no past."""
        return self._expected(data)[:, first + 1 : first + 1 + n_steps]

    def _expected(self, data: TrainingData) -> Tensor:
        """Expected counts of every frame of every window given those before it, scaled."""
        counts, shown = frames_of(self.task, data)
        n_trials, n_frames, _ = counts.shape
        # What is learnt on the way, and the time since a spike as the rate has stretched it, go on
        # from run to run. Here every window begins with the fit: no account knows more of the past
        # than its window holds.
        model = self.model
        follows = isinstance(model, PointProcess) and (
            model.forgetting is not None or bool(model.renewal)
        )
        pieces = [slice(k, k + 1) for k in range(n_trials)] if follows else [slice(None)]
        found = np.concatenate(
            [self._rates(counts[p], None if shown is None else shown[p]) for p in pieces]
        )
        expected = torch.from_numpy(found.reshape(n_trials, n_frames, -1))
        return (expected - self.task.centre) / self.task.scale

    def _rates(self, counts: Array, shown: Array | None) -> Array:
        table = _labelled(list(counts), self.task)
        beside = None
        if shown is not None and not isinstance(self.model, RenewalProcess):
            beside = shown.reshape(-1, shown.shape[2])
        rates = self.model.rates(table, stimulus=beside)
        found = rates.values * self.task.dt
        # A unit without a fit has no rate anywhere.
        return np.where(np.isnan(found).all(axis=0), self.mean, found)


def knows_a_past(model: SpikeAccount) -> bool:
    """Whether what was fired moves the rate that comes after it."""
    if isinstance(model, PointProcess):
        return (
            model.history is not None
            or model.coupling is not False
            or model.forgetting is not None
            or bool(model.renewal)
        )
    return not isinstance(model, RecurrentPointProcess) or bool(model.feedback)


def check_spike_account(recipe: SpikeAccount, task: Task) -> None:
    """Refuse a model of spikes where the data are no counts that forecast themselves.

    Raises
    ------
    KindError, DataError, UnitError
        Inputs and targets; numbers that are no counts; bins of another size; settings that ask for
        some of the units, or for a stimulus that did not come.
    """
    name = type(recipe).__name__
    if not task.feeds_itself:
        raise KindError(
            f"A recipe is a {name}, and the data are inputs and targets",
            "Counts that are forecast from their own past were needed",
            "Pass counts = nr.data.bin_spikes(recording, bin_size=0.02), and what is known ahead "
            'as inputs=; or leave it out: "linear" and "ridge" take inputs and targets',
        )
    raw = np.concatenate([_unrounded(task, p).numpy().ravel() for p in task[:3]])
    raw = raw[np.isfinite(raw)]
    # Scaled and back, a count is off by rounding alone.
    whole = bool(np.all(np.abs(raw - np.round(raw)) < 1e-6))
    if not task.counts or not whole or np.any(np.round(raw) < 0):
        raise DataError(
            f"A recipe is a {name}, and the data go from {format_number(raw.min())} to "
            f"{format_number(raw.max())}" + ("" if whole else ", with fractions"),
            "Counts of spikes, whole numbers of 0 or more, were needed",
            "Pass counts = nr.data.bin_spikes(recording, bin_size=0.02); a CalciumRNN, 'ridge' "
            "and networks take fluorescence",
        )
    usual = type(recipe)().bin_size
    if recipe.bin_size != usual and abs(recipe.bin_size / task.dt - 1) > 0.01:
        raise UnitError(
            f"The counts are in bins of {task.dt:g} s and the {name} in bins of "
            f"{recipe.bin_size:g} s",
            "One bin size was needed, the same to 1 %",
            f"Leave bin_size out, which takes that of the counts; or pass bin_size={task.dt:g}, "
            "or count again with data.bin_spikes",
        )
    if getattr(recipe, "unit", None) is not None:
        raise DataError(
            f"A recipe is a {name} with unit={recipe.unit!r}",  # type: ignore[attr-defined]
            "A model of all units was needed: everybody is scored on the same ones",
            "Leave unit out, and pass counts.sel(unit=...)",
        )
    if recipe.stimulus is not None and not task.n_known:
        raise KindError(
            f"A recipe is a {name} with stimulus={recipe.stimulus!r}, and no inputs came",
            "What is known ahead was needed beside the counts",
            'Pass inputs=recording["stimulus"], which every account is then shown',
        )


def fit_spikes(recipe: SpikeAccount, task: Task, seed: int | None = None) -> SpikeForecaster:
    """Fit a copy of a model of spikes to the training part.

    Parameters
    ----------
    recipe : stays as it is.
    task : of counts that forecast themselves.
    seed : of what the model draws; by default that of the recipe.
    """
    model = clone(recipe).set_params(bin_size=task.dt)
    if seed is not None:
        model.set_params(rng=seed % 2**31)
    if recipe.stimulus is not None:
        # What is known ahead stands in for the variable that it names.
        model.set_params(stimulus=None)
    runs, shown = training_runs(task)
    more = {} if shown is None or isinstance(model, RenewalProcess) else {"stimulus": shown}
    status = str(Status.OK)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(_labelled(runs, task), **more)
    if any(issubclass(w.category, ConvergenceWarning) for w in caught):
        status = str(Status.NOT_CONVERGED)
    ended = [str(s) for s in model.parameters_["status"].values]
    if isinstance(model, RecurrentPointProcess):
        # Theirs say whether a unit's own score of what was held out has an interval.
        ended = []
    status = next((s for s in ended if s not in (Status.OK, Status.STOPPED_EARLY)), status)
    mean = np.nanmean(np.concatenate(runs), axis=0)
    return SpikeForecaster(model, task, np.nan_to_num(mean), status)


def spike_settings_told(recipe: SpikeAccount, task: Task) -> str:
    """Say what matters of the settings of a model of spikes."""
    parts = [f"bins of {format_number(task.dt)} s"]
    if isinstance(recipe, PointProcess):
        parts.append(f"own past: {recipe._past_said()}")
        if recipe.coupling is not False:
            parts.append("filters from other units")
    elif isinstance(recipe, RecurrentPointProcess):
        parts.append(f"{recipe.cell} network of {recipe.n_hidden}")
    elif isinstance(recipe, RenewalProcess):
        parts.append(f"{recipe.kind.replace('_', ' ')} intervals")
    if task.n_known:
        takes = not isinstance(recipe, RenewalProcess)
        parts.append(f"shown {counted(task.n_known, 'input')}" if takes else "takes no inputs")
    return ", ".join(parts) + (f"; {NEAR}" if knows_a_past(recipe) else "")


def frames_of(task: Task, part: TrainingData) -> tuple[Array, Array | None]:
    """Counts of every window, (trial, time, unit), NaN where not recorded; what is known ahead.

    A window has one frame more than its inputs: the last one is a target alone.
    """
    x = observed(task, part).inputs.double()
    frames = as_counts(task, x[..., task.n_known :]).numpy()
    return frames, x[..., : task.n_known].numpy() if task.n_known else None


def _unrounded(task: Task, part: TrainingData) -> Tensor:
    """Series as it came, (trial, time, unit), NaN where not recorded."""
    frames: Tensor = observed(task, part).inputs.double()[..., task.n_known :]
    return frames * task.scale + task.centre


def training_runs(task: Task) -> tuple[list[Array], Array | None]:
    """The training part run by run, each (time, unit), and what is known ahead, (row, channel).

    Windows overlap; here they are laid on top of each other again, so that each bin counts once
    and no past is cut but where the recording was.
    """
    frames, shown = frames_of(task, task.train)
    starts = task.begins(task.train)
    runs: list[list[Array]] = []
    beside: list[list[Array]] = []
    end = -1
    for k, window in enumerate(frames):
        there = np.flatnonzero(np.isfinite(window).any(axis=1))
        if not len(there):
            continue
        n = int(there[-1]) + 1
        begin = None if starts is None else int(starts[k])
        goes_on = begin is not None and begin < end
        skip = end - begin if goes_on and begin is not None else 0
        if not goes_on:
            runs.append([])
            beside.append([])
        runs[-1].append(window[skip:n])
        if shown is not None:
            beside[-1].append(shown[k, skip:n])
        end = -1 if begin is None else max(end, begin + n) if goes_on else begin + n
    joined = [np.concatenate(r) for r in runs]
    if shown is None:
        return joined, None
    return joined, np.concatenate([row for r in beside for row in r])


def _labelled(runs: list[Array], task: Task) -> xr.DataArray:
    """Runs as counts (trial, time, unit), the shorter ones under a mask."""
    longest = max(map(len, runs))
    values = np.zeros((len(runs), longest, runs[0].shape[1]))
    mask = np.zeros((len(runs), longest), dtype=bool)
    for k, run in enumerate(runs):
        values[k, : len(run)], mask[k, : len(run)] = run, True
    coords: dict[str, Any] = {"unit": task.labels, "mask": (("trial", "time"), mask)}
    return xr.DataArray(
        values, dims=("trial", "time", "unit"), coords=coords, attrs={"bin_size": task.dt}
    )
