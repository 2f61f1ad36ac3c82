"""The mean event beside the kernel, and what a fit leaves over."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.confidence import CI_BOUND
from neurornn._core.errors import KindError, ShapeError
from neurornn._core.units import format_quantity
from neurornn.plot.style import DATA, EVENT, FIT, new_axes, unit_label

_PANELS = 5


def mean_event(table: xr.Dataset, *, title: str | None = None, ax: Any = None) -> Any:
    """Draw the mean event with its interval, and the fitted kernel with its band on top.

    Parameters
    ----------
    table : Dataset over ``lag`` (s) with ``mean``, ``mean_ci``, ``kernel`` and ``kernel_ci``
        For example ``nr.calcium.event_average(kinetics, trace, unit)``.
    title : by default names the unit and the number of events.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    _check(table, ("mean", "mean_ci", "kernel", "kernel_ci"), "nr.calcium.event_average")
    ax = new_axes(ax, (4.5, 3.2))
    lag = table["lag"].values
    n_events = int(table.attrs.get("n_events", 0))
    ax.axhline(0, color="black", lw=0.6)
    if np.isfinite(table["mean"]).any():
        _band(ax, lag, table["mean_ci"], DATA, 0.3)
        ax.plot(lag, table["mean"].values, ".-", color=DATA, ms=4, lw=0.8, label="mean event")
        _band(ax, lag, table["kernel_ci"], FIT, 0.3)
        ax.plot(lag, table["kernel"].values, color=FIT, lw=1.4, label=_kernel_label(table))
        held = ax.legend(loc="upper right", frameon=False, fontsize="small")
        # A small panel keeps its size and lets the legend overlap it.
        held.set_in_layout(False)
    else:
        _say(ax, "no events")
    name = "per unit of event size" if table.attrs.get("scaled") else "mean event"
    ax.set(xlabel="time since the event (s)", ylabel=unit_label(table["mean"], name))
    if title is None:
        title = f"unit {table.attrs.get('unit', '')}: mean of {n_events} events"
    ax.set_title(title, loc="left", fontsize="medium")
    return ax


def _kernel_label(table: xr.Dataset) -> str:
    lines = []
    for name, told in (("tau_decay", "decay"), ("tau_rise", "rise")):
        value = float(table.attrs.get(name, np.nan))
        if np.isfinite(value):
            low, high = np.asarray(table.attrs.get(f"{name}_ci", (np.nan, np.nan)), dtype=float)
            # The interval on a line of its own: the corner for the legend is narrow.
            text = format_quantity(value, "s", low, high).replace(" [", "\n[")
            lines.append(f"{told} {text}")
    return "\n".join(["kernel", *lines])


def residual_checks(
    table: xr.Dataset, *, axes: Sequence[Any] | NDArray[np.object_] | None = None
) -> Any:
    """Draw what a fit leaves over: over time, distribution, autocorrelation, structure.

    Parameters
    ----------
    table : ``nr.calcium.residual_table(kinetics, trace, unit)``.
    axes : five matplotlib axes; by default those of a new figure.

    Returns
    -------
    array of the five axes
        Residual over time; quantiles against normal; autocorrelation; mean residual around
        events; residual against the fitted value. The title of a panel whose check failed is
        vermilion and gives the deviation over its limit.
    """
    _check(table, ("residual", "quantile", "autocorrelation"), "nr.calcium.residual_table")
    if axes is None:
        axes = _new_panels()
    panels = np.asarray(axes, dtype=object).ravel()
    if len(panels) != _PANELS:
        raise ShapeError(
            f"{len(panels)} axes came", f"{_PANELS} axes were needed", "Leave out axes="
        )
    draw = (_over_time, _quantiles, _autocorrelation, _around_events, _against_fitted)
    for ax, panel in zip(panels, draw, strict=True):
        panel(table, new_axes(ax, (4, 3)))
    return panels


def _new_panels() -> Any:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(10, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 3)
    places = [grid[0, :2], grid[0, 2], *(grid[1, k] for k in range(3))]
    return [figure.add_subplot(p) for p in places]


