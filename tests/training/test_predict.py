"""What a fitted model expects, and how well that agrees with data it has not seen."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.metrics import r2_score

import neurornn as nr
from neurornn._core.errors import DataError

pytestmark = pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")


def made(n_trials=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_trials, 40, 2))
    y = np.cumsum(x, axis=1)[..., :1] * [1.0, 0.3] + rng.normal(size=(n_trials, 40, 2))
    return x, y


@pytest.fixture(scope="module")
def fitted():
    model = nr.models.LeakyRNN(2, 4, 2, dt=0.01, tau=0.05)
    return nr.fit(model, made(), max_epochs=4, rng=0, intervals=False)


@pytest.mark.slow
def test_predictions_are_the_outputs_of_the_model_on_its_clock(fitted):
    x, y = made(3, seed=1)
    found = fitted.predict((x, y))
    with torch.no_grad():
        wanted = fitted.model(x).output.double().numpy()
    # The model is kept in single precision, and predicts in double.
    np.testing.assert_allclose(found.values, wanted, atol=1e-5)
    assert found.dims == ("trial", "time", "output")
    assert found["time"].attrs["units"] == "s"
    assert found["time"].values[:2] == pytest.approx([0.01, 0.02])
    assert fitted.predict(x).identical(found)
    # The model is left as it was.
    assert next(fitted.model.parameters()).dtype == torch.float32


def test_the_score_is_r2_over_what_counts(fitted):
    x, y = made(5, seed=2)
    y[0, :10, 0] = np.nan
    mask = np.ones(y.shape, bool)
    mask[:, 30:, 1] = False
    guess = fitted.predict(x).values
    wanted = []
    for o in range(2):
        counts = mask[..., o] & np.isfinite(y[..., o])
        wanted.append(r2_score(y[..., o][counts], guess[..., o][counts]))
    assert fitted.score((x, y, mask)) == pytest.approx(np.mean(wanted), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "mean"),
    [("poisson", np.exp), ("bernoulli", lambda z: 1 / (1 + np.exp(-z)))],
)
def test_predictions_are_on_the_scale_of_the_targets(objective, mean):
    x, y = made()
    y = np.random.default_rng(3).poisson(1.0, y.shape) if objective == "poisson" else y > 0
    model = nr.models.LeakyRNN(2, 3, 2, dt=0.01, tau=0.05)
    result = nr.fit(model, (x, y.astype(float)), objective=objective, max_epochs=2, rng=0,
                    intervals=False)  # fmt: skip
    with torch.no_grad():
        output = copy.deepcopy(result.model).double()(x).output.numpy()
    np.testing.assert_allclose(result.predict(x).values, mean(output), rtol=1e-12)


@pytest.mark.slow
def test_a_series_is_predicted_in_the_windows_it_is_fitted_in():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(600, 2)).cumsum(0)
    dff = xr.DataArray(values, dims=("time", "unit"),
                       coords={"time": np.arange(1, 601) / 30}, name="dff")  # fmt: skip
    result = nr.fit(nr.models.VanillaRNN(2, 3, 2, dt=1 / 30), dff, max_epochs=2, rng=0)
    assert result.predict(dff).sizes["output"] == 2
    assert np.isfinite(result.score(dff))


def test_a_trial_that_was_over_predicts_nothing_where_it_was(fitted):
    x, y = made(3, seed=5)
    lists = ([x[0], x[1, :25], x[2, :31]], [y[0], y[1, :25], y[2, :31]])
    whole, found = fitted.predict((x, y)).values, fitted.predict(lists).values
    for k, end in enumerate((40, 25, 31)):
        # What comes later in a trial does not reach back.
        np.testing.assert_allclose(found[k, :end], whole[k, :end], rtol=1e-12)
        assert np.isnan(found[k, end:]).all()
    true = np.concatenate([y[k, :end] for k, end in enumerate((40, 25, 31))])
    made_of_it = np.concatenate([found[k, :end] for k, end in enumerate((40, 25, 31))])
    assert fitted.score(lists) == pytest.approx(r2_score(true, made_of_it))


@pytest.mark.slow
def test_the_end_of_a_shorter_window_is_no_prediction():
    rec = nr.simulate.simulate_calcium(1, 50.0, 20.0, rng=0)
    win = nr.data.windows(rec, inputs="dff", targets="dff", duration=20.0, warmup=0.0, horizon=1)
    assert win.sizes["trial"] == 3
    result = nr.fit(nr.models.VanillaRNN(1, 2, 1, dt=0.05), win, max_epochs=2, rng=0)
    found = result.predict(win).values[..., 0]
    # 1000 frames, of which 999 have a next one: two windows of 400 and one of 199.
    assert np.isfinite(found).sum(axis=1).tolist() == [400, 400, 199]
    assert np.isnan(found[2, 199:]).all()


def test_targets_that_never_change_have_no_score(fitted):
    x, y = made(2)
    with pytest.raises(DataError, match="No output has targets that change"):
        fitted.score((x, np.ones_like(y)))
