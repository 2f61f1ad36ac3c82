"""Where a split cuts by default, to the frame, and what it says where it cannot."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.sparse import csr_array

from neurornn._core.errors import KindError, ShapeError, SplitError
from neurornn.data import (
    bin_spikes,
    check_windows,
    from_spikes,
    from_traces,
    set_intervals,
    split_blocks,
    split_groups,
    split_trials,
    support,
)
from neurornn.data.splitting import _on_frames


def traces(n=1040, rate=10.0):
    return from_traces(np.arange(float(n))[:, None], sampling_rate=rate)


def test_by_default_70_15_and_15_percent_are_a_second_apart():
    # 104 s less two pauses of 1 s: 102 s, of which 71.4 and twice 15.3 s.
    parts = split_blocks(traces(1020 + 20))
    stamps = [p["time"].values for p in parts]
    assert [len(s) for s in stamps] == [714, 153, 153]
    ends = [(s[0] - 0.1, s[-1]) for s in stamps]
    # Stamps are the ends of frames; sums of 0.1 s are right to some digits.
    assert np.allclose(ends, [(0, 71.4), (72.4, 87.7), (88.7, 104.0)], rtol=0, atol=1e-9)
    assert np.array_equal(np.concatenate([p["dff"].values[:, 0] for p in parts]),
                          np.r_[0:714, 724:877, 887:1040])  # fmt: skip


def test_cuts_count_recorded_time_over_a_pause():
    # Two stretches of 10 s, 90 s apart: halves with a gap of 4 s end 2 s before and begin 2 s
    # after the pause.
    time = np.concatenate([np.arange(1, 101) / 10, 100 + np.arange(1, 101) / 10])
    rec = from_traces(np.arange(200.0)[:, None], time=time)
    one, other = split_blocks(rec, (0.5, 0.5), 4.0)
    assert one["dff"].values[:, 0].tolist() == list(range(80))
    assert other["dff"].values[:, 0].tolist() == list(range(120, 200))
    # Without a gap the cut falls into the pause and no frame is lost.
    one, other = split_blocks(rec, (0.5, 0.5), 0.0)
    assert (one.sizes["time"], other.sizes["time"]) == (100, 100)
    first, _, last = split_blocks(rec, (0.25, 0.5, 0.25), 0.0)
    assert (first.sizes["time"], last.sizes["time"]) == (50, 50)


def test_spikes_alone_are_cut_at_the_very_time():
    rec = from_spikes([[1.0, 4.75, 4.76, 5.25, 5.26, 9.0]], t_start=0.0, t_stop=10.0)
    one, other = split_blocks(rec, (0.5, 0.5), 0.5)
    # (start, stop]: a spike at the end is in, one at the start is out.
    assert one["spike_times"].values.tolist() == [1.0, 4.75]
    assert other["spike_times"].values.tolist() == [5.26, 9.0]
    assert support(one).tolist() == [[0.0, 4.75]] and support(other).tolist() == [[5.25, 10.0]]


def test_a_part_without_a_frame_is_refused_with_its_numbers():
    with pytest.raises(SplitError, match="Part 1 of 2 would be empty: 1 s were recorded, "
                       r"fraction 0\.5, gaps of 1 s"):  # fmt: skip
        split_blocks(traces(10), (0.5, 0.5), 1.0)
    # A tenth of a second for each part is just enough.
    assert [p.sizes["time"] for p in split_blocks(traces(10), (0.5, 0.5), 0.8)] == [1, 1]
    with pytest.raises(SplitError, match=r"gap is -0\.5 s"):
        split_blocks(traces(10), (0.5, 0.5), -0.5)


def test_overlapping_intervals_cannot_be_cut_by_time_and_touching_ones_can():
    rec = traces(100)
    with pytest.raises(SplitError, match="overlap or are not in order"):
        split_blocks(set_intervals(rec, [0.0, 4.0], [5.0, 10.0]), (0.5, 0.5), 0.0)
    halves = split_blocks(set_intervals(rec, [0.0, 5.0], [5.0, 10.0]), (0.5, 0.5), 0.0)
    assert [p.sizes["time"] for p in halves] == [50, 50]


def test_a_variable_keeps_its_name_and_one_without_a_clock_is_refused():
    counts = bin_spikes([[0.5, 3.5]], 0.5, t_start=0.0, t_stop=4.0)
    parts = split_blocks(counts, (0.5, 0.5), 0.0)
    assert [p.name for p in parts] == ["counts", "counts"]
    assert [p.values[:, 0].tolist() for p in parts] == [[1, 0, 0, 0], [0, 0, 1, 0]]
    for given, said in (
        (xr.DataArray(np.zeros(4), dims="time"), "A DataArray with axes time came"),
        (xr.DataArray(np.zeros((2, 4)), dims=("trial", "time"),
                      coords={"time": [1.0, 2, 3, 4]}), "A DataArray with axes trial, time came"),
        (np.zeros(4), "A ndarray came"),
    ):  # fmt: skip
        with pytest.raises(KindError, match=said):
            split_blocks(given, (0.5, 0.5), 0.0)


def test_ranges_move_inward_to_whole_frames():
    rec = traces(10)
    assert _on_frames(rec, 0.05, 0.55) == pytest.approx((0.1, 0.5))
    assert _on_frames(rec, 0.1, 0.5) == pytest.approx((0.1, 0.5))
    # A rounding error to either side is none.
    assert _on_frames(rec, 0.1 + 1e-8, 0.5 - 1e-8) == pytest.approx((0.1, 0.5), abs=1e-9)
    assert _on_frames(rec, 0.0, 1.0) == pytest.approx((0.0, 1.0))
    # No whole frame: an empty range, which the caller refuses.
    assert _on_frames(rec, 0.12, 0.18) == (0.12, 0.12)
    spikes = from_spikes([[0.5]], t_start=0.0, t_stop=1.0)
    assert _on_frames(spikes, 0.12, 0.18) == (0.12, 0.18)
    # A frame that came early begins where the one before it ends; after a gap a frame is as long
    # as the others.
    early = from_traces(np.zeros((4, 1)), time=[1.0, 2.0, 2.9, 4.0])
    assert _on_frames(early, 1.85, 4.0) == pytest.approx((2.0, 4.0), abs=1e-9)
    gap = from_traces(np.zeros((4, 1)), time=[1.0, 2.0, 5.0, 6.0])
    assert _on_frames(gap, 3.5, 6.5) == pytest.approx((4.0, 6.0), abs=1e-9)


# ------------------------------------------------------------------ trials


def test_trials_are_dealt_by_a_permutation_of_the_seed():
    n = 20
    rec = set_intervals(traces(200), np.arange(n), np.arange(n) + 1.0)
    rows = np.random.default_rng(7).permutation(n)
    expected = [np.sort(rows[:14]), np.sort(rows[14:17]), np.sort(rows[17:])]
    parts = split_trials(rec, rng=7)
    assert [p["start"].values.tolist() for p in parts] == [e.tolist() for e in expected]
    assert [p["dff"].values[:, 0].tolist() for p in parts] == [
        [10 * k + i for k in e for i in range(10)] for e in expected
    ]
    array = xr.DataArray(np.arange(n), dims="trial")
    assert [p.values.tolist() for p in split_trials(array, rng=7)] == [
        e.tolist() for e in expected
    ]


def test_what_has_no_trials_is_told_what_it_has():
    with pytest.raises(SplitError, match="The recording has axes time, unit"):
        split_trials(traces(10))
    with pytest.raises(SplitError, match="The recording has axes interval"):
        split_trials(xr.DataArray(np.zeros(4), dims="interval"))
    with pytest.raises(KindError, match="recording is a ndarray"):
        split_trials(np.zeros((4, 2)))
    crossed = set_intervals(traces(30), [1.0, 0.0], [2.0, 1.0])
    with pytest.raises(SplitError, match="Trials overlap or are not in order"):
        split_trials(crossed, (0.5, 0.5))


# ------------------------------------------------------------------ groups


def test_by_default_groups_of_one_size_are_70_15_and_15_percent():
    labels = np.repeat(np.arange(20), 5)
    parts = split_groups(np.arange(100), labels, rng=0)
    assert [len(p) for p in parts] == [70, 15, 15]
    assert all(np.all(np.diff(p) > 0) for p in parts)


def test_the_largest_group_goes_to_the_part_that_lacks_most():
    # 64 rows, of which the parts want 32, 16 and 16: 24 to the first, which then lacks 8; 20 to
    # the second, 12 to the third, and 8 to the first again, which lacks more than the third.
    labels = np.repeat(list("abcd"), [24, 20, 12, 8])
    for seed in range(5):
        parts = split_groups(labels, labels, (0.5, 0.25, 0.25), rng=seed)
        assert ["".join(np.unique(p)) for p in parts] == ["ad", "b", "c"]


def test_the_last_groups_are_kept_for_the_parts_that_are_empty():
    # 32 rows for 24, 4 and 4: the first part lacks 4, as the others do, after 10 and 10; the two
    # groups that are left go to the two empty ones.
    labels = np.repeat(list("abcd"), [10, 10, 8, 4])
    for seed in range(5):
        parts = split_groups(labels, labels, (0.75, 0.125, 0.125), rng=seed)
        assert ["".join(np.unique(p)) for p in parts] == ["ab", "c", "d"]


def test_groups_of_one_size_are_mixed_by_the_seed():
    labels = np.arange(10)
    mixed = np.random.default_rng(5).permutation(10)
    wanted, got = np.array([7.0, 3.0]), [[], []]
    for k in mixed:
        part = int(wanted[1] > wanted[0])
        got[part].append(k)
        wanted[part] -= 1
    parts = split_groups(labels, labels, (0.7, 0.3), rng=5)
    assert [p.tolist() for p in parts] == [sorted(g) for g in got]


def test_rows_of_every_kind_are_dealt_the_same_way():
    labels = [0, 0, 1, 1, 2, 2]
    rows = [p.tolist() for p in split_groups(np.arange(6), labels, (0.5, 0.5), rng=1)]
    for data in ([10, 11, 12, 13, 14, 15], (10, 11, 12, 13, 14, 15)):
        parts = split_groups(data, labels, (0.5, 0.5), rng=1)
        assert parts == tuple([10 + k for k in r] for r in rows)
    frame = pd.DataFrame({"a": np.arange(6) + 10})
    assert [p[:, 0].tolist() for p in split_groups(frame, labels, (0.5, 0.5), rng=1)] == [
        [10 + k for k in r] for r in rows
    ]
    array = xr.DataArray(np.arange(12).reshape(6, 2), dims=("row", "x"))
    for part, r in zip(split_groups(array, labels, (0.5, 0.5), rng=1), rows, strict=True):
        assert np.array_equal(part.values, array.values[r]) and part.dims == ("row", "x")


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: split_groups("abcd", [1, 2, 3, 4]), KindError, "data is a str"),
        (lambda: split_groups({"a": 1}, [1]), KindError, "data is a dict"),
        (lambda: split_groups({1, 2}, [1, 2]), KindError, "data is a set"),
        (lambda: split_groups(3, [1]), KindError, "data is a int"),
        (lambda: split_groups(np.array(3.0), [1]), KindError, "without rows that can be counted"),
        (lambda: split_groups(csr_array(np.eye(3)), [1, 2, 3]), KindError,
         "data is a csr_array without rows"),
        (lambda: split_groups(np.zeros(4), [1, 2]), ShapeError,
         r"groups has shape \(2,\) for 4 rows"),
        (lambda: split_groups(np.zeros(2), [[1, 2], [3, 4]]), ShapeError,
         r"groups has shape \(2, 2\)"),
        (lambda: split_groups(np.zeros(4), [1, 1, 2, 2]), SplitError,
         "2 groups came for 3 parts"),
    ],
)  # fmt: skip
def test_what_cannot_be_dealt_is_named(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_as_many_groups_as_parts_are_enough():
    parts = split_groups(np.arange(6), [0, 0, 0, 0, 1, 2], rng=0)
    assert [len(p) for p in parts] == [4, 1, 1]


# ------------------------------------------------------------------ windows


def test_windows_that_cross_are_counted_and_the_first_is_named():
    stretches = [[10.0, 20.0], [0.0, 5.0]]
    # In any order of the stretches; ends included; a rounding error is none.
    check_windows([0.0, 10.0, 15.0], [5.0, 20.0 + 4e-10, 15.0], stretches)
    check_windows(10.0 - 4e-10, 12.0, stretches)
    with pytest.raises(SplitError, match=r"2 of 4 windows cross .* from 4 to 6 s"):
        check_windows([0.0, 4.0, 10.0, 9.0], [5.0, 6.0, 20.0, 11.0], stretches)
    with pytest.raises(SplitError, match=r"1 of 1 windows cross .* from -1 to 0\.5 s"):
        check_windows([-1.0], [0.5], stretches)
    for start, stop, ranges, said in (
        ([0.0, 1.0], [1.0], stretches, "2 starts, 1 stops and 2 stretches came"),
        ([2.0], [1.0], stretches, "1 starts, 1 stops and 2 stretches"),
        ([0.0], [1.0], np.empty((0, 2)), "1 starts, 1 stops and 0 stretches"),
        ([[0.0]], [[1.0]], stretches, "1 starts, 1 stops and 2 stretches"),
    ):
        with pytest.raises(ShapeError, match=said):
            check_windows(start, stop, ranges)
