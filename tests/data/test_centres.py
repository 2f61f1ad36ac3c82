"""Whether times are the centres of bins or moments, at the edges of what may be either."""

import numpy as np
import pytest

from neurornn._core.errors import DataError
from neurornn.data.centres import bin_width, check_samples, step_of


def width(time, *support):
    return bin_width(np.array(time, dtype=float), np.array(support, dtype=float).reshape(-1, 2))


@pytest.mark.parametrize(
    ("time", "support", "expected"),
    [
        ([0.5, 1.5, 2.5], [(0, 3)], 1.0),
        ([0.5, 1.5, 10.5], [(0, 2), (10, 11)], 1.0),
        # A range without a time says nothing.
        ([0.5, 1.5], [(0, 2), (5, 6)], 1.0),
        ([0.5, 1.5], [(-3, -2), (0, 2)], 1.0),
        # Moments: the support begins with the first of them, or one step before.
        ([0.0, 1.0, 2.0], [(0, 2)], None),
        ([1.0, 2.0, 3.0], [(0, 3)], None),
        ([], [(0, 3)], None),
        ([5.0], [(0, 3)], None),
        # The second range does not begin half a bin before its first time.
        ([0.5, 1.5, 10.3], [(0, 2), (10, 11)], None),
        ([0.5, 1.5, 10.5 + 9e-7], [(0, 2), (10, 11)], 1.0),
        ([0.5, 1.5, 10.5 + 1.1e-6], [(0, 2), (10, 11)], None),
        ([0.5, 1.5, 10.5 - 9e-7], [(0, 2), (10, 11)], 1.0),
        ([0.5, 1.5, 10.5 - 1.1e-6], [(0, 2), (10, 11)], None),
        # One bin alone is as wide as its range.
        ([0.5], [(0, 1)], 1.0),
        ([0.5], [(0, 1.2)], None),
        ([0.5], [(0, 0.9)], None),
        ([0.5, 5.5], [(0, 1), (5, 6)], 1.0),
        ([0.5, 5.5], [(0, 1), (5, 6.5)], None),
        # Steps are as wide as the bins, to a thousandth.
        ([0.5, 1.5009, 2.5], [(0, 3)], 1.0),
        ([0.5, 1.5011, 2.5], [(0, 3)], None),
        ([0.5, 1.4989, 2.5], [(0, 3)], None),
        ([0.5, 1.5, 3.5], [(0, 4)], None),
        # A step over a pause between two ranges is none.
        ([0.5, 1.5, 7.5, 8.5], [(0, 2), (7, 9)], 1.0),
        # From a start other than 0.
        ([3.25, 3.75], [(3, 4)], 0.5),
        ([-0.75, -0.25], [(-1, 0)], 0.5),
    ],
)
def test_centres_lie_half_a_bin_behind_the_start_of_their_range(time, support, expected):
    assert width(time, *support) == expected


def test_the_width_is_that_of_all_the_stamps_to_ten_digits():
    # Stamps that were rounded to microseconds: the first says 0.033332, all of them a thirtieth.
    time = np.round((np.arange(3001) + 0.5) / 30, 6)
    found = bin_width(time, np.array([[0.0, 100.04]]))
    assert found == float(f"{(time[-1] - time[0]) / 3000:.10g}")
    assert found == pytest.approx(1 / 30, abs=1e-9) and len(repr(found)) <= 13
    # On a clock of 1e9 s the stamps themselves are no finer than 1.2e-7 s.
    late = 1e9 + (np.arange(50) + 0.5) * 0.02
    assert bin_width(late, np.array([[1e9, 1e9 + 1]])) == pytest.approx(0.02, rel=1e-6)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ([0.0, 1.0, 2.0], 1.0),
        ([0.0, 0.5], 0.5),
        ([1.0], None),
        ([], None),
        ([1.0, 1.0, 1.0], None),
        # A step of half as much again is late, more is a gap.
        ([0.0, 1.0, 2.0, 3.0, 4.5], None),
        ([0.0, 1.0, 2.0, 3.0, 4.6], 1.0),
        ([0.0, 1.0, 2.0, 10.0, 11.0], 1.0),
        ([0.0, 1.0, 2.0009, 3.0], 1.0),
        ([0.0, 1.0, 2.0021, 3.0], None),
        ([0.0, 1.0, 1.9979, 3.0], None),
    ],
)
def test_a_step_is_even_to_a_thousandth_gaps_aside(time, expected):
    found = step_of(np.array(time, dtype=float))
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-3))


