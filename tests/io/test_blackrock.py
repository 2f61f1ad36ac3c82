import numpy as np
import pytest

import neurornn as nr
from neurornn.data import spike_trains

# neo and quantities warn about their own use of NumPy; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

WHEN = np.dtype(
    [(k, "<u2") for k in ("year", "month", "weekday", "day", "hour", "minute", "s", "ms")]
)
NSX = np.dtype(
    [("id", "S8"), ("major", "u1"), ("minor", "u1"), ("header", "<u4"), ("label", "S16"),
     ("comment", "S256"), ("period", "<u4"), ("resolution", "<u4"), ("when", WHEN), ("n", "<u4")]
)  # fmt: skip
CHANNEL = np.dtype(
    [("type", "S2"), ("id", "<u2"), ("label", "S16"), ("connector", "u1"), ("pin", "u1"),
     ("low", "<i2"), ("high", "<i2"), ("low_analog", "<i2"), ("high_analog", "<i2"),
     ("units", "S16"), ("filters", "V20")]
)  # fmt: skip
BLOCK = np.dtype([("flag", "u1"), ("timestamp", "<u4"), ("n", "<u4")])
NEV = np.dtype(
    [("id", "S8"), ("major", "u1"), ("minor", "u1"), ("flags", "<u2"), ("header", "<u4"),
     ("packet", "<u4"), ("resolution", "<u4"), ("rate", "<u4"), ("when", WHEN),
     ("application", "S32"), ("comment", "S256"), ("n", "<u4")]
)  # fmt: skip
WAVE = np.dtype(
    [("id", "S8"), ("electrode", "<u2"), ("connector", "u1"), ("pin", "u1"), ("factor", "<u2"),
     ("energy", "<u2"), ("high", "<i2"), ("low", "<i2"), ("sorted", "u1"), ("bytes", "u1"),
     ("width", "<u2"), ("unused", "S8")]
)  # fmt: skip
SPIKE = np.dtype(
    [("timestamp", "<u4"), ("electrode", "<u2"), ("unit", "u1"), ("reserved", "u1"),
     ("waveform", "V96")]
)  # fmt: skip
TODAY = (2024, 5, 1, 6, 10, 0, 0, 0)


def nsx(path, values, starts=(0,), period=1):
    """Write file spec 2.3: blocks of samples, each with its first tick of 30 kHz."""
    n = values.shape[1]
    channels = np.zeros(n, CHANNEL)
    for k in range(n):
        # 8191 uV for 32764 steps: a quarter of a uV each.
        channels[k] = (b"CC", k + 1, f"elec{k + 1}", 1, k, -32764, 32764, -8191, 8191, b"uV", b"")
    size = NSX.itemsize + channels.nbytes
    head = np.array((b"NEURALCD", 2, 3, size, b"", b"", period, 30000, TODAY, n), NSX)
    out = head.tobytes() + channels.tobytes()
    for start, part in zip(starts, np.array_split(values, len(starts)), strict=True):
        block = np.array((1, start, len(part)), BLOCK)
        out += block.tobytes() + part.astype("<i2").tobytes()
    path.write_bytes(out)
    return path


def nev(path, spikes, electrodes=(1, 2)):
    """Write file spec 2.3: spikes of (tick, electrode, class)."""
    waves = np.zeros(len(electrodes), WAVE)
    waves["id"], waves["electrode"], waves["factor"] = b"NEUEVWAV", electrodes, 250
    waves["bytes"], waves["width"] = 2, 48
    size = NEV.itemsize + waves.nbytes
    head = np.array(
        (
            b"NEURALEV",
            2,
            3,
            1,
            size,
            SPIKE.itemsize,
            30000,
            30000,
            TODAY,
            b"test",
            b"",
            len(waves),
        ),
        NEV,
    )
    packets = np.array([(t, e, u, 0, b"") for t, e, u in spikes], SPIKE)
    path.write_bytes(head.tobytes() + waves.tobytes() + packets.tobytes())
    return path


