"""Folders as Suite2p 0.14.4, 1.0.0.1 and 1.1.0 write them, as seen in runs of their own."""

import datetime

import numpy as np
import pytest
import scipy.io

import neurornn as nr
from neurornn._core.errors import DataError, FileFormatError, ShapeError, UnitError
from neurornn.io import detect_format, read_npy, read_suite2p
from neurornn.io.suite2p import read_settings

FS, TAU, SHARE = 15.0, 0.7, 0.62
VERSIONS = ("0.14.4", "1.0.0.1", "1.1.0")


def pickled(path, content):
    np.save(path, content, allow_pickle=True)


def ops_0(n_planes, n_channels, n_frames):
    """Return what 0.14.4 keeps in ops.npy: all in one dict, with a date that knows its zone."""
    return {
        "suite2p_version": "0.14.4",
        "fast_disk": "/data",
        "nplanes": n_planes,
        "nchannels": n_channels,
        "tau": TAU,
        "fs": FS,
        "aspect": np.float64(1.0),
        "block_size": [128, 128],
        "1Preg": False,
        "neucoeff": SHARE,
        "nframes": n_frames,
        "first_tiffs": np.array([True]),
        "meanImg": np.zeros((6, 6), np.float32),
        "rmin": np.int16(214),
        "date_proc": datetime.datetime.now().astimezone(),
        "Vmap": np.array([np.zeros(3), np.zeros((2, 2)), None], dtype=object),
        "timing": {"extraction": 6.36, "total_plane_runtime": 13.79},
    }


def settings_1(version):
    """Return what 1.x keeps in settings.npy: a dict for every step."""
    return {
        "torch_device": "cpu",
        "tau": TAU,
        "fs": FS,
        "diameter": [12.0, 12.0],
        "run": {"do_registration": 1, "do_detection": True},
        "io": {"combined": True, "save_ops_orig": True},
        "registration": {"block_size": (128, 128), "nonrigid": False},
        "detection": {"algorithm": "sparsery", "cellpose_settings": {"params": None}},
        "classification": {"classifier_path": None},
        "extraction": {"neuropil_extract": True, "neuropil_coefficient": SHARE},
        "dcnv_preprocess": {"baseline": "maximin"},
        "version": version,
    }


def db_1(n_planes, n_channels, n_frames, plane=None):
    """Return what 1.x keeps in db.npy, of the run or of a plane."""
    content = {
        "data_path": ["/data"],
        "nplanes": n_planes,
        "nrois": 1,
        "nchannels": n_channels,
        "lines": None,
        "first_files": np.array([True]),
    }
    if plane is not None:
        content |= {"iplane": np.int64(plane), "Ly": 64, "nframes": n_frames}
        content |= {"meanImg": np.zeros((6, 6))}
    return content


def write_plane(folder, rng, version, *, plane, n_planes, n_channels, n, frames):
    folder.mkdir(parents=True)
    made = {
        "F": rng.random((n, frames), np.float32) + 200,
        "Fneu": rng.random((n, frames), np.float32) + 100,
        "spks": rng.random((n, frames), np.float32),
        "iscell": np.column_stack([np.arange(n) % 3 != 1, np.linspace(0.9, 0.1, n)]),
    }
    if n_channels == 2:
        made |= {"F_chan2": made["F"] / 2, "Fneu_chan2": made["Fneu"] / 2}
        made["redcell"] = np.zeros((n, 2), np.float32)
    for name, array in made.items():
        np.save(folder / f"{name}.npy", array)
    stat = [{"ypix": np.arange(3), "npix": 3, "footprint": np.float64(1)} for _ in range(n)]
    pickled(folder / "stat.npy", np.array(stat, dtype=object))
    if version.startswith("0."):
        ops = ops_0(n_planes, n_channels, frames)
    else:
        db = db_1(n_planes, n_channels, frames, plane)
        pickled(folder / "db.npy", db)
        pickled(folder / "settings.npy", settings_1(version))
        pickled(folder / "reg_outputs.npy", {"rmin": np.int16(225)})
        ops = {**db, **settings_1(version), "date_proc": datetime.datetime.now().astimezone()}
        ops["plane_times"] = {"extraction": 0.04}
    pickled(folder / "ops.npy", ops)
    return made, ops


