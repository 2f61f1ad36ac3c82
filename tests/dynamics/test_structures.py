"""Networks with a structure: low rank, an LSTM by its hidden state, linear pieces."""

import warnings

import numpy as np
import pytest
import torch
from scipy.linalg import eigvals

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, KindError
from neurornn.dynamics import latent, search
from neurornn.dynamics.cells import Gated, Leaky
from neurornn.dynamics.enumeration import branched, enumerated
from neurornn.dynamics.latent import HiddenAlone, LowRank, in_few_numbers, searched_in
from neurornn.dynamics.maps import as_map

find = nr.dynamics.find_fixed_points


def factors(n, seed=0):
    """Two columns whose strongest direction holds two stable states and the next two saddles."""
    rng = np.random.default_rng(seed)
    out = rng.standard_normal((n, 2))
    return out, (out * [3.0, 2.2] + rng.standard_normal((n, 2))) / n


def low_rank(n=40, form="rate", nonlinearity="tanh", alpha=0.1, seed=0):
    out, into = factors(n, seed)
    drive = 0.05 * np.random.default_rng(seed + 1).standard_normal(n)
    given = (drive, np.broadcast_to(alpha, n).astype(float), nonlinearity, form)
    return Leaky((out, into), *given), Leaky(out @ into.T, *given)


