"""Recordings that other people made, opened as a user would, against what is known of them."""

import json
from pathlib import Path

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import UnitError
from neurornn.data import restrict, spike_trains

pytestmark = pytest.mark.realdata

INDICATORS = {
    "DS01": "OGB-1",
    "DS03": "Cal-520",
    "DS08": "GCaMP6f",
    "DS09": "GCaMP6f",
    "DS11": "GCaMP6f",
    "DS14": "GCaMP6s",
    "DS21": "jRGECO1a",
    "DS30": "jGCaMP8f",
    "DS32": "jGCaMP8s",
    "X": "GCaMP6f",
}


def test_every_ground_truth_cell_opens_with_its_trials_rate_and_spikes(realdata):
    manifest = json.loads(realdata("calcium/MANIFEST.json").read_text())
    assert len(manifest) == 71
    for row in manifest:
        path = realdata(f"calcium/{row['file']}")
        recording = nr.open(path)
        with np.load(path) as raw:
            values = np.concatenate([raw[f"dff_{k}"] for k in range(row["trials"])])
            spikes = [raw[f"spikes_s_{k}"] for k in range(row["trials"])]
        name = path.name
        assert recording["dff"].sizes == {"time": row["frames"], "unit": 1}, name
        assert recording.sizes["interval"] == row["trials"], name
        assert recording.sizes["spike"] == row["spikes"], name
        np.testing.assert_array_equal(recording["dff"].values[:, 0], values)
        # The manifest takes its rate from the median step of stamps rounded to clock ticks, and
        # gives that of the first trial: within 1 % of the rate over the whole recording.
        rate = recording["dff"].attrs["sampling_rate"]
        assert rate == pytest.approx(row["fs"], rel=0.01), name
        assert recording["dff"].attrs["indicator"] == INDICATORS[row["dataset"].split("-")[0]], (
            name
        )
        # Back on its own clock, each trial has exactly the spikes of the file.
        times = spike_trains(recording)[0]
        place = 0
        for k, own in enumerate(spikes):
            back = times[place : place + len(own)] - float(recording["clock_offset"][k])
            # The clock of a recording reaches some thousand s; float64 keeps 1e-12 of that.
            np.testing.assert_allclose(back, np.sort(own), atol=1e-9, err_msg=name)
            place += len(own)
        assert np.all(np.diff(recording["time"]) > 0), name


@pytest.mark.parametrize(
    ("original", "converted", "trials"),
    [
        (
            "CAttached_Chen2013_GC6f_cell1C_full_mini.mat",
            "DS09-GCaMP6f-m-V1/CAttached_Chen2013_GC6f_cell1C_full.npz",
            1,
        ),
        (
            "CAttached_jGCaMP8s_472181_1_mini.mat",
            "DS32-GCaMP8s-m-V1/CAttached_jGCaMP8s_472181_1.npz",
            7,
        ),
    ],
)
def test_the_original_and_the_converted_cell_agree(realdata, original, converted, trials):
    first = nr.open(realdata(f"calcium/ground_truth_mat/{original}"))
    second = nr.open(realdata(f"calcium/ground_truth/{converted}"))
    assert first.sizes["interval"] == trials
    # Trials of one file that the other leaves out come last, so that the shorter clock decides.
    n = second.sizes["interval"]
    for k in range(n):
        pieces = [
            restrict(r, float(r["start"][k]), float(r["stop"][k])).copy() for r in (first, second)
        ]
        offsets = [float(r["clock_offset"][k]) for r in (first, second)]
        # npz holds dF/F in float32.
        np.testing.assert_allclose(pieces[0]["dff"], pieces[1]["dff"], rtol=1e-6, atol=1e-6)
        times = [p["time"].values - o for p, o in zip(pieces, offsets, strict=True)]
        # npz keeps the first and last stamp; those between are known to a fifth of a frame.
        rate = second["dff"].attrs["sampling_rate"]
        np.testing.assert_allclose(times[0], times[1], atol=0.2 / rate)
        spikes = [p["spike_times"].values - o for p, o in zip(pieces, offsets, strict=True)]
        assert len(spikes[0]) > 0
        np.testing.assert_allclose(spikes[0], spikes[1], atol=1e-9)
    assert first["dff"].attrs["indicator"] == second["dff"].attrs["indicator"]
    assert first["dff"].attrs["sampling_rate"] == pytest.approx(
        second["dff"].attrs["sampling_rate"], rel=1e-3
    )


def test_allen_population(realdata):
    path = realdata("calcium/allen_population/Experiment_552195520_excerpt.mat")
    with pytest.raises(UnitError, match="6001 frames of 74 units"):
        nr.open(path)
    recording = nr.open(path, sampling_rate=30.0)
    assert recording["dff"].dims == ("time", "unit")
    assert recording["dff"].sizes == {"time": 6001, "unit": 74}
    assert recording["dff"].attrs["sampling_rate"] == 30.0
    # A calcium trace is smooth along time and not across cells.
    values = recording["dff"].values
    assert np.diff(values, axis=0).std() < 0.8 * np.diff(values, axis=1).std()


def test_zebrafish_tectum(realdata):
    path = realdata("calcium/zebrafish_tectum/zf_20170215-f3.mat")
    with pytest.raises(UnitError, match=r"5660 frames of 75 units.*sampling_rate="):
        nr.open(path)
    recording = nr.open(path, sampling_rate=2.0)
    assert recording["fluorescence"].sizes == {"time": 5660, "unit": 75}
    assert recording["fluorescence"]["x"].sizes == {"unit": 75}


