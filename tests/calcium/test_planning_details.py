"""The bound behind a plan against a dense least-squares problem, and every number that is told."""

import numpy as np
import pytest
from scipy.stats import poisson

import neurornn as nr
from neurornn._core.errors import DataError, UnitError
from neurornn.calcium import planning

Z = 1.959963984540054


def naive_information(tau, rise, rate, dt, n_frames, seed):
    """Squared slope of the trace in tau that no level, baseline or rise can imitate."""
    rng = np.random.default_rng(seed)
    n_lead = int(np.ceil(8 * tau / dt))
    span = (n_lead + n_frames) * dt
    n_events = rng.poisson(rate * span)
    events = rng.uniform(0, span, n_events) - n_lead * dt
    ends = dt * np.arange(1, n_frames + 1)
    since = ends[:, None] - events
    # An event is seen from the end of the frame in which it falls.
    since = np.where(since >= 0, since, np.inf)

    def slope(speed):
        decayed = np.exp(-since * speed)
        return np.where(np.isfinite(since), since, 0) * decayed

    if rise:
        both = 1 / rise
        at = np.linspace(0, 10 * tau, 200_001)
        peak = np.max(np.exp(-at / tau) - np.exp(-at * both))
        wanted = slope(1 / tau).sum(axis=1) / tau**2 / peak
        nuisance, speeds = [slope(both).sum(axis=1)], (1 / tau, both)
    else:
        wanted, nuisance, speeds = slope(1 / tau).sum(axis=1) / tau**2, [], (1 / tau,)
    stretch = np.sum(np.floor(events / dt - 1e-12)[:, None] + 1 <= np.arange(1, n_frames + 1), 0)
    first = np.sum(events <= 0)
    for k in np.unique(np.maximum(stretch, first)):
        inside = np.maximum(stretch, first) == k
        nuisance += [np.where(inside, np.exp(-(ends - ends[inside][0]) * s), 0) for s in speeds]
    # Straight lines between knots 2 s apart.
    n_knots = max(round(n_frames * dt / 2.0), 1)
    place = np.linspace(0, n_frames * dt / 2.0, n_frames)
    nuisance += [np.clip(1 - np.abs(place - k), 0, None) for k in range(n_knots + 1)]
    columns = np.column_stack([c for c in nuisance if np.any(c)])
    columns = columns / np.linalg.norm(columns, axis=0)
    left = wanted - columns @ np.linalg.lstsq(columns, wanted, rcond=1e-12)[0]
    return left @ left


@pytest.mark.parametrize(
    ("tau", "rise", "rate", "dt", "n_frames"),
    [(0.5, 0.0, 0.8, 0.1, 120), (0.3, 0.1, 0.5, 0.05, 150), (1.0, 0.4, 0.3, 0.1, 90)],
)
def test_the_information_of_a_train_is_that_of_a_dense_least_squares_problem(
    monkeypatch, tau, rise, rate, dt, n_frames
):
    monkeypatch.setattr(planning, "_KNOTS", 2.0)
    for seed in range(3):
        found = planning._information(tau, rise, rate, dt, n_frames, np.random.default_rng(seed))
        expected = naive_information(tau, rise, rate, dt, n_frames, seed)
        # The peak on a grid of 5e-5 tau, and a least-squares solution at 1e-10.
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("tau", "rate", "sampling_rate", "n_frames", "n_trains"),
    [
        # 600 s hold 300 events: 20 trains make 6000.
        (0.5, 0.5, 30.0, 18_000, 20),
        # A train more for what is left over: 6000 / 420 = 14.3.
        (0.5, 0.7, 30.0, 18_000, 15),
        # Never fewer than 8, nor more than 200.
        (0.5, 5.0, 30.0, 18_000, 8),
        (0.5, 0.01, 30.0, 18_000, 167),
        (0.5, 0.01, 10.0, 6_000, 200),
        # Long decays: ten of them.
        (70.0, 0.5, 30.0, 21_000, 18),
    ],
)
def test_trains_are_as_many_as_their_events_and_frames_ask_for(
    monkeypatch, tau, rate, sampling_rate, n_frames, n_trains
):
    asked = []

    def one(*given):
        asked.append(given)
        return float(len(asked))

    monkeypatch.setattr(planning, "_information", one)
    rng = np.random.default_rng(0)
    found = planning._informations(tau, 0.1, rate, sampling_rate, rng)
    assert asked == [(tau, 0.1, rate, 1 / sampling_rate, n_frames, rng)] * n_trains
    seconds = n_frames / sampling_rate
    assert found == pytest.approx(np.arange(1, n_trains + 1) / seconds)


