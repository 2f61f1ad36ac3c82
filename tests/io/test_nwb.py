import contextlib
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import (
    FileFormatError,
    NameUnknownError,
    ShapeError,
    ThreePartError,
    UnitError,
)
from neurornn.data import spike_trains
from neurornn.io import read_nwb

pynwb = pytest.importorskip("pynwb")

# pynwb and hdmf announce their own coming changes while a file is written, and dislike that a
# region is made before the series it belongs to.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The linked table for DynamicTableRegion:UserWarning",
    "ignore::DeprecationWarning",
    "ignore::PendingDeprecationWarning",
    "ignore::FutureWarning",
)


class Session:
    """Builds an NWB file part by part."""

    def __init__(self, path):
        self.path = path
        self.file = pynwb.NWBFile(
            session_description="a test", identifier="x", session_start_time=datetime.now(UTC)
        )
        self.file.subject = pynwb.file.Subject(subject_id="m1", species="Mus musculus", age="P90D")

    def write(self):
        with pynwb.NWBHDF5IO(str(self.path), "w") as io:
            io.write(self.file)
        return self.path

    def units(self, trains, **columns):
        for name in columns:
            self.file.add_unit_column(name, name)
        for k, train in enumerate(trains):
            self.file.add_unit(
                id=10 + k, spike_times=train, **{n: v[k] for n, v in columns.items()}
            )

    def imaging(self, n_units, containers, indicator="GCaMP6f"):
        device = self.file.create_device(name="scope", description="x")
        plane = self.file.create_imaging_plane(
            name="plane",
            description="x",
            device=device,
            optical_channel=pynwb.ophys.OpticalChannel(
                name="green", description="x", emission_lambda=500.0
            ),
            excitation_lambda=900.0,
            imaging_rate=30.0,
            indicator=indicator,
            location="V1",
        )
        module = self.file.create_processing_module(name="ophys", description="x")
        masks = pynwb.ophys.ImageSegmentation()
        module.add(masks)
        table = masks.create_plane_segmentation(name="cells", description="x", imaging_plane=plane)
        for k in range(n_units):
            table.add_roi(id=100 + k, pixel_mask=[(k, k, 1.0)])
        rois = table.create_roi_table_region(region=list(range(n_units)), description="all")
        for container, name, data, clock in containers:
            series = pynwb.ophys.RoiResponseSeries(
                name=name, data=data, unit="n.a.", rois=rois, **clock
            )
            held = module.data_interfaces.get(container)
            if held is None:
                module.add(getattr(pynwb.ophys, container)(roi_response_series=series))
            else:
                held.add_roi_response_series(series)


@pytest.fixture
def session(tmp_path):
    return Session(tmp_path / "a.nwb")


def test_units_with_their_columns(session):
    session.units(
        [[0.5, 1.5], [2.0], [0.1, 0.2, 3.0]], quality=["good", "mua", "good"], depth=[1.0, 2, 3]
    )
    recording = read_nwb(session.write())
    assert recording["unit"].values.tolist() == [10, 11, 12]
    assert [t.tolist() for t in spike_trains(recording)] == [[0.5, 1.5], [2.0], [0.1, 0.2, 3.0]]
    assert recording["quality"].values.tolist() == ["good", "mua", "good"]
    assert recording["depth"].dims == ("unit",)
    assert (float(recording["start"][0]), float(recording["stop"][0])) == (0.0, 3.0)
    assert recording.attrs["species"] == "Mus musculus"
    assert recording.attrs["format"].startswith("NWB 2.")


def test_units_know_where_their_electrodes_lie(session):
    device = session.file.create_device(name="probe", description="x")
    group = session.file.create_electrode_group(
        name="shank", description="x", location="CA1", device=device
    )
    for k, place in enumerate(["CA1", "CA3", "CA1"]):
        session.file.add_electrode(id=k + 5, location=place, group=group)
    session.file.add_unit(spike_times=[1.0], electrodes=[0, 2])
    session.file.add_unit(spike_times=[1.0], electrodes=[1, 2])
    recording = read_nwb(session.write())
    assert recording["location"].values.tolist() == ["CA1", "CA1/CA3"]
    assert "electrode" not in recording.coords


