"""Gait and EMG: the memory is exact, what a shorter window loses is known, errors tell why."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, UnitWarning
from neurornn.simulate.known_memory import linear_r2, window_mean

GAIT = {"duration": 3.0, "dt": 0.02, "memory": 1.2, "stride": 0.5}
EMG = {"duration": 1.0, "dt": 0.01, "memory": 0.2, "burst": 0.05, "pause": 0.1}
TASKS = {"gait": (nr.simulate.simulate_gait, GAIT), "emg": (nr.simulate.simulate_emg, EMG)}


@pytest.fixture(scope="module", params=sorted(TASKS))
def task(request):
    make, given = TASKS[request.param]
    return make(100, rng=0, **given)


def ridge_r2(task: xr.Dataset, n_lags: int) -> float:
    """R2 on test trials of ridge on the last steps, as a league has it."""
    dt = task.attrs["dt"]
    model = nr.models.LinearHistory(task.sizes["input"], 1, dt=dt, context=n_lags * dt)
    table = nr.compare.league(
        task, [model], fractions=(0.5, 0.2, 0.3), horizons=(0,), n_seeds=1, baselines=False
    ).parameters
    return float(table["r2"].sel(model="LinearHistory")[0])


def test_a_window_of_the_memory_is_enough_and_a_shorter_one_loses_what_is_known(task):
    n, told = task.attrs["memory_steps"], task["linear_r2"].values
    assert told.shape == (n,)
    # Exact: nothing but rounding and the smallest penalty, 1e-4 of a squared weight.
    assert ridge_r2(task, n) > 0.999
    # 30 trials hold about 50 independent memories of gait: the sd of a share explained is .05.
    assert ridge_r2(task, n // 2) == pytest.approx(told[n // 2 - 1], abs=0.12)
    # One step less than the memory is less than all of it, in the truth.
    assert told[-2] < 1 - 1e-4
    assert told[-1] == pytest.approx(1.0)
    assert (np.diff(told) > 0).all()


def test_no_input_from_before_the_memory_matters(task):
    """The target at the first step that counts is the mean over all steps of the trial so far."""
    n = task.attrs["memory_steps"]
    x = task["inputs"].values[:, :n]
    if "load" in task["input"].values:
        value = x[..., -1].sum(1) / (task.attrs["memory"] / task.attrs["stride"])
    else:
        value = (x[..., 0] - x[..., 1]).mean(1)
    assert task["targets"].values[:, n - 1, 0] == pytest.approx(value)
    mask = task["mask"].values[..., 0]
    assert not mask[:, : n - 1].any()
    assert mask[:, n - 1 :].all()
    # A window of the memory further on, at another step, is as good.
    late = slice(40, 40 + n)
    x = task["inputs"].values[:, late]
    value = (
        x[..., -1].sum(1) / (task.attrs["memory"] / task.attrs["stride"])
        if "load" in task["input"].values
        else (x[..., 0] - x[..., 1]).mean(1)
    )
    assert task["targets"].values[:, 39 + n, 0] == pytest.approx(value)


def test_memory_is_told_in_s_and_steps(task):
    assert task.attrs["memory"] == pytest.approx(task.attrs["memory_steps"] * task.attrs["dt"])
    assert task["window"].attrs["units"] == "s"
    assert float(task["window"][-1]) == pytest.approx(task.attrs["memory"])
    assert task.attrs["memory_steps"] == (60 if "load" in task["input"].values else 20)


def test_best_prediction_of_a_mean_in_closed_form():
    # White steps: m of M tell m / M.
    assert linear_r2(np.array([2.0, 0, 0, 0])) == pytest.approx([0.25, 0.5, 0.75, 1.0])
    # Steps that are all the same: one tells all. The tiny rest keeps the matrix regular.
    assert linear_r2(np.array([1 + 1e-9, 1, 1])) == pytest.approx([1.0, 1.0, 1.0])
    # Two steps with correlation r: one tells (1 + r) / 2.
    assert linear_r2(np.array([1.0, 0.4])) == pytest.approx([0.7, 1.0])


def test_window_mean_looks_back_alone():
    x = np.arange(6.0)[None]
    assert window_mean(x, 3).tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_emg_has_the_covariance_that_it_tells():
    emg = nr.simulate.simulate_emg(4000, rng=1, **EMG)
    x = emg["inputs"].values.reshape(4000, 100, 2)
    x = x - x.mean()
    found = [(x[:, : 100 - k] * x[:, k:]).mean() for k in (0, 1, 5, 15)]
    begins, ends = 1 - np.exp(-0.1), 1 - np.exp(-0.2)
    p = begins / (begins + ends)
    square, mean = p + (1 - p) * 0.01, p + (1 - p) * 0.1
    far = 2 / np.pi * p * (1 - p) * 0.81 * (1 - begins - ends) ** np.array([1, 5, 15])
    # 8,000 series of about 12 independent stretches: the sd of a covariance is .002.
    assert found == pytest.approx([square - 2 / np.pi * mean**2, *far], abs=0.006)
    # What a shorter window tells is formed from that covariance, at all lags of the memory.
    given = 2 / np.pi * p * (1 - p) * 0.81 * (1 - begins - ends) ** np.arange(20)
    given[0] = square - 2 / np.pi * mean**2
    assert emg["linear_r2"].values == pytest.approx(linear_r2(given))
    # Raw EMG is as large as its drive: the mean square of the rectified is that of the drive.
    assert float((emg["inputs"] ** 2).mean()) == pytest.approx(square, rel=0.03)


def test_gait_comes_round_once_a_stride_and_drifts_as_told():
    gait = nr.simulate.simulate_gait(400, 4.0, 0.01, memory=1.0, stride=0.8, rng=2)
    strikes = (gait["inputs"].sel(input="load") != 0).sum("time")
    # 4 s hold 5 strides, give or take the phase at the start and the drift.
    assert float(strikes.mean()) == pytest.approx(5.0, abs=0.15)
    phase = gait["phase"].values
    ahead = phase[:, 100:] - phase[:, :-100] - 2 * np.pi / 0.8
    # 1,600 independent seconds: the sd of an sd is 2 %.
    assert ahead.std() == pytest.approx(0.3, rel=0.08)
    steady = nr.simulate.simulate_gait(
        3, 4.0, 0.01, memory=1.0, stride=0.8, phase_drift=0.0, noise_sd=0.0, rng=2
    )
    # Without drift it is periodic: 80 steps on, each joint is where it was.
    joints = steady["inputs"].values[..., :3]
    assert np.allclose(joints[:, 80:], joints[:, :-80])
    # Loads know nothing of the phase.
    load = gait["inputs"].sel(input="load").values
    seen = load[load != 0]
    assert abs(seen.mean()) < 0.1
    assert seen.std() == pytest.approx(1.0, abs=0.08)


def test_the_same_seed_gives_the_same_task(task):
    make, given = next(
        t for name, t in TASKS.items() if (name == "gait") == ("load" in task["input"].values)
    )
    assert make(100, rng=0, **given).identical(task)
    assert not make(100, rng=1, **given)["inputs"].equals(task["inputs"])


@pytest.mark.parametrize("name", sorted(TASKS))
def test_bad_input_is_refused(name):
    make, given = TASKS[name]
    with pytest.raises(DataError, match="A memory that a trial holds was needed"):
        make(2, **{**given, "memory": 30.0, "duration": 3.0})
    for dt in (0.0, -0.01, np.nan):
        with pytest.raises(DataError, match="dt"):
            make(2, **{**given, "dt": dt})
    with pytest.raises(DataError, match="2 to 1000 steps"):
        make(2, **{**given, "memory": given["dt"]})
    with pytest.raises(DataError, match="n_trials"):
        make(0, **given)
    with pytest.raises(DataError, match="all trials together"):
        make(10**9, **given)
    with pytest.raises(KindError):
        make(2, **{**given, "memory": "long"})
    with pytest.warns(UnitWarning, match="ms"):
        make(1, **{**given, "dt": 1.0, "memory": 150.0, "duration": 200.0, **(
            {"stride": 20.0} if name == "gait" else {"burst": 20.0}
        )})  # fmt: skip


def test_shares_and_strides_that_cannot_be():
    with pytest.raises(DataError, match="8 steps or more"):
        nr.simulate.simulate_gait(2, stride=0.05)
    with pytest.raises(DataError, match="phase_drift"):
        nr.simulate.simulate_gait(2, phase_drift=-1.0)
    with pytest.raises(DataError, match="rest"):
        nr.simulate.simulate_emg(2, rest=1.5)
    with pytest.raises(DataError, match="burst"):
        nr.simulate.simulate_emg(2, burst=0.0)


def test_cells_of_one_size_for_any_task():
    emg = nr.simulate.simulate_emg(4, rng=0)
    made = nr.compare.cells_of_size(emg, n_weights=1500)
    sizes = [sum(p.numel() for p in m.parameters()) for m in made]
    # A Transformer grows by four units.
    assert np.allclose(sizes[:4], 1500, rtol=0.05)
    assert sizes[4] == pytest.approx(1500, rel=0.35)
    assert made[4].memory() == pytest.approx(emg.attrs["memory"])
    assert [m.n_input for m in made] == [2] * 5
    timed = nr.compare.cells_of_size(emg, ["gru"], start="chrono", memory=0.5)[0]
    # Drawn uniformly from two steps to the memory: 16 units reach past a half of it.
    assert 0.25 < timed.initial_tau.max() <= 0.5
    # A seed of its own for each cell, whatever stands beside it.
    alone = nr.compare.cells_of_size(emg, ["lstm"], n_weights=1500)[0]
    for p, q in zip(alone.parameters(), made[1].parameters(), strict=True):
        assert p.equal(q)


def test_cells_of_size_refuses():
    emg = nr.simulate.simulate_emg(4, rng=0)
    with pytest.raises(KindError, match="Windows with inputs and targets"):
        nr.compare.cells_of_size(emg["inputs"])
    with pytest.raises(KindError, match="without inputs"):
        nr.compare.cells_of_size(emg.drop_vars("inputs"))
    with pytest.raises(NameUnknownError, match="lstm"):
        nr.compare.cells_of_size(emg, ["lsmt"])
    with pytest.raises(DataError, match="each once"):
        nr.compare.cells_of_size(emg, ["lstm", "lstm"])
    with pytest.raises(DataError, match="that a window holds"):
        nr.compare.cells_of_size(emg, memory=1.5)
    bare = emg.drop_attrs(deep=False).assign_attrs(dt=0.005)
    with pytest.raises(DataError, match="do not carry it"):
        nr.compare.cells_of_size(bare)
