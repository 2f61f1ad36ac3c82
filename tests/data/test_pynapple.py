"""Objects of pynapple as recordings, and back.

The stand-ins of `doubles` have the attributes of pynapple 0.11.4, against which all of this was
run; where pynapple is installed, it runs against that too.
"""

import builtins
import sys

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    KindError,
    MissingDependencyError,
    NameUnknownError,
    ShapeError,
)
from tests.data.doubles import IntervalSet, Ts, Tsd, TsGroup, count


def three_parts(error):
    assert all(len(part) > 5 for part in (error.came, error.needed, error.remedy))


def group(times, start, stop, **metadata):
    support = IntervalSet(start, stop)
    return TsGroup({k: Ts(t, support) for k, t in times.items()}, support, metadata or None)


BIN = 0.1

# Spikes.


def test_a_group_keeps_labels_metadata_rates_and_support():
    given = group(
        {7: [0.5, 2.5], 3: [1.0]}, [0, 2], [1.5, 4],
        area=np.array(["CA1", "PFC"], dtype=object), depth=np.array([10.0, 20.0]),
        rate=np.array([2 / 3.5, 1 / 3.5]), odd=np.array([{}, []], dtype=object),
    )  # fmt: skip
    rec = nr.data.from_pynapple(given)
    assert rec["unit"].values.tolist() == [7, 3]
    assert [t.tolist() for t in nr.data.spike_trains(rec)] == [[0.5, 2.5], [1.0]]
    assert rec["area"].values.tolist() == ["CA1", "PFC"]
    assert rec["depth"].values.tolist() == [10.0, 20.0]
    assert rec["rate"].attrs["units"] == "Hz" and rec["rate"].values[1] == 1 / 3.5
    assert (rec["start"].values.tolist(), rec["stop"].values.tolist()) == ([0, 2], [1.5, 4])
    assert rec.attrs["not_read"] == "odd"


def test_what_lies_outside_the_support_is_not_silence():
    rec = nr.data.from_pynapple(group({0: [0.5, 2.5], 1: [2.2]}, [0, 2], [1, 3]))
    counts = nr.data.bin_spikes(rec, time=np.arange(1, 5.0))
    assert np.array_equal(
        counts.values, [[1, 0], [np.nan, np.nan], [1, 1], [np.nan, np.nan]], equal_nan=True
    )
    assert nr.data.bin_spikes(rec, 1.0)["time"].values.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    "given",
    [
        {"a": [0.02, 0.5], "b": np.array([])},
        {"a": Ts([0.02, 0.5]), "b": np.array([])},
    ],
)
def test_a_dict_of_trains_is_trains_and_its_keys_are_labels(given):
    for rec in (nr.data.from_spikes(given), nr.data.from_pynapple(given)):
        assert rec["unit"].values.tolist() == ["a", "b"]
        assert [t.tolist() for t in nr.data.spike_trains(rec)] == [[0.02, 0.5], []]
        assert rec["start"].values.tolist() == [0.0]
    counts = nr.data.bin_spikes(given, 0.1)
    assert counts["unit"].values.tolist() == ["a", "b"]
    assert counts.values.T.tolist() == [[1, 0, 0, 0, 1], [0, 0, 0, 0, 0]]


def test_numbers_as_keys_are_no_spike_times():
    rec = nr.data.from_spikes({11: [0.3], 4: [0.1, 0.2]})
    assert rec["unit"].values.tolist() == [11, 4]
    assert rec["spike_count"].values.tolist() == [1, 2]
    assert rec["spike_times"].values.max() == 0.3


def test_ts_and_lists_of_ts():
    one = nr.data.from_pynapple(Ts([1.0, 2.0], IntervalSet(0, 5)))
    assert one["stop"].values.tolist() == [5.0] and one["spike_times"].values.tolist() == [1, 2]
    rec = nr.data.from_spikes([Ts([1.0, 2.0]), Ts([0.5, 9.0])])
    assert rec["unit"].values.tolist() == [0, 1]
    # The support that pynapple draws around the spikes of each says nothing of silence.
    assert "observed_start" not in rec and rec["start"].values.tolist() == [0.0]


