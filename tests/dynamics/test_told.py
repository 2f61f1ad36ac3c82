"""Fixed points as they are drawn, and on the command line."""

import json
import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ShapeError
from neurornn.cli import main


@pytest.fixture(scope="module")
def fitted():
    """A fit whose network holds two bits."""
    win = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, n_inputs=1, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nr.fit(nr.models.VanillaRNN(1, 2, 2, dt=0.01), win, max_epochs=1)
    with torch.no_grad():
        result.model.recurrent_weight.copy_(torch.tensor([[2.0, 0.3], [-0.3, 2.0]]))
        result.model.bias.zero_()
        result.model.input_weight.copy_(torch.tensor([[0.1], [0.0]]))
    return result


def test_every_eigenvalue_is_drawn_in_its_colour(fitted):
    points = nr.dynamics.find_fixed_points(fitted, rng=0)
    values = points.eigenvalues.values
    for number in (None, 0, values.shape[0] - 1):
        ax = nr.plot.eigenvalues(points, point=number)
        lines = {line.get_label(): line for line in ax.lines}
        circle = lines.pop("_circle")
        np.testing.assert_allclose(np.hypot(*circle.get_data()), 1.0)
        drawn = {k: line.get_xdata() + 1j * line.get_ydata() for k, line in lines.items()}
        chosen = values if number is None else values[[number]]
        stable = (np.abs(chosen) < 1).all(axis=1)
        wanted = {
            "stable points": chosen[stable].ravel(),
            "saddles: modes that decay": chosen[~stable][np.abs(chosen[~stable]) <= 1],
            "saddles: modes that grow": chosen[~stable][np.abs(chosen[~stable]) > 1],
        }
        assert set(drawn) == {k for k, v in wanted.items() if v.size}
        for name, there in drawn.items():
            assert np.array_equal(np.sort(there), np.sort(wanted[name]))
        assert ax.get_aspect() == 1.0


def test_a_point_that_is_not_there_is_refused(fitted):
    points = nr.dynamics.find_fixed_points(fitted, rng=0)
    with pytest.raises(ShapeError, match="point 99 of 9 points"):
        nr.plot.eigenvalues(points, point=99)


@pytest.mark.slow
def test_the_command_writes_points_and_picture(fitted, tmp_path, capsys):
    fitted.save(tmp_path / "fit")
    there = [str(tmp_path / name) for name in ("fit", "points", "figs")]
    assert main(["fixed-points", there[0], "--out", there[1], "--figures", there[2]]) == 0
    text = capsys.readouterr().out
    points = nr.load(there[1])
    assert points.parameters.sizes["point"] == 9
    assert text.startswith(points.report()) and f"saved: {there[1]}" in text
    assert (tmp_path / "figs" / "eigenvalues.png").stat().st_size > 1000
    # Again, over its own files; and as JSON, with an input.
    assert main(["fixed-points", there[0], "--out", there[1], "--figures", there[2]]) == 0
    capsys.readouterr()
    assert main(["fixed-points", there[0], "--inputs", "40", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    # So strong an input leaves one value of the first bit: three points.
    assert said["completeness"] == "proved"
    assert len(said["points"]["q"]["values"]) == 3


def test_what_stands_in_the_way_is_told_before_the_search(fitted, tmp_path, capsys):
    fitted.save(tmp_path / "fit")
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "mine.txt").write_text("mine")
    assert main(["fixed-points", str(tmp_path / "fit"), "--out", str(tmp_path / "points")]) == 1
    assert "mine.txt" in capsys.readouterr().err
    assert (tmp_path / "points" / "mine.txt").read_text() == "mine"
    assert main(["fixed-points", str(tmp_path / "fit"), "--inputs", "1", "2"]) == 1
    assert "inputs has shape (2,)" in capsys.readouterr().err
