"""Koopman accounts in a league: fitted as estimators, forecasting from the past alone."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor

from neurornn._core.errors import ConvergenceWarning, DataError, KindError, UnitError
from neurornn._core.status import Status
from neurornn._core.units import counted
from neurornn.compare.forecast import ahead_of, shifted
from neurornn.compare.task import Task
from neurornn.koopman.edmd import EDMD
from neurornn.koopman.modes import Modes
from neurornn.training.batches import TrainingData

Array = NDArray[np.float64]

#: Two ways in which the forecasts of one EDMD are made; both are always scored.
WAYS = ("linear", "relifted")
#: Ranks of "modes" and lengths of history, frames, that the validation part chooses from.
RANKS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
#: Higher ranks are tried no more after so many of them in a row gain less than this share: a pair
#: may be worth it where one of it is not.
_PATIENCE, _GAIN = 2, 1e-3
HISTORIES = (1, 2, 3, 5, 8, 12, 20, 32, 48, 64, 96, 128)
#: A forecast further out than so many times the largest training value has left for good.
_FAR = 100.0
#: Numbers that a forecast of EDMD holds at a time: 32 MB.
_MAX_NUMBERS = 2**22
#: What to do about an account that diverged.
REMEDY = (
    "A forecast left all bounds, and scores at that horizon are not given. Forecast less far; "
    "lower the degree or raise the penalty of an EDMD, or read its relifted row; pass "
    "Modes(stable=True)."
)


class ModesForecaster:
    """Modes carried on from the last frames of a history.

    Parameters
    ----------
    modes : fitted.
    n_frames : of the history whose least squares give the sizes of the modes.
    far : beyond it, a forecast has left all bounds.
    status : how the fit ended.
    """

    def __init__(self, modes: Modes, n_frames: int, far: float, status: str) -> None:
        self.modes, self.n_frames, self.far, self.status = modes, n_frames, far, status

    @property
    def n_weights(self) -> int:
        """An eigenvalue, and a size for each unit, for each of the rank."""
        return int(self.modes.rank_ * (1 + self.modes.n_features_in_))

    def at(self, data: TrainingData, n_ahead: int) -> Tensor:
        """Outputs (trial, time, output), see `Forecaster`; NaN before the history is complete."""
        n = self.modes.n_features_in_
        # They know nothing of inputs beside the series.
        x = data.inputs.double().numpy()[..., :n]
        by_lag = self.modes.continuation(self.n_frames, n_ahead + 1)[:, -n:]
        by_lag = by_lag.reshape(self.n_frames, n, n)
        found = np.full(x.shape, np.nan)
        n_full = x.shape[1] - self.n_frames + 1
        if n_full > 0:
            # One lag after another: the histories themselves would be many copies of the data.
            total = np.zeros((len(x), n_full, n))
            for lag, weights in enumerate(by_lag):
                total += x[:, lag : lag + n_full] @ weights
            found[:, self.n_frames - 1 :] = _bounded(total, self.far)
        return torch.from_numpy(found)

    def run(self, data: TrainingData, first: int, n_steps: int) -> Tensor:
        """Expected outputs (trial, step, output), see `Forecaster`."""
        n = self.modes.n_features_in_
        x = data.inputs.double().numpy()[:, first + 1 - self.n_frames : first + 1, :n]
        return torch.from_numpy(_bounded(self.modes.continue_from(x, n_steps), self.far))


class EDMDForecaster:
    """A map of functions, carried on in one of its two ways.

    Parameters
    ----------
    edmd : fitted.
    way : ``"linear"`` applies the map to the functions again and again; ``"relifted"`` reads the
        state after every step and takes its functions anew.
    """

    def __init__(self, edmd: EDMD, way: str) -> None:
        self.edmd, self.way, self.status = edmd, way, str(Status.OK)

    @property
    def n_weights(self) -> int:
        """Entries of the map, of what inputs add, and of the way back to the states."""
        driven = self.edmd.input_weight_
        return int(
            self.edmd.transition_.size
            + self.edmd.readout_.size
            + (0 if driven is None else driven.size)
        )

    def at(self, data: TrainingData, n_ahead: int) -> Tensor:
        """Outputs (trial, time, output), see `Forecaster`; NaN before the history is complete."""
        n, delays, n_steps = self.edmd.n_features_in_, self.edmd.n_delays, n_ahead + 1
        x = data.inputs.double().numpy()[..., :n]
        found = np.full(x.shape, np.nan)
        if x.shape[1] < delays:
            return torch.from_numpy(found)
        # (trial, time, frame, unit), a view.
        past = np.lib.stride_tricks.sliding_window_view(x, delays, axis=1).swapaxes(2, 3)
        points = past.reshape(-1, delays, n)
        known = ahead_of(data.inputs.double()[..., n:], 0, n_steps)[:, delays - 1 :]
        driven = known.reshape(len(points), -1, n_steps).numpy().swapaxes(1, 2)
        out = np.empty((len(points), n))
        for piece in _pieces(len(points), self._size(n_steps, n)):
            out[piece] = self._carried_on(points[piece], driven[piece])[:, -1]
        found[:, delays - 1 :] = out.reshape(len(x), -1, n)
        return torch.from_numpy(found)

    def run(self, data: TrainingData, first: int, n_steps: int) -> Tensor:
        """Expected outputs (trial, step, output), see `Forecaster`."""
        n, x = self.edmd.n_features_in_, data.inputs.double().numpy()
        points = x[:, first + 1 - self.edmd.n_delays : first + 1, :n]
        driven = x[:, first : first + n_steps, n:]
        out = np.empty((len(x), n_steps, n))
        for piece in _pieces(len(points), self._size(n_steps, n)):
            out[piece] = self._carried_on(points[piece], driven[piece])
        return torch.from_numpy(out)

    def _size(self, n_steps: int, n_units: int) -> int:
        return max(1, _MAX_NUMBERS // (2 * n_steps * n_units + len(self.edmd.dictionary_)))

    def _carried_on(self, past: Array, driven: Array) -> Array:
        """Forecasts of points (point, frame, unit), with inputs (point, step, channel) or none."""
        duration = driven.shape[1] * self.edmd.dt_
        table = self.edmd.forecast(past, duration, inputs=driven if driven.shape[2] else None)
        return np.asarray(table[self.way].values)


def _pieces(n: int, size: int) -> Iterator[slice]:
    return (slice(k, min(n, k + size)) for k in range(0, n, size))


def _bounded(values: Array, far: float) -> Array:
    """NaN from where a forecast is no number any more, or far out."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) < far, values, np.nan)


