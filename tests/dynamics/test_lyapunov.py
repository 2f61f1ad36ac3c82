"""Lyapunov exponents: closed forms, known systems, intervals, regimes, inputs, safety."""

import copy
import warnings

import numpy as np
import pytest
import torch
from scipy import signal

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError
from neurornn.dynamics import block_means, lyapunov, motion, tangents
from neurornn.dynamics.maps import as_map

spectrum_of = nr.dynamics.lyapunov_spectrum


def henon(h):
    return np.stack([1 - 1.4 * h[:, 0] ** 2 + h[:, 1], 0.3 * h[:, 0]], 1)


def henon_starts(n=10, seed=0):
    return np.random.default_rng(seed).uniform(-0.1, 0.1, (n, 2))


def logistic(r):
    return lambda h: r * h * (1 - h)


def unit_starts(n=10, seed=0):
    return np.random.default_rng(seed).uniform(0.1, 0.9, (n, 1))


def stepped(flow, dt):
    """A step of Runge and Kutta's fourth order."""

    def step(h):
        a = flow(h)
        b = flow(h + dt / 2 * a)
        c = flow(h + dt / 2 * b)
        return h + dt / 6 * (a + 2 * b + 2 * c + flow(h + dt * c))

    return step


def lorenz(s):
    x, y, z = s.T
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], 1)


def van_der_pol(s):
    return np.stack([s[:, 1], (1 - s[:, 0] ** 2) * s[:, 1] - s[:, 0]], 1)


def two_clocks(s):
    """Two of them, of which the second runs faster by the golden ratio."""
    return np.concatenate([van_der_pol(s[:, :2]), (1 + 5**0.5) / 2 * van_der_pol(s[:, 2:])], 1)


def lorenz_starts(n=10, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 3)) * 5 + [0, 0, 25]


def linear(matrix):
    matrix = np.asarray(matrix, dtype=float)
    return lambda h: h @ matrix.T


def turning(angle, r=1.0):
    c, s = np.cos(angle), np.sin(angle)
    return linear(r * np.array([[c, -s], [s, c]]))


def network(weights, dt=0.1, bias=0.0, **more):
    """tau h' = -h + W tanh(h) + u with tau = 1 s, in steps of Euler."""
    n = len(weights)
    model = nr.models.LeakyRNN(
        1, n, 1, dt=dt, tau=10 * dt, form="current", step="euler", nonlinearity="tanh",
        self_connections=True, tau_bounds=(dt, 100 * dt), **more,
    )  # fmt: skip
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.as_tensor(weights))
        model.bias.fill_(bias)
        model.input_weight.copy_(torch.linspace(0.5, 1.0, n)[:, None])
    return model


def random_weights(n, g, seed=0):
    return g * np.random.default_rng(seed).standard_normal((n, n)) / np.sqrt(n)


def bounds(spectrum):
    return np.moveaxis(spectrum.parameters["exponent_ci"].values, -1, 0)


def holds(spectrum, truth):
    low, high = bounds(spectrum)
    return (low <= truth) & (truth <= high)


# --- closed forms ---


def test_a_linear_map_has_the_logs_of_its_eigenvalues():
    matrix = np.array([[0.5, 0.3, 0.0], [0.0, 0.2, 0.4], [0.0, 0.0, -0.05]])
    found = spectrum_of(linear(matrix), n_hidden=3, dt=0.1)
    # Differences of a linear function are exact up to rounding over the nudge, 1e-13.
    np.testing.assert_allclose(found.exponents, np.log([0.5, 0.2, 0.05]) / 0.1, rtol=1e-10)
    assert holds(found, np.log([0.5, 0.2, 0.05]) / 0.1).all()
    assert found.regime == "fixed point" and found.kaplan_yorke_dimension == 0.0


