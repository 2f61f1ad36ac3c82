import json

import numpy as np
import pytest
import zarr

import neurornn as nr
from neurornn._core.errors import FileFormatError


@pytest.fixture
def phy(tmp_path):
    """A folder as Kilosort 4 leaves it."""
    folder = tmp_path / "kilosort4"
    folder.mkdir()
    np.save(folder / "spike_times.npy", np.array([300, 900, 1500, 3000], np.int64))
    np.save(folder / "spike_clusters.npy", np.array([0, 1, 0, 1], np.int32))
    np.save(folder / "amplitudes.npy", np.ones(4))
    (folder / "params.py").write_text("dat_path = ['a.bin']\nsample_rate = 30000.0\n")
    (folder / "cluster_group.tsv").write_text("cluster_id\tKSLabel\n0\tgood\n1\tmua\n")
    return folder


@pytest.mark.parametrize("name", ["amplitudes.npy", "templates.npy", "spike_clusters_old.npy"])
def test_other_files_of_the_folder_are_no_fluorescence(phy, name):
    np.save(phy / name, np.ones((40, 3)))
    with pytest.raises(FileFormatError, match=r"one file of a folder.*Open the folder: nr\.open"):
        nr.open(phy / name)


def test_half_a_folder_is_refused(tmp_path, phy):
    np.save(tmp_path / "spike_times.npy", np.array([[300], [900], [1500]]))
    with pytest.raises(FileFormatError, match=r"spike_clusters\.npy are missing"):
        nr.open(tmp_path / "spike_times.npy")
    (phy / "spike_times.npy").unlink()
    with pytest.raises(FileFormatError, match=r"spike_times\.npy are missing"):
        nr.open(phy)


def test_a_sorting_of_spikeinterface(tmp_path):
    spikes = np.zeros(
        3, [("sample_index", "<i8"), ("unit_index", "<i8"), ("segment_index", "<i8")]
    )
    np.save(tmp_path / "spikes.npy", spikes)
    with pytest.raises(FileFormatError, match=r"SpikeInterface.*get_unit_spike_train"):
        nr.open(tmp_path / "spikes.npy")
    (tmp_path / "numpysorting_info.json").write_text("{}")
    with pytest.raises(FileFormatError, match="a sorting that SpikeInterface wrote"):
        nr.open(tmp_path)


@pytest.mark.parametrize("version", [2, 3])
def test_an_analyzer_in_zarr_is_told(tmp_path, version):
    root = zarr.open_group(tmp_path / "analyzer.zarr", mode="w", zarr_format=version)
    root.attrs["spikeinterface_info"] = {"version": "0.105", "object": "SortingAnalyzer"}
    root.create_group("sorting").create_array("spikes", data=np.zeros(3))
    with pytest.raises(FileFormatError, match="an analysis of a sorting that SpikeInterface"):
        nr.open(tmp_path / "analyzer.zarr")


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_below_the_root_are_named(tmp_path, version):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    root.create_group("imaging").create_array("dff", data=np.zeros((30, 2)))
    with pytest.raises(FileFormatError, match=r"no array at its root; below lie imaging/dff"):
        nr.open(tmp_path / "a.zarr")


def test_nwb_in_zarr_says_how_to_convert_it(tmp_path):
    folder = tmp_path / "session.nwb.zarr"
    (folder / "units").mkdir(parents=True)
    for place in (folder, folder / "units"):
        (place / ".zgroup").write_text(json.dumps({"zarr_format": 2}))
    (folder / ".zattrs").write_text(
        json.dumps({".specloc": "specifications", "nwb_version": "2.8.0", "namespace": "core"})
    )
    with pytest.raises(FileFormatError, match=r"NWB 2\.8\.0 in Zarr.*NWBZarrIO.*export"):
        nr.open(folder)
