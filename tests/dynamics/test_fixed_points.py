"""Fixed points: Jacobians, known sets, certificates, what is missing, seconds, safety."""

import copy
import warnings

import numpy as np
import pytest
import torch
from scipy import optimize

import neurornn as nr
from neurornn._core.errors import (
    ConvergenceWarning,
    DataError,
    KindError,
    ShapeError,
)
from neurornn.dynamics import search
from neurornn.dynamics.cells import Gated, Leaky
from neurornn.dynamics.enumeration import enumerated, is_enumerable
from neurornn.dynamics.maps import as_map

find = nr.dynamics.find_fixed_points


def leaky(**more):
    return nr.models.LeakyRNN(2, 5, 1, dt=0.01, tau=np.geomspace(0.02, 0.3, 5), rng=1, **more)


def elman(n, weights, bias=0.0, nonlinearity="tanh", dt=0.01):
    """A network whose weights are known."""
    model = nr.models.VanillaRNN(1, n, 1, dt=dt, nonlinearity=nonlinearity)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.as_tensor(weights))
        model.bias.copy_(torch.as_tensor(np.broadcast_to(bias, n).copy()))
    return model


def bits(n=3, coupling=0.05):
    """n bits that hold themselves: 3**n fixed points, 2**n of them stable.

    ``tanh(2 h)`` has the points 0 and +-0.9575, far from degenerate (slopes 2 and 0.17), so that
    each of the 3**n products moves a little under a coupling of a few percent, and none is lost.
    """
    rng = np.random.default_rng(0)
    mix = coupling * rng.standard_normal((n, n))
    return elman(n, 2.0 * np.eye(n) + mix)


MODELS = {
    "leaky": leaky(),
    "euler": leaky(step="euler"),
    "current": leaky(form="current"),
    "substeps": leaky(substeps=3),
    "current in substeps": leaky(form="current", substeps=2, nonlinearity="sigmoid"),
    "relu": leaky(nonlinearity="relu"),
    "softplus": leaky(nonlinearity="softplus"),
    "low rank": leaky(rank=2),
    "signed": leaky(excitatory=0.6),
    "elman": nr.models.VanillaRNN(2, 5, 1, dt=0.01, rng=1),
    "gru": nr.models.GRU(2, 5, 1, dt=0.01, rng=1),
    "lstm": nr.models.LSTM(2, 5, 1, dt=0.01, rng=1),
    "stacked gru": nr.models.GRU(2, 4, 1, dt=0.01, n_layers=3, rng=1),
    "stacked lstm": nr.models.LSTM(2, 4, 1, dt=0.01, n_layers=2, rng=1),
    "linear": nr.models.LinearStateSpace(2, 4, 1, dt=0.01, rng=1),
}
LAYERS = {
    "RNN": torch.nn.RNN(2, 4),
    "RNN of two layers": torch.nn.RNN(2, 4, num_layers=2, nonlinearity="relu"),
    "GRU": torch.nn.GRU(2, 4, batch_first=True),
    "GRU without bias": torch.nn.GRU(2, 4, bias=False),
    "LSTM of two layers": torch.nn.LSTM(2, 4, num_layers=2),
}
INPUT = np.array([0.3, -0.7])


def one_step(model, states):
    """A step as the model itself does it, in double precision."""
    own = copy.deepcopy(model).double().eval()
    u = torch.from_numpy(INPUT).expand(len(states), 1, -1)
    h = torch.from_numpy(states)
    with torch.no_grad():
        if not isinstance(own, torch.nn.RNNBase):
            return own.scan(u, h)[1].numpy()
        own.batch_first = True
        n = own.num_layers * own.hidden_size
        blocks = h[:, :n].reshape(len(h), own.num_layers, -1).transpose(0, 1).contiguous()
        if isinstance(own, torch.nn.LSTM):
            cells = h[:, n:].reshape(len(h), own.num_layers, -1).transpose(0, 1).contiguous()
            _, (new, cell) = own(u, (blocks, cells))
            both = torch.cat([new, cell])
        else:
            _, both = own(u, blocks)
        return both.transpose(0, 1).reshape(len(h), -1).numpy()


