import contextlib
import datetime
import pathlib
import pickle

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
from neurornn.io import detect_format, read_suite2p
from neurornn.io.suite2p import read_settings


def make_plane(folder, rng, *, n=4, frames=50, ops=None, **changes):
    folder.mkdir(parents=True)
    made = {
        "F": rng.random((n, frames)).astype(np.float32) + 5,
        "Fneu": rng.random((n, frames)).astype(np.float32),
        "iscell": np.column_stack([np.arange(n) % 2 == 0, np.linspace(0.9, 0.1, n)]),
        "spks": np.zeros((n, frames), np.float32),
    }
    made |= changes
    for name, array in made.items():
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    if ops is not None:
        np.save(folder / "ops.npy", ops, allow_pickle=True)
    return made


#: What Suite2p keeps in ops.npy besides numbers.
OPS = {
    "fs": 7.5,
    "tau": np.float64(0.7),
    "nplanes": 1,
    "Ly": np.int64(512),
    "meanImg": np.zeros((5, 6), np.float32),
    "filelist": ["a.tif", "b.tif"],
    "date_proc": datetime.datetime(2024, 1, 2),
    "save_path": pathlib.PurePosixPath("/data"),
    "lims": (1, [2.0, None], {"a": True}),
    "names": np.array(["a", None], dtype=object),
    "yrange": np.array([3, 4]),
}


@pytest.mark.parametrize("where", ["suite2p/plane0", "suite2p", ""])
def test_traces_less_neuropil(tmp_path, rng, where):
    made = make_plane(tmp_path / "suite2p" / "plane0", rng, ops=OPS)
    assert detect_format(tmp_path / where) == "suite2p"
    recording = nr.open(tmp_path / where)
    expected = (made["F"] - np.float32(0.7) * made["Fneu"])[[0, 2]].T
    np.testing.assert_allclose(recording["fluorescence"], expected, rtol=1e-6)
    assert recording["fluorescence"].dims == ("time", "unit")
    assert recording["fluorescence"].attrs["neuropil_coefficient"] == 0.7
    assert recording["fluorescence"].attrs["sampling_rate"] == 7.5
    np.testing.assert_array_equal(recording["neuropil"], made["Fneu"][[0, 2]].T)
    np.testing.assert_allclose(recording["is_cell_probability"], made["iscell"][[0, 2], 1])
    assert recording["unit"].values.tolist() == [0, 2]
    np.testing.assert_allclose(recording["time"], (np.arange(50) + 1) / 7.5)
    assert recording.attrs["suite2p_tau"] == 0.7
    assert recording.attrs["not_read"] == "spks.npy"
    assert recording.attrs["format"] == "Suite2p"


def test_every_roi_and_another_share(tmp_path, rng):
    made = make_plane(tmp_path / "plane0", rng, ops=OPS)
    recording = nr.open(tmp_path / "plane0", only_cells=False, neuropil=0)
    np.testing.assert_array_equal(recording["fluorescence"], made["F"].T)
    assert "neuropil" in recording
    with pytest.raises(DataError, match="from 0 to 2"):
        read_suite2p(tmp_path / "plane0", neuropil=70)


def test_the_fit_takes_it(tmp_path, rng):
    made = nr.simulate.simulate_calcium(2, 60.0, rng=0)["dff"].values.T
    make_plane(tmp_path / "plane0", rng, n=2, F=made, Fneu=made * 0, iscell=np.ones((2, 2)))
    recording = nr.open(tmp_path / "plane0", sampling_rate=30.0)
    fit = nr.calcium.Kinetics().fit(recording["fluorescence"])
    assert fit.parameters_.sizes["unit"] == 2


def test_all_planes_or_one(tmp_path, rng):
    for k in (0, 1, 10):
        make_plane(tmp_path / "suite2p" / f"plane{k}", rng, n=k + 4, ops=OPS)
    recording = nr.open(tmp_path, only_cells=False)
    assert recording["plane"].values.tolist() == [0] * 4 + [1] * 5 + [10] * 14
    assert recording["unit"].values[[0, 4, -1]].tolist() == ["0.0", "1.0", "10.13"]
    assert recording.attrs["planes"] == "plane0, plane1, plane10"
    assert nr.open(tmp_path, plane=1, only_cells=False).sizes["unit"] == 5
    assert nr.open(tmp_path / "suite2p", plane="plane10").attrs["plane"] == "plane10"
    assert nr.open(tmp_path / "suite2p" / "plane0", plane=1).attrs["plane"] == "plane1"
    with pytest.raises(NameUnknownError, match="plane is 2"):
        nr.open(tmp_path, plane=2)


def test_without_a_rate_it_is_asked_for(tmp_path, rng):
    make_plane(tmp_path / "plane0", rng, ops={"tau": 1.0})
    with pytest.raises(UnitError, match="states neither a frame rate"):
        nr.open(tmp_path)
    assert nr.open(tmp_path, sampling_rate=30)["fluorescence"].attrs["sampling_rate"] == 30