@pytest.mark.parametrize(("g", "n"), [(0.7, 40), (0.9, 60)])
def test_the_exponents_at_rest_are_those_of_the_jacobian_there(g, n):
    model = network(random_weights(n, g))
    w = model.weights().detach().double().numpy()
    truth = np.log(np.abs(np.linalg.eigvals(0.9 * np.eye(n) + 0.1 * w))) / 0.1
    found = spectrum_of(model, n_steps=64, n_transient=1500)
    np.testing.assert_allclose(found.exponents, np.sort(truth)[::-1], rtol=1e-9)
    assert found.regime == "fixed point" and found.settings["period"] == 1


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_intervals_hold_exponents_whose_directions_are_still_turning(seed, monkeypatch):
    """Sixty exponents so near one another that 50 s are too few to tell them apart."""
    monkeypatch.setattr(lyapunov, "read_at_rest", lambda *a: None)
    rest = lyapunov.periods_and_pace
    monkeypatch.setattr(lyapunov, "periods_and_pace", lambda *a: (0 * rest(*a)[0], 0.0))
    model = network(random_weights(60, 0.9, seed))
    w = model.weights().detach().double().numpy()
    truth = np.sort(np.log(np.abs(np.linalg.eigvals(0.9 * np.eye(60) + 0.1 * w))) / 0.1)[::-1]
    found = spectrum_of(model, rng=seed)
    # A share of 95 % of 60, less the 2.5 that two sd of it are.
    assert holds(found, truth).mean() >= 0.9
    # Largest first, whatever order they came in.
    assert (np.diff(found.exponents) <= 0).all()
    low, high = bounds(found)
    # And they say something: no wider than 3 over the time of a trajectory, 102 s.
    assert np.median(high - low) < 3 / 102


def test_the_logistic_map_at_4_has_the_exponent_log_2():
    found = spectrum_of(logistic(4.0), n_hidden=1, starts=unit_starts())
    # Block means of log|4 - 8 x| telescope: a thousandth is what ten runs of 1024 steps leave.
    assert float(found.exponents[0]) == pytest.approx(np.log(2), abs=3e-3)
    assert holds(found, np.log(2)).all() and found.regime == "chaos"
    assert found.kaplan_yorke_dimension == 1.0


def test_an_orbit_of_two_states_has_the_product_of_its_slopes():
    r = 3.2
    found = spectrum_of(logistic(r), n_hidden=1, starts=unit_starts())
    # f'(a) f'(b) = 4 + 2 r - r^2 of the orbit of period 2.
    assert float(found.exponents[0]) == pytest.approx(np.log(4 + 2 * r - r * r) / 2, abs=1e-9)
    assert (found.regime, found.settings["period"]) == ("limit cycle", 2)
    assert found.reason == "the state comes back after 2 steps"
    assert found.kaplan_yorke_dimension == 0.0


def test_a_rotation_has_exponents_of_0():
    found = spectrum_of(turning(0.3), n_hidden=2, dt=0.5)
    # Lengths stay as they are up to rounding.
    np.testing.assert_allclose(found.exponents, 0.0, atol=1e-12)
    assert found.regime == "quasi-periodic" and found.kaplan_yorke_dimension == 2.0
    quarter = spectrum_of(turning(np.pi / 2), n_hidden=2)
    assert (quarter.regime, quarter.settings["period"]) == ("limit cycle", 4)
    assert "with an exponent of 0" in quarter.reason


def test_the_cat_map_grows_and_shrinks_by_the_golden_ratio():
    def cat(h):
        return torch.remainder(h @ torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=h.dtype), 1.0)

    starts = np.random.default_rng(0).random((6, 2))
    found = spectrum_of(cat, n_hidden=2, starts=starts, dt=0.01)
    golden = 2 * np.log((1 + np.sqrt(5)) / 2) / 0.01
    # The Jacobian is the same everywhere: directions are in place after some twenty steps.
    np.testing.assert_allclose(found.exponents, [golden, -golden], rtol=1e-12)
    assert found.regime == "chaos" and found.kaplan_yorke_dimension == pytest.approx(2.0)


def test_the_volume_of_the_henon_map_shrinks_by_exactly_its_determinant():
    found = spectrum_of(henon, n_hidden=2, starts=henon_starts())
    # Jacobians by differences are good to 1e-12, and their logs add up.
    assert float(found.exponents.sum()) == pytest.approx(np.log(0.3), abs=1e-10)
    # Literature .41922; .004 is the sd of a run of ten times 1024 steps.
    assert float(found.exponents[0]) == pytest.approx(0.41922, abs=0.016)
    assert found.regime == "chaos"
    assert found.reason.startswith("neighbours part by a factor e in 2.4")


def test_the_dimension_follows_from_the_exponents():
    found = spectrum_of(henon, n_hidden=2, starts=henon_starts())
    one, two = found.exponents.values
    assert found.kaplan_yorke_dimension == pytest.approx(1 + one / -two, rel=1e-12)
    # Of 1 + a / (c + a), c = -ln .3, the derivative in a is c / (c + a)^2.
    low, high = bounds(found)
    slope = -np.log(0.3) / two**2
    width = np.ptp(found.parameters["kaplan_yorke_dimension_ci"].values)
    assert width == pytest.approx(slope * (high - low)[0], rel=0.02)


