"""Mutants of one sequence through recurrent networks: what stays the same is not run again."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neurornn.models.base import RecurrentModel
from neurornn.models.gated import GRU, LSTM
from neurornn.models.gates import GatedRNN
from neurornn.models.leaky import LeakyRNN
from neurornn.models.strands import ReverseComplementTied
from neurornn.models.vanilla import VanillaRNN
from neurornn.sequences.mutation_batches import Array, Batches, Network, Tick

#: Sequences of a batch by default: that many keep one core busy and its second cache enough.
BATCH_SIZE = 32
#: Steps whose states lie in memory at a time.
_STEPS = 4096
_ONE_WAY = (LSTM, GRU, LeakyRNN, VanillaRNN)


class Carried:
    """A network that reads one way: a mutant begins in the state just before its mutation.

    Parameters
    ----------
    model : LSTM, GRU, LeakyRNN, VanillaRNN or a user's model of one way; a copy runs.
    output : number of the output that is read.
    batch_size : sequences of a batch.
    reuse : False runs every mutant from the first letter on, in the same way.

    Notes
    -----
    Mutants in the order of their positions go through in batches of one size. A batch begins at
    the position of its first mutant, in the state that the sequence itself has there, so that
    about half of the letters are never run. The sequence itself goes along in batches of the same
    size: a product of another size could differ in its last bit.

    The read-out of a GRU or LSTM is summed in float64, and row by row. What a mutation changes can
    be the last digits of a score.
    """

    def __init__(
        self, model: RecurrentModel, output: int, batch_size: int, reuse: bool = True
    ) -> None:
        self.batch_size, self.reuse = batch_size, reuse
        self.model = model = copy.deepcopy(model).eval().requires_grad_(False)
        self.output = output
        weights = next(model.parameters())
        self.dtype, self.device = weights.dtype, weights.device
        self.layers: list[nn.Module] | None = None
        self._scans = type(model).forward is RecurrentModel.forward
        if type(model) in (LSTM, GRU) and isinstance(model, GatedRNN):
            self.layers = list(model.layers)
            self._weight = model.output_weight[output].double()
            self._bias = model.output_bias[output].double()
        # Torch's own layer of an LSTM is one fused call where oneDNN is there, and the fastest.
        fused = type(model) is LSTM and self.dtype == torch.float32 and self.device.type == "cpu"
        fused = fused and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        # Weights of every layer, in the order of torch.
        weights_of: list[tuple[Tensor, ...]] = [tuple(k.parameters()) for k in self.layers or ()]
        self._fused = weights_of if fused else None

    def scores(self, x: Array, place: int | None, tick: Tick) -> NDArray[np.float64]:
        """Score sequences, see `Network`."""
        found = np.empty(len(x))
        with torch.no_grad():
            for a in range(0, len(x), self.batch_size):
                rows = self._as_tensor(x[a : a + self.batch_size]).transpose(0, 1)
                rows = rows if place is None else rows[: place + 1]
                found[a : a + rows.shape[1]] = self._score(rows, None, None, place, x.shape[1])
                tick()
        return found

    def mutants(
        self, wild: Array, where: NDArray[np.int64], rows: Array, place: int | None, tick: Tick
    ) -> tuple[float, NDArray[np.float64]]:
        """Score a sequence and its mutants, see `Network`."""
        stop = len(wild) if place is None else place + 1
        # What comes after the place that is read changes nothing.
        n, size = int(np.searchsorted(where, stop)), self.batch_size
        lanes = np.arange(size)
        found = np.empty(len(where))
        letters, new = self._as_tensor(wild)[:stop], self._as_tensor(rows)
        with torch.no_grad():
            same = letters[:, None].expand(-1, size, -1).contiguous()
            at: int = 0
            state, total = None, None
            for a in range(0, n, size):
                # The last batch is filled up, so that all are equally large.
                chosen = np.minimum(np.arange(a, a + size), n - 1)
                begin = int(where[a])
                if begin > at and self.reuse:
                    _, state, total = self._advance(same[at:begin], state, total, place)
                    at = begin
                x = same[at:].clone()
                x[where[chosen] - at, lanes] = new[chosen]
                scores = self._score(x, state, total, place, len(wild))
                found[a : min(a + size, n)] = scores[: n - a]
                tick()
            itself = float(self._score(same[at:], state, total, place, len(wild))[0])
        found[n:] = itself
        return itself, found

    def _as_tensor(self, x: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self.device, self.dtype)

    def _score(
        self, x: Tensor, state: Any, total: Tensor | None, place: int | None, n: int
    ) -> NDArray[np.float64]:
        """Scores once these letters are run, of a mean over n positions or of the last letter."""
        last, _, total = self._advance(x, state, total, place)
        if total is None:
            found = self._read(last, x[-1:])[0]
        elif self.layers is None:
            found = total / n
        else:
            # The mean of a linear read-out is the read-out of the mean.
            found = self._read(total / n, x)
        return np.asarray(found.cpu().numpy())

    def _advance(
        self, x: Tensor, state: Any, total: Tensor | None, place: int | None
    ) -> tuple[Tensor, Any, Tensor | None]:
        """Run on: what the last step gives, the state, and the sum where a mean is asked for.

        The sum is that of what a GRU or LSTM is read from, and of the scores of other models.
        """
        for piece in x.split(_STEPS) if len(x) > _STEPS else (x,):
            top, state = self._run(piece, state)
            if place is None:
                seen = top if self.layers is not None else self._read(top, piece)
                part = seen.sum(0, dtype=torch.float64)
                total = part if total is None else total + part
        return top[-1:], state, total

    def _run(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Outputs of the top layer (time, trial, ...), and the state after the last step."""
        if self.layers is None:
            rows = x.transpose(0, 1)
            if not self._scans:
                # A model with a way of its own to run many steps.
                output, states = self.model(rows, state)
                return output.transpose(0, 1), states[:, -1].clone()
            start = self.model.start_from(rows) if state is None else state
            states, last = self.model.scan(rows, start)
            return states.transpose(0, 1), last
        after = []
        for k, layer in enumerate(self.layers):
            before: Any = None if state is None else state[k]
            if before is None:
                zero = x.new_zeros(1, x.shape[1], self.model.n_hidden)
                before = (zero, zero) if isinstance(layer, nn.LSTM) else zero
            if self._fused is None:
                x, after_last = layer(x.contiguous(), before)
            else:
                weights = self._fused[k]
                x, h, c = torch.lstm(
                    x.contiguous(), before, weights, True, 1, 0.0, False, False, False
                )
                after_last = (h, c)
            after.append(after_last)
        return x, after

    def _read(self, top: Tensor, x: Tensor) -> Tensor:
        """Scores (time, trial) of what `_run` gave for these letters."""
        if self.layers is not None:
            return (top.double() * self._weight).sum(-1) + self._bias
        if self._scans:
            rows = (top.transpose(0, 1).contiguous(), x.transpose(0, 1))
            top = self.model.read(*rows).transpose(0, 1)
        return top[..., self.output].double()


