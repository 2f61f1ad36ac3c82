import gzip

import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import FileFormatError, UnitError
from neurornn.data import from_traces, spike_trains
from neurornn.io import read_delimited, write_csv


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def rows(step, n=20, factor=1.0):
    return "".join(f"{(k + 1) * step * factor:g},{k},{-k}\n" for k in range(n))


@pytest.mark.parametrize(
    "title", ["time", "t", "Time_s", "timestamp", "time (s)", "time [s]", "t_s"]
)
def test_time_columns_are_known_by_name(tmp_path, title):
    recording = read_delimited(write(tmp_path / "a.csv", f"{title},c1,c2\n" + rows(0.05)))
    assert recording["fluorescence"].sizes == {"time": 20, "unit": 2}
    assert recording["fluorescence"].attrs["sampling_rate"] == pytest.approx(20.0)
    assert list(recording["unit"].values) == ["c1", "c2"]
    np.testing.assert_array_equal(recording["fluorescence"].sel(unit="c2"), -np.arange(20.0))


@pytest.mark.parametrize("title", ["time_ms", "t (ms)", "time [msec]", "timestamps_ms"])
def test_a_header_that_says_milliseconds_is_converted(tmp_path, title):
    recording = read_delimited(
        write(tmp_path / "a.csv", f"{title},c1,c2\n" + rows(0.05, factor=1000))
    )
    np.testing.assert_allclose(recording["time"], np.arange(1, 21) * 0.05)


def test_milliseconds_under_a_bare_header_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", "time,c1,c2\n" + rows(0.05, factor=1000))
    with pytest.raises(UnitError, match='time_unit="ms"'):
        read_delimited(path)
    np.testing.assert_allclose(read_delimited(path, time_unit="ms")["time"][0], 0.05)


def test_two_units_of_time_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", "time_s,c1,c2\n" + rows(0.05))
    with pytest.raises(UnitError, match="'time_s'"):
        read_delimited(path, time_unit="ms")


def test_without_times_a_rate_is_needed(tmp_path):
    path = write(tmp_path / "a.csv", "c1,c2\n1,2\n3,4\n5,7\n")
    with pytest.raises(UnitError, match="3 rows of 2 columns"):
        read_delimited(path)
    recording = read_delimited(path, sampling_rate=10)
    np.testing.assert_allclose(recording["time"], [0.1, 0.2, 0.3])


def test_a_frame_column_is_no_trace(tmp_path):
    path = write(tmp_path / "a.csv", "frame,c1\n0,5\n1,6\n2,9\n")
    assert list(read_delimited(path, sampling_rate=10)["unit"].values) == ["c1"]


def test_no_header_tabs_spaces_and_gzip(tmp_path):
    plain = read_delimited(write(tmp_path / "a.csv", "1,2\n3,4\n5,7\n"), sampling_rate=10)
    assert plain["fluorescence"].values.tolist() == [[1, 2], [3, 4], [5, 7]]
    for name, text in (("a.tsv", "1\t2\n3\t4\n5\t7\n"), ("a.txt", "1 2\n3  4\n5 7\n")):
        other = read_delimited(write(tmp_path / name, text), sampling_rate=10)
        np.testing.assert_array_equal(other["fluorescence"], plain["fluorescence"])
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"1,2\n3,4\n5,7\n"))
    zipped = read_delimited(tmp_path / "b.csv.gz", sampling_rate=10)
    np.testing.assert_array_equal(zipped["fluorescence"], plain["fluorescence"])


def test_decimal_commas(tmp_path):
    path = write(tmp_path / "a.csv", "time_s;c1\n0,5;1,5\n1,0;2,5\n")
    recording = read_delimited(path)
    assert recording["fluorescence"].values.ravel().tolist() == [1.5, 2.5]


def test_an_empty_cell_is_a_missing_frame(tmp_path):
    path = write(tmp_path / "a.csv", "time,c1,c2\n0.1,1,2\n0.2,,3\n0.3,4,5\n")
    assert np.isnan(read_delimited(path)["fluorescence"].values[1, 0])


def test_dff_and_indicator_are_read_off_names(tmp_path):
    path = write(tmp_path / "GCaMP6s_dff.csv", "time,c1,c2\n" + rows(0.05))
    recording = read_delimited(path)
    assert recording["dff"].attrs["indicator"] == "GCaMP6s"
    assert recording.attrs == {"source": "GCaMP6s_dff.csv", "format": "text table"}


def test_a_list_of_spikes(tmp_path):
    path = write(tmp_path / "a.csv", "spike_time_ms,unit\n2000,b\n1000,a\n500,b\n")
    recording = read_delimited(path)
    assert [t.tolist() for t in spike_trains(recording)] == [[1.0], [0.5, 2.0]]
    assert recording["unit"].values.tolist() == ["a", "b"]


@pytest.mark.parametrize("text", ["name,tm\nabc,50\ndef,60\n", "one line of prose\nand another\n"])
def test_text_is_refused(tmp_path, text):
    with pytest.raises(FileFormatError, match="columns of text"):
        read_delimited(write(tmp_path / "a.csv", text), sampling_rate=10)


def test_only_a_time_column_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="nothing else"):
        read_delimited(write(tmp_path / "a.csv", "time\n0.1\n0.2\n"))


def test_time_that_runs_backwards_is_refused(tmp_path):
    path = write(tmp_path / "a.csv", "time,c\n0.1,1\n0.3,2\n0.2,3\n")
    with pytest.raises(ValueError, match="does not increase"):
        read_delimited(path)


def test_traces_come_back_from_csv(tmp_path, rng):
    traces = from_traces(rng.random((50, 3)), sampling_rate=30, unit=["a", "b", "c"])["dff"]
    write_csv(traces, tmp_path / "dff.csv")
    again = read_delimited(tmp_path / "dff.csv")
    np.testing.assert_array_equal(again["dff"].values, traces.values)
    np.testing.assert_array_equal(again["time"], traces["time"])


def test_a_table_of_parameters_has_units_and_bounds(tmp_path):
    table = xr.Dataset(
        {
            "tau": ("unit", [0.5, 0.6], {"units": "s"}),
            "tau_ci": (("unit", "ci_bound"), [[0.4, 0.6], [0.5, np.nan]], {"units": "s"}),
        },
        coords={"unit": ["a", "b"], "ci_bound": ["lower", "upper"]},
    )
    write_csv(table, tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines == [
        "unit,tau (s),tau_ci_lower (s),tau_ci_upper (s)",
        "a,0.5,0.4,0.6",
        "b,0.6,0.5,",
    ]


def test_a_table_of_two_axes_is_refused(tmp_path):
    table = xr.Dataset({"a": ("unit", [1.0]), "b": ("trial", [1.0])})
    with pytest.raises(FileFormatError, match="unit, trial"):
        write_csv(table, tmp_path / "p.csv")
