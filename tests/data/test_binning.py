import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurornn._core.errors import DataError, KindError, ShapeError, UnitError, UnitWarning
from neurornn.data import bin_spikes, from_spikes, from_traces, restrict, set_intervals
from neurornn.data.recording import add_spikes

TIMES = st.lists(
    st.floats(0, 20, allow_nan=False).map(lambda t: round(t, 6)), min_size=1, max_size=60
)


@given(st.lists(TIMES, min_size=1, max_size=4), st.sampled_from([0.01, 0.1, 0.3, 1.0]))
@settings(max_examples=60, deadline=None)
def test_no_spike_of_a_list_is_lost_or_counted_twice(trains, bin_size):
    counts = bin_spikes(trains, bin_size)
    assert counts.values.sum(axis=0).tolist() == [len(t) for t in trains]
    assert counts.attrs["spikes_outside"] == 0


@given(TIMES, st.sampled_from([0.013, 0.1, 0.7]), st.floats(0, 5), st.floats(6, 15))
@settings(max_examples=60, deadline=None)
def test_counts_equal_the_definition_bin_by_bin(train, bin_size, t_start, t_stop):
    counts = bin_spikes([train], bin_size, t_start=t_start, t_stop=t_stop)
    ends = counts["time"].values
    spikes = np.array(train)
    for k, end in enumerate(ends):
        # The slack of half a nanosecond is the package's own; spikes are on a 1 us grid.
        low, high = end - bin_size + 5e-10, end + 5e-10
        near = np.min(np.abs(np.concatenate([spikes - low, spikes - high])))
        if near > 1e-9:
            assert counts.values[k, 0] == np.sum((spikes > low) & (spikes <= high))
    assert np.all(ends <= t_stop + 1e-5)


def test_a_spike_on_an_edge_belongs_to_the_bin_that_ends_there():
    # 3 * 0.1 is above 0.3 and 7 * 0.1 above 0.7 in floats: the edge must still catch its spike.
    counts = bin_spikes([[0.1, 0.3, 0.7, 1.0]], 0.1)
    assert np.flatnonzero(counts.values[:, 0]).tolist() == [0, 2, 6, 9]
    assert counts["time"].values[[0, 2]] == pytest.approx([0.1, 0.3])


def test_a_gap_is_an_absent_bin_and_partial_bins_are_dropped():
    rec = from_spikes([[0.5, 1.04, 3.0, 5.5]], t_start=0, t_stop=6)
    rec = set_intervals(rec, [0.0, 5.0], [1.05, 6.0])
    counts = bin_spikes(rec, 0.1)
    # 1.05 s hold ten whole bins; the spike at 1.04 is in the partial one, that at 3 in the gap.
    assert counts["time"].values == pytest.approx(
        [*np.arange(1, 11) / 10, *(5 + np.arange(1, 11) / 10)]
    )
    assert counts.values.sum() == 2
    assert counts.attrs["spikes_outside"] == 2


def test_frames_set_the_bins_and_missing_frames_catch_no_spike():
    time = np.concatenate([np.arange(1, 11), np.arange(31, 41)]) / 10
    counts = bin_spikes([[0.05, 0.95, 1.5, 2.95, 3.05]], time=time)
    assert counts["time"].values.tolist() == time.tolist()
    assert counts.attrs["bin_size"] == pytest.approx(0.1)
    assert np.flatnonzero(counts.values[:, 0]).tolist() == [0, 9, 10]
    assert counts.attrs["spikes_outside"] == 2


def test_jittered_frames_still_share_out_every_spike():
    rng = np.random.default_rng(1)
    time = np.cumsum(0.1 + 0.005 * rng.normal(size=500))
    spikes = rng.uniform(0.2, time[-1], 3000)
    assert bin_spikes([spikes], time=time).values.sum() == 3000


def test_shuffling_units_only_permutes_the_columns():
    rng = np.random.default_rng(2)
    trains = [rng.uniform(0, 10, n) for n in (5, 50, 500)]
    order = [2, 0, 1]
    straight = bin_spikes(trains, 0.2, t_stop=10).values
    shuffled = bin_spikes([trains[k] for k in order], 0.2, t_stop=10).values
    assert np.array_equal(straight[:, order], shuffled)


def test_trials_have_their_own_clock_and_may_overlap():
    counts = bin_spikes([[1.05, 1.95, 2.05]], 0.1, trials=[[1.0, 2.0], [1.5, 2.5]])
    assert counts.dims == ("trial", "time", "unit")
    assert counts["time"].values == pytest.approx(np.arange(1, 11) / 10)
    assert [np.flatnonzero(c).tolist() for c in counts.values[..., 0]] == [[0, 9], [4, 5]]
    assert counts["mask"].values.all()


def test_ragged_trials_are_refused_or_masked():
    trials = [[0.0, 1.0], [2.0, 2.5]]
    with pytest.raises(ShapeError, match="ragged=True"):
        bin_spikes([[0.5]], 0.1, trials=trials)
    counts = bin_spikes([[0.5]], 0.1, trials=trials, ragged=True)
    assert counts["mask"].values.sum(axis=1).tolist() == [10, 5]


