"""Intrinsic time constants of a recording's units, or of all of them together."""

from pathlib import Path
from typing import Any

from neurornn.cli._door import add_opening, add_option, opened
from neurornn.cli._outputs import add_outputs, check_outputs
from neurornn.cli._said import Said, as_plain

HELP = "intrinsic time constants of spiking, with intervals, link and noise undone"
#: Pictures of a fit.
FIGURES = ("autocorrelation.png", "timescales.png")


def add_arguments(parser: Any) -> None:
    """Add the file, where the results go, and the settings of `Timescales`."""
    add_opening(parser)
    add_outputs(parser)
    add_option(parser, "bin_size", float, "s, in which spikes are counted", 0.02)
    add_option(parser, "n_timescales", int, "time constants of each unit or population", 1)
    add_option(parser, "pooled", bool, "one fit for all units together", False)
    add_option(parser, "oscillation", bool, "two latents more, which turn at a frequency", False)
    add_option(parser, "refractory_period", float, "s, dead time after each spike", 0.0)
    add_option(parser, "n_jobs", int, "processes; -1 for one per core", 1)
    add_option(parser, "progress", bool, "show a bar over units", True)


def run(a: Any) -> Said:
    """Count, fit, and write what was asked for."""
    import neurornn as nr

    check_outputs(a, "Timescales", FIGURES, not_a_table)
    fit = nr.spikes.Timescales(
        a.n_timescales, pooled=bool(a.pooled), oscillation=bool(a.oscillation),
        refractory_period=a.refractory_period,
        bin_size=a.bin_size, n_jobs=a.n_jobs, progress=bool(a.progress),
    ).fit(opened(a))  # fmt: skip
    said = [fit.report()]
    if a.out:
        fit.save(a.out)
        said.append(f"\nsaved: {a.out}")
    if a.csv:
        fit.to_csv(a.csv)
        said.append(f"table: {a.csv}")
    if a.figures:
        said += [f"figure: {p}" for p in _figures(fit, a.figures)]
    return Said("\n".join(said), as_plain(fit.parameters_))


def not_a_table(path: Path) -> str | None:
    """Say why a CSV file may not be replaced; None where it is a table of time constants."""
    with path.open("rb") as file:
        head = file.readline()
    ours = b"tau (s)" in head and b"amplitude" in head
    return None if ours else "is not a table of time constants"


def _figures(fit: Any, folder: str) -> list[Path]:
    import numpy as np

    import neurornn as nr

    table = fit.parameters_
    unit = None
    if "unit" in table["status"].dims:
        # The unit that is best known.
        good = np.flatnonzero(table["status"].values == "ok")
        if not len(good):
            return []
        width = np.log(table["tau_ci"].values.reshape(len(fit.units_), -1)[good, 1])
        width -= np.log(table["tau_ci"].values.reshape(len(fit.units_), -1)[good, 0])
        unit = fit.units_[good[int(np.argmin(width))]]
    axes = nr.plot.autocorrelation(fit, unit=unit)
    paths: list[Path] = [nr.plot.write_figure(axes.figure, Path(folder) / FIGURES[0])]
    if np.isfinite(table["tau"].values).any():
        axes = nr.plot.timescales(table)
        paths.append(nr.plot.write_figure(axes.figure, Path(folder) / FIGURES[1]))
    return paths
