"""Recurrent networks along letters, the state carried on: the loops behind `sequences.stream`.

The input is one letter per step, so what it sends to the gates is a row of a table and no product.
Several lanes (contigs, strands) go through together and share every weight that is loaded; each is
summed in the same order as by itself, so that no bit of it depends on its neighbours or on where
a piece begins. What numba keeps on disk is dated by this file alone: after a change to the
functions or products that are compiled into these loops, save this file too.
"""

import numpy as np
from numba import njit

from neurornn._kernels.recurrent_functions import FUNCTIONS, function_row
from neurornn._kernels.recurrent_product import (
    GROUPS_OF,
    LANES,
    ROWS,
    _tile,
    add_product,
    add_row_product,
)

_TANH, _SIGMOID = FUNCTIONS["tanh"], FUNCTIONS["sigmoid"]
#: Steps whose states lie in memory at a time: few, so that they stay in the second cache.
BLOCK_STEPS = 64
_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def tile_columns(dtype: np.dtype) -> int:
    """Columns of a tile of `add_product` in this precision."""
    return LANES * GROUPS_OF[8 * dtype.itemsize]


def tiled(weights: np.ndarray) -> np.ndarray:
    """Lay (row, column) out tile by tile, each of them contiguous: (row * column,).

    A step reads all weights once. In this order they come as one stream, which the processor
    fetches ahead.
    """
    wide = 2 * tile_columns(weights.dtype)
    parts = [weights[:, j : j + wide].reshape(-1) for j in range(0, weights.shape[1], wide)]
    return np.concatenate(parts) if parts else np.empty(0, weights.dtype)


_pair_whole, _pair_one = _tile(2, 1), _tile(2, 0)


@njit(**_LOOPS)
def add_pair_product(a, b, out, columns):
    """Add ``a @ b`` to out where there are two rows, as `add_product` does, to the last bit.

    Parameters
    ----------
    a : (2, summed). b : (summed, column), out : (2, column), rows as for `add_product`.
    columns : of a tile.
    """
    j = 0
    while j < out.shape[1]:
        if j + columns <= out.shape[1]:
            _pair_whole(a, b, out, 0, j)
            j += columns
        else:
            _pair_one(a, b, out, 0, j)
            j += LANES


@njit(**_LOOPS)
def add_tiles(a, flat, out, columns, backward):
    """Add ``a @ weights`` to out, weights laid out by `tiled`.

    Parameters
    ----------
    a : (lane, row). flat : (row * column,). out : (lane, column)
    columns : of a tile of `add_product`.
    backward : take the tiles from the last to the first
        Turned about in every other step, what was read last is read first and is still in the
        first cache. No entry is summed otherwise.
    """
    n_rows, n_columns, wide = a.shape[1], out.shape[1], 2 * columns
    n_tiles = (n_columns + wide - 1) // wide
    for k in range(n_tiles):
        first = (n_tiles - 1 - k if backward else k) * wide
        width = min(wide, n_columns - first)
        tile = flat[first * n_rows : (first + width) * n_rows].reshape(n_rows, width)
        sums = out[:, first : first + width]
        whole = len(a) // ROWS * ROWS
        if whole > 0:
            add_product(a[:whole], tile, sums[:whole], columns)
        if len(a) - whole >= 2:
            add_pair_product(a[whole : whole + 2], tile, sums[whole : whole + 2], columns)
            whole += 2
        if len(a) > whole:
            add_row_product(a[whole:], tile, sums[whole:], columns)


@njit(**_LOOPS)
def set_outside(codes, table, fed, t, total):
    """Begin a step: what comes from outside, of the letter of each lane or from the layer below.

    Parameters
    ----------
    codes : (lane,), of this step. table : (code, column)
    fed : (row, column), of which the lanes of step t are taken; empty in the first layer.
    total : (lane, column); replaced.
    """
    for b in range(len(codes)):
        row, into = table[codes[b]], total[b]
        if len(fed) > 0:
            row = fed[t * len(codes) + b]
        for j in range(len(into)):
            into[j] = row[j]


@njit(**_LOOPS)
def feed_above(seen, between, bias, fed, columns):
    """Fill what a layer sends to the gates of the next in some steps.

    Parameters
    ----------
    seen : (row, unit). between : (unit, column). bias : (column,). fed : (row, column); replaced.
    """
    for i in range(len(fed)):
        row = fed[i]
        for j in range(len(bias)):
            row[j] = bias[j]
    add_product(seen, between, fed, columns)


