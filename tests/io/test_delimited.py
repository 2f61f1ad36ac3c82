import gzip
import re

import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import (
    DataError,
    FileFormatError,
    KindError,
    NameUnknownError,
    ThreePartError,
    UnitError,
)
from neurornn.data import from_traces, spike_trains
from neurornn.io import open as open_file
from neurornn.io import read_delimited, write_csv


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def rows(step, n=20, factor=1.0):
    return "".join(f"{(k + 1) * step * factor:g},{k % 7},{-k}\n" for k in range(n))


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
    with pytest.raises(
        FileFormatError, match=r"Line 2 of a\.csv has ('abc' in .* of text|2 cells)"
    ):
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


# ------------------------------------------------------------------ lists of spikes

OWNERS = (
    ["unit", "UNIT", "Unit ", " unit", "unit_id", "unit id", "unitID", "UnitIndex", "units"]
    + ["cluster", "cluster_id", "Cluster ID", "cluster-id", "ClusterId", "spike_clusters", "clu"]
    + ["neuron", "neuron_id", "Neuron", "neuron index", "cell", "cell_id", "Cell No.", "CellID"]
    + ["channel", "Channel", "channel_id", "ch", "electrode", "electrode_id", "id", "ID"]
    + ["spike_unit", "sorted_unit", "label", "unit_label", "template", "roi"]
)


@pytest.mark.parametrize("title", OWNERS)
def test_units_are_known_by_many_names(tmp_path, title):
    text = f"spike_time,{title}\n0.1,3\n0.2,5\n0.5,3\n"
    recording = read_delimited(write(tmp_path / "a.csv", text))
    assert recording["unit"].values.tolist() == [3, 5]
    assert [t.tolist() for t in spike_trains(recording)] == [[0.1, 0.5], [0.2]]


def test_spikes_of_one_unit_and_an_index(tmp_path):
    recording = read_delimited(write(tmp_path / "a.csv", "spike_time\n0.2\n0.1\n"))
    assert recording.sizes["unit"] == 1
    text = ",Spike Time (ms),unit\n0,100,b\n1,200,a\n"
    recording = read_delimited(write(tmp_path / "b.csv", text))
    assert [t.tolist() for t in spike_trains(recording)] == [[0.2], [0.1]]


def test_a_column_that_may_be_the_unit_is_asked_about(tmp_path):
    path = write(tmp_path / "a.csv", "spike_time,amplitude\n0.1,3\n0.2,5\n")
    with pytest.raises(NameUnknownError, match=r"'amplitude'.*unit_column='amplitude'"):
        read_delimited(path)
    assert read_delimited(path, unit_column="amplitude").sizes["unit"] == 2
    with pytest.raises(NameUnknownError, match="Did you mean 'amplitude'"):
        read_delimited(path, unit_column="amplitudes")


def test_two_columns_that_may_be_the_unit(tmp_path):
    agree = "spike_time,unit,neuron\n0.1,3,a\n0.2,5,b\n0.5,3,a\n"
    recording = read_delimited(write(tmp_path / "a.csv", agree))
    assert recording["unit"].values.tolist() == [3, 5]
    path = write(tmp_path / "b.csv", "spike_time,unit,channel\n0.1,3,1\n0.2,5,1\n0.5,3,2\n")
    with pytest.raises(NameUnknownError, match=r"'unit' and 'channel' .*unit_column='channel'"):
        read_delimited(path)
    assert read_delimited(path, unit_column="channel")["unit"].values.tolist() == [1, 2]
    with pytest.raises(NameUnknownError, match="unit_column came"):
        read_delimited(write(tmp_path / "c.csv", "time,c\n" + rows(0.05)[:4]), unit_column="c")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("", "no spike time"),
        ("NaN", "no spike time"),
        ("inf", "no spike time"),
        ("abc", "'abc' in the column 'spike_time'"),
    ],
)
def test_a_spike_without_a_time(tmp_path, bad, says):
    path = write(tmp_path / "a.csv", f"# a remark\nspike_time,unit\n0.1,1\n\n{bad},2\n0.3,1\n")
    with pytest.raises(ThreePartError, match=f"Line 5 of a.csv has .*{re.escape(says)[-12:]}"):
        read_delimited(path)


