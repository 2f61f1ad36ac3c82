"""Basins: known borders, balls that prove, plain runs of the model, other ends, safety."""

import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.confidence import binomial_interval
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError
from neurornn.dynamics import balls, basin_map
from neurornn.dynamics.balls import balls_of
from neurornn.dynamics.basin_map import DIVERGED, MOVES, ON_THE_WAY, told
from neurornn.dynamics.maps import as_map
from tests.benchmarks.basins import chosen, ends_of

basins = nr.dynamics.basins


def bits(cls=nr.models.LeakyRNN, n=2, gain=2.0, **more):
    """Units that hold themselves."""
    model = cls(1, n, 1, dt=0.01, **more)
    rng = np.random.default_rng(0)
    with torch.no_grad():
        weights = gain * np.eye(n) + 0.05 * rng.standard_normal((n, n))
        model.recurrent_weight.copy_(torch.tensor(weights))
        model.bias.zero_()
    return model.requires_grad_(False)


def gated(kind):
    """A gated network that holds a bit or more."""
    torch.manual_seed(0)
    layer = getattr(torch.nn, kind)(1, 3)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(6.0)
        layer.bias_hh_l0.zero_()
        layer.bias_ih_l0.zero_()
    return layer


def competing(**more):
    """Three units that inhibit each other, one of which wins."""
    model = nr.models.LeakyRNN(1, 3, 1, dt=0.01, tau=0.05, nonlinearity="relu", **more)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(-1.6 * (1 - np.eye(3))))
        model.bias.copy_(torch.tensor([1.0, 1.1, 0.95]))
    return model.requires_grad_(False)


MODELS = {
    "leaky": bits(tau=0.1),
    "unequal tau": bits(n=3, tau=np.array([0.02, 0.1, 0.4])),
    "current": bits(tau=0.1, form="current"),
    "substeps": bits(tau=0.1, substeps=3),
    "elman": bits(nr.models.VanillaRNN),
    "gru": gated("GRU"),
    "lstm": gated("LSTM"),
    "relu": competing(),
    "relu in current form": competing(form="current"),
    "relu in substeps": competing(substeps=2),
}