def test_a_rate_that_differs_from_the_file_has_to_be_confirmed(tmp_path, rng):
    make_plane(tmp_path / "plane0", rng, ops=OPS)
    with pytest.raises(UnitError, match=r"30 Hz .* 7\.5 Hz \(fs in ops\.npy\).*override_rate"):
        read_suite2p(tmp_path, sampling_rate=30)
    recording = read_suite2p(tmp_path, sampling_rate=30, override_rate=True)
    assert recording["fluorescence"].attrs["sampling_rate"] == 30
    read_suite2p(tmp_path, sampling_rate=7.45)


def test_settings_of_the_newer_layout(tmp_path, rng):
    make_plane(tmp_path / "plane0", rng)
    np.save(tmp_path / "plane0" / "settings.npy", {"fs": 12.0, "tau": 0.3}, allow_pickle=True)
    np.save(tmp_path / "plane0" / "db.npy", {"nplanes": 2}, allow_pickle=True)
    recording = nr.open(tmp_path)
    assert recording["fluorescence"].attrs["sampling_rate"] == 12
    assert (recording.attrs["suite2p_tau"], recording.attrs["n_planes"]) == (0.3, 2)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value", [7.5, np.float64(7.5), np.float32(7.5), np.array(7.5)[()], np.array(7.5, ">f8")[()]]
)
def test_numbers_of_every_kind_and_protocol(tmp_path, protocol, value):
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    with (tmp_path / "ops.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        pickle.dump(np.array({**OPS, "fs": value}, dtype=object), file, protocol=protocol)
    found = read_settings(tmp_path / "ops.npy")
    assert found["fs"] == 7.5
    assert found["tau"] == 0.7
    assert found["filelist"] == ["a.tif", "b.tif"]
    assert found["Ly"] == 512


class Attack:
    """Pickles as a call of something."""

    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


def attacks(mark):
    import builtins
    import functools
    import importlib
    import os
    import subprocess

    code = f"open({str(mark)!r}, 'w').close()"
    return {
        "system": Attack(os.system, f"touch {mark}"),
        "eval": Attack(builtins.eval, code),
        "exec": Attack(builtins.exec, code),
        "popen": Attack(subprocess.Popen, ["touch", str(mark)]),
        "getattr": Attack(getattr, 1, "real"),
        "import": Attack(importlib.import_module, "antigravity"),
        "partial": Attack(functools.partial, os.system, f"touch {mark}"),
        "load": Attack(np.load, str(mark), None, True),
        "vectorize": Attack(np.vectorize, os.system),
        "fromfile": Attack(np.memmap, str(mark), "u1", "w+", 0, (1,)),
        "unlink": Attack(pathlib.Path.unlink, pathlib.Path(mark)),
    }


@pytest.mark.parametrize("name", sorted(attacks("x")))
@pytest.mark.parametrize("place", ["whole", "value", "deep", "array"])
def test_a_file_that_tries_to_run_code_is_refused(tmp_path, rng, name, place):
    mark = tmp_path / "ran"
    attack = attacks(mark)[name]
    content = {
        "whole": attack,
        "value": {"fs": 30.0, "tau": attack},
        "deep": {"fs": 30.0, "x": [({"y": attack},)]},
        "array": {"fs": 30.0, "x": np.array([attack, 1], dtype=object)},
    }[place]
    make_plane(tmp_path / "plane0", rng, ops=np.array(content, dtype=object))
    with pytest.raises(FileFormatError, match=r"ops\.npy names .*none was run"):
        nr.open(tmp_path / "plane0")
    assert not mark.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        b"(S'true'\nios\nsystem\n.",
        b"cneurornn.io.suite2p\n_Restricted\n.",
        b"cnumpy\ncore.multiarray.os.system\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x13ndarray.__class__.x\x93.",
        b"P1\n.",
    ],
)
def test_names_written_by_hand_are_refused(tmp_path, rng, body):
    make_plane(tmp_path / "plane0", rng)
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    with (tmp_path / "plane0" / "ops.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(body)
    with pytest.raises(FileFormatError, match=r"ops\.npy (names|refers)"):
        nr.open(tmp_path / "plane0", sampling_rate=30)


def test_named_arrays_are_never_built(tmp_path):
    # An object array whose pointers come from the file would be a way into the process.
    state = (1, (1,), np.dtype("O"), False, b"\x41" * 8)
    made = {"x": Attack(np.ndarray, (2**50,)), "fs": 3.0, "d": Attack(np.dtype, "O8"), "s": state}
    np.save(tmp_path / "ops.npy", made, allow_pickle=True)
    found = read_settings(tmp_path / "ops.npy")
    assert found["fs"] == 3.0
    assert not isinstance(found["x"], np.ndarray)


def test_a_number_that_would_take_all_memory_is_refused(tmp_path, rng):
    make_plane(tmp_path / "plane0", rng)
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    with (tmp_path / "plane0" / "ops.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(b"\x80\x04}r\xff\xff\xff\x7f.")
    with pytest.raises(FileFormatError, match="numbers an object 2147483647"):
        nr.open(tmp_path, sampling_rate=30)


def test_damage_is_always_explained(tmp_path, rng):
    make_plane(tmp_path / "plane0", rng, ops=OPS)
    for name in ("F.npy", "Fneu.npy", "iscell.npy", "ops.npy"):
        file = tmp_path / "plane0" / name
        whole = file.read_bytes()
        for share in np.linspace(0, 0.99, 12):
            file.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(FileFormatError, match=name):
                nr.open(tmp_path)
        for place in rng.integers(0, len(whole), 60):
            file.write_bytes(whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :])
            with contextlib.suppress(ThreePartError):
                nr.open(tmp_path)
        file.write_bytes(whole)


