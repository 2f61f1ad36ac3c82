"""Ranges, edges of bins and starts of clocks, at the very edge of each."""

import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.data import from_spikes, from_traces, restrict, set_intervals, support
from neurornn.data.intervals import as_ranges, intersect
from neurornn.data.observation import (
    joined_observed,
    just_before,
    observed_ranges,
    seen,
    set_observed,
    start_of_clock,
    united,
    without_ranges,
)
from neurornn.data.spike_table import (
    BINS_PER_SPIKE,
    MANY_CELLS,
    MOST_CELLS,
    Spikes,
    as_spikes,
    bin_of,
    check_grid,
    count_attrs,
    grid_start,
    laid,
    time_attrs,
)

# ------------------------------------------------------------------ ranges


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        ([[0, 5]], [[3, 8]], [[3, 5]]),
        ([[0, 5]], [[5, 8]], []),
        ([[0, 2], [4, 9]], [[1, 5], [6, 7], [8, 20]], [[1, 2], [4, 5], [6, 7], [8, 9]]),
        ([[0, 2], [2, 4]], [[1, 3]], [[1, 2], [2, 3]]),
        ([[0, 3], [3, 6]], [[0, 3], [3, 6]], [[0, 3], [3, 6]]),
        ([], [[1, 3]], []),
        ([1, 4], [[2, 3]], [[2, 3]]),
    ],
)
def test_ranges_are_in_common_where_both_have_length(a, b, both):
    assert intersect(a, b).tolist() == both
    assert intersect(b, a).tolist() == both
    assert intersect(a, b).shape == (len(both), 2)


def test_what_is_no_list_of_ranges_is_refused():
    assert as_ranges([]).shape == (0, 2) and as_ranges([1.0, 2.0]).tolist() == [[1.0, 2.0]]
    for bad in (np.zeros((2, 3)), [1.0, 2.0, 3.0], np.zeros((1, 2, 2))):
        with pytest.raises(ShapeError, match="cuts has shape"):
            as_ranges(bad, "cuts")
    with pytest.raises(DataError, match="ranges holds 1 NaN"):
        as_ranges([[0.0, np.nan]])


@pytest.mark.parametrize(
    ("ranges", "holes", "left"),
    [
        ([[0, 10]], [], [[0, 10]]),
        ([[0, 10]], [[0, 10]], []),
        ([[0, 10]], [[-5, 0], [10, 12]], [[0, 10]]),
        ([[0, 10]], [[-5, 1], [9, 12]], [[1, 9]]),
        ([[0, 4], [6, 9]], [[3, 7]], [[0, 3], [7, 9]]),
        ([[6, 9], [0, 4]], [[7, 8], [1, 2]], [[0, 1], [2, 4], [6, 7], [8, 9]]),
        # Ranges that touch or overlap are one; those of no length are none.
        ([[0, 2], [2, 4], [3, 6], [8, 8]], [], [[0, 6]]),
        ([[0, 9], [1, 2], [3, 4]], [], [[0, 9]]),
    ],
)
def test_holes_are_cut_out(ranges, holes, left):
    assert without_ranges(ranges, holes).tolist() == left


def test_the_union_of_what_units_saw():
    each = [np.array([[0.0, 2.0], [5.0, 6.0]]), np.empty((0, 2)), np.array([[1.0, 3.0]])]
    assert united(each).tolist() == [[0.0, 3.0], [5.0, 6.0]]
    assert united([]).shape == (0, 2)


def test_a_bin_is_seen_to_a_millionth_of_its_width():
    start = np.array([0.0, 1.0, 2.0, 3.0])
    for early, late, expected in (
        (0.0, 3.0, [True, True, True, False]),
        (0.9e-6, 3.0 - 0.9e-6, [True, True, True, False]),
        (1.1e-6, 3.0, [False, True, True, False]),
        (0.0, 3.0 - 1.1e-6, [True, True, False, False]),
        (-5.0, 40.0, [True] * 4),
        (3.5, 3.6, [False] * 4),
    ):
        ranges = np.array([[early, late]])
        found = seen([ranges, np.empty((0, 2)), ranges], start, start + 1)
        assert found[:, 0].tolist() == expected == found[:, 2].tolist()
        assert not found[:, 1].any()
    assert seen([np.empty((0, 2))], np.empty(0), np.empty(0)).shape == (0, 1)


