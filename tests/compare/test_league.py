"""The league: a truth it must rank, the same split for all, no leak from the test part."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import DataError, ThreePartError, UnitError
from neurornn.compare import forecast
from neurornn.compare.scores import _r2, interval_over_blocks
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import objective_named


@pytest.fixture(scope="module")
def table():
    """A signal that needs memory: the input filtered with 20 steps, then squashed."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 100, 1))
    state, y = np.zeros(30), np.zeros((30, 100, 1))
    for k in range(100):
        state = np.exp(-1 / 20) * state + x[:, k, 0]
        y[:, k, 0] = np.tanh(state)
    y += 0.1 * rng.standard_normal(y.shape)
    leaky = nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=0.1)
    return nr.compare.league(
        (x, y),
        [leaky, "linear", "memoryless", "ridge"],
        n_seeds=2,
        max_epochs=25,
        horizons=(0, 5),
        fit_options={"linear": {"tolerance": 1e-6}},
    )


def test_ranks_memory_above_none_and_curved_above_straight(table):
    r2 = table.parameters["r2"].sel(horizon=0)
    leaky, linear, memoryless, mean = (
        float(r2.sel(model=a)) for a in ("LeakyRNN", "linear", "memoryless", "mean")
    )
    # Linear memory explains what the squashing leaves; the present input one part in twenty.
    assert leaky > linear > 0.7 > 0.2 > memoryless > mean
    assert mean == pytest.approx(0.0, abs=1e-12)


def test_a_longer_horizon_is_harder(table):
    for name in ("LeakyRNN", "linear"):
        near, far = table.parameters["r2"].sel(model=name).values
        assert near > far > 0.3


def test_the_same_ranking_in_likelihood(table):
    ll = table.parameters["log_likelihood"].sel(horizon=0)
    assert float(ll.sel(model="LeakyRNN")) > float(ll.sel(model="linear")) > 0.3


def test_intervals_hold_the_scores_and_say_how_they_were_made(table):
    p = table.parameters
    low, high = p["r2_ci"].values[..., 0], p["r2_ci"].values[..., 1]
    assert np.all((low <= p["r2"].values) & (p["r2"].values <= high))
    assert "bootstrap" in p["r2"].attrs["method"]
    assert list(p["ci_bound"].values) == ["lower", "upper"]


def test_saved_and_loaded_is_the_same(table, tmp_path):
    table.save(tmp_path / "league.nc")
    again = nr.load(tmp_path / "league.nc")
    assert again.report() == table.report()
    assert again.parameters.identical(table.parameters)


