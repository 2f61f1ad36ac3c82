"""Cells that compete on memory: equal numbers of weights, and a task of one lag."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

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
    cell: str, n_weights: int, lag: int, dt: float, start: str, seed: int
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
    """
    best, off = None, np.inf
    for n_hidden in range(4, 513, 4 if cell == "transformer" else 1):
        made = _cell(cell, n_hidden, lag, dt, start, seed)
        now = abs(sum(p.numel() for p in made.parameters()) - n_weights)
        if now >= off:
            break
        best, off = made, now
    assert best is not None
    return best


def _cell(cell: str, n_hidden: int, lag: int, dt: float, start: str, seed: int) -> RecurrentModel:
    common: dict[str, Any] = {"dt": dt, "rng": seed}
    sizes = (N_INPUT, n_hidden, N_KINDS)
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
