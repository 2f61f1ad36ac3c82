"""Attention over a window of given length, as a model with a finite past."""

from typing import Any

import torch
from torch import Tensor, nn

from neurornn._core.checks import check_count, check_rng
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, seed_of
from neurornn.models.base import random_weights
from neurornn.models.context import FiniteContext, drawn
from neurornn.models.dropout import SequenceDropout


class _Attention(nn.Module):
    """A layer of attention over the last `n_lags` frames and the present one, then an MLP."""

    def __init__(
        self, n_hidden: int, n_heads: int, n_lags: int, dropout: float, draw: torch.Generator
    ) -> None:
        super().__init__()
        self.n_heads, self.n_lags = n_heads, n_lags
        self.before_mixing, self.before_mlp = nn.LayerNorm(n_hidden), nn.LayerNorm(n_hidden)

        def linear(n: int, m: int, scale: float = 1.0) -> Any:
            return drawn(nn.Linear(n, m, device="meta"), scale, draw)

        self.query, self.key = linear(n_hidden, n_hidden), linear(n_hidden, n_hidden)
        self.value, self.mix = linear(n_hidden, n_hidden), linear(n_hidden, n_hidden, 0.5)
        self.widen, self.narrow = (
            linear(n_hidden, 2 * n_hidden),
            linear(2 * n_hidden, n_hidden, 0.5),
        )
        self.lag_bias = nn.Parameter(torch.zeros(n_heads, n_lags + 1))
        self.dropout = SequenceDropout(dropout)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """From (trial, n_lags + time, hidden) to (trial, time, hidden)."""
        normed = self.before_mixing(x)
        mixed = self._attend(normed, there)
        x = x[:, self.n_lags :] + self.dropout(self.mix(mixed))
        return x + self.dropout(self.narrow(nn.functional.gelu(self.widen(self.before_mlp(x)))))

    def _attend(self, x: Tensor, there: Tensor) -> Tensor:
        """Mix the values of the frames that are there, (trial, time, hidden).

        Queries go in blocks, each beside the keys that any of its rows may see: the work grows
        with time x context, not with time squared.
        """
        n_trials, n_all, n_hidden = x.shape
        n_steps, lags, heads = n_all - self.n_lags, self.n_lags, self.n_heads
        size = min(n_steps, max(lags, 16))
        n_blocks = -(-n_steps // size)
        pad = n_blocks * size - n_steps
        there = nn.functional.pad(there, (0, pad))

        def windows(values: Tensor) -> Tensor:
            # (trial, block, head, feature, size + lags)
            values = nn.functional.pad(values, (0, 0, 0, pad))
            return values.unflatten(2, (heads, -1)).unfold(1, size + lags, size)

        queries = nn.functional.pad(self.query(x[:, lags:]), (0, 0, 0, pad))
        queries = queries.reshape(n_trials, n_blocks, size, heads, -1).transpose(2, 3)
        scores = queries @ windows(self.key(x)) * (n_hidden // heads) ** -0.5
        lag = torch.arange(size, device=x.device)[:, None] + lags
        lag = lag - torch.arange(size + lags, device=x.device)
        seen = (lag >= 0) & (lag <= lags)
        # A frame from before the start is seen by none but itself: no row is without any.
        seen = seen & (there.unfold(1, size + lags, size)[:, :, None] | (lag == 0))
        scores = scores + self.lag_bias[:, lag.clamp(0, lags)]
        weights = scores.masked_fill(~seen[:, :, None], -torch.inf).softmax(-1)
        mixed = weights @ windows(self.value(x)).transpose(-1, -2)
        return mixed.transpose(2, 3).reshape(n_trials, -1, n_hidden)[:, :n_steps]


class CausalTransformer(FiniteContext):
    """Causal attention over a window of given length.

    Parameters
    ----------
    n_input, n_hidden, n_output : sizes.
    dt : s, length of a step.
    context : s
        How far back an output looks through all layers together, its own step included; rounded
        down to whole steps and shared out among the layers.
    n_layers : layers of attention, each followed by a perceptron of 2 x `n_hidden` units.
    n_heads : heads, a divisor of `n_hidden`.

    Other Parameters
    ----------------
    dropout : probability of a unit to be dropped for a whole trial, see `SequenceDropout`.
    time_unit : ``"s"`` or ``"bp"``.
    rng : for the initial weights.

    Raises
    ------
    DataError
        Sizes that cannot be, heads that do not divide `n_hidden`, or a context shorter than a
        step.

    Notes
    -----
    Attention (Vaswani et al. 2017, arXiv:1706.03762) with a learned bias for each lag in place of
    positions (Raffel et al. 2020, arXiv:1910.10683), layers normalised at their entry (Xiong et
    al. 2020, arXiv:2002.04745). Lags and no positions: an output depends on its own window alone,
    so that windows carry on and a shift in time shifts the output. It has no time constants of its
    own, only `memory`, which is chosen and not learned. Frames from before the start of a trial
    are not attended to.

    The state (trial, n_context x (n_input + 1)) holds the last frames, the oldest first.

    Examples
    --------
    >>> model = CausalTransformer(n_input=2, n_hidden=8, n_output=1, dt=0.01, context=0.2, rng=0)
    >>> model(torch.zeros(3, 100, 2)).output.shape, model.memory()
    (torch.Size([3, 100, 1]), 0.2)
    """

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int,
        *,
        dt: float,
        context: float,
        n_layers: int = 2,
        n_heads: int = 4,
        dropout: float = 0.0,
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        super().__init__(
            n_input,
            n_hidden,
            n_output,
            dt=dt,
            context=context,
            n_layers=n_layers,
            dropout=dropout,
            time_unit=time_unit,
        )
        self.n_heads = check_count(n_heads, "n_heads")
        if self.n_hidden % self.n_heads:
            raise DataError(
                f"n_hidden is {self.n_hidden} and n_heads {self.n_heads}",
                "A number of heads that divides n_hidden was needed",
                f"Pass n_hidden={self.n_heads * -(-self.n_hidden // self.n_heads)}",
            )
        draw = torch.Generator().manual_seed(seed_of(check_rng(rng)))
        self.embedding = drawn(nn.Linear(self.n_input, self.n_hidden, device="meta"), 1.0, draw)
        lags = self.n_context - 1
        each = [lags * (k + 1) // n_layers - lags * k // n_layers for k in range(self.n_layers)]
        self.layers = nn.ModuleList(
            _Attention(self.n_hidden, self.n_heads, n_lags, dropout, draw) for n_lags in each
        )
        self.before_reading = nn.LayerNorm(self.n_hidden)
        self.output_weight = nn.Parameter(random_weights(self.n_output, self.n_hidden, 1.0, draw))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {**super().settings, "n_heads": self.n_heads}

    def _respond(self, frames: Tensor) -> Tensor:
        """Output at every frame with a whole context, itself included."""
        there = frames[..., -1] > 0.5
        x = self.embedding(frames[..., :-1])
        for layer in self.layers:
            x = layer(x, there)
            there = there[:, layer.n_lags :]
        return nn.functional.linear(
            self.dropout(self.before_reading(x)), self.output_weight, self.output_bias
        )
