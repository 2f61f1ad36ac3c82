"""Sequential autoencoders: rates of single trials, units told from others, what breaks them."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from sklearn.base import clone

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, NameUnknownError
from neurornn.spikes import SequentialAutoencoder
from neurornn.spikes.autoencoder_network import AutoencoderNetwork, turned
from neurornn.spikes.autoencoder_windows import cut, cut_for_inference

BIN, N_TRAIN = 0.02, 130
SMALL = {
    "n_latent": 4, "n_hidden": 32, "n_encoder": 24, "n_initial": 8, "max_epochs": 70,
    "kl_epochs": 15, "batch_size": 16, "learning_rate": 0.01, "n_draws": 8,
}  # fmt: skip
TINY = {
    "n_latent": 2, "n_hidden": 8, "n_encoder": 8, "n_initial": 3, "max_epochs": 3, "kl_epochs": 1,
    "n_draws": 4,
}  # fmt: skip


def spinning(n_units, n_steps, n_trials, rate, seed):
    """Units that follow a point which turns at 1.2 Hz and comes to a circle, from any start."""
    rng = np.random.default_rng(seed)
    time = BIN * np.arange(n_steps)
    phase = 2 * np.pi * (rng.random((n_trials, 1)) + 1.2 * time)
    radius = 1 + rng.uniform(-0.7, 1.0, (n_trials, 1)) * np.exp(-time / 0.3)
    latents = np.stack([radius * np.cos(phase), radius * np.sin(phase), radius - 1], axis=2)
    drive = latents @ rng.standard_normal((3, n_units))
    drive *= 0.8 / drive.std(axis=(0, 1))
    rates = rate * np.exp(drive) / np.exp(drive).mean(axis=(0, 1))
    dims = ("trial", "time", "unit")
    return xr.Dataset(
        {
            "counts": (dims, rng.poisson(BIN * rates), {"bin_size": BIN}),
            "rate_true": (dims, rates, {"units": "Hz"}),
        },
        coords={"time": time + BIN, "unit": np.arange(n_units)},
    )


@pytest.fixture(scope="module")
def population():
    return spinning(24, 40, 160, 15.0, seed=0)


@pytest.fixture(scope="module")
def vae(population):
    return SequentialAutoencoder(**SMALL, rng=0).fit(population["counts"][:N_TRAIN])


@pytest.fixture(scope="module")
def few():
    """Trials of a few units, for what needs no training to speak of."""
    return spinning(5, 20, 20, 20.0, seed=1)["counts"]


@pytest.fixture(scope="module")
def tiny(few):
    return SequentialAutoencoder(**TINY).fit(few)


def r2(estimate, truth):
    left = ((estimate - truth) ** 2).sum(axis=(0, 1))
    return (1 - left / ((truth - truth.mean(axis=(0, 1))) ** 2).sum(axis=(0, 1))).mean()


def bits(rates, counts):
    return nr.spikes.bits_per_spike(rates * BIN, counts)


@pytest.mark.slow
def test_rates_of_single_trials_are_better_than_smoothed_ones(vae, population):
    test = population.isel(trial=slice(N_TRAIN, None))
    truth, counts = test["rate_true"].values, test["counts"].values
    smooth = max(
        r2(gaussian_filter1d(counts.astype(float), s, axis=1) / BIN, truth) for s in (2, 4, 6, 8)
    )
    rates = vae.rates(test["counts"])
    assert rates.dims == ("trial", "time", "unit")
    assert rates.attrs["units"] == "Hz"
    # The best width gives .52 and this .90; rates in the wrong unit give less than nothing.
    assert r2(rates.values, truth) > max(0.8, smooth + 0.25)
    assert abs(rates.values.mean() / truth.mean() - 1) < 0.1


@pytest.mark.slow
def test_a_unit_that_was_not_observed_is_told_from_the_others(vae, population):
    test = population.isel(trial=slice(N_TRAIN, None))
    counts = test["counts"].astype(float)
    hidden = [0, 7, 13]
    masked = counts.copy()
    masked[:, :, hidden] = np.nan
    told = vae.rates(masked).values[:, :, hidden]
    assert r2(told, test["rate_true"].values[:, :, hidden]) > 0.75
    # A unit that is left out is the same as one that is NaN.
    rest = [u for u in range(24) if u not in hidden]
    left_out = vae.rates(counts.isel(unit=rest)).values[:, :, hidden]
    assert np.allclose(left_out, told, rtol=1e-5)
    # What is masked is not read, whatever stands there.
    other = counts.copy()
    other[:, :, hidden] = 9.0
    assert not np.allclose(vae.rates(other).values[:, :, hidden], told, rtol=1e-2)


def test_what_is_held_out_is_scored_without_being_seen(vae, population):
    test = population.isel(trial=slice(N_TRAIN, None))
    table = vae.parameters_
    value = table["held_out_bits"].values
    low, high = table["held_out_bits_ci"].values.T
    assert (low < value).all() and (value < high).all()
    # Bits of the true rates, which nothing beats by much: what copies counts would.
    best = bits(test["rate_true"].values, test["counts"].values)
    assert 0.5 * best < value.mean() < 1.3 * best
    tau = table["tau"]
    assert tau.sizes["hidden"] == 32 and tau.attrs["units"] == "s"
    assert (tau.values > BIN / 10).all() and np.isnan(table["tau_ci"].values).all()


def test_intervals_of_rates_hold_the_rates(vae, population):
    test = population["counts"][N_TRAIN:]
    found = vae.rates(test, return_interval=True)
    low, high = np.moveaxis(found["rate_ci"].values, -1, 0)
    assert found["rate_ci"].dims == (*test.dims, "ci_bound")
    assert ((low <= found["rate"].values) & (found["rate"].values <= high)).mean() > 0.98
    truth = population["rate_true"][N_TRAIN:].values
    # Of the posterior alone: weights are not exact, so that fewer than 95 % are inside.
    assert 0.4 < ((low < truth) & (truth < high)).mean() < 0.99
    assert found["rate_ci"].attrs["units"] == "Hz"
    listed = vae.rates([test[0], test[1, :20]], return_interval=True)
    assert np.allclose(listed[0]["rate_ci"], found["rate_ci"][0], rtol=1e-4)


def test_ragged_is_padded_and_padding_is_not_read(vae, population):
    counts = population["counts"].astype(float)
    trials = [counts[N_TRAIN + k, :n] for k, n in enumerate((40, 25, 12, 31))]
    padded = counts[N_TRAIN : N_TRAIN + 4].copy()
    for k, trial in enumerate(trials):
        padded[k, len(trial) :] = np.nan
    ragged, whole = vae.rates(trials), vae.rates(padded)
    for one, k in zip(ragged, range(4), strict=True):
        assert np.allclose(one.values, whole.values[k, : len(one)], rtol=1e-4)
        alone = vae.rates(trials[k])
        assert np.allclose(one.values, alone.values, rtol=1e-4)
    # Behind the end the generator runs on: a forecast, not a constant.
    assert np.isfinite(whole.values).all()


def test_ragged_trials_are_fitted_as_padded_ones(few):
    trials = [few[k, : 12 + k % 9] for k in range(20)]
    padded = few.astype(float).copy()
    for k, trial in enumerate(trials):
        padded[k, len(trial) :] = np.nan
    one, other = (SequentialAutoencoder(**TINY).fit(x) for x in (trials, padded))
    assert np.allclose(one.rates(trials[3]), other.rates(trials[3]), rtol=1e-4)


def test_a_missing_bin_is_not_a_silent_one(vae, population):
    counts = population["counts"][N_TRAIN:].astype(float)
    missing, silent = counts.copy(), counts.copy()
    missing[:, 10:30], silent[:, 10:30] = np.nan, 0.0
    truth = population["rate_true"][N_TRAIN:].values[:, 10:30]
    told, misled = (vae.rates(x).values[:, 10:30] for x in (missing, silent))
    assert ((told - truth) ** 2).mean() < 0.95 * ((misled - truth) ** 2).mean()


def test_the_same_seed_gives_the_same_bits(few, tiny):
    torch.manual_seed(5)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    again = SequentialAutoencoder(**TINY).fit(few)
    assert np.array_equal(again.rates(few).values, tiny.rates(few).values)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads
    assert np.array_equal(again.parameters_["tau"], tiny.parameters_["tau"])
    other = SequentialAutoencoder(**TINY, rng=1).fit(few)
    assert not np.allclose(other.rates(few).values, tiny.rates(few).values)


@pytest.mark.parametrize("settings", [{}, {"generator": "gru"}, {"controller": True}])
def test_what_is_loaded_is_what_was_saved(few, settings, tmp_path):
    model = SequentialAutoencoder(**TINY, **settings).fit(few)
    model.save(tmp_path / "vae")
    twin = nr.load(tmp_path / "vae")
    assert np.array_equal(twin.rates(few).values, model.rates(few).values)
    assert np.array_equal(twin.latents(few).values, model.latents(few).values)
    xr.testing.assert_identical(twin.parameters_, model.parameters_)
    assert twin.report() == model.report()
    assert twin.get_params() == model.get_params()


def test_settings_stay_and_clone(few):
    model = SequentialAutoencoder(**TINY, tau=(0.05, 0.2))
    given = model.get_params()
    model.fit(few)
    assert model.get_params() == given == clone(model).get_params()
    tau = model.parameters_["tau"].values
    # Three epochs move them little.
    assert tau.min() == pytest.approx(0.05, rel=0.2) and tau.max() == pytest.approx(0.2, rel=0.2)


def test_a_gru_is_read_in_seconds(few):
    tau = SequentialAutoencoder(**TINY, generator="gru", tau=(0.05, 0.5)).fit(few).parameters_
    values = tau["tau"].values
    assert (values > 0.02).all() and (values < 2.0).all()
    assert "gate" in tau["tau"].attrs["method"]


@pytest.mark.slow
def test_inputs_are_found_where_the_start_does_not_tell():
    """A step of the rate at a random time: no start tells when."""
    rng = np.random.default_rng(0)
    n, steps, units = 200, 40, 20
    when = rng.integers(8, 32, n)
    up = np.arange(steps) >= when[:, None]
    rate = np.where(up[:, :, None], 30.0, 6.0) * np.ones(units)
    counts = xr.DataArray(
        rng.poisson(rate * BIN), dims=("trial", "time", "unit"), attrs={"bin_size": BIN}
    )
    given = {**SMALL, "max_epochs": 30, "n_inputs": 1}
    model = SequentialAutoencoder(**given, controller=True, rng=0).fit(counts[:160])
    assert r2(model.rates(counts[160:]).values, rate[160:]) > 0.7


def test_units_that_are_silent_constant_or_missing(few):
    counts = few.astype(float).copy()
    counts[:, :, 0], counts[:, :, 1], counts[:, :, 2] = 0.0, 1.0, np.nan
    counts[3, 4:6] = np.nan
    model = SequentialAutoencoder(**TINY).fit(counts)
    rates = model.rates(counts).values
    assert np.isnan(rates[:, :, 2]).all()
    assert np.isfinite(np.delete(rates, 2, axis=2)).all()
    assert rates[:, :, 0].max() < 5.0
    assert model.status_.values[:3].tolist() == ["too_few_events", "ok", "no_data"]
    value = model.parameters_["held_out_bits"].values
    # Counts that never change are told by their mean: no more than by a constant rate.
    assert np.isnan(value[[0, 2]]).all() and abs(value[1]) < 0.1


def test_a_fit_that_diverges_says_so(few):
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model = SequentialAutoencoder(**{**TINY, "max_epochs": 20}, learning_rate=1e20).fit(few)
    assert (model.status_ == "diverged").all()
    assert np.isfinite(model.rates(few).values).all()
    assert np.isfinite(model.history_["loss"].values).all()
    assert "Lower learning_rate" in model.report()


def test_sessions_have_units_of_their_own(few):
    more = spinning(3, 20, 16, 20.0, seed=2)["counts"].assign_coords(unit=["a", "b", "c"])
    model = SequentialAutoencoder(**TINY).fit({"one": few, "two": more})
    assert model.rates(few, session="one").sizes["unit"] == 5
    told = model.rates(more, session="two")
    assert told["unit"].values.tolist() == ["a", "b", "c"]
    assert model.parameters_["session"].values.tolist() == ["one"] * 5 + ["two"] * 3
    assert model.latents(more, session="two").sizes["latent"] == 2
    with pytest.raises(DataError, match="none was named"):
        model.rates(few)
    with pytest.raises((DataError, NameUnknownError), match="three"):
        model.rates(few, session="three")
    with pytest.raises(DataError, match="not in the fit"):
        model.rates(few, session="two")
    with pytest.raises(KindError, match="named 1"):
        SequentialAutoencoder(**TINY).fit({1: few, 2: more})


def test_sessions_survive_a_file(few, tmp_path):
    model = SequentialAutoencoder(**TINY).fit({"one": few, "two": few[:, :, :2]})
    model.save(tmp_path / "vae")
    twin = nr.load(tmp_path / "vae")
    given = few[:, :, :2]
    assert np.array_equal(
        twin.rates(given, session="two").values, model.rates(given, session="two").values
    )
    with pytest.raises(DataError, match="without a session"):
        SequentialAutoencoder(**TINY).fit(few).rates(few, session="one")


def test_a_recording_is_cut_and_joined(few):
    long = xr.DataArray(
        few.values.reshape(-1, 5), dims=("time", "unit"), attrs={"bin_size": BIN},
        coords={"time": BIN * np.arange(1, few.size // 5 + 1)},
    )  # fmt: skip
    model = SequentialAutoencoder(**TINY, window=0.5).fit(long)
    rates = model.rates(long)
    assert rates.shape == long.shape and np.isfinite(rates.values).all()
    assert np.array_equal(rates["time"], long["time"])
    # Where windows meet, rates go on: no step is larger than elsewhere by far.
    steps = np.abs(np.diff(rates.values, axis=0)).max(axis=1)
    assert steps.max() < 20 * np.median(steps) + 1e-9


def test_windows_hold_every_row_and_join_to_what_was_cut():
    blocks = np.array([[0, 100], [100, 112], [112, 190]])
    found = cut(blocks, 20)
    rows = np.random.default_rng(0).random((190, 3))
    assert np.allclose(found.join(found.of(rows), 190), rows)
    assert set(found.lengths.tolist()) == {12, 20}
    seen = np.ones(190, dtype=bool)
    seen[170:] = False
    windows, lengths = cut_for_inference(blocks, seen, 20)
    assert windows.edges[-1].tolist() == [150, 190] and lengths[-1] == 20


def test_a_turn_stays_within_a_trial():
    x = torch.arange(10.0).reshape(2, 5, 1)
    back = turned(x, torch.tensor([5, 3]))[:, :, 0]
    assert back.tolist() == [[4, 3, 2, 1, 0], [7, 6, 5, 8, 9]]
    assert torch.equal(turned(turned(x, torch.tensor([5, 3])), torch.tensor([5, 3])), x)


def test_the_divergence_of_inputs_is_that_of_their_whole_law():
    """Against the divergence of two multivariate normals, written down anew."""
    network = AutoencoderNetwork(
        [3], dt=0.01, n_latent=2, n_initial=2, n_encoder=4, n_hidden=4, n_inputs=1,
        generator="leaky", tau=(0.02, 0.5), seed=0,
    )  # fmt: skip
    seen = torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        told = network.encode(seen, 0)
    keep, sd = np.exp(-0.01 / 0.1), 0.3
    lag = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    prior = torch.distributions.MultivariateNormal(
        torch.zeros(6), torch.tensor(sd**2 * keep**lag, dtype=torch.float32)
    )
    own = torch.distributions.MultivariateNormal(
        told.inputs[0, :, 0], torch.diag(torch.exp(told.log_input_variance[0, :, 0]))
    )
    start = torch.distributions.MultivariateNormal(
        told.mean[0], torch.diag(torch.exp(told.log_variance[0]))
    )
    plain = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    wanted = torch.distributions.kl_divergence(own, prior)
    wanted = wanted + torch.distributions.kl_divergence(start, plain)
    assert float(network.divergence(told).detach()) == pytest.approx(float(wanted), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c * 3.7, "whole numbers"),
        (lambda c: c.assign_attrs(bin_size=None).drop_attrs(), "bin"),
        (lambda c: c[:1], "1 trials"),
        (lambda c: c[:, :1], "2 bins"),
        (lambda c: c.astype(float) * np.nan, "Every count is missing"),
    ],
)
def test_bad_counts_are_explained(few, change, said):
    with pytest.raises(DataError, match=said):
        SequentialAutoencoder(**TINY).fit(change(few))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("n_latent", 0), ("generator", "lstm"), ("window", -1.0), ("coordinated_dropout", 1.0),
        ("validation_fraction", 0.9), ("tau", (1.0, 0.1)), ("clip_norm", 0.0), ("unit_dropout", 2),
    ],
)  # fmt: skip
def test_bad_settings_are_explained(few, setting, value):
    with pytest.raises((ValueError, NameUnknownError), match=setting):
        SequentialAutoencoder(**{**TINY, setting: value}).fit(few)


def test_other_bins_or_units_are_refused(few, tiny):
    with pytest.raises(DataError, match="One bin size"):
        tiny.rates(few.assign_attrs(bin_size=0.05))
    with pytest.raises(DataError, match="not in the fit"):
        tiny.rates(few.assign_coords(unit=list("abcde")))
    with pytest.raises(DataError, match="One bin size"):
        SequentialAutoencoder(**TINY).fit({"a": few, "b": few.assign_attrs(bin_size=0.05)})


def test_trials_of_which_nothing_was_seen_have_a_rate(few, tiny):
    counts = few.astype(float).copy()
    counts[1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates = tiny.rates(counts).values
    assert np.isfinite(rates).all()
    assert np.allclose(rates[0], tiny.rates(few).values[0], rtol=1e-4)
