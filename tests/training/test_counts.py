"""Counts of units that fire hardly ever and of units that fire all the time, in one network."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn.training.objectives import OBJECTIVES, start_at_the_mean

#: Fits are cut short here: whether they converge is not asked.
pytestmark = pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")


def counts(seed=0, n_trials=40, n_steps=100):
    """Spikes per bin of a silent, a busy (200 a bin) and a quiet (.2 a bin) unit, and rates."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_trials, n_steps, 2))
    state, rate = np.zeros((n_trials, 2)), np.zeros((n_trials, n_steps, 3))
    for k in range(n_steps):
        state = 0.9 * state + 0.3 * x[:, k]
        rate[:, k, 1] = 200 * np.exp(0.5 * state[:, 1])
        rate[:, k, 2] = 0.2 * np.exp(state[:, 0])
    return x, rng.poisson(rate), rate


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GRU", {"max_epochs": 200, "learning_rate": 0.03, "refine": False}),
        # The gates of an LSTM take five times as many epochs.
        pytest.param("LSTM", {}, marks=pytest.mark.slow),
    ],
    ids=["GRU", "LSTM"],
)
def test_a_busy_unit_does_not_take_the_network_from_a_quiet_one(kind, options):
    x, spikes, rate = counts()
    model = getattr(nr.models, kind)(2, 16, 3, dt=0.01, rng=0)
    result = nr.fit(model, (x, spikes), objective="poisson", intervals=False, rng=0, **options)
    with torch.no_grad():
        log_rate = result.model.double()(torch.as_tensor(x)).output.numpy()
    assert log_rate[..., 0].max() < np.log(0.01)
    for unit in (1, 2):
        # Started at a rate of 1 the quiet unit came out at .07; what 4,000 bins tell allows .98.
        r = np.corrcoef(log_rate[..., unit].ravel(), np.log(rate[..., unit]).ravel())[0, 1]
        assert r > 0.95, unit


def started(name, targets, mask=None):
    y = torch.as_tensor(targets).double()
    seen = torch.ones_like(y).bool() if mask is None else torch.as_tensor(mask)
    bias = torch.zeros(y.shape[2]).double()
    start_at_the_mean(OBJECTIVES[name], bias, y, seen)
    return OBJECTIVES[name].mean(bias).numpy()


def test_a_fresh_read_out_starts_at_the_mean_of_what_counts():
    rng = np.random.default_rng(0)
    spikes = rng.poisson([0.2, 200.0], (3, 50, 2)).astype(float)
    assert started("poisson", spikes) == pytest.approx(spikes.mean((0, 1)))
    binary = rng.random((3, 50, 2)) < [0.1, 0.7]
    assert started("bernoulli", binary) == pytest.approx(binary.mean((0, 1)))
    classes = np.eye(3)[rng.choice(3, (4, 60), p=[0.1, 0.3, 0.6])]
    assert started("categorical", classes) == pytest.approx(classes.mean((0, 1)))
    mask = np.zeros((3, 50, 2), bool)
    mask[1, 7:20] = True
    spikes[~mask] = 1e6
    assert started("poisson", spikes, mask) == pytest.approx(spikes[1, 7:20].mean(0))


def test_half_an_event_stands_for_none_and_a_target_never_seen_starts_at_0():
    silent = np.zeros((2, 50, 1))
    assert started("poisson", silent) == pytest.approx(0.005)
    assert started("bernoulli", silent) == pytest.approx(0.005)
    assert started("bernoulli", silent + 1) == pytest.approx(0.995)
    assert started("poisson", silent, np.zeros((2, 50, 1), bool)) == pytest.approx(1.0)


def test_gaussian_outputs_start_at_a_mean_beyond_their_spread_and_a_fit_goes_on():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((3, 50, 2)) + [100.0, 0.1]
    assert started("gaussian", y) == pytest.approx([y[..., 0].mean(), 0.0])
    bias = torch.tensor([3.0, 0.0]).double()
    start_at_the_mean(OBJECTIVES["gaussian"], bias, torch.as_tensor(y), torch.ones(3, 50, 2) > 0)
    assert bias.tolist() == [3.0, 0.0]


@pytest.mark.slow
def test_a_raw_fluorescence_of_a_hundred_is_fitted_as_well_as_one_of_nothing():
    x, y = np.random.default_rng(1).standard_normal((2, 4, 30, 1))
    y = np.cumsum(x, 1) * 0.1
    losses = [
        nr.fit(
            nr.models.GRU(1, 3, 1, dt=0.1, rng=0), (x, y + level), optimizer="adam",
            max_epochs=60, intervals=False, refine=False, rng=0,
        ).loss
        for level in (0.0, 100.0)
    ]  # fmt: skip
    # From 0 the read-out would take 10,000 steps of .01 to a hundred.
    assert losses[1] < 3 * losses[0]


def test_weights_that_were_set_by_hand_are_not_given_the_mean_twice():
    teacher = nr.models.GRU(2, 6, 1, dt=0.01, rng=3)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 50, 2))).float()
    with torch.no_grad():
        teacher.output_weight.abs_()
        y = teacher(x).output + 0.0
    for _ in range(2):
        fit = nr.fit(teacher, (x, y), max_epochs=1, rng=0, optimizer="adam", learning_rate=1e-9)
        # The teacher is at its own maximum: from there the loss is that of rounding.
        assert fit.loss < 1e-10 and not fit.model.output_bias.abs().max() > 1e-6
