"""Which cell remembers how long: accuracy against lag, and what gradients promised."""

import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurornn._core.checks import (
    check_choice,
    check_confidence_level,
    check_count,
    check_positive,
    check_rng,
)
from neurornn._core.errors import ConvergenceWarning, DataError
from neurornn._core.jobs import Chunk, run_chunks
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn.compare.memory_cells import CELLS, STARTS, accuracy_of, make_cell, memory_trials
from neurornn.compare.memory_table import SOLVED, MemoryTable, laid_out
from neurornn.models.attention import CausalTransformer
from neurornn.models.base import RecurrentModel
from neurornn.training.gradients import gradient_flow
from neurornn.training.loop import fit

#: Trials of one round of training, 20 steps of Adam each; a network is looked at in between.
_ROUND, _BATCH = 640, 32
_RATE = 0.01
#: Trials on which a network is looked at between rounds, and at the end.
_LOOKED, _TESTED = 128, 512
#: Trials along which gradients are followed, and lags over that of the task.
_FOLLOWED, _FURTHER = 6, 2.5
#: Attention over longer windows is not trained: its work grows with the square.
LONGEST_WINDOW = 100


def memory(
    cells: Sequence[str] = CELLS,
    lags: Sequence[int] = (10, 30, 100, 300, 1000),
    *,
    start: str = "plain",
    n_seeds: int = 5,
    n_weights: int = 4000,
    max_rounds: int = 30,
    horizons: bool = True,
    dt: float = 0.01,
    confidence_level: float = 0.95,
    n_jobs: int = 1,
    client: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[int, int], None] = False,
    rng: RNG = 0,
) -> MemoryTable:
    """Train cells of equal size to remember over longer and longer lags.

    Parameters
    ----------
    cells : some of ``"gru"``, ``"lstm"``, ``"leaky"``, ``"vanilla"``, ``"transformer"``.
    lags : steps between the cue and the question, ascending.
    start : ``"plain"``: as the models come; or ``"chrono"``: time constants of gates, and of leaky
        units, drawn uniformly up to the lag.

    Other Parameters
    ----------------
    n_seeds : networks of each cell at each lag.
    n_weights : of a network, about.
    max_rounds : of training, 640 fresh trials each in batches of 32; a network that answers 99 %
        of new trials right is done earlier.
    horizons : follow gradients, which at long lags takes longer than some trainings.
    dt : s, of a step: lags and horizons are told in s, too.
    confidence_level : of the intervals over seeds.
    n_jobs, client : processes, or a ``dask.distributed.Client``, over networks.
    checkpoint : folder of its own in which finished networks are kept; the same call goes on from
        there.
    progress : show a bar in a terminal or a notebook, or a callable ``(done, total)``.
    rng : int, Generator or None

    Returns
    -------
    MemoryTable

    Raises
    ------
    NameUnknownError, DataError
        A cell or start that is not known; lags that do not ascend.
    ResumeError
        The folder holds results of another call.

    Notes
    -----
    One of four cues comes in the first step; after `lag` steps of noise the network is asked which
    it was. Every lag has networks of its own: what one learned is no help to the next. A
    Transformer sees the whole trial and is trained up to 100 steps; beyond, its row is missing.

    The horizon is that of `training.gradient_flow` from the step of the cue on: the lag at which
    the product of Jacobians has fallen to 1/e, before and after training. It says from how far an
    error can teach. What a state has latched on to it may hold for longer (Bengio et al. 1994).

    References
    ----------
    Bengio, Simard & Frasconi 1994, doi:10.1109/72.279181; Hochreiter & Schmidhuber 1997,
    doi:10.1162/neco.1997.9.8.1735; Tallec & Ollivier 2018, ICLR, arXiv:1804.11188.

    Examples
    --------
    >>> table = memory(["leaky", "gru"], lags=(5, 10), n_seeds=1, n_weights=200, max_rounds=1)
    >>> dict(table.parameters["accuracy"].sizes)
    {'cell': 2, 'lag': 2}
    """
    names = [check_choice(c, "cell", CELLS) for c in cells]
    steps = [check_count(n, "lag") for n in lags]
    if not names or not steps or len(set(names)) < len(names) or (np.diff(steps) <= 0).any():
        raise DataError(
            f"cells are {names} and lags {steps}",
            "One or more cells, each once, and ascending lags in steps were needed",
            "For example cells=('gru', 'leaky'), lags=(10, 100)",
        )
    start = check_choice(start, "start", STARTS)
    settings: dict[str, Any] = {
        "start": start, "n_seeds": check_count(n_seeds, "n_seeds", most=1000),
        "n_weights": check_count(n_weights, "n_weights", 50),
        "max_rounds": check_count(max_rounds, "max_rounds"),
        "horizons": bool(horizons), "dt": check_positive(dt, "dt", "s"),
        "rng": seed_of(check_rng(rng)),
        "confidence_level": float(check_confidence_level(confidence_level)),
    }  # fmt: skip
    chunks = [
        (cell, lag, derived_seed(settings["rng"], CELLS.index(cell), k) % 2**30)
        for cell in names
        for lag in steps
        for k in range(settings["n_seeds"])
    ]
    found = run_chunks(
        _learn, chunks, shared=tuple(
            settings[k] for k in ("start", "n_weights", "max_rounds", "dt", "horizons")
        ),
        n_jobs=n_jobs, client=client, checkpoint=checkpoint, progress=progress, label="networks",
    )  # fmt: skip
    shape = (len(names), len(steps), settings["n_seeds"])
    stacked = {k: np.array([float(f[k]) for f in found]).reshape(shape) for k in found[0]}
    return laid_out(names, steps, stacked, settings)


