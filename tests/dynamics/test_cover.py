"""Covers of small networks: bounds that hold, points left out on purpose, what is not proved."""

import time

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn.dynamics import cover, fixed_points
from neurornn.dynamics.cells import Gated, Leaky
from neurornn.dynamics.cover import Cover, covered, equations_of, numbers_of, states_of
from neurornn.dynamics.latent import LowRank
from neurornn.dynamics.search import merged, newton

KINDS = ["tanh", "current", "sigmoid", "symmetric", "gru", "torch", "low rank"]


def network(kind, n, seed, gain=3.0):
    """A cell of random weights that has one point or several."""
    rng = np.random.default_rng([n, seed])
    weights = gain * (rng.standard_normal((n, n)) / np.sqrt(n) + np.eye(n) * (seed % 2))
    drive = 0.3 * rng.standard_normal(n)
    if kind == "gru":
        rows = 2 * gain * rng.standard_normal((3 * n, n)) / np.sqrt(n)
        layer = (rng.standard_normal((3 * n, 1)), rows, *rng.standard_normal((2, 3 * n)))
        return Gated("gru", [layer], np.array([0.4]))
    if kind == "torch":
        layer = (rng.standard_normal((n, 1)), weights, drive, 0 * drive)
        return Gated("tanh", [layer], np.array([0.1]))
    if kind == "symmetric":
        return Leaky((weights + weights.T) / 2, 0 * drive, np.full(n, 0.2), "tanh")
    if kind == "sigmoid":
        return Leaky(3 * weights, drive - 1.5 * weights.sum(axis=1), np.ones(n), "sigmoid")
    if kind == "low rank":
        out, into = rng.standard_normal((2, 40, n))
        into = (gain * out + into) / 40
        return LowRank(Leaky((out, into), 0.2 * rng.standard_normal(40), np.ones(40), "tanh"))
    form = "current" if kind == "current" else "rate"
    return Leaky(weights, drive, np.full(n, 0.2), "tanh", form)


def points_of(cell, n_starts=2000, seed=0):
    starts = cell.spread(np.random.default_rng(seed), n_starts)
    return merged(cell, newton(cell, starts))


# --- bounds ---


def exact(cell, x):
    """What the equations say of numbers, in the 64 bits of a long double."""
    x = x.astype(np.longdouble)
    if isinstance(cell, Gated) and cell.kind == "gru":
        n = cell.n_hidden
        w_x, w_h, b_x, b_h = (p.astype(np.longdouble) for p in cell.layers[0])
        a, b = cell.inputs @ w_x.T + b_x, x @ w_h.T + b_h
        reset = 1 / (1 + np.exp(-(a[:n] + b[:, :n])))
        return np.tanh(a[2 * n :] + reset * b[:, 2 * n :])
    own = equations_of(cell)
    a = x @ own.out.astype(np.longdouble).T + own.drive
    name = cell.full.nonlinearity if isinstance(cell, LowRank) else "tanh"
    name = getattr(cell, "nonlinearity", name)
    f = np.tanh(a) if name == "tanh" else 1 / (1 + np.exp(-a))
    return f @ own.into.astype(np.longdouble)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [0.0, 1e-8, 0.3])
def test_bounds_hold_what_they_bound(kind, width, rng):
    for seed in range(4):
        cell = network(kind, 3, seed)
        own = equations_of(cell)
        middle = rng.uniform(*own.box, (200, 3))
        box = middle - width / 2, middle + width / 2
        inside = box[0] + rng.random((200, 3)) * (box[1] - box[0])
        low, high = own.image(box)
        value = exact(cell, inside)
        # Strictly, though boxes of no width leave nothing but what is rounded.
        assert (low < value).all() and (value < high).all()
        low, high = own.jacobian(box)
        # Differences of a long double: their own error is 1e-4 ** 4 and 1e-19 / 1e-4.
        for j in range(3):
            e = np.zeros(3, np.longdouble)
            e[j] = 1e-4
            near = exact(cell, inside + e) - exact(cell, inside - e)
            far = exact(cell, inside + 2 * e) - exact(cell, inside - 2 * e)
            slope = (8 * near - far) / (12 * e[j])
            # Long doubles know the slope to 1e-11 of the largest weights, to the fifth power.
            room = 1e-9
            assert (low[:, :, j] - room <= slope).all() and (slope <= high[:, :, j] + room).all()
        if width == 0:
            # And they are no wider than rounding is: slopes times weights of up to 20.
            assert (high - low).max() < 1e-11


def test_the_slope_of_a_saturated_unit_keeps_its_digits():
    a = np.array([-400.0, -20.0, 0.0, 3.0, 20.0])
    low, high = cover._FUNCTIONS["tanh"].slope((a, a))
    true = 1 / np.cosh(a.astype(np.longdouble)) ** 2
    assert (low <= true).all() and (true <= high).all()
    np.testing.assert_allclose(high[1:], true[1:].astype(float), rtol=1e-12)
    # Across 0 the largest is that at 0, the smallest that of the farther end.
    low, high = cover._FUNCTIONS["sigmoid"].slope((np.array([-3.0]), np.array([1.0])))
    assert high[0] == pytest.approx(0.25, rel=1e-12)
    assert low[0] == pytest.approx(np.exp(-3) / (1 + np.exp(-3)) ** 2, rel=1e-12)


