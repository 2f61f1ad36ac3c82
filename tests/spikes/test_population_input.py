"""What labs hand over, and what is wrong with it: a number, a status or an explained error."""

import numpy as np
import pandas as pd
import pytest

import neurornn as nr
from neurornn._core.errors import ThreePartError

MODELS = {
    "units alone": lambda: nr.spikes.Timescales(bin_size=0.01),
    "pooled": lambda: nr.spikes.Timescales(bin_size=0.01, pooled=True),
    "linear": lambda: nr.spikes.PoissonDynamics(1, bin_size=0.01, max_steps=20),
}


@pytest.fixture(scope="module")
def counts():
    record = nr.simulate.simulate_latent_population(3, 15.0, tau=0.1, rng=0)
    return record["counts"].values


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def _odd(counts):
    with_nan, gap = counts.astype(float), counts.astype(float)
    with_nan[:, 1] = np.nan
    gap[300:500] = np.nan
    lone = np.zeros((500, 2), dtype=int)
    lone[100, 0] = 1
    return {
        "one trial": counts[None, :200],
        "trials of two bins": counts[:200].reshape(100, 2, 3),
        "trials of one bin": counts[:200].reshape(200, 1, 3),
        "a unit not observed": with_nan,
        "a gap": gap,
        "constant": np.ones((400, 2), dtype=int),
        "one spike": lone,
        "silent": np.zeros((400, 2), dtype=int),
        "many spikes": np.random.default_rng(0).poisson(1e4, (300, 2)),
        "busy trials of two bins": np.random.default_rng(1).poisson(2.0, (100, 2, 2)),
        "three bins": np.array([[1], [0], [2]]),
        "one byte": counts.astype("uint8"),
        "single precision": counts.astype("float32"),
    }


@pytest.mark.parametrize("name", _odd(np.ones((1500, 3), dtype=int)))
def test_odd_counts_have_a_number_or_a_status(counts, model, name):
    try:
        fit = model.fit(_odd(counts)[name])
    except ThreePartError:
        return
    table = fit.parameters_
    status = np.atleast_1d(table["status"].values)
    tau = table["tau"].values.reshape(len(status), -1)
    known = np.isfinite(tau).all(axis=1)
    # No number without a word, and a word for every number that is missing.
    assert np.all(known | (status != "ok"))
    assert fit.report()


@pytest.mark.parametrize(
    "wrong", ["empty", "no unit", "negative", "endless", "fractions", "text", "nothing observed"]
)
def test_what_is_no_counts_is_explained(counts, model, wrong):
    given = {
        "empty": np.zeros((0, 2)), "no unit": np.zeros((10, 0)), "negative": -counts,
        "endless": np.where(counts > 0, np.inf, 0.0), "fractions": counts / 3,
        "text": np.array([["a", "b"]]), "nothing observed": np.full((50, 2), np.nan),
    }  # fmt: skip
    with pytest.raises(ThreePartError):
        model.fit(given[wrong])


@pytest.mark.slow
def test_a_table_and_ragged_trials_and_trains(counts):
    frame = pd.DataFrame(
        counts, index=pd.Index(0.01 * np.arange(1, len(counts) + 1), name="time"),
        columns=["a", "b", "c"],
    )  # fmt: skip
    fit = nr.spikes.Timescales(bin_size=0.01).fit(frame)
    assert fit.units_.tolist() == ["a", "b", "c"]
    plain = nr.spikes.Timescales(bin_size=0.01).fit(counts)
    np.testing.assert_array_equal(fit.parameters_["tau"], plain.parameters_["tau"])
    lists = nr.spikes.Timescales(bin_size=0.01, pooled=True).fit(
        [counts[:400], counts[400:1000], counts[1000:]]
    )
    assert lists.duration_ == pytest.approx(15.0)
    trains = [np.sort(np.random.default_rng(k).uniform(0, 20, 150)) for k in range(2)]
    assert nr.spikes.Timescales(bin_size=0.02).fit(trains).fitted_bin_size_ == 0.02
    with pytest.raises(ThreePartError, match="bin_size"):
        nr.spikes.Timescales().fit(trains)


# What coordinated dropout hides and scores


@pytest.fixture(scope="module")
def trainer():
    from neurornn.spikes import autoencoder_training

    kept = {}
    original = autoencoder_training.Trainer.__init__

    def remember(self, *args, **kwargs):
        original(self, *args, **kwargs)
        kept["trainer"] = self

    patch = pytest.MonkeyPatch()
    patch.setattr(autoencoder_training.Trainer, "__init__", remember)
    record = nr.simulate.simulate_latent_population(5, 0.4, n_trials=20, tau=0.2, rng=1)
    given = record["counts"].astype(float)
    given[3, 25:] = np.nan
    given[5, :, 2] = np.nan
    nr.spikes.SequentialAutoencoder(2, n_hidden=6, n_encoder=6, n_initial=2, max_epochs=1).fit(
        given
    )
    patch.undo()
    return kept["trainer"]


