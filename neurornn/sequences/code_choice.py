"""Which genetic code a genome uses: 11, 4 (TGA is tryptophan) or 25 (TGA is glycine)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from neurornn._kernels.open_frames import N_PAIRS, add_codons
from neurornn.data.genetic_codes import CODONS
from neurornn.sequences.contig_layout import ContigLayout
from neurornn.sequences.genome_adapting import TypicalUsage, adapt, background_of, gc_of
from neurornn.sequences.open_frames import OpenFrames, frames_of

Array = NDArray[np.float64]

#: Codes that are told apart.
CODES = (11, 4, 25)
#: Share of a difference in log odds that counts: neighbouring codons tell of one thing.
_WEIGHT = 0.1
#: Share of TGA among the codons of genes that end with it and read on: mean, and sd over genomes.
_BEHIND_STOPS = (0.002, 0.002)
#: Beta priors for the share of TGA among the codons of tryptophan under 4, of glycine under 25.
_AS_TRYPTOPHAN, _AS_GLYCINE = (4.0, 1.0), (2.0, 3.0)
#: Share of tryptophan and of glycine among the residues of a proteome: mean, and sd over genomes.
_TRYPTOPHAN, _GLYCINE = (0.0100, 0.0035), (0.062, 0.015)

_TGA, _TGG = CODONS.index("TGA"), CODONS.index("TGG")
_GGN = [k for k, codon in enumerate(CODONS) if codon.startswith("GG")]
_PAIR = np.arange(N_PAIRS)
_WITH_TGA = np.flatnonzero((_PAIR // 64 == _TGA) | (_PAIR % 64 == _TGA))


class CodeChoice(NamedTuple):
    """What the sequence says of its genetic code.

    Attributes
    ----------
    code : the most probable.
    probability : of each of `CODES`.
    gain : log odds by which the genes that read on over TGA explain the sequence better.
    """

    code: int
    probability: dict[int, float]
    gain: float


def choose_code(layout: ContigLayout, typical: TypicalUsage) -> CodeChoice:
    """Tell the genetic code of a genome from its bare sequence.

    Parameters
    ----------
    layout : the genome. typical : usage in genes of known genomes.

    Notes
    -----
    Genes are sought with TGA as a stop and without, where pairs of codons with TGA count for
    nothing. What is compared is how well either set explains the sequence, and how often TGA,
    tryptophan's other codon and those of glycine stand within the genes that read on over TGA.
    """
    score = {}
    for code in (11, 4):
        frames = frames_of(layout, code)
        adapted = adapt(frames, typical, neutral=_WITH_TGA)
        score[code] = float(adapted.score[adapted.chosen].sum())
        if code == 11:
            gc = gc_of(background_of(frames).astype(float))
    usage = codon_usage(frames, adapted.chosen)
    gain = score[4] - score[11]
    log_weight = log_prior(gc) + np.array([log_likelihood(usage, code) for code in CODES])
    log_weight[1:] += _WEIGHT * gain
    probability = np.exp(log_weight - log_weight.max())
    probability /= probability.sum()
    best = CODES[int(np.argmax(probability))]
    return CodeChoice(best, dict(zip(CODES, probability.tolist(), strict=True)), gain)


def log_prior(gc: float) -> Array:
    """Log of the share of genomes that use each of `CODES`, (3,), given their share of G and C.

    Notes
    -----
    Code 4 is that of the Mollicutes, whose genomes have 23 to 40 % of G and C; among bacteria with
    more hardly any has it.
    """
    four = 0.01 + 0.29 / (1 + np.exp((gc - 0.34) / 0.025))
    return np.log(np.array([1 - four - 0.01, four, 0.01]))


def codon_usage(frames: OpenFrames, chosen: NDArray[np.bool_]) -> Array:
    """Count the codons in the chosen genes, (64,)."""
    out = np.zeros(64)
    for strand in (0, 1):
        k = np.flatnonzero(chosen & (frames.strand == strand))
        part = np.zeros((len(k), 64))
        add_codons(
            frames.layout.codons[strand], frames.start[k], frames.frames[frames.frame[k], 0], part
        )
        out += part.sum(0)
    return out


def log_likelihood(usage: Array, code: int) -> float:
    """Log probability of the counts of TGA, TGG and GGN within genes.

    Parameters
    ----------
    usage : (64,), codons in genes that read on over TGA. code : 11, 4 or 25.

    Notes
    -----
    Residues of a kind have a negative binomial count: a gamma prior for their share of a proteome.
    TGA is some of those of tryptophan (4) or glycine (25), with a beta prior for the share; under
    11 it is met where a gene ends and its frame reads on.
    """
    n = float(usage.sum())
    if n == 0:
        return 0.0
    tga, tgg, ggn = float(usage[_TGA]), float(usage[_TGG]), float(usage[_GGN].sum())
    parts: tuple[tuple[float, float, float], ...]
    if code == 11:
        parts = ((tga, *_BEHIND_STOPS), (tgg, *_TRYPTOPHAN), (ggn, *_GLYCINE))
        more = 0.0
    elif code == 4:
        parts = ((tga + tgg, *_TRYPTOPHAN), (ggn, *_GLYCINE))
        more = stats.betabinom.logpmf(tga, tga + tgg, *_AS_TRYPTOPHAN)
    else:
        parts = ((tgg, *_TRYPTOPHAN), (tga + ggn, *_GLYCINE))
        more = stats.betabinom.logpmf(tga, tga + ggn, *_AS_GLYCINE)
    total = float(more)
    for count, mean, sd in parts:
        shape = (mean / sd) ** 2
        total += float(stats.nbinom.logpmf(count, shape, shape / (shape + n * mean)))
    return total
