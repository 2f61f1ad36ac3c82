"""The hand-written recurrence against plain torch, and its adjoint against differences."""

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._kernels.recurrent import FUNCTIONS
from neurornn.models.recurrence import _LeakyRecurrence, plain_torch


@pytest.mark.parametrize("nonlinearity", FUNCTIONS)
def test_adjoint_of_every_argument(nonlinearity):
    rng = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    drive, weights, start = draw(7, 3, 4), draw(4, 4), draw(3, 4)
    alpha = torch.rand(4, generator=rng, dtype=torch.float64)
    arguments = [x.requires_grad_() for x in (drive, weights, alpha, start)]
    assert torch.autograd.gradcheck(lambda *x: _LeakyRecurrence.apply(*x, nonlinearity), arguments)


@pytest.mark.parametrize("nonlinearity", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fast_path_is_the_plain_one(nonlinearity, dtype):
    model = nr.models.LeakyRNN(
        3, 16, 2, dt=0.01, tau=0.05, nonlinearity=nonlinearity, initial_state="learned", rng=1
    ).to(dtype)
    inputs = torch.randn(4, 50, 3, generator=torch.Generator().manual_seed(2), dtype=dtype)
    # A nonlinearity that does not saturate grows; a few steps of float32 rounding grow with it.
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10

    def run():
        model.zero_grad()
        out = model(inputs)
        (out.output**2).mean().backward()
        return out, [p.grad.clone() for p in model.parameters()]

    fast, fast_grads = run()
    with plain_torch():
        plain, plain_grads = run()
    assert fast.output.dtype == dtype
    torch.testing.assert_close(fast.states, plain.states, rtol=tolerance, atol=tolerance)
    for one, other in zip(fast_grads, plain_grads, strict=True):
        torch.testing.assert_close(one, other, rtol=10 * tolerance, atol=10 * tolerance)


def test_windows_that_carry_on_are_one_run():
    model = nr.models.LeakyRNN(2, 8, 1, dt=0.01, tau=0.1, rng=0)
    inputs = torch.randn(3, 40, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, last = model.scan(inputs, model.start(3))
        first, middle = model.scan(inputs[:, :15], model.start(3))
        second, end = model.scan(inputs[:, 15:], middle)
    assert np.array_equal(torch.cat([first, second], 1).numpy(), whole.numpy())
    assert torch.equal(end, last)


@pytest.mark.parametrize("what", ["states", "weights"])
def test_what_is_changed_before_the_way_back_is_noticed(what):
    model = nr.models.LeakyRNN(2, 8, 1, dt=0.01, tau=0.1, rng=0)
    inputs = torch.randn(1, 20, 2, generator=torch.Generator().manual_seed(0))
    out = model(inputs).states
    with torch.no_grad():
        (out if what == "states" else model.recurrent_weight).mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_no_steps_and_half_precision_take_the_plain_path():
    model = nr.models.LeakyRNN(2, 8, 1, dt=0.01, tau=0.1, rng=0)
    half = model.to(torch.bfloat16)(torch.zeros(1, 3, 2, dtype=torch.bfloat16))
    assert half.output.dtype == torch.bfloat16
