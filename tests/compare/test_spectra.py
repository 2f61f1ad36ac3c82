"""Spectra compared: the same are within noise, others are not, the words follow the numbers."""

import numpy as np
import pytest
import torch
from scipy import stats

import neurornn as nr
from neurornn._core.errors import DataError, KindError
from neurornn.simulate import simulate_oscillators


def modes(seed, noise=0.1, **options):
    return nr.koopman.fit_modes(
        simulate_oscillators(noise_sd=noise, rng=seed, **options)["series"], rank=5
    )


def test_p_values_are_uniform_where_the_spectra_are_the_same():
    p = [nr.compare.spectra(modes([k, 0]), modes([k, 1]), n_draws=200).p_value for k in range(40)]
    # Kolmogorov-Smirnov at 1e-3.
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_other_time_scales_are_seen():
    one, two = modes(0), modes(1, time_constants=(1.0, 1.5, 0.8))
    found = nr.compare.spectra(one, two)
    assert found.p_value < 0.01
    assert found.verdict == "the time scales differ beyond noise"
    assert found.verdict in found.report()
    table = found.parameters
    np.testing.assert_array_equal(table["time_constant"], one.parameters_["time_constant"])
    # The real mode meets the real one, though it is no longer the slowest.
    order = [1, 0, 2]
    np.testing.assert_array_equal(
        table["time_constant_other"], two.parameters_["time_constant"].values[order]
    )
    a = one.parameters_["rate"].values + 2j * np.pi * one.parameters_["frequency"].values
    b = two.parameters_["rate"].values + 2j * np.pi * two.parameters_["frequency"].values
    b = b[order]
    each = 2 * np.abs(a - b) / (np.abs(a) + np.abs(b))
    np.testing.assert_allclose(table["difference"], each)
    assert found.distance == pytest.approx(each.mean())
    np.testing.assert_allclose(
        table["time_constant_ci"], one.parameters_["time_constant_ci"], rtol=1e-8
    )


def test_the_match_is_the_best_one():
    one, two = modes(0), modes(1)
    # Modes are told slowest first; those of a faster recording come in another order.
    found = nr.compare.spectra(two, modes(0, time_constants=(0.7, 1.5, 0.8)))
    # The real mode of .7 s is met by that of 2 s, not by a pair.
    k = int(np.argmin(found.parameters["frequency"].values))
    assert found.parameters["frequency_other"].values[k] == 0
    fewer = nr.compare.spectra(one, two, n_modes=2)
    assert fewer.parameters.sizes["mode"] == 2
    assert fewer.settings["n_left_out"] == 2


def linear_network(rates, dt=0.01, tau=0.1):
    """A network whose only fixed point, 0, has these rates (1/s) by its step map."""
    model = nr.models.LeakyRNN(
        1, len(rates), 1, dt=dt, tau=tau, nonlinearity="linear", step="euler",
        self_connections=True,
    )  # fmt: skip
    steps = np.exp(np.array(rates) * dt)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.diag(torch.tensor(1 - (1 - steps) * tau / dt)))
        model.bias.zero_()
    return model


def test_a_network_against_its_data():
    model = linear_network([-1.0, -3.0])
    data = nr.koopman.fit_modes(
        simulate_oscillators(
            4, noise_sd=0.05, time_constants=(1.0, 1 / 3), frequencies=(0, 0), rng=0
        )["series"],
        rank=2,
    )
    found = nr.compare.spectra(model, data)
    # float32 weights: 1e-6 of a step of .01.
    np.testing.assert_allclose(found.parameters["time_constant"], [1.0, 1 / 3], rtol=1e-3)
    assert np.isnan(found.parameters["time_constant_ci"].values).all()
    assert found.p_value > 0.01
    assert nr.compare.spectra(linear_network([-2.0, -3.0]), data).p_value < 0.01
    points = nr.dynamics.find_fixed_points(model, rng=0)
    assert nr.compare.spectra(points, data).distance == pytest.approx(found.distance)


def test_without_standard_errors_nothing_is_claimed():
    x = simulate_oscillators(rng=0)["series"]
    found = nr.compare.spectra(linear_network([-1.0, -3.0]), linear_network([-1.0, -2.0]))
    assert np.isnan(found.p_value)
    assert "nothing says" in found.verdict
    assert found.distance == pytest.approx(0.2, rel=1e-3)
    edmd = nr.koopman.EDMD(degree=1).fit(x)
    assert np.isnan(nr.compare.spectra(edmd, edmd).p_value)


def test_files(tmp_path):
    found = nr.compare.spectra(modes(0), modes(1))
    found.save(tmp_path / "found")
    again = nr.load(tmp_path / "found")
    assert again.report() == found.report()
    assert again.verdict == found.verdict


def test_bad_input():
    with pytest.raises(KindError, match=r"b is a ndarray.*fit_modes"):
        nr.compare.spectra(modes(0), np.zeros(3))
    with pytest.raises(DataError, match=r"a has 1 stable fixed points, and point 3"):
        nr.compare.spectra(linear_network([-1.0]), modes(0), point=3)
    with pytest.raises(DataError, match=r"a has 0 stable fixed points"):
        nr.compare.spectra(linear_network([1.0]), modes(0))
