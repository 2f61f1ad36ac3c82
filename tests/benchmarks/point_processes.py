"""Point processes: time constants, real cells, the KS test, speed; settings in spike_settings."""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats
from scipy.special import gammaln

import neurornn as nr
from tests.benchmarks import spike_settings as settings

TAU_COLUMNS = ["runs", "bias", "error (sd)", "coverage", "width of the interval", "not ok"]
DEAD_COLUMNS = ["truth", "Poisson account", "history", "KS: Poisson", "KS: history", "band"]
KS_COLUMNS = ["trains", "rejected at 5 %", "trains of the wrong model (no past) rejected"]
CELL_COLUMNS = [
    "spikes", "band", "KS: GLM", "KS: ours", "bits: GLM", "bits: ours", "to be reached",
    "ours as one spike a bin", "s",
]  # fmt: skip
REACH_COLUMNS = ["right", "in each fold", "chosen within the training trials", "CPU s"]
SPEED_COLUMNS = [
    "peer, CPU s", "ours, CPU s", "ratio", "log-likelihood, ours less peer's",
    "largest difference of a weight",
]  # fmt: skip
HOUR_COLUMNS = [
    "PSTH, s", "counts, s", "GLM, s", "together, s", "base, MB", "above it, MB", "columns",
    "all spikes counted",
]  # fmt: skip
DEFINITION_COLUMNS = ["ours", "published", "largest difference", ""]


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


def cell_rows() -> Iterator[list[str]]:
    """Real ganglion cells: a GLM, and one that follows drift with a free hazard."""
    rec, frame = retina()
    train, test = nr.data.restrict(rec, 0.0, 300.0), nr.data.restrict(rec, 300.0, 600.0)
    width = frame / 8
    counts = nr.data.bin_spikes(test, width).values
    common: dict[str, Any] = {
        "history": 0.3, "history_basis": "raised_cosine", "n_history": 14, "n_stimulus": 16,
        "stimulus_duration": 0.25, "bin_size": width,
    }  # fmt: skip
    for cell in range(4):
        plain = nr.spikes.PointProcess(
            "stimulus", **common, unit=[cell], distribution="poisson"
        ).fit(train)
        begin = time.process_time()
        ours = nr.spikes.PointProcess(
            "stimulus", **common, unit=[cell], forgetting="auto", renewal=True
        ).fit(train)
        checks = [nr.spikes.time_rescaling(m, test) for m in (plain, ours)]
        spent = time.process_time() - begin
        bits = [
            nr.spikes.bits_per_spike(m.rates(test).values[:, 0] * width, counts[:, cell])
            for m in (plain, ours)
        ]
        wanted = {0: "2.11", 2: "1.79"}.get(cell, f"{bits[0]:.2f} (this GLM)")
        yield [
            f"cell {cell}", str(int(counts[:, cell].sum())), f"{float(checks[0].band[0]):.4f}",
            *(f"{float(c.statistic[0]):.4f}" for c in checks), *(f"{b:.3f}" for b in bits),
            wanted, f"{float(ours.bits_per_spike(test)[0]):.3f}", f"{spent:.1f}",
        ]  # fmt: skip


def retina() -> tuple[Any, float]:
    """Four ganglion cells with the flicker that they saw, and the length of a frame, s."""
    from scipy.io import loadmat

    folder = nr.fetch("pillow_rgc")

    def read(name: str) -> Any:
        return loadmat(folder / f"{name}.mat")[name].ravel()

    stamps = read("stimtimes")
    rec = nr.data.from_spikes(
        [t.ravel() for t in read("SpTimes")], t_start=0.0, t_stop=float(stamps[-1])
    ).assign(stimulus=("sample", read("Stim")), sample_time=("sample", stamps))
    return rec, float(np.diff(stamps).mean())


def reach_rows() -> Iterator[list[str]]:
    """Which of eight targets, from 150 to 550 ms of planning: by the likelihood of each."""
    from scipy.io import loadmat

    place = nr.fetch("ps4_motor_planning")
    trials = loadmat(place if place.is_file() else place / "ps4_realdata.mat")["train_trial"]
    wide, n_bins = 20, 20
    x = np.stack(
        [
            [
                one["spikes"][:, 150:550].reshape(97, n_bins, wide).sum(axis=2).T.astype(float)
                for one in row
            ]
            for row in trials
        ]
    )  # (trial, target, bin, unit)
    folds = np.array_split(np.arange(len(x)), 5)
    scores: dict[str, list[float]] = {k: [] for k in ("Poisson", "PSTH", "RNN")}
    chosen = []
    begin = time.process_time()
    for test in folds:
        train = np.setdiff1d(np.arange(len(x)), test)
        scores["Poisson"].append(_plain(x, train, test))
        scores["PSTH"].append(_smoothed(x, train, test))
        # Within the training trials: does the network do better with the spikes fed back?
        inner, held = train[np.arange(len(train)) % 5 > 0], train[::5]
        tried = {f: _by_network(x, inner, held, f) for f in (True, False)}
        feedback = max(tried, key=lambda f: tried[f])
        chosen.append("fed back" if feedback else "not fed back")
        scores["RNN"].append(_by_network(x, train, test, feedback))
    spent = time.process_time() - begin
    for name, values in scores.items():
        sizes = np.array([len(f) for f in folds])
        mean = float(np.average(values, weights=sizes))
        yield [
            name, f"{100 * mean:.1f} %", ", ".join(f"{100 * v:.1f}" for v in values),
            ", ".join(chosen) if name == "RNN" else "", f"{spent:.0f}" if name == "RNN" else "",
        ]  # fmt: skip


