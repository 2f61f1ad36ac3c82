import contextlib

import h5py
import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    FileFormatError,
    NameUnknownError,
    ShapeError,
    ThreePartError,
    UnitError,
)
from neurornn.io import detect_format, read_caiman


def make(path, rng, *, n=5, frames=60, rate=20.0, leave=(), **changes):
    """Write a file as CaImAn does: None as the text NoneType, sparse A as a group."""
    made = {
        "C": rng.random((n, frames)),
        "S": rng.random((n, frames)),
        "YrA": rng.normal(size=(n, frames)),
        "F_dff": rng.normal(size=(n, frames)),
        "idx_components": np.array([0, 3]),
        "SNR_comp": np.arange(n) + 0.5,
        "r_values": "NoneType",
        "dims": np.array([10, 12]),
        **changes,
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("estimates")
        for name, value in made.items():
            if name not in leave:
                group[name] = value
        group["A/data"], group["A/shape"] = np.ones(7), np.array([120, n])
        if rate is not None:
            file["params/data/fr"] = rate
        file["params/data/decay_time"] = 0.4
    return made


def test_dff_of_the_accepted_components(tmp_path, rng):
    made = make(tmp_path / "a.hdf5", rng)
    assert detect_format(tmp_path / "a.hdf5") == "caiman"
    recording = nr.open(tmp_path / "a.hdf5")
    np.testing.assert_array_equal(recording["dff"], made["F_dff"][[0, 3]].T)
    assert recording["dff"].dims == ("time", "unit")
    assert recording["dff"].attrs["sampling_rate"] == 20
    assert recording["unit"].values.tolist() == [0, 3]
    assert recording["snr"].values.tolist() == [0.5, 3.5]
    assert "spatial_correlation" not in recording.coords
    assert recording.attrs["caiman_decay_time"] == 0.4
    assert recording.attrs["format"] == "CaImAn HDF5"


@pytest.mark.parametrize("none", ["NoneType", None])
def test_without_dff_the_trace_as_recorded(tmp_path, rng, none):
    made = make(
        tmp_path / "a.hdf5",
        rng,
        F_dff="NoneType",
        idx_components="NoneType",
        leave=() if none else ("F_dff", "idx_components"),
    )
    recording = nr.open(tmp_path / "a.hdf5")
    np.testing.assert_allclose(recording["fluorescence"], (made["C"] + made["YrA"]).T)
    assert recording.sizes["unit"] == 5


@pytest.mark.parametrize(
    ("variable", "name", "of"),
    [
        ("S", "events", "S"),
        ("C", "calcium", "C"),
        ("estimates/F_dff", "dff", "F_dff"),
        ("YrA", "YrA", "YrA"),
    ],
)
def test_another_variable(tmp_path, rng, variable, name, of):
    made = make(tmp_path / "a.hdf5", rng)
    recording = nr.open(tmp_path / "a.hdf5", variable=variable, only_cells=False)
    np.testing.assert_array_equal(recording[name], made[of].T)
    assert recording["is_accepted"].values.tolist() == [True, False, False, True, False]
    assert nr.open(tmp_path / "a.hdf5", variable="C + YrA").attrs["variable"] == "C+YrA"


def test_an_unknown_variable_and_denoised_traces_only(tmp_path, rng):
    make(tmp_path / "a.hdf5", rng)
    with pytest.raises(NameUnknownError, match=r"F_dff.*Did you mean 'F_dff'"):
        nr.open(tmp_path / "a.hdf5", variable="F_df")
    make(tmp_path / "b.hdf5", rng, leave=("F_dff", "YrA"))
    with pytest.raises(FileFormatError, match="C alone is denoised"):
        nr.open(tmp_path / "b.hdf5")


def test_the_rate(tmp_path, rng):
    make(tmp_path / "a.hdf5", rng, rate=None)
    with pytest.raises(UnitError, match="states neither a frame rate"):
        nr.open(tmp_path / "a.hdf5")
    assert nr.open(tmp_path / "a.hdf5", sampling_rate=15)["dff"].attrs["sampling_rate"] == 15
    make(tmp_path / "b.hdf5", rng)
    with pytest.raises(UnitError, match=r"15 Hz \(sampling_rate=\) and 20 Hz.*override_rate=True"):
        read_caiman(tmp_path / "b.hdf5", sampling_rate=15)
    recording = read_caiman(tmp_path / "b.hdf5", sampling_rate=15, override_rate=True)
    assert recording["dff"].attrs["sampling_rate"] == 15


def test_components_that_do_not_fit(tmp_path, rng):
    make(tmp_path / "a.hdf5", rng, idx_components=np.array([0, 7]))
    with pytest.raises(ShapeError, match="reaches 7 for 5 components"):
        nr.open(tmp_path / "a.hdf5")
    make(tmp_path / "b.hdf5", rng, idx_components=np.array([], int))
    with pytest.raises(DataError, match="accepts none of 5"):
        nr.open(tmp_path / "b.hdf5")
    make(tmp_path / "c.hdf5", rng, YrA=np.zeros((4, 60)), leave=("F_dff",))
    with pytest.raises(ShapeError, match=r"YrA \(4, 60\)"):
        nr.open(tmp_path / "c.hdf5")
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        file["x"] = 1.0
    with pytest.raises(FileFormatError, match="no group"):
        read_caiman(tmp_path / "d.hdf5")


def test_damage_is_always_explained(tmp_path, rng):
    path = tmp_path / "a.hdf5"
    make(path, rng)
    whole = path.read_bytes()
    for share in np.linspace(0.0, 0.98, 15):
        path.write_bytes(whole[: 8 + int(share * len(whole))])
        with pytest.raises(FileFormatError, match=r"a\.hdf5"):
            nr.open(path)
    for place in rng.integers(0, len(whole), 20):
        path.write_bytes(whole[:place] + bytes(64) + whole[place + 64 :])
        with contextlib.suppress(ThreePartError):
            nr.open(path)


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        (np.array([0, 7]), "reaches 7 for 5 components"),
        (np.array([-1, 2]), "reaches -1"),
        (np.array([0, 3, 3]), "holds 3 twice"),
        (np.array([0.0, 1.5]), "holds 1.5"),
        (np.array([0.0, np.nan]), "holds nan"),
        (np.array([0, 2**40]), "reaches"),
        (np.arange(6), "holds 6 numbers"),
        (np.array([[0, 1], [2, 3]]), r"int64 \(2, 2\)"),
        (np.int64(3), r"int64 \(\)"),
        (np.array([True, False, True, False, False]), "bool"),
        ("0, 3", r"object \(\)"),
        (np.array([b"0", b"3"]), r"\|S1 \(2,\)"),
    ],
)
def test_a_damaged_list_of_accepted_components(tmp_path, rng, damaged, says):
    made = make(tmp_path / "a.hdf5", rng, idx_components=damaged)
    with pytest.raises((ShapeError, FileFormatError), match=f"idx_components of .*{says}"):
        nr.open(tmp_path / "a.hdf5")
    recording = nr.open(tmp_path / "a.hdf5", only_cells=False)
    np.testing.assert_array_equal(recording["dff"], made["F_dff"].T)


