"""One checker: each mistake gets a three-part error, none gets through."""

import warnings

import numpy as np
import pytest
import xarray as xr

from neurornn._core.checks import (
    check_bin_size,
    check_choice,
    check_count,
    check_frame_times,
    check_interval,
    check_labels,
    check_number,
    check_numbers,
    check_positive,
    check_ranges,
    check_rng,
    check_sampling_rate,
    check_spike_times,
    check_spike_trains,
    find_blocks,
)
from neurornn._core.errors import (
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
    ThreePartError,
    UnitError,
    UnitWarning,
)
from neurornn.data.series import as_series

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
        as_series(values, **options)
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
        traces = as_series(values, **options)
        assert np.array_equal(traces.values, GOOD)
        # The rate read from a time axis has the rounding of its stamps.
        assert traces.sampling_rate == pytest.approx(30.0, rel=1e-9)
        assert traces.time == pytest.approx(TIME)
        assert traces.blocks.tolist() == [[0, 600]]


def test_a_gap_starts_a_new_block():
    time = TIME.copy()
    time[300:] += 5.0
    assert as_series(labelled(time=time)).blocks.tolist() == [[0, 300], [300, 600]]
    # A late frame is no gap.
    assert len(find_blocks(np.array([0, 1, 2.4, 3.4]), 1.0)) == 1


def test_some_missing_frames_are_kept_as_missing():
    values = GOOD.copy()
    values[5] = np.nan
    assert np.isnan(as_series(values, sampling_rate=30.0).values[5]).all()


def test_likely_milliseconds_are_warned_about():
    with pytest.warns(UnitWarning, match="Are these ms"):
        check_bin_size(20)
    with pytest.warns(UnitWarning, match="Are these ms"):
        check_spike_times(np.arange(0, 1e5, 500.0))
    with pytest.raises(UnitError, match="timedelta"):
        check_frame_times(np.arange(5).astype("timedelta64[ms]"))


# --- numbers ---


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.array(2), np.array(2.0)])
def test_a_number_may_be_any_real_one(value):
    assert check_number(value, "gap", "s", least=2) == 2.0
    assert check_positive(value, "gap") == 2.0
    assert check_count(value, "n") == 2


@pytest.mark.parametrize(
    "value",
    ["2", b"2", None, True, np.True_, 2j, [2.0], (1.0, 2.0), np.array([2.0]), {"a": 2},
     np.datetime64("2020-01-01"), np.timedelta64(2, "s"), np.timedelta64(2, "ns"), abs, object()],
)  # fmt: skip
def test_what_is_no_number_is_a_kind_error(value):
    with pytest.raises(KindError, match=r"gap is .* in s was needed. Pass gap as a plain number"):
        check_number(value, "gap", "s")
    with pytest.raises(KindError, match="whole number of at least 1"):
        check_count(value, "n")
    with pytest.raises(KindError, match=r"rate.*Hz was needed"):
        check_sampling_rate(value)


@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, -1, 3.5, 10**400, -(10**400), np.float32("nan")]
)
def test_a_number_out_of_range_is_a_data_error(value):
    with pytest.raises(DataError, match=r"of at least 0 and below 3 in s was needed"):
        check_number(value, "gap", "s", least=0, below=3)


def test_limits_that_are_allowed_themselves():
    assert check_number(0, "x", least=0) == 0 and check_number(3, "x", most=3) == 3
    for bad in ({"above": 0}, {"below": 0}):
        with pytest.raises(DataError, match=f"number {next(iter(bad))} 0 was needed"):
            check_number(0, "x", **bad)


@pytest.mark.parametrize("value", [0, -1, 1.5, np.nan, np.inf, 1e300, 10**30])
def test_a_count_is_whole_and_bounded(value):
    with pytest.raises(DataError, match="whole number"):
        check_count(value, "n")


@pytest.mark.parametrize(
    ("rate", "kind", "words"),
    [
        ("fast", KindError, "'fast', a str"),
        ("30", KindError, "'30', a str"),
        (np.nan, DataError, "nan.*above 0 in Hz"),
        (0, DataError, "is 0.*above 0 in Hz"),
        (1 / 30, UnitError, "frame interval.*pass 30"),
        (2e6, UnitError, r"2e\+06 Hz, above 1 MHz.*In mHz it is 2000 Hz"),
        (1e300, UnitError, "above 1 MHz"),
        ([30.0, 30.0], KindError, "a list"),
    ],
)
def test_a_rate_that_is_none_says_the_number_and_what_to_do(rate, kind, words):
    with pytest.raises(kind, match=words) as caught:
        check_sampling_rate(rate)
    assert all(len(p) > 5 for p in (caught.value.came, caught.value.needed, caught.value.remedy))


