"""Names of units that came with the data are kept as scikit-learn keeps them."""

import numpy as np
import pandas as pd
import pytest

import neurornn as nr


@pytest.fixture
def session():
    rng = np.random.default_rng(0)
    velocity = rng.normal(size=(500, 2))
    return rng.poisson(np.exp(0.5 * velocity @ rng.normal(size=(2, 3)))), velocity


def test_columns_of_a_table_are_the_names_of_a_decoder_saved_and_loaded(session, tmp_path):
    counts, velocity = session
    table = pd.DataFrame(counts, columns=["left", "mid", "right"])
    decoder = nr.decode.RidgeDecoder(0.05, n_lags=2).fit(table, velocity)
    assert decoder.feature_names_in_.tolist() == ["left", "mid", "right"]
    decoder.save(tmp_path / "d")
    assert nr.load(tmp_path / "d").feature_names_in_.tolist() == ["left", "mid", "right"]
    # A plain array has none, and neither has what was fitted to one afterwards.
    assert not hasattr(decoder.fit(counts, velocity), "feature_names_in_")


def test_cells_that_are_labelled_are_the_names_of_kinetics(tmp_path):
    dff = nr.simulate.simulate_calcium(2, 40.0, 20.0, snr=10, rng=0)["dff"]
    named = dff.assign_coords(unit=["roi 7", "roi 9"])
    kinetics = nr.calcium.Kinetics(tau_rise=False).fit(named)
    assert kinetics.feature_names_in_.tolist() == ["roi 7", "roi 9"]
    kinetics.save(tmp_path / "k.nc")
    assert nr.load(tmp_path / "k.nc").feature_names_in_.tolist() == ["roi 7", "roi 9"]
    assert not hasattr(nr.calcium.Kinetics(tau_rise=False).fit(dff), "feature_names_in_")
