import gzip
import json
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, FileFormatError, KindError, ThreePartError
from neurornn.data import from_traces
from neurornn.io import read_hdf5, read_npz, write_netcdf
from neurornn.io.limits import check_dataset, check_hdf5, datasets, in_words, reading_limits

N = 60


@pytest.fixture
def dff(rng):
    return rng.random((N, 2))


# ------------------------------------------------------------------ sizes


def make_npz(path, dff):
    np.savez_compressed(path, dff=dff, fs=20.0)


def make_csv_gz(path, dff):
    text = "# fs: 20\na,b\n" + "".join(f"{x:.9f},{y:.9f}\n" for x, y in dff)
    path.write_bytes(gzip.compress(text.encode()))


def make_mat(path, dff):
    scipy.io.savemat(path, {"dff": dff, "fs": 20.0}, do_compression=True)


def make_mat_plain(path, dff):
    scipy.io.savemat(path, {"dff": dff, "fs": 20.0})


def make_mat_4(path, dff):
    scipy.io.savemat(path, {"dff": dff, "fs": 20.0}, format="4")


def make_h5(path, dff):
    with h5py.File(path, "w") as file:
        file.create_dataset("dff", data=dff, compression="gzip")
        file["fs"] = 20.0


def make_nc(path, dff):
    write_netcdf(from_traces(dff, sampling_rate=20.0), path)


def make_zarr(path, dff):
    from_traces(dff, sampling_rate=20.0).to_zarr(path, consolidated=False)


def make_npy(path, dff):
    np.save(path, dff)


MAKERS = {
    "a.npz": make_npz,
    "a.csv.gz": make_csv_gz,
    "a.mat": make_mat,
    "b.mat": make_mat_plain,
    "c.mat": make_mat_4,
    "a.h5": make_h5,
    "a.nc": make_nc,
    "a.zarr": make_zarr,
    "a.npy": make_npy,
}


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_what_is_larger_than_the_limit_is_asked_about(tmp_path, dff, name):
    path = tmp_path / name
    MAKERS[name](path, dff)
    rate = {"sampling_rate": 20.0} if name == "a.npy" else {}
    with pytest.raises(FileFormatError, match=rf"{name}.*limit.*max_size=\d+"):
        nr.open(path, max_size=500, **rate)
    recording = nr.open(path, max_size=20_000, **rate)
    assert recording.sizes["time"] == N


@pytest.mark.parametrize("bad", [0, -1, np.nan])
def test_a_limit_that_is_none(tmp_path, dff, bad):
    make_npz(tmp_path / "a.npz", dff)
    with pytest.raises(DataError, match="max_size"):
        nr.open(tmp_path / "a.npz", max_size=bad)
    with pytest.raises(KindError, match="max_size"):
        nr.open(tmp_path / "a.npz", max_size="8 GiB")


def test_links_are_followed_or_not(tmp_path, dff):
    make_npz(tmp_path / "a.npz", dff)
    with pytest.raises(KindError, match="follow_links is 'no'"):
        nr.open(tmp_path / "a.npz", follow_links="no")


def test_bytes_behind_an_array(tmp_path, dff):
    make_npy(tmp_path / "a.npy", dff)
    with (tmp_path / "a.npy").open("ab") as file:
        file.write(b"more")
    with pytest.raises(FileFormatError, match="960 bytes, and 964 bytes are there"):
        nr.open(tmp_path / "a.npy", sampling_rate=20)


def test_the_limit_holds_inside_and_not_after(tmp_path, dff):
    make_npz(tmp_path / "a.npz", dff)
    with reading_limits(max_size=500), pytest.raises(FileFormatError, match="limit"):
        read_npz(tmp_path / "a.npz")
    assert read_npz(tmp_path / "a.npz").sizes["time"] == N


def npy_header(shape, dtype="<f8"):
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape})
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("shape", [(2**40, 2**10), (N + 1, 2), (10**6, 10**6)])
def test_an_array_that_declares_more_than_its_file_holds(tmp_path, dff, shape):
    (tmp_path / "a.npy").write_bytes(npy_header(shape) + dff.tobytes())
    with pytest.raises(FileFormatError, match=r"a\.npy declares float64 .* are there"):
        nr.open(tmp_path / "a.npy", sampling_rate=20)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("dff.npy", npy_header(shape) + dff.tobytes())
    with pytest.raises(FileFormatError, match=r"dff\.npy of a\.npz declares float64"):
        nr.open(tmp_path / "a.npz", sampling_rate=20)