def test_lorenz_in_seconds():
    found = spectrum_of(
        stepped(lorenz, 0.01), n_hidden=3, dt=0.01, n_steps=2048, starts=lorenz_starts()
    )
    # The divergence of the flow is -(10 + 1 + 8/3) everywhere; a step errs by dt^4 of it.
    assert float(found.exponents.sum()) == pytest.approx(-(11 + 8 / 3), abs=1e-3)
    # Literature .9056, 0, -14.5723 1/s; the sd of a run of ten times 20 s is .03.
    np.testing.assert_allclose(found.exponents, [0.9056, 0.0, -14.5723], atol=0.12)
    assert holds(found, [0.9056, 0.0, -14.5723]).all()
    assert found.regime == "chaos" and found.exponents.attrs["units"] == "1/s"
    # Of 2 + (l1 + l2) / |l3|, 2.062.
    assert found.kaplan_yorke_dimension == pytest.approx(2.062, abs=0.01)


@pytest.mark.slow
def test_a_clock_is_a_limit_cycle():
    found = spectrum_of(stepped(van_der_pol, 0.05), n_hidden=2, dt=0.05)
    assert found.regime == "limit cycle" and found.settings["period"] == 0
    assert found.reason == "one exponent is 0, along the curve, and the state moves on"
    assert found.kaplan_yorke_dimension == 1.0
    # The second is the mean divergence 1 - x^2 over the cycle, here from one long run.
    x, step, total = np.array([[2.0, 0.0]]), stepped(van_der_pol, 0.05), []
    for k in range(8000):
        x = step(x)
        total += [1 - x[0, 0] ** 2] if k >= 2000 else []
    assert holds(found, [0.0, np.mean(total)]).all()


@pytest.mark.slow
def test_two_clocks_are_quasi_periodic():
    found = spectrum_of(stepped(two_clocks, 0.05), n_hidden=4, dt=0.05, n_trajectories=4)
    assert found.regime == "quasi-periodic" and found.kaplan_yorke_dimension == 2.0
    assert found.reason == "2 exponents are 0 and the state moves on"


# --- intervals ---


@pytest.mark.parametrize(("memory", "n"), [(0.0, 10), (0.7, 10), (0.95, 10), (0.9, 1)])
def test_blocks_that_remember_are_merged(memory, n):
    """Means of correlated series; a share of 95 % of 400 has an sd of 1.1 %."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        x = np.sqrt(1 - memory**2) * rng.standard_normal((n, 32 * (1 if n > 1 else 32)))
        x[:, 0] /= np.sqrt(1 - memory**2)
        x = signal.lfilter([1.0], [1.0, -memory], x)
        (low, high), _ = block_means.interval(x.reshape(n, 32, -1).mean(2), 0.95, 1.0)
        hits += low <= 0 <= high
    assert hits / 400 >= 0.91


def test_what_telescopes_is_as_exact_as_it_is():
    """Sums that only their ends add to: errors of 1/T, far less than what blocks would say."""
    rng = np.random.default_rng(0)
    ends = rng.standard_normal((10, 33))
    rows = np.diff(ends, axis=1)
    merged, factor = block_means.uncorrelated(rows)
    assert merged.shape[1] < 8 and factor == 1.0
    assert merged.std() / np.sqrt(merged.size) < rows.std() / np.sqrt(rows.size) / 2


def test_a_drift_widens_the_interval_and_is_told():
    rows = 0.3 + 0.01 * np.random.default_rng(0).standard_normal((10, 32))
    (low, high), drift = block_means.interval(rows, 0.95, 1.0)
    assert drift == 0 and high - low < 0.01
    # A transient that falls as 1 / t leaves .2 in the mean of what would be .3.
    t = np.arange(1, 33)
    (low, high), drift = block_means.interval(rows + 1.6 / t, 0.95, 1.0)
    assert low <= 0.3 <= high and drift > 0.1


def test_blocks_that_cannot_be_merged_further_are_allowed_for():
    rows = np.linspace(0, 1, 8)[None]
    merged, factor = block_means.uncorrelated(rows)
    # By hand: sums of neighbours' products over those of squares, 8/7 of it, is 5/7 here.
    away = rows[0] - 0.5
    r = (away[1:] @ away[:-1]) / (away @ away) * 8 / 7
    assert merged.shape == (1, 8) and factor == pytest.approx((1 + r) / (1 - r)) and factor > 2


def test_a_direction_that_grows_slowly_at_last_is_called_not_converged():
    """h' = J h with one block of Jordan: log(t) / t, which is 0 at last."""
    model = linear([[1.0, 1.0], [0.0, 1.0]])
    run = spectrum_of(
        lambda h: model(h) + [1.0, 0.0], n_hidden=2, starts=[[0.0, 0.0]], n_steps=1024
    )
    assert holds(run, 0.0).all()
    assert (run.status == "not_converged").any()
    assert "not_converged: The exponent still drifts" in run.report()