def stable_of(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        points = nr.dynamics.find_fixed_points(model, rng=0, max_starts=2048)
    return points, points.states.values[points.is_stable.values]


@pytest.mark.parametrize("name", MODELS)
def test_from_everywhere_in_a_ball_each_step_leads_nearer_to_the_point(name, rng):
    cell = as_map(MODELS[name]).cell
    _, at = stable_of(MODELS[name])
    balls = balls_of(cell, at)
    assert len(balls) >= 1 and all(ball.shape is not None for ball in balls)
    for point, ball in zip(at, balls, strict=True):
        away = rng.standard_normal((500, cell.n_state))
        away *= ball.radius / np.linalg.norm(away, axis=1, keepdims=True)
        away[:250] *= rng.random((250, 1))
        h = point + np.linalg.solve(ball.shape, away.T).T
        assert (np.linalg.norm(h - point, axis=1) <= ball.reach * (1 + 1e-9)).all()
        for _ in range(3):
            before = np.linalg.norm((h - point) @ ball.shape.T, axis=1)
            h = cell.step(h)
            after = np.linalg.norm((h - point) @ ball.shape.T, axis=1)
            # But for the error of the point itself, 1e-12.
            assert (after < before + 1e-11).all()


def test_the_radius_of_one_unit_is_that_of_the_formula():
    """tanh(2 h): |F''| <= 4 * 4 / (3 sqrt 3), and the slope at the point is 2 (1 - p**2)."""
    model = bits(nr.models.VanillaRNN, n=1)
    gain = float(model.recurrent_weight[0, 0])
    _, at = stable_of(model)
    slope = gain * (1 - at[0, 0] ** 2)
    bend = gain**2 * 4 / (3 * np.sqrt(3))
    # .9 of where a step would stand still is kept, and a millionth for rounding.
    wanted = 0.9 * 2 * (1 - slope) / bend
    for ball in balls_of(as_map(model).cell, at):
        assert ball.reach == pytest.approx(wanted, rel=1e-5)
        assert ball.radius == pytest.approx(ball.reach * ball.shape[0, 0], rel=1e-12)


@pytest.mark.parametrize("name", ["relu", "relu in current form"])
def test_a_ball_of_a_relu_network_reaches_up_to_the_next_kink(name, rng):
    cell = as_map(MODELS[name]).cell
    _, at = stable_of(MODELS[name])
    for point, ball in zip(at, balls_of(cell, at), strict=True):
        away = rng.standard_normal((200_000, 3))
        away *= ball.radius / np.linalg.norm(away, axis=1, keepdims=True)
        step = np.linalg.solve(ball.shape, away.T).T

        def on(h):
            return (h if cell.form == "current" else h @ cell.weights.T + cell.drive) > 0

        assert (on(point + step) == on(point)).all()
        # So many directions miss the one that touches by less than 1 %.
        assert not (on(point + 1.01 * step) == on(point)).all()


def test_a_ball_is_as_long_as_its_shape_says():
    shape = np.array([[1.0, 10.0], [0.0, 1.0]])
    ball = balls.Ball(shape, 1.0, 11.0)
    h = np.array([[9.5, -0.99], [0.9, 0.0], [0.0, 0.5], [0.0, 0.099], [0.9, 0.09]])
    where, shown = basin_map._arrived(np.zeros((1, 2)), [ball], h)
    # |S h|: 1.07, .9, 5.02, .995 and 1.8.
    assert where.tolist() == [-1, 0, -1, 0, -1]
    assert shown.tolist() == [False, True, False, True, False]


def test_the_border_between_two_points_is_where_it_is():
    found = basins(lambda h: np.tanh(2 * np.asarray(h)), n_hidden=1, region=(-1, 3), rng=0)
    up = int(np.argmax(found.parameters["state"].values[:2, 0]))
    low, high = found.parameters["share_ci"].values[up]
    # The interval is a 95 % one and this draw is one of those that it holds for.
    assert low < 0.75 < high
    np.testing.assert_array_equal(found.tell([[-1e-9], [1e-9], [0.0]]), [1 - up, up, -1])
    assert found.proved_share == 0.0


def test_relu_networks_end_where_plain_runs_of_the_model_end():
    for n in (2, 4):
        for model, points in chosen(n, 2):
            states = np.random.default_rng(n).uniform(0, 2, (300, n))
            found = basins(model, points, region=states)
            mine = found.tell(states)
            np.testing.assert_array_equal(mine, ends_of(model, points, states, 4_000))
            assert found.proved_share == 1.0 and len(np.unique(mine)) > 1


@pytest.mark.parametrize(
    "name",
    [
        "current",
        "gru",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("unequal tau", "lstm")),
    ],
)
def test_smooth_networks_end_where_their_cell_runs_to(name):
    model = MODELS[name]
    points, at = stable_of(model)
    found = basins(model, points, n_states=200, rng=1)
    h = start = as_map(model).cell.spread(np.random.default_rng(2), 200)
    cell = as_map(model).cell
    for _ in range(3_000):
        h = cell.step(h)
    away = np.linalg.norm(h[:, None] - at, axis=2)
    # After so long no state is on its way: slow modes last 50 steps.
    wanted = np.where(away.min(axis=1) < 1e-6, away.argmin(axis=1), -1)
    np.testing.assert_array_equal(found.tell(start), wanted)
    assert found.proved_share == 1.0


def test_a_state_is_run_no_longer_than_until_it_is_in_a_ball():
    state_map = as_map(MODELS["leaky"])
    _, at = stable_of(MODELS["leaky"])
    n_run = []

    class Counted(balls.Leaky):
        def step(self, h):
            n_run.append(len(h))
            return super().step(h)

    cell = state_map.cell
    counted = Counted(cell.weights, cell.drive, cell.alpha, "tanh")
    start = cell.spread(np.random.default_rng(0), 1000)
    told(state_map._replace(cell=counted), at, start)
    # 20,000 steps each would be 2e7; what takes longest comes from near a saddle.
    assert sum(n_run) < 200 * 1000


def turning(h):
    """A circle of its own, of radius 1, that a turn takes 20.5 steps on."""
    h = np.asarray(h)
    c, s = np.cos(2 * np.pi / 20.5), np.sin(2 * np.pi / 20.5)
    r = np.linalg.norm(h, axis=1, keepdims=True)
    return h @ np.array([[c, s], [-s, c]]) * (1 + 0.1 * (1 - r))


def ends(step, start, at=(), n=1, **more):
    points = np.array(at, dtype=float).reshape(-1, n)
    return told(as_map(step, n_hidden=n), points, np.array(start, dtype=float), **more)[0].tolist()


