"""Running the leaky equation over time: compiled loops on the processor, plain torch elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from neurornn._kernels.leaky import leaky_adjoint, leaky_filter
from neurornn._kernels.recurrent import leaky_recurrence, recurrence_adjoint
from neurornn.models.base import NONLINEARITIES

_kernels_on = True


@contextmanager
def plain_torch() -> Iterator[None]:
    """Run every recurrence in plain torch operations, for forward-mode and second derivatives."""
    global _kernels_on
    before, _kernels_on = _kernels_on, False
    try:
        yield
    finally:
        _kernels_on = before


def kernels_run(x: Tensor) -> bool:
    """Return True where the compiled loops stand in for plain torch."""
    return _kernels_on and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def run_leaky(
    drive: Tensor,
    weights: Tensor | None,
    alpha: Tensor,
    start: Tensor,
    nonlinearity: str = "tanh",
    form: str = "rate",
    shocks: Tensor | None = None,
) -> Tensor:
    """Run the leaky equation over time.

    Parameters
    ----------
    drive : (time, trial, hidden), u: what comes in from outside.
    weights : (hidden, hidden_), W, or None where units do not see each other.
    alpha : (hidden,), share of the state that is replaced in a step.
    start : (trial, hidden), the state before the first step.
    nonlinearity : key of `models.base.NONLINEARITIES`, f.
    form : ``"rate"``, ``h' = h + alpha (f(W h + u) - h)``, or ``"current"``,
        ``x' = x + alpha (W f(x) + u - x)``.
    shocks : (time, trial, hidden), added to the state after each step.

    Returns
    -------
    (time, trial, hidden), the state after each step.
    """
    if kernels_run(drive) and len(drive) and form == "rate" and shocks is None:
        if weights is None:
            fed = alpha * NONLINEARITIES[nonlinearity](drive)
            return _LeakyFilter.apply(fed, 1 - alpha, start)
        return _LeakyRecurrence.apply(drive, weights, alpha, start, nonlinearity)
    return _plain(drive, weights, alpha, start, nonlinearity, form, shocks)


def _plain(
    drive: Tensor,
    weights: Tensor | None,
    alpha: Tensor,
    start: Tensor,
    nonlinearity: str,
    form: str,
    shocks: Tensor | None,
) -> Tensor:
    """`run_leaky` in torch operations alone, through which every kind of derivative passes."""
    if not len(drive):
        return drive
    f = NONLINEARITIES[nonlinearity]
    keep, state, steps = 1 - alpha, start, []
    pushed = [None] * len(drive) if shocks is None else shocks.unbind(0)
    across = None if weights is None else weights.T
    for u, shock in zip(drive.unbind(0), pushed, strict=True):
        if form == "rate":
            total = f(u if across is None else u + state @ across)
        else:
            total = u if across is None else u + f(state) @ across
        state = keep * state + alpha * total
        if shock is not None:
            state = state + shock
        steps.append(state)
    return torch.stack(steps)


class _LeakyFilter(torch.autograd.Function):
    """Leaky integrators that do not see each other, with a hand-written adjoint; time first."""

    @staticmethod
    def forward(ctx: Any, drive: Tensor, gamma: Tensor, start: Tensor) -> Tensor:
        n_steps, n_trials, n_hidden = drive.shape
        flat = drive.detach().reshape(n_steps, -1).contiguous().numpy()
        keep = gamma.detach().expand(n_trials, n_hidden).reshape(-1).contiguous().numpy()
        first = start.detach().reshape(-1).contiguous().numpy()
        states = leaky_filter(flat, keep, first)
        ctx.kept = (states, keep, first, drive.shape)
        return torch.from_numpy(states).reshape(n_steps, n_trials, n_hidden)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, keep, first, (n_steps, n_trials, n_hidden) = ctx.kept
        flat = grad.reshape(n_steps, -1).contiguous().numpy()
        grad_drive, grad_gamma, grad_start = leaky_adjoint(flat, states, keep, first)
        shape = (n_trials, n_hidden)
        return (
            torch.from_numpy(grad_drive).reshape(n_steps, *shape),
            torch.from_numpy(grad_gamma).reshape(shape).sum(0),
            torch.from_numpy(grad_start).reshape(shape),
        )


class _LeakyRecurrence(torch.autograd.Function):
    """The leaky recurrence over time, with a hand-written adjoint; time along the first axis."""

    @staticmethod
    def forward(
        ctx: Any, drive: Tensor, weights: Tensor, alpha: Tensor, start: Tensor, nonlinearity: str
    ) -> Tensor:
        alpha = alpha.to(drive.dtype)
        arrays = [x.detach().contiguous().numpy() for x in (drive, weights, alpha, start)]
        states, activity = leaky_recurrence(*arrays, nonlinearity)
        out = torch.from_numpy(states[1:])
        # Saved through torch, which notices when one of them is changed before the way back.
        ctx.save_for_backward(weights, alpha, out)
        ctx.kept = (states, activity, nonlinearity)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        states, activity, nonlinearity = ctx.kept
        weights, alpha, _ = (x.detach().numpy() for x in ctx.saved_tensors)
        grads = recurrence_adjoint(
            grad.contiguous().numpy(), states, activity, weights, alpha, nonlinearity
        )
        return *(torch.from_numpy(g) for g in grads), None
