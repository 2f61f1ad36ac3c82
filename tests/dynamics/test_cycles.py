"""Cycles: closed forms, a fine integration, orbits of whole steps, and what is no cycle."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import neurornn as nr
from neurornn.dynamics import cycles
from neurornn.dynamics.cycles import cycle_through
from neurornn.dynamics.maps import as_map


def stepped(flow, dt):
    """A step of Runge and Kutta's fourth order."""

    def step(h):
        h = np.asarray(h)
        a = flow(h)
        b = flow(h + dt / 2 * a)
        c = flow(h + dt / 2 * b)
        return h + dt / 6 * (a + 2 * b + 2 * c + flow(h + dt * c))

    return step


def van_der_pol(mu):
    return lambda h: np.stack([h[:, 1], mu * (1 - h[:, 0] ** 2) * h[:, 1] - h[:, 0]], 1)


def stuart_landau(mu, w=1.0):
    """A circle of radius sqrt(mu), multiplier exp(-2 mu T), T = 2 pi / w."""

    def flow(h):
        x, y = h.T
        r2 = x * x + y * y
        return np.stack([mu * x - w * y - r2 * x, mu * y + w * x - r2 * y], 1)

    return flow


def side_by_side(a, b):
    return lambda h: np.concatenate([a(h[:, :2]), b(h[:, 2:])], 1)


def lorenz(h):
    x, y, z = h.T
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], 1)


def roessler(c):
    return lambda h: np.stack(
        [-h[:, 1] - h[:, 2], h[:, 0] + 0.2 * h[:, 1], 0.2 + h[:, 2] * (h[:, 0] - c)], 1
    )


def henon(a):
    return lambda h: np.stack([1 - a * h[:, 0] ** 2 + h[:, 1], 0.3 * h[:, 0]], 1)


def found_in(flow, dt, start, **more):
    state_map = as_map(stepped(flow, dt), n_hidden=len(start), dt=dt)
    return cycle_through(state_map, np.array(start), **more)


def integrated(mu):
    """Period and multipliers of van der Pol by the variational equation and scipy."""

    def both(t, z):
        x, y = z[:2]
        slope = np.array([[0, 1], [-2 * mu * x * y - 1, mu * (1 - x * x)]])
        return np.r_[y, mu * (1 - x * x) * y - x, (slope @ z[2:].reshape(2, 2)).ravel()]

    def top(t, z):
        return z[1]

    top.direction = -1
    tight = {"rtol": 1e-12, "atol": 1e-13, "events": top}
    begin = solve_ivp(both, (0, 40), [2.0, 0, 1, 0, 0, 1], **tight).y_events[0][-1][:2]
    end = solve_ivp(both, (0, 9), [*begin, 1, 0, 0, 1], **tight)
    later = np.flatnonzero(end.t_events[0] > 1)[0]
    values = np.linalg.eigvals(end.y_events[0][later][2:].reshape(2, 2))
    return end.t_events[0][later], values[np.argsort(-np.abs(values))]


@pytest.mark.parametrize("mu", [0.5, 2.0, pytest.param(1.0, marks=pytest.mark.slow)])
def test_van_der_pol_has_the_period_and_multipliers_of_a_fine_integration(mu):
    dt = 0.05
    period, multipliers = integrated(mu)
    cycle = found_in(van_der_pol(mu), dt, [2.0, 0.0])
    # The step itself is off by about dt**4 = 6e-6 times a factor of the equation.
    assert cycle.period * dt == pytest.approx(period, rel=2e-5)
    assert cycle.trivial == 0 and cycle.is_stable
    # Jacobians by differences, 1e-10; interpolation of the sharp corner of mu = 2, 1e-7.
    assert abs(cycle.multipliers[0] - 1) < 1e-6
    # Of the multiplier too the step is off by about 1e-5; that of mu = 2 is 1e-8.
    np.testing.assert_allclose(cycle.multipliers[1], multipliers[1], rtol=1e-3)
    assert cycle.residual < 1e-6


