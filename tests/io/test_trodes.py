import numpy as np
import pytest
import scipy.io

from neurornn._core.errors import DataError, FileFormatError
from neurornn.data import restrict
from neurornn.io import read_trodes

HEADER = (
    "<Start settings>\nthreshold: 199\nclockrate: 30000\ncamera resolution: 640x480\n"
    "Fields: <time uint32><xloc uint16><yloc uint16><xloc2 uint16><yloc2 uint16>\n"
    "<End settings>\n"
)
FRAME = np.dtype([("t", "<u4"), ("x", "<u2"), ("y", "<u2"), ("x2", "<u2"), ("y2", "<u2")])


def write(path, ticks, x, y, x2=0, y2=0, header=HEADER):
    table = np.zeros(len(ticks), FRAME)
    for name, values in zip(FRAME.names, (ticks, x, y, x2, y2), strict=True):
        table[name] = values
    path.write_bytes(header.encode() + table.tobytes())


def test_position_in_seconds_and_pixels(tmp_path):
    ticks = 3_000_000 + 500 * np.arange(60)
    write(tmp_path / "a.videoPositionTracking", ticks, np.arange(60) + 1, 7)
    recording = read_trodes(tmp_path / "a.videoPositionTracking")
    np.testing.assert_allclose(recording["sample_time"], 100 + np.arange(60) / 60)
    np.testing.assert_array_equal(recording["position"].sel(axis="x"), np.arange(60) + 1)
    assert recording["position"].attrs["units"] == "px"
    assert recording["position"].attrs["sampling_rate"] == pytest.approx(60.0)
    assert "position_2" not in recording
    assert restrict(recording, 100.0, 100.5).sizes["sample"] == 30


def test_lost_lights_repeats_and_a_second_light(tmp_path):
    ticks = [0, 500, 500, 1000, 1500]
    write(tmp_path / "a.videoPositionTracking", ticks, [5, 6, 9, 0, 8], [5, 6, 9, 0, 8], 3, 4)
    recording = read_trodes(tmp_path / "a.videoPositionTracking")
    assert recording["position"].values[:, 0].tolist()[:2] == [5, 6]
    assert np.isnan(recording["position"].values[2]).all()
    assert recording.sizes["sample"] == 4
    assert recording["position_2"].values[0].tolist() == [3, 4]


def test_the_counter_that_starts_again_goes_on(tmp_path):
    ticks = np.array([2**32 - 500, 0, 500], dtype=np.uint64).astype(np.uint32)
    write(tmp_path / "a.videoPositionTracking", ticks, 1, 1)
    time = read_trodes(tmp_path / "a.videoPositionTracking")["sample_time"].values
    np.testing.assert_allclose(np.diff(time), 500 / 30000)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (HEADER.replace("<End settings>\n", ""), "has no end of its header"),
        (HEADER.replace("clockrate", "rate"), "has no clockrate"),
    ],
)
def test_a_damaged_header_is_explained(tmp_path, header, said):
    write(tmp_path / "a.videoPositionTracking", [0, 500], 1, 1, header=header)
    with pytest.raises(FileFormatError, match=said):
        read_trodes(tmp_path / "a.videoPositionTracking")


def test_no_frames(tmp_path):
    (tmp_path / "a.videoPositionTracking").write_text(HEADER)
    with pytest.raises(FileFormatError, match="no frames"):
        read_trodes(tmp_path / "a.videoPositionTracking")


@pytest.mark.parametrize(("offset", "fits"), [(100.0, True), (5000.0, False)])
def test_a_folder_joins_spikes_and_position_on_one_clock(tmp_path, offset, fits):
    write(tmp_path / "a.videoPositionTracking", 3_000_000 + 500 * np.arange(60), 1, 1)
    times = np.array([[offset + 0.2], [offset + 0.4]])
    unit = {"time": times, "timerange": np.array([[offset, offset + 1]])}
    nested = unit
    for _ in range(4):
        outer = np.empty((1, 1), dtype=object)
        outer[0, 0] = nested
        nested = outer
    scipy.io.savemat(tmp_path / "spikes.mat", {"spikes": nested})
    if fits:
        recording = read_trodes(tmp_path)
        assert {"spike_times", "position", "sample_time"} <= set(recording.variables)
        assert recording["position"].attrs["units"] == "px"
        assert recording["spike_times"].attrs["units"] == "s"
    else:
        with pytest.raises(DataError, match="on one clock"):
            read_trodes(tmp_path)


def test_two_position_files_ask_which(tmp_path):
    for name in "ab":
        write(tmp_path / f"{name}.videoPositionTracking", [0, 500], 1, 1)
    with pytest.raises(FileFormatError, match="holds 2"):
        read_trodes(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<xloc uint16>", "<xloc uint17>", "Line 5 of .* has the field '<xloc uint17>'"),
        ("<xloc uint16>", "<xloc>", "field '<xloc>'"),
        ("<xloc uint16>", "<xlocuint16>", "field '<xlocuint16>'"),
        ("<xloc uint16>", "<xloc uint16", "field '<xloc uint16'"),
        ("<xloc uint16>", "xloc uint16", "field 'xloc uint16'"),
        ("<xloc uint16>", "<xloc 2*uint16>", r"field '<xloc 2\*uint16>'"),
        ("<xloc uint16>", "<time uint16>", "field '<time uint16>'"),
        ("<xloc uint16>", "<position uint16>", "without xloc"),
        ("<time uint32>", "<when uint32>", "without time"),
        ("<time uint32>", "<time float>", "whose time is no count"),
        ("<xloc2 uint16>", "", "bytes of frames of 10 bytes each"),
        ("Fields:", "Field:", "has no Fields"),
        ("Fields: ", "Fields:#", "field '#'"),
        ("clockrate: 30000", "clockrate: fast", "Line 3 of .*clockrate, says 'fast'"),
        ("clockrate: 30000", "clockrate: 0", "clockrate, says '0'"),
        ("clockrate: 30000", "clockrate: -1", "clockrate, says '-1'"),
        ("clockrate: 30000", "clockrate: nan", "clockrate, says 'nan'"),
        ("clockrate: 30000\n", "", "has no clockrate"),
        (
            "clockrate: 30000",
            "clockrate: 30000\nclockrate: 20000",
            "clockrate twice: 20000, 30000",
        ),
    ],
)
def test_a_header_that_cannot_be_parsed_is_named(tmp_path, old, new, says):
    path = tmp_path / "a.videoPositionTracking"
    write(path, 500 * np.arange(7), np.arange(7) + 1, 7, header=HEADER.replace(old, new))
    with pytest.raises(FileFormatError, match=says):
        read_trodes(path)


def test_a_frame_that_was_cut(tmp_path):
    path = tmp_path / "a.videoPositionTracking"
    write(path, 500 * np.arange(9), 1, 7)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FileFormatError, match="7 too many"):
        read_trodes(path)


def test_a_clock_that_runs_backwards(tmp_path):
    path = tmp_path / "a.videoPositionTracking"
    write(path, [0, 500, 1000, 600, 1500], 1, 7)
    with pytest.raises(DataError, match=r"Frame 3 of .* has the time stamp 600 after 1000"):
        read_trodes(path)
