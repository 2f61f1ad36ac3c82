"""Gated networks, GRU and LSTM, whose gates are read as time constants in seconds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurornn._kernels.gated import (
    GRUArrays,
    LSTMArrays,
    gru_adjoint,
    gru_recurrence,
    lstm_adjoint,
    lstm_recurrence,
)
from neurornn.models.gates import GatedRNN, gate_drive
from neurornn.models.recurrence import differentiable, is_batch, kernels_run


class _GRULayer(nn.GRU):
    """Torch's own layer, run by compiled loops on the processor and by torch elsewhere.

    Where it runs is decided as for the leaky equation, see `models.recurrence`.
    """

    def forward(  # type: ignore[override]
        self, x: Tensor, hx: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run over time.

        Parameters
        ----------
        x : (time, trial, input)
        hx : (1, trial, hidden), the state before the first step.

        Returns
        -------
        states : (time, trial, hidden)
        last : (1, trial, hidden)
        """
        given = () if hx is None else _arguments(self, x, hx)
        if not _loops_serve(self, *given):
            return super().forward(x, hx)
        if _gradient_asked(given):
            states = _GRURecurrence.apply(*given)
        else:
            states = _visible(gru_recurrence(_arrays(GRUArrays, given), keep=False)[0], given[1])
        return states, states[-1:]


