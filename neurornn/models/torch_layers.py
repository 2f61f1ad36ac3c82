"""Weights of torch's own recurrent layers, in and out."""

from typing import Any

import torch
from torch import Tensor, nn

from neurornn._core.errors import DataError, KindError
from neurornn.models.base import RecurrentModel
from neurornn.models.gated import GRU, LSTM
from neurornn.models.gates import GatedRNN
from neurornn.models.vanilla import VanillaRNN

_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def from_torch(
    layer: Any, output: nn.Linear | None = None, *, dt: float, time_unit: str = "s"
) -> RecurrentModel:
    """Make a model of this package of a trained layer of torch.

    Parameters
    ----------
    layer : ``torch.nn.RNN`` of one layer, ``torch.nn.GRU`` or ``torch.nn.LSTM``, stacked or
        bidirectional; ``batch_first`` or not: our models take (trial, time, input) either way.
    output : ``torch.nn.Linear`` that reads the states of the last layer; by default the states
        themselves are the output.
    dt : length of a step, in `time_unit`: what torch does not know.
    time_unit : ``"s"`` or ``"bp"``.

    Returns
    -------
    VanillaRNN, GRU or LSTM
        With copies of the weights; the same outputs for the same inputs. Dropout between layers
        is not taken over.

    Raises
    ------
    KindError, DataError
        Another kind of layer, or one that has no twin here: projections, several layers of
        ``torch.nn.RNN``; a read-out of another size.

    Examples
    --------
    >>> trained, read_out = torch.nn.GRU(3, 8, num_layers=2), torch.nn.Linear(8, 2)
    >>> model = from_torch(trained, read_out, dt=0.01)
    >>> model(torch.zeros(5, 100, 3)).output.shape
    torch.Size([5, 100, 2])
    """
    if not isinstance(layer, nn.RNN | nn.GRU | nn.LSTM):
        raise KindError(
            f"layer is a {type(layer).__name__}",
            "A torch.nn.RNN, torch.nn.GRU or torch.nn.LSTM was needed",
            "Pass the recurrent layer of your module, and its linear read-out as output",
        )
    given: Any = layer
    plain = isinstance(layer, nn.RNN)
    if layer.proj_size or (plain and (layer.num_layers > 1 or layer.bidirectional)):
        raise DataError(
            f"The layer has {layer.num_layers} layers, bidirectional={layer.bidirectional}, "
            f"proj_size={layer.proj_size}",
            "A layer without projections was needed, and of torch.nn.RNN one in one direction",
            "Train a GRU or LSTM, or build the network anew with nr.models",
        )
    n_above = layer.hidden_size * (2 if layer.bidirectional else 1)
    if output is not None and (not isinstance(output, nn.Linear) or output.in_features != n_above):
        raise DataError(
            f"output is {output!r}",
            f"A torch.nn.Linear with {n_above} inputs, the units of the last layer, was needed",
            "Pass the layer that reads the states",
        )
    sizes = (
        layer.input_size,
        layer.hidden_size,
        n_above if output is None else output.out_features,
    )
    model: RecurrentModel
    if plain:
        model = VanillaRNN(*sizes, dt=dt, nonlinearity=given.nonlinearity, time_unit=time_unit)
    else:
        kind = GRU if isinstance(layer, nn.GRU) else LSTM
        model = kind(
            *sizes, dt=dt, n_layers=layer.num_layers, bidirectional=layer.bidirectional,
            time_unit=time_unit,
        )  # fmt: skip
    model = model.to(given.weight_ih_l0.device, given.weight_ih_l0.dtype)
    with torch.no_grad():
        for mine, theirs in _pairs(model, layer):
            mine.copy_(torch.zeros_like(mine) if theirs is None else theirs)
        if isinstance(model, VanillaRNN) and layer.bias:
            # The two biases of torch are one here.
            model.bias.copy_(given.bias_ih_l0 + given.bias_hh_l0)
        read: Any = model
        if output is None:
            read.output_weight.copy_(torch.eye(n_above))
            read.output_bias.zero_()
        else:
            read.output_weight.copy_(output.weight)
            read.output_bias.copy_(
                torch.zeros_like(read.output_bias) if output.bias is None else output.bias
            )
    return model.eval()


def to_torch(model: RecurrentModel) -> tuple[nn.RNNBase, nn.Linear]:
    """Make torch's own layer and a linear read-out of a model.

    Parameters
    ----------
    model : `VanillaRNN` (tanh or relu), `GRU` or `LSTM`.

    Returns
    -------
    layer : ``torch.nn.RNN``, ``GRU`` or ``LSTM`` with ``batch_first=True`` and copies of the
        weights, in evaluation mode.
    output : ``torch.nn.Linear``, the read-out.

    Raises
    ------
    KindError
        A model that torch has no layer for.

    Examples
    --------
    >>> layer, read_out = to_torch(GRU(3, 8, 2, dt=0.01))
    >>> read_out(layer(torch.zeros(5, 100, 3))[0]).shape
    torch.Size([5, 100, 2])
    """
    read: Any = model
    sizes = (model.n_input, model.n_hidden)
    layer: Any
    if isinstance(model, VanillaRNN) and model.nonlinearity in ("tanh", "relu"):
        layer = nn.RNN(*sizes, nonlinearity=model.nonlinearity, batch_first=True)
    elif isinstance(model, GatedRNN) and model.n_input:
        kind = nn.GRU if isinstance(model, GRU) else nn.LSTM
        layer = kind(
            *sizes, num_layers=model.n_layers, bidirectional=model.bidirectional, batch_first=True
        )
    else:
        raise KindError(
            f"The model is a {type(model).__name__}",
            "A VanillaRNN with tanh or relu, a GRU or an LSTM with inputs was needed",
            "torch has no layer for the others: use the model itself, it is a torch.nn.Module",
        )
    output = nn.Linear(read.output_weight.shape[1], model.n_output)
    output = output.to(read.output_weight.device, read.output_weight.dtype)
    layer = layer.to(read.output_weight.device, read.output_weight.dtype)
    with torch.no_grad():
        for mine, theirs in _pairs(model, layer):
            assert theirs is not None
            theirs.copy_(mine)
        if isinstance(model, VanillaRNN):
            layer.bias_ih_l0.copy_(model.bias)
            layer.bias_hh_l0.zero_()
        output.weight.copy_(read.output_weight)
        output.bias.copy_(read.output_bias)
    return layer.eval(), output.eval()


def _pairs(model: RecurrentModel, layer: Any) -> list[tuple[Tensor, Tensor | None]]:
    """Weights of a model and of torch's layer that are the same, None where torch has none."""
    if isinstance(model, VanillaRNN):
        return [
            (model.input_weight, layer.weight_ih_l0),
            (model.recurrent_weight, layer.weight_hh_l0),
            *([] if layer.bias else [(model.bias, None)]),
        ]
    assert isinstance(model, GatedRNN)
    return [
        (getattr(own, f"{part}_l0{end}"), getattr(layer, f"{part}_l{k}{end}", None))
        for k, own in enumerate(model.layers)
        for end in (("", "_reverse") if model.bidirectional else ("",))
        for part in _PARTS
    ]
