"""How a model runs on by itself: how long it stays with the data, and what it comes to."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.rng import derived_seed
from neurornn.compare.forecast import Forecaster, reaches
from neurornn.compare.scores import interval_over_blocks
from neurornn.compare.task import Task
from neurornn.training.batches import TrainingData

Array = NDArray[np.float64]

#: A forecast is valid as long as its error stays within this share of the sd of the data.
VALID_ERROR = 0.4
#: States of more units than this are not binned: most bins would be empty.
MAX_BINNED_UNITS = 3
#: Sd of the Gaussian that smooths spectra, as a share of their number of frequencies.
_SMOOTHING = 0.02
#: Frames that a bin of states should hold on average, and most bins along a unit.
_PER_BIN, _MOST_BINS = 10, 30
TOO_MANY_UNITS = f"states of more than {MAX_BINNED_UNITS} units are not binned"
NO_WINDOW = "no test window is complete"
BIASED = "distances of redrawn windows are biased upward"


class Runs(NamedTuple):
    """Free runs of one fit from the starts of all test windows.

    Attributes
    ----------
    valid : (block,), steps; NaN where nothing was recorded, and for a model that does not run on.
    spectrum, divergence : distances of what was run from what was recorded.
    """

    valid: Array
    spectrum: float
    divergence: float


class Truth(NamedTuple):
    """What free runs are compared with: the test windows after their warm-up.

    Attributes
    ----------
    first : step of a window from which on a run goes.
    values : (block, step, unit), scaled.
    seen : the same shape, True where recorded.
    complete : (block,), windows in which every frame was.
    """

    first: int
    values: Array
    seen: NDArray[np.bool_]
    complete: NDArray[np.bool_]


def truth_of(part: TrainingData) -> Truth:
    """Cut what is scored out of windows of a series that forecasts itself."""
    mask = part.mask.numpy()
    first = int(mask.any(axis=(0, 2)).argmax())
    seen = mask[:, first:]
    complete = np.asarray(seen.all(axis=(1, 2)))
    return Truth(first, part.targets.numpy()[:, first:], seen, complete)


def run_from(model: Forecaster | None, part: TrainingData, truth: Truth) -> Runs:
    """Let a model run on from every window and compare; None stands for the training mean."""
    n_steps = truth.values.shape[1]
    if not reaches(model, n_steps):
        return Runs(np.full(len(truth.values), np.nan), float("nan"), float("nan"))
    if model is None:
        found = np.zeros_like(truth.values)
    else:
        found = model.run(part, truth.first, n_steps).double().numpy()
    both = truth.values[truth.complete], found[truth.complete]
    return Runs(
        valid_steps(found, truth.values, truth.seen),
        spectrum_distance(*both),
        state_divergence(*both),
    )


def reference_of(task: Task, truth: Truth) -> dict[str, float]:
    """Return the distances between test windows and as many of the training part."""
    train = truth_of(task.train)
    whole = np.flatnonzero(train.complete)
    n = min(len(whole), int(truth.complete.sum()))
    if not n:
        return {}
    # Spread over the training part.
    picks = whole[np.linspace(0, len(whole) - 1, n).round().astype(int)]
    both = truth.values[truth.complete], train.values[picks]
    found = {
        "spectrum_distance": spectrum_distance(*both),
        "state_divergence": state_divergence(*both),
    }
    return {k: v for k, v in found.items() if np.isfinite(v)}


def valid_steps(found: Array, true: Array, seen: NDArray[np.bool_]) -> Array:
    """Steps for which each run stays within the error that is allowed.

    Parameters
    ----------
    found, true : (block, step, unit), in sd of the training part. NaN in `found` is outside.
    seen : where there is something to compare with.

    Returns
    -------
    (block,) : all recorded steps where the error never leaves; NaN where nothing was recorded.

    Notes
    -----
    The error of a step is the root mean square over the units that were recorded.
    """
    there = np.asarray(seen.any(axis=2))
    square = np.where(seen, (np.where(np.isfinite(found), found, np.inf) - true) ** 2, 0.0)
    error = np.sqrt(square.sum(axis=2) / np.maximum(seen.sum(axis=2), 1))
    out = np.asarray(there & ~(error <= VALID_ERROR))
    n_steps = there.shape[1]
    last = np.where(there.any(axis=1), n_steps - there[:, ::-1].argmax(axis=1), np.nan)
    return np.where(out.any(axis=1), out.argmax(axis=1), last)


def spectrum_distance(true: Array, found: Array) -> float:
    """Hellinger distance between smoothed power spectra, mean over units, 0 to 1.

    Parameters
    ----------
    true, found : (window, step, unit).

    Returns
    -------
    float : 1 for a unit without power, or that left all bounds; NaN where no window came.

    Notes
    -----
    ``sqrt(1 - sum sqrt(p q))`` of spectra that are averaged over windows, smoothed by a Gaussian
    and scaled to sum 1, as in Mikhaeil, Monfared & Durstewitz 2022, NeurIPS 35,
    arXiv:2110.07238.
    """
    if not len(true) or true.shape[1] < 4:
        return float("nan")
    if not np.isfinite(found).all():
        return 1.0
    p, q = _spectrum(true), _spectrum(found)
    shared = np.sqrt(p * q).sum(axis=0)
    return float(np.mean(np.sqrt(np.clip(1 - shared, 0.0, 1.0))))


def _spectrum(x: Array) -> Array:
    """Normalised spectra (frequency, unit); 0 throughout for a unit that never moves."""
    from scipy.ndimage import gaussian_filter1d

    taper = np.hanning(x.shape[1] + 2)[1:-1, None]
    moved = x - x.mean(axis=1, keepdims=True)
    # What rounding leaves of a constant is no power.
    moved = np.where(np.abs(moved) < 1e-9 * (1 + np.abs(x).max()), 0.0, moved)
    power = (np.abs(np.fft.rfft(moved * taper, axis=1)) ** 2).mean(axis=0)[1:]
    smooth = gaussian_filter1d(power, max(_SMOOTHING * len(power), 0.5), axis=0, mode="nearest")
    return np.asarray(smooth / np.maximum(smooth.sum(axis=0), 1e-300))


def state_divergence(true: Array, found: Array) -> float:
    """Kullback-Leibler divergence of binned states, nats, of what was run from the data.

    Parameters
    ----------
    true, found : (window, step, unit).

    Returns
    -------
    float : NaN for more units than can be binned, infinite where a run left all bounds.

    Notes
    -----
    ``sum p log(p / q)`` over bins that span the data, and one more for all that lies outside, each
    with half a count added: Koppe et al. 2019, PLoS Comput. Biol. 15:e1007263,
    doi:10.1371/journal.pcbi.1007263. Bins are as many as leave ten frames in each on average.
    """
    n_units = true.shape[2]
    if n_units > MAX_BINNED_UNITS or not len(true):
        return float("nan")
    if not np.isfinite(found).all():
        return float("inf")
    p, q = true.reshape(-1, n_units), found.reshape(-1, n_units)
    n_bins = int(np.clip((len(p) / _PER_BIN) ** (1 / n_units), 2, _MOST_BINS))
    low, high = p.min(axis=0), p.max(axis=0)
    width = np.where(high > low, (high - low) / n_bins, 1.0)
    size = n_bins**n_units

    def shares(x: Array) -> Array:
        at = np.floor((x - low) / width)
        # The largest value belongs to the last bin.
        at = np.where(x == high, n_bins - 1.0, at)
        inside = ((at >= 0) & (at < n_bins)).all(axis=1)
        place = np.full(len(x), size)
        place[inside] = np.ravel_multi_index(
            tuple(at[inside].astype(np.intp).T), (n_bins,) * n_units
        )
        return (np.bincount(place, minlength=size + 1) + 0.5) / (len(x) + 0.5 * (size + 1))

    a, b = shares(p), shares(q)
    return float(np.sum(a * np.log(a / b)))


def runs_table(
    runs: Mapping[str, Sequence[Runs]],
    seconds: Mapping[str, float],
    *,
    dt: float,
    time_unit: str,
    confidence_level: float,
    rng: int,
    lyapunov_time: float | None,
) -> xr.Dataset:
    """Lay out what free runs gave, and what the fits cost.

    Parameters
    ----------
    runs : one for each seed, by model; empty where a series does not feed itself.
    seconds : CPU time of all fits of a model.
    """
    names = list(seconds)
    estimates = []
    if runs:
        unit = time_unit if time_unit in ("s", "ms") else "1"
        steps = {n: np.array([r.valid for r in runs[n]]) for n in names}
        value, ci = np.full(len(names), np.nan), np.full((len(names), 2), np.nan)
        for i, name in enumerate(names):
            used = np.isfinite(steps[name][0])
            if used.any():
                rows = steps[name][:, used, None]
                value[i] = _median(rows.reshape(-1, 1))
                seed = derived_seed(rng, 8)
                ci[i] = interval_over_blocks([rows], _median, confidence_level, seed)
        scales = {"valid_time": (dt, unit, "time")}
        if lyapunov_time is not None:
            scales["valid_lyapunov_times"] = (dt / lyapunov_time, "1", "Lyapunov times")
        estimates = [
            Estimate(
                name=name, value=scale * value, ci=scale * ci, units=units, dims=("model",),
                long_name=f"{said} for which a free run stays within {VALID_ERROR} sd of the data",
                method="median over test blocks and seeds; percentile bootstrap over both",
                reason="fewer than 3 test blocks",
            )
            for name, (scale, units, said) in scales.items()
        ]  # fmt: skip
        for name, field, units, said, none in (
            ("spectrum_distance", "spectrum", "1",
             "Hellinger distance of smoothed power spectra of free runs from the data's",
             NO_WINDOW),
            ("state_divergence", "divergence", "nats",
             "Kullback-Leibler divergence of binned states of free runs from the data's",
             TOO_MANY_UNITS),
        ):  # fmt: skip
            found = np.array([np.mean([getattr(r, field) for r in runs[n]]) for n in names])
            estimates.append(
                Estimate(
                    name=name, value=found, units=units, dims=("model",), long_name=said,
                    method="mean over seeds; runs from the start of every test window to its end",
                    reason=none if np.isnan(found).all() else BIASED,
                )
            )  # fmt: skip
    table = to_dataset(estimates, confidence_level=confidence_level, coords={"model": names})
    attrs = {"units": "s", "long_name": "CPU time of all fits"}
    table["seconds"] = ("model", [float(seconds[n]) for n in names], attrs)
    return table


def _median(rows: Array) -> float:
    return float(np.median(rows))
