"""Scores of populations are those of the benchmark, and nothing hidden reaches the model."""

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from scipy.special import gammaln
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import r2_score

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
)
from neurornn.spikes.columns import poisson_weights
from neurornn.spikes.gaussian_rates import smoothed_counts, try_on_others
from neurornn.spikes.population_score import _with_error, bits_of, likelihood_sums


class Given:
    """Rates and latents that do not depend on the counts; keeps what it was shown."""

    def __init__(self, rates, latents=None):
        self.given, self.hidden = rates, latents

    def rates(self, counts):
        self.shown = counts
        return self.given

    def latents(self, counts):
        self.shown = counts
        return self.hidden


def population(n_trials=12, n_time=30, n_units=6, seed=0, bin_size=0.02):
    """Counts, and rates that lie near those they were drawn from, Hz, under odd labels."""
    rng = np.random.default_rng(seed)
    true = np.exp(rng.normal(2.0, 0.8, (n_trials, n_time, n_units)))
    labels = [f"u{k}" for k in (4, 1, 5, 0, 2, 3)[:n_units]]
    dims = ("trial", "time", "unit")
    counts = xr.DataArray(
        rng.poisson(true * bin_size), dims=dims, coords={"unit": labels},
        attrs={"bin_size": bin_size},
    )  # fmt: skip
    rates = counts.copy(data=true * rng.uniform(0.7, 1.4, true.shape))
    return counts, rates


def by_hand(rates, counts):
    """Bits per spike as nlb_tools has them, of rates in spikes per bin."""
    null = np.tile(np.nanmean(counts, axis=(0, 1), keepdims=True), (*counts.shape[:2], 1))
    known = ~np.isnan(counts)

    def lost(mean):
        n, m = counts[known], np.where(mean[known] == 0, 1e-9, mean[known])
        return np.sum(m - n * np.log(m) + gammaln(n + 1.0))

    return (lost(null) - lost(rates)) / np.nansum(counts) / np.log(2)


# ------------------------------------------------------------------ co-smoothing


def test_co_smoothing_is_the_definition_of_the_benchmark():
    counts, rates = population()
    held_out = ["u0", "u5", "u2"]
    score = nr.spikes.co_smoothing(Given(rates), counts, None, held_out)
    expected = by_hand(
        0.02 * rates.sel(unit=held_out).values, counts.sel(unit=held_out).values.astype(float)
    )
    # The goal of the package: 1e-10 on the same arrays.
    assert float(score.bits_per_spike) == pytest.approx(expected, abs=1e-10)
    for k, unit in enumerate(held_out):
        own = by_hand(
            0.02 * rates.sel(unit=[unit]).values, counts.sel(unit=[unit]).values.astype(float)
        )
        assert float(score.units["unit_bits_per_spike"][k]) == pytest.approx(own, abs=1e-10)
    assert score.units["unit"].values.tolist() == held_out
    assert score.settings["n_spikes"] == int(counts.sel(unit=held_out).sum())
    assert score.parameters["bits_per_spike"].attrs["units"] == "bits"


def test_bins_that_were_not_observed_are_not_scored():
    counts, rates = population()
    seen = counts.astype(float)
    seen.values[3:5, 10:, :] = np.nan
    score = nr.spikes.co_smoothing(Given(rates), seen, None, ["u1", "u3"])
    picked = {"unit": ["u1", "u3"]}
    expected = by_hand(0.02 * rates.sel(picked).values, seen.sel(picked).values)
    assert float(score.bits_per_spike) == pytest.approx(expected, abs=1e-10)


def test_units_are_told_apart_by_their_labels():
    counts, rates = population()
    score = nr.spikes.co_smoothing(Given(rates), counts, None, ["u0", "u5"])
    turned = nr.spikes.co_smoothing(
        Given(rates.isel(unit=[5, 3, 1, 0, 2, 4])), counts, None, ["u0", "u5"]
    )
    assert float(turned.bits_per_spike) == float(score.bits_per_spike)


