"""A model of gene structures: what each letter, site and length says, weighted and added up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._core.errors import FileFormatError
from neurornn._kernels.gene_structures import (
    INITIAL,
    INTERNAL,
    SINGLE,
    TERMINAL,
    LengthScores,
    StrandScores,
    Sweep,
    sweep,
)
from neurornn._kernels.structure_readings import Marginals, best_exons, marginals
from neurornn.sequences.structure_statistics import (
    INTRON,
    Statistics,
    letter_scores,
    site_scores,
)
from neurornn.sequences.structure_strands import SITES, GenomeStrand, Stretch

Array = NDArray[np.float64]

#: What each weight multiplies, in the order of the weights.
WEIGHTS = (
    "coding odds", "coding letter", "intron odds", "intron letter", "start odds", "start",
    "donor odds", "GT donor", "GC donor", "acceptor odds", "acceptor", "stop odds", "stop",
)  # fmt: skip
#: Log odds below which donors and acceptors are left out.
_FLOOR = -4.0
#: A letter where no sequence is: no gene goes across.
_WALL = -1e4
_NO_SEQUENCE, _C = 5, 1


class Evidence(NamedTuple):
    """What a stretch shows, before it is weighted.

    Attributes
    ----------
    strands : without donors and acceptors that hardly look like one.
    letters : of either strand, (4, position), log odds by class.
    sites : of either strand, log odds by kind of site.
    """

    strands: tuple[GenomeStrand, GenomeStrand]
    letters: tuple[Array, Array]
    sites: tuple[dict[str, Array], dict[str, Array]]


def evidence(
    stretch: Stretch,
    statistics: Statistics,
    keep: Sequence[dict[str, NDArray[np.int64]]] = ({}, {}),
) -> Evidence:
    """Read a stretch.

    Parameters
    ----------
    stretch : the letters. statistics : of the species, or as it is taken to be.
    keep : of either strand, donors and acceptors that are kept whatever they look like.
    """
    odds, by_letter = statistics.site_odds(), statistics.letter_odds()
    strands, letters, sites = [], [], []
    for strand, wanted in zip(stretch.strands, keep, strict=True):
        scores = {k: site_scores(strand, k, odds[k]) for k in SITES}
        kept = {
            k: (scores[k] >= _FLOOR) | np.isin(strand.places[k], wanted.get(k, []))
            for k in ("donor", "acceptor")
        }
        strands.append(strand.keep(kept))
        sites.append({k: v[kept[k]] if k in kept else v for k, v in scores.items()})
        letters.append(letter_scores(strand, by_letter))
    return Evidence(
        (strands[0], strands[1]), (letters[0], letters[1]), (sites[0], sites[1])
    )  # fmt: skip


def weighted(found: Evidence, weights: Array) -> tuple[StrandScores, StrandScores]:
    """Add up what a stretch shows.

    Parameters
    ----------
    found : of `evidence`. weights : (13,), of `WEIGHTS`.
    """
    w = dict(zip(WEIGHTS, weights, strict=True))
    out = []
    for strand, odds, sites in zip(found.strands, found.letters, found.sites, strict=True):
        n = len(strand.letters)
        wall = strand.letters == _NO_SEQUENCE
        place = np.arange(n)
        coding = np.zeros((3, n + 1))
        for frame in range(3):
            each = w["coding odds"] * odds[(place - frame) % 3, place] + w["coding letter"]
            np.cumsum(np.where(wall, _WALL, each), out=coding[frame, 1:])
        intron = np.zeros(n + 1)
        each = w["intron odds"] * odds[INTRON] + w["intron letter"]
        np.cumsum(np.where(wall, _WALL, each), out=intron[1:])
        is_gc = strand.letters[strand.places["donor"] + 1] == _C
        out.append(
            StrandScores(
                letters=strand.letters, next_stop=strand.next_stop, last_stop=strand.last_stop,
                coding=coding, intron=intron, starts=strand.places["start"],
                stops=strand.places["stop"], donors=strand.places["donor"],
                acceptors=strand.places["acceptor"],
                start=w["start odds"] * sites["start"] + w["start"],
                stop=w["stop odds"] * sites["stop"] + w["stop"],
                donor=w["donor odds"] * sites["donor"]
                + np.where(is_gc, w["GC donor"], w["GT donor"]),
                acceptor=w["acceptor odds"] * sites["acceptor"] + w["acceptor"],
            )
        )  # fmt: skip
    return out[0], out[1]


class Sums(NamedTuple):
    """Sums over all structures of a stretch.

    Attributes
    ----------
    whole : log of the summed weights of all structures; no gene at all has weight 1.
    along, back : the sweeps of either direction.
    said : probabilities of the letters and sites of either strand.
    """

    whole: float
    along: Sweep
    back: Sweep
    said: tuple[Marginals, Marginals]


def sums(strands: tuple[StrandScores, StrandScores], lengths: LengthScores) -> Sums:
    """Sum over all legal structures of a stretch.

    Parameters
    ----------
    strands : of `weighted`. lengths : what lengths score.
    """
    one, other = strands
    along, back = sweep(one, other, lengths, False), sweep(other, one, lengths, False)
    return Sums(
        float(along.between[-1]), along, back,
        (marginals(one, along, back), marginals(other, back, along)),
    )  # fmt: skip


def best(strands: tuple[StrandScores, StrandScores], lengths: LengthScores) -> NDArray[np.int64]:
    """Find the exons of the best structure, (exon, 5): see `best_exons`."""
    one, other = strands
    return best_exons(one, other, sweep(one, other, lengths, True))


@dataclass(frozen=True, kw_only=True)
class StructureModel:
    """What is known of the genes of a species.

    Parameters
    ----------
    statistics : counts. weights : (13,), of `WEIGHTS`.
    about : where it comes from.
    """

    statistics: Statistics
    weights: Array
    about: dict[str, Any]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by name, as they are saved."""
        return {**self.statistics.flat(), "weights": self.weights.astype(np.float64)}

    @classmethod
    def from_arrays(
        cls, arrays: dict[str, NDArray[Any]], about: dict[str, Any]
    ) -> "StructureModel":
        """Make a model of the arrays of `arrays`.

        Raises
        ------
        FileFormatError
            Arrays are missing, or of another number of weights.
        """
        try:
            weights = np.asarray(arrays["weights"], np.float64)
            statistics = Statistics.from_flat(arrays)
        except KeyError as error:
            raise FileFormatError(
                f"{error.args[0]} is missing in a model of gene structures",
                "All its arrays were needed",
                "Save a fitted GeneStructure, and load that",
            ) from None
        if weights.shape != (len(WEIGHTS),):
            raise FileFormatError(
                f"{weights.size} weights came in a model of gene structures",
                f"{len(WEIGHTS)} were needed",
                "Save a fitted GeneStructure, and load that",
            )
        return cls(statistics=statistics, weights=weights, about=about)


