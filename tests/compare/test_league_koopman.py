"""Koopman accounts in a league: systems that they describe exactly, forecasts by closed form."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn.compare.forecast import shifted
from neurornn.compare.koopman_accounts import EDMDForecaster, ModesForecaster, koopman_solvers
from neurornn.compare.task import scaled_task, task_of

DT = 0.02


def as_series(values, dt=DT):
    time = dt * (np.arange(len(values)) + 1)
    return xr.DataArray(
        values, dims=("time", "unit"), coords={"time": time}, attrs={"sampling_rate": 1 / dt},
        name="states",
    )  # fmt: skip


def oscillators(noise, n=3000):
    """Two oscillations that never end, seen in four units: exactly linear, rank 4."""
    t = DT * np.arange(n)[:, None]
    waves = np.concatenate(
        [np.cos(2 * np.pi * f * t + a) for f in (0.9, 2.3) for a in (0, 1.6)], 1
    )
    draw = np.random.default_rng(0)
    clean = waves @ draw.standard_normal((4, 4))
    clean /= clean.std(axis=0)
    return clean + noise * draw.standard_normal(clean.shape)


def closed(n=3000):
    """A rotation that drives a third variable by its square: closed among squares."""
    turn, x = 0.07, np.zeros((n, 3))
    x[0] = 1.0, 0.0, 0.0
    c, s = np.cos(turn), np.sin(turn)
    for k in range(n - 1):
        a, b, z = x[k]
        x[k + 1] = c * a - s * b, s * a + c * b, 0.9 * z + 0.3 * a * a + 0.1 * a * b
    return x


def the_task(values):
    raw = task_of(as_series(values), (0.7, 0.15, 0.15), 2.0, 0, (1.0, "s"))
    return scaled_task(raw, gaussian=True)


def solved(recipe, task, ahead=(0,)):
    solvers = koopman_solvers(recipe, task, ahead)
    return {name: solve(task)[0] for name, solve in solvers.items()}


@pytest.fixture(scope="module")
def table():
    recipes = ["modes", nr.koopman.EDMD(degree=2), "ridge"]
    return nr.compare.league(
        as_series(oscillators(0.1)), recipes, duration=2.0, horizons=(1, 0.6), n_seeds=1
    )


@pytest.mark.slow
def test_modes_win_where_the_system_is_linear(table):
    p = table.parameters
    # Noise of sd 0.1 on a signal of sd 1 leaves 1 - 0.01 / 1.01 to be known. A forecast one frame
    # late turns the faster oscillation by 0.29 rad, and would lose 0.04.
    for horizon in (1, 30):
        one = p.sel(model="modes", horizon=horizon)
        assert float(one["r2"]) == pytest.approx(1 - 0.01 / 1.01, abs=0.002)
        low, _ = one["r2_behind_best_ci"].values
        assert low <= 0
    # At 0.6 s the noise of the last frames costs all others dear.
    far = p["r2_behind_best_ci"].sel(horizon=30)
    assert float(far.sel(model="memoryless", ci_bound="lower")) > 0.02
    assert table.verdict.splitlines()[1].startswith("At horizon 30 (0.6 s): modes is best")
    assert table.settings["chosen"]["modes"]["rank"] == 4


def test_both_ways_of_an_edmd_are_rows_and_the_report_tells_its_settings(table):
    names = list(table.parameters["model"].values)
    assert names == [
        "modes", "EDMD (linear)", "EDMD (relifted)", "ridge", "memoryless", "persistence", "mean",
    ]  # fmt: skip
    told = table.report()
    assert "EDMD (relifted): polynomial functions to degree 2, 1 frame a state" in told
    assert "modes, chosen on the validation part: rank 4, history" in told
    # 15 functions of four units among themselves and back.
    assert int(table.parameters["n_weights"].sel(model="EDMD (linear)")) == 15 * 15 + 15 * 4
    assert int(table.parameters["n_weights"].sel(model="modes")) == 4 * 5
    assert "askham_2018" in table._papers_used() and "williams_2015" in table._papers_used()


def test_the_valid_time_of_the_true_model_is_the_whole_run(table):
    valid = table.runs["valid_time"]
    assert float(valid.sel(model="modes")) == pytest.approx(table.settings["longest_run"])
    # It repeats the last frame: within 0.4 sd for a few frames.
    assert 0 < float(valid.sel(model="persistence")) < 0.2


def assert_exact(found, part, n_ahead, atol):
    """Every scored forecast is the frame itself."""
    target, mask = shifted(part, n_ahead)
    out = found.at(part, n_ahead)
    assert int(mask.sum()) > 500
    torch.testing.assert_close(out[mask], target[mask], rtol=0, atol=atol)


def test_modes_forecast_by_closed_form():
    task = the_task(oscillators(0.0))
    # Four for the oscillations, and one for the mean of the training part that was taken off.
    (found,) = solved(nr.koopman.Modes(rank=5), task, (0, 20)).values()
    for n_ahead in (0, 7, 20):
        # Without noise: what iterations of the fit leave is below 1e-6.
        assert_exact(found, task.test, n_ahead, 1e-6)
        assert torch.isnan(found.at(task.test, n_ahead)[:, : found.n_frames - 1]).all()
    x = task.test.inputs[:2]
    run = found.run(task.test, 40, 50)[:2]
    torch.testing.assert_close(run, x[:, 41:91], rtol=0, atol=1e-6)


def test_an_edmd_whose_functions_close_is_exact_in_both_ways():
    task = the_task(closed())
    for found in solved(nr.koopman.EDMD(degree=2, penalty=0.0), task).values():
        for n_ahead in (0, 25):
            # Functions that leave the span (z^2) are not needed for the states; rounding alone.
            assert_exact(found, task.test, n_ahead, 1e-5)
    # Linear functions alone do not close: the square is missed.
    target, mask = shifted(task.test, 0)
    for found in solved(nr.koopman.EDMD(degree=1), task).values():
        assert (found.at(task.test, 0) - target)[mask].abs().max() > 0.02


def test_the_two_ways_are_those_of_the_estimator():
    run = nr.simulate.simulate_system("van_der_pol", 60.0, DT, noise_sd=0.02, rng=0)
    task = the_task(run["series"].values[0])
    found = solved(nr.koopman.EDMD(degree=3, n_delays=2), task)
    assert list(found) == ["EDMD (linear)", "EDMD (relifted)"]
    x = task.test.inputs.numpy()
    for name, one in found.items():
        way = name.split("(")[1][:-1]
        by_hand = one.edmd.forecast(x[1, 28:30], 12 * DT)[way].values
        assert np.allclose(one.at(task.test, 11)[1, 29].numpy(), by_hand[-1], atol=1e-12)
        assert np.allclose(one.run(task.test, 29, 12)[1].numpy(), by_hand, atol=1e-12)
    linear, relifted = (f.at(task.test, 30).numpy() for f in found.values())
    assert np.nanmax(np.abs(linear - relifted)) > 0.1


@pytest.mark.parametrize(
    "recipe", [nr.koopman.Modes(rank=2), nr.koopman.EDMD(degree=2, n_delays=3)]
)
def test_what_comes_later_moves_no_forecast(recipe):
    task = the_task(oscillators(0.2, 2000))
    later = task.test._replace(inputs=task.test.inputs.clone())
    later.inputs[:, 51:] = 7.0
    for found in solved(recipe, task).values():
        a, b = found.at(task.test, 3).numpy(), found.at(later, 3).numpy()
        assert np.array_equal(a[:, :51], b[:, :51], equal_nan=True)
        assert not np.allclose(a[:, 51:], b[:, 51:], equal_nan=True)
        a, b = found.run(task.test, 50, 9), found.run(later, 50, 9)
        assert torch.equal(a, b)


def test_forecasts_in_pieces_are_those_in_one(monkeypatch):
    from neurornn.compare import koopman_accounts

    task = the_task(oscillators(0.2, 2000))
    for found in solved(nr.koopman.EDMD(degree=2), task).values():
        whole, run = found.at(task.test, 4), found.run(task.test, 30, 6)
        with monkeypatch.context() as patch:
            patch.setattr(koopman_accounts, "_MAX_NUMBERS", 300)
            # The same sums over other numbers of rows.
            torch.testing.assert_close(found.at(task.test, 4), whole, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(found.run(task.test, 30, 6), run, rtol=1e-10, atol=1e-12)


def test_frames_that_were_not_recorded_are_left_out_of_the_fit():
    values = oscillators(0.0)
    values[np.random.default_rng(3).choice(len(values), 60, replace=False)] = np.nan
    task = the_task(values)
    (found,) = solved(nr.koopman.Modes(rank=4), task).values()
    frequencies = found.modes.parameters_["frequency"].values
    # As 0, the missing frames would be noise of a tenth of the signal's sd.
    assert np.allclose(sorted(frequencies), [0.9, 2.3], atol=1e-5)
    task = the_task(np.where(np.isnan(values), np.nan, oscillators(0.0)))
    for one in solved(nr.koopman.EDMD(degree=1), task).values():
        rates = one.edmd.eigenvalues_
        assert np.abs(rates.real).max() < 1e-4


@pytest.mark.slow
def test_a_forecast_that_leaves_all_bounds_is_told_and_not_scored():
    draw = np.random.default_rng(1)
    values = np.zeros((3000, 2))
    for k in range(2999):
        values[k + 1] = 1.5 * values[k] - 0.5 * values[k] ** 3 + 0.2 * draw.standard_normal(2)
    # In the test part a few frames lie where the cube sends all that follows away.
    values[2750::37] = 4.0
    table = nr.compare.league(
        as_series(values), [nr.koopman.EDMD(degree=3)], duration=2.0, horizons=(1, 60), n_seeds=1
    )
    status = dict(zip(table.status["model"].values, table.status.values, strict=True))
    assert status["EDMD (relifted)"] == "diverged" and status["memoryless"] == "ok"
    r2 = table.parameters["r2"].sel(model="EDMD (relifted)")
    assert np.isnan(r2.sel(horizon=60)) and np.isfinite(r2.sel(horizon=1))
    told = table.report()
    assert "diverged: A forecast left all bounds" in told and "learning_rate" not in told
    assert "EDMD (relifted)" not in table.verdict.splitlines()[1]
    assert np.isfinite(table.runs["valid_time"].sel(model="EDMD (relifted)"))


@pytest.mark.slow
def test_several_of_a_kind_keep_their_way_in_their_name():
    edmd = nr.koopman.EDMD
    recipes = [edmd(degree=1), edmd(degree=2), nr.koopman.Modes(rank=2), nr.koopman.Modes(rank=4)]
    table = nr.compare.league(
        as_series(oscillators(0.1, 2000)), recipes, duration=2.0, horizons=(1,), n_seeds=1,
        baselines=False, statistics=False,
    )  # fmt: skip
    assert list(table.parameters["model"].values) == [
        "EDMD (linear)", "EDMD (relifted)", "EDMD 2 (linear)", "EDMD 2 (relifted)", "Modes",
        "Modes 2", "mean",
    ]  # fmt: skip
    assert "EDMD 2 (linear): polynomial functions to degree 2" in table.report()
    assert "Modes 2: rank 4, free to grow" in table.report()
    # Recipes stay as they were.
    assert not any(hasattr(r, "parameters_") or r.dt is not None for r in recipes)
    first, second = (
        table.parameters["n_weights"].sel(model=m) for m in ("EDMD (linear)", "EDMD 2 (linear)")
    )
    assert (int(first), int(second)) == (5 * 5 + 5 * 4, 15 * 15 + 15 * 4)


@pytest.mark.parametrize("recipe", ["modes", nr.koopman.Modes(), nr.koopman.EDMD()])
def test_accounts_of_inputs_and_targets_are_refused_with_what_to_pass(recipe):
    x = np.random.default_rng(0).standard_normal((12, 20, 2))
    with pytest.raises(
        ThreePartError, match=r"inputs that are not the past.*linear.* take inputs"
    ):
        nr.compare.league((x, x), [recipe])


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (nr.koopman.EDMD(dt=20.0), r"The data have dt = 0.02 s and EDMD\(dt=20.0\)"),
        (nr.koopman.Modes(dt=0.03), r"Pass Modes\(dt=0.02\)|pass Modes\(dt=0.02\)"),
        (nr.koopman.EDMD(n_delays=40), "n_delays = 40, and windows 26 frames before"),
        (nr.koopman.EDMD(degree=60), "functions"),
    ],
)
def test_recipes_that_do_not_fit_the_data_are_refused(recipe, words):
    with pytest.raises(ThreePartError, match=words):
        nr.compare.league(as_series(oscillators(0.1, 2000)), [recipe], duration=2.0, n_seeds=1)


@pytest.mark.slow
def test_types_of_the_two_accounts():
    task = the_task(oscillators(0.1, 2000))
    assert isinstance(solved("modes", task)["modes"], ModesForecaster)
    assert all(isinstance(v, EDMDForecaster) for v in solved(nr.koopman.EDMD(), task).values())
