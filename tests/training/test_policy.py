"""Policies: what is learned where the answer is known, exact resuming, and what is refused."""

import copy
import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ResumeError, ShapeError
from neurornn._core.status import Status
from neurornn.training.policy_play import Played, drawn_seeds, group_of, play
from neurornn.training.policy_result import policy_status
from neurornn.training.policy_run import PolicyRun, PolicySettings


class Recall:
    """A cue, two empty steps, and then the cue is to be told; gymnasium's manner, without it."""

    class Space:
        def __init__(self, n=None, shape=None):
            self.n, self.shape = n, shape

    def __init__(self, width=3, reward=1.0, steps=3):
        self.width, self.reward, self.steps = width, reward, steps
        self.observation_space, self.action_space = self.Space(shape=(3,)), self.Space(n=2)
        del self.observation_space.n

    def reset(self, *, seed=None, options=None):
        self.draw = np.random.default_rng(seed)
        self.cue, self.t = int(self.draw.integers(2)), 0
        return np.eye(3)[self.cue], {}

    def step(self, action):
        self.t += 1
        over = self.t == self.steps
        gained = self.reward * (action == self.cue) if over else 0.0
        return np.eye(self.width)[2], gained, over, False, {}


def network(task, n_hidden=8, kind="GRU", seed=0, **more):
    given = {"dt": 0.1, "rng": seed, **more}
    return getattr(nr.models, kind)(**nr.training.policy_sizes(task), n_hidden=n_hidden, **given)