def koopman_solvers(
    recipe: Any, task: Task, ahead: Sequence[int]
) -> dict[str, Callable[[Task], tuple[Any, dict[str, Any]]]]:
    """Rows of a league for a Koopman account: what stands behind the name -> how it is solved.

    Parameters
    ----------
    recipe : an unfitted `Modes` or `EDMD`, or ``"modes"``.
    task : gives the clock; must feed itself.
    ahead : steps after the first for which a length of history is chosen.

    Raises
    ------
    KindError, UnitError
        Inputs that are not the past of the targets; another clock.
    """
    name = recipe if isinstance(recipe, str) else type(recipe).__name__
    if not task.feeds_itself:
        raise KindError(
            f"{name!r} came with inputs that are not the past of the targets",
            "A series that is forecast from its own past was needed: a Koopman account carries "
            "states on",
            'Pass a DataArray (time, unit) such as recording["dff"], and inputs that are known '
            'ahead as inputs=recording["stimulus"]; or leave it out: "linear" and "ridge" take '
            "inputs and targets",
        )
    if isinstance(recipe, str):
        return {name: lambda given: _chosen_modes(Modes(), RANKS, given, ahead)}
    if recipe.dt is not None and abs(float(recipe.dt) / task.dt - 1) > 0.01:
        raise UnitError(
            f"The data have dt = {task.dt:g} {task.time_unit} and {name}(dt={recipe.dt!r})",
            "One clock was needed, the same to 1 %",
            f"Leave dt out, or pass {name}(dt={task.dt:g})",
        )
    if isinstance(recipe, Modes):
        return {name: lambda given: _chosen_modes(recipe, (recipe.rank,), given, ahead)}

    def solver(way: str) -> Callable[[Task], tuple[Any, dict[str, Any]]]:
        return lambda given: _edmd(recipe, way, given)

    return {f"{name} ({way})": solver(way) for way in WAYS}


