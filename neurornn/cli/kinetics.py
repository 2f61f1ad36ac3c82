"""Decay constants, events and rates from fluorescence, with intervals and pictures."""

import os
from pathlib import Path
from typing import Any

from neurornn.cli._door import add_opening, add_option, opened
from neurornn.cli._said import Said, as_plain

HELP = "decay constants from fluorescence"
#: Pictures of a kinetics fit.
FIGURES = ("tau_decay.png", "traces.png")


def add_arguments(parser: Any) -> None:
    """Add the file, where the results go, and the settings of `Kinetics`."""
    from jsonargparse import ActionYesNo

    add_opening(parser)
    for name, said in (
        ("out", "file .nc or folder"),
        ("csv", "table as CSV"),
        ("figures", "folder"),
        ("html", "report as one HTML file"),
    ):
        add_option(parser, name, str, said)
    add_option(parser, "penalty", float, "noise sd")
    add_option(parser, "tau_bounds", tuple[float, float], "s", (0.005, 20.0))
    add_option(parser, "n_jobs", int, "processes; -1 for one per core", 1)
    add_option(parser, "chunk_size", int, "cells per chunk", 8)
    parser.add_argument("--progress", action=ActionYesNo, default=True)


def run(a: Any) -> Said:
    """Fit, and write what was asked for."""
    import neurornn as nr
    from neurornn._core.jobs import forget_partial
    from neurornn.calcium.html_page import write_html

    _check_places(a)
    recording = opened(a)
    # Where the reader took the variable that was named, there is no other.
    taken = "variable" in nr.io.reader_options(a.file)
    trace = sampled_variable(recording, None if taken else a.variable)
    partial = _partial_of(a.out) if a.out else None
    estimator = nr.calcium.Kinetics(
        penalty=a.penalty,
        tau_bounds=tuple(a.tau_bounds),
        n_jobs=a.n_jobs,
        chunk_size=a.chunk_size,
        progress=a.progress,
    ).fit(trace, checkpoint=partial)
    said = [estimator.report()]
    if a.out:
        estimator.save(a.out)
        forget_partial(str(partial))
        said.append(f"\nsaved: {a.out}")
    if a.csv:
        estimator.to_csv(a.csv)
        said.append(f"table: {a.csv}")
    if a.figures:
        said += [f"figure: {p}" for p in kinetics_figures(estimator, trace, a.figures)]
    if a.html:
        said.append(f"report: {write_html(estimator, trace, a.html)}")
    return Said("\n".join(said), as_plain(estimator.parameters_))


def stopped(a: Any) -> str:
    """Say what a user who stopped it can do."""
    return " The same command continues where it was stopped." if a.out else ""


def sampled_variable(recording: Any, name: str | None) -> Any:
    """Return the trace to fit: the one named, or the first of dff and fluorescence."""
    from neurornn._core.errors import NameUnknownError, nearest

    known = [str(n) for n, v in recording.data_vars.items() if "time" in v.dims]
    usual = [n for n in ("dff", "fluorescence") if n in known]
    name = name or next(iter(usual or (known if len(known) == 1 else [])), None)
    if name not in known:
        raise NameUnknownError(
            f"There is no sampled variable {name or 'dff'!r} in the file",
            "A trace (time, unit) was needed",
            nearest(str(name), known),
        )
    return recording[name]


def _partial_of(out: str) -> str:
    """Folder for the finished chunks of `neurornn kinetics`, beside its result."""
    return f"{out.rstrip('/' + os.sep)}.partial"


def not_a_table(path: Path) -> str | None:
    """Say why a CSV file may not be replaced; None where it is a table of kinetics."""
    with path.open("rb") as file:
        ours = file.read(17) == b"unit,tau_decay (s"
    return None if ours else "is not a table of kinetics"


def _check_places(a: Any) -> None:
    """Raise before the fit where one of the files of `neurornn kinetics` cannot be written."""
    from neurornn._core.targets import check_apart, check_container, check_target
    from neurornn.io.replaceable import check_save_target
    from neurornn.plot.files import not_a_figure
    from neurornn.plot.pages import not_a_page

    places: list[str] = []
    if a.figures is not None:
        check_container(a.figures)
    figures = [] if a.figures is None else [os.path.join(a.figures, name) for name in FIGURES]
    for path, ours in [
        *((name, not_a_figure) for name in figures),
        (a.csv, not_a_table),
        (a.html, not_a_page),
    ]:
        if path is not None:
            check_target(path, ours=ours, inputs=[a.file])
            places.append(path)
    if a.out is not None:
        partial = _partial_of(a.out)
        check_save_target(a.out, "Kinetics", inputs=[a.file])
        check_target(partial, folder=True, ours=lambda _: None, inputs=[a.file])
        places += [a.out, partial]
    check_apart(places)


def kinetics_figures(estimator: Any, trace: Any, folder: str, truth: Any = None) -> list[Path]:
    """Write the pictures of a kinetics fit: all time constants, and the traces of up to six cells.

    Parameters
    ----------
    estimator : fitted ``Kinetics``.
    trace : DataArray (time, unit) that it was fitted to.
    folder : where the PNG files go.
    truth : (unit,), s, known time constants.

    Returns
    -------
    paths of the files
    """
    import matplotlib.pyplot as plt
    import numpy as np

    import neurornn as nr
    from neurornn._core.units import format_quantity

    paths = []

    def write(name: str, figure: Any) -> None:
        paths.append(nr.plot.write_figure(figure, Path(folder) / name))

    if np.isfinite(estimator.parameters_["tau_decay"]).any():
        ax = nr.plot.timescales(estimator.parameters_, truth=truth)
        write(FIGURES[0], ax.figure)
    labels = estimator.parameters_["unit"].values
    trace = trace if "unit" in trace.dims else trace.expand_dims("unit", axis=1)
    trace = trace.assign_coords(unit=labels)
    shown = labels[np.linspace(0, len(labels) - 1, min(6, len(labels))).round().astype(int)]
    figure, axes = plt.subplots(
        len(shown), 1, figsize=(10, 2.4 * len(shown)), layout="constrained", squeeze=False
    )
    denoised = estimator.denoised()
    start = float(trace["time"][0])
    for ax, label in zip(axes[:, 0], shown, strict=True):
        row = estimator.parameters_.sel(unit=label)
        low, high = row["tau_decay_ci"].values
        nr.plot.trace(
            trace,
            fit=denoised,
            events=estimator.events_,
            unit=label,
            t_start=start,
            t_stop=start + min(60.0, float(trace["time"][-1]) - start),
            title=f"unit {label}: tau {format_quantity(float(row['tau_decay']), 's', low, high)}, "
            f"{row['status'].item()}",
            ax=ax,
        )
    write(FIGURES[1], figure)
    return paths
