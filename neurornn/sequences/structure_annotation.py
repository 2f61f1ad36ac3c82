"""Genes of an annotation, as structures that a model can learn from and be held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import DataError
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.contigs import contig_rows
from neurornn.data.feature_tables import check_places
from neurornn.data.features import pick_features
from neurornn.data.genetic_codes import CODONS, genetic_code
from neurornn.data.sequence_sets import SequenceSet
from neurornn.sequences.structure_statistics import LEAST_EXON
from neurornn.sequences.structure_strands import (
    STRETCH,
    Stretch,
    Structure,
    stretch_of,
    structure_fault,
)
from neurornn.sequences.structure_training import N_FOLDS, Lesson

Index = NDArray[np.int64]

#: bp around a gene that are left to it where a contig is cut.
_ROOM = 10


@dataclass(frozen=True)
class Isoform:
    """One coding sequence of an annotation.

    Parameters
    ----------
    gene : that it belongs to. name : of its own.
    contig : name. strand : 1 or -1.
    parts : (exon, 2), in the direction of reading, 0-based half-open on the forward strand.
    """

    gene: str
    name: str
    contig: str
    strand: int
    parts: Index


def annotated_isoforms(genome: SequenceSet, code: int) -> list[Isoform]:
    """Return the whole coding sequences of an annotation.

    Parameters
    ----------
    genome : with coding sequences among its features. code : number of the genetic code.

    Raises
    ------
    DataError
        There are none.

    Notes
    -----
    Pseudogenes, partial genes and those without a strand are left out. GTF, and the training
    genes of AUGUSTUS, end a coding sequence before its stop: where the last codon is none and the
    next three letters are one, they are added.
    """
    features = getattr(genome, "features", None)
    coding = None if features is None else pick_features(features, "CDS")
    if coding is None or not coding.sizes["feature"]:
        raise DataError(
            "The genome has no coding sequences in its annotation",
            "Features of type CDS were needed",
            'Open a GenBank file, or nr.open("genome.fa", annotation="genes.gff3")',
        )
    check_places(coding, genome.names, genome.lengths, genome.circular)
    rows = contig_rows(genome.names, coding["contig"].values)
    fine = ~(
        coding["is_pseudo"].values | coding["is_partial_5"].values | coding["is_partial_3"].values
    ) & (coding["strand"].values != 0)
    at = np.r_[0, np.cumsum(coding["part_count"].values)]
    start, end = coding["part_start"].values, coding["part_end"].values
    out = []
    for k in np.flatnonzero(fine):
        parts = np.stack([start[at[k] : at[k + 1]], end[at[k] : at[k + 1]]], axis=1)
        strand, row = int(coding["strand"].values[k]), int(rows[k])
        out.append(
            Isoform(
                str(coding["gene"].values[k] or coding["name"].values[k] or f"CDS {k}"),
                str(coding["name"].values[k] or coding["gene"].values[k] or f"CDS {k}"),
                str(genome.names[row]), strand,
                _with_stop(genome, row, parts.astype(np.int64), strand, code),
            )
        )  # fmt: skip
    return out


def _with_stop(genome: SequenceSet, row: int, parts: Index, strand: int, code: int) -> Index:
    """Add the stop behind parts that end before it."""
    size = int(genome.lengths[row])
    if strand > 0:
        last, behind = parts[-1, 1] - 3, parts[-1, 1]
    else:
        last, behind = parts[-1, 0], parts[-1, 0] - 3
    if not 0 <= behind <= size - 3 or not 0 <= last <= size - 3:
        return parts
    if _is_stop(genome, row, int(last), strand, code):
        return parts
    if not _is_stop(genome, row, int(behind), strand, code):
        return parts
    longer = parts.copy()
    longer[-1, 1 if strand > 0 else 0] += 3 * strand
    return longer


def _is_stop(genome: SequenceSet, row: int, start: int, strand: int, code: int) -> bool:
    letters = genome.bytes_of(row, start, start + 3)
    if strand < 0:
        complement = ALPHABETS[genome.alphabet].complement
        assert complement is not None
        letters = complement[letters[::-1]]
    text = letters.tobytes().decode("ascii").upper().replace("U", "T")
    return text in {CODONS[k] for k in np.flatnonzero(genetic_code(code).stops)}


def structure_on(isoform: Isoform, stretch: Stretch) -> Structure:
    """Return an isoform in coordinates of a stretch that holds it."""
    placed = [
        stretch.own(isoform.contig, int(a), int(b), isoform.strand) for a, b in isoform.parts
    ]
    return Structure(isoform.gene, placed[0][0], np.array([p[1:] for p in placed], np.int64))


def lessons_of(
    genome: SequenceSet, code: int, least_intron: int, draw: np.random.Generator
) -> tuple[list[Lesson], list[tuple[str, str]]]:
    """Cut a genome into parts, each with one legal structure of each of its genes.

    Parameters
    ----------
    genome : with its features. code : number of the genetic code. least_intron : bp.
    draw : of how parts are dealt.

    Returns
    -------
    lessons
    excluded : name of each coding sequence that cannot be learned from, and why.

    Raises
    ------
    DataError
        Most coding sequences are none on these letters.

    Notes
    -----
    Of several isoforms the longest coding sequence is learned. Parts are whole contigs, dealt out
    evenly; a long contig is cut where no gene is.
    """
    isoforms = annotated_isoforms(genome, code)
    units = _units(genome, isoforms, draw)
    lessons, excluded = [], []
    hidden: list[tuple[str, str]] = []
    for fold, unit in enumerate(units):
        for piece, offset in unit:
            stretch = stretch_of(piece, code, offset=offset)
            names, ends = set(piece.names.tolist()), offset + piece.lengths
            bounds = dict(zip(piece.names.tolist(), ends.tolist(), strict=True))
            best: dict[str, tuple[int, Structure]] = {}
            for one in isoforms:
                if one.contig not in names:
                    continue
                if one.parts.min() < offset or one.parts.max() > bounds[one.contig]:
                    continue
                gene = structure_on(one, stretch)
                fault = structure_fault(
                    stretch.strands[gene.strand], gene.exons, code, LEAST_EXON, least_intron
                )
                if fault is not None:
                    excluded.append((one.name, fault))
                    continue
                size = int((gene.exons[:, 1] - gene.exons[:, 0]).sum())
                if one.gene not in best or size > best[one.gene][0]:
                    best[one.gene] = (size, gene)
            genes = _apart([g for _, g in best.values()], stretch.size)
            kept = {g.name for g in genes}
            hidden += [(name, "it overlaps another gene") for name in best if name not in kept]
            lessons.append(Lesson(stretch, genes, fold))
    if 2 * len(excluded) > len(isoforms):
        name, why = excluded[0]
        raise DataError(
            f"{len(excluded)} of {len(isoforms)} coding sequences cannot be read on these "
            f"letters; of {name}, {why}",
            "An annotation of this assembly was needed, with the right genetic code",
            f"Check the version of the genome, and genetic_code={code}",
        )
    return lessons, excluded + hidden


def _apart(genes: list[Structure], size: int) -> list[Structure]:
    """Leave out genes that overlap one before them: a structure is a row of genes."""

    def place(gene: Structure) -> tuple[int, int]:
        left, right = int(gene.exons[0, 0]), int(gene.exons[-1, 1])
        return (left, right) if gene.strand == 0 else (size - right, size - left)

    kept: list[Structure] = []
    reached = 0
    for gene in sorted(genes, key=place):
        left, right = place(gene)
        if left >= reached:
            kept.append(gene)
            reached = right
    return kept


def _units(
    genome: SequenceSet, isoforms: Sequence[Isoform], draw: np.random.Generator
) -> list[list[tuple[SequenceSet, int]]]:
    """Parts of a genome, each a list of pieces with the place where they begin."""
    total = int(genome.lengths.sum())
    most = max(min(STRETCH, -(-total // 3)), 1)
    pieces: list[tuple[int, int, int]] = []
    for row in range(len(genome)):
        size = int(genome.lengths[row])
        name = str(genome.names[row])
        cuts = [0]
        if size > most:
            cuts += _cuts([x for x in isoforms if x.contig == name], size, most)
        cuts.append(size)
        pieces += [(row, a, b) for a, b in pairwise(cuts) if b > a]
    loads = [0] * min(N_FOLDS, len(pieces))
    dealt: list[list[tuple[int, int, int]]] = [[] for _ in loads]
    order = draw.permutation(len(pieces))
    for _, piece in sorted(
        zip(order, pieces, strict=True), key=lambda p: (p[1][1] - p[1][2], p[0])
    ):
        fold = int(np.argmin(loads))
        dealt[fold].append(piece)
        loads[fold] += piece[2] - piece[1]
    return [_grouped(genome, mine) for mine in dealt]


def _grouped(
    genome: SequenceSet, pieces: list[tuple[int, int, int]]
) -> list[tuple[SequenceSet, int]]:
    """Whole contigs together up to a length, pieces of contigs by themselves."""
    bare = genome[:]
    bare.features = None
    out: list[tuple[SequenceSet, int]] = []
    together: list[int] = []
    for row, start, end in sorted(pieces):
        if (start, end) != (0, int(genome.lengths[row])):
            out.append((bare[row : row + 1].slice(start, end), start))
            continue
        if together and genome.lengths[together].sum() + end > STRETCH:
            out.append((bare[together], 0))
            together = []
        together.append(row)
    if together:
        out.append((bare[together], 0))
    return [p for p in out if bool((p[0].flat_codes() < 4).any())]


def _cuts(isoforms: Sequence[Isoform], size: int, most: int) -> list[int]:
    """Places of a contig where no gene is, about `most` apart."""
    taken = np.zeros(size + 1, bool)
    for one in isoforms:
        taken[max(int(one.parts.min()) - _ROOM, 0) : int(one.parts.max()) + _ROOM] = True
    free = np.flatnonzero(~taken)
    wanted = np.arange(most, size - most // 3, most)
    near = np.minimum(np.searchsorted(free, wanted), max(len(free) - 1, 0))
    return sorted({int(free[k]) for k in near} - {0, size}) if len(free) else []


def exon_keys(
    isoforms: Sequence[Isoform],
) -> dict[tuple[str, int, int, int], set[str]]:
    """Coding parts of all isoforms, each once, and the genes that have them.

    Returns
    -------
    dict
        (contig, strand, start, end) -> names of genes.
    """
    out: dict[tuple[str, int, int, int], set[str]] = {}
    for one in isoforms:
        for a, b in one.parts:
            out.setdefault((one.contig, one.strand, int(a), int(b)), set()).add(one.gene)
    return out
