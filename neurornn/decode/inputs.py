"""What a decoder takes: counts and targets, in one form, with what is wrong said clearly."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.errors import DataError, KindError, ShapeError, UnitError
from neurornn.data.cross_scoring import as_rows
from neurornn.data.recording import sampling_rate_of

#: Bins may differ from those of the fit by so much, as a share.
CLOCK_TOLERANCE = 0.01


class Bins(NamedTuple):
    """Counts and targets bin by bin, in the order of time.

    Attributes
    ----------
    counts : (time, unit), float64; NaN where a unit was not recorded.
    targets : (time, output), float64, NaN where unknown; or (time,) labels; None for prediction.
    run : (time,), number of the gapless stretch of each bin; a decoder starts anew in each.
    unit : (unit,), labels.
    output : (output,), labels.
    units : unit of the outputs, as a symbol.
    """

    counts: NDArray[np.float64]
    targets: NDArray[Any] | None
    run: NDArray[np.int64]
    unit: NDArray[Any]
    output: NDArray[Any]
    units: str

    @property
    def stretches(self) -> list[slice]:
        """The gapless stretches."""
        joins = np.flatnonzero(np.diff(self.run)) + 1
        edges = np.concatenate([[0], joins, [len(self.run)]])
        return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def as_bins(
    counts: Any,
    targets: Any = None,
    *,
    trials: ArrayLike | None = None,
    bin_size: float,
    signal: str = "counts",
    labelled: bool = False,
) -> Bins:
    """Check counts and targets and bring them to one form.

    Parameters
    ----------
    counts : (time, unit), (trial, time, unit), list of (time, unit), or DataArray of these dims
        A ``mask (trial, time)`` coordinate drops bins, a gap in ``time`` is a join.
    targets : the same with outputs in place of units; (time,) for one; None for prediction.
    trials : (time,), label of the trial of each bin; a change is a join.
    bin_size : s, that of the decoder.
    signal : ``"counts"``, whole numbers of at least 0, or ``"features"``, any numbers.
    labelled : the targets are labels of classes.

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Each says what came, what was needed and what to do.
    """
    _check_clock(counts, bin_size)
    unit, output, units = _labels(counts, "unit"), _labels(targets, "output"), ""
    if isinstance(targets, xr.DataArray):
        units = str(targets.attrs.get("units", ""))
    if isinstance(counts, list | tuple) and len(counts) and np.ndim(counts[0]) == 2:
        counts, targets, trials = _joined(counts, targets, trials)
    if isinstance(counts, xr.DataArray):
        counts = _in_order(counts)
    values = _numbers(counts, "counts")
    if values.ndim not in (2, 3):
        raise ShapeError(
            f"counts has shape {values.shape}",
            "Shape (time, unit) or (trial, time, unit) was needed",
            "Add the missing axis: reshape(-1, 1) for one unit, reshape(1, -1) for one bin",
        )
    if values.size == 0:
        raise DataError(
            f"counts is empty: it has shape {values.shape}, with 0 sample(s) or "
            f"{values.shape[-1]} feature(s)",
            "At least one bin of one unit was needed, a minimum of 1 is required",
            "Check the selection of units and of time",
        )
    if not isinstance(counts, xr.DataArray):
        counts = values
        if values.ndim == 3:
            counts = xr.DataArray(values, dims=("trial", "time", "unit"))
    n_rows = values.shape[0] if values.ndim == 2 else values.shape[:2]
    known = np.zeros(n_rows) if targets is None else _as_targets(targets, labelled)
    # The targets' own gaps are kept; a bin is used for prediction whatever is missing in it.
    rows = as_rows(counts, known, trials)
    found = np.array(rows.X, dtype=np.float64)
    masked = np.zeros(len(found), dtype=bool)
    if isinstance(counts, xr.DataArray) and "mask" in counts.coords:
        masked = ~np.asarray(counts["mask"].values, dtype=bool).ravel()
    _check_counts(found[~masked], signal)
    y = None
    if targets is not None:
        y = np.array(rows.y)
        if not labelled:
            y = y.astype(np.float64).reshape(len(y), -1)
            if np.isinf(y).any():
                raise DataError(
                    "targets hold infinity, inf", "Finite numbers were needed, or NaN where "
                    "unknown", "Replace them by NaN",
                )  # fmt: skip
        y = y[~masked]
    run = rows.run[~masked]
    n_units = found.shape[1]
    return Bins(
        found[~masked],
        y,
        run,
        np.arange(n_units) if unit is None else unit,
        np.arange(1 if y is None or y.ndim == 1 else y.shape[1]) if output is None else output,
        units,
    )


def _as_targets(targets: Any, labelled: bool) -> NDArray[Any]:
    if isinstance(targets, xr.DataArray):
        targets = _in_order(targets).values
    if labelled:
        return np.asarray(targets)
    return _numbers(targets, "targets")


def _in_order(array: xr.DataArray) -> xr.DataArray:
    """Bring trial and time to the front; what comes after them is one axis."""
    front = [d for d in ("trial", "time") if d in array.dims]
    return array.transpose(*front, ...)


def _joined(counts: Any, targets: Any, trials: Any) -> tuple[Any, Any, Any]:
    """Lay trials of different lengths one after the other."""
    if trials is not None:
        raise KindError(
            "A list of trials came together with trials=",
            "One of the two was needed",
            "Leave trials= out",
        )
    labels = np.repeat(np.arange(len(counts)), [len(c) for c in counts])
    sizes = sorted({np.shape(c)[1] for c in counts})
    if len(sizes) > 1:
        raise ShapeError(
            f"The trials have {', '.join(map(str, sizes))} units",
            "The same units in every trial were needed",
            "Select the units they share, or pass NaN where one was not recorded",
        )
    if targets is not None:
        lengths = [len(t) for t in targets]
        if lengths != [len(c) for c in counts]:
            raise ShapeError(
                f"{len(counts)} trials of counts and {len(targets)} of targets differ in length",
                "One target for each bin of each trial was needed",
                "Bring the targets onto the bins with data.resample_to",
            )
        targets = np.concatenate([np.asarray(t) for t in targets])
    return np.concatenate([np.asarray(c, dtype=float) for c in counts]), targets, labels


def _labels(array: Any, dim: str) -> NDArray[Any] | None:
    if not isinstance(array, xr.DataArray):
        return None
    rest = [d for d in array.dims if d not in ("trial", "time")]
    if len(rest) == 1 and rest[0] in array.coords:
        return np.asarray(array[rest[0]].values)
    return None


def _numbers(values: Any, name: str) -> NDArray[Any]:
    if hasattr(values, "toarray"):
        raise KindError(
            f"{name} is a sparse matrix",
            "A dense array was needed; sparse data is not supported",
            f"Pass {name}.toarray()",
        )
    array = np.asarray(values.values if isinstance(values, xr.DataArray) else values)
    if array.dtype.kind == "c":
        raise DataError(
            f"{name} holds complex numbers; Complex data not supported",
            "Real numbers were needed",
            "Pass their real part or their size",
        )
    if array.dtype.kind not in "biuf":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise KindError(
                f"{name} is an array of {array.dtype}: {error}",
                "Numbers were needed",
                "Bin the spikes with nr.data.bin_spikes(recording, bin_size)",
            ) from None
    return array


def _check_clock(counts: Any, bin_size: float) -> None:
    """Refuse bins of another width than the decoder's."""
    if not isinstance(counts, xr.DataArray):
        return
    stated = counts.attrs.get("bin_size")
    if stated is None and "time" in counts.coords and counts.sizes["time"] > 1:
        stated = 1 / sampling_rate_of(counts)
    if stated is not None and abs(float(stated) / bin_size - 1) > CLOCK_TOLERANCE:
        raise UnitError(
            f"The counts are in bins of {float(stated):g} s, the decoder's of {bin_size:g} s",
            "Bins of the same width were needed",
            f"Bin the spikes again with nr.data.bin_spikes(recording, {bin_size:g}), or make the "
            f"decoder with bin_size={float(stated):g}",
        )


