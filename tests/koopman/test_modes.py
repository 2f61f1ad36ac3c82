"""Modes: known eigenvalues come back, intervals cover, and what is told is what was found."""

import warnings

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
    UnitError,
)
from neurornn.koopman.exponentials import (
    Trajectory,
    eigenvalues_of,
    functions_of,
    rates_of,
    slopes_of,
)
from neurornn.koopman.likelihood import Free, Shared
from neurornn.simulate import simulate_oscillators

DT = 0.02


def sorted_rates(modes):
    return np.sort_complex(modes.eigenvalues_)


TRUE = np.sort_complex(
    np.array([
        -1 / 2,
        -1 / 1.5 + 2j * np.pi * 0.8, -1 / 1.5 - 2j * np.pi * 0.8,
        -1 / 0.8 + 2j * np.pi * 2.2, -1 / 0.8 - 2j * np.pi * 2.2,
    ])
)  # fmt: skip


# What is computed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rates", [[-1.0, 30.0, -2.0, -0.5, -3.0], [-1.0, 1e-5, -2.0, -4.0], [0.3]], ids=str
)
def test_functions_of_time_and_their_slopes(rates):
    time, rates = np.linspace(0, 1.3, 40), np.array(rates)
    rank = len(rates)
    f = functions_of(time, rates)
    # They solve the equation of each block: f'' = 2 a f' - (a^2 + w) f, by central differences.
    fine = functions_of(np.array([0.4 - 1e-4, 0.4, 0.4 + 1e-4]), rates)[:, :rank]
    for b in range(rank // 2):
        a, w = rates[2 * b : 2 * b + 2]
        for k in (2 * b, 2 * b + 1):
            first = (fine[2, k] - fine[0, k]) / 2e-4
            second = (fine[2, k] - 2 * fine[1, k] + fine[0, k]) / 1e-8
            # Second differences of numbers of size 1 are good to 1e-16 / 1e-8.
            assert second == pytest.approx(2 * a * first - (a * a + w) * fine[1, k], abs=1e-6)
    b = np.random.default_rng(0).standard_normal((rank, 3))
    for q, slope in enumerate(slopes_of(b, rank)):
        step = np.zeros(rank)
        step[q] = 1e-6
        up, down = (functions_of(time, rates + s)[:, :rank] @ b for s in (step, -step))
        # Central differences of step 1e-6: rounding of 1e-10.
        np.testing.assert_allclose(f @ slope, (up - down) / 2e-6, atol=1e-8)


def test_rates_and_eigenvalues_are_each_others_inverse():
    values = np.array([-1 + 3j, -1 - 3j, -0.5, -4.0, 2.0])
    found = eigenvalues_of(rates_of(values))
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(values), atol=1e-12)
    # The upper member of a pair stands before the lower one.
    assert found[0].imag > 0


def test_the_slope_of_the_likelihood_is_that_of_differences():
    run = simulate_oscillators(noise_sd=0.05, n_trials=4, rng=1)
    x = run["series"].values
    axes = np.linalg.svd(x.reshape(-1, 16), full_matrices=False)[2][:5].T
    parts = [Trajectory(np.arange(200), t @ axes) for t in x]
    time = np.arange(200) / 199
    rates = rates_of(TRUE * 199 * DT) * 1.03
    looks = np.random.default_rng(0).standard_normal(25)
    for problem, at in (
        (Free(time, parts[:1], 5), rates), (Shared(time, parts, 5), np.append(rates, looks)),
    ):  # fmt: skip
        _, slope = problem.normal(at, problem.at(at))
        for q in range(0, len(at), 3):
            step = np.zeros(len(at))
            step[q] = 1e-6 * max(1, abs(at[q]))
            change = problem.at(at + step).cost - problem.at(at - step).cost
            # Of the cost / 2; differences of a sum of 1e3 keep 1e-6 of the largest slope.
            assert -change / (4 * step[q]) == pytest.approx(
                slope[q], abs=1e-5 * np.abs(slope).max()
            )


