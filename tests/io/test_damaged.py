"""One test for each kind of damage that once gave another error than ours, or did not end."""

import json
import struct

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
import xarray as xr

import neurornn as nr
from neurornn._core.errors import FileFormatError, KindError
from neurornn.io.hdf5_heaps import check_heaps
from neurornn.io.matlab_v5 import check_v5
from neurornn.io.netcdf_classic import check_classic
from neurornn.io.sources import explained
from tests.io.test_caiman import make as make_caiman
from tests.io.test_limits import npy_header
from tests.io.test_matlab import cell
from tests.io.test_matlab_trees import structs

# ------------------------------------------------------------------ MATLAB, version 5

CONTENT = {
    "dff": np.arange(120.0).reshape(60, 2),
    "single": np.arange(5, dtype=np.float32),
    "whole": np.arange(-3, 9, dtype=np.int16),
    "flags": np.array([True, False]),
    "complex": np.arange(4) * (1 + 2j),
    "text": "mouse 1",
    "texts": np.array(["ab", "cde"]),
    "empty": np.zeros((0, 0)),
    "cells": cell(np.arange(3.0), "x", cell(np.zeros((0, 2)))),
    "structs": structs({"a": 1.0, "b": "x"}, {"a": np.arange(3.0), "b": ""}),
    "sparse": scipy.sparse.csc_array(np.eye(5)),
    "nothing": {},
}


@pytest.mark.parametrize("packed", [False, True])
def test_every_class_of_arrays_adds_up(tmp_path, packed):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, CONTENT, do_compression=packed)
    check_v5(path, 100)
    check_v5(path, 3)
    with pytest.raises(FileFormatError, match=r"cells of a\.mat lies in more than 2 structs"):
        check_v5(path, 2)


def patched(path, old, new):
    """Save a matrix, and put other bytes in the place of some."""
    scipy.io.savemat(path, {"dff": CONTENT["dff"], "fs": 20.0})
    content = path.read_bytes()
    at = content.index(old)
    path.write_bytes(content[:at] + new + content[at + len(new) :])
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ((9, 960), (9, 2**31), "an element declares 2147483648 bytes where 960 are left"),
        ((9, 960), (9, 800), r"\(60, 2\) holds 100 values \(in the variable dff\)"),
        ((60, 2), (60, 3), r"\(60, 3\) holds 120 values"),
        ((60, 2), (60, -2), r"has the shape \(60, -2\)"),
    ],
)
def test_sizes_that_do_not_add_up(tmp_path, old, new, says):
    path = patched(
        tmp_path / "a.mat", struct.pack("<2i", *old), struct.pack("<2I", *(n % 2**32 for n in new))
    )
    with pytest.raises(FileFormatError, match=says):
        nr.open(path)


def test_cells_that_are_not_there(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"c": cell(*[np.zeros(1)] * 7)})
    content = path.read_bytes()
    at = content.index(struct.pack("<2i", 1, 7))
    path.write_bytes(content[:at] + struct.pack("<2i", 9, 999) + content[at + 8 :])
    with pytest.raises(FileFormatError, match="8991 cells or fields lie in"):
        nr.open(path)


def test_a_packed_variable_that_ends_early(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"dff": CONTENT["dff"], "fs": 20.0}, do_compression=True)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match=r"a\.mat looks like MATLAB but"):
        nr.open(path)


# ------------------------------------------------------------------ HDF5


def heap(*objects, size=4096):
    """Write what looks like a heap; no library can open what it lies in."""
    out = b"GCOL\x01\0\0\0" + struct.pack("<Q", size)
    for index, taken in objects:
        out += struct.pack("<HHIQ", index, 1, 0, taken).ljust(16 + (taken if taken < 99 else 0))
    return out.ljust(size, b"\0")


@pytest.mark.parametrize("start", [0, 512])
def test_heaps_add_up_or_are_refused(tmp_path, start):
    path = tmp_path / "a.h5"
    head = b" " * start + b"\x89HDF\r\n\x1a\n".ljust(56, b"\0")
    address = struct.pack("<Q", 64)
    whole = heap((1, 8), (2, 16), (0, 4096 - 16 - 24 - 32))
    for body in (whole, heap((1, 4064)), b"\0" * 4096):
        path.write_bytes(head + address + body)
        check_heaps(path)
    broken = heap((1, 8), (2, 5000))
    path.write_bytes(head + address + broken)
    with pytest.raises(FileFormatError, match=rf"the heap of texts at byte {start + 64} does not"):
        check_heaps(path)
    with pytest.raises(FileFormatError, match="the heap of texts"):
        nr.open(path)
    # Nothing points to a heap that was given up.
    path.write_bytes(head + bytes(8) + broken)
    check_heaps(path)