def test_bins_of_a_trial_that_were_not_recorded_are_masked():
    rec = from_spikes([[0.5, 1.5]], t_start=0, t_stop=1.2)
    counts = bin_spikes(rec, 0.1, trials=[[0.0, 2.0]], ragged=True)
    assert counts["mask"].values[0].sum() == 12
    assert counts.values[0, 12:].sum() == 0
    # Two stretches that touch are one: no bin between them is missing.
    joined = set_intervals(rec, [0.0, 0.6], [0.6, 1.2])
    assert bin_spikes(joined, 0.1, trials=[[0.35, 0.95]])["mask"].values.all()


def test_trials_true_takes_the_intervals():
    rec = set_intervals(from_spikes([[0.5, 2.5]], t_stop=4), [0.0, 2.0], [1.0, 3.0])
    expected = [[1, 0], [1, 0]]
    assert bin_spikes(rec, 0.5, trials=True).values[..., 0].tolist() == expected
    assert bin_spikes([[0.5, 2.5]], 0.5, trials=rec).values[..., 0].tolist() == expected


def test_cut_then_bin_equals_bin_then_cut():
    rng = np.random.default_rng(3)
    rec = from_spikes([rng.uniform(0, 10, 300)], t_start=0, t_stop=10)
    whole = bin_spikes(rec, 0.1)
    part = bin_spikes(restrict(rec, 2.0, 7.0), 0.1)
    assert np.array_equal(part.values, whole.values[20:70])


def test_counts_go_onto_the_frames_of_a_recording_with_both():
    rec = add_spikes(from_traces(np.random.default_rng(0).normal(size=(50, 1)), sampling_rate=10),
                     [[0.05, 4.95]])  # fmt: skip
    counts = bin_spikes(rec, time=rec["time"])
    assert counts.sizes["time"] == 50
    assert counts.values[[0, 49], 0].tolist() == [1, 1]


def test_nothing_is_called_for_every_spike_or_bin():
    import sys

    rng, called = np.random.default_rng(4), []
    for n in (100, 100, 1000):
        rec = from_spikes([rng.uniform(0, n, n) for _ in range(10)], t_start=0, t_stop=n)
        events = []
        sys.setprofile(lambda frame, event, arg, events=events: events.append(event))
        try:
            bin_spikes(rec, 0.1)
        finally:
            sys.setprofile(None)
        called.append(len(events))
    # After a first time that may load something, 9000 spikes and bins more cost no call.
    assert called[2] < called[1] + 100


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: bin_spikes([[0.1]]), UnitError, "bin_size"),
        (lambda: bin_spikes([[0.1]], 0.0), DataError, "bin_size"),
        (lambda: bin_spikes(np.array([0.1, 0.2]), 0.1), KindError, r"\[times\]"),
        (lambda: bin_spikes([], 0.1), DataError, "unit"),
        (lambda: bin_spikes([[np.nan]], 0.1), DataError, "finite"),
        (lambda: bin_spikes([[0.1]], time=np.arange(10) * 33.0), UnitError, "ms"),
        (lambda: bin_spikes([[0.1]], 0.5, time=np.arange(1, 9) / 10), UnitError, "2 %"),
        (lambda: bin_spikes([[0.1]], 0.5, t_stop=0.2), DataError, "smaller bins"),
        (lambda: bin_spikes([[0.1]], 0.1, trials=[[2.0, 1.0]]), DataError, "start"),
        (lambda: bin_spikes([[0.1]], 0.1, trials=[1.0, 2.0]), ShapeError, r"\(trial, 2\)"),
        (lambda: bin_spikes([[0.1]], 0.1, trials=True), DataError, "intervals"),
        (lambda: bin_spikes(xr.Dataset({"x": ("time", [1.0])}), 0.1), KeyError, "spike_times"),
    ],
)  # fmt: skip
def test_mistakes_say_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_bin_in_milliseconds_is_pointed_out():
    with pytest.warns(UnitWarning, match="ms"):
        bin_spikes([[10.0, 50.0]], 20)


def test_rounding_does_not_move_a_spike_off_its_edge():
    # Within half a nanosecond of the edge a spike lies on it; a microsecond later it does not.
    counts = bin_spikes([[0.3 + 1e-10, 0.6 + 1e-6]], 0.1, t_stop=1.0)
    assert np.flatnonzero(counts.values[:, 0]).tolist() == [2, 6]


@pytest.mark.parametrize("away", [1e6, 1e9, 1.7e9, 1e12])
def test_a_spike_days_away_is_told_before_room_is_made_for_the_bins(away):
    trains = [[0.1, 0.2, away], *([[]] * 20)]
    with pytest.raises(DataError, match=r"bins of 21 units came for 3 spikes.*t_start and t_stop"):
        bin_spikes(trains, 0.01)
    with pytest.raises(DataError, match="not mostly empty bins"):
        bin_spikes(from_spikes(trains), 0.01)
    # Whoever says where to count is believed.
    counts = bin_spikes(trains, 0.01, t_start=0.0, t_stop=1.0)
    assert counts.sizes["time"] == 100 and counts.attrs["spikes_outside"] == 1


