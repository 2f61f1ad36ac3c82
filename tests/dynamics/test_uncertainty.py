"""Intervals of time constants of fixed points, carried over from the weights of a fit."""

import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.confidence import draws_interval
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.dynamics.uncertainty import _as_times

DT = 0.02


def network(rng=0):
    model = nr.models.LeakyRNN(1, 2, 2, dt=DT, tau=0.1, learn_tau=False, rng=rng)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[0.8, -0.3], [0.3, 0.5]]))
        model.input_weight.copy_(torch.tensor([[1.0], [-0.5]]))
        model.bias.copy_(torch.tensor([0.1, -0.1]))
        model.output_weight.copy_(torch.eye(2))
        model.output_bias.zero_()
    return model


def fitted(seed, n_trials=16, noise=0.1):
    """A fit of trials of a known network with noise in what is seen, from its own weights."""
    rng = np.random.default_rng(seed)
    u = torch.as_tensor(rng.standard_normal((n_trials, 60, 1)), dtype=torch.float32)
    with torch.no_grad():
        y = network()(u).output.numpy() + noise * rng.standard_normal((n_trials, 60, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nr.fit(network(), (u.numpy(), y), max_epochs=60, rng=0)
    return result, (u.numpy(), y)


def truth():
    return float(nr.dynamics.find_fixed_points(network()).timescales["time_constant"][0, 0])


@pytest.fixture(scope="module")
def known():
    result, data = fitted(0)
    points = nr.dynamics.find_fixed_points(result)
    return result, data, points, nr.dynamics.point_intervals(points, result, data, n_draws=200)


@pytest.mark.slow
def test_the_points_stay_and_their_time_constants_have_intervals(known, tmp_path):
    _, _, points, told = known
    np.testing.assert_array_equal(told.states, points.states)
    np.testing.assert_array_equal(
        told.timescales["time_constant"], points.timescales["time_constant"]
    )
    ci = told.parameters["time_constant_ci"].values
    value = told.timescales["time_constant"].values
    assert (ci[..., 0] < value).all() and (value < ci[..., 1]).all()
    assert (told.parameters["kept"] == 1).all()
    assert told.parameters["time_constant_ci"].attrs["ci_prob"] == 0.95
    text = told.report()
    low, high = ci[0, 0]
    assert f"[{low:.3g}, {high:.3g}]" in text.replace("0 s", "0 s")
    assert "95 % intervals: quantiles over 200 networks drawn around the fit." in text
    assert "no interval of" not in text and "quantiles over 200 networks" in told.methods_text()
    told.save(tmp_path / "p")
    assert nr.load(tmp_path / "p").report() == text
    assert "no interval of time_constant" in points.report()


@pytest.mark.slow
def test_more_data_and_a_lower_level_narrow_them(known):
    result, data, points, told = known
    lower = nr.dynamics.point_intervals(points, result, data, confidence_level=0.5, n_draws=200)

    def width(table):
        """In 1/s: a time constant may reach to infinity, its rate to 0."""
        low, high = table.parameters["time_constant_ci"].values[0, 1]
        return 1 / low - 1 / high

    # .674 against 1.96 standard errors, of 200 draws each, whose quantiles are known to 10 %.
    assert width(lower) / width(told) == pytest.approx(0.674 / 1.96, rel=0.35)
    more, more_data = fitted(1, n_trials=64)
    found = nr.dynamics.find_fixed_points(more)
    narrow = nr.dynamics.point_intervals(found, more, more_data, n_draws=200)
    # Four times the trials: half the width, and the same 10 % twice.
    assert width(narrow) / width(told) == pytest.approx(0.5, rel=0.4)


def test_the_same_seed_says_the_same(known):
    result, data, points, told = known
    again = nr.dynamics.point_intervals(points, result, data, n_draws=200)
    assert again.parameters.identical(told.parameters)
    weights = result.model.state_dict()
    assert all(torch.isfinite(v).all() for v in weights.values())


def test_what_cannot_be_carried_over_is_refused(known):
    result, data, points, _ = known
    with pytest.raises(KindError, match="result is a LeakyRNN"):
        nr.dynamics.point_intervals(points, result.model, data)
    other = nr.dynamics.find_fixed_points(lambda h: np.tanh(2 * h), n_hidden=2)
    with pytest.raises(ShapeError, match="are no fixed points of the result"):
        nr.dynamics.point_intervals(other, result, data)
    u, y = data
    with pytest.raises(DataError, match="no more values than the model weights"):
        next(nr.training.weight_draws(result, (u[:1, :4], y[:1, :4])))


@pytest.mark.slow
def test_a_point_that_goes_has_no_interval():
    """A fold within reach of the noise: the point is there in some drawn networks alone."""
    result, data = fitted(0, noise=0.1)
    with torch.no_grad():
        result.model.recurrent_weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 0.5]]))
        fold = float(np.sqrt(2.0) - np.arctanh(np.sqrt(0.5)))
        result.model.bias.copy_(torch.tensor([fold - 1e-4, 0.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points = nr.dynamics.find_fixed_points(result)
        told = nr.dynamics.point_intervals(points, result, data, n_draws=40)
    gone = told.parameters["kept"].values < 0.9
    assert gone.any()
    assert np.isnan(told.parameters["time_constant_ci"].values[gone]).all()
    assert "the point is gone in some networks" in told.report()


def test_rates_become_times():
    rates = np.array([[-4.0, -2.0], [-1.0, 0.5], [0.5, 2.0]])
    np.testing.assert_allclose(_as_times(rates), [[0.25, 0.5], [1.0, np.inf], [-2.0, -0.5]])
    # Of a mode that grows, and may not: from its growth to none at all.
    told = _as_times(rates, np.array([False, True, True]))
    np.testing.assert_allclose(told, [[0.25, 0.5], [-np.inf, -2.0], [-2.0, -0.5]])
    found = draws_interval(np.arange(101.0), 0.9)
    np.testing.assert_allclose(found, [5.0, 95.0])


@pytest.mark.slow
def test_intervals_hold_the_truth():
    inside = 0
    for seed in range(20):
        result, data = fitted(100 + seed)
        points = nr.dynamics.find_fixed_points(result)
        told = nr.dynamics.point_intervals(points, result, data, n_draws=200, rng=seed)
        low, high = told.parameters["time_constant_ci"].values[0, 0]
        inside += low <= truth() <= high
    # Of 20 intervals of 95 % fewer than 16 hold it once in 400 times.
    assert inside >= 16


def test_weights_are_drawn_as_widely_as_least_squares_says():
    """A line through 4000 values: the sd of its slope is that of the noise over the root of n."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal((40, 100, 1)).astype(np.float32)
    y = 2.0 * u + 0.5 * rng.standard_normal(u.shape).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nr.fit(nr.models.Memoryless(1, 1, dt=DT), (u, y), max_epochs=100, rng=0)
    drawn = [dict(m.named_parameters()) for m in nr.training.weight_draws(result, (u, y), 400)]
    own = dict(result.model.named_parameters())
    name = next(n for n, p in own.items() if p.shape == (1, 1))
    values = np.array([float(d[name]) for d in drawn])
    # 400 draws know their sd to 3.5 %; the score scatters over 40 trials by 1/sqrt(20).
    assert values.std() == pytest.approx(0.5 / np.sqrt(4000), rel=0.25)
    assert values.mean() == pytest.approx(float(own[name].detach()), abs=3 * values.std() / 20)
