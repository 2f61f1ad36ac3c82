"""The command line: each command says what the library says, and errors in one sentence each."""

import json
from pathlib import Path

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning
from neurornn.cli import main
from neurornn.cli.decode import SHORT
from neurornn.cli.fit import window_models


@pytest.fixture
def sample():
    return str(nr.fetch("sample_calcium"))


def test_info_names_what_is_there(sample, capsys):
    assert main(["info", sample]) == 0
    said = capsys.readouterr().out
    assert "dff" in said and "30.0 Hz" in said and "spike_times" in said


def test_kinetics_writes_table_file_and_figures(sample, tmp_path, capsys):
    out = tmp_path / "kinetics.nc"
    code = main(
        ["kinetics", sample, "--out", str(out), "--figures", str(tmp_path / "figures"),
         "--csv", str(tmp_path / "k.csv")]
    )  # fmt: skip
    assert code == 0
    said = capsys.readouterr().out
    assert "6 of 6 cells ok" in said
    again = nr.load(out)
    direct = nr.calcium.Kinetics().fit(nr.open(sample)["dff"])
    assert np.array_equal(again.parameters_["tau_decay"], direct.parameters_["tau_decay"])
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {"tau_decay.png", "traces.png"}
    assert (tmp_path / "k.csv").read_text().count("\n") == 7
    assert not Path(f"{out}.partial").exists()


def test_kinetics_writes_a_report(sample, tmp_path, capsys):
    path = tmp_path / "report.html"
    assert main(["kinetics", sample, "--html", str(path)]) == 0
    assert f"report: {path}" in capsys.readouterr().out
    text = path.read_text()
    assert text.startswith("<!DOCTYPE html>") and "6 cells, 6 ok" in text
    assert main(["kinetics", sample, "--html", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err


def test_demo_shows_the_truth_and_leaves_files(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert "truth (s)" in said and "weight" in said
    names = {p.name for p in (tmp_path / "demo").iterdir()}
    assert names >= {"kinetics.nc", "kinetics.csv", "rnn", "tau_decay.png", "traces.png"}
    assert nr.load(tmp_path / "demo" / "rnn").parameters["tau"].attrs["units"] == "s"


def test_fit_from_a_file(sample, tmp_path, capsys):
    recording = nr.open(sample)
    nr.io.write_netcdf(recording, tmp_path / "one.nc")
    config = {
        "data": {"file": "one.nc", "units": [1]},
        "windows": {"inputs": "spikes", "targets": "dff", "duration": 20.0},
        "model": {"name": "LeakyRNN", "n_hidden": 1, "nonlinearity": "linear", "tau": 1.0},
        "fit": {"rng": 0},
        "out": "fitted",
    }
    # JSON is YAML.
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert main(["fit", str(tmp_path / "config.yaml")]) == 0
    assert "tau" in capsys.readouterr().out
    tau = float(nr.load(tmp_path / "fitted").parameters["tau"][0])
    # Drift that this model does not have moves tau by a few per cent.
    assert tau == pytest.approx(0.5, rel=0.05)


#: What each model needs beside sizes and clock; the others have defaults.
NEEDS = {
    "LeakyRNN": {"n_hidden": 3, "dropout": 0.1},
    "VanillaRNN": {"n_hidden": 3},
    "GRU": {"n_hidden": 3, "dropout": 0.1},
    "LSTM": {"n_hidden": 3, "n_layers": 2},
    "LinearStateSpace": {"n_hidden": 2},
    "LinearHistory": {"context": 0.2},
    "Memoryless": {},
    "MemorylessMLP": {"n_hidden": 3},
    "CausalCNN": {"n_hidden": 3, "context": 0.2},
    "CausalTransformer": {"n_hidden": 4, "n_heads": 2, "context": 0.2},
    "ReverseComplementTied": {"n_hidden": 3, "cell": "GRU", "time_unit": "s"},
}


def written(folder, model, **more):
    """Path of a configuration; JSON is YAML."""
    config = {
        "data": {"file": str(nr.fetch("sample_calcium")), "units": [1]},
        "windows": {
            "inputs": "spikes",
            "targets": "dff",
            "duration": 20.0,
            "fractions": [0.8, 0.2],
        },
        "model": model,
        "fit": {"max_epochs": 1, "optimizer": "adam", "intervals": False},
        **more,
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    return str(folder / "config.yaml")


def test_every_model_of_the_package_but_those_without_windows_is_known():
    from neurornn.models.rebuild import model_classes

    # CalciumRNN takes a population, not windows of inputs and targets.
    assert set(window_models()) == set(model_classes()) - {"CalciumRNN"} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_fit_builds_every_model_with_windows(name, tmp_path, capsys):
    path = written(tmp_path, {"name": name, **NEEDS[name]}, out="fitted")
    # One epoch of Adam never counts as converged.
    with pytest.warns(ConvergenceWarning):
        assert main(["fit", path]) == 0
    assert f"{name} with" in capsys.readouterr().out
    model = nr.load(tmp_path / "fitted").model
    assert type(model).__name__ == name
    assert model.settings.items() >= NEEDS[name].items()
    assert model.dt == pytest.approx(1 / 30)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"name": "GRUU", "n_hidden": 3}, ["'GRUU'", "GRU"]),
        ({"name": "CalciumRNN"}, ["'CalciumRNN'", "windows"]),
        ({"name": "GRU", "n_hiden": 3}, ["n_hiden", "argument of GRU", "n_hidden"]),
        ({"name": "GRU"}, ["no key n_hidden", "Add for example n_hidden: 16"]),
        ({"name": "CausalTransformer"}, ["no key n_hidden and no key context"]),
    ],
)
def test_a_model_that_cannot_be_built_is_said_in_words(model, words, tmp_path, capsys):
    assert main(["fit", written(tmp_path, model)]) == 1
    said = capsys.readouterr().err
    assert all(w in said for w in words), said


