"""The table, the segments and the events of a fit, from results of cells that are made by hand."""

import numpy as np
import pytest
import xarray as xr

from neurornn._core.confidence import rate_interval, scale_interval
from neurornn._core.status import Status
from neurornn.calcium import Kinetics
from neurornn.calcium.kinetics_tables import RISE_FORM
from neurornn.data.series import as_series

NAN = np.nan
N_FRAMES, RATE = 40, 20.0


def chunk(tau, **changes):
    """Results of the cells of one chunk."""
    n = len(tau)
    tau = np.array(tau)
    made = {
        "tau": tau, "tau_ci": np.stack([0.5 * tau, 2 * tau], 1),
        "rise": np.full(n, NAN), "rise_ci": np.full((n, 2), NAN),
        "time_to_peak": np.full(n, NAN), "time_to_peak_ci": np.full((n, 2), NAN),
        "half_rise": np.full(n, NAN), "half_rise_ci": np.full((n, 2), NAN),
        "amplitude": 2 * tau, "amplitude_ci": np.stack([tau, 3 * tau], 1),
        "noise_sd": np.full(n, 0.25), "dof": np.full(n, 30.0), "n_seen": np.full(n, 36),
        "n_events": np.tile([4, 3, 6], (n, 1)), "status": np.full(n, "ok", dtype="<U20"),
        "covariance": np.tile(np.eye(2), (n, 1, 1)), "heights": np.arange(1.0, n + 1)[:, None],
        "autocorrelation": np.full(n, 0.125), "kernel_rise": np.full(n, 0.01),
        "start_frame": np.array([0, 10, 20]), "start_unit": np.array([0, 0, n - 1]),
        "start_jump": np.array([0.0, 1.5, 2.5]), "start_rise": np.array([0.0, -0.5, -1.0]),
        "start_is_event": np.array([False, True, True]),
        "start_delay": np.array([0.0, 0.01, 0.02]), "start_size": np.array([0.0, 1.0, 2.0]),
        "start_probability": np.array([0.0, 0.9, 0.8]),
    }  # fmt: skip
    return {**made, **changes}


def collected(results, source=None, **settings):
    rng = np.random.default_rng(0)
    n = sum(len(r["tau"]) for r in results)
    time = (np.arange(N_FRAMES) + 1) / RATE
    if source is None:
        source = xr.DataArray(
            rng.normal(size=(N_FRAMES, n)), dims=("time", "unit"),
            coords={"time": time, "unit": [f"c{k}" for k in range(n)]},
            attrs={"units": "mV", "indicator": "GCaMP6f", "frame_delay": 0.03},
        )  # fmt: skip
    fitted = Kinetics(**{"knot_spacing": None, "confidence_level": 0.9, **settings})
    traces = as_series(source, sampling_rate=RATE)
    fitted._collect(results, traces, source)
    return fitted


def test_every_column_is_that_of_its_cell():
    fitted = collected([chunk([0.5, 1.0]), chunk([0.25])])
    table = fitted.parameters_
    assert table["unit"].values.tolist() == ["c0", "c1", "c2"]
    tau = np.array([0.5, 1.0, 0.25])
    assert table["tau_decay"].values.tolist() == tau.tolist()
    assert table["tau_decay_ci"].values.tolist() == np.stack([0.5 * tau, 2 * tau], 1).tolist()
    assert table["amplitude"].values.tolist() == (2 * tau).tolist()
    assert table["snr"].values.tolist() == (8 * tau).tolist()
    assert table["snr_ci"].values.tolist() == np.stack([4 * tau, 12 * tau], 1).tolist()
    expected = scale_interval(np.full(3, 0.25), np.full(3, 30.0), 0.9)
    assert table["noise_sd_ci"].values.tolist() == expected.tolist()
    # 36 frames of 1/20 s were seen: 1.8 s; from the least to the most events that are believed.
    assert table["event_rate"].values == pytest.approx([4 / 1.8] * 3)
    low, high = rate_interval(3, 1.8, 0.9)[0], rate_interval(6, 1.8, 0.9)[1]
    assert table["event_rate_ci"].values == pytest.approx(np.tile([low, high], (3, 1)))
    assert table["baseline"].values.tolist() == [1.0, 2.0, 1.0]
    assert table["residual_autocorrelation"].values.tolist() == [0.125] * 3
    assert table["residual_autocorrelation"].attrs == {
        "units": "1",
        "long_name": "mean autocorrelation of the residual over lags of 1 to 3 frames",
    }
    units = {n: table[n].attrs["units"] for n in ("tau_decay", "amplitude", "baseline", "snr")}
    assert units == {"tau_decay": "s", "amplitude": "mV", "baseline": "mV", "snr": "1"}
    assert table["event_rate"].attrs["units"] == "Hz"
    assert table["tau_decay_ci"].attrs["ci_prob"] == 0.9
    assert table["covariance"].dims == ("unit", "parameter", "parameter_")
    assert table["parameter"].values.tolist() == ["tau_decay", "tau_rise"]
    assert table["rise_status"].values.tolist() == ["not_resolved"] * 3
    assert table["rise_status"].attrs["long_name"] == "whether a rise time was resolved, or held"
    assert table["tau_rise_ci"].attrs["reason"] == (
        "the rise is not resolved: it leaves no trace between the frames"
    )
    assert (fitted.sampling_rate_, fitted.indicator_, fitted.n_features_in_) == (
        20.0,
        "GCaMP6f",
        3,
    )


