"""Attractors by name: known ones, their lifetimes, and what is told."""

import warnings

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError
from neurornn.dynamics import manifolds
from neurornn.dynamics.destinations import _stable_points
from neurornn.dynamics.manifolds import Curve, flowed, nearest

classify = nr.dynamics.classify_attractor
DT = 0.01


def turned(n=3, seed=0):
    """A rotation, so that nothing lies along an axis."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def linear(*values, seed=0):
    q = turned(len(values), seed)
    matrix = q @ np.diag(values) @ q.T
    return lambda h: h @ matrix.T


def ring(noise=0.0, seed=0, n=40):
    angle = 2 * np.pi * np.arange(n) / n
    weights = 3.0 / n * np.cos(angle[:, None] - angle)
    weights *= 1 + noise * np.random.default_rng(seed).standard_normal(weights.shape)
    return lambda h: h + 0.1 * (np.tanh(h @ weights.T) - h)


def hopf(m, turn=0.2):
    """A spiral towards a circle of radius sqrt(m), that turns by `turn` in a step."""
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return lambda h: (1 + m - np.sum(h * h, axis=1, keepdims=True)) * (h @ matrix.T)


def test_points_hold_for_ever():
    found = classify(lambda h: np.tanh(2 * h), n_hidden=3, dt=DT)
    assert (found.kind, found.dimension, found.lifetime) == ("points", 0, np.inf)
    assert int(found.parameters["n_points"][0]) == 8
    h = 0.957504024  # tanh(2 h) = h
    wanted = -DT / np.log(2 * (1 - h * h))
    np.testing.assert_allclose(found.parameters["across"], [wanted], rtol=1e-6)
    assert np.isnan(found.parameters["drift"]).all()
    assert "8 points" in found.report() and "no end" in found.report()
    one = classify(lambda h: np.tanh(0.5 * h), n_hidden=2)
    assert one.kind == "point" and one.settings["time_unit"] == "1"
    # One point stores nothing.
    assert np.isnan(one.lifetime) and "no end" not in one.report()


@pytest.mark.slow
def test_what_turns_slowly_to_rest_or_onto_a_cycle_is_named():
    """Just below and just past where a cycle is born: 1 in 10,000 of a turn is lost in a step."""
    assert classify(hopf(-1e-4), n_hidden=2, n_steps=2000).kind == "point"
    past = classify(hopf(1e-3), n_hidden=2, n_steps=3000)
    assert past.parameters["kind"].values.tolist() == ["limit cycle"]
    np.testing.assert_allclose(past.parameters["share"], 1.0)


@pytest.mark.parametrize("dt", [DT, 0.05])
def test_a_leak_is_a_line_that_lasts_as_long_as_its_time_constant(dt):
    found = classify(linear(0.999, 0.8, 0.7), n_hidden=3, dt=dt, n_steps=1000)
    tau = -dt / np.log(0.999)
    assert (found.kind, found.dimension) == ("line", 1)
    # The curve is a straight line; its lifetime is read from a Runge-Kutta path between grid times
    # that lie 16 % apart, on which it is interpolated.
    assert found.lifetime == pytest.approx(tau, rel=0.01)
    assert not bool(found.parameters["at_least"][0]) and int(found.parameters["n_points"][0]) == 1
    np.testing.assert_allclose(found.parameters["across"], [-dt / np.log(0.8)], rtol=1e-6)
    np.testing.assert_allclose(
        found.parameters["rate_ratio"], [np.log(0.999) / np.log(0.8)], rtol=1e-2
    )
    states = found.manifold["state"].values[0]
    along = turned()[:, 0]
    off = states - np.outer(states @ along, along)
    # What decays by .8 in a step is gone: 5 time constants and Newton steps.
    assert np.abs(off).max() < 1e-3 * np.abs(states).max()
    position = found.manifold["position"].values[0]
    np.testing.assert_allclose(np.diff(position), position[1], rtol=1e-3)
    # Speed along it: -(1 - .999) of the distance from 0, in states per second.
    s = states @ along * np.sign((states[-1] - states[0]) @ along)
    np.testing.assert_allclose(
        found.manifold["speed"].values[0], -0.001 * s / dt, atol=2e-3 * np.abs(s).max() / dt * 1e-3
        + 1e-6 / dt,
    )  # fmt: skip
    length = np.linalg.norm(states[-1] - states[0])
    np.testing.assert_allclose(found.manifold["length"], [length], rtol=1e-4)
    fastest = 0.001 * np.abs(s).max() / dt / length
    np.testing.assert_allclose(found.parameters["fastest_drift"], [fastest], rtol=1e-2)
    rms = 0.001 * np.sqrt(np.mean(s**2)) / dt / length
    assert found.drift == pytest.approx(rms, rel=1e-2)


@pytest.mark.slow
def test_the_error_of_a_memory_on_a_leak_is_known():
    found = classify(linear(0.999, 0.8, 0.7), n_hidden=3, dt=DT, n_steps=1000)
    along = turned()[:, 0]
    starts = np.outer([-0.4, 0.1, 0.8], along)
    delays = np.array([2.0, 0.5, 8.0])
    tau = -DT / np.log(0.999)
    told = found.memory_error(delays, readout=2.0 * along[None], starts=starts)
    lost = 1 - np.exp(-delays / tau)
    wanted = 2 * lost[:, None] * np.abs([-0.4, 0.1, 0.8])
    np.testing.assert_allclose(told["error"], wanted, atol=2e-3)
    np.testing.assert_allclose(told["mean_error"], told["error"].mean("start"))
    # Nothing moves faster than at the end of the line.
    end = np.abs(found.manifold["state"].values[0] @ along).max()
    # (and what lies a little beside it adds its read-out at most).
    wanted = 2 * end * delays * 0.001 / DT + 2 * float(told["distance"].max())
    np.testing.assert_allclose(told["bound"], wanted, rtol=0.02)
    assert (told["error"] <= told["bound"]).all() and told["delay"].attrs["units"] == "s"
    np.testing.assert_allclose(told["distance"], 0.0, atol=1e-3)
    # What lies beside the line by .05 may add its read-out, of length 2.
    beside = found.memory_error(delays, readout=2.0 * along[None],
                                starts=starts + 0.05 * turned()[:, 1])  # fmt: skip
    np.testing.assert_allclose(beside["distance"], 0.05, atol=2e-3)
    extra = (beside["bound"] - told["bound"]).values
    np.testing.assert_allclose(extra, 2 * 0.05, atol=5e-3)
    by_position = found.memory_error(delays, starts=starts)
    np.testing.assert_allclose(2 * by_position["error"], told["error"], atol=2e-3)
    with pytest.raises(ShapeError, match=r"readout has shape \(1, 2\)"):
        found.memory_error(1.0, readout=np.ones((1, 2)))
    with pytest.raises(DataError, match="delays begins at -1"):
        found.memory_error([-1.0, 2.0])
    points = classify(lambda h: np.tanh(2 * h), n_hidden=1)
    with pytest.raises(KindError, match="The attractor is of the kind points"):
        points.memory_error(1.0)


@pytest.mark.slow
def test_two_slow_modes_are_a_plane():
    found = classify(linear(0.999, 0.999, 0.7), n_hidden=3, dt=DT, n_steps=1000)
    assert (found.kind, found.dimension) == ("plane", 2)
    # The spread of 256 states is taken about their mean, which is off by 1/16 of it.
    assert found.lifetime == pytest.approx(-DT / np.log(0.999), rel=0.05)
    assert int(found.parameters["n_points"][0]) == 1


@pytest.mark.slow
def test_a_ring_is_one_thing():
    found = classify(ring(), n_hidden=40, dt=DT)
    assert (found.kind, found.dimension) == ("ring", 1)
    table, states = found.parameters.isel(attractor=0), found.manifold["state"].values[0]
    # Every place on it is a fixed point, up to what lies between the splines' knots: 2 pi / 200
    # to the fourth power.
    assert np.abs(ring()(states) - states).max() < 1e-6
    assert bool(table["at_least"]) and int(table["n_points"]) == 0
    assert found.lifetime > 1e6 and found.drift < 1e-12
    assert f"at least {found.lifetime:.3g}" in found.report()
    radius = np.linalg.norm(states, axis=1)
    np.testing.assert_allclose(radius, radius.mean(), rtol=1e-2)
    # All the way round: equal steps, the last to the first too.
    steps = np.linalg.norm(np.diff(states, axis=0, append=states[:1]), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)
    np.testing.assert_allclose(found.manifold["length"], [steps.sum()], rtol=1e-3)
    # The second eigenvalue, from differences.
    h, e = states[0], 1e-6 * np.eye(40)
    jacobian = ((ring()(h + e) - ring()(h - e)) / 2e-6).T
    second = np.sort(np.abs(np.linalg.eigvals(jacobian)))[-2]
    np.testing.assert_allclose(table["across"], -DT / np.log(second), rtol=1e-3)


@pytest.mark.slow
def test_a_broken_ring_is_a_slow_ring_with_a_few_points():
    step = ring(0.01, seed=3)
    found = classify(step, n_hidden=40, dt=DT)
    table = found.parameters.isel(attractor=0)
    assert found.kind == "ring" and not bool(table["at_least"])
    start = found.manifold["state"].values[0][::10]
    delays = [5.0, 50.0]
    told = found.memory_error(delays, readout=np.eye(40), starts=start)
    h = start
    for k, n_steps in enumerate((500, 4500)):
        for _ in range(n_steps):
            h = step(h)
        moved = np.linalg.norm(h - start, axis=1)
        # The manifold is known to a share of e^-12 of its width, the speed on it to 1 %.
        np.testing.assert_allclose(told["mean_error"][k], moved.mean(), rtol=0.02)
        assert (moved <= float(told["bound"][k])).all()
    for _ in range(200_000):
        h = step(h)
    kept = []
    for one in h:
        if all(np.linalg.norm(one - k) > 0.1 for k in kept):
            kept.append(one)
    assert int(table["n_points"]) == len(kept)
    assert f"it has {len(kept)} stable point" in found.report()


@pytest.mark.slow
def test_what_moves_on_is_named():
    cycle = classify(hopf(0.2), n_hidden=2, dt=DT, n_steps=500)
    assert (cycle.kind, cycle.dimension) == ("limit cycle", 1)
    # A turn of .2 a step, and (1 + m - 3 m) / 1 across: the radius is sqrt(m).
    period = 2 * np.pi / 0.2
    np.testing.assert_allclose(cycle.parameters["period"], [period * DT], rtol=1e-5)
    np.testing.assert_allclose(cycle.parameters["floquet"], [(1 - 2 * 0.2) ** period], atol=1e-6)
    states = cycle.manifold["state"].values[0]
    np.testing.assert_allclose(np.linalg.norm(states, axis=1), np.sqrt(0.2), rtol=1e-4)
    # Places follow one another in time; a step moves by the chord of .2 rad.
    np.testing.assert_allclose(cycle.manifold["length"], 2 * np.pi * np.sqrt(0.2), rtol=1e-3)
    chord = 2 * np.sqrt(0.2) * np.sin(0.1) / DT
    np.testing.assert_allclose(cycle.manifold["speed"].values[0], chord, rtol=1e-3)
    assert "limit cycle" in cycle.report() and np.isnan(cycle.lifetime)

    def torus(h):
        return np.concatenate([hopf(0.2)(h[:, :2]), hopf(0.3, np.sqrt(0.5))(h[:, 2:])], axis=1)

    assert classify(torus, n_hidden=4, n_steps=500).kind == "quasi-periodic"

    def henon(h):
        return np.stack([1 - 1.4 * h[:, 0] ** 2 + h[:, 1], 0.3 * h[:, 0]], axis=1)

    starts = np.random.default_rng(0).uniform(-0.1, 0.1, (20, 2))
    assert classify(henon, starts=starts, n_hidden=2, n_steps=500).kind == "chaos"


def test_a_cycle_beside_a_point_are_two_attractors():
    """The radius grows between 1/2 and 1 alone: 0 is stable, and the outer circle."""
    matrix = np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])

    def step(h):
        r = np.sum(h * h, axis=1, keepdims=True)
        return (1 + 0.5 * (r - 0.25) * (1.0 - r)) * (h @ matrix.T)

    starts = np.random.default_rng(1).uniform(-0.8, 0.8, (100, 2))
    found = classify(step, starts=starts, n_hidden=2, n_steps=500)
    inside = np.mean(np.sum(starts**2, axis=1) < 0.25)
    share = dict(
        zip(found.parameters["kind"].values, found.parameters["share"].values, strict=True)
    )
    assert set(share) == {"point", "limit cycle"}
    np.testing.assert_allclose(share["point"], inside)
    np.testing.assert_allclose(share["limit cycle"], 1 - inside)
    assert found.kind == "limit cycle and point" and found.parameters["share"][0] > 0.5


@pytest.mark.slow
def test_a_trained_network_that_holds_bits_has_points():
    import torch

    model = nr.models.VanillaRNN(2, 3, 1, dt=DT)
    with torch.no_grad():
        model.recurrent_weight.copy_(2.0 * torch.eye(3))
        model.bias.zero_()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    points = nr.dynamics.find_fixed_points(model, rng=0)
    found = classify(model, points=points)
    assert found.kind == "points" and int(found.parameters["n_points"][0]) == 8
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    # An input that holds one bit leaves four.
    with torch.no_grad():
        model.input_weight.copy_(torch.tensor([[5.0, 0], [0, 0], [0, 0]]))
    pushed = classify(model, inputs=[1.0, 0.0])
    assert int(pushed.parameters["n_points"][0]) == 4
    other = nr.dynamics.find_fixed_points(lambda h: np.tanh(2 * h), n_hidden=2)
    with pytest.raises(ShapeError, match="points has states of 2 numbers"):
        classify(model, points=other)


def test_what_grows_without_end_is_told():
    with pytest.raises(DataError, match="All 256 trajectories grew without end"):
        classify(lambda h: 2.0 * h + 1.0, n_hidden=2)
    starts = np.array([[0.5]] * 12 + [[1.5]] * 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = classify(lambda h: h**3, starts=starts, n_hidden=1, n_steps=50)
    assert found.kind == "point" and "4 of 16 grew without end" in found.report()


def test_what_does_not_settle_is_undecided():
    with pytest.warns(ConvergenceWarning, match="did not settle on anything that has a name"):
        # A saddle and no noise: what starts on its stable side stays there.
        found = classify(lambda h: h * [2.0, 0.5], n_hidden=2, starts=np.eye(2)[[1] * 9])
    assert found.kind == "undecided" and found.status.values.tolist() == ["not_converged"]


def test_it_is_saved_and_read(tmp_path):
    found = classify(linear(0.999, 0.8, 0.7), n_hidden=3, dt=DT, n_steps=300)
    found.save(tmp_path / "a")
    back = nr.load(tmp_path / "a")
    assert back.report() == found.report() and repr(back) == "Attractor(line, dimension 1)"
    a, b = (x.memory_error([1.0])["error"].values for x in (found, back))
    np.testing.assert_array_equal(a, b)
    assert "their Jacobians along them" not in found.report()
    assert "the spectra of the Jacobians along them: line" in found.methods_text()
    assert found.to_dataset().attrs["n_steps"] == 300


def test_a_saturated_unit_makes_no_line():
    """One unit is held at 1, where nothing it does lasts: the other has its two points."""
    found = classify(lambda h: np.tanh(2 * h + [40.0, 0.0]), n_hidden=2)
    assert found.kind == "points" and int(found.parameters["n_points"][0]) == 2


@pytest.mark.slow
def test_a_cycle_that_is_slow_on_a_part_of_its_way_is_no_line():
    """A turn whose speed falls to a hundredth at one place."""

    def step(h):
        angle = np.arctan2(h[:, 1], h[:, 0])
        angle = angle + 0.02 * (1.01 - np.cos(angle))
        radius = 1 + 0.5 * (np.hypot(h[:, 0], h[:, 1]) - 1)
        return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])

    starts = np.random.default_rng(0).standard_normal((64, 2))
    found = classify(step, starts=starts, n_hidden=2, n_steps=3000)
    assert set(found.parameters["kind"].values) <= {"limit cycle", "ring"}


# --- curves ---


def straight(speed, is_ring=False):
    position = np.linspace(0, 1, 101)[: 100 if is_ring else 101]
    states = np.column_stack([position, 0 * position])
    if is_ring:
        angle = 2 * np.pi * position
        states = np.column_stack([np.cos(angle), np.sin(angle)]) / (2 * np.pi)
    return Curve(states, position, speed(position), is_ring, 1.0)


def test_positions_flow_with_the_speed_of_the_curve():
    leak = straight(lambda s: -0.01 * (s - 0.5))
    found = flowed(leak, np.array([0.2, 0.5, 1.0]), np.array([0.0, 50.0, 100.0]))
    wanted = 0.5 + np.array([-0.3, 0.0, 0.5]) * np.exp(-0.01 * np.array([0, 50, 100]))[:, None]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    # Nothing leaves the ends of a line; round a ring it goes on.
    out = flowed(straight(lambda s: 0.01 + 0 * s), np.array([0.5]), np.array([100.0]))
    np.testing.assert_allclose(out, [[1.0]], atol=1e-2)
    on = flowed(straight(lambda s: 0.01 + 0 * s, True), np.array([0.5]), np.array([250.0]))
    np.testing.assert_allclose(on, [[3.0]], rtol=1e-6)


def test_the_nearest_position_lies_between_places():
    at, off = nearest(straight(lambda s: 0 * s), np.array([[0.333, 0.2], [-0.5, 0.0]]))
    np.testing.assert_allclose(at, [0.333, 0.0], atol=1e-12)
    np.testing.assert_allclose(off, [0.2, 0.5], atol=1e-12)
    around, _ = nearest(straight(lambda s: 0 * s, True), np.array([[1.0, -0.005]]) / (2 * np.pi))
    assert around[0] > 0.99


def test_a_gap_between_modes_is_counted():
    class Fixed:
        def __init__(self, *values):
            self.values = np.array(values)

        def eigenvalues(self, states):
            return np.tile(self.values.astype(complex), (len(states), 1))

    h = np.zeros((3, 1))
    pace = manifolds.slow_modes(Fixed(0.5, 0.999, 0.9), h)
    np.testing.assert_allclose(pace, [-1 / np.log(0.9), -1 / np.log(0.999), 1])
    assert manifolds.slow_modes(Fixed(0.9, 0.8, 0.7), h).dimension == 0
    assert manifolds.slow_modes(Fixed(0.9995, -0.999, 0.7), h).dimension == 2
    # A mode that grows slowly is along it too.
    assert manifolds.slow_modes(Fixed(1.0005, 0.9, 0.7), h).dimension == 1


@pytest.mark.slow
def test_two_lines_side_by_side_are_two():
    """A leak along one axis, and two places to rest on the other."""

    def step(h):
        return np.column_stack([0.9995 * h[:, 0], np.tanh(2 * h[:, 1])])

    starts = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    found = classify(step, starts=starts, n_hidden=2, n_steps=500)
    assert found.parameters["kind"].values.tolist() == ["line", "line"]
    np.testing.assert_allclose(found.parameters["share"].sum(), 1.0)
    # The share is that of the trajectories, not of the places on the lines.
    starts[:, 1] = np.where(np.arange(200) < 150, 1, -1) * np.abs(starts[:, 1])
    uneven = classify(step, starts=starts, n_hidden=2, n_steps=500)
    np.testing.assert_allclose(uneven.parameters["share"], [0.75, 0.25])


@pytest.mark.slow
def test_what_is_left_after_many_cycles_is_told():
    """Ten circles at different places of one axis, of which eight are looked at."""

    def step(h):
        near = np.round(h[:, 2:])
        return np.column_stack([hopf(0.2)(h[:, :2]), near + 0.5 * (h[:, 2:] - near)])

    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(10.0), 3)
    starts = np.column_stack([0.3 * rng.standard_normal((30, 2)), places])
    with pytest.warns(ConvergenceWarning, match="did not settle"):
        found = classify(step, starts=starts, n_hidden=3, n_steps=300)
    kinds = found.parameters["kind"].values.tolist()
    assert kinds.count("limit cycle") == 8 and kinds.count("undecided") == 1
    np.testing.assert_allclose(found.parameters["share"].sum(), 1.0)


def test_a_line_without_a_point_at_its_end_counts_none():
    class Cell:
        """It moves along the first axis for ever."""

        n_state = 2

        def step(self, h):
            return h * [1.0, 0.5] + [0.01, 0.0]

        def newton(self, h):
            return self.step(h) - h, np.full_like(h, np.nan)

    assert len(_stable_points(Cell(), np.array([[1.0, 0.0]]))) == 0
