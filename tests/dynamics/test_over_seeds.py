"""Intervals of time constants over seeds: points told by their outputs, predictions, refusals."""

import copy
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.status import Status

DT, TAU = 0.02, 0.1
intervals = nr.dynamics.point_intervals


def two_bits(gains, order=(0, 1), signs=(1.0, 1.0)):
    """Two units that hold a bit each, in any order and with any sign; outputs say which bits."""
    model = nr.models.LeakyRNN(1, 2, 2, dt=DT, tau=TAU, learn_tau=False)
    mix = np.diag(signs)[list(order)]
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor(mix @ np.diag(gains) @ mix.T))
        model.input_weight.zero_()
        model.bias.zero_()
        model.output_weight.copy_(torch.tensor(mix.T))
        model.output_bias.zero_()
    return model


def rate_of(gain):
    """Growth per second of the mode of a unit at the stable point of h = tanh(g h)."""
    h = 1.0
    for _ in range(200):
        h = np.tanh(gain * h)
    alpha = -np.expm1(-DT / TAU)
    return np.log(1 - alpha + alpha * gain * (1 - h * h)) / DT


@pytest.fixture(scope="module")
def fit():
    """A fit that ended at once, as a frame for networks that are known."""
    u = np.zeros((4, 20, 1), np.float32)
    y = np.zeros((4, 20, 2), np.float32) + np.random.default_rng(0).standard_normal((4, 20, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nr.fit(two_bits((2.0, 3.0)), (u, y), max_epochs=1, intervals=False)


def of(fit, model, status=Status.OK):
    return replace(fit, model=model, status=status)


GAINS = ((2.0, 3.0), (2.1, 3.1), (1.9, 2.9), (2.05, 3.2), (1.95, 2.8))
TURNS = (((0, 1), (1.0, 1.0)), ((1, 0), (1.0, -1.0)), ((0, 1), (-1.0, 1.0)),
         ((1, 0), (-1.0, -1.0)), ((1, 0), (1.0, 1.0)))  # fmt: skip


@pytest.mark.slow
def test_units_in_another_order_are_told_by_what_they_say(fit, tmp_path):
    first, *rest = (
        of(fit, two_bits(g, *turn)) for g, turn in zip(GAINS, TURNS, strict=True)
    )  # fmt: skip
    points = nr.dynamics.find_fixed_points(first)
    told = intervals(points, first, seeds=rest)
    np.testing.assert_array_equal(told.states, points.states)
    assert (told.parameters["kept"] == 1).all() and (told.parameters["no_interval"] == "").all()
    # The slower mode of the four stable points is that of the smaller gain.
    rates = np.array([rate_of(g[0]) for g in GAINS])
    half = stats.t.ppf(0.975, 4) * rates.std(ddof=1) * np.sqrt(1 + 1 / 5)
    wanted = -1 / (rates.mean() + np.array([-half, half]))
    stable = np.flatnonzero(told.is_stable)
    assert len(stable) == 4
    for k in stable:
        # Newton steps end within 1e-12 of the points, weights are single precision (6e-8).
        np.testing.assert_allclose(told.parameters["time_constant_ci"][k, 0], wanted, rtol=1e-5)
    np.testing.assert_array_equal(told.parameters["frequency_ci"], 0.0)
    text = told.report()
    assert "what another start of the training gives, judged by 5 fits from other starts" in text
    assert "no interval of" not in text and "judged by 5 fits" in told.methods_text()
    told.save(tmp_path / "p")
    assert nr.load(tmp_path / "p").report() == text
    # The result among the seeds counts once.
    again = intervals(points, first, seeds=[of(fit, copy.deepcopy(first.model)), *rest])
    assert again.parameters.identical(told.parameters)


def test_points_that_a_seed_does_not_have_and_fits_that_failed(fit):
    """One seed holds the first bit alone, so that its points lie where saddles of the fit do."""
    first, *rest = (of(fit, two_bits(g)) for g in GAINS)
    points = nr.dynamics.find_fixed_points(first)
    one = of(fit, two_bits((2.0, 0.9)))
    told = intervals(points, first, seeds=[*rest, one])
    # Six networks; the sixth has the two points at which the second bit says 0, but as stable
    # ones, and one unstable mode at the origin instead of two.
    np.testing.assert_allclose(told.parameters["kept"], 5 / 6)
    assert np.isnan(told.parameters["time_constant_ci"]).all()
    assert (told.parameters["no_interval"] == "the point has no counterpart in some seeds").all()
    assert "the point has no counterpart in some seeds" in told.report()
    assert (told.parameters["status"] == "ok").all()
    failed = of(fit, one.model, Status.FAILED)
    held = intervals(points, first, seeds=[*rest, failed])
    assert (held.parameters["kept"] == 1).all()
    assert "5 fits from other starts (1 more did not converge and were left out)" in held.report()


def test_points_that_say_the_same_cannot_be_told_apart(fit):
    models = [two_bits(g) for g in GAINS]
    with torch.no_grad():
        for model in models:
            # The second bit is not read: points that differ in it alone say the same.
            model.output_weight[1].zero_()
    first, *rest = (of(fit, m) for m in models)
    told = intervals(nr.dynamics.find_fixed_points(first), first, seeds=rest)
    assert np.isnan(told.parameters["time_constant_ci"]).all()
    assert "another point has the same output" in told.report()


def test_two_networks_are_too_few(fit):
    first, second = (of(fit, two_bits(g)) for g in GAINS[:2])
    told = intervals(nr.dynamics.find_fixed_points(first), first, seeds=[second])
    assert np.isnan(told.parameters["time_constant_ci"]).all()
    assert "fewer than 3 seeds" in told.report()


@pytest.mark.slow
def test_one_seed_more_lies_inside_as_often_as_is_said(fit):
    """Gains are drawn anew each time: a 95 % interval of 5 networks holds a sixth in 95 %."""
    rng = np.random.default_rng(0)
    inside, n = 0, 60
    for _ in range(n):
        gains = 2.0 + 0.1 * rng.standard_normal((6, 1)) + np.array([0.0, 1.0])
        first, *rest = (of(fit, two_bits(g)) for g in gains[:5])
        points = nr.dynamics.find_fixed_points(first, n_starts=64, max_starts=256)
        told = intervals(points, first, seeds=rest)
        low, high = told.parameters["time_constant_ci"].values[0, 0]
        inside += low < -1 / rate_of(gains[5, 0]) < high
    # Of 60 intervals of 95 % fewer than 52 hold it three times in a thousand.
    assert inside >= 52


@pytest.mark.slow
def test_seeds_of_a_fit_are_fitted_again():
    rng = np.random.default_rng(0)
    u = rng.standard_normal((24, 40, 1)).astype(np.float32)
    truth = nr.models.LeakyRNN(1, 1, 1, dt=DT, tau=TAU)
    with torch.no_grad():
        truth.recurrent_weight.fill_(0.6)
        truth.output_weight.fill_(1.0)
        y = truth(torch.as_tensor(u)).output.numpy()
    y = y + 0.05 * rng.standard_normal(y.shape)
    model = nr.models.LeakyRNN(1, 1, 1, dt=DT, tau=TAU)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = nr.fit(model, (u, y), max_epochs=60, n_seeds=4, intervals=False)
        before = copy.deepcopy(result.model.state_dict())
        points = nr.dynamics.find_fixed_points(result)
        told = intervals(points, result, (u, y), seeds=True)
    assert all(torch.equal(before[k], v) for k, v in result.model.state_dict().items())
    assert "4 fits from other starts" in told.report()
    ok = (told.parameters["no_interval"] == "").values
    value, ci = told.parameters["time_constant"].values, told.parameters["time_constant_ci"].values
    # One unit without freedom but its gain: all seeds come to one minimum, and agree.
    assert ok.any() and (ci[ok, 0, 0] < value[ok, 0]).all() and (value[ok, 0] < ci[ok, 0, 1]).all()


def test_what_is_no_seed_is_refused(fit):
    points = nr.dynamics.find_fixed_points(fit)
    data = (np.zeros((4, 20, 1)), np.zeros((4, 20, 2)))
    with pytest.raises(DataError, match="data did not come"):
        intervals(points, fit)
    with pytest.raises(KindError, match="seeds=True came with the fit of one seed"):
        intervals(points, fit, data, seeds=True)
    with pytest.raises(KindError, match="seeds is a FitResult"):
        intervals(points, fit, seeds=fit)
    with pytest.raises(KindError, match=r"seeds\[1\] is a int"):
        intervals(points, fit, seeds=[fit, 3])
    other = nr.models.LeakyRNN(1, 2, 1, dt=DT, tau=TAU)
    with pytest.raises(ShapeError, match=r"seeds\[0\] has 1 inputs, 1 outputs"):
        intervals(points, fit, seeds=[other])
    some = fit.with_seeds(_table(3))
    with pytest.raises(DataError, match="seeds=True came without data"):
        intervals(points, some, seeds=True)
    watched = replace(some, history=some.history.assign(
        validation_loss=("epoch", np.ones(some.history.sizes["epoch"]))
    ))  # fmt: skip
    with pytest.raises(DataError, match="chosen on a validation part"):
        intervals(points, watched, data, seeds=True)


def _table(n):
    return xr.Dataset({"loss": ("seed", np.arange(float(n)))})
