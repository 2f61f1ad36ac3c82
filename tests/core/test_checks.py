"""One checker: each mistake gets a three-part error, none gets through."""

import numpy as np
import pytest
import xarray as xr

from neurornn._core.checks import (
    as_traces,
    check_bin_size,
    check_frame_times,
    check_spike_times,
    find_blocks,
)
from neurornn._core.errors import (
    DataError,
    KindError,
    ShapeError,
    ThreePartError,
    UnitError,
    UnitWarning,
)

TIME = (np.arange(600) + 1) / 30
GOOD = np.random.default_rng(0).standard_normal((600, 3))


def labelled(values=GOOD, time=TIME, **attrs):
    return xr.DataArray(values, dims=("time", "unit"), coords={"time": time}, attrs=attrs)


BAD = {
    "empty": (np.empty((0, 3)), {"sampling_rate": 30.0}, DataError),
    "all NaN": (np.full((600, 2), np.nan), {"sampling_rate": 30.0}, DataError),
    "constant": (np.ones((600, 2)), {"sampling_rate": 30.0}, DataError),
    "transposed": (GOOD.T, {"sampling_rate": 30.0}, ShapeError),
    "ms for s": (labelled(time=1000 * TIME), {}, UnitError),
    "frames for s": (labelled(time=30 * TIME + 0.0 * TIME), {"sampling_rate": 30.0}, UnitError),
    "no rate": (GOOD, {}, UnitError),
    "interval for rate": (GOOD, {"sampling_rate": 1 / 30}, UnitError),
    "negative rate": (GOOD, {"sampling_rate": -30.0}, DataError),
    "rate as text": (GOOD, {"sampling_rate": "fast"}, KindError),
    "two rates": (labelled(sampling_rate=15.0), {}, UnitError),
    "3 frames": (GOOD[:3, :1], {"sampling_rate": 30.0}, DataError),
    "infinite": (np.where(GOOD > 2, np.inf, GOOD), {"sampling_rate": 30.0}, DataError),
    "text": (np.array([["a", "b"]] * 600), {"sampling_rate": 30.0}, KindError),
    "complex": (GOOD + 1j, {"sampling_rate": 30.0}, KindError),
    "a recording": (xr.Dataset({"dff": labelled()}), {}, KindError),
    "three axes": (GOOD[:, :, None], {"sampling_rate": 30.0}, ShapeError),
    "other dims": (labelled().rename(unit="cell"), {}, ShapeError),
    "time backwards": (labelled(time=TIME[::-1]), {}, DataError),
    "NaN in time": (labelled(time=np.where(TIME > 19, np.nan, TIME)), {}, DataError),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_traces_are_refused_in_three_parts(case):
    values, options, kind = BAD[case]
    with pytest.raises(kind) as caught:
        as_traces(values, **options)
    error = caught.value
    assert isinstance(error, ThreePartError)
    assert all(len(part) > 10 for part in (error.came, error.needed, error.remedy))
    assert str(error).count(".") + str(error).count("?") >= 3


def test_good_traces_come_out_in_one_form():
    for values, options in (
        (labelled(), {}),
        (labelled().transpose("unit", "time"), {}),
        (labelled(sampling_rate=30.0), {"sampling_rate": 30.0}),
        (GOOD, {"sampling_rate": 30.0}),
    ):
        traces = as_traces(values, **options)
        assert np.array_equal(traces.values, GOOD)
        # The rate read from a time axis has the rounding of its stamps.
        assert traces.sampling_rate == pytest.approx(30.0, rel=1e-9)
        assert traces.time == pytest.approx(TIME)
        assert traces.blocks.tolist() == [[0, 600]]


def test_a_gap_starts_a_new_block():
    time = TIME.copy()
    time[300:] += 5.0
    assert as_traces(labelled(time=time)).blocks.tolist() == [[0, 300], [300, 600]]
    # A late frame is no gap.
    assert len(find_blocks(np.array([0, 1, 2.4, 3.4]), 1.0)) == 1


def test_some_missing_frames_are_kept_as_missing():
    values = GOOD.copy()
    values[5] = np.nan
    assert np.isnan(as_traces(values, sampling_rate=30.0).values[5]).all()


def test_likely_milliseconds_are_warned_about():
    with pytest.warns(UnitWarning, match="Are these ms"):
        check_bin_size(20)
    with pytest.warns(UnitWarning, match="Are these ms"):
        check_spike_times(np.arange(0, 1e5, 500.0))
    with pytest.raises(UnitError, match="timedelta"):
        check_frame_times(np.arange(5).astype("timedelta64[ms]"))
