"""Numbers that bear a unit of their own, of the package quantities, where numbers are taken."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.checks import check_count, check_number, check_numbers
from neurornn._core.errors import NameUnknownError, UnitError

neo = pytest.importorskip("neo")
pq = pytest.importorskip("quantities")

TRAINS = [np.array([0.1, 0.4]), np.array([0.3])]


def test_a_number_is_converted_to_the_unit_that_is_needed():
    assert check_number(50 * pq.ms, "x", "s") == pytest.approx(0.05)
    assert check_number(np.array(2) * pq.min, "x", "s") == pytest.approx(120)
    assert check_number(30 * pq.kHz, "x", "Hz") == pytest.approx(30_000)
    assert check_number(0.03 / pq.ms, "x", "Hz") == pytest.approx(30)
    assert check_number(3 * pq.dimensionless, "x") == 3
    assert check_number(3 * pq.dimensionless, "x", "s") == 3
    assert check_count(3 * pq.dimensionless, "x") == 3


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (lambda v: check_number(v, "x", "s"), 5 * pq.mV),
        (lambda v: check_number(v, "x", "Hz"), 5 * pq.ms),
        (lambda v: check_number(v, "x"), 5 * pq.ms),
        (lambda v: check_count(v, "x"), 5 * pq.ms),
        (lambda v: check_numbers(v, "x"), [1.0, 2.0] * pq.ms),
        (lambda v: check_numbers(v, "x"), [1.0 * pq.ms, 2.0 * pq.ms]),
        (lambda v: check_numbers(v, "x"), [[1.0, 2.0] * pq.ms]),
    ],
)
def test_a_unit_is_never_dropped(check, value):
    with pytest.raises(UnitError, match="x is in m") as caught:
        check(value)
    assert "rescale" in caught.value.remedy


def test_recordings_take_quantities_or_say_what_to_do(rng):
    rec = nr.data.from_spikes(TRAINS, t_stop=1000 * pq.ms)
    assert rec["stop"].values.tolist() == [1.0]
    counts = nr.data.bin_spikes(TRAINS, 100 * pq.ms, t_start=0 * pq.s, t_stop=500 * pq.ms)
    assert counts.shape == (5, 2) and counts.attrs["bin_size"] == pytest.approx(0.1)
    values = rng.normal(size=(40, 2))
    traces = nr.data.from_traces(values, sampling_rate=0.03 * pq.kHz)["dff"]
    assert nr.data.sampling_rate_of(traces) == pytest.approx(30)
    with pytest.raises(UnitError, match="trials is in ms"):
        nr.data.bin_spikes(TRAINS, 0.1, trials=[[0, 500]] * pq.ms)
    with pytest.raises(UnitError, match="time is in ms"):
        nr.data.from_traces(values, time=20 * np.arange(40) * pq.ms)
    assert nr.models.LeakyRNN(2, 2, 2, dt=20 * pq.ms, rng=0).dt == pytest.approx(0.02)


def test_values_keep_their_unit(rng):
    values = rng.normal(size=(40, 2))
    for given in (values, values[:, 0]):
        traces = nr.data.from_traces(given * pq.mV, sampling_rate=30.0)["dff"]
        assert traces.attrs["units"] == "mV" and type(traces.values) is np.ndarray
        assert np.array_equal(traces.values, values[:, : traces.shape[1]])
    stated = nr.data.from_traces(values * pq.mV, sampling_rate=30.0, value_unit="au")["dff"]
    assert stated.attrs["units"] == "au"


def test_a_signal_keeps_its_rate(rng):
    signal = neo.AnalogSignal(rng.normal(size=(40, 2)), units="mV", sampling_rate=20 * pq.Hz)
    assert nr.data.from_traces(signal)["dff"].attrs == {"units": "mV", "sampling_rate": 20.0}
    with pytest.raises(UnitError, match=r"30 Hz.* 20 Hz"):
        nr.data.from_traces(signal, sampling_rate=30.0)


def train(times, name):
    return neo.SpikeTrain(times, units="s", t_start=0 * pq.s, t_stop=3 * pq.s, name=name)


def test_named_trains_find_their_units():
    rec = nr.data.from_traces(np.zeros((30, 2)), sampling_rate=10.0, unit=["a", "b"])
    out = nr.data.add_spikes(rec, [train([1.0, 2.0], "b"), train([0.5], "a")])
    assert [t.tolist() for t in nr.data.spike_trains(out)] == [[0.5], [1.0, 2.0]]
    with pytest.raises(NameUnknownError, match="'c'") as caught:
        nr.data.add_spikes(rec, [train([1.0], "a"), train([0.5], "c")])
    assert "dict" in caught.value.remedy
    # Where the trains, or the units, are only numbered, the order is what counts.
    plain = nr.data.from_traces(np.zeros((30, 2)), sampling_rate=10.0)
    for target, names in ((rec, (None, None)), (plain, ("b", "a"))):
        out = nr.data.add_spikes(target, [train([1.0, 2.0], names[0]), train([0.5], names[1])])
        assert out["spike_count"].values.tolist() == [2, 1]