def test_noise_free_modes_are_exact():
    run = simulate_oscillators(rng=0)
    modes = nr.koopman.fit_modes(run["states"], rank=5)
    # What rounding of sums leaves of eigenvalues of size 10.
    np.testing.assert_allclose(sorted_rates(modes), TRUE, atol=1e-8)
    np.testing.assert_allclose(modes.reconstruct(), run["states"].values[0], atol=1e-9)
    shape = run["mode_shape"].values @ np.array([1, 1j])
    found = modes.shapes_.values @ np.array([1, 1j])
    for true, one in zip(shape, found, strict=True):
        assert abs(np.vdot(true, one)) / np.linalg.norm(true) == pytest.approx(1, abs=1e-9)
    # The size of a mode is its length over units at the first frame.
    np.testing.assert_allclose(
        modes.parameters_["amplitude"], np.linalg.norm(shape, axis=1), rtol=1e-8
    )


def test_one_trajectory_agrees_with_pydmd():
    pydmd = pytest.importorskip("pydmd")
    run = simulate_oscillators(noise_sd=0.1, rng=3)
    x = run["series"].values[0]
    options = {"tol": 1e-12, "maxiter": 100, "eps_stall": 1e-14}
    peer = pydmd.BOPDMD(svd_rank=5, num_trials=0, varpro_opts_dict=options)
    with warnings.catch_warnings():
        # It says that it did not reach so small a tolerance.
        warnings.simplefilter("ignore")
        peer.fit(x.T, t=run["time"].values)
    ours = nr.koopman.fit_modes(x, dt=DT, rank=5)
    # The same maximum of the same likelihood; the peer's search stops at about 1e-6.
    np.testing.assert_allclose(sorted_rates(ours), np.sort_complex(peer.eigs), atol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"missing": 0.3}, {"n_trials": 8, "min_duration": 1.2}], ids=str
)
@pytest.mark.slow
def test_intervals_cover(options):
    hits, n = [], 40
    for seed in range(n):
        run = simulate_oscillators(noise_sd=0.1, rng=[seed, 5], **options)
        table = nr.koopman.fit_modes(run["series"], rank=5).parameters_
        for name in ("time_constant", "frequency"):
            low, high = table[f"{name}_ci"].values.T
            true = run[name].values
            hits.append(((low <= true) & (true <= high))[name == "frequency" :])
    share = np.mean(np.concatenate(hits))
    # 5 quantities in 40 runs: below .89 with a probability of 1e-4 at a coverage of .95.
    assert 0.89 <= share <= 0.995


def test_amplitude_intervals_cover():
    hits = []
    for seed in range(40):
        run = simulate_oscillators(noise_sd=0.1, rng=[seed, 6])
        table = nr.koopman.fit_modes(run["series"], rank=5).parameters_
        true = np.linalg.norm(run["mode_shape"].values @ np.array([1, 1j]), axis=1)
        low, high = table["amplitude_ci"].values.T
        hits.append((low <= true) & (true <= high))
    # 120 intervals: below .87 with a probability of 1e-4 at .95.
    assert np.mean(hits) >= 0.87


@pytest.mark.slow
def test_the_bootstrap_agrees_with_the_curvature():
    run = simulate_oscillators(noise_sd=0.1, rng=2)
    a, b = (
        nr.koopman.fit_modes(run["series"], rank=5, intervals=how, n_bootstrap=200).parameters_
        for how in ("analytic", "bootstrap")
    )
    for name in ("time_constant", "frequency", "amplitude"):
        width = [np.diff(t[f"{name}_ci"].values, axis=1)[:, 0] for t in (a, b)]
        kept = np.isfinite(width[0])
        # The sd of 200 draws is good to 5 %, blocks of six frames to some more.
        np.testing.assert_allclose(width[1][kept], width[0][kept], rtol=0.25)
    np.testing.assert_array_equal(a["time_constant"], b["time_constant"])
    assert "bootstrap" in b["time_constant"].attrs["method"]


