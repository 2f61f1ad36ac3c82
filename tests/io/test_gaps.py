"""Parts of a file that were never written, or were lost, do not read as zeros."""

import shutil

import h5py
import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import FileFormatError, ShapeError

F = np.random.default_rng(0).normal(size=(60, 3))
TIME = (np.arange(60) + 1) / 30


def half(file, name, values=F, stop=30, **options):
    chunks = (10, *values.shape[1:])
    made = file.create_dataset(name, values.shape, "f8", chunks=chunks, **options)
    made[:stop] = values[:stop]
    return made


def test_chunks_that_hdf5_lacks(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["fs"] = 30.0
        half(file, "dff")
    with pytest.raises(FileFormatError, match=r"dff \(60, 3\) of a.h5 has 3 of 6 chunks.*zeros"):
        nr.open(path)
    with h5py.File(path, "w") as file:
        file["fs"] = 30.0
        file.create_dataset("dff", shape=F.shape, dtype="f4")
    with pytest.raises(FileFormatError, match=r"dff .* was never written"):
        nr.open(path)


def test_chunks_that_hdf5_may_lack(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["fs"], file["dff"] = 30.0, F
        half(file, "other", np.zeros((60, 9)))
    np.testing.assert_array_equal(nr.open(path)["dff"], F)
    with h5py.File(path, "w") as file:
        file["fs"] = 30.0
        half(file, "dff", fillvalue=np.nan)
    assert np.isnan(nr.open(path)["dff"].values[30:]).all()
    with h5py.File(path, "w") as file:
        file["fs"] = 30.0
        half(file, "spks")
    assert np.all(nr.open(path)["spks"].values[30:] == 0)


@pytest.mark.parametrize("lost", ["spike_times", "spike_unit"])
def test_lists_of_spikes_that_lack_chunks(tmp_path, lost):
    spikes = {"spike_times": np.sort(F[:, 0]) + 9, "spike_unit": np.arange(60) % 3}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in spikes.items():
            half(file, name, values.astype(float), stop=30 if name == lost else 60)
    with pytest.raises(FileFormatError, match=f"{lost} .*3 of 6 chunks"):
        nr.open(tmp_path / "a.h5")


def test_chunks_that_matlab_files_and_netcdf_lack(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w") as file:
        half(file, "dff").attrs["MATLAB_class"] = np.bytes_("double")
    with pytest.raises(FileFormatError, match=r"dff .* 3 of 6 chunks"):
        nr.open(tmp_path / "a.mat", sampling_rate=30)
    whole = xr.Dataset({"dff": (("time", "unit"), F)})
    whole.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    # Axes without coordinates are data sets that nobody writes.
    np.testing.assert_array_equal(nr.open(tmp_path / "a.nc", sampling_rate=30)["dff"], F)
    with h5py.File(tmp_path / "a.nc", "a") as file:
        del file["dff"]
        half(file, "dff")
    with pytest.raises(FileFormatError, match=r"dff .* 3 of 6 chunks"):
        nr.open(tmp_path / "a.nc", sampling_rate=30)


def store(path, version):
    shutil.rmtree(path, ignore_errors=True)
    counts = np.zeros((60, 3), int)
    dataset = xr.Dataset(
        {
            "dff": (("time", "unit"), (1000 * F).astype("i2")),
            "counts": (("time", "unit"), counts),
            "events": (("time", "unit"), counts.astype(float)),
        },
        {"time": TIME, "unit": [4, 5, 6]},
    )
    chunks = {name: {"chunks": (20, 3)} for name in dataset.data_vars}
    dataset.to_zarr(path, zarr_format=version, encoding=chunks, consolidated=False)
    return path


@pytest.mark.parametrize(("version", "inner"), [(2, ("1.0", "0")), (3, ("c/1/0", "c/0"))])
def test_chunks_that_zarr_lacks(tmp_path, version, inner):
    path = store(tmp_path / "a.zarr", version)
    # Chunks of zeros are not written, and that is no loss.
    assert not any(p.is_file() and p.name == inner[0] for p in (path / "counts").iterdir())
    assert np.all(nr.open(path)["counts"] == 0)
    (path / "dff" / inner[0]).unlink()
    with pytest.raises(FileFormatError, match=r"dff \(60, 3\) of a.zarr has 2 of 3 chunks"):
        nr.open(path)
    with pytest.raises(FileFormatError, match="2 of 3 chunks"):
        nr.open(path, chunks={})
    path = store(path, version)
    (path / "unit" / inner[1]).unlink()
    with pytest.raises(ShapeError, match=r"a.zarr has 3 units and 1 different labels"):
        nr.open(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_single_unit_that_is_called_0(tmp_path, version):
    dataset = xr.Dataset({"dff": (("time", "unit"), F[:, :1])}, {"time": TIME, "unit": [0]})
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=False)
    assert nr.open(tmp_path / "a.zarr")["unit"].values.tolist() == [0]


def minian(folder, lost=()):
    for name in ("YrA", "C", "S"):
        made = xr.Dataset(
            {name: (("frame", "unit_id"), np.abs(F).round(2))},
            {"frame": np.arange(60), "unit_id": [1, 2, 3]},
        )
        own = {name: {"chunks": (20, 3), "_FillValue": None}}
        path = folder / f"{name}.zarr"
        made.to_zarr(path, zarr_format=2, encoding=own, consolidated=False)
        about = path / name / ".zarray"
        about.write_text(about.read_text().replace('"NaN"', "0.0").replace("null", "0.0", 0))
        if name in lost:
            (path / name / "1.0").unlink()
    return folder


def test_minian_with_silent_stretches(tmp_path):
    recording = nr.open(minian(tmp_path / "a", lost=("S", "C")), sampling_rate=30)
    assert np.all(recording["events"].values[20:40] == 0)
    with pytest.raises(FileFormatError, match=r"YrA \(60, 3\) of b has 2 of 3 chunks"):
        nr.open(minian(tmp_path / "b", lost=("YrA",)), sampling_rate=30)
