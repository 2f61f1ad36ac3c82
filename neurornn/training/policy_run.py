"""One policy under training: its state, its iterations, and how it is taken up again."""

import copy
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurornn._core.checks import check_count, check_number
from neurornn._core.files import fingerprint
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn.models.base import RecurrentModel
from neurornn.training.checkpoint import read_checkpoint, write_checkpoint
from neurornn.training.policy_play import (
    Group,
    Played,
    drawn_seeds,
    group_of,
    play,
    task_key,
)

#: Grows when the same arguments lead to another policy.
_METHOD = 1
#: Share of the old scale of rewards that an iteration keeps.
_KEPT = 0.9
#: Share of the learning rate that is left at the end.
_LAST_RATE = 0.05


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """How a policy is trained; every argument is that of `fit_policy`.

    Raises
    ------
    DataError, KindError
        A number that cannot be.
    """

    rng: RNG = 0
    n_iterations: int = 300
    n_episodes: int = 256
    learning_rate: float = 3e-3
    discount: float = 0.99
    trace: float = 0.95
    clip: float = 0.2
    entropy: float = 0.25
    value_weight: float = 0.5
    clip_norm: float = 1.0
    n_passes: int = 4
    n_batches: int = 2
    max_steps: int = 10_000
    n_evaluation: int = 2000
    confidence_level: float = 0.95

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "rng", seed_of(self.rng))
        for name in ("n_iterations", "n_episodes", "n_passes", "n_batches", "max_steps",
                     "n_evaluation"):  # fmt: skip
            put(self, name, check_count(getattr(self, name), name, most=10_000_000))
        for name, most in (("discount", 1.0), ("trace", 1.0), ("clip", 10.0), ("clip_norm", 1e6),
                           ("learning_rate", 1e3), ("confidence_level", 0.999999)):  # fmt: skip
            put(self, name, check_number(getattr(self, name), name, above=0.0, most=most))
        for name in ("entropy", "value_weight"):
            put(self, name, check_number(getattr(self, name), name, least=0.0))

    @property
    def seed(self) -> int:
        """Seed of everything that is drawn."""
        assert isinstance(self.rng, int)
        return self.rng

    def as_dict(self) -> dict[str, Any]:
        """Return them as plain values."""
        return asdict(self)


