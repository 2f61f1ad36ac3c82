"""Fit a decoder, and score it on the last part of the file."""

from pathlib import Path
from typing import Any

from neurornn.cli._door import add_opening, add_option, opened
from neurornn.cli._said import Said, as_plain

HELP = "fit a decoder and score it"
#: Short names of decoders: name -> class and settings.
SHORT = {
    "kalman": ("KalmanFilter", {}),
    "ridge": ("RidgeDecoder", {}),
    "wiener": ("WienerFilter", {}),
    "cascade": ("WienerCascade", {}),
    "lstm": ("RecurrentDecoder", {"cell": "lstm"}),
    "gru": ("RecurrentDecoder", {"cell": "gru"}),
    "leaky": ("RecurrentDecoder", {"cell": "leaky"}),
}


def add_arguments(parser: Any) -> None:
    """Add the file, what is decoded, and with what."""
    add_opening(parser)
    parser.add_argument("--target", type=str, required=True, help="for example velocity")
    add_option(parser, "bin_size", float, "s; for spike times")
    add_option(parser, "decoder", str, f"{', '.join(SHORT)}, or the name of a class", "kalman")
    add_option(parser, "test_fraction", float, "of the time", 0.15)
    add_option(parser, "out", str, "folder", "decoded")


def decoder_classes() -> list[str]:
    """Return the decoders of movements, by the public names of the room."""
    from neurornn import decode
    from neurornn.decode.movement import MovementDecoder

    found = {name: getattr(decode, name) for name in dir(decode)}
    return [n for n, c in found.items() if isinstance(c, type) and issubclass(c, MovementDecoder)]


def decoder_named(name: str) -> tuple[str, dict[str, Any]]:
    """Return class and settings of a decoder by its short name, or by that of its class."""
    from neurornn._core.errors import NameUnknownError, nearest

    if name in SHORT:
        return SHORT[name]
    known = decoder_classes()
    if name not in known:
        raise NameUnknownError(
            f"decoder is {name!r}",
            f"One of {', '.join([*SHORT, *known])} was needed",
            nearest(name, [*SHORT, *known]),
        )
    return name, {}


def run(a: Any) -> Said:
    """Fit on the first part, score on the last."""
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
    name, settings = decoder_named(a.decoder)
    check_container(a.out)
    out = Path(a.out)
    check_save_target(out / "decoder", name, inputs=[a.file])
    check_target(out / "report.txt", ours=_not_decoded, inputs=[a.file])
    check_target(out / "decoded.png", ours=not_a_figure, inputs=[a.file])
    counts, target = _counts_and_target(opened(a), a.target, a.bin_size)
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
    data = {"held_out": decoder.scores_, "last_block": scores}
    return Said(f"{said}\n\nIn {out}: decoder/, report.txt, decoded.png", as_plain(data))


def _not_decoded(path: Path) -> str | None:
    """Say why a report.txt may not be replaced; None where `neurornn decode` has made it."""
    with path.open("rb") as file:
        first = file.read(200)
    ours = any(first.startswith(f"{name}: ".encode()) for name in decoder_classes())
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
