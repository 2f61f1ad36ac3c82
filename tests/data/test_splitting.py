from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, SplitError
from neurornn.data import (
    SequenceSet,
    bin_spikes,
    check_windows,
    cluster_by_kmers,
    from_spikes,
    from_traces,
    join_trials,
    restrict,
    set_intervals,
    split_blocks,
    split_groups,
    split_trials,
    support,
)

FRACTIONS = st.lists(st.floats(0.1, 1), min_size=2, max_size=4).map(
    lambda f: tuple(np.array(f) / np.sum(f))
)


def _trials(n=6, frames=50, rate=10.0):
    rng = np.random.default_rng(0)
    return join_trials(
        [from_traces(rng.normal(size=(frames, 2)), sampling_rate=rate) for _ in range(n)], gap=3.0
    )


@given(FRACTIONS, st.floats(0, 3), st.integers(200, 400))
@settings(max_examples=40, deadline=None)
def test_blocks_are_disjoint_in_order_and_cover_all_but_the_gaps(fractions, gap, n):
    rec = from_traces(np.arange(2.0 * n).reshape(n, 2), sampling_rate=10)
    parts = split_blocks(rec, fractions, gap=gap)
    stamps = [p["time"].values for p in parts]
    for before, after in pairwise(stamps):
        # From the end of one part to the beginning of the next part's first frame.
        assert after[0] - 0.1 - before[-1] >= gap - 1e-6
    kept = np.concatenate(stamps)
    assert len(np.unique(kept)) == len(kept)
    # Each of the cuts may lose a frame on either side besides its gap.
    assert len(kept) >= n - (len(parts) - 1) * (gap * 10 + 2)
    for share, part in zip(fractions, stamps, strict=True):
        usable = n / 10 - gap * (len(parts) - 1)
        # A part loses at most a frame at each of its two ends.
        assert abs(len(part) / 10 - share * usable) <= 0.2 + 1e-6


def test_fractions_are_of_recorded_time_so_that_a_pause_does_not_count():
    rec = _trials(2, frames=100)
    late = rec.assign_coords(time=rec["time"].where(rec["time"] < 11, rec["time"] + 500).values)
    late = late.drop_dims("interval")
    first, second = split_blocks(late, (0.5, 0.5), gap=0.0)
    assert first.sizes["time"] == second.sizes["time"] == 100
    assert second["time"].values[0] > 500


def test_every_clock_is_cut_at_the_same_place():
    rng = np.random.default_rng(1)
    rec = from_spikes([np.sort(rng.uniform(0, 100, 5000))], t_start=0, t_stop=100)
    rec = rec.assign(
        position=("sample", np.zeros(1000)), sample_time=("sample", np.arange(1000) / 10)
    )
    train, test = split_blocks(rec, (0.8, 0.2), gap=2.0)
    stop, start = support(train)[-1, 1], support(test)[0, 0]
    assert start - stop == pytest.approx(2.0)
    assert train["spike_times"].values.max() <= stop
    assert test["spike_times"].values.min() > start
    assert test["sample_time"].values.min() > start
    assert int(train["spike_count"].sum()) == train.sizes["spike"]


def test_a_variable_is_split_like_its_recording():
    counts = bin_spikes([np.linspace(0.01, 99.9, 500)], 0.1)
    train, test = split_blocks(counts, (0.5, 0.5), gap=1.0)
    assert isinstance(train, xr.DataArray)
    assert train.name == "counts"
    assert train.attrs == counts.attrs
    assert test["time"].values[0] - 0.1 - train["time"].values[-1] >= 1.0 - 1e-9


