"""The command line: parse, call, print."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

#: The bundled sample that the demo fits.
DEMO_SAMPLE = "sample_calcium"
#: Models that are fitted to windows of inputs and targets; `fit` builds them from a file.
WINDOW_MODELS = (
    "LeakyRNN",
    "VanillaRNN",
    "GRU",
    "LSTM",
    "LinearStateSpace",
    "LinearHistory",
    "Memoryless",
    "MemorylessMLP",
    "CausalCNN",
    "CausalTransformer",
)
#: Decoders of `neurornn decode`: name -> class and settings.
DECODERS = {
    "kalman": ("KalmanFilter", {}),
    "ridge": ("RidgeDecoder", {}),
    "wiener": ("WienerFilter", {}),
    "cascade": ("WienerCascade", {}),
    "lstm": ("RecurrentDecoder", {"cell": "lstm"}),
    "gru": ("RecurrentDecoder", {"cell": "gru"}),
    "leaky": ("RecurrentDecoder", {"cell": "leaky"}),
}
#: Pictures of a kinetics fit.
_FIGURES = ("tau_decay.png", "traces.png")
#: A file nested deeper is none of a person.
_DEEPEST = 50
#: What a missing key may look like.
_EXAMPLES = {"n_hidden": "16", "context": "0.5"}


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns the exit status.

    Parameters
    ----------
    argv : arguments; by default those of the process.
    """
    parser, commands = _parser()
    settings = parser.parse_args(argv)
    name = settings.command
    if name is None:
        parser.print_help()
        return 2
    from neurornn._core.errors import ThreePartError

    os.environ.setdefault("MPLBACKEND", "Agg")
    warnings.filterwarnings("default", module="neurornn")
    try:
        text = commands[name](settings[name])
    except ThreePartError as error:
        print(f"neurornn {name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumes = name == "kinetics" and settings[name].out
        hint = " The same command continues where it was stopped." if resumes else ""
        print(f"Stopped.{hint}", file=sys.stderr)
        return 130
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader (head, say) has seen enough; keep the interpreter from trying again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> tuple[Any, dict[str, Any]]:
    from jsonargparse import ActionYesNo, ArgumentParser

    from neurornn import __version__

    parser = ArgumentParser(
        prog="neurornn",
        description="Time constants in seconds from recordings, with error bars.",
        version=__version__,
    )
    subcommands = parser.add_subcommands(required=False, dest="command")

    demo = ArgumentParser(description="Fit the bundled recording; table, figures, saved files.")
    demo.add_argument("--out", type=str, default="demo", help="folder for figures and files")
    subcommands.add_subcommand("demo", demo, help="fit the bundled recording")

    info = ArgumentParser(description="Say what a file holds.")
    info.add_argument("file", type=str)
    info.add_argument("--sampling_rate", type=float | None, default=None, help="Hz")
    subcommands.add_subcommand("info", info, help="say what a file holds")

    kinetics = ArgumentParser(description="Decay constants, events and rates from fluorescence.")
    kinetics.add_argument("file", type=str)
    kinetics.add_argument("--variable", type=str | None, default=None, help="for example dff")
    kinetics.add_argument("--sampling_rate", type=float | None, default=None, help="Hz")
    kinetics.add_argument("--out", type=str | None, default=None, help="file .nc or folder")
    kinetics.add_argument("--csv", type=str | None, default=None, help="table as CSV")
    kinetics.add_argument("--figures", type=str | None, default=None, help="folder")
    kinetics.add_argument("--html", type=str | None, default=None, help="report as one HTML file")
    kinetics.add_argument("--penalty", type=float | None, default=None, help="noise sd")
    kinetics.add_argument(
        "--tau_bounds", type=tuple[float, float], default=(0.005, 20.0), help="s"
    )
    kinetics.add_argument("--n_jobs", type=int, default=1)
    kinetics.add_argument("--chunk_size", type=int, default=8)
    kinetics.add_argument("--progress", action=ActionYesNo, default=True)
    subcommands.add_subcommand("kinetics", kinetics, help="decay constants from fluorescence")

    fit = ArgumentParser(description="Fit a model; the keys of the file are the Python names.")
    fit.add_argument("config", type=str, help="YAML file with data, windows, model, fit, out")
    subcommands.add_subcommand("fit", fit, help="fit a model described in a file")

    decode = ArgumentParser(description="Fit a decoder, score it on the last part of the file.")
    decode.add_argument("file", type=str)
    decode.add_argument("--target", type=str, required=True, help="for example velocity")
    decode.add_argument(
        "--bin_size", "--bin-size", type=float | None, default=None, help="s; for spike times"
    )
    decode.add_argument("--decoder", choices=list(DECODERS), default="kalman")
    decode.add_argument(
        "--test_fraction", "--test-fraction", type=float, default=0.15, help="of the time"
    )
    decode.add_argument("--out", type=str, default="decoded", help="folder")
    subcommands.add_subcommand("decode", decode, help="fit a decoder and score it")

    datasets = ArgumentParser(description="List the data sets that nr.fetch knows.")
    datasets.add_argument("name", type=str | None, default=None, nargs="?", help="show one card")
    subcommands.add_subcommand("datasets", datasets, help="list known data sets")

    return parser, {
        "demo": _demo,
        "info": _info,
        "kinetics": _kinetics,
        "fit": _fit,
        "decode": _decode,
        "datasets": _datasets,
    }


def _info(a: Any) -> str:
    import neurornn as nr

    recording = nr.open(a.file, sampling_rate=a.sampling_rate)
    return nr.data.describe(recording, Path(a.file).name).to_text()


def _variable(recording: Any, name: str | None) -> Any:
    """Return the trace to fit: the one named, or the first of dff and fluorescence."""
    from neurornn._core.errors import NameUnknownError, nearest

    known = [str(n) for n, v in recording.data_vars.items() if "time" in v.dims]
    name = name or next((n for n in ("dff", "fluorescence") if n in known), None)
    if name not in known:
        raise NameUnknownError(
            f"There is no sampled variable {name or 'dff'!r} in the file",
            "A trace (time, unit) was needed",
            nearest(str(name), known),
        )
    return recording[name]


def _kinetics(a: Any) -> str:
    import neurornn as nr
    from neurornn._core.jobs import forget_partial
    from neurornn.calcium.html_page import write_html

    _check_places(a)
    recording = nr.open(a.file, sampling_rate=a.sampling_rate)
    trace = _variable(recording, a.variable)
    partial = _partial_of(a.out) if a.out else None
    estimator = nr.calcium.Kinetics(
        penalty=a.penalty,
        tau_bounds=tuple(a.tau_bounds),
        n_jobs=a.n_jobs,
        chunk_size=a.chunk_size,
        progress=a.progress,
    ).fit(trace, partial=partial)
    said = [estimator.report()]
    if a.out:
        estimator.save(a.out)
        forget_partial(str(partial))
        said.append(f"\nsaved: {a.out}")
    if a.csv:
        table = estimator.parameters_
        nr.io.write_csv(table.drop_dims(["parameter", "parameter_"]), a.csv)
        said.append(f"table: {a.csv}")
    if a.figures:
        said += [f"figure: {p}" for p in kinetics_figures(estimator, trace, a.figures)]
    if a.html:
        said.append(f"report: {write_html(estimator, trace, a.html)}")
    return "\n".join(said)


def _partial_of(out: str) -> str:
    """Folder for the finished chunks of `neurornn kinetics`, beside its result."""
    return f"{out.rstrip('/' + os.sep)}.partial"


def _not_a_table(path: Path) -> str | None:
    """Say why a CSV file may not be replaced; None where it is a table of kinetics."""
    with path.open("rb") as file:
        ours = file.read(17) == b"unit,tau_decay (s"
    return None if ours else "is not a table of kinetics"


def _check_places(a: Any) -> None:
    """Raise before the fit where one of the files of `neurornn kinetics` cannot be written."""
    from neurornn._core.targets import check_apart, check_container, check_target
    from neurornn.calcium.html_page import not_a_report
    from neurornn.io.replaceable import check_save_target
    from neurornn.plot.files import not_a_figure

    places: list[str] = []
    if a.figures is not None:
        check_container(a.figures)
    figures = [] if a.figures is None else [os.path.join(a.figures, name) for name in _FIGURES]
    for path, ours in [
        *((name, not_a_figure) for name in figures),
        (a.csv, _not_a_table),
        (a.html, not_a_report),
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
        write(_FIGURES[0], ax.figure)
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
    write(_FIGURES[1], figure)
    return paths


def _demo(a: Any) -> str:
    import neurornn as nr
    from neurornn._core.targets import check_container, check_target
    from neurornn.io.replaceable import check_save_target
    from neurornn.plot.files import not_a_figure

    check_container(a.out)
    out = Path(a.out)
    check_save_target(out / "kinetics.nc", "Kinetics")
    check_save_target(out / "rnn", "FitResult")
    check_target(out / "kinetics.csv", ours=_not_a_table)
    for name in (*_FIGURES, "history.png"):
        check_target(out / name, ours=not_a_figure)
    recording = nr.open(nr.fetch(DEMO_SAMPLE))
    truth = recording["tau_decay_true"]
    estimator = nr.calcium.Kinetics().fit(recording["dff"])
    shown = estimator.report(truth=truth)
    estimator.save(out / "kinetics.nc")
    nr.io.write_csv(
        estimator.parameters_.drop_dims(["parameter", "parameter_"]), out / "kinetics.csv"
    )
    figures = kinetics_figures(estimator, recording["dff"], str(out), truth=truth.values)

    one = nr.data.select_units(recording, [1])
    dt = 1 / nr.data.sampling_rate_of(one["dff"])
    model = nr.models.LeakyRNN(
        n_input=1, n_hidden=1, n_output=1, nonlinearity="linear", dt=dt, tau=1.0
    )
    given = nr.data.windows(one, inputs="spikes", targets="dff", duration=20.0)
    result = nr.fit(model, given, rng=0)
    result.save(out / "rnn")
    nr.plot.write_figure(nr.plot.history(result.history).figure, out / "history.png")
    unit = one["unit"].values[0]
    return "\n".join(
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


def _fit(a: Any) -> str:
    import neurornn as nr
    from neurornn._core.errors import FileFormatError, NameUnknownError, nearest

    path = Path(a.config)
    config = _read_config(path)
    parts = {k: dict(config.get(k) or {}) for k in ("data", "windows", "model", "fit")}
    file, units = parts["data"].pop("file", None), parts["data"].pop("units", None)
    if not isinstance(file, str) or not file.strip() or "\0" in file:
        raise FileFormatError(
            f"data in {path.name} has no file, or one that is no name: {file!r}",
            "The key file with the file of the recording, relative to the YAML file, was needed",
            "Add data: {file: recording.nc}",
        )
    # What can be known is checked before anything is read.
    if not all(isinstance(key, str) for key in parts["data"]):
        raise NameUnknownError(
            f"data has the keys {', '.join(map(repr, parts['data']))}",
            "Names of arguments of nr.open were needed",
            "Keep file, units and sampling_rate",
        )
    _check_keys(nr.data.windows, parts["windows"], "windows", ("recording",))
    _check_complete(nr.data.windows, {"recording": None, **parts["windows"]}, "windows")
    _check_keys(nr.fit, parts["fit"], "fit", ("model", "data", "validation"))
    name = parts["model"].pop("name", "LeakyRNN")
    if not isinstance(name, str) or name not in WINDOW_MODELS:
        raise NameUnknownError(
            f"model.name is {name!r}",
            "The name of a model that is fitted to windows was needed",
            nearest(str(name), WINDOW_MODELS),
        )
    make = getattr(nr.models, name)
    _check_keys(make, parts["model"], "model", ())
    out = _places_of_fit(path, path.parent / str(file), config.get("out"), parts["fit"])
    recording = nr.open(path.parent / file, **parts["data"])
    if units is not None:
        recording = nr.data.select_units(recording, units)
    cut = nr.data.windows(recording, **parts["windows"])
    train, validation = cut[:2] if isinstance(cut, tuple) else (cut, None)
    settings = {
        "n_input": train.sizes["input"],
        "n_output": train.sizes["output"],
        "dt": train.attrs["dt"],
        **parts["model"],
    }
    _check_complete(make, settings, "model")
    result = nr.fit(make(**settings), train, validation=validation, **parts["fit"])
    said = result.report()
    if out is not None:
        result.save(out)
        said += f"\n\nsaved: {config['out']}"
    return said


def _read_config(path: Path) -> dict[str, Any]:
    """Return what the YAML file of `neurornn fit` says, its keys checked; no key stands twice."""
    import re

    import yaml

    from neurornn._core.errors import FileFormatError, FileMissingError, NameUnknownError, nearest

    class Loader(yaml.SafeLoader):
        """Refuses keys that stand twice, of which YAML silently takes the last, and deep nests."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            """Count how deep it goes."""
            self.depth += 1
            if self.depth > _DEEPEST:
                raise yaml.composer.ComposerError(
                    None, None, f"nested more than {_DEEPEST} deep", self.peek_event().start_mark
                )
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def compose_mapping_node(self, anchor: Any) -> Any:
            """Look at the keys as they stand in the file."""
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.composer.ComposerError(
                        None, None, f"the key {key.value!r} stands twice", key.start_mark
                    )
                seen.add(str(key.value))
            return node

    # In YAML 1.1, 1e-3 without a point is text; here it is the number that it looks like.
    number = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    if not path.is_file():
        raise FileMissingError(
            f"There is no file {path}", "A YAML file was needed", "Check the path"
        )
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise FileFormatError(
            f"{path.name} is not YAML: {error}", "A YAML file was needed", "Correct that line"
        ) from None
    needed = ("data", "windows", "model")
    known = (*needed, "fit", "out")
    found = list(config) if isinstance(config, dict) else []
    for key in found:
        if key not in known:
            raise NameUnknownError(
                f"{path.name} has the key {key!r}",
                f"The keys {', '.join(known)} were needed, and no other",
                nearest(str(key), known),
            )
    if any(k not in found for k in needed):
        raise FileFormatError(
            f"{path.name} has the keys {', '.join(map(str, found)) or 'none'}",
            f"The keys {', '.join(needed)}, and optionally fit and out, were needed",
            "See the example in the command-line page of the documentation",
        )
    for key in (*needed, "fit"):
        part = config.get(key)
        if part is not None and not isinstance(part, dict):
            raise FileFormatError(
                f"{key} in {path.name} is {part!r:.60}",
                "Keys with their values, one a line, were needed",
                f"Write them under {key}:, each with two spaces before it",
            )
    return dict(config)


def _places_of_fit(config: Path, file: Path, out: Any, fit: dict[str, Any]) -> Path | None:
    """Return where the result of `neurornn fit` goes; raise before the fit where it cannot."""
    from neurornn._core.errors import FileFormatError
    from neurornn._core.targets import check_apart
    from neurornn.io.replaceable import check_save_target

    for name, given in (("out", out), ("fit.checkpoint", fit.get("checkpoint"))):
        if given is not None and not (isinstance(given, str) and given.strip()):
            raise FileFormatError(
                f"{name} in {config.name} is {given!r}",
                "The path of a folder, relative to the YAML file, was needed",
                f"Give it a name, for example {name.rpartition('.')[2]}: fitted",
            )
    places = []
    if fit.get("checkpoint") is not None:
        fit["checkpoint"] = config.parent / fit["checkpoint"]
        places.append(fit["checkpoint"])
    if out is None:
        return None
    place = config.parent / out
    if place.suffix == ".nc":
        raise FileFormatError(
            f"out in {config.name} is {out!r}, a single file",
            "A folder was needed: weights are kept in a file of their own",
            f"Pass out: {place.stem}",
        )
    check_save_target(place, "FitResult", inputs=[config, file])
    check_apart([*places, place])
    return place


def _decode(a: Any) -> str:
    import neurornn as nr
    from neurornn._core.errors import DataError
    from neurornn._core.files import atomic_path
    from neurornn._core.report import parameters_table
    from neurornn._core.targets import check_container, check_target
    from neurornn.io.replaceable import check_save_target
    from neurornn.plot.files import not_a_figure

    if not 0 < a.test_fraction < 1:
        raise DataError(
            f"test_fraction is {a.test_fraction:g}",
            "A share of the recorded time above 0 and below 1 was needed",
            "Pass --test_fraction 0.15",
        )
    check_container(a.out)
    out = Path(a.out)
    check_save_target(out / "decoder", DECODERS[a.decoder][0], inputs=[a.file])
    check_target(out / "report.txt", ours=_not_decoded, inputs=[a.file])
    check_target(out / "decoded.png", ours=not_a_figure, inputs=[a.file])
    counts, target = _counts_and_target(nr.open(a.file), a.target, a.bin_size)
    name, settings = DECODERS[a.decoder]
    decoder = getattr(nr.decode, name)(bin_size=counts.attrs["bin_size"], **settings)
    shares = (1 - a.test_fraction, a.test_fraction)
    (train, test), (goals, truth) = (nr.data.split_blocks(x, shares) for x in (counts, target))
    decoder.fit(train, goals)
    decoded, interval = decoder.predict(test, return_interval=True)
    scores = nr.decode.movement_scores(truth, decoded)
    n, begin, end = len(test), float(test["time"][0]), float(test["time"][-1])
    heading = f"{a.target} on the last block: {n} bins, {begin:g} to {end:g} s"
    said = f"{decoder.report()}\n\n{parameters_table(scores, heading).to_text()}"
    decoder.save(out / "decoder")
    with atomic_path(out / "report.txt", ours=_not_decoded) as path:
        path.write_text(said + "\n", encoding="utf-8")
    axes = nr.plot.decoded_traces(truth, decoded, interval, t_stop=min(begin + 30.0, end))
    nr.plot.write_figure(axes[0].figure, out / "decoded.png")
    return f"{said}\n\nIn {out}: decoder/, report.txt, decoded.png"


def _not_decoded(path: Path) -> str | None:
    """Say why a report.txt may not be replaced; None where `neurornn decode` has made it."""
    with path.open("rb") as file:
        first = file.read(200)
    ours = any(first.startswith(f"{name}: ".encode()) for name, _ in DECODERS.values())
    return None if ours else "is a file that neurornn did not write"


def _counts_and_target(recording: Any, target: str, bin_size: float | None) -> tuple[Any, Any]:
    """Return the counts of a recording and one of its variables on the same bins."""
    from neurornn import data
    from neurornn._core.errors import DataError, NameUnknownError, nearest

    known = {
        str(name): next(d for d in v.dims if d == "time" or f"{d}_time" in recording)
        for name, v in recording.data_vars.items()
        if any(d == "time" or f"{d}_time" in recording for d in v.dims) and name != "counts"
    }
    if target not in known:
        raise NameUnknownError(
            f"There is no variable {target!r} with a clock in the file",
            "What is to be decoded was needed, for example a velocity",
            nearest(target, known),
        )
    if "counts" in recording:
        counts = recording["counts"]
        width = float(counts.attrs.get("bin_size", 1 / data.sampling_rate_of(counts)))
        if bin_size is not None and abs(bin_size / width - 1) > 0.01:
            raise DataError(
                f"bin_size is {bin_size:g} s, and the file holds counts in bins of {width:g} s",
                "Bins of the same width, or spike times, were needed",
                "Leave --bin_size out",
            )
        counts = counts.assign_attrs(bin_size=width)
    elif bin_size is None:
        raise DataError(
            "The file holds no counts, and no bin size came",
            "The width of a bin in s was needed to count spikes",
            "Pass for example --bin_size 0.05",
        )
    else:
        counts = data.bin_spikes(recording, bin_size)
    clock = "time" if known[target] == "time" else f"{known[target]}_time"
    return counts, data.resample_to(recording[target], recording[clock], counts["time"])


def _check_keys(call: Any, given: Any, part: str, taken: tuple[str, ...]) -> None:
    """Raise where a key of the file is not an argument of the call it is meant for."""
    import inspect

    from neurornn._core.errors import NameUnknownError, nearest

    known = [k for k in inspect.signature(call).parameters if k not in taken]
    for key in given:
        if key not in known:
            raise NameUnknownError(
                f"{part} has the key {key!r}",
                f"An argument of {call.__qualname__} was needed",
                nearest(str(key), known),
            )


def _check_complete(call: Any, given: Any, part: str) -> None:
    """Raise where the file lacks a key that the call cannot do without."""
    import inspect

    from neurornn._core.errors import FileFormatError

    arguments = inspect.signature(call).parameters.values()
    lacking = [a.name for a in arguments if a.default is a.empty and a.name not in given]
    if lacking:
        raise FileFormatError(
            f"{part} has no key {' and no key '.join(lacking)}",
            f"A value was needed: {call.__qualname__} has no default for it",
            f"Add for example {lacking[0]}: {_EXAMPLES.get(lacking[0], '1')} under {part}",
        )


def _datasets(a: Any) -> str:
    import neurornn as nr

    if a.name is None:
        return nr.io.list_datasets().to_text()
    card = nr.io.read_card(a.name)
    told = ("title", "source", "licence", "doi", "cite", "species", "units", "note")
    return "\n".join([card.name, *(f"{k}: {getattr(card, k)}" for k in told if getattr(card, k))])