def test_gaussian_likelihood_of_a_known_gain_in_variance():
    """With half the variance explained, the gain is log(2) / 2 nats a value."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 200, 1))
    y = x + rng.standard_normal(x.shape)
    league = nr.compare.league((x, y), ["memoryless"], n_seeds=1, max_epochs=10, horizons=(0,))
    p = league.parameters.sel(model="memoryless", horizon=0)
    # 1800 test values: sd of R2 about .017, of the likelihood about .015.
    assert float(p["r2"]) == pytest.approx(0.5, abs=0.05)
    assert float(p["log_likelihood"]) == pytest.approx(np.log(2) / 2, abs=0.05)


def test_a_forecast_of_white_noise_scores_nothing():
    rng = np.random.default_rng(2)
    rec = nr.data.from_traces(rng.standard_normal((6000, 2)), sampling_rate=30.0)
    model = nr.models.LeakyRNN(2, 3, 2, dt=1 / 30, tau=0.3)
    league = nr.compare.league(rec["dff"], [model, "linear"], n_seeds=1, max_epochs=8)
    # Nothing can be known: above zero by more than chance would be a leak.
    assert float(league.parameters["r2"].max()) < 0.02


def test_a_forecast_of_a_known_process_reaches_its_bound():
    """An AR(1) process of lag-one correlation g has R2 of g^2 at one step and g^(2 h) at h."""
    rng = np.random.default_rng(3)
    g, n = 0.95, 60000
    y = np.zeros(n)
    for k in range(1, n):
        y[k] = g * y[k - 1] + np.sqrt(1 - g**2) * rng.standard_normal()
    rec = nr.data.from_traces(y, sampling_rate=30.0)
    league = nr.compare.league(rec["dff"], ["memoryless"], n_seeds=1, max_epochs=10)
    near, far = league.parameters["r2"].sel(model="memoryless").values
    # 9000 test frames correlated over 40: their variance is good to 9 %, three times that moves
    # 1 - (1 - g^2) / variance by .036 and the far one by .2.
    assert near == pytest.approx(g**2, abs=0.036)
    assert far == pytest.approx(g**20, abs=0.2)


def noise(n=1200, n_units=2):
    rng = np.random.default_rng(4)
    return nr.data.from_traces(rng.standard_normal((n, n_units)), sampling_rate=30.0)["dff"]


DT = 1 / 30
EVERY = {
    "LeakyRNN": lambda **k: nr.models.LeakyRNN(2, 3, 2, dt=DT, **k),
    "VanillaRNN": lambda **k: nr.models.VanillaRNN(2, 3, 2, dt=DT, **k),
    "GRU": lambda **k: nr.models.GRU(2, 3, 2, dt=DT, n_layers=2, **k),
    "LSTM": lambda **k: nr.models.LSTM(2, 3, 2, dt=DT, tau=0.1, **k),
    "LinearStateSpace": lambda **k: nr.models.LinearStateSpace(2, 3, 2, dt=DT, **k),
    "Memoryless": lambda **k: nr.models.Memoryless(2, 2, dt=DT, **k),
    "MemorylessMLP": lambda **k: nr.models.MemorylessMLP(2, 2, dt=DT, n_hidden=3, **k),
    "CausalCNN": lambda **k: nr.models.CausalCNN(2, 2, dt=DT, n_hidden=3, context=0.2, **k),
    "CausalTransformer": lambda **k: nr.models.CausalTransformer(
        2, 4, 2, dt=DT, n_heads=2, context=0.2, **k
    ),
    "LinearHistory": lambda **k: nr.models.LinearHistory(2, 2, dt=DT, context=0.2, **k),
}


def test_every_model_takes_part():
    recipes = [make() for make in EVERY.values()]
    table = nr.compare.league(noise(), recipes, duration=1.0, n_seeds=1, max_epochs=1)
    assert list(table.parameters["model"].values) == [*EVERY, "persistence", "mean"]
    # An epoch on noise: no model knows the future; the mean scores 0 by definition.
    assert np.isfinite(table.parameters["r2"]).all()
    # As many free runs, each with an end or none.
    assert np.isfinite(table.runs["valid_time"]).all()
    assert float(table.parameters["r2"].max()) < 0.1
    # One seed has no spread: a dash, not a nought.
    assert np.isnan(table.parameters["r2_seed_sd"]).all()
    assert table.parameters["r2_seed_sd"].attrs["reason"] == "fewer than 2 seeds"


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("limit", [1, 50, 700])
def test_forecasts_in_chunks_are_those_in_one_piece(name, limit, monkeypatch):
    model = EVERY[name]().double().eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=draw, dtype=p.dtype)
    x = torch.randn(3, 11, 2, generator=draw, dtype=torch.float64)
    data = TrainingData(x, torch.zeros_like(x), torch.ones_like(x, dtype=torch.bool))
    goal = objective_named("gaussian")
    for n_ahead in (0, 3):
        whole = forecast.outputs_at(model, data, goal, n_ahead, None)
        with monkeypatch.context() as patch:
            patch.setattr(forecast, "MAX_STATES", limit)
            pieces = forecast.outputs_at(model, data, goal, n_ahead, None)
        # The same sums over other numbers of rows.
        torch.testing.assert_close(pieces, whole, rtol=1e-10, atol=1e-12)
    # By hand from one point: what is known up to step 5, then its own forecasts.
    out = model(x[:, :6])
    state, output = out.states[:, -1], out.output[:, -1:]
    for _ in range(3):
        states, state = model.scan(output, state)
        output = model.read(states, output)
    torch.testing.assert_close(whole[:, 5:6], output, rtol=1e-10, atol=1e-12)


def test_a_model_of_a_long_past_is_carried_on_without_copies_of_it_all(monkeypatch):
    """The states of 600 steps with 100 frames each: never more than the limit at a time."""
    model = nr.models.LinearHistory(9, 9, dt=DT, context=100 * DT).double()
    x = torch.zeros(2, 600, 9, dtype=torch.float64)
    data = TrainingData(x, x, torch.ones_like(x, dtype=torch.bool))
    seen = []
    scan = model.scan
    monkeypatch.setattr(
        model, "scan", lambda inputs, state: seen.append(state.numel()) or scan(inputs, state)
    )
    monkeypatch.setattr(forecast, "MAX_STATES", 20_000)
    forecast.outputs_at(model, data, objective_named("gaussian"), 2, None)
    assert max(seen) <= 20_000 < 600 * 100 * 10
    assert sum(seen) == 2 * 2 * 600 * 100 * 10


def test_a_model_that_looks_ahead_takes_part_where_that_is_no_leak():
    both_ways = nr.models.GRU(2, 3, 2, dt=DT, bidirectional=True)
    with pytest.raises(ThreePartError, match="looks ahead, and a series forecasts itself"):
        nr.compare.league(noise(), [both_ways])
    x = np.random.default_rng(0).standard_normal((12, 20, 2))
    # A step ahead of the last known input, it would have seen what it is not to know.
    with pytest.raises(ThreePartError, match="the inputs stop before the target"):
        nr.compare.league((x, x), [both_ways], horizons=(0, 2))
    table = nr.compare.league((x, x), [both_ways], horizons=(0,), n_seeds=1, max_epochs=1)
    assert "GRU" in table.report()


def test_recipes_that_cannot_forecast_or_run_on_another_clock_are_refused():
    x = np.random.default_rng(0).standard_normal((12, 20, 2))
    with pytest.raises(ThreePartError, match=r"takes its targets as inputs, and they are not"):
        nr.compare.league((x, x), [nr.models.CalciumRNN(2, dt=DT)])
    with pytest.raises(UnitError, match=r"dt = 0\.0333333 s and a LeakyRNN 0\.01"):
        nr.compare.league(noise(), ["linear", nr.models.LeakyRNN(2, 3, 2, dt=0.01)])


def test_options_reach_the_fits_of_all_or_of_the_one_that_is_named():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 20, 1))
    crush = {"optimizer": "adam", "learning_rate": 0.5, "weight_decay": 2.0}
    recipes = ["memoryless", nr.models.VanillaRNN(1, 2, 1, dt=0.01)]

    def r2(options):
        table = nr.compare.league(
            (x, x), recipes, horizons=(0,), n_seeds=1, max_epochs=10, fit_options=options
        )
        assert table.settings["fit_options"] == (options or {})
        return [float(v) for v in table.parameters["r2"].values[:2, 0]]

    plain, crushed = r2(None), r2(crush)
    # Least squares without noise explains all; a weight that is set to 0 before every step of at
    # most 0.5 does not come near 1, where R2 is 1 - (1 - w)^2.
    assert plain[0] > 0.99 and crushed[0] < 0.9 and crushed[1] < plain[1]
    # Options of one model leave the other alone, to the bit.
    assert r2({"memoryless": crush}) == [crushed[0], plain[1]]
    assert r2({"VanillaRNN": crush}) == [plain[0], crushed[1]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_epochs": 3}, "Pass max_epochs to the league itself"),
        ({"rng": 3}, "Pass rng to the league itself"),
        ({"n_seeds": 3}, "Pass n_seeds to the league itself"),
        ({"validation": None}, "the league decides it"),
        ({"checkpoint": "x"}, "the league decides it"),
        ({"learning_rat": 0.1}, "learning_rate"),
        ({"linear": {"learning_rat": 0.1}}, "learning_rate"),
        ({"liner": {"learning_rate": 0.1}}, "linear"),
        ({"ridge": {"learning_rate": 0.1}}, "linear"),
    ],
)
def test_options_that_the_league_decides_are_refused(options, words):
    with pytest.raises(ThreePartError) as caught:
        nr.compare.league(noise(), ["linear", "ridge"], fit_options=options, duration=1.0)
    assert words in str(caught.value)


def test_more_seeds_on_the_same_blocks_are_not_more_data():
    """Ten equal seeds leave the interval of one: blocks, not pairs, are drawn."""
    rng = np.random.default_rng(0)
    squares = np.stack([rng.uniform(0.2, 0.8, 12), np.ones(12)], 1)[None]
    widths = []
    for n in (1, 10):
        low, high = interval_over_blocks([np.repeat(squares, n, axis=0)], _r2, 0.95, 0)
        widths.append(high - low)
    # The same draws of blocks; pairs would have made it narrower by the root of ten.
    assert widths[1] == pytest.approx(widths[0], rel=1e-9)
    # 12 draws of a uniform of sd 0.17: 2 * 1.96 * 0.17 / sqrt(12) = 0.19, of a sample sd that is
    # good to a fifth.
    assert widths[0] == pytest.approx(0.19, rel=0.3)


def test_behind_the_best_is_paired_over_blocks(table):
    p = table.parameters
    behind, ci = p["r2_behind_best"].sel(horizon=0), p["r2_behind_best_ci"].sel(horizon=0)
    assert float(behind.sel(model="LeakyRNN")) == 0
    for name in ("linear", "memoryless", "mean"):
        gap = p["r2"].sel(horizon=0, model="LeakyRNN") - p["r2"].sel(horizon=0, model=name)
        # The same two numbers subtracted.
        assert float(behind.sel(model=name)) == pytest.approx(float(gap), abs=1e-12)
        low, high = ci.sel(model=name).values
        assert 0 < low < float(gap) < high


def test_the_report_shows_the_spread_over_seeds(table):
    sd = float(table.parameters["r2_seed_sd"].sel(model="LeakyRNN", horizon=0))
    assert sd > 0
    lines = table.report().splitlines()
    assert sum("sd over seeds" in line for line in lines) == 1
    row = next(line for line in lines if line.startswith("LeakyRNN"))
    assert f"{sd:.2g}" in row


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: nr.compare.league(d, []), "No recipes came"),
        (lambda d: nr.compare.league(d, ["liner"]), "A recipe is 'liner'.*Did you mean 'linear'"),
        (lambda d: nr.compare.league("text", ["linear"]), "data is a str"),
        (
            lambda d: nr.compare.league(d, ["linear"], fractions=(0.5, 0.5)),
            "fractions has 2 parts",
        ),
        (lambda d: nr.compare.league(d, ["linear"], horizons=(0,)), "at least 1 frames"),
        (
            lambda d: nr.compare.league((np.zeros((2, 5, 1)), np.zeros((2, 5, 1))), ["linear"]),
            "2 trials came for 3 parts",
        ),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call, words):
    rec = nr.simulate.simulate_calcium(1, 60.0, rng=0)
    with pytest.raises(ThreePartError, match=words):
        call(rec["dff"])


@pytest.mark.parametrize("odd", [np.inf, 9.969209968386869e36, 1e300])
def test_one_infinite_or_fill_value_makes_no_league(odd):
    x = np.random.default_rng(0).standard_normal((12, 40, 1))
    for side in (0, 1):
        pair = [x.copy(), np.cumsum(x, 1)]
        pair[side][3, 7] = odd
        with pytest.raises(DataError, match=r"data (inputs|targets) holds .*(infinite|fill)"):
            nr.compare.league(tuple(pair), ["ridge"], n_seeds=1, horizons=(0,))
    series = np.random.default_rng(1).standard_normal((600, 2)).cumsum(0)
    series[100, 1] = odd
    table = nr.data.from_traces(series, sampling_rate=20.0)
    with pytest.raises(DataError, match=r"dff holds .*(infinite|fill)"):
        nr.compare.league(table["dff"], ["ridge"], n_seeds=1, duration=2.0)


def test_a_score_that_is_no_number_has_the_status_of_one(monkeypatch):
    x = np.random.default_rng(0).standard_normal((12, 40, 1))
    from neurornn.compare import played as module

    def broken(model, task, goal, n_ahead):
        found = block_scores(model, task, goal, n_ahead)
        if type(model.model).__name__ == "LinearHistory":
            found[:, 0] = np.inf
        return found

    block_scores = module.block_scores
    monkeypatch.setattr(module, "block_scores", broken)
    found = nr.compare.league(
        (x, np.cumsum(x, 1)), ["ridge", "memoryless"], n_seeds=1, max_epochs=5, horizons=(0,)
    )
    assert str(found.status.sel(model="ridge").item()) == "diverged"
    r2 = found.parameters["r2"].sel(horizon=0)
    assert np.isnan(r2.sel(model="ridge")) and np.isfinite(r2.sel(model="memoryless"))
    assert float(found.parameters["r2_behind_best"].sel(model="memoryless", horizon=0)) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"n_seeds": 0}, "n_seeds is 0"),
        ({"n_seeds": "3"}, "n_seeds is '3'"),
        ({"max_epochs": np.nan}, "max_epochs is nan"),
        ({"horizons": 1}, "horizons is a int"),
        ({"horizons": (0.52,)}, r"A horizon is 0.52 s, 10.4 frames of 0.05 s"),
        ({"horizons": (True,)}, "A horizon is True"),
        ({"horizons": (float("nan"),)}, "A horizon is nan"),
        ({"horizons": (10, 0.5)}, r"in frames \(10, 10\)"),
        ({"baselines": "no"}, "baselines is a str"),
        ({"statistics": 1}, "statistics is a int"),
        ({"lyapunov_time": -1.0}, "lyapunov_time is -1"),
        ({"horizons": ()}, "horizons is empty"),
        ({"fractions": (0.5, 0.5, 0.5)}, "sum 1"),
        ({"fractions": "all"}, "fractions is a str"),
        ({"confidence_level": 95}, "confidence_level is 95"),
        ({"rng": None}, "rng is None"),
        ({"duration": "5"}, "duration is '5'"),
    ],
)
def test_settings_of_the_league_are_checked(more, words):
    table = nr.data.from_traces(
        np.random.default_rng(1).standard_normal((600, 2)), sampling_rate=20.0
    )
    with pytest.raises(ThreePartError, match=words):
        nr.compare.league(table["dff"], ["ridge"], **{"duration": 2.0, "n_seeds": 1, **more})


def ended(monkeypatch, how):
    """Let the seeds of every model end as told: name of the model -> status of each seed."""
    from neurornn.compare import played as module

    counted, really = {}, module.fitted

    def told(entry, task, seed, settings):
        model, code, choice = really(entry, task, seed, settings)
        name = type(model).__name__
        k = counted[name] = counted.get(name, -1) + 1
        return model, how.get(name, {}).get(k, code), choice

    monkeypatch.setattr(module, "fitted", told)
    x = np.random.default_rng(0).standard_normal((12, 20, 1))
    recipes = [nr.models.LeakyRNN(1, 1, 1, dt=DT), nr.models.VanillaRNN(1, 1, 1, dt=DT), "ridge"]
    return nr.compare.league(
        (x, x), recipes, horizons=(0,), n_seeds=3, max_epochs=1, baselines=False
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_seed_that_did_not_end_well_is_told_whichever_it_was(seed, monkeypatch):
    well = dict.fromkeys(range(3), "ok")
    league = ended(monkeypatch, {"LeakyRNN": {**well, seed: "not_converged"}, "VanillaRNN": well})
    found = dict(zip(league.status["model"].values, league.status.values, strict=True))
    assert found == {"LeakyRNN": "not_converged", "VanillaRNN": "ok", "ridge": "ok", "mean": "ok"}
    told = league.report()
    assert next(line for line in told.splitlines() if line.startswith("LeakyRNN")).endswith(
        "not_converged"
    )
    assert "not_converged: " in told


def test_seeds_that_were_stopped_early_ended_well(monkeypatch):
    early = dict.fromkeys(range(3), "stopped_early")
    league = ended(monkeypatch, {"LeakyRNN": early, "VanillaRNN": {**early, 1: "diverged"}})
    found = dict(zip(league.status["model"].values, league.status.values, strict=True))
    assert found == {"LeakyRNN": "ok", "VanillaRNN": "diverged", "ridge": "ok", "mean": "ok"}


def test_an_account_keeps_its_name_its_weights_and_its_scores(monkeypatch):
    x = np.random.default_rng(0).standard_normal((12, 20, 1))
    recipes = ["memoryless", nr.models.LeakyRNN(1, 2, 1, dt=DT), "ridge"]
    settings = {"horizons": (0, 2), "n_seeds": 1, "max_epochs": 3}
    p = nr.compare.league((x, 0.5 * x), recipes, **settings).parameters
    alone = [nr.compare.league((x, 0.5 * x), [r], **settings).parameters for r in recipes]
    assert list(p["model"].values) == ["memoryless", "LeakyRNN", "ridge", "mean"]
    for k, one in enumerate(alone):
        for name in ("r2", "log_likelihood", "n_weights", "status"):
            # Models do not know of each other: to the bit.
            assert np.array_equal(p[name].values[k], one[name].values[0])


def test_any_seed_of_63_bits_is_taken():
    with pytest.raises(ThreePartError, match="recipes"):
        nr.compare.league(None, "ridge", rng=2**63 - 1)
    with pytest.raises(ThreePartError, match="rng"):
        nr.compare.league(None, "ridge", rng=2**63 + 1)
