import os

import pytest

import neurornn as nr
from neurornn._core.errors import FileFormatError, FileMissingError, KindError, ThreePartError
from neurornn.io.sources import check_source, explained, stamped


def three_parts(error):
    assert isinstance(error, ThreePartError)
    assert error.came
    assert error.needed
    assert error.remedy


def test_a_missing_file_offers_the_nearest_name(tmp_path):
    (tmp_path / "session_01.nwb").write_bytes(b"x")
    with pytest.raises(FileMissingError, match=r"Did you mean 'session_01\.nwb'") as caught:
        check_source(tmp_path / "sesion_01.nwb")
    three_parts(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileMissingError, match="nowhere does not exist either"):
        check_source(tmp_path / "nowhere" / "a.csv")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.csv").touch()
    with pytest.raises(FileFormatError, match="empty"):
        check_source(tmp_path / "a.csv")


def test_a_folder_is_refused_where_a_file_is_needed(tmp_path):
    with pytest.raises(FileFormatError, match="is a folder"):
        check_source(tmp_path)
    assert check_source(tmp_path, folder=True) == tmp_path


def test_no_permission_is_explained(tmp_path, monkeypatch):
    file = tmp_path / "a.csv"
    file.write_text("1,2\n")
    # Tests may run as root, who may read everything, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FileFormatError, match="permission was denied") as caught:
        check_source(file)
    three_parts(caught.value)


@pytest.mark.parametrize("error", [KeyError("x"), OSError("truncated"), IndexError(), TypeError()])
def test_library_errors_become_one_error_in_three_parts(tmp_path, error):
    with pytest.raises(FileFormatError) as caught, explained(tmp_path / "a.h5", "HDF5"):
        raise error
    three_parts(caught.value)
    assert "a.h5 looks like HDF5" in str(caught.value)
    assert caught.value.__cause__ is error


def test_own_errors_and_warnings_pass_unchanged(tmp_path):
    with pytest.raises(UserWarning, match="stays itself"), explained(tmp_path, "x"):
        raise UserWarning("a warning turned into an error stays itself")
    with pytest.raises(FileMissingError, match=r"a\. b\. c\."), explained(tmp_path, "x"):
        raise FileMissingError("a", "b", "c")


def test_the_name_of_the_first_file_is_kept(tmp_path):
    import xarray as xr

    once = stamped(xr.Dataset(), tmp_path / "raw.mat", "MATLAB")
    twice = stamped(once, tmp_path / "copy.nc", "netCDF")
    assert twice.attrs == {"source": "raw.mat", "format": "MATLAB"}
    assert str(tmp_path) not in str(once.attrs)


@pytest.mark.parametrize("path", [None, 3, b"x", 1.5, ["a.csv"]])
def test_what_is_no_path(path):
    with pytest.raises(KindError, match=f"A {type(path).__name__} came as a path") as caught:
        nr.open(path)
    three_parts(caught.value)


@pytest.mark.parametrize("path", ["a\0b.csv", "~nobody_of_that_name/a.csv"])
def test_names_that_no_file_has(path):
    with pytest.raises(FileMissingError) as caught:
        nr.open(path)
    three_parts(caught.value)