class _LSTMLayer(nn.LSTM):
    """Torch's own layer, run by compiled loops on the processor and by torch elsewhere.

    Where it runs is decided as for the leaky equation, see `models.recurrence`.
    """

    def forward(  # type: ignore[override]
        self, x: Tensor, hx: tuple[Tensor, Tensor] | None = None, every: bool = False
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over time.

        Parameters
        ----------
        x : (time, trial, input)
        hx : twice (1, trial, hidden), state and cell before the first step.
        every : return state and cell of every step, where the layer runs one way alone.

        Returns
        -------
        states : (time, trial, hidden)
        last : twice (1, trial, hidden), or (time, trial, hidden) where `every`.
        """
        given = () if hx is None else _arguments(self, x, *hx)
        if not _loops_serve(self, *given):
            states, last = super().forward(x, hx)
            if every and hx is not None:
                before = torch.cat([hx[0], states[:-1]])
                return states, (states, _cells(self, x, before, hx[1][0]))
            return states, last
        if _gradient_asked(given):
            states, cells = _LSTMRecurrence.apply(*given)
        else:
            found = lstm_recurrence(_arrays(LSTMArrays, given), keep=False)[:2]
            states, cells = (_visible(v, given[1]) for v in found)
        return states, ((states, cells) if every else (states[-1:], cells[-1:]))


def _arguments(layer: nn.RNNBase, x: Tensor, *starts: Tensor) -> tuple[Tensor, ...]:
    """Arguments in the order of `GRUArrays` or `LSTMArrays`, where the layer runs one way."""
    if layer.bidirectional:
        return ()
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights: list[Any] = [getattr(layer, name) for name in names]
    return (x, *(s[0] for s in starts), *weights)


def _loops_serve(layer: nn.RNNBase, *given: Tensor) -> bool:
    """Return True where the compiled loops stand in for torch, and every size is as documented.

    The loops do not look again; torch takes the others, or says what is wrong with them.
    """
    if not given or not given[0].numel() or not kernels_run(*given):
        return False
    x, *starts, input_weight, weights, input_bias, bias = given
    k, n = layer.input_size, layer.hidden_size
    rows = (3 if isinstance(layer, nn.GRU) else 4) * n
    fits = x.ndim == 3 and x.shape[2] == k and input_weight.shape == (rows, k)
    fits = fits and all(s.shape == (x.shape[1], n) for s in starts)
    return fits and weights.shape == (rows, n) and input_bias.shape == bias.shape == (rows,)


def _gradient_asked(given: tuple[Tensor, ...]) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in given)


def _arrays(kind: Any, given: Sequence[Tensor]) -> Any:
    """Give `GRUArrays` or `LSTMArrays` of tensors, each as it lies in memory."""
    return kind(*(x.detach().numpy() for x in given))


def _visible(states: np.ndarray, start: Tensor) -> Tensor:
    """States after the first, without the units that fill the last group up."""
    return torch.from_numpy(states[1:, :, : start.shape[1]])


class _GRURecurrence(torch.autograd.Function):
    """Gated recurrent units over time, with a hand-written adjoint; arguments as `GRUArrays`."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        states, kept = gru_recurrence(_arrays(GRUArrays, given))
        out = _visible(states, given[1])
        # Saved through torch, which notices when one of them is changed before the way back, and
        # lets go of them with the graph.
        ctx.save_for_backward(*given, out, torch.from_numpy(states), torch.from_numpy(kept))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *given, _, states, kept = ctx.saved_tensors
        if torch.is_grad_enabled() or is_batch(grad):
            return differentiable(_gru_plainly, given, ctx.needs_input_grad, grad)
        wanted, arrays = GRUArrays(*ctx.needs_input_grad), _arrays(GRUArrays, given)
        found = gru_adjoint(grad.numpy(), states.numpy(), kept.numpy(), arrays, wanted)
        return tuple(None if x is None else torch.from_numpy(x) for x in found)


def _gru_plainly(x: Tensor, start: Tensor, *weights: Tensor) -> Tensor:
    """States in torch operations, through which every kind of derivative passes."""
    return torch.gru(x, start[None], weights, True, 1, 0.0, False, False, False)[0]


class _LSTMRecurrence(torch.autograd.Function):
    """States and cells over time, with a hand-written adjoint; arguments as `LSTMArrays`."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> tuple[Tensor, Tensor]:
        arrays = lstm_recurrence(_arrays(LSTMArrays, given))
        out = tuple(_visible(x, given[1]) for x in arrays[:2])
        ctx.save_for_backward(*given, *out, *(torch.from_numpy(x) for x in arrays))
        # Cells that no loss looks at have no gradient: none is made up of zeros.
        ctx.set_materialize_grads(False)
        return out[0], out[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        *given, _, _, states, cells, kept = ctx.saved_tensors
        if torch.is_grad_enabled() or is_batch(*grads):
            arrived = [(k, g) for k, g in enumerate(grads) if g is not None]

            def run(*again: Tensor) -> list[Tensor]:
                found = _lstm_plainly(*again)
                return [found[k] for k, _ in arrived]

            return differentiable(run, given, ctx.needs_input_grad, [g for _, g in arrived])
        wanted, arrays = LSTMArrays(*ctx.needs_input_grad), _arrays(LSTMArrays, given)
        given_back: list[Any] = [None if g is None else g.numpy() for g in grads]
        kept_arrays: list[Any] = [x.numpy() for x in (states, cells, kept)]
        found = lstm_adjoint(*given_back, *kept_arrays, arrays, wanted)  # type: ignore[call-arg]
        return tuple(None if x is None else torch.from_numpy(x) for x in found)


def _lstm_plainly(
    x: Tensor, start: Tensor, cell_start: Tensor, input_weight: Tensor, weights: Tensor,
    input_bias: Tensor, bias: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """States and cells in torch operations, through which every kind of derivative passes.

    Step by step, since torch's own layer keeps no cells.
    """
    h, c, states, cells = start, cell_start, [], []
    for fed in nn.functional.linear(x, input_weight, input_bias + bias).unbind(0):
        i, f, g, o = (fed + h @ weights.T).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        states.append(h)
        cells.append(c)
    return torch.stack(states), torch.stack(cells)


def _cells(layer: nn.LSTM, x: Tensor, before: Tensor, first: Tensor) -> Tensor:
    """Form c of every step from h of every step: a linear recurrence, gates in one product."""
    n = layer.hidden_size
    gates, g = gate_drive(layer, x, before, slice(0, 3 * n)).split([2 * n, n], 2)
    i, keep = torch.sigmoid(gates).split(n, 2)
    fed = i * torch.tanh(g)
    c, steps = first, []
    for kept, new in zip(keep.unbind(0), fed.unbind(0), strict=True):
        c = torch.addcmul(new, kept, c)
        steps.append(c)
    return torch.stack(steps)


class GRU(GatedRNN):
    """Gated recurrent units.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes.
    dt : s, length of a step.
    n_layers : layers, each of `n_hidden` units; the read-out sees the last.
    bidirectional : run a second half of each layer backward in time
        The output then depends on later inputs: good for smoothing, useless for forecasts. Steps
        at the ends of a trial at which every input is 0 are padding, which neither half reads.
    tau : s, scalar or (hidden,), or None
        Time constant at which the update gates start; None for torch's own start.
    tau_range : (shortest, longest), s, or None
        Time constants of the units drawn uniformly between them, in place of `tau`: the start of
        Tallec & Ollivier 2018, arXiv:1804.11188, for dependencies up to the longest.

    Other Parameters
    ----------------
    dropout : probability of a unit to be dropped on its way to the next layer and to the read-out
        One mask per trial for all steps, see `SequenceDropout`. Recurrent connections are kept.
    input_dropout : probability of an input to be dropped for a whole trial.
    time_unit : ``"s"``, or ``"bp"`` for a model that runs along a sequence.
    rng : int, Generator or None
        For the initial weights.

    Raises
    ------
    DataError, ShapeError
        Sizes, time constants or probabilities that cannot be.

    Notes
    -----
    With ``r = sigmoid(W_r x + U_r h + b_r)`` and z likewise,
    ``n = tanh(W_n x + c_n + r (U_n h + d_n))`` and ``h' = (1 - z) n + z h`` (Cho et al. 2014,
    arXiv:1406.1078, in the form of torch, which resets after the product). The update gate z keeps
    the state, so ``-dt / log(z)`` is its time constant: see `gate_time_constants`. With `tau` the
    gate starts at ``z = exp(-dt / tau)`` where input and state are 0.

    The state (trial, n_layers x hidden) holds all layers, the first one first.

    Examples
    --------
    >>> model = GRU(n_input=2, n_hidden=8, n_output=1, dt=0.01, tau=0.2, rng=0)
    >>> model(torch.zeros(3, 50, 2)).output.shape
    torch.Size([3, 50, 1])
    """

    _cell = _GRULayer
    _gate = "update"
    _n_carried = 1


class LSTM(GatedRNN):
    """Long short-term memory.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes.
    dt : s, length of a step.
    n_layers : layers, each of `n_hidden` units; the read-out sees the last.
    bidirectional : run a second half of each layer backward in time
        The output then depends on later inputs: good for smoothing, useless for forecasts. Steps
        at the ends of a trial at which every input is 0 are padding, which neither half reads.
    tau : s, scalar or (hidden,), or None
        Time constant at which the forget gates start; None for torch's own start.
    tau_range : (shortest, longest), s, or None
        Time constants of the units drawn uniformly between them, in place of `tau`: the start of
        Tallec & Ollivier 2018, arXiv:1804.11188, for dependencies up to the longest.

    Other Parameters
    ----------------
    dropout : probability of a unit to be dropped on its way to the next layer and to the read-out
        One mask per trial for all steps, see `SequenceDropout`. Recurrent connections are kept.
    input_dropout : probability of an input to be dropped for a whole trial.
    time_unit : ``"s"``, or ``"bp"`` for a model that runs along a sequence.
    rng : int, Generator or None
        For the initial weights.

    Raises
    ------
    DataError, ShapeError
        Sizes, time constants or probabilities that cannot be.

    Notes
    -----
    With gates ``i, f, o = sigmoid(W x + U h + b)`` and ``g = tanh(W_g x + U_g h + b_g)``,
    ``c' = f c + i g`` and ``h' = o tanh(c')`` (Hochreiter & Schmidhuber 1997, Neural Computation
    9:1735, doi:10.1162/neco.1997.9.8.1735; forget gate: Gers, Schmidhuber & Cummins 2000,
    doi:10.1162/089976600300015015). The forget gate f keeps the cell, so ``-dt / log(f)`` is its
    time constant: see `gate_time_constants`. With `tau` the cells start as leaky integrators,
    ``f = exp(-dt / tau)`` and ``i = 1 - f`` where input and state are 0: the start of Tallec &
    Ollivier 2018, arXiv:1804.11188, with their ``1 - dt / tau`` made exact and tau given.

    The state (trial, 2 x n_layers x hidden) holds h of all layers, the first one first, then c of
    all layers. Where torch's own layer runs, which keeps c of the last step only, those between
    are formed from h, by the equation above.

    Examples
    --------
    >>> model = LSTM(n_input=2, n_hidden=8, n_output=1, dt=0.01, tau=0.2, rng=0)
    >>> first = model(torch.zeros(3, 50, 2))
    >>> model(torch.zeros(3, 10, 2), first.states[:, -1]).output.shape
    torch.Size([3, 10, 1])
    """

    _cell = _LSTMLayer
    _gate = "forget"
    _n_carried = 2

    def _start_at(self, tau: np.ndarray) -> None:
        """Set the biases of the forget gates, and those of the input gates to the opposite."""
        super()._start_at(tau)
        rows = slice(0, self.n_hidden)
        with torch.no_grad():
            for layer in self.layers:
                for end in self._ends:
                    getattr(layer, f"bias_ih_l0{end}")[rows] = -self._keep_biases(tau).float()
                    getattr(layer, f"bias_hh_l0{end}")[rows] = 0.0

    def _steps(
        self, layer: nn.Module, x: Tensor, start: list[Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        if self.bidirectional:
            return super()._steps(layer, x, start)
        above, (_, cells) = layer(x, tuple(start), every=True)
        return above, cells
