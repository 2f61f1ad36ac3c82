"""One-hot arrays back into letters."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_choice
from neurornn._core.errors import DataError, ShapeError
from neurornn.data.alphabets import ALPHABETS, Alphabet
from neurornn.data.one_hot import LAYOUTS
from neurornn.data.sequence_sets import SequenceSet


def from_one_hot(
    hot: xr.DataArray | ArrayLike,
    *,
    order: str | None = None,
    layout: str | None = None,
    alphabet: str = "dna",
    names: Sequence[str] | None = None,
    lengths: ArrayLike | None = None,
) -> SequenceSet:
    """Return the letters of a one-hot array.

    Parameters
    ----------
    hot : DataArray of `SequenceSet.one_hot`, which needs nothing else, or an array (sequence,
        base, position), (sequence, position, base), or the same of one sequence.
    order : letters of the channels; ``"ACGT"``, or what the DataArray says, by default. More
        channels are those of unknown letters and of soft-masked ones, in this order.
    layout : ``"base_first"`` or ``"base_last"``; the former by default.
    alphabet : ``"dna"``, ``"rna"`` or ``"protein"``.
    names : (sequence,).
    lengths : (sequence,), bp or aa; what lies behind is padding.

    Returns
    -------
    SequenceSet
        A column of zeros is N (X of proteins); equal shares of some bases are the letter that
        stands for them, so that ``one_hot(unknown="fractions")`` comes back letter for letter.

    Raises
    ------
    DataError
        A column that is no letter: unequal shares, or a mixture that has none.
    ShapeError
        Fewer channels than letters.
    """
    channels: list[str] | None = None
    if isinstance(hot, xr.DataArray):
        alphabet = str(hot.attrs.get("alphabet", alphabet))
        channels = [str(c) for c in hot["base"].values] if "base" in hot.coords else None
        names = names if names is not None else [str(n) for n in hot["sequence"].values]
        lengths = hot["length"].values if lengths is None and "length" in hot.coords else lengths
        values = hot.transpose(*LAYOUTS["base_last"]).values
    else:
        check_choice(layout or "base_first", "layout", LAYOUTS)
        values = np.asarray(hot)
        values = values[None] if values.ndim == 2 else values
        if values.ndim != 3:
            raise ShapeError(
                f"A {values.ndim}-D array came as one-hot",
                "(sequence, base, position) or (sequence, position, base) was needed",
                "Pass the axes in that order, and say layout",
            )
        values = values if layout == "base_last" else np.swapaxes(values, 1, 2)
    kind = ALPHABETS[check_choice(alphabet, "alphabet", ALPHABETS)]
    if channels is None:
        channels = [*(order or kind.bases), "unknown", "mask"][: values.shape[2]]
    elif order is not None:
        channels = [*order, *channels[len(order) :]]
    n_bases = len(kind.bases)
    if len(channels) != values.shape[2] or sorted(channels[:n_bases]) != sorted(kind.bases):
        raise ShapeError(
            f"{values.shape[2]} channels came, for {''.join(channels[:n_bases])}",
            f"One for each of {kind.bases}, then those of unknown and masked letters, was needed",
            'Pass order and layout as the array has them: layout="base_last" where the bases come '
            "last",
        )
    letters = _letters_of(values, channels, kind)
    n, size = letters.shape
    ends = np.full(n, size) if lengths is None else np.asarray(lengths, dtype=np.int64)
    starts = np.arange(n, dtype=np.int64) * size
    return SequenceSet(
        letters.reshape(-1),
        starts,
        starts + ends,
        [f"sequence {k}" for k in range(n)] if names is None else names,
        alphabet,
    )


def _letters_of(values: NDArray[Any], channels: list[str], kind: Alphabet) -> NDArray[np.uint8]:
    """ASCII letters (sequence, position) of an array (sequence, position, channel)."""
    n_bases = len(kind.bases)
    place = [channels.index(base) for base in kind.bases]
    shares = values[..., place].astype(np.float32)
    present = shares > 0
    bits = present @ (1 << np.arange(n_bases, dtype=np.int64))
    meant = {sum(1 << kind.bases.index(b) for b in v): k for k, v in kind.ambiguous.items() if v}
    meant |= {1 << k: base for k, base in enumerate(kind.bases)}
    any_base = meant[(1 << n_bases) - 1]
    meant[0] = any_base
    found, inverse = np.unique(bits, return_inverse=True)
    unequal = np.where(present, shares, np.inf).min(-1, initial=np.inf) < 0.98 * shares.max(
        -1, initial=0
    )
    strange = unequal | np.isin(bits, [b for b in found if int(b) not in meant])
    if strange.any() or (values < 0).any():
        row, position = (int(k) for k in np.argwhere(strange | (values < 0).any(-1))[0])
        raise DataError(
            f"Position {position} of sequence {row} holds {values[row, position].tolist()}",
            "Zeros, a single 1, or equal shares of bases that a letter stands for were needed",
            "Is it a one-hot array, and is order right? Of predicted probabilities take the "
            "largest first",
        )
    letters = np.array([ord(meant[int(b)]) for b in found], dtype=np.uint8)
    text = letters[inverse.reshape(bits.shape)] if len(found) else np.zeros(bits.shape, np.uint8)
    if "unknown" in channels:
        text = np.where(values[..., channels.index("unknown")] > 0, ord(any_base), text)
    if "mask" in channels:
        text = np.where(values[..., channels.index("mask")] > 0, text | 32, text)
    return text.astype(np.uint8)
