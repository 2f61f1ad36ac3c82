"""Damped Newton steps towards fixed points, start by start, in one compiled loop.

In a network of some tens of units a Newton step takes a microsecond of arithmetic, where a call of
a library for it takes several. Here a start runs by itself until it has converged, has been given
up, or has come to a point that is known; the state that a step accepts is not looked at twice.

Rows are filled up with zeros to `LANES` columns, so that loops over units become vectors. What
numba keeps on disk is dated by this file alone: after a change to `recurrent_functions`, save this
file too.
"""

import math

import numpy as np
from numba import njit

from neurornn._kernels.recurrent_functions import FUNCTIONS, function_row, slope_row

#: Kinds of maps: leaky units in the rate form or the current form; an LSTM in its hidden state.
RATE, CURRENT, HIDDEN_OF_LSTM = 0, 1, 2
#: What became of a start: it was given up, converged, or came near to a point that is known.
GIVEN_UP, CONVERGED, KNOWN = 0, 1, 2
#: Columns are filled up to whole groups of these.
LANES = 8
#: Rows of numbers that are kept of a step, of the kind that keeps most.
N_KEPT = 6
#: Stands for a pivot of 0: the step along that direction is then far too long, and is cut.
_TINY = 1e-9
#: A row is not exchanged where no other has an entry so many times larger below its pivot.
_LARGE = 8.0

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_TANH = FUNCTIONS["tanh"]


@njit(**_LOOPS)
def _add_product(h, across, out):
    """Add ``h @ across`` to out, four rows of it at a time."""
    n, k = len(h), 0
    while k + 4 <= n:
        s0, s1, s2, s3 = h[k], h[k + 1], h[k + 2], h[k + 3]
        r0, r1, r2, r3 = across[k], across[k + 1], across[k + 2], across[k + 3]
        for j in range(len(out)):
            out[j] += (s0 * r0[j] + s1 * r1[j]) + (s2 * r2[j] + s3 * r3[j])
        k += 4
    while k < n:
        s0, r0 = h[k], across[k]
        for j in range(len(out)):
            out[j] += s0 * r0[j]
        k += 1


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _square(x):
    """Sum of squares."""
    total = 0.0
    for j in range(len(x)):
        total += x[j] * x[j]
    return total


@njit(**_LOOPS)
def _moved(kind, function, across, drive, alpha, h, fed, kept, r):
    """How far a step moves a state, in r; returns half its square.

    `kept`, rows of `width` numbers one behind the other, keeps what the derivative takes: the
    value of each unit; or i, o, 1 - f, g, tanh(c) and c of an LSTM. `fed` (gate * width,) is
    scratch.
    """
    # Nonlinearities are compiled where they stand: one call serves all kinds, and one both tanh.
    n, width = len(h), len(kept) // N_KEPT
    n_first = 3 * width if kind == HIDDEN_OF_LSTM else width
    for j in range(len(fed)):
        fed[j] = drive[j]
    if kind == CURRENT:
        function_row(function, h, kept[:n])
        _add_product(kept[:n], across, fed)
    else:
        _add_product(h, across, fed)
        function_row(function, fed[:n_first], kept[:n_first])
    if kind == HIDDEN_OF_LSTM:
        for k in range(3, 5):
            function_row(_TANH, fed[n_first:], kept[k * width : (k + 1) * width])
            if k == 3:
                for j in range(width):
                    c = kept[j] * kept[3 * width + j] / kept[2 * width + j]
                    kept[5 * width + j] = c
                    fed[n_first + j] = c
        for j in range(n):
            r[j] = kept[width + j] * kept[4 * width + j] - h[j]
    else:
        sent = fed if kind == CURRENT else kept
        for j in range(n):
            r[j] = alpha[j] * (sent[j] - h[j])
    return 0.5 * _square(r)