def test_a_data_set_that_was_never_written(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("dff", (10**9, 100), "f8", chunks=(1000, 100))
        file["fs"] = 20.0
    with pytest.raises(FileFormatError, match=r"dff \(1000000000, 100\) of a\.h5 would take 745"):
        nr.open(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file.create_dataset("dff", (10**9, 100), "f8", chunks=(1000, 100))
        file.attrs["_NCProperties"] = "version=2"
    with pytest.raises(FileFormatError, match=r"Everything of a\.nc would take"):
        nr.open(tmp_path / "a.nc")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("estimates/F_dff", (100, 10**9), "f8", chunks=(100, 1000))
    with pytest.raises(FileFormatError, match=r"F_dff .*a\.hdf5 would take"):
        nr.open(tmp_path / "a.hdf5", sampling_rate=20)
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        for name in ("C", "unit_id", "frame"):
            file.create_dataset(name, (10**9, 100), "f8", chunks=(1000, 100))
    with pytest.raises(FileFormatError, match=r"C .*b\.hdf5 would take"):
        nr.open(tmp_path / "b.hdf5", sampling_rate=20)


def test_a_matlab_variable_that_declares_much(tmp_path, dff):
    make_mat_plain(tmp_path / "a.mat", dff)
    content = (tmp_path / "a.mat").read_bytes()
    place = content.index(np.array([N, 2], "<i4").tobytes())
    huge = np.array([2**30, 2**20], "<i4").tobytes()
    (tmp_path / "a.mat").write_bytes(content[:place] + huge + content[place + 8 :])
    with pytest.raises(FileFormatError, match=r"dff \(1073741824, 1048576\) of a\.mat would take"):
        nr.open(tmp_path / "a.mat")


@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_that_declares_much(tmp_path, dff, version):
    table = from_traces(dff, sampling_rate=20.0)
    table.to_zarr(tmp_path / "a.zarr", zarr_format=version, consolidated=False)
    path = tmp_path / "a.zarr" / "dff" / ("zarr.json" if version == 3 else ".zarray")
    about = json.loads(path.read_text())
    huge = [10**6, 10**6]
    if version == 3:
        about["chunk_grid"]["configuration"]["chunk_shape"] = huge
    else:
        about["chunks"] = huge
    path.write_text(json.dumps(about))
    with pytest.raises(FileFormatError, match=r"Everything of a\.zarr would take 7450"):
        nr.open(tmp_path / "a.zarr")


def test_values_on_disk_are_not_counted(tmp_path, dff):
    make_nc(tmp_path / "a.nc", dff)
    lazy = nr.open(tmp_path / "a.nc", chunks={"time": 10}, max_size=500)
    assert lazy.sizes["time"] == N
    lazy.close()


def test_sizes_in_words():
    assert [in_words(n) for n in (7, 2048, 3 * 2**20, 1.5 * 2**30)] == [
        "7 bytes",
        "2.0 KiB",
        "3.0 MiB",
        "1.5 GiB",
    ]


# ------------------------------------------------------------------ links


def outside(tmp_path, dff):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    with h5py.File(folder / "b.h5", "w") as file:
        file["dff"] = dff
    return folder / "b.h5"


def linked(path, target, kind, dff):
    with h5py.File(path, "w") as file:
        file["fs"] = 20.0
        if kind == "link":
            file["dff"] = h5py.ExternalLink(target, "dff")
        elif kind == "deep link":
            file["results/one/dff"] = h5py.ExternalLink(target, "dff")
        elif kind == "raw":
            target.with_suffix(".raw").write_bytes(dff.tobytes())
            file.create_dataset(
                "dff", dff.shape, "f8", external=[(str(target.with_suffix(".raw")), 0, dff.nbytes)]
            )
        else:
            layout = h5py.VirtualLayout(dff.shape, "f8")
            layout[:] = h5py.VirtualSource(target, "dff", dff.shape)
            file.create_virtual_dataset("dff", layout)


@pytest.mark.parametrize("kind", ["link", "deep link", "raw", "virtual"])
def test_links_out_of_an_hdf5_file(tmp_path, dff, kind):
    target = outside(tmp_path, dff)
    linked(tmp_path / "a.h5", target, kind, dff)
    with pytest.raises(
        FileFormatError, match=r"dff of a\.h5 .* link to .*elsewhere.*follow_links=True"
    ):
        nr.open(tmp_path / "a.h5")
    with pytest.raises(FileFormatError, match="follow_links=True"):
        read_hdf5(tmp_path / "a.h5")
    recording = nr.open(tmp_path / "a.h5", follow_links=True)
    np.testing.assert_array_equal(recording["dff"], dff)


@pytest.mark.parametrize("name", ["a.nc", "a.mat", "caiman.hdf5", "minian.nc", "a.nwb"])
def test_every_reader_of_hdf5_looks_for_links(tmp_path, dff, name):
    target = outside(tmp_path, dff)
    with h5py.File(tmp_path / name, "w", userblock_size=512 if name == "a.mat" else 0) as file:
        file["x/y"] = h5py.ExternalLink(target, "dff")
        if name == "a.nc":
            file.attrs["_NCProperties"] = "version=2"
        if name == "a.nwb":
            file.attrs["nwb_version"] = "2.6.0"
        if name == "caiman.hdf5":
            file["estimates/F_dff"] = dff.T
        if name == "minian.nc":
            file["C"], file["unit_id"], file["frame"] = dff.T, np.arange(2), np.arange(N)
    if name == "a.mat":
        with (tmp_path / name).open("r+b") as file:
            file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    with pytest.raises(FileFormatError, match=r"x/y of .* a link to .*elsewhere"):
        nr.open(tmp_path / name, **({} if name in ("a.nc", "a.nwb") else {"sampling_rate": 20}))


def test_links_inside_a_file_are_no_links_out_of_it(tmp_path, dff):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["results/dff"], file["fs"] = dff, 20.0
        file["again"] = h5py.SoftLink("/results/dff")
        file["lost"] = h5py.SoftLink("/nowhere")
        file["results/up"] = file["/"]
        layout = h5py.VirtualLayout((N, 2), "f8")
        layout[:] = h5py.VirtualSource(".", "results/dff", (N, 2))
        file.create_virtual_dataset("results/copy", layout)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        check_hdf5(file, "a.h5")
        assert sorted(dict(datasets(file))) == ["fs", "results/copy", "results/dff"]
        check_dataset(file["results/dff"], "a.h5")
        del file["results/copy"]
    np.testing.assert_array_equal(read_hdf5(tmp_path / "a.h5")["dff"], dff)


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["dff"] = h5py.ExternalLink("gone.h5", "dff")
    with pytest.raises(FileFormatError, match=r"dff of a\.h5 .* link to gone\.h5"):
        nr.open(tmp_path / "a.h5")
    with pytest.raises(FileFormatError, match=r"a\.h5"):
        nr.open(tmp_path / "a.h5", follow_links=True)


def test_links_out_of_a_zarr_folder(tmp_path, dff):
    make_zarr(tmp_path / "a.zarr", dff)
    make_zarr(tmp_path / "b.zarr", dff + 1)
    store = tmp_path / "a.zarr"
    chunk = next(p for p in sorted((store / "dff").rglob("*")) if p.name == "0")
    while chunk.is_dir():
        chunk = chunk / "0"
    other = tmp_path / "b.zarr" / chunk.relative_to(store)
    chunk.unlink()
    chunk.symlink_to(other)
    with pytest.raises(FileFormatError, match=r"dff.* of a\.zarr .* link to .*b\.zarr"):
        nr.open(store)
    recording = nr.open(store, follow_links=True)
    np.testing.assert_array_equal(recording["dff"], dff + 1)
    # A link to another file of the same folder stays inside.
    chunk.unlink()
    other.rename(chunk.with_name("kept"))
    chunk.symlink_to(chunk.with_name("kept"))
    np.testing.assert_array_equal(nr.open(store)["dff"], dff + 1)


@pytest.mark.parametrize("what", ["F.npy", "ops.npy", "plane0"])
def test_links_out_of_a_suite2p_folder(tmp_path, rng, what):
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    plane = here / "suite2p" / "plane0"
    real = elsewhere if what == "plane0" else plane
    real.mkdir(parents=True)
    for name in ("F.npy", "Fneu.npy"):
        np.save(real / name, rng.random((3, N)))
    np.save(real / "iscell.npy", np.ones((3, 2)))
    np.save(real / "ops.npy", {"fs": 20.0}, allow_pickle=True)
    if what == "plane0":
        plane.parent.mkdir(parents=True)
        plane.symlink_to(elsewhere)
    else:
        elsewhere.mkdir()
        (plane / what).rename(elsewhere / what)
        (plane / what).symlink_to(elsewhere / what)
    with pytest.raises(FileFormatError, match=rf"{what} of here .* link to .*elsewhere"):
        nr.open(here)
    assert nr.open(here, follow_links=True)["fluorescence"].sizes["unit"] == 3


def test_links_out_of_a_minian_folder(tmp_path, dff):
    axes = {"unit_id": [0, 1], "frame": np.arange(N)}
    table = xr.Dataset({"C": (("unit_id", "frame"), dff.T)}, coords=axes)
    table.to_zarr(tmp_path / "elsewhere" / "C.zarr", zarr_format=2)
    (tmp_path / "minian").mkdir()
    (tmp_path / "minian" / "C.zarr").symlink_to(tmp_path / "elsewhere" / "C.zarr")
    with pytest.raises(FileFormatError, match=r"C\.zarr of minian .* link to .*elsewhere"):
        nr.open(tmp_path / "minian", sampling_rate=20)
    recording = nr.open(tmp_path / "minian", sampling_rate=20, follow_links=True)
    np.testing.assert_array_equal(recording["fluorescence"], dff)


def test_links_out_of_a_trodes_folder(tmp_path):
    (tmp_path / "run").mkdir()
    head = "<Start settings>\nclockrate: 30000\nFields: <time uint32><xloc uint16><yloc uint16>\n"
    frames = np.zeros(9, [("time", "<u4"), ("x", "<u2"), ("y", "<u2")])
    frames["time"] = 500 * np.arange(9)
    content = f"{head}<End settings>\n".encode() + frames.tobytes()
    (tmp_path / "run" / "a.videoPositionTracking").write_bytes(content)
    scipy.io.savemat(tmp_path / "spikes.mat", {"spike_times": [0.01, 0.02], "unit": [1, 1]})
    (tmp_path / "run" / "spikes.mat").symlink_to(tmp_path / "spikes.mat")
    with pytest.raises(FileFormatError, match=r"spikes\.mat of run .* link to "):
        nr.open(tmp_path / "run")
    assert nr.open(tmp_path / "run", follow_links=True).sizes["spike"] == 2


def test_links_in_a_circle(tmp_path, dff):
    make_zarr(tmp_path / "a.zarr", dff)
    (tmp_path / "a.zarr" / "one").symlink_to(tmp_path / "a.zarr" / "two")
    (tmp_path / "a.zarr" / "two").symlink_to(tmp_path / "a.zarr" / "one")
    with pytest.raises(FileFormatError, match=r"a\.zarr"):
        nr.open(tmp_path / "a.zarr")


def test_a_classic_netcdf_file(tmp_path, dff):
    from_traces(dff, sampling_rate=20.0).to_netcdf(tmp_path / "a.nc", engine="scipy")
    with pytest.raises(FileFormatError, match=r"Everything of a\.nc would take"):
        nr.open(tmp_path / "a.nc", max_size=500)


def test_a_folder_that_is_a_link_itself_was_meant(tmp_path, dff):
    make_zarr(tmp_path / "a.zarr", dff)
    (tmp_path / "b.zarr").symlink_to(tmp_path / "a.zarr")
    np.testing.assert_array_equal(nr.open(tmp_path / "b.zarr")["dff"], dff)


# ------------------------------------------------------------------ memory

# The peak of getrusage starts at the size of the process that was forked, this one.
_PEAK = """
import re, sys
import neurornn as nr
nr.open(sys.argv[1], sampling_rate=30.0)
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    "zipped", [pytest.param(False, marks=pytest.mark.slow), pytest.param(True)]
)
def test_a_large_table_is_read_in_parts(tmp_path, rng, zipped):
    block = "".join(
        ",".join(f"{x:.6f}" for x in row) + "\n" for row in rng.normal(size=(2000, 20))
    ).encode()
    path = tmp_path / ("a.csv.gz" if zipped else "a.csv")
    opener = gzip.open if zipped else open
    with opener(path, "wb", **({"compresslevel": 1} if zipped else {})) as file:
        file.writelines([block] * int(100e6 / len(block)))
    peak = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True
    )
    # 100 MB of text hold 85 MiB of numbers; the imports take 130 MiB.
    assert float(peak.stdout) < 400


def test_running_out_of_memory_is_explained(tmp_path, dff, monkeypatch):
    make_npz(tmp_path / "a.npz", dff)

    def fail(*args, **kwargs):
        raise MemoryError("Unable to allocate 8 TiB")

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(ThreePartError, match="more memory than there is: Unable to allocate 8"):
        nr.open(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("kind", "words"), [("virtual", "which is not there"), ("raw", "could not be read")]
)
def test_a_file_that_is_gone_does_not_read_as_silence(tmp_path, dff, kind, words):
    """HDF5 fills in for the missing part; see findings/hdf5_virtual_source_missing.sh."""
    target = outside(tmp_path, dff)
    linked(tmp_path / "a.h5", target, kind, dff)
    gone = target if kind == "virtual" else target.with_suffix(".raw")
    gone.rename(gone.with_name("moved"))
    with pytest.raises(FileFormatError, match=words):
        nr.open(tmp_path / "a.h5", follow_links=True)
