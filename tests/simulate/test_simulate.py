"""Simulators: the truth is what they say it is."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError


def test_kernel_peaks_at_one_and_decays_with_tau():
    t = np.linspace(0, 20, 2_000_001)
    for rise in (0.0, 0.07):
        k = nr.simulate.calcium_kernel(t, 0.5, rise)
        # The grid of 10 microseconds misses the peak by less than 1e-8 of it.
        assert k.max() == pytest.approx(1.0, abs=1e-8)
        late = (t > 3) & (t < 5)
        slope = np.polyfit(t[late], np.log(k[late]), 1)[0]
        # Three seconds on, the rise has died to exp(-43).
        assert -1 / slope == pytest.approx(0.5, rel=1e-6)
    assert nr.simulate.calcium_kernel(-0.1, 0.5) == 0


def test_calcium_is_exact_in_continuous_time():
    spikes = [np.array([0.1234, 0.9876])]
    rec = nr.simulate.simulate_calcium(
        1, 3.0, 30.0, tau_decay=0.4, spike_times=spikes, snr=np.inf, rng=0
    )
    t = rec["time"].values
    truth = sum(np.where(t >= s, np.exp(-(t - s) / 0.4), 0) for s in spikes[0])
    assert rec["dff"].values[:, 0] == pytest.approx(truth, abs=1e-12)
    # At another rate the same function is sampled: every third frame is shared.
    fine = nr.simulate.simulate_calcium(
        1, 3.0, 90.0, tau_decay=0.4, spike_times=spikes, snr=np.inf, rng=0
    )
    assert fine["dff"].values[2::3, 0] == pytest.approx(truth, abs=1e-9)


def test_rates_noise_sizes_and_gaps_are_as_stated():
    rec = nr.simulate.simulate_calcium(
        4, 400.0, 30.0, rate=[0.5, 1, 2, 4], snr=5.0, size_cv=0.3, missing=0.1, rng=1
    )
    counts = rec["spike_count"].values
    # Poisson: within four of its standard deviations.
    assert np.all(np.abs(counts - 400 * np.array([0.5, 1, 2, 4])) < 4 * np.sqrt(counts))
    noise = rec["dff"] - rec["calcium"]
    assert float(noise.std()) == pytest.approx(0.2, rel=0.02)
    assert float(np.isnan(rec["dff"]).mean()) == pytest.approx(0.1, abs=0.01)
    sizes = rec["spike_size"].values
    assert sizes.std() / sizes.mean() == pytest.approx(0.3, abs=0.03)


def test_drift_is_slow():
    rec = nr.simulate.simulate_calcium(
        1, 2000.0, 10.0, rate=1e-6, snr=np.inf, drift=0.5, drift_time=60.0, rng=2
    )
    slow = rec["dff"].values[:, 0]
    assert slow.std() == pytest.approx(0.5, rel=0.4)
    # Nothing moves by more than its slope bound within a second.
    assert np.abs(slow[10:] - slow[:-10]).max() < 0.05


def test_rate_network_obeys_its_equation():
    rec = nr.simulate.simulate_rate_network(5, 5.0, 0.01, tau=0.1, rng=3)
    h, w = rec["states"].values, rec["weights_true"].values
    assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(0.8)
    a = 1 - np.exp(-0.01 / 0.1)
    left = (h[1:] - (1 - a) * h[:-1]) / a
    drive = np.arctanh(left) - h[:-1] @ w.T
    into, *_ = np.linalg.lstsq(rec["stimulus"].values[1:], drive, rcond=None)
    # What is left after the recurrent input is linear in the stimulus, to rounding of arctanh.
    assert drive == pytest.approx(rec["stimulus"].values[1:] @ into, abs=1e-8)


def test_dna_signal_forgets_with_its_length_constant():
    d = nr.simulate.simulate_dna_memory(200, 300, length_constant=25.0, noise_sd=0.0, rng=4)
    s = d["signal"].values
    effects = np.array([-1.0, 0.5, 1.0, -0.5])
    codes = d["one_hot"].values.argmax(1)
    left = s[:, 1:] - effects[codes[:, 1:]]
    assert left / s[:, :-1] == pytest.approx(np.exp(-1 / 25), abs=1e-9)
    assert (d["one_hot"].values.sum(1) == 1).all()


def test_seeds_give_the_same_numbers_and_others_do_not():
    a, b, c = (nr.simulate.simulate_calcium(1, 20.0, rng=k) for k in (1, 1, 2))
    assert a.identical(b)
    assert not a["dff"].equals(c["dff"])


def test_a_list_of_the_wrong_length_is_refused():
    with pytest.raises(DataError, match="3 units"):
        nr.simulate.simulate_calcium(3, 10.0, tau_decay=[0.1, 0.2])


def test_trials_of_a_network_follow_their_equation():
    win = nr.simulate.simulate_rate_trials(5, 3, 0.4, 0.02, step=0.005, hold=0.02, rng=0)
    tau, weights = win["tau_true"].values, win["weights_true"].values
    into, x = win["input_weights_true"].values, win["inputs"].values
    a = 1 - np.exp(-0.005 / tau)
    state = np.zeros((3, 5))
    for k in range(20):
        for _ in range(4):
            state = state + a * (np.tanh(state @ weights.T + x[:, k] @ into.T) - state)
        # The same sums in the same order.
        np.testing.assert_allclose(win["states"].values[:, k], state, rtol=1e-12)
    assert np.abs(np.linalg.eigvals(weights)).max() == pytest.approx(0.8)
    # An infinite signal to noise ratio: observed is what is.
    assert np.array_equal(win["targets"], win["states"])


def test_trials_have_the_noise_and_the_time_constants_asked_for():
    win = nr.simulate.simulate_rate_trials(60, 10, 2.0, 0.01, snr=10, rng=1)
    noise = (win["targets"] - win["states"]).std(("trial", "time"))
    signal = win["states"].std(("trial", "time"))
    # 2000 values each: 1.6 % of an sd, four of them.
    assert noise.values == pytest.approx(signal.values / 10, rel=0.07)
    tau = win["tau_true"].values
    assert tau.min() >= 0.01 and tau.max() <= 0.2
    # The middle of 0.01 to 0.2 is its geometric mean; 60 draws of sd 0.75 in the log.
    assert np.log(tau).mean() == pytest.approx(np.log(0.01 * 0.2) / 2, abs=0.3)
    with pytest.raises(DataError, match="divides"):
        nr.simulate.simulate_rate_trials(3, 2, 0.1, 0.01, step=0.003)


def test_systems_keep_what_they_conserve():
    swing = nr.simulate.simulate_system("pendulum", 50.0, 0.1, start=[1.5, 0.0])["series"]
    angle, speed = swing.values[0].T
    energy = speed**2 / 2 - np.cos(angle)
    # The integrator's tolerance of 1e-9 over some thousand steps.
    assert np.ptp(energy) < 1e-6
    prey, predator = nr.simulate.simulate_system("lotka_volterra", 30.0, 0.1, rng=0)["series"][0].T
    level = prey - np.log(prey) + predator - np.log(predator)
    assert float(np.ptp(level.values)) < 1e-6


def test_lorenz_lies_on_its_attractor():
    series = nr.simulate.simulate_system("lorenz", 400.0, 0.02, rng=0)["series"].values[0]
    # Symmetric in x and y; mean of z 23.55, its sd 8.6 (Sprott 2003, Chaos and Time-Series
    # Analysis): 400 s hold about 500 loops.
    assert abs(series[:, 0].mean()) < 1.5
    assert series[:, 2].mean() == pytest.approx(23.55, abs=0.4)
    assert series[:, 2].std() == pytest.approx(8.6, abs=0.4)
    # The third equation, averaged over the series.
    z, dz = series[:-1, 2], np.diff(series[:, 2]) / 0.02
    xy = (series[:-1, 0] * series[:-1, 1]).mean()
    assert dz.mean() == pytest.approx(xy - 8 / 3 * z.mean(), abs=0.5)


def test_a_system_or_parameter_that_is_not_known():
    with pytest.raises(KeyError, match="lorenz"):
        nr.simulate.simulate_system("lorentz")
    with pytest.raises(KeyError, match="rho"):
        nr.simulate.simulate_system("lorenz", rh=3.0)
    with pytest.raises(ValueError, match="start"):
        nr.simulate.simulate_system("lorenz", start=[1.0, 2.0])
    with pytest.raises(DataError, match="finite"):
        nr.simulate.simulate_system("duffing", 20.0, 0.1, beta=-1.0, start=[3.0, 5.0])
