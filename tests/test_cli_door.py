"""Every command opens files with every option of nr.open, and speaks the language of its door."""

import inspect
import json

import numpy as np
import pytest

import neurornn as nr
from neurornn.cli import commands, main
from neurornn.cli._door import OPENING, in_words_of_the_door
from neurornn.cli._said import as_plain


@pytest.fixture
def traces(tmp_path):
    """Two arrays in one npz, without a frame rate."""
    rng = np.random.default_rng(0)
    path = tmp_path / "traces.npz"
    np.savez(path, cells=rng.normal(size=(400, 2)), others=rng.normal(size=(400, 3)))
    return str(path)


def test_every_option_is_one_of_a_reader_or_of_open():
    from neurornn.io.open_file import _READERS

    known = set(inspect.signature(nr.open).parameters)
    for module, function, *_ in _READERS.values():
        reader = getattr(__import__(f"neurornn.io.{module}", fromlist=[function]), function)
        known |= set(inspect.signature(reader).parameters)
    # Mappings and sequences have no form on a command line, but for rows; a path comes by itself.
    mappings = {"chunks", "reader_options", "contig_names", "reference"}
    assert set(OPENING) == known - {"path", "options"} - mappings


def test_commands_that_open_a_file_have_them_all():
    from jsonargparse import ArgumentParser

    for name in ("info", "kinetics", "decode"):
        parser = ArgumentParser()
        commands()[name].add_arguments(parser)
        spelt = set(parser._option_string_actions)
        for option in OPENING:
            assert f"--{option}" in spelt and f"--{option.replace('_', '-')}" in spelt


@pytest.mark.parametrize("rate", ["--sampling_rate", "--sampling-rate"])
def test_info_names_what_is_missing_until_it_can_open_the_file(traces, rate, capsys):
    assert main(["info", traces]) == 0
    said = capsys.readouterr().out
    assert "traces.npz: npz, not yet opened" in said
    # In words of the command line, not of Python.
    assert "--variable" in said and "variable=" not in said
    assert main(["info", traces, "--variable", "cells"]) == 0
    said = capsys.readouterr().out
    assert "not yet opened" in said and "--sampling-rate" in said and "sampling_rate=" not in said
    assert main(["info", traces, "--variable", "cells", rate, "25"]) == 0
    said = capsys.readouterr().out
    assert "unit 2" in said and "25.0 Hz" in said