def _check_counts(values: NDArray[np.float64], signal: str) -> None:
    """Refuse what is no count, where counts were promised."""
    if np.isinf(values).any():
        raise DataError(
            f"counts hold {int(np.isinf(values).sum())} infinite values, inf",
            "Finite numbers were needed, or NaN where a unit was not recorded",
            "Replace them by NaN",
        )
    known = values[np.isfinite(values)]
    if signal == "features":
        return
    if (known < 0).any():
        raise DataError(
            f"{int((known < 0).sum())} counts are negative, the lowest is {known.min():g}. "
            "Negative values in data passed to a decoder of counts",
            "Counts of spikes, 0 or more, were needed",
            'Pass the counts themselves, not z-scores; or signal="features" for any numbers',
        )
    broken = known != np.round(known)
    if broken.mean() > 0.001 if len(known) else False:
        raise DataError(
            f"{100 * broken.mean():.0f} % of the counts are no whole numbers, for example "
            f"{known[broken][0]:g}",
            "Counts of spikes in bins were needed",
            'Are these rates? Then multiply by the bin size; or pass signal="features" for '
            "rates, band power, or features of your own",
        )


def same_units(fitted: NDArray[Any], given: Bins, labelled: bool) -> None:
    """Refuse other units, or the same ones in another order.

    Parameters
    ----------
    fitted : (unit,), labels of the units of the fit.
    given : what came. labelled : it came with labels.
    """
    n, m = len(fitted), given.counts.shape[1]
    if n != m:
        raise ShapeError(
            f"counts has {m} units, X has {m} features, but the decoder is expecting {n} features "
            f"as input",
            f"The {n} units of the fit were needed, in their order",
            "Select them with nr.data.select_units(recording, decoder.units_), put NaN in the "
            "place of a unit that was lost, or fit again",
        )
    if labelled and not np.array_equal(fitted, given.unit):
        missing = [u for u in fitted.tolist() if u not in given.unit.tolist()]
        what = (
            f"Units {missing[:5]} of the fit are not among the counts"
            if missing
            else "The units came in another order than at the fit"
        )
        raise DataError(
            what,
            "The units of the fit were needed, in their order",
            "counts.sel(unit=decoder.units_) puts them in order",
        )
