"""What can be analysed: a model, a fit, a layer of torch or a function, as one step of a map."""

import copy
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from neurornn._core.checks import check_count, check_numbers, check_positive
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.dynamics.cells import Cell, Gated, Leaky
from neurornn.models.base import RecurrentModel
from neurornn.models.gated import GRU, LSTM
from neurornn.models.gates import GatedRNN
from neurornn.models.leaky import LeakyRNN
from neurornn.models.vanilla import VanillaRNN

Array = NDArray[np.float64]
#: Step of a difference quotient of the fourth order: its own error and that of rounding are near
#: 1e-12 for functions that bend over lengths of 1.
_NUDGE = 1e-3


class StateMap(NamedTuple):
    """One step of a system under a constant input.

    Attributes
    ----------
    cell : with ``step``, ``step_and_jacobian``, ``curvature``, ``spread``, ``box``,
        ``n_state``; see `neurornn.dynamics.cells`.
    name : of the model, for the report.
    dt : length of a step, in `time_unit`; 1 where nobody said.
    time_unit : ``"s"``, ``"bp"``, or ``"1"`` where time is counted in steps.
    inputs : (input,), as given.
    cell_at : makes the cell of another input; None for a function, which has no input.
    tau : (hidden,), where the map is the step of a rate equation.
    """

    cell: Any
    name: str
    dt: float
    time_unit: str
    inputs: Array
    cell_at: Callable[[Array], Any] | None = None
    tau: Array | None = None

    def under(self, inputs: Any) -> "StateMap":
        """The same system under another constant input, (input,). Nothing is copied again."""
        if self.cell_at is None:
            raise KindError(
                "inputs came with a function",
                "A function of the state alone was needed",
                "Hold the input inside: lambda h: step(h, u)",
            )
        u = _inputs_of(inputs, len(self.inputs))
        return self._replace(cell=self.cell_at(u), inputs=u)


def _map_of(
    make: Callable[[Array], Any], told: tuple[str, float, str], u: Array, tau: Array | None = None
) -> StateMap:
    return StateMap(make(u), *told, u, make, tau)


def as_map(
    model: Any, inputs: Any = None, *, n_hidden: int | None = None, dt: float | None = None
) -> StateMap:
    """Return one step of a model under a constant input, in float64. The model is not touched.

    Parameters
    ----------
    model : FitResult, a model of `neurornn.models`, ``torch.nn.RNN``, ``GRU`` or ``LSTM``, or a
        function of states (number, hidden) to the states a step later, of tensors or of arrays.
    inputs : (input,), held constant; by default 0.
    n_hidden : size of the state; asked for of a function.
    dt : s, length of a step of what has no clock of its own.

    Raises
    ------
    KindError, ShapeError, DataError
        What cannot be read, inputs of another width, weights that are not finite.
    """
    model = getattr(model, "model", model)
    if isinstance(model, RecurrentModel):
        if model.looks_ahead or model.observes_targets or not model.n_hidden:
            raise KindError(
                f"{type(model).__name__} has no state that is carried from step to step",
                "A recurrent model was needed",
                "For example nr.models.LeakyRNN, VanillaRNN, GRU or LSTM",
            )
        _check_weights(model)
        u = _inputs_of(inputs, model.n_input)
        return _of_model(model, u)
    if isinstance(model, nn.RNNBase):
        _check_weights(model)
        if model.bidirectional or getattr(model, "proj_size", 0):
            raise KindError(
                f"The layer has bidirectional={model.bidirectional}, "
                f"proj_size={getattr(model, 'proj_size', 0)}",
                "A layer in one direction without projections was needed",
                "A network that looks ahead has no map from one state to the next",
            )
        u = _inputs_of(inputs, model.input_size)
        kind = {"RNN_TANH": "tanh", "RNN_RELU": "relu"}.get(model.mode, model.mode.lower())
        layers = _layers_of(model)
        told = (type(model).__name__, *_clock(dt))
        return _map_of(lambda x: Gated(kind, layers, x), told, u)
    if callable(model):
        if n_hidden is None:
            raise KindError(
                "A function came without n_hidden",
                "The size of its state was needed",
                "Pass n_hidden=2",
            )
        if inputs is not None:
            raise KindError(
                "inputs came with a function",
                "A function of the state alone was needed",
                "Hold the input inside: lambda h: step(h, u)",
            )
        size = check_count(n_hidden, "n_hidden")
        cell = _cell_of(model, size)
        return StateMap(cell, getattr(model, "__name__", "function"), *_clock(dt), np.zeros(0))
    raise KindError(
        f"model is a {type(model).__name__}",
        "A FitResult, a recurrent model of nr.models, torch.nn.RNN, GRU or LSTM, or a function of "
        "the state was needed",
        "For example find_fixed_points(result), or find_fixed_points(step, n_hidden=2)",
    )


