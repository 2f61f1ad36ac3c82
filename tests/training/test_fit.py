"""The engine: recovery, intervals, masks, stopping, exact resume, saving, bad input."""

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import (
    ConvergenceWarning,
    DataError,
    KindError,
    ResumeError,
    ThreePartError,
    UnitError,
)
from neurornn.training.curvature import physical_intervals
from neurornn.training.objectives import OBJECTIVES
from tests.training import killed

ROOT = Path(__file__).parents[2]


def driven(n_trials=8, n_steps=120, tau=(0.05, 0.3), seed=0, noise=0.05):
    """A linear pair of leaky units of known tau, driven by noise and seen through a read-out."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_trials, n_steps, 2))
    truth = nr.models.LeakyRNN(
        2, 2, 2, dt=0.01, tau=list(tau), recurrent=False, nonlinearity="linear", rng=seed
    ).double()
    with torch.no_grad():
        truth.input_weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        truth.output_weight.copy_(torch.eye(2))
        y = truth(x).output.numpy()
    return x, y + noise * rng.standard_normal(y.shape)


def pair(**options):
    return nr.models.LeakyRNN(
        2,
        2,
        2,
        dt=0.01,
        tau=[0.08, 0.15],
        recurrent=False,
        nonlinearity="linear",
        rng=3,
        **options,
    )


def test_recovers_two_time_constants():
    result = nr.fit(pair(), driven(), rng=0)
    tau, ci = result.parameters["tau"].values, result.parameters["tau_ci"].values
    for truth in (0.05, 0.3):
        k = int(np.argmin(np.abs(np.log(tau / truth))))
        # One fixed seed: inside the interval made half as wide again.
        assert abs(tau[k] - truth) < 0.75 * (ci[k, 1] - ci[k, 0])
    assert result.status == "ok"
    assert result.parameters["noise_sd"].values == pytest.approx(0.05, rel=0.1)


def test_the_model_given_is_not_changed():
    model = pair()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = nr.fit(model, driven(), max_epochs=2, rng=0)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert result.model is not model and model.training


def test_interval_is_the_least_squares_interval():
    """With an identified model the Fisher interval is that of nonlinear least squares."""
    from scipy.optimize import curve_fit

    x, y = driven(tau=(0.1, 0.1))
    x, y = x[..., :1], y[..., :1]
    model = nr.models.LeakyRNN(1, 1, 1, dt=0.01, tau=0.2, nonlinearity="linear", rng=0)
    result = nr.fit(model, (x, y), rng=0)

    def response(_, log_tau, gain, offset, constant):
        gamma = np.exp(-0.01 / np.exp(log_tau))
        c, out = np.zeros(len(x)), []
        for k in range(x.shape[1]):
            c = gamma * c + gain * x[:, k, 0] + constant
            out.append(c + offset)
        return np.stack(out, 1).ravel()

    best, cov = curve_fit(response, None, y.ravel(), p0=[np.log(0.2), 0.1, 0.0, 0.0])
    ci = result.parameters["tau_ci"].values[0]
    ours = (np.log(ci[1]) - np.log(ci[0])) / 2 / 1.96
    assert float(result.parameters["tau"][0]) == pytest.approx(np.exp(best[0]), rel=1e-4)
    # The robust widening can only lengthen ours, and does so by chance over eight trials.
    assert 0.97 <= ours / np.sqrt(cov[0, 0]) <= 1.8


def test_a_parameter_that_trades_against_another_is_said_to():
    # A linear unit that drives itself: tau and that weight act as one number.
    model = nr.models.LeakyRNN(
        2, 1, 2, dt=0.01, tau=0.1, nonlinearity="linear", self_connections=True, rng=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = nr.fit(model, driven(), rng=0)
    assert str(result.parameters["status"].values[0]) == "not_identifiable"
    assert np.isnan(result.parameters["tau_ci"]).all()
    assert "trades against" in result.report()


def test_a_unit_that_is_not_used_is_said_not_to_be_identified():
    model = pair().double()
    x, y = driven()
    with torch.no_grad():
        model.output_weight[:, 1] = 0.0
        model.input_weight[1] = 0.0
        model.bias[1] = 0.0
    data = nr.training.as_training_data((x, y), model)
    found = physical_intervals(model, data, OBJECTIVES["gaussian"], torch.ones(2).double())["tau"]
    assert list(found.status) == ["ok", "not_identifiable"]


def test_masked_targets_do_not_count():
    x, y = driven()
    clean = nr.fit(pair(), (x, y), rng=0)
    mask = np.ones(y.shape[:2], bool)
    mask[:, 100:] = False
    spoiled = y.copy()
    spoiled[:, 100:] = 1e3
    masked = nr.fit(pair(), (x, spoiled, mask), rng=0)
    cut = nr.fit(pair(), (x[:, :100], y[:, :100]), rng=0)
    # Not the same bits: sums run over other lengths.
    assert masked.parameters["tau"].values == pytest.approx(cut.parameters["tau"].values, rel=1e-4)
    assert not np.allclose(clean.parameters["tau"], masked.parameters["tau"], rtol=1e-9)
    as_tensor = nr.fit(pair(), (x, spoiled, torch.from_numpy(mask)), rng=0)
    assert np.array_equal(as_tensor.parameters["tau"], masked.parameters["tau"])
    holes = y.copy()
    holes[:, 100:] = np.nan
    nan = nr.fit(pair(), (x, holes), rng=0)
    assert np.array_equal(nan.parameters["tau"], masked.parameters["tau"])


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_the_same_seed_gives_the_same_bits(optimizer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        a, b = (
            nr.fit(pair(), driven(), rng=5, optimizer=optimizer, max_epochs=6) for _ in range(2)
        )
    assert a.parameters.identical(b.parameters)
    assert a.history.identical(b.history)


def test_early_stopping_keeps_the_best_weights():
    x, y = driven(noise=1.0)
    model = nr.models.VanillaRNN(2, 30, 2, dt=0.01, rng=0)
    result = nr.fit(
        model,
        (x[:4], y[:4]),
        validation=(x[4:], y[4:]),
        optimizer="adam",
        max_epochs=200,
        patience=15,
        rng=0,
    )
    assert result.status == "stopped_early"
    losses = result.history["validation_loss"].values
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 15
    out = result.model(x[4:]).output.detach().numpy()
    # The model returned is float32, the loss was taken on it.
    assert 0.5 * np.mean((out - y[4:]) ** 2) == pytest.approx(losses[best], rel=1e-4)


def test_divergence_keeps_the_last_good_weights_and_says_what_to_try():
    with pytest.warns(ConvergenceWarning, match="learning_rate"):
        result = nr.fit(
            nr.models.VanillaRNN(2, 4, 2, dt=0.01, nonlinearity="relu", rng=0),
            driven(),
            optimizer="adam",
            learning_rate=1e30,
            clip_norm=None,
            max_epochs=20,
        )
    assert result.status == "diverged"
    assert all(bool(p.isfinite().all()) for p in result.model.parameters())


def test_too_few_epochs_are_warned_about_and_strict_raises():
    with pytest.warns(ConvergenceWarning, match="not_converged"):
        result = nr.fit(pair(), driven(), max_epochs=1, refine=False)
    assert result.report().splitlines()[1].startswith("status: not_converged")
    with pytest.raises(DataError, match="strict"):
        nr.fit(pair(), driven(), max_epochs=1, refine=False, strict=True)


def test_poisson_and_bernoulli_recover_a_rate():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 400, 1))
    counts = rng.poisson(np.exp(0.5 + 0.3 * x))
    result = nr.fit(nr.models.Memoryless(1, 1, dt=0.01), (x, counts), objective="poisson")
    # Standard error of a slope from 2400 counts of mean 1.7 is 0.016.
    assert result.model.direct_weight.item() == pytest.approx(0.3, abs=0.05)
    chosen = rng.random(x.shape) < 1 / (1 + np.exp(-(0.2 + 1.0 * x)))
    result = nr.fit(nr.models.Memoryless(1, 1, dt=0.01), (x, chosen), objective="bernoulli")
    assert result.model.direct_weight.item() == pytest.approx(1.0, abs=0.17)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_resumed_fit_ends_with_the_same_bits(tmp_path, optimizer):
    options = {"rng": 1, "optimizer": optimizer, "max_epochs": 9, "checkpoint_every": 1}
    whole = quiet_fit(pair(), driven(), **options)

    class Stop(Exception):
        pass

    def stop_at_4(epoch, total):
        if epoch == 4:
            raise Stop

    # Raised by the callback above, without words.
    with pytest.raises(Stop):
        quiet_fit(pair(), driven(), checkpoint=tmp_path / "run", progress=stop_at_4, **options)
    resumed = quiet_fit(pair(), driven(), checkpoint=tmp_path / "run", **options)
    assert resumed.parameters.identical(whole.parameters)
    assert resumed.history.identical(whole.history)
    for a, b in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)
    again = quiet_fit(pair(), driven(), checkpoint=tmp_path / "run", **options)
    assert again.parameters.identical(whole.parameters)


def quiet_fit(*args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return nr.fit(*args, **options)


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    quiet_fit(pair(), driven(), max_epochs=2, checkpoint=tmp_path)
    with pytest.raises(ResumeError, match="other data"):
        quiet_fit(pair(), driven(seed=9), max_epochs=2, checkpoint=tmp_path)


@pytest.mark.parametrize(
    "n_runs", [2, pytest.param(20, marks=pytest.mark.slow)], ids=["twice", "20 times"]
)
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a Unix matter")
def test_kill_9_and_run_again(tmp_path, n_runs):
    whole = {what: killed.bits(what, tmp_path / "whole" / what) for what in killed.KINDS}
    command = [sys.executable, "-m", "tests.training.killed", tmp_path, n_runs, *killed.KINDS]
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == list(np.repeat(killed.KINDS, n_runs))
    # No run was over before it was killed.
    assert all(int(row[1]) > 0 for row in rows)
    for what, _, again in rows:
        # The last run of each kind is taken up here, by another interpreter.
        again = again or killed.bits(what, tmp_path / what / f"run{n_runs - 1}")
        assert again == whole[what], f"{what} ended with other bits"


def test_saved_and_loaded_is_the_same(tmp_path):
    result = nr.fit(pair(), driven(), rng=0)
    result.save(tmp_path / "fit")
    again = nr.load(tmp_path / "fit")
    x, _ = driven()
    assert torch.equal(again.model(x).output, result.model(x).output)
    assert again.parameters.identical(result.parameters)
    assert again.report() == result.report()
    assert again.status == result.status


def test_windows_of_another_clock_are_refused():
    rec = nr.simulate.simulate_calcium(1, 60.0, 30.0, rng=0)
    win = nr.data.windows(rec, inputs="spikes", targets="dff", duration=10.0)
    with pytest.raises(UnitError, match="with_dt"):
        nr.fit(nr.models.LeakyRNN(1, 1, 1, dt=0.01, tau=0.5), win)


@pytest.mark.slow
def test_a_series_is_fitted_to_its_own_next_frame():
    rec = nr.simulate.simulate_calcium(2, 40.0, 30.0, rng=0)
    model = nr.models.LeakyRNN(2, 2, 2, dt=1 / 30, tau=0.5)
    result = quiet_fit(model, rec["dff"], max_epochs=2, intervals=False)
    assert float(result.history["loss"][-1]) < float(result.history["loss"][0])


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (np.zeros((3, 4)), KindError, "data is a ndarray"),
        (
            (np.zeros((2, 5, 2)), np.zeros((2, 6, 2))),
            ThreePartError,
            r"inputs have \(trial, time\) \(2, 5\), targets \(2, 6\)",
        ),
        (
            (np.zeros((2, 5, 3)), np.zeros((2, 5, 2))),
            ThreePartError,
            "data has 3 inputs and 2 outputs",
        ),
        ((np.zeros((2, 5)), np.zeros((2, 5))), ThreePartError, r"targets have shape \(2, 5\)"),
        ((np.full((2, 5, 2), np.nan), np.zeros((2, 5, 2))), DataError, "inputs hold 20 NaN"),
        (
            (np.zeros((2, 5, 2)), np.full((2, 5, 2), np.nan)),
            DataError,
            "2 of 2 trials in data have no target that counts",
        ),
        (
            (np.zeros((2, 5, 2)), np.full((2, 5, 2), np.inf)),
            DataError,
            "targets holds 20 infinite values",
        ),
        (
            (np.zeros((2, 5, 2)), np.zeros((2, 5, 2)), np.ones((3, 5))),
            ThreePartError,
            r"The mask has shape \(3, 5, 1\)",
        ),
        (("a", "b"), KindError, "data targets is a str"),
    ],
)
def test_bad_data_are_refused_in_three_parts(data, kind, said):
    with pytest.raises(kind, match=said):
        nr.fit(pair(), data)


def test_bad_settings_are_refused():
    with pytest.raises(ThreePartError, match="gaussian"):
        nr.fit(pair(), driven(), objective="gausian")
    with pytest.raises(ThreePartError, match="spelling"):
        nr.fit(pair(), driven(), optimizer="sgd")
    with pytest.raises(ThreePartError, match=r"nr\.models"):
        nr.fit(torch.nn.Linear(2, 2), driven())


@pytest.mark.parametrize("odd", [np.inf, -np.inf, 9.969209968386869e36, 1e300])
def test_infinite_and_fill_values_are_never_fitted(odd):
    x, y = driven(n_trials=3, n_steps=30)
    model = nr.models.LeakyRNN(2, 2, 2, dt=0.01, tau=0.1)
    for name, at in (("inputs", 0), ("targets", 1)):
        pair = [x.copy(), y.copy()]
        pair[at][1, 7, 1] = odd
        with pytest.raises(DataError, match=rf"data {name} holds .*(infinite|fill)"):
            nr.fit(model, tuple(pair), max_epochs=1)
        with pytest.raises(DataError, match=rf"validation {name} holds .*(infinite|fill)"):
            nr.fit(model, (x, y), validation=tuple(pair), max_epochs=1)


def test_a_fit_whose_numbers_are_not_finite_is_not_ok():
    x, y = driven(n_trials=3, n_steps=30)
    # Their squares are beyond the largest number of single precision.
    model = nr.models.LeakyRNN(2, 2, 2, dt=0.01, tau=0.1)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        found = nr.fit(model, (x, 1e25 * y), max_epochs=2, optimizer="adam")
    assert found.status == "diverged"
    tau = found.parameters["tau_ci"]
    assert np.isnan(tau).all() and "not finite" in tau.attrs["reason"]
    assert all(bool(p.isfinite().all()) for p in found.model.parameters())


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"max_epochs": 1.5}, DataError, "max_epochs is 1.5"),
        ({"max_epochs": "many"}, KindError, "max_epochs is 'many'"),
        ({"n_seeds": 1e9}, DataError, r"n_seeds is 1000000000.0.*at most 10000"),
        ({"batch_size": [2]}, KindError, r"batch_size is \[2\]"),
        ({"learning_rate": "low"}, KindError, "learning_rate is 'low'"),
        ({"learning_rate": 1e300}, DataError, r"learning_rate is 1e\+300"),
        ({"patience": None}, KindError, "patience is None"),
        ({"confidence_level": 95}, DataError, "confidence_level is 95"),
        ({"teacher_forcing": "yes"}, KindError, "teacher_forcing is 'yes'"),
        ({"segment_duration": np.nan}, DataError, "segment_duration is nan"),
        ({"optimizer": ["adam"]}, DataError, "optimizer is"),
        ({"rng": -1}, DataError, "rng is -1"),
        ({"rng": "0"}, KindError, "rng is '0'"),
    ],
)
def test_settings_of_a_fit_are_checked_before_it_starts(more, kind, words):
    x, y = driven(n_trials=3, n_steps=30)
    with pytest.raises(kind, match=words):
        nr.fit(nr.models.LeakyRNN(2, 2, 2, dt=0.01, tau=0.1), (x, y), **more)


def test_a_mask_holds_true_and_false_alone():
    x, y = driven(n_trials=3, n_steps=30)
    model = nr.models.LeakyRNN(2, 2, 2, dt=0.01, tau=0.1)
    for mask, kind, words in (
        (np.full(y.shape, 0.5), DataError, "mask holds 0.5"),
        (np.full(y.shape, "yes"), KindError, "mask is a ndarray"),
    ):
        with pytest.raises(kind, match=words):
            nr.fit(model, (x, y, mask), max_epochs=1)
