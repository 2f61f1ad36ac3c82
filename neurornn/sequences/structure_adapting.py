"""Learning what is particular to a genome from its bare sequence."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn.sequences.structure_model import (
    WEIGHTS,
    StructureModel,
    best,
    evidence,
    sums,
    weighted,
)
from neurornn.sequences.structure_statistics import (
    Statistics,
    count,
    known_marginals,
    length_densities,
    moved,
    spread_out,
    total_of,
)
from neurornn.sequences.structure_strands import Stretch, Structure

#: Weight of the counts that the model came with, beside those of the genome.
_PRIOR = 0.1
#: Share of the densities of lengths that is flat, at first and later.
_SPREAD_FIRST, _SPREAD = 0.5, 0.1
#: Fewer genes say nothing about lengths.
_ENOUGH = 20
#: How much more coding odds count than in training: they are now those of the genome itself.
_GAIN = 2.0
#: Gain of the summed weights, relative, below which rounds end.
_SETTLED = 0.01


class Round(NamedTuple):
    """What one round found.

    Attributes
    ----------
    evidence : log of the summed weights of all structures of the genome.
    n_genes, n_exons : expected, as probabilities add up.
    """

    evidence: float
    n_genes: float
    n_exons: float


def as_structures(exons: NDArray[np.int64]) -> list[Structure]:
    """Group exons of `best` by gene, in the direction of reading."""
    genes: dict[int, list[NDArray[np.int64]]] = {}
    for row in exons:
        genes.setdefault(int(row[0]), []).append(row)
    out = []
    for number, rows in genes.items():
        parts = np.array(sorted((int(r[2]), int(r[3])) for r in rows), np.int64)
        out.append(Structure(str(number), int(rows[0][1]), parts))
    return out


def adapted(
    model: StructureModel,
    stretches: Callable[[], Iterable[Stretch]],
    *,
    least_intron: int,
    max_rounds: int,
    tick: Callable[[], object],
) -> tuple[StructureModel, list[Round]]:
    """Adapt a model to a genome whose genes are not known.

    Parameters
    ----------
    model : of another species, or of the same.
    stretches : lays out the genome, once for each round.
    least_intron : bp. max_rounds : at most. tick : called after each round.

    Returns
    -------
    model : with statistics of this genome.
    rounds : what each found.

    Notes
    -----
    What tells genes is carried over to the composition of the genome (`moved`); then, in rounds,
    all letters and sites are counted anew, weighted by how probable each is in its role: the EM
    algorithm (Dempster et al. 1977, doi:10.1111/j.2517-6161.1977.tb01600.x), as it was first used
    without known genes by Lomsadze et al. 2005, doi:10.1093/nar/gki937. Weights stay as they were
    trained, but for those of coding odds, which count twice; densities of lengths are moved to the
    mean that they had in training, which their width would change.
    """
    bare = [count(stretch, known_marginals(stretch, [])) for stretch in stretches()]
    source = moved(model.statistics, total_of(bare))
    source = replace(
        source,
        exons=spread_out(source.exons, _SPREAD_FIRST),
        introns=spread_out(source.introns, _SPREAD_FIRST),
    )
    weights = model.weights.copy()
    weights[WEIGHTS.index("coding odds")] *= _GAIN
    now = replace(model, statistics=source, weights=weights)
    rounds: list[Round] = []
    for _ in range(max_rounds):
        counted, genes, whole, n_genes, n_exons = [], [], 0.0, 0.0, 0.0
        lengths = _levelled(now.statistics, model.statistics).lengths(least_intron)
        for stretch in stretches():
            found = evidence(stretch, now.statistics)
            scores = weighted(found, now.weights)
            summed = sums(scores, lengths)
            whole += summed.whole
            n_genes += sum(float(m.start.sum()) for m in summed.said)
            n_exons += sum(float(m.start.sum() + m.acceptor.sum()) for m in summed.said)
            counted.append(count(replace(stretch, strands=found.strands), summed.said))
            genes.extend(as_structures(best(scores, lengths)))
        rounds.append(Round(whole, n_genes, n_exons))
        tick()
        learned = total_of(counted).with_prior(source, _PRIOR)
        exons, introns = now.statistics.exons, now.statistics.introns
        if len(genes) >= _ENOUGH:
            exons, introns = length_densities(genes, _SPREAD)
        now = replace(now, statistics=replace(learned, exons=exons, introns=introns))
        if len(rounds) > 1 and whole - rounds[-2].evidence < _SETTLED * abs(whole):
            break
    return replace(now, statistics=_levelled(now.statistics, model.statistics)), rounds


def _levelled(own: Statistics, trained: Statistics) -> Statistics:
    """Move log densities of lengths to the mean that they had in training.

    A density that is narrower scores higher, and with weights of another species every intron
    would then be welcome.
    """
    exons = own.exons + _entropy(own.exons) - _entropy(trained.exons)
    introns = own.introns + _entropy(own.introns) - _entropy(trained.introns)
    return replace(own, exons=exons, introns=introns)


def _entropy(density: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.exp(density)
    p = p / p.sum(axis=-1, keepdims=True)
    return np.asarray(-(p * density).sum(axis=-1, keepdims=True))
