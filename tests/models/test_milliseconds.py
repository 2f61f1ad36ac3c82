"""Clocks in ms are suspected; clocks in s, and clocks that name their unit, are not."""

import warnings

import numpy as np
import pytest

import neurornn as nr
from neurornn._core.errors import UnitWarning


@pytest.mark.parametrize(
    ("kind", "options", "wanted"),
    [
        ("LeakyRNN", {"dt": 10.0, "tau": 100.0}, "dt=0.01"),
        ("LeakyRNN", {"dt": 1.0, "tau": 20.0}, "dt=0.001"),
        ("LeakyRNN", {"dt": 1, "tau": [5.0, 100.0]}, "dt=0.001"),
        ("GRU", {"dt": 20.0}, "dt=0.02"),
        ("LSTM", {"dt": 1.0, "tau": 50.0}, "dt=0.001"),
        ("VanillaRNN", {"dt": 33.3}, "dt=0.0333"),
    ],
)
def test_a_clock_in_ms_is_suspected(kind, options, wanted):
    with pytest.warns(UnitWarning, match=f"Are these ms.*{wanted}"):
        getattr(nr.models, kind)(2, 2, 1, rng=0, **options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LeakyRNN", {"dt": 0.01, "tau": 50.0}),
        ("LeakyRNN", {"dt": 1.0, "tau": 2.0}),
        ("LeakyRNN", {"dt": 10.0, "tau": 100.0, "time_unit": "bp"}),
        ("GRU", {"dt": 3600.0, "time_unit": "h"}),
        ("GRU", {"dt": 1.0}),
    ],
)
def test_a_clock_in_s_or_in_a_unit_that_is_named_is_not(kind, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnitWarning)
        getattr(nr.models, kind)(2, 2, 1, rng=0, **options)


@pytest.mark.slow
def test_a_frame_interval_in_ms_is_no_rate():
    trace = np.random.default_rng(0).standard_normal((600, 1))
    kinetics = nr.calcium.Kinetics
    for interval, rate in ((33.3, 30), (33.33, 30), (66.7, 15), (16.67, 60), (133.3, 7.5)):
        with pytest.warns(UnitWarning, match=f"frame interval of .* Then pass {rate:g}"):
            kinetics().fit(trace, sampling_rate=interval)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnitWarning)
        for rate in (30.0, 15.5, 33.0, 40, 50.0, 66, 100.0, 7.5):
            kinetics().fit(trace, sampling_rate=rate)
