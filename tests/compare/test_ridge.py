"""Ridge on a finite past: least squares by other means, chosen on validation data alone."""

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.linear_model import Ridge

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn.compare import ridge
from neurornn.compare.ridge import fit_linear_history
from neurornn.compare.task import Task, scaled_task, task_of
from neurornn.training.batches import TrainingData


def series(values, rate=100.0):
    return xr.DataArray(
        values,
        dims=("time", "unit"),
        coords={"time": np.arange(1, len(values) + 1) / rate},
        attrs={"sampling_rate": rate},
        name="dff",
    )


def coupled(n=4000, seed=0):
    """Three units that follow the first one, two frames late; one pair of lags matters."""
    rng = np.random.default_rng(seed)
    y = np.zeros((n, 3))
    for t in range(2, n):
        y[t] = 0.5 * y[t - 1] + rng.standard_normal(3)
        y[t, 1:] += 0.4 * y[t - 2, 0]
    return y


def parts(n_in, n_out, n_trials=6, n_steps=40, masked=False):
    """Noise in three parts; outputs differ in which frames count, where asked."""
    draw = torch.Generator().manual_seed(0)
    made = []
    for _ in range(3):
        x = torch.randn(n_trials, n_steps, n_in, generator=draw, dtype=torch.float64)
        y = torch.randn(n_trials, n_steps, n_out, generator=draw, dtype=torch.float64)
        y += x[..., :1] + 0.5
        mask = torch.ones_like(y, dtype=torch.bool)
        mask[:, :10] = False
        if masked:
            mask[0, :, 0] = False
        made.append(TrainingData(x, torch.where(mask, y, 0.0), mask))
    return made


def task(*made, feeds_itself=False):
    return Task(*made, 0.01, 0, feeds_itself, "s")


def histories(data, n_lags, output):
    """Last frames, the oldest first, and targets where they count; frame by frame."""
    rows, targets = [], []
    for x, y, mask in zip(*data, strict=True):
        for t in range(len(x)):
            if not mask[t, output]:
                continue
            before = [x[t - k].numpy() if t >= k else np.zeros(x.shape[1]) for k in range(n_lags)]
            rows.append(np.concatenate(before[::-1]))
            targets.append(float(y[t, output]))
    return np.array(rows), np.array(targets)


@pytest.mark.parametrize("masked", [False, True])
def test_weights_are_those_of_scikit_learn(masked, monkeypatch):
    monkeypatch.setattr(ridge, "PENALTIES", (0.3,))
    made = parts(3, 2, masked=masked)
    model, chosen = fit_linear_history(task(*made), 4)
    assert chosen == {"n_context": 4, "penalty": 0.3}
    for i in range(2):
        x, y = histories(made[0], 4, i)
        peer = Ridge(alpha=0.3 * len(x)).fit(x, y)
        # The same normal equations, solved by another route, in float64.
        weights = model.lag_weight[i].detach().numpy()
        np.testing.assert_allclose(weights.ravel(), peer.coef_, rtol=1e-9, atol=1e-12)
        assert float(model.output_bias[i].detach()) == pytest.approx(peer.intercept_, rel=1e-9)
        predicted = model(made[0].inputs).output[..., i][made[0].mask[..., i]]
        np.testing.assert_allclose(predicted.detach(), peer.predict(x), rtol=1e-9, atol=1e-12)


def test_two_penalties_are_the_minimum_of_what_they_penalise(monkeypatch):
    """One inverse and a small correction give what a solve for each output gives."""
    monkeypatch.setattr(ridge, "PENALTIES", (2.0,))
    monkeypatch.setattr(ridge, "OWN_PENALTIES", (0.05,))
    made = parts(3, 3)
    model, chosen = fit_linear_history(task(*made, feeds_itself=True), 4)
    assert chosen == {"n_context": 4, "penalty": 0.05, "penalty_others": 2.0}
    for i in range(3):
        x, y = histories(made[0], 4, i)
        x, y = x - x.mean(0), y - y.mean()
        own = np.arange(x.shape[1]) % 3 == i
        penalty = len(x) * np.diag(np.where(own, 0.05, 2.0))
        expected = np.linalg.solve(x.T @ x + penalty, x.T @ y)
        weights = model.lag_weight[i].detach().numpy().ravel()
        # A correction by a factor of 40 between the penalties costs two digits at most.
        np.testing.assert_allclose(weights, expected, rtol=1e-8, atol=1e-10)


def test_the_choice_is_the_best_on_the_validation_part():
    made = parts(2, 2, n_trials=3, n_steps=30)
    model, chosen = fit_linear_history(task(*made))
    held = made[1]

    def error(m):
        with torch.no_grad():
            return float(((m(held.inputs).output - held.targets)[held.mask] ** 2).sum())

    tried = {}
    for n_lags in (1, 2, 3, 5):
        for penalty in ridge.PENALTIES:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(ridge, "PENALTIES", (penalty,))
                tried[n_lags, penalty] = error(fit_linear_history(task(*made), n_lags)[0])
    assert error(model) == min(tried.values()) == tried[chosen["n_context"], chosen["penalty"]]


def test_couplings_and_their_lag_are_found():
    found = scaled_task(
        task_of(series(coupled()), (0.7, 0.15, 0.15), 1.0, 0, (1.0, "s")), gaussian=True
    )
    model, chosen = fit_linear_history(found)
    assert chosen["n_context"] >= 2
    weights = model.lag_weight.detach().numpy()
    # 2 000 scored frames: a weight has a standard error of 0.02, and the penalty takes up to a
    # fifth of a weak one. In units of sd: the present frame of oneself .5; the first unit one
    # frame before .4 * sqrt(1.33 / 1.81) = .34.
    assert np.diag(weights[:, -1]) == pytest.approx([0.5] * 3, abs=0.1)
    assert weights[1:, -2, 0] == pytest.approx([0.34] * 2, abs=0.1)
    assert abs(weights[0, -2, 1:]).max() < 0.1


