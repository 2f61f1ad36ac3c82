"""Whether functions close: systems for which the answer is known, and how often it is missed."""

import numpy as np
import pytest

import neurornn as nr
from neurornn.koopman.closure import MOST_MISSED, TOO_FEW, _size, pieces_of
from neurornn.simulate import simulate_system

EDMD = nr.koopman.EDMD


def square(x):
    """States of the slow manifold, and the square that closes them."""
    return np.stack([x[..., 0], x[..., 1], x[..., 0] ** 2], axis=-1)


def manifold(seed, noise, n=60):
    draw = np.random.default_rng([seed, 4])
    start = draw.uniform(-1.5, 1.5, (n, 2))
    return simulate_system(
        "slow_manifold", 5.0, 0.1, n_trials=n, start=start, noise_sd=noise, rng=draw
    )["series"]


def turning(seed, n_steps=1500, pushed=0.3, seen=0.0):
    """A decaying rotation, pushed by noise in every step and seen through noise of the frames."""
    draw = np.random.default_rng([seed, 7])
    turn = 0.97 * np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    x = np.zeros((n_steps, 2))
    x[0] = draw.standard_normal(2)
    for k in range(n_steps - 1):
        x[k + 1] = turn @ x[k] + pushed * draw.standard_normal(2)
    return x + seen * draw.standard_normal(x.shape)


def told(edmd, name):
    return edmd.parameters_[name].values


def test_functions_that_close_leave_nothing_and_others_do():
    run = manifold(0, 0.0)
    exact = EDMD(square).fit(run)
    # Integrated to 1e-9: nothing is left, though what is left of rounding has a memory.
    assert told(exact, "residual").max() < 1e-7 and told(exact, "missed").max() < 1e-6
    assert (told(exact, "status") == "ok").all()
    # To degree 2: x, y and x^2 close among themselves; x y makes an x^3, which is not there.
    two = EDMD(degree=2).fit(run)
    known = np.abs(told(two, "rate")[:, None] - [-0.05, -0.1, -1.0]).min(axis=1) < 1e-4
    assert known.sum() == 3
    assert (told(two, "status")[known] == "ok").all()
    assert told(two, "status")[np.argmax(told(two, "residual"))] == "not_closed"
    # Without the square only x is left that closes.
    one = EDMD(degree=1).fit(run)
    assert told(one, "status").tolist() == ["ok", "not_closed"]
    assert (
        "not_closed: What a step leaves" in one.report() and "another dictionary" in one.report()
    )


@pytest.mark.parametrize(
    ("system", "degree", "options"),
    [
        ("duffing", 1, {"delta": 0.3}),
        ("duffing", 3, {"delta": 0.3}),
        ("duffing", 5, {"delta": 0.3}),
        ("pendulum", 1, {}),
        ("pendulum", 3, {}),
        ("van_der_pol", 1, {}),
    ],
)
@pytest.mark.slow
def test_polynomials_do_not_close_what_has_no_closed_form(system, degree, options):
    run = simulate_system(system, 10.0, 0.05, n_trials=30, spread=0.8, rng=0, **options)
    found = EDMD(degree=degree).fit(run["series"])
    assert (told(found, "status") == "not_closed").all()
    # What is missed is of the size of the mode's own change: no rate can be read.
    assert (told(found, "missed") > MOST_MISSED).all()
    low, high = told(found, "missed_ci").T
    assert (low <= told(found, "missed")).all() and (told(found, "missed") <= high).all()


def test_a_residual_of_noise_is_its_size_and_has_no_memory():
    found = EDMD(degree=1, dt=0.1).fit(turning(0, 6000))
    # Stationary: what is new in a step is 1 - .97^2 of the variance; 6000 steps correlated over
    # 30 tell it to 7 %, the root of it to 4 %, three times that.
    assert told(found, "residual")[0] == pytest.approx(np.sqrt(1 - 0.97**2), rel=0.12)
    assert told(found, "missed_ci")[0, 0] == 0.0
    assert told(found, "status").tolist() == ["ok"]