@pytest.mark.parametrize("dt", [0.1, 2 * np.pi / 50, 0.5])
@pytest.mark.parametrize("mu", [0.3, 0.02])
def test_a_circle_has_its_closed_form_also_where_a_turn_takes_whole_steps(mu, dt):
    """At 50 steps a turn every state comes back; at .5 a turn has 12.6 steps."""
    cycle = found_in(stuart_landau(mu), dt, [1.05 * np.sqrt(mu), 0.0])
    # A step of order 4 turns by too little, by the share dt**4 / 120.
    off = dt**4 / 120
    assert cycle.period * dt == pytest.approx(2 * np.pi, rel=1.5 * off + 1e-9)
    wanted = np.exp(-2 * mu * 2 * np.pi)
    # As far as the step turns wrongly it grows wrongly, by dt**5 / 144 a step; polynomials of
    # order 9 through 12 steps a turn are off by 1e-6.
    assert abs(cycle.multipliers[1] - wanted) < 20 * off + 1e-6
    assert cycle.trivial == 0 and abs(cycle.multipliers[0] - 1) < 1e-4
    radius = np.linalg.norm(cycle.states, axis=1)
    assert cycle.states.shape == (200, 2)
    assert np.ptp(radius) < 1e-5 * radius.mean()
    # Phases are equally far apart in time, and go once around.
    turn = np.diff(np.unwrap(np.arctan2(cycle.states[:, 1], cycle.states[:, 0])))
    np.testing.assert_allclose(turn, 2 * np.pi / 200, rtol=1e-4)


def test_a_slow_approach_is_not_waited_for():
    """A push keeps 94 % in a turn: after the 600 steps of the first look 3 % are still there."""
    mu, dt = 0.005, 0.1
    state_map = as_map(stepped(stuart_landau(mu), dt), n_hidden=2, dt=dt)
    cycle = cycle_through(state_map, np.array([1.3 * np.sqrt(mu), 0.0]), max_steps=4_000)
    np.testing.assert_allclose(np.linalg.norm(cycle.states, axis=1), np.sqrt(mu), rtol=1e-4)
    assert cycle.multipliers[1] == pytest.approx(np.exp(-4 * np.pi * mu), abs=1e-4)


@pytest.mark.parametrize(("a", "period"), [(0.5, 2), (0.9, 2), (1.0, 4)])
def test_orbits_of_whole_steps_have_the_eigenvalues_of_their_product(a, period):
    cycle = cycle_through(as_map(henon(a), n_hidden=2), np.array([0.1, 0.1]))
    assert cycle.period == period and cycle.trivial is None and cycle.is_stable
    orbit = cycle.states[:: 200 // period]
    # Each state is the step of the one before, to rounding.
    np.testing.assert_allclose(henon(a)(orbit), np.roll(orbit, -1, axis=0), atol=1e-12)
    product = np.eye(2)
    for x, _ in orbit:
        product = np.array([[-2 * a * x, 1], [0.3, 0]]) @ product
    wanted = np.linalg.eigvals(product)
    # Differences of the fourth order are good to 1e-11, the sort is that of the sizes.
    np.testing.assert_allclose(
        np.sort_complex(cycle.multipliers), np.sort_complex(wanted), atol=1e-9
    )
    assert (np.diff(np.abs(cycle.multipliers)) <= 0).all()


@pytest.mark.parametrize(
    ("c", "turns", "leading"),
    [(2.5, 1, -0.7697), pytest.param(3.5, 2, -0.4187, marks=pytest.mark.slow)],
)
def test_after_a_period_doubling_the_orbit_closes_after_two_turns(c, turns, leading):
    """A turn of Roessler takes 5.75; the multipliers were computed with dt .005."""
    cycle = found_in(roessler(c), 0.05, [1.0, 1.0, 0.0])
    assert 5.6 < cycle.period * 0.05 / turns < 5.9
    assert cycle.multipliers[1].real == pytest.approx(leading, abs=2e-3)
    if turns == 2:
        assert found_in(roessler(c), 0.05, [1.0, 1.0, 0.0], max_periods=1) is None


NONE = {
    "rest": (lambda h: 0.5 * np.tanh(h), [0.5, 0.1]),
    "a slow spiral": (stepped(stuart_landau(-0.002), 0.1), [0.5, 0.1]),
    "circles side by side": (
        lambda h: h @ np.array([[np.cos(0.1), np.sin(0.1)], [-np.sin(0.1), np.cos(0.1)]]),
        [0.5, 0.1],
    ),
    "chaos of a map": (henon(1.4), [0.1, 0.1]),
    "chaos of a flow": (stepped(lorenz, 0.01), [1.0, 1.0, 20.0]),
    "a torus": (
        stepped(side_by_side(stuart_landau(0.3), stuart_landau(0.2, 2**0.5)), 0.1),
        [0.5, 0.1, 0.4, 0.1],
    ),
    "a torus of one to two": (
        stepped(side_by_side(stuart_landau(0.3), stuart_landau(0.2, 2.0)), 0.1),
        [0.5, 0.1, 0.4, 0.1],
    ),
    "growth without end": (lambda h: 1.5 * h, [0.5, 0.1]),
    "a turn of 2.5 steps": (
        lambda h: np.tanh(2 * h @ np.array([[-0.81, 0.588], [-0.588, -0.81]])),
        [0.5, 0.1],
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_where_there_is_no_cycle_none_is_told(name):
    step, start = NONE[name]

    def of_arrays(h):
        return step(np.asarray(h))

    state_map = as_map(of_arrays, n_hidden=len(start))
    found = cycle_through(state_map, np.array(start), max_steps=3_000)
    if name == "a turn of 2.5 steps":
        # Its curve may be locked to an orbit of whole steps; nothing else can be told.
        assert found is None or found.trivial is None
    else:
        assert found is None


def test_a_network_that_turns_has_the_cycle_of_its_own_long_run():
    model = nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=0.1)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[2.0, -1.5], [1.5, 2.0]]))
        model.bias.zero_()
    state_map = as_map(model)
    cycle = cycle_through(state_map, np.array([0.5, 0.1]))
    h, path = cycle.states[:1], []
    for _ in range(20_000):
        h = state_map.cell.step(h)
        path.append(h[0])
    angle = np.unwrap(np.arctan2(*np.array(path).T[::-1]))
    # Over so many steps the mean turn is known to part of a turn over the whole, 1e-4.
    mean = 2 * np.pi * (len(path) - 1) / abs(angle[-1] - angle[0])
    assert cycle.period == pytest.approx(mean, rel=2e-4)
    # What the determinants of all steps of a turn come to is what the multipliers do.
    _, jacobians = state_map.cell.step_and_jacobian(np.array(path))
    rate = np.linalg.slogdet(jacobians)[1].mean()
    # A mean over 20,000 steps, again up to part of a turn.
    assert np.log(np.abs(np.prod(cycle.multipliers))) == pytest.approx(
        rate * cycle.period, rel=1e-3
    )


