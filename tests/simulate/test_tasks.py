"""Tasks whose solution is known: what is shown when and what is to be answered, by plain loops."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import DataError, KindError, NameUnknownError, ShapeError, UnitWarning
from neurornn.dynamics.maps import as_map

#: Every task small, by name, on a clock of its own.
SMALL = {
    "flip_flop": lambda rng, dt=0.02: nr.simulate.flip_flop(2, 6, 0.4, dt, rng=rng),
    "delayed_match": lambda rng, dt=0.02: nr.simulate.delayed_match(
        6, dt, n_categories=3, delay=(0.2, 0.8), noise_sd=0.1, rng=rng
    ),
    "parametric_memory": lambda rng, dt=0.02: nr.simulate.parametric_memory(
        6, dt, delay=(0.4, 1.0), noise_sd=0.1, rng=rng
    ),
    "ring_memory": lambda rng, dt=0.02: nr.simulate.ring_memory(6, dt, noise_sd=0.1, rng=rng),
    "line_integrator": lambda rng, dt=0.02: nr.simulate.line_integrator(6, 1.0, dt, rng=rng),
    "context_integration": lambda rng, dt=0.02: nr.simulate.context_integration(
        6, dt, delay=(0.1, 0.5), rng=rng
    ),
    "sine_generator": lambda rng, dt=0.02: nr.simulate.sine_generator(6, 1.0, dt, rng=rng),
    "ready_set_go": lambda rng, dt=0.02: nr.simulate.ready_set_go(6, dt, rng=rng),
}


def channel(task, name):
    """One input or output, (trial, time)."""
    if name in task["input"].values:
        return task["inputs"].sel(input=name).values
    return task["targets"].sel(output=name).values


def ranges(on, dt):
    """Starts and ends, s, of the stretches in which something is on, of one trial."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(on, dtype=int), [0]])))
    return (edges.reshape(-1, 2) * dt).round(9).tolist()


@pytest.mark.parametrize("name", SMALL)
def test_every_task_is_windows_that_a_model_can_be_fitted_to(name):
    task = SMALL[name](0)
    n = task.sizes
    assert task["inputs"].dims == ("trial", "time", "input")
    assert task["targets"].dims == ("trial", "time", "output")
    assert n["trial"] == 6
    np.testing.assert_allclose(task["time"], (np.arange(n["time"]) + 1) * 0.02)
    assert task["time"].attrs["units"] == "s"
    assert task.attrs["dt"] == 0.02 and task.attrs["time_unit"] == "s"
    assert task.attrs["source"] == f"simulated by neurornn.simulate.{name}"
    assert np.isfinite(task["inputs"]).all() and np.isfinite(task["targets"]).all()
    if "mask" in task:
        assert task["mask"].dtype == bool and task["mask"].dims == task["targets"].dims
        assert not task["targets"].values[~task["mask"].values].any()
    model = nr.models.VanillaRNN(n["input"], 3, n["output"], dt=0.02)
    with pytest.warns(nr._core.errors.ConvergenceWarning):
        fitted = nr.fit(model, task, max_epochs=1, optimizer="adam", intervals=False)
    assert np.isfinite(fitted.loss)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_gives_the_same_trials_and_another_others(name):
    assert SMALL[name](3).identical(SMALL[name](3))
    assert not SMALL[name](3)["inputs"].equals(SMALL[name](4)["inputs"])
    # A generator is drawn from, and goes on.
    rng = np.random.default_rng(3)
    assert SMALL[name](rng).identical(SMALL[name](3))
    assert not SMALL[name](rng).identical(SMALL[name](3))


@pytest.mark.parametrize("name", [n for n in SMALL if n != "flip_flop"])
def test_a_finer_clock_shows_the_same_trials(name):
    coarse, fine = SMALL[name](5, 0.02), SMALL[name](5, 0.01)
    assert coarse["time"].values[-1] == pytest.approx(fine["time"].values[-1], abs=0.1)
    for told in set(coarse.data_vars) - {"inputs", "targets", "mask", "total"}:
        # What was drawn is the same; lengths differ by their rounding to steps.
        np.testing.assert_allclose(coarse[told], fine[told], atol=0.026, err_msg=told)
    if "mask" in coarse:
        seconds = [t["mask"].sum("time").values * t.attrs["dt"] for t in (coarse, fine)]
        np.testing.assert_allclose(*seconds, atol=0.09)


