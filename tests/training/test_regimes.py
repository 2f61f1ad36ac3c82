"""The guard of a fit: exponents and horizons that are known, and fits that it lets be or stops."""

import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import (
    ConvergenceWarning,
    DataError,
    KindError,
    NameUnknownError,
    ResumeError,
)
from neurornn.training import RegimeGuard
from neurornn.training.batches import as_training_data
from neurornn.training.regimes import driven_exponents, regimes_told

DT = 0.01


def linear(weight):
    """A linear network whose step is a matrix."""
    n = len(weight)
    model = nr.models.VanillaRNN(1, n, 1, dt=DT, nonlinearity="linear", rng=0).double()
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.from_numpy(weight))
    return model.eval()


def noise(n_trials=8, n_steps=40, seed=0):
    return np.random.default_rng(seed).standard_normal((n_trials, n_steps, 1))


def fitted(model, callback, x=None, **options):
    x = noise() if x is None else x
    options = {"optimizer": "adam", "max_epochs": 10, "intervals": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return nr.fit(model, (x, 0.5 * np.tanh(x)), callback=callback, **options)


def same(a, b):
    return all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())


@pytest.mark.parametrize("radius", [0.5, 0.97, 1.03])
def test_the_exponent_of_a_scaled_rotation_is_that_of_its_radius(radius):
    """Every direction grows by the radius in every step: exact from the first step on."""
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    found = driven_exponents(linear(radius * rotation), torch.from_numpy(noise()), 64, 3)
    # Rounding of 64 products of 5 numbers.
    np.testing.assert_allclose(found, np.log(radius) / DT, rtol=1e-10)


def test_the_exponent_of_a_matrix_is_that_of_its_spectral_radius_not_of_its_norm():
    """Not symmetric, norm 3.2: the direction needs its steps to settle, the average does not."""
    weight = np.array([[0.9, 3.0, 0.0], [0.0, 0.5, 1.0], [0.0, 0.0, -0.3]])
    found = driven_exponents(linear(weight), torch.from_numpy(noise()), 400, 2)
    # (0.5 / 0.9)^200 of the other directions is left, below rounding.
    np.testing.assert_allclose(found, np.log(0.9) / DT, rtol=1e-9)


def test_the_exponent_is_that_of_the_room_of_dynamics():
    """A second opinion, forward with directions kept orthogonal, on a chaotic network at rest."""
    model = chaotic(40, 2.5)
    found = driven_exponents(model.double().eval(), torch.zeros(4, 100, 1).double(), 1500, 4)
    forward = nr.dynamics.lyapunov_spectrum(model, n_exponents=1, n_steps=3000, rng=0)
    exponent = float(forward.exponents[0])
    assert exponent > 1.0
    # Both are averages over some thousand steps, whose sd is about 3 %.
    assert abs(np.median(found) / exponent - 1) < 0.15


def chaotic(n, gain):
    """A random network; above a gain of 1 it is chaotic (Sompolinsky et al. 1988)."""
    model = nr.models.VanillaRNN(1, n, 1, dt=DT, rng=0)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.recurrent_weight.copy_(gain * torch.randn(n, n, generator=draw) / n**0.5)
        # Trials start at 0, which is a fixed point without a bias.
        model.bias.copy_(0.1 * torch.randn(n, generator=draw))
    return model


@pytest.mark.parametrize("kind", [nr.models.LeakyRNN, nr.models.GRU, nr.models.LSTM])
def test_a_fit_that_is_let_be_is_the_same_bit_for_bit(kind):
    extra = {"dropout": 0.2} if kind is nr.models.GRU else {}
    model = kind(1, 6, 1, dt=DT, rng=0, **extra)
    plain = fitted(model, None, validation=(noise(seed=1), noise(seed=2)))
    guard = RegimeGuard(every=2, n_steps=40, n_trajectories=2)
    watched = fitted(model, guard, validation=(noise(seed=1), noise(seed=2)))
    assert same(plain.model, watched.model) and plain.history.identical(watched.history)
    assert plain.status == watched.status and plain.regimes is None
    seen = watched.regimes
    assert seen["epoch"].values.tolist() == [2, 4, 6, 8, 10]
    assert set(seen["regime"].values) == {"ok"} and set(seen["action"].values) == {""}


