"""Open reading frames of one strand: where they lie, where they may start, what they are made of.

All functions read one strand from 5' to 3'; the other one is its reverse complement. Letters are
numbers: 0 to 3 for ACGT, `UNKNOWN` for other letters, `WALL` between contigs. Codons are
``16 a + 4 b + c``, pairs of them ``64 first + second``.
"""

import numpy as np
from numba import njit

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}

#: Letters that are none of ACGT, and places where no sequence is.
UNKNOWN, WALL = 4, 5
#: Codons with such letters.
UNKNOWN_CODON, WALL_CODON = 64, 65
#: Pairs of codons.
N_PAIRS = 4096
#: What a candidate starts with where a contig ends before its start.
NO_START = 4
#: Bits of what a candidate is: its start, 1 to `NO_START`, and no stop seen.
START_BITS, NO_STOP = 7, 8


@njit(**_LOOPS)
def codons_of(letters):
    """Codon that begins at every position, (position,) uint8."""
    n = len(letters)
    out = np.full(n, np.uint8(WALL_CODON))
    for i in range(n - 2):
        a, b, c = letters[i], letters[i + 1], letters[i + 2]
        largest = max(a, max(b, c))
        if largest < UNKNOWN:
            out[i] = 16 * a + 4 * b + c
        elif largest == UNKNOWN:
            out[i] = UNKNOWN_CODON
    return out


@njit(**_LOOPS)
def add_all_pairs(codons, out):
    """Count the pairs of codons that begin at every position of a strand, into out (4096,)."""
    for i in range(len(codons) - 3):
        a, b = codons[i], codons[i + 3]
        if a < UNKNOWN_CODON and b < UNKNOWN_CODON:
            out[64 * a + b] += 1


@njit(**_LOOPS)
def add_pairs(codons, starts, lasts, out):
    """Count the pairs of codons within genes, into out (4096,).

    Parameters
    ----------
    starts, lasts : (gene,), first letters of the first and of the last codon before the stop.
    """
    for k in range(len(starts)):
        for i in range(starts[k], lasts[k], 3):
            a, b = codons[i], codons[i + 3]
            if a < UNKNOWN_CODON and b < UNKNOWN_CODON:
                out[64 * a + b] += 1


@njit(**_LOOPS)
def add_codons(codons, starts, lasts, out):
    """Count the codons of every gene, into out (gene, 64); see `add_pairs`."""
    for k in range(len(starts)):
        for i in range(starts[k], lasts[k] + 1, 3):
            if codons[i] < UNKNOWN_CODON:
                out[k, codons[i]] += 1


@njit(**_LOOPS)
def find_frames(codons, is_stop, start_kind, shortest, shortest_cut, out, frames):
    """List all candidates of a strand: frame by frame, from each stop upstream.

    Parameters
    ----------
    codons : (position,), of `codons_of`, with a wall at either end.
    is_stop : (66,), and start_kind : (66,), 0 for a codon that starts nothing, else 1 to 3.
    shortest : bp, from the start to the end of the stop; shortest_cut : bp, of what a wall cuts.
    out : (candidate, 3), first letter, what it is, its step from the last codon upstream; filled
        as far as it goes.
    frames : (frame, 4), first letter of the last codon before the stop, end behind the stop, first
        candidate, and the one behind its last; only those with candidates.

    Returns
    -------
    n_candidates, n_frames : how many there are, even where out and frames are too small.
    """
    n = len(codons)
    m, f = 0, 0
    for shift in range(3):
        i = n - 1 - shift
        last, end, cut = 0, 0, True
        first_of = m
        while i >= 0:
            c = codons[i]
            wall = c == WALL_CODON
            if wall or is_stop[c]:
                if wall and end - (i + 3) >= shortest_cut:
                    # The contig begins within the frame: its start was not seen.
                    if m < len(out):
                        out[m, 0] = i + 3
                        out[m, 1] = NO_START + (NO_STOP if cut else 0)
                        out[m, 2] = (last - i - 3) // 3
                    m += 1
                if m > first_of:
                    if f < len(frames):
                        frames[f, 0], frames[f, 1] = last, end
                        frames[f, 2], frames[f, 3] = first_of, m
                    f += 1
                first_of = m
                cut = wall
                # Behind a wall the frame begins with the codon before it.
                end = i if wall else i + 3
                last = i - 3
            elif start_kind[c] > 0 and end - i >= (shortest_cut if cut else shortest):
                if m < len(out):
                    out[m, 0] = i
                    out[m, 1] = start_kind[c] + (NO_STOP if cut else 0)
                    out[m, 2] = (last - i) // 3
                m += 1
            i -= 3
    return m, f


@njit(**_LOOPS)
def add_up_pairs(codons, table, frames, starts, out):
    """Sum a table over the pairs of codons from every candidate to the last codon.

    Parameters
    ----------
    table : (4096,)
    frames : (frame, 4) and starts : (candidate,), of `find_frames`.
    out : (candidate,), replaced.
    """
    for k in range(len(frames)):
        total, j = 0.0, frames[k, 2]
        behind = np.uint8(UNKNOWN_CODON)
        i = frames[k, 0]
        while j < frames[k, 3]:
            c = codons[i]
            if c < UNKNOWN_CODON and behind < UNKNOWN_CODON:
                total += table[64 * c + behind]
            behind = c
            while j < frames[k, 3] and starts[j] == i:
                out[j] = total
                j += 1
            i -= 3