def _clock(dt: float | None) -> tuple[float, str]:
    return (1.0, "1") if dt is None else (check_positive(dt, "dt", "s"), "s")


def _check_weights(model: nn.Module) -> None:
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise DataError(
                f"The weight {name} is not finite",
                "Numbers were needed",
                "The fit diverged: see its status",
            )


def _inputs_of(inputs: Any, n_input: int) -> Array:
    if inputs is None:
        return np.zeros(n_input)
    if isinstance(inputs, xr.DataArray):
        inputs = inputs.values
    if isinstance(inputs, torch.Tensor):
        inputs = inputs.detach().cpu().numpy()
    found = np.asarray(check_numbers(inputs, "inputs", missing=False), dtype=float)
    if found.shape != (n_input,):
        raise ShapeError(
            f"inputs has shape {found.shape}",
            f"One constant value for each of the {n_input} inputs was needed, ({n_input},)",
            "Fixed points are those of one constant input: call once for each",
        )
    return found


def _plain(x: torch.Tensor) -> Array:
    return np.array(x.detach().cpu().double().numpy())


def _of_model(model: RecurrentModel, u: Array) -> StateMap:
    told = (type(model).__name__, model.dt, model.time_unit)
    if isinstance(model, VanillaRNN) and type(model).scan is VanillaRNN.scan:
        w, w_in, bias = map(_plain, (model.recurrent_weight, model.input_weight, model.bias))
        one, name = np.ones(model.n_hidden), model.nonlinearity
        return _map_of(lambda x: Leaky(w, x @ w_in.T + bias, one, name), told, u)
    if isinstance(model, GRU | LSTM) and type(model).scan is GatedRNN.scan:
        layers = [own for layer in model.layers for own in _layers_of(layer)]
        gate = "gru" if isinstance(model, GRU) else "lstm"
        # Torch has no layer without input: such a model feeds its first one zeros.
        none = np.zeros(layers[0][0].shape[1])
        return _map_of(lambda x: Gated(gate, layers, x if len(x) else none), told, u)
    # What follows from the weights, such as tau, is formed in double precision too.
    model = copy.deepcopy(model).cpu().double().eval().requires_grad_(False)
    if isinstance(model, LeakyRNN) and type(model).scan is LeakyRNN.scan:
        w = _weights_of(model)
        w_in, bias, tau = _plain(model.input_weight), _plain(model.bias), _plain(model.tau)
        rate = model.dt / model.substeps / tau
        alpha = rate if model.step_rule == "euler" else -np.expm1(-rate)
        kind = (model.nonlinearity, model.form, model.substeps)
        return _map_of(lambda x: Leaky(w, x @ w_in.T + bias, alpha, *kind), told, u, tau)
    n_state = model.start(1).shape[1]
    return _map_of(lambda x: _ByTorch(_step_of(model, x), n_state), told, u)


def _weights_of(model: LeakyRNN) -> Array | tuple[Array, Array]:
    """Weights of a leaky network, as factors where these are all that stands behind them."""
    if model.recurrent and model.rank is not None and model.signs is model.connections is None:
        return _plain(model.rank_out), _plain(model.rank_in) / model.n_hidden
    weights = model.weights()
    n = model.n_hidden
    return np.zeros((n, n)) if weights is None else _plain(weights)