def test_trains_that_were_observed_at_different_times():
    given = {"a": Ts([1.0, 2.0], IntervalSet(0, 4)), "b": Ts([5.0], IntervalSet(2, 6))}
    counts = nr.data.bin_spikes(given, 1.0)
    assert np.array_equal(
        counts.values.T,
        [[1, 1, 0, 0, np.nan, np.nan], [np.nan, np.nan, 0, 0, 1, 0]],
        equal_nan=True,
    )


def test_a_spike_at_the_start_of_one_unit_hides_no_bin_of_the_others():
    given = {
        "a": Ts([0.0, 0.5], IntervalSet(0, 1)),
        "b": Ts([0.5], IntervalSet(0, 1)),
        "c": Ts([0.2], IntervalSet(0, 0.5)),
    }
    counts = nr.data.bin_spikes(given, 1e-4)
    assert not np.isnan(counts.values[:5000]).any() and int(np.nansum(counts.values)) == 4


def test_a_group_of_tsd_keeps_what_stands_with_each_spike():
    support = IntervalSet(0, 4)
    given = TsGroup({2: Tsd([1.0, 3.0], [5.0, 6.0], support)}, support)
    rec = nr.data.from_pynapple(given)
    assert rec["spike_value"].values.tolist() == [5.0, 6.0]


def test_the_first_spike_at_the_start_of_the_support_is_kept():
    rec = nr.data.from_pynapple(group({0: [0.0, 0.02, 0.05]}, 0.0, 0.06))
    counts = nr.data.bin_spikes(rec, 0.02)
    # It is in the first bin, and the others are where they would be without it: (a, b].
    assert counts.values[:, 0].tolist() == [2, 0, 1]
    assert counts["time"].values.tolist() == [0.02, 0.04, 0.06]
    assert nr.data.bin_spikes(rec, 0.02, closed="left").values[:, 0].tolist() == [1, 1, 1]
    trials = nr.data.bin_spikes(rec, 0.02, trials=True)
    assert trials.values[0, :, 0].tolist() == [2, 0, 1]


def test_ranges_that_pynapple_has_parted_touch_again():
    rec = nr.data.from_pynapple(group({0: [3.0, 10.0, 12.0]}, [0, 10], [9.999999, 20]))
    counts = nr.data.bin_spikes(rec, 1.0)
    assert len(counts) == 20 and int(counts.sum()) == 3
    # The spike at 10 s is in the second range.
    assert counts.values[:, 0].nonzero()[0].tolist() == [2, 10, 11]


# Bins.


@pytest.mark.parametrize("offset", [0.0, 0.3, -3.2, 12345.678, 1e5])
@pytest.mark.parametrize("width", [0.02, 0.1, 0.25, 0.001])
def test_no_spike_changes_its_bin(rng, offset, width):
    n_bins = 150
    edges = offset + width * rng.integers(0, n_bins + 1, 60)
    inside = offset + rng.uniform(0, n_bins * width, 200)
    times = {4: np.sort(np.round(edges, 9)), 9: np.sort(np.round(inside, 9))}
    # Sums and products that miss the edge by a rounding.
    times[11] = np.sort(offset + 3 * width * np.arange(1, 40))
    given = group(times, offset, round(offset + n_bins * width, 9))
    theirs = count(given, width, offset, n_bins)
    rec = nr.data.from_pynapple(given)
    # Counted here as they count.
    mine = nr.data.bin_spikes(rec, width, closed="left")
    assert np.array_equal(mine.values, theirs.values)
    # Their counts, here: the same numbers, stamped by the end of the same bin.
    came = nr.data.from_pynapple(theirs)["counts"]
    assert np.array_equal(came.values, theirs.values) and came.dtype == np.int64
    assert np.abs(came["time"].values - mine["time"].values).max() < 1e-8
    assert np.abs(came["time"].values - theirs.t - width / 2).max() < 1e-8
    assert came.attrs["bin_size"] == pytest.approx(width, rel=1e-6)
    assert came["unit"].values.tolist() == [4, 9, 11]
    # By the convention of this package only spikes on an edge are elsewhere: one bin before.
    ours = nr.data.bin_spikes(rec, width)
    moved = count(group({k: t - 1e-9 for k, t in times.items()}, 0, 1), width, offset, n_bins)
    first = np.round(times[4], 9) == round(offset, 9)
    expected = moved.values.copy()
    expected[0, 0] += first.sum()
    assert np.array_equal(ours.values, expected)


