"""Real populations: how long they remember, and what each account of them tells of hidden units.

Four recordings, cut into trials: pillow_rgc (4 ganglion cells, the first 400 s in blocks of 2 s,
bins of 10 ms), the linear track (31 units, 970 s on the track in blocks of 4 s, bins of 50 ms),
ps4_motor_planning (97 units, the first 30 trials of each of eight targets, 600 ms from the start
of the plan, bins of 20 ms) and contdata95 (95 units, the first 250 reaches, bins of 100 ms as the
file has them).

Time constants: `Timescales`, pooled and of each unit, on all trials. Co-smoothing, bits per
spike, on the first 100 of them: a fifth of the trials and a quarter of the units are drawn for
each of five seeds; models are fitted on the other trials, and see the other units of the trials
that were held out. Smoothing chooses its widths and the autoencoder, as it comes, when to end, on
the trials of the fit; the linear account has three latents, or two of the four ganglion cells.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

import neurornn as nr
from neurornn._core.errors import FileMissingError
from tests.benchmarks.audits import linear_track
from tests.benchmarks.decoding import contdata
from tests.benchmarks.point_processes import retina

SEEDS = tuple(range(5))
#: Of each recording, for co-smoothing.
N_TRIALS = 100
TAU_COLUMNS = [
    "trials", "units", "bin", "tau, pooled", "interval", "status", "usual way", "units with a tau",
    "their median", "quartiles",
]  # fmt: skip
SMOOTHING_COLUMNS = [
    "smoothing", "linear", "autoencoder", "linear - smoothing", "autoencoder - linear", "not ok",
]  # fmt: skip


def _blocks(counts: np.ndarray, n: int, width: float) -> list[xr.DataArray]:
    whole = len(counts) // n
    return [_trial(counts[k * n : (k + 1) * n], width) for k in range(whole)]


def _trial(counts: np.ndarray, width: float) -> xr.DataArray:
    return xr.DataArray(
        counts.astype(float), dims=("time", "unit"),
        coords={"unit": np.arange(counts.shape[1])}, attrs={"bin_size": width},
    )  # fmt: skip


def ganglion_cells() -> list[xr.DataArray]:
    """200 blocks of 2 s."""
    counts = nr.data.bin_spikes(retina()[0], 0.01).values
    return _blocks(counts[:40_000], 200, 0.01)


def track() -> list[xr.DataArray]:
    """Blocks of 4 s of the time on the track."""
    recording = nr.open(nr.fetch("linear_track_ca1"))
    counts = nr.data.bin_spikes(recording, 0.05)
    n = 4 * len(linear_track()[0])
    return _blocks(counts.values[:n], 80, 0.05)


def planning() -> list[xr.DataArray]:
    """240 trials of 600 ms."""
    from scipy.io import loadmat

    place = nr.fetch("ps4_motor_planning")
    trials = loadmat(place if place.is_file() else place / "ps4_realdata.mat")["train_trial"]
    return [
        _trial(one["spikes"][:, :600].reshape(97, 30, 20).sum(axis=2).T, 0.02)
        for row in trials[:30] for one in row
    ]  # fmt: skip


def reaches() -> list[xr.DataArray]:
    """The first 250 reaches, each of its own length."""
    counts, _, trial, _ = contdata()
    return [_trial(counts[trial == k], 0.1) for k in range(250)]


SETS = {
    "pillow_rgc": ganglion_cells, "linear track": track, "ps4": planning, "contdata95": reaches,
}  # fmt: skip


def tau_rows() -> Iterator[list[str]]:
    """Time constants of all units together, and of each."""
    for name, make in SETS.items():
        try:
            trials = make()
        except FileMissingError:
            yield [name, "not here"] + [""] * (len(TAU_COLUMNS) - 1)
            continue
        pooled = nr.spikes.Timescales(pooled=True).fit(trials).parameters_
        low, high = pooled["tau_ci"].values[0]
        each = nr.spikes.Timescales().fit(trials).parameters_
        tau = 1000 * each["tau"].values[each["status"].values == "ok"]
        quarters = np.quantile(tau, [0.25, 0.5, 0.75]) if len(tau) else np.full(3, np.nan)
        width = 1000 * trials[0].attrs["bin_size"]
        yield [
            name, str(len(trials)), str(trials[0].sizes["unit"]),
            f"{width:.0f} ms", f"{1000 * float(pooled['tau'][0]):.3g} ms",
            f"{1000 * low:.3g} to {1000 * high:.3g}", str(pooled["status"].values),
            f"{1000 * float(pooled['naive_tau']):.0f} ms", f"{len(tau)} of {each.sizes['unit']}",
            f"{quarters[1]:.0f} ms", f"{quarters[0]:.0f} to {quarters[2]:.0f}",
        ]  # fmt: skip


def smoothing_rows() -> Iterator[list[str]]:
    """Co-smoothing of three accounts, five seeds."""
    for name, make in SETS.items():
        try:
            trials = make()
        except FileMissingError:
            yield [name, "not here"] + [""] * (len(SMOOTHING_COLUMNS) - 1)
            continue
        bits: dict[str, list[float]] = {"smoothing": [], "linear": [], "autoencoder": []}
        missed = 0
        trials = trials[:N_TRIALS]
        for seed in SEEDS:
            draw = np.random.default_rng([seed, 33])
            order = draw.permutation(len(trials))
            cut = len(trials) // 5
            test, train = ([trials[k] for k in part] for part in (order[:cut], order[cut:]))
            n_units = trials[0].sizes["unit"]
            held_out = np.sort(draw.permutation(n_units)[: max(1, n_units // 4)])
            linear = nr.spikes.PoissonDynamics(
                min(3, n_units // 2), rotations=False, intervals=False
            )
            models: dict[str, Any] = {
                "smoothing": nr.spikes.SmoothedRates(), "linear": linear,
                "autoencoder": nr.spikes.SequentialAutoencoder(rng=seed),
            }  # fmt: skip
            for key, model in models.items():
                model.fit(train)
                score = nr.spikes.co_smoothing(model, test, None, held_out)
                bits[key].append(float(score.bits_per_spike))
            status = linear.parameters_["status"].values
            missed += int(np.any(status != "ok"))
        found = {key: np.array(values) for key, values in bits.items()}
        yield [
            name, *(_spread(v) for v in found.values()),
            _spread(found["linear"] - found["smoothing"]),
            _spread(found["autoencoder"] - found["linear"]),
            str(missed),
        ]  # fmt: skip


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():+.3f} (sd {values.std(ddof=1):.3f})"
