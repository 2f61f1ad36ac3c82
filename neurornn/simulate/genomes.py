"""Bacterial genomes with known genes: codons, ribosome binding sites, operons, both strands."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurornn._core.checks import check_count, check_number, check_positive
from neurornn._core.errors import DataError
from neurornn._core.rng import RNG, generator

if TYPE_CHECKING:
    from neurornn.data.sequence_sets import SequenceSet

#: Share of the amino acids in bacterial proteins, %, by letter (UniProt's averages, rounded).
_RESIDUES = {
    "A": 9.5, "C": 1.0, "D": 5.4, "E": 6.1, "F": 3.9, "G": 7.3, "H": 2.2, "I": 6.0, "K": 5.0,
    "L": 10.2, "M": 2.5, "N": 3.9, "P": 4.5, "Q": 3.9, "R": 5.6, "S": 5.9, "T": 5.4, "V": 7.1,
    "W": 1.2, "Y": 2.9,
}  # fmt: skip
#: Codons below which a gene is not made.
_FEWEST_CODONS = 30
_COMPLEMENT = bytes.maketrans(b"ACGT", b"TGCA")


def simulate_genome(
    n_letters: int = 60_000,
    *,
    n_contigs: int = 1,
    gc: float = 0.5,
    genetic_code: int = 11,
    mean_codons: float = 280.0,
    mean_gap: float = 90.0,
    operon_share: float = 0.5,
    binding_share: float = 0.8,
    codon_bias: float = 1.0,
    rng: RNG = None,
) -> "SequenceSet":
    """Simulate a bacterial genome with its genes.

    Parameters
    ----------
    n_letters : bp, of all contigs together.
    n_contigs : of about one length. Genes that their ends cut are marked partial.
    gc : share of G and C between genes; third places of codons follow it.
    genetic_code : number of NCBI.
    mean_codons : of a gene; lengths are gamma distributed with shape 2.
    mean_gap : bp between genes that are no operon, exponentially distributed.
    operon_share : of the genes that follow the one before on its strand, 16 to 30 bp behind it.
    binding_share : of the genes with a ribosome binding site, GGAG or AGGA or more of AGGAGG, 5 to
        9 bp before the start.
    codon_bias : sd of the log usage of synonymous codons; drawn once for the genome.
    rng : int, Generator or None.

    Returns
    -------
    SequenceSet
        With one feature of type CDS for each gene.

    Raises
    ------
    DataError
        Sizes that cannot be.

    Examples
    --------
    >>> genome = simulate_genome(20_000, rng=0)
    >>> genome.lengths.tolist(), set(genome.features["type"].values.tolist())
    ([20000], {'CDS'})
    """
    from neurornn.data.features import features_from_records
    from neurornn.data.genetic_codes import CODONS
    from neurornn.data.genetic_codes import genetic_code as code_named
    from neurornn.data.sequence_sets import SequenceSet

    draw = generator(rng)
    n_letters, n_contigs = check_count(n_letters, "n_letters"), check_count(n_contigs, "n_contigs")
    gc = check_number(gc, "gc", least=0.1, most=0.9)
    check_positive(mean_codons, "mean_codons")
    check_positive(mean_gap, "mean_gap", "bp")
    check_number(operon_share, "operon_share", least=0, most=1)
    check_number(binding_share, "binding_share", least=0, most=1)
    check_number(codon_bias, "codon_bias", least=0)
    if n_letters // n_contigs < 3 * _FEWEST_CODONS:
        raise DataError(
            f"{n_letters} letters came for {n_contigs} contigs",
            f"At least {3 * _FEWEST_CODONS} letters for each were needed",
            "Raise n_letters",
        )
    code = code_named(genetic_code)
    stops = [CODONS[k] for k in np.flatnonzero(code.stops)]
    # In some codes a stop is an amino acid too: within a gene no stop is drawn.
    residues = "".join(np.where(code.stops, "*", list(code.amino_acids)))
    usage = codon_usage(residues, gc, codon_bias, draw)
    letters: list[str] = []
    records: list[dict[str, Any]] = []
    at, strand = 0, 1
    while at < n_letters:
        follows = bool(records) and draw.random() < operon_share
        strand = strand if follows else int(draw.choice((1, -1)))
        n = max(_FEWEST_CODONS, int(draw.gamma(2.0, mean_codons / 2)))
        body = "".join(CODONS[k] for k in draw.choice(64, n, p=usage))
        gene = str(draw.choice(("ATG", "GTG", "TTG"), p=(0.83, 0.12, 0.05))) + body
        gene += str(draw.choice(stops))
        gap = int(draw.integers(16, 31)) if follows else 20 + int(draw.exponential(mean_gap))
        between = random_letters(gap, gc, draw)
        if draw.random() < binding_share:
            site = str(draw.choice(("AGGAGG", "GGAGG", "AGGAG", "GGAG", "AGGA")))
            spacer = int(draw.integers(5, 10))
            between = between[: gap - len(site) - spacer] + site + between[gap - spacer :]
        piece = between + gene
        if strand < 0:
            piece = _other_strand(gene, between)
        start = at + (gap if strand > 0 else 0)
        letters.append(piece)
        records.append({"start": start, "end": start + len(gene), "strand": strand})
        at += len(piece)
    whole = "".join(letters)[:n_letters]
    edges = np.linspace(0, n_letters, n_contigs + 1).astype(int)
    names = [f"contig_{k + 1}" for k in range(n_contigs)]
    cut = [r for r in _on_contigs(records, edges, names) if r["end"] - r["start"] >= 60]
    for k, record in enumerate(cut):
        record |= {"type": "CDS", "name": f"gene_{k + 1}", "genetic_code": genetic_code}
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    return SequenceSet.from_sequences(names, pieces, features=features_from_records(cut))


def codon_usage(
    amino_acids: str, gc: float, bias: float, draw: np.random.Generator
) -> NDArray[np.float64]:
    """Share of each codon: residues as in proteins, synonyms by their third place and a bias.

    Parameters
    ----------
    amino_acids : 64 letters. gc : share of G and C at third places. bias : sd of the log usage.
    draw : of the bias.
    """
    third = np.tile(np.where(np.isin(np.arange(4), (1, 2)), gc, 1 - gc), 16) ** 1.5
    third *= np.exp(bias * draw.standard_normal(64))
    usage = np.zeros(64)
    for residue, share in _RESIDUES.items():
        mine = np.array([a == residue for a in amino_acids])
        if mine.any():
            usage[mine] = share * third[mine] / third[mine].sum()
    return usage / usage.sum()


def random_letters(n: int, gc: float, draw: np.random.Generator) -> str:
    """Letters that are independent of one another."""
    share = np.array([1 - gc, gc, gc, 1 - gc]) / 2
    return "".join(np.array(list("ACGT"))[draw.choice(4, n, p=share)])


def _other_strand(gene: str, between: str) -> str:
    """Reverse complement of a gene with what lies before it."""
    return (between + gene).encode().translate(_COMPLEMENT)[::-1].decode()


def _on_contigs(
    records: list[dict[str, Any]], edges: NDArray[np.int64], names: list[str]
) -> list[dict[str, Any]]:
    """Cut genes where contigs end."""
    out = []
    for record in records:
        for name, (a, b) in zip(names, itertools.pairwise(edges), strict=True):
            start, end = max(record["start"], int(a)), min(record["end"], int(b))
            if start >= end:
                continue
            left, right = start > record["start"], end < record["end"]
            forward = record["strand"] > 0
            # The first whole codon of what is left of the gene.
            lost = start - record["start"] if forward else record["end"] - end
            out.append(
                {
                    "contig": name, "start": start - int(a), "end": end - int(a),
                    "strand": record["strand"], "phase": (-lost) % 3,
                    "is_partial_5": left if forward else right,
                    "is_partial_3": right if forward else left,
                }
            )  # fmt: skip
    return out