def test_noise_adds_up_to_the_same_on_every_clock():
    for dt in (0.01, 0.05):
        task = nr.simulate.delayed_match(400, dt, noise_sd=0.3, rng=0)
        quiet = nr.simulate.delayed_match(400, dt, rng=0)
        for name in ("category_0", "category_1"):
            rest = channel(task, name) - channel(quiet, name)
            area = rest.sum(1) * dt / np.sqrt(rest.shape[1] * dt)
            # The sd of a sample of 400 has an error of 3.5 %.
            assert area.std() == pytest.approx(0.3, rel=0.12)
        first, second = channel(task, "category_0"), channel(task, "category_1")
        assert not np.array_equal(first - channel(quiet, "category_0"),
                                  second - channel(quiet, "category_1"))  # fmt: skip


# --- delayed match to sample


@pytest.mark.parametrize("dt", [0.05, 0.02])
def test_a_match_is_shown_and_asked_for_at_its_times(dt):
    task = nr.simulate.delayed_match(
        40, dt, n_categories=3, fixation=0.2, sample=0.4, delay=1.0, test=0.6, decision=0.3, rng=1
    )
    assert task.sizes["time"] == round(2.5 / dt)
    shown = np.stack([channel(task, f"category_{k}") for k in range(3)], 2)
    for k in range(40):
        a, b = int(task["sample_category"][k]), int(task["test_category"][k])
        wanted = {j: [] for j in range(3)}
        wanted[a].append([0.2, 0.6])
        wanted[b].append([1.6, 2.2])
        assert [ranges(shown[k, :, j], dt) for j in range(3)] == [wanted[j] for j in range(3)]
        answer = channel(task, "match")[k]
        assert ranges(answer != 0, dt) == [[2.2, 2.5]]
        assert set(answer[answer != 0]) == {1.0 if a == b else -1.0}
        assert ranges(task["mask"].values[k, :, 0], dt) == [[0.0, 1.6], [2.2, 2.5]]
    assert set(np.unique(shown)) == {0.0, 1.0}
    np.testing.assert_allclose(task["delay"], 1.0)
    assert task["delay"].attrs["units"] == "s"
    assert task.attrs["structure"] == "points" and task.attrs["n_memories"] == 3


def test_matches_are_as_frequent_as_asked_for_and_others_take_any_category():
    task = nr.simulate.delayed_match(4000, 0.1, n_categories=4, p_match=0.3, rng=0)
    a, b = task["sample_category"].values, task["test_category"].values
    # Four standard errors of a share of 4000.
    assert (a == b).mean() == pytest.approx(0.3, abs=0.03)
    for k in range(4):
        assert (a == k).mean() == pytest.approx(0.25, abs=0.03)
        others = b[(a == k) & (a != b)]
        assert set(others) == set(range(4)) - {k}
        assert np.bincount(others, minlength=4).max() < 0.4 * len(others)
    for p, wanted in ((0.0, -1.0), (1.0, 1.0)):
        answers = channel(nr.simulate.delayed_match(50, 0.1, p_match=p, rng=0), "match")
        assert set(answers[:, -1]) == {wanted}


def test_a_range_of_delays_moves_all_that_follows_and_masks_what_is_over():
    task = nr.simulate.delayed_match(300, 0.05, delay=(0.5, 1.5), rng=2)
    delay = task["delay"].values
    # Uniform: the mean of 300 within four standard errors, and all of the range.
    assert delay.mean() == pytest.approx(1.0, abs=0.07)
    assert 0.5 <= delay.min() < 0.55 and 1.45 < delay.max() <= 1.5
    assert task.sizes["time"] == round((0.3 + 0.5 + 1.5 + 0.5 + 0.9) / 0.05)
    for k in range(300):
        start = 0.8 + delay[k]
        wanted = np.round([[0.0, start], [start + 0.5, start + 1.4]], 9).tolist()
        assert ranges(task["mask"].values[k, :, 0], 0.05) == wanted
        test = channel(task, f"category_{int(task['test_category'][k])}")[k]
        assert ranges(test, 0.05)[-1] == np.round([start, start + 0.5], 9).tolist()


# --- two frequencies