@pytest.fixture(scope="module")
def reaches(tmp_path_factory):
    """A file with counts and velocity on one clock."""
    path = tmp_path_factory.mktemp("decode") / "reaches.nc"
    nr.io.write_netcdf(nr.simulate.simulate_reaches(40, 15, bin_size=0.05, rng=0), path)
    return str(path)


def test_decode_says_what_the_library_says(reaches, tmp_path, capsys):
    out = tmp_path / "decoded"
    assert main(["decode", reaches, "--target", "velocity", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {"decoder", "report.txt", "decoded.png"}
    assert (out / "report.txt").read_text().strip() in said
    session = nr.open(reaches)
    train, test = nr.data.split_blocks(session, (0.85, 0.15))
    decoder = nr.decode.KalmanFilter(bin_size=0.05).fit(train["counts"], train["velocity"])
    here = decoder.predict(test["counts"])
    assert np.array_equal(nr.load(out / "decoder").predict(test["counts"]), here)
    r2 = float(nr.decode.movement_scores(test["velocity"], here)["r2_mean"])
    assert f"r2_mean: {r2:.3f}" in said and "cm/s" in said
    assert f"{test.sizes['time']} bins" in said


def test_decode_bins_spikes_and_brings_the_target_onto_the_bins(tmp_path, capsys):
    path = str(nr.fetch("sample_spikes"))
    out = tmp_path / "decoded"
    arguments = ["decode", path, "--target", "stimulus", "--out", str(out), "--bin-size", "0.1"]
    assert main([*arguments, "--decoder", "ridge", "--test-fraction", "0.3"]) == 0
    assert "RidgeDecoder: 12 units, bins of 0.1 s" in capsys.readouterr().out
    recording = nr.open(path)
    counts = nr.data.bin_spikes(recording, 0.1)
    goal = nr.data.resample_to(recording["stimulus"], recording["time"], counts["time"])
    train, goals = (nr.data.split_blocks(x, (0.7, 0.3))[0] for x in (counts, goal))
    decoder = nr.decode.RidgeDecoder(bin_size=0.1).fit(train, goals)
    again = nr.load(out / "decoder")
    assert np.array_equal(again.predict(counts), decoder.predict(counts))


def test_decode_takes_behaviour_on_its_own_clock(tmp_path, capsys):
    session = nr.simulate.simulate_reaches(40, 10, bin_size=0.05, rng=0)
    file = session[["counts"]].copy()
    every = np.arange(0.0, float(session["time"][-1]), 0.01)
    hand = np.interp(every, session["time"], session["velocity"][:, 0])
    file["hand"] = ("sample", hand, {"units": "cm/s"})
    file["sample_time"] = ("sample", every, {"units": "s"})
    nr.io.write_netcdf(file, tmp_path / "own.nc")
    arguments = ["decode", str(tmp_path / "own.nc"), "--target", "hand"]
    assert main([*arguments, "--out", str(tmp_path / "decoded")]) == 0
    assert "hand on the last block" in capsys.readouterr().out


def test_every_decoder_has_its_name():
    for name, settings in SHORT.values():
        assert settings.items() <= getattr(nr.decode, name)(**settings).get_params().items()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--target", "velocty"], ["no variable 'velocty'", "velocity"]),
        (["--target", "velocity", "--bin_size", "0.02"], ["0.02 s", "0.05 s"]),
        (["--target", "velocity", "--test_fraction", "1.5"], ["test_fraction is 1.5"]),
    ],
)
def test_what_cannot_be_decoded_is_said_in_words(more, words, reaches, capsys):
    assert main(["decode", reaches, *more]) == 1
    said = capsys.readouterr().err
    assert all(w in said for w in words), said


