"""Spike trains and recordings from whatever holds them: labels, ranges, order, by hand."""

import numpy as np
import pytest
import xarray as xr

from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, UnitError
from neurornn.data import (
    add_spikes,
    from_spikes,
    from_traces,
    join_trials,
    select_units,
    set_intervals,
    spike_trains,
)
from neurornn.data.foreign import described, is_trains, kept_columns, kind_of
from neurornn.data.recording import check_spike_owners, sampling_rate_of
from neurornn.data.trains import as_trains, half_open, neo_labels, support_of, with_what_came
from tests.data.doubles import IntervalSet, Ts, Tsd, TsGroup

# ------------------------------------------------------------------ closed ranges and open ones


@pytest.mark.parametrize(
    ("closed", "times", "expected"),
    [
        ([[0.0, 5.0]], [], [[0.0, 5.0]]),
        ([[0.0, 5.0]], [2.0], [[0.0, 5.0]]),
        # A spike at the very start, to half a ns.
        ([[1.0, 5.0]], [1.0], [[1.0 - 1e-9, 5.0]]),
        ([[1.0, 5.0]], [1.0 + 4e-10], [[1.0 - 1e-9, 5.0]]),
        ([[1.0, 5.0]], [1.0 + 6e-10], [[1.0, 5.0]]),
        ([[1.0, 5.0]], [1.0 - 4e-10], [[1.0 - 1.4e-9, 5.0]]),
        ([[1.0, 5.0]], [1.0 - 6e-10], [[1.0, 5.0]]),
        # Parted by 1 us or 1 ns: they touch again, at the start of the second.
        ([[0.0, 4.999999], [5.0, 9.0]], [], [[0.0, 5.0], [5.0, 9.0]]),
        ([[0.0, 5.0 - 1e-9], [5.0, 9.0]], [], [[0.0, 5.0], [5.0, 9.0]]),
        ([[0.0, 4.999998], [5.0, 9.0]], [], [[0.0, 4.999998], [5.0, 9.0]]),
        ([[0.0, 5.0], [5.0, 9.0]], [], [[0.0, 5.0], [5.0, 9.0]]),
        # With a spike at the start of the second both move.
        ([[0.0, 4.999999], [5.0, 9.0]], [5.0], [[0.0, 5.0 - 1e-9], [5.0 - 1e-9, 9.0]]),
        # A spike at the end of the first of two that are 1 ns apart: the second begins there.
        ([[0.0, 5.0], [5.0 + 1e-9, 9.0]], [5.0], [[0.0, 5.0], [5.0, 9.0]]),
        ([[0.0, 2.0], [4.0, 9.0]], [4.0], [[0.0, 2.0], [4.0 - 1e-9, 9.0]]),
    ],
)
def test_closed_ranges_become_half_open_without_losing_a_spike(closed, times, expected):
    given = np.array(closed)
    found = half_open(given, np.array(times))
    assert found == pytest.approx(np.array(expected), abs=1e-13)
    assert given.tolist() == closed


def test_supports_are_sorted_and_of_intervals_their_own():
    assert support_of(IntervalSet([5, 0], [9, 2])).tolist() == [[0.0, 2.0], [5.0, 9.0]]
    assert support_of(Ts([1.0], IntervalSet([5, 0], [9, 2]))).tolist() == [[0.0, 2.0], [5.0, 9.0]]


# ------------------------------------------------------------------ trains


def test_a_support_that_is_drawn_around_the_spikes_says_nothing():
    drawn, said = Ts([1.0, 2.0]), Ts([1.0, 2.0], IntervalSet(0, 4))
    assert as_trains([drawn, drawn]).observed is None
    assert as_trains([drawn, drawn]).stretches is None
    both = as_trains([said, drawn])
    # Who says nothing was observed wherever anybody was.
    assert both.stretches.tolist() == [[0.0, 4.0]]
    assert [o.tolist() for o in both.observed] == [[[0.0, 4.0]]] * 2
    apart = as_trains({"a": said, "b": Ts([6.0], IntervalSet(5, 9))})
    assert apart.unit == ["a", "b"]
    assert apart.stretches.tolist() == [[0.0, 4.0], [5.0, 9.0]]
    assert [o.tolist() for o in apart.observed] == [[[0.0, 4.0]], [[5.0, 9.0]]]
    # One end of its own is enough to say something.
    for ends in ((1.0, 4.0), (0.0, 2.0)):
        assert as_trains([Ts([1.0, 2.0], IntervalSet(*ends))]).stretches.tolist() == [
            [ends[0] - (1e-9 if ends[0] == 1.0 else 0.0), ends[1]]
        ]
    empty = as_trains([Ts([], IntervalSet(0, 4))])
    assert empty.stretches.tolist() == [[0.0, 4.0]]
    three = as_trains([said, Ts([6.0], IntervalSet(5, 9)), drawn])
    assert three.stretches is None and three.observed[2].tolist() == [[0.0, 4.0], [5.0, 9.0]]


