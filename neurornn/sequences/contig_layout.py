"""Contigs laid end to end on two strands, in a direction that does not depend on how they came."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError, KindError
from neurornn._kernels.open_frames import UNKNOWN, WALL, codons_of
from neurornn.data.sequence_sets import SequenceSet

#: Letters between two contigs: further than one gene sees the next.
GAP = 400
#: A run of so many unknown letters is a gap of a scaffold, and ends a contig.
SCAFFOLD_GAP = 30
#: bp of the beginning that are read again behind the end of a circular contig; twice a small one.
ROUND = 20_000

_COMPLEMENT = np.array([3, 2, 1, 0, UNKNOWN, WALL], dtype=np.uint8)


@dataclass(frozen=True, kw_only=True)
class ContigLayout:
    """Both strands of a genome as numbers.

    Parameters
    ----------
    letters : two arrays (position,), forward and its reverse complement: 0 to 3 for ACGT,
        `UNKNOWN`, and `WALL` where no sequence is.
    codons : two arrays (position,), of `codons_of`.
    names : (contig,)
    first : (contig,), where each begins on the forward strand of the layout.
    length : (contig,), bp.
    extra : (contig,), bp read again behind the end, of circular contigs.
    turned : (contig,), whether it lies as its reverse complement.
    """

    letters: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    codons: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    names: NDArray[np.str_]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    extra: NDArray[np.int64]
    turned: NDArray[np.bool_]

    @property
    def size(self) -> int:
        """Positions of a strand, walls included."""
        return len(self.letters[0])

    def places(
        self, left: NDArray[np.int64], right: NDArray[np.int64], strand: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
        """Contig, start, end and strand (1 or -1) as the contigs came, 0-based half-open.

        Parameters
        ----------
        left, right : positions in the layout. strand : 0 or 1.
        """
        row = np.searchsorted(self.first, left, side="right") - 1
        start, end = left - self.first[row], right - self.first[row]
        size = self.length[row]
        turned = self.turned[row]
        # Round the origin: starts are taken back into the contig.
        start, end = np.where(turned, size - end, start), np.where(turned, size - start, end)
        shift = np.floor_divide(start, np.maximum(size, 1)) * size
        way = np.where((strand == 0) != turned, 1, -1).astype(np.int8)
        return row, start - shift, end - shift, way

    def is_counted(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a gene is one of those that count: each of a circular contig once.

        Notes
        -----
        It is told by where a gene begins; where it is longer than what is left behind that place,
        by its middle.
        """
        row = np.searchsorted(self.first, left, side="right") - 1
        begin = left - self.first[row]
        cut = self.extra[row] // 2
        begin = np.where(right - left > cut, begin + (right - left) // 2, begin)
        return np.asarray(
            (self.extra[row] == 0) | ((begin >= cut) & (begin < self.length[row] + cut))
        )

    def is_within(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether places are no longer than the ring that they lie on; True on a line."""
        out = np.ones(len(left), bool)
        ring = self.extra > 0
        if ring.any():
            long = np.flatnonzero(right - left > self.length[ring].min())
            row = np.searchsorted(self.first, left[long], side="right") - 1
            out[long] = ~ring[row] | (right[long] - left[long] <= self.length[row])
        return out

    def part(self, n_letters: int) -> "ContigLayout":
        """Return the beginnings of the longest contigs, so many letters in all, none circular."""
        rows, sizes, left = [], [], n_letters
        for k in np.lexsort((np.arange(len(self.length)), -self.length)):
            if left <= 0:
                break
            rows.append(int(k))
            sizes.append(min(int(self.length[k]), left))
            left -= sizes[-1]
        pieces = [
            self.letters[0][self.first[k] : self.first[k] + n]
            for k, n in zip(rows, sizes, strict=True)
        ]
        return _laid(self.names[rows], pieces, np.zeros(len(rows), np.int64), self.turned[rows])


def _laid(
    names: NDArray[np.str_], pieces: list[NDArray[np.uint8]], extra: NDArray[np.int64],
    turned: NDArray[np.bool_],
) -> ContigLayout:  # fmt: skip
    """Lay pieces end to end, and make the other strand."""
    length = np.array([len(p) for p in pieces], dtype=np.int64)
    first = GAP + np.cumsum(np.r_[0, (length + extra + GAP)[:-1]]) if len(pieces) else length
    size = int(first[-1] + length[-1] + extra[-1] + GAP) if len(pieces) else GAP
    forward = np.full(size, WALL, np.uint8)
    for k, piece in enumerate(pieces):
        put = forward[first[k] : first[k] + length[k] + extra[k]]
        put[: length[k]] = piece
        # A small ring goes round more than once.
        put[length[k] :] = np.resize(piece, extra[k])
        _wall_off(put)
    behind = _COMPLEMENT[forward[::-1]]
    return ContigLayout(
        letters=(forward, behind), codons=(codons_of(forward), codons_of(behind)), names=names,
        first=first.astype(np.int64), length=length, extra=extra, turned=turned,
    )  # fmt: skip


def lay_out(genome: SequenceSet) -> ContigLayout:
    """Lay contigs end to end.

    Parameters
    ----------
    genome : DNA or RNA.

    Raises
    ------
    KindError, DataError
        No sequences of nucleotides; two of one name; nothing but unknown letters.

    Notes
    -----
    A contig and its reverse complement are laid in one and the same direction, the one that comes
    first in the order of letters: what is found on one is then exactly the mirror of what is found
    on the other.
    """
    check_contigs(genome)
    names, lengths = np.asarray(genome.names), np.asarray(genome.lengths)
    # Twice a small ring: a gene may be as long as the ring, and start anywhere in it.
    extra = np.where(genome.circular, np.minimum(ROUND, 2 * lengths), 0).astype(np.int64)
    turned, pieces, known = np.zeros(len(names), bool), [], 0
    for k in range(len(names)):
        codes = np.minimum(genome[k : k + 1].flat_codes(), UNKNOWN)
        other = _COMPLEMENT[codes[::-1]]
        turned[k] = _comes_first(other, codes)
        pieces.append(other if turned[k] else codes)
        known += int((codes < UNKNOWN).sum())
    if not known:
        raise no_letters(names, lengths)
    return _laid(names, pieces, extra, turned)


def no_letters(names: NDArray[np.str_], lengths: NDArray[np.int64]) -> DataError:
    """Error of a genome of which no letter is known."""
    return DataError(
        f"The {len(names)} sequences have {int(lengths.sum())} letters, none of them A, C, G or T",
        "DNA with known bases was needed",
        "Is the genome masked, or the file empty?",
    )


def check_contigs(genome: SequenceSet) -> None:
    """Raise where sequences are no genome.

    Parameters
    ----------
    genome : DNA or RNA.

    Raises
    ------
    KindError, DataError
        No sequences of nucleotides; two of one name.
    """
    if not isinstance(genome, SequenceSet):
        raise KindError(
            f"A {type(genome).__name__} came as a genome",
            "A SequenceSet of DNA was needed",
            'Open the file with nr.open("genome.fa"), or use nr.data.SequenceSet.from_sequences',
        )
    if genome.alphabet == "protein":
        raise KindError(
            f"{len(genome)} protein sequences came",
            "DNA was needed to find genes on",
            'If these are nucleotides, open the file with alphabet="dna"',
        )
    _check_names(np.asarray(genome.names))


def _check_names(names: NDArray[np.str_]) -> None:
    """Raise where two contigs go by one name."""
    own, count = np.unique(names, return_counts=True)
    if (count > 1).any():
        raise DataError(
            f"{int((count > 1).sum())} names of the {len(names)} contigs occur more than once, "
            f"{str(own[np.argmax(count > 1)])!r} for one",
            "A name of its own for each contig was needed: genes go by the name of theirs",
            "Rename them; were two files joined into one?",
        )


def _comes_first(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether `one` comes before `other` in the order of letters."""
    differ = one != other
    at = int(np.argmax(differ)) if len(differ) else 0
    return bool(len(differ) and one[at] < other[at])


def _wall_off(codes: NDArray[np.uint8]) -> None:
    """Turn long runs of unknown letters into walls, in place."""
    unknown = np.flatnonzero(np.diff(np.r_[False, codes == UNKNOWN, False].astype(np.int8)))
    for start, stop in zip(unknown[::2], unknown[1::2], strict=True):
        if stop - start >= SCAFFOLD_GAP:
            codes[start:stop] = WALL