@given(st.integers(3, 12), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_trials_stay_whole_and_in_one_part(n, seed):
    rec = _trials(n, frames=10)
    parts = split_trials(rec, (0.6, 0.2, 0.2), rng=seed)
    starts = np.concatenate([p["start"].values for p in parts])
    assert sorted(starts) == sorted(rec["start"].values)
    assert all(p.sizes["time"] == 10 * p.sizes["interval"] for p in parts)
    stamps = np.concatenate([p["time"].values for p in parts])
    assert sorted(stamps) == sorted(rec["time"].values)


def test_trials_of_an_array_and_same_seed_same_split():
    counts = bin_spikes([[0.5]], 0.1, trials=np.stack([np.arange(10.0), np.arange(10.0) + 1], 1))
    one, other = split_trials(counts, (0.7, 0.3), rng=3)
    assert (one.sizes["trial"], other.sizes["trial"]) == (7, 3)
    again = split_trials(counts, (0.7, 0.3), rng=3)[0]
    assert np.array_equal(one["trial"], again["trial"])
    assert not set(one["trial"].values) & set(other["trial"].values)


@given(st.lists(st.integers(0, 9), min_size=30, max_size=120), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_no_group_is_in_two_parts_and_no_part_is_empty(groups, seed):
    labels = np.array([*groups, 0, 1, 2])
    parts = split_groups(np.arange(len(labels)), labels, (0.7, 0.15, 0.15), rng=seed)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    kinds = [set(labels[p]) for p in parts]
    assert all(kinds)
    assert sum(map(len, kinds)) == len(set.union(*kinds))


def test_many_small_groups_meet_the_fractions():
    labels = np.repeat(np.arange(100), 3)
    sizes = [len(p) for p in split_groups(np.arange(300), labels, (0.7, 0.2, 0.1), rng=0)]
    # Whole groups of three rows: off by less than one group.
    assert np.abs(np.array(sizes) - [210, 60, 30]).max() < 3


def test_groups_split_whatever_has_rows():
    labels = ["a", "a", "b", "c"]
    genes = SequenceSet.from_sequences(labels, ["AC", "AG", "AT", "CC"])
    parts = split_groups(genes, labels, (0.5, 0.5), rng=0)
    assert sum(map(len, parts)) == 4
    assert {n for p in parts for n in p.names} == {"a", "b", "c"}
    assert sum(len(p) for p in split_groups(["w", "x", "y", "z"], labels, (0.5, 0.5), rng=0)) == 4


@given(st.integers(1, 30), st.integers(0, 270))
@settings(max_examples=60, deadline=None)
def test_check_windows_passes_exactly_the_windows_inside_a_stretch(length, first):
    rec = _trials(6, frames=50)
    stretches = support(rec)
    time = rec["time"].values
    start, stop = time[first] - 0.1, time[min(first + length - 1, 299)]
    inside = first // 50 == min(first + length - 1, 299) // 50
    if inside:
        check_windows([start], [stop], stretches)
    else:
        with pytest.raises(SplitError, match="join"):
            check_windows([start], [stop], stretches)


def test_a_window_over_a_split_edge_raises():
    rec = from_traces(np.arange(200.0).reshape(100, 2), sampling_rate=10)
    train, _ = split_blocks(rec, (0.5, 0.5), gap=0.0)
    check_windows([4.0], [5.0], support(train))
    with pytest.raises(SplitError, match="1 of 2 windows"):
        check_windows([4.0, 4.1], [5.0, 5.1], support(train))


def test_restrict_to_several_ranges_keeps_the_joins():
    rec = from_traces(np.arange(200.0).reshape(100, 2), sampling_rate=10)
    part = restrict(rec, [1.0, 5.0], [2.0, 6.0])
    assert part.sizes["time"] == 20
    assert support(part).tolist() == pytest.approx(np.array([[1.0, 2.0], [5.0, 6.0]]))
    touching = restrict(rec, [1.0, 2.0], [2.0, 3.0])
    # Trials that touch are one stretch of time, but a window may still not span the two.
    assert len(support(touching)) == 2


def test_the_first_spike_of_a_recording_survives_a_cut():
    rec = from_spikes([[0.0, 1.0]])
    assert restrict(rec, *support(rec)[0]).sizes["spike"] == 2


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: split_blocks(r, (0.5, 0.6)), SplitError, "sum 1"),
        (lambda r: split_blocks(r, (1.0,)), SplitError, "sum 1"),
        (lambda r: split_blocks(r, (1.2, -0.2)), SplitError, "sum 1"),
        (lambda r: split_blocks(r, (0.5, 0.5), gap=-1), SplitError, "gap"),
        (lambda r: split_blocks(r, (0.5, 0.5), gap=100), SplitError, "empty"),
        (lambda r: split_blocks(r, (0.999, 0.001), gap=0), SplitError, "Part 2 of 2"),
        (lambda r: split_blocks(np.zeros((5, 2))), KindError, "BlockedSplit"),
        (lambda r: split_trials(r), SplitError, "set_intervals"),
        (lambda r: split_trials(set_intervals(r, [0.0, 2.0], [3.0, 5.0]), (0.5, 0.5)), SplitError,
         "overlap"),
        (lambda r: split_trials(set_intervals(r, [0.0], [3.0])), SplitError, "1 trials"),
        (lambda r: split_groups(np.zeros(4), [1, 1, 1, 1], (0.5, 0.5)), SplitError, "1 groups"),
        (lambda r: split_groups(np.zeros(4), [1, 2], (0.5, 0.5)), ShapeError, "each row"),
    ],
)  # fmt: skip
def test_mistakes_say_what_to_do(call, error, words):
    rec = from_traces(np.arange(200.0).reshape(100, 2), sampling_rate=10)
    with pytest.raises(error, match=words):
        call(rec)


def test_few_groups_still_leave_no_part_empty():
    for seed in range(20):
        parts = split_groups(np.arange(30), np.repeat([0, 1, 2], 10), (0.8, 0.1, 0.1), rng=seed)
        assert [len(p) for p in parts] == [10, 10, 10]


