"""FASTA files that stay on disk, by an index as samtools makes it."""

import os
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError, FileWriteError, MissingDependencyError
from neurornn._core.files import atomic_path
from neurornn.data.letters_on_disk import LettersOnDisk
from neurornn.io.sources import explained

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

#: Bytes of a file from which on it stays on disk: plain, and compressed by bgzip.
LARGE, LARGE_PACKED = 2**28, 2**26
#: Letters of a record, and records, by which the alphabet is told.
_LOOKED_AT, _RECORDS = 100_000, 100


def is_bgzip(path: Path) -> bool:
    """Whether a file is compressed in blocks, as bgzip does, so that places in it can be found.

    Parameters
    ----------
    path : of a file.
    """
    with path.open("rb") as file:
        head = file.read(18)
    return head[:4] == b"\x1f\x8b\x08\x04" and head[12:14] == b"BC"


def is_large(path: Path) -> bool:
    """Whether a FASTA file is so large that it stays on disk, and can.

    Parameters
    ----------
    path : of a file.
    """
    size = path.stat().st_size
    if size < LARGE_PACKED:
        return False
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return is_bgzip(path) if packed else size >= LARGE


def read_indexed(
    source: Path,
    alphabet: str | None,
    tell: Callable[[Sequence[str], Sequence[str], str], str],
    *,
    fall_back: bool = False,
) -> "SequenceSet | None":
    """Return the sequences of a FASTA file, their letters left on disk.

    Parameters
    ----------
    source : plain, or compressed by bgzip.
    alphabet : name, or None.
    tell : names, first letters, name of the file -> alphabet, where it is not stated.
    fall_back : bool
        Give None where lines are of unequal length, so that there can be no index.

    Raises
    ------
    FileFormatError
        A file that cannot be indexed: the message names the line, or says to compress it anew.
    MissingDependencyError
        pyfaidx is not installed.
    """
    from neurornn.data.sequence_sets import SequenceSet

    try:
        from pyfaidx import FastaIndexingError
    except ImportError as error:
        raise MissingDependencyError(
            f"{source.name} should stay on disk and pyfaidx is not installed",
            "The extra `sequences` was needed",
            'Install it: pip install "neurornn[sequences]"; or pass lazy=False',
        ) from error
    with source.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    if packed and (not is_bgzip(source) or source.suffix not in (".gz", ".bgz")):
        raise FileFormatError(
            f"{source.name} is compressed as one piece, so that no place in it can be found",
            "A plain file, or one compressed by bgzip with the suffix .gz or .bgz, was needed to "
            "leave it on disk",
            f"Compress it anew: gunzip {source.name}; bgzip {source.stem}; or pass lazy=False",
        )
    try:
        with explained(source, "FASTA"):
            letters = IndexedFasta(source)
    except FileFormatError as error:
        cause = error.__cause__
        if isinstance(cause, ValueError) and "uplicate" in str(cause):
            raise FileFormatError(
                f"{source.name} holds two records of one name: {cause}",
                "A name of its own for each record was needed to leave them on disk",
                "Rename one of them; or pass lazy=False",
            ) from cause
        if isinstance(cause, _IndexUnreadable):
            raise FileFormatError(
                f"{source.name}.fai, beside {source.name}, is no index of it: {cause}",
                "An index as samtools makes it, or none, was needed",
                "Move it away, and a new one is made; or pass lazy=False",
            ) from cause
        # pyfaidx has no error of its own for blank lines that are not the last ones.
        if not isinstance(cause, FastaIndexingError) and "fasta indexing" not in str(cause):
            raise
        said = str(cause).partition("Please report")[0]
        if fall_back:
            return None
        raise FileFormatError(
            f"{source.name} has no index: {said}",
            "Lines of one length in each record, its last one aside, and no blank ones, were "
            "needed to leave it on disk",
            "Write it anew with lines of one length, for example with seqtk seq -l 60; or pass "
            "lazy=False",
        ) from cause
    if not len(letters):
        raise FileFormatError(
            f"{source.name} holds no record with letters",
            "Lines that start with > and sequences below them were needed",
            "Is it a FASTA file, and whole?",
        )
    if alphabet is None:
        ends = np.minimum(letters.lengths, _LOOKED_AT)[:_RECORDS]
        some = [letters.read(k, 0, int(n)).tobytes().decode("latin-1") for k, n in enumerate(ends)]
        alphabet = tell(letters.names, some, source.name)
    return SequenceSet(letters, letters.starts, letters.stops, letters.names, alphabet)


class _IndexUnreadable(ValueError):
    """A file beside the sequences is not their index."""


class IndexedFasta(LettersOnDisk):
    """The letters of a FASTA file, found by its index.

    Parameters
    ----------
    path : plain, or compressed by bgzip.

    Attributes
    ----------
    names : list of str, one for each record.
    lengths : (record,), letters.

    Notes
    -----
    An index that lies beside the file (``.fai``, and ``.gzi`` for bgzip) and is no older is used.
    Otherwise one is made, and left there where the folder can be written and none stands there
    yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._faidx = _open_index(self.path)
        self._close = weakref.finalize(self, self._faidx.close)
        self.names = list(self._faidx.index)
        self.lengths = np.array([e.rlen for e in self._faidx.index.values()], dtype=np.int64)
        super().__init__(self.lengths)

    def read(self, record: int, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the ASCII letters of a stretch inside one record, (position,)."""
        if stop <= start:
            return np.empty(0, dtype=np.uint8)
        with explained(self.path, "FASTA"):
            text = self._faidx.fetch(self.names[record], start + 1, stop)
            letters = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
        if len(letters) != stop - start:
            raise FileFormatError(
                f"{self.path.name} gave {len(letters)} letters of {self.names[record]} where its "
                f"index says {stop - start}",
                "The file that was indexed was needed",
                "Was it changed after it was opened? Open it again, and remove its .fai",
            )
        return letters

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process by name; the file is opened there anew."""
        return IndexedFasta, (str(self.path),)


def _open_index(path: Path) -> Any:
    """Open a file by the index beside it, or by a new one."""
    from pyfaidx import Faidx

    beside = [Path(f"{path}.fai")] + ([Path(f"{path}.gzi")] if is_bgzip(path) else [])
    changed = path.stat().st_mtime_ns
    if all(p.is_file() and p.stat().st_mtime_ns >= changed for p in beside):
        try:
            return _faidx(Faidx, path, beside)
        except (ValueError, IndexError) as error:
            raise _IndexUnreadable(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="neurornn-index-") as folder:
        made = [Path(folder, p.name) for p in beside]
        opened = _faidx(Faidx, path, made)
        for new, place in zip(made, beside, strict=True):
            if place.exists():
                continue
            try:
                with atomic_path(place) as temporary:
                    temporary.write_bytes(new.read_bytes())
            except (FileWriteError, OSError):
                # A folder that cannot be written: the index is made again next time.
                break
    return opened


def _faidx(kind: Any, path: Path, index: list[Path]) -> Any:
    more = {"gzi_indexname": str(index[1])} if len(index) > 1 else {}
    return kind(str(path), indexname=str(index[0]), as_raw=True, rebuild=True, **more)
