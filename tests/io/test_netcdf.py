import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import FileFormatError, KindError, UnitError
from neurornn.data import add_spikes, from_traces, set_intervals
from neurornn.io import netcdf, read_netcdf, read_zarr, write_netcdf, write_saved


@pytest.fixture
def recording(rng):
    traces = from_traces(rng.random((200, 3)), sampling_rate=30.0, indicator="GCaMP6s")
    traces["dff"].values[5, 1] = np.nan
    spikes = add_spikes(traces, [[0.5, 1.5], [], [2.0]])
    return set_intervals(spikes, [0.0, 3.0], [2.5, 6.0]).assign_attrs(source="a.nwb", format="NWB")


def test_a_recording_comes_back_the_same(tmp_path, recording):
    write_netcdf(recording, tmp_path / "a.nc")
    xr.testing.assert_identical(read_netcdf(tmp_path / "a.nc"), recording)


def test_every_kind_of_attribute_and_value_comes_back(tmp_path):
    table = xr.Dataset(
        {
            "tau": ("unit", [0.5, np.nan], {"units": "s", "method": None, "fixed": True}),
            "lag": ("unit", [1.0, 2.0], {"units": "seconds"}),
            "status": ("unit", np.array(["converged", "at bound"])),
            "as_objects": ("unit", np.array(["a", "µ"], dtype=object)),
            "is_stable": ("unit", np.array([True, False])),
            "n": ("unit", np.array([1, 2], dtype=np.int32)),
            "scalar": 3.0,
        },
        attrs={
            "none": None,
            "yes": True,
            "no": np.False_,
            "text": "µm",
            "looks": "json: not",
            "empty": "",
            "list": ["a", "b"],
            "numbers": np.array([1.0, 2.0]),
            "one": np.float64(2.5),
            "nested": {"a": [1, None]},
        },
    )
    write_netcdf(table, tmp_path / "a.nc")
    again = read_netcdf(tmp_path / "a.nc")
    assert again["tau"].attrs == {"units": "s", "method": None, "fixed": True}
    # Neither "s" nor "seconds" was taken for a timedelta.
    assert again["tau"].dtype == again["lag"].dtype == np.float64
    np.testing.assert_array_equal(again["tau"], [0.5, np.nan])
    assert again["status"].values.tolist() == ["converged", "at bound"]
    assert again["status"].dtype.kind == "U"
    assert again["as_objects"].values.tolist() == ["a", "µ"]
    assert again["is_stable"].dtype == bool
    assert again["n"].dtype == np.int32
    attrs = {k: v for k, v in again.attrs.items() if k not in ("source", "format", "numbers")}
    assert attrs == {
        "none": None,
        "yes": True,
        "no": False,
        "text": "µm",
        "looks": "json: not",
        "empty": "",
        "list": ["a", "b"],
        "one": 2.5,
        "nested": {"a": [1, None]},
    }
    np.testing.assert_array_equal(again.attrs["numbers"], [1.0, 2.0])


def test_writing_does_not_touch_the_table(tmp_path, recording):
    before = recording.copy(deep=True).assign_attrs(flag=None)
    recording.attrs["flag"] = None
    write_netcdf(recording, tmp_path / "a.nc")
    xr.testing.assert_identical(recording, before)
    assert recording.attrs["flag"] is None


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        (("t", np.array([1, 2], dtype="m8[s]")), "timedeltas"),
        (("t", np.array([1, "a"], dtype=object)), "Python objects"),
        (("t", np.array([1j, 2])), "complex"),
    ],
)
def test_what_netcdf_cannot_hold_is_refused(tmp_path, variable, text):
    with pytest.raises(KindError, match=text):
        write_netcdf(xr.Dataset({"x": variable}), tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


def test_a_multiindex_is_refused(tmp_path):
    table = xr.Dataset({"x": (("a", "b"), np.eye(2))}, coords={"a": [1, 2], "b": [1, 2]})
    with pytest.raises(KindError, match="MultiIndex"):
        write_netcdf(table.stack(ab=("a", "b")), tmp_path / "a.nc")


def test_values_stay_on_disk_where_asked(tmp_path, recording):
    write_netcdf(recording, tmp_path / "a.nc")
    lazy = read_netcdf(tmp_path / "a.nc", chunks={"time": 50})
    assert lazy["dff"].chunks[0] == (50, 50, 50, 50)
    np.testing.assert_array_equal(lazy["dff"].values, recording["dff"].values)
    lazy.close()


def test_large_tables_are_streamed(tmp_path, recording, monkeypatch):
    monkeypatch.setattr(netcdf, "_IN_MEMORY", 0)
    write_netcdf(recording.chunk(time=20), tmp_path / "a.nc")
    xr.testing.assert_identical(read_netcdf(tmp_path / "a.nc"), recording)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr(tmp_path, recording, version):
    plain = recording.copy()
    plain["dff"].attrs["indicator"] = "GCaMP6s"
    plain.to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=version == 2)
    again = read_zarr(tmp_path / "a.zarr")
    xr.testing.assert_equal(again, recording)
    lazy = read_zarr(tmp_path / "a.zarr", chunks={})
    assert lazy["dff"].chunks is not None


def test_classic_netcdf(tmp_path, rng):
    table = from_traces(rng.random((20, 2)), sampling_rate=10)
    table["dff"].attrs.pop("indicator", None)
    table.to_netcdf(tmp_path / "a.nc", engine="scipy")
    np.testing.assert_array_equal(read_netcdf(tmp_path / "a.nc")["dff"], table["dff"])


def test_a_time_axis_in_milliseconds_is_converted(tmp_path):
    table = xr.Dataset({"dff": ("time", np.arange(4.0))}, {"time": [100.0, 200, 300, 400]})
    table["time"].attrs["units"] = "ms"
    write_netcdf(table, tmp_path / "a.nc")
    again = read_netcdf(tmp_path / "a.nc")
    np.testing.assert_allclose(again["time"], [0.1, 0.2, 0.3, 0.4])
    assert again["time"].attrs["units"] == "s"


@pytest.mark.parametrize("unit", ["s", None, "frame"])
def test_a_time_axis_in_another_unit_is_refused(tmp_path, unit):
    table = xr.Dataset({"dff": ("time", np.arange(4.0))}, {"time": [100.0, 200, 300, 400]})
    if unit:
        table["time"].attrs["units"] = unit
    write_netcdf(table, tmp_path / "a.nc")
    with pytest.raises(UnitError, match="ms"):
        read_netcdf(tmp_path / "a.nc")


def test_a_time_axis_of_dates_is_refused(tmp_path):
    dates = np.array(["2020-01-01", "2020-01-02"], dtype="M8[ns]")
    xr.Dataset({"dff": ("time", [1.0, 2.0])}, {"time": dates}).to_netcdf(
        tmp_path / "a.nc", engine="h5netcdf"
    )
    with pytest.raises(UnitError, match="datetime64"):
        read_netcdf(tmp_path / "a.nc")


def test_time_comes_before_unit(tmp_path):
    table = xr.Dataset({"dff": (("unit", "time"), np.zeros((2, 4)))}, {"time": np.arange(4) / 10})
    write_netcdf(table, tmp_path / "a.nc")
    assert read_netcdf(tmp_path / "a.nc")["dff"].dims == ("time", "unit")


def test_a_saved_result_is_no_recording(tmp_path):
    write_saved(tmp_path / "a.nc", kind="Kinetics", settings={})
    with pytest.raises(FileFormatError, match=r'nr\.load\("a\.nc"\)'):
        read_netcdf(tmp_path / "a.nc")
