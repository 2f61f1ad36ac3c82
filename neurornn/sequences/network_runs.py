"""One network that goes along letters, as plain arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

#: Cells with a compiled loop -> the gates that their weights are stacked of.
GATES = {"lstm": 4, "gru": 3, "leaky": 1}


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkRun:
    """One network that goes along the letters once, in one direction, on one strand.

    Parameters
    ----------
    cell : ``"lstm"``, ``"gru"`` or ``"leaky"``.
    arrays : name -> weights, stacked as torch stacks them
        ``input_weight (gates x hidden, input)`` and ``weights_0 (gates x hidden, hidden)`` with
        ``input_bias_0`` and ``bias_0``; of the layers above ``between_k``, ``weights_k`` and
        their biases; ``output_weight (output, hidden)`` and ``output_bias``. A leaky network has
        ``bias``, ``alpha``, ``start`` and ``start_weight (hidden, input)``.
    columns : (output,), the column of the result that each output goes to; outputs of several
        runs in one column are added.
    backward : from the last letter to the first.
    complement : of every letter its complement.
    settings : ``nonlinearity``, ``form`` and ``substeps`` of a leaky network.
    """

    cell: str
    arrays: Arrays
    columns: tuple[int, ...]
    backward: bool = False
    complement: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """Layers, one on top of the other."""
        return sum(name.startswith("weights_") for name in self.arrays) or 1

    @property
    def n_hidden(self) -> int:
        """Units of a layer."""
        return len(self.arrays["input_weight"]) // GATES[self.cell]

    @property
    def n_state(self) -> int:
        """Numbers that are carried from letter to letter."""
        return self.n_layers * self.n_hidden * (2 if self.cell == "lstm" else 1)