@pytest.mark.parametrize("container", ["DfOverF", "Fluorescence"])
def test_traces_with_a_rate(session, rng, container):
    data = rng.random((90, 3))
    session.imaging(3, [(container, "soma", data, {"rate": 30.0, "starting_time": 2.0})])
    recording = read_nwb(session.write())
    name = "dff" if container == "DfOverF" else "fluorescence"
    np.testing.assert_array_equal(recording[name], data)
    np.testing.assert_allclose(recording["time"], 2 + np.arange(90) / 30)
    assert recording[name].attrs["sampling_rate"] == 30.0
    assert recording[name].attrs["indicator"] == "GCaMP6f"
    assert recording["unit"].values.tolist() == [100, 101, 102]


def test_traces_with_time_stamps_and_a_gap(session, rng):
    stamps = np.concatenate([np.arange(1, 50), np.arange(200, 250)]) / 20
    session.imaging(2, [("DfOverF", "soma", rng.random((99, 2)), {"timestamps": stamps})])
    recording = read_nwb(session.write())
    np.testing.assert_allclose(recording["time"], stamps)
    assert recording["dff"].attrs["sampling_rate"] == pytest.approx(20.0)


@pytest.mark.filterwarnings("ignore:.*second dimension of data:UserWarning")
def test_traces_stored_unit_by_time_are_turned(session, rng):
    data = rng.random((3, 90))
    session.imaging(3, [("DfOverF", "soma", data, {"rate": 30.0})])
    np.testing.assert_array_equal(read_nwb(session.write())["dff"], data.T)


def test_time_stamps_in_milliseconds_are_refused(session, rng):
    stamps = np.arange(90) * 33.3
    session.imaging(3, [("DfOverF", "soma", rng.random((90, 3)), {"timestamps": stamps})])
    with pytest.raises(UnitError, match="ms or frame numbers"):
        read_nwb(session.write())


def test_several_series_ask_which(session, rng):
    one, two = rng.random((90, 3)), rng.random((90, 3))
    session.imaging(
        3,
        [("DfOverF", "soma", one, {"rate": 30.0}), ("Fluorescence", "raw", two, {"rate": 30.0})],
    )
    path = session.write()
    with pytest.raises(NameUnknownError, match=r"ophys/DfOverF/soma \(90, 3\)") as caught:
        read_nwb(path)
    assert "ophys/Fluorescence/raw" in str(caught.value)
    np.testing.assert_array_equal(read_nwb(path, series="soma")["dff"], one)
    chosen = read_nwb(path, series="ophys/Fluorescence/raw")
    np.testing.assert_array_equal(chosen["fluorescence"], two)
    assert "soma" in chosen.attrs["not_read"]
    with pytest.raises(NameUnknownError, match="Did you mean 'ophys/DfOverF/soma'"):
        read_nwb(path, series="ophys/DfOverF/sma")


def test_sorted_units_and_other_rois_ask_which(session, rng):
    session.units([[0.5], [1.0]])
    session.imaging(3, [("DfOverF", "soma", rng.random((90, 3)), {"rate": 30.0})])
    path = session.write()
    with pytest.raises(NameUnknownError, match=r"units \(2\)"):
        read_nwb(path)
    assert "dff" not in read_nwb(path, series="units")
    assert "spike_times" not in read_nwb(path, series="soma")


def test_trials_are_intervals_and_other_tables_have_their_own_axis(session):
    session.units([[0.5, 9.0]])
    session.file.add_trial_column("choice", "x")
    session.file.add_trial_column("go_time", "x")
    for k in range(3):
        session.file.add_trial(
            start_time=float(k), stop_time=k + 0.5, choice="LR"[k % 2], go_time=k + 0.1
        )
    session.file.add_epoch(0.0, 12.0, ["wake", "first"])
    recording = read_nwb(session.write())
    assert recording["start"].values.tolist() == [0.0, 1.0, 2.0]
    assert recording["stop"].values.tolist() == [0.5, 1.5, 2.5]
    assert recording["choice"].values.tolist() == ["L", "R", "L"]
    assert recording["go_time"].attrs["units"] == "s"
    assert recording["epochs_stop"].values.tolist() == [12.0]
    assert recording["epochs_tags"].values.tolist() == ["wake, first"]


