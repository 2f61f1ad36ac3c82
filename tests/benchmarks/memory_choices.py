"""Four choices about memory, one at a time: dropout, first state, clipping, direction.

Fixed before these seeds were run, and not changed since.

Task: that of `compare.memory` (one of four cues in the first step, 30 steps of noise, the question
in the last step; chance is 25 %). Steps of 10 ms. Seeds 0 to 4, of weights and trials; 30 rounds
of 640 fresh trials each in batches of 32, Adam at 0.01, a gradient of norm 1 at most; accuracy on
512 new trials, with its sd over seeds. No round is left out and no seed is dropped.

Dropout: a GRU of 24 units that loses a quarter of the state on its way back into the gates, never
of the state that is carried on; none, one mask per trial (variational), a new mask in every step.
First state: a leaky network of 32 units that start at 0.1 s, zero against learned.
Clipping: a vanilla network of 32 units, with a largest norm of 1 and without.
Direction: GRU of 24 units one way, and of 16 in each of two directions. "Late": as above. "Early":
the same trials backward in time: the answer is due in the first step, 30 steps before the cue.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch

import neurornn as nr
from neurornn._core.errors import ConvergenceWarning
from neurornn._core.rng import derived_seed
from neurornn.compare.memory_cells import N_INPUT, N_KINDS, memory_trials
from neurornn.models.dropout import dropout_mask

LAG, DT, N_SEEDS, N_ROUNDS, N_TRIALS, N_TEST = 30, 0.01, 5, 30, 640, 512
RATE, BATCH, DROPPED, CHANCE = 0.01, 32, 0.25, 0.25
SIZES = {"gru": 24, "leaky": 32, "vanilla": 32, "both ways": 16}
COLUMNS = ["accuracy, mean", "sd over 5 seeds", "chance", "accuracy of each seed"]


class StateDropoutGRU(nr.models.GRU):
    """A GRU of one layer whose gates see a state of which a part is dropped."""

    per_step = False

    def scan(self, inputs, state):
        """Run over time; nothing is dropped in evaluation."""
        if not self.training:
            return super().scan(inputs, state)
        (layer,) = [m for m in self.modules() if isinstance(m, torch.nn.GRU)]
        fed = torch.nn.functional.linear(inputs, layer.weight_ih_l0, layer.bias_ih_l0)
        mask, states = None, []
        for now in fed.unbind(1):
            if mask is None or self.per_step:
                mask = dropout_mask(len(state), state.shape[1], DROPPED, state)
            back = torch.nn.functional.linear(
                state * mask, layer.weight_hh_l0, layer.bias_hh_l0
            ).chunk(3, 1)
            r, z, n = now.chunk(3, 1)
            z = torch.sigmoid(z + back[1])
            n = torch.tanh(n + torch.sigmoid(r + back[0]) * back[2])
            state = (1 - z) * n + z * state
            states.append(state)
        return torch.stack(states, 1), state


class StepDropoutGRU(StateDropoutGRU):
    """The same with a new mask in every step."""

    per_step = True


def make(kind: Callable, n: int, seed: int, **options) -> nr.models.base.RecurrentModel:
    """Return a fresh network of n units."""
    return kind(N_INPUT, n, N_KINDS, dt=DT, rng=seed, **options)


def trials(n: int, seed: int, early: bool):
    """Inputs, targets and kinds; backward in time where the answer is due early."""
    x, y, kind = memory_trials(n, LAG, np.random.default_rng(seed))
    return (x[:, ::-1].copy(), y[:, ::-1].copy(), kind) if early else (x, y, kind)


def accuracy(model, seed: int, *, clip: float | None = 1.0, early: bool = False) -> float:
    """Train a network, and return the share of new trials that it answers right."""
    for k in range(N_ROUNDS):
        x, y, _ = trials(N_TRIALS, derived_seed(seed, 1, k), early)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = nr.fit(
                model, (x, y), objective="categorical", optimizer="adam", max_epochs=1,
                learning_rate=RATE, schedule="constant", batch_size=BATCH, clip_norm=clip,
                rng=derived_seed(seed, 2, k), refine=False, intervals=False,
            ).model  # fmt: skip
    x, _, kind = trials(N_TEST, derived_seed(seed, 3), early)
    with torch.no_grad():
        answer = model(x).output[:, 0 if early else -1].argmax(1).numpy()
    return float((answer == kind).mean())


def choices() -> Iterator[tuple[str, Callable[[int], float]]]:
    """Name of each choice, and what it comes to for a seed."""
    gru, leaky, vanilla = nr.models.GRU, nr.models.LeakyRNN, nr.models.VanillaRNN
    n = SIZES
    for name, kind in (
        ("none", gru),
        ("one mask per trial", StateDropoutGRU),
        ("a mask per step", StepDropoutGRU),
    ):
        yield f"dropout, GRU: {name}", lambda s, k=kind: accuracy(make(k, n["gru"], s), s)
    for first in ("zero", "learned"):
        yield (
            f"first state, leaky: {first}",
            lambda s, f=first: accuracy(
                make(leaky, n["leaky"], s, tau=10 * DT, initial_state=f), s
            ),
        )
    for name, clip in (("norm 1", 1.0), ("off", None)):
        yield (
            f"clipping, vanilla: {name}",
            lambda s, c=clip: accuracy(make(vanilla, n["vanilla"], s), s, clip=c),
        )
    for due in ("late", "early"):
        for name, both in (("one way", False), ("both ways", True)):
            yield f"answer {due}, GRU: {name}", lambda s, b=both, d=due: accuracy(
                make(gru, n["both ways" if b else "gru"], s, bidirectional=b), s,
                early=d == "early",
            )  # fmt: skip


def rows() -> Iterator[list[str]]:
    """Accuracy of every choice over seeds."""
    for name, run in choices():
        found = np.array([run(seed) for seed in range(N_SEEDS)])
        yield [
            name,
            f"{found.mean():.3f}",
            f"{found.std(ddof=1):.3f}",
            f"{CHANCE:.2f}",
            ", ".join(f"{a:.2f}" for a in found),
        ]
