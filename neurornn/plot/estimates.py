"""Estimates with their intervals: time constants, scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.confidence import CI_BOUND
from neurornn._core.errors import NameUnknownError, ShapeError, nearest
from neurornn._core.report import parameter_names
from neurornn._core.status import Status
from neurornn.plot.style import DATA, EVENT, FIT, RANGES, new_axes, unit_label


def timescales(
    parameters: xr.Dataset | Any,
    *,
    name: str | None = None,
    truth: Any = None,
    expected: tuple[float, float] | Mapping[str, Any] | None = None,
    ax: Any = None,
) -> Any:
    """Draw every time constant with its interval, sorted, on a logarithmic axis.

    Parameters
    ----------
    parameters : Dataset (``result.parameters``, ``kinetics.parameters_``), or the result itself;
        or what ``gate_time_constants(inputs)`` of a gated network gives, whose units are drawn at
        their median over steps and trials, with bars over 90 % of the steps.
    name : which quantity; by default the first of ``tau_decay``, ``tau``, ``time_constant``.
    truth : one value per unit, or one for all, in the same unit; drawn as crosses.
    expected : (lower, upper), or a mapping of labels to such a range or a list of them
        Ranges to shade, for example ``nr.calcium.published_ranges("GCaMP6f")``; a range of no
        width is drawn as a line.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    if isinstance(parameters, xr.DataArray):
        parameters = _over_steps(parameters)
    if not isinstance(parameters, xr.Dataset):
        found = getattr(parameters, "parameters_", None)
        parameters = parameters.parameters if found is None else found
    names = parameter_names(parameters)
    if name is None:
        name = next((n for n in ("tau_decay", "tau", "time_constant") if n in names), None)
    if name is None or name not in names:
        raise NameUnknownError(
            f"The table has no quantity {name!r}",
            "The name of a quantity with an interval was needed",
            nearest(str(name), names),
        )
    values = np.atleast_1d(parameters[name].values).ravel()
    bounds = parameters[f"{name}_ci"].transpose(..., CI_BOUND).values.reshape(-1, 2)
    usable = np.isfinite(values)
    order = np.argsort(np.where(usable, values, np.inf))[: usable.sum()]
    ax = new_axes(ax, (6, 3.4))
    place = np.arange(len(order))
    ok = np.ones(len(order), dtype=bool)
    if "status" in parameters and parameters["status"].dims == parameters[name].dims:
        ok = np.atleast_1d(parameters["status"].values).ravel()[order] == str(Status.OK)
    if expected is not None:
        _draw_ranges(ax, expected)
    # Thousands of cells: thinner, so that the intervals are still seen.
    dot, line = (3.0, 3.0) if len(order) <= 200 else (1.5, 0.5)
    for chosen, colour, label in ((ok, FIT, "ok"), (~ok, DATA, "other status")):
        k = np.flatnonzero(chosen)
        if not len(k):
            continue
        middle, span = values[order][k], bounds[order][k]
        known = np.isfinite(span).all(axis=1)
        if not known.any():
            label += ", without interval"
        ax.plot(place[k], middle, "o", ms=dot, color=colour, label=label)
        ax.vlines(
            place[k][known], span[known, 0], span[known, 1], color=colour, lw=line, alpha=0.5
        )
    if truth is not None:
        true = np.broadcast_to(np.asarray(truth, dtype=float), len(values))[order]
        ax.plot(place, true, "x", color=EVENT, ms=6, label="truth")
    ax.set_yscale("log")
    ax.set(ylabel=unit_label(parameters[name], name))
    dim = str(parameters[name].dims[0]) if parameters[name].dims else "value"
    if len(order) <= 30:
        labels = parameters[dim].values if dim in parameters.coords else np.arange(len(values))
        shown = [str(v) for v in np.atleast_1d(labels)[order]]
        crowded = sum(len(v) + 1 for v in shown) > 45
        ax.set_xticks(place, shown, rotation=90 if crowded else 0)
        ax.set_xlabel(dim)
    else:
        ax.set_xlabel(f"{dim}, sorted")
    low, high = ax.get_ylim()
    if high / low < 300:
        from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

        # Few decades: plain numbers, and enough of them that the axis is never without.
        steps = (1, 1.5, 2, 3, 5, 7) if high / low < 10 else (1, 2, 5)
        narrow = high / low < 2
        ax.yaxis.set_major_locator(MaxNLocator(5) if narrow else LogLocator(subs=steps))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.4g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    n_entries = len(ax.get_legend_handles_labels()[0])
    if n_entries > 3:
        # Beside the axes: many bands leave no free corner.
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize="small")
    else:
        ax.legend(frameon=False, fontsize="small")
    return ax


