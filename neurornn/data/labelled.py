"""Tables and series of pandas, pynapple and neo as arrays with their times, labels and units."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import SLOWEST_FRAME, check_numbers
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.units import symbol
from neurornn.data.centres import SHARE, TICK, bin_width, check_samples, step_of
from neurornn.data.foreign import (
    in_unit,
    index_times,
    kept_columns,
    kind_of,
    number_in,
    values_of,
)
from neurornn.data.trains import half_open, refuse, support_of

#: Kinds that `as_labelled` takes.
SAMPLED = ("tsd", "frame", "analog", "irregular", "table", "column")


def as_labelled(thing: Any, *, bins: bool | None = None, sure: bool = False) -> Any:
    """Return a table or a series with its times and labels; everything else as it came.

    Parameters
    ----------
    thing : a pandas DataFrame or Series (the index as times where it holds them, the columns as
        labels), a Tsd or TsdFrame of pynapple, a signal of neo; of an array of the package
        quantities the plain numbers are returned, as an array.
    bins : of pynapple, whether its times are the centres of bins; by default what the object
        itself says, see `bin_width`.
    sure : spikes are to be counted at these times, so that half a bin matters: what may be
        either, samples or bins, is asked about.

    Returns
    -------
    DataArray (time,) or (time, unit)
        ``time`` in s where it is known, the end of the bin for binned values, whose ``bin_size``
        (s) stands in the attrs; ``units``, and ``sampling_rate`` (Hz) of a neo signal.

    Raises
    ------
    KindError, ShapeError, DataError, UnitError
        A tensor; an object of another kind; values of a cut support of which nothing says whether
        they are bins; times of no unit of time.
    """
    kind = kind_of(thing)
    if kind is None:
        return thing
    if kind == "quantity":
        # Values in any unit are values; times in one are asked for in s where they are checked.
        return np.asarray(thing.magnitude)
    if kind in ("table", "column"):
        return _of_table(thing)
    if kind in ("analog", "irregular"):
        return _of_signal(thing)
    if kind in ("tsd", "frame"):
        return _of_tsd(thing, bins, sure)
    if kind == "tensor":
        raise tensor_refused(thing)
    raise refuse(thing, "An array or a table of values was needed: (time,) or (time, unit)")


def tensor_refused(thing: Any) -> ShapeError:
    """Return the error for a TsdTensor."""
    shape = np.asarray(values_of(thing)).shape
    return ShapeError(
        f"A TsdTensor of shape {shape} came",
        "Values over time of units, (time,) or (time, unit), were needed",
        "Choose a part or take a mean: tensor[:, 0] is a TsdFrame, "
        "tensor.values.reshape(len(tensor), -1) an array for nr.data.from_traces",
    )


def _of_table(table: Any) -> xr.DataArray:
    # Words may be labels of classes; whoever needs numbers asks for them.
    values = np.asarray(table)
    time = index_times(table)
    coords: dict[str, Any] = {} if time is None else {"time": time}
    attrs: dict[str, Any] = {}
    columns = getattr(table, "columns", None)
    if columns is not None and type(columns).__name__ != "RangeIndex":
        coords["unit"] = _plain_labels(columns)
    return xr.DataArray(values, dims=("time", "unit")[: values.ndim], coords=coords, attrs=attrs)


def _plain_labels(columns: Any) -> NDArray[Any]:
    labels = np.asarray(columns)
    if labels.dtype.kind == "O" and all(isinstance(x, str) for x in labels):
        return labels.astype(str)
    if labels.dtype.kind == "O" and any(isinstance(x, tuple) for x in labels):
        raise KindError(
            f"The labels of unit, columns of a DataFrame, have several levels: {labels[0]!r}, ...",
            "One label for each column was needed",
            "Join them: table.columns = ['_'.join(map(str, c)) for c in table.columns]",
        )
    return labels


def _of_signal(signal: Any) -> xr.DataArray:
    values = np.asarray(signal.magnitude)
    values = values.reshape(len(values), -1)
    attrs: dict[str, Any] = {"units": unit_of(signal)}
    if kind_of(signal) == "analog":
        rate = number_in(signal.sampling_rate, "Hz", "sampling_rate")
        start = number_in(signal.t_start, "s", "t_start")
        time = start + np.arange(len(values)) / rate
        attrs["sampling_rate"] = rate
    else:
        time = in_unit(signal.times, "s", "times")
    coords = {"time": time, "unit": channel_names(signal, values.shape[1])}
    return xr.DataArray(values, dims=("time", "unit"), coords=coords, attrs=attrs)


def unit_of(signal: Any) -> str:
    """Return the unit of the values of a neo signal as text; 1 where they have none."""
    text = str(getattr(getattr(signal, "dimensionality", None), "string", "1"))
    return "1" if text == "dimensionless" else symbol(text)


def channel_names(signal: Any, n: int) -> NDArray[Any]:
    """Return the names of the channels of a neo signal, or their numbers."""
    notes = getattr(signal, "array_annotations", None) or {}
    for key in ("channel_names", "channel_ids"):
        names = notes.get(key)
        if names is not None and len(names) == n and len(set(map(str, names))) == n:
            return np.array([str(x) for x in names])
    return np.arange(n)


def _of_tsd(series: Any, bins: bool | None, sure: bool) -> xr.DataArray:
    time = np.asarray(series.t, dtype=float)
    found = values_of(series)
    values = check_numbers(found, "the values")
    whole = np.asarray(found).dtype.kind in "biu"
    width = _stated_width(time, support_of(series), bins)
    if width is None and bins is None:
        check_samples(time, support_of(series), values, whole=whole, sure=sure)
    attrs: dict[str, Any] = {}
    coords: dict[str, Any] = {"time": time}
    if width is not None:
        ends = time + width / 2
        ranges = half_open(support_of(series), np.empty(0))
        values, outside = _observed_only(values, ends, width, ranges)
        coords["time"] = ends
        attrs = {"bin_size": width}
        attrs |= {"spikes_outside": outside} if outside else {}
    if whole and not np.isnan(values).any():
        values = values.astype(np.int64)
    if values.ndim == 2:
        coords["unit"] = _plain_labels(series.columns)
        extra, left = kept_columns(getattr(series, "metadata", None), values.shape[1])
        named = extra.pop("unit", None)
        if named is not None and len(set(named.tolist())) == len(named):
            coords["unit"] = named
        for name, column in extra.items():
            if name in ("time", "rate"):
                left.append(name)
            else:
                coords[name] = ("unit", column)
        attrs |= {"not_read": ", ".join(left)} if left else {}
    return xr.DataArray(values, dims=("time", "unit")[: values.ndim], coords=coords, attrs=attrs)


def _stated_width(
    time: NDArray[np.float64], support: NDArray[np.float64], bins: bool | None
) -> float | None:
    """Return the width of the bins whose centres the times are, s, or None for samples."""
    if bins is False:
        return None
    width = bin_width(time, support)
    if bins and width is None:
        width = step_of(time)
        if width is None:
            raise DataError(
                f"bins=True came for {len(time)} times that are not evenly spaced",
                "The centres of bins of one width were needed",
                "Leave bins out for samples",
            )
    return width


def is_even(time: NDArray[np.float64]) -> bool:
    """Whether times can be those of frames: nine in ten steps alike, and less than 2 s."""
    if len(time) < 2:
        return False
    steps = np.diff(time)
    middle = float(np.median(steps))
    alike = float(np.mean(np.abs(steps - middle) <= 0.2 * middle))
    return bool(0 < middle < SLOWEST_FRAME and steps.min() > 0 and alike >= 0.9)


def _observed_only(
    values: NDArray[np.float64],
    ends: NDArray[np.float64],
    width: float,
    support: NDArray[np.float64],
) -> tuple[NDArray[np.float64], int]:
    """Put NaN where a bin reaches out of the support; return how much stood there, too."""
    slack = SHARE * width + TICK + 4 * float(np.spacing(abs(ends[-1])))
    at = np.searchsorted(support[:, 0], ends - width + slack, side="right") - 1
    known = (at >= 0) & (ends <= support[np.maximum(at, 0), 1] + slack)
    if known.all():
        return values, 0
    lost = values[~known]
    out = values.copy()
    out[~known] = np.nan
    return out, int(np.nansum(lost))


def sampled_stretches(
    time: NDArray[np.float64], step: float, support: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return the stretches ``(start, stop]`` of samples in several ranges, or None for one.

    A frame stands for the step before its time stamp, so that a range begins a step before it.
    """
    out: list[tuple[float, float]] = []
    for start, stop in support:
        inside = time[(time >= start) & (time <= stop)]
        if not len(inside):
            continue
        begin = float(inside[0]) - step
        out.append((max(begin, out[-1][1]) if out else begin, float(inside[-1])))
    return np.array(out) if len(out) > 1 else None
