"""What all models share: shapes, settings, and the way they are called."""

from typing import Any, NamedTuple, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from neurornn._core.checks import check_count, check_numbers, check_positive
from neurornn._core.errors import DataError, KindError, ShapeError, UnitWarning, nearest
from neurornn._core.units import check_unit
from neurornn._core.warning import warn_user

NONLINEARITIES = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": nn.functional.softplus,
    "sigmoid": torch.sigmoid,
    "linear": lambda x: x,
}


#: Units of a layer; more are a number in the wrong place.
MOST_UNITS = 100_000
#: Layers on top of one another.
MOST_LAYERS = 1000
#: A step above this, s, and a time constant from this on with a step of 1, look like ms.
_LONG_STEP, _LONG_TAU = 1.0, 10.0


class ModelOutput(NamedTuple):
    """What a model returns.

    Attributes
    ----------
    output : (trial, time, output)
    states : (trial, time, hidden)
    """

    output: Tensor
    states: Tensor


class PhysicalParameter(NamedTuple):
    """A physical parameter: its name, the unbounded parameter behind it, and how to print it.

    `bounds` names the attribute of the model that maps the one to the other, `dims` the axes.
    """

    name: str
    unbounded: str
    units: str
    long_name: str
    bounds: str = "bounds"
    dims: tuple[str, ...] = ("hidden",)


