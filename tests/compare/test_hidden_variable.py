"""A hidden variable is read from a state that holds it, and from nothing that does not."""

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.metrics import r2_score

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.compare.belief_readers import Split, read_linear

DT, KEPT = 0.1, 0.9
QUICK = {"input_windows": (1, 4), "nonlinear": False, "n_permutations": 199, "rng": 0}


def leaky(inputs, kept=KEPT):
    """The hidden truth: a leaky sum of the inputs, the present one included."""
    out, total = np.empty(inputs.shape), np.zeros(inputs.shape[0])
    for t in range(inputs.shape[1]):
        total = kept * total + inputs[:, t]
        out[:, t] = total
    return out


def holding(kept=KEPT, seed=0):
    """A linear network whose first unit is that sum; the others do nothing."""
    model = nr.models.VanillaRNN(1, 3, 1, dt=DT, nonlinearity="linear", rng=seed)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.input_weight[0, 0], model.recurrent_weight[0, 0] = 1.0, kept
    return model


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(0)
    x = draw.standard_normal((40, 120, 1))
    return x, leaky(x[..., 0])


@pytest.fixture(scope="module")
def table(data):
    x, hidden = data
    return nr.compare.hidden_variable([holding(), holding(0.85)], (x, x), hidden, **QUICK)


def test_a_state_that_is_the_variable_tells_all_of_it(table):
    r2 = table.parameters["linear_r2"].sel(variable="hidden")
    # One of the two networks forgets a little faster: its state is nearly the variable.
    assert 0.97 < float(r2.sel(source="network")) < 1
    low, high = table.parameters["linear_r2_ci"].sel(source="network").values[0]
    assert low <= float(r2.sel(source="network")) <= high <= 1


def test_windows_of_the_inputs_tell_what_the_algebra_says(table):
    """Of a leaky sum of white noise, w inputs tell a share 1 - kept^(2w)."""
    r2, ci = (table.parameters[n].sel(variable="hidden") for n in ("linear_r2", "linear_r2_ci"))
    for name, w in (("inputs", 1), ("inputs, window of 4", 4)):
        exact = 1 - KEPT ** (2 * w)
        low, high = ci.sel(source=name).values
        # The interval holds it; 20 windows of 120 frames that are correlated over 10.
        assert low - 0.02 < exact < high + 0.02
        assert float(r2.sel(source=name)) == pytest.approx(exact, abs=0.06)


def test_the_variable_of_other_windows_is_read_from_nothing(table):
    one = table.parameters.sel(source="shuffled", variable="hidden")
    assert float(one["linear_r2"]) < 0.02
    low, high = one["linear_r2_ci"].values
    assert high - low < 0.1 and high < 0.05
    p = table.parameters["p_value"]
    assert float(p.sel(source="shuffled")) == pytest.approx(1 / 200)
    assert np.isnan(p.sel(source="network"))


def test_an_untrained_network_remembers_less(data):
    """Random weights keep some of the past, and not as long as the variable does."""
    x, hidden = data
    found = nr.compare.hidden_variable(holding(), (x, x), hidden, **QUICK).parameters
    r2 = found["linear_r2"].sel(variable="hidden")
    assert float(r2.sel(source="network")) == pytest.approx(1.0, abs=1e-6)
    # Three random linear units lag by up to a few frames of the ten that the variable holds.
    assert float(r2.sel(source="untrained")) < 0.95
    assert float(found["p_value"].sel(source="untrained")) < 0.01


def test_both_readings_are_told(data, monkeypatch):
    """Two epochs are enough to see that there is one, that it is scored, and by whom."""
    monkeypatch.setattr("neurornn.compare.belief_readers._EPOCHS", 2)
    x, hidden = (v[:8, :40] for v in data)
    found = nr.compare.hidden_variable(holding(), (x, x), hidden, **{**QUICK, "nonlinear": True})
    assert found.parameters["nonlinear_r2"].notnull().all()
    assert "not asked for" not in found.report()


