"""Point processes: time constants, real cells, the KS test, speed; settings in spike_settings."""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import neurornn as nr
from tests.benchmarks import spike_settings as settings

TAU_COLUMNS = ["runs", "bias", "error (sd)", "coverage", "width of the interval", "not ok"]
DEAD_COLUMNS = ["truth", "Poisson account", "history", "KS: Poisson", "KS: history", "band"]
KS_COLUMNS = ["trains", "rejected at 5 %", "trains of the wrong model (no past) rejected"]
CELL_COLUMNS = [
    "spikes", "band", "KS: GLM", "KS: ours", "bits: GLM", "bits: ours", "to be reached", "s",
]  # fmt: skip


def tau_rows() -> Iterator[list[str]]:
    """Time constants of a neuron whose past is known, 60 seeds."""
    found: dict[str, list[list[float]]] = {name: [] for name in settings.TRUE}
    missed = dict.fromkeys(settings.TRUE, 0)
    for seed in settings.SEEDS:
        glm = nr.spikes.PointProcess(history=0.2).fit(settings.neuron(seed))
        table = glm.parameters_.isel(unit=0)
        for name in settings.TRUE:
            low, high = table[f"{name}_ci"].values
            ok = str(table["status"].values) == "ok" and np.isfinite([low, high]).all()
            missed[name] += not ok
            found[name].append([float(table[name]), low, high] if ok else [np.nan, 1.0, 0.0])
    for name, true in settings.TRUE.items():
        values = np.array(found[name])
        inside = (values[:, 1] <= true) & (true <= values[:, 2])
        yield [
            f"{name}, {true:g} s", str(len(values)),
            f"{100 * (np.nanmean(values[:, 0]) / true - 1):+.1f} %",
            f"{100 * np.nanstd(values[:, 0]) / true:.0f} %", f"{inside.mean():.3f}",
            f"{100 * np.median(values[:, 2] - values[:, 1]) / true:.0f} %", str(missed[name]),
        ]  # fmt: skip


def dead_time_rows() -> Iterator[list[str]]:
    """Share of intervals below the dead time: in the truth, and simulated from two fits."""
    shares, tests = [], []
    for seed in settings.SEEDS[:10]:
        rec, new = settings.neuron(seed), settings.neuron(1000 + seed)
        models = [nr.spikes.PointProcess(history=h).fit(rec) for h in (None, 0.2)]
        drawn = [rec, *(m.simulate(rng=seed) for m in models)]
        shares.append([np.mean(np.diff(r["spike_times"]) < 0.003) for r in drawn])
        checks = [nr.spikes.time_rescaling(m, new) for m in models]
        tests.append([*(float(c.statistic[0]) for c in checks), float(checks[0].band[0])])
    share, test = np.mean(shares, axis=0), np.median(tests, axis=0)
    yield [
        "10 neurons", *(f"{100 * s:.2f} %" for s in share), *(f"{t:.3f}" for t in test)
    ]  # fmt: skip


def ks_rows() -> Iterator[list[str]]:
    """How often the KS test rejects the model that drew the spikes."""
    rec = settings.driven_neuron(0)
    for width in settings.KS_BINS:
        model = nr.spikes.PointProcess(
            "stimulus", history=0.1, history_basis="raised_cosine", bin_size=width
        ).fit(rec)
        plain = nr.spikes.PointProcess("stimulus", history=None, bin_size=width).fit(rec)
        rejected = wrong = 0
        for k in range(settings.N_KS):
            drawn = model.simulate(rng=np.random.default_rng([k, 18]))
            check = nr.spikes.time_rescaling(model, drawn, rng=np.random.default_rng([k, 19]))
            rejected += float(check.p_value[0]) < 0.05
            if k < 50:
                wrong += float(nr.spikes.time_rescaling(plain, drawn, rng=k).p_value[0]) < 0.05
        yield [
            f"bins of {1000 * width:g} ms ({model.distribution_})", str(settings.N_KS),
            f"{100 * rejected / settings.N_KS:.1f} %", f"{wrong} of 50",
        ]  # fmt: skip


def retina() -> Any:
    """Four ganglion cells with the flicker that they saw."""
    from scipy.io import loadmat

    from tests.benchmarks.realdata import data_dir

    folder = data_dir() / "spikes" / "pillow_rgc"

    def read(name: str, key: str) -> Any:
        return loadmat(folder / f"{name}.mat")[key].ravel()

    times, stamps = read("SpTimes", "SpTimes"), read("stimtimes", "stimtimes")
    trains = [t.ravel() for t in times]
    return nr.data.from_spikes(trains, t_start=0.0, t_stop=float(stamps[-1])).assign(
        stimulus=("sample", read("Stim", "Stim")), sample_time=("sample", stamps)
    )