@pytest.mark.parametrize("bad", ["", " ", "NaN", '""'])
def test_a_spike_without_a_unit(tmp_path, bad):
    path = write(tmp_path / "a.csv", f"spike_time,unit\n0.1,1\n0.2,2\n0.3,{bad}\n")
    with pytest.raises(DataError, match=r"Line 4 of a\.csv has no unit"):
        read_delimited(path)


def test_labels_that_differ_stay_apart(tmp_path):
    def labels(*cells):
        text = "spike_time,unit\n" + "".join(f"0.{k + 1},{c}\n" for k, c in enumerate(cells))
        return read_delimited(write(tmp_path / "a.csv", text))["unit"].values.tolist()

    assert labels("01", "1", "3") == ["01", "1", "3"]
    assert labels("1.0", "1.0", "3.0") == [1, 3]
    assert labels("1.5", "1.25") == [1.25, 1.5]
    assert labels("a", "a ", " a") == ["a"]
    assert labels("10", "9", "x") == ["10", "9", "x"]


def test_samples_are_no_seconds(tmp_path):
    path = write(tmp_path / "a.csv", "spike_time,unit\n100,1\n3000,2\n")
    with pytest.raises(UnitError, match="samples"):
        read_delimited(path, sampling_rate=30000)


# ------------------------------------------------------------------ damage

GOOD = "time,c1,c2\n" + rows(0.05)