def write_run(top, rng, version, *, n_planes=1, n_channels=1, frames=(60,), n=(7,)):
    """Write a run as that version does: one plane after the other, then what it combines."""
    made = []
    for k in range(n_planes):
        about = {"plane": k, "n_planes": n_planes, "n_channels": n_channels}
        folder = top / "suite2p" / f"plane{k}"
        made.append(write_plane(folder, rng, version, **about, n=n[k], frames=frames[k]))
    if not version.startswith("0."):
        pickled(top / "suite2p" / "db.npy", db_1(n_planes, n_channels, 0))
        pickled(top / "suite2p" / "settings.npy", settings_1(version))
    if n_planes > 1:
        together = top / "suite2p" / "combined"
        together.mkdir()
        for name in ("F", "Fneu", "spks"):
            padded = [
                np.pad(m[name], ((0, 0), (0, max(frames) - m[name].shape[1]))) for m, _ in made
            ]
            np.save(together / f"{name}.npy", np.concatenate(padded))
        np.save(together / "iscell.npy", np.concatenate([m["iscell"] for m, _ in made]))
        if version.startswith("0."):
            pickled(together / "ops.npy", made[-1][1])
        else:
            # No ops.npy, and of the frames those of the last plane.
            pickled(together / "db.npy", db_1(n_planes, n_channels, frames[-1], n_planes - 1))
            pickled(together / "settings.npy", settings_1(version))
    return [m for m, _ in made]


def expected(made, only_cells):
    chosen = np.flatnonzero(made["iscell"][:, 0]) if only_cells else slice(None)
    return (made["F"] - np.float32(SHARE) * made["Fneu"])[chosen].T


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("where", ["suite2p/plane0", "suite2p", "", "suite2p/plane0/F.npy"])
def test_one_plane(tmp_path, rng, version, n_channels, where):
    (made,) = write_run(tmp_path, rng, version, n_channels=n_channels)
    assert detect_format(tmp_path / where) == "suite2p"
    recording = nr.open(tmp_path / where)
    np.testing.assert_allclose(recording["fluorescence"], expected(made, True), rtol=1e-6)
    assert recording["unit"].values.tolist() == [0, 2, 3, 5, 6]
    assert recording["fluorescence"].attrs["sampling_rate"] == FS
    assert recording["fluorescence"].attrs["neuropil_coefficient"] == SHARE
    assert recording.attrs["suite2p_tau"] == TAU
    second = "F_chan2.npy, Fneu_chan2.npy, redcell.npy, " if n_channels == 2 else ""
    assert recording.attrs["not_read"] == f"spks.npy, {second}stat.npy"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("frames", [(61, 60), (60, 61), (60, 60)])
def test_two_planes_and_what_is_combined(tmp_path, rng, version, frames):
    made = write_run(tmp_path, rng, version, n_planes=2, frames=frames, n=(5, 4))
    recording = nr.open(tmp_path / "suite2p")
    assert recording["plane"].values.tolist() == [0] * 3 + [1] * 3
    assert recording["roi"].values.tolist() == [0, 2, 3, 0, 2, 3]
    assert recording["unit"].values[[0, -1]].tolist() == ["0.0", "1.3"]
    values = recording["fluorescence"].values
    for k, columns in ((0, slice(0, 3)), (1, slice(3, 6))):
        np.testing.assert_allclose(
            values[: frames[k], columns], expected(made[k], True), rtol=1e-6
        )
        assert np.isnan(values[frames[k] :, columns]).all()
        assert np.isnan(recording["neuropil"].values[frames[k] :, columns]).all()
    assert recording.attrs["n_planes"] == 2
    together = nr.open(tmp_path / "suite2p" / "combined")
    np.testing.assert_array_equal(together["fluorescence"], values)
    np.testing.assert_array_equal(together["plane"], recording["plane"])
    assert together["unit"].values.tolist() == [0, 2, 3, 5, 7, 8]
    # Alone it is told by the frames that are zero in F and Fneu.
    (tmp_path / "suite2p" / "combined").rename(tmp_path / "combined")
    alone = read_suite2p(tmp_path / "combined", plane="combined")
    np.testing.assert_array_equal(alone["fluorescence"], values)


def test_black_frames_are_no_padding(tmp_path, rng):
    write_run(tmp_path, rng, "1.1.0", n_planes=2, frames=(60, 60), n=(5, 4))
    folder = tmp_path / "suite2p" / "combined"
    for name in ("F", "Fneu"):
        traces = np.load(folder / f"{name}.npy")
        traces[:, -2:] = 0
        traces[3] = 0
        np.save(folder / f"{name}.npy", traces)
    recording = nr.open(folder, only_cells=False)
    assert not np.isnan(recording["fluorescence"]).any()


@pytest.mark.parametrize("name", ["F", "Fneu", "spks", "ops", "iscell"])
def test_a_file_of_a_plane_opens_its_folder(tmp_path, rng, name):
    write_run(tmp_path, rng, "1.1.0", n_planes=2, frames=(61, 60), n=(5, 4))
    recording = nr.open(tmp_path / "suite2p" / "plane1" / f"{name}.npy")
    assert recording.attrs["plane"] == "plane1"
    assert recording["fluorescence"].sizes == {"time": 60, "unit": 3}


