"""A linear map of a finite past: the model whose best weights are known in closed form."""

from typing import Any

import torch
from torch import Tensor, nn

from neurornn._core.rng import RNG
from neurornn.models.context import FiniteContext


class LinearHistory(FiniteContext):
    """Linear map of the inputs of the last steps.

    Parameters
    ----------
    n_input, n_output : sizes.
    dt : s, length of a step.
    context : s
        How far back an output looks, its own step included; rounded down to whole steps.

    Other Parameters
    ----------------
    time_unit : ``"s"`` or ``"bp"``.
    rng : ignored: the weights start at 0.

    Attributes
    ----------
    lag_weight : (output, lag, input), the present step last.
    output_bias : (output,)

    Raises
    ------
    DataError
        Sizes that cannot be, or a context shorter than a step.

    Notes
    -----
    ``y_k = d + sum_j W_j x_{k-j}``; with the past output as input, a vector autoregression. An
    input from before the start of a trial counts as 0. `nr.fit` fits it as any model;
    `nr.compare.league` sets its weights in closed form, with a penalty chosen on validation data.

    Examples
    --------
    >>> model = LinearHistory(n_input=2, n_output=1, dt=0.01, context=0.05)
    >>> model(torch.zeros(3, 100, 2)).output.shape, model.n_context, model.lag_weight.shape
    (torch.Size([3, 100, 1]), 5, torch.Size([1, 5, 2]))
    """

    def __init__(
        self,
        n_input: int,
        n_output: int,
        *,
        dt: float,
        context: float,
        time_unit: str = "s",
        rng: RNG = 0,
    ) -> None:
        super().__init__(
            n_input, 1, n_output, dt=dt, context=context, n_layers=1, dropout=0.0,
            time_unit=time_unit,
        )  # fmt: skip
        # Nothing stands between the frames and the output, and nothing is drawn.
        self.n_hidden = 0
        del rng
        self.lag_weight = nn.Parameter(torch.zeros(self.n_output, self.n_context, self.n_input))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        left_out = ("n_hidden", "n_layers", "dropout")
        return {k: v for k, v in super().settings.items() if k not in left_out}

    def _respond(self, frames: Tensor) -> Tensor:
        """Output at every frame with a whole context, itself included."""
        x, weight = frames[..., :-1].transpose(1, 2), self.lag_weight.transpose(1, 2)
        return nn.functional.conv1d(x, weight, self.output_bias).transpose(1, 2)