def _over_steps(gates: xr.DataArray) -> xr.Dataset:
    """Median of the time constants of each unit over steps, with the range of 90 % of them.

    A gate that is all but 1 forgets nothing: quantiles are those of the finite ones.
    """
    steps = [d for d in gates.dims if d in ("trial", "time")]
    if not steps or len(gates.dims) != len(steps) + 1:
        raise ShapeError(
            f"An array over {', '.join(map(str, gates.dims))} came",
            "Time constants over (trial, time, hidden) were needed",
            "Pass model.gate_time_constants(inputs), or the parameters of a result",
        )
    (unit,) = (str(d) for d in gates.dims if d not in steps)
    spread = gates.where(np.isfinite(gates)).quantile([0.05, 0.5, 0.95], steps, skipna=True)
    attrs = {"units": gates.attrs.get("units", "1"), "long_name": gates.attrs.get("long_name", "")}
    bounds = spread.isel(quantile=[0, 2]).transpose(unit, "quantile").values
    table = xr.Dataset(
        {
            "time_constant": (unit, spread.isel(quantile=1).values, attrs),
            "time_constant_ci": ((unit, CI_BOUND), bounds, attrs),
        }
    )
    labels = gates.coords[unit].values if unit in gates.coords else np.arange(gates.sizes[unit])
    return table.assign_coords({unit: labels})


def _draw_ranges(ax: Any, expected: Any) -> None:
    named = expected if isinstance(expected, Mapping) else {"expected": expected}
    for k, (label, spans) in enumerate(named.items()):
        colour = RANGES[k % len(RANGES)]
        told = str(label)
        pairs = np.atleast_2d(np.asarray(spans, dtype=float))
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ShapeError(
                f"expected holds {spans!r}",
                "A range (lower, upper) or a list of such ranges was needed",
                "Pass a number twice to draw a line: (0.7, 0.7)",
            )
        for low, high in pairs:
            if low == high:
                ax.axhline(low, color=colour, lw=1.2, ls="--", label=told, zorder=0)
            else:
                # The third and later ones are hatched: they often lie inside the first two.
                fill = {"fc": (colour, 0.15)} if k < 2 else {"fc": "none", "hatch": "////"}
                ax.axhspan(low, high, ec=(colour, 0.6), lw=0.5, label=told, zorder=0, **fill)
            # One entry in the legend for each label.
            told = "_nolegend_"


def league_scores(table: xr.Dataset, *, score: str = "r2", ax: Any = None) -> Any:
    """Draw the scores of a league table with their intervals, one group per horizon.

    Parameters
    ----------
    table : Dataset with ``<score> (model, horizon)`` and ``<score>_ci``
        ``league.parameters``. Horizons are named in frames; where it has ``horizon_time``, the
        legend says how long a frame is.
    score : name of the score.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
    """
    ax = new_axes(ax, (6, 3.2))
    models, horizons = table["model"].values, table["horizon"].values
    width = 0.8 / len(horizons)
    for j, horizon in enumerate(horizons):
        values = table[score].isel(horizon=j).values
        bounds = table[f"{score}_ci"].isel(horizon=j).values
        place = np.arange(len(models)) + (j - (len(horizons) - 1) / 2) * width
        ax.bar(place, values, 0.92 * width, label=f"horizon {horizon}", alpha=0.55)
        known = np.isfinite(bounds).all(axis=1)
        ax.vlines(place[known], bounds[known, 0], bounds[known, 1], color="black", lw=1.2)
    ax.axhline(0, color="black", lw=0.6)
    shown = [str(a) for a in models]
    crowded = sum(len(a) + 2 for a in shown) > 70
    ax.set_xticks(np.arange(len(models)), shown, rotation=30 if crowded else 0)
    if crowded:
        for text in ax.get_xticklabels():
            text.set_horizontalalignment("right")
    ax.set(ylabel=unit_label(table[score], table[score].attrs.get("long_name", score)))
    ax.legend(frameon=False, fontsize="small", title=_frame_told(table), title_fontsize="small")
    return ax


def _frame_told(table: xr.Dataset) -> str | None:
    """How long a frame of a horizon is, where the table knows."""
    if "horizon_time" not in table.coords:
        return None
    frames, times = table["horizon"].values, table["horizon_time"]
    unit = str(times.attrs.get("units", "1"))
    longest = int(np.argmax(frames))
    if unit == "1" or not frames[longest]:
        return None
    return f"frames of {float(times.values[longest] / frames[longest]):.4g} {unit}"
