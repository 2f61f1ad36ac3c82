"""Counts on the clock of each trial; trials may overlap, and what was not recorded is masked."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_numbers
from neurornn._core.errors import DataError, ShapeError
from neurornn.data.foreign import kind_of
from neurornn.data.observation import seen
from neurornn.data.spike_table import (
    EDGE_SLACK,
    Spikes,
    bin_of,
    check_grid,
    count_attrs,
    laid,
    time_attrs,
)
from neurornn.data.trains import half_open, support_of


def as_trials(trials: ArrayLike | xr.Dataset | bool, spikes: Any) -> NDArray[np.float64]:
    """Check trials and return them as (trial, 2), s.

    Parameters
    ----------
    trials : (trial, 2), s, a Dataset with ``start`` and ``stop``, or True for those of `spikes`.
    """
    if trials is True:
        if not (isinstance(spikes, xr.Dataset) and "start" in spikes and "stop" in spikes):
            raise DataError(
                "trials=True came for spikes without intervals",
                "A recording whose interval axis holds the trials was needed",
                "Pass trials as an array (trial, 2) in s, or set them with data.set_intervals",
            )
        return np.stack([spikes["start"].values, spikes["stop"].values], axis=1)
    if isinstance(trials, xr.Dataset):
        return as_trials(True, trials)
    if kind_of(trials) == "intervals":
        trials = half_open(support_of(trials), np.empty(0))
    ranges = check_numbers(trials, "trials")
    if ranges.ndim != 2 or ranges.shape[1] != 2 or not len(ranges):
        raise ShapeError(
            f"trials has shape {ranges.shape}",
            "An array (trial, 2) of starts and stops in s was needed",
            "Stack them: np.stack([start, stop], axis=1)",
        )
    if not np.isfinite(ranges).all() or np.any(ranges[:, 1] <= ranges[:, 0]):
        bad = int(np.argmin(np.isfinite(ranges).all(1) & (ranges[:, 1] > ranges[:, 0])))
        raise DataError(
            f"Trial {bad} runs from {ranges[bad, 0]:g} to {ranges[bad, 1]:g} s",
            "Each trial must stop after it starts",
            "Check the order of the columns: start, then stop",
        )
    return ranges


def count_trials(
    table: Spikes, ranges: NDArray[np.float64], width: float, ragged: bool, closed: str
) -> xr.DataArray:
    """Count spikes in bins of each trial, (trial, time, unit), with a mask of recorded bins.

    Parameters
    ----------
    table : spikes in order of time.
    ranges : (trial, 2), s.
    width : s, of a bin.
    ragged : accept bins that were not recorded; otherwise they raise.
    closed : which end belongs to a bin, ``"right"`` or ``"left"``.
    """
    bins = np.floor((ranges[:, 1] - ranges[:, 0]) / width + 1e-6)
    check_grid(float(bins.max()) * len(bins), table, told=False)
    n_bins = bins.astype(np.int64)
    if n_bins.min() < 1:
        short = int(np.argmin(n_bins))
        raise DataError(
            f"Trial {short} is {ranges[short, 1] - ranges[short, 0]:g} s long, a bin {width:g} s",
            "At least one whole bin in every trial was needed",
            "Choose smaller bins, or drop that trial",
        )
    n_time, n_units = int(n_bins.max()), len(table.unit)
    offsets = width * np.arange(n_time + 1)
    kind = np.int64 if table.weights is None else np.float64
    counts = np.zeros((len(ranges), n_time, n_units), dtype=kind)
    mask = np.arange(n_time) < n_bins[:, None]
    unseen = np.zeros(counts.shape, dtype=bool)
    recorded = None if table.stretches is None else _merge(table.stretches)
    for k, (start, stop) in enumerate(ranges.tolist()):
        edges = laid(table.times, start, stop, offsets[: n_bins[k] + 1])
        reach = edges[[0, -1]] + np.array([-1, 1]) * EDGE_SLACK
        low, high = np.searchsorted(table.times, reach, side="right")
        row = bin_of(edges, table.times[low:high], closed) - 1
        inside = (row >= 0) & (row < n_bins[k])
        row, owner = row[inside], table.owner[low:high][inside]
        cells = np.bincount(
            row * n_units + owner,
            weights=None if table.weights is None else table.weights[low:high][inside],
            minlength=int(n_bins[k]) * n_units,
        )
        counts[k, : n_bins[k]] = cells.reshape(-1, n_units)
        if recorded is not None:
            first, last = edges[:-1] + EDGE_SLACK, edges[1:]
            at = np.searchsorted(recorded[:, 0], first, side="right") - 1
            covered = (at >= 0) & (last <= recorded[np.maximum(at, 0), 1] + 2 * EDGE_SLACK)
            mask[k, : n_bins[k]] &= covered
        if table.observed is not None:
            known = seen(table.observed, edges[:-1], edges[1:])
            unseen[k, : n_bins[k]] = ~known
            mask[k, : n_bins[k]] &= known.any(axis=1)
    if not mask.all() and not ragged:
        raise ShapeError(
            f"Trials have {n_bins.min()} to {n_bins.max()} bins, {int((~mask).sum())} of which "
            f"{'are missing or ' if recorded is not None else ''}lie outside their trial"
            + (" or were not observed" if unseen.any() else ""),
            "Trials of equal length, recorded throughout, were needed",
            "Pass ragged=True and use the mask, or cut the trials to one length",
        )
    counts[~mask] = 0
    if unseen.any():
        counts = np.where(unseen, np.nan, counts)
    return xr.DataArray(
        counts,
        dims=("trial", "time", "unit"),
        coords={
            "trial": np.arange(len(ranges)),
            "time": (
                "time",
                offsets[1:],
                time_attrs("end of the bin since the trial's start", closed),
            ),
            "unit": table.unit,
            "start": ("trial", ranges[:, 0], {"units": "s", "long_name": "start of the trial"}),
            "mask": (("trial", "time"), mask, {"long_name": "True where the bin was recorded"}),
        },
        name="counts",
        attrs=count_attrs(width, closed=closed),
    )


def _merge(stretches: NDArray[np.float64]) -> NDArray[np.float64]:
    ordered = stretches[np.argsort(stretches[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.concatenate([[True], ordered[1:, 0] > reach[:-1] + EDGE_SLACK])
    last = np.concatenate([np.flatnonzero(first)[1:], [len(ordered)]]) - 1
    return np.stack([ordered[first, 0], reach[last]], axis=1)