def test_a_pause_of_days_between_trials_costs_nothing():
    recording = set_intervals(from_spikes([[0.5, 1e8 + 0.5]]), [0.0, 1e8], [1.0, 1e8 + 1.0])
    counts = bin_spikes(recording, 0.1)
    assert counts.values[:, 0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0] * 2


def test_a_single_unit_that_hardly_fires_is_binned():
    assert bin_spikes([[1200.0]], 0.001).sizes["time"] == 1_200_000


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"t_start": "0"}, KindError, "t_start is '0', a str"),
        ({"t_stop": np.nan}, DataError, "t_stop is nan"),
        ({"t_stop": 1e300}, DataError, "bins of 1 units"),
        ({"bin_size": 1e-300}, UnitError, "1e-300 s.*Pass the width in s"),
        ({"bin_size": [0.1]}, KindError, "a list"),
        ({"trials": [[0.0, "x"]]}, KindError, "trials is a list"),
        ({"trials": [[0.0, 1.0], [2.0]]}, ShapeError, "parts differ in shape"),
        ({"trials": [[0.0, 1e12]]}, DataError, "bins of 1 units"),
        ({"bin_size": None, "time": ["a", "b"]}, KindError, "time is a list"),
    ],
)
def test_what_cannot_be_binned_is_said_in_our_words(settings, kind, words):
    with pytest.raises(kind, match=words):
        bin_spikes([[0.5]], **{"bin_size": 0.1, **settings})


@pytest.mark.parametrize("spikes", [np.ones(3), "spikes", None, {"a": 1.0}, 3.0, {1.0, 2.0}])
def test_what_is_no_list_of_trains_is_refused(spikes):
    with pytest.raises(KindError, match="A list with one 1-D array of times"):
        bin_spikes(spikes, 0.1)


@pytest.mark.parametrize("bad", [[np.nan, 4.0], [3.0, np.nan], [3.0, 3.0], [4.0, 3.0]])
def test_a_trial_that_does_not_stop_after_it_starts_is_named(bad):
    with pytest.raises(DataError, match=f"Trial 1 runs from {bad[0]:g} to {bad[1]:g} s"):
        bin_spikes([[0.5, 1.5]], 0.1, trials=[[0.0, 1.0], bad, [1.0, 2.0]])


def test_mostly_empty_bins_are_made_only_where_both_ends_were_given(monkeypatch):
    monkeypatch.setattr("neurornn.data.spike_table.MANY_CELLS", 1000)
    late = [[1.0, 60_000.0]]
    for ends in ({}, {"t_start": 0.0}, {"t_stop": 60_000.0}):
        with pytest.raises(DataError, match="not mostly empty bins"):
            bin_spikes(late, 1.0, **ends)
    assert bin_spikes(late, 1.0, t_start=0.0, t_stop=60_000.0).values.sum() == 2
    with pytest.raises(DataError, match="not mostly empty bins"):
        bin_spikes(late, 1.0, trials=[[0.0, 60_000.0]])
    assert bin_spikes(late, 1.0, trials=[[0.0, 500.0]]).values.sum() == 1


@pytest.mark.parametrize(
    ("ends", "stamps"),
    [
        ({"t_start": 0.3}, [0.4, 0.5, 0.6]),
        ({"t_stop": 0.4}, [0.2, 0.3, 0.4]),
        ({"t_start": 0.2, "t_stop": 0.3}, [0.3]),
        ({}, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    ],
)
def test_frames_between_two_ends_are_the_bins_that_lie_there_whole(ends, stamps):
    time = np.arange(1, 7) / 10
    spikes = [[0.05, 0.15, 0.25, 0.35, 0.45, 0.55], [0.55]]
    counts = bin_spikes(spikes, time=time, **ends)
    if "t_stop" in ends and "t_start" not in ends:
        # The first frame begins a step before its stamp, whatever was asked.
        stamps = [0.1, *stamps]
    assert counts["time"].values == pytest.approx(stamps)
    assert counts.values[:, 0].tolist() == [1] * len(stamps)
    assert counts.attrs["spikes_outside"] == 7 - counts.values.sum()


def test_one_edge_is_no_bin():
    with pytest.raises(DataError, match=r"No whole frame of time lies between 0\.2 and 0\.25 s"):
        bin_spikes([[0.05]], time=np.arange(1, 7) / 10, t_start=0.2, t_stop=0.25)


def test_a_short_trial_ends_where_it_ends_though_others_are_longer():
    spikes = from_spikes([[0.05, 0.45, 0.75, 1.05, 1.95]], t_start=0.0, t_stop=2.0)
    counts = bin_spikes(spikes, 0.1, trials=[[0.0, 0.5], [1.0, 2.0]], ragged=True)
    assert counts["mask"].values.sum(axis=1).tolist() == [5, 10]
    kept = np.where(counts["mask"].values, counts.values[..., 0], 0)
    # The spike at 0.75 s lies in no trial.
    assert np.argwhere(kept).tolist() == [[0, 0], [0, 4], [1, 0], [1, 9]]
    assert kept.sum() == np.nansum(counts.values)
