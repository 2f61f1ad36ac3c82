"""Steps at the ends of padded trials, which a model that reads both ways must not read."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


class Ends(NamedTuple):
    """First real step of every trial and how many there are, (trial,)."""

    first: Tensor
    length: Tensor


def ends_of(inputs: Tensor) -> Ends | None:
    """Find the padding of trials: steps at either end at which every input is 0.

    Parameters
    ----------
    inputs : (trial, time, input)

    Returns
    -------
    Ends, or None where no trial is padded; a trial without any input at all is not.
    """
    n_steps = inputs.shape[1]
    if not inputs.shape[2] or not n_steps or torch.compiler.is_compiling():
        return None
    if torch._C._are_functorch_transforms_active() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        # There a tensor stands for many, and each may end elsewhere.
        return None
    real = (inputs.detach() != 0).any(2)
    if bool((real[:, 0] & real[:, -1]).all()):
        return None
    step = torch.arange(n_steps, device=inputs.device)
    none = ~real.any(1)
    first = torch.where(real, step, n_steps).amin(1).masked_fill(none, 0)
    last = torch.where(real, step, -1).amax(1).masked_fill(none, n_steps - 1)
    length = last - first + 1
    return None if bool((length == n_steps).all()) else Ends(first, length)


def shifted(x: Tensor, by: Tensor) -> Tensor:
    """Move every trial ``by (trial,)`` steps towards the beginning, round its end.

    Parameters
    ----------
    x : (trial, time, feature)
    """
    n_steps = x.shape[1]
    index = (torch.arange(n_steps, device=x.device) + by[:, None]) % n_steps
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


def run_packed(layer: nn.RNNBase, x: Tensor, length: Tensor) -> Tensor:
    """Outputs of a layer over trials of different lengths, 0 beyond each: (trial, time, feature).

    Both halves start at rest at the first and at the last real step of each trial.
    """
    packed = pack_padded_sequence(x, length.cpu(), batch_first=True, enforce_sorted=False)
    cell: Callable[..., Any] = nn.GRU.forward if isinstance(layer, nn.GRU) else nn.LSTM.forward
    above: PackedSequence = cell(layer, packed)[0]
    return pad_packed_sequence(above, batch_first=True, total_length=x.shape[1])[0]
