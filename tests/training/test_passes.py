"""Ways through time: exact segments, truncation, teacher forcing, schedules; objectives."""

import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, ThreePartError
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import OBJECTIVES, draw_targets
from neurornn.training.passes import Passes, make_passes, run_forced, segment_gradient


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


DATA = TrainingData(draw(3, 23, 2), draw(3, 23, 2, seed=1), draw(3, 23, 2, seed=2) > -0.5)
MODELS = {
    "leaky": lambda: nr.models.LeakyRNN(2, 5, 2, dt=0.1, tau=0.5, initial_state="learned", rng=0),
    "from input": lambda: nr.models.LeakyRNN(2, 5, 2, dt=0.1, initial_state="input", rng=0),
    "current, substeps": lambda: nr.models.LeakyRNN(
        2, 5, 2, dt=0.1, tau=0.5, form="current", substeps=3, rng=0
    ),
    "no recurrence": lambda: nr.models.LeakyRNN(2, 5, 2, dt=0.1, tau=0.5, recurrent=False, rng=0),
    "vanilla": lambda: nr.models.VanillaRNN(2, 5, 2, dt=0.1, rng=0),
    "gru": lambda: nr.models.GRU(2, 5, 2, dt=0.1, rng=0),
    "lstm": lambda: nr.models.LSTM(2, 3, 2, dt=0.1, n_layers=2, rng=0),
    "linear": lambda: nr.models.LinearStateSpace(2, 5, 2, dt=0.1, rng=0),
    "memoryless": lambda: nr.models.Memoryless(2, 2, dt=0.1),
    "mlp": lambda: nr.models.MemorylessMLP(2, 2, dt=0.1, n_hidden=4, rng=0),
    "cnn": lambda: nr.models.CausalCNN(2, 2, dt=0.1, context=0.5, n_hidden=4, rng=0),
    "transformer": lambda: nr.models.CausalTransformer(
        2, 2, 2, dt=0.1, context=0.5, n_heads=2, rng=0
    ),
}


def squares(output, data):
    return torch.where(data.mask, (output - data.targets) ** 2, 0.0).sum()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("length", [1, 7, 23])
def test_segments_give_the_gradient_of_the_whole(name, length):
    model = MODELS[name]().double()
    total = squares(model(DATA.inputs).output, DATA)
    total.backward()
    whole = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    found = segment_gradient(model, DATA, squares, length)
    assert float(found) == pytest.approx(float(total.detach()), rel=1e-12)
    for p, want in zip(model.parameters(), whole, strict=True):
        if want is not None:
            # The same sums in another order.
            torch.testing.assert_close(p.grad, want, rtol=1e-9, atol=1e-11)