def _learn(
    cell: str,
    lag: int,
    seed: int,
    start: str,
    n_weights: int,
    max_rounds: int,
    dt: float,
    horizons: bool,
) -> Chunk:
    """One network at one lag."""
    if cell == "transformer" and lag > LONGEST_WINDOW:
        model = make_cell(cell, n_weights, lag, dt, start, seed)
        nothing = np.array(np.nan)
        return {
            "accuracy": nothing, "before": nothing, "after": nothing, "rounds": nothing,
            "seconds": nothing, "weights": np.array(sum(p.numel() for p in model.parameters())),
        }  # fmt: skip
    model = make_cell(cell, n_weights, lag, dt, start, seed)
    before = _horizon(model, lag, seed) if horizons else np.nan
    look = np.random.default_rng(derived_seed(seed, lag, 1))
    begin, rounds = time.process_time(), 0
    for k in range(max_rounds):
        model, rounds = _round(model, lag, derived_seed(seed, lag, 2, k) % 2**30), k + 1
        if accuracy_of(model, lag, _LOOKED, look) >= SOLVED:
            break
    took = time.process_time() - begin
    tested = np.random.default_rng(derived_seed(seed, lag, 3))
    return {
        "accuracy": np.array(accuracy_of(model, lag, _TESTED, tested)),
        "before": np.array(before),
        "after": np.array(_horizon(model, lag, seed) if horizons else np.nan),
        "rounds": np.array(float(rounds)),
        "seconds": np.array(took / (rounds * _ROUND * (lag + 1))),
        "weights": np.array(sum(p.numel() for p in model.parameters())),
    }


def _round(model: RecurrentModel, lag: int, seed: int) -> RecurrentModel:
    x, y, _ = memory_trials(_ROUND, lag, np.random.default_rng(seed))
    with warnings.catch_warnings():
        # One pass is not meant to converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        done = fit(
            model, (x, y), objective="categorical", optimizer="adam", max_epochs=1,
            learning_rate=_RATE, schedule="constant", batch_size=_BATCH, rng=seed, refine=False,
            intervals=False,
        )  # fmt: skip
    return done.model


def _horizon(model: RecurrentModel, lag: int, seed: int) -> float:
    """Lag of 1/e from the step after the cue on, s; that of the window of a Transformer."""
    if isinstance(model, CausalTransformer):
        return float(model.memory())
    far = int(_FURTHER * lag)
    x, _, _ = memory_trials(_FOLLOWED, far + 2, np.random.default_rng(derived_seed(seed, lag, 4)))
    flow = gradient_flow(model, x, max_lag=far * model.dt, n_starts=1, max_trials=_FOLLOWED)
    return float(flow.parameters["horizon"])
