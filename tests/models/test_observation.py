"""The calcium read-out: closed forms, gradients, clocks, missing frames, bad input."""

import numpy as np
import pytest
import torch
from scipy import linalg

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, DataError, ShapeError, ThreePartError
from neurornn.models.recurrence import plain_torch

DT = 1 / 30


def small(**settings):
    """Two cells behind three latent units that hear one stimulus, with uneven cells."""
    given = {
        "n_stimulus": 1,
        "n_hidden": 3,
        "dt": DT,
        "tau_decay": 0.4,
        "tau_rise": 0.06,
        "rng": 0,
    }
    model = nr.models.CalciumRNN(2, **{**given, **settings}).double()
    with torch.no_grad():
        model.log_shot_noise.copy_(torch.tensor([2.0, 3.5]))
        model.scaled_baseline.copy_(torch.tensor([0.1, -0.2]))
    return model


def series(n_steps=12, n_channels=3, n_trials=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n_trials, n_steps, n_channels, generator=draw, dtype=torch.float64)


def test_without_correction_it_is_the_kernel_summed_over_the_rate():
    model = small()
    with torch.no_grad():
        # Next to no shot noise: the filter trusts the rate and nothing else.
        model.log_shot_noise.fill_(-60.0)
    x = series(40, n_trials=1)
    start = model.start(1)
    output = model(x, start).output[0].detach().numpy()
    states, _ = model.latent.scan(x[..., :1], start[:, :3])
    rate = torch.nn.functional.softplus(model.latent.read(states, states))[0].detach().numpy()
    # One spike's response, integrated over the frame it may fall into by a fine sum.
    fine = (np.arange(2000) + 0.5) / 2000 * DT
    lags = np.arange(40)[:, None] * DT + fine
    response = nr.simulate.calcium_kernel(lags, 0.4, 0.06).mean(1) * DT
    expected = np.stack([np.convolve(r, response)[:40] for r in rate.T], 1)
    amplitude, baseline = (v.detach().numpy() for v in (model.amplitude, model.baseline))
    # The midpoint rule with 2000 points is exact to 1e-7; tau is stored in float32.
    assert output == pytest.approx(baseline + amplitude * expected, abs=1e-6)


@pytest.mark.parametrize("rise", [0.06, None])
@torch.no_grad()
def test_gains_are_those_of_the_steady_state_kalman_filter(rise):
    model = small(tau_rise=rise)
    decay = float(model.tau_decay)
    rates = np.array([1 / decay] + ([1 / float(model.tau_rise)] if rise else []))
    a, c = np.diag(np.exp(-DT * rates)), np.array([[1.0, -1.0]])[:, : len(rates)]
    # The kernel has a peak of 1.
    lag = np.linspace(0, 1, 200001)
    height = (
        np.exp(-lag / decay) * (-np.expm1(-lag * (rates[-1] - rates[0])) if rise else 1)
    ).max()
    both = rates[:, None] + rates[None, :]
    for k, shot in enumerate(np.exp(model.log_shot_noise.numpy())):
        q = shot / height**2 * -np.expm1(-DT * both) / both
        p = linalg.solve_discrete_are(a.T, c.T, q, np.eye(1))
        gain = (a @ p @ c.T / (c @ p @ c.T + 1))[:, 0]
        found = [float(g[k]) for g in model.gains()][: len(rates)]
        # The peak is read off a grid, exact to 1e-9; scipy's solver to about 1e-10.
        assert found == pytest.approx(gain, rel=1e-6)


@pytest.mark.parametrize("settings", [{}, {"tau_rise": None}, {"n_stimulus": 0, "n_hidden": 0}])
def test_gradients(settings):
    model = small(**settings)
    x = series(7, model.n_input)
    x[0, 3, -1] = torch.nan
    names = [n for n, _ in model.named_parameters()]

    def run(*weights):
        out = torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (x,))
        return out.output, out.states

    assert torch.autograd.gradcheck(run, tuple(model.parameters()))