@njit(**_LOOPS)
def _fill_matrix(kind, function, weights, alpha, kept, slopes, a):
    """One less the derivative of the step, (hidden, width), from what `_moved` kept."""
    n, width = a.shape
    if kind == HIDDEN_OF_LSTM:
        for i in range(n):
            opened, o, rest = kept[i], kept[width + i], kept[2 * width + i]
            g, t, c = kept[3 * width + i], kept[4 * width + i], kept[5 * width + i]
            own = o * (1 - t * t)
            # The logarithm of 1 / (1 - f) falls with what drives 1 - f at the rate f.
            s0, s1 = -own * c * (1 - opened), -t * o * (1 - o)
            s2, s3 = own * c * (1 - rest), -own * opened * (1 - g * g) / rest
            w0, w1, w2, w3 = weights[0, i], weights[1, i], weights[2, i], weights[3, i]
            row = a[i]
            for j in range(width):
                row[j] = (s0 * w0[j] + s1 * w1[j]) + (s2 * w2[j] + s3 * w3[j])
            row[i] += 1.0
        return
    slope_row(function, kept[:width], slopes)
    for i in range(n):
        row, w, own = a[i], weights[0, i], -alpha[i]
        if kind == CURRENT:
            for j in range(width):
                row[j] = own * slopes[j] * w[j]
        else:
            own *= slopes[i]
            for j in range(width):
                row[j] = own * w[j]
        row[i] += alpha[i]