@njit(**_LOOPS)
def read_out(seen, read, bias, wide, out, first, columns):
    """Read the outputs of some steps from the top layer.

    Parameters
    ----------
    seen : (row, unit), rows the lanes of a step after those of the step before.
    read : (unit, column), bias : (column,), filled up to whole groups of lanes.
    wide : (row, column), scratch.
    out : (step, lane, output), filled from step `first` on.
    """
    n_lanes, n_outputs = out.shape[1], out.shape[2]
    feed_above(seen, read, bias, wide, columns)
    for i in range(len(seen)):
        row, into = wide[i], out[first + i // n_lanes, i % n_lanes]
        for j in range(n_outputs):
            into[j] = row[j]


@njit(**_LOOPS)
def keep_units(units, kept, first):
    """Copy the units of one lane to their place among the states that are kept."""
    for j in range(len(units)):
        kept[first + j] = units[j]


@njit(**_LOOPS)
def lstm_gates(total, gates, hidden, cell):
    """Take one lane on by a step.

    Parameters
    ----------
    total : (4 * unit,), what the gates i, f, o and g are functions of, side by side.
    gates : (4 * unit,), scratch. hidden, cell : (unit,); replaced.
    """
    n = len(cell)
    # Into other memory than it is read from, or the loop would not run in vectors.
    function_row(_SIGMOID, total[: 3 * n], gates[: 3 * n])
    function_row(_TANH, total[3 * n :], gates[3 * n :])
    i, f, o, g = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    for j in range(n):
        cell[j] = f[j] * cell[j] + i[j] * g[j]
    function_row(_TANH, cell, g)
    for j in range(n):
        hidden[j] = o[j] * g[j]


@njit(**_LOOPS)
def gru_gates(total, inside, gates, hidden):
    """Take one lane on by a step.

    Parameters
    ----------
    total : (3 * unit,), of the gates r and z all that they are functions of; of n what comes from
        outside.
    inside : (unit,), of n what is multiplied by r.
    gates : (3 * unit,), scratch. hidden : (unit,); replaced.
    """
    n = len(hidden)
    function_row(_SIGMOID, total[: 2 * n], gates[: 2 * n])
    r, z, new = gates[:n], gates[n : 2 * n], gates[2 * n :]
    towards = total[2 * n :]
    for j in range(n):
        towards[j] += r[j] * inside[j]
    function_row(_TANH, towards, new)
    for j in range(n):
        hidden[j] = new[j] + z[j] * (hidden[j] - new[j])


@njit(**_LOOPS)
def stream_lstm(
    codes, table, between, bias, across, read, read_bias, hidden, cell, out, kept, n_units, columns
):
    """Run long short-term memory along letters; gates i, f, o, g side by side.

    Parameters
    ----------
    codes : (step, lane), uint8.
    table : (code, 4 * unit), what a letter sends to the gates of the first layer, biases included.
    between : (layer - 1, unit, 4 * unit), bias : (layer - 1, 4 * unit), of the layers above.
    across : (layer, unit * 4 * unit), recurrent weights, each laid out by `tiled`.
    read, read_bias : as for `read_out`.
    hidden, cell : (layer, lane, unit); replaced.
    out : (step, lane, output); replaced.
    kept : (step, lane, state), hidden of all layers, then cells; or empty.
    n_units : units without those that fill the last group up.
    columns : of a tile of `add_product`.
    """
    n_steps, n_lanes = codes.shape
    n_layers, _, n = hidden.shape
    steps = min(BLOCK_STEPS, n_steps)
    seen = np.empty((steps * n_lanes, n), table.dtype)
    fed = np.empty((steps * n_lanes if n_layers > 1 else 0, 4 * n), table.dtype)
    wide = np.empty((steps * n_lanes, read.shape[1]), table.dtype)
    total, gates = np.empty((n_lanes, 4 * n), table.dtype), np.empty(4 * n, table.dtype)
    for first in range(0, n_steps, BLOCK_STEPS):
        n_here = min(BLOCK_STEPS, n_steps - first)
        rows = n_here * n_lanes
        for layer in range(n_layers):
            below = fed[:rows] if layer > 0 else fed[:0]
            if layer > 0:
                feed_above(seen[:rows], between[layer - 1], bias[layer - 1], below, columns)
            h, c = hidden[layer], cell[layer]
            for t in range(n_here):
                set_outside(codes[first + t], table, below, t, total)
                add_tiles(h, across[layer], total, columns, t % 2 == 1)
                for b in range(n_lanes):
                    lstm_gates(total[b], gates, h[b], c[b])
                    row = seen[t * n_lanes + b]
                    for j in range(n):
                        row[j] = h[b, j]
                if len(kept) > 0:
                    for b in range(n_lanes):
                        keep_units(h[b, :n_units], kept[first + t, b], layer * n_units)
                        place = (n_layers + layer) * n_units
                        keep_units(c[b, :n_units], kept[first + t, b], place)
        read_out(seen[:rows], read, read_bias, wide[:rows], out, first, columns)


@njit(**_LOOPS)
def stream_gru(
    codes, table, between, bias, inner_bias, across, read, read_bias, hidden, out, kept, n_units,
    columns,
):  # fmt: skip
    """Run gated recurrent units along letters; gates r, z, n side by side.

    Parameters
    ----------
    inner_bias : (layer, unit), of n inside the product with r.
    codes, table, between, bias, across, read, read_bias, hidden, out, kept, n_units, columns
        As for `stream_lstm`, with three gates.
    """
    n_steps, n_lanes = codes.shape
    n_layers, _, n = hidden.shape
    steps = min(BLOCK_STEPS, n_steps)
    seen = np.empty((steps * n_lanes, n), table.dtype)
    fed = np.empty((steps * n_lanes if n_layers > 1 else 0, 3 * n), table.dtype)
    wide = np.empty((steps * n_lanes, read.shape[1]), table.dtype)
    total, gates = np.empty((n_lanes, 3 * n), table.dtype), np.empty(3 * n, table.dtype)
    outside = np.empty((n_lanes, 3 * n), table.dtype)
    for first in range(0, n_steps, BLOCK_STEPS):
        n_here = min(BLOCK_STEPS, n_steps - first)
        rows = n_here * n_lanes
        for layer in range(n_layers):
            below = fed[:rows] if layer > 0 else fed[:0]
            if layer > 0:
                feed_above(seen[:rows], between[layer - 1], bias[layer - 1], below, columns)
            h, inner = hidden[layer], inner_bias[layer]
            for t in range(n_here):
                set_outside(codes[first + t], table, below, t, outside)
                for b in range(n_lanes):
                    sums, given = total[b], outside[b]
                    for j in range(2 * n):
                        sums[j] = given[j]
                    for j in range(n):
                        sums[2 * n + j] = inner[j]
                add_tiles(h, across[layer], total, columns, t % 2 == 1)
                for b in range(n_lanes):
                    sums, given = total[b], outside[b]
                    for j in range(2 * n):
                        given[j] = sums[j]
                    gru_gates(given, sums[2 * n :], gates, h[b])
                    row = seen[t * n_lanes + b]
                    for j in range(n):
                        row[j] = h[b, j]
                if len(kept) > 0:
                    for b in range(n_lanes):
                        keep_units(h[b, :n_units], kept[first + t, b], layer * n_units)
        read_out(seen[:rows], read, read_bias, wide[:rows], out, first, columns)


@njit(**_LOOPS)
def stream_leaky(
    codes, table, across, alpha, kind, current, shows_states, n_substeps, read, read_bias, hidden,
    out, kept, n_units, columns,
):  # fmt: skip
    """Run a leaky network along letters, as `recurrent_loops.run_forward` runs it.

    Parameters
    ----------
    across : (unit * unit,), laid out by `tiled`; empty where units do not see each other.
    alpha : (unit,), share of the state that is replaced in a step of the equation.
    kind : number of the nonlinearity. current : the current form, else the rate form.
    shows_states : in the current form read from the states, not from f of them.
    n_substeps : steps of the equation in one of the letters.
    hidden : (lane, unit); replaced.
    codes, table, read, read_bias, out, kept, n_units, columns
        As for `stream_lstm`, with one column for each unit.
    """
    n_steps, n_lanes = codes.shape
    n = hidden.shape[1]
    steps = min(BLOCK_STEPS, n_steps)
    seen = np.empty((steps * n_lanes, n), table.dtype)
    wide = np.empty((steps * n_lanes, read.shape[1]), table.dtype)
    total, value = np.empty((n_lanes, n), table.dtype), np.empty((n_lanes, n), table.dtype)
    fed, keep = np.empty((0, n), table.dtype), (1 - alpha).astype(table.dtype)
    for first in range(0, n_steps, BLOCK_STEPS):
        n_here = min(BLOCK_STEPS, n_steps - first)
        for t in range(n_here):
            for step in range(n_substeps):
                set_outside(codes[first + t], table, fed, t, total)
                if current:
                    for b in range(n_lanes):
                        function_row(kind, hidden[b], value[b])
                if len(across) > 0:
                    add_tiles(value if current else hidden, across, total, columns, step % 2 == 1)
                for b in range(n_lanes):
                    h, towards = hidden[b], value[b]
                    if current:
                        towards = total[b]
                    else:
                        function_row(kind, total[b], towards)
                    for j in range(n):
                        h[j] = keep[j] * h[j] + alpha[j] * towards[j]
            for b in range(n_lanes):
                row, h = seen[t * n_lanes + b], hidden[b]
                if current and not shows_states:
                    function_row(kind, h, row)
                else:
                    for j in range(n):
                        row[j] = h[j]
                if len(kept) > 0:
                    keep_units(h[:n_units], kept[first + t, b], 0)
        rows = n_here * n_lanes
        read_out(seen[:rows], read, read_bias, wide[:rows], out, first, columns)
