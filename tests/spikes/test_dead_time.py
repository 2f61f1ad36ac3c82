"""Dead times: without them rates look steadier and slower than they are, with them they do not."""

import numpy as np
import pytest
from scipy import optimize
from scipy.signal import lfilter

import neurornn as nr
from neurornn._core.errors import DataError
from neurornn.cli import main
from neurornn.spikes.latent_likelihood import OneLatent
from neurornn.spikes.timescale_fit import _n_merged
from neurornn.spikes.timescale_records import as_rows, with_dead_time

STEP, DEAD = 0.0002, 0.004


def fired(rate, rng):
    """Counts in bins of 10 ms of a unit with a dead time; `rate` in steps of `STEP`, Hz."""
    found, last = [], -np.inf
    for k in np.flatnonzero(rng.random(len(rate)) < rate * STEP):
        if (k - last) * STEP >= DEAD:
            found.append(k)
            last = k
    return np.bincount(np.array(found) // 50, minlength=len(rate) // 50)


def latent_rate(rng, *, duration, rate=40.0, tau=0.1, sd=0.6):
    keep, n = np.exp(-STEP / tau), round(duration / STEP)
    noise = rng.standard_normal(n) * np.sqrt(1 - keep**2)
    noise[0] = rng.standard_normal()
    return rate * np.exp(sd * lfilter([1.0], [1.0, -keep], noise) - sd**2 / 2)


@pytest.mark.parametrize("pooled", [True, False])
def test_time_constant_and_amplitude_of_units_with_a_dead_time(pooled):
    rng = np.random.default_rng(1)
    rate = latent_rate(rng, duration=60.0 if pooled else 300.0)
    counts = np.stack([fired(rate, rng) for _ in range(10 if pooled else 1)], axis=1)
    fits = {
        dead: nr.spikes.Timescales(bin_size=0.01, pooled=pooled, refractory=dead).fit(counts)
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
    rng = np.random.default_rng(2)
    rate = latent_rate(rng, duration=60.0)
    counts = np.stack([fired(rate, rng) for _ in range(8)], axis=1)
    sizes = []
    for dead in (0.0, DEAD):
        fit = nr.spikes.Timescales(
            "auto", max_timescales=2, bin_size=0.01, pooled=True, refractory=dead
        ).fit(counts)  # fmt: skip
        assert fit.parameters_.sizes["timescale"] == 1
        sizes.append(float(fit.parameters_["amplitude"][0]))
    # One latent fitted as several are takes the dead time as well.
    assert sizes[0] < 0.55 < sizes[1] < 0.7


def test_share_of_a_bin_that_spikes_take():
    rng = np.random.default_rng(0)
    n_bins, n_fine = 200_000, 50
    counts = fired(np.full(n_bins * n_fine, 60.0), rng)
    # The same once more, with the times kept: which steps of a bin were blocked.
    rng = np.random.default_rng(0)
    at = np.flatnonzero(rng.random(n_bins * n_fine) < 60.0 * STEP)
    blocked, last = np.zeros(n_bins * n_fine, dtype=bool), -np.inf
    n_dead = round(DEAD / STEP)
    for k in at:
        if k - last >= n_dead:
            blocked[k + 1 : k + n_dead] = True
            last = k
    truth = blocked.reshape(n_bins, n_fine).mean(axis=1)
    rows = with_dead_time(
        as_rows(np.stack([counts, counts], axis=1).astype(float), np.array([0, n_bins]), 0.01),
        DEAD,
    )
    assert rows.lost is not None
    before = np.concatenate([[0], counts[:-1]])
    for own, earlier in ((0, 0), (0, 1), (1, 0), (2, 0), (1, 1)):
        alike = (counts == own) & (before == earlier)
        # Steps of 2 % of a bin; a spike after a spike lies later than an even draw says: 4 %.
        assert rows.lost[alike, 0].mean() == pytest.approx(truth[alike].mean(), abs=0.06)
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
        nr.spikes.Timescales(bin_size=0.01, refractory=4.0).fit(counts)
    with pytest.raises(DataError, match="refractory"):
        nr.spikes.Timescales(bin_size=0.01, refractory=-0.001).fit(counts)


def test_a_dead_time_that_the_spikes_contradict_is_refused():
    counts = np.random.default_rng(0).poisson(1.0, (500, 2))
    with pytest.raises(DataError, match="more spikes than a dead time"):
        nr.spikes.Timescales(bin_size=0.01, refractory=0.01, pooled=True).fit(counts)


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


def test_the_command_takes_a_dead_time(tmp_path, capsys):
    rng = np.random.default_rng(1)
    rate = latent_rate(rng, duration=20.0)
    trains = [STEP * np.flatnonzero(rng.random(len(rate)) < 0.3 * rate * STEP) for _ in range(3)]
    path = tmp_path / "session.nc"
    nr.data.from_spikes(trains, t_start=0.0, t_stop=20.0).to_netcdf(path)
    told = {}
    for dead in ("0", "0.004"):
        out = tmp_path / f"tau{dead}.nc"
        options = ["--bin_size", "0.01", "--pooled", "true", "--refractory", dead]
        assert main(["timescales", str(path), "--out", str(out), *options]) == 0
        told[dead] = nr.load(out)
        assert told[dead].refractory == float(dead)
        assert told[dead].report() in capsys.readouterr().out
    amplitude = [float(t.parameters_["amplitude"][0]) for t in told.values()]
    assert amplitude[0] != amplitude[1]
