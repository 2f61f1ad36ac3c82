"""What coding sequence, introns, sites and lengths of a species look like, counted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.gene_structures import (
    INITIAL,
    INTERNAL,
    SINGLE,
    TERMINAL,
    LengthScores,
)
from neurornn._kernels.structure_readings import Marginals
from neurornn.sequences.structure_strands import ORDER, SITES, GenomeStrand, Stretch, Structure

Array = NDArray[np.float64]

#: Classes of letters: by their place in a codon, within introns, and between genes.
CLASSES = ("first", "second", "third", "intron", "between")
INTRON, BETWEEN = 3, 4
#: Letters around each site that are read, from its place.
WINDOWS = {"start": (-12, 9), "donor": (-4, 9), "acceptor": (-30, 4), "stop": (-6, 9)}
#: Counts that the next shorter context weighs as much as, of letters and of sites.
_SHRINK, _SHRINK_SITE = 300.0, 20.0
#: bp of the longest exon and intron of which lengths are told.
LONGEST_EXON, LONGEST_INTRON = 3000, 3000
#: bp by which introns beyond that fall by a factor of e.
_TAIL = 1500.0
#: bp from either end of an intron within which its letters are counted.
_NEAR = 80
#: Shortest legal coding part and intron, bp.
LEAST_EXON, LEAST_INTRON = 3, 30
_N_CONTEXTS = 4**ORDER


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts of a species.

    Parameters
    ----------
    letters : (5, context, 4), of letters behind contexts, by class.
    sites, others : for each kind of site (place, 4, 4), of letters behind letters around sites,
        and around places that look like one.
    exons : (4, length), log density of the lengths of coding parts by kind.
    introns : (length,), the same of introns.
    """

    letters: Array
    sites: dict[str, Array]
    others: dict[str, Array]
    exons: Array
    introns: Array

    def lengths(self, least_intron: int) -> LengthScores:
        """What lengths score."""
        introns = self.introns.copy()
        introns[:least_intron] = -np.inf
        return LengthScores(self.exons, introns, 1.0 / _TAIL, LEAST_EXON, least_intron)

    def letter_odds(self) -> Array:
        """Log odds of letters behind contexts against those between genes, (4, context, 4)."""
        log = np.stack([_interpolated(c) for c in self.letters])
        return np.asarray(log[:BETWEEN] - log[BETWEEN])

    def site_odds(self) -> dict[str, Array]:
        """Log odds of letters around sites against those around other places."""
        return {k: _chain(self.sites[k]) - _chain(self.others[k]) for k in SITES}

    def with_prior(self, prior: "Statistics", weight: float) -> "Statistics":
        """Add counts of another, weighted; lengths stay."""
        return replace(
            self,
            letters=self.letters + weight * prior.letters,
            sites={k: self.sites[k] + weight * prior.sites[k] for k in SITES},
            others={k: self.others[k] + weight * prior.others[k] for k in SITES},
        )

    def less(self, other: "Statistics") -> "Statistics":
        """Take counts of a part away; lengths stay."""
        return self.with_prior(other, -1.0)

    def flat(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by name, as they are saved."""
        out = {"letters": self.letters, "exons": self.exons, "introns": self.introns}
        out |= {f"sites_{k}": self.sites[k] for k in SITES}
        out |= {f"others_{k}": self.others[k] for k in SITES}
        return {k: np.ascontiguousarray(v, np.float64) for k, v in out.items()}

    @classmethod
    def from_flat(cls, arrays: dict[str, NDArray[Any]]) -> "Statistics":
        """Make them of the arrays of `flat`."""
        whole = {k: np.asarray(v, np.float64) for k, v in arrays.items()}
        return cls(
            letters=whole["letters"], exons=whole["exons"], introns=whole["introns"],
            sites={k: whole[f"sites_{k}"] for k in SITES},
            others={k: whole[f"others_{k}"] for k in SITES},
        )  # fmt: skip


def total_of(counted: Sequence[Statistics]) -> Statistics:
    """Add up counts; lengths are those of the first."""
    total = counted[0]
    for one in counted[1:]:
        total = total.with_prior(one, 1.0)
    return total


def _interpolated(counts: Array) -> Array:
    """Log probability of letters behind contexts, shrunk towards shorter contexts."""
    p = ((counts.sum(axis=0) + 1.0) / (counts.sum() + 4.0))[None]
    for k in range(1, ORDER + 1):
        c = counts.reshape(-1, 4**k, 4).sum(axis=0)
        p = (c + _SHRINK * np.tile(p, (4, 1))) / (c.sum(axis=1, keepdims=True) + _SHRINK)
    return np.log(p)


def _chain(counts: Array) -> Array:
    """Log probability of letters behind letters around a site, shrunk towards single letters."""
    single = counts.sum(axis=1) + 0.5
    single /= single.sum(axis=1, keepdims=True)
    p = counts + _SHRINK_SITE * single[:, None]
    return np.log(p / (counts.sum(axis=2, keepdims=True) + _SHRINK_SITE))


def _around(strand: GenomeStrand, kind: str) -> NDArray[np.uint8]:
    """Letters around each place of a kind, (place, letter)."""
    low, high = WINDOWS[kind]
    at = strand.places[kind][:, None] + np.arange(low, high)
    inside = (at >= 0) & (at < len(strand.letters))
    return np.where(inside, strand.letters[np.where(inside, at, 0)], 5)


def _pairs(windows: NDArray[np.uint8], weight: Array) -> Array:
    """Weighted counts of letters behind letters, (place, 4, 4); the first stands behind A."""
    out = np.zeros((windows.shape[1], 4, 4))
    whole = windows.astype(np.int64)
    for j in range(windows.shape[1]):
        before = whole[:, j - 1] if j else np.zeros(len(whole), np.int64)
        fine = (before < 4) & (whole[:, j] < 4)
        key = 4 * before[fine] + whole[fine, j]
        out[j] = np.bincount(key, weights=weight[fine], minlength=16).reshape(4, 4)
    return out


def site_scores(strand: GenomeStrand, kind: str, odds: Array) -> Array:
    """Log odds of each place of a kind, (place,)."""
    windows = _around(strand, kind).astype(np.int64)
    out = np.zeros(len(windows))
    for j in range(windows.shape[1]):
        before = windows[:, j - 1] if j else np.zeros(len(windows), np.int64)
        fine = (before < 4) & (windows[:, j] < 4)
        out[fine] += odds[j, before[fine], windows[fine, j]]
    return out


def letter_scores(strand: GenomeStrand, odds: Array) -> Array:
    """Log odds of each letter, by class against between genes, (4, position); 0 if unknown."""
    fine = strand.context >= 0
    letters = np.where(fine, strand.letters, 0)
    return np.where(fine, odds[:, np.where(fine, strand.context, 0), letters], 0.0)


def count(stretch: Stretch, said: Sequence[Marginals]) -> Statistics:
    """Count a stretch of a genome.

    Parameters
    ----------
    stretch : the letters.
    said : of either strand: how probable each letter and each site is; 0 and 1 where it is known.

    Returns
    -------
    Statistics, whose lengths say nothing.
    """
    letters = np.zeros((len(CLASSES), _N_CONTEXTS, 4))
    inside = [m.coding.sum(axis=0) + m.intron for m in said]
    free = np.clip(1.0 - inside[0] - inside[1][::-1], 0.0, 1.0)
    sites = {k: np.zeros((w[1] - w[0], 4, 4)) for k, w in WINDOWS.items()}
    others = {k: np.zeros_like(v) for k, v in sites.items()}
    for strand, m, between in zip(stretch.strands, said, (free, free[::-1]), strict=True):
        fine = np.flatnonzero(strand.context >= 0)
        key = 4 * strand.context[fine].astype(np.int64) + strand.letters[fine]
        for c, weight in enumerate((*m.coding, _near_sites(strand, m), between)):
            found = np.bincount(key, weights=weight[fine], minlength=4 * _N_CONTEXTS)
            letters[c] += found.reshape(_N_CONTEXTS, 4)
        chances = {
            "start": m.start, "donor": m.donor.sum(axis=1), "acceptor": m.acceptor.sum(axis=1),
            "stop": m.stop,
        }  # fmt: skip
        for k, chance in chances.items():
            windows = _around(strand, k)
            sites[k] += _pairs(windows, np.minimum(chance, 1.0))
            others[k] += _pairs(windows, np.maximum(1.0 - chance, 0.0))
    return Statistics(
        letters=letters, sites=sites, others=others,
        exons=np.zeros((4, LONGEST_EXON + 1)), introns=np.zeros(LONGEST_INTRON + 1),
    )  # fmt: skip


def _near_sites(strand: GenomeStrand, m: Marginals) -> Array:
    """How probable each letter is in an intron and near one of its ends, (position,).

    A few long introns would else outweigh all others, and what lies between genes would be
    learned as intron where two genes are taken for one.
    """
    n = len(strand.letters)
    ends = np.zeros((2, n + 1))
    np.add.at(ends[0], strand.places["donor"], m.donor.sum(axis=1))
    np.add.at(ends[1], strand.places["acceptor"], m.acceptor.sum(axis=1))
    total = np.cumsum(ends, axis=1)
    place = np.arange(n)
    behind = total[0, place] - np.where(place >= _NEAR, total[0, place - _NEAR], 0.0)
    before = total[1, np.minimum(place + _NEAR, n)] - total[1, place]
    return np.asarray(np.minimum(m.intron, np.maximum(behind + before, 0.0)))


def known_marginals(stretch: Stretch, structures: Sequence[Structure]) -> list[Marginals]:
    """Probabilities 0 and 1 of structures that are known, by strand."""
    out = []
    for k, strand in enumerate(stretch.strands):
        n = len(strand.letters)
        coding, intron = np.zeros((3, n)), np.zeros(n)
        at: dict[str, list[int]] = {name: [] for name in SITES}
        for gene in structures:
            if gene.strand != k:
                continue
            done = 0
            for a, b in gene.exons:
                coding[(np.arange(b - a) + done) % 3, np.arange(a, b)] = 1.0
                done += int(b - a)
            for a, b in zip(gene.exons[:-1, 1], gene.exons[1:, 0], strict=True):
                intron[a:b] = 1.0
            at["start"].append(int(gene.exons[0, 0]))
            at["stop"].append(int(gene.exons[-1, 1]))
            at["donor"].extend(gene.exons[:-1, 1].tolist())
            at["acceptor"].extend(gene.exons[1:, 0].tolist())
        hit = {name: np.isin(strand.places[name], at[name]).astype(float) for name in SITES}
        # Introns are told apart by the letters before them elsewhere; here their sum counts.
        split = np.array([[1.0, 0.0, 0.0]])
        out.append(
            Marginals(
                coding, intron, hit["start"], hit["stop"], hit["donor"][:, None] * split,
                hit["acceptor"][:, None] * split,
            )
        )  # fmt: skip
    return out


def length_densities(structures: Sequence[Structure], spread: float = 0.0) -> tuple[Array, Array]:
    """Log densities of lengths of coding parts by kind, (4, length), and of introns, (length,).

    Parameters
    ----------
    structures : genes.
    spread : share of a density that is flat over the logarithm of the length: lengths of another
        species may differ.

    Notes
    -----
    A kernel over the logarithm of the length, as wide as Silverman's rule says (Silverman 1986,
    Density Estimation, doi:10.1201/9781315140919).
    """
    kinds: list[list[float]] = [[], [], [], []]
    introns: list[float] = []
    for gene in structures:
        sizes = (gene.exons[:, 1] - gene.exons[:, 0]).tolist()
        for j, size in enumerate(sizes):
            if len(sizes) == 1:
                kind = SINGLE
            else:
                kind = INITIAL if j == 0 else TERMINAL if j == len(sizes) - 1 else INTERNAL
            kinds[kind].append(size)
        introns.extend((gene.exons[1:, 0] - gene.exons[:-1, 1]).tolist())
    exons = np.stack([_density(k, LONGEST_EXON, LEAST_EXON) for k in kinds])
    between = _density(introns, LONGEST_INTRON, LEAST_INTRON)
    return spread_out(exons, spread), spread_out(between, spread)


def spread_out(density: Array, share: float) -> Array:
    """Mix a log density over lengths with one that is flat over their logarithm."""
    if share <= 0:
        return density
    size = density.shape[-1] - 1
    flat = 1.0 / np.maximum(np.arange(size + 1), LEAST_INTRON) / np.log(size / LEAST_INTRON)
    return np.asarray(np.log((1.0 - share) * np.exp(density) + share * flat))


def _density(lengths: Sequence[float], longest: int, least: int) -> Array:
    grid = np.log(np.maximum(np.arange(longest + 1), 1.0))
    fine = np.linspace(grid[0], grid[-1] + 1.0, 2000)
    density = np.full(len(fine), 1e-4)
    if len(lengths):
        x = np.log(np.maximum(np.asarray(lengths, float), least))
        quartiles = np.percentile(x, [25, 75])
        width = min(float(x.std()), float(quartiles[1] - quartiles[0]) / 1.34 + 1e-3)
        width = max(1.06 * width * len(x) ** -0.2, 0.05)
        seen, times = np.unique(x, return_counts=True)
        for value, n in zip(seen, times, strict=True):
            density += n * np.exp(-0.5 * ((fine - value) / width) ** 2) / (
                len(x) * width * np.sqrt(2 * np.pi)
            )  # fmt: skip
    else:
        density += 1.0 / (fine[-1] - fine[0])
    return np.asarray(np.log(np.interp(grid, fine, density)) - grid)


def moved(source: Statistics, genome: Statistics) -> Statistics:
    """Carry what tells genes of one species over to the composition of another genome.

    Parameters
    ----------
    source : of a species whose genes are known.
    genome : of a bare genome, all of whose letters are counted as lying between genes.

    Returns
    -------
    Statistics whose odds are those of the source, on letters as the genome has them.

    Notes
    -----
    Log odds that were learned on one composition are more than 0 on average on another, so that
    all of it looks coding. They are therefore taken as factors of the letters of the genome, and
    scaled so that probabilities behind each context sum to 1.
    """
    between = _interpolated(genome.letters[BETWEEN])
    odds = source.letter_odds()
    letters = np.zeros_like(source.letters)
    for c in range(BETWEEN):
        log = between + odds[c]
        log -= np.logaddexp.reduce(log, axis=1, keepdims=True)
        letters[c] = source.letters[c].sum(axis=1)[:, None] * np.exp(log)
    share = source.letters[BETWEEN].sum() / max(float(genome.letters[BETWEEN].sum()), 1.0)
    letters[BETWEEN] = genome.letters[BETWEEN] * share
    sites, others = {}, {}
    for k, factors in source.site_odds().items():
        log = _chain(genome.others[k]) + factors
        log -= np.logaddexp.reduce(log, axis=2, keepdims=True)
        sites[k] = source.sites[k].sum(axis=2, keepdims=True) * np.exp(log)
        share = source.others[k].sum() / max(float(genome.others[k].sum()), 1.0)
        others[k] = genome.others[k] * share
    return replace(source, letters=letters, sites=sites, others=others)
