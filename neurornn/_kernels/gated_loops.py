"""The compiled loops over time behind `gated`: one forward, one backward.

Units are filled up with zeros to whole groups of lanes, and every gate of a step lies in one
piece, so that loops over units run over all trials without a rest. What numba keeps on disk is
dated by this file alone: after a change to the functions or products that are compiled into these
loops, save this file too.
"""

import numpy as np
from numba import njit

from neurornn._kernels.recurrent_functions import FUNCTIONS, function_row
from neurornn._kernels.recurrent_product import add_product

TANH, SIGMOID = FUNCTIONS["tanh"], FUNCTIONS["sigmoid"]
#: Numbers that loops over units take in one go: all that they touch stays in the first cache.
BLOCK = 512


@njit(cache=True, nogil=True)
def gather(rows, by_step, by_trial, first, stop, n_trials, out):
    """Copy the rows of some steps one below the other, trials of a step side by side."""
    k = 0
    for t in range(first, stop):
        for b in range(n_trials):
            row, copy = rows[t * by_step + b * by_trial], out[k]
            for j in range(len(row)):
                copy[j] = row[j]
            k += 1


@njit(cache=True, nogil=True)
def add_column_sums(x, out):
    """Add the sum of each column of x to out."""
    for i in range(len(x)):
        row = x[i]
        for j in range(len(out)):
            out[j] += row[j]


