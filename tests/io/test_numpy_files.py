import numpy as np
import pytest

from neurornn._core.errors import FileFormatError, UnitError
from neurornn.data import spike_trains
from neurornn.io import read_npy, read_npz


def ground_truth(path, rng, **changes):
    content = {
        "n_trials": 2,
        "fs_hz": np.array([10.0, 10.0]),
        "dff_0": rng.random(101).astype(np.float32),
        "t0_s_0": 0.1,
        "t_end_s_0": 10.2,
        "spikes_s_0": np.array([1.0, 2.0, 14.0]),
        "dff_1": rng.random(51).astype(np.float32),
        "t0_s_1": 0.1,
        "t_end_s_1": 5.15,
        "t_s_1": np.linspace(0.1, 5.15, 51),
        "spikes_s_1": np.array([]),
    } | changes
    np.savez(path, **content)
    return content


def test_npy_needs_a_rate(tmp_path, rng):
    np.save(tmp_path / "F.npy", rng.random((3, 100)))
    with pytest.raises(UnitError, match="100 frames of 3 units"):
        read_npy(tmp_path / "F.npy")
    recording = read_npy(tmp_path / "F.npy", sampling_rate=20)
    assert recording["fluorescence"].sizes == {"time": 100, "unit": 3}
    assert recording.attrs == {"source": "F.npy", "format": "npy"}


def test_npy_of_objects_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="stored as pickle"):
        read_npy(tmp_path / "a.npy", sampling_rate=20)


def test_npz_of_objects_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", dff=np.array([None, [1]], dtype=object))
    with pytest.raises(FileFormatError, match="stored as pickle"):
        read_npz(tmp_path / "a.npz", sampling_rate=20)


def test_trials_are_joined_on_one_clock(tmp_path, rng):
    content = ground_truth(tmp_path / "GCaMP6f_cell.npz", rng)
    recording = read_npz(tmp_path / "GCaMP6f_cell.npz")
    assert recording["dff"].sizes == {"time": 152, "unit": 1}
    assert recording.sizes["interval"] == 2
    assert recording["dff"].attrs["indicator"] == "GCaMP6f"
    np.testing.assert_array_equal(recording["dff"].values[:101, 0], content["dff_0"])
    # First and last stamp are exact; the nominal 10 Hz would end at 10.1 s.
    np.testing.assert_allclose(recording["time"].values[[0, 100]], [0.1, 10.2])
    assert recording["dff"].attrs["sampling_rate"] == pytest.approx(100 / 10.1)
    assert spike_trains(recording)[0].tolist() == [1.0, 2.0, 14.0]
    # The spike 3.8 s after the last frame lies between the trials, not in the second.
    assert float(recording["start"][1]) > 14.0


def test_a_variable_of_an_archive_is_chosen(tmp_path, rng):
    np.savez(tmp_path / "a.npz", one=rng.random((50, 2)), two=rng.random((50, 3)))
    recording = read_npz(tmp_path / "a.npz", variable="two", name="dff", sampling_rate=30)
    assert recording["dff"].sizes["unit"] == 3


@pytest.mark.parametrize("keep", [10, 100, 400, -30, -1])
def test_a_truncated_archive_is_explained(tmp_path, rng, keep):
    ground_truth(tmp_path / "a.npz", rng)
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[:keep])
    with pytest.raises(FileFormatError, match=r"a\.npz"):
        read_npz(tmp_path / "a.npz")


def test_a_flipped_bit_is_found(tmp_path, rng):
    content = ground_truth(tmp_path / "a.npz", rng)
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    place = whole.find(content["dff_0"].tobytes()) + 50
    whole[place] ^= 1
    (tmp_path / "a.npz").write_bytes(whole)
    with pytest.raises(FileFormatError, match="npz"):
        read_npz(tmp_path / "a.npz")


def test_a_trial_that_is_missing_is_explained(tmp_path, rng):
    ground_truth(tmp_path / "a.npz", rng, n_trials=3)
    with pytest.raises(FileFormatError, match="dff_2"):
        read_npz(tmp_path / "a.npz")


def test_a_number_of_trials_that_is_none_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", n_trials=np.array([], int), dff_0=np.zeros((40, 2)))
    with pytest.raises(FileFormatError, match=r"n_trials of a\.npz holds 0 values"):
        read_npz(tmp_path / "a.npz", sampling_rate=30.0)
