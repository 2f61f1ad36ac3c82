"""Rates around events and along variables, with intervals."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_confidence_level, check_count, check_numbers
from neurornn._core.confidence import Estimate, rate_interval, to_dataset
from neurornn._core.errors import DataError, ShapeError
from neurornn.data.binning import bin_spikes
from neurornn.data.events import event_windows
from neurornn.data.spike_table import as_spikes
from neurornn.spikes.binned import bin_for_model, stimulus_at_bins

Array = NDArray[np.float64]

#: Counts of trials that are held at a time.
_CELLS = 4e6


def psth(
    recording: Any,
    events: str | ArrayLike,
    *,
    window: tuple[float, float] = (-0.2, 0.8),
    bin_size: float = 0.01,
    confidence_level: float = 0.95,
) -> xr.Dataset:
    """Return the rate around events: the peristimulus time histogram, with intervals.

    Parameters
    ----------
    recording : with spikes, or whatever `neurornn.data.from_spikes` takes.
    events : (event,), s, or the name of a variable with their times.
    window : (from, to), s, around each event.
    bin_size : s.
    confidence_level : of the intervals.

    Returns
    -------
    Dataset over (time, unit)
        ``rate`` (Hz) with ``rate_ci``; ``n_trials (time, unit)`` that were observed there;
        ``fano_factor (unit)``, variance over mean of the counts of a bin, pooled over bins.
        ``time`` is the end of each bin since the event, s.

    Raises
    ------
    NameUnknownError, ShapeError, UnitError, DataError
        Events that are not there, none of them in the recording, bins wider than the window.

    Notes
    -----
    Counts of a bin over trials are taken as Poisson counts whose variance is larger by the Fano
    factor, where that is above 1: the interval is Garwood's (1936) of the counts over that factor.

    Examples
    --------
    >>> import neurornn as nr
    >>> rec = nr.simulate.simulate_poisson(20.0, duration=100.0, rng=0)
    >>> table = psth(rec, np.arange(1.0, 99.0), window=(-0.1, 0.3), bin_size=0.1)
    >>> table["rate"].shape
    (4, 1)
    """
    check_confidence_level(confidence_level)
    found = event_windows(recording, events, window)
    spikes = as_spikes(recording)
    n_bins = max(int((found.ranges[0, 1] - found.ranges[0, 0]) / bin_size + 1e-6), 1)
    step = max(int(_CELLS / (n_bins * max(len(spikes.unit), 1))), 1)
    sums: list[Array] = []
    for begin in range(0, len(found.ranges), step):
        some = found.ranges[begin : begin + step]
        counts = bin_spikes(spikes, bin_size, trials=some, ragged=True)
        seen = counts["mask"].values[:, :, None] & np.isfinite(counts.values)
        values = np.where(seen, counts.values, 0.0)
        more = [seen.sum(axis=0), values.sum(axis=0), (values**2).sum(axis=0)]
        sums = more if not sums else [a + b for a, b in zip(sums, more, strict=True)]
    n_trials, total, squares = sums
    if not n_trials.any():
        raise DataError(
            f"None of {len(found.ranges)} windows lies where the recording was made",
            "Events within the recorded time were needed",
            "Check the clock of the events",
        )
    mean = total / np.maximum(n_trials, 1)
    # Counts are whole numbers: their squares add up without a loss.
    variance = (squares - n_trials * mean**2) / np.maximum(n_trials - 1, 1)
    use = n_trials > 1
    fano = np.where(use, variance, 0).sum(axis=0) / np.maximum(
        np.where(use, mean, 0).sum(axis=0), 1e-300
    )
    fano = np.where(use.any(axis=0) & (total.sum(axis=0) > 0), fano, np.nan)
    wide = np.where(fano > 1, fano, 1.0)
    seconds = n_trials * bin_size
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(n_trials > 0, total / seconds, np.nan)
        ci = rate_interval(total / wide, np.where(n_trials > 0, seconds, np.nan) / wide,
                           confidence_level)  # fmt: skip
    time = counts["time"].values - found.before
    about = {"units": "s", "long_name": "end of the bin since the event"}
    table = to_dataset(
        [
            Estimate(
                name="rate", value=rate, ci=ci, units="Hz", dims=("time", "unit"),
                long_name="rate around events", reason="no trial was observed there",
                method="mean over trials; Garwood's interval of counts over their Fano factor",
            )
        ],
        confidence_level=confidence_level,
        coords={"time": ("time", time, about), "unit": counts["unit"].values},
    )  # fmt: skip
    return table.assign(
        n_trials=(("time", "unit"), n_trials, {"units": "1", "long_name": "trials"}),
        fano_factor=("unit", fano, {"units": "1", "long_name": "variance over mean of counts"}),
    ).assign_attrs(bin_size=float(bin_size), n_events=len(found.ranges),
                   n_missing=found.n_missing)  # fmt: skip


def tuning_curves(
    recording: Any,
    variable: str | ArrayLike,
    *,
    bins: int | ArrayLike = 20,
    bin_size: float = 0.02,
    confidence_level: float = 0.95,
) -> xr.Dataset:
    """Return the rate of each unit against a variable, with intervals.

    Parameters
    ----------
    recording : with spikes, or counts in bins of `bin_size`, as models of spikes take them.
    variable : name of a variable of the recording, which is held from sample to sample; or one
        value, or one of several axes, for each bin of the counts.
    bins : number of bins over the range of each axis, or their edges, in the unit of the variable.
    bin_size : s, in which spikes are counted.
    confidence_level : of the intervals.

    Returns
    -------
    Dataset over (unit, bin), or (unit, bin, bin_1) for two axes
        ``rate`` (Hz) with ``rate_ci``; ``occupancy``, s; ``information (unit)``, bits per spike.
        ``bin`` is the middle of each bin. NaN where the variable never was.

    Raises
    ------
    NameUnknownError, ShapeError, DataError
        No such variable, or one of more than two axes; no bin with a value.

    References
    ----------
    Skaggs et al. 1993, NeurIPS 5:1030 (information); Garwood 1936, Biometrika 28:437,
    doi:10.1093/biomet/28.3-4.437.

    Examples
    --------
    >>> import neurornn as nr
    >>> shown = np.tile(np.repeat([0.0, 1.0], 500), 20)
    >>> rec = nr.simulate.simulate_poisson(10 + 20 * shown, rng=0)
    >>> curve = tuning_curves(rec, shown, bins=2, bin_size=0.001)
    >>> bool(curve["rate"][0, 1] > 2 * curve["rate"][0, 0])
    True
    """
    check_confidence_level(confidence_level)
    held = bin_for_model(recording, bin_size)
    shown = stimulus_at_bins(recording, variable, held, missing=True)
    assert shown is not None
    values, names = shown
    if values.shape[1] > 2:
        raise ShapeError(
            f"The variable has {values.shape[1]} axes", "One or two were needed", "Select two"
        )
    known = np.isfinite(values).all(axis=1)
    if not known.any():
        raise DataError(
            "The variable is known in no bin", "At least one value was needed", "Check its clock"
        )
    edges = [_edges(values[known, a], bins, a) for a in range(values.shape[1])]
    place = np.zeros(len(values), dtype=np.int64)
    inside = known.copy()
    for a, e in enumerate(edges):
        at = np.searchsorted(e, values[:, a], side="right") - 1
        # The last edge belongs to the last bin.
        at = np.where(values[:, a] == e[-1], len(e) - 2, at)
        inside &= (at >= 0) & (at < len(e) - 1)
        place = place * (len(e) - 1) + np.clip(at, 0, len(e) - 2)
    shape = tuple(len(e) - 1 for e in edges)
    n_cells = int(np.prod(shape))
    n_units = len(held.unit)
    total, seconds = np.zeros((n_units, n_cells)), np.zeros((n_units, n_cells))
    for k in range(n_units):
        use = inside & held.usable(k)
        total[k] = np.bincount(place[use], held.counts(k)[use], n_cells)
        seconds[k] = np.bincount(place[use], minlength=n_cells) * held.bin_size
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(seconds > 0, total / seconds, np.nan)
        ci = rate_interval(total, np.where(seconds > 0, seconds, np.nan), confidence_level)
        share = seconds / seconds.sum(axis=1, keepdims=True)
        mean = total.sum(axis=1) / seconds.sum(axis=1)
        gain = rate / mean[:, None]
        each = np.where(total > 0, share * gain * np.log2(np.where(gain > 0, gain, 1.0)), 0.0)
    dims = ("unit", *(("bin", "bin_1")[: len(shape)]))
    coords: dict[Any, Any] = {"unit": held.unit}
    for d, e, name in zip(dims[1:], edges, names, strict=True):
        coords[d] = (d, (e[:-1] + e[1:]) / 2, {"long_name": name})
    table = to_dataset(
        [
            Estimate(
                name="rate", value=rate.reshape(n_units, *shape), units="Hz", dims=dims,
                ci=ci.reshape(n_units, *shape, 2), long_name="rate against the variable",
                method="spikes over time spent; Garwood's interval",
                reason="the variable never was there",
            )
        ],
        confidence_level=confidence_level, coords=coords,
    )  # fmt: skip
    return table.assign(
        occupancy=(dims, seconds.reshape(n_units, *shape),
                   {"units": "s", "long_name": "time spent"}),
        information=("unit", np.where(mean > 0, each.sum(axis=1), np.nan),
                     {"units": "bits", "long_name": "information per spike"}),
    )  # fmt: skip


def _edges(values: Array, bins: int | ArrayLike, axis: int) -> Array:
    # Edges of each axis may differ in number, which no array holds.
    each = isinstance(bins, list | tuple) and len(bins) and not np.isscalar(bins[0])
    if not each and np.ndim(bins) == 0:
        n = check_count(bins, "bins")
        low, high = float(values.min()), float(values.max())
        if not high > low:
            raise DataError(
                f"The variable is {low:g} throughout", "One that changes was needed",
                "Pass edges, or another variable",
            )  # fmt: skip
        return np.linspace(low, high, n + 1)
    given: Any = bins
    if each:
        given = given[axis]
    edges = check_numbers(given, "bins", missing=False)
    if edges.ndim != 1 or len(edges) < 2 or np.any(np.diff(edges) <= 0):
        raise ShapeError(
            f"bins has shape {edges.shape}", "Edges that rise, two or more, were needed",
            "Pass numpy.linspace(low, high, 21)",
        )  # fmt: skip
    return edges