def test_more_rois_than_frames_are_not_turned(tmp_path, rng):
    write_run(tmp_path, rng, "1.1.0", n=(40,), frames=(25,))
    assert nr.open(tmp_path, only_cells=False).sizes["time"] == 25
    traces = rng.random((40, 25))
    for name in ("F", "Fneu", "spks", "F_chan2"):
        np.save(tmp_path / f"{name}.npy", traces)
        if name == "F":
            lone = nr.open(tmp_path / "F.npy", sampling_rate=10)
        else:
            lone = read_npy(tmp_path / f"{name}.npy", sampling_rate=10)
        assert dict(lone.sizes) == {"time": 25, "unit": 40}
    np.savez(tmp_path / "a.npz", F=traces, Fneu=traces, other=traces)
    for variable in ("F", "Fneu"):
        found = nr.open(tmp_path / "a.npz", variable=variable, sampling_rate=10)
        assert found.sizes["time"] == 25
    # Any other array is as long as its recording.
    found = nr.open(tmp_path / "a.npz", variable="other", sampling_rate=10)
    assert found.sizes["time"] == 40


def test_the_coefficient_that_is_passed_or_missing(tmp_path, rng):
    (made,) = write_run(tmp_path, rng, "1.1.0")
    recording = nr.open(tmp_path, neuropil=0.5, only_cells=False)
    np.testing.assert_allclose(
        recording["fluorescence"], (made["F"] - np.float32(0.5) * made["Fneu"]).T, rtol=1e-6
    )
    folder = tmp_path / "suite2p" / "plane0"
    pickled(folder / "settings.npy", {"extraction": {"neuropil_coefficient": 0.3}})
    with pytest.raises(DataError, match=r"0\.3 \(.*settings\.npy\) and 0\.62 \(.*ops\.npy\)"):
        nr.open(tmp_path)
    pickled(folder / "settings.npy", {"extraction": {"neuropil_coefficient": "much"}})
    with pytest.raises(DataError, match=r"neuropil_coefficient in settings\.npy is 'much'"):
        nr.open(tmp_path)
    (folder / "settings.npy").unlink()
    pickled(folder / "ops.npy", {"fs": FS})
    assert nr.open(tmp_path)["fluorescence"].attrs["neuropil_coefficient"] == 0.7


def test_planes_of_different_settings(tmp_path, rng):
    write_run(tmp_path, rng, "0.14.4", n_planes=2, frames=(60, 60), n=(5, 4))
    folder = tmp_path / "suite2p" / "plane1"
    pickled(folder / "ops.npy", ops_0(2, 1, 60) | {"neucoeff": 0.4})
    recording = nr.open(tmp_path)
    assert recording["neuropil_coefficient"].values.tolist() == [SHARE] * 3 + [0.4] * 3
    pickled(folder / "ops.npy", ops_0(2, 1, 60) | {"fs": 12.0})
    with pytest.raises(
        UnitError, match=r"15 Hz \(fs in plane0/ops\.npy\) and 12 Hz \(fs in plane1"
    ):
        nr.open(tmp_path)
    np.save(folder / "iscell.npy", np.zeros((4, 2)))
    recording = nr.open(tmp_path, sampling_rate=15, override_rate=True)
    assert recording.attrs["planes_without_cells"] == "plane1"
    assert set(recording["plane"].values) == {0}


def test_frames_that_db_counts(tmp_path, rng):
    write_run(tmp_path, rng, "1.1.0")
    folder = tmp_path / "suite2p" / "plane0"
    (folder / "ops.npy").unlink()
    pickled(folder / "db.npy", db_1(1, 1, 90, 0))
    with pytest.raises(ShapeError, match="nframes in the settings is 90"):
        nr.open(tmp_path)


def test_dicts_in_dicts_and_one_that_lies_in_itself(tmp_path):
    made = {"a": {"b": {"c": np.float64(2.5)}}, "x": 1}
    made["a"]["self"] = made
    pickled(tmp_path / "ops.npy", made)
    found = read_settings(tmp_path / "ops.npy")
    assert found["a"]["b"]["c"] == 2.5
    assert found["x"] == 1


