import numpy as np
import pytest

from neurornn._core.errors import (
    FileFormatError,
    NameUnknownError,
    ShapeError,
    UnitError,
)
from neurornn.data import spike_trains
from neurornn.io.arrays import (
    TrialTraces,
    indicator_of,
    mean_rate,
    oriented,
    recording_from_arrays,
    recording_from_trials,
    trace_name,
)


@pytest.mark.parametrize(
    ("text", "indicator"),
    [
        ("CAttached_Chen2013_GC6f_cell10_full.npz", "GCaMP6f"),
        ("DS14-GCaMP6s-m-V1", "GCaMP6s"),
        ("CAttached_jGCaMP8s_472181_1.npz", "jGCaMP8s"),
        ("DS30-GCaMP8f-m-V1", "jGCaMP8f"),
        ("DS21-jGECO1a-m-V1", "jRGECO1a"),
        ("CAttached_Mohar16_jRGECO1a_V1_1.npz", "jRGECO1a"),
        ("DS03-Cal520-m-S1", "Cal-520"),
        ("DS01-OGB1-m-V1", "OGB-1"),
        ("calibration.npz", None),
    ],
)
def test_indicators_are_read_off_names(text, indicator):
    assert indicator_of(text) == indicator


def test_the_first_text_that_names_an_indicator_decides():
    assert indicator_of("GC_OB_fish1.npz", "DS08-GCaMP6f-zf-OB") == "GCaMP6f"


@pytest.mark.parametrize("text", ["dff", "dF_traces", "df/f", "cell_dFoverF", "delta_f"])
def test_names_that_say_df_over_f(text):
    assert trace_name(text) == "dff"


@pytest.mark.parametrize("text", ["traces", "raw_f", "diffusion", "F"])
def test_names_that_do_not_say_df_over_f(text):
    assert trace_name(text) == "fluorescence"


def test_the_longer_axis_is_time():
    x = np.arange(300.0).reshape(3, 100)
    assert oriented(x, "x").shape == (100, 3)
    assert oriented(x.T, "x").shape == (100, 3)
    np.testing.assert_array_equal(oriented(x, "x")[:, 1], x[1])


def test_frame_times_decide_before_the_longer_axis():
    x = np.zeros((50, 400))
    assert oriented(x, "x", n_frames=50).shape == (50, 400)


def test_a_square_array_needs_its_axes_named():
    x = np.arange(9.0).reshape(3, 3)
    with pytest.raises(ShapeError, match="either axis could be time"):
        oriented(x, "x")
    np.testing.assert_array_equal(oriented(x, "x", axes=("unit", "time")), x.T)
    with pytest.raises(NameUnknownError, match="'time' and 'unit'"):
        oriented(x, "x", axes=("cell", "frame"))


def test_a_movie_is_no_table_of_traces():
    with pytest.raises(ShapeError, match="two axes"):
        oriented(np.zeros((3, 4, 5)), "movie")


def test_rate_and_times_are_found_by_name(rng):
    dff = rng.random((40, 2))
    by_rate = recording_from_arrays({"dff": dff, "fs": np.array(20.0)}, source="a")
    by_time = recording_from_arrays({"dff": dff, "time": np.arange(1, 41) / 20}, source="a")
    np.testing.assert_allclose(by_rate["time"], by_time["time"])
    assert by_rate["dff"].attrs["sampling_rate"] == pytest.approx(20.0)
    assert by_time["dff"].attrs["sampling_rate"] == pytest.approx(20.0)
    # Frame 1 ends one step after 0.
    assert float(by_rate["time"][0]) == 0.05


def test_no_rate_names_the_remedy(rng):
    with pytest.raises(UnitError, match=r'nr\.open\("a\.npz", sampling_rate=30\.0\)'):
        recording_from_arrays({"dff": rng.random((40, 2))}, source="a.npz")


def test_times_in_milliseconds_are_refused(rng):
    with pytest.raises(UnitError, match="ms or frame numbers"):
        recording_from_arrays({"dff": rng.random(40), "time": np.arange(40) * 33.3}, source="a")


def test_several_candidates_are_named(rng):
    bag = {"first": rng.random((40, 2)), "second": rng.random((40, 3))}
    with pytest.raises(NameUnknownError, match=r"first \(40, 2\) float64, second \(40, 3\)"):
        recording_from_arrays(bag, source="a", sampling_rate=30)
    chosen = recording_from_arrays(bag, source="a", sampling_rate=30, variable="second")
    assert chosen["second"].sizes == {"time": 40, "unit": 3}
    with pytest.raises(NameUnknownError, match="Did you mean 'second'"):
        recording_from_arrays(bag, source="a", sampling_rate=30, variable="seconds")


def test_nothing_numeric_is_named():
    with pytest.raises(FileFormatError, match="list cells"):
        recording_from_arrays({"cells": []}, source="a")


def test_counts_carry_their_bin_size():
    bag = {"Y": np.arange(40).reshape(20, 2) % 7}
    counts = recording_from_arrays(bag, source="a", variable="Y", name="counts", sampling_rate=10)
    assert counts["counts"].attrs["bin_size"] == pytest.approx(0.1)


def test_spikes_of_a_ragged_array():
    bag = {"spike_times": np.array([3.0, 1.0, 2.0]), "spike_unit": np.array([7, 7, 9])}
    recording = recording_from_arrays(bag, source="a")
    np.testing.assert_array_equal(recording["unit"], [7, 9])
    np.testing.assert_array_equal(spike_trains(recording)[0], [1.0, 3.0])


def test_spikes_after_the_last_frame_stay_out_of_the_next_trial():
    time = np.arange(1, 101) / 10
    trials = [
        TrialTraces(time=time, values=np.sin(time), spike_times=np.array([1.0, 25.0])),
        TrialTraces(time=time, values=np.cos(time), spike_times=np.array([-5.0, 2.0])),
    ]
    recording = recording_from_trials(trials)
    times = recording["spike_times"].values
    inside = [
        int(((times > a) & (times <= b)).sum())
        for a, b in zip(recording["start"].values, recording["stop"].values, strict=True)
    ]
    assert inside == [1, 1]
    assert len(times) == 4
    np.testing.assert_allclose(times[0], 1.0)
    np.testing.assert_allclose(times[-1] - recording["clock_offset"].values[1], 2.0)


def test_stamps_rounded_to_clock_ticks_do_not_bias_the_rate():
    # 120.13 Hz in ticks of 20 us: the median step is one of two tick multiples.
    time = np.round(np.arange(1, 20_000) / 120.13 / 2e-5) * 2e-5
    assert abs(1 / np.median(np.diff(time)) - 120.13) > 0.02
    # One tick over the whole trial is all that is left of the rounding.
    assert mean_rate(time) == pytest.approx(120.13, rel=2e-5 / time[-1] * 2)


def test_missing_frames_do_not_bias_the_rate():
    time = np.concatenate([np.arange(1, 100), np.arange(300, 400)]) / 30
    assert mean_rate(time) == pytest.approx(30.0)


def test_a_name_that_is_taken(rng):
    bag = {"dff": rng.random((40, 2)), "time": np.arange(1, 41) / 20}
    with pytest.raises(NameUnknownError, match="'time', which is one of their axes"):
        recording_from_arrays(bag, source="a", variable="time")
    with pytest.raises(NameUnknownError, match="'unit'"):
        recording_from_arrays(bag, source="a", name="unit")
