"""The numbers at which the checkers turn: each limit is tried on both sides, and at itself."""

import re
import warnings

import numpy as np
import pytest

from neurornn._core.checks import (
    check_bin_size,
    check_clock,
    check_count,
    check_frame_times,
    check_number,
    check_numbers,
    check_ranges,
    check_rng,
    check_sampling_rate,
    check_spike_times,
    check_spike_trains,
    find_blocks,
)
from neurornn._core.confidence import (
    binomial_interval,
    bootstrap_interval,
    conformal_halfwidth,
    delta_interval,
    growing_halfwidth,
    median_interval,
    profile_interval,
)
from neurornn._core.errors import DataError, ShapeError, UnitError, UnitWarning


@pytest.mark.parametrize(
    ("check", "low", "low_is_in", "high", "high_is_in"),
    [
        # Above a frame every 2 s, to 1 MHz itself.
        (check_sampling_rate, 0.5, False, 1e6, True),
        # From 1 us to a day, both themselves.
        (check_bin_size, 1e-6, True, 86400.0, True),
    ],
)
def test_rates_and_bins_have_their_limits(check, low, low_is_in, high, high_is_in):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnitWarning)
        assert check(low * 1.01) == low * 1.01 and check(high * 0.99) == high * 0.99
        for limit, inside, beyond in ((low, low_is_in, 0.99), (high, high_is_in, 1.01)):
            if inside:
                assert check(limit) == limit
            else:
                with pytest.raises(UnitError, match=f"is {limit:g} .*was needed"):
                    check(limit)
            with pytest.raises(UnitError, match=re.escape(f"is {limit * beyond:g} ")):
                check(limit * beyond)


def test_a_bin_of_a_second_is_no_reason_for_a_warning_and_a_longer_one_is():
    assert check_bin_size(1.0) == 1.0
    with pytest.warns(UnitWarning, match=r"Then pass 0\.0011"):
        check_bin_size(1.1)


def test_stamps_may_not_stand_twice_nor_go_back_and_the_remedy_says_which():
    assert check_clock([0.0, 1.0, 3.0]).tolist() == [0.0, 1.0, 3.0]
    with pytest.raises(DataError, match="2 stamps stand twice"):
        check_clock([0.0, 1.0, 1.0, 2.0, 2.0])
    with pytest.raises(DataError, match=r"stamp 2 is 1 after 1(.|\n)*Sort the frames"):
        check_clock([0.0, 1.0, 1.0, 0.5])
    with pytest.raises(ShapeError, match=r"time has shape \(1, 2\).*in one dimension"):
        check_clock([[0.0, 1.0]])
    assert len(check_clock([2.0])) == 1


@pytest.mark.parametrize(
    ("step", "fits"), [(1.9, True), (2.0, False), (1e-6, True), (0.9e-6, False)]
)
def test_frames_are_less_than_two_seconds_and_no_less_than_a_microsecond_apart(step, fits):
    stamps = np.arange(2) * step
    if fits:
        assert check_frame_times(stamps)[1] == step
    else:
        with pytest.raises(UnitError, match=f"time advances by {step:g} .*from frame to frame"):
            check_frame_times(stamps)


def test_a_range_may_be_empty_but_not_turned():
    begin, end = check_ranges([0.0, 2.0], [1.0, 2.0])
    assert (begin.tolist(), end.tolist()) == ([0.0, 2.0], [1.0, 2.0])
    with pytest.raises(DataError, match="start holds 2 and stop 1 times"):
        check_ranges([0.0, 2.0], [1.0])
    with pytest.raises(DataError, match="before its start"):
        check_ranges([0.0, 2.0], [1.0, 1.9])


def test_times_of_a_unit_lie_along_one_dimension():
    assert check_spike_times(np.array([[1.0], [2.0]])).tolist() == [1.0, 2.0]
    assert check_spike_times(np.array([[1.0, 2.0]])).shape == (2,)
    with pytest.raises(ShapeError, match=r"spike_times has shape \(2, 2\).*one dimension"):
        check_spike_times(np.ones((2, 2)))


def test_ten_spikes_are_too_few_to_suspect_milliseconds():
    assert len(check_spike_times(np.arange(10) * 150.0)) == 10
    with pytest.warns(UnitWarning, match="median interspike interval of spike_times is 150 s"):
        check_spike_times(np.arange(11) * 150.0)
    # A median of 100 s itself is believed.
    assert len(check_spike_trains([np.arange(11) * 100.0])[0]) == 11


def test_a_step_half_a_frame_too_long_is_still_no_gap():
    time = np.array([0.0, 1.0, 2.5, 3.5, 5.01, 6.01])
    assert find_blocks(time, 1.0).tolist() == [[0, 4], [4, 6]]
    assert find_blocks(time, 1.0, tolerance=0.4).tolist() == [[0, 2], [2, 4], [4, 6]]


