"""Gated networks, GRU and LSTM, whose gates are read as time constants in seconds."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurornn._kernels.gated import GRUArrays, gru_adjoint, gru_recurrence
from neurornn.models.gates import GatedRNN
from neurornn.models.recurrence import differentiable, kernels_run


class _GRULayer(nn.GRU):
    """Torch's own layer, run by compiled loops on the processor and by torch elsewhere.

    Where it runs is decided as for the leaky equation, see `models.recurrence`.
    """

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
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
        if hx is not None and not self.bidirectional:
            weights = (self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
            given = (x, hx[0], *weights)
            if x.numel() and kernels_run(*given) and self._sizes_fit(*given):
                states = _run_gru(*given)
                return states, states[-1:]
        return super().forward(x, hx)

    def _sizes_fit(self, x: Tensor, start: Tensor, *weights: Tensor) -> bool:
        """Return True where every size is right: the compiled loops do not look again."""
        k, n = self.input_size, self.hidden_size
        fits = x.ndim == 3 and x.shape[2] == k and start.shape == (x.shape[1], n)
        shapes = [(3 * n, k), (3 * n, n), (3 * n,), (3 * n,)]
        return fits and [tuple(w.shape) for w in weights] == shapes


def _run_gru(*given: Tensor) -> Tensor:
    """States (time, trial, hidden) from `GRUArrays` of tensors."""
    if torch.is_grad_enabled() and any(x.requires_grad for x in given):
        return _GRURecurrence.apply(*given)
    return _visible(gru_recurrence(_arrays(given), keep=False)[0], given[1])


def _run_plainly(x: Tensor, start: Tensor, *weights: Tensor) -> Tensor:
    """`_run_gru` in torch operations, through which every kind of derivative passes."""
    return torch.gru(x, start[None], weights, True, 1, 0.0, False, False, False)[0]


def _arrays(given: tuple[Tensor, ...]) -> GRUArrays:
    # Weights and states are small; inputs are taken as they lie in memory.
    return GRUArrays(*(x.detach().numpy() for x in given))


def _visible(states: np.ndarray, start: Tensor) -> Tensor:
    """States after the first, without the units that fill the last group up."""
    return torch.from_numpy(states[1:, :, : start.shape[1]])


class _GRURecurrence(torch.autograd.Function):
    """Gated recurrent units over time, with a hand-written adjoint; arguments as `GRUArrays`."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        states, kept = gru_recurrence(_arrays(given))
        out = _visible(states, given[1])
        # Saved through torch, which notices when one of them is changed before the way back, and
        # lets go of them with the graph.
        ctx.save_for_backward(*given, out, torch.from_numpy(states), torch.from_numpy(kept))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *given, _, states, kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiable(_run_plainly, given, ctx.needs_input_grad, grad)
        wanted = GRUArrays(*ctx.needs_input_grad)
        arrays = grad.numpy(), states.numpy(), kept.numpy(), _arrays(tuple(given))
        found = gru_adjoint(*arrays, wanted)
        return tuple(None if x is None else torch.from_numpy(x) for x in found)


class GRU(GatedRNN):
    """Gated recurrent units.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes.
    dt : s, length of a step.
    n_layers : layers, each of `n_hidden` units; the read-out sees the last.
    bidirectional : run a second half of each layer backward in time
        The output then depends on later inputs: good for smoothing, useless for forecasts.
    tau : s, scalar or (hidden,), or None
        Time constant at which the update gates start; None for torch's own start.

    Other Parameters
    ----------------
    dropout : chance of a unit to be dropped on its way to the next layer and to the read-out
        One mask per trial for all steps, see `SequenceDropout`. Recurrent connections are kept.
    input_dropout : chance of an input to be dropped for a whole trial.
    time_unit : ``"s"``, or ``"bp"`` for a model that runs along a sequence.
    rng : int, Generator or None
        For the initial weights.

    Raises
    ------
    DataError, ShapeError
        Sizes, time constants or chances that cannot be.

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
        The output then depends on later inputs: good for smoothing, useless for forecasts.
    tau : s, scalar or (hidden,), or None
        Time constant at which the forget gates start; None for torch's own start.

    Other Parameters
    ----------------
    dropout : chance of a unit to be dropped on its way to the next layer and to the read-out
        One mask per trial for all steps, see `SequenceDropout`. Recurrent connections are kept.
    input_dropout : chance of an input to be dropped for a whole trial.
    time_unit : ``"s"``, or ``"bp"`` for a model that runs along a sequence.
    rng : int, Generator or None
        For the initial weights.

    Raises
    ------
    DataError, ShapeError
        Sizes, time constants or chances that cannot be.

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
    all layers. Torch keeps c of the last step only; those between are formed from h, by the
    equation above.

    Examples
    --------
    >>> model = LSTM(n_input=2, n_hidden=8, n_output=1, dt=0.01, tau=0.2, rng=0)
    >>> first = model(torch.zeros(3, 50, 2))
    >>> model(torch.zeros(3, 10, 2), first.states[:, -1]).output.shape
    torch.Size([3, 10, 1])
    """

    _cell = nn.LSTM
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

    def _cells(self, layer: nn.Module, x: Tensor, before: Tensor, first: Tensor) -> Tensor:
        """Form c of every step from h of every step: a linear recurrence, gates in one product."""
        drive = self._drive(layer, x, before, slice(0, 3 * self.n_hidden))
        gates, g = drive.split([2 * self.n_hidden, self.n_hidden], 2)
        i, keep = torch.sigmoid(gates).split(self.n_hidden, 2)
        fed = i * torch.tanh(g)
        c, steps = first, []
        for kept, new in zip(keep.unbind(0), fed.unbind(0), strict=True):
            c = torch.addcmul(new, kept, c)
            steps.append(c)
        return torch.stack(steps)
