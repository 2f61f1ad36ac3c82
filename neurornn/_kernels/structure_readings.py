"""What sweeps over gene structures say: the best structure, and how probable each part is."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}


class Marginals(NamedTuple):
    """Probabilities of what one strand offers, and of what covers each letter.

    Attributes
    ----------
    coding : (3, position), that a letter codes as the first, second or third of a codon.
    intron : (position,), that it lies in an intron.
    start, stop : (site,). donor, acceptor : (site, 3), by letters of a codon that lie before.
    """

    coding: NDArray[np.float64]
    intron: NDArray[np.float64]
    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    donor: NDArray[np.float64]
    acceptor: NDArray[np.float64]


@njit(**_LOOPS)
def marginals(strand, along, back):
    """Probabilities of the sites of the forward strand of a sweep, and of its letters.

    Parameters
    ----------
    strand : StrandScores of the forward strand of `along`.
    along : sums of a sweep. back : sums of the sweep with the two strands exchanged.
    """
    n = len(strand.letters)
    whole = along.between[n]
    start, stop = np.zeros(len(strand.starts)), np.zeros(len(strand.stops))
    donor, acceptor = np.zeros((len(strand.donors), 3)), np.zeros((len(strand.acceptors), 3))
    by_frame, intron = np.zeros((3, n + 1)), np.zeros(n + 1)
    for k in range(len(start)):
        a = strand.starts[k]
        start[k] = np.exp(along.between[a] + strand.start[k] + back.start_behind[k] - whole)
        by_frame[a % 3, a] += start[k]
    for k in range(len(stop)):
        b = strand.stops[k]
        stop[k] = np.exp(along.stop[k] + back.between[n - b] - whole)
        by_frame[b % 3, b] -= stop[k]
    for k in range(len(donor)):
        d = strand.donors[k]
        for p in range(3):
            x = np.exp(along.donor[k, p] + back.donor_behind[k, p] - whole)
            donor[k, p] = x
            by_frame[(d - p) % 3, d] -= x
            intron[d] += x
    for k in range(len(acceptor)):
        a = strand.acceptors[k]
        for p in range(3):
            x = np.exp(along.acceptor[k, p] + back.acceptor_behind[k, p] - whole)
            acceptor[k, p] = x
            by_frame[(a - p) % 3, a] += x
            intron[a] -= x
    coding = np.zeros((3, n))
    for r in range(3):
        total = 0.0
        for q in range(n):
            total += by_frame[r, q]
            coding[(q - r) % 3, q] = min(max(total, 0.0), 1.0)
    total = 0.0
    for q in range(n):
        total += intron[q]
        intron[q] = min(max(total, 0.0), 1.0)
    return Marginals(coding, intron[:n], start, stop, donor, acceptor)


@njit(**_LOOPS)
def best_exons(one, other, found):
    """Follow the best structure of a sweep with `hard` from its end.

    Parameters
    ----------
    one, other : as for `sweep`. found : its Sweep.

    Returns
    -------
    (exon, 5) : gene, strand (0 or 1), start and end in the strand's own coordinates, and letters
        of a codon that lie before the exon; genes from the right, exons in no order.
    """
    n = len(one.letters)
    out = np.empty((64, 5), np.int64)
    size, gene, x = 0, 0, n
    while x > 0:
        via = found.from_between[x]
        if via < 0:
            x -= 1
            continue
        strand = via % 2
        if strand == 0:
            at, who = one.stops[via // 2], found.from_stop[via // 2]
        else:
            at, who = other.starts[via // 2], found.from_start_behind[via // 2]
        phase, ended = 0, False
        while not ended:
            if size == len(out):
                wider = np.empty((2 * size, 5), np.int64)
                wider[:size] = out
                out = wider
            k, p = who // 4, who % 4
            ended = p == 3
            if strand == 0:
                left = one.starts[k] if ended else one.acceptors[k]
                out[size, 2], out[size, 3], out[size, 4] = left, at, 0 if ended else p
                if ended:
                    x = left
                else:
                    d = found.from_acceptor[k, p]
                    at, who = one.donors[d // 3], found.from_donor[d // 3, d % 3]
            else:
                right = other.stops[k] if ended else other.donors[k]
                out[size, 2], out[size, 3], out[size, 4] = at, right, phase
                if ended:
                    x = n - right
                else:
                    a = found.from_donor_behind[k, p]
                    at, phase = other.acceptors[a // 3], a % 3
                    who = found.from_acceptor_behind[a // 3, phase]
            out[size, 0], out[size, 1] = gene, strand
            size += 1
        gene += 1
    return out[:size]
