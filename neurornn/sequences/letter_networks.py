"""Networks at work along letters: states of some lanes, taken on piece by piece."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.base_stream import (
    stream_gru,
    stream_leaky,
    stream_lstm,
    tile_columns,
    tiled,
)
from neurornn._kernels.recurrent_functions import FUNCTIONS
from neurornn._kernels.recurrent_product import padded, widened
from neurornn.data.alphabets import Alphabet
from neurornn.sequences.network_runs import GATES, NetworkRun

Array = NDArray[Any]

#: Order in which the loops take the gates of torch's i, f, g, o and r, z, n.
_ORDER = {"lstm": [0, 1, 3, 2], "gru": [0, 1, 2], "leaky": [0]}


class LetterNetwork(Protocol):
    """What `stream` asks of a network that carries a state along letters."""

    #: Pieces begin at multiples of so many letters.
    grid: int
    #: Columns of the result that its outputs go to, in order, and numbers of a state.
    columns: list[int]
    n_state: int
    #: What every output is where nothing is read, (output,).
    at_rest: Array

    def begin(self, lane: int, first_code: int) -> None:
        """Go back to the state before a sequence that begins with this letter."""

    def advance(self, codes: Array, lanes: list[int], keep: bool) -> tuple[Array, Array]:
        """Take some lanes on by some letters.

        Parameters
        ----------
        codes : (step, lane), uint8, of these lanes in this order.
        lanes : which of them.
        keep : return the states as well.

        Returns
        -------
        outputs : (step, lane, output)
        states : (step, lane, state), or of no step
        """


class CompiledNetwork:
    """A GRU, LSTM or leaky network on the compiled loops.

    Parameters
    ----------
    run : its weights.
    kind : letters of the sequences.
    fractions : ambiguous letters are shares of the bases they stand for, else zeros.
    kept : columns of the result that are asked for.
    n_lanes : sequences that go through together.
    """

    grid = 1

    def __init__(
        self, run: NetworkRun, kind: Alphabet, fractions: bool, kept: list[int], n_lanes: int
    ) -> None:
        a, n_layers, n = run.arrays, run.n_layers, run.n_hidden
        self.run, self.cell, self.n_units, self.n_state = run, run.cell, n, run.n_state
        self.dtype, width = a["input_weight"].dtype, padded(n)
        # In the order of the columns, so that they lie side by side in the result.
        rows = sorted((kept.index(c), k) for k, c in enumerate(run.columns) if c in kept)
        self.columns = [column for column, _ in rows]
        self.n_outputs = len(rows)
        outputs = [k for _, k in rows]
        self.at_rest = a["output_bias"][outputs]
        read = np.zeros((width, padded(len(rows))), self.dtype)
        read[:n, : len(rows)] = a["output_weight"][outputs].T
        shares = kind.one_hot_rows(fractions)[:, : len(kind.order)].T
        if run.complement:
            shares = shares[complements(kind)]
        self._starts = np.zeros((len(shares), n), self.dtype)
        self._starts += a.get("start", 0)
        if "start_weight" in a:
            self._starts += (shares @ a["start_weight"].T.astype(float)).astype(self.dtype)
        self.hidden = np.zeros((n_layers, n_lanes, width), self.dtype)
        self.cells = np.zeros_like(self.hidden)
        bias, inner = self._biases()
        drive = shares @ a["input_weight"].T.astype(float) + bias[0]
        self._before: tuple[Any, ...] = (self._by_gate(drive.astype(self.dtype)),)
        self._after: tuple[Any, ...] = (read, widened(self.at_rest[None])[0])
        if run.cell != "leaky":
            across = [self._square(a[f"weights_{k}"]) for k in range(n_layers)]
            above = [self._square(a[f"between_{k}"]) for k in range(1, n_layers)]
            gates = GATES[run.cell] * width
            between = np.array(above).reshape(-1, width, gates).astype(self.dtype)
            above_bias = self._by_gate(bias[1:].astype(self.dtype))
            self._before += (between, above_bias)
            if run.cell == "gru":
                self._before += (inner,)
            self._before += (np.stack([tiled(w) for w in across]),)
            return
        alpha, settings = widened(a["alpha"][None])[0], run.settings
        flat = np.empty(0, self.dtype)
        if "weights_0" in a:
            flat = tiled(self._square(a["weights_0"]))
        kind_number = FUNCTIONS[settings["nonlinearity"]]
        current, shown = settings["form"] == "current", bool(settings["shows_states"])
        self._before += (flat, alpha, kind_number, current, shown, int(settings["substeps"]))

    def _biases(self) -> tuple[Array, Array]:
        """Biases of every layer that come with its inputs, (layer, gates x hidden), in float64.

        And those of the gate n of a GRU that stand inside its product with r, (layer, width).
        """
        a, n = self.run.arrays, self.n_units
        if self.cell == "leaky":
            return a["bias"].astype(float)[None], np.empty(0, self.dtype)
        layers = range(self.run.n_layers)
        outside = np.stack([a[f"input_bias_{k}"] for k in layers]).astype(float)
        inside = np.stack([a[f"bias_{k}"] for k in layers]).astype(float)
        if self.cell == "lstm":
            return outside + inside, np.empty(0, self.dtype)
        outside[:, : 2 * n] += inside[:, : 2 * n]
        return outside, widened(inside[:, 2 * n :].astype(self.dtype))

    def _by_gate(self, x: Array) -> Array:
        """Lay (row, gates x hidden) out as (row, gates x width), in the order of the loops."""
        parts = x.reshape(len(x), GATES[self.cell], self.n_units)[:, _ORDER[self.cell]]
        out = np.zeros((*parts.shape[:2], padded(self.n_units)), x.dtype)
        out[:, :, : self.n_units] = parts
        return out.reshape(len(x), out.shape[1] * out.shape[2])

    def _square(self, weights: Array) -> Array:
        """Lay (gates x hidden, hidden_) out as (width, gates x width)."""
        out = np.zeros((padded(self.n_units), GATES[self.cell] * padded(self.n_units)), self.dtype)
        out[: self.n_units] = self._by_gate(np.ascontiguousarray(weights.T))
        return out

    def begin(self, lane: int, first_code: int) -> None:
        """Go back to the state before a sequence that begins with this letter."""
        self.hidden[:, lane] = self.cells[:, lane] = 0
        self.hidden[0, lane, : self.n_units] = self._starts[first_code]

    def advance(self, codes: Array, lanes: list[int], keep: bool) -> tuple[Array, Array]:
        """Take some lanes on by some letters."""
        n_steps, n_lanes = codes.shape
        out = np.empty((n_steps, n_lanes, self.n_outputs), self.dtype)
        kept = np.empty((n_steps if keep else 0, n_lanes, self.n_state), self.dtype)
        hidden = np.ascontiguousarray(self.hidden[:, lanes])
        cells = np.ascontiguousarray(self.cells[:, lanes])
        last = (out, kept, self.n_units, tile_columns(self.dtype))
        codes = np.require(codes, requirements=["C", "W"])
        if self.cell == "lstm":
            stream_lstm(codes, *self._before, *self._after, hidden, cells, *last)
            self.cells[:, lanes] = cells
        elif self.cell == "gru":
            stream_gru(codes, *self._before, *self._after, hidden, *last)
        else:
            stream_leaky(codes, *self._before, *self._after, hidden[0], *last)
        self.hidden[:, lanes] = hidden
        return out, kept


def complements(kind: Alphabet) -> NDArray[np.intp]:
    """Code of the complement of every letter of an alphabet, (code,)."""
    table = kind.complement
    assert table is not None
    return np.array([kind.lookup[table[ord(letter)]] for letter in kind.order], dtype=np.intp)
