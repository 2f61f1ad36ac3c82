"""Newton steps in one compiled loop: they end where those of a library do, for all units."""

import numpy as np
import pytest
import torch

from neurornn._kernels import point_search as kernel
from neurornn.dynamics import compiled_search, search
from neurornn.dynamics.cells import Gated, Leaky
from neurornn.dynamics.latent import HiddenAlone
from neurornn.dynamics.maps import as_map


def leaky(nonlinearity, form="rate", n=11, gain=1.6, seed=0):
    """Units whose number fills no whole group of lanes."""
    rng = np.random.default_rng(seed)
    w = gain * rng.standard_normal((n, n)) / np.sqrt(n)
    return Leaky(w, 0.1 * rng.standard_normal(n), rng.uniform(0.2, 1.0, n), nonlinearity, form)


def layer(cls, n=6, gain=1.5, **more):
    torch.manual_seed(0)
    made = cls(2, n, **more)
    with torch.no_grad():
        for p in made.parameters():
            p *= gain * np.sqrt(n)
    return as_map(made, [0.3, -0.2]).cell


CELLS = {
    "tanh": lambda: leaky("tanh"),
    "sigmoid": lambda: leaky("sigmoid", gain=12.0),
    "softplus": lambda: leaky("softplus", gain=0.9),
    "relu": lambda: leaky("relu", gain=0.9),
    "linear": lambda: leaky("linear", gain=0.5),
    "current": lambda: leaky("tanh", "current"),
    "sigmoid, current": lambda: leaky("sigmoid", "current", gain=12.0),
    "LSTM": lambda: layer(torch.nn.LSTM),
    "RNN": lambda: layer(torch.nn.RNN),
}


def in_order(states):
    return states[np.lexsort(np.round(states, 6).T[::-1])]


@pytest.mark.parametrize("kind", CELLS)
def test_the_loop_ends_where_a_library_does(kind):
    cell = CELLS[kind]()
    inner = search.searched_in(cell)
    loop = compiled_search.compiled(inner)
    starts = inner.inner(cell.spread(np.random.default_rng(1), 200))
    ends = search._ends(cell, inner, np.array(starts), None)
    none = np.zeros((0, cell.n_state)), np.zeros(0)
    found = loop.converged(
        starts, *none, n_steps=search.N_STEPS, n_halvings=search.N_HALVINGS, finest=inner.finest
    )
    assert len(found) > 20
    # Rounding may tip a step that is nearly no better, and with it where a start ends; of 200 it
    # does so for few. What it comes to are the same points.
    assert abs(len(found) - len(ends)) <= 10
    both = [search.merged(cell, s if inner is cell else inner.lift(s)) for s in (found, ends)]
    one, other = (in_order(f.states) for f in both)
    assert len(one) == len(other)
    # A point is converged to q < 1e-26, a step of 1e-13, times the inverse of 1 - J.
    np.testing.assert_allclose(one, other, atol=1e-10)
    assert starts.shape == (200, inner.n_state)


def test_what_the_loop_does_not_know_is_searched_by_a_library():
    torch.manual_seed(0)
    for cell in (
        as_map(torch.nn.GRU(1, 4)).cell,
        as_map(torch.nn.RNN(1, 4, num_layers=2)).cell,
        Leaky(np.eye(3), np.zeros((5, 3)), np.ones(3), "tanh"),
        Leaky(np.eye(3), np.zeros(3), np.ones(3), "tanh", substeps=2),
        Leaky(np.eye(65), np.zeros(65), np.ones(65), "tanh"),
        as_map(lambda h: np.tanh(2 * h), n_hidden=2).cell,
    ):
        assert compiled_search.compiled(search.searched_in(cell)) is None
    assert compiled_search.compiled(leaky("tanh", n=64)) is not None


def switches(kind):
    """Units that hold one bit each: three points a unit."""
    if kind == "tanh":
        w = 2 * np.eye(3) + 0.1 * np.arange(9).reshape(3, 3) / 9
        return Leaky(w, np.zeros(3), np.ones(3), "tanh")
    one, none = np.eye(2), np.zeros((2, 2))
    w_h = np.concatenate([none, none, 3 * one, none])
    # Gates at 1, and a new value that the unit itself drives.
    bias = np.repeat([2.0, 0.0, 0.0, 2.0], 2)
    return Gated("lstm", [(np.zeros((8, 1)), w_h, bias, np.zeros(8))], np.zeros(1))


@pytest.mark.parametrize(("kind", "n_points"), [("tanh", 27), ("LSTM", 9)])
def test_starts_that_come_to_a_point_that_is_known_are_left_out(kind, n_points):
    cell = switches(kind)
    starts = cell.spread(np.random.default_rng(2), 300)
    found = search.merged(cell, search.newton(cell, starts))
    assert found.certified.all() and len(found.states) == n_points
    assert not len(search.newton(cell, starts, found))
    # But for those of a point that is taken out of the known ones.
    some = search.Found(*(each[1:] for each in found))
    left = search.newton(cell, starts, some)
    assert len(left)
    np.testing.assert_allclose(left, np.tile(found.states[0], (len(left), 1)), atol=1e-10)
    # A ball around the right hidden state and the wrong cells holds nothing.
    if kind == "LSTM":
        moved = found.states.copy()
        moved[:, cell.n_hidden :] += 1.0
        assert len(search.newton(cell, starts, found._replace(states=moved)))


def solved(a, b):
    n, width = len(a), compiled_search._packed(0, 0, a[None], b[None], b, None).weights.shape[2]
    wide, x = np.zeros((n, width)), b.copy()
    wide[:, :n] = a
    kernel._solve(wide, wide.reshape(n, -1, kernel.LANES), x, np.zeros(width))
    return x


@pytest.mark.parametrize("n", [1, 2, 7, 8, 16, 19, 40])
def test_the_elimination_solves_what_a_library_solves(n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        a, b = rng.standard_normal((n, n)), rng.standard_normal(n)
        x = np.linalg.solve(a, b)
        # Rows are exchanged only for entries 8 times larger: some digits less than a library.
        bound = 1e-13 * np.linalg.cond(a) * n
        np.testing.assert_allclose(solved(a, b), x, atol=bound * np.abs(x).max(), rtol=0)
    # Zeros on the diagonal ask for an exchange in every column.
    a = np.roll(np.eye(n), 1, axis=0) * np.arange(1, n + 1)
    b = rng.standard_normal(n)
    np.testing.assert_allclose(solved(a, b), np.linalg.solve(a, b), rtol=1e-14)


def test_a_singular_matrix_is_solved_to_something_finite():
    """A step along the direction that is lost is too long, and is cut: it must be a number."""
    for n in (1, 3, 9):
        assert np.isfinite(solved(np.zeros((n, n)), np.ones(n))).all()
        assert np.isfinite(solved(np.ones((n, n)), np.arange(n, dtype=float))).all()


def test_states_that_are_no_numbers_are_given_up():
    cell = leaky("linear", gain=0.5)
    starts = np.full((3, cell.n_state), np.nan)
    starts[2] = 0.0
    assert search.newton(cell, starts).shape == (1, cell.n_state)


def test_hidden_states_alone_and_their_cells_are_those_of_the_layer():
    cell = CELLS["LSTM"]()
    inner = search.searched_in(cell)
    assert isinstance(cell, Gated) and isinstance(inner, HiddenAlone)
    ends = search.newton(cell, cell.spread(np.random.default_rng(3), 100))
    # A step of 1e-13 in the hidden state, and of the cells by what their gates amplify.
    np.testing.assert_allclose(cell.step(ends), ends, atol=1e-10)
