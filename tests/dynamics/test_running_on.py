"""What Lyapunov exponents do by themselves where a run leaves the regime undecided."""

import itertools

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn.dynamics import lyapunov, on_cycles, tangents
from neurornn.dynamics.maps import as_map

spectrum_of = nr.dynamics.lyapunov_spectrum


def stepped(flow, dt):
    """A step of Runge and Kutta's fourth order."""

    def step(h):
        a = flow(h)
        b = flow(h + dt / 2 * a)
        c = flow(h + dt / 2 * b)
        return h + dt / 6 * (a + 2 * b + 2 * c + flow(h + dt * c))

    return step


def van_der_pol(s):
    return np.stack([s[:, 1], (1 - s[:, 0] ** 2) * s[:, 1] - s[:, 0]], 1)


def uneven(rate):
    """A circle, gone round at the speed 1 + sin(angle) / 2, to which states come at a rate."""

    def flow(s):
        x, y = s.T
        r = np.maximum(np.hypot(x, y), 1e-9)
        speed, out = 1 + 0.5 * y / r, rate * (1 - r) / r
        return np.stack([out * x - speed * y, out * y + speed * x], 1)

    return flow


def near_the_circle(n=4, seed=0):
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)
    return 1.05 * np.stack([np.cos(angle), np.sin(angle)], 1)


@pytest.mark.slow
def test_a_curve_that_is_slowly_come_to_is_found_and_read():
    """Exponents 0 and -rate; a turn takes 2 pi / sqrt(1 - 1/4)."""
    rate, dt = 0.004, 0.1
    step = stepped(uneven(rate), dt)
    given = {"n_hidden": 2, "dt": dt, "starts": near_the_circle(2)}
    short = spectrum_of(step, n_steps=1024, **given)
    # The slow exponent is not told from 0 by so few turns.
    assert short.regime in ("undecided", "quasi-periodic") and short.settings["turn"] == 0
    found = spectrum_of(step, **given)
    assert found.regime == "limit cycle" and "along the curve, on which a turn takes 7.26 s" in (
        found.reason
    )
    turn = 2 * np.pi / np.sqrt(0.75)
    # Runge and Kutta's error is near dt^5 / 120 a step, relative 1e-6 over a turn.
    assert found.settings["turn"] == pytest.approx(turn, rel=1e-5)
    np.testing.assert_allclose(found.exponents, [0.0, -rate], atol=1e-6)
    low, high = found.parameters["exponent_ci"].values.T
    assert low[0] <= 0 <= high[0] and (high - low < 1e-6).all() and high[1] < 0
    assert found.kaplan_yorke_dimension == 1.0 and (found.status == "ok").all()
    assert found.settings["n_steps"] == 1024 and found.settings["n_first"] == 0
    assert "exponents were read from the Floquet multipliers" in found.report()
    assert "Floquet multipliers" in found.methods_text()


@pytest.mark.slow
def test_intervals_of_a_curve_hold_what_a_map_has_to_the_last_digit():
    """Turns of the plane, and in by a factor. With 10 steps a turn polynomials miss 1e-6 of it."""
    rate = 1e-4
    for turn, off in ((2 * np.pi / 10.3, 2e-6), (2 * np.pi / 16.18, 1e-8), (0.1, 2e-10)):

        def step(s, turn=turn):
            r, angle = np.hypot(*s.T), np.arctan2(s[:, 1], s[:, 0]) + turn
            r = 1 + np.exp(-rate) * (r - 1)
            return np.stack([r * np.cos(angle), r * np.sin(angle)], 1)

        found = spectrum_of(step, n_hidden=2, starts=near_the_circle(1))
        assert found.regime == "limit cycle"
        assert found.settings["turn"] == pytest.approx(2 * np.pi / turn, rel=1e-6)
        low, high = found.parameters["exponent_ci"].values.T
        assert ((low <= [0.0, -rate]) & ([0.0, -rate] <= high)).all()
        assert (high - low).max() / 2 < off, "wider than it need be"


@pytest.mark.slow
def test_one_exponent_is_enough_where_the_cycle_is_found():
    found = spectrum_of(stepped(van_der_pol, 0.05), n_hidden=2, dt=0.05, n_exponents=1)
    assert found.regime == "limit cycle" and found.kaplan_yorke_dimension == 1.0
    # The period for mu = 1 is 6.66328686 (Andersen & Geer 1982); a step of .05 misses 1e-6.
    assert found.settings["turn"] == pytest.approx(6.66328686, rel=1e-5)
    assert abs(float(found.exponents[0])) < 1e-8


