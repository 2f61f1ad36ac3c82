"""Intrinsic time constants: known truths, invariances, what is refused, what is told."""

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, optimize, stats
from scipy.signal import lfilter

import neurornn as nr
from neurornn._core.errors import DataError, ThreePartError, UnitWarning
from neurornn.spikes.count_moments import (
    locked_rate,
    log_covariance,
    merged,
    naive_time_constants,
    try_time_constants,
)
from neurornn.spikes.latent_likelihood import OneLatent, within_row
from neurornn.spikes.linear_latents import LinearLatents
from neurornn.spikes.timescale_fit import fit_one
from neurornn.spikes.timescale_records import _curves, as_rows


def population(seed=0, **changes):
    settings = {"n_units": 20, "duration": 60.0, "tau": 0.1} | changes
    return nr.simulate.simulate_latent_population(rng=seed, **settings)


def rows_of(counts, dt=0.01):
    counts = np.asarray(counts, dtype=float)
    return as_rows(counts, np.array([0, len(counts)]), dt)


@pytest.fixture(scope="module")
def pooled():
    return nr.spikes.Timescales(pooled=True).fit(population()["counts"])


# The likelihood


@pytest.mark.slow
def test_likelihood_of_two_bins_is_the_integral():
    counts = np.array([[1.0, 0.0], [0.0, 2.0]])
    rows = rows_of(counts)
    level, loading = np.log([0.4, 0.7]), np.array([0.8, -0.5])
    keep = np.exp(-0.01 / 0.03)

    def density(second, first):
        law = stats.norm.pdf(first) * stats.norm.pdf(second, keep * first, np.sqrt(1 - keep**2))
        for z, seen in ((first, counts[0]), (second, counts[1])):
            rate = np.exp(level - loading**2 / 2 + loading * z)
            law *= np.prod(rate**seen * np.exp(-rate))
        return law

    truth = np.log(integrate.dblquad(density, -7, 7, -7, 7, epsabs=1e-9)[0])
    model = OneLatent(rows, within=False)
    model.set_grid(np.log(0.03), loading)
    found, _ = model.value(np.log(0.03), level, loading, slope=False)
    # The grid ends at 4.8 sd, outside of which lies 2e-6 of the law.
    assert found == pytest.approx(truth, abs=2e-5)


@pytest.mark.parametrize(("within", "n_nodes"), [(False, 1), (True, 1), (True, 5)])
def test_slope_is_that_of_the_likelihood(within, n_nodes):
    record = population(n_units=3, duration=4.0, n_trials=3)["counts"].values.astype(float)
    record[1, 50:90, 1] = np.nan
    rows = as_rows(record.reshape(-1, 3), np.arange(0, 1201, 400), 0.01)
    model = OneLatent(rows, within=within)
    x = np.concatenate([[np.log(0.1)], np.log(np.nanmean(record, axis=(0, 1))), [0.8, -0.5, 0.3]])
    model.set_grid(x[0], x[4:])
    model.n_nodes = n_nodes
    slope = model.value(x[0], x[1:4], x[4:])[1]
    numbers = optimize.approx_fprime(
        x, lambda v: model.value(v[0], v[1:4], v[4:], slope=False)[0], 1e-5
    )
    # Forward differences of 1e-5 are right to about 1e-5 of the curvature, some hundreds.
    np.testing.assert_allclose(slope, numbers, atol=2e-2)


def test_mean_over_a_bin_has_the_variance_of_its_integral():
    ratio = 0.7
    left, right, rest, whole = within_row(ratio, True)
    # Fine steps of an Ornstein-Uhlenbeck process: covariances by sums of the kernel.
    t = (np.arange(2000) + 0.5) / 2000 * ratio
    kernel = np.exp(-np.abs(t[:, None] - t))
    assert whole == pytest.approx(kernel.mean(), rel=1e-4)
    with_ends = np.array([np.exp(-t).mean(), np.exp(t - ratio).mean()])
    ends = np.array([[1, np.exp(-ratio)], [np.exp(-ratio), 1]])
    best = np.linalg.solve(ends, with_ends)
    np.testing.assert_allclose([left, right], best, rtol=1e-4)
    assert rest == pytest.approx(kernel.mean() - with_ends @ best, rel=1e-2)


