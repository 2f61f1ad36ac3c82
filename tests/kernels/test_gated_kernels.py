"""The compiled gated units against torch's own layers, sizes that fill no vector included."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neurornn._kernels import gated
from neurornn._kernels.gated import GRUArrays, LSTMArrays

#: Trials, steps, inputs, units: one of each, sizes that fill nothing up, several chunks.
SIZES = [
    (1, 1, 1, 1), (1, 9, 3, 5), (3, 1, 1, 16), (4, 7, 3, 17), (5, 40, 20, 32), (300, 3, 2, 3),
    (33, 25, 95, 64),
]  # fmt: skip
KINDS = {"gru": (GRUArrays, nn.GRU), "lstm": (LSTMArrays, nn.LSTM)}
each = pytest.mark.parametrize("kind", KINDS)


def arguments(kind, n_trials, n_steps, n_inputs, n_hidden, dtype=torch.float64, seed=0):
    """A layer of torch's in float64, and arguments of the kernel that make the same units."""
    named, layer_of = KINDS[kind]
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        # What single precision holds, so that both precisions start from the same numbers.
        return torch.randn(*shape, generator=rng)

    layer = layer_of(n_inputs, n_hidden).double()
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(draw(*p.shape) / n_hidden**0.5)
    x = draw(n_steps, n_trials, n_inputs)
    starts = [draw(n_trials, n_hidden) for _ in range(1 if kind == "gru" else 2)]
    given = (x, *starts, *(p.detach() for p in layer.parameters()))
    return layer, named(*(v.to(dtype).numpy() for v in given))


def recurrence(given: Any, keep: bool = True):
    """Whatever the kernel returns."""
    run = gated.gru_recurrence if isinstance(given, GRUArrays) else gated.lstm_recurrence
    return run(given, keep)


def adjoint(grad, found, given: Any, wanted: Any = None, cell_grad=None):
    """Gradients, all of them by default."""
    wanted = type(given)(*[True] * len(given)) if wanted is None else wanted
    if isinstance(given, GRUArrays):
        return gated.gru_adjoint(grad, *found, given, wanted)
    return gated.lstm_adjoint(grad, cell_grad, *found, given, wanted)


def by_torch(layer, given: Any, grad, cell_grad=None):
    """States and gradients of torch's layer in float64; cells step by step from its own."""
    tensors = [torch.from_numpy(x).double().requires_grad_() for x in given]
    names = [name for name, _ in layer.named_parameters()]
    weights = dict(zip(names, tensors[-4:], strict=True))
    state, steps, cells = [s[None] for s in tensors[1:-4]], [], []
    for x in tensors[0].unbind(0):
        hx = state[0] if len(state) == 1 else tuple(state)
        _, last = torch.func.functional_call(layer, weights, (x[None], hx))
        state = [last] if len(state) == 1 else list(last)
        steps.append(state[0][0])
        cells.append(state[-1][0])
    outputs, grads = [torch.stack(steps), torch.stack(cells)], [grad, cell_grad]
    asked = [(o, torch.from_numpy(g).double()) for o, g in zip(outputs, grads, strict=True)
             if g is not None]  # fmt: skip
    gradients = torch.autograd.grad(
        [o for o, _ in asked], tensors, [g for _, g in asked], allow_unused=True
    )
    return [o.detach().numpy() for o in outputs], gradients


# Float32: sums of up to 825 steps and trials, summed in chunks; float64 likewise.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("size", SIZES)
@each
def test_states_and_gradients_are_those_of_torch(kind, size, dtype, tolerance):
    layer, given = arguments(kind, *size, dtype)
    n_trials, n_steps, _, n_hidden = size
    draw = np.random.default_rng(0)
    grad, cell_grad = draw.standard_normal((2, n_steps, n_trials, n_hidden)).astype(given[0].dtype)
    cell_grad = None if kind == "gru" else cell_grad
    expected, gradients = by_torch(layer, given, grad, cell_grad)
    found = recurrence(given)
    for start, states, wanted in zip(given[1:-4], found[:-1], expected, strict=False):
        assert states.dtype == given.weights.dtype
        assert np.array_equal(states[0, :, :n_hidden], start)
        assert not states[..., n_hidden:].any()
        # A cell may grow by one in each step, and its rounding with it.
        far = tolerance * max(1, np.abs(wanted).max())
        np.testing.assert_allclose(states[1:, :, :n_hidden], wanted, rtol=0, atol=far)
    values = adjoint(grad, found, given, cell_grad=cell_grad)
    for name, one, other in zip(given._fields, values, gradients, strict=True):
        # Of the largest entry: small ones are differences of large ones.
        far = 2 * tolerance * float(other.abs().max())
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=far, err_msg=name)