def quiet(model, task, **settings):
    given = {"n_iterations": 3, "n_episodes": 16, "n_evaluation": 30, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return nr.training.fit_policy(model, task, **given)


def same(a, b):
    return all(torch.equal(x, b.state_dict()[k]) for k, x in a.state_dict().items())


def test_a_cue_is_held_in_any_environment():
    """Nobody can do better than 0.99 squared, and nobody without memory than half of that."""
    found = quiet(
        network(Recall()), Recall(), n_iterations=25, n_episodes=32, learning_rate=0.02,
        entropy=0.05, discount=0.99, n_evaluation=100,
    )  # fmt: skip
    assert found.mean_return == pytest.approx(0.99**2)
    assert np.isnan(found.ceiling)
    assert "not known" in found.report()
    assert found.score(Recall()) == pytest.approx(0.99**2)


@pytest.mark.parametrize("kind", ["LSTM", "LeakyRNN"])
def test_the_same_seed_gives_the_same_bits_and_leaves_the_model(kind):
    task = nr.simulate.ForagingTask(n_steps=10, rng=0)
    model = network(task, kind=kind)
    before = copy.deepcopy(model)
    one, other = quiet(model, task, rng=4), quiet(model, task, rng=4)
    assert same(one.model, other.model) and same(model, before)
    assert one.history.equals(other.history)
    assert not same(one.model, quiet(model, task, rng=5).model)


def test_a_killed_training_goes_on_bit_for_bit(tmp_path):
    task = nr.simulate.SepsisTask(n_steps=8, rng=0)
    model = network(task)
    settings = {"n_iterations": 6, "rng": 1}
    whole = quiet(model, task, **settings)

    class Killed(Exception):
        pass

    def stop(done, total):
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        quiet(model, task, **settings, checkpoint=tmp_path / "run", checkpoint_every=2,
              progress=stop)  # fmt: skip
    ticks = []
    again = quiet(
        model, task, **settings, checkpoint=tmp_path / "run",
        progress=lambda *t: ticks.append(t),
    )  # fmt: skip
    assert ticks[0][0] == 5
    assert same(whole.model, again.model) and whole.history.equals(again.history)
    with pytest.raises(ResumeError):
        quiet(model, task, n_iterations=6, rng=2, checkpoint=tmp_path / "run")
    with pytest.raises(ResumeError):
        # Another task of the same sizes.
        quiet(model, nr.simulate.SepsisTask(n_steps=9, rng=0), **settings,
              checkpoint=tmp_path / "run")  # fmt: skip


def test_seeds_are_told_and_the_best_is_measured_anew(tmp_path):
    task = nr.simulate.TigerTask(n_steps=6, rng=0)
    found = quiet(network(task, 4), task, n_seeds=3, checkpoint=tmp_path / "seeds")
    assert found.seeds.sizes["seed"] == 3
    best = float(found.seeds["mean_return"].max())
    assert found.seeds["mean_return"].attrs["mean"] <= best
    assert "the best of 3 seeds" in found.report()
    found.save(tmp_path / "saved")
    back = nr.load(tmp_path / "saved")
    assert back.report() == found.report() and same(back.model, found.model)
    assert type(back).__name__ == "PolicyResult"
    again = quiet(network(task, 4), task, n_seeds=3, checkpoint=tmp_path / "seeds")
    assert same(again.model, found.model)


def test_advantages_are_sums_of_errors_to_come():
    """Written out as double sums, with one episode that ended and one that was cut."""
    task = nr.simulate.TigerTask(n_steps=4, rng=0)
    settings = PolicySettings(discount=0.9, trace=0.7, n_episodes=2)
    run = PolicyRun(network(task, 4), task, settings)
    run.scale = 2.0
    draw = np.random.default_rng(0)
    rewards, values = draw.normal(size=(2, 5)), draw.normal(size=(2, 5))
    active = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    rewards, values = rewards * active, values * active
    cut = np.array([0.0, 0.6])
    none = np.zeros((2, 5, 0))
    played = Played(none, np.zeros((2, 5), int), rewards, active, values, values, cut, none,
                    np.zeros((2, 5), int))  # fmt: skip
    found, goal = run._advantages(played)
    expected = np.zeros((2, 5))
    for k, n in enumerate((3, 5)):
        after = np.append(values[k, 1:n], cut[k])
        error = rewards[k, :n] / 2 + 0.9 * after - values[k, :n]
        for t in range(n):
            expected[k, t] = sum((0.9 * 0.7) ** (j - t) * error[j] for j in range(t, n))
    assert np.allclose(goal, expected + values)
    kept = expected[active]
    assert np.allclose(found[active], (kept - kept.mean()) / kept.std(), atol=1e-6)
    assert (found[~active] == 0).all()


def test_what_is_played_is_what_the_network_says():
    """Probabilities and inputs of episodes against the network run over them as a whole."""
    task = nr.simulate.SepsisTask(n_steps=12, rng=0)
    model = network(task).eval()
    group = group_of(task, 20, 100)
    run = play(model, group, drawn_seeds(0, n=20), np.random.default_rng(0), hidden=True)
    with torch.no_grad():
        output = model(run.inputs).output.double().numpy()
    log = output[..., :4] - np.log(np.exp(output[..., :4]).sum(-1, keepdims=True))
    taken = np.take_along_axis(log, run.actions[..., None], -1)[..., 0]
    # Single precision, step by step or as a whole.
    assert np.allclose(taken[run.active], run.log_chance[run.active], atol=1e-5)
    assert np.allclose(output[..., 4][run.active], run.values[run.active], atol=1e-5)
    # The last action stands beside the observation, one-hot, and none at first.
    assert (run.inputs[:, 0, 8:] == 0).all()
    on = run.active[:, 1:]
    assert (run.inputs[:, 1:, 8:].argmax(-1) == run.actions[:, :-1])[on].all()
    # Without an end yet, the last value is that of what would have come; else nothing.
    dead = (run.rewards != 0).any(axis=1)
    assert (run.last_value[dead] == 0).all() and (run.last_value[~dead] != 0).all()
    # The belief is the one before the action: its answer is calibrated at the first step.
    assert run.belief.shape == (20, run.actions.shape[1], 6)
    assert np.allclose(run.belief[run.active].sum(-1), 1)


class Endless(Recall):
    def step(self, action):
        return np.eye(3)[2], 0.0, False, False, {}


class Continuous(Recall):
    def __init__(self):
        super().__init__()
        self.action_space = self.Space(shape=(1,))


class Gym(Recall):
    def step(self, action):
        return super().step(action)[:4]


REFUSED = {
    "never ends": (Endless(), DataError, "had not ended after 50 steps"),
    "reward": (Recall(reward=np.nan), DataError, "reward of the Recall is nan"),
    "width": (Recall(width=4), ShapeError, "has 4 numbers"),
    "four things": (Gym(), KindError, "returned 4 things"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_task_that_cannot_be_learned_is_refused(case):
    task, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words):
        quiet(network(Recall()), task, max_steps=50)


def test_things_of_the_wrong_kind_are_refused():
    with pytest.raises(KindError, match="whole number of actions"):
        nr.training.policy_sizes(Continuous())
    with pytest.raises(KindError, match="without reset and step"):
        nr.training.policy_sizes(3)
    with pytest.raises(KindError, match=r"model from nr\.models"):
        quiet("GRU", Recall())
    with pytest.raises(ShapeError, match="n_input=5, n_output=3"):
        quiet(nr.models.GRU(4, 8, 3, dt=0.1), Recall())
    with pytest.raises(KindError, match="looks ahead"):
        quiet(nr.models.GRU(5, 8, 3, dt=0.1, bidirectional=True), Recall())
    with pytest.raises(DataError, match="n_episodes"):
        quiet(network(Recall()), Recall(), n_episodes=0)


def test_the_status_tells_what_still_rises():
    draw = np.random.default_rng(0)
    before = draw.normal(10.0, 1.0, 200)
    assert policy_status(before, before, False) is Status.OK
    assert policy_status(before, before, True) is Status.NOT_CONVERGED
    assert policy_status(before, before + 1.0, False) is Status.NOT_CONVERGED
    # A rise of a hundredth is none, and nor is one that noise hides.
    assert policy_status(before, before + 0.1, False) is Status.OK
    noise = draw.normal(0.5, 20.0, 200)
    assert policy_status(before, before + noise, False) is Status.OK
    # Worse than before is not told by this.
    assert policy_status(before, before - 1.0, False) is Status.OK


def test_one_action_forever_is_warned_of():
    """With so little entropy, the network learns that listening never hurts."""
    task = nr.simulate.TigerTask(n_steps=10, rng=0)
    with pytest.warns(ConvergenceWarning, match="one action is taken always"):
        found = nr.training.fit_policy(
            network(task, 4), task, n_iterations=25, n_episodes=32, n_evaluation=50, entropy=0.0
        )
    assert found.status is Status.NOT_CONVERGED and "one action" in found.report()


@pytest.mark.slow
# Returns that still rise a little at the end are told; what counts here is where they are.
@pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")
def test_the_tiger_is_solved():
    """Two seeds come within 5 % of the optimum, which no constant action comes near."""
    task = nr.simulate.TigerTask(rng=0)
    for seed in (7, 8):
        model = network(task, 24, seed=seed)
        found = nr.training.fit_policy(model, task, rng=seed, n_iterations=300)
        assert found.mean_return > 0.95 * found.ceiling
