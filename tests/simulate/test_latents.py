"""Populations with hidden variables: their time constants, rates and counts are as asked for."""

import numpy as np
import pytest

from neurornn._core.errors import DataError, ShapeError
from neurornn.simulate import simulate_latent_population, simulate_lorenz_population


def test_latents_forget_with_their_time_constants():
    rec = simulate_latent_population(4, 2000.0, tau=[0.05, 0.3], rng=0)
    z = rec["latents"].values
    # 2000 s hold 3,300 time constants of the slow one: its variance is known to 2.5 %.
    assert z.std(axis=0) == pytest.approx([1.0, 1.0], abs=0.08)
    for k, tau in enumerate((0.05, 0.3)):
        lag = round(tau / 0.01)
        kept = np.corrcoef(z[:-lag, k], z[lag:, k])[0, 1]
        # An sd of 1 / sqrt(3300) of a correlation of 1/e.
        assert kept == pytest.approx(np.exp(-1), abs=0.06)
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.1


@pytest.mark.parametrize("link", ["exp", "softplus", "square"])
def test_every_link_gives_the_mean_rate_and_poisson_counts(link):
    rec = simulate_latent_population(3, 400.0, rate=[5.0, 10.0, 20.0], link=link, rng=1)
    rate, counts = rec["rate_true"].values, rec["counts"].values
    # 400 s of a latent of .2 s: 1000 draws of a rate that varies by .9 of itself.
    assert rate.mean(axis=0) == pytest.approx([5.0, 10.0, 20.0], rel=0.12)
    assert (rate > 0).mean() > 0.99
    away = ((counts - rate * 0.01) ** 2).sum(axis=0) / (rate * 0.01).sum(axis=0)
    # Variance over mean of 2,000 spikes and more: an sd of 2 to 3 %, so 4 of them.
    assert away == pytest.approx([1.0] * 3, abs=0.12)
    assert rec["counts"].attrs["bin_size"] == 0.01


def test_log_rates_vary_as_much_as_asked():
    rec = simulate_latent_population(30, 1000.0, tau=[0.05, 0.1, 0.02], log_gain_sd=0.5, rng=2)
    # Each unit shares the same variance out among the latents.
    assert np.log(rec["rate_true"]).std("time").values == pytest.approx(0.5, abs=0.04)
    assert np.linalg.norm(rec["weight_true"], axis=1) == pytest.approx(0.5)


def test_trials_are_drawn_anew():
    rec = simulate_latent_population(2, 0.6, n_trials=4000, tau=0.2, rng=3)
    z = rec["latents"].values[:, :, 0]
    # The first bin is as wide as all others, and tells nothing of the next trial.
    assert z[:, 0].std() == pytest.approx(1.0, abs=0.05)
    assert abs(np.corrcoef(z[:-1, -1], z[1:, 0])[0, 1]) < 0.06


@pytest.mark.slow
def test_lorenz_populations_have_the_rates_asked_for():
    rec = simulate_lorenz_population(12, 1.0, n_trials=80, rng=4)
    assert rec["counts"].dims == ("trial", "time", "unit")
    rates = rec["rate_true"].values
    assert rates.mean(axis=(0, 1)) == pytest.approx([10.0] * 12)
    assert np.log(rates).std(axis=(0, 1)) == pytest.approx([0.8] * 12)
    z = rec["latents"].values
    # On the attractor: the third variable is never where the other two have both wings at once.
    assert np.abs(z.mean(axis=(0, 1))).max() < 1e-9
    assert z.shape == (80, 100, 3)


def test_what_cannot_be_simulated_is_refused():
    with pytest.raises(DataError, match="above 0"):
        simulate_latent_population(tau=0.0, rng=0)
    with pytest.raises(ShapeError, match="rate has shape"):
        simulate_latent_population(3, rate=[1.0, 2.0], rng=0)
