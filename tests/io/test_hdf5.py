import h5py
import numpy as np
import pytest

from neurornn._core.errors import FileFormatError, NameUnknownError
from neurornn.io import read_hdf5


def test_nested_traces_with_times(tmp_path, rng):
    dff = rng.random((40, 2))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["results/dff"] = dff
        file["results/time"] = np.arange(1, 41) / 20
        file["movie"] = np.zeros((3, 4, 5))
    recording = read_hdf5(tmp_path / "a.h5", variable="results/dff")
    np.testing.assert_array_equal(recording["dff"], dff)
    assert recording["dff"].attrs["sampling_rate"] == pytest.approx(20.0)


def test_the_traces_are_found_by_their_name_alone(tmp_path, rng):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["results/dff"] = rng.random((40, 2))
        file["fs"] = 20.0
    assert read_hdf5(tmp_path / "a.h5")["dff"].sizes == {"time": 40, "unit": 2}


def test_several_datasets_ask_which(tmp_path, rng):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/x"], file["b/x"] = rng.random((40, 2)), rng.random((40, 3))
    with pytest.raises(NameUnknownError, match=r"a/x \(40, 2\) float64, b/x"):
        read_hdf5(tmp_path / "a.h5", sampling_rate=20)
    chosen = read_hdf5(tmp_path / "a.h5", sampling_rate=20, variable="b/x", name="dff")
    assert chosen["dff"].sizes["unit"] == 3


def test_caiman_estimates_are_recognised(tmp_path, rng):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["estimates/F_dff"] = rng.random((3, 40))
        file["estimates/C"] = rng.random((3, 40))
    with pytest.raises(FileFormatError, match=r"CaImAn estimates.*read_caiman"):
        read_hdf5(tmp_path / "a.hdf5")
    recording = read_hdf5(tmp_path / "a.hdf5", variable="estimates/F_dff", sampling_rate=30)
    assert recording["dff"].sizes == {"time": 40, "unit": 3}
