"""PSTHs, tuning curves, irregularity, histograms and renewal accounts, on trains of known laws."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    NameUnknownError,
    ShapeError,
    UnitError,
    UnitWarning,
)
from neurornn.spikes import (
    PointProcess,
    RenewalProcess,
    autocorrelogram,
    dispersion,
    interval_histogram,
    psth,
    time_rescaling,
    tuning_curves,
)


def test_a_psth_is_the_mean_count_over_the_bin():
    rec = nr.data.from_spikes([[1.05, 1.15, 2.05, 3.11], [2.2]], t_start=0.0, t_stop=4.0)
    table = psth(rec, [1.0, 2.0, 3.0], window=(-0.1, 0.3), bin_size=0.1)
    assert table["time"].values == pytest.approx([0.0, 0.1, 0.2, 0.3])
    # (a, b]: .05 of two trials in the second bin, .15 and .11 in the third, over 3 trials of .1 s.
    assert table["rate"].values[:, 0] == pytest.approx([0.0, 2 / 0.3, 2 / 0.3, 0.0])
    assert table["rate"].values[:, 1] == pytest.approx([0.0, 0.0, 1 / 0.3, 0.0])
    assert table["n_trials"].values.tolist() == [[3, 3]] * 4


def test_events_by_name_and_those_that_were_not_recorded():
    rec = nr.data.from_spikes([[1.05, 2.05, 2.35]], t_start=0.0, t_stop=2.5)
    rec = rec.assign(go=("event", [1.0, np.nan, 2.0, 2.4], {"units": "s"}))
    table = psth(rec, "go", window=(0.0, 0.2), bin_size=0.1)
    assert table["n_trials"].values[:, 0].tolist() == [3, 2]
    assert table.attrs["n_missing"] == 1
    # Half of the last window lies behind the end of the recording.
    assert table["rate"].values[:, 0] == pytest.approx([2 / 0.3, 0.0])
    with pytest.raises(NameUnknownError, match="no 'goo'"):
        psth(rec, "goo")
    with pytest.raises(UnitError, match="is in ms"):
        psth(rec.assign(go=("event", [1000.0], {"units": "ms"})), "go")
    with pytest.raises(UnitError, match="Are these ms"):
        psth(rec, [1000.0, 2000.0])
    with pytest.raises(DataError, match="from below to"):
        psth(rec, "go", window=(0.5, 0.5))
    with pytest.raises(DataError, match="lies where the recording was made"):
        psth(nr.data.from_spikes([[1.0]], t_start=0.9, t_stop=1.1), [0.1])


@pytest.mark.slow
def test_intervals_of_a_psth_hold_the_rate_as_often_as_they_say():
    inside, wide = [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, 1])
        rec = nr.simulate.simulate_poisson(np.full((40_000, 3), [5.0, 20.0, 60.0]), rng=rng)
        low, high = np.moveaxis(
            psth(rec, np.arange(1.0, 39.0), window=(0.0, 0.5), bin_size=0.05)["rate_ci"].values,
            -1,
            0,
        )
        true = np.array([5.0, 20.0, 60.0])
        inside.append((low <= true) & (true <= high))
        # A gain of each trial makes counts vary by more than Poisson.
        gain = np.repeat(rng.gamma(4.0, 0.25, 40), 1000)
        moved = nr.simulate.simulate_poisson(40.0 * gain, rng=rng)
        low, high = psth(
            moved, np.arange(40.0), window=(0.0, 1.0), bin_size=0.25
        )["rate_ci"].values[:, 0].T  # fmt: skip
        wide.append((low <= 40.0) & (high >= 40.0))
    # 1200 Poisson bins: .95 +- .007 * 3, and Garwood's intervals are never short.
    assert 0.93 < np.mean(inside) < 0.99
    # 160 bins of which four share a trial's gain: 40 independent ones, .95 less three sd.
    assert np.mean(wide) > 0.85


def test_tuning_curves_read_a_place_field():
    rng = np.random.default_rng(0)
    steps = np.arange(300_000) * 0.001
    where = 0.5 + 0.5 * np.sin(2 * np.pi * steps / 17)
    rate = 1 + 20 * np.exp(-((where - 0.3) ** 2) / 0.01)
    rec = nr.simulate.simulate_poisson(np.stack([rate, 0 * rate + 10], 1), rng=rng)
    rec = rec.drop_vars(["rate_true", "sample_time"]).assign(
        position=("sample", where[9::10], {"units": "m"}),
        sample_time=("sample", steps[9::10] + 0.001),
    )
    table = tuning_curves(rec, "position", bins=np.linspace(0, 1, 11))
    low, high = np.moveaxis(table["rate_ci"].values, -1, 0)
    true = [np.bincount(np.minimum((where * 10).astype(int), 9), rate) /
            np.bincount(np.minimum((where * 10).astype(int), 9)), np.full(10, 10.0)]  # fmt: skip
    # 20 intervals of 95 %; two lie outside but once in 4; bins of 20 ms blur the edges.
    assert ((low <= true) & (true <= high)).sum() >= 16
    assert int(np.argmax(table["rate"].values[0])) in (2, 3)
    assert float(table["occupancy"][0].sum()) == pytest.approx(300.0, abs=0.1)
    info = table["information"].values
    # Nothing is told by a rate that stays, but for the bias of 9 / (2 n ln 2) bits.
    assert info[0] > 0.5
    assert info[1] < 0.02
    both = np.stack([where, steps], 1)[9::10]
    two = tuning_curves(rec.assign(position=(("sample", "axis"), both)), "position", bins=4)
    assert two["rate"].dims == ("unit", "bin", "bin_1")
    assert np.nansum(two["rate"] * two["occupancy"]) == pytest.approx(
        float(np.nansum(table["rate"] * table["occupancy"])), rel=0.01
    )
    with pytest.raises(DataError, match="throughout"):
        tuning_curves(rec, np.ones(15_000))


def test_the_irregularity_of_known_trains():
    table = dispersion(
        nr.simulate.simulate_renewal(3, 400.0, shape=4.0, rate=20.0, rng=1), window=0.5
    )
    # Gamma of shape 4: cv 1/2; lv is 3 / (2 shape + 1); Fano of a window of 10 spikes is near
    # cv^2, and larger by what the edges add: (1 - cv^4) / 6 of a spike in 10.
    for name, true in (("cv", 0.5), ("lv", 3 / 9), ("fano_factor", 0.25 + 0.016)):
        low, high = table[f"{name}_ci"].values.T
        # Each of nine at 95 %: all three of one kind outside would be a wrong formula.
        assert ((low <= true) & (true <= high)).sum() >= 2, name
        assert (high - low < 0.4 * true).all()
    poisson = dispersion(nr.simulate.simulate_poisson(20.0, duration=400.0, rng=2))
    for name in ("fano_factor", "cv", "cv2", "lv"):
        low, high = poisson[f"{name}_ci"].values[0]
        assert low < 1 < high, name
    # Rates that change slowly raise the one and leave the other.
    slow = dispersion(nr.simulate.simulate_poisson(np.repeat([5.0, 40.0] * 10, 10_000), rng=3))
    assert float(slow["cv"][0]) > 1.5
    assert float(slow["lv"][0]) == pytest.approx(1.0, abs=0.05)


def test_irregularity_does_not_cross_a_gap():
    times = np.concatenate([np.arange(0.05, 50, 0.1), np.arange(1000.05, 1050, 0.1)])
    rec = nr.data.from_spikes([times], t_start=0.0, t_stop=1050.0)
    rec = nr.data.set_intervals(rec, [0.0, 1000.0], [50.0, 1050.0])
    assert float(dispersion(rec)["cv"][0]) == pytest.approx(0.0, abs=1e-6)
    assert dispersion(nr.data.from_spikes([[1.0, 2.0], []], t_start=0, t_stop=9.0))[
        "status"
    ].values.tolist() == ["too_few_events", "no_data"]  # fmt: skip


@pytest.mark.slow
def test_histograms_of_intervals_and_lags_beside_a_model():
    rec = nr.simulate.simulate_spike_trains(duration=200.0, rng=0)
    model, blind = PointProcess().fit(rec), PointProcess(history=None).fit(rec)
    for table, name in (
        (interval_histogram(rec, model=model), "density"),
        (autocorrelogram(rec, model=model), "rate"),
    ):
        assert float(table[name][0, :3].sum()) == 0.0
        assert float(table[f"model_{name}"][0, :2].sum()) == 0.0
        low, high = np.moveaxis(table[f"{name}_ci"].values[0], -1, 0)
        own = table[f"model_{name}"].values[0]
        # 100 bins at 95 %, the model drawn five times as long.
        assert ((low <= own) & (own <= high)).mean() > 0.85
    dense = interval_histogram(rec, model=blind, duration=2.0)
    assert float(dense["density"].sum() * 0.001) == pytest.approx(1.0, abs=1e-3)
    assert float(dense["model_density"][0, :3].sum()) > 0
    lags = autocorrelogram(rec, duration=0.5)
    # Long after a spike the rate is what it always is.
    assert float(lags["rate"][0, 300:].mean()) == pytest.approx(
        float(rec["spike_count"][0]) / 200.0, rel=0.05
    )


@pytest.mark.parametrize(("kind", "shape"), [("gamma", 3.0), ("inverse_gaussian", 2.0)])
def test_renewal_accounts_find_their_shape(kind, shape):
    train, test = (
        nr.simulate.simulate_renewal(2, 200.0, kind=kind, shape=shape, rate=15.0, rng=k)
        for k in (1, 2)
    )
    model = RenewalProcess(kind).fit(train)
    for name, true in (("rate", 15.0), ("shape", shape)):
        low, high = model.parameters_[f"{name}_ci"].values.T
        assert ((low < true) & (true < high)).any()
        # An error of .05 of 3,000 intervals either way.
        assert (high - low < 0.25 * true).all()
    check = time_rescaling(model, test)
    assert (check.p_value.values > 0.01).all()
    other = RenewalProcess("gamma").fit(nr.simulate.simulate_poisson(15.0, duration=200.0, rng=3))
    assert float(other.parameters_["shape"][0]) == pytest.approx(1.0, abs=0.08)
    poisson = PointProcess(history=None, history_basis="exponential").fit(train)
    wrong = time_rescaling(poisson, test)
    assert (wrong.p_value.values < 1e-6).all()
    assert (model.bits_per_spike(test).values > 0.1).all()


def test_rates_of_a_renewal_account_add_up_to_its_spikes():
    train = nr.simulate.simulate_renewal(1, 100.0, shape=3.0, rate=15.0, rng=4)
    model = RenewalProcess().fit(train)
    mean = model.rates(train).values.sum() * 0.001
    n = float(train["spike_count"][0])
    # Up to what happens in the rest of a bin that fired: 15 Hz of 1 ms, one in a hundred.
    assert mean == pytest.approx(n, rel=0.05)
    # Poisson of the same rate: the hazard is flat.
    model.parameters_["shape"][0] = 1.0
    assert np.ptp(model.rates(train).values[200:]) < 1e-6 * 15
    drawn = RenewalProcess().fit(train).simulate(400.0, rng=0)
    waits = np.diff(drawn["spike_times"].values)
    table = RenewalProcess().fit(train).parameters_.isel(unit=0)
    law = stats.gamma(float(table["shape"]), scale=1 / float(table["rate"] * table["shape"]))
    assert stats.kstest(waits, law.cdf).pvalue > 0.01


def test_likelihood_of_a_renewal_account_is_that_of_its_intervals():
    times = np.array([0.1, 0.35, 0.4, 0.9] * 6) + np.repeat(np.arange(6), 4)
    rec = nr.data.from_spikes([times], t_start=0.0, t_stop=6.0)
    model = RenewalProcess().fit(rec)
    table = model.parameters_.isel(unit=0)
    rate, shape = float(table["rate"]), float(table["shape"])
    law = stats.gamma(shape, scale=1 / (rate * shape))
    expected = law.logpdf(np.diff(times)).sum() + law.logsf(6.0 - times[-1])
    expected += np.log(rate) - rate * 0.1
    assert float(model.log_likelihood(rec)[0]) == pytest.approx(expected, abs=1e-9)


def test_a_renewal_account_is_saved(tmp_path):
    model = RenewalProcess().fit(nr.simulate.simulate_renewal(duration=50.0, rng=0))
    model.save(tmp_path / "model")
    again = nr.load(tmp_path / "model")
    assert again.report() == model.report()
    assert again.simulate(5.0, rng=1).equals(model.simulate(5.0, rng=1))


def test_the_clock_is_read_off_position_and_velocity():
    rng = np.random.default_rng(0)
    trials = [np.cumsum(rng.standard_normal((60, 2)), axis=0) * 0.02 for _ in range(5)]
    velocity = np.concatenate([np.diff(t, axis=0, append=t[-1:] + 0.01) / 0.1 for t in trials])
    position = np.concatenate([t + rng.uniform(-3, 3, 2) for t in trials])
    clock = nr.data.infer_clock(position, velocity)
    assert clock.dt == pytest.approx(0.1, rel=1e-6)
    assert clock.joins.tolist() == [60, 120, 180, 240]
    assert clock.rule == "forward"
    with pytest.warns(UnitWarning, match=r"stated as 0\.05 s.*say 0\.1 s"):
        nr.data.infer_clock(position, velocity, dt=0.05)
    assert nr.data.infer_clock(position, velocity, dt=0.1).dt == clock.dt
    back = np.roll(velocity, 1, axis=0)
    assert nr.data.infer_clock(position, back).rule == "backward"
    with pytest.raises(DataError, match="agree on a time step"):
        nr.data.infer_clock(position, rng.standard_normal(position.shape))
    with pytest.raises(ShapeError, match="same shape"):
        nr.data.infer_clock(position, velocity[:-1])


@pytest.mark.realdata
def test_a_real_recording_says_its_clock_and_its_joins(realdata):
    from scipy.io import loadmat

    m = loadmat(realdata("spikes/contdata95_m1/contdata95.mat"))
    named = {k: v for k, v in m.items() if not k.startswith("_")}
    kin = next(v for v in named.values() if v.ndim == 2 and v.shape[1] in (4, 6))
    clock = nr.data.infer_clock(kin[:, :2], kin[:, 2:4])
    assert clock.dt == pytest.approx(0.1, rel=1e-3)
    # Every trial begins at rest, and no other row is: the joins are those rows.
    rest = np.flatnonzero((kin[:, 2:4] == 0).all(axis=1))
    assert clock.joins.tolist() == rest[rest > 0].tolist()
    assert len(clock.joins) > 1200


def test_a_psth_takes_what_holds_spikes():
    table = psth({"a": [0.1, 0.6], "b": [0.2]}, [0.0, 0.5], window=(0.0, 0.3), bin_size=0.1)
    assert table["unit"].values.tolist() == ["a", "b"]
    counts = xr.DataArray(np.ones((5, 1)), dims=("time", "unit"))
    with pytest.raises(Exception, match="needed"):
        psth(counts, [0.0])