def test_a_group_brings_rates_labels_and_values():
    support = IntervalSet(0, 4)
    plain = TsGroup({7: Ts([1.0]), 3: Ts([2.0, 3.0])}, support, {"unit": np.array(["a", "b"])})
    found = as_trains(plain)
    assert found.unit.tolist() == ["a", "b"] and found.values is None
    assert [t.tolist() for t in found.times] == [[1.0], [2.0, 3.0]]
    same = TsGroup({7: Ts([1.0]), 3: Ts([2.0])}, support, {"unit": np.array(["a", "a"])})
    found = as_trains(same)
    assert found.unit == [7, 3] and found.coords["unit_metadata"].tolist() == ["a", "a"]
    rated = TsGroup({7: Ts([1.0]), 3: Ts([2.0])}, support, {"rate": np.array([1, 2])})
    values, about = as_trains(rated).coords["rate"]
    assert values.tolist() == [1.0, 2.0] and about["units"] == "Hz"
    rated.metadata, rated.rates = None, [3, 4]
    assert as_trains(rated).coords["rate"][0].tolist() == [3.0, 4.0]
    rated.rates = [3, 4, 5]
    assert "rate" not in as_trains(rated).coords
    marked = TsGroup({1: Tsd([2.0, 1.0], [5, 6], support), 2: Tsd([3.0], [7], support)}, support)
    assert [v.tolist() for v in as_trains(marked).values] == [[5, 6], [7]]
    # With their spikes, in the order of time.
    assert from_spikes(marked)["spike_value"].values.tolist() == [6.0, 5.0, 7.0]
    mixed = TsGroup({1: Tsd([1.0], [5], support), 2: Ts([3.0], support)}, support)
    assert as_trains(mixed).values is None and "spike_value" not in from_spikes(mixed)
    nowhere = TsGroup({1: Ts([1.0])}, IntervalSet([], []))
    assert as_trains(nowhere).stretches is None and as_trains(nowhere).observed is None


class NeoTrain:
    def __init__(self, name=None, **annotations):
        self.name, self.annotations = name, annotations


def test_names_of_trains_are_told_apart():
    assert neo_labels([NeoTrain("a"), NeoTrain("b")]) == ["a", "b"]
    assert neo_labels([NeoTrain(id=7), NeoTrain("b", id=8), NeoTrain()]) == ["7", "b", "2"]
    assert neo_labels([NeoTrain("a", id=7), NeoTrain("a", id=8), NeoTrain("b")]) == [
        "a#7", "a#8", "b",
    ]  # fmt: skip
    assert neo_labels([NeoTrain("a", id=7), NeoTrain("a", id=7)]) == ["a#0", "a#1"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"times": [1.0], "unit": [0]}, "is a dict with times, unit: one list of all spikes"),
        ({"Time": [1.0], "Clusters": [0]}, "is a dict with Time, Clusters"),
        ({"a": 1.0}, "is a dict of 1, 'a' being a float; 'a' holds a float"),
        ({"a": "x"}, "'a' holds a str"),
        ({"a": {"b": [1.0]}}, "'a' holds a dict of 1, 'b' being a list"),
        ({"a": IntervalSet(0, 1)}, r"'a' holds a IntervalSet \(pynapple\)"),
        (Tsd([1.0], [1.0]), r"is a Tsd \(pynapple\)"),
        (xr.Dataset(), "is a Dataset"),
    ],
)
def test_what_is_no_train_is_named(given, said):
    with pytest.raises(KindError, match=f"^spike_times .*{said}"):
        as_trains(given)


def test_names_of_all_spikes_alone_are_no_flat_list():
    assert as_trains({"times": [1.0], "others": [2.0]}).unit == ["times", "others"]
    assert as_trains({"unit": [1.0], "id": [2.0]}).unit == ["unit", "id"]


