"""A warning points at the line of whoever called the package, however deep it arose."""

import warnings

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning, UnitWarning

SERIES = np.random.default_rng(0).normal(size=(200, 3))
WIN = nr.simulate.simulate_rate_trials(2, 4, 0.5, 0.01, rng=0)


def one_fit(**options):
    nr.fit(nr.models.LeakyRNN(16, 4, 2, dt=0.01, tau=0.1, rng=0), WIN, max_epochs=2, **options)


@pytest.mark.parametrize(
    ("call", "category"),
    [
        (lambda: one_fit(optimizer="adam"), ConvergenceWarning),
        (lambda: one_fit(optimizer="adam", n_seeds=2), ConvergenceWarning),
        (lambda: nr.models.GRU(3, 4, 2, dt=20.0), UnitWarning),
        (
            lambda: nr.decode.KalmanFilter().fit(np.round(SERIES**2), SERIES[:, :2]),
            UnitWarning,
        ),
    ],
    ids=["fit", "seeds", "model", "decoder"],
)
def test_the_line_of_the_caller_is_told(call, category):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    told = [w for w in caught if w.category is category]
    assert told and all(w.filename == __file__ for w in told)