@pytest.mark.slow
def test_a_network_of_one_layer_reads_what_a_line_cannot(data):
    x, hidden = (v[:16] for v in data)
    given = {**QUICK, "nonlinear": True, "input_windows": (1,)}
    found = nr.compare.hidden_variable(holding(), (x, x), hidden**2, **given).parameters
    at = found.sel(source="network", variable="hidden")
    assert float(at["linear_r2"]) < 0.2
    # 32 units and 60 epochs bend a line into a parabola; its tails are seldom visited.
    assert float(at["nonlinear_r2"]) > 0.8


@pytest.fixture(scope="module")
def recording():
    draw = np.random.default_rng(1)
    drive = draw.standard_normal(4000)
    time = (np.arange(4000) + 1) * DT
    attrs = {"sampling_rate": 1 / DT}
    return xr.Dataset(
        {
            "drive": ("time", drive, attrs),
            "inside": ("time", 1e-9 * leaky(drive[None])[0] + 3e-9, {**attrs, "units": "F"}),
        },
        coords={"time": ("time", time, {"units": "s"})},
    )


def test_windows_find_their_frames_by_the_clock(recording):
    parts = nr.data.windows(
        recording, inputs="drive", targets="drive", duration=40.0, warmup=15.0,
        fractions=(0.5, 0.5),
    )  # fmt: skip
    table = nr.compare.hidden_variable(holding(), parts[1], recording["inside"], **QUICK)
    at = table.parameters.sel(source="network", variable="inside")
    # The state begins at 0 in each window and has forgotten that after the warm-up: 0.9^150.
    assert float(at["linear_r2"]) == pytest.approx(1.0, abs=1e-5)
    reading = table.reading
    assert reading["true"].attrs["units"] == "F"
    first = int(reading["trial"][0])
    start = float(parts[1]["start"][first])
    seen = reading["true"].isel(trial=0, variable=0)
    asked = recording["inside"].sel(time=start + 20.0, method="nearest")
    assert float(seen.sel(time=20.0, method="nearest")) == pytest.approx(float(asked))
    # Nothing is scored in the warm-up, and what is read is in the variable's own unit.
    assert np.isnan(seen.sel(time=slice(0, 14.9))).all()
    read = reading["read"].sel(source="network").isel(variable=0)
    true = reading["true"].isel(variable=0)
    on = np.isfinite(true.values)
    assert r2_score(true.values[on], read.values[on]) == pytest.approx(float(at["linear_r2"]))
    # The later half is held out.
    assert reading["trial"].values.min() >= parts[1].sizes["trial"] // 2


def test_several_variables_and_missing_values(recording):
    windows = nr.data.windows(
        recording, inputs="drive", targets="drive", duration=40.0, warmup=15.0
    )
    clean = recording["inside"]
    holes = clean.where(np.arange(4000) % 7 != 0)
    noise = xr.zeros_like(clean) + np.random.default_rng(0).standard_normal(4000)
    both = xr.concat([holes, noise], dim="variable").assign_coords(variable=["held", "noise"])
    found = nr.compare.hidden_variable(holding(), windows, both, **QUICK)
    r2 = found.parameters["linear_r2"].sel(source="network")
    assert float(r2.sel(variable="held")) == pytest.approx(1.0, abs=1e-5)
    assert float(r2.sel(variable="noise")) < 0.05
    assert np.isnan(found.reading["true"].values).mean() > 1 / 7


