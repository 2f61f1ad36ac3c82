"""The loop: ideal and turned decoders go as geometry says; intentions; what is recorded."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.confidence import binomial_interval, median_interval
from neurornn._core.errors import ThreePartError
from neurornn._core.report import parameters_table

TARGETS = [[8.0, 0.0], [0.0, 8.0], [-8.0, 0.0], [0.0, -8.0]]


class Oracle:
    """A stream that knows the intention, and turns it by an angle."""

    def __init__(self, user, angle=0.0):
        c, s = np.cos(angle), np.sin(angle)
        self.user, self.turn, self.n_resets = user, np.array([[c, -s], [s, c]]), 0
        self.out = np.empty(2)

    def reset(self):
        self.n_resets += 1

    def step(self, counts):
        # The same buffer every time, as a stream on a rig does it.
        self.out[:] = self.turn @ self.user.intention
        return self.out


class Smoothed:
    """Ridge regression on exponentially smoothed counts: a decoder without any refinement."""

    def __init__(self, counts, velocity, keep=0.9):
        x, self.keep = np.asarray(counts, dtype=float), keep
        smooth, state = np.empty((len(x), x.shape[1] + 1)), np.zeros(x.shape[1])
        for k, row in enumerate(x):
            state = keep * state + (1 - keep) * row
            smooth[k] = [*state, 1.0]
        square = smooth.T @ smooth + np.eye(smooth.shape[1])
        self.weights = np.linalg.solve(square, smooth.T @ np.asarray(velocity))
        self.reset()

    def reset(self):
        self.state = None

    def step(self, counts):
        start = counts if self.state is None else self.state
        self.state = self.keep * start + (1 - self.keep) * counts
        return np.append(self.state, 1.0) @ self.weights


def quiet_user(**settings):
    return nr.simulate.CursorUser(3, feedback_delay=0.0, rng=0, **settings)


def run(angle=0.0, bin_size=0.02, **settings):
    user = quiet_user(bin_size=bin_size)
    return nr.decode.run_closed_loop(
        Oracle(user, angle), user, targets=TARGETS, n_trials=4, rng=0, **settings
    )


def test_an_ideal_decoder_goes_straight_to_the_target():
    trials = run(bin_size=0.002, hold_time=0.2)
    assert trials["success"].all()
    # Straight: equal up to rounding.
    assert trials["path_efficiency"].values == pytest.approx(np.ones(4), abs=1e-12)
    assert trials["dial_in_time"].values.tolist() == [0.0] * 4
    # 8 to 6 cm at 15 cm/s, then to 1 cm with a time constant of 0.4 s; steps of 2 ms: Euler's
    # rate is off by half a step in 0.4 s, 0.25 %, and the entry is seen a bin late at most.
    expected = 2 / 15 + 0.4 * np.log(6.0)
    assert trials["time_to_target"].values == pytest.approx(np.full(4, expected), abs=0.006)
    # The hold comes on top.
    lasted = (trials["stop"] - trials["start"]).values
    assert lasted == pytest.approx(trials["time_to_target"].values + 0.2 - 0.002, abs=1e-9)


@pytest.mark.parametrize("angle", [-0.9, 0.4, 1.0])
def test_a_turned_decoder_loses_path_by_the_cosine_of_the_angle(angle):
    trials = run(angle, bin_size=0.002, hold_time=0.1)
    assert trials["success"].all()
    # The path is a logarithmic spiral. A straight step of h seen from the distance r brings the
    # cursor nearer by h cos(a) - h^2 sin^2(a) / 2r; h / r is at most 2 ms / 0.4 s = 0.005, so
    # that cos(a) is missed by less than 0.0025.
    assert trials["path_efficiency"].values == pytest.approx(np.full(4, np.cos(angle)), abs=2.5e-3)


def test_a_decoder_turned_away_fails_every_trial():
    trials = run(np.pi, timeout=0.4)
    assert not trials["success"].any()
    assert np.isnan(trials["time_to_target"]).all() and np.isnan(trials["path_efficiency"]).all()
    # Every trial lasts until the time is up.
    assert (trials["stop"] - trials["start"]).values == pytest.approx(np.full(4, 0.4))
    scores = nr.decode.closed_loop_scores(trials)
    assert float(scores["success_rate"]) == 0 and np.isnan(scores["bit_rate"])
    assert "too few" in scores["time_to_target_ci"].attrs["reason"]


def test_the_traces_are_what_happened():
    user = nr.simulate.CursorUser(7, rng=1)
    stream = Oracle(user, 0.3)
    trials = nr.decode.run_closed_loop(stream, user, n_trials=9, rng=2)
    assert stream.n_resets == 9
    assert trials["counts"].dims == ("time", "unit") and trials["counts"].dtype.kind == "i"
    assert trials["counts"].attrs["bin_size"] == 0.02
    number = trials["trial"].values
    for k in range(9):
        part = trials.isel(time=number == k)
        place = np.cumsum(part["velocity"].values, axis=0) * 0.02
        # Sums of a few hundred rounding errors.
        assert part["position"].values == pytest.approx(place, abs=1e-12)
        assert len(np.unique(part["target"].values, axis=0)) == 1
        near = np.linalg.norm(part["position"] - part["target"], axis=1) <= 1.0
        assert np.array_equal(near, part["on_target"])
        # The hold of 0.5 s: 25 bins, and not one more.
        assert near[-25:].all() and not near[:-25][-1]
        # The decoded velocity is the intention turned, not a buffer overwritten later.
        turned = part["intention"].values @ stream.turn.T
        assert part["velocity"].values == pytest.approx(turned, abs=1e-12)
    # Trials are intervals with pauses between them.
    stretches = nr.data.support(trials)
    assert stretches[:, 0] == pytest.approx(trials["start"].values, abs=1e-9)
    assert stretches[:, 1] == pytest.approx(trials["stop"].values, abs=1e-9)
    assert np.diff(np.ravel(stretches))[1::2] == pytest.approx(np.ones(8))
    # Eight targets in nine trials: each once and one twice.
    _, often = np.unique(
        trials["target"].values[np.flatnonzero(np.diff(number, prepend=-1))].round(6),
        axis=0,
        return_counts=True,
    )
    assert sorted(often) == [1] * 7 + [2]


def test_dial_in_time_runs_from_the_first_to_the_last_entry():
    class Scripted:
        """Into the target, out again, and back: 2 cm in a bin of 0.1 s."""

        bin_size = 0.1

        def reset(self, *_):
            self.k = -1

        def counts(self, position, velocity):
            return np.zeros(1, dtype=int)

        def step(self, counts):
            self.k += 1
            speeds = [40.0, 40.0, 40.0, -20.0, -20.0, 20.0, 20.0, 0.0, 0.0, 0.0]
            return [speeds[self.k], 0.0]

    both = Scripted()
    trials = nr.decode.run_closed_loop(
        both, both, targets=[[8.0, 0.0]], n_trials=1, hold_time=0.3, timeout=1.0, rng=0
    )
    # Cursor at 4, 8, 12, 10, 8, 10, 12, ...: in at 0.2 s, out, in at 0.5 s, out: not held.
    assert not trials["success"].any()

    class Settling(Scripted):
        def step(self, counts):
            self.k += 1
            speeds = [40.0, 40.0, 40.0, -20.0, -20.0, 0.0, 0.0]
            return [speeds[self.k], 0.0]

    both = Settling()
    trials = nr.decode.run_closed_loop(
        both, both, targets=[[8.0, 0.0]], n_trials=1, hold_time=0.3, rng=0
    )
    assert trials["time_to_target"].values == pytest.approx([0.5])
    assert trials["dial_in_time"].values == pytest.approx([0.3])
    # 8 cm nearer on a path of 4 + 4 + 4 + 2 + 2 cm.
    assert trials["path_efficiency"].values == pytest.approx([0.5])
    assert "intention" not in trials


def test_scores_are_those_of_the_trials():
    user = nr.simulate.CursorUser(30, context_change=1.0, rng=3)
    session = user.observe(40)
    trials = nr.decode.run_closed_loop(
        Smoothed(session["counts"], session["velocity"]), user, n_trials=24, timeout=3.0, rng=4
    )
    scores = nr.decode.closed_loop_scores(trials)
    hit = trials["success"].values
    # Some of both, or the test is about nothing.
    assert 0 < hit.sum() < 24
    assert float(scores["success_rate"]) == pytest.approx(hit.mean())
    assert scores["success_rate_ci"].values == pytest.approx(binomial_interval(hit.sum(), 24))
    times = trials["time_to_target"].values[hit]
    assert float(scores["time_to_target"]) == np.median(times)
    assert scores["time_to_target_ci"].values == pytest.approx(median_interval(times))
    # A distance of 8 cm, a width of 2 cm.
    assert float(scores["bit_rate"]) == pytest.approx(np.mean(np.log2(8 / 2 + 1) / times))
    text = parameters_table(scores, "Loop").to_text()
    assert "time_to_target (s)" in text and "bit_rate (bit/s)" in text


def test_intended_velocity_is_turned_towards_the_target_and_keeps_its_speed():
    user = quiet_user()
    trials = nr.decode.run_closed_loop(Oracle(user, 0.8), user, targets=TARGETS, n_trials=4, rng=0)
    meant = nr.decode.intended_velocity(trials)
    assert meant.dims == ("time", "axis") and meant.attrs["units"] == "cm/s"
    on = trials["on_target"].values
    assert np.all(meant.values[on] == 0) and 0 < on.sum() < len(on)
    # This user sees without delay, so that the estimate is its intention: turning back by the
    # angle of the decoder, up to rounding.
    truth = trials["intention"].values
    assert meant.values[~on] == pytest.approx(truth[~on], abs=1e-9)
    speed = np.linalg.norm(trials["velocity"], axis=1)
    assert np.linalg.norm(meant, axis=1)[~on] == pytest.approx(speed[~on], abs=1e-12)


def test_fitting_to_intentions_straightens_the_paths_of_a_changed_user():
    user = nr.simulate.CursorUser(60, context_change=1.2, rng=1)
    session = user.observe(80)
    first = nr.decode.run_closed_loop(
        Smoothed(session["counts"], session["velocity"]), user, n_trials=40, rng=0
    )
    again = nr.decode.run_closed_loop(
        Smoothed(first["counts"], nr.decode.intended_velocity(first)), user, n_trials=40, rng=0
    )
    one, two = nr.decode.closed_loop_scores(first), nr.decode.closed_loop_scores(again)
    # The intervals of the medians are apart, and more targets are reached.
    assert float(two["path_efficiency_ci"][0]) > float(one["path_efficiency_ci"][1])
    assert float(two["success_rate"]) > float(one["success_rate"])


def test_the_same_seeds_give_the_same_trials():
    def once():
        user = nr.simulate.CursorUser(5, rng=3)
        return nr.decode.run_closed_loop(Oracle(user), user, n_trials=3, rng=4)

    assert once().identical(once())


class Wrong:
    bin_size = 0.02

    def __init__(self, value):
        self.value = value

    def reset(self):
        pass

    def step(self, counts):
        return self.value


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: nr.decode.run_closed_loop(object(), quiet_user()),
            "stream is a object without step and reset",
        ),
        (
            lambda: nr.decode.run_closed_loop(Wrong([0, 0]), object()),
            "user is a object without reset",
        ),
        (
            lambda: nr.decode.run_closed_loop(Wrong([0.0, 0.0, 0.0]), quiet_user()),
            r"The stream returned \[0.0, 0.0, 0.0\]",
        ),
        (
            lambda: nr.decode.run_closed_loop(Wrong([np.nan, 0.0]), quiet_user()),
            r"The stream returned \[nan, 0.0\]",
        ),
        (
            lambda: nr.decode.run_closed_loop(Wrong([0, 0]), quiet_user(), targets=[[0.5, 0.0]]),
            "A target lies 0.5 cm from the start",
        ),
        (
            lambda: nr.decode.run_closed_loop(Wrong([0, 0]), quiet_user(), targets=[8.0, 0.0]),
            r"targets has shape \(2,\)",
        ),
        (
            lambda: nr.decode.run_closed_loop(Wrong([0, 0]), quiet_user(), hold_time=0.001),
            "hold_time is 0.001 s and a bin 0.02 s",
        ),
        (
            lambda: nr.decode.run_closed_loop(Wrong([0, 0]), quiet_user(), target_radius=0.3),
            "The user rests within 0.5 cm",
        ),
        (
            lambda: nr.decode.run_closed_loop(Wrong([0, 0]), quiet_user(), n_trials=0),
            "n_trials is 0",
        ),
        (
            lambda: nr.decode.intended_velocity(nr.simulate.simulate_reaches(2, 2, rng=0)),
            "The Dataset has no on_target",
        ),
        (lambda: nr.decode.closed_loop_scores(np.zeros(3)), "A ndarray came"),
    ],
)
def test_bad_calls_are_refused_in_three_parts(call, said):
    with pytest.raises(ThreePartError, match=said):
        call()
