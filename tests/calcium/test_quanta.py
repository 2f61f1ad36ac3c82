"""Spikes of an event from the sizes of all: recovery, honesty where sizes do not tell, units."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.calcium.size_mixture import Mixture, Sizes


def bursty(seed, *, alone=0.8, spread=0.02, size_cv=0.1, snr=10.0):
    """Ten minutes of bursts at .3 Hz: geometric numbers of spikes within `spread` (s)."""
    rng = np.random.default_rng([seed, 7])
    begins = np.sort(rng.uniform(0, 600.0, rng.poisson(180)))
    train = np.repeat(begins, rng.geometric(alone, len(begins)))
    train = np.sort(train + rng.uniform(0, spread, len(train)))
    return nr.simulate.simulate_calcium(
        1, 600.0, tau_decay=0.5, snr=snr, size_cv=size_cv, spike_times=[train], rng=rng
    )


def fitted(recording):
    return nr.calcium.Kinetics().fit(recording["dff"])


def stand_in(sizes, noise_sd=0.01, autocorrelation=0.0):
    """What is read of `Kinetics`, one event of given size every three seconds in one cell."""
    sizes = np.asarray(sizes, float)
    frame = 90 * (1 + np.arange(len(sizes)))
    zeros = np.zeros(len(sizes), int)
    table = {"tau_decay": 0.5, "noise_sd": noise_sd, "residual_autocorrelation": autocorrelation}
    return SimpleNamespace(
        sampling_rate_=30.0,
        parameters_=xr.Dataset(
            {**{k: ("unit", [v]) for k, v in table.items()}, "status": ("unit", ["ok"])},
            coords={"unit": [0]},
        ),
        events_=xr.Dataset(
            {
                "event_size": ("event", sizes, {"units": "1"}),
                "event_unit": ("event", zeros),
                "event_frame": ("event", frame),
            }
        ),
        segments_=xr.Dataset(
            {
                "segment_frame": ("segment", frame),
                "segment_unit": ("segment", zeros),
                "kernel_rise": ("unit", [0.05]),
            },
            coords={"time": (np.arange(90 * (len(sizes) + 2)) + 1) / 30},
        ),
    )


def drawn(seed, numbers, *, cv=0.1, exponent=1.0):
    """Sizes of events with these numbers of spikes under the model, quantum 1."""
    n = np.asarray(numbers, float)
    sd = cv * exponent * n ** (exponent - 0.5)
    return np.abs(np.random.default_rng(seed).normal(n**exponent, sd))


@pytest.mark.parametrize("seed", range(3))
def test_quantum_and_number_of_spikes_of_bursts_are_found(seed):
    recording = bursty(seed)
    kinetics = fitted(recording)
    quanta = nr.calcium.estimate_quantum(kinetics)
    assert quanta["status"].item() == "ok" and quanta["reason"].item() == ""
    # About 180 events of 10 % and more: one per cent is a standard error.
    assert float(quanta["quantum"][0]) == pytest.approx(1.0, abs=0.04)
    low, high = quanta["quantum_ci"].values[0]
    assert low < float(quanta["quantum"][0]) < high
    counted = nr.calcium.count_spikes(kinetics, quanta)
    n_spikes, n_events = recording.sizes["spike"], counted.sizes["event"]
    # Every event as one spike would miss a sixth of them.
    assert n_events < 0.88 * n_spikes
    assert float(counted["event_spikes"].sum()) == pytest.approx(n_spikes, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "alone", "size_cv"), [(0.02, 0.8, 0.1), (0.0, 0.75, 0.1)])
def test_intervals_cover_over_many_seeds(spread, alone, size_cv):
    covered, ratios = [], []
    for seed in range(40):
        recording = bursty(seed, spread=spread, alone=alone, size_cv=size_cv)
        kinetics = fitted(recording)
        quanta = nr.calcium.estimate_quantum(kinetics)
        low, high = quanta["quantum_ci"].values[0]
        covered.append(low <= 1.0 <= high)
        spikes = nr.calcium.count_spikes(kinetics, quanta)["event_spikes"]
        ratios.append(float(spikes.sum()) / recording.sizes["spike"])
    # 40 seeds: 0.95 less one and a half binomial standard errors.
    assert np.mean(covered) >= 0.9
    assert np.abs(np.array(ratios) - 1).max() < 0.1


def test_single_spikes_are_one_each_and_no_mixture_is_claimed():
    recording = bursty(1, alone=1.0, size_cv=0.2)
    kinetics = fitted(recording)
    quanta = nr.calcium.estimate_quantum(kinetics)
    assert quanta["status"].item() == "not_identifiable"
    assert "one broad mode" in quanta["reason"].item()
    assert np.isnan(quanta["quantum_ci"]).all()
    assert float(quanta["quantum"][0]) == pytest.approx(1.0, abs=0.1)
    counted = nr.calcium.count_spikes(kinetics, quanta)
    assert float(counted["event_spikes"].mean()) == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("law", ["normal", "gamma", "lognormal"])
@pytest.mark.slow
def test_one_broad_mode_is_not_taken_for_many(law):
    claimed = []
    for seed in range(12):
        rng = np.random.default_rng([seed, 3])
        sizes = {
            "normal": lambda rng=rng: rng.normal(1.0, 0.2, 150),
            "gamma": lambda rng=rng: rng.gamma(6.0, 1 / 6, 150),
            "lognormal": lambda rng=rng: rng.lognormal(0.0, 0.5, 150),
        }[law]()
        quanta = nr.calcium.estimate_quantum(stand_in(sizes))
        claimed.append(quanta["status"].item() == "ok")
    # The information criterion is wrong in a few of a hundred.
    assert np.sum(claimed) <= 2


def test_half_of_the_quantum_loses_against_the_quantum():
    numbers = np.random.default_rng(0).geometric(0.7, 200)
    mixture = Mixture(_sizes(drawn(1, numbers)), 8, 1.0)
    start = np.log([0.1, 0.4])
    whole, half = (mixture.given(float(np.log(q)), start)[1] for q in (1.0, 0.5))
    assert half > whole + 20


def test_only_pairs_of_spikes_cannot_be_told_from_single_ones():
    # What no one could know: without lone spikes the quantum comes out twice too large, and ok.
    numbers = 2 * np.random.default_rng(0).geometric(0.7, 200)
    quanta = nr.calcium.estimate_quantum(stand_in(drawn(1, numbers)))
    assert quanta["status"].item() == "ok"
    assert float(quanta["quantum"][0]) == pytest.approx(2.0, rel=0.05)


def test_small_events_left_out_take_the_status_away():
    sizes = np.random.default_rng(0).geometric(0.7, 200) * 1.0
    kinetics = stand_in(drawn(1, sizes), autocorrelation=0.3)
    quanta = nr.calcium.estimate_quantum(kinetics)
    assert quanta["status"].item() == "not_identifiable"
    assert np.isnan(quanta["quantum_ci"]).all()


def test_single_spikes_beside_bursts_are_kept():
    recording = bursty(0, alone=0.6, spread=0.0)
    kinetics = fitted(recording)
    quanta = nr.calcium.estimate_quantum(kinetics)
    low, high = quanta["quantum_ci"].values[0]
    assert quanta["status"].item() == "ok" and low <= 1.0 <= high
    counted = float(nr.calcium.count_spikes(kinetics)["event_spikes"].sum())
    # Bursts at .3 Hz seldom meet: what is lost is what falls into one frame with another.
    assert counted == pytest.approx(recording.sizes["spike"], rel=0.05)


def test_an_exponent_makes_larger_events_of_the_same_spikes():
    numbers = np.random.default_rng(2).geometric(0.6, 300)
    kinetics = stand_in(drawn(3, numbers, exponent=1.5))
    quanta = nr.calcium.estimate_quantum(kinetics, exponent=1.5)
    low, high = quanta["quantum_ci"].values[0]
    assert quanta["status"].item() == "ok" and low <= 1.0 <= high
    counted = nr.calcium.count_spikes(kinetics, quanta)["event_spikes"]
    # Most modes stand far apart: almost every event is counted right.
    assert np.mean(np.round(counted) == numbers) > 0.95


def _sizes(size, variance=1e-4):
    size = np.asarray(size, float)
    return Sizes(size, np.full(len(size), variance), 0.0, 0.0, np.arange(len(size)))


def test_posterior_is_bayes_by_hand():
    mixture = Mixture(_sizes([1.5], 0.01), 2, 1.0)
    mean, sd = mixture.numbers(1.0, 0.2, 0.25)
    prior = np.array([0.8, 0.2])
    variance = np.array([0.04, 0.08]) + 0.01
    share = 0.99 * prior * np.exp(-0.125 / variance) / np.sqrt(2 * np.pi * variance)
    stray = 0.01 / (1.5 * 1.5)
    total = share.sum() + stray
    by_hand = (share @ [1, 2] + 1.5 * stray) / total
    assert mean[0] == pytest.approx(by_hand, rel=1e-12)
    square = (share @ [1, 4] + 2.25 * stray) / total
    assert sd[0] == pytest.approx(np.sqrt(square - by_hand**2), rel=1e-9)


def test_an_event_beyond_the_largest_number_counts_by_its_size():
    mean, _ = Mixture(_sizes([1.0, 30.0]), 4, 1.0).numbers(1.0, 0.1, 0.3)
    assert mean == pytest.approx([1.0, 30.0], rel=0.02)


def test_the_unit_of_the_trace_scales_the_quantum_and_nothing_else():
    sizes = drawn(5, np.random.default_rng(5).geometric(0.7, 150))
    one, hundred = (
        nr.calcium.estimate_quantum(stand_in(f * sizes, noise_sd=f * 0.01)) for f in (1.0, 100.0)
    )
    # To the tolerance of the search.
    assert float(hundred["quantum"][0]) == pytest.approx(100 * float(one["quantum"][0]), rel=1e-3)
    assert hundred["quantum_ci"].values == pytest.approx(100 * one["quantum_ci"].values, rel=2e-3)
    assert float(hundred["size_cv"][0]) == pytest.approx(float(one["size_cv"][0]), rel=2e-2)


def test_cells_keep_their_labels_and_silent_ones_have_no_quantum():
    recording = nr.simulate.simulate_calcium(2, 60.0, rate=[0.2, 0.0], snr=10, rng=0)
    kinetics = fitted(recording.assign_coords(unit=["a", "b"]))
    quanta = nr.calcium.estimate_quantum(kinetics)
    assert list(quanta["unit"].values) == ["a", "b"]
    assert quanta["status"].values.tolist() == ["too_few_events", "too_few_events"]
    assert np.isfinite(quanta["quantum"][0]) and np.isnan(quanta["quantum_ci"]).all()
    counted = nr.calcium.count_spikes(kinetics, quanta)
    second = counted["event_unit"].values == 1
    assert np.isfinite(counted["event_spikes"].values[~second]).all()
    if not second.any():
        assert np.isnan(quanta["quantum"][1])


@pytest.mark.slow
def test_a_saved_fit_gives_the_same_and_a_known_quantum_is_used(tmp_path):
    kinetics = fitted(bursty(2))
    quanta = nr.calcium.estimate_quantum(kinetics)
    kinetics.save(tmp_path / "cell")
    again = nr.calcium.estimate_quantum(nr.load(tmp_path / "cell"))
    xr.testing.assert_allclose(again, quanta)
    known = quanta.copy(deep=True)
    known["quantum"][:] = 0.5
    once = nr.calcium.count_spikes(kinetics, quanta)["event_spikes"].sum()
    twice = nr.calcium.count_spikes(kinetics, known)["event_spikes"].sum()
    assert float(twice / once) == pytest.approx(2.0, rel=0.05)


def test_bad_input_says_what_to_do():
    good = stand_in(drawn(0, np.ones(30)))
    with pytest.raises(KindError, match="fitted Kinetics"):
        nr.calcium.estimate_quantum(nr.calcium.Kinetics())
    with pytest.raises(DataError, match="max_spikes"):
        nr.calcium.estimate_quantum(good, max_spikes=1)
    with pytest.raises(DataError, match="confidence_level"):
        nr.calcium.estimate_quantum(good, confidence_level=95)
    with pytest.raises(DataError, match="exponent"):
        nr.calcium.estimate_quantum(good, exponent=-1.0)
    with pytest.raises(KindError, match="estimate_quantum"):
        nr.calcium.count_spikes(good, quanta=1.0)
    quanta = nr.calcium.estimate_quantum(good).assign_coords(unit=["other"])
    with pytest.raises(ShapeError, match="same kinetics"):
        nr.calcium.count_spikes(good, quanta)
