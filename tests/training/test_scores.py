"""Scores of single trials, and the information that is formed from them."""

import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning
from neurornn.training import curvature
from neurornn.training.batches import TrainingData, as_training_data
from neurornn.training.objectives import OBJECTIVES
from neurornn.training.refine import go_to_maximum
from neurornn.training.scores import Sampled, sampled_fisher, trial_scores


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"form": "current"},
        {"excitatory": 0.5, "connections": np.tri(6)},
        {"rank": 2},
        {"initial_state": "input", "substeps": 3},
        {"initial_state": "learned", "tau_groups": list("aabbbb")},
        {"readout": "states"},
        {"learn_tau": False, "nonlinearity": "softplus"},
        {"recurrent": False},
    ],
    ids=lambda o: "-".join(o),
)
def test_the_score_of_each_trial_is_its_gradient(options):
    model = nr.models.LeakyRNN(2, 6, 6, dt=0.01, tau=0.05, rng=0, **options).double()
    x, pull = draw(4, 9, 2), draw(4, 9, 6, seed=1)
    found = trial_scores(model, x, pull)
    for k in range(4):
        model.zero_grad()
        (model(x[k : k + 1]).output * pull[k : k + 1]).sum().backward()
        want = torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])
        # The same sums in another order.
        torch.testing.assert_close(found[k], want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.slow
def test_drawn_scores_give_the_information_of_the_jacobian(objective):
    model = nr.models.LeakyRNN(1, 2, 2, dt=0.01, tau=0.03, rng=0).double()
    # Many trials: every pass over them draws a sample of each.
    data = TrainingData(draw(100, 10, 1), draw(100, 10, 2, seed=1), draw(100, 10, 2, seed=2) > -1)
    if objective == "categorical":
        # A class is drawn for all outputs of a step together: none of them can be masked alone.
        data = data._replace(mask=torch.ones_like(data.mask))
    variance = torch.tensor([0.5, 2.0]).double() if objective == "gaussian" else torch.ones(2)
    weights = {n: p.detach() for n, p in model.named_parameters()}
    variance = variance.double()
    exact, _, _ = curvature.information(model, weights, data, OBJECTIVES[objective], variance)
    found = sampled_fisher(model, data, OBJECTIVES[objective], variance, n_samples=20_000, rng=0)
    scale = exact.diagonal().clamp(min=1e-12).sqrt()
    difference = (found.fisher - exact) / scale[:, None] / scale[None, :]
    # 20,000 samples: an entry of a correlation matrix to 1 %, five of them.
    assert float(difference.abs().max()) < 0.05


def test_the_bias_of_an_inverse_is_taken_out():
    p, n = 30, 60
    rng = np.random.default_rng(0)
    plain, wide, first = [], [], []
    for _ in range(300):
        z = torch.from_numpy(rng.standard_normal((n, p)))
        one = Sampled(z.T @ z / n, n)
        inverse = torch.linalg.inv(one.fisher) * one.inverse_factor()
        plain.append(float(inverse.diagonal().mean()))
        diagonal = inverse.diagonal()
        # M = diag(3, 0, 0, ...): then C M C has 3 in its first place and 0 elsewhere.
        found = one.sandwich(3 * inverse[:, 0] ** 2, 3 * inverse[0, 0], diagonal)
        first.append(float(found[0]))
        raw = (inverse @ inverse).diagonal()
        wide.append(float(one.sandwich(raw, diagonal.sum(), diagonal).mean()))
    # A first entry has a standard error of 0.6 / sqrt(300) of itself.
    assert np.mean(first) == pytest.approx(3.0, abs=0.4)
    # The truth is the identity. Each mean of 300 inverses has a standard error of 1 to 2 %.
    assert np.mean(plain) == pytest.approx(1.0, abs=0.05)
    assert np.mean(wide) == pytest.approx(1.0, abs=0.08)


@pytest.mark.slow
def test_intervals_from_scores_are_those_of_the_jacobian(monkeypatch):
    win = nr.simulate.simulate_rate_trials(4, 40, 0.5, 0.01, n_inputs=3, snr=10, rng=0)
    model = nr.models.LeakyRNN(3, 4, 4, dt=0.01, tau=0.05, readout="states", rng=0)
    result = nr.fit(model, win, max_epochs=60, rng=0)
    data, precise = as_training_data(win, model), result.model.double()
    variance = torch.tensor(result.parameters["noise_sd"].values.copy()) ** 2
    given = (precise, data, OBJECTIVES["gaussian"], variance)
    exact = curvature.physical_intervals(*given)["tau"].ci
    monkeypatch.setattr(curvature, "MAX_PARAMETERS", 10)
    monkeypatch.setattr(curvature, "SAMPLES_PER_WEIGHT", 200)
    drawn = curvature.physical_intervals(*given)["tau"].ci
    ratio = np.diff(np.log(drawn)) / np.diff(np.log(exact))
    # 7,200 samples for 36 weights: a variance to 1.7 %, in single precision.
    assert ratio.ravel() == pytest.approx(1.0, abs=0.05)


def test_an_unused_unit_is_not_identified_from_scores_either(monkeypatch):
    model = nr.models.LeakyRNN(1, 3, 2, dt=0.01, tau=0.05, recurrent=False, rng=0).double()
    with torch.no_grad():
        model.output_weight[:, 1] = 0.0
        model.input_weight[1] = 0.0
        model.bias[1] = 0.0
    x = draw(20, 30, 1)
    # At its maximum: the score is 0.
    data = TrainingData(x, model(x).output.detach(), torch.ones(20, 30, 2).bool())
    monkeypatch.setattr(curvature, "MAX_PARAMETERS", 5)
    found = curvature.physical_intervals(
        model, data, OBJECTIVES["gaussian"], torch.full((2,), 1e-4).double()
    )["tau"]
    assert list(found.status) == ["ok", "not_identifiable", "ok"]
    assert np.isnan(found.ci[1]).all()


def test_the_last_stretch_ends_where_the_score_is_zero():
    win = nr.simulate.simulate_rate_trials(4, 30, 0.5, 0.01, n_inputs=2, snr=10, rng=0)
    model = nr.models.LeakyRNN(2, 4, 4, dt=0.01, tau=0.05, readout="states", rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rough = nr.fit(
            model, win, optimizer="adam", max_epochs=100, refine=False, intervals=False, rng=0
        )
    data = as_training_data(win, model)
    moved = rough.model.double()
    before = moved.tau.detach().clone()
    assert go_to_maximum(moved, data, OBJECTIVES["gaussian"], 0)
    truth = nr.fit(model.double(), win, optimizer="lbfgs", max_epochs=300, rng=0)
    ci = truth.parameters["tau_ci"].values
    off = (moved.tau.detach().numpy() - truth.parameters["tau"].values) / (ci[:, 1] - ci[:, 0])
    was = (before.numpy() - truth.parameters["tau"].values) / (ci[:, 1] - ci[:, 0])
    # A root mean square score of 0.02 standard errors; an interval is four of them wide.
    assert np.abs(off).max() < 0.02
    assert np.abs(was).max() > 0.02


def test_away_from_the_maximum_no_interval_is_given():
    """Of intervals around a point that is not the maximum, fewer hold than they say."""
    win = nr.simulate.simulate_rate_trials(4, 30, 0.5, 0.01, n_inputs=2, snr=10, rng=0)
    model = nr.models.LeakyRNN(2, 4, 4, dt=0.01, tau=0.05, readout="states", rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rough = nr.fit(model, win, optimizer="adam", max_epochs=15, refine=False, rng=0)
    assert set(rough.parameters["status"].values) == {"not_converged"}
    assert np.isnan(rough.parameters["tau_ci"]).all()
    assert "away from the maximum" in rough.parameters["tau_ci"].attrs["reason"]
    fine = nr.fit(model, win, optimizer="adam", max_epochs=15, rng=0)
    assert set(fine.parameters["status"].values) == {"ok"}
    assert "whitened" in fine.methods_text()
