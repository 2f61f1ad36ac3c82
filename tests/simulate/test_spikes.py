"""Simulated spike trains have the rates, dead times, intervals and couplings asked for."""

import numpy as np
import pytest
from scipy import stats

from neurornn._core.errors import DataError, ShapeError
from neurornn.simulate import simulate_poisson, simulate_renewal, simulate_spike_trains


def trains(rec):
    return [
        rec["spike_times"].values[rec["spike_unit"].values == i] for i in range(rec.sizes["unit"])
    ]


def test_a_poisson_train_of_a_given_rate():
    steps = np.arange(40_000) * 0.001
    rate = 20 + 15 * np.sin(2 * np.pi * steps / 4)
    rec = simulate_poisson(np.stack([rate, 0 * rate + 30], 1), rng=0)
    first, second = trains(rec)
    # Time stretched by the rate is uniform in the spikes, whatever the rate.
    stretched = np.interp(first, np.append(0, steps + 0.001), np.append(0, np.cumsum(rate)))
    assert stats.kstest(stretched / rate.sum(), "uniform").pvalue > 0.01
    # Four standard deviations of a Poisson count of 1200.
    assert abs(len(second) - 1200) < 140
    assert stats.kstest(np.diff(second) * 30, "expon").pvalue > 0.01


@pytest.mark.parametrize(("kind", "law"), [
    ("gamma", stats.gamma(3.0, scale=1 / 3)), ("inverse_gaussian", stats.invgauss(1 / 3, scale=3)),
])  # fmt: skip
def test_renewal_intervals_have_their_law(kind, law):
    rec = simulate_renewal(2, 100.0, kind=kind, shape=3.0, rate=25.0, rng=1)
    for times in trains(rec):
        assert stats.kstest(np.diff(times) * 25, law.cdf).pvalue > 0.01


def test_the_past_of_a_neuron_shapes_its_intervals():
    rec = simulate_spike_trains(1, 400.0, rate=20.0, adaptation=0.0, recovery=-2.0, rng=2)
    waits = np.diff(rec["spike_times"].values)
    assert waits.min() > 0.003
    # The hazard after u s without a spike, against its closed form, in bins of 1 ms.
    edges = np.arange(3, 21) * 1e-3
    starts = np.array([(waits > a).sum() for a in edges[:-1]])
    fell = np.histogram(waits, edges)[0]
    middle = edges[:-1] + 0.0005
    # Recoveries of spikes before the last one add a thousandth at 20 Hz and 5 ms.
    expected = starts * 0.001 * 20 * np.exp(-2 * np.exp(-middle / 0.005)) * (1 - 0.01)
    # Sum over 17 bins of a chi-square of 17 degrees of freedom; .001 quantile beyond 40.8.
    assert np.sum((fell - expected) ** 2 / expected) < 40.8


def test_adaptation_lowers_the_rate_as_its_mean_says():
    rec = simulate_spike_trains(
        1, 400.0, rate=20.0, dead_time=0.0, recovery=0.0, adaptation=-0.02, tau_adaptation=2.0,
        rng=3,
    )  # fmt: skip
    # So slow and small a gain is its mean: r = 20 exp(-.02 * 2 * r), r = 12.5 at 20 Hz.
    fixed = 12.0
    for _ in range(200):
        fixed += 0.2 * (20 * np.exp(-0.04 * fixed) - fixed)
    # Feedback makes counts more regular than Poisson, 3 % is four Poisson sd of 5000 spikes.
    assert abs(float(rec["spike_count"][0]) / 400 / fixed - 1) < 0.05


def test_a_source_drives_its_target_and_not_the_other_way():
    gains = np.array([[0.0, 1.5], [0.0, 0.0]])
    rec = simulate_spike_trains(
        2, 200.0, rate=10.0, recovery=0.0, adaptation=0.0, coupling=gains, tau_coupling=0.01,
        rng=4,
    )  # fmt: skip
    target, source = trains(rec)

    def after(a, b):
        return np.mean([np.sum((b > t + 0.001) & (b < t + 0.006)) for t in a])

    # 10 Hz in 5 ms is .05; the gain of exp(1.5 exp(-.35)) makes it about .14.
    assert after(source, target) > 0.11
    assert after(target, source) < 0.07


def test_a_stimulus_comes_through_its_filter():
    shown = np.tile(np.repeat([1.0, 0.0], 500), 100)
    rec = simulate_spike_trains(
        1, 100.0, rate=20.0, dead_time=0.0, recovery=0.0, adaptation=0.0, stimulus=shown,
        stimulus_filter=np.full(10, 0.1), rng=5,
    )  # fmt: skip
    phase = rec["spike_times"].values % 1.0
    on, off = np.sum((phase > 0.01) & (phase < 0.5)) / 49, np.sum(phase > 0.51) / 49
    # A sum of 1 over the filter is a factor e; 5 % is two sd of 2600 spikes and 950.
    assert abs(on / off / np.e - 1) < 0.1
    assert rec["sample_time"].values[0] == pytest.approx(0.001)


def test_what_cannot_be_simulated_is_refused():
    with pytest.raises(DataError, match="feed themselves"):
        simulate_spike_trains(1, 20.0, dead_time=0.0, recovery=0.0, adaptation=3.0, rng=0)
    with pytest.raises(ShapeError, match="coupling has shape"):
        simulate_spike_trains(2, 1.0, coupling=[[0.0]], rng=0)
    with pytest.raises(DataError, match="Rates of 0 or more"):
        simulate_poisson([-1.0, 2.0], rng=0)
    with pytest.raises(ShapeError, match="no duration"):
        simulate_poisson(3.0)
    with pytest.raises(DataError, match="above 0"):
        simulate_spike_trains(1, 1.0, tau_recovery=0.0)
