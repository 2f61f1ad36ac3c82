"""What gated networks share: layers, states that carry on, gates read in seconds."""

from typing import Any, cast

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike
from torch import Tensor, nn

from neurornn._core.checks import check_count, check_interval, check_numbers, check_rng
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, derived_seed, seed_of
from neurornn._core.status import Status
from neurornn.models.base import MOST_LAYERS, ModelOutput, RecurrentModel, random_weights
from neurornn.models.dropout import SequenceDropout
from neurornn.models.padding import Ends, ends_of, run_packed, shifted


class GatedRNN(RecurrentModel):
    """What GRU and LSTM share: layers of torch's own cells, one after the other."""

    _cell: type[nn.GRU] | type[nn.LSTM]
    #: What the gate that keeps the state is called.
    _gate: str
    #: Vectors of n_hidden that a layer carries from step to step.
    _n_carried: int

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int,
        *,
        dt: float,
        n_layers: int = 1,
        bidirectional: bool = False,
        tau: ArrayLike | None = None,
        tau_range: tuple[float, float] | None = None,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        check_count(n_hidden, "n_hidden")
        self.n_layers = check_count(n_layers, "n_layers", most=MOST_LAYERS)
        self.bidirectional = self.looks_ahead = bool(bidirectional)
        seed = seed_of(check_rng(rng))
        if tau_range is not None:
            tau = self._drawn_tau(tau, tau_range, seed)
        self.initial_tau = None if tau is None else self._as_tau(tau)
        self.input_dropout, self.dropout = SequenceDropout(input_dropout), SequenceDropout(dropout)
        draw = torch.Generator().manual_seed(seed)
        n_above = self.n_hidden * (2 if self.bidirectional else 1)
        # Made without memory first: torch would draw their weights from the user's generator.
        self.layers = nn.ModuleList(
            self._cell(
                max(1, self.n_input) if k == 0 else n_above,
                self.n_hidden,
                bidirectional=self.bidirectional,
                device="meta",
            ).to_empty(device="cpu")
            for k in range(self.n_layers)
        )
        for p in self.layers.parameters():
            nn.init.uniform_(p, -(self.n_hidden**-0.5), self.n_hidden**-0.5, generator=draw)
        if self.initial_tau is not None:
            self._start_at(self.initial_tau)
        self.output_weight = nn.Parameter(random_weights(self.n_output, n_above, 1.0, draw))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {
            **super().settings,
            "n_layers": self.n_layers,
            "bidirectional": self.bidirectional,
            "tau": None if self.initial_tau is None else self.initial_tau.tolist(),
            "dropout": self.dropout.p,
            "input_dropout": self.input_dropout.p,
        }

    @property
    def n_state(self) -> int:
        """Numbers a trial carries from step to step; none where the model looks ahead."""
        if self.bidirectional:
            return 0
        return self.n_layers * self._n_carried * self.n_hidden

    def _drawn_tau(self, tau: Any, tau_range: Any, seed: int) -> np.ndarray:
        """Time constants of the units, uniform in a range; they do not move other weights."""
        if tau is not None:
            raise DataError(
                "tau and tau_range came together",
                "One of them was needed",
                "Pass tau for time constants of your own, tau_range to have them drawn",
            )
        low, high = check_interval(tau_range, "tau_range", self.time_unit)
        return np.random.default_rng(derived_seed(seed, 41)).uniform(low, high, self.n_hidden)

    def _as_tau(self, tau: ArrayLike) -> np.ndarray:
        values = check_numbers(tau, "tau", missing=False)
        if values.shape not in ((), (self.n_hidden,)):
            raise ShapeError(
                f"tau has shape {values.shape}",
                f"One number, or one for each of the {self.n_hidden} hidden units, was needed",
                "Check n_hidden",
            )
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise DataError(
                f"tau is {values.tolist()}",
                f"Finite numbers above 0 in {self.time_unit} were needed",
                "Check tau and its unit, or pass None for torch's own start",
            )
        self._suspect_tau(values)
        return values

    def _keep_biases(self, tau: np.ndarray) -> Tensor:
        """Bias b for which the gate is ``sigmoid(b) = exp(-dt / tau)``, (hidden,)."""
        steps = self.dt / torch.tensor(np.broadcast_to(tau, self.n_hidden).copy())
        # log(expm1(steps)), which does not overflow where tau is far below a step.
        return -(steps + torch.log(-torch.expm1(-steps)))

    def _start_at(self, tau: np.ndarray) -> None:
        """Set the biases of the gate that keeps the state; those of other gates stay."""
        rows = self._keep_rows
        with torch.no_grad():
            for layer in self.layers:
                for end in self._ends:
                    getattr(layer, f"bias_ih_l0{end}")[rows] = self._keep_biases(tau).float()
                    getattr(layer, f"bias_hh_l0{end}")[rows] = 0.0

    @property
    def _keep_rows(self) -> slice:
        """Rows of the gate that keeps the state: the second block in both of torch's cells."""
        return slice(self.n_hidden, 2 * self.n_hidden)

    @property
    def _ends(self) -> tuple[str, ...]:
        """How torch names the weights of each direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def start(self, n_trials: int) -> Tensor:
        """State before the first step, (trial, state): zeros; empty where it looks ahead."""
        return self.output_weight.new_zeros(n_trials, self.n_state)

    def _check_state(self, state: Tensor) -> None:
        if state.shape[-1] == self.n_state:
            return
        if self.bidirectional:
            raise DataError(
                f"A state of {state.shape[-1]} numbers came to a bidirectional "
                f"{type(self).__name__}",
                "No state was needed: its second half runs from the end of the inputs, so there "
                "is no state from which the future alone follows",
                "Run it on whole trials, or build it with bidirectional=False to forecast or to "
                "carry on from window to window",
            )
        raise ShapeError(
            f"The state has shape {tuple(state.shape)}",
            f"Shape (trial, {self.n_state}) was needed: {self._n_carried} x {self.n_layers} "
            f"layers x {self.n_hidden} units",
            "Pass out.states[:, t] of an earlier run, or model.start(n_trials)",
        )

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over time.

        Parameters
        ----------
        inputs : (trial, time, input)
        state : (trial, state), before the first step.

        Returns
        -------
        states : (trial, time, state)
            Each is a state to go on from. With ``bidirectional=True`` the outputs of the top
            layer, (trial, time, 2 x hidden), from which nothing can go on.
        last : (trial, state)

        Raises
        ------
        DataError, ShapeError
            A state of another size, or any state at all for a bidirectional model.
        """
        states, _ = self._states_and_top(inputs, state)
        return states, state if self.bidirectional or not inputs.shape[1] else states[:, -1]

    def forward(self, inputs: Any, state: Tensor | None = None) -> ModelOutput:
        """Run the model.

        Parameters
        ----------
        inputs : (trial, time, input); tensor, array or DataArray.
        state : (trial, state)
            State before the first step; by default the model's own start.

        Returns
        -------
        ModelOutput with ``output (trial, time, output)`` and ``states (trial, time, state)``.

        Raises
        ------
        ShapeError, KindError, DataError
            Inputs or a state that do not fit.
        """
        x = self.as_inputs(inputs)
        states, top = self._states_and_top(x, self.start_from(x) if state is None else state)
        # Read from the top layer itself: through its part of the states, a gradient would also
        # run, as zeros, through the rest of them.
        return ModelOutput(self._read_top(top), states)

    def _states_and_top(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """States (trial, time, state), and the outputs of the top layer."""
        self._check_state(state)
        n_top = self.output_weight.shape[1]
        if not inputs.shape[1]:
            top = inputs.new_zeros(len(inputs), 0, n_top)
            return (top if self.bidirectional else top.new_zeros(len(top), 0, self.n_state)), top
        _, hidden, cells = self._run(inputs, state)
        top = hidden[-1].transpose(0, 1)
        if self.bidirectional or self.n_state == n_top:
            return top, top
        return torch.cat([*hidden, *cells], 2).transpose(0, 1), top

    def _run(
        self, inputs: Tensor, state: Tensor, *, drop: bool = True
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Inputs, outputs and cells of every layer, each (time, trial, ...)."""
        below, hidden, cells = [], [], []
        # Torch's cells take at least one input: a model without gets one that is always 0.
        x = inputs if self.n_input else inputs.new_zeros(*inputs.shape[:2], 1)
        ends = ends_of(inputs) if self.bidirectional else None
        if drop:
            x = self.input_dropout(x)
        if ends is not None:
            return self._run_padded(x, ends, drop)
        first = self._blocks(state)
        for k, layer in enumerate(self.layers):
            if k and drop:
                x = self.dropout(x)
            if self.bidirectional:
                start = [x.new_zeros(2, len(x), self.n_hidden)] * self._n_carried
            else:
                start = [
                    first[j : j + 1].contiguous() for j in range(k, len(first), self.n_layers)
                ]
            below.append(x.transpose(0, 1))
            above, cell = self._steps(layer, below[-1], start)
            hidden.append(above)
            if cell is not None:
                cells.append(cell)
            x = above.transpose(0, 1)
        return below, hidden, cells

    def _run_padded(
        self, x: Tensor, ends: Ends, drop: bool
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """As `_run` for trials that are padded, whose padding neither direction reads."""
        below, hidden = [], []
        x = shifted(x, ends.first)
        for k, layer in enumerate(self.layers):
            if k and drop:
                x = self.dropout(x)
            below.append(shifted(x, -ends.first).transpose(0, 1))
            x = run_packed(cast("nn.RNNBase", layer), x, ends.length)
            hidden.append(shifted(x, -ends.first).transpose(0, 1))
        return below, hidden, []

    def _blocks(self, state: Tensor) -> Tensor:
        """Hidden states of all layers, then the cells where there are: (block, trial, hidden)."""
        n_blocks = self.n_state // self.n_hidden
        return state.reshape(len(state), n_blocks, self.n_hidden).transpose(0, 1)

    def _steps(
        self, layer: nn.Module, x: Tensor, start: list[Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs of every step, (time, trial, ...), and cells where states hold them."""
        above, _ = layer(x, start[0] if self._n_carried == 1 else tuple(start))
        return above, None

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Linear read-out of the top layer."""
        if self.bidirectional:
            return self._read_top(states)
        first = (self.n_layers - 1) * self.n_hidden
        return self._read_top(states[..., first : first + self.n_hidden])

    def _read_top(self, top: Tensor) -> Tensor:
        return nn.functional.linear(self.dropout(top), self.output_weight, self.output_bias)

    def gate_time_constants(self, inputs: Any, state: Tensor | None = None) -> xr.DataArray:
        """Time constants that the gates set at every step, in the time unit.

        Parameters
        ----------
        inputs : (trial, time, input); tensor, array or DataArray.
        state : (trial, state)
            State before the first step; by default the model's own start.

        Returns
        -------
        DataArray (trial, time, hidden)
            ``-dt / log(gate)``; infinite where the gate is 1 and nothing is forgotten. The hidden
            axis runs through all layers, with the coordinate ``layer``, and ``direction`` where
            there are two.

        Raises
        ------
        ShapeError, KindError, DataError
            Inputs or a state that do not fit.

        Notes
        -----
        A gate that keeps the share exp(-dt/tau) in each step forgets with the time constant tau
        (Tallec & Ollivier 2018, ICLR, arXiv:1804.11188); a gate of 1 is the constant error
        carousel of Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735. It is the leak
        of the unit alone: what the recurrent weights add to memory, or take from it, is in the
        eigenvalues of the network. Dropout is off; the model and its mode are left as they are.
        """
        x = self.as_inputs(inputs)
        first = self.start_from(x) if state is None else state
        self._check_state(first)
        found = []
        with torch.no_grad():
            below, hidden, _ = self._run(x, first, drop=False) if x.shape[1] else ([], [], [])
            begin = self._blocks(first)
            for k, (fed, above) in enumerate(zip(below, hidden, strict=True)):
                for end, half in zip(self._ends, above.split(self.n_hidden, 2), strict=True):
                    zero = torch.zeros_like(half[:1])
                    if end:
                        before = torch.cat([half[1:], zero])
                    else:
                        before = torch.cat([begin[k : k + 1] if len(begin) else zero, half[:-1]])
                    drive = gate_drive(self.layers[k], fed, before, self._keep_rows, end)
                    # -log(sigmoid(a)) = softplus(-a): exact where the gate is all but 1.
                    found.append(self.dt / nn.functional.softplus(-drive.double()))
        n_units = self.n_layers * len(self._ends) * self.n_hidden
        values = torch.cat(found, 2).transpose(0, 1) if found else torch.zeros(len(x), 0, n_units)
        return xr.DataArray(
            values.numpy(),
            dims=("trial", "time", "hidden"),
            coords={**_labels(inputs), **self._unit_labels()},
            name="gate_time_constant",
            attrs={
                "units": self.time_unit,
                "long_name": f"time constant of the {self._gate} gate",
            },
        )

    def _unit_labels(self) -> dict[str, Any]:
        each = len(self._ends) * self.n_hidden
        labels: dict[str, Any] = {
            "hidden": np.arange(self.n_layers * each),
            "layer": ("hidden", np.repeat(np.arange(self.n_layers), each)),
        }
        if self.bidirectional:
            way = np.repeat(["forward", "backward"], self.n_hidden)
            labels["direction"] = ("hidden", np.tile(way, self.n_layers))
        return labels

    def timescales(self, inputs: Any) -> xr.Dataset:
        """Median and quartiles of each unit's gate time constant over the given inputs.

        Parameters
        ----------
        inputs : (trial, time, input)
            The inputs over whose steps to summarise; the time constants depend on them.

        Returns
        -------
        Dataset over ``hidden``
            ``gate_time_constant`` (the median) and ``gate_time_constant_quartiles (hidden,
            quartile)`` in the time unit: the spread over steps, not an interval of confidence;
            ``status``, which is ``decay_not_resolved`` where the median is shorter than a step or
            longer than the inputs.

        Raises
        ------
        ShapeError, KindError, DataError
            Inputs that do not fit, or have no step.

        Examples
        --------
        >>> from neurornn.models import LSTM
        >>> model = LSTM(n_input=2, n_hidden=3, n_output=1, dt=0.01, tau=0.2, rng=0)
        >>> table = model.timescales(np.zeros((1, 100, 2)))
        >>> table["gate_time_constant"].attrs["units"], table.sizes["hidden"]
        ('s', 3)
        """
        tau = self.gate_time_constants(inputs)
        if not tau.size:
            raise DataError(
                f"The inputs have {tau.sizes['trial']} trials of {tau.sizes['time']} steps",
                "At least one step was needed",
                "Pass the windows that the model was fitted on",
            )
        # Rates are finite where time constants are not, so that quantiles between steps exist.
        rates = np.quantile(1 / tau.values, [0.5, 0.75, 0.25], axis=(0, 1))
        with np.errstate(divide="ignore"):
            median, lower, upper = 1 / rates
        length = tau.sizes["time"] * self.dt
        status = np.where(
            (median < self.dt) | (median > length), Status.DECAY_NOT_RESOLVED, Status.OK
        )
        attrs = {**tau.attrs, "method": "quantiles over trials and steps of -dt / log(gate)"}
        return xr.Dataset(
            {
                "gate_time_constant": (
                    "hidden",
                    median,
                    {**attrs, "long_name": f"median {tau.attrs['long_name']}"},
                ),
                "gate_time_constant_quartiles": (
                    ("hidden", "quartile"),
                    np.stack([lower, upper], 1),
                    {**attrs, "long_name": f"quartiles of the {tau.attrs['long_name']}"},
                ),
                "status": ("hidden", status.astype(str), {"long_name": "status"}),
            },
            coords={**self._unit_labels(), "quartile": ["lower", "upper"]},
        )


def gate_drive(layer: nn.Module, x: Tensor, before: Tensor, rows: slice, end: str = "") -> Tensor:
    """What some gates are a sigmoid of, at all steps in one product.

    Parameters
    ----------
    layer : torch's own names for its weights.
    x : (time, trial, input)
    before : (time, trial, hidden), the state before each step.
    rows : of the weights, those of the gates asked for.
    end : of the names of the weights, ``"_reverse"`` for the half that runs backward.

    Returns
    -------
    (time, trial, rows)
    """
    bias = getattr(layer, f"bias_ih_l0{end}")[rows] + getattr(layer, f"bias_hh_l0{end}")[rows]
    fed = nn.functional.linear(x, getattr(layer, f"weight_ih_l0{end}")[rows], bias)
    return fed + nn.functional.linear(before, getattr(layer, f"weight_hh_l0{end}")[rows])


def _labels(inputs: Any) -> dict[str, Any]:
    """Labels of trials and steps, where the inputs have them."""
    if not isinstance(inputs, xr.DataArray):
        return {}
    return {d: inputs[d] for d in ("trial", "time") if d in inputs.dims and d in inputs.coords}
