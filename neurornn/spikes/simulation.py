"""Spikes drawn from a fitted point process."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_numbers, check_positive
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, generator
from neurornn._kernels.point_process import draw_counts
from neurornn._kernels.spiking import draw_spikes
from neurornn.data.recording import from_spikes
from neurornn.simulate.spikes import check_runaway
from neurornn.spikes.binned import BinnedSpikes
from neurornn.spikes.design import Design

Array = NDArray[np.float64]


def simulate_from(model: Any, duration: float | None, stimulus: Any, rng: RNG) -> xr.Dataset:
    """Draw spikes of the fitted units of a `PointProcess`; see its `simulate`."""
    width = float(model.bin_size)
    shown, n_rows = stimulus_for(model, stimulus, duration)
    n = len(model.units_)
    weights = model.weights_["weight"].values
    if not np.isfinite(weights[:, 0]).all():
        lost = model.units_[~np.isfinite(weights[:, 0])]
        raise DataError(
            f"Units {', '.join(map(str, lost[:5]))} have no fit",
            "Units with enough spikes were needed",
            "Fit with unit= the labels of those that fire",
        )
    stamps = width * np.arange(1.0, n_rows + 1)
    n_sources = len(model.sources_)
    none = [np.empty(0, np.int64)] * n_sources
    quiet = BinnedSpikes(
        none, [np.empty(0)] * n_sources, stamps - width, stamps, np.zeros(n_rows, np.int64),
        model.sources_, width, True,
    )  # fmt: skip
    place = {u: k for k, u in enumerate(model.units_.tolist())}
    positions = model._positions(quiet)
    sources = quiet.positions(model.coupling, "coupling")
    layouts = [model._layout(model.sources_, p, sources) for p in positions]
    parts = [p for lay in layouts for p in lay.parts if p.kind in ("coupling", "history")]
    n_lags = max((len(p.basis) for p in parts), default=0)
    filters, drive = np.zeros((n, n, n_lags)), np.empty((n_rows, n))
    for k, layout in enumerate(layouts):
        own = weights[k, : layout.n_columns]
        drive[:, k] = Design(layout, quiet, shown).times(own)
        for part in layout.parts:
            source = place.get(model.sources_.tolist()[part.position])
            if part.kind in ("coupling", "history") and source is not None:
                filters[k, source, : len(part.basis)] = part.basis @ own[part.columns]
    draw, seconds = generator(rng), n_rows * width
    most = int(2000 * n * seconds) + 1000
    if model.history is not None and model.history_basis == "exponential":
        kept = model.weights_
        times, owner = draw_spikes(
            drive - np.log(width), filters, kept["past_gain"].values.copy(),
            kept["past_tau"].values.copy(), kept["dead_time"].values.copy(),
            np.full(n, -np.inf), np.zeros((n, 2)), np.zeros((n_lags, n)), width, most, draw,
        )  # fmt: skip
    else:
        row, owner = draw_counts(
            drive, filters, np.zeros((n_lags, n)), model.distribution_ == "bernoulli", most, draw
        )
        times = (row + draw.random(len(row))) * width
    # Where a bin holds one spike at most, a unit that feeds itself fires in nearly all of them.
    full = model._one and np.bincount(owner, minlength=n).max() > 0.9 * n_rows
    check_runaway(most if full and n_rows > 100 else len(times), n, seconds)
    trains = [np.sort(times[owner == k]) for k in range(n)]
    found = from_spikes(trains, unit=model.units_, t_start=0.0, t_stop=seconds)
    if shown is not None:
        name = model.stimulus if isinstance(model.stimulus, str) else "stimulus"
        held = shown[:, 0] if shown.shape[1] == 1 else shown
        dims = ("sample",) if held.ndim == 1 else ("sample", "feature")
        found = found.assign({name: (dims, held), "sample_time": ("sample", stamps)})
        found["sample_time"].attrs["units"] = "s"
    return found.assign_attrs(source="simulated from a fitted PointProcess")


def stimulus_for(model: Any, stimulus: Any, duration: float | None) -> tuple[Array | None, int]:
    """Stimulus of a simulation, (row, feature), and its number of bins.

    Parameters
    ----------
    model : fitted.
    stimulus : what came, or None for that of the fit.
    duration : s, or None for that of the stimulus, or of the fit.

    Raises
    ------
    DataError, ShapeError
        None for a model that needs one; another number of features; too short.
    """
    width = float(model.bin_size)
    shown = _shown_to(model, stimulus)
    if duration is None:
        n_rows = len(shown) if shown is not None else round(model.duration_ / width)
    else:
        n_rows = max(round(check_positive(duration, "duration", "s") / width), 1)
    if shown is not None and len(shown) < n_rows:
        raise ShapeError(
            f"The stimulus has {len(shown)} rows for {n_rows} bins",
            "One row for each bin was needed",
            f"Pass duration={len(shown) * width:g}, or a longer stimulus",
        )
    return (None if shown is None else shown[:n_rows]), n_rows


def _shown_to(model: Any, stimulus: Any) -> Array | None:
    n = len(model.features_)
    if not n:
        return None
    if stimulus is None:
        if model._shown is None:
            raise DataError(
                f"The model has a stimulus of {n} features, and none came",
                "A stimulus with one row for each bin was needed; a saved model keeps none",
                "Pass stimulus=x, (row,) or (row, feature)",
            )
        return np.asarray(model._shown)
    values = check_numbers(stimulus, "stimulus", missing=False)
    values = values.reshape(len(values), -1)
    if values.shape[1] != n:
        raise ShapeError(
            f"The stimulus has {values.shape[1]} features, that of the fit {n}",
            "The features of the fit were needed",
            "Pass them in the same order",
        )
    return np.asarray(values)
