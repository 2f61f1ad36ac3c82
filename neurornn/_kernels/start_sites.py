"""What lies around a start: the pairing with the ribosome, and profiles of letters."""

from numba import njit

from neurornn._kernels.open_frames import UNKNOWN

_LOOPS = {"cache": True, "nogil": True, "error_model": "numpy"}

#: Longest run that is told from longer ones, shortest that counts, and how many spacings are trie
LONGEST_RUN, SHORTEST_RUN, N_SPACINGS = 8, 3, 16
#: Classes of pairing: none, or a run of some length at some spacing.
N_PAIRINGS = 1 + (LONGEST_RUN - SHORTEST_RUN + 1) * N_SPACINGS
#: Spacing that wins between runs of one length.
_USUAL = 6


@njit(**_LOOPS)
def pairing_classes(letters, starts, motif, out):
    """Class of the best pairing upstream of each start.

    Parameters
    ----------
    letters : (position,). starts : (candidate,)
    motif : letters that pair with the end of the 16S RNA, 5' to 3'.
    out : (candidate,), 0 for no pairing, else ``1 + (run - 3) * 16 + spacing - 1``; replaced.

    Notes
    -----
    The motif is laid along the letters with its last letter but two `spacing` bases before the
    start; what counts is the longest run of equal letters.
    """
    n = len(motif)
    for k in range(len(starts)):
        p = starts[k]
        best, at, away = 0, 0, 99
        for spacing in range(1, N_SPACINGS + 1):
            run = 0
            first = p - spacing - n + 3
            distance = abs(spacing - _USUAL)
            for j in range(n):
                q = first + j
                if q < 0 or q >= p or letters[q] != motif[j]:
                    run = 0
                    continue
                run += 1
                if run > best or (run == best and distance < away):
                    best, at, away = run, spacing, distance
        run = min(best, LONGEST_RUN)
        out[k] = 0 if run < SHORTEST_RUN else 1 + (run - SHORTEST_RUN) * N_SPACINGS + at - 1


@njit(**_LOOPS)
def add_profile(letters, starts, first, out):
    """Count letters by their place around starts.

    Parameters
    ----------
    first : place of the first row, relative to the start.
    out : (place, 4), added to.
    """
    n = len(letters)
    for k in range(len(starts)):
        for j in range(len(out)):
            q = starts[k] + first + j
            if 0 <= q < n and letters[q] < UNKNOWN:
                out[j, letters[q]] += 1


@njit(**_LOOPS)
def profile_scores(letters, starts, first, weights, zone, out):
    """Sum weights of the letters around starts, zone by zone.

    Parameters
    ----------
    weights : (place, 4). zone : (place,), column of out, or -1 for a place that is left out.
    out : (candidate, zone), replaced.
    """
    n = len(letters)
    for k in range(len(starts)):
        out[k] = 0.0
        for j in range(len(zone)):
            q = starts[k] + first + j
            if zone[j] >= 0 and 0 <= q < n and letters[q] < UNKNOWN:
                out[k, zone[j]] += weights[j, letters[q]]
