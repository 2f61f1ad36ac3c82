"""Which weights act on which activity: what a projection of their steps must leave alone."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from neurornn._core.errors import KindError
from neurornn.models.base import RecurrentModel
from neurornn.models.gated import GRU
from neurornn.models.gates import GatedRNN
from neurornn.models.leaky import LeakyRNN
from neurornn.models.vanilla import VanillaRNN
from neurornn.training.batches import TrainingData


class LinearMap(NamedTuple):
    """Weights side by side that act on activities side by side.

    Attributes
    ----------
    weights : names of parameters, each (row, column), or (row,) for what acts on a constant 1.
    sources : of each, the name of the activity it acts on.
    rows : of the parameters, those meant.
    """

    weights: tuple[str, ...]
    sources: tuple[str, ...]
    rows: slice = slice(None)


def linear_maps(model: RecurrentModel) -> list[LinearMap]:
    """Return every linear map of a model, from activities to what drives units and outputs.

    Raises
    ------
    KindError
        A model that is not put together from maps of its state and inputs.
    """
    if isinstance(model, GatedRNN) and not model.looks_ahead:
        return _gated_maps(model)
    plain = isinstance(model, VanillaRNN)
    if isinstance(model, LeakyRNN):
        plain = model.recurrent and model.rank is None and model.signs is None
        plain = plain and model.substeps == 1 and model.readout == "linear"
    if not plain:
        raise KindError(
            f"A {type(model).__name__} came for remedy='projection'",
            "A VanillaRNN, a GRU or LSTM that sees the past alone, or a LeakyRNN with free "
            "weights, a linear read-out and no substeps was needed",
            "Pass remedy='ewc' or 'replay', which take any model",
        )
    return [
        LinearMap(("recurrent_weight", "input_weight", "bias"), ("sent", "input", "one")),
        LinearMap(("output_weight", "output_bias"), ("read", "one")),
    ]


def _gated_maps(model: GatedRNN) -> list[LinearMap]:
    maps = []
    n = model.n_hidden
    for k in range(model.n_layers):
        ih, hh = (
            tuple(f"layers.{k}.{what}_{end}_l0" for what in ("weight", "bias"))
            for end in ("ih", "hh")
        )
        below = "input" if k == 0 else f"layer {k - 1}"
        first = slice(0, 2 * n) if isinstance(model, GRU) else slice(None)
        # Both biases act on the same 1: what they do together is what has to stay.
        both = (hh[0], ih[0], hh[1], ih[1])
        maps.append(LinearMap(both, (f"before {k}", below, "one", "one"), first))
        if isinstance(model, GRU):
            # The candidate resets one part before it adds the other.
            rest = slice(2 * n, 3 * n)
            maps.append(LinearMap(hh, (f"before {k}", "one"), rest))
            maps.append(LinearMap(ih, (below, "one"), rest))
    last = f"layer {model.n_layers - 1}"
    return [*maps, LinearMap(("output_weight", "output_bias"), (last, "one"))]


def second_moments(model: RecurrentModel, data: TrainingData) -> list[Tensor]:
    """Mean outer product of the activity that each map acts on, over the steps of trials.

    Parameters
    ----------
    model : its maps.
    data : inputs, and a mask: steps after the last that counts are no part of a trial.

    Returns
    -------
    list of (column, column), one for each of `linear_maps`, double precision
    """
    with torch.no_grad():
        start = model.start_from(data.inputs)
        states, _ = model.scan(data.inputs, start)
        before = torch.cat([start[:, None], states[:, :-1]], 1)
    found = _activities(model, data.inputs, states, before)
    counted = data.mask.any(2).flip(1).to(torch.uint8).cummax(1).values.flip(1).bool()
    rows = {name: x[counted].double() for name, x in found.items()}
    moments = []
    for each in linear_maps(model):
        z = torch.cat([rows[s] for s in each.sources], 1)
        moments.append(z.T @ z / len(z))
    return moments


def _activities(
    model: RecurrentModel, inputs: Tensor, states: Tensor, before: Tensor
) -> dict[str, Tensor]:
    found = {"input": inputs, "one": torch.ones_like(inputs[..., :1])}
    if isinstance(model, GatedRNN):
        n = model.n_hidden
        for k in range(model.n_layers):
            found[f"layer {k}"] = states[..., k * n : (k + 1) * n]
            found[f"before {k}"] = before[..., k * n : (k + 1) * n]
        return found
    found["sent"], found["read"] = before, states
    if isinstance(model, LeakyRNN) and model.form == "current":
        found["sent"], found["read"] = model._f(before), model._f(states)
    return found


def columns_of(each: LinearMap, named: Mapping[str, Tensor]) -> Tensor:
    """Weights of a map side by side, (row, column)."""
    parts = [named[w][each.rows] for w in each.weights]
    return torch.cat([p if p.ndim == 2 else p[:, None] for p in parts], 1)
