"""Letters of contigs as codes, read from where they lie, a piece at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError, KindError
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.sequence_sets import SequenceSet

#: Letters that are looked at together for the first one with an input.
_LOOK = 65_536


class ContigLetters:
    """Contigs of a set, or the letters of one.

    Parameters
    ----------
    sequences : SequenceSet, text or bytes.

    Attributes
    ----------
    names, lengths : (contig,)
    offsets : (contig,), the row of its first letter where contigs lie one after the other.
    kind : the alphabet.
    """

    def __init__(self, sequences: Any) -> None:
        self._set = _as_set(sequences)
        self.kind = ALPHABETS[self._set.alphabet]
        self.names, self.lengths = self._set.names, self._set.lengths
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)[:-1]
        if len(set(self.names.tolist())) < len(self.names):
            raise DataError(
                f"{len(self.names)} contigs came, of which two have the same name",
                "A name of its own for each was needed: results go by name",
                "Rename them, or stream them one by one: stream(model, sequences[k])",
            )
        if not len(self.names):
            raise DataError(
                "A set of no sequences came", "At least one was needed", "Was the file read whole?"
            )

    def __len__(self) -> int:
        return len(self.names)

    def codes(self, contig: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Codes of some letters of a contig, (letter,).

        Raises
        ------
        DataError
            A letter outside the alphabet, with its contig and position.
        """
        first = int(self._set.starts[contig])
        letters = np.asarray(self._set.buffer[first + start : first + stop])
        return self.kind.code(
            letters, lambda offset: f" in {self.names[contig]}, position {start + offset}"
        )

    def whole(self) -> list[tuple[int, int]]:
        """From where to where each contig goes: all of it."""
        return [(0, int(n)) for n in self.lengths]

    def inside(self, fractions: bool) -> list[tuple[int, int]]:
        """From the first to behind the last letter that has an input, for each contig.

        All of one that has no such letter.
        """
        shares = self.kind.one_hot_rows(fractions)[:, : len(self.kind.order)]
        seen: NDArray[np.bool_] = np.any(shares != 0, axis=0)
        found = []
        for k, n in enumerate(self.lengths.tolist()):
            starts = range(0, n, _LOOK)
            first = self._first(k, n, starts, seen)
            last = self._first(k, n, reversed(starts), seen, last=True)
            found.append((0, n) if first is None or last is None else (first, last + 1))
        return found

    def _first(
        self, contig: int, n: int, starts: Any, seen: NDArray[np.bool_], last: bool = False
    ) -> int | None:
        for start in starts:
            there = np.flatnonzero(seen[self.codes(contig, start, min(start + _LOOK, n))])
            if len(there):
                return start + int(there[-1 if last else 0])
        return None


def _as_set(sequences: Any) -> SequenceSet:
    if isinstance(sequences, SequenceSet):
        return sequences
    if isinstance(sequences, str):
        if any(mark in sequences[:4096] for mark in "./\\>"):
            raise KindError(
                f"{sequences[:60]!r} came as a sequence",
                "The letters of one contig, or a SequenceSet, were needed",
                "Open the file first: stream(model, nr.open(path))",
            )
        try:
            sequences = sequences.encode("ascii")
        except UnicodeEncodeError as error:
            raise DataError(
                f"The sequence holds {error.object[error.start]!r} at position {error.start}",
                "ASCII letters were needed",
                "Was the file read with the wrong encoding?",
            ) from None
    if isinstance(sequences, bytes):
        buffer = np.frombuffer(sequences, dtype=np.uint8)
        return SequenceSet(buffer, [0], [len(buffer)], ["sequence"])
    raise KindError(
        f"sequences is a {type(sequences).__name__}",
        "A SequenceSet or the letters of one contig were needed",
        "Use nr.open(path), or nr.data.SequenceSet.from_sequences(names, sequences)",
    )