def test_gradient_of_the_inputs_and_of_the_state():
    model = small()
    x, state = series(6).requires_grad_(), 0.3 * series(1, 9)[:, 0]
    assert torch.autograd.gradcheck(lambda x, s: model(x, s).output, (x, state.requires_grad_()))


@pytest.mark.parametrize("settings", [{}, {"tau_rise": None}, {"n_stimulus": 0, "n_hidden": 0}])
def test_kernels_and_plain_torch_agree(settings):
    model = small(**settings)
    x = series(30, model.n_input)
    x[1, 5:9, -1] = torch.nan
    fast = model(x)
    with plain_torch():
        plain = model(x)
    # The same sums in float64 in another order.
    assert float((fast.states - plain.states).detach().abs().max()) < 1e-12
    assert float((fast.output - plain.output).detach().abs().max()) < 1e-12


def test_it_uses_the_past_alone_and_can_go_on_from_a_state():
    model, x = small(), series(20)
    whole = model(x)
    changed = x.clone()
    changed[:, 10, 1:] += 1
    difference = (model(changed).output - whole.output).detach().abs().amax((0, 2))
    assert float(difference[:11].max()) == 0.0
    assert float(difference[11]) > 0.01
    first = model(x[:, :8])
    rest = model(x[:, 8:], first.states[:, -1])
    assert torch.allclose(rest.output, whole.output[:, 8:], atol=1e-12)


def test_a_missing_frame_corrects_nothing():
    model, x = small(), series(20)
    lost = x.clone()
    lost[:, 9, 2] = torch.nan
    out = model(lost)
    assert bool(out.output.isfinite().all())
    # Had the frame been just as expected, there would have been nothing to correct either.
    filled = x.clone()
    filled[:, 9, 2] = out.output[:, 9, 1]
    assert torch.allclose(model(filled).output, out.output, atol=1e-12)


@torch.no_grad()
def test_another_clock_keeps_the_seconds():
    model = small()
    twin = model.with_dt(DT / 10)
    assert float(twin.tau_decay) == float(model.tau_decay)
    assert float(twin.tau_rise) == float(model.tau_rise)
    # A stimulus held for ten fine frames; no correction, so that only the equations speak.
    for m in (model, twin):
        m.log_shot_noise.fill_(-60.0)
        m.latent.recurrent_weight.zero_()
    x = series(30, n_trials=1)
    x[..., 1:] = torch.nan
    coarse = model(x, model.start(1)).output
    fine = twin(x.repeat_interleave(10, 1), twin.start(1)).output[:, 9::10]
    # The latent state, and with it the rate, moves within a coarse frame; calcium is exact.
    assert float((coarse - fine).abs().max()) < 0.02
    assert float(coarse.std()) > 0.05


def test_whitening_is_what_the_output_leaves_of_a_series():
    model, x = small(n_stimulus=0, n_hidden=0), series(30, 2)
    x[0, 4:7, 1] = torch.nan
    with torch.no_grad():
        model.scaled_baseline.zero_()
        left = (x - model(x).output).nan_to_num()
        whitened = model.whiten(x.nan_to_num()[None], x)[0]
        assert torch.allclose(torch.where(x.isnan(), 0.0, whitened), left, atol=1e-12)
        again = model.recolour(left[None], x)[0]
        assert torch.allclose(torch.where(x.isnan(), 0.0, again), x.nan_to_num(), atol=1e-12)


def test_seconds_are_read_and_assigned():
    model = small()
    model.tau_decay, model.tau_rise = 0.7, 0.02
    assert float(model.tau_decay.detach()) == pytest.approx(0.7, rel=1e-9)
    assert float(model.tau_rise.detach()) == pytest.approx(0.02, rel=1e-9)
    with pytest.raises(DataError, match="instant rise"):
        small(tau_rise=None).tau_rise = 0.1