class BothWays:
    """Two networks that read one way, from either end: their scores add up.

    Parameters
    ----------
    ahead, back : from the first letter on, and from the last.
    turned : the second one sees the other strand: letters are exchanged too.
    factor : of the sum.
    padded : the plain network, where a sequence begins or ends with letters that are not known:
        a bidirectional GRU or LSTM reads those as padding.
    """

    def __init__(
        self, ahead: Carried, back: Carried, turned: bool, factor: float, padded: Batches | None
    ) -> None:
        self.ahead, self.back, self.factor, self.padded = ahead, back, factor, padded
        self.turned, self.batch_size = turned, ahead.batch_size

    def scores(self, x: Array, place: int | None, tick: Tick) -> NDArray[np.float64]:
        """Score sequences, see `Network`."""
        if self.padded is not None and not x[:, [0, -1]].any(axis=2).all():
            return self.padded.scores(x, place, tick)
        here = self.ahead.scores(x, place, tick)
        other = x[:, ::-1, ::-1] if self.turned else x[:, ::-1]
        back = None if place is None else x.shape[1] - 1 - place
        return self.factor * (here + self.back.scores(other, back, _nothing))

    def mutants(
        self, wild: Array, where: NDArray[np.int64], rows: Array, place: int | None, tick: Tick
    ) -> tuple[float, NDArray[np.float64]]:
        """Score a sequence and its mutants, see `Network`."""
        if self.padded is not None and not wild[[0, -1]].any(axis=1).all():
            return self.padded.mutants(wild, where, rows, place, tick)
        itself, found = self.ahead.mutants(wild, where, rows, place, tick)
        way = -1 if self.turned else 1
        back = None if place is None else len(wild) - 1 - place
        other, more = self.back.mutants(
            wild[::-1, ::way], len(wild) - 1 - where[::-1], rows[::-1, ::way], back, _nothing
        )
        return self.factor * (itself + other), self.factor * (found + more[::-1])