def test_the_model_sees_the_units_held_in_alone():
    counts, rates = population()
    model = Given(rates)
    nr.spikes.co_smoothing(model, counts, ["u4", "u3"], ["u0"])
    shown = model.shown
    assert shown.attrs["bin_size"] == 0.02
    for unit in shown["unit"].values:
        own = shown.sel(unit=unit).values
        if unit in ("u4", "u3"):
            assert np.array_equal(own, counts.sel(unit=unit).values)
        else:
            assert np.isnan(own).all()
    # The counts themselves are as they were.
    assert counts.dtype.kind == "i"


def test_every_form_of_counts_has_the_same_score():
    counts, rates = population()
    whole = float(nr.spikes.co_smoothing(Given(rates), counts, None, ["u1"]).bits_per_spike)
    listed = [counts[k] for k in range(12)]
    parts = Given([rates[k] for k in range(12)])
    score = nr.spikes.co_smoothing(parts, listed, None, ["u1"])
    assert float(score.bits_per_spike) == whole
    assert np.isnan(parts.shown[3].sel(unit="u1")).all()
    plain = Given(rates.values)
    plain.fitted_bin_size_ = 0.02
    score = nr.spikes.co_smoothing(plain, counts.values, None, [1])
    assert float(score.bits_per_spike) == whole
    # One long recording.
    flat = counts[:, :, :].values.reshape(-1, 6)
    long = xr.DataArray(
        flat, dims=("time", "unit"), coords={"unit": counts["unit"].values},
        attrs={"bin_size": 0.02},
    )  # fmt: skip
    score = nr.spikes.co_smoothing(Given(long.copy(data=rates.values.reshape(-1, 6))), long, None,
                                   ["u1"])  # fmt: skip
    assert float(score.bits_per_spike) == pytest.approx(whole, abs=1e-12)
    assert np.isfinite(score.parameters["bits_per_spike_ci"]).all()


@pytest.mark.slow
def test_the_interval_covers_the_score_of_endless_trials():
    """Trials whose rates vary together: 80 sets of 40 trials, an interval of 90 %."""
    rng = np.random.default_rng(1)
    w = np.array([0.6, 0.9])

    def draw(n):
        z = np.repeat(rng.normal(size=(n, 1, 1)), 20, axis=1)
        true = 0.3 * np.exp(z * w)
        # A model that knows a part of the trial's level.
        told = 0.3 * np.exp(0.6 * z * w + 0.1)
        dims = ("trial", "time", "unit")
        return (
            xr.DataArray(rng.poisson(true), dims=dims, attrs={"bin_size": 0.05}),
            xr.DataArray(told / 0.05, dims=dims),
        )

    counts, told = draw(20_000)
    settled = by_hand(0.05 * told.values, counts.values.astype(float))

    hit = 0
    for _ in range(80):
        counts, told = draw(40)
        # A third unit, that the model sees.
        model = Given(np.concatenate([told.values, told.values[..., :1]], axis=2))
        wide = xr.DataArray(
            np.concatenate([counts.values, counts.values[..., :1]], axis=2), dims=counts.dims,
            coords={"unit": [0, 1, 2]}, attrs=counts.attrs,
        )  # fmt: skip
        score = nr.spikes.co_smoothing(model, wide, [2], [0, 1], confidence_level=0.9, rng=2)
        low, high = score.parameters["bits_per_spike_ci"].values
        hit += low <= settled <= high
    # Few trials carry most of the spikes here: 84 % of 150 sets were covered, 65 % by percentiles
    # of resampled scores. The binomial sd of 80 sets is 4 %.
    assert 60 <= hit < 80


def test_the_error_of_a_score_is_what_leaving_blocks_out_makes_of_it():
    """The influence of each block, against the jackknife of the whole."""
    counts, rates = population(n_trials=200)
    block = np.repeat(np.arange(200), 30)
    sums = likelihood_sums(
        0.02 * rates.values.reshape(-1, 6), counts.values.reshape(-1, 6).astype(float), block, 200
    )
    value, error = _with_error(sums, np.ones((1, 200)))
    without = np.array([bits_of(np.delete(sums, k, axis=0).sum(axis=0)) for k in range(200)])
    jackknife = np.sqrt(199 / 200 * np.sum((without - without.mean()) ** 2))
    # Both are of first order in 1 / 200.
    assert error[0] == pytest.approx(jackknife, rel=0.02)
    assert value[0] == pytest.approx(float(bits_of(sums.sum(axis=0))))
    # A block that counts twice is a block that came twice.
    twice = np.ones((1, 200))
    twice[0, :100], twice[0, 100:] = 2.0, 0.0
    again = _with_error(np.concatenate([sums[:100]] * 2), np.ones((1, 200)))
    assert np.ravel(_with_error(sums, twice)) == pytest.approx(np.ravel(again))


