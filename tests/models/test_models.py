"""Models: equations against a plain loop, gradients, clocks, bounds, bad input."""

import copy
import pickle

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import DataError, ThreePartError
from neurornn.models.bounded import LogBounded
from neurornn.models.recurrence import plain_torch

X = torch.randn(3, 25, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def reference(model, x):
    """The rate equation written out in NumPy."""
    get = {k: v.detach().numpy() for k, v in model.named_parameters()}
    f = {"tanh": np.tanh, "linear": lambda v: v, "relu": lambda v: np.maximum(v, 0)}
    tau = model.tau.detach().numpy()
    alpha = model.dt / tau if model.step_rule == "euler" else 1 - np.exp(-model.dt / tau)
    w = 0 if model.weights() is None else model.weights().detach().numpy()
    h = np.zeros((len(x), model.n_hidden))
    if model.initial_state == "learned":
        h = h + get["first_state"]
    out = []
    for u in np.moveaxis(x.numpy(), 1, 0):
        drive = u @ get["input_weight"].T + get["bias"]
        if model.weights() is not None:
            drive = drive + h @ w.T
        h = (1 - alpha) * h + alpha * f[model.nonlinearity](drive)
        out.append(h)
    states = np.stack(out, 1)
    return states, states @ get["output_weight"].T + get["output_bias"]


@pytest.mark.parametrize("nonlinearity", ["tanh", "linear", "relu"])
@pytest.mark.parametrize("step", ["exact", "euler"])
@pytest.mark.parametrize("recurrent", [True, False])
def test_leaky_network_is_its_equation(nonlinearity, step, recurrent):
    model = nr.models.LeakyRNN(
        2,
        4,
        3,
        dt=0.01,
        tau=[0.02, 0.05, 0.1, 1.0],
        nonlinearity=nonlinearity,
        step=step,
        recurrent=recurrent,
        initial_state="learned",
        rng=1,
    ).double()
    with torch.no_grad():
        model.first_state += 0.3
    out = model(X)
    states, output = reference(model, X)
    # The same sums in float64 in another order.
    assert out.states.detach().numpy() == pytest.approx(states, abs=1e-12)
    assert out.output.detach().numpy() == pytest.approx(output, abs=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nr.models.LeakyRNN(2, 3, 1, dt=0.01, tau=0.05, rng=0),
        lambda: nr.models.LeakyRNN(2, 3, 1, dt=0.01, tau=0.05, recurrent=False, rng=0),
        lambda: nr.models.VanillaRNN(2, 3, 1, dt=0.01, rng=0),
        lambda: nr.models.LinearStateSpace(2, 3, 1, dt=0.01, rng=0),
        lambda: nr.models.Memoryless(2, 1, dt=0.01),
    ],
)
def test_gradients_of_every_cell(make):
    model = make().double()
    names = [n for n, _ in model.named_parameters()]
    x = X[:2, :7].clone().requires_grad_()

    def run(x, *weights):
        return torch.func.functional_call(
            model, dict(zip(names, weights, strict=True)), (x,)
        ).output

    assert torch.autograd.gradcheck(run, (x, *model.parameters()))


def test_kernel_path_and_plain_path_agree():
    model = nr.models.LeakyRNN(2, 3, 1, dt=0.01, tau=0.05, recurrent=False, rng=0).double()
    fast = model(X).output
    with plain_torch():
        plain = model(X).output
    assert torch.equal(fast, plain) or float((fast - plain).detach().abs().max()) < 1e-14


def test_tau_is_read_and_assigned_in_seconds():
    model = nr.models.LeakyRNN(1, 3, 1, dt=0.01, tau=0.1, tau_bounds=(0.005, 2.0))
    assert model.tau.detach().numpy() == pytest.approx(0.1)
    model.tau = [0.02, 0.2, 1.5]
    # Stored in float32 on a sigmoid in log tau: seven digits less one at the edges.
    assert model.tau.detach().numpy() == pytest.approx([0.02, 0.2, 1.5], rel=1e-5)
    with pytest.raises(DataError, match=r"between 0\.005 and 2"):
        model.tau = 3.0
    assert copy.deepcopy(model).tau.equal(model.tau)
    assert pickle.loads(pickle.dumps(model)).tau.equal(model.tau)  # between our own processes


def test_tau_stays_inside_its_bounds():
    bounds = LogBounded(0.01, 10.0)
    x = torch.tensor([-1e3, -3.0, 0.0, 3.0, 1e3])
    tau = bounds(x)
    assert bool((tau >= 0.01 * (1 - 1e-6)).all()) and bool((tau <= 10 * (1 + 1e-6)).all())
    # The middle of the range is its geometric mean.
    assert float(tau[2]) == pytest.approx(np.sqrt(0.1), rel=1e-5)
    assert bounds.right_inverse(tau[1:4]) == pytest.approx(x[1:4], rel=1e-3)