@pytest.mark.parametrize(
    ("path", "units", "spikes"),
    [
        ("spikes/nwb_zheng_human/sub-4_ses-4_ecephys+image.nwb", 35, 214278),
        ("spikes/nwb_phy_a8604/A8604-211122.nwb", 3, 21354),
    ],
)
def test_nwb_units_against_the_file_itself(realdata, path, units, spikes):
    import h5py

    source = realdata(path)
    recording = nr.open(source)
    assert recording.sizes["unit"] == units
    assert recording.sizes["spike"] == spikes
    assert recording.attrs["format"] == "NWB 2.4.0"
    with h5py.File(source) as file:
        stops = file["units/spike_times_index"][:]
        flat = file["units/spike_times"][:]
        np.testing.assert_array_equal(recording["unit"], file["units/id"][:])
    for own, stored in zip(spike_trains(recording), np.split(flat, stops[:-1]), strict=True):
        np.testing.assert_array_equal(own, np.sort(stored))


def test_nwb_tables_and_metadata(realdata):
    human = nr.open(realdata("spikes/nwb_zheng_human/sub-4_ses-4_ecephys+image.nwb"))
    assert human.attrs["species"] == "Homo sapiens"
    sizes = {
        n: human.sizes[f"{n}_table"] for n in ("encoding", "recognition", "timediscrimination")
    }
    assert sizes == {"encoding": 90, "recognition": 180, "timediscrimination": 180}
    assert np.all(human["recognition_table_stop"] >= human["recognition_table_start"])
    assert "hippocampus" in "".join(human["location"].values)
    mouse = nr.open(realdata("spikes/nwb_phy_a8604/A8604-211122.nwb"))
    assert mouse["epochs_tags"].values.tolist() == ["wake"]
    assert mouse["electrode_group"].values.tolist() == ["group0_psb"] * 3


def test_linear_track_has_spikes_and_position_on_one_clock(realdata):
    recording = nr.open(realdata("spikes/linear_track_ca1"))
    assert recording.sizes["unit"] == 31
    # One frame of the video repeats its time stamp.
    assert recording.sizes["sample"] == 118_965 - 1
    assert recording["position"].attrs["sampling_rate"] == pytest.approx(60.0, rel=0.01)
    times, clock = recording["spike_times"].values, recording["sample_time"].values
    # Tracking starts and stops by hand a moment apart from the spike recording.
    assert times.min() > clock[0] - 0.1
    assert times.max() < clock[-1]
    cut = restrict(recording, clock[0], clock[0] + 60)
    assert 0 < cut.sizes["spike"] < recording.sizes["spike"]
    assert cut.sizes["sample"] == pytest.approx(3600, rel=0.02)


def test_place_cells_show_that_the_clocks_agree(realdata):
    """Spikes say more about where the rat is than the same spikes moved along the clock."""
    recording = nr.open(realdata("spikes/linear_track_ca1"))
    clock = recording["sample_time"].values
    place = recording["position"].sel(axis="x").values
    on_track = clock < clock[0] + 970
    clock, place = clock[on_track], place[on_track]
    edges = np.linspace(place.min(), place.max(), 21)
    bins = np.clip(np.digitize(place, edges) - 1, 0, 19)
    stay = np.bincount(bins, minlength=20) / len(bins)

    def information(shift):
        total = 0.0
        for train in spike_trains(recording):
            train = train[(train > clock[0]) & (train <= clock[-1])]
            if len(train) < 100:
                continue
            moved = clock[0] + (train - clock[0] + shift) % (clock[-1] - clock[0])
            there = bins[np.searchsorted(clock, moved).clip(0, len(bins) - 1)]
            share = np.bincount(there, minlength=20) / len(train)
            seen = (share > 0) & (stay > 0)
            total += float((share[seen] * np.log2(share[seen] / stay[seen])).sum())
        return total

    true = information(0.0)
    assert all(true > information(shift) for shift in (50.0, 150.0, 300.0, 450.0, 600.0))


def test_counts_with_hand_movement(realdata):
    recording = nr.open(realdata("spikes/contdata95_m1/contdata95.mat"), sampling_rate=10.0)
    assert recording["counts"].sizes == {"time": 26719, "unit": 95}
    position, velocity = recording["position"].values, recording["velocity"].values
    inside = np.ones(len(position), dtype=bool)
    inside[np.round(recording["start"].values * 10).astype(int)] = False
    step = (position[1:] - position[:-1])[inside[1:]] * 10
    # Velocity was computed from these positions at this rate; only rounding is left.
    np.testing.assert_allclose(step, velocity[1:][inside[1:]], atol=1e-6)


def test_bacterial_promoters(realdata):
    sequences = nr.open(realdata("sequences/promoters_umarov/Ecoli_prom.fa.gz"))
    assert len(sequences) == 839
    assert {len(s) for s in sequences} == {81}


def test_fetched_by_name(realdata, data_dir):
    realdata("spikes/linear_track_ca1")
    path = nr.fetch("linear_track_ca1")
    assert isinstance(path, Path)
    assert path == data_dir / "spikes" / "linear_track_ca1"
