"""The compiled loops over time behind `recurrent`: one forward, one backward.

What numba keeps on disk is dated by this file alone: after a change to the functions or products
that are compiled into these loops, save this file too.
"""

import numpy as np
from numba import njit

from neurornn._kernels.recurrent_functions import function_row, slope_row
from neurornn._kernels.recurrent_product import add_product


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def run_forward(
    kind, current, drive, inputs, input_across, bias, across, alpha, shocks, states, state_rows,
    kept, columns,
):  # fmt: skip
    """Fill states and kept; empty arrays stand for what is absent.

    Rows, of one or more trials, are (time, row, hidden); bias and alpha are as long as a row.
    """
    n_steps, n_rows, n = kept.shape
    n_trials, n_hidden, width = states.shape[1], states.shape[2], across.shape[1]
    total = np.zeros((n_trials, width), kept.dtype)
    value = np.empty((n_trials, n_hidden), kept.dtype)
    total_rows, value_rows = total.reshape(n_rows, -1), value.reshape(n_rows, n)
    keep = (1 - alpha).astype(kept.dtype)
    for t in range(n_steps):
        for i in range(n_rows):
            row = total_rows[i]
            from_outside = drive[t, i] if len(drive) > 0 else bias
            for j in range(len(from_outside)):
                row[j] = from_outside[j]
        if len(drive) == 0:
            add_product(inputs[t], input_across, total, columns)
        if current:
            for i in range(n_rows):
                function_row(kind, state_rows[t, i], value_rows[i])
            add_product(value, across, total, columns)
        else:
            add_product(states[t], across, total, columns)
        for i in range(n_rows):
            before, towards, after = state_rows[t, i], kept[t, i], state_rows[t + 1, i]
            if current:
                row = total_rows[i]
                for j in range(n):
                    towards[j] = row[j]
            else:
                function_row(kind, total_rows[i, :n], towards)
            for j in range(n):
                after[j] = keep[j] * before[j] + alpha[j] * towards[j]
        if len(shocks) > 0:
            for i in range(n_rows):
                after, pushed = state_rows[t + 1, i], shocks[t, i]
                for j in range(n):
                    after[j] += pushed[j]


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def run_back(
    kind, current, grad, trials_first, inputs, weights, alpha, states, state_rows, kept,
    by_drive, by_shocks, sums, carried, chunk, columns,
):  # fmt: skip
    """Fill the gradients backward in time; empty arrays stand for those not wanted.

    Products for the gradients of weights wait until a chunk of steps has been passed; each chunk
    is summed by itself, which keeps the rounding of long sums small. Rows are as in `run_forward`.
    """
    n_steps, n_rows, n = kept.shape
    n_trials, n_hidden, width = states.shape[1], states.shape[2], weights.shape[1]
    together = n_trials // n_rows
    keep = (1 - alpha).astype(kept.dtype)
    delta = np.zeros((chunk * n_trials, width), kept.dtype)
    value = np.zeros((chunk * n_trials if current else 0, n_hidden), kept.dtype)
    back = np.zeros((n_trials if current else 0, width), kept.dtype)
    delta_rows = delta.reshape(chunk * n_rows, -1)
    slope, by_alpha = np.empty(n, kept.dtype), np.empty(n, kept.dtype)
    part = np.empty_like(sums)
    by_bias, n_inputs = part[1], inputs.shape[2]
    by_inputs, by_weights = part[2 : 2 + n_inputs], part[2 + n_inputs :]
    carried_rows = carried.reshape(n_rows, -1)
    stop = n_steps
    while stop > 0:
        first = max(0, stop - chunk)
        part[:] = 0
        by_alpha[:] = 0
        for t in range(stop - 1, first - 1, -1):
            step = t - first
            for i in range(n_rows):
                total, before, towards = carried_rows[i, :n], state_rows[t, i], kept[t, i]
                here = delta_rows[step * n_rows + i, :n]
                if trials_first:
                    for b in range(together):
                        arrived, one = grad[i * together + b, t], total[b * n_hidden :]
                        for j in range(n_hidden):
                            one[j] += arrived[j]
                    for j in range(n):
                        by_alpha[j] += total[j] * (towards[j] - before[j])
                else:
                    arrived = grad[t, i]
                    for j in range(n):
                        total[j] += arrived[j]
                        by_alpha[j] += total[j] * (towards[j] - before[j])
                if len(by_shocks) > 0:
                    pushed = by_shocks[t, i]
                    for j in range(n):
                        pushed[j] = total[j]
                if current:
                    for j in range(n):
                        here[j] = alpha[j] * total[j]
                        total[j] *= keep[j]
                else:
                    slope_row(kind, towards, slope)
                    for j in range(n):
                        here[j] = slope[j] * alpha[j] * total[j]
                        total[j] *= keep[j]
                if len(by_drive) > 0:
                    outside = by_drive[t, i]
                    for j in range(n):
                        outside[j] = here[j]
            sent = delta[step * n_trials : (step + 1) * n_trials, :n_hidden]
            if current:
                back[:] = 0
                add_product(sent, weights, back, columns)
                for b in range(n_trials):
                    total, product = carried[b], back[b]
                    a = value[step * n_trials + b]
                    function_row(kind, states[t, b], a)
                    slope_row(kind, a, slope)
                    for j in range(n_hidden):
                        total[j] += slope[j] * product[j]
            else:
                add_product(sent, weights, carried, columns)
        n_passed = (stop - first) * n_trials
        passed = delta[:n_passed]
        if len(by_weights) > 0 and current:
            add_product(value[:n_passed].T, passed, by_weights, columns)
        elif len(by_weights) > 0:
            seen = states[first:stop].reshape(n_passed, n_hidden)
            add_product(seen.T, passed, by_weights, columns)
        if n_inputs > 0:
            fed = inputs[first:stop].reshape(n_passed, n_inputs)
            add_product(fed.T, passed, by_inputs, columns)
        for i in range(n_passed):
            here = passed[i]
            for j in range(width):
                by_bias[j] += here[j]
        for b in range(together):
            for j in range(n_hidden):
                part[0, j] += by_alpha[b * n_hidden + j]
        sums += part
        stop = first
