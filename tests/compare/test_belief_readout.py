"""The belief read from a state: states that hold it exactly, and states that cannot."""

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score, roc_auc_score

import neurornn as nr
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.compare import belief_scores as scores
from neurornn.compare.belief_features import states_on
from neurornn.compare.belief_readers import Split, read_linear, read_nonlinear

ACCURACY = 0.6
COIN = {
    "transition": [np.eye(2)] * 2,
    "emission": [[[ACCURACY, 1 - ACCURACY, 0.0], [1 - ACCURACY, ACCURACY, 0.0]]] * 2,
    "reward": [[1.0, 0.0], [0.0, 1.0]], "initial_belief": [0.5, 0.5], "n_steps": 30,
    "questions": {"first": [1.0, 0.0]},
}  # fmt: skip


def summing(task, weight=1.0, seed=0):
    """A linear network whose first unit adds up what was heard, and that always acts the same."""
    model = nr.models.VanillaRNN(
        **nr.training.policy_sizes(task), n_hidden=3, dt=0.1, nonlinearity="linear", rng=seed
    )
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.input_weight[0, 0], model.input_weight[0, 1] = weight, -weight
        model.recurrent_weight[0, 0] = 1.0
    return model


@pytest.fixture(scope="module")
def table():
    task = nr.simulate.BeliefTask(**COIN)
    return nr.compare.belief(
        [summing(task), summing(task, 0.5)], task, n_episodes=60, n_training=20,
        windows=(1, 4), nonlinear=False, n_permutations=199, rng=0,
    )  # fmt: skip


def test_a_state_that_counts_holds_the_belief(table):
    """Log odds are the count times log(p / (1 - p)): a line, cut at odds of 999."""
    r2 = table.parameters["linear_r2"].sel(question="first")
    assert float(r2.sel(source="network")) > 0.98
    assert float(r2.sel(source="window of 1")) < float(r2.sel(source="window of 4")) < 0.7
    p = table.parameters["p_value"]
    assert float(p.sel(source="window of 4")) == pytest.approx(1 / 200)
    assert np.isnan(p.sel(source="network"))
    low, high = table.parameters["linear_r2_ci"].sel(source="network", question="first").values
    assert low <= float(r2.sel(source="network")) <= high


def test_what_is_read_is_as_good_as_the_exact_belief(table):
    t = table.parameters.sel(question="first")
    exact = float(t["exact_auroc"])
    assert abs(float(t["auroc"].sel(source="network")) - exact) < 0.01
    assert float(t["auroc"].sel(source="window of 1")) < exact - 0.05
    # Nothing about the future is in the past that is not in the count.
    low, high = t["history_gain_ci"].sel(source="network").values
    assert low - 0.01 < 0 < high + 0.01
    gain = t["history_gain"]
    assert float(gain.sel(source="window of 1")) > float(gain.sel(source="network")) + 0.002
    gap = float(t["exact_future_r2"]) - float(t["future_r2"].sel(source="network"))
    assert abs(gap) < 0.02


def test_the_report_says_all_and_is_kept(table, tmp_path):
    text = table.report()
    for word in ("BeliefTask; 2 networks (VanillaRNN)", "window of 4", "shuffled time"):
        assert word in text
    table.save(tmp_path / "table.nc")
    back = nr.load(tmp_path / "table.nc")
    assert back.report() == text
    assert back.calibration.equals(table.calibration)
    assert float(table.calibration["n"].sel(reader="exact belief").sum()) == 2 * 30 * 30


def test_the_model_and_its_mode_are_left_alone():
    task = nr.simulate.BeliefTask(**{**COIN, "n_steps": 5})
    model = summing(task).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    given = {"n_episodes": 12, "n_training": 10, "windows": (1,), "nonlinear": False, "rng": 3}
    one = nr.compare.belief(model, task, **given)
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert one.parameters.equals(nr.compare.belief(model, task, **given).parameters)


def test_states_are_those_after_each_observation():
    task = nr.simulate.BeliefTask(**COIN)
    model = summing(task)
    x = np.zeros((4, 5))
    x[:, 0] = [1, 0, 1, 0]
    x[:, 1] = [0, 1, 0, 0]
    (states,) = states_on(model, [x])
    assert states[:, 0].tolist() == [1, 0, 1, 1]