UNEQUAL = np.geomspace(0.02, 0.4, 40)
KINDS = {
    "rate": {},
    "current": {"form": "current"},
    "sigmoid": {"nonlinearity": "sigmoid"},
    "unequal tau": {"alpha": UNEQUAL},
    "unequal tau, current": {"alpha": UNEQUAL, "form": "current"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_low_rank_network_has_the_points_and_modes_of_its_matrix(kind, rng):
    factored, dense = low_rank(**KINDS[kind])
    few = in_few_numbers(factored)
    assert few.n_state == 2 and in_few_numbers(dense) is None
    starts = few.spread(rng, 300)
    found = search.merged(few, search.newton(few, starts))
    states = few.lift(found.states)
    assert found.certified.all()
    assert len(states) == (1 if kind == "sigmoid" else 5)
    # The network itself moves them by rounding alone, some 40 sums of up to 4 x 1e-16.
    assert np.abs(dense.step(states) - states).max() < 1e-13
    np.testing.assert_allclose(few.inner(states), found.states, atol=1e-13)
    _, jacobian = dense.step_and_jacobian(states)
    tau = 0.01 / dense.alpha
    for mine, wanted in (
        (few.eigenvalues(found.states), np.linalg.eigvals(jacobian)),
        (few.flow_eigenvalues(found.states, tau), np.linalg.eigvals(dense.flow(states, tau))),
    ):
        # Eigenvalues that 38 modes share are told by a general solver to the square root of
        # rounding at worst.
        scale = np.abs(wanted).max()
        ours, theirs = (np.sort_complex(np.round(x / scale, 7)) for x in (mine, wanted))
        np.testing.assert_allclose(ours, theirs, atol=2e-7)
    # The signs of det(1 - J) are those of the whole network.
    wanted = np.sign(np.linalg.det(np.eye(40) - jacobian))
    np.testing.assert_array_equal(found.index, wanted)


@pytest.mark.parametrize("kind", ["rate", "current"])
def test_within_the_radius_in_all_units_there_is_no_other_point(kind):
    few = LowRank(low_rank(**KINDS[kind])[0])
    starts = np.random.default_rng(3).uniform(*few.box, (400, 2))
    found = search.merged(few, search.newton(few, starts))
    states, radius = few.lift(found.states), found.radius * few.reach
    apart = np.linalg.norm(states[:, None] - states, axis=2) + 1e9 * np.eye(len(states))
    assert (apart.min(axis=1) > radius).all()
    # What is 1 apart in the inner sums is at least `reach` apart in the units.
    inner = np.linalg.norm(found.states[:, None] - found.states, axis=2)
    assert (apart >= inner * few.reach * (1 - 1e-12)).all()
    # And by no more than the bound asks for: in the current form they are equal.
    if kind == "current":
        off = ~np.eye(len(states), dtype=bool)
        np.testing.assert_allclose(apart[off], (inner * few.reach)[off], rtol=1e-12)


def test_the_bend_of_the_inner_sums_is_bounded(rng):
    few = LowRank(low_rank()[0])
    k = few.spread(rng, 200)
    size = 1e-4
    direction = rng.standard_normal(k.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    bend = few.step(k + size * direction) - 2 * few.step(k) + few.step(k - size * direction)
    most = np.linalg.norm(bend / size**2, axis=1)
    # Differences of second order carry rounding of 1e-16 / 1e-8.
    assert (most <= few.curvature(k, 0.25) + 1e-6).all() and most.max() > 0.05 * few._bend


def test_starts_in_blocks_are_those_at_once(monkeypatch, rng):
    few = LowRank(low_rank()[0])
    k = few.spread(rng, 50)
    whole = few.step_and_jacobian(k)
    monkeypatch.setattr(latent, "_BLOCK", 40 * 7)
    for a, b in zip(few.step_and_jacobian(k), whole, strict=True):
        # A product of other sizes may sum in another order.
        np.testing.assert_allclose(a, b, atol=1e-14)


@pytest.mark.slow
def test_a_large_network_is_read_without_its_matrix(monkeypatch):
    """1200 units of unequal tau: a few leading modes, as a dense solver tells them."""
    n = 1200
    model = nr.models.LeakyRNN(1, n, 1, dt=0.01, tau=np.geomspace(0.02, 0.2, n), rank=2, rng=0)
    out, into = factors(n)
    with torch.no_grad():
        model.rank_out.copy_(torch.tensor(out))
        model.rank_in.copy_(torch.tensor(into * n))
        model.bias.zero_()
    monkeypatch.setattr(Leaky, "weights", property(lambda self: pytest.fail("formed")))
    points = find(model, rng=0)
    sizes = points.parameters.sizes
    assert (sizes["point"], sizes["hidden"], sizes["mode"]) == (5, n, 6)
    assert points.completeness == "proved" and (points.parameters["q"] < 1e-24).all()
    assert bool(points.parameters["certified"].all())
    assert f"Of {n} modes the 6 leading ones were formed." in points.report()
    # The first point by the whole matrix, in the double precision of its float32 weights.
    h = points.states.values[0]
    wide, thin = (x.detach().double().numpy() for x in (model.rank_out, model.rank_in))
    slope = 1 - np.tanh(wide @ (thin.T @ h) / n) ** 2
    tau = model.tau.detach().double().numpy()
    alpha = -np.expm1(-0.01 / tau)
    jacobian = np.diag(1 - alpha) + (alpha * slope)[:, None] * wide @ thin.T / n
    wanted = eigvals(jacobian)
    wanted = wanted[np.argsort(-np.abs(wanted))][:6]
    # Modes of many units lie 1e-4 apart and are far from orthogonal, which both solvers feel.
    np.testing.assert_allclose(
        np.sort(np.abs(points.eigenvalues.values[0])), np.sort(np.abs(wanted)), rtol=1e-6
    )


def test_the_front_searches_a_low_rank_model_and_keeps_starts(rng):
    model = nr.models.LeakyRNN(1, 40, 1, dt=0.01, tau=0.1, rank=2, rng=0)
    out, into = factors(40)
    with torch.no_grad():
        model.rank_out.copy_(torch.tensor(out))
        model.rank_in.copy_(torch.tensor(into * 40))
        model.bias.zero_()
    points = find(model, rng=0)
    sizes = points.parameters.sizes
    assert (sizes["point"], sizes["hidden"], sizes["mode"]) == (5, 40, 40)
    again = find(model, starts=points.states, n_starts=5, max_starts=5, rng=0)
    np.testing.assert_allclose(again.states, points.states, atol=1e-10)
    with pytest.warns(ConvergenceWarning):
        few = find(model, n_starts=5, max_starts=5, method="search", rng=0)
    assert few.parameters.sizes["point"] < 5
    # Signs or a mask behind the factors leave no low rank.
    signed = nr.models.LeakyRNN(1, 40, 1, dt=0.01, tau=0.1, rank=2, excitatory=0.8, rng=0)
    assert in_few_numbers(as_map(signed).cell) is None


# --- an LSTM ---


def test_an_lstm_at_rest_by_its_hidden_state_alone(rng):
    cell = as_map(nr.models.LSTM(2, 5, 1, dt=0.01, rng=1), np.array([0.3, -0.7])).cell
    alone = searched_in(cell)
    assert isinstance(alone, HiddenAlone)
    h = rng.uniform(-1, 1, (20, 5))
    whole = cell.step(alone.lift(h))
    # With the cells at rest a step of the layer leaves them, and moves h as the map does.
    np.testing.assert_allclose(whole[:, 5:], alone.lift(h)[:, 5:], atol=1e-13)
    np.testing.assert_allclose(whole[:, :5], alone.step(h), atol=1e-14)
    new, jacobian = alone.step_and_jacobian(h)
    np.testing.assert_allclose(new, alone.step(h), atol=1e-15)
    for k in range(5):
        e = 1e-5 * np.eye(5)[k]
        quotient = (alone.step(h + e) - alone.step(h - e)) / 2e-5
        # Central differences: errors of 1e-10, and of rounding, 1e-11.
        np.testing.assert_allclose(jacobian[:, :, k], quotient, atol=1e-8)
    np.testing.assert_array_equal(alone.inner(alone.lift(h)), h)
    stacked = as_map(nr.models.LSTM(2, 4, 1, dt=0.01, n_layers=2, rng=1)).cell
    assert searched_in(stacked) is stacked


def test_a_forget_gate_that_rounds_to_one_leaves_finite_cells():
    n, layer = 2, [np.zeros((8, 1)), np.zeros((8, 2)), np.zeros(8), np.zeros(8)]
    layer[2][2:4] = 60.0  # 1 - f is 1e-26, which 1.0 - f is not
    layer[2][4:6] = 1e-20
    alone = HiddenAlone(Gated("lstm", [tuple(layer)], np.zeros(1)))
    lifted = alone.lift(np.zeros((1, n)))
    np.testing.assert_allclose(lifted[0, 2:], 0.5e-20 / np.exp(-60.0), rtol=1e-12)


# --- linear pieces ---


def plainly(weights, drive):
    """Fixed points of h = relu(W h + u), one piece after the other."""
    n, found = len(drive), []
    for piece in range(2**n):
        on = np.array([piece >> k & 1 for k in range(n)], dtype=bool)
        h = np.zeros(n)
        if on.any():
            h[on] = np.linalg.solve(np.eye(on.sum()) - weights[np.ix_(on, on)], drive[on])
        if (h[on] > 0).all() and (weights[~on] @ h + drive[~on] <= 0).all():
            found.append(h)
    return np.array(found).reshape(-1, n)


def relu(seed, n=8, scale=1.2):
    rng = np.random.default_rng(seed)
    weights = scale * rng.standard_normal((n, n)) / np.sqrt(n)
    return Leaky(weights, rng.standard_normal(n), np.full(n, 0.2), "relu")


@pytest.mark.parametrize("seed", range(6))
def test_every_piece_is_solved_and_every_point_is_certified(seed):
    cell = relu(seed)
    wanted = plainly(cell.weights, cell.drive)
    states, n_lines = enumerated(cell)
    assert n_lines == 0 and len(states) == len(wanted)
    for h in wanted:
        assert np.linalg.norm(states - h, axis=1).min() < 1e-12
    found = search.certified(cell, states)
    assert found.certified.all()
    # Just within the radius no unit has been switched, just beyond it one has.
    for h, radius in zip(found.states, found.radius, strict=True):
        drive = cell.weights @ h + cell.drive
        k = int(np.argmin(np.abs(drive) / np.linalg.norm(cell.weights, axis=1)))
        towards = -np.sign(drive[k]) * cell.weights[k] / np.linalg.norm(cell.weights[k])
        for far, switched in ((0.999, False), (1.001, True)):
            there = cell.weights @ (h + far * radius * towards) + cell.drive
            assert bool(((there > 0) != (drive > 0)).any()) is switched


def test_the_current_form_is_certified_up_to_the_next_kink():
    weights = np.array([[0.0, -2.0], [-2.0, 0.0]])
    cell = Leaky(weights, np.array([1.0, 1.3]), np.full(2, 0.1), "relu", "current")
    found = search.certified(cell, enumerated(cell)[0])
    # The unit that is nearest to 0, on whichever side, and not the farther one.
    assert (np.ptp(np.abs(found.states), axis=1) > 0.1).all()
    np.testing.assert_allclose(found.radius, np.abs(found.states).min(axis=1))


@pytest.mark.parametrize(
    ("weights", "drive", "lines"),
    [
        # h1 = h1 + 1 has no solution where the unit is active, and 0 is none either.
        ([[1.0]], [1.0], 0),
        # h1 = h1: every h1 > 0 is a point.
        ([[1.0]], [0.0], 1),
        # h1 + h2 = 1 with both active: a line from (1, 0) to (0, 1).
        ([[0.0, -1.0], [-1.0, 0.0]], [1.0, 1.0], 1),
        # The same line, on which a third unit would have to be active and is not: none.
        ([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [1.0, 1.0, -1.0], 1),
        # h1 + h2 + h3 = 1 thrice over: a plane; and lines of two on its edges that the third,
        # which they drive to exactly 0, does not leave.
        ([[0.0, -1.0, -1.0], [-1.0, 0.0, -1.0], [-1.0, -1.0, 0.0]], [1.0, 1.0, 1.0], 4),
        # h1 = -h2, both positive: the solutions miss the piece.
        ([[0.0, -1.0], [-1.0, 0.0]], [0.0, 0.0], 1),
    ],
)  # fmt: skip
def test_a_singular_piece_is_looked_at(weights, drive, lines):
    """The last: h1 = h2 = 0 lies on the border of the piece, which may be a line."""
    cell = Leaky(np.array(weights), np.array(drive), np.ones(len(drive)), "relu")
    assert enumerated(cell)[1] == lines


def test_singular_pieces_that_hold_nothing_leave_the_proof():
    """Two of these units excite each other exactly back: singular, and driven apart."""
    model = nr.models.VanillaRNN(1, 2, 1, dt=0.01, nonlinearity="relu")
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
        model.bias.copy_(torch.tensor([-1.0, -1.0]))
    points = find(model)
    assert points.completeness == "proved" and points.states.values.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("seed", range(3))
def test_branch_and_bound_finds_what_enumeration_finds(seed, form):
    rng = np.random.default_rng(seed)
    edges = rng.random((9, 9)) < 0.5
    weights = np.where(edges, -0.75, -1.5) * (1 - np.eye(9))
    cell = Leaky(weights, np.ones(9), np.full(9, 0.2), "relu", form)
    wanted, _ = enumerated(cell)
    found, n_lines, n_steps = branched(cell, None)
    assert n_lines == 0 and len(found) == len(wanted) > 0
    for h in wanted:
        assert np.linalg.norm(found - h, axis=1).min() < 1e-12
    # Most of the 2 * 512 - 1 nodes of the tree are never looked at.
    assert n_steps < 700
    assert branched(cell, 0.0) is None


@pytest.mark.slow
def test_more_than_20_units_are_proved_by_branch_and_bound():
    """Two groups of three units that inhibit one another, among 18 that are silent."""
    model = nr.models.VanillaRNN(1, 24, 1, dt=0.01, nonlinearity="relu")
    with torch.no_grad():
        block = -2.0 * (1 - torch.eye(3))
        weights = torch.block_diag(*[block] * 2, torch.zeros(18, 18))
        model.recurrent_weight.copy_(weights)
        model.bias.copy_(torch.cat([torch.ones(6), -torch.ones(18)]))
    points = find(model)
    # A group of three with W = -2: one wins (3), two are level (3), or all are (1): 7 squared.
    assert points.completeness == "proved" and points.parameters.sizes["point"] == 49
    assert "branch and bound" in points.report() and bool(points.parameters["certified"].all())
    with pytest.raises(DataError, match="Branch and bound did not end within max_seconds"):
        find(model, method="enumerate", max_seconds=1e-9)
    searched = find(model, method="search", rng=0)
    assert searched.completeness != "proved"


def test_the_method_can_be_asked_for():
    model = nr.models.VanillaRNN(1, 4, 1, dt=0.01, nonlinearity="relu", rng=3)
    exact, searched = find(model, method="enumerate"), find(model, method="search")
    assert exact.settings["n_starts"] == 0 and searched.settings["n_starts"] > 0
    np.testing.assert_allclose(exact.states, searched.states, atol=1e-12)
    with pytest.raises(KindError, match=r'method="enumerate" came with VanillaRNN'):
        find(nr.models.VanillaRNN(1, 4, 1, dt=0.01, rng=3), method="enumerate")


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("nonlinearity", ["relu", "softplus"])
def test_where_excitation_dies_out_a_box_holds_all_states(form, nonlinearity, rng):
    weights = rng.standard_normal((6, 6))
    weights = np.where(weights > 0, 0.15 * weights, weights)
    cell = Leaky(weights, rng.standard_normal(6), np.full(6, 0.3), nonlinearity, form)
    lower, upper = cell.box
    h = rng.uniform(lower, upper, (500, 6))
    h[::2] = np.where(rng.random(h[::2].shape) < 0.5, lower, upper)
    new = cell.step(h)
    assert (new >= lower - 1e-9).all() and (new <= upper + 1e-9).all()
    # With excitation that sustains itself there is none.
    free = Leaky(np.full((2, 2), 0.6), np.ones(2), np.ones(2), nonlinearity, form)
    assert free.box is None


@pytest.mark.slow
def test_hopfield_states_are_found():
    """100 units, 5 patterns: each and its mirror image, 10 states (Hopfield 1984)."""
    rng = np.random.default_rng(0)
    patterns = rng.choice([-1.0, 1.0], (5, 100))
    weights = patterns.T @ patterns / 100
    np.fill_diagonal(weights, 0.0)
    model = nr.models.VanillaRNN(1, 100, 1, dt=0.01)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(3.0 * weights))
        model.bias.zero_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        points = find(model, rng=0)
    stable = np.sign(points.states.values[points.is_stable.values])
    overlap = np.concatenate([patterns, -patterns]) @ stable.T / 100
    assert (overlap.max(axis=1) > 0.9).all()
