"""Fit a model that is described in a YAML file; its keys are the Python names."""

from pathlib import Path
from typing import Any

from neurornn.cli._config import check_complete, check_keys, places_of_fit, read_config
from neurornn.cli._said import Said, as_plain

HELP = "fit a model described in a file"


def add_arguments(parser: Any) -> None:
    """Add the file."""
    parser.add_argument("config", type=str, help="YAML file with data, windows, model, fit, out")


def window_models() -> dict[str, Any]:
    """Return the models that are fitted to windows of inputs and targets: name -> class."""
    from neurornn.models.rebuild import model_classes

    return {n: c for n, c in model_classes().items() if not c.observes_targets}


def run(a: Any) -> Said:
    """Build the model, cut the recording, fit, save."""
    import neurornn as nr
    from neurornn._core.errors import FileFormatError, NameUnknownError, nearest

    path = Path(a.config)
    config = read_config(path)
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
    check_keys(nr.data.windows, parts["windows"], "windows", ("recording",))
    check_complete(nr.data.windows, {"recording": None, **parts["windows"]}, "windows")
    check_keys(nr.fit, parts["fit"], "fit", ("model", "data", "validation"))
    name = parts["model"].pop("name", "LeakyRNN")
    known = window_models()
    if not isinstance(name, str) or name not in known:
        raise NameUnknownError(
            f"model.name is {name!r}",
            "The name of a model that is fitted to windows was needed",
            nearest(str(name), known),
        )
    make = known[name]
    check_keys(make, parts["model"], "model", ())
    out = places_of_fit(path, path.parent / str(file), config.get("out"), parts["fit"])
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
    check_complete(make, settings, "model")
    result = nr.fit(make(**settings), train, validation=validation, **parts["fit"])
    said = result.report()
    if out is not None:
        result.save(out)
        said += f"\n\nsaved: {config['out']}"
    return Said(said, as_plain(result.parameters))
