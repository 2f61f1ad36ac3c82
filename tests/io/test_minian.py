import contextlib

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import FileFormatError, ShapeError, ThreePartError, UnitError
from neurornn.io import detect_format, read_minian


def make(rng, *, n=3, frames=None, leave=()):
    frames = np.arange(40) if frames is None else frames
    coords = {"unit_id": [2, 5, 9][:n], "frame": frames, "animal": "m1"}
    shape = (n, len(frames))
    made = {
        "C": rng.random(shape),
        "S": rng.random(shape),
        "b0": rng.random(shape),
        "YrA": rng.random(shape),
    }
    table = xr.Dataset({k: (("unit_id", "frame"), v) for k, v in made.items()}, coords=coords)
    table["A"] = (("unit_id", "height", "width"), np.zeros((n, 4, 5)))
    return table.drop_vars(leave)


def save(table, path, form):
    if form == "folder":
        for name in table.data_vars:
            table[[name]].to_zarr(path / f"{name}.zarr", zarr_format=2, consolidated=True)
    elif form == "store":
        table.to_zarr(path, zarr_format=2, consolidated=False)
    elif form == "classic":
        table.to_netcdf(path, engine="scipy")
    else:
        table.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("form", ["folder", "store", "netcdf"])
def test_the_trace_as_recorded(tmp_path, rng, form):
    table = make(rng)
    path = save(table, tmp_path / "minian", form)
    assert detect_format(path) == "minian"
    recording = nr.open(path, sampling_rate=20)
    # YrA of Minian holds C already.
    np.testing.assert_array_equal(recording["fluorescence"], table["YrA"].T)
    np.testing.assert_array_equal(recording["calcium"], table["C"].T)
    np.testing.assert_array_equal(recording["events"], table["S"].T)
    np.testing.assert_array_equal(recording["baseline"], table["b0"].T)
    assert recording["fluorescence"].dims == ("time", "unit")
    assert recording["fluorescence"].attrs["sampling_rate"] == 20
    assert recording["fluorescence"].attrs["is_denoised"] == 0
    assert recording["unit"].values.tolist() == [2, 5, 9]
    assert recording.attrs["animal"] == "m1"
    assert recording.attrs["format"] == "Minian"


def test_a_classic_file(tmp_path, rng):
    path = save(make(rng), tmp_path / "minian.nc", "classic")
    assert read_minian(path, sampling_rate=20).sizes["time"] == 40


def test_without_the_residual_it_is_denoised(tmp_path, rng):
    table = make(rng, leave=["YrA"])
    recording = nr.open(save(table, tmp_path / "a", "folder"), sampling_rate=20)
    np.testing.assert_allclose(recording["fluorescence"], (table["C"] + table["b0"]).T)
    assert recording["fluorescence"].attrs["is_denoised"] == 1


def test_missing_and_skipped_frames(tmp_path, rng):
    frames = np.concatenate([np.arange(0, 40, 2), np.arange(100, 140, 2)])
    recording = nr.open(save(make(rng, frames=frames), tmp_path / "a", "folder"), sampling_rate=10)
    np.testing.assert_allclose(recording["time"], (frames / 2 + 1) / 10)
    assert recording["frame"].values.tolist() == frames.tolist()


def test_the_rate_is_asked_for(tmp_path, rng):
    path = save(make(rng), tmp_path / "a", "folder")
    with pytest.raises(UnitError, match=r"traces .40 frames of 3 units"):
        nr.open(path)


def test_arrays_that_do_not_fit(tmp_path, rng):
    path = save(make(rng), tmp_path / "a", "folder")
    other = make(rng, n=2)
    other[["S"]].to_zarr(path / "S.zarr", mode="w", zarr_format=2, consolidated=True)
    with pytest.raises(ShapeError, match="different units or frames"):
        nr.open(path, sampling_rate=20)
    back = make(rng, frames=np.arange(40)[::-1])
    with pytest.raises(ShapeError, match="not counted upward"):
        nr.open(save(back, tmp_path / "b", "folder"), sampling_rate=20)
    with pytest.raises(FileFormatError, match="no C and no YrA"):
        read_minian(save(make(rng, leave=["C", "YrA"]), tmp_path / "c.nc", "netcdf"))


def test_damage_is_always_explained(tmp_path, rng):
    path = save(make(rng), tmp_path / "a.nc", "netcdf")
    whole = path.read_bytes()
    for share in np.linspace(0.0, 0.95, 10):
        path.write_bytes(whole[: 8 + int(share * len(whole))])
        with pytest.raises(FileFormatError, match=r"a\.nc"):
            nr.open(path, sampling_rate=20)
    folder = save(make(rng), tmp_path / "b", "folder")
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "A.zarr" not in file.parts:
            kept = file.read_bytes()
            file.write_bytes(kept[: len(kept) // 2])
            with contextlib.suppress(ThreePartError):
                nr.open(folder, sampling_rate=20)
            file.write_bytes(kept)


@pytest.mark.parametrize("bad", [0, -20, np.nan, np.inf, "20", 5e6])
def test_a_rate_that_is_none(tmp_path, rng, bad):
    path = save(make(rng), tmp_path / "minian.nc", "netcdf")
    with pytest.raises(ThreePartError, match="sampling_rate"):
        read_minian(path, sampling_rate=bad)


@pytest.mark.slow
def test_a_rate_in_the_file_has_to_agree(tmp_path, rng):
    table = make(rng).assign_coords(fps=15.0)
    path = save(table, tmp_path / "minian.nc", "netcdf")
    assert read_minian(path)["fluorescence"].attrs["sampling_rate"] == 15
    with pytest.raises(UnitError, match=r"20 Hz \(sampling_rate=\) and 15 Hz \(fps\)"):
        read_minian(path, sampling_rate=20)


def test_units_of_one_label(tmp_path, rng):
    table = make(rng).assign_coords(unit_id=[2, 5, 5])
    path = save(table, tmp_path / "minian.nc", "netcdf")
    with pytest.raises(ShapeError, match="3 units and 2 different labels"):
        read_minian(path, sampling_rate=20)
