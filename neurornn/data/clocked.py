"""Counts and targets on one clock, from objects that bring times of their own."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import DataError
from neurornn.data.binning import bin_spikes
from neurornn.data.foreign import is_trains, kind_of
from neurornn.data.labelled import as_labelled


def with_clocks(counts: Any, targets: Any, *, bin_size: float) -> tuple[Any, Any]:
    """Bring counts and targets to arrays with times and labels, where they say what these are.

    Parameters
    ----------
    counts : spike trains under their labels (a dict, a TsGroup, a list of Ts or of SpikeTrains),
        a TsdFrame, a DataFrame, a neo signal; everything else stays as it is.
    targets : the same without trains; or None.
    bin_size : s, of the bins in which trains are counted.

    Returns
    -------
    counts : DataArray (time, unit), or what came.
    targets : DataArray (time,) or (time, output), or what came.

    Raises
    ------
    UnitError, DataError
        Targets on another clock than bins of `bin_size`; trains that cannot be counted on it, as
        where nothing says whether the times of a cut Tsd are the centres of bins.

    Notes
    -----
    Trains are counted in the bins that end at the times of the targets, ``(t - bin_size, t]``.
    Where targets of pynapple bear the stamps of its counts, the centres of the bins, they move
    with them to the ends.
    """
    same = _stamped_alike(counts, targets)
    trains = is_trains(counts)
    # Where the counts come from trains, half a bin of the targets would move every spike.
    y = as_labelled(targets, sure=trains) if kind_of(targets) is not None else targets
    x = as_labelled(counts) if kind_of(counts) not in (None, "group", "ts", "train") else counts
    if trains:
        x = _counted(counts, y, bin_size)
    elif same and isinstance(y, xr.DataArray):
        y = y.assign_coords(time=x["time"].values)
    if isinstance(y, xr.DataArray) and kind_of(targets) is not None and "unit" in y.dims:
        y = y.rename(unit="output")
    return x, y


def _stamped_alike(counts: Any, targets: Any) -> bool:
    if kind_of(counts) not in ("tsd", "frame") or kind_of(targets) not in ("tsd", "frame"):
        return False
    a, b = np.asarray(counts.t, float), np.asarray(targets.t, float)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=1e-9))


def _counted(trains: Any, targets: Any, bin_size: float) -> xr.DataArray:
    if targets is None:
        return bin_spikes(trains, bin_size)
    if isinstance(targets, xr.DataArray) and "time" in targets.coords and targets.ndim < 3:
        return bin_spikes(trains, bin_size, time=targets["time"].values)
    counts = bin_spikes(trains, bin_size)
    if len(counts) != len(np.asarray(targets)):
        raise DataError(
            f"Spike trains came that fill {len(counts)} bins of {bin_size:g} s, and "
            f"{len(np.asarray(targets))} targets without times",
            "Targets on a clock, or one for each bin, were needed",
            "Give the targets their times, as a DataArray, a Tsd or the index of a DataFrame, or "
            "count with nr.data.bin_spikes(trains, bin_size, t_start=..., t_stop=...)",
        )
    return counts