def _over_time(table: xr.Dataset, ax: Any) -> None:
    time, when = table["time"].values, table["window_time"].values
    ax.plot(time, table["residual"].values, ",", color=DATA, alpha=0.5, rasterized=True)
    mean, sd = table["running_mean"].values, table["running_sd"].values
    style = {"marker": "o", "ms": 3} if len(when) < 3 else {}
    ax.plot(when, mean, color=FIT, lw=1.4, label="running mean", **style)
    for sign in (-1, 1):
        label = "± running sd" if sign > 0 else None
        ax.plot(when, mean + sign * sd, color=EVENT, lw=1.2, label=label, **style)
    ax.set_ylim(-5, 5)
    ax.set(xlabel="time (s)", ylabel="residual (noise sd)", xlim=(time[0], time[-1]))
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize="small")
    _judged(ax, table, "steadiness", "over time")


def _quantiles(table: xr.Dataset, ax: Any) -> None:
    normal, seen = table["normal_quantile"].values, table["quantile"].values
    bounds = table["normal_quantile_ci"].transpose(..., CI_BOUND).values
    ax.fill_between(normal, bounds[:, 0], bounds[:, 1], color=DATA, alpha=0.3, lw=0)
    ax.plot(normal, normal, color="black", lw=0.6)
    ax.plot(normal, seen, ".", color=FIT, ms=3)
    ax.set(xlabel="normal quantile", ylabel="residual (noise sd)")
    _judged(ax, table, "normality", "distribution")


def _autocorrelation(table: xr.Dataset, ax: Any) -> None:
    delay, limit = table["delay"].values, table["white_limit"].values
    ax.fill_between(delay, -limit, limit, color=DATA, alpha=0.3, lw=0, label="white noise")
    ax.axhline(0, color="black", lw=0.6)
    ax.vlines(delay, 0, table["autocorrelation"].values, color=FIT, lw=1)
    ax.plot(delay, table["autocorrelation"].values, ".", color=FIT, ms=3)
    ax.set(xlabel="lag (s)", ylabel="autocorrelation")
    ax.set_xlim(left=0)
    # Room for the legend above the bars.
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.25 * (high - low))
    ax.legend(loc="upper right", frameon=False, fontsize="small")
    _judged(ax, table, "autocorrelation", "autocorrelation")


def _around_events(table: xr.Dataset, ax: Any) -> None:
    lag = table["lag"].values
    ax.axhline(0, color="black", lw=0.6)
    if np.isfinite(table["event_residual"]).any():
        ax.axvline(0, color=EVENT, lw=0.8, ls="--")
        _band(ax, lag, table["event_residual_ci"], DATA, 0.3)
        ax.plot(lag, table["event_residual"].values, ".-", color=FIT, ms=3, lw=0.8)
    else:
        _say(ax, "no events")
    ax.set(xlabel="time since the event (s)", ylabel="mean residual (noise sd)")
    _judged(ax, table, "around_events", "around events")


def _against_fitted(table: xr.Dataset, ax: Any) -> None:
    value, mean = table["fitted_value"].values, table["fitted_residual"].values
    bounds = table["fitted_residual_ci"].transpose(..., CI_BOUND).values
    ax.axhline(0, color="black", lw=0.6)
    ax.vlines(value, bounds[:, 0], bounds[:, 1], color=FIT, lw=1.2)
    ax.plot(value, mean, "o", color=FIT, ms=3)
    ax.set(
        xlabel=unit_label(table["fitted_value"], "fitted calcium"),
        ylabel="mean residual (noise sd)",
    )
    _judged(ax, table, "curvature", "against fit")


def _judged(ax: Any, table: xr.Dataset, check: str, told: str) -> None:
    """Title a panel with what its check says."""
    colour = "black"
    if "passed" in table and check in table["check"].values:
        one = table.sel(check=check)
        value, limit = float(one["value"]), float(one["limit"])
        if np.isfinite(value) and limit > 0:
            told += f": {value / limit:.2g} of limit"
        colour = "black" if bool(one["passed"]) else EVENT
    ax.set_title(told, loc="left", fontsize="medium", color=colour)


def _band(ax: Any, x: Any, bounds: xr.DataArray, colour: str, alpha: float) -> None:
    low, high = bounds.transpose(CI_BOUND, ...).values
    if np.isfinite(low).any():
        ax.fill_between(x, low, high, color=colour, alpha=alpha, lw=0)


def _say(ax: Any, text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=DATA)


def _check(table: Any, names: tuple[str, ...], maker: str) -> None:
    if not isinstance(table, xr.Dataset) or any(n not in table for n in names):
        came = sorted(map(str, table)) if isinstance(table, xr.Dataset) else type(table).__name__
        raise KindError(
            f"table is {came}",
            f"A Dataset with {', '.join(names)} was needed",
            f"Make it with {maker}(kinetics, trace, unit)",
        )