def test_a_period_is_the_mean_of_many_returns_and_a_wrong_one_does_not_close():
    mu, dt = 0.3, 0.1
    cell = as_map(stepped(stuart_landau(mu), dt), n_hidden=2).cell
    start = np.array([np.sqrt(mu), 0.0])
    period, extent = 2 * np.pi / dt, np.sqrt(mu)
    path = cycles._path(cell, start, 200)
    # Off by 1e-5 of a turn, 8 returns later by 8e-5 of it, which is 5e-4 radii.
    found = cycles._read(cell, start, period * (1 + 1e-5), path, extent)
    # Twice the error of the step, dt**4 / 120, and a tenth of what was wrong.
    assert found.period == pytest.approx(period, rel=3e-6)
    assert found.residual == pytest.approx(8e-5 * 2 * np.pi, rel=0.2)
    assert cycles._read(cell, start, period * (1 + 1e-4), path, extent) is None


def test_an_orbit_is_told_with_its_least_period():
    cell = as_map(henon(0.9), n_hidden=2).cell
    h = cycles._path(cell, np.array([0.1, 0.1]), 500)[-1]
    assert cycles._orbit(cell, h, 4, 0.7).period == 2


@pytest.mark.slow
def test_a_cycle_from_which_pushes_lead_away_is_none():
    """A circle of radius 1 that a third number leaves: e**.05 a step, never reached from 0."""

    def leaving(h):
        h = np.asarray(h)
        turned = stepped(stuart_landau(1.0), 0.1)(h[:, :2])
        return np.concatenate([turned, 1.05 * h[:, 2:]], 1)

    assert cycle_through(as_map(leaving, n_hidden=3), np.array([1.0, 0.1, 0.0])) is None


def test_polynomials_between_steps_are_exact_to_order_nine():
    at = np.arange(cycles._NODES)
    for where in (4.0, 4.3, 5.9):
        value, slope = cycles._lagrange(where)
        for power in (0, 1, 5, 9):
            # Sums of ten terms of up to 9**9 = 4e8, relative to what they come to.
            assert value @ at**power == pytest.approx(where**power, rel=1e-9)
            wanted = power * where ** (power - 1) if power else 0.0
            assert slope @ at**power == pytest.approx(wanted, rel=1e-8, abs=1e-9)
