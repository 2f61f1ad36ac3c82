"""The leaky recurrent network: a rate equation whose time constants are parameters in seconds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor, nn

from neurornn._core.checks import (
    check_count,
    check_interval,
    check_number,
    check_numbers,
    check_rng,
)
from neurornn._core.errors import DataError, KindError, ShapeError, nearest
from neurornn._core.rng import RNG, seed_of
from neurornn.models.base import (
    PhysicalParameter,
    RecurrentModel,
    nonlinearity_named,
    random_weights,
)
from neurornn.models.bounded import LogBounded
from neurornn.models.connectivity import block_table, connection_mask, region_index, unit_signs
from neurornn.models.dropout import SequenceDropout
from neurornn.models.recurrence import run_leaky_on

_CHOICES = {
    "step": ("exact", "euler"),
    "initial_state": ("zero", "learned", "input"),
    "form": ("rate", "current"),
    "readout": ("linear", "states"),
}


class LeakyRNN(RecurrentModel):
    """Leaky recurrent network with a time constant per unit, in seconds.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes; ``n_input=0`` for a network that runs by itself.
    dt : s, length of a step.
    tau : s, scalar, (hidden,), or (group,) with `tau_groups`
        Time constants to start from.
    tau_bounds : (lower, upper), s
        Between which they are learned; by default dt/10 and 10000·dt.
    learn_tau : learn them, or hold them fixed.
    nonlinearity : ``"tanh"``, ``"relu"``, ``"softplus"``, ``"sigmoid"`` or ``"linear"``.

    Other Parameters
    ----------------
    tau_groups : (hidden,), labels; or ``"shared"``
        Units of one group share a time constant; by default each has its own.
    form : ``"rate"`` or ``"current"``
        Whether the nonlinearity stands around the sum of inputs or around the state; see Notes.
    recurrent : bool
        Have recurrent weights at all.
    self_connections : bool or None
        Let a unit drive itself. None: only where the nonlinearity is not linear, because a linear
        unit's own weight w and its tau act as one number, ``tau / (1 - w)``.
    connections : ``(hidden, hidden_)``
        0 where the column does not project to the row; that weight stays 0.
    regions : (hidden,), labels
        For `block_report`, and `region_connections`.
    region_connections : ``(region, region_)``
        0 where a region does not project to another, in the order of first appearance.
    excitatory : share, or (hidden,) of bool
        Dale's law: what a unit sends has one sign. By default weights have any sign.
    rank : int
        Low rank: ``W = M N' / n_hidden`` with M and N of so many columns.
    noise_sd : float
        Process noise, drawn in training mode (``model.train()``) alone: the sd that it gives to
        the state of a unit without input, whatever dt and tau.
    dropout : probability of a unit to be dropped on its way to the read-out
        One mask per trial for all steps, in training mode alone, see `SequenceDropout`; recurrent
        connections are kept. Not with ``readout="states"``, where a unit is itself observed.
    input_dropout : probability of an input to be dropped for a whole trial
        What drives the network; a start that is read from the first input sees all of it.
    step : ``"exact"`` or ``"euler"``
        ``alpha = 1 - exp(-dt / tau)``, or ``dt / tau``.
    substeps : int
        Steps of the equation within a `dt`, the input held: the weights then belong to the
        equation rather than to the clock. See Notes.
    initial_state : ``"zero"``, ``"learned"``, or ``"input"``, a linear map of the first input.
    readout : ``"linear"``, or ``"states"`` where the states themselves are observed.
    time_unit : ``"s"``, or ``"bp"`` for a model that runs along a sequence.
    rng : int, Generator or None
        For the initial weights.

    Attributes
    ----------
    tau : (hidden,), s; can be read and assigned.

    Notes
    -----
    Rate form: ``h_k = (1 - alpha) h_{k-1} + alpha f(W h_{k-1} + U x_k + b)``, ``y_k = C h_k + c``:
    the rate equation ``tau dh/dt = -h + f(W h + U x + b)`` (Wilson & Cowan 1972, Biophysical
    Journal 12:1, doi:10.1016/S0006-3495(72)86068-5) with the drive held constant within a step.
    Current form: ``tau dx/dt = -x + W f(x) + U x_k + b`` (Hopfield 1984, PNAS 81:3088,
    doi:10.1073/pnas.81.10.3088), read out from f(x). With one tau for all units they are the same
    network in other coordinates (Miller & Fumarola 2012, doi:10.1162/NECO_a_00221).

    Within a step the recurrent drive is that of the step before: an error of first order in
    dt / tau, which makes tau depend on the clock by about dt / 2. `substeps` divides it.

    Dropout with a mask that stays over time follows Gal & Ghahramani 2016, arXiv:1512.05287.
    Dale's law and W of a low rank follow Song et al. 2016 (doi:10.1371/journal.pcbi.1004792) and
    Mastrogiuseppe & Ostojic 2018 (doi:10.1016/j.neuron.2018.07.003).

    Examples
    --------
    >>> model = LeakyRNN(n_input=2, n_hidden=8, n_output=1, dt=0.01, tau=0.1, rng=0)
    >>> model(torch.zeros(3, 50, 2)).output.shape
    torch.Size([3, 50, 1])
    """

    bounds: LogBounded
    signs: Tensor | None
    connections: Tensor | None

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
        tau_groups: Sequence[Any] | str | None = None,
        form: str = "rate",
        recurrent: bool = True,
        self_connections: bool | None = None,
        connections: ArrayLike | None = None,
        regions: Sequence[Any] | None = None,
        region_connections: ArrayLike | None = None,
        excitatory: ArrayLike | None = None,
        rank: int | None = None,
        noise_sd: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        step: str = "exact",
        substeps: int = 1,
        initial_state: str = "zero",
        readout: str = "linear",
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        _check_choices(step=step, initial_state=initial_state, form=form, readout=readout)
        self._f = nonlinearity_named(nonlinearity)
        if self_connections is None:
            self_connections = nonlinearity != "linear"
        self.nonlinearity, self.form, self.step_rule = nonlinearity, form, step
        self.initial_state, self.readout = initial_state, readout
        self.self_connections = bool(self_connections)
        self.recurrent = bool(recurrent) and (self.n_hidden > 1 or self.self_connections)
        self.tau_bounds = (self.dt / 10, 1e4 * self.dt)
        if tau_bounds is not None:
            self.tau_bounds = check_interval(tau_bounds, "tau_bounds", time_unit)
        self.learn_tau, self.noise_sd = (
            bool(learn_tau),
            check_number(noise_sd, "noise_sd", least=0),
        )
        self.rank = None if rank is None else check_count(rank, "rank")
        self.substeps, self.regions = check_count(substeps, "substeps"), _labels(regions)
        self.dropout, self.input_dropout = SequenceDropout(dropout), SequenceDropout(input_dropout)
        self._check_sizes()
        shared = ["shared"] * self.n_hidden if tau_groups == "shared" else tau_groups
        self.tau_groups = _labels(shared)
        draw = torch.Generator().manual_seed(seed_of(check_rng(rng)))
        self.bounds = LogBounded(*map(float, self.tau_bounds))
        self.unbounded_tau = nn.Parameter(
            self.bounds.right_inverse(self._first_tau(tau)).float(), requires_grad=self.learn_tau
        )
        signs = unit_signs(self.n_hidden, excitatory)
        mask = connection_mask(
            self.n_hidden, connections, self.regions, region_connections, self.self_connections
        )
        self._keep("signs", signs)
        self._keep("connections", mask)
        if self.recurrent:
            self._make_recurrent(draw)
        self.input_weight = nn.Parameter(random_weights(self.n_hidden, self.n_input, 1.0, draw))
        self.bias = nn.Parameter(torch.zeros(self.n_hidden))
        if readout == "linear":
            across = random_weights(self.n_output, self.n_hidden, 1.0, draw)
            self.output_weight = nn.Parameter(across)
            self.output_bias = nn.Parameter(torch.zeros(self.n_output))
        if initial_state != "zero":
            self.first_state = nn.Parameter(torch.zeros(self.n_hidden))
        if initial_state == "input":
            self.first_weight = nn.Parameter(torch.zeros(self.n_hidden, self.n_input))

    def _check_sizes(self) -> None:
        if self.readout == "states" and self.n_output != self.n_hidden:
            raise ShapeError(
                f"n_output is {self.n_output} and n_hidden {self.n_hidden} with readout='states'",
                "As many outputs as hidden units were needed",
                "Set n_output=n_hidden, or readout='linear'",
            )
        if self.readout == "states" and self.dropout.p > 0:
            raise DataError(
                f"dropout is {self.dropout.p:g} with readout='states'",
                "No dropout was needed: a unit that is dropped would be held against what was "
                "observed of it",
                "Pass dropout=0.0, or input_dropout to drop inputs",
            )

    def _first_tau(self, tau: ArrayLike) -> Tensor:
        start = check_numbers(tau, "tau", missing=False)
        n, what = self.n_hidden, "hidden units"
        if self.tau_groups is not None:
            n, what = len(self._groups()[0]), "groups"
        if start.ndim and start.shape != (n,):
            raise ShapeError(
                f"tau has shape {start.shape}",
                f"One number, or one for each of the {n} {what}, was needed",
                "Check n_hidden and tau_groups",
            )
        self._suspect_tau(start)
        return torch.tensor(np.broadcast_to(start, n).copy())

    def _groups(self) -> tuple[list[str], Any]:
        return region_index(self.tau_groups or range(self.n_hidden), self.n_hidden)

    def _keep(self, name: str, values: Any) -> None:
        """Hold a constant beside the weights; it is made again from the settings."""
        kept = None if values is None else torch.tensor(np.asarray(values, dtype=np.float32))
        self.register_buffer(name, kept, persistent=False)

    def _make_recurrent(self, draw: torch.Generator) -> None:
        if self.rank is not None:
            size = (self.n_hidden, self.rank)
            self.rank_out = nn.Parameter(torch.randn(*size, generator=draw))
            self.rank_in = nn.Parameter(torch.randn(*size, generator=draw))
            return
        weights = random_weights(self.n_hidden, self.n_hidden, 0.8, draw)
        if self.signs is not None:
            inhibit = self.signs < 0
            n_inhibit = int(inhibit.sum())
            if 0 < n_inhibit < self.n_hidden:
                # Few inhibitory units balance many excitatory ones.
                weights[:, inhibit] *= (self.n_hidden - n_inhibit) / n_inhibit
        self.recurrent_weight = nn.Parameter(weights)

    @property
    def tau(self) -> Tensor:
        """Time constants, (hidden,), in the time unit; assign to set them."""
        tau = self.bounds(self.unbounded_tau)
        return tau if self.tau_groups is None else tau[self._groups()[1]]

    @tau.setter
    def tau(self, value: ArrayLike | Tensor) -> None:
        given = torch.as_tensor(value, dtype=torch.float64)
        if self.tau_groups is not None and given.shape == (self.n_hidden,):
            _, index = self._groups()
            given = torch.stack([given[index == k].mean() for k in range(index.max() + 1)])
        with torch.no_grad():
            size = self.unbounded_tau.shape
            self.unbounded_tau.copy_(self.bounds.right_inverse(given.expand(size)))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        found = {
            **super().settings,
            "tau_bounds": [float(b) for b in self.tau_bounds],
            "learn_tau": self.learn_tau,
            "nonlinearity": self.nonlinearity,
            "recurrent": self.recurrent,
            "self_connections": self.self_connections,
            "step": self.step_rule,
            "initial_state": self.initial_state,
            "tau": float(np.sqrt(self.tau_bounds[0] * self.tau_bounds[1])),
            "form": self.form,
            "substeps": self.substeps,
            "readout": self.readout,
            "noise_sd": self.noise_sd,
            "dropout": self.dropout.p,
            "input_dropout": self.input_dropout.p,
        }
        if self.tau_groups is not None:
            found["tau_groups"] = list(self.tau_groups)
        if self.regions is not None:
            found["regions"] = list(self.regions)
        if self.connections is not None:
            found["connections"] = self.connections.int().tolist()
        if self.signs is not None:
            found["excitatory"] = (self.signs > 0).tolist()
        if self.rank is not None:
            found["rank"] = self.rank
        return found

    @property
    def physical_parameters(self) -> list[PhysicalParameter]:
        """The time constants, one per unit or per group."""
        dims = ("hidden",) if self.tau_groups is None else ("group",)
        return [
            PhysicalParameter("tau", "unbounded_tau", self.time_unit, "time constant", dims=dims)
        ]

    @property
    def labels(self) -> dict[str, list[Any]]:
        """Labels of the axes of the physical parameters."""
        found = super().labels
        return found if self.tau_groups is None else {**found, "group": self._groups()[0]}

    @property
    def is_random(self) -> bool:
        """True where a run in training mode draws random numbers."""
        return self.noise_sd > 0 or super().is_random

    def alpha(self) -> Tensor:
        """Share of the state that is replaced in one step of the equation, (hidden,)."""
        rate = self.dt / self.substeps / self.tau
        return rate if self.step_rule == "euler" else -torch.expm1(-rate)

    def weights(self) -> Tensor | None:
        """Recurrent weights ``(hidden, hidden_)``, zero where not connected; None where none."""
        if not self.recurrent:
            return None
        weights: Tensor
        if self.rank is None:
            weights = self.recurrent_weight
        else:
            weights = self.rank_out @ self.rank_in.T / self.n_hidden
        if self.signs is not None:
            weights = weights.abs() * self.signs
        return weights if self.connections is None else weights * self.connections

    def block_report(self) -> xr.Dataset:
        """Say what every region sends to every other; see `models.connectivity.block_table`."""
        if self.regions is None or not self.recurrent:
            raise DataError(
                "The network has no regions, or no recurrent weights",
                "The region of each unit was needed",
                'Build it with for example regions=["V1"] * 40 + ["PPC"] * 24',
            )
        weights = self.weights()
        assert weights is not None
        values = weights.detach().cpu().double().numpy()
        mask = None if self.connections is None else self.connections.cpu().numpy() > 0
        return block_table(values, mask, self.regions)

    def start(self, n_trials: int) -> Tensor:
        """State before the first step, (trial, hidden), where no input is known."""
        if self.initial_state != "zero":
            return self.first_state.expand(n_trials, -1)
        return super().start(n_trials)

    def start_from(self, inputs: Tensor) -> Tensor:
        """State before the first step of these inputs, (trial, hidden)."""
        start = self.start(len(inputs))
        if self.initial_state == "input" and inputs.shape[1]:
            start = start + inputs[:, 0] @ self.first_weight.T
        return start

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run the rate equation over time."""
        alpha, m = self.alpha(), self.substeps
        # Time first, as the loop runs; held inputs are repeated, they are narrower than the drive.
        seen = self.input_dropout(inputs).transpose(0, 1)
        if m > 1:
            seen = seen.repeat_interleave(m, 0)
        shocks = None
        if self.training and self.noise_sd > 0:
            # What the noise of a step must be for the sd of the state to be noise_sd.
            shape = (*seen.shape[:2], self.n_hidden)
            noise = torch.randn(shape, dtype=seen.dtype, device=seen.device)
            shocks = noise * self.noise_sd * torch.sqrt(alpha * (2 - alpha))
        states = run_leaky_on(
            seen,
            self.input_weight,
            self.bias,
            self.weights(),
            alpha,
            state,
            self.nonlinearity,
            self.form,
            shocks,
        )
        if m > 1:
            states = states[m - 1 :: m]
        return states.transpose(0, 1), states[-1] if len(states) else state

    def read_back(self) -> Tensor:
        """Least change of the state that changes the output by 1, (state, output)."""
        if self.readout == "states":
            return torch.eye(self.n_hidden, dtype=self.bias.dtype, device=self.bias.device)
        if self.form == "current" and self.nonlinearity != "linear":
            raise KindError(
                "The output of a network in current form is read from f(x), not from its state",
                "A linear read-out of the state was needed to correct it",
                "Use form='rate', or readout='states'",
            )
        return super().read_back()

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Read the output from the states; in current form from f of them."""
        if self.readout == "states":
            return states
        shown = states if self.form == "rate" else self._f(states)
        return nn.functional.linear(self.dropout(shown), self.output_weight, self.output_bias)


def _check_choices(**given: str) -> None:
    for name, value in given.items():
        if not isinstance(value, str) or value not in _CHOICES[name]:
            raise DataError(
                f"{name} is {value!r}",
                f"One of {', '.join(map(repr, _CHOICES[name]))} was needed",
                nearest(str(value), _CHOICES[name]),
            )


def _labels(given: Sequence[Any] | None) -> list[str] | None:
    return None if given is None else [str(label) for label in given]