class PolicyRun:
    """One policy under training; its whole state can be written and read back.

    Parameters
    ----------
    model : not changed; a copy is trained.
    task : environment.
    settings : how.
    """

    def __init__(self, model: RecurrentModel, task: Any, settings: PolicySettings) -> None:
        self.settings = settings
        given = {k: v.detach().cpu().double().numpy() for k, v in model.state_dict().items()}
        self.key = fingerprint(
            _METHOD, settings.as_dict(), type(model).__name__, model.settings, given,
            task_key(task),
        )  # fmt: skip
        self.model = copy.deepcopy(model).cpu().train()
        self.group: Group = group_of(task, settings.n_episodes, settings.max_steps)
        self.weights = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.weights, lr=settings.learning_rate, eps=1e-5)
        self.iteration = 0
        self.scale = 0.0
        self.rows: list[list[float]] = []
        #: Returns of the most probable actions late in the training, of episodes of their own.
        self.late: list[float] = []

    @property
    def is_over(self) -> bool:
        """Whether all iterations are done."""
        return self.iteration >= self.settings.n_iterations

    def one_iteration(self) -> None:
        """Play episodes, and take the steps that they ask for."""
        s, k = self.settings, self.iteration
        seeds = drawn_seeds(s.seed, 1, k, n=s.n_episodes)
        self.model.eval()
        played = play(
            self.model, self.group, seeds, np.random.default_rng(derived_seed(s.seed, 2, k))
        )
        self.model.train()
        self._rescale(played)
        advantage, goal = self._advantages(played)
        self._learn(played, advantage, goal)
        self.iteration += 1

    def _rescale(self, played: Played) -> None:
        """Follow the spread of what is to come: rewards are measured in it."""
        n_episodes, n_steps = played.actions.shape
        to_come, later = np.zeros((n_episodes, n_steps)), np.zeros(n_episodes)
        for t in range(n_steps - 1, -1, -1):
            later = played.rewards[:, t] + self.settings.discount * later
            to_come[:, t] = later
        spread = float(to_come[played.active].std())
        if not self.scale:
            self.scale = max(spread, 1e-8)
        self.scale = max(_KEPT * self.scale + (1 - _KEPT) * spread, 1e-8)

    def _advantages(self, played: Played) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Generalised advantages, and what the value was to be, (episode, time) each."""
        s = self.settings
        rewards, values, active = played.rewards / self.scale, played.values, played.active
        n_steps = rewards.shape[1]
        goes_on = np.column_stack([active[:, 1:], np.zeros(len(active), bool)])
        advantage = np.zeros(rewards.shape)
        after, later = np.zeros(len(rewards)), np.zeros(len(rewards))
        for t in range(n_steps - 1, -1, -1):
            last = active[:, t] & ~goes_on[:, t]
            # What an episode that was cut would still have brought.
            after = np.where(last, played.last_value, after)
            later = np.where(last, 0.0, later)
            error = rewards[:, t] + s.discount * after - values[:, t]
            later = np.where(active[:, t], error + s.discount * s.trace * later, 0.0)
            advantage[:, t] = later
            after = np.where(active[:, t], values[:, t], after)
        goal = advantage + values
        found = advantage[active]
        scaled = (advantage - found.mean()) / (found.std() + 1e-8)
        return np.where(active, scaled, 0.0), goal

    def _learn(
        self, played: Played, advantage: NDArray[np.float64], goal: NDArray[np.float64]
    ) -> None:
        s, k = self.settings, self.iteration
        left = 1.0 - k / s.n_iterations
        for group in self.optimizer.param_groups:
            group["lr"] = s.learning_rate * max(left, _LAST_RATE)
        dtype = self.weights[0].dtype
        given = {
            name: torch.from_numpy(np.ascontiguousarray(v))
            for name, v in (
                ("inputs", played.inputs), ("actions", played.actions), ("active", played.active),
                ("log_chance", played.log_chance), ("advantage", advantage), ("goal", goal),
            )
        }  # fmt: skip
        order = np.random.default_rng(derived_seed(s.seed, 3, k))
        sums = np.zeros(4)
        for _ in range(s.n_passes):
            mixed = torch.from_numpy(order.permutation(len(played.inputs)))
            for part in mixed.chunk(s.n_batches):
                batch = {name: v[part] for name, v in given.items()}
                longest = int(batch["active"].sum(1).max())
                batch = {n: v[:, :longest] for n, v in batch.items()}
                batch = {n: v.to(dtype) if v.is_floating_point() else v for n, v in batch.items()}
                self.optimizer.zero_grad()
                loss, said = self._loss(batch, s.entropy * left)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.weights, s.clip_norm)
                self.optimizer.step()
                sums += np.array([float(loss.detach()), *said])
        sums /= s.n_passes * s.n_batches
        got = played.returns(s.discount)
        length = float(played.active.sum() / len(got))
        self.rows.append([float(got.mean()), float(sums[0]), *map(float, sums[1:]), length])

    def _loss(
        self, batch: dict[str, torch.Tensor], entropy: float
    ) -> tuple[torch.Tensor, list[float]]:
        s = self.settings
        output = self.model(batch["inputs"]).output
        n_actions = self.group.n_actions
        chance = torch.log_softmax(output[..., :n_actions], dim=-1)
        taken = chance.gather(-1, batch["actions"][..., None])[..., 0]
        ratio = torch.exp(taken - batch["log_chance"])
        gain = batch["advantage"]
        held = torch.minimum(ratio * gain, ratio.clamp(1 - s.clip, 1 + s.clip) * gain)
        doubt = -(chance.exp() * chance).sum(-1)
        error = (output[..., n_actions] - batch["goal"]) ** 2
        n = batch["active"].sum()
        policy, value, spread = (
            torch.where(batch["active"], v, 0.0).sum() / n for v in (held, error, doubt)
        )
        loss = -policy + s.value_weight * value - entropy * spread
        return loss, [float(v.detach()) for v in (policy, value, spread)]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the state of the run."""
        write_checkpoint(
            folder,
            self.key,
            {
                "iteration": self.iteration,
                "scale": float(self.scale),
                "rows": self.rows,
                "late": self.late,
                "weights": {k: v.detach().clone() for k, v in self.model.state_dict().items()},
                "optimizer": self.optimizer.state_dict(),
            },
        )

    def resume(self, folder: str | os.PathLike[str]) -> None:
        """Take up the state in a folder, where there is one."""
        state = read_checkpoint(folder, self.key)
        if state is None:
            return
        self.iteration, self.scale, self.rows = (
            state["iteration"], state["scale"], state["rows"]
        )  # fmt: skip
        self.late = state["late"]
        self.model.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
