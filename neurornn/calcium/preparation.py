"""From raw fluorescence to dF/F: neuropil, camera offset, running baseline."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_number, check_positive
from neurornn._core.errors import DataError, ShapeError, UnitWarning
from neurornn._core.status import Status, status_variable
from neurornn._core.units import format_number
from neurornn._core.warning import warn_user
from neurornn.data.labelled import as_labelled
from neurornn.data.recording import TIME_CONVENTION
from neurornn.data.samples import Samples
from neurornn.data.series import as_series

#: A window longer than this (s) is taken for a number of frames or of milliseconds.
_LONGEST_WINDOW = 600.0
#: A window shorter than this (s) is as short as a transient.
_SHORTEST_WINDOW = 2.0
#: Fraction of the frames at the largest value from which a unit counts as clipped.
_CLIPPED = 0.01
#: Frames below which no fraction of 1 % can be judged.
_FEWEST_FRAMES = 200
#: Units that are named in a message before it says how many more there are.
_MAX_NAMED = 8


def dff(
    fluorescence: Any,
    *,
    sampling_rate: float | None = None,
    window: float = 60.0,
    percentile: float = 8.0,
    offset: float = 0.0,
) -> xr.DataArray:
    """Relative change of fluorescence over a running low percentile, dF/F.

    Parameters
    ----------
    fluorescence : DataArray (time, unit) or (time,), or array (time, unit)
        Raw fluorescence, camera counts say; NaN where a frame is missing.
    sampling_rate : Hz
        Needed for a plain array.
    window : s
        Width of the centred window of the baseline. Many times the decay of the indicator, and
        shorter than the drift.
    percentile : percent, above 0 and below 100
        Which percentile of the window is the baseline.
    offset : unit of the fluorescence
        Camera offset (or dark level), subtracted first: it does not come from the cell, and
        leaving it in makes dF/F too small.

    Returns
    -------
    DataArray (time, unit)
        ``(F - offset - F0) / F0``, with ``units`` 1, the sampling rate, the indicator and a
        ``method`` in its attrs and a ``status (unit)`` coordinate: ok, clipped (wrapped
        around too), baseline_near_zero, constant, no_data.

    Raises
    ------
    DataError
        A baseline at or below zero, with the units in question.
    KindError, ShapeError, UnitError
        Axes or rates that do not fit.

    Warns
    -----
    UserWarning
        More than 1 % of a unit's frames sit at its largest value, whole numbers wrapped around, or
        F0 falls below the noise of a frame.
    UnitWarning
        `window` looks like frames, milliseconds or minutes.

    See Also
    --------
    subtract_neuropil : to be done before.
    Kinetics : takes the result.

    Notes
    -----
    The percentile is exact at every frame (linear between order statistics, missing frames left
    out). Windows end at gaps: each gapless block is reflected at its edges, and a block no longer
    than the window gets one baseline. In white noise of standard deviation s a cell at rest has
    its 8th percentile 1.4 s below its mean, so F0 is low by up to that, and dF/F lies up to
    1.4 s / F0 above 0 at rest; transients raise the percentile. `Kinetics` fits a baseline of its
    own and is not moved by a shift; all its sizes are in units of this F0.

    Examples
    --------
    >>> import numpy as np
    >>> import neurornn as nr
    >>> raw = np.full(600, 200.0)
    >>> raw[300:305] = 300.0
    >>> trace = nr.calcium.dff(raw, sampling_rate=10.0, offset=100.0)
    >>> float(trace.max()), trace.attrs["units"]
    (1.0, '1')
    """
    fluorescence = as_labelled(fluorescence)
    traces = as_series(fluorescence, sampling_rate=sampling_rate)
    window = _check_window(window, traces.sampling_rate)
    percentile = check_number(percentile, "percentile", "percent")
    offset = check_number(offset, "offset")
    if not 0 < percentile < 100:
        raise DataError(
            f"percentile is {percentile:g}",
            "A number of percent between 0 and 100 was needed",
            "Pass 8.0, or 50.0 for the median"
            + (f"; was {100 * percentile:g} meant?" if percentile == 0 else ""),
        )
    status = _judge(traces, _dtype_of(fluorescence))
    signal = traces.values - float(offset)
    baseline = np.empty_like(signal)
    n_window = max(3, 2 * int(window * traces.sampling_rate / 2) + 1)
    for begin, end in traces.blocks:
        baseline[begin:end] = running_percentile(signal[begin:end], n_window, percentile)
    _check_baseline(signal, baseline, traces, float(offset))
    status = _judge_baseline(signal, baseline, traces, status)
    attrs = dict(fluorescence.attrs) if isinstance(fluorescence, xr.DataArray) else {}
    attrs.update(
        units="1",
        long_name="dF/F",
        sampling_rate=traces.sampling_rate,
        method=(
            f"(F - offset - F0) / F0, F0 the running {percentile:g}th percentile of "
            f"{window:g} s, offset {offset:g}"
        ),
    )
    return _labelled((signal - baseline) / baseline, traces, "dff", attrs, status)


def subtract_neuropil(
    fluorescence: Any,
    neuropil: Any,
    coefficient: float = 0.7,
    *,
    sampling_rate: float | None = None,
) -> xr.DataArray:
    """Fluorescence of a cell without the light of its surroundings.

    Parameters
    ----------
    fluorescence, neuropil : DataArray (time, unit) or array (time, unit), the same unit
        Mean over the pixels of each cell, and over a ring around it.
    coefficient : from 0 to 1
        How much of the light of the ring also falls on the cell.
    sampling_rate : Hz, needed for plain arrays.

    Returns
    -------
    DataArray (time, unit)
        ``F - coefficient * neuropil`` as floats, with the attrs of `fluorescence`; NaN where
        either is missing.

    Raises
    ------
    ShapeError
        Axes or unit labels that differ.
    DataError
        A coefficient outside 0 to 1.

    Notes
    -----
    A camera offset is in both, so ``1 - coefficient`` of it is left: pass that to `dff`, or
    subtract it from both first.

    Examples
    --------
    >>> import numpy as np
    >>> cell, ring = np.array([[9.0], [9], [16], [9]]), np.array([[10.0], [10], [20], [10]])
    >>> subtract_neuropil(cell, ring, sampling_rate=10.0).values.ravel()
    array([2., 2., 2., 2.])
    """
    coefficient = check_number(coefficient, "coefficient")
    if not 0 <= coefficient <= 1:
        raise DataError(
            f"coefficient is {coefficient:g}",
            "A number from 0 to 1 was needed",
            "Pass 0.7, or the share of the surrounding light that falls on a cell",
        )
    fluorescence, neuropil = as_labelled(fluorescence), as_labelled(neuropil)
    cell = as_series(fluorescence, sampling_rate=sampling_rate)
    ring = as_series(
        neuropil,
        sampling_rate=None if _states_rate(neuropil) else cell.sampling_rate,
        name="neuropil",
    )
    if cell.values.shape != ring.values.shape or not np.array_equal(cell.unit, ring.unit):
        raise ShapeError(
            f"fluorescence has shape {cell.values.shape} and units {_named(cell.unit)}, neuropil "
            f"{ring.values.shape} and units {_named(ring.unit)}",
            "One neuropil trace for every fluorescence trace, in the same order, was needed",
            "Select the same units and frames from both",
        )
    if not np.allclose(cell.clock, ring.clock, rtol=0, atol=0.5 / cell.sampling_rate):
        raise ShapeError(
            f"The frames of fluorescence start at {cell.clock[0]:g} s and those of neuropil at "
            f"{ring.clock[0]:g} s, or differ later",
            "The same frames of both were needed",
            "Select the same time range from both",
        )
    attrs = dict(fluorescence.attrs) if isinstance(fluorescence, xr.DataArray) else {}
    attrs.update(
        sampling_rate=cell.sampling_rate,
        method=f"neuropil subtracted, coefficient {coefficient:g}",
    )
    return _labelled(cell.values - coefficient * ring.values, cell, "fluorescence", attrs)


def running_percentile(
    values: NDArray[np.float64], n_window: int, percentile: float
) -> NDArray[np.float64]:
    """Percentile of a centred window at every frame of one block, NaN left out.

    Parameters
    ----------
    values : (time, unit), one gapless block.
    n_window : frames, odd.
    percentile : percent.

    Returns
    -------
    array (time, unit); NaN where a window holds no frame.
    """
    n = len(values)
    if n <= n_window:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            whole = np.nanpercentile(values, percentile, axis=0)
        return np.broadcast_to(whole, values.shape)
    half = n_window // 2
    padded = np.pad(values, ((half, half), (0, 0)), mode="reflect")
    rolling = pd.DataFrame(padded).rolling(n_window, min_periods=1)
    # The window of pandas ends at its row; it is centred on the frame half a window before.
    return np.asarray(rolling.quantile(percentile / 100))[2 * half :]


def _check_window(window: float, rate: float) -> float:
    window = check_positive(window, "window", "s")
    from_frames = window / rate
    if window > _LONGEST_WINDOW:
        warn_user(
            f"window is {window:g} s. Are these frames or ms? Then pass "
            f"{format_number(from_frames)} or {format_number(window / 1000)}.",
            UnitWarning,
        )
    elif window < _SHORTEST_WINDOW:
        warn_user(
            f"window is {window:g} s, as short as a transient: F0 follows the signal. "
            f"Are these minutes? Then pass {60 * window:g}.",
            UnitWarning,
        )
    return window


def _dtype_of(data: Any) -> np.dtype[Any]:
    kind = getattr(data, "dtype", None)
    return kind if isinstance(kind, np.dtype) else np.dtype(np.float64)


def _states_rate(data: Any) -> bool:
    return isinstance(data, xr.DataArray) and (
        "sampling_rate" in data.attrs or ("time" in data.coords and data.sizes["time"] > 1)
    )


def _judge(traces: Samples, dtype: np.dtype[Any]) -> list[str]:
    """Status of every unit; warns of clipped ones and of whole numbers that wrapped around."""
    seen = ~np.isnan(traces.values)
    n_seen = seen.sum(axis=0)
    filled = np.where(seen, traces.values, -np.inf)
    top = filled.max(axis=0)
    low = np.where(seen, traces.values, np.inf).min(axis=0)
    n_top = (filled == top).sum(axis=0)
    clipped = (n_top > _CLIPPED * n_seen) & (top > low) & (n_seen >= _FEWEST_FRAMES)
    # In a coarse scale many frames share any value; those that were cut off pile up on the last.
    below = np.where(filled == top, -np.inf, filled)
    piled = n_top > 2 * (below == below.max(axis=0)).sum(axis=0)
    wrapped = np.zeros(len(n_seen), bool)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        half = (float(limits.max) - float(limits.min)) / 2
        steps = np.diff(traces.values, axis=0)
        wrapped = (steps.max(axis=0) > half) & (steps.min(axis=0) < -half)
        piled |= top == limits.max
    clipped &= piled & ~wrapped
    _warn_of(
        clipped,
        traces,
        "are clipped: more than 1 % of their frames sit at the largest value",
        "Lower the gain or the light: the tops of their transients are lost.",
    )
    _warn_of(
        wrapped,
        traces,
        f"jump up and down by more than half the range of {dtype} from frame to frame",
        "Whole numbers wrap around at their limit: convert to float before adding or subtracting.",
    )
    status = np.full(len(n_seen), str(Status.OK), dtype=object)
    status[clipped | wrapped] = str(Status.CLIPPED)
    status[top == low] = str(Status.CONSTANT)
    status[n_seen == 0] = str(Status.NO_DATA)
    return [str(s) for s in status]


def _warn_of(which: NDArray[np.bool_], traces: Samples, what: str, remedy: str) -> None:
    if which.any():
        warn_user(
            f"{int(which.sum())} of {len(which)} units {what} (units "
            f"{_named(traces.unit[which])}). {remedy}",
            UserWarning,
        )


def _check_baseline(
    signal: NDArray[np.float64], baseline: NDArray[np.float64], traces: Samples, offset: float
) -> None:
    bad = np.any((baseline <= 0) & ~np.isnan(signal), axis=0)
    if not bad.any():
        return
    least = float(np.nanmin(baseline[:, bad]))
    raise DataError(
        f"The baseline F0 falls to {format_number(least)} in {int(bad.sum())} of {len(bad)} units "
        f"(units {_named(traces.unit[bad])}), after an offset of {offset:g}",
        "A baseline above 0 was needed to divide by",
        "Is this dF/F already? Then use it as it is. If not, give the offset of the camera as it "
        "is in these data (offset=, negative where too much was subtracted), lower the neuropil "
        "coefficient, or leave these units out",
    )


def _judge_baseline(
    signal: NDArray[np.float64],
    baseline: NDArray[np.float64],
    traces: Samples,
    status: list[str],
) -> list[str]:
    """Status of every unit, with a warning of those whose F0 is lost in the noise of a frame."""
    steps = np.concatenate([np.diff(signal[a:b], axis=0) for a, b in traces.blocks])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        # The median absolute step: rare jumps hardly move it.
        noise = 1.4826 / np.sqrt(2) * np.nanmedian(np.abs(steps), axis=0)
        lowest = np.nanmin(np.where(np.isnan(signal), np.nan, baseline), axis=0)
    lost = (lowest < noise) & (np.array(status) == str(Status.OK))
    _warn_of(
        lost,
        traces,
        "have an F0 below the noise of one frame: their dF/F is a quotient of two noises",
        "Fit the fluorescence itself, or check offset and neuropil coefficient.",
    )
    return [
        str(Status.BASELINE_NEAR_ZERO) if bad else code
        for bad, code in zip(lost, status, strict=True)
    ]


def _named(units: NDArray[Any]) -> str:
    text = ", ".join(str(u) for u in units[:_MAX_NAMED])
    more = len(units) - _MAX_NAMED
    return text + (f" and {more} more" if more > 0 else "")


def _labelled(
    values: NDArray[np.float64],
    traces: Samples,
    name: str,
    attrs: dict[str, Any],
    status: list[str] | None = None,
) -> xr.DataArray:
    coords: dict[str, Any] = {
        "time": ("time", traces.clock, {"units": "s", "convention": TIME_CONVENTION}),
        "unit": ("unit", traces.unit),
    }
    if status is not None:
        coords["status"] = status_variable("unit", status)
    return xr.DataArray(values, dims=("time", "unit"), coords=coords, attrs=attrs, name=name)
