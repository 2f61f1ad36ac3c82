"""What looks on while a model is trained: it changes nothing, and tells what is there."""

import copy
import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import DataError, KindError
from neurornn.dynamics import DynamicsMonitor


@pytest.fixture(scope="module")
def windows():
    return nr.simulate.simulate_rate_trials(4, 6, 0.5, 0.01, n_inputs=1, rng=0)


def fitted(windows, callback=None, model=None, **options):
    model = nr.models.LeakyRNN(1, 4, 4, dt=0.01, rng=0) if model is None else model
    options = {"intervals": False, "refine": False, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nr.fit(model, windows, callback=callback, **options)


def assert_same(first, second):
    for (name, a), b in zip(
        first.model.state_dict().items(), second.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name
    assert first.parameters.identical(second.parameters)
    assert first.history.identical(second.history)
    assert first.status == second.status and first.settings == second.settings
    assert first.provenance == second.provenance


class Meddler:
    """Does what a callback must not: changes what it is given, and draws."""

    every = 2

    def __init__(self):
        self.seen = []

    def __call__(self, epoch, model, row):
        self.seen.append((epoch, copy.deepcopy(model), dict(row)))
        assert not model.training
        torch.randn(7)
        row["loss"] = np.nan
        with torch.no_grad():
            for weight in model.parameters():
                weight.zero_()


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "max_epochs": 5, "intervals": True},
        {"optimizer": "lbfgs", "max_epochs": 4},
        # Dropout draws from the generator that a callback could have moved on.
        {
            "optimizer": "adam",
            "max_epochs": 3,
            "model": nr.models.GRU(1, 4, 4, dt=0.01, dropout=0.2, rng=0),
        },
    ],
    ids=["adam", "lbfgs", "dropout"],
)
@pytest.mark.slow
def test_a_fit_that_is_looked_at_is_the_same_bit_for_bit(windows, options):
    plain = fitted(windows, validation=windows, **options)
    meddler, monitor = Meddler(), DynamicsMonitor(every=2, n_steps=64)
    assert_same(plain, fitted(windows, meddler, validation=windows, **options))
    assert_same(plain, fitted(windows, monitor, validation=windows, **options))
    last = plain.history.sizes["epoch"]
    wanted = sorted({*range(2, last + 1, 2), last})
    assert [epoch for epoch, _, _ in meddler.seen] == wanted
    for epoch, _, row in meddler.seen:
        for name in ("loss", "validation_loss"):
            assert row[name] == plain.history[name].sel(epoch=epoch)
    assert monitor.table["epoch"].values.tolist() == wanted
    # And the generator of the caller stands where it stood.
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    fitted(windows, Meddler(), max_epochs=2)
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_it_is_given_is_the_model_of_that_epoch(windows):
    seen, shorter = Meddler(), Meddler()
    # Without a schedule an epoch does not depend on how many come after.
    fitted(windows, seen, optimizer="adam", max_epochs=4, schedule="constant")
    fitted(windows, shorter, optimizer="adam", max_epochs=2, schedule="constant")
    pairs = zip(*(list(x.seen[0][1].state_dict().values()) for x in (seen, shorter)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_every_epoch_is_told_to_a_plain_function(windows):
    told = []
    fitted(windows, lambda epoch, model, row: told.append(epoch), optimizer="adam", max_epochs=3)
    assert told == [1, 2, 3]


def test_epochs_of_a_checkpoint_are_not_told_again(windows, tmp_path):
    class Stop(Exception):
        pass

    def stop(epoch, model, row):
        if epoch == 3:
            raise Stop

    options = {"optimizer": "adam", "max_epochs": 5, "checkpoint_every": 1}
    with pytest.raises(Stop):
        fitted(windows, stop, checkpoint=tmp_path / "kept", **options)
    told = []
    again = fitted(
        windows, lambda e, m, r: told.append(e), checkpoint=tmp_path / "kept", **options
    )
    # The epoch in which it stopped was written before.
    assert told == [4, 5]
    assert_same(again, fitted(windows, **options))


@pytest.mark.parametrize(
    ("callback", "options", "error", "said"),
    [
        ("monitor", {}, KindError, "callback is a str"),
        (print, {"n_seeds": 2}, KindError, "callback came with n_seeds=2"),
    ],
)
def test_what_is_no_callback_is_refused_before_the_fit(windows, callback, options, error, said):
    with pytest.raises(error, match=said):
        fitted(windows, callback, max_epochs=1, **options)


def test_many_fits_take_no_callback(windows):
    model = nr.models.LeakyRNN(1, 2, 4, dt=0.01)
    with pytest.raises(KindError, match="callback came for job 0"):
        nr.training.fit_many([(model, windows)], callback=print)


def test_its_numbers_are_those_of_the_functions(windows):
    monitor = DynamicsMonitor(windows, inputs=[0.3], every=3, n_steps=128, n_trajectories=3, rng=5)
    kept = Meddler()

    def both(epoch, model, row):
        monitor(epoch, model, row)
        kept(epoch, model, row)

    both.every = 3
    plain = fitted(windows, both, optimizer="adam", max_epochs=4)
    table = monitor.table
    assert table["epoch"].values.tolist() == [3, 4]
    for k, (_, model, _) in enumerate(kept.seen):
        spectrum = nr.dynamics.lyapunov_spectrum(
            model, [0.3], n_exponents=3, n_steps=128, n_transient=64, n_trajectories=3, rng=5
        )
        flow = nr.training.gradient_flow(model, windows, max_lag=1.0)
        assert table["regime"].values[k] == spectrum.regime
        assert table["reason"].values[k] == spectrum.reason
        assert table["exponent"].values[k] == spectrum.exponents.values[0]
        ci = spectrum.parameters["exponent_ci"].values[0]
        assert table["exponent_ci"].values[k].tolist() == ci.tolist()
        assert table["horizon"].values[k] == float(flow.parameters["horizon"])
    assert table["loss"].values.tolist() == plain.history["loss"].values[[2, 3]].tolist()
    assert table["exponent"].attrs["units"] == "1/s" and table["horizon"].attrs["units"] == "s"


def test_a_network_whose_dynamics_are_known():
    """One leaky unit of 0.2 s: it rests, exponent -1/tau, horizon tau."""
    model = nr.models.LeakyRNN(1, 1, 1, dt=0.01, tau=0.2, recurrent=False)
    monitor = DynamicsMonitor()
    monitor(1, model, {"loss": 1.0, "validation_loss": np.nan})
    table = monitor.table
    assert table["regime"].values.tolist() == ["fixed point"]
    # tau is kept in single precision.
    np.testing.assert_allclose(table["exponent"], -5.0, rtol=1e-5)
    np.testing.assert_allclose(table["horizon"], 0.2, rtol=1e-5)
    # An epoch that does not come later is that of another fit.
    monitor(1, model, {"loss": 2.0, "validation_loss": np.nan})
    assert monitor.table["loss"].values.tolist() == [2.0]


def test_looks_are_short_and_under_the_input():
    """A chaotic network: exponents depend on every setting. The horizon is that of the input."""
    model = nr.models.LeakyRNN(1, 12, 1, dt=0.01, tau=0.05, rng=0)
    with torch.no_grad():
        weights = np.random.default_rng(0).standard_normal((12, 12))
        model.recurrent_weight.copy_(torch.tensor(weights))
        model.input_weight.fill_(2.0)
    monitor = DynamicsMonitor(inputs=[0.1], n_steps=64, n_steps_back=40, rng=1)
    monitor(1, model, {"loss": 1.0, "validation_loss": np.nan})
    spectrum = nr.dynamics.lyapunov_spectrum(
        model, [0.1], n_exponents=3, n_steps=64, n_transient=32, n_trajectories=4, rng=1
    )
    flow = nr.training.gradient_flow(model, torch.full((1, 80, 1), 0.1), max_lag=0.4)
    seen = monitor.table.isel(epoch=0)
    assert float(seen["exponent"]) == float(spectrum.exponents[0])
    np.testing.assert_allclose(seen["horizon"], float(flow.parameters["horizon"]), rtol=1e-5)


def test_weights_that_are_not_finite_are_told():
    model = nr.models.LeakyRNN(1, 2, 1, dt=0.01)
    with torch.no_grad():
        model.recurrent_weight.fill_(np.nan)
    monitor = DynamicsMonitor()
    monitor(7, model, {"loss": np.nan, "validation_loss": np.nan})
    table = monitor.table
    assert table["regime"].values.tolist() == ["undecided"] and np.isnan(table["horizon"]).all()
    assert "recurrent_weight is not finite" in table["reason"].values[0]


def test_a_monitor_without_a_look_has_an_empty_table():
    table = DynamicsMonitor().table
    assert table.sizes == {"epoch": 0, "ci_bound": 2}
    with pytest.raises(DataError, match="every"):
        DynamicsMonitor(every=0)


def test_a_model_without_a_state_is_refused(windows):
    with pytest.raises(KindError, match="no state"):
        fitted(windows, DynamicsMonitor(every=1), nr.models.Memoryless(1, 4, dt=0.01))
