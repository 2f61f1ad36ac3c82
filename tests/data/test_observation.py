import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurornn as nr
from neurornn._core.errors import DataError, ShapeError
from neurornn.data import bin_spikes, from_spikes, join_trials, restrict, select_units
from neurornn.data.observation import (
    observed_ranges,
    seen,
    set_observed,
    start_of_clock,
    without_ranges,
)
from neurornn.data.recording import rate_of_stamps
from tests.data.doubles import IntervalSet, Ts, TsGroup

RANGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 8)).map(lambda p: (p[0], p[0] + p[1])), max_size=6
)


@given(RANGES, RANGES, st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_a_bin_is_seen_where_every_moment_of_it_is(ranges, holes, width):
    left = without_ranges(ranges, holes) if ranges else np.empty((0, 2))
    moment = np.arange(0, 50, 0.5) + 0.25
    inside = np.zeros(len(moment), dtype=bool)
    for a, b in ranges:
        inside |= (moment > a) & (moment < b)
    for a, b in holes:
        inside &= ~((moment > a) & (moment < b))
    start = np.arange(0, 45, width, dtype=float)
    found = seen([left], start, start + width)[:, 0]
    whole = [inside[(moment > a) & (moment < a + width)].all() for a in start]
    assert found.tolist() == whole


@pytest.fixture
def recording():
    trains = [[0.5, 1.5, 2.5, 3.5], [0.5, 3.5], []]
    rec = from_spikes(trains, unit=["a", "b", "c"], t_start=0, t_stop=4)
    return set_observed(
        rec, [np.array([[0, 1.0], [3, 4]]), np.array([[0, 4.0]]), np.empty((0, 2))]
    )


def test_what_was_not_seen_is_missing_never_zero(recording):
    counts = bin_spikes(recording, 1.0)
    np.testing.assert_array_equal(counts.T, [[1, np.nan, np.nan, 1], [1, 0, 0, 1], [np.nan] * 4])
    # The spikes at 1.5 and 2.5 s lie where unit a was not seen.
    assert counts.attrs["spikes_outside"] == 2
    assert counts.sel(unit="a").mean() / 1.0 == 1.0
    on_frames = bin_spikes(recording, time=np.arange(1, 5) * 1.0)
    np.testing.assert_array_equal(on_frames, counts)


def test_where_all_was_seen_counts_stay_whole_numbers(recording):
    assert bin_spikes(select_units(recording, ["b"]), 1.0).dtype == np.int64
    assert bin_spikes(recording, 1.0, t_start=3.0)[:, :2].values.tolist() == [[1.0, 1.0]]


def test_a_hole_in_the_middle_of_a_bin_takes_the_bin():
    rec = set_observed(from_spikes([[0.1, 1.1, 1.9]], t_start=0, t_stop=3), [[0, 1.4], [1.5, 3]])
    np.testing.assert_array_equal(bin_spikes(rec, 1.0)[:, 0], [1, np.nan, 0])


def test_ranges_go_along_with_units_time_and_trials(recording):
    chosen = select_units(recording, ["c", "a"])
    assert [len(r) for r in observed_ranges(chosen)] == [0, 2]
    part = restrict(recording, 0.5, 3.5)
    assert observed_ranges(part)[0].tolist() == [[0.5, 1.0], [3.0, 3.5]]
    with pytest.raises(DataError, match="select_units"):
        observed_ranges(recording.isel(unit=[0]))
    two = [recording.assign_coords(time=np.arange(1, 41) / 10) for _ in range(2)]
    two = [t.assign(dff=(("time", "unit"), np.zeros((40, 3)))) for t in two]
    joined = join_trials([two[0], two[1].drop_dims("observed")], gap=1.0)
    # The second trial begins 5 s after the first, and nothing limits it.
    np.testing.assert_allclose(observed_ranges(joined)[0], [[0, 1], [3, 4], [5, 9]])


def test_trials_miss_what_was_not_seen(recording):
    counts = bin_spikes(recording, 1.0, trials=[[0, 2], [2, 4]])
    np.testing.assert_array_equal(counts[0, :, 0], [1, np.nan])
    assert counts["mask"].values.all()
    alone = select_units(recording, ["a"])
    with pytest.raises(ShapeError, match="were not observed"):
        bin_spikes(alone, 1.0, trials=[[0, 2], [2, 4]])
    ragged = bin_spikes(alone, 1.0, trials=[[0, 2], [2, 4]], ragged=True)
    assert ragged["mask"].values.tolist() == [[True, False], [False, True]]
    assert np.isnan(ragged.values[0, 1, 0])


def test_windows_do_not_score_what_was_not_seen(rng):
    rec = from_spikes([rng.uniform(0, 60, 600)], t_start=0, t_stop=60)
    rec = set_observed(rec, [[0, 20], [30, 60]])
    win = nr.data.windows(
        rec, inputs="interval", targets=bin_spikes(rec, 0.1), duration=60.0, warmup=0.0
    )
    missed = win["mask"].values[0, :, 0]
    assert not missed[200:300].any()
    assert missed[:200].all() and missed[300:].all()


def test_it_is_kept_in_a_file(recording, tmp_path):
    nr.io.write_netcdf(recording, tmp_path / "a.nc")
    again = observed_ranges(nr.open(tmp_path / "a.nc"))
    assert [r.tolist() for r in again] == [r.tolist() for r in observed_ranges(recording)]


def test_edges_hold_on_a_clock_that_counts_from_1970(rng):
    t0 = 1.7e9
    rec = from_spikes([t0 + rng.uniform(0, 100, 500)], t_start=t0, t_stop=t0 + 100)
    rec = set_observed(rec, [[t0, t0 + 40], [t0 + 60, t0 + 100]])
    counts = bin_spikes(rec, 0.02)
    assert int(np.isnan(counts).sum()) == 1000


@pytest.mark.parametrize(
    ("ranges", "error", "words"),
    [
        ([[3.0, 1.0]], DataError, "runs from 3 to 1 s"),
        ([[0.0, np.nan]], DataError, "runs from 0 to nan s"),
        ([1.0, 2.0], ShapeError, r"\(range, 2\)"),
        ([np.zeros((1, 2))], ShapeError, "1 units came for 3 units"),
    ],
)
def test_ranges_that_are_none_are_refused(recording, ranges, error, words):
    with pytest.raises(error, match=words):
        set_observed(recording, ranges)


# ------------------------------------------------------------------ where a clock begins


@pytest.mark.parametrize("t0", [400.0, 4000.0, 1.692e9])
@pytest.mark.parametrize("span", [30.0, 300.0])
def test_a_clock_that_was_running_does_not_start_at_zero(rng, t0, span):
    trains = [t0 + np.sort(rng.uniform(0, span, 1000)) for _ in range(3)]
    rec = from_spikes(trains)
    for counts in (bin_spikes(rec, 0.1), bin_spikes(trains, 0.1)):
        assert len(counts) <= 10 * span + 1
        # Fewer than 1 in 1000 spikes fall into the last, partial bin.
        assert counts.values.mean() / 0.1 == pytest.approx(1000 / span, rel=0.01)
    assert rec["start"].attrs["chosen"].startswith("first spike, at ")
    assert bin_spikes(trains, 0.1).attrs["start_chosen"].startswith("first spike, at ")
    # A partial bin of 0.1 s holds 10 spikes of 100 per s, or 1 of 10; 20 is three sd more.
    assert bin_spikes(rec, 0.1).attrs["spikes_outside"] <= 20
    # Whoever says otherwise is believed.
    assert float(from_spikes(trains, t_start=0.0)["start"][0]) == 0.0


@pytest.mark.parametrize(
    "train", [[5.0, 8.0, 20.0], [0.4], [1200.0], [], list(np.linspace(8, 100, 500))]
)
def test_otherwise_it_starts_at_zero(train):
    assert start_of_clock(np.array(train))[0] == 0.0
    assert float(from_spikes([train])["start"][0]) == 0.0


def test_a_spike_at_the_start_is_counted():
    for first in (0.0, -3.25, 1.7e9):
        train = first + np.array([0.0, 0.001, 0.002, 1.0])
        counts = bin_spikes(from_spikes([train], t_stop=first + 2.0), 0.5)
        assert int(counts.sum()) == 4


def test_the_rate_of_rounded_stamps_is_that_of_the_whole_line():
    stamps = np.round(np.arange(3000) / 30, 3)  # 33, 33, 34 ms: the median says 30.303 Hz
    # The ends are off by at most half a tick each, in 100 s.
    assert rate_of_stamps(stamps) == pytest.approx(30, rel=1e-5)
    with_gap = np.concatenate([stamps[:1000], stamps[2000:]])
    assert rate_of_stamps(with_gap) == pytest.approx(30, rel=1e-4)
    rec = nr.data.from_traces(np.zeros(3000), time=stamps)
    assert rec["dff"].attrs["sampling_rate"] == pytest.approx(30, rel=1e-5)


def test_added_spikes_are_known_only_where_they_were_observed():
    support = IntervalSet([0, 2], [1, 3])
    trains = {7: Ts([0.5, 2.5], support), 3: Ts([2.2], support)}
    given = TsGroup(trains, support, {"depth": np.array([10.0, 20.0])})
    wanted = [[1, 0], [np.nan, np.nan], [1, 1], [np.nan, np.nan]]
    rec = nr.data.from_traces(np.zeros((40, 2)), sampling_rate=10, unit=[7, 3])
    out = nr.data.add_spikes(rec, given)
    assert np.array_equal(nr.data.bin_spikes(out, 1.0).values, wanted, equal_nan=True)
    assert out["depth"].values.tolist() == [10, 20]
    # What came with the trains moves with them.
    other = nr.data.add_spikes(rec.assign_coords(unit=[3, 7]), given)
    assert np.array_equal(
        nr.data.bin_spikes(other, 1.0).values, np.array(wanted)[:, ::-1], equal_nan=True
    )
    assert other["depth"].values.tolist() == [20, 10]
    apart = {"b": Ts([1.5], IntervalSet(1, 4)), "a": Ts([0.5], IntervalSet(0, 3))}
    out = nr.data.add_spikes(rec.assign_coords(unit=["a", "b"]), apart)
    assert np.array_equal(
        nr.data.bin_spikes(out, 1.0).values.T,
        [[1, 0, 0, np.nan], [np.nan, 1, 0, 0]],
        equal_nan=True,
    )


def test_spikes_at_one_instant_are_no_reason_to_think_of_another_clock():
    # Their span is 0: no interval between them says what a long silence is.
    assert start_of_clock(np.array([5.0, 5.0]))[0] == 0.0
    assert start_of_clock(np.array([5.0]))[0] == 0.0
