import json

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import FileFormatError, NameUnknownError

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
