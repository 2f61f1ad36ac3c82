import json

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import FileFormatError, NameUnknownError
from neurornn.data import spike_trains

# neo and quantities warn about their own use of NumPy; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

RECORD = np.dtype(
    [("timestamp", "<i8"), ("n", "<u2"), ("recording", "<u2"), ("samples", ">i2", 1024),
     ("marker", "u1", 10)]
)  # fmt: skip


def continuous(path, values, first):
    """Write the legacy format: records of 1024 samples, each with the number of its first."""
    head = (
        "header.format = 'Open Ephys Data Format';\nheader.version = 0.4;\n"
        "header.header_bytes = 1024;\nheader.date_created = '6-May-2024 100000';\n"
        "header.channel = 'CH1';\nheader.channelType = 'Continuous';"
        "\nheader.sampleRate = 30000;\nheader.blockLength = 1024;\nheader.bufferSize = 1024;\n"
        "header.bitVolts = 0.195;\n"
    )
    block = np.zeros(len(first), RECORD)
    block["timestamp"], block["n"] = first, 1024
    block["samples"] = values.reshape(-1, 1024)
    path.write_bytes(head.encode().ljust(1024, b"\0") + block.tobytes())


def legacy_spikes(path, samples, sorted_ids, n_channels=4, n_samples=40):
    """Write spikes of the legacy format, each with the sample and the number of its unit."""
    head = (
        "header.format = 'Open Ephys Data Format';\nheader.version = 0.4;\n"
        "header.header_bytes = 1024;\nheader.date_created = '6-May-2024 100000';\n"
        f"header.electrode = '{path.stem}';\nheader.num_channels = {n_channels};\n"
        "header.sampleRate = 30000;\n"
    )
    kind = [
        ("kind", "u1"), ("timestamp", "<i8"), ("software", "<i8"), ("source", "<u2"),
        ("n_channels", "<u2"), ("n_samples", "<u2"), ("sorted", "<u2"), ("electrode", "<u2"),
        ("channel", "<u2"), ("color", "u1", 3), ("pca", "<f4", 2), ("rate", "<u2"),
        ("samples", "<u2", n_channels * n_samples), ("gains", "<f4", n_channels),
        ("thresholds", "<u2", n_channels), ("recording", "<u2"),
    ]  # fmt: skip
    block = np.zeros(len(samples), kind)
    block["kind"], block["rate"], block["gains"] = 4, 30000, 1000
    block["n_channels"], block["n_samples"] = n_channels, n_samples
    block["timestamp"], block["sorted"] = samples, sorted_ids
    path.write_bytes(head.encode().ljust(1024, b"\0") + block.tobytes())


def test_legacy_spikes_lie_on_the_clock_of_the_signals(tmp_path, rng):
    values = rng.integers(-3000, 3000, 5 * 1024).astype(np.int16)
    # An hour and a second after the start of the acquisition.
    start = 3601 * 30000
    continuous(tmp_path / "100_CH1.continuous", values, start + 1024 * np.arange(5))
    samples = start + np.array([0, 301, 900, 1507, 5119])
    legacy_spikes(tmp_path / "TT1.spikes", samples, [1, 0, 2, 1, 1])
    legacy_spikes(tmp_path / "SE2.spikes", samples[2:3] + 1, [0], n_channels=1)
    recording = nr.open(tmp_path)
    assert recording["unit"].values.tolist() == ["SE2#0", "TT1#0", "TT1#1", "TT1#2"]
    assert recording["unit_kind"].values.tolist() == ["unsorted"] * 2 + ["sorted"] * 2
    expected = [samples[[2]] + 1, samples[[1]], samples[[0, 3, 4]], samples[[2]]]
    for train, mine in zip(spike_trains(recording), expected, strict=True):
        # Both are the same number of samples divided by the rate.
        np.testing.assert_allclose(train, mine / 30000, rtol=0, atol=1e-9)
    assert float(recording["sample_time"][0]) == 3601.0
    assert "first sample is at 3601 s" in recording.attrs["clock"]


def test_spikes_of_the_binary_format_are_named(tmp_path, rng):
    stream = binary(tmp_path, rng.integers(-3, 3, (90, 2)), np.arange(90))
    about = stream.parents[1] / "structure.oebin"
    stated = json.loads(about.read_text())
    stated["spikes"] = [{"folder_name": "Spike_Viewer-102.0/spike_group_1/"}]
    about.write_text(json.dumps(stated))
    assert nr.open(tmp_path).attrs["not_read"] == "spikes/Spike_Viewer-102.0/spike_group_1"
    # Before 0.6 they bore the names of phy's files, but are no sorting of a recording.
    old = stream.parents[1] / "spikes" / "group"
    old.mkdir(parents=True)
    for name in ("spike_times", "spike_clusters", "spike_electrode_indices"):
        np.save(old / f"{name}.npy", np.arange(3))
    for path in (old, old / "spike_times.npy"):
        with pytest.raises(FileFormatError, match="spikes that Open Ephys detected"):
            nr.open(path)


def test_legacy_files_and_a_single_channel(tmp_path, rng):
    values = rng.integers(-3000, 3000, (2, 5 * 1024)).astype(np.int16)
    for k in range(2):
        continuous(tmp_path / f"100_CH{k + 1}.continuous", values[k], 60000 + 1024 * np.arange(5))
    recording = nr.open(tmp_path)
    np.testing.assert_allclose(recording["signal"], values.T * 0.195)
    assert recording["signal"].attrs["units"] == "uV"
    np.testing.assert_allclose(recording["sample_time"], 2 + np.arange(5 * 1024) / 30000)
    assert recording["channel"].values.tolist() == ["CH1", "CH2"]
    alone = nr.open(tmp_path / "100_CH2.continuous")
    np.testing.assert_allclose(alone["signal"][:, 0], values[1] * 0.195)


