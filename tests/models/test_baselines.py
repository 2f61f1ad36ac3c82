"""Plain models: their equations, how far back they look, states, fits, files."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, ThreePartError
from neurornn.models.context import _spread

X = torch.randn(3, 25, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

CONTEXT = {
    "CausalCNN": lambda **k: nr.models.CausalCNN(
        **{"n_input": 2, "n_output": 1, "dt": 0.01, "n_hidden": 4, "context": 0.07,
           "nonlinearity": "tanh", **k}
    ),
    "CausalTransformer": lambda **k: nr.models.CausalTransformer(
        **{"n_input": 2, "n_output": 1, "dt": 0.01, "n_hidden": 4, "context": 0.07,
           "n_heads": 2, **k}
    ),
}  # fmt: skip
EVERY = {
    **CONTEXT,
    "MemorylessMLP": lambda **k: nr.models.MemorylessMLP(
        **{"n_input": 2, "n_output": 1, "dt": 0.01, "n_hidden": 4, **k}
    ),
}
finite = pytest.mark.parametrize("make", CONTEXT.values(), ids=CONTEXT)
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def weights_of(module):
    return {k: v.detach().numpy() for k, v in module.named_parameters()}


@pytest.mark.parametrize("n_layers", [1, 3])
def test_perceptron_is_its_equation(n_layers):
    model = nr.models.MemorylessMLP(2, 3, dt=0.01, n_hidden=5, n_layers=n_layers).double()
    get, h = weights_of(model), X.numpy()
    for k in range(n_layers):
        h = np.tanh(h @ get[f"weights.{k}"].T + get[f"biases.{k}"])
    expected = h @ get["output_weight"].T + get["output_bias"]
    assert model(X).output.detach().numpy() == pytest.approx(expected, abs=1e-12)
    assert model(X).states.shape == (3, 25, 0)


def frames_of(x, t, n):
    """The last n inputs at step t with a 1 beside each, and zeros before the start."""
    frames = np.zeros((len(x), n, x.shape[2] + 1))
    for lag in range(min(n, t + 1)):
        frames[:, n - 1 - lag, :-1] = x[:, t - lag]
        frames[:, n - 1 - lag, -1] = 1
    return frames


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_convolution_is_its_equation(n_layers):
    model = CONTEXT["CausalCNN"](n_layers=n_layers, context=0.09).double()
    get = weights_of(model)
    for t in (0, 3, 8, 24):
        h = frames_of(X.numpy(), t, 9)
        for k, (taps, dilation) in enumerate(model.taps):
            w, b = get[f"filters.{k}.weight"], get[f"filters.{k}.bias"]
            n = h.shape[1] - (taps - 1) * dilation
            h = np.tanh(b + sum(h[:, j * dilation :][:, :n] @ w[..., j].T for j in range(taps)))
        assert h.shape[1] == 1
        expected = h[:, 0] @ get["output_weight"].T + get["output_bias"]
        # The same sums in float64 in another order.
        assert model(X).output[:, t].detach().numpy() == pytest.approx(expected, abs=1e-12)


def normed(x, get, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * get[f"{name}.weight"] + get[f"{name}.bias"]


def gelu(x):
    return 0.5 * x * (1 + torch.erf(torch.from_numpy(x) / 2**0.5).numpy())


@pytest.mark.parametrize("n_layers", [1, 2])
def test_attention_is_its_equation(n_layers):
    model = CONTEXT["CausalTransformer"](n_layers=n_layers).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.lag_bias += torch.linspace(-1, 1, layer.lag_bias.numel()).reshape_as(
                layer.lag_bias
            )
    get = weights_of(model)

    def linear(x, name):
        return x @ get[f"{name}.weight"].T + get[f"{name}.bias"]

    # One trial, one query, one head at a time, over the frames that are there alone.
    h = linear(X[0].numpy(), "embedding")
    for k, layer in enumerate(model.layers):
        x, name = normed(h, get, f"layers.{k}.before_mixing"), f"layers.{k}"
        q, key, v = (linear(x, f"{name}.{part}") for part in ("query", "key", "value"))
        mixed = np.zeros_like(h)
        for t in range(25):
            seen = np.arange(max(0, t - layer.n_lags), t + 1)
            for head in range(2):
                part = slice(2 * head, 2 * head + 2)
                score = key[seen, part] @ q[t, part] / np.sqrt(2)
                score = np.exp(score + get[f"{name}.lag_bias"][head, t - seen])
                mixed[t, part] = score / score.sum() @ v[seen, part]
        h = h + linear(mixed, f"{name}.mix")
        wide = gelu(linear(normed(h, get, f"{name}.before_mlp"), f"{name}.widen"))
        h = h + linear(wide, f"{name}.narrow")
    expected = normed(h, get, "before_reading") @ get["output_weight"].T + get["output_bias"]
    assert sum(layer.n_lags for layer in model.layers) == 6
    assert model(X).output[0].detach().numpy() == pytest.approx(expected, abs=1e-12)


@finite
@pytest.mark.parametrize("context", [0.01, 0.02, 0.07, 0.4])
@pytest.mark.parametrize("n_layers", [1, 3])
def test_an_output_sees_its_context_and_nothing_else(make, context, n_layers):
    model = make(context=context, n_layers=n_layers).double()
    n = round(context / 0.01)
    assert model.n_context == n and model.memory() == pytest.approx(context)
    x = X[:1].clone().requires_grad_()
    for t in (0, 11, 24):
        (slope,) = torch.autograd.grad(model(x).output[0, t, 0], x)
        reached = slope[0].abs().amax(1).nonzero().flatten().tolist()
        # Every frame of the window, with nothing left out between dilated taps.
        assert reached == list(range(max(0, t - n + 1), t + 1))


@finite
def test_a_past_that_is_missing_differs_from_one_of_zeros(make):
    model = make().double()
    x = torch.zeros(1, 20, 2, dtype=torch.float64)
    with torch.no_grad():
        if isinstance(model, nr.models.CausalTransformer):
            # Attention over equal frames is the same over one as over seven.
            x[:, ::2] = 1.0
    out = model(x).output[0, :, 0].detach()
    zeros_before = model(torch.cat([torch.zeros(1, 6, 2).double(), x], 1)).output[0, 6:, 0]
    assert float((out - zeros_before)[:5].detach().abs().min()) > 1e-6
    # From the seventh step on the window is full, and the same.
    assert torch.allclose(out[6:], zeros_before[6:], rtol=0, atol=1e-12)


@finite
@pytest.mark.parametrize("context", [0.01, 0.07, 0.4])
def test_windows_that_carry_on_are_one_run(make, context):
    model = make(context=context).double()
    whole = model(X)
    first = model(X[:, :15])
    second = model(X[:, 15:], first.states[:, -1])
    joined = torch.cat([first.output, second.output], 1)
    # The same frames in products of other sizes.
    assert torch.allclose(joined, whole.output, rtol=0, atol=1e-12)
    assert torch.equal(torch.cat([first.states, second.states], 1), whole.states)
    states, last = model.scan(X, model.start(3))
    assert torch.equal(states, whole.states) and torch.equal(last, whole.states[:, -1])
    nothing, same = model.scan(X[:, :0], last)
    assert nothing.shape == (3, 0, model.n_state) and same is last
    assert model(X[:, :0]).output.shape == (3, 0, 1)


@finite
def test_states_of_every_step_are_states_to_go_on_from(make):
    model = make().double()
    whole = model(X)
    for t in (0, 4, 20):
        rest = model(X[:, t + 1 :], whole.states[:, t])
        assert torch.allclose(rest.output, whole.output[:, t + 1 :], rtol=0, atol=1e-12)
    picked = model.read(whole.states[:, 3:20:4], X[:, 3:20:4])
    assert torch.allclose(picked, whole.output[:, 3:20:4], rtol=0, atol=1e-12)


@finite
def test_states_are_a_view(make):
    states = make(context=0.2)(X).states
    # 3 trials of 20 frames before and 25 steps, 3 numbers each: not 25 times 20 frames.
    assert states.shape == (3, 25, 60)
    assert states.untyped_storage().nbytes() == 3 * 45 * 3 * 4


@every
def test_no_account_looks_ahead(make):
    model = make().double()
    changed = X.clone()
    changed[:, 12:] += 1
    difference = (model(changed).output - model(X).output).detach().abs()
    assert not model.looks_ahead
    assert float(difference[:, :12].max()) == 0.0
    assert float(difference[:, 12].min()) > 0.0


@every
def test_gradients(make):
    model = make(n_hidden=2).double()
    names = [n for n, _ in model.named_parameters()]
    x = X[:2, :5].clone().requires_grad_()

    def run(x, *weights):
        return torch.func.functional_call(
            model, dict(zip(names, weights, strict=True)), (x,)
        ).output

    assert torch.autograd.gradcheck(run, (x, *model.parameters()))


@every
def test_weights_follow_the_seed_and_leave_the_generator_of_torch_alone(make):
    state = torch.random.get_rng_state()
    first, same, other = (make(rng=k).state_dict() for k in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert not torch.equal(first["output_weight"], other["output_weight"])


@pytest.mark.parametrize("n_context", [1, 2, 7, 12, 50, 97, 200])
@pytest.mark.parametrize("n_layers", [1, 2, 3, 5])
def test_taps_reach_back_exactly_and_leave_no_frame_out(n_context, n_layers):
    layers = _spread(n_context, n_layers)
    assert len(layers) == n_layers
    reached = {0}
    for taps, dilation in layers:
        reached = {lag + j * dilation for lag in reached for j in range(taps)}
    assert reached == set(range(n_context))


def test_more_layers_of_convolution_need_fewer_taps():
    totals = [sum(taps for taps, _ in _spread(200, n)) for n in (1, 2, 3)]
    # 200, then about 2 x sqrt(200) = 28 and 3 x 200^(1/3) = 18, up to what divides.
    assert totals[0] == 200 and totals[1] < 40 and totals[2] < 30


@every
def test_fit_lowers_the_loss_and_the_file_brings_it_back(make, tmp_path):
    x = np.random.default_rng(0).normal(size=(10, 30, 2))
    target = x[..., :1] + np.roll(x[..., 1:], 1, 1) * (np.arange(30) > 0)[:, None]
    model = make(dropout=0.1)
    with pytest.warns(ConvergenceWarning):
        result = nr.fit(
            model, (x, target), optimizer="adam", max_epochs=15, learning_rate=0.03,
            intervals=False,
        )  # fmt: skip
    loss = result.history["loss"].values
    assert loss[-1] < 0.9 * loss[0]
    result.save(tmp_path / "fit")
    again = nr.load(tmp_path / "fit").model
    assert again.settings == model.settings
    assert torch.equal(again(x).output, result.model(x).output)


@every
def test_small_accounts_are_fitted_by_lbfgs(make):
    x = np.random.default_rng(0).normal(size=(6, 20, 2))
    target = x[..., :1] ** 2
    with pytest.warns(ConvergenceWarning):
        result = nr.fit(make(), (x, target), max_epochs=3)
    assert result.settings["optimizer"] == "lbfgs"
    loss = result.history["loss"].values
    assert loss[-1] < 0.9 * loss[0]


@pytest.fixture(scope="module")
def league():
    rng = np.random.default_rng(1)
    # An echo: each frame is minus the frame five back, and noise.
    series = np.zeros(3000)
    for t in range(3000):
        series[t] = 0.3 * rng.normal() - (0.95 * series[t - 5] if t >= 5 else 0.0)
    data = xr.DataArray(
        series[:, None],
        dims=("time", "unit"),
        coords={"time": 0.01 * np.arange(1, 3001)},
        attrs={"sampling_rate": 100.0},
        name="dff",
    )
    recipes = [
        make(n_input=1, n_output=1, n_hidden=8, context=0.05) for make in CONTEXT.values()
    ] + [EVERY["MemorylessMLP"](n_input=1, n_hidden=8)]
    return nr.compare.league(
        data, recipes, duration=0.4, horizons=(1, 3), n_seeds=1, max_epochs=100
    )


@pytest.mark.slow
def test_accounts_compete_in_the_league(league):
    r2 = league.parameters["r2"].sel(horizon=1)
    # The present frame says nothing of the next, the one four before it 0.95^2 = 0.90 of its
    # variance; a fifth of that is left for what a hundred epochs do not learn.
    assert float(r2.sel(model="MemorylessMLP")) < 0.1
    for name in CONTEXT:
        assert float(r2.sel(model=name)) > 0.7


def test_forecasts_go_on_from_the_state_of_every_step(league):
    # The frame five before the target is known three steps ahead as well: as good, but for what
    # is made of the forecasts between.
    r2 = league.parameters["r2"].sel(horizon=3)
    for name in CONTEXT:
        assert float(r2.sel(model=name)) > 0.7


@pytest.mark.parametrize("name", CONTEXT)
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"context": 0.005}, "context is 0.005 s and dt 0.01 s"),
        ({"context": -1.0}, "context is -1"),
        ({"context": "long"}, "context is 'long', a str"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"n_hidden": 0}, "n_hidden is 0"),
        ({"n_input": 0}, "n_input is 0"),
        ({"dropout": 1}, "dropout is 1"),
        ({"dt": 0.0}, "dt is 0"),
    ],
)
def test_bad_contexts_are_refused_in_three_parts(name, more, said):
    with pytest.raises(ThreePartError, match=said) as caught:
        CONTEXT[name](**more)
    assert len(caught.value.remedy) > 8


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: EVERY["CausalTransformer"](n_hidden=6, n_heads=4), "n_hidden is 6 and n_heads 4"),
        (lambda: EVERY["CausalTransformer"](n_heads=0), "n_heads is 0"),
        (lambda: EVERY["CausalCNN"](nonlinearity="tanhh"), "nonlinearity is 'tanhh'"),
        (lambda: EVERY["CausalCNN"]()(X, torch.zeros(3, 5)), r"The state has shape \(3, 5\)"),
        (
            lambda: EVERY["CausalCNN"]().with_dt(0.02),
            "A CausalCNN with dt = 0.01 s was asked for dt = 0.02",
        ),
        (lambda: EVERY["CausalTransformer"]()(X[..., :1]), r"inputs has shape \(3, 25, 1\)"),
        (lambda: EVERY["MemorylessMLP"](n_layers=0), "n_layers is 0"),
        (lambda: EVERY["MemorylessMLP"](n_hidden=0), "n_hidden is 0"),
        (lambda: EVERY["MemorylessMLP"](n_input=0), "n_input is 0"),
        (lambda: EVERY["MemorylessMLP"](nonlinearity="tanhh"), "nonlinearity is 'tanhh'"),
        (lambda: EVERY["MemorylessMLP"]()(X[0]), r"inputs has shape \(25, 2\)"),
    ],
)
def test_bad_accounts_and_inputs_are_refused_in_three_parts(call, said):
    with pytest.raises(ThreePartError, match=said) as caught:
        call()
    assert len(caught.value.remedy) > 8


def test_a_context_of_whole_steps_is_not_cut_short_by_rounding():
    # 0.07 / 0.01 is 7.000000000000001 and 0.29 / 0.01 is 28.999999999999996 in float64.
    for context, n in ((0.07, 7), (0.29, 29), (0.295, 29), (0.3, 30)):
        assert CONTEXT["CausalCNN"](context=context).n_context == n


def test_perceptron_can_be_read_at_another_clock():
    model = EVERY["MemorylessMLP"]().double()
    assert torch.equal(model.with_dt(0.02)(X).output, model(X).output)