@pytest.mark.slow
def test_curves_side_by_side_are_each_read():
    """Two circles, gone round at speeds 1 and 2, told apart by a third number."""

    def flow(s):
        x, y, z = s.T
        w = np.where(z > 0, 1.0, 2.0)
        out = 1 - x * x - y * y
        return np.stack([out * x - w * y, out * y + w * x, z - z**3], 1)

    found = spectrum_of(stepped(flow, 0.05), n_hidden=3, dt=0.05, n_exponents=1, rng=0)
    assert found.regime == "limit cycle"
    assert "along each of 2 curves, on which a turn takes up to 6.28 s" in found.reason
    np.testing.assert_allclose(found.parameters["trajectory_exponent"], 0.0, atol=1e-8)


def test_an_orbit_of_whole_steps_is_read_before_it_is_reached():
    """Seven steps a turn, each angle held; the radius comes in by e^-0.0002 a step."""
    rate, dt = 2e-4, 0.02

    def step(s):
        r, angle = np.hypot(*s.T), np.arctan2(s[:, 1], s[:, 0])
        angle = angle + 2 * np.pi / 7 - 0.05 * np.sin(7 * angle)
        r = 1 + np.exp(-rate) * (r - 1)
        return np.stack([r * np.cos(angle), r * np.sin(angle)], 1)

    given = {"n_hidden": 2, "dt": dt, "starts": 1.2 * near_the_circle()}
    short = spectrum_of(step, n_steps=1024, **given)
    assert short.regime == "undecided" and "has not settled" in short.reason
    found = spectrum_of(step, **given)
    assert found.regime == "limit cycle" and found.settings["period"] == 7
    assert found.settings["turn"] == 0 and found.kaplan_yorke_dimension == 0.0
    np.testing.assert_allclose(found.exponents, [-rate / dt, np.log(0.65) / dt], rtol=1e-6)


@pytest.mark.slow
def test_a_multiplier_that_is_lost_to_rounding_is_measured_instead():
    """e^{-20 T} of a third direction is no number; along the trajectory it is."""
    step = stepped(uneven(0.004), 0.05)

    def beside(s):
        return np.concatenate([step(s[:, :2]), np.exp(-20 * 0.05) * s[:, 2:]], 1)

    starts = np.concatenate([near_the_circle(2), np.ones((2, 1))], 1)
    found = spectrum_of(beside, n_hidden=3, dt=0.05, starts=starts)
    assert found.settings["read_on_cycles"]
    # Each of the first two to the error of the steps, the third to that of a mean of equal logs.
    np.testing.assert_allclose(found.exponents, [0.0, -0.004, -20.0], atol=1e-6)


@pytest.mark.slow
def test_what_creeps_runs_on_until_it_has_settled():
    found = spectrum_of(lambda h: 0.9995 * h, n_hidden=1, dt=0.01)
    assert found.regime == "fixed point" and found.settings["n_first"] == 1024
    assert found.settings["n_steps"] > 1024
    # What was measured first is part of the transient now.
    assert found.settings["n_transient"] == 512 + found.settings["n_steps"] - 1024
    assert float(found.exponents[0]) == pytest.approx(np.log(0.9995) / 0.01, rel=1e-9)
    assert "10.2 s left the regime undecided: trajectories ran on" in found.report()


@pytest.mark.slow
def test_weak_chaos_runs_on_until_a_push_has_grown_enough():
    """h' = 1.002 h modulo 1: e^{.002 n}, a hundredfold after 2305 steps."""

    def beta(h):
        return torch.remainder(1.002 * h, 1.0)

    starts = np.random.default_rng(0).uniform(0.1, 0.9, (10, 1))
    found = spectrum_of(beta, n_hidden=1, starts=starts)
    assert found.regime == "chaos" and found.settings["n_steps"] == 4096
    assert float(found.exponents[0]) == pytest.approx(np.log(1.002), rel=1e-9)
    kept = spectrum_of(beta, n_hidden=1, starts=starts, n_steps=1024)
    assert kept.regime == "undecided" and kept.settings["n_first"] == 0