@njit(cache=True, nogil=True)
def feed(inputs, by_step, by_trial, input_across, bias, first, stop, gathered, fed, columns):
    """Fill what comes from outside to every gate in some steps, (gate, row, hidden)."""
    n_rows = len(gathered)
    gather(inputs, by_step, by_trial, first, stop, n_rows // (stop - first), gathered)
    for gate in range(len(input_across)):
        for i in range(n_rows):
            fed[gate, i] = bias[gate]
        add_product(gathered, input_across[gate], fed[gate, :n_rows], columns)


@njit(cache=True, nogil=True)
def add_arrived(grad, by_step, by_trial, t, carried):
    """Add the gradient that arrives at step t, a row for each trial; nothing where it is empty."""
    if len(grad) > 0:
        for b in range(len(carried)):
            arrived, total = grad[t * by_step + b * by_trial], carried[b]
            for j in range(len(arrived)):
                total[j] += arrived[j]


@njit(cache=True, nogil=True)
def add_chunk(
    inputs, by_step, by_trial, first, stop, seen, delta, inside, input_weight, fed, outside,
    by_inputs, by_input_weight, by_weights, by_bias, columns,
):  # fmt: skip
    """Add the share that some steps have in the gradients of weights; set that of their inputs.

    Each chunk is summed by itself, which keeps the rounding of long sums small.

    Parameters
    ----------
    seen : (row, hidden), states before each step.
    delta : (what, row, hidden)
        Gradients of what gates are functions of: ``delta[gate]`` from the side of the inputs and
        ``delta[inside[gate]]`` from the side of the state.
    """
    n_rows = len(seen)
    if len(by_weights) > 0:
        part = np.zeros_like(by_weights)
        for gate in range(len(part)):
            add_product(seen.T, delta[inside[gate], :n_rows], part[gate], columns)
        by_weights += part
    if len(by_input_weight) > 0:
        input_part = np.zeros_like(by_input_weight)
        gather(inputs, by_step, by_trial, first, stop, n_rows // (stop - first), fed)
        for gate in range(len(input_part)):
            add_product(fed[:n_rows].T, delta[gate, :n_rows], input_part[gate], columns)
        by_input_weight += input_part
    if len(by_bias) > 0:
        bias_part = np.zeros_like(by_bias)
        for k in range(len(bias_part)):
            add_column_sums(delta[k, :n_rows], bias_part[k])
        by_bias += bias_part
    if len(by_inputs) > 0:
        outside[:n_rows] = 0
        for gate in range(len(input_weight)):
            add_product(delta[gate, :n_rows], input_weight[gate], outside[:n_rows], columns)
        n_trials = n_rows // (stop - first)
        for t in range(first, stop):
            for b in range(n_trials):
                row = by_inputs[t * by_step + b * by_trial]
                given = outside[(t - first) * n_trials + b]
                for j in range(len(row)):
                    row[j] = given[j]


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def run_gru(inputs, by_step, by_trial, input_across, across, bias, states, kept, chunk, columns):
    """Fill states and kept; where kept holds one step only, every step overwrites it.

    Parameters
    ----------
    inputs : (row, input)
        That of step t and trial b is row ``t * by_step + b * by_trial``.
    input_across : (gate, input, hidden), across : (gate, hidden_, hidden)
        Transposed weights of the gates r, z and n.
    bias : (gate + 1, hidden)
        Of r, of z, of n outside and inside the product with r.
    states : (time + 1, trial, hidden)
    kept : (time, 4, trial, hidden)
        r, z, n and what r multiplies.
    """
    n_steps, n_trials, n_hidden = len(states) - 1, states.shape[1], states.shape[2]
    size = n_trials * n_hidden
    gathered = np.empty((chunk * n_trials, inputs.shape[1]), states.dtype)
    fed = np.empty((3, chunk * n_trials, n_hidden), states.dtype)
    flat_states, flat_kept = states.reshape(n_steps + 1, size), kept.reshape(len(kept), 4, size)
    flat_fed = fed.reshape(3, chunk * size)
    for first in range(0, n_steps, chunk):
        stop = min(first + chunk, n_steps)
        rows = gathered[: (stop - first) * n_trials]
        feed(inputs, by_step, by_trial, input_across, bias, first, stop, rows, fed, columns)
        for t in range(first, stop):
            where = t if len(kept) > 1 else 0
            begin = (t - first) * n_trials
            inside = kept[where, 3]
            for b in range(n_trials):
                inside[b] = bias[3]
            for gate in range(2):
                total = fed[gate, begin : begin + n_trials]
                add_product(states[t], across[gate], total, columns)
            add_product(states[t], across[2], inside, columns)
            shift = (t - first) * size
            for low in range(0, size, BLOCK):
                high = min(low + BLOCK, size)
                before, after = flat_states[t, low:high], flat_states[t + 1, low:high]
                r, z = flat_kept[where, 0, low:high], flat_kept[where, 1, low:high]
                n, pushed = flat_kept[where, 2, low:high], flat_kept[where, 3, low:high]
                total = flat_fed[2, shift + low : shift + high]
                function_row(SIGMOID, flat_fed[0, shift + low : shift + high], r)
                function_row(SIGMOID, flat_fed[1, shift + low : shift + high], z)
                for j in range(high - low):
                    total[j] += r[j] * pushed[j]
                function_row(TANH, total, n)
                for j in range(high - low):
                    after[j] = n[j] + z[j] * (before[j] - n[j])


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def run_gru_back(
    grad, grad_by_step, grad_by_trial, inputs, by_step, by_trial, input_weight, weights, states,
    kept, by_inputs, by_input_weight, by_weights, by_bias, carried, chunk, columns,
):  # fmt: skip
    """Fill the gradients backward in time; empty arrays stand for those not wanted.

    Parameters
    ----------
    grad : (row, hidden), inputs, by_inputs : (row, input)
        Rows as in `run_gru`.
    input_weight : (gate, hidden, input), weights : (gate, hidden, hidden_)
    states, kept : as filled by `run_gru`.
    by_input_weight : (gate, input, hidden), by_weights : (gate, hidden_, hidden)
    by_bias : (gate + 1, hidden)
    carried : (trial, hidden), zeros, then the gradient of the state before the first step.
    """
    n_steps, n_trials, n_hidden = len(kept), kept.shape[2], kept.shape[3]
    size = n_trials * n_hidden
    delta = np.empty((4, chunk * n_trials, n_hidden), kept.dtype)
    fed = np.empty((chunk * n_trials, inputs.shape[1]), kept.dtype)
    outside = np.empty((chunk * n_trials, input_weight.shape[2]), kept.dtype)
    # Of their precision: a bare 1 would send the loops over units through double precision.
    one = kept.dtype.type(1)
    flat_states, flat_kept = states.reshape(n_steps + 1, size), kept.reshape(n_steps, 4, size)
    flat_delta, flat_carried = delta.reshape(4, chunk * size), carried.reshape(size)
    stop = n_steps
    while stop > 0:
        first = max(0, stop - chunk)
        for t in range(stop - 1, first - 1, -1):
            add_arrived(grad, grad_by_step, grad_by_trial, t, carried)
            shift = (t - first) * size
            for low in range(0, size, BLOCK):
                high = min(low + BLOCK, size)
                total, before = flat_carried[low:high], flat_states[t, low:high]
                r, z = flat_kept[t, 0, low:high], flat_kept[t, 1, low:high]
                n, pushed = flat_kept[t, 2, low:high], flat_kept[t, 3, low:high]
                by_r = flat_delta[0, shift + low : shift + high]
                by_z = flat_delta[1, shift + low : shift + high]
                by_n = flat_delta[2, shift + low : shift + high]
                by_pushed = flat_delta[3, shift + low : shift + high]
                # One result to a loop: more would be too many to become vector instructions.
                for j in range(high - low):
                    by_n[j] = total[j] * (one - z[j]) * (one - n[j] * n[j])
                for j in range(high - low):
                    by_z[j] = total[j] * (before[j] - n[j]) * z[j] * (one - z[j])
                for j in range(high - low):
                    by_pushed[j] = by_n[j] * r[j]
                for j in range(high - low):
                    by_r[j] = by_pushed[j] * pushed[j] * (one - r[j])
                for j in range(high - low):
                    total[j] *= z[j]
            begin = (t - first) * n_trials
            here = delta[:, begin : begin + n_trials]
            add_product(here[0], weights[0], carried, columns)
            add_product(here[1], weights[1], carried, columns)
            add_product(here[3], weights[2], carried, columns)
        n_rows = (stop - first) * n_trials
        seen = states[first:stop].reshape(n_rows, n_hidden)
        add_chunk(
            inputs, by_step, by_trial, first, stop, seen, delta, (0, 1, 3), input_weight, fed,
            outside, by_inputs, by_input_weight, by_weights, by_bias, columns,
        )  # fmt: skip
        stop = first


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def run_lstm(
    inputs, by_step, by_trial, input_across, across, bias, states, cells, kept, chunk, columns
):  # fmt: skip
    """Fill states, cells and kept; where kept holds one step only, every step overwrites it.

    Parameters
    ----------
    inputs, input_across, across, states : as in `run_gru`; gates i, f, g and o.
    bias : (gate, hidden)
    cells : (time + 1, trial, hidden)
    kept : (time, 4, trial, hidden)
        The gates.
    """
    n_steps, n_trials, n_hidden = len(states) - 1, states.shape[1], states.shape[2]
    size = n_trials * n_hidden
    gathered = np.empty((chunk * n_trials, inputs.shape[1]), states.dtype)
    fed = np.empty((4, chunk * n_trials, n_hidden), states.dtype)
    shown = np.empty(BLOCK, states.dtype)
    flat_states, flat_cells = states.reshape(n_steps + 1, size), cells.reshape(n_steps + 1, size)
    flat_kept, flat_fed = kept.reshape(len(kept), 4, size), fed.reshape(4, chunk * size)
    for first in range(0, n_steps, chunk):
        stop = min(first + chunk, n_steps)
        rows = gathered[: (stop - first) * n_trials]
        feed(inputs, by_step, by_trial, input_across, bias, first, stop, rows, fed, columns)
        for t in range(first, stop):
            where = t if len(kept) > 1 else 0
            begin, shift = (t - first) * n_trials, (t - first) * size
            for gate in range(4):
                total = fed[gate, begin : begin + n_trials]
                add_product(states[t], across[gate], total, columns)
            for low in range(0, size, BLOCK):
                high = min(low + BLOCK, size)
                for gate in range(4):
                    function_row(
                        TANH if gate == 2 else SIGMOID,
                        flat_fed[gate, shift + low : shift + high],
                        flat_kept[where, gate, low:high],
                    )
                i, f = flat_kept[where, 0, low:high], flat_kept[where, 1, low:high]
                g, o = flat_kept[where, 2, low:high], flat_kept[where, 3, low:high]
                before, cell = flat_cells[t, low:high], flat_cells[t + 1, low:high]
                after, seen = flat_states[t + 1, low:high], shown[: high - low]
                for j in range(high - low):
                    cell[j] = f[j] * before[j] + i[j] * g[j]
                function_row(TANH, cell, seen)
                for j in range(high - low):
                    after[j] = o[j] * seen[j]


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def run_lstm_back(
    grad, grad_by_step, grad_by_trial, cell_grad, cell_by_step, cell_by_trial, inputs, by_step,
    by_trial, input_weight, weights, states, cells, kept, by_inputs, by_input_weight, by_weights,
    by_bias, carried, cell_carried, chunk, columns,
):  # fmt: skip
    """Fill the gradients backward in time; empty arrays stand for those not wanted.

    Parameters
    ----------
    grad, cell_grad : (row, hidden)
        With respect to states and cells; either may be empty.
    inputs, by_inputs, input_weight, weights, by_input_weight, by_weights : as in `run_gru_back`.
    states, cells, kept : as filled by `run_lstm`.
    by_bias : (gate, hidden)
    carried, cell_carried : (trial, hidden)
        Zeros, then the gradients of what comes before the first step.
    """
    n_steps, n_trials, n_hidden = len(kept), kept.shape[2], kept.shape[3]
    size = n_trials * n_hidden
    delta = np.empty((4, chunk * n_trials, n_hidden), kept.dtype)
    fed = np.empty((chunk * n_trials, inputs.shape[1]), kept.dtype)
    outside = np.empty((chunk * n_trials, input_weight.shape[2]), kept.dtype)
    shown = np.empty(BLOCK, kept.dtype)
    one = kept.dtype.type(1)
    flat_cells, flat_kept = cells.reshape(n_steps + 1, size), kept.reshape(n_steps, 4, size)
    flat_delta = delta.reshape(4, chunk * size)
    flat_carried, flat_cell_carried = carried.reshape(size), cell_carried.reshape(size)
    stop = n_steps
    while stop > 0:
        first = max(0, stop - chunk)
        for t in range(stop - 1, first - 1, -1):
            add_arrived(grad, grad_by_step, grad_by_trial, t, carried)
            add_arrived(cell_grad, cell_by_step, cell_by_trial, t, cell_carried)
            shift = (t - first) * size
            for low in range(0, size, BLOCK):
                high = min(low + BLOCK, size)
                total, by_cell = flat_carried[low:high], flat_cell_carried[low:high]
                before, seen = flat_cells[t, low:high], shown[: high - low]
                i, f = flat_kept[t, 0, low:high], flat_kept[t, 1, low:high]
                g, o = flat_kept[t, 2, low:high], flat_kept[t, 3, low:high]
                by_i = flat_delta[0, shift + low : shift + high]
                by_f = flat_delta[1, shift + low : shift + high]
                by_g = flat_delta[2, shift + low : shift + high]
                by_o = flat_delta[3, shift + low : shift + high]
                function_row(TANH, flat_cells[t + 1, low:high], seen)
                for j in range(high - low):
                    by_o[j] = total[j] * seen[j] * o[j] * (one - o[j])
                for j in range(high - low):
                    by_cell[j] += total[j] * o[j] * (one - seen[j] * seen[j])
                for j in range(high - low):
                    by_i[j] = by_cell[j] * g[j] * i[j] * (one - i[j])
                for j in range(high - low):
                    by_f[j] = by_cell[j] * before[j] * f[j] * (one - f[j])
                for j in range(high - low):
                    by_g[j] = by_cell[j] * i[j] * (one - g[j] * g[j])
                for j in range(high - low):
                    by_cell[j] *= f[j]
            begin = (t - first) * n_trials
            carried[:] = 0
            for gate in range(4):
                sent = delta[gate, begin : begin + n_trials]
                add_product(sent, weights[gate], carried, columns)
        n_rows = (stop - first) * n_trials
        seen_before = states[first:stop].reshape(n_rows, n_hidden)
        add_chunk(
            inputs, by_step, by_trial, first, stop, seen_before, delta, (0, 1, 2, 3), input_weight,
            fed, outside, by_inputs, by_input_weight, by_weights, by_bias, columns,
        )  # fmt: skip
        stop = first
