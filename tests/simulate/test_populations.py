"""Networks and areas that spike: their slow modes have the time constants that are said."""

import numpy as np
import pytest
import xarray as xr
from scipy.linalg import expm

from neurornn._core.errors import DataError
from neurornn.simulate import (
    simulate_flip_flop_spikes,
    simulate_hierarchy,
    simulate_low_rank_spikes,
)
from neurornn.simulate.linear_noise import sampled_paths, stationary_covariance

SMALL = {
    "low rank": lambda rng: simulate_low_rank_spikes(8, 5.0, n_trials=2, rng=rng),
    "hierarchy": lambda rng: simulate_hierarchy(3, 5.0, n_trials=2, rng=rng),
    "flip-flop": lambda rng: simulate_flip_flop_spikes(8, 2.0, n_trials=2, rng=rng),
}


def remembered(x, lag):
    """Correlation over a lag, of (time,) or (trial, time)."""
    x = np.atleast_2d(x) - np.mean(x)
    return float((x[:, :-lag] * x[:, lag:]).mean() / (x**2).mean())


@pytest.mark.parametrize("name", SMALL)
def test_a_seed_gives_the_same_numbers_and_another_gives_others(name):
    first, again, other = (SMALL[name](k) for k in (3, 3, 4))
    xr.testing.assert_identical(first, again)
    assert not np.array_equal(first["counts"], other["counts"])
    assert first["counts"].dims == ("trial", "time", "unit")
    assert first["counts"].attrs["bin_size"] == 0.01
    assert first["rate_true"].attrs["units"] == "Hz"
    assert first["tau_true"].attrs["units"] == "s"
    assert first["time"].values[0] == pytest.approx(0.01)
    assert name.split()[0].replace("-", "_") in first.attrs["source"]


@pytest.mark.parametrize("name", SMALL)
def test_log_rates_are_the_weighted_latents(name):
    rec = SMALL[name](0)
    log_rate = np.log(rec["rate_true"].values)
    told = rec["latents"].values @ rec["weight_true"].values.T
    off = log_rate - told
    if name == "low rank":
        # The rest is what the units do on their own: a fifth of the variance of a unit, and what
        # fast modes make of the shared noise.
        assert 0.1 < off.var() / log_rate.var() < 0.7
    else:
        assert off.std(axis=(0, 1)) == pytest.approx(0, abs=1e-12)


# ------------------------------------------------------------------ linear systems


def test_paths_have_the_covariance_of_the_equation_at_every_lag():
    jacobian = np.array([[-4.0, 2.0], [-1.0, -2.0]])
    noise = np.array([[1.0, 0.0], [0.5, 0.8]])
    whole = stationary_covariance(jacobian, noise)
    assert jacobian @ whole + whole @ jacobian.T == pytest.approx(-noise @ noise.T, abs=1e-12)
    x = sampled_paths(jacobian, noise, 0.05, 20, 40_000, np.random.default_rng(0))
    # 40,000 independent trials: variances to .7 %, at the first sample as at the last.
    for k in (0, 19):
        assert np.cov(x[:, k].T) == pytest.approx(whole, abs=0.025 * np.abs(whole).max())
    lagged = x[:, 10].T @ x[:, 4] / len(x)
    expected = expm(jacobian * 0.3) @ whole
    assert lagged == pytest.approx(expected, abs=0.025 * np.abs(whole).max())


# ------------------------------------------------------------------ low rank


def test_a_low_rank_network_has_the_slow_modes_asked_for():
    rec = simulate_low_rank_spikes(40, 5.0, tau=[0.25, 0.5, 1.0], rng=1)
    values = np.linalg.eigvals(rec["jacobian_true"].values)
    slowest = np.sort(-1 / values.real)[::-1]
    assert slowest[:3] == pytest.approx([1.0, 0.5, 0.25], rel=1e-9)
    own = rec["unit_tau_true"].values
    # What remains lies between the units' own time constants, and nothing grows.
    assert slowest[3] <= 0.2
    assert (values.real < 0).all()
    assert ((own >= 0.01) & (own <= 0.2)).all()
    assert len(np.unique(own)) == 40
    # Connectivity of rank 3 and no more.
    connectivity = (rec["jacobian_true"].values * own[:, None]) + np.eye(40)
    assert np.linalg.matrix_rank(connectivity, tol=1e-9) == 3


