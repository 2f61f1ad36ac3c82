"""Writers replace what they have written themselves, and nothing else unless told to."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import FileWriteError
from neurornn._core.files import atomic_path, replace_any

SESSION = {"session_start_time": "2026-01-01T12:00:00+00:00"}


@pytest.fixture
def traces(rng):
    return nr.data.from_traces(rng.random((40, 2)), sampling_rate=10.0, name="dff")


def picture(path, **options):
    figure, _ = plt.subplots(figsize=(1, 1))
    nr.plot.write_figure(figure, path, **options)


WRITERS = {
    "table.csv": lambda rec, path, **o: nr.io.write_csv(rec["dff"], path, **o),
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
        path.write_text("time (s),cell\n0.1,3\n")
    elif name == "traces.nc":
        traces[["dff"]].to_netcdf(path, engine="h5netcdf")
    elif name == "picture.png":
        figure, _ = plt.subplots(figsize=(1, 1))
        figure.savefig(path)
        plt.close(figure)
    else:
        nr.io.write_nwb(traces, path, session=SESSION)
        import h5py

        # As another program would have described its module.
        with h5py.File(path, "r+") as file:
            file["processing/neurornn"].attrs["description"] = "dF/F of the other program"
    before = path.read_bytes()
    with pytest.raises(FileWriteError):
        WRITERS[name](traces, path)
    assert path.read_bytes() == before


def test_a_table_replaces_a_saved_result_as_little_as_the_other_way_round(traces, tmp_path):
    nr.io.write_saved(tmp_path / "a.nc", kind="Kinetics", settings={})
    with pytest.raises(FileWriteError, match="a file that neurornn did not write"):
        nr.io.write_netcdf(traces, tmp_path / "a.nc")
    nr.io.write_netcdf(traces, tmp_path / "b.nc")
    with pytest.raises(FileWriteError, match=r"a file that save\(\) did not write"):
        nr.io.write_saved(tmp_path / "b.nc", kind="Kinetics", settings={})


def test_the_mark_of_a_written_table_is_not_seen_by_its_reader(traces, tmp_path):
    nr.io.write_netcdf(traces, tmp_path / "a.nc")
    again = nr.open(tmp_path / "a.nc")
    assert set(again.attrs) == {"source", "format", *traces.attrs}
    nr.io.write_netcdf(again, tmp_path / "a.nc")
    np.testing.assert_array_equal(nr.open(tmp_path / "a.nc")["dff"], traces["dff"])


def test_a_template_is_replaced_by_its_copy_only_where_asked(traces, tmp_path):
    nr.io.write_nwb(traces, tmp_path / "a.nwb", session=SESSION)
    import h5py

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
