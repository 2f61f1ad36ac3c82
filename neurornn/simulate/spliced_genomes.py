"""Eukaryotic genomes with known genes: exons, introns with their sites, both strands."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_count, check_number, check_positive
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator
from neurornn.simulate.genomes import codon_usage, random_letters

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

_COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")
#: Shortest coding part and intron that are made, bp.
_LEAST_EXON, _LEAST_INTRON = 30, 45
#: Share of the letters at sites that follow the consensus.
_LIKE_CONSENSUS = 0.85


def simulate_spliced_genome(
    n_letters: int = 100_000,
    *,
    n_contigs: int = 1,
    gc: float = 0.4,
    mean_exons: float = 4.0,
    mean_exon: float = 180.0,
    mean_intron: float = 120.0,
    mean_gap: float = 1500.0,
    gc_donors: float = 0.01,
    codon_bias: float = 1.0,
    usage: int = 0,
    rng: RNG = None,
) -> "SequenceSet":
    """Simulate a eukaryotic genome with genes of exons and introns.

    Parameters
    ----------
    n_letters : bp, of all contigs together.
    n_contigs : of about one length.
    gc : share of G and C outside coding sequence; third places of codons follow it.
    mean_exons : coding parts of a gene, 1 and a Poisson number.
    mean_exon, mean_intron : bp, gamma distributed with shape 3, no shorter than 30 and 45.
    mean_gap : bp between genes, exponentially distributed, and 60.
    gc_donors : share of the introns that begin with GC.
    codon_bias : sd of the log usage of synonymous codons.
    usage : seed of that usage, which is the species: genomes of one `usage` are alike.
    rng : int, Generator or None.

    Returns
    -------
    SequenceSet
        With one feature of type CDS for each gene, its parts in the order of reading. All genes
        are whole; introns split codons, and never so that the two ends make a stop.

    Raises
    ------
    DataError
        Sizes that cannot be.

    Notes
    -----
    Introns begin AAG|GTAAGT or thereabouts, and end with a stretch of pyrimidines and CAG|G;
    85 % of the letters of each site follow that.

    Examples
    --------
    >>> genome = simulate_spliced_genome(20_000, rng=0)
    >>> genome.lengths.tolist(), bool((genome.features["part_count"] > 1).any())
    ([20000], True)
    """
    from neurornn.data.features import features_from_records
    from neurornn.data.genetic_codes import CODONS, genetic_code
    from neurornn.data.sequence_sets import SequenceSet

    draw = generator(rng)
    n_letters, n_contigs = check_count(n_letters, "n_letters"), check_count(n_contigs, "n_contigs")
    gc = check_number(gc, "gc", least=0.1, most=0.9)
    for name, value in (("mean_exon", mean_exon), ("mean_intron", mean_intron)):
        check_positive(value, name, "bp")
    check_positive(mean_gap, "mean_gap", "bp")
    check_number(mean_exons, "mean_exons", least=1)
    check_number(gc_donors, "gc_donors", least=0, most=1)
    check_number(codon_bias, "codon_bias", least=0)
    size = n_letters // n_contigs
    if size < 1000:
        raise DataError(
            f"{n_letters} letters came for {n_contigs} contigs",
            "At least 1000 letters for each were needed",
            "Raise n_letters",
        )
    code = genetic_code(1)
    residues = "".join(np.where(code.stops, "*", list(code.amino_acids)))
    shares = codon_usage(residues, gc, codon_bias, np.random.default_rng(usage))
    names = [f"contig_{k + 1}" for k in range(n_contigs)]
    pieces: list[str] = []
    records: list[dict[str, Any]] = []
    for name in names:
        letters: list[str] = []
        at = 0
        while True:
            gap = 60 + int(draw.exponential(mean_gap))
            n_exons = 1 + int(draw.poisson(mean_exons - 1.0))
            sizes = [max(_LEAST_EXON, int(draw.gamma(3.0, mean_exon / 3))) for _ in range(n_exons)]
            n_codons = max(sum(sizes) // 3, _LEAST_EXON)
            coding = "ATG" + "".join(CODONS[k] for k in draw.choice(64, n_codons, p=shares))
            coding += str(draw.choice([CODONS[k] for k in np.flatnonzero(code.stops)]))
            gene, parts = _spliced(coding, sizes, gc, mean_intron, gc_donors, draw)
            if at + gap + len(gene) + 60 > size:
                letters.append(random_letters(size - at, gc, draw))
                break
            strand = int(draw.choice((1, -1)))
            placed = parts
            if strand < 0:
                gene = gene.encode().translate(_COMPLEMENT)[::-1].decode()
                placed = [(len(gene) - b, len(gene) - a) for a, b in parts]
            letters += [random_letters(gap, gc, draw), gene]
            records.append({
                "contig": name, "type": "CDS", "name": f"gene_{len(records) + 1}",
                "gene": f"gene_{len(records) + 1}", "strand": strand,
                "parts": [(at + gap + a, at + gap + b) for a, b in placed],
            })  # fmt: skip
            at += gap + len(gene)
        pieces.append("".join(letters))
    return SequenceSet.from_sequences(names, pieces, features=features_from_records(records))


def _spliced(
    coding: str, sizes: list[int], gc: float, mean_intron: float, gc_donors: float,
    draw: np.random.Generator,
) -> tuple[str, list[tuple[int, int]]]:  # fmt: skip
    """Put introns into a coding sequence; return the letters, and where the parts lie."""
    last = len(coding) - _LEAST_EXON
    cuts = [int(c) for c in np.cumsum(sizes)[:-1] if _LEAST_EXON <= c <= last]
    letters: list[str] = []
    parts: list[tuple[int, int]] = []
    before = at = 0
    for cut in [*cuts, len(coding)]:
        part = coding[before:cut]
        parts.append((at, at + len(part)))
        letters.append(part)
        at += len(part)
        if cut < len(coding):
            intron = _intron(gc, mean_intron, gc_donors, draw)
            letters.append(intron)
            at += len(intron)
        before = cut
    return "".join(letters), parts


def _intron(gc: float, mean: float, gc_donors: float, draw: np.random.Generator) -> str:
    size = max(_LEAST_INTRON, int(draw.gamma(3.0, mean / 3)))
    begin = "GC" if draw.random() < gc_donors else "GT"
    first = begin + _like("AAGT", draw)
    last = _like("TTTTTTTCTTTC", draw) + "AG"
    return first + random_letters(size - len(first) - len(last), gc, draw) + last


def _like(consensus: str, draw: np.random.Generator) -> str:
    letters: NDArray[np.str_] = np.array(list(consensus))
    other = draw.random(len(letters)) > _LIKE_CONSENSUS
    letters[other] = draw.choice(list("ACGT"), int(other.sum()))
    return "".join(letters)
