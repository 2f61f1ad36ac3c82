"""Time constants and frequencies of the linear modes of a recording, with intervals."""

from pathlib import Path
from typing import Any

from neurornn.cli._door import add_opening, add_option, opened
from neurornn.cli._outputs import add_outputs, check_outputs
from neurornn.cli._said import Said, as_plain
from neurornn.cli.kinetics import sampled_variable

HELP = "time constants and frequencies of linear modes, with intervals"
#: Pictures of a fit of modes.
FIGURES = ("spectrum.png", "shapes.png", "forecast.png")


def add_arguments(parser: Any) -> None:
    """Add the file, where the results go, and the settings of `Modes`."""
    add_opening(parser)
    add_outputs(parser)
    add_option(parser, "rank", int, "number of eigenvalues, pairs twice; by a criterion")
    add_option(parser, "n_delays", int, "frames laid side by side for the start; several tried")
    add_option(parser, "stable", bool, "keep every mode from growing", False)
    add_option(parser, "duration", float, "s; cut the recording into trials of this length")


def run(a: Any) -> Said:
    """Fit, and write what was asked for."""
    import neurornn as nr

    check_outputs(a, "Modes", FIGURES, not_a_table)
    recording = opened(a)
    taken = "variable" in nr.io.reader_options(a.file)
    series = sampled_variable(recording, None if taken else a.variable)
    modes = nr.koopman.Modes(
        rank="auto" if a.rank is None else a.rank,
        n_delays="auto" if a.n_delays is None else a.n_delays,
        stable=bool(a.stable),
    ).fit(series if a.duration is None else _trials(series, a.duration))
    said = [modes.report()]
    if a.out:
        modes.save(a.out)
        said.append(f"\nsaved: {a.out}")
    if a.csv:
        modes.to_csv(a.csv)
        said.append(f"table: {a.csv}")
    if a.figures:
        said += [f"figure: {p}" for p in _figures(modes, a.figures)]
    return Said("\n".join(said), as_plain(modes.parameters_))


def _trials(series: Any, duration: float) -> list[Any]:
    """Cut a series into trials of so many s, each with a start of its own; none across a gap."""
    from neurornn._core.checks import check_positive
    from neurornn._core.errors import DataError
    from neurornn.data.samples import window_edges
    from neurornn.data.series import as_series

    samples = as_series(series, name=str(series.name or "series"))
    n = round(check_positive(duration, "duration", "s") * samples.sampling_rate)
    if n < 2:
        raise DataError(
            f"duration is {duration:g} s, {n} frames",
            "Trials of two frames or more were needed",
            "Pass a longer --duration",
        )
    edges = [
        edge
        for start, stop in samples.blocks
        for edge in window_edges(int(start), int(stop), n, 0, whole=False)
    ]
    return [series.isel(time=slice(a, b)) for a, b in edges]


def not_a_table(path: Path) -> str | None:
    """Say why a CSV file may not be replaced; None where it is a table of modes."""
    with path.open("rb") as file:
        ours = file.read(20) == b"mode,time_constant ("
    return None if ours else "is not a table of modes"


def _figures(modes: Any, folder: str) -> list[Path]:
    import neurornn as nr
    from neurornn._core.errors import DataError

    paths = [
        nr.plot.write_figure(nr.plot.spectrum(modes).figure, Path(folder) / FIGURES[0]),
        nr.plot.write_figure(nr.plot.mode_shapes(modes).figure, Path(folder) / FIGURES[1]),
    ]
    said = modes.reconstruct()
    last = said if "trajectory" not in said.dims else said.isel(trajectory=-1)
    last = last.dropna("time").values
    try:
        ahead = modes.forecast(max(len(last) // 3, 1) * modes.dt_)
    except DataError:
        # A mode that grows has no forecast, and the report says that it grows.
        return paths
    ahead = ahead if "trajectory" not in ahead.dims else ahead.isel(trajectory=-1)
    ax = nr.plot.forecast_fan(ahead, past=last)
    return [*paths, nr.plot.write_figure(ax.figure, Path(folder) / FIGURES[2])]
