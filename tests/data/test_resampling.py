import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import DataError, NameUnknownError, ShapeError
from neurornn.data import resample_to

CLOCK = np.arange(0, 101) / 50
ENDS = np.arange(1, 16) / 10 + 1


def test_a_line_is_kept_and_nothing_is_extrapolated():
    line = resample_to(3 * CLOCK + 1, CLOCK, ENDS)
    seen = ENDS <= 2
    # Linear interpolation of a line is exact but for rounding, 1e-12 of values near 7.
    assert line.values[seen] == pytest.approx(3 * ENDS[seen] + 1, abs=1e-12)
    assert np.isnan(line.values[~seen]).all()


def test_mean_is_the_average_over_the_bin():
    mean = resample_to(CLOCK, CLOCK, ENDS, method="mean")
    # Five samples 20 ms apart, the last on the bin's end: their mean lies 40 ms before it.
    assert mean.values[:10] == pytest.approx(ENDS[:10] - 0.04, abs=1e-12)
    assert np.isnan(mean.values[10:]).all()


@pytest.mark.parametrize("method", ["linear", "mean"])
def test_a_pause_is_not_filled(method):
    seen = (CLOCK < 1.2) | (CLOCK > 1.8)
    out = resample_to(CLOCK[seen], CLOCK[seen], np.arange(1, 20) / 10, method=method)
    assert np.isnan(out.values[12:17]).all()
    assert np.isfinite(out.values[:11]).all()
    if method == "linear":
        filled = resample_to(CLOCK[seen], CLOCK[seen], np.arange(1, 20) / 10, max_gap=10)
        assert np.isfinite(filled.values).all()


def test_missing_samples_are_left_out_and_equal_stamps_averaged():
    out = resample_to([1.0, np.nan, 3.0, 5.0], [0.0, 0.1, 0.2, 0.2], [0.1, 0.2])
    assert out.values == pytest.approx([2.5, 4.0])


def test_labels_and_units_travel():
    position = xr.DataArray(
        np.stack([CLOCK, -CLOCK], 1), dims=("sample", "axis"), coords={"axis": ["x", "y"]},
        name="position", attrs={"units": "cm", "sampling_rate": 50.0},
    )  # fmt: skip
    out = resample_to(position, CLOCK, ENDS)
    assert out.dims == ("time", "axis")
    assert out.name == "position"
    assert out.attrs["units"] == "cm"
    assert "sampling_rate" not in out.attrs
    assert out.sel(axis="y").values[0] == pytest.approx(-1.1)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: resample_to(CLOCK[:5], CLOCK, ENDS), ShapeError, "clock"),
        (lambda: resample_to(CLOCK, CLOCK[::-1], ENDS), DataError, "backwards"),
        (lambda: resample_to(CLOCK, CLOCK, ENDS, method="lineal"), NameUnknownError, "'linear'"),
    ],
)
def test_mistakes_say_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_the_first_bin_after_missing_ones_averages_its_own_width():
    ends = np.array([0.1, 0.2, 0.3, 0.4, 1.0, 1.1])
    mean = resample_to(CLOCK, CLOCK, ends, method="mean")
    # Samples of (0.9, 1.0] only: their mean lies 40 ms before the end, as in every other bin.
    assert mean.values[4] == pytest.approx(0.96, abs=1e-12)


def test_a_sample_on_the_stamp_counts_however_far_its_neighbours_are():
    out = resample_to([1.0, 2.0, 3.0], [0.0, 5.0, 10.0], [4.9, 5.0, 5.1], max_gap=1.0)
    assert np.isnan(out.values[[0, 2]]).all()
    assert out.values[1] == 2.0


def test_a_single_sample_stands_at_its_own_time_alone():
    out = resample_to(np.array([3.0]), np.array([1.5]), np.array([1.0, 1.5, 2.0]))
    assert out.values[1] == 3.0 and np.isnan(out.values[[0, 2]]).all()


def test_a_pause_is_longer_than_what_rounding_makes_of_a_frame():
    # Frames 0.1 s apart, on an hour's clock: each step is off by some parts in 1e13 of it.
    clock = 3600 + np.arange(40) * 0.1
    out = resample_to(clock, clock, clock[:-1] + 0.05)
    assert np.isfinite(out.values).all()


def test_the_rate_of_a_recording_is_stated_or_that_of_its_clock():
    from neurornn._core.errors import UnitError
    from neurornn.data.recording import sampling_rate_of

    one = xr.DataArray([1.0], dims="time", coords={"time": [0.1]}, name="x")
    with pytest.raises(UnitError, match="x has neither a sampling_rate nor a time axis"):
        sampling_rate_of(one)
    two = xr.DataArray([1.0, 2.0], dims="time", coords={"time": [0.1, 0.3]}, name="x")
    assert sampling_rate_of(two) == pytest.approx(5.0)
    assert sampling_rate_of(one.assign_attrs(bin_size=0.5)) == 2.0
    assert sampling_rate_of(one.assign_attrs(sampling_rate=1e6)) == 1e6
    with pytest.raises(UnitError, match=r"x has a rate of 1\.1e\+06 Hz"):
        sampling_rate_of(one.assign_attrs(sampling_rate=1.1e6))
