"""What a decoder takes: counts and targets, in one form, with what is wrong said clearly."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import (
    check_finite_or_missing,
    check_labels,
    check_numbers,
    check_positive,
)
from neurornn._core.errors import DataError, KindError, ShapeError, UnitError
from neurornn._core.units import symbol
from neurornn.data.clocked import with_clocks
from neurornn.data.foreign import kind_of
from neurornn.data.labelled import SAMPLED, as_labelled
from neurornn.data.recording import sampling_rate_of
from neurornn.data.rows import as_samples, is_list_of_trials
from neurornn.data.samples import Samples, joined

#: Bins may differ from those of the fit by so much, as a share.
CLOCK_TOLERANCE = 0.01


def as_bins(
    counts: Any,
    targets: Any = None,
    *,
    trials: ArrayLike | None = None,
    bin_size: float,
    signal: str = "counts",
    labelled: bool = False,
) -> Samples:
    """Check counts and targets and bring them to one form.

    Parameters
    ----------
    counts : (time, unit), (trial, time, unit), list of (time, unit), or DataArray of these dims
        A ``mask (trial, time)`` coordinate drops bins, a gap in ``time`` is a join. The columns
        of a pandas DataFrame name the units, but for a plain range of numbers, and its index is
        taken where it holds times; so are those of a Tsd or TsdFrame and of neo signals. Spike
        trains under their labels (a dict, a TsGroup, a list of Ts or SpikeTrains) are counted on
        the clock of the targets, or in bins of `bin_size` where these have none.
    targets : the same with outputs in place of units; (time,) for one; None for prediction.
        The unit is read from ``attrs["units"]`` of a DataArray, or per output from its coordinate
        ``output_units (output)``.
    trials : (time,), label of the trial of each bin; a change is a join.
    bin_size : s, that of the decoder.
    signal : ``"counts"``, whole numbers of at least 0, or ``"features"``, any numbers.
    labelled : the targets are labels of classes.

    Raises
    ------
    KindError, ShapeError, UnitError, DataError
        Each says what came, what was needed and what to do.
    """
    if is_list_of_trials(counts):
        if trials is not None:
            raise KindError(
                "A list of trials came together with trials=",
                "One of the two was needed",
                "Leave trials= out",
            )
        return _joined(counts, targets, bin_size=bin_size, signal=signal, labelled=labelled)
    counts, targets = with_clocks(counts, targets, bin_size=bin_size)
    _check_clock(counts, bin_size)
    unit, output, units = _labels(counts, "unit"), _labels(targets, "output"), ""
    if isinstance(targets, xr.DataArray):
        units = units_of(targets)
    if isinstance(counts, xr.DataArray):
        counts = _in_order(counts)
        _check_same_clock(counts, targets, bin_size)
    values = _numbers(counts, "counts")
    if values.ndim not in (2, 3):
        raise ShapeError(
            f"counts has shape {values.shape}",
            "Shape (time, unit) or (trial, time, unit) was needed",
            "Reshape your data: reshape(-1, 1) for one unit, reshape(1, -1) for one bin",
        )
    if values.size == 0:
        raise DataError(
            f"counts is empty: {len(values)} sample(s), {values.shape[-1]} "
            f"feature(s) (shape={values.shape}) while a minimum of 1 is required",
            "At least one bin of one unit was needed",
            "Check the selection of units and of time",
        )
    if not isinstance(counts, xr.DataArray):
        counts = values
        if values.ndim == 3:
            counts = xr.DataArray(values, dims=("trial", "time", "unit"))
    known = None if targets is None else _as_targets(targets, labelled)
    rows = as_samples(counts, known, trials)
    # Bins that are masked are a hole: what follows starts anew.
    rows = rows if rows.mask is None else rows.pick(rows.mask)
    _check_counts(rows.values, signal)
    y = rows.targets
    if y is not None and not labelled:
        y = y.astype(np.float64).reshape(len(y), -1)
        check_finite_or_missing(y, "targets")
    return rows._replace(
        values=np.array(rows.values),
        targets=y,
        unit=rows.unit if unit is None else unit,
        output=rows.output if output is None else output,
        units=units,
        sampling_rate=1 / bin_size,
        mask=None,
        units_named=unit is not None,
        outputs_named=output is not None,
    )


def _as_targets(targets: Any, labelled: bool) -> NDArray[Any]:
    if isinstance(targets, xr.DataArray):
        targets = _in_order(targets).values
    if labelled:
        labels = check_labels(targets, "labels of targets")
        return _of_one_kind(labels, "targets")
    return _numbers(targets, "targets")


def units_of(targets: xr.DataArray) -> str:
    """Unit of the targets: of all, or one per output as the coordinate ``output_units`` has it."""
    if "output_units" not in targets.coords:
        return symbol(str(targets.attrs.get("units", "")))
    each = [symbol(str(u)) for u in np.ravel(targets["output_units"].values)]
    return each[0] if len(set(each)) == 1 else ", ".join(each)


def _in_order(array: xr.DataArray) -> xr.DataArray:
    """Bring trial and time to the front; what comes after them is one axis."""
    front = [d for d in ("trial", "time") if d in array.dims]
    return array.transpose(*front, ...)


def _joined(
    counts: Sequence[Any], targets: Any, *, bin_size: float, signal: str, labelled: bool
) -> Samples:
    """Lay trials of different lengths one after the other."""
    n = len(counts)
    if targets is not None and (not isinstance(targets, list | tuple) or len(targets) != n):
        came = len(targets) if isinstance(targets, list | tuple) else "no list"
        raise ShapeError(
            f"{n} trials of counts and {came} of targets came",
            "A list of trials in both was needed, of the same lengths",
            "Pass targets as a list with the targets of every trial",
        )
    sizes = sorted({np.shape(c)[1] for c in counts})
    if len(sizes) > 1:
        raise ShapeError(
            f"The trials have {', '.join(map(str, sizes))} units",
            "The same units in every trial were needed",
            "Select the units they share, or pass NaN where one was not recorded",
        )
    parts: list[Samples] = []
    for k, trial in enumerate(counts):
        y = None if targets is None else targets[k]
        if y is not None and len(y) != len(trial):
            raise ShapeError(
                f"Trial {k} has {len(trial)} bins and {len(y)} targets, they differ in length",
                "One target for each bin of each trial was needed",
                "Bring the targets onto the bins with data.resample_to",
            )
        if len(trial):
            parts.append(as_bins(trial, y, bin_size=bin_size, signal=signal, labelled=labelled))
    if not parts:
        return as_bins(np.zeros((0, sizes[0])), bin_size=bin_size, signal=signal)
    return joined(parts)


def _labels(array: Any, name: str) -> NDArray[Any] | None:
    if not isinstance(array, xr.DataArray):
        # A DataFrame of pandas, which need not be installed.
        columns = getattr(array, "columns", None)
        if columns is None or type(columns).__name__ == "RangeIndex":
            return None
        return _of_one_kind(np.asarray(columns), name)
    rest = [d for d in array.dims if d not in ("trial", "time")]
    if len(rest) == 1 and rest[0] in array.coords:
        return _of_one_kind(np.asarray(array[rest[0]].values), name)
    return None


def _of_one_kind(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Labels as text, whole numbers, floats or truth values, which a file gives back as such."""
    if labels.dtype.kind in "biufU":
        return labels
    flat = labels.ravel().tolist()
    for kinds in ((str,), (bool, np.bool_), (int, np.integer), (float, np.floating)):
        alike = labels.dtype.kind in "OT" and all(isinstance(x, kinds) for x in flat)
        if alike and not (kinds[0] is int and any(isinstance(x, bool) for x in flat)):
            plain = np.array(flat).reshape(labels.shape)
            if plain.dtype.kind in "biufU":
                return plain
    what = ", ".join(sorted({type(x).__name__ for x in flat}))
    raise DataError(
        f"The labels of {name} are {labels.dtype}, for example {flat[0]!r} ({what})",
        "Labels of one kind that a file can keep were needed: text, whole numbers, numbers or "
        "truth values",
        "Convert them, for example [str(label) for label in labels]",
    )