@pytest.mark.slow
def test_noise_that_remembers_widens_the_intervals():
    run = simulate_oscillators(rng=0, duration=8.0)
    states = run["states"].values[0]
    draw = np.random.default_rng(0)
    hits, told = [], 0
    for _ in range(40):
        noise = draw.standard_normal(states.shape)
        for k in range(1, len(noise)):
            noise[k] = 0.8 * noise[k - 1] + 0.6 * noise[k]
        modes = nr.koopman.fit_modes(states + 0.01 * noise, dt=DT, rank=5)
        low, high = modes.parameters_["time_constant_ci"].values.T
        true = run["time_constant"].values
        hits.append((low <= true) & (true <= high))
        told += "Neighbouring frames share" in modes.report()
        # No mode is called ok where what is left is no noise.
        assert (modes.parameters_["status"] != "ok").all()
    # Unwidened, intervals a third as wide would hold the slowest in half of the runs.
    assert np.mean(hits) > 0.85
    assert told == 40


def test_the_rank_is_found():
    for seed in range(5):
        run = simulate_oscillators(noise_sd=0.1, rng=[seed, 8])
        modes = nr.koopman.fit_modes(run["series"])
        assert modes.rank_ == 5
        assert min(modes.criteria_, key=modes.criteria_.get) == "5"
    assert "Bayesian information criterion" in modes.report()
    assert "Schwarz" in modes.methods_text()


def test_fewer_units_than_modes():
    run = simulate_oscillators(n_units=2, noise_sd=0.01, rng=0)
    modes = nr.koopman.fit_modes(run["series"], rank=5)
    # Two units at 1 % noise: the worst of several seeds was 3 %.
    np.testing.assert_allclose(
        modes.parameters_["time_constant"], run["time_constant"].values, rtol=0.1
    )


def test_a_gap_is_not_bridged():
    run = simulate_oscillators(noise_sd=0.02, rng=0, duration=8.0)
    x = run["series"].isel(trial=0)
    # A phase that jumps in the gap: one trajectory through it would fit neither side.
    other = simulate_oscillators(noise_sd=0.02, rng=0, duration=8.0)["series"].isel(trial=0)
    late = -other.isel(time=slice(0, 150))
    late = late.assign_coords(time=late["time"] + 30.0)
    both = xr.concat([x.isel(time=slice(0, 150)), late], "time")
    modes = nr.koopman.fit_modes(both, rank=5)
    assert modes._inner.sizes["trajectory"] == 2
    np.testing.assert_allclose(
        modes.parameters_["time_constant"], run["time_constant"].values, rtol=0.05
    )


