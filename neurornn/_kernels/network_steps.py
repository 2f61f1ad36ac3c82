"""One bin of a recurrent decoder: a step of several networks, and their mean read-out.

As in `streaming`, every function works in the arrays it is given and allocates nothing.
"""

from numba import njit

from neurornn._kernels.recurrent_functions import FUNCTIONS, function_row
from neurornn._kernels.recurrent_product import add_row_product

# Division by zero gives infinity, as in NumPy: a check for it would keep loops from vectors.
_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}

_TANH, _SIGMOID = FUNCTIONS["tanh"], FUNCTIONS["sigmoid"]


@njit(**_LOOPS)
def nonzero_inputs(features, origin, seen, index):
    """Features less those of a silent bin; the ones that are not 0, and where they stand.

    In short bins most units are silent: their rows of the weights need not be read.

    Parameters
    ----------
    features, origin : (unit,), of this bin and of one without a spike.
    seen, index : (unit,), replaced as far as there are any.

    Returns
    -------
    int : how many there are.
    """
    n = 0
    for i in range(len(features)):
        away = features[i] - origin[i]
        if away != 0:
            seen[n] = away
            index[n] = i
            n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def add_rows(seen, index, b, out):
    """Add ``sum_k seen[k] b[index[k]]`` to out, eight rows of b at a time.

    Parameters
    ----------
    seen, index : (n,). b : (row, column). out : (column,)
    """
    n, k = len(seen), 0
    while k + 8 <= n:
        s0, s1, s2, s3 = seen[k], seen[k + 1], seen[k + 2], seen[k + 3]
        s4, s5, s6, s7 = seen[k + 4], seen[k + 5], seen[k + 6], seen[k + 7]
        r0, r1, r2, r3 = b[index[k]], b[index[k + 1]], b[index[k + 2]], b[index[k + 3]]
        r4, r5, r6, r7 = b[index[k + 4]], b[index[k + 5]], b[index[k + 6]], b[index[k + 7]]
        for j in range(len(out)):
            first = s0 * r0[j] + s1 * r1[j] + s2 * r2[j] + s3 * r3[j]
            out[j] += first + (s4 * r4[j] + s5 * r5[j] + s6 * r6[j] + s7 * r7[j])
        k += 8
    while k < n:
        s0, r0 = seen[k], b[index[k]]
        for j in range(len(out)):
            out[j] += s0 * r0[j]
        k += 1


@njit(cache=True, nogil=True)
def gru_step(
    seen, index, input_weight, hidden_weight, input_bias, hidden_bias, hidden, fed, columns
):
    """One step of a gated recurrent unit (Cho et al. 2014, arXiv:1406.1078; torch's equation).

    Parameters
    ----------
    seen, index : (n,), inputs that are not 0 and where they stand.
    hidden : (1, hidden), before; replaced.
    input_weight, hidden_weight : (input or hidden, 3 * width)
        Gates r, z, n side by side, each filled up to `width` columns.
    input_bias, hidden_bias : (3 * width,)
    fed : (3, 3 * width), scratch.
    columns : of a tile of `add_row_product`.
    """
    n, width = hidden.shape[1], fed.shape[1] // 3
    fed[0] = input_bias
    fed[1] = hidden_bias
    add_rows(seen, index, input_weight, fed[0])
    add_row_product(hidden, hidden_weight, fed[1:], columns)
    summed, gates = fed[0], fed[2]
    for j in range(2 * width):
        summed[j] += fed[1, j]
    # Into other memory than it is read from, or the loop would not run in vectors.
    function_row(_SIGMOID, summed[: 2 * width], gates[: 2 * width])
    for j in range(2 * width, 3 * width):
        summed[j] += gates[j - 2 * width] * fed[1, j]
    function_row(_TANH, summed[2 * width :], gates[2 * width :])
    for j in range(n):
        new = gates[2 * width + j]
        hidden[0, j] = new + gates[width + j] * (hidden[0, j] - new)


@njit(cache=True, nogil=True)
def lstm_step(seen, index, input_weight, hidden_weight, bias, hidden, cell, fed, columns):
    """One step of a long short-term memory (Hochreiter & Schmidhuber 1997; torch's equation).

    Parameters
    ----------
    seen, index : (n,), inputs that are not 0 and where they stand.
    hidden, cell : (1, hidden), before; replaced.
    input_weight, hidden_weight : (input or hidden, 4 * width)
        Gates i, f, g, o side by side, each filled up to `width` columns.
    bias : (4 * width,)
    fed : (2, 4 * width), scratch.
    columns : of a tile of `add_row_product`.
    """
    n, width = hidden.shape[1], fed.shape[1] // 4
    fed[0] = bias
    add_rows(seen, index, input_weight, fed[0])
    add_row_product(hidden, hidden_weight, fed[:1], columns)
    summed, gates = fed[0], fed[1]
    function_row(_SIGMOID, summed[: 2 * width], gates[: 2 * width])
    function_row(_TANH, summed[2 * width : 3 * width], gates[2 * width : 3 * width])
    function_row(_SIGMOID, summed[3 * width :], gates[3 * width :])
    for j in range(n):
        cell[0, j] = gates[width + j] * cell[0, j] + gates[j] * gates[2 * width + j]
    function_row(_TANH, cell[0], hidden[0])
    for j in range(n):
        hidden[0, j] *= gates[3 * width + j]