@pytest.mark.parametrize("name", [*MODELS, *LAYERS])
def test_a_step_is_that_of_the_model_and_its_jacobian_the_derivative(name, rng):
    model = {**MODELS, **LAYERS}[name]
    cell = as_map(model, INPUT).cell
    h = 0.8 * rng.standard_normal((6, cell.n_state))
    new, jacobian = cell.step_and_jacobian(h)
    # Double precision on both sides, in other orders of summation.
    np.testing.assert_allclose(cell.step(h), one_step(model, h), atol=1e-13)
    np.testing.assert_allclose(new, cell.step(h), atol=1e-15)
    size = 1e-5
    for k in range(cell.n_state):
        e = size * np.eye(cell.n_state)[k]
        quotient = (cell.step(h + e) - cell.step(h - e)) / (2 * size)
        # Central differences: errors of size**2, and of rounding over size, 1e-11.
        np.testing.assert_allclose(jacobian[:, :, k], quotient, atol=1e-9)


@pytest.mark.parametrize("name", [*MODELS, *LAYERS])
def test_the_newton_step_solves_the_linear_equations(name, rng):
    cell = as_map({**MODELS, **LAYERS}[name], INPUT).cell
    h = 0.8 * rng.standard_normal((6, cell.n_state))
    f, jacobian = cell.step_and_jacobian(h)
    r, d = cell.newton(h)
    np.testing.assert_allclose(r, f - h, atol=1e-15)
    # The cells of an LSTM are taken out by hand; conditions of these matrices are below 1e4.
    left = np.einsum("nij,nj->ni", np.eye(cell.n_state) - jacobian, d)
    np.testing.assert_allclose(left, r, atol=1e-11)


@pytest.mark.parametrize(
    "name", ["leaky", "current", "softplus", "elman", "gru", "lstm", "GRU", "GRU without bias"]
)
def test_the_bound_of_the_second_derivative_is_one(name, rng):
    cell = as_map({**MODELS, **LAYERS}[name], INPUT).cell
    radius = 0.25
    h = rng.standard_normal((200, cell.n_state))
    away = rng.standard_normal(h.shape)
    away *= (radius * rng.random((200, 1)) ** 0.2) / np.linalg.norm(away, axis=1, keepdims=True)
    (_, a), (_, b) = cell.step_and_jacobian(h), cell.step_and_jacobian(h + away)
    change = np.linalg.norm(a - b, 2, axis=(1, 2)) / np.linalg.norm(away, axis=1)
    bound = cell.curvature(h, radius)
    assert (change <= bound).all()
    # Of use: no more than two orders above what random directions show.
    assert np.median(bound / change) < 100


def test_the_bound_is_exact_where_the_gates_stand_still():
    """A GRU that keeps nothing is tanh(w h): its second derivative is at most 4 w^2 / sqrt(27)."""
    w, n = 1.7, 3
    still = np.zeros((3 * n, n))
    still[2 * n :] = w * np.eye(n)
    bias = np.repeat([50.0, -50.0, 0.0], n)
    cell = Gated("gru", [(np.zeros((3 * n, 1)), still, bias, np.zeros(3 * n))], np.zeros(1))
    found = cell.curvature(np.zeros((1, n)), 0.25)
    # Each of n units bends on its own: the norm of their squares together is taken.
    np.testing.assert_allclose(found, np.sqrt(n) * 4 * w**2 / np.sqrt(27), rtol=1e-12)


@pytest.mark.parametrize("name", ["substeps", "stacked gru", "RNN of two layers"])
def test_where_no_bound_is_known_there_is_no_certificate(name):
    cell = as_map({**MODELS, **LAYERS}[name], INPUT).cell
    assert cell.curvature(np.zeros((1, cell.n_state)), 0.25) is None