def test_any_fit_of_a_network_is_taken():
    """A fit of spikes: the log rate is driven by a hidden sum of the stimulus."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((24, 80, 1))
    hidden = leaky(x[..., 0])
    counts = draw.poisson(np.exp(0.3 * hidden))[..., None].astype(float)
    model = nr.models.LeakyRNN(1, 1, 1, dt=DT, tau=0.5, nonlinearity="linear", rng=0)
    result = nr.fit(model, (x[:12], counts[:12]), objective="poisson", intervals=False, rng=0)
    found = nr.compare.hidden_variable(result, (x[12:], counts[12:]), hidden[12:], **QUICK)
    r2 = found.parameters["linear_r2"].sel(variable="hidden")
    assert float(r2.sel(source="network")) > 0.95 > float(r2.sel(source="inputs"))


def test_a_network_that_runs_by_itself_has_no_inputs_to_read():
    draw = np.random.default_rng(0)
    y = draw.standard_normal((8, 30, 1))
    model = nr.models.LeakyRNN(0, 3, 1, dt=DT, rng=0)
    found = nr.compare.hidden_variable(model, (None, y), y[..., 0], **QUICK)
    assert found.parameters["source"].values.tolist() == ["network", "untrained", "shuffled"]


def test_the_report_says_all_and_is_kept(table, tmp_path):
    text = table.report()
    for word in ("2 networks (VanillaRNN)", "20 of them held out", "inputs, window of 4"):
        assert word in text
    table.save(tmp_path / "table.nc")
    back = nr.load(tmp_path / "table.nc")
    assert back.report() == text
    assert back.reading.equals(table.reading)


def test_the_seed_decides_and_the_model_is_left_alone(data):
    x, hidden = data
    model = holding().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    one = nr.compare.hidden_variable(model, (x, x), hidden, **QUICK)
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert one.parameters.equals(
        nr.compare.hidden_variable(model, (x, x), hidden, **QUICK).parameters
    )


def test_a_split_in_order_holds_out_the_end_and_masked_rows_teach_nothing():
    split = Split(9, None)
    assert split.test.tolist() == [5, 6, 7, 8]
    assert sorted([*split.fit, *split.choose]) == [0, 1, 2, 3, 4]
    draw = np.random.default_rng(0)
    x = [draw.standard_normal((30, 1)) for _ in range(9)]
    y = [2 * v for v in x]
    wrong = [v.copy() for v in y]
    for v in wrong:
        v[::3] = 1e6
    used = [np.arange(30) % 3 != 0] * 9
    read = read_linear(x, wrong, split, 1, used)
    # The smallest penalty that is tried, 1e-6.
    assert np.allclose(read[8], y[8], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        ({"result": nr.models.Memoryless(1, 1, dt=DT)}, KindError, "with a state"),
        ({"result": 3}, KindError, "result is int"),
        ({"result": []}, KindError, "result is nothing"),
        ({"result": [holding(), nr.models.VanillaRNN(1, 3, 2, dt=DT)]}, ShapeError, "same inputs"),
        ({"hidden": np.zeros((40, 7))}, ShapeError, "hidden has shape"),
        ({"hidden": np.ones((40, 120))}, DataError, "does not change"),
        ({"hidden": np.full((40, 120), np.nan)}, DataError, "no frame at which hidden is known"),
        ({"hidden": xr.DataArray(np.zeros(9), dims="time")}, KindError, "over time"),
        ({"windows": (np.zeros((4, 9, 1)), np.zeros((4, 9, 1)))}, DataError, "At least 6"),
        ({"input_windows": (0,)}, DataError, "input_windows"),
        ({"confidence_level": 2.0}, DataError, "confidence_level"),
    ],
)
def test_bad_input_is_refused(data, change, kind, match):
    x, hidden = data
    given = {"result": holding(), "windows": (x, x), "hidden": hidden, **QUICK, **change}
    with pytest.raises(kind, match=match):
        nr.compare.hidden_variable(**given)


def test_another_clock_is_refused(recording):
    windows = nr.data.windows(recording, inputs="drive", targets="drive", duration=40.0)
    later = recording["inside"].assign_coords(time=recording["time"] + 1e4)
    with pytest.raises(DataError, match="no value at the frames"):
        nr.compare.hidden_variable(holding(), windows, later, **QUICK)