@pytest.mark.parametrize("dt", [0.05, 0.1])
def test_two_frequencies_are_felt_and_compared(dt):
    pairs = [(10.0, 20.0), (30.0, 20.0), (20.0, 50.0)]
    task = nr.simulate.parametric_memory(
        60, dt, pairs=pairs, fixation=0.3, first=0.5, delay=1.0, second=0.4, decision=0.2, rng=0
    )
    assert task.sizes["time"] == round(2.4 / dt)
    f1, f2 = task["first_frequency"].values, task["second_frequency"].values
    rising, falling, higher = (channel(task, n) for n in ("rising", "falling", "first_higher"))
    assert {(a, b) for a, b in zip(f1, f2, strict=True)} == set(pairs)
    for k in range(60):
        x1, x2 = (f1[k] - 10) / 40, (f2[k] - 10) / 40
        for t in range(task.sizes["time"]):
            middle = (t + 0.5) * dt
            x = x1 if 0.3 < middle < 0.8 else x2 if 1.8 < middle < 2.2 else None
            wanted = (0.0, 0.0) if x is None else ((1 + x) / 2, (2 - x) / 2)
            assert rising[k, t] == pytest.approx(wanted[0], abs=1e-12)
            assert falling[k, t] == pytest.approx(wanted[1], abs=1e-12)
            answer = (1.0 if f1[k] > f2[k] else -1.0) if middle > 2.2 else 0.0
            assert higher[k, t] == answer
            assert task["mask"].values[k, t, 0] == (not 1.8 < middle < 2.2)
    assert task["first_frequency"].attrs["units"] == "Hz"
    assert task.attrs["structure"] == "line" and task.attrs["n_memories"] == 3


def test_no_frequency_of_the_usual_pairs_tells_the_answer_alone():
    pairs = np.array(nr.simulate.memory_tasks.PAIRS)
    assert set(np.abs(pairs[:, 0] - pairs[:, 1])) == {8.0}
    inner = [f for f in set(pairs.ravel()) if 18 <= f <= 26]
    for f in inner:
        for column in (0, 1):
            assert len({np.sign(a - b) for a, b in pairs if (a, b)[column] == f}) == 2


# --- an angle


@pytest.mark.parametrize("dt", [0.05, 0.02])
@pytest.mark.parametrize("report", ["delay", "response"])
def test_an_angle_is_shown_held_and_told(dt, report):
    task = nr.simulate.ring_memory(
        30, dt, fixation=0.2, cue=0.4, delay=1.0, response=0.6, report=report, rng=0
    )
    assert task.sizes["time"] == round(2.2 / dt)
    told = 0.6 if report == "delay" else 1.6
    for k in range(30):
        angle = float(task["angle"][k])
        place = {0: np.cos(angle), 1: np.sin(angle)}
        for j, value in place.items():
            for t in range(task.sizes["time"]):
                middle = (t + 0.5) * dt
                fed = value if 0.2 < middle < 0.6 else 0.0
                assert task["inputs"].values[k, t, j] == pytest.approx(fed, abs=1e-12)
                wanted = value if middle > told else 0.0
                assert task["targets"].values[k, t, j] == pytest.approx(wanted, abs=1e-12)
        assert ranges(channel(task, "go")[k], dt) == [[1.6, 2.2]]
        counted = [[0.0, 0.2], [0.6, 2.2]] if report == "delay" else [[0.0, 2.2]]
        for j in (0, 1):
            assert ranges(task["mask"].values[k, :, j], dt) == counted
    assert task.attrs["structure"] == "ring" and task.attrs["dimension"] == 1
    assert task["angle"].attrs["units"] == "rad"


def test_angles_are_all_of_the_circle_or_equally_spaced():
    angle = nr.simulate.ring_memory(2000, 0.1, rng=0)["angle"].values
    counts = np.histogram(angle, 8, (0, 2 * np.pi))[0]
    # Five standard deviations of a count of 250.
    assert np.abs(counts - 250).max() < 75 and counts.sum() == 2000
    eight = nr.simulate.ring_memory(400, 0.1, n_angles=8, rng=0)["angle"].values
    np.testing.assert_allclose(np.unique(eight), np.arange(8) * np.pi / 4)


def test_noise_is_on_the_angle_and_not_on_what_asks_for_it():
    task = nr.simulate.ring_memory(4, 0.1, noise_sd=1.0, rng=0)
    assert set(np.unique(channel(task, "go"))) == {0.0, 1.0}
    assert len(np.unique(task["inputs"].values[..., :2])) == 2 * channel(task, "go").size


