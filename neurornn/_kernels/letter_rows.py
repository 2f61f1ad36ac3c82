"""Letters to rows of a table: the loops behind `SequenceSet.one_hot`.

Rows are copied as whole numbers of their size, so that one loop serves every type: four channels
of one byte are one store of four bytes.
"""

import numpy as np
from numba import njit

#: Letters that go through at a time: few, as one that is no base makes a block slow.
BLOCK = 1024


@njit(cache=True, nogil=True)
def whole_rows(letters: np.ndarray, table: np.ndarray, out: np.ndarray) -> np.generic:
    """Write one number for each letter.

    Parameters
    ----------
    letters : (letter,), uint8.
    table : (256,), the row of each byte as one unsigned number; all bits are set for a byte that
        must not come.
    out : (letter,), of the type of `table`.

    Returns
    -------
    unsigned
        All numbers written, or-ed: its highest bit says whether a letter came that must not, as no
        share is negative.
    """
    seen = table[0] - table[0]
    for i in range(letters.shape[0]):
        row = table[letters[i]]
        out[i] = row
        seen |= row
    return seen


@njit(cache=True, nogil=True)
def wide_rows(letters: np.ndarray, table: np.ndarray, out: np.ndarray) -> np.generic:
    """Write several numbers for each letter: `table` is (256, w) and `out` (letter, w)."""
    seen = table[0, 0] - table[0, 0]
    for i in range(letters.shape[0]):
        letter = letters[i]
        for j in range(table.shape[1]):
            out[i, j] = table[letter, j]
        seen |= table[letter, 0]
    return seen


@njit(cache=True, nogil=True)
def double_rows(letters: np.ndarray, table: np.ndarray, out: np.ndarray) -> np.generic:
    """Write two numbers for each letter: `table` is (256, 2) and `out` (letter, 2)."""
    seen = table[0, 0] - table[0, 0]
    for i in range(letters.shape[0]):
        first, second = table[letters[i], 0], table[letters[i], 1]
        out[i, 0] = first
        out[i, 1] = second
        seen |= first
    return seen


@njit(cache=True, nogil=True)
def _equal_to(text: np.ndarray, fold: np.uint8, base: np.uint8, one: np.generic, out: np.ndarray):
    """Write `one` where a letter is `base`, else zero: compared many at a time."""
    zero = one - one
    for i in range(text.shape[0]):
        out[i] = one if (text[i] & fold) == base else zero


@njit(cache=True, nogil=True)
def _has_others(text: np.ndarray, fold: np.uint8, bases: np.ndarray) -> bool:
    """Whether a letter is none of four bases."""
    first, second, third, last = bases[0], bases[1], bases[2], bases[3]
    seen = np.uint8(0)
    for i in range(text.shape[0]):
        letter = text[i] & fold
        is_base = (letter == first) | (letter == second) | (letter == third) | (letter == last)
        seen |= np.uint8(0 if is_base else 1)
    return seen != 0


@njit(cache=True, nogil=True)
def by_channel(
    letters: np.ndarray,
    bases: np.ndarray,
    fold: np.uint8,
    one: np.generic,
    table: np.ndarray,
    special: np.ndarray,
    out: np.ndarray,
) -> int:
    """Write channel after channel.

    Parameters
    ----------
    letters : (sequence, letter), uint8; they go through in blocks that stay in the first cache.
    bases : (base,), uint8, the upper case letters whose row is a single 1; they come first.
    fold : 0xDF where lower case is read as upper case, else 0xFF.
    one : what stands for 1, of the type of `table`.
    table : (channel, 256), the row of each byte.
    special : (256,), uint8, 0 for a byte whose row is what comparing it with the bases gives, 1
        for another row, 2 for a byte that must not come.
    out : (sequence, channel, letter), of the type of `table`.

    Returns
    -------
    int
        Not 0 if a letter came that must not.
    """
    seen = np.uint8(0)
    n, size = letters.shape
    n_bases, n_channels = bases.shape[0], table.shape[0]
    for s in range(n):
        for begin in range(0, size, BLOCK):
            text = letters[s, begin : begin + BLOCK]
            for c in range(n_bases):
                _equal_to(text, fold, bases[c], one, out[s, c, begin : begin + BLOCK])
            for c in range(n_bases, n_channels):
                out[s, c, begin : begin + BLOCK] = one - one
            if n_bases == 4 and not _has_others(text, fold, bases):
                continue
            for i in range(text.shape[0]):
                kind = special[text[i]]
                if kind:
                    seen |= kind
                    for c in range(n_channels):
                        out[s, c, begin + i] = table[c, text[i]]
    return seen & np.uint8(2)
