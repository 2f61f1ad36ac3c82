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
        n_rows = (stop - first) * n_trials
        gather(inputs, by_step, by_trial, first, stop, n_trials, gathered)
        for gate in range(3):
            for i in range(n_rows):
                fed[gate, i] = bias[gate]
            add_product(gathered[:n_rows], input_across[gate], fed[gate, :n_rows], columns)
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

    Each chunk of steps is summed by itself, which keeps the rounding of long sums small.

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
    size, n_read = n_trials * n_hidden, grad.shape[1]
    delta = np.empty((4, chunk * n_trials, n_hidden), kept.dtype)
    fed = np.empty((chunk * n_trials, inputs.shape[1]), kept.dtype)
    outside = np.empty((chunk * n_trials, input_weight.shape[2]), kept.dtype)
    input_part, part = np.empty_like(by_input_weight), np.empty_like(by_weights)
    bias_part = np.empty_like(by_bias)
    # Of their precision: a bare 1 would send the loops over units through double precision.
    one = kept.dtype.type(1)
    flat_states, flat_kept = states.reshape(n_steps + 1, size), kept.reshape(n_steps, 4, size)
    flat_delta, flat_carried = delta.reshape(4, chunk * size), carried.reshape(size)
    stop = n_steps
    while stop > 0:
        first = max(0, stop - chunk)
        for t in range(stop - 1, first - 1, -1):
            for b in range(n_trials):
                arrived, total = grad[t * grad_by_step + b * grad_by_trial], carried[b]
                for j in range(n_read):
                    total[j] += arrived[j]
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
        input_part[:], part[:], bias_part[:] = 0, 0, 0
        if len(by_weights) > 0:
            add_product(seen.T, delta[0, :n_rows], part[0], columns)
            add_product(seen.T, delta[1, :n_rows], part[1], columns)
            add_product(seen.T, delta[3, :n_rows], part[2], columns)
            by_weights += part
        if len(by_input_weight) > 0:
            gather(inputs, by_step, by_trial, first, stop, n_trials, fed)
            for gate in range(3):
                add_product(fed[:n_rows].T, delta[gate, :n_rows], input_part[gate], columns)
            by_input_weight += input_part
        if len(by_bias) > 0:
            for gate in range(4):
                add_column_sums(delta[gate, :n_rows], bias_part[gate])
            by_bias += bias_part
        if len(by_inputs) > 0:
            outside[:n_rows] = 0
            for gate in range(3):
                add_product(delta[gate, :n_rows], input_weight[gate], outside[:n_rows], columns)
            for t in range(first, stop):
                for b in range(n_trials):
                    row = by_inputs[t * by_step + b * by_trial]
                    given = outside[(t - first) * n_trials + b]
                    for j in range(len(row)):
                        row[j] = given[j]
        stop = first