def test_a_level_moves_bounds_and_no_value():
    a, b = (
        spectrum_of(henon, n_hidden=2, starts=henon_starts(), confidence_level=level)
        for level in (0.8, 0.95)
    )
    assert a.exponents.equals(b.exponents)
    (al, ah), (bl, bh) = bounds(a), bounds(b)
    assert (bl < al).all() and (ah < bh).all()
    assert (al < a.exponents.values).all() and (a.exponents.values < ah).all()


@pytest.mark.slow
def test_intervals_hold_the_truth_in_forty_runs():
    """Nominal 95 %: at least 36 of 40, which a share of 95 % fails once in 30 times."""
    systems = [
        (henon, 2, henon_starts, [0.41922, np.log(0.3) - 0.41922], {}),
        (stepped(lorenz, 0.01), 3, lorenz_starts, [0.9056, 0.0, -14.5723],
         {"dt": 0.01, "n_steps": 2048}),
    ]  # fmt: skip
    for step, n, starts, truth, more in systems:
        hits = sum(
            holds(spectrum_of(step, n_hidden=n, starts=starts(seed=k), rng=k, **more), truth)
            for k in range(40)
        )
        assert (hits >= 36).all()


def test_how_often_directions_are_made_orthogonal_moves_nothing(monkeypatch):
    model = network(random_weights(12, 3.0))
    often = spectrum_of(model, n_steps=256)
    monkeypatch.setattr(tangents, "_USUAL", 0.0)
    always = spectrum_of(model, n_steps=256)
    # Of 16 digits 10 are left where lengths differ by 1e6; chaos does not touch the states.
    np.testing.assert_allclose(often.exponents, always.exponents, atol=1e-7)


def test_what_goes_too_far_between_two_is_done_again(monkeypatch):
    """A map that is mild for long and then maps a direction to a tenth of a thousandth, twice."""
    small = np.where(np.arange(600) % 37 < 2, 1e-7, 0.9)
    count = iter(range(10**6))

    class Cell:
        n_state = 2

        def __init__(self, k):
            self.k = k

        def step(self, h):
            return h

        def step_and_jacobian(self, h):
            next(count)
            return h, np.broadcast_to(np.diag([1.0, small[self.k]]), (len(h), 2, 2))

    run = tangents.follow(
        Cell, np.ones((3, 2)), 2, 64, 512, np.random.default_rng(0), lambda: None
    )
    wanted = np.log(small[64:576]).mean()
    np.testing.assert_allclose(run.growth[:, :, 1].mean(1), wanted, rtol=1e-9)
    # Mild stretches were taken several steps at a time, and those that failed were done again.
    assert next(count) > 32 + 512


# --- clocks, units, inputs ---


@pytest.mark.slow
def test_a_clock_scales_exponents_and_dimensions_stay():
    fast, slow, none = (
        spectrum_of(henon, n_hidden=2, starts=henon_starts(), dt=dt) for dt in (0.01, 0.02, None)
    )
    for name in ("exponent", "exponent_ci", "trajectory_exponent"):
        a, b, c = (s.parameters[name].values for s in (fast, slow, none))
        np.testing.assert_allclose(a, 2 * b, rtol=1e-9)
        np.testing.assert_allclose(0.01 * a, c, rtol=1e-9)
    assert fast.kaplan_yorke_dimension == pytest.approx(none.kaplan_yorke_dimension)
    assert [s.exponents.attrs["units"] for s in (fast, none)] == ["1/s", "1"]
    assert {s.regime for s in (fast, slow, none)} == {"chaos"}
    assert "part by a factor e in 0.0242 s" in fast.report()
    assert "part by a factor e in 2.42 steps" in none.report()


def test_the_unit_is_that_of_the_model():
    model = nr.models.GRU(0, 3, 1, dt=1.0, time_unit="bp", rng=0)
    assert spectrum_of(model).exponents.attrs["units"] == "1/bp"
    layer = torch.nn.GRU(2, 3)
    plain, clocked = spectrum_of(layer), spectrum_of(layer, dt=0.5)
    assert plain.exponents.attrs["units"] == "1" and "steps" in plain.report()
    np.testing.assert_allclose(2 * plain.exponents.values, clocked.exponents.values)


