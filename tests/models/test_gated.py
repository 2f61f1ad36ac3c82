"""GRU and LSTM: their equations, states to go on from, gates in seconds."""

import copy
import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch.autograd import forward_ad, gradcheck, gradgradcheck

import neurornn as nr
from neurornn._core.errors import ThreePartError
from neurornn.models import gated
from neurornn.models.recurrence import plain_torch

X = torch.randn(3, 25, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
CELLS = [nr.models.GRU, nr.models.LSTM]
both = pytest.mark.parametrize("cell", CELLS)


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def layer_by_hand(cell, get, x, h, c, end=""):
    """One layer of either cell in NumPy, step by step."""
    w, u = get[f"weight_ih_l0{end}"], get[f"weight_hh_l0{end}"]
    b, d = get[f"bias_ih_l0{end}"], get[f"bias_hh_l0{end}"]
    hs, cs, gates = [], [], []
    for now in np.moveaxis(x, 1, 0):
        fed, back = now @ w.T + b, h @ u.T + d
        if cell is nr.models.GRU:
            (rx, zx, nx), (rh, zh, nh) = np.split(fed, 3, -1), np.split(back, 3, -1)
            z = sigmoid(zx + zh)
            h = (1 - z) * np.tanh(nx + sigmoid(rx + rh) * nh) + z * h
            gates.append(z)
        else:
            i, f, g, o = np.split(fed + back, 4, -1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            gates.append(sigmoid(f))
        hs.append(h)
        cs.append(c)
    return [np.stack(v, 1) for v in (hs, cs, gates)]


def by_hand(model, x):
    """Output, states and gates of a model that does not look ahead."""
    cell, zero = type(model), np.zeros((len(x), model.n_hidden))
    hidden, cells, gates, below = [], [], [], x
    for layer in model.layers:
        get = {k: v.detach().numpy() for k, v in layer.named_parameters()}
        h, c, g = layer_by_hand(cell, get, below, zero, zero)
        hidden, cells, gates, below = [*hidden, h], [*cells, c], [*gates, g], h
    states = np.concatenate(hidden + (cells if cell is nr.models.LSTM else []), 2)
    w, b = model.output_weight.detach().numpy(), model.output_bias.detach().numpy()
    return below @ w.T + b, states, np.concatenate(gates, 2)


@both
@pytest.mark.parametrize("n_layers", [1, 3])
def test_cell_is_its_equation(cell, n_layers):
    model = cell(2, 4, 3, dt=0.01, n_layers=n_layers, tau=0.05, rng=1).double()
    out = model(X)
    output, states, gates = by_hand(model, X.numpy())
    # The same sums in float64 in another order.
    assert out.output.detach().numpy() == pytest.approx(output, abs=1e-12)
    assert out.states.detach().numpy() == pytest.approx(states, abs=1e-12)
    tau = model.gate_time_constants(X)
    # The logarithm of a gate of about 0.8 loses a digit.
    assert tau.values == pytest.approx(-0.01 / np.log(gates), rel=1e-10)
    assert tau["layer"].values.tolist() == [k for k in range(n_layers) for _ in range(4)]


@both
def test_bidirectional_cell_is_its_equation(cell):
    model = cell(2, 4, 1, dt=0.01, n_layers=2, bidirectional=True, rng=1).double()
    zero, below = np.zeros((3, 4)), X.numpy()
    gates = []
    for layer in model.layers:
        get = {k: v.detach().numpy() for k, v in layer.named_parameters()}
        ahead, _, g = layer_by_hand(cell, get, below, zero, zero)
        back, _, r = layer_by_hand(cell, get, below[:, ::-1], zero, zero, "_reverse")
        below = np.concatenate([ahead, back[:, ::-1]], 2)
        gates += [g, r[:, ::-1]]
    out = model(X)
    assert out.states.detach().numpy() == pytest.approx(below, abs=1e-12)
    w, b = model.output_weight.detach().numpy(), model.output_bias.detach().numpy()
    assert out.output.detach().numpy() == pytest.approx(below @ w.T + b, abs=1e-12)
    tau = model.gate_time_constants(X)
    assert tau.values == pytest.approx(-0.01 / np.log(np.concatenate(gates, 2)), rel=1e-10)
    assert tau["direction"].values.tolist() == (["forward"] * 4 + ["backward"] * 4) * 2


@both
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_of_weights_inputs_and_start(cell, bidirectional):
    model = cell(2, 2, 1, dt=0.01, n_layers=2, bidirectional=bidirectional, rng=0).double()
    names = [n for n, _ in model.named_parameters()]
    x = X[:2, :4].clone().requires_grad_()
    draw = torch.Generator().manual_seed(3)
    first = torch.randn(2, model.n_state, generator=draw, dtype=torch.float64).requires_grad_()

    def run(x, first, *weights):
        return tuple(
            torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (x, first))
        )

    # Of the states as well: the cells of an LSTM are formed anew and must carry gradients too.
    assert torch.autograd.gradcheck(run, (x, first, *model.parameters()))


@both
@pytest.mark.parametrize("n_layers", [1, 2])
def test_windows_that_carry_on_are_one_run(cell, n_layers):
    model = cell(2, 4, 1, dt=0.01, n_layers=n_layers, rng=0).double()
    states, last = model.scan(X, model.start(3))
    first, middle = model.scan(X[:, :15], model.start(3))
    second, end = model.scan(X[:, 15:], middle)
    # Rounding: the products of 15 and of 25 steps may be summed in another order.
    assert torch.allclose(torch.cat([first, second], 1), states, rtol=0, atol=1e-14)
    assert torch.allclose(end, last, rtol=0, atol=1e-14)
    nothing, same = model.scan(X[:, :0], middle)
    assert nothing.shape == (3, 0, model.n_state) and same is middle


@both
def test_states_of_every_step_are_states_to_go_on_from(cell):
    model = cell(2, 4, 1, dt=0.01, n_layers=2, rng=0).double()
    whole = model(X)
    for t in (0, 7, 23):
        rest = model(X[:, t + 1 :], whole.states[:, t])
        assert torch.allclose(rest.output, whole.output[:, t + 1 :], rtol=0, atol=1e-14)
    again = model.read(whole.states[:, 5:9:3], X[:, 5:9:3])
    assert torch.allclose(again, whole.output[:, 5:9:3], rtol=0, atol=1e-14)


@both
def test_what_comes_later_matters_only_where_it_is_asked_for(cell):
    changed = X.clone()
    changed[:, 12:] += 1
    for bidirectional in (False, True):
        model = cell(2, 4, 1, dt=0.01, n_layers=2, bidirectional=bidirectional).double()
        difference = (model(changed).output - model(X).output).detach().abs()
        assert model.looks_ahead is bidirectional
        assert (float(difference[:, :12].min()) > 0) is bidirectional
        assert (float(difference[:, :12].max()) > 0) is bidirectional
        assert float(difference[:, 12:].max()) > 0


@both
def test_a_model_that_looks_ahead_takes_no_state(cell):
    model = cell(2, 4, 1, dt=0.01, bidirectional=True)
    out = model(X)
    with pytest.raises(ThreePartError, match="bidirectional"):
        model(X, out.states[:, -1])
    states, last = model.scan(X.float(), model.start(3))
    assert last.shape == (3, 0) and torch.equal(states, out.states)


@both
def test_gates_start_at_the_time_constants_given(cell):
    tau = [0.004, 0.02, 0.3, 50.0]
    for bidirectional in (False, True):
        model = cell(2, 4, 1, dt=0.01, n_layers=2, tau=tau, bidirectional=bidirectional).double()
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "weight" in name:
                    p.zero_()
        found = model.gate_time_constants(X)
        # Biases are held in float32: 6e-8 of a bias of up to 9, against the gate.
        expected = np.tile(tau, 4 if bidirectional else 2)
        assert found.values == pytest.approx(np.broadcast_to(expected, found.shape), rel=1e-6)
    assert found.attrs["units"] == "s" and found.dims == ("trial", "time", "hidden")


def test_lstm_starts_as_a_leaky_integrator():
    model = nr.models.LSTM(1, 1, 1, dt=0.01, tau=0.1, rng=0).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "weight" in name:
                p.zero_()
        # The input reaches the cell alone: g = tanh(x), with no bias of its own.
        model.layers[0].weight_ih_l0[2] = 1.0
        model.layers[0].bias_ih_l0[2] = 0.0
        model.layers[0].bias_hh_l0[2] = 0.0
    step = torch.ones(1, 100, 1, dtype=torch.float64)
    cell = model(step).states[0, :, 1].detach().numpy()
    time = 0.01 * np.arange(1, 101)
    # The exact response of a leaky integrator to a step; the biases are float32.
    assert cell == pytest.approx(math.tanh(1) * (1 - np.exp(-time / 0.1)), rel=1e-6)


@both
def test_a_gate_that_is_one_never_forgets(cell):
    model = cell(2, 2, 1, dt=0.01, tau=0.1).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.bias_ih_l0[2] = 1e4
    tau = model.gate_time_constants(X)
    assert np.isinf(tau.values[..., 0]).all()
    assert np.isfinite(tau.values[..., 1]).all()
    table = model.timescales(X)
    assert np.isinf(table["gate_time_constant"].values).tolist() == [True, False]
    assert np.isinf(table["gate_time_constant_quartiles"].values[0]).all()
    assert table["status"].values.tolist() == ["decay_not_resolved", "ok"]


@both
def test_summary_is_the_quantiles_of_the_gates(cell):
    model = cell(2, 3, 1, dt=0.01, tau=0.05, n_layers=2).double()
    values = model.gate_time_constants(X).values.reshape(75, -1)
    table = model.timescales(xr.DataArray(X.numpy(), dims=("trial", "time", "input")))
    # 75 steps: the median is a step itself; quartiles lie between two steps, where rates and
    # times are not interpolated alike, by less than those steps differ.
    assert table["gate_time_constant"].values == pytest.approx(np.median(values, 0), rel=1e-12)
    ordered = np.sort(values, 0)
    for k, name in ((18, "lower"), (55, "upper")):
        quartile = table["gate_time_constant_quartiles"].sel(quartile=name).values
        assert (ordered[k] <= quartile).all() and (quartile <= ordered[k + 1]).all()
    for name in ("gate_time_constant", "gate_time_constant_quartiles"):
        assert table[name].attrs["units"] == "s"
        assert "gate" in table[name].attrs["long_name"]
    sequence = cell(2, 3, 1, dt=1.0, time_unit="bp").timescales(X)
    assert sequence["gate_time_constant"].attrs["units"] == "bp"


@both
def test_looking_at_the_gates_changes_nothing(cell):
    model = cell(2, 3, 1, dt=0.01, dropout=0.5, input_dropout=0.5, tau=0.1).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    table = model.gate_time_constants(X)
    assert torch.equal(torch.random.get_rng_state(), state) and model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert table.equals(copy.deepcopy(model).eval().gate_time_constants(X))


@both
def test_gates_of_a_run_that_carries_on_and_labels_of_the_inputs(cell):
    model = cell(2, 3, 1, dt=0.01, n_layers=2).double()
    inputs = xr.DataArray(
        X.numpy(), dims=("trial", "time", "input"), coords={"time": 0.01 * np.arange(25)}
    )
    whole = model.gate_time_constants(inputs)
    assert whole["time"].values[-1] == pytest.approx(0.24)
    half = model.gate_time_constants(X[:, 10:], model(X).states[:, 9])
    assert half.values == pytest.approx(whole.values[:, 10:], rel=1e-12)


@both
def test_weights_follow_the_seed_and_leave_the_generator_of_torch_alone(cell):
    state = torch.random.get_rng_state()
    first, same, other = (cell(2, 3, 1, dt=0.01, rng=k).state_dict() for k in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert not torch.equal(first["layers.0.weight_hh_l0"], other["layers.0.weight_hh_l0"])


@both
@pytest.mark.parametrize("more", [{}, {"n_layers": 2, "tau": [0.1, 0.2, 0.3], "dropout": 0.1}])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_fit_lowers_the_loss_and_the_file_brings_it_back(cell, more, bidirectional, tmp_path):
    x = np.random.default_rng(0).normal(size=(10, 30, 2))
    target = np.cumsum(x[..., :1], 1) * 0.2
    model = cell(2, 3, 1, dt=0.01, bidirectional=bidirectional, rng=0, **more)
    with pytest.warns(nr._core.errors.ConvergenceWarning):
        result = nr.fit(
            model, (x, target), optimizer="adam", max_epochs=50, learning_rate=0.03,
            intervals=False,
        )  # fmt: skip
    loss = result.history["loss"].values
    assert loss[-1] < 0.9 * loss[0]
    result.save(tmp_path / "fit")
    again = nr.load(tmp_path / "fit").model
    assert again.settings == model.settings
    assert torch.equal(again(x).output, result.model(x).output)


@both
def test_small_models_are_fitted_by_lbfgs_and_ranked(cell):
    x = np.random.default_rng(0).normal(size=(12, 20, 1))
    target = np.cumsum(x, 1) * 0.2
    recipe = cell(1, 2, 1, dt=0.01, tau=0.2)
    with pytest.warns(nr._core.errors.ConvergenceWarning):
        result = nr.fit(recipe, (x, target), max_epochs=3)
    assert result.settings["optimizer"] == "lbfgs"
    assert result.history["loss"].values[-1] < 0.9 * result.history["loss"].values[0]
    series = xr.DataArray(
        np.cumsum(np.random.default_rng(1).normal(size=(300, 1)), 0) * 0.1,
        dims=("time", "unit"),
        coords={"time": 0.01 * np.arange(1, 301)},
        attrs={"sampling_rate": 100.0},
        name="dff",
    )
    table = nr.compare.league(series, [recipe], duration=0.15, n_seeds=1, max_epochs=2)
    assert np.isfinite(table.parameters["r2"].sel(model=cell.__name__).values).all()


@pytest.fixture
def counted(monkeypatch):
    """How often the compiled loops ran, and whether they kept what an adjoint needs."""
    runs = []

    def watched(kernel):
        def run(given, keep=True):
            runs.append(keep)
            return kernel(given, keep)

        return run

    for name in ("gru_recurrence", "lstm_recurrence"):
        monkeypatch.setattr(gated, name, watched(getattr(gated, name)))
    return runs


def one_layer(cell, n_input=3, n_hidden=4, n_trials=2, n_steps=5):
    """A layer as a function of tensors alone, and tensors: inputs, starts, weights."""
    layer = cell(n_input, n_hidden, 1, dt=0.01, rng=0).double().layers[0]
    rng = torch.Generator().manual_seed(0)
    names = [name for name, _ in layer.named_parameters()]

    def run(x, start, *rest):
        named = dict(zip(names, rest[-4:], strict=True))
        if cell is nr.models.GRU:
            return torch.func.functional_call(layer, named, (x, start[None]))[0]
        given = (x, (start[None], rest[0][None]), True)
        return torch.cat(torch.func.functional_call(layer, named, given)[1])

    x = torch.randn(n_steps, n_trials, n_input, generator=rng, dtype=torch.float64)
    n_starts = 1 if cell is nr.models.GRU else 2
    starts = torch.randn(n_starts, n_trials, n_hidden, generator=rng, dtype=torch.float64)
    weights = [p.detach().clone() for p in layer.parameters()]
    return run, [v.requires_grad_() for v in (x, *(s.clone() for s in starts), *weights)]


# Sums of up to some hundred numbers of size one, over steps of a mean: a few roundings of each
# of the two, of which torch's own are the larger.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("size", [(1, 1, 3, 1), (1, 30, 1, 16), (6, 1, 2, 5), (5, 40, 20, 33)])
@both
def test_compiled_models_are_those_of_torch(cell, size, n_layers, dtype, tolerance, counted):
    n_trials, n_steps, n_input, n_hidden = size
    model = cell(n_input, n_hidden, 2, dt=0.01, n_layers=n_layers, rng=0).to(dtype)
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(n_trials, n_steps, n_input, generator=rng, dtype=dtype).requires_grad_()
    first = torch.randn(n_trials, model.n_state, generator=rng, dtype=dtype).requires_grad_()

    def step():
        out = model(x, first)
        loss = out.output.square().mean() + out.states[:, -1].square().mean()
        return [*out, *torch.autograd.grad(loss, [x, first, *model.parameters()])]

    fast = step()
    assert counted == [True] * n_layers
    with plain_torch():
        plain = step()
    assert len(counted) == n_layers
    # Against the largest gradient: with one unit, a single number may be what is left of two.
    largest = max(float(g.abs().max()) for g in plain[2:])
    for k, (one, other) in enumerate(zip(fast, plain, strict=True)):
        assert one.dtype == dtype and one.shape == other.shape
        size_of = 1.0 if k < 2 else largest
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance * size_of)


@both
def test_adjoint_of_every_argument_of_a_layer(cell, counted):
    run, given = one_layer(cell)
    # Tolerances of gradcheck itself: 1e-5 absolute and 1e-3 relative, steps of 1e-6.
    assert gradcheck(run, tuple(given))
    assert counted


@both
def test_gradients_of_a_layer_can_be_differentiated(cell, counted):
    run, given = one_layer(cell, 2, 2, n_steps=3)
    assert gradgradcheck(run, tuple(given))
    # Of states alone, where cells take no gradient.
    assert gradgradcheck(lambda *tensors: run(*tensors)[:3], tuple(given))
    assert counted


@both
def test_layers_are_those_of_torch_with_its_names(cell):
    own = cell(3, 4, 1, dt=0.01, rng=0).layers[0]
    torchs = (torch.nn.GRU if cell is nr.models.GRU else torch.nn.LSTM)(3, 4)
    assert {k: v.shape for k, v in own.state_dict().items()} == {
        k: v.shape for k, v in torchs.state_dict().items()
    }
    torchs.load_state_dict(own.state_dict())
    x, zero = (
        torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0)),
        torch.zeros(1, 2, 4),
    )
    hx = zero if cell is nr.models.GRU else (zero, zero)
    # Float32, seven steps of a mean of numbers of size one; shapes of the last state as well.
    torch.testing.assert_close(own(x, hx), torchs(x, hx), rtol=0, atol=1e-6)
    torch.testing.assert_close(own(x), torchs(x), rtol=0, atol=1e-6)


