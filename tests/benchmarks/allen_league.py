"""The league on a real population: 74 cells of mouse V1, one frame and one second ahead.

How the settings were chosen
----------------------------
On the validation part alone (70 to 85 % of the recording, 30 s): `choose` puts it in the place of
the test part, so that no test score is formed, and prints R2 one frame ahead, the mean of two
seeds, for every row of `GRID`; ``python -m tests.benchmarks.allen_league`` runs it again, in five
minutes. What it said (seeds move the third digit):

* Hidden units between cells and cells, trained on 4,200 frames: LeakyRNN of 64 or 128 units 0.144
  to 0.156, GRU of 64 units 0.146 to 0.155. Dropout and decay of the weights help little. A cell's
  own past, which says most, has to be found again through all of them.
* A unit for each cell, read directly (``readout="states"``): 0.181 with all recurrent weights or
  without the rectification; 0.199 rectified, with recurrent weights of rank 1. Learning rates of
  0.03 to 0.1 and a decay of 0.1 are level; 5 % of inputs dropped add 0.002: 0.2020, the best.
  Ranks 2 and 4 give 0.2014 and 0.2006; no recurrent weights at all 0.2022, which is no difference.
* State space: 0.168 to 0.170 with 4 modes, 0.1756 with 16, the same with 32.
* Memoryless: 0.165 to 0.169, best without decay.
* Ridge, whose own choice is made inside the league on the same part: 0.2047. Persistence: -0.35.

In a first look outside the grid, windows of 10 s, batches of 4 or 16 windows, 200 epochs and one
tau for all cells did no better. Models do not predict the change from the last frame: persistence
is a bad guess where frames are mostly noise.
These settings were committed before the test part was scored. Weight decay then drew tau to the
middle of its bounds as well; since it no longer does, the validation part says 0.2021 for them,
0.170 with tau held at 0.1 s, 0.198 with bounds of 0.03 and 0.3 s, and they stand.
"""

import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import torch

import neurornn as nr
from neurornn._core.errors import FileMissingError
from neurornn._core.rng import derived_seed
from neurornn._core.units import format_number, format_quantity
from neurornn.compare.entries import Entry, fitted, forecaster_of, named_entries
from neurornn.compare.scores import block_scores
from neurornn.compare.task import scaled_task, task_of
from neurornn.training.objectives import objective_named
from tests.benchmarks.realdata import RATES, files_of

