"""Episodes of a task played by a network: tasks of the package at once, any other in a loop."""

import copy
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.files import fingerprint
from neurornn.models.base import RecurrentModel
from neurornn.simulate.belief_task import HiddenTask

Array = NDArray[np.float64]


class Group(Protocol):
    """Episodes that are played side by side."""

    n_actions: int
    n_inputs: int

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which are under way, (episode,)."""

    def reset(self, seeds: NDArray[np.uint64]) -> Array:
        """Begin all; return what the network sees, (episode, input)."""

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Step those that are active; return inputs, rewards, terminated, truncated."""


class _Compiled:
    """Episodes of a task of the package."""

    def __init__(self, task: HiddenTask, n: int) -> None:
        self.task, self.episodes = task, task.many(n)
        self.n_actions, self.n_inputs = task.n_actions, task.n_inputs

    @property
    def active(self) -> NDArray[np.bool_]:
        return self.episodes.active

    def reset(self, seeds: NDArray[np.uint64]) -> Array:
        return self.task.encode(self.episodes.reset(seeds))

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
        found = self.episodes.step(actions)
        return self.task.encode(found.observation), *found[1:]


class _Looped:
    """Episodes of somebody else's environment, each in a copy of it."""

    def __init__(self, env: Any, n: int, max_steps: int) -> None:
        self.n_actions, self.n_inputs = _sizes(env)
        try:
            self.envs = [copy.deepcopy(env) for _ in range(n)]
        except Exception as error:  # Whatever a user's class raises when it is copied.
            raise KindError(
                f"The {type(env).__name__} cannot be copied: {type(error).__name__}: {error}",
                "Copies were needed: episodes are played side by side",
                "Pass a function that makes one: fit_policy(model, lambda: make())",
            ) from None
        self.active = np.zeros(n, bool)
        self.max_steps = max_steps
        self.n_taken = 0

    def reset(self, seeds: NDArray[np.uint64]) -> Array:
        self.active[:] = True
        self.n_taken = 0
        rows = []
        for env, seed in zip(self.envs, seeds, strict=True):
            found = env.reset(seed=int(seed % 2**32))
            whole = isinstance(found, tuple) and len(found) == 2
            rows.append(self._seen(env, found[0] if whole else found))
        return np.stack(rows)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
        n = len(self.envs)
        seen, rewards = np.zeros((n, self.n_inputs)), np.zeros(n)
        terminated, truncated = np.zeros(n, bool), np.zeros(n, bool)
        self.n_taken += 1
        for k in np.flatnonzero(self.active):
            env = self.envs[k]
            found = env.step(int(actions[k]))
            if not isinstance(found, tuple) or len(found) != 5:
                came = f"{len(found)} things" if isinstance(found, tuple) else type(found).__name__
                raise KindError(
                    f"step() of the {type(env).__name__} returned {came}",
                    "(observation, reward, terminated, truncated, info) was needed",
                    "Wrap the environment so that it returns these, as gymnasium does",
                )
            seen[k] = self._seen(env, found[0])
            rewards[k] = _reward(env, found[1])
            terminated[k], truncated[k] = bool(found[2]), bool(found[3])
        self.active &= ~(terminated | truncated)
        if self.active.any() and self.n_taken >= self.max_steps:
            raise DataError(
                f"{int(self.active.sum())} of {n} episodes had not ended after "
                f"{self.max_steps} steps",
                "terminated or truncated was needed at the end of an episode",
                "Set a limit in the environment, for example by gymnasium's TimeLimit, or pass a "
                "larger max_steps",
            )
        return seen, rewards, terminated, truncated

    def _seen(self, env: Any, observation: Any) -> Array:
        row = _as_inputs(env, observation)
        if row.shape != (self.n_inputs,):
            raise ShapeError(
                f"An observation of the {type(env).__name__} has {row.size} numbers, and its "
                f"observation_space says {self.n_inputs}",
                "Observations of one width were needed",
                "Fill what is missing, or wrap the environment",
            )
        if not np.isfinite(row).all():
            raise DataError(
                f"An observation of the {type(env).__name__} is {row.tolist()}",
                "Finite numbers were needed",
                "Give it a method encode(observation) that says what a missing value is",
            )
        return row