def test_segments_repeat_the_same_noise():
    model = nr.models.LeakyRNN(2, 5, 2, dt=0.1, tau=0.5, noise_sd=0.5, rng=0).double().train()
    torch.manual_seed(4)
    found = segment_gradient(model, DATA, squares, 5)
    got = [p.grad.clone() for p in model.parameters()]
    torch.manual_seed(4)
    model.zero_grad()
    state, total = model.start_from(DATA.inputs), 0.0
    for k in range(0, 23, 5):
        states, state = model.scan(DATA.inputs[:, k : k + 5], state)
        part = TrainingData(*(x[:, k : k + 5] for x in DATA))
        total = total + squares(model.read(states, part.inputs), part)
    total.backward()
    assert float(found) == pytest.approx(float(total.detach()), rel=1e-12)
    for p, want in zip(model.parameters(), got, strict=True):
        torch.testing.assert_close(p.grad, want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_gradients_of_every_cell_and_loss_and_mask(name, objective):
    model = MODELS[name]().double()
    names = [n for n, _ in model.named_parameters()]
    with torch.no_grad():
        # ReLU-like corners and exact zeros have no derivative: move every weight off them.
        for k, p in enumerate(model.parameters()):
            p.add_(0.05 * draw(*p.shape, seed=10 + k))
    targets = draw_targets(
        OBJECTIVES[objective],
        draw(2, 6, 2, seed=3),
        torch.ones(2),
        torch.Generator().manual_seed(0),
    )
    x, mask = DATA.inputs[:2, :6], DATA.mask[:2, :6]

    def loss(x, *weights):
        given = dict(zip(names, weights, strict=True))
        output = torch.func.functional_call(model, given, (x,)).output
        return torch.where(mask, OBJECTIVES[objective].loss(output, targets), 0.0).sum()

    weights = tuple(p.detach().clone().requires_grad_() for p in model.parameters())
    # Central differences in double precision: 1e-6 relative, as the gate asks.
    assert torch.autograd.gradcheck(
        loss, (x.clone().requires_grad_(), *weights), rtol=1e-5, atol=1e-6
    )


def test_full_forcing_predicts_each_step_from_the_last_observation():
    model = nr.models.LeakyRNN(0, 2, 2, dt=0.1, tau=0.3, readout="states", rng=0).double()
    data = TrainingData(DATA.inputs[..., :0], DATA.targets, torch.ones(3, 23, 2).bool())
    out, mask = run_forced(model, data, Passes(forcing=1.0, forcing_interval=1))
    # With states observed and all error taken out, the state is the observation.
    assert not mask[:, 0].any() and mask[:, 1:].all()
    flat = data.targets[:, :-1].reshape(-1, 2)
    want = model.scan(flat.new_zeros(len(flat), 1, 0), flat)[0].reshape(3, 22, 2)
    torch.testing.assert_close(out.output[:, 1:], want, rtol=1e-10, atol=1e-12)


def test_partial_forcing_takes_that_share_of_the_error_out():
    model = nr.models.VanillaRNN(2, 6, 2, dt=0.1, rng=0).double()
    full = torch.ones(3, 23, 2).bool()
    data = TrainingData(DATA.inputs, DATA.targets, full)
    back = model.read_back()
    torch.testing.assert_close(model.output_weight @ back, torch.eye(2).double())
    states, state = model.scan(data.inputs[:, :1], model.start(3))
    error = data.targets[:, 0] - model.read(states, data.inputs[:, :1])[:, 0]
    state = state + error @ back.T
    states, state = model.scan(data.inputs[:, 1:5], state)
    output = model.read(states, data.inputs[:, 1:5])
    error = data.targets[:, 4] - output[:, -1]
    moved = state + 0.3 * error @ back.T
    left = data.targets[:, 4] - model.read(moved[:, None], data.inputs[:, :1])[:, 0]
    torch.testing.assert_close(left, 0.7 * error)
    out, _ = run_forced(model, data, Passes(forcing=0.3, forcing_interval=4))
    torch.testing.assert_close(out.output[:, 1:5], output)
    states, _ = model.scan(data.inputs[:, 5:9], moved)
    torch.testing.assert_close(out.output[:, 5:9], model.read(states, data.inputs[:, 5:9]))


def quiet(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return nr.fit(*args, **options)


def same_weights(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.model.parameters(), b.model.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"truncation": 0.5},
        {"segment_duration": 0.5},
        {"teacher_forcing": 0.5, "forcing_interval": 0.3},
        {"schedule": "plateau", "patience": 4},
        {"schedule": "constant", "warmup_epochs": 3},
    ],
    ids=lambda o: "-".join(o),
)
def test_every_way_learns_and_resumes_bit_for_bit(tmp_path, options):
    model = MODELS["leaky"]()
    data = tuple(x.numpy() for x in DATA)
    options = {"optimizer": "adam", "max_epochs": 8, "rng": 2, "batch_size": 2, **options}
    whole = quiet(model, data, **options)
    assert whole.history["loss"].values[-1] < whole.history["loss"].values[0]

    class Stop(Exception):
        pass

    def stop_at_4(epoch, total):
        if epoch == 4:
            raise Stop

    # Raised by the callback above, without words.
    with pytest.raises(Stop):
        quiet(model, data, checkpoint=tmp_path, checkpoint_every=1, progress=stop_at_4, **options)
    again = quiet(model, data, checkpoint=tmp_path, **options)
    assert same_weights(again, whole) and again.history.identical(whole.history)


