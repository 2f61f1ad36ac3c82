"""A leaky network that walks every open frame from its stop upstream and adds up what it reads."""

import numpy as np
from numba import njit

from neurornn._kernels.open_frames import UNKNOWN_CODON
from neurornn._kernels.recurrent_functions import FUNCTIONS, function_row
from neurornn._kernels.recurrent_product import add_row_product

_TANH = FUNCTIONS["tanh"]
#: Numbers that a codon is read with beside its amino acid.
N_READINGS = 8


@njit(cache=True, nogil=True, error_model="numpy")
def read_codon(codons, i, tables, bound, out):
    """Log odds of the pairs of codons that begin at a codon, on both strands and in all frames.

    Parameters
    ----------
    tables : (4, 4096), of all genes, the same read on the other strand, usual and unusual genes.
    bound : log odds are held between -bound and bound.
    out : (8,), the first table at three shifts, the second likewise, the third and the fourth.
    """
    n = len(codons)
    for j in range(3):
        out[j] = out[3 + j] = 0.0
        if i + j + 3 < n:
            a, b = codons[i + j], codons[i + j + 3]
            if a < UNKNOWN_CODON and b < UNKNOWN_CODON:
                pair = 64 * a + b
                out[j] = min(max(tables[0, pair], -bound), bound)
                out[3 + j] = min(max(tables[1, pair], -bound), bound)
                if j == 0:
                    out[6] = min(max(tables[2, pair], -bound), bound)
                    out[7] = min(max(tables[3, pair], -bound), bound)
                continue
        if j == 0:
            out[6] = out[7] = 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def frame_readings(codons, residue, tables, bound, last, n_steps, out, kinds):
    """Write what the network is fed with along one frame; see `run_network`.

    Parameters
    ----------
    last : first letter of the last codon. n_steps : codons upstream of it, it included.
    out : (step, 8), kinds : (step,), the residues; replaced.
    """
    for t in range(n_steps):
        read_codon(codons, last - 3 * t, tables, bound, out[t])
        kinds[t] = residue[codons[last - 3 * t]]


@njit(cache=True, nogil=True, error_model="numpy")
def run_network(
    codons, residue, tables, bound, frames, steps, residue_input, reading_input, across, alpha,
    read, residue_read, reading_read, columns, out, each,
):  # fmt: skip
    """Sum of what the network reads from the last codon up to every candidate.

    Parameters
    ----------
    codons : (position,), of a strand. residue : (66,), row of a codon's amino acid.
    tables, bound : as for `read_codon`.
    frames : (frame, 4), steps : (candidate,), of `find_frames`.
    residue_input : (21, width), input weights with the bias. reading_input : (8, width).
    across : (hidden, width), recurrent weights, filled up to whole groups of columns.
    alpha : (hidden,), share of the state that is replaced in a step.
    read : (hidden,), residue_read : (21,), reading_read : (8,), weights of the output.
    columns : of a tile of `add_row_product`.
    out : (candidate,) float64, replaced.
    each : (position,), what is read at each codon, at its first letter; of no length for none.
        Frames that overlap do not share first letters.
    """
    n = len(alpha)
    width = across.shape[1]
    hidden, fed = np.zeros((1, n), np.float32), np.zeros((1, width), np.float32)
    bent, seen = np.zeros(width, np.float32), np.zeros(8, np.float32)
    for k in range(len(frames)):
        hidden[:] = 0
        total, j = 0.0, frames[k, 2]
        n_steps = steps[frames[k, 3] - 1] + 1
        for t in range(n_steps):
            i = frames[k, 0] - 3 * t
            kind = residue[codons[i]]
            read_codon(codons, i, tables, bound, seen)
            row, value = fed[0], residue_read[kind]
            row[:] = residue_input[kind]
            for m in range(8):
                s, weights = seen[m], reading_input[m]
                value += s * reading_read[m]
                for q in range(width):
                    row[q] += s * weights[q]
            add_row_product(hidden, across, fed, columns)
            function_row(_TANH, row, bent)
            for q in range(n):
                hidden[0, q] += alpha[q] * (bent[q] - hidden[0, q])
                value += read[q] * hidden[0, q]
            total += value
            if len(each):
                each[i] = value
            while j < frames[k, 3] and steps[j] == t:
                out[j] = total
                j += 1
