"""Tables and series where arrays are taken: times, labels, and one clock for decoders."""

import numpy as np
import pandas as pd
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, KindError, UnitError
from neurornn.data.centres import bin_width
from neurornn.data.clocked import with_clocks
from neurornn.data.labelled import as_labelled
from tests.data.doubles import IntervalSet, Ts, Tsd, TsGroup, count

BIN = 0.1


def test_the_index_of_a_table_is_time_and_its_columns_are_labels():
    time = 3 + np.arange(40) / 20
    table = pd.DataFrame({"x": time, "y": -time}, index=time)
    rec = nr.data.from_traces(table)
    assert np.array_equal(rec["time"], time) and rec["unit"].values.tolist() == ["x", "y"]
    assert rec["dff"].attrs["sampling_rate"] == pytest.approx(20)
    column = nr.data.from_traces(table["y"])
    assert np.array_equal(column["time"], time) and column["dff"].shape == (40, 1)


@pytest.mark.parametrize(
    ("index", "time"),
    [
        (pd.to_timedelta(np.arange(4) * 50, unit="ms"), np.arange(4) * 0.05),
        (pd.Index(np.arange(4) * 50, name="time_ms"), np.arange(4) * 0.05),
        (pd.Index(np.arange(4) * 50.0, name="t (ms)"), np.arange(4) * 0.05),
        (pd.Index(np.arange(4) * 0.5, name="Time/secs"), np.arange(4) * 0.5),
        (pd.Index(np.arange(4) * 0.5, name="anything"), np.arange(4) * 0.5),
        (pd.RangeIndex(4), None),
        (pd.Index([3, 5, 6, 9], name="trial"), None),
        (pd.Index(list("abcd")), None),
        (pd.Index([1, 2, 3, 4], name="sample"), None),
        (pd.Index([0, 1, 2, 3], name="time"), np.arange(4)),
        (pd.Index([0, 1, 2, 3], name="t"), np.arange(4)),
    ],
)
def test_which_index_holds_times(index, time):
    array = as_labelled(pd.DataFrame(np.zeros((4, 2)), index=index))
    assert ("time" in array.coords) == (time is not None)
    if time is not None:
        assert np.allclose(array["time"], time)


def test_a_rate_beside_times_of_another_is_refused():
    table = pd.DataFrame(np.zeros((40, 2)), index=np.arange(40) / 20)
    for given in (table, table[0], Tsd(table.index.values, table.values)):
        with pytest.raises(UnitError, match=r"30 Hz.* 20 Hz"):
            nr.data.from_traces(given, sampling_rate=30.0)
        rec = nr.data.from_traces(given, sampling_rate=20.1)
        assert rec["dff"].attrs["sampling_rate"] == 20.1


def test_an_index_that_cannot_be_time():
    dates = pd.DataFrame(np.zeros((3, 1)), index=pd.date_range("2024-01-01", periods=3))
    with pytest.raises(UnitError, match="2024"):
        nr.data.from_traces(dates)
    levels = pd.MultiIndex.from_tuples([(0, 1), (0, 2), (1, 1)])
    with pytest.raises(KindError, match="2 levels"):
        nr.data.from_traces(pd.DataFrame(np.zeros((3, 1)), index=levels))
    with pytest.raises(UnitError, match=r"time \[weeks\]"):
        index = pd.Index(np.arange(3.0), name="time [weeks]")
        nr.data.from_traces(pd.DataFrame(np.zeros((3, 1)), index=index))
    with pytest.raises(UnitError, match="ms"):
        nr.data.from_traces(pd.DataFrame(np.zeros((3, 1)), index=[0.0, 20.0, 40.0]))


SPELLED = {
    1e-9: ("time_ns", "t_ns", "timestamps_ns", "time_nanoseconds", "ns"),
    1e-6: ("time_us", "time_microseconds", "ts_us", "time (\u00b5s)", "t [\u03bcs]", "usec"),
    1e-3: ("time_msecs", "time_millis", "elapsed_ms", "timeMs", "time in milliseconds", "tms"),
    1.0: ("time_s", "ts", "t_sec", "seconds", "time stamp", "time_from_onset", "Frame time (s)"),
    60.0: ("time_minutes", "minutes", "time_min", "mins"),
    3600.0: ("time_hours", "time_h", "hours", "time [h]"),
}


