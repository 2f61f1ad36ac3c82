"""One decay time shared by a population, from its fluorescence; fixed before the method."""

import time

import numpy as np

import neurornn as nr
from tests.benchmarks.latin_square import _slope

TAU_DECAY = 0.5
TAU_RISE = 0.05
SAMPLING_RATE = 30.0
DURATION = 300.0
N_UNITS = 20
SNR = 5.0
MEAN_RATE = 1.0
#: Of the stimulus-driven population: the rates are MEAN_RATE (1 + tanh state), 0 to 2 Hz.
N_INPUTS = 2
SEEDS = tuple(range(12))
#: s; windows of the fit, with a warm-up in which the latent state settles.
WINDOW, WARMUP = 20.0, 4.0
N_HIDDEN = 8
MAX_EPOCHS = 200
#: Relative gain of the loss over ten iterations at which a fit has settled: 0.2 nats of 180 000
#: frames. The latent weights go on gaining a little for hundreds of epochs while tau stays.
TOLERANCE = 1e-6


def driven_population(seed: int, n_units: int = N_UNITS, duration: float = DURATION):
    """Cells that fire as inhomogeneous Poisson processes; a rate network makes their rates."""
    rng = np.random.default_rng([seed, 1])
    dt = 1 / SAMPLING_RATE
    network = nr.simulate.simulate_rate_network(n_units, duration, dt, n_inputs=N_INPUTS, rng=rng)
    rates = MEAN_RATE * (1 + network["states"].values)
    trains = []
    for k in range(n_units):
        counts = rng.poisson(rates[:, k] * dt)
        frame = np.repeat(np.arange(len(counts)), counts)
        trains.append(np.sort((frame + rng.uniform(0, 1, len(frame))) * dt))
    recording = nr.simulate.simulate_calcium(
        n_units,
        duration,
        SAMPLING_RATE,
        tau_decay=TAU_DECAY,
        tau_rise=TAU_RISE,
        snr=SNR,
        spike_times=trains,
        rng=rng,
    )
    recording["stimulus"] = (
        ("time", "channel"),
        network["stimulus"].values,
        dict(network["stimulus"].attrs),
    )
    return recording


def plain_population(seed: int, n_units: int = N_UNITS, duration: float = DURATION):
    """Cells that fire at a constant rate; nothing is known but the fluorescence."""
    return nr.simulate.simulate_calcium(
        n_units,
        duration,
        SAMPLING_RATE,
        tau_decay=TAU_DECAY,
        tau_rise=TAU_RISE,
        rate=MEAN_RATE,
        snr=SNR,
        rng=np.random.default_rng([seed, 2]),
    )


def fit(recording, *, tau_decay: float = 1.0, **settings):
    """Fit the population model as a user would."""
    driven = "stimulus" in recording
    model = nr.models.CalciumRNN(
        recording.sizes["unit"],
        n_stimulus=N_INPUTS if driven else 0,
        n_hidden=N_HIDDEN if driven else 0,
        dt=1 / SAMPLING_RATE,
        tau_decay=tau_decay,
        rng=0,
    )
    data = nr.data.windows(
        recording,
        inputs="stimulus" if driven else "dff",
        targets="dff",
        duration=WINDOW,
        warmup=WARMUP,
    )
    return nr.fit(model, data, max_epochs=MAX_EPOCHS, tolerance=TOLERANCE, rng=0, **settings)


COLUMNS = [
    "n",
    "median |error| %",
    "largest |error| %",
    "half-width %",
    "covered",
    "Kinetics' median over cells: |error| %",
    "difference to Kinetics %",
    "autocovariance slope: |error| %",
    "s per fit",
]


def rows(seeds=SEEDS):
    """One row per kind of population."""
    for name, simulate in (
        ("driven by a known stimulus", driven_population),
        ("constant rates, no stimulus", plain_population),
    ):
        errors, widths, covered, peers, slopes, seconds = [], [], [], [], [], []
        for seed in seeds:
            recording = simulate(seed)
            begin = time.perf_counter()
            found = fit(recording).parameters
            seconds.append(time.perf_counter() - begin)
            low, high = found["tau_decay_ci"].values
            errors.append(float(found["tau_decay"]) / TAU_DECAY - 1)
            widths.append((high - low) / 2 / TAU_DECAY)
            covered.append(bool(low <= TAU_DECAY <= high))
            kinetics = nr.calcium.Kinetics().fit(recording["dff"]).parameters_
            taus = kinetics["tau_decay"].values[kinetics["status"].values == "ok"]
            peers.append(float(np.median(taus)) / TAU_DECAY - 1)
            each = [_slope(recording[["dff"]].isel(unit=[k])) for k in range(N_UNITS)]
            slopes.append(float(np.median(each)) / TAU_DECAY - 1)
        e, p = np.array(errors), np.array(peers)
        yield [
            name,
            str(len(e)),
            f"{100 * np.median(np.abs(e)):.2f}",
            f"{100 * np.abs(e).max():.2f}",
            f"{100 * np.median(widths):.2f}",
            f"{sum(covered)} of {len(covered)}",
            f"{100 * np.median(np.abs(p)):.2f}",
            f"{100 * np.median(np.abs(e - p)):.2f}",
            f"{100 * np.median(np.abs(slopes)):.1f}",
            f"{np.median(seconds):.0f}",
        ]