def test_bound_of_several_latents_lies_below_the_likelihood_of_one_and_close():
    rows = rows_of(population(duration=20.0)["counts"])
    level = np.log(rows.counts.mean(axis=0))
    loading = np.linspace(-0.8, 0.8, 20)
    exact = OneLatent(rows, within=False)
    exact.set_grid(np.log(0.1), loading)
    truth = exact.value(np.log(0.1), level, loading, slope=False)[0]
    model = LinearLatents(rows.counts, rows.edges, 0.01, 1, rotations=False)
    bound = model.value(np.concatenate([[-np.log(0.1)], level, loading]), settled=1e-8)[0]
    # 100 independent stretches of two tau; a Gaussian is off by a few hundredths of a nat in each.
    assert truth - 10 < bound < truth


def test_slope_of_the_bound_with_rotations():
    record = population(n_units=3, duration=5.0, n_trials=3)["counts"].values.astype(float)
    model = LinearLatents(record.reshape(-1, 3), np.arange(0, 1501, 500), 0.01, 2, rotations=True)
    x = np.concatenate(
        [[3.0, 1.5, 2.0], np.log(record.mean(axis=(0, 1))), [0.8, -0.5, 0.3, 0.2, 0.6, -0.4]]
    )
    slope = model.value(x, settled=1e-9)[1]
    numbers = np.array([
        (model.value(x + h, settled=1e-9)[0] - model.value(x - h, settled=1e-9)[0]) / 2e-3
        for h in 1e-3 * np.eye(len(x))
    ])  # fmt: skip
    np.testing.assert_allclose(slope, numbers, atol=5e-3)


# Known truths


def test_shared_time_constant_is_recovered(pooled):
    table = pooled.parameters_
    low, high = table["tau_ci"].values[0]
    assert low < 0.1 < high
    # 300 independent stretches of two tau: the error cannot be below 6 %, and is not twice that.
    assert 0.06 < (high - low) / 2 / 1.96 / 0.1 < 0.12
    low, high = table["amplitude_ci"].values[0]
    assert low < 0.8 < high
    assert table["tau"].attrs["units"] == "s"
    assert str(table["status"].values) == "ok"


@pytest.mark.slow
def test_trials_too_short_for_the_mean_do_not_shorten_tau():
    record = population(duration=0.5, n_trials=150, tau=0.2)
    fit = nr.spikes.Timescales(pooled=True).fit(record["counts"])
    low, high = fit.parameters_["tau_ci"].values[0]
    assert low < 0.2 < high
    # What is usual reads a shorter one.
    assert float(fit.parameters_["naive_tau"]) < 0.2


def test_units_alone(pooled):
    counts = population(duration=200.0, rate=[5.0, 10.0, 20.0], n_units=3)["counts"]
    fit = nr.spikes.Timescales().fit(counts)
    assert fit.parameters_["tau"].dims == ("unit",)
    ci = fit.parameters_["tau_ci"].values
    assert np.all((ci[:, 0] < 0.1) & (ci[:, 1] > 0.1))
    # More spikes tell more.
    width = np.log(ci[:, 1] / ci[:, 0])
    assert width[0] > width[1] > width[2]


@pytest.mark.slow
def test_own_latents_of_one_time_constant_are_pooled():
    counts = np.concatenate(
        [population(seed, n_units=1, duration=120.0)["counts"].values for seed in range(8)], axis=1
    )
    fit = nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(counts)
    low, high = fit.parameters_["tau_ci"].values[0]
    assert low < 0.1 < high
    assert high / low < 2
    # What is shown is of each unit with itself: units do not covary.
    curve = fit.autocorrelation_.isel(lag=slice(1, 15))
    ci = curve["log_covariance_ci"].values
    assert np.mean((ci[:, 0] < curve["fitted"]) & (curve["fitted"] < ci[:, 1])) > 0.6
    assert np.mean(ci[:, 0] > 0.1) > 0.5


