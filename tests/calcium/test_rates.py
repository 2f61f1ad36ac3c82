"""Rates in bins against the spikes that made the trace."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, ShapeError
from neurornn.calcium.rates import rise_delay


@pytest.fixture(scope="module")
def recording():
    return nr.simulate.simulate_calcium(
        3, 200.0, 30.0, tau_decay=0.5, tau_rise=[0.0, 0.0, 0.07], rate=0.7, snr=8, rng=4
    )


@pytest.fixture(scope="module")
def fitted(recording):
    return nr.calcium.Kinetics().fit(recording["dff"])


def correlations(recording, rate):
    counts = nr.data.bin_spikes(recording, time=rate["time"].values).values
    return [np.corrcoef(counts[:, k], rate.values[:, k])[0, 1] for k in range(counts.shape[1])]


def test_rates_follow_the_spikes_at_zero_lag(recording, fitted):
    fine = correlations(recording, fitted.predict_rate(0.04))
    # Frames of 33 ms shared out over bins of 40 ms cannot do better than 0.9; a rise of two frames
    # leaves 0.75 to those who know it.
    assert min(fine[:2]) > 0.8 and fine[2] > 0.55
    coarse = correlations(recording, fitted.predict_rate(0.5))
    assert min(coarse) > 0.9


def test_the_mean_rate_is_that_of_the_events(recording, fitted):
    rate = fitted.predict_rate(0.1)
    only = fitted.predict_rate(0.1, events_only=True)
    # Frames at the ends of bins share their weight with bins that are dropped.
    assert rate.mean("time").values == pytest.approx(only.mean("time").values, rel=0.02)
    true = len(recording["spike_times"]) / 3 / 200
    assert float(rate.mean()) == pytest.approx(true, rel=0.15)


def test_a_stated_delay_of_the_frames_moves_the_rate(recording, fitted):
    late = recording["dff"].assign_attrs(frame_delay=0.1)
    moved = nr.calcium.Kinetics().fit(late).predict_rate(0.1)
    still = fitted.predict_rate(0.1)
    assert moved.values[:-1] == pytest.approx(still.values[1:], abs=1e-9)


def test_frames_are_taken_for_averages_unless_stated(recording):
    dff = recording["dff"].copy()
    del dff.attrs["frame_delay"]
    a = nr.calcium.Kinetics().fit(dff).predict_rate(1 / 60)
    b = nr.calcium.Kinetics().fit(recording["dff"]).predict_rate(1 / 60)
    assert a.values[:-1] == pytest.approx(b.values[1:], abs=1e-9)


def test_the_delay_of_a_rise():
    assert rise_delay(0.0) == 0.0
    # Half of 1 - exp(-t / 0.01) at 0.01 ln 2.
    assert rise_delay(0.01) == pytest.approx(0.01 * np.log(2), rel=1e-12)
    assert rise_delay(0.4) == 0.03


def test_a_loaded_fit_asks_for_its_trace(recording, fitted, tmp_path):
    fitted.save(tmp_path / "kin")
    loaded = nr.load(tmp_path / "kin")
    with pytest.raises(DataError, match="events_only=True"):
        loaded.predict_rate()
    only = loaded.predict_rate(events_only=True)
    assert np.array_equal(only.values, fitted.predict_rate(events_only=True).values)
    again = loaded.predict_rate(trace=recording["dff"])
    assert np.array_equal(again.values, fitted.predict_rate().values)
    late = recording["dff"].assign_coords(time=recording["time"] + 100.0)
    for other in (recording["dff"][:-1], late):
        with pytest.raises(ShapeError, match="uncut"):
            loaded.predict_rate(trace=other)


def test_what_came_before_the_first_frame_seen_is_no_rate():
    y = np.zeros((9000, 1))
    y[6000:, 0] = 5 * np.exp(-np.arange(3000) / 15)
    y[7000::200, 0] += 1.0
    y += 0.01 * np.random.default_rng(0).standard_normal(y.shape)
    y[:6000] = np.nan
    rate = nr.calcium.Kinetics().fit(y, sampling_rate=30.0).predict_rate(0.1)
    # The decay of what came before starts at 200 s.
    assert float(rate.sel(time=slice(199.5, 201.0)).max()) == 0.0


def test_gaps_and_missing_frames(recording):
    dff = recording["dff"].copy(deep=True)
    dff[100:130] = np.nan
    holed = dff.isel(time=np.r_[0:2000, 2600:6000])
    rate = nr.calcium.Kinetics().fit(holed).predict_rate(0.1)
    time = rate["time"].values
    # 2000 frames are 66.67 s; the next stretch starts at 86.67 s.
    assert not ((time > 66.7) & (time < 86.7)).any()
    assert np.isfinite(rate.values).all()
    inside = rate.sel(time=slice(3.45, 4.3))
    assert (inside == 0).all()


def test_rates_of_a_memory_map_are_the_same(recording, fitted, tmp_path):
    path = tmp_path / "dff.npy"
    np.save(path, recording["dff"].values)
    mapped = np.load(path, mmap_mode="r")
    from_map = nr.calcium.Kinetics(chunk_size=2).fit(mapped, sampling_rate=30.0)
    assert np.array_equal(from_map.parameters_["tau_decay"], fitted.parameters_["tau_decay"])
    plain = nr.calcium.Kinetics().fit(recording["dff"].values, sampling_rate=30.0)
    assert np.array_equal(from_map.predict_rate(0.5).values, plain.predict_rate(0.5).values)