def test_units_in_another_order_have_the_same_exponents():
    w = random_weights(10, 2.0, seed=3)
    order = np.random.default_rng(1).permutation(10)
    starts = np.random.default_rng(2).standard_normal((10, 10))
    a = spectrum_of(network(w), [0.0], n_steps=2048, starts=starts)
    b = spectrum_of(network(w[np.ix_(order, order)]), n_steps=2048, starts=starts[:, order])
    # Other directions are drawn: the same up to both intervals.
    (al, ah), (bl, bh) = bounds(a), bounds(b)
    assert ((al <= bh) & (bl <= ah)).all() and a.regime == b.regime


def driven_by_hand(w, series, first):
    """Mean log of the slope of one unit along its own path."""
    h, logs = 0.3, []
    for k, u in enumerate(series):
        if k >= first:
            logs.append(np.log(abs(0.9 + 0.1 * w * (1 - np.tanh(h) ** 2))))
        h = h + 0.1 * (w * np.tanh(h) + 0.5 * u - h)
    return np.mean(logs) / 0.1


def test_a_series_is_read_row_by_row_after_the_transient():
    series = np.random.default_rng(0).standard_normal((1000, 1)) + np.linspace(0, 4, 1000)[:, None]
    model = network([[1.5]])
    found = spectrum_of(model, series, n_transient=300, n_steps=640, starts=[[0.3]])
    assert found.settings["n_steps"] == 640 and found.settings["n_transient"] == 300
    # Weights are float32.
    wanted = driven_by_hand(1.5, series[:940, 0], 300)
    assert float(found.exponents[0]) == pytest.approx(wanted, rel=1e-6)
    assert found.regime == "driven: stable"
    assert "under a series of inputs" in found.report()
    # Without n_steps it is read to its end: 700 steps, of which 32 blocks take 672.
    whole = spectrum_of(model, series, n_transient=300, starts=[[0.3]])
    assert (whole.settings["n_transient"], whole.settings["n_steps"]) == (328, 672)
    wanted = driven_by_hand(1.5, series[:, 0], 328)
    assert float(whole.exponents[0]) == pytest.approx(wanted, rel=1e-6)


def test_trajectories_under_one_series_count_as_one():
    """They meet, and a hundred of them know no more than one."""
    series = np.random.default_rng(0).standard_normal((1600, 1))
    model = network([[0.8]])
    # At so high a level scatter, not drift, decides.
    few, many = (
        spectrum_of(model, series, n_trajectories=n, confidence_level=0.9999) for n in (1, 40)
    )
    few, many = (np.subtract(*bounds(s)[::-1])[0] for s in (few, many))
    # If they counted, the interval were narrower by the root of 40; they meet to seven digits.
    assert many == pytest.approx(few, rel=1e-4)


def test_a_strong_input_quiets_a_chaotic_network():
    model = network(random_weights(60, 6.0, seed=2))
    starts = np.random.default_rng(0).standard_normal((6, 60))
    free = spectrum_of(model, n_exponents=3, starts=starts)
    assert free.regime == "chaos"
    rng = np.random.default_rng(1)
    weak, strong = (
        spectrum_of(model, a * rng.standard_normal((1500, 1)), n_exponents=3, starts=starts)
        for a in (0.01, 30.0)
    )
    assert weak.regime == "driven: chaotic" and strong.regime == "driven: stable"
    # Fewer exponents than the dimension: it does not follow.
    assert np.isnan(weak.kaplan_yorke_dimension)
    assert "the sum of those computed is not yet negative" in weak.report()


def test_a_constant_series_is_a_constant_input():
    model = network(random_weights(6, 0.9), bias=0.2)
    held = spectrum_of(model, [0.7], n_trajectories=3)
    series = spectrum_of(model, np.full((1536, 1), 0.7), n_trajectories=3)
    assert "under a constant input" in held.report() and held.settings["inputs"] == [0.7]
    # The one reads eigenvalues at rest, the other follows directions that turn into place.
    assert holds(series, held.exponents.values).all()
    without = spectrum_of(model, n_trajectories=3)
    assert not np.allclose(without.exponents, held.exponents)


def test_labelled_and_torch_series_are_the_same():
    series = np.random.default_rng(0).standard_normal((700, 1))
    model = network(random_weights(3, 0.9))
    import xarray as xr

    labelled = xr.DataArray(series.T, dims=("input", "time"))
    made = [spectrum_of(model, x).exponents for x in (series, labelled, torch.tensor(series))]
    assert made[0].equals(made[1]) and made[0].equals(made[2])


# --- regimes that are not told ---


def test_an_unstable_point_is_told_from_what_is_stable():
    found = spectrum_of(lambda h: np.tanh(2 * h), n_hidden=1, starts=[[0.0]])
    assert float(found.exponents[0]) == pytest.approx(np.log(2), abs=1e-9)
    assert found.regime == "fixed point" and "start elsewhere" in found.reason


