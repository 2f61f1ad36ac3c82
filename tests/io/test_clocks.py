import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
    ThreePartError,
    UnitError,
)
from neurornn.io.clocks import (
    agreed_rate,
    is_counting,
    is_rate,
    is_time,
    mean_rate,
    one_rate,
    plain,
    rates_in,
    seconds_in,
    unit_in_name,
)

N = 60


def write_npz(path, arrays):
    np.savez(path, **arrays)


def write_mat(path, arrays):
    scipy.io.savemat(path, arrays)


def write_h5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value


def write_csv(path, arrays):
    arrays = {k: np.asarray(v) for k, v in arrays.items()}
    lines = [f"# {k}: {v}" for k, v in arrays.items() if not v.ndim]
    columns = {k: v.reshape(len(v), -1) for k, v in arrays.items() if v.ndim}
    names = [
        k if v.shape[1] == 1 else f"{k}{j}" for k, v in columns.items() for j in range(v.shape[1])
    ]
    lines.append(",".join(names))
    rows = np.concatenate(list(columns.values()), axis=1)
    lines += [",".join(f"{x:.9g}" for x in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def write_nc(path, arrays):
    dff = xr.DataArray(arrays["dff"], dims=("time", "unit"))
    coords = {"time": arrays["time"]} if "time" in arrays else {}
    attrs = {k: v for k, v in arrays.items() if k not in ("dff", "time")}
    xr.Dataset({"dff": dff}, coords, attrs=attrs).to_netcdf(path, engine="h5netcdf")


FORMATS = {
    "npz": write_npz,
    "mat": write_mat,
    "h5": write_h5,
    "csv": write_csv,
    "nc": write_nc,
}


@pytest.fixture(params=sorted(FORMATS))
def make(request, tmp_path, rng):
    def write(**arrays):
        path = tmp_path / f"a.{request.param}"
        FORMATS[request.param](path, {"dff": rng.random((N, 2)), **arrays})
        return path

    return write


@pytest.mark.parametrize("first", [0, 1, 17])
def test_frame_numbers_are_no_seconds_where_a_rate_is_stated(make, first):
    path = make(time=np.arange(N) + first, fs=30.0)
    with pytest.raises(UnitError, match=rf"counts {first}, .*1 Hz, and .*fs says 30 Hz.*by 30"):
        nr.open(path)


def test_frame_numbers_are_no_seconds_where_a_rate_is_passed(make):
    with pytest.raises(UnitError, match=r"counts 0, 1, 2.*sampling_rate=30 Hz"):
        nr.open(make(time=np.arange(N)), sampling_rate=30)


def test_a_time_that_counts_has_to_be_confirmed(make):
    path = make(time=np.arange(N))
    with pytest.raises(UnitError, match=r"no frame rate is stated.*sampling_rate=1\.0"):
        nr.open(path)
    recording = nr.open(path, sampling_rate=1.0)
    name = next(n for n in ("dff", "fluorescence") if n in recording)
    np.testing.assert_array_equal(recording["time"], np.arange(N))
    assert recording[name].attrs.get("sampling_rate", 1.0) == 1.0


def test_frame_numbers_with_a_gap_are_frame_numbers(make):
    time = np.concatenate([np.arange(30), 100 + np.arange(N - 30)])
    with pytest.raises(UnitError, match="counts 0, 1, 2"):
        nr.open(make(time=time, fs=30.0))


@pytest.mark.parametrize("passed", [None, 20.3, 30.0])
def test_times_and_a_rate_have_to_agree(make, passed):
    path = make(time=np.arange(1, N + 1) / 20, frame_rate=20.0)
    if passed == 30:
        with pytest.raises(UnitError, match=r"30 Hz .* 20 Hz"):
            nr.open(path, sampling_rate=passed)
        return
    recording = nr.open(path, sampling_rate=passed)
    # Times win over a rate that agrees with them to 2 %.
    np.testing.assert_allclose(np.diff(recording["time"]), 0.05)


def test_a_rate_in_the_file_and_times_that_contradict_it(make):
    with pytest.raises(UnitError, match=r"30 Hz \(.*fs\) and 20 Hz \(time\)"):
        nr.open(make(time=np.arange(N) / 20, fs=30.0))


def test_a_rate_in_the_file_and_one_that_is_passed(make):
    with pytest.raises(UnitError, match=r"10 Hz \(sampling_rate=\) and 30 Hz \(.*fs\)"):
        nr.open(make(fs=30.0, time=np.arange(N) / 30), sampling_rate=10)


def test_two_rates_in_the_file(make):
    path = make(fs=30.0, frame_rate=10.0, time=np.arange(N) / 30)
    with pytest.raises(UnitError, match=r"(?=.*30 Hz)(?=.*10 Hz)(?=.*frame_rate)"):
        nr.open(path)


@pytest.mark.parametrize("bad", [0.0, -30.0, np.nan, np.inf, 2e6, 1e-3])
def test_a_rate_in_the_file_that_is_none(make, bad):
    # Refused even where the frame times are right: one of the two is damaged.
    with pytest.raises((UnitError, DataError), match="fs of a"):
        nr.open(make(fs=bad, time=np.arange(N) / 30))


@pytest.mark.parametrize("bad", [0.0, -30.0, np.nan, np.inf, 2e6, "30", "fast", [30.0, 10.0]])
def test_a_rate_that_is_passed_and_is_none(make, bad):
    with pytest.raises((UnitError, DataError, KindError), match="sampling_rate"):
        nr.open(make(time=np.arange(N) / 30), sampling_rate=bad)


def test_times_in_milliseconds(make):
    with pytest.raises(UnitError, match="ms"):
        nr.open(make(time=np.arange(N) * 33.3))
    with pytest.raises(UnitError, match="ms"):
        nr.open(make(time=np.arange(N) * 33.3, fs=30.0))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_stamp_that_is_lost(make, bad):
    time = np.arange(N) / 30
    time[7] = bad
    with pytest.raises(ThreePartError, match="finite"):
        nr.open(make(time=time, fs=30.0))


def test_times_that_run_backwards(make):
    time = np.arange(N) / 30
    time[9] = time[3]
    with pytest.raises(DataError, match="does not increase"):
        nr.open(make(time=time, fs=30.0))


@pytest.mark.parametrize("kind", ["npz", "mat", "h5"])
@pytest.mark.parametrize("length", [1, N - 1, N + 1, 3 * N])
def test_times_of_another_length(tmp_path, rng, kind, length):
    path = tmp_path / f"a.{kind}"
    arrays = {"dff": rng.random((N, 2)), "time": np.arange(length) / 30, "fs": 30.0}
    FORMATS[kind](path, arrays)
    with pytest.raises(ShapeError, match=rf"time of a.* has {length} stamps and dff {N} frames"):
        nr.open(path)
    with pytest.raises(ShapeError, match=rf"{length} stamps"):
        nr.open(path, sampling_rate=30)


@pytest.mark.parametrize("kind", ["npz", "mat", "h5"])
def test_the_times_that_fit_are_taken(tmp_path, rng, kind):
    path = tmp_path / f"a.{kind}"
    time = np.arange(1, N + 1) / 25
    FORMATS[kind](path, {"dff": rng.random((N, 2)), "t": np.arange(7.0), "frame_times": time})
    np.testing.assert_allclose(nr.open(path)["time"], time)


@pytest.mark.parametrize("kind", ["npz", "mat", "h5"])
def test_several_rates_in_one_variable(tmp_path, rng, kind):
    path = tmp_path / f"a.{kind}"
    FORMATS[kind](path, {"dff": rng.random((N, 2)), "fs": np.array([30.0, 10.0, 30.0])})
    with pytest.raises(UnitError, match="2 different values: 10, 30"):
        nr.open(path)
    FORMATS[kind](path, {"dff": rng.random((N, 2)), "fs": np.array([30.0, 30.01])})
    assert nr.open(path)["dff"].attrs["sampling_rate"] == pytest.approx(30, rel=1e-3)


@pytest.mark.parametrize("kind", ["npz", "mat", "h5"])
def test_a_rate_as_text(tmp_path, rng, kind):
    path = tmp_path / f"a.{kind}"
    FORMATS[kind](path, {"dff": rng.random((N, 2)), "fs": "30", "time": np.arange(N) / 30})
    with pytest.raises(UnitError, match="not a number"):
        nr.open(path)


@pytest.mark.parametrize("kind", ["npz", "mat", "h5"])
def test_times_in_a_unit_that_their_name_states(tmp_path, rng, kind):
    path = tmp_path / f"a.{kind}"
    FORMATS[kind](path, {"dff": rng.random((N, 2)), "time_ms": np.arange(1, N + 1) * 50.0})
    np.testing.assert_allclose(nr.open(path)["time"], np.arange(1, N + 1) * 0.05)


def test_a_number_called_t_is_no_clock(tmp_path, rng):
    scipy.io.savemat(tmp_path / "a.mat", {"dff": rng.random((N, 2)), "fs": 20.0, "t": 7})
    assert nr.open(tmp_path / "a.mat")["dff"].attrs["sampling_rate"] == 20


def test_times_as_dates_are_refused(tmp_path, rng):
    dates = np.datetime64("2024-01-01") + np.arange(N).astype("m8[ms]")
    np.savez(tmp_path / "a.npz", dff=rng.random((N, 2)), time=dates, fs=30.0)
    with pytest.raises(UnitError, match="datetime64"):
        nr.open(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", dff=rng.random((N, 2)), time=np.array(["x"] * N), fs=30.0)
    with pytest.raises(UnitError, match="as numbers"):
        nr.open(tmp_path / "b.npz")


def test_clocks_of_other_folders_are_of_other_signals(tmp_path, rng):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["imaging/dff"], file["imaging/fs"] = rng.random((N, 2)), 20.0
        file["behaviour/time"], file["behaviour/fs"] = np.arange(1000) / 100, 100.0
    assert nr.open(tmp_path / "a.h5")["dff"].attrs["sampling_rate"] == 20


@pytest.mark.parametrize("where", ["/", "results", "results/dff"])
def test_attributes_state_a_rate_too(tmp_path, rng, where):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["results/dff"] = rng.random((N, 2))
        file[where].attrs["sampling_rate"] = 20.0
    assert nr.open(tmp_path / "a.h5")["dff"].attrs["sampling_rate"] == 20
    with pytest.raises(UnitError, match=r"30 Hz .* 20 Hz \(attribute sampling_rate\)"):
        nr.open(tmp_path / "a.h5", sampling_rate=30)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["results/fs"] = 10.0
    with pytest.raises(UnitError, match=r"10 Hz .* 20 Hz|20 Hz .* 10 Hz"):
        nr.open(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["results/dff"] = rng.random((N, 2))
        file[where].attrs["fs"] = "thirty"
    with pytest.raises(UnitError, match=r"attribute fs of b\.h5 is .*thirty"):
        nr.open(tmp_path / "b.h5")


def test_firing_rates_are_no_frame_rate(tmp_path, rng):
    rate = rng.random((N, 2))
    np.savez(tmp_path / "a.npz", rate=rate, fs=20.0)
    recording = nr.open(tmp_path / "a.npz", variable="rate")
    np.testing.assert_array_equal(recording["rate"], rate)
    np.savez(tmp_path / "b.npz", dff=rng.random((N, 3)), rate=np.array([1.0, 2.0, 7.0]), fs=20.0)
    assert nr.open(tmp_path / "b.npz")["dff"].attrs["sampling_rate"] == 20


def test_trials_have_one_rate(tmp_path, rng):
    def trials(rates):
        bag = {"n_trials": len(rates)}
        for k, rate in enumerate(rates):
            bag |= {f"dff_{k}": rng.random(N), f"t_s_{k}": np.arange(1, N + 1) / rate}
        return bag

    np.savez(tmp_path / "a.npz", **trials([20, 20.1]), fs=20.0)
    assert nr.open(tmp_path / "a.npz")["dff"].sizes["time"] == 2 * N
    np.savez(tmp_path / "b.npz", **trials([20, 30]))
    with pytest.raises(UnitError, match=r"first trial of b\.npz has 20 Hz and trial 2 30 Hz"):
        nr.open(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", **trials([20, 20]), fs=30.0)
    with pytest.raises(UnitError, match=r"30 Hz \(fs\) and 20 Hz \(time of trial 1\)"):
        nr.open(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", **trials([1, 1]), fs=30.0)
    with pytest.raises(UnitError, match="counts 1, 2, 3"):
        nr.open(tmp_path / "d.npz")
    np.savez(tmp_path / "e.npz", **{**trials([20, 20, 20]), "n_trials": 2})
    with pytest.raises(ThreePartError, match=r"n_trials of e\.npz is 2 .* dff_2"):
        nr.open(tmp_path / "e.npz")


def test_a_variable_and_the_axis_of_netcdf_have_to_agree(tmp_path, rng):
    table = xr.Dataset(
        {"dff": (("time", "unit"), rng.random((N, 2)), {"sampling_rate": 30.0})},
        {"time": ("time", np.arange(N) / 20, {"units": "s"})},
    )
    table.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(UnitError, match=r"30 Hz \(sampling_rate of dff\) and 20 Hz \(time\)"):
        nr.open(tmp_path / "a.nc")
    table.to_zarr(tmp_path / "a.zarr", zarr_format=2)
    with pytest.raises(UnitError, match=r"30 Hz .* 20 Hz"):
        nr.open(tmp_path / "a.zarr")


def test_a_bin_width_and_the_axis_have_to_agree(tmp_path, rng):
    counts = xr.DataArray(rng.random((N, 2)), dims=("time", "unit"), attrs={"bin_size": 0.1})
    time = ("time", np.arange(N) / 20, {"units": "s"})
    xr.Dataset({"counts": counts}, {"time": time}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(UnitError, match=r"10 Hz \(bin_size of counts\) and 20 Hz \(time\)"):
        nr.open(tmp_path / "a.nc")


def test_a_recording_without_an_axis_takes_the_rate(tmp_path, rng):
    dff = xr.DataArray(rng.random((N, 2)), dims=("time", "unit"))
    xr.Dataset({"dff": dff}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    recording = nr.open(tmp_path / "a.nc", sampling_rate=20)
    np.testing.assert_allclose(recording["time"], np.arange(1, N + 1) / 20)


def test_an_axis_that_says_seconds_may_count(tmp_path, rng):
    table = xr.Dataset(
        {"dff": (("time", "unit"), rng.random((N, 2)))},
        {"time": ("time", np.arange(N), {"units": "s"})},
    )
    table.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    np.testing.assert_array_equal(nr.open(tmp_path / "a.nc")["time"], np.arange(N))


@pytest.mark.parametrize(
    "name",
    ["time", "t", "Time (ms)", "time_s", "fluo_time", "Frame times", "a/timestamps", "seconds"]
    + ["elapsed_time", "time [frames]"],
)
def test_names_of_frame_times(name):
    assert is_time(name)


@pytest.mark.parametrize(
    "name", ["timer", "reaction_time", "spike_times", "tau", "x", "mst", "tmin", "ts_on"]
)
def test_names_of_other_things(name):
    assert not is_time(name)


def test_names_and_units():
    assert [unit_in_name(n) for n in ("time", "time_ms", "t [s]", "time (frames)")] == [
        None,
        "ms",
        "s",
        "frames",
    ]
    assert [is_rate(n) for n in ("fs", "Fs (Hz)", "a/frameRate", "sampling rate", "rates")] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert plain(" Cell No. ") == "cellno"
    assert [seconds_in(u) for u in ("s", "ms", "Seconds", "min")] == [1, 1e-3, 1, 60]


@pytest.mark.parametrize("unit", ["frames", "fortnight", "", 5, None])
def test_units_that_are_no_time(unit):
    with pytest.raises(NameUnknownError, match="unit of time"):
        seconds_in(unit)


def test_one_rate_of_many_forms():
    for value in (30, 30.0, np.float32(30), np.array([[30]]), np.full(5, 30)):
        assert one_rate(value, "fs") == 30
    for value in (None, [], "30", b"30", [30], np.array([]), {"a": 1}, True, 30j, np.nan):
        with pytest.raises(ThreePartError, match="fs"):
            one_rate(value, "fs")


def test_agreed_rate_of_nothing_and_of_one_frame():
    assert agreed_rate({"fs": None}, source="a") is None
    assert agreed_rate({}, np.array([0.5]), source="a") is None
    assert agreed_rate({"fs": 30}, np.array([0.5]), source="a") == 30
    assert agreed_rate({"fs": 30, "attribute": 30.5}, source="a") == 30


def test_what_counts():
    assert is_counting(np.arange(5))
    assert is_counting(np.array([0, 1, 2, 9, 10, 11]))
    assert not is_counting(np.arange(5) + 0.5)
    assert not is_counting(np.arange(5) * 2)
    assert not is_counting(np.array([3.0]))
    assert mean_rate(np.arange(5) / 4) == pytest.approx(4)


def test_rates_in_a_bag():
    bag = {"fs": 1, "a/fs": 2, "b/fps": 3, "rate": np.ones((3, 2)), "sampling_rate": {"x": 1}}
    assert rates_in(bag) == {"fs": 1}
    assert rates_in(bag, near="a/dff") == {"fs": 1, "a/fs": 2}