def test_files_that_are_missing(tmp_path, rng):
    make_plane(tmp_path / "plane0", rng, ops=OPS, Fneu=None, iscell=None)
    with pytest.raises(FileFormatError, match=r"no Fneu\.npy.*neuropil=0"):
        read_suite2p(tmp_path)
    with pytest.raises(FileFormatError, match=r"no iscell\.npy.*only_cells=False"):
        read_suite2p(tmp_path, neuropil=0)
    recording = read_suite2p(tmp_path, neuropil=0, only_cells=False)
    assert set(recording.data_vars) == {"fluorescence"}


def test_arrays_that_do_not_fit(tmp_path, rng):
    make_plane(tmp_path / "a", rng, ops=OPS, Fneu=np.zeros((4, 49)))
    make_plane(tmp_path / "b", rng, ops=OPS, iscell=np.ones((3, 2)))
    make_plane(tmp_path / "c", rng, ops=OPS, iscell=np.zeros((4, 2)))
    make_plane(tmp_path / "d", rng, ops=OPS, F=np.array(["a", "b"]))
    with pytest.raises(ShapeError, match=r"Fneu\.npy has shape \(4, 49\)"):
        read_suite2p(tmp_path / "a")
    with pytest.raises(ShapeError, match=r"iscell\.npy"):
        read_suite2p(tmp_path / "b")
    with pytest.raises(DataError, match="none of 4 ROIs"):
        read_suite2p(tmp_path / "c")
    with pytest.raises(FileFormatError, match=r"F\.npy"):
        read_suite2p(tmp_path / "d")
    np.save(tmp_path / "a" / "mine.npy", np.ones((4, 50)))
    with pytest.raises(FileFormatError, match="is a file"):
        read_suite2p(tmp_path / "a" / "mine.npy")


@pytest.mark.parametrize("bad", [0.0, -7.5, np.nan, np.inf, "7.5", [7.5, 10.0], 5e6, True])
def test_a_rate_that_is_none(tmp_path, rng, bad):
    make_plane(tmp_path / "plane0", rng, ops=OPS | {"fs": bad})
    with pytest.raises(ThreePartError, match=r"fs in ops\.npy of plane0"):
        nr.open(tmp_path)
    with pytest.raises(ThreePartError, match=r"fs in ops\.npy of plane0"):
        nr.open(tmp_path, sampling_rate=7.5)
    recording = nr.open(tmp_path, sampling_rate=7.5, override_rate=True)
    assert recording["fluorescence"].attrs["sampling_rate"] == 7.5


def test_settings_that_state_two_rates(tmp_path, rng):
    make_plane(tmp_path / "plane0", rng, ops=OPS)
    np.save(tmp_path / "plane0" / "settings.npy", {"fs": 12.0}, allow_pickle=True)
    with pytest.raises(UnitError, match=r"12 Hz \(fs in settings\.npy\) and 7\.5 Hz"):
        nr.open(tmp_path)


@pytest.mark.parametrize("bad", [np.nan, 0.5, -1, 2, np.inf])
def test_a_mark_that_is_neither_cell_nor_none(tmp_path, rng, bad):
    marks = np.array([[1, 0.9], [bad, 0.8], [0, 0.1], [1, 0.7]])
    make_plane(tmp_path / "plane0", rng, ops=OPS, iscell=marks)
    with pytest.raises(DataError, match=r"iscell\.npy marks ROI 1 with"):
        nr.open(tmp_path)


def test_traces_that_declare_more_than_is_there(tmp_path, rng):
    make_plane(tmp_path / "plane0", rng, ops=OPS)
    path = tmp_path / "plane0" / "F.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(FileFormatError, match=r"F\.npy of plane0 declares float32 \(4, 50\)"):
        nr.open(tmp_path)


def test_frames_that_the_settings_count(tmp_path, rng):
    make_plane(tmp_path / "whole", rng, ops={**OPS, "nframes": 50})
    assert read_suite2p(tmp_path / "whole").sizes["time"] == 50
    make_plane(tmp_path / "cut", rng, ops={**OPS, "nframes": np.int64(60)})
    with pytest.raises(
        ShapeError, match=r"shape \(4, 50\) and nframes in the settings is 60.*cut"
    ):
        read_suite2p(tmp_path / "cut")
    made = make_plane(tmp_path / "turned", rng, n=4, frames=4, ops={**OPS, "nframes": 50})
    for name in ("F", "Fneu"):
        np.save(tmp_path / "turned" / f"{name}.npy", rng.random((50, 4)) + len(made))
    with pytest.raises(ShapeError, match=r"F\.npy was stored transposed: save F\.T"):
        read_suite2p(tmp_path / "turned", only_cells=False)