@pytest.mark.slow
def test_what_falls_as_one_over_time_stays_within_its_interval(monkeypatch):
    """One block of Jordan: log(t) / t, which is 0 at last, however far it ran."""
    monkeypatch.setattr(lyapunov, "MOST_STEPS", 4096)
    model = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    found = spectrum_of(
        lambda h: h @ model.T + torch.tensor([1.0, 0.0], dtype=torch.float64), n_hidden=2,
        starts=[[0.0, 0.0]],
    )  # fmt: skip
    low, high = found.parameters["exponent_ci"].values.T
    assert (low <= 0).all() and (high >= 0).all() and found.settings["n_steps"] > 1024


@pytest.mark.slow
def test_there_is_an_end_to_it(monkeypatch):
    """Rest or chaos, by where it started: no run is long enough."""

    def both(h):
        inside = np.clip(h, 0, 1)
        return np.where(h < 0, 0.5 * h - 0.25, 4 * inside * (1 - inside))

    starts = np.concatenate([np.random.default_rng(0).uniform(0.1, 0.9, (3, 1)), -np.ones((1, 1))])
    monkeypatch.setattr(lyapunov, "MOST_STEPS", 4096)
    found = spectrum_of(both, n_hidden=1, starts=starts)
    assert found.regime == "undecided" and found.settings["n_steps"] == 4096
    # Nor does it begin where the time that it would take is over.
    clock = itertools.count(0, 1000)
    monkeypatch.setattr(lyapunov.time, "monotonic", lambda: next(clock))
    found = spectrum_of(both, n_hidden=1, starts=starts, max_seconds=60.0)
    assert found.regime == "undecided" and found.settings["n_steps"] == 1024
    clock = itertools.count(0, 1000)
    found = spectrum_of(both, n_hidden=1, starts=starts, max_seconds=None)
    assert found.settings["n_steps"] == 4096
    with pytest.raises(ValueError, match="max_seconds"):
        spectrum_of(both, n_hidden=1, starts=starts, max_seconds=-1.0)


def test_growth_without_end_and_inputs_that_end_do_not_run_on():
    grown = spectrum_of(lambda h: 1.01 * h, n_hidden=1)
    assert "grow without end" in grown.reason and grown.settings["n_steps"] == 1024
    model = nr.models.VanillaRNN(1, 3, 1, dt=0.01, rng=0)
    driven = spectrum_of(model, np.zeros((700, 1)))
    assert driven.settings["n_steps"] <= 188


def test_running_on_is_one_run():
    """Half a run, and on from there: what grows in a step is that of the whole run."""
    rng = np.random.default_rng(0)
    w = 2 * rng.standard_normal((5, 5))
    cell = as_map(lambda h: np.tanh(h @ w.T), n_hidden=5).cell
    begin, quiet = rng.standard_normal((3, 5)), lambda: None

    def run(n_steps, before=None):
        draw = np.random.default_rng(1)
        return tangents.follow(lambda _: cell, begin, 5, 64, n_steps, draw, quiet, before)

    whole, first = run(128), run(64)
    second = run(64, first)
    np.testing.assert_allclose(second.end, whole.end, atol=1e-12)
    half = whole.growth.reshape(3, 2, 16, 5).mean(axis=2)
    np.testing.assert_allclose(first.growth.mean(axis=1), half[:, 0], atol=1e-9)
    np.testing.assert_allclose(second.growth.mean(axis=1), half[:, 1], atol=1e-9)
    assert second.stayed.all() and second.directions.shape == (3, 5, 5)


@pytest.mark.slow
def test_large_networks_and_tori_are_not_read_on_cycles():
    def two(s):
        return np.concatenate([van_der_pol(s[:, :2]), 5**0.5 / 2 * van_der_pol(s[:, 2:])], 1)

    state_map = as_map(stepped(two, 0.1), n_hidden=4)
    begin = np.random.default_rng(0).standard_normal((2, 4))
    found = tangents.follow(
        lambda _: state_map.cell, begin, 1, 64, 64, np.random.default_rng(0), lambda: None
    )
    assert on_cycles.read_on_cycles(state_map, found, 1) is None
    large = as_map(lambda h: h, n_hidden=on_cycles.MOST_STATES + 1)
    assert on_cycles.read_on_cycles(large, found, 1) is None