def test_what_cannot_be_scored_is_explained():
    counts, rates = population()
    model = Given(rates)
    with pytest.raises(NameUnknownError, match="held_out names unit 'u9'"):
        nr.spikes.co_smoothing(model, counts, None, ["u9"])
    with pytest.raises(DataError, match="1 units are held in and held out"):
        nr.spikes.co_smoothing(model, counts, ["u1"], ["u1", "u2"])
    with pytest.raises(DataError, match="each once"):
        nr.spikes.co_smoothing(model, counts, None, ["u1", "u1"])
    with pytest.raises(DataError, match="All 6 units are held out"):
        nr.spikes.co_smoothing(model, counts, None, counts["unit"].values)
    with pytest.raises(KindError, match="without rates"):
        nr.spikes.co_smoothing(rates, counts, None, ["u1"])
    with pytest.raises(KindError, match="without latents"):
        nr.spikes.few_shot_co_smoothing(rates, counts, None, ["u1"])
    with pytest.raises(ShapeError, match="The model gives"):
        nr.spikes.co_smoothing(Given(rates[:5]), counts, None, ["u1"])
    with pytest.raises(DataError, match="no rates of unit"):
        nr.spikes.co_smoothing(Given(rates[..., :3]), counts, None, ["u1"])
    with pytest.raises(DataError, match="at least one spike"):
        nr.spikes.co_smoothing(model, 0 * counts, None, ["u1"])
    missing = rates.copy()
    missing[0, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        nr.spikes.co_smoothing(Given(missing), counts, None, ["u1"])


def test_units_that_say_nothing_have_a_status():
    counts, rates = population()
    counts[..., 0] = 0
    wrong = rates.copy()
    wrong[..., 1] = wrong[..., 1].values[::-1, ::-1] * 5
    score = nr.spikes.co_smoothing(Given(wrong), counts, None, ["u4", "u1", "u5"])
    assert score.units["status"].values.tolist() == ["silent", "below_constant", "ok"]
    assert np.isnan(score.units["unit_bits_per_spike"][0])
    assert "each unit's mean rate" in nr.spikes.co_smoothing(
        Given(wrong), counts, None, ["u1"]
    ).report()  # fmt: skip


def test_two_trials_have_no_interval_but_a_reason():
    counts, rates = population(n_trials=2, n_time=1)
    score = nr.spikes.co_smoothing(Given(rates), counts + 1, None, ["u1"], n_blocks=2)
    ci = score.parameters["bits_per_spike_ci"]
    assert np.isnan(ci).all()
    assert "fewer than 3" in ci.attrs["reason"]


# ------------------------------------------------------------------ forward prediction


def test_forward_prediction_hides_the_end_of_each_trial_and_scores_it():
    counts, rates = population()
    model = Given(rates)
    score = nr.spikes.forward_prediction(model, counts, 0.1)
    assert np.isnan(model.shown.values[:, -5:]).all()
    assert np.array_equal(model.shown.values[:, :-5], counts.values[:, :-5])
    expected = by_hand(0.02 * rates.values[:, -5:], counts.values[:, -5:].astype(float))
    assert float(score.bits_per_spike) == pytest.approx(expected, abs=1e-10)
    two = nr.spikes.forward_prediction(model, counts, 0.1, units=["u0", "u4"])
    picked = {"unit": ["u0", "u4"]}
    expected = by_hand(
        0.02 * rates.sel(picked).values[:, -5:], counts.sel(picked).values[:, -5:].astype(float)
    )
    assert float(two.bits_per_spike) == pytest.approx(expected, abs=1e-10)
    with pytest.raises(DataError, match="30 bins"):
        nr.spikes.forward_prediction(model, counts, 0.6)
    with pytest.raises(DataError, match="0 bins"):
        nr.spikes.forward_prediction(model, counts, 0.004)


def test_the_end_of_a_ragged_trial_is_its_own():
    counts, rates = population()
    mask = np.ones((12, 30), dtype=bool)
    mask[2, 20:] = False
    model = Given(rates)
    nr.spikes.forward_prediction(model, counts.assign_coords(mask=(("trial", "time"), mask)), 0.1)
    assert np.isnan(model.shown.values[2, 15:20]).all()
    assert np.array_equal(model.shown.values[2, :15], counts.values[2, :15])
    assert not np.isnan(model.shown.values[3, 15:20]).any()


# ------------------------------------------------------------------ few-shot


def test_a_read_out_is_the_poisson_regression_of_sklearn():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 3)) * [1.0, 5.0, 0.1]
    y = rng.poisson(np.exp(-0.5 + x @ [0.4, -0.1, 3.0]))[:, None].astype(float)
    ours = poisson_weights(x, y, 2.0)
    scale = x.std(axis=0)
    # Theirs is a mean over rows: half the penalty over rows, on columns of an sd of 1.
    theirs = PoissonRegressor(alpha=2.0 / 400, tol=1e-10, max_iter=2000).fit(
        (x - x.mean(axis=0)) / scale, y[:, 0]
    )
    # Where their optimiser stops.
    assert ours[1:, 0] * scale == pytest.approx(theirs.coef_, abs=1e-5)
    assert ours[0, 0] + x.mean(axis=0) @ ours[1:, 0] == pytest.approx(theirs.intercept_, abs=1e-5)
    silent = poisson_weights(x, 0 * y, 1.0)
    assert silent[:, 0].tolist() == [np.log(0.5 / 400), 0, 0, 0]