def test_observed_ranges_are_told_by_unit_and_position():
    rec = set_observed(from_spikes([[0.5], [0.5]], unit=["a", "b"], t_stop=9.0), [[1, 2], [0, 1]])
    assert rec["observed_start"].values.tolist() == [0.0, 0.0]
    assert rec["observed_stop"].values.tolist() == [2.0, 2.0]
    assert rec["observed_unit"].values.tolist() == [0, 1]
    assert rec["observed_start"].attrs["units"] == rec["observed_stop"].attrs["units"] == "s"
    again = set_observed(rec, [np.array([[3.0, 4]]), np.empty((0, 2))])
    assert [r.tolist() for r in observed_ranges(again)] == [[[3.0, 4.0]], []]
    assert observed_ranges(from_spikes([[0.5]])) is None
    with pytest.raises(DataError, match="units up to position 1 of 1 units"):
        observed_ranges(rec.isel(unit=[0]))
    with pytest.raises(DataError, match="Range 1 of ranges of unit 0 runs from 3 to 1 s"):
        set_observed(rec, [np.array([[0.0, 1], [3, 1]]), np.empty((0, 2))])


def test_trials_bring_what_was_observed_onto_the_clock_they_share():
    one = set_observed(from_spikes([[0.5], [0.5]], t_start=0, t_stop=2), [[0.0, 1.0]])
    other = from_spikes([[0.5], [0.5]], t_start=0, t_stop=2)
    both = from_spikes([[0.5], [0.5]], t_start=0, t_stop=9)
    spans = [(0.0, 2.0), (5.0, 7.0)]
    found = joined_observed([one, other], [0.0, 5.0], spans, both)
    assert [r.tolist() for r in observed_ranges(found)] == [[[0, 1], [5, 7]]] * 2
    found = joined_observed([other, one], [0.0, 5.0], spans, both)
    assert [r.tolist() for r in observed_ranges(found)] == [[[0, 2], [5, 6]]] * 2
    assert joined_observed([other, other], [0.0, 5.0], spans, both) is both


def test_support_is_what_frames_and_intervals_have_in_common():
    rec = from_traces(np.zeros((20, 1)), sampling_rate=10.0)
    assert support(rec) == pytest.approx(np.array([[0.0, 2.0]]))
    cut = set_intervals(rec, [0.5, 1.0], [1.0, 3.0])
    assert support(cut) == pytest.approx(np.array([[0.5, 1.0], [1.0, 2.0]]))
    assert support(from_spikes([[0.5]], t_start=0.25, t_stop=3)).tolist() == [[0.25, 3.0]]
    with pytest.raises(KindError, match="recording is a DataArray"):
        support(rec["dff"])
    with pytest.raises(DataError, match="The recording has axes unit"):
        support(xr.Dataset(coords={"unit": [1]}))


def test_a_cut_keeps_what_lies_in_it_on_every_clock():
    rec = from_spikes([[0.5, 1.0, 2.0], [1.0 + 1e-9, 3.0]], t_start=0, t_stop=4)
    rec["lick"] = ("lick", [1, 2, 3, 4])
    rec["lick_time"] = ("lick", [0.5, 1.0, 2.0, 2.0 + 1e-8])
    part = restrict(rec, 0.5, 2.0)
    # (0.5, 2]: what stands at the start is out, at the end in.
    assert part["spike_times"].values.tolist() == [1.0, 2.0, 1.0 + 1e-9]
    assert part["spike_count"].values.tolist() == [2, 1]
    assert part["lick"].values.tolist() == [2, 3]
    assert (part["start"].values.tolist(), part["stop"].values.tolist()) == ([0.5], [2.0])
    # Half a nanosecond at the edges of frames and behaviour, none for spikes.
    near = restrict(rec, 1.0 - 4e-10, 2.0)
    assert near["lick"].values.tolist() == [3]
    near = restrict(rec, 1.0 - 6e-10, 2.0)
    assert near["lick"].values.tolist() == [2, 3]
    assert restrict(rec, 1.0 - 4e-10, 2.0)["spike_count"].values.tolist() == [2, 1]
    two = restrict(rec, [0.0, 1.5], [0.5, 3.0])
    assert two["spike_times"].values.tolist() == [0.5, 2.0, 3.0]
    assert two["start"].values.tolist() == [0.0, 1.5]
    with pytest.raises(DataError, match="2 starts and 2 stops came, which overlap"):
        restrict(rec, [0.0, 0.9], [1.0, 2.0])
    frames = from_traces(np.arange(5.0)[:, None], sampling_rate=1.0)
    assert "start" not in restrict(frames, 1.0, 3.0)
    joined = restrict(frames, [0.0, 3.0], [1.0, 5.0])
    assert joined["start"].values.tolist() == [0.0, 3.0]
    assert joined["dff"].values[:, 0].tolist() == [0.0, 3.0, 4.0]