# --- integrals


@pytest.mark.parametrize("dt", [0.05, 0.02])
@pytest.mark.parametrize("drive", ["noise", "pulse"])
def test_what_is_asked_for_is_the_integral(dt, drive):
    task = nr.simulate.line_integrator(20, 2.0, dt, drive=drive, spread=3.0, rng=0)
    assert task.sizes["time"] == round(2.0 / dt)
    for k in range(20):
        held = 0.0
        for t in range(task.sizes["time"]):
            held += float(task["inputs"].values[k, t, 0]) * dt
            assert task["targets"].values[k, t, 0] == pytest.approx(held, abs=1e-12)
        assert float(task["total"][k]) == pytest.approx(held, abs=1e-12)
    assert task["inputs"].attrs["units"] == "1/s" and task["targets"].attrs["units"] == "1"
    assert "mask" not in task and task.attrs["structure"] == "line"


def test_the_integral_spreads_as_asked_for_on_every_clock():
    for duration, dt in ((2.0, 0.02), (0.5, 0.05)):
        total = nr.simulate.line_integrator(4000, duration, dt, spread=2.0, rng=0)["total"].values
        # Four standard errors of the sd of 4000.
        assert total.std() == pytest.approx(2.0, rel=0.045)
        pulses = nr.simulate.line_integrator(
            4000, 1.0, dt, drive="pulse", spread=2.0, rng=0
        )["total"].values  # fmt: skip
        assert np.abs(pulses).max() <= 2.0 + 1e-9 and np.abs(pulses).max() > 1.99
        assert pulses.std() == pytest.approx(2.0 / np.sqrt(3), rel=0.03)


@pytest.mark.parametrize("dt", [0.05, 0.02])
def test_a_pulse_has_its_length_and_its_onset(dt):
    task = nr.simulate.line_integrator(
        50, 2.0, dt, drive="pulse", onset=(0.1, 0.7), pulse=0.3, rng=0
    )
    starts = []
    for row in channel(task, "drive"):
        (start, end), = ranges(row != 0, dt)  # fmt: skip
        assert end - start == pytest.approx(0.3)
        assert len(np.unique(row[row != 0].round(9))) == 1
        starts.append(start)
    assert 0.1 - dt / 2 <= min(starts) < 0.2 and 0.6 < max(starts) <= 0.7 + dt / 2


def test_the_area_of_a_pulse_is_the_same_on_every_clock():
    areas = [
        # No clock here divides the pulse.
        nr.simulate.line_integrator(20, 2.0, dt, drive="pulse", pulse=0.33, rng=0)["total"].values
        for dt in (0.05, 0.02)
    ]
    np.testing.assert_allclose(*areas, atol=1e-12)


# --- context


@pytest.mark.parametrize("dt", [0.05, 0.03])
def test_the_cue_says_which_evidence_counts(dt):
    task = nr.simulate.context_integration(
        60, dt, coherences=(0.1, 0.4), fixation=0.3, stimulus=0.6, delay=0.9, decision=0.3,
        noise_sd=0.0, rng=0,
    )  # fmt: skip
    assert task.sizes["time"] == round(2.1 / dt)
    context = task["context"].values
    assert set(context) == {0, 1}
    for k in range(60):
        for name in ("motion", "colour"):
            level = float(task[name][k])
            assert abs(level) in (0.1, 0.4)
            row = channel(task, name)[k]
            assert ranges(row != 0, dt) == [[0.3, 0.9]]
            assert set(row[row != 0]) == {level}
        assert set(channel(task, "motion_cue")[k]) == {1.0 - context[k]}
        assert set(channel(task, "colour_cue")[k]) == {float(context[k])}
        named = float(task["colour" if context[k] else "motion"][k])
        choice = channel(task, "choice")[k]
        assert ranges(choice != 0, dt) == [[1.8, 2.1]] and choice[-1] == np.sign(named)
        assert ranges(task["mask"].values[k, :, 0], dt) == [[0.0, 0.3], [1.8, 2.1]]
    both = np.sign(task["motion"].values * task["colour"].values)
    assert {-1.0, 1.0} == set(both)
    assert task.attrs["n_contexts"] == 2 and task.attrs["structure"] == "line"


