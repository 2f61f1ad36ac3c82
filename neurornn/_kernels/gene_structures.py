"""Genes of exons and introns on both strands: sums over all legal structures, and the best one.

A structure is a row of genes that do not overlap. A gene begins with ATG, ends with a stop, has no
stop in its frame before that, across introns too, and introns that begin with a donor and end
with an acceptor. Each strand has coordinates of its own, in the direction of reading; a sweep goes
along the forward strand, and meets genes of the reverse strand from their stops.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}

#: Kinds of exons, rows of a table of exon lengths.
INITIAL, INTERNAL, TERMINAL, SINGLE = 0, 1, 2, 3
_A, _G, _T = 0, 2, 3
#: Frames: whether a codon that begins here ends the reading, and how.
_OPEN, _STOP, _WALLED = 0, 1, 2


class StrandScores(NamedTuple):
    """What one strand offers, in its own coordinates.

    Attributes
    ----------
    letters : (position,), 0 to 3 for ACGT, 4 unknown, 5 no sequence.
    next_stop, last_stop : (position,), first place at or behind, and last at or before, in steps
        of a codon, at which a stop or a wall begins; the number of positions or -1 for none.
    coding : (3, position + 1), running sums of what a coding letter scores, by frame: position
        of the first letter of a codon, modulo 3.
    intron : (position + 1,), running sum of what a letter of an intron scores.
    starts, stops, donors, acceptors : places, sorted: where ATG begins, behind a stop, where an
        intron begins, and behind an intron.
    start, stop, donor, acceptor : what each of them scores.
    """

    letters: NDArray[np.uint8]
    next_stop: NDArray[np.int64]
    last_stop: NDArray[np.int64]
    coding: NDArray[np.float64]
    intron: NDArray[np.float64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    donors: NDArray[np.int64]
    acceptors: NDArray[np.int64]
    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    donor: NDArray[np.float64]
    acceptor: NDArray[np.float64]


class LengthScores(NamedTuple):
    """What lengths score.

    Attributes
    ----------
    exon : (4, length), by kind, of the coding part; the last entry is for all that are longer.
    intron : (length,), up to the longest that is looked up; shorter ones than `least_intron` are
        not allowed.
    slope : lost for each letter of an intron beyond that table.
    least_exon, least_intron : bp.
    """

    exon: NDArray[np.float64]
    intron: NDArray[np.float64]
    slope: float
    least_exon: int
    least_intron: int


class Sweep(NamedTuple):
    """Values of one sweep from the left: log sums, or bests with where they came from.

    Attributes
    ----------
    between : (position + 1,), of all structures up to a place outside genes.
    acceptor, donor : (site, 3), forward strand, by letters of a codon that lie before: of all that
        precedes, with the site.
    stop : (site,), forward strand, the same.
    start_behind, acceptor_behind, donor_behind : reverse strand: of all that lies behind the site
        in its direction of reading, the site itself left out.
    from_* : where a best value came from; -1 for nowhere.
    """

    between: NDArray[np.float64]
    acceptor: NDArray[np.float64]
    donor: NDArray[np.float64]
    stop: NDArray[np.float64]
    start_behind: NDArray[np.float64]
    acceptor_behind: NDArray[np.float64]
    donor_behind: NDArray[np.float64]
    from_between: NDArray[np.int64]
    from_acceptor: NDArray[np.int64]
    from_donor: NDArray[np.int64]
    from_stop: NDArray[np.int64]
    from_start_behind: NDArray[np.int64]
    from_acceptor_behind: NDArray[np.int64]
    from_donor_behind: NDArray[np.int64]


@njit(**_LOOPS)
def _codon_kind(letters, k, is_stop):
    if letters[k] == 5 or letters[k + 1] == 5 or letters[k + 2] == 5:
        return _WALLED
    if letters[k] > 3 or letters[k + 1] > 3 or letters[k + 2] > 3:
        return _OPEN
    return _STOP if is_stop[16 * letters[k] + 4 * letters[k + 1] + letters[k + 2]] else _OPEN


@njit(**_LOOPS)
def stops_around(letters, is_stop):
    """Find the first stop at or behind, and the last at or before each place, in its frame.

    Parameters
    ----------
    letters : (position,). is_stop : (64,), by codon.
    """
    n = len(letters)
    behind, before = np.full(n + 3, n, np.int64), np.full(n, -1, np.int64)
    for k in range(n - 3, -1, -1):
        kind = _codon_kind(letters, k, is_stop)
        behind[k] = behind[k + 3] if kind == _OPEN else k
    for k in range(n - 2):
        kind = _codon_kind(letters, k, is_stop)
        before[k] = (before[k - 3] if k > 2 else -1) if kind == _OPEN else k
    return behind[:n], before


@njit(inline="always")
def _both(a, b):
    if a < b:
        a, b = b, a
    if b == -np.inf:
        return a
    return a + np.log1p(np.exp(b - a))


@njit(inline="always")
def _left_class(letters, d, phase):
    """Class of an intron by the letters before it: 2 T|, 4 TA|, 5 TG|."""
    if phase == 0:
        return 0
    last = letters[d - 1]
    if phase == 1:
        return 2 if last == _T else 1
    if letters[d - 2] == _T:
        if last == _A:
            return 4
        if last == _G:
            return 5
    return 3


@njit(inline="always")
def _right_class(letters, a, phase):
    """Class of an intron by the letters behind it: 2 no T before, 4 no TA, 5 neither TA nor TG."""
    if phase == 0:
        return 0
    one = letters[a]
    if phase == 1:
        two = letters[a + 1] if a + 1 < len(letters) else 4
        if (one == _A and two in (_A, _G)) or (one == _G and two == _A):
            return 2
        return 1
    if one == _A:
        return 5
    return 4 if one == _G else 3


@njit(inline="always")
def _fits(left, right):
    """Whether a codon across an intron is no stop."""
    if left == 2:
        return right != 2
    if left == 4:
        return right < 4
    if left == 5:
        return right != 5
    return True


@njit(inline="always")
def _exon_score(table, kind, size):
    last = table.shape[1] - 1
    return table[kind, size if size < last else last]


@njit(**_LOOPS)
def _classes(strand, at_donors):
    """Class of each site by the letters of a codon that lie before it, (site, 3)."""
    places = strand.donors if at_donors else strand.acceptors
    out = np.zeros((len(places), 3), np.int8)
    for k in range(len(places)):
        for phase in range(3):
            if at_donors:
                out[k, phase] = _left_class(strand.letters, max(places[k], phase), phase)
            else:
                out[k, phase] = _right_class(strand.letters, places[k], phase)
    return out


@njit(**_LOOPS)
def sweep(one, other, lengths, hard):
    """Go along the forward strand, and sum over, or find the best of, all legal structures.

    Parameters
    ----------
    one, other : StrandScores of the forward and of the reverse strand.
    lengths : LengthScores.
    hard : find the best; else log sums.

    Returns
    -------
    Sweep; its `between` ends with the value of all.
    """
    n = len(one.letters)
    bad = -np.inf
    least_intron = lengths.least_intron
    longest = len(lengths.intron) - 1
    between, from_between = np.full(n + 1, bad), np.full(n + 1, -1, np.int64)
    acceptor = np.full((len(one.acceptors), 3), bad)
    donor = np.full((len(one.donors), 3), bad)
    stop = np.full(len(one.stops), bad)
    start_behind = np.full(len(other.starts), bad)
    acceptor_behind = np.full((len(other.acceptors), 3), bad)
    donor_behind = np.full((len(other.donors), 3), bad)
    from_acceptor = np.full(acceptor.shape, -1, np.int64)
    from_donor = np.full(donor.shape, -1, np.int64)
    from_stop = np.full(stop.shape, -1, np.int64)
    from_start_behind = np.full(start_behind.shape, -1, np.int64)
    from_acceptor_behind = np.full(acceptor_behind.shape, -1, np.int64)
    from_donor_behind = np.full(donor_behind.shape, -1, np.int64)
    # Introns that are longer than the table: by class, and which donor is the best of them.
    tail, tail_from = np.full(6, bad), np.full(6, -1, np.int64)
    back_tail, back_from = np.full(6, bad), np.full(6, -1, np.int64)
    by_class, class_from, added = np.empty(6), np.empty(6, np.int64), np.zeros(6)
    left, right = _classes(one, True), _classes(other, False)
    i_start, i_stop, i_acceptor, i_near, i_far = 0, 0, 0, 0, 0
    j_start, j_stop, j_donor = len(other.starts) - 1, len(other.stops) - 1, len(other.donors) - 1
    j_near, j_far = len(other.acceptors) - 1, len(other.acceptors) - 1
    between[0] = 0.0
    for x in range(n + 1):
        y = n - x
        # Genes that end here: forward ones with their stop, reverse ones with their start.
        total, via = (between[x - 1], np.int64(-1)) if x else (0.0, np.int64(-1))
        while i_stop < len(one.stops) and one.stops[i_stop] < x:
            i_stop += 1
        if i_stop < len(one.stops) and one.stops[i_stop] == x:
            value = stop[i_stop]
            if hard:
                if value > total:
                    total, via = value, np.int64(2 * i_stop)
            else:
                total = _both(total, value)
        while j_start >= 0 and other.starts[j_start] > y:
            j_start -= 1
        if j_start >= 0 and other.starts[j_start] == y:
            value = start_behind[j_start] + other.start[j_start]
            if hard:
                if value > total:
                    total, via = value, np.int64(2 * j_start + 1)
            else:
                total = _both(total, value)
        between[x], from_between[x] = total, via

        # Forward strand: exons that begin here, with a start or behind an intron.
        if i_start < len(one.starts) and one.starts[i_start] == x:
            _push(
                one, lengths, x, 0, between[x] + one.start[i_start], True,
                np.int64(4 * i_start + 3), donor, stop, from_donor, from_stop, hard,
            )  # fmt: skip
            i_start += 1
        if i_acceptor < len(one.acceptors) and one.acceptors[i_acceptor] == x:
            # Donors that left the table go into the tail.
            while i_far < len(one.donors) and x - one.donors[i_far] > longest:
                d = one.donors[i_far]
                for phase in range(3):
                    value = donor[i_far, phase]
                    if value == bad:
                        continue
                    c = _left_class(one.letters, d, phase)
                    value += lengths.slope * d - one.intron[d]
                    if hard:
                        if value > tail[c]:
                            tail[c], tail_from[c] = value, 3 * i_far + phase
                    else:
                        tail[c] = _both(tail[c], value)
                i_far += 1
            while i_near < len(one.donors) and one.donors[i_near] <= x - least_intron:
                i_near += 1
            for c in range(6):
                by_class[c] = tail[c] + lengths.intron[longest] - lengths.slope * (x - longest)
                class_from[c] = tail_from[c]
            for k in range(i_far, i_near):
                d = one.donors[k]
                cost = lengths.intron[x - d] - one.intron[d]
                if cost == bad:
                    continue
                for phase in range(3):
                    value = donor[k, phase] + cost
                    c = left[k, phase]
                    if value > by_class[c]:
                        by_class[c], class_from[c] = value, 3 * k + phase
            if not hard:
                # The largest of each class is known: the others are added up relative to it.
                for c in range(6):
                    t = tail[c] + lengths.intron[longest] - lengths.slope * (x - longest)
                    added[c] = np.exp(t - by_class[c]) if by_class[c] > bad else 0.0
                for k in range(i_far, i_near):
                    d = one.donors[k]
                    cost = lengths.intron[x - d] - one.intron[d]
                    if cost == bad:
                        continue
                    for phase in range(3):
                        c = left[k, phase]
                        value = donor[k, phase] + cost - by_class[c]
                        if value > -40.0:
                            added[c] += np.exp(value)
                for c in range(6):
                    if by_class[c] > bad:
                        by_class[c] += np.log(added[c])
            for c in range(6):
                if by_class[c] == bad:
                    continue
                phase = 0 if c == 0 else 1 if c < 3 else 2
                if not _fits(c, _right_class(one.letters, x, phase)):
                    continue
                value = by_class[c] + one.intron[x] + one.acceptor[i_acceptor]
                if hard:
                    if value > acceptor[i_acceptor, phase]:
                        acceptor[i_acceptor, phase] = value
                        from_acceptor[i_acceptor, phase] = class_from[c]
                else:
                    acceptor[i_acceptor, phase] = _both(acceptor[i_acceptor, phase], value)
            for phase in range(3):
                value = acceptor[i_acceptor, phase]
                if value > bad:
                    _push(
                        one, lengths, x, phase, value, False, np.int64(4 * i_acceptor + phase),
                        donor, stop, from_donor, from_stop, hard,
                    )  # fmt: skip
            i_acceptor += 1

        # Reverse strand: exons whose end, in their own direction, lies here.
        while j_stop >= 0 and other.stops[j_stop] > y:
            j_stop -= 1
        if j_stop >= 0 and other.stops[j_stop] == y:
            _push_back(
                other, lengths, y, 0, between[x] + other.stop[j_stop], True,
                np.int64(4 * j_stop + 3), start_behind, acceptor_behind, from_start_behind,
                from_acceptor_behind, hard,
            )  # fmt: skip
        if j_donor >= 0 and other.donors[j_donor] == y:
            while j_far >= 0 and other.acceptors[j_far] - y > longest:
                a = other.acceptors[j_far]
                for phase in range(3):
                    value = acceptor_behind[j_far, phase]
                    if value == bad:
                        continue
                    c = _right_class(other.letters, a, phase)
                    value += other.acceptor[j_far] + other.intron[a] - lengths.slope * a
                    if hard:
                        if value > back_tail[c]:
                            back_tail[c], back_from[c] = value, 3 * j_far + phase
                    else:
                        back_tail[c] = _both(back_tail[c], value)
                j_far -= 1
            while j_near >= 0 and other.acceptors[j_near] >= y + least_intron:
                j_near -= 1
            for c in range(6):
                by_class[c] = (
                    back_tail[c] + lengths.intron[longest] + lengths.slope * (y + longest)
                )
                class_from[c] = back_from[c]
            for k in range(j_far, j_near, -1):
                a = other.acceptors[k]
                cost = lengths.intron[a - y] + other.intron[a] + other.acceptor[k]
                if cost == bad:
                    continue
                for phase in range(3):
                    value = acceptor_behind[k, phase] + cost
                    c = right[k, phase]
                    if value > by_class[c]:
                        by_class[c], class_from[c] = value, 3 * k + phase
            if not hard:
                for c in range(6):
                    t = back_tail[c] + lengths.intron[longest] + lengths.slope * (y + longest)
                    added[c] = np.exp(t - by_class[c]) if by_class[c] > bad else 0.0
                for k in range(j_far, j_near, -1):
                    a = other.acceptors[k]
                    cost = lengths.intron[a - y] + other.intron[a] + other.acceptor[k]
                    if cost == bad:
                        continue
                    for phase in range(3):
                        c = right[k, phase]
                        value = acceptor_behind[k, phase] + cost - by_class[c]
                        if value > -40.0:
                            added[c] += np.exp(value)
                for c in range(6):
                    if by_class[c] > bad:
                        by_class[c] += np.log(added[c])
            for phase in range(3):
                # A donor with fewer letters before it than the phase has no codon to end.
                if y < phase:
                    continue
                before = _left_class(other.letters, y, phase)
                for c in range(6):
                    if (0 if c == 0 else 1 if c < 3 else 2) != phase or by_class[c] == bad:
                        continue
                    if not _fits(before, c):
                        continue
                    value = by_class[c] - other.intron[y]
                    if hard:
                        if value > donor_behind[j_donor, phase]:
                            donor_behind[j_donor, phase] = value
                            from_donor_behind[j_donor, phase] = class_from[c]
                    else:
                        donor_behind[j_donor, phase] = _both(donor_behind[j_donor, phase], value)
                value = donor_behind[j_donor, phase]
                if value > bad:
                    _push_back(
                        other, lengths, y, phase, value + other.donor[j_donor], False,
                        np.int64(4 * j_donor + phase), start_behind, acceptor_behind,
                        from_start_behind, from_acceptor_behind, hard,
                    )  # fmt: skip
            j_donor -= 1
    return Sweep(
        between, acceptor, donor, stop, start_behind, acceptor_behind, donor_behind, from_between,
        from_acceptor, from_donor, from_stop, from_start_behind, from_acceptor_behind,
        from_donor_behind,
    )  # fmt: skip


@njit(**_LOOPS)
def _push(
    s, lengths, a, phase, value, is_first, who, donor, stop, from_donor, from_stop, hard
):  # fmt: skip
    """Send a value through all exons that begin at `a` to where they end, forward."""
    n = len(s.letters)
    frame = (a - phase) % 3
    first = a + (3 - phase) % 3
    if first >= n:
        return
    end = s.next_stop[first]
    base = value - s.coding[frame, a]
    b = end + 3
    if b <= n and s.letters[end] != 5 and b - a >= lengths.least_exon:
        k = np.searchsorted(s.stops, b)
        if k < len(s.stops) and s.stops[k] == b:
            v = base + s.coding[frame, b] + s.stop[k]
            v += _exon_score(lengths.exon, SINGLE if is_first else TERMINAL, b - a)
            if hard:
                if v > stop[k]:
                    stop[k], from_stop[k] = v, who
            else:
                stop[k] = _both(stop[k], v)
    kind = INITIAL if is_first else INTERNAL
    k = np.searchsorted(s.donors, a + lengths.least_exon)
    while k < len(s.donors) and s.donors[k] <= end + 2:
        d = s.donors[k]
        p = (d - frame) % 3
        v = base + s.coding[frame, d] + s.donor[k] + _exon_score(lengths.exon, kind, d - a)
        if hard:
            if v > donor[k, p]:
                donor[k, p], from_donor[k, p] = v, who
        else:
            donor[k, p] = _both(donor[k, p], v)
        k += 1


@njit(**_LOOPS)
def _push_back(
    s, lengths, b, phase, value, is_last, who, start, acceptor, from_start, from_acceptor, hard
):  # fmt: skip
    """Send a value through all exons that end at `b` to where they begin, against the reading."""
    frame = (b - phase) % 3
    # The last whole codon before the end that must be no stop.
    codon = b - phase - (6 if is_last else 3)
    last = s.last_stop[codon] if codon >= 0 else -1
    base = value + s.coding[frame, b]
    kind = TERMINAL if is_last else INTERNAL
    k = np.searchsorted(s.acceptors, b - lengths.least_exon, side="right") - 1
    while k >= 0 and s.acceptors[k] > last:
        a = s.acceptors[k]
        p = (a - frame) % 3
        v = base - s.coding[frame, a] + _exon_score(lengths.exon, kind, b - a)
        if hard:
            if v > acceptor[k, p]:
                acceptor[k, p], from_acceptor[k, p] = v, who
        else:
            acceptor[k, p] = _both(acceptor[k, p], v)
        k -= 1
    kind = SINGLE if is_last else INITIAL
    k = np.searchsorted(s.starts, b - lengths.least_exon, side="right") - 1
    while k >= 0 and s.starts[k] > last:
        a = s.starts[k]
        if (a - frame) % 3 == 0:
            v = base - s.coding[frame, a] + _exon_score(lengths.exon, kind, b - a)
            if hard:
                if v > start[k]:
                    start[k], from_start[k] = v, who
            else:
                start[k] = _both(start[k], v)
        k -= 1
