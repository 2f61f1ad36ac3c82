"""The slow flow beside networks whose slow manifold and motion are known in closed form."""

import warnings

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, KindError
from neurornn.dynamics.slow_flow import Pieces, SlowFlow, _looks, _scattered

classify = nr.dynamics.classify_attractor
DT = 0.01
#: How the slow manifold bends into the four fast directions.
BEND = np.random.default_rng(5).uniform(-0.3, 0.3, (3, 4))
TURN = np.linalg.qr(np.random.default_rng(6).standard_normal((6, 6)))[0]


def lifted(x, w=0.0):
    """States on a paraboloid over the slow plane, or beside it by w."""
    bent = np.column_stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2]) @ BEND
    return np.column_stack([x, bent + w]) @ TURN.T


def network(slow):
    """Six states: two that move by `slow`, four that fall onto the paraboloid by half a step."""

    def step(h):
        inner = h @ TURN
        x = inner[:, :2]
        bent = lifted(x) @ TURN
        return lifted(slow(x), 0.5 * (inner[:, 2:] - bent[:, 2:]))

    return step


def spiral(x):
    """A leak of 2 s that turns in 6 s, and faster where it is large."""
    angle = 0.01 * (1 + 0.3 * np.sum(x * x, axis=1))
    c, s = np.cos(angle), np.sin(angle)
    return 0.995 * np.column_stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1]])


def two_wells(x):
    """A value is drawn to -1 or 1, along a way that turns slowly to rest."""
    return np.column_stack([x[:, 0] + 0.01 * (x[:, 0] - x[:, 0] ** 3) + 0.01 * x[:, 1],
                            0.99 * x[:, 1] - 0.005 * x[:, 0] * x[:, 1]])  # fmt: skip


def run(slow, x, n_steps):
    for _ in range(n_steps):
        x = slow(x)
    return x


@pytest.fixture(scope="module")
def wells():
    starts = lifted(np.random.default_rng(0).uniform(-1.2, 1.2, (60, 2)))
    return classify(network(two_wells), starts=starts, n_hidden=6, dt=DT, n_steps=2000)


@pytest.mark.parametrize("slow", [pytest.param(spiral, marks=pytest.mark.slow), two_wells])
def test_where_values_go_that_spiral_or_are_drawn_to_a_point_is_known(slow):
    """Beside the motion of the slow plane itself, which has no fast directions."""
    starts = lifted(np.random.default_rng(0).uniform(-1.2, 1.2, (60, 2)))
    found = classify(network(slow), starts=starts, n_hidden=6, dt=DT, n_steps=2000)
    x = np.random.default_rng(1).uniform(-0.7, 0.7, (20, 2))
    readout = np.random.default_rng(2).standard_normal((2, 6))
    delays = np.array([2.0, 0.105, 0.5, 1.0, 6.0])
    told = found.memory_error(delays, readout=readout, starts=lifted(x))
    wanted = np.array([
        np.linalg.norm((lifted(run(slow, x, round(d / DT))) - lifted(x)) @ readout.T, axis=1)
        for d in delays
    ])  # fmt: skip
    # 2000 nodes on a square of 2.4 lie .05 apart and a piece reaches .25, to the third power: what
    # it leaves out is of that order.
    round_off = 0.02 * wanted.mean(axis=1, keepdims=True)
    keep = delays != 0.105  # half a step
    assert (np.abs(told["error"].values - wanted) < round_off)[keep].all()
    np.testing.assert_allclose(told["mean_error"][keep], wanted.mean(axis=1)[keep], rtol=0.01)
    assert (wanted[keep] <= told["bound"].values[keep, None]).all()
    assert (told["distance"] < 2e-3).all()
    # Times between steps lie between those of the steps.
    before, after = (
        found.memory_error([d], readout=readout, starts=lifted(x)) for d in (0.1, 0.11)
    )
    middle = (before["mean_error"].values + after["mean_error"].values) / 2
    np.testing.assert_allclose(told["mean_error"][1], middle, rtol=1e-2)


@pytest.mark.slow
def test_states_beside_the_manifold_are_laid_onto_it(wells):
    x = np.array([[0.4, 0.1], [-0.3, -0.2]])
    off = np.array([[0.05, 0, 0, 0], [0, 0, 0, 0.05]])
    on = wells.memory_error([1.0, 4.0], starts=lifted(x))
    beside = wells.memory_error([1.0, 4.0], starts=lifted(x, off))
    # Straight down onto the sheet, which slopes by .3 at most: a little less than the .05.
    assert (beside["distance"] > 0.045).all() and (beside["distance"] < 0.0501).all()
    # Meanwhile a place moves by at most the slope times .05 along it.
    np.testing.assert_allclose(beside["error"], on["error"], atol=0.03)
    extra = beside["bound"] - on["bound"] - beside["distance"].max() + on["distance"].max()
    np.testing.assert_allclose(extra, 0.0, atol=1e-12)


def test_what_it_says_is_checked_with_trajectories_that_were_left_out(wells):
    error = float(wells.manifold["flow_error"])
    # The same third order; a broken fit would be off by its own motion.
    assert 0 < error < 0.01
    told = f"The slow flow tells how far other trajectories move to within {100 * error:.2g} %."
    assert told in wells.report()
    m = wells.manifold
    # Nodes are on the paraboloid to e^-4 of where they began, and moved by so many steps.
    inner = m["node_state"].values @ TURN
    assert np.abs(inner - lifted(inner[:, :2]) @ TURN).max() < 0.1
    h = m["node_state"].values
    for _ in range(int(m["stride"])):
        h = network(two_wells)(h)
    np.testing.assert_allclose(m["node_moved"], h - m["node_state"].values, atol=1e-12)


