"""Traces with their fit and events, and the course of a fit."""

from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import NameUnknownError, ShapeError, nearest
from neurornn.plot.style import DATA, EVENT, FIT, new_axes, unit_label


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
    """
    ax = new_axes(ax, (9, 2.8))
    one, label, position = _one_unit(data, unit)
    time = one["time"].values
    low = time[0] if t_start is None else t_start
    high = time[-1] if t_stop is None else t_stop
    shown = (time >= low) & (time <= high)
    gaps = np.concatenate([[False], np.diff(time) > 1.5 * np.median(np.diff(time))])

    def broken(values: Any) -> Any:
        # A gap in the recording is a gap in the line.
        return np.where(gaps, np.nan, values)[shown]

    ax.plot(time[shown], broken(one.values), color=DATA, lw=0.7, label="data")
    if fit is not None:
        curve, _, _ = _one_unit(fit, unit)
        ax.plot(time[shown], broken(curve.values), color=FIT, lw=1.4, label="fit")
    if events is not None:
        mine = events["event_unit"].values == position
        when = events["event_time"].values[mine]
        size = events["event_size"].values[mine]
        keep = (when >= low) & (when <= high)
        bottom, top = np.nanmin(one.values[shown]), np.nanmax(one.values[shown])
        span = (top - bottom) or 1.0
        biggest = np.max(size, initial=0.0) or 1.0
        height = 0.14 * span * np.clip(size[keep] / biggest, 0.15, 1)
        base = bottom - 0.2 * span
        ax.vlines(when[keep], base, base + height, color=EVENT, lw=1.2, label="events")
    ax.set(xlabel="time (s)", ylabel=unit_label(data, data.name or "signal"), xlim=(low, high))
    ax.set_title(f"unit {label}" if title is None else title, loc="left")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small")
    return ax


def _one_unit(data: xr.DataArray, unit: Any) -> tuple[xr.DataArray, Any, int]:
    if "time" not in data.dims:
        raise ShapeError(
            f"data has dims {tuple(map(str, data.dims))}",
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
