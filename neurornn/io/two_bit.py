"""2bit files of UCSC: genomes at four bases to a byte, left on disk."""

import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError
from neurornn.data.letters_on_disk import LettersOnDisk
from neurornn.io.annotation import annotated
from neurornn.io.sources import check_source, explained

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

_SIGNATURE = 0x1A412743
#: The four letters of every byte, the first base in its highest bits.
_DECODED = np.array(
    [[b"TCAG"[byte >> shift & 3] for shift in (6, 4, 2, 0)] for byte in range(256)], dtype=np.uint8
)


def read_two_bit(
    path: str | os.PathLike[str],
    *,
    annotation: "str | os.PathLike[str] | xr.Dataset | SequenceSet | None" = None,
    contig_names: Mapping[str, str] | str | None = None,
    circular: bool | Sequence[str] | None = None,
    lazy: bool = True,
) -> "SequenceSet":
    """Read the sequences of a 2bit file.

    Parameters
    ----------
    path : .2bit, of either byte order, version 0 or 1.
    annotation : file (GFF3, GTF, BED, GenBank) or Dataset over ``feature`` of these sequences.
    contig_names : name in the annotation -> name in this file; ``"match"`` finds other spellings.
    circular : bool for all, or the names of those that are.
    lazy : bool
        Leave the letters on disk until they are asked for.

    Returns
    -------
    SequenceSet
        Of DNA; masked stretches in lower case, blocks of N as N.

    Raises
    ------
    FileFormatError
        Another file, or one that is cut short, with the record.
    """
    from neurornn.data.sequence_sets import SequenceSet

    source = check_source(path)
    with explained(source, "2bit"):
        letters = TwoBit(source)
    sequences = SequenceSet(
        letters if lazy else letters[:], letters.starts, letters.stops, letters.names
    )
    if annotation is None and circular is None:
        return sequences
    return annotated(sequences, annotation, contig_names=contig_names, circular=circular)


class TwoBit(LettersOnDisk):
    """The letters of a 2bit file.

    Parameters
    ----------
    path : of the file.

    Attributes
    ----------
    names : list of str, one for each record.

    Notes
    -----
    The layout is that of the public description of the format (UCSC, FAQformat7): a header of four
    numbers; an index of names and places; for each record its length, the starts and sizes of its
    blocks of N and of its masked blocks, and the bases, T = 0, C = 1, A = 2, G = 3.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with self.path.open("rb") as file:
            self._bytes = np.frombuffer(
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8
            )
        head = self._bytes[:16].tobytes().ljust(16, b"\0")
        order = next(
            (o for o in "<>" if int(np.frombuffer(head, f"{o}u4", 1)[0]) == _SIGNATURE), None
        )
        version, count, _ = (int(x) for x in np.frombuffer(head, f"{order or '<'}u4", 3, 4))
        if order is None or version not in (0, 1):
            raise FileFormatError(
                f"{self.path.name} begins with {head[:8]!r}",
                "The mark of a 2bit file of version 0 or 1 was needed",
                "Is it another file under this name, or damaged?",
            )
        self._order = order
        wide = 8 if version else 4
        self.names: list[str] = []
        places, at = [], 16
        for _ in range(count):
            size = int(self._numbers(at, 1, 1, "its index")[0])
            name = self._numbers(at + 1, size, 1, "its index").tobytes()
            self.names.append(name.decode("utf-8", "replace"))
            places.append(int(self._numbers(at + 1 + size, 1, wide, "its index")[0]))
            at += 1 + size + wide
        self._records = [self._record(p, n) for p, n in zip(places, self.names, strict=True)]
        super().__init__([record["length"] for record in self._records])

    def _numbers(self, at: int, count: int, wide: int, what: str) -> NDArray[Any]:
        if at + count * wide > len(self._bytes):
            raise FileFormatError(
                f"{self.path.name} ends at byte {len(self._bytes)}, inside {what}",
                f"At least {at + count * wide} bytes were needed",
                "It is cut short: download it again",
            )
        return np.frombuffer(self._bytes, f"{self._order}u{wide}", count, at)

    def _record(self, at: int, name: str) -> dict[str, Any]:
        what = f"the record {name}"
        length = int(self._numbers(at, 1, 4, what)[0])
        record: dict[str, Any] = {"length": length}
        at += 4
        for blocks in ("unknown", "masked"):
            count = int(self._numbers(at, 1, 4, what)[0])
            starts = self._numbers(at + 4, count, 4, what).astype(np.int64)
            sizes = self._numbers(at + 4 + 4 * count, count, 4, what).astype(np.int64)
            record[blocks] = starts, starts + sizes
            at += 4 + 8 * count
        record["bases"] = at + 4
        self._numbers(at + 4, -(-length // 4), 1, what)
        return record

    def read(self, record: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the ASCII letters of a stretch inside one record, (position,)."""
        about = self._records[record]
        first = start // 4
        packed = self._bytes[about["bases"] + first : about["bases"] + -(-stop // 4)]
        every = np.take(_DECODED, packed, axis=0).reshape(-1)
        letters = every[start - 4 * first : stop - 4 * first]
        for a, b in _overlapping(about["unknown"], start, stop):
            letters[a:b] = ord("N")
        for a, b in _overlapping(about["masked"], start, stop):
            letters[a:b] |= 32
        return letters

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process by name; the file is opened there anew."""
        return TwoBit, (str(self.path),)


def _overlapping(
    blocks: tuple[NDArray[np.int64], NDArray[np.int64]], start: int, stop: int
) -> list[tuple[int, int]]:
    """Blocks that lie in a stretch, counted from its start."""
    starts, stops = blocks
    first = int(np.searchsorted(stops, start, side="right"))
    last = int(np.searchsorted(starts, stop, side="left"))
    return [
        (max(int(a), start) - start, min(int(b), stop) - start)
        for a, b in zip(starts[first:last], stops[first:last], strict=True)
    ]
