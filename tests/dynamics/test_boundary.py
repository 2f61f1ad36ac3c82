"""The border of basins: planes that are known, scans in all directions, pushes that are safe."""

import copy

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.dynamics.maps import as_map
from tests.benchmarks.basins import chosen

boundary = nr.dynamics.basin_boundary


def rivals(form="rate", push=(1.0, 1.0), back=-1.5):
    """Two units that inhibit each other, one of which wins."""
    model = nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=0.05, nonlinearity="relu", form=form)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[0.0, -1.5], [back, 0.0]]))
        model.bias.copy_(torch.tensor(push))
    return model.requires_grad_(False)


def torch_rivals():
    """The same as a layer of torch, in which a step is the whole way."""
    layer = torch.nn.RNN(1, 2, nonlinearity="relu")
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.tensor([[0.5, -0.75], [-0.75, 0.5]]))
        layer.bias_hh_l0.fill_(0.5)
        layer.bias_ih_l0.zero_()
    return layer.requires_grad_(False)


@pytest.mark.parametrize("make", [rivals, lambda: rivals("current"), torch_rivals],
                         ids=["rate", "current", "torch"])  # fmt: skip
@pytest.mark.slow
def test_equal_rivals_are_parted_by_the_diagonal(make):
    model = make()
    points = nr.dynamics.find_fixed_points(model)
    table = boundary(model, points)
    assert table.sizes["number"] == 2
    for k in range(2):
        h = table["state"].values[k]
        # Newton steps come within 1e-13 of the length; points are as good as 1e-12.
        assert float(table["distance"][k]) == pytest.approx(abs(h[0] - h[1]) / np.sqrt(2), 1e-9)
        np.testing.assert_allclose(table["border"].values[k], np.full(2, h.mean()), atol=1e-9)
        np.testing.assert_allclose(np.abs(table["normal"].values[k]), np.sqrt(0.5), rtol=1e-9)
        assert bool(table["exact"][k])
        assert int(table["ends"][k]) == k and int(table["beyond"][k]) == 1 - k
        saddle = int(table["saddle"][k])
        assert int(points.parameters["n_unstable"][saddle]) == 1
        assert 0 < float(table["at_least"][k]) <= float(table["distance"][k])


def test_beside_a_saddle_the_border_is_the_plane_of_its_left_eigenvector():
    """Unequal rivals: both units active, so that the step is linear and known there."""
    model = rivals(push=(1.0, 1.1), back=-2.5)
    own = as_map(model).cell
    saddle = np.linalg.solve(np.eye(2) - own.weights, own.drive)
    jacobian = (1 - own.alpha) * np.eye(2) + own.alpha[:, None] * own.weights
    values, vectors = np.linalg.eig(jacobian.T)
    w = vectors[:, np.argmax(np.abs(values))]
    w /= np.linalg.norm(w)
    states = saddle + np.array([[0.05, 0.01], [-0.03, 0.02], [0.0, -0.04]])
    table = boundary(model, states=states)
    np.testing.assert_allclose(table["distance"], np.abs((states - saddle) @ w), rtol=1e-9)
    assert table["exact"].values.all()
    np.testing.assert_allclose(np.abs(table["normal"].values @ w), 1.0, rtol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_scan_of_all_directions_finds_nothing_nearer(seed):
    model, points = list(chosen(2, 2))[seed]
    table = boundary(model, points)
    tell = nr.dynamics.basins(model, points, n_states=1).tell
    angle = 2 * np.pi * np.arange(1440) / 1440
    ways = np.column_stack([np.cos(angle), np.sin(angle)])
    for k in range(table.sizes["number"]):
        h, length = table["state"].values[k], float(table["distance"][k])
        for share in (0.3, 0.6, 0.9, 0.999):
            assert (tell(h + share * length * ways) == table["ends"].values[k]).all()
        way = (table["border"].values[k] - h) / length
        beside = tell(h + length * np.array([[1 - 1e-6], [1 + 1e-6]]) * way)
        assert beside.tolist() == [int(table["ends"][k]), int(table["beyond"][k])]
        assert int(table["ends"][k]) != int(table["beyond"][k])


@pytest.mark.parametrize("n", [3, 6])
@pytest.mark.slow
def test_no_push_below_at_least_changes_anything(n, rng):
    ((model, points),) = chosen(n, 1)
    tell = nr.dynamics.basins(model, points, n_states=1).tell
    states = rng.uniform(0, 2, (3, n))
    table = boundary(model, points, states=states, n_directions=16)
    least, distance = table["at_least"].values, table["distance"].values
    assert (least > 0).all() and (least <= distance).all()
    for k in range(3):
        ways = rng.standard_normal((500, n))
        ways *= least[k] / np.linalg.norm(ways, axis=1, keepdims=True)
        assert (tell(states[k] + ways) == table["ends"].values[k]).all()


def test_smooth_units_that_do_not_meet_are_parted_by_the_axes():
    model = nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=0.05)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(np.diag([2.0, 3.0])))
        model.bias.zero_()
    before = copy.deepcopy(model.state_dict())
    states = np.array([[0.5, 0.2], [-0.1, 0.6], [0.957, -0.99]])
    table = boundary(model, states=states)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    np.testing.assert_allclose(table["distance"], np.abs(states).min(axis=1), rtol=1e-9)
    assert not table["exact"].any()  # nothing is a plane for certain where units bend
    # The last state is in the ball of its point, the others are not, and nothing is shown of them.
    assert np.isfinite(table["at_least"].values).tolist() == [False, False, True]


def test_a_network_of_one_basin_has_no_border():
    table = boundary(lambda h: 0.5 * np.asarray(h), n_hidden=2)
    assert np.isinf(table["distance"].values).all() and (table["saddle"].values == -1).all()
    assert table["ends"].values.tolist() == table["beyond"].values.tolist() == [0]
    near = boundary(rivals(), reach=0.1)
    assert np.isinf(near["distance"].values).all()


def test_what_has_no_basin_is_refused():
    with pytest.raises(DataError, match="None of the 1 fixed points is stable"):
        boundary(lambda h: 1.5 * np.asarray(h), n_hidden=2)
    with pytest.raises(KindError, match="points is a list"):
        boundary(rivals(), [0.0])
    with pytest.raises(ShapeError, match="starts has shape"):
        boundary(rivals(), states=np.zeros((2, 3)))
    with pytest.raises(DataError, match="reach"):
        boundary(rivals(), reach=-1.0)
