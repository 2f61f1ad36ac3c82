"""Running the leaky equation over time: compiled loops on the processor, plain torch elsewhere.

Which of the two runs is decided here. Plain torch operations carry what the compiled loops do not:
other devices and precisions, forward-mode derivatives, the transforms of `torch.func`, compilation
by torch, and derivatives of gradients.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from neurornn._kernels.leaky import leaky_adjoint, leaky_filter
from neurornn._kernels.recurrent import Drive, Gradients, leaky_recurrence, recurrence_adjoint
from neurornn.models.base import NONLINEARITIES

#: Of the thread or task at hand: another one that runs beside it is not told to go plain.
_kernels_on: ContextVar[bool] = ContextVar("kernels_on", default=True)


@contextmanager
def plain_torch() -> Iterator[None]:
    """Run every recurrence in plain torch operations, for forward-mode and second derivatives."""
    before = _kernels_on.set(False)
    try:
        yield
    finally:
        _kernels_on.reset(before)


def kernels_run(*tensors: Tensor | None) -> bool:
    """Return True where the compiled loops stand in for plain torch."""
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined]
    if not _kernels_on.get() or torch.compiler.is_compiling() or tracing:
        return False
    # Inside torch.func a tensor may stand for many, or carry a tangent.
    if torch._C._are_functorch_transforms_active():
        return False
    given = [x for x in tensors if x is not None]
    return (
        given[0].dtype in (torch.float32, torch.float64)
        and all(x.device.type == "cpu" and x.dtype == given[0].dtype for x in given)
        and all(forward_ad.unpack_dual(x).tangent is None for x in given)
    )


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
    alpha = alpha.to(drive.dtype)
    if not (drive.numel() and kernels_run(drive, weights, alpha, start, shocks)):
        return _plain(drive, weights, alpha, start, nonlinearity, form, shocks)
    given = (drive, None, None, None, weights, alpha, start, shocks)
    if _sizes_fit(*given):
        return _LeakyRecurrence.apply(*given, nonlinearity, form)
    if weights is None and form == "rate" and shocks is None:
        fed = alpha * NONLINEARITIES[nonlinearity](drive)
        return _LeakyFilter.apply(fed, 1 - alpha, start)
    return _plain(drive, weights, alpha, start, nonlinearity, form, shocks)


def run_leaky_on(
    inputs: Tensor,
    input_weight: Tensor,
    bias: Tensor,
    weights: Tensor | None,
    alpha: Tensor,
    start: Tensor,
    nonlinearity: str = "tanh",
    form: str = "rate",
    shocks: Tensor | None = None,
) -> Tensor:
    """Run the leaky equation on inputs; as `run_leaky`, without ever storing the drive.

    Parameters
    ----------
    inputs : (time, trial, input)
    input_weight : (hidden, input), U.
    bias : (hidden,), b; the drive is ``U i + b``.
    weights, alpha, start, nonlinearity, form, shocks : as for `run_leaky`.

    Returns
    -------
    (time, trial, hidden), the state after each step.
    """
    alpha = alpha.to(inputs.dtype)
    given = (None, inputs, input_weight, bias, weights, alpha, start, shocks)
    if inputs.numel() and start.numel() and kernels_run(*given) and _sizes_fit(*given):
        return _LeakyRecurrence.apply(*given, nonlinearity, form)
    drive = nn.functional.linear(inputs, input_weight, bias)
    return run_leaky(drive, weights, alpha, start, nonlinearity, form, shocks)


def _sizes_fit(
    drive: Tensor | None,
    inputs: Tensor | None,
    input_weight: Tensor | None,
    bias: Tensor | None,
    weights: Tensor | None,
    alpha: Tensor,
    start: Tensor,
    shocks: Tensor | None,
) -> bool:
    """Return True where every size is as documented: the compiled loops do not look again.

    Plain torch stretches the others, or says what is wrong with them.
    """
    if weights is None or start.ndim != 2:
        return False
    n_trials, n = start.shape
    if drive is None:
        assert inputs is not None and input_weight is not None and bias is not None
        n_steps, n_inputs = len(inputs), inputs.shape[-1]
        fits = inputs.shape == (n_steps, n_trials, n_inputs) and bias.shape == (n,)
        fits = fits and input_weight.shape == (n, n_inputs)
    else:
        n_steps = len(drive)
        fits = drive.shape == (n_steps, n_trials, n)
    fits = fits and weights.shape == (n, n) and alpha.shape == (n,)
    return fits and (shocks is None or shocks.shape == (n_steps, n_trials, n))


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


def is_batch(*grads: Tensor | None) -> bool:
    """Whether a gradient stands for many at once, as with ``is_grads_batched``.

    NumPy cannot look into such a tensor; torch's own operations carry it on.
    """
    many = (torch._C._functorch.is_legacy_batchedtensor, torch._C._functorch.is_batchedtensor)
    return any(look(g) for g in grads if g is not None for look in many)


def differentiable(
    run: Callable[..., Tensor | list[Tensor]],
    arguments: Sequence[Tensor | None],
    needed: Sequence[bool],
    grad: Tensor | list[Tensor],
) -> tuple[Tensor | None, ...]:
    """Gradients that can be differentiated again: through plain torch, run once more."""
    again_and_again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases: what one argument owes to another is the outer graph's business.
        again = [None if x is None else x.view_as(x) for x in arguments]
        asked = [x for x, n in zip(again, needed, strict=True) if n and x is not None]
        grads = iter(torch.autograd.grad(run(*again), asked, grad, create_graph=again_and_again))
    return tuple(next(grads) if n else None for n in needed)


class _LeakyFilter(torch.autograd.Function):
    """Leaky integrators that do not see each other, with a hand-written adjoint; time first."""

    @staticmethod
    def forward(ctx: Any, fed: Tensor, gamma: Tensor, start: Tensor) -> Tensor:
        n_steps, n_trials, n_hidden = fed.shape
        flat = fed.detach().reshape(n_steps, -1).contiguous().numpy()
        states = leaky_filter(flat, *_per_trace(gamma, start))
        out = torch.from_numpy(states).reshape(n_steps, n_trials, n_hidden)
        ctx.save_for_backward(fed, gamma, start, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *arguments, out = ctx.saved_tensors
        if torch.is_grad_enabled() or is_batch(grad):
            return differentiable(_filter_plainly, arguments, ctx.needs_input_grad, grad)
        n_steps, *shape = out.shape
        flat, states = (x.detach().reshape(n_steps, -1).contiguous().numpy() for x in (grad, out))
        by_fed, by_gamma, by_start = leaky_adjoint(flat, states, *_per_trace(*arguments[1:]))
        return (
            torch.from_numpy(by_fed).reshape(n_steps, *shape),
            torch.from_numpy(by_gamma).reshape(shape).sum(0),
            torch.from_numpy(by_start).reshape(shape),
        )


def _per_trace(gamma: Tensor, start: Tensor) -> list[Any]:
    traces = (gamma.detach().expand(start.shape), start.detach())
    return [x.reshape(-1).contiguous().numpy() for x in traces]


def _filter_plainly(fed: Tensor, gamma: Tensor, start: Tensor) -> Tensor:
    state, steps = start, []
    for u in fed.unbind(0):
        state = gamma * state + u
        steps.append(state)
    return torch.stack(steps)


class _LeakyRecurrence(torch.autograd.Function):
    """The leaky recurrence over time, with a hand-written adjoint; time along the first axis.

    Arguments: drive, or inputs with input_weight and bias; weights, alpha, start, shocks or None;
    the names of nonlinearity and form.
    """

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        *tensors, nonlinearity, form = arguments
        drive, weights, alpha, start, shocks = _arrays(tensors)
        states, kept = leaky_recurrence(drive, weights, alpha, start, nonlinearity, form, shocks)
        out = torch.from_numpy(states[1:])
        # Saved through torch, which notices when one of them is changed before the way back, and
        # lets go of them with the graph.
        ctx.save_for_backward(*tensors, out, torch.from_numpy(states), torch.from_numpy(kept))
        ctx.names = (nonlinearity, form)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, _, states, kept = ctx.saved_tensors
        needed = ctx.needs_input_grad[:-2]
        if torch.is_grad_enabled() or is_batch(grad):

            def run(drive: Any, inputs: Any, input_weight: Any, bias: Any, *rest: Any) -> Tensor:
                if drive is None:
                    drive = nn.functional.linear(inputs, input_weight, bias)
                given: list[Any] = [*rest[:-1], *ctx.names, rest[-1]]
                return _plain(drive, *given)

            return *differentiable(run, tensors, needed, grad), None, None
        by_drive, by_inputs, by_input_weight, by_bias, by_weights, _, _, by_shocks = needed
        wanted = Gradients(
            drive=by_drive or by_inputs,
            input_weight=by_input_weight,
            bias=by_bias,
            weights=by_weights,
            alpha=True,  # type: ignore[arg-type]
            start=True,  # type: ignore[arg-type]
            shocks=by_shocks,
        )
        # A mean over (trial, time) sends its gradient trials first: taken as it comes.
        turned = not grad.is_contiguous() and grad.transpose(0, 1).is_contiguous()
        grad = (grad.transpose(0, 1) if turned else grad).contiguous()
        drive, weights, alpha, *_ = _arrays(tensors)
        given: list[Any] = [grad.numpy(), states.numpy(), kept.numpy(), drive, weights, alpha]
        names: list[Any] = list(ctx.names)
        g = recurrence_adjoint(*given, *names, wanted, trials_first=turned)  # type: ignore[call-arg, misc]
        through = None
        if by_inputs:
            through = torch.from_numpy(g.drive) @ tensors[2].detach()
        arrays = (g.drive if by_drive else None, g.input_weight, g.bias, g.weights, *g[4:])
        found = [None if x is None else torch.from_numpy(x) for x in arrays]
        return found[0], through, *found[1:], None, None


def _arrays(tensors: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """Drive, weights, alpha, start and shocks as contiguous arrays."""
    arrays = [None if x is None else x.detach().contiguous().numpy() for x in tensors]
    return Drive(*arrays[:4]), *arrays[4:]
