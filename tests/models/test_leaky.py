"""LeakyRNN in full: forms, signs, masks, regions, low rank, noise, starts, substeps."""

import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, ThreePartError
from neurornn.models.recurrence import plain_torch

X = torch.randn(3, 20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def leaky(n_hidden=6, n_output=1, **options):
    settings = {"dt": 0.01, "tau": 0.05, "rng": 1, **options}
    return nr.models.LeakyRNN(2, n_hidden, n_output, **settings).double()


def by_hand(model, x):
    """Both forms written out in NumPy, one unit of time after the other."""
    get = {k: v.detach().numpy() for k, v in model.named_parameters()}
    weights, m = model.weights().detach().numpy(), model.substeps
    alpha = 1 - np.exp(-model.dt / m / model.tau.detach().numpy())
    state, states = np.zeros((len(x), model.n_hidden)), []
    for k in range(x.shape[1]):
        drive = x[:, k].numpy() @ get["input_weight"].T + get["bias"]
        for _ in range(m):
            if model.form == "rate":
                target = np.tanh(drive + state @ weights.T)
            else:
                target = drive + np.tanh(state) @ weights.T
            state = state + alpha * (target - state)
        states.append(state)
    states = np.stack(states, 1)
    shown = states if model.form == "rate" else np.tanh(states)
    return states, shown @ get["output_weight"].T + get["output_bias"]


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("substeps", [1, 3])
def test_both_forms_are_their_equations(form, substeps):
    model = leaky(form=form, substeps=substeps)
    with torch.no_grad():
        model.bias += 0.3
    states, output = by_hand(model, X)
    for run in (model, plain(model)):
        out = run(X)
        # The same sums in another order.
        np.testing.assert_allclose(out.states.detach(), states, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(out.output.detach(), output, rtol=1e-12, atol=1e-14)


def plain(model):
    def run(x):
        with plain_torch():
            return model(x)

    return run


def test_the_two_forms_are_one_network_where_tau_is_shared():
    """x = W h + u turns one into the other, for a constant input (Miller & Fumarola 2012)."""
    rate = leaky(tau_groups="shared")
    current = leaky(tau_groups="shared", form="current")
    current.load_state_dict(rate.state_dict())
    steady = X[:, :1].expand(-1, 20, -1)
    drive = steady[:, 0] @ rate.input_weight.T
    first = torch.randn(3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = rate(steady, first).states
    x = current(steady, first @ rate.weights().T + drive).states
    torch.testing.assert_close(h @ rate.weights().T + drive[:, None], x, rtol=1e-12, atol=1e-13)


def test_substeps_bring_the_clock_nearer_to_the_equation():
    """With ever smaller steps the state at a time converges, at first order."""
    fine = leaky(substeps=256, tau=0.03)
    errors = []
    for m in (1, 2, 4):
        model = leaky(substeps=m, tau=0.03)
        errors.append(float((model(X).states - fine(X).states).detach().abs().max()))
    # First order: twice as many steps, half the error, but for terms of second order.
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.15)


def test_units_of_a_group_share_one_time_constant():
    groups = ["fast", "slow", "fast", "slow", "slow", "fast"]
    model = leaky(tau_groups=groups, tau=[0.02, 0.2])
    assert model.tau.tolist() == pytest.approx([0.02, 0.2, 0.02, 0.2, 0.2, 0.02], rel=1e-6)
    assert model.unbounded_tau.shape == (2,)
    model.tau = [0.03, 0.3]
    assert model.tau.tolist()[:2] == pytest.approx([0.03, 0.3], rel=1e-6)
    again = nr.models.LeakyRNN(**model.settings).double()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(X).output, model(X).output)
    assert leaky(tau_groups="shared", tau=0.1).unbounded_tau.shape == (1,)


def test_dales_law_holds_whatever_the_weights_become():
    model = leaky(n_hidden=10, excitatory=0.8)
    with torch.no_grad():
        model.recurrent_weight.normal_()
    weights = model.weights().detach()
    assert bool((weights[:, :8] >= 0).all()) and bool((weights[:, 8:] <= 0).all())
    assert float(weights.abs().min()) > 0
    # At the start excitation and inhibition cancel on average: 8 weights against 2.
    fresh = nr.models.LeakyRNN(1, 400, 1, dt=0.01, excitatory=0.8, rng=0).weights().detach()
    assert abs(float(fresh.sum())) < 0.05 * float(fresh.abs().sum())


def test_masked_weights_stay_zero_through_a_fit():
    mask = np.zeros((6, 6), int)
    mask[1, 0] = mask[2, 1] = mask[4, 3] = 1
    model = leaky(connections=mask).float()
    y = np.random.default_rng(0).standard_normal((3, 20, 1))
    result = quiet(model, (X, y))
    weights = result.model.weights().detach().numpy()
    assert np.count_nonzero(weights[mask == 0]) == 0
    assert np.count_nonzero(weights[mask == 1]) == 3


def quiet(model, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return nr.fit(model, data, max_epochs=3, intervals=False, **options)


def test_regions_and_their_blocks():
    regions = ["V1"] * 4 + ["PPC"] * 2
    model = leaky(regions=regions, region_connections=[[1, 0], [1, 1]])
    weights = model.weights().detach().numpy()
    assert np.count_nonzero(weights[:4, 4:]) == 0
    report = model.block_report()
    assert report["region"].values.tolist() == ["V1", "PPC"]
    assert report["n_connections"].values.tolist() == [[16, 0], [8, 4]]
    assert np.isnan(report["mean_weight"].values[0, 1])
    down = weights[4:, :4]
    assert float(report["mean_weight"].sel(region="PPC", region_="V1")) == pytest.approx(
        down.mean()
    )
    assert float(report["gain"].sel(region="PPC", region_="V1")) == pytest.approx(
        np.linalg.svd(down)[1][0]
    )


def test_low_rank_weights_have_that_rank():
    model = leaky(n_hidden=20, rank=2)
    # Of the singular values all but two are rounding.
    values = torch.linalg.svdvals(model.weights().detach())
    assert float(values[1]) > 1e-3 and float(values[2]) < 1e-12


@pytest.mark.parametrize("dt", [0.002, 0.01])
@pytest.mark.parametrize("form", ["rate", "current"])
def test_process_noise_has_the_sd_asked_for_on_every_clock(dt, form):
    model = nr.models.LeakyRNN(
        0, 200, 1, dt=dt, tau=0.02, recurrent=False, noise_sd=0.3, form=form, rng=0
    ).double()
    torch.manual_seed(0)
    with torch.no_grad():
        states = model.train().free_run(int(2 / dt), n_trials=1).states[0, int(0.2 / dt) :]
    assert not model.eval().free_run(10).states.any()
    # 200 units for 90 time constants: some 18,000 independent values, 0.5 % of the sd.
    assert float(states.std()) == pytest.approx(0.3, rel=0.03)
    keep = np.exp(-dt / 0.02)
    lagged = float((states[1:] * states[:-1]).mean() / states.var())
    assert lagged == pytest.approx(keep, abs=0.02)


def test_noise_is_differentiated_with_respect_to_tau():
    model = leaky(noise_sd=0.3).train()

    def run(*weights):
        torch.manual_seed(3)
        return torch.func.functional_call(
            model, dict(zip(names, weights, strict=True)), (X[:1, :6],)
        ).output

    names = [n for n, _ in model.named_parameters()]
    assert torch.autograd.gradcheck(run, tuple(model.parameters()))


def test_a_start_from_the_first_input():
    model = leaky(initial_state="input")
    with torch.no_grad():
        model.first_state += 0.1
        model.first_weight += torch.randn(6, 2, generator=torch.Generator().manual_seed(5))
    start = model.start_from(X)
    want = 0.1 + X[:, 0] @ model.first_weight.detach().T
    torch.testing.assert_close(start.detach(), want)
    torch.testing.assert_close(model(X, want).output, model(X).output)
    with torch.no_grad():
        middle = model(X[:, :8]).states[:, -1]
    # What follows a state that is known does not start anew.
    torch.testing.assert_close(model(X[:, 8:], middle).output, model(X).output[:, 8:])


def test_states_themselves_as_output():
    model = leaky(n_output=6, readout="states")
    out = model(X)
    assert torch.equal(out.output, out.states)
    assert "output_weight" not in dict(model.named_parameters())


OPTIONS = [
    {"form": "current"},
    {"tau_groups": ["a", "b", "a", "b", "a", "a"]},
    {"excitatory": 0.5},
    {"connections": np.tri(6), "excitatory": [1, 0, 1, 0, 1, 1]},
    {"regions": list("aabbbb"), "region_connections": [[1, 0], [1, 1]]},
    {"rank": 2},
    {"initial_state": "input"},
    {"substeps": 3},
    {"noise_sd": 0.1},
    {"n_output": 6, "readout": "states"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o))
def test_settings_make_the_same_model(options, tmp_path):
    model = leaky(**options)
    again = nr.models.LeakyRNN(**model.settings).double()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(X).output, model.eval()(X).output)
    assert again.settings == model.settings
    y = np.zeros((3, 20, model.n_output))
    result = quiet(model.float(), (X, y), optimizer="adam")
    result.save(tmp_path / "fit")
    loaded = nr.load(tmp_path / "fit")
    assert torch.equal(loaded.model(X).output, result.model(X).output)
    assert loaded.model.settings == result.model.settings


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(o))
def test_gradients_of_every_option(options):
    model = leaky(**options).eval()
    names = [n for n, _ in model.named_parameters()]
    # |w| has no derivative at 0 only; the weights of the start do not lie there.

    def run(*weights):
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(model, given, (X[:2, :6],)).output

    assert torch.autograd.gradcheck(run, tuple(model.parameters()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": "rates"}, "form is 'rates'"),
        ({"substeps": 0}, "substeps is 0"),
        ({"rank": 0}, "rank is 0"),
        ({"noise_sd": -1.0}, "noise_sd is -1"),
        ({"excitatory": 80}, "excitatory is 80"),
        ({"excitatory": [True] * 5}, r"excitatory has shape \(5,\)"),
        ({"connections": np.ones((5, 6))}, r"connections has shape \(5, 6\)"),
        ({"regions": ["a"] * 5}, "5 labels came for regions or groups"),
        ({"region_connections": [[1]]}, "region_connections came without regions"),
        (
            {"regions": ["a"] * 6, "region_connections": np.ones((2, 2))},
            r"region_connections has shape \(2, 2\)",
        ),
        (
            {"tau_groups": ["a", "b", "a", "b", "a", "a"], "tau": [0.1] * 6},
            r"tau has shape \(6,\)",
        ),
        (
            {"readout": "states", "n_output": 2},
            "n_output is 2 and n_hidden 6 with readout='states'",
        ),
        ({"initial_state": "random"}, "initial_state is 'random'"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(options, said):
    with pytest.raises(ThreePartError, match=said) as caught:
        leaky(**options)
    assert len(caught.value.remedy) > 8


def test_a_free_run_needs_a_model_without_inputs():
    with pytest.raises(ThreePartError, match="n_input=0"):
        leaky().free_run(5)
    with pytest.raises(ThreePartError, match="regions"):
        leaky().block_report()


def test_dropout_keeps_one_mask_over_time_and_none_in_evaluation():
    """Read-out of one output: what a trial lacks is the same units at every step."""
    model, whole = leaky(n_hidden=40, n_output=40, dropout=0.5), leaky(n_hidden=40, n_output=40)
    with torch.no_grad():
        # Each output shows one unit.
        for one in (model, whole):
            one.output_weight.copy_(torch.eye(40))
    assert model.is_random and not whole.is_random
    assert model.settings["dropout"] == 0.5 and whole.settings["dropout"] == 0.0
    assert torch.equal(model.eval()(X).output, whole(X).output)
    torch.manual_seed(0)
    out = model.train()(X)
    ratio = out.output / out.states
    # 0 or 1 / (1 - p), but for the rounding of a product and a quotient.
    torch.testing.assert_close(ratio, (ratio > 1).double() * 2, rtol=1e-12, atol=1e-12)
    # The same at all steps; three trials of 40 units agree with a chance of 2^-40.
    assert torch.equal(ratio > 1, (ratio > 1)[:, :1].expand_as(ratio))
    assert not torch.equal((ratio > 1)[0], (ratio > 1)[1])
    # The states themselves, and with them the recurrent connections, are kept whole.
    torch.testing.assert_close(out.states, whole(X).states, rtol=0, atol=0)


def test_input_dropout_drops_an_input_for_a_whole_trial():
    model = nr.models.LeakyRNN(
        8, 8, 1, dt=0.01, tau=0.01, step="euler", nonlinearity="linear", recurrent=False,
        input_dropout=0.5, rng=0,
    )  # fmt: skip
    with torch.no_grad():
        model.input_weight.copy_(torch.eye(8))
    assert model.is_random and model.settings["input_dropout"] == 0.5
    assert "input_dropout=0.5" in repr(model)
    x = torch.ones(20, 12, 8)
    torch.manual_seed(0)
    states = model.train()(x).states
    # dt / tau is 1 but for the rounding of tau to float32: each unit shows its own input.
    kept = states > 1
    torch.testing.assert_close(states, 2.0 * kept, rtol=0, atol=1e-5)
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    # 160 draws of 1/2: standard error .04, four of them.
    assert float(kept[:, 0].double().mean()) == pytest.approx(0.5, abs=0.16)
    torch.testing.assert_close(model.eval()(x).states, torch.ones_like(x), rtol=0, atol=1e-5)


def test_states_that_are_observed_cannot_be_dropped():
    with pytest.raises(ThreePartError, match=r"dropout is 0\.2 with readout='states'"):
        leaky(n_hidden=3, n_output=3, readout="states", dropout=0.2)
    assert leaky(n_hidden=3, n_output=3, readout="states", input_dropout=0.2).is_random