@pytest.mark.parametrize("whole", [True, False])
def test_an_index_in_any_unit_is_converted_to_s(whole):
    for factor, names in SPELLED.items():
        for name in names:
            index = pd.Index(np.arange(4), name=name).astype(int if whole else float)
            array = as_labelled(pd.DataFrame(np.zeros((4, 2)), index=index))
            assert np.allclose(array["time"], np.arange(4) * factor, rtol=1e-12), name


@pytest.mark.parametrize(
    "name", ["time_days", "time_ticks", "t_foo", "depth_ms", "days", "frames"]
)
def test_a_unit_that_is_not_known_is_never_s(name):
    index = pd.Index(np.arange(4.0), name=name)
    with pytest.raises(UnitError, match=name) as caught:
        as_labelled(pd.DataFrame(np.zeros((4, 2)), index=index))
    assert "call it time" in caught.value.remedy


@pytest.mark.parametrize("name", ["time_bin", "frame", "trial", "sample_id", "time point"])
def test_whole_numbers_that_count_are_rows(name):
    index = pd.Index(np.arange(4), name=name)
    assert "time" not in as_labelled(pd.DataFrame(np.zeros((4, 2)), index=index)).coords


@pytest.mark.parametrize(
    ("time", "start", "stop", "width"),
    [
        ([0.5, 1.5], [0], [2], 1.0),
        ([0.0, 1.0], [0], [1], None),
        ([0.5, 1.5, 7.5], [0, 7], [2, 8], 1.0),
        ([0.5, 7.5], [0, 7], [1, 8], 1.0),
        ([0.5, 1.5, 7.0], [0, 7], [2, 8], None),
        ([0.5, 1.25], [0], [2], None),
        ([2.5], [2], [3], 1.0),
        ([2.5], [2.5], [2.5], None),
    ],
)
def test_centres_of_bins_are_told_from_samples(time, start, stop, width):
    assert bin_width(np.array(time), np.array([start, stop], float).T) == width


def trained(rng, n_bins=400):
    """Spikes that follow a movement, their counts, and the movement at the ends of the bins."""
    time = BIN * (1 + np.arange(n_bins))
    movement = np.stack([np.sin(time), np.cos(0.7 * time)], axis=1)
    weights = rng.normal(size=(2, 4))
    number = rng.poisson(np.exp(0.5 + movement @ weights))
    trains = {}
    for k in range(4):
        ends = np.repeat(time, number[:, k])
        trains[11 + k] = np.sort(ends - rng.uniform(0.001, BIN - 0.001, len(ends)))
    return trains, number, time, movement


def test_a_decoder_takes_trains_counts_and_tables(rng):
    trains, number, time, movement = trained(rng)
    plain = nr.decode.RidgeDecoder(BIN, n_lags=2).fit(number, movement)
    expected = plain.predict(number)
    stop = BIN * len(time)
    support = IntervalSet(0, stop)
    group = TsGroup({k: Ts(t, support) for k, t in trains.items()}, support)
    series = Tsd(time, movement, columns=["x", "y"])
    table = pd.DataFrame(movement, index=time, columns=["x", "y"])
    for counts, targets in [(group, series), (trains, table), (group, table)]:
        decoder = nr.decode.RidgeDecoder(BIN, n_lags=2).fit(counts, targets)
        assert decoder.units_.tolist() == [11, 12, 13, 14]
        assert decoder.outputs_.tolist() == ["x", "y"]
        assert np.allclose(decoder.predict(group), expected)
        assert decoder.score(counts, targets) == pytest.approx(plain.score(number, movement))
    listed = nr.decode.RidgeDecoder(BIN, n_lags=2).fit(list(group.values()), series)
    assert np.allclose(listed.predict(list(group.values())), expected)
    # pynapple stamps what it has averaged in bins as it stamps counts.
    theirs = count(group, BIN, 0.0, len(time))
    moved = Tsd(time - BIN / 2, movement)
    decoder = nr.decode.RidgeDecoder(n_lags=2).fit(theirs, moved)
    assert decoder.bin_size_ == pytest.approx(BIN)
    assert np.allclose(decoder.predict(theirs), expected)
    # Targets a bin late are not the same targets.
    late = Tsd(time + BIN, movement)
    with pytest.raises(UnitError, match="differ by up to"):
        nr.decode.RidgeDecoder(BIN, n_lags=2).fit(theirs, late)