def test_spikes_without_a_bin_size_are_not_guessed(capsys):
    assert main(["decode", str(nr.fetch("sample_spikes")), "--target", "stimulus"]) == 1
    assert "no bin size came" in capsys.readouterr().err


def test_datasets_lists_and_shows_cards(capsys):
    assert main(["datasets"]) == 0
    assert "ground_truth_DS09" in capsys.readouterr().out
    assert main(["datasets", "meltome"]) == 0
    assert "licence" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "key"), [("windows", "duratoin"), ("model", "taus"), ("fit", "max_epoch")]
)
def test_a_misspelt_key_offers_the_nearest(part, key, sample, tmp_path, capsys):
    config = {
        "data": {"file": sample, "units": [1]},
        "windows": {"inputs": "spikes", "targets": "dff", "duration": 20.0},
        "model": {"n_hidden": 1},
        "fit": {},
    }
    config[part][key] = 1
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert main(["fit", str(tmp_path / "config.yaml")]) == 1
    said = capsys.readouterr().err
    assert "Did you mean" in said
    assert key in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere.mat"], "nowhere.mat"),
        (["datasets", "meltom"], "meltome"),
        (["kinetics", "SAMPLE", "--variable", "df"], "dff"),
        (["kinetics", "SAMPLE", "--out", "/proc/nothing/here.nc"], "could not be written"),
        (["fit", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_errors_are_said_in_words_and_the_status_is_1(arguments, words, sample, capsys):
    arguments = [sample if a == "SAMPLE" else a for a in arguments]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_no_command_prints_the_help(capsys):
    assert main([]) == 2
    assert "kinetics" in capsys.readouterr().out


@pytest.fixture
def desk(sample, tmp_path, monkeypatch):
    """A folder of work with a recording, a configuration and notes in it; what it holds."""
    import shutil

    shutil.copy(sample, tmp_path / "s.nc")
    (tmp_path / "notes.txt").write_text("electrode 3 broke")
    monkeypatch.chdir(tmp_path)
    return lambda: {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "."], "names no file or folder of its own"),
        (["--out", "s.nc"], "is s.nc, which is read"),
        (["--out", "notes.txt"], "is a file, and a folder is written"),
        (["--csv", "notes.txt"], "is not a table of kinetics"),
        (["--out", "notes.txt/"], "is a file, and a folder is written"),
        (["--csv", "s.nc"], "is s.nc, which is read"),
        (["--html", "notes.txt"], "did not write"),
        (["--html", "."], "names no file"),
        (["--figures", ""], "is no name of a folder"),
        (["--out", "a.nc", "--csv", "a.nc"], "to one place"),
        (["--out", "k", "--figures", "k"], "to one place"),
        (["--out", "x" * 250], "258 bytes, and at most 255"),
    ],
)
def test_kinetics_touches_nothing_that_it_did_not_write(desk, arguments, words, capsys):
    before = desk()
    assert main(["kinetics", "s.nc", *arguments]) == 1
    said = capsys.readouterr()
    assert words in said.err and "Traceback" not in said.err
    # Nothing was fitted first: the table is not printed.
    assert said.out == ""
    assert desk() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out": "."}, "which is read, or holds it|the folder you work in"),
        ({"out": ""}, "The path of a folder, relative to the YAML file"),
        ({"out": 3}, "out in config.yaml is 3"),
        ({"out": ["a"]}, "out in config.yaml is"),
        ({"out": "notes.txt"}, "is a file, and a folder is written"),
        ({"out": "fit.nc"}, "Pass out: fit"),
        ({"out": "y" * 300}, "name of 300 bytes"),
        ({"fit": {"checkpoint": "."}}, "the folder you work in"),
        ({"fit": {"checkpoint": 3}}, "fit.checkpoint in config.yaml is 3"),
        ({"out": "a", "fit": {"checkpoint": "a"}}, "to one place"),
    ],
)
def test_fit_touches_nothing_that_it_did_not_write(desk, tmp_path, change, words, capsys):
    import re

    path = written(tmp_path, {"name": "Memoryless"}, **change)
    before = desk()
    assert main(["fit", path]) == 1
    said = capsys.readouterr()
    assert re.search(words, said.err) and "Traceback" not in said.err
    assert said.out == ""
    assert desk() == before


