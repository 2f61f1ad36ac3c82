"""Spectra compared: the same are within noise, others are not, the words follow the numbers."""

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.simulate import simulate_oscillators


def modes(seed, noise=0.1, **options):
    return nr.koopman.fit_modes(
        simulate_oscillators(noise_sd=noise, rng=seed, **options)["series"], rank=5
    )


@pytest.mark.slow
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


@pytest.mark.slow
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


def moved(rates=(-1.0, -3.0)):
    """The linear network, moved by one input and read out by the sum of its units."""
    model = linear_network(list(rates))
    with torch.no_grad():
        model.input_weight.copy_(torch.tensor([[1.0], [0.7]]))
        model.output_weight.copy_(torch.tensor([[1.0, 0.5]]))
    return model


def kicks(n_trials=20, n_steps=300):
    """A kick in the first frame of each trial, nothing after it."""
    x = np.zeros((n_trials, n_steps, 1))
    x[:, 0, 0] = np.random.default_rng(0).standard_normal(n_trials)
    return x


@pytest.mark.parametrize("what", ["states", "outputs"])
def test_a_network_that_is_kicked_shows_its_own_time_scales(what):
    model = moved()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    points = nr.dynamics.find_fixed_points(model, rng=0)
    found = nr.compare.spectra(
        model, points, driven=kicks(), driven_modes=what, rank=2, n_draws=50
    )
    # float32 states: 1e-6 of a state, over hundreds of frames.
    np.testing.assert_allclose(found.parameters["time_constant"], [1.0, 1 / 3], rtol=1e-3)
    np.testing.assert_allclose(found.parameters["time_constant_other"], [1.0, 1 / 3], rtol=1e-3)
    n = {"states": 2, "outputs": 1}[what]
    assert f"a LeakyRNN driven for 20 trials, modes of {n} {what}" in found.report()
    assert "a LeakyRNN linearised" in found.settings["second"]
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_driven_network_shows_what_drives_it_as_its_data_do():
    """A swing of 2 Hz that dies away drives both, and is a mode of the weights of neither."""
    model = moved()
    t = 0.01 * np.arange(400)
    wave = np.exp(-t)[:, None] * np.sin(2 * np.pi * 2.0 * t)[:, None]
    size = np.random.default_rng(1).uniform(0.5, 2.0, (8, 1, 1))
    x = size * wave
    with torch.no_grad():
        states = model(torch.tensor(x, dtype=torch.float32)).states.numpy()
    draw = np.random.default_rng(2)
    seen = states + 0.002 * draw.standard_normal(states.shape)
    data = nr.koopman.fit_modes(seen, dt=0.01, rank=4)
    found = nr.compare.spectra(model, data, driven=x, rank=4, n_draws=200)
    # Noise of a hundredth: 2 Hz to a hundredth.
    assert np.sort(found.parameters["frequency"].values)[-1] == pytest.approx(2.0, rel=0.01)
    assert np.sort(found.parameters["frequency_other"].values)[-1] == pytest.approx(2.0, rel=0.01)
    still = nr.compare.spectra(model, data, n_draws=50)
    assert still.parameters["frequency"].values.tolist() == [0.0, 0.0]
    assert found.distance < still.distance


def test_a_single_series_and_windows_drive_as_trials_do():
    model = moved()
    x = kicks(3, 200)
    options = {"rank": 2, "n_draws": 20}
    data = nr.koopman.fit_modes(
        simulate_oscillators(
            4, noise_sd=0.05, time_constants=(1.0, 1 / 3), frequencies=(0, 0), rng=0
        )["series"],
        rank=2,
    )  # fmt: skip
    one = nr.compare.spectra(model, data, driven=x[:1], **options)
    flat = nr.compare.spectra(model, data, driven=x[0], **options)
    np.testing.assert_array_equal(
        flat.parameters["time_constant"], one.parameters["time_constant"]
    )
    assert "driven for 1 trial," in flat.settings["first"]
    # Windows padded behind their end: what the network does there is not told.
    longer = np.concatenate([x, 5.0 * np.ones((3, 40, 1))], 1)
    mask = np.ones((3, 240, 1), dtype=bool)
    mask[:, 200:] = False
    windows = xr.Dataset(
        {
            "inputs": (("trial", "time", "input"), longer),
            "mask": (("trial", "time", "output"), mask),
        }
    )
    padded = nr.compare.spectra(model, data, driven=windows, **options)
    whole = nr.compare.spectra(model, data, driven=x, **options)
    np.testing.assert_array_equal(
        padded.parameters["time_constant"], whole.parameters["time_constant"]
    )


def test_rows_take_over_the_status_of_their_accounts(tmp_path):
    good, draw = modes(0), np.random.default_rng(0)
    x = np.zeros((3000, 2))
    for k in range(2999):
        x[k + 1] = np.diag([0.98, 0.8]) @ x[k] + draw.standard_normal(2)
    # Driven by noise in every frame: no sum of modes, and the account says so.
    driven = nr.koopman.fit_modes(x, dt=0.02, rank=2)
    bad = driven.parameters_["status"].values
    assert (bad != "ok").all()
    for a, b in ((driven, good), (good, driven)):
        found = nr.compare.spectra(a, b, n_draws=50)
        # A pair, as one row.
        assert found.status.values.tolist() == bad.tolist() and len(bad) == 1
        told = found.report()
        assert f"not ok: 1 of 1 row ({bad[0]})" in told
        # With the remedy of the account.
        assert f"{bad[0]}: " in told
    found.save(tmp_path / "found")
    assert nr.load(tmp_path / "found").report() == told
    both = nr.compare.spectra(good, modes(1), n_draws=50)
    assert (both.status == "ok").all() and "not ok" not in both.report()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda m, d: nr.compare.spectra(d, d, driven=kicks()), DataError, "without a network"),
        (
            lambda m, d: nr.compare.spectra(m, d, driven=kicks(), inputs=[0.0]),
            DataError,
            "together with inputs",
        ),
        (
            lambda m, d: nr.compare.spectra(m, d, driven=np.zeros((2, 50, 1))),
            DataError,
            "stay where they are",
        ),
        (
            lambda m, d: nr.compare.spectra(m, d, driven=np.zeros((2, 50, 3))),
            ShapeError,
            "with 1 inputs was needed",
        ),
        (
            lambda m, d: nr.compare.spectra(m, d, driven=kicks(), driven_modes="rates"),
            NameUnknownError,
            "driven_modes is 'rates'",
        ),
    ],
)
def test_what_cannot_drive_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call(moved(), modes(0))
