"""Open reading frames of a genome, and everything that may start within one."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.open_frames import (
    NO_STOP,
    START_BITS,
    add_pairs,
    add_up_pairs,
    find_frames,
)
from neurornn.data.alphabets import ALPHABETS
from neurornn.data.genetic_codes import CODONS, genetic_code
from neurornn.sequences.contig_layout import ContigLayout

Array = NDArray[np.float64]
Index = NDArray[np.int64]

#: What a bacterial gene starts with, in the order of their kinds, 1 to 3.
START_CODONS = ("ATG", "GTG", "TTG")
#: bp, from start to the end of the stop, of whole genes and of those that a contig's end cuts.
SHORTEST, SHORTEST_CUT = 90, 60


@dataclass(frozen=True, kw_only=True)
class OpenFrames:
    """Candidates for genes: every start in every frame that is open for long enough.

    Parameters
    ----------
    layout : the genome.
    code : number of the genetic code.
    frames : (frame, 4), first letter of the last codon, end behind the stop, on the strand; first
        candidate and the one behind the last.
    frame_strand : (frame,), 0 or 1.
    start : (candidate,), first letter on its strand.
    kind : (candidate,), 1 to 3 for `START_CODONS`, 4 where the contig begins before the start,
        with `NO_STOP` added where it ends before the stop.
    step : (candidate,), codons from the last one upstream.
    n_forward : (frames, candidates) of the first strand; those of the other come behind them.
    """

    layout: ContigLayout
    code: int
    frames: Index
    frame_strand: Index
    start: Index
    kind: Index
    step: Index
    n_forward: tuple[int, int]

    @cached_property
    def frame(self) -> Index:
        """Frame of every candidate."""
        return np.repeat(np.arange(len(self.frames)), self.frames[:, 3] - self.frames[:, 2])

    @cached_property
    def strand(self) -> Index:
        """Strand of every candidate, 0 or 1."""
        return self.frame_strand[self.frame]

    @cached_property
    def left(self) -> Index:
        """First position of every candidate on the forward strand."""
        end = self.frames[self.frame, 1]
        return np.where(self.strand == 0, self.start, self.layout.size - end)

    @cached_property
    def right(self) -> Index:
        """Position behind every candidate on the forward strand."""
        end = self.frames[self.frame, 1]
        return np.where(self.strand == 0, end, self.layout.size - self.start)

    @cached_property
    def order(self) -> Index:
        """Candidates by their right ends, then their left ones."""
        return np.lexsort((self.left, self.right))

    @property
    def start_kind(self) -> Index:
        """Kind of every start, 1 to 4."""
        return self.kind & START_BITS

    @property
    def has_stop(self) -> NDArray[np.bool_]:
        """Whether the stop of every candidate was seen."""
        return (self.kind & NO_STOP) == 0

    def of_strand(self, strand: int) -> tuple[Index, slice]:
        """Frames of a strand, with candidates counted from its first, and its candidates."""
        n_frames, n = self.n_forward
        if strand == 0:
            return self.frames[:n_frames], slice(0, n)
        return self.frames[n_frames:] - np.array([0, 0, n, n]), slice(n, None)

    def add_up(self, table: Array) -> Array:
        """Sum of a table over the pairs of codons of every candidate, (candidate,)."""
        out = np.zeros(len(self.start))
        for strand in (0, 1):
            frames, part = self.of_strand(strand)
            add_up_pairs(self.layout.codons[strand], table, frames, self.start[part], out[part])
        return out

    def pairs_within(self, chosen: NDArray[np.bool_]) -> Index:
        """Count the pairs of codons of chosen candidates, (4096,)."""
        out = np.zeros(4096, np.int64)
        for strand in (0, 1):
            k = np.flatnonzero(chosen & (self.strand == strand))
            add_pairs(
                self.layout.codons[strand], self.start[k], self.frames[self.frame[k], 0], out
            )
        return out


def code_tables(code: int) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Stops (66,), kinds of starts (66,) and residues (66,) of codons as numbers.

    Parameters
    ----------
    code : number of NCBI.

    Notes
    -----
    Residues are numbered in the order of their letters; 20 stands for what is not known.
    """
    found = genetic_code(code)
    stops, kinds, residue = np.zeros(66, bool), np.zeros(66, np.int64), np.full(66, 20, np.int64)
    stops[:64] = found.stops
    letters = ALPHABETS["protein"].bases
    for k, codon in enumerate(CODONS):
        residue[k] = letters.find(found.amino_acids[k]) if found.amino_acids[k] in letters else 20
        if codon in START_CODONS and not stops[k]:
            kinds[k] = START_CODONS.index(codon) + 1
    return stops, kinds, residue


def frames_of(layout: ContigLayout, code: int) -> OpenFrames:
    """Find all open frames and the candidates in them.

    Parameters
    ----------
    layout : the genome.
    code : number of the genetic code.
    """
    stops, kinds, _ = code_tables(code)
    found = []
    for codons in layout.codons:
        guess = len(codons) // 20 + 64
        out, frames = np.empty((guess, 3), np.int64), np.empty((guess // 2, 4), np.int64)
        n, m = find_frames(codons, stops, kinds, SHORTEST, SHORTEST_CUT, out, frames)
        if n > len(out) or m > len(frames):
            out, frames = np.empty((n, 3), np.int64), np.empty((m, 4), np.int64)
            find_frames(codons, stops, kinds, SHORTEST, SHORTEST_CUT, out, frames)
        found.append((out[:n], frames[:m]))
    n = len(found[0][0])
    behind = found[1][1] + np.array([0, 0, n, n])
    rows = np.concatenate([found[0][0], found[1][0]])
    return OpenFrames(
        layout=layout, code=code, frames=np.concatenate([found[0][1], behind]),
        frame_strand=np.repeat([0, 1], [len(found[0][1]), len(behind)]), start=rows[:, 0].copy(),
        kind=rows[:, 1].copy(), step=rows[:, 2].copy(), n_forward=(len(found[0][1]), n),
    )  # fmt: skip
