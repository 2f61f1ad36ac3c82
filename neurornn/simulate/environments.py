"""Environments of other packages as they are: their trials as windows for `nr.fit`."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.checks import check_count, check_numbers, check_positive
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn._core.rng import RNG, generator, seed_of

#: Observations and answers of one trial, (time, ...) each.
Trial = tuple[NDArray[Any], NDArray[Any]]


def from_environment(
    env: Any,
    n_trials: int = 256,
    *,
    dt: float | None = None,
    policy: Callable[[Any], Any] | None = None,
    max_steps: int = 10_000,
    rng: RNG = None,
) -> xr.Dataset:
    """Draw trials from an environment of neurogym, or any in the manner of gymnasium.

    Parameters
    ----------
    env : with ``reset()`` and ``step(action)``, which return what those of gymnasium (observation
        and info; five things) or of the older gym do (the observation; four things)
        Where it makes whole trials, as neurogym's do, ``new_trial()``, ``ob (time, ...)`` and
        ``gt (time, ...)`` are read and no action is taken; what a wrapper changes in ``step`` is
        not seen then. Else it is run step by step, and the
        ``info`` of a step must hold ``gt``, the right answer to the observation before that step.
        It goes on from where this left it.
    n_trials : trials.
    dt : s, of a step; by default ``env.unwrapped.dt``, which neurogym states in ms.
    policy : takes an observation and gives the action; by default actions are drawn from
        ``env.action_space``. Asked only where the environment is run step by step.
    max_steps : steps after which a trial that has not ended is given up.
    rng : int, Generator or None; seeds the environment and its actions.

    Returns
    -------
    Dataset
        Windows as `nr.fit` takes them: ``inputs (trial, time, input)``, the observations;
        ``targets (trial, time, output)``, the right answers, one-hot where they are one of several
        actions (``objective="categorical"``); ``mask (trial, time, output)``, False after the end
        of a trial, where others are longer. Beside them ``n_steps (trial)``.

    Raises
    ------
    KindError
        No environment, none that says what is right, no clock.
    ShapeError, DataError
        Answers that do not fit the observations, trials without a step or without an end.

    Notes
    -----
    Neither gymnasium nor neurogym is imported. After the end of a trial the environment is reset
    and never stepped on: in gymnasium 1 the step after the end ignores its action. What a solution
    looks like is not known of an environment: ``attrs["structure"]`` is ``"unknown"``.

    Examples
    --------
    >>> class Copy:
    ...     dt = 100  # ms, as in neurogym
    ...     def new_trial(self):
    ...         self.ob = np.ones((5, 2))
    ...         self.gt = self.ob.sum(axis=1, keepdims=True)
    ...     def reset(self): ...
    ...     def step(self, action): ...
    >>> task = from_environment(Copy(), 3, rng=0)
    >>> task["targets"].shape, task.attrs["dt"]
    ((3, 5, 1), 0.1)
    """
    n_trials, max_steps = check_count(n_trials, "n_trials"), check_count(max_steps, "max_steps")
    missing = [n for n in ("reset", "step") if not callable(getattr(env, n, None))]
    if missing:
        raise KindError(
            f"env is a {type(env).__name__} without {' and '.join(missing)}",
            "An environment with reset() and step(action) was needed",
            "Make one, for example neurogym.make('DelayMatchSample-v0')",
        )
    inner = getattr(env, "unwrapped", env)
    dt = _clock_of(inner, dt)
    seed = seed_of(rng if isinstance(rng, int | np.integer) else generator(rng)) % 2**32
    first = _seeded_reset(env, inner, seed)
    new_trial = _trial_maker(env)
    trials = None if new_trial is None else _whole_trials(new_trial, inner, n_trials)
    if trials is None:
        trials = _stepped(env, first, _policy_of(env, policy, seed), n_trials, max_steps)
    n_actions = getattr(getattr(env, "action_space", None), "n", None)
    return _as_windows(trials, dt, _name_of(env), n_actions)


def _name_of(env: Any) -> str:
    return type(getattr(env, "unwrapped", env)).__name__


def _clock_of(inner: Any, dt: Any) -> float:
    if dt is not None:
        return check_positive(dt, "dt", "s")
    stated = getattr(inner, "dt", None)
    if stated is None or not callable(getattr(inner, "new_trial", None)):
        raise KindError(
            f"{type(inner).__name__} came without dt"
            if stated is None
            else f"{type(inner).__name__} has dt={stated}, and nothing says in which unit",
            "The length of a step in s was needed",
            "Pass dt=0.1 for 100 ms",
        )
    return check_positive(stated, "dt of the environment", "ms") / 1000


def _trial_maker(env: Any) -> Callable[[], Any] | None:
    """The new_trial() of the outermost layer that has its own; None where there is none."""
    while env is not None:
        # Of the class, since older wrappers pass on what is inside with a warning.
        if callable(getattr(type(env), "new_trial", None)):
            return env.new_trial  # type: ignore[no-any-return]
        env = getattr(env, "env", None)
    return None


def _takes_seed(reset: Callable[..., Any]) -> bool:
    try:
        taken = inspect.signature(reset).parameters
    except (TypeError, ValueError):
        return False
    return "seed" in taken or any(p.kind is p.VAR_KEYWORD for p in taken.values())


def _seeded_reset(env: Any, inner: Any, seed: int) -> Any:
    """Seed an environment in every way that it has, and reset it."""
    # neurogym 2.3 draws its trials from what seed() sets, and not from what reset(seed=) does.
    own = getattr(inner, "seed", None)
    if callable(own):
        own(seed)
    return env.reset(seed=seed) if _takes_seed(env.reset) else env.reset()


def _policy_of(env: Any, policy: Any, seed: int) -> Callable[[Any], Any]:
    if policy is not None:
        if not callable(policy):
            raise KindError(
                f"policy is a {type(policy).__name__}",
                "A function from an observation to an action was needed",
                "Pass policy=lambda ob: 0",
            )
        return policy
    space: Any = getattr(env, "action_space", None)
    if not callable(getattr(space, "sample", None)):
        raise KindError(
            f"{_name_of(env)} has no action_space to draw from",
            "An action for each step was needed",
            "Pass policy=lambda ob: 0",
        )
    if callable(getattr(space, "seed", None)):
        space.seed(seed)
    return lambda _: space.sample()


def _whole_trials(new_trial: Callable[[], Any], inner: Any, n: int) -> list[Trial] | None:
    """Read trials that are made whole; None where there is no ground truth in them."""
    trials = []
    for _ in range(n):
        new_trial()
        seen, right = getattr(inner, "ob", None), getattr(inner, "gt", None)
        if seen is None or right is None:
            return None
        # Copies: an environment may fill the same arrays again.
        trials.append((np.array(seen), np.array(right)))
    return trials


def _stepped(
    env: Any, first: Any, policy: Callable[[Any], Any], n: int, max_steps: int
) -> list[Trial]:
    """Run trials step by step: each observation with the answer that the step after it tells."""
    trials: list[Trial] = []
    seen: list[Any] = []
    right: list[Any] = []
    ob = _observation(first)
    while len(trials) < n:
        found = env.step(policy(ob))
        if not isinstance(found, tuple) or len(found) not in (4, 5):
            came = f"{len(found)} things" if isinstance(found, tuple) else type(found).__name__
            raise KindError(
                f"step() returned {came}",
                "(ob, reward, terminated, truncated, info) or (ob, reward, done, info) was needed",
                "Wrap the environment so that it returns these",
            )
        following, info = found[0], found[-1]
        if not isinstance(info, dict) or "gt" not in info:
            raise KindError(
                f"{_name_of(env)} does not say what is right: no gt in the info of a step, and no "
                "new_trial() that sets ob and gt",
                "Targets were needed: the right answer to each observation",
                "Put it into info['gt'], or take an environment that has it, such as those of "
                "neurogym for supervised learning",
            )
        seen.append(np.array(ob))
        right.append(np.array(info["gt"]))
        over = bool(found[2]) or (len(found) == 5 and bool(found[3]))
        if not over and not info.get("new_trial") and len(seen) >= max_steps:
            raise DataError(
                f"A trial had not ended after {max_steps} steps",
                "terminated, truncated, done or info['new_trial'] was needed at its end",
                "Set a limit in the environment, or pass a larger max_steps",
            )
        if over or info.get("new_trial"):
            trials.append((np.stack(seen), np.stack(right)))
            seen, right = [], []
        # Never a step after the end: a reset begins the next trial.
        ob = _observation(env.reset()) if over and len(trials) < n else following
    return trials


def _observation(found: Any) -> Any:
    """What reset() returned, without the info of newer environments."""
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict):
        return found[0]
    return found


def _as_windows(trials: list[Trial], dt: float, name: str, n_actions: Any) -> xr.Dataset:
    seen = [_flat(ob, f"observations of trial {k}") for k, (ob, _) in enumerate(trials)]
    if all(gt.ndim == 1 and gt.dtype.kind in "iub" for _, gt in trials):
        least = 1 + max((int(gt.max()) for _, gt in trials if len(gt)), default=0)
        # An answer that was never drawn still has its output.
        n_answers = max(least, int(n_actions or 0))
        right = [np.eye(n_answers)[gt.astype(int)] for _, gt in trials]
    else:
        right = [_flat(gt, f"gt of trial {k}") for k, (_, gt) in enumerate(trials)]
    for k, (x, y) in enumerate(zip(seen, right, strict=True)):
        same = x.shape[1] == seen[0].shape[1] and y.shape[1] == right[0].shape[1]
        if len(x) != len(y) or not len(x) or not same:
            raise ShapeError(
                f"Trial {k} has observations of shape {x.shape} and answers of shape {y.shape}",
                "At least one step, one answer for each, and the same channels in all trials were "
                "needed",
                "Check ob and gt of the environment",
            )
    ends = np.array([len(x) for x in seen])
    inside = np.arange(ends.max()) < ends[:, None]
    inputs, targets = (_padded(part, inside) for part in (seen, right))
    return xr.Dataset(
        {
            "inputs": (("trial", "time", "input"), inputs, {"units": "1"}),
            "targets": (("trial", "time", "output"), targets, {"units": "1"}),
            "mask": (
                ("trial", "time", "output"), np.repeat(inside[..., None], targets.shape[2], 2),
                {"long_name": "True where the target is scored"},
            ),
            "n_steps": ("trial", ends, {"units": "1", "long_name": "steps of the trial"}),
        },
        coords={"time": ("time", (np.arange(ends.max()) + 1) * dt, {"units": "s"})},
        attrs={
            "dt": dt, "time_unit": "s", "structure": "unknown",
            "source": f"drawn by neurornn.simulate.from_environment from {name}",
        },
    )  # fmt: skip


def _flat(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    """One row for each step, (time, channel)."""
    rows = np.asarray(check_numbers(values, name, missing=False))
    return rows.reshape(len(rows), -1) if rows.ndim else rows.reshape(1, 1)


def _padded(rows: list[NDArray[np.float64]], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    filled = np.zeros((*inside.shape, rows[0].shape[1]))
    filled[inside] = np.concatenate(rows)
    return filled