def test_what_tells_nothing_of_the_decay_is_refused(monkeypatch):
    # 1e-8 / s on log(tau): with tau 2 s and 600 s an information of 1.5e-6 / s^2.
    for value, fine in ((1.6e-6, True), (1.4e-6, False)):
        monkeypatch.setattr(planning, "_information", lambda *_, value=value: value)
        ask = (2.0, 0.5, 0.25, 4.0, np.random.default_rng(0))
        if fine:
            assert planning._informations(*ask)[0] == pytest.approx(value / 600)
            continue
        with pytest.raises(DataError, match=r"With tau 2 s, rise 0\.5 s and 0\.25 Hz at 4 frames"):
            planning._informations(*ask)


def planned(monkeypatch, per_second=(3.0, 5.0), **changes):
    """A plan whose trains tell so much on log(tau) per second at a signal-to-noise of 1."""
    given = {"tau": 0.5, "rate": 0.5, "snr": 5.0, "sampling_rate": 30.0, **changes}
    told = np.array(per_second) / given["tau"] ** 2 / 100
    monkeypatch.setattr(planning, "_informations", lambda *_: told)
    return nr.calcium.plan(**given)


def test_duration_and_widths_are_the_closed_forms(monkeypatch):
    plan = planned(monkeypatch)
    # Information 0.04 per s and square of the SNR: 1 per s at 5.
    assert plan.information == pytest.approx(1.0)
    # The width of an interval in log(tau) is 2 sinh(z / sqrt(seconds)), 0.05 by default.
    assert plan.duration == pytest.approx((Z / np.arcsinh(0.025)) ** 2)
    assert plan.n_events == pytest.approx(0.5 * plan.duration)
    assert (plan.relative_width, plan.confidence_level) == (0.05, 0.95)
    assert plan.expected_width(100.0) == pytest.approx(2 * np.sinh(Z / 10))
    assert plan.expected_width([25.0, 400.0]) == pytest.approx(2 * np.sinh([Z / 5, Z / 20]))
    shares = np.array([0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0])
    assert plan.widths["duration"].values == pytest.approx(shares * plan.duration)
    assert plan.widths.values == pytest.approx(2 * np.sinh(Z / np.sqrt(shares * plan.duration)))
    assert plan.widths.name == "relative_width" and plan.widths.dims == ("duration",)
    assert plan.widths.attrs["long_name"] == "expected full width over tau_decay"
    assert plan.widths["duration"].attrs == {"units": "s"} and plan.widths.attrs["units"] == "1"
    # Two trains of 3 and 5: an sd of sqrt(2), a standard error of 1, a quarter of the mean.
    spread = plan.parameters["duration_ci"].values / plan.duration
    assert spread == pytest.approx([np.exp(-Z / 4), np.exp(Z / 4)])
    assert float(plan.parameters["duration"]) == plan.duration
    assert plan.parameters["duration"].attrs["long_name"] == "recorded time per cell"
    assert plan.settings == {
        "tau": 0.5, "tau_rise": 0.0, "rate": 0.5, "snr": 5.0, "sampling_rate": 30.0,
    }  # fmt: skip
    wide = planned(monkeypatch, relative_width=0.2, confidence_level=0.8)
    assert wide.duration == pytest.approx((1.2815515655446 / np.arcsinh(0.1)) ** 2)
    assert wide.parameters["duration_ci"].attrs["ci_prob"] == 0.8


def test_the_fewest_events_come_with_95_percent(monkeypatch):
    plan = planned(monkeypatch, per_second=(300.0, 500.0), rate=0.01)
    # The mean of a Poisson law that is 5 or more with 95 %: 9.1535, on a grid of 0.025.
    assert plan.n_events == pytest.approx(9.1535, abs=0.026)
    assert poisson.sf(4, plan.n_events) >= 0.95 > poisson.sf(4, plan.n_events - 0.026)
    assert plan.limited_by == "events"
    assert plan.parameters["duration_ci"].values.tolist() == [plan.duration] * 2
    assert (
        "The width alone would need less: an interval needs 5 events, and this duration holds "
        "them with a probability of 0.95."
    ) in plan.report().splitlines()
    # Where the width needs a little more, the lower bound stays where the events are enough.
    enough = plan.n_events / 0.01
    share = (Z / np.arcsinh(0.025)) ** 2 / (1.01 * enough) / 25 * 100
    near = planned(monkeypatch, per_second=(0.75 * share, 1.25 * share), rate=0.01)
    assert near.limited_by == "width" and near.duration == pytest.approx(1.01 * enough)
    assert near.parameters["duration_ci"].values[0] == pytest.approx(enough)