class RecurrentModel(nn.Module):
    """Base of the models; a subclass implements `scan` and `read`.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes.
        ``n_input`` is 0 for a model that runs by itself.
    dt : length of a step, in `time_unit`.
    time_unit : ``"s"``, or ``"bp"`` for a model that runs along a sequence.
    """

    #: The last inputs are the targets themselves, used up to the frame before; NaN where missing.
    observes_targets = False
    #: The output at a step depends on later inputs: no forecast can be made.
    looks_ahead = False
    #: Weights that shape how the noise is correlated; the others shape the mean.
    covariance_weights: tuple[str, ...] = ()

    def __init__(
        self, n_input: int, n_hidden: int, n_output: int, *, dt: float, time_unit: str = "s"
    ) -> None:
        super().__init__()
        for name, size in (("n_input", n_input), ("n_hidden", n_hidden), ("n_output", n_output)):
            check_count(size, name, 1 if name == "n_output" else 0, MOST_UNITS)
        if not isinstance(time_unit, str):
            raise KindError(
                f"time_unit is {time_unit!r}", "The unit of dt was needed, 's' or 'bp'", "Pass 's'"
            )
        self.n_input, self.n_hidden, self.n_output = int(n_input), int(n_hidden), int(n_output)
        self.dt = check_positive(dt, "dt", time_unit)
        # Before anything is fitted: a table would refuse it afterwards.
        self.time_unit = check_unit(time_unit, "time_unit")
        if time_unit == "s" and self.dt > _LONG_STEP:
            _suspect_milliseconds(f"dt is {self.dt:g} s", self.dt)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights; plain values only."""
        return {
            "n_input": self.n_input,
            "n_hidden": self.n_hidden,
            "n_output": self.n_output,
            "dt": self.dt,
            "time_unit": self.time_unit,
        }

    def _suspect_tau(self, tau: Any) -> None:
        """Warn of a tau that was given together with a step of 1, both probably in ms."""
        if self.time_unit == "s" and self.dt == _LONG_STEP and np.max(tau) >= _LONG_TAU:
            _suspect_milliseconds(f"dt is {self.dt:g} s and tau {np.max(tau):g} s", self.dt)

    @property
    def physical_parameters(self) -> list[PhysicalParameter]:
        """Parameters with a unit, in the order of the report."""
        return []

    @property
    def labels(self) -> dict[str, list[Any]]:
        """Labels of the axes of the physical parameters and of the outputs."""
        return {"hidden": list(range(self.n_hidden)), "output": list(range(self.n_output))}

    @property
    def is_random(self) -> bool:
        """True where a run in training mode draws random numbers."""
        return any(isinstance(m, nn.Dropout) and m.p > 0 for m in self.modules())

    def physical_value(self, parameter: PhysicalParameter) -> Tensor:
        """Value of a physical parameter, on its own axes."""
        return getattr(self, parameter.bounds)(self.get_parameter(parameter.unbounded))

    def prepare(self, inputs: Tensor) -> None:
        """Take start values from the data of a first fit; most models need none.

        Parameters
        ----------
        inputs : (trial, time, input)
        """

    def recolour(self, innovations: Tensor, inputs: Tensor) -> Tensor:
        """Return the series that `whiten` turns into these innovations.

        Parameters
        ----------
        innovations : (number, trial, time, output)
        inputs : (trial, time, input), of the trials that the innovations are of.
        """
        raise TypeError(f"{type(self).__name__} does not observe its targets")

    def whiten(self, series: Tensor, inputs: Tensor) -> Tensor:
        """Take from series what their own past lets expect.

        Parameters
        ----------
        series : (number, trial, time, output)
        inputs : (trial, time, input), of the same trials.
        """
        raise TypeError(f"{type(self).__name__} does not observe its targets")

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Run over time.

        Parameters
        ----------
        inputs : (trial, time, input)
        state : (trial, state), before the first step.

        Returns
        -------
        states : (trial, time, state)
        last : (trial, state)
        """
        raise TypeError(f"{type(self).__name__} does not define scan")

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Read the output from states (trial, time, hidden) and inputs of the same steps."""
        raise TypeError(f"{type(self).__name__} does not define read")

    def read_back(self) -> Tensor:
        """Least change of the state that changes the output by 1, (state, output).

        Raises
        ------
        KindError
            The output is not a linear function of the state alone.
        """
        weight = getattr(self, "output_weight", None)
        if weight is None or weight.shape != (self.n_output, self.n_hidden):
            raise KindError(
                f"The output of {type(self).__name__} is not a linear function of its state",
                "A model with a linear read-out of its states was needed to correct them",
                "Use for example nr.models.LeakyRNN or VanillaRNN, or leave teacher_forcing out",
            )
        return torch.linalg.pinv(weight)

    def start(self, n_trials: int) -> Tensor:
        """State before the first step, (trial, hidden).

        Parameters
        ----------
        n_trials : number of trials.
        """
        return next(self.parameters()).new_zeros(n_trials, self.n_hidden)

    def start_from(self, inputs: Tensor) -> Tensor:
        """State before the first step of these inputs (trial, time, input): (trial, hidden)."""
        return self.start(len(inputs))

    def forward(self, inputs: Any, state: Tensor | None = None) -> ModelOutput:
        """Run the model.

        Parameters
        ----------
        inputs : (trial, time, input); tensor, array or DataArray.
        state : (trial, hidden)
            State before the first step; by default the model's own start.

        Returns
        -------
        ModelOutput with ``output (trial, time, output)`` and ``states (trial, time, hidden)``.

        Raises
        ------
        ShapeError, KindError
            Axes or sizes that do not fit.
        """
        x = self.as_inputs(inputs)
        states, _ = self.scan(x, self.start_from(x) if state is None else state)
        return ModelOutput(self.read(states, x), states)

    def free_run(
        self, n_steps: int, state: Tensor | None = None, *, n_trials: int = 1
    ) -> ModelOutput:
        """Run a model without inputs by itself.

        Parameters
        ----------
        n_steps : steps.
        state : (trial, hidden)
            State before the first step; by default the model's own start.
        n_trials : runs, where no state is given.

        Returns
        -------
        ModelOutput

        Raises
        ------
        ShapeError
            The model has inputs: call it on them.
        """
        if self.n_input:
            raise ShapeError(
                f"The model has {self.n_input} inputs",
                "A model with n_input=0 was needed for a free run",
                "Call the model on its inputs: model(inputs)",
            )
        rows = n_trials if state is None else len(state)
        return self(next(self.parameters()).new_zeros(rows, int(n_steps), 0), state)

    def as_inputs(self, inputs: Any) -> Tensor:
        """Check inputs and bring them to a tensor of the model's dtype and device."""
        if isinstance(inputs, xr.DataArray):
            if {"trial", "time", "input"} <= set(map(str, inputs.dims)):
                inputs = inputs.transpose("trial", "time", "input")
            inputs = inputs.values
        if not isinstance(inputs, Tensor):
            # Where targets are observed, NaN stands for what was not.
            array = check_numbers(inputs, "inputs", missing=self.observes_targets)
            inputs = torch.from_numpy(np.array(array, order="C"))
        elif inputs.is_complex() or inputs.is_sparse:
            raise KindError(
                f"inputs is a tensor of {inputs.dtype}, {inputs.layout}",
                "A dense tensor of real numbers was needed",
                "Pass its real part, or inputs.to_dense()",
            )
        if inputs.ndim != 3 or inputs.shape[2] != self.n_input:
            raise ShapeError(
                f"inputs has shape {tuple(inputs.shape)}",
                f"Shape (trial, time, input) with {self.n_input} inputs was needed",
                "Add the missing axis (x[None]), select the channels, or build the model with "
                "another n_input",
            )
        first = next(self.parameters())
        return inputs.to(first.device, first.dtype)

    def with_dt(self, dt: float) -> Self:
        """Return the same model on another clock; physical parameters keep their values.

        Parameters
        ----------
        dt : length of a step of the new one, in `time_unit`.

        Raises
        ------
        KindError
            The model has a memory but no time constant that could stay as it is.
        """
        if not self.physical_parameters and self.start(1).shape[1]:
            raise KindError(
                f"A {type(self).__name__} with dt = {self.dt:g} {self.time_unit} was asked for "
                f"dt = {dt}",
                "A model whose parameters are times, such as LeakyRNN, was needed: the weights of "
                "this one act per step",
                "Fit it anew on data of that clock",
            )
        settings = {**self.settings, "dt": dt}
        twin = type(self)(**settings).to(next(self.parameters()).dtype)
        twin.load_state_dict(self.state_dict())
        return twin

    def extra_repr(self) -> str:
        """Sizes, clock, and the physical parameters as they are, not as they were asked for."""
        shown = {k: repr(v) for k, v in self.settings.items()}
        for parameter in self.physical_parameters:
            values = np.ravel(getattr(self, parameter.name).detach().cpu().double().numpy())
            if not len(values):
                continue
            low, high = f"{values.min():.3g}", f"{values.max():.3g}"
            middle = f"{np.median(values):.3g}"
            several = f"{low} to {high}, median {middle}"
            shown[parameter.name] = f"{low if low == high else several} {parameter.units}"
        return ", ".join(f"{k}={v}" for k, v in shown.items())


def nonlinearity_named(name: str) -> Any:
    """Return the function of a nonlinearity, or raise and offer the nearest name."""
    if not isinstance(name, str) or name not in NONLINEARITIES:
        raise DataError(
            f"nonlinearity is {name!r}",
            "The name of a nonlinearity was needed",
            nearest(str(name), NONLINEARITIES),
        )
    return NONLINEARITIES[name]


def random_weights(rows: int, columns: int, scale: float, generator: torch.Generator) -> Tensor:
    """Gaussian weights with the given scale over the root of the number of columns."""
    return torch.randn(rows, columns, generator=generator) * scale / max(columns, 1) ** 0.5


def _suspect_milliseconds(what: str, dt: float) -> None:
    warn_user(
        f"{what}. Are these ms? Then pass dt={dt / 1000:g}, and tau in s too; a clock of another "
        "unit is named by time_unit, for example 'h' or 'step'.",
        UnitWarning,
    )
