"""Models without a compiled loop along letters, through their own equations in torch."""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurornn._core.errors import DataError, KindError
from neurornn.data.alphabets import Alphabet
from neurornn.models.base import RecurrentModel

Array = NDArray[Any]


class ModelNetwork:
    """A model of `nr.models`, or of the user's, that carries its state from block to block.

    Blocks begin at the same letters whatever the chunks: products of another size can differ in
    their last bit.

    Parameters
    ----------
    model : as it is given; a copy in evaluation mode runs.
    kind : letters of the sequences.
    fractions : ambiguous letters are shares of the bases they stand for, else zeros.
    kept : columns of the result that are asked for.
    first : column of the model's first output.
    """

    grid = 4096

    def __init__(
        self, model: RecurrentModel, kind: Alphabet, fractions: bool, kept: list[int], first: int
    ) -> None:
        check_streams(model)
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        weights = next(self.model.parameters())
        rows = sorted(
            (kept.index(first + k), k) for k in range(model.n_output) if first + k in kept
        )
        self.columns = [column for column, _ in rows]
        self._outputs = [k for _, k in rows]
        self.n_state = int(self.model.start(1).shape[1])
        self._shares = torch.tensor(
            kind.one_hot_rows(fractions)[:, : len(kind.order)].T.copy(),
            dtype=weights.dtype,
            device=weights.device,
        )
        self._state: Tensor | None = None
        self.dtype = np.dtype(str(weights.dtype).removeprefix("torch."))
        self.at_rest = np.zeros(len(rows), self.dtype)

    def begin(self, lane: int, first_code: int) -> None:
        """Go back to the state before a sequence; the model's own start, which sees its inputs."""
        self._state = None

    def advance(self, codes: Array, lanes: list[int], keep: bool) -> tuple[Array, Array]:
        """Take the one lane on by some letters."""
        outputs, states = [], []
        with torch.no_grad():
            for first in range(0, len(codes), self.grid):
                block = codes[first : first + self.grid, 0].astype(np.int64)
                out, kept = self._run(self._shares[torch.from_numpy(block)][None])
                outputs.append(out[0][:, self._outputs].cpu().numpy()[:, None])
                if keep:
                    states.append(kept[0].cpu().numpy()[:, None])
        none = np.empty((0, 1, self.n_state), self.dtype)
        return np.concatenate(outputs), np.concatenate(states) if keep else none

    def _run(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        model = self.model
        state = model.start_from(inputs) if self._state is None else self._state
        if type(model).forward is RecurrentModel.forward:
            states, self._state = model.scan(inputs, state)
            return model.read(states, inputs), states
        # A model with a way of its own to run many steps; its last state is one to go on from.
        output, states = model(inputs, state)
        self._state = states[:, -1].clone()
        return output, states


def check_model(model: Any) -> None:
    """Refuse what is no model."""
    if not isinstance(model, RecurrentModel):
        raise KindError(
            f"model is of {type(model).__module__}.{type(model).__qualname__}",
            "A model of nr.models, a fit of one, or StreamWeights was needed",
            "A layer of torch becomes one by nr.models.from_torch(layer, output, dt=1.0, "
            'time_unit="bp")',
        )


def check_streams(model: RecurrentModel) -> None:
    """Refuse models that cannot run piece by piece."""
    name = type(model).__name__
    if model.observes_targets:
        raise DataError(
            f"A {name} came, which is corrected by the targets that it observes",
            "A model that runs on letters alone was needed",
            "Use for example nr.models.LSTM",
        )
    if model.looks_ahead:
        raise DataError(
            f"A {name} came, whose outputs depend on later letters in a way of its own",
            "A model that runs one way, a bidirectional GRU or LSTM of one layer, or a "
            "ReverseComplementTied was needed",
            "Stream two models that run one way: bidirectional=True",
        )
