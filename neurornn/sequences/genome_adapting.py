"""What genes of a genome look like, learned from its bare sequence in a few rounds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.open_frames import N_PAIRS, NO_START, add_all_pairs, add_codons
from neurornn.sequences.gene_paths import best_genes, usual_links
from neurornn.sequences.open_frames import OpenFrames
from neurornn.sequences.start_model import StartModel, StartSites

Array = NDArray[np.float64]

#: Rounds of finding genes and learning from them.
ROUNDS = 5
#: bp of an open frame that is taken for a gene before anything is known.
_LONG = 500
#: bp that two such frames may share.
_SHARED = 30
#: Share of the log odds of pairs that counts: neighbouring pairs tell of one thing.
_WEIGHT = 0.6
#: Log odds of a gene before its sequence is seen.
_RARE = -3.0
#: Log odds above which starts are learned from a gene.
_SURE = 10.0
#: Log odds of start codons before any is learned.
_FIRST_STARTS = (0.0, -1.5, -2.5)
#: Pairs that the typical usage of known genomes counts for.
_PRIOR = 5_000.0
#: Half a pair is added to each count.
_HALF = 0.5
#: Pairs that the usage of all genes counts for in each of its two classes, codons likewise.
_CLASS_PRIOR, _CODON_PRIOR = 8192.0, 200.0
_CLASS_ROUNDS = 20

#: Pair of codons -> the pair that is read there on the other strand.
_BASES = np.stack([(np.arange(N_PAIRS) >> (2 * k)) & 3 for k in range(5, -1, -1)])
OTHER_STRAND = ((3 - _BASES[::-1]) * (4 ** np.arange(5, -1, -1))[:, None]).sum(0)
#: (6, 4096), whether a letter of a pair is G or C; how that follows the genome, place by place.
_IS_GC = (_BASES == 1) | (_BASES == 2)
_SLOPES = (0.7, 0.4, 1.7)


class Adapted(NamedTuple):
    """What was learned from a genome.

    Attributes
    ----------
    tables : (4, 4096), log odds of pairs of codons in genes against the genome: of all genes; the
        same, read on the other strand; of the usual genes, and of the others.
    starts : what tells real starts.
    features : (candidate, 8), of the starts; see `StartSites.features`.
    chosen : (candidate,), the genes of the last round.
    score : (candidate,), log odds of the last round.
    unusual : share of the genes in the smaller class.
    """

    tables: Array
    starts: StartModel
    features: Array
    chosen: NDArray[np.bool_]
    score: Array
    unusual: float


def background_of(frames: OpenFrames) -> NDArray[np.int64]:
    """Count the pairs of codons at all positions of both strands, (4096,)."""
    out = np.zeros(N_PAIRS, np.int64)
    for codons in frames.layout.codons:
        add_all_pairs(codons, out)
    return out


def log_odds(counts: Array, background: Array) -> Array:
    """Log of the share of each pair in genes over that in the whole genome, (4096,)."""
    inside, all_over = counts + _HALF, background + _HALF
    return np.asarray(np.log(inside / inside.sum()) - np.log(all_over / all_over.sum()))


class TypicalUsage(NamedTuple):
    """How genes of known genomes use pairs of codons.

    Attributes
    ----------
    pairs : (genome, 4096), shares. gc : (genome,), share of G and C in the whole genome.
    """

    pairs: Array
    gc: Array


#: Nothing is known beforehand.
NO_USAGE = TypicalUsage(np.zeros((0, N_PAIRS)), np.zeros(0))


def gc_of(background: Array | NDArray[np.int64]) -> float:
    """Share of G and C among the letters of a genome, from its pairs of codons."""
    total = float(background.sum())
    return float((background * _IS_GC.mean(0)).sum() / total) if total else 0.5


def prior_pairs(
    counts: Array | NDArray[np.int64], background: Array, typical: TypicalUsage
) -> Array:
    """Pairs to be added to the counts of a genome: as a known one most like it uses them.

    Parameters
    ----------
    counts : (4096,), of long open frames. background : (4096,), of the whole genome.
    typical : usage in known genomes; none for no prior.

    Notes
    -----
    The share of G and C at the three places of a codon follows that of the genome with slopes of
    about .7, .4 and 1.7 (Muto & Osawa 1987, doi:10.1073/pnas.84.1.166); usages are moved along.
    """
    if not len(typical.pairs):
        return np.zeros(N_PAIRS)
    moved = np.stack(
        [
            _moved(p, gc_of(background) - gc)
            for p, gc in zip(typical.pairs, typical.gc, strict=True)
        ]
    )
    alike = np.log(np.maximum(moved, 1e-9)) @ counts
    return np.asarray(_PRIOR * moved[int(np.argmax(alike))])


def _moved(pairs: Array, change: float) -> Array:
    """Usage of a genome whose share of G and C differs by `change`."""
    out = pairs.copy()
    for place, slope in enumerate(_SLOPES * 2):
        now = float(out[_IS_GC[place]].sum())
        then = float(np.clip(now + slope * change, 0.03, 0.97))
        out *= np.where(_IS_GC[place], then / now, (1 - then) / (1 - now))
    return out / out.sum()


def adapt(
    frames: OpenFrames,
    typical: TypicalUsage = NO_USAGE,
    rounds: int = ROUNDS,
    *,
    neutral: NDArray[np.int64] | None = None,
) -> Adapted:
    """Learn what genes of a genome look like.

    Parameters
    ----------
    frames : its candidates.
    typical : usage in genes of known genomes.
    rounds : of finding genes and learning from them.
    neutral : (pair,), pairs of codons that tell nothing.

    Notes
    -----
    The first genes are the longest open frames that do not overlap. From then on genes are the
    most probable set, given the pairs of codons and the starts of the last one: the manner of
    Borodovsky & McIninch 1993 (doi:10.1016/0097-8485(93)85004-V) and Delcher et al. 1999
    (doi:10.1093/nar/27.23.4636), with starts told as by Hyatt et al. 2010
    (doi:10.1186/1471-2105-11-119).
    """
    background = background_of(frames).astype(float)
    links = usual_links()
    sites = StartSites(frames)
    chosen = long_frames(frames)
    counts = frames.pairs_within(chosen)
    added = prior_pairs(counts, background, typical)
    start = np.array([0.0, *_FIRST_STARTS, 0.0])[sites.kind]
    for _ in range(rounds):
        table = log_odds(counts + added, background)
        if neutral is not None:
            table[neutral] = 0.0
        score = _WEIGHT * frames.add_up(table) + _RARE + start
        chosen = best_genes(frames, score, links)
        counts = frames.pairs_within(chosen)
        sure = chosen & (score > _SURE)
        of_sure = np.bincount(frames.frame, sure, len(frames.frames))[frames.frame] > 0
        model = sites.learn(sure, of_sure & ~chosen)
        features = sites.features(model)
        start = np.where(sites.kind == NO_START, 0.0, sites.scores(model, features))
    tables = np.empty((4, N_PAIRS))
    tables[0] = log_odds(counts + added, background)
    tables[1] = tables[0][OTHER_STRAND]
    tables[2:], unusual = _two_classes(frames, chosen, counts + added, background)
    if neutral is not None:
        tables[:, neutral] = 0.0
        tables[1, OTHER_STRAND[neutral]] = 0.0
    return Adapted(tables, model, features, chosen, score, unusual)


def long_frames(frames: OpenFrames, shortest: int = _LONG) -> NDArray[np.bool_]:
    """Mark the first start of long open frames that hardly overlap, the longest first.

    Parameters
    ----------
    frames : the candidates. shortest : bp, of a frame that is taken.
    """
    most = frames.frames[:, 3] - 1
    # Where a contig begins within a frame its first codon stands for the start.
    left, right = frames.left[most], frames.right[most]
    size = right - left
    order = np.lexsort((left, -size))
    covered = np.zeros(frames.layout.size, bool)
    chosen = np.zeros(len(frames.start), bool)
    for k in order[size[order] >= shortest]:
        part = covered[left[k] : right[k]]
        if part.sum() <= _SHARED:
            chosen[most[k]] = True
            part[:] = True
    return chosen


def _two_classes(
    frames: OpenFrames, chosen: NDArray[np.bool_], counts: Array, background: Array
) -> tuple[Array, float]:
    """Log odds of pairs in the larger and in the smaller of two classes of genes.

    Notes
    -----
    Genes that came from elsewhere use other codons than the rest (Medigue et al. 1991,
    doi:10.1016/0022-2836(91)90575-Q). A mixture of two usages of codons, by expectation and
    maximisation from the quarter of the genes with the fewest G and C at the third place.
    """
    n = int(chosen.sum())
    if not n:
        return np.tile(log_odds(counts, background), (2, 1)), 0.0
    rows = np.flatnonzero(chosen)
    usage = np.zeros((n, 64))
    for strand in (0, 1):
        at = np.flatnonzero(frames.strand[rows] == strand)
        part = np.zeros((len(at), 64))
        k = rows[at]
        add_codons(
            frames.layout.codons[strand], frames.start[k], frames.frames[frames.frame[k], 0], part
        )
        usage[at] = part
    third = np.isin(np.arange(64) % 4, (1, 2))
    gc = usage[:, third].sum(1) / np.maximum(usage.sum(1), 1)
    all_genes = (usage.sum(0) + 1) / (usage.sum() + 64)
    share = np.where(gc < np.quantile(gc, 0.25), 0.9, 0.1)
    for _ in range(_CLASS_ROUNDS):
        one = (usage * share[:, None]).sum(0) + _CODON_PRIOR * all_genes
        two = (usage * (1 - share)[:, None]).sum(0) + _CODON_PRIOR * all_genes
        weight = np.clip(share.mean(), 0.05, 0.95)
        odds = usage @ (np.log(one / one.sum()) - np.log(two / two.sum()))
        odds += np.log(weight / (1 - weight))
        share = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
    first = share > 0.5
    if 2 * first.sum() < n:
        first = ~first
    out, pooled = np.empty((2, N_PAIRS)), (counts + _HALF) / (counts + _HALF).sum()
    for row, mine in enumerate((first, ~first)):
        only = np.zeros(len(chosen), bool)
        only[rows[mine]] = True
        out[row] = log_odds(frames.pairs_within(only) + _CLASS_PRIOR * pooled, background)
    return out, float(1 - first.mean())
