from datetime import UTC, datetime

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    FileFormatError,
    FileMissingError,
    FileWriteError,
    KindError,
    NameUnknownError,
)
from neurornn.io import write_nwb

pynwb = pytest.importorskip("pynwb")

SESSION = {"session_start_time": datetime(2024, 1, 31, 12, tzinfo=UTC)}


@pytest.fixture
def traces(rng):
    table = nr.data.from_traces(
        rng.random((90, 3)), sampling_rate=30.0, indicator="GCaMP6f", unit=[4, 7, 9]
    )
    return table


@pytest.fixture
def parameters():
    unit = {"unit": [4, 7, 9], "ci_bound": ["lower", "upper"], "parameter": ["a", "b"]}
    one = {"units": "s", "long_name": "time constant of the decay"}
    return xr.Dataset(
        {
            "tau_decay": ("unit", [0.5, np.nan, 0.7], one),
            "tau_decay_ci": (("unit", "ci_bound"), np.arange(6.0).reshape(3, 2)),
            "status": ("unit", ["ok", "no_data", "ok"]),
            "covariance": (("unit", "parameter", "other"), np.zeros((3, 2, 2))),
            "flag": ("unit", [True, False, True]),
            "level": 0.95,
        },
        coords=unit,
        attrs={"confidence_level": 0.95},
    )


@pytest.fixture
def events():
    return xr.Dataset(
        {
            "event_time": ("event", [0.5, 1.0, 1.5], {"units": "s"}),
            "event_size": ("event", [1.0, 2.0, 3.0]),
            "event_unit": ("event", [0, 2, 2]),
        },
        coords={"unit": [4, 7, 9]},
    )


def contents(path):
    """Give the tables of the module as data frames, after the file has passed the schema."""
    assert pynwb.validate(path=str(path)) == []
    with pynwb.NWBHDF5IO(str(path), "r", load_namespaces=True) as file:
        room = file.read().processing["neurornn"]
        held = room.data_interfaces
        columns = {
            name: {c: t[c].description for c in t.colnames}
            for name, t in held.items()
            if name in ("parameters", "events")
        }
        return {name: held[name].to_dataframe() for name in columns}, columns


def test_a_new_file(tmp_path, traces, parameters, events):
    write_nwb(traces, tmp_path / "a.nwb", parameters=parameters, events=events, session=SESSION)
    tables, columns = contents(tmp_path / "a.nwb")
    fitted = tables["parameters"]
    assert fitted["unit"].tolist() == [4, 7, 9]
    np.testing.assert_array_equal(fitted["tau_decay"], [0.5, np.nan, 0.7])
    assert fitted["tau_decay_ci_lower"].tolist() == [0, 2, 4]
    assert fitted["tau_decay_ci_upper"].tolist() == [1, 3, 5]
    assert fitted["status"].tolist() == ["ok", "no_data", "ok"]
    assert fitted["flag"].tolist() == [True, False, True]
    assert columns["parameters"]["tau_decay"] == "time constant of the decay, in s"
    assert "interval of time constant" in columns["parameters"]["tau_decay_ci_lower"]
    assert "axes: parameter (a, b)" in columns["parameters"]["covariance"]
    assert tables["events"]["unit"].tolist() == [4, 9, 9]
    assert tables["events"]["time"].tolist() == [0.5, 1.0, 1.5]
    recording = nr.open(tmp_path / "a.nwb")
    np.testing.assert_array_equal(recording["dff"], traces["dff"])
    np.testing.assert_allclose(recording["time"], traces["time"])
    assert recording["unit"].values.tolist() == [4, 7, 9]
    assert recording["dff"].attrs["indicator"] == "GCaMP6f"
    assert recording["dff"].attrs["sampling_rate"] == 30
    # What was read goes back without another word about the session.
    write_nwb(recording, tmp_path / "b.nwb")
    np.testing.assert_array_equal(nr.open(tmp_path / "b.nwb")["dff"], traces["dff"])


def test_a_fit(tmp_path):
    recording = nr.simulate.simulate_calcium(2, 60.0, rng=0)
    fit = nr.calcium.Kinetics().fit(recording["dff"])
    write_nwb(
        fit.denoised(),
        tmp_path / "a.nwb",
        parameters=fit.parameters_,
        events=fit.events_,
        session={**SESSION, "subject": {"subject_id": "m1", "species": "Mus musculus"}},
    )
    tables, columns = contents(tmp_path / "a.nwb")
    np.testing.assert_array_equal(tables["parameters"]["tau_decay"], fit.parameters_["tau_decay"])
    np.testing.assert_array_equal(tables["events"]["time"], fit.events_["event_time"])
    assert columns["parameters"]["tau_decay"].endswith("in s")
    back = nr.open(tmp_path / "a.nwb")
    np.testing.assert_allclose(back["dff"], fit.denoised())
    assert back.attrs["subject"] == "m1"


