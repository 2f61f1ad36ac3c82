"""Point processes: known neurons come back, filters are those of a regression, joins hold."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn._kernels.point_process import add_past, cut_pieces, traces_of
from neurornn.spikes import PointProcess, bits_per_spike, raised_cosines
from neurornn.spikes.binned import bin_for_model
from neurornn.spikes.design import Design, Layout
from neurornn.spikes.exponential_fit import pieces_of, predictable_counts
from neurornn.spikes.glm_fit import climb


@pytest.fixture(scope="module")
def neuron():
    return nr.simulate.simulate_spike_trains(1, 200.0, rng=7)


@pytest.fixture(scope="module")
def pair():
    """Two units: the second is driven by the first and by a stimulus."""
    rng = np.random.default_rng(5)
    shown = np.repeat(rng.standard_normal(6000), 10)
    gains = np.array([[0.0, 0.0], [1.0, 0.0]])
    return nr.simulate.simulate_spike_trains(
        2, 60.0, rate=[25.0, 15.0], stimulus=shown, stimulus_filter=np.full(30, 0.02),
        coupling=gains, tau_coupling=0.01, rng=rng,
    )  # fmt: skip


def test_bumps_begin_at_the_first_lag_and_add_up_to_one():
    bumps = raised_cosines(6, 0.2, 0.001)
    assert bumps["lag"].values[[0, -1]] == pytest.approx([0.001, 0.2])
    assert bumps.values[0, 0] == 1.0
    # Neighbours overlap by half a cosine: their sum is 1 between the first and the last centre.
    last = int(np.argmax(bumps.values[:, -1]))
    assert np.allclose(bumps.values[:last].sum(axis=1), 1.0, atol=1e-9)
    assert raised_cosines(3, 0.2, 0.001, first_lag=0)["lag"].values[0] == 0.0
    with pytest.raises(DataError, match="5 bumps came for 2 lags"):
        raised_cosines(5, 0.002, 0.001)


def test_the_past_is_a_convolution_that_stops_at_joins():
    rng = np.random.default_rng(0)
    counts, run = rng.poisson(0.3, 200), np.repeat([0, 1], [90, 110])
    basis = rng.standard_normal((7, 2))
    expected = np.zeros((200, 2))
    for a, b in ((0, 90), (90, 200)):
        for m in range(2):
            taps = np.concatenate([[0.0], basis[:, m]])
            expected[a:b, m] = np.convolve(counts[a:b], taps)[: b - a]
    first = np.where(run == 0, 0, 90)
    spikes = np.repeat(np.arange(200), counts)
    for rows in (np.arange(200), np.sort(rng.choice(200, 50, replace=False))):
        out = np.zeros((len(rows), 2))
        add_past(rows, first[rows], spikes, basis, out)
        assert np.allclose(out, expected[rows], atol=1e-12)


def test_traces_are_sums_of_exponentials_with_their_derivatives():
    times, taus = np.array([0.1, 0.13, 0.2, 0.5]), np.array([0.02, 0.3])
    at, before = np.array([0.05, 0.15, 0.45, 0.6]), np.array([0, 2, 3, 4])
    first = np.array([0, 0, 0, 3])

    def plain(log_tau):
        return np.array([
            [np.exp(-(t - times[f:n]) / tau).sum() for tau in np.exp(log_tau)]
            for t, n, f in zip(at, before, first, strict=True)
        ])  # fmt: skip

    out = np.empty((4, 2, 3))
    traces_of(times, first, at, before, taus, out)
    here, h = np.log(taus), 1e-4
    assert np.allclose(out[:, :, 0], plain(here), atol=1e-12)
    ahead, behind = plain(here + h), plain(here - h)
    # Differences over 1e-4 are right to 1e-8, second ones to 1e-7.
    assert np.allclose(out[:, :, 1], (ahead - behind) / (2 * h), atol=1e-6)
    assert np.allclose(out[:, :, 2], (ahead - 2 * plain(here) + behind) / h**2, atol=1e-5)


def test_pieces_leave_out_the_dead_time_and_nothing_else():
    trains = nr.data.from_spikes([[0.0105, 0.0112, 0.0301]], t_start=0.0, t_stop=0.05)
    bins = bin_for_model(trains, 0.001)
    pieces = pieces_of(bins, 0, 0.003, 0.001)
    # Dead from .0105 to .0142 (two spikes) and from .0301 to .0331.
    assert pieces.length.sum() == pytest.approx(0.05 - 0.0007 - 0.003 - 0.003, abs=1e-12)
    ends = pieces.middle + pieces.length / 2
    inside = (ends > 0.0113) & (ends < 0.0141)
    assert not inside.any()
    assert pieces.n_before.tolist() == np.searchsorted(bins.times[0], pieces.middle).tolist()
    assert pieces_of(bins, 0, 0.0, 0.0004).length.max() <= 0.0004 + 1e-12


def test_a_dead_time_ends_with_its_run():
    row, begin, end, before = (np.empty(8, t) for t in (int, float, float, int))
    starts, stamps = np.array([0.0, 0.5]), np.array([0.01, 0.51])
    n = cut_pieces(
        starts, stamps, np.array([0, 1]), np.array([0]), np.array([0.009]), 0.5, row, begin, end,
        before,
    )  # fmt: skip
    assert n == 2
    assert (begin[1], end[1]) == (0.5, 0.51)


def test_dead_time_recovery_and_adaptation_come_back(neuron):
    glm = PointProcess(history=0.2).fit(neuron)
    table = glm.parameters_.isel(unit=0)
    true = {"refractory_period": 0.003, "tau_recovery": 0.005, "tau_adaptation": 0.1,
            "gain_recovery": -4.0, "gain_adaptation": -0.6, "baseline_rate": 30.0}  # fmt: skip
    assert str(table["status"].values) == "ok"
    for name, value in true.items():
        low, high = table[f"{name}_ci"].values
        # Six intervals of 95 % at one seed: all hold.
        assert low < value < high, name
        # An interval that holds anything tells nothing: 60 % either way at 2,600 spikes; the gain
        # at a spike is read from what is left of it after the dead time, and known to half.
        assert high - low < (1.6 if name == "gain_recovery" else 1.2) * abs(value), name
    shortest = np.diff(neuron["spike_times"].values).min()
    assert float(table["refractory_period"]) < shortest


def test_the_clock_and_the_names_of_units_do_not_matter(neuron):
    one = PointProcess().fit(neuron).parameters_
    times = neuron["spike_times"].values
    moved = nr.data.from_spikes({"x": times + 1000.0}, t_start=1000.0, t_stop=1200.0)
    other = PointProcess().fit(moved).parameters_
    for name in ("tau_recovery", "tau_adaptation", "refractory_period"):
        # Times of 1000 s are exact to 1e-13 s; bins then split at other roundings.
        assert float(other[name][0]) == pytest.approx(float(one[name][0]), rel=1e-3)


def test_a_unit_without_a_past_says_so():
    rec = nr.simulate.simulate_poisson(20.0, duration=100.0, rng=3)
    table = PointProcess().fit(rec).parameters_.isel(unit=0)
    assert str(table["status"].values) == "no_past"
    assert np.isnan(table["tau_recovery"])
    assert np.isnan(table["tau_adaptation_ci"]).all()
    low, high = table["refractory_period_ci"].values
    assert low == 0.0
    assert high < 0.001
    assert "no_past" in PointProcess().fit(rec).report()


def test_only_adaptation_is_told_where_there_is_no_recovery():
    rec = nr.simulate.simulate_spike_trains(
        1, 200.0, dead_time=0.0, recovery=0.0, adaptation=-0.6, rng=4
    )
    table = PointProcess().fit(rec).parameters_.isel(unit=0)
    assert str(table["status"].values) == "no_recovery"
    low, high = table["tau_adaptation_ci"].values
    assert low < 0.1 < high


@pytest.mark.parametrize("distribution", ["poisson", "bernoulli"])
def test_filters_are_those_of_an_established_package(pair, distribution):
    sm = pytest.importorskip("statsmodels.api")
    glm = PointProcess(
        "stimulus", history=0.05, history_basis="raised_cosine", coupling=True, n_stimulus=4,
        n_history=3, n_coupling=2, bin_size=0.005, distribution=distribution, unit=[1],
    ).fit(pair)  # fmt: skip
    bins, shown = glm._take(pair, None, fitted=True)
    design, position, weights = glm._design(bins, shown, 0)
    x, y = design.block(slice(0, design.n_rows)), bins.counts(position)
    if distribution == "poisson":
        family = sm.families.Poisson()
    else:
        y = np.minimum(y, 1.0)
        family = sm.families.Binomial(link=sm.families.links.CLogLog())
    peer = sm.GLM(y, x, family=family).fit(tol=1e-12, maxiter=100)
    # Both are at the top: Newton's last step is below 1e-6 nats, which is 1e-3 of an error.
    assert np.allclose(weights, peer.params, atol=1e-3 * peer.bse.max())
    ours = glm.weights_["stderr"].values[0]
    # statsmodels takes the expected information of either family, as we do.
    assert np.allclose(ours, peer.bse, rtol=1e-3)
    part = next(p for p in design.layout.parts if p.kind == "stimulus")
    around = np.asarray(peer.cov_params())[part.columns, part.columns]
    spread = 1.959964 * np.sqrt(np.einsum("lm,mn,ln->l", part.basis, around, part.basis))
    told = glm.filters_["stimulus_filter_ci"].values[0, 0]
    assert np.allclose((told[:, 1] - told[:, 0]) / 2, spread, rtol=2e-3, atol=1e-9)
    own = float(glm.log_likelihood(pair)[0])
    if distribution == "bernoulli":
        assert own == pytest.approx(peer.llf, rel=1e-6)


def test_stimulus_and_coupling_are_told_apart(pair):
    glm = PointProcess("stimulus", coupling=True, stimulus_duration=0.05, n_stimulus=6).fit(pair)
    filters = glm.filters_
    ci = filters["coupling_filter_ci"].sel(unit=1, source=0)
    at = filters["coupling_filter"].sel(unit=1, source=0)
    lag = filters["coupling_lag"].values
    true = np.exp(-(lag - 0.001) / 0.01)
    inside = ((ci[:, 0] <= true) & (true <= ci[:, 1])).values
    # Four bumps cannot follow an exponential to the letter: most of the lags do for it.
    assert inside[:40].mean() > 0.6
    assert float(at[2]) > 0.4
    back = filters["coupling_filter_ci"].sel(unit=0, source=1).values
    assert ((back[:, 0] < 0.3) & (back[:, 1] > -0.3)).all()
    shown = filters["stimulus_filter"].sel(unit=0, feature="stimulus")
    # .02 at each of 30 lags.
    assert float(shown.sum()) == pytest.approx(0.6, abs=0.15)
    assert np.isnan(filters["coupling_filter"].sel(unit=0, source=0)).all()


def test_counts_and_times_give_the_same_filters(pair):
    counts = nr.data.bin_spikes(pair, 0.002)
    options = {"history": 0.05, "history_basis": "raised_cosine", "bin_size": 0.002}
    one = PointProcess(**options).fit(pair).weights_["weight"].values
    for other in (counts, counts.values, counts.values[None], [counts.values]):
        found = PointProcess(**options).fit(other).weights_["weight"].values
        assert np.allclose(found, one, atol=1e-12)


def test_a_run_begins_as_if_nothing_had_come_before(pair):
    two = nr.data.set_intervals(pair, [0.0, 30.5], [30.0, 60.0])
    for basis in ("exponential", "raised_cosine"):
        glm = PointProcess(history=0.1, history_basis=basis).fit(two)
        rates = glm.rates(two)
        begin = int(np.argmax(rates["time"].values > 30.4))
        base = glm.parameters_["baseline_rate"].values
        expected = base
        if basis == "raised_cosine" and glm.distribution_ == "bernoulli":
            expected = -np.expm1(-base * 0.001) / 0.001
        assert np.allclose(rates.values[begin], expected, rtol=1e-9)
        assert not np.allclose(rates.values[begin - 1], expected, rtol=1e-3)


def test_rates_know_the_past_alone(neuron):
    changed = neuron.copy(deep=True)
    late = changed["spike_times"].values > 100.0
    changed["spike_times"].values[late] = np.linspace(100.01, 199.9, int(late.sum()))
    for options in ({}, {"history_basis": "raised_cosine", "forgetting": 30.0, "renewal": True}):
        glm = PointProcess(**options).fit(neuron)
        one, other = glm.rates(neuron), glm.rates(changed)
        early = one["time"].values <= 100.0
        assert np.array_equal(one.values[early], other.values[early])
        assert not np.allclose(one.values[~early], other.values[~early])


def test_expected_counts_of_exact_time_add_up_to_the_spikes(neuron):
    glm = PointProcess().fit(neuron)
    mean = glm.rates(neuron).values[:, 0] * 0.001
    n = int(neuron["spike_count"][0])
    # The sum is a martingale: within four square roots of the number.
    assert abs(mean.sum() - n) < 4 * np.sqrt(n)
    bins = bin_for_model(neuron, 0.001)
    fit = glm._exponential(0, glm.weights_["weight"].values[0][:1])
    direct = predictable_counts(Design(Layout((), 1), bins, None), bins, 0, fit)
    assert np.allclose(mean, direct, atol=1e-12)
    after = bins.rows[0][bins.rows[0] + 1 < bins.n_rows] + 1
    # A bin after a spike lies within the dead time, but for what is left of it.
    assert np.median(mean[after]) == 0.0


def test_bits_per_spike_are_the_published_ones():
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.4, (5, 40, 3)).astype(float)
    rates = rng.gamma(2.0, 0.2, (5, 40, 3))
    rates[0, 0, 0] = 0.0
    floor = np.where(rates == 0, 1e-9, rates)
    null = counts.mean(axis=(0, 1), keepdims=True) + 0 * counts
    gain = stats.poisson.logpmf(counts, floor).sum() - stats.poisson.logpmf(counts, null).sum()
    assert bits_per_spike(rates, counts) == pytest.approx(
        gain / counts.sum() / np.log(2), abs=1e-12
    )
    assert bits_per_spike(rates[0, :, 0], counts[0, :, 0]) == pytest.approx(
        bits_per_spike(rates[:1, :, :1], counts[:1, :, :1])
    )
    counts[0, :5] = np.nan
    kept = bits_per_spike(rates, counts)
    assert np.isfinite(kept)
    with pytest.raises(ShapeError, match="One expected count"):
        bits_per_spike(rates[0], counts)
    with pytest.raises(DataError, match="at least one spike"):
        bits_per_spike(rates, 0 * rates)


def test_a_constant_rate_is_worth_nothing(neuron):
    for basis in ("exponential", "raised_cosine"):
        flat = PointProcess(history=None, history_basis=basis).fit(neuron)
        # The constant that is fitted is the constant of the score.
        assert float(flat.bits_per_spike(neuron)[0]) == pytest.approx(0.0, abs=1e-9)
        model = PointProcess(history_basis=basis).fit(neuron)
        assert float(model.bits_per_spike(neuron)[0]) > 0.15


def test_simulated_spikes_keep_the_dead_time_and_poisson_ones_do_not(neuron):
    drawn = PointProcess().fit(neuron).simulate(rng=0)
    waits = np.diff(drawn["spike_times"].values)
    assert waits.min() > 0.0025
    # Four standard deviations of two Poisson counts of 2,600.
    assert abs(len(waits) - len(neuron["spike_times"])) < 4 * np.sqrt(2 * 2600)
    blind = PointProcess(history=None).fit(neuron).simulate(rng=0)
    share = np.mean(np.diff(blind["spike_times"].values) < 0.003)
    # 1 - exp(-13 * .003) = 3.8 %; three sd of 2,600 draws are 1.1 %.
    assert 0.027 < share < 0.05


def test_simulations_have_the_filters_they_were_drawn_from(pair):
    glm = PointProcess(
        "stimulus", history=0.05, history_basis="raised_cosine", coupling=True, n_stimulus=3,
        n_history=3, n_coupling=2,
    ).fit(pair)  # fmt: skip
    drawn = glm.simulate(rng=1)
    again = PointProcess(**glm.get_params()).fit(drawn)
    one, two = glm.weights_, again.weights_
    z = (two["weight"] - one["weight"]) / np.hypot(one["stderr"], two["stderr"])
    # 2 x 9 weights: the largest of 18 normal numbers is below 4 but for one draw in 900; a bump
    # that lies within the dead time has no error to speak of.
    free = one["weight"].values > -3
    assert np.abs(z.values[free]).max() < 4
    assert np.array_equal(drawn["stimulus"].values, pair["stimulus"].values)
    shorter = glm.simulate(5.0, rng=1)
    assert float(shorter["stop"][0]) == pytest.approx(5.0)


def test_drawn_rows_stand_for_all(pair):
    options = {
        "history": 0.05, "history_basis": "raised_cosine", "coupling": True, "n_history": 3,
        "n_coupling": 2, "unit": [1], "distribution": "poisson",
    }  # fmt: skip
    whole = PointProcess(**options).fit(pair).weights_
    free = whole["weight"].values[0] > -3
    # The first one is the log of counts per bin, far below 0 at 1 ms.
    free[0] = True
    away, told = [], []
    for seed in range(12):
        part = PointProcess(**options, max_rows=3000, rng=seed).fit(pair).weights_
        away.append((part["weight"] - whole["weight"]).values[0, free])
        told.append((part["stderr"].values ** 2 - whole["stderr"].values ** 2)[0, free])
    # What a squared error is larger by is that of the drawing, taken as independent: one row out
    # of each stretch errs by less. Its root over 12 draws is known to 20 %: none above 1.6.
    ratio = np.sqrt(np.mean(np.square(away), axis=0) / np.mean(told, axis=0))
    assert ((ratio > 0.25) & (ratio < 1.6)).all()
    assert 0.4 < np.median(ratio) < 1.2
    with pytest.raises(DataError, match="max_rows came with a history in exponentials"):
        PointProcess(max_rows=10).fit(pair)


@pytest.mark.slow
def test_a_penalty_is_chosen_on_blocks_held_out(pair):
    options = {"history": 0.05, "history_basis": "raised_cosine", "coupling": True, "unit": [0]}
    noise = np.random.default_rng(2).standard_normal((60_000, 3))
    chosen = PointProcess(**options, penalty="auto").fit(pair, stimulus=noise)
    assert float(chosen.penalty_[0]) > 0.0
    plain = PointProcess(**options).fit(pair, stimulus=noise)
    size = [np.abs(g.filters_["stimulus_filter"].values).sum() for g in (chosen, plain)]
    assert size[0] < size[1]


def test_weights_follow_a_drift(rng):
    steps = np.arange(120_000) * 0.001
    rec = nr.simulate.simulate_poisson(np.where(steps < 60, 10.0, 30.0), rng=rng)
    train, test = nr.data.restrict(rec, 0.0, 60.0), nr.data.restrict(rec, 60.0, 120.0)
    stays = PointProcess(history=None).fit(train)
    moves = PointProcess(history=None, history_basis="raised_cosine", forgetting=5.0).fit(train)
    late = moves.rates(test).values[30_000:].mean()
    assert float(stays.rates(test).mean()) == pytest.approx(10.0, abs=1.5)
    # 5 s of 30 Hz know the rate to 8 %; the mean over 30 s to 3 %.
    assert late == pytest.approx(30.0, abs=4.0)
    assert float(moves.bits_per_spike(test)[0]) > float(stays.bits_per_spike(test)[0]) + 0.3


def test_a_time_in_the_trial_gives_the_psth():
    edges = np.arange(500) * 0.001
    rate = 10 + 30 * np.exp(-((edges - 0.2) ** 2) / 0.005)
    rec = nr.simulate.simulate_poisson(np.tile(rate, 100), rng=6)
    trials = nr.data.set_intervals(rec, 0.5 * np.arange(100), 0.5 * np.arange(1, 101))
    counts = nr.data.bin_spikes(trials, 0.005, trials=True)
    model = PointProcess(history=None, n_trial_time=12, bin_size=0.005).fit(counts)
    found = model.rates(counts).values[:100, 0]
    true = rate.reshape(100, 5).mean(axis=1)
    # 950 spikes over 12 bumps: 80 each, 11 %; bumps of 45 ms follow a peak of 50 ms to 10 %.
    assert np.abs(found / true - 1).max() < 0.45
    assert np.corrcoef(found, true)[0, 1] > 0.97


def test_saved_and_loaded_it_goes_on(pair, tmp_path):
    for options in ({}, {"history_basis": "raised_cosine", "renewal": True, "forgetting": 30.0}):
        glm = PointProcess("stimulus", coupling=[0], **options).fit(pair)
        path = tmp_path / str(len(options))
        glm.save(path)
        again = nr.load(path)
        assert np.array_equal(again.rates(pair).values, glm.rates(pair).values)
        assert again.distribution_ == glm.distribution_
        with pytest.raises(DataError, match="a saved model keeps none"):
            again.simulate(rng=0)
        shown = pair["stimulus"].values[:2000]
        assert again.simulate(2.0, stimulus=shown, rng=0).sizes["unit"] == 2


def test_units_that_hardly_fire_are_kept_with_a_status(pair):
    times = pair["spike_times"].values[pair["spike_unit"].values == 0]
    rec = nr.data.from_spikes({"good": times, "one": [3.0], "none": []}, t_start=0, t_stop=60.0)
    table = PointProcess().fit(rec).parameters_
    assert table["status"].values.tolist()[1:] == ["too_few_events", "no_data"]
    assert np.isnan(table["baseline_rate"].values[1:]).all()


@pytest.mark.slow
def test_a_unit_that_was_not_observed_throughout_is_not_silent(pair):
    times = pair["spike_times"].values[pair["spike_unit"].values == 0]
    rec = nr.data.from_spikes([times[times < 30.0], times], t_start=0.0, t_stop=60.0)
    seen = nr.data.observation.set_observed(
        rec, [np.array([[0.0, 30.0]]), np.array([[0.0, 60.0]])]
    )
    for basis in ("exponential", "raised_cosine"):
        rates = PointProcess(history_basis=basis).fit(seen).parameters_["baseline_rate"].values
        # Twice the time, half the error: three of them apart at most.
        assert rates[0] == pytest.approx(rates[1], rel=0.15)
        blind = PointProcess(history_basis=basis).fit(rec).parameters_["baseline_rate"].values
        assert blind[0] < 0.75 * blind[1]


def test_what_does_not_fit_is_refused(pair, neuron):
    with pytest.raises(NameUnknownError, match="no 'stimulu'"):
        PointProcess("stimulu").fit(pair)
    with pytest.raises(KindError, match="names a variable"):
        PointProcess("stimulus").fit(nr.data.bin_spikes(pair, 0.001))
    with pytest.raises(ShapeError, match="59999 rows for 60000 bins"):
        PointProcess().fit(pair, stimulus=np.zeros(59_999))
    with pytest.raises(DataError, match="whole numbers"):
        PointProcess().fit(np.full((100, 1), 0.5))
    with pytest.raises(DataError, match=r"in bins of 0\.005 s"):
        PointProcess().fit(nr.data.bin_spikes(pair, 0.005))
    with pytest.raises(NameUnknownError, match="coupling holds 7"):
        PointProcess(coupling=[7]).fit(pair)
    with pytest.raises(DataError, match="bin_size"):
        PointProcess(bin_size=0.0).fit(pair)
    with pytest.raises(DataError, match="forgetting came with a history in exponentials"):
        PointProcess(forgetting=30.0).fit(pair)
    with pytest.raises(DataError, match="did not come"):
        PointProcess(coupling=True).fit(pair).rates(neuron)
    short = pair.isel(sample=slice(0, 30_000))
    with pytest.raises(DataError, match="stimulus is missing in 2"):
        PointProcess("stimulus").fit(short)


def test_columns_that_say_the_same_do_not_stop_a_fit(pair):
    x = np.sin(np.arange(60_000) / 100)
    glm = PointProcess(
        history=None, history_basis="raised_cosine", n_stimulus=2, stimulus_duration=0.02
    ).fit(pair, stimulus=np.stack([x, x, 0 * x], 1))
    one = PointProcess(
        history=None, history_basis="raised_cosine", n_stimulus=2, stimulus_duration=0.02
    ).fit(pair, stimulus=x)
    assert np.allclose(glm.rates(pair, stimulus=np.stack([x, x, 0 * x], 1)).values,
                       one.rates(pair, stimulus=x).values, rtol=1e-3)  # fmt: skip


def test_the_climb_ends_at_the_top():
    rng = np.random.default_rng(3)
    rec = nr.simulate.simulate_poisson(50.0, duration=20.0, rng=rng)
    bins = bin_for_model(rec, 0.001)
    y = bins.counts(0)
    fit = climb(Design(Layout((), 1), bins, None), y)
    assert fit.weights[0] == pytest.approx(np.log(y.mean()), abs=1e-9)
    # The information of a log rate is the number of spikes.
    assert fit.covariance[0, 0] == pytest.approx(1 / y.sum(), rel=1e-6)
    hazard = climb(Design(Layout((), 1), bins, None), np.minimum(y, 1), bernoulli=True)
    assert np.exp(hazard.weights[0]) == pytest.approx(
        -np.log1p(-np.minimum(y, 1).mean()), rel=1e-8
    )


def test_a_dataarray_brings_its_own_clock(pair):
    counts = nr.data.bin_spikes(pair, 0.002)
    gone = counts.isel(time=np.r_[0:5000, 6000:30000])
    bins = bin_for_model(gone, 0.002)
    assert np.bincount(bins.run).tolist() == [5000, 24000]
    masked = xr.DataArray(
        counts.values[:400].reshape(4, 100, 2), dims=("trial", "time", "unit"),
        coords={"mask": (("trial", "time"), np.arange(100) < np.array([[100], [50], [100], [9]]))},
    )  # fmt: skip
    assert bin_for_model(masked, 0.002).n_rows == 259


def test_slopes_and_curvatures_of_the_likelihood_are_those_of_differences(pair):
    from neurornn.spikes.exponential_fit import _Problem

    glm = PointProcess("stimulus", coupling=True, n_stimulus=2, n_coupling=2, unit=[1]).fit(pair)
    bins, shown = glm._take(pair, None, fitted=True)
    design, position, weights = glm._design(bins, shown, 0)
    n = len(weights)
    weights = weights.copy()
    weights[0] -= np.log(0.001)
    problem = _Problem(design, bins, position, 0.002, 0.001)

    def look(theta):
        return problem.look(theta[:n], theta[[n, n + 2]], np.exp(theta[[n + 1, n + 3]]))

    theta = np.concatenate([weights, [-1.0, np.log(0.006), -0.3, np.log(0.08)]])
    value, slope, curve = look(theta)
    assert value == pytest.approx(
        problem.value(theta[:n], theta[[n, n + 2]], np.exp(theta[[n + 1, n + 3]])), rel=1e-12
    )
    h = 1e-4
    for k, unit in enumerate(np.eye(n + 4) * h):
        ahead, behind = look(theta + unit), look(theta - unit)
        # Central differences err by h^2 times third derivatives, of the size of the curvature.
        assert (ahead[0] - behind[0]) / (2 * h) == pytest.approx(
            slope[k], abs=1e-5 * np.abs(curve[k]).max()
        )
        across = -(ahead[1] - behind[1]) / (2 * h)
        assert across == pytest.approx(curve[k], abs=1e-5 * np.abs(curve).max())


@pytest.mark.slow
def test_units_are_found_by_their_labels_in_whatever_order_they_come(pair):
    times, owner = pair["spike_times"].values, pair["spike_unit"].values
    one = {"a": times[owner == 0], "b": times[owner == 1]}
    other = {"c": times[owner == 0][::2], "b": one["b"], "a": one["a"]}
    first, second = (nr.data.from_spikes(x, t_start=0.0, t_stop=60.0) for x in (one, other))
    glm = PointProcess(coupling=True).fit(first)
    assert np.array_equal(glm.rates(second).values, glm.rates(first).values)
    assert np.array_equal(glm.log_likelihood(second), glm.log_likelihood(first))


def test_a_stimulus_is_not_held_over_a_pause(pair):
    clock = pair["sample_time"].values
    paused = pair.isel(sample=np.flatnonzero((clock < 20.0) | (clock > 25.0)))
    with pytest.raises(DataError, match=r"missing in (4998|4999|5000|5001) of 60000 bins"):
        PointProcess("stimulus").fit(paused)
    # Slow samples hold for their step before their stamp, and no longer.
    slow = nr.data.from_spikes([pair["spike_times"].values], t_start=0.0, t_stop=60.0).assign(
        level=("frame", np.arange(6.0)), frame_time=("frame", 10.0 * np.arange(1, 7))
    )
    bins = bin_for_model(slow, 0.001)
    held = nr.spikes.binned.held_at(slow, "level", bins.stamps, 0.001)
    assert held[[0, 9_999, 10_000, 59_999]].tolist() == [0.0, 0.0, 1.0, 5.0]