@pytest.mark.slow
def test_two_attractors_are_told():
    """h < 0 comes to rest at -1/2 or moves round; a map of two parts."""

    def both(h):
        return np.where(h < 0, 0.5 * h - 0.25, logistic(4.0)(np.clip(h, 0, 1)))

    starts = np.concatenate([unit_starts(5), -unit_starts(5)])
    found = spectrum_of(both, n_hidden=1, starts=starts)
    assert found.regime == "undecided"
    assert "do not agree, with leading exponents from -0.693 to 0." in found.reason
    assert "a step: several attractors" in found.reason
    mixed = spectrum_of(
        lambda h: np.where(h < 0, 0.5 * h - 0.25, logistic(3.2)(h)), n_hidden=1, starts=starts
    )
    assert mixed.regime == "undecided"
    assert mixed.reason.startswith("5 of 10 trajectories come to rest and the others move")
    assert np.isnan(mixed.kaplan_yorke_dimension)


def test_points_with_other_exponents_are_fixed_points():
    """Two wells of unlike steepness; the mean is over where the trajectories went."""
    found = spectrum_of(
        lambda h: np.where(h < 0, 0.5 * h - 0.25, 0.2 * h + 0.4), n_hidden=1,
        starts=[[-1.0], [-2.0], [-3.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0]],
    )  # fmt: skip
    assert found.regime == "fixed point"
    wanted = [np.log(0.5)] * 3 + [np.log(0.2)] * 6
    got = found.parameters["trajectory_exponent"].values[:, 0]
    np.testing.assert_allclose(np.sort(got)[::-1], wanted, rtol=1e-9)
    assert found.reason == "the state comes to rest"
    assert float(found.exponents[0]) == pytest.approx(np.mean(wanted), rel=1e-9)


def test_growth_without_end_is_no_chaos():
    found = spectrum_of(lambda h: 1.01 * h, n_hidden=1)
    assert float(found.exponents[0]) == pytest.approx(np.log(1.01), rel=1e-9)
    assert found.regime == "undecided" and "grow without end" in found.reason


def test_one_exponent_does_not_tell_a_curve_from_a_torus():
    step = stepped(van_der_pol, 0.05)
    found = spectrum_of(step, n_hidden=2, dt=0.05, n_exponents=1, n_steps=1024)
    assert found.regime == "undecided" and "pass n_exponents=2" in found.reason


def test_what_still_creeps_has_not_settled():
    found = spectrum_of(lambda h: 0.9995 * h, n_hidden=1, n_steps=1024)
    # Half of the way is left after 1536 steps, however short a step is.
    assert found.regime == "undecided" and "has not settled" in found.reason


def test_an_exponent_is_0_only_where_others_are_not_nearly_so():
    ci = np.array([[-0.01, 0.01], [-0.6, -0.3]])
    assert motion.are_zero(ci, 1.0).tolist() == [True, False]
    assert not motion.are_zero(ci, 0.1).any()
    assert not motion.are_zero(ci / [[1.0], [10.0]], 1.0).any()


def test_what_has_not_grown_a_hundredfold_is_not_yet_chaos():
    """h' = 1.02 h modulo 1: a push grows by e^{.0198} a step."""

    def beta(h):
        return torch.remainder(1.02 * h, 1.0)

    short, long = (
        spectrum_of(beta, n_hidden=1, starts=unit_starts(), n_steps=n) for n in (64, 1024)
    )
    assert short.regime == "undecided" and long.regime == "chaos"
    np.testing.assert_allclose([short.exponents[0], long.exponents[0]], np.log(1.02), rtol=1e-9)


def test_exponents_that_crowd_around_0_decide_nothing():
    found = spectrum_of(linear(np.diag([0.9999, 1.0, 0.9998])), n_hidden=3, n_steps=64)
    assert found.regime in ("fixed point", "undecided")
    slow = spectrum_of(
        lambda h: turning(0.5, 0.999)(h), n_hidden=2, n_steps=64, n_transient=0, n_trajectories=3
    )
    assert slow.regime == "undecided" and "has not settled" in slow.reason


def test_chaos_too_weak_for_so_short_a_run_is_undecided():
    found = spectrum_of(
        stepped(lorenz, 0.01), n_hidden=3, dt=0.01, n_steps=192, starts=lorenz_starts()
    )
    # e^{.9 * 1.92 s}, sixfold, is no hundredfold.
    assert found.regime == "undecided" and "Raise n_steps" in found.reason