@pytest.mark.parametrize("width", [1e-300, 1e-9, 1e6, 1e300])
def test_a_bin_of_another_unit_is_refused(width):
    with pytest.raises(UnitError, match="Pass the width in s"):
        check_bin_size(width)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(3.0, KindError), ("ab", KindError), ((1, 2, 3), KindError), (None, KindError),
     ((2.0, 1.0), DataError), ((0.0, 1.0), DataError), ((1.0, np.nan), DataError),
     ((0.1, "x"), KindError)],
)  # fmt: skip
def test_bounds_are_two_numbers_in_order(value, kind):
    assert check_interval([0.1, 2], "tau_bounds") == (0.1, 2.0)
    with pytest.raises(kind, match="tau_bounds"):
        check_interval(value, "tau_bounds", "s")


@pytest.mark.parametrize("value", ["adamw", 3, None, ["adam"], np.array(["adam", "lbfgs"]), {}])
def test_a_choice_offers_the_nearest(value):
    assert check_choice("adam", "optimizer", ("adam", "lbfgs")) == "adam"
    with pytest.raises(NameUnknownError, match="One of 'adam', 'lbfgs' was needed"):
        check_choice(value, "optimizer", ("adam", "lbfgs"))


def test_random_numbers_are_drawn_from_a_seed_or_a_generator():
    for good in (None, 0, np.int64(3), np.random.default_rng(0), np.random.SeedSequence(1)):
        assert check_rng(good) is good or check_rng(good) == good
    for bad in (-1, 0.5, "0", [0], np.nan):
        with pytest.raises((DataError, KindError), match="rng is"):
            check_rng(bad)


# --- arrays ---


@pytest.mark.parametrize("order", ["C", "F"])
def test_good_numbers_come_through_whatever_their_layout(order):
    good = np.arange(12.0).reshape(4, 3)
    frozen = good.copy()
    frozen.setflags(write=False)
    masked = np.ma.masked_array(good, mask=good == 5)
    for values in (
        np.asarray(good, order=order), good.astype(">f8"), good.astype(np.int16), frozen,
        good[::-1][::-1], good.astype(object), good.tolist(), xr.DataArray(good),
    ):  # fmt: skip
        found = check_numbers(values, "x", missing=True)
        assert found.dtype == np.float64 and np.array_equal(found, good)
    found = check_numbers(masked, "x", missing=True)
    assert np.isnan(found[1, 2]) and np.isnan(found).sum() == 1


def test_a_tensor_with_a_gradient_is_an_array():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float64, torch.bfloat16, torch.int32):
        given = torch.ones(3, 2).to(dtype)
        given = given.requires_grad_() if dtype.is_floating_point else given
        assert np.array_equal(check_numbers(given, "x"), np.ones((3, 2)))
    with pytest.raises(KindError, match="sparse"):
        check_numbers(torch.eye(3).to_sparse(), "x")


