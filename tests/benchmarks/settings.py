"""Simulators, seeds and sizes of the gates, fixed before the methods were written."""

import numpy as np

from neurornn.simulate import simulate_calcium

#: The example the package began with: one cell, tau .5 s, 30 frames a second, five minutes.
TAU = 0.5
SAMPLING_RATE = 30.0
DURATION = 300.0
SEEDS = tuple(range(60))
RATES = (0.5, 1.0)
SNRS = (5.0, 10.0, 20.0)


def one_cell(seed: int, *, rate: float, snr: float, on_frames: bool = False):
    """One simulated cell without a rise time; every combination has its own stream."""
    stream = np.random.default_rng([seed, round(1000 * rate), round(1000 * snr)])
    return simulate_calcium(
        1,
        DURATION,
        SAMPLING_RATE,
        tau_decay=TAU,
        tau_rise=0.0,
        rate=rate,
        snr=snr,
        on_frames=on_frames,
        rng=stream,
    )


def known_times_bound(recording) -> float:
    """Cramer-Rao standard deviation of tau (s): spike times known, sizes and baseline free.

    Row B of the table of limits: a lower bound for anybody who is told when the spikes were.
    """
    time = recording["time"].values
    noise = float(recording["noise_sd_true"][0])
    spikes = recording["spike_times"].values
    lag = time[:, None] - spikes[None, :]
    active = lag >= -1e-9
    kernel = np.where(active, np.exp(-np.maximum(lag, 0) / TAU), 0.0)
    slope = (np.where(active, lag, 0.0) / TAU**2 * kernel).sum(axis=1)
    # Calcium left from before the first frame is a size of its own.
    before = np.exp(-time / TAU)
    nuisance = np.column_stack([kernel, before, np.ones(len(time))])
    left = slope - nuisance @ np.linalg.lstsq(nuisance, slope, rcond=None)[0]
    return noise / float(np.sqrt(left @ left))