def test_files_of_texts_open(tmp_path):
    """Heaps of many texts, of freed ones, and behind a block of the user's."""
    dff = np.random.default_rng(0).random((60, 2))
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["dff"] = dff
        file["fs"] = 20.0
        for k in range(300):
            file.attrs[f"note {k}"] = "x" * (7 * k)
        for k in range(0, 300, 3):
            del file.attrs[f"note {k}"]
        file["names"] = [f"cell {k}" for k in range(500)]
    assert nr.open(tmp_path / "a.h5").sizes["time"] == 60


def test_a_size_that_is_declared_and_was_never_written(tmp_path, rng):
    """Below the limit of 8 GiB, and far above what is in the file."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dff"] = CONTENT["dff"]
        file.create_dataset("time", (10**9,), "f8", chunks=(50,))
    with pytest.raises(FileFormatError, match=r"/time \(1000000000,\) of a\.h5 was never written"):
        nr.open(tmp_path / "a.h5")
    make_caiman(tmp_path / "b.hdf5", rng, leave=("idx_components",))
    with h5py.File(tmp_path / "b.hdf5", "r+") as file:
        file.create_dataset("estimates/idx_components", (10**9,), "i8", chunks=(50,))
    with pytest.raises(FileFormatError, match=r"idx_components .* was never written"):
        nr.open(tmp_path / "b.hdf5")


def test_texts_that_were_never_written_in_a_nix_file(tmp_path, rng):
    from tests.io.test_nix import nix

    path = nix(tmp_path / "a.nix", rng.normal(size=(50, 2)))
    with h5py.File(path, "r+") as file:
        file.create_dataset("notes", (10**8,), h5py.string_dtype(), chunks=(50,))
    with pytest.raises(FileFormatError, match=r"/notes .* of a\.nix was never written"):
        nr.open(path)
    with pytest.raises(FileFormatError, match=r"Everything of .*a\.nix would take"):
        nr.open(path, max_size=1000)


# ------------------------------------------------------------------ netCDF and Zarr


def table(n=64):
    values = np.random.default_rng(0).random((n, 2))
    return xr.Dataset({"dff": (("time", "unit"), values)}, {"time": np.arange(n) / 20})


@pytest.mark.parametrize("form", ["zarr", "nc"])
def test_damage_that_is_met_when_values_are_used(tmp_path, form):
    path = tmp_path / f"a.{form}"
    if form == "zarr":
        own = {"dff": {"chunks": (16, 2)}}
        table().to_zarr(path, zarr_format=2, consolidated=False, encoding=own)
        chunk = path / "dff" / "1.0"
        chunk.write_bytes(chunk.read_bytes()[:-40])
    else:
        own = {"dff": {"zlib": True, "chunksizes": (16, 2)}}
        table().to_netcdf(path, engine="h5netcdf", encoding=own)
        with h5py.File(path) as file:
            at, size = file["dff"].id.get_chunk_info(1)[2:]
        content = bytearray(path.read_bytes())
        content[at : at + size] = bytes(size)
        path.write_bytes(content)
    recording = nr.open(path, chunks={"time": 16})
    np.testing.assert_array_equal(recording["dff"][:16], table()["dff"][:16])
    np.testing.assert_array_equal(recording["dff"][32:, 1], table()["dff"][32:, 1])
    with pytest.raises(FileFormatError, match=rf"a\.{form} looks like .* but could not be read"):
        recording["dff"].load()
    recording.close()


def test_lazy_values_are_those_that_are_there(tmp_path):
    """Slices, single values and lists of them, in chunks of one's own and of the file."""
    nr.io.write_netcdf(table().assign_coords(name=("unit", ["a", "b"])), tmp_path / "a.nc")
    for chunks in ({}, {"time": 7}, "auto"):
        with nr.open(tmp_path / "a.nc", chunks=chunks) as recording:
            assert recording["dff"].chunks is not None
            assert recording["name"].values.tolist() == ["a", "b"]
            for key in (np.s_[3:40:5, 1], np.s_[::-1], np.s_[[5, 2, 9], [0]], np.s_[7, 1]):
                np.testing.assert_array_equal(recording["dff"][key], table()["dff"][key])