def _numbers(values: Any, name: str) -> NDArray[Any]:
    if hasattr(values, "toarray"):
        raise KindError(
            f"{name} is a sparse matrix",
            "A dense array was needed; sparse data is not supported",
            f"Pass {name}.toarray()",
        )
    if isinstance(values, xr.Dataset | Mapping):
        raise KindError(
            f"{name} is a {type(values).__name__} with {', '.join(map(str, list(values)[:5]))}",
            "One array of numbers was needed",
            f"Pass one variable, for example recording[{name!r}]",
        )
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind == "c":
        raise DataError(
            f"{name} holds complex numbers; Complex data not supported",
            "Real numbers were needed",
            "Pass their real part or their size",
        )
    if kind in ("U", "S"):
        text = np.asarray(values)
        raise KindError(
            f"{name} is an array of text, {text.dtype}, for example {text.ravel()[:1].tolist()}",
            "Numbers were needed",
            f"Convert it, {name}.astype(float); labels are for a TargetDecoder or a "
            "RecurrentClassifier",
        )
    if kind == "O":
        odd = [x for x in np.asarray(values).ravel() if not isinstance(x, Real | np.bool_)]
        if odd:
            raise KindError(
                f"{name} is an array of objects: argument must be a string or a real number, not "
                f"{type(odd[0]).__name__!r}",
                "Numbers were needed",
                "Bin the spikes with nr.data.bin_spikes(recording, bin_size)",
            )
    return check_numbers(values, name)