def test_decode_touches_nothing_that_it_did_not_write(reaches, tmp_path, capsys):
    out = tmp_path / "decoded"
    out.mkdir()
    (out / "report.txt").write_text("my own report")
    arguments = ["decode", reaches, "--target", "velocity", "--decoder", "ridge", "--out"]
    assert main([*arguments, str(out)]) == 1
    assert "did not write" in capsys.readouterr().err
    assert [p.name for p in out.iterdir()] == ["report.txt"]
    (out / "report.txt").unlink()
    (out / "later.md").write_text("notes beside it are nobody's business")
    for _ in range(2):
        assert main([*arguments, str(out)]) == 0
    assert {p.name for p in out.iterdir()} == {"decoder", "report.txt", "decoded.png", "later.md"}
    assert main(["decode", reaches, "--target", "velocity", "--out", str(out)]) == 1
    assert "is a saved RidgeDecoder, not a KalmanFilter" in capsys.readouterr().err


def test_the_demo_looks_at_its_places_first(tmp_path, capsys):
    (tmp_path / "kinetics.csv").write_text("unit,depth\n")
    assert main(["demo", "--out", str(tmp_path)]) == 1
    assert "is not a table of kinetics" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["kinetics.csv"]


@pytest.mark.slow
def test_kinetics_replaces_its_own_results(desk, tmp_path):
    # Two cells for a minute: what is fitted does not matter here.
    short = nr.simulate.simulate_calcium(2, 60.0, 20.0, tau_decay=0.5, snr=10, rng=0)
    (tmp_path / "s.nc").unlink()
    nr.io.write_netcdf(short, tmp_path / "s.nc")
    arguments = ["--out", "k.nc", "--csv", "t.csv", "--html", "p.html", "--figures", "."]
    for _ in range(2):
        assert main(["kinetics", "s.nc", *arguments]) == 0
    # A folder may be named with a slash behind it.
    assert main(["kinetics", "s.nc", "--out", "k/"]) == 0
    assert main(["kinetics", "s.nc", "--out", "k"]) == 0
    assert set(desk()) == {
        "s.nc", "notes.txt", "k.nc", "t.csv", "p.html", "tau_decay.png", "traces.png",
    }  # fmt: skip


@pytest.fixture(scope="module")
def many_cells(tmp_path_factory):
    """A file of nine labelled cells, two of which cannot be fitted, and its traces."""
    path = tmp_path_factory.mktemp("cells") / "cells.nc"
    tau = np.linspace(0.3, 1.5, 9)[[4, 0, 7, 2, 8, 1, 5, 3, 6]]
    recording = nr.simulate.simulate_calcium(9, 80.0, 20.0, tau_decay=tau, snr=10, rng=0)
    labels = [f"roi {k}" for k in (31, 7, 12, 5, 44, 2, 9, 28, 16)]
    dff = recording["dff"].assign_coords(unit=labels).copy()
    dff[:, 3], dff[:, 6] = np.nan, 1.0
    nr.io.write_netcdf(dff.to_dataset(name="dff"), path)
    return str(path), nr.open(path)["dff"]


def figures_of(monkeypatch, arguments):
    """Run the command, and return the figures it writes by their names."""
    figures = {}

    def keep(figure, path, **_):
        figures[Path(path).name] = figure
        return Path(path)

    monkeypatch.setattr(nr.plot, "write_figure", keep)
    assert main(arguments) == 0
    return figures


