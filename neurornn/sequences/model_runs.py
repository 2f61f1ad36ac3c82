"""From a torch model to the plain arrays of a stream."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.errors import DataError
from neurornn.models import GRU, LSTM, LeakyRNN, ReverseComplementTied, VanillaRNN
from neurornn.models.gates import GatedRNN
from neurornn.sequences.network_runs import Arrays, NetworkRun


def has_runs(model: Any) -> bool:
    """Whether a model has a compiled loop.

    A class that is derived from one of these may compute something else: it has none.
    """
    return type(model) in (GRU, LSTM, LeakyRNN, VanillaRNN, ReverseComplementTied)


def runs_of(model: Any) -> tuple[NetworkRun, ...]:
    """Return the runs of a model that has them."""
    kind: Any = type(model)
    if kind is ReverseComplementTied:
        return _both_strands(model, runs_of(model.strand)[0])
    if kind in (GRU, LSTM):
        return _gated(model)
    return (_leaky(model) if kind is LeakyRNN else _elman(model),)


def _plain(x: Tensor) -> NDArray[Any]:
    return np.array(x.detach().cpu().numpy(), order="C")


def _gated(model: GatedRNN) -> tuple[NetworkRun, ...]:
    if model.bidirectional and model.n_layers > 1:
        raise DataError(
            f"A bidirectional {type(model).__name__} of {model.n_layers} layers came",
            "One layer was needed: the second would need the whole first, both ways, in memory",
            "Build it with n_layers=1, or stream two models with bidirectional=True",
        )
    cell, n, read = type(model).__name__.lower(), model.n_hidden, _plain(model.output_weight)
    runs = []
    for k, end in enumerate(model._ends):
        arrays: Arrays = {}
        for layer, weights in enumerate(model.layers):
            name = f"between_{layer}" if layer else "input_weight"
            arrays[name] = _plain(getattr(weights, f"weight_ih_l0{end}"))
            arrays[f"weights_{layer}"] = _plain(getattr(weights, f"weight_hh_l0{end}"))
            arrays[f"input_bias_{layer}"] = _plain(getattr(weights, f"bias_ih_l0{end}"))
            arrays[f"bias_{layer}"] = _plain(getattr(weights, f"bias_hh_l0{end}"))
        arrays["output_weight"] = np.ascontiguousarray(read[:, k * n : (k + 1) * n])
        bias = _plain(model.output_bias)
        arrays["output_bias"] = np.zeros_like(bias) if end else bias
        columns = tuple(range(model.n_output))
        runs.append(NetworkRun(cell=cell, arrays=arrays, columns=columns, backward=bool(end)))
    return tuple(runs)


def _leaky(model: LeakyRNN) -> NetworkRun:
    n, weights = model.n_hidden, model.weights()
    arrays = {
        "input_weight": _plain(model.input_weight),
        "bias": _plain(model.bias),
        "alpha": _plain(model.alpha().to(model.bias.dtype)),
    }
    if weights is not None:
        arrays["weights_0"] = _plain(weights)
    if model.initial_state != "zero":
        arrays["start"] = _plain(model.first_state)
    if model.initial_state == "input":
        arrays["start_weight"] = _plain(model.first_weight)
    shown_as_it_is = model.readout == "states"
    one = np.eye(n, dtype=arrays["bias"].dtype)
    arrays["output_weight"] = one if shown_as_it_is else _plain(model.output_weight)
    none = np.zeros(n, dtype=arrays["bias"].dtype)
    arrays["output_bias"] = none if shown_as_it_is else _plain(model.output_bias)
    settings = {
        "nonlinearity": model.nonlinearity,
        "form": model.form,
        "substeps": model.substeps,
        "shows_states": shown_as_it_is,
    }
    columns = tuple(range(model.n_output))
    return NetworkRun(cell="leaky", arrays=arrays, columns=columns, settings=settings)


def _elman(model: VanillaRNN) -> NetworkRun:
    """An Elman network is a leaky one that replaces its whole state in every step."""
    arrays = {
        "input_weight": _plain(model.input_weight),
        "weights_0": _plain(model.recurrent_weight),
        "bias": _plain(model.bias),
        "alpha": np.ones_like(_plain(model.bias)),
        "output_weight": _plain(model.output_weight),
        "output_bias": _plain(model.output_bias),
    }
    settings = {
        "nonlinearity": model.nonlinearity,
        "form": "rate",
        "substeps": 1,
        "shows_states": False,
    }
    columns = tuple(range(model.n_output))
    return NetworkRun(cell="leaky", arrays=arrays, columns=columns, settings=settings)


def _both_strands(model: Any, run: NetworkRun) -> tuple[NetworkRun, ...]:
    """One network along both strands; the result is the mean of what it reads on either."""
    halved = {name: run.arrays[name] / 2 for name in ("output_weight", "output_bias")}
    given: dict[str, Any] = {
        "cell": run.cell,
        "settings": run.settings,
        "arrays": {**run.arrays, **halved},
    }
    return (
        NetworkRun(columns=run.columns, **given),
        NetworkRun(columns=tuple(model.mirrored), backward=True, complement=True, **given),
    )