def test_the_report_and_the_methods_say_all_of_it(monkeypatch):
    plan = planned(monkeypatch, per_second=(4.0, 4.0), relative_width=0.1, tau_rise=0.05)
    seconds = (Z / np.arcsinh(0.05)) ** 2
    lines = plan.report().splitlines()
    assert lines[:3] == [
        "Plan: how long to record",
        "record 1538 [1538, 1538] s per cell for a 95 % interval 10.0 % wide in all (about 769 "
        "events)",
        "tau 0.5 s, rise 0.05 s, 0.5 Hz, SNR 5, 30 frames per s",
    ]
    assert seconds == pytest.approx(1538, abs=0.5)
    assert lines[4].split("  ")[0] == "duration (s)"
    # Half the time: wider by the square root of two.
    half = next(line for line in lines if line.startswith("769 "))
    assert half.split() == ["769", "384", "14.1", "%"]
    assert lines[-1] == (
        "Cramer-Rao bound, event times, sizes and baseline free, averaged over Poisson trains; "
        "the duration's interval is the error of that average."
    )
    said = plan.methods_text()
    assert said.startswith(
        "The recorded time per cell was planned with neurornn for a 95 % interval of the decay "
        "that is 10.0 % wide in all, at a decay of 0.5 s, a rise of 0.05 s, events at 0.5 Hz, a "
        "signal-to-noise ratio of 5 and 30 frames per s, from the Cramer-Rao bound"
    )
    assert "an instant rise" in planned(monkeypatch).methods_text()


@pytest.mark.parametrize(
    ("snr", "tau", "status", "limit"),
    [
        (5.0, 0.5, "ok", False),
        (4.9, 0.5, "ok", True),
        (3.0, 0.5, "ok", True),
        (2.9, 0.5, "too_noisy", True),
        # Half a frame is the shortest decay.
        (5.0, 0.5 / 32, "ok", False),
        (5.0, 0.49 / 32, "decay_not_resolved", False),
        (2.0, 0.49 / 32, "decay_not_resolved", True),
    ],
)
def test_how_far_the_bound_can_be_reached_is_said(monkeypatch, snr, tau, status, limit):
    plan = planned(monkeypatch, snr=snr, tau=tau, sampling_rate=32.0)
    assert plan.status == status
    assert any(line.startswith(f"{status}: ") for line in plan.report().splitlines()) == (
        status != "ok"
    )
    assert ("Below SNR 5 the times of events are themselves uncertain: take this for a lower "
            "limit of the duration." in plan.report()) == limit  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"rate": 31.0}, UnitError, "rate is 31 Hz at 30 frames per s"),
        ({"tau": 25.0}, UnitError, r"tau is 25 s and tau_rise 0 s\..*pass tau=0\.025\.$"),
        ({"tau_rise": 25.0}, UnitError, r"tau=0\.0005, tau_rise=0\.025"),
        (
            {"tau_rise": 0.5},
            DataError,
            r"tau_rise is 0\.5 s and tau 0\.5 s.*shorter than the decay",
        ),
        ({"relative_width": 2.0}, DataError, r"relative_width is 2\..*pass 0\.02"),
        ({"snr": 5e-4}, DataError, "snr is 0.0005"),
        ({"snr": 2e6}, DataError, "snr is 2e\\+06"),
        ({"relative_width": 5e-7}, DataError, "relative_width is 5e-07"),
    ],
)
def test_numbers_of_another_unit_are_asked_about(monkeypatch, wrong, kind, said):
    with pytest.raises(kind, match=said):
        planned(monkeypatch, **wrong)


@pytest.mark.parametrize(
    "edge",
    [{"rate": 30.0}, {"tau": 20.0}, {"tau": 20.0, "tau_rise": 19.0}, {"relative_width": 1.99}],
)
def test_the_largest_of_each_is_planned(monkeypatch, edge):
    assert planned(monkeypatch, **edge).duration > 0


@pytest.mark.parametrize("bad", [0.0, [1.0, 0.0], np.nan, np.inf])
def test_a_width_is_asked_at_times_above_0(monkeypatch, bad):
    with pytest.raises(DataError, match="Finite times above 0"):
        planned(monkeypatch).expected_width(bad)