NO_NUMBERS = {
    "text": (np.array(["a", "b"]), KindError),
    "text that reads like numbers": (np.array(["1", "2"], dtype=object), KindError),
    "bytes": (b"\x00", KindError),
    "None": (None, KindError),
    "None inside": (np.array([1.0, None]), KindError),
    "a dict": ({"a": 1}, KindError),
    "a set": ({1.0}, KindError),
    "a generator": ((x for x in (1.0,)), KindError),
    "complex": (np.ones(3) * 1j, KindError),
    "structured": (np.zeros(3, dtype=[("a", "f8")]), KindError),
    "times": (np.zeros(3, dtype="datetime64[s]"), UnitError),
    "ragged": ([[1.0, 2.0], [1.0]], ShapeError),
    "a huge whole number": (np.array([10**400], dtype=object), DataError),
    "a recording": (xr.Dataset({"a": ("t", [1.0])}), KindError),
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_what_is_no_array_of_numbers_is_refused_in_three_parts(case):
    values, kind = NO_NUMBERS[case]
    with pytest.raises(kind, match=r"^x ") as caught:
        check_numbers(values, "x")
    error = caught.value
    assert all(len(part) > 10 for part in (error.came, error.needed, error.remedy))


@pytest.mark.parametrize(
    ("odd", "words"),
    [(np.inf, "1 infinite"), (-np.inf, "1 infinite"), (9.969209968386869e36, "fill values"),
     (1e300, "fill values"), (-np.finfo(float).max, "fill values")],
)  # fmt: skip
def test_infinite_and_fill_values_are_refused(odd, words):
    values = np.ones((3, 2))
    values[1, 1] = odd
    for missing in (True, False):
        with pytest.raises(DataError, match=f"counts holds.*{words}"):
            check_numbers(values, "counts", missing=missing)
    values[1, 1] = np.nan
    assert np.isnan(check_numbers(values, "counts", missing=True)).sum() == 1
    with pytest.raises(DataError, match="counts holds 1 NaN"):
        check_numbers(values, "counts", missing=False)


@pytest.mark.parametrize(
    "labels", [[1, "a"], [None, 1], {"a": 1}, (x for x in "ab"), "word", [[1], [2, 3]], object()]
)
def test_labels_of_two_kinds_or_none_are_refused(labels):
    with pytest.raises((KindError, DataError), match="groups"):
        check_labels(labels, "groups")


def test_one_array_is_not_a_list_of_trains():
    assert [len(t) for t in check_spike_trains([[0.1, 0.2], [], (0.3,)])] == [2, 0, 1]
    for bad in (np.ones(3), "spikes", {"a": [1]}, None, 3, (x for x in ())):
        with pytest.raises(KindError, match="one 1-D array of times"):
            check_spike_trains(bad)
    with pytest.raises(ShapeError, match=r"spike_times\[0\] has shape \(2, 2\)"):
        check_spike_trains([np.ones((2, 2))])


def test_starts_and_stops_go_together():
    begin, end = check_ranges(1.0, 2.0)
    assert begin.tolist() == [1.0] and end.tolist() == [2.0]
    for start, stop, said in (
        ([1.0], [0.5], "start holds 1 and stop 1 times, or a stop lies before its start"),
        ([1.0, 2.0], [3.0], "start holds 2 and stop 1 times"),
        ([np.nan], [1.0], "start holds 1 NaN"),
        ([[1.0]], [[2.0]], "As many starts as stops"),
    ):
        with pytest.raises(DataError, match=said):
            check_ranges(start, stop)


def test_a_time_axis_in_days_is_no_time_axis_in_seconds():
    with pytest.raises(UnitError, match="hours or days"):
        check_frame_times(TIME / 86400 / 1000)
    with pytest.raises(KindError, match="time is a list that is not an array of real numbers"):
        check_frame_times([f"t{k}" for k in range(5)])


def irregular(rate, duration, seed, refractory=0.002):
    """Spike times in s of a neuron with a refractory period, in s."""
    steps = refractory + np.random.default_rng(seed).exponential(1 / rate, int(rate * duration))
    return np.cumsum(steps)


@pytest.mark.parametrize("rate", [0.05, 0.3, 2.0, 10.0, 60.0])
def test_trains_in_ms_are_suspected_and_trains_in_s_are_not(rate):
    for seed in range(5):
        trains = [irregular(rate, 600, 10 * seed + k) for k in range(12)]
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnitWarning)
            check_spike_trains(trains)
        with pytest.warns(UnitWarning, match="divide by 1000"):
            check_spike_trains([1000 * t for t in trains])


def test_one_train_of_a_minute_at_10_hz_in_ms_is_suspected_in_company():
    trains = [1000 * irregular(10, 60, k) for k in range(20)]
    with pytest.warns(UnitWarning, match="only 0 intervals are under"):
        check_spike_trains(trains)


def test_a_pacemaker_of_1_hz_is_no_neuron_in_ms():
    steady = np.cumsum(1 + 0.05 * np.random.default_rng(0).standard_normal(600))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnitWarning)
        check_spike_times(steady)


def test_rows_come_in_any_form_of_numbers_or_words():
    from neurornn._core.checks import check_rows

    assert check_rows([[1, 2], [3, 4]], "x").tolist() == [[1, 2], [3, 4]]
    hidden = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    found = check_rows(hidden, "x")
    assert np.isnan(found[1]) and found[[0, 2]].tolist() == [1.0, 3.0]
    assert check_rows(["a", "b"], "x").dtype.kind == "U"
    assert check_rows(np.array(["a", "b"], dtype=object), "x").dtype.kind == "U"
    assert check_rows(np.array([1, 2], dtype=np.int8), "x").dtype == np.int8
    with pytest.raises(ShapeError, match="single value"):
        check_rows(3.0, "x")


def test_labels_come_through_as_what_they_are():
    torch = pytest.importorskip("torch")
    for given, kind in (
        ([1, 2], "i"), ((True, False), "b"), (["a", "b"], "U"),
        (np.array(["a", "b"], object), "O"),
        (np.array([1.5, 2.0]), "f"), (xr.DataArray(["a", "b"]), "U"), (torch.tensor([1, 2]), "f"),
        (np.array([1, 2.5], dtype=object), "O"), (np.array(["2020-01-01"], "datetime64[D]"), "M"),
    ):  # fmt: skip
        found = check_labels(given, "groups")
        assert found.dtype.kind == kind and len(found) == len(given)
    for absent in ([1.0, np.nan], np.array([1, None], object), np.array(["a", np.nan], object)):
        with pytest.raises(DataError, match="1 of 2 groups are missing"):
            check_labels(absent, "groups")
        assert len(check_labels(absent, "groups", missing=True)) == 2
    with pytest.raises(KindError, match="groups holds int, str"):
        check_labels(np.array([1, "a"], dtype=object), "groups")
