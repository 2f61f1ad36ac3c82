"""One-hot arrays of letters, in any order, layout and manner."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neurornn._core.checks import check_choice
from neurornn._core.errors import DataError, KindError
from neurornn.data.alphabets import ALPHABETS, Alphabet

LAYOUTS = {
    "base_first": ("sequence", "base", "position"),
    "base_last": ("sequence", "position", "base"),
}
#: What a letter that stands for several becomes; "n_or_error" is for a convention alone.
UNKNOWN = ("zeros", "quarter", "fractions", "channel", "error")
SOFT_MASK = ("keep", "unknown", "channel")


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How letters become numbers.

    Parameters
    ----------
    order : the letters that have a channel, in its order; that of the alphabet by default.
    layout : ``"base_first"`` (sequence, base, position) or ``"base_last"`` (sequence, position,
        base).
    unknown : what N and other letters that stand for several become: ``"zeros"``; ``"quarter"``,
        an equal share of every base; ``"fractions"``, of the bases they stand for; ``"channel"``,
        a 1 in a channel of their own; or ``"error"``.
    soft_mask : lower case is read as upper case (``"keep"``), as a letter that is not known
        (``"unknown"``), or as upper case with a 1 in a channel of its own (``"channel"``).
    dtype : of the array.
    third : what stands for a third.
    """

    order: str = ""
    layout: str = "base_first"
    unknown: str = "zeros"
    soft_mask: str = "keep"
    dtype: DTypeLike = np.float32
    third: float = 1 / 3


#: Letters below which NumPy is done before the compiled loops are loaded.
SMALL = 2**16

#: What other programs for DNA take, by their name.
CONVENTIONS = {
    # A letter besides ACGTN would there be read as one of the bases; here it is zeros.
    "spliceai": Encoding(order="ACGT", layout="base_last", unknown="zeros"),
    "selene": Encoding(order="ACGT", layout="base_last", unknown="quarter"),
    "tangermeme": Encoding(order="ACGT", unknown="n_or_error", dtype=np.int8),
    "helixer": Encoding(order="CATG", layout="base_last", unknown="fractions", third=0.33),
}


def chosen_encoding(
    alphabet: Alphabet,
    convention: str | None = None,
    *,
    order: str | None = None,
    layout: str | None = None,
    unknown: str | None = None,
    soft_mask: str | None = None,
    dtype: DTypeLike | None = None,
) -> Encoding:
    """Return the encoding of a convention, or the usual one, with what was asked for besides.

    Parameters
    ----------
    alphabet : of the letters.
    convention : ``"spliceai"``, ``"selene"``, ``"tangermeme"`` or ``"helixer"``.
    order, layout, unknown, soft_mask, dtype : see `Encoding`; None leaves them as they are.

    Raises
    ------
    NameUnknownError, DataError, KindError
        A manner that is not known, an order that is none of the bases, shares in whole numbers.
    """
    base = Encoding()
    if convention is not None:
        base = CONVENTIONS[check_choice(convention, "convention", CONVENTIONS)]
        if alphabet.name != "dna":
            raise KindError(
                f"The convention {convention!r} was asked of {alphabet.name}",
                "DNA was needed",
                "Leave convention out, and say order, layout and unknown yourself",
            )
    if unknown is not None:
        check_choice(unknown, "unknown", UNKNOWN)
    asked: dict[str, Any] = {
        "order": order,
        "layout": None if layout is None else check_choice(layout, "layout", LAYOUTS),
        "unknown": unknown,
        "soft_mask": None
        if soft_mask is None
        else check_choice(soft_mask, "soft_mask", SOFT_MASK),
        "dtype": dtype,
    }
    made = replace(base, **{k: v for k, v in asked.items() if v is not None})
    if not isinstance(made.order or "", str):
        raise KindError(
            f"order is {order!r}",
            "The bases as text were needed",
            f"Pass order={alphabet.bases!r}, or another order of these letters",
        )
    made = replace(made, order=(made.order or alphabet.bases).upper(), dtype=np.dtype(made.dtype))
    if sorted(made.order) != sorted(alphabet.bases):
        raise DataError(
            f"order is {order!r}",
            f"Each of {alphabet.bases} once was needed",
            f"Pass order={alphabet.bases!r}, or another order of these letters",
        )
    if made.unknown in ("fractions", "quarter") and np.dtype(made.dtype).kind != "f":
        raise KindError(
            f"dtype is {np.dtype(made.dtype)} with shares for unknown letters "
            f"({made.unknown!r}; ambiguous='fractions' is the same)",
            "A floating type was needed: N is 0.25 of each base",
            "Pass dtype=np.float32",
        )
    return made


def channels_of(encoding: Encoding) -> list[str]:
    """Return what each channel stands for.

    Parameters
    ----------
    encoding : as chosen.
    """
    more = [
        name
        for name, manner in (("unknown", encoding.unknown), ("mask", encoding.soft_mask))
        if manner == "channel"
    ]
    return [*encoding.order, *more]