def test_without_trials_the_interval_reaches_the_last_time_range(session):
    session.units([[0.5, 9.0]])
    session.file.add_epoch(0.0, 12.0, ["wake"])
    recording = read_nwb(session.write())
    assert (recording["start"].values.tolist(), recording["stop"].values.tolist()) == (
        [0.0],
        [12.0],
    )


def spatial(name, data, **clock):
    return pynwb.behavior.SpatialSeries(name=name, data=data, reference_frame="x", **clock)


def test_position_has_its_own_clock_and_unit(session, rng):
    session.units([[0.5, 9.0]])
    data = rng.random((50, 2))
    place = pynwb.behavior.Position(
        spatial_series=spatial("SpatialSeries", data, rate=10.0, unit="meters", conversion=0.01)
    )
    session.file.create_processing_module("behavior", "x").add(place)
    recording = read_nwb(session.write())
    np.testing.assert_allclose(recording["position"], data * 0.01)
    assert recording["position"].dims == ("sample", "axis")
    assert recording["position"].attrs["units"] == "m"
    np.testing.assert_allclose(recording["sample_time"], np.arange(50) / 10)


def test_two_clocks_stay_apart(session, rng):
    session.units([[0.5, 9.0]])
    session.file.add_acquisition(spatial("position", rng.random((50, 2)), rate=10.0))
    session.file.add_acquisition(
        pynwb.TimeSeries(name="lick", data=rng.random(70), unit="V", rate=14.0)
    )
    recording = read_nwb(session.write())
    assert recording["position"].dims[0] == "position_sample"
    assert recording["lick"].dims == ("lick_sample",)
    np.testing.assert_allclose(recording["lick_sample_time"][-1], 69 / 14)


def test_raw_voltage_is_named_and_not_read(session, rng):
    session.units([[0.5]])
    session.file.add_acquisition(
        pynwb.image.ImageSeries(name="movie", data=np.zeros((3, 4, 5)), unit="n.a.", rate=1.0)
    )
    recording = read_nwb(session.write())
    assert "movie" not in recording
    assert recording.attrs["not_read"] == "movie"


@pytest.mark.filterwarnings("ignore:Path to Group altered")
def test_damage_is_always_explained(session, rng):
    session.units([[0.5, 1.5], [2.0]], quality=["good", "mua"])
    session.imaging(2, [("DfOverF", "soma", rng.random((90, 2)), {"rate": 30.0})])
    path = session.write()
    whole = path.read_bytes()
    for share in np.linspace(0.0, 0.98, 15):
        path.write_bytes(whole[: 8 + int(share * len(whole))])
        with pytest.raises(FileFormatError, match=r"a\.nwb"):
            nr.open(path)
    for place in rng.integers(2000, len(whole), 20):
        path.write_bytes(whole[:place] + bytes(64) + whole[place + 64 :])
        # The hole may lie in a part that is not read; no other error may come.
        with contextlib.suppress(ThreePartError):
            nr.open(path)


def test_a_file_with_metadata_only(session):
    with pytest.raises(FileFormatError, match="no units, imaging series"):
        read_nwb(session.write())


# ------------------------------------------------------------------ contradictions and damage

SERIES = "processing/ophys/DfOverF/soma"


def imaged(session, rng, **clock):
    session.imaging(2, [("DfOverF", "soma", rng.random((40, 2)), clock)])
    return session.write()


def changed(path, place, value):
    with h5py.File(path, "r+") as file:
        old = file[place]
        kept = dict(old.attrs)
        del file[place]
        file[place] = value
        file[place].attrs.update(kept)
    return path


def test_a_rate_that_is_passed_has_to_agree(session, rng):
    path = imaged(session, rng, rate=20.0)
    assert nr.open(path, sampling_rate=20.1)["dff"].attrs["sampling_rate"] == pytest.approx(20.1)
    with pytest.raises(UnitError, match=r"30 Hz \(sampling_rate=\) and 20 Hz \(rate of ophys"):
        nr.open(path, sampling_rate=30)


