"""Means, histories and held-out bins: what a fit may and may not learn from."""

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, UnitError
from neurornn.decode.network_training import held_out_rows

BIN_SIZE = 0.05


def smooth(rng, n, n_out=2):
    x = np.zeros((n, n_out))
    for t in range(1, n):
        x[t] = 0.9 * x[t - 1] + 0.44 * rng.standard_normal(n_out)
    return x


def test_a_kalman_filter_knows_the_level_of_its_units_where_targets_are_known():
    # Half of the recording is without targets, and the units fire a third as much there.
    rng = np.random.default_rng(0)
    x, tuning = smooth(rng, 6000), 0.4 * rng.normal(size=(2, 30))
    rate = np.exp(x @ tuning + 0.7)
    rate[:2000] *= 0.3
    counts, targets = rng.poisson(rate).astype(float), x.copy()
    targets[:2000] = np.nan
    settings = {"bin_size": BIN_SIZE, "power": 1.0, "lag": 0}
    whole = nr.decode.KalmanFilter(**settings).fit(counts[:4000], targets[:4000])
    known = nr.decode.KalmanFilter(**settings).fit(counts[2000:4000], targets[2000:4000])
    scores = [d.score(counts[4000:], x[4000:]) for d in (whole, known)]
    # The same 2000 bins teach both; only the z-score differs, which a linear filter undoes. The
    # first would be worse by .03 and off by .3 without the level of the known bins.
    assert scores[0] == pytest.approx(scores[1], abs=0.005)
    away = (whole.predict(counts[4000:]) - x[4000:]).mean(axis=0)
    assert np.abs(away).max() < 0.1  # 2000 bins of a memory of 10: 200 independent errors of .5


@pytest.mark.parametrize("lag", [2, 4])
def test_a_lag_is_learned_from_bins_that_have_one(lag):
    # Trials of ten bins: the first `lag` of each have no counts to follow.
    rng = np.random.default_rng(1)
    x, tuning = smooth(rng, 6000), 0.4 * rng.normal(size=(2, 30))
    ahead = np.concatenate([x[lag:], np.zeros((lag, 2))])
    counts = rng.poisson(np.exp(ahead @ tuning)).astype(float)
    trials = np.arange(4000) // 10
    settings = {"bin_size": BIN_SIZE, "power": 1.0, "lag": lag}
    cut = nr.decode.KalmanFilter(**settings).fit(counts[:4000], x[:4000], trials=trials)
    whole = nr.decode.KalmanFilter(**settings).fit(counts[:4000], x[:4000])
    # Of 4000 bins 10 - lag in ten are left: their errors differ by less than a tenth.
    np.testing.assert_allclose(
        np.linalg.norm(cut.observation_), np.linalg.norm(whole.observation_), rtol=0.05
    )
    scores = [d.score(counts[4000:], x[4000:]) for d in (cut, whole)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
    with pytest.raises(DataError, match="longest stretch has 10 bins"):
        nr.decode.KalmanFilter(**{**settings, "lag": 12}).fit(
            counts[:4000], x[:4000], trials=trials
        )


def test_matrices_are_copied():
    a, k = 0.5 * np.eye(2), np.ones((2, 3))
    decoder = nr.decode.KalmanFilter.from_matrices(transition=a, gain=k, bin_size=BIN_SIZE)
    before = decoder.stream().step(np.ones(3))
    a *= 0
    k *= 0
    assert (decoder.stream().step(np.ones(3)) == before).all() and (before == 3).all()


def test_outputs_are_scored_in_the_order_and_unit_of_the_fit():
    rng = np.random.default_rng(2)
    x = smooth(rng, 1000)
    counts = rng.poisson(np.exp(0.5 * x @ rng.normal(size=(2, 20)))).astype(float)
    y = xr.DataArray(
        x, dims=("time", "output"), coords={"output": ["x", "y"]}, attrs={"units": "cm/s"}
    )
    decoder = nr.decode.RidgeDecoder(BIN_SIZE, n_lags=2, power=1.0).fit(counts, y)
    with pytest.raises(DataError, match=r"\['y', 'x'\], those of the fit \['x', 'y'\]"):
        decoder.score(counts, y.isel(output=[1, 0]))
    with pytest.raises(UnitError, match="m/s"):
        decoder.score([counts], [y.assign_attrs(units="m/s")])
    with pytest.raises(DataError, match="No bin has a unit that was recorded and a target"):
        decoder.score(counts, np.full_like(x, np.nan))


def test_what_is_held_out_has_targets_and_is_not_trained_on():
    decoder = nr.decode.RecurrentDecoder(bin_size=BIN_SIZE, window=20, validation_fraction=0.2)
    known = np.ones(1000, dtype=bool)
    known[700:] = False
    train, test = held_out_rows(known, decoder)
    assert not set(train.tolist()) & set(test.tolist())
    # A fifth of the 700 known bins.
    assert len(test) == pytest.approx(140, abs=2) and known[test].all()


@pytest.mark.slow
def test_intervals_of_networks_hold_in_short_sessions_too():
    rng = np.random.default_rng(3)
    tuning = 0.5 * rng.normal(size=(2, 20))
    inside = []
    for seed in range(6):
        draw = np.random.default_rng(100 + seed)
        x = smooth(draw, 2500)
        counts = draw.poisson(np.exp(x @ tuning)).astype(float)
        decoder = nr.decode.RecurrentDecoder(
            "leaky", bin_size=BIN_SIZE, n_hidden=8, n_seeds=1, max_epochs=15, window=30,
            validation_fraction=0.2, rng=seed,
        ).fit(counts[:1000], x[:1000])  # fmt: skip
        _, interval = decoder.predict(counts[1000:], return_interval=True)
        inside.append(((x[1000:] >= interval[..., 0]) & (x[1000:] <= interval[..., 1])).mean())
    # 100 held-out bins of a memory of ten know the level to 6 % each, six sessions to 2.5 %.
    assert np.mean(inside) == pytest.approx(0.9, abs=0.05)