@pytest.mark.parametrize("which", ["states", "cells"])
def test_gradients_of_states_or_cells_alone(which):
    layer, given = arguments("lstm", 3, 6, 2, 5)
    grad = np.random.default_rng(0).standard_normal((6, 3, 5))
    both = (grad, None) if which == "states" else (None, grad)
    found = adjoint(both[0], recurrence(given), given, cell_grad=both[1])
    _, gradients = by_torch(layer, given, *both)
    for one, other in zip(found, gradients, strict=True):
        # Float64 sums of eighteen numbers.
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-13)


@each
def test_chunks_that_fill_up_and_that_do_not(kind, monkeypatch):
    _, given = arguments(kind, 3, 10, 4, 5)
    grad = np.ones((10, 3, 5))
    runs = []
    for rows in (1, 6, 12, 1000):
        monkeypatch.setattr(gated, "CHUNK_ROWS", rows)
        found = recurrence(given)
        runs.append([*found, *adjoint(grad, found, given)])
    for other in runs[1:]:
        for one, two in zip(runs[0], other, strict=True):
            # Float64 sums of thirty numbers in another order.
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-13)


@each
def test_inputs_and_gradients_are_taken_as_they_lie(kind):
    _, given = arguments(kind, 3, 10, 4, 16)
    grad = np.random.default_rng(0).standard_normal((10, 3, 16))

    def runs(inputs, grad):
        changed = given._replace(inputs=inputs)
        found = recurrence(changed)
        return [*found, *adjoint(grad, found, changed)]

    def turned(x):
        return np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2)

    inputs = given.inputs
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


@each
def test_only_what_is_asked_for(kind):
    _, given = arguments(kind, 3, 10, 4, 5)
    found, grad = recurrence(given), np.ones((10, 3, 5))
    whole = adjoint(grad, found, given)
    for name in given._fields:
        wanted = type(given)(*(name == other for other in given._fields))
        for other, value in adjoint(grad, found, given, wanted)._asdict().items():
            if other == name:
                assert np.array_equal(value, getattr(whole, name))
            else:
                assert value is None


@each
def test_without_a_gradient_only_one_step_is_kept(kind):
    _, given = arguments(kind, 3, 10, 4, 5)
    *states, kept = recurrence(given)
    *same, less = recurrence(given, keep=False)
    assert all(np.array_equal(one, two) for one, two in zip(states, same, strict=True))
    assert len(kept) == 10 and np.array_equal(less[0], kept[-1])


@each
def test_a_trial_does_not_depend_on_those_beside_it(kind):
    _, given = arguments(kind, 7, 30, 4, 20, torch.float32)
    starts = {k: v[5:6] for k, v in given._asdict().items() if "start" in k}
    alone = given._replace(inputs=given.inputs[:, 5:6], **starts)
    assert np.array_equal(recurrence(alone)[0][:, 0], recurrence(given)[0][:, 5])


@each
def test_gates_that_saturate_stay_numbers(kind):
    layer, given = arguments(kind, 2, 6, 3, 4, torch.float32)
    given = given._replace(inputs=given.inputs * np.float32(1e6))
    found, grad = recurrence(given), np.ones((6, 2, 4), np.float32)
    (expected, _), _ = by_torch(layer, given, grad)
    # Gates of 0 and 1, and what they let through of one in size: rounding alone.
    np.testing.assert_allclose(found[0][1:, :, :4], expected, rtol=0, atol=1e-6)
    assert all(np.isfinite(x).all() for x in adjoint(grad, found, given))


@each
def test_what_is_not_a_number_stays_so(kind):
    _, given = arguments(kind, 2, 6, 3, 4)
    inputs = given.inputs.copy()
    inputs[3, 1, 0] = np.nan
    states = recurrence(given._replace(inputs=inputs))[0]
    assert np.isnan(states[4:, 1, :4]).all()
    assert np.isfinite(states[:4]).all() and np.isfinite(states[:, 0]).all()