def test_a_time_axis_of_text(tmp_path):
    table(3).assign_coords(time=["a", "b", "c"]).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(KindError, match="time is a ndarray that is not an array of real numbers"):
        nr.open(tmp_path / "a.nc")


@pytest.mark.parametrize("reader", ["netcdf", "minian"])
def test_a_classic_header_adds_up(tmp_path, reader):
    made = table().rename(dff="C", time="frame", unit="unit_id") if reader == "minian" else table()
    made.assign(name=("label", ["a", "bcd"])).to_netcdf(tmp_path / "a.nc", engine="scipy")
    if reader == "netcdf":
        assert nr.open(tmp_path / "a.nc").sizes["time"] == 64
    whole = (tmp_path / "a.nc").read_bytes()
    for at, says in (
        (8, "a list begins with"),
        (12, "a list declares"),
        (16, "of its header are"),
    ):
        path = tmp_path / f"at {at}.nc"
        path.write_bytes(whole[:at] + struct.pack(">I", 2**30) + whole[at + 4 :])
        with pytest.raises(FileFormatError, match=says):
            check_classic(path)
        with pytest.raises(FileFormatError, match=says):
            (nr.io.read_minian if reader == "minian" else nr.open)(path)
    (tmp_path / "cut.nc").write_bytes(whole[:-200])
    with pytest.raises(FileFormatError, match=r"declares \d+ bytes from byte \d+ of"):
        check_classic(tmp_path / "cut.nc")


def test_units_labelled_by_records(tmp_path):
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["dff"] = np.zeros((5, 3))
        file["unit"] = np.zeros(3, [("t", "f8"), ("x", "i4")])
        for k, name in enumerate(("time", "unit")):
            if name == "time":
                file[name] = np.arange(5) / 20
            file[name].make_scale(name)
            file["dff"].dims[k].attach_scale(file[name])
    with pytest.raises(KindError, match="labelled by records"):
        nr.open(tmp_path / "a.nc")


@pytest.mark.parametrize("stated", [True, [], None, "group", 3])
def test_zarr_metadata_that_are_no_dict(tmp_path, stated):
    table().to_zarr(tmp_path / "a.zarr", zarr_format=3, consolidated=False)
    (tmp_path / "a.zarr" / "dff" / "zarr.json").write_text(json.dumps(stated))
    with pytest.raises(FileFormatError, match=r"a\.zarr looks like Zarr"):
        nr.open(tmp_path / "a.zarr")


def test_an_axis_without_a_name(tmp_path):
    table().to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=False)
    place = tmp_path / "a.zarr" / "dff" / ".zattrs"
    place.write_text(json.dumps({"_ARRAY_DIMENSIONS": ["time", 1.5]}))
    with pytest.raises(FileFormatError, match=r"an axis is called 1\.5, which is no text"):
        nr.open(tmp_path / "a.zarr")


# ------------------------------------------------------------------ npy, and all readers


@pytest.mark.parametrize("cut", [r"{'descr': '<f8', 'shape': (60", "(((", "'''", "\\"])
def test_an_npy_header_that_is_no_dict(tmp_path, cut):
    whole = npy_header((60, 2))
    path = tmp_path / "a.npy"
    path.write_bytes(whole[:10] + cut.encode().ljust(len(whole) - 10) + bytes(960))
    with pytest.raises(FileFormatError, match=r"a\.npy looks like npy but could not be read"):
        nr.open(path, sampling_rate=20)


def test_what_a_library_left_half_done_ends_with_it(tmp_path):
    """It may hold a lock, as an unfinished loop over a group of HDF5 does."""
    ended = []

    def rows():
        try:
            yield 1
        finally:
            ended.append(True)

    def library():
        for row in rows():
            raise ValueError(row)

    with pytest.raises(FileFormatError) as kept, explained(tmp_path / "a", "text"):
        library()
    assert ended
    assert isinstance(kept.value.__cause__, ValueError)


def test_a_saved_setting_that_comes_twice(tmp_path):
    nr.io.write_saved(tmp_path / "fit", kind="Kinetics", settings={"a": 1, "b": 2})
    place = tmp_path / "fit" / "settings.json"
    place.write_text(place.read_text().replace('"b": 2', '"b": 2, "a": 1'))
    with pytest.raises(FileFormatError, match="a key comes twice"):
        nr.io.read_saved(tmp_path / "fit")