def test_gaps_and_labels_of_text(tmp_path, rng):
    time = np.concatenate([np.arange(1, 50), np.arange(200, 250)]) / 20
    made = nr.data.from_traces(
        rng.random((99, 2)), time=time, name="fluorescence", value_unit="a.u.", unit=["a", "b"]
    )
    write_nwb(made, tmp_path / "a.nwb", session=SESSION)
    assert pynwb.validate(path=str(tmp_path / "a.nwb")) == []
    recording = nr.open(tmp_path / "a.nwb")
    np.testing.assert_allclose(recording["time"], time)
    np.testing.assert_array_equal(recording["fluorescence"], made["fluorescence"])
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as file:
        table = file.read().processing["neurornn"]["ImageSegmentation"]["units"]
        assert list(table["label"].data[:]) == ["a", "b"]


def test_several_traces_and_a_rate(tmp_path, traces):
    traces["rate"] = (("time", "unit"), traces["dff"].values, {"units": "Hz"})
    traces["more_dff"] = traces["dff"] * 2
    traces["raw"] = (("time", "unit"), traces["dff"].values, {"units": "a.u."})
    write_nwb(traces, tmp_path / "a.nwb", session=SESSION)
    assert pynwb.validate(path=str(tmp_path / "a.nwb")) == []
    with pytest.raises(NameUnknownError, match="neurornn/DfOverF/more_dff"):
        nr.open(tmp_path / "a.nwb")
    np.testing.assert_array_equal(
        nr.open(tmp_path / "a.nwb", series="raw")["fluorescence"], traces["raw"]
    )


def test_tables_without_traces_and_without_events(tmp_path, parameters, events):
    none = events.isel(event=slice(0, 0))
    write_nwb(None, tmp_path / "a.nwb", parameters=parameters, events=none, session=SESSION)
    tables, _ = contents(tmp_path / "a.nwb")
    assert len(tables["events"]) == 0
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as file:
        assert "level: 0.95" in file.read().processing["neurornn"]["parameters"].description


@pytest.fixture
def template(tmp_path, rng):
    """A recording with two planes, whose ROIs have different ids, and a one-photon movie."""
    content = pynwb.NWBFile(session_description="mine", identifier="x", **SESSION)
    device = content.create_device(name="scope", description="x")
    room = content.create_processing_module(name="ophys", description="x")
    masks = pynwb.ophys.ImageSegmentation()
    room.add(masks)
    held = pynwb.ophys.Fluorescence()
    room.add(held)
    for k in range(2):
        plane = content.create_imaging_plane(
            name=f"plane{k}",
            description="x",
            device=device,
            optical_channel=pynwb.ophys.OpticalChannel(
                name="green", description="x", emission_lambda=500.0
            ),
            excitation_lambda=900.0,
            imaging_rate=10.0 + k,
            indicator="GCaMP6s",
            location="V1",
        )
        table = masks.create_plane_segmentation(
            name=f"cells{k}", description="x", imaging_plane=plane
        )
        for j in range(3):
            table.add_roi(id=10 * k + j + 4, pixel_mask=[(j, j, 1.0)])
        region = table.create_roi_table_region(region=[0, 1, 2], description="all")
        clock = {"rate": 10.0} if k == 0 else {"timestamps": np.arange(1, 81) / 11}
        held.create_roi_response_series(
            name=f"plane{k}", data=rng.random((80, 3)), unit="n.a.", rois=region, **clock
        )
    content.add_acquisition(
        pynwb.ophys.OnePhotonSeries(
            name="movie", data=np.zeros((3, 4, 5)), unit="n.a.", rate=1.0, imaging_plane=plane
        )
    )
    path = tmp_path / "template.nwb"
    with pynwb.NWBHDF5IO(str(path), "w") as file:
        file.write(content)
    return path


def test_several_planes_ask_which_and_the_movie_is_left(template):
    with pytest.raises(NameUnknownError, match=r"plane0 \(80, 3\), ophys/Fluorescence/plane1"):
        nr.open(template)
    recording = nr.open(template, series="plane1")
    assert recording["unit"].values.tolist() == [14, 15, 16]
    assert recording["fluorescence"].attrs["sampling_rate"] == pytest.approx(11.0)
    assert recording.attrs["not_read"] == "movie, ophys/Fluorescence/plane0"


