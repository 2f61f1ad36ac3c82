"""Residual checks and mean events on known truth: white noise passes, each defect is seen."""

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

import neurornn as nr
from neurornn._core.errors import (
    DataError,
    KindError,
    NameUnknownError,
    ShapeError,
    ThreePartError,
)
from neurornn.simulate.calcium import calcium_kernel

TAU, NOISE = 0.5, 0.1


@pytest.fixture(scope="module")
def recording():
    return nr.simulate.simulate_calcium(
        4, 300.0, 30.0, tau_decay=TAU, snr=1 / NOISE, rate=0.3, rng=1
    )


@pytest.fixture(scope="module")
def kinetics(recording):
    return nr.calcium.Kinetics().fit(recording["dff"])


def failed(table):
    return set(table["check"].values[~table["passed"].values])


def with_noise(recording, noise):
    """The first cell's calcium under another noise."""
    calcium = recording["calcium"].values[:, :1]
    first = recording["dff"].isel(unit=[0])
    return first.copy(data=calcium + np.asarray(noise).reshape(-1, 1))


def checked(trace, **settings):
    return nr.calcium.residual_table(nr.calcium.Kinetics(**settings).fit(trace), trace)


def test_white_noise_around_a_true_kernel_passes(recording, kinetics):
    tables = [nr.calcium.residual_table(kinetics, recording["dff"], u) for u in range(4)]
    # Each of five checks fails 5 % of true cells: of 20, 4 or more fail with a chance of 1.6 %.
    assert sum(len(failed(t)) for t in tables) < 4
    for table in tables:
        # The events take up less than a hundredth of the frames' degrees of freedom.
        assert float(np.nanstd(table["residual"])) == pytest.approx(1, rel=0.01)
        r = table["autocorrelation"].values
        assert np.mean(np.abs(r) > table["white_limit"].values) < 0.15


@pytest.mark.slow
def test_autocorrelation_is_freed_of_what_the_fitted_sizes_take_up():
    busy = nr.simulate.simulate_calcium(6, 300.0, 30.0, tau_decay=TAU, snr=20, rate=1.0, rng=3)
    kinetics = nr.calcium.Kinetics(tau_rise=False).fit(busy["dff"])
    first = [
        float(nr.calcium.residual_table(kinetics, busy["dff"], u)["autocorrelation"][0])
        for u in range(6)
    ]
    # The mean of six has an sd of 1 / sqrt(6 * 9000) = 0.0043; without the correction it is -0.02.
    assert abs(np.mean(first)) < 0.013


@pytest.mark.parametrize("tau", [0.3, 0.8])
def test_a_wrong_tau_leaves_structure_around_events(recording, tau):
    one = recording["dff"].isel(unit=[0])
    table = checked(one, tau_bounds=(tau, 1.01 * tau), tau_rise=False)
    assert "around_events" in failed(table)
    after = table["event_residual"].where(table["lag"] > 2 * tau, drop=True)
    # Too short a kernel leaves fluorescence late after the event, too long a one takes it away.
    assert np.sign(float(after[:10].mean())) == np.sign(TAU - tau)


@pytest.mark.slow
def test_an_autoregressive_residual_is_seen(recording, rng):
    rho = 0.4
    noise = NOISE * np.sqrt(1 - rho**2) * lfilter([1], [1, -rho], rng.normal(size=9000))
    table = checked(with_noise(recording, noise))
    assert "autocorrelation" in failed(table)
    # The sd of r is 1 / sqrt(9000) = 0.011; the fitted baseline and events take a little.
    assert table["autocorrelation"].values[:2] == pytest.approx([rho, rho**2], abs=0.04)
    assert float(table["delay"][0]) == pytest.approx(1 / 30)


