"""Models of spikes in a league: counts a bin ahead, bits per spike for everybody."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn.compare.entries import fitted, forecaster_of, named_entries
from neurornn.compare.forecast import shifted
from neurornn.compare.scores import LEAST_COUNT, as_counts, block_scores, floor_of
from neurornn.compare.spike_accounts import fit_spikes, training_runs
from neurornn.compare.task import hold_counts, scaled_task, task_of
from neurornn.training.objectives import objective_named

DT = 0.005
GOAL = objective_named("gaussian")
FREE = {"history_basis": "raised_cosine", "n_history": 4, "history": 0.1}


def counts_of(seconds=120.0, bin_size=DT, rng=1):
    """One neuron with a dead time, a recovery and an adaptation."""
    rec = nr.simulate.simulate_spike_trains(duration=seconds, rng=rng)
    return nr.data.bin_spikes(rec, bin_size=bin_size)


def pair(n=8000, seed=3, dt=0.02):
    """Unit a never fires in two bins in a row, and b follows it by one bin: known rates."""
    draw = np.random.default_rng(seed)
    a, chance = np.zeros(n, int), draw.random(n)
    for k in range(1, n):
        a[k] = not a[k - 1] and chance[k] < 0.25
    b = draw.poisson(np.where(np.concatenate([[0], a[:-1]]) > 0, 0.6, 0.05))
    return xr.DataArray(
        np.stack([a, b], axis=1), dims=("time", "unit"),
        coords={"time": dt * np.arange(1.0, n + 1), "unit": ["a", "b"]},
        attrs={"bin_size": dt}, name="counts",
    )  # fmt: skip


def the_task(data, inputs=None, duration=2.0):
    raw = task_of(data, (0.7, 0.15, 0.15), duration, 0, (1.0, "s"), inputs)
    return scaled_task(raw._replace(counts=hold_counts(raw)), gaussian=True)


@pytest.fixture(scope="module")
def table():
    recipes = [
        nr.spikes.PointProcess(**FREE), nr.spikes.PointProcess(history=None),
        nr.spikes.RecurrentPointProcess(n_hidden=4, max_epochs=2), "ridge",
    ]  # fmt: skip
    found = nr.compare.league(
        counts_of(), recipes, horizons=(1, 0.02), duration=2.0, n_seeds=2, max_epochs=10
    )
    # They are fitted in copies, at the bin size of the data.
    assert not any(hasattr(r, "parameters_") or r.bin_size != 0.001 for r in recipes[:3])
    return found


@pytest.mark.slow
def test_what_describes_the_spikes_is_ahead_of_what_does_not(table):
    near = table.parameters.sel(horizon=1)
    behind = near["bits_behind_best_ci"].sel(ci_bound="lower")
    bits = near["bits_per_spike"]
    # A bin of 5 ms after a spike is all but silent: without it a tenth of a bit is lost, several
    # times the width of the interval over blocks.
    assert float(bits.sel(model="PointProcess")) > 0.08
    for poorer in ("PointProcess 2", "memoryless", "persistence", "mean"):
        assert float(behind.sel(model=poorer)) > 0
    assert float(bits.sel(model="PointProcess")) >= float(bits.sel(model="ridge")) - 0.02
    # The training mean is behind that of the scored bins, by what the rate has moved: little.
    assert -0.01 < float(bits.sel(model="mean")) <= 0
    # The Poisson account is the training mean, but for the bins of each that are not scored.
    poisson = float(bits.sel(model="PointProcess 2"))
    assert poisson == pytest.approx(float(bits.sel(model="mean")), abs=1e-3)


def test_a_past_is_told_a_bin_ahead_alone_and_nothing_is_made_up(table):
    far = table.parameters.sel(horizon=4)
    knowing = ["PointProcess", "RecurrentPointProcess"]
    for score in ("r2", "log_likelihood", "bits_per_spike", "bits_behind_best", "r2_seed_sd"):
        assert np.isnan(far[score].sel(model=knowing)).all()
        assert np.isfinite(far[score].sel(model=["PointProcess 2", "ridge", "memoryless"])).all()
    for name in ("valid_time", "spectrum_distance", "state_divergence"):
        assert np.isnan(table.runs[name].sel(model=knowing)).all()
        assert np.isfinite(table.runs[name].sel(model=["PointProcess 2", "ridge"])).all()
    assert (table.status.sel(model=knowing) == "ok").all()
    assert "PointProcess: bins of 0.00500 s, own past: 4 raised cosines over 0.100 s; scored a " \
        "bin ahead alone" in table.report()  # fmt: skip
    assert "PointProcess 2: bins of 0.00500 s, own past: none (Poisson)\n" in table.report()
    assert table.settings["floors"]["PointProcess"][0][1] is None


def test_weights_time_and_seeds_of_models_of_spikes(table):
    n = {str(m): int(v) for m, v in zip(table.parameters["model"].values,
         table.parameters["n_weights"].values, strict=True)}  # fmt: skip
    # A constant and four bumps; a constant; in, out, among four units, with biases and taus.
    assert n["PointProcess"] == 5 and n["PointProcess 2"] == 1
    assert n["RecurrentPointProcess"] > 16
    assert (table.runs["seconds"].sel(model=["PointProcess", "RecurrentPointProcess"]) > 0).all()
    sd = table.parameters["r2_seed_sd"].sel(horizon=1)
    assert float(sd.sel(model="RecurrentPointProcess")) > 0
    assert float(sd.sel(model="PointProcess")) == 0


def test_the_verdict_goes_by_bits(table):
    first, second = table.verdict.splitlines()
    assert "At horizon 1 (0.005 s): PointProcess is best" in first
    assert "bits per spike; its lead of" in first
    assert "ridge" in second and "bits per spike" in second and "PointProcess " not in second


def test_report_files_and_picture(table, tmp_path):
    told = table.report()
    assert "bits per spike, horizon 1 (0.005 s)" in told
    assert "least expected count, chosen on the validation part" in told
    table.save(tmp_path / "league.nc")
    again = nr.load(tmp_path / "league.nc")
    assert again.report() == told and again.parameters.identical(table.parameters)
    table.to_csv(tmp_path / "league.csv")
    assert "bits_per_spike" in (tmp_path / "league.csv").read_text()
    assert "bits\\_per\\_spike, RecurrentPointProcess, horizon 1" in table.to_latex()
    assert {"pei_2021", "truccolo_2005"} <= set(table._papers_used())
    for score in ("r2", "bits_per_spike"):
        ax = nr.plot.league_scores(table.parameters, score=score)
        assert "RecurrentPointProcess" in [t.get_text() for t in ax.get_xticklabels()]


@pytest.mark.parametrize("more", [0, 2])
@pytest.mark.parametrize("recipe", [nr.spikes.PointProcess(coupling=True, **FREE), "ridge"])
def test_bits_are_those_of_the_published_definition_on_the_same_arrays(recipe, more):
    data = pair() + more
    task = the_task(data.assign_attrs(bin_size=0.02))
    (entry,) = named_entries([recipe], task, gaussian=True, looks_on=False).values()
    one = forecaster_of(fitted(entry, task, 0, {})[0], task, GOAL)
    target, mask = shifted(task.test, 0)
    floor = floor_of(one, task, GOAL, 0)
    usual = task.train.targets[task.train.mask.all(2)].mean(0) * task.scale + task.centre
    expected = one.at(task.test, 0) * task.scale + task.centre
    expected = torch.maximum(expected, (floor * usual).clamp(min=LEAST_COUNT)).numpy()
    counts = np.where(mask.numpy(), as_counts(task, target).numpy(), np.nan)
    assert np.nanmin(counts) == more
    rows = block_scores(one, task, GOAL, 0, floor)
    mine = (rows[:, 5] - rows[:, 6]).sum() / rows[:, 7].sum() / np.log(2)
    # The same sums in another order: rounding alone.
    assert mine == pytest.approx(nr.spikes.bits_per_spike(expected, counts), abs=1e-12)
    assert rows[:, 7].sum() == np.nansum(counts)


def test_known_rates_are_found_and_none_is_late():
    task = the_task(pair(20000))
    one = fit_spikes(nr.spikes.PointProcess(coupling=True, n_coupling=1, coupling_duration=0.02,
                                            history=None), task)  # fmt: skip
    expected = (one.at(task.test, 0) * task.scale + task.centre).numpy()
    before = as_counts(task, task.test.inputs).numpy()[..., 0]
    mask = task.test.mask.numpy()[..., 0]
    # Of 14000 bins the rates 0.05 and 0.6 are known to 0.002 and 0.02; a spike too late and both
    # would be .15.
    assert expected[..., 1][mask & (before == 0)].mean() == pytest.approx(0.05, abs=0.008)
    assert expected[..., 1][mask & (before == 1)].mean() == pytest.approx(0.6, abs=0.08)


RECIPES = [
    nr.spikes.PointProcess(coupling=True, **FREE),
    nr.spikes.PointProcess(history=0.2),
    nr.spikes.PointProcess(forgetting=20.0, **FREE),
    nr.spikes.PointProcess(renewal=True, **FREE),
    nr.spikes.RenewalProcess(),
    nr.spikes.RecurrentPointProcess(n_hidden=3, max_epochs=1),
    nr.spikes.RecurrentPointProcess(n_hidden=3, max_epochs=1, history=0.1, n_history=3),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: type(r).__name__)
def test_what_comes_later_moves_no_forecast(recipe):
    task = the_task(pair(4000))
    one = fit_spikes(recipe, task, 0 if hasattr(recipe, "cell") else None)
    x, y = task.test.inputs.clone(), task.test.targets.clone()
    # Three counts more in every bin from bin 51 of every window on.
    x[:, 51:] += 3 / task.scale
    y[:, 50:] += 3 / task.scale
    later = task.test._replace(inputs=x, targets=y)
    a, b = one.at(task.test, 0).numpy(), one.at(later, 0).numpy()
    assert np.isfinite(a).all()
    assert np.array_equal(a[:, :51], b[:, :51])
    assert not np.allclose(a[:, 51:], b[:, 51:])


@pytest.mark.parametrize("recipe", RECIPES[:1] + RECIPES[-1:], ids=["glm", "rnn"])
def test_forecasts_are_the_rates_of_the_window_times_the_bin(recipe):
    task = the_task(pair(4000))
    one = fit_spikes(recipe, task, 0)
    window = as_counts(task, task.test.inputs[2:3]).numpy()
    by_hand = one.model.rates(xr.DataArray(
        window, dims=("trial", "time", "unit"), coords={"unit": ["a", "b"]},
        attrs={"bin_size": 0.02},
    )).values * 0.02  # fmt: skip
    found = (one.at(task.test, 0) * task.scale + task.centre).numpy()[2]
    # Entry t is the frame after t; scaled and back, by rounding, and networks count in 32 bits.
    assert np.allclose(found[:-1], by_hand[1:], rtol=1e-5, atol=1e-9)


def test_the_training_part_is_laid_together_again():
    data = pair(4000).astype(float)
    data[300:320, 1] = np.nan
    data = data.isel(time=np.r_[0:1500, 1700:4000])
    task = the_task(data)
    runs, shown = training_runs(task)
    assert shown is None and len(runs) == 2
    # Two stretches, up to a share of 0.7 less gaps of 1 s, 50 bins, between the parts; at the join
    # no window reaches over.
    assert np.array_equal(runs[0], data.values[:1500], equal_nan=True)
    assert np.array_equal(runs[1], data.values[1500 : 1500 + len(runs[1])], equal_nan=True)
    assert abs(sum(map(len, runs)) - 0.7 * len(data)) < 101
    # Windows overlap by a quarter: each bin counts once all the same.
    assert sum(map(len, runs)) < 0.8 * task.train.inputs.shape[0] * task.train.inputs.shape[1]


@pytest.mark.slow
def test_a_stimulus_that_is_known_ahead_is_shown():
    draw = np.random.default_rng(5)
    light = np.repeat(draw.integers(0, 2, 800), 10).astype(float)
    counts = pair()
    counts = counts.copy(data=draw.poisson(np.stack([0.05 + 0.5 * light, 0.1 + 0 * light], 1)))
    inputs = xr.DataArray(
        light[:, None], dims=("time", "channel"), coords={"time": counts["time"]}
    )
    recipes = [
        nr.spikes.PointProcess("light", history=None, n_stimulus=1, stimulus_duration=0.02),
        nr.spikes.PointProcess(history=None, n_stimulus=1, stimulus_duration=0.02),
        nr.spikes.RenewalProcess(),
    ]
    found = nr.compare.league(
        counts, recipes, inputs=inputs, horizons=(1, 7), duration=4.0, n_seeds=1,
        max_epochs=3, statistics=False,
    )  # fmt: skip
    bits = found.parameters["bits_per_spike"]
    # Rates of .05 and .55 are half a bit and more; a light a bin late costs a fifth of it. It is
    # known up to the frame that is forecast, however far ahead.
    for horizon in (1, 7):
        assert float(bits.sel(model="PointProcess", horizon=horizon)) > 0.25
        both = bits.sel(model=["PointProcess", "PointProcess 2"], horizon=horizon).values
        assert both[0] == both[1]
    assert "PointProcess: bins of 0.0200 s, own past: none (Poisson), shown 1 input" in (
        found.report()
    )
    assert "RenewalProcess: bins of 0.0200 s, gamma intervals, takes no inputs" in found.report()


def in_trials(n_trials=40, n_bins=60):
    counts = pair(n_trials * n_bins)
    return xr.DataArray(
        counts.values.reshape(n_trials, n_bins, 2), dims=("trial", "time", "unit"),
        coords={"unit": ["a", "b"], "time": 0.02 * np.arange(1.0, n_bins + 1)},
        attrs={"bin_size": 0.02}, name="counts",
    )  # fmt: skip


def test_trials_are_split_whole_and_each_begins_anew():
    counts = in_trials()
    mask = np.ones((40, 60), bool)
    mask[::4, 50:] = False
    counts = counts.assign_coords(mask=(("trial", "time"), mask))
    task = the_task(counts)
    assert [len(p.inputs) for p in task[:3]] == [28, 6, 6]
    for part in task[:3]:
        x = as_counts(task, part.inputs).numpy()
        for trial, m in zip(x, part.mask.numpy()[..., 0], strict=True):
            # The first quarter is history, and what was padded counts nowhere.
            assert not m[:15].any() and m[15:49].all()
            source = [k for k in range(40) if np.array_equal(counts.values[k, :50], trial[:50])]
            assert len(source) == 1 and m[49:].all() == (source[0] % 4 > 0)
            assert (source[0] % 4 > 0) or not m[49:].any()
    runs, _ = training_runs(task)
    assert len(runs) == 28 and {len(r) for r in runs} == {50, 60}
    recipes = [nr.spikes.PointProcess(coupling=True, **FREE), "ridge"]
    found = nr.compare.league(counts, recipes, horizons=(1,), n_seeds=1, max_epochs=3)
    bits = found.parameters["bits_per_spike"].sel(horizon=1)
    assert float(bits.sel(model="PointProcess")) > 0.1 > float(bits.sel(model="mean"))
    assert found.settings["n_blocks"] == 6


def test_units_that_hardly_fire_are_given_their_mean_and_named():
    data = pair(4000)
    data = data.copy(data=np.concatenate([data.values[:, :1], np.zeros((4000, 1), int)], 1))
    data.values[::1999, 1] = 1
    recipes = [
        nr.spikes.PointProcess(**FREE), nr.spikes.RecurrentPointProcess(n_hidden=2, max_epochs=1)
    ]  # fmt: skip
    found = nr.compare.league(
        data, recipes, horizons=(1,), duration=2.0, n_seeds=1, max_epochs=2, statistics=False
    )
    assert str(found.status.sel(model="PointProcess").item()) == "too_few_events"
    assert np.isfinite(found.parameters["bits_per_spike"].sel(model="PointProcess")).all()
    assert "too_few_events: Too few events" in found.report()
    # One network serves all units, those too that its own score says nothing of.
    assert str(found.status.sel(model="RecurrentPointProcess").item()) == "ok"


def test_an_expected_count_below_none_has_a_floor_that_validation_chose():
    task = the_task(pair())

    class Below:
        """It expects less than nothing of every bin."""

        def at(self, data, n_ahead):
            return (torch.full_like(data.targets, -0.3) - task.centre) / task.scale

    share = floor_of(Below(), task, GOAL, 0)
    # The best constant is the mean itself.
    assert share == 1.0
    rows = block_scores(Below(), task, GOAL, 0, share)
    bits = (rows[:, 5] - rows[:, 6]).sum() / rows[:, 7].sum() / np.log(2)
    assert -0.02 < bits <= 0
    # Without it every spike costs what 1e-9 does.
    rows = block_scores(Below(), task, GOAL, 0)
    bits = (rows[:, 5] - rows[:, 6]).sum() / rows[:, 7].sum() / np.log(2)
    assert bits < -20


@pytest.mark.slow
def test_bits_are_given_where_there_are_counts_and_nowhere_else():
    series = pair(3000)
    common = {"horizons": (1,), "duration": 2.0, "n_seeds": 1, "statistics": False}
    found = nr.compare.league(series, ["ridge"], max_epochs=2, **common)
    assert "bits_per_spike" in found.parameters
    found = nr.compare.league(series + 0.5, ["ridge"], max_epochs=2, **common)
    assert "bits_per_spike" not in found.parameters and "bits" not in found.report()
    x = np.random.default_rng(0).standard_normal((12, 30, 1))
    y = np.random.default_rng(1).poisson(np.exp(x - 1))
    found = nr.compare.league(
        (x, y), ["memoryless"], objective="poisson", horizons=(0,), n_seeds=1, max_epochs=20
    )
    bits = found.parameters["bits_per_spike"].sel(horizon=0)
    assert float(bits.sel(model="memoryless")) > 0.2


@pytest.mark.parametrize(
    ("data", "recipe", "more", "words"),
    [
        ("counts", nr.spikes.PointProcess(bin_size=0.01), {},
         r"bins of 0.02 s and the PointProcess in bins of 0.01 s.*bin_size=0.02"),
        ("counts", nr.spikes.PointProcess(unit=["a"]), {}, r"unit=\['a'\].*counts.sel\(unit="),
        ("counts", nr.spikes.PointProcess("light"), {},
         r"stimulus='light', and no inputs came.*inputs=recording"),
        ("dff", nr.spikes.RenewalProcess(), {}, "with fractions.*CalciumRNN, 'ridge'"),
        ("half", nr.spikes.PointProcess(), {}, "with fractions.*bin_spikes"),
        ("negative", nr.spikes.RecurrentPointProcess(), {}, "go from -1.00 to.*0 or more"),
        ("pair", nr.spikes.PointProcess(), {"horizons": (0,)},
         "inputs and targets.*take inputs and targets"),
        ("recording", nr.spikes.PointProcess(), {}, "bin_spikes"),
        ("trials", "ridge", {"inputs": in_trials()}, "DataArray of trials.*time, unit"),
        ("counts", "nr.spikes.PointProcess", {}, "model of spikes, or a known name"),
    ],
)  # fmt: skip
def test_what_are_no_counts_is_refused_with_the_remedy(data, recipe, more, words):
    counts = pair(3000)
    x = np.random.default_rng(0).standard_normal((12, 20, 2))
    given = {
        "trials": in_trials(),
        "counts": counts, "half": counts * 0.5, "negative": counts - 1, "pair": (x, x),
        "dff": nr.simulate.simulate_calcium(1, 60.0, rng=0)["dff"],
        "recording": nr.simulate.simulate_spike_trains(duration=20.0, rng=0),
    }[data]  # fmt: skip
    with pytest.raises(ThreePartError, match=f"(?s){words}"):
        nr.compare.league(given, [recipe], duration=2.0, n_seeds=1, **more)
