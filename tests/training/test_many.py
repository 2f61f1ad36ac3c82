"""Many fits: seeds, jobs, a cluster that loses a worker, the bootstrap."""

import os
import signal
import warnings

import numpy as np
import pytest
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, ThreePartError
from neurornn.training.many import pack_model, redrawn, unpack_model

WIN = nr.simulate.simulate_rate_trials(
    2, 6, 0.5, 0.01, n_inputs=2, tau_range=(0.05, 0.3), snr=10, rng=0
)


def pair(rng=0):
    return nr.models.LeakyRNN(
        2, 2, 2, dt=0.01, tau=0.1, tau_bounds=(0.01, 2.0), readout="states", rng=rng
    )


def test_seeds_give_the_best_and_a_table_of_all(tmp_path):
    result = nr.fit(pair(), WIN, n_seeds=3, max_epochs=20, rng=0)
    losses = result.seeds["loss"].values
    assert len(losses) == 3 and result.loss == losses.min()
    assert result.seeds["tau"].dims == ("seed", "hidden")
    assert result.seeds["loss"].attrs["mean"] == pytest.approx(losses.mean())
    assert "best of 3 seeds" in result.report()
    again = nr.fit(pair(), WIN, n_seeds=3, max_epochs=20, rng=0)
    assert again.seeds.identical(result.seeds)
    result.save(tmp_path / "fit")
    assert nr.load(tmp_path / "fit").seeds.identical(result.seeds)


def test_validation_chooses_among_seeds():
    watch = WIN.isel(trial=slice(4, 6))
    result = nr.fit(
        pair(), WIN.isel(trial=slice(0, 4)), validation=watch, n_seeds=2, max_epochs=20, rng=0
    )
    assert result.seeds["loss"].attrs["long_name"] == "validation loss"
    assert result.validation_loss == float(result.seeds["loss"].min())


def test_a_model_travels_whole():
    model = pair(rng=3).double()
    again = unpack_model(pack_model(model))
    x = torch.randn(2, 9, 2, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(again(x).output, model(x).output)
    fresh = redrawn(model, 7)
    assert torch.equal(fresh.tau, model.tau)
    assert not torch.equal(fresh.recurrent_weight, model.recurrent_weight)


def test_one_fit_that_fails_does_not_take_the_others_along():
    results = nr.training.fit_many(
        [(pair(), WIN), (pair(), WIN, {"batch_size": 1000}), (pair(), WIN)], max_epochs=20
    )
    assert [str(r.status) for r in results] == ["ok", "failed", "ok"]
    assert "batch_size" in results[1].provenance["error"]
    assert np.isnan(results[1].parameters["tau"]).all()
    assert results[0].parameters.identical(results[2].parameters)
    with pytest.raises(ThreePartError, match="Job 0"):
        nr.training.fit_many([pair()])


def test_finished_fits_are_not_done_again(tmp_path):
    jobs = [(pair(rng=k), WIN) for k in range(3)]
    seen = []

    class Stop(Exception):
        pass

    def stop_at_2(done, total):
        seen.append(done)
        if done == 2:
            raise Stop

    # Raised by the callback above, without words.
    with pytest.raises(Stop):
        nr.training.fit_many(jobs, max_epochs=20, checkpoint=tmp_path / "p", progress=stop_at_2)
    again = nr.training.fit_many(
        jobs, max_epochs=20, checkpoint=tmp_path / "p", progress=lambda d, t: seen.append(d)
    )
    assert seen == [1, 2, 3]
    whole = nr.training.fit_many(jobs, max_epochs=20)
    for a, b in zip(again, whole, strict=True):
        assert a.parameters.identical(b.parameters)


# The cluster's own threads may warn that a connection broke.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.slow  # starting and restarting worker processes takes 15 s
def test_a_cluster_that_loses_a_worker():
    """Two workers, one killed in the middle: the same bits as in this process."""
    distributed = pytest.importorskip("dask.distributed")
    jobs = [(pair(rng=k), WIN) for k in range(6)]
    plain = nr.training.fit_many(jobs, max_epochs=20)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        killed = []

        def kill_one(done, total):
            if not killed:
                _, pid = sorted(client.run(os.getpid).items())[0]
                os.kill(pid, signal.SIGKILL)
                killed.append(done)

        found = nr.training.fit_many(jobs, max_epochs=20, client=client, progress=kill_one)
    assert killed
    for a, b in zip(found, plain, strict=True):
        assert a.parameters.identical(b.parameters)


@pytest.mark.slow
def test_the_bootstrap_agrees_with_the_curvature():
    result = nr.fit(pair(), WIN, max_epochs=40, rng=0)
    table = nr.training.bootstrap_intervals(
        result, WIN, n_draws=36, rng=0, max_epochs=12, tolerance=1e-6
    )
    ours = np.diff(np.log(result.parameters["tau_ci"].values), axis=1)
    theirs = np.diff(np.log(table["tau_ci"].values), axis=1)
    # The sd of 36 draws is known to 12 %; the curvature interval may be widened by the scores of
    # six trials, by up to some 60 %.
    assert (theirs / ours).ravel() == pytest.approx(1.0, abs=0.45)
    assert np.abs(table["tau_bias"]).max() < 0.05
    # Drawn in other places of the likelihood, a few refits need more epochs than the fit did.
    assert table.attrs["n_draws"] >= 24


@pytest.mark.slow
def test_a_bootstrap_of_refits_that_fail_is_refused():
    result = nr.fit(pair(), WIN, max_epochs=40, rng=0)
    with pytest.raises(ThreePartError, match="refits"):
        nr.training.bootstrap_intervals(result, WIN, n_draws=20, batch_size=1000)


def test_weights_that_are_held_stay_held():
    model = pair()
    model.recurrent_weight.requires_grad_(False)
    result = nr.fit(model, WIN, n_seeds=2, max_epochs=20, rng=0)
    assert torch.equal(result.model.recurrent_weight, model.recurrent_weight)


@pytest.mark.slow
def test_intervals_do_not_move_the_estimate():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain, none = (
            nr.fit(pair(), WIN, optimizer="adam", max_epochs=40, intervals=i, rng=0)
            for i in (True, False)
        )
    assert torch.equal(plain.model.tau, none.model.tau)
    assert "intervals" not in none.methods_text()
