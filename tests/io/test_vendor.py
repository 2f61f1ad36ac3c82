import numpy as np
import pytest

from neurornn._core.errors import FileFormatError, NameUnknownError
from neurornn.io import open as open_file
from neurornn.io import read_vendor
from neurornn.io.vendor import vendor_readers

# neo and quantities warn about their own use of NumPy; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def brainvision(tmp_path, rng):
    """A recording of two channels at 500 Hz with one marker, in BrainVision's three files."""
    values = rng.integers(-1000, 1000, (250, 2)).astype("<i2")
    (tmp_path / "a.eeg").write_bytes(values.tobytes())
    (tmp_path / "a.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        "[Marker Infos]\nMk1=Stimulus,S  1,101,1,0\n"
    )
    (tmp_path / "a.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        "MarkerFile=a.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n"
        "SamplingInterval=2000\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n"
        "Ch1=left,,0.5,uV\nCh2=right,,0.5,uV\n"
    )
    return tmp_path / "a.vhdr", values


def test_signals_and_markers_have_times_in_seconds(brainvision):
    path, values = brainvision
    recording = open_file(path)
    np.testing.assert_allclose(recording["signal"], values * 0.5)
    np.testing.assert_allclose(recording["sample_time"], np.arange(250) / 500)
    assert recording["signal"].attrs["sampling_rate"] == pytest.approx(500.0)
    assert recording["channel"].values.tolist() == ["left", "right"]
    # Markers are counted from 1 in the file and from 0 in neo: one sample, 2 ms, is left open.
    np.testing.assert_allclose(recording["event_time"], [0.2], atol=0.0021)
    assert recording.attrs["source"] == "a.vhdr"


def test_a_missing_data_file_is_explained(brainvision):
    path, _ = brainvision
    path.with_suffix(".eeg").unlink()
    with pytest.raises(FileFormatError, match="BrainVision"):
        read_vendor(path)


def test_pickles_and_evaluated_text_are_never_read(tmp_path):
    for name in ("a.pkl", "a.pickle", "a.dat"):
        (tmp_path / name).write_bytes(b"\x80\x04N.")
        names = {reader.__name__ for reader in vendor_readers(tmp_path / name)}
        assert not names & {"PickleIO", "ElphyIO"}


def test_an_unknown_format_is_refused(tmp_path):
    (tmp_path / "a.unheardof").write_bytes(b"\x01\x02")
    with pytest.raises(FileFormatError, match="neither this package nor neo"):
        read_vendor(tmp_path / "a.unheardof")


class _Reader:
    """Stands in for a reader of a format with sorted spikes."""

    n_segments = 1

    def __init__(self, path):
        self.path = path

    def read_block(self, lazy):
        import neo
        import quantities as pq

        block = neo.Block()
        for _ in range(self.n_segments):
            segment = neo.Segment()
            segment.spiketrains.append(
                neo.SpikeTrain([1500, 500] * pq.ms, t_start=0 * pq.s, t_stop=3 * pq.s, name="a")
            )
            segment.spiketrains.append(neo.SpikeTrain([] * pq.s, t_stop=2 * pq.s, name="b"))
            block.segments.append(segment)
        return block


def test_spike_trains_come_in_seconds(tmp_path, monkeypatch):
    (tmp_path / "a.xyz").write_bytes(b"x")
    monkeypatch.setattr("neurornn.io.vendor.vendor_readers", lambda path: [_Reader])
    recording = read_vendor(tmp_path / "a.xyz")
    assert recording["spike_times"].values.tolist() == [0.5, 1.5]
    assert recording["unit"].values.tolist() == ["a", "b"]
    assert recording["spike_count"].values.tolist() == [2, 0]
    assert (float(recording["start"][0]), float(recording["stop"][0])) == (0.0, 3.0)


def test_several_segments_ask_which(tmp_path, monkeypatch):
    (tmp_path / "a.xyz").write_bytes(b"x")
    reader = type("Reader", (_Reader,), {"n_segments": 2})
    monkeypatch.setattr("neurornn.io.vendor.vendor_readers", lambda path: [reader])
    with pytest.raises(NameUnknownError, match="2 segments"):
        read_vendor(tmp_path / "a.xyz")
    assert "spike_times" in read_vendor(tmp_path / "a.xyz", segment=1)
