"""Decoded against true, cursors on their way, confusions, dropped units, latencies."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_clock, check_numbers
from neurornn._core.confidence import CI_BOUND
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, nearest
from neurornn.plot.style import DATA, EVENT, FIT, new_axes, shown_range, unit_label

#: Percentiles of a latency that are marked, and how.
_MARKS = ((50.0, "-"), (99.0, "--"), (99.9, ":"))


def decoded_traces(
    true: Any,
    predicted: Any,
    interval: Any = None,
    *,
    t_start: float | None = None,
    t_stop: float | None = None,
    ax: Any = None,
) -> Any:
    """Draw true and decoded values over time, one axes per output.

    Parameters
    ----------
    true : (time,) or (time, output), DataArray or array
        Time is taken from its ``time`` (s); an array is drawn over the number of the row.
    predicted : as many rows and outputs.
    interval : (time, output, 2), or a DataArray with a ``ci_bound`` axis
        Lower and upper bound of the decoded values, drawn as a band.
    t_start, t_stop : s (or rows), range to draw; by default all of it.
    ax : as many matplotlib axes as outputs; by default new ones, one below the other.

    Returns
    -------
    array of axes (output,)

    Raises
    ------
    ShapeError, DataError
        Rows, outputs, bounds or axes that do not agree; a range without a row.
    """
    y, labels, time = _outputs(true, "true")
    p, _, _ = _outputs(predicted, "predicted")
    if y.shape != p.shape:
        raise ShapeError(
            f"true has (time, output) {y.shape} and predicted {p.shape}",
            "As many rows and outputs in both were needed",
            "Decode the same bins",
        )
    bounds = None if interval is None else _bounds(interval, y.shape)
    shown, _, _ = shown_range(time, t_start, t_stop)
    axes = _axes_for(ax, y.shape[1])
    # A gap between trials is a gap in the lines.
    steps = np.diff(time, prepend=time[0])
    gap = steps > 1.5 * np.median(steps[1:]) if len(time) > 1 else np.zeros(1, dtype=bool)
    when = time[shown]

    def broken(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(gap, np.nan, values)[shown]

    units = true.attrs.get("units", "1") if isinstance(true, xr.DataArray) else "1"
    for k, (panel, label) in enumerate(zip(axes, labels, strict=True)):
        if bounds is not None:
            low, high = (broken(bounds[:, k, j]) for j in (0, 1))
            panel.fill_between(when, low, high, color=FIT, alpha=0.25, lw=0, label="interval")
        panel.plot(when, broken(y[:, k]), color=DATA, lw=1.4, label="true")
        panel.plot(when, broken(p[:, k]), color=FIT, lw=1.1, label="decoded")
        panel.set_ylabel(label if units in ("1", "") else f"{label} ({units})")
        panel.set_xlim(when[0], when[-1] if len(when) > 1 else when[0] + 1)
    labelled = isinstance(true, xr.DataArray) and "time" in true.coords
    axes[-1].set_xlabel("time (s)" if labelled else "row")
    axes[0].legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small"
    )
    return axes


def cursor_paths(traces: xr.Dataset, ax: Any = None) -> Any:
    """Draw the paths of a cursor or a hand to its targets, each in the colour of its target.

    Parameters
    ----------
    traces : Dataset with ``position (time, axis)``, ``target (time, axis)`` (cm), ``trial (time)``
        As from ``simulate.simulate_reaches`` or ``decode.run_closed_loop``. Targets are circles of
        ``attrs["target_radius"]`` where there is one; where trials have a ``success (interval)``,
        the paths of those that failed are dashed.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    KindError, NameUnknownError, ShapeError
        No Dataset, a variable is missing, not two axes of space.
    """
    if not isinstance(traces, xr.Dataset):
        raise KindError(
            f"traces is a {type(traces).__name__}",
            "A Dataset with position, target and trial was needed",
            "Pass what run_closed_loop or simulate_reaches returned",
        )
    for name in ("position", "target", "trial"):
        if name not in traces:
            raise NameUnknownError(
                f"traces has no {name}",
                "position, target and trial were needed",
                nearest(name, map(str, traces.data_vars)),
            )
    position = traces["position"].transpose("time", "axis").values
    target = traces["target"].transpose("time", "axis").values
    if position.shape[1] != 2:
        raise ShapeError(
            f"position has {position.shape[1]} axes of space",
            "Two were needed to draw them",
            "Select two: traces.sel(axis=['x', 'y'])",
        )
    from matplotlib.patches import Circle

    ax = new_axes(ax, (4.6, 4.4))
    places, of = np.unique(np.round(target, 9), axis=0, return_inverse=True)
    of = of.reshape(-1)
    trial = traces["trial"].values
    joins = np.flatnonzero((np.diff(trial) != 0) | (np.diff(of) != 0)) + 1
    edges = np.concatenate([[0], joins, [len(trial)]])
    radius = float(traces.attrs.get("target_radius", 0.0))
    reach = float(np.abs(places).max()) or 1.0
    colours = [_target_colour(p, reach) for p in places]
    failed: set[Any] = set()
    if "success" in traces and traces["success"].dims == ("interval",):
        # Trials are numbered in the order of their intervals.
        numbers = np.unique(trial)
        failed = set(numbers[~traces["success"].values.astype(bool)[: len(numbers)]].tolist())
    for place, colour in zip(places, colours, strict=True):
        ax.add_patch(
            Circle(place, radius or 0.05 * reach, fc=(colour, 0.15), ec=colour, lw=1.2, zorder=1)
        )
    for first, stop in pairwise(edges):
        lost = trial[first] in failed
        ax.plot(
            *position[first:stop].T,
            color=colours[of[first]],
            lw=0.8,
            alpha=0.7,
            ls="--" if lost else "-",
            zorder=2,
        )
    names = traces["axis"].values if "axis" in traces.coords else ("x", "y")
    ax.set(
        xlabel=unit_label(traces["position"], names[0]),
        ylabel=unit_label(traces["position"], names[1]),
        aspect="equal",
    )
    ax.autoscale_view()
    if failed:
        ax.set_title(f"dashed: {len(failed)} failed", loc="left", fontsize="medium")
    return ax


def confusion(matrix: Any, ax: Any = None) -> Any:
    """Draw which class was taken for which: shares of each true class, with the counts in them.

    Parameters
    ----------
    matrix : (true, predicted), counts; DataArray or array
        For example ``decode.target_scores(...)["confusion"]``.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes

    Raises
    ------
    ShapeError, DataError
        Not a square table, or counts below 0.
    """
    counts = check_numbers(matrix, "matrix", missing=False)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ShapeError(
            f"matrix has shape {counts.shape}",
            "A square table (true, predicted) was needed",
            "Pass decode.target_scores(true, predicted)['confusion']",
        )
    if not np.all(counts >= 0):
        raise DataError(
            f"matrix holds {np.nanmin(counts):g}", "Counts of 0 or more were needed", "Pass counts"
        )
    n = len(counts)
    names = [str(k) for k in range(n)]
    titles = ["true", "predicted"]
    if isinstance(matrix, xr.DataArray):
        titles = [str(d).replace("_", " ") for d in matrix.dims]
        if matrix.dims[0] in matrix.coords:
            names = [str(v) for v in matrix[matrix.dims[0]].values]
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    ax = new_axes(ax, (max(1.8 + 0.36 * n, 3.6), max(1.4 + 0.36 * n, 3.0)))
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if n <= 16:
        for i, j in zip(*np.nonzero(counts), strict=True):
            dark = share[i, j] > 0.55
            ax.text(
                j,
                i,
                f"{counts[i, j]:g}",
                ha="center",
                va="center",
                fontsize="small",
                color="white" if dark else "black",
            )
    long = max(map(len, names)) > 3
    ax.set_xticks(np.arange(n), names, rotation=90 if long else 0)
    ax.set_yticks(np.arange(n), names)
    ax.set(xlabel=titles[1], ylabel=titles[0])
    ax.spines[:].set_visible(False)
    ax.figure.colorbar(image, ax=ax, label=f"share of {titles[0]}", shrink=0.85)
    return ax


def dropping_curve(table: xr.Dataset, ax: Any = None) -> Any:
    """Draw the score against the number of units: mean over draws, and their range.

    Parameters
    ----------
    table : ``decode.neuron_dropping(...)``; a Dataset with ``score (n_units, draw)``.
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
        The band holds the middle 80 % of the draws, the dots are the draws.

    Raises
    ------
    KindError
        No such table.
    """
    if not isinstance(table, xr.Dataset) or "score" not in table:
        raise KindError(
            f"table is a {type(table).__name__} without score",
            "A Dataset with score (n_units, draw) was needed",
            "Make it with decode.neuron_dropping(decoder, counts, targets)",
        )
    score = table["score"].transpose("n_units", "draw")
    n = table["n_units"].values
    ax = new_axes(ax, (4.6, 3.2))
    low, high = np.quantile(score.values, [0.1, 0.9], axis=1)
    ax.fill_between(n, low, high, color=FIT, alpha=0.2, lw=0, label="80 % of the draws")
    ax.plot(np.repeat(n, score.sizes["draw"]), score.values.ravel(), ".", color=DATA, ms=3)
    ax.plot(n, score.values.mean(axis=1), "o-", color=FIT, ms=4, lw=1.4, label="mean")
    ax.set_xscale("log")
    from matplotlib.ticker import NullLocator

    ax.set_xticks(n, [str(k) for k in n])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="units", ylabel=str(score.attrs.get("long_name", "score")))
    ax.legend(loc="lower right", frameon=False, fontsize="small")
    return ax


def latency(latencies_us: ArrayLike | xr.Dataset, ax: Any = None) -> Any:
    """Draw how long the steps of a decoder took, on a logarithmic axis, with their percentiles.

    Parameters
    ----------
    latencies_us : (step,), µs, or the table of ``stream.latency()`` (s).
    ax : matplotlib axes; by default new ones.

    Returns
    -------
    the axes
        Lines mark the percentiles 50, 99 and, from 1000 steps on, 99.9.

    Raises
    ------
    KindError, DataError
        No table of latencies; no steps, or times that are not above 0.
    """
    if isinstance(latencies_us, xr.Dataset):
        if "latency" not in latencies_us:
            raise KindError(
                f"A table with {', '.join(map(str, latencies_us.data_vars)) or 'nothing'} came",
                "A table with latency (s) was needed",
                "Pass stream.latency()",
            )
        latencies_us = 1e6 * latencies_us["latency"].values
    took = check_numbers(latencies_us, "latencies_us").ravel()
    if not len(took) or not np.all(np.isfinite(took) & (took > 0)):
        raise DataError(
            f"{len(took)} latencies came, {int(np.sum(~(np.isfinite(took) & (took > 0))))} of "
            "them not above 0",
            "Times in µs above 0 were needed",
            "Measure with time.perf_counter_ns: 1e-3 * (after - before)",
        )
    ax = new_axes(ax, (5, 3))
    low, high = float(took.min()), float(took.max())
    span = max(high / low, 1.1)
    edges = np.geomspace(low / span**0.02, high * span**0.02, 60)
    ax.hist(took, edges, color=DATA, alpha=0.6)
    ax.set(xscale="log", yscale="log", xlabel="latency (µs)", ylabel="steps")
    # A bin with a single step is seen, too.
    ax.set_ylim(bottom=0.6)
    for percentile, style in _MARKS:
        if percentile > 99 and len(took) < 1000:
            continue
        value = float(np.percentile(took, percentile))
        ax.axvline(value, color=EVENT, ls=style, lw=1.2, label=f"p{percentile:g} {value:.3g} µs")
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if span < 100:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.legend(frameon=False, fontsize="small")
    return ax


def _outputs(data: Any, name: str) -> tuple[NDArray[np.float64], list[str], NDArray[np.float64]]:
    """Values (time, output), labels of the outputs, and time."""
    if isinstance(data, xr.DataArray) and "time" in data.dims:
        data = data.transpose("time", ...)
    values = check_numbers(data, name, missing=True)
    if values.ndim not in (1, 2) or not values.size:
        raise ShapeError(
            f"{name} has shape {values.shape}",
            "(time,) or (time, output) was needed",
            "Pass one variable, and one trial",
        )
    values = values.reshape(len(values), -1)
    labels = [f"output {k}" for k in range(values.shape[1])]
    time = np.arange(len(values), dtype=float)
    if isinstance(data, xr.DataArray):
        inner = [d for d in data.dims if d != "time"]
        title = "" if data.name is None else str(data.name)
        if inner and inner[0] in data.coords:
            labels = [f"{title} {v}".strip() for v in data[inner[0]].values]
        elif not inner and title:
            labels = [title]
        if "time" in data.coords:
            time = check_clock(data["time"].values, f"time of {name}")
    return values, labels, time


def _bounds(interval: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    if isinstance(interval, xr.DataArray) and CI_BOUND in interval.dims:
        interval = interval.transpose("time", ..., CI_BOUND)
    bounds = check_numbers(interval, "interval", missing=True)
    if bounds.ndim == 2 and shape[1] == 1:
        bounds = bounds[:, None]
    if bounds.shape != (*shape, 2):
        raise ShapeError(
            f"interval has shape {bounds.shape}",
            f"Lower and upper bound of every value, {(*shape, 2)}, were needed",
            "From an sd: np.stack([mean - 1.96 * sd, mean + 1.96 * sd], axis=-1)",
        )
    return bounds


def _axes_for(ax: Any, n: int) -> NDArray[np.object_]:
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(n, 1, figsize=(8, 0.6 + 1.7 * n), sharex=True, layout="constrained")
    several = isinstance(ax, Sequence | np.ndarray)
    axes = np.empty(len(np.ravel(ax)) if several else 1, dtype=object)  # type: ignore[arg-type]
    axes[:] = list(np.ravel(ax)) if several else [ax]  # type: ignore[arg-type]
    if len(axes) != n:
        raise ShapeError(
            f"{len(axes)} axes came for {n} outputs",
            "One axes for each output was needed",
            "Leave ax out, or make them with plt.subplots(n_output)",
        )
    for panel in axes:
        new_axes(panel, (8, 2))
    return axes


def _target_colour(place: NDArray[np.float64], reach: float) -> Any:
    """Hue by direction, so that opposite targets have opposite colours; grey at the centre."""
    if float(np.linalg.norm(place)) < 1e-3 * reach:
        return DATA
    from matplotlib import colormaps

    turn = float(np.arctan2(place[1], place[0])) / (2 * np.pi)
    # Darker than the map: its yellow and cyan are faint on white.
    return tuple(0.8 * c for c in colormaps["hsv"](turn % 1.0)[:3])