@pytest.mark.parametrize("name", ["leaky", "current", "elman", "gru", "lstm", "stacked lstm"])
def test_no_state_leaves_the_box(name, rng):
    cell = as_map(MODELS[name], INPUT).cell
    lower, upper = cell.box
    h = rng.uniform(lower, upper, (500, cell.n_state))
    h[::2] = np.where(rng.random(h[::2].shape) < 0.5, lower, upper)
    new = cell.step(h)
    assert (new >= lower - 1e-12).all() and (new <= upper + 1e-12).all()


# --- sets that are known ---


@pytest.mark.parametrize("n", [1, 2, 3])
def test_bits_have_three_points_each(n):
    points = find(bits(n), rng=0)
    p = points.parameters
    assert p.sizes["point"] == 3**n
    assert int(points.is_stable.sum()) == 2**n
    # A cube: as many modes grow as bits lie between their two values.
    near = np.abs(points.states.values) < 0.5
    assert (p["n_unstable"].values == near.sum(axis=1)).all()
    assert (p["index"].values == (-1) ** near.sum(axis=1)).all()
    assert points.completeness == "proved" and points.settings["index_sum"] == 1
    assert bool(p["certified"].all()) and (p["q"].values < search.CONVERGED).all()


def test_a_second_opinion_finds_no_point_that_was_missed(rng):
    model = leaky()
    points = find(model, INPUT, rng=0)
    cell = as_map(model, INPUT).cell
    for start in rng.uniform(-1, 1, (50, 5)):
        found = optimize.root(lambda h: cell.step(h[None])[0] - h, start, tol=1e-14)
        if found.success:
            away = np.linalg.norm(points.states.values - found.x, axis=1)
            assert away.min() < 1e-8


def test_what_is_returned_does_not_move_in_the_model_itself():
    model = nr.models.LSTM(2, 6, 1, dt=0.01, rng=3)
    points = find(model, INPUT, rng=0)
    assert len(points.states)
    moved = one_step(model, points.states.values) - points.states.values
    # |F(h) - h|^2 / 2 < 1e-24.
    assert np.linalg.norm(moved, axis=1).max() < 2e-12


def test_relu_networks_are_enumerated():
    """Competition of six units: every point that a search finds is there, and more."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        n = 6
        weights = -0.6 * np.abs(rng.standard_normal((n, n))) + 0.3 * np.eye(n)
        model = elman(n, weights, bias=0.5, nonlinearity="relu")
        points = find(model, rng=0)
        assert points.completeness == "proved"
        cell = as_map(model).cell
        assert np.abs(cell.step(points.states.values) - points.states.values).max() < 1e-12
        found = search.newton(cell, rng.uniform(0, 1, (300, n)))
        for state in found:
            assert np.linalg.norm(points.states.values - state, axis=1).min() < 1e-8


@pytest.mark.parametrize("form", ["rate", "current"])
def test_two_units_that_inhibit_each_other(form):
    """h1 = relu(1 - 2 h2), h2 = relu(1 - 2 h1): (1, 0), (0, 1) and (1/3, 1/3) by hand."""
    weights, drive = np.array([[0.0, -2.0], [-2.0, 0.0]]), np.ones(2)
    cell = Leaky(weights, drive, np.full(2, 0.1), "relu", form)
    found, n_singular = enumerated(cell)
    assert n_singular == 0
    wanted = np.array([[0.0, 1.0], [1 / 3, 1 / 3], [1.0, 0.0]])
    if form == "current":
        # The state is what drives the units, W f + u.
        wanted = wanted @ weights.T + drive
    np.testing.assert_allclose(found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)])


def test_a_linear_network_has_one_point_in_closed_form():
    model = leaky(nonlinearity="linear")
    points = find(model, INPUT)
    w, u = (x.detach().double().numpy() for x in (model.weights(), model.input_weight))
    wanted = np.linalg.solve(np.eye(5) - w, u @ INPUT + model.bias.detach().double().numpy())
    assert points.completeness == "proved" and points.parameters.sizes["point"] == 1
    np.testing.assert_allclose(points.states.values[0], wanted, atol=1e-13)


def test_cycles_within_a_step_are_points_and_are_not_enumerated():
    """x -> -x in a substep: every state is left where it is by two of them."""
    cell = Leaky(np.array([[-1.0]]), np.zeros(1), np.ones(1), "linear", substeps=2)
    assert not is_enumerable(cell)
    np.testing.assert_array_equal(cell.step(np.array([[0.7]])), [[0.7]])


def test_a_perfect_integrator_is_not_called_empty():
    """h' = W h with the eigenvalue 1: a line of points, of which enumeration can give none."""
    model = elman(2, [[1.0, 0.0], [0.0, 0.5]], nonlinearity="linear")
    with pytest.warns(ConvergenceWarning, match="1 of 1 linear pieces hold a whole line"):
        points = find(model)
    assert points.completeness == "unknown" and points.parameters.sizes["point"] == 0