def test_the_edges_of_20_ms_bins():
    times = [0.1 * 3, 0.3, 0.02, 0.1 + 0.2, 0.7 - 0.4]
    counts = nr.data.bin_spikes({"a": times}, 0.02, t_start=0, t_stop=0.4)
    assert counts.values[:, 0].nonzero()[0].tolist() == [0, 14] and counts.values[14, 0] == 4
    left = nr.data.bin_spikes({"a": times}, 0.02, t_start=0, t_stop=0.4, closed="left")
    assert left.values[:, 0].nonzero()[0].tolist() == [1, 15] and left.values[15, 0] == 4


def test_closed_left_is_that_of_numpy(rng):
    times = np.sort(np.concatenate([rng.uniform(0, 5, 300), np.arange(0, 5, 0.5)]))
    counts = nr.data.bin_spikes([times], 0.25, t_start=0, t_stop=5, closed="left")
    expected = np.bincount((times / 0.25).astype(int), minlength=20)
    assert np.array_equal(counts.values[:, 0], expected)
    assert "before its time stamp" in counts.attrs["convention"]
    trials = nr.data.bin_spikes([times], 0.25, trials=[[1, 3], [2, 4]], closed="left")
    assert np.array_equal(trials.values[:, :, 0], [expected[4:12], expected[8:16]])
    with pytest.raises(NameUnknownError, match="closed is 'both'"):
        nr.data.bin_spikes([times], 0.25, closed="both")


def test_rates_are_no_counts_though_they_are_whole():
    support = IntervalSet(0, 0.4)
    counts = Tsd([0.05, 0.15, 0.25, 0.35], [[1], [0], [2], [1]], support)
    rates = Tsd(counts.t, counts.values / BIN, support)
    signal = nr.data.from_pynapple(rates)["signal"]
    assert signal.values[:, 0].tolist() == [10, 0, 20, 10] and signal.attrs["units"] == "1"
    assert "counts" in nr.data.from_pynapple(counts)
    assert "counts" in nr.data.from_pynapple(
        Tsd(counts.t, 1.0 * counts.values, support), bins=True
    )
    assert "signal" in nr.data.from_pynapple(
        Tsd(counts.t, 0.5 * counts.values, support), bins=True
    )


def test_a_bin_that_reaches_out_of_the_support_is_no_count():
    series = Tsd([0.125, 0.375, 0.625, 0.875], [[1], [1], [0], [1]], IntervalSet(0, 0.9))
    counts = nr.data.from_pynapple(series)["counts"]
    assert np.array_equal(counts.values[:, 0], [1, 1, 0, np.nan], equal_nan=True)
    assert counts.attrs["spikes_outside"] == 1


def test_two_stretches_of_counts():
    series = Tsd([0.5, 1.5, 10.5], [[1, 0], [2, 0], [3, 1]], IntervalSet([0, 10], [2, 11]))
    rec = nr.data.from_pynapple(series)
    assert rec["counts"]["time"].values.tolist() == [1.0, 2.0, 11.0]
    assert nr.data.support(rec).tolist() == [[0, 2], [10, 11]]


def test_counts_that_were_cut_are_asked_about():
    cut = Tsd([1.125, 1.375, 1.625], [[1], [2], [0]], IntervalSet(1.1, 2.0))
    with pytest.raises(DataError, match="bins=True") as caught:
        nr.data.from_pynapple(cut)
    three_parts(caught.value)
    assert nr.data.from_pynapple(cut, bins=True)["counts"]["time"].values[-1] == 1.75
    assert nr.data.from_pynapple(cut, bins=False)["signal"]["time"].values[-1] == 1.625


# Values over time.


def test_a_frame_brings_times_and_labels():
    time = 2.0 + np.arange(50) / 20
    series = Tsd(time, np.zeros((50, 2)), columns=["x", "y"], metadata={"gain": np.array([1, 2])})
    rec = nr.data.from_pynapple(series, name="position", value_unit="cm")
    assert rec["position"].dims == ("time", "unit") and rec["position"].attrs["units"] == "cm"
    assert np.array_equal(rec["time"], time)
    assert rec["unit"].values.tolist() == ["x", "y"] and rec["gain"].values.tolist() == [1, 2]
    assert nr.data.sampling_rate_of(rec["position"]) == pytest.approx(20)
    traces = nr.data.from_traces(series, name="fluorescence")["fluorescence"]
    assert np.array_equal(traces["time"], time) and traces["unit"].values.tolist() == ["x", "y"]


