"""Spikes of a recording as point processes: time constants of their past, and whether it fits."""

from pathlib import Path
from typing import Any

from neurornn.cli._door import add_opening, add_option, opened
from neurornn.cli._outputs import add_outputs, check_outputs
from neurornn.cli._said import Said, as_plain

HELP = "time constants of spike history, with intervals, and whether the model fits"
#: Pictures of a fit.
FIGURES = ("raster.png", "history.png", "intervals.png", "rescaling.png")
#: Share of the time that the model is fitted on; the rest tests it.
TRAIN = 0.7


def add_arguments(parser: Any) -> None:
    """Add the file, where the results go, and the settings of `PointProcess`."""
    add_opening(parser)
    add_outputs(parser)
    add_option(parser, "stimulus", str, "name of a variable that drives the units")
    add_option(parser, "bin_size", float, "s, of the bins", 0.001)
    add_option(parser, "history", float, "s, how far back spikes matter; 0 for Poisson", 0.2)
    add_option(
        parser, "history_basis", str, "exponential, with time constants, or raised_cosine",
        "exponential",
    )  # fmt: skip
    add_option(parser, "coupling", bool, "filters from all other units", False)
    add_option(parser, "forgetting", float, "s; weights follow drift; with raised_cosine")
    add_option(parser, "progress", bool, "show a bar over units", True)


def run(a: Any) -> Said:
    """Fit on the first part, test on the rest, and write what was asked for."""
    import neurornn as nr

    check_outputs(a, "PointProcess", FIGURES, not_a_table)
    recording = opened(a)
    train, test = nr.data.split_blocks(recording, fractions=(TRAIN, 1 - TRAIN), gap=0.0)
    model = nr.spikes.PointProcess(
        a.stimulus,
        history=a.history if a.history != 0 else None,
        history_basis=a.history_basis,
        coupling=bool(a.coupling),
        bin_size=a.bin_size,
        forgetting=a.forgetting,
        progress=bool(a.progress),
    ).fit(train)
    check = nr.spikes.time_rescaling(model, test)
    worth = model.bits_per_spike(test)
    bits = zip(model.units_.tolist(), worth.values, strict=True)
    said = [
        model.report(),
        f"\nTested on the last {100 * (1 - TRAIN):.0f} % of the time:\n",
        check.report(),
        "\nbits per spike on it: " + ", ".join(f"{u}: {v:.3g}" for u, v in bits),
    ]
    if a.out:
        model.save(a.out)
        said.append(f"\nsaved: {a.out}")
    if a.csv:
        model.to_csv(a.csv)
        said.append(f"table: {a.csv}")
    if a.figures:
        said += [f"figure: {p}" for p in _figures(model, check, test, a.figures)]
    data = as_plain(model.parameters_) | {
        "bits_per_spike": as_plain(worth), "time_rescaling": as_plain(check.parameters),
        "verdict": check.verdict,
    }  # fmt: skip
    return Said("\n".join(said), data)


def not_a_table(path: Path) -> str | None:
    """Say why a CSV file may not be replaced; None where it is a table of point processes."""
    with path.open("rb") as file:
        ours = file.read(24) == b"unit,baseline_rate (Hz),"
    return None if ours else "is not a table of point processes"


def _figures(model: Any, check: Any, test: Any, folder: str) -> list[Path]:
    import neurornn as nr

    def write(ax: Any, name: str) -> Path:
        found: Path = nr.plot.write_figure(ax.figure, Path(folder) / name)
        return found

    paths = [write(nr.plot.raster(test), FIGURES[0])]
    fitted = model.parameters_["status"].values.tolist()
    whole = [k for k, s in enumerate(fitted) if s not in ("no_data", "too_few_events")]
    if not whole:
        return paths
    unit = model.units_[whole[0]]
    if "history_filter" in model.filters_:
        paths.append(write(nr.plot.spike_filter(model, unit=unit), FIGURES[1]))
    # A model with a stimulus draws spikes under that of its fit; all units must have one.
    drawn = model if len(whole) == len(fitted) else None
    table = nr.spikes.interval_histogram(test, model=drawn, bin_size=float(model.bin_size))
    paths.append(write(nr.plot.lag_histogram(table, unit=unit), FIGURES[2]))
    paths.append(write(nr.plot.time_rescaling(check), FIGURES[3]))
    return paths