def test_nothing_of_the_test_part_reaches_the_weights():
    values = coupled(2000)
    changed = values.copy()
    # The last 15 % and the second before them.
    changed[1700:] = 100.0 * np.random.default_rng(5).standard_normal((300, 3))
    weights = []
    for v in (values, changed):
        t = scaled_task(task_of(series(v), (0.7, 0.15, 0.15), 1.0, 0, (1.0, "s")), gaussian=True)
        weights.append(fit_linear_history(t)[0].lag_weight)
    assert torch.equal(*weights)


def test_ridge_in_the_league_is_the_same_for_every_seed_and_reaches_its_bound():
    table = nr.compare.league(
        series(coupled()),
        ["ridge", nr.models.LinearHistory(3, 3, dt=0.01, context=0.01), "persistence"],
        duration=1.0,
        n_seeds=2,
        horizons=(1, 3),
    )
    r2 = table.parameters["r2"].sel(horizon=1)
    # Innovations of variance 1; the first unit has variance 4/3, the others 4/3 and what the first
    # one adds: 0.16 * 4/3 / (1 - 0.25) * (1 + 2 * 0.5 * 0.5 / (1 - 0.5 * 0.5)) = .47. So 1/4 and
    # .45 are explained, .38 in all; 600 test frames have a standard error of .03.
    assert float(r2.sel(model="ridge")) == pytest.approx(0.38, abs=0.09)
    # One frame alone does not see what comes two frames late.
    assert float(r2.sel(model="ridge")) > float(r2.sel(model="LinearHistory")) + 0.02
    # The last frame repeated: 2 rho - 1 with correlations of .5 to .65.
    assert float(r2.sel(model="persistence")) < 0.35
    assert (table.parameters["r2_seed_sd"].sel(model=["ridge", "persistence"]) == 0).all()
    assert table.settings["chosen"]["LinearHistory"]["n_context"] == 1
    weights = dict(zip(table.parameters["model"].values, table.parameters["n_weights"].values,
                       strict=True))  # fmt: skip
    assert weights["LinearHistory"] == 12 and weights["persistence"] == 0
    assert "ridge, chosen on the validation part: n_context" in table.report()


def test_persistence_repeats_the_last_frame():
    values = coupled(1500)
    table = nr.compare.league(
        series(values), ["persistence"], duration=1.0, n_seeds=1, horizons=(1, 4)
    )
    r2 = table.parameters["r2"].sel(model="persistence").values
    t = scaled_task(task_of(series(values), (0.7, 0.15, 0.15), 1.0, 0, (1.0, "s")), gaussian=True)
    x, y, mask = (v.numpy() for v in t.test)
    far = mask[:, 3:] & mask[:, :-3]
    for value, last, target in (
        (r2[0], x[mask], y[mask]),
        (r2[1], x[:, :-3][far], y[:, 3:][far]),
    ):
        # About the training mean, which is 0 after scaling, to 1 % of an sd or so: 1e-3 of R2.
        assert value == pytest.approx(
            1 - ((target - last) ** 2).sum() / (target**2).sum(), abs=5e-3
        )


def test_linear_history_can_be_fitted_like_any_model_saved_and_carried_on(tmp_path):
    made = parts(2, 1)
    model = nr.models.LinearHistory(2, 1, dt=0.01, context=0.03)
    # A warning here would be an error: least squares is solved by L-BFGS to its minimum.
    result = nr.fit(model, tuple(made[0]), intervals=False)
    x, y = histories(made[0], 3, 0)
    peer = Ridge(alpha=0.0).fit(x, y)
    # Fitted to a relative 1e-8 of the loss, so weights to about 1e-4; kept in float32.
    np.testing.assert_allclose(
        result.model.lag_weight.detach().numpy().ravel(), peer.coef_, atol=1e-3
    )
    result.save(tmp_path / "fit")
    again = nr.load(tmp_path / "fit").model
    out = result.model(made[0].inputs)
    assert torch.equal(again(made[0].inputs).output, out.output)
    first = again(made[0].inputs[:, :15])
    rest = again(made[0].inputs[:, 15:], first.states[:, -1])
    # The same products in another order, in float32.
    torch.testing.assert_close(rest.output, out.output[:, 15:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda x, y: nr.compare.league((x, y), ["ridge"], objective="poisson", horizons=(0,)),
            "'ridge' came with an objective that is not Gaussian",
        ),
        (
            lambda x, y: nr.compare.league((x, y), ["persistence"], horizons=(0,)),
            "'persistence' came with inputs that are not the past",
        ),
        (
            lambda x, y: nr.models.LinearHistory(2, 1, dt=0.01, context=0.001),
            "context is 0.001 s and dt 0.01 s",
        ),
        (
            lambda x, y: nr.models.LinearHistory(2, 1, dt=0.01, context=0.1).with_dt(0.02),
            "A LinearHistory with dt = 0.01 s was asked for dt = 0.02",
        ),
    ],
)
def test_what_has_no_closed_form_is_refused_in_three_parts(call, said):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 30, 2))
    with pytest.raises(ThreePartError, match=said) as caught:
        call(x, rng.poisson(1.0, (20, 30, 1)).astype(float))
    assert len(caught.value.remedy) > 8