@pytest.mark.slow
def test_heavy_tails_and_growing_noise_are_seen(recording, rng):
    heavy = checked(with_noise(recording, 0.06 * rng.standard_t(3, size=9000)))
    assert "normality" in failed(heavy)
    growing = np.linspace(0.5, 1.5, 9000)
    table = checked(with_noise(recording, NOISE * growing * rng.normal(size=9000)))
    assert "steadiness" in failed(table)
    sd = table["running_sd"].values
    # From 0.5 to 1.5 times the mean; a window of 225 frames knows its sd to 5 %.
    assert sd[-1] / sd[0] == pytest.approx(3, rel=0.2)


def test_saturation_is_curvature_and_not_a_wrong_kernel(recording):
    one = recording["dff"].isel(unit=[0])
    calcium = recording["calcium"].values[:, :1]
    saturated = one.copy(data=calcium / (1 + calcium / 2) + (one.values - calcium))
    assert failed(checked(saturated)) == {"curvature"}


def test_remedies_stand_where_a_check_failed(recording, rng):
    table = checked(with_noise(recording, 0.06 * rng.standard_t(3, size=9000)))
    for check in table["check"].values:
        one = table.sel(check=check)
        assert bool(one["passed"]) == (one["remedy"].item() == "")
        assert bool(one["passed"]) == (float(one["value"]) <= float(one["limit"]))


@pytest.mark.parametrize("scaled", [False, True])
def test_mean_event_is_the_kernel_in_spite_of_overlap(scaled):
    # At 1 Hz and a decay of 0.5 s nearly every event overlaps another one.
    rec = nr.simulate.simulate_calcium(
        1, 300.0, 30.0, tau_decay=TAU, tau_rise=0.05, snr=20, rate=1.0, rng=2
    )
    kinetics = nr.calcium.Kinetics().fit(rec["dff"])
    table = nr.calcium.event_average(kinetics, rec["dff"], scaled=scaled, before=0.3, after=1.5)
    truth = calcium_kernel(table["lag"].values, TAU, 0.05)
    size = 1.0 if scaled else float(kinetics.events_["event_size"].mean())
    # Noise: 0.05 / sqrt(300) = 0.003; the lag is the mean over times within the frame, and on
    # the steep rise (about 8 per s for 0.05 s) a spread of 0.01 s bends the mean by some 0.05.
    assert np.max(np.abs(table["mean"].values / size - truth)) < 0.08
    late = table["lag"].values > 0.15
    assert np.max(np.abs(table["mean"].values / size - truth)[late]) < 0.02
    inside = (table["kernel"] >= table["mean_ci"][:, 0]) & (
        table["kernel"] <= table["mean_ci"][:, 1]
    )
    # Pointwise 95 % intervals of some 50 lags that are not independent.
    assert float(inside.mean()) > 0.8
    low, high = table["kernel_ci"].values.T
    assert np.all(low <= table["kernel"] + 1e-9) and np.all(high >= table["kernel"] - 1e-9)
    assert table.attrs["n_events"] == kinetics.events_.sizes["event"]


def test_the_plain_average_of_the_trace_would_be_smeared():
    rec = nr.simulate.simulate_calcium(1, 300.0, 30.0, tau_decay=TAU, snr=20, rate=1.0, rng=2)
    kinetics = nr.calcium.Kinetics(tau_rise=False).fit(rec["dff"])
    table = nr.calcium.event_average(kinetics, rec["dff"], after=1.5)
    frames = kinetics.events_["event_frame"].values
    frames = frames[frames < 8900]
    plain = np.mean([rec["dff"].values[f + 45 - 1, 0] for f in frames])
    freed = float(table["mean"].values[table["lag"].values > 1.45][0])
    # After three decay times 5 % are left; at 1 Hz the other events add half an event.
    assert freed < 0.1 < 0.4 < plain


def test_band_of_the_kernel_follows_the_interval_of_tau(recording, kinetics):
    table = nr.calcium.event_average(kinetics, recording["dff"], 1, scaled=True)
    low, high = kinetics.parameters_["tau_decay_ci"].sel(unit=1).values
    late = table.isel(lag=-1)
    ratio = float(late["kernel_ci"][1] / late["kernel_ci"][0])
    # exp(-t / high) / exp(-t / low); the rise, if one is modelled, adds next to nothing.
    expected = np.exp(float(late["lag"]) * (1 / low - 1 / high))
    assert ratio == pytest.approx(expected, rel=0.05)


