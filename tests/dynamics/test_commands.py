"""Commands on a saved fit: attractors, exponents, bifurcations."""

import json
import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn.cli import main

#: Where tanh(2 h + u) touches h: slope 1 there, so that tanh^2 = 1/2.
FOLD = np.sqrt(2.0) - np.arctanh(np.sqrt(0.5))


def bits(folder, n):
    """Save a fit of so many bits; the input pushes the first."""
    win = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, n_inputs=1, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nr.fit(
            nr.models.VanillaRNN(1, n, 2, dt=0.01), win, optimizer="adam", max_epochs=1,
            intervals=False,
        )  # fmt: skip
    with torch.no_grad():
        result.model.recurrent_weight.copy_(2 * torch.eye(n))
        result.model.bias.zero_()
        result.model.input_weight.copy_(torch.eye(n)[:, :1])
    result.save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved fit of two bits."""
    return bits(tmp_path_factory.mktemp("saved") / "fit", 2)


def said(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_attractors(saved, tmp_path, capsys):
    out, figures = tmp_path / "attractors", tmp_path / "figs"
    command = ["attractors", saved, "--out", str(out), "--figures", str(figures), "--seed", "3"]
    text = said(capsys, *command)
    found = nr.load(out)
    asked = nr.dynamics.classify_attractor(nr.load(saved), rng=3)
    assert found.parameters.identical(asked.parameters)
    assert found.manifold.identical(asked.manifold)
    assert text.startswith(found.report()) and f"saved: {out}" in text
    assert found.kind == "points" and int(found.parameters["n_points"].sum()) == 4
    assert (figures / "phase_portrait.png").stat().st_size > 1000
    # Again, over its own files.
    assert said(capsys, *command) == text
    # Such an input leaves one value of the first bit: two points.
    told = json.loads(said(capsys, "attractors", saved, "--inputs", "2", "--json"))
    assert told["kind"] == "points" and sum(told["attractors"]["n_points"]["values"]) == 2


@pytest.mark.slow
def test_a_portrait_of_more_states_and_none_of_one(tmp_path, capsys, monkeypatch):
    """The plane is that of runs: points may lie on a line, or be one alone."""
    figures = tmp_path / "figs"
    three, titles = bits(tmp_path / "three", 3), []
    write = nr.plot.write_figure

    def written(figure, path):
        titles.append(figure.axes[0].get_title("left"))
        write(figure, path)

    monkeypatch.setattr(nr.plot, "write_figure", written)
    text = said(capsys, "attractors", three, "--inputs", "2", "--figures", str(figures))
    assert "4 points" in text and f"figure: {figures / 'phase_portrait.png'}" in text
    assert titles == ["VanillaRNN: slice through 3 states, input 2"]
    one = bits(tmp_path / "one", 1)
    assert main(["attractors", one, "--figures", str(figures)]) == 1
    assert "network of one state" in capsys.readouterr().err
    assert "2 points" in said(capsys, "attractors", one)


def test_lyapunov(saved, tmp_path, capsys):
    out = tmp_path / "spectrum.nc"
    command = ["lyapunov", saved, "--exponents", "1", "--out", str(out), "--seed", "3"]
    text = said(capsys, *command)
    found = nr.load(out)
    asked = nr.dynamics.lyapunov_spectrum(nr.load(saved), n_exponents=1, rng=3)
    assert found.parameters.identical(asked.parameters)
    assert text == f"{found.report()}\n\nsaved: {out}\n"
    told = json.loads(said(capsys, "lyapunov", saved, "--inputs", "0.3", "--json"))
    asked = nr.dynamics.lyapunov_spectrum(nr.load(saved), [0.3], rng=0)
    assert told["regime"] == "fixed point" and told["reason"] == asked.reason
    assert told["exponents"]["exponent"]["values"] == asked.exponents.values.tolist()
    assert told["exponents"]["exponent"]["units"] == "1/s"


@pytest.mark.slow
def test_bifurcation(saved, tmp_path, capsys):
    out, figures = tmp_path / "diagram", tmp_path / "figs"
    ends = ["--from", "-1", "--to", "1"]
    places = ["--out", str(out), "--figures", str(figures)]
    text = said(capsys, "bifurcation", saved, *ends, "--values", "21", "--seed", "3", *places)
    found = nr.load(out)
    asked = nr.dynamics.continue_fixed_points(nr.load(saved), ([-1.0], [1.0]), n_values=21, rng=3)
    assert found.parameters.identical(asked.parameters) and found.points.identical(asked.points)
    assert text.startswith(found.report()) and f"saved: {out}" in text
    # From the first value to the last; a fold for each of 3 states of the other bit.
    assert found.points["value"].values[[0, -1]].tolist() == [-1.0, 1.0]
    where = np.sort(found.bifurcations["value"].values)
    np.testing.assert_allclose(where, np.repeat([-FOLD, FOLD], 3), atol=1e-6)
    assert (figures / "bifurcation.png").stat().st_size > 1000
    told = json.loads(said(capsys, "bifurcation", saved, *ends, "--values", "11", "--json"))
    assert told["completeness"] == "consistent" and told["parameter"] == "input 0"
    assert told["bifurcations"]["kind"]["values"] == ["fold"] * 6
    assert len(told["points"]["n_points"]["values"]) == 11


COMMANDS = [
    (["attractors"], "classify_attractor", "phase_portrait.png"),
    (["lyapunov"], "lyapunov_spectrum", None),
    (["bifurcation", "--from", "0", "--to", "1"], "continue_fixed_points", "bifurcation.png"),
]


@pytest.mark.parametrize(("command", "function", "figure"), COMMANDS)
def test_the_seed_is_that_of_the_starts(command, function, figure, saved, monkeypatch):
    class Called(Exception):
        pass

    def called(*args, rng, **options):
        assert rng == 7
        raise Called

    monkeypatch.setattr(nr.dynamics, function, called)
    with pytest.raises(Called):
        main([command[0], saved, *command[1:], "--seed", "7"])


@pytest.mark.parametrize(("command", "function", "figure"), COMMANDS)
def test_what_stands_in_the_way_is_told_before_the_work(
    command, function, figure, saved, tmp_path, capsys, monkeypatch
):
    def called(*args, **options):
        raise AssertionError("work was done first")

    monkeypatch.setattr(nr.dynamics, function, called)
    name, *rest = command
    mine = tmp_path / "out" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert main([name, saved, *rest, "--out", str(mine.parent)]) == 1
    assert "mine.txt" in capsys.readouterr().err
    # Nor over the fit that is read.
    assert main([name, saved, *rest, "--out", saved]) == 1
    assert nr.load(saved) is not None
    if figure is not None:
        notes = tmp_path / "figs" / figure
        notes.parent.mkdir()
        notes.write_text("no picture")
        assert main([name, saved, *rest, "--figures", str(notes.parent)]) == 1
        assert figure in capsys.readouterr().err and notes.read_text() == "no picture"
        both = tmp_path / "both"
        places = ["--out", str(both / figure), "--figures", str(both)]
        assert main([name, saved, *rest, *places]) == 1 and not both.exists()
    assert mine.read_text() == "mine"


def test_wrong_arguments_are_explained(saved, capsys):
    assert main(["attractors", saved, "--inputs", "1", "2"]) == 1
    assert "inputs has shape (2,)" in capsys.readouterr().err
    assert main(["lyapunov", saved, "--exponents", "3"]) == 1
    assert "n_exponents is 3" in capsys.readouterr().err
    assert main(["bifurcation", saved, "--from", "1", "--to", "1"]) == 1
    assert "inputs has the same values at both ends" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bifurcation", saved, "--from", "1"])
    assert "bifurcation.to" in capsys.readouterr().err