def test_trains_need_a_clock(rng):
    trains, _, time, movement = trained(rng)
    with pytest.raises(DataError, match="without times"):
        nr.decode.RidgeDecoder(BIN).fit(trains, movement[:-50])
    wide = pd.DataFrame(movement, index=2 * time)
    with pytest.raises(UnitError, match="bin_size"):
        nr.decode.RidgeDecoder(BIN).fit(trains, wide)


def test_a_table_of_words_is_a_table_of_labels(rng):
    trains, number, time, movement = trained(rng)
    words = pd.Series(np.where(movement[:, 0] > 0, "left", "right"), index=time)
    decoder = nr.decode.TargetDecoder(BIN).fit(number, words)
    assert sorted(decoder.classes_.tolist()) == ["left", "right"]
    again = nr.decode.TargetDecoder(BIN).fit(trains, words)
    assert np.array_equal(again.predict(trains), decoder.predict(number))


def test_kinetics_dff_and_fits_take_the_clock_of_tables_and_tsd():
    rec = nr.simulate.simulate_calcium(2, 60, 20.0, tau_decay=0.6, snr=10, rng=0)
    values, time = rec["dff"].values, rec["time"].values
    table = pd.DataFrame(values, index=time, columns=["a", "b"])
    frame = Tsd(time - 1 / 40, values, IntervalSet([0.0], [time[-1]]), columns=["a", "b"])
    wanted = nr.calcium.Kinetics().fit(values, sampling_rate=20.0).parameters_["tau_decay"]
    for given in (table, frame):
        found = nr.calcium.Kinetics().fit(given).parameters_["tau_decay"]
        assert found["unit"].values.tolist() == ["a", "b"]
        assert found.values == pytest.approx(wanted.values, rel=1e-6)
    assert nr.calcium.dff(table + 5.0, window=20.0).sizes["unit"] == 2
    model = nr.models.LeakyRNN(2, 2, 2, dt=0.02, rng=0)
    with pytest.raises(UnitError, match=r"steps of 0\.05"):
        nr.fit(model, ([table], [table]))
    with pytest.raises(UnitError, match=r"0\.05 s"):
        nr.fit(model, table)


CENTRES = BIN * (np.arange(400) + 0.5)


@pytest.mark.parametrize(
    ("first", "start", "stop"),
    [
        (200, 20.02, 40.0),  # cut between two stamps
        (200, 0.0, 40.0),  # sliced: the support stays
        (200, CENTRES[200], 40.0),  # cut on a stamp
        (200, CENTRES[200], CENTRES[-1]),
    ],
)
def test_trains_are_never_counted_half_a_bin_early_for_a_cut_target(rng, first, start, stop):
    trains, _, _, movement = trained(rng)
    whole, _ = with_clocks(trains, Tsd(CENTRES, movement, IntervalSet(0, 40)), bin_size=BIN)
    cut = Tsd(CENTRES[first:], movement[first:], IntervalSet(start, stop))
    with pytest.raises(DataError, match="nothing says") as caught:
        nr.decode.RidgeDecoder(BIN, n_lags=2).fit(trains, cut)
    assert "bins=True" in caught.value.remedy
    stated = nr.data.from_pynapple(cut, bins=True)["signal"]
    counts, _ = with_clocks(trains, stated, bin_size=BIN)
    assert np.array_equal(counts.values, whole.values[first:])
    nr.decode.RidgeDecoder(BIN, n_lags=2).fit(trains, stated)


def test_a_cut_of_another_phase_is_asked_about_with_trains(rng):
    trains, _, _, movement = trained(rng)
    cut = Tsd(CENTRES[200:] + 0.02, movement[200:], IntervalSet(20.01, 40.1))
    with pytest.raises(DataError, match="nothing says"):
        with_clocks(trains, cut, bin_size=BIN)
    # Alone, half a bin moves no spike, and a signal that was cut is the usual case.
    assert "signal" in nr.data.from_pynapple(cut)


def test_what_is_surely_samples_is_taken_with_trains(rng):
    trains, _, time, movement = trained(rng)
    for support in (None, IntervalSet(0, 40), IntervalSet(BIN, 50)):
        counts, targets = with_clocks(trains, Tsd(time, movement, support), bin_size=BIN)
        assert np.array_equal(counts["time"], time) and np.array_equal(targets["time"], time)


def test_rates_that_were_cut_are_asked_about():
    centres = 0.02 + 0.3 * (np.arange(40) + 0.5)
    rates = (np.arange(40) % 3) / 0.3
    with pytest.raises(DataError, match="bins=True"):
        nr.data.from_pynapple(Tsd(centres[10:], rates[10:], IntervalSet(3.1, 12.0)))