@pytest.mark.slow
def test_two_time_constants_chosen():
    counts = population(3, duration=120.0, tau=[0.04, 0.5])["counts"]
    fit = nr.spikes.Timescales("auto", pooled=True, max_timescales=2).fit(counts)
    tau, ci = fit.parameters_["tau"].values, fit.parameters_["tau_ci"].values
    assert tau.shape == (2,)
    assert np.all((ci[:, 0] < [0.04, 0.5]) & (ci[:, 1] > [0.04, 0.5]))
    assert fit.choice_["weight"].sel(n_timescales=2) > 0.99


@pytest.mark.slow
@pytest.mark.slow
def test_oscillation_has_its_frequency():
    rng = np.random.default_rng(0)
    turn = np.exp(-0.01 / 0.3) * np.exp(2j * np.pi * 4.0 * 0.01)
    noise = rng.standard_normal((2, 9000)) * np.sqrt(1 - abs(turn) ** 2)
    z = lfilter([1.0], [1.0, -turn], noise[0] + 1j * noise[1])
    phase = rng.uniform(0, 2 * np.pi, 20)
    rate = 0.08 * np.exp(0.7 * (z[:, None] * np.exp(1j * phase)).real)
    slow = population(5, duration=90.0, tau=0.1)["rate_true"].values / 8.0
    counts = rng.poisson(rate * slow)
    fit = nr.spikes.Timescales(pooled=True, oscillation=True, bin_size=0.01).fit(counts)
    frequency = fit.parameters_["frequency"].values
    turning = np.isfinite(frequency)
    ci = fit.parameters_["frequency_ci"].values[turning][0]
    assert ci[0] < 4.0 < ci[1]
    # A decay of 0.3 s makes a peak of 0.5 Hz: it is placed to a fraction of that in 90 s.
    assert ci[1] - ci[0] < 0.5
    low, high = fit.parameters_["tau_ci"].values[turning][0]
    assert low < 0.3 < high


# Invariances


@pytest.mark.slow
def test_order_of_units_and_sign_of_the_latent_do_not_matter(pooled):
    counts = population()["counts"]
    turned = nr.spikes.Timescales(pooled=True).fit(counts.isel(unit=slice(None, None, -1)))
    assert turned.parameters_["tau"].values == pytest.approx(
        pooled.parameters_["tau"].values, rel=1e-3
    )
    own, other = pooled.loadings_["loading"].values, turned.loadings_["loading"].values[::-1]
    assert abs(np.sum(own * other)) == pytest.approx(np.sum(own**2), rel=1e-2)


@pytest.mark.slow
def test_bins_do_not_move_tau():
    fine = population(7, n_units=10, duration=120.0, tau=0.15, bin_size=0.002)["counts"]
    found = []
    for n in (5, 25):
        counts = fine.coarsen(time=n).sum().assign_attrs(bin_size=0.002 * n)
        found.append(float(nr.spikes.Timescales(pooled=True).fit(counts).parameters_["tau"][0]))
    # Two thirds of the error, 9 %: five bins that become one tell less, and other things.
    assert found[1] == pytest.approx(found[0], rel=0.06)


@pytest.mark.slow
def test_forms_of_counts_are_one(pooled):
    counts = population()["counts"]
    as_array = nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(counts.values)
    assert as_array.parameters_["tau"].values == pooled.parameters_["tau"].values
    trials = population(n_units=6, duration=1.0, n_trials=40)["counts"]
    listed = [t.values for t in trials]
    both = [
        nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(given).parameters_["tau"].values[0]
        for given in (trials, listed)
    ]
    assert both[0] == both[1]


@pytest.mark.slow
def test_what_was_not_observed_does_not_count(pooled):
    counts = population()["counts"].astype(float)
    hidden = counts.copy()
    hidden[1000:1500, :] = np.nan
    hidden[3000:4000, 3:6] = np.nan
    fit = nr.spikes.Timescales(pooled=True).fit(hidden)
    low, high = fit.parameters_["tau_ci"].values[0]
    assert low < 0.1 < high
    zero = nr.spikes.Timescales(pooled=True).fit(counts.where(hidden.notnull(), 0.0))
    # As if it were silence, there would be a slow latent.
    assert abs(np.log(fit.parameters_["tau"].values[0] / 0.1)) < abs(
        np.log(zero.parameters_["tau"].values[0] / 0.1)
    )


