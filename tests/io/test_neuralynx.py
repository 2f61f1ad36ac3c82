import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import NameUnknownError
from neurornn.data import spike_trains

# neo and quantities warn about their own use of NumPy; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

NCS = np.dtype(
    [("timestamp", "<u8"), ("channel", "<u4"), ("rate", "<u4"), ("valid", "<u4"),
     ("samples", "<i2", 512)]
)  # fmt: skip
NEV = np.dtype(
    [("a", "<i2", 3), ("timestamp", "<u8"), ("event_id", "<i2"), ("ttl", "<i2"), ("b", "<i2", 3),
     ("c", "<i4", 8), ("text", "S128")]
)  # fmt: skip
NSE = np.dtype(
    [("timestamp", "<u8"), ("channel", "<u4"), ("unit", "<u4"), ("features", "<i4", 8),
     ("samples", "<i2", 32)]
)  # fmt: skip
NTT = np.dtype(
    [("timestamp", "<u8"), ("channel", "<u4"), ("unit", "<u4"), ("features", "<i4", 8),
     ("samples", "<i2", (32, 4))]
)  # fmt: skip
GAIN = 3.0518510385491027e-08  # V of one step


def header(kind, name, rate=32000, number=0, size=1044):
    lines = [
        "######## Neuralynx Data File Header", f"-FileType {kind}", "-FileVersion 3.4",
        f"-OriginalFileName \"C:\\d\\{name}\"", "-TimeCreated 2024/05/06 10:00:00",
        "-TimeClosed 2024/05/06 10:10:00", f"-RecordSize {size}",
        '-ApplicationName Cheetah "6.3.2"', "-AcquisitionSystem AcqSystem1 DigitalLynxSX",
        f"-SamplingFrequency {rate}", "-ADMaxValue 32767", f"-ADBitVolts {GAIN:.27f}",
        f"-AcqEntName {name}", "-NumADChannels 1", f"-ADChannel {number}", "-InputRange 1000",
        "-InputInverted False", "-DSPLowCutFilterEnabled True", "-DspLowCutFrequency 0.1",
        "-DSPHighCutFilterEnabled True", "-DspHighCutFrequency 8000",
        "-DspDelayCompensation Disabled", "-DspFilterDelay_\u00b5s 0", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode("latin-1").ljust(16384, b"\0")


def ncs(path, values, starts=(5_000_000,), rate=32000, number=0, name=None):
    """Write stretches of samples, each from a time in us; whole records of 512."""
    records = []
    for start, part in zip(starts, np.split(values, len(starts)), strict=True):
        block = np.zeros(len(part) // 512, NCS)
        # Cheetah rounds the start of each record to whole us.
        block["timestamp"] = start + np.round(np.arange(len(block)) * 512e6 / rate).astype(int)
        block["rate"], block["valid"], block["channel"] = rate, 512, number
        block["samples"] = part.reshape(-1, 512)
        records.append(block)
    title = name or path.stem
    path.write_bytes(header("NCS", title, rate, number) + np.concatenate(records).tobytes())
    return path


def ntt(path, times, units, first=0):
    """Write spikes of a tetrode, whose header has one entry for each of its four channels."""
    head = header("Spike", path.stem, number=" ".join(str(first + k) for k in range(4)), size=304)
    lines = head.rstrip(b"\0").split(b"\r\n")
    for k, line in enumerate(lines):
        key, _, value = line.partition(b" ")
        if key in (b"-ADBitVolts", b"-InputRange"):
            lines[k] = key + b" " + b" ".join([value] * 4)
        elif key == b"-NumADChannels":
            lines[k] = key + b" 4"
    spikes = np.zeros(len(times), NTT)
    spikes["timestamp"], spikes["unit"] = times, units
    path.write_bytes(b"\r\n".join(lines).ljust(16384, b"\0") + spikes.tobytes())
    return path


def session(folder, rng):
    folder.mkdir(parents=True)
    values = rng.integers(-3000, 3000, (2, 40 * 512)).astype("<i2")
    for k in range(2):
        ncs(folder / f"CSC{k + 1}.ncs", values[k], number=k)
    events = np.zeros(2, NEV)
    events["timestamp"], events["ttl"] = [5_100_000, 5_300_000], [1, 1]
    events["event_id"], events["text"] = 11, b"TTL Input on AcqSystem1_0 board 0"
    (folder / "Events.nev").write_bytes(header("Event", "Events") + events.tobytes())
    spikes = np.zeros(4, NSE)
    spikes["timestamp"], spikes["unit"] = (
        [5_100_000, 5_150_000, 5_200_000, 5_640_000],
        [0, 1, 2, 1],
    )
    (folder / "SE1.nse").write_bytes(header("Spike", "SE1", number=7, size=112) + spikes.tobytes())
    return values


def test_a_folder_has_signals_spikes_and_events_on_one_clock(tmp_path, rng):
    values = session(tmp_path / "2024-05-06_10-00-00", rng)
    recording = nr.open(tmp_path / "2024-05-06_10-00-00")
    # The gain is printed with 27 digits, and uV are a million of V.
    np.testing.assert_allclose(recording["signal"], values.T * GAIN * 1e6, rtol=1e-12)
    assert recording["signal"].attrs["units"] == "uV"
    assert recording["signal"].attrs["sampling_rate"] == 32000
    assert recording["channel"].values.tolist() == ["CSC1", "CSC2"]
    # Stamps are in whole us, on the clock of the acquisition system.
    np.testing.assert_allclose(
        recording["sample_time"], 5 + np.arange(40 * 512) / 32000, atol=1e-6
    )
    np.testing.assert_allclose(recording["event_time"], [5.1, 5.3])
    assert "first sample is at 5 s" in recording.attrs["clock"]
    assert recording["unit_kind"].values.tolist() == ["unsorted", "sorted", "sorted"]
    assert [t.tolist() for t in spike_trains(recording)] == [[5.1], [5.15, 5.64], [5.2]]
    assert len(set(recording["unit"].values)) == 3
    assert float(recording["start"][0]) == 5.0


def test_a_single_file_gives_its_channel_on_the_clock_of_the_session(tmp_path, rng):
    folder = tmp_path / "a day" / "session 1"
    values = session(folder, rng)
    (folder / "CSC2.ncs").rename(folder / "CSC2 left side.ncs")
    alone = nr.open(folder / "CSC2 left side.ncs")
    np.testing.assert_allclose(alone["signal"][:, 0], values[1] * GAIN * 1e6, rtol=1e-12)
    assert "spike_times" not in alone
    assert float(alone["sample_time"][0]) == 5.0
    spikes = nr.open(folder / "SE1.nse")
    assert "signal" not in spikes
    assert spikes["spike_times"].values.max() == pytest.approx(5.64)
    assert nr.open(folder / "Events.nev")["event_time"].values.tolist() == [5.1, 5.3]


def test_the_folder_of_a_day_opens_its_session_or_lists_several(tmp_path, rng):
    session(tmp_path / "day" / "one", rng)
    assert nr.open(tmp_path / "day").sizes["sample"] == 40 * 512
    session(tmp_path / "day" / "two", rng)
    with pytest.raises(NameUnknownError, match="2 recordings: Neuralynx one, Neuralynx two"):
        nr.open(tmp_path / "day")


def test_a_pause_is_an_absent_stretch(tmp_path, rng):
    values = rng.integers(-3000, 3000, 40 * 512).astype("<i2")
    for k in range(2):
        ncs(tmp_path / f"CSC{k}.ncs", values, starts=(5_000_000, 9_000_000), number=k)
    recording = nr.open(tmp_path)
    half = 20 * 512
    expected = np.concatenate([5 + np.arange(half) / 32000, 9 + np.arange(half) / 32000])
    np.testing.assert_allclose(recording["sample_time"], expected, atol=1e-6)
    np.testing.assert_allclose(recording["signal"][:, 1], values * GAIN * 1e6, rtol=1e-12)
    np.testing.assert_allclose(recording["start"], [5, 9], atol=1e-4)
    np.testing.assert_allclose(recording["stop"], [5 + half / 32000, 9 + half / 32000], atol=1e-4)
    assert recording.attrs["pauses"].startswith("1, together 3.68")
    assert recording.attrs["gap_tolerance"] == 1e-3
    assert nr.open(tmp_path, segment=1).sizes["sample"] == half
    # A tolerance above the pause closes it, as asked.
    assert nr.open(tmp_path, gap_tolerance=10.0).sizes["interval"] == 1


def test_channels_of_several_rates_keep_their_clocks(tmp_path, rng):
    fast = rng.integers(-3000, 3000, 64 * 512).astype("<i2")
    slow = rng.integers(-3000, 3000, 4 * 512).astype("<i2")
    ncs(tmp_path / "CSC1.ncs", fast, number=0)
    ncs(tmp_path / "LFP1.ncs", slow, rate=2000, number=1)
    recording = nr.open(tmp_path)
    rates = {recording[f"signal_{k}"].attrs["sampling_rate"]: k for k in range(2)}
    assert set(rates) == {32000.0, 2000.0}
    k = rates[2000.0]
    np.testing.assert_allclose(recording[f"signal_{k}"][:, 0], slow * GAIN * 1e6, rtol=1e-12)
    np.testing.assert_allclose(
        recording[f"sample_{k}_time"], 5 + np.arange(4 * 512) / 2000, atol=1e-6
    )
    one = nr.open(tmp_path, stream=recording[f"signal_{k}"].attrs["long_name"])
    assert one["signal"].attrs["sampling_rate"] == 2000


def test_spikes_lie_in_their_stretch_once(tmp_path, rng):
    values = rng.integers(-3000, 3000, 40 * 512).astype("<i2")
    ncs(tmp_path / "CSC1.ncs", values, starts=(5_000_000, 9_000_000))
    spikes = np.zeros(5, NSE)
    # One in the pause, and one at the very first sample.
    spikes["timestamp"] = [5_000_000, 5_200_000, 7_000_000, 9_000_100, 9_300_000]
    spikes["unit"] = 1
    (tmp_path / "SE1.nse").write_bytes(header("Spike", "SE1", number=7) + spikes.tobytes())
    recording = nr.open(tmp_path)
    found = recording["spike_times"].values
    kept = [5.0, 5.2, 9.0001, 9.3]
    assert [t for t in found if t != 7.0] == pytest.approx(kept)
    counts = nr.data.bin_spikes(recording, 0.1)
    assert not ((counts["time"].values > 5.4) & (counts["time"].values < 9)).any()
    assert int(counts.sum()) == 4


def test_a_tetrode_has_each_of_its_units_once(tmp_path):
    # us, on a clock that has run for an hour.
    times = np.array([3600_100_001, 3600_150_007, 3600_200_000, 3600_640_003])
    path = ntt(tmp_path / "TT1.ntt", times, [0, 1, 2, 1], first=4)
    recording = nr.open(path)
    assert recording["unit"].values.tolist() == [f"chTT1#4#{k}" for k in range(3)]
    assert recording["unit_kind"].values.tolist() == ["unsorted", "sorted", "sorted"]
    for train, mine in zip(spike_trains(recording), ([0], [1, 3], [2]), strict=True):
        # The clock counts us; a number of s has 5e-13 to spare here.
        np.testing.assert_allclose(train, times[mine] / 1e6, rtol=0, atol=1e-9)
    assert "counts from when it was switched on" in recording.attrs["clock"]
    # So it is for two tetrodes of a session, beside a single electrode and a signal.
    ntt(tmp_path / "TT2.ntt", times[:2], [1, 0], first=8)
    single = np.zeros(1, NSE)
    single["timestamp"], single["unit"] = 3600_300_000, 1
    (tmp_path / "SE1.nse").write_bytes(header("Spike", "SE1", number=20) + single.tobytes())
    ncs(tmp_path / "CSC1.ncs", np.zeros(60 * 512, "<i2"), starts=(3600_000_000,), number=30)
    every = nr.open(tmp_path)
    counts = dict(zip(every["unit"].values.tolist(), every["spike_count"].values, strict=True))
    assert counts == {
        **{"chSE1#20#1": 1, "chTT1#4#0": 1, "chTT1#4#1": 2, "chTT1#4#2": 1},
        **{"chTT2#8#0": 1, "chTT2#8#1": 1},
    }
    assert float(every["sample_time"][0]) == 3600.0
    alone = nr.data.select_units(every, ["chTT2#8#1"])["spike_times"].values
    assert alone.tolist() == pytest.approx([3600.100001], abs=1e-9)