# --- certificates, and what is missing ---


def test_a_near_miss_is_no_fixed_point():
    """Just past a fold: F(h) - h is least at 1e-7, q = 5e-15, and there is one other point."""
    # tanh(2 h + b) touches h where its slope is 1: tanh^2 = 1/2, h = -sqrt(1/2).
    h = -np.sqrt(0.5)
    fold = np.arctanh(h) - 2 * h
    for past, n_points in ((1e-7, 1), (-1e-4, 3)):
        cell = Leaky(np.array([[2.0]]), np.array([fold + 2 * past]), np.ones(1), "tanh")
        grid = np.linspace(-1, 1, 2001)[:, None]
        found = search.merged(cell, search.newton(cell, grid))
        assert len(found.states) == n_points and found.certified.all()


def test_the_radius_holds_no_second_point(rng):
    cell = as_map(bits(3)).cell
    found = search.merged(cell, search.newton(cell, rng.uniform(-1, 1, (500, 3))))
    away = np.linalg.norm(found.states[:, None] - found.states, axis=2)
    away[np.diag_indices(len(away))] = np.inf
    assert (away.min(axis=1) > found.radius).all()
    # And Newton steps from within it end in its own point.
    for state, radius in zip(found.states, found.radius, strict=True):
        near = rng.standard_normal((20, 3))
        near *= 0.3 * radius / np.linalg.norm(near, axis=1, keepdims=True)
        np.testing.assert_allclose(search.newton(cell, state + near), np.tile(state, (20, 1)),
                                   atol=1e-10)  # fmt: skip


def test_too_few_starts_are_told():
    with pytest.warns(ConvergenceWarning, match=r"the set is incomplete: the index sum is"):
        points = find(bits(3), n_starts=5, max_starts=5, method="search", rng=1)
    assert points.completeness == "incomplete" and points.parameters.sizes["point"] < 27
    assert "the index sum is" in points.report()


def test_one_search_alone_proves_nothing():
    points = find(elman(1, [[0.5]]), n_starts=8, max_starts=8, method="search", rng=0)
    assert points.completeness == "unknown"
    assert points.settings["reason"] == "there was room for one search of 8 starts alone"


def test_a_line_of_points_is_not_counted():
    """W has the eigenvalue 1: h' = h along it; every state on the line is left where it is."""

    def line(h):
        return h @ np.array([[1.0, 0.0], [0.0, 0.5]])

    points = find(line, n_hidden=2, n_starts=64, max_starts=128, rng=0)
    assert points.completeness == "unknown"
    assert "degenerate" in points.settings["reason"]
    assert (points.status == "degenerate").all() and (points.parameters["index"] == 0).all()
    assert not points.parameters["certified"].any()
    assert "degenerate: The point is not alone to first order" in points.report()