def test_evidence_is_drowned_by_as_much_noise_on_every_clock():
    for dt in (0.01, 0.05):
        task = nr.simulate.context_integration(2000, dt, stimulus=1.0, noise_sd=0.2, rng=0)
        for name in ("motion", "colour"):
            seen = channel(task, name).sum(1) * dt - task[name].values
            # Over a second; the sd of a sample of 2000 within four standard errors.
            assert seen.std() == pytest.approx(0.2, rel=0.065)
            before = channel(task, name)[:, : round(0.3 / dt)]
            assert not before.any()
        streams = [channel(task, n).sum(1) * dt - task[n].values for n in ("motion", "colour")]
        assert abs(np.corrcoef(*streams)[0, 1]) < 0.1


# --- sines


@pytest.mark.parametrize("dt", [0.01, 0.004])
def test_a_level_sets_the_frequency_of_a_sine(dt):
    task = nr.simulate.sine_generator(40, 1.5, dt, frequency=(2.0, 6.0), n_levels=5, rng=0)
    assert task.sizes["time"] == round(1.5 / dt)
    by_level = {}
    for k in range(40):
        (level,) = set(task["inputs"].values[k, :, 0])
        hertz = float(task["frequency"][k])
        by_level[round(level, 9)] = hertz
        for t in range(task.sizes["time"]):
            wanted = np.sin(2 * np.pi * hertz * (t + 1) * dt)
            assert task["targets"].values[k, t, 0] == pytest.approx(wanted, abs=1e-9)
    assert by_level == {0.45: 2.0, 0.65: 3.0, 0.85: 4.0, 1.05: 5.0, 1.25: 6.0}
    assert task.attrs["structure"] == "cycle" and task.attrs["n_cycles"] == 1


# --- Ready-Set-Go


@pytest.mark.parametrize("dt", [0.05, 0.01])
def test_an_interval_is_shown_and_produced_again(dt):
    task = nr.simulate.ready_set_go(
        60, dt, interval=(0.5, 1.0), gains=(1.0, 2.0), fixation=(0.1, 0.3), pulse=0.1, rng=0
    )
    assert task.sizes["time"] == round((0.3 + 1.0 + 2.0) / dt)
    gain, production = task["gain"].values, task["production"].values
    assert set(gain) == {1.0, 2.0}
    pulses, told, ramps = (channel(task, n) for n in ("pulse", "gain", "ramp"))
    mask = task["mask"].values[..., 0]
    np.testing.assert_allclose(production, gain * task["interval"].values)
    for k in range(60):
        ready, go = ranges(pulses[k], dt)
        assert ready[1] - ready[0] == pytest.approx(0.1)
        assert go[1] - go[0] == pytest.approx(0.1)
        assert 0.1 <= ready[0] <= 0.3
        assert go[0] - ready[0] == pytest.approx(float(task["interval"][k]))
        assert set(told[k]) == {gain[k]}
        end = go[0] + production[k]
        for t in range(task.sizes["time"]):
            stamp = (t + 1) * dt
            counted = stamp <= end + 1e-9
            assert mask[k, t] == counted
            ramp = max(stamp - go[0], 0.0) / production[k] if counted else 0.0
            assert ramps[k, t] == pytest.approx(ramp, abs=1e-9)
        assert ramps[k].max() == pytest.approx(1.0)
    assert np.ptp(task["interval"].values) > 0.4
    assert task.attrs["structure"] == "line"


# --- what cannot be