def test_few_shot_scores_trials_that_taught_nothing():
    """One draw, checked by hand from the latents to the bits."""
    rng = np.random.default_rng(4)
    z = rng.normal(size=(10, 25, 2))
    counts = xr.DataArray(
        rng.poisson(np.exp(-1 + z @ rng.normal(size=(2, 4)))), dims=("trial", "time", "unit"),
        attrs={"bin_size": 0.02},
    )  # fmt: skip
    model = Given(None, z)
    score = nr.spikes.few_shot_co_smoothing(
        model, counts, [0, 3], [1, 2], n_shots=3, n_draws=1, penalty=0.5, rng=7
    )
    assert np.isnan(model.shown.values[..., 1:3]).all()
    taken = np.random.default_rng(7).choice(10, 3, replace=False)
    rest = np.setdiff1d(np.arange(10), taken)
    y = counts.values[..., [1, 2]].astype(float)
    w = poisson_weights(z[taken].reshape(-1, 2), y[taken].reshape(-1, 2), 0.5)
    told = np.exp(w[0] + z[rest] @ w[1:])
    assert float(score.bits_per_spike[0]) == pytest.approx(by_hand(told, y[rest]), abs=1e-10)
    assert score.parameters["n_shots"].values.tolist() == [3]
    for k in range(2):
        assert float(score.units["unit_bits_per_spike"][k, 0]) == pytest.approx(
            by_hand(told[..., k : k + 1], y[rest][..., k : k + 1]), abs=1e-10
        )


@pytest.mark.slow
def test_invented_latents_pass_co_smoothing_and_fail_with_few_shots():
    """The same rates from latents with and without eight that nothing drives."""
    rng = np.random.default_rng(5)
    rec = nr.simulate.simulate_latent_population(30, 1.0, n_trials=80, tau=[0.3, 0.1], rng=5)
    z = rec["latents"].values
    invented = np.concatenate([z, rng.normal(size=(80, 100, 8)).cumsum(axis=1) / 10], axis=2)
    counts = rec["counts"]
    held_out = counts["unit"].values[20:]
    lean, rich = (
        nr.spikes.few_shot_co_smoothing(
            Given(None, one), counts, None, held_out, n_shots=(2, 60), n_draws=10, rng=0
        )
        for one in (z, invented)
    )
    few, many = (lean.bits_per_spike - rich.bits_per_spike).values
    # Of 60 trials the read-out learns to leave them out; of two it cannot. Eight weights for 10
    # units cost 40 nats on the 20 trials left, of about 1,600 spikes: .03 bits.
    assert few > 0.1
    assert abs(many) < 0.03
    assert float(lean.bits_per_spike[0]) > float(rich.parameters["bits_per_spike_ci"][0, 1])
    with pytest.raises(DataError, match="80 trials came"):
        nr.spikes.few_shot_co_smoothing(Given(None, z), counts, None, held_out, n_shots=79)


