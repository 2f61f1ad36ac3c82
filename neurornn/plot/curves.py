"""Traces with their fit and events, and the course of a fit."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_clock, check_numbers
from neurornn._core.errors import KindError, NameUnknownError, ShapeError, nearest
from neurornn.plot.style import DATA, EVENT, FIT, new_axes, shown_range, unit_label


def trace(
    data: xr.DataArray,
    *,
    fit: xr.DataArray | None = None,
    events: xr.Dataset | None = None,
    unit: Any = None,
    t_start: float | None = None,
    t_stop: float | None = None,
    title: str | None = None,
    ax: Any = None,
) -> Any:
    """Draw the trace of one unit, with its fit on top and its events below.

    Parameters
    ----------
    data : (time,) or (time, unit).
    fit : the same axes, for example ``kinetics.denoised()``.
    events : Dataset with ``event_time`` (s), ``event_size`` and ``event_unit``, for example
        ``kinetics.events_``.
    unit : label of the unit; by default the first.
    t_start, t_stop : s, range to draw; by default the whole recording.
    title : by default names the unit.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    KindError, ShapeError, DataError, UnitError, NameUnknownError
        No DataArray over time, a fit of other frames, a range without a frame, no such unit.
    """
    one, label, position = _one_unit(data, unit)
    values, time = _values_of(one, "data")
    shown, low, high = shown_range(time, t_start, t_stop)
    curve = None
    if fit is not None:
        curve, stamps = _values_of(_one_unit(fit, unit)[0], "fit")
        if not np.array_equal(stamps, time):
            raise ShapeError(
                f"fit has {len(stamps)} frames and data {len(time)}, or at other times",
                "A fit of the same frames was needed",
                "Cut both to the same time",
            )
    ax = new_axes(ax, (9, 2.8))
    steps = np.diff(time)
    gaps = np.concatenate([[False], steps > 1.5 * np.median(steps)]) if len(steps) else [False]

    def broken(values: Any) -> Any:
        # A gap in the recording is a gap in the line.
        return np.where(gaps, np.nan, values)[shown]

    ax.plot(time[shown], broken(values), color=DATA, lw=0.7, label="data")
    if curve is not None:
        ax.plot(time[shown], broken(curve), color=FIT, lw=1.4, label="fit")
    if events is not None:
        mine = events["event_unit"].values == position
        when = events["event_time"].values[mine]
        size = events["event_size"].values[mine]
        keep = (when >= low) & (when <= high)
        seen = values[shown][np.isfinite(values[shown])]
        bottom, top = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
        span = (top - bottom) or 1.0
        biggest = np.max(size, initial=0.0) or 1.0
        height = 0.14 * span * np.clip(size[keep] / biggest, 0.15, 1)
        base = bottom - 0.2 * span
        ax.vlines(when[keep], base, base + height, color=EVENT, lw=1.2, label="events")
    ax.set(xlabel="time (s)", ylabel=unit_label(data, data.name or "signal"))
    ax.set_xlim(low, high if high > low else low + 1)
    ax.set_title(f"unit {label}" if title is None else title, loc="left")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small")
    return ax


def _one_unit(data: xr.DataArray, unit: Any) -> tuple[xr.DataArray, Any, int]:
    if not isinstance(data, xr.DataArray):
        raise KindError(
            f"data is a {type(data).__name__}",
            "A DataArray (time,) or (time, unit) was needed",
            'Pass a variable of the recording, for example recording["dff"]',
        )
    if "time" not in data.dims or not {*data.dims} <= {"time", "unit"} or not data.size:
        raise ShapeError(
            f"data has dims {tuple(map(str, data.dims))} and shape {data.shape}",
            "A DataArray (time,) or (time, unit) was needed",
            'Pass a variable of the recording, for example recording["dff"]',
        )
    if "unit" not in data.dims:
        return data, "", 0
    labels = data["unit"].values if "unit" in data.coords else np.arange(data.sizes["unit"])
    unit = labels[0] if unit is None else unit
    where = np.flatnonzero(labels == unit)
    if not len(where):
        raise NameUnknownError(
            f"There is no unit {unit!r}",
            "The label of a unit was needed",
            nearest(str(unit), map(str, labels)),
        )
    return data.isel(unit=int(where[0])), unit, int(where[0])


def _values_of(one: xr.DataArray, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and time stamps (s) of one trace; without stamps the number of the frame."""
    values = check_numbers(one, name, missing=True)
    if "time" not in one.coords:
        return values, np.arange(len(values), dtype=float)
    return values, check_clock(one["time"].values, f"time of {name}")


def history(table: xr.Dataset | Any, *, ax: Any = None) -> Any:
    """Draw the loss of a fit against epochs.

    Parameters
    ----------
    table : Dataset over ``epoch`` with ``loss`` and ``validation_loss`` (``result.history``), or
        the result itself.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    table = table if isinstance(table, xr.Dataset) else table.history
    ax = new_axes(ax, (5, 3.2))
    epoch = table["epoch"].values
    ax.plot(
        epoch,
        table["loss"].values,
        color=DATA,
        marker="." if len(epoch) < 30 else "",
        label="training",
    )
    if "validation_loss" in table and np.isfinite(table["validation_loss"]).any():
        values = table["validation_loss"].values
        ax.plot(epoch, values, color=FIT, label="validation")
        best = int(np.nanargmin(values))
        ax.plot(epoch[best], values[best], "o", color=EVENT, label="best")
    if np.nanmin(table["loss"].values) > 0:
        ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel="loss")
    ax.legend(frameon=False, fontsize="small")
    return ax