def _layers_of(layer: Any) -> list[tuple[Array, Array, Array, Array]]:
    found = []
    for k in range(layer.num_layers):
        w_x, w_h = (_plain(getattr(layer, f"weight_{n}_l{k}")) for n in ("ih", "hh"))
        b_x, b_h = (
            _plain(getattr(layer, f"bias_{n}_l{k}")) if layer.bias else np.zeros(len(w_x))
            for n in ("ih", "hh")
        )
        found.append((w_x, w_h, b_x, b_h))
    return found


def _step_of(model: RecurrentModel, u: Array) -> Callable[[torch.Tensor], torch.Tensor]:
    """One step of a model, in whose place a copy came."""
    # One row for all states, or one for each.
    rows = torch.from_numpy(np.atleast_2d(u))[:, None]

    def step(h: torch.Tensor) -> torch.Tensor:
        return model.scan(rows.expand(len(h), 1, -1), h)[1]

    return step


def _cell_of(function: Callable[[Any], Any], n_state: int) -> Any:
    """Read a function of tensors, or else of arrays."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = function(torch.zeros(2, n_state, dtype=torch.float64, requires_grad=True))
        # A function of arrays may take a tensor for one, and lose the gradient.
        of_tensors = isinstance(found, torch.Tensor) and found.requires_grad
    except Exception:  # or fail on it in any way
        of_tensors = False
    if of_tensors:
        _check_shape(tuple(found.shape), n_state)
        return _ByTorch(function, n_state)
    found = np.asarray(function(np.zeros((2, n_state))))
    _check_shape(found.shape, n_state)
    return _ByDifferences(function, n_state)


def _check_shape(shape: tuple[int, ...], n_state: int) -> None:
    if shape != (2, n_state):
        raise ShapeError(
            f"The function made {shape} of states of shape (2, {n_state})",
            "A function from (number, hidden) to (number, hidden) was needed",
            "Work along the last axis: the first counts states",
        )


class _ByTorch(Cell):
    """A function of tensors; its Jacobian by automatic differentiation."""

    box = None

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], n_state: int) -> None:
        self.function, self.n_state = function, n_state

    def step(self, h: Array) -> Array:
        """States after one step."""
        with torch.no_grad():
            return np.array(self.function(torch.from_numpy(np.ascontiguousarray(h))).numpy())

    def step_and_jacobian(self, h: Array) -> tuple[Array, Array]:
        """States after one step, and its Jacobian: a backward pass for each component."""
        x = torch.from_numpy(np.ascontiguousarray(h)).requires_grad_(True)
        y = self.function(x)
        rows = [
            torch.autograd.grad(y[:, k].sum(), x, retain_graph=k + 1 < self.n_state)[0]
            for k in range(self.n_state)
        ]
        return np.array(y.detach().numpy()), np.array(torch.stack(rows, 1).numpy())

    def curvature(self, h: Array, radius: float) -> Array | None:
        """None: nothing is known of its second derivative."""
        return None

    def spread(self, rng: np.random.Generator, n: int) -> Array:
        """Normal numbers, small and large."""
        return rng.standard_normal((n, self.n_state)) * rng.choice([0.3, 1.0, 3.0], (n, 1))


class _ByDifferences(_ByTorch):
    """A function of arrays; its Jacobian by central differences of the fourth order."""

    def step(self, h: Array) -> Array:
        """States after one step."""
        return np.asarray(self.function(h), dtype=float)  # type: ignore[arg-type]

    def step_and_jacobian(self, h: Array) -> tuple[Array, Array]:
        """States after one step, and its Jacobian."""
        columns = []
        for k in range(self.n_state):
            e = np.zeros(self.n_state)
            e[k] = 1.0
            size = _NUDGE * np.sqrt(np.maximum(1.0, np.abs(h[:, k : k + 1])))
            near = self.step(h + size * e) - self.step(h - size * e)
            far = self.step(h + 2 * size * e) - self.step(h - 2 * size * e)
            columns.append((8 * near - far) / (12 * size))
        return self.step(h), np.stack(columns, 2)
