"""Cells that compete on memory: equal numbers of weights, and a task of one lag."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_choice, check_count, check_positive, check_rng
from neurornn._core.errors import DataError, KindError
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn.models.attention import CausalTransformer
from neurornn.models.base import RecurrentModel
from neurornn.models.gated import GRU, LSTM
from neurornn.models.leaky import LeakyRNN
from neurornn.models.vanilla import VanillaRNN

CELLS = ("gru", "lstm", "leaky", "vanilla", "transformer")
#: What is to be remembered is one of so many; channels: those, one that asks, one of noise.
N_KINDS = 4
N_INPUT = N_KINDS + 2
#: Sd of the channel of noise.
_NOISE = 0.5
#: Steps that a gate starts with at least.
_SHORTEST = 2.0
STARTS = ("plain", "chrono")


def memory_trials(
    n_trials: int, lag: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Trials of one lag: a cue, steps of noise, and the question.

    Parameters
    ----------
    n_trials : trials.
    lag : steps from the cue to the question.
    rng : Generator.

    Returns
    -------
    inputs : (trial, time, input)
        The cue one-hot in the first step, 1 on the channel that asks in the last, noise in all.
    targets : (trial, time, kind)
        One-hot in the last step, NaN before: nothing is asked there.
    kind : (trial,), what was shown.
    """
    kind = rng.integers(N_KINDS, size=n_trials)
    inputs = np.zeros((n_trials, lag + 1, N_INPUT), np.float32)
    inputs[np.arange(n_trials), 0, kind] = 1.0
    inputs[:, -1, N_KINDS] = 1.0
    inputs[..., -1] = _NOISE * rng.standard_normal(inputs.shape[:2])
    targets = np.full((n_trials, lag + 1, N_KINDS), np.nan, np.float32)
    targets[:, -1] = np.eye(N_KINDS)[kind]
    return inputs, targets, kind


def make_cell(
    cell: str,
    n_weights: int,
    lag: int,
    dt: float,
    start: str,
    seed: int,
    *,
    n_input: int = N_INPUT,
    n_output: int = N_KINDS,
) -> RecurrentModel:
    """Return a fresh cell of about a number of weights.

    Parameters
    ----------
    cell : one of `CELLS`.
    n_weights : as near to it as whole units allow.
    lag : steps that have to be bridged; a Transformer sees so many, and a start in time uses it.
    dt : s.
    start : ``"plain"``, or ``"chrono"``: time constants drawn up to the lag.
    seed : of the weights.
    n_input, n_output : channels; by default those of `memory_trials`.
    """
    best, off = None, np.inf
    for n_hidden in range(4, 513, 4 if cell == "transformer" else 1):
        made = _cell(cell, (n_input, n_hidden, n_output), lag, dt, start, seed)
        now = abs(sum(p.numel() for p in made.parameters()) - n_weights)
        if now >= off:
            break
        best, off = made, now
    assert best is not None
    return best


def cells_of_size(
    data: xr.Dataset,
    cells: Sequence[str] = CELLS,
    *,
    n_weights: int = 1000,
    memory: float | None = None,
    start: str = "plain",
    rng: RNG = 0,
) -> list[RecurrentModel]:
    """Return recipes of different cells with about as many weights, for a table of `league`.

    Parameters
    ----------
    data : windows, such as `nr.data.windows` or a task of `nr.simulate` gives.
    cells : some of ``"gru"``, ``"lstm"``, ``"leaky"``, ``"vanilla"``, ``"transformer"``.
    n_weights : of each, as near to it as whole units allow (a Transformer grows by four).
    memory : s, that has to be bridged: the window of a Transformer, and the longest time constant
        of a start in time; by default that which the task carries, ``data.attrs["memory"]``.
    start : ``"plain"``: as the models come; or ``"chrono"``: time constants of gates, and of leaky
        units, drawn uniformly up to `memory`.
    rng : int, Generator or None

    Returns
    -------
    list of models, in the order of `cells`; untrained.

    Raises
    ------
    KindError, NameUnknownError, DataError
        No windows; a cell or start that is not known; a memory that is missing, below a step or
        longer than a window.

    Examples
    --------
    >>> import neurornn as nr
    >>> emg = nr.simulate.simulate_emg(8, rng=0)
    >>> [m.n_hidden for m in cells_of_size(emg, ["gru", "lstm"])]
    [16, 14]
    """
    if not isinstance(data, xr.Dataset) or not {"inputs", "targets"} <= set(data.variables):
        raise KindError(
            f"data is a {type(data).__name__}"
            + (" without inputs and targets" if isinstance(data, xr.Dataset) else ""),
            "Windows with inputs and targets were needed",
            "Pass nr.data.windows(recording, ...) or a task of nr.simulate",
        )
    names = [check_choice(c, "cell", CELLS) for c in cells]
    if not names or len(set(names)) < len(names):
        raise DataError(
            f"cells are {names}",
            "One or more cells, each once, were needed",
            "For example cells=('gru', 'lstm')",
        )
    start = check_choice(start, "start", STARTS)
    n_weights = check_count(n_weights, "n_weights", 50)
    seed = seed_of(check_rng(rng))
    dt = check_positive(data.attrs.get("dt"), "dt of the windows", "s")
    if memory is None and "memory" not in data.attrs:
        raise DataError(
            "memory was left out, and the windows do not carry it",
            "The time in s that has to be bridged was needed",
            "Pass for example memory=0.5",
        )
    memory = check_positive(data.attrs["memory"] if memory is None else memory, "memory", "s")
    longest = data.sizes["time"]
    if not 1 <= round(min(memory / dt, 2.0 * longest)) <= longest:
        raise DataError(
            f"memory is {memory:g} s, dt {dt:g} s and a window {longest * dt:g} s",
            "A memory of a step or more that a window holds was needed",
            f"Pass a memory between {dt:g} and {longest * dt:g} s",
        )
    sizes = {"n_input": data.sizes["input"], "n_output": data.sizes["output"]}
    return [
        make_cell(
            cell, n_weights, round(memory / dt) - 1, dt, start,
            derived_seed(seed, CELLS.index(cell)) % 2**30, **sizes,
        )
        for cell in names
    ]  # fmt: skip


def _cell(
    cell: str, sizes: tuple[int, int, int], lag: int, dt: float, start: str, seed: int
) -> RecurrentModel:
    common: dict[str, Any] = {"dt": dt, "rng": seed}
    n_hidden = sizes[1]
    span = (_SHORTEST * dt, max(lag, _SHORTEST + 1) * dt)
    if cell == "transformer":
        return CausalTransformer(*sizes, context=(lag + 1) * dt, **common)
    if cell == "vanilla":
        return VanillaRNN(*sizes, **common)
    if cell == "leaky":
        tau: Any = 10 * dt
        if start == "chrono":
            tau = np.random.default_rng(seed).uniform(*span, n_hidden)
        return LeakyRNN(*sizes, tau=tau, **common)
    kind = GRU if cell == "gru" else LSTM
    return kind(*sizes, tau_range=span if start == "chrono" else None, **common)


def accuracy_of(model: RecurrentModel, lag: int, n_trials: int, rng: np.random.Generator) -> float:
    """Share of new trials that are answered right."""
    x, _, kind = memory_trials(n_trials, lag, rng)
    right = 0
    with torch.no_grad():
        for some in np.array_split(np.arange(n_trials), max(1, n_trials // 64)):
            answer = model(x[some]).output[:, -1].argmax(1).numpy()
            right += int((answer == kind[some]).sum())
    return right / n_trials
