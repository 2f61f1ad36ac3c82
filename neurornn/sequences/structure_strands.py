"""Both strands of a stretch of a genome, and every place where an exon may begin or end."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.gene_structures import stops_around
from neurornn.data.genetic_codes import genetic_code
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.contig_layout import ContigLayout, lay_out

Index = NDArray[np.int64]

#: Letters before a letter by which it is told.
ORDER = 5
#: Kinds of sites, in the order of reading.
SITES = ("start", "donor", "acceptor", "stop")
#: bp of a stretch at a time, and of two neighbours in common: memory does not grow with a genome.
STRETCH, OVERLAP = 1_000_000, 100_000
_A, _C, _G, _T = 0, 1, 2, 3
_KNOWN = 4


@dataclass(frozen=True, kw_only=True)
class GenomeStrand:
    """One strand, in the direction of reading.

    Parameters
    ----------
    letters : (position,), 0 to 3 for ACGT, 4 unknown, 5 no sequence.
    context : (position,), the letters before one as a number in base 4, the nearest last; -1 where
        it, or one of them, is not known.
    next_stop, last_stop : see `neurornn._kernels.gene_structures`.
    places : for each of `SITES`, sorted: where ATG begins, where an intron begins (GT or GC),
        behind an intron (AG), and behind a stop.
    """

    letters: NDArray[np.uint8]
    context: NDArray[np.int32]
    next_stop: Index
    last_stop: Index
    places: dict[str, Index]

    def keep(self, kept: dict[str, NDArray[np.bool_]]) -> "GenomeStrand":
        """Leave out places that are not kept."""
        places = {k: v[kept[k]] if k in kept else v for k, v in self.places.items()}
        return replace(self, places=places)


def _strand(letters: NDArray[np.uint8], code: int) -> GenomeStrand:
    n = len(letters)
    is_stop = genetic_code(code).stops
    behind, before = stops_around(letters, is_stop)
    wide = np.r_[letters, np.full(2, 5, np.uint8)]
    one, two, three = wide[:n], wide[1 : n + 1], wide[2 : n + 2]
    codon = 16 * one.astype(np.int64) + 4 * two + three
    whole = (one < _KNOWN) & (two < _KNOWN) & (three < _KNOWN)
    ends = whole & is_stop[np.where(whole, codon, 0)]
    return GenomeStrand(
        letters=letters, context=_contexts(letters), next_stop=behind, last_stop=before,
        places={
            "start": np.flatnonzero((one == _A) & (two == _T) & (three == _G)),
            "donor": np.flatnonzero((one == _G) & ((two == _T) | (two == _C))),
            "acceptor": np.flatnonzero((one == _A) & (two == _G)) + 2,
            "stop": np.flatnonzero(ends) + 3,
        },
    )  # fmt: skip


def _contexts(letters: NDArray[np.uint8]) -> NDArray[np.int32]:
    n = len(letters)
    known = letters < _KNOWN
    value = np.where(known, letters, 0).astype(np.int32)
    out, fine = np.zeros(n, np.int32), known.copy()
    for k in range(1, ORDER + 1):
        out[k:] += value[:-k] * 4 ** (k - 1)
        fine[k:] &= known[:-k]
        fine[:k] = False
    return np.where(fine, out, -1).astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of a genome, or several contigs laid end to end.

    Parameters
    ----------
    layout : where its contigs lie.
    strands : the forward strand of the layout, and its reverse complement.
    offset : of its first letter on its contig, bp; 0 where it holds whole contigs.
    is_first, is_last : of its contig; both where it holds whole ones.
    """

    layout: ContigLayout
    strands: tuple[GenomeStrand, GenomeStrand]
    offset: int = 0
    is_first: bool = True
    is_last: bool = True

    @property
    def size(self) -> int:
        """Positions of a strand, those between contigs included."""
        return self.layout.size

    def own(self, contig: str, start: int, end: int, strand: int) -> tuple[int, int, int]:
        """Strand of the layout, 0 or 1, and place in its direction of reading.

        Parameters
        ----------
        contig, start, end, strand : on the genome, 0-based half-open, 1 or -1.
        """
        row = int(np.flatnonzero(self.layout.names == contig)[0])
        size, turned = int(self.layout.length[row]), bool(self.layout.turned[row])
        start, end = start - self.offset, end - self.offset
        left = int(self.layout.first[row]) + (size - end if turned else start)
        right = left + end - start
        if (strand == 1) != turned:
            return 0, left, right
        return 1, self.size - right, self.size - left

    def placed(self, strand: int, start: int, end: int) -> tuple[str, int, int, int]:
        """Contig, start, end and strand (1 or -1) on the genome of a place in `own` form."""
        left, right = (start, end) if strand == 0 else (self.size - end, self.size - start)
        row, a, b, way = self.layout.places(
            np.array([left]), np.array([right]), np.array([strand])
        )
        return (
            str(self.layout.names[row[0]]), int(a[0]) + self.offset, int(b[0]) + self.offset,
            int(way[0]),
        )  # fmt: skip