def test_epochs_of_a_signal_are_stretches():
    time = np.concatenate([np.arange(0, 3.05, 0.1), np.arange(5, 9.05, 0.1)])
    rec = nr.data.from_pynapple(Tsd(time, time, IntervalSet([0, 5], [3, 9])))
    assert np.allclose(nr.data.support(rec), [[-0.1, 3], [4.9, 9]])


def test_uneven_times_stand_on_a_clock_of_their_own(rng):
    time = np.sort(rng.uniform(0, 10, 40))
    rec = nr.data.from_pynapple(Tsd(time, np.arange(40.0)), name="lick")
    assert rec["lick"].dims == ("sample", "channel") and np.array_equal(rec["sample_time"], time)


def test_intervals_are_trials():
    ranges = IntervalSet([0.0, 4.0], [2.0, 6.0], {"kind": np.array(["go", "stop"])})
    trials = nr.data.from_pynapple(ranges)
    assert trials["start"].values.tolist() == [0, 4] and trials["kind"].values.tolist() == [
        "go",
        "stop",
    ]
    spikes = group({0: [0.5, 4.5, 5.5]}, 0, 10)
    for given in (ranges, trials):
        counts = nr.data.bin_spikes(spikes, 1.0, trials=given)
        assert counts.values[:, :, 0].tolist() == [[1, 0], [1, 1]]
    rec = nr.data.from_pynapple(spikes, trials=ranges)
    assert rec["stop"].values.tolist() == [2.0, 6.0]


# What is refused.


def test_a_tensor_is_refused():
    for door in (nr.data.from_pynapple, lambda x: nr.data.from_traces(x)):
        with pytest.raises(ShapeError, match=r"TsdTensor of shape \(4, 2, 2\)") as caught:
            door(Tsd(np.arange(4.0), np.zeros((4, 2, 2))))
        three_parts(caught.value)


@pytest.mark.parametrize("given", [3, None, "group", [1.0, 2.0], {"a": 1.0}, np.zeros(3)])
def test_an_unknown_object_is_named(given):
    with pytest.raises(KindError, match=type(given).__name__) as caught:
        nr.data.from_pynapple(given)
    assert "TsGroup" in caught.value.needed
    three_parts(caught.value)


def test_what_is_no_train_is_refused_with_the_way_out():
    frame = Tsd(np.arange(4.0), np.zeros((4, 2)))
    for given in (frame, IntervalSet(0, 1), Tsd([1.0, 2.0], [1, 2])):
        with pytest.raises(KindError, match="pynapple") as caught:
            nr.data.from_spikes(given)
        three_parts(caught.value)
    flat = {"spike_times": [0.1, 0.2], "spike_unit": [0, 1]}
    with pytest.raises(KindError, match="one list of all spikes"):
        nr.data.from_spikes(flat)


def test_trains_find_their_units_by_label():
    rec = nr.data.from_traces(np.zeros((50, 2)), sampling_rate=10, unit=["a", "b"])
    out = nr.data.add_spikes(rec, {"b": [1.0, 2.0], "a": [3.0]})
    assert out["spike_count"].values.tolist() == [1, 2]
    with pytest.raises(NameUnknownError, match="'c'"):
        nr.data.add_spikes(rec, {"a": [1.0], "c": [2.0]})


def test_ms_are_warned_about_and_never_converted(rng):
    ms = {"a": 250.0 * np.arange(1, 30)}
    with pytest.warns(UserWarning, match="Are these ms"):
        rec = nr.data.from_spikes(ms)
    assert rec["spike_times"].values.max() == 250.0 * 29
    busy = {k: np.cumsum(rng.exponential(40, 300) + 2) for k in "abc"}
    for given in (busy, list(busy.values()), group(busy, 0, 50_000)):
        with pytest.warns(UserWarning, match="Are these ms"):
            nr.data.from_spikes(given)
    with pytest.raises(DataError, match=r"spike_times\['a'\] holds 1 NaN"):
        nr.data.from_spikes({"a": [1.0, np.nan]})


