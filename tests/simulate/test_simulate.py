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