def _plain(x: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Poisson maximum likelihood on the counts of the whole stretch."""
    mean = x[train].sum(axis=2).mean(axis=0) + 0.5 / len(train)
    counts = x[test].sum(axis=2)
    value = (counts[:, :, None] * np.log(mean) - mean).sum(axis=-1)
    return float((value.argmax(axis=-1) == np.arange(8)).mean())


def _smoothed(x: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Poisson maximum likelihood on bins, with PSTHs smoothed over 50 ms."""
    at = np.arange(x.shape[2])
    taps = np.exp(-0.5 * ((at[:, None] - at) / 2.5) ** 2)
    taps /= taps.sum(axis=1, keepdims=True)
    mean = np.einsum("bc,tcu->tbu", taps, x[train].mean(axis=0)) + 0.5 / len(train) / len(at)
    value = np.einsum("itbu,sbu->its", x[test], np.log(mean)) - mean.sum(axis=(1, 2))
    return float((value.argmax(axis=-1) == np.arange(8)).mean())


def _by_network(x: np.ndarray, train: np.ndarray, test: np.ndarray, feedback: bool) -> float:
    """The same by a recurrent point process that is told the target."""
    n_bins, n_units = x.shape[2:]
    dims = ("trial", "time", "unit")

    def counts(which: np.ndarray) -> Any:
        return xr.DataArray(x[which].reshape(-1, n_bins, n_units), dims=dims)

    told = np.tile(np.repeat(np.eye(8), n_bins, axis=0), (len(train), 1))
    model = nr.spikes.RecurrentPointProcess(
        cell="gru", n_hidden=24, bin_size=0.02, distribution="poisson", window=0.4,
        feedback=feedback, rng=0,
    ).fit(counts(train), stimulus=told)  # fmt: skip
    seen = counts(test)
    value = np.empty((len(seen), 8))
    for target in range(8):
        told = np.zeros((seen.shape[0] * n_bins, 8))
        told[:, target] = 1.0
        mean = model.rates(seen, stimulus=told).values.reshape(seen.shape) * 0.02
        value[:, target] = (seen.values * np.log(mean) - mean).sum(axis=(1, 2))
    return float((value.argmax(axis=-1).reshape(-1, 8) == np.arange(8)).mean())


def speed_rows() -> Iterator[list[str]]:
    """Four coupled cells, 300 s at 1 ms: a fit with intervals, beside peers on its own design."""
    rec = settings.coupled_cells()
    options: dict[str, Any] = {
        "history": 0.1, "history_basis": "raised_cosine", "coupling": True, "n_coupling": 8,
        "distribution": "poisson",
    }  # fmt: skip
    nr.spikes.PointProcess("stimulus", **options).fit(rec)
    ours, peers, away, gap = [], {}, {}, {}
    for turn in range(2):
        begin = time.process_time()
        model = nr.spikes.PointProcess("stimulus", **options).fit(rec)
        ours.append(time.process_time() - begin)
        if turn:
            break
        bins, shown = model._take(rec, None, fitted=True)
        for name, peer in (("statsmodels", _statsmodels), ("nemos", _nemos)):
            spent, weights, top = 0.0, [], []
            try:
                for k in range(4):
                    design, position, own = model._design(bins, shown, k)
                    x, y = design.block(slice(0, design.n_rows)), bins.counts(position)
                    begin = time.process_time()
                    found = peer(x, y)
                    spent += time.process_time() - begin
                    rate = x @ found
                    theirs = float((y * rate - np.exp(rate)).sum())
                    rate = x @ own
                    top.append(float((y * rate - np.exp(rate)).sum()) - theirs)
                    # Weights of bumps within the dead time run away, and no data hold them.
                    held = own > -3
                    weights.append(np.abs(own - found)[held].max())
            except ImportError:
                continue
            peers[name], away[name], gap[name] = spent, max(weights), min(top)
    mine = float(np.median(ours))
    for name, spent in peers.items():
        yield [
            name, f"{spent:.1f}", f"{mine:.2f}", f"{spent / mine:.0f}x", f"{gap[name]:+.1e}",
            f"{away[name]:.1e}",
        ]  # fmt: skip


def _statsmodels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import statsmodels.api as sm

    return np.asarray(sm.GLM(y, x, family=sm.families.Poisson()).fit(tol=1e-10, maxiter=50).params)


def _nemos(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    import jax

    jax.config.update("jax_enable_x64", True)
    import nemos

    # The first column is 1; nemos has an intercept of its own.
    model = nemos.glm.GLM(
        solver_name="LBFGS", solver_kwargs={"tol": 1e-10, "maxiter": 300},
    ).fit(x[:, 1:], y)  # fmt: skip
    return np.concatenate([np.ravel(model.intercept_), np.ravel(model.coef_)])


def hour_rows() -> Iterator[list[str]]:
    """An hour of 500 units at 1 ms, in a process of its own."""
    script = (
        "import resource, time, numpy as np, neurornn as nr\n"
        "rng = np.random.default_rng(0)\n"
        "rates = np.exp(rng.normal(1.5, 0.8, 500))\n"
        "trains = [np.sort(rng.uniform(0, 3600, rng.poisson(3600 * r))) for r in rates]\n"
        "rec = nr.data.from_spikes(trains, t_start=0.0, t_stop=3600.0)\n"
        "nr.spikes.PointProcess(history_basis='raised_cosine').fit(nr.simulate."
        "simulate_poisson(20.0, duration=20.0, rng=0))\n"
        "nr.spikes.psth(nr.data.restrict(rec, 0, 20), [5.0], bin_size=0.01)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "base, begin = peak(), time.time()\n"
        "events = np.arange(1.0, 3599.0, 2.0)\n"
        "nr.spikes.psth(rec, events, window=(-0.2, 0.8), bin_size=0.01)\n"
        "psth = time.time() - begin\n"
        "total = 0\n"
        "for k in range(0, 3600, 60):\n"
        "    part = nr.data.bin_spikes(rec, 0.001, t_start=k, t_stop=k + 60)\n"
        "    total += int(part.values.sum())\n"
        "counts = time.time() - begin - psth\n"
        "unit = int(np.argsort(rates)[250])\n"
        "model = nr.spikes.PointProcess(history=0.1, history_basis='raised_cosine', "
        "coupling=True, unit=[unit], n_coupling=2, max_rows=150_000, penalty=1.0, "
        "distribution='poisson').fit(rec)\n"
        "glm = time.time() - begin - psth - counts\n"
        "z = (model.filters_['coupling_filter'] / 1).values[0]\n"
        "print(psth, counts, glm, base, peak() - base, total == sum(map(len, trains)), "
        "model.weights_.sizes['term'], model.parameters_['status'].values[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    psth, counts, glm, base, more, whole, terms, status = done.stdout.split()
    yield [
        "500 units, 3600 s", f"{float(psth):.1f}", f"{float(counts):.1f}", f"{float(glm):.1f}",
        f"{float(psth) + float(counts) + float(glm):.0f}", f"{float(base):.0f}",
        f"{float(more):.0f}", f"{terms} ({status})", whole,
    ]  # fmt: skip


def definition_rows() -> Iterator[list[str]]:
    """Bits per spike and the corrected KS statistic, against their published definitions."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.2, (20, 100, 5)).astype(float)
    rates = rng.gamma(2.0, 0.1, counts.shape)
    ours = nr.spikes.bits_per_spike(rates, counts)
    # nlb_tools' own terms, written down again: negative log-likelihoods over spikes and ln 2.
    null = np.tile(counts.mean(axis=(0, 1), keepdims=True), (20, 100, 1))
    lost = [float(np.sum(r - counts * np.log(r) + gammaln(counts + 1))) for r in (rates, null)]
    theirs = (lost[1] - lost[0]) / counts.sum() / np.log(2)
    yield ["bits per spike", f"{ours:.12f}", f"{theirs:.12f}", f"{abs(ours - theirs):.1e}", ""]
    try:
        from nstat.extras.spatial.marked_gof import corrected_rescaled
    except ImportError:
        return
    rec = settings.driven_neuron(0)
    model = nr.spikes.PointProcess(
        "stimulus", history=0.1, history_basis="raised_cosine", distribution="bernoulli"
    ).fit(rec)
    mean = model.rates(rec)
    spikes = np.flatnonzero(nr.data.bin_spikes(rec, 0.001).values[:, 0])
    found = []
    for seed in range(200):
        check = nr.spikes.time_rescaling(
            mean, rec, distribution="probability", rng=np.random.default_rng(seed)
        )
        peer = corrected_rescaled(spikes, mean.values[:, 0] * 0.001, np.random.default_rng(seed))
        found.append([float(check.statistic[0]), float(stats.kstest(peer, "uniform").statistic)])
    both = np.array(found)
    yield [
        "corrected KS statistic (200 draws of the place of a spike in its bin)",
        f"{both[:, 0].mean():.5f}", f"{both[:, 1].mean():.5f}",
        f"{np.abs(both[:, 0] - both[:, 1]).max():.1e}", f"{len(spikes)} spikes",
    ]  # fmt: skip