# ------------------------------------------------------------------ PSTH


def test_psth_r2_is_that_of_the_benchmark():
    counts, rates = population(n_trials=30)
    label = np.array(["a", "b", "c"])[np.arange(30) % 3]
    score = nr.spikes.psth_r2(rates, counts, label, smoothing=0.06)
    smooth = gaussian_filter1d(counts.values / 0.02, 3.0, axis=1, mode="constant")
    smooth /= gaussian_filter1d(np.ones((1, 30, 1)), 3.0, axis=1, mode="constant")
    truth = np.vstack([smooth[label == c].mean(axis=0) for c in "abc"])
    guess = np.vstack([rates.values[label == c].mean(axis=0) for c in "abc"])
    # Theirs: sklearn's r2_score of (condition and time, unit), the mean over units.
    assert float(score.parameters["psth_r2"]) == pytest.approx(r2_score(truth, guess), abs=1e-10)
    each = r2_score(truth, guess, multioutput="raw_values")
    assert score.units["unit_r2"].values == pytest.approx(each, abs=1e-10)
    low, high = score.parameters["psth_r2_ci"].values
    assert low < high


def test_a_psth_of_other_trials_than_the_rates():
    counts, rates = population(n_trials=30)
    label = np.arange(30) % 3
    test = slice(20, 30)
    score = nr.spikes.psth_r2(
        rates[test], counts, label[test], count_conditions=label, smoothing=0.0
    )
    truth = np.vstack([counts.values[label == c].mean(axis=0) / 0.02 for c in (2, 0, 1)])
    guess = np.vstack([rates.values[test][label[test] == c].mean(axis=0) for c in (2, 0, 1)])
    assert float(score.parameters["psth_r2"]) == pytest.approx(r2_score(truth, guess), abs=1e-10)
    with pytest.raises(ShapeError, match="count_conditions"):
        nr.spikes.psth_r2(rates[test], counts, label[test])
    with pytest.raises(DataError, match="No condition"):
        nr.spikes.psth_r2(rates[test], counts, label[test] + 9, count_conditions=label)


# ------------------------------------------------------------------ the baseline


def test_smoothing_is_a_gaussian_of_the_bins_of_a_trial():
    rng = np.random.default_rng(6)
    counts = rng.poisson(0.4, (70, 2)).astype(float)
    counts[12:15, 1] = np.nan
    trials, mean = [slice(0, 30), slice(30, 70)], np.array([0.4, 0.3])
    for leave_out in (False, True):
        found = smoothed_counts(counts, trials, 2.5, mean, leave_out=leave_out)
        for trial in trials:
            for t in range(trial.start, trial.stop):
                at = np.arange(trial.start, trial.stop)
                taps = np.exp(-0.5 * ((at - t) / 2.5) ** 2) * (np.abs(at - t) <= 10)
                whole = np.exp(-0.5 * (np.arange(-10, 11) / 2.5) ** 2)
                if leave_out:
                    taps[at == t], whole[10] = 0.0, 0.0
                worth = whole.sum() / (whole**2).sum()
                for u in range(2):
                    seen = np.isfinite(counts[at, u])
                    n = worth * (taps[seen] @ counts[at, u][seen]) + 0.5
                    bins = worth * taps[seen].sum() + 0.5 / mean[u]
                    assert found[t, u] == pytest.approx(n / bins, rel=1e-12)


