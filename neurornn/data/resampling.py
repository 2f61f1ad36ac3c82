"""Behaviour from its own clock onto the ends of bins, never beyond what was measured."""

from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_choice, check_frame_times, check_number, check_numbers
from neurornn._core.errors import DataError, ShapeError
from neurornn.data.spike_table import EDGE_SLACK, time_attrs


def resample_to(
    variable: xr.DataArray | ArrayLike,
    clock: ArrayLike,
    time: ArrayLike,
    *,
    method: Literal["linear", "mean"] = "linear",
    max_gap: float | None = None,
) -> xr.DataArray:
    """Bring behaviour from its own clock onto the ends of bins; never beyond what was measured.

    Parameters
    ----------
    variable : (sample,) or (sample, ...)
        For example ``recording["position"]``; NaN samples are left out.
    clock : (sample,), s
        For example ``recording["sample_time"]``; must not decrease. Samples with the same stamp
        are averaged.
    time : (time,), s
        Ends of the bins, for example ``counts["time"]``.
    method : ``"linear"`` reads the value at the end of the bin, ``"mean"`` averages the samples
        in ``(time - dt, time]``.
    max_gap : s
        Across a longer pause between samples nothing is interpolated. By default the longer of
        one bin and three sample steps.

    Returns
    -------
    DataArray (time, ...), float64, NaN where nothing was measured.

    Notes
    -----
    Angles are not unwrapped: resample their sine and cosine.
    """
    stamps = check_frame_times(time)
    samples = check_numbers(clock, "clock")
    values = check_numbers(variable, "variable", missing=True)
    if (
        samples.ndim != 1
        or values.ndim < 1
        or values.shape[:1] != samples.shape
        or not len(samples)
    ):
        raise ShapeError(
            f"variable has shape {values.shape} and its clock {samples.shape}",
            "One time stamp (s) for each sample, along the first axis, was needed",
            "Pass the clock of that variable, for example recording['sample_time']",
        )
    if not np.isfinite(samples).all() or np.any(np.diff(samples) < 0):
        raise DataError(
            "The clock runs backwards or is not finite",
            "Time stamps in s that do not decrease were needed",
            "Sort the samples by their stamps, and drop those without one",
        )
    check_choice(method, "method", ("linear", "mean"))
    dt = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
    step = float(np.median(np.diff(samples))) if len(samples) > 1 else 0.0
    reach = (
        max(dt, 3 * step) if max_gap is None else check_number(max_gap, "max_gap", "s", least=0)
    )
    flat = values.reshape(len(samples), int(np.prod(values.shape[1:])))
    columns = [
        _linear(samples, column, stamps, reach)
        if method == "linear"
        else _means(samples, column, stamps, dt)
        for column in flat.T
    ]
    out = np.stack(columns, axis=1) if columns else np.empty((len(stamps), 0))
    labelled = variable if isinstance(variable, xr.DataArray) else None
    others = (
        labelled.dims[1:] if labelled is not None else [f"axis_{k}" for k in range(1, values.ndim)]
    )
    coords: dict[Any, Any] = {"time": ("time", stamps, time_attrs("end of the bin"))}
    attrs: dict[str, Any] = {}
    if labelled is not None:
        coords |= {d: labelled[d].values for d in others if d in labelled.coords}
        attrs = {k: v for k, v in labelled.attrs.items() if k != "sampling_rate"}
    return xr.DataArray(
        out.reshape(len(stamps), *values.shape[1:]),
        dims=("time", *others),
        coords=coords,
        name=None if labelled is None else labelled.name,
        attrs={**attrs, "method": f"{method} on the bin ends"},
    )


def _linear(
    clock: NDArray[np.float64],
    column: NDArray[np.float64],
    stamps: NDArray[np.float64],
    reach: float,
) -> NDArray[np.float64]:
    known = np.isfinite(column)
    if not known.any():
        return np.full(len(stamps), np.nan)
    moment, where = np.unique(clock[known], return_inverse=True)
    level = np.bincount(where, weights=column[known]) / np.bincount(where)
    out = np.interp(stamps, moment, level, left=np.nan, right=np.nan)
    after = np.clip(np.searchsorted(moment, stamps, side="left"), 1, max(1, len(moment) - 1))
    if len(moment) > 1:
        pause = moment[after] - moment[after - 1]
        on_sample = np.isin(stamps, moment)
        out[(pause > reach * (1 + 1e-9)) & ~on_sample] = np.nan
    return out


def _means(
    clock: NDArray[np.float64], column: NDArray[np.float64], stamps: NDArray[np.float64], dt: float
) -> NDArray[np.float64]:
    known = np.isfinite(column)
    total = np.concatenate([[0.0], np.cumsum(column[known])])
    begins = np.concatenate([[stamps[0] - dt], stamps[:-1]]) if len(stamps) else stamps
    # After missing bins the bin before is not there to begin at.
    begins = np.where(stamps - begins > 1.5 * dt, stamps - dt, begins)
    low = np.searchsorted(clock[known], begins + EDGE_SLACK, side="right")
    high = np.searchsorted(clock[known], stamps + EDGE_SLACK, side="right")
    with np.errstate(invalid="ignore"):
        return np.where(high > low, (total[high] - total[low]) / (high - low), np.nan)
