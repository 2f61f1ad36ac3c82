"""Forecasts of known systems and of real recordings: one league each, and peers on the same split.

Fixed before the first run
--------------------------
*Systems* (`nr.simulate.simulate_system`, noise of 1 % of the sd of each variable, rng 0): van der
Pol (mu 1) and damped Duffing (delta .3), 60 trials of 20 s from a Gaussian cloud of sd 1.5 and 1
around the system's own start, .1 s a frame, one window a trial; Lorenz, 300 s on the attractor,
.02 s a frame, windows of 8 s. A quarter of every window is history alone. Split .7, .15, .15;
horizons of .5 and 5 s, for Lorenz .1 and 1 s; Lyapunov time of Lorenz 1 / .906 s. Models: a GRU of
32 units (Adam, rate .01, 40 epochs, batches of 8, 2 seeds), EDMD with polynomials to degree 3 and
5 in both ways, modes, linear, ridge, and what every league holds. A valid time is that to an error
of .4 sd (all variables together) and ends with the window.

deeptime 0.5.0 (`EDMD` of `Monomials`) and kooplearn 2.0.3 (`Ridge` without reduction of rank, its
default penalty, of the same monomials) are fitted to the same scaled training windows, without
pairs across their edges, and scored by the same code on the same test windows. The linear way is
their own; for the relifted way their operator is applied once and the state read from the
monomials of degree 1 after every step.

*Real recordings*: contdata95 (square roots of counts in bins of .2 s, the first 8,000 bins, the 20
units that fire most in the first 70 % of them), linear track (the same of 12 units, all bins),
Allen population (dF/F of 74 cells, means of 3 frames: 10 Hz). Horizons of one bin and of 1 s,
windows of 5 s; a LeakyRNN of 32 units with tau .3 s, and "linear", by Adam (rate .01, weight
decay .1, batches of 16, 15 epochs); modes of the rank that validation chooses; EDMD of degree 1;
ridge; 5 seeds. Coarse bins and few epochs keep each under ten minutes on one core. Changed after
the first run: with 15 epochs the two short recordings left every network ``not_converged``, and
the memoryless model behind an EDMD of degree 1, which is the same map in closed form; they have 60
epochs now, for all models alike.

*Cost*: a pass forward and back of a causal Transformer (32 units, 4 heads, 2 layers, batch 8)
against a GRU of 32 units, per length of sequence and context; median of 3.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import xarray as xr

import neurornn as nr
from neurornn._core.errors import FileMissingError
from neurornn._core.rng import derived_seed
from neurornn._core.units import format_number, format_quantity
from neurornn.compare.free_runs import run_from, truth_of
from neurornn.compare.scores import block_scores, interval_over_blocks
from neurornn.compare.task import scaled_task, task_of
from neurornn.training.batches import TrainingData
from neurornn.training.objectives import objective_named

SPLIT = (0.7, 0.15, 0.15)
DEGREES = (3, 5)
COLUMNS = ["R2, near", "R2, far", "behind the best, far", "valid time", "CPU s", "status"]
ADAM = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 8}
N_SEEDS = 2
#: name -> system, its options, dt (s), window (s), horizons (s), unit of the valid time (s).
SYSTEMS: dict[str, tuple[str, dict[str, Any], float, float, tuple[float, float], float | None]] = {
    "van der Pol": (
        "van_der_pol", {"n_trials": 60, "duration": 20.0, "settle": 0.0, "spread": 1.5},
        0.1, 20.0, (0.5, 5.0), None,
    ),
    "Duffing, damped": (
        "duffing", {"n_trials": 60, "duration": 20.0, "spread": 1.0, "delta": 0.3},
        0.1, 20.0, (0.5, 5.0), None,
    ),
    "Lorenz": ("lorenz", {"duration": 300.0}, 0.02, 8.0, (0.1, 1.0), 1 / 0.906),
}  # fmt: skip


def in_one(run: xr.Dataset, dt: float) -> xr.DataArray:
    """Trials on one clock, with gaps of 2 s that no window crosses: (time, unit)."""
    series = run["series"].values
    n_trials, n, n_axes = series.shape
    start = (n * dt + 2.0) * np.arange(n_trials)[:, None]
    clock = (start + dt * (np.arange(n) + 1)).ravel()
    return xr.DataArray(
        series.reshape(-1, n_axes), dims=("time", "unit"), coords={"time": clock},
        attrs={"sampling_rate": 1 / dt}, name="series",
    )  # fmt: skip


def rows() -> Iterator[list[str]]:
    """One row per system and model, peers after ours; then the verdicts."""
    for label, (name, options, dt, window, horizons, lyapunov) in SYSTEMS.items():
        run = nr.simulate.simulate_system(name, dt=dt, noise_sd=0.01, rng=0, **options)
        series = in_one(run, dt)
        n = series.sizes["unit"]
        recipes = [
            nr.models.GRU(n, 32, n, dt=dt),
            *(nr.koopman.EDMD(degree=d) for d in DEGREES),
            *("modes", "linear", "ridge"),
        ]
        table = nr.compare.league(
            series, recipes, fractions=SPLIT, duration=window, horizons=horizons,
            n_seeds=N_SEEDS, max_epochs=40, fit_options={"GRU": ADAM}, lyapunov_time=lyapunov,
        )  # fmt: skip
        valid = "valid_time" if lyapunov is None else "valid_lyapunov_times"
        told = {"EDMD": f"EDMD of degree {DEGREES[0]}", "EDMD 2": f"EDMD of degree {DEGREES[1]}"}
        for row in league_rows(table, valid):
            kind, way = row[0].rsplit(" (", 1) if "(" in row[0] else (row[0], "")
            row[0] = told.get(kind, kind) + (f" ({way}" if way else "")
            yield [f"{label}: {row[0]}", *row[1:]]
        yield from _peer_rows(label, series, window, table, lyapunov)
        for line in table.verdict.splitlines():
            yield [f"{label}: verdict", *[""] * (len(COLUMNS) - 1), line]


def league_rows(table: Any, valid: str) -> Iterator[list[str]]:
    """Name, R2 at both horizons, how far behind, valid time, CPU time and status of each model."""
    p, runs = table.parameters, table.runs
    for i, name in enumerate(p["model"].values):
        yield [
            str(name),
            *(_told(p, "r2", (i, j)) for j in (0, 1)),
            _told(p, "r2_behind_best", (i, 1)),
            _told(runs, valid, (i,)),
            format_number(float(runs["seconds"][i])),
            str(p["status"].values[i]),
        ]


def _told(table: xr.Dataset, name: str, where: tuple[int, ...]) -> str:
    low, high = table[f"{name}_ci"].values[where]
    unit = str(table[name].attrs["units"])
    return format_quantity(float(table[name].values[where]), unit, low, high)


class Peer:
    """A map of monomials by another package, in one of two ways; see `Forecaster`.

    Parameters
    ----------
    lift : states (point, unit) to functions (point, term), the states from the second on.
    carry : functions and a number of steps to functions.
    """

    def __init__(self, lift: Callable, carry: Callable, way: str) -> None:
        self.lift, self.carry, self.way, self.n_weights = lift, carry, way, 0

    def _after(self, x: np.ndarray, steps: list[int]) -> np.ndarray:
        """States (point, step, unit) after so many steps."""
        n = x.shape[1]
        with np.errstate(all="ignore"):
            if self.way == "linear":
                lifted = self.lift(x)
                return np.stack([self.carry(lifted, k)[:, 1 : 1 + n] for k in steps], axis=1)
            found = []
            for k in range(1, max(steps) + 1):
                x = np.clip(np.nan_to_num(self.carry(self.lift(x), 1)[:, 1 : 1 + n]), -1e3, 1e3)
                if k in steps:
                    found.append(x)
        return np.stack(found, axis=1)

    def at(self, data: TrainingData, n_ahead: int) -> torch.Tensor:
        """Outputs (trial, time, output)."""
        x = data.inputs.double().numpy()
        out = self._after(x.reshape(-1, x.shape[2]), [n_ahead + 1])
        return torch.from_numpy(out.reshape(x.shape))

    def run(self, data: TrainingData, first: int, n_steps: int) -> torch.Tensor:
        """Expected outputs (trial, step, output)."""
        x = data.inputs.double().numpy()[:, first]
        return torch.from_numpy(self._after(x, list(range(1, n_steps + 1))))


def _deeptime(x: np.ndarray, y: np.ndarray, degree: int) -> tuple[Callable, Callable]:
    from deeptime.basis import Monomials
    from deeptime.decomposition import EDMD

    basis = Monomials(degree, x.shape[1])
    operator = EDMD(basis).fit((x, y)).fetch_model().operator
    return basis, lambda f, k: f @ np.linalg.matrix_power(operator, k)


def _kooplearn(x: np.ndarray, y: np.ndarray, degree: int) -> tuple[Callable, Callable]:
    from kooplearn.linear_model import Ridge
    from sklearn.preprocessing import PolynomialFeatures

    powers = PolynomialFeatures(degree).fit(x)
    # It takes one trajectory: with a lag of all pairs its pairs are ours, and none crosses trials.
    laid = np.concatenate([powers.transform(x), powers.transform(y)])
    model = Ridge(lag_time=len(x), reduced_rank=False).fit(laid)
    return powers.transform, lambda f, k: model.predict(f, n_steps=k)


PEERS = {"deeptime": _deeptime, "kooplearn": _kooplearn}


def _peer_rows(
    label: str, series: xr.DataArray, window: float, table: Any, lyapunov: float | None
) -> Iterator[list[str]]:
    task = scaled_task(task_of(series, SPLIT, window, 0, (1.0, "s")), gaussian=True)
    goal, truth = objective_named("gaussian"), truth_of(task.test)
    assert task.seen is not None
    inputs, seen = task.train.inputs.numpy(), task.seen.numpy().all(axis=2)
    pairs = seen[:, :-1] & seen[:, 1:]
    x, y = inputs[:, :-1][pairs], inputs[:, 1:][pairs]
    scale, unit = (task.dt, "s") if lyapunov is None else (task.dt / lyapunov, "1")
    for package, make in PEERS.items():
        for degree in DEGREES:
            begin = time.process_time()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    lift, carry = make(x, y, degree)
            except ImportError as why:
                yield [f"{label}: {package}", f"not run: {why}", *[""] * (len(COLUMNS) - 1)]
                break
            seconds = time.process_time() - begin
            for way in ("linear", "relifted"):
                peer = Peer(lift, carry, way)
                cells = []
                for h in table.parameters["horizon"].values:
                    blocks = block_scores(peer, task, goal, int(h) - 1)[None]
                    cells.append(_with_interval(blocks, _r2))
                valid = run_from(peer, task.test, truth).valid
                rows_ = scale * valid[np.isfinite(valid)][None, :, None]
                yield [
                    f"{label}: {package} EDMD of degree {degree} ({way})", *cells, "",
                    _with_interval(rows_, np.median, unit), format_number(seconds), "",
                ]  # fmt: skip


def _r2(blocks: np.ndarray) -> float:
    return float(1 - blocks[:, 0].sum() / blocks[:, 1].sum())


def _with_interval(blocks: np.ndarray, statistic: Callable, unit: str = "1") -> str:
    ends = interval_over_blocks([blocks], statistic, 0.95, derived_seed(0, 7))
    return format_quantity(float(statistic(blocks[0])), unit, *ends)


# Real recordings.

REAL_COLUMNS = COLUMNS


def _spikes(counts: np.ndarray, bin_size: float, n_units: int) -> xr.DataArray:
    """Square roots of the counts of the most active units, whose variance hardly grows."""
    most = np.argsort(-counts[: int(SPLIT[0] * len(counts))].sum(axis=0))[:n_units]
    values = np.sqrt(counts[:, np.sort(most)])
    clock = bin_size * (np.arange(len(values)) + 1)
    return xr.DataArray(
        values, dims=("time", "unit"), coords={"time": clock},
        attrs={"sampling_rate": 1 / bin_size}, name="counts",
    )  # fmt: skip


def _averaged(x: np.ndarray, n: int) -> np.ndarray:
    return x[: len(x) // n * n].reshape(-1, n, x.shape[1]).mean(axis=1)


def contdata95() -> xr.DataArray:
    """Square roots of counts (time, unit) in bins of .2 s."""
    from tests.benchmarks.decoding import contdata

    # 8,000 bins of .2 s from the bins of .1 s that the file has.
    counts = contdata()[0][:16_000]
    return _spikes(2 * _averaged(counts, 2), 0.2, 20)


def track() -> xr.DataArray:
    """The same of the linear track."""
    from tests.benchmarks.audits import linear_track

    return _spikes(linear_track()[0], 0.2, 12)


def allen() -> xr.DataArray:
    """dF/F (time, unit) at 10 Hz."""
    from tests.benchmarks.allen_league import population

    values = _averaged(population().values, 3)
    clock = 0.1 * (np.arange(len(values)) + 1)
    return xr.DataArray(
        values, dims=("time", "unit"), coords={"time": clock}, attrs={"sampling_rate": 10.0},
        name="dff",
    )  # fmt: skip


REAL = {"contdata95": contdata95, "linear track": track, "Allen population": allen}
EPOCHS = {"contdata95": 15, "linear track": 60, "Allen population": 60}


def real_league(series: xr.DataArray, max_epochs: int) -> Any:
    """One league of a recording, forecast one bin and one second ahead."""
    n, dt = series.sizes["unit"], 1 / float(series.attrs["sampling_rate"])
    adam = {**ADAM, "batch_size": 16, "weight_decay": 0.1}
    return nr.compare.league(
        series,
        [
            nr.models.LeakyRNN(n, 32, n, dt=dt, tau=0.3, tau_bounds=(dt / 2, 5.0)),
            *("modes", nr.koopman.EDMD(degree=1), "linear", "ridge"),
        ],
        fractions=SPLIT, duration=5.0, horizons=(dt, 1.0), n_seeds=5,
        max_epochs=max_epochs, fit_options=adam,
    )  # fmt: skip


def real_rows() -> Iterator[list[str]]:
    """One row per recording and model, then the verdicts."""
    for label, opened in REAL.items():
        try:
            series = opened()
        except FileMissingError:
            yield [label, "not here", *[""] * (len(COLUMNS) - 1)]
            continue
        table = real_league(series, EPOCHS[label])
        for row in league_rows(table, "valid_time"):
            yield [f"{label}: {row[0]}", *row[1:]]
        for line in table.verdict.splitlines():
            yield [f"{label}: verdict", *[""] * (len(COLUMNS) - 1), line]


# What attention costs.

COST_COLUMNS = ["context 1 s, ms", "context: the whole sequence, ms", "GRU, ms"]
LENGTHS = (100, 400, 1600)


def cost_rows() -> Iterator[list[str]]:
    """Milliseconds of a pass forward and back, one row per length of sequence (100 Hz)."""

    def passed(model: torch.nn.Module, n: int) -> float:
        x = torch.randn(8, n, 3, generator=torch.Generator().manual_seed(0))
        took = []
        for _ in range(3):
            begin = time.process_time()
            model(x).output.square().mean().backward()
            took.append(time.process_time() - begin)
        return 1000 * float(np.median(took))

    def attending(context: float) -> torch.nn.Module:
        return nr.models.CausalTransformer(
            3, 32, 3, dt=0.01, context=context, n_heads=4, n_layers=2, rng=0
        )

    for n in LENGTHS:
        found = (attending(1.0), attending(n * 0.01), nr.models.GRU(3, 32, 3, dt=0.01, rng=0))
        yield [f"{n} steps", *(f"{passed(m, n):.0f}" for m in found)]