@pytest.mark.parametrize("n", [5, 40, 300])
def test_long_gaussians_are_the_same_by_transforms(n):
    """More than 64 taps go by oaconvolve: the same sums, also in trials shorter than they are."""
    counts = np.random.default_rng(7).poisson(0.5, (n, 1)).astype(float)
    found = smoothed_counts(counts, [slice(0, n)], 40.0, np.array([0.5]))
    away = np.arange(n)[:, None] - np.arange(n)
    taps = np.exp(-0.5 * (away / 40.0) ** 2) * (np.abs(away) <= 160)
    whole = np.exp(-0.5 * (np.arange(-160, 161) / 40.0) ** 2)
    worth = whole.sum() / (whole**2).sum()
    expected = (worth * (taps @ counts) + 0.5) / (worth * taps.sum(axis=1, keepdims=True) + 1.0)
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_width_for_hidden_units_is_scored_on_blocks_that_taught_nothing():
    """Four units, each told from the three others: by hand, for one width."""
    counts = np.random.default_rng(8).poisson(0.6, (80, 4)).astype(float)
    trials, block = [slice(10 * k, 10 * k + 10) for k in range(8)], np.repeat(np.arange(8), 10)
    draw = np.random.default_rng(9)
    found = try_on_others(counts, trials, 0.02, np.array([0.05]), block, 8, 1.0, draw)
    order = np.random.default_rng(9).permutation(4)
    expected = np.zeros(8)
    for side, unit in enumerate(order):
        others = np.setdiff1d(order, [unit])
        mean = counts[:, others].mean(axis=0)
        level = np.log(smoothed_counts(counts[:, others], trials, 2.5, mean))
        test = block % 2 == side % 2
        w = poisson_weights(level[~test], counts[~test][:, [unit]], 1.0)
        told = np.exp(w[0] + level @ w[1:])[:, 0]
        gain = counts[:, unit] * np.log(told) - told
        expected += np.bincount(block[test], gain[test], minlength=8)
    assert found.gain[0] == pytest.approx(expected, abs=1e-6)
    assert found.width() == pytest.approx(0.05)


@pytest.fixture(scope="module")
def fitted():
    """Two latents that 20 units share."""
    rec = nr.simulate.simulate_latent_population(20, 1.0, n_trials=60, tau=[0.2, 0.3], rng=0)
    model = nr.spikes.SmoothedRates().fit(rec["counts"][:40])
    return rec, model


@pytest.mark.slow
def test_the_width_is_the_best_of_all_for_rates_and_for_hidden_units(fitted):
    rec, model = fitted
    train, test = rec["counts"][:40], rec["counts"][40:]
    true = rec["rate_true"][40:].values

    def losses(found):
        told = found.rates(test).values
        bits = [
            float(nr.spikes.co_smoothing(found, test, None, np.arange(k, k + 5)).bits_per_spike)
            for k in (0, 5, 10, 15)
        ]
        return np.mean(told - true * np.log(told)), -np.mean(bits)

    tried = [losses(nr.spikes.SmoothedRates(width=w).fit(train)) for w in (0.02, 0.05, 0.12, 0.3)]
    assert model.parameters_["width"].attrs["units"] == "s"
    # A tenth of what the widths tried differ by.
    for value, values in zip(losses(model), zip(*tried, strict=True), strict=True):
        assert value < min(values) + 0.1 * (max(values) - min(values))
    width, hidden = (float(model.parameters_[n]) for n in ("width", "hidden_width"))
    # Many units together bear a narrower Gaussian than one.
    assert hidden < width
    for name, value in (("width", width), ("hidden_width", hidden)):
        low, high = model.parameters_[f"{name}_ci"].values
        assert low <= value <= high
    assert model.status_.item() == "ok"


def test_rates_of_hidden_units_do_not_depend_on_their_counts(fitted):
    rec, model = fitted
    test = rec["counts"][40:].astype(float)
    held_out = [3, 7, 19]
    hidden = test.copy()
    hidden.loc[{"unit": held_out}] = np.nan
    told = model.rates(hidden)
    assert told.dims == ("trial", "time", "unit")
    assert told.attrs["units"] == "Hz"
    left_out = model.rates(test.drop_sel(unit=held_out))
    assert np.array_equal(left_out.values, told.values)
    # Observed units are smoothed, whatever the others are.
    kept = [u for u in range(20) if u not in held_out]
    assert np.array_equal(told.sel(unit=kept), model.rates(test).sel(unit=kept))
    # And hidden ones follow the truth.
    true = rec["rate_true"][40:].sel(unit=held_out).values
    assert np.corrcoef(np.log(told.sel(unit=held_out).values.ravel()), np.log(true.ravel()))[
        0, 1
    ] > 0.6  # fmt: skip
    assert model.latents(hidden).shape == (20, 100, 17)


