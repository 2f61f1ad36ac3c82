"""Reaches and the user of a cursor: the movement, the tuning and the loop are what they say."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn.simulate.reaching import PEAK_TO_MEAN


def test_a_reach_has_the_peak_speed_of_least_jerk():
    session = nr.simulate.simulate_reaches(
        8, 1, bin_size=0.001, distance=8.0, movement_time=0.4, timing_cv=0.0, rng=0
    )
    speed = np.linalg.norm(session["velocity"], axis=1)
    # Around the peak the speed falls off as 1 - 8 (t / T)^2: by 1.6e-5 within a bin of 1 ms.
    assert speed.max() == pytest.approx(1.875 * 8.0 / 0.4, rel=1e-4)
    assert PEAK_TO_MEAN == 1.875


def test_reaches_go_out_to_every_target_and_back():
    session = nr.simulate.simulate_reaches(16, 1, distance=8.0, rng=1)
    trial, target = session["trial"].values, session["target"].values
    position = session["position"].values
    assert trial[0] == 0 and trial[-1] == 15 and np.all(np.diff(trial) >= 0)
    outward = []
    for k in range(16):
        rows = np.flatnonzero(trial == k)
        # The target is the outer one first and the centre after it, each reached and held.
        first, last = target[rows[0]], target[rows[-1]]
        assert np.linalg.norm(first) == pytest.approx(8.0) and np.allclose(last, 0.0)
        turn = rows[np.flatnonzero(np.any(target[rows] != first, axis=1))[0]]
        # The cue falls inside the bin: the hand is still at rest in it.
        assert position[turn] == pytest.approx(first, abs=1e-12)
        assert position[rows[-1]] == pytest.approx(last, abs=1e-12)
        outward.append(tuple(np.round(first, 6)))
    # Two rounds of eight targets: each twice.
    assert all(outward.count(place) == 2 for place in set(outward)) and len(set(outward)) == 8


def test_velocity_adds_up_to_position():
    session = nr.simulate.simulate_reaches(5, 1, rng=2)
    width = session["counts"].attrs["bin_size"]
    place = np.cumsum(session["velocity"].values, axis=0) * width
    # Sums of a thousand rounding errors of 1e-16 times 10 cm.
    assert place == pytest.approx(session["position"].values, abs=1e-10)


def test_counts_are_poisson_with_the_stated_rate():
    session = nr.simulate.simulate_reaches(60, 30, rng=3)
    mean = session["rate"].values * session["counts"].attrs["bin_size"]
    counts = session["counts"].values
    off = (counts - mean).sum(0) / np.sqrt(mean.sum(0))
    # Thirty standard normal numbers: beyond 4 once in 500 sessions.
    assert np.abs(off).max() < 4
    # The squared deviation is the mean, with variance 2 m^2 + m; a rate of 0 never fires.
    spread = np.sum((counts - mean) ** 2) - mean.sum()
    assert abs(spread) < 4 * np.sqrt(np.sum(2 * mean**2 + mean))
    assert counts[mean == 0].sum() == 0


def test_cosine_tuning_is_recovered_by_regression():
    # High baseline: no rate reaches 0, so that the rate is linear in what follows.
    session = nr.simulate.simulate_reaches(
        150, 24, baseline_rate=40.0, modulation_depth=12.0, lag_range=(0.0, 0.0), rng=4
    )
    assert float(session["rate"].min()) > 0
    width, v0 = session["counts"].attrs["bin_size"], 1.875 * 8.0 / 0.45
    velocity, position = session["velocity"].values / v0, session["position"].values / 8.0
    design = np.column_stack(
        [np.ones(len(velocity)), velocity, np.linalg.norm(velocity, axis=1), position]
    )
    truth = np.column_stack(
        [
            session["baseline_rate_true"],
            12.0 * np.cos(session["preferred_direction_true"]),
            12.0 * np.sin(session["preferred_direction_true"]),
            session["speed_gain_true"],
            session["position_gain_true"] * np.cos(session["position_direction_true"]),
            session["position_gain_true"] * np.sin(session["position_direction_true"]),
        ]
    )
    z = []
    for unit in range(24):
        # Weighted by the known Poisson variances: least squares with exact standard errors.
        weight = 1 / (session["rate"].values[:, unit] * width)
        covariance = np.linalg.inv(design.T @ (weight[:, None] * design))
        fitted = covariance @ (design.T @ (weight * session["counts"].values[:, unit]))
        z.append((fitted / width - truth[unit]) / (np.sqrt(np.diag(covariance)) / width))
    z = np.array(z)
    # 144 standard normal numbers: none beyond 4.5 (once in 1000 sessions), and their mean square
    # within four of its standard deviations, sqrt(2 / 144).
    assert np.abs(z).max() < 4.5
    assert np.mean(z**2) == pytest.approx(1.0, abs=4 * np.sqrt(2 / z.size))


def test_spikes_precede_the_movement_by_the_lag_of_the_unit():
    session = nr.simulate.simulate_reaches(
        40, 20, bin_size=0.01, baseline_rate=40.0, modulation_depth=15.0, rng=5
    )
    velocity, rate = session["velocity"].values, session["rate"].values
    angle = session["preferred_direction_true"].values
    along = velocity @ np.stack([np.cos(angle), np.sin(angle)])
    lags = np.arange(0, 16)
    for unit, true in enumerate(session["lag_true"].values):
        match = [np.corrcoef(rate[: len(rate) - k, unit], along[k:, unit])[0, 1] for k in lags]
        # To the nearest bin of 10 ms; speed and position move the peak by less than another.
        assert abs(lags[int(np.argmax(match))] * 0.01 - true) <= 0.015
    assert session["lag_true"].values.min() >= 0.02 and session["lag_true"].values.max() <= 0.12


def flattery(drift, seed):
    """R2 on bins chosen at random less R2 on the last fifth."""
    session = nr.simulate.simulate_reaches(200, 60, drift=drift, rng=seed)
    # Sums over the last 160 ms, so that the units' lags and the Poisson noise matter less.
    counts = session["counts"].rolling(time=8, min_periods=1).sum().values
    velocity = session["velocity"].values
    n = len(counts)
    mixed = np.random.default_rng(0).permutation(n)
    cut = int(0.8 * n)

    def score(train, test):
        return Ridge(10.0).fit(counts[train], velocity[train]).score(counts[test], velocity[test])

    later = score(np.arange(cut - 50), np.arange(cut, n))
    return score(mixed[:cut], mixed[cut:]) - later


@pytest.mark.slow
def test_drift_makes_a_random_split_flatter_a_decoder():
    # Measured over seeds 0 to 2: 0.25 to 0.48 with a drift of 1; without, the two splits differ
    # by how hard their parts of the session are, at most 0.02.
    assert np.mean([flattery(1.0, seed) for seed in (0, 1)]) > 0.15
    assert abs(flattery(0.0, 0)) < 0.05


@pytest.mark.slow
def test_drift_is_shared_slow_and_of_the_stated_size():
    session = nr.simulate.simulate_reaches(300, 200, drift=0.5, drift_time=20.0, rng=6)
    gain = session["log_gain"].values
    # 20 courses over about 600 s / (2 * 20 s) = 15 correlation times: sd of a variance over 300
    # samples is sqrt(2 / 300) = 8 %, of an sd 4 %.
    assert gain.std() == pytest.approx(0.5, rel=0.16)
    # 200 units, 20 courses.
    assert np.linalg.matrix_rank(gain[::500]) == 20
    step = gain[50:] - gain[:-50]
    # After 1 s: variance 2 (1 - exp(-1 / 20)) of that of the drift; the same 16 % as above.
    assert step.std() == pytest.approx(0.5 * np.sqrt(2 * (1 - np.exp(-1 / 20))), rel=0.16)


def test_a_seed_gives_the_same_session():
    first = nr.simulate.simulate_reaches(4, 5, drift=0.3, rng=7)
    assert first.identical(nr.simulate.simulate_reaches(4, 5, drift=0.3, rng=7))
    assert not first.equals(nr.simulate.simulate_reaches(4, 5, drift=0.3, rng=8))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: nr.simulate.simulate_reaches(0), "n_trials is 0"),
        (lambda: nr.simulate.simulate_reaches(2, 3, movement_time=-1.0), "movement_time is -1"),
        (lambda: nr.simulate.simulate_reaches(2, 3, lag_range=(0.1, 0.0)), r"lag_range is \(0"),
        (lambda: nr.simulate.simulate_reaches(2, 3, drift=-0.1), "drift is -0.1"),
        (lambda: nr.simulate.simulate_reaches(2, 3, timing_cv=1.5), "timing_cv is 1.5"),
        (
            lambda: nr.simulate.simulate_reaches(2, 3, baseline_rate=[1.0, 2.0]),
            r"baseline_rate has shape \(2,\) for 3 units",
        ),
        (
            lambda: nr.simulate.simulate_reaches(2, 3, modulation_depth=-5.0),
            "modulation_depth holds -5",
        ),
        (lambda: nr.simulate.CursorUser(3, feedback_delay=-0.1), "feedback_delay is -0.1"),
        (lambda: nr.simulate.CursorUser(3, rng=0).counts([0, 0], [0, 0]), "has no target"),
        (
            lambda: nr.simulate.CursorUser(3, rng=0).reset([1, 2, 3], [0, 0]),
            r"target has shape \(3,\)",
        ),
        (
            lambda: nr.simulate.CursorUser(3, rng=0).reset([np.nan, 2], [0, 0]),
            r"target is \[nan, 2.0\]",
        ),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call, said):
    with pytest.raises(ThreePartError, match=said):
        call()


def test_the_user_aims_at_the_target_from_where_it_sees_the_cursor():
    user = nr.simulate.CursorUser(
        3, feedback_delay=0.1, top_speed=15.0, approach_time=0.4, rest_radius=0.5, rng=0
    )
    user.reset([8.0, 0.0], [0.0, 0.0])
    places = np.array([[0.0, 0.5 * k] for k in range(1, 12)])
    for k, place in enumerate(places):
        user.counts(place, [0.0, 25.0])
        # 100 ms are five bins: until then the cursor is seen at rest.
        seen = places[k - 5] if k >= 5 else np.zeros(2)
        assert user.seen_position == pytest.approx(seen)
        way = np.array([8.0, 0.0]) - seen
        speed = min(15.0, np.linalg.norm(way) / 0.4)
        assert user.intention == pytest.approx(speed * way / np.linalg.norm(way))
    user.reset([8.0, 0.0], [8.0, 0.4])
    assert user.intention.tolist() == [0.0, 0.0]
    # 1 cm away: 1 cm / 0.4 s.
    user.reset([8.0, 0.0], [8.0, 1.0])
    assert user.intention == pytest.approx([0.0, -2.5])


def test_foresight_makes_up_for_the_delay_of_a_steady_cursor():
    user = nr.simulate.CursorUser(3, feedback_delay=0.1, foresight=1.0, rng=0)
    user.reset([8.0, 0.0], [0.0, 0.0])
    for k in range(20):
        place = np.array([0.1 * k, 0.0])
        user.counts(place, [5.0, 0.0])
    assert user.seen_position == pytest.approx(place)


@pytest.mark.slow
def test_the_user_fires_with_the_tuning_of_the_context():
    user = nr.simulate.CursorUser(
        12, context_change=0.7, depth_change=0.3, baseline_rate=40.0, modulation_depth=12.0, rng=1
    )
    truth = user.truth
    directions = 2 * np.pi * np.arange(8) / 8
    n, total = 3000, []
    for angle in directions:
        target = 100 * np.array([np.cos(angle), np.sin(angle)])
        user.reset(target, [0.0, 0.0])
        total.append(sum(user.counts([0.0, 0.0], [0.0, 0.0]) for _ in range(n)))
    seconds = n * user.bin_size
    for name in ("closed", "true"):
        angle, depth = truth[f"preferred_direction_{name}"], truth[f"modulation_depth_{name}"]
        rate = 40.0 + depth.values * np.cos(directions[:, None] - angle.values)
        z = (np.array(total) / seconds - rate) / np.sqrt(rate / seconds)
        # In closed loop 96 standard normal numbers, whose mean square is 1 to sqrt(2 / 96); with
        # the tuning of training they are off.
        assert (abs(np.mean(z**2) - 1) < 4 * np.sqrt(2 / z.size)) == (name == "closed")


def test_context_change_has_the_stated_size_and_can_be_none():
    truth = nr.simulate.CursorUser(2000, context_change=0.5, depth_change=0.2, rng=2).truth
    turned = truth["preferred_direction_closed"] - truth["preferred_direction_true"]
    scaled = np.log(truth["modulation_depth_closed"] / truth["modulation_depth_true"])
    # sd of an sd of 2000: 1 / sqrt(4000) = 1.6 %; four of them.
    assert float(turned.std()) == pytest.approx(0.5, rel=0.064)
    assert float(scaled.std()) == pytest.approx(0.2, rel=0.064)
    same = nr.simulate.CursorUser(20, context_change=0.0, depth_change=0.0, rng=2).truth
    assert np.array_equal(same["preferred_direction_closed"], same["preferred_direction_true"])
    assert np.array_equal(same["modulation_depth_closed"], same["modulation_depth_true"])


def test_observation_uses_the_same_neurons_in_the_training_context():
    user = nr.simulate.CursorUser(10, context_change=1.0, top_speed=15.0, rng=3)
    session = user.observe(20, timing_cv=0.0)
    for name in ("preferred_direction_true", "modulation_depth_true", "baseline_rate_true"):
        assert np.array_equal(session[name], user.truth[name])
    velocity = session["velocity"].values
    # The mean reach has the user's top speed at its peak; around it the speed falls off as
    # 1 - 8 (t / T)^2, by 1e-3 within half a bin of 20 ms of the 1 s it takes, and a bin averages.
    assert np.linalg.norm(velocity, axis=1).max() == pytest.approx(15.0, rel=2e-3)
    angle, depth = session["preferred_direction_true"], session["modulation_depth_true"]
    drive = velocity @ np.stack([np.cos(angle), np.sin(angle)]) * depth.values / 15.0
    rate = np.maximum(session["baseline_rate_true"].values + drive, 0)
    # The same formula, up to the order of its terms.
    assert session["rate"].values == pytest.approx(rate, abs=1e-9)