@both
def test_nothing_is_kept_where_no_gradient_is_wanted(cell, counted):
    run, given = one_layer(cell)
    expected = run(*given)
    with torch.no_grad():
        found = run(*given)
    frozen = run(*(x.detach() for x in given))
    assert not found.requires_grad and not frozen.requires_grad
    assert torch.equal(found, expected) and torch.equal(frozen, expected)
    assert counted == [True, False, False]


@both
def test_transforms_and_tangents_take_the_layer_of_torch(cell, counted):
    run, given = one_layer(cell)
    tensors = tuple(x.detach() for x in given)
    grads = torch.autograd.grad(run(*given).pow(2).sum(), given)
    assert len(counted) == 1
    tangents = tuple(torch.ones_like(x) for x in tensors)
    value, pushed = torch.func.jvp(run, tensors, tangents)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(x, t) for x, t in zip(tensors, tangents, strict=True)]
        dual = forward_ad.unpack_dual(run(*duals))
    other = torch.func.grad(lambda *x: run(*x).pow(2).sum(), tuple(range(len(tensors))))(*tensors)
    assert len(counted) == 1
    # All in float64, the same equation summed in another order.
    for one in (value, dual.primal):
        torch.testing.assert_close(one, run(*tensors), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(dual.tangent, pushed, rtol=1e-10, atol=1e-10)
    for one, two in zip(grads, other, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


@both
@pytest.mark.parametrize("where", [(torch.compiler, "is_compiling"), (torch.jit, "is_tracing")])
def test_where_torch_writes_down_what_runs_the_loops_do_not(cell, where, monkeypatch, counted):
    model = cell(2, 4, 1, dt=0.01, rng=0)
    monkeypatch.setattr(*where, lambda: True)
    model(X)
    assert not counted


@both
def test_half_precision_and_what_does_not_fit_go_to_torch(cell, counted):
    x, zero = X.transpose(0, 1), torch.zeros(1, 3, 4, dtype=torch.float64)

    def of(start):
        return start if cell is nr.models.GRU else (start, start)

    half = cell(2, 4, 1, dt=0.01).to(torch.bfloat16)
    assert half(X).output.dtype == torch.bfloat16
    layer = cell(2, 4, 1, dt=0.01).double().layers[0]
    for wrong in ((x[..., :1], zero), (x, zero[:, :1]), (x, zero[..., :3]), (x.float(), zero)):
        with pytest.raises((RuntimeError, ValueError)):
            layer(wrong[0], of(wrong[1]))
    alone, _ = layer(x[:, 0], of(zero[:, 0]))
    assert alone.shape == (25, 4)
    cell(2, 4, 1, dt=0.01, bidirectional=True)(X)
    assert not counted
    # Float64, in another order.
    torch.testing.assert_close(alone, layer(x, of(zero))[0][:, 0], rtol=0, atol=1e-12)
    assert counted


@both
@pytest.mark.parametrize(("n_trials", "n_steps"), [(0, 3), (2, 0)])
def test_no_trials_and_no_steps(cell, n_trials, n_steps):
    model = cell(2, 4, 1, dt=0.01, n_layers=2)
    out = model(torch.zeros(n_trials, n_steps, 2))
    assert out.output.shape == (n_trials, n_steps, 1)
    assert out.states.shape == (n_trials, n_steps, model.n_state)


@both
@pytest.mark.parametrize("what", ["states", "inputs", "start", "weights"])
def test_what_is_changed_before_the_way_back_is_noticed(cell, what):
    model = cell(3, 4, 1, dt=0.01, rng=0).double()
    layer, (_, given) = model.layers[0], one_layer(cell)
    starts = [s[None] for s in given[1:-4]]
    out, _ = layer(given[0], starts[0] if cell is nr.models.GRU else tuple(starts))
    changed = {"states": out, "inputs": given[0], "start": given[1], "weights": layer.weight_hh_l0}
    with torch.no_grad():
        changed[what].mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@both
def test_a_graph_kept_is_passed_twice(cell):
    run, given = one_layer(cell)
    loss = run(*given).pow(2).sum()
    first = torch.autograd.grad(loss, given, retain_graph=True)
    second = torch.autograd.grad(loss, given)
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


def test_networks_without_inputs_run_by_themselves():
    for cell in CELLS:
        out = cell(0, 3, 1, dt=0.01).free_run(5, n_trials=2)
        assert out.output.shape == (2, 5, 1)
        assert float(out.output.detach().std(1).min()) > 0


@both
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c(2, 0, 1, dt=0.1), "n_hidden is 0"),
        (lambda c: c(2, 2, 0, dt=0.1), "n_output is 0"),
        (lambda c: c(2, 2, 1, dt=0.0), "dt is 0"),
        (lambda c: c(2, 2, 1, dt=0.1, n_layers=0), "n_layers is 0"),
        (lambda c: c(2, 2, 1, dt=0.1, n_layers=1.5), "n_layers is 1.5"),
        (lambda c: c(2, 2, 1, dt=0.1, tau=[1.0, 2.0, 3.0]), r"tau has shape \(3,\)"),
        (lambda c: c(2, 2, 1, dt=0.1, tau=-1.0), "tau is -1.0"),
        (lambda c: c(2, 2, 1, dt=0.1, tau=np.inf), "tau holds 1 infinite values"),
        (lambda c: c(2, 2, 1, dt=0.1, dropout=1), "dropout is 1"),
        (lambda c: c(2, 2, 1, dt=0.1, input_dropout=-1), "dropout is -1"),
        (lambda c: c(2, 2, 1, dt=0.1)(X[..., :1]), r"inputs has shape \(3, 25, 1\)"),
        (lambda c: c(2, 2, 1, dt=0.1)(X, torch.zeros(3, 7)), r"The state has shape \(3, 7\)"),
        (lambda c: c(2, 2, 1, dt=0.1).timescales(X[:, :0]), "The inputs have 3 trials of 0 steps"),
        (lambda c: c(2, 2, 1, dt=0.1).with_dt(0.2), "with dt = 0.1 s was asked for dt = 0.2"),
    ],
)
def test_bad_models_and_inputs_are_refused_in_three_parts(cell, call, said):
    with pytest.raises(ThreePartError, match=said) as caught:
        call(cell)
    assert len(caught.value.remedy) > 8