def test_a_network_that_is_driven_into_chaos_is_stopped():
    """A rate of 0.5 throws weights of 0.1 far away; one of 0.001 leaves them contracting."""
    x = 0.3 * noise()
    data = (x, np.roll(x, 5, 1))
    guard = RegimeGuard(every=1, n_steps=120, n_trajectories=6, exponent_bound=5.0)
    model = nr.models.VanillaRNN(1, 48, 1, dt=DT, rng=1)

    def learn(rate):
        return nr.fit(
            model, data, optimizer="adam", intervals=False, callback=guard, max_epochs=8,
            schedule="constant", clip_norm=None, learning_rate=rate,
        )  # fmt: skip

    with pytest.warns(ConvergenceWarning, match="not_converged"):
        healthy = learn(1e-3)
    assert set(healthy.regimes["regime"].values) == {"ok"}
    with pytest.warns(ConvergenceWarning, match="left the healthy regime"):
        result = learn(0.5)
    seen = result.regimes
    assert result.status == "left_regime" and result.history.sizes["epoch"] == 2
    assert seen["regime"].values.tolist() == ["exploding", "exploding"]
    assert (seen["exponent"].values > 5.0).all()
    low, high = seen["exponent_ci"].values[-1]
    assert low <= seen["exponent"].values[-1] <= high
    assert seen["action"].values.tolist() == ["", "stopped"]
    report = result.report()
    assert "stopped after epoch 2" in report and "Lower the learning rate" in report


def test_the_usual_bound_is_a_thousandfold_within_a_trial():
    guard = RegimeGuard()
    guard.begin(unit(0.2), as_training_data((noise(), noise()), unit(0.2)), "adam")
    # 40 steps of 10 ms.
    assert guard.table.attrs["exponent_bound"] == pytest.approx(np.log(1e3) / 0.4)


def test_a_fit_is_slowed_step_by_step_and_no_further_than_the_floor():
    guard = RegimeGuard(
        action="slow", every=1, patience=1, exponent_bound=-1e6, n_steps=16, n_trajectories=1
    )
    model = nr.models.VanillaRNN(1, 4, 1, dt=DT, rng=0)
    result = fitted(model, guard, schedule="constant", learning_rate=0.01, max_epochs=6)
    # Every look calls it exploding; what is done in the last one would come too late.
    assert result.regimes["action"].values.tolist() == ["slowed"] * 5 + [""]
    rates = 0.01 * np.maximum(0.3 ** np.arange(6), 0.01)
    np.testing.assert_allclose(result.regimes["learning_rate"], rates, rtol=1e-12)
    assert result.status != "left_regime"


def test_vanishing_counts_where_the_horizon_had_been_long_enough():
    """One leaky unit: its horizon is its time constant."""

    def looks(taus, **options):
        guard = RegimeGuard(reach=0.1, n_steps=40, n_trajectories=1, patience=2, **options)
        train = as_training_data((noise(), noise()), unit(0.2))
        guard.begin(unit(0.2), train, "adam")
        said = [guard(k, unit(tau), {}) for k, tau in enumerate(taus)]
        np.testing.assert_allclose(
            guard.table["horizon"], [t if t <= 0.12 else np.inf for t in taus], rtol=1e-5
        )
        np.testing.assert_allclose(guard.table["exponent"], [-1 / t for t in taus], rtol=1e-5)
        return said

    # 0.125 s are looked at: 1.25 times the reach, in whole steps.
    assert looks([0.2, 0.05, 0.2, 0.05, 0.05]) == ["", "", "", "", "stopped"]
    # A network that starts short is let be.
    assert looks([0.05, 0.05, 0.05]) == ["", "", ""]
    assert looks([0.2, 0.05, 0.05], action="tell") == ["", "", ""]


def unit(tau):
    return nr.models.LeakyRNN(1, 1, 1, dt=DT, tau=tau, recurrent=False).double()


def test_weights_that_are_not_finite_are_undecided():
    guard, model = RegimeGuard(n_steps=16), unit(0.1)
    guard.begin(model, as_training_data((noise(), noise()), model), "adam")
    with torch.no_grad():
        model.input_weight.fill_(np.nan)
    assert guard(1, model, {}) == ""
    assert guard.table["regime"].values.tolist() == ["undecided"]


