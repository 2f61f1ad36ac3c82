"""The Elman network: no leak, one step of memory at a time."""

from typing import Any

import torch
from torch import Tensor, nn

from neurornn._core.checks import check_rng
from neurornn._core.rng import RNG, seed_of
from neurornn.models.base import RecurrentModel, nonlinearity_named, random_weights


class VanillaRNN(RecurrentModel):
    """Elman network: the state is replaced in every step.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes.
    dt : s, length of a step.
    nonlinearity : ``"tanh"``, ``"relu"``, ``"softplus"``, ``"sigmoid"`` or ``"linear"``.
    time_unit : ``"s"`` or ``"bp"``.
    rng : for the initial weights.

    Notes
    -----
    ``h_k = f(W h_{k-1} + U x_k + b)`` (Elman 1990, Cognitive Science 14:179,
    doi:10.1207/s15516709cog1402_1). It has no time constant of its own; `LeakyRNN` has.
    """

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int,
        *,
        dt: float,
        nonlinearity: str = "tanh",
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.nonlinearity = nonlinearity
        self._f = nonlinearity_named(nonlinearity)
        draw = torch.Generator().manual_seed(seed_of(check_rng(rng)))
        self.recurrent_weight = nn.Parameter(
            random_weights(self.n_hidden, self.n_hidden, 0.8, draw)
        )
        self.input_weight = nn.Parameter(random_weights(self.n_hidden, self.n_input, 1.0, draw))
        self.bias = nn.Parameter(torch.zeros(self.n_hidden))
        self.output_weight = nn.Parameter(random_weights(self.n_output, self.n_hidden, 1.0, draw))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {**super().settings, "nonlinearity": self.nonlinearity}

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over time."""
        drive = nn.functional.linear(inputs, self.input_weight, self.bias)
        steps = []
        for u in drive.unbind(1):
            state = self._f(u + state @ self.recurrent_weight.T)
            steps.append(state)
        return torch.stack(steps, 1), state

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Linear read-out of the states."""
        return nn.functional.linear(states, self.output_weight, self.output_bias)