def settings_told(recipe: Any, n_known: int = 0) -> str:
    """Say what matters of a Koopman account's settings."""
    alone = "; takes no inputs" if n_known else ""
    if isinstance(recipe, str):
        return alone[2:]
    if isinstance(recipe, Modes):
        return f"rank {recipe.rank}, {'stable' if recipe.stable else 'free to grow'}{alone}"
    kind = recipe.dictionary
    kind = "given" if callable(kind) else kind if isinstance(kind, str) else " and ".join(kind)
    noise = recipe.measurement_noise
    return (
        f"{kind} functions"
        + (f" to degree {recipe.degree}" if "polynomial" in kind or kind == "auto" else "")
        + f", {counted(recipe.n_delays, 'frame')} a state, measurement noise "
        + {"ignored": "ignored", "instruments": "left out by instruments"}.get(
            noise, "fitted along trajectories"
        )
        + (f"; {counted(n_known, 'input')} from frame to frame" if n_known else "")
    )


def _trials(task: Task) -> tuple[list[Array], list[Array] | None]:
    """The training windows, each (time, unit), NaN where a frame was not recorded; the inputs."""
    n = task.train.targets.shape[2]
    x = task.train.inputs.double().numpy()
    x = np.where(task.recorded(task.train).numpy(), x, np.nan)
    there = np.isfinite(x[..., :n]).any(axis=2)
    if task.n_known:
        there &= np.isfinite(x[..., n:]).any(axis=2)
    # Both end with the last frame that has something of each.
    whole = [trial[: k.nonzero()[0][-1] + 1] for trial, k in zip(x, there, strict=True) if k.any()]
    return [t[:, :n] for t in whole], [t[:, n:] for t in whole] if task.n_known else None


def _first_scored(task: Task) -> int:
    """Step of a window after which forecasts count: before it there is history alone."""
    return min(int(p.mask.numpy().any(axis=(0, 2)).argmax()) for p in task[:3])


def _edmd(recipe: EDMD, way: str, task: Task) -> tuple[EDMDForecaster, dict[str, Any]]:
    longest = _first_scored(task) + 1
    if recipe.n_delays > longest:
        raise DataError(
            f"EDMD has n_delays = {recipe.n_delays}, and windows {longest} frames before the "
            "first one that is scored",
            "A history that is complete at every scored frame was needed",
            f"Pass fewer n_delays, or a longer duration than {task.train.inputs.shape[1]} frames",
        )
    # Intervals are of no use here.
    edmd = clone(recipe).set_params(dt=task.dt, n_bootstrap=0)
    states, driven = _trials(task)
    return EDMDForecaster(edmd.fit(states, inputs=driven), way), {}


def _chosen_modes(
    recipe: Modes, ranks: Sequence[int | str], task: Task, ahead: Sequence[int]
) -> tuple[ModesForecaster, dict[str, Any]]:
    """Fit modes; the validation part chooses how long a history a forecast starts from.

    The squared errors of all horizons are added up, each over the deviation of its targets.
    """
    trials, _ = _trials(task)
    far = _FAR * max(float(np.nanmax(np.abs(t))) for t in trials)
    lengths = [k for k in HISTORIES if k <= _first_scored(task) + 1] or [1]
    held = task.validation
    goals = []
    for k in ahead:
        target, mask = (part.numpy() for part in shifted(held, k))
        # A horizon beyond the windows says nothing.
        if mask.any():
            goals.append((k, target, mask, max(float((target[mask] ** 2).mean()), 1e-300)))
    best: tuple[float, ModesForecaster] | None = None
    known, waited = math.inf, 0
    for rank in ranks:
        if waited == _PATIENCE:
            break
        modes, status = clone(recipe), str(Status.OK)
        modes.set_params(rank=rank, dt=task.dt, intervals="none")
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                modes.fit(trials)
        except DataError:
            # The data hold no more of them.
            if best is None:
                raise
            break
        if any(issubclass(w.category, ConvergenceWarning) for w in caught):
            status = str(Status.NOT_CONVERGED)
        for n_frames in lengths:
            one = ModesForecaster(modes, n_frames, far, status)
            error = 0.0
            for k, target, mask, spread in goals:
                found = one.at(held, k).numpy()
                error += float(((found - target)[mask] ** 2).mean()) / spread
            error = error if math.isfinite(error) else math.inf
            if best is None or error < best[0]:
                best = (error, one)
        assert best is not None
        waited = 0 if best[0] < (1 - _GAIN) * known else waited + 1
        known = min(known, best[0])
    assert best is not None
    one = best[1]
    return one, {"rank": one.modes.rank_, "history": one.n_frames}