def test_trains_find_their_units_by_name_or_by_order():
    rec = from_traces(np.zeros((50, 2)), sampling_rate=10, unit=["a", "b"])
    named = add_spikes(rec, {"b": [1.0, 2.0], "a": [3.0]})
    assert [t.tolist() for t in spike_trains(named)] == [[3.0], [1.0, 2.0]]
    assert named["unit"].values.tolist() == ["a", "b"]
    ordered = add_spikes(rec, [[1.0, 2.0], [3.0]])
    assert [t.tolist() for t in spike_trains(ordered)] == [[1.0, 2.0], [3.0]]
    for wrong, said in (
        ({"a": [1.0], "c": [2.0]}, "'b' is in one of them only"),
        ({"a": [1.0], "b": [2.0], "c": [3.0]}, "'c' is in one of them only"),
        ({"a": [1.0]}, "Spike trains came for 'a', the units of the recording are 'a', 'b'; 'b'"),
    ):
        with pytest.raises(NameUnknownError, match=said):
            add_spikes(rec, wrong)
    with pytest.raises(ShapeError, match="1 spike trains came for 2 units"):
        add_spikes(rec, [[1.0]])


def test_what_came_does_not_overwrite_what_is_there():
    rec = from_traces(np.zeros((50, 2)), sampling_rate=10).assign_coords(depth=("unit", [1, 2]))
    group = TsGroup(
        {0: Ts([1.0]), 1: Ts([2.0])}, IntervalSet(0, 5),
        {"depth": np.array([7, 8]), "time": np.array([1, 2]), "area": np.array(["x", "y"])},
    )  # fmt: skip
    out = add_spikes(rec, group)
    assert out["depth"].values.tolist() == [1, 2] and out["area"].values.tolist() == ["x", "y"]
    assert out.attrs["not_read"] == "depth, time"
    bare = as_trains([[1.0], [2.0]])
    assert "not_read" not in with_what_came(rec, bare).attrs


# ------------------------------------------------------------------ what things are


def test_kinds_are_told_by_what_things_have():
    support = IntervalSet(0, 1)
    for thing, kind in (
        (Ts([1.0]), "ts"),
        (Tsd([1.0], [1.0]), "tsd"),
        (Tsd([1.0], [[1.0]]), "frame"),
        (Tsd([1.0], [[[1.0]]]), "tensor"),
        (TsGroup({}, support), "group"),
        (support, "intervals"),
        ({"a": 1}, None),
        (np.zeros(2), None),
        (xr.Dataset(), None),
        (Ts, None),
        ("x", None),
        (3, None),
    ):
        assert kind_of(thing) == kind
    assert described([]) == "a list" and described({}) == "a dict"
    assert described([1, 2]) == "a list of 2, the first a int"
    assert described({"k": "v"}) == "a dict of 1, 'k' being a str"
    assert described(support) == "a IntervalSet (pynapple)"


@pytest.mark.parametrize(
    ("thing", "trains"),
    [
        (TsGroup({}, IntervalSet(0, 1)), True),
        (Ts([1.0]), True),
        ([Ts([1.0]), Ts([2.0])], True),
        ([Ts([1.0]), [2.0]], False),
        ([[1.0]], False),
        ([], False),
        ({}, False),
        ({"a": [1.0], "b": Ts([1.0])}, True),
        ({"a": [1.0], "b": 2.0}, False),
        ({"a": np.zeros((2, 2))}, False),
        ({"a": "word"}, False),
        ({"a": Tsd([1.0], [1.0])}, True),
        ({"a": Tsd([1.0], [[1.0]])}, False),
        (np.zeros(3), False),
        (xr.DataArray(np.zeros(3)), False),
        (Tsd([1.0], [1.0]), False),
        ("words", False),
        ((Ts([1.0]) for _ in range(2)), False),
    ],
)
def test_trains_of_units_are_known(thing, trains):
    assert is_trains(thing) is trains


def test_columns_of_numbers_and_words_are_kept():
    table = {
        "n": [1, 2], "w": np.array(["a", "b"], dtype=object), "o": np.array([{}, 1], dtype=object),
        "long": [1, 2, 3], "two": np.zeros((2, 2)), 5: [True, False], "ragged": [[1], [1, 2]],
    }  # fmt: skip
    kept, left = kept_columns(table, 2)
    assert {k: v.tolist() for k, v in kept.items()} == {
        "n": [1, 2], "w": ["a", "b"], "5": [True, False],
    }  # fmt: skip
    assert left == ["o", "long", "two", "ragged"] and kept["w"].dtype.kind == "U"
    assert kept_columns(None, 2) == ({}, [])


# ------------------------------------------------------------------ recordings