def _check_clock(counts: Any, bin_size: float) -> None:
    """Refuse bins of another width than the decoder's."""
    for what, width in stated_widths(counts):
        check_bin_width(width, bin_size, what)


def stated_widths(counts: Any) -> list[tuple[str, float]]:
    """Widths of the bins in s that counts state, each with the place where they do.

    Raises
    ------
    UnitError, DataError
        Widths or time stamps that are no numbers in s.
    """
    widths: list[tuple[str, float]] = []
    counts = as_labelled(counts) if kind_of(counts) in SAMPLED else counts
    if not isinstance(counts, xr.DataArray):
        return widths
    if counts.attrs.get("bin_size") is not None or counts.attrs.get("sampling_rate") is not None:
        stated = counts.attrs.get("bin_size")
        if stated is not None:
            stated = check_positive(stated, "attrs['bin_size']", "s")
        widths.append(("attrs", 1 / sampling_rate_of(counts) if stated is None else stated))
    if "time" in counts.coords and counts["time"].ndim == 1:
        stamps = counts["time"].values
        if stamps.dtype.kind not in "biuf":
            raise UnitError(
                f"The time of the counts holds {stamps.dtype} values",
                "Time stamps in s as floats were needed",
                'Convert them: time / np.timedelta64(1, "s")',
            )
        if not np.isfinite(stamps).all():
            raise DataError(
                f"{int((~np.isfinite(stamps)).sum())} time stamps of the counts are not finite",
                "A time stamp in s for every bin was needed",
                "Drop those bins: a gap in time is a join",
            )
        if len(stamps) > 1:
            widths.append(("time stamps", float(np.median(np.diff(stamps)))))
    return widths


def check_bin_width(width: float, bin_size: float, what: str) -> None:
    """Refuse bins of another width than those of the fit, both in s."""
    if abs(width / bin_size - 1) > CLOCK_TOLERANCE:
        raise UnitError(
            f"The counts are in bins of {width:g} s ({what}), the decoder's of {bin_size:g} s",
            "Bins of the same width were needed",
            f"Bin the spikes again with nr.data.bin_spikes(recording, {bin_size:g}), or make "
            f"the decoder with bin_size={width:g}",
        )


def _check_same_clock(counts: xr.DataArray, targets: Any, bin_size: float) -> None:
    """Refuse targets whose time stamps are those of other bins."""
    if not isinstance(targets, xr.DataArray) or "time" not in targets.coords:
        return
    if "time" not in counts.coords or counts["time"].shape != targets["time"].shape:
        return
    away = np.abs(counts["time"].values - targets["time"].values)
    # Half a bin apart is another bin.
    if away.size and float(away.max()) > 0.5 * bin_size:
        raise UnitError(
            f"The time stamps of counts and targets differ by up to {float(away.max()):g} s",
            "Targets on the clock of the counts were needed, bin by bin",
            "Bring them onto the bins with data.resample_to; a lag is a setting of the decoder",
        )


def _check_counts(values: NDArray[np.float64], signal: str) -> None:
    """Refuse what is no count, where counts were promised."""
    check_finite_or_missing(values, "counts")
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


def same_units(fitted: NDArray[Any], given: Samples, labelled: bool) -> None:
    """Refuse other units, or the same ones in another order.

    Parameters
    ----------
    fitted : (unit,), labels of the units of the fit.
    given : what came. labelled : it came with labels, as `given` may say itself.
    """
    labelled = labelled or given.units_named
    check_unit_labels(fitted, given.values.shape[1], given.unit if labelled else None)


def check_unit_labels(fitted: NDArray[Any], m: int, given: NDArray[Any] | None) -> None:
    """Refuse another number of units than at the fit, others, or another order.

    Parameters
    ----------
    fitted : (unit,), labels of the units of the fit.
    m : units that came. given : their labels, where they have any.
    """
    n = len(fitted)
    if n != m:
        raise ShapeError(
            f"counts has {m} units (X has {m} features, but decoder is expecting {n} features as "
            "input)",
            f"The {n} units of the fit were needed, in their order",
            "Select them with nr.data.select_units(recording, decoder.units_), put NaN in the "
            "place of a unit that was lost, or fit again",
        )
    if given is not None and not np.array_equal(fitted, given):
        missing = [u for u in fitted.tolist() if u not in given.tolist()]
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
