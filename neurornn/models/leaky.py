"""The leaky recurrent network: a rate equation whose time constants are parameters in seconds."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, seed_of
from neurornn.models.base import (
    PhysicalParameter,
    RecurrentModel,
    nonlinearity_named,
    random_weights,
)
from neurornn.models.bounded import LogBounded
from neurornn.models.recurrence import run_leaky


class LeakyRNN(RecurrentModel):
    """Leaky recurrent network with a time constant per unit, in seconds.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes.
    dt : s, length of a step.
    tau : s, scalar or (hidden,)
        Time constants to start from.
    tau_bounds : (lower, upper), s
        Between which they are learned; by default dt/10 and 10000·dt.
    learn_tau : learn them, or hold them fixed.
    nonlinearity : ``"tanh"``, ``"relu"``, ``"softplus"``, ``"sigmoid"`` or ``"linear"``.

    Other Parameters
    ----------------
    recurrent : bool
        Have recurrent weights at all.
    self_connections : bool or None
        Let a unit drive itself. None: only where the nonlinearity is not linear, because a linear
        unit's own weight w and its tau act as one number, ``tau / (1 - w)``.
    step : ``"exact"`` or ``"euler"``
        ``alpha = 1 - exp(-dt / tau)``, or ``dt / tau``.
    initial_state : ``"zero"`` or ``"learned"``.
    time_unit : ``"s"``, or ``"bp"`` for a model that runs along a sequence.
    rng : int, Generator or None
        For the initial weights.

    Attributes
    ----------
    tau : (hidden,), s; can be read and assigned.

    Notes
    -----
    ``h_k = (1 - alpha) h_{k-1} + alpha f(W h_{k-1} + U x_k + b)``, ``y_k = C h_k + c``: the rate
    equation ``tau dh/dt = -h + f(W h + U x + b)`` (Wilson & Cowan 1972, Biophysical Journal 12:1,
    doi:10.1016/S0006-3495(72)86068-5) with the drive held constant within a step.

    Examples
    --------
    >>> model = LeakyRNN(n_input=2, n_hidden=8, n_output=1, dt=0.01, tau=0.1, rng=0)
    >>> model(torch.zeros(3, 50, 2)).output.shape
    torch.Size([3, 50, 1])
    """

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int,
        *,
        dt: float,
        tau: ArrayLike = 0.1,
        tau_bounds: tuple[float, float] | None = None,
        learn_tau: bool = True,
        nonlinearity: str = "tanh",
        recurrent: bool = True,
        self_connections: bool | None = None,
        step: str = "exact",
        initial_state: str = "zero",
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        self.nonlinearity = nonlinearity
        self._f = nonlinearity_named(nonlinearity)
        if step not in ("exact", "euler") or initial_state not in ("zero", "learned"):
            raise DataError(
                f"step is {step!r} and initial_state {initial_state!r}",
                "step 'exact' or 'euler', initial_state 'zero' or 'learned' were needed",
                "Check the spelling",
            )
        self.step_rule, self.initial_state = step, initial_state
        if self_connections is None:
            self_connections = nonlinearity != "linear"
        self.self_connections = bool(self_connections)
        self.recurrent = bool(recurrent) and (self.n_hidden > 1 or self.self_connections)
        self.tau_bounds = (self.dt / 10, 1e4 * self.dt) if tau_bounds is None else tau_bounds
        self.learn_tau = bool(learn_tau)
        start = np.asarray(tau, dtype=float)
        if start.ndim and start.shape != (self.n_hidden,):
            raise ShapeError(
                f"tau has shape {start.shape}",
                f"One number, or one for each of the {self.n_hidden} hidden units, was needed",
                "Check n_hidden",
            )
        draw = torch.Generator().manual_seed(seed_of(rng))
        self.bounds = LogBounded(*map(float, self.tau_bounds))
        seconds = torch.tensor(np.broadcast_to(start, self.n_hidden).copy())
        self.unbounded_tau = nn.Parameter(
            self.bounds.right_inverse(seconds).float(), requires_grad=self.learn_tau
        )
        if self.recurrent:
            self.recurrent_weight = nn.Parameter(
                random_weights(self.n_hidden, self.n_hidden, 0.8, draw)
            )
            if not self.self_connections:
                off = 1 - torch.eye(self.n_hidden)
                self.register_buffer("connections", off, persistent=False)
        self.input_weight = nn.Parameter(random_weights(self.n_hidden, self.n_input, 1.0, draw))
        self.bias = nn.Parameter(torch.zeros(self.n_hidden))
        self.output_weight = nn.Parameter(random_weights(self.n_output, self.n_hidden, 1.0, draw))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))
        if initial_state == "learned":
            self.first_state = nn.Parameter(torch.zeros(self.n_hidden))

    @property
    def tau(self) -> Tensor:
        """Time constants, (hidden,), in the time unit; assign to set them."""
        return self.bounds(self.unbounded_tau)

    @tau.setter
    def tau(self, value: ArrayLike | Tensor) -> None:
        given = torch.as_tensor(value, dtype=torch.float64).expand(self.n_hidden)
        with torch.no_grad():
            self.unbounded_tau.copy_(self.bounds.right_inverse(given))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {
            **super().settings,
            "tau_bounds": [float(b) for b in self.tau_bounds],
            "learn_tau": self.learn_tau,
            "nonlinearity": self.nonlinearity,
            "recurrent": self.recurrent,
            "self_connections": self.self_connections,
            "step": self.step_rule,
            "initial_state": self.initial_state,
            "tau": float(np.sqrt(self.tau_bounds[0] * self.tau_bounds[1])),
        }

    @property
    def physical_parameters(self) -> list[PhysicalParameter]:
        """The time constants."""
        return [PhysicalParameter("tau", "unbounded_tau", self.time_unit, "time constant")]

    def alpha(self) -> Tensor:
        """Share of the state that is replaced in one step, (hidden,)."""
        tau = self.tau
        return self.dt / tau if self.step_rule == "euler" else -torch.expm1(-self.dt / tau)

    def weights(self) -> Tensor | None:
        """Recurrent weights ``(hidden, hidden_)``, zero where not connected; None where none."""
        if not self.recurrent:
            return None
        if self.self_connections:
            return self.recurrent_weight
        return self.recurrent_weight * self.connections

    def start(self, n_trials: int) -> Tensor:
        """State before the first step, (trial, hidden)."""
        if self.initial_state == "learned":
            return self.first_state.expand(n_trials, -1)
        return super().start(n_trials)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run the rate equation over time."""
        # Time first, as the loop runs; the inputs are turned, not the longer drive.
        drive = nn.functional.linear(inputs.transpose(0, 1), self.input_weight, self.bias)
        states = run_leaky(drive, self.weights(), self.alpha(), state, self.nonlinearity)
        return states.transpose(0, 1), states[-1] if len(states) else state

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Linear read-out of the states."""
        return nn.functional.linear(states, self.output_weight, self.output_bias)
