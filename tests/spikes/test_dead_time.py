"""Dead times: without them rates look steadier and slower than they are, with them they do not."""

import numpy as np
import pytest
from scipy import optimize

import neurornn as nr
from neurornn._core.errors import DataError
from neurornn.cli import main
from neurornn.spikes.latent_likelihood import OneLatent
from neurornn.spikes.timescale_fit import _n_merged
from neurornn.spikes.timescale_records import as_rows, with_dead_time

DEAD = 0.004


def recording(seed, n_units=1, *, duration, rate=40.0, tau=0.1, sd=0.6):
    """Spikes in exact time of units that share a latent and have a dead time."""
    z = nr.simulate.simulate_latent_population(1, duration, tau=tau, bin_size=0.001, rng=seed)
    return nr.simulate.simulate_spike_trains(
        n_units, duration, rate=rate, dead_time=DEAD, recovery=0.0, adaptation=0.0,
        stimulus=sd * z["latents"].values[:, 0] - sd**2 / 2, stimulus_filter=[1.0], rng=seed,
    )  # fmt: skip


@pytest.mark.parametrize("pooled", [True, False])
def test_time_constant_and_amplitude_of_units_with_a_dead_time(pooled):
    spikes = recording(1, 10 if pooled else 1, duration=60.0 if pooled else 300.0)
    fits = {
        dead: nr.spikes.Timescales(bin_size=0.01, pooled=pooled, refractory_period=dead).fit(
            spikes
        )
        for dead in (0.0, DEAD)
    }
    low, high = fits[DEAD].parameters_["tau_ci"].values[0]
    assert low < 0.1 < high
    low, high = fits[DEAD].parameters_["amplitude_ci"].values[0]
    # A dead time taken as known to the ms, in bins of 10 ms: 5 % beside the interval.
    assert 0.95 * low < 0.6 < 1.05 * high
    assert fits[0.0].parameters_["amplitude_ci"].values[0, 1] < 0.6
    assert fits[0.0].parameters_["tau"].values[0] > 1.1 * fits[DEAD].parameters_["tau"].values[0]
    assert "dead time of 0.004 s" in fits[DEAD].methods_text()
    assert "dead time" not in fits[0.0].methods_text()


@pytest.mark.slow
def test_several_time_constants_of_units_with_a_dead_time():
    spikes = recording(2, 8, duration=60.0)
    sizes = []
    for dead in (0.0, DEAD):
        fit = nr.spikes.Timescales(
            "auto", max_timescales=2, bin_size=0.01, pooled=True, refractory_period=dead
        ).fit(spikes)  # fmt: skip
        assert fit.parameters_.sizes["timescale"] == 1
        sizes.append(float(fit.parameters_["amplitude"][0]))
    # One latent fitted as several are takes the dead time as well.
    assert sizes[0] < 0.55 < sizes[1] < 0.7


def test_share_of_a_bin_that_spikes_take():
    times = nr.simulate.simulate_spike_trains(
        1, 2000.0, rate=60.0, dead_time=DEAD, recovery=0.0, adaptation=0.0, rng=0
    )["spike_times"].values  # fmt: skip
    n_bins = 200_000
    counts = np.histogram(times, 0.01 * np.arange(n_bins + 1))[0]
    # What each dead time blocks of the bin of its spike, and of the next.
    at = np.minimum((times / 0.01).astype(int), n_bins - 2)
    beyond = np.maximum(times + DEAD - 0.01 * (at + 1), 0.0)
    truth = np.bincount(at, DEAD - beyond, n_bins) + np.bincount(at + 1, beyond, n_bins)
    rows = with_dead_time(
        as_rows(np.stack([counts, counts], axis=1).astype(float), np.array([0, n_bins]), 0.01),
        DEAD,
    )
    assert rows.lost is not None
    before = np.concatenate([[0], counts[:-1]])
    for own, earlier in ((0, 0), (0, 1), (1, 0), (2, 0), (1, 1)):
        alike = (counts == own) & (before == earlier)
        # A spike after a spike lies later than an even draw says: 4 % of a bin.
        assert rows.lost[alike, 0].mean() == pytest.approx(truth[alike].mean() / 0.01, abs=0.05)
    # One unit has a pattern for each kind of row, with the same shares.
    alone = with_dead_time(
        as_rows(counts[:, None].astype(float), np.array([0, n_bins]), 0.01), DEAD
    )
    assert alone.lost is None
    np.testing.assert_allclose(
        1 - np.exp(alone.offset[alone.pattern, 0]), rows.lost[:, 0], atol=1e-8
    )


