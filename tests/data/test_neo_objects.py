"""Objects of neo (0.14.6) as recordings: units, clocks, names, segments."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, UnitError

neo = pytest.importorskip("neo")
pq = pytest.importorskip("quantities")


def train(times, unit=pq.s, stop=10.0 * pq.s, **more):
    return neo.SpikeTrain(np.asarray(times, float) * unit, t_stop=stop, **more)


@pytest.mark.parametrize(("unit", "factor"), [(pq.s, 1.0), (pq.ms, 1e-3), (pq.us, 1e-6)])
def test_every_unit_of_time_becomes_s(unit, factor):
    times = np.array([0.25, 0.5, 1.5]) / factor
    trains = [train(times, unit), train(times[:1], unit)]
    for door in (nr.data.from_neo, nr.data.from_spikes):
        rec = door(trains)
        assert np.allclose(rec["spike_times"].values, [0.25, 0.5, 1.5, 0.25], rtol=1e-12)
        assert rec["stop"].values.tolist() == [10.0]
    counts = nr.data.bin_spikes(trains, 0.5)
    assert len(counts) == 20 and counts.values[:3].T.tolist() == [[2, 0, 1], [1, 0, 0]]
    plain = nr.data.from_spikes({"a": times * unit, "b": train(times, unit)})
    assert np.allclose(nr.data.spike_trains(plain), [[0.25, 0.5, 1.5]] * 2, rtol=1e-12)


def test_names_and_annotations_are_kept():
    trains = [train([1.0], name="a", channel=3, area="CA1"), train([2.0], name="b", channel=4)]
    rec = nr.data.from_neo(trains)
    assert rec["unit"].values.tolist() == ["a", "b"]
    assert rec["channel"].values.tolist() == [3, 4] and "area" not in rec.coords
    assert nr.data.from_neo([train([1.0], id=17), train([2.0], id=9)])["unit"].values.tolist() == [
        "17",
        "9",
    ]
    twice = [train([1.0], name="ch1", id=1), train([2.0], name="ch1", id=2)]
    assert nr.data.from_neo(twice)["unit"].values.tolist() == ["ch1#1", "ch1#2"]
    assert nr.data.from_spikes({5: twice[0], 2: twice[1]})["unit"].values.tolist() == [5, 2]


def test_the_recorded_stretch_is_that_of_the_trains():
    late = neo.SpikeTrain([100.5, 101.0] * pq.s, t_start=100 * pq.s, t_stop=104 * pq.s)
    rec = nr.data.from_neo(late)
    assert rec["start"].values.tolist() == [100.0] and rec["stop"].values.tolist() == [104.0]
    other = neo.SpikeTrain([102.5] * pq.s, t_start=102 * pq.s, t_stop=104 * pq.s)
    counts = nr.data.bin_spikes([late, other], 1.0)
    assert counts["time"].values.tolist() == [101.0, 102.0, 103.0, 104.0]
    assert np.array_equal(counts.values.T, [[2, 0, 0, 0], [np.nan, np.nan, 1, 0]], equal_nan=True)


def signal(rate=1 / pq.ms, start=5 * pq.ms, **more):
    values = np.arange(20.0).reshape(10, 2)
    return neo.AnalogSignal(values, units="mV", sampling_rate=rate, t_start=start, **more)


def test_a_signal_brings_rate_clock_and_unit():
    given = signal(name="LFP", array_annotations={"channel_names": np.array(["p", "q"])})
    rec = nr.data.from_neo(given)
    assert rec["signal"].dims == ("sample", "channel")
    assert rec["signal"].attrs == {"units": "mV", "sampling_rate": 1000.0, "long_name": "LFP"}
    assert np.allclose(rec["sample_time"], 0.005 + np.arange(10) / 1000)
    assert rec["channel"].values.tolist() == ["p", "q"]
    traces = nr.data.from_traces(given, name="signal")
    assert traces["signal"].attrs["units"] == "mV"
    assert traces["signal"].attrs["sampling_rate"] == 1000.0
    assert traces["time"].values[0] == pytest.approx(0.005)
    assert traces["unit"].values.tolist() == ["p", "q"]
    irregular = neo.IrregularlySampledSignal([1, 2, 4] * pq.ms, np.zeros((3, 1)), units="V")
    uneven = nr.data.from_neo(irregular)
    assert np.allclose(uneven["sample_time"], [0.001, 0.002, 0.004])
    assert uneven["signal"].attrs == {"units": "V"}


def segment():
    made = neo.Segment()
    made.spiketrains.append(train([250.0, 500.0], pq.ms, name="a"))
    made.analogsignals.append(signal())
    made.events.append(neo.Event([1.0, 3.0] * pq.s, labels=["go", "stop"], name="cue"))
    made.epochs.append(neo.Epoch([2000.0] * pq.ms, durations=[500] * pq.ms, labels=["light"]))
    return made


def test_a_segment_and_its_block():
    block = neo.Block()
    block.segments.append(segment())
    for rec in (nr.data.from_neo(segment()), nr.data.from_neo(block)):
        assert rec["spike_times"].values.tolist() == [0.25, 0.5]
        assert rec["event_time"].values.tolist() == [1.0, 2.0, 3.0]
        assert rec["event_label"].values.tolist() == ["go", "light", "stop"]
        assert rec["event_duration"].values.tolist() == [0.0, 0.5, 0.0]
        assert rec["event_channel"].values.tolist() == ["cue", "", "cue"]
        assert rec["signal"].attrs["sampling_rate"] == 1000.0
        assert (rec["start"].values.tolist(), rec["stop"].values.tolist()) == ([0.0], [10.0])
    rec = nr.data.from_neo(segment().spiketrains)
    assert rec["unit"].values.tolist() == ["a"]


def test_several_segments_are_chosen_from():
    block = neo.Block()
    block.segments += [segment(), segment()]
    for given in (block, [segment(), segment()]):
        with pytest.raises(NameUnknownError, match="2 segments") as caught:
            nr.data.from_neo(given)
        assert "segment" in caught.value.remedy or "them[0]" in caught.value.remedy
    assert nr.data.from_neo(block, segment=1)["unit"].values.tolist() == ["a"]
    with pytest.raises(NameUnknownError, match="segment is 2 and the Block has 2"):
        nr.data.from_neo(block, segment=2)
    with pytest.raises(KindError, match="Only a Block has segments"):
        nr.data.from_neo(block.segments[0].spiketrains, segment=0)


@pytest.mark.parametrize("given", [3, None, "a.plx", [1.0], {"a": [1.0]}, []])
def test_an_unknown_object_is_named(given):
    with pytest.raises(KindError, match=type(given).__name__) as caught:
        nr.data.from_neo(given)
    assert "SpikeTrain" in caught.value.needed and caught.value.remedy


def test_what_holds_nothing_is_refused():
    with pytest.raises(DataError, match="holds no spike trains"):
        nr.data.from_neo(neo.Segment())
    with pytest.raises(DataError, match="no segments"):
        nr.data.from_neo(neo.Block())
    with pytest.raises(UnitError, match="mV"):
        nr.data.from_spikes([[1.0, 2.0] * pq.mV])


class _Quantity(np.ndarray):
    """A train of another package that behaves like one of neo: in ms."""

    def rescale(self, unit):
        out = (np.asarray(self) * {"s": 1e-3}[unit]).view(_Quantity)
        return out

    magnitude = property(np.asarray)
    waveforms = None
    name = "double"

    @property
    def t_start(self):
        return np.array([0.0]).view(_Quantity)

    @property
    def t_stop(self):
        return np.array([2000.0]).view(_Quantity)


def test_a_double_is_known_by_its_attributes():
    rec = nr.data.from_neo([np.array([10.0, 20.0]).view(_Quantity)])
    assert np.allclose(rec["spike_times"], [0.01, 0.02]) and rec["stop"].values.tolist() == [2.0]