def test_a_direction_that_is_lost_is_minus_infinity():
    found = spectrum_of(linear([[0.5, 0.0], [0.0, 0.0]]), n_hidden=2)
    assert found.exponents.values.tolist() == [pytest.approx(np.log(0.5)), -np.inf]
    assert np.isnan(bounds(found)[0][1]) and "the step is singular" in found.report()
    moving = spectrum_of(
        lambda h: np.stack([4 * h[:, 0] * (1 - h[:, 0]), 0 * h[:, 1] + 0.1], 1), n_hidden=2,
        starts=np.hstack([unit_starts(), unit_starts()]),
    )  # fmt: skip
    assert float(moving.exponents[1]) == -np.inf and moving.regime == "chaos"
    assert moving.kaplan_yorke_dimension == 1.0


# --- what goes wrong ---


def test_trajectories_that_leave_are_counted_and_left_out():
    starts = np.concatenate([henon_starts(6), [[5.0, 5.0], [9.0, 0.0]]])
    with pytest.warns(ConvergenceWarning, match="2 of 8 trajectories diverged; the spectrum is"):
        found = spectrum_of(henon, n_hidden=2, starts=starts)
    t = found.parameters
    assert t["trajectory_status"].values.tolist().count("diverged") == 2
    gone = t["trajectory_status"].values == "diverged"
    assert np.isnan(t["trajectory_exponent"].values[gone]).all()
    kept = t["trajectory_exponent"].values[~gone]
    np.testing.assert_allclose(kept.mean(axis=0), found.exponents, rtol=1e-12)
    assert "2 of 8 trajectories diverged. The state left all bounds." in found.report()
    assert found.settings["n_diverged"] == 2 and found.regime == "chaos"


