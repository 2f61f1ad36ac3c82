"""The compiled recurrence against plain torch, and its adjoint against differences."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import neurornn as nr
from neurornn._kernels import recurrent
from neurornn._kernels.recurrent_functions import FUNCTIONS
from neurornn.models import recurrence
from neurornn.models.recurrence import kernels_run, plain_torch, run_leaky, run_leaky_on

FORMS = ["rate", "current"]
NAMES = ("drive", "inputs", "input_weight", "bias", "weights", "alpha", "start", "shocks")


def arguments(
    n_steps=7, n_trials=3, n_hidden=4, dtype=torch.float64, fed=False, shocks=True, seed=0
):
    """Arguments of a run by name, all asking for their gradient."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=rng, dtype=dtype)

    given = {"weights": draw(n_hidden, n_hidden) / n_hidden**0.5}
    given["alpha"] = 0.1 + 0.8 * torch.rand(n_hidden, generator=rng, dtype=dtype)
    given["start"] = draw(n_trials, n_hidden)
    if fed:
        given["inputs"] = draw(n_steps, n_trials, 2)
        given["input_weight"], given["bias"] = draw(n_hidden, 2), draw(n_hidden)
    else:
        given["drive"] = draw(n_steps, n_trials, n_hidden)
    if shocks:
        given["shocks"] = draw(n_steps, n_trials, n_hidden)
    return {name: given[name].requires_grad_() for name in NAMES if name in given}


def runner(given, nonlinearity="tanh", form="rate"):
    """The run as a function of the tensors alone."""
    run = run_leaky if "drive" in given else run_leaky_on

    def of(*tensors):
        return run(**dict(zip(given, tensors, strict=True)), nonlinearity=nonlinearity, form=form)

    return of


@pytest.fixture
def counted(monkeypatch):
    """How often the compiled loops ran."""
    runs = []

    def run(*args):
        runs.append(1)
        return recurrent.leaky_recurrence(*args)

    monkeypatch.setattr(recurrence, "leaky_recurrence", run)
    return runs