def test_segments_train_as_whole_trials_do():
    data = tuple(x.numpy() for x in DATA)
    runs = [
        quiet(MODELS["leaky"]().double(), data, optimizer="adam", max_epochs=5, segment_duration=s)
        for s in (None, 0.4)
    ]
    for a, b in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        # Adam divides by the root of squares: rounding of gradients near 0 grows, not far.
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_the_learning_rate_follows_its_schedule():
    from neurornn.training.loop import fit
    from neurornn.training.run import Run

    seen = []
    original = Run._adam_epoch

    def spy(self):
        loss = original(self)
        seen.append(self.optimizer.param_groups[0]["lr"])
        return loss

    patch = pytest.MonkeyPatch()
    patch.setattr(Run, "_adam_epoch", spy)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit(MODELS["vanilla"](), tuple(DATA), optimizer="adam", max_epochs=10, warmup_epochs=2)
    finally:
        patch.undo()
    cosine = [0.01 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * k / 10))) for k in range(10)]
    want = [cosine[0] / 3, cosine[1] * 2 / 3, *cosine[2:]]
    assert seen == pytest.approx(want)


def test_validation_is_taken_without_noise_and_dropout():
    model = nr.models.LeakyRNN(2, 5, 2, dt=0.1, tau=0.5, noise_sd=1.0, dropout=0.4, rng=0)
    data = tuple(x.numpy() for x in DATA)
    result = quiet(model, data, validation=data, max_epochs=4, rng=0)
    best = float(result.history["validation_loss"].min())
    with torch.no_grad():
        error = (result.model(data[0]).output.numpy() - data[1]) ** 2
    # The model returned is the best one, in eval mode; single precision.
    assert 0.5 * error[data[2]].mean() == pytest.approx(best, rel=1e-5)
    assert "noise or dropout" in result.parameters["tau_ci"].attrs["reason"]


def test_automatic_segments_hold_a_long_trial():
    model = nr.models.LeakyRNN(1, 64, 1, dt=0.01, rng=0)
    options = {"truncation": None, "teacher_forcing": 0.0, "forcing_interval": None}
    short = make_passes(model, 8, 1000, segment_duration="auto", **options)
    long = make_passes(model, 8, 100_000, segment_duration="auto", **options)
    assert short.segment is None
    # States, activity and gradients of a segment stay well below the limit of 250 MB.
    assert 12 * 8 * 64 * long.segment < 1e8