def test_two_points_that_meet_are_degenerate_and_swallow_no_other():
    """h' = h - h^2 (h - 1): a double point at 0, and a single one at 1."""
    points = find(lambda h: h - h**2 * (h - 1), n_hidden=1, rng=0)
    states, status = points.states.values[:, 0], points.status.values
    assert sorted(set(np.abs(states).round(4))) == [0.0, 1.0]
    assert set(status[np.abs(states) < 0.1]) == {"degenerate"}
    assert status[np.abs(states - 1) < 1e-6].tolist() == ["ok"]
    assert points.completeness == "unknown"


def test_a_search_that_was_cut_short_is_told_by_its_numbers():
    points = find(bits(1), n_starts=64, max_starts=80, method="search", rng=0)
    assert points.completeness == "unknown"
    said = "the last 16 of 80 starts found nothing new, and were fewer than those before"
    assert points.settings["reason"] == said


def test_the_methods_count_certificates_and_name_the_way():
    assert "1024 starts, 3 of 3 certified by" in find(bits(1), rng=0).methods_text()
    assert "3 of 3" not in find(lambda h: np.tanh(2 * h), n_hidden=1).methods_text()
    relu = find(elman(2, -2.0 * np.eye(2), bias=1.0, nonlinearity="relu"))
    assert "exact enumeration of the linear pieces of the network, 1 of 1" in relu.methods_text()


def test_a_map_without_a_point_says_so():
    with pytest.warns(ConvergenceWarning, match=r"0 fixed points were found.*Pass starts="):
        points = find(lambda h: h + 1.0, n_hidden=2, n_starts=16, max_starts=32)
    assert points.parameters.sizes["point"] == 0 and points.completeness == "unknown"
    assert "0 points, 0 stable" in points.report()


def test_a_map_that_diverges_is_no_error():
    with np.errstate(all="ignore"), pytest.warns(ConvergenceWarning, match="0 fixed points"):
        found = find(lambda h: np.exp(h * h) + 3, n_hidden=1, n_starts=16, max_starts=32)
    assert found.completeness == "unknown"


