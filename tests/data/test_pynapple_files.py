"""npz files of pynapple, opened without unpickling.

The files are made here by NumPy as pynapple 0.11.4 writes them with NumPy 2.4.6 and pandas 3.1.1,
and were compared once with files that it had written itself: the same members, of the same types
and shapes. Labels that are text and all metadata are arrays of Python objects there.
"""

import numpy as np
import pytest
import scipy.io

import neurornn as nr
from neurornn._core.errors import FileFormatError, ShapeError, UnitError


class Bomb:
    """Whoever unpickles it fails the test."""

    def __reduce__(self):
        return (pytest.fail, ("something was unpickled",))


def save(path, kind, **members):
    """Write as pynapple does, with metadata that must not be unpickled."""
    members |= {"type": np.array([kind], dtype=np.str_)} if kind else {}
    np.savez(path, _metadata=np.array({"area": Bomb()}, dtype=object), **members)
    return path


def save_group(path, **more):
    members = {
        "t": np.array([0.5, 1.0, 2.0, 3.0]), "index": np.array([7, 3, 7, 3]),
        "keys": np.array([3, 7, 9]), "start": np.array([0.0, 2.0]), "end": np.array([1.5, 4.0]),
    }  # fmt: skip
    return save(path, "TsGroup", **(members | more))


def test_a_group(tmp_path):
    rec = nr.open(save_group(tmp_path / "g.npz"))
    assert rec["unit"].values.tolist() == [3, 7, 9]
    assert [t.tolist() for t in nr.data.spike_trains(rec)] == [[1.0, 3.0], [0.5, 2.0], []]
    assert rec["stop"].values.tolist() == [1.5, 4.0]
    assert "_metadata" in rec.attrs["not_read"] and "from_pynapple" in rec.attrs["not_read"]
    assert rec.attrs["format"] == "npz (pynapple TsGroup)"
    counts = nr.data.bin_spikes(rec, time=np.arange(0.5, 4.5, 0.5))
    # The spike at 2 s, the start of the second range, is in a bin that began before it.
    assert np.isnan(counts.values[3]).all() and np.nansum(counts.values) == 3


def test_a_group_of_an_older_version(tmp_path):
    """Metadata lay beside the spikes then, as plain arrays, and keys could be missing."""
    path = tmp_path / "old.npz"
    np.savez(
        path, t=[1.0, 2.0], index=[4, 8], start=[0.0], end=[3.0], type=np.array(["TsGroup"]),
        depth=[10.0, 20.0], d=[5.0, 6.0],
    )  # fmt: skip
    rec = nr.open(path)
    assert rec["unit"].values.tolist() == [4, 8] and rec["depth"].values.tolist() == [10, 20]
    assert rec["spike_value"].values.tolist() == [5.0, 6.0] and "not_read" not in rec.attrs


def test_times_values_frames_and_intervals(tmp_path):
    ends = {"start": np.array([0.0]), "end": np.array([3.0])}
    times = nr.open(save(tmp_path / "ts.npz", "Ts", t=np.array([1.0, 2.0]), **ends))
    assert times["spike_times"].values.tolist() == [1.0, 2.0] and times["stop"].values == 3.0
    stamps = np.arange(0, 3, 0.5)
    series = nr.open(save(tmp_path / "tsd.npz", "Tsd", t=stamps, d=stamps, **ends), name="speed")
    assert np.array_equal(series["speed"].values[:, 0], stamps)
    labels = np.array(["x", "y"], dtype=object)
    frame = nr.open(
        save(tmp_path / "f.npz", "TsdFrame", t=stamps, d=np.ones((6, 2)), columns=labels, **ends)
    )
    assert frame["signal"].shape == (6, 2) and frame["unit"].values.tolist() == [0, 1]
    assert frame.attrs["not_read"].startswith("_metadata, columns (Python objects")
    trials = nr.open(save(tmp_path / "ep.npz", "IntervalSet", **ends))
    assert (trials["start"].values.tolist(), trials["stop"].values.tolist()) == ([0.0], [3.0])


def test_counts_are_stamped_by_the_end_of_their_bins(tmp_path):
    path = save(
        tmp_path / "c.npz", "TsdFrame", t=np.array([0.25, 0.75, 1.25]),
        d=np.array([[1, 0], [2, 0], [0, 3]]), columns=np.array([3, 7]),
        start=np.array([0.0]), end=np.array([1.5]),
    )  # fmt: skip
    counts = nr.open(path)["counts"]
    assert counts["time"].values.tolist() == [0.5, 1.0, 1.5] and counts.attrs["bin_size"] == 0.5
    assert counts.values.tolist() == [[1, 0], [2, 0], [0, 3]]
    assert counts["unit"].values.tolist() == [3, 7]


def test_what_is_damaged_or_has_no_place(tmp_path):
    tensor = save(
        tmp_path / "t.npz", "TsdTensor", t=np.arange(3.0), d=np.zeros((3, 2, 2)),
        start=np.array([0.0]), end=np.array([2.0]),
    )  # fmt: skip
    with pytest.raises(ShapeError, match=r"\(3, 2, 2\)"):
        nr.open(tensor)
    with pytest.raises(FileFormatError, match="4 t and 3 index"):
        nr.open(save_group(tmp_path / "cut.npz", index=np.array([3, 7, 3])))
    with pytest.raises(FileFormatError, match="pickle"):
        nr.open(save_group(tmp_path / "odd.npz", t=np.array([Bomb()] * 4, dtype=object)))
    stamps = np.arange(0, 3, 0.5)
    path = save(
        tmp_path / "tsd.npz", "Tsd", t=stamps, d=stamps, start=np.zeros(1), end=np.array([2.5])
    )
    with pytest.raises(UnitError, match="30 Hz"):
        nr.open(path, sampling_rate=30.0)


def test_other_archives_are_read_as_before(tmp_path):
    np.savez(tmp_path / "a.npz", dff=np.zeros((50, 2)), start=[0.0], end=[5.0], fs=10.0)
    assert nr.open(tmp_path / "a.npz")["dff"].shape == (50, 2)
    np.savez(tmp_path / "b.npz", type=np.array(["session"]), dff=np.zeros((50, 2)), fs=10.0)
    assert nr.open(tmp_path / "b.npz")["dff"].shape == (50, 2)
    np.savez(tmp_path / "c.npz", dff=np.array([Bomb()], dtype=object), fs=10.0)
    with pytest.raises(FileFormatError, match="pickle"):
        nr.open(tmp_path / "c.npz")


# Trains under the names of their units, in files of arrays.


def test_trains_in_a_struct_and_in_a_group(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spike_times_ms/a"] = np.array([10.5, 20.0])
        file["spike_times_ms/b"] = np.array([5.0])
    rec = nr.open(tmp_path / "a.h5")
    assert rec["unit"].values.tolist() == ["a", "b"]
    assert np.allclose(rec["spike_times"], [0.0105, 0.02, 0.005])
    scipy.io.savemat(tmp_path / "a.mat", {"spike_times": {"u1": [0.1, 0.2], "u2": [0.3]}})
    rec = nr.open(tmp_path / "a.mat")
    assert rec["unit"].values.tolist() == ["u1", "u2"]
    assert rec["spike_times"].values.tolist() == [0.1, 0.2, 0.3]
    with h5py.File(tmp_path / "samples.h5", "w") as file:
        file["spike_times/a"] = np.arange(0, 3_000_000, 30_000)
    with pytest.raises(UnitError, match="whole numbers"):
        nr.open(tmp_path / "samples.h5")
