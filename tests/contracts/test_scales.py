"""Intervals on the scale they were formed on, and levels that reach what is made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import neurornn as nr
from neurornn._core.confidence import Estimate, delta_interval, to_dataset
from tests.contracts.results import LEVEL, OTHER_LEVEL, result_of

sizes = st.floats(1e-3, 1e3)
levels = st.floats(0.5, 0.99)


def reach(level):
    """Two-sided quantile of the normal, from scipy's own interval."""
    return stats.norm.interval(level)[1]


@given(sizes, st.floats(1e-3, 2.0), levels)
def test_on_the_log_scale_the_relative_error_is_what_spans_an_interval(value, share, level):
    low, high = delta_interval(value, share * value, level, log=True)
    expected = np.exp(np.log(value) + reach(level) * share * np.array([-1, 1]))
    # The same formula, summed in another order.
    assert (low, high) == pytest.approx(tuple(expected), rel=1e-9)


@given(sizes, st.floats(1e-3, 2.0), levels)
def test_on_the_plain_scale_the_error_itself_is(value, error, level):
    low, high = delta_interval(value, error, level)
    slack = 1e-9 * (value + error)
    assert (low + high) / 2 == pytest.approx(value, abs=slack)
    assert (high - low) / 2 == pytest.approx(reach(level) * error, abs=slack)


@given(sizes, st.floats(1e-3, 2.0), sizes, st.booleans())
def test_another_unit_is_a_factor_on_all_of_it(value, share, factor, log):
    one = delta_interval(value, share * value, log=log)
    other = delta_interval(factor * value, factor * share * value, log=log)
    assert other == pytest.approx(factor * one, rel=1e-9)


def test_degrees_of_freedom_take_students_law():
    low, high = delta_interval(2.0, 0.1, 0.9, dof=7)
    assert (low, high) == pytest.approx(stats.t.interval(0.9, 7, loc=2.0, scale=0.1))


def twin_of(tau, low, high):
    """Place of a time constant on the unbounded scale of its fit: the logit of its log."""
    share = np.log(tau / low) / np.log(high / low)
    return np.log(share / (1 - share))


@pytest.mark.parametrize(
    ("name", "quantity", "bounds"),
    [("leaky FitResult", "tau", (0.02, 1.2)), ("calcium FitResult", "tau_decay", (0.03, 5.0))],
)
def test_a_fitted_time_constant_has_its_interval_on_the_bounded_log_scale(name, quantity, bounds):
    halves = {}
    for level in (LEVEL, OTHER_LEVEL):
        table = result_of(name, **({} if level == LEVEL else {"level": level})).parameters
        tau, ci = np.atleast_1d(table[quantity]), table[f"{quantity}_ci"].values.reshape(-1, 2)
        known = np.isfinite(ci).all(axis=1)
        assert known.any()
        middle, low, high = (twin_of(x[known], *bounds) for x in (tau, *ci.T))
        # Bounds stand in float32, and their logit magnifies that: some parts in 10,000 of a width.
        assert (low + high) / 2 == pytest.approx(middle, abs=1e-3 * float((high - low).max()))
        halves[level] = (high - low) / 2
        inside = ci[known]
        assert (inside > bounds[0]).all() and (inside < bounds[1]).all()
    ratio = halves[LEVEL] / halves[OTHER_LEVEL]
    assert ratio == pytest.approx(reach(LEVEL) / reach(OTHER_LEVEL), rel=1e-3)


def test_weight_and_memory_of_a_fit_are_tau_on_other_scales():
    table, dt = result_of("leaky FitResult").parameters, 0.05
    for name, of in (("weight", lambda t: np.exp(-dt / t)), ("memory", lambda t: t / dt)):
        # The same numbers in float64; the model's dt and tau are read in float32.
        assert table[name].values == pytest.approx(of(table["tau"].values), rel=1e-6)
        known = np.isfinite(table["tau_ci"].values)
        found = table[f"{name}_ci"].values
        assert np.array_equal(np.isfinite(found), known)
        assert found[known] == pytest.approx(of(table["tau_ci"].values[known]), rel=1e-6)


def test_memory_is_a_number_of_frames_and_does_not_move_with_the_clock():
    usual = result_of("leaky FitResult").parameters
    slow = result_of("leaky FitResult", slow=2.0).parameters
    assert usual["memory"].attrs["units"] == "frame"
    # Where the optimiser stops, see test_results.
    assert slow["memory"].values == pytest.approx(usual["memory"].values, rel=1e-3)
    assert not np.allclose(usual["memory"], usual["tau"], rtol=0.5)


@pytest.mark.parametrize("level", [LEVEL, OTHER_LEVEL])
def test_an_interval_of_the_bootstrap_lies_evenly_about_the_logarithm(level):
    table = result_of("bootstrapped", **({} if level == LEVEL else {"level": level}))
    low, high = table["tau_ci"].values[0]
    assert low * high == pytest.approx(float(table["tau"][0]) ** 2, rel=1e-9)
    assert table.attrs["ci_prob"] == level


def test_levels_of_the_bootstrap_stand_in_the_ratio_of_their_quantiles():
    wide, narrow = (
        np.log(t["tau_ci"].values[0]) for t in
        (result_of("bootstrapped"), result_of("bootstrapped", level=OTHER_LEVEL))
    )  # fmt: skip
    assert np.ptp(wide) / np.ptp(narrow) == pytest.approx(reach(LEVEL) / reach(OTHER_LEVEL))


