"""Gradients that stand for many at once pass through our loops as through torch's."""

import pytest
import torch

import neurornn as nr

MODELS = {
    "gru": lambda: nr.models.GRU(2, 4, 1, dt=0.01, rng=0),
    "lstm": lambda: nr.models.LSTM(2, 4, 1, dt=0.01, rng=0),
    "leaky": lambda: nr.models.LeakyRNN(2, 4, 1, dt=0.01, tau=0.1, rng=0),
    "current": lambda: nr.models.LeakyRNN(2, 4, 1, dt=0.01, tau=0.1, form="current", rng=0),
}


@pytest.mark.parametrize("name", MODELS)
def test_many_gradients_at_once_are_each_alone(name):
    model = MODELS[name]()
    x = torch.randn(3, 7, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    out = model(x).output
    asked = [*model.parameters(), x]
    each = torch.eye(out.numel()).reshape(-1, *out.shape)
    keep = {"retain_graph": True, "allow_unused": True}
    many = torch.autograd.grad(out, asked, each, is_grads_batched=True, **keep)
    alone = [torch.autograd.grad(out, asked, one, **keep) for one in each]
    for k, found in enumerate(many):
        if found is not None:
            torch.testing.assert_close(found, torch.stack([a[k] for a in alone]))


@pytest.mark.parametrize("name", MODELS)
def test_vectorised_jacobian_and_hessian(name):
    model = MODELS[name]()
    x = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(1))
    functional = torch.autograd.functional

    def outputs(given):
        return model(given).output.sum((0, 2))

    def square(given):
        return model(given).output.pow(2).sum()

    for way, f in ((functional.jacobian, outputs), (functional.hessian, square)):
        torch.testing.assert_close(way(f, x, vectorize=True), way(f, x))
