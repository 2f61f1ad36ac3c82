"""Time constants of 64 units learned together with all weights; the same on three clocks."""

import time as clock
from collections.abc import Iterator

import numpy as np

import neurornn as nr
from tests.benchmarks import recurrent_settings as fixed

COLUMNS = [
    "units", "ok", "median error", "gate", "worst error", "coverage", "gate", "half-width",
    "trivial error", "seconds",
]  # fmt: skip
CLOCK_COLUMNS = [
    "units", "ok", "spread, median", "spread, worst", "gate", "error, median", "half-width",
    "unresolved", "shorter than 5 dt", "shorter than 5 coarsest dt", "seconds",
]  # fmt: skip


def trivial(win) -> np.ndarray:
    """Time constant of each unit from its autocorrelation at lag one, as if it ran by itself."""
    y = win["targets"].values
    y = y - y.mean((0, 1))
    near = (y[:, 1:] * y[:, :-1]).mean((0, 1)) / (y**2).mean((0, 1))
    return -win.attrs["dt"] / np.log(np.clip(near, 1e-6, 1 - 1e-9))


def fitted(win, substeps: int = 1, **options):
    """Fit a network that knows nothing but the inputs and the noisy states."""
    model = nr.models.LeakyRNN(
        win.sizes["input"],
        win.sizes["output"],
        win.sizes["output"],
        dt=win.attrs["dt"],
        tau=0.05,
        tau_bounds=(0.002, 2.0),
        readout="states",
        substeps=substeps,
        rng=0,
    )
    return nr.fit(model, win, max_epochs=150, rng=0, **options)


def rows() -> Iterator[list[str]]:
    """One row per network, and all units together."""
    counted: dict[str, list[np.ndarray]] = {k: [] for k in ("error", "in", "width", "ok", "lazy")}
    for seed in fixed.NETWORKS:
        win = fixed.network(seed)
        begin = clock.perf_counter()
        result = fitted(win)
        took = clock.perf_counter() - begin
        truth, p = win["tau_true"].values, result.parameters
        low, high = p["tau_ci"].values.T
        one = {
            "error": np.abs(p["tau"].values / truth - 1),
            # A unit without an interval is not covered.
            "in": (low <= truth) & (truth <= high),
            "width": (high - low) / 2 / truth,
            "ok": (p["status"].values == "ok") & (result.status == "ok"),
            "lazy": np.abs(trivial(win) / truth - 1),
        }
        for key, values in one.items():
            counted[key].append(values)
        yield [f"network {seed}", *_row(one), f"{took:.0f}"]
    yield ["all", *_row({k: np.concatenate(v) for k, v in counted.items()}), ""]


def _row(c: dict[str, np.ndarray]) -> list[str]:
    return [
        str(len(c["error"])),
        f"{100 * c['ok'].mean():.0f} %",
        f"{100 * np.median(c['error']):.2f} %",
        "<= 5 %",
        f"{100 * c['error'].max():.1f} %",
        f"{c['in'].mean():.3f}",
        ".90-.98",
        f"{100 * np.nanmedian(c['width']):.2f} %",
        f"{100 * np.median(c['lazy']):.0f} %",
    ]


def clock_rows() -> Iterator[list[str]]:
    """One network simulated every half ms, fitted on three clocks, steps of 2.5 ms in each."""
    for kept in (1, None):
        taus, widths, oks, flags, short = [], [], [], [], []
        begin = clock.perf_counter()
        for dt in fixed.CLOCKS:
            win = fixed.on_clock(dt)
            result = fitted(win, substeps=kept or round(dt / 0.0025))
            p = result.parameters
            truth = win["tau_true"].values
            taus.append(p["tau"].values)
            widths.append((p["tau_ci"].values[:, 1] - p["tau_ci"].values[:, 0]) / 2 / truth)
            oks.append((p["status"].values == "ok") & (result.status == "ok"))
            flags.append(p["clock"].values == "unresolved")
            short.append(truth < 5 * dt)
        tau = np.array(taus)
        long = truth >= 5 * fixed.CLOCKS[-1]
        spread = (tau.max(0) - tau.min(0)) / tau.mean(0)
        name = "substeps of 2.5 ms" if kept is None else "one step per frame"
        yield [
            name,
            str(int(long.sum())),
            f"{100 * np.array(oks)[:, long].mean():.0f} %",
            f"{100 * np.median(spread[long]):.2f} %",
            f"{100 * spread[long].max():.2f} %",
            "<= 3 %" if kept is None else "",
            f"{100 * np.median(np.abs(tau.mean(0) / truth - 1)[long]):.2f} %",
            f"{100 * np.nanmedian(np.array(widths)[:, long]):.2f} %",
            f"{int(flags[-1].sum())} at the coarsest",
            f"{int(short[-1].sum())}",
            f"{int((~long).sum())}",
            f"{clock.perf_counter() - begin:.0f}",
        ]