def test_scores_are_those_of_scikit_learn():
    draw = np.random.default_rng(0)
    parts = [(draw.normal(size=(n, 2)), draw.normal(size=(n, 2))) for n in (30, 50, 20)]
    sums = np.sum([scores.error_sums(*p) for p in parts], axis=0)
    true, guess = (np.concatenate(v) for v in zip(*parts, strict=True))
    assert np.allclose(scores.r2_of(sums), r2_score(true, guess, multioutput="raw_values"))
    said, was = draw.random(500), draw.random(500) < 0.4
    said[was] = said[was] ** 0.5
    # A cut is 1/400 wide: neighbours within it count half.
    assert scores.auroc_of(scores.rank_sums(said, was)) == pytest.approx(
        roc_auc_score(was, said), abs=0.004
    )
    halves = scores.calibration_sums(np.full(10, 0.25), np.arange(10) < 5)
    assert scores.calibration_error_of(halves) == pytest.approx(0.25)


def test_a_test_of_signs_is_uniform_under_chance():
    draw = np.random.default_rng(0)
    p = [scores.sign_flip(draw.normal(size=20), 99, draw) for _ in range(400)]
    # Within five standard errors of one in ten.
    assert abs(np.mean(np.array(p) <= 0.1) - 0.1) < 5 * np.sqrt(0.09 / 400)
    assert scores.sign_flip(np.ones(20), 999, draw) == pytest.approx(0.001)


def test_intervals_cover_networks_that_differ():
    """Two networks far apart: the interval of their mean is as wide as they are."""
    sums = np.zeros((2, 40, 1, 4))
    sums[0, :, 0] = [0.1, 0.0, 1.0, 1.0]
    sums[1, :, 0] = [0.9, 0.0, 1.0, 1.0]
    value, ci = scores.with_interval(
        sums, lambda s: scores.r2_of(s), 0.95, np.random.default_rng(0)
    )
    assert value[0] == pytest.approx(0.5)
    assert ci[0] == pytest.approx([0.1, 0.9])


def test_readers_never_see_the_test():
    """Targets of the held-out episodes may be anything: what is read stays the same."""
    draw = np.random.default_rng(0)
    x = [draw.normal(size=(n, 3)) for n in (9, 12, 8, 10, 11, 9, 12, 10)]
    y = [v @ np.array([[1.0], [0.5], [-1.0]]) for v in x]
    split = Split(8, np.random.default_rng(1))
    other = [v.copy() for v in y]
    for k in split.test:
        other[k][:] = 1e3
    for reader in (read_linear, read_nonlinear):
        one, two = reader(x, y, split), reader(x, other, split)
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    near = read_linear(x, y, split)
    assert np.allclose(np.concatenate(near), np.concatenate(y), atol=1e-3)
    assert not set(split.test) & set(split.train)


def test_a_nonlinear_reader_reads_what_a_line_cannot():
    draw = np.random.default_rng(0)
    x = [draw.normal(size=(60, 2)) for _ in range(20)]
    y = [np.abs(v[:, :1]) for v in x]
    split = Split(20, np.random.default_rng(0))
    held = split.test

    def r2(read):
        return r2_score(
            np.concatenate([y[k] for k in held]), np.concatenate([read[k] for k in held])
        )

    assert r2(read_linear(x, y, split)) < 0.1 < 0.8 < r2(read_nonlinear(x, y, split))


def test_things_of_the_wrong_kind_are_refused():
    task = nr.simulate.TigerTask(rng=0)
    model = nr.models.GRU(**nr.training.policy_sizes(task), n_hidden=4, dt=0.1)
    with pytest.raises(KindError, match="exact belief is known"):
        nr.compare.belief(model, "tiger")
    with pytest.raises(KindError, match="network of a policy"):
        nr.compare.belief([], task)
    with pytest.raises(ShapeError, match="6 and 4"):
        nr.compare.belief(nr.models.GRU(3, 4, 1, dt=0.1), task)
    with pytest.raises(DataError, match="windows is empty"):
        nr.compare.belief(model, task, windows=())
    with pytest.raises(DataError, match="n_episodes"):
        nr.compare.belief(model, task, n_episodes=3)
