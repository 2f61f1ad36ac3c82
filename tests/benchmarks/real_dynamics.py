"""What networks fitted to real recordings do: a decoder of reaching, a visual population.

*Decoder*: the recurrent decoder of contdata95 as it comes (an LSTM of 200 units, one seed),
without input (a bin in which no unit fires) and held at the mean of the training's features.
*Population*: the LeakyRNN of `allen_league` (a rectified unit for each of 74 cells, rank 1),
fitted one frame ahead, without input, and held at the mean of its inputs. Exponents under input
are along the real features, or frames, of the test part. Nothing was chosen by what came out.
"""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import neurornn as nr
from neurornn._core.errors import FileMissingError
from tests.benchmarks import allen_league, decoding

COLUMNS = [
    "states", "points (stable)", "completeness", "slowest mode, stable points", "comes to",
    "leading exponent, 1/s", "regime", "under the data, 1/s", "regime ", "CPU s",
]  # fmt: skip
#: Steps of the data along which exponents are measured.
N_STEPS = 600


def decoder() -> tuple[Any, np.ndarray]:
    """The network of the decoder, and what it is fed in the test part."""
    counts, velocity, *_ = decoding.contdata()
    cut = int(decoding.TRAIN * len(counts))
    made = nr.decode.RecurrentDecoder(bin_size=0.1, n_seeds=1, rng=0)
    made.fit(counts[:cut], velocity[:cut])
    (model,) = made.networks()
    # Features as the decoder makes them of counts, less those of a silent bin.
    power = np.sqrt(counts)
    scale = power[:cut].std(axis=0)
    return model, (power / np.where(scale > 0, scale, 1.0))[cut:]


def population() -> tuple[Any, np.ndarray]:
    """The network of the population, and the frames of the test part."""
    from neurornn.compare.task import scaled_task, task_of

    dff = allen_league.population()
    n, dt = dff.sizes["unit"], 1 / allen_league.RATES["allen_population"]
    trial = allen_league.CHOSEN["LeakyRNN"]
    entry = allen_league.Entry(trial.recipe(n, dt))
    task = scaled_task(
        task_of(dff, allen_league.SPLIT, allen_league.DURATION, 0, (1.0, "s")), gaussian=True
    )
    options = {"objective": "gaussian", "max_epochs": allen_league.MAX_EPOCHS, **trial.options}
    model, _, _ = allen_league.fitted(entry, task, 0, options)
    frames = np.asarray(dff.transpose("time", "unit").values, dtype=float)
    frames = (frames - frames.mean(axis=0)) / frames.std(axis=0)
    return model, frames[int(0.85 * len(frames)) :]


def _row(name: str, model: Any, held: np.ndarray, fed: np.ndarray | None) -> list[str]:
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        points = nr.dynamics.find_fixed_points(model, held, rng=0)
        found = nr.dynamics.classify_attractor(model, inputs=held, n_steps=2000, rng=0)
        free = nr.dynamics.lyapunov_spectrum(model, held, n_exponents=2, rng=0)
        driven = None
        if fed is not None:
            driven = nr.dynamics.lyapunov_spectrum(
                model, fed[: N_STEPS + 100], n_exponents=2, n_transient=100, rng=0
            )
    stable = points.is_stable.values
    slow = points.timescales["time_constant"].values[stable, 0]
    unit = points.settings["time_unit"]

    def told(spectrum: Any) -> str:
        low, high = spectrum.parameters["exponent_ci"].values[0]
        return f"{float(spectrum.exponents[0]):.3g} [{low:.3g}, {high:.3g}]"

    return [
        name, str(points.parameters.sizes["hidden"]), f"{len(stable)} ({int(stable.sum())})",
        points.completeness, f"{slow.max():.3g} {unit}" if len(slow) else "-", found.kind,
        told(free), free.regime, told(driven) if driven else "-",
        driven.regime if driven else "-", f"{time.process_time() - begin:.0f}",
    ]  # fmt: skip


def rows() -> Iterator[list[str]]:
    """Two rows for each network."""
    for name, make in (("contdata95 decoder", decoder), ("Allen population", population)):
        try:
            model, fed = make()
        except FileMissingError:
            yield [name, "not here", *[""] * (len(COLUMNS) - 1)]
            continue
        yield _row(f"{name}, no input", model, np.zeros(fed.shape[1]), None)
        yield _row(f"{name}, mean input", model, fed.mean(axis=0), fed)
