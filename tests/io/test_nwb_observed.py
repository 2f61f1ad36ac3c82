import re
import warnings
from datetime import UTC, datetime

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import UnitWarning
from neurornn.io import read_nwb

pynwb = pytest.importorskip("pynwb")

# pynwb and hdmf announce their own coming changes while a file is written.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::PendingDeprecationWarning", "ignore::FutureWarning"
)


class Session:
    """An NWB file that is written once it holds what a test puts into it."""

    def __init__(self, path):
        self.path = path
        self.file = pynwb.NWBFile(
            session_description="a test", identifier="x", session_start_time=datetime.now(UTC)
        )

    def write(self):
        with pynwb.NWBHDF5IO(str(self.path), "w") as io:
            io.write(self.file)
        return self.path


@pytest.fixture
def session(tmp_path):
    return Session(tmp_path / "a.nwb")


def spikes(rng, *stretches, rate=20.0):
    return np.sort(np.concatenate([rng.uniform(a, b, int(rate * (b - a))) for a, b in stretches]))


@pytest.mark.parametrize("how", ["obs_intervals", "invalid_times"])
def test_what_nobody_observed_is_absent(session, rng, how):
    train = spikes(rng, (0, 90), (130, 300))
    if how == "obs_intervals":
        session.file.add_unit(spike_times=train, obs_intervals=[[0.0, 90.0], [130.0, 300.0]])
    else:
        session.file.add_unit(spike_times=train)
        session.file.add_invalid_time_interval(start_time=90.0, stop_time=130.0)
    recording = read_nwb(session.write())
    counts = nr.data.bin_spikes(recording, 1.0)
    time = counts["time"].values
    assert not ((time > 90.5) & (time < 130.5)).any()
    # The mean over what was seen; the partial bin before the last spike is dropped.
    assert float(counts.mean()) == pytest.approx(20, rel=0.01)
    assert recording.sizes["interval"] == 2


def test_units_that_were_observed_at_other_times(session, rng):
    session.file.add_unit(id=3, spike_times=spikes(rng, (0, 50)), obs_intervals=[[0.0, 50.0]])
    session.file.add_unit(id=7, spike_times=spikes(rng, (30, 100)), obs_intervals=[[30.0, 100.0]])
    session.file.add_invalid_time_interval(start_time=40.3, stop_time=40.6)
    recording = read_nwb(session.write())
    counts = nr.data.bin_spikes(recording, 1.0, time=None)
    unseen = np.isnan(counts)
    time = counts["time"].values
    assert unseen.sel(unit=3).values[time > 50.7].all()
    assert unseen.sel(unit=7).values[time < 30.9].all()
    assert not unseen.sel(unit=7).values[time > 42].any()
    assert np.nanmean(counts, axis=0) == pytest.approx([20, 20], rel=0.1)


def test_trials_outside_of_what_was_observed_are_missing(session, rng):
    session.file.add_unit(spike_times=spikes(rng, (0, 100)), obs_intervals=[[0.0, 100.0]])
    for start in (10.0, 96.0, 150.0):
        session.file.add_trial(start_time=start, stop_time=start + 8)
    recording = read_nwb(session.write())
    assert recording["start"].values.tolist() == [10.0, 96.0, 150.0]
    counts = nr.data.bin_spikes(recording, 1.0)
    assert np.isnan(counts[:, 0]).values.tolist() == [False] * 12 + [True] * 12
    each = nr.data.bin_spikes(recording, 1.0, trials=True, ragged=True)
    assert each["mask"].values.sum(axis=1).tolist() == [8, 4, 0]


def test_spikes_outside_of_their_own_ranges_are_said(session):
    session.file.add_unit(spike_times=[1.0, 2.0, 50.0], obs_intervals=[[0.0, 10.0]])
    with pytest.warns(UnitWarning, match=r"1 of 3 spikes of unit 0.*lie outside its obs_interv"):
        read_nwb(session.write())


def test_a_clock_of_the_rig_starts_with_the_recording(session, rng):
    t0 = 1_692_000_000.0
    session.file.add_unit(spike_times=t0 + spikes(rng, (5, 60)))
    session.file.add_acquisition(
        pynwb.TimeSeries(
            name="speed", data=np.zeros(600), unit="m", timestamps=t0 + np.arange(600) / 10
        )
    )
    recording = read_nwb(session.write())
    assert float(recording["start"][0]) == t0
    assert nr.data.bin_spikes(recording, 0.02).sizes["time"] == pytest.approx(3000, abs=6)


@pytest.mark.parametrize(
    ("factor", "words"),
    [(1e3, "Is one of them in ms"), (3e4, "in samples"), (1e-3, "in ms, or in samples")],
)
@pytest.mark.parametrize("beside", ["trials", "speed"])
def test_spikes_in_another_unit_than_all_else_are_said(session, rng, factor, words, beside):
    session.file.add_unit(spike_times=spikes(rng, (0, 300)) * factor)
    if beside == "trials":
        for k in range(30):
            session.file.add_trial(start_time=10.0 * k, stop_time=10.0 * k + 5)
    else:
        session.file.add_acquisition(
            pynwb.TimeSeries(name="speed", data=np.zeros(3000), unit="m", rate=10.0)
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        read_nwb(session.write())
    texts = [str(w.message) for w in said if w.category is UnitWarning]
    wanted = rf"spike times lie from .* and {beside} from .*{words}"
    assert any(re.search(wanted, text) for text in texts)


def test_spikes_on_another_clock_than_trials_are_said(session, rng):
    session.file.add_unit(spike_times=1.6e9 + spikes(rng, (0, 300)))
    session.file.add_trial(start_time=0.0, stop_time=300.0)
    with pytest.warns(UnitWarning, match="count from another start"):
        read_nwb(session.write())


@pytest.mark.parametrize("factor", [30000, 20000])
def test_samples_alone_are_said(session, rng, factor):
    session.file.add_unit(spike_times=np.round(spikes(rng, (0, 300)) * factor))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        read_nwb(session.write())
    assert any("all whole numbers" in str(w.message) for w in said)


def test_a_clock_that_begins_again_is_said(session, rng):
    session.file.add_unit(spike_times=spikes(rng, (0, 300)))
    twice = np.concatenate([spikes(rng, (0, 300)), spikes(rng, (0, 200))])
    session.file.add_unit(id=4, spike_times=twice)
    with pytest.warns(
        UnitWarning, match=r"unit 4 go back from 29\d\.\d+ to 0\.\d+ s.*begin again"
    ):
        read_nwb(session.write())


def test_trials_of_a_part_of_the_session_say_nothing(session, rng):
    session.file.add_unit(spike_times=spikes(rng, (0, 300)))
    session.file.add_trial(start_time=100.0, stop_time=103.0)
    assert read_nwb(session.write()).sizes["spike"] == 6000  # warnings are errors here
