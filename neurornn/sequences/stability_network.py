"""The network of protein stability: two recurrent layers, few features, and an adversary."""

from typing import Any

import torch
from torch import Tensor, nn

from neurornn.models.base import ModelOutput, RecurrentModel
from neurornn.models.gated import GRU

#: Proteins that are read at a time.
CHUNK = 512


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient is turned round and scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * grads[0], None


class ProteinReader(RecurrentModel):
    """Stability of a protein within its species, read from stretches of residues.

    Parameters
    ----------
    n_input : columns of `data.residue_scales.stretches`; the last is 1 inside the protein.
    n_hidden : units of each direction. n_output : 1, and one for each species of the training.
    dt : stretch, 1.
    n_features : handed to the read-out.
    reversal : strength with which the adversary's gradient is turned round; 0 for none.
    dropout : of the states that are read. n_adversary : hidden units of the adversary.
    time_unit : ``"1"``. rng : of the first weights.

    Notes
    -----
    A gated layer in both directions runs along the stretches; its states are averaged over the
    protein and joined to few features, from which the stability is read linearly. A second head
    tells the species from the same features, and its gradient is turned round on the way back:
    features come out from which the species is hard to tell (Ganin et al. 2016). The output is
    that of the first step; the others are 0.
    """

    looks_ahead = True

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int = 1,
        *,
        dt: float = 1.0,
        n_features: int = 4,
        reversal: float = 1.0,
        dropout: float = 0.3,
        n_adversary: int = 16,
        time_unit: str = "1",
        rng: int = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.n_features, self.reversal, self.n_adversary = n_features, reversal, n_adversary
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng)
            self.join = nn.Linear(2 * n_hidden, n_features)
            self.out = nn.Linear(n_features, 1)
            self.adversary = nn.Sequential(
                nn.Linear(n_features, n_adversary),
                nn.ReLU(),
                nn.Linear(n_adversary, max(n_output - 1, 1)),
            )
        self.along = GRU(
            n_input, n_hidden, 1, dt=dt, bidirectional=True, time_unit=time_unit, rng=rng
        )
        self.drop = nn.Dropout(dropout)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {
            **super().settings, "n_features": self.n_features, "reversal": self.reversal,
            "dropout": self.drop.p, "n_adversary": self.n_adversary,
        }  # fmt: skip

    def start(self, n_trials: int) -> Tensor:
        """No state goes on from step to step: (trial, 0)."""
        return self.out.weight.new_zeros(n_trials, 0)

    def features(self, x: Tensor) -> Tensor:
        """What the read-out is handed, (trial, feature), of stretches (trial, time, input)."""
        inside = x[..., -1:]
        states, _ = self.along.scan(x, self.along.start(len(x)))
        mean = (states * inside).sum(1) / inside.sum(1).clamp(min=1)
        return torch.tanh(self.join(self.drop(mean)))

    def forward(self, inputs: Any, state: Tensor | None = None) -> ModelOutput:
        """Run on proteins.

        Parameters
        ----------
        inputs : (trial, time, input), stretches. state : not used.

        Returns
        -------
        ModelOutput with the stability, and the adversary's guess, at the first step.
        """
        x = self.as_inputs(inputs)
        pieces = [x] if torch.is_grad_enabled() else x.split(CHUNK)
        found = torch.cat([self._heads(piece) for piece in pieces])
        rest = x.new_zeros(len(x), x.shape[1] - 1, self.n_output)
        return ModelOutput(torch.cat([found[:, None], rest], 1), x[..., :0])

    def _heads(self, x: Tensor) -> Tensor:
        z = self.features(x)
        read: Tensor = self.out(z)
        if self.n_output > 1:
            guess = self.adversary(_Reversed.apply(z, self.reversal))
            read = torch.cat([read, guess], 1)
        return read