# ------------------------------------------------------------------ starts of clocks


@pytest.mark.parametrize(
    ("times", "earliest", "start", "reason"),
    [
        ([], None, 0.0, "0 s: there are no spikes"),
        ([5.0, 8.0], None, 0.0, "0 s: nothing says otherwise"),
        ([0.0, 8.0], None, -1e-9, "first spike, at 0 s"),
        ([-2.5, 8.0], None, -2.5 - 1e-9, "first spike, at -2.5 s"),
        ([4.0, 8.0], -3.0, -3.0, "first time on the clock, at -3 s"),
        ([-4.0, 8.0], -3.0, -4.0 - 1e-9, "first spike, at -4 s"),
        ([], 7.0, 0.0, "0 s: nothing says otherwise"),
        ([], -7.0, -7.0, "first time on the clock, at -7 s"),
        ([1e6], None, 0.0, "0 s: nothing says otherwise"),
    ],
)
def test_a_clock_starts_at_0_unless_something_stands_before_it(times, earliest, start, reason):
    found, told = start_of_clock(np.array(times), earliest)
    assert (found, told) == (pytest.approx(start, abs=1e-15), reason)


@pytest.mark.parametrize(
    ("times", "earliest", "late"),
    [
        # 11 spikes of 1 s: 100 intervals of 0.1 s are 10 s, a tenth of the span 0.1 s.
        (np.linspace(10.1, 11.1, 11), None, True),
        (np.linspace(9.9, 10.9, 11), None, False),
        # 5001 spikes of 1000 s: 100 intervals are 20 s, a tenth of the span 100 s.
        (np.linspace(101, 1101, 5001), None, True),
        (np.linspace(99, 1099, 5001), None, False),
        # Exactly as much is not more.
        ([100.0, 101.0], None, False),
        (np.linspace(100, 1100, 5001), None, False),
        # No spike is alone for eleven days.
        ([1.1e6], None, True),
        ([0.9e6], None, False),
        ([1.1e6, 1.1e6], None, True),
        # Something else on the clock counts as well.
        (np.linspace(10.1, 11.1, 11), 5.0, False),
        ([], 1.1e6, True),
    ],
)
def test_a_silence_that_could_not_be_moves_the_start(times, earliest, late):
    times = np.asarray(times, dtype=float)
    start, reason = start_of_clock(times, earliest)
    if late:
        first = times.min() if len(times) else earliest
        assert start == (just_before(first) if len(times) else first)
        what = "first spike" if len(times) else "first time on the clock"
        assert reason == (
            f"{what}, at {first:.12g} s: on a clock from 0 the silence before it could not be"
        )
    else:
        assert (start, reason) == (0.0, "0 s: nothing says otherwise")


def test_just_before_is_a_nanosecond_or_what_a_float_can_tell_apart():
    assert just_before(1.0) == 1.0 - 1e-9 and just_before(0.0) == -1e-9
    assert just_before(1e12) == np.nextafter(1e12, -np.inf)


# ------------------------------------------------------------------ edges of bins


def test_bins_are_laid_from_a_spike_for_whose_sake_a_range_begins_early():
    times = np.array([1.0, 3.0])
    assert grid_start(times, 1.0 - 1e-9) == 1.0
    assert grid_start(times, 1.0 - 1.4e-9) == 1.0
    for start in (1.0 - 1.6e-9, 1.0 - 4e-10, 1.0, 2.0, 3.0, 4.0):
        assert grid_start(times, start) == start
    # On a late clock as far as two of its smallest steps.
    tick = float(np.spacing(1e9))
    assert grid_start(np.array([1e9]), 1e9 - 2 * tick) == 1e9
    assert grid_start(np.array([1e9]), 1e9 - 3 * tick) == 1e9 - 3 * tick
    offsets = np.array([0.0, 1.0, 2.0])
    assert laid(times, 1.0 - 1e-9, 3.0, offsets).tolist() == [1.0 - 1e-9, 2.0, 3.0]
    # Where the next range begins early, this one ends so.
    assert laid(times, 0.0, 2.0 - 1e-9, offsets).tolist() == [0.0, 1.0, 2.0 - 1e-9]
    assert laid(times, 0.0, 1.9, offsets).tolist() == [0.0, 1.0, 2.0]
    assert laid(times, 0.0, 2.5, offsets).tolist() == [0.0, 1.0, 2.0]


