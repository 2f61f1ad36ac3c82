"""Simulators, seeds, sizes and peers of the benchmarks of populations, fixed before the methods.

Long recordings: one latent, exponential link, 40 units of 8 Hz whose log rate has an sd of .8,
600 s in bins of 10 ms, tau of 20, 50, 100, 200 and 500 ms, 40 seeds, streams [seed, 21, tau in
ms]. The bound of a latent that is seen without noise is a relative error of sqrt(2 tau / T).

Short ones: the same with 20 units, tau of 50 and 200 ms, once for 120 s and once as 500 trials of
.6 s, 40 seeds, streams [seed, 22, tau in ms, trials]. Beside them, in the same run where they
install: the exponential fitted to the autocorrelation of counts (the usual way, median unit),
iSTTC as published (PLoS Comput Biol 2026, e1013385) and mrestimator 0.2.0, each at its defaults.

Three latents of 20, 100 and 400 ms for 600 s, 40 units, 20 seeds, streams [seed, 23]. Bins: one
recording of 600 s with spikes in exact time counted in 5, 10, 20 and 50 ms. Single units of 5 Hz,
1,000 s, tau 100 ms, 40 seeds, streams [seed, 24].

Nothing to be found: 20 Poisson units of 8 Hz, 120 s, 200 seeds, streams [seed, 25]; and the same
with a rate that follows a sinusoid of 2 Hz locked to trials of 1 s. A time constant is claimed
where the status is ok.

Lorenz: 30 units of 10 Hz mean, sd of the log rate .8, 10 ms bins, 400 trials of 1 s, the last
fifth for testing, streams [seed, 26], five seeds. R2 of the rates over test trials, beside
smoothing by a Gaussian whose width is chosen on training trials, and the linear account.

Dead times: 20 units of 8 and of 40 Hz, sd of the log rate .6, tau 100 ms, 60 s in bins of 10 ms,
each with 4 ms after a spike in which it cannot fire, 20 seeds, streams [seed, 30]; the latent in
steps of 1 ms, spikes in exact time.

A refusal, a missing interval or a status other than ok is a miss in every row that has a truth.
"""

from typing import Any

import numpy as np

import neurornn as nr

LONG_TAUS = (0.02, 0.05, 0.1, 0.2, 0.5)
SHORT_TAUS = (0.05, 0.2)
SEEDS = tuple(range(40))
NULL_SEEDS = tuple(range(200))
BINS = (0.005, 0.01, 0.02, 0.05)


def long_population(seed: int, tau: float) -> Any:
    """40 units for 600 s."""
    draw = np.random.default_rng([seed, 21, round(1000 * tau)])
    return nr.simulate.simulate_latent_population(40, 600.0, tau=tau, rng=draw)


def short_population(seed: int, tau: float, *, trials: bool) -> Any:
    """20 units for 120 s, or in 500 trials of .6 s."""
    draw = np.random.default_rng([seed, 22, round(1000 * tau), int(trials)])
    n, duration = (500, 0.6) if trials else (1, 120.0)
    return nr.simulate.simulate_latent_population(20, duration, n_trials=n, tau=tau, rng=draw)


def three_latents(seed: int) -> Any:
    """40 units, 20, 100 and 400 ms."""
    draw = np.random.default_rng([seed, 23])
    return nr.simulate.simulate_latent_population(40, 600.0, tau=[0.02, 0.1, 0.4], rng=draw)


def single_unit(seed: int) -> Any:
    """One unit of 5 Hz, 100 ms, 1,000 s."""
    draw = np.random.default_rng([seed, 24])
    return nr.simulate.simulate_latent_population(1, 1000.0, tau=0.1, rate=5.0, rng=draw)


def nothing(seed: int, *, locked: bool) -> Any:
    """Poisson units without dynamics; or with a rate that a stimulus of 2 Hz drives, in trials."""
    draw = np.random.default_rng([seed, 25])
    if not locked:
        return nr.simulate.simulate_latent_population(20, 120.0, log_gain_sd=0.0, rng=draw)
    wave = 8.0 * (1 + 0.8 * np.sin(2 * np.pi * 2.0 * 0.01 * (np.arange(100) + 0.5)))
    counts = draw.poisson(0.01 * wave[None, :, None], (120, 100, 20))
    found = nr.simulate.simulate_latent_population(
        20, 1.0, n_trials=120, log_gain_sd=0.0, rng=draw
    )
    return found.assign(counts=found["counts"].copy(data=counts))


def many_units(seed: int) -> Any:
    """For `PoissonDynamics`: 100 units, 20, 100 and 400 ms, 300 s; 20 seeds."""
    draw = np.random.default_rng([seed, 27])
    return nr.simulate.simulate_latent_population(100, 300.0, tau=[0.02, 0.1, 0.4], rng=draw)


def short_trials(seed: int) -> Any:
    """The field's own case: 40 units, 500 trials of .6 s, tau 200 ms; 20 seeds."""
    draw = np.random.default_rng([seed, 28])
    return nr.simulate.simulate_latent_population(40, 0.6, n_trials=500, tau=0.2, rng=draw)


def exact_spikes(seed: int) -> dict[float, Any]:
    """One recording of 600 s with spikes in exact time, tau 100 ms, in bins of four sizes.

    Rates are followed in steps of 1 ms, a hundredth of tau, and counts of 1 ms are added up.
    """
    draw = np.random.default_rng([seed, 29])
    fine = nr.simulate.simulate_latent_population(20, 600.0, tau=0.1, bin_size=0.001, rng=draw)
    found = {}
    for width in BINS:
        n = round(width / 0.001)
        counts = fine["counts"].coarsen(time=n).sum()
        found[width] = counts.assign_attrs(fine["counts"].attrs | {"bin_size": width})
    return found


def dead_times(seed: int, rate: float, *, dead: float = 0.004, sd: float = 0.6) -> Any:
    """20 units that share a latent, tau 100 ms, and cannot fire after a spike, 60 s."""
    draw = np.random.default_rng([seed, 30])
    z = nr.simulate.simulate_latent_population(1, 60.0, tau=0.1, bin_size=0.001, rng=draw)
    return nr.simulate.simulate_spike_trains(
        20, 60.0, rate=rate, dead_time=dead, recovery=0.0, adaptation=0.0,
        stimulus=sd * z["latents"].values[:, 0] - sd**2 / 2, stimulus_filter=[1.0], rng=draw,
    )  # fmt: skip