def test_units_that_were_not_observed_do_not_stop_the_others(counts):
    wide = np.full((len(counts), 20), np.nan)
    wide[:, [0, 18, 19]] = counts
    fit = nr.spikes.Timescales(bin_size=0.01).fit(wide)
    assert fit.parameters_["status"].values[1:18].tolist() == ["no_data"] * 17
    late = np.full((len(counts), 12), np.nan)
    late[:, 10] = counts[:, 0]
    own = nr.spikes.Timescales(bin_size=0.01).fit(late)
    assert own.parameters_["status"].values[0] == "no_data"
    assert own.parameters_["tau"].values[10] == pytest.approx(
        fit.parameters_["tau"].values[0], rel=1e-6
    )


def _with_gaps(trainer):
    return next(t for t in trainer.train if t.known is not None)


def test_scored_are_known_counts_that_the_encoder_did_not_see(trainer):
    import torch

    from neurornn.spikes.autoencoder_training import scored

    trials = _with_gaps(trainer)
    kept = trainer._kept(trials)
    assert not bool((kept & ~trials.known).any())
    told = scored(trials, kept)
    assert bool((told == (trials.known & ~kept)).all())
    # What was seen has no part in the slope of the loss; what was not has.
    log_rates = torch.zeros(trials.counts.shape, requires_grad=True)
    trainer._misfit(log_rates, trials, kept).backward()
    assert bool((log_rates.grad[~told] == 0).all())
    assert bool((log_rates.grad[told] != 0).any())


def test_whole_units_are_hidden_in_training(trainer):
    trials = _with_gaps(trainer)
    plan = trainer.plan
    trainer.plan = plan._replace(coordinated_dropout=0.0, unit_dropout=0.3)
    seen = [trainer._kept(trials) for _ in range(40)]
    trainer.plan = plan
    hidden = np.array([float((~k.any(dim=1))[:, [0, 1, 3, 4]].float().mean()) for k in seen])
    # 40 times 16 trials of 4 units, a share between 0 and .6 in each trial: right to .01.
    assert hidden.mean() == pytest.approx(0.3, abs=0.04)


def test_held_out_trials_are_not_trained_on(trainer):
    def rows(trials):
        return {t.numpy().tobytes() for t in trials.counts}

    watched = set().union(*(rows(t) for t in trainer.watch))
    trained = set().union(*(rows(t) for t in trainer._batches()))
    assert watched
    assert not watched & trained
    assert len(watched) + len(trained) == 20


def test_what_is_held_out_is_told_from_the_others_alone(trainer):
    from neurornn.spikes.autoencoder_inference import score_held_out, told_apart
    from neurornn.spikes.autoencoder_training import Trials

    trials = _with_gaps(trainer)
    expected = told_apart(trainer.network, trials, 4)
    for trial, time, unit in ((0, 3, 1), (7, 20, 4), (12, 39, 0)):
        if not bool(trials.known[trial, time, unit]):
            continue
        counts = trials.counts.clone()
        counts[trial, time, unit] += 6
        moved = told_apart(trainer.network, Trials(counts, trials.known, trials.lengths, 0), 4)
        assert moved[trial, time, unit] == expected[trial, time, unit]
        # The others see it.
        assert np.abs(moved[trial] - expected[trial]).max() > 0
    found = score_held_out(trainer.network, trials, seed=4, confidence_level=0.95)
    seen = np.where(trials.known.numpy(), trials.counts.numpy(), np.nan)
    for unit in range(5):
        one = nr.spikes.bits_per_spike(expected[..., [unit]], seen[..., [unit]])
        assert found.bits[unit] == pytest.approx(one, rel=1e-5)
        low, high = found.interval[unit]
        assert low < found.bits[unit] < high


def test_what_was_not_observed_does_not_reach_the_encoder(trainer):
    import torch

    from neurornn.spikes.autoencoder_training import Trials, encoded

    trials = _with_gaps(trainer)
    counts = torch.where(trials.known, trials.counts, torch.tensor(50.0))
    other = Trials(counts, trials.known, trials.lengths, 0)
    with torch.no_grad():
        one, two = (encoded(trainer.network, t, None).mean for t in (trials, other))
    assert torch.equal(one, two)


# The command


def test_command_prints_and_writes_the_table(tmp_path, capsys, monkeypatch):
    from neurornn.cli import main

    counts = nr.simulate.simulate_latent_population(8, 40.0, tau=0.2, rng=0)["counts"].values
    times = [np.repeat(np.arange(len(c)), c) * 0.01 + 0.005 for c in counts.T]
    record = nr.data.from_spikes(times, t_start=0.0, t_stop=40.0)
    record.to_netcdf(tmp_path / "rec.nc", engine="h5netcdf")
    monkeypatch.chdir(tmp_path)
    arguments = ["timescales", "rec.nc", "--bin_size", "0.05", "--pooled", "true",
                 "--progress", "false"]  # fmt: skip
    assert main([*arguments, "--out", "tau.nc", "--csv", "tau.csv", "--figures", "f"]) == 0
    said = capsys.readouterr().out
    fit = nr.spikes.Timescales(bin_size=0.05, pooled=True).fit(record)
    assert fit.report() in said
    assert nr.load(tmp_path / "tau.nc").report() == fit.report()
    assert "tau (s)" in (tmp_path / "tau.csv").read_text().splitlines()[0]
    assert (tmp_path / "f" / "autocorrelation.png").stat().st_size > 3000
    (tmp_path / "own.csv").write_text("mine\n1\n")
    assert main([*arguments, "--csv", "own.csv"]) != 0
    assert (tmp_path / "own.csv").read_text() == "mine\n1\n"
