"""Busy cells, bursts, steps between parts, and traces that no model of events describes."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.status import Status
from neurornn._kernels.projection import _solved_in_parts
from neurornn.calcium.clipping import goes_down, is_noise_free
from neurornn.calcium.increments import decays_of
from neurornn.calcium.kinetics_tables import _rate_bounds
from neurornn.calcium.overlap import apart, has_floor, strung_together, unit_size
from neurornn.calcium.trace_model import knots_of


def fitted(recording, **settings):
    return nr.calcium.Kinetics(**settings).fit(recording["dff"])


@pytest.mark.parametrize(
    ("tau", "rate", "sampling_rate"),
    [(1.5, 4.0, 30.0), pytest.param(0.3, 6.0, 30.0, marks=pytest.mark.slow), (0.6, 4.0, 15.0)],
)
def test_rate_and_decay_of_busy_cells(tau, rate, sampling_rate):
    recording = nr.simulate.simulate_calcium(
        6, 240.0, sampling_rate, tau_decay=tau, snr=8, rate=rate, rng=3
    )
    table = fitted(recording).parameters_
    true = recording["spike_count"].values / 240.0
    assert (table["status"] == "ok").sum() >= 5
    low, high = table["event_rate_ci"].values.T
    tau_low, tau_high = table["tau_decay_ci"].values.T
    # 95 % intervals of six cells: two misses happen in 3 of 100; the bias of tau was 45 % before.
    assert np.sum((low <= true) & (true <= high)) >= 4
    assert np.sum((tau_low <= tau) & (tau <= tau_high)) >= 4
    assert np.median(table["event_rate"].values / true) == pytest.approx(1.0, abs=0.03)


def test_a_cell_that_fires_more_is_not_given_fewer_events():
    rates = []
    for rate in (1.0, 2.5, 6.0):
        recording = nr.simulate.simulate_calcium(
            3, 120.0, 20.0, tau_decay=1.0, snr=8, rate=rate, rng=5
        )
        rates.append(float(fitted(recording).parameters_["event_rate"].median()))
    assert rates == sorted(rates)


def test_events_that_were_not_told_apart_have_no_interval():
    recording = nr.simulate.simulate_calcium(4, 240.0, 3.7, tau_decay=1.5, snr=8, rate=6.0, rng=1)
    table = fitted(recording).parameters_
    overlap = table["status"].values == str(Status.EVENTS_OVERLAP)
    # Sums of events can look like one with a long rise, too; ok they are not.
    assert overlap.sum() >= 2
    assert set(table["status"].values[~overlap]) <= {str(Status.RISE_TOO_LONG)}
    assert np.isnan(table["tau_decay_ci"]).all() and np.isnan(table["event_rate_ci"]).all()
    # What the cumulants of the steps tell is rough, but no handful of events.
    assert (table["event_rate"].values[overlap] > 1.0).all()
    assert "Record faster" in Status.EVENTS_OVERLAP.remedy


def test_a_quiet_cell_is_not_dense():
    recording = nr.simulate.simulate_calcium(4, 300.0, 5.0, tau_decay=1.0, snr=6, rate=0.2, rng=2)
    assert (fitted(recording).parameters_["status"] == "ok").all()


def test_bursts_count_by_their_size():
    rng = np.random.default_rng(4)
    trains = []
    for _ in range(4):
        starts = np.sort(rng.uniform(0, 300.0, 120))
        trains.append(np.repeat(starts, rng.geometric(0.5, len(starts))))
    recording = nr.simulate.simulate_calcium(
        4, 300.0, 30.0, tau_decay=0.8, snr=10, spike_times=trains, rng=rng
    )
    kinetics = fitted(recording)
    table, true = kinetics.parameters_, recording["spike_count"].values / 300.0
    assert (table["status"] == "ok").all()
    np.testing.assert_allclose(table["event_rate"], true, rtol=0.05)
    # One spike is the size of an event, and the rate in bins adds up to the same number.
    np.testing.assert_allclose(table["amplitude"], 1.0, atol=0.05)
    binned = kinetics.predict_rate(0.1).mean("time")
    np.testing.assert_allclose(binned, table["event_rate"], rtol=0.05)


def test_no_interval_for_the_rate_means_none_in_the_report():
    recording = nr.simulate.simulate_calcium(4, 240.0, 3.7, tau_decay=1.5, snr=8, rate=6.0, rng=1)
    kinetics = fitted(recording)
    text = kinetics.report()
    assert "events_overlap" in text and "Record faster" in text
    assert "not told apart" in kinetics.parameters_["event_rate_ci"].attrs["reason"]


@pytest.mark.parametrize("step", [0.5, 5.0])
@pytest.mark.parametrize(("n_parts", "duration"), [(2, 150.0), (20, 10.0)])
def test_every_part_has_a_baseline_of_its_own(step, n_parts, duration):
    recording = nr.simulate.simulate_calcium(
        3, n_parts * duration, 20.0, tau_decay=0.8, snr=8, rate=0.3, rng=9
    )
    pieces = np.split(recording["dff"].values, n_parts)

    def joined(height):
        parts = [
            nr.data.from_traces(p + height * (k % 2), sampling_rate=20.0)
            for k, p in enumerate(pieces)
        ]
        return nr.calcium.Kinetics().fit(nr.data.join_trials(parts, gap=1.0)["dff"])

    flat, stepped = joined(0.0), joined(step)
    # The steps are taken up by the baselines alone: not a digit of the rest may say otherwise.
    for name in ("tau_decay", "event_rate", "noise_sd"):
        np.testing.assert_allclose(stepped.parameters_[name], flat.parameters_[name], rtol=1e-6)
    high = stepped.baseline_.values - flat.baseline_.values
    which = np.repeat(np.arange(n_parts) % 2, len(pieces[0]))
    np.testing.assert_allclose(high[which == 0], 0.0, atol=1e-6)
    np.testing.assert_allclose(high[which == 1], step, rtol=1e-6)
    low, tall = stepped.parameters_["tau_decay_ci"].values.T
    assert np.sum((low <= 0.8) & (tall >= 0.8)) >= 2


def test_knots_belong_to_one_stretch():
    time = np.concatenate([np.arange(1, 301) / 10, 100 + np.arange(1, 21) / 10])
    blocks = np.array([[0, 300], [300, 320]])
    knot, fraction, n = knots_of(time, 10.0, blocks)
    # 29.9 s are two pieces of about ten, three knots; two seconds are one knot.
    assert n == 4 and knot[:300].max() == 1 and (knot[300:] == 3).all()
    assert fraction[299] == 1.0 and (fraction[300:] == 0).all()


def test_old_fits_with_one_baseline_are_still_drawn(tmp_path):
    recording = nr.simulate.simulate_calcium(1, 60.0, 20.0, tau_decay=0.5, n_trials=2, rng=0)
    kinetics = nr.calcium.Kinetics(knot_spacing=30.0).fit(recording["dff"])
    table = kinetics.segments_
    time = table["time"].values
    heights = np.linspace(1.0, 2.0, knots_of(time, 30.0)[2])
    kinetics.segments_ = table.drop_vars("knot_height").assign(
        knot_height=(("unit", "knot"), heights[None])
    )
    drawn = kinetics.baseline_.values[:, 0]
    # One line from the first frame to the last, over the gap.
    assert drawn[0] == pytest.approx(1.0) and drawn[-1] == pytest.approx(2.0)
    assert (np.diff(drawn) > 0).all()


def test_normal_equations_fall_into_parts():
    rng = np.random.default_rng(0)
    gram = np.zeros((7, 7))
    for a, b in ((0, 3), (3, 4), (4, 7)):
        half = rng.standard_normal((b - a, b - a))
        gram[a:b, a:b] = half @ half.T + np.eye(b - a)
    cross = rng.standard_normal(7)
    np.testing.assert_allclose(_solved_in_parts(gram, cross), np.linalg.solve(gram, cross))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.2, 1.0, 30.0])
def test_transients_that_go_down(scale):
    recording = nr.simulate.simulate_calcium(2, 200.0, 20.0, tau_decay=1.2, rate=0.3, rng=3)
    down = -scale * recording["dff"].values
    table = nr.calcium.Kinetics().fit(down, sampling_rate=20.0).parameters_
    assert (table["status"] == str(Status.NEGATIVE_GOING)).all()
    assert np.isnan(table["tau_decay_ci"]).all()
    up = nr.calcium.Kinetics().fit(-down, sampling_rate=20.0).parameters_
    assert (up["status"] == "ok").all()


def test_low_noise_does_not_turn_a_trace_over():
    recording = nr.simulate.simulate_calcium(1, 200.0, 30.0, tau_decay=0.5, snr=1000, rng=1)
    y = recording["dff"].values[:, 0]
    blocks = np.array([[0, len(y)]])
    assert not goes_down(y, blocks) and goes_down(-y, blocks)


@pytest.mark.parametrize("rise", [0.0, 0.1])
def test_a_trace_without_noise_says_so(rise):
    recording = nr.simulate.simulate_calcium(2, 240.0, 30.0, tau_decay=1.5, tau_rise=rise, rng=1)
    table = nr.calcium.Kinetics().fit(recording["calcium"].values, sampling_rate=30.0).parameters_
    assert (table["status"] == str(Status.NOISE_FREE)).all()
    np.testing.assert_allclose(table["tau_decay"], 1.5, rtol=1e-3)
    assert np.isnan(table["tau_decay_ci"]).all()
    noisy = recording["dff"].values[:, 0]
    assert not is_noise_free(noisy, np.array([[0, len(noisy)]]))


@pytest.mark.parametrize("frames", [0.5, 1.0])
def test_decays_of_a_frame_are_not_resolved(frames):
    recording = nr.simulate.simulate_calcium(2, 200.0, 30.0, tau_decay=frames / 30, snr=10, rng=2)
    assert (fitted(recording).parameters_["status"] == "decay_not_resolved").all()


def test_a_rise_about_as_long_as_the_decay_is_told():
    recording = nr.simulate.simulate_calcium(
        3, 300.0, 30.0, tau_decay=0.5, tau_rise=0.4, snr=10, rate=0.2, rng=3
    )
    table = fitted(recording).parameters_
    assert (table["status"] == str(Status.RISE_TOO_LONG)).all()
    assert np.isnan(table["tau_decay_ci"]).all()


def test_f0_within_its_noise_is_told_and_stays_told():
    rng = np.random.default_rng(0)
    rec = nr.simulate.simulate_calcium(2, 300.0, 30.0, tau_decay=0.6, snr=8, rate=0.3, rng=4)
    counts = np.array([300.0, 8.0]) + 40 * rec["calcium"].values + rng.normal(0, 5, (9000, 2))
    counts[:, 1] = np.maximum(counts[:, 1], 0.1)
    with pytest.warns(UserWarning, match="noise of one frame"):
        trace = nr.calcium.dff(counts, sampling_rate=30.0)
    assert trace["status"].values.tolist() == ["ok", "baseline_near_zero"]
    table = nr.calcium.Kinetics().fit(trace).parameters_
    assert table["status"].values.tolist() == ["ok", "baseline_near_zero"]
    assert np.isnan(table["tau_decay_ci"][1]).all()


def test_frame_delay_moves_events_and_rates_alike():
    recording = nr.simulate.simulate_calcium(1, 200.0, 20.0, tau_decay=0.6, rate=0.3, rng=6)
    late = recording["dff"].assign_attrs(frame_delay=0.2)
    here, there = (nr.calcium.Kinetics().fit(t) for t in (recording["dff"], late))
    moved = here.events_["event_time"].values - there.events_["event_time"].values
    np.testing.assert_allclose(moved, 0.2, atol=1e-12)
    np.testing.assert_array_equal(here.calcium_, there.calcium_)
    centre = [
        float((r.time * r[:, 0]).sum() / r.sum())
        for k in (here, there)
        for r in [k.predict_rate(0.05)]
    ]
    assert centre[0] - centre[1] == pytest.approx(0.2, abs=0.02)


def test_decays_of_most_frames():
    recording = nr.simulate.simulate_calcium(
        1, 240.0, 15.0, tau_decay=1.0, snr=8, rate=5.0, baseline=3.0, rng=1
    )
    y = recording["dff"].values[:, 0]
    found = decays_of(y, np.array([[0, len(y)]]), 2.0, 1 / 15)
    # A start, not an estimate: noise in the regressor shortens it by some per cent.
    assert found.tau == pytest.approx(1.0, rel=0.15)
    assert found.level == pytest.approx(3.0, abs=1.0)
    assert found.noise == pytest.approx(1 / 8, rel=0.25)
    assert decays_of(np.full(100, np.nan), np.array([[0, 100]]), 1.0, 0.1) is None


def test_sizes_and_places():
    rng = np.random.default_rng(0)
    singles = rng.normal(1.0, 0.06, 300)
    multiples = rng.geometric(0.5, 300) * 1.0 + rng.normal(0, 0.06, 300)
    assert unit_size(multiples) == pytest.approx(1.0, abs=0.03)
    assert has_floor(multiples, 20.0) and has_floor(singles, 20.0)
    assert not has_floor(rng.lognormal(0, 0.6, 300), 20.0)
    # Of 600 events at random in 1000 frames, 1000 (1 - exp(-.6)) = 451.2 frames show one.
    assert apart(1000 * (1 - np.exp(-0.6)), 1000) == pytest.approx(600)
    scattered = np.sort(rng.choice(2000, 200, replace=False))
    assert not strung_together(scattered, 2000)
    strings = (np.arange(0, 2000, 50)[:, None] + np.arange(5)).ravel()
    assert strung_together(strings, 2000)


@pytest.mark.slow
def test_no_interval_of_anything_where_events_are_not_those_of_the_cell():
    bursts = np.random.default_rng(1)
    starts = np.sort(bursts.uniform(0, 240.0, 240))
    train = np.repeat(starts, bursts.geometric(0.5, len(starts)))
    fast = nr.simulate.simulate_calcium(
        2, 240.0, 7.5, tau_decay=0.2, snr=8, spike_times=[train, train], rng=bursts
    )
    table = fitted(fast).parameters_
    assert (table["status"] != "ok").all()
    for name in ("tau_decay_ci", "event_rate_ci", "amplitude_ci", "snr_ci"):
        assert np.isnan(table[name]).all(), name


def test_bounds_of_a_rate_reach_from_the_least_to_the_most():
    counts = np.array([[10.0, 8.0, 30.0], [5.0, np.nan, np.nan]])
    bounds = _rate_bounds(counts, np.array([10.0, 10.0]), 0.95)
    # Garwood's exact bounds of 8 and of 30 events in 10 s.
    np.testing.assert_allclose(bounds[0], [0.3454, 4.2827], rtol=1e-3)
    assert np.isnan(bounds[1]).all()


@pytest.mark.parametrize(
    ("tau", "rate", "sampling_rate"),
    [pytest.param(0.6, 4.0, 7.5, marks=pytest.mark.slow), (1.0, 2.0, 3.7), (0.3, 2.0, 7.5)],
)
def test_missed_events_are_not_taken_for_noise_by_which_others_are_missed(
    tau, rate, sampling_rate
):
    """A third of the frames hold an event, a decay has a few: the fit used to end at 1.5 tau."""
    recording = nr.simulate.simulate_calcium(
        8, 240.0, sampling_rate, tau_decay=tau, snr=8, rate=rate, rng=3
    )
    table = fitted(recording).parameters_
    true = recording["spike_count"].values / 240.0
    ok = table["status"].values == "ok"
    # The steps of 900 frames know the noise to 10 %: a good fit may look as if it left too much.
    assert ok.sum() >= 4
    low, high = table["tau_decay_ci"].values[ok].T
    assert np.sum((low <= tau) & (tau <= high)) >= ok.sum() - 1
    np.testing.assert_allclose(table["tau_decay"].values[ok], tau, rtol=0.12)
    # Counts of some hundred events, of which a tenth fall into one frame with another.
    np.testing.assert_allclose(table["event_rate"].values[ok], true[ok], rtol=0.08)


@pytest.mark.slow
def test_bursts_within_a_slow_frame_are_multiples_of_one_size():
    """From a start that drops single spikes as small ones the fit never came back."""
    rng = np.random.default_rng(8)
    trains = []
    for _ in range(6):
        starts = rng.uniform(-8, 240.0, rng.poisson(248))
        bursts = [s + 0.02 * np.arange(n) for s, n in zip(starts, rng.geometric(0.5, len(starts)),
                                                          strict=True)]  # fmt: skip
        trains.append(np.sort(np.concatenate(bursts)))
    recording = nr.simulate.simulate_calcium(
        6, 240.0, 7.5, tau_decay=1.0, snr=8, spike_times=trains, rng=rng
    )
    inside = [np.sum((t > 0) & (t <= 240)) / 240 for t in trains]
    table = fitted(recording).parameters_
    ok = table["status"].values == "ok"
    assert ok.sum() >= 4
    np.testing.assert_allclose(table["event_rate"].values[ok], np.array(inside)[ok], rtol=0.08)
    np.testing.assert_allclose(table["tau_decay"].values[ok], 1.0, rtol=0.05)


@pytest.mark.slow
def test_a_fit_that_leaves_more_noise_than_the_steps_have_says_so():
    """Three kinds of cells whose events follow one another faster than frames tell."""
    for tau, rate, sampling_rate in ((1.5, 6.0, 3.7), (0.3, 2.0, 3.7), (0.3, 6.0, 7.5)):
        recording = nr.simulate.simulate_calcium(
            4, 240.0, sampling_rate, tau_decay=tau, snr=8, rate=rate, rng=1
        )
        table = fitted(recording).parameters_
        ok = table["status"].values == "ok"
        low, high = table["tau_decay_ci"].values.T
        assert not np.any(ok & ~((low <= tau) & (tau <= high)))
        assert np.isnan(table["event_rate_ci"].values[~ok]).all()
