"""Plans: the bound of whole recordings, what narrows it, and what an estimator then reaches."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import DataError, UnitError
from neurornn.calcium import planning
from tests.benchmarks import latin_square

USUAL = {"tau": 0.5, "rate": 0.5, "snr": 5.0, "sampling_rate": 30.0}


def planned(**changes):
    return nr.calcium.plan(**{**USUAL, **changes})


def check_against_recordings(tau, tau_rise, rate, snr, sampling_rate):
    plan = planned(tau=tau, tau_rise=tau_rise, rate=rate, snr=snr, sampling_rate=sampling_rate)
    information = []
    for seed in range(8):
        recording = nr.simulate.simulate_calcium(
            1,
            latin_square.DURATION,
            sampling_rate,
            tau_decay=tau,
            tau_rise=tau_rise,
            rate=rate,
            snr=snr,
            rng=seed,
        )
        information.append((tau / latin_square.bound(recording)[0]) ** 2)
    # The bound of a recording depends on its train: three standard errors of the eight, and
    # 2 % for the average inside the plan.
    stderr = np.std(information, ddof=1) / np.sqrt(8)
    ours = plan.information * latin_square.DURATION
    assert abs(np.mean(information) - ours) < 3 * stderr + 0.02 * ours


@pytest.mark.parametrize("tau_rise", [0.0, 0.15])
def test_agrees_with_the_bound_of_simulated_recordings(tau_rise):
    check_against_recordings(1.0, tau_rise, 0.25, 5.0, 10.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tau", "tau_rise", "rate", "snr"),
    [(0.5, 0.0, 0.5, 5.0), (0.5, 0.07, 0.5, 5.0), (0.25, 0.02, 1.0, 8.0), (1.5, 0.045, 0.35, 15)],
)
def test_agrees_with_the_bound_at_thirty_frames(tau, tau_rise, rate, snr):
    check_against_recordings(tau, tau_rise, rate, snr, 30.0)


@pytest.mark.slow
def test_agrees_with_the_bound_of_one_lone_decay():
    # Rare events, fast frames: each decay of size A stands alone, and what is known of tau is
    # sum((t / tau**2)**2 exp(-2 t / tau)) less its part along exp(-t / tau); per event, with
    # many frames in a decay, rate_of_frames * tau / (16 tau**2) / noise**2 by the integrals
    # of t**k exp(-2 t / tau): 1/4 - (1/4)**2 / (1/2) = 1/8 in units of tau.
    plan = planned(tau=0.5, rate=0.02, snr=10.0, sampling_rate=200.0)
    alone = 0.02 * 10.0**2 * 200.0 * 0.5 / 8
    # Overlap at 0.02 Hz takes 2 %, frames instead of an integral 1 %, the baseline 2 % and the
    # count of events in the simulated trains 4 %.
    assert plan.information == pytest.approx(alone, rel=0.09)


def test_the_width_at_the_planned_duration_is_what_was_asked():
    plan = planned(relative_width=0.04)
    assert plan.expected_width(plan.duration) == pytest.approx(0.04)
    assert float(plan.widths.sel(duration=plan.duration)) == pytest.approx(0.04)
    # Variance goes as one over duration.
    narrow = plan.expected_width(4 * plan.duration) / plan.expected_width(plan.duration)
    assert narrow == pytest.approx(0.5, rel=1e-3)
    assert np.all(np.diff(plan.widths.values) < 0)
    assert plan.widths["duration"].attrs["units"] == "s"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"snr": 10.0}, {"snr": 5.0}),
        ({"rate": 1.0}, {"rate": 0.25}),
        ({"sampling_rate": 60.0}, {"sampling_rate": 15.0}),
        ({"tau_rise": 0.0}, {"tau_rise": 0.1}),
        ({"relative_width": 0.1}, {"relative_width": 0.05}),
        ({"confidence_level": 0.68}, {"confidence_level": 0.95}),
    ],
)
def test_what_shortens_a_recording(better, worse):
    assert planned(**better).duration < planned(**worse).duration


@pytest.mark.slow
def test_events_that_overlap_tell_less_each():
    slow, fast = planned(rate=0.1), planned(rate=4.0)
    per_event = [p.information / p.settings["rate"] for p in (slow, fast)]
    assert per_event[1] < 0.8 * per_event[0]


def test_signal_to_noise_and_time_trade_exactly():
    assert planned(snr=10.0).information == pytest.approx(4 * planned(snr=5.0).information)


@pytest.mark.slow
def test_time_has_no_unit_of_its_own(monkeypatch):
    # Everything ten times slower, the knots of the baseline too: the same frames and events.
    fast = planned()
    slow = planned(tau=5.0, rate=0.05, sampling_rate=3.0)
    monkeypatch.setattr(planning, "_KNOTS", 600.0)
    scaled = planned(tau=5.0, rate=0.05, sampling_rate=3.0)
    assert scaled.duration == pytest.approx(10 * fast.duration, rel=1e-6)
    # A baseline that bends every minute takes part of a decay of 5 s for its own.
    assert slow.duration > scaled.duration


@pytest.mark.slow
def test_the_fewest_events_may_take_longer_than_the_width():
    plan = planned(snr=100.0, rate=0.01, relative_width=0.5)
    assert plan.limited_by == "events"
    assert plan.n_events > 5
    assert plan.expected_width(plan.duration) < 0.5
    assert "needs 5 events" in plan.report()


def test_status_and_report():
    plan = planned()
    assert plan.status == "ok" and plan.limited_by == "width"
    assert "record" in plan.report() and "<table>" in plan._repr_html_()
    low, high = plan.parameters["duration_ci"].values
    assert low < plan.duration < high
    # The error of the average over trains is small beside anything that is planned with it.
    assert high / low < 1.15
    assert plan.parameters["duration"].attrs["units"] == "s"
    noisy = planned(snr=2.0)
    assert noisy.status == "too_noisy" and "lower limit" in noisy.report()


def test_a_decay_inside_a_frame():
    assert planned(tau=0.012).status == "decay_not_resolved"
    with pytest.raises(DataError, match="no recording determines tau"):
        planned(tau=0.0005)


def test_the_same_plan_every_time():
    assert planned().duration == planned().duration
    # Another set of trains: within the error that is stated, four times over.
    low, high = planned().parameters["duration_ci"].values
    assert abs(planned(rng=7).duration - planned().duration) < 2 * (high - low)


@pytest.mark.parametrize(
    ("wrong", "kind", "remedy"),
    [
        ({"tau": 500.0}, UnitError, "Are these ms"),
        ({"tau_rise": 70.0}, UnitError, "Are these ms"),
        ({"relative_width": 5.0}, DataError, "percent"),
        ({"rate": 0.0}, DataError, "rate is 0"),
        ({"snr": -1.0}, DataError, "snr is -1"),
        ({"sampling_rate": 0.033}, UnitError, "frame interval"),
        ({"confidence_level": 95.0}, DataError, "above 0 and below 1"),
        ({"tau_rise": -0.1}, DataError, "tau_rise is -0.1"),
    ],
)
def test_bad_settings(wrong, kind, remedy):
    with pytest.raises(kind, match=remedy):
        planned(**wrong)


def test_bad_duration():
    with pytest.raises(DataError, match="Finite times"):
        planned().expected_width([10.0, -1.0])


@pytest.mark.slow
@pytest.mark.parametrize("tau_rise", [0.0, 0.05])
def test_kinetics_reaches_the_planned_width(tau_rise):
    plan = planned(snr=8.0, tau_rise=tau_rise, relative_width=0.06)
    widths = []
    for seed in range(20):
        recording = nr.simulate.simulate_calcium(
            1,
            plan.duration,
            30.0,
            tau_decay=0.5,
            tau_rise=tau_rise,
            rate=0.5,
            snr=8.0,
            rng=seed,
        )
        p = nr.calcium.Kinetics().fit(recording["dff"]).parameters_.isel(unit=0)
        low, high = p["tau_decay_ci"].values
        widths.append((high - low) / 0.5)
    # The estimator widens for misfit and does not know the events; the bound does.
    assert np.isfinite(widths).mean() >= 0.9
    assert 0.75 < np.nanmedian(widths) / plan.relative_width < 1.4
