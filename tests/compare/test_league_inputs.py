"""Inputs that are known ahead: every model gets them at the frame that is forecast, none later."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn.compare.entries import fitted, forecaster_of, named_entries
from neurornn.compare.forecast import NetworkForecaster, ahead_of, shifted
from neurornn.compare.koopman_accounts import EDMDForecaster, koopman_solvers
from neurornn.compare.task import scaled_task, task_of
from neurornn.training.objectives import objective_named

DT = 0.02
GOAL = objective_named("gaussian")


def on_clock(values, name):
    time = DT * (np.arange(len(values)) + 1)
    return xr.DataArray(
        values, dims=("time", "unit" if name == "states" else "channel"), coords={"time": time},
        attrs={"sampling_rate": 1 / DT}, name=name,
    )  # fmt: skip


def driven(n=3000, curved=0.0):
    """A decaying rotation with two inputs; frame k is made by the input of frame k."""
    draw = np.random.default_rng(0)
    u = draw.standard_normal((n, 2))
    turn = 0.97 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    into = np.array([[0.5, 0.1], [-0.2, 0.3]])
    x = np.zeros((n, 2))
    for k in range(1, n):
        x[k] = x[k - 1] @ turn + u[k] @ into
        x[k, 1] += curved * x[k - 1, 0] ** 2
    return on_clock(x, "states"), on_clock(u, "light")


def the_task(data, known):
    raw = task_of(data, (0.7, 0.15, 0.15), 2.0, 0, (1.0, "s"), known)
    return scaled_task(raw, gaussian=True)


def solved(recipe, task):
    return {name: solve(task)[0] for name, solve in koopman_solvers(recipe, task, (0,)).items()}


def test_what_is_known_stands_at_the_frame_before_its_own():
    states, light = driven()
    task = the_task(states, light)
    plain = the_task(states, None)
    assert task.n_known == 2 and plain.n_known == 0
    torch.testing.assert_close(task.train.inputs[..., :2], plain.train.inputs)
    torch.testing.assert_close(task.train.targets, plain.train.targets)
    # The first window starts with the recording; its inputs are those of frames 1, 2, ...
    u = torch.from_numpy(light.values)
    rows = task.train.inputs[0, :60, 2:]
    assert float(torch.corrcoef(torch.stack([rows[:, 0], u[1:61, 0]]))[0, 1]) > 1 - 1e-9
    # Scaled by their own mean and sd.
    flat = task.train.inputs[..., 2:].reshape(-1, 2)
    assert float(flat.mean(0).abs().max()) < 1e-9


def test_an_edmd_with_inputs_is_exact_where_the_system_is_linear():
    task = the_task(*driven())
    found = solved(nr.koopman.EDMD(degree=1, penalty=0.0), task)
    assert list(found) == ["EDMD (linear)", "EDMD (relifted)"]
    for one in found.values():
        for n_ahead in (0, 1, 20):
            target, mask = shifted(task.test, n_ahead)
            assert int(mask.sum()) > 400
            # Without noise, and functions that close: rounding alone. An input a frame early or
            # late would miss .4 sd.
            torch.testing.assert_close(
                one.at(task.test, n_ahead)[mask], target[mask], rtol=0, atol=1e-8
            )
        run = one.run(task.test, 40, 30)
        target, mask = shifted(task.test, 0)
        whole = mask[:, 40:70].all(2).all(1)
        torch.testing.assert_close(run[whole], target[whole, 40:70], rtol=0, atol=1e-8)
        # 3 functions among themselves, two inputs into them, and back to two states.
        assert one.n_weights == 3 * 3 + 2 * 3 + 3 * 2
    # Without the inputs nothing of that is known.
    blind = the_task(driven()[0], None)
    for one in solved(nr.koopman.EDMD(degree=1), blind).values():
        target, mask = shifted(blind.test, 0)
        assert float(((one.at(blind.test, 0) - target)[mask] ** 2).mean()) > 0.01


def test_the_two_ways_with_inputs_are_those_of_the_estimator():
    states, light = driven(curved=0.02)
    task = the_task(states, light)
    found = solved(nr.koopman.EDMD(degree=2, n_delays=2), task)
    x = task.test.inputs.numpy()
    for name, one in found.items():
        way = name.split("(")[1][:-1]
        by_hand = one.edmd.forecast(
            x[1, 28:30, :2], 12 * DT, inputs=x[1, 29:41, 2:]
        )[way].values  # fmt: skip
        assert np.allclose(one.at(task.test, 11)[1, 29].numpy(), by_hand[-1], atol=1e-12)
        assert np.allclose(one.run(task.test, 29, 12)[1].numpy(), by_hand, atol=1e-12)
    linear, relifted = (f.at(task.test, 30).numpy() for f in found.values())
    # The square is a function of its own only where it is taken anew.
    assert np.nanmax(np.abs(linear - relifted)) > 0.01


def models():
    return {
        "LeakyRNN": nr.models.LeakyRNN(4, 3, 2, dt=DT, rng=0),
        "GRU": nr.models.GRU(4, 3, 2, dt=DT, rng=0),
        "LinearHistory": nr.models.LinearHistory(4, 2, dt=DT, context=0.2),
        "Memoryless": nr.models.Memoryless(4, 2, dt=DT, rng=0),
    }


@pytest.mark.parametrize("name", list(models()))
def test_a_network_takes_at_every_step_what_is_known_of_it(name):
    model = models()[name].double().eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=draw, dtype=p.dtype)
    task = the_task(*driven(2000))
    one = NetworkForecaster(model, GOAL, None, n_known=2)
    x = task.test.inputs
    out = model(x[:, :21])
    state, output = out.states[:, -1], out.output[:, -1:]
    for k in range(4):
        torch.testing.assert_close(
            one.at(task.test, k)[:, 20], output[:, 0], rtol=1e-10, atol=1e-12
        )
        torch.testing.assert_close(
            one.run(task.test, 20, k + 1)[:, k], output[:, 0], rtol=1e-10, atol=1e-12
        )
        step = torch.cat([output, x[:, 21 + k : 22 + k, 2:]], 2)
        states, state = model.scan(step, state)
        output = model.read(states, step)


@pytest.mark.parametrize(
    "recipe", ["ridge", "memoryless", "persistence", "modes", nr.koopman.EDMD(degree=2)]
)
def test_what_comes_later_moves_no_forecast(recipe):
    task = the_task(*driven(2000))
    entries = named_entries([recipe], task, gaussian=True, looks_on=True)
    fit = {"objective": "gaussian", "max_epochs": 2, "patience": 5, "tolerance": 1e-6}
    for entry in entries.values():
        model, _, _ = fitted(entry, task, 0, fit)
        one = forecaster_of(model, task, GOAL)
        for column, first in ((slice(0, 2), 51), (slice(2, 4), 54)):
            # The series after frame 50; what is known, after that of the frame to be forecast:
            # entry 50 + 3 holds the input of frame 54.
            later = task.test._replace(inputs=task.test.inputs.clone())
            later.inputs[:, first:, column] = 7.0
            a, b = (one.at(part, 3)[:, :51].numpy() for part in (task.test, later))
            assert np.array_equal(a, b, equal_nan=True)
            assert torch.equal(one.run(task.test, 50, 4), one.run(later, 50, 4))


def test_what_lies_ahead_is_cut_out_of_what_is_known():
    known = torch.arange(10.0).reshape(1, 5, 2)
    ahead = ahead_of(known, 1, 2)
    assert ahead.shape == (1, 5, 2, 2)
    assert ahead[0, 1].tolist() == [[4.0, 6.0], [5.0, 7.0]]
    # Beyond the trial, 0: no target counts there.
    assert ahead[0, 4].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert ahead_of(known, 0, 1)[0, :, :, 0].tolist() == known[0].tolist()
    assert ahead_of(known[..., :0], 0, 3).shape == (1, 5, 0, 3)


@pytest.fixture(scope="module")
def table():
    states, light = driven()
    recipes = [nr.koopman.EDMD(degree=1), "modes", "ridge"]
    return nr.compare.league(
        states, recipes, inputs=light, duration=2.0, horizons=(1, 20), n_seeds=1, max_epochs=20
    )


@pytest.mark.slow
def test_those_that_take_inputs_win_where_inputs_make_the_series(table):
    r2 = table.parameters["r2"]
    for horizon in (1, 20):
        for name in ("EDMD (linear)", "EDMD (relifted)", "ridge"):
            # The true model is among theirs; ridge pays a little for its penalty.
            assert float(r2.sel(model=name, horizon=horizon)) > 0.98
    # One input moves the states by less than .2 of their sd: .035 of the variance. In twenty
    # frames the rotation has left .97^40 = .3 of it, give or take .2 in a test part of 60 turns.
    assert float(r2.sel(model="modes", horizon=1)) < 0.98
    assert float(r2.sel(model="modes", horizon=20)) < 0.6
    valid = table.runs["valid_time"]
    assert float(valid.sel(model="EDMD (linear)")) == pytest.approx(table.settings["longest_run"])


def test_the_report_tells_who_takes_the_inputs_and_files_keep_it(table, tmp_path):
    told = table.report()
    assert "2 inputs known up to the frame that is forecast" in told
    assert "2 inputs from frame to frame" in told and "modes: takes no inputs" in told
    table.save(tmp_path / "league")
    assert nr.load(tmp_path / "league").report() == told
    assert nr.plot.league_scores(table.parameters) is not None


def test_inputs_on_another_clock_are_brought_onto_the_frames():
    states, light = driven(2000)
    # Each value held for a frame, told ten times a frame.
    fine = xr.DataArray(
        np.repeat(light.values, 10, axis=0), dims=("time", "channel"),
        coords={"time": DT / 10 * (np.arange(20000) + 1)}, name="light",
    )  # fmt: skip
    a, b = the_task(states, light), the_task(states, fine)
    torch.testing.assert_close(a.train.inputs, b.train.inputs, rtol=1e-9, atol=1e-9)


def test_frames_whose_input_is_missing_are_not_scored_nor_fitted():
    states, light = driven()
    holes = np.random.default_rng(3).choice(len(light), 60, replace=False)
    gone = light.copy()
    gone.values[holes] = np.nan
    task = the_task(states, gone)
    for one in solved(nr.koopman.EDMD(degree=1, penalty=0.0), task).values():
        assert isinstance(one, EDMDForecaster)
        target, mask = shifted(task.test, 0)
        # As 0 they would spoil the map.
        torch.testing.assert_close(one.at(task.test, 0)[mask], target[mask], rtol=0, atol=1e-8)


def test_an_edmd_that_cannot_take_inputs_says_so():
    states, light = driven(2000)
    with pytest.raises(ThreePartError, match="measurement_noise='trajectories'"):
        nr.compare.league(
            states, [nr.koopman.EDMD(degree=1, measurement_noise="trajectories")], inputs=light,
            duration=2.0, n_seeds=1,
        )  # fmt: skip