def _nothing() -> None:
    """Half of a batch is no batch."""


def network_of(
    model: RecurrentModel, output: int, batch_size: int | None, reuse: bool | None
) -> Network:
    """Return how a model of `nr.models` scores mutants.

    Parameters
    ----------
    model : of any kind.
    output : number of the output that is read.
    batch_size : sequences of a batch; None for the usual number.
    reuse : carry states of the sequence itself into its mutants; None where that is known to be
        the same. True asks it of a model of the user's, whose states must hold all that goes on.
    """
    size = BATCH_SIZE if batch_size is None else batch_size
    plain = Batches(_whole(model, output), size)
    kind = type(model)
    carry = reuse is not False
    if isinstance(model, ReverseComplementTied) and kind is ReverseComplementTied:
        mirrored = model.mirrored[output]
        here, there = (Carried(model.strand, k, size, carry) for k in (output, mirrored))
        return BothWays(here, there, turned=True, factor=0.5, padded=None)
    if (
        kind in (GRU, LSTM)
        and isinstance(model, GatedRNN)
        and model.looks_ahead
        and model.n_layers == 1
    ):
        here, there = (Carried(half, output, size, carry) for half in _halves(model))
        return BothWays(here, there, turned=False, factor=1.0, padded=plain)
    one_way = not (model.looks_ahead or model.observes_targets) and model.start(1).shape[1] > 0
    if one_way and (kind in _ONE_WAY or reuse):
        return Carried(model, output, size, carry)
    return plain


def _whole(model: RecurrentModel, output: int) -> Callable[[Array, int | None], Any]:
    """Scores of a model that is run on whole sequences."""
    run = copy.deepcopy(model).eval().requires_grad_(False)

    def scores(x: Array, place: int | None) -> NDArray[np.float64]:
        with torch.no_grad():
            found = run(np.ascontiguousarray(x)).output[..., output].double()
            return np.asarray((found.mean(1) if place is None else found[:, place]).cpu().numpy())

    return scores


def _halves(model: Any) -> tuple[RecurrentModel, RecurrentModel]:
    """The two halves of a bidirectional layer, as models that read one way."""
    made = []
    n = model.n_hidden
    for end, columns in (("", slice(0, n)), ("_reverse", slice(n, 2 * n))):
        half = type(model)(
            model.n_input, n, model.n_output, dt=model.dt, time_unit=model.time_unit
        ).to(model.output_weight.device, model.output_weight.dtype)
        with torch.no_grad():
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                theirs = getattr(model.layers[0], f"{part}_l0{end}")
                getattr(half.layers[0], f"{part}_l0").copy_(theirs)
            half.output_weight.copy_(model.output_weight[:, columns])
            half.output_bias.copy_(model.output_bias if not end else 0 * model.output_bias)
        made.append(half)
    return made[0], made[1]