def test_jittered_frames_are_in_one_part_only():
    rng = np.random.default_rng(6)
    time = np.cumsum(0.1 + 0.02 * rng.uniform(-1, 1, 300))
    rec = from_traces(rng.normal(size=(300, 1)), time=time)
    for share in np.linspace(0.2, 0.8, 40):
        stamps = [p["time"].values for p in split_blocks(rec, (share, 1 - share), gap=0.0)]
        assert not set(stamps[0]) & set(stamps[1])


def test_trials_that_touch_are_in_order_and_those_that_overlap_by_a_frame_are_not():
    rec = from_traces(np.arange(200.0)[:, None], sampling_rate=10.0)
    touching = set_intervals(rec, [0, 5, 10, 15], [5, 10, 15, 20])
    parts = split_trials(touching, (0.5, 0.5), rng=0)
    assert sorted(v for p in parts for v in p["dff"].values.ravel()) == list(range(200))
    with pytest.raises(SplitError, match="overlap"):
        split_trials(set_intervals(rec, [0, 4.9, 10, 15], [5, 10, 15, 20]), (0.5, 0.5), rng=0)


def test_a_recording_is_restricted_to_ranges_in_order_on_all_its_clocks():
    rec = from_traces(np.arange(20.0)[:, None], sampling_rate=10.0)
    both = restrict(rec, [0.0, 1.0], [0.5, 1.5])
    # (start, stop]: the frame that ends at the start is out, that at the stop is in.
    assert both["dff"].values.ravel().tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert both["start"].values.tolist() == [0.0, 1.0]
    assert restrict(rec, [0.0, 0.5], [0.5, 1.0])["dff"].size == 10
    for start, stop in (([0.0, 0.4], [0.5, 1.5]), ([1.0, 0.0], [1.5, 0.5])):
        with pytest.raises(DataError, match="2 starts and 2 stops came, which overlap"):
            restrict(rec, start, stop)
    cut = restrict(set_intervals(rec, [0.0, 1.0], [0.8, 2.0]), 0.5, 1.5)
    assert cut["start"].values.tolist() == [0.5, 1.0] and cut["stop"].values.tolist() == [0.8, 1.5]


def test_groups_of_labelled_rows_keep_their_labels():
    rows = xr.DataArray(np.arange(6), dims="row", coords={"row": list("abcdef")})
    parts = split_groups(rows, ["m", "m", "n", "n", "o", "o"], (0.5, 0.5), rng=0)
    assert sorted(label for p in parts for label in p["row"].values) == list("abcdef")
    for part in parts:
        assert [list("abcdef")[k] for k in part.values] == part["row"].values.tolist()
        assert len(part) in (2, 4)


def test_groups_go_by_the_name_of_a_column():
    letters = ["ACGTACGTAC", "TTTTGGGGCC", "ACGTACGTAC", "GATTACAGAT"]
    species = ["fly", "worm", "worm", "plant"]
    names = [f"s{k}" for k in range(4)]
    genes = SequenceSet.from_sequences(names, letters, groups={"species": species})
    by_name = split_groups(genes, "species", (0.5, 0.5), rng=0)
    by_label = split_groups(genes, species, (0.5, 0.5), rng=0)
    assert [p.names.tolist() for p in by_name] == [p.names.tolist() for p in by_label]
    assert not set(by_name[0].groups["species"]) & set(by_name[1].groups["species"])
    # Near copies: one cluster, whatever the species.
    clusters = cluster_by_kmers(genes, 8)
    one, other = split_groups(genes, clusters, (0.5, 0.5), rng=0)
    assert {"s0", "s2"} <= set(one.names) or {"s0", "s2"} <= set(other.names)
    table = xr.Dataset({
        "contig": ("feature", ["1", "2", "2", "1", "3"]), "start": ("feature", np.arange(5)),
        "length": ("contig_row", [7, 8, 9]),
    })  # fmt: skip
    first, second = split_groups(table, "contig", (0.6, 0.4), rng=0)
    assert not set(first["contig"].values) & set(second["contig"].values)
    assert sorted([*first["start"].values, *second["start"].values]) == list(range(5))
    assert first.sizes["contig_row"] == 3
    same = split_groups(table, table["contig"], (0.6, 0.4), rng=0)
    assert same[0].identical(first)
    with pytest.raises(NameUnknownError, match=r"groups is 'specie'.*'species'"):
        split_groups(genes, "specie")
    with pytest.raises(NameUnknownError, match="no columns"):
        split_groups(np.zeros(3), "contig")
    with pytest.raises(KindError, match="name none of its axes"):
        split_groups(table, ["1", "2", "2", "1", "3"])