@pytest.mark.parametrize(
    ("damaged", "line", "says"),
    [
        (GOOD.replace("0.2,3,-3", "0.2,3"), 5, "2 cells and the first line 3"),
        (GOOD.replace("0.2,3,-3", "0.2,3,-3,4"), 5, "4 cells and the first line 3"),
        (GOOD.replace("0.2,3,-3", "0.2,3,"), 0, ""),
        (GOOD[:-5], 21, "2 cells"),
        (GOOD.replace("0.2,3,-3", "0.2,x,-3"), 5, "'x' in the column 'c1'"),
        (GOOD.replace("0.2,3,-3", '0.2,"3 mV",-3'), 5, "'3 mV' in the column 'c1'"),
        (GOOD.replace("0.2,3,-3", '0.2,"3,-3'), 5, "quotes that do not close"),
        (GOOD.replace("0.2,3,-3", '0.2,"3,5",-3'), 5, "'3,5' in the column 'c1'"),
        (GOOD.replace("0.2,3,-3", "0.2,3\x00,-3"), 5, "a NUL byte, at character 6"),
        (GOOD.replace("0.2,3,-3", "0.2,3_0,-3"), 5, "'3_0'"),
        (GOOD.replace("0.2,3,-3", "#0.2,3,-3"), 5, "a row behind a #"),
        (GOOD.replace("0.2,3,-3", "soon,3,-3"), 5, "'soon' in the column 'time'"),
        (GOOD.replace("c2", "c1"), 0, "2 columns of one name, 'c1'"),
        (GOOD.replace("c2", ""), 0, "column without a name"),
        (GOOD.replace("time", "Time [frames]"), 0, "'frames' came as a unit of time"),
        (GOOD.replace("time", "sample"), 0, "column 'sample' .* from 0.05 to 0.1 in line 3"),
        ("frame,c1\n0,1.5\n1,2.5\n5,3.5\n", 0, "from 1 to 5 in line 4"),
        ("frame,c1\n0,1.5\n1,2.5\n1,3.5\n", 0, "from 1 to 1 in line 4"),
        ("c1\n1.5\n\n2.5\n", 3, "0 cells"),
        ("c1,c2\n1,2,3\n4,5,6\n", 2, "3 cells and the first line 2"),
        ("0,1,2\n1,2,1\n4,5,6\n", 0, "header=True or header=False"),
        ("time,c1\n", 0, "0 rows"),
        ("\n\n\n", 0, "no line with text"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path, damaged, line, says):
    path = write(tmp_path / "a.csv", damaged)
    if not says:
        assert np.isnan(read_delimited(path)["fluorescence"].values[3, 1])
        return
    where = f"Line {line} of a.csv .*" if line else ""
    with pytest.raises(ThreePartError, match=f"(?s){where}{says}"):
        read_delimited(path, sampling_rate=None if "time" in damaged.lower() else 20)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("zipped", [False, True])
def test_encodings_that_their_mark_states(tmp_path, encoding, zipped):
    content = GOOD.replace("c1", "c\u00b5").encode(encoding)
    path = tmp_path / ("a.csv.gz" if zipped else "a.csv")
    path.write_bytes(gzip.compress(content) if zipped else content)
    recording = open_file(path)
    assert recording["fluorescence"].sizes == {"time": 20, "unit": 2}
    assert recording["unit"].values.tolist() == ["c\u00b5", "c2"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.csv.gz"])
def test_text_of_other_encodings_is_refused_with_its_line(tmp_path, name):
    def put(content):
        (tmp_path / name).write_bytes(gzip.compress(content) if name[-1] == "z" else content)

    put(GOOD.encode("utf-16-le"))
    with pytest.raises(FileFormatError, match=f"Line 1 of {name} holds a NUL byte"):
        open_file(tmp_path / name)
    put(GOOD.replace("c1", "\u00b5").encode("latin-1"))
    with pytest.raises(FileFormatError, match=f"Line 1 of {name} holds the byte 0xb5"):
        open_file(tmp_path / name)
    put(GOOD.encode("utf-16")[:-1])
    with pytest.raises(FileFormatError, match=r"UTF-16 after line \d+"):
        open_file(tmp_path / name)


def test_names_and_numbers_in_the_first_line(tmp_path):
    def first(text, **options):
        recording = read_delimited(write(tmp_path / "a.csv", text), sampling_rate=10, **options)
        return recording["fluorescence"].values[0].tolist(), recording["unit"].values.tolist()

    assert first(",0,1\n0,1.5,2.5\n1,4,5\n") == ([1.5, 2.5], [0, 1])
    assert first("0,1,2\n1.5,2,3\n4,5,6\n") == ([1.5, 2, 3], [0, 1, 2])
    assert first("0,1,2\n1,2,3\n4,5,6\n", header=True) == ([1, 2, 3], [0, 1, 2])
    assert first("0,1,2\n1,2,3\n4,5,6\n", header=False) == ([0, 1, 2], [0, 1, 2])
    assert first("c1,c2,\n1,2,\n4,5,\n") == ([1, 2], ["c1", "c2"])
    assert first("01,1\n1.5,2\n4,5\n", header=True) == ([1.5, 2], ["01", "1"])


def test_header_is_true_or_false(tmp_path):
    with pytest.raises(KindError, match="header is 'no'"):
        read_delimited(write(tmp_path / "a.csv", GOOD), header="no")


def test_rates_that_a_table_states(tmp_path):
    body = "a,b\n1,2\n3,4\n5,6.5\n"
    for remark in ("# fs: 20", "# sampling_rate = 20", "#Frame rate (Hz): 20.0"):
        recording = read_delimited(write(tmp_path / "a.csv", f"{remark}\n{body}"))
        assert recording["fluorescence"].attrs["sampling_rate"] == 20
    with pytest.raises(UnitError, match=r"30 Hz \(sampling_rate=\) and 20 Hz \(fs\)"):
        read_delimited(write(tmp_path / "a.csv", f"# fs: 20\n{body}"), sampling_rate=30)
    with pytest.raises(UnitError, match="not a number"):
        read_delimited(write(tmp_path / "a.csv", f"# fs: fast\n{body}"))
    column = "fs,c\n20,1\n20,2\n{},4\n"
    recording = read_delimited(write(tmp_path / "a.csv", column.format(20)))
    assert recording["fluorescence"].values.ravel().tolist() == [1, 2, 4]
    assert recording["fluorescence"].attrs["sampling_rate"] == 20
    with pytest.raises(UnitError, match="2 different values"):
        read_delimited(write(tmp_path / "a.csv", column.format(30)))


def test_two_columns_of_time(tmp_path):
    lines = "".join(f"{k / 20:g},{100 + k / 20:g},{k}\n" for k in range(9))
    path = write(tmp_path / "a.csv", "time,timestamp,c\n" + lines)
    assert read_delimited(path)["unit"].values.tolist() == ["c"]
    lines = "".join(f"{k / 20:g},{k / 30:g},{k}\n" for k in range(9))
    with pytest.raises(UnitError, match=r"30 Hz \(timestamp\) and 20 Hz \(time\)"):
        read_delimited(write(tmp_path / "b.csv", "time,timestamp,c\n" + lines))


@pytest.mark.parametrize("unit", ["fortnight", "", 5, "Hz"])
def test_a_unit_of_time_that_is_none(tmp_path, unit):
    with pytest.raises(NameUnknownError, match="unit of time"):
        read_delimited(write(tmp_path / "a.csv", GOOD), time_unit=unit)
    # Refused as well where it would not be used.
    with pytest.raises(NameUnknownError, match="unit of time"):
        read_delimited(
            write(tmp_path / "b.csv", "a,b\n1,2\n3,4\n"), time_unit=unit, sampling_rate=9
        )


def test_a_unit_of_time_without_a_time(tmp_path):
    path = write(tmp_path / "b.csv", "a,b\n1,2\n3,4\n")
    with pytest.raises(NameUnknownError, match="time_unit came"):
        read_delimited(path, time_unit="ms", sampling_rate=9)


def test_a_table_of_many_parts_is_read_as_one(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("neurornn.io.text_tables._PART", 100)
    values = rng.integers(-50, 50, (200, 3))
    text = "a,b,c\n" + "".join(",".join(map(str, row)) + "\n" for row in values)
    recording = read_delimited(write(tmp_path / "a.csv", text), sampling_rate=10)
    np.testing.assert_array_equal(recording["fluorescence"], values)
    assert recording["fluorescence"].dtype == np.int64
    recording = read_delimited(write(tmp_path / "b.csv", text + "0.5,,1\n"), sampling_rate=10)
    assert recording["fluorescence"].values[-1].tolist()[::2] == [0.5, 1]
    np.testing.assert_array_equal(recording["fluorescence"][:-1], values)
    with pytest.raises(FileFormatError, match=r"Line 202 of c\.csv has 'x'"):
        read_delimited(write(tmp_path / "c.csv", text + "x,2,1\n"), sampling_rate=10)
    spikes = "spike_time,unit\n" + "".join(f"{k / 10},{k % 7}\n" for k in range(200))
    recording = read_delimited(write(tmp_path / "d.csv", spikes))
    assert recording["spike_count"].values.tolist() == [29, 29, 29, 29, 28, 28, 28]
    with pytest.raises(DataError, match=r"Line 202 of e\.csv has no unit"):
        read_delimited(write(tmp_path / "e.csv", spikes + "30,\n"))


@pytest.mark.parametrize("title", ["unit", "neuron_id", "channel"])
def test_a_list_of_spikes_is_no_trace(tmp_path, rng, title):
    times = np.sort(rng.random(30)) * 10
    lines = "".join(f"{t:.5f},{k % 3}\n" for k, t in enumerate(times))
    path = write(tmp_path / "a.csv", f"time,{title}\n{lines}")
    with pytest.raises(NameUnknownError, match=f"'{title}' at uneven times.*spike_time"):
        read_delimited(path)
    np.savez(tmp_path / "a.npz", time=times, **{title: np.arange(30) % 3})
    # A variable called `unit` would hide the axis of that name, and is refused for that.
    with pytest.raises(
        NameUnknownError, match=rf"'{title}'(, which is one of their axes| at uneven)"
    ):
        open_file(tmp_path / "a.npz")
    # At even times it is a trace, whatever it is called.
    assert (
        read_delimited(write(tmp_path / "b.csv", f"time,{title},b\n" + rows(0.05))).sizes["unit"]
        == 2
    )


@pytest.mark.parametrize(
    "title", ["spike_time (samples)", "spike_times_samples", "Spike Time [frames]", "spike_ts (h)"]
)
def test_spike_times_in_no_unit_of_time(tmp_path, title):
    path = write(tmp_path / "a.csv", f"{title},unit\n100,1\n200,2\n")
    with pytest.raises(NameUnknownError, match="came as a unit of time"):
        read_delimited(path)
    with pytest.raises(NameUnknownError, match="came as a unit of time"):
        read_delimited(path, sampling_rate=30)


def test_a_column_of_numbers_that_does_not_count(tmp_path):
    text = "index,spike_time\n3,0.1\n5,0.2\n3,0.3\n"
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(NameUnknownError, match="'index', none of which is known to be the unit"):
        read_delimited(path)
    assert read_delimited(path, unit_column="index")["unit"].values.tolist() == [3, 5]
    assert (
        read_delimited(
            write(tmp_path / "b.csv", text.replace("5", "4", 1).replace("3,0.3", "5,0.3"))
        ).sizes["unit"]
        == 1
    )


@pytest.mark.parametrize("text", ["spike_time,unit\n", "spike_time\n"])
def test_a_list_without_spikes(tmp_path, text):
    with pytest.raises(DataError, match="0 rows below 'spike_time'"):
        read_delimited(write(tmp_path / "a.csv", text))