def test_starts_of_the_user_are_searched():
    """Points at 500 +- sqrt(2 log 2), in a dip of a map that is flat elsewhere."""

    def far(h):
        return h + 1 - 2 * np.exp(-((h - 500.0) ** 2) / 2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        without = find(far, n_hidden=1, n_starts=32, max_starts=64, rng=0)
        points = find(
            far, n_hidden=1, starts=[[501.0], [499.0]], n_starts=32, max_starts=64, rng=0
        )
    assert without.parameters.sizes["point"] == 0
    wanted = 500 + np.sqrt(2 * np.log(2)) * np.array([-1, 1])
    np.testing.assert_allclose(np.sort(points.states.values[:, 0]), wanted, atol=1e-9)


# --- seconds ---


def test_the_time_constant_of_a_unit_is_its_tau():
    model = nr.models.LeakyRNN(1, 3, 1, dt=0.01, tau=[0.05, 0.2, 1.0], recurrent=False)
    t = find(model).timescales
    # The exact step decays with tau itself; slowest first.
    np.testing.assert_allclose(t["time_constant"].values, [[1.0, 0.2, 0.05]], rtol=1e-6)
    np.testing.assert_allclose(t["ode_time_constant"].values, [[1.0, 0.2, 0.05]], rtol=1e-6)
    assert t["time_constant"].attrs["units"] == "s" and t["frequency"].attrs["units"] == "Hz"


@pytest.mark.parametrize("w", [0.5, 0.95, -2.0])
def test_feedback_lengthens_or_shortens_it(w):
    """tau h' = -h + w h: tau / (1 - w); its step has the eigenvalue 1 - alpha (1 - w)."""
    model = nr.models.LeakyRNN(
        1, 1, 1, dt=0.02, tau=0.1, nonlinearity="linear", self_connections=True
    )
    with torch.no_grad():
        model.recurrent_weight.fill_(w)
    points = find(model)
    alpha = -np.expm1(-0.2)
    step = -0.02 / np.log(1 - alpha * (1 - w))
    t = points.timescales
    # Weights are float32.
    assert float(t["time_constant"][0, 0]) == pytest.approx(step, rel=1e-5)
    assert float(t["ode_time_constant"][0, 0]) == pytest.approx(0.1 / (1 - w), rel=1e-5)
    differ = abs(0.1 / (1 - w) / step - 1) > 0.05
    assert ("differ by more than 5 %" in points.report()) == differ


def test_a_mode_that_turns_has_its_frequency():
    r, angle, dt = 0.99, 0.1, 0.01
    turn = r * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = find(lambda h: h @ turn.T, n_hidden=2, dt=dt, rng=0)
    t = points.timescales
    np.testing.assert_allclose(t["frequency"].values, angle / (2 * np.pi * dt), rtol=1e-9)
    np.testing.assert_allclose(t["time_constant"].values, -dt / np.log(r), rtol=1e-9)
    np.testing.assert_allclose(np.abs(points.eigenvalues.values), r, rtol=1e-9)
    assert "decays with 0.995 s, 1.59 Hz" in points.report()


def test_twice_as_slow_a_clock_gives_twice_the_time_constants():
    fast, slow = (find(elman(2, [[0.5, 0.3], [-0.3, 0.5]], dt=dt), rng=0) for dt in (0.01, 0.02))
    for name, power in (("time_constant", 1), ("frequency", -1)):
        np.testing.assert_allclose(
            slow.timescales[name].values, 2.0**power * fast.timescales[name].values
        )


def test_without_a_clock_time_is_in_steps():
    layer = torch.nn.RNN(2, 3)
    points = find(layer, rng=0)
    assert points.timescales["time_constant"].attrs["units"] == "1"
    assert "steps" in points.report()
    with_clock = find(layer, dt=0.5, rng=0).timescales["time_constant"]
    np.testing.assert_allclose(
        with_clock.values, 0.5 * points.timescales["time_constant"].values, rtol=1e-12
    )


def test_what_turns_sign_in_every_step_is_called_faster_than_the_clock():
    points = find(elman(1, [[-0.5]]), rng=0)
    assert points.settings["faster_than_clock"] == 1
    assert "1 modes turn sign in every step" in points.report()
    assert "Hz" not in points.report()


# --- a result like others ---


def test_the_table_is_saved_and_read(tmp_path):
    points = find(bits(2), rng=0)
    points.save(tmp_path / "points")
    again = nr.load(tmp_path / "points")
    assert again.parameters.identical(points.parameters)
    assert again.report() == points.report() and again.completeness == "proved"
    assert again.to_dataset().attrs["reason"] == points.settings["reason"]
    assert repr(points) == "FixedPoints(9 points, 4 stable, proved)"
    assert "Sussillo & Barak 2013" in points.methods_text()


def test_the_report_tells_every_point_of_the_table():
    points = find(bits(2), rng=0)
    p, lines = points.parameters, points.report().splitlines()
    rows = [line for line in lines if line[:1].isdigit() and "points" not in line]
    assert len(rows) == 9
    for k, row in enumerate(rows):
        n = int(p["n_unstable"][k])
        assert row.split()[0] == str(k)
        assert {0: "stable", 1: "saddle, 1 unstable", 2: "unstable"}[n] in row
        tau = float(p["time_constant"][k, 0])
        word = "grows" if tau < 0 else "decays"
        assert f"{word} with {abs(tau):.3g}" in row or f"{word} with {abs(tau):.3f}" in row
        assert f"alone within {float(p['isolation_radius'][k]):.2g}" in row


def test_the_same_seed_gives_the_same_points():
    a, b = (find(nr.models.GRU(2, 8, 1, dt=0.01, rng=0), INPUT, rng=3) for _ in range(2))
    assert a.parameters.identical(b.parameters)


def test_the_model_is_left_as_it_was():
    model = nr.models.LinearStateSpace(2, 4, 1, dt=0.01, rng=1).train()
    next(model.parameters()).requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    grads = [p.requires_grad for p in model.parameters()]
    state = torch.get_rng_state()
    find(model, INPUT, n_starts=16, max_starts=32)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == grads and model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())


