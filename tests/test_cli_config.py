"""A wrong file for ``neurornn fit`` ends in one sentence of three parts and status 1."""

import json

import numpy as np
import pytest

import neurornn as nr
from neurornn.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a recording of one cell."""
    found = tmp_path_factory.mktemp("config")
    one = nr.simulate.simulate_calcium(1, 30.0, 20.0, tau_decay=0.5, snr=20, rng=0)
    nr.io.write_netcdf(one, found / "one.nc")
    return found


GOOD = {
    "data": {"file": "one.nc"},
    "windows": {"inputs": "spikes", "targets": "dff", "duration": 5.0},
    "model": {"name": "LeakyRNN", "n_hidden": 1, "nonlinearity": "linear", "tau": 1.0},
    "fit": {"max_epochs": 1, "optimizer": "adam", "intervals": False},
}
TEXT = "\n".join(f"{k}: {json.dumps(v)}" for k, v in GOOD.items()) + "\n"


def refused(folder, text, capsys):
    """What is said on stderr of a file that must be refused, in three parts."""
    (folder / "config.yaml").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert main(["fit", str(folder / "config.yaml")]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("neurornn fit: ") and "Traceback" not in said.err
    assert said.err.count(".") + said.err.count("?") >= 3 and said.out == ""
    return said.err


WHOLE = {
    "a number": ("3\n", "has the keys none"),
    "a list": ("[1, 2]\n", "has the keys none"),
    "nothing": ("", "has the keys none"),
    "not UTF-8": ("data: \udcff\n", "is not YAML"),
    "an unknown tag": ("data: !weird 3\n", "is not YAML"),
    "Python inside": ("data: !!python/object/apply:os.getcwd []\n", "is not YAML"),
    "too deep": ("[" * 3000, "nested more than 50 deep"),
    "two documents": ("a: 1\n---\nb: 2\n", "is not YAML"),
    "a key twice": (TEXT + "fit: {max_epochs: 2}\n", "the key 'fit' stands twice"),
    "a key twice inside": (
        TEXT.replace('"max_epochs": 1', '"max_epochs": 1, "max_epochs": 2'),
        "the key 'max_epochs' stands twice",
    ),
    "a misspelt part": (TEXT + "fits: {}\n", "has the key 'fits'.*Did you mean 'fit'"),
    "an unknown part": (TEXT + "zebra: 3\n", "has the key 'zebra'"),
    "a number for a key": (TEXT + "3: 4\n", "has the key 3"),
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_file_that_is_no_configuration_is_told(case, folder, capsys):
    import re

    text, words = WHOLE[case]
    assert re.search(words, refused(folder, text, capsys), re.DOTALL)


@pytest.mark.parametrize("part", ["data", "windows", "model", "fit"])
@pytest.mark.parametrize("value", ["3", "[1, 2]", "fast", ".nan", "2020-01-01", "!!set {a}"])
def test_a_part_is_keys_with_values(part, value, folder, capsys):
    rows = [r for r in TEXT.splitlines() if not r.startswith(part)]
    said = refused(folder, "\n".join([*rows, f"{part}: {value}"]) + "\n", capsys)
    assert f"{part} in config.yaml is " in said or "no key" in said


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("data", "file", 3, "has no file, or one that is no name: 3"),
        ("data", "file", None, "has no file"),
        ("data", "file", ["one.nc"], "has no file"),
        ("data", "file", "two.nc", "two.nc"),
        ("data", "units", "x", "units is a str"),
        ("data", "units", [7], "There is no unit 7"),
        ("windows", "inputs", 3, "inputs holds a int"),
        ("windows", "targets", ["dff", None], "targets holds a NoneType"),
        ("windows", "targets", "df", "Did you mean 'dff'"),
        ("windows", "duration", "long", "duration is 'long', a str"),
        ("windows", "duration", float("nan"), "duration is nan"),
        ("windows", "duration", [5], "duration is [5], a list"),
        ("windows", "warmup", -1, "warmup is -1"),
        ("windows", "horizon", -1, "horizon is -1. A whole number of at least 0"),
        ("windows", "horizon", 0.5, "horizon is 0.5"),
        ("windows", "horizon", 10**9, "No stretch"),
        ("windows", "fractions", 0.7, "fractions is (0.7,)"),
        ("windows", "fractions", "half", "fractions is a str"),
        ("windows", "trials", "no", "trials is a str"),
        ("windows", "gap", "1 s", "gap is '1 s', a str"),
        ("model", "name", 3, "model.name is 3"),
        ("model", "name", ["GRU"], "model.name is ['GRU']"),
        ("model", "n_hidden", "many", "n_hidden is 'many'"),
        ("model", "n_hidden", 1e9, "n_hidden is 1000000000"),
        ("model", "tau", float("inf"), "tau holds 1 infinite"),
        ("model", "tau_bounds", 3, "tau_bounds is 3. A lower and an upper bound"),
        ("model", "nonlinearity", ["tanh"], "nonlinearity is ['tanh']"),
        ("model", "rng", "seven", "rng is 'seven'"),
        ("fit", "max_epochs", None, "max_epochs is None"),
        ("fit", "max_epochs", 1e300, "max_epochs is 1e+300"),
        ("fit", "patience", None, "patience is None"),
        ("fit", "learning_rate", "low", "learning_rate is 'low'"),
        ("fit", "optimizer", {"adam": 1}, "optimizer is {'adam': 1}"),
        ("fit", "objective", 3, "objective is 3"),
        ("fit", "confidence_level", 95, "confidence_level is 95"),
        ("fit", "batch_size", 0.5, "batch_size is 0.5"),
        ("fit", "3", 2, "fit has the key '3'"),
    ],
)
def test_a_wrong_value_is_told_with_its_name(part, key, value, words, folder, capsys):
    config = {**GOOD, part: {**GOOD[part], key: value}}
    rows = [f"{k}: {json.dumps(v)}" for k, v in config.items()]
    text = "\n".join(rows).replace("NaN", ".nan").replace("Infinity", ".inf")
    assert words in refused(folder, text, capsys)


def test_keys_are_checked_before_the_file_is_read(folder, capsys, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the recording was opened")

    monkeypatch.setattr(nr, "open", never)
    text = TEXT.replace('"nonlinearity"', '"nonlinearty"')
    assert "Did you mean 'nonlinearity'" in refused(folder, text, capsys)


@pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")
def test_a_merged_mapping_may_set_a_key_anew(folder, capsys):
    config = folder / "merged.yaml"
    fit = "fit: {<<: {max_epochs: 5, optimizer: adam}, max_epochs: 1, intervals: false}\n"
    config.write_text(TEXT[: TEXT.index("fit:")] + fit)
    assert main(["fit", str(config)]) == 0
    assert np.isfinite(float(capsys.readouterr().out.split("loss ")[1].split()[0]))