def test_a_cell_that_was_never_seen_has_no_rate():
    table = collected([chunk([0.5], n_seen=np.array([0]))]).parameters_
    assert np.isnan(table["event_rate"]).all()


def test_a_rise_is_resolved_or_held():
    rise = chunk(
        [0.5, 1.0], rise=np.array([0.05, NAN]), time_to_peak=np.array([0.12, NAN]),
        half_rise=np.array([0.03, NAN]), time_to_peak_ci=np.array([[0.1, 0.2], [NAN, NAN]]),
        half_rise_ci=np.array([[0.02, 0.04], [NAN, NAN]]),
    )  # fmt: skip
    fitted = collected([rise])
    table = fitted.parameters_
    for name, value, ci in (("time_to_peak", 0.12, [0.1, 0.2]), ("half_rise", 0.03, [0.02, 0.04])):
        assert table[name].values[0] == value and table[f"{name}_ci"].values[0].tolist() == ci
        assert table[name].attrs["units"] == "s" and name in fitted.report()
        assert table[name].attrs["method"].startswith("from tau_decay and tau_rise")
        assert name not in collected([chunk([0.5])]).report()
    assert "0.120 [0.100, 0.200]  0.0300 [0.0200, 0.0400]  " in fitted.report()
    assert table["rise_status"].values.tolist() == ["ok", "not_resolved"]
    held = collected([chunk([0.5])], tau_rise=0.02).parameters_
    assert held["tau_rise"].values.tolist() == [0.02]
    assert held["rise_status"].values.tolist() == ["held"]
    assert held["tau_rise_ci"].attrs["reason"] == "the rise was held, not fitted"
    none = collected([chunk([0.5])], tau_rise=False).parameters_
    assert np.isnan(none["tau_rise"]).all() and none["rise_status"].values.tolist() == ["held"]


def test_segments_and_events_are_those_of_the_starts():
    fitted = collected([chunk([0.5, 1.0])])
    segments, events = fitted.segments_, fitted.events_
    assert segments["segment_frame"].values.tolist() == [0, 10, 20]
    assert segments["segment_unit"].values.tolist() == [0, 0, 1]
    assert segments["decaying"].values.tolist() == [0.0, 1.5, 2.5]
    assert segments["rising"].values.tolist() == [0.0, -0.5, -1.0]
    assert segments["knot_height"].values.tolist() == [[1.0], [2.0]]
    assert segments["kernel_rise"].values.tolist() == [0.01, 0.01]
    assert segments["decaying"].attrs == segments["rising"].attrs == {"units": "mV"}
    assert segments["kernel_rise"].attrs == {"units": "s", "form": RISE_FORM}
    assert segments.attrs == {"units": "mV"}
    assert segments["time"].values.tolist() == ((np.arange(N_FRAMES) + 1) / RATE).tolist()
    # The end of the frame, less the delay in it and that of the frame.
    expected = [11 / 20 - 0.01 - 0.03, 21 / 20 - 0.02 - 0.03]
    assert events["event_time"].values == pytest.approx(expected)
    assert events["event_size"].values.tolist() == [1.0, 2.0]
    assert events["event_probability"].values.tolist() == [0.9, 0.8]
    assert events["event_unit"].values.tolist() == [0, 1]
    assert events["event_frame"].values.tolist() == [10, 20]
    assert events["event_size"].attrs == {"units": "mV"} and events.attrs["frame_delay"] == 0.03
    assert events["event_time"].attrs == {"units": "s"}
    assert events["event_probability"].attrs == {
        "units": "1", "long_name": "probability of an event, given the others",
    }  # fmt: skip
    # Without a delay that is stated, half a frame.
    bare = collected([chunk([0.5])], np.random.default_rng(0).normal(size=(N_FRAMES, 1)))
    assert bare.events_.attrs["frame_delay"] == 0.5 / 20
    assert bare.parameters_["amplitude"].attrs["units"] == "1" and bare.indicator_ is None


