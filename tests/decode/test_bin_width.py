"""The width of the bins: as asked for, as the counts say, or said to be a guess."""

import warnings

import numpy as np
import pytest
import xarray as xr

import neurornn as nr
from neurornn._core.errors import DataError, UnitError, UnitWarning


def data(n=400, seed=0):
    rng = np.random.default_rng(seed)
    velocity = np.cumsum(rng.standard_normal((n, 2)), 0) * 0.1
    rate = np.exp(0.5 * velocity @ rng.standard_normal((2, 8)))
    return rng.poisson(rate), velocity


def labelled(counts, width):
    time = np.arange(1, len(counts) + 1) * width
    return xr.DataArray(counts, dims=("time", "unit"), coords={"time": time})


def test_a_width_that_nobody_gave_is_said():
    counts, velocity = data()
    with pytest.warns(UnitWarning, match=r"Nobody said .* 0\.05 s.*bin_size"):
        decoder = nr.decode.RidgeDecoder(n_lags=2).fit(counts, velocity)
    assert decoder.bin_size is None and decoder.bin_size_ == 0.05
    with pytest.warns(UnitWarning, match=r"0\.1 s"):
        nr.decode.PlaceDecoder().fit(counts, velocity)


@pytest.mark.parametrize("how", ["setting", "time", "attrs", "list"])
def test_a_width_that_is_known_is_taken_without_a_word(how, tmp_path):
    counts, velocity = data()
    given, settings = counts, {}
    if how == "setting":
        settings = {"bin_size": 0.02}
    elif how == "time":
        given = labelled(counts, 0.02)
    elif how == "attrs":
        given = xr.DataArray(counts, dims=("time", "unit"), attrs={"bin_size": 0.02})
    else:
        given = [labelled(counts[:200], 0.02), labelled(counts[200:], 0.02)]
        velocity = [velocity[:200], velocity[200:]]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnitWarning)
        decoder = nr.decode.KalmanFilter(lag=0, **settings).fit(given, velocity)
    assert decoder.bin_size_ == pytest.approx(0.02)
    assert decoder.stream().bin_size == pytest.approx(0.02)
    assert "bins of 0.02 s" in decoder.report()
    decoder.save(tmp_path / "decoder")
    again = nr.load(tmp_path / "decoder")
    assert again.bin_size_ == decoder.bin_size_ and again.bin_size == decoder.bin_size
    with pytest.raises(UnitError, match=r"bins of 0\.05 s"):
        again.predict(labelled(counts, 0.05))


def test_a_place_decoder_counts_per_second_of_the_bins_it_was_given():
    """Rates in Hz of cells that fire .6 spikes a bin everywhere: 30 Hz in bins of 20 ms."""
    rng = np.random.default_rng(0)
    place = np.cumsum(rng.standard_normal((2000, 1)), 0)
    counts = rng.poisson(0.6, (2000, 3))
    decoder = nr.decode.PlaceDecoder().fit(labelled(counts, 0.02), place)
    # The mean over a map weighs places alike: 6,000 bins in all give it to some per cent.
    assert float(decoder.maps_.mean()) == pytest.approx(30.0, rel=0.1)


def test_cross_scores_know_the_width_that_the_counts_state():
    counts, velocity = data(900)
    given = labelled(counts, 0.1)
    splits = [
        nr.data.cross_score(
            nr.decode.WienerFilter(width, n_lags=2, smoothing=0.2), given, velocity
        )
        for width in (None, 0.1)
    ]
    assert splits[0].identical(splits[1])


def test_trains_are_counted_in_bins_of_the_targets():
    counts, velocity = data()
    trains = {f"u{k}": np.repeat(np.arange(400), c) * 0.1 + 0.05 for k, c in enumerate(counts.T)}
    target = labelled(velocity, 0.1).rename(unit="output")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnitWarning)
        decoder = nr.decode.KalmanFilter(lag=0).fit(trains, target)
    assert decoder.bin_size_ == pytest.approx(0.1)


def test_labels_of_no_bin_have_no_score():
    counts, velocity = data()
    side = np.where(velocity[:, 0] > 0, "right", "left")
    decoder = nr.decode.TargetDecoder(0.05).fit(counts, side)
    with pytest.raises(DataError, match="No bin has a unit that was recorded"):
        decoder.score(np.full(counts.shape, np.nan), side)
