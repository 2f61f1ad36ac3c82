"""Training a recurrent network to decide, on any task in the manner of gymnasium."""

import json
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import xarray as xr

from neurornn._core.checks import check_count
from neurornn._core.errors import ConvergenceWarning, DataError, KindError, ShapeError
from neurornn._core.files import fingerprint
from neurornn._core.jobs import progress_bar, run_chunks
from neurornn._core.report import versions
from neurornn._core.rng import RNG, derived_seed
from neurornn._core.status import Status
from neurornn._core.warning import warn_user
from neurornn.io.headers import plain, unplain
from neurornn.models.base import RecurrentModel
from neurornn.simulate.belief_task import HiddenTask
from neurornn.training.checkpoint import check_folder
from neurornn.training.many import (
    Packed,
    pack_model,
    pack_result,
    redrawn,
    unpack_content,
    unpack_model,
)
from neurornn.training.policy_play import (
    check_task,
    task_key,
    task_sizes,
)
from neurornn.training.policy_result import LATE, REMEDY, PolicyResult, policy_status, policy_table
from neurornn.training.policy_returns import evaluated, returns_of
from neurornn.training.policy_run import PolicyRun, PolicySettings
from neurornn.training.settings import MOST_SEEDS

#: Episodes on which a policy is compared with what it was earlier.
_COMPARED = 500


def policy_sizes(task: Any) -> dict[str, int]:
    """Return the sizes of a network that is to play a task, for ``nr.models.GRU(**sizes, ...)``.

    Parameters
    ----------
    task : environment in the manner of gymnasium.

    Returns
    -------
    dict
        ``n_input``, numbers of an observation and one for each action, the last one taken;
        ``n_output``, one for each action, and the value.

    Raises
    ------
    KindError
        No environment, or one whose actions are not a number of choices.

    Examples
    --------
    >>> import neurornn as nr
    >>> policy_sizes(nr.simulate.TigerTask())
    {'n_input': 6, 'n_output': 4}
    """
    n_actions, n_inputs = task_sizes(check_task(task))
    return {"n_input": n_inputs + n_actions, "n_output": n_actions + 1}