def test_an_object_is_no_path():
    with pytest.raises(KindError, match=r"TsGroup \(pynapple\) came as a path") as caught:
        nr.open(group({0: [1.0]}, 0, 2))
    assert "from_pynapple" in caught.value.remedy


def test_without_pynapple_the_way_back_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "pynapple":
            raise ImportError("No module named 'pynapple'")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "pynapple", raising=False)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingDependencyError, match="pip install pynapple"):
        nr.data.to_pynapple(nr.data.from_spikes([[1.0]]))
    with pytest.raises(KindError, match="list"):
        nr.data.to_pynapple([1.0])


# The way back, through what stands in for pynapple or through itself.


class _Stand:
    """The calls that `to_pynapple` makes."""

    IntervalSet = staticmethod(lambda start, end, metadata=None: IntervalSet(start, end, metadata))

    @staticmethod
    def Ts(t, time_support=None):
        if time_support is not None:
            inside = (t[:, None] >= time_support.start) & (t[:, None] <= time_support.end)
            t = t[inside.any(axis=1)]
        return Ts(t, time_support)

    @staticmethod
    def TsGroup(members, time_support=None, metadata=None):
        return TsGroup(dict(sorted(members.items())), time_support, metadata)

    @staticmethod
    def Tsd(t, d, time_support=None):
        return Tsd(t, d, time_support)

    @staticmethod
    def TsdFrame(t, d, time_support=None, columns=None, metadata=None):
        return Tsd(t, d, time_support, columns, metadata)


@pytest.fixture(params=["stand-in", "pynapple"])
def nap(request, monkeypatch):
    if request.param == "pynapple":
        return pytest.importorskip("pynapple", reason="pynapple is not installed")
    monkeypatch.setattr("neurornn.data.pynapple_objects._pynapple", lambda: _Stand)
    return _Stand


def test_units_go_by_their_labels_where_these_rise_and_by_number_elsewhere(nap):
    trains = [[1.0], [2.0], [3.0], [4.0]]
    for labels, keys in (([1, 4, 6, 9], [1, 4, 6, 9]), ([1, 4, 2, 9], [0, 1, 2, 3])):
        rec = nr.data.from_spikes(trains, unit=labels, t_stop=5.0)
        group = nr.data.to_pynapple(rec)
        assert list(group) == keys
        assert [float(group[k].t[0]) for k in keys] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("labels", [[3, 7], [7, 3], ["b", "a"]])
def test_there_and_back(nap, rng, labels):
    trains = {u: np.round(rng.uniform(0, 30, 200), 6) for u in labels}
    trains[labels[0]][[0, 1]] = [0.0, 10.0]
    # Stretches that touch, a gap, and spikes in it.
    rec = nr.data.from_pynapple(dict(trains))
    rec = nr.data.set_intervals(rec, [-1e-9, 10, 22], [10, 20, 30])
    rec = rec.assign_coords(depth=("unit", [5.0, 6.0]))
    again = nr.data.from_pynapple(nr.data.to_pynapple(rec))
    assert again["unit"].values.tolist() == labels
    assert again["depth"].values.tolist() == [5.0, 6.0]
    for width in (0.3, 0.02, 1.0):
        for closed in ("right", "left"):
            a = nr.data.bin_spikes(rec, width, closed=closed)
            b = nr.data.bin_spikes(again, width, closed=closed)
            assert np.array_equal(a.values, b.values), (width, closed)
            assert np.abs(a["time"].values - b["time"].values).max() < 1e-8


@pytest.mark.parametrize("cut", [0.0, 1e-9, 1e-6])
def test_stretches_that_touch_keep_their_bins(nap, cut):
    times = np.array([0.2, 0.4, 5.2, 5.4, 5.6])
    support = IntervalSet([0, 5], [5 - cut, 8])
    given = TsGroup({0: Ts(times, support)}, support)
    again = nr.data.to_pynapple(nr.data.from_pynapple(given))
    # A grid is laid from the start of each range, which stays to the last digit.
    starts = np.asarray(again.time_support.start)
    assert starts.tolist() == [0, 5] and np.array_equal(again[0].t, times)
    if nap is not _Stand:
        found = np.flatnonzero(np.asarray(again.count(0.2).values)[:, 0])
        assert found.tolist() == [1, 2, 26, 27, 28]
    back = nr.data.from_pynapple(again)
    assert nr.data.support(back).tolist() == [[0, 8]] or back["stop"].values.tolist() == [5, 8]


