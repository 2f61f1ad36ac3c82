"""Structs and cells of MATLAB files, in both formats, and files that hold themselves."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

import neurornn as nr
from neurornn._core.errors import FileFormatError, NameUnknownError, ShapeError, UnitError
from neurornn.io import read_matlab
from neurornn.io.matlab_tree import load_matlab
from tests.io.test_matlab import cell, write_v73

DATA = Path(os.environ.get("NEURORNN_DATA_DIR", "nowhere")) / "spikes"


def structs(*items):
    """Make an array of structs, as scipy writes it."""
    names = list(items[0])
    array = np.empty((1, len(items)), dtype=[(n, object) for n in names])
    for k, item in enumerate(items):
        array[0, k] = tuple(item[n] for n in names)
    return array


@pytest.fixture(params=["v5", "v7.3"])
def write(request):
    def write_v5(path, content):
        def plain(value):
            if isinstance(value, dict):
                return {k: plain(v) for k, v in value.items()}
            return cell(*map(plain, value)) if isinstance(value, list) else value

        scipy.io.savemat(path, {k: plain(v) for k, v in content.items()})

    return write_v5 if request.param == "v5" else write_v73


def number(value):
    return np.array([[float(value)]])


@pytest.mark.parametrize("variable", ["exp.dff", "exp/dff", "dff", None])
def test_an_array_in_a_struct(tmp_path, rng, write, variable):
    dff = rng.random((50, 3))
    write(tmp_path / "a.mat", {"exp": {"dff": dff, "fs": number(25), "other": rng.random((9, 9))}})
    recording = nr.open(tmp_path / "a.mat", variable=variable)
    np.testing.assert_array_equal(recording["dff"], dff)
    assert recording["dff"].attrs["sampling_rate"] == 25


def test_what_there_is_is_named_as_matlab_writes_it(tmp_path, rng, write):
    trials = [{"raw": rng.random((40, 3))}, {"raw": rng.random((30, 3))}]
    write(tmp_path / "a.mat", {"exp": {"trial": trials, "mask": rng.random((8, 8))}})
    with pytest.raises(NameUnknownError) as caught:
        nr.open(tmp_path / "a.mat", sampling_rate=10)
    text = str(caught.value)
    assert "exp.trial{1}.raw (40, 3) float64 and 1 more" in text
    assert "exp.mask (8, 8) float64" in text
    assert 'variable="exp.trial{1}.raw"' in text
    assert 'variable="exp.trial.raw" for all 2 of them' in text
    with pytest.raises(NameUnknownError, match=r"no numeric variable 'exp\.dff'.*exp\.mask"):
        nr.open(tmp_path / "a.mat", variable="exp.dff", sampling_rate=10)


@pytest.mark.parametrize("variable", ["exp.trial{2}.raw", "exp.trial(2).raw"])
def test_one_trial_of_a_cell(tmp_path, rng, write, variable):
    trials = [{"raw": rng.random((40, 3))}, {"raw": rng.random((30, 3))}]
    write(tmp_path / "a.mat", {"exp": {"trial": trials}})
    recording = nr.open(tmp_path / "a.mat", variable=variable, sampling_rate=10)
    np.testing.assert_array_equal(recording["raw"], trials[1]["raw"])


def test_trials_are_joined(tmp_path, rng, write):
    # More units than frames: the axis on which trials differ is time.
    spikes = [rng.integers(0, 3, (60, n)).astype(float) for n in (20, 30, 25)]
    write(tmp_path / "a.mat", {"session": {"spikes": spikes, "go": number(3)}})
    recording = nr.open(tmp_path / "a.mat", variable="session.spikes", sampling_rate=50)
    assert recording["counts"].sizes == {"time": 75, "unit": 60}
    np.testing.assert_array_equal(recording["counts"].values[20:50], spikes[1].T)
    assert recording["counts"].attrs["bin_size"] == pytest.approx(0.02)
    assert recording.sizes["interval"] == 3
    np.testing.assert_allclose(recording["stop"] - recording["start"], [0.4, 0.6, 0.5])
    spikes[1] = spikes[1][:59]
    write(tmp_path / "a.mat", {"session": {"spikes": spikes}})
    with pytest.raises(ShapeError, match=r"session\.spikes\{1\}.* and session\.spikes\{2\}"):
        nr.open(tmp_path / "a.mat", variable="spikes", sampling_rate=50, axes=("unit", "time"))


def test_what_lies_beside_a_trial_tells_its_axes(tmp_path, rng, write):
    content = {"spikes": [rng.random((86, 69))] * 2, "velocity": [rng.random((2, 69))] * 2}
    write(tmp_path / "a.mat", {"clouds": content})
    recording = nr.open(tmp_path / "a.mat", variable="clouds.spikes{2}", sampling_rate=22)
    assert dict(recording.sizes) == {"time": 69, "unit": 86}


def test_times_of_the_same_trial(tmp_path, rng, write):
    traces = [rng.random((30, 2)), rng.random((20, 2))]
    times = [np.arange(30)[:, None] / 20, 5 + np.arange(20)[:, None] / 20]
    write(tmp_path / "a.mat", {"e": {"raw": traces, "time": times}})
    recording = nr.open(tmp_path / "a.mat", variable="e.raw{2}")
    np.testing.assert_allclose(recording["time"], times[1][:, 0])


def test_arrays_of_structs(tmp_path, rng):
    first, second = rng.random((97, 70)), rng.random((97, 70))
    made = structs({"id": 1.0, "raw": first}, {"id": 2.0, "raw": second})
    scipy.io.savemat(tmp_path / "a.mat", {"trial": made})
    with h5py.File(tmp_path / "b.mat", "w", userblock_size=512) as file:
        # The fields of an array of structs have no class of their own.
        for name, values in (("id", (1.0, 2.0)), ("raw", (first, second))):
            made = [
                file.create_dataset(f"#refs#/{name}{k}", data=np.asarray(v).T)
                for k, v in enumerate(values)
            ]
            table = np.array([m.ref for m in made], dtype=h5py.ref_dtype)[:, None]
            file.create_dataset(f"trial/{name}", data=table, dtype=h5py.ref_dtype)
    with (tmp_path / "b.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    for name in ("a.mat", "b.mat"):
        found = nr.open(tmp_path / name, variable="trial(2).raw", sampling_rate=10, axes=None)
        np.testing.assert_array_equal(found["raw"], second)
        with pytest.raises(NameUnknownError, match=r"trial\(1\)\.raw \(97, 70\) float64 and 1"):
            nr.open(tmp_path / name, sampling_rate=10)


def test_a_rate_in_a_struct_of_nothing_else(tmp_path, rng, write):
    content = {"dff": rng.random((50, 3)), "info": {"fs": number(20), "mouse": "m1"}}
    write(tmp_path / "a.mat", content)
    assert nr.open(tmp_path / "a.mat")["dff"].attrs["sampling_rate"] == 20
    # What is passed is what counts.
    assert nr.open(tmp_path / "a.mat", sampling_rate=5)["dff"].attrs["sampling_rate"] == 5


@pytest.mark.parametrize(
    "more",
    [
        {"ephys": {"fs": number(20000)}},
        {"mic": {"fs": number(20000), "signal": np.arange(99.0)[:, None] % 7}},
        {"info": {"fs": number(20)}, "meta": {"fs": number(30)}},
    ],
)
def test_a_rate_that_may_be_of_another_signal_is_offered(tmp_path, rng, write, more):
    write(tmp_path / "a.mat", {"dff": rng.random((50, 3)), **more})
    with pytest.raises(UnitError, match=r"elsewhere in the file .*\.fs is .*sampling_rate=20"):
        nr.open(tmp_path / "a.mat", variable="dff")


def test_a_name_that_several_arrays_have(tmp_path, rng, write):
    content = {"a": {"raw": rng.random((50, 3))}, "b": {"raw": rng.random((50, 3))}}
    write(tmp_path / "a.mat", content)
    with pytest.raises(NameUnknownError, match=r"'raw' may be any of a\.raw, b\.raw"):
        nr.open(tmp_path / "a.mat", variable="raw", sampling_rate=10)
    assert nr.open(tmp_path / "a.mat", variable="b.raw", sampling_rate=10).sizes["unit"] == 3


def test_arrays_of_suite2p_and_caiman_are_not_turned(tmp_path, rng, write):
    traces = rng.random((40, 25))
    write(
        tmp_path / "a.mat",
        {"s2p": {"F": traces, "Fneu": traces}, "cnm": {"C": traces, "S": traces}},
    )
    for variable in ("s2p.F", "s2p.Fneu", "cnm.C", "cnm.S"):
        found = nr.open(tmp_path / "a.mat", variable=variable, sampling_rate=10)
        assert dict(found.sizes) == {"time": 25, "unit": 40}, variable


def test_estimates_of_caiman_by_name_are_not_turned(tmp_path, rng):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name in ("C", "S", "YrA", "F_dff"):
            file[f"estimates/{name}"] = rng.random((40, 25))
    for name in ("C", "S", "YrA", "F_dff"):
        for reader in (nr.io.read_caiman, nr.io.read_hdf5):
            variable = name if reader is nr.io.read_caiman else f"estimates/{name}"
            found = reader(tmp_path / "a.hdf5", variable=variable, sampling_rate=10)
            assert dict(found.sizes) == {"time": 25, "unit": 40}, (name, reader)


# ------------------------------------------------------------------ files that hold themselves


def mat(path):
    file = h5py.File(path, "w", userblock_size=512)
    file["dff"] = np.random.default_rng(0).random((3, 50))
    return file


def sealed(file, path):
    file.close()
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def put_cell(file, name, *targets):
    table = np.array([t.ref for t in targets], dtype=h5py.ref_dtype)[:, None]
    made = file.create_dataset(name, (len(targets), 1), dtype=h5py.ref_dtype)
    made.attrs["MATLAB_class"] = np.bytes_("cell")
    made[...] = table
    return made


@pytest.mark.parametrize("kind", ["itself", "two", "group", "link"])
def test_a_cell_that_lies_in_itself(tmp_path, kind):
    path = tmp_path / "a.mat"
    file = mat(path)
    if kind == "itself":
        made = put_cell(file, "c", file["dff"])
        made[0, 0] = made.ref
    elif kind == "two":
        first = put_cell(file, "#refs#/a", file["dff"])
        second = put_cell(file, "c", first)
        first[0, 0] = second.ref
    elif kind == "group":
        group = file.create_group("c")
        put_cell(file, "c/x", group)
    else:
        group = file.create_group("c")
        group["x"] = group
    sealed(file, path)
    # It ran for ever.
    with pytest.raises(FileFormatError, match="lies in itself"):
        nr.open(path, sampling_rate=10)


@pytest.mark.slow
def test_cells_that_name_one_cell_over_and_over(tmp_path):
    path = tmp_path / "a.mat"
    file = mat(path)
    below = file["dff"]
    for k in range(40):
        below = put_cell(file, f"#refs#/c{k}", below, below)
    put_cell(file, "c", below)
    sealed(file, path)
    # A million names take 2 s here; two to the fortieth would never end.
    with pytest.raises(FileFormatError, match="more than 1,000,000 arrays"):
        nr.open(path, sampling_rate=10)


def test_cells_that_lie_too_deep_or_are_too_many(tmp_path):
    path = tmp_path / "a.mat"
    file = mat(path)
    below = file["dff"]
    for k in range(150):
        below = put_cell(file, f"#refs#/c{k}", below)
    put_cell(file, "c", below)
    sealed(file, path)
    with pytest.raises(FileFormatError, match="in more than 100 structs and cells"):
        nr.open(path, sampling_rate=10)
    file = mat(path)
    made = file.create_dataset("c", (10**7,), dtype=h5py.ref_dtype, chunks=(10**6,))
    made.attrs["MATLAB_class"] = np.bytes_("cell")
    sealed(file, path)
    with pytest.raises(FileFormatError, match="declares 10000000 cells in a file of"):
        nr.open(path, sampling_rate=10)


def test_cells_that_share_a_matrix(tmp_path):
    path = tmp_path / "a.mat"
    file = mat(path)
    put_cell(file, "c", file["dff"], file["dff"])
    sealed(file, path)
    found = load_matlab(path)
    assert [x.shape for x in found["c"]] == [(50, 3), (50, 3)]


# ------------------------------------------------------------------ recordings of other labs


@pytest.mark.skipif(not (DATA / "golub_bci").is_dir(), reason="the data set is not here")
def test_clouds_of_a_brain_machine_interface():
    path = DATA / "golub_bci" / "exampleData.mat"
    with pytest.raises(UnitError, match=r"expParams\.intuitiveMapping\.dt is 22\.2222"):
        read_matlab(path, variable="beforeLearning.clouds.spikes")
    one = read_matlab(path, variable="beforeLearning.clouds.spikes{1}", sampling_rate=1 / 0.045)
    assert one["counts"].sizes == {"time": 69, "unit": 86}
    joined = read_matlab(path, variable="afterLearning.clouds.spikes", sampling_rate=1 / 0.045)
    assert (joined.sizes["unit"], joined.sizes["interval"]) == (86, 8)
    assert joined["counts"].attrs["bin_size"] == pytest.approx(0.045)


@pytest.mark.skipif(not (DATA / "ps4_motor_planning").is_dir(), reason="the data set is not here")
@pytest.mark.slow
def test_trials_of_motor_planning():
    path = DATA / "ps4_motor_planning" / "ps4_realdata.mat"
    one = read_matlab(path, variable="train_trial(728).spikes", sampling_rate=1000)
    assert one["counts"].sizes == {"time": 700, "unit": 97}
    joined = read_matlab(path, variable="train_trial.spikes", sampling_rate=1000)
    assert dict(joined["counts"].sizes) == {"time": 728 * 700, "unit": 97}
    np.testing.assert_array_equal(joined["counts"].values[-700:], one["counts"])
