"""Intrinsic time constants: known truths, coverage, bins, nothing to be found, speed.

Settings stand in timescale_settings. A refusal, a missing interval or a status other than ok is a
miss in every row that has a truth.
"""

import contextlib
import io
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import neurornn as nr
from tests.benchmarks import timescale_settings as settings

COLUMNS = [
    "runs", "not ok", "bias", "error (RMS)", "over the bound", "coverage", "width of the interval",
    "autocorrelation: bias", "mrestimator: bias", "s each",
]  # fmt: skip
SEVERAL_COLUMNS = ["runs", "not ok", "median", "median error", "coverage", "one exponential"]
BIN_COLUMNS = ["5 ms", "10 ms", "20 ms", "50 ms", "spread", "usual way: spread"]
NULL_COLUMNS = ["runs", "claimed", "status", "claimed by an exponential fit"]
DEAD_COLUMNS = ["runs", "not ok", "bias of tau", "coverage", "bias of the amplitude"]
SPEED_COLUMNS = ["s", "above the counts, MB", "ok", "bias", "coverage"]


def _pooled(counts: Any) -> tuple[float, float, float, float]:
    """Time constant, its interval, and what is usual; NaN and an empty interval for a miss."""
    table = nr.spikes.Timescales(pooled=True).fit(counts).parameters_
    return _read(table)


def _read(table: Any) -> tuple[float, float, float, float]:
    low, high = np.atleast_2d(table["tau_ci"].values)[0]
    ok = str(np.atleast_1d(table["status"].values)[0]) == "ok" and np.isfinite([low, high]).all()
    value = float(np.atleast_1d(table["tau"].values)[0])
    usual = float(np.atleast_1d(table["naive_tau"].values)[0])
    return (value, low, high, usual) if ok else (np.nan, 1.0, 0.0, usual)


