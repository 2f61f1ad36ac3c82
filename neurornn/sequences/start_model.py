"""What tells a start from other codons of its frame: learned from the genome itself."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.open_frames import NO_START
from neurornn._kernels.start_sites import (
    N_PAIRINGS,
    add_profile,
    pairing_classes,
    profile_scores,
)
from neurornn.sequences.open_frames import OpenFrames

Array = NDArray[np.float64]

#: Complement of the end of the 16S RNA, around Shine and Dalgarno's AGGAGG, as numbers.
MOTIF = np.array(["ACGT".index(letter) for letter in "TAAGGAGGTGA"], dtype=np.uint8)
#: Places around the first letter of a start that its profile covers.
_FIRST, _N_PLACES = -42, 56
_PLACE = np.arange(_FIRST, _FIRST + _N_PLACES)
#: Upstream, where the ribosome pairs, and behind the start codon; -1 is the start codon itself.
_ZONE = np.select(
    [(_PLACE >= 0) & (_PLACE < 3), (_PLACE >= -15) & (_PLACE < -2), _PLACE >= 3], [-1, 1, 2], 0
)
#: Numbers that tell of a start: what it starts with (4), pairing, three zones of the profile.
N_FEATURES = 8
#: What is added to the counts of starts, of pairings and of letters: the others, as if so many.
_PRIOR_PAIRINGS, _PRIOR_LETTERS = 20.0, 40.0


class StartModel(NamedTuple):
    """Log odds of real starts against other ones of their frames.

    Attributes
    ----------
    codon : (3,), of ATG, GTG and TTG.
    pairing : (class,), of pairings with the 16S RNA.
    profile : (place, 4), of letters around the start.
    """

    codon: Array
    pairing: Array
    profile: Array


class StartSites:
    """Starts of all candidates, and what they are told by.

    Parameters
    ----------
    frames : the candidates.
    """

    def __init__(self, frames: OpenFrames) -> None:
        self.frames = frames
        self.kind = frames.start_kind
        self.pairing = np.zeros(len(frames.start), np.int64)
        for strand in (0, 1):
            _, part = frames.of_strand(strand)
            pairing_classes(
                frames.layout.letters[strand], frames.start[part], MOTIF, self.pairing[part]
            )

    def learn(self, real: NDArray[np.bool_], other: NDArray[np.bool_]) -> StartModel:
        """Learn from candidates that are taken for real starts, and others of their frames."""
        seen = self.kind != NO_START
        real, other = real & seen, other & seen
        a = np.bincount(self.kind[real], minlength=4)[1:4] + np.array([8.0, 1.0, 1.0])
        b = np.bincount(self.kind[other], minlength=4)[1:4] + 1.0
        codon = np.log(a / a.sum()) - np.log(b / b.sum())
        b = np.bincount(self.pairing[other], minlength=N_PAIRINGS) + 0.5
        b /= b.sum()
        a = np.bincount(self.pairing[real], minlength=N_PAIRINGS) + _PRIOR_PAIRINGS * b
        pairing = np.log(a / a.sum()) - np.log(b)
        b = self._profile(other) + 1.0
        b /= b.sum(1, keepdims=True)
        a = self._profile(real) + _PRIOR_LETTERS * b
        return StartModel(codon, pairing, np.log(a / a.sum(1, keepdims=True)) - np.log(b))

    def _profile(self, chosen: NDArray[np.bool_]) -> Array:
        out = np.zeros((_N_PLACES, 4))
        for strand in (0, 1):
            _, part = self.frames.of_strand(strand)
            starts = self.frames.start[part][chosen[part]]
            add_profile(self.frames.layout.letters[strand], starts, _FIRST, out)
        return out

    def features(self, model: StartModel) -> Array:
        """What tells of every start, (candidate, 8).

        Parameters
        ----------
        model : what was learned.

        Returns
        -------
        array
            1 for its codon, or the fourth where a contig begins before the start; log odds of its
            pairing and of letters upstream, in the place of the pairing, and behind the start.
        """
        out = np.zeros((len(self.kind), N_FEATURES))
        out[np.arange(len(self.kind)), self.kind - 1] = 1
        out[:, 4] = model.pairing[self.pairing]
        for strand in (0, 1):
            _, part = self.frames.of_strand(strand)
            profile_scores(
                self.frames.layout.letters[strand], self.frames.start[part], _FIRST,
                model.profile, _ZONE, out[part, 5:],
            )  # fmt: skip
        out[self.kind == NO_START, 4:] = 0
        return out

    def scores(self, model: StartModel, features: Array) -> Array:
        """Log odds of every start, (candidate,), from codon, pairing and what lies upstream."""
        return np.asarray(features[:, :3] @ model.codon + features[:, 4] + features[:, 5])
