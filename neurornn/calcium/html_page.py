"""One self-contained HTML page about the kinetics of a recording."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurornn._core.errors import KindError, NameUnknownError
from neurornn._core.report import MAX_ROWS, Table
from neurornn._core.status import Status, remedies_of
from neurornn._core.targets import check_target
from neurornn._core.units import format_number, format_quantity
from neurornn.calcium.checks import CHECKS, published_ranges, residuals_of
from neurornn.calcium.event_averages import average_of
from neurornn.calcium.fitted import FittedKinetics
from neurornn.calcium.fitted_traces import FittedTrace, FittedTraces
from neurornn.plot.pages import Page, not_a_page

#: Most cells whose pictures are drawn: a page of them stays below 5 MB.
MAX_DRAWN = 12
#: s, and frames, of the stretch of a trace that is drawn.
_STRETCH, _STRETCH_FRAMES = 60.0, 300


def write_html(
    kinetics: FittedKinetics,
    trace: Any,
    path: str | os.PathLike[str],
    *,
    units: Sequence[Any] | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one HTML file with the table, the pictures and the methods of a kinetics fit.

    The file holds everything: no other file, no script and no network is needed to read it.

    Parameters
    ----------
    kinetics : fitted `Kinetics`.
    trace : DataArray or array (time, unit)
        What was passed to ``fit``.
    path : where the file goes, for example ``"report.html"``; it is whole or not there.
    units : labels of the units whose traces are drawn
        By default the ok cells with the narrowest, the median and the widest interval of
        tau_decay, and one of each status that is not ok. At most twelve are drawn; the page says
        which and why.
    title : by default "Calcium kinetics".
    overwrite : replace a file there whatever wrote it; by default an older report alone.

    Returns
    -------
    path of the file

    Raises
    ------
    KindError, ShapeError, DataError, NameUnknownError, FileWriteError
        The kinetics are not fitted, the trace is not the one that was fitted, there is no such
        unit, or another file stands there or the path cannot be written.
    """
    check_target(path, ours=not_a_page, overwrite=overwrite)
    traces = FittedTraces(kinetics, trace)
    chosen = _choose(kinetics.parameters_) if units is None else _asked_for(units, traces)
    n_asked = len(chosen) if units is None else len(units)
    name = "Calcium kinetics" if title is None else str(title)
    page = _page(kinetics, traces, chosen, n_asked, name)
    return page.write(path, overwrite=overwrite)