@pytest.mark.slow
def test_the_latents_and_rates_of_a_low_rank_network_forget_as_they_should():
    rec = simulate_low_rank_spikes(12, 1500.0, tau=[0.5], rng=2)
    z = rec["latents"].values[:, 0]
    # 1,500 time constants: an sd of a variance of 2.6 %, of a correlation of about 3 %.
    assert z.std() == pytest.approx(1.0, abs=0.06)
    for lag in (0.1, 0.25, 0.5):
        assert remembered(z, round(lag / 0.01)) == pytest.approx(np.exp(-lag / 0.5), abs=0.07)
    log_rate = np.log(rec["rate_true"].values)
    assert log_rate.std(axis=0) == pytest.approx([0.8] * 12, abs=0.06)
    assert rec["rate_true"].mean("time").values == pytest.approx([8.0] * 12, rel=0.12)
    # Every unit at every lag, against the equation: exp(J s) C, and from there the rates.
    jacobian = rec["jacobian_true"].values
    slow = [remembered(log_rate[:, k], 60) / remembered(log_rate[:, k], 30) for k in range(12)]
    fast = rec["unit_tau_true"].values < 0.05
    # Beyond the units' own time constants the slow mode alone is left.
    assert np.median(np.array(slow)[fast]) == pytest.approx(np.exp(-0.3 / 0.5), abs=0.1)
    assert -1 / np.linalg.eigvals(jacobian).real.max() == pytest.approx(0.5)


def test_private_noise_makes_the_share_it_is_given():
    alone = simulate_low_rank_spikes(20, 200.0, private_share=1.0, tau=[0.5], rng=3)
    shared = simulate_low_rank_spikes(20, 200.0, private_share=0.0, tau=[0.5], rng=3)

    def common(rec):
        c = np.corrcoef(np.log(rec["rate_true"].values.T))
        return np.abs(c[np.triu_indices(20, 1)]).mean()

    # Without noise of its own a unit is a filter of what all share.
    assert common(shared) > 0.9
    assert common(alone) < 0.5


# ------------------------------------------------------------------ hierarchy


@pytest.mark.slow
def test_areas_forget_more_slowly_up_the_hierarchy():
    rec = simulate_hierarchy(4, 2000.0, rng=4)
    assert rec["tau_true"].values.tolist() == [0.05, 0.1, 0.2, 0.4]
    assert rec["area"].values.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    log_rate = np.log(rec["rate_true"].values)
    for k, tau in enumerate(rec["tau_true"].values):
        lag = round(tau / 0.01)
        # 2,000 s hold 5,000 time constants of the slowest: an sd of 1.4 % of a correlation.
        for u in np.flatnonzero(rec["area"].values == k):
            assert remembered(log_rate[:, u], lag) == pytest.approx(np.exp(-1), abs=0.05)
    between = np.corrcoef(rec["latents"].values.T)
    assert np.abs(between - np.eye(4)).max() < 0.1
    assert log_rate.std(axis=0) == pytest.approx([0.8] * 16, abs=0.04)
    # exp(drive) varies by a factor of .9 around 8 Hz.
    assert rec["rate_true"].mean("time").values == pytest.approx([8.0] * 16, rel=0.1)


@pytest.mark.slow
def test_coupled_areas_follow_the_one_before_and_modes_stay():
    rec = simulate_hierarchy(1, 1000.0, tau=[0.1, 0.2, 0.4], coupling=2.0, rng=5)
    z = rec["latents"].values
    assert z.std(axis=0) == pytest.approx([1.0] * 3, abs=0.06)
    # Each area lags behind the one that feeds it, not the other way round.
    for k in (0, 1):
        ahead = np.corrcoef(z[:-20, k], z[20:, k + 1])[0, 1]
        behind = np.corrcoef(z[20:, k], z[:-20, k + 1])[0, 1]
        assert ahead > behind + 0.1
    # The first has no one before it.
    assert remembered(z[:, 0], 10) == pytest.approx(np.exp(-1), abs=0.04)
    # The second as the equation has it: what it is alone, and what the first brings.
    jacobian = np.array([[-10.0, 0.0], [10.0, -5.0]])
    whole = stationary_covariance(jacobian, np.diag(np.sqrt([20.0, 10.0])))
    expected = (expm(jacobian * 0.2) @ whole)[1, 1] / whole[1, 1]
    assert expected > np.exp(-1) + 0.05
    # 5,000 time constants: an sd of 1.5 %.
    assert remembered(z[:, 1], 20) == pytest.approx(expected, abs=0.045)


# ------------------------------------------------------------------ flip-flop


