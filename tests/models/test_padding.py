"""Padding changes nothing in models that read both ways, at either end."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn.models.padding import ends_of, shifted
from neurornn.training.batches import _without_padding


def padded(lengths, begins, n_steps, n_input=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.zeros(len(lengths), n_steps, n_input)
    for k, (n, a) in enumerate(zip(lengths, begins, strict=True)):
        x[k, a : a + n] = torch.randn(n, n_input, generator=generator)
    return x


@pytest.mark.parametrize("model", [nr.models.GRU, nr.models.LSTM])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_trial_alone_and_padded_at_either_end_are_the_same(model, n_layers):
    lengths, begins = [12, 20, 7, 15], [0, 0, 13, 3]
    x = padded(lengths, begins, 20)
    network = model(2, 5, 1, dt=0.01, bidirectional=True, n_layers=n_layers, rng=0)
    with torch.no_grad():
        out = network(x)
        for k, (n, a) in enumerate(zip(lengths, begins, strict=True)):
            alone = network(x[k : k + 1, a : a + n])
            # The same sums in another order: single precision.
            torch.testing.assert_close(out.output[k, a : a + n], alone.output[0])
            torch.testing.assert_close(out.states[k, a : a + n], alone.states[0])
            assert (out.states[k, :a] == 0).all() and (out.states[k, a + n :] == 0).all()
    tau = network.gate_time_constants(x)
    alone = network.gate_time_constants(x[3:4, 3:18])
    np.testing.assert_allclose(tau[3, 3:18], alone[0], rtol=1e-4)


@pytest.mark.parametrize("model", [nr.models.GRU, nr.models.LSTM])
def test_gradients_of_padded_trials(model):
    x = padded([6, 9], [0, 0], 9)
    network = model(2, 3, 1, dt=0.01, bidirectional=True, rng=0)
    network(x).output[0, :6].sum().backward()
    found = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    network(x[:1, :6]).output.sum().backward()
    for one, other in zip(found, network.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad)


def test_zeros_within_a_trial_are_inputs_and_one_way_models_read_all():
    x = padded([10], [0], 10)
    x[:, 4:6] = 0.0
    assert ends_of(x) is None and ends_of(torch.zeros(2, 5, 1)) is None
    ends = ends_of(padded([3, 5], [1, 0], 5))
    assert ends.first.tolist() == [1, 0] and ends.length.tolist() == [3, 5]
    moved = shifted(torch.arange(6.0).reshape(1, 6, 1), torch.tensor([2]))
    assert moved.flatten().tolist() == [2, 3, 4, 5, 0, 1]
    forward = nr.models.GRU(2, 3, 1, dt=0.01, rng=0)
    y = padded([4], [3], 8)
    # A causal network starts at the first step, whatever stands there.
    assert not (forward(y).states[0, 0] == 0).all()


@pytest.mark.parametrize("front", [False, True])
@pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")
def test_what_stands_in_the_padding_does_not_change_the_fit(front):
    rng = np.random.default_rng(0)
    n, steps = 12, 40
    lengths = rng.integers(20, steps + 1, n)
    mask = np.arange(steps)[None] < lengths[:, None]
    if front:
        mask = mask[:, ::-1].copy()
    x, y = rng.standard_normal((n, steps, 2)), rng.standard_normal((n, steps, 1))
    losses = []
    for rubbish in (0.0, 50.0):
        given = np.where(mask[..., None], x, rubbish), np.where(mask[..., None], y, rubbish), mask
        model = nr.models.GRU(2, 4, 1, dt=0.01, bidirectional=True, rng=0)
        fit = nr.fit(model, given, max_epochs=3, optimizer="adam", intervals=False, rng=0)
        losses.append(fit.history["loss"].values)
    np.testing.assert_array_equal(*losses)


def test_a_warm_up_is_no_padding():
    x = torch.ones(3, 6, 1)
    counted = torch.ones(3, 6, dtype=torch.bool)
    counted[:, :2] = False
    counted[1, 5] = False
    cleared = _without_padding(x, counted)
    assert cleared[..., 0].tolist() == [[1] * 6, [1, 1, 1, 1, 1, 0], [1] * 6]


def test_a_model_shows_the_time_constants_that_it_has():
    model = nr.models.LeakyRNN(2, 3, 1, dt=0.01, tau=0.1, rng=0)
    assert "tau=0.1 s" in repr(model)
    with torch.no_grad():
        model.unbounded_tau[1] += 1.0
    tau = model.tau.detach()
    assert f"tau=0.1 to {tau[1]:.3g}, median 0.1 s" in repr(model)
