"""Writers replace what they have written themselves, and nothing else unless told to."""

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import FileFormatError, FileWriteError
from neurornn._core.files import atomic_path, replace_any

SESSION = {"session_start_time": "2026-01-01T12:00:00+00:00"}


@pytest.fixture
def traces(rng):
    return nr.data.from_traces(rng.random((40, 2)), sampling_rate=10.0, name="dff")


def picture(path, **options):
    figure, _ = plt.subplots(figsize=(1, 1))
    nr.plot.write_figure(figure, path, **options)


WRITERS = {
    "table.csv": lambda rec, path, **o: nr.io.write_csv(rec["dff"].mean("time"), path, **o),
    "traces.nc": lambda rec, path, **o: nr.io.write_netcdf(rec, path, **o),
    "session.nwb": lambda rec, path, **o: nr.io.write_nwb(rec, path, session=SESSION, **o),
    "picture.png": lambda rec, path, **o: picture(path, **o),
}


@pytest.mark.parametrize("name", WRITERS)
def test_its_own_file_is_replaced_and_another_one_only_where_asked(traces, tmp_path, name):
    write, path = WRITERS[name], tmp_path / name
    write(traces, path)
    first = path.stat().st_ino
    write(traces, path)
    assert path.stat().st_ino != first
    path.write_text("my own")
    with pytest.raises(FileWriteError, match=r"overwrite=True.*nothing was touched"):
        write(traces, path)
    assert path.read_text() == "my own"
    write(traces, path, overwrite=True)
    assert path.read_bytes()[:6] != b"my own"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", WRITERS)
def test_the_file_of_another_program_of_the_same_kind_stays(traces, tmp_path, name):
    path = tmp_path / name
    if name == "table.csv":
        path.write_text("unit,depth\n1,200\n")
    elif name == "traces.nc":
        traces[["dff"]].to_netcdf(path, engine="h5netcdf")
    elif name == "picture.png":
        figure, _ = plt.subplots(figsize=(1, 1))
        figure.savefig(path)
        plt.close(figure)
    else:
        nr.io.write_nwb(traces, path, session=SESSION)
        # As another program would have described its module.
        with h5py.File(path, "r+") as file:
            file["processing/neurornn"].attrs["description"] = "dF/F of the other program"
    before = path.read_bytes()
    said = "is not a CSV file of these" if name == "table.csv" else "that neurornn did not write"
    with pytest.raises(FileWriteError, match=said):
        WRITERS[name](traces, path)
    assert path.read_bytes() == before


def test_a_table_replaces_a_saved_result_as_little_as_the_other_way_round(traces, tmp_path):
    nr.io.write_saved(tmp_path / "a.nc", kind="Kinetics", settings={})
    with pytest.raises(FileWriteError, match="a file that neurornn did not write"):
        nr.io.write_netcdf(traces, tmp_path / "a.nc")
    nr.io.write_netcdf(traces, tmp_path / "b.nc")
    with pytest.raises(FileWriteError, match=r"a file that save\(\) did not write"):
        nr.io.write_saved(tmp_path / "b.nc", kind="Kinetics", settings={})


def test_a_recording_goes_out_in_and_out_again(traces, tmp_path):
    nr.io.write_netcdf(traces, tmp_path / "a.nc")
    again = nr.open(tmp_path / "a.nc")
    assert set(again.attrs) == {"source", "format", *traces.attrs}
    nr.io.write_netcdf(again, tmp_path / "a.nc")
    np.testing.assert_array_equal(nr.open(tmp_path / "a.nc")["dff"], traces["dff"])


@pytest.mark.parametrize("name", ["traces.nc", "session.nwb"])
def test_what_others_have_added_to_our_file_stays(traces, tmp_path, name):
    """Nobody but us keeps the seal: a file that was added to is somebody else's work."""
    path = tmp_path / name
    WRITERS[name](traces, path)
    with h5py.File(path, "r+") as file:
        file["curated"] = np.arange(3)
    with pytest.raises(FileWriteError, match="nothing was touched"):
        WRITERS[name](traces, path)
    with h5py.File(path) as file:
        assert file["curated"].shape == (3,)


def test_a_damaged_recording_of_ours_is_noticed(traces, tmp_path):
    path = tmp_path / "a.nc"
    nr.io.write_netcdf(traces, path)
    raw = path.read_bytes()
    at = raw.index(traces["dff"].values[3, 1].tobytes())
    path.write_bytes(raw[:at] + np.float64(0.25).tobytes() + raw[at + 8 :])
    with pytest.raises(FileFormatError, match=r"a\.nc is damaged"):
        nr.open(path)


def test_a_file_of_ours_that_another_program_wrote_again_stays(traces, tmp_path):
    nr.io.write_netcdf(traces, tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", engine="h5netcdf") as opened:
        opened.load().assign(curated=("unit", [1, 0])).to_netcdf(
            tmp_path / "mine.nc", engine="h5netcdf"
        )
    with pytest.raises(FileWriteError, match="did not write"):
        nr.io.write_netcdf(traces, tmp_path / "mine.nc")


def test_traces_as_csv_replace_no_recording(traces, tmp_path):
    nr.io.write_csv(traces["dff"], tmp_path / "raw.csv")
    with pytest.raises(FileWriteError, match="may hold a recording"):
        nr.io.write_csv(traces["dff"] * 2, tmp_path / "raw.csv")
    nr.io.write_csv(traces["dff"], tmp_path / "raw.csv", overwrite=True)


def test_a_write_protected_file_and_the_mode_of_a_shared_one_stay(traces, tmp_path):
    path = tmp_path / "a.nc"
    nr.io.write_netcdf(traces, path)
    path.chmod(0o664)
    nr.io.write_netcdf(traces, path)
    assert path.stat().st_mode & 0o777 == 0o664
    path.chmod(0o444)
    with pytest.raises(FileWriteError, match="is write-protected"):
        nr.io.write_netcdf(traces, path, overwrite=True)


def test_a_template_is_replaced_by_its_copy_only_where_asked(traces, tmp_path):
    nr.io.write_nwb(traces, tmp_path / "a.nwb", session=SESSION)
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        file["processing/neurornn"].attrs["description"] = "of another program"
    before = (tmp_path / "a.nwb").read_bytes()
    options = {"template": tmp_path / "a.nwb", "module": "second"}
    with pytest.raises(FileWriteError, match="did not write"):
        nr.io.write_nwb(traces, tmp_path / "a.nwb", **options)
    assert (tmp_path / "a.nwb").read_bytes() == before
    nr.io.write_nwb(traces, tmp_path / "a.nwb", overwrite=True, **options)
    with h5py.File(tmp_path / "a.nwb") as file:
        assert set(file["processing"]) == {"neurornn", "second"}


def test_rooms_that_hold_only_our_files_replace_all_of_them(tmp_path):
    (tmp_path / "chunk").write_text("old")
    with atomic_path(tmp_path / "chunk", ours=replace_any) as path:
        path.write_text("new")
    assert (tmp_path / "chunk").read_text() == "new"