@torch.no_grad()
@pytest.mark.parametrize("factor", [1.02, 3.0])
def test_rise_and_decay_exchanged_are_the_same_response(factor):
    """The double exponential does not say which is which."""
    model, other = small(), small()
    model.tau_decay, model.tau_rise = 0.06 * factor, 0.06
    other.tau_decay, other.tau_rise = 0.06, 0.06 * factor
    x = series(40)
    # Two nearly equal poles cost two to four digits.
    assert torch.allclose(other(x).output, model(x).output, atol=1e-9)
    model.tau_rise = 0.06 * factor
    assert bool(model(x).output.isfinite().all())


@torch.no_grad()
def test_weights_with_the_rise_of_the_other_form_are_the_same_model():
    """Older weights hold the s of (1 - exp(-t / s)) exp(-t / tau_decay)."""
    model = small()
    old = {k: v.clone() for k, v in model.state_dict().items() if k != "double_exponential"}
    decay, rise = model.tau_decay, model.tau_rise
    s = 1 / (1 / rise - 1 / decay)
    old["unbounded_tau_rise"] = model.rise_bounds.right_inverse(s)
    twin = small(tau_rise=0.03)
    twin.load_state_dict(old)
    assert float(twin.tau_rise) == pytest.approx(float(rise), rel=1e-12)
    x = series(40)
    assert torch.allclose(twin(x).output, model(x).output, atol=1e-10)
    # Once is enough.
    again = small(tau_rise=0.03)
    again.load_state_dict(twin.state_dict())
    assert float(again.tau_rise) == float(twin.tau_rise)
    bare = {
        k: v for k, v in small(tau_rise=None).state_dict().items() if k != "double_exponential"
    }
    small(tau_rise=None).load_state_dict(bare)


def recording(n_units=3, duration=60.0, **settings):
    return nr.simulate.simulate_calcium(
        n_units, duration, 30.0, tau_decay=0.4, tau_rise=0.05, rate=1.0, rng=1, **settings
    )


@pytest.mark.slow
def test_a_recording_windows_and_arrays_are_one_fit():
    rec = recording(1)
    model = nr.models.CalciumRNN(1, dt=DT)
    win = nr.data.windows(rec, inputs="dff", targets="dff", duration=20.0)
    given = rec["dff"].values[None]
    variable, cut, arrays, side_by_side = (
        nr.fit(model, data, max_epochs=30, intervals=False)
        for data in (rec["dff"], win, (None, given), (given, given))
    )
    assert variable.parameters.equals(cut.parameters)
    assert arrays.parameters.equals(side_by_side.parameters)
    # Not cut, with no warm-up: the same frames and the first five seconds, a twelfth, besides.
    difference = float(arrays.parameters["tau_decay"] / variable.parameters["tau_decay"]) - 1
    assert abs(difference) < 0.05
    assert float(model.prepared) == 0.0


@pytest.mark.slow
def test_scale_and_offset_of_a_cell_do_not_matter():
    rec = recording(2)
    model = nr.models.CalciumRNN(2, dt=DT)
    first = nr.fit(model, rec["dff"]).parameters
    other = nr.fit(model, rec["dff"] * [300.0, 0.01] + [5000.0, 2.0]).parameters
    # Two ends of one optimisation, stopped at a relative change of 1e-8 of the loss.
    for name in ("tau_decay", "tau_rise", "tau_decay_ci"):
        assert other[name].values == pytest.approx(first[name].values, rel=2e-3)


@pytest.mark.slow
def test_lost_frames_are_left_out():
    rec = recording(missing=0.1, duration=120.0)
    found = nr.fit(nr.models.CalciumRNN(3, dt=DT), rec["dff"]).parameters
    low, high = found["tau_decay_ci"].values
    assert low < 0.4 < high
    given = np.nan_to_num(rec["dff"].values[None])
    data = nr.training.as_training_data(
        (None, given, ~np.isnan(rec["dff"].values[None])), nr.models.CalciumRNN(3, dt=DT)
    )
    assert np.array_equal(np.isnan(data.inputs[0].numpy()), np.isnan(rec["dff"].values))
    assert not bool(data.mask[data.inputs.isnan()].any())