# --- what is proved ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_what_is_proved_holds_against_dense_starts(kind):
    proved = 0
    for n in (1, 2, 3, 4):
        for seed in range(6):
            cell = network(kind, n, seed)
            found = points_of(cell, 500)
            # Not given up for want of time, however busy the machine is.
            said = covered(cell, found.states, seconds=600)
            dense = points_of(cell, 8000, seed=1)
            if said.proved:
                proved += 1
                assert len(dense.states) == len(found.states)
                away = np.linalg.norm(dense.states[:, None] - found.states, axis=2)
                assert away.min(axis=1).max() < 1e-6
            elif len(said.missed):
                # What it shows as missed is a point indeed.
                moved = cell.step(said.missed) - said.missed
                assert np.abs(moved).max() < 1e-10
    # All but those where 500 starts missed one.
    assert proved >= 22


@pytest.mark.parametrize("kind", KINDS)
def test_every_point_that_is_left_out_is_noticed(kind):
    for n, seed in ((1, 1), (2, 1), (2, 3), (3, 1), (3, 2)):
        cell = network(kind, n, seed)
        states = points_of(cell).states
        assert covered(cell, states).proved
        for k in range(len(states)):
            said = covered(cell, np.delete(states, k, axis=0))
            assert not said.proved
            away = np.linalg.norm(said.missed - states[k], axis=1)
            assert away.min() < 1e-6


def one_unit(gain, push=0.0):
    return Leaky(np.array([[gain]]), np.array([push]), np.ones(1), "tanh")


def test_a_point_that_is_not_isolated_is_not_proved():
    assert not covered(one_unit(1.0), np.zeros((1, 1))).proved
    # A line of points: h = tanh(h1 + h2 - h2), of which one is given.
    assert not covered(one_unit(1.0), np.zeros((0, 1))).proved


@pytest.mark.parametrize("near", [1e-3, 1e-6, 1e-9])
def test_beside_a_fold(near):
    """tanh(2 h + u) touches h at u = .5328...: two points on one side, none on the other."""
    fold = np.sqrt(2.0) - np.arctanh(np.sqrt(0.5))
    before, behind = one_unit(2.0, fold - near), one_unit(2.0, fold + near)
    states = points_of(before, 4000).states
    assert len(states) == 3
    said = covered(before, states)
    # Points as near as sqrt(near) are told apart, until rounding is as large as they are apart.
    assert said.proved or near < 1e-8
    lowest = np.argsort(states[:, 0])[:1]
    for kept in (lowest, np.delete(np.arange(3), lowest)):
        assert not covered(before, states[kept]).proved
    alone = points_of(behind, 500).states
    assert len(alone) == 1 and covered(behind, alone).proved


def test_one_point_given_twice_is_not_proved():
    cell = network("tanh", 2, 1)
    states = points_of(cell).states
    assert not covered(cell, np.concatenate([states, states[:1] + 1e-10])).proved


def test_a_state_that_is_none_is_not_proved():
    cell = network("tanh", 2, 1)
    states = points_of(cell).states
    assert not covered(cell, np.concatenate([states, states.mean(axis=0)[None] + 0.05])).proved


def test_numbers_and_states_belong_together():
    for kind in KINDS:
        cell = network(kind, 3, 1)
        states = points_of(cell, 200).states
        # Points move by less than 1e-12 in a step, and their numbers by as little.
        np.testing.assert_allclose(states_of(cell, numbers_of(cell, states)), states, atol=1e-11)


# --- what is covered, and when it is given up ---


def test_what_cannot_be_covered_is_left():
    many = Leaky(np.eye(9), np.zeros(9), np.ones(9), "tanh")
    several = Leaky(np.eye(2), np.zeros(2), np.ones(2), "tanh", substeps=2)
    kinked = Leaky(np.eye(2), np.zeros(2), np.ones(2), "relu")
    still = Leaky(np.eye(2), np.zeros(2), np.array([1.0, 0.0]), "tanh")
    lstm = Gated("lstm", [(np.eye(8, 1), np.ones((8, 2)), np.zeros(8), np.zeros(8))], np.zeros(1))
    for cell in (many, several, kinked, still, lstm):
        assert covered(cell, np.zeros((1, cell.n_state))) is None


def test_it_ends_in_time():
    cell = network("tanh", 8, 1, gain=6.0)
    began = time.monotonic()
    said = covered(cell, np.zeros((0, 8)), seconds=0.2)
    # Between two looks at the clock lie 2048 boxes, some ms.
    assert not said.proved and time.monotonic() - began < 2.0


def bits(n, gain=2.0):
    model = nr.models.LeakyRNN(1, n, 1, dt=0.01, tau=0.1)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(gain * np.eye(n)))
        model.bias.zero_()
    return model


def test_a_search_of_few_starts_is_made_whole():
    points = nr.dynamics.find_fixed_points(bits(3), n_starts=5, max_starts=5, rng=1)
    assert points.parameters.sizes["point"] == 27 and points.completeness == "proved"
    assert "boxes that cover all states hold no other, in interval arithmetic" in points.report()
    searched = nr.dynamics.find_fixed_points(bits(2), method="search")
    assert searched.completeness == "consistent"
    again = nr.dynamics.find_fixed_points(bits(3), n_starts=5, max_starts=5, rng=1)
    assert again.parameters.identical(points.parameters)


def test_points_that_boxes_show_and_no_time_for_all(monkeypatch):
    there = np.array([[0.957504, 0.957504]])
    seen = iter([Cover(False, 7, newton(equal(), there)), Cover(False, 9, there[:0])])
    monkeypatch.setattr(fixed_points, "covered", lambda *a: next(seen))
    found = merged(equal(), np.zeros((1, 2)))
    found, told = fixed_points._proved(equal(), found, ("consistent", "so it seems", 8), 1.0)
    assert told[0] == "unknown" and told[1].startswith("boxes showed 1 points") and told[2] == 8
    assert len(found.states) == 2


def equal():
    return Leaky(2.0 * np.eye(2), np.zeros(2), np.ones(2), "tanh")
