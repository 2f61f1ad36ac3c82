"""The league: a truth it must rank, the same split for all, no leak from the test part."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import ThreePartError


@pytest.fixture(scope="module")
def table():
    """A signal that needs memory: the input filtered with 20 steps, then squashed."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 150, 1))
    state, y = np.zeros(30), np.zeros((30, 150, 1))
    for k in range(150):
        state = np.exp(-1 / 20) * state + x[:, k, 0]
        y[:, k, 0] = np.tanh(state)
    y += 0.1 * rng.standard_normal(y.shape)
    leaky = nr.models.LeakyRNN(1, 4, 1, dt=0.01, tau=0.1)
    return nr.compare.league(
        (x, y), [leaky, "linear", "memoryless"], n_seeds=2, max_epochs=25, horizons=(0, 5)
    )


def test_ranks_memory_above_none_and_curved_above_straight(table):
    r2 = table.parameters["r2"].sel(horizon=0)
    leaky, linear, memoryless, mean = (
        float(r2.sel(account=a)) for a in ("LeakyRNN", "linear", "memoryless", "mean")
    )
    # Linear memory explains what the squashing leaves; the present input one part in twenty.
    assert leaky > linear > 0.7 > 0.2 > memoryless > mean
    assert mean == pytest.approx(0.0, abs=1e-12)


def test_a_longer_horizon_is_harder(table):
    for name in ("LeakyRNN", "linear"):
        near, far = table.parameters["r2"].sel(account=name).values
        assert near > far > 0.3


def test_the_same_ranking_in_likelihood(table):
    ll = table.parameters["log_likelihood"].sel(horizon=0)
    assert float(ll.sel(account="LeakyRNN")) > float(ll.sel(account="linear")) > 0.3


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
    p = league.parameters.sel(account="memoryless", horizon=0)
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
    near, far = league.parameters["r2"].sel(account="memoryless").values
    # 9000 test frames correlated over 40: their variance is good to 9 %, three times that moves
    # 1 - (1 - g^2) / variance by .036 and the far one by .2.
    assert near == pytest.approx(g**2, abs=0.036)
    assert far == pytest.approx(g**20, abs=0.2)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: nr.compare.league(d, []),
        lambda d: nr.compare.league(d, ["liner"]),
        lambda d: nr.compare.league("text", ["linear"]),
        lambda d: nr.compare.league(d, ["linear"], split=(0.5, 0.5)),
        lambda d: nr.compare.league(d, ["linear"], horizons=(0,)),
        lambda d: nr.compare.league((np.zeros((2, 5, 1)), np.zeros((2, 5, 1))), ["linear"]),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call):
    rec = nr.simulate.simulate_calcium(1, 60.0, rng=0)
    with pytest.raises(ThreePartError):
        call(rec["dff"])
