import contextlib

import numpy as np
import pytest

from neurornn._core.errors import DataError, FileFormatError, KindError, NameUnknownError
from neurornn.data import bin_spikes
from neurornn.io import open as open_file
from neurornn.io import read_vendor
from neurornn.io.neo_contents import kind_of
from neurornn.io.neo_readers import Source, sources_of

# neo and quantities warn about their own use of NumPy; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def write_brainvision(folder, rng):
    """Write two channels at 500 Hz with one marker, in BrainVision's three files."""
    values = rng.integers(-1000, 1000, (250, 2)).astype("<i2")
    (folder / "a.eeg").write_bytes(values.tobytes())
    (folder / "a.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        "[Marker Infos]\nMk1=Stimulus,S  1,101,1,0\n"
    )
    (folder / "a.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        "MarkerFile=a.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n"
        "SamplingInterval=2000\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n"
        "Ch1=left,,0.5,uV\nCh2=right,,0.5,uV\n"
    )
    return folder / "a.vhdr", values


@pytest.fixture
def brainvision(tmp_path, rng):
    return write_brainvision(tmp_path, rng)


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


@pytest.mark.parametrize(
    "name", ["a.pkl", "a.pickle", "a.dat", "a.bin", "a.raw", "a.csv", "a.txt"]
)
def test_readers_that_run_code_or_claim_any_file_are_never_chosen(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04N.")
    names = set()
    with contextlib.suppress(FileFormatError):  # raw numbers are refused with what to do
        names = {source.reader for source in sources_of(tmp_path / name)}
    assert not names & {"PickleIO", "ElphyIO", "RawBinarySignalIO", "AsciiSignalIO"}


def test_an_unknown_format_is_refused(tmp_path):
    (tmp_path / "a.unheardof").write_bytes(b"\x01\x02")
    with pytest.raises(FileFormatError, match="neither this package nor neo"):
        read_vendor(tmp_path / "a.unheardof")


def test_a_folder_of_nothing_known_is_refused(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.unheardof").write_bytes(b"x")
    with pytest.raises(FileFormatError, match="of no known layout"):
        open_file(tmp_path)


def test_options_of_the_reader_are_checked(brainvision):
    path, _ = brainvision
    with pytest.raises(NameUnknownError, match="reader_options holds 'gap'"):
        open_file(path, reader_options={"gap": 1})
    with pytest.raises(KindError, match="reader_options is a list"):
        open_file(path, reader_options=["gap"])
    with pytest.raises(NameUnknownError, match="stream is 'b'"):
        open_file(path, stream="b")
    with pytest.raises(DataError, match="gap_tolerance is -1"):
        open_file(path, gap_tolerance=-1.0)


class _Reader:
    """Stands in for a reader of a format with sorted spikes."""

    starts = (0,)

    def __init__(self, path):
        self.path = path

    def read_block(self):
        import neo
        import quantities as pq

        block = neo.Block()
        for start in self.starts:
            segment = neo.Segment()
            for times, stop, name in (([1500, 500, 3000], 3, "a"), ([], 2, "b")):
                train = neo.SpikeTrain(
                    (np.array(times) + 1000 * start) * pq.ms,
                    t_start=start * pq.s,
                    t_stop=(start + stop) * pq.s,
                    name=name,
                )
                segment.spiketrains.append(train)
            block.segments.append(segment)
        return block


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Opens a file with a reader whose segments start at these times (s)."""

    def made(*starts):
        import neo.io

        kind = type("FakeIO", (_Reader,), {"starts": starts})
        monkeypatch.setattr(neo.io, "FakeIO", kind, raising=False)
        monkeypatch.setattr("neurornn.io.vendor.sources_of", lambda path: [Source("FakeIO", path)])
        (tmp_path / "a.xyz").write_bytes(b"x")
        return tmp_path / "a.xyz"

    return made


def test_spike_trains_come_in_seconds_and_the_last_at_the_edge_stays(reader):
    recording = read_vendor(reader(0))
    assert recording["spike_times"].values.tolist() == [0.5, 1.5, 3.0]
    assert recording["unit"].values.tolist() == ["a", "b"]
    assert recording["spike_count"].values.tolist() == [3, 0]
    assert (float(recording["start"][0]), float(recording["stop"][0])) == (0.0, 3.0)
    assert int(bin_spikes(recording, 0.5).sum()) == 3


def test_segments_on_one_clock_are_stretches_of_one_recording(reader):
    recording = read_vendor(reader(0, 10))
    assert recording["spike_times"].values.tolist() == [0.5, 1.5, 3.0, 10.5, 11.5, 13.0]
    assert recording["start"].values.tolist() == [0.0, 10.0]
    assert recording["stop"].values.tolist() == [3.0, 13.0]


def test_segments_on_clocks_of_their_own_ask_which(reader):
    path = reader(0, 0)
    with pytest.raises(NameUnknownError, match=r"2 segments .*clocks of their own"):
        read_vendor(path)
    assert read_vendor(path, segment=1).sizes["spike"] == 3


def test_what_a_unit_is_to_its_system():
    assert kind_of("NeuralynxIO", 0) == "unsorted"
    assert kind_of("NeuralynxIO", 255) == "sorted"
    assert kind_of("BlackrockIO", 17) == "reserved"
    assert kind_of("TdtIO", 31) == "noise"
    assert kind_of("AxonIO", 1) == "not stated"
