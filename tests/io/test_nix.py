import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import MissingDependencyError, NameUnknownError
from neurornn.data import spike_trains
from neurornn.io import neo_readers, vendor

# neo and quantities warn about their own use of NumPy; none of it is ours.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def nix(path, values, n_segments=1):
    """Write a block with neo itself: a signal at 1 per ms, two trains of one name, events."""
    neo, pq = pytest.importorskip("neo"), pytest.importorskip("quantities")
    pytest.importorskip("nixio")
    block = neo.Block()
    for k in range(n_segments):
        segment = neo.Segment()
        segment.analogsignals.append(
            neo.AnalogSignal(
                values * pq.mV,
                sampling_rate=1 / pq.ms,
                t_start=(250 + 1000 * k) * pq.ms,
                array_annotations={"channel_names": np.array(["left", "right"])},
            )
        )
        for times in ([100.0, 900.0], [300.0]):
            segment.spiketrains.append(
                neo.SpikeTrain(
                    (np.array(times) + 1000 * k) * pq.ms,
                    t_start=1000 * k * pq.ms,
                    t_stop=(900 + 1000 * k) * pq.ms,
                    name="unit",
                )
            )
        segment.events.append(neo.Event([400.0] * pq.ms, labels=np.array(["go"])))
        block.segments.append(segment)
    writer = neo.io.NixIO(str(path), mode="ow")
    writer.write_block(block)
    writer.close()
    return path


@pytest.mark.parametrize("name", ["a.nix", "a.h5"])
def test_nix_comes_in_seconds_and_hertz(tmp_path, rng, name):
    values = rng.normal(size=(500, 2))
    recording = nr.open(nix(tmp_path / name, values))
    np.testing.assert_allclose(recording["signal"], values)
    assert recording["signal"].attrs["units"] == "mV"
    assert recording["signal"].attrs["sampling_rate"] == pytest.approx(1000)
    np.testing.assert_allclose(recording["sample_time"], 0.25 + np.arange(500) / 1000)
    assert recording["channel"].values.tolist() == ["left", "right"]
    assert [t.tolist() for t in spike_trains(recording)] == [[0.1, 0.9], [0.3]]
    assert len(set(recording["unit"].values)) == 2
    assert recording["unit_kind"].values.tolist() == ["not stated"] * 2
    assert recording["event_time"].values == pytest.approx([0.4])
    assert recording["event_label"].values.tolist() == ["go"]


@pytest.mark.slow
def test_segments_of_one_clock_are_one_recording(tmp_path, rng):
    values = rng.normal(size=(500, 2))
    recording = nr.open(nix(tmp_path / "a.nix", values, n_segments=2))
    assert recording.sizes["sample"] == 1000
    assert nr.open(tmp_path / "a.nix", segment=1)["sample_time"].values[0] == pytest.approx(1.25)
    with pytest.raises(NameUnknownError, match="2 segments and segment=5"):
        nr.open(tmp_path / "a.nix", segment=5)


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    import neo.io

    class Missing:
        def __init__(self, filename, mode="ro"):
            raise ImportError("No module named 'nixio'")

    (tmp_path / "a.nix").write_bytes(b"x")
    monkeypatch.setattr(neo.io, "NixIO", Missing)
    with pytest.raises(MissingDependencyError, match=r'pip install "neurornn\[nix\]"'):
        vendor.read_vendor(tmp_path / "a.nix")
    assert neo_readers.EXTRAS["NeuralynxIO"]
