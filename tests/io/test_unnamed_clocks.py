"""Clocks under many names and none, and whatever else states a rate."""

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr

import neurornn as nr
from neurornn._core.errors import UnitError
from neurornn.io.clocks import is_interval, is_time, rises_evenly, statement, unit_in_name

N = 60
TIME = np.arange(N) / 30
F = np.random.default_rng(0).normal(size=(N, 2)).round(4)


def table(path, title, times=TIME):
    rows = "".join(f"{t:.6f},{v}\n" for t, v in zip(times, F[:, 0], strict=True))
    path.write_text(f"{title},a\n{rows}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name",
    ["time..s.", "Time/s", "Time_in_seconds", "Time since start (s)", '"Time, s"', "timeSec"]
    + [
        "time.s",
        "ts",
        "elapsed",
        "system_time",
        "Time.since.start..s.",
        "elapsed_s",
        "frame.time",
    ],
)
def test_names_of_clocks_in_s(tmp_path, name):
    recording = nr.open(table(tmp_path / "a.csv", name))
    assert recording["unit"].values.tolist() == ["a"]
    assert recording["fluorescence"].attrs["sampling_rate"] == pytest.approx(30, rel=1e-4)
    with pytest.raises(UnitError, match=r"10 Hz .*30 Hz"):
        nr.open(tmp_path / "a.csv", sampling_rate=10)


@pytest.mark.parametrize(
    ("name", "factor"),
    [("time..ms.", 1e3), ("Time/ms", 1e3), ("time (\u00b5s)", 1e6), ("time (\u03bcs)", 1e6)]
    + [("timeMs", 1e3), ("Time in ms", 1e3), ("time_us", 1e6)],
)
def test_names_of_clocks_in_other_units(tmp_path, name, factor):
    recording = nr.open(table(tmp_path / "a.csv", name, TIME * factor))
    np.testing.assert_allclose(recording["time"], TIME, atol=1e-6)


@pytest.mark.parametrize("name", ["x/time_on", "times_seen", "ts_on", "time since reward", "tone"])
def test_names_of_no_clock(name):
    assert not is_time(name)


def test_units_in_names():
    assert unit_in_name("results/time") is None and is_time("results/time")
    assert [unit_in_name(n) for n in ("times", "timeSec", "Time, min")] == [None, "Sec", "min"]


@pytest.mark.parametrize("name", ["x", "runtime_x", "col0", "clock_a"])
def test_a_column_that_rises_evenly_is_no_trace(tmp_path, name):
    with pytest.raises(UnitError, match=f"column '{name}' of a.csv rises evenly.*call it time"):
        nr.open(table(tmp_path / "a.csv", name), sampling_rate=10)


def test_clocks_without_a_name_are_no_traces(tmp_path):
    both = np.c_[TIME, F]
    np.savetxt(tmp_path / "a.csv", both, delimiter=",")
    np.save(tmp_path / "a.npy", both)
    np.save(tmp_path / "b.npy", both.T)
    np.savez(tmp_path / "a.npz", m=both)
    scipy.io.savemat(tmp_path / "a.mat", {"m": both})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["m"] = both
    # The first column of a table is where a clock is looked for.
    assert nr.open(tmp_path / "a.csv")["fluorescence"].attrs["sampling_rate"] == pytest.approx(30)
    for name in ("a.npy", "b.npy", "a.npz", "a.mat", "a.h5"):
        with pytest.raises(UnitError, match=r"olumn .*rises evenly, 0, 0.0333.*from_traces"):
            nr.open(tmp_path / name, sampling_rate=10)


def test_what_rises_evenly(rng):
    assert rises_evenly(TIME) and rises_evenly(TIME.round(2)) and rises_evenly(np.arange(10))
    assert rises_evenly(np.delete(TIME, [20, 21, 40]))
    assert not rises_evenly(np.arange(9))
    assert not rises_evenly(np.cumsum(rng.exponential(size=200)))
    assert not rises_evenly(-TIME) and not rises_evenly(np.cumsum(rng.random(200)) ** 2)
    assert not rises_evenly(1 - np.exp(-np.arange(100) / 20))


def test_comments_that_contradict_each_other(tmp_path):
    rows = "".join(f"{a},{b}\n" for a, b in F)
    path = tmp_path / "a.csv"
    path.write_text(f"# fs: 100\n# fs: 30\na,b\n{rows}")
    with pytest.raises(UnitError, match=r"100 Hz \(fs\) and 30 Hz \(fs in line 2\)"):
        nr.open(path)
    path.write_text(f"a,b\n{rows}# fs: 100\n{rows}# dt = 0.1\n")
    with pytest.raises(UnitError, match=r"100 Hz \(fs\) and 10 Hz \(1/dt\)"):
        nr.open(path)
    path.write_text(
        "time,a\n# fs: 100\n"
        + "".join(f"{t:.5f},{v}\n" for t, v in zip(TIME, F[:, 0], strict=True))
    )
    with pytest.raises(UnitError, match=r"100 Hz \(fs\) and (30|29.9999) Hz \(time\)"):
        nr.open(path)


@pytest.mark.parametrize(
    "remark",
    ["frame rate: 30 Hz", "fs: 30 # hz", "fps = 30 fps", "dt: 0.033333", "frame_period: 33.333 ms"]
    + ["Frame interval (ms): 33.333", "sampling_interval = 0.033333 s"],
)
def test_comments_that_state_a_rate(tmp_path, remark):
    path = tmp_path / "a.csv"
    path.write_text(f"# {remark}\na,b\n0.1,0.2\n0.3,0.4\n")
    assert nr.open(path)["fluorescence"].attrs["sampling_rate"] == pytest.approx(30, rel=1e-4)
    with pytest.raises(UnitError, match="20 Hz"):
        nr.open(path, sampling_rate=20)


@pytest.mark.parametrize(
    "name", ["dt", "frame_period", "frame_interval", "sampling_interval", "ts"]
)
def test_intervals_are_statements_of_a_rate(tmp_path, name):
    np.savez(tmp_path / "a.npz", dff=F, **{name: 0.1})
    scipy.io.savemat(tmp_path / "a.mat", {"dff": F, name: 0.1})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dff"] = F
        file["dff"].attrs[name] = 0.1
    dataset = xr.Dataset({"dff": (("time", "unit"), F)}, {"unit": [0, 1]}, {name: 0.1})
    dataset.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for suffix in ("npz", "mat", "h5", "nc"):
        with pytest.raises(UnitError, match=rf"30 Hz .*10 Hz \(1/(attribute )?{name}\)"):
            nr.open(tmp_path / f"a.{suffix}", sampling_rate=30)
        if suffix != "nc":
            assert nr.open(tmp_path / f"a.{suffix}")["dff"].attrs["sampling_rate"] == 10


def test_intervals_in_ms_and_arrays_of_them(tmp_path):
    np.savez(tmp_path / "a.npz", dff=F, dt=33.3)
    with pytest.raises(UnitError, match=r"dt is 33.3, .*call it dt_ms"):
        nr.open(tmp_path / "a.npz")
    assert statement("dt_ms", 20.0) == {"1/dt_ms": 50.0}
    assert statement("dt", np.diff(TIME)) == {} == statement("gain", 2.0)
    assert not is_interval("dts") and not is_interval("interval")
    np.savez(tmp_path / "a.npz", dff=F, ts=np.arange(N) / 10)
    with pytest.raises(UnitError, match=r"30 Hz .*10 Hz \(ts\)"):
        nr.open(tmp_path / "a.npz", sampling_rate=30)
