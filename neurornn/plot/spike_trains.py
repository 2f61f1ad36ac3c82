"""Pictures of spike trains: rasters, rates around events, histograms, filters, tests of fit."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import NameUnknownError, ShapeError, nearest
from neurornn.plot.style import DATA, EVENT, FIT, new_axes

#: Most units that are drawn in one picture of lines.
_MOST = 8


def _of_unit(table: Any, unit: Any, needed: str, maker: str) -> xr.Dataset:
    """One unit of a table, by its label; the first by default."""
    if not isinstance(table, xr.Dataset) or needed not in table:
        holds = ", ".join(map(str, getattr(table, "data_vars", {}))) or "no variables"
        raise ShapeError(
            f"The table has {holds}", f"{needed} was needed", f"Pass what {maker} returned"
        )
    if "unit" not in table.dims:
        return table
    labels = table["unit"].values.tolist()
    if unit is None:
        return table.isel(unit=0)
    if unit not in labels:
        raise NameUnknownError(
            f"There is no unit {unit!r}", f"One of {', '.join(map(repr, labels[:8]))} was needed",
            nearest(str(unit), map(str, labels)),
        )  # fmt: skip
    return table.isel(unit=labels.index(unit))


def raster(
    recording: xr.Dataset,
    *,
    start: float | None = None,
    duration: float = 10.0,
    rates: xr.DataArray | None = None,
    ax: Any = None,
) -> Any:
    """Draw the spikes of every unit as ticks, with the rates of a model behind them.

    Parameters
    ----------
    recording : with ``spike_times`` and ``spike_unit``.
    start : s; by default the start of the recording.
    duration : s, drawn from there.
    rates : (time, unit), Hz, as models of spikes give them: a line in the row of each unit, from
        0 to the largest rate of all that is drawn.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError
        A recording without spikes.
    """
    if "spike_times" not in recording or "spike_unit" not in recording:
        raise ShapeError(
            f"The recording has {', '.join(map(str, recording.data_vars)) or 'no variables'}",
            "spike_times and spike_unit were needed", "Pass a recording of spikes",
        )  # fmt: skip
    times, owner = recording["spike_times"].values, recording["spike_unit"].values
    if start is None:
        known = "start" in recording and recording.sizes.get("interval", 0)
        start = float(recording["start"][0]) if known else float(times.min(initial=0.0))
    n = recording.sizes["unit"]
    labels = recording["unit"].values if "unit" in recording.coords else np.arange(n)
    ax = new_axes(ax, (6.4, 1.2 + 0.3 * min(n, 20)))
    inside = (times >= start) & (times < start + duration)
    trains = [times[inside & (owner == k)] for k in range(n)]
    ax.eventplot(trains, lineoffsets=np.arange(n), linelengths=0.8, colors="black", lw=0.7)
    if rates is not None:
        clock = rates["time"].values
        shown = (clock >= start) & (clock < start + duration)
        top = float(np.nanmax(rates.values[shown])) if shown.any() else 0.0
        listed = labels.tolist()
        said: str | None = f"rate (tallest: {top:.3g} Hz)"
        for k, label in enumerate(rates["unit"].values.tolist()):
            if label in listed and top > 0:
                level = listed.index(label) + 0.4 - 0.8 * rates.values[shown, k] / top
                ax.plot(clock[shown], level, color=FIT, lw=0.8, zorder=0, label=said)
                said = None
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), fontsize="small")
    ax.set(xlim=(start, start + duration), ylim=(n - 0.4, -0.6), xlabel="time (s)",
           ylabel="unit", yticks=np.arange(n) if n <= 20 else [],
           yticklabels=[str(x) for x in labels] if n <= 20 else [])  # fmt: skip
    return ax


def psth(table: xr.Dataset, *, unit: Any = None, ax: Any = None) -> Any:
    """Draw the rate around events, with its interval.

    Parameters
    ----------
    table : of `spikes.psth`.
    unit : label of a unit; by default all, of many the first eight.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError, NameUnknownError
        Another table; no such unit.
    """
    one = _of_unit(table, unit, "rate", "spikes.psth")
    if "time" not in one.dims:
        raise ShapeError(
            f"The table lies over {', '.join(map(str, one.sizes))}", "A rate over time was needed",
            "Pass what spikes.psth returned",
        )  # fmt: skip
    labels = np.atleast_1d(one["unit"].values).tolist()
    if unit is None and "unit" in table.dims:
        labels = table["unit"].values[:_MOST].tolist()
    ax = new_axes(ax, (4.8, 3.2))
    time = table["time"].values
    width = float(table.attrs.get("bin_size", np.median(np.diff(time)) if len(time) > 1 else 1.0))
    for k, label in enumerate(labels):
        row = _of_unit(table, label, "rate", "spikes.psth")
        low, high = np.moveaxis(row["rate_ci"].values, -1, 0)
        color = f"C{k}" if len(labels) > 1 else FIT
        # A bin reaches from its stamp back by its width.
        ax.step(np.append(time[0] - width, time), np.append(row["rate"].values[0], row["rate"]),
                where="pre", color=color, lw=1.5, label=str(label))  # fmt: skip
        edges = np.append(time[0] - width, time)
        ax.fill_between(edges, np.append(low[0], low), np.append(high[0], high), step="pre",
                        color=color, alpha=0.2, lw=0)  # fmt: skip
    ax.axvline(0, color=EVENT, lw=1, ls="--")
    ax.set(xlabel="time since the event (s)", ylabel="rate (Hz)",
           ylim=(0, None), xlim=(time[0] - width, time[-1]))  # fmt: skip
    if len(labels) > 1:
        ax.legend(frameon=False, fontsize="small", title="unit")
    return ax


def lag_histogram(table: xr.Dataset, *, unit: Any = None, ax: Any = None) -> Any:
    """Draw intervals between spikes, or the rate after a spike, with the curve of a model.

    Parameters
    ----------
    table : of `spikes.interval_histogram` or `spikes.autocorrelogram`.
    unit : label of a unit; by default the first.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError, NameUnknownError
        Another table; no such unit.
    """
    name = "density" if "density" in table else "rate"
    one = _of_unit(table, unit, name, "spikes.interval_histogram or spikes.autocorrelogram")
    if "lag" not in one.dims:
        raise ShapeError(
            f"The table lies over {', '.join(map(str, one.sizes))}", "lag was needed",
            "Pass what spikes.interval_histogram or spikes.autocorrelogram returned",
        )  # fmt: skip
    ax = new_axes(ax, (4.8, 3.2))
    lag = 1000 * one["lag"].values
    width = float(lag[1] - lag[0]) if len(lag) > 1 else 1.0
    ax.bar(lag, one[name].values, width=width, color=DATA, lw=0, label="spikes")
    low, high = np.moveaxis(one[f"{name}_ci"].values, -1, 0)
    ax.vlines(lag, low, high, color="black", lw=0.4, alpha=0.5)
    if f"model_{name}" in one:
        ax.plot(lag, one[f"model_{name}"].values, color=FIT, lw=1.8, label="drawn from the model")
        ax.legend(frameon=False, fontsize="small")
    said = {"density": ("interval between spikes (ms)", "density (1/s)"),
            "rate": ("time after a spike (ms)", "rate (Hz)")}[name]  # fmt: skip
    ax.set(xlabel=said[0], ylabel=said[1], xlim=(lag[0] - width / 2, lag[-1] + width / 2),
           ylim=(0, None), title=f"unit {one['unit'].values}")  # fmt: skip
    return ax


def spike_filter(model: Any, kind: str = "history", *, unit: Any = None, ax: Any = None) -> Any:
    """Draw what a spike, another unit or a stimulus does to the rate: a gain over lags.

    Parameters
    ----------
    model : a fitted `spikes.PointProcess`, or its ``filters_``.
    kind : ``"history"``, ``"stimulus"``, ``"coupling"`` or ``"trial"``.
    unit : label of a unit; by default the first. Of many sources of coupling the eight strongest.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError, NameUnknownError
        A model without such filters; no such unit.
    """
    table = model if isinstance(model, xr.Dataset) else getattr(model, "filters_", None)
    name = f"{kind}_filter"
    one = _of_unit(table, unit, name, "a PointProcess with such filters")
    lag_name = "trial_time" if kind == "trial" else f"{kind}_lag"
    lag = 1000 * one[lag_name].values
    ax = new_axes(ax, (4.8, 3.2))
    others = [str(d) for d in one[name].dims if d != lag_name]
    rows: list[tuple[str, xr.DataArray, NDArray[np.float64]]] = []
    if others:
        size = np.abs(np.nan_to_num(one[name].values)).max(axis=1)
        for k in np.sort(np.argsort(-size)[:_MOST]):
            if np.isfinite(one[name].values[k]).all():
                pick = {others[0]: int(k)}
                rows.append((str(one[others[0]].values[k]), one[name].isel(pick),
                             one[f"{name}_ci"].isel(pick).values))  # fmt: skip
    else:
        rows.append(("", one[name], one[f"{name}_ci"].values))
    for k, (label, values, bounds) in enumerate(rows):
        color = f"C{k}" if len(rows) > 1 else FIT
        gain = np.exp(np.minimum(values.values, 50.0))
        # Bounds of what lies within a dead time, or is not determined, are off the picture.
        low, high = np.exp(np.clip(bounds.T, -50.0, 50.0))
        known = (high < 20 * max(float(np.nanmax(gain)), 1.0)) | (gain < 1e-3)
        high = np.where(known, high, np.nan)
        ax.plot(lag, gain, color=color, lw=1.5, label=label)
        ax.fill_between(lag, low, high, color=color, alpha=0.2, lw=0)
    ax.axhline(1, color="black", lw=0.8, ls=":")
    said = {"history": "time since a spike (ms)", "coupling": "time since a spike (ms)",
            "stimulus": "time before the bin (ms)", "trial": "time in the trial (ms)"}  # fmt: skip
    ax.set(xlabel=said.get(kind, "lag (ms)"), ylabel="gain of the rate",
           title=f"unit {one['unit'].values}", ylim=(0, None))  # fmt: skip
    if len(rows) > 1:
        ax.legend(frameon=False, fontsize="small", title=others[0])
    return ax


def time_rescaling(check: Any, *, unit: Any = None, ax: Any = None) -> Any:
    """Draw the distribution of rescaled intervals against the one of a model that holds.

    Parameters
    ----------
    check : `spikes.Rescaling`.
    unit : label of a unit; by default all, of many the first eight.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError, NameUnknownError
        Something else; no such unit.

    Notes
    -----
    The distance from the diagonal is drawn, and the band in grey: of thousands of intervals it is
    too narrow to be seen on the diagonal itself.
    """
    table = getattr(check, "parameters", None)
    _of_unit(table, unit, "statistic", "spikes.time_rescaling")
    labels = check.parameters["unit"].values.tolist()
    chosen = [unit] if unit is not None else labels[:_MOST]
    ax = new_axes(ax, (4.8, 3.4))
    flat, owner = check.intervals["rescaled"].values, check.intervals["interval_unit"].values
    widest = 0.0
    for k, label in enumerate(chosen):
        u = np.sort(flat[owner == labels.index(label)])
        if not len(u):
            continue
        n = len(u)
        # The step of the distribution before and after each interval.
        at = np.repeat(u, 2)
        steps = np.stack([np.arange(n) / n, np.arange(1, n + 1) / n], axis=1).ravel()
        one = check.parameters.isel(unit=labels.index(label))
        statistic, band = float(one["statistic"]), float(one["band"])
        said = f"{label}: {statistic:.3g}" + (" (outside)" if statistic > band else "")
        if not np.isfinite(statistic):
            said = f"{label}: too few to tell"
        color = f"C{k}" if len(chosen) > 1 else FIT
        ax.plot(at, steps - at, color=color, lw=1.3, label=said)
        widest = max(widest, band if np.isfinite(band) else 0.0)
    if widest:
        ax.axhspan(-widest, widest, color=DATA, alpha=0.25, lw=0, zorder=0)
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlim=(0, 1), xlabel="rescaled interval, as a quantile of the model",
           ylabel="share below it, less the model's")  # fmt: skip
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize="small", title="unit: KS statistic")
    return ax


def tuning_curve(table: xr.Dataset, *, unit: Any = None, ax: Any = None) -> Any:
    """Draw the rate of a unit against a variable, with its interval; a map for two axes.

    Parameters
    ----------
    table : of `spikes.tuning_curves`.
    unit : label of a unit; by default the first.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError, NameUnknownError
        Another table; no such unit.
    """
    one = _of_unit(table, unit, "occupancy", "spikes.tuning_curves")
    names = [str(table[d].attrs.get("long_name", d)) for d in one["rate"].dims]
    if one["rate"].ndim == 2:
        ax = new_axes(ax, (4.4, 3.6))
        image = ax.pcolormesh(one["bin"].values, one["bin_1"].values, one["rate"].values.T)
        ax.figure.colorbar(image, ax=ax, label="rate (Hz)")
        ax.set(xlabel=names[0], ylabel=names[1], title=f"unit {one['unit'].values}")
        return ax
    ax = new_axes(ax, (4.8, 3.2))
    low, high = np.moveaxis(one["rate_ci"].values, -1, 0)
    ax.plot(one["bin"].values, one["rate"].values, color=FIT, lw=1.5)
    ax.fill_between(one["bin"].values, low, high, color=FIT, alpha=0.2, lw=0)
    ax.set(xlabel=names[0], ylabel="rate (Hz)", ylim=(0, None), title=f"unit {one['unit'].values}")
    return ax