@pytest.mark.parametrize("first", [0, 1])
def test_frame_numbers_are_no_time_stamps(session, rng, first):
    path = imaged(session, rng, timestamps=np.arange(40.0) + first)
    with pytest.raises(UnitError, match=rf"timestamps of .* counts {first}, .*plane says 30 Hz"):
        nr.open(path)


@pytest.mark.parametrize("n", [39, 41])
def test_more_or_fewer_stamps_than_frames(session, rng, n):
    path = imaged(session, rng, timestamps=np.arange(40) / 30)
    changed(path, f"{SERIES}/timestamps", np.arange(n) / 30)
    with pytest.raises(ShapeError, match=f"time has {n} stamps and values 40 frames"):
        nr.open(path)


@pytest.mark.parametrize("bad", [0.0, -20.0, np.nan, np.inf, 3e6])
def test_a_rate_that_is_none(session, rng, bad):
    path = imaged(session, rng, rate=20.0)
    with h5py.File(path, "r+") as file:
        file[f"{SERIES}/starting_time"].attrs["rate"] = bad
    with pytest.raises(ThreePartError, match=r"soma (states a rate of|GroupBuilder)"):
        nr.open(path)


@pytest.mark.parametrize("index", [[2, 1, 6], [2, 3, 5], [2, 3, 7], [-2, 3, 6]])
def test_a_damaged_index_of_spikes(session, index):
    session.units([[0.5, 1.5], [2.0], [0.1, 0.2, 3.0]])
    path = changed(session.write(), "units/spike_times_index", np.array(index))
    with pytest.raises(ThreePartError, match=r"spike_times_index|a\.nwb"):
        nr.open(path)


@pytest.mark.parametrize("rows", [[0, 7], [-1, 0], [1, 1]])
def test_rois_that_are_not_in_their_table(session, rng, rows):
    path = changed(imaged(session, rng, rate=20.0), f"{SERIES}/rois", np.array(rows))
    with pytest.raises(ThreePartError, match=r"ROIs of ophys/DfOverF/soma|a\.nwb"):
        nr.open(path)


def test_a_series_that_declares_more_than_the_limit(session, rng):
    path = imaged(session, rng, rate=20.0)
    with pytest.raises(
        FileFormatError, match=r"soma/data \(40, 2\) of a\.nwb would take 640 bytes"
    ):
        nr.open(path, max_size=500)


# ------------------------------------------------------------------ planes, events, what is left


class Planes(Session):
    def plane(self, name, data, **clock):
        device = self.file.devices.get("scope") or self.file.create_device(name="scope")
        plane = self.file.create_imaging_plane(
            name=name,
            description="x",
            device=device,
            optical_channel=pynwb.ophys.OpticalChannel(
                name="green", description="x", emission_lambda=500.0
            ),
            excitation_lambda=900.0,
            indicator="GCaMP6f",
            location="V1",
        )
        module = self.file.processing.get("ophys")
        if module is None:
            module = self.file.create_processing_module(name="ophys", description="x")
            module.add(pynwb.ophys.ImageSegmentation())
            module.add(pynwb.ophys.Fluorescence())
        table = module["ImageSegmentation"].create_plane_segmentation(
            name=f"cells {name}", description="x", imaging_plane=plane
        )
        for k in range(data.shape[1]):
            table.add_roi(pixel_mask=[(k, k, 1.0)])
        rois = table.create_roi_table_region(region=list(range(data.shape[1])), description="all")
        module["Fluorescence"].add_roi_response_series(
            pynwb.ophys.RoiResponseSeries(name=name, data=data, unit="n.a.", rois=rois, **clock)
        )


