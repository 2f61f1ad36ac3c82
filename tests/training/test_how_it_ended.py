"""What a fit says about its end: the loss of what it returns, and a last stretch that ends."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning
from neurornn._core.units import format_number
from neurornn.training import refine
from neurornn.training.batches import as_training_data
from neurornn.training.objectives import OBJECTIVES

#: Fits are cut short here: whether they converge is not asked.
pytestmark = pytest.mark.filterwarnings("ignore::neurornn._core.errors.ConvergenceWarning")

WIN = nr.simulate.simulate_rate_trials(3, 12, 0.3, 0.01, n_inputs=2, snr=5, rng=0)


def network(**options):
    return nr.models.LeakyRNN(2, 3, WIN.sizes["output"], dt=0.01, tau=0.05, rng=0, **options)


def by_hand(model, windows):
    """Half the mean squared error of a model as it is used."""
    model = model.double().eval()
    data = as_training_data(windows, model)
    with torch.no_grad():
        away = (model(data.inputs).output - data.targets)[data.mask]
    return 0.5 * float((away**2).mean())


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        # The last stretch moves the weights after the last epoch that the history knows.
        ({"optimizer": "adam", "max_epochs": 25}, {}),
        ({"optimizer": "adam", "max_epochs": 25, "refine": False}, {}),
        # Losses of the history are those under dropout; the model is used without.
        ({"optimizer": "adam", "max_epochs": 25}, {"dropout": 0.5}),
        ({"max_epochs": 25, "segment_duration": 0.1}, {}),
    ],
)
def test_the_loss_told_is_that_of_the_weights_returned(options, weights):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = nr.fit(network(**weights), WIN, rng=0, **options)
    wanted = by_hand(result.model, WIN)
    # The model is handed back in single precision.
    assert result.loss == pytest.approx(wanted, rel=1e-5)
    assert f"; loss {format_number(result.loss)}" in result.report()


def test_with_a_validation_part_both_losses_are_those_of_the_best_epoch():
    # Few and noisy trials, which are learned by heart before long.
    win = nr.simulate.simulate_rate_trials(3, 8, 0.3, 0.01, n_inputs=2, snr=1, rng=0)
    train, watch = win.isel(trial=slice(0, 4)), win.isel(trial=slice(4, 8))
    result = nr.fit(
        network(), train, validation=watch, rng=0, optimizer="adam", learning_rate=0.1,
        schedule="constant", patience=15, max_epochs=400,
    )  # fmt: skip
    assert str(result.status) == "stopped_early"
    assert result.loss == pytest.approx(by_hand(result.model, train), rel=1e-5)
    assert result.validation_loss == pytest.approx(by_hand(result.model, watch), rel=1e-5)
    # The best epoch lies before the last, and the history of that one is another number.
    assert result.validation_loss == pytest.approx(
        np.nanmin(result.history["validation_loss"]), rel=1e-5
    )
    assert format_number(result.validation_loss) != format_number(
        float(result.history["validation_loss"][-1])
    )
    said = f"on the validation part {format_number(result.validation_loss)}"
    assert said in result.report()


def test_a_loss_survives_saving(tmp_path):
    result = nr.fit(network(), WIN, rng=0, max_epochs=5, optimizer="adam", strict=False)
    result.save(tmp_path / "fit")
    assert nr.load(tmp_path / "fit").loss == result.loss


def test_only_a_maximum_that_was_shown_is_called_the_optimum():
    options = {"optimizer": "adam", "max_epochs": 300, "rng": 0}
    model = nr.models.LeakyRNN(2, 4, 4, dt=0.01, tau=0.05, readout="states", rng=0)
    win = nr.simulate.simulate_rate_trials(4, 30, 0.5, 0.01, n_inputs=2, snr=10, rng=0)
    fine = nr.fit(model, win, **options)
    assert str(fine.status) == "ok" and fine.provenance["refined"]
    rough = dataclasses.replace(fine, provenance={**fine.provenance, "refined": False})
    assert "ended at its optimum" not in rough.report() and "loss settled" in rough.report()
    assert "ended at its optimum" in fine.report()


@pytest.mark.parametrize(
    ("scores", "rounds"),
    [
        ([5.0, 0.3, 0.005], 3),
        # Still halved over two rounds: it goes on. In the valley: it does not.
        ([50.0, 7.0, 3.2, 1.8, 2.3, 1.2], 5),
        ([4.0, 3.9, 3.8, 3.7], 3),
        ([2.0 * 0.6**k for k in range(40)], refine._ROUNDS),
    ],
)
def test_the_last_stretch_ends_where_nothing_more_is_learned(monkeypatch, scores, rounds):
    seen = []

    def run(self, seed):
        seen.append(seed)
        return scores[len(seen) - 1]

    monkeypatch.setattr(refine._Search, "run", run)
    model = network().double()
    data = as_training_data(WIN, model)
    reached = refine.go_to_maximum(model, data, OBJECTIVES["gaussian"], 3)
    assert seen == [3 + k for k in range(rounds)]
    assert reached is (scores[rounds - 1] < 0.1)


@pytest.mark.slow
def test_the_last_stretch_shows_a_bar(monkeypatch):
    bars = []

    class Bar(refine.progress_bar):
        def __enter__(self):
            bars.append(self)
            return super().__enter__()

    monkeypatch.setattr(refine, "progress_bar", Bar)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        nr.fit(network(), WIN, rng=0, max_epochs=3, optimizer="adam", progress=True)
        nr.fit(network(), WIN, rng=0, max_epochs=3, optimizer="adam")
    shown, quiet = bars
    assert shown.label == "last stretch" and shown.progress is True and not quiet.progress
    assert 0 < shown.done <= shown.total


def test_the_metric_from_scores_leads_to_the_same_maximum():
    """From the Jacobian below a size, from drawn scores above it: the maximum is one."""
    model = nr.models.LeakyRNN(2, 4, 4, dt=0.01, tau=0.05, readout="states", rng=0)
    win = nr.simulate.simulate_rate_trials(4, 30, 0.5, 0.01, n_inputs=2, snr=10, rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rough = nr.fit(model, win, optimizer="adam", max_epochs=100, refine=False, rng=0)
    data, found = as_training_data(win, model), []
    for few in (refine.FEW_PARAMETERS, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(refine, "FEW_PARAMETERS", few)
            moved = nr.fit(model, win, optimizer="adam", max_epochs=1, refine=False).model.double()
            moved.load_state_dict(rough.model.double().state_dict())
            assert refine.go_to_maximum(moved, data, OBJECTIVES["gaussian"], 0)
            found.append(moved.tau.detach().numpy())
    # Both end within .02 standard errors of the maximum, and an error is some per cent of a tau.
    assert found[0] == pytest.approx(found[1], rel=2e-3)


def test_the_losses_of_an_older_file_are_those_of_one_epoch():
    train, watch = WIN.isel(trial=slice(0, 5)), WIN.isel(trial=slice(5, 8))
    result = nr.fit(network(), train, validation=watch, rng=0, optimizer="adam", max_epochs=30)
    keep = {k: v for k, v in result.provenance.items() if "loss" not in k}
    older = dataclasses.replace(result, provenance=keep)
    best = int(np.argmin(result.history["validation_loss"].values))
    assert older.loss == float(result.history["loss"][best])
    assert older.validation_loss == float(result.history["validation_loss"][best])
