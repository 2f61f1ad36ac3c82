"""Simulators, seeds and sizes of the gates of the recurrent models, fixed before the methods."""

import numpy as np

from neurornn.simulate import simulate_rate_trials, simulate_system

#: Known time constants of 64 units; five networks, so that 320 units are counted.
NETWORKS = tuple(range(5))
UNITS, TRIALS, DURATION, DT, SNR = 64, 200, 2.0, 0.005, 10.0
#: One network on three clocks; the input is held for the coarsest step.
CLOCKS = (0.005, 0.01, 0.02)
FINE_STEP = 0.0005
#: Lorenz: seeds of the initial weights, all counted.
LORENZ_SEEDS = tuple(range(5))
LORENZ_DT = 0.01
#: Largest Lyapunov exponent of the Lorenz attractor, 1/s (Sprott 2003).
LORENZ_EXPONENT = 0.9056
#: Allen population: seeds of the weights.
ALLEN_SEEDS = 5


def network(seed: int):
    """Trials of a driven network of log-normal time constants, 10 to 200 ms."""
    return simulate_rate_trials(
        UNITS, TRIALS, DURATION, DT, tau_range=(0.01, 0.2), snr=SNR, rng=100 + seed
    )


def on_clock(dt: float, seed: int = 0):
    """The same network, inputs and noise seed, observed every dt; simulated every half ms.

    The longest input that is held is that of the coarsest clock, so that all three clocks see the
    same one.
    """
    fine = simulate_rate_trials(
        UNITS, TRIALS, DURATION, CLOCKS[0], tau_range=(0.01, 0.4), step=FINE_STEP,
        hold=CLOCKS[-1], snr=np.inf, rng=200 + seed,
    )  # fmt: skip
    every = round(dt / CLOCKS[0])
    seen = fine.isel(time=slice(every - 1, None, every))
    noise = seen["states"].std(("trial", "time")).values / SNR
    draw = np.random.default_rng([300, seed, every])
    seen["targets"] = seen["states"] + noise * draw.standard_normal(seen["states"].shape)
    return seen.assign_attrs(dt=dt)


def lorenz(noise_sd: float = 0.05):
    """Training series of 200 s with 5 % observation noise, and 400 s of the noiseless system."""
    train = simulate_system("lorenz", 200.0, LORENZ_DT, noise_sd=noise_sd, rng=400)
    truth = simulate_system("lorenz", 400.0, LORENZ_DT, rng=401)
    return train, truth