def test_planes_open_as_one_recording_on_request(tmp_path, rng):
    session = Planes(tmp_path / "a.nwb")
    upper, lower = rng.random((90, 2)), rng.random((89, 3))
    session.plane("upper", upper, rate=10.0)
    session.plane("lower", lower, rate=10.0, starting_time=0.05)
    path = session.write()
    with pytest.raises(NameUnknownError, match='series="all" joins the planes'):
        read_nwb(path)
    recording = read_nwb(path, series="all")
    assert recording["unit"].values.tolist() == [
        "lower/0",
        "lower/1",
        "lower/2",
        "upper/0",
        "upper/1",
    ]
    assert recording["plane"].values.tolist() == ["lower"] * 3 + ["upper"] * 2
    assert recording["roi"].values.tolist() == [0, 1, 2, 0, 1]
    np.testing.assert_array_equal(recording["fluorescence"][:, 3:], upper)
    np.testing.assert_array_equal(recording["fluorescence"][:89, :3], lower)
    # The shorter plane is missing at its end, not 0.
    assert np.isnan(recording["fluorescence"][89, :3]).all()
    np.testing.assert_allclose(recording["plane_offset"], [0, 0, 0, -0.05, -0.05])
    np.testing.assert_allclose(recording["time"], 0.05 + np.arange(90) / 10)
    named = read_nwb(path, series=["upper", "lower"])
    assert named["plane"].values.tolist() == ["upper"] * 2 + ["lower"] * 3


def test_planes_that_do_not_keep_step_are_refused(tmp_path, rng):
    session = Planes(tmp_path / "a.nwb")
    session.plane("upper", rng.random((90, 2)), rate=10.0)
    session.plane("lower", rng.random((90, 3)), rate=10.0, starting_time=3.0)
    session.plane("deep", rng.random((90, 3)), rate=5.0)
    path = session.write()
    with pytest.raises(ShapeError, match=r"up to 3 s apart, 30\.0 frames"):
        read_nwb(path, series=["upper", "lower"])
    with pytest.raises(UnitError, match=r"deep of a\.nwb has 5 Hz and .*upper 10 Hz"):
        read_nwb(path, series=["upper", "deep"])


def test_two_series_of_one_plane_are_no_two_planes(session, rng):
    data = rng.random((90, 3))
    session.imaging(3, [("Fluorescence", k, data, {"rate": 30.0}) for k in ("one", "two")])
    with pytest.raises(NameUnknownError, match="both of plane"):
        read_nwb(session.write(), series="all")


def test_events_and_everything_that_is_left(session, rng):
    session.units([[0.5, 9.0]])
    device = session.file.create_device(name="probe", description="x")
    group = session.file.create_electrode_group(
        name="shank", description="x", location="CA1", device=device
    )
    session.file.add_electrode(location="CA1", group=group)
    region = session.file.create_electrode_table_region(region=[0], description="x")
    session.file.add_acquisition(
        pynwb.ecephys.ElectricalSeries(
            name="raw", data=rng.random((90, 1)), electrodes=region, rate=100.0
        )
    )
    table = pynwb.core.DynamicTable(name="notes", description="x")
    table.add_column("text", "x")
    table.add_row(text="a")
    session.file.create_processing_module("behavior", "x").add(table)
    events = getattr(pynwb.event, "EventsTable", None)
    if events is not None:
        lick = events(name="lick", description="of the spout")
        lick.add_column("side", "x")
        lick.add_event(timestamp=2.5, side="left")
        lick.add_event(timestamp=1.5, side="right")
        session.file.add_events_table(lick)
    recording = read_nwb(session.write())
    assert recording.attrs["not_read"] == "behavior/notes, raw"
    if events is not None:
        assert recording["lick_time"].values.tolist() == [1.5, 2.5]
        assert recording["lick_side"].values.tolist() == ["right", "left"]
        assert recording["lick_time"].attrs["units"] == "s"
        assert nr.data.restrict(recording, 0.0, 2.0).sizes["lick"] == 1


def test_columns_that_are_no_numbers_or_text_are_named(session, rng):
    session.file.add_unit_column("waveform_mean", "x")
    session.file.add_unit(spike_times=[1.0], waveform_mean=rng.random((3, 2)))
    session.file.add_unit(spike_times=[1.0], waveform_mean=rng.random((3, 2)))
    assert read_nwb(session.write()).attrs["not_read"] == "units/waveform_mean"