def test_what_was_cut_before_has_no_interval():
    time = (np.arange(N_FRAMES) + 1) / RATE
    source = xr.DataArray(
        np.random.default_rng(0).normal(size=(N_FRAMES, 4)), dims=("time", "unit"),
        coords={"time": time,
                "status": ("unit", ["ok", "clipped", "baseline_near_zero", "clipped"])},
    )  # fmt: skip
    made = chunk([0.5] * 4, status=np.array(["ok", "ok", "ok", "too_noisy"], dtype="<U20"),
                 rise_ci=np.ones((4, 2)), time_to_peak_ci=np.ones((4, 2)),
                 half_rise_ci=np.ones((4, 2)))  # fmt: skip
    table = collected([made], source).parameters_
    assert table["status"].values.tolist() == [
        "ok", "clipped", "baseline_near_zero", "too_noisy",
    ]  # fmt: skip
    for name in (
        "tau_decay_ci", "tau_rise_ci", "time_to_peak_ci", "half_rise_ci", "covariance",
    ):  # fmt: skip
        missing = np.isnan(table[name].values).reshape(4, -1)
        assert missing.all(axis=1).tolist() == [False, True, True, False]
    assert table["amplitude_ci"].notnull().all()


def test_the_report_counts_the_cells_and_shows_a_truth():
    fitted = collected([
        chunk([0.5, 1.0, 4.0], status=np.array(["ok", "ok", "too_noisy"], dtype="<U20"))
    ])  # fmt: skip
    lines = fitted.report().splitlines()
    assert lines[:4] == [
        "Kinetics: decay constants from fluorescence",
        "2 of 3 cells ok; 20 Hz; intervals 90 %",
        "median tau_decay of the ok cells 0.750 s",
        f"too_noisy: {Status.TOO_NOISY.remedy}",
    ]
    assert "baseline" not in lines[5] and "covariance" not in lines[5]
    assert "2 of 3 cells ok" in repr(fitted)
    told = fitted._report_table([0.4, 0.9, 3.0])
    assert "truth (s)" in told.columns
    place = told.columns.index("truth (s)")
    assert [row[place] for row in told.rows] == ["0.400", "0.900", "3.00"]
    none = collected([chunk([0.5], status=np.array(["too_noisy"], dtype="<U20"))])
    assert not any("median" in line for line in none.report().splitlines())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ("a penalty weighed by their rate", "a constant baseline", "[0.01, 8] s")),
        ({"penalty": 3.5, "knot_spacing": 60.0, "tau_bounds": (0.05, 4.0)},
         ("a penalty of 3.5 noise s.d.", "a piecewise-linear baseline", "[0.05, 4] s")),
        ({"tau_rise": False},
         ("a penalty weighed by their rate", "a constant baseline", "[0.01, 8] s", "")),
        ({"tau_rise": 0.05},
         ("a penalty weighed by their rate", "a constant baseline", "[0.01, 8] s",
          "; the rise of the double exponential was held at 0.05 s")),
    ],
)  # fmt: skip
def test_the_methods_name_penalty_baseline_and_bounds(settings, said):
    fitted = Kinetics(**{"knot_spacing": None, "tau_bounds": (0.01, 8.0), "confidence_level": 0.9,
                         **settings})  # fmt: skip
    assert fitted._methods_sentence() == (
        "Decay time constants were estimated from fluorescence with neurornn's Kinetics: events "
        f"by optimal partitioning ({said[0]}), event sizes and {said[1]} eliminated by variable "
        f"projection, tau searched in {said[2]}, and 90 % intervals from the profile likelihood, "
        "widened where the decays were misspecified"
        + (said[3] if len(said) > 3 else
           "; rise time constants are those of the double exponential, from a likelihood averaged "
           "over the times of events")
    )  # fmt: skip