def test_info_in_json_holds_what_the_text_holds(traces, capsys):
    assert main(["info", traces, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["opened"], found["format"]) == (False, "npz")
    assert main(["info", traces, "--variable", "others", "--sampling-rate", "25", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["opened"]
    assert any("unit 3" in row["axes"] for row in found["holds"])


@pytest.mark.slow
def test_kinetics_in_json_are_those_of_the_library(tmp_path, capsys):
    recording = nr.simulate.simulate_calcium(2, 60.0, 20.0, tau_decay=0.5, snr=10, rng=0)
    nr.io.write_netcdf(recording, tmp_path / "r.nc")
    assert main(["kinetics", str(tmp_path / "r.nc"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    table = nr.calcium.Kinetics().fit(nr.open(tmp_path / "r.nc")["dff"]).parameters_
    assert found["tau_decay"] == {
        "dims": ["unit"], "units": "s", "values": table["tau_decay"].values.tolist(),
    }  # fmt: skip
    np.testing.assert_array_equal(found["tau_decay_ci"]["values"], table["tau_decay_ci"].values)
    # What is no number is null, which every reader of JSON knows.
    rise = np.array(found["tau_rise"]["values"], dtype=float)
    np.testing.assert_array_equal(rise, table["tau_rise"].values)


def test_a_variable_that_the_file_has_not_is_named(tmp_path, capsys):
    nr.io.write_netcdf(nr.simulate.simulate_calcium(1, 30.0, 20.0, rng=0), tmp_path / "r.nc")
    assert main(["kinetics", str(tmp_path / "r.nc"), "--variable", "df"]) == 1
    assert "dff" in capsys.readouterr().err


@pytest.mark.slow
def test_a_decoder_goes_by_the_name_of_its_class_too(tmp_path, capsys):
    given = [
        "decode",
        str(nr.fetch("sample_spikes")),
        "--target",
        "stimulus",
        "--bin-size",
        "0.05",
    ]
    out = ["--out", str(tmp_path / "d"), "--json"]
    assert main([*given, "--decoder", "RidgeDecoder", *out]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"held_out", "last_block"}
    assert type(nr.load(tmp_path / "d" / "decoder")).__name__ == "RidgeDecoder"
    assert main([*given, "--decoder", "RidgeDecode", "--out", str(tmp_path / "e")]) == 1
    assert "RidgeDecoder" in capsys.readouterr().err


def test_fetch_prints_where_a_data_set_lies(capsys):
    assert main(["fetch", "sample_calcium"]) == 0
    assert nr.open(capsys.readouterr().out.strip())["dff"].sizes["unit"] == 6


def test_rows_of_a_table_are_chosen_by_column_and_value(tmp_path, capsys):
    lines = [f"{k / 20},{2 - k % 2},{k % 7}" for k in range(400)]
    (tmp_path / "led.csv").write_text("\n".join(["time,LedState,cell_1", *lines]))
    assert main(["info", str(tmp_path / "led.csv"), "--rows", "LedState=2"]) == 0
    said = capsys.readouterr().out
    # Every second frame, of one cell: the column that chose is no cell.
    assert "time 200" in said and "unit 1" in said
    assert main(["info", str(tmp_path / "led.csv"), "--rows", "LedState"]) == 1
    assert "Pass for example --rows LedState=2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (["--gap-tolerance", "0.002"], {"gap_tolerance": 0.002}),
        (["--plane", "1"], {"plane": 1}),
        (["--plane", "combined"], {"plane": "combined"}),
        (["--axes", "unit, time"], {"axes": ["unit", "time"]}),
        (["--series", "a,b"], {"series": ["a", "b"]}),
        (["--stream", "one"], {"stream": "one"}),
        (["--only-cells", "false"], {"only_cells": False}),
        (["--max-size", "1e6"], {"max_size": 1e6}),
        ([], {}),
    ],
)
def test_options_reach_open_as_python_would_pass_them(given, passed, monkeypatch):
    found = []
    recording = nr.simulate.simulate_calcium(1, 30.0, 20.0, rng=0)
    monkeypatch.setattr(nr, "open", lambda path, **options: found.append(options) or recording)
    assert main(["info", "r.nc", *given]) == 0
    assert found == [passed]


def test_a_pause_is_told_in_the_unit_that_readers_take():
    import re

    from neurornn.io.vendor import read_vendor

    stated = re.search(r"gap_tolerance : (\w+)", inspect.getdoc(read_vendor))[1]
    assert OPENING["gap_tolerance"][1].startswith(f"{stated};")


class _Arguments:
    def __init__(self, **given):
        self.__dict__.update(given)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Pass sampling_rate=30.0, or set attrs", "Pass --sampling-rate 30.0, or set attrs"),
        ('Pass variable="a b".', 'Pass --variable "a b".'),
        ("Take override_rate=True", "Take --override-rate"),
        ("It was opened with variable=, which", "It was opened with --variable, which"),
        # What the command has not, and parts of other words, stay.
        ("Pass horizon=1", "Pass horizon=1"),
        ("attrs.variable=3 or my_variable=3", "attrs.variable=3 or my_variable=3"),
    ],
)
def test_arguments_in_messages_become_options_of_the_command(message, said):
    own = _Arguments(sampling_rate=None, variable=None, override_rate=None)
    assert in_words_of_the_door(message, own) == said


def test_plain_values_of_everything_that_is_told():
    given = {"a": np.float32(0.5), "b": [np.nan, np.inf, 1], "c": (True, None), "d": np.arange(2)}
    assert as_plain(given) == {"a": 0.5, "b": [None, None, 1], "c": [True, None], "d": [0, 1]}
