"""Diagrams of ReLU networks: known borders, the points of each value, what is degenerate."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning
from neurornn.dynamics.cells import Leaky
from neurornn.dynamics.linear_sheets import _may_hold, _solved

follow = nr.dynamics.continue_fixed_points


def relu(weights, bias, into, cls=nr.models.LeakyRNN, **more):
    weights, bias, into = (np.array(x, dtype=float) for x in (weights, bias, into))
    if cls is nr.models.LeakyRNN:
        more = {"tau": 0.05, **more}
    model = cls(into.shape[1], len(weights), 1, dt=0.01, nonlinearity="relu", **more)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(weights))
        model.bias.copy_(torch.tensor(bias))
        model.input_weight.copy_(torch.tensor(into))
    return model.requires_grad_(False)


def marks(diagram):
    table = diagram.bifurcations
    return list(zip(table["kind"].values.tolist(), table["value"].values.tolist(), strict=True))


RIVALS = [[0.0, -1.5], [-1.5, 0.0]]


@pytest.mark.parametrize("form", ["rate", "current"])
def test_folds_of_rivals_lie_where_a_unit_switches(form):
    """With u = 1 + v the first alone rests while 1 < 1.5 u, the second alone while u < 1.5."""
    diagram = follow(relu(RIVALS, [1, 1], [[1], [0]], form=form), ([-1.0], [1.0]))
    (first, low), (second, high) = marks(diagram)
    assert first == second == "fold"
    # Linear equations of two unknowns, and nothing else: a few roundings.
    assert abs(low + 1 / 3) < 1e-14 and abs(high - 0.5) < 1e-14
    assert diagram.completeness == "proved"
    v = diagram.points["value"].values
    # The upper fold is a value of the grid, at which the two points are one, and none is counted.
    inside = (v > -1 / 3) & (v < 0.5 - 1e-9)
    np.testing.assert_array_equal(diagram.points["n_points"], np.where(inside, 3, 1))
    np.testing.assert_array_equal(diagram.points["n_stable"], np.where(inside, 2, 1))
    np.testing.assert_array_equal(diagram.points["index_sum"], 1)
    at = diagram.bifurcations["state"].values
    u = 2 / 3
    # The first sends u, which silences the second to the point; the second sends 1.
    wanted = [[u, 0], [0, 1]] if form == "rate" else [[u, 1 - 1.5 * u], [1.5 - 1.5, 1]]
    np.testing.assert_allclose(at, wanted, atol=1e-14)
    assert "all 4 linear pieces were solved" in diagram.report()
    assert "by solving every linear piece" in diagram.methods_text()


def test_equal_rivals_split_where_all_units_begin():
    """Drive (s, s): nothing below 0, above it both or either one."""
    diagram = follow(relu(RIVALS, [0, 0], [[1], [1]]), ([-1.0], [1.0]), n_values=40)
    ((kind, value),) = marks(diagram)
    assert kind == "pitchfork" and abs(value) < 1e-15
    v = diagram.points["value"].values
    np.testing.assert_array_equal(diagram.points["n_points"], np.where(v > 0, 3, 1))
    np.testing.assert_array_equal(diagram.points["index_sum"], 1)
    both = v[v > 0] / 2.5
    states = diagram.points["state"].values
    # The sheet that passes is that of the same index: one unit alone, and not both.
    there = ~np.isnan(states).any(axis=2)
    assert sorted(there.sum(axis=1).tolist()) == [20, 20, 40]
    passing = states[there.sum(axis=1).argmax()]
    assert (passing[v > 0].min(axis=1) == 0).all()
    off = np.abs(states[:, v > 0] - both[:, None]).max(axis=2)
    assert (np.nanmin(off, axis=0) < 1e-14).all()


def test_a_unit_that_switches_may_make_a_mode_grow():
    """h' = relu(u - 1.5 h): at rest below 0, above it u / 2.5, past which every step turns."""
    model = relu([[-1.5]], [0], [[1]], cls=nr.models.VanillaRNN)
    diagram = follow(model, ([-1.0], [2.0]), n_values=31)
    ((kind, value),) = marks(diagram)
    assert kind == "border collision" and abs(value) < 1e-15
    v = diagram.points["value"].values
    assert diagram.points.sizes["sheet"] == 1
    np.testing.assert_allclose(
        diagram.points["state"].values[0, :, 0], np.maximum(v, 0) / 2.5, atol=1e-15
    )
    up = v > 1e-9
    np.testing.assert_array_equal(diagram.points["n_unstable"].values[0][up], 1)
    np.testing.assert_array_equal(diagram.points["n_unstable"].values[0][v < -1e-9], 0)
    plt.close(nr.plot.bifurcation(diagram).figure)


