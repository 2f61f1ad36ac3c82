"""Fit the bundled recording; table, figures, saved files."""

from pathlib import Path
from typing import Any

from neurornn.cli._door import add_option
from neurornn.cli._said import Said, as_plain
from neurornn.cli.kinetics import FIGURES, kinetics_figures, not_a_table

HELP = "fit the bundled recording"
#: The bundled sample that the demo fits.
DEMO_SAMPLE = "sample_calcium"


def add_arguments(parser: Any) -> None:
    """Add the folder."""
    add_option(parser, "out", str, "folder for figures and files", "demo")


def run(a: Any) -> Said:
    """Fit the sample as a recording, and as a network that is given the spikes."""
    import neurornn as nr
    from neurornn._core.targets import check_container, check_target
    from neurornn.io.replaceable import check_save_target
    from neurornn.plot.files import not_a_figure

    check_container(a.out)
    out = Path(a.out)
    check_save_target(out / "kinetics.nc", "Kinetics")
    check_save_target(out / "rnn", "FitResult")
    check_target(out / "kinetics.csv", ours=not_a_table)
    for name in (*FIGURES, "history.png"):
        check_target(out / name, ours=not_a_figure)
    recording = nr.open(nr.fetch(DEMO_SAMPLE))
    truth = recording["tau_decay_true"]
    estimator = nr.calcium.Kinetics(chunk_size=1, progress=True).fit(recording["dff"])
    shown = estimator.report(truth=truth)
    estimator.save(out / "kinetics.nc")
    estimator.to_csv(out / "kinetics.csv")
    figures = kinetics_figures(estimator, recording["dff"], str(out), truth=truth.values)

    one = nr.data.select_units(recording, [1])
    dt = 1 / nr.data.sampling_rate_of(one["dff"])
    model = nr.models.LeakyRNN(
        n_input=1, n_hidden=1, n_output=1, nonlinearity="linear", dt=dt, tau=1.0
    )
    given = nr.data.windows(one, inputs="spikes", targets="dff", duration=20.0)
    result = nr.fit(model, given, rng=0, progress=True)
    result.save(out / "rnn")
    nr.plot.write_figure(nr.plot.history(result.history).figure, out / "history.png")
    unit = one["unit"].values[0]
    text = "\n".join(
        [
            shown,
            "",
            f"The same from the weight of a one-unit RNN that is given the spikes of unit {unit} "
            f"(truth {float(truth[1]):.3g} s):",
            "",
            result.report(),
            "",
            f"In {out}: kinetics.nc, kinetics.csv, rnn/, "
            + ", ".join([*(p.name for p in figures), "history.png"]),
        ]
    )
    data = {"kinetics": estimator.parameters_, "network": result.parameters}
    return Said(text, as_plain(data))
