"""Tables and series where arrays are taken: times, labels, and one clock for decoders."""

import numpy as np
import pandas as pd
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, KindError, UnitError
from neurornn.data.labelled import as_labelled, bin_width
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


def test_an_index_that_cannot_be_time():
    dates = pd.DataFrame(np.zeros((3, 1)), index=pd.date_range("2024-01-01", periods=3))
    with pytest.raises(UnitError, match="2024"):
        nr.data.from_traces(dates)
    levels = pd.MultiIndex.from_tuples([(0, 1), (0, 2), (1, 1)])
    with pytest.raises(KindError, match="2 levels"):
        nr.data.from_traces(pd.DataFrame(np.zeros((3, 1)), index=levels))
    with pytest.raises(UnitError, match=r"time \[h\]"):
        index = pd.Index(np.arange(3.0), name="time [h]")
        nr.data.from_traces(pd.DataFrame(np.zeros((3, 1)), index=index))
    with pytest.raises(UnitError, match="ms"):
        nr.data.from_traces(pd.DataFrame(np.zeros((3, 1)), index=[0.0, 20.0, 40.0]))


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