def test_what_the_last_spike_of_a_trial_takes_is_not_of_the_next():
    counts = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    lost = with_dead_time(as_rows(counts, np.array([0, 2, 4]), 0.01), DEAD).lost
    assert lost is not None
    assert lost[2].tolist() == [0.0, 0.0]
    assert lost[1, 1] > 0
    assert lost[1, 0] == pytest.approx(0.32)


@pytest.mark.parametrize(("within", "n_nodes"), [(False, 1), (True, 1), (True, 5)])
def test_slope_is_that_of_the_likelihood(within, n_nodes):
    record = nr.simulate.simulate_latent_population(
        3, 4.0, tau=0.1, rate=20.0, n_trials=3, rng=0
    )["counts"].values.astype(float)  # fmt: skip
    record[1, 50:90, 1] = np.nan
    rows = with_dead_time(as_rows(record.reshape(-1, 3), np.arange(0, 1201, 400), 0.01), DEAD)
    model = OneLatent(rows, within=within)
    x = np.concatenate([[np.log(0.1)], np.log(np.nanmean(record, axis=(0, 1))), [0.8, -0.5, 0.3]])
    model.set_grid(x[0], x[4:])
    model.n_nodes = n_nodes
    slope = model.value(x[0], x[1:4], x[4:])[1]
    numbers = optimize.approx_fprime(
        x, lambda v: model.value(v[0], v[1:4], v[4:], slope=False)[0], 1e-5
    )
    # Forward differences of 1e-5 are right to about 1e-5 of the curvature, some hundreds.
    np.testing.assert_allclose(slope, numbers, atol=2e-2)


def test_nothing_lost_is_the_likelihood_without():
    counts = nr.simulate.simulate_latent_population(4, 5.0, rng=1)["counts"].values.astype(float)
    rows = as_rows(counts, np.array([0, len(counts)]), 0.01)
    at = (np.log(0.1), np.log(counts.mean(axis=0)), np.full(4, 0.6))
    values = []
    for given in (rows, rows._replace(lost=np.zeros_like(counts))):
        model = OneLatent(given)
        model.set_grid(at[0], at[2])
        values.append(model.value(*at))
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-12)
    np.testing.assert_allclose(values[0][1], values[1][1], atol=1e-5)


def test_a_dead_time_in_ms_is_refused():
    counts = np.ones((50, 2), dtype=int)
    with pytest.raises(DataError, match="in s, not ms"):
        nr.spikes.Timescales(bin_size=0.01, refractory_period=4.0).fit(counts)
    with pytest.raises(DataError, match="refractory_period"):
        nr.spikes.Timescales(bin_size=0.01, refractory_period=-0.001).fit(counts)


def test_a_dead_time_that_the_spikes_contradict_is_refused():
    counts = np.random.default_rng(0).poisson(1.0, (500, 2))
    with pytest.raises(DataError, match="more spikes than a dead time"):
        nr.spikes.Timescales(bin_size=0.01, refractory_period=0.01, pooled=True).fit(counts)


def test_rows_of_one_unit_with_a_dead_time_stay_apart():
    counts = np.random.default_rng(0).poisson(0.3, (400, 1)).astype(float)
    rows = as_rows(counts, np.array([0, 400]), 0.01)
    at = {"log_tau": np.log(5.0), "loading": np.array([0.3]), "rest": 0.3}
    assert _n_merged(rows, **at) > 1
    assert _n_merged(with_dead_time(rows, 0.002), **at) == 1
    # A rate that is known beforehand does not keep rows apart.
    locked = rows._replace(
        pattern=np.arange(400) % 4, known=np.ones((4, 1)), offset=np.log([[1], [2], [1], [0.5]])
    )
    assert _n_merged(locked, **at) > 1


@pytest.mark.slow
def test_the_command_takes_a_dead_time(tmp_path, capsys):
    path = tmp_path / "session.nc"
    recording(1, 3, duration=20.0, rate=15.0).to_netcdf(path)
    told = {}
    for dead in ("0", "0.004"):
        out = tmp_path / f"tau{dead}.nc"
        options = ["--bin_size", "0.01", "--pooled", "true", "--refractory_period", dead]
        assert main(["timescales", str(path), "--out", str(out), *options]) == 0
        told[dead] = nr.load(out)
        assert told[dead].refractory_period == float(dead)
        assert told[dead].report() in capsys.readouterr().out
    amplitude = [float(t.parameters_["amplitude"][0]) for t in told.values()]
    assert amplitude[0] != amplitude[1]
