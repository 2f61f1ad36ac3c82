"""Checks at the very edge of what passes, and what is said on the other side."""

import warnings

import numpy as np
import pytest
import xarray as xr

from neurornn._core.checks import (
    check_bin_size,
    check_clock,
    check_count,
    check_finite_or_missing,
    check_frame_times,
    check_interval,
    check_labels,
    check_number,
    check_numbers,
    check_ranges,
    check_rng,
    check_rows,
    check_sampling_rate,
    check_spike_times,
    check_spike_trains,
    find_blocks,
)
from neurornn._core.errors import DataError, KindError, ShapeError, UnitError, UnitWarning, nearest
from neurornn._core.jobs import _call_numbered, chunk_slices, progress_bar
from neurornn._core.quantities import OF_DATA, Quantity
from neurornn._core.status import Status, remedies_of, status_variable
from neurornn._core.values import _shown


def test_rates_and_bins_from_the_slowest_to_the_fastest():
    assert check_sampling_rate(0.51) == 0.51 and check_sampling_rate(1e6) == 1e6
    with pytest.raises(UnitError, match=r"is 0\.5 Hz, one frame every 2 s.*Then pass 2 or 500 Hz"):
        check_sampling_rate(0.5)
    with pytest.raises(UnitError, match=r"is 1\.5e\+06 Hz, above 1 MHz.*it is 1500 Hz"):
        check_sampling_rate(1.5e6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_bin_size(1.0) == 1.0 and check_bin_size(1e-6) == 1e-6
    with pytest.warns(
        UnitWarning, match=r"bin_size is 1\.5 s. Are these ms\? Then pass 0\.0015\."
    ):
        assert check_bin_size(1.5) == 1.5
    with pytest.warns(UnitWarning):
        assert check_bin_size(86400.0) == 86400.0
    for width in (0.9e-6, 86401.0):
        with pytest.raises(UnitError, match="from 1e-06 s to a day, 86400 s"):
            check_bin_size(width)


def test_stamps_increase_by_less_than_two_seconds_and_more_than_a_microsecond():
    assert check_frame_times([0.0, 1.99]).tolist() == [0.0, 1.99]
    assert check_frame_times([5.0]).tolist() == [5.0]
    # The steps of a clock near 0 are told apart to far less than a microsecond.
    assert len(check_frame_times([0.0, 1.01e-6])) == 2
    with pytest.raises(UnitError, match="time advances by 2 from frame to frame"):
        check_frame_times([0.0, 2.0])
    with pytest.raises(UnitError, match="time advances by 9e-07 s from frame"):
        check_frame_times([0.0, 0.9e-6])
    for stamps, said in (
        (
            [0.0, 1.0, 1.0, 1.0],
            "time does not increase: stamp 2 is 1 after 1.*2 stamps stand twice",
        ),
        ([0.0, 2.0, 1.0], "stamp 2 is 1 after 2.*Sort the frames"),
        ([0.0, 1.0, np.nan], "time holds 1 values that are not finite"),
    ):
        with pytest.raises(DataError, match=said):
            check_clock(stamps)
    with pytest.raises(ShapeError, match=r"time has shape \(1, 2\)"):
        check_clock([[0.0, 1.0]])
    assert len(check_clock([])) == 0


def train(step, n, short=0):
    """So many intervals of one length, some of which are of half a second."""
    steps = np.full(n, float(step))
    steps[:short] = 0.5
    return np.concatenate([[0.0], np.cumsum(steps)])


@pytest.mark.parametrize(
    ("trains", "told"),
    [
        # A median of more than 100 s is none of a cell; ten spikes are too few to say.
        ([train(101, 10)], "is 101 s. Are these ms"),
        ([train(100, 10)], None),
        ([train(101, 9)], None),
        # ln 2 / 10 of 300 intervals, 20.8, should be under a second; a tenth, 2.1, is little.
        ([train(10, 300)], "and only 0 intervals are under 1 s"),
        ([train(10, 300, 2)], "and only 2 intervals are under 1 s"),
        ([train(10, 300, 3)], None),
        ([train(10, 288)], None),
        ([train(10, 144), train(10, 156)], "and only 0 intervals"),
        # Cells that rest for 3 s or less are not suspected.
        ([train(3, 300)], None),
        ([train(3.1, 300)], "only 0 intervals"),
        # Short intervals of any cell count.
        ([train(10, 300), train(0.5, 20)], None),
    ],
)
def test_times_in_ms_are_suspected_by_their_intervals(trains, told):
    if told is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_spike_trains(trains)
    else:
        with pytest.warns(UnitWarning, match=told):
            check_spike_trains(trains, "x")


def test_spike_times_are_of_one_unit_and_finite():
    assert check_spike_times([[1.0, 2.0]]).tolist() == [1.0, 2.0]
    for given, kind, said in (
        (np.zeros((2, 2)), ShapeError, r"x has shape \(2, 2\)"),
        ([1.0, np.nan, np.inf], DataError, "x holds 2 values that are not finite"),
        ([1e31], DataError, "x holds values as large as 1e"),
    ):
        with pytest.raises(kind, match=said):
            check_spike_times(given, "x")
    with pytest.raises(KindError, match=r"x is one ndarray of shape \(3,\)"):
        check_spike_trains(np.zeros(3), "x")
    with pytest.raises(KindError, match=r"x is one int\. A list"):
        check_spike_trains(3, "x")


def test_stretches_end_at_steps_longer_than_half_as_much_again():
    time = np.array([0.0, 1.0, 2.5, 3.5, 5.1, 6.1])
    assert find_blocks(time, 1.0).tolist() == [[0, 4], [4, 6]]
    assert find_blocks(time, 1.0, 0.4).tolist() == [[0, 2], [2, 4], [4, 6]]
    assert find_blocks(time, 1.1).tolist() == [[0, 6]]
    assert find_blocks(np.array([1.0]), 1.0).tolist() == [[0, 1]]


def test_ranges_may_have_no_length():
    assert [x.tolist() for x in check_ranges(1.0, 1.0)] == [[1.0], [1.0]]
    with pytest.raises(DataError, match="a holds 1 and b 2 times"):
        check_ranges([1.0], [1.0, 2.0], ("a", "b"))


@pytest.mark.parametrize(
    ("limits", "unit", "needed"),
    [
        ({}, "1", "A finite number was needed"),
        ({"above": 0}, "s", "A finite number above 0 in s was needed"),
        (
            {"least": 1, "most": 2},
            "1",
            "A finite number of at least 1 and of at most 2 was needed",
        ),
        (
            {"above": 1, "below": 2.5},
            "Hz",
            "A finite number above 1 and below 2.5 in Hz was needed",
        ),
    ],
)
def test_a_number_that_is_none_says_the_limits(limits, unit, needed):
    with pytest.raises(DataError) as caught:
        check_number(np.inf, "x", unit, **limits)
    assert (caught.value.came, caught.value.needed) == ("x is inf", needed)
    assert caught.value.remedy == (
        "Check x, and pass one in that range" if unit == "1" else "Check x and its unit"
    )


def test_numbers_as_large_as_fill_values():
    # A number may be as large as any float; an array of measured values may not.
    assert check_number(1e31, "x") == 1e31 and check_number(np.float32(2), "x") == 2.0
    check_finite_or_missing(np.array([1e30, -1e30, np.nan]), "x")
    check_finite_or_missing(np.empty(0), "x")
    for value in (1.1e30, -1.1e30):
        with pytest.raises(DataError, match=r"x holds values as large as 1\.1e\+30"):
            check_finite_or_missing(np.array([value, 0.0]), "x")


def test_counts_have_a_least_and_a_most():
    assert check_count(0, "n", 0) == 0 and check_count(5, "n", 1, 5) == 5
    assert check_count(10**9, "n") == 10**9 and check_rng(2**64 - 1) == 2**64 - 1
    for value, least, said in (
        (6, 1, "A whole number of at least 1 and at most 5 was needed"),
        (1, 2, "A whole number of at least 2 was needed"),
        (2.5, 1, "A whole number of at least 1 was needed"),
    ):
        with pytest.raises(DataError) as caught:
            check_count(value, "n", least, 5)
        assert caught.value.needed == said
    for rng in (-1, 2**64):
        with pytest.raises(DataError, match=f"rng is {rng}"):
            check_rng(rng)


def test_an_interval_names_the_bound_that_is_wrong():
    for value, said in (
        ((0.0, 1.0), r"x\[0\] is 0"),
        ((1.0, -1.0), r"x\[1\] is -1"),
        ((1.0, 1.0), r"x is \(1, 1\)"),
    ):
        with pytest.raises(DataError, match=said):
            check_interval(value, "x")


def test_long_values_are_shown_in_sixty_letters():
    assert _shown("a" * 58) == "'" + "a" * 58 + "'"
    assert _shown("a" * 59) == "'" + "a" * 56 + "..."
    assert _shown(10**5000) == "a very large int"
    assert _shown(np.array([[1], [2]])) == "array([[1], [2]])"


class Pint:
    """A quantity that knows no way to another unit."""

    magnitude, units = 3.0, "furlong"


class Plain(Pint):
    units = "dimensionless"


def test_quantities_without_a_way_to_plain_numbers_are_refused():
    with pytest.raises(
        UnitError, match=r"x is in furlong\. A number without a unit, or one in s,"
    ):
        check_number(Pint(), "x", "s")
    with pytest.raises(UnitError, match=r"x is in furlong\. A number without a unit was needed"):
        check_numbers([[Pint()]], "x")
    assert check_number(Plain(), "x") == 3.0


def test_labels_and_rows_of_words():
    assert check_labels(["a", "b"], "x").dtype.kind == "U"
    assert check_labels([1, 2.5, True], "x").tolist() == [1.0, 2.5, 1.0]
    assert check_labels(np.array(["a", None], object), "x", missing=True).tolist() == ["a", None]
    for given, kind, said in (
        (["a", 1], KindError, "x holds int, str"),
        (np.array([1 + 1j]), KindError, "x holds complex128"),
        ([None, np.nan, 1], DataError, "2 of 3 x are missing"),
        (np.array(["NaT", "2020"], "datetime64[D]"), DataError, "1 of 2 x are missing"),
        (iter([1]), KindError, "x is a list_iterator"),
        (np.zeros(2, dtype=[("a", "f8")]), KindError, "x holds"),
    ):
        with pytest.raises(kind, match=said):
            check_labels(given, "x")
    with pytest.raises(KindError, match=r"x is a list that is not an array"):
        check_rows([None, "a"], "x")
    with pytest.raises(DataError, match="x holds 1 infinite"):
        check_rows(np.array([1.0, np.inf]), "x")
    assert check_rows(xr.DataArray([True, False]), "x").dtype == bool


# ------------------------------------------------------------------ jobs, names, codes


def test_chunks_have_at_least_one_item():
    assert chunk_slices(3, 0) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert chunk_slices(5, 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert chunk_slices(0, 2) == []
    assert _call_numbered(4, lambda a, b: {"sum": np.array(a + b)}, (1,), (2,))[0] == 4


def test_a_bar_is_drawn_in_a_terminal_alone(monkeypatch):
    import sys

    import tqdm.auto

    drawn = []

    class Bar:
        def __init__(self, **settings):
            drawn.append(settings)

        def update(self):
            drawn.append("update")

        def close(self):
            drawn.append("close")

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress_bar(5, 2, True, "cells") as tick:
        tick()
    assert drawn == [
        {"total": 5, "initial": 2, "desc": "cells", "unit": "chunk"}, "update", "close",
    ]  # fmt: skip
    drawn.clear()
    heard = []
    with progress_bar(5, 2, lambda done, total: heard.append((done, total)), "") as tick:
        tick()
        tick()
    assert heard == [(3, 5), (4, 5)] and drawn == []
    with progress_bar(5, 2, False, "") as tick:
        tick()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with progress_bar(5, 2, True, "") as tick:
        tick()
    assert drawn == []


def test_the_nearest_name_or_all_of_them():
    assert nearest("dfff", ["dff", "spikes"]) == "Did you mean 'dff'?"
    assert nearest("xyz", ["b", "a"]) == "Known names: a, b."
    assert nearest("xyz", []) == "Known names: none."


def test_three_parts_are_three_sentences():
    error = DataError(" x is 3 ", "Less was needed!", "Is this ms?")
    assert str(error) == "x is 3. Less was needed! Is this ms?"
    assert (error.came, error.needed, error.remedy) == (
        " x is 3 ", "Less was needed!", "Is this ms?",
    )  # fmt: skip


def test_codes_bring_their_remedies():
    dims, values, attrs = status_variable(
        ("unit",), ["ok", "too_noisy", "mine"], {"mine": "Look."}
    )
    assert dims == ("unit",) and values.tolist() == ["ok", "too_noisy", "mine"]
    assert attrs == {
        "long_name": "status", "remedy_of_too_noisy": Status.TOO_NOISY.remedy,
        "remedy_of_mine": "Look.",
    }  # fmt: skip
    told = remedies_of(xr.DataArray(["ok", "mine", "diverged", "odd"], attrs=attrs, dims="unit"))
    assert told == {
        "diverged": Status.DIVERGED.remedy, "mine": "Look.",
        "odd": "No remedy is known for this code.",
    }  # fmt: skip
    assert remedies_of(xr.DataArray("ok")) == {}


def test_a_quantity_of_the_data_needs_their_unit():
    made = Quantity(name="x", units=OF_DATA, long_name="x", method="m")
    with pytest.raises(UnitError, match="x came without the unit of the data"):
        made.of(1.0)
    told = made.of(1.0, units="furlong", reason="why")
    assert (told.units, told.reason, told.of_data) == ("furlong", "why", True)
    own = Quantity(name="x", units="s", long_name="x", method="m").of(1.0, units="ms")
    assert (own.units, own.of_data) == ("s", False)