@pytest.mark.parametrize("level", [LEVEL, OTHER_LEVEL])
def test_a_shared_time_constant_has_its_interval_evenly_about_the_logarithm(level):
    table = result_of("shared kinetics", **({} if level == LEVEL else {"level": level}))
    for name in ("tau_decay", "population"):
        low, high = table[f"{name}_ci"].values.T
        known = np.isfinite(low)
        assert known.any()
        middle = table[name].values[known]
        assert (low * high)[known] == pytest.approx(middle**2, rel=1e-9)
        assert (low[known] < middle).all() and (low[known] > 0).all()


def test_how_long_to_record_has_its_error_evenly_about_the_logarithm():
    table = result_of("Plan").parameters
    low, high = table["duration_ci"].values
    assert low < float(table["duration"]) < high
    assert low * high == pytest.approx(float(table["duration"]) ** 2)


def session(level, values, log_sd):
    """A day of kinetics whose intervals stand at some level."""
    values = np.asarray(values)
    ci = values[:, None] * np.exp(reach(level) * np.outer(log_sd, [-1, 1]))
    estimate = Estimate(
        name="tau_decay", value=values, ci=ci, units="s", long_name="decay", method="made up",
        dims=("unit",),
    )  # fmt: skip
    return to_dataset(
        [estimate],
        confidence_level=level,
        coords={"unit": np.arange(len(values))},
        status=["ok"] * len(values),
        status_dims=("unit",),
    )


def test_pooling_knows_at_which_level_the_intervals_of_a_session_stand():
    days = [([0.5, 0.8], [0.02, 0.05]), ([0.55, 0.9], [0.04, 0.01]), ([0.52, 0.7], [0.1, 0.03])]
    found = [
        nr.calcium.pool_sessions([session(lv, *day) for day, lv in zip(days, at, strict=True)])
        for at in ([0.95] * 3, [0.8] * 3, [0.99, 0.5, 0.68])
    ]  # fmt: skip
    for other in found[1:]:
        for name in ("tau_decay", "tau_decay_ci", "between_sd", "between_sd_ci"):
            # The same standard errors, up to rounding in a root that is found to 1e-12.
            np.testing.assert_allclose(other[name], found[0][name], rtol=1e-7, atol=1e-9)


def test_sharing_knows_the_level_too():
    values, log_sd = [0.5, 0.55, 0.48, 0.9], [0.02, 0.05, 0.1, 0.4]
    found = [nr.calcium.share_kinetics(session(level, values, log_sd)) for level in (0.95, 0.8)]
    for name in ("tau_decay", "tau_decay_ci", "population", "between_sd"):
        np.testing.assert_allclose(found[1][name], found[0][name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("level", [LEVEL, OTHER_LEVEL])
def test_noise_and_rates_of_cells_have_the_intervals_of_their_laws(level):
    kinetics = result_of("Kinetics", **({} if level == LEVEL else {"level": level}))
    table, tail = kinetics.parameters_, (1 - level) / 2
    seconds = 60.0
    for k in np.flatnonzero(table["status"].values == "ok"):
        rate, (low, high) = float(table["event_rate"][k]), table["event_rate_ci"].values[k]
        n_events = rate * seconds
        # Events per second: no fewer than were told apart, a whole number of frames recorded.
        told = int((kinetics.events_["event_unit"].values == k).sum())
        assert n_events == pytest.approx(told, rel=0.2)
        # At least as wide as Garwood's interval of that count.
        assert low <= stats.chi2.ppf(tail, 2 * n_events) / 2 / seconds * (1 + 1e-9)
        assert high >= stats.chi2.ppf(1 - tail, 2 * n_events + 2) / 2 / seconds * (1 - 1e-9)
        noise, (below, above) = float(table["noise_sd"][k]), table["noise_sd_ci"].values[k]
        # sd * sqrt(dof / chi2): both ends name the same number of degrees of freedom.
        dof = np.arange(600, 1201)
        lower = noise * np.sqrt(dof / stats.chi2.ppf(1 - tail, dof))
        which = np.argmin(np.abs(lower - below))
        upper = noise * np.sqrt(dof[which] / stats.chi2.ppf(tail, dof[which]))
        assert above == pytest.approx(upper, rel=1e-3)


def test_snr_is_the_size_of_an_event_over_the_noise():
    table = result_of("Kinetics").parameters_
    ratio = table["amplitude"].values / table["noise_sd"].values
    np.testing.assert_allclose(table["snr"], ratio, rtol=1e-12)
    np.testing.assert_allclose(
        table["snr_ci"], table["amplitude_ci"] / table["noise_sd"], rtol=1e-12
    )
    # A recording made at 8.
    assert table["snr"].values[table["status"].values == "ok"] == pytest.approx(8.0, rel=0.15)
    assert table["snr"].attrs["units"] == "1"


def test_a_gain_of_the_amplifier_moves_sizes_and_leaves_times_and_ratios():
    from tests.contracts.results import traces

    usual = result_of("Kinetics").parameters_
    louder = nr.calcium.Kinetics(tau_bounds=(0.01, 8.0), knot_spacing=30.0).fit(
        (20.0 * traces()).assign_attrs(traces().attrs)
    )
    for name in ("tau_decay", "snr", "event_rate", "amplitude", "noise_sd"):
        factor = 20.0 if name in ("amplitude", "noise_sd") else 1.0
        for key in (name, f"{name}_ci"):
            # Iterations end within 1e-9 of one another.
            np.testing.assert_allclose(louder.parameters_[key], factor * usual[key], rtol=1e-6)