def test_merged_rows_keep_every_spike():
    rows = as_rows(np.arange(40.0).reshape(20, 2), np.array([0, 12, 20]), 0.01)
    found = merged(rows, 4)
    assert found.edges.tolist() == [0, 3, 5]
    assert found.counts.sum() == rows.counts.sum()
    assert found.dt == pytest.approx(0.04)


def test_gaps_are_no_zeros_in_what_is_shown():
    counts = population(9, n_units=8, duration=60.0, tau=0.2)["counts"].values.astype(float)
    holes = counts.copy()
    # Half of the time is missing in stretches, of other times for half of the units.
    for k in range(0, 6000, 400):
        holes[k : k + 200, :4] = np.nan
        holes[k + 100 : k + 300, 4:] = np.nan
    edges = np.array([0, 6000])
    whole, part = (as_rows(c, edges, 0.01) for c in (counts, holes))
    loading, lags = np.full(8, 0.8), np.arange(0, 20, 4)
    signs = np.sign(nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(counts).loadings_[
        "loading"].values[:, 0])  # fmt: skip
    full, error, _ = log_covariance(whole, loading * signs, lags)
    seen, _, _ = log_covariance(part, loading * signs, lags)
    # The same covariance, of half as much: within four errors, where zeros would halve it.
    assert np.all(np.abs(seen - full) < 4 * error)
    assert np.all(seen > 0.65 * full)
    naive = naive_time_constants(part)
    assert np.median(naive) == pytest.approx(np.median(naive_time_constants(whole)), rel=0.35)


def test_locked_rate_is_found_where_trials_end_at_different_times():
    rng = np.random.default_rng(6)
    wave = 0.1 * (1 + 0.8 * np.sin(2 * np.pi * 2.0 * 0.01 * np.arange(100)))
    counts = rng.poisson(wave[None, :, None], (100, 100, 6)).astype(float)
    for trial in counts:
        trial[rng.integers(60, 100) :] = np.nan
    rows = as_rows(counts.reshape(-1, 6), np.arange(0, 10001, 100), 0.01)
    chance, profile = locked_rate(rows, rng)
    assert chance == 0.01
    # The last bins have a third of the trials: 12 spikes a bin over units.
    middle = profile[:60].mean(axis=1)
    assert np.corrcoef(middle, wave[:60])[0, 1] > 0.95
    fit = nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(counts)
    assert str(fit.parameters_["status"].values) == "stimulus_locked"


# Nothing to be found


@pytest.mark.slow
def test_claims_without_dynamics_are_rare():
    rng = np.random.default_rng(0)
    chance = []
    for _ in range(30):
        tried = try_time_constants(rows_of(rng.poisson(0.1, (3000, 5))), rng)
        chance.append([tried.p_shared, *tried.p_own])
    chance = np.array(chance)
    # 30 and 150 tests at 5 %, careful ones: at most 5 and 14 but for 1 time in 100.
    assert np.sum(chance[:, 0] < 0.05) <= 5
    assert np.sum(chance[:, 1:] < 0.05) <= 14
    assert chance.min() < 0.2


def test_poisson_units_have_no_time_constant():
    counts = np.random.default_rng(1).poisson(0.1, (6000, 10))
    fit = nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(counts)
    assert str(fit.parameters_["status"].values) == "no_dynamics"
    assert np.isnan(fit.parameters_["tau"].values).all()
    assert "Record for longer" in fit.report()


@pytest.mark.slow
def test_rate_locked_to_trials_is_told_from_intrinsic():
    rng = np.random.default_rng(2)
    wave = 0.1 * (1 + 0.8 * np.sin(2 * np.pi * 2.0 * 0.01 * np.arange(100)))
    locked = rng.poisson(wave[None, :, None], (100, 100, 10))
    fit = nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(locked)
    assert str(fit.parameters_["status"].values) == "stimulus_locked"
    # With a latent besides, that one is found, and the wave does not lengthen it.
    rate = population(4, n_units=10, duration=1.0, n_trials=100, tau=0.05)["rate_true"].values
    both = rng.poisson(rate / 8.0 * wave[None, :, None])
    fit = nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(both)
    low, high = fit.parameters_["tau_ci"].values[0]
    assert low < 0.05 < high


