"""A table that is there is not written over unless it is asked for."""

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import FileWriteError, ThreePartError


def estimator():
    rng = np.random.default_rng(0)
    x = rng.poisson(2.0, (200, 3)).astype(float)
    return nr.decode.RidgeDecoder(n_lags=1, power=1.0, bin_size=0.05).fit(x, x[:, :1])


def result():
    return nr.dynamics.find_fixed_points(lambda h: np.tanh(2 * h), n_hidden=1, dt=0.01)


@pytest.mark.parametrize("make", [estimator, result])
def test_a_table_that_is_there_is_kept(make, tmp_path):
    made, path = make(), tmp_path / "table.csv"
    made.to_csv(path)
    written = path.read_text()
    path.write_text("mine\n")
    with pytest.raises(FileWriteError, match=r"table\.csv"):
        made.to_csv(path)
    assert path.read_text() == "mine\n"
    made.to_csv(path, overwrite=True)
    assert path.read_text() == written


def test_an_audit_in_one_fold_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ThreePartError, match="n_splits"):
        nr.data.audit(rng.standard_normal((40, 2)), rng.integers(0, 2, 40), n_splits=1)
