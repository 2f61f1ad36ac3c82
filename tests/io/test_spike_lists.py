import h5py
import numpy as np
import pytest
import scipy.io

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    NameUnknownError,
    ShapeError,
    UnitError,
    UnitWarning,
)
from neurornn.data import spike_trains
from neurornn.io.arrays import recording_from_arrays
from neurornn.io.spike_lists import is_owner, is_spike_times, spike_time_unit, spikes_by_unit

TIMES = np.array([0.3, 0.1, 0.2, 0.5])
UNITS = np.array([7, 7, 9, 9])


def write_npz(path, arrays):
    np.savez(path, **arrays)


def write_mat(path, arrays):
    scipy.io.savemat(path, arrays)


def write_h5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[f"spikes/{name}"] = value


WRITERS = {"npz": write_npz, "mat": write_mat, "h5": write_h5}


@pytest.fixture(params=sorted(WRITERS))
def make(request, tmp_path):
    def write(**arrays):
        path = tmp_path / f"a.{request.param}"
        WRITERS[request.param](path, arrays)
        return path

    return write


NAMES = ["spike_unit", "unit", "units", "neuron_id", "cell_ids", "spike_clusters", "cluster_id"]


@pytest.mark.parametrize("name", [*NAMES, "channel", "electrode", "id", "labels", "UnitID"])
def test_units_of_spikes_are_known_by_many_names(make, name):
    recording = nr.open(make(spike_times=TIMES, **{name: UNITS}))
    assert recording["unit"].values.tolist() == [7, 9]
    assert [t.tolist() for t in spike_trains(recording)] == [[0.1, 0.3], [0.2, 0.5]]


def test_spike_times_alone_are_of_one_unit(make):
    recording = nr.open(make(spike_times=TIMES))
    assert recording["spike_times"].values.tolist() == [0.1, 0.2, 0.3, 0.5]
    assert recording.sizes["unit"] == 1


def test_an_array_beside_them_that_may_be_the_unit(make):
    path = make(spike_times=TIMES, width=UNITS)
    with pytest.raises(NameUnknownError, match=r"width.*unit_variable='.*width'"):
        nr.open(path)
    key = "spikes/width" if path.suffix == ".h5" else "width"
    assert nr.open(path, unit_variable=key)["unit"].values.tolist() == [7, 9]
    with pytest.raises(NameUnknownError, match=r"unit_variable is 'widths'"):
        nr.open(path, unit_variable="widths")


