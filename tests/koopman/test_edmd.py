"""EDMD: closed forms come back, noise is undone, both forecasts are what they are called."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, UnitError
from neurornn.simulate import simulate_system


def square(x):
    """States of the slow manifold, and the square that closes them."""
    return np.stack([x[..., 0], x[..., 1], x[..., 0] ** 2], axis=-1)


def manifold(seed, noise=0.05, n=60):
    draw = np.random.default_rng([seed, 4])
    start = draw.uniform(-1.5, 1.5, (n, 2))
    return simulate_system(
        "slow_manifold", 5.0, 0.1, n_trials=n, start=start, noise_sd=noise, rng=draw
    )


TRUE = np.array([-0.05, -0.1, -1.0])


def test_closed_form_of_the_slow_manifold():
    run = manifold(0, 0.0)
    edmd = nr.koopman.EDMD(square).fit(run["series"])
    # Integrated to 1e-9 over steps of .1.
    np.testing.assert_allclose(edmd.parameters_["rate"], TRUE, atol=1e-6)
    np.testing.assert_allclose(edmd.parameters_["time_constant"], -1 / TRUE, rtol=1e-5)
    # Known eigenfunctions: x, x^2, and y - b x^2 with b = lambda / (lambda - 2 mu).
    x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    found = edmd.eigenfunctions(x).values
    b = -1.0 / (-1.0 + 0.1)
    for k, true in enumerate((x[:, 0], x[:, 0] ** 2, x[:, 1] - b * x[:, 0] ** 2)):
        size = (true @ found[:, k]) / (true @ true)
        np.testing.assert_allclose(found[:, k], size * true, atol=1e-4 * abs(size))
    # They turn and decay as their eigenvalues say along a trajectory.
    along = edmd.eigenfunctions(run["states"].isel(trial=0)).values
    time = run["time"].values
    for k, rate in enumerate(edmd.parameters_["rate"].values):
        said = along[0, k] * np.exp(rate * (time - time[0]))
        np.testing.assert_allclose(along[:, k], said, atol=1e-4)


def test_agrees_with_least_squares():
    run = manifold(1)
    edmd = nr.koopman.EDMD(degree=2, penalty=0.0).fit(run["series"])
    f = edmd.dictionary_(run["series"].values)
    a, b = f[:, :-1].reshape(-1, 6), f[:, 1:].reshape(-1, 6)
    np.testing.assert_allclose(edmd.transition_, np.linalg.lstsq(a, b, rcond=None)[0], atol=1e-8)
    assert edmd.dictionary_.names == ["1", "x", "y", "x^2", "x y", "y^2"]
    np.testing.assert_allclose(f @ edmd.readout_, run["series"].values, atol=1e-8)


def test_noise_is_undone():
    errors = {"ignored": [], "instruments": [], "trajectories": []}
    for seed in range(6):
        run = manifold(seed)
        for how, found in errors.items():
            edmd = nr.koopman.EDMD(square, measurement_noise=how).fit(run["series"])
            found.append(np.abs(edmd.parameters_["rate"].values / TRUE - 1))
    middle = {k: np.median(v, axis=0) for k, v in errors.items()}
    # Least squares invents a decay: half of the slow rate and more.
    assert (middle["ignored"] > 0.2).all()
    assert (middle["instruments"] < 0.1).all()
    assert (middle["trajectories"] < 0.03).all()


@pytest.mark.slow
def test_intervals_over_trajectories_cover():
    hits = []
    for seed in range(20):
        edmd = nr.koopman.EDMD(square, measurement_noise="instruments", n_bootstrap=60)
        low, high = edmd.fit(manifold(seed, n=30)["series"]).parameters_["rate_ci"].values.T
        hits.append((low <= TRUE) & (high >= TRUE))
    # 60 intervals, three a run: below .8 with a probability of 1e-4 at .95.
    assert np.mean(hits) > 0.8


def test_both_forecasts():
    options = {"n_trials": 30, "spread": 0.8, "delta": 0.3}
    run = simulate_system("duffing", 20.0, 0.05, rng=0, **options)
    new = simulate_system("duffing", 20.0, 0.05, rng=5, **options)["states"].values[:4]
    edmd = nr.koopman.EDMD(degree=5).fit(run["series"])
    ahead = edmd.forecast(new[:, :1], 5.0)
    assert ahead["relifted"].dims == ("trial", "time", "unit")
    assert ahead["time"].values[0] == pytest.approx(0.05)
    # A polynomial of degree 5 holds a step of .05 to a few parts in a million.
    np.testing.assert_allclose(ahead["relifted"], new[:, 1:101], atol=1e-3)
    # One map applied again and again cannot know both wells.
    assert np.nanmax(np.abs(ahead["linear"].values - new[:, 1:101])) > 0.3
    # After one step they are the same.
    np.testing.assert_allclose(ahead["linear"][:, 0], ahead["relifted"][:, 0], atol=1e-12)
    f = edmd.dictionary_(new[:, 0])
    twice = f @ edmd.transition_ @ edmd.transition_ @ edmd.readout_
    np.testing.assert_allclose(ahead["linear"][:, 1], twice, atol=1e-10)


def test_a_forecast_that_leaves_is_missing_from_there():
    time = np.arange(40)[:, None] * 0.1
    x = np.hstack([np.exp(2 * time), np.exp(-time)])
    edmd = nr.koopman.EDMD(degree=1, dt=0.1).fit(x)
    out = edmd.forecast(x[-1], 10.0)["linear"].values
    assert np.isfinite(out[0]).all()
    assert np.isnan(out[-1]).all()
    gone = np.isnan(out[:, 0])
    assert (np.diff(gone.astype(int)) >= 0).all()
    assert edmd.parameters_["status"].values.tolist()[0] == "growing"


def test_delays_and_inputs():
    draw = np.random.default_rng(0)
    # An oscillation seen through one variable needs two frames.
    time = np.arange(300) * 0.1
    x = (np.cos(2 * time) * np.exp(-0.05 * time))[:, None]
    edmd = nr.koopman.EDMD(degree=1, n_delays=2, dt=0.1).fit(x)
    assert edmd.dictionary_.names == ["1", "x0", "x0[-1]"]
    assert edmd.parameters_["frequency"].values[0] == pytest.approx(2 / (2 * np.pi), rel=1e-6)
    assert edmd.parameters_["time_constant"].values[0] == pytest.approx(20.0, rel=1e-5)
    out = edmd.forecast(x[:50], 2.0)["linear"].values
    np.testing.assert_allclose(out, x[50:70], atol=1e-6)
    # A known input enters linearly: x' = .9 x + .5 u.
    u = draw.standard_normal((8, 60, 1))
    y = np.zeros((8, 60, 1))
    for t in range(59):
        y[:, t + 1] = 0.9 * y[:, t] + 0.5 * u[:, t]
    driven = nr.koopman.EDMD(degree=1, dt=0.1).fit(y, inputs=u)
    assert driven.input_weight_[0, 1] == pytest.approx(0.5, abs=1e-8)
    ahead = driven.forecast(y[:, :10], 2.0, inputs=u[:, 9:29])["linear"].values
    np.testing.assert_allclose(ahead, y[:, 10:30], atol=1e-8)
    with pytest.raises(ShapeError, match=r"The inputs have shape \(\)"):
        driven.forecast(y[:, :10], 2.0)
    with pytest.raises(ShapeError, match="An input for every frame"):
        nr.koopman.EDMD(degree=1, dt=0.1).fit(y, inputs=u[:, :-1])


def test_gaps_and_missing_frames():
    run = manifold(0, 0.0)
    x = run["series"].values.copy()
    x[3, 10:20] = np.nan
    x[5, 30:] = np.nan
    edmd = nr.koopman.EDMD(square, dt=0.1).fit(x)
    # 60 x 49 pairs less 11 around the gap and 20 after the end.
    assert edmd.n_frames_ == 60 * 49 - 11 - 20
    np.testing.assert_allclose(edmd.parameters_["rate"], TRUE, atol=1e-6)


@pytest.mark.parametrize("kind", ["polynomial", "radial", ["polynomial", "trigonometric"]])
def test_files(kind, tmp_path):
    run = manifold(0, n=12)
    edmd = nr.koopman.EDMD(kind, degree=2, n_centres=8, n_bootstrap=30).fit(run["series"])
    edmd.save(tmp_path / "edmd")
    again = nr.load(tmp_path / "edmd")
    assert again.report() == edmd.report()
    x = run["states"].isel(trial=0)
    xr.testing.assert_identical(again.eigenfunctions(x), edmd.eigenfunctions(x))
    xr.testing.assert_identical(again.forecast(x, 1.0), edmd.forecast(x, 1.0))
    own = nr.koopman.EDMD(square).fit(run["series"])
    with pytest.raises(KindError, match="function, which no file keeps"):
        own.save(tmp_path / "own")


def test_bad_input():
    run = manifold(0, n=3)
    with pytest.raises(NameUnknownError, match="dictionary is 'fourier'"):
        nr.koopman.EDMD("fourier").fit(run["series"])
    with pytest.raises(DataError, match=r"9 pairs of complete frames came for 10 functions"):
        nr.koopman.EDMD(degree=3, dt=0.1).fit(run["series"].values[0, :10])
    with pytest.raises(UnitError, match="without a clock"):
        nr.koopman.EDMD().fit(run["series"].values)
    with pytest.raises(DataError, match=r"penalty is -1"):
        nr.koopman.EDMD(penalty=-1).fit(run["series"])
    with pytest.raises(ShapeError, match=r"The dictionary returned shape"):
        nr.koopman.EDMD(lambda x: np.zeros(4)).fit(run["series"])
    with pytest.raises(DataError, match=r"Inputs came with measurement_noise='trajectories'"):
        nr.koopman.EDMD(square, measurement_noise="trajectories").fit(
            run["series"], inputs=run["series"].isel(axis=[0])
        )
    edmd = nr.koopman.EDMD(degree=2, n_delays=3).fit(run["series"])
    with pytest.raises(ShapeError, match="At least 3 frames of 2 variables"):
        edmd.forecast(np.zeros((2, 2)), 1.0)
    with pytest.raises(DataError, match="NaN"):
        edmd.forecast(np.full((3, 2), np.nan), 1.0)


def test_the_interval_of_a_time_constant_is_that_of_its_rate():
    edmd = nr.koopman.EDMD(square, measurement_noise="instruments", n_bootstrap=60)
    table = edmd.fit(manifold(0, n=30)["series"]).parameters_
    rate = table["rate_ci"].values
    assert (rate < 0).all()
    np.testing.assert_allclose(table["time_constant_ci"], -1 / rate)
    assert np.isnan(table["frequency_ci"]).all()
    assert "does not swing" in table["frequency_ci"].attrs["reason"]
    # A rate that may be 0 has no upper end to its time constant.
    time = np.arange(400) * 0.1
    x = np.column_stack([np.cos(time), np.sin(time)])
    x = x + 0.1 * np.random.default_rng(0).standard_normal(x.shape)
    stays = nr.koopman.EDMD(degree=1, dt=0.1, measurement_noise="instruments", n_bootstrap=60)
    found = stays.fit(x).parameters_
    low, high = found["rate_ci"].values[0]
    assert low < 0 < high
    np.testing.assert_allclose(found["time_constant_ci"].values[0], [-1 / low, np.inf])
    assert found["status"].values[0] == "slower_than_recording"
