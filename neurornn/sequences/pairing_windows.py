"""Introns and windows as what the pairing networks read: letters from a donor on, candidates."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from neurornn._core.checks import check_numbers
from neurornn._core.errors import DataError, KindError, ShapeError
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.pairing_network import CANDIDATE, INSIDE

#: bp before the donor that are read.
BEFORE = 10
#: bp from the donor's G to the A of the first candidate, at least: GT and AG do not overlap.
NEAREST = 2
#: Codes of the letters of an AG, and of what is not known.
_A, _G, UNKNOWN = 0, 2, 4
#: bp of an intron that are never taken out, behind the donor and before the exon.
_HEAD, _TAIL = 8, 30
NAMES = ("upstream_exon", "intron", "downstream_exon")


class Pairs(NamedTuple):
    """Introns whose exons are known.

    Attributes
    ----------
    upstream, intron, downstream : (pair,), letters in the order of reading, upper case, T for U.
    group : (pair,), number of the gene.
    """

    upstream: list[str]
    intron: list[str]
    downstream: list[str]
    group: NDArray[np.int64]

    def rows(self, rows: NDArray[Any]) -> "Pairs":
        """Return some of them."""
        letters = ([column[k] for k in rows] for column in self[:3])
        return Pairs(*letters, self.group[rows])


class Windows(NamedTuple):
    """Windows that all have their donor at `BEFORE`.

    Attributes
    ----------
    codes : (window, position), 0 to 3 for ACGT, 4 for what is not known or not there.
    stop : (window,), position behind the last letter.
    is_candidate : (window, position), True at the A of each AG that may be the acceptor.
    """

    codes: NDArray[np.uint8]
    stop: NDArray[np.int64]
    is_candidate: NDArray[np.bool_]

    def inputs(self, rows: Any = slice(None)) -> NDArray[np.float32]:
        """Inputs of the networks, (window, position, 5)."""
        codes, stop = self.codes[rows], self.stop[rows]
        x = np.zeros((*codes.shape, 5), np.float32)
        for k in range(4):
            x[..., k] = codes == k
        x[..., 4] = INSIDE * (np.arange(codes.shape[1]) < stop[:, None])
        x[..., 4][self.is_candidate[rows]] = CANDIDATE
        return x


def as_pairs(given: Any) -> Pairs:
    """Introns with their exons, from a table or a list of (exon, intron, exon).

    Raises
    ------
    KindError, ShapeError, DataError
        Another kind of object, columns that are missing, an intron that does not end in AG.
    """
    if isinstance(given, xr.Dataset):
        missing = [n for n in NAMES if n not in given]
        if missing or given["intron"].ndim != 1:
            raise ShapeError(
                f"The table has {', '.join(map(str, given.data_vars)) or 'no variables'}",
                "upstream_exon, intron and downstream_exon over pair were needed",
                "Pass what nr.io.read_exon_intron_exon(path) returns",
            )
        columns = [given[n].values.tolist() for n in NAMES]
        names = given["gene"].values if "gene" in given else np.arange(len(columns[1]))
    elif isinstance(given, Sequence) and not isinstance(given, str):
        if not all(isinstance(row, Sequence) and not isinstance(row, str) and len(row) == 3
                   for row in given):  # fmt: skip
            raise ShapeError(
                "A list came whose entries are not (exon, intron, exon)",
                "Three strings for each intron were needed",
                "Pass [(upstream, intron, downstream), ...] or a table",
            )
        columns = [[row[k] for row in given] for k in range(3)]
        names = np.arange(len(columns[1]))
    else:
        raise KindError(
            f"A {type(given).__name__} came as introns",
            "A table or a list of (exon, intron, exon) was needed",
            "Pass what nr.io.read_exon_intron_exon(path) returns",
        )
    if not columns[1]:
        raise DataError("No introns came", "At least one was needed", "Check the selection")
    letters = []
    for name, column in zip(NAMES, columns, strict=True):
        if not all(isinstance(v, str) for v in column):
            raise KindError(
                f"{name} holds what is no string", "Letters were needed", "Pass strings of ACGT"
            )
        letters.append([v.upper().replace("U", "T") for v in column])
    for row, (intron, downstream) in enumerate(zip(letters[1], letters[2], strict=True)):
        short = len(intron) < NEAREST + 2 or not downstream
        if short or intron[-2:] != "AG":
            what = (
                f"has {len(intron)} bp, and {len(downstream)} bp of exon behind it"
                if short
                else f"ends in {intron[-2:]}"
            )
            raise DataError(
                f"Intron {row} {what}",
                "Introns of 4 bp and more that end in AG, with an exon behind them, were needed",
                "Leave out the others: introns that end in AC are spliced by another machinery",
            )
    return Pairs(*letters, np.unique(names, return_inverse=True)[1].astype(np.int64))


def cropped(pairs: Pairs, flank: tuple[int, int], draw: np.random.Generator) -> Pairs:
    """Cut both exons to lengths between two numbers of bp, drawn for each."""
    sizes = draw.integers(flank[0], flank[1] + 1, size=(len(pairs.intron), 2))
    return pairs._replace(
        upstream=[
            u[max(len(u) - a, 0) :] for u, a in zip(pairs.upstream, sizes[:, 0], strict=True)
        ],
        downstream=[d[:b] for d, b in zip(pairs.downstream, sizes[:, 1], strict=True)],
    )


def shortened(pairs: Pairs, share: float, draw: np.random.Generator) -> Pairs:
    """Take a stretch out of the middle of some introns, as long as is drawn.

    Parameters
    ----------
    pairs : introns with their exons. share : of the introns. draw : for which, where and how much.

    Notes
    -----
    The first 8 bp and the last 30 stay, which hold most of what a donor and an acceptor are.
    """
    introns = []
    for intron, chance in zip(pairs.intron, draw.random(len(pairs.intron)), strict=True):
        spare = len(intron) - _HEAD - _TAIL
        if chance < share and spare > 0:
            out = int(draw.integers(spare + 1))
            first = _HEAD + int(draw.integers(spare - out + 1))
            intron = intron[:first] + intron[first + out :]
        introns.append(intron)
    return pairs._replace(intron=introns)


def windows_of(pairs: Pairs) -> tuple[Windows, NDArray[np.int64]]:
    """Return the windows of some introns, and where the true acceptor of each is."""
    texts = ["".join(row) for row in zip(*pairs[:3], strict=True)]
    donors = np.array([len(u) for u in pairs.upstream], dtype=np.int64)
    size = np.array([len(intron) for intron in pairs.intron], dtype=np.int64)
    return aligned(as_windows(texts), donors), BEFORE + size - 2


def as_windows(windows: Any) -> SequenceSet:
    """Windows of any lengths, DNA or RNA, from a set or from strings."""
    if isinstance(windows, SequenceSet):
        found = windows
    elif isinstance(windows, str | bytes) or not isinstance(windows, Sequence | np.ndarray):
        raise KindError(
            f"A {type(windows).__name__} came as windows",
            "A SequenceSet or a list of strings was needed",
            "Pass [window] for a single one",
        )
    else:
        texts = list(windows)
        if not all(isinstance(s, str) for s in texts):
            raise KindError(
                "Windows came that are no strings", "Letters were needed", "Pass a list of strings"
            )
        found = SequenceSet.from_sequences([f"window_{k}" for k in range(len(texts))], texts)
    if found.alphabet == "protein":
        raise KindError(
            "Proteins came as windows", "DNA or RNA was needed", "Pass the letters of the gene"
        )
    if not len(found):
        raise DataError("No windows came", "At least one was needed", "Check the selection")
    return found


def as_places(
    places: ArrayLike, windows: SequenceSet, name: str, behind: int
) -> NDArray[np.int64]:
    """One place in each window, 0-based, with so many bp from there to the end."""
    found = check_numbers(places, name)
    found = np.broadcast_to(found, (len(windows),)) if found.ndim == 0 else found
    if found.shape != (len(windows),):
        raise ShapeError(
            f"{name} has shape {found.shape} for {len(windows)} windows",
            "One place for each window was needed, or one for all",
            "Count from 0, from the start of each window",
        )
    wrong = (found < 0) | (found + behind > windows.lengths) | (found != np.round(found))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{name} is {found[row]:g} in window {row}, of {int(windows.lengths[row])} bp",
            f"A place inside the window was needed, with {behind} bp from there on",
            "Count from 0, from the start of each window",
        )
    return found.astype(np.int64)


def aligned(windows: SequenceSet, donors: NDArray[np.int64]) -> Windows:
    """Letters from `BEFORE` bp before each donor on, and every AG behind it."""
    codes = windows.codes(pad=True)
    length = windows.lengths
    width = BEFORE + int((length - donors).max())
    from_ = donors[:, None] - BEFORE + np.arange(width)
    there = (from_ >= 0) & (from_ < length[:, None])
    cut = np.take_along_axis(codes, np.clip(from_, 0, codes.shape[1] - 1), 1)
    cut = np.where(there, np.minimum(cut, UNKNOWN), UNKNOWN).astype(np.uint8)
    is_candidate = np.zeros(cut.shape, bool)
    is_candidate[:, :-1] = (cut[:, :-1] == _A) & (cut[:, 1:] == _G)
    is_candidate[:, : BEFORE + NEAREST] = False
    return Windows(cut, BEFORE + length - donors, is_candidate)
