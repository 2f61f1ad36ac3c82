"""Objects of pynapple at the edges: what is kept, what is told, and what a cut leaves."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError
from neurornn.data.labelled import (
    _observed_only,
    as_labelled,
    is_even,
    sampled_stretches,
)
from neurornn.data.observation import set_observed
from neurornn.data.pynapple_objects import _are_counts, _chosen, _recorded, _within
from tests.data.doubles import IntervalSet, Ts, Tsd, TsGroup


class Made:
    """What `to_pynapple` calls, kept as it was called."""

    @staticmethod
    def IntervalSet(start, end, metadata=None):
        return IntervalSet(start, end, metadata)

    @staticmethod
    def Ts(t, time_support=None):
        return Ts(t, time_support)

    @staticmethod
    def TsGroup(members, time_support=None, metadata=None):
        return TsGroup(members, time_support, metadata)

    @staticmethod
    def Tsd(t, d, time_support=None):
        return Tsd(t, d, time_support)

    @staticmethod
    def TsdFrame(t, d, time_support=None, columns=None, metadata=None):
        return Tsd(t, d, time_support, columns, metadata)


@pytest.fixture
def nap(monkeypatch):
    monkeypatch.setattr("neurornn.data.pynapple_objects._pynapple", lambda: Made)


def test_intervals_come_and_go_with_what_stands_beside_them(nap):
    given = IntervalSet(
        [0.0, 4.0], [2.0, 6.0],
        {"kind": np.array(["go", "stop"]), "start": np.array([1, 2]), "odd": np.array([{}, 1])},
    )  # fmt: skip
    rec = nr.data.from_pynapple(given)
    assert rec["start"].values.tolist() == [0.0, 4.0] and rec["kind"].values.tolist() == [
        "go", "stop",
    ]  # fmt: skip
    assert rec.attrs["not_read"] == "odd, start"
    back = nr.data.to_pynapple(rec)
    assert (back.start.tolist(), back.end.tolist()) == ([0.0, 4.0], [2.0, 6.0])
    assert {k: v.tolist() for k, v in back.metadata.items()} == {"kind": ["go", "stop"]}
    plain = nr.data.to_pynapple(nr.data.set_intervals(xr.Dataset(), [0.0], [1.0]), "interval")
    assert plain.metadata is None
    assert "not_read" not in nr.data.from_pynapple(IntervalSet(0, 1)).attrs
    # Two that touch are parted by 1 ns.
    near = nr.data.to_pynapple(nr.data.set_intervals(xr.Dataset(), [0.0, 1.0], [1.0, 2.0]))
    assert near.end[0] == pytest.approx(1.0 - 1e-9, abs=1e-12) and near.start[1] == 1.0


def test_a_group_has_labels_metadata_and_what_was_recorded(nap):
    rec = nr.data.from_spikes([[1.0], [2.0, 9.0]], unit=["a", "b"], t_start=0, t_stop=4)
    rec = rec.assign_coords(depth=("unit", [5, 6]), rate=("unit", [1.0, 2.0]),
                            odd=("unit", np.array([{}, 1], dtype=object)))  # fmt: skip
    group = nr.data.to_pynapple(rec)
    assert list(group) == [0, 1] and [group[k].t.tolist() for k in (0, 1)] == [[1.0], [2.0]]
    assert {k: v.tolist() for k, v in group.metadata.items()} == {
        "depth": [5, 6], "unit": ["a", "b"],
    }  # fmt: skip
    assert (group.time_support.start.tolist(), group.time_support.end.tolist()) == ([0.0], [4.0])
    bare = nr.data.to_pynapple(nr.data.from_spikes([[1.0]]).drop_dims("interval"))
    assert bare.time_support is None and bare.metadata is None
    observed = set_observed(rec, [[1.5, 3.0]])
    cut = nr.data.to_pynapple(observed)
    assert cut.time_support.start.tolist() == [1.5] and cut[0].t.tolist() == []
    only = set_observed(rec.drop_dims("interval"), [[1.5, 3.0]])
    assert _recorded(only).tolist() == [[1.5, 3.0]]
    open_end = set_observed(rec, [[1.5, np.inf]])
    assert _recorded(open_end).tolist() == [[1.5, 4.0]]
    assert _recorded(rec).tolist() == [[0.0, 4.0]]


def test_spikes_within_ranges_that_are_open_at_their_start():
    times = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    inside = _within(times, np.array([[0.0, 2.0], [3.0, 4.0]]))
    assert inside.tolist() == [False, True, True, False, True, False]
    assert _within(times, np.empty((0, 2))).tolist() == [False] * 6


def test_what_is_asked_for_is_found_or_named(nap):
    rec = nr.data.from_traces(np.arange(10.0).reshape(5, 2), sampling_rate=1.0)
    assert _chosen(rec, None) == "dff"
    both = nr.data.add_spikes(rec, [[1.0], [2.0]])
    assert _chosen(both, "spikes") == "spike_times" and _chosen(both, "dff") == "dff"
    for recording, variable, kind, said in (
        (both, None, KindError, "The recording holds spike_times, dff. One of them"),
        (xr.Dataset(), None, KindError, "holds nothing with times.*variable='spike_times'"),
        (both, "interval", NameUnknownError, "variable is 'interval'"),
    ):
        with pytest.raises(kind, match=said):
            _chosen(recording, variable)
    with pytest.raises(KindError, match=r"A list came\. A recording, or a variable of one"):
        nr.data.to_pynapple([1.0])


def test_series_stand_at_the_centres_of_their_bins(nap):
    counts = nr.data.bin_spikes({"a": [0.1, 0.6], "b": [0.7]}, 0.5, t_start=0, t_stop=1)
    frame = nr.data.to_pynapple(
        counts.assign_coords(rate=("unit", [1, 2]), depth=("unit", [3, 4]))
    )
    assert frame.t.tolist() == [0.25, 0.75] and frame.values.tolist() == [[1, 0], [1, 1]]
    assert list(frame.columns) == ["a", "b"]
    assert {k: v.tolist() for k, v in frame.metadata.items()} == {"depth": [3, 4]}
    assert (frame.time_support.start.tolist(), frame.time_support.end.tolist()) == ([0.0], [1.0])
    time = np.array([1.0, 2.0, 3.0, 7.0, 8.0])
    traces = xr.DataArray(np.arange(5.0), dims="time", coords={"time": time}, name="x")
    one = nr.data.to_pynapple(traces)
    assert one.t.tolist() == time.tolist() and one.values.tolist() == list(range(5))
    assert one.time_support.start.tolist() == [1.0, 7.0]
    assert one.time_support.end.tolist() == [3.0, 8.0]
    # A single stamp has no step and no support.
    assert nr.data.to_pynapple(traces[:1]).t.tolist() == [1.0]
    for bad, said in (
        (traces.rename(time="row"), "x has axes row"),
        (traces.drop_vars("time"), "x has axes time"),
        (traces.expand_dims(["a", "b"]), "x has axes a, b, time"),
        (xr.DataArray(1.0, name="x"), "x has axes none"),
    ):
        with pytest.raises(ShapeError, match=said):
            nr.data.to_pynapple(bad)


def test_whole_numbers_that_are_not_below_0_are_counts():
    for values, counts in (
        ([0, 1, 5], True), ([0.0, 2.0, np.nan], True), ([0.5], False), ([-1], False), ([], True),
    ):  # fmt: skip
        assert _are_counts(np.array(values)) is counts


def test_an_empty_series_is_refused():
    with pytest.raises(DataError, match=r"A Tsd of shape \(0,\) came"):
        nr.data.from_pynapple(Tsd([], [], IntervalSet(0, 1)), bins=False)


# ------------------------------------------------------------------ labels and stretches


@pytest.mark.parametrize(
    ("time", "even"),
    [
        ([1.0], False),
        ([], False),
        ([0.0, 1.0], True),
        ([0.0, 1.0, 2.0], True),
        ([0.0, 1.0, 1.0], False),
        ([0.0, 2.1, 4.2], False),
        ([0.0, 1.9, 3.8], True),
        # One in ten may be off by more than a fifth, two may not.
        (np.cumsum([1.0] * 10 + [1.3]), True),
        (np.cumsum([1.0] * 9 + [1.3]), False),
        (np.cumsum([1.0] * 8 + [1.3, 1.3]), False),
        (np.cumsum([1.0, 1.19, 0.81, 1.0, 1.0]), True),
        (np.cumsum([1.0, 1.21, 1.0, 1.0, 1.0]), False),
        ([2.0, 1.0, 0.0], False),
    ],
)
def test_nine_in_ten_steps_of_frames_are_alike(time, even):
    assert is_even(np.asarray(time, dtype=float)) is even


def test_bins_that_reach_out_of_the_support_are_missing():
    ends = np.array([1.0, 2.0, 3.0, 4.0])
    values = np.array([[1.0], [2], [4], [8]])
    for support, lost in (
        ([[0.0, 4.0]], []),
        ([[0.0, 4.0 - 0.9e-6]], []),
        ([[0.0, 4.0 - 1.1e-6]], [3]),
        ([[0.9e-6, 4.0]], []),
        ([[1.1e-6, 4.0]], [0]),
        ([[0.0, 1.5], [2.0, 4.0]], [1]),
    ):
        found, outside = _observed_only(values, ends, 1.0, np.array(support))
        assert np.flatnonzero(np.isnan(found[:, 0])).tolist() == lost
        assert outside == int(values[lost].sum())
    assert _observed_only(values, ends, 1.0, np.array([[0.0, 4.0]]))[0] is values


def test_samples_in_several_ranges_are_several_stretches():
    time = np.array([1.0, 2.0, 3.0, 7.0, 8.0])
    both = sampled_stretches(time, 1.0, np.array([[1.0, 3.0], [7.0, 8.0]]))
    assert both.tolist() == [[0.0, 3.0], [6.0, 8.0]]
    assert sampled_stretches(time, 1.0, np.array([[1.0, 8.0]])) is None
    assert sampled_stretches(time, 1.0, np.array([[1.0, 3.0], [4.0, 5.0]])) is None
    # A range that begins within a step of the one before begins where that ended.
    near = sampled_stretches(time, 1.0, np.array([[1.0, 2.0], [2.5, 3.0]]))
    assert near.tolist() == [[0.0, 2.0], [2.0, 3.0]]
    near = sampled_stretches(time, 1.5, np.array([[1.0, 2.0], [2.5, 3.0]]))
    assert near.tolist() == [[-0.5, 2.0], [2.0, 3.0]]


def test_labels_and_metadata_of_a_frame():
    time = np.arange(4) / 10
    frame = Tsd(
        time, np.zeros((4, 2)), columns=[7, 8],
        metadata={"unit": np.array(["a", "b"]), "time": np.array([1, 2]), "rate": np.array([1, 2]),
                  "gain": np.array([3, 4])},
    )  # fmt: skip
    made = as_labelled(frame)
    assert made["unit"].values.tolist() == ["a", "b"] and made["gain"].values.tolist() == [3, 4]
    assert made.attrs["not_read"] == "time, rate"
    twins = Tsd(time, np.zeros((4, 2)), columns=[7, 8], metadata={"unit": np.array(["a", "a"])})
    assert as_labelled(twins)["unit"].values.tolist() == [7, 8]
    whole = as_labelled(Tsd(time, [1, 2, 3, 4]))
    assert whole.dtype == np.int64 and whole.dims == ("time",) and whole.attrs == {}
    assert as_labelled([1, 2]) == [1, 2]
    with pytest.raises(DataError, match="bins=True came for 4 times that are not evenly spaced"):
        as_labelled(Tsd([0.0, 1.0, 1.5, 4.0], [1.0, 2, 3, 4]), bins=True)
    with pytest.raises(KindError, match="IntervalSet"):
        as_labelled(IntervalSet(0, 1))
    stated = as_labelled(Tsd([1.0, 2.0, 3.0], [1.0, 2, 3]), bins=True)
    assert stated["time"].values.tolist() == [1.5, 2.5, 3.5]
    assert stated.attrs["bin_size"] == 1.0 and stated.attrs["spikes_outside"] == 1 + 3
