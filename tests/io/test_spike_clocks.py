"""Spikes of every format on a clock that had run for an hour: all as it was written."""

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
import scipy.io

import neurornn as nr
from neurornn.data import spike_trains
from tests.io import test_blackrock, test_neuralynx, test_open_ephys, test_plexon

# neo and quantities warn about their own use of NumPy; none of it is ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

#: s; the first spike comes long after 0, and the clock is that of the rig.
START = 3600.0
#: Ticks of 30 and 40 kHz and of 1 MHz meet these times.
TIMES = START + np.array([0.1, 0.25, 0.3, 0.9, 1.2, 2.0])
UNITS = np.array([1, 2, 1, 1, 2, 1])


def ticks(rate):
    return np.round(TIMES * rate).astype(np.int64)


def plexon(folder):
    blocks = [
        test_plexon.block(1, int(t), 1, int(u), range(32))
        for t, u in zip(ticks(test_plexon.CLOCK), UNITS, strict=True)
    ]
    return test_plexon.plx(folder / "a.plx", blocks)


def blackrock(folder):
    rows = [(int(t), 1, int(u)) for t, u in zip(ticks(30000), UNITS, strict=True)]
    return test_blackrock.nev(folder / "a.nev", rows)


def single_electrode(folder):
    spikes = np.zeros(len(TIMES), test_neuralynx.NSE)
    spikes["timestamp"], spikes["unit"] = ticks(1e6), UNITS
    head = test_neuralynx.header("Spike", "SE1", number=7, size=112)
    (folder / "SE1.nse").write_bytes(head + spikes.tobytes())
    return folder / "SE1.nse"


def tetrode(folder):
    return test_neuralynx.ntt(folder / "TT1.ntt", ticks(1e6), UNITS)


def open_ephys(folder):
    samples = 30000 * int(START) + 1024 * np.arange(60)
    test_open_ephys.continuous(
        folder / "100_CH1.continuous", np.zeros(60 * 1024, np.int16), samples
    )
    test_open_ephys.legacy_spikes(folder / "SE1.spikes", ticks(30000), UNITS)
    return folder


def nix(folder):
    import neo
    import quantities as pq

    segment = neo.Segment()
    for unit in (1, 2):
        segment.spiketrains.append(
            neo.SpikeTrain(
                1e3 * TIMES[unit == UNITS] * pq.ms,
                t_start=1e3 * START * pq.ms,
                t_stop=1e3 * (START + 3) * pq.ms,
                name=f"unit {unit}",
            )
        )
    block = neo.Block()
    block.segments.append(segment)
    writer = neo.io.NixIO(str(folder / "a.nix"), mode="ow")
    writer.write_block(block)
    writer.close()
    return folder / "a.nix"


def nwb(folder):
    import pynwb

    file = pynwb.NWBFile("a", "b", datetime(2024, 1, 31, tzinfo=UTC))
    for unit in (1, 2):
        file.add_unit(spike_times=TIMES[unit == UNITS], id=unit)
    with pynwb.NWBHDF5IO(str(folder / "a.nwb"), "w") as out:
        out.write(file)
    return folder / "a.nwb"


def matlab(folder):
    scipy.io.savemat(folder / "a.mat", {"spike_times": TIMES, "unit": UNITS})
    return folder / "a.mat"


def npz(folder):
    np.savez(folder / "a.npz", spike_times=TIMES, unit=UNITS)
    return folder / "a.npz"


def pynapple(folder):
    kinds = {"start": [START], "end": [START + 3], "type": np.array(["TsGroup"])}
    np.savez(folder / "a.npz", t=TIMES, index=UNITS, keys=np.array([1, 2]), **kinds)
    return folder / "a.npz"


def hdf5(folder):
    with h5py.File(folder / "a.h5", "w") as file:
        file["spike_times"], file["unit"] = TIMES, UNITS
    return folder / "a.h5"


def in_milliseconds(folder):
    np.savez(folder / "a.npz", spike_times_ms=1e3 * TIMES, unit=UNITS)
    return folder / "a.npz"


def text(ending, mark):
    def write(folder):
        rows = [f"{t!r}{mark}{u}" for t, u in zip(TIMES.tolist(), UNITS.tolist(), strict=True)]
        path = folder / f"a{ending}"
        path.write_text("\n".join([f"spike_time{mark}unit", *rows]) + "\n")
        return path

    return write


def phy(folder):
    np.save(folder / "spike_times.npy", ticks(30000))
    np.save(folder / "spike_clusters.npy", UNITS)
    (folder / "params.py").write_text("sample_rate = 30000.0\n")
    return folder


WRITERS = [
    *(plexon, blackrock, single_electrode, tetrode, open_ephys, nix, nwb, matlab, npz, hdf5),
    pynapple,
    *(in_milliseconds, text(".csv", ","), text(".tsv", "\t"), text(".txt", ","), phy),
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__qualname__.split(".")[0])
def test_times_units_and_rates_are_those_that_were_written(tmp_path, write):
    if write is nix:
        pytest.importorskip("nixio")
    recording = nr.open(write(tmp_path))
    assert [str(u)[-1] for u in recording["unit"].values] == ["1", "2"]
    trains = spike_trains(recording)
    for unit, train in zip((1, 2), trains, strict=True):
        # All of these files resolve 1 us or less, and s as a double 5e-13 here.
        np.testing.assert_allclose(train, TIMES[unit == UNITS], rtol=0, atol=1e-9)
    # The clock is kept: the stretch holds all spikes, and from spike to spike the rate is that.
    assert float(recording["start"][0]) < TIMES[0]
    assert float(recording["stop"][-1]) >= TIMES[-1]
    rates = [(len(t) - 1) / (t[-1] - t[0]) for t in trains]
    assert rates == pytest.approx([3 / 1.9, 1 / 0.95], rel=1e-9)


def test_counts_of_a_late_clock_begin_where_it_does(tmp_path):
    recording = nr.open(npz(tmp_path))
    counts = nr.data.bin_spikes(recording, 0.1)
    # One bin for each 0.1 s up to the last spike, not one for each since 0 s.
    assert counts.sizes["time"] == 19