def test_all_of_them_leaving_is_an_error():
    with pytest.raises(DataError, match=r"All 10 trajectories left all bounds.*Pass starts="):
        spectrum_of(lambda h: 2 * h, n_hidden=2)
    with pytest.raises(DataError, match="All 2 trajectories left all bounds"):
        spectrum_of(lambda h: h + np.nan, n_hidden=1, starts=[[0.0], [1.0]])
    late = iter([1.0] * 700 + [np.inf] * 9999)
    with pytest.raises(DataError, match="All 10 trajectories"):
        spectrum_of(lambda h: 0.5 * h * next(late), n_hidden=1)


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: spectrum_of(np.zeros(3)), KindError, "model is a ndarray"),
        (lambda: spectrum_of(henon), KindError, "A function came without n_hidden"),
        (lambda: spectrum_of(henon, [0.0], n_hidden=2), KindError, "inputs came with a function"),
        (
            lambda: spectrum_of(henon, n_hidden=2, n_exponents=3),
            ShapeError, "n_exponents is 3. At most 2 was needed",
        ),
        (lambda: spectrum_of(henon, n_hidden=2, n_exponents=0), DataError, "n_exponents is 0"),
        (lambda: spectrum_of(henon, n_hidden=2, n_steps=63), DataError, "n_steps is 63"),
        (lambda: spectrum_of(henon, n_hidden=2, n_transient=-1), DataError, "n_transient is -1"),
        (lambda: spectrum_of(henon, n_hidden=2, confidence_level=95), DataError, "confidence"),
        (
            lambda: spectrum_of(henon, n_hidden=2, starts=np.zeros((2, 3))),
            ShapeError, r"starts has shape \(2, 3\)",
        ),
        (
            lambda: spectrum_of(network(np.eye(2)), [0.0, 1.0]),
            ShapeError, r"inputs has shape \(2,\). One value for each of the 1 inputs",
        ),
        (
            lambda: spectrum_of(network(np.eye(2)), np.zeros((900, 2))),
            ShapeError, r"inputs has shape \(900, 2\)",
        ),
        (
            lambda: spectrum_of(network(np.eye(2)), np.zeros((3, 900, 1))),
            ShapeError, "a single trial",
        ),
        (
            lambda: spectrum_of(network(np.eye(2)), np.full((900, 1), np.nan)),
            DataError, "inputs holds 900 NaN",
        ),
        (
            lambda: spectrum_of(network(np.eye(2)), np.zeros((575, 1))),
            DataError, "inputs has 575 steps. n_transient=512 and at least 64 more were needed",
        ),
        (
            lambda: spectrum_of(network(np.eye(2)), np.zeros((900, 1)), n_steps=500),
            DataError, "n_steps=500 were needed; a series is not repeated",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(call, error, told):
    with pytest.raises(error, match=told):
        call()


def test_weights_that_are_not_finite_are_refused():
    model = network(np.eye(2))
    with torch.no_grad():
        model.bias[0] = float("nan")
    with pytest.raises(DataError, match="The weight bias is not finite"):
        spectrum_of(model)


# --- a result like others ---


@pytest.mark.parametrize("series", [None, np.zeros((600, 2))])
def test_the_model_is_left_as_it_was(series):
    model = nr.models.LinearStateSpace(2, 4, 1, dt=0.01, rng=1).train()
    next(model.parameters()).requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    grads = [p.requires_grad for p in model.parameters()]
    state = torch.get_rng_state()
    given = None if series is None else series.copy()
    spectrum_of(model, series, n_steps=64, n_transient=64)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == grads and model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert series is None or np.array_equal(series, given)


def test_starts_are_not_changed_and_equal_ones_count_once():
    starts = np.concatenate([henon_starts(4), henon_starts(4)])
    before = starts.copy()
    found = spectrum_of(henon, n_hidden=2, starts=starts)
    assert np.array_equal(starts, before) and found.settings["n_trajectories"] == 4
    assert found.parameters.sizes["trajectory"] == 4


def test_the_same_seed_gives_the_same_numbers():
    a, b, c = (spectrum_of(network(random_weights(8, 8.0)), rng=k) for k in (3, 3, 4))
    assert a.parameters.identical(b.parameters)
    assert not a.parameters.identical(c.parameters)


def test_progress_is_told_to_the_end():
    seen = []
    spectrum_of(henon, n_hidden=2, starts=henon_starts(), progress=lambda *x: seen.append(x))
    assert seen == [(k, 34) for k in range(1, 35)]


def test_the_table_is_saved_and_read(tmp_path):
    found = spectrum_of(henon, n_hidden=2, starts=henon_starts())
    found.save(tmp_path / "spectrum")
    again = nr.load(tmp_path / "spectrum")
    assert again.parameters.identical(found.parameters) and again.regime == "chaos"
    assert again.report() == found.report() and again.reason == found.reason
    assert again.to_dataset().attrs["regime"] == "chaos"
    text = found.methods_text()
    for name in ("Benettin", "Geist", "Engelken", "Kaplan & Yorke", "Flyvbjerg"):
        assert name in text
    assert "along 10 trajectories of 1024 steps each, after 512 steps that were left out" in text
    first, last = (f"{v:.3g}" for v in found.exponents.values)
    assert repr(found) == (
        f"LyapunovSpectrum(chaos, 2 exponents from {first} to {last}, dimension "
        f"{found.kaplan_yorke_dimension:.3g})"
    )


def test_the_report_tells_the_numbers_of_the_table():
    found = spectrum_of(
        stepped(van_der_pol, 0.05), n_hidden=2, dt=0.05, n_transient=400, confidence_level=0.8
    )
    lines = found.report().splitlines()
    assert lines[0] == "Lyapunov spectrum"
    assert lines[1] == f"limit cycle: {found.reason}"
    assert lines[2] == (
        "step (2 states; a step is 0.0500 s), without input; 10 trajectories of 51.2 s after "
        "20.0 s; intervals 80 %"
    )
    rows = [line.split() for line in lines if line[:1].isdigit()]
    assert len(rows) == 2
    for k, row in enumerate(rows):
        value, low, high = (float(x.strip("[],")) for x in row[1:4])
        assert row[0] == str(k + 1) and row[4] == "ok"
        # Three digits are printed.
        told = [float(found.exponents[k]), *found.parameters["exponent_ci"].values[k]]
        np.testing.assert_allclose([value, low, high], told, rtol=5.1e-3)
    assert f"kaplan_yorke_dimension: {found.kaplan_yorke_dimension:.2f}" in found.report()


def test_a_fit_and_its_model_have_the_same_spectrum():
    win = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nr.fit(nr.models.LeakyRNN(16, 4, 2, dt=0.01, tau=0.1), win, max_epochs=1)
    a, b = (spectrum_of(x, n_steps=64) for x in (result, result.model))
    assert a.parameters.identical(b.parameters)


def test_a_map_is_followed_from_its_own_starts():
    state_map = as_map(network(random_weights(5, 0.5)))
    seen = []
    begin = np.random.default_rng(0).standard_normal((4, 5))

    def cell_at(step):
        seen.append(step)
        return state_map.cell

    run = tangents.follow(cell_at, begin, 2, 40, 64, np.random.default_rng(0), lambda: None)
    # Steps in their order, each at least once, the transient first.
    assert sorted(set(seen)) == list(range(104)) and run.stayed.all()
    h = begin
    for _ in range(104):
        h = state_map.cell.step(h)
    np.testing.assert_allclose(run.end, h, atol=1e-14)