def test_whole_numbers_as_floats_are_components(tmp_path, rng):
    make(tmp_path / "a.hdf5", rng, idx_components=np.array([3.0, 0.0]))
    assert nr.open(tmp_path / "a.hdf5")["unit"].values.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ([0, 3], [1, 3], "1 components that idx_components accepts, 3 first"),
        ("NoneType", [1, 3], "idx_components is missing"),
        ([0, 3], [9], "idx_components_bad of .* reaches 9"),
    ],
)
def test_accepted_and_rejected_components_exclude_each_other(tmp_path, rng, good, bad, says):
    make(tmp_path / "a.hdf5", rng, idx_components=good, idx_components_bad=np.array(bad))
    with pytest.raises((ShapeError, FileFormatError), match=says):
        nr.open(tmp_path / "a.hdf5")


@pytest.mark.parametrize("bad", [0.0, -20.0, np.nan, np.inf, "20", [20.0, 30.0], 5e6])
def test_a_rate_that_is_none(tmp_path, rng, bad):
    make(tmp_path / "a.hdf5", rng, rate=bad)
    with pytest.raises(ThreePartError, match=r"params/data/fr of a\.hdf5"):
        nr.open(tmp_path / "a.hdf5")
    with pytest.raises(ThreePartError, match=r"params/data/fr of a\.hdf5"):
        nr.open(tmp_path / "a.hdf5", sampling_rate=20)
    recording = nr.open(tmp_path / "a.hdf5", sampling_rate=20, override_rate=True)
    assert recording["dff"].attrs["sampling_rate"] == 20
