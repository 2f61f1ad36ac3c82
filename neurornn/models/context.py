"""Models with a finite past: what a window of given length explains."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from neurornn._core.checks import check_count, check_number, check_positive, check_rng
from neurornn._core.errors import DataError, ShapeError
from neurornn._core.rng import RNG, seed_of
from neurornn.models.base import (
    MOST_LAYERS,
    ModelOutput,
    RecurrentModel,
    nonlinearity_named,
    random_weights,
)
from neurornn.models.dropout import SequenceDropout

#: Steps of a context; more are a context in another unit.
MOST_STEPS = 1_000_000


class FiniteContext(RecurrentModel):
    """A model of the last `n_context` frames; its state is the frames themselves.

    A frame is an input with a 1 beside it; a frame from before the start is all 0, so that an
    input that was not there differs from an input of 0.
    """

    def __init__(
        self,
        n_input: int,
        n_hidden: int,
        n_output: int,
        *,
        dt: float,
        context: float,
        n_layers: int,
        dropout: float,
        time_unit: str,
    ) -> None:
        super().__init__(n_input, n_hidden, n_output, dt=dt, time_unit=time_unit)
        check_count(n_input, "n_input")
        check_count(n_hidden, "n_hidden")
        self.n_layers = check_count(n_layers, "n_layers", most=MOST_LAYERS)
        self.context = check_positive(context, "context", time_unit)
        check_number(self.context / self.dt, "context in steps", most=MOST_STEPS)
        # A context of three steps may come as 2.9999999 steps.
        self.n_context = int(self.context / self.dt + 1e-6)
        if self.n_context < 1:
            raise DataError(
                f"context is {self.context:g} {time_unit} and dt {self.dt:g} {time_unit}",
                "A context of at least one step was needed",
                f"Pass context={self.dt:g} or more; Memoryless sees one step alone",
            )
        self.dropout = SequenceDropout(dropout)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {
            **super().settings,
            "context": self.context,
            "n_layers": self.n_layers,
            "dropout": self.dropout.p,
        }

    @property
    def n_state(self) -> int:
        """Numbers a trial carries from step to step: the frames of the context."""
        return self.n_context * (self.n_input + 1)

    def memory(self) -> float:
        """How far back an output looks, in the time unit: whole steps within `context`."""
        return self.n_context * self.dt

    def start(self, n_trials: int) -> Tensor:
        """State before the first step, (trial, state): no frame is there yet."""
        return next(self.parameters()).new_zeros(n_trials, self.n_state)

    def _frames(self, inputs: Tensor, state: Tensor) -> Tensor:
        """Frames of the state, then of the inputs: (trial, n_context + time, input + 1)."""
        if state.shape[-1] != self.n_state:
            raise ShapeError(
                f"The state has shape {tuple(state.shape)}",
                f"Shape (trial, {self.n_state}) was needed: {self.n_context} frames of "
                f"{self.n_input} inputs and a 1",
                "Pass out.states[:, t] of an earlier run, or model.start(n_trials)",
            )
        there = torch.cat([inputs, torch.ones_like(inputs[..., :1])], 2)
        past = state.reshape(len(state), self.n_context, self.n_input + 1)
        return torch.cat([past, there], 1)

    def _states(self, frames: Tensor, n_steps: int) -> Tensor:
        """Frames to go on from after every step, (trial, time, state); a view of the frames."""
        if not n_steps:
            return frames.new_zeros(len(frames), 0, self.n_state)
        return frames.flatten(1).unfold(1, self.n_state, self.n_input + 1)[:, 1:]

    def _respond(self, frames: Tensor) -> Tensor:
        """Output (trial, time, output) at every frame with a whole context, itself included."""
        raise NotImplementedError

    def forward(self, inputs: Any, state: Tensor | None = None) -> ModelOutput:
        """Run the model over all steps at once.

        Parameters
        ----------
        inputs : (trial, time, input); tensor, array or DataArray.
        state : (trial, state)
            Frames before the first step; by default none.

        Returns
        -------
        ModelOutput with ``output (trial, time, output)`` and ``states (trial, time, state)``, the
        frames to go on from: a view that takes no memory of its own.

        Raises
        ------
        ShapeError, KindError
            Axes or sizes that do not fit.
        """
        x = self.as_inputs(inputs)
        frames = self._frames(x, self.start_from(x) if state is None else state)
        if not x.shape[1]:
            return ModelOutput(x.new_zeros(len(x), 0, self.n_output), self._states(frames, 0))
        return ModelOutput(self._respond(frames[:, 1:]), self._states(frames, x.shape[1]))

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Collect the frames to go on from after every step, and after the last."""
        states = self._states(self._frames(inputs, state), inputs.shape[1])
        return states, states[:, -1] if inputs.shape[1] else state

    def read(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Output of every step from its own frames alone; any steps, in any order.

        Where steps follow one another, calling the model is up to `n_context` times faster: it
        shares the frames between them.
        """
        windows = states.reshape(-1, self.n_context, self.n_input + 1)
        return self._respond(windows).reshape(*states.shape[:2], self.n_output)


def drawn(layer: Any, scale: float, draw: torch.Generator) -> Any:
    """Give a layer that was made without memory its weights; torch's generator stays as it is."""
    layer = layer.to_empty(device="cpu")
    with torch.no_grad():
        flat = random_weights(len(layer.weight), layer.weight[0].numel(), scale, draw)
        layer.weight.copy_(flat.reshape(layer.weight.shape))
        layer.bias.zero_()
    return layer


def _spread(n_context: int, n_layers: int) -> list[tuple[int, int]]:
    """Taps and dilation of each layer, which together reach back n_context frames, exactly.

    No frame between is left out: a dilation is never longer than what the layers below reach.
    All layers but the last have the same number of taps, chosen for the fewest in all.
    """
    best = [(n_context, 1)] + [(1, 1)] * (n_layers - 1)
    taps = 2
    while n_layers > 1 and taps ** (n_layers - 1) <= n_context:
        below = taps ** (n_layers - 1)
        left = n_context - below
        dilation = next(d for d in range(below, 0, -1) if left % d == 0)
        layers = [(taps, taps**k) for k in range(n_layers - 1)] + [
            (left // dilation + 1, dilation)
        ]
        if sum(t for t, _ in layers) < sum(t for t, _ in best):
            best = layers
        taps += 1
    return best


class CausalCNN(FiniteContext):
    """Causal convolution over time: all of the memory is a window of given length.

    Parameters
    ----------
    n_input, n_output : sizes.
    dt : s, length of a step.
    n_hidden : filters in each layer.
    context : s
        How far back an output looks, its own step included; rounded down to whole steps.
    n_layers : layers of convolution; their taps and dilations are chosen to reach back exactly
        `context` without gaps and with few weights.
    nonlinearity : ``"relu"``, ``"tanh"``, ``"softplus"``, ``"sigmoid"`` or ``"linear"``.

    Other Parameters
    ----------------
    dropout : probability of a filter to be dropped for a whole trial, see `SequenceDropout`.
    time_unit : ``"s"`` or ``"bp"``.
    rng : for the initial weights.

    Attributes
    ----------
    taps : (taps, dilation) of each layer.

    Raises
    ------
    DataError
        Sizes that cannot be, or a context shorter than a step.

    Notes
    -----
    Dilated causal convolutions in the manner of Bai, Kolter & Koltun 2018, arXiv:1803.01271. It
    has no time constants of its own, only `memory`, which is chosen and not learned. What is
    older than `context` cannot matter, what is younger may in any way. Beside each input runs a 1,
    and nothing before the start of a trial: a missing past is told from an input of 0.

    The state (trial, n_context x (n_input + 1)) holds the last frames, the oldest first.

    Examples
    --------
    >>> model = CausalCNN(n_input=2, n_output=1, dt=0.01, context=0.5, rng=0)
    >>> model(torch.zeros(3, 100, 2)).output.shape, model.memory(), model.taps
    (torch.Size([3, 100, 1]), 0.5, [(5, 1), (10, 5)])
    """

    def __init__(
        self,
        n_input: int,
        n_output: int,
        *,
        dt: float,
        n_hidden: int = 32,
        context: float = 0.5,
        n_layers: int = 2,
        nonlinearity: str = "relu",
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
        self.nonlinearity = nonlinearity
        self._f = nonlinearity_named(nonlinearity)
        draw = torch.Generator().manual_seed(seed_of(check_rng(rng)))
        self.taps = _spread(self.n_context, self.n_layers)
        sizes = [self.n_input + 1] + [self.n_hidden] * self.n_layers
        self.filters = nn.ModuleList(
            drawn(nn.Conv1d(n, m, taps, dilation=dilation, device="meta"), 1.0, draw)
            for (n, m), (taps, dilation) in zip(pairwise(sizes), self.taps, strict=True)
        )
        self.output_weight = nn.Parameter(random_weights(self.n_output, self.n_hidden, 1.0, draw))
        self.output_bias = nn.Parameter(torch.zeros(self.n_output))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal model, without its weights."""
        return {**super().settings, "nonlinearity": self.nonlinearity}

    def _respond(self, frames: Tensor) -> Tensor:
        """Output at every frame with a whole context, itself included."""
        x = frames
        for layer in self.filters:
            x = self.dropout(self._f(layer(x.transpose(1, 2)).transpose(1, 2)))
        return nn.functional.linear(x, self.output_weight, self.output_bias)
