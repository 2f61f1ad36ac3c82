"""What a result of a fit says, word by word, from a result that is made by hand."""

import numpy as np
import pytest
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.confidence import Estimate, to_dataset
from neurornn._core.papers import cited
from neurornn._core.status import Status
from neurornn.training.curvature import Intervals
from neurornn.training.objectives import objective_named
from neurornn.training.result import FitResult
from neurornn.training.table import parameter_table

TAU = [0.02, 0.3]


def made(*, validation=(np.nan, np.nan), ci=True, clock=("unresolved", "resolved"), status="ok",
         settings=None, **provenance):  # fmt: skip
    model = nr.models.LeakyRNN(1, 2, 1, dt=0.01, tau=0.05, rng=0)
    bounds = np.array([[0.01, 0.04], [0.2, 0.5]]) if ci else None
    table = to_dataset(
        [Estimate(name="tau", value=TAU, ci=bounds, units="s", long_name="tau", method="m",
                  dims=("hidden",))],
        confidence_level=0.9, covariance=np.zeros((2, 1, 1)), covariance_names=["tau"],
        covariance_dims=("hidden",),
    ).assign(clock=("hidden", list(clock)))  # fmt: skip
    history = xr.Dataset(
        {"loss": ("epoch", [3.0, 2.0]), "validation_loss": ("epoch", list(validation))},
        {"epoch": [0, 1]},
    )
    said = {"objective": "gaussian", "optimizer": "lbfgs", "confidence_level": 0.9}
    return FitResult(
        model=model, parameters=table, history=history, status=Status(status),
        settings={**said, **(settings or {})}, provenance={"loss": 2.5, **provenance},
    )  # fmt: skip


def test_the_head_of_a_report():
    lines = made().report().splitlines()
    n = sum(p.numel() for p in made().model.parameters())
    assert lines[:4] == [
        "Fit",
        f"status: ok. {Status.OK.remedy}",
        f"LeakyRNN with {n} weights; 2 epochs of lbfgs; loss 2.50",
        "1 of 2 time constants are shorter than 5 dt and move with the clock: raise substeps, or "
        "record faster",
    ]
    assert not any("covariance" in line for line in lines)
    watched = made(validation=(4.0, 5.0), validation_loss=4.5, error="it broke").report()
    assert "loss 2.50, on the validation part 4.50" in watched and "error: it broke" in watched
    assert "move with the clock" not in made(clock=("resolved",) * 2).report()
    both = made(clock=("unresolved",) * 2).report()
    assert "2 of 2 time constants are shorter than 5 dt" in both
    fine = made()
    fine.model.substeps = 2
    assert fine.report().splitlines()[3].endswith("clock: record faster")


def test_adam_shows_no_maximum_unless_it_was_refined():
    settled = "The loss settled; that this is the maximum of the likelihood was not shown."
    adam = {"optimizer": "adam"}
    assert made(settings=adam)._how_it_ended() == settled
    assert made(settings=adam, refined=True)._how_it_ended() == Status.OK.remedy
    early = made(settings=adam, status="stopped_early")
    assert early._how_it_ended() == Status.STOPPED_EARLY.remedy


def test_seeds_are_summed_up():
    seeds = xr.Dataset({"loss": ("seed", [1.0, 2.0, 4.0])})
    seeds["loss"].attrs = {"long_name": "loss on the validation part", "mean": 2.3333, "sd": 1.5}
    result = made().with_seeds(seeds)
    assert (
        "the best of 3 seeds; loss on the validation part: mean 2.33, sd 1.50"
        in result.report().splitlines()
    )
    assert ", the best of 3 seeds;" in result.methods_text()
    assert made().seeds is None and result.loss == 2.5


def test_losses_of_files_that_do_not_state_them_are_those_of_the_best_epoch():
    plain = made()
    plain.provenance.pop("loss")
    assert (plain.loss, np.isnan(plain.validation_loss)) == (2.0, True)
    watched = made(validation=(4.0, 5.0))
    watched.provenance.pop("loss")
    assert (watched.loss, watched.validation_loss) == (3.0, 4.0)
    broken = made()
    broken.provenance.pop("loss")
    broken.history["loss"][:] = [np.nan, np.nan]
    assert np.isnan(broken.loss)


def test_a_result_shows_its_time_constants():
    assert repr(made()) == "FitResult(LeakyRNN, status=ok, tau=0.0200 to 0.300 s)"
    one = made()
    one.parameters["tau"][:] = 0.3
    assert repr(one) == "FitResult(LeakyRNN, status=ok, tau=0.300 s)"


