"""Training a model of gene structures on genomes whose genes are known."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from neurornn._core.errors import DataError
from neurornn._kernels.gene_structures import INITIAL, INTERNAL, SINGLE, TERMINAL, LengthScores
from neurornn.sequences.structure_model import (
    WEIGHTS,
    Evidence,
    StructureModel,
    Sums,
    evidence,
    sums,
    weighted,
)
from neurornn.sequences.structure_statistics import (
    INTRON,
    Statistics,
    count,
    known_marginals,
    length_densities,
    total_of,
)
from neurornn.sequences.structure_strands import Stretch, Structure

Array = NDArray[np.float64]

#: Weights at the start: those of a chain of letters, told down, since neighbours say the same.
_START = np.array([0.3, 0, 0.3, 0, 0.4, -2.5, 1, 3, 3, 0.6, 3.3, 0.1, 2.3])
#: How much each feature varies over a gene; steps are taken in these units.
_SCALE = np.array([100, 300, 100, 1000, 1, 1, 5, 5, 1, 5, 5, 1, 1.0])
#: Pull of the weights towards those at the start.
_RIDGE = 1e-3
#: Parts of the genome of which each is read by statistics of the others.
N_FOLDS = 7


class Lesson(NamedTuple):
    """A stretch with its genes.

    Attributes
    ----------
    stretch : the letters. structures : one legal structure of each gene.
    fold : number of the part that it belongs to.
    """

    stretch: Stretch
    structures: list[Structure]
    fold: int


def train(
    lessons: Sequence[Lesson],
    *,
    least_intron: int,
    max_iterations: int,
    tick: Callable[[], object],
    names: Sequence[str],
) -> tuple[StructureModel, list[float]]:
    """Count, and weigh what was counted so that the known structures become probable.

    Parameters
    ----------
    lessons : stretches with their genes.
    least_intron : bp. max_iterations : of the weights.
    tick : called after each iteration. names : of the genomes.

    Returns
    -------
    model
    history : nats per gene, of each iteration.

    Notes
    -----
    The weights maximise the probability of the known structures among all legal ones: a
    semi-Markov conditional random field (Sarawagi & Cohen 2004, NIPS 17; for genes Bernal et al.
    2007, doi:10.1371/journal.pcbi.0030054), by L-BFGS. Each part of the genome is read with
    statistics of the other parts, so that the weights know how much statistics are to be trusted
    where they were not made.
    """
    genes = [g for lesson in lessons for g in lesson.structures]
    if not genes:
        raise DataError(
            "No gene of the genome is one that can be learned from",
            "Coding sequences from ATG to a stop, with introns from GT or GC to AG, were needed",
            "Is the annotation one of this assembly? See excluded_ for why each was left out",
        )
    counted = [count(x.stretch, known_marginals(x.stretch, x.structures)) for x in lessons]
    exons, introns = length_densities(genes)
    whole = _summed(counted, exons, introns)
    folds = sorted({x.fold for x in lessons})
    of_fold = {
        f: _summed(
            [c for c, x in zip(counted, lessons, strict=True) if x.fold == f], exons, introns
        )
        for f in folds
    }
    lengths = whole.lengths(least_intron)
    shown, true = [], np.zeros(len(WEIGHTS))
    by_length = 0.0
    for lesson in lessons:
        statistics = whole.less(of_fold[lesson.fold]) if len(folds) > 1 else whole
        found = evidence(lesson.stretch, statistics, _sites_of(lesson))
        shown.append(found)
        true += _features_of(found, lesson.structures)
        by_length += _length_score(lesson.structures, lengths)
    history: list[float] = []

    def loss(step: Array) -> tuple[float, Array]:
        weights = _START + step / _SCALE
        value, expected = -float(true @ weights) - by_length, np.zeros(len(WEIGHTS))
        for found in shown:
            summed = sums(weighted(found, weights), lengths)
            value += summed.whole
            expected += _expected(found, summed)
        value = value / len(genes)
        history.append(value)
        tick()
        slope = (expected - true) / _SCALE / len(genes) + _RIDGE * step
        return value + 0.5 * _RIDGE * float(step @ step), slope

    best = minimize(
        loss, np.zeros(len(WEIGHTS)), jac=True, method="L-BFGS-B",
        options={"maxiter": max_iterations, "maxfun": max_iterations},
    )  # fmt: skip
    model = StructureModel(
        statistics=whole, weights=_START + best.x / _SCALE, about={"genomes": list(names)}
    )
    return model, history


def _summed(counted: Sequence[Statistics], exons: Array, introns: Array) -> Statistics:
    return replace(total_of(counted), exons=exons, introns=introns)


def _sites_of(lesson: Lesson) -> tuple[dict[str, NDArray[np.int64]], ...]:
    out = []
    for k in (0, 1):
        mine = [g.exons for g in lesson.structures if g.strand == k]
        nothing = np.zeros(0, np.int64)
        out.append({
            "donor": np.concatenate([nothing, *(e[:-1, 1] for e in mine)]),
            "acceptor": np.concatenate([nothing, *(e[1:, 0] for e in mine)]),
        })  # fmt: skip
    return tuple(out)


def _features_of(found: Evidence, structures: Sequence[Structure]) -> Array:
    """Sum of what each weight multiplies, over known structures."""
    f = dict.fromkeys(WEIGHTS, 0.0)
    for gene in structures:
        strand, odds = found.strands[gene.strand], found.letters[gene.strand]
        sites, places, done = found.sites[gene.strand], strand.places, 0
        for a, b in gene.exons:
            at = np.arange(a, b)
            f["coding odds"] += float(odds[(at - a + done) % 3, at].sum())
            f["coding letter"] += float(b - a)
            done += int(b - a)
        for a, b in zip(gene.exons[:-1, 1], gene.exons[1:, 0], strict=True):
            f["intron odds"] += float(odds[INTRON, a:b].sum())
            f["intron letter"] += float(b - a)
            f["donor odds"] += float(sites["donor"][np.searchsorted(places["donor"], a)])
            f["GC donor" if strand.letters[a + 1] == 1 else "GT donor"] += 1.0
            f["acceptor odds"] += float(sites["acceptor"][np.searchsorted(places["acceptor"], b)])
            f["acceptor"] += 1.0
        for kind, at in (("start", gene.exons[0, 0]), ("stop", gene.exons[-1, 1])):
            f[f"{kind} odds"] += float(sites[kind][np.searchsorted(places[kind], at)])
            f[kind] += 1.0
    return np.array([f[name] for name in WEIGHTS])


def _expected(found: Evidence, summed: Sums) -> Array:
    """Expectation of what each weight multiplies, over all structures."""
    f = dict.fromkeys(WEIGHTS, 0.0)
    for strand, odds, sites, m in zip(
        found.strands, found.letters, found.sites, summed.said, strict=True
    ):
        f["coding odds"] += float((m.coding * odds[:3]).sum())
        f["coding letter"] += float(m.coding.sum())
        f["intron odds"] += float((m.intron * odds[INTRON]).sum())
        f["intron letter"] += float(m.intron.sum())
        donor, acceptor = m.donor.sum(axis=1), m.acceptor.sum(axis=1)
        is_gc = strand.letters[strand.places["donor"] + 1] == 1
        f["donor odds"] += float(donor @ sites["donor"])
        f["GC donor"] += float(donor[is_gc].sum())
        f["GT donor"] += float(donor[~is_gc].sum())
        for kind, chance in (("acceptor", acceptor), ("start", m.start), ("stop", m.stop)):
            f[f"{kind} odds"] += float(chance @ sites[kind])
            f[kind] += float(chance.sum())
    return np.array([f[name] for name in WEIGHTS])


def _length_score(structures: Sequence[Structure], lengths: LengthScores) -> float:
    total, last = 0.0, len(lengths.intron) - 1
    for gene in structures:
        n = len(gene.exons)
        for j, (a, b) in enumerate(gene.exons):
            kind = INITIAL if j == 0 else TERMINAL if j == n - 1 else INTERNAL
            kind = SINGLE if n == 1 else kind
            total += float(lengths.exon[kind, min(b - a, lengths.exon.shape[1] - 1)])
        for size in gene.exons[1:, 0] - gene.exons[:-1, 1]:
            total += float(lengths.intron[min(size, last)])
            total -= lengths.slope * float(max(size - last, 0))
    return total
