"""Clocks of samples and bins, to the frame: resampling, series and counts by hand."""

import warnings

import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import DataError, KindError, ShapeError, UnitError, UnitWarning
from neurornn.data import bin_spikes, from_spikes, resample_to, set_intervals
from neurornn.data.observation import set_observed
from neurornn.data.series import as_series, wrapped_around

NAN = np.nan

# ------------------------------------------------------------------ behaviour onto bins


def told(values, clock, time, **more):
    return resample_to(np.asarray(values, float), clock, time, **more).values.tolist()


def test_lines_between_samples_and_nothing_beyond_them():
    clock, values = [1.0, 2.0, 4.0], [10.0, 20.0, 60.0]
    assert np.array_equal(
        told(values, clock, [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 4.5]),
        [NAN, 10, 15, 20, 40, 60, NAN], equal_nan=True,
    )  # fmt: skip
    # A pause as long as allowed is bridged, a longer one is not; a sample in it stands.
    time = [1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    assert told(values, clock, time, max_gap=2.0) == [15, 20, 30, 40, 50, 60]
    assert np.array_equal(
        told(values, clock, time, max_gap=1.9), [15, 20, NAN, NAN, NAN, 60], equal_nan=True
    )
    # By default three steps of the samples, or one bin where that is longer.
    clock = [0.1, 0.2, 0.3, 0.4, 0.7, 1.01]
    found = told(clock, clock, [0.15, 0.25, 0.35, 0.55, 0.8])
    assert found[:4] == pytest.approx([0.15, 0.25, 0.35, 0.55]) and np.isnan(found[4])
    assert told(clock, clock, [0.15, 0.8]) == pytest.approx([0.15, 0.8])


def test_samples_of_one_stamp_are_averaged_and_missing_ones_left_out():
    assert told([1, 3, 10, NAN, 20], [1, 1, 2, 2.5, 3], [1.0, 1.5, 2.5]) == [2.0, 6.0, 15.0]
    assert np.isnan(told([NAN, NAN], [1, 2], [1.0, 1.5])).all()
    assert np.array_equal(told([5.0], [1.0], [0.9, 1.0, 1.1]), [NAN, 5, NAN], equal_nan=True)
    # A single bin has no step of its own: three steps of the samples are bridged.
    assert told([1.0, 2.0], [1.0, 2.0], [1.5]) == [1.5]
    assert np.isnan(told([5.0], [1.0], [1.5])).all()


def test_means_over_bins_closed_at_their_end():
    clock = [0.5, 1.0, 1.5, 2.0, 2.0 + 4e-10, 2.0 + 6e-10, 5.0]
    values = [1, 2, 3, 4, 5, 60, 7]
    found = told(values, clock, [1.0, 2.0, 3.0, 4.0, 5.0], method="mean")
    assert np.array_equal(found, [1.5, 4.0, 60.0, NAN, 7.0], equal_nan=True)
    # After a pause the bin is as wide as the others.
    found = told([1, 2, 3, 4], [0.5, 3.5, 5.5, 6.0], [1.0, 2.0, 6.0, 7.0], method="mean")
    assert np.array_equal(found, [1.0, NAN, 3.5, NAN], equal_nan=True)
    # A step of half as much again is late and no pause: its bin begins where the last one ended.
    found = told([1, 2], [3.2, 5.0], [1.0, 2.0, 3.0, 4.5, 5.5], method="mean")
    assert np.array_equal(found, [NAN, NAN, NAN, 1.0, 2.0], equal_nan=True)
    assert np.array_equal(
        told([1, NAN, 3], [0.5, 0.6, 0.7], [1.0, 2.0], method="mean"), [2, NAN], equal_nan=True
    )


def test_axes_labels_and_units_travel():
    position = xr.DataArray(
        np.arange(6.0).reshape(3, 2), dims=("sample", "axis"), coords={"axis": ["x", "y"]},
        attrs={"units": "cm", "sampling_rate": 1.0}, name="position",
    )  # fmt: skip
    out = resample_to(position, [1, 2, 3], [1.5, 2.5])
    assert out.dims == ("time", "axis") and out["axis"].values.tolist() == ["x", "y"]
    assert out.values.tolist() == [[1.0, 2.0], [3.0, 4.0]] and out.name == "position"
    assert out.attrs == {"units": "cm", "method": "linear on the bin ends"}
    assert out["time"].attrs["long_name"] == "end of the bin"
    plain = resample_to(np.zeros((3, 2, 2)), [1, 2, 3], [1.5, 2.5], method="mean")
    assert plain.dims == ("time", "axis_1", "axis_2") and plain.shape == (2, 2, 2)
    assert plain.attrs == {"method": "mean on the bin ends"} and plain.name is None
    for call, kind, said in (
        (lambda: told([1, 2], [1.0], [1.0, 2.0]), ShapeError,
         r"variable has shape \(2,\) and its clock \(1,\)"),
        (lambda: told([], [], [1.0, 2.0]), ShapeError, r"variable has shape \(0,\)"),
        (lambda: told([1, 2], [2.0, 1.0], [1.0, 2.0]), DataError, "runs backwards"),
        (lambda: told([1, 2], [1.0, NAN], [1.0, 2.0]), DataError, "not finite"),
        (lambda: told([1, 2], [1.0, 2.0], [1.0, 2.0], max_gap=-1), DataError, "max_gap is -1"),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            call()


# ------------------------------------------------------------------ traces


def noise(n=20, units=2):
    return np.random.default_rng(0).normal(size=(n, units))


def labelled(time, **attrs):
    dims = ("time", "unit")
    return xr.DataArray(noise(len(time)), dims=dims, coords={"time": time}, attrs=attrs)


def test_rates_agree_to_two_percent_and_the_one_that_is_passed_counts():
    time = np.arange(1, 21) / 10
    assert as_series(labelled(time), sampling_rate=10.19).sampling_rate == 10.19
    assert as_series(labelled(time, sampling_rate=9.81)).sampling_rate == 9.81
    assert as_series(labelled(time, sampling_rate=9.9), sampling_rate=10.1).sampling_rate == 10.1
    with pytest.raises(UnitError, match=r"Two rates came: 10\.21 Hz \(sampling_rate=\) and 10 Hz"):
        as_series(labelled(time), sampling_rate=10.21)
    with pytest.raises(UnitError, match=r"Two rates came: 9\.79 Hz \(attrs\) and 10 Hz \(time"):
        as_series(labelled(time, sampling_rate=9.79))
    bare = labelled(time, sampling_rate=10.0).drop_vars("time")
    assert as_series(bare).sampling_rate == 10.0
    assert as_series(bare, sampling_rate=10.1).sampling_rate == 10.0
    with pytest.raises(UnitError, match=r"10\.3 Hz \(sampling_rate=\) and 10 Hz \(attrs\)"):
        as_series(bare, sampling_rate=10.3)
    made = as_series(noise(), sampling_rate=5.0)
    assert made.time.tolist() == [(k + 1) / 5 for k in range(20)] and made.run.tolist() == [0] * 20
    assert made.unit.tolist() == [0, 1]
    assert as_series(labelled(time)).unit.tolist() == [0, 1]


def test_numbers_of_frames_are_no_seconds_unless_a_rate_says_so():
    frames = labelled(np.arange(3.0, 23.0))
    with pytest.raises(UnitError, match=r"time axis of x counts 3, 4, \.\.\. and no frame rate"):
        as_series(frames, name="x")
    assert as_series(frames, sampling_rate=1.0).sampling_rate == 1.0
    assert as_series(frames.assign_attrs(sampling_rate=1.0)).sampling_rate == 1.0


@pytest.mark.parametrize(
    ("rate", "usual"),
    [(33.3, 30), (33.333333, 30), (33.4, 30), (33.2, None), (33.5, None), (16.67, 60),
     (66.67, 15), (133.33, 7.5), (30.0, None), (20.0, None)],
)  # fmt: skip
def test_a_rate_that_is_an_interval_in_ms_is_warned_about(rate, usual):
    if usual is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            as_series(noise(), sampling_rate=rate)
    else:
        with pytest.warns(UnitWarning, match=f"sampling_rate is {rate:g} Hz.*Then pass {usual:g}"):
            as_series(noise(), sampling_rate=rate)


def test_shapes_and_lengths_that_are_no_traces():
    assert as_series(noise()[:, 0], sampling_rate=9.0).values.shape == (20, 1)
    assert as_series(noise(4), sampling_rate=9.0).values.shape == (4, 2)
    # From 500 frames on more units than frames are what they are.
    assert len(as_series(np.random.default_rng(0).normal(size=(500, 501)), sampling_rate=9.0).unit)
    for values, kind, said in (
        (noise(3, 1), DataError, "x has 3 frames. At least 4 frames"),
        (noise(20, 21), ShapeError, "x has 20 frames of 21 units"),
        (np.zeros((4, 2, 2)), ShapeError, r"x has shape \(4, 2, 2\)"),
        (np.zeros((0, 2)), DataError, r"x is empty, shape \(0, 2\). At least 4 frames of one"),
        (np.ones((9, 2)), DataError, "x is constant in every unit"),
        (np.stack([np.ones(9), np.full(9, NAN)], 1), DataError, "x is constant in every unit"),
    ):
        with pytest.raises(kind, match=said):
            as_series(values, sampling_rate=9.0, name="x")
    assert as_series(noise(3, 1), sampling_rate=9.0, min_frames=3).values.shape == (3, 1)
    one = np.stack([np.ones(9), np.arange(9.0)], 1)
    assert as_series(one, sampling_rate=9.0).values[:, 1].tolist() == list(range(9))
    with pytest.raises(UnitError, match="x came without a sampling rate"):
        as_series(noise(), name="x")
    table = xr.Dataset({"dff": labelled(np.arange(20) / 10), "n": ("unit", [1, 2])})
    with pytest.raises(KindError, match=r'with variables dff, n\..*recording\["dff"\]'):
        as_series(table)
    with pytest.raises(KindError, match="It holds none: is this a recording of spikes"):
        as_series(table[["n"]])


def test_whole_numbers_that_wrap_jump_by_half_their_range_and_back():
    wave = np.array([[0.0, 0, 0], [127, 128, 0], [0, 0, 200], [0, 0, 200]])
    # Half the range of a byte is 127.5: up and down by more, not up alone.
    assert wrapped_around(wave, np.dtype("u1")).tolist() == [False, True, False]
    assert wrapped_around(wave, np.dtype("f8")).tolist() == [False] * 3
    assert wrapped_around(wave[:1], np.dtype("u1")).tolist() == [False] * 3
    holed = wave.copy()
    holed[0, 1] = NAN
    assert wrapped_around(holed, np.dtype("u1")).tolist() == [False] * 3
    given = np.tile([0, 255], 10).astype("u1")[:, None] * np.ones((1, 9), "u1")
    with pytest.warns(UserWarning, match=r"x came as uint8, and 9 of 9 units \(units 0, 1, 2, 3, "
                      r"4, 5, 6, 7, \.\.\.\) jump"):  # fmt: skip
        as_series(given, sampling_rate=9.0, name="x")
    with pytest.warns(UserWarning, match=r"8 of 8 units \(units 0, 1, 2, 3, 4, 5, 6, 7\) jump"):
        as_series(given[:, :8], sampling_rate=9.0, name="x")


# ------------------------------------------------------------------ counts


def test_frames_set_the_bins_and_their_width():
    trains = [[0.05, 0.1, 0.15, 0.95, 1.0], [0.3]]
    time = np.array([0.1, 0.2, 0.3, 0.9, 1.0])
    counts = bin_spikes(trains, time=time)
    # The bin of 0.9 reaches from 0.8; what lies in the gap is outside.
    assert counts.values.T.tolist() == [[2, 1, 0, 0, 2], [0, 0, 1, 0, 0]]
    assert counts.attrs["bin_size"] == pytest.approx(0.1) and counts.attrs["spikes_outside"] == 0
    assert counts["time"].values.tolist() == time.tolist()
    assert bin_spikes(trains, 0.1019, time=time).attrs["bin_size"] == pytest.approx(0.1)
    with pytest.raises(UnitError, match=r"bin_size is 0\.1021 s and the frames are 0\.1 s apart"):
        bin_spikes(trains, 0.1021, time=time)
    part = bin_spikes(trains, time=time, t_start=0.1, t_stop=0.3)
    assert part["time"].values.tolist() == [0.2, 0.3]
    assert part.values.T.tolist() == [[1, 0], [0, 1]] and part.attrs["spikes_outside"] == 4
    late = bin_spikes(trains, time=time, t_start=0.85)
    assert late["time"].values.tolist() == [1.0]
    early = bin_spikes(trains, time=time, t_stop=0.1)
    assert early["time"].values.tolist() == [0.1]
    for call, kind, said in (
        (lambda: bin_spikes(trains, time=time, t_start=0.35, t_stop=0.75), DataError,
         "No whole frame of time lies between 0.35 and 0.75 s"),
        (lambda: bin_spikes(trains, time=time, t_stop=0.05), DataError, "between -inf and 0.05 s"),
        (lambda: bin_spikes(trains, time=[0.1]), DataError, "time has 1 stamps"),
        (lambda: bin_spikes(trains, time=time, trials=[[0, 1]]), KindError,
         "Both time= and trials= came"),
        (lambda: bin_spikes(trains), UnitError, "Neither bin_size nor time came"),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            call()


@pytest.mark.parametrize(
    ("train", "width", "first", "counts"),
    [
        # From 0, and to the end of the bin of the last spike.
        ([0.1, 0.4], 0.2, 0.2, [1, 1]),
        ([0.4], 0.2, 0.2, [0, 1]),
        ([0.4 + 4e-10], 0.2, 0.2, [0, 1]),
        ([0.41], 0.2, 0.2, [0, 0, 1]),
        # A spike at 0 or before is in the bin that ends there.
        ([0.0, 0.1], 0.5, 0.0, [1, 1]),
        ([-0.6, 0.2], 0.5, -0.5, [1, 0, 1]),
        ([-0.5], 0.5, -0.5, [1]),
    ],
)
def test_bins_of_bare_times_hold_every_spike(train, width, first, counts):
    found = bin_spikes([train], width)
    assert found.values[:, 0].tolist() == counts and found.attrs["spikes_outside"] == 0
    assert found["time"].values[0] == pytest.approx(first, abs=1e-12)
    assert "start_chosen" in found.attrs
    assert "start_chosen" not in bin_spikes([train], width, t_start=-1.0)
    assert bin_spikes([[]], 0.5).values.tolist() == [[0]]


def test_bins_of_stretches_are_whole_and_those_asked_for():
    rec = from_spikes([[0.5, 1.2, 3.1, 4.9]], t_start=0, t_stop=5)
    rec = set_intervals(rec, [0.0, 3.0], [1.9, 5.0])
    counts = bin_spikes(rec, 0.5)
    # Three whole bins in 1.9 s; the spike at 4.9 s is in the last one of the second stretch.
    assert counts["time"].values == pytest.approx([0.5, 1.0, 1.5, 3.5, 4.0, 4.5, 5.0])
    assert counts.values[:, 0].tolist() == [1, 0, 1, 1, 0, 0, 1]
    part = bin_spikes(rec, 0.5, t_start=1.0, t_stop=4.0)
    assert part["time"].values == pytest.approx([1.5, 3.5, 4.0])
    assert part.attrs["spikes_outside"] == 2
    # 0.3 s are three bins of 0.1 s, though 0.3 / 0.1 < 3.
    assert len(bin_spikes(from_spikes([[0.1]], t_start=0, t_stop=0.3), 0.1)) == 3
    assert len(bin_spikes(from_spikes([[0.1]], t_start=0, t_stop=0.1), 0.1)) == 1
    for call, said in (
        (lambda: bin_spikes(set_intervals(rec, [0.0], [0.4]), 0.5),
         "The longest recorded stretch is 0.4 s and a bin 0.5 s"),
        (lambda: bin_spikes(rec, 0.5, t_start=9.0), "longest recorded stretch is 0 s"),
        (lambda: bin_spikes(set_intervals(rec, [0, 1], [2, 3]), 0.5), "overlap or are not in"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=said):
            call()


def test_observed_alone_is_where_bins_are_laid():
    rec = from_spikes([[0.5, 2.5], [0.5]]).drop_dims("interval")
    rec = set_observed(rec, [np.array([[0.0, 1], [2, 3]]), np.array([[0.0, 1]])])
    counts = bin_spikes(rec, 1.0)
    assert counts["time"].values.tolist() == [1.0, 3.0]
    assert np.array_equal(counts.values, [[1, 1], [1, NAN]], equal_nan=True)
    assert counts.attrs["spikes_outside"] == 0


def test_weights_are_summed_as_floats():
    rec = from_spikes([[0.5, 1.5], [0.6]], t_start=0, t_stop=2)
    rec["spike_weight"] = ("spike", [0.25, 2.0, 4.0])
    counts = bin_spikes(rec, 1.0)
    assert counts.values.tolist() == [[0.25, 4.0], [2.0, 0.0]] and counts.dtype == np.float64
    trials = bin_spikes(rec, 1.0, trials=[[0, 1], [1, 2]])
    assert trials.values[:, 0].tolist() == [[0.25, 4.0], [2.0, 0.0]]


def test_trials_have_their_own_clock_and_a_mask():
    rec = from_spikes([[0.5, 1.2, 3.1, 4.9]], t_start=0, t_stop=4.5)
    counts = bin_spikes(rec, 0.5, trials=[[0.0, 1.5], [3.0, 5.0]], ragged=True)
    assert counts["time"].values == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert counts["mask"].values.tolist() == [[True] * 3 + [False], [True] * 3 + [False]]
    assert counts.values[:, :, 0].tolist() == [[1, 0, 1, 0], [1, 0, 0, 0]]
    assert counts["start"].values.tolist() == [0.0, 3.0]
    assert counts["time"].attrs["long_name"] == "end of the bin since the trial's start"
    assert counts["start"].attrs == {"units": "s", "long_name": "start of the trial"}
    for trials, kind, said in (
        ([[0.0, 1.5], [3.0, 4.5 + 0.5]], ShapeError,
         "Trials have 3 to 4 bins, 2 of which are missing or lie outside their trial"),
        ([[0.0, 1.0], [2.0, 2.4]], DataError, r"Trial 1 is 0\.4 s long, a bin 0\.5 s"),
        ([[0.0, 1.0], [2.0, 2.0]], DataError, "Trial 1 runs from 2 to 2 s"),
        ([[0.0, NAN]], DataError, "Trial 0 runs from 0 to nan s"),
        ([0.0, 1.0], ShapeError, r"trials has shape \(2,\)"),
        (np.empty((0, 2)), ShapeError, r"trials has shape \(0, 2\)"),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            bin_spikes(rec, 0.5, trials=trials)
    with pytest.raises(ShapeError, match="2 to 3 bins, 1 of which lie outside their trial"):
        bin_spikes([[0.5]], 0.5, trials=[[0, 1.5], [0, 1]])
    with pytest.raises(DataError, match="trials=True came for spikes without intervals"):
        bin_spikes([[0.5]], 0.5, trials=True)
    assert bin_spikes(rec, 0.5, trials=False).dims == ("time", "unit")
    assert bin_spikes(rec, 0.5, trials=True).shape == (1, 9, 1)
