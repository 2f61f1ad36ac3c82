"""What a policy gains on episodes that nobody trained on."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurornn.models.base import RecurrentModel
from neurornn.simulate.belief_task import HiddenTask
from neurornn.training.policy_play import check_task, drawn_seeds, group_of, play
from neurornn.training.policy_run import PolicySettings

#: Episodes of somebody else's environment that are played side by side.
_SIDE_BY_SIDE = 256


def evaluated(
    model: RecurrentModel, task: Any, settings: Mapping[str, Any], *, path: int
) -> np.ndarray:
    """Discounted returns of episodes that nobody trained on, (episode,)."""
    env = check_task(task)
    extra = ("optimizer", "objective")
    own = {k: v for k, v in settings.items() if k not in extra}
    return returns_of(model, env, PolicySettings(**own), path)[0]


def returns_of(
    model: RecurrentModel, env: Any, settings: PolicySettings, path: int, n: int | None = None
) -> tuple[np.ndarray, bool]:
    """Returns of `n` episodes, and whether one action was taken always."""
    known = isinstance(env, HiddenTask)
    n = settings.n_evaluation if n is None else min(n, settings.n_evaluation)
    most = n if known else min(n, _SIDE_BY_SIDE)
    seeds = drawn_seeds(settings.seed, path, n=n)
    discount = env.discount if known else settings.discount
    was_training = model.training
    model.eval()
    found, taken = [], set()
    for k in range(0, len(seeds), most):
        part = seeds[k : k + most]
        played = play(model, group_of(env, len(part), settings.max_steps), part, hidden=known)
        taken |= set(played.actions[played.active].tolist())
        if known:
            expected = env.expected_reward(played.belief, played.actions)
            played = played._replace(rewards=np.where(played.active, expected, 0.0))
        found.append(played.returns(discount))
    model.train(was_training)
    return np.concatenate(found), len(taken) == 1
