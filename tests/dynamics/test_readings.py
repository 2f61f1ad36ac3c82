"""Where saddles lead, how pushes grow, slow points: closed forms and what is refused."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ShapeError

find = nr.dynamics.find_fixed_points


def bits(n=2):
    return lambda h: np.tanh(2 * h)


def test_a_saddle_leads_to_the_points_on_its_two_sides():
    points = find(bits(), n_hidden=2)
    table = nr.dynamics.saddle_connections(bits(), points, n_hidden=2)
    states = points.states.values
    saddles = np.flatnonzero(points.parameters["n_unstable"].values == 1)
    assert table["saddle"].values.tolist() == saddles.tolist() and len(saddles) == 4
    for k, saddle in enumerate(saddles):
        ends = states[table["leads_to"].values[k]]
        # On an edge of the square: one coordinate is that of the saddle, the other goes both ways.
        free = int(np.argmin(np.abs(states[saddle])))
        np.testing.assert_allclose(np.sort(ends[:, free]), [-0.957504, 0.957504], atol=1e-6)
        np.testing.assert_allclose(ends[:, 1 - free], states[saddle, 1 - free], atol=1e-9)
    assert (table["steps"] > 3).all() and (table["steps"] < 100).all()


def test_a_saddle_of_a_trained_model_is_pushed_along_its_own_mode():
    model = nr.models.VanillaRNN(1, 2, 1, dt=0.01)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[2.0, 0.4], [-0.4, 2.0]]))
        model.input_weight.copy_(torch.tensor([[0.2], [0.0]]))
        model.bias.zero_()
    points = find(model, inputs=[1.0], rng=0)
    table = nr.dynamics.saddle_connections(model, points, inputs=[1.0])
    stable = set(np.flatnonzero(points.is_stable.values))
    assert set(table["leads_to"].values.ravel()) <= stable
    assert all(a != b for a, b in table["leads_to"].values)
    with pytest.raises(ShapeError, match=r"moves by up to .* in a step of the model"):
        nr.dynamics.saddle_connections(model, points)
    with pytest.raises(ShapeError, match="points has states of 2 numbers"):
        nr.dynamics.saddle_connections(lambda h: h / 2, points, n_hidden=3)


def test_a_way_that_ends_nowhere_is_minus_one():
    """2 h up and a stable point down: from 1/2 up it leaves all bounds."""
    step = lambda h: np.where(h > 0, 2 * h - 0.5, -0.5)  # noqa: E731
    points = find(step, n_hidden=1, starts=[[0.5], [-0.5]])
    table = nr.dynamics.saddle_connections(step, points, n_hidden=1, max_steps=50)
    k = int(np.flatnonzero(points.states.values[:, 0] < 0)[0])
    assert sorted(table["leads_to"].values.ravel().tolist()) == [-1, k]


def test_a_push_that_grows_first_is_measured():
    matrix = np.array([[0.9, 5.0], [0.0, 0.8]])
    step = lambda h: h @ matrix.T  # noqa: E731
    points = find(step, n_hidden=2, dt=0.01)
    table = nr.dynamics.transient_growth(step, points, n_hidden=2, dt=0.01)
    sizes = [np.linalg.norm(np.linalg.matrix_power(matrix, k), 2) for k in range(60)]
    np.testing.assert_allclose(table["growth"], [max(sizes)], rtol=1e-10)
    np.testing.assert_allclose(table["peak"], [0.01 * int(np.argmax(sizes))])
    assert table["peak"].attrs["units"] == "s"
    # The triangle's corner is what is not on the diagonal of its Schur form.
    np.testing.assert_allclose(table["non_normality"], [5 / np.linalg.norm(matrix)], rtol=1e-6)


def test_a_symmetric_network_lets_nothing_grow():
    points = find(bits(), n_hidden=2)
    table = nr.dynamics.transient_growth(bits(), points, n_hidden=2)
    stable = points.is_stable.values
    np.testing.assert_array_equal(table["growth"].values[stable], 1.0)
    np.testing.assert_array_equal(table["peak"].values[stable], 0.0)
    assert np.isnan(table["growth"].values[~stable]).all()
    np.testing.assert_allclose(table["non_normality"], 0.0, atol=1e-6)


def test_a_slow_point_is_left_where_a_fold_has_been():
    """tanh(2 h + u): slowest where its slope is 1, tanh = -sqrt(1/2), just past the fold."""
    u = np.sqrt(2.0) - np.arctanh(np.sqrt(0.5)) + 0.002
    step = lambda h: np.tanh(2 * h + u)  # noqa: E731
    table = nr.dynamics.find_slow_points(step, n_hidden=1, dt=0.01)
    h = (-np.arctanh(np.sqrt(0.5)) - u) / 2
    np.testing.assert_allclose(table["state"], [[h]], atol=1e-6)
    speed = -np.sqrt(0.5) - h
    np.testing.assert_allclose(table["speed"], [speed / 0.01], rtol=1e-6)
    np.testing.assert_allclose(table["q"], [speed**2 / 2], rtol=1e-6)
    np.testing.assert_allclose(table["eigenvalue_real"], [[1.0]], atol=1e-5)
    assert table["speed"].attrs["units"] == "Hz"
    # Fixed points are none, and where it is asked to be slower still nothing is left.
    assert nr.dynamics.find_slow_points(bits(), n_hidden=2).sizes["point"] == 0
    assert nr.dynamics.find_slow_points(step, n_hidden=1, slower=1e4).sizes["point"] == 0


def test_slow_points_of_several_units_are_minima_of_the_speed(rng):
    u = np.array([0.536, -0.536])
    mix = np.array([[2.0, 0.05], [-0.05, 2.0]])
    step = lambda h: np.tanh(h @ mix.T + u)  # noqa: E731
    table = nr.dynamics.find_slow_points(step, n_hidden=2, slower=10)
    assert table.sizes["point"] >= 1 and (np.diff(table["speed"]) >= 0).all()
    for h, q in zip(table["state"].values, table["q"].values, strict=True):
        near = h + 1e-4 * rng.standard_normal((200, 2))
        assert (0.5 * np.sum((step(near) - near) ** 2, axis=1) >= q * (1 - 1e-9)).all()