def test_bins_in_other_units_are_refused_and_bits_do_not_depend_on_the_clock(fitted):
    rec, model = fitted
    test = rec["counts"][40:]
    with pytest.raises(DataError, match="in bins of 10 s"):
        model.rates(test.assign_attrs(bin_size=10.0))
    slow = rec["counts"].assign_attrs(bin_size=0.02)
    other = nr.spikes.SmoothedRates().fit(slow[:40])
    # Widths are tried on another grid: the parabola between them moves by a few per cent.
    assert float(other.parameters_["width"]) == pytest.approx(
        2 * float(model.parameters_["width"]), rel=0.05
    )
    units = np.arange(14, 20)
    a = nr.spikes.co_smoothing(model, test, None, units)
    b = nr.spikes.co_smoothing(other, slow[40:], None, units)
    assert float(a.bits_per_spike) == pytest.approx(float(b.bits_per_spike), abs=0.01)


def test_poisson_units_ask_for_the_widest_and_say_so():
    rec = nr.simulate.simulate_latent_population(5, 2.0, n_trials=40, log_gain_sd=0.0, rng=0)
    model = nr.spikes.SmoothedRates().fit(rec["counts"])
    assert model.status_.item() == "wide"
    assert "Read the mean rates" in model.report()


def test_scores_and_the_baseline_come_back_from_a_file(fitted, tmp_path):
    rec, model = fitted
    test = rec["counts"][40:]
    model.save(tmp_path / "model.nc")
    back = nr.load(tmp_path / "model.nc")
    some = test.sel(unit=[0, 1, 2, 3])
    assert np.array_equal(back.rates(some), model.rates(some))
    score = nr.spikes.few_shot_co_smoothing(model, test, None, [1, 5], n_shots=(2, 8), n_draws=3)
    score.save(tmp_path / "score.nc")
    again = nr.load(tmp_path / "score.nc")
    xr.testing.assert_identical(again.parameters, score.parameters)
    xr.testing.assert_identical(again.units, score.units)
    assert again.report() == score.report()
    assert "pcbi.1013789" in nr.cite(score)
    assert "2109.04463" in nr.cite(score)


def test_settings_that_cannot_be_are_refused(fitted):
    counts = fitted[0]["counts"]
    with pytest.raises(NameUnknownError, match="width"):
        nr.spikes.SmoothedRates(width="best").fit(counts)
    with pytest.raises(DataError, match="width"):
        nr.spikes.SmoothedRates(width=-1.0).fit(counts)
    with pytest.raises(DataError, match="without a spike"):
        nr.spikes.SmoothedRates().fit(0 * counts)
    hidden = counts.astype(float).where(counts["unit"] > 30)
    with pytest.raises(DataError, match="Every count is missing"):
        fitted[1].rates(hidden)


def test_a_rate_told_beyond_what_was_seen_does_not_run_away():
    draw = np.random.default_rng(0)
    drive = np.repeat(draw.standard_normal((60, 1)), 50, axis=1)
    counts = draw.poisson(0.3 * np.exp(0.5 * drive[:, :, None] + np.zeros(4)))
    model = nr.spikes.SmoothedRates(bin_size=0.01).fit(counts)
    shown = counts[:5].astype(float)
    # A burst far above what the fit has seen, in the units that are told from.
    shown[..., :3] = 30
    shown[..., 3] = np.nan
    told = model.rates(shown).values[..., 3]
    seen = counts.astype(float)
    seen[..., 3] = np.nan
    assert told.max() <= model.rates(seen).values[..., 3].max() * (1 + 1e-9)
    assert told.max() > model.rates(seen[:5]).values[..., 3].mean()