@pytest.mark.parametrize(
    ("how", "made"),
    [
        # Pushed in every step: linear, and with squares that close as well.
        ("pushed", lambda k: EDMD(degree=1, dt=0.1).fit(turning(k))),
        ("pushed, degree 2", lambda k: EDMD(degree=2, dt=0.1).fit(turning(k))),
        # Seen through noise that the fit takes account of.
        (
            "instruments",
            lambda k: EDMD(degree=1, dt=0.1, measurement_noise="instruments").fit(
                turning(k, seen=0.5)
            ),
        ),
        pytest.param(
            "square",
            lambda k: EDMD(square, measurement_noise="instruments").fit(manifold(k, 0.05)),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "along",
            lambda k: EDMD(square, measurement_noise="trajectories").fit(manifold(k, 0.05, 30)),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_false_alarms_are_rare(how, made):
    """Sixty data sets of systems whose functions close: an alarm in one of them in a hundred."""
    alarms = sum(bool((told(made(k), "status") != "ok").any()) for k in range(60))
    # At .01 more than 4 of 60 come with a probability of 4e-4.
    assert alarms <= 4, how


def test_many_functions_and_few_frames_raise_no_alarm_of_their_own():
    """45 functions and 900 frames: the map errs a lot, in what it leaves no memory of."""
    alarms = 0
    for seed in range(20):
        draw = np.random.default_rng([seed, 8])
        x = np.zeros((900, 8))
        for k in range(899):
            x[k + 1] = 0.9 * x[k] + draw.standard_normal(8)
        alarms += bool((told(EDMD(degree=2, dt=0.1).fit(x), "status") != "ok").any())
    # At .01: more than 2 of 20 with a probability of 1e-3.
    assert alarms <= 2


@pytest.mark.parametrize("noise", [0.02, 0.05])
@pytest.mark.slow
def test_what_does_not_close_is_seen_through_noise(noise):
    """Twenty data sets of the manifold without its square, seen through noise of the frames."""
    seen = 0
    for seed in range(20):
        found = EDMD(degree=1, measurement_noise="instruments").fit(manifold(seed, noise))
        seen += bool((told(found, "status") == "not_closed").any())
    # y misses twice its own change in a step, at either noise.
    assert seen >= 19


def test_noise_of_the_frames_that_spoils_rates_is_told():
    run = manifold(0, 0.05)
    ignored = EDMD(square).fit(run)
    # The rates are -.05, -.1 and -1 in truth.
    assert (told(ignored, "rate") / np.array([-0.05, -0.1, -1.0]) > 1.2).all()
    assert (told(ignored, "status") == "shrunk_by_noise").all()
    assert "measurement_noise='instruments'" in ignored.report()
    # A hundredth of noise moves the rates by a few per cent, and nothing is said.
    little = EDMD(square).fit(manifold(0, 0.01))
    np.testing.assert_allclose(told(little, "rate"), [-0.05, -0.1, -1.0], rtol=0.1)
    assert (told(little, "status") == "ok").all()


def test_an_input_that_is_left_out_is_missed_where_it_changes_slowly():
    draw = np.random.default_rng(0)
    u = np.zeros((2000, 1))
    for k in range(1999):
        u[k + 1] = 0.98 * u[k] + draw.standard_normal(1)
    x = np.zeros((2000, 1))
    for k in range(1999):
        x[k + 1] = 0.9 * x[k] + 0.1 * u[k]
    x = x + 0.0 * draw.standard_normal(x.shape)
    given = EDMD(degree=1, dt=0.1).fit(x, inputs=u)
    assert told(given, "status").tolist() == ["ok"] and told(given, "residual")[0] < 1e-8
    assert told(EDMD(degree=1, dt=0.1).fit(x), "status").tolist() == ["not_closed"]


def test_gaps_and_lengths_do_not_matter():
    run = manifold(0, 0.0).values.copy()
    run[3, 10:20] = np.nan
    run[5, 30:] = np.nan
    found = EDMD(square, dt=0.1).fit(run)
    assert told(found, "missed").max() < 1e-6 and (told(found, "status") == "ok").all()
    lists = [x[: 5 + k % 40] for k, x in enumerate(manifold(0, 0.0).values)]
    found = EDMD(degree=1, dt=0.1).fit(lists)
    assert told(found, "status").tolist() == ["ok", "not_closed"]


@pytest.mark.parametrize("kind", ["few", "pairs"])
def test_where_nobody_looked_the_table_says_why(kind):
    run = manifold(0, 0.0)
    # Two frames of each: nothing is two steps later.
    data = run.values[0, :12] if kind == "few" else list(run.values[:, :2])
    found = EDMD(degree=1, dt=0.1).fit(data)
    assert np.isnan(told(found, "residual")).all() and np.isnan(told(found, "missed")).all()
    assert found.parameters_["missed_ci"].attrs["reason"] == TOO_FEW
    assert (told(found, "status") != "not_closed").all()


def test_stretches_stand_for_few_trajectories():
    many = [np.zeros((5, 2))] * 9
    assert pieces_of(many) == [(k, slice(0, 5)) for k in range(9)]
    one = pieces_of([np.zeros((320, 2))])
    assert len(one) == 32 and all(s.stop - s.start == 10 for _, s in one)
    # Of three frames at least, as far as they go.
    short = pieces_of([np.zeros((40, 2))])
    assert min(s.stop - s.start for _, s in short) >= 3
    assert sum(s.stop - s.start for _, s in short) == 40


def test_files_keep_it(tmp_path):
    found = EDMD(degree=2).fit(manifold(0, 0.0))
    found.save(tmp_path / "edmd")
    again = nr.load(tmp_path / "edmd")
    assert again.report() == found.report()
    assert again.parameters_["missed_ci"].equals(found.parameters_["missed_ci"])


def test_a_negative_covariance_is_nothing_that_is_missed():
    """A fitted map makes it negative; what is missed is the rest of it."""
    found = _size(np.array([-0.5, 0.5, -0.3 + 0.4j, 0.3 - 0.4j]))
    np.testing.assert_allclose(found, [0.0, 0.5, 0.4, 0.5])