@pytest.mark.slow
def test_drift_slower_than_the_recording():
    t = np.arange(3000) * 0.01
    rate = 0.15 * np.exp(0.8 * (t / 30 - 0.5) * 2)
    counts = np.random.default_rng(3).poisson(rate[:, None], (3000, 10))
    fit = nr.spikes.Timescales(pooled=True, bin_size=0.01).fit(counts)
    assert str(fit.parameters_["status"].values) == "too_slow"


@pytest.mark.slow
def test_silent_units_say_so():
    counts = population(n_units=4)["counts"]
    counts[:, 2] = 0
    fit = nr.spikes.Timescales().fit(counts)
    assert fit.parameters_["status"].values.tolist()[2] == "no_data"
    together = nr.spikes.Timescales(pooled=True).fit(counts)
    assert together.loadings_["loading"].values[2, 0] == 0


# What is told


def test_table_curve_and_file(pooled, tmp_path):
    curve = pooled.autocorrelation_
    assert curve["lag"].attrs["units"] == "s"
    tau, amplitude = (float(pooled.parameters_[n][0]) for n in ("tau", "amplitude"))
    np.testing.assert_allclose(
        curve["fitted"], amplitude**2 * np.exp(-curve["lag"] / tau), rtol=1e-6
    )
    # What the counts show is not smoothed: most of its intervals hold the curve.
    ci = curve["log_covariance_ci"].values
    inside = (ci[:, 0] < curve["fitted"]) & (curve["fitted"] < ci[:, 1])
    assert inside.mean() > 0.6
    assert "The autocorrelation of the counts would say" in pooled.report()
    pooled.save(tmp_path / "tau.nc")
    again = nr.load(tmp_path / "tau.nc")
    assert again.report() == pooled.report()
    xr.testing.assert_identical(again.autocorrelation_, curve)
    xr.testing.assert_identical(again.loadings_, pooled.loadings_)


def test_confidence_level_moves_the_interval_alone(pooled):
    narrow = nr.spikes.Timescales(pooled=True, confidence_level=0.5).fit(population()["counts"])
    assert narrow.parameters_["tau"].values == pooled.parameters_["tau"].values
    ratio = np.diff(np.log(narrow.parameters_["tau_ci"].values[0])) / np.diff(
        np.log(pooled.parameters_["tau_ci"].values[0])
    )
    # 0.674 / 1.960, the profile being close to a parabola.
    assert ratio == pytest.approx(0.344, rel=0.05)


@pytest.mark.parametrize(
    ("counts", "settings", "said"),
    [
        (np.full((100, 2), 0.5), {"bin_size": 0.01}, "whole numbers"),
        (np.ones((100, 2)), {}, "size of their bins"),
        (-np.ones((100, 2)), {"bin_size": 0.01}, "whole numbers"),
        (np.full((100, 2), np.nan), {"bin_size": 0.01}, "missing"),
        (np.ones((100, 2)), {"bin_size": 0.01, "n_timescales": "all"}, "auto"),
        (np.ones((100, 2)), {"bin_size": 0.01, "n_timescales": 0}, "n_timescales"),
    ],
)
def test_bad_input_is_explained(counts, settings, said):
    with pytest.raises(ThreePartError, match=said):
        nr.spikes.Timescales(**settings).fit(counts)


def test_bins_of_milliseconds_are_noticed():
    counts = population(n_units=2, duration=3.0)["counts"].assign_attrs(bin_size=10.0)
    with pytest.warns(UnitWarning, match=r"0\.01"):
        nr.spikes.Timescales().fit(counts)


def test_another_bin_size_is_refused():
    with pytest.raises(DataError, match="One bin size"):
        nr.spikes.Timescales(bin_size=0.02).fit(population()["counts"])


