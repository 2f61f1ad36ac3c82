"""Gradients through time: closed forms, the verdict, and what is refused."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ThreePartError


def test_units_that_do_not_see_each_other_forget_with_their_own_tau():
    model = nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=[0.05, 0.2], recurrent=False).double()
    flow = nr.training.gradient_flow(model, np.zeros((7, 60, 1)), max_lag=0.5)
    lags = flow.parameters["lag"].values
    # float32 rounding of the stored tau.
    np.testing.assert_allclose(flow.parameters["norm"][0], np.exp(-lags / 0.2), rtol=1e-5)
    np.testing.assert_allclose(flow.parameters["smallest"][0], np.exp(-lags / 0.05), rtol=1e-5)
    assert float(flow.parameters["horizon"]) == pytest.approx(0.2, rel=1e-4)
    assert float(flow.parameters["growth_rate"]) == pytest.approx(-5.0, rel=1e-4)
    assert flow.status == "healthy"


def test_the_products_are_those_of_autograd():
    model = nr.models.LeakyRNN(2, 5, 1, dt=0.01, tau=0.05, form="current", rng=1).double()
    x = torch.randn(1, 12, 2, generator=torch.Generator().manual_seed(0)).double()
    flow = nr.training.gradient_flow(model, x, max_lag=0.08, n_starts=1)
    with torch.no_grad():
        first = model(x[:, :1]).states[:, 0]

    def later(state):
        return model(x[:, 1:9], state).states[0, -1]

    whole = torch.autograd.functional.jacobian(later, first)[:, 0]
    # The same product, formed in one piece.
    assert float(flow.parameters["norm"][0, -1]) == pytest.approx(
        float(torch.linalg.matrix_norm(whole, 2)), rel=1e-9
    )


@pytest.mark.parametrize(
    ("scale", "tau", "verdict"),
    [(0.0, 0.01, "vanishing"), (0.0, 1.0, "healthy"), (6.0, 0.02, "exploding")],
)
def test_the_verdict_and_its_remedy(scale, tau, verdict):
    model = nr.models.LeakyRNN(1, 4, 1, dt=0.01, tau=tau, nonlinearity="relu", rng=0).double()
    with torch.no_grad():
        model.recurrent_weight.copy_(scale * torch.eye(4))
        model.bias += 1.0
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    flow = nr.training.gradient_flow(model, np.zeros((6, 60, 1)), max_lag=0.5)
    assert flow.status == verdict
    assert verdict in flow.report() and flow.remedy in flow.report()
    # Analysis never changes the model.
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    if verdict == "exploding":
        # alpha = 1 - exp(-1/2) of 6 times itself is added in every step.
        rate = np.log(np.exp(-0.5) + 6 * (1 - np.exp(-0.5))) / 0.01
        assert float(flow.parameters["growth_rate"]) == pytest.approx(rate, rel=1e-5)
        assert "above 1/e" in flow.parameters["horizon"].attrs["reason"]
        assert np.isnan(flow.parameters["horizon_ci"]).all()


def test_the_horizon_does_not_depend_on_the_clock():
    coarse = nr.models.LeakyRNN(1, 1, 1, dt=0.02, tau=0.1, recurrent=False)
    fine = coarse.with_dt(0.005)
    horizons = [
        float(nr.training.gradient_flow(m, np.zeros((1, n, 1))).parameters["horizon"])
        for m, n in ((coarse, 50), (fine, 200))
    ]
    # Exponential between two lags is exact here, but for float32.
    assert horizons[0] == pytest.approx(horizons[1], rel=1e-4)


def test_gated_cells_and_saving(tmp_path):
    win = nr.simulate.simulate_rate_trials(3, 8, 0.5, 0.01, n_inputs=2, rng=0)
    for model in (
        nr.models.GRU(2, 4, 3, dt=0.01, rng=0),
        nr.models.LSTM(2, 4, 3, dt=0.01, tau=0.3, rng=0),
        nr.models.VanillaRNN(2, 4, 3, dt=0.01, rng=0),
    ):
        flow = nr.training.gradient_flow(model, win, max_lag=0.2)
        assert np.isfinite(flow.parameters["norm"]).all()
    flow.save(tmp_path / "flow.nc")
    again = nr.load(tmp_path / "flow.nc")
    assert again.report() == flow.report()
    assert "Pascanu" in str(nr.cite(flow))


def test_an_lstm_that_remembers_has_the_longer_horizon():
    """A forget gate near 1 carries errors (Hochreiter & Schmidhuber 1997)."""
    x = np.zeros((1, 200, 1))
    short, long = (
        nr.training.gradient_flow(nr.models.LSTM(1, 4, 1, dt=0.01, tau=t, rng=0), x, max_lag=1.0)
        for t in (0.05, 1.0)
    )
    norm = "norm"
    assert float(long.parameters[norm][0, -1]) > 10 * float(short.parameters[norm][0, -1])


@pytest.mark.parametrize(
    ("make", "n_steps", "more", "words"),
    [
        (lambda: nr.models.Memoryless(1, 1, dt=0.1), 9, {}, "Memoryless has no state"),
        (lambda: nr.models.VanillaRNN(1, 2, 1, dt=0.1), 2, {}, "The trials have 2 steps"),
        (lambda: nr.models.VanillaRNN(1, 2, 1, dt=0.1), 9, {"max_lag": -1}, "max_lag is -1"),
    ],
)
def test_what_has_no_gradient_through_time_is_refused(make, n_steps, more, words):
    with pytest.raises(ThreePartError, match=words):
        nr.training.gradient_flow(make(), np.zeros((1, n_steps, 1)), **more)
