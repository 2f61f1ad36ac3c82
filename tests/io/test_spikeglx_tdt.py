import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import FileFormatError, NameUnknownError
from neurornn.data import spike_trains

# neo and quantities warn about their own use of NumPy; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def spikeglx(folder, values, name="run_g0_t0.nidq", first=0):
    """Write a run of the National Instruments card: 2 analog channels of +-5 V, 25 kHz."""
    folder.mkdir(parents=True, exist_ok=True)
    values.astype("<i2").tofile(folder / f"{name}.bin")
    n = values.shape[1]
    meta = {
        "acqMnMaXaDw": f"0,0,{n},0", "fileName": f"D:/data/{name}.bin",
        "fileSizeBytes": values.size * 2,
        "fileTimeSecs": len(values) / 25000, "firstSample": first, "nSavedChans": n,
        "niAiRangeMax": 5, "niAiRangeMin": -5, "niMAGain": 1, "niMNGain": 200, "niSampRate": 25000,
        "snsMnMaXaDw": f"0,0,{n},0", "snsSaveChanSubset": "all", "typeThis": "nidq",
        "~snsChanMap": "(0,0,1,0)" + "".join(f"(XA{k};{k}:{k})" for k in range(n)),
    }  # fmt: skip
    (folder / f"{name}.meta").write_text("".join(f"{k}={v}\n" for k, v in meta.items()))
    return folder / f"{name}.bin"


def test_a_spikeglx_file_has_its_own_rate_and_unit(tmp_path, rng):
    values = rng.integers(-3000, 3000, (1000, 2))
    path = spikeglx(tmp_path / "run_g0", values, first=50000)
    for what in (path, path.with_suffix(".meta"), path.parent):
        recording = nr.open(what)
        np.testing.assert_allclose(recording["signal"], values * 5 / 32768)
        assert recording["signal"].attrs["units"] == "V"
        assert recording["signal"].attrs["sampling_rate"] == 25000
        assert recording["channel"].values.tolist() == ["XA0", "XA1"]
        np.testing.assert_allclose(recording["sample_time"], 2 + np.arange(1000) / 25000)
        assert "a sorter counts from the first sample" in recording.attrs["clock"]
        assert "first sample is at 2 s" in recording.attrs["clock"]


def test_one_file_of_several_opens_alone_and_triggers_are_stretches(tmp_path, rng):
    one, two = rng.integers(-3000, 3000, (2, 500, 2))
    spikeglx(tmp_path, one, "run_g0_t0.nidq", first=0)
    path = spikeglx(tmp_path, two, "run_g0_t1.nidq", first=25000)
    np.testing.assert_allclose(nr.open(path)["signal"], two * 5 / 32768)
    both = nr.open(tmp_path)
    np.testing.assert_allclose(both["signal"], np.concatenate([one, two]) * 5 / 32768)
    assert both["start"].values == pytest.approx([0, 1])
    assert nr.open(tmp_path, segment=1).sizes["sample"] == 500
    spikeglx(tmp_path / "other", one, "second_g0_t0.nidq")
    with pytest.raises(NameUnknownError, match="2 recordings"):
        nr.open(tmp_path)


def test_half_a_spikeglx_recording_is_told(tmp_path, rng):
    path = spikeglx(tmp_path, rng.integers(-3, 3, (10, 2)))
    path.with_suffix(".meta").unlink()
    with pytest.raises(FileFormatError, match=r"run_g0_t0.nidq.meta is not beside it"):
        nr.open(path)


@pytest.mark.parametrize("name", ["raw.dat", "raw.bin", "temp_wh.dat"])
def test_samples_without_a_header_are_refused(tmp_path, rng, name):
    (tmp_path / name).write_bytes(rng.integers(-3000, 3000, 4000).astype("<i2").tobytes())
    with pytest.raises(FileFormatError, match=r"numpy\.memmap.*nr\.data\.from_traces"):
        nr.open(tmp_path / name)


def test_what_is_too_large_names_the_streams(tmp_path, rng):
    path = spikeglx(tmp_path, rng.integers(-3, 3, (1000, 2)))
    with pytest.raises(FileFormatError, match=r"The signals \(nidq\) of .* would take"):
        nr.open(path, max_size=1000)


# ------------------------------------------------------------------ TDT