def test_two_arrays_that_may_be_the_unit(make):
    assert nr.open(make(spike_times=TIMES, unit=UNITS, cell=UNITS * 2)).sizes["unit"] == 2
    path = make(spike_times=TIMES, unit=UNITS, channel=np.array([1, 2, 2, 2]))
    with pytest.raises(NameUnknownError, match="sort the spikes differently"):
        nr.open(path)
    key = "spikes/channel" if path.suffix == ".h5" else "channel"
    assert nr.open(path, unit_variable=key)["unit"].values.tolist() == [1, 2]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_units_of_another_length(make, n):
    with pytest.raises(ShapeError, match=rf"4 spikes and .*unit {n} entries"):
        nr.open(make(spike_times=TIMES, unit=np.arange(n)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_spikes_without_a_time_or_a_unit(make, bad):
    times, units = TIMES.copy(), UNITS.astype(float)
    times[2] = units[1] = bad
    with pytest.raises(DataError, match=f"Entry 2 of a.* has the spike time {bad}"):
        nr.open(make(spike_times=times, unit=UNITS))
    with pytest.raises(DataError, match=r"Entry 1 of a.* has no unit"):
        nr.open(make(spike_times=TIMES, unit=units))


def test_samples_are_no_seconds(make):
    with pytest.raises(UnitError, match=r"whole numbers, up to 900.*fs states a rate"):
        nr.open(make(spike_times=np.array([100, 300, 600, 900]), unit=UNITS, fs=30000.0))
    recording = nr.open(make(spike_times_ms=np.array([100, 300, 600, 900]), unit=UNITS, fs=3e4))
    assert recording["spike_times"].values.tolist() == [0.1, 0.3, 0.6, 0.9]


def test_spike_times_are_never_read_as_traces(make):
    recording = nr.open(make(spike_times=TIMES), sampling_rate=30)
    assert "spike_times" in recording
    with pytest.raises(ShapeError, match=r"shape \(4, 2\)|shape \(2, 4\)"):
        nr.open(make(spike_times=np.stack([TIMES, TIMES], axis=1)), sampling_rate=30)


def test_traces_with_spike_times_beside_them(rng):
    bag = {"dff": rng.random((40, 2)), "fs": np.array(20.0), "spike_times": TIMES}
    assert "dff" in recording_from_arrays(bag, source="a")
    spikes = recording_from_arrays({**bag, "spike_unit": UNITS}, source="a")
    assert spikes["unit"].values.tolist() == [7, 9]
    assert "dff" in recording_from_arrays({**bag, "spike_unit": UNITS}, source="a", variable="dff")


def test_text_labels(tmp_path):
    np.savez(tmp_path / "a.npz", spike_times=TIMES, unit=np.array(["b", "a", "b ", "a"]))
    recording = nr.open(tmp_path / "a.npz")
    assert recording["unit"].values.tolist() == ["a", "b"]
    scipy.io.savemat(
        tmp_path / "a.mat",
        {"spike_times": TIMES, "unit": np.array(["b", "a", "b", "a"], dtype=object)},
    )
    assert nr.open(tmp_path / "a.mat")["unit"].values.tolist() == ["a", "b"]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spike_times"], file["unit"] = TIMES, ["b", "a", "b", "a"]
    assert nr.open(tmp_path / "a.h5")["unit"].values.tolist() == ["a", "b"]


def test_two_lists_of_spike_times(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one/spike_times"], file["two/spike_times"] = TIMES, TIMES[:2]
    with pytest.raises(NameUnknownError, match="one/spike_times, two/spike_times"):
        nr.open(tmp_path / "a.h5")
    recording = nr.open(tmp_path / "a.h5", variable="two/spike_times")
    assert recording.sizes["spike"] == 2


def test_names():
    assert [spike_time_unit(n) for n in ("spike_times", "Spike Time (ms)", "spiketimes_s")] == [
        None,
        "ms",
        "s",
    ]
    assert not any(map(is_spike_times, ["times", "spike_unit", "spike_times_train_2"]))
    assert not any(map(is_owner, ["amplitude", "units_per_s", "identity", "depth", "celltype"]))


def test_many_units_at_once(rng):
    times, owner = rng.random(5000) * 100, rng.integers(0, 300, 5000)
    recording = spikes_by_unit(times, owner, source="a")
    trains = spike_trains(recording)
    for label in (0, 17, 299):
        k = recording["unit"].values.tolist().index(label)
        np.testing.assert_array_equal(trains[k], np.sort(times[owner == label]))


def test_a_single_spike(tmp_path):
    np.savez(tmp_path / "a.npz", spike_times=0.5, unit=3)
    assert nr.open(tmp_path / "a.npz")["unit"].values.tolist() == [3]


def test_units_as_a_table_and_times_as_text(make):
    with pytest.raises(ShapeError, match=r"4 spikes and .*unit is \(2, 2\)"):
        nr.open(make(spike_times=TIMES, unit=UNITS.reshape(2, 2)))
    with pytest.raises(UnitError, match=r"spike_times of a.* holds complex128"):
        nr.open(make(spike_times=TIMES * 1j, unit=UNITS, fs=20.0))


def cells(*trains):
    held = np.empty(len(trains), dtype=object)
    for k, train in enumerate(trains):
        held[k] = np.asarray(train)
    return held


def test_a_cell_with_the_spikes_of_each_unit(tmp_path):
    def put(**arrays):
        scipy.io.savemat(tmp_path / "a.mat", arrays)
        return tmp_path / "a.mat"

    held = cells([0.2, 0.1], [], [0.3])
    recording = nr.open(put(spike_times=held))
    assert [t.tolist() for t in spike_trains(recording)] == [[0.1, 0.2], [], [0.3]]
    assert nr.open(put(spike_times=held, unit=[4, 7, 9]))["unit"].values.tolist() == [4, 7, 9]
    with pytest.raises(ShapeError, match="3 cells and unit 2 entries"):
        nr.open(put(spike_times=held, unit=[4, 7]))
    with pytest.raises(DataError, match="not finite"):
        nr.open(put(spike_times=cells([0.2, np.nan], [0.3])))
    with pytest.raises(UnitError, match="Cell 2 of spike_times"):
        nr.open(put(spike_times=cells([0.2], ["x"])))


def test_whole_numbers_that_are_no_seconds(tmp_path, rng):
    samples = np.sort(rng.integers(0, 60 * 30_000, 300))
    unit = np.arange(300) % 3
    lines = "".join(f"{t},{u}\n" for t, u in zip(samples, unit, strict=True))
    (tmp_path / "a.csv").write_text("spike_time,cluster\n" + lines)
    np.savez(tmp_path / "a.npz", spike_times=samples.astype(float), spike_unit=unit)
    scipy.io.savemat(tmp_path / "a.mat", {"spike_times": samples, "unit": unit})
    for name in ("a.csv", "a.npz", "a.mat"):
        with pytest.raises(UnitError, match=rf"300 spike_times? of {name} are whole.*_ms, or"):
            nr.open(tmp_path / name)
    recording = nr.open(tmp_path / "a.csv", time_unit="ms")
    assert float(recording["spike_times"].max()) == pytest.approx(samples.max() / 1000)
    # Few and far between, but within a day: still mostly more than 100 apart.
    np.savez(tmp_path / "a.npz", spike_times=np.arange(1, 20) * 150, spike_unit=unit[:19])
    with pytest.raises(UnitError, match="a median of 150 between two"):
        nr.open(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", spike_times=np.arange(1, 20) * 2, spike_unit=unit[:19])
    assert nr.open(tmp_path / "a.npz").sizes["spike"] == 19
    np.savez(tmp_path / "a.npz", spike_times_s=samples, spike_unit=unit)
    with pytest.warns(UnitWarning, match="interspike interval"):
        nr.open(tmp_path / "a.npz")
