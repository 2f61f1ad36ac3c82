"""Odd spikes: twice at once, clocks, silent and identical units, coarse bins, joins, gaps."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError
from neurornn._kernels.point_process import follow
from neurornn.spikes import (
    PointProcess,
    RecurrentPointProcess,
    RenewalProcess,
    dispersion,
    time_rescaling,
)


@pytest.fixture(scope="module")
def trains():
    pair = nr.simulate.simulate_spike_trains(2, 60.0, rng=1)
    times, owner = pair["spike_times"].values, pair["spike_unit"].values
    return [times[owner == k] for k in range(2)]


def recorded(trains, seconds=60.0):
    return nr.data.from_spikes(trains, t_start=0.0, t_stop=seconds)


@pytest.mark.parametrize("kind", ["gamma", "inverse_gaussian"])
def test_spikes_at_the_same_time_leave_intervals_of_a_renewal_process_sane(kind):
    times = np.sort(np.random.default_rng(0).uniform(0, 60, 900))
    twice = recorded([np.sort(np.concatenate([times, times[:100]]))])
    model = RenewalProcess(kind).fit(twice)
    assert float(model.parameters_["rate"][0]) == pytest.approx(1000 / 60, rel=0.02)
    # Such a fit had a rate of 0, and drew without end.
    assert 800 < int(model.simulate(rng=0)["spike_count"][0]) < 1200
    if kind == "gamma":
        # As of two spikes in a bin of counts.
        counts = RenewalProcess().fit(nr.data.bin_spikes(twice, 0.001)).parameters_
        assert np.allclose(counts["shape"], model.parameters_["shape"], rtol=0.1)


@pytest.mark.parametrize("kind", ["gamma", "inverse_gaussian"])
def test_a_clock_is_no_renewal_process_and_says_so(kind):
    clock = recorded([np.arange(0.01, 60, 0.05)])
    model = RenewalProcess(kind).fit(clock)
    table = model.parameters_
    assert table["status"].values.tolist() == ["not_converged"]
    assert float(table["rate"][0]) == pytest.approx(20.0, rel=1e-3)
    assert float(table["shape"][0]) == pytest.approx(1e6)
    assert np.isfinite(model.rates(clock)).all()
    assert time_rescaling(model, clock).verdict


@pytest.mark.parametrize("kind", ["gamma", "inverse_gaussian"])
def test_a_unit_without_a_fit_has_no_rate(kind, trains):
    spikes = recorded([[5.0], trains[0]])
    rates = RenewalProcess(kind).fit(spikes).rates(spikes)
    assert np.isnan(rates.values[:, 0]).all()
    assert np.isfinite(rates.values[:, 1]).all()


def test_a_single_spike_is_too_few_and_not_none(trains):
    table = dispersion(recorded([[], [5.0], trains[0]]))
    assert table["status"].values.tolist() == ["no_data", "too_few_events", "ok"]


def test_units_that_hardly_fire_are_not_called_together():
    shared = np.array([3.0, 20.0, 40.0])
    times = np.sort(np.random.default_rng(0).uniform(0, 60, 900))
    spikes = recorded([shared, np.sort(np.concatenate([times, shared]))])
    rates = np.tile([3 / 60, 903 / 60], (60000, 1))
    check = time_rescaling(rates, spikes, bin_size=0.001)
    assert np.isnan(check.population["together"]).all()
    assert check.missing == [[], []]


@pytest.mark.parametrize("what", ["silent", "constant", "nothing shown"])
@pytest.mark.slow
def test_columns_that_say_nothing_do_not_stop_the_climb(what, trains):
    alone = PointProcess().fit(recorded(trains)).parameters_
    if what == "silent":
        table = PointProcess(coupling=[7], unit=[0, 1]).fit(
            nr.data.from_spikes([*trains, []], unit=[0, 1, 7], t_start=0.0, t_stop=60.0)
        ).parameters_  # fmt: skip
    else:
        shown = np.full(60000, 1.0 if what == "constant" else 0.0)
        table = PointProcess().fit(recorded(trains), stimulus=shown).parameters_
    assert table["status"].values.tolist() == alone["status"].values.tolist()
    exact = what != "constant"
    assert np.allclose(table["tau_adaptation"], alone["tau_adaptation"],
                       rtol=1e-4 if exact else 0.03)  # fmt: skip


@pytest.mark.slow
def test_time_constants_do_not_hang_on_the_bins(trains):
    fits = [PointProcess(bin_size=b).fit(recorded(trains)).parameters_
            for b in (0.0005, 0.001, 0.01, 0.05)]  # fmt: skip
    for fit in fits:
        assert fit["status"].values.tolist() == fits[0]["status"].values.tolist()
        for name in ("tau_recovery", "tau_adaptation"):
            assert np.allclose(fit[name], fits[0][name], rtol=0.01, equal_nan=True)


def test_windows_and_pasts_shorter_than_their_bins_are_refused(trains):
    model = PointProcess(history_basis="raised_cosine", forgetting=0.001, bin_size=0.002)
    with pytest.raises(DataError, match=r"forgetting is 0.001 s, with bins of 0.002 s"):
        model.fit(recorded(trains))
    with pytest.raises(DataError, match=r"history is 0.001 s, with bins of 0.002 s"):
        PointProcess(history=0.001, bin_size=0.002).fit(recorded(trains))


def test_the_stretched_time_begins_again_at_joins_and_unseen_rows_teach_nothing():
    x, y = np.ones((6, 1)), np.array([0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    kind = np.array([1, 0, 0, 1, 0, 2])
    fired, passed = np.array([2.0, 4.0]), np.array([4.0, 2.0])
    mean = np.empty(6)
    weights = np.array([np.log(0.1)])
    left = follow(x, y, kind, weights, np.zeros((1, 1)), 1.0, 0.0, False, fired, passed, 1.0,
                  -1.0, mean)  # fmt: skip
    # Only row 2 has a spike before it in its run: the first class halves its rate.
    assert mean == pytest.approx([0.1, 0.1, 0.05, 0.1, 0.1, 0.1])
    assert passed.tolist() == [4.1, 2.0]
    assert fired.tolist() == [2.0, 4.0]
    assert left == -1.0
    covariance = np.eye(1)
    follow(x, np.zeros(6), np.full(6, 2), weights, covariance, 0.9, 5.0, False, np.empty(0),
           np.empty(0), 0.9, -1.0, mean)  # fmt: skip
    assert weights[0] == np.log(0.1)
    assert covariance[0, 0] == 1.0


def test_a_unit_that_was_not_watched_does_not_drift(trains):
    whole = nr.data.bin_spikes(recorded(trains), 0.002)
    part = whole.astype(float)
    part[5000:15000, 0] = np.nan
    settings = {"history_basis": "raised_cosine", "forgetting": 20.0, "bin_size": 0.002}
    model = PointProcess(**settings).fit(whole)
    hole = model.rates(part).values[5200:15000, 0]
    # Bins that nobody saw were learned as silence: the rate fell on and on.
    assert np.ptp(hole) < 1e-9 * hole.mean()


@pytest.mark.slow
def test_what_came_is_not_changed_and_the_same_seed_draws_the_same(trains):
    spikes = recorded(trains)
    before = spikes.copy(deep=True)
    counts = nr.data.bin_spikes(spikes, 0.002).values.astype("int16")
    kept = counts.copy()
    for model in (PointProcess(), RenewalProcess()):
        model.fit(spikes)
        first, second = (model.simulate(5.0, rng=3)["spike_times"].values for _ in range(2))
        assert np.array_equal(first, second)
    PointProcess(history_basis="raised_cosine", bin_size=0.002, renewal=True).fit(counts)
    RecurrentPointProcess(n_hidden=2, max_epochs=1, bin_size=0.002).fit(counts)
    assert spikes.identical(before)
    assert np.array_equal(counts, kept)


def test_a_clock_in_exponentials_warns_and_does_not_break():
    clock = recorded([np.arange(0.01, 60, 0.05)])
    with pytest.warns(ConvergenceWarning, match="did not come to rest"):
        model = PointProcess().fit(clock)
    assert model.parameters_["status"].values.tolist() == ["not_converged"]
    assert time_rescaling(model, clock).verdict


def test_a_model_that_feeds_itself_is_not_simulated_in_silence():
    rec = nr.simulate.simulate_spike_trains(1, 30.0, rng=0)
    model = nr.spikes.PointProcess(history=0.05, history_basis="raised_cosine").fit(rec)
    # A spike that calls for the next one, in all bins.
    model.weights_["weight"].values[0, 1:] = 5.0
    with pytest.raises(DataError, match="feed themselves"):
        model.simulate(2.0, rng=0)


def test_trials_with_one_spike_each_say_nothing_of_a_past():
    counts = np.zeros((30, 50, 1))
    counts[np.arange(30), np.arange(30), 0] = 1.0
    table = nr.spikes.PointProcess(history=0.02).fit(counts).parameters_
    assert table["status"].values.tolist() == ["too_few_events"]
    assert np.isnan(table["tau_recovery"]).all()