@pytest.mark.slow
def test_it_is_saved_with_the_attractor(wells, tmp_path):
    wells.save(tmp_path / "a")
    back = nr.load(tmp_path / "a")
    starts = lifted(np.array([[0.4, 0.1]]))
    a, b = (f.memory_error([1.0], starts=starts)["error"].values for f in (wells, back))
    np.testing.assert_array_equal(a, b)
    assert back.report() == wells.report()


@pytest.mark.slow
def test_where_there_is_no_slow_flow_is_told(wells):
    """Without starts, in no more states than it has directions, or in motion that has more."""
    none = classify(lambda h: np.tanh(2 * h), n_hidden=6, dt=DT, n_steps=500, n_trajectories=64)
    assert "node" not in none.manifold.dims
    with pytest.raises(KindError, match="Pass starts= here and to classify_attractor"):
        none.memory_error([1.0], starts=np.zeros((1, 6)))
    small = classify(lambda h: np.tanh(2 * h), n_hidden=3, starts=0.1 + np.eye(3))
    assert "node" not in small.manifold.dims
    with pytest.raises(KindError, match="The attractor is of the kind point"):
        small.memory_error([1.0], starts=np.eye(3))
    # Starts that are not passed on: nothing says which values are meant.
    with pytest.raises(KindError, match="states that hold values"):
        wells.memory_error([1.0])
    # Six directions that turn as slowly as one another.
    angle = 0.02 * np.arange(1.0, 7.0)
    c, s = 0.999 * np.cos(angle), 0.999 * np.sin(angle)

    def many(h):
        return np.concatenate([c * h[:, :6] - s * h[:, 6:], s * h[:, :6] + c * h[:, 6:]], axis=1)

    starts = np.random.default_rng(0).standard_normal((64, 12))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        turning = classify(many, starts=starts, n_hidden=12, n_steps=500)
    assert "node" not in turning.manifold.dims


def test_a_piece_of_degree_two_is_exact_and_nothing_is_extrapolated():
    x = np.random.default_rng(3).uniform(-1, 1, (500, 2))
    moved = lifted(0.9 * x) - lifted(x)
    pieces = Pieces(SlowFlow(lifted(x), moved, 5, 0.0))
    ask = np.random.default_rng(4).uniform(-0.6, 0.6, (30, 2))
    way = pieces.followed(lifted(ask), np.array([0.0, 2.0]))
    # Pieces lie along tangents that turn with the sheet: degree three is left, with 500 nodes.
    np.testing.assert_allclose(way[0], lifted(ask), atol=2e-3)
    np.testing.assert_allclose(way[1], lifted(0.81 * ask), atol=3e-3)
    far = pieces.followed(10 * lifted(np.array([[1.0, 1.0]])), np.array([0.0, 3.0]))
    assert np.abs(far).max() < 2 * np.abs(lifted(x)).max()


def test_a_flow_on_a_curve_has_one_direction():
    """Nodes that lie on a curve have no slope across it, and nothing blows up there."""
    s = np.linspace(-1, 1, 200)[:, None]

    def on(s):
        return lifted(np.column_stack([s, s**2]))

    curve = on(s)
    pieces = Pieces(SlowFlow(curve, on(0.99 * s) - curve, 1, 0.0))
    off = curve[[60, 140]] + 0.02 * TURN[:, 5]
    way = pieces.followed(off, np.array([0.0, 10.0]))
    assert np.linalg.norm(way[0] - curve[[60, 140]], axis=1).max() < 0.03
    # The same place on it a while later, from beside it, up to where the normal meets it.
    np.testing.assert_allclose(way[1], on(0.99**10 * s[[60, 140]]), atol=0.03)
    exact = pieces.followed(curve[[60, 140]], np.array([10.0]))[0]
    # Pieces of 60 of 200 nodes of a curve of the fourth degree.
    np.testing.assert_allclose(exact, on(0.99**10 * s[[60, 140]]), atol=2e-3)


def test_looks_lie_further_apart_later():
    looks = np.array(_looks(20, 5, 1000))
    assert looks[0] == 20 and (np.diff(looks[:30]) == 5).all() and looks[-1] <= 995
    assert np.diff(looks).max() > 10
    assert _looks(10, 5, 12) == [10]


def test_nodes_are_spread_out():
    rng = np.random.default_rng(0)
    crowd = np.concatenate([1e-3 * rng.standard_normal((300, 3)), rng.uniform(-1, 1, (100, 3))])
    picked = crowd[_scattered(crowd, 100, rng)]
    assert (np.abs(picked).max(axis=1) < 0.01).sum() < 5 and len(picked) == 100
    assert len(_scattered(np.zeros((9, 2)), 4, rng)) == 1


@pytest.mark.slow
def test_what_comes_to_a_ring_late_is_counted_to_it():
    """One value starts by the unstable point within, and is half-way out when it is looked at."""

    def step(h):
        r, angle = np.hypot(h[:, 0], h[:, 1]), np.arctan2(h[:, 1], h[:, 0])
        r, angle = r + 0.01 * r * (1 - r * r), angle + 1e-4 * np.sin(2 * angle)
        return np.column_stack([r * np.cos(angle), r * np.sin(angle)])

    angle = 2 * np.pi * np.arange(40) / 40
    around = np.column_stack([np.cos(angle), np.sin(angle)])
    # .01 a step: a radius of 4e-5 has grown to a half or so after 1000.
    starts = np.concatenate([around, 4e-5 * around[:1] + 1e-6])
    found = classify(step, starts=starts, n_hidden=2, n_steps=1000)
    assert found.parameters["kind"].values.tolist() == ["ring"]
    np.testing.assert_allclose(found.parameters["share"], 1.0)