def _reward(env: Any, reward: Any) -> float:
    try:
        value = float(reward)
    except (TypeError, ValueError):
        value = np.nan
    if not np.isfinite(value):
        raise DataError(
            f"A reward of the {type(env).__name__} is {reward!r}",
            "A finite number was needed at every step",
            "Check what the environment divides by",
        )
    return value


def _as_inputs(env: Any, observation: Any) -> Array:
    """One observation as a row: encoded by the environment, one-hot, or flat."""
    encode = getattr(env, "encode", None)
    if callable(encode):
        return np.asarray(encode(observation), float).ravel()
    n = getattr(env.observation_space, "n", None)
    if n is not None and np.ndim(n) == 0:
        first = int(getattr(env.observation_space, "start", 0))
        row = np.zeros(int(n))
        if not 0 <= int(observation) - first < int(n):
            raise DataError(
                f"The observation is {observation!r}",
                f"A number from {first} to {first + int(n) - 1} was needed",
                "Check observation_space of the environment",
            )
        row[int(observation) - first] = 1.0
        return row
    try:
        return np.asarray(observation, float).ravel()
    except (TypeError, ValueError):
        raise KindError(
            f"An observation of the {type(env).__name__} is a {type(observation).__name__}",
            "An array of numbers, or a whole number, was needed",
            "Flatten it, for example by gymnasium's FlattenObservation",
        ) from None


def _sizes(env: Any) -> tuple[int, int]:
    """Number of actions, and of inputs that an observation makes."""
    n = getattr(getattr(env, "action_space", None), "n", None)
    if n is None or np.ndim(n) != 0:
        raise KindError(
            f"action_space of the {type(env).__name__} is "
            f"{getattr(env, 'action_space', 'missing')}",
            "A whole number of actions, as in a Discrete space, was needed",
            "Cut continuous actions into levels in a wrapper",
        )
    space = getattr(env, "observation_space", None)
    levels, shape = getattr(space, "n", None), getattr(space, "shape", None)
    own = getattr(env, "n_inputs", None)
    if callable(getattr(env, "encode", None)) and own is not None:
        return int(n), int(own)
    if levels is not None and np.ndim(levels) == 0:
        return int(n), int(levels)
    if shape is None:
        raise KindError(
            f"observation_space of the {type(env).__name__} is {space!r}",
            "A space with a shape, or a number n, was needed",
            "Flatten it, for example by gymnasium's FlattenObservation",
        )
    return int(n), int(np.prod(shape, dtype=int))


def check_task(task: Any) -> Any:
    """Return an environment, made by calling it where a function came, or raise.

    Raises
    ------
    KindError
        No environment.
    """
    made = task() if callable(task) and not hasattr(task, "step") else task
    missing = [n for n in ("reset", "step") if not callable(getattr(made, n, None))]
    if missing:
        raise KindError(
            f"task is a {type(made).__name__} without {' and '.join(missing)}",
            "An environment with reset() and step(action), as gymnasium's, was needed",
            "For example nr.simulate.TigerTask(rng=0)",
        )
    return made


def task_sizes(task: Any) -> tuple[int, int]:
    """Return the number of actions of a task, and of inputs that an observation makes."""
    if isinstance(task, HiddenTask):
        return task.n_actions, task.n_inputs
    return _sizes(task)


def task_key(env: Any) -> str:
    """What tells tasks apart, as far as it can be seen."""
    if isinstance(env, HiddenTask):
        return env.key
    spaces = [repr(getattr(env, n, "")) for n in ("action_space", "observation_space", "spec")]
    return fingerprint(type(env).__name__, spaces)


def group_of(task: Any, n: int, max_steps: int) -> Group:
    """Return `n` episodes of a task that are played side by side."""
    return _Compiled(task, n) if isinstance(task, HiddenTask) else _Looped(task, n, max_steps)