@njit(cache=True, nogil=True)
def leaky_step(
    seen, index, input_weight, hidden_weight, bias, alpha, kind, current, hidden, fed, columns
):
    """One step of a leaky network, as `models.LeakyRNN` runs it.

    Parameters
    ----------
    seen, index : (n,), inputs that are not 0 and where they stand.
    hidden : (1, hidden), before; replaced.
    input_weight, hidden_weight : (input or hidden, width), filled up to `width` columns.
    bias : (width,). alpha : (hidden,), share of the state that is replaced.
    kind : number of the nonlinearity. current : the current form, else the rate form.
    fed : (2, width), scratch.
    columns : of a tile of `add_row_product`.
    """
    n = hidden.shape[1]
    fed[0] = bias
    add_rows(seen, index, input_weight, fed[0])
    if current:
        function_row(kind, hidden[0], fed[1, :n])
        add_row_product(fed[1:, :n], hidden_weight, fed[:1], columns)
    else:
        add_row_product(hidden, hidden_weight, fed[:1], columns)
        function_row(kind, fed[0], fed[1])
    drive = fed[0] if current else fed[1]
    for j in range(n):
        hidden[0, j] += alpha[j] * (drive[j] - hidden[0, j])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def mean_of_members(hidden, weights, bias, n_own, out, variance):
    """Mean linear read-out of several networks, and how far they are apart.

    Parameters
    ----------
    hidden : (member, 1, hidden). weights : (member, output, hidden). bias : (member, output)
    n_own : 1 where every member reads all outputs; else member m reads output ``m % n_own`` alone.
    out, variance : (output,), mean and variance over members (0 of one); replaced.
    """
    n_members, _, n = hidden.shape
    n_out, n_each = len(out), n_members // n_own
    out[:] = 0.0
    variance[:] = 0.0
    for m in range(n_members):
        first = m % n_own if n_own > 1 else 0
        for o in range(first, first + 1 if n_own > 1 else n_out):
            total = bias[m, o]
            for j in range(n):
                total += weights[m, o, j] * hidden[m, 0, j]
            # Running mean and sum of squares (Welford 1962, doi:10.2307/1266577).
            away = total - out[o]
            out[o] += away / (m // n_own + 1)
            variance[o] += away * (total - out[o])
    if n_each > 1:
        for o in range(n_out):
            variance[o] /= n_each - 1


@njit(cache=True, nogil=True)
def gru_bin(
    features, origin, input_weight, hidden_weight, input_bias, hidden_bias, out_weight, out_bias,
    columns, seen, index, hidden, fed, n_own, out, variance,
):  # fmt: skip
    """One bin of several gated recurrent units; arrays as for `gru_step`, members first."""
    n = nonzero_inputs(features, origin, seen, index)
    for m in range(len(hidden)):
        gru_step(
            seen[:n], index[:n], input_weight[m], hidden_weight[m], input_bias[m],
            hidden_bias[m], hidden[m], fed, columns,
        )  # fmt: skip
    mean_of_members(hidden, out_weight, out_bias, n_own, out, variance)


@njit(cache=True, nogil=True)
def lstm_bin(
    features, origin, input_weight, hidden_weight, bias, out_weight, out_bias, columns, seen,
    index, hidden, cell, fed, n_own, out, variance,
):  # fmt: skip
    """One bin of several long short-term memories; arrays as for `lstm_step`, members first."""
    n = nonzero_inputs(features, origin, seen, index)
    for m in range(len(hidden)):
        lstm_step(
            seen[:n], index[:n], input_weight[m], hidden_weight[m], bias[m], hidden[m], cell[m],
            fed, columns,
        )  # fmt: skip
    mean_of_members(hidden, out_weight, out_bias, n_own, out, variance)


@njit(cache=True, nogil=True)
def leaky_bin(
    features, origin, input_weight, hidden_weight, bias, alpha, out_weight, out_bias, kind,
    current, n_substeps, columns, seen, index, hidden, shown, fed, n_own, out, variance,
):  # fmt: skip
    """One bin of several leaky networks; arrays as for `leaky_step`, members first.

    `shown` (member, 1, hidden) is what the read-out sees: the states, or f of them in the current
    form.
    """
    n = nonzero_inputs(features, origin, seen, index)
    for m in range(len(hidden)):
        for _ in range(n_substeps):
            leaky_step(
                seen[:n], index[:n], input_weight[m], hidden_weight[m], bias[m], alpha[m], kind,
                current, hidden[m], fed, columns,
            )  # fmt: skip
        if current:
            function_row(kind, hidden[m, 0], shown[m, 0])
        else:
            shown[m] = hidden[m]
    mean_of_members(shown, out_weight, out_bias, n_own, out, variance)