def drawn(n, seed, **more):
    rng = np.random.default_rng([n, seed])
    weights = rng.standard_normal((n, n)) * 2.4 / np.sqrt(n) - 0.5
    bias, into = 1 + 0.5 * rng.standard_normal(n), rng.standard_normal((n, 2))
    return relu(weights, bias, into, **more)


def layer(n, seed):
    torch.manual_seed(seed)
    made = torch.nn.RNN(2, n, nonlinearity="relu")
    with torch.no_grad():
        made.weight_hh_l0.mul_(2.0)
    return made.requires_grad_(False)


@pytest.mark.parametrize(
    "model",
    [
        *(drawn(n, seed) for n in (2, 3, 5, 8) for seed in range(4)),
        *(drawn(4, seed, form="current") for seed in range(3)),
        *(drawn(4, seed, cls=nr.models.VanillaRNN) for seed in range(3)),
        *(layer(4, seed) for seed in range(3)),
    ],
)
def test_the_diagram_holds_the_points_of_each_value(model):
    ends = np.array([-3.0, 1.0]), np.array([3.0, -2.0])
    diagram = follow(model, ends, n_values=13)
    assert diagram.completeness == "proved"
    assert (diagram.points["index_sum"].values == diagram.points["index_sum"].values[0]).all()
    for k, share in enumerate(np.linspace(0, 1, 13)):
        u = ends[0] + share * (ends[1] - ends[0])
        # A layer of torch is searched, and its points are as good as the search.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = nr.dynamics.find_fixed_points(model, inputs=u, rng=0).states.values
        states = diagram.points["state"].values[:, k]
        states = states[~np.isnan(states).any(axis=1)]
        assert len(states) == len(found)
        if len(found):
            away = np.linalg.norm(found[:, None] - states, axis=2)
            assert away.min(axis=1).max() < 1e-9


def test_counts_change_by_two_at_folds_alone():
    diagram = follow(drawn(10, 1), (np.array([-3.0, 1.0]), np.array([3.0, -2.0])), n_values=601)
    folds = [v for k, v in marks(diagram) if k == "fold"]
    value, n = diagram.points["value"].values, diagram.points["n_points"].values
    assert len(folds) >= 2 and n.max() >= 3
    between = np.flatnonzero(np.diff(n))
    for k in between:
        inside = [v for v in folds if value[k] - 1e-12 <= v <= value[k + 1] + 1e-12]
        assert abs(n[k + 1] - n[k]) in (2 * len(inside), 2 * len(inside) - 4)
    assert len(folds) == len(between)


def test_a_line_of_points_at_one_value_is_told():
    """h' = relu(h + s): at s = 0 every state above 0 stays."""
    diagram = follow(relu([[1.0]], [0], [[1]]), ([-1.0], [1.0]), n_values=11)
    assert diagram.completeness == "unknown"
    assert "1 linear pieces hold a line of points at some value" in diagram.settings["reason"]
    # Where the drive stays away from 0 that piece holds nothing.
    above = follow(relu([[1.0]], [-2], [[1]]), ([-1.0], [1.0]), n_values=11)
    assert above.completeness == "proved" and (above.points["n_points"] == 1).all()
    matrix, on = np.zeros((1, 1)), np.ones(1, dtype=bool)
    assert _may_hold(matrix, on, np.array([-1.0]), np.array([3.0]))
    assert not _may_hold(matrix, on, np.array([-1.0]), np.array([0.5]))


def test_a_piece_that_is_only_touched_has_no_segment():
    cell = Leaky(np.array([[0.5]]), np.zeros(1), np.ones(1), "relu")
    found, n_lines = _solved(cell, np.array([-1.0]), np.array([1.0]))
    # The unit begins at the very end of the range.
    assert n_lines == 0 and [one.on.tolist() for one in found] == [[False]]
    assert found[0].ends == (0.0, 1.0) and found[0].units == (-1, -1)


def test_what_is_saved_is_what_was_found(tmp_path):
    diagram = follow(relu(RIVALS, [1, 1], [[1], [0]]), ([-1.0], [1.0]), n_values=21)
    diagram.save(tmp_path / "diagram")
    loaded = nr.load(tmp_path / "diagram")
    assert loaded.report() == diagram.report() and loaded.completeness == "proved"