def test_a_spike_on_the_edge_of_stretches_that_touch_stays_in_the_first(nap):
    rec = nr.data.from_spikes({0: [1.0, 5.0, 6.0]}, t_start=0, t_stop=8)
    rec = nr.data.set_intervals(rec, [0, 5], [5, 8])
    again = nr.data.from_pynapple(nr.data.to_pynapple(rec))
    assert again["spike_times"].values.tolist() == [1.0, 5.0, 6.0]
    assert np.array_equal(
        nr.data.bin_spikes(again, 1.0).values, nr.data.bin_spikes(rec, 1.0).values
    )


def test_counts_there_and_back(nap, rng):
    rec = nr.data.from_spikes({"u": rng.uniform(0, 9, 300), "v": rng.uniform(0, 9, 20)}, t_stop=9)
    rec = nr.data.set_intervals(rec, [0, 5], [3, 9])
    counts = nr.data.bin_spikes(rec, 0.02)
    frame = nr.data.to_pynapple(counts)
    assert np.allclose(frame.t, counts["time"] - 0.01)
    assert np.allclose(frame.time_support.start, [0, 5])
    again = nr.data.from_pynapple(frame)["counts"]
    assert np.array_equal(again.values, counts.values)
    assert again["unit"].values.tolist() == ["u", "v"]
    assert np.abs(again["time"].values - counts["time"].values).max() < 1e-9


def test_traces_there_and_back(nap, rng):
    rec = nr.data.from_traces(rng.normal(size=(40, 2)), sampling_rate=10, unit=["p", "q"])
    again = nr.data.from_pynapple(nr.data.to_pynapple(rec), name="dff")
    assert np.array_equal(again["dff"].values, rec["dff"].values)
    assert np.array_equal(again["time"].values, rec["time"].values)
    one = nr.data.to_pynapple(rec["dff"].sel(unit="p"))
    assert np.asarray(one.values).shape == (40,)


def test_what_has_no_place_in_pynapple(nap):
    rec = nr.data.from_traces(np.zeros((50, 2)), sampling_rate=10)
    both = nr.data.add_spikes(rec, [[1.0], [2.0]])
    with pytest.raises(KindError, match="variable="):
        nr.data.to_pynapple(both)
    assert list(nr.data.to_pynapple(both, "spikes").keys()) == [0, 1]
    with pytest.raises(NameUnknownError, match="dff"):
        nr.data.to_pynapple(both, "dfff")
    counts = nr.data.bin_spikes(both, 1.0, trials=[[0, 2], [2, 4]])
    with pytest.raises(ShapeError, match="trial"):
        nr.data.to_pynapple(counts)
    apart = {"a": Ts([1.0], IntervalSet(0, 4)), "b": Ts([5.0], IntervalSet(2, 6))}
    with pytest.raises(DataError, match="different times"):
        nr.data.to_pynapple(nr.data.from_spikes(apart))


def test_spikes_and_counts_of_pynapple_itself(rng):
    nap = pytest.importorskip("pynapple", reason="pynapple is not installed")
    for offset in (0.0, 0.3, 1e5):
        ends = nap.IntervalSet(offset, offset + 3)
        times = offset + np.concatenate([0.02 * rng.integers(0, 151, 80), rng.uniform(0, 3, 80)])
        times = np.unique(np.round(times, 9))
        given = nap.TsGroup({5: nap.Ts(times), 2: nap.Ts(times[::3])}, time_support=ends)
        theirs = given.count(0.02)
        mine = nr.data.bin_spikes(given, 0.02, closed="left")
        assert np.array_equal(mine.values, theirs.values)
        came = nr.data.from_pynapple(theirs)["counts"]
        assert np.array_equal(came.values, theirs.values)
        assert np.abs(came["time"].values - mine["time"].values).max() < 1e-8
        assert came["unit"].values.tolist() == mine["unit"].values.tolist() == [2, 5]
