import h5py
import numpy as np
import pytest
import scipy.io

from neurornn._core.errors import FileFormatError, NameUnknownError, UnitError
from neurornn.data import spike_trains
from neurornn.io import read_matlab
from neurornn.io.matlab import load_matlab


def cell(*items):
    out = np.empty((1, len(items)), dtype=object)
    for k, item in enumerate(items):
        out[0, k] = item
    return out


def trial(rng, n=60, rate=20.0, spikes=(5000.0, 12345.0), **more):
    return {
        "fluo_time": np.arange(1, n + 1)[None] / rate,
        "fluo_mean": rng.random((1, n)),
        "events_AP": np.array(spikes)[:, None],
    } | more


def write_v73(path, content):
    """Write a file the way MATLAB 7.3 does: HDF5 behind a text header, axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        counter = iter(range(10_000))

        def put(parent, name, value):
            if isinstance(value, dict):
                group = parent.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("struct")
                for key, item in value.items():
                    put(group, key, item)
            elif isinstance(value, list):
                store = file.require_group("#refs#")
                references = []
                for item in value:
                    label = f"r{next(counter)}"
                    put(store, label, item)
                    references.append(store[label].ref)
                table = np.array(references, dtype=h5py.ref_dtype)[:, None]
                parent.create_dataset(name, data=table, dtype=h5py.ref_dtype)
                parent[name].attrs["MATLAB_class"] = np.bytes_("cell")
            elif isinstance(value, str):
                codes = np.array([[ord(c)] for c in value], dtype=np.uint16)
                parent.create_dataset(name, data=codes).attrs["MATLAB_class"] = np.bytes_("char")
            elif value.size == 0:
                parent.create_dataset(name, data=np.zeros(2, dtype=np.uint64))
                parent[name].attrs["MATLAB_class"] = np.bytes_("double")
                parent[name].attrs["MATLAB_empty"] = np.uint8(1)
            else:
                parent.create_dataset(name, data=value.T)
                parent[name].attrs["MATLAB_class"] = np.bytes_("double")

        for key, item in content.items():
            put(file, key, item)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


@pytest.fixture(params=["v5", "v7.3"])
def write(request):
    def write_v5(path, content):
        def plain(value):
            return cell(*map(plain, value)) if isinstance(value, list) else value

        scipy.io.savemat(path, {k: plain(v) for k, v in content.items()})

    return write_v5 if request.param == "v5" else write_v73


def test_cell_attached_trials(tmp_path, rng, write):
    first = trial(rng, cell_type="pyramidal cell")
    second = trial(rng, spikes=(), cell_type="pyramidal cell")
    write(tmp_path / "CAttached_GC6f.mat", {"CAttached": [first, second]})
    recording = read_matlab(tmp_path / "CAttached_GC6f.mat")
    assert recording["dff"].sizes == {"time": 120, "unit": 1}
    np.testing.assert_allclose(recording["dff"].values[:60, 0], first["fluo_mean"][0])
    np.testing.assert_allclose(spike_trains(recording)[0], [0.5, 1.2345])  # ticks of 1e-4 s
    assert recording["dff"].attrs["sampling_rate"] == pytest.approx(20.0)
    assert recording["dff"].attrs["indicator"] == "GCaMP6f"
    assert recording["cell_type"].values.tolist() == ["pyramidal cell"]


def test_raw_fluorescence_is_kept_where_every_trial_has_it(tmp_path, rng, write):
    raw = rng.random((1, 60)) + 100
    with_raw, without = trial(rng, fluo_raw=raw), trial(rng, fluo_raw=np.zeros((0, 0)))
    write(tmp_path / "a.mat", {"CAttached": [with_raw]})
    np.testing.assert_allclose(read_matlab(tmp_path / "a.mat")["fluorescence"][:, 0], raw[0])
    write(tmp_path / "b.mat", {"CAttached": [with_raw, without]})
    assert "fluorescence" not in read_matlab(tmp_path / "b.mat")


def test_a_trial_without_spikes_field_is_named(tmp_path, rng, write):
    broken = trial(rng)
    del broken["events_AP"]
    write(tmp_path / "a.mat", {"CAttached": [trial(rng), broken]})
    with pytest.raises(NameUnknownError, match=r"Trial 2 of a\.mat has no events_AP"):
        read_matlab(tmp_path / "a.mat")


def test_cells_by_frames_become_time_by_unit(tmp_path, rng, write):
    # More cells than frames: only the layout, not the length, tells the axes.
    traces = rng.random((30, 10))
    write(tmp_path / "a.mat", {"dF_traces": traces})
    with pytest.raises(UnitError, match="10 frames of 30 units"):
        read_matlab(tmp_path / "a.mat")
    recording = read_matlab(tmp_path / "a.mat", sampling_rate=30)
    assert recording["dff"].dims == ("time", "unit")
    np.testing.assert_array_equal(recording["dff"], traces.T)


def test_a_rate_in_the_file_is_used(tmp_path, rng, write):
    write(tmp_path / "a.mat", {"dF_traces": rng.random((3, 50)), "fs": np.array([[25.0]])})
    assert read_matlab(tmp_path / "a.mat")["dff"].attrs["sampling_rate"] == 25.0


def test_coordinates_travel_with_the_cells(tmp_path, rng, write):
    places = rng.random((4, 2))
    write(tmp_path / "a.mat", {"activity_matrix": rng.random((4, 50)), "cell_coordinates": places})
    recording = read_matlab(tmp_path / "a.mat", sampling_rate=2.0)
    np.testing.assert_array_equal(recording["fluorescence"]["x"], places[:, 0])


def test_unknown_matrices_are_named_and_chosen(tmp_path, rng, write):
    write(tmp_path / "a.mat", {"alpha": rng.random((50, 2)), "beta": rng.random((50, 3))})
    with pytest.raises(NameUnknownError, match=r'beta \(50, 3\).*variable="alpha"'):
        read_matlab(tmp_path / "a.mat", sampling_rate=10)
    recording = read_matlab(tmp_path / "a.mat", sampling_rate=10, variable="beta", name="dff")
    assert recording["dff"].sizes["unit"] == 3


def nested(times):
    return {
        "time": np.asarray(times, dtype=float)[:, None],
        "timerange": np.array([[100.0, 200.0]]),
    }


def test_nested_spike_cells(tmp_path, write):
    tetrodes = [[nested([150.0, 120.0]), nested([])], np.zeros((0, 0)), [nested([110.0, 111.0])]]
    write(tmp_path / "a.mat", {"spikes": [[tetrodes]]})
    recording = read_matlab(tmp_path / "a.mat")
    assert recording["unit"].values.tolist() == ["1.1", "3.1"]
    assert recording["tetrode"].values.tolist() == [1, 3]
    assert recording.attrs["clusters_without_spikes"] == "1.2"
    assert [t.tolist() for t in spike_trains(recording)] == [[120.0, 150.0], [110.0, 111.0]]
    assert (float(recording["start"][0]), float(recording["stop"][0])) == (100.0, 200.0)


def test_several_epochs_ask_which(tmp_path, write):
    epochs = [[[nested([110.0, 120.0])]], [[nested([130.0, 140.0])]]]
    write(tmp_path / "a.mat", {"spikes": [epochs]})
    with pytest.raises(NameUnknownError, match="Pass epoch=1"):
        read_matlab(tmp_path / "a.mat")
    assert spike_trains(read_matlab(tmp_path / "a.mat", epoch=2))[0].tolist() == [130.0, 140.0]


def test_counts_with_movement(tmp_path, rng, write):
    movement = rng.random((30, 4)) + 1
    movement[[0, 12, 20], 2:] = 0
    counts = rng.integers(0, 5, (30, 6)).astype(float)
    write(tmp_path / "a.mat", {"X": movement, "Y": counts})
    with pytest.raises(UnitError, match="30 bins of 6 units"):
        read_matlab(tmp_path / "a.mat")
    recording = read_matlab(tmp_path / "a.mat", sampling_rate=10)
    np.testing.assert_array_equal(recording["counts"], counts)
    np.testing.assert_array_equal(recording["velocity"], movement[:, 2:])
    assert recording["counts"].attrs["bin_size"] == pytest.approx(0.1)
    np.testing.assert_allclose(recording["start"], [0.0, 1.2, 2.0])
    np.testing.assert_allclose(recording["stop"], [1.2, 2.0, 3.0])


def test_text_and_struct_arrays_are_read(tmp_path):
    structs = np.array([(1.0,), (2.0,)], dtype=[("a", "f8")])
    scipy.io.savemat(tmp_path / "a.mat", {"note": "µm", "s": structs})
    content = load_matlab(tmp_path / "a.mat")
    assert content["note"] == "µm"
    assert [float(s["a"].squeeze()) for s in content["s"]] == [1.0, 2.0]


@pytest.mark.parametrize("keep", [100, 200, 0.3, 0.7])
def test_a_truncated_file_is_explained(tmp_path, rng, write, keep):
    write(tmp_path / "a.mat", {"dF_traces": rng.random((3, 500)), "other": rng.random((40, 40))})
    whole = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(whole[: keep if keep > 1 else int(keep * len(whole))])
    with pytest.raises(FileFormatError, match=r"a\.mat"):
        read_matlab(tmp_path / "a.mat", sampling_rate=30)
