"""Spikes of all units in one order of time, and the attrs of what is counted from them."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_numbers, check_spike_times
from neurornn._core.errors import DataError, NameUnknownError, nearest
from neurornn.data.intervals import support
from neurornn.data.observation import observed_ranges
from neurornn.data.recording import TIME_CONVENTION, check_spike_owners
from neurornn.data.trains import as_trains

#: Slack at a bin edge, s: an edge that went through a product must not lose the spike upon it.
EDGE_SLACK = 5e-10
#: What a bin stands for, by which of its ends belongs to it.
CONVENTIONS = {
    "right": TIME_CONVENTION,
    "left": "bin k stands for the interval [(k-1)*dt, k*dt) before its time stamp",
}
#: Most cells (bin, unit) of counts, and how many are looked at twice where most would be empty.
MOST_CELLS, MANY_CELLS = 2**31, 2**25
#: So far beyond a range, s, spikes still say where its bins begin and end.
_REACH = 1e-6
#: So many bins for each spike are the work of a gap, or of a clock that does not begin at 0.
BINS_PER_SPIKE = 1000


class Spikes(NamedTuple):
    """Spikes in one order.

    Attributes
    ----------
    times : (spike,), s, sorted.
    owner : (spike,), position of the unit.
    unit : (unit,), labels.
    stretches : (stretch, 2), s, recorded without a gap; None where that is not known.
    weights : (spike,), what each counts for; None for 1.
    observed : (range, 2), s, of each unit; None where nothing limits what was observed.
    n_beyond : spikes beyond the range that was asked for, which were left out.
    """

    times: NDArray[np.float64]
    owner: NDArray[np.int64]
    unit: NDArray[Any]
    stretches: NDArray[np.float64] | None
    weights: NDArray[np.float64] | None = None
    observed: list[NDArray[np.float64]] | None = None
    n_beyond: int = 0


def as_spikes(spikes: Any, within: tuple[float, float] | None = None) -> Spikes:
    """Check spike times and put those of all units into one order.

    Parameters
    ----------
    spikes : a recording with ``spike_times``, one 1-D array of times (s) per unit, or whatever
        else `neurornn.data.from_spikes` takes. Where the recording has ``spike_weight (spike)``, a
        spike counts for so much. What this function has returned is taken as it is.
    within : (from, to), s; spikes beyond are only counted, so that a stretch of a long recording
        costs no more than it holds.
    """
    if isinstance(spikes, Spikes):
        return spikes
    weights = observed = None
    if isinstance(spikes, xr.Dataset):
        if "spike_times" not in spikes:
            raise NameUnknownError(
                f"The recording holds {', '.join(map(str, spikes.data_vars)) or 'no variables'}",
                "A recording with spike_times was needed",
                nearest("spike_times", map(str, spikes.data_vars)),
            )
        times = check_spike_times(spikes["spike_times"].values)
        check_spike_owners(spikes)
        owner = spikes["spike_unit"].values.astype(np.int64)
        unit = (
            spikes["unit"].values if "unit" in spikes.coords else np.arange(spikes.sizes["unit"])
        )
        clocked = "start" in spikes or "time" in spikes.coords
        stretches = support(spikes) if clocked else None
        observed = observed_ranges(spikes)
        if "spike_weight" in spikes:
            weights = check_numbers(spikes["spike_weight"], "spike_weight", missing=False)
    else:
        came = as_trains(spikes, "spikes")
        trains = came.times
        times = np.concatenate(trains) if trains else np.empty(0)
        owner = np.repeat(np.arange(len(trains)), [len(t) for t in trains]).astype(np.int64)
        unit = np.arange(len(trains)) if came.unit is None else np.asarray(came.unit)
        stretches, observed = came.stretches, came.observed
    if not len(unit):
        raise DataError(
            "No units came", "Spike times of at least one unit were needed", "Check the selection"
        )
    n_beyond = 0
    if within is not None:
        near = (times >= within[0] - _REACH) & (times <= within[1] + _REACH)
        n_beyond = len(times) - int(near.sum())
        times, owner = times[near], owner[near]
        weights = None if weights is None else weights[near]
    order = np.argsort(times, kind="stable")
    weights = None if weights is None else weights[order]
    return Spikes(times[order], owner[order], unit, stretches, weights, observed, n_beyond)


def grid_start(times: NDArray[np.float64], start: float) -> float:
    """Return where bins begin in a range ``(start, ...]``: on a spike for whose sake it does.

    Parameters
    ----------
    times : (spike,), s, sorted.
    start : s.

    Notes
    -----
    A range begins 1 ns early where a spike stands at its very start. Bins are laid from that
    spike, so that their ends, and the spikes on them, stay where they would be without it.
    """
    at = int(np.searchsorted(times, start, side="right"))
    if at < len(times) and EDGE_SLACK < times[at] - start <= _early(start):
        return float(times[at])
    return start


def laid(
    times: NDArray[np.float64], start: float, stop: float, offsets: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the edges of bins in a range ``(start, stop]``, s.

    Parameters
    ----------
    times : (spike,), s, sorted.
    start, stop : s; where the next range begins early, this one ends so, too.
    offsets : (edge,), s, from where the bins begin.
    """
    edges = np.asarray(grid_start(times, start) + offsets, dtype=np.float64)
    edges[0] = start
    if 0 < edges[-1] - stop <= _early(stop):
        edges[-1] = stop
    return edges


def _early(time: float) -> float:
    """So much, s, is all that a range is moved for a spike that stands on its start."""
    return max(1.5e-9, 2 * float(np.spacing(abs(time))))


def bin_of(
    edges: NDArray[np.float64], times: NDArray[np.float64], closed: str
) -> NDArray[np.intp]:
    """Return which of the edges (s) closes the bin of each time (s): 0 before the first bin."""
    if closed == "left":
        return np.searchsorted(edges - EDGE_SLACK, times, side="right")
    return np.searchsorted(edges + EDGE_SLACK, times, side="left")


def check_grid(n_bins: float, table: Spikes, *, told: bool) -> None:
    """Refuse bins that a gap or a clock of its own made, before room is made for them.

    Parameters
    ----------
    n_bins : of all stretches.
    told : start and stop were given, so that empty bins are wanted.

    Raises
    ------
    DataError
    """
    n_units, n_spikes = len(table.unit), len(table.times)
    cells = n_bins * n_units
    empty = cells > MANY_CELLS and n_bins > BINS_PER_SPIKE * max(n_spikes, 1)
    if cells <= MOST_CELLS and (told or not empty):
        return
    span = f", from {table.times[0]:g} to {table.times[-1]:g} s" if n_spikes else ""
    raise DataError(
        f"{n_bins:.3g} bins of {n_units} units came for {n_spikes} spikes{span}",
        f"At most {MOST_CELLS:.2g} counts, and not mostly empty bins, were needed",
        "Pass t_start and t_stop, set what was recorded with data.set_intervals, or subtract the "
        "start of the clock; are the times in ms?",
    )


def time_attrs(long_name: str, closed: str = "right") -> dict[str, str]:
    """Attrs of a time axis whose stamps are the ends of bins."""
    return {"units": "s", "long_name": long_name, "convention": CONVENTIONS[closed]}


def count_attrs(width: float, outside: int | None = None, closed: str = "right") -> dict[str, Any]:
    """Attrs of counts in bins of `width` (s); `outside` spikes fell into no bin."""
    attrs: dict[str, Any] = {"units": "1", "long_name": "spikes per bin", "bin_size": width}
    attrs["convention"] = CONVENTIONS[closed]
    return attrs if outside is None else {**attrs, "spikes_outside": outside}