def test_lost_legacy_records_are_absent_not_zero(tmp_path, rng):
    values = rng.integers(1, 3000, (2, 5 * 1024)).astype(np.int16)
    first = 1024 * np.array([0, 1, 4, 5, 6])
    for k in range(2):
        continuous(tmp_path / f"100_CH{k + 1}.continuous", values[k], first)
    recording = nr.open(tmp_path)
    np.testing.assert_allclose(recording["signal"], values.T * 0.195)
    number = (first[:, None] + np.arange(1024)).ravel()
    np.testing.assert_allclose(recording["sample_time"], number / 30000)
    assert recording.sizes["interval"] == 2
    assert recording.attrs["pauses"].startswith("1, ")


def test_a_record_lost_in_one_channel_is_nan_there(tmp_path, rng):
    values = rng.integers(1, 3000, (2, 5 * 1024)).astype(np.int16)
    continuous(tmp_path / "100_CH1.continuous", values[0], 1024 * np.arange(5))
    kept = np.concatenate([values[1, :2048], values[1, 3072:]])
    continuous(tmp_path / "100_CH2.continuous", kept, 1024 * np.array([0, 1, 3, 4]))
    signal = nr.open(tmp_path)["signal"]
    assert np.isnan(signal[2048:3072, 1]).all()
    np.testing.assert_allclose(signal[3072:, 1], values[1, 3072:] * 0.195)
    np.testing.assert_allclose(signal[:, 0], values[0] * 0.195)


def binary(folder, values, numbers, rate=30000.0, seconds=None, node="Record Node 101"):
    """Write a recording as Open Ephys 0.6 does."""
    home = folder / node / "experiment1" / "recording1"
    stream = home / "continuous" / "Acquisition_Board-100.Rhythm Data"
    stream.mkdir(parents=True)
    channels = [
        {"channel_name": f"CH{k + 1}", "bit_volts": 0.195, "units": "uV"}
        for k in range(values.shape[1])
    ]
    entry = {
        "folder_name": stream.name + "/",
        "sample_rate": rate,
        "num_channels": values.shape[1],
        "channels": channels,
        "source_processor_name": "Acquisition Board",
    }
    home.joinpath("structure.oebin").write_text(
        json.dumps({"GUI version": "0.6.7", "continuous": [entry], "events": [], "spikes": []})
    )
    values.astype("<i2").tofile(stream / "continuous.dat")
    np.save(stream / "sample_numbers.npy", numbers)
    np.save(stream / "timestamps.npy", numbers / rate if seconds is None else seconds)
    return stream


def test_binary_folder_and_its_data_file(tmp_path, rng):
    values = rng.integers(-3000, 3000, (900, 3))
    stream = binary(tmp_path / "s", values, 45000 + np.arange(900))
    for path in (tmp_path / "s", tmp_path / "s" / "Record Node 101", stream / "continuous.dat"):
        recording = nr.open(path)
        np.testing.assert_allclose(recording["signal"], values * 0.195)
        assert recording["signal"].attrs["units"] == "uV"
        assert recording["signal"].attrs["sampling_rate"] == 30000
        np.testing.assert_allclose(recording["sample_time"], 1.5 + np.arange(900) / 30000)
        assert "first sample is at 1.5 s" in recording.attrs["clock"]


def test_binary_samples_that_were_lost_are_a_pause(tmp_path, rng):
    values = rng.integers(-3000, 3000, (900, 2))
    numbers = np.arange(900) + 6000 * (np.arange(900) >= 400)
    binary(tmp_path, values, numbers)
    recording = nr.open(tmp_path)
    np.testing.assert_allclose(recording["sample_time"], numbers / 30000)
    np.testing.assert_allclose(recording["signal"], values * 0.195)
    assert recording.sizes["interval"] == 2


def test_binary_times_are_those_that_were_synchronised(tmp_path, rng):
    values = rng.integers(-3000, 3000, (900, 2))
    binary(tmp_path, values, np.arange(900), seconds=7.25 + np.arange(900) / 30000)
    np.testing.assert_allclose(nr.open(tmp_path)["sample_time"], 7.25 + np.arange(900) / 30000)


def test_binary_before_0_6_and_a_renamed_folder(tmp_path, rng):
    values = rng.integers(-3000, 3000, (900, 2))
    stream = binary(tmp_path, values, 300 + np.arange(900))
    (stream / "sample_numbers.npy").unlink()
    np.save(stream / "timestamps.npy", 300 + np.arange(900))
    np.testing.assert_allclose(nr.open(tmp_path)["sample_time"], (300 + np.arange(900)) / 30000)
    home = stream.parents[1]
    home.rename(home.with_name("monday"))
    with pytest.raises(FileFormatError, match=r"recording1 .* in a folder experiment1"):
        nr.open(tmp_path)


def test_gap_tolerance_is_refused_where_the_times_are_in_the_file(tmp_path, rng):
    binary(tmp_path, rng.integers(-3, 3, (90, 2)), np.arange(90))
    with pytest.raises(NameUnknownError, match="option of Neuralynx, Blackrock and Plexon"):
        nr.open(tmp_path, gap_tolerance=0.1)
