"""Windows of a genome around variants, with the reference allele and with the alternative."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.data.sequence_sets import SequenceSet

Letters = NDArray[np.uint8]
_N = ord("N")
#: Where a window is held: so many letters before what changes, so many behind it, or both ways.
ANCHORS = ("left", "right", "both")


class Change(NamedTuple):
    """What a variant changes once letters that both alleles share at their ends are left out.

    Attributes
    ----------
    row : number of the contig.
    start, stop : bp, 0-based half-open, the letters that are replaced; none of an insertion.
    new : letters that stand there instead.
    """

    row: int
    start: int
    stop: int
    new: Letters


def change_of(row: int, position: int, ref: str, alt: str) -> Change:
    """Return what a record of a VCF changes.

    Parameters
    ----------
    row : number of the contig. position : bp, 0-based. ref, alt : alleles, letters alone.

    Notes
    -----
    Letters in common are taken from the left first, as the letter that VCF puts before an indel.

    Examples
    --------
    >>> change_of(0, 10, "CTT", "CT")[:3]
    (0, 12, 13)
    >>> change_of(0, 10, "A", "ACG")[:3]
    (0, 11, 11)
    """
    one, other = ref.upper(), alt.upper()
    if one == other:
        letters = np.frombuffer(other.encode(), dtype=np.uint8)
        return Change(row, position, position + len(one), letters)
    shorter = min(len(one), len(other))
    head = next((k for k in range(shorter) if one[k] != other[k]), shorter)
    rest = shorter - head
    tail = next((k for k in range(rest) if one[-1 - k] != other[-1 - k]), rest)
    new = np.frombuffer(other[head : len(other) - tail].encode(), dtype=np.uint8)
    return Change(row, position + head, position + len(one) - tail, new)


def stretch(genome: SequenceSet, row: int, start: int, stop: int) -> Letters:
    """Letters of a contig, N where it has none; a circular one goes on at its origin.

    Parameters
    ----------
    genome : sequences. row : number of the contig.
    start, stop : bp, 0-based half-open; may lie beyond either end.
    """
    length = int(genome.lengths[row])
    if genome.circular[row] and length and stop - start <= length:
        first = start % length
        return genome.bytes_of(row, first, first + stop - start)
    out = np.full(stop - start, _N, dtype=np.uint8)
    a, b = min(max(start, 0), length), min(max(stop, 0), length)
    if a < b:
        out[a - start : b - start] = genome.bytes_of(row, a, b)
    return out


def window_pairs(
    genome: SequenceSet, change: Change, window: int, anchor: str
) -> list[tuple[Letters, Letters]]:
    """Windows with the reference and with the alternative, of equal length.

    Parameters
    ----------
    genome : sequences. change : of `change_of`. window : bp. anchor : one of `ANCHORS`.

    Returns
    -------
    list of (reference, alternative), each (window,)
        One pair, two for ``"both"`` where they differ; none where an allele is longer than the
        window.

    Notes
    -----
    With ``"left"`` both windows begin at the same letter of the genome, as many letters before the
    change as lie behind it with the longer allele, or one fewer. Where the alternative is shorter,
    letters from further right come in; where it is longer, the last ones leave. ``"right"`` is
    the mirror of that.
    """
    row, start, stop, new = change
    longer = max(stop - start, len(new))
    if longer > window:
        return []
    flank = (window - longer) // 2
    pairs = []
    if anchor in ("left", "both"):
        first = start - flank
        last = stop + window - flank - len(new)
        whole = stretch(genome, row, first, max(first + window, last))
        cut = (whole[:flank], new, whole[stop - first : last - first])
        pairs.append((whole[:window], np.concatenate(cut)))
    differ = (window - longer) % 2 == 1 or stop - start != len(new)
    if anchor == "right" or (anchor == "both" and differ):
        end = stop + flank
        first = start - (window - flank - len(new))
        begin = min(first, end - window)
        whole = stretch(genome, row, begin, end)
        cut = (whole[first - begin : start - begin], new, whole[stop - begin :])
        pairs.append((whole[len(whole) - window :], np.concatenate(cut)))
    return pairs


def reverse_complements(x: NDArray[Any]) -> NDArray[Any]:
    """The other strand of one-hot windows (window, position, letter) in the order ACGT."""
    return x[:, ::-1, ::-1]


def one_hot_of(windows: list[Letters], ambiguous: str) -> NDArray[np.float32]:
    """One-hot windows (window, position, letter) of letters of one length.

    Parameters
    ----------
    windows : (position,) each. ambiguous : see `SequenceSet.one_hot`.
    """
    n, size = len(windows), len(windows[0])
    edges = np.arange(n + 1) * size
    names = [f"window {k}" for k in range(n)]
    letters = SequenceSet(np.concatenate(windows), edges[:-1], edges[1:], names)
    hot = letters.one_hot(layout="base_last", ambiguous=ambiguous)  # type: ignore[arg-type]
    return np.asarray(hot.values)