def test_one_short_trial_has_a_status():
    fit = nr.spikes.Timescales(bin_size=0.01).fit(np.ones((3, 2), dtype=int))
    assert fit.parameters_["status"].values.tolist() == ["too_few_events"] * 2


@pytest.mark.slow
def test_errors_of_both_numbers_agree_with_a_second_way():
    # A weak latent, so that errors relative to it and absolute ones lie far apart.
    counts = population(11, log_gain_sd=0.4, duration=90.0)["counts"]
    fit = nr.spikes.Timescales(pooled=True).fit(counts).parameters_
    rows = rows_of(counts)
    model = LinearLatents(rows.counts, rows.edges, 0.01, 1, rotations=False)
    mean = np.log(rows.counts.mean(axis=0))
    loading = np.full((20, 1), 0.4) * np.sign(np.linspace(-1, 1, 20))[:, None]
    top = model.climb(np.array([-np.log(0.1)]), mean, loading, slowest=30.0)
    error = np.sqrt(np.diag(model.covariance_of(top, model.wanted(top), rtol=1e-3)))
    for name, own in zip(("tau", "amplitude"), error, strict=True):
        low, high = fit[f"{name}_ci"].values[0]
        # A bound instead of the likelihood, and a profile instead of the curvature: 15 %.
        assert np.log(high / low) / 3.92 == pytest.approx(own, rel=0.15)
    tau = float(fit["tau"][0])
    assert np.sqrt(float(fit["covariance"][0, 0])) / tau == pytest.approx(error[0], rel=0.15)


def test_products_over_lags_are_means_over_what_there_is():
    counts = np.random.default_rng(0).poisson(2.0, (400, 2)).astype(float)
    rows = as_rows(counts, np.arange(0, 401, 10), 0.01)
    lags = np.array([1, 7])
    value, _, _ = log_covariance(rows, np.array([1.0, 1.0]), lags)
    rest = (counts / counts.mean(axis=0) - 1).reshape(40, 10, 2)
    for lag, found in zip(lags, value, strict=True):
        pairs = [(rest[:, : 10 - lag, i] * rest[:, lag:, 1 - i]).mean() for i in (0, 1)]
        assert found == pytest.approx(np.mean(np.log1p(pairs)), rel=1e-9)


def test_the_usual_way_reads_every_lag_of_short_trials():
    counts = np.random.default_rng(0).poisson(2.0, (300, 1)).astype(float)
    counts[::6] += 6
    counts[5::6] += 6
    # Trials of six bins, of which the first and the last are alike: the longest lag tells.
    rows = as_rows(counts, np.arange(0, 301, 6), 0.01)
    rest = (counts[:, 0] - counts.mean()).reshape(50, 6)
    curve = [(rest[:, : 6 - k] * rest[:, k:]).mean() / (rest**2).mean() for k in range(1, 6)]
    truth = optimize.curve_fit(
        lambda t, a, tau: a * np.exp(-t / tau), np.arange(1, 6), curve,
        p0=(max(curve[0], 1e-3), 10.0), bounds=([0.0, 0.1], [2.0, 500.0]), maxfev=2000,
    )[0][1]  # fmt: skip
    # Sums by transforms, and a climb that ends within some digits.
    assert naive_time_constants(rows)[0] == pytest.approx(0.01 * truth, rel=1e-3)


@pytest.mark.slow
def test_a_usual_time_constant_far_below_the_lags_draws_a_finite_curve():
    # Warnings are errors here: a curve that runs over at lag 0 would be one.
    one = fit_one(rows_of(population(duration=20.0)["counts"]), level=0.95,
                  rng=np.random.default_rng(0))._replace(naive_tau=1e-6)  # fmt: skip
    out = {"tau": np.array([one.tau]), "amplitude": np.array([one.amplitude]),
           "frequency": np.array([np.nan]), "loading": one.loading[:, None]}  # fmt: skip
    curves = _curves(one, out, dt=0.01, level=0.95, alone=False)
    assert np.isfinite(curves["naive"]).all()
    assert curves["naive"][0] > curves["naive"][1] > curves["naive"][2]