def test_beside_the_recording(tmp_path, template, parameters, events):
    before = template.read_bytes()
    recording = nr.open(template, series="plane1")
    result = recording["fluorescence"].rename("denoised") * 2
    result.attrs = recording["fluorescence"].attrs
    same = {"unit": recording["unit"].values}
    write_nwb(
        result,
        tmp_path / "out.nwb",
        parameters=parameters.assign_coords(same),
        events=events.assign_coords(same),
        template=template,
    )
    assert template.read_bytes() == before
    tables, _ = contents(tmp_path / "out.nwb")
    assert tables["parameters"]["unit"].tolist() == [14, 15, 16]
    original = nr.open(tmp_path / "out.nwb", series="plane1")
    np.testing.assert_array_equal(original["fluorescence"], recording["fluorescence"])
    back = nr.open(tmp_path / "out.nwb", series="denoised")
    assert back["unit"].values.tolist() == [14, 15, 16]
    np.testing.assert_allclose(back["time"], recording["time"])
    with pynwb.NWBHDF5IO(str(tmp_path / "out.nwb"), "r") as file:
        room = file.read().processing["neurornn"]
        container = next(
            c for n, c in room.data_interfaces.items() if n in ("DfOverF", "Fluorescence")
        )
        assert container["denoised"].rois.table.name == "cells1"
    with pytest.raises(NameUnknownError, match="has a processing module 'neurornn' already"):
        write_nwb(result, tmp_path / "x.nwb", template=tmp_path / "out.nwb")
    assert not (tmp_path / "x.nwb").exists()
    # In place: the copy replaces the file that it came from.
    write_nwb(result, tmp_path / "out.nwb", template=tmp_path / "out.nwb", module="second")
    assert pynwb.validate(path=str(tmp_path / "out.nwb")) == []


@pytest.mark.slow
def test_the_roi_table_of_a_template(tmp_path, template, rng):
    part = nr.data.from_traces(rng.random((50, 2)), sampling_rate=10.0, unit=[16, 14])
    write_nwb(part, tmp_path / "a.nwb", template=template, rois="cells1")
    assert nr.open(tmp_path / "a.nwb", series="dff")["unit"].values.tolist() == [16, 14]
    with pytest.raises(DataError, match="cells0 has no ids"):
        write_nwb(part, tmp_path / "b.nwb", template=template, rois="cells0")
    with pytest.raises(NameUnknownError, match="Did you mean 'cells"):
        write_nwb(part, tmp_path / "b.nwb", template=template, rois="cell1")
    other = part.assign_coords(unit=[50, 51])
    write_nwb(other, tmp_path / "c.nwb", template=template)
    assert pynwb.validate(path=str(tmp_path / "c.nwb")) == []
    assert nr.open(tmp_path / "c.nwb", series="dff")["unit"].values.tolist() == [50, 51]


def test_what_is_refused(tmp_path, traces, parameters, events, template):
    path = tmp_path / "a.nwb"
    with pytest.raises(DataError, match="NWB needs the date and time"):
        write_nwb(traces, path)
    with pytest.raises(DataError, match="'yesterday'"):
        write_nwb(traces, path, session={"session_start_time": "yesterday"})
    with pytest.raises(KindError, match="refused by NWB"):
        write_nwb(traces, path, session={**SESSION, "colour": 3})
    with pytest.raises(DataError, match="Both template= and session="):
        write_nwb(traces, path, template=template, session=SESSION)
    with pytest.raises(DataError, match="Neither traces"):
        write_nwb(None, path, session=SESSION)
    with pytest.raises(KindError, match="traces is a list"):
        write_nwb([1], path, session=SESSION)
    with pytest.raises(DataError, match="no coordinate time or unit"):
        write_nwb(traces.drop_vars("time"), path, session=SESSION)
    with pytest.raises(DataError, match="Parameters on `unit`"):
        write_nwb(None, path, parameters=xr.Dataset({"x": 1.0}), session=SESSION)
    with pytest.raises(KindError, match="holds complex"):
        write_nwb(None, path, parameters=parameters[["tau_decay"]] * 1j, session=SESSION)
    with pytest.raises(DataError, match="event_time"):
        write_nwb(None, path, events=events.drop_vars("event_unit"), session=SESSION)
    with pytest.raises(DataError, match="reaches 2 for 2 units"):
        write_nwb(None, path, events=events.isel(unit=slice(0, 2)), session=SESSION)
    with pytest.raises(FileMissingError, match=r"There is no file .*none\.nwb"):
        write_nwb(traces, path, template=tmp_path / "none.nwb")
    whole = template.read_bytes()
    template.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=r"template\.nwb"):
        write_nwb(traces, path, template=template)
    (tmp_path / "file").touch()
    with pytest.raises(FileWriteError, match="part of the path is a file"):
        write_nwb(traces, tmp_path / "file" / "a.nwb", session=SESSION)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "template.nwb"]


def test_an_older_file_survives_a_failure(tmp_path, traces, monkeypatch):
    path = tmp_path / "a.nwb"
    write_nwb(traces, path, session=SESSION)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pynwb.NWBHDF5IO, "write", fail)
    with pytest.raises(FileWriteError, match="the disk is full"):
        write_nwb(traces, path, session=SESSION)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.nwb"]


def test_a_disk_that_is_too_full_is_noticed_first(tmp_path, traces, monkeypatch):
    usage = type("Usage", (), {"free": 2**20})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(FileWriteError, match="the disk is full"):
        write_nwb(traces, tmp_path / "a.nwb", session=SESSION)
    assert not list(tmp_path.iterdir())