def test_it_is_saved_and_told(tmp_path):
    guard = RegimeGuard(every=5, n_steps=16, n_trajectories=6, reach=0.3)
    result = fitted(nr.models.VanillaRNN(1, 4, 1, dt=DT, rng=0), guard)
    result.save(tmp_path / "fit")
    again = nr.load(tmp_path / "fit")
    assert again.regimes.identical(result.regimes) and again.report() == result.report()
    # It was short from the start: told, with what to try, and not stopped.
    assert "vanishing at 2 looks, first after epoch 5: Gradients no longer" in result.report()
    assert result.history.sizes["epoch"] == 10
    assert "leading Lyapunov exponent" in result.methods_text()


def test_an_interrupted_fit_goes_on_with_what_the_guard_saw(tmp_path):
    class Stop(Exception):
        pass

    def tick(done, total):
        if done == 4:
            raise Stop

    def guard():
        return RegimeGuard(
            action="slow", every=1, patience=3, exponent_bound=-1e6, n_steps=16, n_trajectories=1
        )

    model = nr.models.VanillaRNN(1, 4, 1, dt=DT, rng=0)
    options = {"max_epochs": 6, "checkpoint_every": 1}
    with pytest.raises(Stop):
        fitted(model, guard(), checkpoint=tmp_path / "kept", progress=tick, **options)
    again = fitted(model, guard(), checkpoint=tmp_path / "kept", **options)
    whole = fitted(model, guard(), max_epochs=6)
    assert same(again.model, whole.model) and again.regimes.identical(whole.regimes)
    assert whole.regimes["action"].values.tolist() == ["", "", "slowed", "slowed", "slowed", ""]
    # A fit without the guard, or with another, is another fit.
    with pytest.raises(ResumeError):
        fitted(model, None, checkpoint=tmp_path / "kept", **options)


@pytest.mark.parametrize(
    ("settings", "options", "error", "said"),
    [
        ({"reach": 1.0}, {}, DataError, "longer than reach"),
        ({"action": "slow"}, {"optimizer": "lbfgs"}, KindError, "learning rate"),
    ],
)
def test_what_it_cannot_watch_is_refused_before_the_fit(settings, options, error, said):
    with pytest.raises(error, match=said):
        fitted(nr.models.VanillaRNN(1, 3, 1, dt=DT), RegimeGuard(**settings), **options)


def test_bad_settings_and_models_without_a_state():
    with pytest.raises(NameUnknownError, match="stop"):
        RegimeGuard(action="halt")
    with pytest.raises(DataError, match="reach"):
        RegimeGuard(reach=-1.0)
    with pytest.raises(KindError, match="no state"):
        fitted(nr.models.Memoryless(1, 1, dt=DT), RegimeGuard())
    with pytest.raises(KindError, match="no data"):
        RegimeGuard()(1, unit(0.1), {})


def begun(model, **options):
    guard = RegimeGuard(action="tell", n_steps=64, **options)
    x = noise()
    guard.begin(model, as_training_data((x, x), model), "adam")
    return guard


@pytest.mark.parametrize(("above", "regime"), [(-1e-3, "exploding"), (1e-3, "ok")])
def test_exploding_begins_at_the_bound(above, regime):
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    guard = begun(linear(1.03 * rotation), exponent_bound=float(np.log(1.03) / DT) + above)
    guard(1, linear(1.03 * rotation), {})
    assert guard.table["regime"].values.tolist() == [regime]


def test_the_exponent_told_is_the_median_over_trajectories():
    model = chaotic(20, 2.5).double().eval()
    guard = begun(model, n_trajectories=7)
    guard(3, model, {})
    each = driven_exponents(model, torch.from_numpy(noise()), 64, 7)
    assert float(guard.table["exponent"][0]) == np.median(each) != each.min()


def test_a_report_tells_the_last_look_and_when_each_regime_was_first_met():
    guard = begun(linear(0.9 * np.eye(3)), reach=0.2)
    for epoch, radius in ((2, 0.99), (4, 0.5), (6, 0.6)):
        guard(epoch, linear(radius * np.eye(3)), {})
    table = guard.table
    assert table["regime"].values.tolist() == ["ok", "vanishing", "vanishing"]
    first, again = regimes_told(table)
    # log(.6) / .01 s; gradients fall to 1/e within one or two steps.
    assert first.startswith(
        "regime at the end: vanishing; leading exponent -51.1 1/s, horizon 0.01"
    )
    assert first.endswith("(3 looks)")
    assert again.startswith("vanishing at 2 looks, first after epoch 4: ")