TSQ = np.dtype(
    [("size", "<i4"), ("evtype", "<i4"), ("evname", "S4"), ("channel", "<u2"), ("sort", "<u2"),
     ("timestamp", "<f8"), ("offset", "<i8"), ("format", "<i4"), ("frequency", "<f4")]
)  # fmt: skip
STREAM, SNIP, STROBE = 0x8101, 0x8201, 0x101
RATE, CHUNK, T0 = 1017.25, 64, 1.7e9


def store(name, kind, channels, points, rate):
    rows = [
        ("StoreName", "s", name), ("HeadName", "s", name), ("Enabled", "L", 1),
        ("CircType", "L", 0), ("NumChan", "L", channels), ("StrobeMode", "L", 0),
        ("TankEvType", "L", kind), ("NumPoints", "L", points), ("DataFormat", "L", 0),
        ("SampleFreq", "L", rate),
    ]  # fmt: skip
    return "".join(f"NAME={a};TYPE={b};VALUE={c};\n" for a, b, c in rows)


def tdt(folder, values, *, endings=(".Tbk", ".Tdx", ".tev", ".tsq"), name="tank_block"):
    """Write a block: a stream of two channels, snippets of two stores, an event."""
    folder.mkdir(parents=True)
    sections = [
        store("LFP1", STREAM, 2, CHUNK, RATE), store("eNe1", SNIP, 1, 30, 24414.0),
        store("eNe2", SNIP, 1, 30, 24414.0), store("Tick", STROBE, 1, 1, 0.0),
    ]  # fmt: skip
    # The reader takes what stands before the first store for a store of its own.
    head = "[STOREHDRITEM]\n".join(sections) + "[USERNOTEDELIMITER]\n"
    rows = [(0, 0, b"", 0, 0, T0, 0, 0, 0), (0, 0x8801, b"\x01", 0, 0, T0, 0, 0, 0)]
    data = b""
    for k in range(len(values) // CHUNK):
        for c in range(2):
            block = values[k * CHUNK : (k + 1) * CHUNK, c].astype("<f4").tobytes()
            at = T0 + 0.25 + k * CHUNK / RATE
            rows.append((26, STREAM, b"LFP1", c + 1, 0, at, len(data), 0, RATE))
            data += block
    for probe, sort, at in ((1, 0, 0.3), (1, 1, 0.4), (1, 31, 0.45), (2, 1, 0.5), (1, 1, 0.6)):
        rows.append((40, SNIP, b"eNe%d" % probe, 1, sort, T0 + at, 0, 0, 24414.0))
    rows.append((10, STROBE, b"Tick", 0, 0, T0 + 0.35, 0, 0, 0))
    rows.append((0, 0x8801, b"\x02", 0, 0, T0 + 1.5, 0, 0, 0))
    contents = (head.encode(), b"", data, np.array(rows, TSQ).tobytes())
    for ending, content in zip(endings, contents, strict=True):
        if ending:
            (folder / f"{name}{ending}").write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "endings", [(".Tbk", ".Tdx", ".tev", ".tsq"), (".tbk", "", ".tev", ".TSQ")]
)
def test_a_tdt_block(tmp_path, rng, endings):
    values = rng.normal(size=(4 * CHUNK, 2)).astype(np.float32)
    folder = tdt(tmp_path / "tank" / "block", values, endings=endings)
    for path in (folder, folder / f"tank_block{endings[3]}", folder / "tank_block.tev"):
        recording = nr.open(path)
        np.testing.assert_allclose(recording["signal"], values)
        assert recording["signal"].attrs["sampling_rate"] == pytest.approx(RATE)
        # Stamps are doubles that count from 1970: they resolve 0.25 us.
        np.testing.assert_allclose(
            recording["sample_time"], 0.25 + np.arange(4 * CHUNK) / RATE, atol=1e-6
        )
        labels = recording["unit"].values.tolist()
        assert labels == ["eNe1 ch1#0", "eNe1 ch1#1", "eNe2 ch1#1"]
        assert recording["unit_kind"].values.tolist() == ["unsorted", "sorted", "sorted"]
        trains = spike_trains(recording)
        np.testing.assert_allclose(trains[1], [0.4, 0.6], atol=1e-6)
        np.testing.assert_allclose(trains[2], [0.5], atol=1e-6)
        assert "eNe1 ch1#31 (1 spikes)" in recording.attrs["not_read"]
        np.testing.assert_allclose(recording["event_time"], [0.35], atol=1e-6)
    with_noise = nr.open(folder, noise=True)
    assert with_noise["unit_kind"].values.tolist().count("noise") == 1