def fit_policy(
    model: RecurrentModel,
    task: Any,
    *,
    rng: RNG = 0,
    n_iterations: int = 300,
    n_episodes: int = 256,
    learning_rate: float = 3e-3,
    discount: float | None = None,
    entropy: float = 0.25,
    trace: float = 0.95,
    clip: float = 0.2,
    value_weight: float = 0.5,
    clip_norm: float = 1.0,
    n_passes: int = 4,
    n_batches: int = 2,
    n_seeds: int = 1,
    n_jobs: int = 1,
    client: Any = None,
    n_evaluation: int = 2000,
    max_steps: int = 10_000,
    confidence_level: float = 0.95,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 10,
    progress: bool | Callable[[int, int], None] = False,
) -> PolicyResult:
    """Train a recurrent network to act in a task whose state is hidden.

    Parameters
    ----------
    model : RecurrentModel
        Of the sizes that `policy_sizes` tells. Not changed; a copy is trained.
    task : environment in the manner of gymnasium, or a function that makes one
        ``reset(seed=)`` and ``step(action)``, a whole number of actions, observations that are
        numbers. Those of `nr.simulate` are stepped by compiled loops; others one by one, in
        copies. Where it has ``encode(observation)``, that is what the network sees.
    rng : int, Generator or None; the same seed gives the same bits.
    n_iterations : each plays episodes and learns from them.
    n_episodes : of an iteration.

    Other Parameters
    ----------------
    learning_rate : of Adam at the start; it falls to 5 % in a straight line.
    discount : of a reward one step later; by default the task's own, or 0.99.
    entropy : bonus at the start for actions that are not sure, in units of a standard deviation of
        the advantage; it falls to 0 in a straight line. Too little of it, and a network that has
        learned what never hurts does not look further.
    trace : decay of generalised advantages. clip : of the ratio of probabilities.
    value_weight : of the error of the value in the loss. clip_norm : largest norm of a gradient.
    n_passes, n_batches : passes over the episodes of an iteration, and the parts of each.
    n_seeds : policies from so many draws of the weights; that with the best return is kept, with
        all in ``result.seeds``. Its return is that of episodes on which it was not chosen.
    n_jobs, client : processes, or a ``dask.distributed.Client``, for the seeds.
    n_evaluation : episodes on which the return is measured.
    max_steps : of an episode; a task that has not ended by then is refused.
    confidence_level : of the interval of the return.
    checkpoint : folder of its own for checkpoints. The same call goes on from the one that is
        there, and comes to the same bits.
    checkpoint_every : iterations.
    progress : show a bar in a terminal or a notebook, or a callable ``(done, total)``.

    Returns
    -------
    PolicyResult

    Raises
    ------
    KindError, ShapeError, DataError
        No environment; sizes that do not fit; rewards or observations that are not finite;
        observations of changing width; episodes that do not end.
    ResumeError
        A checkpoint of another call is in the folder.

    Warns
    -----
    ConvergenceWarning
        Where the return still rose at the end, or one action is taken always.

    Notes
    -----
    Proximal policy optimisation (Schulman et al. 2017) with generalised advantages (Schulman et
    al. 2016): the network sees the observation and its own last action, and gives log odds of the
    actions and the value. The gradient runs through whole episodes, from a state of zeros. Rewards
    are divided by a running standard deviation of discounted returns. After an episode that was
    cut (truncated), its last value stands for what would have come. The return is measured with
    the most probable action; for tasks of `nr.simulate`, each reward is replaced by what is
    expected of it given the exact belief, which has the same mean and less noise.

    References
    ----------
    Schulman, Wolski, Dhariwal, Radford & Klimov 2017, arXiv:1707.06347; Schulman, Moritz, Levine,
    Jordan & Abbeel 2016, ICLR, arXiv:1506.02438.

    Examples
    --------
    >>> import warnings
    >>> import neurornn as nr
    >>> task = nr.simulate.TigerTask(n_steps=5, rng=0)
    >>> model = nr.models.GRU(**nr.training.policy_sizes(task), n_hidden=4, dt=1.0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     policy = fit_policy(model, task, n_iterations=2, n_episodes=8, n_evaluation=10)
    >>> dict(policy.history.sizes)
    {'epoch': 2}
    """
    if not isinstance(model, RecurrentModel):
        raise KindError(
            f"model is a {type(model).__name__}",
            "A model from nr.models was needed",
            "For example nr.models.GRU(**nr.training.policy_sizes(task), n_hidden=32, dt=1.0)",
        )
    env = check_task(task)
    sizes = policy_sizes(env)
    if (model.n_input, model.n_output) != (sizes["n_input"], sizes["n_output"]):
        raise ShapeError(
            f"The model has {model.n_input} inputs and {model.n_output} outputs",
            f"{sizes['n_input']} inputs, observation and last action, and {sizes['n_output']} "
            "outputs, actions and value, were needed",
            f"Build it with **nr.training.policy_sizes(task), that is n_input={sizes['n_input']}, "
            f"n_output={sizes['n_output']}",
        )
    if model.looks_ahead or model.observes_targets:
        raise KindError(
            f"A {type(model).__name__} that looks ahead, or at targets, came",
            "A model that sees the past alone was needed to act",
            "Use for example nr.models.GRU, LSTM or LeakyRNN",
        )
    if discount is None:
        discount = getattr(env, "discount", 0.99)
    settings = PolicySettings(
        rng=rng, n_iterations=n_iterations, n_episodes=n_episodes, learning_rate=learning_rate,
        discount=discount, trace=trace, clip=clip, entropy=entropy, value_weight=value_weight,
        clip_norm=clip_norm, n_passes=n_passes, n_batches=n_batches, max_steps=max_steps,
        n_evaluation=n_evaluation, confidence_level=confidence_level,
    )  # fmt: skip
    n_seeds = check_count(n_seeds, "n_seeds", most=MOST_SEEDS)
    every = check_count(checkpoint_every, "checkpoint_every")
    if n_seeds == 1:
        result = _fit_one(model, env, settings, checkpoint, every, progress)
    else:
        result = _fit_seeds(model, env, settings, n_seeds, n_jobs, client, checkpoint, progress)
    if result.status is not Status.OK:
        warn_user(
            f"The training ended with status {result.status}. {REMEDY}",
            ConvergenceWarning,
        )
    return result


def _fit_one(
    model: RecurrentModel,
    env: Any,
    settings: PolicySettings,
    checkpoint: str | os.PathLike[str] | None,
    every: int,
    progress: bool | Callable[[int, int], None],
) -> PolicyResult:
    if checkpoint is not None:
        check_folder(checkpoint)
    run = PolicyRun(model, env, settings)
    if checkpoint is not None:
        run.resume(checkpoint)
    late = round(LATE * settings.n_iterations)
    with (
        torch.random.fork_rng(devices=[]),
        progress_bar(settings.n_iterations, run.iteration, progress, "iterations") as tick,
    ):
        while not run.is_over:
            # Models with noise or dropout draw from the seed of the iteration.
            torch.manual_seed(derived_seed(settings.seed, 5, run.iteration))
            run.one_iteration()
            if run.iteration == late:
                run.late = returns_of(run.model, env, settings, 7, _COMPARED)[0].tolist()
            if checkpoint is not None and (run.is_over or run.iteration % every == 0):
                run.save(checkpoint)
            tick()
    return _result(run.model.to(next(model.parameters()).device).eval(), env, run, settings)


