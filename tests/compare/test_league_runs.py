"""Free runs: valid times and distances by hand, and one interface for all models."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn.compare.forecast import NetworkForecaster
from neurornn.compare.free_runs import (
    Runs,
    runs_table,
    spectrum_distance,
    state_divergence,
    valid_steps,
)
from neurornn.compare.task import horizons_in_frames
from neurornn.compare.verdicts import horizon_told
from neurornn.io.saved import SavedContent
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import objective_named

DT = 0.05


def walk(n=1500, n_units=2):
    draw = np.random.default_rng(0)
    x = np.zeros((n, n_units))
    for k in range(n - 1):
        x[k + 1] = 0.9 * x[k] + draw.standard_normal(n_units)
    return nr.data.from_traces(x, sampling_rate=1 / DT)["dff"]


def test_steps_that_are_valid_by_hand():
    true = np.zeros((5, 6, 2))
    found, seen = np.zeros_like(true), np.ones(true.shape, dtype=bool)
    # Out by 0.5 in both units from step 3 on: its root mean square is 0.5.
    found[0, 3:] = 0.5
    # Out in one unit: 0.5 / sqrt(2) = 0.35 is within; 0.6 / sqrt(2) = 0.42 is not.
    found[1, 1:, 0] = 0.5
    found[1, 4, 0] = 0.6
    # Left for good at step 2.
    found[2, 2:] = np.nan
    # Recorded to step 4 alone; the one unit that was seen counts alone.
    seen[3, 4:] = False
    seen[3, 2, 0] = False
    found[3, 2] = 9.0, 0.3
    # Nothing recorded.
    seen[4] = False
    assert np.array_equal(valid_steps(found, true, seen), [3, 4, 2, 4, np.nan], equal_nan=True)


def test_distance_of_spectra_is_0_for_one_process_and_1_for_others():
    time = 0.01 * np.arange(400)[None, :, None]
    phases = np.random.default_rng(0).uniform(0, 6.3, (20, 1, 1))
    slow, fast = (np.cos(2 * np.pi * f * time + phases) for f in (2.0, 12.0))
    # Another phase is no other spectrum; lines 10 Hz apart, 0.25 Hz each, share next to nothing.
    assert spectrum_distance(slow, np.roll(slow, 7, axis=1)) < 0.05
    assert spectrum_distance(slow, fast) > 0.98
    both = np.concatenate([slow, fast], axis=2)
    # The mean over units: one right, one wrong.
    half = np.concatenate([slow, slow], axis=2)
    assert spectrum_distance(both, half) == pytest.approx(spectrum_distance(fast, slow) / 2)
    # Size does not count, shape does; nothing that moves has no spectrum.
    assert spectrum_distance(slow, 5 * slow + 3) < 1e-6
    assert spectrum_distance(slow, np.full_like(slow, 0.7)) == 1.0
    assert spectrum_distance(slow, np.full_like(slow, np.nan)) == 1.0
    assert np.isnan(spectrum_distance(slow[:0], slow[:0]))


def test_divergence_of_states_by_hand():
    true = np.array([0.0, 0.0, 0.0, 1.0] * 5)[None, :, None]
    found = np.array([0.0, 1.0, 1.0, 9.0] * 5)[None, :, None]
    # 20 frames make 2 bins along the unit and one outside: 15, 5, 0 against 5, 10, 5, half a count
    # added to each of the three.
    p, q = (np.array(c) / 21.5 for c in ([15.5, 5.5, 0.5], [5.5, 10.5, 5.5]))
    assert state_divergence(true, found) == pytest.approx(np.sum(p * np.log(p / q)))
    assert state_divergence(true, true) == 0
    assert state_divergence(true, found * np.nan) == np.inf
    assert np.isnan(state_divergence(np.zeros((2, 9, 4)), np.zeros((2, 9, 4))))


NETWORKS = {
    "LeakyRNN": lambda: nr.models.LeakyRNN(2, 3, 2, dt=DT, rng=0),
    "GRU": lambda: nr.models.GRU(2, 3, 2, dt=DT, n_layers=2, rng=0),
    "LinearStateSpace": lambda: nr.models.LinearStateSpace(2, 3, 2, dt=DT, rng=0),
    "Memoryless": lambda: nr.models.Memoryless(2, 2, dt=DT, rng=0),
    "CausalTransformer": lambda: nr.models.CausalTransformer(
        2, 4, 2, dt=DT, n_heads=2, context=0.2, rng=0
    ),
    "LinearHistory": lambda: nr.models.LinearHistory(2, 2, dt=DT, context=0.2),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_is_the_forecasts_of_every_horizon_from_one_step(name):
    model = NETWORKS[name]().double().eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=draw, dtype=p.dtype)
    x = torch.randn(3, 12, 2, generator=draw, dtype=torch.float64)
    data = TrainingData(x, torch.zeros_like(x), torch.ones_like(x, dtype=torch.bool))
    one = NetworkForecaster(model, objective_named("gaussian"), None)
    run = one.run(data, 6, 5)
    for k in range(5):
        torch.testing.assert_close(run[:, k], one.at(data, k)[:, 6], rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_numbers_with_a_point_are_seconds_and_make_the_same_table():
    recipes = ["ridge"]
    a, b = (
        nr.compare.league(walk(), recipes, horizons=h, duration=2.0, n_seeds=1, max_epochs=3)
        for h in ((1, 10), (0.05, 0.5))
    )
    assert a.parameters.identical(b.parameters) and a.settings == b.settings
    assert a.parameters["horizon"].values.tolist() == [1, 10]
    assert a.parameters["horizon_time"].values == pytest.approx([0.05, 0.5])
    assert a.parameters["horizon_time"].attrs["units"] == "s"
    assert "R2, horizon 10 (0.5 s)" in a.report()
    # 1 % off is taken, 2 % is not.
    assert horizons_in_frames([0.505, np.float64(0.05), 3, np.int64(4)], DT, "s") == [10, 1, 3, 4]
    for odd in (0.51, 0.02, -0.5):
        with pytest.raises(ValueError, match="A horizon is"):
            horizons_in_frames([odd], DT, "s")
    assert horizon_told(3, {"dt": 1.0, "time_unit": "steps"}) == "horizon 3"


@pytest.mark.slow
def test_memoryless_and_persistence_take_part_unless_turned_off_or_passed():
    def names(recipes, data=None, **more):
        found = nr.compare.league(
            walk() if data is None else data, recipes, duration=2.0, n_seeds=1, max_epochs=1,
            horizons=(1,), statistics=False, **more,
        )  # fmt: skip
        return list(found.parameters["model"].values)

    assert names(["ridge"]) == ["ridge", "memoryless", "persistence", "mean"]
    assert names(["ridge"], baselines=False) == ["ridge", "mean"]
    assert names(["persistence", "ridge", "memoryless"]) == [
        "persistence", "ridge", "memoryless", "mean",
    ]  # fmt: skip
    own = nr.models.Memoryless(2, 2, dt=DT)
    assert names([own]) == ["Memoryless", "persistence", "mean"]
    x = np.random.default_rng(0).standard_normal((12, 20, 2))
    # Inputs are no past of the targets: nothing persists.
    assert names(["ridge"], (x, x)) == ["ridge", "memoryless", "mean"]


@pytest.fixture(scope="module")
def table():
    model = nr.models.LeakyRNN(2, 3, 2, dt=DT, tau=0.2)
    return nr.compare.league(
        walk(), [model, "ridge"], duration=2.0, n_seeds=2, max_epochs=2, lyapunov_time=0.4
    )


@pytest.mark.slow
def test_free_runs_are_told_with_their_cost(table):
    runs = table.runs
    assert list(runs["model"].values) == list(table.parameters["model"].values)
    for name in ("valid_time", "valid_lyapunov_times"):
        low, high = runs[f"{name}_ci"].values.T
        assert (low <= runs[name].values).all() and (runs[name].values <= high).all()
    assert np.allclose(runs["valid_time"], 0.4 * runs["valid_lyapunov_times"])
    assert runs["valid_time"].attrs["units"] == "s" and runs["seconds"].attrs["units"] == "s"
    assert np.isnan(runs["spectrum_distance_ci"]).all()
    assert "biased" in runs["spectrum_distance_ci"].attrs["reason"]
    # What never moves shares no spectrum; the process itself comes closest.
    assert float(runs["spectrum_distance"].sel(model="mean")) == 1.0
    assert (
        float(runs["seconds"].sel(model="LeakyRNN"))
        > 0
        == float(runs["seconds"].sel(model="mean"))
    )
    assert 0 < table.settings["reference"]["spectrum_distance"] < 0.3
    assert table.settings["longest_run"] == pytest.approx(1.5)
    told = table.report()
    (header,) = (line for line in told.splitlines() if line.startswith("model  "))
    for column in ("valid time (s)", "in Lyapunov times", "spectrum distance"):
        assert header.count(column) == 1
    # A cost is in the table alone: the same league makes the same report.
    assert "CPU" not in header
    assert "as many windows of the training part in place of free runs: spectrum distance" in told


@pytest.mark.slow
def test_without_statistics_and_with_inputs_there_are_no_runs_but_a_cost():
    x = np.random.default_rng(0).standard_normal((12, 20, 2))
    short = {"n_seeds": 1, "max_epochs": 1, "duration": 2.0}
    for found in (
        nr.compare.league(walk(), ["ridge"], statistics=False, **short),
        nr.compare.league((x, x), ["ridge"], **short),
    ):
        assert list(found.runs.data_vars) == ["seconds"]
        assert "valid time" not in found.report()


@pytest.mark.slow
def test_a_file_with_runs_and_one_from_before_there_were_any_are_read(table, tmp_path):
    table.save(tmp_path / "league")
    again = nr.load(tmp_path / "league")
    assert again.report() == table.report() and again.runs.identical(table.runs)
    content = copy.deepcopy(table._to_saved())
    del content["tables"]["runs"]
    settings = {k: v for k, v in content["settings"].items()
                if k not in ("longest_run", "reference", "recipes")}  # fmt: skip
    older = content["tables"]["parameters"].drop_vars("horizon_time")
    found = nr.compare.League._from_saved(
        SavedContent(kind="League", settings=settings, tables={"parameters": older})
    )
    assert found.verdict == table.verdict
    assert "valid time" not in found.report()
    found.save(tmp_path / "older")
    assert nr.load(tmp_path / "older").report() == found.report()


def test_the_median_is_over_blocks_and_seeds_and_its_interval_over_both():
    valid = np.array([2.0, 4.0, np.nan, 6.0])
    runs = {"one": [Runs(valid, 0.2, np.nan), Runs(valid + 2, 0.4, np.nan)]}
    table = runs_table(
        runs, {"one": 1.5}, dt=0.5, time_unit="s", confidence_level=0.9, rng=0, lyapunov_time=None
    )
    # Of 2, 4, 6, 4, 6, 8 steps of half a second.
    assert float(table["valid_time"][0]) == pytest.approx(2.5)
    low, high = table["valid_time_ci"].values[0]
    assert 1.0 <= low < 2.5 < high <= 4.0
    assert float(table["spectrum_distance"][0]) == pytest.approx(0.3)
    assert "are not binned" in table["state_divergence_ci"].attrs["reason"]
    assert isinstance(table, xr.Dataset) and float(table["seconds"][0]) == 1.5


def test_the_picture_names_frames_and_says_how_long_they_are(table):
    ax = nr.plot.league_scores(table.parameters)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["horizon 1", "horizon 10"]
    assert ax.get_legend().get_title().get_text() == "frames of 0.05 s"
    bare = table.parameters.drop_vars("horizon_time")
    assert nr.plot.league_scores(bare).get_legend().get_title().get_text() == ""
