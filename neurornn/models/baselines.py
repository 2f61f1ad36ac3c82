"""The plain models a recurrent network has to beat: memoryless, and linear with memory."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from neurornn._core.checks import check_count, check_rng
from neurornn._core.rng import RNG, seed_of
from neurornn.models.base import RecurrentModel, nonlinearity_named, random_weights
from neurornn.models.dropout import SequenceDropout


class Memoryless(RecurrentModel):
    """Linear map of the present input; it has no state.

    Parameters
    ----------
    n_input, n_output : sizes.
    dt : s, length of a step.
    time_unit : ``"s"`` or ``"bp"``.
    n_hidden : 0; it is there so that all models are built alike.
    rng : int, Generator or None
        For the initial weights.

    Notes
    -----
    ``y_k = D x_k + d``. Whatever it explains needs no memory.
    """

    def __init__(
        self,
        n_input: int,
        n_output: int,
        *,
        dt: float,
        time_unit: str = "s",
        n_hidden: int = 0,
        rng: RNG = 0,
    ) -> None:
        super().__init__(n_input, 0, n_output, dt=dt, time_unit=time_unit)
        del rng, n_hidden
        self.direct_weight = nn.Parameter(torch.zeros(self.n_output, self.n_input))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """No state: empty tensors."""
        return inputs.new_zeros(*inputs.shape[:2], 0), state

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Linear map of the inputs."""
        return nn.functional.linear(inputs, self.direct_weight, self.output_bias)


class MemorylessMLP(RecurrentModel):
    """Multilayer perceptron of the present input; it has no state.

    Parameters
    ----------
    n_input, n_output : sizes.
    dt : s, length of a step.
    n_hidden : units in each hidden layer.
    n_layers : hidden layers.
    nonlinearity : ``"tanh"``, ``"relu"``, ``"softplus"``, ``"sigmoid"`` or ``"linear"``.

    Other Parameters
    ----------------
    dropout : probability of a hidden unit to be dropped for a whole trial, see `SequenceDropout`.
    time_unit : ``"s"`` or ``"bp"``.
    rng : for the initial weights.

    Raises
    ------
    DataError
        Sizes or probabilities that cannot be.

    Notes
    -----
    ``y_k = C f(... f(W x_k + b)) + d``. What it explains beyond `Memoryless` needs a nonlinearity;
    what a recurrent network explains beyond it needs memory.

    Examples
    --------
    >>> model = MemorylessMLP(n_input=2, n_output=1, dt=0.01, rng=0)
    >>> out = model(torch.zeros(3, 50, 2))
    >>> out.output.shape, out.states.shape
    (torch.Size([3, 50, 1]), torch.Size([3, 50, 0]))
    """

    def __init__(
        self,
        n_input: int,
        n_output: int,
        *,
        dt: float,
        n_hidden: int = 32,
        n_layers: int = 1,
        nonlinearity: str = "tanh",
        dropout: float = 0.0,
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        check_count(n_input, "n_input")
        check_count(n_hidden, "n_hidden")
        self.n_layers = check_count(n_layers, "n_layers")
        self.nonlinearity = nonlinearity
        self._f = nonlinearity_named(nonlinearity)
        self.dropout = SequenceDropout(dropout)
        draw = torch.Generator().manual_seed(seed_of(check_rng(rng)))
        sizes = [self.n_input] + [self.n_hidden] * self.n_layers
        self.weights = nn.ParameterList(
            random_weights(m, n, 1.0, draw) for n, m in pairwise(sizes)
        )
        # Biases that differ let units bend at different inputs from the start.
        self.biases = nn.ParameterList(
            torch.randn(self.n_hidden, generator=draw) * 0.5 for _ in self.weights
        )
        self.output_weight = nn.Parameter(random_weights(self.n_output, self.n_hidden, 1.0, draw))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {
            **super().settings,
            "n_layers": self.n_layers,
            "nonlinearity": self.nonlinearity,
            "dropout": self.dropout.p,
        }

    def start(self, n_trials: int) -> Tensor:
        """No state: (trial, 0)."""
        return self.output_weight.new_zeros(n_trials, 0)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """No state: empty tensors."""
        return inputs.new_zeros(*inputs.shape[:2], 0), state

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Perceptron of the inputs."""
        x = inputs
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = self.dropout(self._f(nn.functional.linear(x, weight, bias)))
        return nn.functional.linear(x, self.output_weight, self.output_bias)


class LinearStateSpace(RecurrentModel):
    """Linear dynamics driven by the input, with a direct path.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes.
    dt : s, length of a step.
    time_unit : ``"s"`` or ``"bp"``.
    rng : for the initial weights.

    Notes
    -----
    ``h_k = A h_{k-1} + B x_k``, ``y_k = C h_k + D x_k + d``. With the past output as input it is a
    linear predictor in innovation form; its memory is read from the eigenvalues of A.
    """

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int,
        *,
        dt: float,
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        draw = torch.Generator().manual_seed(seed_of(check_rng(rng)))
        # Start from decays spread between a step and a hundred steps, uncoupled.
        decay = torch.exp(-1 / torch.logspace(0, 2, max(self.n_hidden, 1)))[: self.n_hidden]
        self.transition = nn.Parameter(torch.diag(decay))
        self.input_weight = nn.Parameter(random_weights(self.n_hidden, self.n_input, 0.3, draw))
        self.output_weight = nn.Parameter(random_weights(self.n_output, self.n_hidden, 0.3, draw))
        self.direct_weight = nn.Parameter(torch.zeros(self.n_output, self.n_input))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over time."""
        drive = nn.functional.linear(inputs, self.input_weight)
        steps = []
        for u in drive.unbind(1):
            state = u + state @ self.transition.T
            steps.append(state)
        return torch.stack(steps, 1), state

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Read-out of states and inputs."""
        through = nn.functional.linear(states, self.output_weight, self.output_bias)
        return through + nn.functional.linear(inputs, self.direct_weight)

    def time_constants(self) -> Tensor:
        """Decay time of each mode, in the time unit: ``-dt / log|eigenvalue|``, or inf."""
        size = torch.linalg.eigvals(self.transition.detach().double()).abs()
        tau = -self.dt / torch.log(size)
        return torch.where(size < 1, tau, torch.inf)