def _result(
    model: RecurrentModel, env: Any, run: PolicyRun, settings: PolicySettings
) -> PolicyResult:
    for p in model.parameters():
        p.grad = None
    returns, one_action = returns_of(model, env, settings, 4)
    at_last, _ = returns_of(model, env, settings, 7, _COMPARED)
    ceiling, why = _ceiling(env)
    names = ("mean_return", "loss", "gain", "value_loss", "entropy", "length")
    rows = np.array(run.rows)
    history = xr.Dataset(
        {name: ("epoch", rows[:, k]) for k, name in enumerate(names)},
        coords={"epoch": np.arange(1, len(rows) + 1)},
    )
    history["entropy"].attrs["units"] = "nat"
    return PolicyResult(
        model=model,
        parameters=policy_table(
            model, returns, ceiling, why, settings.confidence_level, settings.seed
        ),
        history=history,
        status=policy_status(np.array(run.late), at_last, one_action),
        settings={**settings.as_dict(), "optimizer": "adam", "objective": "policy"},
        provenance={
            **versions("torch", "numpy"),
            "task": type(env).__name__,
            "loss": float(rows[-1, 1]),
            "validation_loss": float("nan"),
        },
    )


def _ceiling(env: Any) -> tuple[float, str]:
    if not isinstance(env, HiddenTask):
        return float("nan"), "the optimum of this task is not known"
    try:
        return env.optimum().value, ""
    except DataError as error:
        return float("nan"), f"the optimum was not solved: {error.came}"


def _fit_seeds(
    model: RecurrentModel,
    env: Any,
    settings: PolicySettings,
    n_seeds: int,
    n_jobs: int,
    client: Any,
    checkpoint: str | os.PathLike[str] | None,
    progress: bool | Callable[[int, int], None],
) -> PolicyResult:
    chunks = []
    for k in range(n_seeds):
        seed = derived_seed(settings.seed, 500, k)
        one = model if k == 0 else redrawn(model, seed)
        own = json.dumps(plain({**settings.as_dict(), "rng": seed}))
        chunks.append((pack_model(one), own, type(model), env))
    done = run_chunks(
        _fit_packed, chunks, n_jobs=n_jobs, client=client, checkpoint=checkpoint,
        progress=progress, label="seeds",
        key=fingerprint([list(c[:2]) for c in chunks], task_key(env)),
    )  # fmt: skip
    admitted = {type(model).__name__: type(model)}
    results = [PolicyResult._from_saved(unpack_content(d, "PolicyResult", admitted)) for d in done]
    best = results[int(np.argmax([r.mean_return for r in results]))]
    # The return of the one that was chosen, on episodes on which it was not.
    again = evaluated(best.model, env, best.settings, path=6)
    ceiling, why = _ceiling(env)
    table = policy_table(best.model, again, ceiling, why, settings.confidence_level, settings.seed)
    return PolicyResult(
        model=best.model, parameters=table, history=best.history, status=best.status,
        settings=best.settings, provenance=best.provenance, seeds=_seed_table(results),
    )  # fmt: skip


def _seed_table(results: list[PolicyResult]) -> xr.Dataset:
    table = xr.Dataset(
        {"status": ("seed", [str(r.status) for r in results], {"long_name": "status"})},
        coords={"seed": np.arange(len(results))},
    )
    for name in ("mean_return", "share"):
        values = np.array([float(r.parameters[name]) for r in results])
        attrs = {
            "units": "1", "long_name": results[0].parameters[name].attrs["long_name"],
            "mean": float(values.mean()), "sd": float(values.std(ddof=1)),
        }  # fmt: skip
        table[name] = ("seed", values, attrs)
    return table


def _fit_packed(model: Packed, options: str, cls: type[RecurrentModel], env: Any) -> Packed:
    """One seed, on a worker."""
    settings = PolicySettings(**json.loads(options, object_hook=unplain))
    with warnings.catch_warnings():
        # The status says it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = _fit_one(unpack_model(model, cls), env, settings, None, 10, False)
    return pack_result(result)