@pytest.mark.parametrize(
    ("name", "given", "error", "told"),
    [
        ("delayed_match", {"delay": (2.0, 1.0)}, DataError, r"delay is \(2, 1\) s"),
        ("delayed_match", {"delay": (1.0, 2.0, 3.0)}, KindError, "delay holds 3 numbers"),
        ("delayed_match", {"delay": -1.0}, DataError, "delay is -1"),
        ("delayed_match", {"sample": 0.005}, DataError, "sample is 0.005 s and dt 0.02 s"),
        ("delayed_match", {"n_categories": 1}, DataError, "n_categories is 1"),
        ("delayed_match", {"p_match": 1.5}, DataError, "p_match is 1.5"),
        ("delayed_match", {"noise_sd": -1.0}, DataError, "noise_sd is -1"),
        ("delayed_match", {"dt": 0.0}, DataError, "dt is 0"),
        ("delayed_match", {"n_trials": 0}, DataError, "n_trials is 0"),
        ("parametric_memory", {"pairs": [(10, 10)]}, DataError, r"Pair 0 is \(10, 10\) Hz"),
        ("parametric_memory", {"pairs": [(9, 8), (-1, 8)]}, DataError, r"Pair 1 is \(-1, 8\) Hz"),
        ("parametric_memory", {"pairs": [10, 20]}, ShapeError, r"pairs has shape \(2,\)"),
        ("ring_memory", {"report": "respond"}, NameUnknownError, "'response'"),
        ("ring_memory", {"n_angles": 0}, DataError, "n_angles is 0"),
        ("line_integrator", {"drive": "pulses"}, NameUnknownError, "'pulse'"),
        ("line_integrator", {"spread": 0.0}, DataError, "spread is 0"),
        (
            "line_integrator", {"drive": "pulse", "onset": 1.9}, DataError,
            "onset and pulse take up to 2.1 s of 2 s",
        ),
        ("context_integration", {"coherences": ()}, DataError, r"coherences is \[\]"),
        ("context_integration", {"coherences": (0.0, 0.1)}, DataError, "coherences is"),
        ("sine_generator", {"frequency": (1.0, 50.0)}, DataError, "frequency reaches 50 Hz"),
        ("sine_generator", {"duration": 0.001}, DataError, "duration is 0.001 s"),
        ("ready_set_go", {"gains": (1.0, 0.0)}, DataError, r"gains is \[1.0, 0.0\]"),
        ("ready_set_go", {"pulse": 0.5}, DataError, "interval is from 0.5 s on"),
        ("ready_set_go", {"pulse": 0.001}, DataError, "pulse is 0.001 s"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(name, given, error, told):
    with pytest.raises(error, match=told):
        getattr(nr.simulate, name)(**given)


def test_a_delay_may_be_none_and_one_in_ms_is_told():
    task = nr.simulate.delayed_match(3, 0.1, fixation=0.0, delay=0.0, rng=0)
    assert not task["delay"].any() and task.sizes["time"] == 19
    with pytest.warns(UnitWarning, match="delay is 500 s. Are these ms\\? Then pass 0.5"):
        nr.simulate.delayed_match(2, 1.0, sample=1.0, test=1.0, decision=1.0, delay=500.0)


# --- environments of others


class Space:
    """What there is to be done, as gymnasium's Discrete has it."""

    def __init__(self, n):
        self.n = n
        self.rng = np.random.default_rng()

    def seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def sample(self):
        return int(self.rng.integers(self.n))


class Echo:
    """Two numbers; the answer is which is larger, or 2 while the first is 0; of any length."""

    def __init__(self, convention, whole=False):
        self.five, self.action_space = convention == 5, Space(3)
        self.rng, self.is_over, self.acted = np.random.default_rng(), True, []
        if whole:
            self.dt = 50

    def draw(self):
        self.ob = self.rng.random((int(self.rng.integers(3, 7)), 2)).round(3)
        self.ob[0] = 0.0
        self.right = np.where(self.ob[:, 0] == 0, 2, self.ob.argmax(1))
        self.k, self.is_over = 0, False

    def seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def reset(self, **options):
        if options.get("seed") is not None:
            self.seed(options["seed"])
        self.draw()
        return (self.ob[0].copy(), {}) if self.five else self.ob[0].copy()

    def step(self, action):
        assert not self.is_over, "a step after the end"
        assert action in (0, 1, 2)
        self.acted.append(action)
        info = {"gt": self.right[self.k]}
        self.k += 1
        self.is_over = self.k == len(self.ob)
        ob = self.ob[min(self.k, len(self.ob) - 1)]
        # Either kind of end of the newer convention.
        long = len(self.ob) > 4
        ends = (self.is_over and long, self.is_over and not long) if self.five else (self.is_over,)
        return (ob.copy(), 0.0, *ends, info)


class WholeTrials(Echo):
    """The same, whose trials are made whole, as those of neurogym are."""

    def __init__(self, numbers=False):
        super().__init__(5, whole=True)
        self.numbers = numbers

    def new_trial(self):
        self.draw()
        self.gt = self.ob.sum(1, keepdims=True) if self.numbers else self.right

    def step(self, action):
        raise AssertionError("no action was needed")


class Wrapped:
    """What holds an environment inside, as gymnasium's wrappers do."""

    def __init__(self, env):
        self.env, self.unwrapped, self.action_space = env, env, env.action_space

    def reset(self, *, seed=None):
        return self.env.reset(seed=seed)

    def step(self, action):
        return self.env.step(action)

    @property
    def new_trial(self):
        raise AssertionError("passed on with a warning")


def drawn(seed, n, whole):
    """The trials that an environment of that seed makes."""
    env = Echo(5)
    env.seed(seed)
    made = []
    for _ in range(n + whole):
        env.draw()
        made.append((env.ob, env.right))
    # Whole trials: the one of the reset is not used.
    return made[whole:]


@pytest.mark.parametrize("kind", ["four", "five", "whole", "wrapped"])
def test_trials_of_an_environment_come_as_they_are(kind):
    env = {"four": Echo(4), "five": Echo(5), "whole": WholeTrials(), "wrapped": WholeTrials()}[
        kind
    ]
    whole = kind in ("whole", "wrapped")
    task = nr.simulate.from_environment(
        Wrapped(env) if kind == "wrapped" else env, 12, dt=None if whole else 0.05, rng=7
    )
    wanted = drawn(7, 12, whole)
    ends = [len(ob) for ob, _ in wanted]
    assert len(set(ends)) > 1
    assert task["n_steps"].values.tolist() == ends
    assert dict(task.sizes) == {"trial": 12, "time": max(ends), "input": 2, "output": 3}
    for k, (ob, right) in enumerate(wanted):
        np.testing.assert_array_equal(task["inputs"].values[k, : ends[k]], ob)
        np.testing.assert_array_equal(task["targets"].values[k, : ends[k]].argmax(1), right)
        np.testing.assert_array_equal(task["targets"].values[k, : ends[k]].sum(1), 1.0)
        assert not task["inputs"].values[k, ends[k] :].any()
        assert not task["targets"].values[k, ends[k] :].any()
        assert ranges(task["mask"].values[k, :, 1], 1) == [[0, ends[k]]]
    assert task.attrs["dt"] == 0.05
    np.testing.assert_allclose(task["time"], (np.arange(max(ends)) + 1) * 0.05)
    assert type(env).__name__ in task.attrs["source"]
    assert task.attrs["structure"] == "unknown"


@pytest.mark.parametrize("kind", [lambda: Echo(4), lambda: Echo(5), WholeTrials])
def test_trials_of_an_environment_are_those_of_the_seed(kind):
    make = nr.simulate.from_environment
    first, again, other = (make(kind(), 5, dt=0.1, rng=s) for s in (1, 1, 2))
    assert first.identical(again) and not first["inputs"].equals(other["inputs"])


@pytest.mark.parametrize("way", ["seed", "reset", "both"])
def test_an_environment_is_seeded_in_the_way_it_has(way):
    class Seeded(Echo):
        """One that is seeded by its own method, by its reset, or as neurogym's by the first."""

        seed = None if way == "reset" else Echo.seed

        def reset(self, **options):
            if way == "reset" and options.get("seed") is not None:
                Echo.seed(self, options["seed"])
            assert way != "seed" or not options
            return super().reset()

    if way == "seed":
        # The older gym: reset() takes nothing.
        Seeded.reset = lambda self: Echo.reset(self)
    task = nr.simulate.from_environment(Seeded(5), 6, dt=0.05, rng=7)
    wanted = drawn(7, 6, whole=False)
    assert task["n_steps"].values.tolist() == [len(ob) for ob, _ in wanted]
    np.testing.assert_array_equal(task["inputs"].values[2, : len(wanted[2][0])], wanted[2][0])


def test_numbers_as_answers_stay_numbers_and_policies_act():
    task = nr.simulate.from_environment(WholeTrials(numbers=True), 4, rng=0)
    assert task.sizes["output"] == 1
    np.testing.assert_allclose(task["targets"].values[..., 0], task["inputs"].values.sum(2))
    env = Echo(5)
    seen = []
    nr.simulate.from_environment(env, 3, dt=0.1, policy=lambda ob: seen.append(ob) or 1, rng=0)
    assert set(env.acted) == {1} and np.shape(seen[0]) == (2,)
    env = Echo(4)
    nr.simulate.from_environment(env, 20, dt=0.1, rng=0)
    assert set(env.acted) == {0, 1, 2}


def test_a_trial_may_end_without_the_environment():
    class Endless(Echo):
        def step(self, action):
            ob, _, _, _, info = super().step(action)
            if self.is_over:
                self.draw()
                ob, info["new_trial"] = self.ob[0], True
            return ob, 0.0, False, False, info

    task = nr.simulate.from_environment(Endless(5), 12, dt=0.05, rng=7)
    wanted = drawn(7, 12, whole=False)
    assert task["n_steps"].values.tolist() == [len(ob) for ob, _ in wanted]
    np.testing.assert_array_equal(task["inputs"].values[3, : len(wanted[3][0])], wanted[3][0])


class Without(Echo):
    """An environment in which something is missing."""

    def __init__(self, what):
        super().__init__(5)
        self.what = what
        if what == "space":
            self.action_space = None

    def step(self, action):
        ob, reward, over, cut, info = super().step(action)
        if self.what == "gt":
            return ob, reward, over, cut, {}
        if self.what == "five":
            return ob, reward, over
        if self.what == "end":
            self.is_over, self.k = False, 0
            return ob, reward, False, False, info
        return ob, reward, over, cut, info


class Uneven(WholeTrials):
    """Answers that are too few."""

    def new_trial(self):
        super().new_trial()
        self.gt = self.gt[:-1]


@pytest.mark.parametrize(
    ("env", "given", "error", "told"),
    [
        (3, {}, KindError, "env is a int without reset and step"),
        (Echo(5), {}, KindError, "Echo came without dt"),
        (Without("gt"), {"dt": 0.1}, KindError, "Without does not say what is right"),
        (Without("five"), {"dt": 0.1}, KindError, r"step\(\) returned 3 things"),
        (Without("end"), {"dt": 0.1, "max_steps": 9}, DataError, "not ended after 9 steps"),
        (Without("space"), {"dt": 0.1}, KindError, "Without has no action_space"),
        (Echo(5, whole=True), {}, KindError, "Echo has dt=50, and nothing says in which unit"),
        (Echo(5), {"dt": 0.1, "policy": 1}, KindError, "policy is a int"),
        (Uneven(), {}, ShapeError, r"Trial 0 has observations of shape"),
        (WholeTrials(), {"n_trials": 0}, DataError, "n_trials is 0"),
    ],
)
def test_an_environment_that_does_not_say_enough_is_refused(env, given, error, told):
    with pytest.raises(error, match=told):
        nr.simulate.from_environment(env, **given)


# --- solved by a network


# What was learned is looked at, not whether it could be learned better still.
@pytest.mark.filterwarnings("ignore:The fit ended with status not_converged")
@pytest.mark.slow
def test_a_network_learns_to_match():
    options = {"sample": 0.2, "test": 0.2, "decision": 0.2, "fixation": 0.1, "noise_sd": 0.0}
    train, new = (
        nr.simulate.delayed_match(256, 0.04, delay=(0.2, 0.6), rng=s, **options) for s in (0, 1)
    )
    fitted = nr.fit(nr.models.VanillaRNN(2, 32, 1, dt=0.04, rng=0), train, max_epochs=200,
                    optimizer="adam", learning_rate=0.003, intervals=False, rng=0)  # fmt: skip
    answer = fitted.predict(new).values[..., 0]
    asked = (new["targets"].values != 0)[..., 0]
    right = np.sign(answer[asked]) == new["targets"].values[..., 0][asked]
    # Guessing gets half of them.
    assert right.mean() > 0.98


# What was learned is looked at, not whether it could be learned better still.
@pytest.mark.filterwarnings("ignore:The fit ended with status not_converged")
@pytest.mark.slow
def test_a_network_learns_to_integrate_along_a_line():
    train, new = (nr.simulate.line_integrator(256, 1.0, 0.02, rng=s) for s in (0, 1))
    model = nr.models.VanillaRNN(1, 8, 1, dt=0.02, rng=0)
    fitted = nr.fit(model, train, max_epochs=60, refine=False, intervals=False, rng=0)
    assert fitted.score(new) > 0.99
    # Wherever the state goes, one direction along which it stays, and all others forget fast.
    cell = as_map(fitted).cell
    with torch.no_grad():
        run = fitted.model.double()(torch.tensor(new["inputs"].values)).states
    _, jacobian = cell.step_and_jacobian(run[:40, ::10].reshape(-1, 8).numpy())
    size = np.sort(np.abs(np.linalg.eigvals(jacobian)), axis=1)[:, ::-1]
    assert np.median(size[:, 0]) == pytest.approx(1.0, abs=0.01)
    assert np.median(size[:, 1]) < 0.8
