"""CalciumRNN in a league: it knows the past alone, and forecasts what it describes."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn.compare.entries import fitted, forecaster_of, named_entries
from neurornn.compare.forecast import shifted
from neurornn.compare.observer_accounts import ObserverForecaster, observed
from neurornn.compare.task import scaled_task, task_of
from neurornn.training.objectives import objective_named

DT = 0.05
GOAL = objective_named("gaussian")


def calcium(missing=0.0, seconds=200.0, n=3):
    """Spikes at random, one decay and one rise for all cells: what the model assumes."""
    return nr.simulate.simulate_calcium(
        n, seconds, 1 / DT, tau_decay=0.8, tau_rise=0.06, snr=4.0, missing=missing, rng=0
    )["dff"]


def the_task(data, inputs=None):
    raw = task_of(data, (0.7, 0.15, 0.15), 5.0, 0, (1.0, "s"), inputs)
    return scaled_task(raw, gaussian=True)


def forecaster(task, n_hidden=0, seed=0):
    """An unfitted one whose weights are not those at rest."""
    n = task.train.targets.shape[2]
    model = nr.models.CalciumRNN(n, task.n_known, n_hidden, dt=DT, tau_decay=0.6, rng=seed)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=draw)
    return ObserverForecaster(model.double().eval(), task)


@pytest.fixture(scope="module")
def table():
    recipe = nr.models.CalciumRNN(3, dt=DT)
    found = nr.compare.league(
        calcium(), [recipe, "ridge"], horizons=(1, 0.5), n_seeds=2, max_epochs=20
    )
    # The recipe is fitted in a copy.
    assert not bool(recipe.prepared)
    return found


@pytest.mark.slow
def test_what_describes_the_data_forecasts_at_least_as_well_as_what_does_not(table):
    p = table.parameters
    for horizon in (1, 10):
        r2 = p["r2"].sel(horizon=horizon)
        one = float(r2.sel(model="CalciumRNN"))
        # The last frame alone has the noise of a frame: what the past says beside it is lost.
        assert one > float(r2.sel(model="memoryless")) > 0
        assert one > float(r2.sel(model="persistence"))
        # Ridge is free to find the same filter, and has its weights to pay for.
        assert one > float(r2.sel(model="ridge")) - 0.01
        behind = p["r2_behind_best_ci"].sel(model="memoryless", horizon=horizon)
        assert float(behind.sel(ci_bound="lower")) > 0
    # Five numbers a cell less, and shared: decay, rise, and baseline and noise of three cells.
    assert int(p["n_weights"].sel(model="CalciumRNN")) == 2 + 2 * 3
    assert str(table.status.sel(model="CalciumRNN").item()) == "ok"


def test_its_cost_and_its_free_runs_are_told_beside_those_of_the_others(table):
    assert float(table.runs["seconds"].sel(model="CalciumRNN")) > 0
    assert np.isfinite(table.runs["valid_time"].sel(model="CalciumRNN"))
    assert np.isfinite(table.runs["spectrum_distance"].sel(model="CalciumRNN"))
    # Nothing of a fit without random weights depends on the seed but the order of the trials.
    assert float(table.parameters["r2_seed_sd"].sel(model="CalciumRNN", horizon=1)) < 1e-3


def test_report_files_and_picture(table, tmp_path):
    assert "CalciumRNN" in table.report()
    table.save(tmp_path / "league.nc")
    again = nr.load(tmp_path / "league.nc")
    assert again.report() == table.report() and again.runs.identical(table.runs)
    table.to_csv(tmp_path / "league.csv")
    assert "CalciumRNN" in (tmp_path / "league.csv").read_text()
    ax = nr.plot.league_scores(table.parameters)
    assert "CalciumRNN" in [t.get_text() for t in ax.get_yticklabels() + ax.get_xticklabels()]


def test_the_forecast_is_that_of_the_two_decaying_states():
    one = forecaster(the_task(calcium()))
    model, x = one.model, one.task.test.inputs
    states = model(x).states
    a, b = states[..., :3], states[..., 3:6]
    gamma = torch.exp(-DT / model.tau_decay)
    rho = torch.exp(-DT / model.tau_rise)
    for n_ahead in (0, 1, 7):
        # Without a rate, both states decay from where the last correction left them. The last
        # window is shorter than the others, which the model by hand does not know.
        by_hand = (model.baseline + gamma**n_ahead * a - rho**n_ahead * b)[:-1]
        found = one.at(one.task.test, n_ahead)[:-1]
        torch.testing.assert_close(found, by_hand, rtol=1e-9, atol=1e-9)
        run = one.run(one.task.test, 40, n_ahead + 1)[:-1]
        torch.testing.assert_close(run[:, n_ahead], by_hand[:, 40], rtol=1e-9, atol=1e-9)


def stimulus(data, seed=5):
    """Two channels on the clock of the series."""
    draw = np.random.default_rng(seed)
    values = np.repeat(draw.uniform(0, 1, (data.sizes["time"] // 10 + 1, 2)), 10, axis=0)
    return xr.DataArray(
        values[: data.sizes["time"]], dims=("time", "channel"), coords={"time": data["time"]},
        attrs={"sampling_rate": 1 / DT}, name="stimulus",
    )  # fmt: skip


@pytest.mark.parametrize("driven", [False, True])
def test_what_comes_later_moves_no_forecast(driven):
    data = calcium(seconds=100.0)
    task = the_task(data, stimulus(data) if driven else None)
    one = forecaster(task, n_hidden=3 if driven else 0)
    later = task.test._replace(inputs=task.test.inputs.clone())
    # Frames of the series after number 50; the stimulus may be known.
    later.inputs[:, 51:, :3] = 7.0
    for n_ahead in (0, 4):
        a, b = one.at(task.test, n_ahead), one.at(later, n_ahead)
        assert torch.equal(a[:, :51], b[:, :51])
        assert not torch.allclose(a[:, 51:], b[:, 51:])
    assert torch.equal(one.run(task.test, 50, 9), one.run(later, 50, 9))
    if driven:
        # Entry t knows the stimulus up to the frame that it forecasts, and no further.
        later = task.test._replace(inputs=task.test.inputs.clone())
        later.inputs[:, 55:, 3:] = 7.0
        a, b = one.at(task.test, 4), one.at(later, 4)
        assert torch.equal(a[:, :51], b[:, :51])
        assert not torch.equal(a[:, 51], b[:, 51])


def test_targets_are_no_part_of_what_it_sees_when_it_forecasts():
    one = forecaster(the_task(calcium(seconds=100.0)))
    task = one.task
    other = task.test._replace(targets=torch.full_like(task.test.targets, 9.0))
    assert torch.equal(one.at(task.test, 3), one.at(other, 3))


@pytest.mark.slow
def test_a_frame_that_was_not_recorded_corrects_nothing():
    data = calcium(missing=0.1)
    task = the_task(data)
    one = forecaster(task)
    seen = task.recorded(task.test)
    # A tenth of the frames of each cell: 700 of three cells, sd .7 %; the last window is shorter.
    assert float((~seen[:-1]).double().mean()) == pytest.approx(0.1, abs=0.03)
    with torch.no_grad():
        by_hand = one.model(torch.where(seen, task.test.inputs, float("nan"))).states
    a, b = by_hand[..., :3], by_hand[..., 3:6]
    torch.testing.assert_close(
        one.at(task.test, 0), one.model.baseline + a - b, rtol=1e-9, atol=1e-9
    )
    # Zeros in their place, as other models take them, would be another forecast.
    plain = one.model(task.test.inputs).states
    assert (plain[..., :3] - a).abs().max() > 0.1
    table = nr.compare.league(
        data, [nr.models.CalciumRNN(3, dt=DT)], horizons=(1,), n_seeds=1, max_epochs=15
    )
    r2 = table.parameters["r2"].sel(horizon=1)
    assert float(r2.sel(model="CalciumRNN")) > float(r2.sel(model="memoryless"))


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_the_fit_sees_the_frames_that_the_others_are_trained_on(missing):
    data = calcium(missing=missing)
    task = the_task(data)
    part = observed(task, task.train)
    # One frame more, and the same targets counted, each a frame later than where it stood.
    assert part.targets.shape[1] == task.train.targets.shape[1] + 1
    assert torch.equal(part.mask[:, 1:], task.train.mask) and not part.mask[:, 0].any()
    assert torch.equal(part.targets[:, 1:][task.train.mask], task.train.targets[task.train.mask])
    there = ~torch.isnan(part.inputs)
    assert torch.equal(part.inputs[there], part.targets[there])
    assert bool(there[part.mask].all())
    seen = task.recorded(task.train)
    assert bool(there[:, :-1][seen].all())
    # What was not recorded is nowhere: not as 0, and not as the target of the frame before.
    unseen = ~seen & ~torch.cat([part.mask[:, :1], task.train.mask[:, :-1]], 1)
    assert not there[:, :-1][unseen].any()


def test_a_stimulus_is_laid_at_its_own_frame():
    data = calcium(seconds=60.0)
    known = stimulus(data)
    task = the_task(data, known)
    assert task.n_known == 2 and task.train.inputs.shape[2] == 5
    part = observed(task, task.train)
    plain = the_task(data)
    torch.testing.assert_close(task.train.targets, plain.train.targets)
    # Frame k of the first window is frame k of the recording.
    raw = torch.from_numpy(known.values[1:30])
    scaled = part.inputs[0, 1:30, :2]
    slope = (scaled[12] - scaled[2]) / (raw[12] - raw[2])
    torch.testing.assert_close(scaled - scaled[:1], slope * (raw - raw[:1]))
    # The cells follow, with what the model without a stimulus sees.
    assert torch.equal(
        torch.nan_to_num(part.inputs[..., 2:]),
        torch.nan_to_num(observed(plain, plain.train).inputs),
    )


@pytest.mark.slow
def test_a_stimulus_that_drives_the_rates_makes_the_forecast_better():
    """Cells that fire while a light is on: known ahead, it says what the past cannot."""
    draw = np.random.default_rng(2)
    n_frames = 4000
    light = np.repeat(draw.integers(0, 2, n_frames // 20), 20).astype(float)
    trains = []
    for _ in range(3):
        counts = draw.poisson(0.2 * DT + 6.0 * DT * light)
        at = np.repeat((np.arange(n_frames) + 0.5) * DT, counts)
        trains.append(np.sort(at + draw.uniform(-0.4, 0.4, len(at)) * DT))
    data = nr.simulate.simulate_calcium(
        3, n_frames * DT, 1 / DT, tau_decay=0.5, tau_rise=0.05, snr=4.0, spike_times=trains, rng=0
    )["dff"]
    known = xr.DataArray(
        light[:, None], dims=("time", "channel"), coords={"time": data["time"]}, name="light"
    )
    recipe = nr.models.CalciumRNN(3, 1, 2, dt=DT)
    found = nr.compare.league(
        data, [recipe, "ridge"], inputs=known, horizons=(1, 20), n_seeds=1, max_epochs=30,
        statistics=False,
    )  # fmt: skip
    blind = nr.compare.league(
        data, [nr.models.CalciumRNN(3, dt=DT)], horizons=(1, 20), n_seeds=1, max_epochs=30,
        statistics=False, baselines=False,
    )  # fmt: skip
    far = found.parameters["r2"].sel(horizon=20)
    # In a second all but what the light does is forgotten: without it, e^-2 of the variance.
    assert float(blind.parameters["r2"].sel(model="CalciumRNN", horizon=20)) < 0.2
    assert float(far.sel(model="CalciumRNN")) > 0.4
    # Memory without a rate does as well here: eighty light changes tell no more. The interval of
    # the difference holds 0.
    assert float(far.max() - far.sel(model="CalciumRNN")) < 0.02
    assert "1 input known up to the frame that is forecast" in found.report()


@pytest.mark.slow
def test_the_league_scores_what_the_forecaster_gives():
    task = the_task(calcium())
    entries = named_entries([nr.models.CalciumRNN(3, dt=DT)], task, gaussian=True, looks_on=True)
    fit = {"objective": "gaussian", "max_epochs": 15, "patience": 5, "tolerance": 1e-6}
    model, status, chosen = fitted(entries["CalciumRNN"], task, 0, fit)
    assert status in ("ok", "stopped_early") and chosen == {}
    one = forecaster_of(model, task, GOAL)
    assert isinstance(one, ObserverForecaster)
    target, mask = shifted(task.test, 0)
    error = [float(((one.at(task.test, k) - target)[mask] ** 2).mean()) for k in (0, 1)]
    # What a frame forgets of a decay of 16 frames: an error of a frame would be seen.
    assert error[0] < error[1]
    # The same constants as a fit of the same stretch by hand; both maximise one likelihood, over
    # windows of other lengths, the first frames of which the league does not count.
    alone = nr.fit(
        nr.models.CalciumRNN(3, dt=DT), calcium()[:2800], max_epochs=30, intervals=False
    )
    assert float(model.tau_decay.detach()) == pytest.approx(
        float(alone.parameters["tau_decay"]), rel=0.1
    )


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (
            nr.models.CalciumRNN(2, dt=DT),
            "have 3 units and 0 inputs known ahead, the CalciumRNN 2",
        ),
        (nr.models.CalciumRNN(3, 2, 4, dt=DT), "CalciumRNN 3 and 2"),
        (nr.models.CalciumRNN(3, dt=0.01), "The data have dt = 0.05 s and a CalciumRNN 0.01"),
    ],
)
def test_models_of_other_data_are_refused(recipe, words):
    with pytest.raises(ThreePartError, match=words):
        nr.compare.league(calcium(seconds=60.0), [recipe])


def test_inputs_that_do_not_fit_are_refused():
    data = calcium(seconds=60.0)
    x = np.random.default_rng(0).standard_normal((12, 20, 2))
    for call, words in (
        (lambda: nr.compare.league(data, ["ridge"], inputs=x), "inputs is a ndarray"),
        (
            lambda: nr.compare.league((x, x), ["ridge"], inputs=stimulus(data)),
            "inputs came beside",
        ),
        (
            lambda: nr.compare.league(data, ["ridge"], inputs=stimulus(data).rename(time="frame")),
            "a DataArray over frame, channel",
        ),
    ):
        with pytest.raises(ThreePartError, match=words):
            call()


@pytest.mark.parametrize("driven", [False, True])
def test_one_frame_ahead_it_is_what_the_model_is_trained_to_give(driven):
    data = calcium(missing=0.1, seconds=100.0)
    task = the_task(data, stimulus(data) if driven else None)
    one = forecaster(task, n_hidden=3 if driven else 0)
    part = observed(task, task.test)
    with torch.no_grad():
        own = one.model(part.inputs).output[:, 1:]
    found = one.at(task.test, 0)
    # The same sums; frames that are in no input of a window are not told to the forecaster either.
    torch.testing.assert_close(found[task.test.mask], own[task.test.mask], rtol=1e-9, atol=1e-9)