@pytest.mark.parametrize("name", ["tzinfo", "time", "sys", "datetime_CAPI"])
def test_no_other_name_of_datetime_is_known(tmp_path, rng, name):
    write_run(tmp_path, rng, "1.1.0")
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    with (tmp_path / "suite2p" / "plane0" / "ops.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(f"cdatetime\n{name}\n.".encode())
    with pytest.raises(FileFormatError, match=f"names datetime.{name}"):
        nr.open(tmp_path)


# ------------------------------------------------------------------ Fall.mat


def write_fall(path, planes, ops, *, iplane=False):
    """Write Fall.mat of one plane, or of several put together."""
    frames = max(p["F"].shape[1] for p in planes)
    padded = {
        name: np.concatenate(
            [np.pad(p[name], ((0, 0), (0, frames - p[name].shape[1]))) for p in planes]
        )
        for name in ("F", "Fneu", "spks")
    }
    marks = np.concatenate([p["iscell"] for p in planes])
    numbers = np.repeat(np.arange(len(planes)), [len(p["F"]) for p in planes])
    stat = np.empty(len(marks), dtype=object)
    for k, number in enumerate(numbers):
        stat[k] = {"ypix": np.arange(3), "npix": 3} | ({"iplane": int(number)} if iplane else {})
    content = {"stat": stat, "ops": ops, "iscell": marks, "redcell": marks * 0, **padded}
    scipy.io.savemat(path, content)


def plane_arrays(rng, n, frames):
    return {
        "F": rng.random((n, frames), np.float32) + 200,
        "Fneu": rng.random((n, frames), np.float32) + 100,
        "spks": rng.random((n, frames), np.float32),
        "iscell": np.column_stack([np.arange(n) % 3 != 1, np.linspace(0.9, 0.1, n)]),
    }


def test_fall_states_everything(tmp_path, rng):
    made = plane_arrays(rng, 40, 25)
    ops = {"fs": FS, "tau": TAU, "neucoeff": SHARE, "nplanes": 1, "nframes": 25}
    write_fall(tmp_path / "Fall.mat", [made], ops)
    recording = nr.open(tmp_path / "Fall.mat", only_cells=False)
    np.testing.assert_allclose(recording["fluorescence"], expected(made, False), rtol=1e-6)
    np.testing.assert_allclose(recording["is_cell_probability"], made["iscell"][:, 1])
    assert recording["fluorescence"].attrs["sampling_rate"] == FS
    assert recording["fluorescence"].attrs["neuropil_coefficient"] == SHARE
    assert recording.attrs["suite2p_tau"] == TAU
    assert recording.attrs["not_read"] == "spks, redcell, stat"
    assert nr.open(tmp_path / "Fall.mat").sizes["unit"] == 27
    # What another run has left beside it does not count, for nothing is missing.
    pickled(tmp_path / "ops.npy", ops_0(1, 1, 9))
    assert nr.open(tmp_path / "Fall.mat").sizes["unit"] == 27
    with pytest.raises(UnitError, match=r"30 Hz .*15 Hz \(fs in ops\)"):
        nr.open(tmp_path / "Fall.mat", sampling_rate=30)
    found = nr.open(tmp_path / "Fall.mat", sampling_rate=30, override_rate=True, neuropil=0)
    np.testing.assert_array_equal(found["fluorescence"], made["F"][found["unit"]].T)
    write_fall(tmp_path / "Fall.mat", [made], ops | {"nframes": 40})
    with pytest.raises(ShapeError, match=r"F was stored transposed"):
        nr.open(tmp_path / "Fall.mat")


def test_fall_of_1_x_has_lost_the_coefficient(tmp_path, rng):
    made = plane_arrays(rng, 6, 50)
    # The time that the extraction took stands where the settings of the extraction stood.
    write_fall(tmp_path / "Fall.mat", [made], {"fs": FS, "tau": TAU, "extraction": 0.04})
    with pytest.warns(UserWarning, match=r"does not state the neuropil coefficient.*0\.7 was"):
        recording = nr.open(tmp_path / "Fall.mat")
    assert recording["fluorescence"].attrs["neuropil_coefficient"] == 0.7
    assert nr.open(tmp_path / "Fall.mat", neuropil=0.5).sizes["unit"] == 4
    pickled(tmp_path / "settings.npy", settings_1("1.1.0"))
    recording = nr.open(tmp_path / "Fall.mat")
    assert recording["fluorescence"].attrs["neuropil_coefficient"] == SHARE


def test_fall_of_planes_put_together(tmp_path, rng):
    planes = [plane_arrays(rng, 5, 61), plane_arrays(rng, 4, 60)]
    ops = {"nplanes": 2, "nframes": 60}
    write_fall(tmp_path / "Fall.mat", planes, ops, iplane=True)
    with pytest.raises(UnitError, match="states neither a frame rate"):
        nr.open(tmp_path / "Fall.mat", neuropil=SHARE)
    recording = nr.open(tmp_path / "Fall.mat", neuropil=SHARE, sampling_rate=FS)
    assert recording["plane"].values.tolist() == [0] * 3 + [1] * 3
    assert np.isnan(recording["fluorescence"].values[-1]).tolist() == [False] * 3 + [True] * 3