@lru_cache(maxsize=64)
def encoding_table(
    alphabet: str, encoding: Encoding, pad: bool
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return the row of every byte, (256, channel), and which bytes must not come, (256,).

    Parameters
    ----------
    alphabet : name.
    encoding : as chosen.
    pad : bool
        Byte 0 is padding: a row of zeros.
    """
    return _encoding_table(ALPHABETS[alphabet], encoding, pad)


def _encoding_table(
    alphabet: Alphabet, encoding: Encoding, pad: bool
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    channels = channels_of(encoding)
    table = np.zeros((256, len(channels)))
    odd = np.ones(256, dtype=np.uint8)
    odd[0] = not pad

    def row_of(letter: str) -> NDArray[np.float64]:
        row = np.zeros(len(channels))
        if letter in encoding.order:
            row[encoding.order.index(letter)] = 1
            return row
        stands_for = alphabet.ambiguous[letter]
        if encoding.unknown == "quarter":
            row[: len(encoding.order)] = 1 / len(encoding.order)
        elif encoding.unknown == "channel":
            row[channels.index("unknown")] = 1
        elif encoding.unknown == "fractions":
            share = encoding.third if len(stands_for) == 3 else 1 / max(1, len(stands_for))
            row[[encoding.order.index(base) for base in stands_for]] = share
        return row

    any_base = next(k for k, v in alphabet.ambiguous.items() if len(v) == len(alphabet.bases))
    refused = set(alphabet.ambiguous) if encoding.unknown == "error" else set()
    if encoding.unknown == "n_or_error":
        refused = set(alphabet.ambiguous) - {any_base}
    for letter in alphabet.order:
        upper, lower = ord(letter), ord(letter.lower())
        table[upper] = row_of(letter)
        table[lower] = row_of(any_base) if encoding.soft_mask == "unknown" else row_of(letter)
        odd[[upper, lower]] = letter in refused
        if encoding.soft_mask == "unknown" and upper != lower:
            odd[lower] = any_base in refused
        if encoding.soft_mask == "channel" and upper != lower:
            table[lower, channels.index("mask")] = 1
    made = table.astype(encoding.dtype)
    for array in (made, odd):
        array.setflags(write=False)
    return made, odd


def encode(
    letters: NDArray[np.uint8],
    table: NDArray[Any],
    odd: NDArray[np.uint8],
    encoding: Encoding,
) -> tuple[NDArray[Any], bool]:
    """Return the one-hot array, and whether a letter came that must not.

    Parameters
    ----------
    letters : (sequence, position), ASCII bytes.
    table, odd : of `encoding_table`.
    encoding : as chosen.
    """
    n, size = letters.shape
    width, wide = table.shape[1], table.dtype.itemsize
    base_first = encoding.layout == "base_first"
    if n * size < SMALL or wide > 8:
        rows = np.take(table, letters, axis=0)
        if base_first:
            rows = np.ascontiguousarray(np.swapaxes(rows, 1, 2))
        return rows, bool(np.take(odd, letters).any())
    from neurornn._kernels.letter_rows import by_channel, double_rows, whole_rows, wide_rows

    flat = np.ascontiguousarray(letters).reshape(-1)
    if base_first:
        out = np.empty((n, width, size), dtype=table.dtype)
        bases = np.frombuffer(bytearray(encoding.order.encode()), dtype=np.uint8)
        fold = np.uint8(0xDF if encoding.soft_mask == "keep" else 0xFF)
        columns = np.ascontiguousarray(table.T).view(f"u{wide}")
        one, store = columns[0, bases[0]], out.view(f"u{wide}")
        compared = (np.arange(256, dtype=np.uint8) & fold) == bases[:, None]
        differs = (columns[: len(bases)] != np.where(compared, one, one - one)).any(0)
        differs |= columns[len(bases) :].any(0)
        special = np.where(odd > 0, 2, differs).astype(np.uint8)
        text = flat.reshape(n, size)
        return out, bool(by_channel(text, bases, fold, one, columns, special, store))
    out = np.empty((n, size, width), dtype=table.dtype)
    # Rows of 1 to 8 bytes are stored as one number, those of 16 as two.
    row = width * wide
    unit = row if row in (1, 2, 4, 8) else 8 if row == 16 else wide
    marked = table.view(f"u{unit}").copy()
    marked[odd > 0] = np.iinfo(marked.dtype).max
    store = out.reshape(-1).view(f"u{unit}").reshape(n * size, -1)
    if row == unit:
        seen = whole_rows(flat, marked.reshape(-1), store.reshape(-1))
    else:
        seen = (double_rows if row == 16 else wide_rows)(flat, marked, store)
    return out, bool(int(seen) >> (8 * unit - 1))


def refused_letter(
    letters: NDArray[np.uint8], odd: NDArray[np.uint8], names: Sequence[str], encoding: Encoding
) -> DataError:
    """Return the error for the first letter that must not come.

    Parameters
    ----------
    letters : (sequence, position).
    odd : (256,), not 0 for a byte that must not come.
    names : (sequence,).
    encoding : as chosen.
    """
    row, position = (int(k) for k in np.argwhere(odd[letters])[0])
    only = encoding.order + ("N" if encoding.unknown == "n_or_error" else "")
    return DataError(
        f"{chr(int(letters[row, position]))!r} came in {names[row]}, position {position}",
        f"One of {only} was needed: letters that stand for several bases are refused here",
        'Pass unknown="zeros" or "fractions", or leave that stretch out',
    )