def test_other_ends_have_their_names():
    assert ends(turning, [[0.5, 0.1]], n=2, max_steps=3000) == [MOVES]
    assert ends(lambda h: 1.5 * np.asarray(h), [[0.5], [0.0]]) == [DIVERGED, ON_THE_WAY]
    slow = lambda h: 0.99999 * np.asarray(h)  # noqa: E731
    assert ends(slow, [[0.5]], [[0.0]], max_steps=1000) == [MOVES]
    slower = lambda h: (1 - 1e-7) * np.asarray(h)  # noqa: E731
    assert ends(slower, [[0.5]], [[0.0]], max_steps=1000) == [ON_THE_WAY]
    nowhere = lambda h: np.asarray(h) * np.nan  # noqa: E731
    assert ends(nowhere, [[0.5]], [[0.0]]) == [DIVERGED]


def test_an_orbit_of_whole_steps_is_told_when_it_is_back():
    n_run = []

    def flip(h):
        h = np.asarray(h)
        n_run.append(len(h))
        return 3.2 * h * (1 - h)

    assert ends(flip, [[0.3], [0.4]], max_steps=100_000) == [MOVES, MOVES]
    assert len(n_run) < 3000


def test_shares_counts_and_intervals_belong_together():
    model, states = MODELS["relu"], np.random.default_rng(0).uniform(0, 2, (400, 3))
    found = basins(model, region=states, confidence_level=0.8)
    p = found.parameters
    ends_at = found.tell(states)
    for k, number in enumerate(p["point"].values[:-3]):
        n = int((ends_at == number).sum())
        assert n == int(p["n_states"][k]) == int(p["n_proved"][k])
        assert float(p["share"][k]) == n / 400
        np.testing.assert_allclose(p["share_ci"].values[k], binomial_interval(n, 400, 0.8))
    assert int(p["n_states"].sum()) == 400
    assert p["end"].values.tolist()[-3:] == ["moves on", "still on the way", "diverged"]
    assert "400 came to a stable point: 400 proved, 0 merely near it" in found.report()
    assert found.shares.attrs["units"] == "1"


def test_points_and_their_inputs_are_those_of_the_network():
    model = bits(tau=0.1)
    with torch.no_grad():
        model.input_weight.fill_(1.0)
    points = nr.dynamics.find_fixed_points(model, inputs=[0.2], rng=0)
    found = basins(model, points, n_states=50)
    assert found.settings["inputs"] == [0.2]
    with pytest.raises(DataError, match="under the same inputs"):
        basins(model, points, inputs=[0.1])
    with pytest.raises(ShapeError, match="states of 2 numbers"):
        basins(bits(n=3, tau=0.1), points)
    with pytest.raises(DataError, match="moves the points"):
        basins(bits(tau=0.1, gain=1.5), points)
    with pytest.raises(KindError, match="points is a list"):
        basins(model, [0.1])


@pytest.mark.parametrize(
    ("region", "error"),
    [
        ((1.0, -1.0), DataError),
        ((0.0, [1.0, 2.0, 3.0, 4.0]), DataError),
        ((0.0, 1.0, 2.0), ShapeError),
        (np.zeros((4, 5)), ShapeError),
    ],
)
def test_a_region_that_is_none_is_refused(region, error):
    with pytest.raises(error):
        basins(MODELS["relu"], region=region, n_states=5)


def test_bounds_hold_for_each_unit():
    h, where = basin_map._drawn(
        ([0.0, 2.0], [1.0, 3.0]), as_map(bits(tau=0.1)).cell, np.random.default_rng(0), 500
    )
    assert (h.min(axis=0) > [0, 2]).all() and (h.max(axis=0) < [1, 3]).all()
    assert where == "between the bounds given"


def test_what_is_loaded_tells_with_the_model(tmp_path):
    model = MODELS["relu"]
    found = basins(model, n_states=100, rng=3)
    found.save(tmp_path / "basins")
    loaded = nr.load(tmp_path / "basins")
    assert loaded.report() == found.report()
    states = np.random.default_rng(0).uniform(0, 2, (50, 3))
    with pytest.raises(KindError, match=r"basins.tell\(states, model\)"):
        loaded.tell(states)
    np.testing.assert_array_equal(loaded.tell(states, model), found.tell(states))
    again = basins(model, n_states=100, rng=3)
    np.testing.assert_array_equal(again.shares, found.shares)


def test_progress_counts_every_state_once():
    seen = []
    basins(MODELS["relu"], n_states=40, progress=lambda done, of: seen.append((done, of)))
    assert seen[-1] == (40, 40)