def test_figures_show_each_cell_under_its_own_name(many_cells, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    from tests.contracts.reading import quantity

    path, dff = many_cells
    figures = figures_of(monkeypatch, ["kinetics", path, "--figures", str(tmp_path)])
    kinetics = nr.calcium.Kinetics().fit(dff)
    table, denoised, events = kinetics.parameters_, kinetics.denoised(), kinetics.events_
    labels = list(dff["unit"].values)
    # Six of nine, evenly from the first to the last.
    axes = figures["traces.png"].axes
    titles = [ax.get_title(loc="left") for ax in axes]
    drawn = [title.split(": ")[0].removeprefix("unit ") for title in titles]
    assert drawn == [labels[k] for k in (0, 2, 3, 5, 6, 8)]
    # A minute from the first frame on.
    shown = dff["time"].values <= float(dff["time"][0]) + 60.0
    for ax, title, label in zip(axes, titles, drawn, strict=True):
        k = labels.index(label)
        low, high = table["tau_decay_ci"].values[k]
        told = quantity(table["tau_decay"].values[k], low, high, "s")
        assert title == f"unit {label}: tau {told}, {table['status'].values[k]}"
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        assert np.array_equal(lines["data"], dff.values[shown, k], equal_nan=True)
        assert np.array_equal(lines["fit"], denoised.values[shown, k], equal_nan=True)
        when = events["event_time"].values[events["event_unit"].values == k]
        ticks = [s[0][0] for c in ax.collections for s in c.get_segments()]
        begin = float(dff["time"][0])
        assert ticks == when[(when >= begin) & (when <= begin + 60.0)].tolist()
    assert {"no_data", "constant"} < set(table["status"].values)
    ax = figures["tau_decay.png"].axes[0]
    tau = table["tau_decay"].values
    by_size = [labels[k] for k in np.argsort(tau) if np.isfinite(tau[k])]
    assert [t.get_text() for t in ax.get_xticklabels()] == by_size
    plt.close("all")


def test_the_table_of_the_command_line_is_that_of_the_library(many_cells, tmp_path, capsys):
    import csv

    path, dff = many_cells
    assert main(["kinetics", path, "--csv", str(tmp_path / "k.csv")]) == 0
    kinetics = nr.calcium.Kinetics().fit(dff)
    assert capsys.readouterr().out.startswith(kinetics.report())
    with (tmp_path / "k.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = kinetics.parameters_
    assert [row["unit"] for row in rows] == list(dff["unit"].values)
    assert [row["status"] for row in rows] == list(table["status"].values)
    for k, row in enumerate(rows):
        for bound, column in enumerate(("tau_decay_ci_lower (s)", "tau_decay_ci_upper (s)")):
            value = float(row[column] or "nan")
            # Written with all digits.
            assert value == table["tau_decay_ci"].values[k, bound] or np.isnan(value)
        value = float(row["tau_decay (s)"] or "nan")
        assert value == table["tau_decay"].values[k] or np.isnan(value)


@pytest.mark.slow
def test_the_truth_of_the_demo_stands_beside_its_own_cells(tmp_path, capsys, monkeypatch):
    import matplotlib.pyplot as plt

    from tests.contracts.reading import number, read_text

    figures = figures_of(monkeypatch, ["demo", "--out", str(tmp_path / "demo")])
    recording = nr.open(nr.fetch("sample_calcium"))
    truth = dict(
        zip(map(str, recording["unit"].values), recording["tau_decay_true"].values, strict=True)
    )
    printed = read_text(capsys.readouterr().out)
    told = dict(zip(printed.column("unit"), printed.column("truth (s)"), strict=True))
    assert told == {unit: number(value) for unit, value in truth.items()}
    ax = figures["tau_decay.png"].axes[0]
    crosses = next(line for line in ax.lines if line.get_label() == "truth")
    names = [t.get_text() for t in ax.get_xticklabels()]
    assert dict(zip(names, crosses.get_ydata(), strict=True)) == truth
    plt.close("all")


def test_a_configuration_with_old_names_still_fits(tmp_path, capsys):
    windows = {"inputs": "spikes", "targets": "dff", "duration": 20.0, "split": [0.8, 0.2]}
    fit = {"max_epochs": 1, "optimizer": "adam", "intervals": False, "warmup": 0}
    path = written(tmp_path, {"name": "Memoryless"}, windows=windows, fit=fit, out="old")
    # One epoch of Adam never counts as converged.
    with pytest.warns(ConvergenceWarning), pytest.warns(FutureWarning) as caught:
        assert main(["fit", path]) == 0
    told = [str(w.message) for w in caught if w.category is FutureWarning]
    assert [t.split(";")[0] for t in told] == [
        "split= of windows is now called fractions=",
        "warmup= of fit is now called warmup_epochs=",
    ]
    assert "Memoryless with" in capsys.readouterr().out