def _mrestimator(counts: Any) -> float:
    """Time constant of the units one by one, s, their median, by mrestimator; NaN without it.

    One by one, as for the autocorrelation: summed, units whose rates go up and down with the
    latent would cancel.
    """
    try:
        import mrestimator as mre
    except ImportError:
        return np.nan
    logging.getLogger("mrestimator").setLevel(logging.CRITICAL)
    values = counts.values[None] if counts.ndim == 2 else counts.values
    step = 1000 * counts.attrs["bin_size"]
    found = []
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        most = min(values.shape[1] // 2, round(2000 / step))
        for unit in np.moveaxis(values, -1, 0):
            # Of many trials it asks for a method; the mean of all trials is the one without bias.
            rk = mre.coefficients(
                unit, method="stationarymean", dt=step, dtunit="ms", steps=(1, most)
            )
            found.append(float(mre.fit(rk).tau) / 1000)
    return float(np.median(found))


def _rows(
    name: str, tau: float, seeds: Any, make: Callable[[int], Any], duration: float,
    fit: Callable[[Any], tuple[float, float, float, float]] = _pooled, *, peer: bool = True,
) -> list[str]:  # fmt: skip
    found, peers, begun = [], [], time.process_time()
    spent = 0.0
    for seed in seeds:
        counts = make(seed)["counts"]
        begun = time.process_time()
        found.append(fit(counts))
        spent += time.process_time() - begun
        peers.append(_mrestimator(counts) if peer else np.nan)
    values = np.array(found)
    error = values[:, 0] / tau - 1
    inside = (values[:, 1] <= tau) & (tau <= values[:, 2])
    width = np.nanmedian(np.where(np.isfinite(values[:, 0]), values[:, 2] - values[:, 1], np.nan))
    usual = np.nanmean(values[:, 3]) / tau - 1
    other = np.array(peers)
    rms = np.sqrt(np.nanmean(error**2))
    return [
        f"{name}, {1000 * tau:g} ms", str(len(values)), str(int(np.isnan(error).sum())),
        f"{100 * np.nanmean(error):+.1f} %", f"{100 * rms:.1f} %",
        f"{rms / np.sqrt(2 * tau / duration):.2f}", f"{inside.mean():.3f}",
        f"{100 * width / tau:.0f} %", f"{100 * usual:+.0f} %",
        f"{100 * (np.nanmean(other) / tau - 1):+.0f} %" if np.isfinite(other).any() else "-",
        f"{spent / len(values):.1f}",
    ]  # fmt: skip


def short_rows() -> Iterator[list[str]]:
    """20 units, 120 s or 500 trials of .6 s, 40 seeds."""
    for tau in settings.SHORT_TAUS:
        for trials in (False, True):
            yield _rows(
                "500 trials of .6 s" if trials else "120 s", tau, settings.SEEDS,
                lambda s, t=tau, k=trials: settings.short_population(s, t, trials=k),
                300.0 if trials else 120.0,
            )  # fmt: skip


def long_rows() -> Iterator[list[str]]:
    """40 units, 600 s, 40 seeds."""
    for tau in settings.LONG_TAUS:
        yield _rows(
            "600 s", tau, settings.SEEDS, lambda s, t=tau: settings.long_population(s, t), 600.0,
            peer=False,
        )  # fmt: skip


def single_rows() -> Iterator[list[str]]:
    """One unit of 5 Hz, 1,000 s, 40 seeds; and the field's case of short trials, 20 seeds."""
    yield _rows(
        "one unit of 5 Hz, 1,000 s", 0.1, settings.SEEDS, settings.single_unit, 1000.0,
        lambda c: _read(nr.spikes.Timescales().fit(c).parameters_), peer=False,
    )  # fmt: skip
    yield _rows(
        "40 units, 500 trials of .6 s", 0.2, settings.SEEDS[:20], settings.short_trials, 300.0
    )


def three_rows() -> Iterator[list[str]]:
    """Three latents in 40 units, 600 s, 20 seeds: Timescales(3)."""
    truth = np.array([0.02, 0.1, 0.4])
    yield from _several(
        truth, settings.SEEDS[:20], lambda s: settings.three_latents(s)["counts"],
        lambda c: nr.spikes.Timescales(3, pooled=True).fit(c).parameters_,
    )  # fmt: skip


def dynamics_rows() -> Iterator[list[str]]:
    """Three latents in 100 units, 300 s, 20 seeds: PoissonDynamics, rotations free."""

    def fitted(counts: Any) -> Any:
        table = nr.spikes.PoissonDynamics(3).fit(counts).parameters_
        table = table.isel(mode=slice(None, None, -1))
        return table.assign(naive_tau=np.nan)

    yield from _several(
        np.array([0.02, 0.1, 0.4]), settings.SEEDS[:20],
        lambda s: settings.many_units(s)["counts"], fitted,
    )  # fmt: skip


def _several(truth: Any, seeds: Any, make: Any, fit: Any) -> Iterator[list[str]]:
    values, inside, missed, usual = [], [], 0, []
    for seed in seeds:
        table = fit(make(seed))
        ci = table["tau_ci"].values
        ok = bool(np.all(table["status"].values == "ok"))
        missed += not ok
        values.append(table["tau"].values if ok else np.full(3, np.nan))
        inside.append(ok & (ci[:, 0] <= truth) & (truth <= ci[:, 1]))
        usual.append(float(table["naive_tau"].values))
    found, held = np.array(values), np.array(inside)
    for k, tau in enumerate(truth):
        error = np.median(np.abs(np.nan_to_num(found[:, k] / tau - 1, nan=np.inf)))
        yield [
            f"{1000 * tau:g} ms", str(len(found)), str(missed),
            f"{1000 * np.nanmedian(found[:, k]):.1f} ms", f"{100 * error:.1f} %",
            f"{held[:, k].mean():.3f}", f"{1000 * np.nanmedian(usual):.0f} ms",
        ]  # fmt: skip


def bin_rows() -> Iterator[list[str]]:
    """Spikes of one recording in bins of four sizes, tau 100 ms, 600 s, five seeds."""
    for seed in settings.SEEDS[:5]:
        found = [_pooled(c) for c in settings.exact_spikes(seed).values()]
        tau, usual = (np.array([f[k] for f in found]) for k in (0, 3))
        yield [
            f"seed {seed}", *(f"{1000 * t:.1f} ms" for t in tau),
            f"{100 * np.ptp(tau) / tau.mean():.1f} %",
            f"{100 * np.ptp(usual) / usual.mean():.0f} %",
        ]  # fmt: skip


def null_rows() -> Iterator[list[str]]:
    """Poisson units without dynamics, and a rate locked to trials."""
    for locked in (False, True):
        codes, usual = [], 0
        seeds = settings.NULL_SEEDS if not locked else settings.NULL_SEEDS[:40]
        for seed in seeds:
            counts = settings.nothing(seed, locked=locked)["counts"]
            table = nr.spikes.Timescales(pooled=True).fit(counts).parameters_
            codes.append(str(table["status"].values))
            usual += bool(np.isfinite(table["naive_tau"]))
        kinds = {c: codes.count(c) for c in sorted(set(codes))}
        yield [
            "rate of 2 Hz locked to trials" if locked else "no dynamics, 20 units, 120 s",
            str(len(codes)), f"{100 * codes.count('ok') / len(codes):.1f} %",
            ", ".join(f"{n} {c}" for c, n in kinds.items()), f"{100 * usual / len(codes):.0f} %",
        ]  # fmt: skip


_SPEED = """
import resource, time, sys
import numpy as np
import neurornn as nr
rec = nr.simulate.simulate_latent_population({n}, 3600.0, tau=0.2, bin_size=0.02, rng=0)
counts = rec["counts"].astype("int16").copy()
del rec
counts.attrs["bin_size"] = 0.02
nr.spikes.Timescales().fit(counts[:2000, :2])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
now = int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
open("/proc/self/clear_refs", "w").write("5")
begun = time.perf_counter()
fit = nr.spikes.Timescales({arguments}).fit(counts)
spent = time.perf_counter() - begun
import os
def peak_of(pid):
    lines = open(f"/proc/{{pid}}/status")
    return float([l for l in lines if l.startswith("VmHWM")][0].split()[1]) / 1e3
own = os.getpid()
workers = open(f"/proc/{{own}}/task/{{own}}/children").read().split()
peak = peak_of(own) + sum(map(peak_of, workers))
ok = fit.parameters_["status"].values == "ok"
ci, tau = np.atleast_2d(fit.parameters_["tau_ci"].values), fit.parameters_["tau"].values
print(spent, peak - now, ok.mean(), np.nanmean(tau) / 0.2 - 1,
      np.mean((ci[:, 0] < 0.2) & (ci[:, 1] > 0.2)))
"""


def dead_time_rows() -> Iterator[list[str]]:
    """Units with a dead time of 4 ms, which the fit is told of or not, 20 seeds."""
    for rate in (8.0, 40.0):
        for dead in (0.0, 0.004):
            tau, low, high, size, missed = [], [], [], [], 0
            for seed in settings.SEEDS[:20]:
                table = nr.spikes.Timescales(
                    pooled=True, bin_size=0.01, refractory_period=dead
                ).fit(settings.dead_times(seed, rate)).parameters_  # fmt: skip
                missed += str(table["status"].values) != "ok"
                tau.append(float(table["tau"][0]))
                size.append(float(table["amplitude"][0]))
                ends = table["tau_ci"].values[0]
                low.append(ends[0])
                high.append(ends[1])
            inside = np.mean((np.array(low) < 0.1) & (np.array(high) > 0.1))
            yield [
                f"{rate:g} Hz, refractory_period={dead:g}", str(len(tau)), str(missed),
                f"{100 * (np.mean(tau) / 0.1 - 1):+.1f} %", f"{inside:.3f}",
                f"{100 * (np.mean(size) / 0.6 - 1):+.1f} %",
            ]  # fmt: skip


def speed_rows() -> Iterator[list[str]]:
    """500 units, 1 h, bins of 20 ms, with intervals, in a process of its own; workers count."""
    for name, n, arguments in (
        ("500 units alone, two processes", 500, "n_jobs=2"),
        ("50 units pooled", 50, "pooled=True"),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", _SPEED.format(n=n, arguments=arguments)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        spent, above, ok, bias, inside = map(float, ran.stdout.split()[-5:])
        yield [
            name, f"{spent:.0f}", f"{above:.0f}", f"{100 * ok:.1f} %", f"{100 * bias:+.1f} %",
            f"{inside:.3f}",
        ]  # fmt: skip
