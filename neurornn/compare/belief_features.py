"""Episodes played by a policy, and what each source knows at every step of them."""

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from neurornn._core.errors import ConvergenceWarning
from neurornn._core.rng import derived_seed
from neurornn.models.base import RecurrentModel
from neurornn.models.gated import LSTM
from neurornn.simulate.belief_task import HiddenTask
from neurornn.training.loop import fit
from neurornn.training.many import redrawn
from neurornn.training.policy_play import Played, drawn_seeds, group_of, play

Array = NDArray[np.float64]
#: Probabilities are cut here before their log odds are read.
LEAST = 1e-3
_EPOCHS = 60


class Steps(NamedTuple):
    """Episodes as lists of rows, one list entry an episode.

    Attributes
    ----------
    inputs : (row, input) of the network. actions : (row,), taken after the row.
    belief : (row, state), exact. answers : (row, question). truth : (row, question), bool.
    """

    inputs: list[Array]
    actions: list[NDArray[np.int64]]
    belief: list[Array]
    answers: list[Array]
    truth: list[NDArray[np.bool_]]


def log_odds(probability: Array) -> Array:
    """Log odds of probabilities that are cut at `LEAST`."""
    p = np.clip(probability, LEAST, 1 - LEAST)
    return np.asarray(np.log(p / (1 - p)))


def episodes_of(model: RecurrentModel, task: HiddenTask, n: int, *path: int) -> Played:
    """Play episodes with the most probable actions."""
    was_training = model.training
    model.eval()
    found = play(model, group_of(task, n, task.n_steps), drawn_seeds(*path, n=n), hidden=True)
    model.train(was_training)
    return found


def steps_of(run: Played, task: HiddenTask) -> Steps:
    """Cut episodes to the steps at which they were under way."""
    masks = np.stack(list(task.questions.values()), axis=1) > 0
    parts: list[list[Any]] = [[], [], [], [], []]
    for k, on in enumerate(run.active):
        belief = run.belief[k][on]
        row = (
            run.inputs[k][on].astype(float), run.actions[k][on], belief, task.answers(belief),
            masks[run.state[k][on]],
        )  # fmt: skip
        for part, value in zip(parts, row, strict=True):
            part.append(value)
    return Steps(*parts)


def states_on(model: RecurrentModel, inputs: list[Array]) -> list[Array]:
    """States of a network along episodes, (row, state) each."""
    longest = max(len(x) for x in inputs)
    whole = np.zeros((len(inputs), longest, inputs[0].shape[1]))
    for k, x in enumerate(inputs):
        whole[k, : len(x)] = x
    was_training = model.training
    model.eval()
    with torch.no_grad():
        states = model(whole).states.double().numpy()
    model.train(was_training)
    return [states[k, : len(x)] for k, x in enumerate(inputs)]


def with_action(inputs: list[Array], actions: list[NDArray[np.int64]], n: int) -> list[Array]:
    """Inputs beside the action that follows, one-hot."""
    return [np.column_stack([x, np.eye(n)[a]]) for x, a in zip(inputs, actions, strict=True)]


def observer(model: RecurrentModel, task: HiddenTask, more: Steps, seed: int) -> RecurrentModel:
    """An LSTM that learned to predict the next observation, of as many units as the network."""
    x = with_action(more.inputs, more.actions, task.n_actions)
    seen = [v[1:, : task.n_inputs] for v in more.inputs]
    kept = [k for k, v in enumerate(seen) if len(v)]
    watcher = LSTM(
        x[0].shape[1], model.n_hidden, task.n_inputs, dt=model.dt, time_unit=model.time_unit,
        rng=seed,
    )  # fmt: skip
    return _fitted(watcher, [x[k][:-1] for k in kept], [seen[k] for k in kept], seed)


def shuffled(model: RecurrentModel, more: Steps, seed: int, in_order: bool) -> RecurrentModel:
    """The same network, drawn anew, taught what the policy did, from steps in another order.

    Parameters
    ----------
    in_order : leave the order as it was: what the same teaching comes to.
    """
    draw = np.random.default_rng(derived_seed(seed, 3))
    outputs = []
    for x in more.inputs:
        with torch.no_grad():
            outputs.append(model(x[None]).output[0].double().numpy())
    spread = np.concatenate(outputs).std(0) + 1e-6
    goal = [y / spread for y in outputs]
    given = more.inputs if in_order else [x[draw.permutation(len(x))] for x in more.inputs]
    return _fitted(redrawn(model, derived_seed(seed, 4)), given, goal, seed)


def _fitted(model: RecurrentModel, x: list[Array], y: list[Array], seed: int) -> RecurrentModel:
    n = max(len(x) // 5, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = fit(
            model, (x[n:], y[n:]), validation=(x[:n], y[:n]), max_epochs=_EPOCHS, patience=10,
            optimizer="adam", rng=seed, refine=False, intervals=False,
        )  # fmt: skip
    return found.model