def test_dropout_and_noise_are_off():
    plain, noisy = (
        find(nr.models.LeakyRNN(2, 5, 1, dt=0.01, tau=0.1, rng=1, **more).train(), INPUT, rng=0)
        for more in ({}, {"noise_sd": 0.5, "dropout": 0.5, "input_dropout": 0.5})
    )
    assert plain.parameters.identical(noisy.parameters)


def test_a_fit_and_its_model_have_the_same_points():
    win = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nr.fit(nr.models.LeakyRNN(16, 4, 2, dt=0.01, tau=0.1), win, max_epochs=2)
    assert find(result, rng=0).parameters.identical(find(result.model, rng=0).parameters)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: find(np.zeros(3)), KindError, "model is a ndarray"),
        (lambda: find(lambda h: h), KindError, "A function came without n_hidden"),
        (lambda: find(lambda h: h[:, :1], n_hidden=2), ShapeError, r"made \(2, 1\) of states"),
        (lambda: find(lambda h: h, [0.0], n_hidden=2), KindError, "inputs came with a function"),
        (lambda: find(leaky(), [0.0]), ShapeError, r"inputs has shape \(1,\)"),
        (lambda: find(leaky(), [np.nan, 0.0]), DataError, "inputs"),
        (lambda: find(leaky(), INPUT, starts=np.zeros((3, 4))), ShapeError, "starts has shape"),
        (lambda: find(leaky(), INPUT, n_starts=0), DataError, "n_starts is 0"),
        (lambda: find(torch.nn.GRU(2, 3, bidirectional=True)), KindError, "bidirectional=True"),
        (lambda: find(torch.nn.LSTM(2, 4, proj_size=2)), KindError, "proj_size=2"),
        (
            lambda: find(nr.models.GRU(2, 3, 1, dt=0.01, bidirectional=True)),
            KindError, "has no state that is carried",
        ),
        (lambda: find(nr.models.Memoryless(2, 1, dt=0.01)), KindError, "has no state"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(call, error, told):
    with pytest.raises(error, match=told):
        call()


def test_weights_that_are_not_finite_are_refused():
    model = leaky()
    with torch.no_grad():
        model.bias[0] = float("nan")
    with pytest.raises(DataError, match="The weight bias is not finite"):
        find(model)


def test_stacked_layers_are_one_state():
    cell = as_map(MODELS["stacked lstm"]).cell
    assert isinstance(cell, Gated) and cell.n_state == 2 * 2 * 4


# --- the task ---


def test_the_flip_flop_remembers_the_last_pulse():
    task = nr.simulate.flip_flop(3, n_trials=20, duration=0.5, rng=0)
    x, y = task["inputs"].values, task["targets"].values
    held = np.zeros((20, 3))
    for k in range(50):
        held = np.where(x[:, k] != 0, x[:, k], held)
        assert (y[:, k] == held).all()
    assert set(np.unique(x)) == {-1.0, 0.0, 1.0} and (x[:, 0] != 0).all()
    # 20 x 49 x 3 draws at .2: their share has an sd of .0074.
    assert abs((x[:, 1:] != 0).mean() - 0.2) < 0.03
    assert task.attrs["n_points"] == 27 and task.attrs["n_stable"] == 8


@pytest.mark.slow
def test_a_trained_network_holds_the_cube():
    task = nr.simulate.flip_flop(3, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nr.fit(
            nr.models.GRU(3, 16, 3, dt=0.01, rng=0), task, optimizer="adam", max_epochs=150,
            learning_rate=0.01, rng=0, intervals=False,
        )  # fmt: skip
    points = find(result, rng=0)
    assert points.parameters.sizes["point"] == 27 and int(points.is_stable.sum()) == 8
    assert points.completeness == "consistent" and bool(points.parameters["certified"].all())