SPIKES = [(300, 1, 0), (600, 1, 1), (900, 1, 2), (1200, 1, 255), (1500, 2, 1), (1800, 1, 1)]


def test_spikes_and_signals_of_one_session(tmp_path, rng):
    values = rng.integers(-3000, 3000, (3000, 2))
    nsx(tmp_path / "a.ns5", values)
    nev(tmp_path / "a.nev", SPIKES)
    for path in (tmp_path / "a.ns5", tmp_path / "a.nev", tmp_path):
        recording = nr.open(path)
        np.testing.assert_allclose(recording["signal"], values * 0.25)
        assert recording["signal"].attrs == {
            "units": "uV", "sampling_rate": 30000.0, "long_name": "nsx5",
        }  # fmt: skip
        assert recording["channel"].values.tolist() == ["elec1", "elec2"]
        np.testing.assert_allclose(recording["sample_time"], np.arange(3000) / 30000)
        assert recording["unit"].values.tolist() == ["ch1#0", "ch1#1", "ch1#2", "ch2#1"]
        kinds = recording["unit_kind"].values.tolist()
        assert kinds == ["unsorted", "sorted", "sorted", "sorted"]
        assert [t.tolist() for t in spike_trains(recording)] == [
            [0.01],
            [0.02, 0.06],
            [0.03],
            [0.05],
        ]
        assert "ch1#255 (1 spikes)" in recording.attrs["not_read"]
    every = nr.open(tmp_path, noise=True)
    assert (
        dict(zip(every["unit"].values, every["unit_kind"].values, strict=True))["ch1#255"]
        == "noise"
    )
    assert "not_read" not in every.attrs
    without = nr.open(tmp_path, reader_options={"load_nev": False})
    assert "spike_times" not in without


def test_spikes_alone_start_with_the_clock(tmp_path):
    recording = nr.open(nev(tmp_path / "a.nev", SPIKES))
    assert float(recording["start"][0]) == 0.0
    assert float(recording["stop"][0]) == pytest.approx(0.06)


def test_a_pause_is_an_absent_stretch_whatever_fires_in_it(tmp_path, rng):
    values = rng.integers(-3000, 3000, (3000, 2))
    nsx(tmp_path / "a.ns5", values, starts=(0, 30000))
    # A spike in the pause, one in each stretch, and one at the last sample.
    nev(tmp_path / "a.nev", [(600, 1, 1), (15000, 1, 1), (30600, 1, 1), (31499, 2, 1)])
    recording = nr.open(tmp_path / "a.ns5")
    time = np.concatenate([np.arange(1500), 30000 + np.arange(1500)]) / 30000
    np.testing.assert_allclose(recording["sample_time"], time)
    np.testing.assert_allclose(recording["signal"], values * 0.25)
    np.testing.assert_allclose(recording["start"], [0, 1])
    np.testing.assert_allclose(recording["stop"], [1499 / 30000, 31499 / 30000])
    assert recording["spike_times"].values.max() == pytest.approx(31499 / 30000)
    counts = nr.data.bin_spikes(recording, 0.01)
    assert int(counts.sum()) == 2
    assert counts["time"].values == pytest.approx(
        [0.01, 0.02, 0.03, 0.04, *np.arange(101, 105) / 100]
    )
    assert recording.attrs["pauses"].startswith("1, together 0.95")


def test_streams_of_two_rates(tmp_path, rng):
    fast, slow = rng.integers(-3000, 3000, (3000, 1)), rng.integers(-3000, 3000, (100, 1))
    nsx(tmp_path / "a.ns5", fast)
    nsx(tmp_path / "a.ns2", slow, period=30)
    recording = nr.open(tmp_path)
    at = {recording[f"signal_{k}"].attrs["long_name"]: k for k in range(2)}
    np.testing.assert_allclose(recording[f"signal_{at['nsx2']}"], slow * 0.25)
    np.testing.assert_allclose(recording[f"sample_{at['nsx2']}_time"], np.arange(100) / 1000)
    assert nr.open(tmp_path, stream="nsx2")["signal"].attrs["sampling_rate"] == 1000