def test_spikes_stand_by_unit_in_order_of_time():
    rec = from_spikes([[3.0, 1.0], [], [2.0]], unit=["a", "b", "c"], t_start=0.5, t_stop=4.0,
                      attrs={"area": "M1"})  # fmt: skip
    assert rec["spike_times"].values.tolist() == [1.0, 3.0, 2.0]
    assert rec["spike_unit"].values.tolist() == [0, 0, 2]
    assert rec["spike_count"].values.tolist() == [2, 0, 1]
    assert (rec["start"].values.tolist(), rec["stop"].values.tolist()) == ([0.5], [4.0])
    assert rec.attrs == {"area": "M1"} and "chosen" not in rec["start"].attrs
    assert rec["spike_times"].attrs == {"units": "s", "long_name": "spike time"}
    assert rec["spike_count"].attrs["sample_dimension"] == "spike"
    free = from_spikes([[3.0, 1.0]])
    assert free["stop"].values.tolist() == [3.0]
    assert free["start"].attrs["chosen"] == "0 s: nothing says otherwise"
    half = from_spikes([[3.0, 1.0]], t_stop=9.0)
    assert half["stop"].values.tolist() == [9.0] and "chosen" in half["start"].attrs
    said = from_spikes([Ts([1.0], IntervalSet([0.25, 2], [1.5, 4]))], t_stop=9.0)
    assert (said["start"].values.tolist(), said["stop"].values.tolist()) == ([0.25], [9.0])
    assert said["start"].attrs["chosen"] == "0.25 s: the trains say so"
    later = from_spikes([Ts([1.0], IntervalSet([0.25, 2], [1.5, 4]))], t_start=0.0)
    assert later["stop"].values.tolist() == [4.0]
    with pytest.raises(ShapeError, match=r"unit has shape \(1,\) for 2 units"):
        from_spikes([[1.0], [2.0]], unit=["a"])


def test_units_are_selected_with_their_spikes():
    rec = from_spikes([[1.0], [2.0, 3.0], []], unit=["a", "b", "c"], t_stop=4.0)
    out = select_units(rec, ["c", "b"])
    assert out["unit"].values.tolist() == ["c", "b"]
    assert out["spike_times"].values.tolist() == [2.0, 3.0]
    assert out["spike_unit"].values.tolist() == [1, 1]
    assert out["spike_count"].values.tolist() == [0, 2]
    assert out["spike_unit"].attrs == rec["spike_unit"].attrs
    assert select_units(rec, [True, False, False])["spike_times"].values.tolist() == [1.0]
    assert select_units(rec, ["a"])["unit"].values.tolist() == ["a"]
    traces = from_traces(np.arange(8.0).reshape(4, 2), sampling_rate=1.0, unit=["a", "b"])
    assert select_units(traces, ["b"])["dff"].values.tolist() == [[1.0], [3.0], [5.0], [7.0]]
    for units, kind, said in (
        (["d"], NameUnknownError, "There is no unit 'd'"),
        ([True, False], ShapeError, r"The mask has shape \(2,\) for 3 units"),
        ([["a"]], ShapeError, r"units has shape \(1, 1\)"),
    ):
        with pytest.raises(kind, match=said):
            select_units(rec, units)
    with pytest.raises(ShapeError, match="The recording has axes time"):
        select_units(traces.isel(unit=0, drop=True), ["a"])
    for moved in (rec.isel(unit=[0]), rec.isel(unit=[1, 0, 2])):
        with pytest.raises(DataError, match="units in another order than"):
            check_spike_owners(moved)
    with pytest.raises(NameUnknownError, match="no spike_times"):
        spike_trains(traces)


def test_trials_are_laid_one_after_the_other_with_a_pause():
    one = from_traces(np.arange(3.0)[:, None], sampling_rate=10.0)
    other = from_traces(np.arange(2.0)[:, None], time=[5.1, 5.2])
    both = join_trials([one, other], 0.5)
    # The first ends at 0.3 s; the second begins 0.5 s later, a frame before its first stamp.
    assert both["time"].values == pytest.approx([0.1, 0.2, 0.3, 0.9, 1.0])
    assert both["start"].values == pytest.approx([0.0, 0.8])
    assert both["stop"].values == pytest.approx([0.3, 1.0])
    assert both["clock_offset"].values == pytest.approx([0.0, 0.8 - 5.0])
    assert both["dff"].values[:, 0].tolist() == [0, 1, 2, 0, 1]
    # Never nearer than two frames.
    near = join_trials([one, other], 0.0)
    assert near["start"].values == pytest.approx([0.0, 0.5])
    assert join_trials([one, other])["start"].values == pytest.approx([0.0, 1.3])
    single = join_trials([one.isel(time=[0]), one], 0.5)
    assert single["start"].values == pytest.approx([0.1, 0.6])
    spiking = [add_spikes(t, [np.array(s)]) for t, s in ((one, [0.1]), (other, [5.05, 5.15]))]
    assert spike_trains(join_trials(spiking, 0.5))[0] == pytest.approx([0.1, 0.85, 0.95])
    assert "spike_times" not in join_trials([spiking[0], other], 0.5)
    for given, kind, said in (
        (one, KindError, "trials is a Dataset"),
        ([], DataError, "No trials came"),
        ([one, 3], KindError, "Trial 1 is a int without frames"),
        ([one[["dff"]].isel(time=slice(0, 0))], KindError, "Trial 0 is a Dataset without frames"),
        ([one.drop_vars("time")], KindError, "Trial 0 is a Dataset without frames"),
    ):
        with pytest.raises(kind, match=said):
            join_trials(given)


