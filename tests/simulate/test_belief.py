"""Tasks with a hidden state: the exact belief by other means, and the best that can be done."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._kernels.belief_grid import corners
from neurornn.simulate.belief_optimum import _binomials, _points

TASKS = ("TigerTask", "ForagingTask", "SepsisTask")


def made(name, **settings):
    return getattr(nr.simulate, name)(rng=0, **settings)


def coin(**changes):
    given = {
        "transition": [[[0.9, 0.1], [0.3, 0.7]]], "emission": [[[0.8, 0.2], [0.4, 0.6]]],
        "reward": [[0.0, 1.0]], "initial_belief": [0.6, 0.4], "rng": 0,
    }  # fmt: skip
    return nr.simulate.BeliefTask(**{**given, **changes})


@pytest.mark.parametrize("name", ["TigerTask", "ForagingTask"])
def test_the_belief_is_that_of_bayes_rule(name):
    """The rule written out once more, on the observations that were returned."""
    task = made(name)
    draw = np.random.default_rng(1)
    _, info = task.reset(seed=3)
    belief = task.initial_belief * task.first_emission[:, info["observation_index"]]
    belief /= belief.sum()
    for _ in range(task.n_steps):
        # Rounding alone.
        assert np.allclose(info["belief"], belief, atol=1e-12)
        action = int(draw.integers(task.n_actions))
        *_, info = task.step(action)
        belief = task.emission[action][:, info["observation_index"]] * (
            belief @ task.transition[action]
        )
        belief /= belief.sum()


def test_the_belief_about_sepsis_is_that_of_bayes_rule():
    """Densities of scipy, from the published means, in the units of the observations."""
    task = made("SepsisTask")
    mean = np.array([86.0, 83.0, 18.0, np.log(1.3), 0.0, np.log(10.0)])
    shift = np.array([5.0, -4.0, 1.5, 0.3, 0.2, 0.1])
    sd = np.array([14.0, 11.0, 4.5, 0.4, 0.5, 0.4])
    there = np.array([[0.75, 0.75, 0.75, 0.8], [0.15, 0.2, 0.3, 0.45]])
    draw, n_seen = np.random.default_rng(2), 0
    for seed in range(20):
        seen, info = task.reset(seed=seed)
        ahead = task.initial_belief[:4].copy()
        while True:
            x = np.where(np.arange(6) < 3, seen, np.log(seen))
            for s in range(4):
                for group, part in ((0, slice(0, 3)), (1, slice(3, 6))):
                    has = np.isfinite(x[part]).all()
                    ahead[s] *= there[group, s] if has else 1 - there[group, s]
                    if has:
                        ahead[s] *= norm.pdf(
                            x[part], mean[part] + s * shift[part], sd[part]
                        ).prod()
            ahead /= ahead.sum()
            assert np.allclose(info["belief"][:4], ahead, atol=1e-12)
            n_seen += 1
            action = int(draw.integers(4))
            seen, reward, terminated, truncated, info = task.step(action)
            if terminated:
                assert np.isnan(seen).all() and abs(reward) == 1
                assert info["belief"][4 if reward < 0 else 5] == 1
            if terminated or truncated:
                break
            ahead = ahead @ task.transition[action][:4, :4]
    assert n_seen > 100


@pytest.mark.parametrize("name", TASKS)
def test_episodes_at_once_are_those_of_one_bit_for_bit(name):
    task, alone = made(name), made(name)
    seeds = np.array([5, 17, 2**40], np.uint64)
    actions = np.random.default_rng(0).integers(task.n_actions, size=(task.n_steps, 3))
    together = task.many(3)
    first = together.reset(seeds)
    found = []
    for row in actions:
        if not together.active.any():
            break
        found.append((together.active.copy(), together.step(row), together.belief.copy()))
    for k, seed in enumerate(seeds):
        seen, _ = alone.reset(seed=int(seed))
        np.testing.assert_array_equal(seen, first[k])
        for (active, moment, belief), action in zip(found, actions[:, k], strict=False):
            if not active[k]:
                break
            seen, reward, terminated, truncated, info = alone.step(action)
            np.testing.assert_array_equal(seen, moment.observation[k])
            np.testing.assert_array_equal(info["belief"], belief[k])
            assert (reward, terminated, truncated) == (
                moment.reward[k], moment.terminated[k], moment.truncated[k],
            )  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_the_belief_is_calibrated(name):
    """Among steps with a belief of p, a share p is so: within five standard errors."""
    task = made(name)
    run = task.many(4000)
    run.reset(1)
    draw = np.random.default_rng(0)
    for _ in range(6):
        run.step(draw.integers(task.n_actions, size=4000))
    said = task.answers(run.belief)[run.active]
    was = np.stack(list(task.questions.values()), axis=1)[run.state[run.active]]
    for q in range(said.shape[1]):
        for low, high in itertools.pairwise(np.linspace(0, 1, 6)):
            inside = (said[:, q] >= low) & (said[:, q] <= high)
            if inside.sum() > 50:
                p = said[inside, q]
                error = np.sqrt((p * (1 - p)).sum()) + 1e-9
                assert abs(was[inside, q].sum() - p.sum()) < 5 * error


def test_log_odds_of_the_tiger_count_growls():
    task = made("TigerTask", accuracy=0.8)
    task.reset(seed=1)
    count = 0
    for _ in range(12):
        *_, info = task.step(0)
        count += 1 if info["observation_index"] == 0 else -1
        odds = info["belief"][0] / info["belief"][1]
        assert np.log(odds) == pytest.approx(count * np.log(4), abs=1e-9)
    *_, info = task.step(1)
    assert info["belief"].tolist() == [0.5, 0.5] and info["observation_index"] == 2


def test_the_value_of_the_tiger_without_an_end_is_the_published_one():
    """19.37 with a discount of 0.95, also by value iteration on the count of growls."""
    p, n = 0.85, 40
    count = np.arange(-n, n + 1)
    left = 1 / (1 + ((1 - p) / p) ** count)
    value = np.zeros(2 * n + 1)
    for _ in range(600):
        up, down = np.append(value[1:], value[-1]), np.append(value[0], value[:-1])
        hear = left * p + (1 - left) * (1 - p)
        listen = -1 + 0.95 * (hear * up + (1 - hear) * down)
        least = np.minimum(left, 1 - left)
        value = np.maximum(listen, -100 * least + 10 * (1 - least) + 0.95 * value[n])
    assert value[n] == pytest.approx(19.37, abs=0.01)
    found = made("TigerTask", n_steps=400).optimum(400).value
    # From above, and the grid is fine enough for two parts in a thousand.
    assert value[n] - 1e-6 <= found <= value[n] * 1.002


@pytest.mark.parametrize("name", ["TigerTask", "ForagingTask"])
def test_the_optimum_of_few_steps_is_that_of_all_histories(name):
    """Every action after every history, without a grid."""
    task = made(name, n_steps=4)

    def best(belief, left):
        if not left:
            return 0.0
        worth = []
        for a in range(task.n_actions):
            total = float(task.expected_reward(belief, a))
            ahead = belief @ task.transition[a]
            for o in range(task.n_observations):
                joint = ahead * task.emission[a][:, o]
                if joint.sum() > 0:
                    later = best(joint / joint.sum(), left - 1)
                    total += task.discount * joint.sum() * later
            worth.append(total)
        return max(worth)

    exact = best(task.initial_belief, 4)
    found = task.optimum().value
    # The grid interpolates a convex function, from above; foraging has four states and 31 cuts.
    assert exact - 1e-9 <= found <= exact + 0.02


def test_what_is_expected_is_what_comes():
    task = made("ForagingTask")
    run = task.many(20_000)
    run.reset(0)
    actions = np.random.default_rng(0).integers(2, size=20_000)
    expected = task.expected_reward(run.belief, actions)
    got = run.step(actions).reward
    # Five standard errors of 20,000 coins.
    assert abs(got.mean() - expected.mean()) < 5 * got.std() / np.sqrt(20_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_the_policy_of_the_grid_earns_what_the_grid_says(name):
    """Played on the exact belief it earns the bound up to noise and 2 % of the grid."""
    task = made(name)
    best = task.optimum()
    n = 3000
    run = task.many(n)
    run.reset(9)
    total, factor = np.zeros(n), 1.0
    while run.active.any():
        on = run.active.copy()
        actions = np.zeros(n, int)
        actions[on] = best.act(run.belief[on], task.n_steps - run.n_taken)
        gain = task.expected_reward(run.belief, actions)
        run.step(actions)
        total += factor * np.where(on, gain, 0.0)
        factor *= task.discount
    error = total.std() / np.sqrt(n)
    assert abs(total.mean() - best.value) < 4 * error + 0.02 * abs(best.value)


@pytest.mark.slow
def test_as_many_die_of_sepsis_as_the_page_says():
    task = made("SepsisTask")
    best, n = task.optimum(), 3000
    run = task.many(n)
    run.reset(4)
    first, died = run.state.copy(), np.zeros(n, bool)
    while run.active.any():
        on = run.active.copy()
        actions = np.zeros(n, int)
        actions[on] = best.act(run.belief[on])
        died |= run.step(actions).terminated & (run.state == 4)
    of = [died[first == k].mean() for k in range(4)]
    # About one in ten of those with sepsis, and above 40 % in shock.
    assert 0.07 < of[1] < 0.15 and of[3] > 0.4 and of == sorted(of)


@pytest.mark.parametrize(("n", "resolution"), [(2, 7), (3, 5), (4, 6), (5, 3)])
def test_a_belief_is_the_mean_of_its_corners(n, resolution):
    choose = _binomials(resolution + n, n + 1)
    points = _points(resolution, n, choose)
    assert len(np.unique(points.round(9), axis=0)) == len(points)
    assert np.allclose(points.sum(axis=1), 1) and (points >= 0).all()
    draw = np.random.default_rng(n)
    given = [*draw.dirichlet(np.full(n, 0.5), 50), *points, *np.eye(n)]
    for belief in given:
        index, weight = np.empty(n, np.int64), np.empty(n)
        corners(belief, resolution, choose, index, weight)
        assert (weight >= -1e-12).all() and weight.sum() == pytest.approx(1)
        assert np.allclose(weight @ points[index], belief, atol=1e-9)
        # Corners of one small piece: no coordinate is further away than one part.
        used = points[index[weight > 1e-9]]
        assert (np.ptp(used, axis=0) <= 1.5 / resolution).all()


def test_missing_values_are_missing_and_encoded():
    task = made("SepsisTask", missing=0.5)
    run = task.many(4000)
    seen = run.reset(0)
    gone = np.isnan(seen)
    # Vitals come together; half of three quarters are there, within five standard errors.
    assert (gone[:, :3].all(axis=1) == gone[:, 0]).all()
    assert abs((~gone[:, 0]).mean() - 0.375) < 0.04
    x = task.encode(seen)
    assert np.isfinite(x).all() and x.shape == (4000, 8)
    assert (x[:, 6] == ~gone[:, 0]).all() and (x[:, 7] == ~gone[:, 3]).all()
    assert (x[:, :6][gone] == 0).all()
    # Scaled among admitted patients: a mean of 0 and an sd of 1, within sampling error.
    for k in range(6):
        known = x[~gone[:, k], k]
        assert abs(known.mean()) < 0.2 and abs(known.std() - 1) < 0.1


def test_a_seed_begins_the_same_episode_and_none_the_next():
    one, other = made("SepsisTask"), made("SepsisTask")
    a, b = one.reset(seed=3)[0], other.reset(seed=3)[0]
    np.testing.assert_array_equal(a, b)
    second = one.reset()[0]
    assert not np.array_equal(second, a, equal_nan=True)
    np.testing.assert_array_equal(second, other.reset()[0])


BAD = {
    "rows": ({"transition": [[[0.9, 0.2], [0.3, 0.7]]]}, DataError, "sums to 1.1"),
    "negative": ({"emission": [[[1.2, -0.2], [0.4, 0.6]]]}, DataError, "least entry is -0.2"),
    "first belief": ({"initial_belief": [0.6, 0.6]}, DataError, "sums to 1.2"),
    "square": (
        {"transition": [[[0.9, 0.1]]], "emission": [[[0.8, 0.2]]]},
        ShapeError,
        "as many next states",
    ),
    "emission": ({"emission": [[[0.8, 0.2]]]}, ShapeError, "same actions and states"),
    "reward": ({"reward": [[0.0, np.nan]]}, DataError, "NaN|finite|missing"),
    "axes": ({"transition": [[0.9, 0.1], [0.3, 0.7]]}, ShapeError, "3 axes"),
    "ending": ({"ending": [0, 1], "initial_belief": [1.0, 0.0]}, DataError, "ends an episode"),
    "all end": ({"ending": [1, 1]}, DataError, "end an episode"),
    "discount": ({"discount": 1.5}, DataError, "discount"),
    "names": ({"action_names": ["a", "b"]}, ShapeError, "action_names"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_process_is_refused(case):
    changes, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        coin(**changes)


def test_an_unknown_action_and_a_step_without_an_episode_are_refused():
    task = made("TigerTask")
    with pytest.raises(DataError, match="No episode is under way"):
        task.step(0)
    task.reset()
    with pytest.raises(DataError, match="0 listen, 1 open left, 2 open right"):
        task.step(3)
    with pytest.raises(KindError, match="number of an action"):
        task.step("listen")
    run = task.many(2)
    run.reset(0)
    with pytest.raises(DataError, match="action is -1"):
        run.step(np.array([0, -1]))
    with pytest.raises(ShapeError, match="actions has shape"):
        run.step(np.array([0.0, 1.0]))
    for _ in range(task.n_steps):
        *_, truncated, _ = task.step(0)
    assert truncated
    with pytest.raises(DataError, match="No episode is under way"):
        task.step(0)


def test_a_grid_that_does_not_fit_is_refused():
    with pytest.raises(DataError, match="smaller resolution"):
        made("SepsisTask").optimum(200)


# That a space has no limits is warned of, and means nothing is wrong.
@pytest.mark.filterwarnings("ignore:.*WARN.*:UserWarning")
@pytest.mark.parametrize("name", TASKS)
def test_gymnasium_takes_the_interface(name):
    checker = pytest.importorskip("gymnasium.utils.env_checker")
    gymnasium = pytest.importorskip("gymnasium")
    task = made(name)

    class Wrapped(gymnasium.Env):
        """Spaces of gymnasium around the same steps."""

        def __init__(self):
            space = task.observation_space
            self.observation_space = gymnasium.spaces.Box(space.low, space.high, dtype=np.float64)
            self.action_space = gymnasium.spaces.Discrete(task.n_actions)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.nan_to_num(task.reset(seed=seed)[0], nan=1.0), {}

        def step(self, action):
            seen, *rest, _ = task.step(action)
            return np.nan_to_num(seen, nan=1.0), *rest, {}

    checker.check_env(Wrapped(), skip_render_check=True)