def test_table_saves_and_loads(tmp_path):
    rec = recording()
    rec["stimulus"] = (
        ("time", "channel"),
        np.random.default_rng(0).standard_normal((rec.sizes["time"], 1)),
        {"sampling_rate": 30.0},
    )
    model = nr.models.CalciumRNN(3, n_stimulus=1, n_hidden=2, dt=DT)
    win = nr.data.windows(rec, inputs="stimulus", targets="dff", duration=10.0)
    with pytest.warns(ConvergenceWarning):
        result = nr.fit(model, win, max_epochs=3)
    table = result.parameters
    assert table["tau_decay"].dims == table["tau_rise"].dims == table["status"].dims == ()
    assert table["tau_decay"].attrs["units"] == "s"
    assert table["tau"].dims == ("hidden",)
    assert "tau_decay" in repr(result) and "tau_rise" in result.report()
    result.save(tmp_path / "fit")
    again = nr.load(tmp_path / "fit")
    assert again.parameters.equals(table)
    inputs = np.concatenate([win["inputs"].values, win["targets"].values], 2)
    assert torch.equal(again.model(inputs).output, result.model(inputs).output)


MODEL = {"n_units": 2, "n_stimulus": 1, "n_hidden": 3, "dt": DT}
ONES = np.ones((1, 50, 3))


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (
            lambda m: nr.models.CalciumRNN(2, n_stimulus=1, dt=DT),
            DataError,
            "n_stimulus is 1 and n_hidden 0",
        ),
        (
            lambda m: nr.models.CalciumRNN(2, n_hidden=3, dt=DT),
            DataError,
            "n_stimulus is 0 and n_hidden 3",
        ),
        (lambda m: nr.models.CalciumRNN(0, dt=DT), DataError, "n_units is 0"),
        (
            lambda m: nr.models.CalciumRNN(2, dt=DT, tau_decay=-1.0),
            DataError,
            r"A value of \[-1.0\] came",
        ),
        (lambda m: m(np.zeros((1, 50, 2))), ShapeError, r"inputs has shape \(1, 50, 2\)"),
        (
            lambda m: nr.fit(m, (ONES[..., :1], ONES)),
            ShapeError,
            r"inputs have shape \(1, 50, 1\) and targets \(1, 50, 3\)",
        ),
        (
            lambda m: nr.fit(m, (ONES[..., :2], ONES[..., :2])),
            ShapeError,
            r"inputs have shape \(1, 50, 2\) and targets \(1, 50, 2\)",
        ),
        (
            lambda m: nr.fit(m, (ONES[:, :9, :1], ONES[..., :2])),
            ShapeError,
            r"inputs have shape \(1, 9, 1\)",
        ),
        (lambda m: nr.fit(m, (None, ONES[..., :2])), ThreePartError, "data inputs is a NoneType"),
        (
            lambda m: nr.fit(m, (ONES, 2 * ONES[..., :2])),
            DataError,
            "100 values among the last 2 data inputs differ",
        ),
        (
            lambda m: nr.fit(m, (np.nan * ONES[..., :1], ONES[..., :2])),
            DataError,
            "data inputs hold 50 NaN",
        ),
        (
            lambda m: nr.fit(m, recording(2)["dff"]),
            ShapeError,
            r"inputs have shape \(4, 600, 2\) and targets",
        ),
        (
            lambda m: nr.fit(
                nr.models.CalciumRNN(3, dt=DT),
                nr.data.windows(recording(), inputs="dff", targets="dff", duration=9, horizon=1),
            ),
            DataError,
            "data was cut with horizon=1",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_three_parts(call, kind, said):
    with pytest.raises(kind, match=said) as caught:
        call(nr.models.CalciumRNN(**MODEL))
    assert len(caught.value.remedy) > 8 and len(caught.value.needed) > 8
