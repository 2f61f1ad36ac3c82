"""The observer of calcium over time and its adjoint: a compiled loop, or plain torch."""

from typing import Any

import torch
from torch import Tensor

from neurornn._kernels.observer import observe, observe_adjoint


def observe_plainly(
    above: Tensor,
    seen: Tensor,
    rate: Tensor,
    gamma: Tensor,
    rho: Tensor,
    gain_c: Tensor,
    gain_d: Tensor,
    into_c: Tensor,
    into_d: Tensor,
    a: Tensor,
    b: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the observer in plain torch, which forward-mode derivatives pass through."""
    expected, slow, fast = [], [], []
    for y, m, c, d in zip(
        above.unbind(1),
        seen.unbind(1),
        (into_c * rate).unbind(1),
        (into_d * rate).unbind(1),
        strict=True,
    ):
        c, d = a + c, b + d
        error = m * (y - (c - d))
        a, b = gamma * c + gain_c * error, rho * d + gain_d * error
        expected.append(c - d)
        slow.append(a)
        fast.append(b)
    return torch.stack(expected, 1), torch.stack(slow, 1), torch.stack(fast, 1)


class Observer(torch.autograd.Function):
    """`observe_plainly` in a compiled loop, with its adjoint."""

    @staticmethod
    def forward(ctx: Any, above: Tensor, seen: Tensor, rate: Tensor, *rest: Tensor) -> Any:
        """Return the expected fluorescence and the two states, each (trial, time, unit)."""
        n_trials, _, n_units = above.shape
        series = [_flat(x) for x in (above, seen, rate)]
        columns = [_columns(x, n_trials, n_units) for x in rest]
        c, d, a, b = observe(*series, *columns)
        ctx.kept = (c, d, series, columns, above.shape)
        return tuple(_back(x, above.shape) for x in (c - d, a, b))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Return the gradients of all that `forward` was given; none of what was seen."""
        c, d, series, columns, shape = ctx.kept
        n_trials, _, n_units = shape
        flat: list[Any] = [_flat(g) for g in grads]
        given: list[Any] = [*flat, c, d, *series, *columns[:6]]
        grad_observed, grad_rate, found = observe_adjoint(*given)
        each = torch.from_numpy(found).reshape(8, n_trials, n_units)
        return (
            _back(grad_observed, shape),
            None,
            _back(grad_rate, shape),
            *each[:6].sum(1),
            each[6],
            each[7],
        )


def _flat(x: Tensor) -> Any:
    """(trial, time, unit) to (time, trace)."""
    return x.detach().transpose(0, 1).reshape(x.shape[1], -1).contiguous().numpy()


def _columns(x: Tensor, n_trials: int, n_units: int) -> Any:
    return x.detach().expand(n_trials, n_units).reshape(-1).contiguous().numpy()


def _back(x: Any, shape: torch.Size) -> Tensor:
    n_trials, n_steps, n_units = shape
    return torch.from_numpy(x).reshape(n_steps, n_trials, n_units).transpose(0, 1)
