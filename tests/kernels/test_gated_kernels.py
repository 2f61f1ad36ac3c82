"""The compiled gated units against torch's own layer, sizes that fill no vector included."""

import numpy as np
import pytest
import torch
from torch import nn

from neurornn._kernels import gated
from neurornn._kernels.gated import GRUArrays, gru_adjoint, gru_recurrence

#: Trials, steps, inputs, units: one of each, sizes that fill nothing up, several chunks.
SIZES = [
    (1, 1, 1, 1), (1, 9, 3, 5), (3, 1, 1, 16), (4, 7, 3, 17), (5, 40, 20, 32), (300, 3, 2, 3),
    (33, 25, 95, 64),
]  # fmt: skip
ALL = GRUArrays(*[True] * 6)


def arguments(n_trials, n_steps, n_inputs, n_hidden, dtype=torch.float64, seed=0):
    """A layer of torch's and the arguments of the kernel that make the same units."""
    rng = torch.Generator().manual_seed(seed)
    layer = nn.GRU(n_inputs, n_hidden).to(dtype)
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.randn(p.shape, generator=rng, dtype=dtype) / n_hidden**0.5)
    x = torch.randn(n_steps, n_trials, n_inputs, generator=rng, dtype=dtype)
    start = torch.randn(n_trials, n_hidden, generator=rng, dtype=dtype)
    return layer, GRUArrays(x, start, *layer.parameters())


def arrays(given):
    return GRUArrays(*(x.detach().numpy() for x in given))


# Float32: sums of up to 825 steps and trials, each rounding once; float64 likewise.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("size", SIZES)
def test_states_and_gradients_are_those_of_torch(size, dtype, tolerance):
    layer, given = arguments(*size, dtype)
    x, start = (v.requires_grad_() for v in given[:2])
    expected, _ = layer(x, start[None])
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    gradients = torch.autograd.grad(expected, given, grad)
    states, kept = gru_recurrence(arrays(given))
    n_hidden = size[3]
    assert states.dtype == kept.dtype == arrays(given).weights.dtype
    assert np.array_equal(states[0, :, :n_hidden], start.detach().numpy())
    assert not states[..., n_hidden:].any()
    # A state is at most one step of a mean of numbers of size one.
    np.testing.assert_allclose(
        states[1:, :, :n_hidden], expected.detach().numpy(), rtol=0, atol=tolerance
    )
    found = gru_adjoint(grad.numpy(), states, kept, arrays(given), ALL)
    for name, one, other in zip(GRUArrays._fields, found, gradients, strict=True):
        # Of the largest entry: small ones are differences of large ones.
        size_of = float(other.abs().max())
        np.testing.assert_allclose(
            one, other.numpy(), rtol=0, atol=2 * tolerance * size_of, err_msg=name
        )


def test_chunks_that_fill_up_and_that_do_not(monkeypatch):
    _, given = arguments(3, 10, 4, 5)
    grad = np.ones((10, 3, 5))
    found = []
    for rows in (1, 6, 12, 1000):
        monkeypatch.setattr(gated, "CHUNK_ROWS", rows)
        states, kept = gru_recurrence(arrays(given))
        found.append([states, *gru_adjoint(grad, states, kept, arrays(given), ALL)])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            # Float64 sums of thirty numbers in another order.
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-13)


def test_inputs_and_gradients_are_taken_as_they_lie():
    _, given = arguments(3, 10, 4, 16)
    grad = np.random.default_rng(0).standard_normal((10, 3, 16))

    def runs(inputs, grad):
        changed = arrays(given)._replace(inputs=inputs)
        states, kept = gru_recurrence(changed)
        return [states, *gru_adjoint(grad, states, kept, changed, ALL)]

    def turned(x):
        return np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2)

    inputs = given.inputs.numpy()
    expected = runs(inputs, grad)
    spread = np.repeat(inputs, 2, 2)[..., ::2]
    for other in (
        runs(turned(inputs), grad),
        runs(inputs, turned(grad)),
        runs(turned(inputs), turned(grad)),
        runs(spread, np.repeat(grad, 2, 0)[::2]),
    ):
        # The very same operations on the same numbers.
        assert all(np.array_equal(one, two) for one, two in zip(expected, other, strict=True))
    one_step = runs(inputs[:1], grad[:1])
    assert one_step[1].shape == (1, 3, 4)


def test_only_what_is_asked_for():
    _, given = arguments(3, 10, 4, 5)
    states, kept = gru_recurrence(arrays(given))
    grad = np.ones((10, 3, 5))
    whole = gru_adjoint(grad, states, kept, arrays(given), ALL)
    for name in GRUArrays._fields:
        wanted = GRUArrays(*(name == other for other in GRUArrays._fields))
        found = gru_adjoint(grad, states, kept, arrays(given), wanted)
        for other, value in found._asdict().items():
            if other == name:
                assert np.array_equal(value, getattr(whole, name))
            else:
                assert value is None


def test_without_a_gradient_only_one_step_is_kept():
    _, given = arguments(3, 10, 4, 5)
    states, kept = gru_recurrence(arrays(given))
    same, less = gru_recurrence(arrays(given), keep=False)
    assert np.array_equal(same, states)
    assert len(kept) == 10 and np.array_equal(less[0], kept[-1])


def test_a_trial_does_not_depend_on_those_beside_it():
    _, given = arguments(7, 30, 4, 20, torch.float32)
    states, _ = gru_recurrence(arrays(given))
    alone = arrays(given)._replace(
        inputs=given.inputs[:, 5:6].numpy(), start=given.start[5:6].numpy()
    )
    assert np.array_equal(gru_recurrence(alone)[0][:, 0], states[:, 5])


def test_gates_that_saturate_stay_numbers():
    layer, given = arguments(2, 6, 3, 4, torch.float32)
    given = given._replace(inputs=given.inputs * 1e6)
    states, kept = gru_recurrence(arrays(given))
    expected, _ = layer(given.inputs, given.start[None])
    # Gates of 0 and 1, and targets of one in size: rounding alone.
    np.testing.assert_allclose(states[1:, :, :4], expected.detach().numpy(), rtol=0, atol=1e-6)
    found = gru_adjoint(np.ones((6, 2, 4), np.float32), states, kept, arrays(given), ALL)
    assert all(np.isfinite(x).all() for x in found)


def test_what_is_not_a_number_stays_so():
    _, given = arguments(2, 6, 3, 4)
    inputs = given.inputs.numpy().copy()
    inputs[3, 1, 0] = np.nan
    states, _ = gru_recurrence(arrays(given)._replace(inputs=inputs))
    assert np.isnan(states[4:, 1, :4]).all()
    assert np.isfinite(states[:4]).all() and np.isfinite(states[:, 0]).all()