def test_what_does_not_matter():
    run = simulate_oscillators(noise_sd=0.1, n_trials=3, rng=0)
    x = run["series"].values
    base = nr.koopman.fit_modes(x, dt=DT, rank=5).parameters_
    order = np.random.default_rng(0).permutation(16)
    turned = np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))[0]
    for other in (x[..., order], list(x), x[::-1], x @ turned, 1e3 * x):
        table = nr.koopman.fit_modes(other, dt=DT, rank=5).parameters_
        for name in ("time_constant", "frequency", "time_constant_ci"):
            # The search ends within 1e-9 of the maximum, relative to the rates.
            np.testing.assert_allclose(table[name], base[name], rtol=1e-5, atol=1e-12)
    slow = nr.koopman.fit_modes(x, dt=10 * DT, rank=5).parameters_
    np.testing.assert_allclose(slow["time_constant_ci"], 10 * base["time_constant_ci"], rtol=1e-5)
    np.testing.assert_allclose(slow["frequency"], base["frequency"] / 10, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(slow["amplitude"], base["amplitude"], rtol=1e-5)


# What is told ---------------------------------------------------------------------------------


def test_a_forecast_is_right_and_covers():
    inside, errors = [], []
    for seed in range(20):
        run = simulate_oscillators(
            noise_sd=0.1, duration=6.0, time_constants=(8.0, 5.0), frequencies=(0.0, 0.8),
            rng=[seed, 1],
        )  # fmt: skip
        x = run["series"].values[0]
        modes = nr.koopman.fit_modes(x[:200], dt=DT, rank=3)
        ahead = modes.forecast(2.0)
        seen = x[200:]
        assert ahead["time"].values[0] == pytest.approx(DT)
        low, high = np.moveaxis(ahead["forecast_ci"].values, -1, 0)
        inside.append((low <= seen) & (seen <= high))
        clean = run["states"].values[0][200:]
        errors.append(np.abs(ahead["forecast"].values - clean).max())
    # 32,000 frames of 20 runs, which share their error within a run.
    assert 0.93 < np.mean(inside) < 0.97
    # A tenth of the sd of the noise is what 200 frames leave of it.
    assert np.median(errors) < 0.1


def test_history_carried_on():
    run = simulate_oscillators(rng=0)
    x = run["states"].values[0]
    modes = nr.koopman.fit_modes(x, dt=DT, rank=5)
    np.testing.assert_allclose(modes.continue_from(x[50:70], 30), x[70:100], atol=1e-9)
    two = modes.continue_from(np.stack([x[:20], x[60:80]]), 5)
    np.testing.assert_allclose(two, np.stack([x[20:25], x[80:85]]), atol=1e-9)
    with pytest.raises(ShapeError, match=r"The history has shape \(20, 3\)"):
        modes.continue_from(x[:20, :3], 5)


def test_modes_that_cannot_be_told():
    draw = np.random.default_rng(0)
    time = np.arange(300)[:, None] * DT
    weight = draw.standard_normal((3, 6))
    noise = 0.02 * draw.standard_normal((300, 6))
    grows = np.exp(time / 4) * weight[0] + np.exp(-time) * weight[1]
    stays = np.cos(2 * np.pi * time) * weight[0] + np.exp(-time / 0.4) * weight[1]
    fast = np.exp(-time / (0.4 * DT)) * weight[0] * 30 + np.exp(-time) * weight[1]
    found = {}
    for name, x, rank in (("grows", grows, 2), ("stays", stays, 3), ("fast", fast, 2)):
        modes = nr.koopman.fit_modes(x + noise, dt=DT, rank=rank)
        found[name] = modes.parameters_
    assert found["grows"]["status"].values.tolist() == ["growing", "ok"]
    assert np.isnan(found["grows"]["time_constant"].values[0])
    assert found["grows"]["rate"].values[0] == pytest.approx(0.25, rel=0.02)
    assert found["stays"]["status"].values.tolist() == ["slower_than_recording", "ok"]
    # A mode that stays: at least so many seconds, without an upper end.
    low, high = found["stays"]["time_constant_ci"].values[0]
    assert (low > 20 or np.isnan(found["stays"]["time_constant"].values[0])) and not high < 1e9
    assert found["fast"]["status"].values.tolist() == ["ok", "not_resolvable"]
    stable = nr.koopman.fit_modes(grows + noise, dt=DT, rank=2, stable=True)
    assert (stable.parameters_["rate"] <= 1e-12).all()


def test_a_forecast_that_explodes_is_refused():
    time = np.arange(200)[:, None] * DT
    x = np.exp(3 * time) * np.array([[1.0, 2.0]]) + 0.01 * np.random.default_rng(0).normal(
        size=(200, 2)
    )
    modes = nr.koopman.fit_modes(x, dt=DT, rank=1)
    modes.forecast(1.0)
    with pytest.raises(DataError, match=r"A mode grows by a factor of 1.*stable=True"):
        modes.forecast(10.0)


def test_labels_units_and_files(tmp_path):
    run = simulate_oscillators(n_units=3, noise_sd=0.02, n_trials=2, rng=0)
    x = run["series"].rename(unit="cell").assign_coords(cell=["a", "b", "c"])
    x.attrs["units"] = "mV"
    modes = nr.koopman.fit_modes(x, rank=3)
    assert modes.feature_names_in_.tolist() == ["a", "b", "c"]
    assert modes.parameters_["amplitude"].attrs["units"] == "mV"
    ahead = modes.forecast(0.1)
    assert ahead["forecast"].dims == ("trajectory", "time", "unit")
    assert ahead["unit"].values.tolist() == ["a", "b", "c"]
    modes.save(tmp_path / "modes")
    again = nr.load(tmp_path / "modes")
    assert again.report() == modes.report()
    xr.testing.assert_identical(again.forecast(0.1), ahead)
    np.testing.assert_array_equal(again.eigenvalues_, modes.eigenvalues_)


# Bad input ------------------------------------------------------------------------------------


def test_bad_input():
    x = simulate_oscillators(noise_sd=0.1, rng=0)["series"].values[0]
    fit = nr.koopman.fit_modes
    with pytest.raises(UnitError, match=r"came without a clock.*dt=0\.02"):
        fit(x)
    with pytest.raises(UnitError, match=r"one frame every 20 s"):
        fit(x, dt=20.0)
    with pytest.raises(DataError, match=r"3 complete frames .* rank 5.*lower rank"):
        fit(x[:3], dt=DT, rank=5)
    with pytest.raises(DataError, match=r"rank 150.*Pass a lower rank"):
        fit(x, dt=DT, rank=150)
    flat = x.copy()
    flat[:, 3] = 1.0
    with pytest.raises(DataError, match=r"1 of 16 units of states are constant: 3"):
        fit(flat, dt=DT)
    flat[:, 3] = np.nan
    with pytest.raises(DataError, match=r"1 of 16 units of states are NaN in every frame: 3"):
        fit(flat, dt=DT)
    with pytest.raises(DataError, match="NaN in every frame"):
        fit(np.full((20, 2), np.nan), dt=DT)
    with pytest.raises(KindError, match=r"A whole recording came.*series"):
        fit(simulate_oscillators(rng=0))
    with pytest.raises(ShapeError, match=r"Trial 1 of states has 3 units, the first 16"):
        fit([x, x[:, :3]], dt=DT)
    uneven = xr.DataArray(x, dims=("time", "unit"), coords={"time": np.arange(200) ** 1.02 * DT})
    uneven["time"] = uneven["time"] + 0.3 * DT * (np.arange(200) % 2)
    with pytest.raises(DataError, match=r"sampled unevenly.*resample_to"):
        fit(uneven)
    even = uneven.assign_coords(time=np.arange(200) * DT)
    with pytest.raises(UnitError, match=r"Several steps came: 0\.03 s \(dt=\) and 0\.02 s"):
        fit(even, dt=0.03)
    for wrong in ({"rank": 0}, {"n_delays": 0}, {"intervals": "hope"}, {"rank": "best"}):
        with pytest.raises((DataError, NameUnknownError)):
            fit(x, dt=DT, **wrong)


def test_runs_of_missing_frames_are_skipped():
    run = simulate_oscillators(noise_sd=0.02, rng=0)
    x = run["series"].values[0].copy()
    x[40:70] = np.nan
    x[100:130, 2] = np.nan
    modes = nr.koopman.fit_modes(x, dt=DT, rank=5)
    assert (modes.n_frames_, modes.n_left_out_) == (140, 60)
    assert "60 left out as incomplete" in modes.report()
    np.testing.assert_allclose(
        modes.parameters_["time_constant"], run["time_constant"].values, rtol=0.05
    )


def test_the_amplitude_is_the_root_mean_square_over_trials():
    run = simulate_oscillators(n_trials=5, rng=4)
    modes = nr.koopman.fit_modes(run["states"], rank=5)
    own = [
        nr.koopman.fit_modes(t, dt=DT, rank=5).parameters_["amplitude"].values
        for t in run["states"].values
    ]
    # Without noise the sizes of each trial are exact; both come from the same frames.
    np.testing.assert_allclose(
        modes.parameters_["amplitude"], np.sqrt(np.mean(np.square(own), axis=0)), rtol=1e-6
    )
