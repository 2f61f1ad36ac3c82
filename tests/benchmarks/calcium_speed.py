"""Time of a whole fit (tau, its interval, events) beside oasis-deconv, in one process and thread.

Settings fixed before our times were looked at. Every repeat runs all methods on the trace one
after the other, so that a busy machine slows all of them; the ratio is taken within a repeat.
"""

import time as clock
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

import neurornn as nr
from neurornn._core.errors import FileMissingError
from tests.benchmarks.realdata import files_of

N_FRAMES = 30_000
SAMPLING_RATE = 30.0
TAU = 0.5
RATE = 1.0
RISES = (0.0, 0.07)
SNRS = (5.0, 10.0)
SEEDS = (0, 1, 2)
REPEATS = 5
#: A recording of so many frames in one stretch: GCaMP6f at 158 Hz.
REAL = "ground_truth_DS11"
COLUMNS = [
    "Kinetics ms", "default ms", "optimize_g=5 ms", "ours / optimize_g=5", "ours / default",
    "trivial ms",
]  # fmt: skip


def simulated(rise: float, snr: float, seed: int) -> xr.DataArray:
    """One long trace."""
    recording = nr.simulate.simulate_calcium(
        1,
        N_FRAMES / SAMPLING_RATE,
        SAMPLING_RATE,
        tau_decay=TAU,
        tau_rise=rise,
        rate=RATE,
        snr=snr,
        rng=np.random.default_rng([seed, round(1000 * rise), round(1000 * snr)]),
    )
    return recording["dff"]


def methods() -> dict[str, Callable[[xr.DataArray], object]]:
    """What is timed; the trivial baseline is the constant from the slope of the autocovariance."""
    from oasis.functions import deconvolve, estimate_parameters

    def values(trace):
        return trace.values[:, 0]

    return {
        "ours": lambda trace: nr.calcium.Kinetics().fit(trace),
        "default": lambda trace: deconvolve(values(trace)),
        "optimized": lambda trace: deconvolve(values(trace), optimize_g=5),
        "trivial": lambda trace: estimate_parameters(values(trace), p=1),
    }


def timed(traces: list[xr.DataArray]) -> dict[str, np.ndarray]:
    """Time (ms) of every method on every trace and repeat."""
    chosen = methods()
    times: dict[str, list[float]] = {name: [] for name in chosen}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(REPEATS):
            for trace in traces:
                for name, method in chosen.items():
                    begin = clock.perf_counter()
                    method(trace)
                    times[name].append(1000 * (clock.perf_counter() - begin))
    return {name: np.array(t) for name, t in times.items()}


def row(name: str, times: dict[str, np.ndarray]) -> list[str]:
    """Medians over traces and repeats."""
    ours = times["ours"]
    return [
        name,
        *(f"{np.median(times[m]):.0f}" for m in ("ours", "default", "optimized")),
        *(f"{np.median(ours / times[m]):.2f}" for m in ("optimized", "default")),
        f"{np.median(times['trivial']):.0f}",
    ]


def real_trace() -> xr.DataArray | None:
    """The first cell of the set that has all the frames."""
    try:
        files = files_of(REAL)
    except FileMissingError:
        return None
    recordings = (nr.open(file)["dff"] for file in files)
    return next((r.isel(time=slice(N_FRAMES)) for r in recordings if len(r) >= N_FRAMES), None)


def rows() -> Iterator[list[str]]:
    """One row per kind of trace; the gate asks for a ratio to optimize_g=5 below 1."""
    # Compiled before anything is timed.
    for rise in RISES:
        nr.calcium.Kinetics().fit(simulated(rise, SNRS[-1], 99)[:3000])
    ratios = []
    for rise in RISES:
        for snr in SNRS:
            times = timed([simulated(rise, snr, seed) for seed in SEEDS])
            ratios.append([times["ours"] / times[m] for m in ("optimized", "default")])
            yield row(f"tau {TAU:g} rise {rise:g} s, {RATE:g} Hz, SNR {snr:g}", times)
    real = real_trace()
    if real is not None:
        yield row(f"real: {REAL}, {nr.data.sampling_rate_of(real):.0f} Hz", timed([real]))
    gate, goal = np.median(np.concatenate(ratios, axis=1), axis=1)
    said = "goal met" if goal < 1 else "gate met" if gate < 1 else "missed"
    yield [
        f"simulated, all: gate ours / optimize_g=5 < 1, goal ours / default < 1: {said}",
        *["", "", ""],
        f"{gate:.2f}",
        f"{goal:.2f}",
        "",
    ]