def test_another_clock_keeps_tau_and_the_response():
    model = nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=[0.05, 0.2], recurrent=False, rng=0).double()
    fine = model.with_dt(0.0025)
    assert fine.tau.detach().numpy() == pytest.approx(model.tau.detach().numpy())
    step = torch.ones(1, 40, 1, dtype=torch.float64)
    coarse, dense = model(step).output[0, -1], fine(step.repeat(1, 4, 1)).output[0, -1]
    # An exact step under a constant drive: the same answer at the same time to rounding.
    assert float((coarse - dense).detach()) == pytest.approx(0.0, abs=1e-12)


def test_weights_that_act_per_step_have_no_other_clock():
    for model in (
        nr.models.VanillaRNN(1, 2, 1, dt=0.01),
        nr.models.LinearStateSpace(1, 2, 1, dt=0.01),
        nr.models.GRU(1, 2, 1, dt=0.01),
        nr.models.CausalCNN(1, 1, dt=0.01),
    ):
        with pytest.raises(ThreePartError, match="per step"):
            model.with_dt(0.005)
    assert nr.models.Memoryless(1, 1, dt=0.01).with_dt(0.005).dt == 0.005


def test_a_linear_unit_has_no_weight_onto_itself_unless_asked():
    one = nr.models.LeakyRNN(1, 1, 1, dt=0.1, tau=1.0, nonlinearity="linear")
    assert one.weights() is None
    two = nr.models.LeakyRNN(1, 2, 1, dt=0.1, tau=1.0, nonlinearity="linear")
    assert float(two.weights().detach().diagonal().abs().max()) == 0.0
    tanh = nr.models.LeakyRNN(1, 2, 1, dt=0.1, tau=1.0)
    assert float(tanh.weights().detach().diagonal().abs().min()) > 0


def test_linear_state_space_time_constants():
    model = nr.models.LinearStateSpace(1, 2, 1, dt=0.1).double()
    with torch.no_grad():
        model.transition.copy_(torch.diag(torch.exp(torch.tensor([-0.1 / 0.5, -0.1 / 3.0]))))
    assert sorted(model.time_constants().tolist()) == pytest.approx([0.5, 3.0], rel=1e-6)


def test_memoryless_does_not_look_back():
    model = nr.models.Memoryless(2, 1, dt=0.1).double()
    with torch.no_grad():
        model.direct_weight += 1.0
    before = model(X).output
    changed = X.clone()
    changed[:, 3] += 1
    difference = (model(changed).output - before).detach().abs().sum((0, 2))
    assert difference.nonzero().flatten().tolist() == [3]


def test_no_model_looks_ahead():
    for model in (
        nr.models.LeakyRNN(2, 4, 1, dt=0.01, tau=0.05, rng=0),
        nr.models.VanillaRNN(2, 4, 1, dt=0.01, rng=0),
        nr.models.LinearStateSpace(2, 4, 1, dt=0.01, rng=0),
    ):
        model = model.double()
        changed = X.clone()
        changed[:, 12:] += 1
        difference = (model(changed).output - model(X).output).detach().abs()
        assert float(difference[:, :12].max()) == 0.0
        assert float(difference[:, 12:].max()) > 0.0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m(np.zeros((3, 10, 5))), r"inputs has shape \(3, 10, 5\)"),
        (lambda m: m(np.zeros((10, 2))), r"inputs has shape \(10, 2\)"),
        (lambda m: m("text"), "inputs is a str that is not an array"),
        (lambda m: nr.models.LeakyRNN(-1, 1, 1, dt=0.1, tau=1.0), "n_input is -1"),
        (lambda m: nr.models.LeakyRNN(1, 1, 1, dt=-0.1, tau=1.0), "dt is -0.1"),
        (
            lambda m: nr.models.LeakyRNN(1, 1, 1, dt=0.1, tau=1.0, nonlinearity="tanhh"),
            "nonlinearity is 'tanhh'",
        ),
        (lambda m: nr.models.LeakyRNN(1, 1, 1, dt=0.1, tau=1.0, step="rk4"), "step is 'rk4'"),
        (
            lambda m: nr.models.LeakyRNN(1, 2, 1, dt=0.1, tau=[1.0, 1.0, 1.0]),
            r"tau has shape \(3,\)",
        ),
        (
            lambda m: nr.models.LeakyRNN(1, 2, 1, dt=0.1, tau=1.0, tau_bounds=(2.0, 3.0)),
            r"A value of \[1.0, 1.0\] came",
        ),
    ],
)
def test_bad_models_and_inputs_are_refused_in_three_parts(call, said):
    with pytest.raises(ThreePartError, match=said) as caught:
        call(nr.models.LeakyRNN(2, 2, 1, dt=0.01, tau=0.1))
    assert len(caught.value.remedy) > 8