def stretch_of(genome: SequenceSet, code: int, **where: int | bool) -> Stretch:
    """Lay out contigs as one stretch.

    Parameters
    ----------
    genome : contigs; their rings are cut at the origin.
    code : number of the genetic code. **where : see `Stretch`.
    """
    genome = genome[:]
    genome.circular = np.zeros(len(genome), bool)
    layout = lay_out(genome)
    one, other = (_strand(letters, code) for letters in layout.letters)
    return Stretch(layout=layout, strands=(one, other), **where)  # type: ignore[arg-type]


def stretches_of(genome: SequenceSet, code: int) -> Iterator[Stretch]:
    """Lay out a genome in stretches: short contigs together, long ones cut with an overlap.

    Parameters
    ----------
    genome : DNA, names of its contigs each once. code : number of the genetic code.
    """
    lengths = genome.lengths
    together: list[int] = []
    for row in range(len(genome)):
        if lengths[row] > STRETCH + OVERLAP:
            starts = list(range(0, int(lengths[row]) - OVERLAP, STRETCH))
            for k, start in enumerate(starts):
                end = min(start + STRETCH + OVERLAP, int(lengths[row]))
                piece = genome[row : row + 1].slice(start, end)
                piece.features = None
                if _has_letters(piece):
                    yield stretch_of(
                        piece, code, offset=start, is_first=k == 0, is_last=end == lengths[row]
                    )
            continue
        if together and lengths[together].sum() + lengths[row] > STRETCH:
            yield from _of_rows(genome, together, code)
            together = []
        together.append(row)
    yield from _of_rows(genome, together, code)


def _of_rows(genome: SequenceSet, rows: list[int], code: int) -> Iterator[Stretch]:
    if rows and _has_letters(genome[rows]):
        yield stretch_of(genome[rows], code)


def _has_letters(genome: SequenceSet) -> bool:
    return bool((genome.flat_codes() < _KNOWN).any())


@dataclass(frozen=True)
class Structure:
    """Exons of one gene, in the direction of reading on its strand of a stretch.

    Parameters
    ----------
    name : of the gene. strand : 0 or 1 of the stretch.
    exons : (exon, 2), coding parts, start and end.
    """

    name: str
    strand: int
    exons: Index


def structure_fault(
    strand: GenomeStrand, exons: Index, code: int, least_exon: int, least_intron: int
) -> str | None:
    """Say why a structure is none that can be told; None where it is legal.

    Parameters
    ----------
    strand : that it lies on. exons : (exon, 2). code : number of the genetic code.
    least_exon, least_intron : bp.
    """
    letters = strand.letters
    if (exons[1:, 0] < exons[:-1, 1]).any() or (exons[:, 1] <= exons[:, 0]).any():
        return "its exons overlap, or are out of order"
    gaps = exons[1:, 0] - exons[:-1, 1]
    if (gaps < least_intron).any():
        return f"an intron of {int(gaps.min())} bp is shorter than {least_intron} bp"
    sizes = exons[:, 1] - exons[:, 0]
    if sizes.min() < least_exon:
        return f"a coding part of {int(sizes.min())} bp is shorter than {least_exon} bp"
    coding = np.concatenate([letters[a:b] for a, b in exons]).astype(np.int64)
    if (coding >= _KNOWN).any():
        return "it has letters that are not known"
    if len(coding) % 3:
        return f"its {len(coding)} coding letters are no whole codons"
    codon = 16 * coding[::3] + 4 * coding[1::3] + coding[2::3]
    stop = genetic_code(code).stops[codon]
    if codon[0] != 16 * _A + 4 * _T + _G:
        return "it does not begin with ATG"
    if not stop[-1]:
        return "it does not end with a stop"
    if stop[:-1].any():
        return "it has a stop in its frame"
    for at in exons[:-1, 1]:
        if letters[at] != _G or letters[at + 1] not in (_T, _C):
            return "an intron begins with neither GT nor GC"
    for at in exons[1:, 0]:
        if letters[at - 2] != _A or letters[at - 1] != _G:
            return "an intron does not end with AG"
    return None
