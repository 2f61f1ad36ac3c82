"""What must not change the decay constant, and by how much it does.

Settings fixed before our numbers were looked at. Order of the cells and size of the chunks: bit
for bit. dF/F as a fraction or in percent: to 1e-6. A minute of silence appended, and every two
frames averaged into one: by less than 0.3 of the width of the interval of the original fit.
"""

from collections.abc import Iterator

import numpy as np
import xarray as xr

import neurornn as nr
from tests.benchmarks import latin_square

TRACES = 4
SILENCE = 60.0
CHUNK_SIZES = (1, 5, 24)
RELATIVE = 1e-6
SHARE = 0.3
#: Last frames (s) whose mean gives the baseline that the silence continues.
TAIL = 2.0
COLUMNS = ["fits", "within %", "median", "95th percentile", "worst", "status changed"]


def fitted(values, sampling_rate: float = latin_square.SAMPLING_RATE, **options) -> xr.Dataset:
    """Parameters of plain traces."""
    kinetics = nr.calcium.Kinetics(**options)
    return kinetics.fit(np.asarray(values), sampling_rate=sampling_rate).parameters_


def same_bits(a: xr.Dataset, b: xr.Dataset) -> dict[str, np.ndarray]:
    """Whether a parameter of a cell is the same number, per parameter and cell."""
    same = {}
    for name in a.data_vars:
        x, y = a[name].values, b[name].values
        equal = (x == y) | ((x != x) & (y != y))
        same[str(name)] = equal.reshape(a.sizes["unit"], -1).all(axis=1)
    return same


def with_silence(recording: xr.Dataset, rng: np.random.Generator) -> np.ndarray:
    """The trace, then a minute without spikes: calcium decays, baseline stays, noise goes on."""
    rate = latin_square.SAMPLING_RATE
    time = recording["time"].values
    later = time[-1] + (np.arange(round(SILENCE * rate)) + 1) / rate
    tau, rise = (float(recording[f"tau_{n}_true"][0]) for n in ("decay", "rise"))
    lag = later[:, None] - recording["spike_times"].values[None, :]
    calcium = nr.simulate.calcium_kernel(lag, tau, rise) @ recording["spike_size"].values
    rest = (recording["dff"] - recording["calcium"]).values[:, 0]
    baseline = rest[-round(TAIL * rate) :].mean()
    noise = float(recording["noise_sd_true"][0]) * rng.standard_normal(len(later))
    return np.concatenate([recording["dff"].values[:, 0], baseline + calcium + noise])[:, None]


def halved(values: np.ndarray) -> np.ndarray:
    """Every two frames averaged."""
    return values[: len(values) // 2 * 2].reshape(-1, 2, values.shape[1]).mean(axis=1)


def moved(before: list[xr.Dataset], after: list[xr.Dataset], *, by_width: bool) -> np.ndarray:
    """Change of tau relative to the width of the first interval, or to tau; NaN counts as 1."""
    shift = []
    for a, b in zip(before, after, strict=True):
        low, high = a["tau_decay_ci"].values[0]
        scale = high - low if by_width else float(a["tau_decay"][0])
        shift.append(abs(float(b["tau_decay"][0]) - float(a["tau_decay"][0])) / scale)
    return np.nan_to_num(np.array(shift), nan=1.0)


def row(name: str, shift: np.ndarray, limit: float, before, after) -> list[str]:
    """Share within the limit and how far the rest went."""
    changed = sum(
        a["status"].item() != b["status"].item() for a, b in zip(before, after, strict=True)
    )
    return [
        f"{name} (< {limit:g})",
        str(len(shift)),
        f"{100 * np.mean(shift < limit):.0f}",
        f"{np.median(shift):.2g}",
        f"{np.quantile(shift, 0.95):.2g}",
        f"{np.max(shift):.2g}",
        str(changed),
    ]


def rows() -> Iterator[list[str]]:
    """One row per thing that is changed; shifts in widths of the interval, or relative."""
    kinds = [(n, t) for n in range(len(latin_square.cells())) for t in range(TRACES)]
    recordings = [latin_square.simulate(*kind) for kind in kinds]
    traces = [r["dff"].values for r in recordings]
    before = [fitted(t) for t in traces]
    for trace in range(TRACES):
        together = np.concatenate(traces[trace::TRACES], axis=1)
        alone = xr.concat(before[trace::TRACES], dim="unit")
        n = together.shape[1]
        order = np.random.default_rng(trace).permutation(n)
        shuffled = fitted(together[:, order]).isel(unit=np.argsort(order))
        same = {"order of cells": same_bits(alone, shuffled)}
        for size in CHUNK_SIZES:
            same[f"chunks of {size}"] = same_bits(alone, fitted(together, chunk_size=size))
        for name, found in same.items():
            whole = np.all(list(found.values()), axis=0)
            differ = ", ".join(k for k, v in found.items() if not v.all())
            yield [
                f"{name}, bit for bit, trace {trace}" + (f": {differ} differ" if differ else ""),
                str(n),
                f"{100 * np.mean(whole):.0f}",
                *["", "", "", ""],
            ]
    percent = [fitted(100 * t) for t in traces]
    shift = moved(before, percent, by_width=False)
    yield row("fraction or percent, relative", shift, RELATIVE, before, percent)
    silent = [
        fitted(with_silence(r, np.random.default_rng([7, *kind])))
        for r, kind in zip(recordings, kinds, strict=True)
    ]
    shift = moved(before, silent, by_width=True)
    yield row(f"{SILENCE:g} s of silence, widths", shift, SHARE, before, silent)
    coarse = [fitted(halved(t), latin_square.SAMPLING_RATE / 2) for t in traces]
    shift = moved(before, coarse, by_width=True)
    yield row("two frames averaged, widths", shift, SHARE, before, coarse)
    # What a trivial estimator does: the slope of the autocovariance, in widths of our interval.
    yield row(
        "trivial: slope of the autocovariance, two frames averaged, widths",
        _slopes(traces, before),
        SHARE,
        before,
        before,
    )


def _slopes(traces, before) -> np.ndarray:
    from neurornn.calcium.alternation import first_tau
    from neurornn.calcium.trace_model import Settings

    def slope(values, rate):
        settings = Settings(1 / rate, 4.0, (0.005, 20.0), 60.0, 0.95)
        return first_tau(values[:, 0], np.array([[0, len(values)]]), settings)

    rate = latin_square.SAMPLING_RATE
    shift = []
    for t, a in zip(traces, before, strict=True):
        low, high = a["tau_decay_ci"].values[0]
        shift.append(abs(slope(halved(t), rate / 2) - slope(t, rate)) / (high - low))
    return np.nan_to_num(np.array(shift), nan=1.0)