def test_classes_are_learned():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 500, 2))
    odds = x @ np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    chance = np.exp(odds) / np.exp(odds).sum(-1, keepdims=True)
    y = (rng.random((4, 500, 1)) > np.cumsum(chance, -1)).sum(-1).clip(0, 2)
    result = nr.fit(nr.models.Memoryless(2, 3, dt=0.1), (x, np.eye(3)[y]), objective="categorical")
    weights = result.model.direct_weight.detach().numpy()
    # Determined up to what all classes share; a contrast of two has a standard error near 0.07.
    assert weights[0, 0] - weights[2, 0] == pytest.approx(2.0, abs=0.25)
    assert weights[1, 1] - weights[0, 1] == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"truncation": 0.01}, "At least one step"),
        ({"truncation": 0.5, "segment_duration": 0.5}, "One of them"),
        ({"teacher_forcing": 1.5}, "between 0"),
        ({"segment_duration": "often"}, "auto"),
        ({"batch_size": 4}, "from 1 to 3"),
        ({"batch_size": 0}, "from 1 to 3"),
        ({"schedule": "cosin"}, "cosine"),
        ({"optimizer": "lbfgs", "truncation": 0.5}, "adam"),
        ({"objective": "poisson"}, "poisson"),
        ({"objective": "categorical"}, "categorical"),
        ({"n_seeds": 0}, "at least 1"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(options, said):
    with pytest.raises(ThreePartError, match=said):
        nr.fit(MODELS["leaky"](), tuple(DATA), max_epochs=2, **options)


def test_models_that_cannot_be_cut_or_corrected_are_refused():
    with pytest.raises(ThreePartError, match="linear"):
        nr.fit(MODELS["memoryless"](), tuple(DATA), teacher_forcing=1.0, max_epochs=2)
    bidirectional = nr.models.GRU(2, 3, 2, dt=0.1, bidirectional=True, rng=0)
    with pytest.raises(ThreePartError, match="stretches"):
        nr.fit(bidirectional, tuple(DATA), truncation=0.5, max_epochs=2)
    series = nr.simulate.simulate_calcium(2, 20.0, 10.0, rng=0)["dff"]
    with pytest.raises(ThreePartError, match="looks ahead"):
        nr.fit(bidirectional, series)
    held = nr.models.LeakyRNN(2, 3, 2, dt=0.1)
    for p in held.parameters():
        p.requires_grad_(False)
    with pytest.raises(ThreePartError, match="0 weights"):
        nr.fit(held, tuple(DATA))


def test_a_trial_without_targets_is_named():
    mask = DATA.mask.clone()
    mask[1] = False
    with pytest.raises(ThreePartError, match="number 1"):
        nr.fit(MODELS["leaky"](), (DATA.inputs, DATA.targets, mask))


def test_weight_decay_leaves_time_constants_alone():
    model = nr.models.LeakyRNN(2, 5, 2, dt=0.1, tau=0.5, tau_bounds=(0.05, 50.0), rng=0)
    with torch.no_grad():
        # Nothing reaches the output: tau has no gradient, only decay could move it.
        model.output_weight.zero_()
        model.output_weight.requires_grad_(False)
    result = quiet(
        model, tuple(DATA), optimizer="adam", weight_decay=1.0, max_epochs=5, intervals=False
    )
    assert torch.equal(result.model.tau, model.tau)
    after, before = (m.input_weight.detach().abs().sum() for m in (result.model, model))
    assert bool(after < before)


def test_segments_and_dropout_do_not_go_together():
    model = nr.models.LeakyRNN(2, 5, 2, dt=0.1, tau=0.5, dropout=0.2, rng=0)
    with pytest.raises(ThreePartError, match="dropout"):
        nr.fit(model, tuple(DATA), segment_duration=0.5)


def test_lbfgs_takes_the_gradient_of_segments():
    whole, parts = (
        quiet(MODELS["leaky"](), tuple(DATA), optimizer="lbfgs", max_epochs=3, segment_duration=s)
        for s in (None, 0.5)
    )
    # The same steps up to rounding, which a line search may enlarge.
    assert parts.history["loss"].values == pytest.approx(whole.history["loss"].values, rel=1e-4)


def test_labelled_arrays_on_another_clock_are_refused():
    win = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, n_inputs=2, rng=0)
    model = nr.models.LeakyRNN(2, 2, 2, dt=0.02, rng=0)
    with pytest.raises(ThreePartError, match=r"0\.01 s"):
        nr.fit(model, (win["inputs"], win["targets"]))
    seconds = win["targets"].expand_dims(other=1).isel(other=0)
    with pytest.raises(ThreePartError, match="pair"):
        nr.fit(model, seconds)


def test_an_output_that_is_never_observed_takes_nothing_along():
    # Two time constants that lie apart, so that the maximum is one point and no flat valley.
    options = {"dt": 0.01, "recurrent": False}
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 50, 2)).astype(np.float32)
    truth = nr.models.LeakyRNN(2, 2, 2, tau=[0.03, 0.15], rng=1, **options)
    y = truth(torch.from_numpy(x)).output.detach().numpy()
    y = y + 0.05 * rng.standard_normal(y.shape)
    y = np.concatenate([y, np.full((8, 50, 1), np.nan)], 2)
    result = nr.fit(nr.models.LeakyRNN(2, 2, 3, tau=[0.05, 0.1], rng=1, **options), (x, y), rng=0)
    assert np.isfinite(result.parameters["tau_ci"]).all()
    assert np.isnan(result.parameters["noise_sd"].values).tolist() == [False, False, True]


@pytest.mark.parametrize(
    "options",
    [
        {"learning_rate": -1},
        {"learning_rate": float("nan")},
        {"truncation": "auto"},
        {"patience": 0},
        {"clip_norm": 0.0},
        {"weight_decay": -0.1},
    ],
    ids=str,
)
def test_numbers_out_of_range_are_refused(options):
    (name,) = options
    with pytest.raises(ThreePartError, match=f"{name} is {options[name]!r}".removesuffix(".0")):
        nr.fit(MODELS["leaky"](), tuple(DATA), **options)
