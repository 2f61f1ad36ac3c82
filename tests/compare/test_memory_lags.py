"""Memory against lag: the task asks what it says, cells are of one size, numbers are in place."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import DataError, NameUnknownError
from neurornn.compare.memory_cells import CELLS, make_cell, memory_trials
from neurornn.compare.memory_table import reach_of


def test_the_cue_comes_first_and_is_asked_for_after_the_lag():
    x, y, kind = memory_trials(50, 7, np.random.default_rng(0))
    assert x.shape == (50, 8, 6)
    assert y.shape == (50, 8, 4)
    assert (x[:, 0, :4].argmax(1) == kind).all()
    assert (x[:, 1:, :4] == 0).all()
    assert (x[:, :-1, 4] == 0).all()
    assert (x[:, -1, 4] == 1).all()
    # Nothing counts before the question: 7 steps after the cue.
    assert np.isnan(y[:, :-1]).all()
    assert (y[:, -1].argmax(1) == kind).all()
    assert set(kind) == {0, 1, 2, 3}
    assert abs(x[..., 5].std() - 0.5) < 0.1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("start", ["plain", "chrono"])
def test_cells_are_of_one_size(cell, start):
    n = sum(p.numel() for p in make_cell(cell, 2000, 20, 0.01, start, 0).parameters())
    # A Transformer grows by heads: its steps are coarser than those of single units.
    assert abs(n / 2000 - 1) < (0.35 if cell == "transformer" else 0.05)


def test_reach_is_where_accuracy_falls_half_way():
    # Half-way from chance, .25, is .625; from 1 to .25 that is half a step on a log scale.
    assert reach_of(np.array([1.0, 0.25]), [10, 100]) == pytest.approx(10 * 10**0.5)
    assert reach_of(np.array([1.0, 0.9]), [10, 100]) == np.inf
    assert reach_of(np.array([0.3, 0.25]), [10, 100]) == 0.0
    # Nothing is known beyond what was trained.
    assert np.isnan(reach_of(np.array([1.0, np.nan]), [10, 1000]))
    assert np.isnan(reach_of(np.array([np.nan]), [1000]))
    # A lag that was not trained is left out.
    assert reach_of(np.array([1.0, np.nan, 0.25]), [10, 50, 100]) == pytest.approx(10 * 10**0.5)


def test_short_lags_are_learned_and_told_in_seconds(tmp_path):
    given = {"lags": (4, 8), "n_seeds": 2, "n_weights": 300, "max_rounds": 8, "rng": 1}
    found = nr.compare.memory(["leaky"], **given)
    table = found.parameters
    assert (table["accuracy"].values > 0.9).all()
    assert float(table["reach"][0]) == np.inf
    assert (found.seeds["rounds"].values <= 8).all()
    # Untrained: units of 10 steps let gradients fall to 1/e after about as many.
    assert (table["horizon_before"].values > 0.02).all()
    assert "leaky" in found.report()
    again = nr.compare.memory(["leaky"], checkpoint=tmp_path / "run", **given)
    assert again.parameters.identical(table)
    # Kept networks are not trained again: even their times are the same.
    third = nr.compare.memory(["leaky"], checkpoint=tmp_path / "run", **given)
    assert third.seeds.identical(again.seeds)
    found.save(tmp_path / "table.nc")
    assert nr.load(tmp_path / "table.nc").report() == found.report()


def test_attention_over_long_windows_is_not_trained():
    found = nr.compare.memory(
        ["transformer"], lags=(2, 200), n_seeds=1, n_weights=60, max_rounds=1
    )
    assert np.isfinite(found.parameters["accuracy"].values[0, 0])
    assert np.isnan(found.parameters["accuracy"].values[0, 1])
    # Its horizon is its window: 3 steps of .01 s.
    assert float(found.parameters["horizon_before"][0, 0]) == pytest.approx(0.03)


@pytest.mark.parametrize("kind", [nr.models.GRU, nr.models.LSTM])
def test_gates_start_in_a_range_of_time(kind):
    sizes = {"n_input": 2, "n_hidden": 40, "n_output": 1, "dt": 0.01, "rng": 3}
    model, plain = kind(**sizes, tau_range=(0.1, 5.0)), kind(**sizes)
    tau = model.initial_tau
    assert tau.shape == (40,)
    assert ((tau >= 0.1) & (tau <= 5.0)).all()
    # Uniform, not log-uniform: 40 draws, sd of the mean .22.
    assert abs(tau.mean() - 2.55) < 0.9
    rows = slice(40, 80)
    bias = model.layers[0].bias_ih_l0[rows]
    assert np.allclose(torch.sigmoid(bias).detach().numpy(), np.exp(-0.01 / tau), atol=1e-5)
    # Weights are those of the plain start.
    for name, p in plain.named_parameters():
        if "bias" not in name:
            assert torch.equal(p, model.get_parameter(name))
    twin = kind(**model.settings)
    assert torch.equal(twin.layers[0].bias_ih_l0[rows], bias)
    with pytest.raises(DataError, match="One of them was needed"):
        kind(**sizes, tau=1.0, tau_range=(0.1, 5.0))
    with pytest.raises(DataError, match="tau_range"):
        kind(**sizes, tau_range=(5.0, 0.1))


def test_bad_input_is_refused():
    with pytest.raises(NameUnknownError, match="gru"):
        nr.compare.memory(["gur"])
    with pytest.raises(DataError, match="ascending lags"):
        nr.compare.memory(["gru"], lags=(10, 5))
    with pytest.raises(DataError, match="each once"):
        nr.compare.memory(["gru", "gru"])
    with pytest.raises(NameUnknownError, match="chrono"):
        nr.compare.memory(["gru"], start="crono")
    with pytest.raises(DataError, match="lag"):
        nr.compare.memory(["gru"], lags=(0,))


@pytest.mark.slow
def test_a_start_in_time_bridges_what_a_plain_start_does_not():
    """A lag of 200 steps, one seed: the benchmark asks five at 1000."""
    given = {"lags": (200,), "n_seeds": 1, "max_rounds": 20, "horizons": False}
    plain, chrono = (
        float(nr.compare.memory(["lstm"], start=s, **given).parameters["accuracy"][0, 0])
        for s in ("plain", "chrono")
    )
    assert plain < 0.5
    assert chrono > 0.9