METHODS = "A LeakyRNN (dt = 0.01 s) was fitted with neurornn by L-BFGS to a gaussian likelihood"
INTERVALS = (
    "; intervals of time constants (90 %) come from its Fisher information with all other weights "
    "marginalised"
)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, METHODS + INTERVALS),
        ({"ci": False}, METHODS),
        ({"settings": {"optimizer": "adam"}}, METHODS.replace("L-BFGS", "Adam") + INTERVALS),
        ({"settings": {"optimizer": "sgd"}}, METHODS.replace("L-BFGS", "no optimiser")
         + INTERVALS),
        ({"settings": {"teacher_forcing": 0.5}}, METHODS + " under teacher forcing (0.5)"
         + INTERVALS),
        ({"settings": {"truncation": 2.0}}, METHODS + ", gradients truncated at 2 s" + INTERVALS),
        ({"status": "stopped_early"}, METHODS + ", stopped by a validation part" + INTERVALS),
        ({"validation": (4.0, np.nan)}, METHODS + ", a validation part watched" + INTERVALS),
        ({"refined": True}, METHODS + ", at the end by L-BFGS in coordinates whitened by its "
         "Fisher information" + INTERVALS),
    ],
)  # fmt: skip
def test_the_methods_say_what_was_done(more, said):
    assert made(**more)._methods_sentence() == said


def test_papers_are_those_of_what_was_used():
    assert made()._citations() == cited(["paszke_2019", "liu_1989", "white_1982"])
    adam = made(ci=False, settings={"optimizer": "adam"})
    assert adam._citations() == cited(["paszke_2019", "kingma_2015"])
    assert made(ci=False, settings={"optimizer": "sgd"})._citations() == cited(["paszke_2019"])


def test_the_table_of_a_leaky_network_is_tau_weight_and_memory():
    model = nr.models.LeakyRNN(1, 2, 3, dt=0.01, tau=[0.04, 0.2], rng=0).double()
    ci = np.array([[0.03, 0.06], [0.1, np.nan]])
    found = Intervals(
        ci=ci, status=np.array(["ok", "ok"]), variance=np.array([1e-4, 4e-4]), reason="why"
    )
    others = {
        p.name: Intervals(
            ci=np.full((*np.shape(model.physical_value(p).detach()), 2), np.nan),
            status=np.full(np.shape(model.physical_value(p).detach()), "ok"),
            variance=np.zeros(np.shape(model.physical_value(p).detach())), reason="why",
        )
        for p in model.physical_parameters if p.name != "tau"
    }  # fmt: skip
    variance, dof = torch.tensor([4.0, 9.0, 1.0]), np.array([50.0, 60.0, np.nan])
    table = parameter_table(
        model, {"tau": found, **others}, variance, dof, objective_named("gaussian"), 0.9
    )
    tau = np.array([0.04, 0.2])
    # A time constant goes through a logistic map and back.
    assert table["tau"].values == pytest.approx(tau, rel=1e-6)
    assert table["weight"].values == pytest.approx(np.exp(-0.01 / tau), rel=1e-6)
    assert table["memory"].values == pytest.approx(tau / 0.01, rel=1e-6)
    assert np.allclose(table["weight_ci"], np.exp(-0.01 / ci), equal_nan=True)
    assert np.allclose(table["memory_ci"], ci / 0.01, equal_nan=True)
    assert np.array_equal(table["tau_ci"], ci, equal_nan=True)
    # Five steps are the shortest that do not move with the clock.
    assert table["clock"].values.tolist() == ["unresolved", "resolved"]
    assert table["clock"].attrs["long_name"] == (
        "unresolved: shorter than 5 dt, moves with the clock"
    )
    said = "share of the state kept in a step, exp(-dt / tau)"
    assert table["weight"].attrs["long_name"] == said
    assert table["memory"].attrs["long_name"] == "time constant in steps, tau / dt"
    assert (table["weight"].attrs["units"], table["memory"].attrs["units"]) == ("1", "frame")
    assert table["weight"].attrs["method"] == table["memory"].attrs["method"] == "from tau"
    assert table["tau_ci"].attrs["reason"] == table["weight_ci"].attrs["reason"] == "why"
    said = "gaussian likelihood; interval from its Fisher information"
    assert table["tau"].attrs["method"].endswith(said)
    assert (
        table["tau"]
        .attrs["method"]
        .startswith("restricted maximum" if model.covariance_weights else "maximum")
    )
    noise = table["noise_sd"].values
    assert noise[:2].tolist() == [2.0, 3.0] and np.isnan(noise[2])
    assert table["noise_sd"].dims == ("output",) and table["noise_sd"].attrs["units"] == "1"
    assert table["noise_sd_ci"].attrs["ci_prob"] == 0.9
    low, high = table["noise_sd_ci"].values[0]
    assert low < 2.0 < high and np.isnan(table["noise_sd_ci"].values[2]).all()
    assert table["noise_sd_ci"].attrs["reason"] == "there are no more data than weights"
    assert table["status"].values.tolist() == ["ok", "ok"]
    assert table["covariance"].values.ravel().tolist() == [1e-4, 4e-4]
    assert table["covariance"].dims == ("hidden", "parameter", "parameter_")
    counts = parameter_table(
        model, {"tau": found, **others}, variance, dof, objective_named("poisson"), 0.9
    )
    assert "noise_sd" not in counts
