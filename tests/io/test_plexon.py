import struct

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import FileFormatError
from neurornn.data import spike_trains

CLOCK = 40000


def name32(text):
    return text.encode().ljust(32, b"\0")


def block(kind, tick, channel, unit=0, samples=()):
    """Write a data block: 16 bytes, and samples of 2 bytes."""
    words = (channel, unit, int(len(samples) > 0), len(samples))
    head = struct.pack("<HHIHHHH", kind, tick >> 32, tick & 0xFFFFFFFF, *words)
    return head + np.asarray(samples, "<i2").tobytes()


def plx(path, blocks, *, slow=((0, "AD01", 1000, 10),), version=106, spike_bits=12, slow_bits=16):
    """Write one spike and one event channel, and slow ones: number, name, rate, gain."""
    head = struct.pack("<4si128si", b"PLEX", version, b"", CLOCK)
    head += struct.pack("<3i2i6i2i", 1, 1, len(slow), 32, 8, 2024, 5, 6, 10, 0, 0, 0, CLOCK)
    head += struct.pack("<d4B3H46x", 2.0 * CLOCK, 1, 1, spike_bits, slow_bits, 3000, 5000, 1000)
    head = head.ljust(256, b"\0") + bytes(4 * (650 + 650 + 512))
    spikes = name32("sig001") + name32("") + struct.pack("<5i", 1, 0, 0, 0, 1)
    events = name32("Strobed") + struct.pack("<i", 257)
    out = head + spikes.ljust(1020, b"\0") + events.ljust(296, b"\0")
    for number, title, rate, gain in slow:
        own = name32(title) + struct.pack("<5i", number, rate, gain, 1, 1000)
        out += own.ljust(296, b"\0")
    path.write_bytes(out + b"".join(blocks))
    return path


SPIKES = [
    block(1, tick, 1, unit, range(32))
    for tick, unit in ((4000, 1), (8000, 2), (12000, 0), (44000, 1), (80000, 2))
]


def test_units_of_one_channel_are_told_apart(tmp_path):
    recording = nr.open(plx(tmp_path / "a.plx", [*SPIKES, block(4, 20000, 257, 7)]))
    assert recording["unit"].values.tolist() == ["sig001#0", "sig001#1", "sig001#2"]
    assert recording["unit_kind"].values.tolist() == ["unsorted", "sorted", "sorted"]
    # The spike at the very end stays.
    assert [t.tolist() for t in spike_trains(recording)] == [[0.3], [0.1, 1.1], [0.2, 2.0]]
    assert (float(recording["start"][0]), float(recording["stop"][0])) == (0.0, 2.0)
    assert recording["event_time"].values.tolist() == [0.5]
    assert recording["event_label"].values.tolist() == ["7"]


def test_a_slow_channel_keeps_clock_pause_last_block_and_gain(tmp_path, rng):
    values = rng.integers(-2000, 2000, 500).astype("<i2")
    # From 0.25 s, 300 samples at 1 kHz, a pause of half a second, and 200 more.
    starts = [10000, 14000, 18000, 42000, 46000]
    slow = [block(5, t, 0, 0, values[100 * k : 100 * k + 100]) for k, t in enumerate(starts)]
    recording = nr.open(plx(tmp_path / "a.plx", [*SPIKES, *slow]))
    # 5000 mV for half of 2**16 steps, through gains of 10 and 1000.
    np.testing.assert_allclose(recording["signal"][:, 0], values * (5000 / (2**15 * 10 * 1000)))
    assert recording["signal"].attrs["units"] == "mV"
    time = np.concatenate([0.25 + np.arange(300) / 1000, 1.05 + np.arange(200) / 1000])
    np.testing.assert_allclose(recording["sample_time"], time)
    np.testing.assert_allclose(recording["stop"], [0.549, 2.0])
    assert recording["channel"].values.tolist() == ["AD01"]
    assert recording.attrs["pauses"] == "1, together 0.501 s"


@pytest.mark.parametrize(
    ("version", "mv"), [(101, 5000 / (2048 * 10 * 1000)), (102, 5000 / (2048 * 10 * 1000))]
)
def test_gains_of_old_versions(tmp_path, version, mv):
    slow = [block(5, 0, 0, 0, [1, 2, 3])]
    recording = nr.open(plx(tmp_path / "a.plx", slow, version=version))
    np.testing.assert_allclose(recording["signal"][:, 0], mv * np.array([1, 2, 3]))


def test_slow_channels_of_other_lengths_and_rates_open(tmp_path):
    channels = ((0, "AD01", 1000, 10), (1, "AD02", 1000, 10), (2, "AI01", 500, 1))
    slow = [
        block(5, 0, 0, 0, range(50)),
        block(5, 0, 1, 0, range(50)),
        block(5, 0, 2, 0, range(20)),
    ]
    slow.append(block(5, 2000, 0, 0, range(10)))
    recording = nr.open(plx(tmp_path / "a.plx", [*SPIKES, *slow], slow=channels))
    sizes = {
        str(recording[f"channel_{k}"].values[0]): recording.sizes[f"sample_{k}"] for k in range(3)
    }
    assert sizes == {"AD01": 60, "AD02": 50, "AI01": 20}
    assert nr.open(tmp_path / "a.plx", stream="AI01")["signal"].attrs["sampling_rate"] == 500
    assert "signal" not in nr.open(tmp_path / "a.plx", stream="none")


def test_what_the_file_does_not_hold_is_refused_and_spikes_still_open(tmp_path):
    slow = [block(5, 4000, 0, 0, range(50)), block(5, 0, 0, 0, range(50))]
    recording = nr.open(plx(tmp_path / "a.plx", [*SPIKES, *slow]))
    assert recording.attrs["not_read"] == "AD01 (its blocks go back in time)"
    assert recording.sizes["spike"] == 5 and "signal" not in recording
    slow = [block(5, 0, 0, 0, range(50))]
    recording = nr.open(plx(tmp_path / "b.plx", [*SPIKES, *slow], slow_bits=0))
    assert "no gain that can be used" in recording.attrs["not_read"]


def test_a_block_that_is_cut_short_is_said(tmp_path):
    path = plx(tmp_path / "a.plx", SPIKES)
    path.write_bytes(path.read_bytes()[:-10])
    recording = nr.open(path)
    assert recording.sizes["spike"] == 4
    assert "cut short" in recording.attrs["not_read"]
    path.write_bytes(path.read_bytes()[:8000])
    with pytest.raises(FileFormatError, match=r"ends inside its headers.*1 channels"):
        nr.open(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(FileFormatError, match="ends inside its headers"):
        nr.open(path)


def test_neo_agrees_about_the_spikes(tmp_path):
    neo = pytest.importorskip("neo.io")
    path = plx(tmp_path / "a.plx", SPIKES)
    trains = spike_trains(nr.open(path))
    segment = neo.PlexonIO(filename=str(path)).read_block().segments[0]
    assert [t.tolist() for t in trains] == [t.magnitude.tolist() for t in segment.spiketrains]