def test_gaps_and_missing_frames_are_left_out():
    rec = nr.simulate.simulate_calcium(
        1, 100.0, 30.0, tau_decay=TAU, snr=10, n_trials=2, missing=0.05, rng=4
    )
    kinetics = nr.calcium.Kinetics().fit(rec["dff"])
    table = nr.calcium.event_average(kinetics, rec["dff"])
    n = table.attrs["n_events"]
    # Five in a hundred frames are missing, some more lie beyond an end.
    assert 0.85 * n < int(table["n_events"].min()) < n
    checks = nr.calcium.residual_table(kinetics, rec["dff"])
    missing = np.isnan(rec["dff"].values[:, 0])
    assert np.array_equal(np.isnan(checks["residual"].values), missing)
    assert failed(checks) <= {"normality"}


def test_a_cell_without_events_has_nothing_to_average(rng):
    quiet = xr.DataArray(
        rng.normal(size=(3000, 1)), dims=("time", "unit"), attrs={"sampling_rate": 30.0}
    )
    kinetics = nr.calcium.Kinetics(penalty=8.0).fit(quiet)
    assert kinetics.events_.sizes["event"] == 0
    table = nr.calcium.event_average(kinetics, quiet)
    assert np.isnan(table["mean"]).all() and table.attrs["n_events"] == 0
    checks = nr.calcium.residual_table(kinetics, quiet)
    assert np.isnan(float(checks["value"].sel(check="around_events")))
    assert not failed(checks)


def test_plain_arrays_are_taken_with_the_rate_of_the_fit(recording, kinetics):
    table = nr.calcium.residual_table(kinetics, recording["dff"].values)
    other = nr.calcium.residual_table(kinetics, recording["dff"])
    assert np.array_equal(table["residual"], other["residual"])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda y: y[:-5], ShapeError, "trace has 8995 frames of 4 units"),
        (lambda y: y.isel(unit=[0, 1]), ShapeError, "trace has 9000 frames of 2 units"),
        (lambda y: y.isel(unit=[1, 0, 2, 3]), ShapeError, "The units of trace are 1, 0, 2, 3"),
        (lambda y: y.assign_coords(time=y["time"] + 5.0), ShapeError, "trace runs from 5.03"),
        (lambda y: 3 * y, DataError, "The fit misses the trace of unit 0"),
    ],
)
def test_a_trace_that_was_not_fitted_is_refused(recording, kinetics, change, error, said):
    with pytest.raises(error, match=said) as caught:
        nr.calcium.residual_table(kinetics, change(recording["dff"]))
    assert isinstance(caught.value, ThreePartError)


def test_other_bad_calls_are_refused(recording, kinetics):
    with pytest.raises(KindError, match="fitted"):
        nr.calcium.residual_table(nr.calcium.Kinetics(), recording["dff"])
    with pytest.raises(NameUnknownError, match="9"):
        nr.calcium.event_average(kinetics, recording["dff"], 9)
    with pytest.raises(DataError, match="before"):
        nr.calcium.event_average(kinetics, recording["dff"], before=-1.0)
    dead = recording["dff"].copy()
    dead[:, 2] = np.nan
    with pytest.raises(DataError, match="no_data"):
        nr.calcium.residual_table(nr.calcium.Kinetics().fit(dead), dead, 2)


def test_published_ranges_come_by_kind():
    ranges = nr.calcium.published_ranges("gcamp6s")
    assert list(ranges) == ["sensor", "in vivo kernel", "pipeline default"]
    assert ranges["sensor"] == [(1.87, 1.87)]
    assert (0.46, 0.82) in ranges["in vivo kernel"]
    # A half-decay over log 2.
    assert nr.calcium.published_ranges("OGB-1")["in vivo kernel"][0][0] == pytest.approx(
        2.178, abs=1e-3
    )