def _choose(parameters: xr.Dataset) -> list[tuple[Any, str]]:
    """Label and reason of every cell to draw."""
    labels, status = parameters["unit"].values, parameters["status"].values
    tau, bounds = parameters["tau_decay"].values, parameters["tau_decay_ci"].values
    width = (bounds[:, 1] - bounds[:, 0]) / tau
    ok = np.flatnonzero((status == str(Status.OK)) & np.isfinite(width))
    ranked = ok[np.argsort(width[ok], kind="stable")]
    chosen: dict[int, str] = {}
    if len(ranked):
        for place, told in (
            (0, "narrowest interval of tau_decay"),
            (len(ranked) - 1, "widest interval of tau_decay among the ok cells"),
            (len(ranked) // 2, "median width of the interval of tau_decay"),
        ):
            chosen.setdefault(int(ranked[place]), told)
    rate = np.nan_to_num(parameters["event_rate"].values, nan=-1.0)
    codes, counts = np.unique(status[status != str(Status.OK)], return_counts=True)
    for k in np.argsort(-counts, kind="stable"):
        of_code = np.flatnonzero(status == codes[k])
        # Of the cells that failed alike, the one with most to see.
        told = f"one of {counts[k]} with status {codes[k]}"
        chosen.setdefault(int(of_code[np.argmax(rate[of_code])]), told)
    return [(labels[k], why) for k, why in chosen.items()][:MAX_DRAWN]


def _asked_for(units: Sequence[Any], traces: FittedTraces) -> list[tuple[Any, str]]:
    if isinstance(units, str) or not np.iterable(units):
        raise KindError(
            f"units is {units!r}",
            "A list of the labels of units was needed",
            f"Pass units=[{units!r}]",
        )
    for unit in units:
        traces.position(unit)
    return [(unit, "asked for") for unit in list(units)[:MAX_DRAWN]]


def _page(
    kinetics: FittedKinetics,
    traces: FittedTraces,
    chosen: list[tuple[Any, str]],
    n_asked: int,
    title: str,
) -> Page:
    parameters = kinetics.parameters_
    n_cells = parameters.sizes["unit"]
    page = Page(title)
    page.text(_summary(kinetics, traces), bold=True)
    page.heading("Decay constants")
    _all_cells(page, kinetics)
    page.heading("Cells")
    page.table(kinetics._repr_html_())
    if n_cells > MAX_ROWS:
        page.text(
            f"The table shows {MAX_ROWS} of {n_cells} cells; all stand in parameters_, and in the "
            "CSV file that neurornn kinetics --csv writes.",
            small=True,
        )
    _legend(page, parameters)
    page.heading("Traces, mean events and residuals")
    more = f", the first {len(chosen)} of the {n_asked} asked for" if n_asked > len(chosen) else ""
    page.text(
        f"Drawn: {len(chosen)} of {n_cells} cells{more}"
        + "".join(f"; unit {label} ({why})" for label, why in chosen)
        + ". Events are marked below the trace. Residuals are in units of the noise s.d. of the "
        f"cell; bands are {100 * float(kinetics.confidence_level):g} % intervals at each point.",
        small=True,
    )
    for label, why in chosen:
        _cell(page, kinetics, traces, label, why)
    page.methods(kinetics, _PACKAGES)
    return page


_PACKAGES = ("numpy", "scipy", "xarray", "numba", "matplotlib")


def _summary(kinetics: FittedKinetics, traces: FittedTraces) -> str:
    parameters = kinetics.parameters_
    ok = parameters["status"].values == str(Status.OK)
    tau = parameters["tau_decay"].values[ok]
    duration = float(traces.time[-1] - traces.time[0]) + traces.dt
    parts = [f"{len(ok)} cells, {ok.sum()} ok"]
    if len(tau):
        span = (
            ""
            if len(tau) == 1
            else f" ({format_number(tau.min())} to {format_number(tau.max())} s)"
        )
        parts.append(f"median tau_decay {format_number(float(np.median(tau)))} s{span}")
    if kinetics.indicator_:
        parts.append(f"indicator {kinetics.indicator_}")
    parts += [
        f"{kinetics.sampling_rate_:.4g} Hz",
        f"{format_number(duration)} s from first to last frame",
    ]
    return "; ".join(parts)


def _all_cells(page: Page, kinetics: FittedKinetics) -> None:
    from matplotlib.figure import Figure

    from neurornn.plot.estimates import timescales

    if not np.isfinite(kinetics.parameters_["tau_decay"]).any():
        page.text("No cell has a decay constant.")
        return
    ranges, told, compared = None, "", None
    if kinetics.indicator_:
        try:
            ranges = published_ranges(str(kinetics.indicator_))
            compared = kinetics.compare_to()
        except NameUnknownError as error:
            told = str(error)
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    timescales(kinetics.parameters_, expected=ranges, ax=figure.add_subplot())
    page.figure(figure, "decay constant of every cell with its interval, sorted")
    if told:
        page.text(told, small=True)
    if compared is not None:
        page.table(compared)


def _legend(page: Page, parameters: xr.Dataset) -> None:
    """Count, meaning and remedy of every status that is not ok."""
    told = remedies_of(parameters["status"])
    counts = {code: int((parameters["status"] == code).sum()) for code in told}
    rows = [[code, str(counts[code]), text] for code, text in told.items()]
    if not rows:
        page.text("Every cell is ok.")
        return
    columns = ["status", "cells", "what to do"]
    page.table(Table(title="Cells that are not ok", columns=columns, rows=rows))


def _cell(
    page: Page, kinetics: FittedKinetics, traces: FittedTraces, label: Any, why: str
) -> None:
    row = kinetics.parameters_.isel(unit=traces.position(label))
    low, high = row["tau_decay_ci"].values
    tau = format_quantity(float(row["tau_decay"]), "s", low, high)
    status = str(row["status"].item())
    page.heading(f"Unit {label}: tau_decay {tau}, {status}; {why}", level=3)
    if not np.isfinite(float(row["noise_sd"])):
        remedy = remedies_of(kinetics.parameters_["status"])[status]
        page.text(f"Nothing to draw. {remedy}")
        return
    one = traces.of(label)
    level = float(kinetics.confidence_level)
    checks = residuals_of(one, confidence_level=level)
    page.figure(_figure(one, checks, level), f"trace and checks of unit {label}")
    failed = [c for c in checks["check"].values if not bool(checks["passed"].sel(check=c))]
    if failed:
        page.listed([f"{CHECKS[c][0]}: {CHECKS[c][1]}" for c in map(str, failed)], failed=True)
    else:
        page.text("All residual checks passed.", small=True)


def _figure(one: FittedTrace, checks: xr.Dataset, confidence_level: float) -> Any:
    from matplotlib.figure import Figure

    from neurornn.plot.curves import trace as draw_trace
    from neurornn.plot.residuals import mean_event, residual_checks

    # Placed by hand: a layout that is solved takes three times as long to draw.
    figure = Figure(figsize=(10, 8.6))
    rows = figure.add_gridspec(3, 1, left=0.07, right=0.985, top=0.965, bottom=0.06, hspace=0.42)
    middle, below = rows[1].subgridspec(1, 3, wspace=0.3), rows[2].subgridspec(1, 4, wspace=0.48)
    coords = {"time": one.time}
    attrs = {"units": one.units}
    data, fit = (
        xr.DataArray(v, dims="time", coords=coords, attrs=attrs)
        for v in (one.y, one.calcium + one.baseline)
    )
    events = xr.Dataset(
        {
            "event_time": ("event", one.event_time),
            "event_size": ("event", one.event_size),
            "event_unit": ("event", np.zeros(len(one.event_time), int)),
        }
    )
    start, stop = _liveliest(one)
    draw_trace(
        data.rename(one.name),
        fit=fit,
        events=events,
        t_start=start,
        t_stop=stop,
        title="",
        ax=figure.add_subplot(rows[0]),
    )
    mean_event(
        average_of(one, confidence_level=confidence_level),
        title=f"mean event ({len(one.event_time)} seen)",
        ax=figure.add_subplot(middle[0]),
    )
    places = (middle[1:], *(below[k] for k in range(4)))
    residual_checks(checks, axes=[figure.add_subplot(p) for p in places])
    return figure


def _liveliest(one: FittedTrace) -> tuple[float, float]:
    """Stretch with the most events (s)."""
    length = max(_STRETCH, _STRETCH_FRAMES * one.dt)
    first, last = float(one.time[0]), float(one.time[-1])
    if last - first <= length:
        return first, last
    starts = np.arange(first, last - length + one.dt, length / 4)
    edges = np.searchsorted(one.event_time, [starts, starts + length])
    counts = edges[1] - edges[0]
    best = np.flatnonzero(counts == counts.max())
    start = float(starts[best[len(best) // 2]])
    return start, start + length
