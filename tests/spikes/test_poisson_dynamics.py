"""Linear latent dynamics: known truths, hidden units, what is told."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError
from neurornn.spikes.poisson_dynamics import modes_of


@pytest.fixture(scope="module")
def record():
    return nr.simulate.simulate_latent_population(30, 60.0, tau=[0.05, 0.5], rng=1)


@pytest.fixture(scope="module")
def fitted(record):
    return nr.spikes.PoissonDynamics(2, rotations=False).fit(record["counts"])


def test_time_constants_are_recovered(fitted):
    table = fitted.parameters_
    truth = np.array([0.5, 0.05])
    ci = table["tau_ci"].values
    assert np.all((ci[:, 0] < truth) & (truth < ci[:, 1]))
    # A latent that is seen without noise gives 13 and 4 %; with noise not twice that.
    width = np.log(ci[:, 1] / ci[:, 0]) / 3.92
    assert np.all(width < [0.26, 0.12])
    assert np.all(width > [0.12, 0.03])
    assert table["tau"].attrs["units"] == "s"
    assert (table["frequency"].values == 0).all()
    assert (table["status"].values == "ok").all()


def test_rates_lie_closer_to_the_truth_than_smoothed_counts(record, fitted):
    rates = fitted.rates(record["counts"])
    truth = record["rate_true"]
    assert rates.attrs["units"] == "Hz"

    def left_over(found):
        return float(((found - truth) ** 2).sum() / ((truth - truth.mean("time")) ** 2).sum())

    kernel = np.exp(-(np.linspace(-3, 3, 31) ** 2) / 2)
    smooth = truth.copy(data=np.stack([
        np.convolve(c, kernel / kernel.sum(), "same") / 0.01 for c in record["counts"].values.T
    ], axis=1))  # fmt: skip
    assert left_over(rates) < 0.6 * left_over(smooth)


def test_latents_are_those_of_the_simulation(record, fitted):
    found = fitted.latents(record["counts"]).values
    design = np.column_stack([found, np.ones(len(found))])
    truth = record["latents"].values
    rest = truth - design @ np.linalg.lstsq(design, truth, rcond=None)[0]
    # 30 units of 8 Hz tell the slow latent to a tenth of its variance.
    assert rest.var(axis=0).min() < 0.15


def test_a_hidden_unit_is_told_from_the_others(record, fitted):
    counts = record["counts"].astype(float)
    hidden = counts.copy()
    hidden[:, 4:8] = np.nan
    rates = fitted.rates(hidden)
    truth = record["rate_true"].values[:, 4:8]
    found = rates.values[:, 4:8]
    for k in range(4):
        assert np.corrcoef(found[:, k], truth[:, k])[0, 1] > 0.6
    # What is left out and what is NaN are the same.
    left = fitted.rates(counts.isel(unit=np.r_[0:4, 8:30]))
    np.testing.assert_allclose(left.values, rates.values)
    # The mean rate holds, which needs the spread of what is not known of the latents.
    assert found.mean() == pytest.approx(truth.mean(), rel=0.1)


@pytest.mark.slow
def test_rotation_has_its_frequency():
    rng = np.random.default_rng(0)
    turn = np.exp(-0.01 / 0.3) * np.exp(2j * np.pi * 3.0 * 0.01)
    z = np.zeros(6000, complex)
    noise = (rng.standard_normal(6000) + 1j * rng.standard_normal(6000)) * np.sqrt(
        1 - abs(turn) ** 2
    )
    for t in range(1, 6000):
        z[t] = turn * z[t - 1] + noise[t]
    phase = rng.uniform(0, 2 * np.pi, 30)
    counts = rng.poisson(0.1 * np.exp(0.6 * (z[:, None] * np.exp(1j * phase)).real))
    fit = nr.spikes.PoissonDynamics(2, bin_size=0.01).fit(counts)
    ci = fit.parameters_["frequency_ci"].values
    assert np.all((ci[:, 0] < 3.0) & (ci[:, 1] > 3.0))
    ci = fit.parameters_["tau_ci"].values
    assert np.all((ci[:, 0] < 0.3) & (ci[:, 1] > 0.3))


def test_modes_of_a_drift():
    tau, frequency = modes_of(np.array([[2.0, -5.0, 0.0], [5.0, 2.0, 0.0], [0.0, 0.0, 10.0]]))
    np.testing.assert_allclose(tau, [0.5, 0.5, 0.1])
    np.testing.assert_allclose(frequency, [5 / (2 * np.pi), 5 / (2 * np.pi), 0.0])


@pytest.mark.slow
def test_number_of_latents_is_chosen():
    record = nr.simulate.simulate_latent_population(25, 1.0, n_trials=60, tau=[0.1, 0.3], rng=3)
    fit = nr.spikes.PoissonDynamics(
        "auto", rotations=False, max_latent=4, intervals=False
    ).fit(record["counts"])  # fmt: skip
    assert fit.loadings_.sizes["latent"] in (2, 3)
    bits = fit.choice_["held_out_bits"].values
    assert bits[1] > bits[0] + 0.01
    assert "bits per spike of hidden units" in fit.report()


def test_trials_and_lists_are_one(record):
    trials = nr.simulate.simulate_latent_population(10, 0.5, n_trials=20, tau=0.2, rng=0)["counts"]
    fit = nr.spikes.PoissonDynamics(1, intervals=False).fit(trials)
    whole = fit.rates(trials)
    assert whole.dims == ("trial", "time", "unit")
    listed = fit.rates(list(trials))
    np.testing.assert_allclose(listed[3].values, whole.values[3], rtol=1e-5)


def test_file(fitted, record, tmp_path):
    fitted.save(tmp_path / "lds.nc")
    again = nr.load(tmp_path / "lds.nc")
    assert again.report() == fitted.report()
    xr.testing.assert_identical(again.rates(record["counts"]), fitted.rates(record["counts"]))


def test_bad_input_is_explained(fitted, record):
    with pytest.raises(DataError, match="Ask for fewer latents"):
        nr.spikes.PoissonDynamics(5, bin_size=0.01).fit(np.ones((100, 2), dtype=int))
    with pytest.raises(DataError, match="One bin size"):
        fitted.rates(record["counts"].assign_attrs(bin_size=0.02))
    with pytest.raises(DataError, match="were not in the fit"):
        fitted.rates(record["counts"].assign_coords(unit=np.arange(30) + 5))


def test_number_of_latents_is_chosen_from_few_units_too():
    counts = nr.simulate.simulate_latent_population(4, 20.0, tau=0.2, rng=0)["counts"]
    fit = nr.spikes.PoissonDynamics("auto", max_latent=2, intervals=False).fit(counts)
    assert fit.choice_["held_out_bits"].values[0] > 0
    with pytest.raises(DataError, match="one unit fires"):
        nr.spikes.PoissonDynamics("auto").fit(counts[:, :1])


def test_rates_of_hidden_units_do_not_run_away():
    # Cells with a place field: silent but for a short time, when they fire in every bin.
    rng = np.random.default_rng(0)
    place = np.abs(((np.arange(1500)[:, None] * 0.01) % 1.0) - np.linspace(0, 1, 6))
    counts = xr.DataArray(
        rng.poisson(3.0 * np.exp(-0.5 * (place / 0.04) ** 2)).astype(float),
        dims=("time", "unit"), attrs={"bin_size": 0.05},
    )  # fmt: skip
    train, test = counts[:1000], counts[1000:]
    fit = nr.spikes.PoissonDynamics(2, intervals=False, max_steps=60).fit(train)
    told = fit.rates(test[:, :5]).values
    highest = train.values.max(axis=0) / 0.05
    assert (told[:, 5] <= highest[5] * (1 + 1e-9)).all() and told[:, 5].max() > 0
    assert np.array_equal(fit.loadings_["highest_rate"], highest)
    # Counts that are fuller than any of the fit may have the rate for it.
    more = test.copy()
    more[:, 0] *= 3
    assert (fit.rates(more).values[:, 0] <= 3 * test.values[:, 0].max() / 0.05).all()
