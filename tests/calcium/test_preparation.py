"""dF/F: a known baseline and scale come back; scaling, gaps, missing frames, offsets, mistakes."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    KindError,
    ShapeError,
    ThreePartError,
    UnitError,
    UnitWarning,
)
from neurornn.calcium.preparation import running_percentile

RATE = 30.0


@pytest.fixture(scope="module")
def raw():
    """Counts of four cells on a slowly falling baseline, and the truth."""
    recording = nr.simulate.simulate_calcium(
        4, 300.0, RATE, tau_decay=0.6, rate=0.1, snr=20.0, indicator="GCaMP6f", rng=3
    )
    seconds = recording["time"].values[:, None]
    baseline = np.array([200.0, 400.0, 800.0, 1600.0]) * (1 - 0.2 * seconds / 300.0)
    # Peak of one event: 100 % of the baseline; noise 5 % of it.
    counts = baseline * (1 + recording["dff"].values)
    data = recording["dff"].copy(data=counts)
    data.attrs.update(units="counts", long_name="fluorescence")
    return data, recording


def test_recovers_a_known_baseline_and_scale(raw):
    counts, truth = raw
    made = nr.calcium.dff(counts)
    # Least squares of the result on the truth. F0 is at most 1.41 noise sd (7 %) and half of the
    # drift across a window (20 % / 300 s * 60 s / 2 = 2 %) below the truth, and transients at
    # 0.1 Hz raise it by less: the scale lies in 1 +- 10 %.
    for k in range(4):
        scale, shift = np.polyfit(truth["calcium"].values[:, k], made.values[:, k], 1)
        assert 0.95 < scale < 1.10
        # At rest the result lies at most 1.41 noise sd and 2 % above 0.
        assert -0.02 < shift < 0.10


def test_result_says_what_it_is(raw):
    made = nr.calcium.dff(raw[0])
    assert made.name == "dff" and made.dims == ("time", "unit")
    assert made.attrs["units"] == "1" and made.attrs["sampling_rate"] == pytest.approx(RATE)
    assert made.attrs["indicator"] == "GCaMP6f"
    assert "8th percentile of 60 s" in made.attrs["method"]
    assert set(made["status"].values) == {"ok"}
    assert np.array_equal(made["time"].values, raw[0]["time"].values)


def test_kinetics_takes_the_result(raw):
    kinetics = nr.calcium.Kinetics(tau_rise=False).fit(nr.calcium.dff(raw[0].isel(unit=[0, 1])))
    # About 30 events at SNR 20; the division by a moving F0 leaves the decay where it was.
    assert np.allclose(kinetics.parameters_["tau_decay"], 0.6, rtol=0.05)
    assert kinetics.indicator_ == "GCaMP6f"


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e6])
def test_scaling_the_light_changes_nothing(raw, factor):
    # Rounding of a product and a quotient of float64 is all that may differ.
    assert np.allclose(nr.calcium.dff(raw[0] * factor), nr.calcium.dff(raw[0]), atol=1e-9)


def test_an_offset_is_undone(raw):
    shifted = nr.calcium.dff(raw[0] + 500.0, offset=500.0)
    assert np.allclose(shifted, nr.calcium.dff(raw[0]), atol=1e-9)
    # Left in, it makes dF/F smaller.
    assert nr.calcium.dff(raw[0] + 500.0).max() < 0.8 * shifted.max()


@pytest.mark.parametrize("n_window", [3, 31, 601])
@pytest.mark.parametrize("percentile", [8.0, 50.0])
def test_percentile_is_exact(rng, n_window, percentile):
    x = rng.standard_normal((700, 2))
    x[rng.random(x.shape) < 0.1] = np.nan
    half = n_window // 2
    padded = np.pad(x, ((half, half), (0, 0)), mode="reflect")
    found = running_percentile(x, n_window, percentile)
    for k in range(0, 700, 23):
        window = padded[k : k + n_window]
        for unit in range(2):
            seen = window[~np.isnan(window[:, unit]), unit]
            if len(seen):
                expected = np.percentile(seen, percentile)
                assert found[k, unit] == pytest.approx(expected, abs=1e-12)


def test_a_block_no_longer_than_the_window_gets_one_baseline():
    x = np.linspace(90.0, 110.0, 300)
    made = nr.calcium.dff(x, sampling_rate=RATE, window=60.0)
    f0 = x / (1 + made.values[:, 0])
    assert np.allclose(f0, np.percentile(x, 8))


def test_no_window_reaches_across_a_gap(rng):
    first, second = 100 + rng.standard_normal((1800, 1)), 300 + rng.standard_normal((1800, 1))
    clock = (np.arange(1800) + 1) / RATE
    stamps = np.concatenate([clock, clock + 1000.0])
    both = nr.data.from_traces(np.concatenate([first, second]), time=stamps, name="fluorescence")
    made = nr.calcium.dff(both["fluorescence"], window=10.0).values
    apart = [nr.calcium.dff(x, sampling_rate=RATE, window=10.0).values for x in (first, second)]
    assert np.allclose(made, np.concatenate(apart), atol=1e-12)


def test_missing_frames_stay_missing_and_move_little_else(raw, rng):
    lost = raw[0].where(rng.random(raw[0].shape) > 0.2)
    made, whole = nr.calcium.dff(lost), nr.calcium.dff(raw[0])
    assert np.array_equal(np.isnan(made), np.isnan(lost))
    # A percentile of 1440 in place of 1800 frames: its standard error is far below 2 % of F0.
    assert float(np.nanmax(np.abs((made - whole) / (1 + whole)))) < 0.02


def test_a_unit_without_frames_and_one_that_never_changes(raw):
    data = raw[0].copy()
    data[:, 1] = np.nan
    data[:, 2] = 50.0
    made = nr.calcium.dff(data)
    assert list(made["status"].values) == ["ok", "no_data", "constant", "ok"]
    assert np.isnan(made[:, 1]).all() and np.all(made[:, 2] == 0)


def test_a_stretch_missing_longer_than_the_window(raw):
    data = raw[0].copy()
    data[1000:5000] = np.nan
    made = nr.calcium.dff(data, window=30.0)
    assert np.array_equal(np.isnan(made), np.isnan(data))


def test_traces_in_whole_numbers_that_are_cut_off_are_told(raw):
    counts = np.minimum(raw[0].values, 230).astype(np.uint16)
    with pytest.warns(UserWarning, match="clipped"):
        made = nr.calcium.dff(counts, sampling_rate=RATE)
    assert "clipped" in made["status"].values


def test_whole_numbers_that_wrap_around_are_told(rng):
    counts = (240 + 20 * rng.random((1000, 1))).astype(np.int64).astype(np.uint8)
    with pytest.warns(UserWarning, match="wrap around"):
        made = nr.calcium.dff(counts, sampling_rate=RATE, percentile=50)
    assert made["status"].values == ["clipped"]


def test_a_coarse_scale_is_not_clipped(rng):
    # Twenty levels: one frame in twenty sits at the largest, and none was cut off.
    counts = rng.integers(100, 120, (1000, 1)).astype(np.uint8)
    assert nr.calcium.dff(counts, sampling_rate=RATE)["status"].values == ["ok"]


def test_a_baseline_at_zero_names_the_units(raw):
    bad = raw[0].copy()
    bad[:, 2] -= 900.0
    bad = bad.assign_coords(unit=["a", "b", "c", "d"])
    with pytest.raises(DataError, match=r"1 of 4 units \(units c\).*offset") as caught:
        nr.calcium.dff(bad)
    assert isinstance(caught.value, ThreePartError)
    with pytest.raises(DataError, match="dF/F already"):
        nr.calcium.dff(raw[1]["dff"] - 0.5)


@pytest.mark.parametrize(("window", "remedy"), [(1800.0, "pass 60"), (60000.0, "or 60.0")])
def test_a_window_in_frames_or_milliseconds(raw, window, remedy):
    with pytest.warns(UnitWarning, match=remedy):
        nr.calcium.dff(raw[0], window=window)


def test_a_window_in_minutes(raw):
    with pytest.warns(UnitWarning, match="minutes"):
        nr.calcium.dff(raw[0], window=1.0)


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"percentile": 0.0}, DataError, "percentile is 0.*between 0 and 100"),
        ({"percentile": 120.0}, DataError, "percentile is 120.*between 0 and 100"),
        ({"window": -1.0}, DataError, "window is -1.*above 0 in s"),
        ({"offset": np.nan}, DataError, "offset is nan.*A finite number"),
        ({"sampling_rate": 0.033}, UnitError, "sampling_rate is 0.033 Hz.*a frame interval"),
    ],
)
def test_bad_settings(raw, wrong, kind, said):
    with pytest.raises(kind, match=said):
        nr.calcium.dff(raw[0].values, **{"sampling_rate": RATE, **wrong})


def test_bad_data(raw):
    with pytest.raises(KindError, match="A whole recording came"):
        nr.calcium.dff(raw[1])
    with pytest.raises(ShapeError, match=r"shape \(2, 3, 4\)"):
        nr.calcium.dff(np.ones((2, 3, 4)), sampling_rate=RATE)
    with pytest.raises(UnitError, match="without a sampling rate"):
        nr.calcium.dff(raw[0].values)


def test_neuropil_is_taken_away(raw, rng):
    counts, _ = raw
    ring = xr.DataArray(
        300 + rng.standard_normal(counts.shape).cumsum(axis=0),
        dims=counts.dims,
        coords=counts.coords,
    )
    seen = counts + 0.7 * ring
    clean = nr.calcium.subtract_neuropil(seen, ring)
    assert np.allclose(clean, counts, atol=1e-9)
    assert clean.name == "fluorescence" and clean.attrs["sampling_rate"] == pytest.approx(RATE)
    assert "0.7" in clean.attrs["method"]
    whole = nr.calcium.subtract_neuropil(
        np.full((10, 1), 3, np.uint8) + np.eye(10, 1, dtype=np.uint8),
        np.full((10, 1), 200, np.uint8) + np.eye(10, 1, dtype=np.uint8),
        sampling_rate=RATE,
    )
    # Whole numbers become floats first: nothing wraps around below zero.
    assert whole.values.min() == pytest.approx(3 - 140)


def test_neuropil_of_other_cells_or_frames(raw):
    counts, _ = raw
    with pytest.raises(ShapeError, match="neuropil"):
        nr.calcium.subtract_neuropil(counts, counts.isel(unit=[0, 1]))
    with pytest.raises(ShapeError, match="same order"):
        nr.calcium.subtract_neuropil(counts, counts.isel(unit=[1, 0, 2, 3]))
    with pytest.raises(ShapeError, match="time range"):
        nr.calcium.subtract_neuropil(counts[:-100], counts[100:])
    with pytest.raises(DataError, match="0 to 1"):
        nr.calcium.subtract_neuropil(counts, counts, coefficient=70.0)
