"""The number the package exists for: tau in seconds with an interval that holds its level.

The full gates with sixty seeds are printed by ``python -m tests.benchmarks``; these are the same
settings with fewer seeds, so that every change is tried against them.
"""

import numpy as np
import pytest

import neurornn as nr
from tests.benchmarks import foundation
from tests.benchmarks.settings import TAU, known_times_bound, one_cell


def parse(row):
    """Median error (%), share covered and median width (%) of a row of the benchmark's table."""
    return float(row[2]), float(row[4].split()[0]), float(row[5])


#: Median width (% of tau) of a 95 % interval at the bound of `known_times_bound`, computed once
#: for the recordings below: 2.42 and 2.41.
WIDTH = 2.42


@pytest.mark.slow
def test_spikes_given():
    rows = list(foundation.spikes_given(seeds=range(3)))
    error, covered, width = parse(next(r for r in rows if r[0] == "all"))
    assert error <= 1.0
    # 18 fits at .95: fewer than 14 covered has probability 0.2 %.
    assert covered >= 14 / 18
    # Which few fits would not notice of an interval of half its width, its width tells.
    assert 0.7 < width / WIDTH < 1.4
    correlation = float(next(r[0] for r in rows if "correlation" in r[0]).split()[-1])
    assert correlation >= 0.95


@pytest.mark.slow
def test_spikes_unknown():
    # Networks are fitted for seeds below 10 alone: here for one in four.
    seeds = (0, 10, 11, 12)
    rows = list(foundation.spikes_unknown(seeds=seeds))
    error, covered, width = parse(next(r for r in rows if r[0] == "all"))
    assert error <= 2.0
    # 24 fits at .95: fewer than 19 covered has probability 0.1 %.
    assert covered >= 19 / 24
    # No narrower than with known times, and hardly wider.
    assert 0.9 < width / WIDTH < 1.6
    difference = float(next(r[0] for r in rows if "difference" in r[0]).split()[-2])
    # Both maximise the same likelihood but for the common size that the network gives the events.
    assert difference < 1.0


@pytest.mark.slow
def test_error_falls_to_the_bound():
    """At SNR 10 the scatter over 30 seeds is that of the Cramer-Rao bound with known times."""
    taus, bounds = [], []
    for seed in range(100, 130):
        recording = one_cell(seed, rate=0.5, snr=10.0)
        taus.append(float(nr.calcium.Kinetics().fit(recording["dff"]).parameters_["tau_decay"][0]))
        bounds.append(known_times_bound(recording))
    rms = np.sqrt(np.mean((np.array(taus) - TAU) ** 2))
    # The sd of an sd of 30 is 13 %, so 1.4 is three of them above 1.
    assert rms <= 1.4 * np.mean(bounds)
