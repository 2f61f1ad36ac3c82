"""Which candidates stand together, and how sure each is: sums over all sets of genes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurornn._kernels.gene_paths import OVERLAP, best_path, sums_before
from neurornn.sequences.open_frames import OpenFrames

Array = NDArray[np.float64]

#: bp behind a gene within which the next one is told to be its neighbour.
REACH = 100
#: Candidates whose log odds are below this are left out.
FLOOR = -7.0


def usual_links() -> Array:
    """Log weights of neighbours by the distance between them, (3, distance).

    Notes
    -----
    Genes of an operon overlap by one or four bases, where a stop shares letters with a start, or
    follow within some sixty. Rows: both on one strand; stops that meet; starts that meet.
    """
    distance = np.arange(-OVERLAP, REACH + 1)
    same = np.where(distance < -60, -np.inf, np.where(distance < 0, -1.0, 0.0))
    same[(distance == -4) | (distance == -1)] = 1.0
    same[(distance >= 0) & (distance < 60)] = 0.5
    stops = np.where(distance < -100, -np.inf, np.where(distance < 0, 0.02 * distance, 0.0))
    starts = np.where(distance < -20, -np.inf, np.where(distance < 0, -2.0, 0.0))
    return np.stack([same, stops, starts])


class Sure(NamedTuple):
    """How sure candidates are.

    Attributes
    ----------
    candidate : (candidate,), probability of each.
    frame : (frame,), probability that a gene ends at its stop.
    """

    candidate: Array
    frame: Array


def best_genes(frames: OpenFrames, scores: Array, links: Array) -> NDArray[np.bool_]:
    """Mark the candidates of the most probable set of genes, (candidate,).

    Parameters
    ----------
    frames : the candidates.
    scores : (candidate,), log odds of each against no gene.
    links : of `usual_links`.
    """
    order = frames.order[scores[frames.order] > FLOOR]
    chosen = np.zeros(len(scores), bool)
    chosen[order] = best_path(
        frames.left[order], frames.right[order], frames.strand[order], scores[order], links
    )
    return chosen


def probabilities(frames: OpenFrames, scores: Array, links: Array) -> Sure:
    """Probability of every candidate, given that sets of genes are as probable as they score.

    Parameters
    ----------
    frames, scores, links : as for `best_genes`.

    Notes
    -----
    Forward and backward sums of a semi-Markov chain, over all sets that the links allow.
    """
    k = frames.order[scores[frames.order] > FLOOR]
    left, right, strand, score = (
        frames.left[k], frames.right[k], frames.strand[k], scores[k],
    )  # fmt: skip
    before, whole = sums_before(left, right, strand, score, links)
    # From the other end: what is left is right, and meeting ends change places.
    back = np.lexsort((-right, -left))
    turned = np.stack([links[0], links[2], links[1]])
    behind, _ = sums_before(
        -right[back], -left[back], strand[back], score[back], turned
    )  # fmt: skip
    total = before.copy()
    total[back] += behind - score[back]
    candidate = np.zeros(len(scores))
    candidate[k] = np.exp(np.minimum(total - whole, 0.0))
    frame = np.minimum(np.bincount(frames.frame, candidate, len(frames.frames)), 1.0)
    return Sure(candidate, frame)