TENTHS = [1.1, 2.1, 3.1]
HALVES = [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("time", "support", "values", "whole", "asked"),
    [
        # A cut through a step: counts, and rates that are whole numbers of a bin, are asked
        # about; other values and what is below 0 only where half a bin matters.
        (TENTHS, [(1.0, 3.3)], [1, 0, 2], True, "always"),
        (TENTHS, [(1.0, 3.3)], [1, 0, 2], False, "always"),
        (TENTHS, [(1.0, 3.3)], [1.5, 0, 2], False, "sure"),
        (TENTHS, [(1.0, 3.3)], [-1, 0, 2], True, "sure"),
        (TENTHS, [(1.0, 3.3)], [0, 0, 0], True, "always"),
        (TENTHS, [(1.0, 3.3)], [0, 0, 0], False, "sure"),
        (TENTHS, [(1.0, 3.3)], [1, 0, np.nan], False, "sure"),
        # Stamps at odd multiples of half a step, cut: whatever the values are.
        (HALVES, [(0.4, 2.7)], [1.3, -0.2, 0.1], False, "always"),
        (HALVES, [(0.5, 2.5)], [1.3, -0.2, 0.1], False, "sure"),
        # The first or the last at such a place is not enough.
        ([0.5, 1.5, 2.5, 11.2], [(0.5, 11.2)], [1.3, 0, 0, 0], False, "never"),
        # Supports that samples have: from the first to the last, or a step before the first.
        (TENTHS, [(1.1, 3.1)], [1, 0, 2], True, "never"),
        (TENTHS, [(0.1, 3.1)], [1, 0, 2], True, "never"),
        (TENTHS, [(0.1 + 9e-4, 3.1)], [1, 0, 2], True, "never"),
        (TENTHS, [(0.1 + 2e-3, 3.1)], [1, 0, 2], True, "always"),
        (TENTHS, [(0.1 - 2e-3, 3.1)], [1, 0, 2], True, "always"),
        (TENTHS, [(1.1 - 9e-7, 3.1)], [1, 0, 2], True, "never"),
        (TENTHS, [(1.1 - 2e-6, 3.1)], [1, 0, 2], True, "always"),
        # Behind the last one: half a step went through a bin, other ends do not say.
        (TENTHS, [(1.1, 3.6)], [1, 0, 2], True, "always"),
        (TENTHS, [(1.1, 3.6 + 9e-4)], [1, 0, 2], True, "always"),
        (TENTHS, [(1.1, 3.6 + 2e-3)], [1, 0, 2], True, "never"),
        (TENTHS, [(1.1, 3.6 - 2e-3)], [1, 0, 2], True, "never"),
        (TENTHS, [(1.1, 3.5)], [1, 0, 2], True, "never"),
        # Every range is looked at, and one without a time is not.
        ([1.1, 2.1, 3.1, 9.1, 10.1], [(1.1, 3.1), (8.8, 10.1)], [1, 0, 2, 1, 1], True, "always"),
        ([1.1, 2.1, 3.1, 9.1, 10.1], [(1.1, 3.1), (8.1, 10.1)], [1, 0, 2, 1, 1], True, "never"),
        (TENTHS, [(7.0, 8.0), (1.0, 3.3)], [1, 0, 2], True, "always"),
        (TENTHS, [(7.0, 8.0), (1.1, 3.1)], [1, 0, 2], True, "never"),
        # Uneven times are no bins; without a support nothing is known.
        ([1.1, 2.1, 3.3], [(1.0, 3.3)], [1, 0, 2], True, "never"),
        (TENTHS, [], [1, 0, 2], True, "never"),
    ],
)
def test_what_may_be_bins_is_asked_about(time, support, values, whole, asked):
    given = (
        np.array(time),
        np.array(support, dtype=float).reshape(-1, 2),
        np.array(values, dtype=float),
    )
    for sure in (False, True):
        if asked == "always" or (asked == "sure" and sure):
            with pytest.raises(DataError, match="nothing says whether"):
                check_samples(*given, whole=whole, sure=sure)
        else:
            check_samples(*given, whole=whole, sure=sure)


@pytest.mark.parametrize(("values", "asked"), [([10.0, 0, 20], True), ([1.0, 0, 2], False)])
def test_rates_are_whole_numbers_of_a_bin(values, asked):
    # Steps of 0.1 s: 10 Hz is one spike, 1 Hz a tenth of one.
    given = (np.array([0.11, 0.21, 0.31]), np.array([[0.1, 0.33]]), np.array(values))
    if asked:
        with pytest.raises(DataError, match="nothing says whether"):
            check_samples(*given, whole=False, sure=False)
    else:
        check_samples(*given, whole=False, sure=False)


@pytest.mark.parametrize(("whole", "what"), [(True, "Whole numbers"), (False, "Values")])
def test_the_question_names_the_times_and_the_start_of_the_support(whole, what):
    with pytest.raises(DataError) as caught:
        check_samples(
            np.array(TENTHS), np.array([[1.0, 2.6], [3.0, 3.3]]), np.ones(3), whole=whole,
            sure=False,
        )  # fmt: skip
    assert caught.value.came == (
        f"{what} came at 1.1, 2.1, ... s and a time support from 1 s: nothing says whether the "
        "times are the centres of bins, as those of count and bin_average, or moments"
    )