COLUMNS = [
    "weights",
    "R2, one frame",
    "sd over seeds",
    "R2, 1 s",
    "sd over seeds",
    "behind the best, one frame",
    "status",
]
SPLIT = (0.7, 0.15, 0.15)
#: s; of the windows, the first quarter of which warms the state up.
DURATION = 5.0
#: Frames: one, and a second.
HORIZONS = (1, 30)
SEEDS = 5
MAX_EPOCHS = 100
#: Seeds for each row of the grid.
TRIALS = 2
#: What all fits share: the whole schedule is run, the weights of its best epoch are kept.
ADAM = {"optimizer": "adam", "batch_size": 8, "patience": MAX_EPOCHS}
#: A unit for each cell, whose state is the forecast.
UNIT_PER_CELL = {
    "tau": 0.1,
    "tau_bounds": (0.01, 1.0),
    "readout": "states",
    "nonlinearity": "relu",
}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One row of the grid: a model and how it is fitted."""

    model: str
    settings: dict
    learning_rate: float
    weight_decay: float

    def recipe(self, n: int, dt: float) -> nr.models.RecurrentModel:
        """Build the model for so many cells."""
        given = {"n_input": n, "n_output": n, "dt": dt, **self.settings}
        if given.get("readout") == "states":
            given["n_hidden"] = n
        return getattr(nr.models, self.model)(**given)

    @property
    def options(self) -> dict:
        """Arguments of nr.fit."""
        return {
            **ADAM, "learning_rate": self.learning_rate, "weight_decay": self.weight_decay,
        }  # fmt: skip


def _leaky(learning_rate: float, weight_decay: float, **more) -> Trial:
    return Trial("LeakyRNN", {**UNIT_PER_CELL, **more}, learning_rate, weight_decay)


def _hidden(n_hidden: int, weight_decay: float, **more) -> Trial:
    settings = {"tau": 0.1, "tau_bounds": (0.01, 1.0), "n_hidden": n_hidden, **more}
    return Trial("LeakyRNN", settings, 0.01, weight_decay)


def _modes(n_hidden: int, learning_rate: float, weight_decay: float) -> Trial:
    return Trial("LinearStateSpace", {"n_hidden": n_hidden}, learning_rate, weight_decay)


GRID = [
    # Hidden units between cells and cells.
    _hidden(64, 0.1),
    _hidden(128, 0.1),
    _hidden(128, 0.1, dropout=0.3),
    _hidden(128, 0.3, form="current"),
    Trial("GRU", {"n_hidden": 64, "tau": 0.1}, 0.01, 0.1),
    Trial("GRU", {"n_hidden": 64, "tau": 0.1, "dropout": 0.3}, 0.01, 0.1),
    # A unit for each cell.
    _leaky(0.03, 0.1, nonlinearity="linear", rank=1),
    _leaky(0.03, 0.1),
    *(_leaky(rate, decay, rank=1) for rate in (0.03, 0.05, 0.1) for decay in (0.03, 0.1, 0.3)),
    *(_leaky(0.05, 0.1, rank=r, input_dropout=p) for r in (1, 2, 4) for p in (0.05, 0.1)),
    _leaky(0.05, 0.1, recurrent=False, input_dropout=0.05),
    # Linear peers.
    *(_modes(n, rate, 0.3) for n in (4, 16, 32) for rate in (0.01, 0.03, 0.1)),
    *(_modes(16, 0.03, decay) for decay in (0.1, 0.6)),
    *(Trial("Memoryless", {}, rate, decay) for rate in (0.01, 0.03) for decay in (0, 0.1, 0.3)),
]


#: What `choose` said is best, for models, and for those that go by name.
CHOSEN = {
    "LeakyRNN": _leaky(0.05, 0.1, rank=1, input_dropout=0.05),
    "LinearStateSpace": _modes(16, 0.03, 0.3),
}
NAMED = {"memoryless": Trial("Memoryless", {}, 0.03, 0)}


def population():
    """dF/F (time, unit)."""
    file = files_of("allen_population")[0]
    return nr.open(file, sampling_rate=RATES["allen_population"])["dff"]


def choose() -> None:
    """Print the score of every row of the grid on the validation part."""
    dff = population()
    task = scaled_task(task_of(dff, SPLIT, DURATION, 0, (1.0, "s")), gaussian=True)
    blind = task._replace(test=task.validation)
    goal = objective_named("gaussian")

    def r2(entry: Entry, seed: int, **options) -> float:
        fit = {"objective": "gaussian", "max_epochs": MAX_EPOCHS, "tolerance": 1e-6, **options}
        model, _, _ = fitted(entry, blind, derived_seed(0, seed), fit)
        found = block_scores(forecaster_of(model, blind, goal), blind, goal, 0)
        return 1 - found[:, 0].sum() / found[:, 1].sum()

    closed = named_entries(["ridge", "persistence"], blind, gaussian=True, looks_on=True)
    for name, entry in closed.items():
        print(f"{r2(entry, 0):7.4f}  {name}", flush=True)
    for trial in GRID:
        begin = time.perf_counter()
        entry = Entry(trial.recipe(dff.sizes["unit"], task.dt))
        found = [r2(entry, k, **trial.options) for k in range(TRIALS)]
        said = {
            k: v for k, v in trial.settings.items() if k == "n_hidden" or k not in UNIT_PER_CELL
            or v != UNIT_PER_CELL[k]
        }  # fmt: skip
        print(
            f"{np.mean(found):7.4f}  {trial.model} {said} rate {trial.learning_rate:g} "
            f"decay {trial.weight_decay:g}  ({time.perf_counter() - begin:.0f} s)",
            flush=True,
        )


def rows() -> Iterator[list[str]]:
    """One row per model; then what was measured, and who wins."""
    try:
        dff = population()
    except FileMissingError:
        yield ["allen_population", "not here", *[""] * (len(COLUMNS) - 1)]
        return
    n, dt = dff.sizes["unit"], 1 / RATES["allen_population"]
    table = nr.compare.league(
        dff,
        [
            *(trial.recipe(n, dt) for trial in CHOSEN.values()),
            *("ridge", "memoryless", "persistence"),
        ],
        fractions=SPLIT,
        duration=DURATION,
        horizons=HORIZONS,
        n_seeds=SEEDS,
        max_epochs=MAX_EPOCHS,
        fit_options={name: trial.options for name, trial in {**CHOSEN, **NAMED}.items()},
    )
    p = table.parameters
    for name in p["model"].values:
        one = p.sel(model=name)
        cells = []
        for h in HORIZONS:
            r2, sd = one["r2"].sel(horizon=h), one["r2_seed_sd"].sel(horizon=h)
            cells.append(format_quantity(float(r2), "1", *one["r2_ci"].sel(horizon=h).values))
            cells.append(format_number(float(sd), 2))
        near = one.sel(horizon=HORIZONS[0])
        behind = format_quantity(
            float(near["r2_behind_best"]), "1", *near["r2_behind_best_ci"].values
        )
        yield [
            str(name),
            str(int(one["n_weights"])),
            *cells,
            "" if float(near["r2_behind_best"]) == 0 else behind,
            str(one["status"].values),
        ]
    blank = [""] * (len(COLUMNS) - 1)
    s = table.settings
    chosen = ", ".join(f"{k} {v:g}" for k, v in s["chosen"]["ridge"].items())
    frames = f"{dff.sizes['time']} frames of dF/F at {1 / dt:g} Hz"
    windows = f"{s['n_blocks']} windows of {DURATION:g} s"
    near, far = table.verdict.splitlines()
    for label, said in (
        ("ridge chose, on validation", chosen),
        ("data", f"{n} cells, {frames}; no stimulus, no running speed"),
        ("scored", f"last {100 * SPLIT[2]:g} %, {windows}, in training sds"),
        ("who wins, one frame", near),
        ("who wins, 1 s", far),
    ):
        yield [label, *blank, said]


if __name__ == "__main__":
    torch.set_num_threads(1)
    choose()