def test_the_memories_of_a_flip_flop_have_the_time_constants_asked_for():
    rec = simulate_flip_flop_spikes(5, 0.1, tau=[0.3, 0.12], n_hidden=20, n_trials=2, rng=6)
    assert rec["tau_true"].values == pytest.approx([0.3, 0.12], rel=1e-9)
    assert rec["fixed_points_true"].shape == (4, 20)
    values = rec["eigenvalues_true"].values
    # Alike at all memories; the rest is the units' own leak.
    assert -1 / values[:, :2] == pytest.approx(np.tile([0.3, 0.12], (4, 1)), rel=1e-9)
    assert -1 / values[:, 2:] == pytest.approx(0.05)
    # Each with its own bit, in whatever order they are asked for.
    mixed = simulate_flip_flop_spikes(5, 0.1, tau=[0.12, 0.3, 0.2], n_trials=2, rng=6)
    assert mixed["tau_true"].values == pytest.approx([0.12, 0.3, 0.2], rel=1e-9)
    # Each corner of the square once.
    signs = np.sign(rec["fixed_points_true"].values[:, [0, -1]])
    assert len(np.unique(signs, axis=0)) == 4


def test_a_flip_flop_holds_the_sign_of_the_last_pulse():
    rec = simulate_flip_flop_spikes(5, 4.0, n_trials=100, rng=7)
    z, last, inputs = (rec[n].values for n in ("latents", "targets", "inputs"))
    assert set(np.unique(inputs)) == {-1.0, 0.0, 1.0}
    # Half a pulse a second and channel, of .1 s: 5 % of the time.
    assert np.abs(inputs).mean() == pytest.approx(0.05, abs=0.006)
    turned = np.abs(np.diff(last, axis=1)).max(axis=2) > 0
    assert turned.any()
    # Wrong for the tenth of a second that it takes to turn a bit around, and no longer.
    assert (np.sign(z) == last).mean() > 0.98
    since = np.ones(z.shape, dtype=bool)
    for k in range(20):
        since[:, k:] &= inputs[:, : z.shape[1] - k] == 0
    assert (np.sign(z) == last)[since].mean() > 0.999
    # A pulse is felt in its own bin, not before it.
    assert rec["rate_true"].mean(("trial", "time")).values == pytest.approx([8.0] * 5)
    assert np.log(rec["rate_true"]).std(("trial", "time")).values == pytest.approx([0.8] * 5)


@pytest.mark.slow
def test_a_bit_that_is_shaken_comes_back_with_its_time_constant():
    rec = simulate_flip_flop_spikes(
        2, 60.0, pulse_rate=0.0, noise=0.02, n_trials=40, n_hidden=8, tau=[0.15, 0.3], rng=8
    )
    z = (rec["latents"].values * rec["targets"].values)[:, 200:]
    # Noise so small that the network is linear around a memory: as large as was asked for.
    assert z.std(axis=(0, 1)) == pytest.approx([0.02, 0.02], rel=0.05)
    assert z.mean(axis=(0, 1)) == pytest.approx([1.0, 1.0], abs=0.005)
    for k, tau in enumerate((0.15, 0.3)):
        # 2,300 s: 8,000 time constants of the slower one.
        assert remembered(z[:, :, k], round(tau / 0.01)) == pytest.approx(np.exp(-1), abs=0.04)


@pytest.mark.slow
def test_bins_do_not_change_the_network():
    wide = simulate_flip_flop_spikes(
        2,
        40.0,
        pulse_rate=0.0,
        noise=0.02,
        n_trials=40,
        n_hidden=4,
        tau=[0.2],
        bin_size=0.05,
        rng=9,
    )
    z = (wide["latents"].values * wide["targets"].values)[:, 40:, 0]
    assert wide["tau_true"].values == pytest.approx([0.2])
    assert remembered(z, 4) == pytest.approx(np.exp(-1), abs=0.05)


def test_what_cannot_be_simulated_is_refused():
    with pytest.raises(DataError, match="each slower than every unit"):
        simulate_low_rank_spikes(tau=[0.1], rng=0)
    with pytest.raises(DataError, match="slower than the units"):
        simulate_flip_flop_spikes(tau=[0.05], rng=0)
    with pytest.raises(DataError, match="above 0 for each area"):
        simulate_hierarchy(tau=[0.1, -0.2], rng=0)
    with pytest.raises(DataError, match="At least one bin"):
        simulate_hierarchy(duration=0.001, rng=0)
    with pytest.raises(DataError, match="pulse_rate in Hz"):
        simulate_flip_flop_spikes(pulse_rate=200.0, rng=0)