def test_rates_come_from_the_attributes_the_bins_or_the_stamps():
    dims, values = ("time", "unit"), np.zeros((5, 1))
    time = np.arange(1, 6) / 4
    both = xr.DataArray(values, dims=dims, coords={"time": time}, name="x")
    assert sampling_rate_of(both) == 4.0
    assert sampling_rate_of(both.assign_attrs(bin_size=0.5)) == 2.0
    assert sampling_rate_of(both.assign_attrs(bin_size=0.5, sampling_rate=8)) == 8.0
    with pytest.raises(UnitError, match="x has neither a sampling_rate nor a time axis"):
        sampling_rate_of(both[:1])
    with pytest.raises(UnitError, match=r"x has a rate of 2e\+06 Hz"):
        sampling_rate_of(both.assign_attrs(sampling_rate=2e6))
    assert sampling_rate_of(both.assign_attrs(sampling_rate=1e6)) == 1e6


def test_traces_take_their_rate_and_labels_from_what_came():
    rec = from_traces(np.zeros((4, 2)), sampling_rate=4.0, indicator="GCaMP6f", unit=["a", "b"])
    assert rec["time"].values.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert rec["dff"].attrs == {"units": "1", "sampling_rate": 4.0, "indicator": "GCaMP6f"}
    assert rec["unit"].values.tolist() == ["a", "b"] and rec.attrs == {}
    assert "indicator" not in from_traces(np.zeros(4), sampling_rate=4.0)["dff"].attrs
    whole = from_traces(np.arange(4, dtype=np.int16), sampling_rate=4.0)["dff"]
    assert whole.dtype == np.int16 and whole.shape == (4, 1)
    masked = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    assert np.isnan(from_traces(masked, sampling_rate=4.0)["dff"].values[1, 0])
    timed = from_traces(np.zeros(4), time=[1.0, 1.5, 2.0, 2.5])["dff"]
    assert timed.attrs["sampling_rate"] == 2.0
    stated = from_traces(np.zeros(4), sampling_rate=3.0, time=[1.0, 1.5, 2.0, 2.5])["dff"]
    assert stated.attrs["sampling_rate"] == 3.0
    series = Tsd(np.arange(10) / 10, np.zeros((10, 2)), columns=["p", "q"])
    made = from_traces(series)
    assert made["unit"].values.tolist() == ["p", "q"]
    assert from_traces(series, unit=["r", "s"])["unit"].values.tolist() == ["r", "s"]
    assert from_traces(series, sampling_rate=10.19)["dff"].attrs["sampling_rate"] == 10.19
    for call, kind, said in (
        (lambda: from_traces(series, sampling_rate=10.21), UnitError, r"sampling_rate is 10\.21 "
         "Hz, and the times that came with the values are those of 10 Hz"),
        (lambda: from_traces(np.zeros((2, 2, 2)), sampling_rate=1.0), ShapeError,
         r"shape \(2, 2, 2\)"),
        (lambda: from_traces(np.zeros(3), time=[1.0, 1.5]), ShapeError,
         "time has 2 stamps and values 3 frames"),
        (lambda: from_traces(np.zeros(3)), UnitError, "Neither a sampling rate nor frame times"),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            call()


def test_intervals_replace_those_that_were_there():
    rec = set_intervals(from_spikes([[1.0]], t_stop=4.0), [0.0, 2.0], [1.0, 3.0])
    assert rec["start"].values.tolist() == [0.0, 2.0] and rec.sizes["interval"] == 2
    assert rec["start"].attrs == {"units": "s", "long_name": "start of the time range"}
    assert rec["stop"].attrs == {"units": "s", "long_name": "end of the time range"}