def test_intervals_need_as_many_samples_as_their_level_says():
    rng = np.random.default_rng(0)
    assert np.isnan(bootstrap_interval([1.0, 2.0], rng=0)).all()
    low, high = bootstrap_interval([1.0, 2.0, 3.0], rng=0)
    assert 1.0 <= low < 2.0 < high <= 3.0
    # 2 / 2^5 lies above 0.05, 2 / 2^6 below.
    assert np.isnan(median_interval(np.arange(5.0))).all()
    assert median_interval(np.arange(6.0)) == (0.0, 5.0)
    assert median_interval(np.arange(9.0)[::-1]) == (1.0, 7.0)
    assert np.isnan(median_interval([])).all()
    assert np.isnan(binomial_interval(0, 0)).all()
    # The ninth of nine errors covers a tenth value with 0.9; of eight none does.
    assert conformal_halfwidth(-np.arange(9.0)) == 8.0
    assert conformal_halfwidth(np.arange(8.0)) == np.inf
    assert conformal_halfwidth(np.arange(19.0), 0.5) == 9.0
    # Errors that grow with a size are told from those that do not.
    size = np.linspace(0, 4, 4001)
    growth, half = growing_halfwidth(rng.choice([-1, 1], 4001) * (1 + 0.5 * size), size)
    assert (growth, half) == (pytest.approx(0.5, rel=1e-6), pytest.approx(1.0, rel=1e-6))
    assert growing_halfwidth(1 + 0 * size, size)[0] == pytest.approx(0.0, abs=1e-9)
    assert growing_halfwidth(np.ones(5), np.ones(5)) == (0.0, np.inf)


def test_a_profile_without_an_end_on_one_side_says_so_there():
    low, high = profile_interval(lambda x: min(x, 1.0) ** 2 if x > 0 else x**2, 0.0, step=1.0)
    assert low == pytest.approx(-1.959964, rel=1e-3) and np.isnan(high)
    low, high = profile_interval(lambda x: (x - 3) ** 2 / 4, 3.0, step=2.0, lower=1.0)
    assert np.isnan(low) and high == pytest.approx(3 + 2 * 1.959964, rel=1e-3)
    narrow = profile_interval(lambda x: x**2, 0.0, step=1.0, confidence_level=0.8)
    assert narrow == pytest.approx((-1.281552, 1.281552), rel=1e-3)


@pytest.mark.parametrize("kind", [float, int, np.float64, np.int64, np.array])
def test_a_limit_is_allowed_or_not_whatever_the_kind_of_number(kind):
    assert check_number(kind(3), "x", least=3) == check_number(kind(3), "x", most=3) == 3.0
    for limit in ({"above": 3}, {"below": 3}, {"least": 4}, {"most": 2}):
        with pytest.raises(DataError, match="x is 3"):
            check_number(kind(3), "x", **limit)
    assert check_count(kind(3), "n", least=3) == check_count(kind(3), "n", most=3) == 3
    for least, most in ((4, 9), (1, 2)):
        with pytest.raises(DataError, match="n is"):
            check_count(kind(3), "n", least, most)


def test_values_as_large_as_fill_values_are_refused_from_one_limit_on():
    assert check_numbers([1e30, -1e30, np.nan], "x", missing=True)[0] == 1e30
    with pytest.raises(DataError, match=r"as large as 1\.01e\+30"):
        check_numbers([-1.01e30], "x", missing=True)


def test_a_seed_may_have_64_bits():
    assert check_rng(2**64 - 1) == 2**64 - 1 and check_rng(0) == 0
    with pytest.raises(DataError, match="rng is 18446744073709551616"):
        check_rng(2**64)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_profile_is_as_exact_on_every_scale(scale):
    found = profile_interval(lambda x: (x / scale) ** 2, 0.0, step=scale)
    # Both ends to a thousandth of a standard error.
    assert np.array(found) / scale == pytest.approx([-1.959964, 1.959964], abs=1e-3)


def test_errors_may_come_as_lists():
    assert delta_interval([2.0, 4.0], [0.5, 1.0]).shape == (2, 2)
    assert delta_interval([2, 4], [1, 1], log=True)[0, 0] == pytest.approx(
        2 * np.exp(-1.959964 / 2)
    )


def test_three_errors_are_enough_for_a_line_and_two_are_not():
    sizes = np.array([0.0, 1.0, 2.0])
    assert growing_halfwidth([1.0, 2.0, 3.0], sizes)[0] == pytest.approx(1.0)
    assert growing_halfwidth([1.0, 2.0], sizes[:2])[0] == 0.0