def exon_chances(
    scores: StrandScores,
    lengths: LengthScores,
    summed: Sums,
    strand: int,
    exons: NDArray[np.int64],
) -> tuple[Array, float, float]:
    """Tell how probable one gene is, and each of its exons.

    Parameters
    ----------
    scores : of the strand. lengths : what lengths score. summed : sums over all structures.
    strand : 0 or 1.
    exons : (exon, 2), of one gene, in the direction of reading.

    Returns
    -------
    exon : (exon,), that a coding part begins and ends there, in this frame.
    stop : that a gene ends at its stop. whole : that a gene has just these exons.
    """
    along, back = (summed.along, summed.back) if strand == 0 else (summed.back, summed.along)
    n, count, done = len(scores.letters), len(exons), 0
    chance, total = np.zeros(count), 0.0
    table, ended = lengths.exon, 0.0
    for j, (a, b) in enumerate(exons):
        first, final = j == 0, j == count - 1
        kind = SINGLE if count == 1 else INITIAL if first else TERMINAL if final else INTERNAL
        frame = int(a - done) % 3
        own = scores.coding[frame, b] - scores.coding[frame, a]
        own += table[kind, min(b - a, table.shape[1] - 1)]
        if first:
            k = int(np.searchsorted(scores.starts, a))
            left = along.between[a] + scores.start[k]
            total += left
        else:
            k = int(np.searchsorted(scores.acceptors, a))
            left = along.acceptor[k, done % 3]
            d = int(exons[j - 1, 1])
            size, last = int(a) - d, len(lengths.intron) - 1
            total += scores.acceptor[k] + scores.intron[a] - scores.intron[d]
            total += lengths.intron[min(size, last)] - lengths.slope * max(size - last, 0)
        done += int(b - a)
        if final:
            k = int(np.searchsorted(scores.stops, b))
            right = scores.stop[k] + back.between[n - b]
            ended = float(np.exp(min(along.stop[k] + back.between[n - b] - summed.whole, 0.0)))
            total += own + right
        else:
            k = int(np.searchsorted(scores.donors, b))
            right = scores.donor[k] + back.donor_behind[k, done % 3]
            total += own + scores.donor[k]
        chance[j] = np.exp(min(left + own + right - summed.whole, 0.0))
    return chance, ended, float(np.exp(min(total - summed.whole, 0.0)))
