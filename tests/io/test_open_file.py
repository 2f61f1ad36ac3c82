import pickle

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    FileFormatError,
    FileMissingError,
    NameUnknownError,
    ThreePartError,
    UnitError,
)
from neurornn.data import from_traces
from neurornn.io import detect_format, write_csv, write_netcdf
from neurornn.io import open as open_file


def make_csv(path, rng):
    write_csv(from_traces(rng.random((60, 2)), sampling_rate=20)["dff"], path)


def make_npy(path, rng):
    with path.open("wb") as file:
        np.save(file, rng.random((60, 2)))


def make_npz(path, rng):
    with path.open("wb") as file:
        np.savez(file, dff=rng.random((60, 2)), fs=20.0)


def make_mat(path, rng):
    scipy.io.savemat(path, {"dF_traces": rng.random((2, 60)), "fs": 20.0}, appendmat=False)


def make_netcdf(path, rng):
    write_netcdf(from_traces(rng.random((60, 2)), sampling_rate=20), path)


def make_hdf5(path, rng):
    with h5py.File(path, "w") as file:
        file["dff"], file["fs"] = rng.random((60, 2)), 20.0


MAKERS = {
    "delimited": make_csv,
    "npy": make_npy,
    "npz": make_npz,
    "matlab": make_mat,
    "netcdf": make_netcdf,
    "hdf5": make_hdf5,
}


# Text has no mark of its own, so there the extension counts.
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        (k, s)
        for k in sorted(MAKERS)
        for s in ("", ".txt", ".nwb")
        if (k, s) != ("delimited", ".nwb")
    ],
)
def test_content_decides_and_not_the_extension(tmp_path, rng, kind, suffix):
    path = tmp_path / f"a{suffix}"
    MAKERS[kind](path, rng)
    assert detect_format(path) == kind
    recording = open_file(path, **({"sampling_rate": 20} if kind == "npy" else {}))
    name = next(n for n in ("dff", "fluorescence") if n in recording)
    assert recording[name].dims == ("time", "unit")
    assert recording[name].sizes == {"time": 60, "unit": 2}
    np.testing.assert_allclose(recording["time"], np.arange(1, 61) / 20)
    assert recording[name].attrs.get("sampling_rate", 20.0) == pytest.approx(20.0)
    assert recording.attrs["source"] == path.name


@pytest.mark.parametrize("kind", sorted(set(MAKERS) - {"delimited"}))
def test_damage_is_always_explained(tmp_path, rng, kind):
    """Cut and scribble over a file at many places: it opens, or the error has three parts."""
    path = tmp_path / "a.bin"
    MAKERS[kind](path, rng)
    whole = path.read_bytes()
    damaged = [whole[: int(share * len(whole))] for share in np.linspace(0.001, 0.999, 40)]
    for place in rng.integers(0, len(whole), 60):
        scribbled = bytearray(whole)
        scribbled[place : place + 4] = rng.bytes(len(scribbled[place : place + 4]))
        damaged.append(bytes(scribbled))
    refused = []
    for content in damaged:
        path.write_bytes(content)
        try:
            open_file(path, sampling_rate=20)
        except ThreePartError as error:
            refused.append(error)
    assert all(e.came and e.needed and e.remedy for e in refused)
    # Nearly every cut file must be refused; the scribbles may hit data, which nothing can tell.
    assert len(refused) >= 25


def test_the_top_level_name_is_this_one(tmp_path, rng):
    make_npz(tmp_path / "a.npz", rng)
    assert nr.open is open_file
    assert "dff" in nr.open(tmp_path / "a.npz")


def test_a_missing_file(tmp_path, rng):
    make_npz(tmp_path / "cell_12.npz", rng)
    with pytest.raises(FileMissingError, match=r"'cell_12\.npz'"):
        open_file(tmp_path / "cell12.npz")


def test_a_pdf_called_nwb(tmp_path):
    (tmp_path / "a.nwb").write_bytes(b"%PDF-1.7\n%\xe2\xe3\n" + bytes(500))
    with pytest.raises(FileFormatError, match=r"a\.nwb is a PDF document"):
        open_file(tmp_path / "a.nwb")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b"\x89PNG\r\n", "PNG"),
        (b"LOCUS       NC_000913", "GenBank"),
        (b"\x00\x01\x02\x03\x04", "no known format"),
    ],
)
def test_strangers_are_named(tmp_path, content, text):
    (tmp_path / "a.csvx").write_bytes(content)
    with pytest.raises(FileFormatError, match=text):
        open_file(tmp_path / "a.csvx")


@pytest.mark.parametrize("name", ["a.pkl", "a.pickle", "a.npy", "a"])
def test_pickles_are_refused_and_never_run(tmp_path, name):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FileFormatError, match="pickle"):
        open_file(tmp_path / name)


def test_an_unknown_option_offers_the_nearest(tmp_path, rng):
    make_npz(tmp_path / "a.npz", rng)
    with pytest.raises(NameUnknownError, match="Did you mean 'variable'"):
        open_file(tmp_path / "a.npz", variables="dff")


def test_no_rate(tmp_path, rng):
    make_npy(tmp_path / "a.npy", rng)
    with pytest.raises(UnitError, match="sampling_rate=30"):
        open_file(tmp_path / "a.npy")


@pytest.mark.parametrize("kind", ["delimited", "npz", "matlab", "hdf5"])
def test_a_rate_that_contradicts_the_file_is_refused(tmp_path, rng, kind):
    MAKERS[kind](tmp_path / "a", rng)
    with pytest.raises(UnitError, match=r"30 Hz.*20 Hz"):
        open_file(tmp_path / "a", sampling_rate=30)
    assert open_file(tmp_path / "a", sampling_rate=20).sizes["time"] == 60


def test_folders(tmp_path, rng):
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(FileFormatError, match="nothing"):
        open_file(plain)
    make_npz(plain / "a.npz", rng)
    with pytest.raises(FileFormatError, match=r"Open one file in it.*a\.npz"):
        open_file(plain)
    (plain / "iscell.npy").touch()
    with pytest.raises(FileFormatError, match=r"Suite2p folder without F\.npy"):
        open_file(plain)


def test_a_zarr_folder(tmp_path, rng):
    table = from_traces(rng.random((60, 2)), sampling_rate=20)
    table["dff"].attrs.pop("indicator", None)
    table.to_zarr(tmp_path / "a", zarr_format=2, consolidated=True)
    xr.testing.assert_equal(open_file(tmp_path / "a"), table)


def test_a_zip_of_other_things(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(FileFormatError, match="zip archive of 1 files"):
        open_file(tmp_path / "a.zip")