@pytest.mark.parametrize("nonlinearity", FUNCTIONS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("fed", "shocks"), [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("n_trials", [1, 3])
def test_adjoint_of_every_argument(
    nonlinearity, form, fed, shocks, n_trials, monkeypatch, counted
):
    # Two steps of three trials, or six of one: chunks that do and do not fill up.
    monkeypatch.setattr(recurrent, "CHUNK_ROWS", 6)
    given = arguments(n_trials=n_trials, fed=fed, shocks=shocks)
    # Tolerances of gradcheck itself: 1e-5 absolute and 1e-3 relative, steps of 1e-6.
    assert gradcheck(runner(given, nonlinearity, form), tuple(given.values()))
    assert counted


@pytest.mark.parametrize("nonlinearity", FUNCTIONS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n_trials", "n_hidden"), [(1, 16), (5, 20), (8, 64)])
def test_the_fast_path_is_the_plain_one(nonlinearity, form, dtype, n_trials, n_hidden, counted):
    # Sums of up to 400 numbers and 50 steps of a contraction: some hundred roundings.
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    for fed, shocks, turned in itertools.product([True, False], repeat=3):
        given = arguments(50, n_trials, n_hidden, dtype, fed, shocks)
        if nonlinearity in ("relu", "linear", "softplus"):
            # Without saturation the network would grow, and every rounding with it.
            given["weights"] = (given["weights"] / 4).detach().requires_grad_()
        tensors, run = tuple(given.values()), runner(given, nonlinearity, form)

        def step(run=run, tensors=tensors, turned=turned):
            states = run(*tensors)
            # As the layout of a loss has it: the gradient comes trials first, or as a sum's.
            loss = (states.transpose(0, 1) ** 2).mean() if turned else (states**2).mean()
            return [states, *torch.autograd.grad(loss, tensors)]

        fast = step()
        with plain_torch():
            plain = step()
        for one, other in zip(fast, plain, strict=True):
            assert one.dtype == dtype
            size = float(other.detach().abs().max())
            torch.testing.assert_close(one, other, rtol=0, atol=tolerance * size)
    assert len(counted) == 8


def test_only_what_is_asked_for(monkeypatch):
    asked = []

    def adjoint(*args, **kwargs):
        asked.append(recurrent.recurrence_adjoint(*args, **kwargs))
        return asked[-1]

    monkeypatch.setattr(recurrence, "recurrence_adjoint", adjoint)
    given = arguments(fed=True)
    run_leaky_on(**given).sum().backward(inputs=[given["bias"], given["alpha"]])
    for name in ("inputs", "input_weight", "weights", "start", "shocks"):
        given[name].requires_grad_(False)
    run_leaky_on(**given).sum().backward(inputs=[given["bias"], given["alpha"]])
    assert [x is None for x in asked[0]] == [False] * 7
    assert [name for name, x in asked[1]._asdict().items() if x is not None] == [
        "bias", "alpha", "start",
    ]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fed", [True, False])
def test_gradients_can_be_differentiated(form, fed, counted):
    given = arguments(4, 2, 3, fed=fed)
    assert gradgradcheck(runner(given, "tanh", form), tuple(given.values()))
    # Through one argument that depends on another.
    free = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)

    def second():
        given["weights"], given["alpha"] = free, torch.sigmoid(free.sum(0))
        loss = runner(given, "tanh", form)(*given.values()).pow(2).sum()
        (grad,) = torch.autograd.grad(loss, free, create_graph=True)
        return torch.autograd.grad(grad.pow(2).sum(), free)[0]

    twice = second()
    with plain_torch():
        plain = second()
    # The same operations in float64.
    torch.testing.assert_close(twice, plain, rtol=1e-10, atol=1e-10)
    assert counted


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shocks", [True, False])
def test_units_that_do_not_see_each_other(form, shocks):
    given = arguments(5, 2, 3, shocks=shocks)
    del given["weights"]

    def run(*tensors):
        return run_leaky(**dict(zip(given, tensors, strict=True)), weights=None, form=form)

    assert gradcheck(run, tuple(given.values()))
    assert gradgradcheck(run, tuple(given.values()))


def test_a_graph_kept_is_passed_twice():
    given = arguments(fed=True)
    loss = run_leaky_on(**given).pow(2).sum()
    first = torch.autograd.grad(loss, list(given.values()), retain_graph=True)
    second = torch.autograd.grad(loss, list(given.values()))
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(loss, list(given.values()))


def test_what_is_saved_may_be_stored_elsewhere():
    given = arguments(fed=True)
    here = torch.autograd.grad(run_leaky_on(**given).pow(2).sum(), list(given.values()))
    with torch.autograd.graph.saved_tensors_hooks(torch.clone, torch.clone):
        loss = run_leaky_on(**given).pow(2).sum()
    there = torch.autograd.grad(loss, list(given.values()))
    assert all(torch.equal(one, other) for one, other in zip(here, there, strict=True))


@pytest.mark.parametrize("what", ["states", "weights", "inputs", "start"])
def test_what_is_changed_before_the_way_back_is_noticed(what):
    given = arguments(fed=True)
    out = run_leaky_on(**given)
    with torch.no_grad():
        (out if what == "states" else given[what]).mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_windows_that_carry_on_are_one_run():
    model = nr.models.LeakyRNN(2, 8, 1, dt=0.01, tau=0.1, rng=0)
    inputs = torch.randn(3, 40, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, last = model.scan(inputs, model.start(3))
        first, middle = model.scan(inputs[:, :15], model.start(3))
        second, end = model.scan(inputs[:, 15:], middle)
    assert np.array_equal(torch.cat([first, second], 1).numpy(), whole.numpy())
    assert torch.equal(end, last)


def test_transforms_and_tangents_take_the_plain_path(counted):
    given = arguments(fed=True)
    run, tensors = runner(given), tuple(x.detach() for x in given.values())
    states = run(*tensors)
    assert len(counted) == 1
    tangents = tuple(torch.ones_like(x) for x in tensors)
    value, pushed = torch.func.jvp(run, tensors, tangents)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x, t) for x, t in zip(tensors, tangents, strict=True)]
        dual = forward_ad.unpack_dual(run(*duals))
    many = torch.func.vmap(run)(*(torch.stack([x, 2 * x]) for x in tensors))
    grads = torch.func.grad(lambda *x: run(*x).pow(2).sum(), tuple(range(len(tensors))))(*tensors)
    assert len(counted) == 1
    # All in float64, the same equation summed in another order.
    for one in (value, dual.primal, many[0]):
        torch.testing.assert_close(one, states, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(many[1], run(*(2 * x for x in tensors)), rtol=1e-10, atol=1e-10)
    step = 1e-6
    above, below = (
        run(*(x + s * step for x in tensors)) for s in (1, -1)
    )  # Central differences: the third derivative times 1e-12, roundings over 1e-6.
    torch.testing.assert_close(pushed, (above - below) / (2 * step), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(dual.tangent, pushed, rtol=1e-10, atol=1e-10)
    fast = torch.autograd.grad(run(*given.values()).pow(2).sum(), list(given.values()))
    for one, other in zip(grads, fast, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_where_the_compiled_loops_do_not_run(monkeypatch, counted):
    given = {k: x.detach() for k, x in arguments(fed=True).items()}
    assert kernels_run(*given.values(), None)
    assert not kernels_run(given["inputs"].bfloat16())
    assert not kernels_run(given["inputs"], given["weights"].float())
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert not kernels_run(*given.values())
    run_leaky_on(**given)
    assert not counted


@pytest.mark.parametrize("name", NAMES[1:])
def test_sizes_that_do_not_fit_never_reach_the_loops(name, counted):
    given = {k: x.detach() for k, x in arguments(fed=True).items()}
    given[name] = torch.cat([given[name]] * 2, -1)
    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|must match"):
        run_leaky_on(**given)
    # One share for all units is stretched.
    given = {k: x.detach() for k, x in arguments(fed=True).items()}
    given["alpha"] = given["alpha"][:1]
    stretched = run_leaky_on(**given)
    assert not counted
    given["alpha"] = given["alpha"].expand(4)
    # Float64, summed in another order.
    torch.testing.assert_close(run_leaky_on(**given), stretched, rtol=1e-12, atol=1e-12)
    assert counted


@pytest.mark.parametrize("form", FORMS)
def test_no_steps_no_trials_and_half_precision(form):
    given = arguments(0, fed=True)
    assert run_leaky_on(**given, form=form).shape == (0, 3, 4)
    assert run_leaky(**arguments(0), form=form).shape == (0, 3, 4)
    given = arguments(5, 0, fed=True)
    assert run_leaky_on(**given, form=form).shape == (5, 0, 4)
    half = {k: x.detach().bfloat16() for k, x in arguments(fed=True).items()}
    assert run_leaky_on(**half, form=form).dtype == torch.bfloat16
    model = nr.models.LeakyRNN(2, 8, 1, dt=0.01, tau=0.1, rng=0).to(torch.bfloat16)
    assert model(torch.zeros(1, 3, 2, dtype=torch.bfloat16)).output.dtype == torch.bfloat16


@pytest.mark.parametrize("form", FORMS)
def test_inputs_are_the_drive_they_make(form):
    given = arguments(fed=True)
    states = run_leaky_on(**given, form=form)
    drive = nn.functional.linear(*(given.pop(k) for k in ("inputs", "input_weight", "bias")))
    # Float64, summed in another order.
    torch.testing.assert_close(
        states, run_leaky(drive, **given, form=form), rtol=1e-12, atol=1e-12
    )