@njit(**_LOOPS)
def _solve(a, tiles, b, share):
    """Replace b by the solution of ``a x = b``, and a, by elimination with row pivots.

    `tiles` is the same memory as a, (hidden, group, lane).

    The columns to the left of the pivot hold what is never read again: whole groups of lanes are
    taken along, which costs less than to leave them out. `share` (hidden,) is scratch.
    """
    n, width = np.uint64(a.shape[0]), np.uint64(a.shape[1])
    one, lanes = np.uint64(1), np.uint64(LANES)
    for k in range(n):
        inverse, large = 1.0 / a[k, k], False
        for i in range(k + one, n):
            share[i] = a[i, k] * inverse
            large |= not abs(share[i]) <= _LARGE
        # Most rows may stay where they are, and a search for the largest pivot costs more.
        if large or a[k, k] == 0.0:
            best = k
            for i in range(k + one, n):
                if abs(a[i, k]) > abs(a[best, k]):
                    best = i
            if best != k:
                for j in range(width):
                    a[k, j], a[best, j] = a[best, j], a[k, j]
                b[k], b[best] = b[best], b[k]
            if a[k, k] == 0.0:
                a[k, k] = _TINY
            inverse = 1.0 / a[k, k]
            for i in range(k + one, n):
                share[i] = a[i, k] * inverse
        # In the place of the pivot stands from now on what it is divided by.
        a[k, k], own = inverse, b[k]
        for i in range(k + one, n):
            b[i] -= share[i] * own
        for j in range(k // lanes, width // lanes):
            # All is read before any of it is written, or nothing would become a vector.
            top = tiles[k, j]
            t0, t1, t2, t3 = top[0], top[1], top[2], top[3]
            t4, t5, t6, t7 = top[4], top[5], top[6], top[7]
            for i in range(k + one, n):
                s, row = share[i], tiles[i, j]
                r0, r1, r2, r3 = row[0], row[1], row[2], row[3]
                r4, r5, r6, r7 = row[4], row[5], row[6], row[7]
                row[0], row[1], row[2] = r0 - s * t0, r1 - s * t1, r2 - s * t2
                row[3], row[4], row[5] = r3 - s * t3, r4 - s * t4, r5 - s * t5
                row[6], row[7] = r6 - s * t6, r7 - s * t7
    for back in range(n):
        k = n - one - back
        x = b[k] * a[k, k]
        b[k] = x
        for i in range(k):
            b[i] -= a[i, k] * x


@njit(**_LOOPS)
def _is_near(h, cells, known, reach):
    """Whether a state, with the cells behind it, lies in one of some balls, (ball, state)."""
    n = len(h)
    for p in range(len(known)):
        most, total, j = reach[p], 0.0, 0
        # Most balls are told to be far by a few numbers.
        while j < n and total < most:
            stop = min(j + LANES, n)
            for i in range(j, stop):
                away = h[i] - known[p, i]
                total += away * away
            j = stop
        if total < most and known.shape[1] > n:
            for i in range(n):
                away = cells[i] - known[p, n + i]
                total += away * away
        if total < most:
            return True
    return False


@njit(**_LOOPS)
def newton_search(
    kind, function, weights, across, drive, alpha, lower, upper, known, reach,
    n_steps, n_halvings, finest, states, ended,
):  # fmt: skip
    """Run damped Newton steps from each of many starts.

    Parameters
    ----------
    kind : `RATE`, `CURRENT` or `HIDDEN_OF_LSTM`. function : number of the nonlinearity.
    weights : (gate, hidden, width), what each unit receives from others; one gate of leaky units,
        i, o, 1 - f and g of an LSTM.
    across : (hidden, gate * width), the same, by the unit that sends.
    drive : (gate * width,). alpha : (width,), share of the state that is replaced.
    lower, upper : (hidden,), between which states are kept.
    known : (ball, state), middles; with the cells of an LSTM after its hidden state.
    reach : (ball,), squared radii.
    n_steps, n_halvings : steps, and how often one is shortened.
    finest : half the squared step below which a state has converged.
    states : (start, hidden), replaced by where each start ended.
    ended : (start,), replaced by `GIVEN_UP`, `CONVERGED` or `KNOWN`.
    """
    n, width = states.shape[1], weights.shape[2]
    kept, fed, slopes = np.zeros(N_KEPT * width), np.zeros(len(drive)), np.zeros(width)
    a = np.zeros((n, width))
    tiles = a.reshape(n, width // LANES, LANES)
    r, tried, step = np.zeros(n), np.zeros(n), np.zeros(n)
    for row in range(len(states)):
        h, q, share = states[row], np.inf, 1.0
        ended[row] = GIVEN_UP
        done, tries = 0, 0
        for j in range(n):
            tried[j] = h[j]
        # One call of `_moved` serves the start and every step that is tried: each is compiled.
        while True:
            after = _moved(kind, function, across, drive, alpha, tried, fed, kept, r)
            if after < q:
                for j in range(n):
                    h[j] = tried[j]
                q = after
                if done == n_steps:
                    break
                if _is_near(h, kept[5 * width :], known, reach):
                    ended[row] = KNOWN
                    break
                if q < finest:
                    ended[row] = CONVERGED
                    break
                _fill_matrix(kind, function, weights, alpha, kept, slopes, a)
                for j in range(n):
                    step[j] = r[j]
                _solve(a, tiles, step, slopes)
                # A step that is much longer than the state itself is cut.
                longest, size = 10.0 * (1.0 + math.sqrt(_square(h))), math.sqrt(_square(step))
                share = longest / size if size > longest else 1.0
                done, tries = done + 1, 0
            elif tries == n_halvings or done == 0:
                # What no step along the Newton direction improves lies in a valley that ends above
                # 0, or is as near to 0 as rounding lets it come. A start may be no number at all.
                if q < 100 * finest:
                    ended[row] = CONVERGED
                break
            else:
                share, tries = share / 3.0, tries + 1
            for j in range(n):
                # Outside of what can be reached a gate may round to 1 and call any state fixed.
                tried[j] = min(max(h[j] + share * step[j], lower[j]), upper[j])


@njit(**_LOOPS)
def run_on(kind, function, across, drive, alpha, n_steps, states, cells):
    """Run each state on for some steps of its own number.

    Parameters
    ----------
    kind, function, across, drive, alpha : as of `newton_search`.
    n_steps : (state,).
    states : (state, hidden), replaced by where they are then.
    cells : (state, hidden) of an LSTM, replaced too; else (0, hidden).
    """
    n, width = states.shape[1], len(alpha)
    kept, fed, r = np.zeros(N_KEPT * width), np.zeros(len(drive)), np.zeros(n)
    open_ends = np.zeros(n)
    for row in range(len(states)):
        h = states[row]
        for _ in range(n_steps[row]):
            _moved(kind, function, across, drive, alpha, h, fed, kept, r)
            if kind != HIDDEN_OF_LSTM:
                for j in range(n):
                    h[j] += r[j]
                continue
            c = cells[row]
            for j in range(n):
                forgot = kept[2 * width + j]
                c[j] += kept[j] * kept[3 * width + j] - forgot * c[j]
            function_row(_TANH, c, open_ends)
            for j in range(n):
                h[j] = kept[width + j] * open_ends[j]
