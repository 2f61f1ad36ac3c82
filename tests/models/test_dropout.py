"""Dropout over sequences: one mask per trial, kept over time, off in evaluation."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn.models.dropout import dropout_mask


def test_the_mask_is_one_for_all_steps_and_another_for_every_trial():
    torch.manual_seed(0)
    x = nr.models.SequenceDropout(0.4)(torch.ones(6, 30, 50))
    assert bool((x == x[:, :1]).all())
    # 50 features each: two of six trials agree with a chance below 1e-10.
    assert len({tuple(row.tolist()) for row in x[:, 0]}) == 6


def test_what_is_kept_is_scaled_so_that_the_mean_stays():
    torch.manual_seed(0)
    mask = dropout_mask(400, 500, 0.3, torch.zeros(1, dtype=torch.float64))
    assert mask.dtype == torch.float64
    assert sorted(set(mask.flatten().tolist())) == pytest.approx([0.0, 1 / 0.7])
    # 200,000 draws: the share has a standard error of 0.001, the mean of 0.0015; four of each.
    assert float((mask == 0).double().mean()) == pytest.approx(0.3, abs=0.004)
    assert float(mask.mean()) == pytest.approx(1.0, abs=0.006)


def test_nothing_is_dropped_in_evaluation_or_at_zero():
    x = torch.randn(3, 10, 4)
    state = torch.random.get_rng_state()
    assert nr.models.SequenceDropout(0.5).eval()(x) is x
    assert nr.models.SequenceDropout(0.0)(x) is x
    # Nor is a number drawn: what comes after is the same with and without.
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_same_seed_gives_the_same_mask():
    drop, x = nr.models.SequenceDropout(0.5), torch.ones(4, 3, 20)
    torch.manual_seed(7)
    first = drop(x)
    torch.manual_seed(7)
    assert torch.equal(drop(x), first)
    assert not torch.equal(drop(x), first)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: nr.models.GRU(2, 16, 1, dt=0.01, n_layers=2, dropout=p),
        lambda p: nr.models.LSTM(2, 16, 1, dt=0.01, n_layers=2, dropout=p),
        lambda p: nr.models.GRU(2, 16, 1, dt=0.01, bidirectional=True, dropout=p),
        lambda p: nr.models.GRU(20, 16, 1, dt=0.01, input_dropout=p),
        lambda p: nr.models.MemorylessMLP(2, 1, dt=0.01, dropout=p),
        lambda p: nr.models.CausalCNN(2, 1, dt=0.01, context=0.05, dropout=p),
        lambda p: nr.models.CausalTransformer(2, 16, 1, dt=0.01, context=0.05, dropout=p),
    ],
)
def test_models_drop_in_training_alone(make):
    model, plain = make(0.5), make(0.0)
    x = torch.randn(3, 12, model.n_input, generator=torch.Generator().manual_seed(1))
    assert model.is_random
    assert not plain.is_random
    assert model.settings | {"dropout": 0.0, "input_dropout": 0.0} == plain.settings | {
        "dropout": 0.0,
        "input_dropout": 0.0,
    }
    torch.manual_seed(0)
    first = model.train()(x).output
    torch.manual_seed(0)
    # A whole batch with all of 16 or more masks equal has no chance to speak of.
    assert torch.equal(model(x).output, first)
    assert not torch.equal(model(x).output, first)
    assert torch.equal(model.eval()(x).output, plain(x).output)


def test_a_fit_with_dropout_repeats_to_the_bit():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 20, 2))
    model = nr.models.GRU(2, 4, 1, dt=0.01, dropout=0.3, rng=0)

    def fitted(seed):
        with pytest.warns(nr._core.errors.ConvergenceWarning):
            result = nr.fit(
                model,
                (x, x[..., :1]),
                optimizer="adam",
                max_epochs=2,
                rng=seed,
                intervals=False,
            )
        return result.model(x).output

    assert torch.equal(fitted(0), fitted(0))
    assert not torch.equal(fitted(0), fitted(1))


@pytest.mark.parametrize("p", [1, 1.0, -0.1, "half", None, float("nan")])
def test_chances_that_cannot_be_are_refused_in_three_parts(p):
    for make in (nr.models.SequenceDropout, lambda q: nr.models.GRU(1, 2, 1, dt=0.1, dropout=q)):
        with pytest.raises(ThreePartError, match="dropout is") as caught:
            make(p)
        assert len(caught.value.remedy) > 8


def test_features_without_a_trial_axis_are_refused():
    with pytest.raises(ThreePartError, match=r"\(10, 4\)"):
        nr.models.SequenceDropout(0.5)(torch.ones(10, 4))
