"""One hidden latent behind counts, integrated over a grid of its values: forward and backward."""

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Less than this of a law is nothing: numbers without all their digits take long.
_NOTHING = 1e-100


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def forward_backward(
    drive: Array, which: NDArray[np.int64], edges: NDArray[np.int64], place: NDArray[np.int64],
    kernel: Array, prior: Array, grid: Array, left: float, right: float, nodes: Array,
    lift: Array, backward: bool,
) -> tuple[float, Array, Array, Array, Array, Array, Array, bool]:  # fmt: skip
    """Return the likelihood of counts behind one latent, and what the counts tell of it.

    Parameters
    ----------
    drive : (row,), counts weighted by the loadings of their units.
    which : (row,), which kernel the row takes.
    edges : (run + 1,), first row of each run, and the number of rows.
    place : (row,), where a row stands in `before` and `after`.
    kernel : (which, node, state, state), from the value before a row to that after it, times
        what the rates of both say of the counts, without the counts, and times the node's weight.
    prior : (state,), law of the latent before a run.
    grid : (state,), even; a multiple of four.
    left, right, nodes : the log rates see ``left * before + right * after + node``; nodes stand
        for what the latent does within the row.
    lift : (node, row, value) or empty, what the chance of a row is multiplied by besides: of the
        value after it, or, with ``2 state - 1`` values, of the sum of those before and after it.
    backward : what the counts tell is wanted.

    Returns
    -------
    log-likelihood, nats; before and after (row, state), whose product, times the kernel and
    ``exp(drive node)``, is the chance of a pair of values; level (row,), expected
    ``left * before + right * after``; law (node, row, value), pairs (which, node, state, state),
    the chance of a pair, and wander (row,), the expected node, all three with `lift` alone;
    whether all numbers were finite.

    Notes
    -----
    Kitagawa 1987, J. Am. Stat. Assoc. 82:1032. The arrays are empty without the way back.
    """
    n_rows, n_states, n_nodes = len(drive), len(grid), len(nodes)
    step = grid[1] - grid[0]
    turned = np.ascontiguousarray(kernel.transpose(0, 1, 3, 2))
    n_kept = n_rows if backward else 0
    before = np.empty((n_kept, n_states))
    after = np.empty((n_kept, n_states))
    scales = np.empty(n_kept)
    level = np.zeros(n_kept)
    lifted, wide = lift.shape[0] > 0, lift.shape[2] > n_states
    law = np.zeros((lift.shape[0], n_kept, lift.shape[2]))
    wander = np.zeros(n_kept if lifted and wide else 0)
    pairs = np.zeros(kernel.shape if lifted and wide and backward else (0, 0, 0, 0))
    filtered = np.empty(n_states)
    moved = np.empty(n_states)
    total, product = 0.0, 1.0
    for run in range(len(edges) - 1):
        first, last = edges[run], edges[run + 1]
        filtered[:] = prior
        for t in range(first, last):
            u = drive[t]
            if left != 0.0 and u != 0.0:
                _tilt(filtered, u * left, grid[0], step)
            if backward:
                for r in range(n_states):
                    before[place[t], r] = filtered[r]
            for r in range(n_states):
                moved[r] = 0.0
            for q in range(n_nodes):
                gain = np.exp(u * nodes[q])
                if lifted and wide:
                    _add_lifted(turned[which[t], q], filtered, gain, lift[q, t], moved)
                else:
                    _add_product(turned[which[t], q], filtered, gain, moved)
            if lifted and not wide:
                for r in range(n_states):
                    moved[r] *= lift[0, t, r]
            if u != 0.0:
                _tilt(moved, u * right, grid[0], step)
            scale = 0.0
            for r in range(n_states):
                scale += moved[r]
            if not (scale > 0.0 and scale < 1e300):
                return -np.inf, before, after, level, law, pairs, wander, False
            # The log of many at once: it takes as long as the rest of a row.
            if scale < 1e-100 or scale > 1e100:
                total += np.log(scale)
            else:
                product *= scale
            if product < 1e-100 or product > 1e100:
                total += np.log(product)
                product = 1.0
            inverse = 1.0 / scale
            for r in range(n_states):
                value = moved[r] * inverse
                filtered[r] = value if value > _NOTHING else 0.0
            if backward:
                scales[t] = inverse
        if backward:
            # The value at the end of a run, which is behind its last row.
            s = 0.0
            for r in range(n_states):
                s += filtered[r] * grid[r]
            level[last - 1] = right * s
            if lifted and not wide:
                for r in range(n_states):
                    law[0, last - 1, r] = filtered[r]
    total += np.log(product)
    if not backward:
        return total, before, after, level, law, pairs, wander, True
    for run in range(len(edges) - 1):
        first, last = edges[run], edges[run + 1]
        filtered[:] = 1.0
        for back in range(last - first):
            t = last - 1 - back
            u = drive[t]
            if u != 0.0:
                _tilt(filtered, u * right, grid[0], step)
            if lifted and not wide:
                for r in range(n_states):
                    filtered[r] *= lift[0, t, r]
            for r in range(n_states):
                filtered[r] *= scales[t]
            for r in range(n_states):
                after[place[t], r] = filtered[r]
                moved[r] = 0.0
            for q in range(n_nodes):
                gain = np.exp(u * nodes[q])
                if lifted and wide:
                    own = _add_pairs(
                        kernel[which[t], q], before[place[t]], filtered, gain, lift[q, t], moved,
                        pairs[which[t], q], law[q, t],
                    )  # fmt: skip
                    wander[t] += nodes[q] * own
                else:
                    _add_product(kernel[which[t], q], filtered, gain, moved)
            s = 0.0
            for r in range(n_states):
                s += before[place[t], r] * moved[r] * grid[r]
            level[t] += left * s
            if t > first:
                level[t - 1] += right * s
                if lifted and not wide:
                    for r in range(n_states):
                        law[0, t - 1, r] = before[place[t], r] * moved[r]
            if left != 0.0 and u != 0.0:
                _tilt(moved, u * left, grid[0], step)
            for r in range(n_states):
                filtered[r] = moved[r] if moved[r] > _NOTHING else 0.0
    return total, before, after, level, law, pairs, wander, True


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _tilt(law: Array, slope: float, first: float, step: float) -> None:
    """Multiply by the exponential of slope times the grid, in place."""
    # Four at a time, so that no value waits for the one before it.
    a = np.exp(slope * first)
    ratio = np.exp(slope * step)
    b = a * ratio
    square = ratio * ratio
    c, d = a * square, b * square
    fourth = square * square
    for s in range(0, len(law), 4):
        law[s] *= a
        law[s + 1] *= b
        law[s + 2] *= c
        law[s + 3] *= d
        a *= fourth
        b *= fourth
        c *= fourth
        d *= fourth


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")
def _add_product(matrix: Array, law: Array, gain: float, out: Array) -> None:
    """Add ``gain matrix law``."""
    n = len(law)
    for r in range(n):
        s = 0.0
        for k in range(n):
            s += matrix[r, k] * law[k]
        out[r] += gain * s


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_lifted(matrix: Array, law: Array, gain: float, lift: Array, out: Array) -> None:
    """Add ``gain matrix law`` with every entry times what belongs to its pair of values."""
    n = len(law)
    for r in range(n):
        row, own = matrix[r], lift[r : r + n]
        s = 0.0
        for k in range(n):
            s += row[k] * law[k] * own[k]
        out[r] += gain * s


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_pairs(
    matrix: Array, before: Array, after: Array, gain: float, lift: Array, out: Array,
    pairs: Array, law: Array,
) -> float:  # fmt: skip
    """Do the same, and add the chance of each pair, and of each sum, of values."""
    n = len(after)
    total = 0.0
    for s in range(n):
        row, own, chance, sums = matrix[s], lift[s : s + n], pairs[s], law[s : s + n]
        weight = before[s]
        acc = 0.0
        for r in range(n):
            x = gain * row[r] * after[r] * own[r]
            acc += x
            chance[r] += weight * x
            sums[r] += weight * x
        out[s] += acc
        total += weight * acc
    return total
