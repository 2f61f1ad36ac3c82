"""Spikes of units in bins, without room for empty bins: what every model of spikes takes."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_bin_size, check_numbers
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn.data.binning import Placed, place_spikes
from neurornn.data.foreign import is_trains
from neurornn.data.resampling import resample_to
from neurornn.data.rows import as_samples, is_list_of_trials
from neurornn.data.samples import Samples, joined

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


class BinnedSpikes(NamedTuple):
    """Spikes of units, the bins they are in, and the joins between bins.

    Attributes
    ----------
    rows : one (spike,) per unit, the bin of each spike, rising; a bin with two stands twice.
    times : one (spike,) per unit, s, rising; the middle of the bin where only counts came.
    starts, stamps : (row,), s, where each bin begins and ends.
    run : (row,), number of the gapless run of each bin.
    unit : (unit,), labels.
    bin_size : s.
    exact : times came, not counts alone.
    known : (row, unit), whether the unit was observed; None for always.
    units_named : whether units came with labels.
    """

    rows: list[Rows]
    times: list[Array]
    starts: Array
    stamps: Array
    run: Rows
    unit: NDArray[Any]
    bin_size: float
    exact: bool
    known: NDArray[np.bool_] | None = None
    units_named: bool = True

    @property
    def n_rows(self) -> int:
        """Number of bins."""
        return len(self.stamps)

    @property
    def duration(self) -> float:
        """Time in bins, s."""
        return self.n_rows * self.bin_size

    @property
    def first_row(self) -> Rows:
        """First bin of the gapless run of each bin, (row,)."""
        begins = np.concatenate([[True], self.run[1:] != self.run[:-1]])
        return np.maximum.accumulate(np.where(begins, np.arange(self.n_rows), 0))

    def counts(self, unit: int) -> Array:
        """Counts of one unit, (row,), 0 where it was not observed."""
        found = np.bincount(self.rows[unit], minlength=self.n_rows).astype(float)
        return found if self.known is None else np.where(self.known[:, unit], found, 0.0)

    def usable(self, unit: int) -> NDArray[np.bool_]:
        """Bins in which a unit was observed, (row,)."""
        if self.known is None:
            return np.ones(self.n_rows, dtype=bool)
        return np.asarray(self.known[:, unit])

    def positions(self, wanted: Any, what: str = "unit") -> list[int]:
        """Positions of units by their labels; True for all of them.

        Raises
        ------
        NameUnknownError
        """
        if wanted is True or wanted is None:
            return list(range(len(self.unit)))
        if wanted is False:
            return []
        listed = self.unit.tolist()
        out = []
        for label in np.atleast_1d(np.asarray(wanted)).tolist():
            if label not in listed:
                raise NameUnknownError(
                    f"{what} holds {label!r}; the units are {', '.join(map(repr, listed[:8]))}",
                    "Labels of units were needed",
                    nearest(str(label), map(str, listed)),
                )
            out.append(listed.index(label))
        return out


def bin_for_model(spikes: Any, bin_size: float) -> BinnedSpikes:
    """Bring spikes to bins: a recording, trains, or counts that were binned before.

    Parameters
    ----------
    spikes : a recording, or whatever else `neurornn.data.from_spikes` takes; or counts, an array
        (time, unit), (trial, time, unit), a list of (time, unit), or a DataArray of these dims,
        whose attrs may hold ``bin_size`` (s), and whose ``mask`` says which bins count.
    bin_size : s.

    Raises
    ------
    KindError, ShapeError, DataError, UnitError
        Counts that are none, or in bins of another size.
    """
    width = check_bin_size(bin_size)
    if isinstance(spikes, xr.Dataset) or is_trains(spikes) or _is_ragged(spikes):
        placed = place_spikes(spikes, width)
        if placed.weights is not None:
            raise DataError(
                "The recording has spike_weight, events with a size",
                "Spikes that count as one each were needed",
                "Drop spike_weight if every event is a spike",
            )
        rows, times = _by_unit(placed)
        return BinnedSpikes(
            rows=rows, times=times, starts=placed.starts, stamps=placed.stamps, run=placed.run,
            unit=placed.unit, bin_size=width, exact=True, known=placed.known,
        )  # fmt: skip
    return _of_counts(spikes, width)


def _by_unit(placed: Placed) -> tuple[list[Rows], list[Array]]:
    """Rows and times of the spikes of each unit, in the order of time."""
    n = len(placed.unit)
    # Numbers of 16 bits are sorted digit by digit, ten times as fast as others.
    small = placed.owner.astype(np.int16) if n < 2**15 else placed.owner
    order = np.argsort(small, kind="stable")
    edges = np.cumsum(np.bincount(placed.owner, minlength=n))[:-1]
    return np.split(placed.row[order], edges), np.split(placed.times[order], edges)


def _is_ragged(spikes: Any) -> bool:
    """Whether something is a list of trains, each one-dimensional, or a dict of them."""
    if isinstance(spikes, dict):
        return True
    if not isinstance(spikes, list | tuple) or not len(spikes):
        return False
    return all(np.ndim(s) == 1 for s in spikes)


def count_rows(counts: Any, bin_size: float | None) -> tuple[Samples, NDArray[Any] | None, float]:
    """Bring counts to rows; every row stands, also those that a mask leaves out.

    Parameters
    ----------
    counts : as `bin_for_model` takes them.
    bin_size : s; None for that of the counts' attrs.

    Returns
    -------
    Samples with counts, NaN where none was observed; labels of the units, if any; the bin size.

    Raises
    ------
    ShapeError, DataError
        No counts, or two bin sizes, or none.
    """
    listed = is_list_of_trials(counts)
    each = list(counts) if listed else [counts]
    width = bin_size
    for trial in each:
        stated = trial.attrs.get("bin_size") if isinstance(trial, xr.DataArray) else None
        if stated is None:
            continue
        if width is not None and abs(float(stated) / width - 1) > 0.01:
            raise DataError(
                f"The counts are in bins of {float(stated):g} s, the model in bins of {width:g} s",
                "One bin size was needed",
                f"Pass bin_size={float(stated):g}, or count again with data.bin_spikes",
            )
        width = float(stated) if width is None else width
    if width is None:
        raise DataError(
            "The counts came without the size of their bins",
            "It was needed, in s, in the counts' attrs or as a setting",
            "Pass bin_size=0.02 for bins of 20 ms, or count with data.bin_spikes",
        )
    if not listed and not isinstance(counts, xr.DataArray) and np.ndim(counts) == 3:
        each = [xr.DataArray(check_numbers(counts, "counts"), dims=("trial", "time", "unit"))]
    rows: Samples = joined([as_samples(c) for c in each]) if listed else as_samples(each[0])
    first = each[0]
    named = (
        first["unit"].values
        if isinstance(first, xr.DataArray) and "unit" in first.coords
        else None
    )
    values = rows.values if rows.mask is None else rows.values[rows.mask]
    if values.shape[1] == 0:
        raise ShapeError(
            "counts has no unit", "At least one unit was needed", "Check the selection"
        )
    if np.isnan(values).all():
        raise DataError(
            "Every count is missing (NaN)", "At least one that was observed was needed",
            "Check the reader, and the mask",
        )  # fmt: skip
    known = values[~np.isnan(values)]
    if not np.isfinite(known).all() or np.any(known < 0) or np.any(known != np.round(known)):
        raise DataError(
            f"counts goes from {known.min():g} to {known.max():g}"
            + (", with fractions" if np.any(known != np.round(known)) else ""),
            "Counts of spikes, whole numbers of 0 or more, were needed",
            "Pass spike times, or count them with data.bin_spikes",
        )
    return rows, named, float(width)


def _of_counts(counts: Any, width: float) -> BinnedSpikes:
    rows, named, _ = count_rows(counts, width)
    if rows.mask is not None:
        rows = rows.pick(rows.mask)
    values = rows.values
    known = np.isfinite(values)
    n_units = values.shape[1]
    numbers = np.nan_to_num(values).astype(np.int64)
    stamps = rows.time if rows.time is not None else width * np.arange(1.0, len(values) + 1)
    found = [np.repeat(np.arange(len(values)), numbers[:, i]) for i in range(n_units)]
    return BinnedSpikes(
        rows=found, times=[_spread(r, stamps, width) for r in found],
        starts=stamps - width, stamps=stamps, run=np.cumsum(np.diff(rows.run, prepend=0) != 0),
        unit=rows.unit if named is None else np.asarray(named), bin_size=width, exact=False,
        known=None if known.all() else known, units_named=named is not None,
    )  # fmt: skip


def _spread(rows: Rows, stamps: Array, width: float) -> Array:
    """Times of spikes of which only the bin is known: evenly spread over it."""
    if not len(rows):
        return np.empty(0)
    first = np.searchsorted(rows, rows, side="left")
    last = np.searchsorted(rows, rows, side="right")
    share = (np.arange(len(rows)) - first + 0.5) / (last - first)
    return np.asarray(stamps[rows] - width + width * share)


def stimulus_at_bins(
    recording: Any, stimulus: Any, bins: BinnedSpikes, *, missing: bool = False
) -> tuple[Array, list[str]] | None:
    """Bring a stimulus to the bins, (row, feature), with the names of its features.

    Parameters
    ----------
    recording : what the spikes came in.
    stimulus : name of a variable of the recording, which is held from sample to sample where it
        has a clock of its own; or an array (row,) or (row, feature); or None.
    bins : of the spikes.
    missing : accept bins without a value, NaN.

    Raises
    ------
    NameUnknownError, ShapeError, DataError
        No such variable, no clock, another length, or bins without a stimulus.
    """
    if stimulus is None:
        return None
    name, values = "stimulus", stimulus
    if isinstance(stimulus, str):
        name = stimulus
        if not isinstance(recording, xr.Dataset):
            raise KindError(
                f"stimulus={stimulus!r} names a variable, and a {type(recording).__name__} came",
                "A recording that holds it was needed",
                "Pass the stimulus itself to fit, one row for each bin: fit(counts, stimulus=x)",
            )
        if stimulus not in recording:
            raise NameUnknownError(
                f"The recording has no {stimulus!r}; it holds "
                f"{', '.join(map(str, recording.data_vars))}",
                "The name of a variable was needed",
                nearest(stimulus, map(str, recording.data_vars)),
            )
        values = held_at(recording, stimulus, bins.stamps, bins.bin_size)
    numbers = check_numbers(values, name)
    numbers = numbers.reshape(len(numbers), -1) if numbers.ndim else numbers[None, None]
    if len(numbers) != bins.n_rows:
        raise ShapeError(
            f"{name} has {len(numbers)} rows for {bins.n_rows} bins",
            "One row for each bin was needed",
            "Bring it onto the bins, for example with data.resample_to",
        )
    n_missing = int((~np.isfinite(numbers)).any(axis=1).sum())
    if n_missing and not missing:
        raise DataError(
            f"{name} is missing in {n_missing} of {bins.n_rows} bins "
            f"({n_missing * bins.bin_size:.4g} s)",
            "A stimulus in every bin was needed",
            "Cut the recording to where the stimulus was shown with data.restrict",
        )
    n = numbers.shape[1]
    return np.asarray(numbers), [name] if n == 1 else [f"{name}[{k}]" for k in range(n)]


def held_at(recording: xr.Dataset, name: str, stamps: Array, width: float) -> Array:
    """Values of a variable in bins: the sample that holds at the middle of each bin.

    Parameters
    ----------
    recording : with the variable and its clock, a coordinate ``<dim>_time`` or ``time``.
    name : of the variable; a sample with stamp t stands for the time up to t.
    stamps : (row,), s, ends of the bins.
    width : s, of a bin.

    Raises
    ------
    ShapeError
        No clock.
    """
    variable = recording[name]
    dim = str(variable.dims[0])
    clock = None
    for candidate in (f"{dim}_time", dim, f"{name}_time", "time"):
        if candidate in recording.variables and recording[candidate].dims == (dim,):
            clock = recording[candidate].values.astype(float)
            break
    if clock is None:
        raise ShapeError(
            f"{name} lies along {dim!r}, which has no clock",
            f"Time stamps in s, {dim}_time ({dim}), were needed",
            f"Add them: recording.assign({dim}_time=({dim!r}, times))",
        )
    step = float(np.median(np.diff(clock))) if len(clock) > 1 else width
    if step < width * (1 - 1e-6):
        return np.asarray(resample_to(variable, clock, stamps, method="mean").values, dtype=float)
    middle = stamps - width / 2
    at = np.minimum(np.searchsorted(clock, middle, side="left"), len(clock) - 1)
    out = variable.values[at].astype(float)
    # A sample holds for a step before its stamp. Where a recording was cut within one, the bins
    # of what is left of it take the sample before; a pause is no stimulus that was held.
    before = np.maximum(at - 1, 0)
    inside = (middle <= clock[at] + 1e-9) & (middle > clock[at] - 1.5 * step)
    late = ~inside & (middle > clock[before]) & (middle <= clock[before] + step)
    late |= ~inside & (middle > clock[at]) & (middle <= clock[at] + step)
    source = np.where(late & (middle <= clock[at]), before, at)
    out = variable.values[source].astype(float)
    held = (inside | late).reshape(-1, *[1] * (out.ndim - 1))
    return np.where(held, out, np.nan)