class Played(NamedTuple):
    """Episodes as they were played; after the end of one, zeros.

    Attributes
    ----------
    inputs : (episode, time, input), of the network: observation and last action.
    actions, rewards, active : (episode, time).
    log_chance, values : (episode, time), of the action taken, and of what was to come.
    last_value : (episode,), of what would have come after an episode that was cut; else 0.
    belief : (episode, time, state), exact, before the action; without one, no states.
    state : (episode, time), hidden; likewise.
    """

    inputs: NDArray[np.float32]
    actions: NDArray[np.int64]
    rewards: Array
    active: NDArray[np.bool_]
    log_chance: Array
    values: Array
    last_value: Array
    belief: Array
    state: NDArray[np.int64]

    def returns(self, discount: float) -> Array:
        """Discounted return of each episode, (episode,)."""
        return np.asarray(self.rewards @ discount ** np.arange(self.rewards.shape[1]))


def play(
    model: RecurrentModel,
    group: Group,
    seeds: NDArray[np.uint64],
    draw: np.random.Generator | None = None,
    *,
    hidden: bool = False,
) -> Played:
    """Play one episode for each seed to its end.

    Parameters
    ----------
    model : its outputs are a number for each action, and the value.
    group : of as many episodes.
    seeds : (episode,).
    draw : draws actions; None for the most probable one.
    hidden : keep belief and hidden state, where the task has them.
    """
    first = next(model.parameters())
    n, n_actions = len(seeds), group.n_actions
    seen = group.reset(seeds)
    episodes = group.episodes if hidden and isinstance(group, _Compiled) else None
    state = model.start(n)
    before = np.zeros((n, n_actions))
    steps: list[tuple[NDArray[Any], ...]] = []
    last_value = np.zeros(n)
    while True:
        rows = np.flatnonzero(group.active)
        x = np.concatenate([seen, before], axis=1)
        x[~group.active] = 0.0
        with torch.no_grad():
            now = torch.from_numpy(x[rows]).to(first.dtype)[:, None]
            out = model(now, state[torch.from_numpy(rows)])
        state[torch.from_numpy(rows)] = out.states[:, -1]
        read = out.output[:, 0].double().numpy()
        logits = np.zeros((n, n_actions))
        logits[rows] = read[:, :n_actions]
        logits -= logits.max(axis=1, keepdims=True)
        chance = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        noise = 0.0 if draw is None else draw.gumbel(size=(n, n_actions))
        action = np.argmax(chance + noise, axis=1)
        value = np.zeros(n)
        value[rows] = read[:, n_actions]
        active = group.active.copy()
        kept = () if episodes is None else (episodes.belief.copy(), episodes.state.copy())
        seen, reward, _, truncated = group.step(action)
        taken = np.where(active, chance[np.arange(n), action], 0.0)
        steps.append((x.astype(np.float32), action, reward, active, taken, value, *kept))
        before = np.eye(n_actions)[action]
        if truncated.any():
            cut = np.flatnonzero(truncated)
            x = np.concatenate([seen, before], axis=1)[cut]
            with torch.no_grad():
                ahead = model(
                    torch.from_numpy(x).to(first.dtype)[:, None], state[torch.from_numpy(cut)]
                )
            last_value[cut] = ahead.output[:, 0, n_actions].double().numpy()
        if not group.active.any():
            break
    parts = [np.stack(part, axis=1) for part in zip(*steps, strict=True)]
    if episodes is None:
        parts += [np.zeros((*parts[1].shape, 0)), np.zeros(parts[1].shape, np.int64)]
    x, action, reward, active, taken, value, belief, hidden_state = parts
    return Played(x, action, reward, active, taken, value, last_value, belief, hidden_state)


def drawn_seeds(*path: int, n: int) -> NDArray[np.uint64]:
    """Seeds of n episodes at a place of a longer job."""
    drawn = np.random.SeedSequence(list(path)).generate_state(n, np.uint64)
    return drawn.astype(np.uint64)