@pytest.mark.parametrize(
    ("title", "seconds"),
    [
        # A unit that is s, beside a word that says nothing of time.
        ("offset s", 1.0), ("time stamp ms", 0.001), ("time_stamp", 1.0), ("timeUs", 1e-6),
        ("time", 1.0),
    ],
)  # fmt: skip
def test_names_of_clocks_are_understood(title, seconds):
    from neurornn.data.index_names import seconds_of_name

    assert seconds_of_name(title, False) == pytest.approx(seconds)


def test_two_stamps_are_enough_to_see_that_another_rate_was_given():
    given = Tsd(np.array([0.1, 0.2]), np.array([1.0, 2.0]), IntervalSet(0.1, 0.2))
    # The same to 2 %.
    assert nr.data.from_traces(given, sampling_rate=10.1)["dff"].size == 2
    with pytest.raises(UnitError, match="are those of 10 Hz"):
        nr.data.from_traces(given, sampling_rate=10.3)


def test_a_sample_belongs_to_the_range_that_holds_it():
    from neurornn.data.labelled import sampled_stretches

    time = np.array([1.0, 1.1, 1.2, 3.0, 3.1])
    found = sampled_stretches(time, 0.1, np.array([[1.0, 1.2], [2.0, 2.5], [3.0, 3.1]]))
    assert found == pytest.approx(np.array([[0.9, 1.2], [2.9, 3.1]]))
    # Where one touches the next, a step is counted once.
    found = sampled_stretches(time[:3], 0.1, np.array([[1.0, 1.1], [1.15, 1.2]]))
    assert found == pytest.approx(np.array([[0.9, 1.1], [1.1, 1.2]]))
    assert sampled_stretches(time[:3], 0.1, np.array([[0.5, 1.5], [2.0, 9.0]])) is None


def test_a_dict_is_one_list_of_all_spikes_only_where_it_names_times_and_units():
    for names in (("times", "b"), ("a", "unit"), ("a", "b")):
        made = nr.data.from_spikes({name: [0.5, 1.0] for name in names}, t_stop=2.0)
        assert sorted(made["unit"].values) == sorted(names)
    with pytest.raises(KindError, match="one list of all spikes, and the unit of each"):
        nr.data.from_spikes({"times": [0.5, 1.0], "unit": [0, 1]}, t_stop=2.0)


def test_the_step_of_stamps_is_that_of_all_of_them_gaps_aside():
    from neurornn.data.centres import step_of

    assert step_of(np.array([1.0])) is None
    assert step_of(np.array([1.0, 1.2])) == pytest.approx(0.2)
    assert step_of(np.array([1.0, 1.2, 1.4, 5.0, 5.2])) == pytest.approx(0.2)
    assert step_of(np.array([1.0, 1.2, 1.45, 1.6])) is None
    assert step_of(np.array([1.0, 1.0, 1.0])) is None


@pytest.mark.parametrize(
    ("support", "cut"),
    [
        # From the first sample to the last, or from one step before it.
        ([0.1, 0.5], False),
        ([0.0, 0.5], False),
        # Half a step on either side is what a bin leaves of itself.
        ([0.05, 0.5], True),
        ([0.1, 0.55], True),
        ([0.1, 0.53], False),
        # Nothing was sampled there.
        ([2.0, 3.0], False),
    ],
)
def test_a_support_that_ends_within_a_bin_was_cut(support, cut):
    from neurornn.data.centres import _is_cut

    assert _is_cut(np.arange(1, 6) / 10, np.array([support]), 0.1) == cut
    assert _is_cut(np.arange(1, 6) / 10, np.array([[7.0, 8.0], support]), 0.1) == cut


def test_names_of_columns_are_words_and_numbers_stay_numbers():
    index = pd.Index(np.arange(1, 11) / 10, name="time")
    table = pd.DataFrame(np.ones((10, 2)), index=index, columns=pd.Index(["a", "b"], dtype=object))
    assert as_labelled(table)["unit"].dtype.kind == "U"
    table.columns = [4, 7]
    assert as_labelled(table)["unit"].values.tolist() == [4, 7]
    table.columns = pd.MultiIndex.from_tuples([("x", 1), ("x", 2)])
    with pytest.raises(KindError, match="several levels"):
        as_labelled(table)
