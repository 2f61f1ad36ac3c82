"""Time rescaling: what holds is passed, what is missing is named, and bins are corrected for."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.spikes import PointProcess, time_rescaling
from neurornn.spikes.account import stretched_intervals


def trains(seed, duration=200.0, **options):
    return nr.simulate.simulate_spike_trains(1, duration, rng=seed, **options)


def test_the_correction_is_that_of_haslinger():
    rng = np.random.default_rng(0)
    probability = rng.uniform(0.01, 0.4, 300)
    spikes = np.flatnonzero(rng.random(300) < probability)
    found = stretched_intervals(-np.log1p(-probability), spikes, bernoulli=True, rng=3)
    share = np.random.default_rng(3).random(len(spikes))
    expected, before = [], -1
    for k, r in zip(spikes, share, strict=True):
        # Their equation: q of the bins between, and delta of the bin of the spike.
        q = -np.log(1 - probability[before + 1 : k])
        own = -np.log(1 - probability[k])
        expected.append(q.sum() - np.log(1 - r * (1 - np.exp(-own))))
        before = k
    assert np.allclose(found, expected, rtol=1e-12)


def test_several_spikes_of_a_bin_lie_evenly_over_it():
    rows = np.array([0, 0, 0, 1])
    z = stretched_intervals(np.array([3.0, 2.0]), rows, bernoulli=False, rng=0)
    at = np.cumsum(z)
    assert (at[:3] < 3.0).all()
    assert 3.0 <= at[3] < 5.0


@pytest.mark.parametrize("bernoulli", [True, False])
def test_spikes_of_the_rates_are_passed(bernoulli):
    rng = np.random.default_rng(1)
    mean = np.exp(rng.normal(-2.0, 1.0, 40_000))
    rejected = 0
    for _ in range(100):
        if bernoulli:
            rows = np.flatnonzero(rng.random(len(mean)) < -np.expm1(-mean))
        else:
            rows = np.repeat(np.arange(len(mean)), rng.poisson(mean))
        z = stretched_intervals(mean, rows, bernoulli=bernoulli, rng=rng)
        rejected += stats.kstest(z, "expon").pvalue < 0.05
    # 100 tests at 5 %: more than 12, or none, comes once in 400.
    assert 0 < rejected <= 12


def test_without_the_correction_the_truth_is_refused():
    rng = np.random.default_rng(2)
    mean = np.full(20_000, 0.3)
    rows = np.flatnonzero(rng.random(len(mean)) < -np.expm1(-mean))
    plain = np.diff(np.cumsum(mean)[rows])
    assert stats.kstest(plain, "expon").pvalue < 1e-6
    assert stats.kstest(
        stretched_intervals(mean, rows, bernoulli=True, rng=0), "expon"
    ).pvalue > 0.01  # fmt: skip


@pytest.mark.slow
def test_the_model_that_holds_is_said_to_fit():
    check = time_rescaling(PointProcess().fit(trains(0)), trains(1))
    assert check.missing == [[]]
    assert check.parameters["status"].values.tolist() == ["ok"]
    assert "inside the band" in check.verdict[0]
    assert "the model fits" in check.verdict[0]
    n = int(check.parameters["n_intervals"][0])
    assert n == int(trains(1)["spike_count"][0]) - 1
    assert float(check.band[0]) == pytest.approx(stats.kstwo.ppf(0.95, n))
    z = check.intervals["rescaled"].values
    assert float(check.statistic[0]) == pytest.approx(stats.kstest(z, "uniform").statistic)


def test_a_poisson_account_misses_the_refractory_period():
    check = time_rescaling(PointProcess(history=None).fit(trains(0)), trains(1))
    assert check.missing[0][0] == "refractoriness"
    assert "refractoriness is missing" in check.report()
    assert "Pass history=" in check.report()


def test_bursts_are_named():
    bursts = {"recovery": 2.0, "dead_time": 0.001, "adaptation": 0.0, "rate": 10.0}
    check = time_rescaling(
        PointProcess(history=None).fit(trains(0, **bursts)), trains(1, **bursts)
    )
    assert check.missing[0][0] == "bursts"


def test_adaptation_is_named():
    slow = {"recovery": 0.0, "dead_time": 0.0, "adaptation": -0.6, "tau_adaptation": 0.15}
    renewal = nr.simulate.simulate_renewal(duration=200.0, shape=2.0, rng=0)
    assert float(renewal["spike_count"][0]) > 100
    model = PointProcess(history=None).fit(trains(0, **slow))
    check = time_rescaling(model, trains(1, **slow))
    assert "adaptation" in check.missing[0]
    assert float(check.parameters["serial_correlation"][0]) < 0


def test_drift_is_named():
    rate = np.where(np.arange(200_000) < 100_000, 10.0, 14.0)
    rec = nr.simulate.simulate_poisson(rate, rng=0)
    flat = PointProcess(history=None).fit(
        nr.simulate.simulate_poisson(12.0, duration=200.0, rng=1)
    )
    check = time_rescaling(flat, rec)
    assert "drift" in check.missing[0]
    assert float(check.parameters["drift_p_value"][0]) < 0.01


def test_common_input_is_named_and_seen_in_the_population():
    shared = np.repeat(np.random.default_rng(0).standard_normal(10_000), 20)

    def both(seed):
        return nr.simulate.simulate_spike_trains(
            2, 200.0, stimulus=shared, stimulus_filter=[0.7], recovery=0.0, adaptation=0.0,
            dead_time=0.0, rate=10.0, rng=seed,
        )  # fmt: skip

    blind = PointProcess(history=None).fit(both(1))
    check = time_rescaling(blind, both(2))
    assert all("common_input" in m for m in check.missing)
    assert float(check.population["together"][0, 1]) > 5
    seeing = PointProcess("stimulus", history=None, stimulus_duration=0.02, n_stimulus=2)
    check = time_rescaling(seeing.fit(both(1)), both(2))
    assert not any("common_input" in m for m in check.missing)
    # Two tests of a model that holds.
    assert (check.population["population_p_value"].values > 0.01).all()


def test_which_unit_fired_is_tested_where_rates_are_exchanged():
    rng = np.random.default_rng(3)
    rates = np.exp(rng.normal(2.5, 0.7, (40_000, 2)))
    rec = nr.simulate.simulate_poisson(rates, rng=rng)
    right = time_rescaling(rates, rec, bin_size=0.001)
    assert (right.p_value.values > 0.01).all()
    assert float(right.population["population_p_value"].sel(test="marks")) > 0.01
    wrong = time_rescaling(rates[:, ::-1].copy(), rec, bin_size=0.001)
    # The ground process is the same to the last digit; the marks are not.
    assert float(wrong.population["population_p_value"].sel(test="ground")) > 0.01
    assert float(wrong.population["population_p_value"].sel(test="marks")) < 1e-6


@pytest.mark.slow
def test_false_names_are_rare():
    """What fits is called so: at level .01 each, and .05 for the distance itself."""
    rng = np.random.default_rng(4)
    named = []
    for _ in range(60):
        rec = nr.simulate.simulate_poisson(np.full((10_000, 2), 20.0), rng=rng)
        check = time_rescaling(np.full((10_000, 2), 20.0), rec, bin_size=0.001, rng=rng)
        named += [bool(m) for m in check.missing]
    # 1 - .95 * .99 ** 3 is 8 %: of 120, 20 and more come once in 1000.
    assert sum(named) < 20


def test_rates_that_came_as_an_array():
    rates = np.full((20_000, 1), 40.0)
    rec = nr.simulate.simulate_poisson(rates, rng=0)
    counts = nr.data.bin_spikes(rec, 0.001)
    labelled = xr.DataArray(rates, dims=("time", "unit"), attrs={"bin_size": 0.001})
    one = time_rescaling(labelled, counts)
    two = time_rescaling(rates, rec, bin_size=0.001)
    assert float(one.statistic[0]) == float(two.statistic[0])
    wide = nr.data.bin_spikes(rec, 0.001).clip(max=1)
    hazard = time_rescaling(rates, wide, bin_size=0.001, distribution="bernoulli")
    share = time_rescaling(
        -np.expm1(-rates * 0.001) / 0.001, wide, bin_size=0.001, distribution="probability"
    )
    assert float(hazard.statistic[0]) == pytest.approx(float(share.statistic[0]), abs=1e-12)
    with pytest.raises(KindError, match="without bin_size"):
        time_rescaling(rates, rec)
    with pytest.raises(ShapeError, match="One rate for each bin"):
        time_rescaling(rates[:-1], rec, bin_size=0.001)
    with pytest.raises(DataError, match="0 or more"):
        time_rescaling(-rates, rec, bin_size=0.001)
    with pytest.raises(KindError, match="fitted model of spikes"):
        time_rescaling("glm", rec)


def test_too_few_spikes_are_no_verdict():
    rec = nr.data.from_spikes([[0.5, 1.0, 1.5]], t_start=0.0, t_stop=2.0)
    check = time_rescaling(np.full((2000, 1), 1.5), rec, bin_size=0.001)
    assert check.parameters["status"].values.tolist() == ["too_few_events"]
    assert np.isnan(check.statistic).all()
    assert "too few intervals to tell" in check.verdict[0]


def test_saved_and_loaded_it_says_the_same(tmp_path):
    check = time_rescaling(PointProcess(history=None).fit(trains(0)), trains(1))
    check.save(tmp_path / "check")
    again = nr.load(tmp_path / "check")
    assert again.verdict == check.verdict
    assert again.missing == check.missing


@pytest.mark.realdata
@pytest.mark.slow
def test_real_ganglion_cells_fit_once_drift_is_followed(realdata):
    from scipy.io import loadmat

    def read(name, key):
        return loadmat(realdata(f"spikes/pillow_rgc/{name}.mat"))[key].ravel()

    stamps, cell = read("stimtimes", "stimtimes"), read("SpTimes", "SpTimes")[2].ravel()
    rec = nr.data.from_spikes([cell], t_start=0.0, t_stop=float(stamps[-1])).assign(
        stimulus=("sample", read("Stim", "Stim")), sample_time=("sample", stamps)
    )
    train, test = nr.data.restrict(rec, 200.0, 300.0), nr.data.restrict(rec, 300.0, 400.0)
    options = {
        "history": 0.3, "history_basis": "raised_cosine", "n_history": 14, "n_stimulus": 16,
        "stimulus_duration": 0.25, "bin_size": float(np.diff(stamps).mean()) / 8,
    }  # fmt: skip
    plain = PointProcess("stimulus", **options).fit(train)
    moves = PointProcess("stimulus", **options, forgetting=60.0, renewal=True).fit(train)
    before, after = time_rescaling(plain, test), time_rescaling(moves, test)
    assert float(before.statistic[0]) > float(before.band[0])
    assert float(after.statistic[0]) < float(after.band[0])
    assert float(moves.bits_per_spike(test)[0]) > float(plain.bits_per_spike(test)[0])