def test_a_spike_on_an_edge_is_in_the_bin_that_is_closed_there():
    edges = np.array([0.0, 1.0, 2.0])
    times = np.array([-1.0, 0.0, 4e-10, 6e-10, 1.0, 1.0 + 4e-10, 1.0 + 6e-10, 2.0, 2.1])
    assert bin_of(edges, times, "right").tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3]
    times = np.array([-1.0, -6e-10, -4e-10, 0.0, 1.0 - 6e-10, 1.0 - 4e-10, 1.0, 2.0])
    assert bin_of(edges, times, "left").tolist() == [0, 0, 1, 1, 1, 2, 2, 3]


def made(n_spikes, n_units=2):
    return Spikes(np.linspace(5, 9, n_spikes), np.zeros(n_spikes, int), np.arange(n_units), None)


def test_more_counts_than_memory_holds_and_mostly_empty_ones_are_refused():
    check_grid(MOST_CELLS / 2, made(0), told=True)
    with pytest.raises(DataError, match=r"2\.15e\+09 bins of 2 units came for 3 spikes, from 5"):
        check_grid(MOST_CELLS, made(3), told=True)
    # Unless they were asked for: a thousand bins a spike are many, in all many more.
    n = MANY_CELLS / 2 + 1
    enough = int(np.ceil(n / BINS_PER_SPIKE))
    check_grid(n, made(enough), told=False)
    check_grid(n - 1, made(1), told=False)
    check_grid(n, made(1), told=True)
    with pytest.raises(DataError, match="bins of 2 units"):
        check_grid(n, made(enough - 1), told=False)
    with pytest.raises(DataError, match=r"came for 0 spikes\. At most 2\.1e"):
        check_grid(n, made(0), told=False)


def test_spikes_of_all_units_come_into_one_order():
    table = as_spikes([[2.0, 3.0], [1.0, 2.0]])
    assert table.times.tolist() == [1.0, 2.0, 2.0, 3.0] and table.owner.tolist() == [1, 0, 1, 0]
    assert table.unit.tolist() == [0, 1] and table.weights is None
    rec = from_spikes([[2.0, 3.0], [1.0, 2.0]], unit=["a", "b"], t_start=0, t_stop=4)
    rec["spike_weight"] = ("spike", [1.0, 2.0, 3.0, 4.0])
    table = as_spikes(rec)
    assert table.weights.tolist() == [3.0, 1.0, 4.0, 2.0] and table.unit.tolist() == ["a", "b"]
    assert table.stretches.tolist() == [[0.0, 4.0]] and table.observed is None
    bare = as_spikes(rec.drop_vars(["unit", "start", "stop"]))
    assert bare.unit.tolist() == [0, 1] and bare.stretches is None
    with pytest.raises(DataError, match="No units came"):
        as_spikes([])
    with pytest.raises(NameUnknownError, match="The recording holds dff"):
        as_spikes(from_traces(np.zeros((9, 1)), sampling_rate=1.0))
    with pytest.raises(NameUnknownError, match="holds no variables"):
        as_spikes(xr.Dataset())


def test_counts_say_their_width_and_which_end_they_close():
    assert count_attrs(0.5)["convention"] == time_attrs("end")["convention"]
    left = count_attrs(0.5, 0, "left")
    assert left == {
        "units": "1", "long_name": "spikes per bin", "bin_size": 0.5, "spikes_outside": 0,
        "convention": "bin k stands for the interval [(k-1)*dt, k*dt) before its time stamp",
    }  # fmt: skip
    assert "spikes_outside" not in count_attrs(0.5)
    assert time_attrs("end", "left") == {
        "units": "s", "long_name": "end", "convention": left["convention"],
    }  # fmt: skip
